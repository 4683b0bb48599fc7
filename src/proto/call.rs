//! Sessions (RFC 3931 3.4, 7.3): begin, connect, clear; the circuit's status; manual sessions.

use std::time::{Duration, Instant};

use super::action::{Action, Attachment, Happening, Notification, SequenceLevel};
use super::connection::State as ControlState;
use super::ending::result;
use super::incoming::{check_sublayer, Objection};
use super::send::later;
use super::session::{row, Row, Session, State};
use super::snapshot::Failure;
use super::tunnel::{SlotKey, TunnelKey};
use super::{Engine, Timer};
use crate::config::model::{Role, Sublayer};
use crate::log::{Event, Level};
use crate::wire::code::{self, cdn, error};
use crate::wire::message::{Circuit, Iccn, Icrp, Icrq, SessionIds};
use crate::wire::{Ccid, CircuitStatus, Cookie, Message, MessageType, SessionId};

/// The Session Tie Breaker of an end that leaves the beginning to its peer: it loses against every random value, and
/// against the constant of peers that never look at ours and give up the connection when they lose.
const PASSIVE_TIE_BREAKER: [u8; 8] = 0xffff_ffff_ffff_fffe_u64.to_be_bytes();

impl Engine {
    /// Begins the sessions of a tunnel whose connection is established, after `delay`.
    pub(super) fn start_sessions(&mut self, now: Instant, key: TunnelKey, delay: Duration) {
        let Some(tunnel) = self.tunnels.get(&key) else { return };
        let slots: Vec<SlotKey> = tunnel.slots.iter().filter(|s| s.is_dynamic()).map(|s| s.key).collect();
        for slot in slots {
            match delay.is_zero() {
                true => self.begin_session(now, key, slot),
                false => self.schedule_slot(now, key, slot, delay),
            }
        }
    }

    /// Arms the timer of a session's next attempt.
    pub(super) fn schedule_slot(&mut self, now: Instant, key: TunnelKey, slot: SlotKey, delay: Duration) {
        let at = later(now, delay);
        let timer = self.wheel.arm(at, Timer::Slot(key, slot));
        let Some(entry) = self.tunnels.get_mut(&key).and_then(|t| t.slot_mut(slot)) else {
            self.wheel.cancel(timer);
            return;
        };
        entry.attempt.at = Some(at);
        if let Some(old) = entry.attempt.timer.replace(timer) {
            self.wheel.cancel(old);
        }
    }

    /// Arms it with the tunnel's restart interval, plus or minus a quarter.
    pub(super) fn reschedule_slot(&mut self, now: Instant, key: TunnelKey, slot: SlotKey) {
        let Some(interval) = self.tunnels.get(&key).map(|t| t.config.restart_interval) else { return };
        let delay = self.jitter(interval);
        self.schedule_slot(now, key, slot, delay);
    }

    pub(super) fn slot_due(&mut self, now: Instant, key: TunnelKey, slot: SlotKey) {
        let Some(entry) = self.tunnels.get_mut(&key).and_then(|t| t.slot_mut(slot)) else { return };
        entry.attempt.timer = None;
        entry.attempt.at = None;
        if entry.is_dynamic() {
            self.begin_session(now, key, slot);
        } else {
            self.start_manual_sessions(now, key);
        }
    }

