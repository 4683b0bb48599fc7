//! A tunnel block of the configuration and what becomes of it: its connections, its session blocks, the next attempt,
//! what went wrong last.
//!
//! How things end, from the peer's point of view:
//!
//! | word | what ends | the peer is told | what is left |
//! |---|---|---|---|
//! | close | a connection | StopCCN | it answers until that is acknowledged |
//! | linger | a connection | nothing (it told us, or gave way) | it acknowledges what the peer repeats, for `linger` |
//! | delete | a connection | nothing | nothing |
//! | clear | a session | CDN | nothing |
//! | drop | a session | nothing (its connection ends, or its peer told us) | nothing |
//! | refuse | an SCCRQ or ICRQ | StopCCN or CDN | nothing: it never began here |

use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::action::{Action, Happening, Notification, Path};
use super::addresses::Addresses;
use super::attempt::Attempt;
use super::connection::outcome::{Outcome, Place, Receipt};
use super::connection::table::State;
use super::connection::Connection;
use super::context::{ConnectionDue, Context, Due, SlotDue, SlotKey, Timer, TunnelKey};
use super::members::Members;
use super::pause::Pause;
use super::result::{result, Objection};
use super::route::User;
use super::session::slot::Slot;
use super::session::slots::Slots;
use super::snapshot::{count, Cause, Failure};
use super::watch::Watch;
use crate::config::model::{self, Remote};
use crate::log::{Event, Remark};
use crate::wire::avp::MessageTypeAvp;
use crate::wire::code::{self, cdn, stopccn};
use crate::wire::header::Header;
use crate::wire::message::ResultCode;
use crate::wire::{Ccid, SessionId};

/// How often our own attempt waits for one of the peer's. A flood of forged SCCRQs must not keep us silent.
const MOST_DEFERRALS: u32 = 3;

/// How long the responder of a control connection waits before it asks for sessions of its own.
/// Longer than the first retransmission of an ICRQ that was lost.
const RESPONDER_DELAY: Duration = Duration::from_millis(1500);

/// A tunnel.
#[derive(Debug)]
pub struct Tunnel {
    /// Its name inside the engine.
    pub key: TunnelKey,
    /// Its block.
    pub config: Rc<model::Tunnel>,
    /// Its session blocks.
    pub slots: Slots,
    /// Its connections.
    pub members: Members,
    /// The path to the peer, as prepared last.
    pub path: Option<Path>,
    /// The addresses of a peer that has a name.
    pub addresses: Addresses,
    /// The next attempt.
    pub attempt: Attempt,
    /// How far apart attempts are.
    pause: Pause,
    /// The route that it takes.
    pub watch: Watch,
    /// Stopped by the administrator until the next reload.
    stopped: bool,
    /// Started by the administrator although the configuration disables it.
    started: bool,
    /// Not in the configuration any more: it is gone with its last connection.
    removed: bool,
    /// `Prepare` was asked for and is not answered yet.
    pub preparing: bool,
    /// How often our own attempt has waited for one of the peer's.
    deferred: u32,
}

impl Tunnel {
    /// A tunnel without connection.
    pub fn new(now: Instant, key: TunnelKey, config: model::Tunnel) -> Tunnel {
        let config = Rc::new(config);
        Tunnel {
            key,
            slots: Slots::new(now, key, &config),
            config,
            members: Members::default(),
            path: None,
            addresses: Addresses::default(),
            attempt: Attempt::new(now),
            pause: Pause::default(),
            watch: Watch::new(User(key, None)),
            stopped: false,
            started: false,
            removed: false,
            preparing: false,
            deferred: 0,
        }
    }

    /// Whether the configuration or the administrator keeps it down.
    pub fn is_disabled(&self) -> bool {
        self.stopped || (self.config.disabled && !self.started)
    }

    /// Whether `remote-address` is this address, or a name that was found to have it.
    pub fn names(&self, address: IpAddr) -> bool {
        match &self.config.remote {
            Some(Remote::Address(remote)) => *remote == address,
            Some(Remote::Name(_)) => self.addresses.contains(address),
            Some(Remote::Any) | None => false,
        }
    }

