//! The sockets that L2TP messages travel on, where systems differ: ip(4), ip6(4), recvmmsg(2). There is no error queue, no
//! UDP GSO or GRO, and no binding to an interface.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use libc::c_int;

use super::route;
use crate::sys::cmsg::{append, Aligned};
use crate::sys::fragmentation::Fragmentation;
use crate::sys::socket_call::set_option;
use crate::sys::socket_error::SocketError;

/// No: ip_setpktopts() of NetBSD refuses what it does not know, udp_send() of FreeBSD too.
pub(in crate::sys) const TOS_AND_TTL_BESIDE: bool = false;
/// No: EISCONN.
pub(in crate::sys) const SENDS_WHILE_CONNECTED: bool = false;
/// Octets of the socket buffers that are tried, until the system allows it (kern.ipc.maxsockbuf, kern.sbmax).
const BUFFERS: [c_int; 5] = [4 << 20, 2 << 20, 1 << 20, 512 << 10, 256 << 10];

/// Has an unbound socket tell to which address a datagram came.
pub(in crate::sys) fn tell_destination(fd: RawFd, ipv4: bool) -> io::Result<()> {
    match ipv4 {
        true => set_option(fd, libc::IPPROTO_IP, libc::IP_RECVDSTADDR, 1),
        false => set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1),
    }
}

/// The address of ours that a control message says a datagram of IPv4 came to.
pub(in crate::sys) fn destination(level: c_int, kind: c_int, data: &[u8]) -> Option<Ipv4Addr> {
    let told = (level, kind) == (libc::IPPROTO_IP, libc::IP_RECVDSTADDR);
    data.first_chunk::<4>().filter(|_| told).map(|a| Ipv4Addr::from(*a))
}

/// Has a datagram of IPv4 leave from `local`. Raw sockets of FreeBSD pass over it: there the route's address it is.
pub(in crate::sys) fn append_source<const N: usize>(
    buffer: &mut Aligned<N>,
    at: &mut usize,
    local: Ipv4Addr,
) {
    append(buffer, at, libc::IPPROTO_IP, libc::IP_SENDSRCADDR, local.octets());
}

/// Nothing: see [`TOS_AND_TTL_BESIDE`].
pub(in crate::sys) fn append_tos_and_ttl<const N: usize>(
    _buffer: &mut Aligned<N>,
    _at: &mut usize,
    _ipv4: bool,
    _tos: Option<u8>,
    _ttl: Option<u8>,
) {
}

/// There is no error queue.
pub(in crate::sys) fn keep_errors(_fd: RawFd, _ipv4: bool, _on: bool) -> io::Result<()> {
    Ok(())
}

/// Nothing: there is no error queue.
pub(in crate::sys) fn take_error(_fd: RawFd) -> Option<SocketError> {
    None
}

/// Gives a socket a large buffer for what comes in.
pub(in crate::sys) fn enlarge_input(fd: &OwnedFd) -> io::Result<()> {
    enlarge(fd, libc::SO_RCVBUF)
}

/// The same for what goes out.
pub(in crate::sys) fn enlarge_output(fd: &OwnedFd) -> io::Result<()> {
    enlarge(fd, libc::SO_SNDBUF)
}

fn enlarge(fd: &OwnedFd, option: c_int) -> io::Result<()> {
    let set = |octets: &c_int| set_option(fd.as_raw_fd(), libc::SOL_SOCKET, option, *octets).is_ok();
    // With a small one bursts are lost.
    let _ = BUFFERS.iter().any(set);
    Ok(())
}

/// What becomes of packets that are longer than the path's MTU. NetBSD has it for IPv6 alone: with IPv4 fragments are
/// made. Probes are like what is refused.
pub(in crate::sys) fn set_fragmentation(fd: RawFd, ipv4: bool, rule: Fragmentation) -> io::Result<()> {
    let on = rule != Fragmentation::Allowed;
    match ipv4 {
        #[cfg(target_os = "freebsd")]
        true => set_option(fd, libc::IPPROTO_IP, libc::IP_DONTFRAG, c_int::from(on)),
        #[cfg(not(target_os = "freebsd"))]
        true => Ok(()),
        false => set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG, c_int::from(on)),
    }
}

/// No.
pub(in crate::sys) fn set_gro(_fd: RawFd, _on: bool) -> bool {
    false
}

/// Nothing is merged.
pub(in crate::sys) fn gso_size(_level: c_int, _kind: c_int, _data: &[u8]) -> Option<usize> {
    None
}

/// No.
pub(in crate::sys) fn has_gso(_fd: RawFd) -> bool {
    false
}

/// Nothing: see [`has_gso`].
pub(in crate::sys) fn append_gso_size<const N: usize>(
    _buffer: &mut Aligned<N>,
    _at: &mut usize,
    _octets: u16,
) {
}

/// Receives datagrams without waiting; how many.
///
/// # Safety
/// The pointers in `headers` point to live buffers of the lengths given there.
pub(in crate::sys) unsafe fn receive(fd: RawFd, headers: &mut [libc::mmsghdr]) -> io::Result<usize> {
    let none = std::ptr::null_mut();
    // SAFETY: the pointer and the count are those of `headers`; the caller vouches for what they point to.
    let got =
        unsafe { libc::recvmmsg(fd, headers.as_mut_ptr(), headers.len() as _, libc::MSG_DONTWAIT, none) };
    usize::try_from(got).map_err(|_| io::Error::last_os_error())
}

/// Sends datagrams without waiting, up to the first that fails; how many.
///
/// # Safety
/// The pointers in `headers` point to live buffers of the lengths given there.
pub(in crate::sys) unsafe fn send(fd: RawFd, headers: &mut [libc::mmsghdr]) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: as above.
    let done = unsafe { libc::sendmmsg(fd, headers.as_mut_ptr(), headers.len() as _, flags) };
    usize::try_from(done).map_err(|_| io::Error::last_os_error())
}

/// Always `Unsupported`.
pub(in crate::sys) fn bind_device(_fd: &OwnedFd, _name: &str) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system binds no socket to an interface"))
}

/// Always `Unsupported`.
pub(in crate::sys) fn set_mark(_fd: RawFd, _mark: u32) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no marks of packets"))
}

/// The MTU of the path to `remote`: that of its route, or of the route's interface.
pub(in crate::sys) fn path_mtu(_fd: &OwnedFd, _local: IpAddr, remote: IpAddr) -> io::Result<usize> {
    route::mtu(remote)
}
