//! The counters as OpenMetrics text (<https://github.com/prometheus/OpenMetrics>, version 1.0.0): each family in
//! one piece, counters end in `_total`, label values escaped, `# EOF` at the end. Times are in seconds, octets are called
//! bytes as Prometheus does, and what is said in words stands in labels of an info or a state set.

use crate::proto::connection::table::State;
use std::fmt::{Display, Write};
use std::net::Ipv4Addr;
use std::time::Duration;

use super::report::Source;
use crate::counters::Counters;
use crate::proto::snapshot::{
    ControlCounters, PeerSnapshot, PeerState, SessionBrief, SessionState, TunnelBrief, TunnelSnapshot,
};

/// Samples made, or sessions counted, in one step.
const SAMPLES: usize = 64;

/// A label's value: backslash, quote and line feed are escaped.
fn label(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// The lines before the samples of a family. A name that ends in a unit has a line for that too.
fn family(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# TYPE {name} {kind}");
    if let Some(unit) = ["seconds", "bytes"].iter().find(|unit| name.ends_with(&format!("_{unit}"))) {
        let _ = writeln!(out, "# UNIT {name} {unit}");
    }
    let _ = writeln!(out, "# HELP {name} {}", label(help));
}

fn sample(out: &mut String, name: &str, labels: &str, value: impl Display) {
    let _ = match labels {
        "" => writeln!(out, "{name} {value}"),
        labels => writeln!(out, "{name}{{{labels}}} {value}"),
    };
}

fn tunnel_labels(tunnel: &TunnelBrief<'_>) -> String {
    format!("tunnel=\"{}\"", label(tunnel.name))
}

fn is_drop(name: &str) -> bool {
    name.starts_with("rx_drop_") || name.starts_with("tx_drop_")
}

/// The families, in the order of the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Family {
    /// None yet: the sessions' counters are gathered, so that all families of a session are of one moment.
    #[default]
    Gather,
    Daemon,
    Tunnel(Fact),
    /// A counter of control messages, by its number.
    Control(usize),
    Session(Fact),
    /// A counter of frames, by its number.
    Frames(usize),
    SessionDrops,
    Dropped,
}

/// What is told of each tunnel and of each session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fact {
    Info,
    Up,
    State,
    Age,
    Changes,
    RoundTrip,
    /// Of tunnels alone.
    PathMtu,
    /// Of tunnels with several peers alone.
    Peer,
    /// Of those as well.
    PeerChanges,
    Mtu,
}

/// What is told of tunnels.
const OF_TUNNELS: [Fact; 9] = [
    Fact::Info,
    Fact::Up,
    Fact::State,
    Fact::Age,
    Fact::Changes,
    Fact::RoundTrip,
    Fact::PathMtu,
    Fact::Peer,
    Fact::PeerChanges,
];
/// What is told of sessions.
const OF_SESSIONS: [Fact; 6] = [Fact::Info, Fact::Up, Fact::State, Fact::Age, Fact::Changes, Fact::Mtu];

impl Fact {
    /// Name of its family after `l2tpd_tunnel` or `l2tpd_session`, type and description.
    fn family(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Fact::Info => ("", "info", "what it is, and who the peer"),
            Fact::Up => ("_up", "gauge", "1 while it is established, or need not be set up"),
            Fact::State => ("_state", "stateset", "its state"),
            Fact::Age => ("_state_age_seconds", "gauge", "time since its state changed"),
            Fact::Changes => ("_changes", "counter", "how often it came up or went down"),
            Fact::RoundTrip => {
                ("_round_trip_seconds", "gauge", "how long the peer takes to acknowledge, smoothed")
            }
            Fact::PathMtu => ("_path_mtu_bytes", "gauge", "longest packet that its path carries, by probes"),
            Fact::Peer => ("_peer", "info", "which of several peers is in use, and why"),
            Fact::PeerChanges => {
                ("_peer_changes", "counter", "how often another one of several peers was used")
            }
            Fact::Mtu => ("_mtu_bytes", "gauge", "MTU of its interface"),
        }
    }
}

/// What a tunnel's state can be. Without control connection it is `disabled`, or all its sessions are manual.
const TUNNEL_STATES: [&str; 7] =
    ["disabled", "manual", "idle", "wait-ctl-reply", "wait-ctl-conn", "established", "stopping"];

/// What a session's state can be.
const SESSION_STATES: [&str; 6] =
    ["disabled", "idle", "wait-control-conn", "wait-reply", "wait-connect", "established"];

