//! What waits for an acknowledgement must have it by a certain time, however many retransmissions are left.

use std::time::{Duration, Instant};

use crate::saved::saved;

/// How long a peer that seems to have forgotten us, or an address beside others, has for an acknowledgement. By default
/// what it is asked with leaves at 0, 1 and 3 s.
pub const SOON: Duration = Duration::from_secs(7);

/// That time.
#[derive(Debug, Clone, Copy)]
pub struct Hurry {
    /// When it is over.
    pub by: Instant,
    /// The longest interval until then.
    pub longest: Duration,
    /// The peer is only suspected since then: whatever is heard of it clears it.
    pub suspected: Option<Instant>,
}
saved!(Hurry { by, longest, suspected });

impl Hurry {
    /// The time until the next retransmission, where it would have been this one.
    pub fn shorten(self, now: Instant, wait: Duration) -> Duration {
        wait.min(self.longest).min(self.by.saturating_duration_since(now))
    }
}
