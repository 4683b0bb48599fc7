//! Bounds on what strangers cost: how many SCCRQs of one source may make a connection, how many are answered in all,
//! how many half-open connections are kept. Bounded memory; RFC 3931 4.3 allows the rate limit, C-109 and C-364 want the
//! bounds.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use crate::gather;
use crate::saved::{tag, Reader, Saved, Writer};
use crate::token_bucket::{Rate, TokenBucket, ONE};

/// Half-open connections that answer a peer, for one tunnel.
pub const HALF_OPEN_PER_TUNNEL: usize = 16;
/// Half-open connections that answer peers, in all.
pub const HALF_OPEN_TOTAL: usize = 256;

/// SCCRQs of one source that may make a connection.
const RATE: Rate = Rate { burst: 40, per_second: 50 };
/// Sources that are told apart; the others share their buckets.
const BUCKETS: u64 = 1024;
/// SCCRQs of all sources that are answered without a connection, and repetitions: what the processor can bear.
const RATE_OF_ALL: Rate = Rate { burst: 4000, per_second: 20_000 };

/// A token bucket for each of a fixed number of source addresses. Which addresses share a bucket depends on a
/// random key, so that nobody can choose to share another's.
#[derive(Debug)]
pub struct Guard {
    /// Those that were taken from; the others are full.
    used: BTreeMap<u16, TokenBucket>,
    all: TokenBucket,
    key: u64,
}

/// The versions before wrote all buckets, in their order.
const OLDER: u32 = tag("Guard.buckets.all.key");
const NEWER: u32 = tag("Guard.used.all.key");

impl Saved for Guard {
    fn save(&self, to: &mut Writer) {
        let Self { used, all, key } = self;
        to.tag(NEWER);
        used.save(to);
        all.save(to);
        key.save(to);
    }

    fn restore(from: &mut Reader<'_>) -> Self {
        let used = match from.tag_of_two(OLDER, NEWER) {
            true => gather::map((0..=u16::MAX).zip(Vec::restore(from))),
            false => BTreeMap::restore(from),
        };
        Guard { used, all: Saved::restore(from), key: Saved::restore(from) }
    }
}

impl Guard {
    /// All buckets are full.
    pub fn new(now: Instant, key: u64) -> Guard {
        let all = TokenBucket::new(now, RATE_OF_ALL);
        Guard { used: BTreeMap::new(), all, key }
    }

    /// Whether one more SCCRQ may be answered at all.
    pub fn answers(&mut self, now: Instant) -> bool {
        self.all.take(now, RATE_OF_ALL, ONE)
    }

    /// Whether one more SCCRQ of `source` may make a connection. A source that serves many tunnels may send as many times more.
    pub fn allows(&mut self, now: Instant, source: IpAddr, tunnels: usize) -> bool {
        let cost = ONE.checked_div(u32::try_from(tunnels).unwrap_or(u32::MAX)).unwrap_or(ONE).max(1);
        let index = self.index(source);
        self.used.entry(index).or_insert_with(|| TokenBucket::new(now, RATE)).take(now, RATE, cost)
    }

    /// Mixes key and network (the finaliser of splitmix64); a /64 is one source.
    fn index(&self, source: IpAddr) -> u16 {
        let network = match source {
            IpAddr::V4(address) => u64::from(address.to_bits()),
            IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
        };
        let mut mixed = network.wrapping_add(self.key);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u16::try_from((mixed >> 33) % BUCKETS).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Neighbours in one network do not share a bucket more often than chance has it.
    #[test]
    fn c_109_neighbours_have_buckets_of_their_own() {
        let guard = Guard::new(crate::proto::tests::start(), 7);
        for network in [[192, 0, 2], [10, 0, 0]] {
            let [a, b, c] = network;
            let mut used: Vec<u16> = (0..=255).map(|d| guard.index(IpAddr::from([a, b, c, d]))).collect();
            used.sort_unstable();
            used.dedup();
            assert!(used.len() > 128, "{} buckets for 256 addresses", used.len());
        }
    }

    /// What the version before has written is read: it wrote full buckets, too.
    #[test]
    fn buckets_of_the_version_before() {
        let start = crate::proto::tests::start();
        let source = IpAddr::from([192, 0, 2, 1]);
        let mut guard = Guard::new(start, 7);
        assert_eq!((0..1000).filter(|_| guard.allows(start, source, 1)).count(), RATE.burst as usize);
        let bucket = |number| guard.used.get(&number).copied().unwrap_or(TokenBucket::new(start, RATE));
        let mut writer = Writer::new(start);
        writer.tag(OLDER);
        (0..1024).map(bucket).collect::<Vec<_>>().save(&mut writer);
        guard.all.save(&mut writer);
        guard.key.save(&mut writer);
        let octets = writer.plain();
        let mut older = Guard::restore(&mut Reader::unchecked(&octets, start));
        assert!(!older.allows(start, source, 1), "as empty as it was");
        assert!(older.allows(start, IpAddr::from([192, 0, 2, 2]), 1));
    }

    #[test]
    fn c_109_a_flood_is_cut_and_calms_down() {
        let start = crate::proto::tests::start();
        let source = IpAddr::from([192, 0, 2, 1]);
        let mut guard = Guard::new(start, 1);
        let passed = (0..1000).filter(|_| guard.allows(start, source, 1)).count();
        assert_eq!(passed, RATE.burst as usize);
        assert!(!guard.allows(start + Duration::from_millis(19), source, 1));
        assert!(guard.allows(start + Duration::from_millis(40), source, 1));
        let later = start + Duration::from_secs(3600);
        assert_eq!((0..1000).filter(|_| guard.allows(later, source, 1)).count(), RATE.burst as usize);
    }
}
