//! Set-up and end of control connections (RFC 3931 3.3, 7.2), and when the next attempt is made.

use std::time::{Duration, Instant};

use super::action::{Action, Happening, Path};
use super::connection::{Connection, Peer, State};
use super::ending::result;
use super::send::later;
use super::snapshot::Failure;
use super::tunnel::{Tunnel, TunnelKey};
use super::{Engine, Timer};
use crate::config::model::{Check, Remote, Role};
use crate::log::catalogue::Hex;
use crate::log::{escape, Event};
use crate::wire::code::stopccn;
use crate::wire::message::SetUp;
use crate::wire::{Ccid, Message, MessageType, PW_ETHERNET, PW_ETHERNET_VLAN};

/// What our SCCRQ and SCCRP say in the Vendor Name AVP.
const VENDOR_NAME: &[u8] = b"l2tpd";

/// How often our own attempt waits for one of the peer's. A flood of forged SCCRQs must not keep us silent.
const MOST_DEFERRALS: u32 = 3;

impl Engine {
    /// Arms the timer of a tunnel's next attempt.
    pub(super) fn schedule_tunnel(&mut self, now: Instant, key: TunnelKey, delay: Duration) {
        let down = self.shutting_down;
        let Some(tunnel) = self.tunnels.get_mut(&key) else { return };
        if let Some(timer) = tunnel.attempt.timer.take() {
            self.wheel.cancel(timer);
        }
        tunnel.attempt.at = None;
        if down || !tunnel.is_usable() {
            return;
        }
        let at = later(now, delay);
        tunnel.attempt.timer = Some(self.wheel.arm(at, Timer::Tunnel(key)));
        tunnel.attempt.at = Some(at);
    }

    /// Arms it with the tunnel's restart interval, plus or minus a quarter.
    pub(super) fn schedule_restart(&mut self, now: Instant, key: TunnelKey) {
        let Some(interval) = self.tunnels.get(&key).map(|t| t.config.restart_interval) else { return };
        let delay = self.jitter(interval);
        self.schedule_tunnel(now, key, delay);
    }

    /// The next attempt is due: the daemon is asked for socket and address. While the peer is setting up a
    /// connection of its own, that one has its chance first.
    pub(super) fn tunnel_due(&mut self, now: Instant, key: TunnelKey) {
        let Some(tunnel) = self.tunnels.get_mut(&key) else { return };
        tunnel.attempt.timer = None;
        tunnel.attempt.at = None;
        if self.shutting_down || !tunnel.is_usable() || tunnel.main.is_some() || tunnel.preparing {
            return;
        }
        let connections = &self.connections;
        let answering = |ccid: &Ccid| connections.get(ccid).is_some_and(|c| c.state == State::WaitCtlConn);
        if tunnel.members.iter().any(answering) && tunnel.deferred < MOST_DEFERRALS {
            tunnel.deferred = tunnel.deferred.saturating_add(1);
            return self.schedule_restart(now, key);
        }
        tunnel.deferred = 0;
        tunnel.preparing = true;
        let name = tunnel.config.name.clone();
        self.actions.push_back(Action::Prepare { tunnel: name });
    }

    /// Answers `Action::Prepare`: the path to the peer (with an unspecified remote address where any may
    /// connect), or in words why there is none yet.
    pub fn prepared(&mut self, now: Instant, tunnel: &str, path: Result<Path, String>) {
        let Some(key) = self.key_of(tunnel) else { return };
        let Some(tunnel) = self.tunnels.get_mut(&key) else { return };
        tunnel.preparing = false;
        let path = match path {
            Ok(path) => path,
            Err(why) => {
                let name = tunnel.config.name.clone();
                self.log_detail(Event::CreateTunnelFailed {}, format!("tunnel {name}: {why}"));
                self.fail_tunnel(now, key, Failure::new(why, "M-009"));
                return self.schedule_restart(now, key);
            }
        };
        tunnel.path = Some(path);
        if self.shutting_down || !tunnel.is_usable() {
            return;
        }
        let answers_only = tunnel.config.role == Role::Passive || tunnel.config.remote == Some(Remote::Any);
        let may_move = matches!(tunnel.config.remote, Some(Remote::Name(_)));
        let begins = !answers_only && !tunnel.is_manual() && tunnel.main.is_none();
        self.start_manual_sessions(now, key);
        if begins {
            self.begin(now, key, path);
        } else if answers_only && may_move {
            // The name may come to mean another address while we wait for its SCCRQ.
            self.schedule_restart(now, key);
        }
    }

