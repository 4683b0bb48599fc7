//! Generic receive offload (GRO): merges received frames of one TCP or UDP flow into super-frames, which the system
//! takes in one piece: the opposite of [`gso`](super::gso). Only frames that GSO would give back with exactly the same
//! octets are merged, and only with verified checksums; anything else of a flow first lets the flow go, so that the
//! order stays. What was received in one batch leaves in one: nothing waits.

use std::ops::Range;

use super::checksum::sum;
use super::packet::{self, Packet, Version, TCP};
use super::vnet::{GsoKind, VnetHeader, VNET_HEADER};
use super::{read16, write16};

const PSH: u8 = 0x08;
const ACK: u8 = 0x10;
/// Flows that are collected at once.
const MAX_FLOWS: usize = 16;
/// Frames in one super-frame.
pub const MAX_FRAMES: usize = 64;

/// A frame or super-frame that is ready for the interface.
pub struct GroFrame<'a> {
    /// What the caller gave with its frames.
    pub owner: usize,
    /// The virtio network header.
    pub vnet: [u8; VNET_HEADER],
    /// The frame: pieces of the buffer.
    pub pieces: &'a [Range<usize>],
    /// How many frames it was made of.
    pub frames: usize,
    /// Octets of those frames.
    pub octets: usize,
}