    /// Idle and call event on an established connection: ICRQ (C-166).
    fn begin_session(&mut self, now: Instant, key: TunnelKey, slot_key: SlotKey) {
        let Some(tunnel) = self.tunnels.get(&key) else { return };
        let (Some(ccid), Some(slot)) = (tunnel.main, tunnel.slot(slot_key)) else { return };
        let Some(connection) = self.connections.get(&ccid) else { return };
        if connection.state != ControlState::Established || slot.session.is_some() || !slot.is_usable() {
            return;
        }
        let pw_type = slot.config.pw_type();
        // C-136: never ask for a pseudowire type that the peer did not list. Every peer with Ethernet lists it; Cisco's
        // cable equipment and Ericsson, which have none, do not.
        if !connection.peer.pw_capabilities.contains(&pw_type) {
            let listed = format!("{:?}", connection.peer.pw_capabilities);
            let failure =
                Failure::compared("pseudowire type in the peer's list", pw_type.to_string(), listed, "");
            let interface = slot.config.interface.clone();
            self.remark(Level::Warn, "pw-type", format!("[{ccid}] session {interface}: {failure}"));
            self.fail_session(now, key, slot_key, failure);
            return self.reschedule_slot(now, key, slot_key);
        }
        self.log(Event::BeginNewSession { tunnel: ccid });
        let Some(mut session) = self.new_session(now, key, slot_key, ccid) else {
            return self.reschedule_slot(now, key, slot_key);
        };
        let Some(tunnel) = self.tunnels.get_mut(&key) else { return };
        tunnel.serial = tunnel.serial.wrapping_add(1); // C-140
        session.serial = tunnel.serial;
        let id = session.local;
        let Some(circuit_status) = self.file_session(session) else { return };
        let Some(message) = self.request_of(id, circuit_status) else { return };
        self.log(Event::SendState { message: MessageType::ICRQ, state: "WAIT-REPLY" });
        if !self.enqueue(now, ccid, &message) {
            self.drop_session(now, id, "the ICRQ could not be built");
            return self.reschedule_slot(now, key, slot_key);
        }
        self.arm_session_guard(now, id);
    }

    /// A session with fresh random values, not filed yet; `None` (logged) if there cannot be one more.
    pub(super) fn new_session(
        &mut self,
        now: Instant,
        key: TunnelKey,
        slot: SlotKey,
        ccid: Ccid,
    ) -> Option<Session> {
        let limit = self.config.as_ref().map_or(0, |c| c.max_sessions);
        let why = match self.sessions.len() < limit {
            false => format!("max-sessions is {limit}"),
            true => match self.session_values() {
                Some((local, cookie, tie_breaker)) => {
                    let tunnel = self.tunnels.get(&key)?;
                    let entry = tunnel.slot(slot)?;
                    let length = entry.config.cookie.octets();
                    let passive = tunnel.config.role == Role::Passive;
                    let tie_breaker = if passive { PASSIVE_TIE_BREAKER } else { tie_breaker };
                    return Some(Session {
                        tunnel: key,
                        slot,
                        connection: Some(ccid),
                        interface: entry.config.interface.clone(),
                        local,
                        remote: SessionId(0),
                        state: State::WaitReply,
                        since: now,
                        attaching: false,
                        attached: false,
                        connected: false,
                        serial: 0,
                        tie_breaker,
                        won_tie: false,
                        cookie_expected: cookie.get(..length).and_then(Cookie::new).unwrap_or(Cookie::NONE),
                        cookie_to_send: Cookie::NONE,
                        sublayer_to_send: false,
                        sublayer_expected: entry.config.sublayer == Sublayer::Default,
                        sequence_send: SequenceLevel::None,
                        remote_circuit: None,
                        remote_mtu: None,
                        told_circuit: entry.circuit_up,
                        guard: None,
                        status_timer: None,
                    });
                }
                None => "no random octets for its id and cookie".to_owned(),
            },
        };
        self.log_detail(Event::NewSessionFailed {}, why.clone());
        self.fail_session(now, key, slot, Failure::new(why, "M-012"));
        None
    }

    fn session_values(&mut self) -> Option<(SessionId, [u8; 8], [u8; 8])> {
        Some((self.free_session_id()?, self.random()?, self.random()?))
    }

