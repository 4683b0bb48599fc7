//! The displays as text. `status` has the fields, words and order of the SEIL routers' display of an L2TP
//! interface; what that lacks (uptime, encapsulation, cookie sizes, sublayer, MTU, the last failure, the next
//! attempt) follows the fields of its block. Text that came from the peer is escaped.

use crate::proto::connection::table::State;
use std::fmt::{Display, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::part::Part;
use super::report::{Dropped, Health, Interface, Overview, Pings};
use super::time::{before, date, span};
use crate::log::{escape, WallTime};
use crate::proto::history::Change;
use crate::proto::snapshot::{
    Failure, PathFound, PeerSnapshot, PeerState, SessionSnapshot, SessionState, TunnelSnapshot,
};
use crate::proto::Notification;
use crate::wire::{Cookie, Encapsulation, PW_ETHERNET, PW_ETHERNET_VLAN};

/// A line `Name             :value`; the names of the display are at most 17 columns wide.
fn field(out: &mut String, name: &str, value: impl Display) {
    let _ = writeln!(out, "{name:<17}:{value}");
}

pub(super) fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
    out.push('\n');
}

/// A value, or `-` where there is none.
fn or_dash<T: Display>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// An id, or `-` for 0, which stands for "not known yet".
fn id(value: u32) -> String {
    or_dash((value != 0).then_some(value))
}

/// Whether a display holds the cookies themselves: root may see them, other users of the admin socket and readers of the
/// log may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cookies {
    /// They stand there.
    Shown,
    /// Four asterisks stand there.
    Masked,
}

/// What `status` of everything begins with.
pub fn status_head(out: &mut String, daemon: &Overview) {
    let up = span(daemon.uptime);
    line(
        out,
        format_args!(
            "l2tpd {}: process {}, up {up}, log level {}",
            daemon.version, daemon.pid, daemon.log_level
        ),
    );
    let identity = &daemon.identity;
    let name = escape(&identity.hostname);
    line(out, format_args!("host name {name}: from {}", identity.hostname_source));
    let id = or_dash(identity.router_id.map(Ipv4Addr::from));
    line(out, format_args!("router id {id}: from {}\n", identity.router_id_source));
}

/// Some sessions in `status`, or a tunnel that has none.
pub fn part(out: &mut String, daemon: &Overview, part: &Part, cookies: Cookies) {
    let tunnel = &part.tunnel;
    if part.begins && part.ends && tunnel.sessions.is_empty() {
        line(out, format_args!("tunnel {}:", escape(tunnel.name.as_bytes())));
        tunnel_block(out, daemon, tunnel);
        out.push('\n');
    }
    for (session, interface) in part.sessions() {
        interface_block(out, daemon, (tunnel, session), interface);
        tunnel_block(out, daemon, tunnel);
        session_block(out, daemon, session, interface, cookies);
        out.push('\n');
    }
}

fn interface_block(
    out: &mut String,
    daemon: &Overview,
    (tunnel, session): (&TunnelSnapshot, &SessionSnapshot),
    interface: Option<&Interface>,
) {
    let unknown = Interface::default();
    let interface = interface.unwrap_or(&unknown);
    let counted = &interface.counters;
    let word = |up: bool| if up { "up" } else { "down" };
    let configured = !session.disabled && interface.admin_up;
    line(out, format_args!("interface {}:", escape(session.interface.as_bytes())));
    line(
        out,
        format_args!(
            "Status: link {}, administratively {}",
            word(interface.present && interface.link_up),
            word(configured)
        ),
    );
    // The engine is a little younger than the daemon, so its first state may seem to have been entered.
    let first = matches!(session.state, SessionState::Idle | SessionState::WaitControlConn);
    let changed = if first && session.since + Duration::from_secs(1) >= daemon.uptime {
        "(Not Changed)".to_owned()
    } else {
        date(before(daemon.time, session.since.min(daemon.uptime)))
    };
    line(out, format_args!("LastChange: {changed}"));
    line(
        out,
        format_args!(
            "Ipkts: {}, Ierrs: {}, Opkts: {}, Oerrs: {}, Colls: 0",
            counted.rx_frames,
            counted.rx_short + counted.rx_cookie + counted.rx_source,
            counted.tx_frames,
            counted.tx_error
        ),
    );
    line(
        out,
        format_args!(
            "InOctets: {}, OutOctets: {}, InDrops: {}, OutDiscards: {}",
            counted.rx_octets,
            counted.tx_octets,
            counted.rx_closed
                + counted.rx_sequence
                + counted.rx_standby
                + counted.rx_incomplete
                + counted.rx_storm
                + counted.rx_interface,
            counted.tx_closed + counted.tx_circuit + counted.tx_storm + counted.tx_size + counted.tx_queue
        ),
    );
    line(out, format_args!("InUnknownProtos: {}", counted.rx_sublayer));
    line(out, format_args!("Tunnel: {}", escape(tunnel.name.as_bytes())));
}

