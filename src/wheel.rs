//! A hierarchical timer wheel: arming, re-arming and cancelling take constant time however many timers there are,
//! and armed timers cost nothing while they wait. Pure: time comes from the caller.
//!
//! Time is cut into ticks of a millisecond since the wheel was made. A tick's number is read as digits of six bits;
//! a timer hangs in the level of the highest digit in which its tick differs from the wheel's present one, in
//! the slot of that digit. So every timer of a level is earlier than all those of the levels above, slots never
//! wrap around, and the earliest slot is one `trailing_zeros` away. When the present reaches a slot above the
//! lowest level, its timers move down. Eleven levels hold every 64-bit tick: no timer is too far away.

use crate::saved::{saved, Reader, Saved, Writer};
use std::time::{Duration, Instant};

/// Bits of a tick that one level looks at.
const BITS: u32 = 6;
/// Slots of a level.
const SLOTS: usize = 1 << BITS;
/// Levels: enough for 64 bits.
const LEVELS: usize = 11;
/// "No entry" in a list.
const NIL: u32 = u32::MAX;

/// Names an armed timer; stale once it fired or was cancelled (a stale id is harmless).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimerId {
    index: u32,
    generation: u32,
}
saved!(TimerId { index, generation });

/// A place for a timer. Places are used again; the generation tells an old timer's id from a new one's.
struct Entry<K> {
    generation: u32,
    previous: u32,
    next: u32,
    tick: u64,
    key: Option<K>,
}

/// A list of timers, oldest first.
#[derive(Clone, Copy)]
struct Slot {
    first: u32,
    last: u32,
    /// No timer in here is earlier. (It may be too early once timers were cancelled.)
    earliest: u64,
}

/// The slot that holds the earliest timer.
struct Earliest {
    level: usize,
    slot: usize,
    /// The first tick that belongs to the slot.
    begin: u64,
}

/// The wheel. `K` is what comes out when a timer fires.
pub struct Wheel<K> {
    start: Instant,
    /// The present: no timer is earlier, all earlier ones have fired.
    present: u64,
    occupied: [u64; LEVELS],
    slots: Box<[[Slot; SLOTS]; LEVELS]>,
    entries: Vec<Entry<K>>,
    /// First of the places that are free, linked by `next`.
    free: u32,
}

impl<K> Wheel<K> {
    /// An empty wheel whose time begins at `now`.
    pub fn new(now: Instant) -> Wheel<K> {
        let empty = Slot { first: NIL, last: NIL, earliest: u64::MAX };
        Wheel {
            start: now,
            present: 0,
            occupied: [0; LEVELS],
            slots: Box::new([[empty; SLOTS]; LEVELS]),
            entries: Vec::new(),
            free: NIL,
        }
    }

    /// Arms a timer. It fires at `at` or up to one tick (a millisecond) later, never earlier.
    pub fn arm(&mut self, at: Instant, key: K) -> TimerId {
        let since = at.saturating_duration_since(self.start);
        let whole = millis(since);
        let rounded = if Duration::from_millis(whole) < since { whole.saturating_add(1) } else { whole };
        let tick = rounded.max(self.present);
        let index = self.place(tick, key);
        self.link(index);
        TimerId { index, generation: self.entries[index as usize].generation }
    }

    /// Arms a timer that may fire up to `slack` early, at one moment with others: who waits for many wakes up less often.
    pub fn arm_early(&mut self, at: Instant, slack: Duration, key: K) -> TimerId {
        let tick = millis(at.saturating_duration_since(self.start));
        let moment =
            tick.checked_rem(millis(slack)).map(|early| Duration::from_millis(tick.saturating_sub(early)));
        self.arm(moment.and_then(|moment| self.start.checked_add(moment)).unwrap_or(at), key)
    }

    /// Cancels a timer; returns its key if it was still armed.
    pub fn cancel(&mut self, id: TimerId) -> Option<K> {
        let entry = self.entries.get(id.index as usize)?;
        if entry.generation != id.generation || entry.key.is_none() {
            return None;
        }
        self.release(id.index)
    }

    /// When a timer fires; `None` if it is not armed.
    pub fn when(&self, id: TimerId) -> Option<Instant> {
        let entry = self.entries.get(id.index as usize)?;
        let armed = entry.generation == id.generation && entry.key.is_some();
        armed.then(|| self.start.checked_add(Duration::from_millis(entry.tick)))?
    }

