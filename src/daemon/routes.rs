//! The routes to the peers, as the kernel has them: which interface packets leave through, which source address they
//! get. Events of the kernel only mark what they may concern; a moment later each marked route is looked up once,
//! however many events there were.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use crate::config::model::{Device, Via};
use crate::proto::{NextHop, Route, RouteKey};
use crate::sys::link::NetEvent;
use crate::sys::route::{KernelRoute, RouteSocket};
use crate::sys::{address, error_text, netif};

/// Routes by what they were looked up for.
pub type Known = BTreeMap<RouteKey, Box<Route>>;

/// From the first event to the look at what it means: whoever changes routes rarely makes one change only.
const SETTLE: Duration = Duration::from_millis(100);
/// Routes that are looked up in one turn of the loop.
const LOOKS: usize = 256;

/// What a look has shown.
#[derive(Default)]
pub struct RouteChanges {
    /// How these routes are now.
    pub routes: Vec<(RouteKey, Route)>,
    /// An address of this host came or went.
    pub addresses: bool,
}

/// What of a route an event may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Concern {
    Source(IpAddr),
    Device(i32),
    /// There is none yet, for want of its interface, perhaps.
    Nowhere,
}

/// The routes that somebody watches.
#[derive(Default)]
pub struct Routes {
    socket: Option<RouteSocket>,
    known: Known,
    /// Those that events concern.
    concerned: BTreeSet<(Concern, RouteKey)>,
    marked: BTreeSet<RouteKey>,
    /// Addresses of this host that nothing new is to use.
    deprecated: BTreeSet<IpAddr>,
    /// An address of this host came or went.
    addresses: bool,
    /// There is an address that leads beyond this host, as of the last look; none has come or gone since.
    has_address: bool,
    due: Option<Instant>,
}

impl Routes {
    /// No routes yet. A system that does not answer about routes is told; all routes seem good then.
    pub fn open() -> (Routes, Option<String>) {
        match RouteSocket::open() {
            Ok(socket) => (Routes { socket: Some(socket), ..Routes::default() }, None),
            Err(error) => (Routes::default(), Some(error_text(&error))),
        }
    }

    /// What another program that goes on with them has to know.
    pub fn state(&self) -> (&Known, &BTreeSet<IpAddr>) {
        (&self.known, &self.deprecated)
    }

    /// Goes on with the routes of another program. They are looked at again soon: events may have been missed.
    pub fn resume(&mut self, now: Instant, known: Known, deprecated: BTreeSet<IpAddr>) {
        self.deprecated = deprecated;
        self.marked.extend(known.keys());
        known.into_iter().for_each(|(key, route)| self.file(key, Some(*route)));
        self.due = now.checked_add(SETTLE);
    }

    /// Why nothing can be sent to a peer, whether there is our address or not; `None`: it can.
    pub fn hindrance(&self, key: RouteKey) -> Option<String> {
        if key.remote.is_unspecified() {
            return None;
        }
        let error = self.look_up(key, None)?.err()?;
        // Routes may depend on the source.
        if key.local.is_some() && self.look_up(key, key.local)?.is_ok() {
            return None;
        }
        if let (Some(name), true) = (key.via.device.name(), netif::is_missing(&error)) {
            return Some(format!("there is no interface {name}"));
        }
        matches!(
            error.kind(),
            io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkDown
        )
        .then(|| format!("{}{}", error_text(&error), key.via))
    }

    /// Whether `address` is one of this host; the error is that of binding a socket to another.
    pub fn check_own(&self, address: IpAddr, device: Device) -> io::Result<()> {
        self.socket.as_ref().map_or(Ok(()), |socket| socket.check_own(address, device.name()))
    }

    /// Whether this host has any address that leads beyond it and its links. Looking costs as much as there are
    /// interfaces, so it is done once for all tunnels.
    pub fn has_address(&mut self) -> bool {
        self.has_address = self.has_address || address::any();
        self.has_address
    }

    /// Looks up the route to the peer of `key`, from `source`.
    fn look_up(&self, key: RouteKey, source: Option<IpAddr>) -> Option<io::Result<KernelRoute>> {
        let Via { device, mark } = key.via;
        self.socket.as_ref().map(|socket| socket.look_up(key.remote, source, device.name(), mark))
    }

