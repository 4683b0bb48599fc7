//! Bounds on what strangers cost: how many SCCRQs of one source are looked at, how many half-open connections are
//! kept. Fixed memory; RFC 3931 4.3 allows the rate limit, C-109 and C-364 want the bounds.

use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Half-open connections that answer a peer, for one tunnel.
pub const HALF_OPEN_PER_TUNNEL: usize = 16;
/// Half-open connections that answer peers, in all.
pub const HALF_OPEN_TOTAL: usize = 256;

/// SCCRQs that a source may send at once.
const BURST: u32 = 40;
/// One more is allowed after each such time.
const REFILL: Duration = Duration::from_millis(20);
/// Sources that are told apart; the others share their buckets.
const BUCKETS: usize = 256;

/// Shares that one SCCRQ of a source with a single tunnel costs; with more tunnels each costs less.
const COST: u32 = 1000;

#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// In shares.
    tokens: u32,
    filled: Instant,
}

/// A token bucket for each of a fixed number of source addresses. Which addresses share a bucket depends on a
/// random key, so that nobody can choose to share another's.
#[derive(Debug)]
pub struct Guard {
    buckets: Vec<Bucket>,
    key: u64,
}

impl Guard {
    /// Full buckets.
    pub fn new(now: Instant, key: u64) -> Guard {
        Guard { buckets: vec![Bucket { tokens: BURST * COST, filled: now }; BUCKETS], key }
    }

    /// Whether one more SCCRQ of `source` is looked at. A source that serves many tunnels may send as many times more.
    pub fn allows(&mut self, now: Instant, source: IpAddr, tunnels: usize) -> bool {
        let cost = COST.checked_div(u32::try_from(tunnels).unwrap_or(u32::MAX)).unwrap_or(COST).max(1);
        let index = self.index(source);
        let Some(bucket) = self.buckets.get_mut(index) else { return false };
        let elapsed = now.saturating_duration_since(bucket.filled);
        let gained = elapsed.as_millis().checked_div(REFILL.as_millis()).unwrap_or(0);
        if gained > 0 {
            let gained = u32::try_from(gained).unwrap_or(BURST);
            bucket.tokens = bucket.tokens.saturating_add(gained.saturating_mul(COST)).min(BURST * COST);
            bucket.filled = now;
        }
        match bucket.tokens.checked_sub(cost) {
            Some(left) => {
                bucket.tokens = left;
                true
            }
            None => false,
        }
    }

    /// Mixes key and network (the finaliser of splitmix64); a /64 is one source.
    fn index(&self, source: IpAddr) -> usize {
        let network = match source {
            IpAddr::V4(address) => u64::from(address.to_bits()),
            IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
        };
        let mut mixed = network.wrapping_add(self.key);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from(mixed >> 33).unwrap_or(0) % BUCKETS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Neighbours in one network do not share a bucket more often than chance has it.
    #[test]
    fn c_109_neighbours_have_buckets_of_their_own() {
        let guard = Guard::new(crate::proto::tests::start(), 7);
        for network in [[192, 0, 2], [10, 0, 0]] {
            let [a, b, c] = network;
            let mut used: Vec<usize> = (0..=255).map(|d| guard.index(IpAddr::from([a, b, c, d]))).collect();
            used.sort_unstable();
            used.dedup();
            assert!(used.len() > 128, "{} buckets for 256 addresses", used.len());
        }
    }

    #[test]
    fn c_109_a_flood_is_cut_and_calms_down() {
        let start = crate::proto::tests::start();
        let source = IpAddr::from([192, 0, 2, 1]);
        let mut guard = Guard::new(start, 1);
        let passed = (0..1000).filter(|_| guard.allows(start, source, 1)).count();
        assert_eq!(passed, BURST as usize);
        assert!(!guard.allows(start + Duration::from_millis(19), source, 1));
        assert!(guard.allows(start + Duration::from_millis(40), source, 1));
        let later = start + Duration::from_secs(3600);
        assert_eq!((0..1000).filter(|_| guard.allows(later, source, 1)).count(), BURST as usize);
    }
}
