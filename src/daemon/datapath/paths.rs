//! The MTUs of the paths to the peers, as the kernel has them and as probes have shown. What ICMP told the kernel about a
//! path it forgets after some time, without a word: so each path is looked at now and then, once for all of its sessions.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::config::model::Via;
use crate::proto::Path;
use crate::sys::socket::path_mtu;
use crate::wheel::{TimerId, Wheel};

/// Between two looks at a path.
const USUAL: Duration = Duration::from_secs(60);
/// Between two looks at a path that became narrower: it may heal.
const NARROW: Duration = Duration::from_secs(10);

/// For so long after a probe came through, shorter ones of other connections, which may have lost some for another reason,
/// do not make the path narrower: each change concerns the interfaces of all its sessions.
const SHOWN: Duration = Duration::from_secs(5);

/// Paths that are looked at in one turn.
const LOOKS: usize = 64;

/// The peer's address, ours, and what packets leave by.
type Addresses = (IpAddr, IpAddr, Via);

/// A path that sessions use.
#[derive(Debug)]
struct Used {
    /// What the kernel says.
    mtu: Option<usize>,
    /// There was a route at the last look.
    routed: bool,
    /// The places of their interfaces.
    ports: BTreeSet<usize>,
    /// It became narrower, and not wider since.
    narrow: bool,
    timer: TimerId,
}

/// What probes have shown of a path.
struct Carries {
    mtu: usize,
    at: Instant,
    /// A connection that showed it ended since: unless another one shows it again, it holds until the next look.
    ended: bool,
}

/// The paths in use.
pub(super) struct Paths {
    used: BTreeMap<Addresses, Box<Used>>,
    /// What probes have shown: the path carries no more.
    carries: BTreeMap<Addresses, Box<Carries>>,
    wheel: Wheel<Addresses>,
}

fn addresses(path: &Path) -> Addresses {
    (path.remote.ip(), path.local.ip(), path.via)
}

fn look_up((remote, local, Via { device, mark }): Addresses) -> Option<usize> {
    path_mtu(local, remote, device.name(), mark).ok()
}

/// The MTU of a path; `None` where there is no route to the peer.
pub fn look_up_mtu(path: &Path) -> Option<usize> {
    look_up(addresses(path))
}

impl Paths {
    /// None yet.
    pub(super) fn new(now: Instant) -> Paths {
        Paths { used: BTreeMap::new(), carries: BTreeMap::new(), wheel: Wheel::new(now) }
    }

    /// A session of this interface uses the path.
    pub(super) fn add(&mut self, now: Instant, path: &Path, port: usize) {
        let addresses = addresses(path);
        let wheel = &mut self.wheel;
        let used = self.used.entry(addresses).or_insert_with(|| {
            let timer = wheel.arm(now + USUAL, addresses);
            let mtu = look_up(addresses);
            Box::new(Used { mtu, routed: mtu.is_some(), ports: BTreeSet::new(), narrow: false, timer })
        });
        used.ports.insert(port);
    }

    /// The MTU of a path in use; `None` where there is no route to the peer.
    pub(super) fn mtu(&self, path: &Path) -> Option<usize> {
        self.lesser(addresses(path))
    }

    /// What the kernel says of a path, whether it is in use or not; `None` where there is no route to the peer.
    pub(super) fn kernel_mtu(&self, path: &Path) -> Option<usize> {
        let addresses = addresses(path);
        self.used.get(&addresses).map_or_else(|| look_up(addresses), |used| used.mtu.filter(|_| used.routed))
    }

    /// The lesser of what the kernel says and what probes have shown.
    fn lesser(&self, addresses: Addresses) -> Option<usize> {
        let mtu = self.used.get(&addresses)?.mtu?;
        Some(self.carries.get(&addresses).map_or(mtu, |carries| mtu.min(carries.mtu)))
    }

    /// What probes have shown of a path.
    pub(super) fn carries(&self, path: &Path) -> Option<usize> {
        self.carries.get(&addresses(path)).map(|carries| carries.mtu)
    }

    /// Probes of a connection have shown that a path carries this and no more, or that they tell nothing; the interfaces that
    /// its sessions have, if its MTU is another one now.
    pub(super) fn set_carries(&mut self, now: Instant, path: &Path, mtu: Option<usize>) -> Vec<usize> {
        let addresses = addresses(path);
        let before = self.lesser(addresses);
        let known = self.carries.get_mut(&addresses);
        let known = known.filter(|known| now.saturating_duration_since(known.at) < SHOWN);
        let used = self.used.contains_key(&addresses);
        if let Some(known) = known.filter(|known| mtu.map_or(used, |mtu| mtu < known.mtu)) {
            known.ended |= mtu.is_none();
            return Vec::new();
        }
        match mtu {
            Some(mtu) => self.carries.insert(addresses, Box::new(Carries { mtu, at: now, ended: false })),
            None => self.carries.remove(&addresses),
        };
        self.ports_unless(addresses, before)
    }

