//! `explain` of tunnels, as text: why they are not up, and what came that is for none of them.

use crate::proto::connection::table::State;
use std::fmt::Write;
use std::net::IpAddr;
use std::time::Duration;

use super::command::Selection;
use super::report::Report;
use super::show::{line, session_state, state};
use super::time::span;
use crate::log::escape;
use crate::proto::snapshot::{Cause, Failure, SessionSnapshot, SessionState, TunnelSnapshot};

/// Whether a tunnel and all its sessions are up.
fn is_up(tunnel: &TunnelSnapshot) -> bool {
    let sessions = tunnel.sessions.iter().all(|session| session.state == SessionState::Established);
    !tunnel.disabled && (tunnel.manual || tunnel.state == State::Established) && sessions
}

/// The display of `explain tunnel`: why it is not up. Without a name, all tunnels that are not up.
pub fn explain(report: &Report, selection: &Selection) -> Option<String> {
    let mut out = String::new();
    let mut all_up = true;
    for (tunnel, sessions) in report.select(selection)? {
        all_up &= is_up(tunnel);
        let loses = sessions.iter().any(|session| too_long(report, session) > 0);
        if *selection == Selection::All && is_up(tunnel) && !loses {
            continue;
        }
        let since = span(tunnel.since.min(report.uptime));
        let name = escape(tunnel.name.as_bytes());
        line(&mut out, format_args!("tunnel {name}: {} for {since}", state(tunnel)));
        let failure = tunnel.last_failure.as_ref().filter(|(_, ago)| {
            matters(*ago, tunnel.since, tunnel.state == State::Established, tunnel.disabled)
        });
        reasons(&mut out, "  ", tunnel.problem.as_deref(), failure, tunnel.next_try);
        if tunnel.disabled {
            line(
                &mut out,
                format_args!("  it is disabled: `disable` in the configuration, or `l2tpctl stop`"),
            );
        } else if !is_up(tunnel) && tunnel.state == State::Idle && tunnel.peer.is_none() && !tunnel.manual {
            line(&mut out, format_args!("  it waits for a peer, or for the peer's name to be found"));
        } else if tunnel.passive && tunnel.state == State::Idle && !tunnel.manual {
            line(&mut out, format_args!("  {PASSIVE}"));
        } else if is_unanswered(tunnel) {
            line(&mut out, format_args!("  {UNANSWERED}"));
        }
        for session in sessions {
            let since = span(session.since.min(report.uptime));
            let name = escape(session.interface.as_bytes());
            line(&mut out, format_args!("  session {name}: {} for {since}", session_state(session)));
            let failure = session.last_failure.as_ref().filter(|(_, ago)| {
                matters(*ago, session.since, session.state == SessionState::Established, session.disabled)
            });
            let interface = report.interface(&session.interface).and_then(|i| i.problem.as_deref());
            if let Some(problem) = interface.filter(|_| !session.disabled) {
                line(&mut out, format_args!("    {:<13}: {}", "interface", escape(problem.as_bytes())));
            }
            reasons(&mut out, "    ", session.problem, failure, session.next_try);
            let lost = too_long(report, session);
            if lost > 0 {
                line(&mut out, format_args!("    {lost} frames were dropped, since {TOO_LONG}"));
            }
        }
    }
    if *selection == Selection::All && all_up {
        out.insert_str(0, "every tunnel and session is up\n");
    }
    dropped(&mut out, report, selection);
    Some(out)
}

/// What came and is for no tunnel; of one tunnel, what came from its peer's address.
fn dropped(out: &mut String, report: &Report, selection: &Selection) {
    let all = *selection == Selection::All;
    let peers: Vec<IpAddr> =
        report.select(selection).into_iter().flatten().filter_map(|(tunnel, _)| tunnel.peer).collect();
    for source in report.snapshot.dropped_from.iter().filter(|s| all || peers.contains(&s.address)) {
        let times = if source.count == 1 { "once".to_owned() } else { format!("{} times", source.count) };
        let ago = span(source.ago);
        line(out, format_args!("dropped from {}: {} ({times}, {ago} ago)", source.address, source.what));
    }
    if all && report.snapshot.dropped_others > 0 {
        line(out, format_args!("dropped from others: {} messages", report.snapshot.dropped_others));
    }
}

/// Frames of a session that were lost because they were too long for the path.
fn too_long(report: &Report, session: &SessionSnapshot) -> u64 {
    report.interface(&session.interface).map_or(0, |interface| interface.counters.tx_size)
}

const TOO_LONG: &str =
    "they were too long for the path to the peer (tx_drop_size): say `mtu auto` or a smaller mtu, and tcp-mss for \
     TCP, or `dont-fragment off` (until `l2tpctl counters reset`)";

/// Whether a failure that was `ago` is of interest: not what kept it from coming up before it was up, nor what happened
/// to one that is disabled.
fn matters(ago: Duration, since: Duration, up: bool, disabled: bool) -> bool {
    let past = up && ago > since;
    !disabled && !past
}

/// What keeps a peer silent. A peer that cannot authenticate our messages must not answer them, which looks like a
/// peer that is not there.
const UNANSWERED: &str =
    "the peer has not answered: is it there, does it use the same encapsulation and ports, does every filter on the \
     way let protocol 115 (or the UDP port) pass, does it have a tunnel for our address and the same password?";

const PASSIVE: &str =
    "it is passive and waits for the peer to begin: does the peer reach us, and is it not passive too?";

/// Whether our attempts find no answer.
fn is_unanswered(tunnel: &TunnelSnapshot) -> bool {
    let failed = tunnel.last_failure.as_ref().is_some_and(|(failure, _)| failure.cause == Cause::NoAnswer);
    let waits = tunnel.state == State::WaitCtlReply && tunnel.counters.rx_messages == 0;
    waits || (failed && !matches!(tunnel.state, State::Established | State::WaitCtlConn))
}

fn reasons(
    out: &mut String,
    indent: &str,
    problem: Option<&str>,
    failure: Option<&(Failure, Duration)>,
    next_try: Option<Duration>,
) {
    let mut reason = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(out, "{indent}{name:<13}: {value}");
        }
    };
    reason("configuration", problem.unwrap_or_default());
    if let Some((failure, ago)) = failure {
        reason("failed check", &failure.check);
        reason("expected", &failure.expected);
        reason("received", &failure.received);
        reason("when", &format!("{} ago", span(*ago)));
        reason("message", failure.cause.message());
    }
    if let Some(next) = next_try {
        reason("next try", &format!("in {}", span(next)));
    }
}
