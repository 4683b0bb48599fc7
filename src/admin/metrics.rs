//! The counters as OpenMetrics text (<https://github.com/prometheus/OpenMetrics>, version 1.0.0): each family in
//! one piece, counters end in `_total`, label values escaped, `# EOF` at the end. Times are in seconds, octets are called
//! bytes as Prometheus does, and what is said in words stands in labels of an info or a state set.

use crate::proto::connection::table::State;
use std::fmt::{Display, Write};
use std::net::Ipv4Addr;
use std::ops::Range;
use std::time::Duration;

use super::report::{Interface, Source};
use crate::counters::Counters;
use crate::proto::snapshot::{
    ControlCounters, PeerSnapshot, PeerState, SessionBrief, SessionSnapshot, SessionState, TunnelBrief,
    TunnelSnapshot,
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

/// A row of a table of families: name, type and description, and how it tells of a tunnel or a session.
type Row<F> = (&'static str, &'static str, &'static str, F);
type OfTunnel = fn(&Metric<'_>, &TunnelBrief<'_>, &mut String);
type OfSession = fn(&Metric<'_>, &SessionBrief<'_>, &mut String);

/// The tunnel or session that a family tells of.
struct Metric<'a> {
    source: &'a dyn Source,
    family: &'a str,
    labels: String,
    tunnel: usize,
    /// None, where the tunnel itself is meant.
    sessions: Range<usize>,
}

impl Metric<'_> {
    /// A sample; what the family's name is followed by, and further labels.
    fn sample(&self, out: &mut String, after: &str, labels: &str, value: impl Display) {
        sample(out, &format!("{}{after}", self.family), &format!("{}{labels}", self.labels), value);
    }

    /// A sample for each state.
    fn states(&self, out: &mut String, all: &[&str], present: &str) {
        for state in all {
            self.sample(out, "", &format!(",{}=\"{state}\"", self.family), u8::from(*state == present));
        }
    }

    /// All that is known of it.
    fn whole(&self) -> Option<(TunnelSnapshot, Vec<Option<Interface>>)> {
        self.source.part(self.tunnel, self.sessions.clone())
    }

    fn tunnel(&self, tell: impl FnOnce(TunnelSnapshot)) {
        if let Some((tunnel, _)) = self.whole() {
            tell(tunnel);
        }
    }

    fn session(&self, tell: impl FnOnce(&TunnelSnapshot, &SessionSnapshot, Option<&Interface>)) {
        let Some((tunnel, interfaces)) = self.whole() else { return };
        let Some(session) = tunnel.sessions.first() else { return };
        tell(&tunnel, session, interfaces.iter().flatten().next());
    }
}

/// What a tunnel's state can be. Without control connection it is `disabled`, or all its sessions are manual.
const TUNNEL_STATES: [&str; 7] =
    ["disabled", "manual", "idle", "wait-ctl-reply", "wait-ctl-conn", "established", "stopping"];

/// What a session's state can be.
const SESSION_STATES: [&str; 6] =
    ["disabled", "idle", "wait-control-conn", "wait-reply", "wait-connect", "established"];

/// A time in seconds, as far as milliseconds.
fn seconds(time: Duration) -> String {
    format!("{}.{:03}", time.as_secs(), time.subsec_millis())
}

/// Name of a counter of frames in its family: a metric counts octets as bytes.
fn frames_family(name: &str) -> String {
    format!("l2tpd_session_{}", name.replace("_octets", "_bytes"))
}