    /// The interfaces that the sessions of a path have, unless its MTU is what it was before.
    fn ports_unless(&self, addresses: Addresses, before: Option<usize>) -> Vec<usize> {
        match self.used.get(&addresses) {
            Some(used) if self.lesser(addresses) != before => used.ports.iter().copied().collect(),
            Some(_) | None => Vec::new(),
        }
    }

    /// It does not any more.
    pub(super) fn remove(&mut self, path: &Path, port: usize) {
        let addresses = addresses(path);
        let Some(used) = self.used.get_mut(&addresses) else { return };
        used.ports.remove(&port);
        if used.ports.is_empty() {
            self.wheel.cancel(used.timer);
            self.used.remove(&addresses);
            self.forget_ended(addresses);
        }
    }

    /// Forgets what nobody shows any more.
    fn forget_ended(&mut self, addresses: Addresses) {
        if self.carries.get(&addresses).is_some_and(|carries| carries.ended) {
            self.carries.remove(&addresses);
        }
    }

    /// Looks at a path; the interfaces that its sessions have, if its MTU is another one now.
    fn look(&mut self, now: Instant, addresses: Addresses) -> Vec<usize> {
        let before = self.lesser(addresses);
        self.forget_ended(addresses);
        let Some(used) = self.used.get_mut(&addresses) else { return Vec::new() };
        self.wheel.cancel(used.timer);
        let found = look_up(addresses);
        let (old, new) = (used.mtu, found.or(used.mtu));
        (used.mtu, used.routed) = (new, found.is_some());
        used.narrow = new < old || (used.narrow && new == old);
        let pause = if used.narrow { NARROW } else { USUAL };
        used.timer = self.wheel.arm(now + pause, addresses);
        self.ports_unless(addresses, before)
    }

    /// There is an event of the paths to a peer: see [`look`](Paths::look).
    pub(super) fn look_at(&mut self, now: Instant, remote: IpAddr) -> Vec<usize> {
        let first = (remote, IpAddr::from([0; 4]), Via::ANY);
        let addresses: Vec<Addresses> =
            self.used.range(first..).map(|(e, _)| *e).take_while(|e| e.0 == remote).collect();
        addresses.into_iter().flat_map(|addresses| self.look(now, addresses)).collect()
    }

    /// The interfaces whose sessions have a peer at this address.
    pub(super) fn ports_to(&self, remote: IpAddr) -> Vec<usize> {
        let first = (remote, IpAddr::from([0; 4]), Via::ANY);
        let used = self.used.range(first..).take_while(|(addresses, _)| addresses.0 == remote);
        used.flat_map(|(_, used)| used.ports.iter().copied()).collect()
    }

    /// Looks at the paths whose time has come, some at a time: see [`look`](Paths::look).
    pub(super) fn due(&mut self, now: Instant) -> Vec<usize> {
        let mut ports = Vec::new();
        for _ in 0..LOOKS {
            let Some(addresses) = self.wheel.pop(now) else { break };
            ports.extend(self.look(now, addresses));
        }
        ports
    }

