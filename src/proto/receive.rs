//! What the messages and timers of a tunnel come to. A connection settles what it can and returns an [`Outcome`]; what
//! that means for the tunnel and the sessions is concluded here.

use std::time::{Duration, Instant};

use super::action::{Happening, Path};
use super::connection;
use super::connection::keepalive;
use super::connection::outcome::{Outcome, Place, Receipt};
use super::connection::table::State;
use super::connection::Connection;
use super::context::{ConnectionDue, Context, Due, SlotDue, SlotKey};
use super::failover;
use super::loss;
use super::result::{result, Objection};
use super::resume;
use super::session;
use super::snapshot::count;
use super::standby;
use super::tunnel::Tunnel;
use crate::log::Remark;
use crate::wire::avp::MessageTypeAvp;
use crate::wire::code::stopccn;
use crate::wire::header::Header;
use crate::wire::Ccid;

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
            let Some(connection) = tunnel.members.get_mut(ccid) else { return cx.missing() };
            let outcome = connection::receive::due(connection, cx, due, data);
            let silent = due == ConnectionDue::Retransmit && connection.state == State::Established;
            conclude(tunnel, cx, ccid, outcome);
            if silent {
                tunnel.addresses.doubt(cx, tunnel.key, &tunnel.config);
            }
        }
        Due::Slot(key, due) => slot_due(tunnel, cx, key, due),
    }
}

fn slot_due(tunnel: &mut Tunnel, cx: &mut Context, key: SlotKey, due: SlotDue) {
    let stands_by = tunnel.slots.get(key).is_none();
    let serving = if stands_by { tunnel.backup.standby } else { tunnel.members.main_ccid() };
    let ccid = tunnel.slot(key).and_then(|slot| slot.connection()).or(serving);
    let path = tunnel.known_path();
    let connection = ccid.and_then(|ccid| tunnel.members.get_mut(ccid));
    let spare = tunnel.spare.as_deref_mut().filter(|_| stands_by);
    spare.unwrap_or(&mut tunnel.slots).due(cx, (key, due), connection, path);
}

/// A control message with the id of a connection.
pub fn receive(
    tunnel: &mut Tunnel,
    cx: &mut Context,
    ccid: Ccid,
    path: Path,
    header: &Header,
    message: &[u8],
) {
    let path = tunnel.marked(path);
    let Some(connection) = tunnel.members.get_mut(ccid) else { return cx.missing() };
    let (receipt, place) = connection::receive::receive(connection, cx, path, header, message);
    if let Place::At(path) = place {
        follow_peer(tunnel, cx, ccid, path);
    }
    take(tunnel, cx, ccid, receipt, message);
    if let Place::Perhaps(path) = place {
        probe(tunnel, cx, ccid, Some(path));
    }
}

/// A StopCCN whose header names no connection (C-106), and that may be believed.
pub fn receive_stop(
    tunnel: &mut Tunnel,
    cx: &mut Context,
    ccid: Ccid,
    header: &Header,
    (message, message_type): (&[u8], &MessageTypeAvp),
) {
    let Some(connection) = tunnel.members.get_mut(ccid) else { return cx.missing() };
    let receipt = connection.take_numbers(cx, header, message, message_type);
    take(tunnel, cx, ccid, receipt, message);
}

/// A message came on a connection whose peer seemed to have started over: it still knows our id, so the SCCRQ was
/// a repetition, and the half-open connection that answers it goes.
fn withdraw_restart(tunnel: &mut Tunnel, cx: &mut Context, ccid: Ccid) {
    let established = |c: &&Connection| c.answered_again && c.state == State::Established;
    let Some(connection) = tunnel.members.get(ccid).filter(established) else { return };
    let half_open =
        |c: &&Connection| c.state == State::WaitCtlConn && c.transport.channel.awaits_acknowledgement();
    let answers = |c: &&Connection| half_open(c) && c.answers_as(connection);
    let found = tunnel.members.iter().find(answers).map(Connection::ccid);
    if let Some(half_open) = found {
        tunnel.delete(cx, half_open);
    }
}

