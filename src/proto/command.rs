//! The administrator's commands, and the orderly end.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::connection::State;
use super::ending::result;
use super::tunnel::{Tunnel, TunnelKey};
use super::{CommandError, Engine};
use crate::config::alike;
use crate::config::model::Remote;
use crate::log::Event;
use crate::wire::code::{cdn, stopccn};
use crate::wire::{Ccid, SessionId};

/// The place in the product's source that the messages about `clear` name.
const FUNC: &str = "admin_clear";

const NOT_UP: &str = "but not up at present; `l2tpctl explain tunnel";

impl Engine {
    /// A result code of 0 is reserved: no Result Code AVP can be made of it (C-305).
    fn check_code(&mut self, code: Option<u16>) -> Result<(), CommandError> {
        if code == Some(0) {
            self.log(Event::ResultCodeNotSpecified {});
            return Err(CommandError::NoResultCode);
        }
        Ok(())
    }

    /// `clear tunnel`: StopCCN with `code` (default 1). The tunnel is set up again at once.
    pub fn clear_tunnel(&mut self, now: Instant, name: &str, code: Option<u16>) -> Result<(), CommandError> {
        self.check_code(code)?;
        let key = self.key_of(name).ok_or(CommandError::NotFound)?;
        self.clear_key(now, key, code)
    }

    fn clear_key(&mut self, now: Instant, key: TunnelKey, code: Option<u16>) -> Result<(), CommandError> {
        let alive = self.alive_members(key);
        if alive.is_empty() {
            return Err(CommandError::NotUp);
        }
        for ccid in alive {
            if let Some(peer) = self.connections.get(&ccid).map(|c| c.path.remote.ip()) {
                self.log(Event::CleanupTunnelPeer { tunnel: ccid, func: FUNC, peer });
            }
            self.close(
                now,
                ccid,
                result(code.unwrap_or(stopccn::GENERAL), None, "cleared by the administrator"),
            );
        }
        // The administrator waits for it; nothing is known against the peer.
        self.schedule_tunnel(now, key, Duration::ZERO);
        Ok(())
    }

    fn alive_members(&self, key: TunnelKey) -> Vec<Ccid> {
        let Some(tunnel) = self.tunnels.get(&key) else { return Vec::new() };
        let alive = |ccid: &Ccid| self.connections.get(ccid).is_some_and(|c| c.is_alive());
        tunnel.members.iter().copied().filter(alive).collect()
    }

    /// `clear peer`: as `clear_tunnel`, for the tunnels of an address.
    pub fn clear_peer(&mut self, now: Instant, peer: IpAddr, code: Option<u16>) -> Result<(), CommandError> {
        self.check_code(code)?;
        let mut keys: Vec<TunnelKey> = self
            .connections
            .values()
            .filter(|c| c.is_alive() && c.path.remote.ip() == peer)
            .map(|c| c.tunnel)
            .collect();
        keys.sort_unstable();
        keys.dedup();
        if keys.is_empty() {
            let why = self.why_no_peer(peer);
            self.log_detail(Event::NoSuchPeer { func: FUNC, peer }, &why);
            return Err(CommandError::NothingToClear(why));
        }
        for key in keys {
            self.clear_key(now, key, code)?;
        }
        Ok(())
    }

    /// `clear session`: CDN with `code` (default 3). The session is set up again at once.
    pub fn clear_session(
        &mut self,
        now: Instant,
        interface: &str,
        code: Option<u16>,
    ) -> Result<(), CommandError> {
        self.check_code(code)?;
        let found = self.sessions.values().find(|s| s.interface == interface);
        let Some((id, key, slot, connection)) = found.map(|s| (s.local, s.tunnel, s.slot, s.connection))
        else {
            let why = self.why_no_session(interface);
            let interface = crate::log::escape(interface.as_bytes());
            self.log_detail(Event::NoSuchInterface { func: FUNC, interface }, &why);
            return Err(CommandError::NothingToClear(why));
        };
        let tunnel = connection.unwrap_or(Ccid(0));
        self.log(Event::CleanupCall { tunnel, func: FUNC, interface: interface.to_owned() });
        match connection {
            Some(_) => {
                let code = result(code.unwrap_or(cdn::ADMIN), None, "cleared by the administrator");
                self.clear_session_with(now, id, code);
            }
            None => self.drop_session(now, id, "cleared by the administrator"),
        }
        self.schedule_slot(now, key, slot, Duration::ZERO);
        Ok(())
    }

