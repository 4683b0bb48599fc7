//! Waiting until a descriptor is ready (poll(2)).

use std::io;
use std::os::fd::RawFd;
use std::time::Instant;

use libc::{c_int, c_short};

use super::{clock, cvt};

/// Waits until a descriptor is ready for these `events`; `false`: it was not by then.
pub(super) fn ready(fd: RawFd, events: c_short, until: Instant) -> io::Result<bool> {
    loop {
        let left = until.saturating_duration_since(clock::now());
        let mut request = libc::pollfd { fd, events, revents: 0 };
        let timeout = c_int::try_from(left.as_micros().div_ceil(1000)).unwrap_or(c_int::MAX);
        // SAFETY: one initialised pollfd, and the count says one.
        match cvt(unsafe { libc::poll(&mut request, 1, timeout) }) {
            Ok(0) if left.is_zero() => return Ok(false),
            Ok(0) => {}
            Ok(_) => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
