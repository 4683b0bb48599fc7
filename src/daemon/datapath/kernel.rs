//! `data-plane kernel`: the kernel carries the frames of established sessions. Control messages stay ours. Each peer
//! (each [`Path`]) that has sessions has a tunnel in the kernel, which is bound to a socket of ours and ends with it.
//!
//! Over UDP that socket is one of our sockets, connected to the peer: the kernel takes the data messages that come in
//! there, and leaves the control messages to us. Over IP it is a socket of the kernel's L2TP, beside our raw one,
//! which receives control messages only.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use super::device::{self, KernelSession};
use super::event::Failure;
use super::interface::Interface;
use super::ready::Ready;
use super::slab::FixedHash;
use super::sockets::Sockets;
use super::state::{KernelState, ReceivedFds, SentFds, TunnelState};
use crate::config::model::Via;
use crate::counters::Counters;
use crate::proto::{Attachment, Path, SequenceLevel};
use crate::sys::l2tp::{self, L2tp, NewSession, Statistics};
use crate::sys::{error_text, netif, socket};
use crate::wire::Encapsulation;

/// Ids that are tried for a tunnel. They mean nothing to the peer, but others may have made tunnels, too.
const TUNNEL_IDS: u32 = 64;

/// The kernel's L2TP and what we have there.
pub(super) struct Kernel {
    l2tp: L2tp,
    /// By the kernel's ids.
    tunnels: HashMap<u32, Tunnel, FixedHash>,
    /// The kernel's ids.
    ids: HashMap<Path, u32, FixedHash>,
}

/// A tunnel of the kernel.
struct Tunnel {
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

impl TunnelSocket {
    fn descriptor(&self, sockets: &Sockets) -> Option<RawFd> {
        match self {
            TunnelSocket::Ip(fd) => Some(fd.as_raw_fd()),
            TunnelSocket::Udp(at) => Some(sockets.get(*at)?.inner.as_raw_fd()),
        }
    }

    /// The kernel removes the tunnel with its socket.
    fn close(self, sockets: &mut Sockets, ready: &Ready) {
        match self {
            TunnelSocket::Ip(fd) => drop(fd),
            TunnelSocket::Udp(at) => sockets.close(at, ready),
        }
    }
}

/// Why the kernel has no session.
pub(super) enum NotMade {
    /// The interface's name is in use. Newer kernels remove a session's interface some time after the session: it may be
    /// free soon.
    InUse(Failure),
    /// Something else.
    Failed(Failure),
}

impl Kernel {
    /// `NotFound`: the kernel has no L2TP.
    pub(super) fn open() -> io::Result<Kernel> {
        let (tunnels, ids) = (HashMap::default(), HashMap::default());
        Ok(Kernel { l2tp: L2tp::open()?, tunnels, ids })
    }

    /// What another program that goes on with it has to know.
    pub(super) fn state(&self, sockets: &Sockets, descriptors: &mut SentFds) -> KernelState {
        let tunnels = self.tunnels.iter().map(|(id, tunnel)| {
            let Tunnel { path, socket, sessions } = tunnel;
            let socket = match socket {
                TunnelSocket::Ip(fd) => {
                    descriptors.push(fd.as_raw_fd());
                    None
                }
                TunnelSocket::Udp(at) => sockets.get(*at).map(|socket| socket.state(descriptors)),
            };
            TunnelState { id: *id, path: *path, socket, sessions: *sessions }
        });
        KernelState { tunnels: tunnels.collect() }
    }

    /// Goes on with the tunnels of another program. The kernel keeps them as long as somebody has their sockets.
    pub(super) fn resume(
        state: KernelState,
        sockets: &mut Sockets,
        ready: &Ready,
        descriptors: &mut ReceivedFds,
    ) -> io::Result<Kernel> {
        let mut kernel = Kernel::open()?;
        for TunnelState { id, path, socket, sessions } in state.tunnels {
            let socket = match socket {
                Some(socket) => {
                    TunnelSocket::Udp(sockets.resume(socket, Some(path.remote), descriptors, ready)?)
                }
                None => TunnelSocket::Ip(descriptors.pop_front().ok_or(io::ErrorKind::NotFound)?),
            };
            kernel.tunnels.insert(id, Tunnel { path, socket, sessions });
            kernel.ids.insert(path, id);
        }
        Ok(kernel)
    }

    /// The kernel's id of the tunnel to a peer, which has one more session; it is made where it is missing.
    pub(super) fn join_tunnel(
        &mut self,
        attachment: &Attachment,
        interface: &Interface,
        sockets: &mut Sockets,
        ready: &Ready,
    ) -> Result<u32, Failure> {
        if attachment.sublayer_expected != attachment.sublayer_to_send {
            let why = "the kernel has the l2-sublayer in both directions or in none, and the peer wants another one \
                       than we: set it alike at both ends, or use data-plane tap";
            return Err(Failure::Other(why.to_owned()));
        }
        let path = &attachment.path;
        if let Some(id) = self.ids.get(path).copied() {
            if let Some(tunnel) = self.tunnels.get_mut(&id) {
                tunnel.sessions += 1;
                return Ok(id);
            }
        }
        let mut result = Err(io::Error::from(io::ErrorKind::AlreadyExists));
        for id in (0..TUNNEL_IDS).map(|n| attachment.local.0.wrapping_add(n).max(1)) {
            result = self.make_tunnel(path, id, interface, sockets, ready);
            if !result.as_ref().is_err_and(|e: &io::Error| e.kind() == io::ErrorKind::AlreadyExists) {
                break;
            }
        }
        result.map_err(|e| refused("tunnel", &e))
    }

