//! What a router would say to the sender of a packet that is too long for the way on: ICMP "fragmentation needed"
//! (RFC 792, RFC 1191 4) and ICMPv6 "packet too big" (RFC 4443 3.2). It goes back on behalf of the packet's destination,
//! by IP and by Ethernet, since a pseudowire has no address of its own there.

use super::checksum::{add, sum};
use super::packet::{self, Packet, Version};
use super::{write16, ETHERNET_HEADER};

/// Octets of the longest answer: an IPv6 packet of 1280 octets, two tags, the Ethernet header.
pub const LONGEST: usize = 1280 + 2 * 4 + ETHERNET_HEADER;

const ICMP: u8 = 1;
const ICMP_V6: u8 = 58;
/// RFC 1812 4.3.2.3: an error is at most so long, with all its headers.
const LONGEST_V4: usize = 576;
/// RFC 4443 2.4 (c). It is also the least MTU of IPv6 (RFC 8200 5): no host goes below it.
const LEAST_V6: usize = 1280;
/// RFC 1191 3: the least MTU of IPv4.
const LEAST_V4: usize = 68;

/// Writes the frame that tells its sender to `to`; its length. `None`: he cannot be told.
pub fn tell(frame: &[u8], longest: usize, to: &mut [u8]) -> Option<usize> {
    let (packet, mtu) = judge(frame, longest)?;
    let (source, destination) =
        packet.addresses(frame).split_at_checked(packet.addresses(frame).len() / 2)?;
    let (before, most) = match packet.version {
        Version::V4 => (20, LONGEST_V4),
        Version::V6 => (40, LEAST_V6),
    };
    let icmp = packet.ip + before;
    let quoted = frame.get(packet.ip..packet.end.min(packet.ip + most - before - 8))?;
    let end = icmp + 8 + quoted.len();
    let to = to.get_mut(..end)?;
    to.fill(0);
    to.get_mut(..packet.ip)?.copy_from_slice(frame.get(..packet.ip)?);
    to.get_mut(..6)?.copy_from_slice(frame.get(6..12)?);
    to.get_mut(6..12)?.copy_from_slice(frame.get(..6)?);
    to.get_mut(icmp + 8..)?.copy_from_slice(quoted);
    let length = u16::try_from(end - packet.ip).ok()?;
    match packet.version {
        Version::V4 => {
            // Type 3, code 4; the MTU stands in the last two octets of the header.
            to.get_mut(icmp..)?.first_chunk_mut::<2>()?.copy_from_slice(&[3, 4]);
            write16(to, icmp + 6, mtu);
            let value = !sum(to.get(icmp..)?);
            write16(to, icmp + 2, value);
            let header = to.get_mut(packet.ip..icmp)?;
            header.first_chunk_mut::<12>()?.copy_from_slice(&[0x45, 0, 0, 0, 0, 0, 0, 0, 64, ICMP, 0, 0]);
            write16(header, 2, length);
            header.get_mut(12..16)?.copy_from_slice(destination);
            header.get_mut(16..20)?.copy_from_slice(source);
            let value = !sum(header);
            write16(header, 10, value);
        }
        Version::V6 => {
            to.get_mut(icmp..)?.first_chunk_mut::<2>()?.copy_from_slice(&[2, 0]);
            write16(to, icmp + 6, mtu);
            let header = to.get_mut(packet.ip..icmp)?;
            header.first_chunk_mut::<8>()?.copy_from_slice(&[0x60, 0, 0, 0, 0, 0, ICMP_V6, 64]);
            write16(header, 4, length - 40);
            header.get_mut(8..24)?.copy_from_slice(destination);
            header.get_mut(24..40)?.copy_from_slice(source);
            // RFC 8200 8.1: the addresses, the length and the protocol are in the sum.
            let pseudo = add(sum(packet.addresses(frame)), add(length - 40, u16::from(ICMP_V6)));
            let value = !add(pseudo, sum(to.get(icmp..)?));
            write16(to, icmp + 2, value);
        }
    }
    Some(end)
}

