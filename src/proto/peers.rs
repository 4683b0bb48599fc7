//! The addresses of the peers: which connections are with whom, and hints that a peer has forgotten one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::ids::TunnelKey;
use crate::wire::Ccid;

/// Hints from one address that follow another one within this time are passed over: anybody can forge them.
const HINT_PAUSE: Duration = Duration::from_secs(5);

/// An address that is the peer's of some connection.
#[derive(Debug, Default)]
struct Peer {
    connections: BTreeMap<Ccid, TunnelKey>,
    /// When the last hint came from there.
    hinted: Option<Instant>,
}

/// The peers, by address and port (0 over IP).
#[derive(Debug, Default)]
pub struct Peers {
    peers: BTreeMap<SocketAddr, Peer>,
}

impl Peers {
    /// A connection has its peer there.
    pub fn add(&mut self, remote: SocketAddr, ccid: Ccid, key: TunnelKey) {
        self.peers.entry(remote).or_default().connections.insert(ccid, key);
    }

    /// It is over, or its peer is elsewhere now.
    pub fn remove(&mut self, remote: SocketAddr, ccid: Ccid) {
        if let Some(peer) = self.peers.get_mut(&remote) {
            peer.connections.remove(&ccid);
            if peer.connections.is_empty() {
                self.peers.remove(&remote);
            }
        }
    }

    /// The connections with this peer.
    pub fn at(&self, remote: SocketAddr) -> impl Iterator<Item = (Ccid, TunnelKey)> + '_ {
        let connections = self.peers.get(&remote).into_iter().flat_map(|peer| &peer.connections);
        connections.map(|(ccid, key)| (*ccid, *key))
    }

    /// The tunnels that have a connection with this address, whatever the port.
    pub fn tunnels_of(&self, address: IpAddr) -> BTreeSet<TunnelKey> {
        // The flow label and scope of IPv6 follow the port in the order.
        let first = SocketAddr::new(address, 0);
        let peers = self.peers.range(first..).take_while(|(remote, _)| remote.ip() == address);
        peers.flat_map(|(_, peer)| peer.connections.values().copied()).collect()
    }

    /// Whether a hint from there is to be heeded.
    pub fn heeds_hint(&mut self, now: Instant, remote: SocketAddr) -> bool {
        let Some(peer) = self.peers.get_mut(&remote) else { return false };
        if peer.hinted.is_some_and(|at| now.saturating_duration_since(at) < HINT_PAUSE) {
            return false;
        }
        peer.hinted = Some(now);
        true
    }
}