    /// Idle and local open: SCCRQ (C-110).
    fn begin(&mut self, now: Instant, key: TunnelKey, path: Path) {
        let Some((ccid, tie_breaker, nonce)) = self.connection_values(now, key) else {
            return self.schedule_restart(now, key);
        };
        let Some(tunnel) = self.tunnels.get_mut(&key) else { return };
        let mut connection = Connection::new(now, key, &tunnel.config, ccid, path);
        connection.initiator = true;
        connection.tie_breaker = Some(tie_breaker);
        if connection.auth.signs() {
            connection.auth.local_nonce = nonce.to_vec();
        }
        let (name, dialect) = (tunnel.config.name.clone(), connection.dialect);
        tunnel.main = Some(ccid);
        tunnel.counters.setups = tunnel.counters.setups.saturating_add(1);
        self.add_connection(connection);
        self.log(Event::BeginNewTunnel { tunnel: ccid, name, peer: path.remote.ip() });
        self.notify_tunnel(key, Happening::TunnelConnecting, String::new());
        let Some(mut request) = self.set_up(ccid) else { return };
        request.tie_breaker = Some(tie_breaker);
        request.dialect = dialect;
        self.enter(now, ccid, State::WaitCtlReply);
        self.log(Event::SendState { message: MessageType::SCCRQ, state: State::WaitCtlReply.log_name() });
        if !self.enqueue(now, ccid, &Message::Sccrq(request)) {
            self.delete(ccid);
            return self.schedule_restart(now, key);
        }
        self.arm_guard(now, ccid);
    }

    /// Random values for one more connection of a tunnel, if there may be one.
    pub(super) fn connection_values(
        &mut self,
        now: Instant,
        key: TunnelKey,
    ) -> Option<(Ccid, [u8; 8], [u8; 16])> {
        let limit = self.config.as_ref().map_or(0, |c| c.max_tunnels);
        // Counted only near the limit: there may be very many.
        let crowded = self.connections.len() >= limit;
        if crowded && self.connections.values().filter(|c| c.is_alive()).count() >= limit {
            let why = format!("max-tunnels is {limit}");
            self.log_detail(Event::CreateTunnelFailed {}, why.clone());
            self.fail_tunnel(now, key, Failure::new(why, "M-009"));
            return None;
        }
        let values = self.free_ccid().and_then(|ccid| Some((ccid, self.random()?, self.random()?)));
        if values.is_none() {
            let why = "no random octets for its id and nonce";
            self.log_detail(Event::CreateTunnelFailed {}, why);
            self.fail_tunnel(now, key, Failure::new(why, "M-001"));
        }
        values
    }

    /// Files a new connection and says so.
    pub(super) fn add_connection(&mut self, connection: Connection) {
        let ccid = connection.ccid;
        if let Some(tunnel) = self.tunnels.get_mut(&connection.tunnel) {
            tunnel.members.push(ccid);
        }
        self.connections.insert(ccid, connection);
        self.log(Event::CreateNewTunnel { tunnel: ccid });
        self.log(Event::TunnelCreated { id: ccid, hex: Hex(ccid.0) });
    }

    /// What our SCCRQ and SCCRP have in common.
    pub(super) fn set_up(&self, ccid: Ccid) -> Option<SetUp> {
        let connection = self.connections.get(&ccid)?;
        let tunnel = self.tunnels.get(&connection.tunnel)?;
        Some(SetUp {
            host_name: tunnel.config.local_hostname.clone(),
            router_id: tunnel.config.local_router_id.unwrap_or_default(),
            assigned_ccid: ccid,
            pw_capabilities: vec![PW_ETHERNET, PW_ETHERNET_VLAN],
            receive_window: Some(tunnel.config.receive_window),
            tie_breaker: None,
            nonce: connection
                .auth
                .signs()
                .then(|| connection.auth.local_nonce.clone())
                .filter(|n| !n.is_empty()),
            vendor_name: Some(VENDOR_NAME.to_vec()),
            dialect: connection.dialect,
        })
    }

