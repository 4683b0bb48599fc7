//! The owner of all that the data plane consists of, the only one that looks up places and ids.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::time::Instant;

use mio::{Registry, Token};

use super::closing::Closing;
use super::device::Device;
use super::event::{DataPlaneEvent, Events, Failure, Unmatched};
use super::interface::{Interface, InterfaceState};
use super::kernel::{Kernel, NotMade};
use super::paths::Paths;
use super::port::Port;
use super::ports::Ports;
use super::ready::{Ready, Source};
use super::receive::{Arrivals, Inbound};
use super::session::{Gates, Session, Sessions};
use super::sockets::{SocketKey, Sockets};
use super::transmit::{self, End, ARENA};
use super::waiting::{Waiting, WaitingList};
use crate::counters::Counters;
use crate::log::Remark;
use crate::proto::{Attachment, Path};
use crate::sys::batch::Sender;
use crate::sys::link::{NetEvent, NetMonitor};
use crate::sys::tap::Tap;
use crate::sys::{clock, error_text, netif};
use crate::wire::{Encapsulation, SessionId};

/// Whether a session is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attached {
    /// It is.
    Now,
    /// Its interface's name is not free yet: [`DataPlaneEvent::Attached`] tells what comes of it.
    Later,
}

/// The data plane.
pub struct DataPlane {
    ready: Ready,
    links: Option<NetMonitor>,
    sockets: Sockets,
    ports: Ports,
    sessions: Sessions,
    paths: Paths,
    inbound: Option<Box<Inbound>>,
    sender: Option<Box<Sender>>,
    arrivals: Arrivals,
    events: Events,
    net_events: Vec<NetEvent>,
    /// Where the kernel carries the frames.
    kernel: Option<Kernel>,
    waiting: WaitingList,
    closing: Closing,
}

impl DataPlane {
    /// A data plane without sockets and interfaces, whose descriptors are registered at `registry` with tokens
    /// from [`FIRST_TOKEN`](super::FIRST_TOKEN) on.
    pub fn new(registry: Registry) -> DataPlane {
        let mut plane = DataPlane {
            ready: Ready::new(registry),
            links: None,
            sockets: Sockets::default(),
            ports: Ports::default(),
            sessions: Sessions::default(),
            paths: Paths::new(clock::now()),
            inbound: None,
            sender: None,
            arrivals: Arrivals::default(),
            events: Events::default(),
            net_events: Vec::new(),
            kernel: None,
            waiting: WaitingList::default(),
            closing: Closing::default(),
        };
        let links = NetMonitor::open();
        match links.and_then(|l| plane.ready.watch(l.as_raw_fd(), Source::Links).map(|()| l)) {
            Ok(links) => plane.links = Some(links),
            Err(error) => plane.events.remark(Remark::Links { error: error_text(&error) }),
        }
        plane
    }

    /// From now on sessions are attached to the kernel's L2TP. To be called before sockets are opened. `NotFound`: the
    /// kernel has none.
    pub fn use_kernel(&mut self) -> io::Result<()> {
        self.kernel = Some(Kernel::open()?);
        Ok(())
    }

    /// A token of the data plane was reported ready.
    pub fn ready(&mut self, token: Token) {
        self.ready.reported(token);
    }

    /// Gives each ready descriptor one batch; control messages go to `on_control`. `true`: there is more to do,
    /// poll without waiting and come back.
    pub fn turn(&mut self, now: Instant, on_control: &mut dyn FnMut(Path, &[u8])) -> bool {
        self.arrivals.datagrams = 0;
        let mut left = self.ready.len();
        while left > 0 {
            let Some(source) = self.ready.next() else { break };
            let more = match source {
                Source::Links => {
                    self.read_links();
                    false
                }
                Source::Socket(at) => {
                    let more = self.receive(now, at, on_control);
                    // Much is answered at once, with an acknowledgement or an echo.
                    if let Some(port) = self.arrivals.delivered.take() {
                        left += usize::from(self.ready.add(Source::Port(port)));
                    }
                    more
                }
                Source::Port(at) => self.transmit(at),
            };
            if more {
                self.ready.add(source);
            }
            left -= 1;
        }
        !self.ready.is_empty()
    }

