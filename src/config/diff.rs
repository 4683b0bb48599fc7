//! What changed between two configurations, for the reload and for `reload --check`.
//!
//! When a tag's new value takes effect stands in its row ([`Effect`]). Where the block begins in the file is no
//! difference.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use md5::{Digest, Md5};

use super::model::{Config, SessionConfig, TunnelConfig, GLOBAL, SESSION, TUNNEL};
use super::tag::{Effect, Row};
use crate::gather;

/// One difference. The order of a list is that of the new file, removals first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Of global tags: these have other values.
    Global(Vec<&'static str>),
    /// Of a tunnel block, by its name.
    Tunnel(String, What),
    /// Of a session block, by its tunnel's name and its interface.
    Session(String, String, What),
}

/// What became of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// It is gone.
    Removed,
    /// It is new.
    Added,
    /// These tags have other values, which only a new set-up brings to the peer.
    SetUp(Vec<&'static str>),
    /// These tags have other values, which are used from now on, without a message to the peer.
    Live(Vec<&'static str>),
}

impl Change {
    /// The tunnel that it is about.
    pub fn tunnel(&self) -> Option<&str> {
        match self {
            Change::Global(_) => None,
            Change::Tunnel(tunnel, _) | Change::Session(tunnel, _, _) => Some(tunnel),
        }
    }
}

/// The blocks of a configuration by their names. Most stand at the same place in another one; only where one does not are
/// all put in order.
struct Blocks<'a, B> {
    all: &'a [Rc<B>],
    name: fn(&B) -> &String,
    places: OnceCell<BTreeMap<&'a str, usize>>,
}

impl<'a, B> Blocks<'a, B> {
    fn new(all: &'a [Rc<B>], name: fn(&B) -> &String) -> Blocks<'a, B> {
        Blocks { all, name, places: OnceCell::new() }
    }

    /// The block of this name, which may stand at this place.
    fn find(&self, likely: usize, name: &str) -> Option<&'a Rc<B>> {
        let places =
            || gather::map(self.all.iter().enumerate().map(|(at, block)| ((self.name)(block).as_str(), at)));
        let there = self.all.get(likely).filter(|block| (self.name)(block) == name);
        there.or_else(|| self.all.get(*self.places.get_or_init(places).get(name)?))
    }
}

/// Compares two configurations. Tunnels are matched by name, sessions by tunnel and interface; the sessions of a
/// tunnel that is added, removed or restarted are not listed. Switching `disable` on or off is a restart with the
/// tag `disable`. A tunnel whose last negotiated session goes (or first one comes) restarts with the tag `manual`,
/// because it needs its control connection no longer (or now).
pub fn diff(old: &Config, new: &Config) -> Vec<Change> {
    let mut removals = Vec::new();
    let mut changes = Vec::new();
    let tags = global_tags(old, new);
    if !tags.is_empty() {
        changes.push(Change::Global(tags));
    }
    let before = Blocks::new(&old.tunnels, |tunnel| &tunnel.name);
    let after = Blocks::new(&new.tunnels, |tunnel| &tunnel.name);
    for (at, gone) in old.tunnels.iter().enumerate() {
        if after.find(at, &gone.name).is_none() {
            removals.push(Change::Tunnel(gone.name.clone(), What::Removed));
        }
    }
    for (at, tunnel) in new.tunnels.iter().enumerate() {
        match before.find(at, &tunnel.name) {
            None => changes.push(Change::Tunnel(tunnel.name.clone(), What::Added)),
            Some(old) if Rc::ptr_eq(old, tunnel) => {}
            Some(old) => tunnel_changes(old, tunnel, &mut removals, &mut changes),
        }
    }
    removals.append(&mut changes);
    removals
}

/// Has `new` take over the blocks of `old` that say the same. They are in memory once then, and need not be compared
/// again; their lines are those of the file that they stood in first.
pub fn share(old: &Config, new: &mut Config) {
    let before = Blocks::new(&old.tunnels, |tunnel| &tunnel.name);
    for (at, tunnel) in new.tunnels.iter_mut().enumerate() {
        if let Some(old) = before.find(at, &tunnel.name) {
            share_tunnel(old, tunnel);
        }
    }
}

fn share_tunnel(old: &Rc<TunnelConfig>, new: &mut Rc<TunnelConfig>) {
    let Some(block) = Rc::get_mut(new) else { return };
    let before = Blocks::new(&old.sessions, |session| &session.interface);
    for (at, session) in block.sessions.iter_mut().enumerate() {
        let Some(old) = before.find(at, &session.interface) else { continue };
        let Some(own) = Rc::get_mut(session) else { continue };
        let line = std::mem::replace(&mut own.line, old.line);
        match *own == **old {
            true => *session = Rc::clone(old),
            false => own.line = line,
        }
    }
    let line = std::mem::replace(&mut block.line, old.line);
    match *block == **old {
        true => *new = Rc::clone(old),
        false => block.line = line,
    }
}

