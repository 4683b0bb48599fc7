//! How the session of a session block is set up, from either end (RFC 3931 7.3), and what each message does to it.

use super::slot::Slot;
use super::table::{row, Row, State};
use super::{check_avps, check_request, check_sublayer, new_circuit, refuse_call, refuse_reply};
use crate::log::catalogue::Tie;
use crate::log::{Event, Remark};
use crate::proto::action::{Action, Fragments, Path, SequenceLevel};
use crate::proto::connection::{table::State as ControlState, Connection};
use crate::proto::context::{Context, SlotDue};
use crate::proto::result::{break_tie, result, Objection, TieBreak};
use crate::proto::snapshot::{Cause, Failure};
use crate::wire::code::cdn;
use crate::wire::data::SEQUENCE_MASK;
use crate::wire::message::{Iccn, Icrp, Icrq, SessionAvps};
use crate::wire::{Message, MessageType};

/// So many frames may have been sent since the number of one was noted; far less than half of all numbers.
const SEQUENCE_JUMP: u32 = 3 << 20;

/// A timer of this block's session fired; `connection` is that of the session.
pub fn due(slot: &mut Slot, cx: &mut Context, due: SlotDue, connection: Option<&mut Connection>) {
    if due == SlotDue::Announce {
        return slot.announce_now(cx);
    }
    let Some(connection) = connection else { return slot.attempt.begin() };
    match due {
        SlotDue::Announce | SlotDue::Attempt => {}
        SlotDue::Guard => guard_due(slot, cx, connection),
        SlotDue::CircuitStatus => {
            if let Some(session) = &mut slot.session {
                session.status_timer = None;
            }
            slot.advertise_circuit(cx, connection);
        }
    }
}

/// Idle and call event on an established connection: ICRQ (C-166).
pub fn begin(slot: &mut Slot, cx: &mut Context, connection: &mut Connection, serial: &mut u32) {
    slot.attempt.begin();
    if connection.state != ControlState::Established || slot.session.is_some() || !slot.is_usable() {
        return;
    }
    let (tunnel, pw_type) = (connection.ccid(), slot.config.pw_type());
    // C-136: never ask for a pseudowire type that the peer did not list. Every peer with Ethernet lists it; Cisco's
    // cable equipment and Ericsson, which have none, do not.
    if !connection.peer.pw_capabilities.contains(&pw_type) {
        let (check, listed) =
            ("pseudowire type in the peer's list", format!("{:?}", connection.peer.pw_capabilities));
        let failure = Failure::compared(check, pw_type.to_string(), listed, Cause::Other);
        let (interface, text) = (slot.config.interface.clone(), failure.to_string());
        cx.remark(&Remark::PwType { tunnel, interface, failure: text });
        slot.attempt.fail(cx.now, failure);
        return slot.retry(cx);
    }
    cx.log(Event::BeginNewSession { tunnel });
    let Some(mut session) = slot.new_session(cx, connection.transport.path) else {
        return slot.retry(cx);
    };
    session.connection = Some(tunnel);
    *serial = serial.wrapping_add(1); // C-140
    session.serial = *serial;
    let request = Message::Icrq(Icrq {
        ids: session.ids(),
        serial: session.serial,
        pw_type,
        end_id: slot.config.remote_end_id.clone().unwrap_or_default(),
        circuit_status: new_circuit(slot.circuit()),
        tie_breaker: Some(session.tie_breaker),
        avps: session.avps(&slot.config),
    });
    slot.file(cx, session);
    cx.log(Event::SendState { message: MessageType::ICRQ, state: "WAIT-REPLY" });
    if !connection.transport.enqueue(cx, &request) {
        slot.drop_session(cx, "the ICRQ could not be built");
        return slot.retry(cx);
    }
    slot.arm_guard(cx);
}

/// Wait-reply and ICRP (C-167, C-168): if it is acceptable the interface is attached, then the ICCN is sent.
fn accept_reply(slot: &mut Slot, cx: &mut Context, connection: &mut Connection, reply: &Icrp) {
    let Some(session) = slot.session.as_mut().filter(|session| !session.attaching) else { return };
    session.remote = reply.ids.local;
    session.remote_circuit = Some(reply.circuit_status);
    if let Err(objection) = check_avps(cx, connection.ccid(), &slot.config, &reply.avps, MessageType::ICRP) {
        return slot.object(cx, connection, objection);
    }
    session.take(&reply.avps, &slot.config);
    attach(slot, cx, Some(connection));
}

