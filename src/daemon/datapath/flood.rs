//! Whether strangers flood us over IP, where anybody can send to the one socket of an address. While they do, the kernel
//! drops most of what belongs to nobody, so that the rest has the room and the time that it needs. What still comes
//! through tells whether the flood goes on.

use std::time::{Duration, Instant};

/// How often it is judged.
const PERIOD: Duration = Duration::from_millis(100);
/// Messages of nobody in such a time that are a flood.
const MANY: u32 = 500;
/// While there is a flood, one in so many is received.
pub(super) const SAMPLE: u32 = 64;
/// Periods in a row without a flood after which all is received again.
const QUIET: u32 = 20;

/// What is counted of one kind of messages.
#[derive(Default)]
pub(super) struct Flood {
    counted: u32,
    /// When the period at hand ends.
    end: Option<Instant>,
    on: bool,
    quiet: u32,
}

impl Flood {
    /// So many messages of nobody came. `true`: it has become a flood.
    pub(super) fn count(&mut self, now: Instant, messages: u32) -> bool {
        if self.end.is_none() && messages > 0 {
            self.end = now.checked_add(PERIOD);
        }
        self.counted = self.counted.saturating_add(messages);
        !self.on && self.counted >= MANY && self.begin()
    }

    fn begin(&mut self) -> bool {
        self.on = true;
        self.quiet = 0;
        true
    }

    /// A period may have ended. `true`: the flood is over.
    pub(super) fn turn(&mut self, now: Instant) -> bool {
        if self.end.is_none_or(|end| now < end) {
            return false;
        }
        let counted = std::mem::take(&mut self.counted);
        let all = counted.saturating_mul(if self.on { SAMPLE } else { 1 });
        self.quiet = if all < MANY { self.quiet + 1 } else { 0 };
        let over = self.on && self.quiet >= QUIET;
        self.on &= !over;
        self.end = if self.on { now.checked_add(PERIOD) } else { None };
        over
    }

    /// One in so many messages of nobody is to be received.
    pub(super) fn sample(&self) -> u32 {
        if self.on {
            SAMPLE
        } else {
            1
        }
    }

    /// When [`turn`](Flood::turn) has something to do.
    pub(super) fn next(&self) -> Option<Instant> {
        self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_begins_at_once_and_ends_later() {
        let start = crate::sys::clock::now();
        let mut flood = Flood::default();
        assert!(flood.next().is_none() && !flood.count(start, 0));
        assert!(!flood.count(start, MANY - 1));
        assert!(!flood.turn(start + PERIOD), "there was none");
        assert!(flood.next().is_none(), "nothing to do while nothing comes");
        assert!(!flood.count(start + PERIOD, MANY - 1));
        assert!(flood.count(start + PERIOD, 1) && !flood.count(start + PERIOD, MANY));
        assert_eq!(flood.sample(), SAMPLE);
        let mut now = start + PERIOD * 2;
        for _ in 0..QUIET * 3 {
            // What comes through stands for many more.
            flood.count(now, MANY / SAMPLE + 1);
            assert!(!flood.turn(now));
            now += PERIOD;
        }
        for n in 1..=QUIET {
            assert_eq!(flood.turn(now), n == QUIET);
            now += PERIOD;
        }
        assert_eq!((flood.sample(), flood.next()), (1, None));
    }
}