/// What is told of each tunnel.
const OF_TUNNELS: [Row<OfTunnel>; 9] = [
    ("l2tpd_tunnel", "info", "what it is, and who the peer", |metric, _, out| {
        metric.tunnel(|whole| metric.sample(out, "_info", &peer_labels(&whole), 1));
    }),
    (
        "l2tpd_tunnel_up",
        "gauge",
        "1 while it is established, or need not be set up",
        |metric, tunnel, out| {
            let up = tunnel.manual || tunnel.state == State::Established;
            metric.sample(out, "", "", u8::from(up && !tunnel.disabled));
        },
    ),
    ("l2tpd_tunnel_state", "stateset", "its state", |metric, tunnel, out| {
        let present = match (tunnel.disabled, tunnel.manual) {
            (true, _) => "disabled",
            (false, true) => "manual",
            (false, false) => tunnel.state.status_name(),
        };
        metric.states(out, &TUNNEL_STATES, present);
    }),
    ("l2tpd_tunnel_state_age_seconds", "gauge", "time since its state changed", |metric, _, out| {
        metric.tunnel(|whole| metric.sample(out, "", "", seconds(whole.since)));
    }),
    ("l2tpd_tunnel_changes", "counter", "how often it came up or went down", |metric, _, out| {
        metric.tunnel(|whole| metric.sample(out, "_total", "", whole.changes));
    }),
    (
        "l2tpd_tunnel_round_trip_seconds",
        "gauge",
        "how long the peer takes to acknowledge, smoothed",
        |metric, tunnel, out| {
            let Some(time) = tunnel.round_trip else { return };
            let (whole, micros) = (time.as_secs(), time.subsec_micros());
            metric.sample(out, "", "", format_args!("{whole}.{micros:06}"));
        },
    ),
    (
        "l2tpd_tunnel_path_mtu_bytes",
        "gauge",
        "longest packet that its path carries, by probes",
        |metric, tunnel, out| {
            let mtu = tunnel.path_search.and_then(|found| found.mtu);
            mtu.into_iter().for_each(|mtu| metric.sample(out, "", "", mtu));
        },
    ),
    ("l2tpd_tunnel_peer", "info", "which of several peers is in use, and why", |metric, tunnel, out| {
        let Some((whole, _)) = metric.whole().filter(|_| tunnel.has_backup) else { return };
        let in_use = |peer: &&PeerSnapshot| peer.state == PeerState::InUse;
        let Some(peer) = whole.peers.iter().find(in_use) else { return };
        let (remote, why) = (label(&peer.remote), label(&whole.peer_why));
        metric.sample(out, "_info", &format!(",remote_address=\"{remote}\",reason=\"{why}\""), 1);
    }),
    (
        "l2tpd_tunnel_peer_changes",
        "counter",
        "how often another one of several peers was used",
        |metric, tunnel, out| {
            if tunnel.has_backup {
                metric.sample(out, "_total", "", tunnel.peer_changes);
            }
        },
    ),
];

/// What is told of each session.
const OF_SESSIONS: [Row<OfSession>; 6] = [
    ("l2tpd_session", "info", "what it is, and who the peer", |metric, _, out| {
        metric.session(|tunnel, session, interface| {
            let labels = format!(
                ",peer=\"{}\",encapsulation=\"{}\",remote_end_id=\"{}\",bridge=\"{}\",data_plane=\"{}\"",
                tunnel.peer.map(|peer| peer.to_string()).unwrap_or_default(),
                tunnel.path.map_or("", |path| path.encapsulation.word()),
                label(&String::from_utf8_lossy(&session.remote_end_id)),
                label(session.bridge.as_deref().unwrap_or_default()),
                interface.map_or("", |interface| interface.data_plane),
            );
            metric.sample(out, "_info", &labels, 1);
        });
    }),
    (
        "l2tpd_session_up",
        "gauge",
        "1 while it is established, or need not be set up",
        |metric, session, out| {
            metric.sample(out, "", "", u8::from(session.state == SessionState::Established));
        },
    ),
    ("l2tpd_session_state", "stateset", "its state", |metric, session, out| {
        let present = if session.disabled { "disabled" } else { session.state.status_name() };
        metric.states(out, &SESSION_STATES, present);
    }),
    ("l2tpd_session_state_age_seconds", "gauge", "time since its state changed", |metric, _, out| {
        metric.session(|_, session, _| metric.sample(out, "", "", seconds(session.since)));
    }),
    ("l2tpd_session_changes", "counter", "how often it came up or went down", |metric, _, out| {
        metric.session(|_, session, _| metric.sample(out, "_total", "", session.changes));
    }),
    ("l2tpd_session_mtu_bytes", "gauge", "MTU of its interface", |metric, _, out| {
        metric.session(|_, _, interface| {
            let mtu = interface.map(|interface| interface.mtu).filter(|mtu| *mtu > 0);
            mtu.into_iter().for_each(|mtu| metric.sample(out, "", "", mtu));
        });
    }),
];

/// A family that has a sample of each tunnel or session.
#[derive(Debug)]
struct Family {
    name: String,
    kind: &'static str,
    help: &'static str,
    of: Of,
}

/// What the samples of a family are made of.
#[derive(Debug, Clone, Copy)]
enum Of {
    Tunnel(OfTunnel),
    /// A counter of control messages, by its number.
    Control(usize),
    Session(OfSession),
    /// A counter of frames, by its number.
    Frames(usize),
    SessionDrops,
}

/// The families, in the order of the reply.
fn families() -> Vec<Family> {
    let (control, frames) = (ControlCounters::default(), Counters::default());
    let counter = |name: String, help, of| Family { name, kind: "counter", help, of };
    let tunnels = OF_TUNNELS.iter().map(|&(name, kind, help, tell)| {
        let name = name.to_owned();
        Family { name, kind, help, of: Of::Tunnel(tell) }
    });
    let control = control.entries().enumerate();
    let control =
        control.map(|(at, (name, help, _))| counter(format!("l2tpd_control_{name}"), help, Of::Control(at)));
    let sessions = OF_SESSIONS.iter().map(|&(name, kind, help, tell)| {
        let name = name.to_owned();
        Family { name, kind, help, of: Of::Session(tell) }
    });
    let frames = frames.entries().enumerate().filter(|(_, (name, _, _))| !is_drop(name));
    let frames = frames.map(|(at, (name, help, _))| counter(frames_family(name), help, Of::Frames(at)));
    let drops = counter("l2tpd_session_drops".to_owned(), "frames dropped, by reason", Of::SessionDrops);
    tunnels.chain(control).chain(sessions).chain(frames).chain([drops]).collect()
}

