//! The addresses of this host.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::cvt;

/// The first IPv4 address that is not loopback: the default of `router-id` is derived from it.
pub fn first_ipv4() -> Option<[u8; 4]> {
    first(|address| match address {
        IpAddr::V4(v4) if !v4.is_loopback() => Some(v4.octets()),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    })
}

/// Whether there is any address that leads beyond this host and its links.
pub fn any() -> bool {
    first(|address| match address {
        IpAddr::V4(v4) => (!v4.is_loopback() && !v4.is_link_local()).then_some(()),
        IpAddr::V6(v6) => (!v6.is_loopback() && !v6.is_unicast_link_local()).then_some(()),
    })
    .is_some()
}

/// Whether an address is one of this host.
#[cfg(any(test, not(target_os = "linux")))]
pub fn is_own(address: IpAddr) -> bool {
    first(|own| (own == address).then_some(())).is_some()
}

/// As it stands in a packet: 4 octets, or 16.
pub fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// Whether an address is in a network.
pub fn is_within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let differ = match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(n)) => (a.to_bits() ^ n.to_bits()).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(n)) => (a.to_bits() ^ n.to_bits()).leading_zeros(),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
    };
    differ >= u32::from(bits)
}

/// What `choose` makes of the first address that it wants.
fn first<T>(choose: impl Fn(IpAddr) -> Option<T>) -> Option<T> {
    let mut list: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: the call stores a list in `list`, or fails.
    cvt(unsafe { libc::getifaddrs(&mut list) }).ok()?;
    let mut found = None;
    let mut at = list;
    while !at.is_null() && found.is_none() {
        // SAFETY: `at` is an entry of the list, which is not freed yet.
        let entry = unsafe { &*at };
        found = address(entry.ifa_addr).and_then(&choose);
        at = entry.ifa_next;
    }
    // SAFETY: the list came from getifaddrs and is freed once.
    unsafe { libc::freeifaddrs(list) };
    found
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_one_that_can_be_bound() {
        assert!(any() || first_ipv4().is_none());
        if let Some(octets) = first_ipv4() {
            assert!(!Ipv4Addr::from(octets).is_loopback() && is_own(octets.into()));
            std::net::UdpSocket::bind((Ipv4Addr::from(octets), 0)).unwrap();
        }
    }

    #[test]
    fn an_address_is_in_its_network() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(is_within(ip("192.0.2.7"), ip("192.0.2.0"), 24));
        assert!(!is_within(ip("192.0.3.7"), ip("192.0.2.0"), 24));
        assert!(is_within(ip("192.0.2.7"), ip("0.0.0.0"), 0));
        assert!(!is_within(ip("2001:db8::1"), ip("0.0.0.0"), 0));
        assert!(is_within(ip("2001:db8::1"), ip("2001:db8::"), 32));
        assert!(!is_within(ip("2001:db9::1"), ip("2001:db8::"), 32));
        assert!(is_within(ip("192.0.2.0"), ip("192.0.2.0"), 32));
        assert!(!is_within(ip("192.0.2.1"), ip("192.0.2.0"), 32));
    }
}
