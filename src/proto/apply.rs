//! Taking over a configuration: what did not change is not touched.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::ending::result;
use super::tunnel::{Slot, SlotKey, Tunnel, TunnelKey};
use super::Engine;
use crate::config::diff::{diff, Change};
use crate::config::model::Remote;
use crate::config::{model, Config};
use crate::wire::code::{cdn, stopccn};

impl Engine {
    /// Takes over a configuration, the first or another one. Tunnels and sessions that are the same in both are
    /// not touched; what can change while it is up does, the rest is set up anew. What the administrator started
    /// or stopped by hand is as the configuration says again.
    pub fn apply(&mut self, now: Instant, config: &Config) {
        let changes = match &self.config {
            Some(old) => diff(old, config),
            None => config.tunnels.iter().map(|t| Change::TunnelAdded { tunnel: t.name.clone() }).collect(),
        };
        self.config = Some(config.clone());
        let blocks = config.tunnels.iter().map(|t| (t.name.as_str(), t)).collect();
        for change in &changes {
            self.apply_change(now, &blocks, change);
        }
        self.index(config);
        self.undo_commands(now);
    }

    fn find_key(&self, name: &str) -> Option<TunnelKey> {
        self.names.get(name).copied()
    }

    /// What finds tunnels without looking at all of them.
    fn index(&mut self, config: &Config) {
        self.order = config.tunnels.iter().filter_map(|t| self.find_key(&t.name)).collect();
        self.addressed.clear();
        self.unaddressed.clear();
        for key in &self.order {
            match self.tunnels.get(key).and_then(|t| t.config.remote.as_ref()) {
                Some(Remote::Address(address)) => self.addressed.entry(*address).or_default().push(*key),
                Some(Remote::Any | Remote::Name(_)) | None => self.unaddressed.push(*key),
            }
        }
    }

    fn apply_change(&mut self, now: Instant, blocks: &BTreeMap<&str, &model::Tunnel>, change: &Change) {
        let tunnel_of = |name: &str| blocks.get(name).copied();
        match change {
            Change::Global { .. } => {}
            Change::TunnelRemoved { tunnel } => {
                if let Some(key) = self.find_key(tunnel) {
                    self.close_tunnel(now, key, stopccn::SHUTDOWN, "removed from the configuration");
                    self.tunnels.remove(&key);
                    self.names.remove(tunnel);
                }
            }
            Change::TunnelAdded { tunnel } => {
                if let Some(block) = tunnel_of(tunnel) {
                    self.add_tunnel(now, block);
                }
            }
            Change::TunnelRestart { tunnel, .. } => {
                if let (Some(key), Some(block)) = (self.find_key(tunnel), tunnel_of(tunnel)) {
                    self.close_tunnel(now, key, stopccn::GENERAL, "the configuration changed");
                    self.tunnels.remove(&key);
                    self.add_tunnel(now, block);
                }
            }
            Change::TunnelLive { tunnel, .. } => {
                if let (Some(key), Some(block)) = (self.find_key(tunnel), tunnel_of(tunnel)) {
                    self.update_tunnel(now, key, block);
                }
            }
            Change::SessionRemoved { tunnel, interface } => self.remove_slot(now, tunnel, interface),
            Change::SessionAdded { tunnel, interface } => self.add_slot(now, tunnel_of(tunnel), interface),
            Change::SessionRestart { tunnel, interface, .. } => {
                self.remove_slot(now, tunnel, interface);
                self.add_slot(now, tunnel_of(tunnel), interface);
            }
            Change::SessionLive { tunnel, interface, .. } => {
                let block = tunnel_of(tunnel).and_then(|t| session_of(t, interface));
                let slots =
                    self.find_key(tunnel).and_then(|key| self.tunnels.get_mut(&key)).map(|t| &mut t.slots);
                let slot = slots.and_then(|s| s.iter_mut().find(|s| s.config.interface == *interface));
                if let (Some(block), Some(slot)) = (block, slot) {
                    slot.config = block.clone();
                }
            }
        }
    }