    pub(super) fn enter(&mut self, now: Instant, ccid: Ccid, state: State) {
        let Some(connection) = self.connections.get_mut(&ccid) else { return };
        let half_open = |state: State| usize::from(state == State::WaitCtlConn);
        let others = self.half_open.saturating_sub(half_open(connection.state));
        self.half_open = others.saturating_add(half_open(state));
        connection.state = state;
        connection.since = now;
        let key = connection.tunnel;
        if let Some(tunnel) = self.tunnels.get_mut(&key) {
            tunnel.attempt.since = now;
        }
    }

    /// The peer may take this long to answer what it has acknowledged (C-128); RFC 3931 has no timer for it.
    pub(super) fn arm_guard(&mut self, now: Instant, ccid: Ccid) {
        let Some(connection) = self.connections.get_mut(&ccid) else { return };
        let Some(delay) = self.tunnels.get(&connection.tunnel).map(|t| t.config.setup_timeout) else {
            return;
        };
        let timer = self.wheel.arm(later(now, delay), Timer::Guard(ccid));
        if let Some(old) = connection.timers.guard.replace(timer) {
            self.wheel.cancel(old);
        }
    }

    pub(super) fn guard_due(&mut self, now: Instant, ccid: Ccid) {
        let Some(connection) = self.connections.get_mut(&ccid) else { return };
        connection.timers.guard = None;
        let unacknowledged = connection.channel.awaits_acknowledgement();
        match connection.state {
            // Retransmission still runs and ends by itself.
            State::WaitCtlReply | State::WaitCtlConn if unacknowledged => self.arm_guard(now, ccid),
            State::WaitCtlReply | State::WaitCtlConn => {
                let key = connection.tunnel;
                let waited = match connection.state {
                    State::WaitCtlReply => "the peer acknowledged our SCCRQ but sent no SCCRP",
                    _ => "the peer acknowledged our SCCRP but sent no SCCCN",
                };
                self.fail_connection(now, ccid, Failure::new(waited, ""));
                self.close(now, ccid, result(stopccn::FSM, None, "set-up timeout"));
                self.schedule_unless_served(now, key);
            }
            State::Linger => self.delete(ccid),
            State::Idle | State::Established | State::Stopping => {}
        }
    }

    /// Schedules the next attempt if no connection serves the tunnel. One that is scheduled already stays where it
    /// is: else forged SCCRQs whose connections come to nothing would put it off for ever (C-364).
    pub(super) fn schedule_unless_served(&mut self, now: Instant, key: TunnelKey) {
        let waits = |t: &Tunnel| t.main.is_none() && t.attempt.timer.is_none() && !t.preparing;
        if self.tunnels.get(&key).is_some_and(waits) {
            self.schedule_restart(now, key);
        }
    }

    /// The identity check of SCCRQ and SCCRP (C-081): `None` if Host Name and Router ID are those configured.
    pub(super) fn identity_failure(
        &mut self,
        key: TunnelKey,
        ccid: Ccid,
        set_up: &SetUp,
        message: MessageType,
    ) -> Option<Failure> {
        let tunnel = self.tunnels.get(&key)?;
        let failure = match (&tunnel.config.remote_hostname, &tunnel.config.remote_router_id) {
            (Some(Check::Exactly(name)), _) if *name != set_up.host_name => {
                let (expected, received) = (escape(name), escape(&set_up.host_name));
                Failure::compared(
                    "remote-hostname",
                    format!("\"{expected}\""),
                    format!("\"{received}\""),
                    "M-039",
                )
            }
            (_, Some(Check::Exactly(id))) if *id != set_up.router_id => {
                let [expected, received] =
                    [*id, set_up.router_id].map(|id| std::net::Ipv4Addr::from(id).to_string());
                // Cisco IOS in its default mode; it needs `remote-router-id any`.
                let received = if set_up.dialect.ietf { received } else { "none".to_owned() };
                Failure::compared("remote-router-id", expected, received, "M-046")
            }
            (None | Some(Check::Any | Check::Exactly(_)), None | Some(Check::Any | Check::Exactly(_))) => {
                return None
            }
        };
        let event = match failure.message {
            "M-039" => Event::HostnameMismatch { tunnel: ccid, message },
            _ => Event::RouterIdMismatch { tunnel: ccid, message },
        };
        let name = tunnel.config.name.clone();
        self.log_detail(event, format!("tunnel {name}: {failure}"));
        Some(failure)
    }

