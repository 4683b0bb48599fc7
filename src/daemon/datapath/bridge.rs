//! The bridges that the interfaces are in. A missing bridge is made when its interface is set up; from then on it is
//! the administrator's: one that is deleted is not made again, and an interface that is taken out stays out. But
//! programs that set up the network delete bridges and make them anew, so a bridge that comes back gets its
//! interfaces back.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;

use super::event::Failure;
use super::slab::FixedHash;
use crate::log::Remark;
use crate::saved::saved;
use crate::sys::{error_text, netif};

/// Where an interface stands with the bridge that it was put into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Membership {
    pub(super) bridge: String,
    /// The bridge's index; `None` once it was deleted.
    index: Option<i32>,
    /// The interface is in it.
    inside: bool,
}
saved!(Membership { bridge, index, inside });

/// Where an interface stands with its bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BridgeState {
    /// It is in it.
    Joined,
    /// It could not be put into it, or somebody took it out; or there is no interface.
    Out,
    /// Somebody deleted the bridge.
    Missing,
}

impl BridgeState {
    /// The word for it.
    pub(super) fn name(self) -> &'static str {
        match self {
            BridgeState::Joined => "joined",
            BridgeState::Out => "out",
            BridgeState::Missing => "missing",
        }
    }
}

impl Membership {
    /// Puts the interface called `name` into a bridge, which is made where it is missing.
    pub(super) fn join(bridge: &str, name: &str) -> Result<Membership, Failure> {
        netif::join_bridge(bridge, name)
            .map_err(|e| Failure::ioctl(&e, netif::why_not_joined(bridge, &e)))?;
        Ok(Membership { bridge: bridge.to_owned(), index: netif::index(bridge).ok(), inside: true })
    }

    /// Takes the interface called `name` out.
    pub(super) fn leave(self, name: &str) {
        // It may have left already.
        let _ = netif::leave_bridge(&self.bridge, name);
    }

    /// The bridge's index, while the interface is in it.
    pub(super) fn index(&self) -> Option<i32> {
        self.index.filter(|_| self.inside)
    }

    /// The bridge was deleted, and is not back.
    pub(super) fn is_missing(&self) -> bool {
        self.index.is_none()
    }

    /// How it stands with an interface that exists or not.
    pub(super) fn state(&self, present: bool) -> BridgeState {
        match (self.index, self.inside && present) {
            (None, _) => BridgeState::Missing,
            (Some(_), true) => BridgeState::Joined,
            (Some(_), false) => BridgeState::Out,
        }
    }

    /// The bridge was deleted.
    pub(super) fn bridge_deleted(&mut self) {
        (self.index, self.inside) = (None, false);
    }

    /// The bridge does not exist any more, or is another one of the same name.
    pub(super) fn is_gone(&self) -> bool {
        self.index.is_some() && netif::index(&self.bridge).ok() != self.index
    }

    /// The interface called `name` may have been put into its bridge, or taken out: what is to be told.
    pub(super) fn look(&mut self, interface: &str, name: &str) -> Option<Remark> {
        let is_in = netif::is_in_bridge(&self.bridge, name)?;
        // Of a bridge that is deleted there will be another event.
        if is_in == self.inside || self.is_missing() || self.is_gone() {
            return None;
        }
        self.inside = is_in;
        let (interface, bridge) = (interface.to_owned(), self.bridge.clone());
        Some(match is_in {
            true => Remark::BridgeAgain { interface, bridge },
            false => Remark::BridgeLeft { interface, bridge },
        })
    }

    /// Puts the interface into its bridge if that was deleted and is there again: what is to be told.
    pub(super) fn join_again(&mut self, interface: &str, name: &str) -> Option<Remark> {
        if !self.is_missing() {
            return None;
        }
        self.index = Some(netif::index(&self.bridge).ok()?);
        let joined = netif::add_to_bridge(&self.bridge, name);
        self.inside = joined.is_ok();
        let interface = interface.to_owned();
        Some(match joined {
            Ok(()) => Remark::BridgeAgain { interface, bridge: self.bridge.clone() },
            Err(error) => {
                let why = netif::why_not_joined(&self.bridge, &error);
                Remark::BridgeRefused { interface, why, error: error_text(&error) }
            }
        })
    }
}

/// Which ports each bridge concerns, so that an event about one costs nothing to the others.
#[derive(Default)]
pub(super) struct Bridges {
    /// By the bridge's index: the places of its ports.
    ports: BTreeSet<(i32, usize)>,
    /// By the bridge's index: its name.
    names: HashMap<i32, String, FixedHash>,
    /// By the name of a bridge that was deleted: the places of the ports that wait for it.
    waiting: HashMap<String, BTreeSet<usize>, FixedHash>,
}

