//! The addresses of this host.

use std::net::IpAddr;

use super::own_addresses;

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

fn first<T>(choose: impl FnMut(IpAddr) -> Option<T>) -> Option<T> {
    own_addresses::first(choose).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

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
