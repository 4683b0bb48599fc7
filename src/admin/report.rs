//! What the daemon tells of itself, at one moment: the input of every display.

use crate::proto::connection::table::State;
use std::collections::BTreeMap;
use std::time::Duration;

use super::command::Selection;
use crate::counters::Counters;
use crate::log::{Level, WallTime};
use crate::proto::snapshot::{SessionSnapshot, SessionState, Snapshot, TunnelSnapshot};

/// Everything that is shown.
#[derive(Debug, Clone)]
#[allow(missing_docs)] // a field whose name says all has no more
pub struct Report {
    pub version: &'static str,
    pub pid: u32,
    /// Since the daemon started.
    pub uptime: Duration,
    /// Of this report.
    pub time: WallTime,
    /// Our name towards the peers.
    pub identity: Identity,
    /// In force.
    pub log_level: Level,
    /// What the engine knows.
    pub snapshot: Snapshot,
    /// The interfaces that the data plane has or had, by name; those of sessions that never were attached may be
    /// missing.
    pub interfaces: BTreeMap<String, Interface>,
    /// Counters of data that belongs to no session.
    pub unmatched: Counters,
}

/// Who we are towards peers whose tunnels say nothing else, and where that comes from.
#[derive(Debug, Clone, Default)]
pub struct Identity {
    /// Host Name.
    pub hostname: Vec<u8>,
    /// Where it comes from, in words.
    pub hostname_source: String,
    /// Router ID; `None` where each tunnel has its own.
    pub router_id: Option<[u8; 4]>,
    /// Where it comes from, in words.
    pub router_id_source: String,
}

/// A session's interface as the data plane sees it.
#[derive(Debug, Clone, Default)]
pub struct Interface {
    /// It exists in the system.
    pub present: bool,
    /// Its carrier is on.
    pub link_up: bool,
    /// The administrator has set it up.
    pub admin_up: bool,
    /// Its MTU, in octets; 0 while it does not exist.
    pub mtu: usize,
    /// What carries its frames: `tap` or `kernel`; empty while nothing does.
    pub data_plane: &'static str,
    /// The bridge that it is to be in, and how it stands with it: `joined`, `out` or `missing`.
    pub bridge: Option<(String, &'static str)>,
    /// Why it could not be made or set up, if so.
    pub problem: Option<String>,
    /// What was counted since the daemon started, or since `counters reset`.
    pub counters: Counters,
}

impl Report {
    /// The interface of this name, if the data plane knows it.
    pub fn interface(&self, name: &str) -> Option<&Interface> {
        self.interfaces.get(name)
    }

    /// The tunnels and sessions that a selection means, in the order of the configuration; `None` if it means
    /// nothing.
    pub fn select<'a>(
        &'a self,
        selection: &Selection,
    ) -> Option<Vec<(&'a TunnelSnapshot, Vec<&'a SessionSnapshot>)>> {
        let tunnels = &self.snapshot.tunnels;
        match selection {
            Selection::All => Some(tunnels.iter().map(|tunnel| (tunnel, all(tunnel))).collect()),
            Selection::Tunnel(name) => {
                let tunnel = tunnels.iter().find(|tunnel| tunnel.name == *name)?;
                Some(vec![(tunnel, all(tunnel))])
            }
            Selection::Session(name) => tunnels.iter().find_map(|tunnel| {
                let session = tunnel.sessions.iter().find(|session| session.interface == *name)?;
                Some(vec![(tunnel, vec![session])])
            }),
        }
    }

    /// The health of what a selection means; `None` if it means nothing.
    pub fn health(&self, selection: &Selection) -> Option<Health> {
        let mut health = Health::default();
        for (tunnel, sessions) in self.select(selection)?.iter().filter(|(tunnel, _)| !tunnel.disabled) {
            health.tunnels += 1;
            health.tunnels_up += usize::from(tunnel.manual || tunnel.state == State::Established);
            for session in sessions.iter().filter(|session| !session.disabled) {
                health.sessions += 1;
                health.sessions_up += usize::from(session.state == SessionState::Established);
            }
        }
        Some(health)
    }
}

/// How many tunnels and sessions are enabled, and how many of them are up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    /// Tunnels that are not disabled.
    pub tunnels: usize,
    /// Of them, those that are established, or need not be.
    pub tunnels_up: usize,
    /// Sessions that are not disabled.
    pub sessions: usize,
    /// Of them, those that are established.
    pub sessions_up: usize,
}

impl Health {
    /// Whether everything is up.
    pub fn is_up(&self) -> bool {
        self.tunnels == self.tunnels_up && self.sessions == self.sessions_up
    }
}

fn all(tunnel: &TunnelSnapshot) -> Vec<&SessionSnapshot> {
    tunnel.sessions.iter().collect()
}
