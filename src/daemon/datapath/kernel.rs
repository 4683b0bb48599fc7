//! `data-plane kernel`: the kernel carries the frames of established sessions. Control messages stay ours. Each peer
//! (each [`Path`]) that has sessions has a tunnel in the kernel, which is bound to a socket of ours and ends with it.
//!
//! Over UDP that socket is one of our sockets, connected to the peer: the kernel takes the data messages that come in
//! there, and leaves the control messages to us. Over IP it is a socket of the kernel's L2TP, beside our raw one,
//! which receives control messages only.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use super::device::{self, Device, KernelSession};
use super::port::Interface;
use super::sockets::SocketKey;
use super::{DataPlane, DataPlaneEvent, Failure};
use crate::config::model::Tos;
use crate::counters::Counters;
use crate::log::Remark;
use crate::proto::{Attachment, Path, SequenceLevel};
use crate::sys::l2tp::{self, L2tp, NewSession, Statistics};
use crate::sys::socket::{self, Socket};
use crate::sys::{error_text, netif};
use crate::wire::{Encapsulation, SessionId};

/// Ids that are tried for a tunnel. They mean nothing to the peer, but others may have made tunnels, too.
const TUNNEL_IDS: u32 = 64;

/// The kernel's L2TP and what we have there.
pub(super) struct Kernel {
    l2tp: L2tp,
    tunnels: Vec<Tunnel>,
}

/// A tunnel of the kernel.
struct Tunnel {
    id: u32,
    path: Path,
    socket: TunnelSocket,
    /// Sessions that it has.
    sessions: usize,
}

enum TunnelSocket {
    /// Of the kernel's L2TP over IP.
    Ip(OwnedFd),
    /// The place of one of our sockets.
    Udp(usize),
}

impl DataPlane {
    /// From now on sessions are attached to the kernel's L2TP. To be called before sockets are opened. `NotFound`: the
    /// kernel has none.
    pub fn use_kernel(&mut self) -> io::Result<()> {
        self.kernel = Some(Kernel { l2tp: L2tp::open()?, tunnels: Vec::new() });
        Ok(())
    }

    /// Makes the session in the kernel; its interface is down.
    pub(super) fn open_kernel_session(&mut self, at: usize, attachment: &Attachment) -> Result<(), Failure> {
        if attachment.sublayer_expected != attachment.sublayer_to_send {
            let why = "the kernel has the l2-sublayer in both directions or in none, and the peer wants another one \
                       than we: set it alike at both ends, or use data-plane tap";
            return Err(Failure::Other(why.to_owned()));
        }
        self.close_device(at);
        let Some(port) = self.ports.get(at).and_then(|c| c.as_ref()) else { return Ok(()) };
        let interface = port.interface.clone();
        let tunnel = self
            .kernel_tunnel(&attachment.path, attachment.local, &interface)
            .map_err(|e| refused("tunnel", &e))?;
        let Some(kernel) = &self.kernel else { return Ok(()) };
        let created = kernel
            .l2tp
            .create_session(&NewSession {
                tunnel,
                local: attachment.local,
                remote: attachment.remote,
                interface: &interface.name,
                cookie_expected: attachment.cookie_expected,
                cookie_to_send: attachment.cookie_to_send,
                sublayer: attachment.sublayer_to_send,
                // Numbers that the peer did not ask for do no harm: the kernel knows all or none.
                sequence_send: attachment.sequence_send != SequenceLevel::None,
                sequence_receive: attachment.sequence_receive,
            })
            .and_then(|()| netif::index(&interface.name));
        match created {
            Ok(index) => {
                let counted = Statistics::default();
                let session = KernelSession { tunnel, id: attachment.local, index, raised: false, counted };
                self.device_opened(at, Device::Kernel(session));
                Ok(())
            }
            Err(error) => {
                self.leave_kernel_tunnel(tunnel);
                Err(refused("session", &error))
            }
        }
    }

