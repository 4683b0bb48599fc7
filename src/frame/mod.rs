//! Ethernet frames as octets. Pure. [`packet`] finds the headers, [`checksum`] sums, [`vnet`] is the header that TAP
//! interfaces put before frames, [`gso`] cuts super-frames into segments, [`gro`] merges received frames into such,
//! [`fragments`] puts frames together that came in several data messages, [`mss`] lowers the MSS of TCP connections, [`rarp`] tells switches where a station is now, [`too_big`] tells the
//! senders of packets that are too long.

#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod checksum;
pub mod fragments;
pub mod gro;
pub mod gso;
pub mod mss;
pub mod oam;
pub mod packet;
pub mod rarp;
pub mod too_big;
pub mod vnet;

/// Octets of an Ethernet header without tags.
pub const ETHERNET_HEADER: usize = 14;

/// EtherType of IPv4.
pub const IPV4: u16 = 0x0800;
/// EtherType of IPv6.
pub const IPV6: u16 = 0x86dd;

/// The EtherType after all VLAN tags (802.1Q, 802.1ad), and where the payload starts; `None` for a frame that
/// ends before.
pub fn ethertype(frame: &[u8]) -> Option<(u16, usize)> {
    let mut at = 12;
    loop {
        let value = u16::from_be_bytes(*frame.get(at..)?.first_chunk::<2>()?);
        if !matches!(value, 0x8100 | 0x88a8) {
            return Some((value, at + 2));
        }
        at += 4;
    }
}

/// The 16-bit number at `at`, in network order.
fn read16(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..)?.first_chunk::<2>().map(|n| u16::from_be_bytes(*n))
}

/// Writes a 16-bit number in network order; `false` outside of `octets`.
fn write16(octets: &mut [u8], at: usize, value: u16) -> bool {
    let place = octets.get_mut(at..).and_then(|o| o.first_chunk_mut::<2>());
    place.map(|place| *place = value.to_be_bytes()).is_some()
}

/// Whether the frame carries IPv4 or IPv6.
pub fn is_ip(frame: &[u8]) -> bool {
    matches!(ethertype(frame), Some((IPV4 | IPV6, _)))
}

/// The TOS octet or traffic class of the IP packet in the frame; 0 for other frames.
pub fn tos(frame: &[u8]) -> u8 {
    match ethertype(frame) {
        Some((IPV4, at)) => frame.get(at + 1).copied().unwrap_or(0),
        Some((IPV6, at)) => match frame.get(at..at + 2) {
            Some([first, second]) => (first << 4) | (second >> 4),
            _ => 0,
        },
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_passed_over() {
        let mut frame = vec![0; 12];
        frame.extend([0x88, 0xa8, 0, 5, 0x81, 0, 0, 6, 0x86, 0xdd, 0x6b, 0x8f]);
        assert_eq!(ethertype(&frame), Some((IPV6, 22)));
        assert_eq!(tos(&frame), 0xb8);
        assert!(is_ip(&frame));
        for cut in 0..22 {
            assert_eq!(ethertype(&frame[..cut]), None);
            assert!(!is_ip(&frame[..cut]));
            assert_eq!(tos(&frame[..cut]), 0);
        }
    }
}
