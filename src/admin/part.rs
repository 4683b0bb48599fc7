//! A piece of a display.

use super::report::Interface;
use crate::proto::snapshot::{SessionSnapshot, TunnelSnapshot};

/// Some sessions of a tunnel.
pub struct Part {
    /// The tunnel; its `sessions` are those of this part.
    pub tunnel: TunnelSnapshot,
    /// The interface of each of these sessions, if the data plane knows it.
    pub interfaces: Vec<Option<Interface>>,
    /// It begins the tunnel.
    pub begins: bool,
    /// It ends the tunnel.
    pub ends: bool,
    /// It begins the first tunnel of the display.
    pub first: bool,
}

impl Part {
    /// The sessions, each with its interface.
    pub fn sessions(&self) -> impl Iterator<Item = (&SessionSnapshot, Option<&Interface>)> {
        self.tunnel.sessions.iter().zip(self.interfaces.iter().map(Option::as_ref))
    }
}
