//! What is left of a daemon in the foreground that another program has taken over from: whoever started it waits for the
//! end of this process, and sends it signals (runit, s6, OpenRC's supervise-daemon, a container). It passes signals on,
//! and ends as that program ends. Programs that take over later know of it, so that there is one at most. Where a service
//! manager listens (`NOTIFY_SOCKET`) none is needed: it is told which process it is now.

use std::os::fd::AsRawFd;

use crate::sys::passing::{wait_for, Post};
use crate::sys::process;
use crate::sys::signal::{self, Signals};

/// A signal, whose number follows.
pub const SIGNAL: u8 = b's';
/// The end, whose status follows.
pub const END: u8 = b'e';

/// Stands in until the program at the other end ends; its exit status, or 1.
pub fn stand_in(post: &Post, signals: &mut Signals) -> i32 {
    let watched = [post.as_raw_fd(), signals.as_raw_fd()];
    process::close_all_but(&[watched[0], watched[1], signals.handler_end()]);
    loop {
        while let Some(signal) = signals.take() {
            match signal {
                signal::SIGCHLD => process::reap_all(),
                // If nobody is there, that is told below.
                _ => _ = post.send(&[SIGNAL, u8::try_from(signal).unwrap_or(0)], &[]),
            }
        }
        match post.take() {
            Ok(None) => {}
            Ok(Some((octets, _))) => {
                if let [END, status] = octets.as_slice() {
                    return i32::from(*status);
                }
            }
            Err(_) => return 1,
        }
        if wait_for(&watched).is_err() {
            return 1;
        }
    }
}