/// A state set: a sample for each state, the present one is 1. The label with the state has the family's name.
fn states(out: &mut String, name: &str, labels: &str, all: &[&str], present: &str) {
    for state in all {
        let labels = format!("{labels},{name}=\"{state}\"");
        sample(out, name, &labels, u8::from(*state == present));
    }
}

/// A time in seconds, as far as milliseconds.
fn seconds(time: Duration) -> String {
    format!("{}.{:03}", time.as_secs(), time.subsec_millis())
}

/// Name of a counter of frames in its family: a metric counts octets as bytes.
fn frames_family(name: &str) -> String {
    format!("l2tpd_session_{}", name.replace("_octets", "_bytes"))
}

/// The reply to `metrics` in the making. A family has a sample of each tunnel or session, so all of them are gone
/// through once for each family.
#[derive(Debug, Default)]
pub struct Metrics {
    family: Family,
    /// Of each session, in the order of the configuration.
    counted: Vec<Counters>,
    /// How far the family is: tunnel, session of it, and sessions in all.
    tunnel: usize,
    session: usize,
    number: usize,
}

impl Metrics {
    /// Appends some samples. `false`: there is nothing left.
    pub fn step(&mut self, source: &dyn Source, out: &mut String) -> bool {
        match self.family {
            Family::Daemon => daemon(out, source),
            Family::Dropped => {
                dropped(out, source);
                return false;
            }
            Family::Gather | Family::Session(_) | Family::Frames(_) | Family::SessionDrops => {
                self.begin(out);
                if !self.sessions(source, out) {
                    return true;
                }
            }
            Family::Tunnel(_) | Family::Control(_) => {
                self.begin(out);
                if !self.tunnels(source, out) {
                    return true;
                }
            }
        }
        (self.tunnel, self.session, self.number) = (0, 0, 0);
        self.family = next(self.family);
        true
    }

    /// The lines before the first sample of a family.
    fn begin(&self, out: &mut String) {
        if (self.tunnel, self.session) != (0, 0) {
            return;
        }
        match self.family {
            Family::Tunnel(fact) => {
                let (name, kind, help) = fact.family();
                family(out, &format!("l2tpd_tunnel{name}"), kind, help);
            }
            Family::Control(at) => {
                if let Some((name, help, _)) = ControlCounters::default().entries().nth(at) {
                    family(out, &format!("l2tpd_control_{name}"), "counter", help);
                }
            }
            Family::Session(fact) => {
                let (name, kind, help) = fact.family();
                family(out, &format!("l2tpd_session{name}"), kind, help);
            }
            Family::Frames(at) => {
                if let Some((name, help, _)) = Counters::default().entries().nth(at) {
                    family(out, &frames_family(name), "counter", help);
                }
            }
            Family::SessionDrops => {
                family(out, "l2tpd_session_drops", "counter", "frames dropped, by reason")
            }
            Family::Gather | Family::Daemon | Family::Dropped => {}
        }
    }

    /// Samples of some tunnels. `true`: those were the last ones.
    fn tunnels(&mut self, source: &dyn Source, out: &mut String) -> bool {
        for _ in 0..SAMPLES {
            let Some(tunnel) = source.tunnel(self.tunnel) else { return true };
            match self.family {
                Family::Control(at) => {
                    if let Some((name, _, value)) = tunnel.counters.entries().nth(at) {
                        sample(out, &format!("l2tpd_control_{name}_total"), &tunnel_labels(&tunnel), value);
                    }
                }
                Family::Tunnel(fact) => one_tunnel(source, self.tunnel, &tunnel, fact, out),
                _ => {}
            }
            self.tunnel += 1;
        }
        false
    }

    /// Samples of some sessions. `true`: those were the last ones.
    fn sessions(&mut self, source: &dyn Source, out: &mut String) -> bool {
        for _ in 0..SAMPLES {
            let Some(tunnel) = source.tunnel(self.tunnel) else { return true };
            if self.session < tunnel.sessions {
                self.one_session(source, &tunnel, out);
                (self.session, self.number) = (self.session + 1, self.number + 1);
            } else {
                (self.tunnel, self.session) = (self.tunnel + 1, 0);
            }
        }
        false
    }

