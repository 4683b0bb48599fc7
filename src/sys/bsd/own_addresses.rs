//! The addresses of this host: those of getifaddrs(3).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::sys::cvt;

/// What `choose` makes of the first address that it wants.
pub(in crate::sys) fn first<T>(mut choose: impl FnMut(IpAddr) -> Option<T>) -> io::Result<Option<T>> {
    let mut list: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: the call stores a list in `list`, or fails.
    cvt(unsafe { libc::getifaddrs(&mut list) })?;
    let mut found = None;
    let mut at = list;
    while !at.is_null() && found.is_none() {
        // SAFETY: `at` is an entry of the list, which is not freed yet.
        let entry = unsafe { &*at };
        found = address(entry.ifa_addr).and_then(&mut choose);
        at = entry.ifa_next;
    }
    // SAFETY: the list came from getifaddrs and is freed once.
    unsafe { libc::freeifaddrs(list) };
    Ok(found)
}

/// The address of an entry, if it is an IPv4 or IPv6 one.
fn address(address: *const libc::sockaddr) -> Option<IpAddr> {
    if address.is_null() {
        return None;
    }
    // SAFETY: a non-null address of getifaddrs begins with its family.
    match i32::from(unsafe { (*address).sa_family }) {
        libc::AF_INET => {
            // SAFETY: an address of this family is a sockaddr_in.
            let address = unsafe { address.cast::<libc::sockaddr_in>().read_unaligned() };
            Some(Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: an address of this family is a sockaddr_in6.
            let address = unsafe { address.cast::<libc::sockaddr_in6>().read_unaligned() };
            Some(Ipv6Addr::from(address.sin6_addr.s6_addr).into())
        }
        _ => None,
    }
}
