//! Removing TAP interfaces. Closing one waits some 20 ms until no processor can still be using it; interfaces that are
//! removed by one request wait together. The request is RTM_DELLINK for a link group, into which they are put first. A
//! daemon that goes on has a child process do it.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, RawFd};

use libc::c_int;

use super::netlink::{self, field};
use super::tap::Tap;
use crate::sys::{cvt, process, socket_call};

/// The group of interfaces that are about to be removed: octets that nobody else chooses.
const GROUP: u32 = 0x6c74_7064;
/// Interfaces in one request of a daemon that goes on: until it is done nobody can change any interface.
const BATCH: usize = 32;
/// Interfaces in one request of a daemon that ends: more than fit into a socket's buffer are refused.
const LAST_BATCH: usize = 1000;
/// A child process that removes interfaces. Nobody waits for it.
#[derive(Debug)]
pub struct Removal {
    child: libc::pid_t,
}

/// Removes all at once, and returns when they are gone.
pub fn remove(taps: Vec<Tap>) {
    // What could not be removed goes with its descriptor.
    taps.chunks(LAST_BATCH).for_each(|batch| _ = request(batch));
}

/// Has a child process remove them. Where there can be no child, they are closed one by one.
pub fn remove_in_background(taps: Vec<Tap>) -> io::Result<Removal> {
    // The child must not take part in what the handlers of signals do.
    let mut all: libc::sigset_t = no_signals();
    let mut before = no_signals();
    // SAFETY: both sets live through the calls.
    unsafe {
        libc::sigfillset(&mut all);
        libc::sigprocmask(libc::SIG_SETMASK, &all, &mut before);
    }
    // SAFETY: the child only makes system calls, and allocates: the daemon has one thread, so that the child finds
    // every lock of the library free.
    let child = cvt(unsafe { libc::fork() });
    if let Ok(0) = child {
        // The daemon may want to be the only one to have the others.
        let kept: Vec<RawFd> = taps.iter().map(AsRawFd::as_raw_fd).collect();
        process::close_all_but(&kept);
        for batch in taps.chunks(BATCH) {
            let _ = request(batch);
        }
        // What could not be removed goes with its descriptor.
        // SAFETY: ends the process.
        unsafe { libc::_exit(0) };
    }
    // SAFETY: `before` was filled in above.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &before, std::ptr::null_mut()) };
    // The child has them as well: closing them here waits for nothing.
    drop(taps);
    Ok(Removal { child: child? })
}

impl Removal {
    /// Whether the child has ended; never waits.
    pub fn has_ended(&self) -> bool {
        // SAFETY: a null pointer: the status is not wanted.
        let ended = unsafe { libc::waitpid(self.child, std::ptr::null_mut(), libc::WNOHANG) };
        // An error means that somebody else has taken note of its end.
        ended != 0
    }

    /// Waits until the child has ended.
    pub fn wait(self) {
        // SAFETY: as above.
        unsafe { libc::waitpid(self.child, std::ptr::null_mut(), 0) };
    }
}

fn no_signals() -> libc::sigset_t {
    // SAFETY: sigset_t is plain data for which all zeros is a valid value.
    unsafe { mem::zeroed() }
}

/// Asks the kernel to remove these interfaces, and waits until they are gone.
fn request(taps: &[Tap]) -> io::Result<()> {
    let mut octets = Vec::new();
    for index in taps.iter().filter(|tap| tap.goes_with_us()).map(Tap::index) {
        octets.extend(message(libc::RTM_SETLINK, 0, index));
    }
    if octets.is_empty() {
        return Ok(());
    }
    octets.extend(message(libc::RTM_DELLINK, libc::NLM_F_ACK, 0));
    // The kernel has done it when the call returns.
    socket_call::send(&netlink::open(libc::NETLINK_ROUTE, 0)?, &octets)
}

/// struct ifinfomsg: family (1), padding (1), type (2), index (4), flags (4), change (4); the group.
fn message(kind: u16, flags: c_int, index: c_int) -> Vec<u8> {
    let body = [&[0; 4][..], &index.to_ne_bytes(), &[0; 8], &field(libc::IFLA_GROUP, &GROUP.to_ne_bytes())];
    netlink::request(kind, flags, 0, &body.concat())
}