    /// When the next path is to be looked at.
    pub(super) fn next(&self) -> Option<Instant> {
        self.wheel.next()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::wire::Encapsulation;

    /// From the unspecified address of the loopback's family to a loopback address: such a path can be looked up.
    fn path(last: u8) -> Path {
        let end = |ip: [u8; 4]| SocketAddr::new(ip.into(), 0);
        let (local, remote) = (end([0; 4]), end([127, 0, 0, last]));
        Path { encapsulation: Encapsulation::Ip, local, remote, via: Via::ANY }
    }

    /// Pretends that the kernel told another MTU before.
    fn pretend(paths: &mut Paths, path: &Path, mtu: usize) {
        paths.used.get_mut(&addresses(path)).unwrap().mtu = Some(mtu);
    }

    #[test]
    fn a_path_is_looked_at_once_for_all_its_sessions() {
        let now = crate::sys::clock::now();
        let mut paths = Paths::new(now);
        for port in 0..1000 {
            paths.add(now, &path(1), port);
        }
        paths.add(now, &path(2), 1000);
        assert_eq!(paths.used.len(), 2);
        assert!(paths.due(now + USUAL).is_empty(), "nothing has changed");
        pretend(&mut paths, &path(1), 1400);
        assert_eq!(paths.look_at(now, [127, 0, 0, 1].into()).len(), 1000);
        assert!(paths.look_at(now, [127, 0, 0, 1].into()).is_empty());
        assert!(paths.look_at(now, [127, 0, 0, 3].into()).is_empty());
        (0..1000).for_each(|port| paths.remove(&path(1), port));
        paths.remove(&path(2), 1000);
        assert_eq!((paths.used.len(), paths.next()), (0, None));
    }

    #[test]
    fn a_turn_looks_at_some_paths_only() {
        let now = crate::sys::clock::now();
        let mut paths = Paths::new(now);
        (1..=200).for_each(|last| paths.add(now, &path(last), last.into()));
        (1..=200).for_each(|last| pretend(&mut paths, &path(last), 1400));
        let later = now + USUAL * 2;
        let looked: Vec<usize> = (0..4).map(|_| paths.due(later).len()).collect();
        assert_eq!(looked, [LOOKS, LOOKS, LOOKS, 200 - 3 * LOOKS]);
    }

    #[test]
    fn a_narrow_path_is_looked_at_more_often_until_it_is_wide_again() {
        let now = crate::sys::clock::now();
        let mut paths = Paths::new(now);
        paths.add(now, &path(1), 7);
        // The loopback's MTU is less than this, so it seems to become narrower, and then wider than 1400.
        pretend(&mut paths, &path(1), 100_000);
        assert_eq!(paths.due(now + USUAL), [7]);
        let narrow = now + USUAL + NARROW;
        assert!(paths.next().unwrap() <= narrow + Duration::from_millis(1));
        pretend(&mut paths, &path(1), 1400);
        assert_eq!(paths.due(narrow + Duration::from_millis(1)), [7]);
        assert!(paths.due(narrow + NARROW * 2).is_empty());
        assert!(paths.next().unwrap() >= narrow + USUAL);
    }

    #[test]
    fn what_probes_have_shown_holds_until_they_show_more() {
        let now = crate::sys::clock::now();
        let mut paths = Paths::new(now);
        paths.add(now, &path(1), 7);
        let kernel = paths.mtu(&path(1)).unwrap();
        assert_eq!(paths.set_carries(now, &path(1), Some(1400)), [7]);
        assert_eq!((paths.mtu(&path(1)), paths.carries(&path(1))), (Some(1400), Some(1400)));
        assert!(paths.set_carries(now, &path(1), Some(1400)).is_empty());
        assert!(paths.set_carries(now, &path(2), Some(1300)).is_empty(), "not in use");
        paths.add(now, &path(2), 8);
        assert_eq!(paths.mtu(&path(2)), Some(1300));
        // The kernel knew of less, and forgets it: nothing changes.
        pretend(&mut paths, &path(1), 1400);
        assert!(paths.due(now + USUAL).is_empty());
        assert_eq!(paths.mtu(&path(1)), Some(1400));
        assert_eq!(paths.set_carries(now + SHOWN, &path(1), None), [7]);
        assert_eq!(paths.mtu(&path(1)), Some(kernel));
    }

    #[test]
    fn one_of_many_connections_that_loses_probes_changes_nothing() {
        let now = crate::sys::clock::now();
        let mut paths = Paths::new(now);
        (0..1000).for_each(|port| paths.add(now, &path(1), port));
        assert_eq!(paths.set_carries(now, &path(1), Some(1500)).len(), 1000);
        // Others show the contrary all the time; one ends.
        for mtu in [Some(1200), Some(1350), Some(1500), None, Some(1499)] {
            assert!(paths.set_carries(now, &path(1), mtu).is_empty(), "{mtu:?}");
            assert_eq!(paths.mtu(&path(1)), Some(1500));
        }
        // Nobody does any more, and more counts at once.
        let later = now + SHOWN;
        assert_eq!(paths.set_carries(later, &path(1), Some(1200)).len(), 1000);
        assert_eq!(paths.set_carries(later, &path(1), Some(1400)).len(), 1000);
        assert_eq!(paths.mtu(&path(1)), Some(1400));
    }

    #[test]
    fn what_the_last_connection_showed_just_before_its_end_is_forgotten() {
        let now = crate::sys::clock::now();
        let mut paths = Paths::new(now);
        paths.add(now, &path(1), 7);
        let kernel = paths.mtu(&path(1));
        paths.set_carries(now, &path(1), Some(1400));
        paths.set_carries(now, &path(1), None);
        paths.set_carries(now, &path(1), Some(1400));
        assert!(paths.due(now + USUAL).is_empty(), "another one showed it again");
        paths.set_carries(now, &path(1), None);
        assert_eq!(paths.due(now + USUAL * 2), [7]);
        assert_eq!(paths.mtu(&path(1)), kernel);
        for in_use in [true, false] {
            paths.set_carries(now, &path(1), Some(1400));
            if in_use {
                paths.set_carries(now, &path(1), None);
                paths.remove(&path(1), 7);
            } else {
                paths.set_carries(now, &path(1), None);
            }
            assert!(paths.carries.is_empty(), "{in_use}");
        }
    }
}
