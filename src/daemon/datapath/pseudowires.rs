//! The pseudowires: sockets, ports and sessions, and how one becomes attached to the other.

use std::io;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use mio::Registry;

use super::closing::Closing;
use super::device::Device;
use super::event::{DataPlaneEvent, Events, Failure};
use super::gates::Gates;
use super::kernel::{Kernel, NotMade};
use super::paths::Paths;
use super::port::Port;
use super::ports::Ports;
use super::ready::{Ready, Source};
use super::session::{Session, Sessions};
use super::shortcut::Shortcut;
use super::sockets::{Found, Sockets};
use super::unfinished::Unfinished;
use super::waiting::{Waiting, WaitingList};
use crate::config::model;
use crate::counters::Counters;
use crate::log::Remark;
use crate::proto::{Attachment, Path};
use crate::sys::tap::Tap;
use crate::sys::{clock, error_text, netif};
use crate::wire::{Ccid, SessionId};

/// Whether a session is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attached {
    /// It is.
    Now,
    /// Its interface is yet to be made: [`DataPlaneEvent::Attached`] tells what comes of it.
    Later,
}

/// What `data-plane auto` says where it has the choice.
const AUTOMATIC: &str = "sessions that it is faster for; tap for the others (l2tpctl status)";

/// Whether something came later than this before now is nobody's concern.
const RECENT: Duration = Duration::from_millis(100);

/// All tables.
pub(super) struct Pseudowires {
    pub(super) ready: Ready,
    pub(super) sockets: Sockets,
    pub(super) ports: Ports,
    pub(super) sessions: Sessions,
    pub(super) paths: Paths,
    pub(super) events: Events,
    /// Where the kernel carries the frames.
    pub(super) kernel: Option<Kernel>,
    /// Where programs in the kernel carry what they can.
    pub(super) shortcut: Option<Shortcut>,
    pub(super) waiting: WaitingList,
    pub(super) closing: Closing,
    /// Sessions with fragments of frames that are not complete.
    pub(super) unfinished: Unfinished,
    /// A session was attached.
    pub(super) ids_changed: bool,
}

impl Pseudowires {
    pub(super) fn new(registry: Registry) -> Pseudowires {
        Pseudowires {
            ready: Ready::new(registry),
            sockets: Sockets::default(),
            ports: Ports::default(),
            sessions: Sessions::default(),
            paths: Paths::new(clock::now()),
            events: Events::default(),
            kernel: None,
            shortcut: None,
            waiting: WaitingList::default(),
            closing: Closing::default(),
            unfinished: Unfinished::default(),
            ids_changed: false,
        }
    }

    /// Decides what carries the frames. To be called before sockets are opened, and with the rights that loading programs
    /// takes. An error: it was asked for by name, and there is nothing to fall back on.
    pub(super) fn choose(&mut self, plane: model::DataPlane) -> Result<(), Remark> {
        match plane {
            model::DataPlane::Tap => {}
            model::DataPlane::Auto => {
                let (plane, why) = match self.use_bpf(true) {
                    Ok(()) => ("bpf", AUTOMATIC.to_owned()),
                    Err(error) => ("tap", format!("bpf: {}", error_text(&error))),
                };
                self.events.remark(Remark::AutoPlane { plane: plane.to_owned(), why });
            }
            model::DataPlane::Kernel => match Kernel::open() {
                Ok(kernel) => self.kernel = Some(kernel),
                Err(error) => return Err(Remark::NoKernelL2tp { error: error_text(&error) }),
            },
            model::DataPlane::Bpf => {
                let failed =
                    self.use_bpf(false).err().map(|error| Remark::NoBpf { error: error_text(&error) });
                failed.into_iter().for_each(|remark| self.events.remark(remark));
            }
        }
        Ok(())
    }

    /// Programs in the kernel carry the frames that they can, and the daemon the others.
    fn use_bpf(&mut self, automatic: bool) -> io::Result<()> {
        let shortcut = Shortcut::open(automatic)?;
        for fd in shortcut.source.descriptors() {
            self.ready.watch(fd, Source::Policies)?;
        }
        self.shortcut = Some(shortcut);
        Ok(())
    }

