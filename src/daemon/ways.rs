//! The ways to the peers, as the kernel has them: which interface packets leave through, which source address they
//! get. News of the kernel only mark what they may concern; a moment later each marked way is looked up once,
//! however much news there was.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use crate::proto::{Ends, Hop, Way};
use crate::sys::error_text;
use crate::sys::link::NetNews;
use crate::sys::route::{Route, Routes};

/// From the first news to the look at what it means: whoever changes routes rarely makes one change only.
const SETTLE: Duration = Duration::from_millis(100);
/// Ways that are looked up in one turn of the loop.
const LOOKS: usize = 256;

/// What a look has shown.
#[derive(Default)]
pub struct Looked {
    /// How these ways are now.
    pub ways: Vec<(Ends, Way)>,
    /// An address of this host came or went.
    pub addresses: bool,
}

/// The ways that somebody watches.
#[derive(Default)]
pub struct Ways {
    routes: Option<Routes>,
    known: BTreeMap<Ends, Way>,
    by_source: BTreeSet<(IpAddr, Ends)>,
    by_device: BTreeSet<(Option<i32>, Ends)>,
    marked: BTreeSet<Ends>,
    /// Addresses of this host that nothing new is to use.
    deprecated: BTreeSet<IpAddr>,
    /// An address of this host came or went.
    addresses: bool,
    due: Option<Instant>,
}

impl Ways {
    /// No ways yet. A system that does not answer about routes is told; all ways seem good then.
    pub fn open() -> (Ways, Option<String>) {
        match Routes::open() {
            Ok(routes) => (Ways { routes: Some(routes), ..Ways::default() }, None),
            Err(error) => (Ways::default(), Some(error_text(&error))),
        }
    }

    /// Why nothing can be sent to a peer, whether there is our address of `ends` or not; `None`: it can.
    pub fn hindrance(&self, ends: Ends) -> Option<String> {
        if ends.remote.is_unspecified() {
            return None;
        }
        let error = self.look_up(ends.remote, None)?.err()?;
        // Routes may depend on the source.
        if ends.local.is_some() && self.look_up(ends.remote, ends.local)?.is_ok() {
            return None;
        }
        matches!(
            error.kind(),
            io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkDown
        )
        .then(|| error_text(&error))
    }

    /// Whether `address` is one of this host; the error is that of binding a socket to another.
    pub fn check_own(&self, address: IpAddr) -> io::Result<()> {
        self.routes.as_ref().map_or(Ok(()), |routes| routes.check_own(address))
    }

    fn look_up(&self, remote: IpAddr, source: Option<IpAddr>) -> Option<io::Result<Route>> {
        self.routes.as_ref().map(|routes| routes.look_up(remote, source))
    }

    /// How things are with `ends` now.
    fn look(&self, ends: Ends) -> Way {
        let Some(chosen) = self.look_up(ends.remote, None).map(Result::ok) else {
            return Way {
                hop: Some(Hop { device: 0, gateway: None }),
                source: ends.local,
                own: true,
                deprecated: false,
            };
        };
        let source = chosen.and_then(|route| route.source);
        match ends.local {
            None => Way { hop: chosen.map(hop), source, own: true, deprecated: false },
            Some(local) => {
                let own = self.check_own(local).is_ok();
                let from = self.look_up(ends.remote, Some(local)).and_then(Result::ok);
                let deprecated = own && self.deprecated.contains(&local);
                Way { hop: from.filter(|_| own).map(hop), source, own, deprecated }
            }
        }
    }

    /// Looks at `ends`, now and whenever there is news of them.
    pub fn watch(&mut self, ends: Ends) -> Way {
        let way = self.look(ends);
        self.file(ends, Some(way));
        way
    }

    /// Nobody wants to know of `ends` any more.
    pub fn forget(&mut self, ends: Ends) {
        self.file(ends, None);
        self.marked.remove(&ends);
    }

    fn file(&mut self, ends: Ends, way: Option<Way>) {
        let old = match way {
            Some(way) => self.known.insert(ends, way),
            None => self.known.remove(&ends),
        };
        let sources = |way: &Way| [way.source, ends.local].into_iter().flatten().map(|s| (s, ends));
        if let Some(way) = old {
            for entry in sources(&way) {
                self.by_source.remove(&entry);
            }
            self.by_device.remove(&(way.hop.map(|hop| hop.device), ends));
        }
        if let Some(way) = way {
            self.by_source.extend(sources(&way));
            self.by_device.insert((way.hop.map(|hop| hop.device), ends));
        }
    }

    /// Marks the ways that news may concern.
    pub fn news(&mut self, now: Instant, news: &NetNews) {
        match *news {
            NetNews::Link { index, .. } | NetNews::LinkDeleted { index } => self.mark_device(index),
            NetNews::Address { index, address, deprecated } => {
                self.addresses = true;
                match deprecated {
                    true => self.deprecated.insert(address),
                    false => self.deprecated.remove(&address),
                };
                // A new address may become the source of whatever leaves there.
                self.mark_device(index);
                let first = Ends { remote: Ipv4Addr::UNSPECIFIED.into(), local: None };
                let users = self.by_source.range((address, first)..).take_while(|(s, _)| *s == address);
                self.marked.extend(users.map(|(_, ends)| *ends));
            }
            NetNews::Route { network, bits } => {
                let first = Ends { remote: network, local: None };
                let concerned = self.known.range(first..).map(|(ends, _)| *ends);
                self.marked.extend(concerned.take_while(|ends| is_in(ends.remote, network, bits)));
            }
            NetNews::Rule | NetNews::Lost => self.marked.extend(self.known.keys()),
        }
        if (self.addresses || !self.marked.is_empty()) && self.due.is_none() {
            self.due = now.checked_add(SETTLE);
        }
    }

