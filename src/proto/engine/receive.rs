//! What the messages and timers of a tunnel come to. A connection settles what it can and returns an [`Outcome`]; what
//! that means for the tunnel and the sessions is concluded here.

use std::time::{Duration, Instant};

use super::failover;
use super::loss;
use super::resume;
use crate::log::catalogue::EndId;
use crate::log::{Event, Remark};
use crate::proto::action::{Path, Received};
use crate::proto::connection;
use crate::proto::connection::keepalive;
use crate::proto::connection::outcome::{Outcome, Place, Processed, Receipt};
use crate::proto::connection::table::State;
use crate::proto::connection::{Connection, Member};
use crate::proto::context::{ConnectionDue, Context, Due};
use crate::proto::result::{cdn_reason, result, Objection};
use crate::proto::session::slots::Slots;
use crate::proto::session::{self, refuse_call, table};
use crate::proto::snapshot::{count, Cause, Failure};
use crate::proto::tunnel::Tunnel;
use crate::wire::code::{cdn, stopccn};
use crate::wire::message::{Icrq, Refusal, SessionIds};
use crate::wire::{Ccid, Message, MessageType, SessionId};

/// How long the responder of a control connection waits before it asks for sessions of its own.
/// Longer than the first retransmission of an ICRQ that was lost.
const RESPONDER_DELAY: Duration = Duration::from_millis(1500);

/// A timer of the tunnel, or of something in it, fired. `heard` tells when valid data of the sessions of a
/// connection came last.
pub fn due(tunnel: &mut Tunnel, cx: &mut Context, due: Due, heard: &dyn Fn(Ccid) -> Option<Instant>) {
    match due {
        Due::Attempt => tunnel.attempt_due(cx),
        Due::LookUp => tunnel.addresses.due(cx, &tunnel.config),
        Due::Backup => failover::ask_next(tunnel, cx),
        Due::Connection(ccid, due) => {
            let data = match due {
                ConnectionDue::Hello | ConnectionDue::Retransmit => heard(ccid),
                ConnectionDue::Acknowledge
                | ConnectionDue::Guard
                | ConnectionDue::PathProbe
                | ConnectionDue::Release => None,
            };
            let mut silent = false;
            with_connection(tunnel, cx, ccid, |connection, cx| {
                let outcome = connection::receive::due(connection, cx, due, data);
                silent = due == ConnectionDue::Retransmit && connection.state == State::Established;
                outcome
            });
            if silent {
                tunnel.addresses.doubt(cx, tunnel.key, &tunnel.config);
            }
        }
        Due::Slot(key, due) => {
            let path = tunnel.known_path();
            let (slots, connection) = tunnel.slots_of(key);
            slots.due(cx, (key, due), connection, path);
        }
    }
}

/// Hands something down to a connection, and concludes what came of it.
fn with_connection(
    tunnel: &mut Tunnel,
    cx: &mut Context,
    ccid: Ccid,
    call: impl FnOnce(&mut Connection, &mut Context) -> Outcome,
) {
    let Some(connection) = tunnel.members.get_mut(ccid) else { return cx.missing() };
    let outcome = call(connection, cx);
    let member = connection.member();
    conclude(tunnel, cx, member, outcome);
}

/// A control message with the id of a connection.
pub fn receive(tunnel: &mut Tunnel, cx: &mut Context, received: Received<'_>) {
    let received = Received { path: tunnel.marked(received.path), ..received };
    let ccid = received.header.ccid;
    let Some((slots, connection)) = tunnel.parts(ccid) else { return cx.missing() };
    let (receipt, place) = connection::receive::receive(connection, cx, received);
    if let Place::At(path) = place {
        follow_peer(slots, cx, connection, path);
    }
    take(tunnel, cx, ccid, receipt, received.message);
    if let Place::Perhaps(path) = place {
        probe(tunnel, cx, ccid, Some(path));
    }
}

