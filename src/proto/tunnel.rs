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
//! | forget | a session that never was up | nothing, or it has won a tie | nothing; it is no event either |
//! | refuse | an SCCRQ or ICRQ | StopCCN or CDN | nothing: it never began here |

use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::action::{Action, Notification, Path, Purpose, TunnelEvent};
use super::addresses::{Addresses, Next};
use super::attempt::{Attempt, Pause, Preparing};
use super::backup::Backup;
use super::connection::outcome::Outcome;
use super::connection::table::State;
use super::connection::Connection;
use super::context::{Context, Due, SlotKey, Timer, TunnelKey};
use super::fallback::Fallback;
use super::history::History;
use super::members::Members;
use super::record::{Record, Resumes};
use super::result::result;
use super::route::User;
use super::session::slot::Slot;
use super::session::slots::Slots;
use super::snapshot::{count, Cause, Failure};
use super::watch::Watch;
use crate::config::model::{self, TunnelConfig, Via};
use crate::log::Event;
use crate::saved::{saved, Broken, Reader, Saved, Writer};
use crate::wire::code::{self, stopccn};
use crate::wire::message::ResultCode;
use crate::wire::Ccid;

/// How often our own attempt waits for one of the peer's. A flood of forged SCCRQs must not keep us silent.
const MOST_DEFERRALS: u32 = 3;

/// When the peer that stood by is gone, the next one is asked after this time.
const STANDBY_PAUSE: Duration = Duration::from_secs(1);

saved! {
    /// A tunnel.
    #[derive(Debug)]
    pub struct Tunnel {
        /// Its name inside the engine.
        pub key: TunnelKey,
        /// Its place among the blocks of the file, counted from 0.
        pub place: usize,
        /// The path to the peer, as prepared last.
        pub path: Option<Path>,
        /// The addresses of its peers.
        pub addresses: Addresses,
        /// Which of several peers is in use, and what is known of the others.
        pub backup: Backup,
        /// Which of two encapsulations is used.
        pub fallback: Fallback,
        /// When it is tried next, and what went wrong last.
        pub attempt: Attempt,
        /// The last changes.
        pub history: History,
        /// How far apart attempts are.
        pub pause: Pause,
        /// The route that it takes.
        pub watch: Watch,
        /// Stopped by the administrator until the next reload.
        stopped: bool,
        /// Started by the administrator although the configuration disables it.
        started: bool,
        /// Not in the configuration any more: it is gone with its last connection.
        removed: bool,
        /// What the attempt that begins waits for.
        pub preparing: Option<Preparing>,
        /// The connection of before a crash: the next attempt begins with it.
        pub kept: Option<Box<Record>>,
        /// The peer is asked whether it still has that.
        pub resumes: Option<Box<Resumes>>,
        /// How often our own attempt has waited for one of the peer's.
        deferred: u32,
        /// This peer ended a connection when it had got a long HELLO.
        pub no_probes_to: Option<IpAddr>,
    } given {
        /// Its block.
        pub config: Rc<model::TunnelConfig>,
        /// Its session blocks.
        pub slots: Slots,
        /// The same blocks, for the sessions with a peer that stands by; while there is one.
        pub spare: Option<Box<Slots>>,
        /// Its connections.
        pub members: Members,
    }
}

impl Tunnel {
    /// A tunnel without connection.
    pub fn new(now: Instant, key: TunnelKey, config: Rc<model::TunnelConfig>) -> Tunnel {
        Tunnel {
            key,
            place: 0,
            slots: Slots::new(now, key, &config),
            spare: None,
            addresses: Addresses::new(&config),
            config,
            members: Members::default(),
            path: None,
            backup: Backup::default(),
            fallback: Fallback::default(),
            attempt: Attempt::new(now),
            history: History::default(),
            pause: Pause::default(),
            watch: Watch::new(User(key, None)),
            stopped: false,
            started: false,
            removed: false,
            preparing: None,
            kept: None,
            resumes: None,
            deferred: 0,
            no_probes_to: None,
        }
    }

    /// Whether the configuration or the administrator keeps it down.
    pub fn is_disabled(&self) -> bool {
        self.stopped || (self.config.disabled && !self.started)
    }

    /// Whether it may be set up at all.
    pub fn is_usable(&self) -> bool {
        !self.removed && !self.is_disabled() && self.config.problem().is_none()
    }

