//! The addresses of this host.

use std::net::Ipv4Addr;

use super::cvt;

/// The first IPv4 address that is not loopback: the default of `router-id` is derived from it.
pub fn first_ipv4() -> Option<[u8; 4]> {
    let mut list: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: the call stores a list in `list`, or fails.
    cvt(unsafe { libc::getifaddrs(&mut list) }).ok()?;
    let mut found = None;
    let mut at = list;
    while !at.is_null() && found.is_none() {
        // SAFETY: `at` is an entry of the list, which is not freed yet.
        let entry = unsafe { &*at };
        found = ipv4(entry.ifa_addr).filter(|address| !address.is_loopback());
        at = entry.ifa_next;
    }
    // SAFETY: the list came from getifaddrs and is freed once.
    unsafe { libc::freeifaddrs(list) };
    found.map(|address| address.octets())
}

/// The address of an entry, if it is an IPv4 one.
fn ipv4(address: *const libc::sockaddr) -> Option<Ipv4Addr> {
    if address.is_null() {
        return None;
    }
    // SAFETY: a non-null address of getifaddrs begins with its family.
    if i32::from(unsafe { (*address).sa_family }) != libc::AF_INET {
        return None;
    }
    // SAFETY: an address of this family is a sockaddr_in.
    let address = unsafe { address.cast::<libc::sockaddr_in>().read_unaligned() };
    Some(Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_one_that_can_be_bound() {
        if let Some(octets) = first_ipv4() {
            assert!(!Ipv4Addr::from(octets).is_loopback());
            std::net::UdpSocket::bind((Ipv4Addr::from(octets), 0)).unwrap();
        }
    }
}