    /// Receives one batch; `true` if there may be more.
    fn receive(&mut self, now: Instant, at: usize, on_control: &mut dyn FnMut(Path, &[u8])) -> bool {
        let Some(socket) = self.sockets.get_mut(at) else { return false };
        let inbound = self.inbound.get_or_insert_default();
        let tables = (&mut self.sessions, &mut self.ports);
        let results = (&mut self.arrivals, &mut self.events);
        match inbound.receive(now, socket, tables, results, on_control) {
            Ok(more) => {
                socket.received();
                more
            }
            Err(error) => {
                let again = socket.receive_failed(&error, &mut self.events);
                for peer in socket.read_errors(&mut self.events) {
                    self.path_changed(now, peer);
                }
                again
            }
        }
    }

    /// Reads and sends one batch of frames; `true` if there may be more.
    fn transmit(&mut self, at: usize) -> bool {
        let Some(port) = self.ports.get_mut(at) else { return false };
        let mut session = port.session.and_then(|at| self.sessions.get_mut(at));
        let socket_at = session.as_ref().and_then(|session| session.socket);
        let socket = socket_at.and_then(|at| self.sockets.get_mut(at));
        let sender = self.sender.get_or_insert_with(|| Box::new(Sender::new(ARENA)));
        let done = transmit::transmit(port, session.take(), socket, sender);
        done.remark.into_iter().for_each(|remark| self.events.remark(remark));
        if let Some(socket) = socket_at.filter(|_| done.look_at_errors) {
            self.ready.add(Source::Socket(socket));
        }
        match done.end {
            End::Budget => true,
            End::Empty => false,
            End::Gone => {
                self.interface_gone(at);
                false
            }
        }
    }

    /// How many datagrams the last turn received.
    pub fn received_in_turn(&self) -> usize {
        self.arrivals.datagrams
    }

