//! The ways to the peers: from which address of ours, and through which interface and router.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::ids::TunnelKey;
use crate::wire::Ccid;

/// A peer's address, and that of ours which is used with it; `None`: the one that the system chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ends {
    /// The peer's address.
    pub remote: IpAddr,
    /// Ours.
    pub local: Option<IpAddr>,
}

/// Where packets go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hop {
    /// Index of the interface that they leave through.
    pub device: i32,
    /// The router there, if they need one.
    pub gateway: Option<IpAddr>,
}

/// How packets between two [`Ends`] would travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// Where they go first; `None`: there is no route, or our address is gone.
    pub hop: Option<Hop>,
    /// The source address that the system would choose; `None`: no route.
    pub source: Option<IpAddr>,
    /// Our address is (still) one of this host.
    pub own: bool,
    /// It is there, but nothing new is to use it.
    pub deprecated: bool,
}

/// Who watches a way: a tunnel, for its next attempt, or one of its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct User(pub TunnelKey, pub Option<Ccid>);

/// The ways that are watched.
#[derive(Debug, Default)]
pub struct Ways {
    watched: BTreeMap<Ends, Watched>,
    /// Tunnels that may work once this host has got (another) address: those whose peer's address is not known.
    pub offline: BTreeSet<TunnelKey>,
}

#[derive(Debug, Default)]
struct Watched {
    users: BTreeSet<User>,
    way: Option<Way>,
}

impl Ways {
    /// The way is now like this. Its users and how it was before; nobody, if that is no news.
    pub fn update(&mut self, ends: Ends, way: Way) -> (Vec<User>, Option<Way>) {
        let Some(watched) = self.watched.get_mut(&ends) else { return (Vec::new(), None) };
        let old = watched.way.replace(way);
        match old == Some(way) {
            true => (Vec::new(), old),
            false => (watched.users.iter().copied().collect(), old),
        }
    }

    /// `user` watches the way between these; whether it is the first one.
    pub fn watch(&mut self, ends: Ends, user: User) -> bool {
        let watched = self.watched.entry(ends).or_default();
        watched.users.insert(user) && watched.users.len() == 1
    }

    /// `user` does not watch it any more; whether it was the last one.
    pub fn unwatch(&mut self, ends: Ends, user: User) -> bool {
        let Some(watched) = self.watched.get_mut(&ends) else { return false };
        watched.users.remove(&user);
        let last = watched.users.is_empty();
        if last {
            self.watched.remove(&ends);
        }
        last
    }
}
