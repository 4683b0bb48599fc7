//! A session block of the configuration, and the session that it has or tries to have: attempts, circuit status, end.
//! Its set-up stands in [`setup`](super::setup).

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::table::State;
use super::Session;
use crate::config::model::{Role, SessionConfig, TunnelConfig};
use crate::log::Event;
use crate::proto::action::{Action, Notification, Path, TunnelEvent};
use crate::proto::attempt::Attempt;
use crate::proto::connection::Connection;
use crate::proto::context::{Context, Due, SlotDue, SlotKey, Timer, TunnelKey};
use crate::proto::history::History;
use crate::proto::result::{cdn_reason, result, Objection};
use crate::proto::snapshot::{Cause, Failure};
use crate::saved::saved;
use crate::wheel::TimerId;
use crate::wire::code::{self, cdn};
use crate::wire::message::{Cdn, Refusal, ResultCode, SessionIds, Sli};
use crate::wire::{Ccid, CircuitStatus, Message, MessageType, SessionId};

/// The Session Tie Breaker of an end that leaves the beginning to its peer: it loses against every random value, and
/// against the constant of peers that never look at ours and give up the connection when they lose.
const PASSIVE_TIE_BREAKER: [u8; 8] = 0xffff_ffff_ffff_fffe_u64.to_be_bytes();

/// Changes of a circuit are advertised at most this often; the last state wins.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// Milliseconds between the frames that tell switches where a station is now; the last pause first.
const ANNOUNCE_PAUSES: [u64; 3] = [1000, 150, 20];

saved! {
    /// A session block.
    #[derive(Debug)]
    pub struct Slot {
        tunnel_key: TunnelKey,
        key: SlotKey,
        /// The session in service or in set-up.
        pub session: Option<Session>,
        /// When a session is tried next, and what went wrong last.
        pub attempt: Attempt,
        /// It is to ask the peer as soon as few messages are queued.
        pub waits: bool,
        /// The peer's id of the last session that the peer asked for.
        pub peers_id: SessionId,
        /// The last changes of its session.
        pub history: History,
        /// The interface is up, as the administrator sees it.
        pub circuit_up: bool,
        /// Its peer stands by: frames are held back, and the circuit status says so (RFC 5641).
        pub standby: bool,
        /// So many announcements are left (`Action::Announce`): the tunnel has another peer than before.
        announces: usize,
        /// Fires when the next one is due.
        announce_timer: Option<TimerId>,
    } given {
        /// Its tunnel's block.
        pub tunnel: Rc<TunnelConfig>,
        /// Its block.
        pub config: Rc<SessionConfig>,
    }
}

