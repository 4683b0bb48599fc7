//! The clocks: the only place that reads them. Everything else gets the time as an argument.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::system;
use crate::log::WallTime;

/// What timers run by: a clock that nobody sets, and that goes on while the machine sleeps. An `Instant` of the
/// standard library would stand still meanwhile, and a peer that has given us up would not be asked for long.
#[allow(clippy::disallowed_methods)]
pub fn now() -> Instant {
    static START: OnceLock<(Instant, Duration)> = OnceLock::new();
    let boot = read(system::CLOCK);
    let (start, then) = *START.get_or_init(|| (Instant::now(), boot));
    start + boot.saturating_sub(then)
}

/// The same clock, since the machine was started: another program reads the same.
pub fn since_boot() -> Duration {
    read(system::CLOCK)
}

/// CLOCK_MONOTONIC, the time that systemd and the kernel's programs reckon in.
pub fn monotonic() -> Duration {
    read(libc::CLOCK_MONOTONIC)
}

fn read(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec; every kernel that this program runs on has these clocks.
    unsafe { libc::clock_gettime(clock, &mut time) };
    let (seconds, nanoseconds) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(seconds.unwrap_or(0), nanoseconds.unwrap_or(0))
}

/// Lets others use the processor for about 60 microseconds: the 10 asked for, and the 50 by which the kernel may
/// let a program sleep longer in order to wake several at once.
pub fn rest() {
    std::thread::sleep(Duration::from_micros(10));
}

/// The wall clock: what the log shows.
pub fn wall() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallTime(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// The wall clock in local time, as syslog(3) writes it: `Nov 22 11:30:00`, `Nov  2 11:30:00`.
pub fn local_stamp() -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    // SAFETY: a null pointer asks for the result alone.
    let now = unsafe { libc::time(std::ptr::null_mut()) };
    // SAFETY: all zeros is a valid tm.
    let mut local: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are valid; on failure `local` stays as it was.
    unsafe { libc::localtime_r(&now, &mut local) };
    let month = usize::try_from(local.tm_mon).ok().and_then(|at| MONTHS.get(at)).unwrap_or(&"Jan");
    format!("{month} {:2} {:02}:{:02}:{:02}", local.tm_mday, local.tm_hour, local.tm_min, local.tm_sec)
}