    /// Files a session with its slot and connection. Answers with the local circuit's status for the message that
    /// announces it: N is set since the circuit is new (RFC 4719; deprecated by RFC 5641, but nothing forbids it).
    pub(super) fn file_session(&mut self, session: Session) -> Option<CircuitStatus> {
        let (id, ccid) = (session.local, session.connection);
        let slot = self.tunnels.get_mut(&session.tunnel)?.slot_mut(session.slot)?;
        slot.session = Some(id);
        slot.attempt.since = session.since;
        slot.attempt.at = None;
        let timer = slot.attempt.timer.take();
        let up = slot.circuit_up;
        if let Some(timer) = timer {
            self.wheel.cancel(timer);
        }
        if let Some(connection) = ccid.and_then(|ccid| self.connections.get_mut(&ccid)) {
            connection.sessions.insert(id);
        }
        self.sessions.insert(id, session);
        Some(CircuitStatus(CircuitStatus::NEW | if up { CircuitStatus::ACTIVE } else { 0 }))
    }

    /// What our ICRQ and ICRP ask of the peer: our cookie, our sublayer, numbers on its frames.
    pub(super) fn circuit_of(&self, id: SessionId) -> Option<Circuit> {
        let session = self.sessions.get(&id)?;
        let slot = self.tunnels.get(&session.tunnel)?.slot(session.slot)?;
        Some(Circuit {
            cookie: (!session.cookie_expected.is_empty()).then_some(session.cookie_expected),
            sublayer: session.sublayer_expected.then_some(1),
            sequencing: slot.config.sequencing.receives().then_some(2),
            ..Circuit::default()
        })
    }

    fn request_of(&self, id: SessionId, circuit_status: CircuitStatus) -> Option<Message> {
        let session = self.sessions.get(&id)?;
        let slot = self.tunnels.get(&session.tunnel)?.slot(session.slot)?;
        Some(Message::Icrq(Icrq {
            ids: SessionIds { local: id, remote: SessionId(0) },
            serial: session.serial,
            pw_type: slot.config.pw_type(),
            end_id: slot.config.remote_end_id.clone().unwrap_or_default(),
            circuit_status,
            tie_breaker: Some(session.tie_breaker),
            circuit: self.circuit_of(id)?,
        }))
    }

    /// A session message other than ICRQ arrived on an established connection.
    pub(super) fn session_message(&mut self, now: Instant, ccid: Ccid, message: &Message) {
        let Some(ids) = session_ids(message) else { return };
        let id = self.find_session(ccid, ids);
        let state = id.and_then(|id| self.sessions.get(&id)).map(|s| s.state);
        let message_type = message.message_type();
        match (row(state, message_type), id, message) {
            (Row::AcceptReply, Some(id), Message::Icrp(reply)) => self.accept_call_reply(now, id, reply),
            (Row::AcceptConnected, Some(id), Message::Iccn(connected)) => {
                self.accept_call_connected(now, id, connected)
            }
            (Row::Clear, Some(id), Message::Cdn(cdn)) => self.peer_cleared(now, ccid, id, cdn),
            (Row::Clear, Some(id), _) => {
                let at = self.sessions.get(&id).map(|s| (s.tunnel, s.slot));
                self.drop_session(now, id, "an ICCN came in place of the ICRP");
                if let Some((key, slot)) = at {
                    self.reschedule_slot(now, key, slot);
                }
            }
            (Row::Status, Some(id), Message::Sli(sli)) => self.peer_status(id, sli),
            (Row::Refuse, _, _) => self.refuse_call(
                now,
                ccid,
                ids,
                result(cdn::ERROR, Some(error::SESSION_ID), "no session of this id waits for an ICRP"),
            ),
            (Row::Ignore, _, _) => {
                self.log(Event::ReceiveIgnored { tunnel: ccid, message: message_type, state: "ESTABLISHED" });
                self.count(ccid, |c| c.rx_ignored = c.rx_ignored.saturating_add(1));
            }
            (Row::Nothing, None, Message::Cdn(cdn)) => {
                // The session is gone already; only the range of the code is worth a line.
                let _ = self.peer_result(ccid, cdn.result.as_ref(), code::cdn_in_range, code::cdn_text);
            }
            (Row::Nothing | Row::AcceptReply | Row::AcceptConnected | Row::Clear | Row::Status, _, _) => {}
        }
    }

