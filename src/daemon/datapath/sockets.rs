//! The sockets: which there are, which one a path uses, control messages out, and the error queues.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

use super::event::{DataPlaneEvent, Events};
use super::ready::{Ready, Source};
use super::slab::{FixedHash, Slab};
use super::socket_key::{unspecified, SocketKey};
use super::state::{OpenState, ReceivedFds, SentFds};
use crate::config::model::Device;
use crate::proto::Path;
use crate::sys::batch::{Destination, SendOptions, Sender, Sent};
use crate::sys::socket::{is_icmp_error, Fragmentation, Socket};
use crate::sys::socket_filter::{self, Kind, Needed, OtherSocket};
use crate::sys::{error_text, netif};
use crate::wire::demux::IP_CONTROL_PREFIX;
use crate::wire::Encapsulation;

/// TOS of control messages: network control.
const CONTROL_TOS: u8 = 0xc0;
/// An open socket.
pub(super) struct OpenSocket {
    pub(super) key: SocketKey,
    pub(super) inner: Socket,
    /// Addresses that raw sockets of ours are bound to: the kernel gives this one a copy of their packets.
    shadows: Vec<IpAddr>,
    /// Errors in a row.
    errors: u32,
    /// The kernel knows UDP GSO.
    pub(super) gso: bool,
    /// Over IP data messages have a socket of their own, lest those of strangers to the control plane take their room.
    pub(super) data: Option<Socket>,
    /// It is connected to this peer, for the kernel to take the data messages from: see `kernel.rs`.
    peer: Option<SocketAddr>,
}

/// Errors in a row after which a socket is left alone until it is reported ready again.
const MAX_ERRORS: u32 = 128;

impl OpenSocket {
    fn new(key: SocketKey, inner: Socket, peer: Option<SocketAddr>) -> OpenSocket {
        let gso = inner.has_gso();
        OpenSocket { key, inner, shadows: Vec::new(), errors: 0, gso, data: None, peer }
    }

    /// What another program that goes on with it has to know.
    pub(super) fn state(&self, descriptors: &mut SentFds) -> OpenState {
        let OpenSocket { key, inner, shadows: _, errors: _, gso: _, data, peer: _ } = self;
        let inner = inner.state(descriptors);
        OpenState { key: *key, inner, data: data.as_ref().map(|data| data.state(descriptors)) }
    }

    /// Another socket of ours gets what comes to this address as well.
    pub(super) fn is_shadowed(&self, local: IpAddr) -> bool {
        self.shadows.contains(&local)
    }

    /// Sends a control message (from the T bit on) with this TTL, without waiting, in fragments or not. `true`: the error queue should be read.
    pub(super) fn send_control(
        &mut self,
        sender: &mut Sender,
        path: &Path,
        message: &[u8],
        (ttl, fragmentation): (u8, Fragmentation),
    ) -> (io::Result<()>, bool) {
        let prefix = match path.encapsulation {
            Encapsulation::Ip => &IP_CONTROL_PREFIX[..],
            Encapsulation::Udp => &[],
        };
        let length = prefix.len() + message.len();
        let Some(place) = sender.arena.get_mut(..length) else {
            return (Err(io::ErrorKind::InvalidInput.into()), false);
        };
        place[..prefix.len()].copy_from_slice(prefix);
        place[prefix.len()..].copy_from_slice(message);
        let ready =
            self.inner.set_fragmentation(fragmentation).and_then(|()| self.inner.set_mark(path.via.mark));
        if let Err(error) = ready {
            return (Err(error), false);
        }
        let to = Destination { remote: path.remote, local: path.local.ip(), ttl };
        let options = SendOptions { tos: CONTROL_TOS, gso: false, owner: 0 };
        sender.push(std::slice::from_ref(&(0..length)), &to, options);
        let mut sent = Sent::default();
        sender.flush(&mut self.inner, &mut |_, result| sent = *result);
        let result = match (sent.datagrams, sent.errno) {
            (1, _) => Ok(()),
            (_, Some(errno)) => Err(io::Error::from_raw_os_error(errno)),
            _ if sent.too_long > 0 => Err(io::Error::other("the message is too long for the path")),
            _ => Err(io::ErrorKind::WouldBlock.into()),
        };
        (result, sent.look_at_errors)
    }

