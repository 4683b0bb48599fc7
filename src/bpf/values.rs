//! What the programs find in their maps: one value of [`Ingress`], [`Egress`] and [`Counts`] for each session that the
//! kernel carries. The offsets are those that the programs load from.

use super::abi::FIXED_GSO;
use crate::saved::saved;

/// A path as the programs compare it: the peer's address, ours (those of IPv4 in the first four octets), the ports of
/// the peer and ours, and 1 for UDP.
pub type PathOctets = [u8; 40];

/// What a received data message must be, and where its frame goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingress {
    /// Where it comes from and goes to.
    pub path: PathOctets,
    /// Which bits of the twelve octets after the Session ID count: those of the cookie, and of the sublayer those that
    /// must be zero.
    pub mask: [u8; 12],
    /// What they must be.
    pub expected: [u8; 12],
    /// Octets from the Session ID to the frame.
    pub header: u32,
    /// The index of the session's interface.
    pub interface: u32,
    /// The index of the interface for GRO, or 0.
    pub gro: u32,
}

impl Ingress {
    /// Octets of a value.
    pub const SIZE: usize = 80;
    pub(super) const MASK: i16 = 40;
    pub(super) const EXPECTED: i16 = 52 + 4;
    pub(super) const MASK_LAST: i16 = 48;
    pub(super) const EXPECTED_LAST: i16 = 52;
    pub(super) const HEADER: i16 = 64;
    pub(super) const INTERFACE: i16 = 68;
    pub(super) const GRO: i16 = 72;

    /// The value as the map has it.
    pub fn octets(&self) -> Vec<u8> {
        let (mask, mask_last) = self.mask.split_at(8);
        let (expected, expected_last) = self.expected.split_at(8);
        let numbers = [self.header, self.interface, self.gro, 0].map(u32::to_ne_bytes).concat();
        [&self.path[..], mask, mask_last, expected_last, expected, &numbers].concat()
    }
}

/// How the frames of an interface are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Egress {
    /// The headers before the frame, from IP on; lengths, checksum and identification are filled in.
    pub headers: [u8; Egress::HEADERS],
    /// How many octets of them there are.
    pub length: u32,
    /// The outer IP version is 6.
    pub ipv6: bool,
    /// UDP is the encapsulation. Only it can carry super-frames.
    pub udp: bool,
    /// The index of the interface that leads to the peer.
    pub device: u32,
    /// The longest frame that fits the path, with its Ethernet header.
    pub longest: u32,
    /// Our Session ID: the key of the session's counts.
    pub session: u32,
    /// The index of the interface for GSO, or 0.
    pub gso: u32,
    /// Whether all of TCP goes there from the beginning, and all of UDP.
    pub all_gso: [bool; 2],
}

impl Egress {
    /// The most octets of headers: IPv6, UDP, L2TP with cookie and sublayer.
    pub const HEADERS: usize = 72;
    /// Octets of a value.
    pub const SIZE: usize = 112;
    pub(super) const FLAGS: i16 = 72;
    pub(super) const LENGTH: i16 = 80;
    pub(super) const DEVICE: i16 = 84;
    pub(super) const LONGEST: i16 = 88;
    pub(super) const SESSION: i16 = 92;
    pub(super) const KIND: i16 = 96;
    /// What is segmented first, or left to the daemon: all of TCP, all of UDP. The program marks what it cannot send.
    pub(super) const LEFT_TCP: i16 = 100;
    pub(super) const LEFT_UDP: i16 = 101;
    pub(super) const GSO: i16 = 104;
    /// Bits of the kind.
    pub(super) const IS_IPV6: i32 = 1;
    pub(super) const IS_UDP: i32 = 2;
    /// `bpf_skb_adjust_room`: what the room is for (linux/bpf.h, BPF_F_ADJ_ROOM_ENCAP_...). The frame keeps its Ethernet
    /// header of 14 octets, and its own checksum.
    const L3_IPV4: u64 = 1 << 1;
    const L3_IPV6: u64 = 1 << 2;
    const L4_UDP: u64 = 1 << 4;
    const L2_ETHERNET: u64 = 14 << 56 | 1 << 6;
    const CHECKSUM_STAYS: u64 = 1 << 5;