    fn mark_device(&mut self, index: i32) {
        let first = Ends { remote: Ipv4Addr::UNSPECIFIED.into(), local: None };
        let users = self.by_device.range((Some(index), first)..).take_while(|(d, _)| *d == Some(index));
        self.marked.extend(users.map(|(_, ends)| *ends));
    }

    /// Looks at what is marked, if it is time.
    pub fn turn(&mut self, now: Instant) -> Looked {
        let mut looked = Looked::default();
        if self.due.is_none_or(|due| now < due) {
            return looked;
        }
        while looked.ways.len() < LOOKS {
            let Some(ends) = self.marked.pop_first() else { break };
            looked.ways.push((ends, self.watch(ends)));
        }
        looked.addresses = std::mem::take(&mut self.addresses);
        self.due = (!self.marked.is_empty()).then_some(now);
        looked
    }

    /// When [`turn`](Ways::turn) has something to do.
    pub fn next(&self) -> Option<Instant> {
        self.due
    }
}

fn hop(route: Route) -> Hop {
    Hop { device: route.device, gateway: route.gateway }
}

/// Whether an address lies in a network.
fn is_in(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let differ = match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(n)) => (a.to_bits() ^ n.to_bits()).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(n)) => (a.to_bits() ^ n.to_bits()).leading_zeros(),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
    };
    differ >= u32::from(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(remote: &str, local: Option<&str>) -> Ends {
        Ends { remote: remote.parse().unwrap(), local: local.map(|l| l.parse().unwrap()) }
    }

    fn marked(ways: &mut Ways, news: NetNews) -> Vec<Ends> {
        ways.news(crate::sys::clock::now(), &news);
        std::mem::take(&mut ways.marked).into_iter().collect()
    }

    #[test]
    fn news_marks_what_it_concerns() {
        let mut ways = Ways::default();
        let [a, b] = [ends("192.0.2.1", None), ends("192.0.2.1", Some("10.0.0.1"))];
        let [c, d] = [ends("198.51.100.1", None), ends("2001:db8::1", None)];
        let local = Some([10, 0, 0, 1].into());
        for (of, device) in [(a, 5), (b, 5), (c, 6), (d, 7)] {
            let hop = Some(Hop { device, gateway: None });
            let way = Way { hop, source: local.filter(|_| of != d), own: true, deprecated: false };
            ways.file(of, Some(way));
        }
        let route = |network: &str, bits| NetNews::Route { network: network.parse().unwrap(), bits };
        assert_eq!(marked(&mut ways, route("192.0.2.0", 24)), [a, b]);
        assert_eq!(marked(&mut ways, route("192.0.2.1", 32)), [a, b]);
        assert_eq!(marked(&mut ways, route("192.0.2.2", 32)), []);
        assert_eq!(marked(&mut ways, route("0.0.0.0", 0)), [a, b, c]);
        assert_eq!(marked(&mut ways, route("::", 0)), [d]);
        assert_eq!(marked(&mut ways, NetNews::LinkDeleted { index: 5 }), [a, b]);
        let address = |index, address: &str| {
            let address = address.parse().unwrap();
            NetNews::Address { index, address, deprecated: false }
        };
        assert_eq!(marked(&mut ways, address(9, "10.0.0.1")), [a, b, c]);
        assert_eq!(marked(&mut ways, address(7, "2001:db8:7::1")), [d]);
        assert_eq!(marked(&mut ways, address(9, "10.0.0.2")), []);
        assert_eq!(marked(&mut ways, NetNews::Lost), [a, b, c, d]);
        // What changed its place is found there only.
        let hop = Some(Hop { device: 8, gateway: None });
        ways.file(b, Some(Way { hop, source: None, own: false, deprecated: false }));
        ways.forget(c);
        assert_eq!(marked(&mut ways, NetNews::LinkDeleted { index: 5 }), [a]);
        assert_eq!(marked(&mut ways, NetNews::LinkDeleted { index: 8 }), [b]);
        assert_eq!(marked(&mut ways, address(9, "10.0.0.1")), [a, b]);
    }

    #[test]
    fn much_news_is_one_look_at_each() {
        let now = crate::sys::clock::now();
        let (mut ways, _) = Ways::open();
        let loopback = ends("127.0.0.1", None);
        assert_eq!(ways.watch(loopback).source, Some([127, 0, 0, 1].into()));
        for _ in 0..1000 {
            ways.news(now, &NetNews::Lost);
        }
        assert!(ways.turn(now).ways.is_empty(), "the news settles first");
        assert_eq!(ways.turn(now + SETTLE).ways.len(), 1);
        assert_eq!((ways.turn(now + SETTLE).ways.len(), ways.next()), (0, None));
    }

    #[test]
    fn networks_hold_their_addresses() {
        let all: IpAddr = [0, 0, 0, 0].into();
        let net: IpAddr = [192, 0, 2, 0].into();
        assert!(is_in([192, 0, 2, 255].into(), net, 24) && !is_in([192, 0, 3, 0].into(), net, 24));
        assert!(is_in([255; 4].into(), all, 0) && !is_in([0; 16].into(), all, 0));
        assert!(is_in(net, net, 32) && !is_in([192, 0, 2, 1].into(), net, 32));
    }
}
