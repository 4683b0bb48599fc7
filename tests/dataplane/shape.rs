//! Frames of a chosen shape: tags, IP version, options, protocol. And a look at a frame that came out, which demands
//! that every length and every checksum in it is right.

use crate::build::SOURCE;
use crate::expand::{finish_ip, finish_transport, is_right, layout, leave_checksum};
use crate::packet::{Vnet, TCP4, TCP6, UDP};

/// 802.1Q: priority 3, VLAN 9.
pub const ONE_TAG: &[u8] = &[0x81, 0, 0x60, 9];
/// 802.1ad: VLAN 5, drop eligible, with 802.1Q inside: priority 7, VLAN 7.
pub const TWO_TAGS: &[u8] = &[0x88, 0xa8, 0x10, 5, 0x81, 0, 0xe0, 7];

/// What is between the IP header and that of TCP or UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extra {
    None,
    /// IPv4: three NOPs and the end of the list. IPv6: hop-by-hop options.
    Short,
    /// IPv4: router alert and padding. IPv6: destination options of 16 octets.
    Long,
    /// IPv4: a record of the route. IPv6: routing header, then destination options.
    Two,
}

/// A flow's headers.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub tags: &'static [u8],
    pub v6: bool,
    pub extra: Extra,
    pub tcp: bool,
    pub tcp_options: &'static [u8],
    pub flags: u8,
    /// TOS or traffic class.
    pub tos: u8,
    /// The last octets of the source's Ethernet address.
    pub number: u16,
}

pub const PLAIN: Shape = Shape {
    tags: &[],
    v6: false,
    extra: Extra::None,
    tcp: true,
    tcp_options: &[],
    flags: 0x10,
    tos: 0,
    number: 0,
};

/// The IPv4 identification of a shape's frames, or of the first of them.
pub const ID: u16 = 0xfffd;
/// The TCP sequence number, likewise.
pub const SEQUENCE: u32 = 0xffff_fc00;

/// Octets that differ from place to place.
pub fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + at / 256 * 7) as u8).collect()
}

impl Shape {
    /// Every tagging with IPv4 and IPv6, each kind of options, TCP and UDP; numbered.
    pub fn all() -> Vec<Shape> {
        let mut shapes = Vec::new();
        for tags in [&[][..], ONE_TAG, TWO_TAGS] {
            for v6 in [false, true] {
                for extra in [Extra::None, Extra::Short, Extra::Long, Extra::Two] {
                    for tcp in [true, false] {
                        let number = shapes.len() as u16;
                        shapes.push(Shape { tags, v6, extra, tcp, number, ..PLAIN });
                    }
                }
            }
        }
        shapes
    }

    fn extra(&self) -> (u8, Vec<u8>) {
        let protocol = if self.tcp { 6 } else { 17 };
        let padding = [protocol, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        match (self.extra, self.v6) {
            (Extra::None, _) => (protocol, vec![]),
            (Extra::Short, false) => (protocol, vec![1, 1, 1, 0]),
            (Extra::Long, false) => (protocol, vec![0x94, 4, 0, 0, 1, 1, 1, 0]),
            (Extra::Two, false) => (protocol, vec![7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            (Extra::Short, true) => (0, vec![protocol, 0, 1, 4, 0, 0, 0, 0]),
            (Extra::Long, true) => (60, padding.to_vec()),
            (Extra::Two, true) => (43, [&[60, 0, 4, 0, 0, 0, 0, 0], &padding[..]].concat()),
        }
    }

    fn bare(&self, id: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
        let (first, extra) = self.extra();
        let mut frame = vec![2, 0, 0, 0, 0, 0x99];
        frame.extend(SOURCE);
        frame.extend(self.number.to_be_bytes());
        frame.extend(self.tags);
        if self.v6 {
            frame.extend([0x86, 0xdd, 0x60 | self.tos >> 4, self.tos << 4 | 1, 2, 3, 0, 0, first, 64]);
            frame.extend([0x20, 1, 0xd, 0xb8, 9, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
            frame.extend([0x20, 1, 0xd, 0xb8, 9, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
        } else {
            frame.extend([8, 0, 0x45 + (extra.len() / 4) as u8, self.tos, 0, 0]);
            frame.extend(id.to_be_bytes());
            frame.extend([0x40, 0, 63, first, 0, 0, 10, 200, 3, 1, 10, 200, 3, 2]);
        }
        frame.extend(extra);
        frame.extend([0x1f, 0x90, 0x30, 0x39]);
        if self.tcp {
            frame.extend(sequence.to_be_bytes());
            let length = 0x50 + 4 * self.tcp_options.len() as u8;
            frame.extend([1, 2, 3, 4, length, self.flags, 3, 4, 0, 0, 0, 0]);
            frame.extend(self.tcp_options);
        } else {
            frame.extend([0; 4]);
        }
        frame.extend(payload);
        let at = layout(&frame);
        finish_ip(&mut frame, at);
        frame
    }

    /// A frame with nothing left to do.
    pub fn frame(&self, id: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
        let mut frame = self.bare(id, sequence, payload);
        let at = layout(&frame);
        finish_transport(&mut frame, at);
        frame
    }

    /// A frame whose checksum is left to the interface.
    pub fn unfinished(&self, payload: &[u8]) -> (Vnet, Vec<u8>) {
        let mut frame = self.bare(ID, SEQUENCE, payload);
        let at = layout(&frame);
        let checksum = Some(leave_checksum(&mut frame, at));
        (Vnet { checksum, ..Vnet::default() }, frame)
    }

    /// One frame in place of many with `size` octets of payload each.
    pub fn super_frame(&self, payload: &[u8], size: usize) -> (Vnet, Vec<u8>) {
        let (vnet, frame) = self.unfinished(payload);
        let kind = match (self.tcp, self.v6) {
            (false, _) => UDP,
            (true, true) => TCP6,
            (true, false) => TCP4,
        };
        let headers = layout(&frame).payload;
        (Vnet { kind, size, headers, ..vnet }, frame)
    }
}

/// What the headers of a frame say.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    /// 0 with IPv6.
    pub id: u16,
    /// 0 with UDP.
    pub sequence: u32,
    /// 0 with UDP.
    pub flags: u8,
    pub tos: u8,
    pub payload: Vec<u8>,
}

/// Reads a TCP or UDP frame that has nothing left to do and all of whose lengths and checksums are right.
#[track_caller]
pub fn see(frame: &[u8]) -> Seen {
    if let Err(what) = is_right(frame) {
        panic!("{what}: {frame:02x?}");
    }
    let at = layout(frame);
    let tcp = at.protocol == 6;
    let four = |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().expect("four"));
    Seen {
        id: if at.v6 {
            0
        } else {
            four(at.ip + 4).to_be_bytes()[..2].try_into().map_or(0, u16::from_be_bytes)
        },
        sequence: if tcp { four(at.transport + 4) } else { 0 },
        flags: if tcp { frame[at.transport + 13] } else { 0 },
        tos: if at.v6 { frame[at.ip] << 4 | frame[at.ip + 1] >> 4 } else { frame[at.ip + 1] },
        payload: frame[at.payload..].to_vec(),
    }
}
