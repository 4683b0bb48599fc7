//! Moments and durations as the displays show them. UTC only: this room knows no time zone.

use std::time::Duration;

use crate::log::WallTime;

/// `2026/11/22 11:30:00`, the form of the routers' display.
pub fn date(time: WallTime) -> String {
    let text = time.to_string();
    let (day, clock) = text.split_once('T').unwrap_or((&text, ""));
    let clock = clock.split('.').next().unwrap_or_default();
    format!("{} {clock}", day.replace('-', "/"))
}

/// The moment that lies `ago` before `time`.
pub fn before(time: WallTime, ago: Duration) -> WallTime {
    WallTime(time.0.saturating_sub(u64::try_from(ago.as_micros()).unwrap_or(u64::MAX)))
}

/// `3d 04:05:06`, or `04:05:06` within a day.
pub fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let clock = format!("{:02}:{:02}:{:02}", seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    match seconds / 86_400 {
        0 => clock,
        days => format!("{days}d {clock}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_shown_as_the_routers_do() {
        let time = WallTime(1_795_347_000_123_456);
        assert_eq!(date(time), "2026/11/22 11:30:00");
        assert_eq!(date(before(time, Duration::from_secs(1))), "2026/11/22 11:29:59");
        assert_eq!(before(WallTime(5), Duration::from_secs(1)), WallTime(0));
        assert_eq!(span(Duration::from_secs(93_784)), "1d 02:03:04");
        assert_eq!(span(Duration::from_secs(59)), "00:00:59");
    }
}