    /// The route as it is now.
    fn look(&self, key: RouteKey) -> Route {
        let Some(chosen) = self.look_up(key, None).map(Result::ok) else {
            return Route {
                next_hop: Some(NextHop { device: 0, gateway: None }),
                source: key.local,
                own: true,
                deprecated: false,
            };
        };
        let source = chosen.and_then(|route| route.source);
        match key.local {
            None => Route { next_hop: chosen.map(next_hop), source, own: true, deprecated: false },
            Some(local) => {
                let own = self.check_own(local, key.via.device).is_ok();
                let from = self.look_up(key, Some(local)).and_then(Result::ok);
                let deprecated = own && self.deprecated.contains(&local);
                Route { next_hop: from.filter(|_| own).map(next_hop), source, own, deprecated }
            }
        }
    }

    /// Looks the route up, now and whenever there is an event of it.
    pub fn watch(&mut self, key: RouteKey) -> Route {
        let route = self.look(key);
        self.file(key, Some(route));
        route
    }

    /// Nobody wants to know of it any more.
    pub fn forget(&mut self, key: RouteKey) {
        self.file(key, None);
        self.marked.remove(&key);
    }

    fn file(&mut self, key: RouteKey, route: Option<Route>) {
        let old = match route {
            Some(route) => self.known.insert(key, Box::new(route)),
            None => self.known.remove(&key),
        };
        let concerns = |route: Route| {
            let sources = [route.source, key.local].map(|source| source.map(Concern::Source));
            let way = match route.next_hop {
                Some(hop) => Some(Concern::Device(hop.device)),
                // Only those that may wait for their interface.
                None => (key.via.device != Device::NONE).then_some(Concern::Nowhere),
            };
            sources.into_iter().chain([way]).flatten().map(move |concern| (concern, key))
        };
        for entry in old.into_iter().flat_map(|route| concerns(*route)) {
            self.concerned.remove(&entry);
        }
        self.concerned.extend(route.into_iter().flat_map(concerns));
    }

    /// Marks the routes that an event may concern.
    pub fn net_event(&mut self, now: Instant, event: &NetEvent) {
        match *event {
            NetEvent::Link { index, .. } => {
                self.mark(Concern::Device(index));
                self.mark(Concern::Nowhere);
            }
            NetEvent::LinkDeleted { index } => self.mark(Concern::Device(index)),
            NetEvent::Address { index, address, deprecated } => {
                (self.addresses, self.has_address) = (true, false);
                match deprecated {
                    true => self.deprecated.insert(address),
                    false => self.deprecated.remove(&address),
                };
                // A new address may become the source of whatever leaves there.
                self.mark(Concern::Device(index));
                self.mark(Concern::Source(address));
            }
            NetEvent::Route { network, bits } => {
                let first = first(network);
                let concerned = self.known.range(first..).map(|(key, _)| *key);
                self.marked.extend(concerned.take_while(|key| address::is_within(key.remote, network, bits)));
            }
            NetEvent::Rule => self.marked.extend(self.known.keys()),
            NetEvent::Lost => {
                (self.addresses, self.has_address) = (true, false);
                self.marked.extend(self.known.keys());
            }
        }
        if (self.addresses || !self.marked.is_empty()) && self.due.is_none() {
            self.due = now.checked_add(SETTLE);
        }
    }

    fn mark(&mut self, concern: Concern) {
        let first = first(Ipv4Addr::UNSPECIFIED.into());
        let users = self.concerned.range((concern, first)..).take_while(|(other, _)| *other == concern);
        self.marked.extend(users.map(|(_, key)| *key));
    }

    /// Looks at what is marked, if it is time.
    pub fn turn(&mut self, now: Instant) -> RouteChanges {
        let mut looked = RouteChanges::default();
        if self.due.is_none_or(|due| now < due) {
            return looked;
        }
        while looked.routes.len() < LOOKS {
            let Some(key) = self.marked.pop_first() else { break };
            looked.routes.push((key, self.watch(key)));
        }
        looked.addresses = std::mem::take(&mut self.addresses);
        self.due = (!self.marked.is_empty()).then_some(now);
        looked
    }

    /// When [`turn`](Routes::turn) has something to do.
    pub fn next(&self) -> Option<Instant> {
        self.due
    }
}

/// Before all routes to this address.
fn first(remote: IpAddr) -> RouteKey {
    RouteKey { remote, local: None, via: Via::ANY }
}

