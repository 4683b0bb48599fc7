//! The ids in use, and whose they are.

use std::collections::BTreeMap;

use crate::gather::Table;
use crate::saved::saved;
use crate::wire::{Ccid, SessionId};

/// Names a tunnel inside the engine; never used again once the tunnel is gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TunnelKey(pub u32);
saved!(tuple TunnelKey(number));

/// Names a session block inside its tunnel; never used again once the block is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotKey(pub u32);
saved!(tuple SlotKey(number));

/// The ids in use, and whose they are.
#[derive(Debug, Default)]
pub struct Ids {
    connections: Table<BTreeMap<Ccid, TunnelKey>>,
    sessions: Table<BTreeMap<SessionId, (TunnelKey, SlotKey)>>,
}
saved!(Ids { connections, sessions });

impl Ids {
    /// The tunnel of a connection.
    pub fn tunnel_of(&self, ccid: Ccid) -> Option<TunnelKey> {
        self.connections.get(&ccid).copied()
    }

    /// The tunnel and the session block of a session.
    pub fn slot_of(&self, id: SessionId) -> Option<(TunnelKey, SlotKey)> {
        self.sessions.get(&id).copied()
    }

    /// Whether a connection has this id.
    pub fn has(&self, ccid: Ccid) -> bool {
        self.connections.contains_key(&ccid)
    }

    /// Whether a session has this id.
    pub fn has_session(&self, id: SessionId) -> bool {
        self.sessions.contains_key(&id)
    }

    /// How many connections there are, of all tunnels.
    pub fn connection_count(&self) -> usize {
        self.connections.len()
    }

    /// The ids of the connections, in order.
    pub fn connections(&self) -> impl Iterator<Item = Ccid> + '_ {
        self.connections.keys().copied()
    }

    /// How many sessions there are, of all tunnels.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// A connection of the tunnel has this id from now on.
    pub fn file(&mut self, ccid: Ccid, key: TunnelKey) {
        self.connections.insert(ccid, key);
    }

    /// A session has this id from now on.
    pub fn file_session(&mut self, id: SessionId, key: TunnelKey, slot: SlotKey) {
        self.sessions.insert(id, (key, slot));
    }

    /// The connection is gone: its id may be drawn again.
    pub fn free(&mut self, ccid: Ccid) {
        self.connections.remove(&ccid);
    }

    /// The session is gone: its id may be drawn again.
    pub fn free_session(&mut self, id: SessionId) {
        self.sessions.remove(&id);
    }
}
