//! The table of tunnels: found by name, by the peer's address, by key; how it follows the configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::action::Path;
use super::context::{Context, TunnelKey};
use super::obstacle::obstacle;
use super::receive;
use super::tunnel::Tunnel;
use crate::config::diff::{diff, Change};
use crate::config::model::{self, Config, Remote};
use crate::wire::code::stopccn;
use crate::wire::Ccid;

/// All tunnels.
#[derive(Default)]
pub struct Tunnels {
    tunnels: BTreeMap<TunnelKey, Tunnel>,
    /// The order of the configuration.
    order: Vec<TunnelKey>,
    by_name: BTreeMap<String, TunnelKey>,
    by_interface: BTreeMap<String, TunnelKey>,
    /// In that order: the tunnels that name an address, by it, and those that do not.
    by_address: BTreeMap<IpAddr, Vec<TunnelKey>>,
    unaddressed: Vec<TunnelKey>,
    next_key: u32,
    edition: u64,
    config: Option<Config>,
}

impl Tunnels {
    /// The tunnel with this key.
    pub fn get(&self, key: TunnelKey) -> Option<&Tunnel> {
        self.tunnels.get(&key)
    }

    /// The tunnel with this key.
    pub fn get_mut(&mut self, key: TunnelKey) -> Option<&mut Tunnel> {
        self.tunnels.get_mut(&key)
    }

    /// The configured tunnel with this name.
    pub fn named(&mut self, name: &str) -> Option<&mut Tunnel> {
        self.tunnels.get_mut(self.by_name.get(name)?)
    }

    /// The configured tunnel that has the session with this interface.
    pub fn with_interface(&self, interface: &str) -> Option<&Tunnel> {
        self.tunnels.get(self.by_interface.get(interface)?)
    }

    /// The same.
    pub fn with_interface_mut(&mut self, interface: &str) -> Option<&mut Tunnel> {
        self.tunnels.get_mut(self.by_interface.get(interface)?)
    }

    /// Another number after each change of the configuration.
    pub fn edition(&self) -> u64 {
        self.edition
    }

    /// How many tunnels are configured.
    pub fn count(&self) -> usize {
        self.order.len()
    }

    /// The configured tunnel at this place of the file, counted from 0.
    pub fn at(&self, place: usize) -> Option<&Tunnel> {
        self.tunnels.get(self.order.get(place)?)
    }

    /// The place of the configured tunnel with this name.
    pub fn place_of(&self, name: &str) -> Option<usize> {
        Some(self.tunnels.get(self.by_name.get(name)?)?.place)
    }