    /// The value as the map has it.
    pub fn octets(&self) -> Vec<u8> {
        let outer = if self.ipv6 { Egress::L3_IPV6 } else { Egress::L3_IPV4 };
        let udp = if self.udp { Egress::L4_UDP } else { 0 };
        let flags = FIXED_GSO | outer | udp | Egress::L2_ETHERNET | Egress::CHECKSUM_STAYS;
        let kind = i32::from(self.ipv6) * Egress::IS_IPV6 + i32::from(self.udp) * Egress::IS_UDP;
        let numbers = [self.length, self.device, self.longest].map(u32::to_ne_bytes).concat();
        let session = self.session.to_be_bytes();
        let [tcp, udp] = self.all_gso.map(u8::from);
        let last = [kind.to_ne_bytes(), [tcp, udp, 0, 0], self.gso.to_ne_bytes(), [0; 4]].concat();
        [&self.headers[..], &flags.to_ne_bytes(), &numbers, &session, &last].concat()
    }
}

/// What the programs have counted for a session, and when a frame was received last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Frames to the interface.
    pub rx_frames: u64,
    /// Octets of them.
    pub rx_octets: u64,
    /// Frames from the interface.
    pub tx_frames: u64,
    /// Octets of them.
    pub tx_octets: u64,
    /// When a frame was received last: nanoseconds of CLOCK_MONOTONIC_COARSE; 0: never.
    pub heard: u64,
}
saved!(Counts { rx_frames, rx_octets, tx_frames, tx_octets, heard });

impl Counts {
    /// Octets of the value of one processor.
    pub const SIZE: usize = 40;
    pub(super) const RX: i16 = 0;
    pub(super) const TX: i16 = 16;
    pub(super) const HEARD: i16 = 32;

    /// The sum over all processors, whose values follow each other.
    pub fn sum(octets: &[u8]) -> Counts {
        let mut sum = Counts::default();
        for value in octets.chunks_exact(Counts::SIZE) {
            let mut numbers = value.chunks_exact(8).map(|n| n.try_into().map_or(0, u64::from_ne_bytes));
            let mut next = || numbers.next().unwrap_or(0);
            sum.rx_frames = sum.rx_frames.wrapping_add(next());
            sum.rx_octets = sum.rx_octets.wrapping_add(next());
            sum.tx_frames = sum.tx_frames.wrapping_add(next());
            sum.tx_octets = sum.tx_octets.wrapping_add(next());
            sum.heard = sum.heard.max(next());
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_where_the_programs_look() {
        let path = std::array::from_fn(|at| at as u8);
        let mask = std::array::from_fn(|at| 100 + at as u8);
        let expected = std::array::from_fn(|at| 120 + at as u8);
        let octets = Ingress { path, mask, expected, header: 7, interface: 9, gro: 11 }.octets();
        assert_eq!(octets.len(), Ingress::SIZE);
        let at = |offset: i16, length: usize| &octets[offset as usize..offset as usize + length];
        assert_eq!(at(Ingress::MASK, 8), &mask[..8]);
        assert_eq!(at(Ingress::MASK_LAST, 4), &mask[8..]);
        assert_eq!(at(Ingress::EXPECTED, 8), &expected[..8]);
        assert_eq!(at(Ingress::EXPECTED_LAST, 4), &expected[8..]);
        assert_eq!(at(Ingress::HEADER, 4), 7u32.to_ne_bytes());
        assert_eq!(at(Ingress::INTERFACE, 4), 9u32.to_ne_bytes());
        assert_eq!(at(Ingress::GRO, 4), 11u32.to_ne_bytes());

        let egress = Egress {
            headers: [1; Egress::HEADERS],
            length: 2,
            ipv6: false,
            udp: true,
            device: 3,
            longest: 4,
            session: 5,
            gso: 6,
            all_gso: [true, false],
        };
        let octets = egress.octets();
        assert_eq!(octets.len(), Egress::SIZE);
        let at = |offset: i16| u32::from_ne_bytes(octets[offset as usize..][..4].try_into().unwrap());
        assert_eq!((at(Egress::LENGTH), at(Egress::DEVICE), at(Egress::LONGEST)), (2, 3, 4));
        assert_eq!((at(Egress::SESSION), at(Egress::KIND)), (5u32.to_be(), 2));
        assert_eq!((at(Egress::GSO), octets[100], octets[101]), (6, 1, 0));
    }

    #[test]
    fn counts_of_all_processors_are_added() {
        let one = [1u64, 10, 2, 20, 500].map(u64::to_ne_bytes).concat();
        let two = [3u64, 30, 4, 40, 400].map(u64::to_ne_bytes).concat();
        let sum = Counts { rx_frames: 4, rx_octets: 40, tx_frames: 6, tx_octets: 60, heard: 500 };
        assert_eq!(Counts::sum(&[one, two].concat()), sum);
        assert_eq!(Counts::sum(&[1, 2, 3]), Counts::default());
    }
}
