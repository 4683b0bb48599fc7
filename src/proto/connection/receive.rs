//! What each message and timer does to a control connection (RFC 3931 7.2). What concerns the tunnel is returned.

use std::time::{Duration, Instant};

use super::auth::{Judgement, Mode};
use super::identity::check_identity;
use super::keepalive;
use super::outcome::{Outcome, Place, Processed, Receipt, Retransmission};
use super::table::{row, Row, State};
use super::transport::{asking, Transport};
use super::Connection;
use crate::config::model::{Compatibility, ReservedBits};
use crate::log::Event;
use crate::proto::action::{Path, Received};
use crate::proto::context::{ConnectionDue, Context};
use crate::proto::dropped::DropCause;
use crate::proto::notes;
use crate::proto::result::{result, stopccn_reason, Objection};
use crate::proto::snapshot::{count, Cause, Failure};
use crate::wire::avp::MessageTypeAvp;
use crate::wire::code::stopccn;
use crate::wire::message::{decode, DecodeOptions, Decoded, Refusal, SetUp, StopCcn, Why};
use crate::wire::{Ccid, Message, MessageType};

/// A probe of the path counts as lost no sooner.
const PROBE_TIME: Duration = Duration::from_millis(400);

/// Where a message of a connection came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// The peer's address, or one that it may choose at present.
    Peer,
    /// Another one, from where a message may be believed for its digest, or as the answer to what was sent there.
    Elsewhere,
    /// Nobody that could be the peer.
    Stranger,
}

/// Where a message on `path` comes from, if the peer is at the other end of `known`, and perhaps of `candidate`.
/// `signed`: messages have digests.
fn origin(state: State, signed: bool, known: Path, candidate: Option<Path>, path: Path) -> Origin {
    if known.encapsulation != path.encapsulation || known.via.device != path.via.device {
        return Origin::Stranger;
    }
    if known.same_end(path) {
        return Origin::Peer;
    }
    let same_host = known.remote.ip() == path.remote.ip();
    match state {
        // RFC 3931 4.1.1.2: a peer may answer our SCCRQ from another port.
        State::WaitCtlReply if same_host => Origin::Peer,
        State::WaitCtlReply => Origin::Stranger,
        State::Established if signed || candidate.is_some_and(|c| c.same_end(path)) => Origin::Elsewhere,
        State::Established => Origin::Stranger,
        State::Idle | State::WaitCtlConn | State::Stopping | State::Linger => match same_host && signed {
            true => Origin::Peer,
            false => Origin::Stranger,
        },
    }
}

/// A message for this connection: structure, then the digest, and only then Nr, Ns and what it says (C-045,
/// C-225). What is in turn is to be given to [`process`].
pub fn receive(connection: &mut Connection, cx: &mut Context, received: Received<'_>) -> (Receipt, Place) {
    let Received { path, header, message } = received;
    let dropped = (Receipt::Dropped, Place::Known);
    let signed = connection.transport.auth.mode == Mode::On;
    let (known, candidate) = (connection.transport.path, connection.transport.candidate.as_deref().copied());
    let origin = origin(connection.state, signed, known, candidate, path);
    // Without a digest it takes an answer: our id, and a number that was sent just now, are known to the peer alone.
    let answers = connection.transport.channel.would_release(header.nr);
    if origin == Origin::Stranger || (origin == Origin::Elsewhere && !signed && !answers) {
        cx.drop_message(&path, DropCause::WrongSource(connection.ccid()));
        return dropped;
    }
    count(&mut connection.transport.counters.rx_messages);
    let discard = connection.config.reserved_bits == ReservedBits::Discard;
    let Some(message_type) = notes::check_structure(cx, connection.ccid(), message, discard) else {
        count(&mut connection.transport.counters.rx_malformed);
        return dropped;
    };
    if !authenticate(connection, cx, message, &message_type) {
        count(&mut connection.transport.counters.rx_bad_digest);
        return dropped;
    }
    if answers {
        // Wherever it comes from, that is where the peer is.
        connection.transport.candidate = None;
    }
    let receipt = connection.take_numbers(cx, received, &message_type);
    let place = match (origin, receipt) {
        (_, Receipt::Dropped) => Place::Known,
        (Origin::Elsewhere, _) if candidate.is_some() && answers => Place::At(path),
        (Origin::Elsewhere, Receipt::InTurn) => Place::Perhaps(path),
        (Origin::Peer, Receipt::InTurn) => Place::At(path),
        (Origin::Peer | Origin::Elsewhere | Origin::Stranger, _) => Place::Known,
    };
    (receipt, place)
}