fn tunnel_block(out: &mut String, daemon: &Overview, tunnel: &TunnelSnapshot) {
    match &tunnel.path {
        Some(path) => {
            line(out, format_args!("Tunnel address: {} --> {}", path.local.ip(), path.remote.ip()));
        }
        None => {
            let peer = tunnel.peer.map_or_else(|| "any".to_owned(), |peer| peer.to_string());
            line(out, format_args!("Tunnel address: - --> {peer}"));
        }
    }
    line(out, format_args!("L2TP Tunnel Status:"));
    field(out, "State", state(tunnel));
    field(out, "Remote Host Name", or_dash(tunnel.remote_hostname.as_deref().map(escape)));
    field(out, "Remote Router-ID", or_dash(tunnel.remote_router_id.map(Ipv4Addr::from)));
    field(out, "Local Tunnel ID", id(tunnel.local_ccid.0));
    field(out, "Remote Tunnel ID", id(tunnel.remote_ccid.0));
    field(out, "Ns, Nr", format_args!("{}, {}", tunnel.ns, tunnel.nr));
    let since = tunnel.since.min(daemon.uptime);
    field(out, if tunnel.state == State::Established { "Uptime" } else { "Since" }, span(since));
    field(out, "Encapsulation", encapsulation(tunnel));
    field(out, "Authentication", if tunnel.authenticated { "on" } else { "off" });
    if tunnel.cisco {
        field(out, "Compatibility", "cisco");
    }
    if let Some(vendor) = &tunnel.remote_vendor {
        field(out, "Remote Vendor", escape(vendor));
    }
    field(out, "Peer Window", format_args!("{}, {} waiting", tunnel.peer_window, tunnel.queued));
    field(out, "Round Trip", or_dash(tunnel.round_trip.map(milliseconds)));
    if let Some(PathFound { mtu, state }) = tunnel.path_search {
        field(out, "Path MTU", format_args!("{} ({state})", or_dash(mtu)));
    }
    peers(out, tunnel);
    troubles(out, tunnel.problem.as_deref(), &tunnel.last_failure, tunnel.next_try);
    changes(out, daemon, &tunnel.history);
}

/// Several peers, in their order: `1 192.0.2.2, in-use: it is the first choice`.
fn peers(out: &mut String, tunnel: &TunnelSnapshot) {
    for (at, peer) in tunnel.peers.iter().enumerate() {
        field(out, if at == 0 { "Peers" } else { "" }, peer_line(tunnel, at, peer));
    }
}

/// The same line for `explain`.
pub(super) fn peer_line(tunnel: &TunnelSnapshot, at: usize, peer: &PeerSnapshot) -> String {
    let mut text = format!("{} {}, {}", at + 1, peer.remote, peer.state.name());
    match peer.state {
        PeerState::InUse if !tunnel.peer_why.is_empty() => {
            let _ = write!(text, ": {}", tunnel.peer_why);
        }
        PeerState::WithinReach(time) => {
            let _ = write!(text, " for {}", span(time));
        }
        PeerState::InUse | PeerState::Standby | PeerState::Idle => {}
    }
    text
}

/// The state's word; what the configuration says about it comes first.
pub(super) fn state(tunnel: &TunnelSnapshot) -> &'static str {
    if tunnel.disabled {
        "disabled"
    } else if tunnel.manual {
        "manual"
    } else {
        tunnel.state.status_name()
    }
}

fn encapsulation(tunnel: &TunnelSnapshot) -> String {
    match tunnel.path {
        Some(path) if path.encapsulation == Encapsulation::Udp => {
            format!("udp, ports {} --> {}", path.local.port(), path.remote.port())
        }
        path => or_dash(path.map(|path| path.encapsulation.word())),
    }
}

fn troubles(
    out: &mut String,
    problem: Option<&str>,
    failure: &Option<(Failure, Duration)>,
    next_try: Option<Duration>,
) {
    if let Some(problem) = problem {
        field(out, "Configuration", problem);
    }
    if let Some((failure, ago)) = failure {
        field(out, "Last Failure", format_args!("{}, {} ago", in_words(failure), span(*ago)));
    }
    if let Some(next) = next_try {
        field(out, "Next Try", format_args!("in {}", span(next)));
    }
}

