//! The addresses of the peers: which connections are with whom, and hints that a peer has forgotten one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::ids::TunnelKey;
use crate::gather::{self, Table};
use crate::saved::saved;
use crate::wire::Ccid;

/// Hints from one address that follow another one within this time are passed over: anybody can forge them.
const HINT_PAUSE: Duration = Duration::from_secs(5);

/// Connections with one address that are asked because of one hint; of more, others the next time.
const HINTED: usize = 16;

/// Reports that an address cannot be reached follow each message; one is as good as the others within this time.
const REPORT_PAUSE: Duration = Duration::from_secs(1);

saved! {
    /// An address that is the peer's of some connection.
    #[derive(Debug, Default)]
    struct Peer {
        /// By our ids.
        connections: Table<BTreeMap<Ccid, TunnelKey>>,
        /// The peer's ids, where they are known, and ours.
        theirs: Table<BTreeSet<(Ccid, Ccid)>>,
        /// How many of them are established.
        established: usize,
        /// When the last hint came from there, and the first connection that it did not matter for.
        hinted: Option<(Instant, Ccid)>,
        /// When it was last reported as not reachable.
        reported: Option<Instant>,
    }

    /// The peers, by address and port (0 over IP).
    #[derive(Debug, Default)]
    pub struct Peers {
        peers: Table<BTreeMap<SocketAddr, Peer>>,
    }
}

impl Peers {
    /// A connection has its peer there; with our id and the peer's, or 0.
    pub fn add(&mut self, remote: SocketAddr, (ours, theirs): (Ccid, Ccid), key: TunnelKey) {
        let peer = self.peers.entry(remote).or_default();
        peer.connections.insert(ours, key);
        if theirs != Ccid(0) {
            peer.theirs.insert((theirs, ours));
        }
    }

    /// A connection with this peer was established or not, and is it or not from now on.
    pub fn moved(&mut self, remote: SocketAddr, was: bool, is: bool) {
        if let Some(peer) = self.peers.get_mut(&remote) {
            peer.established = peer.established.saturating_sub(was.into()).saturating_add(is.into());
        }
    }

    /// Whether any connection with this peer is established.
    pub fn has_established(&self, remote: SocketAddr) -> bool {
        self.peers.get(&remote).is_some_and(|peer| peer.established > 0)
    }

    /// The peer of a connection there has another id from now on.
    pub fn assign(&mut self, remote: SocketAddr, (ours, before): (Ccid, Ccid), theirs: Ccid) {
        let peer = self.peers.get_mut(&remote).filter(|peer| peer.connections.contains_key(&ours));
        if let Some(peer) = peer {
            peer.theirs.remove(&(before, ours));
            if theirs != Ccid(0) {
                peer.theirs.insert((theirs, ours));
            }
        }
    }

    /// It is over, or its peer is elsewhere now.
    pub fn remove(&mut self, remote: SocketAddr, (ours, theirs): (Ccid, Ccid)) {
        if let Some(peer) = self.peers.get_mut(&remote) {
            peer.connections.remove(&ours);
            peer.theirs.remove(&(theirs, ours));
            if peer.connections.is_empty() {
                self.peers.remove(&remote);
            }
        }
    }

    /// The connections that this peer has under this id of its own.
    pub fn known_as(&self, remote: SocketAddr, theirs: Ccid) -> impl Iterator<Item = (Ccid, TunnelKey)> + '_ {
        self.peers.get(&remote).into_iter().flat_map(move |peer| {
            let same = peer.theirs.range((theirs, Ccid(0))..=(theirs, Ccid(u32::MAX)));
            same.filter_map(|(_, ours)| Some((*ours, *peer.connections.get(ours)?)))
        })
    }

    /// The connections with this peer.
    pub fn at(&self, remote: SocketAddr) -> impl Iterator<Item = (Ccid, TunnelKey)> + '_ {
        let connections = self.peers.get(&remote).into_iter().flat_map(|peer| peer.connections.iter());
        connections.map(|(ccid, key)| (*ccid, *key))
    }

    /// The tunnels that have a connection with this address, whatever the port.
    pub fn tunnels_of(&self, address: IpAddr) -> BTreeSet<TunnelKey> {
        // The flow label and scope of IPv6 follow the port in the order.
        let first = SocketAddr::new(address, 0);
        let peers = self.peers.range(first..).take_while(|(remote, _)| remote.ip() == address);
        gather::set(peers.flat_map(|(_, peer)| peer.connections.values().copied()))
    }

    /// The connections that are to be asked because of a hint from there: none while the last one is not long ago, and
    /// some, where there are many.
    pub fn hinted(&mut self, now: Instant, remote: SocketAddr) -> Vec<(Ccid, TunnelKey)> {
        let Some(peer) = self.peers.get_mut(&remote) else { return Vec::new() };
        let next = match peer.hinted {
            Some((at, _)) if now.saturating_duration_since(at) < HINT_PAUSE => return Vec::new(),
            Some((_, next)) => next,
            None => Ccid(0),
        };
        let circle = peer.connections.range(next..).chain(peer.connections.range(..next));
        let mut circle = circle.map(|(ccid, key)| (*ccid, *key));
        let asked: Vec<(Ccid, TunnelKey)> = circle.by_ref().take(HINTED).collect();
        let next = circle.next().map_or(Ccid(0), |(ccid, _)| ccid);
        peer.hinted = Some((now, next));
        asked
    }

    /// Whether a report that it cannot be reached is to be heeded.
    pub fn heeds_report(&mut self, now: Instant, remote: SocketAddr) -> bool {
        let Some(peer) = self.peers.get_mut(&remote) else { return false };
        if peer.reported.is_some_and(|at| now.saturating_duration_since(at) < REPORT_PAUSE) {
            return false;
        }
        peer.reported = Some(now);
        true
    }
}
