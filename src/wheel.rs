//! A hierarchical timer wheel: arming, re-arming and cancelling take constant time however many timers there are,
//! and armed timers cost nothing while they wait. Pure: time comes from the caller.

use std::time::Instant;

/// Names an armed timer; stale once it fired or was cancelled (a stale id is harmless).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimerId {
    index: u32,
    generation: u32,
}

/// The wheel. `K` is what comes out when a timer fires.
pub struct Wheel<K> {
    marker: std::marker::PhantomData<K>,
}

impl<K> Wheel<K> {
    /// An empty wheel whose time begins at `now`.
    pub fn new(now: Instant) -> Wheel<K> {
        let _ = now;
        todo!()
    }

    /// Arms a timer. It fires at `at` or up to one tick (a millisecond) later, never earlier.
    pub fn arm(&mut self, at: Instant, key: K) -> TimerId {
        let _ = (at, key);
        todo!()
    }

    /// Cancels a timer; returns its key if it was still armed.
    pub fn cancel(&mut self, id: TimerId) -> Option<K> {
        let _ = (id.index, id.generation);
        todo!()
    }

    /// When to call [`pop`](Wheel::pop) next: at or before the earliest timer (an early call finds nothing due
    /// and brings the next answer closer), `None` if no timer is armed.
    pub fn next(&self) -> Option<Instant> {
        todo!()
    }

    /// The key of a timer that is due at `now`, earliest first; `None` when none is left.
    pub fn pop(&mut self, now: Instant) -> Option<K> {
        let _ = now;
        todo!()
    }
}
