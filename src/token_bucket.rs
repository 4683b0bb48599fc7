//! A token bucket: how often something may happen, at once and for good. Pure: time comes from the caller.

use crate::saved::saved;
use std::time::{Duration, Instant};

/// The cost of one event in full, in thousandths of a token.
pub const ONE: u32 = 1000;

/// How much a bucket allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Events at once, from a full bucket.
    pub burst: u32,
    /// Events a second for good.
    pub per_second: u32,
}

/// What is left of a bucket's tokens.
#[derive(Debug, Clone, Copy)]
pub struct TokenBucket {
    /// In thousandths of a token.
    left: u64,
    /// When they were counted.
    counted: Instant,
}
saved!(TokenBucket { left, counted });

impl TokenBucket {
    /// One that lets a whole burst pass.
    pub fn new(now: Instant, rate: Rate) -> TokenBucket {
        TokenBucket { left: full(rate), counted: now }
    }

    /// Whether an event of this `cost` (in thousandths, [`ONE`] for a whole one) may happen now. If so, it is paid.
    pub fn take(&mut self, now: Instant, rate: Rate, cost: u32) -> bool {
        let passed = now.saturating_duration_since(self.counted);
        let passed = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
        // A token a second is a thousandth of it each millisecond.
        let earned = passed.saturating_mul(u64::from(rate.per_second));
        self.left = self.left.saturating_add(earned).min(full(rate));
        // What is less than a millisecond counts the next time.
        self.counted = self.counted.checked_add(Duration::from_millis(passed)).unwrap_or(now);
        match self.left.checked_sub(u64::from(cost)) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

/// The most that a bucket holds, in thousandths of a token.
fn full(rate: Rate) -> u64 {
    u64::from(rate.burst).saturating_mul(u64::from(ONE))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // tests need some first instant
mod tests {
    use super::*;

    const RATE: Rate = Rate { burst: 40, per_second: 5 };

    #[test]
    fn a_burst_then_the_rate() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(start, RATE);
        assert_eq!((0..1000).filter(|_| bucket.take(start, RATE, ONE)).count(), 40);
        assert!(!bucket.take(start + Duration::from_millis(199), RATE, ONE));
        assert!(bucket.take(start + Duration::from_millis(200), RATE, ONE));
        assert!(!bucket.take(start + Duration::from_millis(200), RATE, ONE));
        let later = start + Duration::from_secs(3600);
        assert_eq!((0..1000).filter(|_| bucket.take(later, RATE, ONE)).count(), 40, "no more than full");
    }

    #[test]
    fn a_part_of_an_event_costs_a_part() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(start, RATE);
        assert_eq!((0..1000).filter(|_| bucket.take(start, RATE, ONE / 10)).count(), 400);
    }

    #[test]
    fn time_that_stands_still_or_ends_is_no_trouble() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(start + Duration::from_secs(9), RATE);
        assert!(bucket.take(start, RATE, ONE), "time before the first count");
        let mut none = TokenBucket::new(start, Rate { burst: 0, per_second: 0 });
        assert!(!none.take(start + Duration::from_secs(9), Rate { burst: 0, per_second: 0 }, ONE));
    }
}
