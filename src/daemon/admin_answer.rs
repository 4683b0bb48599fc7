//! What becomes of a request: the daemon is asked or told, and the reply is made.

use std::time::Instant;

use super::admin_client::{AdminClient, Stream};
use super::admin_host::{Answer, Host, Outcome};
use super::ping::Ping;
use crate::admin::display::{no_interface, no_tunnel, Display, Form};
use crate::admin::envelope::{self, reply, Envelope};
use crate::admin::json;
use crate::admin::request::{self, AdminRequest, Target};
use crate::admin::summary::Filter;
use crate::log::ring::{Entry, Ring};
use crate::log::{escape, Event, Level};
use crate::proto::{Command, CommandError};
use crate::sys::trust;

/// Its kind ([`reply`]) and its text.
type Reply = (u16, String);

fn done(text: impl Into<String>) -> Reply {
    (reply::DONE, text.into())
}

fn refused(text: impl Into<String>) -> Reply {
    (reply::REFUSED, text.into())
}

/// Answers a request, or begins the stream that it asks for.
pub(super) fn answer(client: &mut AdminClient, now: Instant, envelope: &Envelope, host: &mut dyn Host) {
    let order = match request::decode(envelope.command, &envelope.body) {
        Ok(order) => order,
        Err(error) => return client.answer(now, reply::USAGE, format!("{error}\n").as_bytes()),
    };
    let json = order.json;
    match order.request {
        AdminRequest::Log { follow: true, level } => {
            let (next, first) = (host.ring().next_number(), kept_lines(host.ring(), level, json));
            client.follow(now, Stream::Log { next, level, json }, first.as_bytes());
        }
        AdminRequest::Watch => client.follow(now, Stream::Watch { json }, b""),
        // It is a program of root's that is started.
        AdminRequest::Restart if !trust::is_trusted(client.user) => {
            client.answer(now, reply::REFUSED, b"restart is for root alone\n");
        }
        AdminRequest::Restart => {
            host.restart();
            client.follow(now, Stream::Restart, b"");
        }
        AdminRequest::Reload { check } => match host.reload(now, check) {
            Answer::Now(outcome) => reloaded(client, now, &outcome, json),
            Answer::Later(number) => client.follow(now, Stream::Reload { number, json }, b""),
        },
        // Control messages hold cookies.
        AdminRequest::Trace { .. } if !trust::is_trusted(client.user) => {
            client.answer(now, reply::REFUSED, b"trace is for root alone: control messages hold cookies\n");
        }
        AdminRequest::Ping { tunnel, count, interval } => {
            let ping = Ping::new(now, tunnel, (count, interval), json);
            client.follow(now, Stream::Ping(Box::new(ping)), b"");
        }
        AdminRequest::Trace { tunnel, .. } if host.source(now).tunnel_place(&tunnel).is_some() => {
            client.follow(now, Stream::Trace { tunnel }, b"");
        }
        request => match Form::of(&request, json) {
            Some((form, selection)) => match Display::new(form, &selection, &*host.source(now)) {
                Ok(display) => {
                    let display = display.filtered(filter_of(request));
                    let sees_cookies = trust::is_trusted(client.user);
                    client.show(now, if sees_cookies { display } else { display.masked() });
                }
                Err(why) => client.answer(now, reply::REFUSED, why.as_bytes()),
            },
            None => {
                let (kind, mut text) = run(&request, json, now, host);
                if json && kind == reply::DONE && !matches!(request, AdminRequest::Log { .. }) {
                    text = json::done(&text);
                }
                client.answer(now, kind, text.as_bytes());
            }
        },
    }
}

/// Tells what came of a reload.
pub(super) fn reloaded(client: &mut AdminClient, now: Instant, outcome: &Outcome, json: bool) {
    match outcome {
        Ok(text) if json => client.answer(now, reply::DONE, json::done(text).as_bytes()),
        Ok(text) => client.answer(now, reply::DONE, text.as_bytes()),
        Err(text) => client.answer(now, reply::REFUSED, text.as_bytes()),
    }
}

/// Which tunnels a display has.
fn filter_of(request: AdminRequest) -> Filter {
    match request {
        AdminRequest::Summary { filter, .. } => filter,
        _ => Filter::default(),
    }
}