impl Slot {
    /// A session block without session.
    pub fn new(
        now: Instant,
        (tunnel_key, key): (TunnelKey, SlotKey),
        tunnel: Rc<TunnelConfig>,
        config: Rc<SessionConfig>,
    ) -> Slot {
        Slot {
            tunnel_key,
            key,
            tunnel,
            config,
            session: None,
            attempt: Attempt::new(now),
            waits: false,
            peers_id: SessionId(0),
            history: History::default(),
            circuit_up: true,
            standby: false,
            announces: 0,
            announce_timer: None,
        }
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

    /// One of its timers.
    pub fn timer(&self, due: SlotDue) -> Timer {
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

    /// A session with fresh random values; `None` (logged) if there cannot be one more.
    pub fn new_session(&mut self, cx: &mut Context, path: Path) -> Option<Session> {
        let limit = cx.max_sessions;
        let why = match cx.ids.session_count() < limit {
            false => format!("max-sessions is {limit}"),
            true => match session_values(cx) {
                Some((local, cookie, tie_breaker)) => {
                    let mut session = Session::new(cx.now, path, local, cookie, &self.config);
                    let passive = self.tunnel.role == Role::Passive;
                    session.tie_breaker = if passive { PASSIVE_TIE_BREAKER } else { tie_breaker };
                    session.advertised = self.circuit();
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
    pub fn file(&mut self, cx: &mut Context, session: Session) {
        cx.ids.file_session(session.local, self.tunnel_key, self.key);
        self.attempt.cancel(cx);
        self.attempt.since = session.since;
        self.session = Some(session);
    }

    // ----- set-up -----

    /// Asks for the session's interface; [`attached`](super::setup::attached) goes on. With a connection, its
    /// acknowledgement waits for the reply that follows.
    pub fn attach(&mut self, cx: &mut Context, connection: Option<&mut Connection>) {
        let Some(session) = &mut self.session else { return cx.missing() };
        session.attaching = true;
        if let Some(connection) = connection {
            connection.transport.reply_pending = true;
        }
        cx.act(Action::Attach(Box::new(session.attachment(&self.tunnel.name, &self.config))));
    }

    /// The session is established: its data may flow.
    pub fn established(&mut self, cx: &mut Context, reason: &str) {
        let Some(session) = &mut self.session else { return cx.missing() };
        session.state = State::Established;
        session.since = cx.now;
        cx.cancel(&mut session.guard);
        self.attempt.since = cx.now;
        self.gate(cx);
        self.notify(cx, TunnelEvent::SessionUp, reason.to_owned());
    }

    /// The peer may take `setup-timeout` to answer.
    pub fn arm_guard(&mut self, cx: &mut Context) {
        let timer = self.timer(SlotDue::Guard);
        if let Some(session) = &mut self.session {
            cx.arm(&mut session.guard, self.tunnel.setup_timeout, timer);
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
        let Some(session) = &mut self.session else { return cx.missing() };
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

    /// Whether its session is established. One of before a crash is not before its interface is attached again.
    pub fn is_established(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.state == State::Established && session.attached)
    }

    /// Whether its session is one of before a crash that has no interface yet.
    pub fn is_of_before(&self) -> bool {
        let lacks = |session: &Session| !session.attached && !session.attaching;
        self.session.as_ref().is_some_and(|session| session.state == State::Established && lacks(session))
    }

    /// Whether the interface of its session is being attached.
    pub fn is_attaching(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.attaching)
    }

    /// Its peer does not stand by any more: frames flow.
    pub fn serve(&mut self, cx: &mut Context, connection: &mut Connection) {
        self.standby = false;
        if let Some(session) = &mut self.session {
            cx.cancel(&mut session.status_timer); // this does not wait
        }
        if self.is_established() {
            // The peer knows it before the first frame comes.
            self.advertise_circuit(cx, connection);
            self.gate(cx);
            self.notify(cx, TunnelEvent::SessionUp, String::new());
        }
    }

    // ----- circuit status (RFC 3931 5.4.5, RFC 4719 2.3.2, RFC 5641) -----

    /// The circuit status that we advertise. One that does not know RFC 5641 passes over the standby bit; what it sends is
    /// not delivered.
    pub fn circuit(&self) -> CircuitStatus {
        let active = if self.circuit_up { CircuitStatus::ACTIVE } else { 0 };
        CircuitStatus(active | if self.standby { CircuitStatus::STANDBY } else { 0 })
    }

    /// Opens and closes the directions of the session according to the peer's circuit (C-150, C-344).
    pub fn gate(&mut self, cx: &mut Context) {
        if let Some(session) = self.session.as_ref().filter(|session| session.attached) {
            let open = session.state == State::Established && !self.standby;
            let (receive, send) = (open && !session.peer_on_standby(), open && session.peer_circuit_up());
            // A bridge needs up to a second to take a port back: it keeps it while the peer is on standby.
            let bridged = self.config.bridge.is_some();
            let carrier = send || (open && bridged && session.peer_circuit_active());
            cx.act(Action::Gate { session: session.local, receive, send, carrier });
            if send && self.announce_timer.is_none() {
                self.announce_now(cx);
            }
        }
    }

    /// Tells the switches behind another peer than before where our stations are, a few times: the first frames may find
    /// the peer before it knows that it is not on standby any more.
    pub fn announce_now(&mut self, cx: &mut Context) {
        self.announce_timer = None;
        let flows = |s: &&Session| s.state == State::Established && s.peer_circuit_up() && !self.standby;
        let session = self.session.as_ref().filter(flows);
        if let (Some(session), Some(left)) = (session, self.announces.checked_sub(1)) {
            self.announces = left;
            cx.act(Action::Announce { session: session.local });
            if let Some(pause) = left.checked_sub(1).and_then(|at| ANNOUNCE_PAUSES.get(at)) {
                let timer = self.timer(SlotDue::Announce);
                cx.arm(&mut self.announce_timer, Duration::from_millis(*pause), timer);
            }
        }
    }

    /// The tunnel has another peer than before.
    pub fn announce(&mut self) {
        self.announces = ANNOUNCE_PAUSES.len().saturating_add(1);
    }

    /// SLI: the peer's circuit went up or down; may come before the ICRP (C-327). One that tells no status changes
    /// nothing: Cisco IOS sends such a one after the ICCN.
    pub fn peer_status(&mut self, cx: &mut Context, sli: &Sli) {
        if let (Some(session), Some(status)) = (&mut self.session, sli.circuit_status) {
            let before = session.peer_circuit_up();
            session.remote_circuit = Some(status);
            let up = session.peer_circuit_up();
            if session.state == State::Established {
                self.gate(cx);
                if before != up {
                    let is = if up { "up" } else { "down" };
                    let reason = format!("the peer's circuit is {is} (status {:#06x})", status.0);
                    self.notify(cx, TunnelEvent::CircuitChanged, reason);
                }
            }
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
    pub fn advertise_circuit(&mut self, cx: &mut Context, connection: &mut Connection) {
        let (status, timer) = (self.circuit(), self.timer(SlotDue::CircuitStatus));
        let new = |s: &&mut Session| s.advertised != status && s.status_timer.is_none() && !s.attaching;
        if let Some(session) = self.session.as_mut().filter(new) {
            session.advertised = status;
            cx.arm(&mut session.status_timer, STATUS_INTERVAL, timer);
            cx.log(Event::Send { tunnel: connection.ccid(), message: MessageType::SLI });
            let sli = Message::Sli(Sli { ids: session.ids(), circuit_status: Some(status) });
            // The next change, or the end of a connection whose queue is full, comes soon enough.
            let _ = connection.transport.enqueue(cx, &sli);
        }
    }

    /// The path of the session is another one from now on.
    pub fn move_to(&mut self, cx: &mut Context, path: Path) {
        let Some(session) = &mut self.session else { return cx.missing() };
        session.path = path;
        // What is not attached yet is attached with the path of then.
        if session.attached || session.attaching {
            cx.act(Action::Move { session: session.local, path });
        }
    }

    // ----- end -----

    /// CDN (C-153): the session is gone, the connection stays.
    pub fn peer_cleared(&mut self, cx: &mut Context, connection: &Connection, message: &Cdn) {
        let reason = cdn_reason(cx, connection.ccid(), message.result.as_ref());
        let Some(Session { state, won_tie, .. }) = self.session else { return cx.missing() };
        let lost_tie = message.result.as_ref().is_some_and(|r| r.result == cdn::TIE);
        if lost_tie && state == State::WaitReply && won_tie {
            return; // C-158: the loser of the tie says so itself (RFC 4667); ours is the winner
        }
        cx.log(Event::ReceiveState { message: MessageType::CDN, state: "IDLE" });
        match lost_tie && state != State::Established {
            true => self.forget(cx, &reason),
            false => self.drop_session(cx, &reason),
        }
        self.retry(cx);
    }

    /// What the peer wants, or does not do, is not acceptable: the session ends and is tried again.
    pub fn object(&mut self, cx: &mut Context, connection: &mut Connection, objection: Objection) {
        self.attempt.fail(cx.now, objection.failure);
        self.clear(cx, Some(connection), objection.code);
        self.retry(cx);
    }

    /// Ends the session: with a CDN where there is a connection (C-152).
    pub fn clear(&mut self, cx: &mut Context, connection: Option<&mut Connection>, code: ResultCode) {
        let reason = match (connection, &self.session) {
            (Some(connection), Some(session)) => {
                let reason = format!("we closed it: {}", code::cdn_text(code.result));
                cx.log(Event::SendState { message: MessageType::CDN, state: "IDLE" });
                let cdn = Message::Cdn(Cdn { ids: session.ids(), result: Some(code) });
                // What cannot be sent the peer learns from its own next message for this session.
                let _ = connection.transport.enqueue(cx, &cdn);
                reason
            }
            (_, None) | (None, _) => {
                String::from_utf8_lossy(code.message.as_deref().unwrap_or_default()).into_owned()
            }
        };
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
        if self.session.is_none() {
            return;
        }
        let established = self.is_established();
        self.attempt.since = cx.now;
        if !reason.is_empty() && (established || !self.attempt.failed_just_now(cx.now)) {
            self.attempt.fail(cx.now, Failure::new(reason, Cause::Other));
        }
        let what = if established { TunnelEvent::SessionDown } else { TunnelEvent::SessionFailed };
        self.notify(cx, what, reason.to_owned());
        self.free(cx);
    }

    /// The session lost or drew a tie. That is no event; `reason` is for `explain` alone.
    pub fn forget(&mut self, cx: &mut Context, reason: &str) {
        self.attempt.since = cx.now;
        self.attempt.fail(cx.now, Failure::new(reason, Cause::Other));
        self.free(cx);
    }

    /// Frees the session: id, data plane, timers.
    pub fn free(&mut self, cx: &mut Context) {
        if let Some(mut session) = self.session.take() {
            let (tunnel, id) = (session.connection.unwrap_or(Ccid(0)), session.local);
            cx.log(Event::CleanupSession { tunnel, session: id, name: self.config.interface.clone() });
            if session.attached || session.attaching {
                cx.act(Action::Detach { session: id });
            }
            cx.cancel(&mut session.guard);
            cx.cancel(&mut session.status_timer);
            cx.cancel(&mut self.announce_timer);
            cx.ids.free_session(id);
            cx.log(Event::DeleteSession { tunnel, session: id });
        }
    }

    /// Tells watchers and hooks of a change of the session, and remembers it.
    pub fn notify(&mut self, cx: &mut Context, what: TunnelEvent, reason: String) {
        // Of sessions that stand by the tunnel tells, in one event.
        if let Some(session) = self.session.as_ref().filter(|_| !self.standby) {
            self.history.note(cx.now, what, &reason);
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
}

fn session_values(cx: &mut Context) -> Option<(SessionId, [u8; 8], [u8; 8])> {
    Some((cx.draw_session_id()?, cx.random()?, cx.random()?))
}