    /// Whether nothing is left of a tunnel that is not configured any more.
    pub fn is_over(&self) -> bool {
        self.removed && self.members.is_empty()
    }

    /// A connection, and the session blocks whose sessions it has.
    pub fn parts(&mut self, ccid: Ccid) -> Option<(&mut Slots, &mut Connection)> {
        let spare = self.spare.as_deref_mut().filter(|_| self.backup.standby == Some(ccid));
        Some((spare.unwrap_or(&mut self.slots), self.members.get_mut(ccid)?))
    }

    /// A session block, and the connection of its session.
    pub fn slot_mut(&mut self, key: SlotKey) -> Option<(&mut Slot, Option<&mut Connection>)> {
        let spare = self.spare.as_deref_mut().and_then(|spare| spare.get_mut(key));
        let slot = self.slots.get_mut(key).or(spare)?;
        let connection = self.members.of(slot);
        Some((slot, connection))
    }

    /// The session block of an interface (not that of a peer that stands by), and the connection of its session.
    pub fn slot_named(&mut self, interface: &str) -> Option<(&mut Slot, Option<&mut Connection>)> {
        let slot = self.slots.named(interface)?;
        let connection = self.members.of(slot);
        Some((slot, connection))
    }

    /// The session blocks that one is among, and the connection of its session, or else the one that is to have it.
    pub fn slots_of(&mut self, key: SlotKey) -> (&mut Slots, Option<&mut Connection>) {
        let stands_by = self.slots.get(key).is_none();
        let (slots, serving) = match self.spare.as_deref_mut() {
            Some(spare) if stands_by => (spare, self.backup.standby),
            Some(_) | None => (&mut self.slots, self.members.main_ccid()),
        };
        let ccid = slots.get(key).and_then(Slot::connection).or(serving);
        (slots, ccid.and_then(|ccid| self.members.get_mut(ccid)))
    }

    /// The interface went up or down.
    pub fn set_circuit(&mut self, cx: &mut Context, interface: &str, up: bool) {
        for slots in std::iter::once(&mut self.slots).chain(self.spare.as_deref_mut()) {
            if let Some(slot) = slots.named(interface) {
                slot.set_circuit(cx, self.members.of(slot), up);
            }
        }
    }

    /// Writes it. Of its block only the name is written; of one that is gone what its last connections need.
    pub fn save_all(&self, to: &mut Writer) {
        (self.config.name.clone(), self.removed).save(to);
        match self.removed {
            true => (self.key, self.config.linger).save(to),
            false => self.slots.save(to),
        }
        self.spare.is_some().save(to);
        self.spare.iter().for_each(|spare| spare.save(to));
        self.members.save(to);
        self.save(to);
    }

