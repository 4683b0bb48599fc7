//! What the daemon tells of itself: the input of every display.
//!
//! A display is made piece by piece, so that one of ten thousand tunnels costs neither memory nor a long turn of the
//! loop. It takes what it shows from a [`Source`]; each piece is of the moment at which it is made.

use std::ops::Range;
use std::time::Duration;

use crate::counters::Counters;
use crate::log::{Level, WallTime};
use crate::proto::connection::table::State;
use crate::proto::snapshot::{DroppedFrom, Drops, SessionBrief, SessionState, TunnelBrief, TunnelSnapshot};

/// Where displays take what they show from.
///
/// Tunnels and the sessions of a tunnel are counted from 0, in the order of the configuration. These numbers, the
/// *places*, are good for as long as [`edition`](Source::edition) is the same.
pub trait Source {
    /// Another value after each change of the configuration.
    fn edition(&self) -> u64;
    /// What there is to tell of the process, whatever its tunnels do.
    fn overview(&self) -> Overview;
    /// What belongs to no tunnel.
    fn dropped(&self) -> Dropped;
    /// How many tunnels there are.
    fn tunnels(&self) -> usize;
    /// The place of the tunnel with this name.
    fn tunnel_place(&self, name: &str) -> Option<usize>;
    /// The places of the tunnel and of the session with this interface.
    fn session_place(&self, interface: &str) -> Option<(usize, usize)>;
    /// A tunnel in brief.
    fn tunnel(&self, tunnel: usize) -> Option<TunnelBrief<'_>>;
    /// A session in brief.
    fn session(&self, tunnel: usize, session: usize) -> Option<SessionBrief<'_>>;
    /// What was counted for a session.
    fn counters(&self, tunnel: usize, session: usize) -> Counters;
    /// A tunnel with some of its sessions, and their interfaces: `None` for one that never was attached.
    fn part(&self, tunnel: usize, sessions: Range<usize>)
        -> Option<(TunnelSnapshot, Vec<Option<Interface>>)>;
}

/// The process: version, age, names, level of the log.
#[derive(Debug, Clone)]
#[allow(missing_docs)] // a field whose name says all has no more
pub struct Overview {
    pub version: &'static str,
    pub pid: u32,
    /// Since the daemon started.
    pub uptime: Duration,
    /// Of this.
    pub time: WallTime,
    /// Our name towards the peers.
    pub identity: Identity,
    /// In force.
    pub log_level: Level,
}

/// What came and belongs to no tunnel or session.
#[derive(Debug, Clone, Default)]
pub struct Dropped {
    /// Control messages, by reason.
    pub drops: Drops,
    /// Who sends such, the newest first; not longer than an hour ago.
    pub from: Vec<DroppedFrom>,
    /// Messages of further addresses, which are not told apart.
    pub others: u64,
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
    /// What carries its frames: `tap`, `bpf` or `kernel`; empty while nothing does.
    pub data_plane: &'static str,
    /// Why it is not `bpf`, though it may be.
    pub why_not_bpf: Option<String>,
    /// The bridge that it is to be in, and how it stands with it: `joined`, `out` or `missing`.
    pub bridge: Option<(String, &'static str)>,
    /// Why it could not be made or set up, if so.
    pub problem: Option<String>,
    /// What was counted since the daemon started, or since `counters reset`.
    pub counters: Counters,
}

/// What came of the HELLOs of a `ping`, or of the frames of one of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pings {
    /// HELLOs, or frames.
    pub hellos: u32,
    /// Of them, those that were acknowledged or answered.
    pub answered: u32,
    /// How often they were sent.
    pub transmissions: u32,
    /// The shortest, longest and total round trip time, from the first transmission on.
    pub least: Duration,
    #[allow(missing_docs)] // see above
    pub most: Duration,
    #[allow(missing_docs)] // see above
    pub total: Duration,
}

impl Pings {
    /// One more; `None` if there was no answer.
    pub fn count(&mut self, round_trip: Option<Duration>, transmissions: u32) {
        self.hellos += 1;
        self.transmissions = self.transmissions.saturating_add(transmissions);
        let Some(time) = round_trip else { return };
        self.least = if self.answered == 0 { time } else { self.least.min(time) };
        self.most = self.most.max(time);
        self.total += time;
        self.answered += 1;
    }

    /// The average round trip time, if there was any answer.
    pub fn average(&self) -> Option<Duration> {
        self.total.checked_div(self.answered)
    }

    /// Transmissions of 100 that were not answered.
    pub fn loss(&self) -> u32 {
        let lost = self.transmissions.saturating_sub(self.answered);
        (lost * 100).checked_div(self.transmissions).unwrap_or(0)
    }
}

/// How many tunnels and sessions are enabled, and how many of them are up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    /// Tunnels that are not disabled.
    pub tunnels: usize,
    /// Of them, those that are established, or need not be.
    pub tunnels_up: usize,
    /// Sessions that are not disabled, of tunnels that are not.
    pub sessions: usize,
    /// Of them, those that are established.
    pub sessions_up: usize,
}

impl Health {
    /// One more tunnel.
    pub fn count_tunnel(&mut self, tunnel: &TunnelBrief<'_>) {
        if !tunnel.disabled {
            self.tunnels += 1;
            self.tunnels_up += usize::from(tunnel.manual || tunnel.state == State::Established);
        }
    }

    /// One more session of this tunnel.
    pub fn count_session(&mut self, tunnel: &TunnelBrief<'_>, session: &SessionBrief<'_>) {
        if !tunnel.disabled && !session.disabled {
            self.sessions += 1;
            self.sessions_up += usize::from(session.state == SessionState::Established);
        }
    }

    /// Whether everything is up.
    pub fn is_up(&self) -> bool {
        self.tunnels == self.tunnels_up && self.sessions == self.sessions_up
    }
}