fn next_hop(route: KernelRoute) -> NextHop {
    NextHop { device: route.device, gateway: route.gateway }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(remote: &str, local: Option<&str>) -> RouteKey {
        RouteKey { local: local.map(|l| l.parse().unwrap()), ..first(remote.parse().unwrap()) }
    }

    fn marked(routes: &mut Routes, event: NetEvent) -> Vec<RouteKey> {
        routes.net_event(crate::sys::clock::now(), &event);
        std::mem::take(&mut routes.marked).into_iter().collect()
    }

    #[test]
    fn events_mark_what_they_concern() {
        let mut routes = Routes::default();
        let [a, b] = [key("192.0.2.1", None), key("192.0.2.1", Some("10.0.0.1"))];
        let [c, d] = [key("198.51.100.1", None), key("2001:db8::1", None)];
        let local = Some([10, 0, 0, 1].into());
        for (of, device) in [(a, 5), (b, 5), (c, 6), (d, 7)] {
            let next_hop = Some(NextHop { device, gateway: None });
            let route = Route { next_hop, source: local.filter(|_| of != d), own: true, deprecated: false };
            routes.file(of, Some(route));
        }
        let route = |network: &str, bits| NetEvent::Route { network: network.parse().unwrap(), bits };
        assert_eq!(marked(&mut routes, route("192.0.2.0", 24)), [a, b]);
        assert_eq!(marked(&mut routes, route("192.0.2.1", 32)), [a, b]);
        assert_eq!(marked(&mut routes, route("192.0.2.2", 32)), []);
        assert_eq!(marked(&mut routes, route("0.0.0.0", 0)), [a, b, c]);
        assert_eq!(marked(&mut routes, route("::", 0)), [d]);
        assert_eq!(marked(&mut routes, NetEvent::LinkDeleted { index: 5 }), [a, b]);
        let address = |index, address: &str| {
            let address = address.parse().unwrap();
            NetEvent::Address { index, address, deprecated: false }
        };
        assert_eq!(marked(&mut routes, address(9, "10.0.0.1")), [a, b, c]);
        assert_eq!(marked(&mut routes, address(7, "2001:db8:7::1")), [d]);
        assert_eq!(marked(&mut routes, address(9, "10.0.0.2")), []);
        assert_eq!(marked(&mut routes, NetEvent::Lost), [a, b, c, d]);
        // What changed its place is found there only.
        let next_hop = Some(NextHop { device: 8, gateway: None });
        routes.file(b, Some(Route { next_hop, source: None, own: false, deprecated: false }));
        routes.forget(c);
        assert_eq!(marked(&mut routes, NetEvent::LinkDeleted { index: 5 }), [a]);
        assert_eq!(marked(&mut routes, NetEvent::LinkDeleted { index: 8 }), [b]);
        assert_eq!(marked(&mut routes, address(9, "10.0.0.1")), [a, b]);
    }

    #[test]
    fn whether_there_is_an_address_is_asked_anew_after_each_change() {
        let mut routes = Routes::default();
        let there_is_one = routes.has_address();
        for event in
            [NetEvent::Address { index: 9, address: [10, 0, 0, 1].into(), deprecated: false }, NetEvent::Lost]
        {
            routes.has_address = true;
            routes.net_event(crate::sys::clock::now(), &NetEvent::Rule);
            assert!(routes.has_address());
            routes.net_event(crate::sys::clock::now(), &event);
            assert_eq!((routes.has_address, routes.has_address()), (false, there_is_one));
            assert!(routes.turn(crate::sys::clock::now() + SETTLE).addresses);
        }
    }

    #[test]
    fn many_events_are_one_look_at_each() {
        let now = crate::sys::clock::now();
        let (mut routes, _) = Routes::open();
        let loopback = key("127.0.0.1", None);
        assert_eq!(routes.watch(loopback).source, Some([127, 0, 0, 1].into()));
        for _ in 0..1000 {
            routes.net_event(now, &NetEvent::Lost);
        }
        assert!(routes.turn(now).routes.is_empty(), "the events settle first");
        assert_eq!(routes.turn(now + SETTLE).routes.len(), 1);
        assert_eq!((routes.turn(now + SETTLE).routes.len(), routes.next()), (0, None));
    }
}
