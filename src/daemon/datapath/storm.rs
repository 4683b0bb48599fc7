//! `storm-limit`: how many frames to group addresses (broadcasts among them) a session takes from the peer, and how many it
//! sends there, each a second.

use std::time::Instant;

use crate::config::model::StormLimit;
use crate::sys::clock;
use crate::token_bucket::{Rate, TokenBucket, ONE};

/// The limit of one port, for both directions.
pub(super) struct Storm {
    rate: Rate,
    received: TokenBucket,
    sent: TokenBucket,
}

impl Storm {
    /// That of an interface, where it has one.
    pub(super) fn of(limit: StormLimit) -> Option<Box<Storm>> {
        match limit {
            StormLimit::Off => None,
            StormLimit::Frames(frames) => Some(Box::new(Storm::new(clock::now(), frames))),
        }
    }

    /// Frames a second; as many may come at once.
    fn new(now: Instant, frames: u32) -> Storm {
        let rate = Rate { burst: frames, per_second: frames };
        Storm { rate, received: TokenBucket::new(now, rate), sent: TokenBucket::new(now, rate) }
    }

    /// Whether a frame of the peer is delivered.
    pub(super) fn lets_in(&mut self, now: Instant, frame: &[u8]) -> bool {
        !is_group(frame) || self.received.take(now, self.rate, ONE)
    }

    /// Whether a frame, or a super-frame of so many, is sent to the peer.
    pub(super) fn lets_out(&mut self, now: Instant, frame: &[u8], frames: usize) -> bool {
        let frames = u32::try_from(frames).unwrap_or(u32::MAX).min(self.rate.burst);
        !is_group(frame) || self.sent.take(now, self.rate, ONE.saturating_mul(frames))
    }
}

/// Whether the destination is a group address.
fn is_group(frame: &[u8]) -> bool {
    frame.first().is_some_and(|octet| octet & 1 != 0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_frames_to_groups_are_limited_and_each_direction_for_itself() {
        let start = crate::sys::clock::now();
        let mut storm = Storm::new(start, 10);
        let (group, host) = ([0xff; 14], [0x02; 14]);
        let taken =
            |storm: &mut Storm, now, frame: &[u8]| (0..50).filter(|_| storm.lets_in(now, frame)).count();
        assert_eq!((taken(&mut storm, start, &group), taken(&mut storm, start, &host)), (10, 50));
        assert_eq!((0..50).filter(|_| storm.lets_out(start, &group, 1)).count(), 10);
        let later = start + Duration::from_millis(500);
        assert_eq!(taken(&mut storm, later, &group), 5);
        // A super-frame costs as much as its frames; one that is longer than the limit passes now and then.
        let later = start + Duration::from_secs(2);
        assert!(storm.lets_out(later, &group, 64) && !storm.lets_out(later, &group, 1));
        assert!(storm.lets_in(later, &[]));
    }
}
