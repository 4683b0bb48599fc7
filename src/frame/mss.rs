//! `tcp-mss`: lowers the Maximum Segment Size that the ends of a TCP connection tell each other (RFC 9293 3.7.1),
//! so that their segments fit the pseudowire. Never raises it, and adds none.

use super::checksum::update;
use super::packet::{self, Version, TCP};
use super::{read16, write16, ETHERNET_HEADER};

const SYN: u16 = 0x02;
const OPTION_END: u8 = 0;
const OPTION_NOTHING: u8 = 1;
const OPTION_MSS: u8 = 2;

/// The largest segment to be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// This many octets.
    Octets(u16),
    /// What fits an interface of this MTU.
    Mtu(usize),
}

/// Lowers the MSS of a SYN; whether it did. `unfinished`: the checksum is still to be computed.
pub fn clamp(frame: &mut [u8], limit: Limit, unfinished: bool) -> bool {
    clamp_option(frame, limit, unfinished).is_some()
}

fn clamp_option(frame: &mut [u8], limit: Limit, unfinished: bool) -> Option<()> {
    let packet = packet::parse(frame).filter(|p| p.protocol == TCP && !p.is_fragment)?;
    let transport = packet.transport;
    if read16(frame, transport + 12)? & SYN == 0 {
        return None;
    }
    let end = packet.payload(frame)?;
    let at = mss_option(frame.get(..end)?, transport + 20)?;
    let limit = match limit {
        Limit::Octets(octets) => octets,
        Limit::Mtu(mtu) => {
            let tags = packet.ip - ETHERNET_HEADER;
            let headers = 20 + if packet.version == Version::V4 { 20 } else { 40 };
            u16::try_from(mtu.saturating_sub(tags + headers)).unwrap_or(u16::MAX)
        }
    };
    let old = read16(frame, at)?;
    if old <= limit {
        return None;
    }
    write16(frame, at, limit);
    if !unfinished {
        let checksum = read16(frame, transport + 16)?;
        // An option may begin at any octet: where it does not lie on a word of the sum, its octets change places.
        let (old, new) = match (at - transport) % 2 {
            0 => (old, limit),
            _ => (old.swap_bytes(), limit.swap_bytes()),
        };
        write16(frame, transport + 16, update(checksum, old, new));
    }
    Some(())
}

/// Where the value of the MSS option stands in the options that begin at `at`.
fn mss_option(headers: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *headers.get(at)? {
            OPTION_END => return None,
            OPTION_NOTHING => at += 1,
            kind => {
                let length = usize::from(*headers.get(at + 1)?);
                if kind == OPTION_MSS && length == 4 && at + 4 <= headers.len() {
                    return Some(at + 2);
                }
                // A length below 2 would go round for ever.
                at += length.max(2);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::checksum::naive;
    use super::*;

    /// A SYN with these options and a right checksum.
    fn syn(tags: &[u8], v6: bool, options: &[u8]) -> Vec<u8> {
        let mut frame = vec![0x02; 12];
        frame.extend(tags);
        let ip = frame.len() + 2;
        let length = 20 + options.len();
        if v6 {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, length as u8, TCP, 64]);
            frame.extend([9; 32]);
        } else {
            frame.extend([8, 0, 0x45, 0, 0, 20 + length as u8, 0, 0, 0, 0, 64, TCP, 0, 0]);
            frame.extend([9; 8]);
        }
        let transport = frame.len();
        frame.extend([
            0,
            80,
            1,
            2,
            3,
            4,
            5,
            6,
            0,
            0,
            0,
            0,
            (length as u8 / 4) << 4,
            2,
            0xff,
            0xff,
            0,
            0,
            0,
            0,
        ]);
        frame.extend(options);
        let sum = !transport_sum(&frame, ip, transport, v6);
        frame[transport + 16..transport + 18].copy_from_slice(&sum.to_be_bytes());
        frame
    }

    /// 0xffff when the checksum is right.
    fn transport_sum(frame: &[u8], ip: usize, transport: usize, v6: bool) -> u16 {
        let mut octets = if v6 { frame[ip + 8..ip + 40].to_vec() } else { frame[ip + 12..ip + 20].to_vec() };
        octets.extend([0, TCP]);
        octets.extend(((frame.len() - transport) as u16).to_be_bytes());
        octets.extend(&frame[transport..]);
        naive::sum(&octets)
    }

    #[test]
    fn lowers_and_keeps_the_checksum_right() {
        let tag = [0x81, 0, 0, 5];
        for (tags, v6) in [(&[][..], false), (&tag, false), (&[], true), (&tag, true)] {
            for options in [&[2, 4, 5, 0xb4][..], &[1, 2, 4, 5, 0xb4, 1, 1, 0], &[4, 2, 1, 2, 4, 5, 0xb4, 0]]
            {
                let original = syn(tags, v6, options);
                let ip = 14 + tags.len();
                let transport = ip + if v6 { 40 } else { 20 };
                let mut frame = original.clone();
                assert!(clamp(&mut frame, Limit::Octets(1200), false));
                assert_eq!(transport_sum(&frame, ip, transport, v6), 0xffff);
                assert_eq!(frame.windows(4).filter(|w| w == &[2, 4, 4, 0xb0]).count(), 1);
                assert!(!clamp(&mut frame, Limit::Octets(1300), false), "never raised");

                let mut frame = original.clone();
                let expected = 1400 - tags.len() - (transport - ip) - 20;
                assert!(clamp(&mut frame, Limit::Mtu(1400), false));
                let at = frame.windows(2).rposition(|w| w == (expected as u16).to_be_bytes());
                assert!(at.is_some_and(|at| at > transport), "{expected}");
            }
        }
    }

    #[test]
    fn leaves_other_frames_alone() {
        for options in [&[][..], &[0, 2, 4, 5, 0xb4, 0, 0, 0], &[2, 3, 5, 0xb4], &[3, 0, 2, 0], &[8, 0, 0, 2]]
        {
            let original = syn(&[], false, options);
            let mut frame = original.clone();
            assert!(!clamp(&mut frame, Limit::Octets(500), false), "{options:?}");
            assert_eq!(frame, original);
        }
        let mut ack = syn(&[], false, &[2, 4, 5, 0xb4]);
        ack[14 + 20 + 13] = 0x10;
        assert!(!clamp(&mut ack, Limit::Octets(500), false));
        let mut fragment = syn(&[], false, &[2, 4, 5, 0xb4]);
        fragment[14 + 6] = 0x20;
        assert!(!clamp(&mut fragment, Limit::Octets(500), false), "more of it follows");
    }
}