    /// Reads it, and whether it is gone. `block` finds the tunnel blocks of the configuration in force.
    pub fn restore_all<'a>(
        from: &mut Reader<'_>,
        block: impl FnOnce(&str) -> Option<&'a Rc<TunnelConfig>>,
    ) -> Result<(Tunnel, bool), Broken> {
        let (name, removed) = <(String, bool)>::restore(from);
        let (config, slots) = if removed {
            let (key, linger) = <(TunnelKey, Duration)>::restore(from);
            let config = Rc::new(TunnelConfig { linger, ..TunnelConfig::new(&name) });
            (Rc::clone(&config), Slots::new(from.moment(), key, &config))
        } else {
            let block = block(&name)
                .ok_or_else(|| from.refuse("a tunnel of the state is not in its configuration"))?;
            (Rc::clone(block), Slots::restore(from, block)?)
        };
        let has_spare = bool::restore(from);
        let spare = has_spare.then(|| Slots::restore(from, &config).map(Box::new)).transpose()?;
        let members = Members::restore(from, &config);
        Ok((Tunnel::restore_with(from, config, slots, spare, members), removed))
    }

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
        if !self.has_attempt() && !self.attempt.is_scheduled() {
            self.retry(cx);
        }
    }

    /// Whether a connection serves the tunnel, or is going to.
    fn has_attempt(&self) -> bool {
        self.members.main_ccid().is_some() || self.preparing.is_some()
    }

    /// The next attempt is due: the daemon is asked for socket and address. While the peer is setting up a
    /// connection of its own, that one has its chance first.
    pub fn attempt_due(&mut self, cx: &mut Context) {
        self.attempt.begin();
        if cx.shutting_down || !self.is_usable() || self.has_attempt() {
            return;
        }
        if self.members.in_state(State::WaitCtlConn).next().is_some() && self.deferred < MOST_DEFERRALS {
            self.deferred = self.deferred.saturating_add(1);
            return self.retry(cx);
        }
        self.deferred = 0;
        self.try_next(cx);
    }

    /// Asks the daemon for what the next peer needs: what its name means, or the socket.
    pub fn try_next(&mut self, cx: &mut Context) {
        let next = match &self.kept {
            Some(kept) => Next::Address(kept.path.remote.ip()),
            None => self.addresses.next(cx.now),
        };
        let tunnel = self.config.name.clone();
        self.preparing = Some(match next {
            Next::LookUp(name) => {
                cx.act(Action::Resolve { tunnel, name });
                Preparing::Names
            }
            Next::Waits => Preparing::Names,
            Next::Address(_) | Next::Any | Next::Nothing => {
                let peer = next.address();
                cx.act(Action::Prepare { tunnel, peer, purpose: Purpose::Serve });
                Preparing::Socket(peer)
            }
        });
    }

    /// From which address of ours (`None`: the one that the system chooses) packets leave, and by what.
    pub fn source(&self) -> (Option<IpAddr>, Via) {
        (self.config.local_address, self.config.via())
    }

    /// A path that something came on, to send to: the mark is the tunnel's.
    pub fn marked(&self, path: Path) -> Path {
        Path { via: Via { mark: self.config.fwmark, ..path.via }, ..path }
    }

    /// The path, where it leads to one peer.
    pub fn known_path(&self) -> Option<Path> {
        self.path.filter(|path| !path.remote.ip().is_unspecified())
    }

    /// Idle and local open: SCCRQ (C-110).
    pub fn begin(&mut self, cx: &mut Context, path: Path) {
        let Some((mut connection, nonce)) = self.new_connection(cx, path) else { return self.retry(cx) };
        connection.begin(&nonce);
        count(&mut self.members.counters.setups);
        self.pause.begin();
        let (tunnel, name) = (connection.ccid(), self.config.name.clone());
        self.members.set_main(tunnel);
        self.file(cx, connection);
        cx.log(Event::BeginNewTunnel { tunnel, name, peer: path.remote.ip() });
        self.notify(cx, TunnelEvent::TunnelConnecting, String::new());
        // Other addresses wait for their turn, or another encapsulation.
        let soon = self.addresses.has_others() || self.fallback.has_other(&self.config);
        let sent = self.members.main_mut().is_some_and(|connection| connection.send_request(cx, soon));
        if !sent {
            self.delete(cx, tunnel);
            self.retry(cx);
        }
    }

    /// One more connection, if there may be one, with a tie breaker of ours; and random octets for its nonce.
    pub fn new_connection(&mut self, cx: &mut Context, path: Path) -> Option<(Connection, [u8; 16])> {
        let (why, cause) = match cx.alive < cx.max_tunnels {
            false => (format!("max-tunnels is {}", cx.max_tunnels), Cause::NoConnection),
            true => match self.draw_connection(cx, path) {
                Some(made) => return Some(made),
                None => ("no random octets for its id and nonce".to_owned(), Cause::NoRandom),
            },
        };
        cx.log_detail(Event::CreateTunnelFailed {}, why.clone());
        self.fail(cx, Failure::new(why, cause));
        None
    }

    /// A connection with a fresh id and tie breaker, and random octets for its nonce; `None`: there are no random octets.
    pub fn draw_connection(&self, cx: &mut Context, path: Path) -> Option<(Connection, [u8; 16])> {
        let (ccid, tie_breaker, nonce) = (cx.draw_ccid()?, cx.random()?, cx.random()?);
        let mut connection = Connection::new(cx, self.key, &self.config, ccid, path);
        connection.tie_breaker = Some(tie_breaker);
        Some((connection, nonce))
    }

    /// One more connection; it, in its place.
    pub fn file(&mut self, cx: &mut Context, connection: Connection) -> Option<&mut Connection> {
        self.attempt.since = cx.now;
        self.members.add(cx, connection)
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
        if self.backup.standby != Some(ccid) {
            return;
        }
        // Nobody stands by any more; soon another one is asked.
        self.report(cx, TunnelEvent::StandbyDown, Some(ccid), String::new());
        self.backup.standby = None;
        if let Some(mut spare) = self.spare.take() {
            spare.drop_sessions(cx, Some(ccid), "");
            spare.cancel(cx);
        }
        cx.arm(&mut self.backup.timer, STANDBY_PAUSE, Timer(self.key, Due::Backup));
    }

    /// The connection with the peer that stands by.
    pub fn standby(&self) -> Option<&Connection> {
        self.members.get(self.backup.standby?)
    }

    /// The address of that peer.
    pub fn standby_address(&self) -> Option<IpAddr> {
        self.standby().map(|standby| standby.address())
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
            Some(State::Established) if self.members.main_ccid() == Some(ccid) => {
                self.slots.drop_sessions(cx, Some(ccid), &reason);
                self.notify(cx, TunnelEvent::TunnelDown, reason);
            }
            Some(State::Established | State::Idle | State::WaitCtlReply | State::WaitCtlConn) => {}
        }
        self.leave_service(cx, ccid);
        let outcome = self.members.get_mut(ccid).map(|connection| connection.close(cx, code));
        if let Some(Outcome::Done) = outcome {
            self.delete(cx, ccid);
        }
    }

    /// Ends everything that the tunnel has: its connections with a StopCCN, its manual sessions without a word.
    pub fn close(&mut self, cx: &mut Context, code: u16, why: &str) {
        for member in self.members.alive() {
            self.close_connection(cx, member.ccid, result(code, None, why));
        }
        self.slots.drop_sessions(cx, None, why);
        (self.kept, self.resumes) = (None, None);
        self.watch.set_next(cx, None, self.source(), false);
        self.attempt.cancel(cx);
        self.addresses.cancel(cx);
        self.backup.cancel(cx);
        self.slots.cancel(cx);
    }

    /// It is not in the configuration any more.
    pub fn remove(&mut self, cx: &mut Context, code: u16, why: &str) {
        self.close(cx, code, why);
        self.removed = true;
    }

    /// `start`: enables the tunnel until the next reload.
    pub fn start(&mut self, cx: &mut Context) {
        (self.stopped, self.started) = (false, true);
        if !self.has_attempt() {
            self.schedule(cx, Duration::ZERO);
        }
    }

    /// `stop`: disables the tunnel until the next reload.
    pub fn stop(&mut self, cx: &mut Context) {
        (self.stopped, self.started) = (true, false);
        self.close(cx, stopccn::SHUTDOWN, "stopped by the administrator");
    }

    /// `start` and `stop` hold until the next reload. Whether there was one of them.
    pub fn undo_commands(&mut self, cx: &mut Context) -> bool {
        let (stopped, started) = (std::mem::take(&mut self.stopped), std::mem::take(&mut self.started));
        if stopped && !self.config.disabled {
            self.schedule(cx, Duration::ZERO);
        } else if started && self.config.disabled {
            self.close(cx, stopccn::SHUTDOWN, "disabled by the configuration");
        }
        stopped || started
    }

    /// Notes why the tunnel is not up, for `explain` and the status, and announces it.
    pub fn fail(&mut self, cx: &mut Context, failure: Failure) {
        let reason = failure.to_string();
        self.attempt.fail(cx.now, failure);
        self.notify(cx, TunnelEvent::TunnelFailed, reason);
    }

    /// The same for a connection; one that fails beside another in service is nobody's concern.
    pub fn fail_connection(&mut self, cx: &mut Context, ccid: Ccid, failure: Failure) {
        if self.members.main_ccid().is_none_or(|main| main == ccid) {
            self.fail(cx, failure);
        }
    }

    /// Reports a change to watchers and hooks, and remembers it.
    pub fn notify(&mut self, cx: &mut Context, what: TunnelEvent, reason: String) {
        self.report(cx, what, self.members.main_ccid(), reason);
    }

    /// The same of this connection.
    pub fn report(&mut self, cx: &mut Context, what: TunnelEvent, ccid: Option<Ccid>, reason: String) {
        self.history.note(cx.now, what, &reason);
        let connection = ccid.and_then(|ccid| self.members.get(ccid));
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
}
