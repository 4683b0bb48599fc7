//! What each message of a peer does to the session of a block (RFC 3931 7.3).

use super::setup::call_connected;
use super::slot::Slot;
use super::table::{row, Row, State};
use super::{check_avps, check_request, check_sublayer, refuse_call};
use crate::log::catalogue::Tie;
use crate::log::Event;
use crate::proto::action::Action;
use crate::proto::connection::Connection;
use crate::proto::context::Context;
use crate::proto::result::{break_tie, result, Objection, TieBreak};
use crate::wire::code::{cdn, error};
use crate::wire::message::{Iccn, Icrp, Icrq, SessionIds};
use crate::wire::{Message, MessageType};

/// An ICRQ for this block (C-176, C-177).
pub fn call(slot: &mut Slot, cx: &mut Context, connection: &mut Connection, request: &Icrq) {
    let ccid = connection.ccid();
    if let Err(Objection { code, failure }) = check_request(cx, ccid, &slot.config, request) {
        slot.attempt.fail(cx.now, failure);
        return refuse_call(cx, connection, request.ids, code);
    }
    if gives_way(slot, cx, connection, request) {
        accept_call(slot, cx, connection, request);
    }
}

/// Whether the session of the same end, if there is one, gives way to the peer's request; if not, the
/// request is answered here.
fn gives_way(slot: &mut Slot, cx: &mut Context, connection: &mut Connection, request: &Icrq) -> bool {
    let Some(session) = &mut slot.session else { return true }; // there is none to give way
    let ours = session.tie_breaker;
    match session.state {
        State::WaitReply if !session.attaching => {
            let (local, peer) = (Tie(Some(ours)), Tie(request.tie_breaker));
            cx.log(Event::SessionTieCheck { tunnel: connection.ccid(), local, peer });
            match break_tie(Some(ours), request.tie_breaker) {
                TieBreak::Win => {
                    session.won_tie = true;
                    refuse_call(cx, connection, request.ids, result(cdn::TIE, None, ""));
                    false
                }
                TieBreak::Lose => {
                    slot.forget(cx, "our request gave way to the peer's");
                    true
                }
                // C-159, C-161: both start over, a little apart.
                TieBreak::Draw | TieBreak::NoTie => {
                    slot.forget(cx, "equal tie breakers: starting over");
                    let delay = cx.redraw_delay();
                    slot.schedule(cx, delay);
                    false
                }
            }
        }
        // The peer has dropped that session, or lost it in a restart, and begins again.
        State::WaitReply | State::WaitConnect | State::Established => {
            slot.clear(cx, Some(connection), result(cdn::FSM, None, "replaced by a new request"));
            true
        }
    }
}

/// Idle and acceptable ICRQ (C-176): the interface is attached, then the ICRP is sent.
fn accept_call(slot: &mut Slot, cx: &mut Context, connection: &mut Connection, request: &Icrq) {
    let tunnel = connection.ccid();
    cx.log(Event::CreateNewSession { tunnel });
    cx.log(Event::BeginNewSession { tunnel });
    let Some(mut session) = slot.new_session(cx, connection.transport.path) else {
        let code = result(cdn::TEMPORARY, None, "no facilities at the moment");
        refuse_call(cx, connection, request.ids, code);
        return slot.retry(cx);
    };
    session.connection = Some(tunnel);
    session.state = State::WaitConnect;
    session.remote = request.ids.local;
    session.serial = request.serial;
    session.remote_circuit = Some(request.circuit_status);
    session.take(&request.avps, &slot.config);
    slot.file(cx, session);
    cx.log(Event::ReceiveState { message: MessageType::ICRQ, state: "IDLE" });
    slot.attach(cx, Some(connection));
}

/// An ICRP for which no session waits.
pub fn refuse_reply(cx: &mut Context, connection: &mut Connection, ids: SessionIds) {
    let code = result(cdn::ERROR, Some(error::SESSION_ID), "no session of this id waits for an ICRP");
    refuse_call(cx, connection, ids, code);
}

/// A message for this block's session, other than ICRQ.
pub fn receive(
    slot: &mut Slot,
    cx: &mut Context,
    connection: &mut Connection,
    (message, ids): (&Message, SessionIds),
) {
    let kind = message.message_type();
    match (row(slot.session.as_ref().map(|session| session.state), kind), message) {
        // One that comes again while the interface is being attached changes nothing.
        (Row::AcceptReply | Row::AcceptConnected, _) if slot.is_attaching() => {}
        (Row::AcceptReply, Message::Icrp(reply)) => accept_reply(slot, cx, connection, reply),
        (Row::AcceptConnected, Message::Iccn(connected)) => {
            accept_connected(slot, cx, connection, connected);
        }
        (Row::Clear, Message::Cdn(cdn)) => slot.peer_cleared(cx, connection, cdn),
        (Row::Clear, _) => {
            slot.drop_session(cx, "an ICCN came in place of the ICRP");
            slot.retry(cx);
        }
        (Row::Status, Message::Sli(sli)) => slot.peer_status(cx, sli),
        (Row::Refuse, _) => refuse_reply(cx, connection, ids),
        (Row::Ignore, _) => connection.ignore(cx, kind),
        (Row::Nothing | Row::AcceptReply | Row::AcceptConnected | Row::Status, _) => {}
    }
}

/// Wait-reply and ICRP (C-167, C-168): if it is acceptable the interface is attached, then the ICCN is sent.
fn accept_reply(slot: &mut Slot, cx: &mut Context, connection: &mut Connection, reply: &Icrp) {
    let Some(session) = &mut slot.session else { return cx.missing() };
    session.remote = reply.ids.local;
    session.remote_circuit = Some(reply.circuit_status);
    if let Err(objection) = check_avps(cx, connection.ccid(), &slot.config, &reply.avps, MessageType::ICRP) {
        return slot.object(cx, connection, objection);
    }
    session.take(&reply.avps, &slot.config);
    slot.attach(cx, Some(connection));
}

/// Wait-connect and ICCN (C-180).
fn accept_connected(slot: &mut Slot, cx: &mut Context, connection: &mut Connection, connected: &Iccn) {
    let Some(session) = &mut slot.session else { return cx.missing() };
    session.remote_circuit = connected.circuit_status.or(session.remote_circuit);
    let before = (session.sublayer_to_send, session.sequence_send, session.remote_fragments);
    if let Err(objection) = check_sublayer(&connected.avps, session.sublayer_to_send) {
        return slot.object(cx, connection, objection);
    }
    session.take(&connected.avps, &slot.config);
    if (session.sublayer_to_send, session.sequence_send, session.remote_fragments) == before {
        return call_connected(slot, cx, connection);
    }
    // The frames that we send must look different now: the interface is attached anew.
    session.connected = true;
    session.attached = false;
    cx.act(Action::Detach { session: session.local });
    slot.attach(cx, None);
}
