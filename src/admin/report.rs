//! What the daemon tells of itself, at one moment: the input of every display.

use std::collections::BTreeMap;
use std::time::Duration;

use super::command::Selection;
use crate::counters::Counters;
use crate::log::{Level, WallTime};
use crate::proto::snapshot::{SessionSnapshot, Snapshot, TunnelSnapshot};

/// Everything that is shown.
#[derive(Debug, Clone)]
pub struct Report {
    /// Version of the daemon.
    pub version: &'static str,
    /// Its process id.
    pub pid: u32,
    /// How long it has been running.
    pub uptime: Duration,
    /// The time of this report.
    pub time: WallTime,
    /// The log level in force.
    pub log_level: Level,
    /// What the engine knows.
    pub snapshot: Snapshot,
    /// The interfaces that the data plane has or had, by name; those of sessions that never were attached may be
    /// missing.
    pub interfaces: BTreeMap<String, Interface>,
    /// Counters of data that belongs to no session.
    pub strays: Counters,
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
}

fn all(tunnel: &TunnelSnapshot) -> Vec<&SessionSnapshot> {
    tunnel.sessions.iter().collect()
}