    /// Whether it may be set up at all.
    pub fn is_usable(&self) -> bool {
        !self.removed && !self.is_disabled() && self.config.problem().is_none()
    }

    /// Whether nothing is left of a tunnel that is not configured any more.
    pub fn is_over(&self) -> bool {
        self.removed && self.members.is_empty()
    }

    /// A session block, and the connection of its session.
    pub fn slot_mut(&mut self, key: SlotKey) -> Option<(&mut Slot, Option<&mut Connection>)> {
        let slot = self.slots.get_mut(key)?;
        let connection = slot.connection().and_then(|ccid| self.members.get_mut(ccid));
        Some((slot, connection))
    }

    // ----- attempts -----

    /// Tries again in `delay`.
    pub fn schedule(&mut self, cx: &mut Context, delay: Duration) {
        self.attempt.cancel(cx);
        if !cx.shutting_down && self.is_usable() {
            self.attempt.schedule(cx, delay, Timer(self.key, Due::Attempt));
        }
    }

    /// Tries again after the pause that is due.
    pub fn retry(&mut self, cx: &mut Context) {
        let delay = self.pause.length(cx, &self.config);
        self.schedule(cx, delay);
    }

    /// The peer, or at least the way to it, is alive: attempts are made at the usual interval again.
    pub fn sign_of_life(&mut self, cx: &mut Context) {
        let usual = self.config.restart_interval;
        if self.pause.sign_of_life() && self.attempt.next_try(cx.now).is_some_and(|next| next > usual) {
            self.retry(cx);
        }
    }

    /// Tries again if no connection serves the tunnel. An attempt that is scheduled already stays where it is: else
    /// forged SCCRQs whose connections come to nothing would put it off for ever (C-364).
    pub fn retry_unless_served(&mut self, cx: &mut Context) {
        if self.members.main_ccid().is_none() && !self.attempt.is_scheduled() && !self.preparing {
            self.retry(cx);
        }
    }

    /// The next attempt is due: the daemon is asked for socket and address. While the peer is setting up a
    /// connection of its own, that one has its chance first.
    fn attempt_due(&mut self, cx: &mut Context) {
        self.attempt.begin();
        if cx.shutting_down || !self.is_usable() || self.members.main_ccid().is_some() || self.preparing {
            return;
        }
        let answers = self.members.in_state(State::WaitCtlConn).next().is_some();
        if answers && self.deferred < MOST_DEFERRALS {
            self.deferred = self.deferred.saturating_add(1);
            return self.retry(cx);
        }
        self.deferred = 0;
        match self.config.remote {
            Some(Remote::Name(_)) => {
                self.preparing = true;
                self.addresses.look_up(cx, &self.config);
            }
            Some(Remote::Address(address)) => self.prepare(cx, Some(address)),
            Some(Remote::Any) | None => self.prepare(cx, None),
        }
    }

    /// Asks the daemon for the socket.
    pub fn prepare(&mut self, cx: &mut Context, peer: Option<IpAddr>) {
        self.preparing = true;
        cx.act(Action::Prepare { tunnel: self.config.name.clone(), peer });
    }

    /// The path, where it leads to one peer.
    pub fn known_path(&self) -> Option<Path> {
        self.path.filter(|path| !path.remote.ip().is_unspecified())
    }

    /// Idle and local open: SCCRQ (C-110).
    pub fn begin(&mut self, cx: &mut Context, path: Path) {
        let Some((mut connection, nonce)) = self.new_connection(cx, path) else { return self.retry(cx) };
        connection.initiator = true;
        if connection.transport.auth.signs() {
            connection.transport.auth.local_nonce = nonce.to_vec();
        }
        count(&mut self.members.counters.setups);
        self.pause.begin();
        let (tunnel, name) = (connection.ccid(), self.config.name.clone());
        self.members.set_main(tunnel);
        self.file(cx, connection);
        cx.log(Event::BeginNewTunnel { tunnel, name, peer: path.remote.ip() });
        self.notify(cx, Happening::TunnelConnecting, String::new());
        // Other addresses wait for their turn.
        let soon = self.addresses.has_others();
        let sent = self.members.get_mut(tunnel).is_some_and(|connection| connection.send_request(cx, soon));
        if !sent {
            self.delete(cx, tunnel);
            self.retry(cx);
        }
    }