/// The last changes: `2026/11/22 11:30:00 tunnel-down, the peer does not answer`.
fn changes(out: &mut String, daemon: &Overview, history: &[Change]) {
    for (at, change) in history.iter().enumerate() {
        let mut text = format!("{} {}", date(before(daemon.time, change.ago)), change.what.name());
        if !change.reason.is_empty() {
            let _ = write!(text, ", {}", change.reason);
        }
        if change.count > 1 {
            let _ = write!(text, " ({} times)", change.count);
        }
        field(out, if at == 0 { "History" } else { "" }, text);
    }
}

/// `0.412 ms`.
pub fn milliseconds(time: Duration) -> String {
    let micros = time.as_micros();
    format!("{}.{:03} ms", micros / 1000, micros % 1000)
}

/// A failure in one line.
fn in_words(failure: &Failure) -> String {
    let mut text = failure.check.clone();
    if !failure.expected.is_empty() {
        let _ = write!(text, ", expected {}", failure.expected);
    }
    if !failure.received.is_empty() {
        let _ = write!(text, ", received {}", failure.received);
    }
    if !failure.cause.message().is_empty() {
        let _ = write!(text, " ({})", failure.cause.message());
    }
    text
}

/// A cookie as the display shows it: a decimal number.
fn cookie(cookie: &Cookie, cookies: Cookies) -> String {
    if cookies == Cookies::Masked && !cookie.is_empty() {
        return "****".to_owned();
    }
    let value = cookie.as_slice().iter().fold(0_u64, |value, octet| value << 8 | u64::from(*octet));
    or_dash((!cookie.is_empty()).then_some(value))
}

/// The block of a session; absent while there is neither a session nor something to tell of it.
fn session_block(
    out: &mut String,
    daemon: &Overview,
    session: &SessionSnapshot,
    interface: Option<&Interface>,
    cookies: Cookies,
) {
    let negotiated = session.local.0 != 0;
    let troubled = session.problem.is_some() || session.last_failure.is_some() || session.next_try.is_some();
    let troubled = troubled || !session.history.is_empty();
    if !negotiated && !troubled {
        return;
    }
    line(out, format_args!("L2TP Session Status:"));
    field(out, "State", session_state(session));
    if negotiated {
        field(out, "Local Session ID", id(session.local.0));
        field(out, "Remote Session ID", id(session.remote.0));
        field(out, "Serial No", session.serial);
        field(out, "Local Cookie", cookie(&session.local_cookie, cookies));
        field(out, "Remote Cookie", cookie(&session.remote_cookie, cookies));
        let (local, remote) = (session.local_cookie.len(), session.remote_cookie.len());
        field(out, "Cookie Size", format_args!("local {local}, remote {remote}"));
        field(out, "Sublayer", directions(session.sublayer));
        field(out, "Sequencing", directions(session.sequencing));
        if session.fragments != (false, false) {
            field(out, "Fragments", directions(session.fragments));
        }
        field(out, "Pseudowire", pseudowire(session.pw_type));
        field(out, "Remote End ID", escape(&session.remote_end_id));
        field(out, "Remote Circuit", or_dash(session.remote_circuit.map(circuit)));
        let mtu = interface.map(|interface| interface.mtu).filter(|mtu| *mtu != 0);
        field(out, "MTU", format_args!("{}, remote {}", or_dash(mtu), or_dash(session.remote_mtu)));
        let plane = interface.map_or("", |interface| interface.data_plane);
        match interface.and_then(|interface| interface.why_not_bpf.as_ref()) {
            Some(why) => field(out, "Data Plane", format_args!("{plane} (not bpf: {why})")),
            None => field(out, "Data Plane", or_dash((!plane.is_empty()).then_some(plane))),
        }
        if let Some(problem) = interface.and_then(|interface| interface.problem.as_ref()) {
            field(out, "Interface", escape(problem.as_bytes()));
        }
        match interface.and_then(|interface| interface.bridge.as_ref()) {
            Some((bridge, "joined")) => field(out, "Bridge", bridge),
            Some((bridge, state)) => field(out, "Bridge", format_args!("{bridge} ({state})")),
            None => {}
        }
    }
    let up = session.state == SessionState::Established;
    field(out, if up { "Uptime" } else { "Since" }, span(session.since.min(daemon.uptime)));
    troubles(out, session.problem, &session.last_failure, session.next_try);
    changes(out, daemon, &session.history);
}

pub(super) fn session_state(session: &SessionSnapshot) -> &'static str {
    if session.disabled {
        "disabled"
    } else if session.manual {
        "manual"
    } else {
        session.state.status_name()
    }
}

/// Which of received and sent frames have something.
fn directions((received, sent): (bool, bool)) -> &'static str {
    match (received, sent) {
        (false, false) => "none",
        (true, false) => "received frames",
        (false, true) => "sent frames",
        (true, true) => "both directions",
    }
}