    /// When to call [`pop`](Wheel::pop) next: at or before the earliest timer (an early call finds nothing due
    /// and brings the next answer closer), `None` if no timer is armed. The answer is only too early when a
    /// timer was cancelled that would have been the first of its slot.
    pub fn next(&self) -> Option<Instant> {
        let earliest = self.earliest()?;
        let tick = self.slots[earliest.level][earliest.slot].earliest.max(earliest.begin);
        self.start.checked_add(Duration::from_millis(tick))
    }

    /// The key of a timer that is due at `now`, earliest first; `None` when none is left.
    pub fn pop(&mut self, now: Instant) -> Option<K> {
        let now = millis(now.saturating_duration_since(self.start));
        while let Some(earliest) = self.earliest() {
            if earliest.begin > now {
                break;
            }
            self.present = earliest.begin;
            let first = self.slots[earliest.level][earliest.slot].first;
            if earliest.level == 0 {
                return self.release(first);
            }
            self.move_down(&earliest);
        }
        self.present = self.present.max(now);
        None
    }

    /// The earliest slot with a timer.
    fn earliest(&self) -> Option<Earliest> {
        let level = self.occupied.iter().position(|&bits| bits != 0)?;
        let slot = self.occupied[level].trailing_zeros();
        let shift = BITS * level as u32;
        // The digits above are those of the present, the ones below are 0.
        let above = self.present.checked_shr(shift + BITS).map_or(0, |digits| digits << (shift + BITS));
        Some(Earliest { level, slot: slot as usize, begin: above | u64::from(slot) << shift })
    }

    /// Empties a slot whose time has come into the levels below.
    fn move_down(&mut self, from: &Earliest) {
        let slot = &mut self.slots[from.level][from.slot];
        let mut index = slot.first;
        *slot = Slot { first: NIL, last: NIL, earliest: u64::MAX };
        self.occupied[from.level] &= !(1 << from.slot);
        while index != NIL {
            let next = self.entries[index as usize].next;
            self.link(index);
            index = next;
        }
    }

    /// A place for a new timer: a free one, or one more.
    fn place(&mut self, tick: u64, key: K) -> u32 {
        if let Some(entry) = self.entries.get_mut(self.free as usize) {
            let index = self.free;
            self.free = entry.next;
            entry.tick = tick;
            entry.key = Some(key);
            return index;
        }
        // Memory ends long before 2^32 places.
        let index = self.entries.len() as u32;
        self.entries.push(Entry { generation: 0, previous: NIL, next: NIL, tick, key: Some(key) });
        index
    }

    /// The level and slot of a tick, as seen from the present.
    fn position(&self, tick: u64) -> (usize, usize) {
        let differing = (self.present ^ tick) | (SLOTS as u64 - 1);
        let level = (u64::BITS - 1 - differing.leading_zeros()) / BITS;
        let slot = (tick >> (level * BITS)) as usize % SLOTS;
        (level as usize, slot)
    }

    /// Hangs an entry at the end of the slot of its tick.
    fn link(&mut self, index: u32) {
        let tick = self.entries[index as usize].tick;
        let (level, at) = self.position(tick);
        let slot = &mut self.slots[level][at];
        let last = slot.last;
        slot.last = index;
        slot.earliest = slot.earliest.min(tick);
        match self.entries.get_mut(last as usize) {
            Some(last) => last.next = index,
            None => slot.first = index,
        }
        let entry = &mut self.entries[index as usize];
        entry.previous = last;
        entry.next = NIL;
        self.occupied[level] |= 1 << at;
    }

    /// Takes an armed entry out of its slot and frees its place.
    fn release(&mut self, index: u32) -> Option<K> {
        let entry = &self.entries[index as usize];
        let (previous, next) = (entry.previous, entry.next);
        // An armed timer hangs where its tick, seen from the present, belongs: the present changes digits above
        // the lowest level only when it enters a slot, and then the slot's timers move.
        let (level, at) = self.position(entry.tick);
        let slot = &mut self.slots[level][at];
        match self.entries.get_mut(previous as usize) {
            Some(previous) => previous.next = next,
            None => slot.first = next,
        }
        match self.entries.get_mut(next as usize) {
            Some(next) => next.previous = previous,
            None => slot.last = previous,
        }
        if slot.first == NIL {
            slot.earliest = u64::MAX;
            self.occupied[level] &= !(1 << at);
        }
        let entry = &mut self.entries[index as usize];
        entry.generation = entry.generation.wrapping_add(1);
        entry.next = self.free;
        self.free = index;
        entry.key.take()
    }
}

