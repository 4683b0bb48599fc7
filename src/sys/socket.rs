//! The sockets that L2TP messages travel on: raw IP (protocol 115) and UDP. None of them is connected: one socket
//! serves all peers of a local address, for every further raw socket would get its copy of each packet. All are
//! non-blocking, say to which local address a datagram came, and keep an error queue for ICMP errors.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use libc::{c_int, c_void};

use super::cmsg::{control_messages, Aligned};
use super::cvt;
use super::sockaddr::{decode, encode, name_capacity, zeroed_name};
use crate::saved::saved;
use crate::wire::Encapsulation;

/// IP protocol number of L2TPv3 (RFC 3931 10; linux/l2tp.h, libc lacks it).
pub(super) const IPPROTO_L2TP: c_int = 115;
/// Octets of the socket buffers: without them bursts of a few hundred frames are lost.
const BUFFER_OCTETS: c_int = 4 << 20;

/// A bound, unconnected socket.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    /// What is sent leaves through this one, where there is one: see [`Socket::bind`].
    output: Option<OwnedFd>,
    encapsulation: Encapsulation,
    local: SocketAddr,
    /// The interface that it is bound to.
    device: Option<String>,
    mark: u32,
    dont_fragment: Option<bool>,
    ttl: Option<u8>,
    tos: Option<u8>,
}

/// What another program is told of a socket, beside its descriptors.
#[derive(Debug)]
pub struct SocketState {
    encapsulation: Encapsulation,
    local: SocketAddr,
    device: Option<String>,
    mark: u32,
    dont_fragment: Option<bool>,
    ttl: Option<u8>,
    tos: Option<u8>,
    has_output: bool,
}
saved!(SocketState { encapsulation, local, device, mark, dont_fragment, ttl, tos, has_output });

/// An entry of the error queue: what became of a datagram sent earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketError {
    /// The system's error number (`ECONNREFUSED`, `EMSGSIZE` ...).
    pub errno: i32,
    /// Where the datagram was sent to.
    pub remote: Option<SocketAddr>,
    /// The path's MTU, with `EMSGSIZE`.
    pub mtu: Option<usize>,
}

impl SocketError {
    /// Whether the host that the datagram reached has no such port or protocol.
    pub fn is_refusal(&self) -> bool {
        matches!(self.errno, libc::ECONNREFUSED | libc::ENOPROTOOPT | libc::EPROTO)
    }
}

impl Socket {
    /// Opens and binds a socket. `local` may be an unspecified address; `port` is 0 for [`Encapsulation::Ip`].
    /// An address that the system does not have is `AddrNotAvailable`.
    pub fn open(encapsulation: Encapsulation, local: IpAddr, port: u16) -> io::Result<Socket> {
        let (kind, protocol, port) = match encapsulation {
            Encapsulation::Ip => (libc::SOCK_RAW, IPPROTO_L2TP, 0),
            Encapsulation::Udp => (libc::SOCK_DGRAM, libc::IPPROTO_UDP, port),
        };
        let fd = open(local, kind, protocol)?;
        let local = SocketAddr::new(local, port);
        let mut socket = Socket {
            fd,
            output: None,
            encapsulation,
            local,
            device: None,
            mark: 0,
            dont_fragment: None,
            ttl: None,
            tos: None,
        };
        socket.set_up()?;
        Ok(socket)
    }

    /// What another program that goes on with it has to know; its descriptors are added to `descriptors`.
    pub fn state(&self, descriptors: &mut Vec<RawFd>) -> SocketState {
        let Socket { fd, output, encapsulation, local, device, mark, dont_fragment, ttl, tos } = self;
        descriptors.push(fd.as_raw_fd());
        descriptors.extend(output.iter().map(AsRawFd::as_raw_fd));
        SocketState {
            encapsulation: *encapsulation,
            local: *local,
            device: device.clone(),
            mark: *mark,
            dont_fragment: *dont_fragment,
            ttl: *ttl,
            tos: *tos,
            has_output: output.is_some(),
        }
    }

