//! Socket addresses in the kernel's form (struct sockaddr_storage).

use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use libc::c_int;

/// A sockaddr_storage of zeros.
pub(super) fn zeroed_name() -> libc::sockaddr_storage {
    // SAFETY: sockaddr_storage is plain data for which all zeros is a valid value.
    unsafe { mem::zeroed() }
}

/// Octets of a sockaddr_storage.
pub(super) fn name_capacity() -> libc::socklen_t {
    mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t
}

/// The kernel's form of an address, and its length.
pub(super) fn encode(address: SocketAddr) -> (libc::sockaddr_storage, libc::socklen_t) {
    let mut name = zeroed_name();
    let pointer = std::ptr::from_mut(&mut name);
    match address {
        SocketAddr::V4(v4) => {
            let value = libc::sockaddr_in {
                #[cfg(not(target_os = "linux"))]
                sin_len: mem::size_of::<libc::sockaddr_in>() as u8,
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                sin_zero: [0; 8],
            };
            // SAFETY: a sockaddr_storage is large enough and aligned for every address family.
            unsafe { pointer.cast::<libc::sockaddr_in>().write(value) };
            (name, mem::size_of::<libc::sockaddr_in>() as libc::socklen_t)
        }
        SocketAddr::V6(v6) => {
            let value = libc::sockaddr_in6 {
                #[cfg(not(target_os = "linux"))]
                sin6_len: mem::size_of::<libc::sockaddr_in6>() as u8,
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            };
            // SAFETY: as above.
            unsafe { pointer.cast::<libc::sockaddr_in6>().write(value) };
            (name, mem::size_of::<libc::sockaddr_in6>() as libc::socklen_t)
        }
    }
}

/// The address in the kernel's form; `None` for other families than IPv4 and IPv6.
pub(super) fn decode(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    let pointer = std::ptr::from_ref(name);
    match c_int::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that this is a sockaddr_in; the storage is large enough and aligned.
            let v4 = unsafe { pointer.cast::<libc::sockaddr_in>().read() };
            let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
            Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above, for sockaddr_in6.
            let v6 = unsafe { pointer.cast::<libc::sockaddr_in6>().read() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            Some(SocketAddrV6::new(ip, u16::from_be(v6.sin6_port), 0, v6.sin6_scope_id).into())
        }
        _ => None,
    }
}