/// Processes a message in its turn, and those that wait for it; acknowledges what is to be acknowledged.
fn take(tunnel: &mut Tunnel, cx: &mut Context, ccid: Ccid, receipt: Receipt, message: &[u8]) {
    if receipt != Receipt::Dropped {
        tunnel.sign_of_life(cx);
        withdraw_restart(tunnel, cx, ccid);
    }
    match receipt {
        Receipt::Dropped => return,
        Receipt::Acknowledgement | Receipt::OutOfTurn => {}
        Receipt::InTurn => {
            process(tunnel, cx, ccid, message);
            while let Some(early) = tunnel.members.get_mut(ccid).and_then(Connection::take_early) {
                process(tunnel, cx, ccid, &early);
            }
        }
    }
    resume::answered(tunnel, cx, ccid);
    // What the message came to may have been the connection's end.
    let (slots, members) = tunnel.slots_of(ccid);
    let Some(connection) = members.get_mut(ccid) else { return };
    slots.go_on(cx, connection);
    if receipt != Receipt::Acknowledgement {
        connection.transport.acknowledge(cx);
    }
    if connection.is_stopped() {
        tunnel.delete(cx, ccid);
    }
}

fn process(tunnel: &mut Tunnel, cx: &mut Context, ccid: Ccid, message: &[u8]) {
    let Some(connection) = tunnel.members.get_mut(ccid) else { return cx.missing() };
    let outcome = connection::receive::process(connection, cx, message);
    conclude(tunnel, cx, ccid, outcome);
}

/// The peer is at another address or port, or a message shows which address of ours it reached.
fn follow_peer(tunnel: &mut Tunnel, cx: &mut Context, ccid: Ccid, path: Path) {
    let Some(connection) = tunnel.members.get_mut(ccid) else { return cx.missing() };
    if connection.transport.path == path {
        return;
    }
    let before = keepalive::move_to(connection, cx, path);
    tunnel.slots_of(ccid).0.move_to(cx, ccid, path);
    if before.remote != path.remote {
        cx.remark(&Remark::Moved { tunnel: ccid, end: path.remote });
    }
}

/// What came of a message or timer of a connection.
fn conclude(tunnel: &mut Tunnel, cx: &mut Context, ccid: Ccid, outcome: Outcome) {
    match outcome {
        Outcome::Keep => {}
        Outcome::Established => established(tunnel, cx, ccid),
        Outcome::Answered => answered(tunnel, cx, ccid),
        Outcome::Session(message) => {
            let (slots, members) = tunnel.slots_of(ccid);
            let Some(connection) = members.get_mut(ccid) else { return cx.missing() };
            let failure = session::receive::receive(slots, cx, connection, &message);
            failure.into_iter().for_each(|failure| tunnel.attempt.fail(cx.now, failure));
        }
        Outcome::BadSession(refusal, failure) => {
            let (slots, members) = tunnel.slots_of(ccid);
            let Some(connection) = members.get_mut(ccid) else { return cx.missing() };
            let failure = session::receive::bad_message(slots, cx, connection, &refusal, failure);
            failure.into_iter().for_each(|failure| tunnel.attempt.fail(cx.now, failure));
        }
        Outcome::Stopped { reason, lost_tie } => loss::peer_stopped(tunnel, cx, ccid, reason, lost_tie),
        Outcome::Close(Objection { code, .. }) if failover::only_asks(tunnel, ccid) => {
            failover::asked_in_vain(tunnel, ccid);
            tunnel.close_connection(cx, ccid, code);
        }
        Outcome::Close(Objection { code, failure })
            if tunnel.backup.standby == Some(ccid)
                || failover::take_over(tunnel, cx, ccid, &failure.to_string()) =>
        {
            tunnel.close_connection(cx, ccid, code);
        }
        Outcome::Close(Objection { code, failure }) => {
            let next = loss::pass_over(tunnel, ccid, &failure.to_string());
            tunnel.fail_connection(cx, ccid, failure);
            tunnel.close_connection(cx, ccid, code);
            loss::try_others(tunnel, cx, next);
        }
        Outcome::Lost(failure) => loss::lose(tunnel, cx, ccid, failure),
        Outcome::Forgotten(_) if tunnel.resumes.as_ref().is_some_and(|resumes| resumes.ccid == ccid) => {
            resume::unanswered(tunnel, cx, ccid, "the peer does not answer for the connection of before");
        }
        Outcome::Forgotten(failure) => {
            loss::lose(tunnel, cx, ccid, failure);
            if tunnel.attempt.is_scheduled() {
                tunnel.schedule(cx, Duration::ZERO);
            }
        }
        Outcome::Done => tunnel.delete(cx, ccid),
    }
}