/// Whether a message may be believed; if not, nothing of it is used (C-224).
fn authenticate(
    connection: &mut Connection,
    cx: &mut Context,
    message: &[u8],
    message_type: &MessageTypeAvp,
) -> bool {
    let auth = &mut connection.transport.auth;
    // An SCCRP for an SCCRQ that was given up is signed like any other (C-100).
    let given_up = connection.state == State::Linger && connection.transport.remote_ccid == Ccid(0);
    let waits_for_reply = connection.state == State::WaitCtlReply || given_up;
    let (judgement, kind) = match *message_type {
        // C-049: a ZLB has no digest; it serves only where there are none.
        MessageTypeAvp::Zlb => {
            let believed = auth.mode != Mode::On && auth.remote_nonce.is_empty();
            (Judgement { believed, unsupported: None, nonce_missing: false }, MessageType::ACK)
        }
        MessageTypeAvp::Type { vendor: 0, value: MessageType::SCCRP, .. } if waits_for_reply => {
            (auth.judge_reply(message), MessageType::SCCRP)
        }
        MessageTypeAvp::Type { value, .. } => (auth.judge(message), value),
    };
    notes::log_judgement(cx, connection.ccid(), kind, judgement);
    judgement.believed
}

/// The message in turn: it uses up its Ns whatever it says.
pub fn process(connection: &mut Connection, cx: &mut Context, message: &[u8]) -> Processed {
    connection.transport.channel.advance();
    let secrets = connection.transport.auth.hiding_secrets();
    let cisco = connection.config.compatibility != Compatibility::Rfc;
    let options = DecodeOptions { secrets: &secrets, cisco, version_2: false };
    let Decoded { message: decoded, notes } = decode(message, &options);
    let kind = match &decoded {
        Ok(message) => message.message_type(),
        Err(refusal) => refusal.message,
    };
    notes::log_notes(cx, connection.ccid(), kind, &notes);
    match decoded {
        Ok(message) => dispatch(connection, cx, message),
        Err(refusal) => refuse_message(connection, cx, refusal),
    }
}

/// A message that cannot be accepted: session messages cost their session, the others the connection (RFC 3931
/// 5.2, 7.1; C-197, C-198, C-206, C-207, C-210, C-211).
fn refuse_message(connection: &mut Connection, cx: &mut Context, refusal: Refusal) -> Processed {
    notes::log_refusal(cx, connection.ccid(), &refusal);
    let optional = matches!(refusal.why, Why::UnknownMessageType { mandatory: false, .. });
    if optional || matches!(connection.state, State::Stopping | State::Linger) {
        return Processed::Connection(Outcome::Keep);
    }
    if let (Ccid(0), Some(assigned)) = (connection.transport.remote_ccid, refusal.assigned_ccid) {
        connection.assign(cx, assigned); // a bad SCCRP: the StopCCN goes to its sender
    }
    let failure =
        Failure::new(format!("{} cannot be accepted: {}", refusal.message, refusal.why), Cause::BadMessage);
    if refusal.message.is_session() && connection.state == State::Established {
        return Processed::BadSession(refusal, failure);
    }
    let code = result(stopccn::ERROR, Some(refusal.why.error_code()), &refusal.why.to_string());
    count(&mut connection.transport.counters.rx_refused);
    Processed::Connection(Outcome::Close(Objection { code, failure }))
}

