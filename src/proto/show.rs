//! The engine's snapshot, for the status.

use std::time::Instant;

use super::connection::State;
use super::snapshot::{ControlCounters, Drops, SessionSnapshot, Snapshot, TunnelSnapshot};
use super::tunnel::{Slot, Tunnel};
use super::Engine;
use crate::config::model::{Remote, Role};
use crate::wire::{Ccid, Cookie, SessionId};

impl Engine {
    /// What there is, at this moment.
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let tunnels = self.order.iter().filter_map(|key| self.tunnels.get(key));
        Snapshot { tunnels: tunnels.map(|t| self.tunnel_snapshot(now, t)).collect(), drops: self.drops }
    }

    /// `counters reset`: what was counted of control messages begins again at 0.
    pub fn reset_counters(&mut self) {
        self.tunnels.values_mut().for_each(|tunnel| tunnel.counters = ControlCounters::default());
        self.drops = Drops::default();
    }

    /// The connection that the status shows: the one in service, or one that answers the peer.
    fn shown(&self, tunnel: &Tunnel) -> Option<Ccid> {
        let in_state = |wanted: State| {
            let of_state = move |ccid: &&Ccid| self.connections.get(ccid).is_some_and(|c| c.state == wanted);
            tunnel.members.iter().rev().find(of_state).copied()
        };
        tunnel.main.or_else(|| in_state(State::WaitCtlConn)).or_else(|| in_state(State::Stopping))
    }

    /// When our SCCRQ, which the peer does not answer, is sent again.
    fn next_repetition(&self, tunnel: &Tunnel) -> Option<Instant> {
        let connection = tunnel.main.and_then(|ccid| self.connections.get(&ccid))?;
        let timer = connection.timers.retransmit.filter(|_| connection.state == State::WaitCtlReply)?;
        self.wheel.when(timer)
    }

    fn tunnel_snapshot(&self, now: Instant, tunnel: &Tunnel) -> TunnelSnapshot {
        let shown = self.shown(tunnel);
        let connection = shown.and_then(|ccid| self.connections.get(&ccid));
        let peer = self.peer_of(shown);
        let named = match &tunnel.config.remote {
            Some(Remote::Address(address)) => Some(*address),
            Some(Remote::Name(_)) => tunnel.path.map(|p| p.remote.ip()),
            Some(Remote::Any) | None => None,
        };
        TunnelSnapshot {
            name: tunnel.config.name.clone(),
            disabled: tunnel.is_disabled(),
            manual: tunnel.is_manual(),
            passive: tunnel.config.role == Role::Passive,
            problem: tunnel.config.problem(),
            peer: connection.map(|c| c.path.remote.ip()).or(named),
            path: connection.map(|c| c.path).or(tunnel.path.filter(|_| tunnel.is_manual())),
            state: connection.map_or("idle", |c| c.state.status_name()),
            since: now.saturating_duration_since(connection.map_or(tunnel.attempt.since, |c| c.since)),
            remote_hostname: peer.map(|p| p.host_name.clone()),
            remote_router_id: peer.map(|p| p.router_id),
            remote_vendor: peer.and_then(|p| p.vendor_name.clone()),
            local_ccid: connection.map_or(Ccid(0), |c| c.ccid),
            remote_ccid: connection.map_or(Ccid(0), |c| c.remote_ccid),
            ns: connection.map_or(0, |c| c.channel.ns()),
            nr: connection.map_or(0, |c| c.channel.nr()),
            queued: connection.map_or(0, |c| c.channel.queued()),
            peer_window: connection.map_or(0, |c| c.channel.peer_window()),
            authenticated: connection.is_some_and(|c| c.auth.mode == super::auth::Mode::On),
            cisco: connection.is_some_and(|c| c.dialect.cisco),
            next_try: tunnel
                .attempt
                .at
                .or_else(|| self.next_repetition(tunnel))
                .map(|at| at.saturating_duration_since(now)),
            last_failure: tunnel
                .attempt
                .failure
                .clone()
                .map(|(f, at)| (f, now.saturating_duration_since(at))),
            counters: tunnel.counters,
            sessions: tunnel.slots.iter().map(|slot| self.session_snapshot(now, tunnel, slot)).collect(),
        }
    }

    fn session_snapshot(&self, now: Instant, tunnel: &Tunnel, slot: &Slot) -> SessionSnapshot {
        let session = slot.session.and_then(|id| self.sessions.get(&id));
        let waits = !tunnel.is_disabled() && slot.is_usable() && slot.is_dynamic() && tunnel.main.is_some();
        SessionSnapshot {
            interface: slot.config.interface.clone(),
            disabled: slot.config.disabled || tunnel.is_disabled(),
            manual: slot.config.manual.is_some(),
            problem: slot.config.problem(),
            remote_end_id: slot.config.remote_end_id.clone().unwrap_or_default(),
            state: session
                .map_or(if waits { "wait-control-conn" } else { "idle" }, |s| s.state.status_name()),
            since: now.saturating_duration_since(session.map_or(slot.attempt.since, |s| s.since)),
            local: session.map_or(SessionId(0), |s| s.local),
            remote: session.map_or(SessionId(0), |s| s.remote),
            serial: session.map_or(0, |s| s.serial),
            local_cookie: session.map_or(Cookie::NONE, |s| s.cookie_expected),
            remote_cookie: session.map_or(Cookie::NONE, |s| s.cookie_to_send),
            sublayer: session.map_or((false, false), |s| (s.sublayer_expected, s.sublayer_to_send)),
            sequencing: session.map_or((false, false), |s| {
                let receive = slot.config.sequencing.receives() && s.sublayer_expected;
                (receive, s.sequence_send != super::SequenceLevel::None)
            }),
            pw_type: slot.config.pw_type(),
            remote_circuit: session.and_then(|s| s.remote_circuit).map(|c| c.0),
            remote_mtu: session.and_then(|s| s.remote_mtu),
            next_try: slot.attempt.at.map(|at| at.saturating_duration_since(now)),
            last_failure: slot.attempt.failure.clone().map(|(f, at)| (f, now.saturating_duration_since(at))),
        }
    }
}
