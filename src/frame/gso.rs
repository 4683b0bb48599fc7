//! Generic segmentation offload (GSO): a super-frame, which the system hands over whole (TSO, USO), becomes segments:
//! frames that fit, with lengths, identification, sequence numbers, flags and checksums of their own. The payload
//! is not copied; a segment is a new header and a part of the super-frame.

use std::ops::Range;

use super::checksum::{add, sum};
use super::packet::{self, Packet, Version, TCP, UDP};
use super::vnet::{GsoKind, VnetHeader};
use super::{read16, write16};

const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const CWR: u8 = 0x80;

/// The longest header that a segment gets: Ethernet, two tags, IPv6 with extension headers, TCP with options.
pub const MAX_GSO_HEADER: usize = 512;

/// Fills in the checksum that the system left to the interface. `false`: the place for it is outside the frame.
pub fn finish_checksum(frame: &mut [u8], start: usize, offset: usize) -> bool {
    let Some(covered) = frame.get(start..).filter(|c| c.len() >= offset + 2) else { return false };
    // The field holds the sum of the pseudo-header. RFC 768: zero would mean "none"; 0xffff is the same number.
    let value = match !sum(covered) {
        0 => 0xffff,
        value => value,
    };
    write16(frame, start + offset, value)
}

/// A super-frame about to be segmented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SuperFrame {
    packet: Packet,
    /// The end of all headers.
    header: usize,
    /// The end of the payload.
    end: usize,
    /// Octets of payload in each segment but the last.
    gso_size: usize,
}

impl SuperFrame {
    /// Looks at a super-frame; `None` if it is not what its virtio header says.
    pub fn new(frame: &[u8], vnet: &VnetHeader) -> Option<SuperFrame> {
        let (kind, gso_size) = vnet.gso?;
        let packet = packet::parse_super_frame(frame)?;
        let fits = matches!(
            (kind, packet.version, packet.protocol),
            (GsoKind::Tcp4, Version::V4, TCP) | (GsoKind::Tcp6, Version::V6, TCP) | (GsoKind::Udp, _, UDP)
        );
        let header = packet.payload(frame)?;
        let payload = frame.len().checked_sub(header)?.min(gso_size);
        let too_long = header - packet.ip + payload > usize::from(u16::MAX) || header > MAX_GSO_HEADER;
        if !fits || gso_size == 0 || packet.is_fragment || too_long {
            return None;
        }
        Some(SuperFrame { packet, header, end: frame.len(), gso_size })
    }

    /// How many segments it makes.
    pub fn segments(&self) -> usize {
        (self.end - self.header).div_ceil(self.gso_size).max(1)
    }

    /// Octets of the longest segment.
    pub fn longest(&self) -> usize {
        self.header + self.gso_size.min(self.end - self.header)
    }

    /// Octets of each segment's header.
    pub fn header_length(&self) -> usize {
        self.header
    }

    /// Writes the header of the segment `at` (from 0) to `to`, which has [`header_length`](SuperFrame::header_length)
    /// octets, and returns where its payload lies. `None` never happens for this very frame.
    pub fn write_segment(&self, frame: &[u8], at: usize, to: &mut [u8]) -> Option<Range<usize>> {
        let start = self.header + at * self.gso_size;
        let range = start..(start + self.gso_size).min(self.end);
        let payload = frame.get(range.clone())?;
        to.get_mut(..self.header)?.copy_from_slice(frame.get(..self.header)?);
        let transport = self.packet.transport;
        let length = self.header - transport + payload.len();
        self.write_ip(to, at, length)?;
        let field = if self.packet.protocol == TCP {
            self.write_tcp(to, at, range.end == self.end)?;
            transport + 16
        } else {
            write16(to, transport + 4, length as u16);
            transport + 6
        };
        write16(to, field, 0);
        let headers = add(sum(to.get(transport..self.header)?), self.packet.pseudo_sum(to, length));
        let value = match !add(headers, sum(payload)) {
            0 => 0xffff,
            value => value,
        };
        write16(to, field, value).then_some(range)
    }

    /// `length`: octets after the IP header and its options or extensions.
    fn write_ip(&self, to: &mut [u8], at: usize, length: usize) -> Option<()> {
        let (ip, transport) = (self.packet.ip, self.packet.transport);
        match self.packet.version {
            Version::V4 => {
                write16(to, ip + 2, (transport - ip + length) as u16);
                let id = read16(to, ip + 4)?.wrapping_add(at as u16);
                write16(to, ip + 4, id);
                write16(to, ip + 10, 0);
                let value = !sum(to.get(ip..transport)?);
                write16(to, ip + 10, value);
            }
            Version::V6 => {
                write16(to, ip + 4, (transport - ip - 40 + length) as u16);
            }
        }
        Some(())
    }

    fn write_tcp(&self, to: &mut [u8], at: usize, last: bool) -> Option<()> {
        let transport = self.packet.transport;
        let place = to.get_mut(transport + 4..)?.first_chunk_mut::<4>()?;
        *place = u32::from_be_bytes(*place).wrapping_add((at * self.gso_size) as u32).to_be_bytes();
        let flags = to.get_mut(transport + 13)?;
        if !last {
            *flags &= !(FIN | PSH);
        }
        if at > 0 {
            *flags &= !CWR;
        }
        Some(())
    }
}