    /// One more connection, if there may be one, with a tie breaker of ours; and random octets for its nonce.
    pub fn new_connection(&mut self, cx: &mut Context, path: Path) -> Option<(Connection, [u8; 16])> {
        if cx.alive >= cx.max_tunnels {
            let why = format!("max-tunnels is {}", cx.max_tunnels);
            cx.log_detail(Event::CreateTunnelFailed {}, why.clone());
            self.fail(cx, Failure::new(why, Cause::NoConnection));
            return None;
        }
        let values = cx.draw_ccid().and_then(|ccid| Some((ccid, cx.random()?, cx.random()?)));
        let Some((ccid, tie_breaker, nonce)) = values else {
            let why = "no random octets for its id and nonce";
            cx.log_detail(Event::CreateTunnelFailed {}, why);
            self.fail(cx, Failure::new(why, Cause::NoRandom));
            return None;
        };
        let mut connection = Connection::new(cx, self.key, &self.config, ccid, path);
        connection.tie_breaker = Some(tie_breaker);
        Some((connection, nonce))
    }

    fn file(&mut self, cx: &mut Context, connection: Connection) {
        self.members.add(cx, connection);
        self.attempt.since = cx.now;
    }

    /// Answers an SCCRQ on a new connection, beside whatever serves the tunnel now.
    pub fn reply(&mut self, cx: &mut Context, connection: Connection) {
        let ccid = connection.ccid();
        count(&mut self.members.counters.setups);
        count(&mut self.members.counters.rx_messages);
        self.file(cx, connection);
        let sent = self.members.get_mut(ccid).is_some_and(|connection| connection.send_reply(cx));
        if !sent {
            self.delete(cx, ccid);
            self.retry_unless_served(cx);
        }
    }

    // ----- what happens -----

    /// A timer of the tunnel, or of something in it, fired. `heard` tells when valid data of a session came last.
    pub fn due(&mut self, cx: &mut Context, due: Due, heard: &dyn Fn(SessionId) -> Option<Instant>) {
        match due {
            Due::Attempt => self.attempt_due(cx),
            Due::LookUp => self.addresses.due(cx, &self.config),
            Due::Connection(ccid, due) => {
                let data = match due {
                    ConnectionDue::Hello => self.slots.heard(ccid, heard),
                    ConnectionDue::Retransmit | ConnectionDue::Acknowledge | ConnectionDue::Guard => None,
                };
                let Some(connection) = self.members.get_mut(ccid) else { return cx.missing() };
                let outcome = connection.due(cx, due, data);
                let silent = due == ConnectionDue::Retransmit && connection.state == State::Established;
                self.conclude(cx, ccid, outcome);
                if silent {
                    self.addresses.doubt(cx, self.key, &self.config);
                }
            }
            Due::Slot(key, due) => self.slot_due(cx, key, due),
        }
    }

    fn slot_due(&mut self, cx: &mut Context, key: SlotKey, due: SlotDue) {
        let ccid = self.slots.get(key).and_then(|slot| slot.connection()).or(self.members.main_ccid());
        let path = self.known_path();
        let connection = ccid.and_then(|ccid| self.members.get_mut(ccid));
        self.slots.due(cx, (key, due), connection, path);
    }

    /// A control message with the id of a connection.
    pub fn receive(&mut self, cx: &mut Context, ccid: Ccid, path: Path, header: &Header, message: &[u8]) {
        let Some(connection) = self.members.get_mut(ccid) else { return cx.missing() };
        let (receipt, place) = connection.receive(cx, path, header, message);
        if let Place::At(path) = place {
            self.follow_peer(cx, ccid, path);
        }
        self.take(cx, ccid, receipt, message);
        if let Place::Perhaps(path) = place {
            self.look_for(cx, ccid, path);
        }
    }

