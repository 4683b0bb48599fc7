//! A session block of the configuration, and the session that it has or tries to have: set-up from either end,
//! circuit status, end.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::table::{row, Row, State};
use super::{check_avps, check_request, check_sublayer, new_circuit, refuse_call, refuse_reply, Session};
use crate::config::model::{self, Role};
use crate::log::catalogue::Tie;
use crate::log::{Event, Remark};
use crate::proto::action::{Action, Happening, Notification, Path, SequenceLevel};
use crate::proto::attempt::Attempt;
use crate::proto::connection::{table::State as ControlState, Connection};
use crate::proto::context::{Context, Due, SlotDue, SlotKey, Timer, TunnelKey};
use crate::proto::result::{break_tie, cdn_reason, result, Objection, TieBreak};
use crate::proto::snapshot::{Cause, Failure};
use crate::wire::code::{self, cdn};
use crate::wire::message::{Cdn, Iccn, Icrp, Icrq, Refusal, ResultCode, SessionAvps, SessionIds, Sli};
use crate::wire::{Ccid, CircuitStatus, Message, MessageType, SessionId};

/// The Session Tie Breaker of an end that leaves the beginning to its peer: it loses against every random value, and
/// against the constant of peers that never look at ours and give up the connection when they lose.
const PASSIVE_TIE_BREAKER: [u8; 8] = 0xffff_ffff_ffff_fffe_u64.to_be_bytes();

/// Changes of a circuit are advertised at most this often; the last state wins.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// A session block.
#[derive(Debug)]
pub struct Slot {
    tunnel_key: TunnelKey,
    key: SlotKey,
    /// Its tunnel's block.
    pub tunnel: Rc<model::Tunnel>,
    /// Its block.
    pub config: model::Session,
    /// The session in service or in set-up.
    pub session: Option<Session>,
    /// The next attempt.
    pub attempt: Attempt,
    /// The interface is up, as the administrator sees it.
    circuit_up: bool,
}

impl Slot {
    /// A session block without session.
    pub fn new(
        now: Instant,
        (tunnel_key, key): (TunnelKey, SlotKey),
        tunnel: Rc<model::Tunnel>,
        config: model::Session,
    ) -> Slot {
        Slot { tunnel_key, key, tunnel, config, session: None, attempt: Attempt::new(now), circuit_up: true }
    }

    /// Whether a session can be had for it at all.
    pub fn is_usable(&self) -> bool {
        !self.config.disabled && self.config.problem().is_none()
    }

    /// Whether its session is negotiated.
    pub fn is_dynamic(&self) -> bool {
        self.config.manual.is_none()
    }

    /// The connection of its session.
    pub fn connection(&self) -> Option<Ccid> {
        self.session.as_ref()?.connection
    }

    /// Whether its session belongs to this connection.
    pub fn is_of(&self, ccid: Ccid) -> bool {
        self.connection() == Some(ccid)
    }

    fn timer(&self, due: SlotDue) -> Timer {
        Timer(self.tunnel_key, Due::Slot(self.key, due))
    }

    // ----- attempts -----

    /// Tries again in `delay`.
    pub fn schedule(&mut self, cx: &mut Context, delay: Duration) {
        let timer = self.timer(SlotDue::Attempt);
        self.attempt.schedule(cx, delay, timer);
    }

    /// Tries again after the restart interval, plus or minus a quarter.
    pub fn retry(&mut self, cx: &mut Context) {
        let delay = cx.jitter(self.tunnel.restart_interval);
        self.schedule(cx, delay);
    }

    /// A timer of this block fired; `connection` is that of its session, or the one that serves the tunnel.
    pub fn due(
        &mut self,
        cx: &mut Context,
        due: SlotDue,
        connection: Option<&mut Connection>,
        serial: &mut u32,
    ) {
        let Some(connection) = connection else { return self.attempt.begin() };
        match due {
            SlotDue::Attempt => self.begin(cx, connection, serial),
            SlotDue::Guard => self.guard_due(cx, connection),
            SlotDue::CircuitStatus => {
                if let Some(session) = &mut self.session {
                    session.status_timer = None;
                }
                self.advertise_circuit(cx, connection);
            }
        }
    }