/// A complete message, for the table.
fn dispatch(connection: &mut Connection, cx: &mut Context, message: Message) -> Processed {
    let tunnel = connection.ccid();
    let kind = message.message_type();
    Processed::Connection(match (row(connection.state, kind), message) {
        (Row::AcceptReply, Message::Sccrp(reply)) => accept_reply(connection, cx, &reply),
        (Row::AcceptConnected, _) => accept_connected(connection, cx),
        (Row::Hello, _) => {
            cx.log(Event::ReceiveHello { tunnel });
            Outcome::Keep
        }
        (Row::Session | Row::Unsupported, message) => return Processed::Session(message),
        (Row::Stop, Message::StopCcn(stop)) => peer_stopped(connection, cx, &stop),
        (Row::Decline, Message::Sccrp(reply)) if connection.transport.remote_ccid == Ccid(0) => {
            decline_reply(connection, cx, reply.assigned_ccid)
        }
        (Row::Ignore | Row::AcceptReply | Row::Stop | Row::Decline, _) => {
            connection.ignore(cx, kind);
            Outcome::Keep
        }
    })
}

/// Wait-ctl-reply and SCCRP (C-115, C-116).
fn accept_reply(connection: &mut Connection, cx: &mut Context, reply: &SetUp) -> Outcome {
    connection.take_peer(cx, reply);
    if let Err(failure) = check_identity(cx, &connection.config, connection.ccid(), reply, MessageType::SCCRP)
    {
        let code = result(stopccn::NOT_AUTHORIZED, None, &format!("{} does not match", failure.check));
        return Outcome::Close(Objection { code, failure });
    }
    match connection.asks {
        true => Outcome::Answered,
        false => connect(connection, cx),
    }
}

/// The SCCRP is acceptable: SCCCN.
pub fn connect(connection: &mut Connection, cx: &mut Context) -> Outcome {
    let state = State::Established.log_name();
    cx.log(Event::ReceiveState { message: MessageType::SCCRP, state });
    connection.enter(cx, State::Established);
    cx.log(Event::SendState { message: MessageType::SCCCN, state });
    match connection.transport.enqueue(cx, &Message::Scccn) {
        true => established(connection, cx),
        false => keepalive::kept_if(false, "SCCCN"),
    }
}

/// Wait-ctl-conn and SCCCN (C-121).
fn accept_connected(connection: &mut Connection, cx: &mut Context) -> Outcome {
    let state = State::Established.log_name();
    cx.log(Event::ReceiveState { message: MessageType::SCCCN, state });
    connection.enter(cx, State::Established);
    established(connection, cx)
}

fn established(connection: &mut Connection, cx: &mut Context) -> Outcome {
    cx.cancel(&mut connection.guard);
    Outcome::Established { asked: std::mem::take(&mut connection.asks) }
}

/// The peer answers an SCCRQ that was given up meanwhile: it must not wait for the SCCCN (C-100).
fn decline_reply(connection: &mut Connection, cx: &mut Context, assigned: Ccid) -> Outcome {
    connection.assign(cx, assigned);
    connection.stop(cx, result(stopccn::EXISTS, None, "given up for another control connection"))
}

/// Any state and StopCCN (C-103, C-127).
fn peer_stopped(connection: &mut Connection, cx: &mut Context, stop: &StopCcn) -> Outcome {
    if let (Ccid(0), Some(assigned)) = (connection.transport.remote_ccid, stop.assigned_ccid) {
        connection.assign(cx, assigned); // to acknowledge it there
    }
    let reason = stopccn_reason(cx, connection.ccid(), stop.result.as_ref());
    let error = stop.result.as_ref().is_some_and(|r| r.result == stopccn::ERROR);
    connection.refuses_probes |=
        error && connection.transport.path_probe.as_ref().is_some_and(|p| p.is_new(cx.now));
    let lost_tie = stop.result.as_ref().is_some_and(|r| r.result == stopccn::EXISTS);
    cx.log(Event::ReceiveState { message: MessageType::STOPCCN, state: State::Linger.log_name() });
    match connection.state {
        State::Linger => Outcome::Keep,
        State::Idle | State::WaitCtlReply | State::WaitCtlConn | State::Established | State::Stopping => {
            Outcome::Stopped { reason, lost_tie }
        }
    }
}

