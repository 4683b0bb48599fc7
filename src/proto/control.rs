//! Set-up and end of control connections (RFC 3931 3.3, 7.2), and when the next attempt is made.

use std::time::{Duration, Instant};

use super::action::{Action, Happening, Path};
use super::connection::{Connection, Peer, State};
use super::send::later;
use super::snapshot::Failure;
use super::tunnel::TunnelKey;
use super::{Engine, Timer};
use crate::config::model::{Check, Remote, Role};
use crate::log::catalogue::Hex;
use crate::log::{escape, Event};
use crate::wire::code::{self, stopccn};
use crate::wire::message::{ResultCode, SetUp, StopCcn};
use crate::wire::{Ccid, Message, MessageType, PW_ETHERNET, PW_ETHERNET_VLAN};

/// What our SCCRQ and SCCRP say in the Vendor Name AVP.
const VENDOR_NAME: &[u8] = b"l2tpd";

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
        if tunnel.members.iter().any(answering) {
            return self.schedule_restart(now, key);
        }
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
        let alive = self.connections.values().filter(|c| c.is_alive()).count();
        if alive >= limit {
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
                self.fail_tunnel(now, key, Failure::new(waited, ""));
                self.close(now, ccid, result(stopccn::FSM, None, "set-up timeout"));
                self.schedule_unless_served(now, key);
            }
            State::Linger => self.delete(ccid),
            State::Idle | State::Established | State::Stopping => {}
        }
    }

    /// Schedules the next attempt if no connection serves the tunnel.
    pub(super) fn schedule_unless_served(&mut self, now: Instant, key: TunnelKey) {
        if self.tunnels.get(&key).is_some_and(|t| t.main.is_none()) {
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

    /// A connection of the same tunnel gives way to one that has just been established. The peer does not know an
    /// old established one any more (it came back with a new id), so nothing is sent.
    fn replace(&mut self, now: Instant, ccid: Ccid) {
        let Some(connection) = self.connections.get(&ccid) else { return };
        let name = connection.name.clone();
        match connection.state {
            State::Established => {
                self.clear_sessions(now, ccid, "the peer has set up a new control connection");
                self.log(Event::CleanupTunnel { tunnel: ccid, name });
                self.delete(ccid);
            }
            State::WaitCtlReply => self.linger(now, ccid),
            State::Idle | State::WaitCtlConn => self.delete(ccid),
            State::Stopping | State::Linger => {}
        }
    }

    /// Nothing is sent any more but acknowledgements of what the peer repeats, until the linger time is over (C-062).
    pub(super) fn linger(&mut self, now: Instant, ccid: Ccid) {
        self.enter(now, ccid, State::Linger);
        self.stop_timers(ccid);
        let Some(connection) = self.connections.get_mut(&ccid) else { return };
        connection.channel.drop_all();
        connection.timers.guard = Some(self.wheel.arm(later(now, connection.linger), Timer::Guard(ccid)));
        self.leave_service(ccid);
    }

    /// The connection does not serve its tunnel any more.
    fn leave_service(&mut self, ccid: Ccid) {
        let Some(key) = self.connections.get(&ccid).map(|c| c.tunnel) else { return };
        if let Some(tunnel) = self.tunnels.get_mut(&key) {
            if tunnel.main == Some(ccid) {
                tunnel.main = None;
            }
        }
    }

    fn stop_timers(&mut self, ccid: Ccid) {
        let Some(connection) = self.connections.get_mut(&ccid) else { return };
        let timers = std::mem::take(&mut connection.timers);
        for timer in [timers.retransmit, timers.hello, timers.acknowledge, timers.guard].into_iter().flatten()
        {
            self.wheel.cancel(timer);
        }
    }

    /// Frees a connection (its id may be used again).
    pub(super) fn delete(&mut self, ccid: Ccid) {
        self.stop_timers(ccid);
        self.leave_service(ccid);
        let Some(connection) = self.connections.remove(&ccid) else { return };
        if let Some(tunnel) = self.tunnels.get_mut(&connection.tunnel) {
            tunnel.members.retain(|m| *m != ccid);
        }
        self.log(Event::DeleteTunnel { tunnel: ccid });
    }

    /// Ends a connection with a StopCCN (C-102): its sessions are cleared silently (C-107), it answers until the
    /// StopCCN is acknowledged or its retransmissions are used up (C-061).
    pub(super) fn close(&mut self, now: Instant, ccid: Ccid, code: ResultCode) {
        let Some(connection) = self.connections.get(&ccid) else { return };
        let (state, key) = (connection.state, connection.tunnel);
        let reason = format!("we closed it: {}", code::stopccn_text(code.result));
        match state {
            State::Stopping | State::Linger => return,
            State::Established => {
                self.clear_sessions(now, ccid, &reason);
                self.notify_tunnel(key, Happening::TunnelDown, reason);
            }
            State::Idle | State::WaitCtlReply | State::WaitCtlConn => {}
        }
        self.log(Event::SendState { message: MessageType::STOPCCN, state: State::Stopping.log_name() });
        let message = Message::StopCcn(StopCcn { result: Some(code), assigned_ccid: Some(ccid) });
        let Some(connection) = self.connections.get_mut(&ccid) else { return };
        if connection.remote_ccid == Ccid(0) {
            // C-105: no SCCRP yet. The peer finds it by our id in the message; nobody could acknowledge it.
            let (path, auth, numbers) =
                (connection.path, connection.auth.clone(), (connection.channel.ns(), 0));
            let name = connection.name.clone();
            self.log(Event::SendControlPacket { tunnel: ccid, count: 1, message: MessageType::STOPCCN });
            self.send_once(path, Ccid(0), numbers, &auth, &message);
            self.log(Event::CleanupTunnel { tunnel: ccid, name });
            return self.delete(ccid);
        }
        connection.channel.drop_unsent();
        for timer in [connection.timers.hello.take(), connection.timers.guard.take()].into_iter().flatten() {
            self.wheel.cancel(timer);
        }
        self.enter(now, ccid, State::Stopping);
        self.leave_service(ccid);
        if !self.enqueue(now, ccid, &message) {
            self.delete(ccid);
        }
    }

    /// Everything that a stopping connection sent is acknowledged.
    pub(super) fn stopped(&mut self, ccid: Ccid) {
        let Some(connection) = self.connections.get(&ccid) else { return };
        let name = connection.name.clone();
        self.log(Event::CleanupTunnel { tunnel: ccid, name });
        self.delete(ccid);
    }

    /// Any state and StopCCN (C-103, C-127): acknowledge, clear the sessions silently, linger.
    pub(super) fn peer_stopped(&mut self, now: Instant, ccid: Ccid, stop: &StopCcn) {
        let Some(connection) = self.connections.get_mut(&ccid) else { return };
        let (state, key, name) = (connection.state, connection.tunnel, connection.name.clone());
        if let (Ccid(0), Some(assigned)) = (connection.remote_ccid, stop.assigned_ccid) {
            connection.remote_ccid = assigned; // to acknowledge it there
        }
        let reason = self.peer_result(ccid, stop.result.as_ref(), code::stopccn_in_range, code::stopccn_text);
        self.log(Event::ReceiveState { message: MessageType::STOPCCN, state: State::Linger.log_name() });
        match state {
            State::Linger => return,
            State::Stopping => self.log(Event::CleanupTunnel { tunnel: ccid, name }),
            State::Established => {
                self.clear_sessions(now, ccid, &reason);
                self.notify_tunnel(key, Happening::TunnelDown, reason.clone());
                self.log(Event::CleanupTunnel { tunnel: ccid, name });
            }
            State::Idle | State::WaitCtlReply | State::WaitCtlConn => {
                self.log(Event::CleanupTunnel { tunnel: ccid, name });
                self.fail_tunnel(now, key, Failure::new(reason.clone(), ""));
            }
        }
        if state == State::Established {
            if let Some(tunnel) = self.tunnels.get_mut(&key) {
                tunnel.attempt.failure = Some((Failure::new(reason, ""), now));
            }
        }
        self.linger(now, ccid);
        self.schedule_unless_served(now, key);
    }

    /// A result code of the peer in words; one out of range is logged and otherwise ignored (C-303).
    pub(super) fn peer_result(
        &mut self,
        ccid: Ccid,
        code: Option<&ResultCode>,
        in_range: fn(u16, u16) -> bool,
        text: fn(u16) -> &'static str,
    ) -> String {
        let Some(code) = code else { return "the peer closed it without a result code".to_owned() };
        let error = code.error.unwrap_or(0);
        if !in_range(code.result, error) {
            self.log(Event::ResultCodeOutOfRange { tunnel: ccid, result: code.result, error });
        }
        let mut reason = format!("the peer closed it: result {} ({})", code.result, text(code.result));
        if error != 0 {
            reason.push_str(&format!(", error {error} ({})", code::error_text(error)));
        }
        if let Some(message) = code.message.as_deref().filter(|m| !m.is_empty()) {
            reason.push_str(&format!(", \"{}\"", escape(message)));
        }
        reason
    }

    /// A message was not acknowledged although it was sent as often as `retry` allows (C-057).
    pub(super) fn retries_used_up(&mut self, now: Instant, ccid: Ccid) {
        let Some(connection) = self.connections.get(&ccid) else { return };
        if connection.state == State::Stopping {
            return self.stopped(ccid);
        }
        self.log(Event::ControlSendFailedTunnel { tunnel: ccid });
        self.log(Event::ControlSendFailed {});
        self.count(ccid, |c| c.lost = c.lost.saturating_add(1));
        self.lose(now, ccid, Failure::new("the peer does not answer", "M-015"));
    }

    /// Clears a connection without a word to the peer, which cannot be reached (C-059), and tries again later.
    pub(super) fn lose(&mut self, now: Instant, ccid: Ccid, failure: Failure) {
        let Some(connection) = self.connections.get(&ccid) else { return };
        let (key, name, state) = (connection.tunnel, connection.name.clone(), connection.state);
        let reason = failure.to_string();
        if state == State::Established {
            self.clear_sessions(now, ccid, &reason);
            self.notify_tunnel(key, Happening::TunnelDown, reason);
            if let Some(tunnel) = self.tunnels.get_mut(&key) {
                tunnel.attempt.failure = Some((failure, now));
            }
        } else {
            self.fail_tunnel(now, key, failure);
        }
        self.log(Event::CleanupTunnel { tunnel: ccid, name });
        self.delete(ccid);
        self.schedule_unless_served(now, key);
    }

    /// Arms the HELLO timer, a little earlier than configured: connections must not act in step (C-076).
    pub(super) fn arm_hello(&mut self, now: Instant, ccid: Ccid) {
        let Some(key) = self.connections.get(&ccid).map(|c| c.tunnel) else { return };
        let Some(interval) = self.tunnels.get(&key).and_then(|t| t.config.hello_interval) else { return };
        let early = self.jitter(interval.mul_f32(0.05));
        let at = later(now, interval.saturating_sub(early));
        let Some(connection) = self.connections.get_mut(&ccid) else { return };
        if let Some(old) = connection.timers.hello.replace(self.wheel.arm(at, Timer::Hello(ccid))) {
            self.wheel.cancel(old);
        }
    }

    /// The HELLO timer fired. What was heard meanwhile (control or data, C-074) only left a stamp, which is looked
    /// at now; one HELLO at a time.
    pub(super) fn hello_due(
        &mut self,
        now: Instant,
        ccid: Ccid,
        heard: &dyn Fn(crate::wire::SessionId) -> Option<Instant>,
    ) {
        let Some(connection) = self.connections.get_mut(&ccid) else { return };
        connection.timers.hello = None;
        if connection.state != State::Established {
            return;
        }
        let data = connection.sessions.iter().filter_map(|id| heard(*id)).max();
        let last = data.map_or(connection.heard, |d| d.max(connection.heard));
        let Some(interval) = self.tunnels.get(&connection.tunnel).and_then(|t| t.config.hello_interval)
        else {
            return;
        };
        let quiet = now.saturating_duration_since(last);
        // The timer ran a little short on purpose; so does this.
        let due = interval.mul_f32(11.0 / 12.0);
        if quiet < due {
            return self.arm_hello(last.min(now), ccid);
        }
        if connection.channel.is_empty() {
            self.log(Event::Send { tunnel: ccid, message: MessageType::HELLO });
            if !self.enqueue(now, ccid, &Message::Hello) {
                return self.lose(now, ccid, Failure::new("the HELLO could not be built", "M-011"));
            }
        }
        self.arm_hello(now, ccid);
    }

    /// The key of the tunnel with this name.
    pub(super) fn key_of(&self, name: &str) -> Option<TunnelKey> {
        self.order.iter().copied().find(|k| self.tunnels.get(k).is_some_and(|t| t.config.name == name))
    }

    /// What the peer of a connection told about itself is forgotten with it; for the status.
    pub(super) fn peer_of(&self, ccid: Option<Ccid>) -> Option<&Peer> {
        let connection = self.connections.get(&ccid?)?;
        (connection.remote_ccid != Ccid(0)).then_some(&connection.peer)
    }
}

/// A Result Code of ours, with a text for the administrator at the other end.
pub(super) fn result(result: u16, error: Option<u16>, text: &str) -> ResultCode {
    // An Error Message needs an Error Code before it; 0 is "no general error".
    let message = (!text.is_empty()).then(|| text.as_bytes().to_vec());
    let error = error.or(message.as_ref().map(|_| 0));
    ResultCode { result, error, message }
}