/// The tags whose fields differ, of those that take effect in this way.
fn differing<B>(rows: &[Row<B>], effect: Effect, old: &B, new: &B) -> Vec<&'static str> {
    let rows = rows.iter().filter(|row| row.tag.effect == effect && (row.differs)(old, new));
    rows.map(|row| row.tag.name).collect()
}

/// What a connection of this tunnel was set up with, as far as the block says it: another print means a new set-up. Who
/// the peers are and what the secret is, is not in it.
pub fn print_of_tunnel(tunnel: &TunnelConfig) -> [u8; 16] {
    print(TUNNEL, &["remote-address", "password"], tunnel)
}

/// The same of a session.
pub fn print_of_session(session: &SessionConfig) -> [u8; 16] {
    print(SESSION, &[], session)
}

fn print<B>(rows: &[Row<B>], but: &[&str], block: &B) -> [u8; 16] {
    let mut digest = Md5::new();
    for row in rows.iter().filter(|row| row.tag.effect == Effect::SetUp && !but.contains(&row.tag.name)) {
        digest.update(row.tag.name);
        digest.update([b' ']);
        digest.update((row.text)(block));
        digest.update([b'\n']);
    }
    digest.finalize().into()
}

fn global_tags(old: &Config, new: &Config) -> Vec<&'static str> {
    let rows = GLOBAL.iter().filter(|row| row.tag.effect != Effect::Inherited);
    rows.filter(|row| (row.differs)(old, new)).map(|row| row.tag.name).collect()
}

fn tunnel_restart(old: &TunnelConfig, new: &TunnelConfig) -> Vec<&'static str> {
    let mut tags = differing(TUNNEL, Effect::SetUp, old, new);
    if old.is_manual() != new.is_manual() {
        tags.push("manual");
    }
    tags
}

fn tunnel_changes(
    old: &TunnelConfig,
    new: &TunnelConfig,
    removals: &mut Vec<Change>,
    changes: &mut Vec<Change>,
) {
    let tunnel = || new.name.clone();
    let mut tags = tunnel_restart(old, new);
    let mut live = differing(TUNNEL, Effect::Live, old, new);
    // While a peer stays, the one in use may be it; the tunnel knows.
    if new.remotes.iter().any(|remote| old.remotes.contains(remote)) {
        let (peers, others) = tags.iter().partition(|tag| **tag == "remote-address");
        tags = others;
        live.splice(0..0, peers);
    }
    if !tags.is_empty() {
        // The new set-up uses the other values too: one entry tells it all.
        tags.extend(live);
        changes.push(Change::Tunnel(tunnel(), What::SetUp(tags)));
        return;
    }
    if !live.is_empty() {
        changes.push(Change::Tunnel(tunnel(), What::Live(live)));
    }
    let before = Blocks::new(&old.sessions, |session| &session.interface);
    let after = Blocks::new(&new.sessions, |session| &session.interface);
    for (at, gone) in old.sessions.iter().enumerate() {
        if after.find(at, &gone.interface).is_none() {
            removals.push(Change::Session(tunnel(), gone.interface.clone(), What::Removed));
        }
    }
    for (at, session) in new.sessions.iter().enumerate() {
        let what = match before.find(at, &session.interface) {
            None => Some(What::Added),
            Some(old) if Rc::ptr_eq(old, session) => None,
            Some(old) => session_change(old, session),
        };
        changes.extend(what.map(|what| Change::Session(tunnel(), session.interface.clone(), what)));
    }
}

fn session_change(old: &SessionConfig, new: &SessionConfig) -> Option<What> {
    let mut tags = session_restart(old, new);
    let live = differing(SESSION, Effect::Live, old, new);
    match (tags.is_empty(), live.is_empty()) {
        (true, true) => None,
        (true, false) => Some(What::Live(live)),
        (false, _) => {
            tags.extend(live);
            Some(What::SetUp(tags))
        }
    }
}

fn session_restart(old: &SessionConfig, new: &SessionConfig) -> Vec<&'static str> {
    let mut tags = differing(SESSION, Effect::SetUp, old, new);
    let unused: &[&str] = match old.manual.is_some() && new.manual.is_some() {
        true => &["remote-end-id", "cookie"], // these are negotiated only
        false => &["local-cookie", "remote-cookie"],
    };
    tags.retain(|tag| !unused.contains(tag));
    tags
}