    /// Receiving succeeded.
    pub(super) fn received(&mut self) {
        self.errors = 0;
    }

    /// Receiving failed; whether to try again at once. What ICMP told about earlier datagrams has its place in the error
    /// queue; anything else is the socket's own failure, which is told once for all that come in a row.
    pub(super) fn receive_failed(&mut self, error: &io::Error, events: &mut Events) -> bool {
        if error.kind() == io::ErrorKind::WouldBlock {
            self.errors = 0;
            return false;
        }
        self.errors = self.errors.saturating_add(1);
        if self.errors == 1 && !is_icmp_error(error) {
            let (socket, error) = (self.key.to_string(), error_text(error));
            events.push(DataPlaneEvent::ReceiveFailed { socket, error });
        }
        self.errors < MAX_ERRORS
    }

    /// Reads the error queue to its end; the peers whose path's MTU may be another one.
    pub(super) fn read_errors(&self, events: &mut Events) -> Vec<IpAddr> {
        let mut changed = Vec::new();
        // Bounded: a peer must not keep us here with ICMP messages.
        for _ in 0..64 {
            let Some(error) = self.inner.take_error() else { break };
            match (error.mtu, error.remote) {
                (Some(_), Some(remote)) => changed.push(remote.ip()),
                (None, Some(remote)) => {
                    let refused = error.is_refusal();
                    let error = error_text(&io::Error::from_raw_os_error(error.errno));
                    events.push(DataPlaneEvent::Unreachable { remote, error, refused });
                }
                (Some(_) | None, None) => {}
            }
        }
        changed
    }
}

/// All open sockets, found by place or key.
#[derive(Default)]
pub(super) struct Sockets {
    all: Slab<OpenSocket>,
    /// Datagrams come one by one.
    apart: bool,
    /// Those that are not connected to a peer.
    keys: HashMap<SocketKey, usize, FixedHash>,
    /// The interfaces that sockets are bound to, and their indexes when that was done last.
    devices: HashMap<Device, Option<i32>, FixedHash>,
}

impl Sockets {
    pub(super) fn get(&self, at: usize) -> Option<&OpenSocket> {
        self.all.get(at)
    }

    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut OpenSocket> {
        self.all.get_mut(at)
    }

    pub(super) fn is_open(&self, key: &SocketKey) -> bool {
        self.keys.contains_key(key)
    }

    /// Opens a socket for all peers. `control_only`: the kernel takes the data messages.
    pub(super) fn open(&mut self, key: SocketKey, control_only: bool, ready: &Ready) -> io::Result<()> {
        let mut socket = open(&key)?;
        self.bind(&mut socket, &key)?;
        socket.set_gro(!self.apart);
        let mut open = OpenSocket::new(key, socket, None);
        if key.encapsulation == Encapsulation::Ip {
            socket_filter::attach(&open.inner, Kind::IpControl, Needed::ALL, &[])?;
            // Without filters both would receive everything.
            let alone = control_only || !socket_filter::FILTERS;
            open.data = if alone { None } else { Some(open_data(&key)?) };
        }
        let data = open.data.as_ref().map(Socket::as_raw_fd);
        let at = self.add(open, ready)?;
        if let Some(Err(error)) = data.map(|fd| ready.watch(fd, Source::Data(at))) {
            self.close(at, ready);
            return Err(error);
        }
        self.keys.insert(key, at);
        self.find_shadows(&key);
        Ok(())
    }

    /// Opens a socket for one peer, which the kernel may take data messages from; its place.
    pub(super) fn open_for_peer(&mut self, path: &Path, ready: &Ready) -> io::Result<usize> {
        let local = Some(path.local.ip());
        let (port, device) = (path.local.port(), path.via.device);
        let key = SocketKey::new(path.encapsulation, local, path.remote.ip(), port, device);
        let mut socket = open(&key)?;
        socket.set_mark(path.via.mark)?;
        self.bind(&mut socket, &key)?;
        socket.connect(path.remote)?;
        self.add(OpenSocket::new(key, socket, Some(path.remote)), ready)
    }

