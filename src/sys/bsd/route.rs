//! Which route packets would take: the kernel's answer to RTM_GET (route(4)).

use std::cell::Cell;
use std::io;
use std::net::IpAddr;

use super::netif::{self, LAYOUT};
use crate::sys::address;
pub use crate::sys::kinds::KernelRoute;
use crate::sys::socket_call::{open_family, receive, send};

/// Asks the kernel for routes.
#[derive(Debug)]
pub struct RouteSocket {
    sequence: Cell<u32>,
}

impl RouteSocket {
    /// Nothing is opened yet: a socket that stays would be told of everything that happens to routes.
    pub fn open() -> io::Result<RouteSocket> {
        Ok(RouteSocket { sequence: Cell::new(0) })
    }

    /// Whether `address` is one of this host; the error is that of bind(2) to another.
    pub fn check_own(&self, address: IpAddr, device: Option<&str>) -> io::Result<()> {
        refuse(device, 0)?;
        match address::is_own(address) {
            true => Ok(()),
            false => Err(io::Error::from_raw_os_error(libc::EADDRNOTAVAIL)),
        }
    }

    /// The route of packets to `remote`. Errors are those that sending would meet: `NetworkUnreachable` without a
    /// route, and so on. `source` must be one of this host; routes do not depend on it here. `device` and `mark`:
    /// `Unsupported`.
    pub fn look_up(
        &self,
        remote: IpAddr,
        source: Option<IpAddr>,
        device: Option<&str>,
        mark: u32,
    ) -> io::Result<KernelRoute> {
        refuse(device, mark)?;
        source.map_or(Ok(()), |source| self.check_own(source, None))?;
        self.sequence.set(self.sequence.get().wrapping_add(1));
        Ok(ask(remote, self.sequence.get())?.0)
    }
}

/// The MTU of the route to `remote`: its own, or that of its interface.
pub(in crate::sys) fn mtu(remote: IpAddr) -> io::Result<usize> {
    match ask(remote, 1)? {
        (route, 0) => netif::mtu(&netif::name(route.device)?),
        (_, mtu) => Ok(mtu),
    }
}

fn refuse(device: Option<&str>, mark: u32) -> io::Result<()> {
    match (device, mark) {
        (None, 0) => Ok(()),
        _ => {
            Err(io::Error::new(io::ErrorKind::Unsupported, "this system has neither bind-device nor fwmark"))
        }
    }
}

/// The kernel's answer, and the route's own MTU or 0.
fn ask(remote: IpAddr, sequence: u32) -> io::Result<(KernelRoute, usize)> {
    let fd = open_family(libc::PF_ROUTE, libc::SOCK_RAW, 0)?;
    send(&fd, &LAYOUT.question(remote, sequence)).map_err(|error| match error.raw_os_error() {
        // No such process: what route(4) says where there is no route.
        Some(libc::ESRCH) => io::Error::from_raw_os_error(libc::ENETUNREACH),
        _ => error,
    })?;
    // The kernel has answered when the call that sends returns. Other events may come before.
    let mut buffer = [0u8; 4096];
    loop {
        let message = receive(&fd, &mut buffer)?;
        if let Some(answer) = LAYOUT.answer(message, (std::process::id(), sequence)) {
            return answer;
        }
    }
}
