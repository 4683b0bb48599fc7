//! Events of the kernel: of interfaces, of this host's addresses, of routes.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use super::events;
pub use super::kinds::NetEvent;
use super::socket_call::receive;

/// Messages that are read at a time.
const AT_ONCE: usize = 64;

/// The socket that the events come from.
#[derive(Debug)]
pub struct NetMonitor {
    fd: OwnedFd,
}

impl NetMonitor {
    /// Subscribes.
    pub fn open() -> io::Result<NetMonitor> {
        events::open().map(|fd| NetMonitor { fd })
    }

    /// Hands some of what there is to `report`; whether there may be more.
    pub fn drain(&self, report: &mut dyn FnMut(NetEvent)) -> bool {
        let mut buffer = [0u8; 16384];
        for _ in 0..AT_ONCE {
            match receive(&self.fd, &mut buffer) {
                Ok(octets) => events::parse(octets, report),
                Err(error) => match error.raw_os_error() {
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