/// Runs a request that has one reply.
fn run(request: &AdminRequest, json: bool, now: Instant, host: &mut dyn Host) -> Reply {
    match request {
        AdminRequest::Counters { reset: true } => {
            outcome(host.command(now, Command::ResetCounters), "counters", "")
        }
        AdminRequest::Log { level, .. } => done(kept_lines(host.ring(), *level, json)),
        AdminRequest::LogLevel(level) => {
            host.set_log_level(*level);
            done("")
        }
        AdminRequest::Start(name) => {
            outcome(host.command(now, Command::Start(name.clone())), name, "there is nothing to start")
        }
        AdminRequest::Stop(name) => {
            outcome(host.command(now, Command::Stop(name.clone())), name, "there is nothing to stop")
        }
        AdminRequest::FailOver(name) => {
            outcome(host.command(now, Command::FailOver(name.clone())), name, "it is not up")
        }
        AdminRequest::Clear { target, result } => clear(target, *result, now, host),
        AdminRequest::Trace { tunnel, .. } => refused(no_tunnel(tunnel)),
        // A stream, a display, or what needs no daemon.
        AdminRequest::Watch
        | AdminRequest::Restart
        | AdminRequest::Reload { .. }
        | AdminRequest::Ping { .. }
        | AdminRequest::ExplainText(_)
        | AdminRequest::Status(_)
        | AdminRequest::Summary { .. }
        | AdminRequest::Top { .. }
        | AdminRequest::Explain(_)
        | AdminRequest::Health
        | AdminRequest::Counters { reset: false }
        | AdminRequest::Metrics => (reply::USAGE, "this is answered elsewhere\n".to_owned()),
    }
}

/// `clear`. What is not there is logged by the engine.
fn clear(target: &Target, code: Option<u16>, now: Instant, host: &mut dyn Host) -> Reply {
    let (command, name, not_up) = match target {
        Target::Tunnel(name) => (Command::ClearTunnel(name.clone(), code), name.clone(), "it is not up"),
        Target::All => (Command::ClearAll(code), "all".to_owned(), "no tunnel is up"),
        Target::Peer(peer) => (Command::ClearPeer(*peer, code), peer.to_string(), "no tunnel to it is up"),
        Target::Session(name) => (Command::ClearSession(name.clone(), code), name.clone(), "it is not up"),
    };
    match (host.command(now, command), target) {
        (Err(CommandError::NothingToClear(why)), Target::Peer(peer)) => {
            refused(format!("no such address peer: {peer}\n  {why}\n"))
        }
        (Err(CommandError::NothingToClear(why)), Target::Session(name)) => {
            refused(format!("{}  {why}\n", no_interface(name)))
        }
        (result, _) => outcome(result, &name, not_up),
    }
}

/// The reply to a command about `name`.
fn outcome(result: Result<(), CommandError>, name: &str, not_up: &str) -> Reply {
    match result {
        Ok(()) => done(""),
        Err(CommandError::NotFound) => refused(no_tunnel(name)),
        Err(CommandError::NothingToClear(why)) => refused(format!("{why}\n")),
        Err(CommandError::NotUp) => refused(format!("{}: {not_up}\n", escape(name.as_bytes()))),
        Err(CommandError::NoOtherPeer) => {
            refused(format!("{}: it has no other peer (one remote-address)\n", escape(name.as_bytes())))
        }
        Err(CommandError::NoResultCode) => refused(format!("{}\n", Event::ResultCodeNotSpecified {})),
    }
}

/// The newest lines kept in memory that fit a reply. Where older ones are missing, the first line says so.
fn kept_lines(ring: &Ring, level: Level, json: bool) -> String {
    const ROOM: usize = envelope::MAX_REPLY - 256;
    let mut lines: Vec<String> = Vec::new();
    for entry in ring.since(0).filter(|entry| entry.level <= level) {
        let mut text = String::new();
        put_entry(&mut text, entry, json);
        lines.push(text);
    }
    let mut length = 0;
    let fitting = lines.iter().rev().take_while(|line| {
        length += line.len();
        length <= ROOM
    });
    let first = lines.len() - fitting.count();
    let mut text = String::new();
    if ring.trimmed() || first > 0 {
        put_trimmed(&mut text, json);
    }
    text.extend(lines.drain(first..));
    text
}

/// Appends the line that says that older messages are gone.
pub(super) fn put_trimmed(text: &mut String, json: bool) {
    let trimmed = Event::OlderMessagesTrimmed {}.to_string();
    text.push_str(&if json { json::remark(&trimmed) } else { trimmed + "\n" });
}

/// Appends a message of the log as it is shown.
pub(super) fn put_entry(text: &mut String, entry: &Entry, json: bool) {
    if json {
        text.push_str(&json::entry(entry));
    } else {
        entry.write_to(text);
    }
}
