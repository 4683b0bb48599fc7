//! From the peers to the interfaces: which session a datagram belongs to, whether its frame may be delivered.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::Instant;

use super::event::{DataPlaneEvent, Events, Unmatched};
use super::ports::Ports;
use super::session::{Session, Sessions};
use super::sockets::OpenSocket;
use crate::config::model::Via;
use crate::frame::gro::{self, Gro, GroFrame, MAX_FRAMES};
use crate::frame::mss;
use crate::frame::oam::Oam;
use crate::proto::Path;
use crate::sys::receiver::{Datagram, Receiver};
use crate::sys::tap;
use crate::wire::demux::{self, Packet};
use crate::wire::{Encapsulation, SessionId};

/// Frames of our own that are kept until the end of a turn.
const KEPT: usize = 64;

/// What came in with a batch, beside frames.
#[derive(Default)]
pub(super) struct Arrivals {
    pub(super) unmatched: Unmatched,
    /// Data of no session: from whom the newest came, its id, how much from there.
    pub(super) newest_unmatched: Option<(IpAddr, SessionId, u64)>,
    /// Control messages that belong to no control connection yet, since the flood of them was judged.
    pub(super) strangers: u32,
    /// Control messages with an id of no connection, since then.
    pub(super) other_connections: u32,
    /// What is nothing, or data of no session, since then.
    pub(super) other_sessions: u32,
    /// Datagrams.
    pub(super) datagrams: usize,
    /// What our own probes have.
    pub(super) identifier: u64,
    /// Frames of our own kind, by our id of their session.
    pub(super) oam: Vec<(SessionId, Oam)>,
    /// The port that the newest frame is for.
    pub(super) delivered: Option<usize>,
}

impl Arrivals {
    /// A frame of our own kind; whether it ends here.
    fn take_oam(&mut self, now: Instant, session: &mut Session, oam: Oam) -> bool {
        let kept = match oam {
            Oam::Request { .. } => session.answers(now),
            Oam::Reply { .. } => true,
            Oam::Probe { sender, .. } if sender == self.identifier => true,
            // It has to go on, to where it was sent from.
            Oam::Probe { sender, .. } => {
                session.senders.note(now, sender);
                return false;
            }
        };
        if kept && self.oam.len() < KEPT {
            self.oam.push((session.id, oam));
        }
        true
    }

    fn unknown_session(&mut self, from: IpAddr, id: Option<SessionId>) {
        self.unmatched.unknown_session += 1;
        let Some(id) = id else { return };
        let before = self.newest_unmatched.filter(|(address, _, _)| *address == from);
        self.newest_unmatched = Some((from, id, before.map_or(0, |(_, _, count)| count) + 1));
    }
}

/// Buffers for what is received.
#[derive(Default)]
pub(super) struct Inbound {
    receiver: Receiver,
    gro: Gro,
}

/// The batch at hand: where its datagrams lie, and what becomes of them.
struct Batch<'a> {
    now: Instant,
    buffer: &'a mut [u8],
    gro: &'a mut Gro,
    sessions: &'a mut Sessions,
    ports: &'a mut Ports,
    arrivals: &'a mut Arrivals,
    events: &'a mut Events,
    on_control: &'a mut dyn FnMut(Path, &[u8]),
}

impl Inbound {
    /// Receives one batch, with `data` from the socket that is for data messages only; whether there may be more, or why
    /// nothing was received.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        (socket, data): (&OpenSocket, bool),
        (sessions, ports): (&mut Sessions, &mut Ports),
        (arrivals, events): (&mut Arrivals, &mut Events),
        on_control: &mut dyn FnMut(Path, &[u8]),
    ) -> io::Result<bool> {
        let from = socket.data.as_ref().filter(|_| data).unwrap_or(&socket.inner);
        let more = self.receiver.receive(from)?;
        let (datagrams, buffer) = self.receiver.datagrams();
        arrivals.datagrams += datagrams.len();
        let gro = &mut self.gro;
        let mut batch = Batch { now, buffer, gro, sessions, ports, arrivals, events, on_control };
        for datagram in datagrams {
            batch.datagram(socket, datagram);
        }
        batch.end();
        Ok(more)
    }

    /// Datagrams dropped until now because they were longer than the receive buffer.
    pub(super) fn truncated(&self) -> u64 {
        self.receiver.truncated()
    }
}

