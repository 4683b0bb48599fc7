//! Whose probes for loops come to a session (see `loops.rs`).

use std::time::{Duration, Instant};

/// What was seen longer ago counts no more.
pub(super) const RECENT: Duration = Duration::from_secs(5);
/// Other daemons whose probes are noted for each session.
const SENDERS: usize = 8;

/// The probes that were seen at a session: who sent them, and when the last one came.
#[derive(Default)]
pub(super) struct Senders(Vec<(u64, Instant)>);

impl Senders {
    /// A probe of another daemon came.
    pub(super) fn note(&mut self, now: Instant, sender: u64) {
        self.0.retain(|(other, at)| *other != sender && now.saturating_duration_since(*at) < RECENT);
        if self.0.len() < SENDERS {
            self.0.push((sender, now));
        }
    }

    /// How many with an identifier lower than this were seen here and there, too.
    pub(super) fn lower_at_both(&self, now: Instant, other: &Senders, identifier: u64) -> u32 {
        let recent = |(sender, at): &&(u64, Instant)| {
            *sender < identifier && now.saturating_duration_since(*at) < RECENT
        };
        let here = self.0.iter().filter(recent);
        let both = here.filter(|(sender, _)| other.0.iter().filter(recent).any(|(also, _)| also == sender));
        u32::try_from(both.count()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lower_ones_that_are_seen_at_both_count() {
        let now = crate::sys::clock::now();
        let (mut here, mut there) = (Senders::default(), Senders::default());
        for sender in [1, 2, 9] {
            here.note(now, sender);
        }
        // Who is seen on one side only is not in the loop.
        there.note(now, 2);
        there.note(now, 9);
        assert_eq!(here.lower_at_both(now, &there, 5), 1);
        assert_eq!(here.lower_at_both(now, &there, 2), 0);
        assert_eq!(here.lower_at_both(now + RECENT, &there, 5), 0);
        (0..100).for_each(|sender| here.note(now, sender));
        assert!(here.0.len() <= SENDERS);
    }
}