    /// A session with fresh random values; `None` (logged) if there cannot be one more.
    fn new_session(&mut self, cx: &mut Context, path: Path) -> Option<Session> {
        let limit = cx.max_sessions;
        let why = match cx.ids.session_count() < limit {
            false => format!("max-sessions is {limit}"),
            true => match session_values(cx) {
                Some((local, cookie, tie_breaker)) => {
                    let mut session = Session::new(cx.now, path, local, cookie, &self.config);
                    let passive = self.tunnel.role == Role::Passive;
                    session.tie_breaker = if passive { PASSIVE_TIE_BREAKER } else { tie_breaker };
                    session.advertised = self.circuit_up;
                    return Some(session);
                }
                None => "no random octets for its id and cookie".to_owned(),
            },
        };
        cx.log_detail(Event::NewSessionFailed {}, why.clone());
        self.attempt.fail(cx.now, Failure::new(why, Cause::NoSession));
        None
    }

    /// The session is this block's from now on.
    fn file(&mut self, cx: &mut Context, session: Session) {
        cx.ids.file_session(session.local, self.tunnel_key, self.key);
        self.attempt.cancel(cx);
        self.attempt.since = session.since;
        self.session = Some(session);
    }

    // ----- set-up by us -----

    /// Idle and call event on an established connection: ICRQ (C-166).
    pub fn begin(&mut self, cx: &mut Context, connection: &mut Connection, serial: &mut u32) {
        self.attempt.begin();
        if connection.state != ControlState::Established || self.session.is_some() || !self.is_usable() {
            return;
        }
        let (tunnel, pw_type) = (connection.ccid(), self.config.pw_type());
        // C-136: never ask for a pseudowire type that the peer did not list. Every peer with Ethernet lists it; Cisco's
        // cable equipment and Ericsson, which have none, do not.
        if !connection.peer.pw_capabilities.contains(&pw_type) {
            let (check, listed) =
                ("pseudowire type in the peer's list", format!("{:?}", connection.peer.pw_capabilities));
            let failure = Failure::compared(check, pw_type.to_string(), listed, Cause::Other);
            let (interface, text) = (self.config.interface.clone(), failure.to_string());
            cx.remark(&Remark::PwType { tunnel, interface, failure: text });
            self.attempt.fail(cx.now, failure);
            return self.retry(cx);
        }
        cx.log(Event::BeginNewSession { tunnel });
        let Some(mut session) = self.new_session(cx, connection.transport.path) else {
            return self.retry(cx);
        };
        session.connection = Some(tunnel);
        *serial = serial.wrapping_add(1); // C-140
        session.serial = *serial;
        let request = Message::Icrq(Icrq {
            ids: session.ids(),
            serial: session.serial,
            pw_type,
            end_id: self.config.remote_end_id.clone().unwrap_or_default(),
            circuit_status: new_circuit(self.circuit_up),
            tie_breaker: Some(session.tie_breaker),
            avps: session.avps(&self.config),
        });
        self.file(cx, session);
        cx.log(Event::SendState { message: MessageType::ICRQ, state: "WAIT-REPLY" });
        if !connection.transport.enqueue(cx, &request) {
            self.drop_session(cx, "the ICRQ could not be built");
            return self.retry(cx);
        }
        self.arm_guard(cx);
    }

    /// Wait-reply and ICRP (C-167, C-168): if it is acceptable the interface is attached, then the ICCN is sent.
    fn accept_reply(&mut self, cx: &mut Context, connection: &mut Connection, reply: &Icrp) {
        let Some(session) = self.session.as_mut().filter(|session| !session.attaching) else { return };
        session.remote = reply.ids.local;
        session.remote_circuit = Some(reply.circuit_status);
        if let Err(objection) =
            check_avps(cx, connection.ccid(), &self.config, &reply.avps, MessageType::ICRP)
        {
            return self.object(cx, connection, objection);
        }
        session.take(&reply.avps, &self.config);
        self.attach(cx, Some(connection));
    }

    // ----- set-up by the peer -----

    /// An ICRQ for this block (C-176, C-177).
    pub fn call_requested(&mut self, cx: &mut Context, connection: &mut Connection, request: &Icrq) {
        let ccid = connection.ccid();
        if let Err(Objection { code, failure }) = check_request(cx, ccid, &self.config, request) {
            self.attempt.fail(cx.now, failure);
            return refuse_call(cx, connection, request.ids, code);
        }
        if self.session.is_some() && !self.gives_way(cx, connection, request) {
            return;
        }
        self.accept_call(cx, connection, request);
    }

