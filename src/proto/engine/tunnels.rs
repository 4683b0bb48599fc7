//! The table of tunnels: found by name, by the peer's address, by key; how it follows the configuration.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use super::callers::{obstacle, Callers};
use super::receive;
use super::reconfigure;
use crate::config::diff::{diff, Change, What};
use crate::config::model::{self, Config};
use crate::gather::{self, Table};
use crate::proto::action::Path;
use crate::proto::connection::identity::is_meant;
use crate::proto::context::{Context, TunnelKey};
use crate::proto::tunnel::Tunnel;
use crate::saved::{Broken, Reader, Saved, Writer};
use crate::wire::code::stopccn;

/// Session blocks, by their interface.
type Sessions = BTreeMap<String, Rc<model::SessionConfig>>;
/// Tunnel blocks, by their name; the sessions of those that a change is about.
type Blocks = BTreeMap<String, Box<(Rc<model::TunnelConfig>, Option<Sessions>)>>;

/// A configuration that is being taken over.
struct Taking {
    config: Config,
    /// What is to be done yet.
    changes: VecDeque<Change>,
    /// How many changes there were.
    count: usize,
    blocks: Blocks,
}

/// All tunnels.
#[derive(Default)]
pub struct Tunnels {
    /// Boxed: a map has room for more than it holds.
    tunnels: Table<BTreeMap<TunnelKey, Box<Tunnel>>>,
    /// The order of the configuration.
    order: Vec<TunnelKey>,
    by_name: Table<BTreeMap<String, TunnelKey>>,
    by_interface: Table<BTreeMap<String, TunnelKey>>,
    callers: Callers,
    next_key: u32,
    edition: u64,
    config: Option<Config>,
    taking: Option<Taking>,
    /// Those that may have changed since they were written down, if they are written down at all.
    touched: Option<BTreeSet<TunnelKey>>,
}

impl Tunnels {
    /// The tunnel with this key.
    pub fn get(&self, key: TunnelKey) -> Option<&Tunnel> {
        self.tunnels.get(&key).map(|tunnel| &**tunnel)
    }

    /// The tunnel with this key.
    pub fn get_mut(&mut self, key: TunnelKey) -> Option<&mut Tunnel> {
        self.touch_key(key);
        self.tunnels.get_mut(&key).map(|tunnel| &mut **tunnel)
    }

    /// The configured tunnel with this name.
    pub fn named(&mut self, name: &str) -> Option<&mut Tunnel> {
        self.get_mut(*self.by_name.get(name)?)
    }

    /// The configured tunnel that has the session with this interface.
    pub fn with_interface(&self, interface: &str) -> Option<&Tunnel> {
        self.get(*self.by_interface.get(interface)?)
    }

    /// The same, to be changed.
    pub fn with_interface_mut(&mut self, interface: &str) -> Option<&mut Tunnel> {
        self.get_mut(*self.by_interface.get(interface)?)
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
        self.get(*self.order.get(place)?)
    }

    /// The place of the configured tunnel with this name.
    pub fn place_of(&self, name: &str) -> Option<usize> {
        Some(self.tunnels.get(self.by_name.get(name)?)?.place)
    }