/// Processes a message in its turn, and those that wait for it; acknowledges what is to be acknowledged.
pub fn take(tunnel: &mut Tunnel, cx: &mut Context, ccid: Ccid, receipt: Receipt, message: &[u8]) {
    if receipt == Receipt::Dropped {
        return;
    }
    tunnel.sign_of_life(cx);
    if let Some(half_open) = tunnel.members.answers_repetition(ccid) {
        tunnel.delete(cx, half_open);
    }
    if receipt == Receipt::InTurn {
        let mut next = process(tunnel, cx, ccid, message);
        while let Some(early) = next {
            next = process(tunnel, cx, ccid, &early);
        }
    }
    resume::answered(tunnel, cx, ccid);
    // What the message came to may have been the connection's end.
    if let Some((slots, connection)) = tunnel.parts(ccid) {
        slots.go_on(cx, connection);
        if receipt != Receipt::Acknowledgement {
            connection.transport.acknowledge(cx);
        }
        if connection.is_stopped() {
            tunnel.delete(cx, ccid);
        }
    }
}

/// Processes a message; the one after it, if that came ahead of its turn. An earlier one may have been the connection's end.
fn process(tunnel: &mut Tunnel, cx: &mut Context, ccid: Ccid, message: &[u8]) -> Option<Vec<u8>> {
    let (slots, connection) = tunnel.parts(ccid)?;
    let processed = connection::receive::process(connection, cx, message);
    let early = connection.transport.channel.take_early();
    let failure = match processed {
        Processed::Session(message) => session_message(slots, cx, connection, &message),
        Processed::BadSession(refusal, failure) => {
            bad_session_message(slots, cx, connection, &refusal, failure)
        }
        Processed::Connection(outcome) => {
            let member = connection.member();
            conclude(tunnel, cx, member, outcome);
            None
        }
    };
    failure.into_iter().for_each(|failure| tunnel.attempt.fail(cx.now, failure));
    early
}

/// A session message of an established connection. What concerns no block is a failure of the tunnel.
#[must_use]
fn session_message(
    slots: &mut Slots,
    cx: &mut Context,
    connection: &mut Connection,
    message: &Message,
) -> Option<Failure> {
    let tunnel = connection.ccid();
    let ids = match message {
        Message::Icrq(request) => return call_requested(slots, cx, connection, request),
        Message::Icrp(m) => m.ids,
        Message::Iccn(m) => m.ids,
        Message::Cdn(m) => m.ids,
        Message::Sli(m) => m.ids,
        Message::Wen(ids) => *ids,
        // Ethernet pseudowires have no outgoing calls (RFC 4719 2.2): an OCRQ is refused, the rest is acknowledged
        // (C-189, C-190).
        Message::Ocrq(ids) => {
            cx.log(Event::OcrqUnsupported { tunnel, func: "recv_ocrq" });
            let code = result(cdn::PERMANENT, None, "outgoing calls are not supported");
            refuse_call(cx, connection, *ids, code);
            return None;
        }
        Message::Ocrp(_) => {
            cx.log(Event::OcrpUnsupported { tunnel, func: "recv_ocrp" });
            return None;
        }
        Message::Occn(_) => {
            cx.log(Event::OccnUnsupported { tunnel, func: "recv_occn" });
            return None;
        }
        Message::Sccrq(_)
        | Message::Sccrp(_)
        | Message::Scccn
        | Message::StopCcn(_)
        | Message::Hello
        | Message::Ack => return None,
    };
    match slots.find(cx, tunnel, ids) {
        Some(slot) => session::receive::receive(slot, cx, connection, (message, ids)),
        None => no_session(cx, connection, message, ids),
    }
    None
}

/// A message for a session that does not exist, or not any more.
fn no_session(cx: &mut Context, connection: &mut Connection, message: &Message, ids: SessionIds) {
    match (table::row(None, message.message_type()), message) {
        (table::Row::Refuse, _) => session::receive::refuse_reply(cx, connection, ids),
        // The session is gone already; only the range of the code is worth a line.
        (table::Row::Nothing, Message::Cdn(cdn)) => {
            drop(cdn_reason(cx, connection.ccid(), cdn.result.as_ref()))
        }
        (
            table::Row::Nothing
            | table::Row::AcceptReply
            | table::Row::AcceptConnected
            | table::Row::Clear
            | table::Row::Status
            | table::Row::Ignore,
            _,
        ) => {}
    }
}

