//! `explain` of tunnels, as text: why they are not up, and what came that is for none of them.

use crate::proto::connection::table::State;
use std::fmt::Write;
use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

use super::part::Part;
use super::report::{Dropped, Interface, Source};
use super::show::{line, peer_line, session_state, state};
use super::time::span;
use crate::log::escape;
use crate::proto::snapshot::{Cause, Failure, SessionSnapshot, SessionState, TunnelSnapshot};

/// `explain` of tunnels: why each is not up. Of all tunnels, those that are up are passed over.
#[derive(Debug, Default)]
pub struct Explain {
    /// Something that was looked at is not up.
    any_down: bool,
    /// The tunnel that is shown at present is passed over.
    skipped: bool,
    /// The peer of the tunnel that was shown last.
    peer: Option<IpAddr>,
}

impl Explain {
    /// Looks at some sessions of a tunnel that is to be shown, before anything is.
    pub fn look_at(&mut self, source: &dyn Source, tunnel: usize, sessions: Range<usize>) {
        self.any_down |= !is_up(source, tunnel, sessions);
    }

    /// What stands before the first tunnel.
    pub fn head(&self, out: &mut String, all: bool) {
        if all && !self.any_down {
            out.push_str("every tunnel and session is up\n");
        }
    }

    /// Begins with a tunnel; with `all`, one that is up and loses no frames is passed over.
    pub fn begin(&mut self, source: &dyn Source, tunnel: usize, all: bool) {
        let every = 0..source.tunnel(tunnel).map_or(0, |tunnel| tunnel.sessions);
        let loses = || every.clone().any(|session| source.counters(tunnel, session).tx_size > 0);
        self.skipped = all && is_up(source, tunnel, every.clone()) && !loses();
    }

    /// Whether that one is not worth a word.
    pub fn is_skipped(&self) -> bool {
        self.skipped
    }

    /// Some sessions, below their tunnel. `uptime` is the daemon's.
    pub fn part(&mut self, out: &mut String, uptime: Duration, part: &Part) {
        if part.begins {
            self.peer = part.tunnel.peer;
            tunnel(out, uptime, &part.tunnel);
        }
        for (one, interface) in part.sessions() {
            session(out, uptime, one, interface);
        }
    }

    /// What follows the last tunnel: what came and is for no tunnel; of one tunnel, what came from its peer's address.
    pub fn tail(&self, out: &mut String, all: bool, dropped: &Dropped) {
        for source in dropped.from.iter().filter(|s| all || self.peer == Some(s.address)) {
            let times = if source.count == 1 { "once".to_owned() } else { format!("{} times", source.count) };
            let ago = span(source.ago);
            line(out, format_args!("dropped from {}: {} ({times}, {ago} ago)", source.address, source.what));
        }
        if all && dropped.others > 0 {
            line(out, format_args!("dropped from others: {} messages", dropped.others));
        }
    }
}

/// Whether a tunnel and these of its sessions are up.
fn is_up(source: &dyn Source, tunnel: usize, mut sessions: Range<usize>) -> bool {
    let Some(brief) = source.tunnel(tunnel) else { return false };
    let connected = brief.manual || brief.state == State::Established;
    let established = |s| source.session(tunnel, s).is_some_and(|s| s.state == SessionState::Established);
    !brief.disabled && connected && sessions.all(established)
}

fn tunnel(out: &mut String, uptime: Duration, tunnel: &TunnelSnapshot) {
    let since = span(tunnel.since.min(uptime));
    let name = escape(tunnel.name.as_bytes());
    line(out, format_args!("tunnel {name}: {} for {since}", state(tunnel)));
    let established = tunnel.state == State::Established;
    let failure = tunnel.last_failure.as_ref();
    let failure = failure.filter(|(_, ago)| matters(*ago, tunnel.since, established, tunnel.disabled));
    reasons(out, "  ", tunnel.problem.as_deref(), failure, tunnel.next_try);
    for (at, peer) in tunnel.peers.iter().enumerate() {
        line(out, format_args!("  peer {}", peer_line(tunnel, at, peer)));
    }
    let idle = tunnel.state == State::Idle && !tunnel.manual;
    if tunnel.disabled {
        line(out, format_args!("  it is disabled: `disable` in the configuration, or `l2tpctl stop`"));
    } else if idle && tunnel.peer.is_none() {
        line(out, format_args!("  it waits for a peer, or for the peer's name to be found"));
    } else if idle && tunnel.passive {
        line(out, format_args!("  {PASSIVE}"));
    } else if is_unanswered(tunnel) {
        line(out, format_args!("  {UNANSWERED}"));
    }
}

fn session(out: &mut String, uptime: Duration, session: &SessionSnapshot, interface: Option<&Interface>) {
    let since = span(session.since.min(uptime));
    let name = escape(session.interface.as_bytes());
    line(out, format_args!("  session {name}: {} for {since}", session_state(session)));
    let established = session.state == SessionState::Established;
    let failure = session.last_failure.as_ref();
    let failure = failure.filter(|(_, ago)| matters(*ago, session.since, established, session.disabled));
    if let Some(problem) = interface.and_then(|i| i.problem.as_deref()).filter(|_| !session.disabled) {
        line(out, format_args!("    {:<13}: {}", "interface", escape(problem.as_bytes())));
    }
    reasons(out, "    ", session.problem, failure, session.next_try);
    // Frames that were lost because they were too long for the path.
    let lost = interface.map_or(0, |interface| interface.counters.tx_size);
    if lost > 0 {
        line(out, format_args!("    {lost} frames were dropped, since {TOO_LONG}"));
    }
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