    /// The configured tunnels, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Tunnel> {
        self.order.iter().filter_map(|key| self.get(*key))
    }

    /// Does something with each of them.
    pub fn for_each(&mut self, mut call: impl FnMut(&mut Tunnel)) {
        for key in self.order.clone() {
            self.get_mut(key).into_iter().for_each(&mut call);
        }
    }

    /// Those that are configured and those that only end.
    pub fn all_mut(&mut self) -> impl Iterator<Item = &mut Tunnel> {
        self.tunnels.values_mut().map(|tunnel| &mut **tunnel)
    }

    /// Forgets a tunnel that is not configured any more, with its last connection.
    pub fn release(&mut self, key: TunnelKey) {
        if self.get(key).is_some_and(Tunnel::is_over) {
            self.tunnels.remove(&key);
        }
    }

    /// The first tunnel that has its peer at this address.
    pub fn towards(&self, address: IpAddr) -> Option<&Tunnel> {
        self.callers.at(Some(address)).find_map(|key| self.get(key))
    }

    /// The first tunnel that an SCCRQ on this path may be for (those that name its source address come before those with
    /// `any`), and how many there are.
    pub fn candidates(&self, path: Path) -> (Option<&Tunnel>, usize) {
        (self.callers.first(path).and_then(|key| self.get(key)), self.callers.count(path))
    }

    /// The one of them whose peer is who the SCCRQ claims to be of (C-081). If there is none the first one judges (and
    /// refuses) it.
    pub fn claimed(&mut self, path: Path, message: &[u8]) -> Option<&mut Tunnel> {
        let claimed = self.callers.claimed(path, message).find(|key| self.is_meant(*key, message));
        self.get_mut(claimed.or_else(|| self.callers.first(path))?)
    }

    /// Does something with the tunnels whose peer has a name, if this SCCRQ may be for them once the name means its source.
    pub fn with_names(&mut self, path: Path, message: &[u8], mut call: impl FnMut(&mut Tunnel)) {
        for key in self.callers.named(path, message) {
            if self.is_meant(key, message) {
                self.get_mut(key).into_iter().for_each(&mut call);
            }
        }
    }

    fn is_meant(&self, key: TunnelKey, message: &[u8]) -> bool {
        self.get(key).is_some_and(|tunnel| is_meant(&tunnel.config, message))
    }

    /// Changes what decides whether a configured tunnel can be called, or from where.
    pub fn change<T>(&mut self, name: &str, change: impl FnOnce(&mut Tunnel) -> T) -> Option<T> {
        let key = *self.by_name.get(name)?;
        self.touch_key(key);
        let tunnel = self.tunnels.get_mut(&key)?;
        self.callers.remove(tunnel);
        let result = change(tunnel);
        self.callers.add(tunnel);
        Some(result)
    }

    // ----- written down -----

    fn touch_key(&mut self, key: TunnelKey) {
        if let Some(touched) = &mut self.touched {
            touched.insert(key);
        }
    }

    /// All are written down, and what changes from now on.
    pub fn touch_all(&mut self) {
        self.touched = Some(gather::set(self.tunnels.keys().copied()));
    }

    /// Nothing is written down any more.
    pub fn touch_none(&mut self) {
        self.touched = None;
    }

    /// One that may have changed since it was written down; it need not be there any more.
    pub fn take_touched(&mut self) -> Option<TunnelKey> {
        self.touched.as_mut()?.pop_first()
    }

    /// Whether any may have changed since it was written down.
    pub fn has_touched(&self) -> bool {
        self.touched.as_ref().is_some_and(|touched| !touched.is_empty())
    }

    /// Why none of the tunnels whose peer may have that address takes an SCCRQ on this path.
    pub fn unclaimed(&self, path: &Path) -> String {
        let near = self.callers.at(Some(path.remote.ip())).chain(self.callers.at(None));
        let why = near.filter_map(|key| self.get(key)).find_map(|tunnel| {
            let obstacle = obstacle(tunnel, path)?;
            Some(format!("tunnel {} {}", tunnel.config.name, obstacle.words(tunnel, path)))
        });
        why.unwrap_or_else(|| "no tunnel has this remote-address".to_owned())
    }

    /// A message from this address fits no connection that we know, as if the peer had forgotten ours. That proves nothing,
    /// since anybody can forge it; so the peer is asked.
    pub fn hint(&mut self, cx: &mut Context, remote: SocketAddr) {
        for (ccid, key) in cx.peers.hinted(cx.now, remote) {
            match self.get_mut(key) {
                Some(tunnel) => {
                    receive::probe(tunnel, cx, ccid, None);
                    tunnel.addresses.doubt(cx, key, &tunnel.config);
                }
                None => cx.missing(),
            }
        }
    }

    // ----- handed to another program -----

    /// Writes all; the configuration is not part of it.
    pub fn save(&self, to: &mut Writer) {
        let Tunnels {
            tunnels,
            order: _,
            by_name: _,
            by_interface: _,
            callers: _,
            next_key,
            edition,
            config: _,
            // Nobody is asked to go on meanwhile.
            taking: _,
            touched: _,
        } = self;
        next_key.save(to);
        edition.save(to);
        tunnels.len().save(to);
        tunnels.values().for_each(|tunnel| tunnel.save_all(to));
    }

    /// Reads them, for the same configuration.
    pub fn restore(from: &mut Reader<'_>, config: &Config) -> Result<Tunnels, Broken> {
        let mut restored = Tunnels {
            next_key: u32::restore(from),
            edition: u64::restore(from),
            config: Some(config.clone()),
            ..Tunnels::default()
        };
        let blocks = gather::map(config.tunnels.iter().map(|tunnel| (tunnel.name.as_str(), tunnel)));
        for _ in 0..usize::restore(from) {
            let (tunnel, removed) = Tunnel::restore_all(from, |name| blocks.get(name).copied())?;
            if !removed {
                restored.by_name.insert(tunnel.config.name.clone(), tunnel.key);
            }
            restored.tunnels.insert(tunnel.key, Box::new(tunnel));
        }
        let keys = config.tunnels.iter().filter_map(|t| restored.by_name.get(&t.name).copied());
        restored.index(keys.collect());
        match restored.order.len() == config.tunnels.len() {
            true => Ok(restored),
            false => Err(from.refuse("the state lacks a tunnel of its configuration")),
        }
    }

    // ----- the configuration changes -----

    /// Takes over a configuration, the first or another one. Tunnels and sessions that are the same in both are
    /// not touched; what can change while it is up does, the rest is set up anew. What the administrator started
    /// or stopped by hand is as the configuration says again.
    pub fn apply(&mut self, cx: &mut Context, config: &Config) {
        let changes = match &self.config {
            Some(old) => diff(old, config),
            None => config.tunnels.iter().map(|t| Change::Tunnel(t.name.clone(), What::Added)).collect(),
        };
        self.begin(config, changes);
        while self.go_on(cx, usize::MAX) {}
    }

    /// Begins to take over a configuration that differs so from the one in force.
    pub fn begin(&mut self, config: &Config, changes: Vec<Change>) {
        let changed = gather::set(changes.iter().filter_map(Change::tunnel));
        let blocks = config.tunnels.iter().filter(|t| changed.contains(t.name.as_str()));
        let blocks = gather::map(blocks.map(|t| (t.name.clone(), Box::new((Rc::clone(t), None)))));
        let count = changes.len();
        self.taking = Some(Taking { config: config.clone(), changes: changes.into(), count, blocks });
    }

    /// Goes on with at most so many changes; `true` if there are more.
    pub fn go_on(&mut self, cx: &mut Context, most: usize) -> bool {
        if let Some(mut taking) = self.taking.take() {
            let part = taking.changes.len().min(most);
            for change in taking.changes.drain(..part) {
                self.apply_change(cx, &mut taking.blocks, &change);
            }
            // The end of many, which looks at all tunnels, is a part by itself.
            let ends = taking.changes.is_empty() && (part == 0 || taking.count <= most);
            match ends {
                true => self.end(cx, taking),
                false => self.taking = Some(taking),
            }
        }
        self.taking.is_some()
    }

    fn end(&mut self, cx: &mut Context, taking: Taking) {
        let Taking { config, count, blocks, changes: _ } = taking;
        let mut same = count == 0;
        let mut order = Vec::with_capacity(config.tunnels.len());
        for block in &config.tunnels {
            let Some(key) = self.by_name.get(&block.name).copied() else { continue };
            order.push(key);
            let Some(tunnel) = self.get_mut(key) else { continue };
            let touched = blocks.get(&block.name).is_some_and(|block| block.1.is_some());
            if touched || !Rc::ptr_eq(&tunnel.config, block) {
                reconfigure::follow(tunnel, block);
                same = false;
            }
            if touched {
                tunnel.slots.index();
            }
            same &= !tunnel.undo_commands(cx);
        }
        if self.order != order || count > 0 {
            self.edition = self.edition.wrapping_add(1);
        }
        self.config = Some(config);
        if self.order != order || !same {
            self.index(order);
        }
    }

    fn apply_change(&mut self, cx: &mut Context, blocks: &mut Blocks, change: &Change) {
        match change {
            Change::Global(_) => {}
            Change::Tunnel(tunnel, What::Removed) => {
                self.remove(cx, tunnel, stopccn::SHUTDOWN, "removed from the configuration");
            }
            Change::Tunnel(tunnel, What::Added) => self.add(cx, blocks, tunnel),
            Change::Tunnel(tunnel, What::SetUp(_)) => {
                self.remove(cx, tunnel, stopccn::GENERAL, "the configuration changed");
                self.add(cx, blocks, tunnel);
            }
            Change::Tunnel(tunnel, What::Live(_)) => _ = self.touch(cx, blocks, tunnel),
            Change::Session(tunnel, interface, what) => {
                let Some((tunnel, sessions)) = self.touch(cx, blocks, tunnel) else { return cx.missing() };
                if matches!(what, What::Removed | What::SetUp(_)) {
                    reconfigure::remove_session(tunnel, cx, interface);
                }
                if matches!(what, What::Added | What::SetUp(_)) {
                    let session = sessions.get(interface);
                    session.into_iter().for_each(|s| reconfigure::add_session(tunnel, cx, s));
                }
            }
        }
    }

    /// The tunnel of a change, with its new block from the first one on, and the session blocks of that.
    fn touch<'a>(
        &'a mut self,
        cx: &mut Context,
        blocks: &'a mut Blocks,
        name: &str,
    ) -> Option<(&'a mut Tunnel, &'a Sessions)> {
        let (block, sessions) = &mut **blocks.get_mut(name)?;
        let tunnel = self.named(name)?;
        if sessions.is_none() {
            reconfigure::update(tunnel, cx, block);
        }
        let by_interface = || gather::map(block.sessions.iter().map(|s| (s.interface.clone(), Rc::clone(s))));
        Some((tunnel, sessions.get_or_insert_with(by_interface)))
    }

    fn add(&mut self, cx: &mut Context, blocks: &Blocks, name: &str) {
        let Some((block, _)) = blocks.get(name).map(|block| &**block) else { return cx.missing() };
        self.next_key = self.next_key.wrapping_add(1);
        let key = TunnelKey(self.next_key);
        let mut tunnel = Tunnel::new(cx.now, key, Rc::clone(block));
        tunnel.schedule(cx, Duration::ZERO);
        // It may be called before all are there; its place is found then.
        self.callers.add(&tunnel);
        self.tunnels.insert(key, Box::new(tunnel));
        self.by_name.insert(block.name.clone(), key);
    }

    fn remove(&mut self, cx: &mut Context, name: &str, code: u16, why: &str) {
        let Some(key) = self.by_name.remove(name) else { return cx.missing() };
        self.touch_key(key);
        if let Some(tunnel) = self.tunnels.get_mut(&key) {
            self.callers.remove(tunnel);
            tunnel.remove(cx, code, why);
        }
        self.release(key);
    }

    /// What finds tunnels without looking at all of them.
    fn index(&mut self, order: Vec<TunnelKey>) {
        self.order = order;
        self.callers = Callers::default();
        self.by_interface.clear();
        for (place, key) in self.order.iter().enumerate() {
            let Some(tunnel) = self.tunnels.get_mut(key) else { continue };
            tunnel.place = place;
            self.callers.add(tunnel);
            let interfaces = tunnel.config.sessions.iter().map(|s| (s.interface.clone(), *key));
            self.by_interface.extend(interfaces);
        }
    }
}