/// The packet in the frame, and the MTU that its sender is to be told; `None` if nobody is to be told anything
/// (RFC 1122 3.2.2, RFC 4443 2.4).
fn judge(frame: &[u8], longest: usize) -> Option<(Packet, u16)> {
    // The bits of the group addresses.
    if (frame.first()? | frame.get(6)?) & 1 != 0 {
        return None;
    }
    let packet = packet::parse_super_frame(frame)?;
    let mtu = longest.checked_sub(packet.ip)?;
    let kind = *frame.get(packet.transport)?;
    let tells = match packet.version {
        Version::V4 => {
            let flags = *frame.get(packet.ip + 6)?;
            let dont_fragment = flags & 0x40 != 0;
            let later_fragment = flags & 0x1f != 0 || *frame.get(packet.ip + 7)? != 0;
            let an_error = packet.protocol == ICMP && matches!(kind, 3 | 4 | 5 | 11 | 12);
            dont_fragment && !later_fragment && !an_error && mtu >= LEAST_V4
        }
        Version::V6 => {
            let an_error = packet.protocol == ICMP_V6 && !packet.is_fragment && kind < 128;
            !an_error && mtu >= LEAST_V6
        }
    };
    let one_host = match (packet.version, packet.addresses(frame)) {
        (Version::V4, [s, _, _, _, d, ..]) => !matches!(s, 0 | 127 | 224..) && !matches!(d, 0 | 127 | 224..),
        (Version::V6, all) => {
            let (source, destination) = all.split_at_checked(16)?;
            source != [0; 16] && source.first() != Some(&0xff) && destination.first() != Some(&0xff)
        }
        (Version::V4, _) => false,
    };
    (tells && one_host).then_some((packet, u16::try_from(mtu).unwrap_or(u16::MAX)))
}

#[cfg(test)]
mod tests {
    use super::super::checksum::naive;
    use super::*;

    const MACS: [u8; 12] = [2, 0, 0, 0, 0, 0xd, 2, 0, 0, 0, 0, 0x5];

    fn v4(tags: &[u8], flags: u8, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let length = (20 + payload.len()) as u16;
        let mut frame = [&MACS[..], tags, &[8, 0, 0x45, 0]].concat();
        frame.extend(length.to_be_bytes());
        frame.extend([1, 2, flags, 0, 64, protocol, 0, 0, 192, 0, 2, 5, 198, 51, 100, 13]);
        frame.extend(payload);
        frame
    }

    fn v6(protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = [&MACS[..], &[0x86, 0xdd, 0x60, 0, 0, 0]].concat();
        frame.extend((payload.len() as u16).to_be_bytes());
        frame.extend([protocol, 64]);
        for last in [5, 13] {
            frame.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
        }
        frame.extend(payload);
        frame
    }

    fn answer(frame: &[u8], longest: usize) -> Option<Vec<u8>> {
        let mut to = vec![0xee; LONGEST];
        let told = tell(frame, longest, &mut to);
        assert_eq!(told.is_some(), judge(frame, longest).is_some());
        told.map(|length| to[..length].to_vec())
    }

    #[test]
    fn the_sender_of_an_ipv4_packet_is_told_the_mtu() {
        for tags in [&[][..], &[0x81, 0, 0, 7], &[0x88, 0xa8, 0, 5, 0x81, 0, 0, 7]] {
            let frame = v4(tags, 0x40, 17, &[0xab; 1480]);
            let told = answer(&frame, 1400 + 14 + tags.len()).unwrap();
            let ip = 14 + tags.len();
            assert_eq!(told.len(), ip + 576);
            assert_eq!(told[..12], [2, 0, 0, 0, 0, 0x5, 2, 0, 0, 0, 0, 0xd]);
            assert_eq!(told[12..ip], frame[12..ip], "the same tags");
            assert_eq!(told[ip + 2..ip + 4], 576u16.to_be_bytes());
            assert_eq!(told[ip + 9], ICMP);
            assert_eq!(told[ip + 12..ip + 20], [198, 51, 100, 13, 192, 0, 2, 5]);
            assert_eq!(naive::sum(&told[ip..ip + 20]), 0xffff);
            assert_eq!(told[ip + 20..ip + 22], [3, 4]);
            assert_eq!(told[ip + 24..ip + 28], [0, 0, 0x05, 0x78], "1400");
            assert_eq!(naive::sum(&told[ip + 20..]), 0xffff);
            assert_eq!(told[ip + 28..], frame[ip..ip + 548]);
        }
    }