/// Takes what is ready, and the buffer that it lies in.
pub type Output<'a> = &'a mut dyn FnMut(&GroFrame<'_>, &[u8]);

/// Frames of one flow, merged so far.
struct Flow {
    owner: usize,
    packet: Packet,
    pieces: Vec<Range<usize>>,
    /// The end of the headers of the first frame.
    header: usize,
    /// Octets of payload of each frame, the last excepted.
    gso_size: usize,
    /// Octets of payload in all.
    payload: usize,
    octets: usize,
    push: bool,
}

/// A frame that can be merged with others.
struct Candidate {
    packet: Packet,
    range: Range<usize>,
    header: usize,
    payload: usize,
    push: bool,
}

/// What a frame is.
enum Kind {
    /// Can be merged.
    Mergeable(Candidate),
    /// Belongs to a flow, cannot be merged.
    Single(Packet),
    /// It is not known to which flow it belongs.
    Unknown,
}

/// Collects the frames of one batch. Its memory is kept from batch to batch.
#[derive(Default)]
pub struct Gro {
    flows: Vec<Flow>,
    spare: Vec<Vec<Range<usize>>>,
}

impl Gro {
    /// Takes a frame that lies at `range` in `buffer`; calls `output` with what is ready. Frames are merged only
    /// if they have the same `owner`, UDP datagrams only with `udp`. The caller leaves the buffer alone until
    /// [`flush`](Gro::flush).
    pub fn push(
        &mut self,
        buffer: &mut [u8],
        owner: usize,
        range: Range<usize>,
        udp: bool,
        output: Output<'_>,
    ) {
        let frame = buffer.get(range.clone()).unwrap_or_default();
        let candidate = match classify(frame, range.clone(), udp) {
            Kind::Mergeable(candidate) => candidate,
            Kind::Single(packet) => {
                if let Some(at) = self.find(buffer, owner, &packet, &range) {
                    self.release(at, buffer, output);
                }
                return single(buffer, owner, range, output);
            }
            Kind::Unknown => {
                while let Some(at) = self.flows.iter().position(|f| f.owner == owner) {
                    self.release(at, buffer, output);
                }
                return single(buffer, owner, range, output);
            }
        };
        if let Some(at) = self.find(buffer, owner, &candidate.packet, &range) {
            if let Some(flow) = self.flows.get_mut(at).filter(|f| f.accepts(buffer, &candidate)) {
                if flow.append(&candidate) {
                    self.release(at, buffer, output);
                }
                return;
            }
            self.release(at, buffer, output);
        }
        if candidate.push {
            return single(buffer, owner, range, output);
        }
        if self.flows.len() >= MAX_FLOWS {
            self.release(0, buffer, output);
        }
        self.start(owner, candidate);
    }

    fn start(&mut self, owner: usize, candidate: Candidate) {
        let mut pieces = self.spare.pop().unwrap_or_default();
        let octets = candidate.range.len();
        pieces.push(candidate.range);
        self.flows.push(Flow {
            owner,
            packet: candidate.packet,
            pieces,
            header: candidate.header,
            gso_size: candidate.payload,
            payload: candidate.payload,
            octets,
            push: false,
        });
    }

    /// The batch ends: everything leaves.
    pub fn flush(&mut self, buffer: &mut [u8], output: Output<'_>) {
        while !self.flows.is_empty() {
            self.release(0, buffer, output);
        }
    }

    /// The flow that a frame belongs to.
    fn find(&self, buffer: &[u8], owner: usize, packet: &Packet, range: &Range<usize>) -> Option<usize> {
        let frame = buffer.get(range.clone())?;
        self.flows.iter().position(|flow| {
            let first = flow.first(buffer);
            flow.owner == owner
                && flow.packet.protocol == packet.protocol
                && flow.packet.version == packet.version
                && flow.packet.ports(first) == packet.ports(frame)
                && flow.packet.addresses(first) == packet.addresses(frame)
        })
    }

    fn release(&mut self, at: usize, buffer: &mut [u8], output: Output<'_>) {
        // In the order in which they came.
        let mut flow = self.flows.remove(at);
        let vnet = flow.complete(buffer).unwrap_or_default();
        let merged = GroFrame {
            owner: flow.owner,
            vnet: vnet.to_octets(),
            pieces: &flow.pieces,
            frames: flow.pieces.len(),
            octets: flow.octets,
        };
        output(&merged, buffer);
        flow.pieces.clear();
        self.spare.push(flow.pieces);
    }
}

/// Hands on a frame as it is.
pub fn single(buffer: &[u8], owner: usize, range: Range<usize>, output: Output<'_>) {
    let octets = range.len();
    let pieces = [range];
    output(&GroFrame { owner, vnet: [0; VNET_HEADER], pieces: &pieces, frames: 1, octets }, buffer);
}

fn classify(frame: &[u8], range: Range<usize>, udp: bool) -> Kind {
    let Some(packet) = packet::parse(frame).filter(|p| !p.is_fragment) else { return Kind::Unknown };
    let Some(header) = packet.payload(frame) else { return Kind::Unknown };
    let is_tcp = packet.protocol == TCP;
    let mut flags = 0;
    if is_tcp {
        flags = read16(frame, packet.transport + 12).map_or(0, |f| f as u8);
    }
    let payload = packet.end - header;
    let plain = if is_tcp { flags & !PSH == ACK } else { udp && udp_is_plain(frame, &packet) };
    // Padding after the packet would be lost.
    if !plain || payload == 0 || packet.has_options || packet.end != frame.len() || !verified(frame, &packet)
    {
        return Kind::Single(packet);
    }
    Kind::Mergeable(Candidate { packet, range, header, payload, push: flags & PSH != 0 })
}

/// With a checksum, and as long as the IP packet says.
fn udp_is_plain(frame: &[u8], packet: &Packet) -> bool {
    let length = read16(frame, packet.transport + 4).map(usize::from);
    length == Some(packet.end - packet.transport) && read16(frame, packet.transport + 6) != Some(0)
}

/// Whether all checksums are right.
fn verified(frame: &[u8], packet: &Packet) -> bool {
    let covered = frame.get(packet.transport..packet.end).unwrap_or_default();
    let pseudo = packet.pseudo_sum(frame, covered.len());
    let header = frame.get(packet.ip..packet.transport).unwrap_or_default();
    (packet.version == Version::V6 || sum(header) == 0xffff)
        && super::checksum::add(sum(covered), pseudo) == 0xffff
}

impl Flow {
    fn first<'a>(&self, buffer: &'a [u8]) -> &'a [u8] {
        self.pieces.first().and_then(|p| buffer.get(p.clone())).unwrap_or_default()
    }

    /// Whether the candidate is the next segment that GSO would give.
    fn accepts(&self, buffer: &[u8], candidate: &Candidate) -> bool {
        let first = self.first(buffer);
        let next = buffer.get(candidate.range.clone()).unwrap_or_default();
        let (ip, transport) = (self.packet.ip, self.packet.transport);
        let same = |range: Range<usize>| first.get(range.clone()) == next.get(range);
        let counted = |at: usize, by: usize| {
            let expected = read16(first, at).map(|n| n.wrapping_add(by as u16));
            expected == read16(next, at)
        };
        // Ethernet header with tags, places of the headers.
        let link = self.packet.ip == candidate.packet.ip && self.header == candidate.header && same(0..ip);
        let network = match self.packet.version {
            // Version, TOS; identification; DF, TTL.
            Version::V4 => same(ip..ip + 2) && counted(ip + 4, self.pieces.len()) && same(ip + 6..ip + 9),
            // Version, class, label; hop limit.
            Version::V6 => same(ip..ip + 4) && same(ip + 7..ip + 8),
        };
        let transport_same = self.packet.protocol != TCP || {
            let number = |f: &[u8]| f.get(transport + 4..)?.first_chunk().map(|n| u32::from_be_bytes(*n));
            // Sequence; acknowledgement; length and flags without PSH; window; urgent pointer and options.
            number(first).map(|n| n.wrapping_add(self.payload as u32)) == number(next)
                && same(transport + 8..transport + 13)
                && same(transport + 14..transport + 16)
                && same(transport + 18..self.header)
        };
        link && network
            && transport_same
            && candidate.payload <= self.gso_size
            && self.header - ip + self.payload + candidate.payload <= usize::from(u16::MAX)
    }

    /// Adds the frame; whether it is the last one.
    fn append(&mut self, candidate: &Candidate) -> bool {
        let Range { start, end } = candidate.range;
        self.pieces.push(start + candidate.header..end);
        self.payload += candidate.payload;
        self.octets += candidate.range.len();
        self.push = candidate.push;
        candidate.push || candidate.payload < self.gso_size || self.pieces.len() >= MAX_FRAMES
    }

    /// Makes the first frame's headers those of the super-frame.
    fn complete(&mut self, buffer: &mut [u8]) -> Option<VnetHeader> {
        if self.pieces.len() < 2 {
            return None;
        }
        let frame = buffer.get_mut(self.pieces.first()?.clone())?;
        let Packet { version, ip, transport, protocol, .. } = self.packet;
        let length = self.header - transport + self.payload;
        match version {
            Version::V4 => {
                write16(frame, ip + 2, (transport - ip + length) as u16);
                write16(frame, ip + 10, 0);
                let value = !sum(frame.get(ip..transport)?);
                write16(frame, ip + 10, value);
            }
            Version::V6 => {
                write16(frame, ip + 4, length as u16);
            }
        }
        let pseudo = self.packet.pseudo_sum(frame, length);
        let (kind, field) = match (protocol, version) {
            (TCP, Version::V4) => (GsoKind::Tcp4, 16),
            (TCP, Version::V6) => (GsoKind::Tcp6, 16),
            (_, Version::V4 | Version::V6) => (GsoKind::Udp, 6),
        };
        if protocol == TCP {
            *frame.get_mut(transport + 13)? |= if self.push { PSH } else { 0 };
        } else {
            write16(frame, transport + 4, length as u16);
        }
        write16(frame, transport + field, pseudo);
        let checksum = Some((transport, field));
        Some(VnetHeader { checksum, gso: Some((kind, self.gso_size)), headers: self.header })
    }
}
