//! The sockets: which there are, which one a path uses, control messages out, and the error queues.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

use mio::unix::SourceFd;

use super::{place, unspecified, DataPlane, DataPlaneEvent, Source};
use crate::proto::Path;
use crate::sys::batch::{Destination, Sender};
use crate::sys::socket::{is_icmp_error, Socket};
use crate::sys::{clock, error_text};
use crate::wire::demux::IP_CONTROL_PREFIX;
use crate::wire::Encapsulation;

/// TOS of control messages: network control.
const CONTROL_TOS: u8 = 0xc0;
/// Octets of the arena that sent datagrams are built in.
pub(super) const ARENA: usize = 768 * 1024;

/// What names a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketKey {
    /// How messages are carried.
    pub encapsulation: Encapsulation,
    /// The address that it is bound to; may be unspecified.
    pub local: IpAddr,
    /// The local port; 0 with [`Encapsulation::Ip`].
    pub port: u16,
}

impl SocketKey {
    /// The socket for `local`, or for any address of the family of `family_of`.
    pub fn new(
        encapsulation: Encapsulation,
        local: Option<IpAddr>,
        family_of: IpAddr,
        port: u16,
    ) -> SocketKey {
        let port = if encapsulation == Encapsulation::Ip { 0 } else { port };
        SocketKey { encapsulation, local: local.unwrap_or(unspecified(family_of)), port }
    }

    /// Of the same family, encapsulation and port, whatever the address.
    fn is_sibling(&self, other: &SocketKey) -> bool {
        self.encapsulation == other.encapsulation
            && self.port == other.port
            && self.local.is_ipv4() == other.local.is_ipv4()
    }
}

impl fmt::Display for SocketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.encapsulation {
            Encapsulation::Ip => write!(f, "IP protocol 115 on {}", self.local),
            Encapsulation::Udp => write!(f, "UDP port {} on {}", self.port, self.local),
        }
    }
}

/// An open socket.
pub(super) struct OpenSocket {
    pub(super) key: SocketKey,
    pub(super) inner: Socket,
    pub(super) ready: bool,
    /// Addresses that raw sockets of ours are bound to: the kernel gives this one a copy of their packets.
    pub(super) shadows: Vec<IpAddr>,
    /// Errors in a row.
    pub(super) errors: u32,
    /// The kernel knows UDP GSO.
    pub(super) gso: bool,
    /// It is connected to this peer, for the kernel to take the data messages from: see `kernel.rs`.
    pub(super) peer: Option<SocketAddr>,
}

impl DataPlane {
    /// Opens the socket for `local` (or for any address of the family of `family_of`) unless it is open already.
    /// An address that the system does not have is an error of the kind `AddrNotAvailable`.
    pub fn open_socket(
        &mut self,
        encapsulation: Encapsulation,
        local: Option<IpAddr>,
        family_of: IpAddr,
        port: u16,
    ) -> io::Result<()> {
        let key = SocketKey::new(encapsulation, local, family_of, port);
        if self.sockets.iter().flatten().any(|s| s.key == key && s.peer.is_none()) {
            return Ok(());
        }
        let mut socket = Socket::open(encapsulation, key.local, key.port)?;
        self.bind(&mut socket, &key)?;
        if self.kernel.is_some() {
            socket.receive_control_only()?;
        }
        socket.enable_gro();
        self.add_socket(key, socket, None).map(|_| ())
    }

    /// Watches a socket; its place.
    pub(super) fn add_socket(
        &mut self,
        key: SocketKey,
        socket: Socket,
        peer: Option<SocketAddr>,
    ) -> io::Result<usize> {
        let gso = socket.has_gso();
        let fd = socket.as_raw_fd();
        let socket =
            OpenSocket { key, inner: socket, ready: false, shadows: Vec::new(), errors: 0, gso, peer };
        let at = place(&mut self.sockets, socket);
        if let Err(error) = self.register(fd, Source::Socket(at)) {
            self.sockets[at] = None;
            return Err(error);
        }
        self.sockets_changed();
        Ok(at)
    }