    #[test]
    fn the_sender_of_an_ipv6_packet_is_told_the_mtu() {
        let frame = v6(6, &[0xcd; 1461]);
        let told = answer(&frame, 1400 + 14).unwrap();
        assert_eq!(told.len(), 14 + 1280);
        assert_eq!(told[14 + 4..14 + 8], [0x04, 0xd8, ICMP_V6, 64], "1240 octets");
        assert_eq!((told[14 + 23], told[14 + 39]), (13, 5));
        assert_eq!(told[54..56], [2, 0]);
        assert_eq!(told[58..62], 1400u32.to_be_bytes());
        let mut summed = told[14 + 8..54].to_vec();
        summed.extend([0, 0, 0x04, 0xd8, 0, 0, 0, ICMP_V6]);
        summed.extend(&told[54..]);
        assert_eq!(naive::sum(&summed), 0xffff);
        assert_eq!(told[62..], frame[14..14 + 1232]);
    }

    #[test]
    fn a_short_packet_is_quoted_whole() {
        let frame = v4(&[], 0x40, 17, &[1; 101]);
        let told = answer(&frame, 14 + 100).unwrap();
        assert_eq!(told.len(), 14 + 28 + 121);
        assert_eq!(naive::sum(&told[34..]), 0xffff, "an odd length too");
    }

    #[test]
    fn nobody_is_told_who_must_not_be() {
        let good = v4(&[], 0x40, 17, &[1; 500]);
        assert!(answer(&good, 414).is_some());
        let changed = |at: usize, value: u8| {
            let mut frame = good.clone();
            frame[at] = value;
            frame
        };
        for (at, value, what) in [
            (0, 3, "to a group"),
            (6, 3, "from a group"),
            (20, 0, "may be fragmented"),
            (21, 1, "a later fragment"),
            (20, 0x41, "a later fragment"),
            (26, 0, "no source"),
            (26, 224, "a multicast source"),
            (26, 127, "a loopback source"),
            (30, 255, "to all"),
            (30, 239, "to a group"),
            (13, 6, "not IP"),
            (14, 0x65, "another version"),
        ] {
            assert_eq!(answer(&changed(at, value), 414), None, "{what}");
        }
        for kind in [3, 4, 5, 11, 12] {
            assert_eq!(answer(&v4(&[], 0x40, ICMP, &[kind; 500]), 414), None);
        }
        assert!(answer(&v4(&[], 0x40, ICMP, &[8; 500]), 414).is_some(), "an echo request");
        assert_eq!(answer(&good, 14 + 67), None, "an MTU that IPv4 does not have");
        let good = v6(17, &[1; 1400]);
        assert!(answer(&good, 14 + 1280).is_some());
        assert_eq!(answer(&good, 14 + 1279), None, "an MTU that IPv6 does not have");
        assert_eq!(answer(&v6(ICMP_V6, &[127; 1400]), 1294), None);
        assert!(answer(&v6(ICMP_V6, &[128; 1400]), 1294).is_some());
        let mut group = good.clone();
        group[38] = 0xff;
        assert_eq!(answer(&group, 1294), None);
        for cut in 0..60 {
            assert!(answer(&good[..cut], 1294).is_none_or(|told| told.len() <= LONGEST));
        }
    }
}
