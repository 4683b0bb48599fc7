//! The routes to the peers: from which address of ours, and through which interface and router.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::ids::TunnelKey;
use crate::config::model::Via;
use crate::gather::Table;
use crate::saved::saved;
use crate::wire::Ccid;

saved! {
    /// What a route is looked up by.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct RouteKey {
        /// The peer's address.
        pub remote: IpAddr,
        /// Ours; `None`: the one that the system chooses.
        pub local: Option<IpAddr>,
        /// The device and the mark that packets leave by.
        pub via: Via,
    }

    /// Where packets go from here.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct NextHop {
        /// Index of the interface that they leave through.
        pub device: i32,
        /// The router there, if they need one.
        pub gateway: Option<IpAddr>,
    }

    /// How packets between the addresses of a [`RouteKey`] would travel.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Route {
        /// Where they go from here; `None`: there is no route, or our address is gone.
        pub next_hop: Option<NextHop>,
        /// The source address that the system would choose; `None`: no route.
        pub source: Option<IpAddr>,
        /// Our address is (still) one of this host.
        pub own: bool,
        /// It is there, but nothing new is to use it.
        pub deprecated: bool,
    }
}

/// Who watches a route: a tunnel, for its next attempt, or one of its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct User(pub TunnelKey, pub Option<Ccid>);
saved!(tuple User(tunnel, connection));

saved! {
    /// The routes that are watched.
    #[derive(Debug, Default)]
    pub struct Routes {
        watched: Table<BTreeMap<RouteKey, Box<Watched>>>,
        /// Tunnels that may work once this host has got (another) address: those whose peer's address is not known.
        pub offline: BTreeSet<TunnelKey>,
    }

    #[derive(Debug, Default)]
    struct Watched {
        users: Table<BTreeSet<User>>,
        route: Option<Route>,
    }
}

impl Routes {
    /// The route is now like this. Its users and how it was before; nobody, if it was like this.
    pub fn update(&mut self, key: RouteKey, route: Route) -> (Vec<User>, Option<Route>) {
        let Some(watched) = self.watched.get_mut(&key) else { return (Vec::new(), None) };
        let old = watched.route.replace(route);
        match old == Some(route) {
            true => (Vec::new(), old),
            false => (watched.users.iter().copied().collect(), old),
        }
    }

    /// `user` watches the route between these; whether it is the first one.
    pub fn watch(&mut self, key: RouteKey, user: User) -> bool {
        let watched = self.watched.entry(key).or_default();
        watched.users.insert(user) && watched.users.len() == 1
    }

    /// `user` does not watch it any more; whether it was the last one.
    pub fn unwatch(&mut self, key: RouteKey, user: User) -> bool {
        let Some(watched) = self.watched.get_mut(&key) else { return false };
        watched.users.remove(&user);
        let last = watched.users.is_empty();
        if last {
            self.watched.remove(&key);
        }
        last
    }
}