/// A session message that cannot be accepted ends its session with a CDN. Where there is none it is a failure of the
/// tunnel.
#[must_use]
fn bad_session_message(
    slots: &mut Slots,
    cx: &mut Context,
    connection: &mut Connection,
    refusal: &Refusal,
    failure: Failure,
) -> Option<Failure> {
    // Without any id: nobody to send a CDN to.
    let ids = refusal.ids?;
    let code = result(cdn::ERROR, Some(refusal.why.error_code()), &refusal.why.to_string());
    if let Some(slot) = slots.find(cx, connection.ccid(), ids) {
        slot.bad_message(cx, connection, (refusal, failure), (ids, code));
        return None;
    }
    if ids.local != SessionId(0) && refusal.message != MessageType::CDN {
        refuse_call(cx, connection, ids, code);
    }
    Some(failure)
}

/// An ICRQ (C-176, C-177).
fn call_requested(
    slots: &mut Slots,
    cx: &mut Context,
    connection: &mut Connection,
    request: &Icrq,
) -> Option<Failure> {
    if let Some((key, slot)) = slots.called(&request.end_id) {
        session::receive::call(slot, cx, connection, request);
        let id = request.ids.local;
        if slot.session.as_ref().is_some_and(|session| session.remote == id) {
            let before = std::mem::replace(&mut slot.peers_id, id);
            slots.note_call(cx.now, key, (before, id));
        }
        return None;
    }
    let (tunnel, end_id) = (connection.ccid(), EndId(request.end_id.clone()));
    cx.log(Event::NoSessionConfig { tunnel, end_id: end_id.clone() });
    let failure = Failure::compared("remote-end-id", slots.end_ids(), format!("\"{end_id}\""), Cause::EndId);
    let message = MessageType::ICRQ;
    cx.log_detail(Event::RemoteEndIdMismatch { tunnel, message }, failure.to_string());
    let code = result(cdn::NO_FORWARDER, None, "no session with this Remote End ID");
    refuse_call(cx, connection, request.ids, code);
    Some(failure)
}

/// The peer is at another address or port, or a message shows which address of ours it reached.
fn follow_peer(slots: &mut Slots, cx: &mut Context, connection: &mut Connection, path: Path) {
    if connection.transport.path != path {
        let ccid = connection.ccid();
        let before = keepalive::move_to(connection, cx, path);
        slots.move_to(cx, ccid, path);
        if before.remote != path.remote {
            cx.remark(&Remark::Moved { tunnel: ccid, end: path.remote });
        }
    }
}

/// What came of a message or timer of a connection.
fn conclude(tunnel: &mut Tunnel, cx: &mut Context, member: Member, outcome: Outcome) {
    let ccid = member.ccid;
    match outcome {
        Outcome::Keep => {}
        Outcome::Established { asked } => established(tunnel, cx, member, asked),
        Outcome::Answered => answered(tunnel, cx, member),
        Outcome::Stopped { reason, lost_tie } => loss::peer_stopped(tunnel, cx, member, reason, lost_tie),
        Outcome::Close(Objection { code, .. }) if member.asks => {
            tunnel.backup.failed(member.peer());
            tunnel.close_connection(cx, ccid, code);
        }
        Outcome::Close(Objection { code, failure })
            if tunnel.backup.standby == Some(ccid)
                || failover::take_over(tunnel, cx, member, &failure.to_string()) =>
        {
            tunnel.close_connection(cx, ccid, code);
        }
        Outcome::Close(Objection { code, failure }) => {
            let next = loss::pass_over(tunnel, member, &failure.to_string());
            tunnel.fail_connection(cx, ccid, failure);
            tunnel.close_connection(cx, ccid, code);
            loss::try_others(tunnel, cx, next);
        }
        Outcome::Lost(failure) => loss::lose(tunnel, cx, member, failure),
        Outcome::Forgotten(_) if tunnel.resumes.as_ref().is_some_and(|resumes| resumes.ccid == ccid) => {
            resume::unanswered(tunnel, cx, ccid, "the peer does not answer for the connection of before");
        }
        Outcome::Forgotten(failure) => {
            loss::lose(tunnel, cx, member, failure);
            if tunnel.attempt.is_scheduled() {
                tunnel.schedule(cx, Duration::ZERO);
            }
        }
        Outcome::Done => tunnel.delete(cx, ccid),
    }
}