    /// There is a session for the same end already. Whether it gives way to the peer's request; if not, the
    /// request is answered here.
    fn gives_way(&mut self, cx: &mut Context, connection: &mut Connection, request: &Icrq) -> bool {
        let Some(session) = &mut self.session else { return true };
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
                        self.give_way(cx, "our request gave way to the peer's");
                        true
                    }
                    // C-159, C-161: both start over, a little apart.
                    TieBreak::Draw | TieBreak::NoTie => {
                        self.give_way(cx, "equal tie breakers: starting over");
                        let delay = cx.redraw_delay();
                        self.schedule(cx, delay);
                        false
                    }
                }
            }
            // The peer has dropped that session, or lost it in a restart, and begins again.
            State::WaitReply | State::WaitConnect | State::Established => {
                self.clear(cx, Some(connection), result(cdn::FSM, None, "replaced by a new request"));
                true
            }
        }
    }

    /// Idle and acceptable ICRQ (C-176): the interface is attached, then the ICRP is sent.
    fn accept_call(&mut self, cx: &mut Context, connection: &mut Connection, request: &Icrq) {
        let tunnel = connection.ccid();
        cx.log(Event::CreateNewSession { tunnel });
        cx.log(Event::BeginNewSession { tunnel });
        let Some(mut session) = self.new_session(cx, connection.transport.path) else {
            let code = result(cdn::TEMPORARY, None, "no facilities at the moment");
            refuse_call(cx, connection, request.ids, code);
            return self.retry(cx);
        };
        session.connection = Some(tunnel);
        session.state = State::WaitConnect;
        session.remote = request.ids.local;
        session.serial = request.serial;
        session.remote_circuit = Some(request.circuit_status);
        session.take(&request.avps, &self.config);
        self.file(cx, session);
        cx.log(Event::ReceiveState { message: MessageType::ICRQ, state: "IDLE" });
        self.attach(cx, Some(connection));
    }

    /// The recipient's ICRP (C-176).
    fn reply_to_call(&mut self, cx: &mut Context, connection: &mut Connection) {
        let Some(session) = &mut self.session else { return };
        session.advertised = self.circuit_up;
        let reply = Message::Icrp(Icrp {
            ids: session.ids(),
            circuit_status: new_circuit(self.circuit_up),
            avps: session.avps(&self.config),
        });
        cx.log(Event::SendState { message: MessageType::ICRP, state: "WAIT-CONNECT" });
        if !connection.transport.enqueue(cx, &reply) {
            self.drop_session(cx, "the ICRP could not be built");
            return self.retry(cx);
        }
        self.arm_guard(cx);
    }

    /// Wait-connect and ICCN (C-180).
    fn accept_connected(&mut self, cx: &mut Context, connection: &mut Connection, connected: &Iccn) {
        let Some(session) = self.session.as_mut().filter(|session| !session.attaching) else { return };
        session.remote_circuit = connected.circuit_status.or(session.remote_circuit);
        let before = (session.sublayer_to_send, session.sequence_send);
        if let Err(objection) = check_sublayer(&connected.avps, session.sublayer_to_send) {
            return self.object(cx, connection, objection);
        }
        session.take(&connected.avps, &self.config);
        if (session.sublayer_to_send, session.sequence_send) == before {
            return self.call_connected(cx, connection);
        }
        // The frames that we send must look different now: the interface is attached anew.
        session.connected = true;
        session.attached = false;
        cx.act(Action::Detach { session: session.local });
        self.attach(cx, None);
    }

    fn call_connected(&mut self, cx: &mut Context, connection: &mut Connection) {
        cx.log(Event::ReceiveState { message: MessageType::ICCN, state: "ESTABLISHED" });
        self.established(cx);
        self.advertise_circuit(cx, connection);
    }

    // ----- both -----

    /// Asks for the session's interface; the session goes on in [`attached`](Slot::attached). With a connection, its
    /// acknowledgement waits for the reply that follows.
    fn attach(&mut self, cx: &mut Context, connection: Option<&mut Connection>) {
        let Some(session) = &mut self.session else { return };
        session.attaching = true;
        if let Some(connection) = connection {
            connection.transport.reply_pending = true;
        }
        cx.act(Action::Attach(Box::new(session.attachment(&self.tunnel.name, &self.config))));
    }

    /// The session's interface is ready, or in words why not.
    pub fn attached(
        &mut self,
        cx: &mut Context,
        connection: Option<&mut Connection>,
        outcome: Result<(), String>,
    ) {
        let Some(session) = &mut self.session else { return };
        session.attaching = false;
        if let Err(why) = outcome {
            self.attempt.fail(cx.now, Failure::new(why, Cause::Interface));
            match connection {
                None => self.forget(cx),
                connection => {
                    let code = result(cdn::TEMPORARY, None, "the interface cannot be set up");
                    self.clear(cx, connection, code);
                }
            }
            return self.retry(cx);
        }
        session.attached = true;
        let Some(connection) = connection else { return self.established(cx) };
        match session.state {
            State::WaitReply => self.connect(cx, connection),
            State::WaitConnect if session.connected => self.call_connected(cx, connection),
            State::WaitConnect => self.reply_to_call(cx, connection),
            State::Established => {}
        }
    }

    /// The caller's ICCN.
    fn connect(&mut self, cx: &mut Context, connection: &mut Connection) {
        let Some(session) = &self.session else { return };
        let iccn = Iccn { ids: session.ids(), circuit_status: None, avps: SessionAvps::default() };
        cx.log(Event::ReceiveState { message: MessageType::ICRP, state: "ESTABLISHED" });
        cx.log(Event::SendState { message: MessageType::ICCN, state: "ESTABLISHED" });
        // The data plane is open before the ICCN leaves: the peer's frames may follow at once.
        self.established(cx);
        self.advertise_circuit(cx, connection);
        if !connection.transport.enqueue(cx, &Message::Iccn(iccn)) {
            self.drop_session(cx, "the ICCN could not be built");
            self.retry(cx);
        }
    }

    fn established(&mut self, cx: &mut Context) {
        let Some(session) = &mut self.session else { return };
        session.state = State::Established;
        session.since = cx.now;
        cx.cancel(&mut session.guard);
        self.attempt.since = cx.now;
        self.gate(cx);
        self.notify(cx, Happening::SessionUp, String::new());
    }

    fn arm_guard(&mut self, cx: &mut Context) {
        let timer = self.timer(SlotDue::Guard);
        if let Some(session) = &mut self.session {
            cx.arm(&mut session.guard, self.tunnel.setup_timeout, timer);
        }
    }

    /// The peer acknowledged our ICRQ or ICRP but does not answer it (C-187).
    fn guard_due(&mut self, cx: &mut Context, connection: &mut Connection) {
        let Some(session) = &mut self.session else { return };
        session.guard = None;
        if connection.transport.channel.awaits_acknowledgement() {
            return self.arm_guard(cx);
        }
        let waited = match session.state {
            State::WaitReply => "the peer acknowledged our ICRQ but sent no ICRP",
            State::WaitConnect => "the peer acknowledged our ICRP but sent no ICCN",
            State::Established => return,
        };
        let (code, failure) = (result(cdn::FSM, None, "set-up timeout"), Failure::new(waited, Cause::Other));
        self.object(cx, connection, Objection { code, failure });
    }

    /// A manual session: ids and cookies stand in the configuration, nothing is negotiated.
    pub fn start_manual(&mut self, cx: &mut Context, path: Path) {
        self.attempt.begin();
        let Some(manual) = self.config.manual.filter(|_| self.is_usable() && self.session.is_none()) else {
            return;
        };
        let Some(mut session) = self.new_session(cx, path) else { return self.retry(cx) };
        if cx.ids.slot_of(manual.local).is_some() {
            let why = format!("session id {} is in use by another session", manual.local);
            cx.log_detail(Event::NewSessionFailed {}, format!("tunnel {}: {why}", self.tunnel.name));
            self.attempt.fail(cx.now, Failure::new(why, Cause::NoSession));
            return self.retry(cx);
        }
        session.local = manual.local;
        session.remote = manual.remote;
        session.cookie_expected = self.config.local_cookie;
        session.cookie_to_send = self.config.remote_cookie;
        session.sublayer_to_send = session.sublayer_expected;
        if self.config.sequencing.sends() {
            session.sequence_send = SequenceLevel::All;
        }
        self.file(cx, session);
        self.attach(cx, None);
    }

    // ----- messages -----

    /// A message for this block's session, other than ICRQ.
    pub fn receive(&mut self, cx: &mut Context, connection: &mut Connection, message: &Message) {
        let Some(session) = &self.session else { return };
        let kind = message.message_type();
        match (row(Some(session.state), kind), message) {
            (Row::AcceptReply, Message::Icrp(reply)) => self.accept_reply(cx, connection, reply),
            (Row::AcceptConnected, Message::Iccn(connected)) => {
                self.accept_connected(cx, connection, connected);
            }
            (Row::Clear, Message::Cdn(cdn)) => self.peer_cleared(cx, connection, cdn),
            (Row::Clear, _) => {
                self.drop_session(cx, "an ICCN came in place of the ICRP");
                self.retry(cx);
            }
            (Row::Status, Message::Sli(sli)) => self.peer_status(cx, sli),
            (Row::Refuse, _) => refuse_reply(cx, connection, message),
            (Row::Ignore, _) => connection.ignore(cx, kind),
            (Row::Nothing | Row::AcceptReply | Row::AcceptConnected | Row::Status, _) => {}
        }
    }

    /// A message for this block's session that cannot be accepted: it ends with a CDN; the connection is not at fault.
    pub fn bad_message(
        &mut self,
        cx: &mut Context,
        connection: &mut Connection,
        (refusal, failure): (&Refusal, Failure),
        (peers, code): (SessionIds, ResultCode),
    ) {
        let Some(session) = &mut self.session else { return };
        if session.remote == SessionId(0) {
            session.remote = peers.local; // a bad ICRP: the CDN names its sender's session
        }
        match refusal.message {
            MessageType::CDN => self.drop_session(cx, "the peer closed it"), // C-153: no CDN back
            _ => self.clear(cx, Some(connection), code),
        }
        self.attempt.fail(cx.now, failure);
        self.retry(cx);
    }

    // ----- circuit status (RFC 3931 5.4.5, RFC 4719 2.3.2, RFC 5641) -----

    /// Opens and closes the directions of the session according to the peer's circuit (C-150, C-344).
    fn gate(&mut self, cx: &mut Context) {
        let Some(session) = &self.session else { return };
        let established = session.state == State::Established;
        cx.act(Action::Gate {
            session: session.local,
            receive: established && !session.peer_on_standby(),
            send: established && session.peer_circuit_up(),
            carrier: established && session.peer_circuit_up(),
        });
    }

    /// SLI: the peer's circuit went up or down; may come before the ICRP (C-327). One that tells no status changes
    /// nothing: Cisco IOS sends such a one behind the ICCN.
    fn peer_status(&mut self, cx: &mut Context, sli: &Sli) {
        let (Some(session), Some(status)) = (&mut self.session, sli.circuit_status) else { return };
        let before = session.peer_circuit_up();
        session.remote_circuit = Some(status);
        let up = session.peer_circuit_up();
        if session.state != State::Established {
            return;
        }
        self.gate(cx);
        if before != up {
            let reason = if up { "the peer's circuit is up" } else { "the peer's circuit is down" };
            let reason = format!("{reason} (status {:#06x})", status.0);
            self.notify(cx, Happening::CircuitChanged, reason);
        }
    }

    /// The local circuit (the interface, as the administrator sees it) went up or down.
    pub fn set_circuit(&mut self, cx: &mut Context, connection: Option<&mut Connection>, up: bool) {
        self.circuit_up = up;
        if let Some(connection) = connection {
            self.advertise_circuit(cx, connection);
        }
    }

    /// SLI if the circuit is not what was advertised (C-151, C-326), at most one a second.
    fn advertise_circuit(&mut self, cx: &mut Context, connection: &mut Connection) {
        let (up, timer) = (self.circuit_up, self.timer(SlotDue::CircuitStatus));
        let Some(session) = &mut self.session else { return };
        if session.advertised == up || session.status_timer.is_some() || session.attaching {
            return;
        }
        session.advertised = up;
        cx.arm(&mut session.status_timer, STATUS_INTERVAL, timer);
        let circuit_status = Some(CircuitStatus(if up { CircuitStatus::ACTIVE } else { 0 }));
        cx.log(Event::Send { tunnel: connection.ccid(), message: MessageType::SLI });
        let sli = Message::Sli(Sli { ids: session.ids(), circuit_status });
        // The next change, or the end of a connection whose queue is full, comes soon enough.
        let _ = connection.transport.enqueue(cx, &sli);
    }

    /// The path of the session is another one from now on.
    pub fn move_to(&mut self, cx: &mut Context, path: Path) {
        let Some(session) = &mut self.session else { return };
        session.path = path;
        // What is not attached yet is attached with the path of then.
        if session.attached || session.attaching {
            cx.act(Action::Move { session: session.local, path });
        }
    }

    // ----- end -----

    /// CDN (C-153): the session is gone, the connection stays.
    fn peer_cleared(&mut self, cx: &mut Context, connection: &Connection, message: &Cdn) {
        let reason = cdn_reason(cx, connection.ccid(), message.result.as_ref());
        let Some(state) = self.session.as_ref().map(|s| s.state) else { return };
        let won_tie = self.session.as_ref().is_some_and(|s| s.won_tie);
        let lost_tie = message.result.as_ref().is_some_and(|r| r.result == cdn::TIE);
        if lost_tie && state == State::WaitReply && won_tie {
            return; // C-158: the loser of the tie says so itself (RFC 4667); ours is the winner
        }
        cx.log(Event::ReceiveState { message: MessageType::CDN, state: "IDLE" });
        match lost_tie && state != State::Established {
            true => self.give_way(cx, &reason),
            false => self.drop_session(cx, &reason),
        }
        self.retry(cx);
    }

    /// What the peer wants, or does not do, is not acceptable: the session ends and is tried again.
    fn object(&mut self, cx: &mut Context, connection: &mut Connection, objection: Objection) {
        self.attempt.fail(cx.now, objection.failure);
        self.clear(cx, Some(connection), objection.code);
        self.retry(cx);
    }

    /// Ends the session: with a CDN where there is a connection (C-152).
    pub fn clear(&mut self, cx: &mut Context, connection: Option<&mut Connection>, code: ResultCode) {
        let Some(session) = &self.session else { return };
        let Some(connection) = connection else {
            let why = String::from_utf8_lossy(code.message.as_deref().unwrap_or_default()).into_owned();
            return self.drop_session(cx, &why);
        };
        let reason = format!("we closed it: {}", code::cdn_text(code.result));
        cx.log(Event::SendState { message: MessageType::CDN, state: "IDLE" });
        let cdn = Message::Cdn(Cdn { ids: session.ids(), result: Some(code) });
        // What cannot be sent the peer learns from its own next message for this session.
        let _ = connection.transport.enqueue(cx, &cdn);
        self.drop_session(cx, &reason);
    }

    /// The interface failed (it was deleted, say): the session ends and is tried again.
    pub fn interface_failed(&mut self, cx: &mut Context, connection: Option<&mut Connection>, why: &str) {
        match connection {
            None => self.drop_session(cx, why),
            connection => self.clear(cx, connection, result(cdn::TEMPORARY, None, "the interface failed")),
        }
        self.attempt.fail(cx.now, Failure::new(why, Cause::Interface));
        self.retry(cx);
    }

    /// Takes the session out of service, without a message.
    pub fn drop_session(&mut self, cx: &mut Context, reason: &str) {
        let Some(session) = &self.session else { return };
        let established = session.state == State::Established;
        self.attempt.since = cx.now;
        if !reason.is_empty() && (established || !self.attempt.failed_just_now(cx.now)) {
            self.attempt.fail(cx.now, Failure::new(reason, Cause::Other));
        }
        let what = if established { Happening::SessionDown } else { Happening::SessionFailed };
        self.notify(cx, what, reason.to_owned());
        self.forget(cx);
    }

    /// The session lost or drew a tie. That is no event; `reason` is for `explain` alone.
    fn give_way(&mut self, cx: &mut Context, reason: &str) {
        self.attempt.since = cx.now;
        self.attempt.fail(cx.now, Failure::new(reason, Cause::Other));
        self.forget(cx);
    }

    /// Frees the session: id, data plane, timers.
    fn forget(&mut self, cx: &mut Context) {
        let Some(mut session) = self.session.take() else { return };
        let (tunnel, id) = (session.connection.unwrap_or(Ccid(0)), session.local);
        cx.log(Event::CleanupSession { tunnel, session: id, name: self.config.interface.clone() });
        if session.attached || session.attaching {
            cx.act(Action::Detach { session: id });
        }
        cx.cancel(&mut session.guard);
        cx.cancel(&mut session.status_timer);
        cx.ids.free_session(id);
        cx.log(Event::DeleteSession { tunnel, session: id });
    }

    fn notify(&self, cx: &mut Context, what: Happening, reason: String) {
        let Some(session) = &self.session else { return };
        cx.notify(Notification {
            what,
            tunnel: self.tunnel.name.clone(),
            interface: Some(self.config.interface.clone()),
            peer: Some(session.path.remote.ip()),
            local_id: session.local.0,
            remote_id: session.remote.0,
            reason,
        });
    }
}

fn session_values(cx: &mut Context) -> Option<(SessionId, [u8; 8], [u8; 8])> {
    Some((cx.draw_session_id()?, cx.random()?, cx.random()?))
}
