//! From the peers to the interfaces: which session a datagram belongs to, whether its frame may be delivered.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::port::Port;
use super::{same_peer, DataPlane, DataPlaneEvent, Session};
use crate::counters::Counters;
use crate::frame::gro::{Gro, GroFrame, MAX_FRAMES};
use crate::frame::{mss, ETHERNET_HEADER};
use crate::proto::Path;
use crate::sys::batch::{Datagram, Receiver};
use crate::wire::data::Sublayer;
use crate::wire::demux::{self, Packet};
use crate::wire::{Encapsulation, SessionId};

/// Errors in a row after which a socket is left alone until it is reported ready again.
const MAX_ERRORS: u32 = 128;

/// Buffers for what is received.
#[derive(Default)]
pub(super) struct Inbound {
    pub(super) receiver: Receiver,
    gro: Gro,
}

/// Data from elsewhere than the peer is told of once in such a time.
const TELL_PAUSE: Duration = Duration::from_secs(1);

/// Why a received frame is not delivered: the counter for it.
pub(super) type Drop = fn(&mut Counters) -> &mut u64;

/// The batch at hand: where its datagrams lie, and what becomes of their frames.
struct Batch<'a> {
    buffer: &'a mut [u8],
    gro: &'a mut Gro,
}

impl DataPlane {
    /// Receives one batch; `true` if there may be more.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        at: usize,
        on_control: &mut dyn FnMut(Path, &[u8]),
    ) -> bool {
        let Some(socket) = self.sockets.get_mut(at).and_then(|p| p.as_mut()) else { return false };
        let mut inbound = self.inbound.take().unwrap_or_default();
        let more = match inbound.receiver.receive(&socket.inner) {
            Ok(more) => {
                socket.errors = 0;
                let (datagrams, buffer) = inbound.receiver.datagrams();
                self.received += datagrams.len();
                let gro = &mut inbound.gro;
                for datagram in datagrams {
                    self.datagram(now, at, datagram, &mut Batch { buffer, gro }, on_control);
                }
                gro.flush(buffer, &mut |merged, buffer| deliver(&mut self.ports, merged, buffer));
                more
            }
            Err(error) => {
                let empty = error.kind() == io::ErrorKind::WouldBlock;
                socket.errors = if empty { 0 } else { socket.errors.saturating_add(1) };
                let again = !empty && socket.errors < MAX_ERRORS;
                match empty {
                    true => self.read_errors(at),
                    false => self.receive_failed(at, &error),
                }
                again
            }
        };
        self.inbound = Some(inbound);
        more
    }

    /// Takes a datagram apart into messages: the kernel may have merged several (UDP GRO).
    fn datagram(
        &mut self,
        now: Instant,
        at: usize,
        datagram: &Datagram,
        batch: &mut Batch<'_>,
        on_control: &mut dyn FnMut(Path, &[u8]),
    ) {
        let Some(socket) = self.sockets.get(at).and_then(|p| p.as_ref()) else { return };
        let key = socket.key;
        if datagram.local.is_some_and(|local| socket.shadows.contains(&local)) {
            return;
        }
        let mut range = datagram.range.clone();
        if key.encapsulation == Encapsulation::Ip && key.local.is_ipv4() {
            match batch.buffer.get(range.clone()).and_then(ipv4_header_length) {
                Some(header) => range.start += header,
                None => {
                    self.unmatched.short += 1;
                    return;
                }
            }
        }
        let local = SocketAddr::new(datagram.local.unwrap_or(key.local), key.port);
        let path = Path { encapsulation: key.encapsulation, local, remote: datagram.remote };
        let step = datagram.gso_size.unwrap_or(range.len()).max(1);
        if range.is_empty() {
            self.unmatched.short += 1;
        }
        while range.start < range.end {
            let end = (range.start + step).min(range.end);
            self.message(now, &path, batch, range.start..end, on_control);
            range.start = end;
        }
    }

    /// One L2TP message, control or data.
    fn message(
        &mut self,
        now: Instant,
        path: &Path,
        batch: &mut Batch<'_>,
        range: Range<usize>,
        on_control: &mut dyn FnMut(Path, &[u8]),
    ) {
        let end = range.end;
        let Some(message) = batch.buffer.get(range) else { return };
        let packet = match path.encapsulation {
            Encapsulation::Ip => demux::from_ip(message),
            Encapsulation::Udp => demux::from_udp(message),
        };
        match packet {
            Packet::Control(message) => on_control(*path, message),
            Packet::Data(data) => {
                let start = end - data.len();
                self.data(now, path, batch, start..end);
            }
            Packet::Short => self.unmatched.short += 1,
            Packet::OtherVersion(_) => self.unmatched.version += 1,
        }
    }

    /// RFC 3931 4.1, 4.6: the session is found by its id alone, then address, cookie, sublayer and sequence are
    /// checked.
    fn data(&mut self, now: Instant, path: &Path, batch: &mut Batch<'_>, range: Range<usize>) {
        let data = batch.buffer.get(range.clone()).unwrap_or_default();
        let id = data.first_chunk::<4>().map(|id| SessionId(u32::from_be_bytes(*id)));
        let at = id.and_then(|id| self.session_ids.get(&id));
        let Some(session) = at.and_then(|at| self.sessions.get_mut(*at)?.as_mut()) else {
            self.unmatched.unknown_session += 1;
            if let Some(id) = id {
                let from = path.remote.ip();
                let before = self
                    .newest_unmatched
                    .filter(|(address, _, _)| *address == from)
                    .map_or(0, |(_, _, count)| count);
                self.newest_unmatched = Some((from, id, before + 1));
            }
            return;
        };
        let owner = session.port;
        if session.is_heard_elsewhere(now, path, data) {
            self.events.push(DataPlaneEvent::Elsewhere { session: session.id, path: *path });
        }
        let Some(port) = self.ports.get_mut(owner).and_then(|c| c.as_mut()) else { return };
        let range = match session.check(now, path, data) {
            Ok(offset) => range.start + offset..range.end,
            Err(counter) => {
                *counter(&mut port.counters) += 1;
                return;
            }
        };
        if let (Some(limit), Some(frame)) = (port.mss_limit(), batch.buffer.get_mut(range.clone())) {
            port.counters.mss_clamped += u64::from(mss::clamp(frame, limit, false));
        }
        let udp = port.tap().is_some_and(|t| t.has_uso());
        self.delivered = Some(owner);
        let ports = &mut self.ports;
        let output = &mut |merged: &GroFrame<'_>, buffer: &[u8]| deliver(ports, merged, buffer);
        batch.gro.push(batch.buffer, owner, range, udp, output);
    }
}

