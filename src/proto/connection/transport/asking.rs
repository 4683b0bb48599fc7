//! The peer is asked whether it is there, or still knows a connection: the answer has to come soon.

use std::time::{Duration, Instant};

use super::{Deadline, Transport, SOON};
use crate::proto::action::Path;
use crate::proto::context::{ConnectionDue, Context};

/// How long a peer has to tell whether it still has a connection of before a crash, and how often it is asked. It is as
/// quick as that, or has forgotten it.
const ASKING: Duration = Duration::from_secs(2);
const ASKED_EVERY: Duration = Duration::from_millis(500);
/// How long before that anything may have been under way.
const HELD: Duration = Duration::from_secs(1);

/// After the peer was looked for, further signs of it are passed over for so long: what data can claim is easily forged.
const LOOK_PAUSE: Duration = Duration::from_secs(5);

/// Asks at once whether the peer still knows us: what waits for an acknowledgement anyway, or else a HELLO, has to be
/// acknowledged soon. `false`: the HELLO could not be built.
#[must_use]
pub fn probe(transport: &mut Transport, cx: &mut Context) -> bool {
    if transport.has_deadline() {
        return true;
    }
    if !transport.channel.awaits_acknowledgement() {
        let sent = transport.hello(cx);
        expect_soon(transport, cx);
        return sent;
    }
    transport.channel.restart_rto();
    transport.repeat_oldest(cx);
    expect_soon(transport, cx);
    true
}

/// Asks the peer at the other end of `path`, too, where it seems to be now. `false`: the HELLO could not be built.
#[must_use]
pub fn look_for(transport: &mut Transport, cx: &mut Context, path: Path) -> bool {
    let new = transport.path.encapsulation == path.encapsulation && !transport.path.same_end(path);
    let recently = |at| cx.now.saturating_duration_since(at) < LOOK_PAUSE;
    if !new || transport.looked.is_some_and(recently) {
        return true;
    }
    transport.looked = Some(cx.now);
    transport.candidate = Some(Box::new(path));
    if transport.has_deadline() {
        transport.repeat_oldest(cx);
        return true;
    }
    probe(transport, cx)
}

/// What is in flight has to be acknowledged within `SOON`, or three transmissions if that is longer.
pub fn expect_soon(transport: &mut Transport, cx: &mut Context) {
    let patience = SOON.max(transport.channel.retry.interval.saturating_mul(7));
    transport.counted = None;
    set_deadline(transport, cx, patience, Duration::MAX, None);
}

/// Asks the peer whether it still has the connection. Other messages wait a little: what was under way when the crash
/// came may look like an answer, and give too low a number. That does a HELLO no harm, but another message would be
/// taken for a repetition. `false`: the HELLO could not be built.
#[must_use]
pub fn ask(transport: &mut Transport, cx: &mut Context) -> bool {
    let sent = transport.hello(cx);
    transport.channel.hold(true);
    let timer = transport.timer(ConnectionDue::Release);
    cx.arm(&mut transport.release, HELD, timer);
    set_deadline(transport, cx, ASKING, ASKED_EVERY, None);
    sent
}

/// Nothing was heard for a `hello-interval`, and the peer has been asked. Where retransmissions follow the round
/// trip it has three more of them to be heard (or three first intervals of retransmission, if that is longer);
/// until then it is asked at least every half of one, which `retry` does not count. A hint that set an earlier deadline puts
/// nothing off.
pub fn suspect(transport: &mut Transport, cx: &mut Context, hello_interval: Duration) {
    let first = transport.channel.retry.interval;
    let patience = hello_interval.max(first).saturating_mul(3);
    let by = cx.now.checked_add(patience);
    let is_earlier =
        transport.deadline.as_ref().is_some_and(|deadline| by.is_none_or(|by| deadline.by <= by));
    if transport.follows_round_trip && !is_earlier {
        let longest = first.max(hello_interval.mul_f32(0.5));
        set_deadline(transport, cx, patience, longest, Some(cx.now));
    }
}

/// The peer was heard at that time, if only by data: what is not acknowledged has the usual time again.
pub fn heard(transport: &mut Transport, at: Instant) {
    let suspected = |deadline: &mut Deadline| deadline.suspected.is_some_and(|since| since < at);
    transport.deadline.take_if(suspected);
}

fn set_deadline(
    transport: &mut Transport,
    cx: &mut Context,
    patience: Duration,
    longest: Duration,
    suspected: Option<Instant>,
) {
    transport.deadline = cx.now.checked_add(patience).map(|by| Deadline { by, longest, suspected });
    cx.cancel(&mut transport.retransmit);
    transport.watch_acknowledgement(cx);
}
