//! Events of the kernel (route(4)): of interfaces, of this host's addresses, of routes.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use super::netif::LAYOUT;
use crate::sys::kinds::NetEvent;
use crate::sys::socket_call::{open_family, set_option};

/// Octets of the socket's buffer.
const BUFFER: libc::c_int = 1 << 20;
/// A full buffer is an error of the next read (sys/socket.h; FreeBSD 14 and newer).
#[cfg(target_os = "netbsd")]
const SO_RERROR: libc::c_int = 0x4000;
#[cfg(target_os = "freebsd")]
const SO_RERROR: libc::c_int = 0x0002_0000;

/// The layouts of FreeBSD are those of libc, which has none of NetBSD.
#[cfg(target_os = "freebsd")]
const _: () = {
    assert!(size_of::<libc::ifa_msghdr>() == 20 && std::mem::offset_of!(libc::ifa_msghdr, ifam_index) == 12);
    assert!(std::mem::offset_of!(libc::if_msghdr, ifm_flags) == 8);
    assert!(std::mem::offset_of!(libc::if_msghdr, ifm_index) == 12);
    assert!(std::mem::offset_of!(libc::if_announcemsghdr, ifan_what) == 22);
    // u_long in struct rt_msghdr.
    assert!(cfg!(target_pointer_width = "64"));
};

/// The socket that they come from: events of all kinds.
pub(in crate::sys) fn open() -> io::Result<OwnedFd> {
    let fd = open_family(libc::PF_ROUTE, libc::SOCK_RAW, 0)?;
    // Without them more events are lost, and some of these losses are not told.
    let _ = set_option(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVBUF, BUFFER);
    let _ = set_option(fd.as_raw_fd(), libc::SOL_SOCKET, SO_RERROR, 1);
    Ok(fd)
}

/// Hands the events in what was received to `report`.
pub(in crate::sys) fn parse(octets: &[u8], report: &mut dyn FnMut(NetEvent)) {
    LAYOUT.events(octets, report);
}