    /// Why there is nothing to clear with this peer.
    fn why_no_peer(&self, peer: IpAddr) -> String {
        let is_for = |tunnel: &Tunnel| {
            tunnel.config.remote == Some(Remote::Address(peer))
                || tunnel.path.is_some_and(|path| path.remote.ip() == peer)
        };
        match self.tunnels.values().find(|tunnel| is_for(tunnel)) {
            Some(tunnel) => {
                format!("tunnel {0} is configured for it, {NOT_UP} {0}` tells why", tunnel.config.name)
            }
            None => "no tunnel is configured for this address".to_owned(),
        }
    }

    /// Why there is no session of this name to clear.
    fn why_no_session(&self, interface: &str) -> String {
        let tunnels = || self.order.iter().filter_map(|key| self.tunnels.get(key));
        if let Some(tunnel) = tunnels().find(|tunnel| names(tunnel).any(|name| name == interface)) {
            return format!("it is configured, {NOT_UP} {}` tells why", tunnel.config.name);
        }
        let unknown = "no session of this name is configured";
        match alike::nearest(interface.as_bytes(), tunnels().flat_map(names)) {
            Some(name) => format!("{unknown}; did you mean {name}?"),
            None => unknown.to_owned(),
        }
    }

    /// `clear all`: every tunnel that is up or coming up.
    pub fn clear_all(&mut self, now: Instant, code: Option<u16>) -> Result<(), CommandError> {
        self.check_code(code)?;
        for key in self.order.clone() {
            let _ = self.clear_key(now, key, code);
        }
        Ok(())
    }

    /// `start`: enables a tunnel until the next reload.
    pub fn start(&mut self, now: Instant, name: &str) -> Result<(), CommandError> {
        let key = self.key_of(name).ok_or(CommandError::NotFound)?;
        let Some(tunnel) = self.tunnels.get_mut(&key) else { return Err(CommandError::NotFound) };
        tunnel.stopped = false;
        tunnel.started = true;
        if tunnel.main.is_none() && !tunnel.preparing {
            self.schedule_tunnel(now, key, Duration::ZERO);
        }
        Ok(())
    }

    /// `stop`: disables a tunnel until the next reload.
    pub fn stop(&mut self, now: Instant, name: &str) -> Result<(), CommandError> {
        let key = self.key_of(name).ok_or(CommandError::NotFound)?;
        let Some(tunnel) = self.tunnels.get_mut(&key) else { return Err(CommandError::NotFound) };
        tunnel.stopped = true;
        tunnel.started = false;
        self.close_tunnel(now, key, stopccn::SHUTDOWN, "stopped by the administrator");
        Ok(())
    }

    /// Ends everything that a tunnel has: its connections with a StopCCN, its manual sessions without a word.
    pub(super) fn close_tunnel(&mut self, now: Instant, key: TunnelKey, code: u16, why: &str) {
        for ccid in self.alive_members(key) {
            self.close(now, ccid, result(code, None, why));
        }
        let manual: Vec<SessionId> = self
            .sessions
            .values()
            .filter(|s| s.tunnel == key && s.connection.is_none())
            .map(|s| s.local)
            .collect();
        for id in manual {
            self.drop_session(now, id, why);
        }
        let Some(tunnel) = self.tunnels.get_mut(&key) else { return };
        tunnel.attempt.at = None;
        let slots = tunnel.slots.iter_mut().map(|s| &mut s.attempt);
        let timers: Vec<_> =
            std::iter::once(&mut tunnel.attempt).chain(slots).filter_map(|a| a.timer.take()).collect();
        for timer in timers {
            self.wheel.cancel(timer);
        }
    }

    /// Orderly end: StopCCN to every peer. [`is_idle`](Engine::is_idle) tells when all have acknowledged it.
    pub fn shutdown(&mut self, now: Instant) {
        self.shutting_down = true;
        for key in self.order.clone() {
            self.close_tunnel(now, key, stopccn::SHUTDOWN, "shutting down");
        }
    }

    /// Whether a StopCCN of ours waits for its acknowledgement.
    pub fn is_stopping(&self) -> bool {
        self.connections.values().any(|c| c.state == State::Stopping)
    }

    /// Whether no message waits for an acknowledgement any more. Lingering connections only answer.
    pub fn is_idle(&self) -> bool {
        self.connections.values().all(|c| c.state == State::Linger)
    }
}

/// The interfaces of a tunnel's sessions.
fn names(tunnel: &Tunnel) -> impl Iterator<Item = &str> {
    tunnel.slots.iter().map(|slot| slot.config.interface.as_str())
}
