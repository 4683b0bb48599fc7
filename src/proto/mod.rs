//! The protocol engine: RFC 3931's state machines for any number of tunnels, without clock, socket, file or
//! random source of its own. The caller passes time and messages in, and after each call drains
//! [`Engine::poll_action`] until it is empty.
//!
//! | file | what |
//! |---|---|
//! | `tunnel` | a tunnel block, its slots for sessions, its next attempt |
//! | `connection`, `session` | the two state machines: states and the tables of RFC 3931 7.2, 7.3 |
//! | `channel` | reliable delivery: Ns, Nr, windows, retransmission |
//! | `auth` | which secret and nonces, is a message believed |
//! | `receive` | the pipeline that each received message goes through |
//! | `request` | SCCRQ: which tunnel, ties, restarts of the peer |
//! | `control`, `hello`, `ending` | set-up, keepalive and end of control connections |
//! | `call`, `incoming` | set-up of sessions, by us and by the peer |
//! | `circuit`, `clear`, `manual` | circuit status, end of sessions, sessions without negotiation |
//! | `send` | encoding, signing, transmitting, acknowledging |
//! | `apply`, `command` | a new configuration, the administrator's commands |

#![warn(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

pub mod action;
mod apply;
pub mod auth;
mod call;
pub mod channel;
mod circuit;
mod clear;
mod command;
pub mod connection;
mod control;
mod ending;
pub mod guard;
mod hello;
mod incoming;
mod manual;
mod receive;
mod request;
mod send;
pub mod session;
mod show;
pub mod snapshot;
pub mod tunnel;

pub use action::{Action, Attachment, Happening, Notification, Path, SequenceLevel};
pub use snapshot::Snapshot;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::log::{Event, Line};
use crate::wheel::Wheel;
use crate::wire::{Ccid, SessionId};
use connection::Connection;
use guard::Guard;
use session::Session;
use snapshot::{Drops, Failure};
use tunnel::{SlotKey, Tunnel, TunnelKey};

/// How long an acknowledgement waits for a reply that can carry it; far below any peer's retransmission (C-047).
const ACKNOWLEDGE_DELAY: Duration = Duration::from_millis(20);

/// How long the responder of a control connection waits before it asks for sessions of its own.
/// Longer than the first retransmission of an ICRQ that was lost.
const RESPONDER_DELAY: Duration = Duration::from_millis(1500);

/// Where random octets come from: the system, or a seeded generator in tests.
pub trait Random {
    /// Fills `octets`, or says in the system's words why it cannot.
    fn fill(&mut self, octets: &mut [u8]) -> Result<(), String>;
}

/// What an administrator's command came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandError {
    /// No tunnel of that name.
    NotFound,
    /// No session or peer that could be cleared: whether it is configured, in words.
    NothingToClear(String),
    /// It exists, but there is nothing to clear.
    NotUp,
    /// Result code 0: no Result Code AVP can be made of it.
    NoResultCode,
}

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Timer {
    /// The oldest message in flight is not acknowledged.
    Retransmit(Ccid),
    /// Nothing heard from the peer.
    Hello(Ccid),
    /// An acknowledgement found no message to carry it.
    Acknowledge(Ccid),
    /// The set-up takes too long, or the linger time is over.
    Guard(Ccid),
    /// The next attempt at a tunnel.
    Tunnel(TunnelKey),
    /// The next attempt at a session.
    Slot(TunnelKey, SlotKey),
    /// The peer does not answer an ICRQ or ICRP.
    SessionGuard(SessionId),
    /// A change of the circuit waits to be told.
    CircuitStatus(SessionId),
}

/// The engine.
pub struct Engine {
    random: Box<dyn Random>,
    wheel: Wheel<Timer>,
    actions: VecDeque<Action>,
    config: Option<Config>,
    tunnels: BTreeMap<TunnelKey, Tunnel>,
    /// The order of the configuration.
    order: Vec<TunnelKey>,
    /// By name.
    names: BTreeMap<String, TunnelKey>,
    /// In that order: the tunnels that name an address, by it, and those that do not.
    addressed: BTreeMap<IpAddr, Vec<TunnelKey>>,
    unaddressed: Vec<TunnelKey>,
    next_key: u32,
    connections: BTreeMap<Ccid, Connection>,
    /// How many of them answer a peer and wait for its SCCCN.
    half_open: usize,
    sessions: BTreeMap<SessionId, Session>,
    guard: Option<Guard>,
    drops: Drops,
    shutting_down: bool,
}

impl Engine {
    /// An engine without tunnels.
    pub fn new(now: Instant, random: Box<dyn Random>) -> Engine {
        Engine {
            random,
            wheel: Wheel::new(now),
            actions: VecDeque::new(),
            config: None,
            tunnels: BTreeMap::new(),
            order: Vec::new(),
            names: BTreeMap::new(),
            addressed: BTreeMap::new(),
            unaddressed: Vec::new(),
            next_key: 0,
            connections: BTreeMap::new(),
            half_open: 0,
            sessions: BTreeMap::new(),
            guard: None,
            drops: Drops::default(),
            shutting_down: false,
        }
    }