    fn fresh_key(&mut self) -> u32 {
        self.next_key = self.next_key.wrapping_add(1);
        self.next_key
    }

    fn add_tunnel(&mut self, now: Instant, block: &model::Tunnel) {
        let key = TunnelKey(self.fresh_key());
        let mut tunnel = Tunnel::new(now, block.clone());
        for session in &block.sessions {
            tunnel.slots.push(Slot::new(now, SlotKey(self.fresh_key()), session.clone()));
        }
        self.tunnels.insert(key, tunnel);
        self.names.insert(block.name.clone(), key);
        self.schedule_tunnel(now, key, Duration::ZERO);
    }

    /// Settings that are used from now on; timers that run are armed with them again.
    fn update_tunnel(&mut self, now: Instant, key: TunnelKey, block: &model::Tunnel) {
        let Some(tunnel) = self.tunnels.get_mut(&key) else { return };
        let hello_changed = tunnel.config.hello_interval != block.hello_interval;
        let members = tunnel.members.clone();
        tunnel.config = block.clone();
        for ccid in members {
            let Some(connection) = self.connections.get_mut(&ccid) else { continue };
            connection.update(block);
            if hello_changed && connection.state == super::connection::State::Established {
                if let Some(timer) = connection.timers.hello.take() {
                    self.wheel.cancel(timer);
                }
                self.arm_hello(now, ccid);
            }
        }
    }

    fn remove_slot(&mut self, now: Instant, tunnel: &str, interface: &str) {
        let Some(key) = self.find_key(tunnel) else { return };
        let Some(slots) = self.tunnels.get(&key).map(|t| &t.slots) else { return };
        let Some((slot, session)) =
            slots.iter().find(|s| s.config.interface == interface).map(|s| (s.key, s.session))
        else {
            return;
        };
        if let Some(id) = session {
            match self.sessions.get(&id).and_then(|s| s.connection) {
                Some(_) => {
                    self.clear_session_with(now, id, result(cdn::ADMIN, None, "the configuration changed"));
                }
                None => self.drop_session(now, id, "the configuration changed"),
            }
        }
        let Some(tunnel) = self.tunnels.get_mut(&key) else { return };
        let timer = tunnel.slot_mut(slot).and_then(|s| s.attempt.timer.take());
        tunnel.slots.retain(|s| s.key != slot);
        if let Some(timer) = timer {
            self.wheel.cancel(timer);
        }
    }

    fn add_slot(&mut self, now: Instant, block: Option<&model::Tunnel>, interface: &str) {
        let Some(block) = block else { return };
        let (Some(key), Some(session)) = (self.find_key(&block.name), session_of(block, interface)) else {
            return;
        };
        let slot = SlotKey(self.fresh_key());
        let Some(tunnel) = self.tunnels.get_mut(&key) else { return };
        tunnel.slots.push(Slot::new(now, slot, session.clone()));
        let position = |s: &Slot| block.sessions.iter().position(|b| b.interface == s.config.interface);
        tunnel.slots.sort_by_key(position);
        // A waiting tunnel begins it with the others; C-124: an established one at once.
        if tunnel.main.is_some() || session.manual.is_some() {
            self.schedule_slot(now, key, slot, Duration::ZERO);
        }
    }

    /// `start` and `stop` hold until the next reload.
    fn undo_commands(&mut self, now: Instant) {
        for key in self.order.clone() {
            let Some(tunnel) = self.tunnels.get_mut(&key) else { continue };
            let (stopped, started) = (tunnel.stopped, tunnel.started);
            tunnel.stopped = false;
            tunnel.started = false;
            let disabled = tunnel.config.disabled;
            if stopped && !disabled {
                self.schedule_tunnel(now, key, Duration::ZERO);
            } else if started && disabled {
                self.close_tunnel(now, key, stopccn::SHUTDOWN, "disabled by the configuration");
            }
        }
    }
}

fn session_of<'a>(tunnel: &'a model::Tunnel, interface: &str) -> Option<&'a model::Session> {
    tunnel.sessions.iter().find(|s| s.interface == interface)
}
