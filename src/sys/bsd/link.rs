//! Events of the kernel (route(4)): of interfaces, of this host's addresses, of routes.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use super::netif::LAYOUT;
pub use crate::sys::kinds::NetEvent;
use crate::sys::socket_call::{open_family, set_option};

/// Messages that are read at a time.
const AT_ONCE: usize = 64;
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

/// The socket that the events come from.
#[derive(Debug)]
pub struct NetMonitor {
    fd: OwnedFd,
}

impl NetMonitor {
    /// Opens it: events of all kinds come.
    pub fn open() -> io::Result<NetMonitor> {
        let fd = open_family(libc::PF_ROUTE, libc::SOCK_RAW, 0)?;
        // Without them more events are lost, and some of these losses are not told.
        let _ = set_option(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVBUF, BUFFER);
        let _ = set_option(fd.as_raw_fd(), libc::SOL_SOCKET, SO_RERROR, 1);
        Ok(NetMonitor { fd })
    }

    /// Hands some of what there is to `report`; whether there may be more.
    pub fn drain(&self, report: &mut dyn FnMut(NetEvent)) -> bool {
        let mut buffer = [0u8; 16384];
        for _ in 0..AT_ONCE {
            let (pointer, length) = (buffer.as_mut_ptr().cast(), buffer.len());
            // SAFETY: `pointer` points to `length` writable octets.
            let got = unsafe { libc::recv(self.fd.as_raw_fd(), pointer, length, libc::MSG_DONTWAIT) };
            match usize::try_from(got) {
                Ok(got) => LAYOUT.events(buffer.get(..got).unwrap_or_default(), report),
                Err(_) => match io::Error::last_os_error().raw_os_error() {
                    Some(libc::ENOBUFS) => report(NetEvent::Lost),
                    Some(libc::EINTR) => {}
                    _ => return false,
                },
            }
        }
        true
    }
}

impl AsRawFd for NetMonitor {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}