/// Octets of the IPv4 header at the beginning of `packet`.
fn ipv4_header_length(packet: &[u8]) -> Option<usize> {
    let length = usize::from(packet.first()? & 0x0f) * 4;
    (20..=packet.len()).contains(&length).then_some(length)
}

impl Session {
    /// Whether a data message that is its own comes from elsewhere than its peer, and is to be told: not too often, for
    /// anybody who has seen the cookie can cause it.
    fn is_heard_elsewhere(&mut self, now: Instant, path: &Path, data: &[u8]) -> bool {
        if path.encapsulation != self.path.encapsulation || same_peer(path.remote, self.path.remote) {
            return false;
        }
        let cookie = self.attachment.cookie_expected;
        let fits = data.get(4..4 + cookie.len()).is_some_and(|octets| same_octets(octets, cookie.as_slice()));
        let recently = |at| now.saturating_duration_since(at) < TELL_PAUSE;
        let told = fits && self.established && !self.elsewhere.is_some_and(recently);
        if told {
            self.elsewhere = Some(now);
        }
        told
    }

    /// Whether the frame of a data message (from the Session ID on) may be delivered, and where in it the frame
    /// begins.
    pub(super) fn check(&mut self, now: Instant, path: &Path, data: &[u8]) -> Result<usize, Drop> {
        if path.encapsulation != self.path.encapsulation || !same_peer(path.remote, self.path.remote) {
            return Err(|c| &mut c.rx_source);
        }
        let cookie = self.attachment.cookie_expected;
        let mut frame = 4 + cookie.len();
        match data.get(4..frame) {
            Some(received) if same_octets(received, cookie.as_slice()) => {}
            Some(_) => return Err(|c| &mut c.rx_cookie),
            None => return Err(|c| &mut c.rx_short),
        }
        let mut sublayer = None;
        if self.attachment.sublayer_expected {
            let octets = data.get(frame..).and_then(|d| d.first_chunk::<4>());
            let Some(octets) = octets else { return Err(|c| &mut c.rx_short) };
            sublayer = Some(Sublayer::from_octets(*octets));
            frame += 4;
        }
        if data.len() < frame + ETHERNET_HEADER {
            return Err(|c| &mut c.rx_short);
        }
        self.heard = Some(now);
        if !self.receive {
            return Err(if self.established { |c| &mut c.rx_standby } else { |c| &mut c.rx_closed });
        }
        if let Some(sublayer) = sublayer {
            if sublayer.foreign {
                return Err(|c| &mut c.rx_sublayer);
            }
            // C-317: numbers that we did not ask for mean nothing.
            let checked = self.attachment.sequence_receive && sublayer.sequenced;
            if checked && !self.receive_sequence.accept(sublayer.sequence) {
                return Err(|c| &mut c.rx_sequence);
            }
        }
        Ok(frame)
    }
}

/// Compares in a time that does not depend on where the difference is. RFC 3931 8.2
fn same_octets(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |different, (a, b)| different | (a ^ b)) == 0
}

/// Writes a frame or super-frame to its interface.
fn deliver(ports: &mut [Option<Port>], merged: &GroFrame<'_>, buffer: &[u8]) {
    let Some(port) = ports.get_mut(merged.owner).and_then(|c| c.as_mut()) else { return };
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
