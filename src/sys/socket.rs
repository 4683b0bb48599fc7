//! The sockets that L2TP messages travel on: raw IP (protocol 115) and UDP. None of them is connected: one socket
//! serves all peers of a local address, for every further raw socket would get its copy of each packet. All are
//! non-blocking, say to which local address a datagram came, and keep an error queue for ICMP errors.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use libc::c_int;

pub use super::fragmentation::Fragmentation;
use super::outer;
use super::socket_call::{name_call, open, set_option};
pub use super::socket_error::{is_icmp_error, SocketError};
use crate::saved::saved;
use crate::wire::Encapsulation;

/// IP protocol number of L2TPv3 (RFC 3931 10; linux/l2tp.h, libc lacks it).
pub(super) const IPPROTO_L2TP: c_int = 115;

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
    fragmentation: Option<Fragmentation>,
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
    fragmentation: Option<Fragmentation>,
    ttl: Option<u8>,
    tos: Option<u8>,
    has_output: bool,
}
saved!(SocketState { encapsulation, local, device, mark, fragmentation, ttl, tos, has_output });

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
            fragmentation: None,
            ttl: None,
            tos: None,
        };
        socket.set_up()?;
        Ok(socket)
    }

    /// What another program that goes on with it has to know; its descriptors are added to `descriptors`.
    pub fn state(&self, descriptors: &mut Vec<RawFd>) -> SocketState {
        let Socket { fd, output, encapsulation, local, device, mark, fragmentation, ttl, tos } = self;
        descriptors.push(fd.as_raw_fd());
        descriptors.extend(output.iter().map(AsRawFd::as_raw_fd));
        SocketState {
            encapsulation: *encapsulation,
            local: *local,
            device: device.clone(),
            mark: *mark,
            fragmentation: *fragmentation,
            ttl: *ttl,
            tos: *tos,
            has_output: output.is_some(),
        }
    }

    /// The socket of another program, with the next of its descriptors.
    pub fn resume(state: SocketState, descriptors: &mut VecDeque<OwnedFd>) -> Option<Socket> {
        let SocketState { encapsulation, local, device, mark, fragmentation, ttl, tos, has_output } = state;
        let fd = descriptors.pop_front()?;
        let output = if has_output { Some(descriptors.pop_front()?) } else { None };
        Some(Socket { fd, output, encapsulation, local, device, mark, fragmentation, ttl, tos })
    }

    fn set_up(&mut self) -> io::Result<()> {
        let (fd, ipv4) = (self.fd.as_raw_fd(), self.local.is_ipv4());
        // Raw sockets of a family get no packets of the other one, and refuse the option.
        if !ipv4 && self.encapsulation == Encapsulation::Udp {
            self.set(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
        }
        outer::keep_errors(fd, ipv4, true)?;
        // Of a bound socket it is known to which address datagrams come.
        if self.local.ip().is_unspecified() {
            outer::tell_destination(fd, ipv4)?;
        }
        outer::enlarge_input(&self.fd)?;
        outer::enlarge_output(&self.fd)
    }

    /// Binds the socket to its local address.
    ///
    /// The kernel tells epoll of each datagram that has left its queue, unless the socket is not watched. This is
    /// worth a second raw socket for sending. It gets no copies of received packets: it is connected to our own
    /// address, from where none come, and each message names its destination.
    pub fn bind(&mut self) -> io::Result<()> {
        name_call(&self.fd, self.local, libc::bind)?;
        let alone = self.encapsulation == Encapsulation::Ip && !self.local.ip().is_unspecified();
        if alone && outer::SENDS_WHILE_CONNECTED {
            // Without it the first one sends.
            self.output = open_output(self.local, self.device.as_deref()).ok();
        }
        Ok(())
    }

    /// From now on packets leave and come by this interface alone, or within this VRF; to be called before the socket is
    /// bound to its address, and again when there is another interface of that name.
    pub fn bind_device(&mut self, name: &str) -> io::Result<()> {
        outer::bind_device(&self.fd, name)?;
        if let Some(output) = &self.output {
            outer::bind_device(output, name)?;
        }
        self.device = Some(name.to_owned());
        Ok(())
    }

    /// Sets the mark of what is sent from now on.
    pub fn set_mark(&mut self, mark: u32) -> io::Result<()> {
        if self.mark != mark {
            outer::set_mark(self.output(), mark)?;
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
        outer::keep_errors(self.fd.as_raw_fd(), self.local.is_ipv4(), false)
    }

    /// Binds a socket that only receives, and is not the only one of its address.
    pub fn bind_receiver(&mut self) -> io::Result<()> {
        name_call(&self.fd, self.local, libc::bind)
    }

    /// Asks the kernel to merge datagrams of one sender as they come in (UDP GRO), or not to; whether it obeys.
    pub fn set_gro(&self, on: bool) -> bool {
        self.encapsulation == Encapsulation::Udp && outer::set_gro(self.fd.as_raw_fd(), on)
    }

    /// Whether the kernel knows UDP GSO (UDP_SEGMENT): one message becomes several datagrams of equal length.
    pub fn has_gso(&self) -> bool {
        self.encapsulation == Encapsulation::Udp && outer::has_gso(self.fd.as_raw_fd())
    }

    /// Sets what becomes of long packets that are sent from now on.
    pub fn set_fragmentation(&mut self, rule: Fragmentation) -> io::Result<()> {
        if self.fragmentation == Some(rule) {
            return Ok(());
        }
        outer::set_fragmentation(self.output(), self.local.is_ipv4(), rule)?;
        self.fragmentation = Some(rule);
        Ok(())
    }

    /// The Don't Fragment rule for what is sent from now on.
    pub fn set_dont_fragment(&mut self, on: bool) -> io::Result<()> {
        self.set_fragmentation(if on { Fragmentation::Refused } else { Fragmentation::Allowed })
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

    /// The address and port that it is bound to.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Takes the oldest entry off the error queue.
    pub fn take_error(&self) -> Option<SocketError> {
        outer::take_error(self.fd.as_raw_fd())
    }

    fn set(&self, level: c_int, option: c_int, value: c_int) -> io::Result<()> {
        set_option(self.fd.as_raw_fd(), level, option, value)
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
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

/// A raw socket that only sends, from `local`.
fn open_output(local: SocketAddr, device: Option<&str>) -> io::Result<OwnedFd> {
    let fd = open(local.ip(), libc::SOCK_RAW, IPPROTO_L2TP)?;
    device.map_or(Ok(()), |name| outer::bind_device(&fd, name))?;
    name_call(&fd, local, libc::bind)?;
    name_call(&fd, local, libc::connect)?;
    outer::enlarge_output(&fd)?;
    Ok(fd)
}

/// A UDP socket that only looks up routes of packets to `remote` that leave by this interface (or VRF), with this mark.
fn open_for_routes(remote: IpAddr, device: Option<&str>, mark: u32) -> io::Result<OwnedFd> {
    let fd = open(remote, libc::SOCK_DGRAM, 0)?;
    device.map_or(Ok(()), |name| outer::bind_device(&fd, name))?;
    if mark != 0 {
        outer::set_mark(fd.as_raw_fd(), mark)?;
    }
    Ok(fd)
}

/// The MTU of the path from `local` (unspecified: whatever the route says) to `remote`, by this interface and with this
/// mark, IP header included: that of the route's interface, or what ICMP told about the path. Sends nothing.
pub fn path_mtu(local: IpAddr, remote: IpAddr, device: Option<&str>, mark: u32) -> io::Result<usize> {
    outer::path_mtu(&open_for_routes(remote, device, mark)?, local, remote)
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
