//! How long the peer takes to acknowledge, and how long to wait for it therefore (RFC 6298). One message is timed at a
//! time.

use crate::saved::saved;
use std::time::{Duration, Instant};

/// How long to wait before anything was measured.
const UNKNOWN: Duration = Duration::from_secs(1);

/// Never wait less: a peer may be busy with something else for so long, or wait for a reply to carry its
/// acknowledgement.
const LEAST: Duration = Duration::from_millis(50);

/// More is not waited because acknowledgements were lost.
const MOST_BACKED_OFF: Duration = Duration::from_secs(1);

/// What was measured, and the message that is timed now.
#[derive(Debug, Default)]
pub struct RoundTrip {
    /// Smoothed round trip time and its variation.
    measured: Option<(Duration, Duration)>,
    /// Ns and first transmission of the message that is timed.
    timed: Option<(u16, Instant)>,
    /// Something was sent again since the last acknowledgement: which transmission the next one is for is not known.
    repeated: bool,
    /// Acknowledgements in a row that told nothing; each doubles the time to wait.
    untold: u32,
}
saved!(RoundTrip { measured, timed, repeated, untold });

impl RoundTrip {
    /// A message is sent for the first time.
    pub fn sent(&mut self, now: Instant, ns: u16) {
        if self.timed.is_none() && !self.repeated {
            self.timed = Some((ns, now));
        }
    }

    /// A message is sent again (Karn's algorithm, RFC 6298 3).
    pub fn sent_again(&mut self) {
        self.timed = None;
        self.repeated = true;
    }

    /// Messages before `nr` are acknowledged that were not before.
    pub fn acknowledged(&mut self, now: Instant, nr: u16) {
        if std::mem::take(&mut self.repeated) {
            self.untold = self.untold.saturating_add(1);
        }
        let is_told = |(ns, _): &mut (u16, Instant)| (1..=0x7fff).contains(&nr.wrapping_sub(*ns));
        if let Some((_, at)) = self.timed.take_if(is_told) {
            self.take(now.saturating_duration_since(at));
        }
    }

    /// RFC 6298 2.2, 2.3.
    #[allow(clippy::arithmetic_side_effects)] // divisions by constants
    fn take(&mut self, time: Duration) {
        self.untold = 0;
        self.measured = Some(match self.measured {
            None => (time, time / 2),
            Some((smoothed, variation)) => {
                let difference = smoothed.abs_diff(time);
                let variation = variation.saturating_mul(3).saturating_add(difference) / 4;
                (smoothed.saturating_mul(7).saturating_add(time) / 8, variation)
            }
        });
    }

    /// The smoothed round trip time, once one was measured.
    pub fn smoothed(&self) -> Option<Duration> {
        self.measured.map(|(smoothed, _)| smoothed)
    }

    /// How long to wait for an acknowledgement before the message is sent again (RFC 6298 2.3, 2.4, 5.5).
    pub fn time_out(&self) -> Duration {
        let Some((smoothed, variation)) = self.measured else { return UNKNOWN };
        let usual = smoothed.saturating_add(variation.saturating_mul(4)).max(LEAST);
        let backed_off = usual.saturating_mul(1_u32.checked_shl(self.untold).unwrap_or(u32::MAX));
        usual.max(backed_off.min(MOST_BACKED_OFF))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)] // small numbers

    use super::*;
    use crate::proto::tests::start;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// Sends a message and has it acknowledged after `time`.
    fn exchange(round_trip: &mut RoundTrip, ns: u16, time: Duration) {
        let now = start();
        round_trip.sent(now, ns);
        round_trip.acknowledged(now + time, ns.wrapping_add(1));
    }

    #[test]
    fn the_first_time_counts_whole_and_later_ones_an_eighth() {
        let mut round_trip = RoundTrip::default();
        assert_eq!((round_trip.smoothed(), round_trip.time_out()), (None, ms(1000)));
        exchange(&mut round_trip, 0, ms(80));
        assert_eq!((round_trip.smoothed(), round_trip.time_out()), (Some(ms(80)), ms(240)));
        exchange(&mut round_trip, 1, ms(160));
        // 70 + 20; the variation is 30 + 20.
        assert_eq!((round_trip.smoothed(), round_trip.time_out()), (Some(ms(90)), ms(290)));
        for ns in 2..200 {
            exchange(&mut round_trip, ns, ms(1));
        }
        assert_eq!(round_trip.time_out(), ms(50), "never less");
    }

    #[test]
    fn what_was_sent_twice_tells_nothing_but_to_wait_longer() {
        let mut round_trip = RoundTrip::default();
        let now = start();
        exchange(&mut round_trip, 65_535, ms(2));
        assert_eq!(round_trip.time_out(), ms(50));
        for (ns, expected) in [(0, 100), (1, 200), (2, 400), (3, 800), (4, 1000), (5, 1000)] {
            round_trip.sent(now, ns);
            round_trip.sent_again();
            round_trip.sent_again();
            round_trip.acknowledged(now + ms(90), ns + 1);
            assert_eq!((round_trip.smoothed(), round_trip.time_out()), (Some(ms(2)), ms(expected)));
        }
        exchange(&mut round_trip, 6, ms(2));
        assert_eq!(round_trip.time_out(), ms(50), "told again");
    }

    #[test]
    fn one_message_is_timed_at_a_time_until_it_is_acknowledged() {
        let (mut round_trip, now) = (RoundTrip::default(), start());
        round_trip.sent(now, 7);
        round_trip.sent(now + ms(5), 8);
        round_trip.acknowledged(now + ms(6), 7);
        assert_eq!(round_trip.smoothed(), None, "of an earlier one");
        round_trip.acknowledged(now + ms(10), 9);
        assert_eq!(round_trip.smoothed(), Some(ms(10)));
    }
}