    /// A StopCCN whose header names no connection (C-106), and that may be believed.
    pub fn receive_stop(
        &mut self,
        cx: &mut Context,
        ccid: Ccid,
        header: &Header,
        (message, message_type): (&[u8], &MessageTypeAvp),
    ) {
        let Some(connection) = self.members.get_mut(ccid) else { return cx.missing() };
        let receipt = connection.take_numbers(cx, header, message, message_type);
        self.take(cx, ccid, receipt, message);
    }

    /// A message came on a connection whose peer seemed to have started over: it still knows our id, so the SCCRQ was
    /// a repetition, and the half-open connection that answers it goes.
    fn withdraw_restart(&mut self, cx: &mut Context, ccid: Ccid) {
        let established = |c: &&Connection| c.answered_again && c.state == State::Established;
        let Some(connection) = self.members.get(ccid).filter(established) else { return };
        let half_open =
            |c: &&Connection| c.state == State::WaitCtlConn && c.transport.channel.awaits_acknowledgement();
        let answers = |c: &&Connection| half_open(c) && c.answers_as(connection);
        let found = self.members.iter().find(answers).map(Connection::ccid);
        if let Some(half_open) = found {
            self.delete(cx, half_open);
        }
    }

    /// Processes a message in its turn, and those that wait behind it; acknowledges what is to be acknowledged.
    fn take(&mut self, cx: &mut Context, ccid: Ccid, receipt: Receipt, message: &[u8]) {
        if receipt != Receipt::Dropped {
            self.sign_of_life(cx);
            self.withdraw_restart(cx, ccid);
        }
        match receipt {
            Receipt::Dropped => return,
            Receipt::Acknowledgement | Receipt::OutOfTurn => {}
            Receipt::InTurn => {
                self.process(cx, ccid, message);
                while let Some(early) = self.members.get_mut(ccid).and_then(Connection::take_early) {
                    self.process(cx, ccid, &early);
                }
            }
        }
        // What the message came to may have been the connection's end.
        let Some(connection) = self.members.get_mut(ccid) else { return };
        if receipt != Receipt::Acknowledgement {
            connection.transport.acknowledge(cx);
        }
        if connection.is_stopped() {
            self.delete(cx, ccid);
        }
    }

    fn process(&mut self, cx: &mut Context, ccid: Ccid, message: &[u8]) {
        let Some(connection) = self.members.get_mut(ccid) else { return cx.missing() };
        let outcome = connection.process(cx, message);
        self.conclude(cx, ccid, outcome);
    }

    /// The peer is at another address or port, or a message shows which address of ours it reached.
    fn follow_peer(&mut self, cx: &mut Context, ccid: Ccid, path: Path) {
        let Some(connection) = self.members.get_mut(ccid) else { return cx.missing() };
        if connection.transport.path == path {
            return;
        }
        let before = connection.move_to(cx, path);
        self.slots.move_to(cx, ccid, path);
        if before.remote != path.remote {
            cx.remark(&Remark::Moved { tunnel: ccid, end: path.remote });
        }
    }

    /// Something of the peer came on another path than its own.
    pub fn look_for(&mut self, cx: &mut Context, ccid: Ccid, path: Path) {
        let Some(connection) = self.members.get_mut(ccid) else { return };
        let outcome = connection.look_for(cx, path);
        self.conclude(cx, ccid, outcome);
    }

