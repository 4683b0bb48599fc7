//! Timers: armed, armed anew and cancelled in a time that hardly grows with their number; armed ones cost nothing while
//! they wait. Pure: time comes from the caller, and is cut into ticks of a millisecond since the timers were made.

use std::collections::btree_map::{BTreeMap, Entry};
use std::time::{Duration, Instant};

use crate::saved::{saved, Reader, Saved, Writer};

/// Names an armed timer: its tick, and below that its number, so that those of one tick fire in the order of arming. Stale
/// once it fired or was cancelled; a stale id is harmless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimerId(u64);
saved!(tuple TimerId(octets));

impl TimerId {
    /// Bits of the number: more timers than are armed at once. The ticks last for 500 years.
    const NUMBER: u32 = 20;

    fn new(tick: u64, number: u64) -> TimerId {
        let tick = tick.min(u64::MAX >> TimerId::NUMBER);
        TimerId(tick << TimerId::NUMBER | number & ((1 << TimerId::NUMBER) - 1))
    }

    fn tick(self) -> u64 {
        self.0 >> TimerId::NUMBER
    }
}

/// The armed timers. `K` is what comes out when one fires.
pub struct Timers<K> {
    start: Instant,
    armed: BTreeMap<TimerId, K>,
    /// How many were armed so far.
    count: u64,
}

impl<K> Timers<K> {
    /// None; their time begins at `now`.
    pub fn new(now: Instant) -> Timers<K> {
        Timers { start: now, armed: BTreeMap::new(), count: 0 }
    }

    /// Arms a timer. It fires at `at` or up to one tick (a millisecond) later, never earlier.
    pub fn arm(&mut self, at: Instant, key: K) -> TimerId {
        let since = at.saturating_duration_since(self.start);
        let tick = millis(since.saturating_add(Duration::from_nanos(999_999)));
        loop {
            self.count = self.count.wrapping_add(1);
            let id = TimerId::new(tick, self.count);
            // Numbers come again some day.
            if let Entry::Vacant(free) = self.armed.entry(id) {
                free.insert(key);
                return id;
            }
        }
    }

    /// Cancels a timer; returns its key if it was still armed.
    pub fn cancel(&mut self, id: TimerId) -> Option<K> {
        self.armed.remove(&id)
    }

    /// When a timer fires; `None` if it is not armed.
    pub fn when(&self, id: TimerId) -> Option<Instant> {
        self.armed.contains_key(&id).then(|| self.moment(id))?
    }

    /// When the earliest timer fires; `None` if none is armed.
    pub fn next(&self) -> Option<Instant> {
        self.moment(*self.armed.first_key_value()?.0)
    }

    fn moment(&self, id: TimerId) -> Option<Instant> {
        self.start.checked_add(Duration::from_millis(id.tick()))
    }

    /// The key of a timer that is due at `now`, earliest first; `None` when none is left.
    pub fn pop(&mut self, now: Instant) -> Option<K> {
        let tick = millis(now.saturating_duration_since(self.start));
        let first = self.armed.first_entry()?;
        (first.key().tick() <= tick).then(|| first.remove())
    }
}

/// Armed timers keep their ids, and their order.
impl<K: Saved> Saved for Timers<K> {
    fn save(&self, to: &mut Writer) {
        let Timers { start, armed, count } = self;
        start.save(to);
        armed.save(to);
        count.save(to);
    }

    fn restore(from: &mut Reader<'_>) -> Self {
        Timers { start: Saved::restore(from), armed: Saved::restore(from), count: Saved::restore(from) }
    }
}

/// Whole milliseconds; what does not fit is as good as never.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // tests need some first instant
mod tests {
    use super::*;

