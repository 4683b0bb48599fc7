//! A tunnel block of the configuration and what becomes of it: which connection serves it, when the next attempt
//! is, what went wrong last.

use std::time::Instant;

use super::action::Path;
use super::snapshot::{ControlCounters, Failure};
use crate::config::model;
use crate::wheel::TimerId;
use crate::wire::{Ccid, SessionId};

/// Names a tunnel inside the engine; never used again once the tunnel is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TunnelKey(pub u32);

/// Names a session block inside the engine; never used again once the block is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotKey(pub u32);

/// Something that is tried again and again until it succeeds.
#[derive(Debug)]
pub struct Attempt {
    /// The timer of the next try.
    pub timer: Option<TimerId>,
    /// When that is.
    pub at: Option<Instant>,
    /// What went wrong last, and when.
    pub failure: Option<(Failure, Instant)>,
    /// When the state changed last.
    pub since: Instant,
}

impl Attempt {
    /// Nothing tried yet.
    pub fn new(now: Instant) -> Attempt {
        Attempt { timer: None, at: None, failure: None, since: now }
    }
}

/// A tunnel.
#[derive(Debug)]
pub struct Tunnel {
    /// Its block.
    pub config: model::Tunnel,
    /// Stopped by the administrator until the next reload.
    pub stopped: bool,
    /// Started by the administrator although the configuration disables it.
    pub started: bool,
    /// The path to the peer, as prepared last.
    pub path: Option<Path>,
    /// `Prepare` was asked for and is not answered yet.
    pub preparing: bool,
    /// The connection that serves the tunnel: established, or our own attempt.
    pub main: Option<Ccid>,
    /// How often our own attempt has waited for one of the peer's.
    pub deferred: u32,
    /// All its connections: `main`, those that answer an SCCRQ, those that linger.
    pub members: Vec<Ccid>,
    /// The next attempt.
    pub attempt: Attempt,
    /// Serial Number of the last ICRQ.
    pub serial: u32,
    /// Counters.
    pub counters: ControlCounters,
    /// Its session blocks, in the order of the file.
    pub slots: Vec<Slot>,
}

/// A session block.
#[derive(Debug)]
pub struct Slot {
    /// Its name inside the engine.
    pub key: SlotKey,
    /// Its block.
    pub config: model::Session,
    /// The session in service or in set-up.
    pub session: Option<SessionId>,
    /// The next attempt.
    pub attempt: Attempt,
    /// The interface is up, as the administrator sees it.
    pub circuit_up: bool,
}

impl Slot {
    /// A slot without session.
    pub fn new(now: Instant, key: SlotKey, config: model::Session) -> Slot {
        Slot { key, config, session: None, attempt: Attempt::new(now), circuit_up: true }
    }

    /// Whether a session can be had for it at all.
    pub fn is_usable(&self) -> bool {
        !self.config.disabled && self.config.problem().is_none()
    }

    /// Whether its session is negotiated.
    pub fn is_dynamic(&self) -> bool {
        self.config.manual.is_none()
    }
}

impl Tunnel {
    /// A tunnel without connection.
    pub fn new(now: Instant, config: model::Tunnel) -> Tunnel {
        Tunnel {
            config,
            stopped: false,
            started: false,
            path: None,
            preparing: false,
            main: None,
            deferred: 0,
            members: Vec::new(),
            attempt: Attempt::new(now),
            serial: 0,
            counters: ControlCounters::default(),
            slots: Vec::new(),
        }
    }

    /// Whether the configuration or the administrator keeps it down.
    pub fn is_disabled(&self) -> bool {
        self.stopped || (self.config.disabled && !self.started)
    }

    /// Whether it may be set up at all.
    pub fn is_usable(&self) -> bool {
        !self.is_disabled() && self.config.problem().is_none()
    }

    /// Whether nothing is negotiated: there are sessions, and all of them are manual.
    pub fn is_manual(&self) -> bool {
        !self.slots.is_empty() && self.slots.iter().all(|s| !s.is_dynamic())
    }

    /// The slot with this key.
    pub fn slot(&self, key: SlotKey) -> Option<&Slot> {
        self.slots.iter().find(|s| s.key == key)
    }

    /// The slot with this key.
    pub fn slot_mut(&mut self, key: SlotKey) -> Option<&mut Slot> {
        self.slots.iter_mut().find(|s| s.key == key)
    }
}
