//! The sockets that L2TP messages travel on, where systems differ: options, control messages, batches, errors.

use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use libc::{c_int, c_long, c_void};

use crate::sys::cmsg::{append, control_messages, Aligned};
use crate::sys::cvt;
use crate::sys::fragmentation::Fragmentation;
use crate::sys::sockaddr::{decode, name_capacity, zeroed_name};
use crate::sys::socket_call::{name_call, set_option};
use crate::sys::socket_error::SocketError;

/// Control messages may give a datagram's own TOS and TTL.
pub(in crate::sys) const TOS_AND_TTL_BESIDE: bool = true;
/// A connected raw socket may send to others than its peer: it can be one that only sends.
pub(in crate::sys) const SENDS_WHILE_CONNECTED: bool = true;
/// Octets of the socket buffers: without them bursts of a few hundred frames are lost.
const BUFFER_OCTETS: c_int = 4 << 20;

/// Has an unbound socket tell to which address a datagram came.
pub(in crate::sys) fn tell_destination(fd: RawFd, ipv4: bool) -> io::Result<()> {
    match ipv4 {
        true => set_option(fd, libc::IPPROTO_IP, libc::IP_PKTINFO, 1),
        false => set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1),
    }
}

/// The address of ours that a control message says a datagram of IPv4 came to.
pub(in crate::sys) fn destination(level: c_int, kind: c_int, data: &[u8]) -> Option<Ipv4Addr> {
    // ipi_addr is the destination in the IP header, ipi_spec_dst an address for replies.
    let address = data.get(mem::offset_of!(libc::in_pktinfo, ipi_addr)..)?.first_chunk::<4>();
    address.filter(|_| (level, kind) == (libc::IPPROTO_IP, libc::IP_PKTINFO)).map(|a| Ipv4Addr::from(*a))
}

/// Has a datagram of IPv4 leave from `local`.
pub(in crate::sys) fn append_source<const N: usize>(
    buffer: &mut Aligned<N>,
    at: &mut usize,
    local: Ipv4Addr,
) {
    let info = libc::in_pktinfo {
        ipi_ifindex: 0,
        ipi_spec_dst: libc::in_addr { s_addr: u32::from_ne_bytes(local.octets()) },
        ipi_addr: libc::in_addr { s_addr: 0 },
    };
    append(buffer, at, libc::IPPROTO_IP, libc::IP_PKTINFO, info);
}

/// Gives a datagram its own TOS (traffic class) and TTL (hop limit).
pub(in crate::sys) fn append_tos_and_ttl<const N: usize>(
    buffer: &mut Aligned<N>,
    at: &mut usize,
    ipv4: bool,
    tos: Option<u8>,
    ttl: Option<u8>,
) {
    if let Some(tos) = tos {
        let (level, kind) = match ipv4 {
            true => (libc::IPPROTO_IP, libc::IP_TOS),
            false => (libc::IPPROTO_IPV6, libc::IPV6_TCLASS),
        };
        append(buffer, at, level, kind, c_int::from(tos));
    }
    if let Some(ttl) = ttl {
        let (level, kind) = match ipv4 {
            true => (libc::IPPROTO_IP, libc::IP_TTL),
            false => (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT),
        };
        append(buffer, at, level, kind, c_int::from(ttl));
    }
}

/// Keeps an error queue, or none: what ICMP tells of datagrams sent earlier.
pub(in crate::sys) fn keep_errors(fd: RawFd, ipv4: bool, on: bool) -> io::Result<()> {
    match ipv4 {
        true => set_option(fd, libc::IPPROTO_IP, libc::IP_RECVERR, c_int::from(on)),
        false => set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, c_int::from(on)),
    }
}

/// Gives a socket a large buffer for what comes in: beyond the system's limit where that is allowed.
pub(in crate::sys) fn enlarge_input(fd: &OwnedFd) -> io::Result<()> {
    enlarge(fd, libc::SO_RCVBUFFORCE, libc::SO_RCVBUF)
}

/// The same for what goes out.
pub(in crate::sys) fn enlarge_output(fd: &OwnedFd) -> io::Result<()> {
    enlarge(fd, libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)
}

