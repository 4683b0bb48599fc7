//! What the status shows of a tunnel and its sessions.

use std::net::IpAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::config::model::{Remote, Role};
use crate::proto::action::SequenceLevel;
use crate::proto::connection::auth::Mode;
use crate::proto::connection::table::State;
use crate::proto::connection::transport::Transport;
use crate::proto::context::Context;
use crate::proto::session::slot::Slot;
use crate::proto::session::{table, Session};
use crate::proto::snapshot::{
    PathFound, PeerSnapshot, PeerState, SessionBrief, SessionSnapshot, SessionState, TunnelBrief,
    TunnelSnapshot,
};
use crate::proto::tunnel::Tunnel;
use crate::wire::{Ccid, Cookie, SessionId};

/// What there is to show of a tunnel and of some of its sessions, counted in the order of the file.
pub fn tunnel(cx: &Context, tunnel: &Tunnel, now: Instant, sessions: Range<usize>) -> TunnelSnapshot {
    let connection = tunnel.members.shown();
    let transport = connection.map(|c| &c.transport);
    let peer = connection.filter(|c| c.transport.remote_ccid != Ccid(0)).map(|c| &c.peer);
    let only = tunnel.config.addresses().next().filter(|_| !tunnel.addresses.has_backup());
    let tried = tunnel.path.filter(|_| !tunnel.config.is_for_any()).map(|path| path.remote.ip());
    let named = only.or(tried);
    let path = transport.map(|t| t.path);
    let waits = tunnel.members.main_ccid().is_some();
    let (disabled, manual) = (tunnel.is_disabled(), tunnel.slots.is_manual());
    TunnelSnapshot {
        name: tunnel.config.name.clone(),
        disabled,
        manual,
        passive: tunnel.config.role == Role::Passive,
        problem: tunnel.config.problem(),
        peer: path.map(|p| p.remote.ip()).or(named),
        path: path.or(tunnel.path.filter(|_| manual)),
        state: connection.map_or(State::Idle, |c| c.state),
        since: now.saturating_duration_since(connection.map_or(tunnel.attempt.since, |c| c.since)),
        changes: tunnel.history.changes,
        remote_hostname: peer.map(|p| p.host_name.clone()),
        remote_router_id: peer.map(|p| p.router_id),
        remote_vendor: peer.and_then(|p| p.vendor_name.clone()),
        local_ccid: transport.map_or(Ccid(0), |t| t.ccid),
        remote_ccid: transport.map_or(Ccid(0), |t| t.remote_ccid),
        ns: transport.map_or(0, |t| t.channel.ns()),
        nr: transport.map_or(0, |t| t.channel.nr()),
        queued: transport.map_or(0, |t| t.channel.queued()),
        peer_window: transport.map_or(0, |t| t.channel.peer_window()),
        authenticated: transport.is_some_and(|t| t.auth.mode == Mode::On),
        cisco: transport.is_some_and(|t| t.dialect.cisco),
        next_try: tunnel.attempt.next_try(now).or_else(|| next_repetition(cx, tunnel, now)),
        last_failure: tunnel.attempt.last_failure(now),
        round_trip: transport.and_then(|t| t.round_trip.smoothed()),
        path_search: transport.and_then(path_search),
        history: tunnel.history.shown(now),
        counters: tunnel.members.counted(),
        peers: peers(tunnel, now),
        peer_why: tunnel.backup.why.clone(),
        peer_changes: tunnel.backup.changes,
        sessions: tunnel.slots.some(sessions).map(|slot| session(slot, now, disabled, waits)).collect(),
    }
}

/// The little that is had without copying anything.
pub fn tunnel_brief(tunnel: &Tunnel) -> TunnelBrief<'_> {
    TunnelBrief {
        name: &tunnel.config.name,
        disabled: tunnel.is_disabled(),
        manual: tunnel.slots.is_manual(),
        state: tunnel.members.shown().map_or(State::Idle, |c| c.state),
        round_trip: tunnel.members.shown().and_then(|c| c.transport.round_trip.smoothed()),
        path_search: tunnel.members.shown().and_then(|c| path_search(&c.transport)),
        has_backup: tunnel.addresses.has_backup(),
        peer_changes: tunnel.backup.changes,
        counters: tunnel.members.counted(),
        sessions: tunnel.slots.count(),
    }
}

fn path_search(transport: &Transport) -> Option<PathFound> {
    let (mtu, state) = transport.path_probe.as_ref()?.shown();
    Some(PathFound { mtu, state })
}