    /// The counters of a port.
    pub(super) fn counters(&self, at: usize) -> Option<Counters> {
        let port = self.ports.get(at)?;
        let mut counters = port.counters;
        if let Some(shortcut) = &self.shortcut {
            counters.add(&shortcut.counters(at));
        }
        if let (Some(session), Some(kernel)) = (port.kernel_session(), &self.kernel) {
            counters.add(&kernel.counters(session));
        }
        Some(counters)
    }

    /// Sets the counters of all ports to zero.
    pub(super) fn reset_counters(&mut self) {
        for port in self.ports.values_mut() {
            port.counters = Counters::default();
            if let (Some(Device::Kernel(session)), Some(kernel)) = (&mut port.device, &self.kernel) {
                session.counted = kernel.statistics(session);
            }
        }
        self.shortcut.iter_mut().for_each(Shortcut::reset_counters);
    }

    /// When valid data of a connection's sessions came last. What programs in the kernel carry they count by session.
    pub(super) fn heard(&self, connection: Ccid) -> Option<Instant> {
        let heard = self.sessions.heard();
        match self.shortcut.as_ref().filter(|shortcut| shortcut.carries()) {
            Some(shortcut) => {
                heard.last_of_all(connection, clock::now().checked_sub(RECENT), |id| shortcut.heard(id))
            }
            None => heard.last(connection),
        }
    }

    /// The ports whose sessions' peers this interface leads to, as far as programs in the kernel have to know.
    pub(super) fn ports_behind(&mut self, index: i32) -> Vec<usize> {
        self.shortcut.as_mut().map(|shortcut| shortcut.ports_behind(index)).unwrap_or_default()
    }

    /// Looks whether IPsec policies and packet filters have changed; the ports that this concerns.
    pub(super) fn look_at_policies(&mut self) -> Vec<usize> {
        self.shortcut.as_mut().map(Shortcut::look_at_policies).unwrap_or_default()
    }

    /// The interface was deleted by somebody else. It is made again when a session is attached.
    pub(super) fn interface_gone(&mut self, at: usize) {
        self.close_device(at);
        let Some(port) = self.ports.get(at) else { return };
        let session = port.session.and_then(|at| self.sessions.get(at)).map(|s| s.id);
        let interface = port.interface.name.clone();
        self.events.push(DataPlaneEvent::InterfaceGone { interface, session });
    }

    pub(super) fn link_deleted(&mut self, index: i32) {
        self.shortcut.iter_mut().for_each(|shortcut| shortcut.interface_deleted(index));
        match self.ports.with_index(index) {
            Some(at) => self.interface_gone(at),
            None => self.ports.bridge_deleted(index, &mut self.events),
        }
    }

    /// The kernel lost events: asks what became of an interface.
    pub(super) fn look_at_link(&mut self, at: usize) {
        let Some(port) = self.ports.get(at) else { return };
        let Some(index) = port.index() else { return };
        match port.name().map(|name| netif::is_up(&name)) {
            Some(Ok(up)) => self.ports.link_state(at, up, &mut self.events),
            Some(Err(_)) | None => self.link_deleted(index),
        }
    }

    /// Keeps what came of setting up an interface, to be shown.
    pub(super) fn remember_failure<T>(
        &mut self,
        at: usize,
        result: Result<T, Failure>,
    ) -> Result<T, Failure> {
        if let Some(port) = self.ports.get_mut(at) {
            port.failure = result.as_ref().err().cloned();
        }
        result
    }