    fn add(&mut self, socket: OpenSocket, ready: &Ready) -> io::Result<usize> {
        let device = socket.key.device;
        if let Some(name) = device.name() {
            self.devices.entry(device).or_insert_with(|| netif::index(name).ok());
        }
        let fd = socket.inner.as_raw_fd();
        let at = self.all.insert(socket);
        if let Err(error) = ready.watch(fd, Source::Socket(at)) {
            self.all.remove(at);
            return Err(error);
        }
        Ok(at)
    }

    /// What another program that goes on with them has to know; those that are connected to a peer are their tunnels'.
    pub(super) fn state(&self, descriptors: &mut SentFds) -> Vec<OpenState> {
        let open = self.all.iter().filter(|(_, socket)| socket.peer.is_none());
        open.map(|(_, socket)| socket.state(descriptors)).collect()
    }

    /// The socket of another program, connected to this peer or to none; its place. An error: its descriptor is missing, or
    /// cannot be watched.
    pub(super) fn resume(
        &mut self,
        state: OpenState,
        peer: Option<SocketAddr>,
        descriptors: &mut ReceivedFds,
        ready: &Ready,
    ) -> io::Result<usize> {
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let inner = Socket::resume(state.inner, descriptors).ok_or_else(missing)?;
        let mut open = OpenSocket::new(state.key, inner, peer);
        if let Some(data) = state.data {
            open.data = Some(Socket::resume(data, descriptors).ok_or_else(missing)?);
        }
        let data = open.data.as_ref().map(Socket::as_raw_fd);
        let at = self.add(open, ready)?;
        data.map_or(Ok(()), |fd| ready.watch(fd, Source::Data(at)))?;
        if peer.is_none() {
            self.keys.insert(state.key, at);
            self.find_shadows(&state.key);
        }
        Ok(at)
    }

    /// A port that is bound for any address cannot be bound for one address too, unless both sockets allow it.
    /// They do so only at this moment, lest other programs take the port.
    fn bind(&self, socket: &mut Socket, key: &SocketKey) -> io::Result<()> {
        let result = socket.bind();
        if !result.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::AddrInUse) {
            return result;
        }
        let siblings = || self.all.iter().map(|(_, s)| s).filter(|s| s.key.is_sibling(key));
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

    /// Closes a socket.
    pub(super) fn close(&mut self, at: usize, ready: &Ready) {
        let Some(socket) = self.all.remove(at) else { return };
        ready.forget(socket.inner.as_raw_fd());
        socket.data.iter().for_each(|data| ready.forget(data.as_raw_fd()));
        if socket.peer.is_none() {
            self.keys.remove(&socket.key);
            self.find_shadows(&socket.key);
        }
    }

    /// Closes all sockets but those in `keep`, and those of the kernel's tunnels.
    pub(super) fn close_unused(&mut self, keep: &BTreeSet<SocketKey>, ready: &Ready) {
        let unused: Vec<SocketKey> = self.keys.keys().filter(|key| !keep.contains(key)).copied().collect();
        for at in unused.iter().filter_map(|key| self.keys.get(key).copied()).collect::<Vec<usize>>() {
            self.close(at, ready);
        }
        let known = std::mem::take(&mut self.devices);
        let used = self.all.iter().map(|(_, socket)| socket.key.device);
        self.devices = used.filter_map(|device| Some((device, *known.get(&device)?))).collect();
    }

    /// Interfaces came or went: sockets that are bound to one that is another now are bound again; whether there are any.
    pub(super) fn rebind_devices(&mut self) -> bool {
        let mut changed = false;
        for (device, index) in &mut self.devices {
            let now = device.name().and_then(|name| netif::index(name).ok());
            let (Some(name), true) = (device.name(), now.is_some() && now != *index) else { continue };
            for socket in self.all.values_mut().filter(|socket| socket.key.device == *device) {
                // One that is gone again is bound when it comes back.
                let _ = socket.inner.bind_device(name);
                let _ = socket.data.as_mut().map(|data| data.bind_device(name));
            }
            (*index, changed) = (now, true);
        }
        changed
    }