    /// The next thing to do, or `None` when there is nothing left.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`handle_timeout`](Engine::handle_timeout) wants to be called next.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.wheel.next()
    }

    /// Runs the timers that are due; harmless when none is. `heard` tells when valid data of a session came last.
    pub fn handle_timeout(&mut self, now: Instant, heard: &dyn Fn(SessionId) -> Option<Instant>) {
        while let Some(timer) = self.wheel.pop(now) {
            match timer {
                Timer::Retransmit(ccid) => self.retransmit(now, ccid),
                Timer::Hello(ccid) => self.hello_due(now, ccid, heard),
                Timer::Acknowledge(ccid) => self.acknowledge_due(now, ccid),
                Timer::Guard(ccid) => self.guard_due(now, ccid),
                Timer::Tunnel(key) => self.tunnel_due(now, key),
                Timer::Slot(key, slot) => self.slot_due(now, key, slot),
                Timer::SessionGuard(id) => self.session_guard_due(now, id),
                Timer::CircuitStatus(id) => self.circuit_status_due(now, id),
            }
        }
    }

    // ----- helpers of all files -----

    fn log(&mut self, event: Event) {
        self.actions.push_back(Action::Log(Line::new(&event)));
    }

    fn log_detail(&mut self, event: Event, detail: impl Into<String>) {
        self.actions.push_back(Action::Log(Line::with_detail(&event, detail)));
    }

    fn remark(&mut self, level: crate::log::Level, kind: &'static str, text: impl std::fmt::Display) {
        self.actions.push_back(Action::Log(Line::remark(level, kind, text)));
    }

    /// Random octets; on failure the catalogue's message is logged and the caller gives up what it wanted to do.
    fn random<const N: usize>(&mut self) -> Option<[u8; N]> {
        let mut octets = [0; N];
        match self.random.fill(&mut octets) {
            Ok(()) => Some(octets),
            Err(error) => {
                self.log(Event::RandomOpenError { error });
                None
            }
        }
    }

    /// A random Control Connection ID that is free, never 0 (C-282).
    fn free_ccid(&mut self) -> Option<Ccid> {
        for _ in 0..64 {
            let ccid = Ccid(u32::from_be_bytes(self.random()?));
            if ccid.0 != 0 && !self.connections.contains_key(&ccid) {
                return Some(ccid);
            }
        }
        None
    }

    /// A random Session ID that no session of ours uses, never 0: over IP nothing else tells sessions apart (C-132).
    fn free_session_id(&mut self) -> Option<SessionId> {
        for _ in 0..64 {
            let id = SessionId(u32::from_be_bytes(self.random()?));
            if id.0 != 0 && !self.sessions.contains_key(&id) {
                return Some(id);
            }
        }
        None
    }

    /// `base` plus or minus up to a quarter of it: many tunnels must not act in step.
    #[allow(clippy::arithmetic_side_effects)] // divisions by constants
    fn jitter(&mut self, base: Duration) -> Duration {
        let mut octet = [128];
        // Without randomness the exact interval still serves.
        let _ = self.random.fill(&mut octet);
        let [octet] = octet;
        base.saturating_mul(3).saturating_add(base.saturating_mul(u32::from(octet)) / 128) / 4
    }

    /// Notes why a tunnel is not up, for `explain` and the status.
    fn fail_tunnel(&mut self, now: Instant, key: TunnelKey, failure: Failure) {
        if let Some(tunnel) = self.tunnels.get_mut(&key) {
            let reason = failure.to_string();
            tunnel.attempt.failure = Some((failure, now));
            self.notify_tunnel(key, Happening::TunnelFailed, reason);
        }
    }

    /// The same for a connection; one that fails beside another in service is nobody's concern.
    fn fail_connection(&mut self, now: Instant, ccid: Ccid, failure: Failure) {
        let Some(key) = self.connections.get(&ccid).map(|c| c.tunnel) else { return };
        let served_by_other = self.tunnels.get(&key).and_then(|t| t.main).is_some_and(|main| main != ccid);
        if !served_by_other {
            self.fail_tunnel(now, key, failure);
        }
    }

    fn notify_tunnel(&mut self, key: TunnelKey, what: Happening, reason: String) {
        let Some(tunnel) = self.tunnels.get(&key) else { return };
        let connection = tunnel.main.and_then(|ccid| self.connections.get(&ccid));
        self.actions.push_back(Action::Notify(Notification {
            what,
            tunnel: tunnel.config.name.clone(),
            interface: None,
            peer: connection.map(|c| c.path.remote.ip()).or(tunnel.path.map(|p| p.remote.ip())),
            local_id: connection.map_or(0, |c| c.ccid.0),
            remote_id: connection.map_or(0, |c| c.remote_ccid.0),
            reason,
        }));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Instant;

    /// A moment to begin with. Tests count on from it; nothing depends on which moment it is.
    pub(crate) fn start() -> Instant {
        crate::sys::clock::now()
    }
}
