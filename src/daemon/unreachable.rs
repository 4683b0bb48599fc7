//! Peers that the last message could not be sent to.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use crate::log::Remark;
use crate::sys::error_text;

/// Peers remembered; with forged sources there is no end of them.
const MOST: usize = 4096;

/// Those of them that were told.
#[derive(Debug, Clone, Default)]
pub struct Unreachable(pub BTreeSet<IpAddr>);

impl Unreachable {
    /// A message was sent to a peer, or could not be: what is to be told of that, once.
    pub fn note(&mut self, peer: IpAddr, sent: io::Result<()>) -> Option<Remark> {
        let Err(error) = sent else {
            self.0.remove(&peer);
            return None;
        };
        if self.0.len() >= MOST {
            self.0.clear();
        }
        self.0.insert(peer).then(|| Remark::Send { peer, error: error_text(&error) })
    }
}