impl Family {
    /// The samples of a tunnel. `false`: the family is one of sessions.
    fn tunnel(&self, source: &dyn Source, at: usize, tunnel: &TunnelBrief<'_>, out: &mut String) -> bool {
        let labels = || tunnel_labels(tunnel);
        let metric = || Metric { source, family: &self.name, labels: labels(), tunnel: at, sessions: 0..0 };
        match self.of {
            Of::Tunnel(tell) => tell(&metric(), tunnel, out),
            Of::Control(number) => {
                let counter = tunnel.counters.entries().nth(number);
                counter.into_iter().for_each(|(_, _, value)| metric().sample(out, "_total", "", value));
            }
            Of::Session(_) | Of::Frames(_) | Of::SessionDrops => return false,
        }
        true
    }

    /// The samples of a session.
    fn session(
        &self,
        source: &dyn Source,
        Place { tunnel, session, .. }: Place,
        (brief, counted): (&TunnelBrief<'_>, Counters),
        out: &mut String,
    ) {
        let Some(of) = source.session(tunnel, session) else { return };
        let labels = format!("{},interface=\"{}\"", tunnel_labels(brief), label(of.interface));
        let sessions = session..session.saturating_add(1);
        let metric = Metric { source, family: &self.name, labels, tunnel, sessions };
        match self.of {
            Of::Session(tell) => tell(&metric, &of, out),
            Of::Frames(number) => {
                let counter = counted.entries().nth(number);
                counter.into_iter().for_each(|(_, _, value)| metric.sample(out, "_total", "", value));
            }
            Of::SessionDrops => {
                for (reason, _, value) in counted.entries().filter(|(name, _, _)| is_drop(name)) {
                    metric.sample(out, "_total", &format!(",reason=\"{reason}\""), value);
                }
            }
            Of::Tunnel(_) | Of::Control(_) => {}
        }
    }
}

/// How far a family is: the tunnel, the session of it, and sessions in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Place {
    tunnel: usize,
    session: usize,
    number: usize,
}

/// The reply to `metrics` in the making. All tunnels are gone through once for each family.
#[derive(Debug, Default)]
pub struct Metrics {
    families: Vec<Family>,
    /// Which of them it is at. `None`: first the counters of all sessions are gathered, so that all families of a session
    /// are of one moment.
    at: Option<usize>,
    /// Of each session, in the order of the configuration.
    counted: Vec<Counters>,
    place: Place,
}

impl Metrics {
    /// Appends some samples. `false`: there is nothing left.
    pub fn step(&mut self, source: &dyn Source, out: &mut String) -> bool {
        let Metrics { families, at, counted, place } = self;
        let present = at.and_then(|at| families.get(at));
        if at.is_some() && present.is_none() {
            dropped(out, source);
            return false;
        }
        if let Some(Family { name, kind, help, .. }) = present.filter(|_| *place == Place::default()) {
            family(out, name, kind, help);
        }
        for _ in 0..SAMPLES {
            let Some(tunnel) = source.tunnel(place.tunnel) else {
                self.next(source, out);
                return true;
            };
            if present.is_some_and(|present| present.tunnel(source, place.tunnel, &tunnel, out)) {
                place.tunnel += 1;
            } else if place.session < tunnel.sessions {
                match present {
                    Some(present) => {
                        let counted = counted.get(place.number).copied().unwrap_or_default();
                        present.session(source, *place, (&tunnel, counted), out);
                    }
                    None => counted.push(source.counters(place.tunnel, place.session)),
                }
                (place.session, place.number) = (place.session + 1, place.number + 1);
            } else {
                (place.tunnel, place.session) = (place.tunnel + 1, 0);
            }
        }
        true
    }

    /// The next family begins.
    fn next(&mut self, source: &dyn Source, out: &mut String) {
        self.place = Place::default();
        self.at = Some(self.at.map_or(0, |at| at + 1));
        if self.families.is_empty() {
            self.families = families();
            daemon(out, source);
        }
    }
}

/// Who the peer is, as far as that is known, and how it is reached.
fn peer_labels(tunnel: &TunnelSnapshot) -> String {
    let peer = tunnel.peer.map(|peer| peer.to_string()).unwrap_or_default();
    let encapsulation = tunnel.path.map_or("", |path| path.encapsulation.word());
    let hostname = tunnel.remote_hostname.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
    let router_id = tunnel.remote_router_id.map(|id| Ipv4Addr::from(id).to_string()).unwrap_or_default();
    format!(
        ",peer=\"{peer}\",encapsulation=\"{encapsulation}\",remote_hostname=\"{}\",remote_router_id=\"{router_id}\"",
        label(&hostname)
    )
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
