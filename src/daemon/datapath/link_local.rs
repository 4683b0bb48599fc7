//! Link-local frames, those to 01:80:c2:00:00:00 to :0f: a bridge keeps them, or drops them. With `link-local-frames
//! forward` the bridge of the session forwards them as far as the kernel lets it; what was changed at the bridge is
//! changed back when no session needs it any more.

use std::collections::BTreeMap;
use std::io;

use super::port::Port;
use super::DataPlane;
use crate::log::Remark;
use crate::sys::{bridge, error_text};

/// All but 0 (spanning tree: where the bridge takes part in it, it must keep these frames, and where it does not, it
/// forwards them anyway), 1 (pause) and 2 (slow protocols, with LACP), which the kernel refuses.
const BRIDGE: u16 = 0xfff8;
/// Of a port the kernel takes 2 as well.
const PORT: u16 = 0xfffc;

/// The bridges that forward such frames because of us.
#[derive(Default)]
pub(super) struct Forwarding {
    bridges: BTreeMap<String, Added>,
}

/// What was changed at a bridge.
struct Added {
    /// Interfaces in it that want it.
    interfaces: usize,
    /// The bits that were not set before.
    bits: u16,
}

impl Forwarding {
    fn begin(&mut self, bridge: &str) -> io::Result<()> {
        if let Some(added) = self.bridges.get_mut(bridge) {
            added.interfaces += 1;
            return Ok(());
        }
        let before = bridge::forwarded(bridge)?;
        let bits = BRIDGE & !before;
        if bits != 0 {
            bridge::forward(bridge, before | bits)?;
        }
        self.bridges.insert(bridge.to_owned(), Added { interfaces: 1, bits });
        Ok(())
    }

    fn end(&mut self, bridge: &str) {
        let Some(added) = self.bridges.get_mut(bridge) else { return };
        added.interfaces -= 1;
        if added.interfaces == 0 {
            let bits = added.bits;
            self.bridges.remove(bridge);
            give_back(bridge, bits);
        }
    }
}

/// The daemon ends.
impl Drop for Forwarding {
    fn drop(&mut self) {
        self.bridges.iter().for_each(|(bridge, added)| give_back(bridge, added.bits));
    }
}

fn give_back(bridge: &str, bits: u16) {
    // The bridge may be gone.
    if let Ok(mask) = bridge::forwarded(bridge) {
        let _ = bridge::forward(bridge, mask & !bits);
    }
}

impl Port {
    /// The bridge that is to forward link-local frames for this interface, which is in it.
    fn wants_forwarding(&self) -> Option<&str> {
        self.device.as_ref().filter(|_| self.interface.forwards_link_local)?;
        self.joined_bridge()
    }
}

impl DataPlane {
    /// The interface has joined its bridge or left it, or is to be treated in another way: sets the bridge accordingly.
    pub(super) fn settle_link_local(&mut self, at: usize) {
        let Some(port) = self.ports.get_mut(at).and_then(Option::as_mut) else { return };
        let wanted = port.wants_forwarding().map(str::to_owned);
        if port.forwarding == wanted {
            return;
        }
        let name = port.device.as_ref().and_then(|device| device.name().ok()).unwrap_or_default();
        if let Some(bridge) = std::mem::replace(&mut port.forwarding, wanted.clone()) {
            // It may have left it.
            let _ = bridge::forward_from(&name, 0);
            self.link_local.end(&bridge);
        }
        let Some(bridge) = wanted else { return };
        let done = self.link_local.begin(&bridge).and_then(|()| bridge::forward_from(&name, PORT));
        if let Err(error) = done {
            let interface = port.interface.name.clone();
            self.remark(Remark::LinkLocal { interface, bridge, error: error_text(&error) });
        }
    }
}