impl Batch<'_> {
    /// Takes a datagram apart into messages: the kernel may have merged several (UDP GRO).
    fn datagram(&mut self, socket: &OpenSocket, datagram: &Datagram) {
        let key = socket.key;
        if datagram.local.is_some_and(|local| socket.is_shadowed(local)) {
            return;
        }
        let mut range = datagram.range.clone();
        if key.encapsulation == Encapsulation::Ip && key.local.is_ipv4() {
            match self.buffer.get(range.clone()).and_then(ipv4_header_length) {
                Some(header) => range.start += header,
                None => return self.short(),
            }
        }
        let local = SocketAddr::new(datagram.local.unwrap_or(key.local), key.port);
        let via = Via { device: key.device, mark: 0 };
        let path = Path { encapsulation: key.encapsulation, local, remote: datagram.remote, via };
        let step = datagram.gso_size.unwrap_or(range.len()).max(1);
        if range.is_empty() {
            self.short();
        }
        while range.start < range.end {
            let end = (range.start + step).min(range.end);
            self.message(&path, range.start..end);
            range.start = end;
        }
    }

    /// One that is too short for a message.
    fn short(&mut self) {
        self.arrivals.other_sessions += 1;
        self.arrivals.unmatched.short += 1;
    }

    /// One L2TP message, control or data.
    fn message(&mut self, path: &Path, range: Range<usize>) {
        let end = range.end;
        let Some(message) = self.buffer.get(range) else { return };
        let packet = match path.encapsulation {
            Encapsulation::Ip => demux::from_ip(message),
            Encapsulation::Udp => demux::from_udp(message),
        };
        match packet {
            Packet::Control(message) => {
                self.arrivals.strangers += u32::from(message.get(4..8) == Some(&[0; 4]));
                (self.on_control)(*path, message);
            }
            Packet::Data(data) => {
                let start = end - data.len();
                self.data(path, start..end);
            }
            Packet::Short => self.short(),
            Packet::OtherVersion(_) => {
                self.arrivals.other_sessions += 1;
                self.arrivals.unmatched.version += 1;
            }
        }
    }

    /// RFC 3931 4.1, 4.6: the session is found by its id alone, then address, cookie, sublayer and sequence are
    /// checked.
    fn data(&mut self, path: &Path, range: Range<usize>) {
        let now = self.now;
        let data = self.buffer.get(range.clone()).unwrap_or_default();
        let id = data.first_chunk::<4>().map(|id| SessionId(u32::from_be_bytes(*id)));
        let Some(session) = id.and_then(|id| self.sessions.find_mut(id)) else {
            self.arrivals.other_sessions += 1;
            self.arrivals.unknown_session(path.remote.ip(), id);
            return;
        };
        let owner = session.port;
        if session.is_heard_elsewhere(now, path, data) {
            self.events.push(DataPlaneEvent::Elsewhere { session: session.id, path: *path });
        }
        let Some(port) = self.ports.get_mut(owner) else { return };
        let range = match session.check(now, path, data) {
            Ok(offset) => range.start + offset..range.end,
            Err(counter) => {
                *counter(&mut port.counters) += 1;
                return;
            }
        };
        if let Some(oam) = self.buffer.get(range.clone()).and_then(Oam::parse) {
            if self.arrivals.take_oam(now, session, oam) {
                return;
            }
        }
        if let Some(storm) = &mut port.storm {
            if !storm.lets_in(now, self.buffer.get(range.clone()).unwrap_or_default()) {
                port.counters.rx_storm += 1;
                return;
            }
        }
        if let (Some(limit), Some(frame)) = (port.mss_limit(), self.buffer.get_mut(range.clone())) {
            port.counters.mss_clamped += u64::from(mss::clamp(frame, limit, false));
        }
        let udp = port.tap().is_some_and(|t| t.has_uso());
        self.arrivals.delivered = Some(owner);
        let ports = &mut *self.ports;
        let output = &mut |merged: &GroFrame<'_>, buffer: &[u8]| deliver(ports, merged, buffer);
        match tap::SUPER_FRAMES {
            true => self.gro.push(self.buffer, owner, range, udp, output),
            false => gro::single(self.buffer, owner, range, output),
        }
    }

    /// What was merged leaves.
    fn end(self) {
        let Batch { buffer, gro, ports, .. } = self;
        gro.flush(buffer, &mut |merged, buffer| deliver(ports, merged, buffer));
    }
}

/// Octets of the IPv4 header at the beginning of `packet`.
fn ipv4_header_length(packet: &[u8]) -> Option<usize> {
    let length = usize::from(packet.first()? & 0x0f) * 4;
    (20..=packet.len()).contains(&length).then_some(length)
}

/// Writes a frame or super-frame to its interface.
fn deliver(ports: &mut Ports, merged: &GroFrame<'_>, buffer: &[u8]) {
    let Some(port) = ports.get_mut(merged.owner) else { return };
    let mut pieces = [IoSlice::new(&[]); MAX_FRAMES + 1];
    for (to, from) in pieces.iter_mut().skip(1).zip(merged.pieces) {
        *to = IoSlice::new(buffer.get(from.clone()).unwrap_or_default());
    }
    pieces[0] = IoSlice::new(&merged.vnet);
    let pieces = pieces.get(..=merged.pieces.len()).unwrap_or_default();
    let frames = merged.frames as u64;
    let written = port.tap().is_some_and(|tap| tap.write(pieces).is_ok());
    let counters = &mut port.counters;
    if written {
        counters.rx_frames += frames;
        counters.rx_octets += merged.octets as u64;
        counters.rx_coalesced += if frames > 1 { frames } else { 0 };
    } else {
        counters.rx_interface += frames;
    }
}