/// An ICRQ for this block (C-176, C-177).
pub fn call_requested(slot: &mut Slot, cx: &mut Context, connection: &mut Connection, request: &Icrq) {
    let ccid = connection.ccid();
    if let Err(Objection { code, failure }) = check_request(cx, ccid, &slot.config, request) {
        slot.attempt.fail(cx.now, failure);
        return refuse_call(cx, connection, request.ids, code);
    }
    if slot.session.is_some() && !gives_way(slot, cx, connection, request) {
        return;
    }
    accept_call(slot, cx, connection, request);
}

/// There is a session for the same end already. Whether it gives way to the peer's request; if not, the
/// request is answered here.
fn gives_way(slot: &mut Slot, cx: &mut Context, connection: &mut Connection, request: &Icrq) -> bool {
    let Some(session) = &mut slot.session else { return true };
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
                    slot.give_way(cx, "our request gave way to the peer's");
                    true
                }
                // C-159, C-161: both start over, a little apart.
                TieBreak::Draw | TieBreak::NoTie => {
                    slot.give_way(cx, "equal tie breakers: starting over");
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
    attach(slot, cx, Some(connection));
}

/// The recipient's ICRP (C-176).
fn reply_to_call(slot: &mut Slot, cx: &mut Context, connection: &mut Connection) {
    let status = slot.circuit();
    let Some(session) = &mut slot.session else { return };
    session.advertised = status;
    let reply = Message::Icrp(Icrp {
        ids: session.ids(),
        circuit_status: new_circuit(status),
        avps: session.avps(&slot.config),
    });
    cx.log(Event::SendState { message: MessageType::ICRP, state: "WAIT-CONNECT" });
    if !connection.transport.enqueue(cx, &reply) {
        slot.drop_session(cx, "the ICRP could not be built");
        return slot.retry(cx);
    }
    slot.arm_guard(cx);
}

/// Wait-connect and ICCN (C-180).
fn accept_connected(slot: &mut Slot, cx: &mut Context, connection: &mut Connection, connected: &Iccn) {
    let Some(session) = slot.session.as_mut().filter(|session| !session.attaching) else { return };
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
    attach(slot, cx, None);
}

fn call_connected(slot: &mut Slot, cx: &mut Context, connection: &mut Connection) {
    cx.log(Event::ReceiveState { message: MessageType::ICCN, state: "ESTABLISHED" });
    slot.established(cx, "");
    slot.advertise_circuit(cx, connection);
}

/// Asks for the session's interface; the session goes on in [`attached`]. With a connection, its
/// acknowledgement waits for the reply that follows.
pub fn attach(slot: &mut Slot, cx: &mut Context, connection: Option<&mut Connection>) {
    let Some(session) = &mut slot.session else { return };
    session.attaching = true;
    if let Some(connection) = connection {
        connection.transport.reply_pending = true;
    }
    cx.act(Action::Attach(Box::new(session.attachment(&slot.tunnel.name, &slot.config))));
}

/// The session's interface is ready, or in words why not.
pub fn attached(
    slot: &mut Slot,
    cx: &mut Context,
    connection: Option<&mut Connection>,
    outcome: Result<(), String>,
) {
    let Some(session) = &mut slot.session else { return };
    session.attaching = false;
    if let Err(why) = outcome {
        slot.attempt.fail(cx.now, Failure::new(why, Cause::Interface));
        match connection {
            None => slot.forget(cx),
            connection => {
                let code = result(cdn::TEMPORARY, None, "the interface cannot be set up");
                slot.clear(cx, connection, code);
            }
        }
        return slot.retry(cx);
    }
    session.attached = true;
    let Some(connection) = connection else { return slot.established(cx, "") };
    match session.state {
        State::WaitReply => connect(slot, cx, connection),
        State::WaitConnect if session.connected => call_connected(slot, cx, connection),
        State::WaitConnect => reply_to_call(slot, cx, connection),
        State::Established => go_on(slot, cx, connection),
    }
}

