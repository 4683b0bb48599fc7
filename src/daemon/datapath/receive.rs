//! From the peers to the interfaces: which session a datagram belongs to, whether its frame may be delivered.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::Instant;

use super::event::{DataPlaneEvent, Events, Unmatched};
use super::port::Port;
use super::ports::Ports;
use super::session::{Content, Session, Sessions};
use super::sockets::{OpenSocket, Sockets};
use crate::config::model::Via;
use crate::frame::fragments::Outcome;
use crate::frame::gro::{self, Gro, GroFrame, MAX_FRAMES};
use crate::frame::mss;
use crate::frame::oam::Oam;
use crate::frame::ETHERNET_HEADER;
use crate::proto::Path;
use crate::sys::receiver::{Datagram, Receiver};
use crate::sys::tap;
use crate::wire::data::Part;
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
    /// Sessions with fragments that wait, which nobody looks after yet.
    pub(super) unfinished: Vec<SessionId>,
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
        (sockets, socket, data): (&Sockets, &OpenSocket, bool),
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
            if !datagram.local.is_some_and(|local| sockets.is_shadowed(&socket.key, local)) {
                batch.datagram(socket, datagram);
            }
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
            Ok(Content::Frame(offset)) => range.start + offset..range.end,
            Ok(Content::Fragment(offset, number)) => {
                let Some(id) = id.filter(|_| collect(now, (session, port), number, data, offset)) else {
                    return self.look_after(id);
                };
                return self.complete(id, owner);
            }
            Err(counter) => {
                *counter(&mut port.counters) += 1;
                return;
            }
        };
        let frame = self.buffer.get_mut(range.clone()).unwrap_or_default();
        if !passes(now, session, port, self.arrivals, frame) {
            return;
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

    /// A fragment waits for the next one: not forever.
    fn look_after(&mut self, id: Option<SessionId>) {
        let Some(session) = id.and_then(|id| self.sessions.find_mut(id)) else { return };
        if session.reassembly.waits_since().is_some() && !session.looked_after {
            session.looked_after = true;
            self.arrivals.unfinished.push(session.id);
        }
    }

    /// The frame of this session is complete. What came before it leaves first.
    fn complete(&mut self, id: SessionId, owner: usize) {
        let ports = &mut *self.ports;
        self.gro.flush(self.buffer, &mut |merged, buffer| deliver(ports, merged, buffer));
        let Some(session) = self.sessions.find_mut(id) else { return };
        let mut frame = session.reassembly.take();
        let length = frame.len();
        let Some(port) = ports.get_mut(owner) else { return };
        if length < ETHERNET_HEADER {
            port.counters.rx_short += 1;
        } else if passes(self.now, session, port, self.arrivals, &mut frame) {
            self.arrivals.delivered = Some(owner);
            let output = &mut |merged: &GroFrame<'_>, buffer: &[u8]| deliver(ports, merged, buffer);
            gro::single(&frame, owner, 0..length, output);
        }
        session.reassembly.restore(frame);
    }

    /// What was merged leaves.
    fn end(self) {
        let Batch { buffer, gro, ports, .. } = self;
        gro.flush(buffer, &mut |merged, buffer| deliver(ports, merged, buffer));
    }
}

/// Takes a fragment; whether its frame is complete now.
fn collect(
    now: Instant,
    (session, port): (&mut Session, &mut Port),
    number: (Part, u32),
    data: &[u8],
    offset: usize,
) -> bool {
    let longest = session.attachment.fragments_expected.unwrap_or_default();
    let fragment = data.get(offset..).unwrap_or_default();
    let (outcome, lost) = session.reassembly.push(now, number, fragment, longest);
    port.counters.rx_fragments += 1;
    port.counters.rx_incomplete += lost + u64::from(outcome == Outcome::Useless);
    outcome == Outcome::Complete
}

/// Whether a received frame goes on to its interface; the MSS in it is lowered where that is wanted.
fn passes(
    now: Instant,
    session: &mut Session,
    port: &mut Port,
    arrivals: &mut Arrivals,
    frame: &mut [u8],
) -> bool {
    if Oam::parse(frame).is_some_and(|oam| arrivals.take_oam(now, session, oam)) {
        return false;
    }
    if port.storm.as_mut().is_some_and(|storm| !storm.lets_in(now, frame)) {
        port.counters.rx_storm += 1;
        return false;
    }
    if let Some(limit) = port.mss_limit() {
        port.counters.mss_clamped += u64::from(mss::clamp(frame, limit, false));
    }
    true
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