    /// The configured tunnels, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Tunnel> {
        self.order.iter().filter_map(|key| self.tunnels.get(key))
    }

    /// Their keys.
    pub fn keys(&self) -> Vec<TunnelKey> {
        self.order.clone()
    }

    /// Those that are configured and those that only end.
    pub fn all(&self) -> impl Iterator<Item = &Tunnel> {
        self.tunnels.values()
    }

    /// The same.
    pub fn all_mut(&mut self) -> impl Iterator<Item = &mut Tunnel> {
        self.tunnels.values_mut()
    }

    /// Forgets a tunnel that is not configured any more, with its last connection.
    pub fn release(&mut self, key: TunnelKey) {
        if self.get(key).is_some_and(Tunnel::is_over) {
            self.tunnels.remove(&key);
        }
    }

    /// The tunnels whose peer may have this address.
    pub fn near(&self, address: IpAddr) -> impl Iterator<Item = (TunnelKey, &Tunnel)> {
        let keys = self.by_address.get(&address).into_iter().flatten().chain(&self.unaddressed);
        keys.filter_map(|key| Some((*key, self.tunnels.get(key)?)))
    }

    /// The tunnels that an SCCRQ on this path may be for; those that name its source address come first.
    pub fn candidates(&self, path: Path) -> Vec<TunnelKey> {
        let fits = |tunnel: &Tunnel, any: bool| {
            let is_any = tunnel.config.remote == Some(Remote::Any);
            let wanted = if any { is_any } else { tunnel.names(path.remote.ip()) };
            wanted && obstacle(tunnel, &path).is_none()
        };
        let of = |any: bool| {
            let near = self.near(path.remote.ip());
            near.filter(move |(_, tunnel)| fits(tunnel, any)).map(|(key, _)| key)
        };
        of(false).chain(of(true)).collect()
    }

    /// The tunnels whose peer has a name, if an SCCRQ on this path may be for them once the name means its source.
    pub fn with_names(&self, path: Path) -> Vec<TunnelKey> {
        let fits = |key: &&TunnelKey| {
            let tunnel = self.tunnels.get(key);
            tunnel.is_some_and(|t| {
                matches!(t.config.remote, Some(Remote::Name(_))) && obstacle(t, &path).is_none()
            })
        };
        self.unaddressed.iter().filter(fits).copied().collect()
    }

    /// Why none of the tunnels whose peer may have that address takes an SCCRQ on this path.
    pub fn unclaimed(&self, path: &Path) -> String {
        let mut any = None;
        for (_, tunnel) in self.near(path.remote.ip()) {
            let Some(obstacle) = obstacle(tunnel, path) else { continue };
            let words = || format!("tunnel {} {}", tunnel.config.name, obstacle.words(tunnel, path));
            if tunnel.names(path.remote.ip()) {
                return words();
            }
            if tunnel.config.remote == Some(Remote::Any) {
                any.get_or_insert_with(words);
            }
        }
        any.unwrap_or_else(|| "no tunnel has this remote-address".to_owned())
    }

    /// A message from this address fits no connection that we know, as if the peer had forgotten ours. That proves nothing,
    /// since anybody can forge it; so the peer is asked.
    pub fn hint(&mut self, cx: &mut Context, remote: SocketAddr) {
        if !cx.peers.heeds_hint(cx.now, remote) {
            return;
        }
        let connections: Vec<(Ccid, TunnelKey)> = cx.peers.at(remote).collect();
        for (ccid, key) in connections {
            match self.get_mut(key) {
                Some(tunnel) => {
                    receive::probe(tunnel, cx, ccid, None);
                    tunnel.addresses.doubt(cx, key, &tunnel.config);
                }
                None => cx.missing(),
            }
        }
    }

    // ----- the configuration changes -----

    /// Takes over a configuration, the first or another one. Tunnels and sessions that are the same in both are
    /// not touched; what can change while it is up does, the rest is set up anew. What the administrator started
    /// or stopped by hand is as the configuration says again.
    pub fn apply(&mut self, cx: &mut Context, config: &Config) {
        let changes = match &self.config {
            Some(old) => diff(old, config),
            None => config.tunnels.iter().map(|t| Change::TunnelAdded { tunnel: t.name.clone() }).collect(),
        };
        self.config = Some(config.clone());
        let blocks: BTreeMap<&str, &model::TunnelConfig> =
            config.tunnels.iter().map(|t| (t.name.as_str(), t)).collect();
        let mut touched = BTreeSet::new();
        for change in &changes {
            self.apply_change(cx, &blocks, &mut touched, change);
        }
        for tunnel in touched {
            if let Some(tunnel) = self.named(tunnel) {
                let config = std::rc::Rc::clone(&tunnel.config);
                tunnel.slots.arrange(&config);
            }
        }
        if self.index(config) || !changes.is_empty() {
            self.edition = self.edition.wrapping_add(1);
        }
        for key in self.keys() {
            if let Some(tunnel) = self.get_mut(key) {
                tunnel.undo_commands(cx);
            }
        }
    }

    fn apply_change<'a>(
        &mut self,
        cx: &mut Context,
        blocks: &BTreeMap<&str, &'a model::TunnelConfig>,
        touched: &mut BTreeSet<&'a str>,
        change: &Change,
    ) {
        match change {
            Change::Global { .. } => {}
            Change::TunnelRemoved { tunnel } => {
                self.remove(cx, tunnel, stopccn::SHUTDOWN, "removed from the configuration");
            }
            Change::TunnelAdded { tunnel } => {
                if let Some(block) = blocks.get(tunnel.as_str()) {
                    self.add(cx, block);
                }
            }
            Change::TunnelRestart { tunnel, .. } => {
                if let Some(block) = blocks.get(tunnel.as_str()) {
                    self.remove(cx, tunnel, stopccn::GENERAL, "the configuration changed");
                    self.add(cx, block);
                }
            }
            Change::TunnelLive { tunnel, .. } => drop(self.touch(cx, blocks, touched, tunnel)),
            Change::SessionRemoved { tunnel, interface } => {
                if let Some(tunnel) = self.touch(cx, blocks, touched, tunnel) {
                    tunnel.remove_session(cx, interface);
                }
            }
            Change::SessionAdded { tunnel, interface } => {
                if let Some(tunnel) = self.touch(cx, blocks, touched, tunnel) {
                    tunnel.add_session(cx, interface);
                }
            }
            Change::SessionRestart { tunnel, interface, .. } => {
                if let Some(tunnel) = self.touch(cx, blocks, touched, tunnel) {
                    tunnel.remove_session(cx, interface);
                    tunnel.add_session(cx, interface);
                }
            }
            Change::SessionLive { tunnel, interface, .. } => {
                if let Some(tunnel) = self.touch(cx, blocks, touched, tunnel) {
                    let config = std::rc::Rc::clone(&tunnel.config);
                    tunnel.slots.update(&config, interface);
                }
            }
        }
    }

    /// The tunnel of a change, with its new block from the first one on.
    fn touch<'a>(
        &mut self,
        cx: &mut Context,
        blocks: &BTreeMap<&str, &'a model::TunnelConfig>,
        touched: &mut BTreeSet<&'a str>,
        name: &str,
    ) -> Option<&mut Tunnel> {
        let block = blocks.get(name)?;
        let tunnel = self.named(name)?;
        if touched.insert(block.name.as_str()) {
            tunnel.update(cx, block);
        }
        Some(tunnel)
    }

    fn add(&mut self, cx: &mut Context, block: &model::TunnelConfig) {
        self.next_key = self.next_key.wrapping_add(1);
        let key = TunnelKey(self.next_key);
        let mut tunnel = Tunnel::new(cx.now, key, block.clone());
        tunnel.schedule(cx, Duration::ZERO);
        self.tunnels.insert(key, tunnel);
        self.by_name.insert(block.name.clone(), key);
    }

    fn remove(&mut self, cx: &mut Context, name: &str, code: u16, why: &str) {
        let Some(key) = self.by_name.remove(name) else { return };
        if let Some(tunnel) = self.get_mut(key) {
            tunnel.remove(cx, code, why);
        }
        self.release(key);
    }

    /// What finds tunnels without looking at all of them. Whether their order is another one.
    fn index(&mut self, config: &Config) -> bool {
        let order: Vec<_> =
            config.tunnels.iter().filter_map(|t| self.by_name.get(&t.name).copied()).collect();
        let changed = self.order != order;
        self.order = order;
        self.by_address.clear();
        self.unaddressed.clear();
        self.by_interface.clear();
        for (place, key) in self.order.iter().enumerate() {
            let Some(tunnel) = self.tunnels.get_mut(key) else { continue };
            tunnel.place = place;
            let interfaces = tunnel.config.sessions.iter().map(|s| (s.interface.clone(), *key));
            self.by_interface.extend(interfaces);
            match &tunnel.config.remote {
                Some(Remote::Address(address)) => self.by_address.entry(*address).or_default().push(*key),
                Some(Remote::Any | Remote::Name(_)) | None => self.unaddressed.push(*key),
            }
        }
        changed
    }
}
