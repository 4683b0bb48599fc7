//! When to rest for a moment before looking for new work, as network cards do with their interrupts: a daemon that
//! wakes up for every few frames spends most of its time waking up. While it is busy, frames that gather during a
//! short rest are dealt with together, which costs all programs on the way less. A daemon with little to do never
//! rests: nothing waits there.

use std::time::{Duration, Instant};

/// How often it is judged anew whether the daemon is busy.
const PERIOD: Duration = Duration::from_millis(1);
/// Received datagrams in one turn that are worth gathering more of.
const MANY: usize = 4;

/// Measures how busy the loop is.
#[derive(Debug)]
pub struct Pace {
    since: Instant,
    /// Time of this period in which nothing was to do.
    idle: Duration,
    busy: bool,
}

impl Pace {
    /// Begins with an idle daemon.
    pub fn new(now: Instant) -> Pace {
        Pace { since: now, idle: Duration::ZERO, busy: false }
    }

    /// The loop waited for events from `before` until `now`.
    pub fn waited(&mut self, before: Instant, now: Instant) {
        self.idle += now.saturating_duration_since(before);
        let period = now.saturating_duration_since(self.since);
        if period >= PERIOD {
            // Resting counts as work: a busy daemon does not seem idle only because it rests.
            self.busy = self.idle < period / 2;
            (self.since, self.idle) = (now, Duration::ZERO);
        }
    }

    /// Whether to rest now: everything has been dealt with, `received` datagrams in this turn.
    pub fn rests(&self, received: usize) -> bool {
        self.busy && received >= MANY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns of `work` and `wait` microseconds each, for `total` microseconds; how many of them ended with a rest
    /// of 60.
    fn rests(pace: &mut Pace, now: &mut Instant, work: u64, wait: u64, total: u64, received: usize) -> u64 {
        let end = *now + Duration::from_micros(total);
        let mut count = 0;
        while *now < end {
            *now += Duration::from_micros(work);
            if pace.rests(received) {
                count += 1;
                *now += Duration::from_micros(60);
            }
            let before = *now;
            *now += Duration::from_micros(wait);
            pace.waited(before, *now);
        }
        count
    }

    #[test]
    fn only_a_busy_daemon_with_many_frames_rests() {
        let mut now = crate::sys::clock::now();
        let mut pace = Pace::new(now);
        assert_eq!(rests(&mut pace, &mut now, 10, 90, 20_000, 64), 0, "mostly idle");
        assert_eq!(rests(&mut pace, &mut now, 50, 5, 20_000, 3), 0, "single frames");
        assert!(rests(&mut pace, &mut now, 50, 5, 20_000, 40) > 150, "a flood");
        // The first period afterwards may still count as busy.
        assert!(rests(&mut pace, &mut now, 20, 400, 20_000, 40) <= 5, "bursts of a client that waits");
        assert_eq!(rests(&mut pace, &mut now, 20, 400, 20_000, 40), 0, "still so");
    }
}
