//! The addresses of this host: the kernel's answer to RTM_GETADDR. getifaddrs(3) asks for all interfaces as well, some
//! at a time, and each time waits for whoever is changing any interface: among thousands that takes seconds.

use std::io;
use std::net::IpAddr;

use libc::c_int;

use super::events::host_address;
use super::netlink::{self, messages};
use crate::sys::kinds::NetEvent;
use crate::sys::socket_call::{receive, send};

/// What `choose` makes of the first address that it wants, of the IPv4 addresses first.
pub(in crate::sys) fn first<T>(mut choose: impl FnMut(IpAddr) -> Option<T>) -> io::Result<Option<T>> {
    for family in [libc::AF_INET, libc::AF_INET6] {
        // What is left of the answer goes with the socket.
        let socket = netlink::open(libc::NETLINK_ROUTE, 0)?;
        // struct ifaddrmsg, of which only the family counts.
        let body = [family as u8, 0, 0, 0, 0, 0, 0, 0];
        send(&socket, &netlink::request(libc::RTM_GETADDR, libc::NLM_F_DUMP, 1, &body))?;
        let mut buffer = [0u8; 16384];
        'answer: loop {
            for (kind, message) in messages(receive(&socket, &mut buffer)?) {
                // A system without IPv6 knows nothing of the family.
                if [libc::NLMSG_DONE, libc::NLMSG_ERROR].contains(&c_int::from(kind)) {
                    break 'answer;
                }
                let Some(NetEvent::Address { address, .. }) = host_address(kind, message) else { continue };
                if let Some(found) = choose(address) {
                    return Ok(Some(found));
                }
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::bsd;
    use std::collections::BTreeSet;

    #[test]
    fn they_are_those_of_the_library() {
        let (mut ours, mut theirs) = (BTreeSet::new(), BTreeSet::new());
        assert_eq!(first(|address| Some(ours.insert(address)).filter(|_| false)).unwrap(), None);
        bsd::own_addresses::first(|address| Some(theirs.insert(address)).filter(|_| false)).unwrap();
        assert_eq!(ours, theirs);
        assert_eq!(first(Some).unwrap().is_some(), !ours.is_empty());
    }
}