fn pseudowire(kind: u16) -> String {
    match kind {
        PW_ETHERNET => "ethernet".to_owned(),
        PW_ETHERNET_VLAN => "vlan".to_owned(),
        other => other.to_string(),
    }
}

fn circuit(status: u16) -> String {
    let carries = crate::wire::CircuitStatus(status).carries_traffic();
    format!("{} ({status:#06x})", if carries { "up" } else { "down" })
}

/// The line of `health`.
pub fn health(out: &mut String, health: &Health) {
    let word = if health.is_up() { "up" } else { "down" };
    let _ = writeln!(
        out,
        "{word}: {} of {} tunnels, {} of {} sessions",
        health.tunnels_up, health.tunnels, health.sessions_up, health.sessions
    );
}

/// Some sessions in `counters`: those counters that are not 0, and the totals always.
pub fn counters_part(out: &mut String, part: &Part) {
    if part.begins {
        line(out, format_args!("tunnel {}:", escape(part.tunnel.name.as_bytes())));
        list(out, part.tunnel.counters.entries(), 6);
    }
    for (session, interface) in part.sessions() {
        line(out, format_args!("interface {}:", escape(session.interface.as_bytes())));
        list(out, interface.map(|i| i.counters).unwrap_or_default().entries(), 4);
    }
}

/// What `counters` ends with.
pub fn counters_tail(out: &mut String, dropped: &Dropped) {
    out.push_str("control messages of no tunnel, dropped:\n");
    list(out, dropped.drops.entries(), 0);
    out.push_str("data of no session, dropped:\n");
    list(out, dropped.unmatched.entries(), 0);
    out.push_str("(what is not listed is 0)\n");
}

/// The first `always` entries, and of the others those that are not 0.
fn list(out: &mut String, entries: impl Iterator<Item = (&'static str, &'static str, u64)>, always: usize) {
    let shown = entries.enumerate().filter(|(at, (_, _, value))| *at < always || *value != 0);
    for (_, (name, about, value)) in shown {
        let _ = writeln!(out, "  {value:>14} {name:<20} {about}");
    }
}

/// A line of `ping`.
pub fn pong(number: u32, peer: IpAddr, round_trip: Option<Duration>, transmissions: u32) -> String {
    let mut out = format!("HELLO {number} to {peer}: ");
    out += &round_trip.map_or_else(|| "no answer".to_owned(), milliseconds);
    if transmissions > 1 {
        let _ = write!(out, ", sent {transmissions} times");
    }
    out.push('\n');
    out
}

/// The end of `ping`.
pub fn pings(pings: &Pings) -> String {
    let Pings { hellos, answered, transmissions, .. } = pings;
    let loss = pings.loss();
    let out = format!("{hellos} HELLOs, sent {transmissions} times, {answered} answered: {loss} % lost\n");
    out + &round_trip(pings)
}

/// A line of `ping` of a session.
pub fn echo(number: u32, interface: &str, round_trip: Option<Duration>) -> String {
    let answer = round_trip.map_or_else(|| "no answer".to_owned(), milliseconds);
    format!("frame {number} through {}: {answer}\n", escape(interface.as_bytes()))
}

/// The end of `ping` of a session.
pub fn echoes(pings: &Pings) -> String {
    let Pings { hellos, answered, .. } = pings;
    let mut out = format!("{hellos} frames, {answered} answered: {} % lost\n", pings.loss());
    out += &round_trip(pings);
    if *answered == 0 {
        out +=
            "(only another l2tpd answers such frames, since 0.2.0; any peer answers `ping` of its tunnel)\n";
    }
    out
}

fn round_trip(pings: &Pings) -> String {
    let Some(average) = pings.average() else { return String::new() };
    let (least, most) = (milliseconds(pings.least), milliseconds(pings.most));
    format!("round trip: {least} at least, {} on average, {most} at most\n", milliseconds(average))
}

/// A line of `watch`.
pub fn event(time: WallTime, event: &Notification) -> String {
    let mut out = format!("{time} {} tunnel={}", event.what.name(), word(&event.tunnel));
    if let Some(interface) = &event.interface {
        let _ = write!(out, " session={}", word(interface));
    }
    if let Some(peer) = event.peer {
        let _ = write!(out, " peer={peer}");
    }
    if event.local_id != 0 {
        let _ = write!(out, " local-id={}", event.local_id);
    }
    if event.remote_id != 0 {
        let _ = write!(out, " remote-id={}", event.remote_id);
    }
    if !event.reason.is_empty() {
        let _ = write!(out, " reason=\"{}\"", event.reason.replace('"', "'"));
    }
    out.push('\n');
    out
}

/// A name as one word.
fn word(name: &str) -> String {
    escape(name.as_bytes()).replace(' ', "\\x20")
}
