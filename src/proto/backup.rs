//! What a tunnel with several peers knows of them: which one is in use and why, and since when better ones can be reached.
//! What it does with that stands in `failover`.

use std::net::IpAddr;
use std::time::Instant;

use super::context::Context;
use crate::saved::saved;
use crate::wheel::TimerId;
use crate::wire::Ccid;

saved! {
    /// A peer that is asked: one that is better than the one in use, or could stand by.
    #[derive(Debug)]
    pub struct Better {
        /// The peer's.
        pub address: IpAddr,
        /// It has answered each time since.
        pub since: Option<Instant>,
    }

    /// What a tunnel knows of the order of its peers.
    #[derive(Debug, Default)]
    pub struct Backup {
        /// The peer that serves the tunnel, or did so last.
        pub in_use: Option<IpAddr>,
        /// Why that one, in words.
        pub why: String,
        /// How often another one took its place.
        pub changes: u64,
        /// The connection with the peer that stands by (`standby hot`).
        pub standby: Option<Ccid>,
        /// Since when that connection is established.
        pub standby_since: Option<Instant>,
        /// The peers that the administrator moved the tunnel away from: they have to be gone once before it comes back.
        pub left: Vec<IpAddr>,
        /// Why the next one will be in use.
        pub because: Option<String>,
        /// The peers that are better than the one in use, in their order.
        pub better: Vec<Better>,
        /// The place of the one that is asked next.
        pub next: usize,
        /// Fires when the next one is to be asked.
        pub timer: Option<TimerId>,
    }
}

impl Backup {
    /// Notes why the tunnel leaves a peer, or passes it over; the first reason is the one that counts.
    pub fn because(&mut self, why: impl FnOnce() -> String) {
        self.because.get_or_insert_with(why);
    }

    /// Since when a better peer can be reached.
    pub fn within_reach(&self, address: IpAddr) -> Option<Instant> {
        self.better.iter().find(|better| better.address == address)?.since
    }

    /// No peer is asked any more.
    pub fn cancel(&mut self, cx: &mut Context) {
        cx.cancel(&mut self.timer);
    }

    /// The peers to ask are these from now on.
    pub fn follow(&mut self, addresses: impl Iterator<Item = IpAddr>) {
        let mut before = std::mem::take(&mut self.better);
        for address in addresses {
            let at = before.iter().position(|better| better.address == address);
            let known = at.map(|at| before.swap_remove(at));
            if self.better.iter().all(|better| better.address != address) {
                self.better.push(known.unwrap_or(Better { address, since: None }));
            }
        }
    }

    /// What is known of a better peer.
    pub fn find(&mut self, address: IpAddr) -> Option<&mut Better> {
        self.better.iter_mut().find(|better| better.address == address)
    }

    /// A peer does not answer, or refuses.
    pub fn failed(&mut self, address: IpAddr) {
        self.left.retain(|left| *left != address);
        if let Some(better) = self.find(address) {
            better.since = None;
        }
    }
}