/// A peer that was asked answers. It serves the tunnel from now on, or is told that this was all.
fn answered(tunnel: &mut Tunnel, cx: &mut Context, member: Member) {
    let moves =
        failover::asked_answers(tunnel, cx, member) || failover::is_wanted_to_stand_by(tunnel, cx, member);
    if !moves {
        let code = result(stopccn::GENERAL, None, "only asked whether this peer can be reached");
        return tunnel.close_connection(cx, member.ccid, code);
    }
    with_connection(tunnel, cx, member.ccid, connection::receive::connect);
}

/// A connection is established: it serves its tunnel from now on, whatever did before is cleared, and the
/// sessions begin. `asked`: it was set up to ask whether its peer would serve.
fn established(tunnel: &mut Tunnel, cx: &mut Context, member: Member, asked: bool) {
    if asked && failover::stands_by(tunnel, cx, member) {
        return;
    }
    let kept = [Some(member.ccid), tunnel.backup.standby];
    let others = tunnel.members.iter().map(Connection::member);
    let others: Vec<Member> = others.filter(|other| !kept.contains(&Some(other.ccid))).collect();
    for other in others {
        replace(tunnel, cx, other, asked);
    }
    tunnel.kept = None;
    count(&mut tunnel.members.counters.established);
    tunnel.attempt.cancel(cx);
    cx.dropped_from.forget(member.peer());
    failover::serve(tunnel, cx, member, "");
    let refuses_probes = tunnel.no_probes_to == Some(member.peer());
    let Some(connection) = tunnel.members.main_mut() else { return cx.missing() };
    connection.refuses_probes = refuses_probes;
    keepalive::serve(connection, cx);
    // The initiator's ICRQs go out at once; the responder gives them a second, else the two cross at nearly
    // every connect and a tie must be broken.
    let delay = if connection.initiator { Duration::ZERO } else { RESPONDER_DELAY };
    tunnel.slots.begin(cx, connection, delay);
}

/// A connection gives way to one that has just been established. The peer does not know an old established one
/// any more (it came back with a new id), so nothing is sent, unless the tunnel `moves` to another peer.
fn replace(tunnel: &mut Tunnel, cx: &mut Context, other: Member, moves: bool) {
    match other.state {
        State::Established if moves => {
            let code = result(stopccn::GENERAL, None, "a better peer is used again");
            tunnel.close_connection(cx, other.ccid, code);
        }
        State::Established => {
            let reason = "the peer has set up a new control connection";
            tunnel.slots.drop_sessions(cx, Some(other.ccid), reason);
            tunnel.delete(cx, other.ccid);
        }
        State::WaitCtlReply => tunnel.linger(cx, other.ccid),
        State::Idle | State::WaitCtlConn => tunnel.delete(cx, other.ccid),
        State::Stopping | State::Linger => {}
    }
}

/// The answer to `Action::MeasurePath`.
pub fn path_measured(tunnel: &mut Tunnel, cx: &mut Context, ccid: Ccid, limit: Option<usize>) {
    with_connection(tunnel, cx, ccid, |connection, cx| {
        connection::receive::path_measured(connection, cx, limit)
    });
}

/// There is a hint that the peer has forgotten a connection, or (`elsewhere`) that it is at the other end of that path
/// now: it is asked.
pub fn probe(tunnel: &mut Tunnel, cx: &mut Context, ccid: Ccid, elsewhere: Option<Path>) {
    with_connection(tunnel, cx, ccid, |connection, cx| keepalive::probe(connection, cx, elsewhere));
}