/// A session of before a crash has its interface again.
fn go_on(slot: &mut Slot, cx: &mut Context, connection: &mut Connection) {
    let Some(session) = &mut slot.session else { return };
    if session.sublayer_to_send || session.sublayer_expected {
        // It must not be behind what the peer has seen: that would be taken for frames that were overtaken.
        let next = session.first_sequence.wrapping_add(SEQUENCE_JUMP) & SEQUENCE_MASK;
        cx.act(Action::Number { session: session.local, next });
    }
    slot.established(cx, "goes on after a crash");
    slot.advertise_circuit(cx, connection);
}

/// The caller's ICCN.
fn connect(slot: &mut Slot, cx: &mut Context, connection: &mut Connection) {
    let Some(session) = &slot.session else { return };
    let iccn = Iccn { ids: session.ids(), circuit_status: None, avps: SessionAvps::default() };
    cx.log(Event::ReceiveState { message: MessageType::ICRP, state: "ESTABLISHED" });
    cx.log(Event::SendState { message: MessageType::ICCN, state: "ESTABLISHED" });
    // The data plane is open before the ICCN leaves: the peer's frames may follow at once.
    slot.established(cx, "");
    slot.advertise_circuit(cx, connection);
    if !connection.transport.enqueue(cx, &Message::Iccn(iccn)) {
        slot.drop_session(cx, "the ICCN could not be built");
        slot.retry(cx);
    }
}

/// The peer acknowledged our ICRQ or ICRP but does not answer it (C-187).
fn guard_due(slot: &mut Slot, cx: &mut Context, connection: &mut Connection) {
    let Some(session) = &mut slot.session else { return };
    session.guard = None;
    if connection.transport.channel.awaits_acknowledgement() {
        return slot.arm_guard(cx);
    }
    let waited = match session.state {
        State::WaitReply => "the peer acknowledged our ICRQ but sent no ICRP",
        State::WaitConnect => "the peer acknowledged our ICRP but sent no ICCN",
        State::Established => return,
    };
    let (code, failure) = (result(cdn::FSM, None, "set-up timeout"), Failure::new(waited, Cause::Other));
    slot.object(cx, connection, Objection { code, failure });
}

/// A manual session: ids and cookies stand in the configuration, nothing is negotiated.
pub fn start_manual(slot: &mut Slot, cx: &mut Context, path: Path) {
    slot.attempt.begin();
    let Some(manual) = slot.config.manual.filter(|_| slot.is_usable() && slot.session.is_none()) else {
        return;
    };
    let Some(mut session) = slot.new_session(cx, path) else { return slot.retry(cx) };
    if cx.ids.slot_of(manual.local).is_some() {
        let why = format!("session id {} is in use by another session", manual.local);
        cx.log_detail(Event::NewSessionFailed {}, format!("tunnel {}: {why}", slot.tunnel.name));
        slot.attempt.fail(cx.now, Failure::new(why, Cause::NoSession));
        return slot.retry(cx);
    }
    session.local = manual.local;
    session.remote = manual.remote;
    session.cookie_expected = slot.config.local_cookie.clone();
    session.cookie_to_send = slot.config.remote_cookie.clone();
    session.sublayer_to_send = session.sublayer_expected;
    if slot.config.sequencing.sends() {
        session.sequence_send = SequenceLevel::All;
    }
    // The other end is configured in the same way.
    let avps = session.avps(&slot.config);
    session.remote_fragments = avps
        .mru
        .zip(avps.mrru)
        .map(|(message, frame)| Fragments { message: message.into(), frame: frame.into() });
    slot.file(cx, session);
    attach(slot, cx, None);
}

/// A message for this block's session, other than ICRQ.
pub fn receive(slot: &mut Slot, cx: &mut Context, connection: &mut Connection, message: &Message) {
    let Some(session) = &slot.session else { return };
    let kind = message.message_type();
    match (row(Some(session.state), kind), message) {
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
        (Row::Refuse, _) => refuse_reply(cx, connection, message),
        (Row::Ignore, _) => connection.ignore(cx, kind),
        (Row::Nothing | Row::AcceptReply | Row::AcceptConnected | Row::Status, _) => {}
    }
}