fn enlarge(fd: &OwnedFd, forced: c_int, plain: c_int) -> io::Result<()> {
    set_option(fd.as_raw_fd(), libc::SOL_SOCKET, forced, BUFFER_OCTETS)
        .or_else(|_| set_option(fd.as_raw_fd(), libc::SOL_SOCKET, plain, BUFFER_OCTETS))
}

/// What becomes of packets that are longer than the path's MTU.
pub(in crate::sys) fn set_fragmentation(fd: RawFd, ipv4: bool, rule: Fragmentation) -> io::Result<()> {
    let value = match (ipv4, rule) {
        (true, Fragmentation::Allowed) => libc::IP_PMTUDISC_DONT,
        (true, Fragmentation::Refused) => libc::IP_PMTUDISC_DO,
        (true, Fragmentation::Probe) => libc::IP_PMTUDISC_PROBE,
        (false, Fragmentation::Allowed) => libc::IPV6_PMTUDISC_DONT,
        (false, Fragmentation::Refused) => libc::IPV6_PMTUDISC_DO,
        (false, Fragmentation::Probe) => libc::IPV6_PMTUDISC_PROBE,
    };
    let (level, option) = match ipv4 {
        true => (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER),
        false => (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER),
    };
    set_option(fd, level, option, value)
}

/// Asks the kernel to merge datagrams of one sender as they come in (UDP GRO), or not to; whether it obeys.
pub(in crate::sys) fn set_gro(fd: RawFd, on: bool) -> bool {
    set_option(fd, libc::SOL_UDP, libc::UDP_GRO, c_int::from(on)).is_ok()
}

/// The length of the datagrams that were merged, if a control message says so.
pub(in crate::sys) fn gso_size(level: c_int, kind: c_int, data: &[u8]) -> Option<usize> {
    let length = data.first_chunk::<4>().filter(|_| (level, kind) == (libc::SOL_UDP, libc::UDP_GRO));
    length.and_then(|l| usize::try_from(i32::from_ne_bytes(*l)).ok()).filter(|l| *l > 0)
}

/// Whether the kernel knows UDP GSO (UDP_SEGMENT): one message becomes several datagrams of equal length.
pub(in crate::sys) fn has_gso(fd: RawFd) -> bool {
    get_option(fd, libc::SOL_UDP, libc::UDP_SEGMENT).is_ok()
}

/// Has a message become datagrams of this length.
pub(in crate::sys) fn append_gso_size<const N: usize>(buffer: &mut Aligned<N>, at: &mut usize, octets: u16) {
    append(buffer, at, libc::SOL_UDP, libc::UDP_SEGMENT, octets);
}

/// Receives datagrams without waiting; how many.
///
/// # Safety
/// The pointers in `headers` point to live buffers of the lengths given there.
pub(in crate::sys) unsafe fn receive(fd: RawFd, headers: &mut [libc::mmsghdr]) -> io::Result<usize> {
    let (pointer, count) = (headers.as_mut_ptr(), headers.len() as u32);
    let none = std::ptr::null_mut();
    // SAFETY: `pointer` points to `count` mmsghdr; the caller vouches for what they point to.
    let got = unsafe { libc::recvmmsg(fd, pointer, count, libc::MSG_DONTWAIT as _, none) };
    usize::try_from(got).map_err(|_| io::Error::last_os_error())
}

/// Sends datagrams without waiting, up to the first that fails; how many.
///
/// # Safety
/// The pointers in `headers` point to live buffers of the lengths given there.
pub(in crate::sys) unsafe fn send(fd: RawFd, headers: &mut [libc::mmsghdr]) -> io::Result<usize> {
    let (pointer, count) = (headers.as_mut_ptr(), headers.len() as c_long);
    let (fd, flags) = (c_long::from(fd), c_long::from(libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL));
    // The function of musl makes one system call for each message.
    // SAFETY: `pointer` points to `count` mmsghdr; the caller vouches for what they point to. libc's structures are
    // those of the kernel: what some C libraries declare narrower has padding beside it, which is zero.
    let done = unsafe { libc::syscall(libc::SYS_sendmmsg, fd, pointer, count, flags) };
    usize::try_from(done).map_err(|_| io::Error::last_os_error())
}