    /// What other sockets get that are bound to an interface, of what the kernel would give to this one.
    fn others(&self, key: &SocketKey) -> Vec<OtherSocket> {
        if key.device != Device::NONE || self.devices.is_empty() {
            return Vec::new();
        }
        let any = unspecified(key.local);
        let bound = self.all.iter().map(|(_, socket)| &socket.key);
        let bound = bound.filter(|other| other.is_sibling(key) && other.device != Device::NONE);
        let covers = |other: &SocketKey| other.local == any || key.local == any || other.local == key.local;
        let others = bound.filter(|other| covers(other)).filter_map(|other| {
            let index = (*self.devices.get(&other.device)?)?;
            let local = Some(other.local).filter(|local| key.local == any && *local != any);
            Some(OtherSocket { index, local })
        });
        others.collect()
    }

    /// The kernel is to merge datagrams over UDP as they come in or not: programs before the sockets see only single ones.
    pub(super) fn keep_apart(&mut self, apart: bool) {
        if std::mem::replace(&mut self.apart, apart) != apart {
            self.all.iter().for_each(|(_, socket)| _ = socket.inner.set_gro(!apart));
        }
    }

    /// Has the kernel drop what is not needed. A socket that is connected gets messages of its peer alone.
    pub(super) fn filter(&self, needed: Needed<'_>) {
        for (_, socket) in self.all.iter().filter(|(_, socket)| socket.peer.is_none()) {
            // Without it more is received than is needed.
            if socket.key.encapsulation == Encapsulation::Udp {
                let _ = socket_filter::attach(&socket.inner, Kind::Udp, needed, &[]);
                continue;
            }
            let others = self.others(&socket.key);
            let _ = socket_filter::attach(&socket.inner, Kind::IpControl, needed, &others);
            if let Some(data) = &socket.data {
                let _ = socket_filter::attach(data, Kind::IpData, needed, &others);
            }
        }
    }

    /// A raw socket was opened or closed: the one for any address gets a copy of what comes to the others.
    fn find_shadows(&mut self, key: &SocketKey) {
        if key.encapsulation != Encapsulation::Ip {
            return;
        }
        let any = SocketKey { local: unspecified(key.local), ..*key };
        let bound = self.all.iter().map(|(_, s)| s.key);
        let bound = bound.filter(|k| k.is_sibling(&any) && k.device == any.device && *k != any);
        let bound: Vec<IpAddr> = bound.map(|k| k.local).collect();
        if let Some(socket) = self.keys.get(&any).and_then(|at| self.all.get_mut(*at)) {
            socket.shadows = bound;
        }
    }

    /// The socket for a path: the one bound to its local address, else the one for any address.
    pub(super) fn find(&self, path: &Path) -> Option<usize> {
        let (port, device) = (path.local.port(), path.via.device);
        let key = |local| SocketKey::new(path.encapsulation, local, path.remote.ip(), port, device);
        let [exact, any] = [key(Some(path.local.ip())), key(None)];
        self.keys.get(&exact).or_else(|| self.keys.get(&any)).copied()
    }
}

/// A socket that is not bound to its address yet.
fn open(key: &SocketKey) -> io::Result<Socket> {
    let mut socket = Socket::open(key.encapsulation, key.local, key.port)?;
    key.device.name().map_or(Ok(()), |name| socket.bind_device(name))?;
    Ok(socket)
}

/// Opens what receives the data messages over IP.
fn open_data(key: &SocketKey) -> io::Result<Socket> {
    let mut socket = open(key)?;
    socket_filter::attach(&socket, Kind::IpData, Needed::ALL, &[])?;
    socket.ignore_errors()?;
    socket.bind_receiver()?;
    Ok(socket)
}
