//! The bridges that the interfaces are in. A missing bridge is made when its interface is set up; from then on it is
//! the administrator's: one that is deleted is not made again, and an interface that is taken out stays out. But
//! programs that set up the network delete bridges and make them anew, so a bridge that comes back gets its
//! interfaces back.

use super::port::Port;
use super::{DataPlane, Failure};
use crate::log::Remark;
use crate::sys::{error_text, netif};

/// Where an interface stands with the bridge that it was put into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Membership {
    bridge: String,
    /// The bridge's index; `None` once it was deleted.
    index: Option<i32>,
    /// The interface is in it.
    inside: bool,
}

/// Where an interface stands with its bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BridgeState {
    /// It is in it.
    Joined,
    /// It could not be put into it, or somebody took it out; or there is no interface.
    Out,
    /// Somebody deleted the bridge.
    Missing,
}

impl BridgeState {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            BridgeState::Joined => "joined",
            BridgeState::Out => "out",
            BridgeState::Missing => "missing",
        }
    }
}

impl Port {
    /// Puts the interface `name` into the configured bridge, unless it was put there before.
    pub(super) fn join_bridge(&mut self, name: &str) -> Result<(), Failure> {
        if self.membership.as_ref().map(|m| &m.bridge) == self.interface.bridge.as_ref() {
            return Ok(());
        }
        if let Some(old) = self.membership.take() {
            // It may have left already.
            let _ = netif::leave_bridge(&old.bridge, name);
        }
        if let Some(bridge) = &self.interface.bridge {
            netif::join_bridge(bridge, name)
                .map_err(|e| Failure::ioctl(&e, netif::why_not_joined(bridge, &e)))?;
            let index = netif::index(bridge).ok();
            self.membership = Some(Membership { bridge: bridge.clone(), index, inside: true });
        }
        Ok(())
    }

    /// The interface is a new one: it is to be put into its bridge, if that has not been deleted.
    pub(super) fn forget_membership(&mut self) {
        self.membership.take_if(|m| m.index.is_some());
    }

    /// The bridge that it is in.
    pub(super) fn joined_bridge(&self) -> Option<&str> {
        let joined = self.bridge_state() == Some(BridgeState::Joined);
        self.membership.as_ref().filter(|_| joined).map(|membership| membership.bridge.as_str())
    }

    /// Where it stands with its bridge, if it has one.
    pub(super) fn bridge_state(&self) -> Option<BridgeState> {
        self.interface.bridge.as_ref()?;
        Some(match &self.membership {
            Some(Membership { index: None, .. }) => BridgeState::Missing,
            Some(Membership { inside: true, .. }) if self.device.is_some() => BridgeState::Joined,
            Some(_) | None => BridgeState::Out,
        })
    }

    /// The news of its interface may be that it was put into its bridge, or taken out: what is to be told.
    fn look_at_bridge(&mut self) -> Option<Remark> {
        let Membership { bridge, index, inside } = self.membership.as_mut()?;
        let name = self.device.as_ref()?.name().ok()?;
        let is_in = netif::is_in_bridge(bridge, &name)?;
        // Of a bridge that is deleted there will be other news.
        if is_in == *inside || index.is_none() || netif::index(bridge).ok() != *index {
            return None;
        }
        *inside = is_in;
        let (interface, bridge) = (self.interface.name.clone(), bridge.clone());
        Some(match is_in {
            true => Remark::BridgeAgain { interface, bridge },
            false => Remark::BridgeLeft { interface, bridge },
        })
    }

    /// Puts the interface into its bridge if that was deleted and is there again: what is to be told.
    fn join_again(&mut self) -> Option<Remark> {
        let membership = self.membership.as_mut().filter(|m| m.index.is_none())?;
        let name = self.device.as_ref()?.name().ok()?;
        let bridge = &membership.bridge;
        membership.index = Some(netif::index(bridge).ok()?);
        let joined = netif::add_to_bridge(bridge, &name);
        membership.inside = joined.is_ok();
        let interface = self.interface.name.clone();
        Some(match joined {
            Ok(()) => Remark::BridgeAgain { interface, bridge: bridge.clone() },
            Err(error) => {
                let why = netif::why_not_joined(bridge, &error);
                Remark::BridgeRefused { interface, why, error: error_text(&error) }
            }
        })
    }
}

impl DataPlane {
    /// There is news of an interface of ours.
    pub(super) fn look_at_bridge(&mut self, at: usize) {
        if let Some(remark) = self.port_mut(at).and_then(Port::look_at_bridge) {
            self.remark(remark);
            self.settle_link_local(at);
        }
    }

    /// An interface that is not ours was deleted: a bridge?
    pub(super) fn bridge_deleted(&mut self, index: i32) {
        let mut gone = None;
        for at in 0..self.ports.len() {
            let membership = self.port_mut(at).and_then(|c| c.membership.as_mut());
            if let Some(membership) = membership.filter(|m| m.index == Some(index)) {
                (membership.index, membership.inside) = (None, false);
                gone = Some(membership.bridge.clone());
                self.settle_link_local(at);
            }
        }
        if let Some(bridge) = gone {
            self.remark(Remark::BridgeDeleted { bridge });
        }
    }

    /// There is news of other interfaces: a bridge that was deleted may be there again.
    pub(super) fn join_bridges_again(&mut self) {
        (0..self.ports.len()).for_each(|at| self.join_again(at));
    }

    /// Puts an interface into its bridge if that was deleted and is there again.
    pub(super) fn join_again(&mut self, at: usize) {
        if let Some(remark) = self.port_mut(at).and_then(Port::join_again) {
            self.remark(remark);
            self.settle_link_local(at);
        }
    }

    /// The kernel lost news: bridges that are not what they were.
    pub(super) fn look_for_deleted_bridges(&mut self) {
        let memberships = self.ports.iter().flatten().filter_map(|c| c.membership.as_ref());
        let gone = memberships.filter(|m| netif::index(&m.bridge).ok() != m.index).filter_map(|m| m.index);
        for index in gone.collect::<std::collections::BTreeSet<i32>>() {
            self.bridge_deleted(index);
        }
    }
}
