//! Link-local frames, those to 01:80:c2:00:00:00 to :0f: a bridge keeps them, or drops them. With `link-local-frames
//! forward` the bridge of the session forwards them as far as the kernel lets it; what was changed at the bridge is
//! changed back when no session needs it any more.

use std::collections::BTreeMap;
use std::io;

use crate::log::Remark;
use crate::saved::saved;
use crate::sys::{bridge, error_text};

/// All but 0 (spanning tree: where the bridge takes part in it, it must keep these frames, and where it does not, it
/// forwards them anyway), 1 (pause) and 2 (slow protocols, with LACP), which the kernel refuses.
const BRIDGE: u16 = 0xfff8;
/// Of a port the kernel takes 2 as well.
const PORT: u16 = 0xfffc;

/// The bridges that forward such frames because of us.
#[derive(Default, Clone)]
pub(super) struct Forwarding {
    bridges: BTreeMap<String, Box<Added>>,
}
saved!(Forwarding { bridges });

/// What was changed at a bridge.
#[derive(Clone)]
struct Added {
    /// Interfaces in it that want it.
    interfaces: usize,
    /// The bits that were not set before.
    bits: u16,
}
saved!(Added { interfaces, bits });

impl Forwarding {
    /// The bridge that forwards link-local frames for an interface, `current`, becomes `wanted`. `name` is that of the
    /// interface at present: what is to be told.
    pub(super) fn settle(
        &mut self,
        current: &mut Option<String>,
        wanted: Option<String>,
        interface: &str,
        name: &str,
    ) -> Option<Remark> {
        if let Some(bridge) = std::mem::replace(current, wanted) {
            // It may have left it.
            let _ = bridge::forward_from(name, 0);
            self.end(&bridge);
        }
        let bridge = current.clone()?;
        let done = self.begin(&bridge).and_then(|()| bridge::forward_from(name, PORT));
        let error = error_text(&done.err()?);
        Some(Remark::LinkLocal { interface: interface.to_owned(), bridge, error })
    }

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
        self.bridges.insert(bridge.to_owned(), Box::new(Added { interfaces: 1, bits }));
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