    fn make_tunnel(
        &mut self,
        path: &Path,
        id: u32,
        interface: &Interface,
        sockets: &mut Sockets,
        ready: &Ready,
    ) -> io::Result<u32> {
        let socket = match path.encapsulation {
            Encapsulation::Ip => TunnelSocket::Ip({
                let Via { device, mark } = path.via;
                l2tp::open_ip_socket(path.local.ip(), path.remote, id, (device.name(), mark))?
            }),
            Encapsulation::Udp => TunnelSocket::Udp(sockets.open_for_peer(path, ready)?),
        };
        let fd = socket.descriptor(sockets).ok_or(io::ErrorKind::NotFound.into());
        let created = fd.and_then(|fd| {
            let (ttl, tos) = (interface.ttl, interface.tos.fixed());
            socket::set_ttl_and_tos(fd, path.remote.is_ipv4(), ttl, tos)?;
            self.l2tp.create_tunnel(id, path.encapsulation, fd)
        });
        match created {
            Ok(()) => {
                self.tunnels.insert(id, Tunnel { path: *path, socket, sessions: 1 });
                self.ids.insert(*path, id);
                Ok(id)
            }
            Err(error) => {
                socket.close(sockets, ready);
                Err(error)
            }
        }
    }

    /// A tunnel has one session less. The last one takes it along.
    pub(super) fn leave_tunnel(&mut self, id: u32, sockets: &mut Sockets, ready: &Ready) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else { return };
        tunnel.sessions = tunnel.sessions.saturating_sub(1);
        if tunnel.sessions > 0 {
            return;
        }
        if let Some(tunnel) = self.tunnels.remove(&id) {
            self.ids.remove(&tunnel.path);
            tunnel.socket.close(sockets, ready);
        }
    }

    /// Makes a session of a tunnel, and its interface, which is down.
    pub(super) fn make_session(
        &self,
        tunnel: u32,
        attachment: &Attachment,
    ) -> Result<KernelSession, NotMade> {
        let created = self.l2tp.create_session(&NewSession {
            tunnel,
            local: attachment.local,
            remote: attachment.remote,
            interface: &attachment.interface,
            cookie_expected: attachment.cookie_expected.clone(),
            cookie_to_send: attachment.cookie_to_send.clone(),
            sublayer: attachment.sublayer_to_send,
            // Numbers that the peer did not ask for do no harm: the kernel knows all or none.
            sequence_send: attachment.sequence_send != SequenceLevel::None,
            sequence_receive: attachment.sequence_receive,
        });
        match created.and_then(|()| netif::index(&attachment.interface)) {
            Ok(index) => {
                let counted = Statistics::default();
                Ok(KernelSession { tunnel, id: attachment.local, index, raised: false, counted })
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(NotMade::InUse(refused("session", &error)))
            }
            Err(error) => Err(NotMade::Failed(refused("session", &error))),
        }
    }

    /// Removes a session; what it has counted is returned.
    pub(super) fn close_session(
        &mut self,
        session: &KernelSession,
        sockets: &mut Sockets,
        ready: &Ready,
    ) -> Counters {
        let counters = self.counters(session);
        // An error means that it is gone already.
        let _ = self.l2tp.delete_session(session.tunnel, session.id);
        self.leave_tunnel(session.tunnel, sockets, ready);
        counters
    }

    /// What the kernel has counted since the counters were set to zero.
    pub(super) fn counters(&self, session: &KernelSession) -> Counters {
        device::counters(&self.statistics(session), &session.counted)
    }

    /// What the kernel has counted.
    pub(super) fn statistics(&self, session: &KernelSession) -> Statistics {
        self.l2tp.statistics(session.tunnel, session.id).unwrap_or(session.counted)
    }

    /// `ttl` and `tos` of an interface may have changed: they are options of the tunnel's socket.
    pub(super) fn set_socket_options(
        &self,
        session: &KernelSession,
        interface: &Interface,
        sockets: &Sockets,
    ) {
        let Some(tunnel) = self.tunnels.get(&session.tunnel) else { return };
        if let Some(fd) = tunnel.socket.descriptor(sockets) {
            let (ttl, tos) = (interface.ttl, interface.tos.fixed());
            // Without them frames go out all the same.
            let _ = socket::set_ttl_and_tos(fd, tunnel.path.remote.is_ipv4(), ttl, tos);
        }
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
