//! All ports, by the names and the indexes of their interfaces, and what they have to do with bridges.

use std::collections::HashMap;

use super::bridge::Bridges;
use super::event::Events;
use super::interface::Interface;
use super::link_local::Forwarding;
use super::port::Port;
use super::slab::{FixedHash, Slab};
use crate::log::Remark;

/// All ports, found by place, name or index.
#[derive(Default)]
pub(super) struct Ports {
    all: Slab<Port>,
    names: HashMap<String, usize, FixedHash>,
    indexes: HashMap<i32, usize, FixedHash>,
    pub(super) bridges: Bridges,
    /// Bridges that forward link-local frames because of us.
    forwarding: Forwarding,
}

impl Ports {
    /// The place of the port of an interface of the configuration.
    pub(super) fn find(&self, interface: &str) -> Option<usize> {
        self.names.get(interface).copied()
    }

    /// The place of the port whose interface has this index.
    pub(super) fn with_index(&self, index: i32) -> Option<usize> {
        self.indexes.get(&index).copied()
    }

    pub(super) fn by_name(&self, interface: &str) -> Option<&Port> {
        self.get(self.find(interface)?)
    }

    pub(super) fn get(&self, at: usize) -> Option<&Port> {
        self.all.get(at)
    }

    /// For what has nothing to do with its interface and bridge: see [`change`](Ports::change).
    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut Port> {
        self.all.get_mut(at)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Port> {
        self.all.values_mut()
    }

    /// The place of the port of an interface, which is new or known.
    pub(super) fn place(&mut self, interface: &Interface) -> usize {
        if let Some(at) = self.find(&interface.name) {
            return at;
        }
        let at = self.all.insert(Port::new(interface.clone()));
        self.names.insert(interface.name.clone(), at);
        at
    }

    /// The ports of another program; their places.
    pub(super) fn resume(&mut self, ports: Vec<Port>, forwarding: Forwarding) -> Vec<usize> {
        self.forwarding = forwarding;
        let mut places = Vec::new();
        for port in ports {
            let (name, index, membership) =
                (port.interface.name.clone(), port.index(), port.membership.clone());
            let at = self.all.insert(port);
            self.names.insert(name, at);
            index.map(|index| self.indexes.insert(index, at));
            self.bridges.changed(at, None, membership.as_ref());
            places.push(at);
        }
        places
    }

    /// All, and the bridges that forward because of them.
    pub(super) fn parts(&self) -> (impl Iterator<Item = &Port>, &Forwarding) {
        (self.all.iter().map(|(_, port)| port), &self.forwarding)
    }

    /// Forgets a port whose interface is gone.
    pub(super) fn remove(&mut self, at: usize) {
        if let Some(port) = self.all.remove(at) {
            self.names.remove(&port.interface.name);
            self.bridges.changed(at, port.membership.as_ref(), None);
        }
    }

    /// Does something to a port after which it may have another interface, or stand otherwise with its bridge.
    pub(super) fn change<T>(
        &mut self,
        at: usize,
        events: &mut Events,
        act: impl FnOnce(&mut Port, &mut Events) -> T,
    ) -> Option<T> {
        let port = self.all.get_mut(at)?;
        let (index, membership) = (port.index(), port.membership.clone());
        // An interface that goes away takes its name along.
        let name = if port.forwarding.is_some() { port.name() } else { None };
        let result = act(port, events);
        if port.index() != index {
            index.map(|index| self.indexes.remove(&index));
            port.index().map(|index| self.indexes.insert(index, at));
        }
        if port.membership != membership {
            self.bridges.changed(at, membership.as_ref(), port.membership.as_ref());
        }
        if port.wants_forwarding() != port.forwarding.as_deref() {
            let wanted = port.wants_forwarding().map(str::to_owned);
            let name = port.name().or(name).unwrap_or_default();
            let interface = port.interface.name.clone();
            let remark = self.forwarding.settle(&mut port.forwarding, wanted, &interface, &name);
            remark.into_iter().for_each(|remark| events.remark(remark));
        }
        if port.wants_isolation() != port.isolated {
            port.isolate().into_iter().for_each(|remark| events.remark(remark));
        }
        Some(result)
    }

    /// The places of all ports with an interface, and its index.
    pub(super) fn indexes(&self) -> Vec<(usize, i32)> {
        self.indexes.iter().map(|(index, at)| (*at, *index)).collect()
    }

    /// The interface of a port was brought up or down, or put into a bridge, or taken out.
    pub(super) fn link_state(&mut self, at: usize, up: bool, events: &mut Events) {
        self.change(at, events, |port, events| {
            port.look_at_bridge(events);
            port.link_state(up, events);
        });
    }

    /// An interface that is not ours was deleted: a bridge?
    pub(super) fn bridge_deleted(&mut self, index: i32, events: &mut Events) {
        let mut gone = None;
        for at in self.bridges.ports_of(index) {
            let bridge = self.change(at, events, |port, _| {
                let membership = port.membership.as_mut()?;
                membership.bridge_deleted();
                Some(membership.bridge.clone())
            });
            gone = bridge.flatten().or(gone);
        }
        if let Some(bridge) = gone {
            events.remark(Remark::BridgeDeleted { bridge });
        }
    }

    /// There is an event of this interface, or of any: a bridge that was deleted may be there again.
    pub(super) fn join_bridges_again(&mut self, interface: Option<&str>, events: &mut Events) {
        for at in self.bridges.back(interface) {
            self.change(at, events, Port::join_bridge_again);
        }
    }

    /// The kernel lost events: bridges may be gone.
    pub(super) fn look_for_deleted_bridges(&mut self, events: &mut Events) {
        for index in self.bridges.gone() {
            self.bridge_deleted(index, events);
        }
    }
}