    /// Makes a configured interface (again) where it is missing, and sets what is not set yet. `false`: its name is not
    /// free yet; it is made when it is.
    pub(super) fn open_port(&mut self, at: usize) -> Result<bool, Failure> {
        let Some(port) = self.ports.get(at) else { return Ok(true) };
        if port.is_complete() {
            return Ok(true);
        }
        if port.device.is_none() && self.closing.has(&port.interface.name) {
            self.waiting.block_port(at);
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
    pub(super) fn remove_interface(&mut self, name: &str) {
        let Some(at) = self.ports.find(name) else { return };
        let session = self.ports.get(at).and_then(|port| self.sessions.get(port.session?)).map(|s| s.id);
        if let Some(session) = session {
            let _ = self.detach(session); // its carrier goes with its interface
        }
        self.close_device(at);
        self.waiting.forget_port(at);
        self.ports.remove(at);
    }

    pub(super) fn close_device(&mut self, at: usize) {
        if let (Some(shortcut), Some(port)) = (&mut self.shortcut, self.ports.get_mut(at)) {
            shortcut.forget(at, port);
        }
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
    pub(super) fn show_carrier(&mut self, at: usize) {
        let Some(port) = self.ports.get_mut(at) else { return };
        let session = port.session.and_then(|at| self.sessions.get(at));
        port.show_carrier(session, &mut self.events);
    }

    /// Sets the MTU that fits the path of the attached session, or warns of one that does not.
    pub(super) fn fit_mtu(&mut self, at: usize) {
        let Some(port) = self.ports.get_mut(at) else { return };
        let Some(session) = port.session.and_then(|at| self.sessions.get(at)) else { return };
        if let Some(mtu) = self.paths.mtu(&session.path) {
            port.fit_mtu(session, mtu, &mut self.events);
        }
        self.settle(at);
    }

    /// Something changed that programs in the kernel may have to know.
    pub(super) fn settle(&mut self, at: usize) {
        let Some(shortcut) = &mut self.shortcut else { return };
        let Some(port) = self.ports.get_mut(at) else { return };
        let session = port.session.and_then(|at| self.sessions.get(at));
        let mtu = session.and_then(|session| self.paths.mtu(&session.path));
        let remark = shortcut.settle(at, port, session, mtu);
        remark.into_iter().for_each(|remark| self.events.remark(remark));
        self.sockets.keep_apart(shortcut.carries());
    }

    /// Attaches a session to its interface, closed in both directions. The interface is made where it is missing.
    pub(super) fn attach(&mut self, attachment: &Attachment) -> Result<Attached, Failure> {
        let Some(port) = self.ports.find(&attachment.interface) else {
            return Err(Failure::Other(format!("interface {} is not configured", attachment.interface)));
        };
        let result = self.attach_to(port, attachment);
        self.remember_failure(port, result)
    }

    pub(super) fn attach_to(&mut self, port: usize, attachment: &Attachment) -> Result<Attached, Failure> {
        if self.kernel.is_none() && self.ports.get(port).is_some_and(|port| port.device.is_none()) {
            // Somebody has deleted it, perhaps with thousands of others.
            self.waiting.insert_port(port);
        }
        if self.waiting.has_port(port) || !self.open_port(port)? {
            self.waiting.insert(Waiting::new(attachment, port, None));
            return Ok(Attached::Later);
        }
        if self.sockets.find(&attachment.path).is_none() {
            return Err(Failure::Other(format!("no socket for {}", attachment.path.local)));
        }
        self.detach(attachment.local).into_iter().for_each(|at| self.show_carrier(at));
        let (Some(kernel), Some(known)) = (&mut self.kernel, self.ports.get(port)) else {
            self.attached(port, attachment);
            return Ok(Attached::Now);
        };
        let tunnel = kernel.join_tunnel(attachment, &known.interface, &mut self.sockets, &self.ready)?;
        self.close_device(port);
        self.attach_to_kernel(tunnel, Waiting::new(attachment, port, Some(tunnel)))
    }

    /// Makes the session in the kernel, or keeps it for later.
    pub(super) fn attach_to_kernel(
        &mut self,
        tunnel: u32,
        mut waiting: Waiting,
    ) -> Result<Attached, Failure> {
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

    pub(super) fn attached(&mut self, port: usize, attachment: &Attachment) {
        let at = self.sessions.insert(Session::new(attachment, port));
        self.ids_changed = true;
        if let Some(port) = self.ports.get_mut(port) {
            // One that stands by leaves its port to the session that frames flow through.
            port.session.get_or_insert(at);
        }
        self.paths.add(clock::now(), &attachment.path, port);
        self.fit_mtu(port);
    }

    pub(super) fn set_gates(&mut self, id: SessionId, gates: Gates) {
        if let Some(waiting) = self.waiting.get_mut(id) {
            waiting.gates = Some(gates);
        }
        let Some(at) = self.sessions.place(id) else { return };
        let Some(session) = self.sessions.get_mut(at) else { return };
        session.established = true;
        session.wanted = gates;
        let place = session.port;
        let opens = gates.receive || gates.send;
        if let Some(port) = self.ports.get_mut(place).filter(|port| opens && port.session != Some(at)) {
            let before = port.session.replace(at);
            if let Some(before) = before.and_then(|before| self.sessions.get_mut(before)) {
                before.gates = Gates::default();
            }
            self.fit_mtu(place);
        }
        self.gates_changed(place);
    }

    /// What may pass through the session of a port is another thing now.
    pub(super) fn gates_changed(&mut self, at: usize) {
        let Some(port) = self.ports.get(at) else { return };
        if let Some(session) = port.session.and_then(|at| self.sessions.get_mut(at)) {
            session.gates = if port.held.is_some() { Gates::default() } else { session.wanted };
        }
        self.show_carrier(at);
        self.settle(at);
    }

    /// The ends of a session's tunnel are others from now on.
    pub(super) fn move_session(&mut self, session: SessionId, path: &Path) {
        if self.kernel.is_some() {
            self.move_kernel_session(session, path);
            return;
        }
        if let Some(waiting) = self.waiting.get_mut(session) {
            waiting.attachment.path = *path;
        }
        let Some(session) = self.sessions.find_mut(session) else { return };
        let port = session.port;
        self.paths.remove(&session.path, port);
        self.paths.add(clock::now(), path, port);
        (session.path, session.socket, session.gso) = (*path, Found::default(), true);
        self.fit_mtu(port);
    }

    /// The kernel's session gets its peer's new address: it is made anew, and with it the interface.
    pub(super) fn move_kernel_session(&mut self, id: SessionId, path: &Path) {
        let (old, gates, moved) = match (self.sessions.find(id), self.waiting.get_mut(id)) {
            (Some(session), _) => (&session.attachment, session.established.then_some(session.wanted), true),
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

    pub(super) fn not_moved(&mut self, interface: String, session: SessionId, failure: &Failure) {
        let failure = failure.to_string();
        self.events.remark(Remark::KernelSession { interface: interface.clone(), failure });
        self.events.push(DataPlaneEvent::InterfaceGone { interface, session: Some(session) });
    }

    /// Detaches a session; the port whose carrier does not show that yet. Its interface stays, unless the kernel carries its
    /// frames.
    pub(super) fn detach(&mut self, session: SessionId) -> Option<usize> {
        let tunnel = self.waiting.remove(session).and_then(|waiting| waiting.tunnel);
        if let (Some(tunnel), Some(kernel)) = (tunnel, &mut self.kernel) {
            kernel.leave_tunnel(tunnel, &mut self.sockets, &self.ready);
        }
        let (at, session) = self.sessions.remove(session)?;
        self.paths.remove(&session.path, session.port);
        let port = self.ports.get_mut(session.port)?;
        if port.session == Some(at) {
            port.session = None;
            if port.kernel_session().is_some() {
                self.close_device(session.port);
            }
        }
        self.settle(session.port);
        Some(session.port)
    }

    /// A child process may have ended.
    pub(super) fn child_ended(&mut self) {
        if self.closing.has_ended() {
            self.waiting.child_ended();
        }
    }
}

/// The daemon ends: its interfaces go together.
impl Drop for Pseudowires {
    fn drop(&mut self) {
        for at in self.ports.indexes().into_iter().map(|(at, _)| at) {
            if self.ports.get(at).is_some_and(|port| port.tap().is_some()) {
                self.close_device(at);
            }
        }
        self.closing.finish();
    }
}