    fn one_session(&mut self, source: &dyn Source, tunnel: &TunnelBrief<'_>, out: &mut String) {
        if self.family == Family::Gather {
            return self.counted.push(source.counters(self.tunnel, self.session));
        }
        let Some(session) = source.session(self.tunnel, self.session) else { return };
        let counted = self.counted.get(self.number).copied().unwrap_or_default();
        let labels = format!("{},interface=\"{}\"", tunnel_labels(tunnel), label(session.interface));
        match self.family {
            Family::Frames(at) => {
                if let Some((name, _, value)) = counted.entries().nth(at) {
                    sample(out, &format!("{}_total", frames_family(name)), &labels, value);
                }
            }
            Family::SessionDrops => {
                for (reason, _, value) in counted.entries().filter(|(name, _, _)| is_drop(name)) {
                    let labels = format!("{labels},reason=\"{reason}\"");
                    sample(out, "l2tpd_session_drops_total", &labels, value);
                }
            }
            Family::Session(fact) => {
                one_fact(source, (self.tunnel, self.session), &session, (fact, &labels), out);
            }
            Family::Gather | Family::Daemon | Family::Tunnel(_) | Family::Control(_) | Family::Dropped => {}
        }
    }
}

/// What one sample of a tunnel, or its states, say.
fn one_tunnel(source: &dyn Source, place: usize, tunnel: &TunnelBrief<'_>, fact: Fact, out: &mut String) {
    let labels = tunnel_labels(tunnel);
    match fact {
        Fact::Up => {
            let up = tunnel.manual || tunnel.state == State::Established;
            sample(out, "l2tpd_tunnel_up", &labels, u8::from(up && !tunnel.disabled));
        }
        Fact::State => {
            let present = match (tunnel.disabled, tunnel.manual) {
                (true, _) => "disabled",
                (false, true) => "manual",
                (false, false) => tunnel.state.status_name(),
            };
            states(out, "l2tpd_tunnel_state", &labels, &TUNNEL_STATES, present);
        }
        Fact::RoundTrip => {
            let Some(time) = tunnel.round_trip else { return };
            let (whole, micros) = (time.as_secs(), time.subsec_micros());
            sample(out, "l2tpd_tunnel_round_trip_seconds", &labels, format_args!("{whole}.{micros:06}"));
        }
        Fact::PathMtu => {
            let Some(mtu) = tunnel.path_search.and_then(|found| found.mtu) else { return };
            sample(out, "l2tpd_tunnel_path_mtu_bytes", &labels, mtu);
        }
        Fact::PeerChanges if tunnel.has_backup => {
            sample(out, "l2tpd_tunnel_peer_changes_total", &labels, tunnel.peer_changes);
        }
        Fact::Peer if tunnel.has_backup => {
            let Some((whole, _)) = source.part(place, 0..0) else { return };
            let in_use = |peer: &&PeerSnapshot| peer.state == PeerState::InUse;
            let Some(peer) = whole.peers.iter().find(in_use) else { return };
            let (remote, why) = (label(&peer.remote), label(&whole.peer_why));
            let labels = format!("{labels},remote_address=\"{remote}\",reason=\"{why}\"");
            sample(out, "l2tpd_tunnel_peer_info", &labels, 1);
        }
        Fact::Info | Fact::Age | Fact::Changes => {
            let Some((whole, _)) = source.part(place, 0..0) else { return };
            match fact {
                Fact::Age => sample(out, "l2tpd_tunnel_state_age_seconds", &labels, seconds(whole.since)),
                Fact::Changes => sample(out, "l2tpd_tunnel_changes_total", &labels, whole.changes),
                _ => sample(out, "l2tpd_tunnel_info", &format!("{labels},{}", peer_labels(&whole)), 1),
            }
        }
        Fact::Mtu | Fact::Peer | Fact::PeerChanges => {}
    }
}

/// Who the peer is, as far as that is known, and how it is reached.
fn peer_labels(tunnel: &TunnelSnapshot) -> String {
    let peer = tunnel.peer.map(|peer| peer.to_string()).unwrap_or_default();
    let encapsulation = tunnel.path.map_or("", |path| path.encapsulation.word());
    let hostname = tunnel.remote_hostname.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
    let router_id = tunnel.remote_router_id.map(|id| Ipv4Addr::from(id).to_string()).unwrap_or_default();
    format!(
        "peer=\"{peer}\",encapsulation=\"{encapsulation}\",remote_hostname=\"{}\",remote_router_id=\"{router_id}\"",
        label(&hostname)
    )
}