/// Takes the oldest entry off the error queue.
pub(in crate::sys) fn take_error(fd: RawFd) -> Option<SocketError> {
    let mut name = zeroed_name();
    let mut control = Aligned::<512>::new();
    let mut payload = [0u8; 64];
    let mut piece = libc::iovec { iov_base: payload.as_mut_ptr().cast(), iov_len: payload.len() };
    // SAFETY: msghdr is plain data for which all zeros is a valid value.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_name = std::ptr::from_mut(&mut name).cast();
    message.msg_namelen = name_capacity();
    message.msg_iov = &mut piece;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr();
    message.msg_controllen = control.len() as _;
    // SAFETY: all pointers of `message` point to live buffers of the lengths given.
    let got = unsafe { libc::recvmsg(fd, &mut message, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT) };
    if got < 0 {
        return None;
    }
    let mut error = SocketError { errno: libc::EIO, remote: decode(&name), mtu: None };
    control_messages(&message, |level, kind, data| {
        let wanted = (level == libc::IPPROTO_IP && kind == libc::IP_RECVERR)
            || (level == libc::IPPROTO_IPV6 && kind == libc::IPV6_RECVERR);
        let errno = word(data, mem::offset_of!(libc::sock_extended_err, ee_errno));
        let info = word(data, mem::offset_of!(libc::sock_extended_err, ee_info));
        if let (true, Some(errno), Some(info)) = (wanted, errno, info) {
            error.errno = i32::from_ne_bytes(errno);
            error.mtu = (error.errno == libc::EMSGSIZE).then(|| u32::from_ne_bytes(info) as usize);
        }
    });
    Some(error)
}

fn get_option(fd: RawFd, level: c_int, option: c_int) -> io::Result<c_int> {
    let mut value: c_int = 0;
    let mut length = mem::size_of::<c_int>() as libc::socklen_t;
    let pointer = std::ptr::from_mut(&mut value).cast::<c_void>();
    // SAFETY: `pointer` points to an int and `length` says so.
    cvt(unsafe { libc::getsockopt(fd, level, option, pointer, &mut length) })?;
    Ok(value)
}

fn word(data: &[u8], at: usize) -> Option<[u8; 4]> {
    data.get(at..)?.first_chunk::<4>().copied()
}

/// SO_BINDTODEVICE. `ENODEV`: there is no such interface.
pub(in crate::sys) fn bind_device(fd: &OwnedFd, name: &str) -> io::Result<()> {
    let length = name.len() as libc::socklen_t;
    let (level, option, pointer) = (libc::SOL_SOCKET, libc::SO_BINDTODEVICE, name.as_ptr().cast::<c_void>());
    // SAFETY: `pointer` points to `length` octets, which the kernel takes as a name even without a NUL after them.
    cvt(unsafe { libc::setsockopt(fd.as_raw_fd(), level, option, pointer, length) })?;
    Ok(())
}

/// SO_MARK.
pub(in crate::sys) fn set_mark(fd: RawFd, mark: u32) -> io::Result<()> {
    set_option(fd, libc::SOL_SOCKET, libc::SO_MARK, mark as c_int)
}

/// The MTU of the path from `local` (unspecified: whatever the route says) to `remote`, IP header included, as a socket
/// that looks up routes sees it: that of the route's interface, or what ICMP told about the path. Sends nothing.
pub(in crate::sys) fn path_mtu(fd: &OwnedFd, local: IpAddr, remote: IpAddr) -> io::Result<usize> {
    if !local.is_unspecified() && local.is_ipv4() == remote.is_ipv4() {
        name_call(fd, SocketAddr::new(local, 0), libc::bind)?;
    }
    // Connecting a UDP socket only looks up the route.
    name_call(fd, SocketAddr::new(remote, 9), libc::connect)?;
    let (level, option) = match remote {
        IpAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_MTU),
        IpAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_MTU),
    };
    usize::try_from(get_option(fd.as_raw_fd(), level, option)?).map_err(io::Error::other)
}