impl Bridges {
    /// A port stands otherwise with its bridge than it did.
    pub(super) fn changed(&mut self, port: usize, old: Option<&Membership>, new: Option<&Membership>) {
        if let Some(old) = old {
            match old.index {
                Some(index) => {
                    self.ports.remove(&(index, port));
                    if self.ports.range((index, 0)..=(index, usize::MAX)).next().is_none() {
                        self.names.remove(&index);
                    }
                }
                None => {
                    let ports = self.waiting.get_mut(&old.bridge);
                    if ports.is_some_and(|ports| ports.remove(&port) && ports.is_empty()) {
                        self.waiting.remove(&old.bridge);
                    }
                }
            }
        }
        if let Some(new) = new {
            match new.index {
                Some(index) => {
                    self.ports.insert((index, port));
                    self.names.insert(index, new.bridge.clone());
                }
                None => _ = self.waiting.entry(new.bridge.clone()).or_default().insert(port),
            }
        }
    }

    /// The ports of the bridge with this index.
    pub(super) fn ports_of(&self, index: i32) -> Vec<usize> {
        self.ports.range((index, 0)..=(index, usize::MAX)).map(|(_, port)| *port).collect()
    }

    /// How many ports are in bridges.
    pub(super) fn ports(&self) -> usize {
        self.ports.len()
    }

    /// Whether a bridge has more than one port.
    pub(super) fn has_neighbour(&self, index: i32) -> bool {
        self.ports.range((index, 0)..=(index, usize::MAX)).nth(1).is_some()
    }

    /// At most `count` ports with their bridges' indexes, in a circle from the one after this on.
    pub(super) fn after(&self, from: (i32, usize), count: usize) -> Vec<(i32, usize)> {
        let after = self.ports.range((Bound::Excluded(from), Bound::Unbounded));
        after.chain(self.ports.range(..=from)).take(count).copied().collect()
    }

    /// The indexes of bridges that do not exist any more, or are others of the same name. Looks at each bridge once.
    pub(super) fn gone(&self) -> Vec<i32> {
        let gone = self.names.iter().filter(|(index, name)| netif::index(name).ok() != Some(**index));
        gone.map(|(index, _)| *index).collect()
    }

    /// The ports of a bridge that was deleted and is there again; without a name, those of all such bridges.
    pub(super) fn back(&self, bridge: Option<&str>) -> Vec<usize> {
        if let Some(bridge) = bridge {
            return self.waiting.get(bridge).into_iter().flatten().copied().collect();
        }
        let back = self.waiting.iter().filter(|(bridge, _)| netif::index(bridge).is_ok());
        back.flat_map(|(_, ports)| ports.iter().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bridge_knows_its_ports() {
        let mut bridges = Bridges::default();
        let inside = Membership { bridge: "lo".to_owned(), index: Some(1), inside: true };
        let mut gone = inside.clone();
        gone.bridge_deleted();
        (0..3).for_each(|port| bridges.changed(port, None, Some(&inside)));
        bridges.changed(3, None, Some(&Membership { index: Some(2), ..inside.clone() }));
        assert_eq!((bridges.ports_of(1), bridges.ports_of(2)), (vec![0, 1, 2], vec![3]));
        assert!(bridges.back(None).is_empty());
        assert_eq!((bridges.ports(), bridges.has_neighbour(1), bridges.has_neighbour(2)), (4, true, false));
        assert_eq!(bridges.after((1, 1), 3), [(1, 2), (2, 3), (1, 0)]);
        assert_eq!(bridges.after((2, 3), 9).len(), 4);
        bridges.changed(1, Some(&inside), Some(&gone));
        // An interface of this name exists.
        assert_eq!((bridges.ports_of(1), bridges.back(None)), (vec![0, 2], vec![1]));
        assert_eq!((bridges.back(Some("lo")), bridges.back(Some("br0"))), (vec![1], vec![]));
        bridges.changed(1, Some(&gone), None);
        bridges.changed(0, Some(&inside), None);
        assert_eq!((bridges.ports_of(1), bridges.back(None)), (vec![2], vec![]));
        assert!(bridges.waiting.is_empty());
        // Nobody's index is 2; the loopback has 1.
        bridges.changed(
            3,
            None,
            Some(&Membership { bridge: "no-such".to_owned(), index: Some(2), inside: true }),
        );
        assert_eq!(bridges.gone(), [2]);
    }
}