    /// What came of a message or timer of a connection.
    pub fn conclude(&mut self, cx: &mut Context, ccid: Ccid, outcome: Outcome) {
        match outcome {
            Outcome::Keep => {}
            Outcome::Established => self.established(cx, ccid),
            Outcome::Session(message) => {
                let Some(connection) = self.members.get_mut(ccid) else { return };
                let failure = self.slots.receive(cx, connection, &message);
                failure.into_iter().for_each(|failure| self.attempt.fail(cx.now, failure));
            }
            Outcome::BadSession(refusal, failure) => {
                let Some(connection) = self.members.get_mut(ccid) else { return };
                let failure = self.slots.bad_message(cx, connection, &refusal, failure);
                failure.into_iter().for_each(|failure| self.attempt.fail(cx.now, failure));
            }
            Outcome::Stopped { reason, lost_tie } => self.peer_stopped(cx, ccid, reason, lost_tie),
            Outcome::Close(Objection { code, failure }) => {
                self.fail_connection(cx, ccid, failure);
                self.close_connection(cx, ccid, code);
                self.retry_unless_served(cx);
            }
            Outcome::Lost(failure) => self.lose(cx, ccid, failure),
            Outcome::Forgotten(failure) => {
                self.lose(cx, ccid, failure);
                if self.attempt.is_scheduled() {
                    self.schedule(cx, Duration::ZERO);
                }
            }
            Outcome::Done => self.delete(cx, ccid),
        }
    }

    /// A connection is established: it serves its tunnel from now on, whatever did before is cleared, and the
    /// sessions begin.
    fn established(&mut self, cx: &mut Context, ccid: Ccid) {
        if let Some(connection) = self.members.get_mut(ccid) {
            connection.stop_guard(cx);
        }
        let others: Vec<Ccid> = self.members.iter().map(Connection::ccid).filter(|c| *c != ccid).collect();
        for other in others {
            self.replace(cx, other);
        }
        self.members.set_main(ccid);
        if let Some(connection) = self.members.get(ccid) {
            self.addresses.answered(connection.transport.path.remote.ip());
        }
        count(&mut self.members.counters.established);
        self.attempt.cancel(cx);
        self.attempt.since = cx.now;
        if let Some(connection) = self.members.get(ccid) {
            cx.dropped_from.forget(connection.transport.path.remote.ip());
        }
        self.notify(cx, Happening::TunnelUp, String::new());
        let Some(connection) = self.members.get_mut(ccid) else { return };
        connection.serve(cx);
        // The initiator's ICRQs go out at once; the responder gives them a second, else the two cross at nearly
        // every connect and a tie must be broken.
        let delay = if connection.initiator { Duration::ZERO } else { RESPONDER_DELAY };
        self.slots.begin(cx, connection, delay);
    }

    // ----- end -----

    /// A connection gives way to one that has just been established. The peer does not know an old established one
    /// any more (it came back with a new id), so nothing is sent.
    fn replace(&mut self, cx: &mut Context, ccid: Ccid) {
        match self.members.state(ccid) {
            Some(State::Established) => {
                let reason = "the peer has set up a new control connection";
                self.slots.drop_sessions(cx, Some(ccid), reason);
                self.delete(cx, ccid);
            }
            Some(State::WaitCtlReply) => self.linger(cx, ccid),
            Some(State::Idle | State::WaitCtlConn) => self.delete(cx, ccid),
            Some(State::Stopping | State::Linger) | None => {}
        }
    }

    /// Nothing is sent on a connection any more but acknowledgements.
    pub fn linger(&mut self, cx: &mut Context, ccid: Ccid) {
        if let Some(connection) = self.members.get_mut(ccid) {
            connection.linger(cx);
        }
        self.leave_service(cx, ccid);
    }

    /// The connection does not serve its tunnel any more.
    fn leave_service(&mut self, cx: &mut Context, ccid: Ccid) {
        if self.members.leave_service(ccid) {
            self.attempt.since = cx.now;
        }
    }

    /// Frees a connection (its id may be used again).
    pub fn delete(&mut self, cx: &mut Context, ccid: Ccid) {
        self.leave_service(cx, ccid);
        self.members.delete(cx, ccid);
    }

    /// Ends a connection with a StopCCN (C-102): its sessions are dropped (C-107), it answers until the StopCCN is
    /// acknowledged.
    pub fn close_connection(&mut self, cx: &mut Context, ccid: Ccid, code: ResultCode) {
        let reason = format!("we closed it: {}", code::stopccn_text(code.result));
        match self.members.state(ccid) {
            Some(State::Stopping | State::Linger) | None => return,
            Some(State::Established) => {
                self.slots.drop_sessions(cx, Some(ccid), &reason);
                self.notify(cx, Happening::TunnelDown, reason);
            }
            Some(State::Idle | State::WaitCtlReply | State::WaitCtlConn) => {}
        }
        self.leave_service(cx, ccid);
        let outcome = self.members.get_mut(ccid).map(|connection| connection.close(cx, code));
        if let Some(Outcome::Done) = outcome {
            self.delete(cx, ccid);
        }
    }

