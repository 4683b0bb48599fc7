//! The counters as OpenMetrics text (<https://github.com/prometheus/OpenMetrics>, version 1.0.0): each family in
//! one piece, counters end in `_total`, label values escaped, `# EOF` at the end.

use crate::proto::connection::table::State;
use std::fmt::{Display, Write};

use super::envelope::MAX_REPLY;
use super::report::Report;
use crate::counters::Counters;
use crate::proto::snapshot::{ControlCounters, SessionSnapshot, SessionState, TunnelSnapshot};

/// A label's value: backslash, quote and line feed are escaped.
fn label(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn family(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# TYPE {name} {kind}\n# HELP {name} {}", label(help));
}

fn sample(out: &mut String, name: &str, labels: &str, value: impl Display) {
    if out.len() > MAX_REPLY {
        return; // too long to be sent
    }
    let _ = match labels {
        "" => writeln!(out, "{name} {value}"),
        labels => writeln!(out, "{name}{{{labels}}} {value}"),
    };
}

fn tunnel_labels(tunnel: &TunnelSnapshot) -> String {
    format!("tunnel=\"{}\"", label(&tunnel.name))
}

/// Every session with its labels and its interface's counters.
fn sessions(report: &Report) -> Vec<(String, &SessionSnapshot, Counters)> {
    let mut all = Vec::new();
    for tunnel in &report.snapshot.tunnels {
        for session in &tunnel.sessions {
            let labels = format!("{},interface=\"{}\"", tunnel_labels(tunnel), label(&session.interface));
            let counted = report.interface(&session.interface).map(|i| i.counters).unwrap_or_default();
            all.push((labels, session, counted));
        }
    }
    all
}

/// The reply to `metrics`.
pub fn render(report: &Report) -> String {
    let mut out = String::new();
    family(&mut out, "l2tpd_build", "info", "version of the daemon");
    sample(&mut out, "l2tpd_build_info", &format!("version=\"{}\"", label(report.version)), 1);
    family(&mut out, "l2tpd_uptime_seconds", "gauge", "time since the daemon started");
    let uptime = report.uptime;
    sample(
        &mut out,
        "l2tpd_uptime_seconds",
        "",
        format_args!("{}.{:03}", uptime.as_secs(), uptime.subsec_millis()),
    );
    tunnels(&mut out, &report.snapshot.tunnels);
    let sessions = sessions(report);
    family(&mut out, "l2tpd_session_up", "gauge", "1 while the session is established");
    for (labels, session, _) in &sessions {
        sample(&mut out, "l2tpd_session_up", labels, u8::from(session.state == SessionState::Established));
    }
    frames(&mut out, &sessions);
    family(
        &mut out,
        "l2tpd_control_drops",
        "counter",
        "control messages dropped before they were known to belong to a tunnel",
    );
    for (reason, _, value) in report.snapshot.drops.entries() {
        sample(&mut out, "l2tpd_control_drops_total", &format!("reason=\"{reason}\""), value);
    }
    family(&mut out, "l2tpd_stray_drops", "counter", "data messages dropped that belong to no session");
    for (reason, _, value) in report.unmatched.entries().filter(|(name, _, _)| is_drop(name)) {
        sample(&mut out, "l2tpd_stray_drops_total", &format!("reason=\"{reason}\""), value);
    }
    out.push_str("# EOF\n");
    out
}

fn tunnels(out: &mut String, tunnels: &[TunnelSnapshot]) {
    family(out, "l2tpd_tunnel_up", "gauge", "1 while the control connection is established");
    for tunnel in tunnels {
        let up = u8::from(tunnel.state == State::Established);
        sample(out, "l2tpd_tunnel_up", &tunnel_labels(tunnel), up);
    }
    for (at, (name, help, _)) in ControlCounters::default().entries().enumerate() {
        let name = format!("l2tpd_control_{name}");
        family(out, &name, "counter", help);
        for tunnel in tunnels {
            let value = tunnel.counters.entries().nth(at).map_or(0, |(_, _, value)| value);
            sample(out, &format!("{name}_total"), &tunnel_labels(tunnel), value);
        }
    }
}

fn is_drop(name: &str) -> bool {
    name.starts_with("rx_drop_") || name.starts_with("tx_drop_")
}

fn frames(out: &mut String, sessions: &[(String, &SessionSnapshot, Counters)]) {
    for (at, (name, help, _)) in Counters::default().entries().enumerate() {
        if is_drop(name) {
            continue;
        }
        let name = format!("l2tpd_session_{name}");
        family(out, &name, "counter", help);
        for (labels, _, counted) in sessions {
            let value = counted.entries().nth(at).map_or(0, |(_, _, value)| value);
            sample(out, &format!("{name}_total"), labels, value);
        }
    }
    family(out, "l2tpd_session_drops", "counter", "frames dropped, by reason");
    for (labels, _, counted) in sessions {
        for (reason, _, value) in counted.entries().filter(|(name, _, _)| is_drop(name)) {
            sample(out, "l2tpd_session_drops_total", &format!("{labels},reason=\"{reason}\""), value);
        }
    }
}