fn guard_due(connection: &mut Connection, cx: &mut Context) -> Outcome {
    connection.guard = None;
    let waited = match connection.state {
        State::WaitCtlReply => "the peer acknowledged our SCCRQ but sent no SCCRP",
        State::WaitCtlConn => "the peer acknowledged our SCCRP but sent no SCCCN",
        State::Linger => return Outcome::Done,
        State::Idle | State::Established | State::Stopping => return Outcome::Keep,
    };
    if connection.transport.channel.awaits_acknowledgement() {
        // Retransmission still runs and ends by itself.
        connection.arm_guard(cx);
        return Outcome::Keep;
    }
    let code = result(stopccn::FSM, None, "set-up timeout");
    Outcome::Close(Objection { code, failure: Failure::new(waited, Cause::Other) })
}

/// The answer to `Action::MeasurePath`: the longest packet that the system lets leave, where there is a route.
pub fn path_measured(connection: &mut Connection, cx: &mut Context, limit: Option<usize>) -> Outcome {
    let Transport { path_probe, channel, round_trip, .. } = &mut connection.transport;
    let limit = limit.filter(|_| channel.is_empty());
    // A peer that is busy for a moment has not lost it. Before the retransmission that `retry` counts.
    let patience = round_trip.time_out().max(PROBE_TIME).min(channel.rto().mul_f32(0.9));
    let ns = channel.next_pushed();
    if !path_probe.as_mut().is_some_and(|probe| probe.begin(cx, limit, ns, patience)) {
        return Outcome::Keep;
    }
    keepalive::kept_if(connection.transport.hello(cx), "HELLO")
}

/// A timer of this connection; `data` is when valid data of its sessions came last.
pub fn due(
    connection: &mut Connection,
    cx: &mut Context,
    due: ConnectionDue,
    data: Option<Instant>,
) -> Outcome {
    match due {
        ConnectionDue::Hello => return keepalive::hello_due(connection, cx, data),
        ConnectionDue::Guard => return guard_due(connection, cx),
        ConnectionDue::Retransmit => return retransmit_due(connection, cx, data),
        ConnectionDue::Acknowledge => connection.transport.acknowledge_due(cx),
        ConnectionDue::Release => connection.transport.release(cx),
        ConnectionDue::PathProbe => {
            let Transport { path_probe, channel, ccid, .. } = &mut connection.transport;
            if path_probe.as_mut().is_some_and(|probe| probe.is_overdue(cx, *ccid, channel.is_empty())) {
                connection.transport.repeat_oldest(cx);
            }
        }
    }
    Outcome::Keep
}

fn retransmit_due(connection: &mut Connection, cx: &mut Context, data: Option<Instant>) -> Outcome {
    let heard = keepalive::last_heard(connection, data);
    asking::heard(&mut connection.transport, heard);
    match connection.transport.retransmit_due(cx) {
        Retransmission::Goes => Outcome::Keep,
        Retransmission::UsedUp if connection.state == State::Stopping => Outcome::Done,
        Retransmission::UsedUp => {
            // C-057: it was sent as often as `retry` allows, or for as long as a short `hello-interval` does.
            cx.log(Event::ControlSendFailedTunnel { tunnel: connection.ccid() });
            cx.log(Event::ControlSendFailed {});
            count(&mut connection.transport.counters.lost);
            let failure = Failure::new("the peer does not answer", Cause::NoAnswer);
            match connection.transport.has_deadline() && connection.state == State::Established {
                true => Outcome::Forgotten(failure),
                false => Outcome::Lost(failure),
            }
        }
    }
}