    /// Wait-ctl-reply and SCCRP (C-115, C-116).
    pub(super) fn accept_reply(&mut self, now: Instant, ccid: Ccid, set_up: &SetUp) {
        let Some(connection) = self.connections.get_mut(&ccid) else { return };
        let key = connection.tunnel;
        let Some(compatibility) = self.tunnels.get(&key).map(|t| t.config.compatibility) else { return };
        connection.take_peer(set_up, compatibility);
        if let Some(failure) = self.identity_failure(key, ccid, set_up, MessageType::SCCRP) {
            let text = format!("{} does not match", failure.check);
            self.fail_tunnel(now, key, failure);
            self.close(now, ccid, result(stopccn::NOT_AUTHORIZED, None, &text));
            return self.schedule_restart(now, key);
        }
        self.log(Event::ReceiveState { message: MessageType::SCCRP, state: State::Established.log_name() });
        self.enter(now, ccid, State::Established);
        self.log(Event::SendState { message: MessageType::SCCCN, state: State::Established.log_name() });
        if !self.enqueue(now, ccid, &Message::Scccn) {
            return self.lose(now, ccid, Failure::new("the SCCCN could not be built", "M-011"));
        }
        self.established(now, ccid);
    }

    /// Wait-ctl-conn and SCCCN (C-121).
    pub(super) fn accept_connected(&mut self, now: Instant, ccid: Ccid) {
        self.log(Event::ReceiveState { message: MessageType::SCCCN, state: State::Established.log_name() });
        self.enter(now, ccid, State::Established);
        self.established(now, ccid);
    }

    /// A connection is established: it serves its tunnel from now on, whatever did before is cleared, and the
    /// sessions begin.
    fn established(&mut self, now: Instant, ccid: Ccid) {
        let Some(connection) = self.connections.get_mut(&ccid) else { return };
        let (key, initiator) = (connection.tunnel, connection.initiator);
        if let Some(timer) = connection.timers.guard.take() {
            self.wheel.cancel(timer);
        }
        let Some(tunnel) = self.tunnels.get_mut(&key) else { return };
        let others: Vec<Ccid> = tunnel.members.iter().copied().filter(|m| *m != ccid).collect();
        for other in others {
            self.replace(now, other);
        }
        let Some(tunnel) = self.tunnels.get_mut(&key) else { return };
        tunnel.main = Some(ccid);
        tunnel.counters.established = tunnel.counters.established.saturating_add(1);
        tunnel.attempt.at = None;
        if let Some(timer) = tunnel.attempt.timer.take() {
            self.wheel.cancel(timer);
        }
        self.notify_tunnel(key, Happening::TunnelUp, String::new());
        self.arm_hello(now, ccid);
        // The initiator's ICRQs go out at once; the responder gives them a second, else the two cross at nearly
        // every connect and a tie must be broken.
        let delay = if initiator { Duration::ZERO } else { super::RESPONDER_DELAY };
        self.start_sessions(now, key, delay);
    }

    /// The key of the tunnel with this name.
    pub(super) fn key_of(&self, name: &str) -> Option<TunnelKey> {
        self.names.get(name).copied()
    }

    /// What the peer of a connection told about itself is forgotten with it; for the status.
    pub(super) fn peer_of(&self, ccid: Option<Ccid>) -> Option<&Peer> {
        let connection = self.connections.get(&ccid?)?;
        (connection.remote_ccid != Ccid(0)).then_some(&connection.peer)
    }
}
