//! SCCRQs that were answered without a connection. Where more peers call than may be half open, whoever they are, each
//! still gets its SCCRP; the connection is made when the SCCCN comes back, which proves that the peer is where it
//! says it is (and, with a password, that its SCCRQ is no recording). Forged SCCRQs never get that far.
//!
//! Fixed memory and no timers: the oldest is forgotten for a new one. The ids and nonces are random and last as long as
//! their entry, so that an SCCCN is good for one connection only.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use super::action::Path;
use super::ids::TunnelKey;
use crate::saved::saved;
use crate::wire::message::SetUp;
use crate::wire::Ccid;

/// How many are kept. Up to this number divided by their round-trip time, in SCCRQs a second, no flood keeps a peer
/// out; and so many peers may call at once.
const PLACES: usize = 16_384;
/// The longest SCCRQ that is kept, in octets; those of peers have 100 to 200.
const LONGEST: usize = 1024;

/// What an SCCRQ is known again by: repeated, it says all of this again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestKey {
    tunnel: TunnelKey,
    remote: SocketAddr,
    assigned: Ccid,
    tie_breaker: Option<[u8; 8]>,
    nonce: Option<Vec<u8>>,
}
saved!(RequestKey { tunnel, remote, assigned, tie_breaker, nonce });

impl RequestKey {
    /// That of an SCCRQ for a tunnel.
    pub fn new(tunnel: TunnelKey, path: &Path, set_up: &SetUp) -> RequestKey {
        RequestKey {
            tunnel,
            remote: path.remote,
            assigned: set_up.assigned_ccid,
            tie_breaker: set_up.tie_breaker,
            nonce: set_up.nonce.clone(),
        }
    }
}

/// An SCCRQ that was answered.
#[derive(Debug, Clone)]
pub struct Answered {
    key: RequestKey,
    /// The tunnel that it is for.
    pub tunnel: TunnelKey,
    /// Where it came from.
    pub path: Path,
    /// The whole SCCRQ.
    pub message: Vec<u8>,
    /// Our id in the SCCRP.
    pub ccid: Ccid,
    /// Our nonce in the SCCRP.
    pub nonce: [u8; 16],
    /// Octets that may still be sent there (see [`super::connection::transport`]).
    pub allowance: usize,
}
saved!(Answered { key, tunnel, path, message, ccid, nonce, allowance });

impl Answered {
    /// Whether what came on this path may be from who sent the SCCRQ.
    pub fn is_from(&self, path: Path) -> bool {
        self.path.remote == path.remote && self.path.via.device == path.via.device
    }
}

/// What was answered and waits for its SCCCN.
#[derive(Debug, Default)]
pub struct Unproven {
    entries: BTreeMap<Ccid, Box<Answered>>,
    by_request: BTreeMap<RequestKey, Ccid>,
    /// The oldest first; also ids of entries that are gone.
    order: VecDeque<Ccid>,
}
saved!(Unproven { entries, by_request, order });

impl Unproven {
    /// The one whose SCCRP has this id of ours.
    pub fn get(&self, ccid: Ccid) -> Option<&Answered> {
        self.entries.get(&ccid).map(Box::as_ref)
    }

    /// The one whose SCCRQ has come again.
    pub fn find(&mut self, key: &RequestKey) -> Option<&mut Answered> {
        self.entries.get_mut(self.by_request.get(key)?).map(Box::as_mut)
    }

    /// One more. `None`: the SCCRQ is too long.
    pub fn add(
        &mut self,
        key: RequestKey,
        (path, message): (Path, &[u8]),
        (ccid, nonce): (Ccid, [u8; 16]),
    ) -> Option<()> {
        if message.len() > LONGEST {
            return None;
        }
        if self.order.len() >= PLACES {
            if let Some(oldest) = self.order.pop_front() {
                self.remove(oldest);
            }
        }
        self.order.push_back(ccid);
        self.by_request.insert(key.clone(), ccid);
        let tunnel = key.tunnel;
        let answered = Answered { key, tunnel, path, message: message.to_vec(), ccid, nonce, allowance: 0 };
        self.entries.insert(ccid, Box::new(answered));
        Some(())
    }

    /// It has become a connection, or was taken back.
    pub fn remove(&mut self, ccid: Ccid) {
        if let Some(entry) = self.entries.remove(&ccid) {
            self.by_request.remove(&entry.key);
        }
    }
}