    /// What was noticed since the last call.
    pub fn take_events(&mut self) -> std::vec::Drain<'_, DataPlaneEvent> {
        self.events.0.drain(..)
    }

    /// Who has sent data of no session since the last call: of several the last one, the session's id, how much.
    pub fn take_unmatched(&mut self) -> Option<(IpAddr, SessionId, u64)> {
        self.arrivals.newest_unmatched.take()
    }

    /// Events of the kernel about addresses, routes and interfaces since the last call.
    pub fn take_net_events(&mut self) -> Vec<NetEvent> {
        std::mem::take(&mut self.net_events)
    }

    /// Whether something was noticed outside of a turn: while a session was attached, or a message was sent.
    pub fn has_events(&self) -> bool {
        !self.events.0.is_empty() || !self.ready.is_empty()
    }

    /// There is an event of the way to a peer: its MTU may be another one.
    pub fn path_changed(&mut self, now: Instant, remote: IpAddr) {
        for at in self.paths.look_at(now, remote) {
            self.fit_mtu(at);
        }
    }

    /// Looks at the paths whose time has come, and tries again what waits.
    pub fn timers(&mut self, now: Instant) {
        for at in self.paths.due(now) {
            self.fit_mtu(at);
        }
        for waiting in self.waiting.take_due(now) {
            self.attach_waiting(waiting);
        }
        self.closing.start();
    }

    /// When [`timers`](DataPlane::timers) has something to do.
    pub fn next_timeout(&self, now: Instant) -> Option<Instant> {
        let at_once = self.closing.is_due().then_some(now);
        [self.paths.next(), self.waiting.next(), at_once].into_iter().flatten().min()
    }

    /// A child process may have ended.
    pub fn child_ended(&mut self, now: Instant) {
        if !self.closing.has_ended() {
            return;
        }
        for at in self.waiting.child_ended(now) {
            let result = self.open_port(at);
            if let (Err(failure), Some(port)) = (self.remember_failure(at, result), self.ports.get(at)) {
                let interface = port.interface.name.clone();
                self.events.push(DataPlaneEvent::NotMade { interface, failure });
            }
        }
    }

    fn read_links(&mut self) {
        let Some(links) = self.links.take() else { return };
        let mut others_changed = false;
        links.drain(&mut |event| {
            match event {
                NetEvent::Link { index, up } => match self.ports.with_index(index) {
                    Some(at) => self.ports.link_state(at, up, &mut self.events),
                    None => others_changed = true,
                },
                NetEvent::LinkDeleted { index } => self.link_deleted(index),
                NetEvent::Lost => {
                    self.look_at_links();
                    others_changed = true;
                }
                NetEvent::Address { .. } | NetEvent::Route { .. } | NetEvent::Rule => {}
            }
            self.net_events.push(event);
        });
        self.links = Some(links);
        if others_changed {
            self.ports.join_bridges_again(&mut self.events);
        }
    }

    fn link_deleted(&mut self, index: i32) {
        self.waiting.interface_deleted(clock::now());
        match self.ports.with_index(index) {
            Some(at) => self.interface_gone(at),
            None => self.ports.bridge_deleted(index, &mut self.events),
        }
    }

    /// The interface was deleted by somebody else. It is made again when a session is attached.
    fn interface_gone(&mut self, at: usize) {
        self.close_device(at);
        let Some(port) = self.ports.get(at) else { return };
        let session = port.session.and_then(|at| self.sessions.get(at)).map(|s| s.id);
        let interface = port.interface.name.clone();
        self.events.push(DataPlaneEvent::InterfaceGone { interface, session });
    }

    /// The kernel lost events: asks for everything.
    fn look_at_links(&mut self) {
        for (at, index) in self.ports.indexes() {
            let name = self.ports.get(at).and_then(Port::name);
            match name.map(|name| netif::is_up(&name)) {
                Some(Ok(up)) => self.ports.link_state(at, up, &mut self.events),
                Some(Err(_)) | None => self.link_deleted(index),
            }
        }
        self.ports.look_for_deleted_bridges(&mut self.events);
    }

    /// Makes the interface, or changes what is different. Where the kernel carries the frames there is none before a
    /// session is attached.
    pub fn configure_interface(&mut self, interface: &Interface) -> Result<(), Failure> {
        let at = self.ports.place(interface);
        if let Some(port) = self.ports.get_mut(at) {
            port.configure(interface);
        }
        let result = self.open_port(at).map(|_| ());
        if result.is_ok() {
            if let (Some(kernel), Some(port)) = (&self.kernel, self.ports.get(at)) {
                if let Some(session) = port.kernel_session() {
                    kernel.set_socket_options(session, &port.interface, &self.sockets);
                }
            }
            self.fit_mtu(at);
        }
        self.remember_failure(at, result)
    }

    /// Keeps what came of setting up an interface, to be shown.
    fn remember_failure<T>(&mut self, at: usize, result: Result<T, Failure>) -> Result<T, Failure> {
        if let Some(port) = self.ports.get_mut(at) {
            port.failure = result.as_ref().err().cloned();
        }
        result
    }

    /// Makes a configured interface (again) where it is missing, and sets what is not set yet. `false`: its name is not
    /// free yet; it is made when it is.
    fn open_port(&mut self, at: usize) -> Result<bool, Failure> {
        let Some(port) = self.ports.get(at) else { return Ok(true) };
        if port.is_complete() {
            return Ok(true);
        }
        if port.device.is_none() && self.closing.has(&port.interface.name) {
            self.waiting.insert_port(at);
            return Ok(false);
        }
        if port.device.is_none() && self.kernel.is_none() {
            let tap = Tap::open(&port.interface.name, true);
            let tap = tap.map_err(|no| Failure::ioctl(&no.error, no.about))?;
            let watched = self.ready.watch(tap.as_raw_fd(), Source::Port(at));
            watched.map_err(|error| Failure::Other(error_text(&error)))?;
            self.ports.change(at, &mut self.events, |port, events| port.adopt(Device::Tap(tap), events));
        }
        self.ports.change(at, &mut self.events, Port::set_up).unwrap_or(Ok(()))?;
        self.show_carrier(at);
        Ok(true)
    }

    /// Removes the interface; a session that is attached to it is detached.
    pub fn remove_interface(&mut self, name: &str) {
        let Some(at) = self.ports.find(name) else { return };
        let session = self.ports.get(at).and_then(|port| self.sessions.get(port.session?)).map(|s| s.id);
        if let Some(session) = session {
            self.detach(session);
        }
        self.close_device(at);
        self.ports.remove(at);
    }

    fn close_device(&mut self, at: usize) {
        let device = self.ports.change(at, &mut self.events, |port, _| port.device.take()).flatten();
        match device {
            Some(Device::Tap(tap)) => {
                self.ready.forget(tap.as_raw_fd());
                // One that is gone already is closed at once.
                if let Some(port) = self.ports.get(at).filter(|_| tap.name().is_ok()) {
                    self.closing.add(&port.interface.name, tap);
                }
            }
            Some(Device::Kernel(session)) => {
                let Some(kernel) = &mut self.kernel else { return };
                let counters = kernel.close_session(&session, &mut self.sockets, &self.ready);
                if let Some(port) = self.ports.get_mut(at) {
                    port.counters.add(&counters);
                }
            }
            None => {}
        }
    }

    /// Sets the carrier to what it should be.
    fn show_carrier(&mut self, at: usize) {
        let Some(port) = self.ports.get_mut(at) else { return };
        let session = port.session.and_then(|at| self.sessions.get(at));
        port.show_carrier(session, &mut self.events);
    }

    /// Sets the MTU that fits the path of the attached session, or warns of one that does not.
    fn fit_mtu(&mut self, at: usize) {
        let Some(port) = self.ports.get_mut(at) else { return };
        let Some(session) = port.session.and_then(|at| self.sessions.get(at)) else { return };
        if let Some(mtu) = self.paths.mtu(&session.path) {
            port.fit_mtu(session, mtu, &mut self.events);
        }
    }

    /// What a configured interface is like at present.
    pub fn interface_state(&self, interface: &str) -> Option<InterfaceState> {
        self.ports.by_name(interface).map(Port::state)
    }

    /// Attaches a session to its interface, closed in both directions. The interface is made where it is missing.
    pub fn attach(&mut self, attachment: &Attachment) -> Result<Attached, Failure> {
        let Some(port) = self.ports.find(&attachment.interface) else {
            return Err(Failure::Other(format!("interface {} is not configured", attachment.interface)));
        };
        let result = self.attach_to(port, attachment);
        self.remember_failure(port, result)
    }

    fn attach_to(&mut self, port: usize, attachment: &Attachment) -> Result<Attached, Failure> {
        if !self.open_port(port)? {
            self.waiting.insert(Waiting::new(attachment, port, None));
            return Ok(Attached::Later);
        }
        if self.sockets.find(&attachment.path).is_none() {
            return Err(Failure::Other(format!("no socket for {}", attachment.path.local)));
        }
        self.detach(attachment.local);
        let (Some(kernel), Some(known)) = (&mut self.kernel, self.ports.get(port)) else {
            self.attached(port, attachment);
            return Ok(Attached::Now);
        };
        let tunnel = kernel.join_tunnel(attachment, &known.interface, &mut self.sockets, &self.ready)?;
        self.close_device(port);
        self.attach_to_kernel(tunnel, Waiting::new(attachment, port, Some(tunnel)))
    }

    /// Makes the session in the kernel, or keeps it for later.
    fn attach_to_kernel(&mut self, tunnel: u32, mut waiting: Waiting) -> Result<Attached, Failure> {
        let Some(kernel) = &mut self.kernel else { return Ok(Attached::Later) };
        let at = waiting.port;
        let session = match kernel.make_session(tunnel, &waiting.attachment) {
            Ok(session) => session,
            Err(NotMade::InUse(_)) if waiting.tried(clock::now()) => {
                self.waiting.insert(waiting);
                return Ok(Attached::Later);
            }
            Err(NotMade::InUse(failure) | NotMade::Failed(failure)) => {
                kernel.leave_tunnel(tunnel, &mut self.sockets, &self.ready);
                return Err(failure);
            }
        };
        let set_up = self.ports.change(at, &mut self.events, |port, events| {
            port.adopt(Device::Kernel(session), events);
            port.set_up(events)
        });
        if let Some(Err(failure)) = set_up {
            self.close_device(at);
            return Err(failure);
        }
        self.attached(at, &waiting.attachment);
        if let Some(gates) = waiting.gates {
            self.set_gates(waiting.attachment.local, gates);
        }
        Ok(Attached::Now)
    }

    /// Tries again to attach a session, and tells what came of it.
    fn attach_waiting(&mut self, waiting: Waiting) {
        let (session, port, moved) = (waiting.attachment.local, waiting.port, waiting.moved);
        let interface = waiting.attachment.interface.clone();
        let result = match waiting.tunnel {
            Some(tunnel) => self.attach_to_kernel(tunnel, waiting),
            None => self.attach_to(port, &waiting.attachment),
        };
        let result = match self.remember_failure(port, result) {
            Ok(Attached::Later) => return,
            Ok(Attached::Now) if moved => return,
            Err(failure) if moved => return self.not_moved(interface, session, &failure),
            Ok(Attached::Now) => Ok(()),
            Err(failure) => Err((interface, failure)),
        };
        self.events.push(DataPlaneEvent::Attached { session, result });
    }

    fn attached(&mut self, port: usize, attachment: &Attachment) {
        let socket = self.sockets.find(&attachment.path);
        let at = self.sessions.insert(Session::new(attachment, port, socket));
        if let Some(port) = self.ports.get_mut(port) {
            port.session = Some(at);
        }
        self.paths.add(clock::now(), &attachment.path, port);
        self.fit_mtu(port);
    }

    /// Opens and closes the directions of an attached session that is established, and its interface's carrier.
    pub fn gate(&mut self, session: SessionId, receive: bool, send: bool, carrier: bool) {
        self.set_gates(session, Gates { receive, send, carrier });
    }

    fn set_gates(&mut self, id: SessionId, gates: Gates) {
        if let Some(waiting) = self.waiting.get_mut(id) {
            waiting.gates = Some(gates);
        }
        let Some(session) = self.sessions.find_mut(id) else { return };
        session.established = true;
        session.gates = gates;
        let port = session.port;
        self.show_carrier(port);
    }

    /// The ends of a session's tunnel are others from now on.
    pub fn move_session(&mut self, session: SessionId, path: &Path) {
        if self.kernel.is_some() {
            self.move_kernel_session(session, path);
            return;
        }
        let socket = self.sockets.find(path);
        let Some(session) = self.sessions.find_mut(session) else { return };
        let port = session.port;
        self.paths.remove(&session.path, port);
        self.paths.add(clock::now(), path, port);
        (session.path, session.socket, session.gso) = (*path, socket, true);
        self.fit_mtu(port);
    }

    /// The kernel's session gets its peer's new address: it is made anew, and with it the interface.
    fn move_kernel_session(&mut self, id: SessionId, path: &Path) {
        let (old, gates, moved) = match (self.sessions.find(id), self.waiting.get_mut(id)) {
            (Some(session), _) => (&session.attachment, session.established.then_some(session.gates), true),
            (None, Some(waiting)) => (&waiting.attachment, waiting.gates, waiting.moved),
            (None, None) => return,
        };
        let attachment = Attachment { path: *path, ..old.clone() };
        match self.attach(&attachment) {
            Ok(Attached::Later) => {
                if let Some(waiting) = self.waiting.get_mut(id) {
                    (waiting.gates, waiting.moved) = (gates, moved);
                }
            }
            Ok(Attached::Now) => {
                if let Some(gates) = gates {
                    self.set_gates(id, gates);
                }
                if !moved {
                    self.events.push(DataPlaneEvent::Attached { session: id, result: Ok(()) });
                }
            }
            Err(failure) => self.not_moved(attachment.interface, id, &failure),
        }
    }

    fn not_moved(&mut self, interface: String, session: SessionId, failure: &Failure) {
        let failure = failure.to_string();
        self.events.remark(Remark::KernelSession { interface: interface.clone(), failure });
        self.events.push(DataPlaneEvent::InterfaceGone { interface, session: Some(session) });
    }

    /// Detaches a session. Its interface stays, unless the kernel carries its frames.
    pub fn detach(&mut self, session: SessionId) {
        let tunnel = self.waiting.remove(session).and_then(|waiting| waiting.tunnel);
        if let (Some(tunnel), Some(kernel)) = (tunnel, &mut self.kernel) {
            kernel.leave_tunnel(tunnel, &mut self.sockets, &self.ready);
        }
        let Some((at, session)) = self.sessions.remove(session) else { return };
        self.paths.remove(&session.path, session.port);
        let Some(port) = self.ports.get_mut(session.port) else { return };
        if port.session == Some(at) {
            port.session = None;
            if port.kernel_session().is_some() {
                self.close_device(session.port);
            }
        }
        self.show_carrier(session.port);
    }

    /// When a valid data message of this session was received last. Of those that the kernel receives it is not known.
    pub fn heard(&self, session: SessionId) -> Option<Instant> {
        self.sessions.find(session)?.heard
    }

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
        if !self.sockets.is_open(&key) {
            self.sockets.open(key, self.kernel.is_some(), &self.ready)?;
            self.sockets_changed();
        }
        Ok(())
    }

    /// Closes all sockets but those in `keep`, and those of the kernel's tunnels.
    pub fn close_unused(&mut self, keep: &BTreeSet<SocketKey>) {
        self.sockets.close_unused(keep, &self.ready);
        self.sockets_changed();
    }

    fn sockets_changed(&mut self) {
        for session in self.sessions.values_mut() {
            session.socket = self.sockets.find(&session.path);
        }
    }

    /// Sends a control message (from the T bit on), without waiting. What cannot be sent is lost; an error tells
    /// why.
    pub fn send_control(&mut self, path: &Path, message: &[u8], ttl: u8) -> io::Result<()> {
        let at = self.sockets.find(path).ok_or(io::ErrorKind::NotConnected)?;
        let socket = self.sockets.get_mut(at).ok_or(io::ErrorKind::NotConnected)?;
        let sender = self.sender.get_or_insert_with(|| Box::new(Sender::new(ARENA)));
        let (result, look_at_errors) = socket.send_control(sender, path, message, ttl);
        if look_at_errors {
            self.ready.add(Source::Socket(at));
        }
        result
    }

    /// The counters of an interface; they outlive its sessions.
    pub fn counters(&self, interface: &str) -> Option<Counters> {
        let port = self.ports.by_name(interface)?;
        let mut counters = port.counters;
        if let (Some(session), Some(kernel)) = (port.kernel_session(), &self.kernel) {
            counters.add(&kernel.counters(session));
        }
        Some(counters)
    }

    /// The MTU of an interface, as it was set last.
    pub fn mtu(&self, interface: &str) -> Option<usize> {
        self.ports.by_name(interface)?.mtu
    }

    /// What was dropped before it belonged to a session.
    pub fn unmatched(&self) -> Unmatched {
        let truncated = self.inbound.as_ref().map_or(0, |inbound| inbound.truncated());
        let unmatched = self.arrivals.unmatched;
        Unmatched { truncated: unmatched.truncated.wrapping_add(truncated), ..unmatched }
    }

    /// Sets all counters to zero.
    pub fn reset_counters(&mut self) {
        for port in self.ports.values_mut() {
            port.counters = Counters::default();
            if let (Some(Device::Kernel(session)), Some(kernel)) = (&mut port.device, &self.kernel) {
                session.counted = kernel.statistics(session);
            }
        }
        let truncated = self.inbound.as_ref().map_or(0, |inbound| inbound.truncated());
        self.arrivals.unmatched =
            Unmatched { truncated: 0u64.wrapping_sub(truncated), ..Unmatched::default() };
    }
}

/// The daemon ends: its interfaces go together.
impl Drop for DataPlane {
    fn drop(&mut self) {
        for at in self.ports.indexes().into_iter().map(|(at, _)| at) {
            if self.ports.get(at).is_some_and(|port| port.tap().is_some()) {
                self.close_device(at);
            }
        }
        self.closing.finish();
    }
}
