//! The sockets: which there are, which one a path uses, control messages out, and the error queues.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::fd::AsRawFd;

use super::event::{DataPlaneEvent, Events};
use super::ready::{Ready, Source};
use super::slab::{FixedHash, Slab};
use super::socket_key::{unspecified, SocketKey};
use super::state::{OpenState, ReceivedFds, SentFds};
use crate::config::model::Device;
use crate::gather::{self, Table};
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
        OpenSocket { key, inner, errors: 0, gso, data: None, peer }
    }

    /// What another program that goes on with it has to know.
    pub(super) fn state(&self, descriptors: &mut SentFds) -> OpenState {
        let OpenSocket { key, inner, errors: _, gso: _, data, peer: _ } = self;
        let inner = inner.state(descriptors);
        OpenState { key: *key, inner, data: data.as_ref().map(|data| data.state(descriptors)) }
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

/// The place of the socket that a path uses, as it was when it was looked up.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Found {
    at: Option<usize>,
    /// How often sockets had come and gone then, and one more.
    changes: u64,
}

/// All open sockets, found by place or key. What concerns one of them costs the same however many there are.
#[derive(Default)]
pub(super) struct Sockets {
    all: Slab<OpenSocket>,
    /// Datagrams come one by one.
    apart: bool,
    /// The places of all, those beside each other that may get the same packets.
    order: Table<BTreeSet<(SocketKey, usize)>>,
    /// Those that are not connected to a peer.
    keys: HashMap<SocketKey, usize, FixedHash>,
    /// How often those have come and gone.
    changes: u64,
    /// The places of those whose filter is yet to be set.
    unfiltered: Vec<usize>,
    /// The interfaces that sockets are bound to, and their indexes when that was done last.
    devices: Table<BTreeMap<Device, Option<i32>>>,
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
        self.opened(key, at);
        Ok(())
    }

    /// One that is not connected to a peer is there.
    fn opened(&mut self, key: SocketKey, at: usize) {
        self.keys.insert(key, at);
        self.changes += 1;
        self.unfiltered.push(at);
        if key.device != Device::NONE {
            let others = self.overlapping(&key).filter(|(_, other)| other.key.device == Device::NONE);
            let others: Vec<usize> = others.map(|(at, _)| at).collect();
            self.unfiltered.extend(others);
        }
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
        let (fd, key) = (socket.inner.as_raw_fd(), socket.key);
        let at = self.all.insert(socket);
        if let Err(error) = ready.watch(fd, Source::Socket(at)) {
            self.all.remove(at);
            return Err(error);
        }
        self.order.insert((key, at));
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
            self.opened(state.key, at);
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
        let siblings = || self.overlapping(key).map(|(_, socket)| socket);
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
        self.order.remove(&(socket.key, at));
        if socket.peer.is_none() {
            self.keys.remove(&socket.key);
            self.changes += 1;
        }
    }

    /// Those that may get packets for the address of this one, whatever the device, with their places: of many sockets
    /// that have an address each only that for any address.
    fn overlapping(&self, key: &SocketKey) -> impl Iterator<Item = (usize, &OpenSocket)> {
        let any = unspecified(key.local);
        let last = if any.is_ipv4() { Ipv4Addr::BROADCAST.into() } else { Ipv6Addr::from([0xff; 16]).into() };
        let ranges = match key.local == any {
            true => [Some(any..=last), None],
            false => [Some(any..=any), Some(key.local..=key.local)],
        };
        let key = *key;
        ranges.into_iter().flatten().flat_map(move |locals| self.bound_to(key, locals))
    }

    /// The siblings of a socket that have these addresses.
    fn bound_to(
        &self,
        key: SocketKey,
        locals: RangeInclusive<IpAddr>,
    ) -> impl Iterator<Item = (usize, &OpenSocket)> {
        let first = SocketKey { local: *locals.start(), device: Device::NONE, ..key };
        let rest = self.order.range((first, 0)..);
        let some = rest.take_while(move |(k, _)| k.is_sibling(&first) && locals.contains(&k.local));
        some.filter_map(|(_, at)| Some((*at, self.all.get(*at)?)))
    }

    /// Closes all sockets but those in `keep`, and those of the kernel's tunnels.
    pub(super) fn close_unused(&mut self, keep: &BTreeSet<SocketKey>, ready: &Ready) {
        let unused: Vec<SocketKey> = self.keys.keys().filter(|key| !keep.contains(key)).copied().collect();
        for at in unused.iter().filter_map(|key| self.keys.get(key).copied()).collect::<Vec<usize>>() {
            self.close(at, ready);
        }
        let used = gather::set(self.all.iter().map(|(_, socket)| socket.key.device));
        self.devices.retain(|device, _| used.contains(device));
    }

    /// This interface, or any, came or changed: sockets that are bound to one that is another now are bound again; whether
    /// there are any.
    pub(super) fn rebind(&mut self, interface: Option<&str>) -> bool {
        let devices: Vec<Device> = match interface {
            Some(name) => Device::new(name).filter(|d| self.devices.contains_key(d)).into_iter().collect(),
            None => self.devices.keys().copied().collect(),
        };
        devices.into_iter().filter(|device| self.rebind_device(*device)).count() > 0
    }

    /// Whether any are bound to an interface.
    pub(super) fn has_devices(&self) -> bool {
        !self.devices.is_empty()
    }

    fn rebind_device(&mut self, device: Device) -> bool {
        let Some(name) = device.name() else { return false };
        let (now, before) = (netif::index(name).ok(), self.devices.get_mut(&device));
        let Some(index) = before.filter(|index| now.is_some() && **index != now) else { return false };
        *index = now;
        for socket in self.all.values_mut().filter(|socket| socket.key.device == device) {
            // One that is gone again is bound when it comes back.
            let _ = socket.inner.bind_device(name);
            let _ = socket.data.as_mut().map(|data| data.bind_device(name));
        }
        true
    }

    /// What other sockets get that are bound to an interface, of what the kernel would give to this one.
    fn others(&self, key: &SocketKey) -> Vec<OtherSocket> {
        if key.device != Device::NONE || self.devices.is_empty() {
            return Vec::new();
        }
        let any = unspecified(key.local);
        let bound = self.overlapping(key).map(|(_, socket)| &socket.key);
        let bound = bound.filter(|other| other.device != Device::NONE);
        let others = bound.filter_map(|other| {
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

    /// Has the kernel drop what is not needed.
    pub(super) fn filter(&mut self, needed: Needed<'_>) {
        self.unfiltered.extend(self.order.iter().map(|(_, at)| *at));
        self.filter_opened(needed);
    }

    /// The same for those that were opened since. One that is connected gets messages of its peer alone.
    pub(super) fn filter_opened(&mut self, needed: Needed<'_>) {
        let opened = gather::set(std::mem::take(&mut self.unfiltered));
        for socket in opened.iter().filter_map(|at| self.all.get(*at)).filter(|s| s.peer.is_none()) {
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

    /// Another raw socket of ours, bound to this address, gets what comes to it as well as this one.
    pub(super) fn is_shadowed(&self, key: &SocketKey, local: IpAddr) -> bool {
        let other = || self.keys.contains_key(&SocketKey { local, ..*key });
        key.encapsulation == Encapsulation::Ip && local != key.local && other()
    }

    /// The socket for a path: the one bound to its local address, else the one for any address.
    pub(super) fn find(&self, path: &Path) -> Option<usize> {
        let (port, device) = (path.local.port(), path.via.device);
        let key = |local| SocketKey::new(path.encapsulation, local, path.remote.ip(), port, device);
        let [exact, any] = [key(Some(path.local.ip())), key(None)];
        self.keys.get(&exact).or_else(|| self.keys.get(&any)).copied()
    }

    /// The same, for a path that was looked up before.
    pub(super) fn find_again(&self, path: &Path, found: &mut Found) -> Option<usize> {
        let changes = self.changes + 1;
        if found.changes != changes {
            *found = Found { at: self.find(path), changes };
        }
        found.at
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
