//! The clocks: the only place that reads them. Everything else gets the time as an argument.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::log::WallTime;

/// The monotonic clock: what timers run by.
#[allow(clippy::disallowed_methods)]
pub fn now() -> Instant {
    Instant::now()
}

/// The wall clock: what the log shows.
pub fn wall() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallTime(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}
