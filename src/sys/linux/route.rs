//! Which route packets would take: the kernel's answer to RTM_GETROUTE.

use std::cell::Cell;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

use libc::c_int;

use super::netif;
use super::netlink::{self, address, attribute, messages, number, HEADER};
use crate::sys::address::octets;
pub use crate::sys::kinds::KernelRoute;
use crate::sys::socket_call::{receive, send};

/// Octets of struct rtmsg.
const RTMSG: usize = 12;

/// Asks the kernel for routes.
#[derive(Debug)]
pub struct RouteSocket {
    fd: OwnedFd,
    sequence: Cell<u32>,
}

impl RouteSocket {
    /// Opens the socket.
    pub fn open() -> io::Result<RouteSocket> {
        Ok(RouteSocket { fd: netlink::open(libc::NETLINK_ROUTE, 0)?, sequence: Cell::new(0) })
    }

    /// Whether `address` is one of this host; the error is that of bind(2) to another.
    ///
    /// With a device: one of it, or of its VRF. Addresses of other interfaces can be bound, too, unless it is a VRF.
    pub fn check_own(&self, address: IpAddr, device: Option<&str>) -> io::Result<()> {
        let is_own = |device| self.look_up(address, None, device, 0).is_ok_and(|route| route.local);
        match is_own(device) || (device.is_some() && is_own(None)) {
            true => Ok(()),
            false => Err(io::Error::from_raw_os_error(libc::EADDRNOTAVAIL)),
        }
    }

    /// The route of packets to `remote`, from `source` if that is given, by the interface or VRF `device`, with the mark
    /// `mark`. Errors are those that sending would meet: `NetworkUnreachable` without a route, and so on; `ENODEV`: there
    /// is no such interface.
    pub fn look_up(
        &self,
        remote: IpAddr,
        source: Option<IpAddr>,
        device: Option<&str>,
        mark: u32,
    ) -> io::Result<KernelRoute> {
        let device = device.map(netif::index).transpose()?;
        let sequence = self.sequence.get().wrapping_add(1);
        self.sequence.set(sequence);
        send(&self.fd, &request(remote, source, (device, mark), sequence))?;
        // The kernel has answered when the call that sends returns.
        let mut buffer = [0u8; 4096];
        loop {
            if let Some(answer) = answer(receive(&self.fd, &mut buffer)?, sequence) {
                return answer;
            }
        }
    }
}

/// struct nlmsghdr, struct rtmsg (family, lengths of destination and source, ...), attributes.
fn request(
    remote: IpAddr,
    source: Option<IpAddr>,
    (device, mark): (Option<c_int>, u32),
    sequence: u32,
) -> Vec<u8> {
    let source = source.filter(|s| s.is_ipv4() == remote.is_ipv4()).map(octets);
    let family = if remote.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let remote = octets(remote);
    let mut body =
        vec![family as u8, 8 * remote.len() as u8, source.as_ref().map_or(0, |s| 8 * s.len() as u8)];
    body.resize(RTMSG, 0);
    let device = device.map(|index| index.to_ne_bytes().to_vec());
    let mark = (mark != 0).then(|| mark.to_ne_bytes().to_vec());
    for (kind, value) in [
        (libc::RTA_DST, Some(remote)),
        (libc::RTA_SRC, source),
        (libc::RTA_OIF, device),
        (libc::RTA_MARK, mark),
    ] {
        body.extend(value.into_iter().flat_map(|value| netlink::field(kind, &value)));
    }
    netlink::request(libc::RTM_GETROUTE, 0, sequence, &body)
}

/// The answer to the request of this number, if it is there.
fn answer(octets: &[u8], sequence: u32) -> Option<io::Result<KernelRoute>> {
    let (kind, message) = messages(octets).find(|(_, message)| number(message, 8) == Some(sequence))?;
    if c_int::from(kind) == libc::NLMSG_ERROR {
        return netlink::outcome(message)?.err().map(Err);
    }
    let attributes = message.get(HEADER + RTMSG..)?;
    Some(Ok(KernelRoute {
        device: attribute(attributes, libc::RTA_OIF).and_then(|oif| number(oif, 0)).unwrap_or(0) as c_int,
        gateway: attribute(attributes, libc::RTA_GATEWAY).and_then(address),
        source: attribute(attributes, libc::RTA_PREFSRC).and_then(address),
        local: message.get(HEADER + 7) == Some(&libc::RTN_LOCAL),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_is_this_host() {
        let routes = RouteSocket::open().unwrap();
        let loopback: IpAddr = [127, 0, 0, 1].into();
        let route = routes.look_up(loopback, None, None, 0).unwrap();
        assert_eq!((route.local, route.source), (true, Some(loopback)));
        assert_ne!(route.device, 0);
        assert_eq!(routes.look_up(loopback, Some(loopback), None, 0).unwrap().device, route.device);
        assert_eq!(routes.look_up(loopback, None, Some("lo"), 7).unwrap().device, route.device);
        let error = routes.look_up(loopback, None, Some("no-such"), 0).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
        assert!(routes.check_own(loopback, None).is_ok());
        assert!(routes.check_own(loopback, Some("lo")).is_ok());
        let error = routes.check_own([192, 0, 2, 77].into(), None).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
        // A source that is not ours.
        assert!(routes.look_up(loopback, Some([192, 0, 2, 77].into()), None, 0).is_err());
    }

    #[test]
    fn cut_answers_end_nothing() {
        let octets = request([192, 0, 2, 1].into(), Some([192, 0, 2, 2].into()), (Some(1), 1), 7);
        for cut in 0..octets.len() {
            let _ = answer(&octets[..cut], 7);
        }
    }
}