    /// A port that is bound for any address cannot be bound for one address too, unless both sockets allow it.
    /// They do so only at this moment, lest other programs take the port.
    pub(super) fn bind(&self, socket: &mut Socket, key: &SocketKey) -> io::Result<()> {
        let result = socket.bind();
        if !result.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::AddrInUse) {
            return result;
        }
        let siblings = || self.sockets.iter().flatten().filter(|s| s.key.is_sibling(key));
        for sibling in siblings() {
            sibling.inner.share_port(true)?;
        }
        socket.share_port(true)?;
        let result = if siblings().next().is_some() { socket.bind() } else { result };
        socket.share_port(false)?;
        for sibling in siblings() {
            sibling.inner.share_port(false)?;
        }
        result
    }

    /// Closes all sockets but those in `keep`, and those of the kernel's tunnels.
    pub fn close_unused(&mut self, keep: &[SocketKey]) {
        for at in 0..self.sockets.len() {
            let socket = self.sockets.get(at).and_then(|s| s.as_ref());
            if socket.is_some_and(|s| s.peer.is_none() && !keep.contains(&s.key)) {
                self.close_socket(at);
            }
        }
        self.sockets_changed();
    }

    pub(super) fn close_socket(&mut self, at: usize) {
        if let Some(socket) = self.sockets.get_mut(at).and_then(Option::take) {
            let fd = socket.inner.as_raw_fd();
            // Closing it would do, too; the epoll set forgets closed descriptors.
            let _ = self.registry.deregister(&mut SourceFd(&fd));
        }
    }

    fn sockets_changed(&mut self) {
        let keys: Vec<SocketKey> = self.sockets.iter().flatten().map(|s| s.key).collect();
        for socket in self.sockets.iter_mut().flatten() {
            let raw_for_any =
                socket.key.encapsulation == Encapsulation::Ip && socket.key.local.is_unspecified();
            let bound = keys.iter().filter(|k| raw_for_any && k.is_sibling(&socket.key) && **k != socket.key);
            socket.shadows = bound.map(|k| k.local).collect();
        }
        for at in 0..self.sessions.len() {
            let path = self.sessions.get(at).and_then(|s| s.as_ref()).map(|s| s.path);
            let socket = path.and_then(|path| self.socket_for(&path));
            if let Some(session) = self.sessions.get_mut(at).and_then(|s| s.as_mut()) {
                session.socket = socket;
            }
        }
    }

    /// The socket for a path: the one bound to its local address, else the one for any address.
    pub(super) fn socket_for(&self, path: &Path) -> Option<usize> {
        let key = |local| SocketKey::new(path.encapsulation, local, path.remote.ip(), path.local.port());
        let exact = key(Some(path.local.ip()));
        let any = key(None);
        let is = |socket: &OpenSocket, key| socket.key == key && socket.peer.is_none();
        let find = |key: SocketKey| self.sockets.iter().position(|s| s.as_ref().is_some_and(|s| is(s, key)));
        find(exact).or_else(|| find(any))
    }

    /// Sends a control message (from the T bit on), without waiting. What cannot be sent is lost; an error tells
    /// why.
    pub fn send_control(&mut self, path: &Path, message: &[u8], ttl: u8) -> io::Result<()> {
        let Some(at) = self.socket_for(path) else {
            return Err(io::Error::from(io::ErrorKind::NotConnected));
        };
        let Some(socket) = self.sockets.get_mut(at).and_then(|s| s.as_mut()) else {
            return Err(io::Error::from(io::ErrorKind::NotConnected));
        };
        let sender = self.sender.get_or_insert_with(|| Box::new(Sender::new(ARENA)));
        let prefix = match path.encapsulation {
            Encapsulation::Ip => &IP_CONTROL_PREFIX[..],
            Encapsulation::Udp => &[],
        };
        let length = prefix.len() + message.len();
        let Some(place) = sender.arena.get_mut(..length) else {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        };
        place[..prefix.len()].copy_from_slice(prefix);
        place[prefix.len()..].copy_from_slice(message);
        socket.inner.set_dont_fragment(false)?;
        sender.push(std::slice::from_ref(&(0..length)), CONTROL_TOS, false);
        let to = Destination { remote: path.remote, local: path.local.ip(), ttl };
        let sent = sender.flush(&mut socket.inner, &to);
        if sent.look_at_errors {
            self.enqueue(Source::Socket(at));
        }
        match (sent.datagrams, sent.error) {
            (1, _) => Ok(()),
            (_, Some(error)) => Err(error),
            _ if sent.too_long > 0 => Err(io::Error::other("the message is too long for the path")),
            _ => Err(io::Error::from(io::ErrorKind::WouldBlock)),
        }
    }

    /// Receiving failed. What ICMP told about earlier datagrams has its place in the error queue; anything else is
    /// the socket's own failure, which is told once for all that come in a row.
    pub(super) fn receive_failed(&mut self, at: usize, error: &io::Error) {
        let Some(socket) = self.sockets.get(at).and_then(|s| s.as_ref()) else { return };
        if socket.errors == 1 && !is_icmp_error(error) {
            let error = error_text(error);
            self.events.push(DataPlaneEvent::ReceiveFailed { socket: socket.key.to_string(), error });
        }
        self.read_errors(at);
    }

    /// Reads a socket's error queue to its end.
    pub(super) fn read_errors(&mut self, at: usize) {
        // Bounded: a peer must not keep us here with ICMP messages.
        for _ in 0..64 {
            let Some(socket) = self.sockets.get(at).and_then(|s| s.as_ref()) else { return };
            let Some(error) = socket.inner.take_error() else { return };
            match (error.mtu, error.remote) {
                (Some(_), Some(remote)) => self.path_changed(clock::now(), remote.ip()),
                (None, Some(remote)) => {
                    let refused = error.is_refusal();
                    let error = error_text(&io::Error::from_raw_os_error(error.errno));
                    self.events.push(DataPlaneEvent::Unreachable { remote, error, refused });
                }
                (Some(_) | None, None) => {}
            }
        }
    }
}