    /// The tunnel to a peer, with one more session; it is made where it is missing.
    fn kernel_tunnel(&mut self, path: &Path, session: SessionId, manner: &Interface) -> io::Result<u32> {
        if let Some(tunnel) =
            self.kernel.as_mut().and_then(|k| k.tunnels.iter_mut().find(|t| t.path == *path))
        {
            tunnel.sessions += 1;
            return Ok(tunnel.id);
        }
        let mut result = Err(io::Error::from(io::ErrorKind::AlreadyExists));
        for id in (0..TUNNEL_IDS).map(|n| session.0.wrapping_add(n).max(1)) {
            result = self.new_kernel_tunnel(path, id, manner);
            if !result.as_ref().is_err_and(|e: &io::Error| e.kind() == io::ErrorKind::AlreadyExists) {
                break;
            }
        }
        result
    }

    fn new_kernel_tunnel(&mut self, path: &Path, id: u32, manner: &Interface) -> io::Result<u32> {
        let socket = match path.encapsulation {
            Encapsulation::Ip => TunnelSocket::Ip(l2tp::open_ip_socket(path.local.ip(), path.remote, id)?),
            Encapsulation::Udp => TunnelSocket::Udp(self.open_tunnel_socket(path)?),
        };
        let fd = self.tunnel_descriptor(&socket);
        let Some(kernel) = &mut self.kernel else { return Err(io::ErrorKind::NotFound.into()) };
        let created = fd.ok_or(io::ErrorKind::NotFound.into()).and_then(|fd| {
            socket::set_ttl_and_tos(fd, path.remote.is_ipv4(), manner.ttl, fixed_tos(manner.tos))?;
            kernel.l2tp.create_tunnel(id, path.encapsulation, fd)
        });
        match created {
            Ok(()) => {
                kernel.tunnels.push(Tunnel { id, path: *path, socket, sessions: 1 });
                Ok(id)
            }
            Err(error) => {
                self.close_tunnel_socket(socket);
                Err(error)
            }
        }
    }

    /// A socket of ours for one peer, which the kernel may take data messages from.
    fn open_tunnel_socket(&mut self, path: &Path) -> io::Result<usize> {
        let local = Some(path.local.ip());
        let key = SocketKey::new(Encapsulation::Udp, local, path.remote.ip(), path.local.port());
        let mut socket = Socket::open(Encapsulation::Udp, key.local, key.port)?;
        self.bind(&mut socket, &key)?;
        socket.connect(path.remote)?;
        self.add_socket(key, socket, Some(path.remote))
    }

    fn tunnel_descriptor(&self, socket: &TunnelSocket) -> Option<RawFd> {
        match socket {
            TunnelSocket::Ip(fd) => Some(fd.as_raw_fd()),
            TunnelSocket::Udp(at) => Some(self.sockets.get(*at)?.as_ref()?.inner.as_raw_fd()),
        }
    }

    /// The kernel removes the tunnel with its socket.
    fn close_tunnel_socket(&mut self, socket: TunnelSocket) {
        match socket {
            TunnelSocket::Ip(fd) => drop(fd),
            TunnelSocket::Udp(at) => self.close_socket(at),
        }
    }

    /// A tunnel has one session less. The last one takes it along.
    fn leave_kernel_tunnel(&mut self, id: u32) {
        let Some(kernel) = &mut self.kernel else { return };
        let Some(at) = kernel.tunnels.iter().position(|t| t.id == id) else { return };
        let Some(tunnel) = kernel.tunnels.get_mut(at) else { return };
        tunnel.sessions = tunnel.sessions.saturating_sub(1);
        if tunnel.sessions == 0 {
            let tunnel = kernel.tunnels.swap_remove(at);
            self.close_tunnel_socket(tunnel.socket);
        }
    }

    /// Removes a session from the kernel; what it has counted is returned.
    pub(super) fn close_kernel_session(&mut self, session: &KernelSession) -> Counters {
        let counters = self.kernel_counters(session);
        if let Some(kernel) = &self.kernel {
            // An error means that it is gone already.
            let _ = kernel.l2tp.delete_session(session.tunnel, session.id);
        }
        self.leave_kernel_tunnel(session.tunnel);
        counters
    }

    /// What the kernel has counted since the counters were set to zero.
    pub(super) fn kernel_counters(&self, session: &KernelSession) -> Counters {
        device::counters(&self.kernel_statistics(session), &session.counted)
    }

