//! How the session of a session block is set up, from either end (RFC 3931 7.3), and what its timers do.

use super::new_circuit;
use super::slot::Slot;
use super::table::State;
use crate::log::{Event, Remark};
use crate::proto::action::{Action, Fragments, Path, SequenceLevel};
use crate::proto::connection::{table::State as ControlState, Connection};
use crate::proto::context::{Context, SlotDue};
use crate::proto::result::{result, Objection};
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

/// The session is established at the recipient's end, too.
pub fn call_connected(slot: &mut Slot, cx: &mut Context, connection: &mut Connection) {
    cx.log(Event::ReceiveState { message: MessageType::ICCN, state: "ESTABLISHED" });
    slot.established(cx, "");
    slot.advertise_circuit(cx, connection);
}

/// The session's interface is ready, or in words why not.
pub fn attached(
    slot: &mut Slot,
    cx: &mut Context,
    connection: Option<&mut Connection>,
    outcome: Result<(), String>,
) {
    let status = slot.circuit();
    let Some(session) = &mut slot.session else { return cx.missing() };
    session.attaching = false;
    if let Err(why) = outcome {
        slot.attempt.fail(cx.now, Failure::new(why, Cause::Interface));
        match connection {
            None => slot.free(cx),
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
        State::WaitReply => {
            let iccn = Iccn { ids: session.ids(), circuit_status: None, avps: SessionAvps::default() };
            connect(slot, cx, connection, iccn);
        }
        State::WaitConnect if session.connected => call_connected(slot, cx, connection),
        // The recipient's ICRP (C-176).
        State::WaitConnect => {
            session.advertised = status;
            let (ids, avps) = (session.ids(), session.avps(&slot.config));
            let reply = Message::Icrp(Icrp { ids, circuit_status: new_circuit(status), avps });
            cx.log(Event::SendState { message: MessageType::ICRP, state: "WAIT-CONNECT" });
            match connection.transport.enqueue(cx, &reply) {
                true => slot.arm_guard(cx),
                false => {
                    slot.drop_session(cx, "the ICRP could not be built");
                    slot.retry(cx);
                }
            }
        }
        State::Established => {
            if session.sublayer_to_send || session.sublayer_expected {
                // It must not be behind what the peer has seen: that would be taken for frames that were overtaken.
                let next = session.first_sequence.wrapping_add(SEQUENCE_JUMP) & SEQUENCE_MASK;
                cx.act(Action::Number { session: session.local, next });
            }
            slot.established(cx, "goes on after a crash");
            slot.advertise_circuit(cx, connection);
        }
    }
}

/// The caller's ICCN.
fn connect(slot: &mut Slot, cx: &mut Context, connection: &mut Connection, iccn: Iccn) {
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
    let Some(session) = &mut slot.session else { return cx.missing() };
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
    if cx.ids.has_session(manual.local) {
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
    slot.attach(cx, None);
}