    /// Any state and StopCCN (C-103, C-127): the sessions are dropped, the connection lingers.
    fn peer_stopped(&mut self, cx: &mut Context, ccid: Ccid, reason: String, lost_tie: bool) {
        match self.members.state(ccid) {
            Some(State::Established) => {
                self.slots.drop_sessions(cx, Some(ccid), &reason);
                self.notify(cx, Happening::TunnelDown, reason.clone());
                self.attempt.fail(cx.now, Failure::new(reason, Cause::Other));
            }
            // A tie was lost: the peer's own attempt goes on.
            Some(State::Idle | State::WaitCtlReply | State::WaitCtlConn) if lost_tie => {
                self.attempt.fail(cx.now, Failure::new(reason, Cause::Other));
            }
            Some(State::Idle | State::WaitCtlReply | State::WaitCtlConn) => {
                self.fail_connection(cx, ccid, Failure::new(reason, Cause::Other));
            }
            Some(State::Stopping | State::Linger) | None => {}
        }
        self.linger(cx, ccid);
        self.retry_unless_served(cx);
    }

    /// Deletes a connection whose peer cannot be reached (C-059), and tries again later; the next address of the peer's
    /// name has its turn before the pause.
    pub fn lose(&mut self, cx: &mut Context, ccid: Ccid, failure: Failure) {
        let mut next = false;
        match self.members.state(ccid) {
            Some(State::Established) => {
                let reason = failure.to_string();
                self.slots.drop_sessions(cx, Some(ccid), &reason);
                self.notify(cx, Happening::TunnelDown, reason);
                self.attempt.fail(cx.now, failure);
            }
            Some(State::WaitCtlReply) if self.addresses.unanswered() => {
                self.attempt.fail(cx.now, failure);
                next = true;
            }
            Some(State::WaitCtlReply) => {
                self.pause.unacknowledged();
                self.fail_connection(cx, ccid, failure);
            }
            Some(State::Idle | State::WaitCtlConn | State::Stopping | State::Linger) | None => {
                self.fail_connection(cx, ccid, failure);
            }
        }
        self.delete(cx, ccid);
        match next {
            true => self.schedule(cx, Duration::ZERO),
            false => self.retry_unless_served(cx),
        }
    }

    /// Ends everything that the tunnel has: its connections with a StopCCN, its manual sessions without a word.
    pub fn close(&mut self, cx: &mut Context, code: u16, why: &str) {
        for ccid in self.members.alive() {
            self.close_connection(cx, ccid, result(code, None, why));
        }
        self.slots.drop_sessions(cx, None, why);
        self.watch.set_next(cx, None, self.config.local_address, false);
        self.attempt.cancel(cx);
        self.addresses.cancel(cx);
        self.slots.cancel(cx);
    }

    /// It is not in the configuration any more.
    pub fn remove(&mut self, cx: &mut Context, code: u16, why: &str) {
        self.close(cx, code, why);
        self.removed = true;
    }

    // ----- the administrator -----

    /// `start`: enables the tunnel until the next reload.
    pub fn start(&mut self, cx: &mut Context) {
        self.stopped = false;
        self.started = true;
        if self.members.main_ccid().is_none() && !self.preparing {
            self.schedule(cx, Duration::ZERO);
        }
    }

    /// `stop`: disables the tunnel until the next reload.
    pub fn stop(&mut self, cx: &mut Context) {
        self.stopped = true;
        self.started = false;
        self.close(cx, stopccn::SHUTDOWN, "stopped by the administrator");
    }