    fn kernel_statistics(&self, session: &KernelSession) -> Statistics {
        let statistics = self.kernel.as_ref().map(|k| k.l2tp.statistics(session.tunnel, session.id));
        statistics.and_then(Result::ok).unwrap_or(session.counted)
    }

    /// The kernel's counters begin anew.
    pub(super) fn reset_kernel_counters(&mut self) {
        for at in 0..self.ports.len() {
            let session = self.ports.get(at).and_then(|c| c.as_ref()?.kernel_session());
            let Some(statistics) = session.map(|s| self.kernel_statistics(s)) else { continue };
            if let Some(Device::Kernel(session)) = self.port_mut(at).and_then(|c| c.device.as_mut()) {
                session.counted = statistics;
            }
        }
    }

    /// `ttl` and `tos` of a tunnel may have changed.
    pub(super) fn set_kernel_manner(&mut self, at: usize) {
        let Some(port) = self.ports.get(at).and_then(|c| c.as_ref()) else { return };
        let (Some(session), Some(kernel)) = (port.kernel_session(), &self.kernel) else { return };
        let (ttl, tos) = (port.interface.ttl, fixed_tos(port.interface.tos));
        let Some(tunnel) = kernel.tunnels.iter().find(|t| t.id == session.tunnel) else { return };
        if let Some(fd) = self.tunnel_descriptor(&tunnel.socket) {
            // Without them frames go out all the same.
            let _ = socket::set_ttl_and_tos(fd, tunnel.path.remote.is_ipv4(), ttl, tos);
        }
    }

    /// Brings the interface of a kernel session up while its frames may pass, unless the administrator has it down.
    pub(super) fn raise(&mut self, at: usize) {
        let Some(port) = self.ports.get(at).and_then(|c| c.as_ref()) else { return };
        let session = port.session.and_then(|s| self.sessions.get(s)?.as_ref());
        let open = session.is_some_and(|s| s.established && (s.carrier || !port.interface.follow_link_state));
        let wanted = open && port.up;
        let Some(port) = self.port_mut(at) else { return };
        port.carrier = Some(open);
        let name = port.interface.name.clone();
        let Some(Device::Kernel(session)) = &mut port.device else { return };
        if session.raised == wanted {
            return;
        }
        match netif::name(session.index).and_then(|name| netif::set_state(&name, wanted)) {
            Ok(()) => session.raised = wanted,
            Err(error) => {
                let wanted = if wanted { "up" } else { "down" };
                self.remark(Remark::UpOrDown { interface: name, wanted, error: error_text(&error) });
            }
        }
    }

    /// The kernel's session gets its peer's new address: it is made anew, and with it the interface.
    pub(super) fn move_kernel_session(&mut self, id: SessionId, path: &Path) {
        let Some(session) = self.session_at(id).and_then(|at| self.sessions.get(at)?.as_ref()) else {
            return;
        };
        let attachment = Attachment { path: *path, ..session.attachment.clone() };
        let gates = session.established.then_some((session.receive, session.send, session.carrier));
        match self.attach(&attachment) {
            Ok(()) => {
                if let Some((receive, send, carrier)) = gates {
                    self.gate(id, receive, send, carrier);
                }
            }
            Err(failure) => {
                let interface = attachment.interface;
                let failure = failure.to_string();
                self.remark(Remark::KernelSession { interface: interface.clone(), failure });
                self.events.push(DataPlaneEvent::InterfaceGone { interface, session: Some(id) });
            }
        }
    }
}

/// The configuration allows no `tos copy` here: the kernel has one value for all frames.
fn fixed_tos(tos: Tos) -> u8 {
    match tos {
        Tos::Value(tos) => tos,
        Tos::Copy => 0,
    }
}

/// Why the kernel did not make a tunnel or session.
fn refused(what: &str, error: &io::Error) -> Failure {
    let hint = match error.kind() {
        _ if l2tp::is_missing(error) => " (load l2tp_eth; over IP also l2tp_ip or l2tp_ip6)",
        io::ErrorKind::AlreadyExists => " (its id or its interface's name is in use)",
        _ => "",
    };
    Failure::Other(format!("the kernel's l2tp makes no {what}: {}{hint}", error_text(error)))
}