/// A peer that was asked answers. It serves the tunnel from now on, or is told that this was all.
fn answered(tunnel: &mut Tunnel, cx: &mut Context, ccid: Ccid) {
    let moves = failover::asked_answers(tunnel, cx, ccid) || standby::is_wanted(tunnel, cx, ccid);
    let Some(connection) = tunnel.members.get_mut(ccid) else { return cx.missing() };
    if !moves {
        let code = result(stopccn::GENERAL, None, "only asked whether this peer can be reached");
        return tunnel.close_connection(cx, ccid, code);
    }
    let outcome = connection::receive::connect(connection, cx);
    conclude(tunnel, cx, ccid, outcome);
}

/// A connection is established: it serves its tunnel from now on, whatever did before is cleared, and the
/// sessions begin.
fn established(tunnel: &mut Tunnel, cx: &mut Context, ccid: Ccid) {
    if let Some(connection) = tunnel.members.get_mut(ccid) {
        connection.stop_guard(cx);
    }
    if standby::established(tunnel, cx, ccid) {
        return;
    }
    let moved = tunnel.members.get_mut(ccid).is_some_and(|c| std::mem::take(&mut c.asks));
    let standby = tunnel.backup.standby;
    let others = tunnel.members.iter().map(Connection::ccid);
    let others: Vec<Ccid> = others.filter(|c| *c != ccid && Some(*c) != standby).collect();
    for other in others {
        if moved && tunnel.members.state(other) == Some(State::Established) {
            let code = result(stopccn::GENERAL, None, "a better peer is used again");
            tunnel.close_connection(cx, other, code);
        }
        replace(tunnel, cx, other);
    }
    tunnel.members.set_main(ccid);
    tunnel.kept = None;
    if let Some(connection) = tunnel.members.get(ccid) {
        let path = connection.transport.path;
        tunnel.addresses.answered(path.remote.ip());
        tunnel.fallback.works(cx.now, &tunnel.config, path.encapsulation);
    }
    count(&mut tunnel.members.counters.established);
    tunnel.attempt.cancel(cx);
    tunnel.attempt.since = cx.now;
    let peer = tunnel.members.get(ccid).map(|c| (c.transport.path.remote.ip(), !c.initiator));
    if let Some((peer, _)) = peer {
        cx.dropped_from.forget(peer);
    }
    tunnel.notify(cx, Happening::TunnelUp, String::new());
    if let Some((peer, called)) = peer {
        failover::peer_used(tunnel, cx, peer, called);
    }
    let Some(connection) = tunnel.members.get_mut(ccid) else { return cx.missing() };
    connection.spoiled = tunnel.spoiled.is_some() && tunnel.spoiled == peer.map(|(peer, _)| peer);
    keepalive::serve(connection, cx);
    // The initiator's ICRQs go out at once; the responder gives them a second, else the two cross at nearly
    // every connect and a tie must be broken.
    let delay = if connection.initiator { Duration::ZERO } else { RESPONDER_DELAY };
    tunnel.slots.begin(cx, connection, delay);
}

/// A connection gives way to one that has just been established. The peer does not know an old established one
/// any more (it came back with a new id), so nothing is sent.
fn replace(tunnel: &mut Tunnel, cx: &mut Context, ccid: Ccid) {
    match tunnel.members.state(ccid) {
        Some(State::Established) => {
            let reason = "the peer has set up a new control connection";
            tunnel.slots.drop_sessions(cx, Some(ccid), reason);
            tunnel.delete(cx, ccid);
        }
        Some(State::WaitCtlReply) => tunnel.linger(cx, ccid),
        Some(State::Idle | State::WaitCtlConn) => tunnel.delete(cx, ccid),
        Some(State::Stopping | State::Linger) | None => {}
    }
}

/// The answer to `Action::MeasurePath`.
pub fn path_measured(tunnel: &mut Tunnel, cx: &mut Context, ccid: Ccid, limit: Option<usize>) {
    let Some(connection) = tunnel.members.get_mut(ccid) else { return };
    let outcome = connection::receive::path_measured(connection, cx, limit);
    conclude(tunnel, cx, ccid, outcome);
}

/// There is a hint that the peer has forgotten a connection, or (`elsewhere`) that it is at the other end of that path
/// now: it is asked.
pub fn probe(tunnel: &mut Tunnel, cx: &mut Context, ccid: Ccid, elsewhere: Option<Path>) {
    let Some(connection) = tunnel.members.get_mut(ccid) else { return cx.missing() };
    let outcome = keepalive::probe(connection, cx, elsewhere);
    conclude(tunnel, cx, ccid, outcome);
}