    /// `start` and `stop` hold until the next reload.
    pub fn undo_commands(&mut self, cx: &mut Context) {
        let stopped = std::mem::take(&mut self.stopped);
        let started = std::mem::take(&mut self.started);
        if stopped && !self.config.disabled {
            self.schedule(cx, Duration::ZERO);
        } else if started && self.config.disabled {
            self.close(cx, stopccn::SHUTDOWN, "disabled by the configuration");
        }
    }

    // ----- the configuration changes -----

    /// Settings that are used from now on; timers that run are armed with them again.
    pub fn update(&mut self, cx: &mut Context, block: &model::Tunnel) {
        let interval_changed = self.config.resolve_interval != block.resolve_interval;
        self.config = Rc::new(block.clone());
        if interval_changed {
            self.addresses.arm(cx, self.key, &self.config);
        }
        for connection in self.members.iter_mut() {
            connection.update(cx, &self.config);
        }
    }

    /// A session block was added.
    pub fn add_session(&mut self, cx: &mut Context, interface: &str) {
        // A waiting tunnel begins it with the others; C-124: an established one at once.
        self.slots.insert(cx, &self.config, interface, self.members.main_ccid().is_some());
    }

    /// A session block was removed.
    pub fn remove_session(&mut self, cx: &mut Context, interface: &str) {
        let key = self.slots.key_of(interface);
        if let Some((slot, connection)) = key.and_then(|key| self.slot_mut(key)) {
            slot.clear(cx, connection, result(cdn::ADMIN, None, "the configuration changed"));
        }
        self.slots.remove(cx, interface);
    }

    // ----- the data plane -----

    /// The answer to `Action::Attach`: the interface is ready, or in words why not.
    pub fn attached(&mut self, cx: &mut Context, key: SlotKey, outcome: Result<(), String>) {
        let Some((slot, connection)) = self.slot_mut(key) else { return cx.missing() };
        slot.attached(cx, connection, outcome);
    }

    /// The interface of a session failed (it was deleted, say).
    pub fn interface_failed(&mut self, cx: &mut Context, key: SlotKey, why: &str) {
        let Some((slot, connection)) = self.slot_mut(key) else { return cx.missing() };
        slot.interface_failed(cx, connection, why);
    }

    /// An interface went up or down, as the administrator sees it.
    pub fn set_circuit(&mut self, cx: &mut Context, interface: &str, up: bool) {
        let key = self.slots.key_of(interface);
        if let Some((slot, connection)) = key.and_then(|key| self.slot_mut(key)) {
            slot.set_circuit(cx, connection, up);
        }
    }

    // ----- what went wrong, what is to be seen -----

    /// Notes why the tunnel is not up, for `explain` and the status, and announces it.
    pub fn fail(&mut self, cx: &mut Context, failure: Failure) {
        let reason = failure.to_string();
        self.attempt.fail(cx.now, failure);
        self.notify(cx, Happening::TunnelFailed, reason);
    }

    /// The same for a connection; one that fails beside another in service is nobody's concern.
    fn fail_connection(&mut self, cx: &mut Context, ccid: Ccid, failure: Failure) {
        if self.members.main_ccid().is_none_or(|main| main == ccid) {
            self.fail(cx, failure);
        }
    }

    /// There is a hint that the peer has forgotten a connection.
    pub fn probe(&mut self, cx: &mut Context, ccid: Ccid) {
        let Some(connection) = self.members.get_mut(ccid) else { return cx.missing() };
        let outcome = connection.probe(cx);
        self.conclude(cx, ccid, outcome);
    }

    fn notify(&self, cx: &mut Context, what: Happening, reason: String) {
        let connection = self.members.main();
        let path = connection.map(|c| c.transport.path).or(self.path);
        cx.notify(Notification {
            what,
            tunnel: self.config.name.clone(),
            interface: None,
            peer: path.map(|path| path.remote.ip()),
            local_id: connection.map_or(0, |c| c.ccid().0),
            remote_id: connection.map_or(0, |c| c.transport.remote_ccid.0),
            reason,
        });
    }

    /// An SCCRQ acknowledged what was not sent.
    pub fn count_bad_nr(&mut self) {
        count(&mut self.members.counters.rx_bad_nr);
    }
}