    /// A small generator of numbers that look random (xorshift).
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, end: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % end
        }
    }

    fn micros(n: u64) -> Duration {
        Duration::from_micros(n)
    }

    #[test]
    fn a_timer_fires_within_a_tick_and_never_early() {
        let start = Instant::now();
        for offset in [0, 1, 999, 1000, 1001, 63_999, 64_000, 64_001, 4_096_000, 262_144_000, 262_143_999] {
            let mut timers = Timers::new(start);
            timers.arm(start + micros(offset), 'x');
            if offset > 0 {
                assert_eq!(timers.pop(start + micros(offset - 1)), None, "{offset}");
            }
            assert_eq!(timers.pop(start + micros(offset + 999)), Some('x'), "{offset}");
            assert_eq!(timers.pop(start + micros(offset + 999)), None);
            assert_eq!(timers.next(), None);
        }
    }

    #[test]
    fn next_names_the_earliest_timer_at_once() {
        let start = Instant::now();
        let mut timers = Timers::new(start);
        let hello = start + Duration::from_secs(60);
        timers.arm(start + Duration::from_secs(90), 2);
        timers.arm(hello, 1);
        assert_eq!(timers.next(), Some(hello));
        assert_eq!(timers.pop(hello - micros(1)), None);
        assert_eq!(timers.next(), Some(hello));
        assert_eq!(timers.pop(hello), Some(1));
    }

    #[test]
    fn stale_ids_are_harmless() {
        let start = Instant::now();
        let mut timers = Timers::new(start);
        let first = timers.arm(start, "first");
        assert_eq!(timers.cancel(first), Some("first"));
        let second = timers.arm(start, "second"); // takes the same place
        assert_eq!(timers.cancel(first), None);
        assert_eq!(timers.pop(start), Some("second"));
        assert_eq!(timers.cancel(second), None);
    }

    #[test]
    fn timers_of_one_tick_fire_in_the_order_of_arming() {
        let start = Instant::now();
        let mut timers = Timers::new(start);
        let at = start + Duration::from_secs(5);
        for key in 0..5 {
            timers.arm(at, key);
        }
        let fired: Vec<i32> = std::iter::from_fn(|| timers.pop(at)).collect();
        assert_eq!(fired, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn far_timers_and_jumps() {
        let start = Instant::now();
        let year = Duration::from_secs(365 * 86_400);
        let mut timers = Timers::new(start);
        timers.arm(start + 100 * year, "century");
        timers.arm(start + year, "year");
        let never = timers.arm(start + micros(u64::MAX), "never");
        assert_eq!(timers.pop(start + year - micros(1)), None);
        assert_eq!(timers.pop(start + 99 * year), Some("year"));
        assert_eq!(timers.pop(start + 99 * year), None);
        // An `at` in the past is due at once, also after the jump.
        timers.arm(start + year, "late");
        assert_eq!(timers.pop(start + 99 * year), Some("late"));
        // A stale `now` is no reason to fire early.
        assert_eq!(timers.pop(start), None);
        assert_eq!(timers.pop(start + 101 * year), Some("century"));
        assert_eq!(timers.cancel(never), Some("never"));
        assert_eq!(timers.next(), None);
    }

    /// Everything armed, in a list: what the timers must agree with.
    #[derive(Default)]
    struct Model {
        armed: Vec<(u64, u32, TimerId)>,
    }

    impl Model {
        /// Pops everything due at `now` (in microseconds) from both and compares.
        fn advance(&mut self, timers: &mut Timers<u32>, start: Instant, now: u64) {
            let tick = now / 1000;
            let mut last = 0;
            while let Some(key) = timers.pop(start + micros(now)) {
                let at = self.armed.iter().position(|a| a.1 == key).expect("fired twice or never armed");
                let (due, _, _) = self.armed.swap_remove(at);
                let due = due.div_ceil(1000);
                assert!(due <= tick, "early: {due} at {now}");
                assert!(due >= last, "out of order: {due} at {now}");
                last = due;
            }
            assert!(self.armed.iter().all(|a| a.0.div_ceil(1000) > tick), "late at {now}");
            match (timers.next(), self.armed.iter().map(|a| a.0).min()) {
                (None, None) => {}
                (Some(next), Some(first)) => assert!(next <= start + micros(first.div_ceil(1000) * 1000)),
                (next, first) => panic!("next {next:?}, earliest {first:?}"),
            }
        }
    }

    #[test]
    fn agrees_with_a_plain_list() {
        let start = Instant::now();
        for seed in 1..=60u64 {
            let mut numbers = Numbers(seed << 32 | 0x9e37_79b9);
            let mut timers = Timers::new(start);
            let mut model = Model::default();
            let mut now = 0u64;
            for key in 0..600u32 {
                let spread = [1_000, 70_000, 5_000_000, 400_000_000, 1 << 44][numbers.below(5) as usize];
                match numbers.below(4) {
                    0 | 1 => {
                        let at = now + 1 + numbers.below(spread);
                        let id = timers.arm(start + micros(at), key);
                        model.armed.push((at, key, id));
                    }
                    2 if !model.armed.is_empty() => {
                        let which = numbers.below(model.armed.len() as u64) as usize;
                        let (_, key, id) = model.armed.swap_remove(which);
                        assert_eq!(timers.cancel(id), Some(key));
                        assert_eq!(timers.cancel(id), None);
                    }
                    _ => {
                        now += numbers.below(spread);
                        model.advance(&mut timers, start, now);
                    }
                }
            }
            model.advance(&mut timers, start, now + (1 << 45));
            assert!(model.armed.is_empty());
        }
    }

    #[test]
    fn a_hundred_thousand_timers() {
        let start = Instant::now();
        let mut numbers = Numbers(7);
        let mut timers = Timers::new(start);
        let mut due = Vec::new();
        for key in 0..100_000u32 {
            let at = numbers.below(60_000_000);
            let id = timers.arm(start + micros(at), key);
            assert_eq!(timers.when(id), Some(start + Duration::from_millis(at.div_ceil(1000))));
            if numbers.below(4) == 0 {
                assert_eq!(timers.cancel(id), Some(key));
                assert_eq!(timers.when(id), None);
            } else {
                due.push((at.div_ceil(1000), key));
            }
        }
        due.sort_unstable();
        let mut fired = Vec::new();
        let mut rounds = 0;
        while let Some(next) = timers.next() {
            rounds += 1;
            while let Some(key) = timers.pop(next) {
                fired.push((next.duration_since(start).as_millis() as u64, key));
            }
        }
        fired.sort_unstable(); // the order within one tick is that of arming
        assert_eq!(fired, due);
        assert!(rounds <= 61_000, "{rounds} rounds for 60,000 ticks");
    }
}