    /// The session that a message is for: by our id, or where the peer does not know that yet by its own (C-134).
    pub(super) fn find_session(&self, ccid: Ccid, ids: SessionIds) -> Option<SessionId> {
        let connection = self.connections.get(&ccid)?;
        if ids.remote != SessionId(0) {
            return connection.sessions.contains(&ids.remote).then_some(ids.remote);
        }
        if ids.local == SessionId(0) {
            return None;
        }
        let matches = |id: &&SessionId| self.sessions.get(id).is_some_and(|s| s.remote == ids.local);
        connection.sessions.iter().find(matches).copied()
    }

    /// Wait-reply and ICRP (C-167, C-168): if it is acceptable the interface is attached, then the ICCN is sent.
    fn accept_call_reply(&mut self, now: Instant, id: SessionId, reply: &Icrp) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if session.attaching {
            return;
        }
        let (key, slot, ccid) = (session.tunnel, session.slot, session.connection);
        session.remote = reply.ids.local;
        session.remote_circuit = Some(reply.circuit_status);
        let Some(ccid) = ccid else { return };
        if let Err(objection) = self.check_circuit(ccid, key, slot, &reply.circuit, MessageType::ICRP) {
            let Objection { code, failure } = objection;
            self.fail_session(now, key, slot, failure);
            self.clear_session_with(now, id, code);
            return self.reschedule_slot(now, key, slot);
        }
        self.take_circuit(id, &reply.circuit);
        self.attach(ccid, id);
    }

    /// Takes over what the peer asks of us.
    pub(super) fn take_circuit(&mut self, id: SessionId, circuit: &Circuit) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let sends = self.tunnels.get(&session.tunnel).and_then(|t| t.slot(session.slot));
        let send_always = sends.is_some_and(|s| s.config.sequencing.sends());
        if let Some(cookie) = circuit.cookie {
            session.cookie_to_send = cookie;
        }
        if let Some(sublayer) = circuit.sublayer {
            session.sublayer_to_send = sublayer == 1;
        }
        session.sequence_send = match circuit.sequencing {
            _ if send_always && session.sublayer_to_send => SequenceLevel::All,
            Some(2) => SequenceLevel::All,
            Some(1) => SequenceLevel::NonIp,
            Some(_) => SequenceLevel::None,
            None => session.sequence_send,
        };
        session.remote_mtu = circuit.interface_mtu.or(session.remote_mtu);
    }

    /// Asks for the session's interface; the session goes on in [`Engine::attached`].
    pub(super) fn attach(&mut self, ccid: Ccid, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.attaching = true;
        let Some(connection) = self.connections.get_mut(&ccid) else { return };
        connection.reply_pending = true;
        let path = connection.path;
        self.push_attachment(id, path);
    }

    pub(super) fn push_attachment(&mut self, id: SessionId, path: super::Path) {
        let Some(session) = self.sessions.get(&id) else { return };
        let Some(tunnel) = self.tunnels.get(&session.tunnel) else { return };
        let Some(slot) = tunnel.slot(session.slot) else { return };
        let attachment = Attachment {
            interface: session.interface.clone(),
            tunnel: tunnel.config.name.clone(),
            local: id,
            remote: session.remote,
            cookie_expected: session.cookie_expected,
            cookie_to_send: session.cookie_to_send,
            sublayer_expected: session.sublayer_expected,
            sublayer_to_send: session.sublayer_to_send,
            sequence_send: session.sequence_send,
            sequence_receive: slot.config.sequencing.receives() && session.sublayer_expected,
            path,
        };
        self.actions.push_back(Action::Attach(Box::new(attachment)));
    }

    /// Answers `Action::Attach`: the session's interface is ready, or in words why not.
    pub fn attached(&mut self, now: Instant, session: SessionId, outcome: Result<(), String>) {
        let Some(entry) = self.sessions.get_mut(&session) else { return };
        entry.attaching = false;
        let (key, slot, connection, state) = (entry.tunnel, entry.slot, entry.connection, entry.state);
        if let Err(why) = outcome {
            self.fail_session(now, key, slot, Failure::new(why, "M-025"));
            if connection.is_some() {
                self.clear_session_with(
                    now,
                    session,
                    result(cdn::TEMPORARY, None, "the interface cannot be set up"),
                );
            } else {
                self.forget_session(session);
            }
            return self.reschedule_slot(now, key, slot);
        }
        entry.attached = true;
        let Some(ccid) = connection else { return self.session_established(now, session) };
        match state {
            State::WaitReply => {
                self.log(Event::ReceiveState { message: MessageType::ICRP, state: "ESTABLISHED" });
                self.log(Event::SendState { message: MessageType::ICCN, state: "ESTABLISHED" });
                let ids = self.ids_of(session);
                let iccn = Iccn { ids, circuit_status: None, circuit: Circuit::default() };
                // The data plane is open before the ICCN leaves: the peer's frames may follow at once.
                self.session_established(now, session);
                if !self.enqueue(now, ccid, &Message::Iccn(iccn)) {
                    self.drop_session(now, session, "the ICCN could not be built");
                    self.reschedule_slot(now, key, slot);
                }
            }
            State::WaitConnect if entry.connected => self.call_connected(now, session),
            State::WaitConnect => self.reply_to_call(now, ccid, session),
            State::Established => {}
        }
    }

    /// The ids of a session as our messages carry them.
    pub(super) fn ids_of(&self, id: SessionId) -> SessionIds {
        SessionIds { local: id, remote: self.sessions.get(&id).map_or(SessionId(0), |s| s.remote) }
    }

    /// The recipient's ICRP (C-176).
    fn reply_to_call(&mut self, now: Instant, ccid: Ccid, id: SessionId) {
        let up = self.circuit_is_up(id);
        let (ids, Some(circuit)) = (self.ids_of(id), self.circuit_of(id)) else { return };
        let circuit_status = CircuitStatus(CircuitStatus::NEW | if up { CircuitStatus::ACTIVE } else { 0 });
        if let Some(session) = self.sessions.get_mut(&id) {
            session.told_circuit = up;
        }
        self.log(Event::SendState { message: MessageType::ICRP, state: "WAIT-CONNECT" });
        if !self.enqueue(now, ccid, &Message::Icrp(Icrp { ids, circuit_status, circuit })) {
            let at = self.sessions.get(&id).map(|s| (s.tunnel, s.slot));
            self.drop_session(now, id, "the ICRP could not be built");
            if let Some((key, slot)) = at {
                self.reschedule_slot(now, key, slot);
            }
            return;
        }
        self.arm_session_guard(now, id);
    }

    /// Wait-connect and ICCN (C-180).
    fn accept_call_connected(&mut self, now: Instant, id: SessionId, connected: &Iccn) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if session.attaching {
            return;
        }
        if let Some(status) = connected.circuit_status {
            session.remote_circuit = Some(status);
        }
        let (key, slot, had_sublayer) = (session.tunnel, session.slot, session.sublayer_to_send);
        let before = (had_sublayer, session.sequence_send);
        let Some(ccid) = session.connection else { return };
        if let Err(Objection { code, failure }) = check_sublayer(&connected.circuit, had_sublayer) {
            self.fail_session(now, key, slot, failure);
            self.clear_session_with(now, id, code);
            return self.reschedule_slot(now, key, slot);
        }
        self.take_circuit(id, &connected.circuit);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if (session.sublayer_to_send, session.sequence_send) == before {
            return self.call_connected(now, id);
        }
        // The frames that we send must look different now: the interface is attached anew.
        (session.connected, session.attached, session.attaching) = (true, false, true);
        self.actions.push_back(Action::Detach { session: id });
        if let Some(path) = self.connections.get(&ccid).map(|c| c.path) {
            self.push_attachment(id, path);
        }
    }

    fn call_connected(&mut self, now: Instant, id: SessionId) {
        self.log(Event::ReceiveState { message: MessageType::ICCN, state: "ESTABLISHED" });
        self.session_established(now, id);
    }

    fn session_established(&mut self, now: Instant, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.state = State::Established;
        session.since = now;
        let (key, slot) = (session.tunnel, session.slot);
        if let Some(timer) = session.guard.take() {
            self.wheel.cancel(timer);
        }
        if let Some(slot) = self.tunnels.get_mut(&key).and_then(|t| t.slot_mut(slot)) {
            slot.attempt.since = now;
        }
        self.gate(id);
        self.notify_session(id, Happening::SessionUp, String::new());
        self.tell_circuit(now, id);
    }

    fn arm_session_guard(&mut self, now: Instant, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Some(delay) = self.tunnels.get(&session.tunnel).map(|t| t.config.setup_timeout) else { return };
        let timer = self.wheel.arm(later(now, delay), Timer::SessionGuard(id));
        if let Some(old) = session.guard.replace(timer) {
            self.wheel.cancel(old);
        }
    }

    /// The peer acknowledged our ICRQ or ICRP but does not answer it (C-187).
    pub(super) fn session_guard_due(&mut self, now: Instant, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.guard = None;
        let (key, slot, state) = (session.tunnel, session.slot, session.state);
        let Some(connection) = session.connection.and_then(|ccid| self.connections.get(&ccid)) else {
            return;
        };
        if connection.channel.awaits_acknowledgement() {
            return self.arm_session_guard(now, id);
        }
        let waited = match state {
            State::WaitReply => "the peer acknowledged our ICRQ but sent no ICRP",
            State::WaitConnect => "the peer acknowledged our ICRP but sent no ICCN",
            State::Established => return,
        };
        self.fail_session(now, key, slot, Failure::new(waited, ""));
        self.clear_session_with(now, id, result(cdn::FSM, None, "set-up timeout"));
        self.reschedule_slot(now, key, slot);
    }

    pub(super) fn fail_session(&mut self, now: Instant, key: TunnelKey, slot: SlotKey, failure: Failure) {
        if let Some(entry) = self.tunnels.get_mut(&key).and_then(|t| t.slot_mut(slot)) {
            entry.attempt.failure = Some((failure, now));
        }
    }

    pub(super) fn notify_session(&mut self, id: SessionId, what: Happening, reason: String) {
        let Some(session) = self.sessions.get(&id) else { return };
        let Some(tunnel) = self.tunnels.get(&session.tunnel) else { return };
        let connection = session.connection.and_then(|ccid| self.connections.get(&ccid));
        self.actions.push_back(Action::Notify(Notification {
            what,
            tunnel: tunnel.config.name.clone(),
            interface: Some(session.interface.clone()),
            peer: connection.map(|c| c.path.remote.ip()).or(tunnel.path.map(|p| p.remote.ip())),
            local_id: id.0,
            remote_id: session.remote.0,
            reason,
        }));
    }
}

/// The ids of a session message; `None` for the others.
pub(super) fn session_ids(message: &Message) -> Option<SessionIds> {
    match message {
        Message::Icrq(m) => Some(m.ids),
        Message::Icrp(m) => Some(m.ids),
        Message::Iccn(m) => Some(m.ids),
        Message::Ocrq(ids) | Message::Ocrp(ids) | Message::Occn(ids) | Message::Wen(ids) => Some(*ids),
        Message::Cdn(m) => Some(m.ids),
        Message::Sli(m) => Some(m.ids),
        Message::Sccrq(_)
        | Message::Sccrp(_)
        | Message::Scccn
        | Message::StopCcn(_)
        | Message::Hello
        | Message::Ack => None,
    }
}