    /// The socket of another program, with the next of its descriptors.
    pub fn resume(state: SocketState, descriptors: &mut VecDeque<OwnedFd>) -> Option<Socket> {
        let SocketState { encapsulation, local, device, mark, dont_fragment, ttl, tos, has_output } = state;
        let fd = descriptors.pop_front()?;
        let output = if has_output { Some(descriptors.pop_front()?) } else { None };
        Some(Socket { fd, output, encapsulation, local, device, mark, dont_fragment, ttl, tos })
    }

    fn set_up(&mut self) -> io::Result<()> {
        if self.local.is_ipv4() {
            self.set(libc::IPPROTO_IP, libc::IP_RECVERR, 1)?;
        } else {
            // Raw sockets of a family get no packets of the other one, and refuse the option.
            if self.encapsulation == Encapsulation::Udp {
                self.set(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
            }
            self.set(libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1)?;
        }
        // Of a bound socket it is known to which address datagrams come.
        match self.local.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => self.set(libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?,
            IpAddr::V6(ip) if ip.is_unspecified() => {
                self.set(libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
            }
            IpAddr::V4(_) | IpAddr::V6(_) => {}
        }
        enlarge(&self.fd, libc::SO_RCVBUFFORCE, libc::SO_RCVBUF)?;
        enlarge(&self.fd, libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)
    }

    /// Binds the socket to its local address.
    ///
    /// The kernel tells epoll of each datagram that has left its queue, unless the socket is not watched. This is
    /// worth a second raw socket for sending. It gets no copies of received packets: it is connected to our own
    /// address, from where none come, and each message names its destination.
    pub fn bind(&mut self) -> io::Result<()> {
        name_call(&self.fd, self.local, libc::bind)?;
        if self.encapsulation == Encapsulation::Ip && !self.local.ip().is_unspecified() {
            // Without it the first one sends.
            self.output = open_output(self.local, self.device.as_deref()).ok();
        }
        Ok(())
    }

    /// From now on packets leave and come by this interface alone, or within this VRF; to be called before the socket is
    /// bound to its address, and again when there is another interface of that name.
    pub fn bind_device(&mut self, name: &str) -> io::Result<()> {
        bind_device(&self.fd, name)?;
        if let Some(output) = &self.output {
            bind_device(output, name)?;
        }
        self.device = Some(name.to_owned());
        Ok(())
    }

    /// Sets the mark of what is sent from now on.
    pub fn set_mark(&mut self, mark: u32) -> io::Result<()> {
        if self.mark != mark {
            set_mark(self.output(), mark)?;
            self.mark = mark;
        }
        Ok(())
    }

    /// The descriptor to send with.
    pub(super) fn output(&self) -> RawFd {
        self.output.as_ref().unwrap_or(&self.fd).as_raw_fd()
    }

    /// Lets another socket of ours that also allows it be bound to the same port of another local address.
    pub fn share_port(&self, on: bool) -> io::Result<()> {
        self.set(libc::SOL_SOCKET, libc::SO_REUSEADDR, c_int::from(on))
    }

    /// From now on only datagrams of this peer come in, and none of them to another socket of ours.
    pub fn connect(&self, remote: SocketAddr) -> io::Result<()> {
        name_call(&self.fd, remote, libc::connect)
    }

    /// Keeps no error queue: another socket is told of ICMP errors.
    pub fn ignore_errors(&self) -> io::Result<()> {
        match self.local {
            SocketAddr::V4(_) => self.set(libc::IPPROTO_IP, libc::IP_RECVERR, 0),
            SocketAddr::V6(_) => self.set(libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 0),
        }
    }

    /// Binds a socket that only receives, and is not the only one of its address.
    pub fn bind_receiver(&mut self) -> io::Result<()> {
        name_call(&self.fd, self.local, libc::bind)
    }

    /// Asks the kernel to merge datagrams of one sender as they come in (UDP GRO); whether it does.
    pub fn enable_gro(&self) -> bool {
        self.encapsulation == Encapsulation::Udp && self.set(libc::SOL_UDP, libc::UDP_GRO, 1).is_ok()
    }

    /// Whether the kernel knows UDP GSO (UDP_SEGMENT): one message becomes several datagrams of equal length.
    pub fn has_gso(&self) -> bool {
        self.encapsulation == Encapsulation::Udp && self.get(libc::SOL_UDP, libc::UDP_SEGMENT).is_ok()
    }

    /// Sets the Don't Fragment rule for what is sent from now on: with it, what is longer than the path's MTU is
    /// refused with `EMSGSIZE`; without it, fragments are made.
    pub fn set_dont_fragment(&mut self, on: bool) -> io::Result<()> {
        if self.dont_fragment == Some(on) {
            return Ok(());
        }
        let (level, option, value) = match (self.local.is_ipv4(), on) {
            (true, true) => (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DO),
            (true, false) => (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DONT),
            (false, true) => (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_DO),
            (false, false) => (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_DONT),
        };
        set_option(self.output(), level, option, value)?;
        self.dont_fragment = Some(on);
        Ok(())
    }

    /// Sets time to live (hop limit) and TOS (traffic class) of what is sent from now on.
    pub fn set_ttl_and_tos(&mut self, ttl: u8, tos: u8) -> io::Result<()> {
        let (level, ttl_option, tos_option) = ttl_and_tos(self.local.is_ipv4());
        if self.ttl != Some(ttl) {
            set_option(self.output(), level, ttl_option, c_int::from(ttl))?;
            self.ttl = Some(ttl);
        }
        if self.tos != Some(tos) {
            set_option(self.output(), level, tos_option, c_int::from(tos))?;
            self.tos = Some(tos);
        }
        Ok(())
    }

    /// How messages are carried on this socket.
    pub fn encapsulation(&self) -> Encapsulation {
        self.encapsulation
    }

    /// The address and port that it is bound to.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Takes the oldest entry off the error queue.
    pub fn take_error(&self) -> Option<SocketError> {
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
        let got = unsafe {
            libc::recvmsg(self.fd.as_raw_fd(), &mut message, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT)
        };
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

    fn set(&self, level: c_int, option: c_int, value: c_int) -> io::Result<()> {
        set_option(self.fd.as_raw_fd(), level, option, value)
    }

    fn get(&self, level: c_int, option: c_int) -> io::Result<c_int> {
        get_option(self.fd.as_raw_fd(), level, option)
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// Whether a socket's error is one that ICMP errors of earlier datagrams leave on it, beside their entry in the error
/// queue: icmp(7), and what the kernel makes of the types and codes of ICMP and ICMPv6.
pub fn is_icmp_error(error: &io::Error) -> bool {
    let known = [
        libc::ECONNREFUSED,
        libc::ENOPROTOOPT,
        libc::EHOSTUNREACH,
        libc::ENETUNREACH,
        libc::EHOSTDOWN,
        libc::ENONET,
        libc::EACCES,
        libc::EPROTO,
        libc::EOPNOTSUPP,
        libc::EMSGSIZE,
    ];
    error.raw_os_error().is_some_and(|errno| known.contains(&errno))
}

/// Level and options for time to live (hop limit) and TOS (traffic class).
fn ttl_and_tos(ipv4: bool) -> (c_int, c_int, c_int) {
    match ipv4 {
        true => (libc::IPPROTO_IP, libc::IP_TTL, libc::IP_TOS),
        false => (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, libc::IPV6_TCLASS),
    }
}

/// Sets time to live (hop limit) and TOS (traffic class) of a socket that the kernel sends through.
pub fn set_ttl_and_tos(fd: RawFd, ipv4: bool, ttl: u8, tos: u8) -> io::Result<()> {
    let (level, ttl_option, tos_option) = ttl_and_tos(ipv4);
    set_option(fd, level, ttl_option, c_int::from(ttl))?;
    set_option(fd, level, tos_option, c_int::from(tos))
}

/// A new socket of the family of `local`.
pub(super) fn open(local: IpAddr, kind: c_int, protocol: c_int) -> io::Result<OwnedFd> {
    let family = if local.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers are passed.
    let fd = cvt(unsafe { libc::socket(family, kind | flags, protocol) })?;
    // SAFETY: `fd` was just opened and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// SO_BINDTODEVICE. `ENODEV`: there is no such interface.
pub(super) fn bind_device(fd: &OwnedFd, name: &str) -> io::Result<()> {
    let length = name.len() as libc::socklen_t;
    let (level, option, pointer) = (libc::SOL_SOCKET, libc::SO_BINDTODEVICE, name.as_ptr().cast::<c_void>());
    // SAFETY: `pointer` points to `length` octets, which the kernel takes as a name even without a NUL behind them.
    cvt(unsafe { libc::setsockopt(fd.as_raw_fd(), level, option, pointer, length) })?;
    Ok(())
}

/// SO_MARK.
pub(super) fn set_mark(fd: RawFd, mark: u32) -> io::Result<()> {
    set_option(fd, libc::SOL_SOCKET, libc::SO_MARK, mark as c_int)
}

/// A raw socket that only sends, from `local`.
fn open_output(local: SocketAddr, device: Option<&str>) -> io::Result<OwnedFd> {
    let fd = open(local.ip(), libc::SOCK_RAW, IPPROTO_L2TP)?;
    device.map_or(Ok(()), |name| bind_device(&fd, name))?;
    name_call(&fd, local, libc::bind)?;
    name_call(&fd, local, libc::connect)?;
    enlarge(&fd, libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)?;
    Ok(fd)
}

/// Calls bind(2) or connect(2) with an address.
fn name_call(
    fd: &OwnedFd,
    address: SocketAddr,
    call: unsafe extern "C" fn(c_int, *const libc::sockaddr, libc::socklen_t) -> c_int,
) -> io::Result<()> {
    let (name, length) = encode(address);
    let name = std::ptr::from_ref(&name).cast::<libc::sockaddr>();
    // SAFETY: `name` points to a sockaddr_storage of which `length` octets are the address.
    cvt(unsafe { call(fd.as_raw_fd(), name, length) }).map(|_| ())
}

/// Gives a socket a large buffer: beyond the system's limit where that is allowed.
fn enlarge(fd: &OwnedFd, forced: c_int, plain: c_int) -> io::Result<()> {
    set_option(fd.as_raw_fd(), libc::SOL_SOCKET, forced, BUFFER_OCTETS)
        .or_else(|_| set_option(fd.as_raw_fd(), libc::SOL_SOCKET, plain, BUFFER_OCTETS))
}

pub(super) fn set_option(fd: RawFd, level: c_int, option: c_int, value: c_int) -> io::Result<()> {
    let length = mem::size_of::<c_int>() as libc::socklen_t;
    let pointer = std::ptr::from_ref(&value).cast::<c_void>();
    // SAFETY: `pointer` points to an int that lives through the call.
    cvt(unsafe { libc::setsockopt(fd, level, option, pointer, length) })?;
    Ok(())
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

/// A UDP socket that only looks up routes of packets to `remote` that leave by this interface (or VRF), with this mark.
fn open_for_routes(remote: IpAddr, device: Option<&str>, mark: u32) -> io::Result<OwnedFd> {
    let fd = open(remote, libc::SOCK_DGRAM, 0)?;
    device.map_or(Ok(()), |name| bind_device(&fd, name))?;
    if mark != 0 {
        set_mark(fd.as_raw_fd(), mark)?;
    }
    Ok(fd)
}

/// The MTU of the path from `local` (unspecified: whatever the route says) to `remote`, by this interface and with this
/// mark, IP header included: that of the route's interface, or what ICMP told about the path. Sends nothing.
pub fn path_mtu(local: IpAddr, remote: IpAddr, device: Option<&str>, mark: u32) -> io::Result<usize> {
    let fd = open_for_routes(remote, device, mark)?;
    if !local.is_unspecified() && local.is_ipv4() == remote.is_ipv4() {
        name_call(&fd, SocketAddr::new(local, 0), libc::bind)?;
    }
    // Connecting a UDP socket only looks up the route.
    name_call(&fd, SocketAddr::new(remote, 9), libc::connect)?;
    let (level, option) = match remote {
        IpAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_MTU),
        IpAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_MTU),
    };
    usize::try_from(get_option(fd.as_raw_fd(), level, option)?).map_err(io::Error::other)
}

/// The address that packets to `remote` leave from where none was chosen: what the route says. Sends nothing.
pub fn source_address(remote: SocketAddr, device: Option<&str>, mark: u32) -> io::Result<IpAddr> {
    let fd = open_for_routes(remote.ip(), device, mark)?;
    let mut to = remote;
    to.set_port(9);
    // Connecting a UDP socket only looks up the route.
    name_call(&fd, to, libc::connect)?;
    Ok(UdpSocket::from(fd).local_addr()?.ip())
}
