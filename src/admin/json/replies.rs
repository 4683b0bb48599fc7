//! What is one line of JSON: the replies to actions, the lines of `log`, `ping` and `watch`.

use std::net::IpAddr;
use std::time::Duration;

use super::object::{array, line, object, put_string, Object};
use crate::admin::explain::Found;
use crate::admin::report::Pings;
use crate::log::ring::Entry;
use crate::log::WallTime;
use crate::proto::Notification;

/// The reply to an action: what there is to say of it, line by line.
pub fn done(text: &str) -> String {
    line(|top| {
        top.plain("done", true);
        array(top.member("lines"), text.lines(), put_string);
    })
}

/// A message of the log, as one line.
pub fn entry(entry: &Entry) -> String {
    line(|object| {
        object.plain("number", entry.number);
        object.text("time", &entry.time.to_string());
        object.text("level", entry.level.name());
        let mut lines = entry.text.split('\n');
        object.text("message", lines.next().unwrap_or_default());
        array(object.member("detail"), lines, |out, line| put_string(out, line.trim_start()));
    })
}

/// A line that stands in the log without being a message of it: that older ones are gone.
pub fn remark(text: &str) -> String {
    line(|object| object.text("remark", text))
}

/// A line of `ping`.
pub fn pong(number: u32, peer: IpAddr, round_trip: Option<Duration>, transmissions: u32) -> String {
    line(|object| {
        object.plain("number", number);
        object.text("peer", &peer.to_string());
        object.optional("round_trip", round_trip, Object::fine_seconds);
        object.plain("transmissions", transmissions);
    })
}

/// A line of `ping` of a session.
pub fn echo(number: u32, interface: &str, round_trip: Option<Duration>) -> String {
    line(|object| {
        object.plain("number", number);
        object.text("interface", interface);
        object.optional("round_trip", round_trip, Object::fine_seconds);
    })
}

/// The end of `ping` of a session.
pub fn echoes(pings: &Pings) -> String {
    line(|object| {
        object.plain("frames", pings.hellos);
        object.plain("answered", pings.answered);
        object.plain("loss", pings.loss());
        times(object, pings);
    })
}

fn times(object: &mut Object<'_>, pings: &Pings) {
    let average = pings.average();
    object.optional("least", average.and(Some(pings.least)), Object::fine_seconds);
    object.optional("average", average, Object::fine_seconds);
    object.optional("most", average.and(Some(pings.most)), Object::fine_seconds);
}

/// The end of `ping`.
pub fn pings(pings: &Pings) -> String {
    line(|object| {
        object.plain("hellos", pings.hellos);
        object.plain("answered", pings.answered);
        object.plain("transmissions", pings.transmissions);
        object.plain("loss", pings.loss());
        times(object, pings);
    })
}

/// A line of `watch`.
pub fn event(time: WallTime, event: &Notification) -> String {
    line(|object| {
        object.text("time", &time.to_string());
        object.text("event", event.what.name());
        object.text("tunnel", &event.tunnel);
        object.optional_text("interface", event.interface.as_ref());
        object.optional_text("peer", event.peer);
        object.id("local_id", event.local_id);
        object.id("remote_id", event.remote_id);
        object.text("reason", &event.reason);
    })
}

/// What a message means, in both languages.
pub fn explanation(found: &Found) -> String {
    line(|top| {
        top.text("id", found.template.id);
        top.text("level", found.template.level.name());
        top.text("text", found.template.text);
        array(top.member("values"), &found.values, |out, (name, value)| {
            object(out, |object| {
                object.text("name", name);
                object.text("value", value);
            });
        });
        top.text("meaning", found.explanation.meaning);
        top.text("advice", found.explanation.advice);
        top.text("meaning_ja", found.explanation.meaning_ja);
        top.text("advice_ja", found.explanation.advice_ja);
    })
}
