//! The counters as OpenMetrics text (<https://github.com/prometheus/OpenMetrics>, version 1.0.0): each family in
//! one piece, counters end in `_total`, label values escaped, `# EOF` at the end.

use crate::proto::connection::table::State;
use std::fmt::{Display, Write};

use super::report::Source;
use crate::counters::Counters;
use crate::proto::snapshot::{ControlCounters, SessionState, TunnelBrief};

/// Samples made, or sessions counted, in one step.
const SAMPLES: usize = 64;

/// A label's value: backslash, quote and line feed are escaped.
fn label(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn family(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# TYPE {name} {kind}\n# HELP {name} {}", label(help));
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
    TunnelUp,
    RoundTrip,
    /// A counter of control messages, by its number.
    Control(usize),
    SessionUp,
    /// A counter of frames, by its number.
    Frames(usize),
    SessionDrops,
    Dropped,
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
            Family::Gather | Family::SessionUp | Family::Frames(_) | Family::SessionDrops => {
                self.begin(out);
                if !self.sessions(source, out) {
                    return true;
                }
            }
            Family::TunnelUp | Family::RoundTrip | Family::Control(_) => {
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
            Family::TunnelUp => {
                family(out, "l2tpd_tunnel_up", "gauge", "1 while the control connection is established")
            }
            Family::RoundTrip => {
                let help = "how long the peer takes to acknowledge, smoothed";
                family(out, "l2tpd_tunnel_round_trip_seconds", "gauge", help);
            }
            Family::Control(at) => {
                if let Some((name, help, _)) = ControlCounters::default().entries().nth(at) {
                    family(out, &format!("l2tpd_control_{name}"), "counter", help);
                }
            }
            Family::SessionUp => {
                family(out, "l2tpd_session_up", "gauge", "1 while the session is established")
            }
            Family::Frames(at) => {
                if let Some((name, help, _)) = Counters::default().entries().nth(at) {
                    family(out, &format!("l2tpd_session_{name}"), "counter", help);
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
            self.tunnel += 1;
            let labels = tunnel_labels(&tunnel);
            if let Family::Control(at) = self.family {
                let Some((name, _, value)) = tunnel.counters.entries().nth(at) else { continue };
                sample(out, &format!("l2tpd_control_{name}_total"), &labels, value);
            } else if self.family == Family::RoundTrip {
                let Some(time) = tunnel.round_trip else { continue };
                let seconds = format_args!("{}.{:06}", time.as_secs(), time.subsec_micros());
                sample(out, "l2tpd_tunnel_round_trip_seconds", &labels, seconds);
            } else {
                sample(out, "l2tpd_tunnel_up", &labels, u8::from(tunnel.state == State::Established));
            }
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
                    sample(out, &format!("l2tpd_session_{name}_total"), &labels, value);
                }
            }
            Family::SessionDrops => {
                for (reason, _, value) in counted.entries().filter(|(name, _, _)| is_drop(name)) {
                    let labels = format!("{labels},reason=\"{reason}\"");
                    sample(out, "l2tpd_session_drops_total", &labels, value);
                }
            }
            Family::SessionUp => {
                let up = u8::from(session.state == SessionState::Established);
                sample(out, "l2tpd_session_up", &labels, up);
            }
            Family::Gather
            | Family::Daemon
            | Family::TunnelUp
            | Family::RoundTrip
            | Family::Control(_)
            | Family::Dropped => {}
        }
    }
}

/// The family after this one.
fn next(family: Family) -> Family {
    let control = |at| match at < ControlCounters::default().entries().count() {
        true => Family::Control(at),
        false => Family::SessionUp,
    };
    let frames = |from: usize| {
        let mut left = Counters::default().entries().enumerate().skip(from);
        left.find(|(_, (name, _, _))| !is_drop(name))
            .map_or(Family::SessionDrops, |(at, _)| Family::Frames(at))
    };
    match family {
        Family::Gather => Family::Daemon,
        Family::Daemon => Family::TunnelUp,
        Family::TunnelUp => Family::RoundTrip,
        Family::RoundTrip => control(0),
        Family::Control(at) => control(at + 1),
        Family::SessionUp => frames(0),
        Family::Frames(at) => frames(at + 1),
        Family::SessionDrops | Family::Dropped => Family::Dropped,
    }
}

fn daemon(out: &mut String, source: &dyn Source) {
    let overview = source.overview();
    family(out, "l2tpd_build", "info", "version of the daemon");
    sample(out, "l2tpd_build_info", &format!("version=\"{}\"", label(overview.version)), 1);
    family(out, "l2tpd_uptime_seconds", "gauge", "time since the daemon started");
    let uptime = overview.uptime;
    let seconds = format_args!("{}.{:03}", uptime.as_secs(), uptime.subsec_millis());
    sample(out, "l2tpd_uptime_seconds", "", seconds);
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