/// The peers, where there are several.
fn peers(tunnel: &Tunnel, now: Instant) -> Vec<PeerSnapshot> {
    if !tunnel.addresses.has_backup() {
        return Vec::new();
    }
    let serving = tunnel.members.main().map(|main| main.address());
    let line = serving.and_then(|serving| tunnel.addresses.line_of(serving));
    let standby = tunnel.standby_address().and_then(|address| tunnel.addresses.line_of(address));
    let peer = |(at, (remote, addresses)): (usize, (&Remote, &[IpAddr]))| {
        let since = addresses.iter().filter_map(|address| tunnel.backup.within_reach(*address)).min();
        let state = match since {
            _ if line == Some(at) => PeerState::InUse,
            _ if standby == Some(at) => PeerState::Standby,
            Some(since) => PeerState::WithinReach(now.saturating_duration_since(since)),
            None => PeerState::Idle,
        };
        PeerSnapshot { remote: remote.to_string(), addresses: addresses.to_vec(), state }
    };
    tunnel.addresses.lines().enumerate().map(peer).collect()
}

/// The same of one of its sessions.
pub fn session_brief<'a>(tunnel: &Tunnel, slot: &'a Slot) -> SessionBrief<'a> {
    let waits = tunnel.members.main_ccid().is_some() && slot.is_usable() && slot.is_dynamic();
    SessionBrief {
        interface: &slot.config.interface,
        disabled: slot.config.disabled || tunnel.is_disabled(),
        state: session_state(slot.session.as_ref(), waits),
    }
}

/// Time until our SCCRQ, which the peer does not answer, is sent again.
fn next_repetition(cx: &Context, tunnel: &Tunnel, now: Instant) -> Option<Duration> {
    let connection = tunnel.members.main().filter(|c| c.state == State::WaitCtlReply)?;
    Some(connection.transport.next_retransmission(cx)?.saturating_duration_since(now))
}

/// What there is to show; `waits`: the tunnel has or sets up a connection, and is not disabled.
fn session(slot: &Slot, now: Instant, disabled: bool, waits: bool) -> SessionSnapshot {
    let session = slot.session.as_ref();
    let waits = waits && slot.is_usable() && slot.is_dynamic();
    SessionSnapshot {
        interface: slot.config.interface.clone(),
        disabled: slot.config.disabled || disabled,
        manual: slot.config.manual.is_some(),
        problem: slot.config.problem(),
        remote_end_id: slot.config.remote_end_id.clone().unwrap_or_default(),
        bridge: slot.config.bridge.clone(),
        state: session_state(session, waits),
        since: now.saturating_duration_since(session.map_or(slot.attempt.since, |s| s.since)),
        changes: slot.history.changes,
        local: session.map_or(SessionId(0), |s| s.local),
        remote: session.map_or(SessionId(0), |s| s.remote),
        serial: session.map_or(0, |s| s.serial),
        local_cookie: session.map_or(Cookie::NONE, |s| s.cookie_expected.clone()),
        remote_cookie: session.map_or(Cookie::NONE, |s| s.cookie_to_send.clone()),
        sublayer: session.map_or((false, false), |s| (s.sublayer_expected, s.sublayer_to_send)),
        sequencing: session.map_or((false, false), |s| {
            let receive = slot.config.sequencing.receives() && s.sublayer_expected;
            (receive, s.sequence_send != SequenceLevel::None)
        }),
        fragments: session.map_or((false, false), |s| {
            let takes = slot.config.longest_reassembled().is_some();
            (takes, s.fragments_to_send(&slot.config).is_some())
        }),
        pw_type: slot.config.pw_type(),
        remote_circuit: session.and_then(|s| s.remote_circuit).map(|c| c.0),
        remote_mtu: session.and_then(|s| s.remote_mtu),
        next_try: slot.attempt.next_try(now),
        last_failure: slot.attempt.last_failure(now),
        history: slot.history.shown(now),
    }
}

fn session_state(session: Option<&Session>, waits: bool) -> SessionState {
    match session.map(|session| session.state) {
        // Of before a crash: the peer is asked, or the interface is not attached yet.
        Some(table::State::Established) if session.is_some_and(|s| !s.attached) => {
            SessionState::WaitControlConn
        }
        Some(table::State::WaitReply) => SessionState::WaitReply,
        Some(table::State::WaitConnect) => SessionState::WaitConnect,
        Some(table::State::Established) => SessionState::Established,
        None if waits => SessionState::WaitControlConn,
        None => SessionState::Idle,
    }
}
