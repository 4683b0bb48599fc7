//! The protocol engine: RFC 3931's state machines for any number of tunnels, without clock, socket, file or
//! random source of its own. The caller passes time and messages in, and after each call drains
//! [`Engine::poll_action`] until it is empty.

pub mod action;
pub mod snapshot;

pub use action::{Action, Attachment, Happening, Notification, Path, SequenceLevel};
pub use snapshot::Snapshot;

use std::net::IpAddr;
use std::time::Instant;

use crate::config::Config;
use crate::wire::SessionId;

/// Where random octets come from: the system, or a seeded generator in tests.
pub trait Random {
    /// Fills `octets`, or says in the system's words why it cannot.
    fn fill(&mut self, octets: &mut [u8]) -> Result<(), String>;
}

/// What an administrator's command came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandError {
    /// No tunnel, session or peer of that name.
    NotFound,
    /// It exists, but there is nothing to clear.
    NotUp,
    /// Result code 0: no Result Code AVP can be made of it.
    NoResultCode,
}

/// The engine.
pub struct Engine {}

impl Engine {
    /// An engine without tunnels.
    pub fn new(now: Instant, random: Box<dyn Random>) -> Engine {
        let _ = (now, random);
        todo!()
    }

    /// Takes over a configuration, the first or another one. Tunnels and sessions that are the same in both are
    /// not touched.
    pub fn apply(&mut self, now: Instant, config: &Config) {
        let _ = (now, config);
        todo!()
    }

    /// Answers `Action::Prepare`: the path to the peer (with an unspecified remote address where any may
    /// connect), or in words why there is none yet.
    pub fn prepared(&mut self, now: Instant, tunnel: &str, path: Result<Path, String>) {
        let _ = (now, tunnel, path);
        todo!()
    }

    /// A control message came in, from the T bit on.
    pub fn handle_datagram(&mut self, now: Instant, path: Path, message: &[u8]) {
        let _ = (now, path, message);
        todo!()
    }

    /// When [`handle_timeout`](Engine::handle_timeout) wants to be called next. Never earlier than needed by more
    /// than the timer wheel's tick.
    pub fn next_timeout(&self) -> Option<Instant> {
        todo!()
    }

    /// Runs the timers that are due; harmless when none is. `heard` tells when valid data of a session came last.
    pub fn handle_timeout(&mut self, now: Instant, heard: &dyn Fn(SessionId) -> Option<Instant>) {
        let _ = (now, heard);
        todo!()
    }

    /// The next thing to do, or `None` when there is nothing left.
    pub fn poll_action(&mut self) -> Option<Action> {
        todo!()
    }

    /// Answers `Action::Attach`: the session's interface is ready, or in words why not.
    pub fn attached(&mut self, now: Instant, session: SessionId, result: Result<(), String>) {
        let _ = (now, session, result);
        todo!()
    }

    /// The interface of an attached session failed (it was deleted, say): the session goes down and is retried.
    pub fn data_plane_failed(&mut self, now: Instant, session: SessionId, why: &str) {
        let _ = (now, session, why);
        todo!()
    }

    /// The local circuit (the interface, as the administrator sees it) went up or down.
    pub fn circuit(&mut self, now: Instant, interface: &str, up: bool) {
        let _ = (now, interface, up);
        todo!()
    }

    /// `clear tunnel`: StopCCN with `result` (default 1). The tunnel is set up again after its restart interval.
    pub fn clear_tunnel(
        &mut self,
        now: Instant,
        name: &str,
        result: Option<u16>,
    ) -> Result<(), CommandError> {
        let _ = (now, name, result);
        todo!()
    }

    /// `clear peer`: as `clear_tunnel`, for the tunnels of an address.
    pub fn clear_peer(
        &mut self,
        now: Instant,
        peer: IpAddr,
        result: Option<u16>,
    ) -> Result<(), CommandError> {
        let _ = (now, peer, result);
        todo!()
    }

    /// `clear session`: CDN with `result` (default 3).
    pub fn clear_session(
        &mut self,
        now: Instant,
        interface: &str,
        result: Option<u16>,
    ) -> Result<(), CommandError> {
        let _ = (now, interface, result);
        todo!()
    }

    /// `clear all`: every tunnel.
    pub fn clear_all(&mut self, now: Instant, result: Option<u16>) -> Result<(), CommandError> {
        let _ = (now, result);
        todo!()
    }

    /// `start`: enables a tunnel until the next reload.
    pub fn start(&mut self, now: Instant, name: &str) -> Result<(), CommandError> {
        let _ = (now, name);
        todo!()
    }

    /// `stop`: disables a tunnel until the next reload.
    pub fn stop(&mut self, now: Instant, name: &str) -> Result<(), CommandError> {
        let _ = (now, name);
        todo!()
    }

    /// Orderly end: StopCCN to every peer. [`is_idle`](Engine::is_idle) tells when all have acknowledged it.
    pub fn shutdown(&mut self, now: Instant) {
        let _ = now;
        todo!()
    }

    /// Whether no message waits for an acknowledgement any more.
    pub fn is_idle(&self) -> bool {
        todo!()
    }

    /// What there is, at this moment.
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let _ = now;
        todo!()
    }
}
