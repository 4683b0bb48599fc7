//! Whether strangers flood us, where anybody can send to the one socket of an address. While they do, the kernel drops
//! most of what belongs to nobody, so that the rest has the room and the time that it needs. What still comes through
//! tells how much it is, and whether it goes on.

use std::time::{Duration, Instant};

/// How often it is judged.
const PERIOD: Duration = Duration::from_millis(100);
/// Messages of nobody in such a time that are dealt with; more are a flood.
const MANY: u32 = 1000;
/// So much fewer are received where it were too many: a power of two.
const STEP: u32 = 8;
/// At least one in so many is received.
const LEAST: u32 = 64;
/// Periods in a row with less of a flood after which more is received again.
const QUIET: u32 = 10;

/// What is counted of one kind of messages.
pub(super) struct Flood {
    counted: u32,
    /// When the period at hand ends.
    end: Option<Instant>,
    /// One in so many is received.
    sample: u32,
    /// Periods that would have done with more, and with how much in each of them.
    quiet: u32,
    enough: u32,
}

impl Default for Flood {
    fn default() -> Flood {
        Flood { counted: 0, end: None, sample: 1, quiet: 0, enough: 1 }
    }
}

impl Flood {
    /// So many messages of nobody came. `true`: fewer are to be received from now on.
    pub(super) fn count(&mut self, now: Instant, messages: u32) -> bool {
        if self.end.is_none() && messages > 0 {
            self.end = now.checked_add(PERIOD);
        }
        self.counted = self.counted.saturating_add(messages);
        if self.counted < MANY || self.sample == LEAST {
            return false;
        }
        (self.counted, self.quiet, self.enough) = (0, 0, 1);
        self.sample = (self.sample * STEP).min(LEAST);
        true
    }

    /// A period may have ended. `true`: more is to be received from now on.
    pub(super) fn turn(&mut self, now: Instant) -> bool {
        if self.end.is_none_or(|end| now < end) {
            return false;
        }
        let all = std::mem::take(&mut self.counted).saturating_mul(self.sample);
        let enough = all.div_ceil(MANY).max(1).next_power_of_two();
        self.quiet = if enough < self.sample { self.quiet + 1 } else { 0 };
        self.enough = if self.quiet > 1 { self.enough.max(enough) } else { enough };
        let less = self.quiet >= QUIET;
        if less {
            (self.sample, self.quiet) = (self.enough, 0);
        }
        self.end = if self.is_on() { now.checked_add(PERIOD) } else { None };
        less
    }

    /// Whether less than all is received.
    pub(super) fn is_on(&self) -> bool {
        self.sample > 1
    }

    /// One in so many messages of nobody is to be received.
    pub(super) fn sample(&self) -> u32 {
        self.sample
    }

    /// When [`turn`](Flood::turn) has something to do.
    pub(super) fn next(&self) -> Option<Instant> {
        self.end
    }
}

/// The kinds of messages that belong to nobody.
#[derive(Default)]
pub(super) struct Floods {
    /// Control messages that belong to no control connection yet.
    pub(super) strangers: Flood,
    /// Control messages with an id of no connection.
    pub(super) connections: Flood,
    /// Data of no session.
    pub(super) sessions: Flood,
}

impl Floods {
    fn all(&mut self) -> [&mut Flood; 3] {
        [&mut self.strangers, &mut self.connections, &mut self.sessions]
    }

    /// So many of each kind came, and a period may have ended. `true`: what is to be received has changed.
    pub(super) fn judge(&mut self, now: Instant, counts: [u32; 3]) -> bool {
        let mut changed = false;
        for (flood, count) in self.all().into_iter().zip(counts) {
            changed |= flood.count(now, count);
            changed |= flood.turn(now);
        }
        changed
    }

    /// When there is something to be judged although nothing comes.
    pub(super) fn next(&self) -> Option<Instant> {
        [&self.strangers, &self.connections, &self.sessions]
            .into_iter()
            .filter_map(|flood| flood.next())
            .min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::clock;

    #[test]
    fn a_flood_begins_at_once_and_ends_later() {
        let start = clock::now();
        let mut flood = Flood::default();
        assert!(flood.next().is_none() && !flood.count(start, 0));
        assert!(!flood.count(start, MANY - 1));
        assert!(!flood.turn(start + PERIOD), "there was none");
        assert!(flood.next().is_none(), "nothing to do while nothing comes");
        assert!(!flood.count(start + PERIOD, MANY - 1));
        assert!(flood.count(start + PERIOD, 1));
        assert_eq!(flood.sample(), STEP);
        assert!(flood.count(start + PERIOD, MANY), "too much still");
        assert!(!flood.count(start + PERIOD, MANY), "but never nothing");
        assert_eq!(flood.sample(), LEAST);
        let mut now = start + PERIOD;
        flood.counted = 0;
        for n in 1..=QUIET {
            now += PERIOD;
            assert_eq!(flood.turn(now), n == QUIET);
        }
        assert_eq!((flood.sample(), flood.next()), (1, None));
    }

    #[test]
    fn as_much_is_received_as_can_be_dealt_with() {
        let mut now = clock::now();
        let mut flood = Flood::default();
        // Ten times as much as that, of which what passes the filter is counted.
        for _ in 0..30 {
            flood.count(now, 10 * MANY / flood.sample());
            now += PERIOD;
            flood.turn(now);
        }
        assert_eq!(flood.sample(), 16);
    }
}
