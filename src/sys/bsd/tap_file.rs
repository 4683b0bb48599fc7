//! The devices of TAP interfaces (tap(4)).

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

use libc::{c_int, c_ulong};

use super::ioctl::{read, write};
use super::netif::{self, InterfaceRequest};
use crate::sys::cvt;

/// TAPGIFNAME (net/if_tap.h).
#[cfg(target_os = "netbsd")]
const TAPGIFNAME: u32 = read(b'e', 0, size_of::<InterfaceRequest>());
#[cfg(target_os = "freebsd")]
const TAPGIFNAME: u32 = read(b't', 93, size_of::<InterfaceRequest>());
/// FIONBIO (sys/filio.h): NetBSD's driver passes over O_NONBLOCK.
const FIONBIO: u32 = write(b'f', 126, size_of::<c_int>());

/// Opens a device of TAP interfaces.
pub(in crate::sys) fn open_device(path: &str) -> io::Result<File> {
    let flags = libc::O_NONBLOCK | libc::O_CLOEXEC;
    let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?;
    let on: c_int = 1;
    // SAFETY: FIONBIO takes a pointer to an int, which lives through the call.
    cvt(unsafe { libc::ioctl(file.as_raw_fd(), c_ulong::from(FIONBIO), std::ptr::from_ref(&on)) })?;
    Ok(file)
}

/// The name of the interface that a device belongs to.
pub(in crate::sys) fn name_of(file: &File) -> io::Result<String> {
    let mut request = netif::request("x")?;
    // SAFETY: TAPGIFNAME takes a pointer to an ifreq, which lives through the call.
    cvt(unsafe {
        libc::ioctl(file.as_raw_fd(), c_ulong::from(TAPGIFNAME), std::ptr::from_mut(&mut request))
    })?;
    Ok(request.name())
}