/// Armed timers keep their ids, and their order.
impl<K: Saved> Saved for Wheel<K> {
    fn save(&self, to: &mut Writer) {
        let Wheel { start, present, occupied: _, slots, entries, free: _ } = self;
        start.save(to);
        present.save(to);
        entries.len().save(to);
        for Entry { generation, previous: _, next: _, tick, key } in entries {
            generation.save(to);
            tick.save(to);
            key.save(to);
        }
        let mut order: Vec<u32> = Vec::new();
        for slot in slots.iter().flatten() {
            let mut index = slot.first;
            while let Some(entry) = entries.get(index as usize) {
                order.push(index);
                index = entry.next;
            }
        }
        order.save(to);
    }

    fn restore(from: &mut Reader<'_>) -> Self {
        const WRONG: &str = "the state has timers that cannot be";
        let mut wheel = Wheel::new(Instant::restore(from));
        wheel.present = u64::restore(from);
        for _ in 0..usize::restore(from) {
            let (generation, tick) = (u32::restore(from), u64::restore(from));
            let key = Option::<K>::restore(from);
            if from.sound().is_err() {
                break;
            }
            wheel.entries.push(Entry { generation, previous: NIL, next: NIL, tick, key });
        }
        // Each that is armed once, and no other.
        let present = wheel.present;
        let armed = |entry: &Entry<K>| entry.key.is_some();
        let mut missing: Vec<bool> = wheel.entries.iter().map(armed).collect();
        for index in Vec::<u32>::restore(from) {
            let timely = wheel.entries.get(index as usize).is_some_and(|entry| entry.tick >= present);
            match missing.get_mut(index as usize).filter(|missing| **missing && timely) {
                Some(missing) => *missing = false,
                None => {
                    from.refuse(WRONG);
                    break;
                }
            }
            wheel.link(index);
        }
        for (index, entry) in (0..).zip(&mut wheel.entries).filter(|(_, entry)| entry.key.is_none()) {
            entry.next = std::mem::replace(&mut wheel.free, index);
        }
        if missing.contains(&true) {
            from.refuse(WRONG);
        }
        wheel
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
            let mut wheel = Wheel::new(start);
            wheel.arm(start + micros(offset), 'x');
            if offset > 0 {
                assert_eq!(wheel.pop(start + micros(offset - 1)), None, "{offset}");
            }
            assert_eq!(wheel.pop(start + micros(offset + 999)), Some('x'), "{offset}");
            assert_eq!(wheel.pop(start + micros(offset + 999)), None);
            assert_eq!(wheel.next(), None);
        }
    }

    #[test]
    fn next_names_the_earliest_timer_at_once() {
        let start = Instant::now();
        let mut wheel = Wheel::new(start);
        let hello = start + Duration::from_secs(60);
        wheel.arm(start + Duration::from_secs(90), 2);
        wheel.arm(hello, 1);
        assert_eq!(wheel.next(), Some(hello));
        assert_eq!(wheel.pop(hello - micros(1)), None);
        assert_eq!(wheel.next(), Some(hello));
        assert_eq!(wheel.pop(hello), Some(1));
    }

    #[test]
    fn what_may_be_early_fires_together() {
        let start = Instant::now();
        let mut wheel = Wheel::new(start);
        for at in [5_000_000, 5_000_001, 5_099_999, 5_100_000] {
            wheel.arm_early(start + micros(at), Duration::from_millis(100), at);
        }
        wheel.arm_early(start + micros(5_100_300), Duration::ZERO, 0);
        let fired = |at| std::iter::from_fn(|| wheel.pop(start + micros(at))).count();
        assert_eq!([4_999_999, 5_000_000, 5_100_000, 5_100_300, 5_101_000].map(fired), [0, 3, 1, 0, 1]);
    }

    #[test]
    fn stale_ids_are_harmless() {
        let start = Instant::now();
        let mut wheel = Wheel::new(start);
        let first = wheel.arm(start, "first");
        assert_eq!(wheel.cancel(first), Some("first"));
        let second = wheel.arm(start, "second"); // takes the same place
        assert_eq!(wheel.cancel(first), None);
        assert_eq!(wheel.pop(start), Some("second"));
        assert_eq!(wheel.cancel(second), None);
    }

    #[test]
    fn timers_of_one_tick_fire_in_the_order_of_arming() {
        let start = Instant::now();
        let mut wheel = Wheel::new(start);
        let at = start + Duration::from_secs(5);
        for key in 0..5 {
            wheel.arm(at, key);
        }
        let fired: Vec<i32> = std::iter::from_fn(|| wheel.pop(at)).collect();
        assert_eq!(fired, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn far_timers_and_jumps() {
        let start = Instant::now();
        let year = Duration::from_secs(365 * 86_400);
        let mut wheel = Wheel::new(start);
        wheel.arm(start + 100 * year, "century");
        wheel.arm(start + year, "year");
        let never = wheel.arm(start + micros(u64::MAX), "never");
        assert_eq!(wheel.pop(start + year - micros(1)), None);
        assert_eq!(wheel.pop(start + 99 * year), Some("year"));
        assert_eq!(wheel.pop(start + 99 * year), None);
        // An `at` in the past is due at once, also after the jump.
        wheel.arm(start + year, "late");
        assert_eq!(wheel.pop(start + 99 * year), Some("late"));
        // A stale `now` is no reason to fire early.
        assert_eq!(wheel.pop(start), None);
        assert_eq!(wheel.pop(start + 101 * year), Some("century"));
        assert_eq!(wheel.cancel(never), Some("never"));
        assert_eq!(wheel.next(), None);
    }

    /// Everything armed, in a list: what the wheel must agree with.
    #[derive(Default)]
    struct Model {
        armed: Vec<(u64, u32, TimerId)>,
    }

    impl Model {
        /// Pops everything due at `now` (in microseconds) from both and compares.
        fn advance(&mut self, wheel: &mut Wheel<u32>, start: Instant, now: u64) {
            let tick = now / 1000;
            let mut last = 0;
            while let Some(key) = wheel.pop(start + micros(now)) {
                let at = self.armed.iter().position(|a| a.1 == key).expect("fired twice or never armed");
                let (due, _, _) = self.armed.swap_remove(at);
                let due = due.div_ceil(1000);
                assert!(due <= tick, "early: {due} at {now}");
                assert!(due >= last, "out of order: {due} at {now}");
                last = due;
            }
            assert!(self.armed.iter().all(|a| a.0.div_ceil(1000) > tick), "late at {now}");
            match (wheel.next(), self.armed.iter().map(|a| a.0).min()) {
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
            let mut wheel = Wheel::new(start);
            let mut model = Model::default();
            let mut now = 0u64;
            for key in 0..600u32 {
                let spread = [1_000, 70_000, 5_000_000, 400_000_000, 1 << 44][numbers.below(5) as usize];
                match numbers.below(4) {
                    0 | 1 => {
                        let at = now + 1 + numbers.below(spread);
                        let id = wheel.arm(start + micros(at), key);
                        model.armed.push((at, key, id));
                    }
                    2 if !model.armed.is_empty() => {
                        let which = numbers.below(model.armed.len() as u64) as usize;
                        let (_, key, id) = model.armed.swap_remove(which);
                        assert_eq!(wheel.cancel(id), Some(key));
                        assert_eq!(wheel.cancel(id), None);
                    }
                    _ => {
                        now += numbers.below(spread);
                        model.advance(&mut wheel, start, now);
                    }
                }
            }
            model.advance(&mut wheel, start, now + (1 << 45));
            assert!(model.armed.is_empty());
        }
    }

    #[test]
    fn a_hundred_thousand_timers() {
        let start = Instant::now();
        let mut numbers = Numbers(7);
        let mut wheel = Wheel::new(start);
        let mut due = Vec::new();
        for key in 0..100_000u32 {
            let at = numbers.below(60_000_000);
            let id = wheel.arm(start + micros(at), key);
            assert_eq!(wheel.when(id), Some(start + Duration::from_millis(at.div_ceil(1000))));
            if numbers.below(4) == 0 {
                assert_eq!(wheel.cancel(id), Some(key));
                assert_eq!(wheel.when(id), None);
            } else {
                due.push((at.div_ceil(1000), key));
            }
        }
        due.sort_unstable();
        let mut fired = Vec::new();
        let mut rounds = 0;
        while let Some(next) = wheel.next() {
            rounds += 1;
            while let Some(key) = wheel.pop(next) {
                fired.push((next.duration_since(start).as_millis() as u64, key));
            }
        }
        fired.sort_unstable(); // the order within one tick is that of arming
        assert_eq!(fired, due);
        assert!(rounds <= 61_000, "{rounds} rounds for 60,000 ticks");
        assert!(wheel.entries.len() <= 100_000);
    }
}