/// What one sample of a session, or its states, say.
fn one_fact(
    source: &dyn Source,
    place: (usize, usize),
    session: &SessionBrief<'_>,
    (fact, labels): (Fact, &str),
    out: &mut String,
) {
    match fact {
        Fact::Up => {
            let up = u8::from(session.state == SessionState::Established);
            return sample(out, "l2tpd_session_up", labels, up);
        }
        Fact::State => {
            let present = if session.disabled { "disabled" } else { session.state.status_name() };
            return states(out, "l2tpd_session_state", labels, &SESSION_STATES, present);
        }
        Fact::Info | Fact::Age | Fact::Changes | Fact::Mtu => {}
        Fact::RoundTrip | Fact::PathMtu | Fact::Peer | Fact::PeerChanges => return,
    }
    let Some((tunnel, interfaces)) = source.part(place.0, place.1..place.1.saturating_add(1)) else { return };
    let Some(whole) = tunnel.sessions.first() else { return };
    let interface = interfaces.into_iter().flatten().next();
    match fact {
        Fact::Age => sample(out, "l2tpd_session_state_age_seconds", labels, seconds(whole.since)),
        Fact::Changes => sample(out, "l2tpd_session_changes_total", labels, whole.changes),
        Fact::Mtu => {
            if let Some(mtu) = interface.map(|interface| interface.mtu).filter(|mtu| *mtu > 0) {
                sample(out, "l2tpd_session_mtu_bytes", labels, mtu);
            }
        }
        _ => {
            let labels = format!(
                "{labels},peer=\"{}\",encapsulation=\"{}\",remote_end_id=\"{}\",bridge=\"{}\",data_plane=\"{}\"",
                tunnel.peer.map(|peer| peer.to_string()).unwrap_or_default(),
                tunnel.path.map_or("", |path| path.encapsulation.word()),
                label(&String::from_utf8_lossy(&whole.remote_end_id)),
                label(whole.bridge.as_deref().unwrap_or_default()),
                interface.map_or("", |interface| interface.data_plane),
            );
            sample(out, "l2tpd_session_info", &labels, 1);
        }
    }
}

fn after(facts: &[Fact], fact: Fact) -> Option<Fact> {
    facts.iter().copied().skip_while(|other| *other != fact).nth(1)
}

/// The family after this one.
fn next(family: Family) -> Family {
    let control = |at| match at < ControlCounters::default().entries().count() {
        true => Family::Control(at),
        false => Family::Session(Fact::Info),
    };
    let frames = |from: usize| {
        let mut left = Counters::default().entries().enumerate().skip(from);
        left.find(|(_, (name, _, _))| !is_drop(name))
            .map_or(Family::SessionDrops, |(at, _)| Family::Frames(at))
    };
    match family {
        Family::Gather => Family::Daemon,
        Family::Daemon => Family::Tunnel(Fact::Info),
        Family::Tunnel(fact) => after(&OF_TUNNELS, fact).map_or_else(|| control(0), Family::Tunnel),
        Family::Control(at) => control(at + 1),
        Family::Session(fact) => after(&OF_SESSIONS, fact).map_or_else(|| frames(0), Family::Session),
        Family::Frames(at) => frames(at + 1),
        Family::SessionDrops | Family::Dropped => Family::Dropped,
    }
}

fn daemon(out: &mut String, source: &dyn Source) {
    let overview = source.overview();
    family(out, "l2tpd_build", "info", "version of the daemon");
    sample(out, "l2tpd_build_info", &format!("version=\"{}\"", label(overview.version)), 1);
    family(out, "l2tpd_uptime_seconds", "gauge", "time since the daemon started");
    sample(out, "l2tpd_uptime_seconds", "", seconds(overview.uptime));
}

fn dropped(out: &mut String, source: &dyn Source) {
    let dropped = source.dropped();
    let help = "control messages dropped before they were known to belong to a tunnel";
    family(out, "l2tpd_control_drops", "counter", help);
    for (reason, _, value) in dropped.drops.entries() {
        sample(out, "l2tpd_control_drops_total", &format!("reason=\"{reason}\""), value);
    }
    family(out, "l2tpd_stray_drops", "counter", "data messages dropped that belong to no session");
    for (reason, _, value) in dropped.unmatched.entries().filter(|(name, _, _)| is_drop(name)) {
        sample(out, "l2tpd_stray_drops_total", &format!("reason=\"{reason}\""), value);
    }
    out.push_str("# EOF\n");
}
