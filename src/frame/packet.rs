//! Where the headers of a TCP or UDP packet lie in an Ethernet frame. Always walked from the Ethernet header on:
//! VLAN tags, IPv4 options and IPv6 extension headers shift everything after them.

use super::{ethertype, read16, IPV4, IPV6};

/// IP protocol number of TCP.
pub const TCP: u8 = 6;
/// IP protocol number of UDP.
pub const UDP: u8 = 17;

/// The version of the IP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// The places of the headers, counted from the start of the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// IPv4 or IPv6.
    pub version: Version,
    /// The IP header.
    pub ip: usize,
    /// The TCP or UDP header.
    pub transport: usize,
    /// [`TCP`], [`UDP`] or another protocol.
    pub protocol: u8,
    /// The end of the packet by the IP header's length; the frame may have padding after it.
    pub end: usize,
    /// Options or extension headers are between the IP header and the transport header.
    pub has_options: bool,
    /// It is a fragment (the first one or another one).
    pub is_fragment: bool,
}

/// Finds the headers; `None` for frames without a whole IP packet.
pub fn parse(frame: &[u8]) -> Option<Packet> {
    match ethertype(frame)? {
        (IPV4, ip) => {
            let length = usize::from(read16(frame, ip + 2)?);
            parse_v4(frame, ip, ip + length)
        }
        (IPV6, ip) => {
            let length = usize::from(read16(frame, ip + 4)?);
            parse_v6(frame, ip, ip + 40 + length)
        }
        _ => None,
    }
}

/// As [`parse`], for a super-frame: whatever its IP header says, it ends where the frame ends.
pub fn parse_super_frame(frame: &[u8]) -> Option<Packet> {
    match ethertype(frame)? {
        (IPV4, ip) => parse_v4(frame, ip, frame.len()),
        (IPV6, ip) => parse_v6(frame, ip, frame.len()),
        _ => None,
    }
}

fn parse_v4(frame: &[u8], ip: usize, end: usize) -> Option<Packet> {
    let header = frame.get(ip..)?.first_chunk::<20>()?;
    let length = usize::from(header[0] & 0x0f) * 4;
    let transport = ip + length;
    if header[0] >> 4 != 4 || length < 20 || transport > end || end > frame.len() {
        return None;
    }
    Some(Packet {
        version: Version::V4,
        ip,
        transport,
        protocol: header[9],
        end,
        has_options: length > 20,
        is_fragment: u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0,
    })
}

fn parse_v6(frame: &[u8], ip: usize, end: usize) -> Option<Packet> {
    let header = frame.get(ip..)?.first_chunk::<40>()?;
    let mut transport = ip + 40;
    if header[0] >> 4 != 6 || end > frame.len() {
        return None;
    }
    let mut protocol = header[6];
    let mut is_fragment = false;
    // RFC 8200 4: hop-by-hop, routing, fragment, authentication, destination options.
    while let 0 | 43 | 44 | 51 | 60 = protocol {
        let extension = frame.get(transport..end)?.first_chunk::<8>()?;
        transport += match protocol {
            44 => 8,
            51 => (usize::from(extension[1]) + 2) * 4,
            _ => (usize::from(extension[1]) + 1) * 8,
        };
        is_fragment |= protocol == 44;
        protocol = extension[0];
    }
    if transport > end {
        return None;
    }
    let has_options = transport > ip + 40;
    Some(Packet { version: Version::V6, ip, transport, protocol, end, has_options, is_fragment })
}

impl Packet {
    /// The source and destination addresses.
    pub fn addresses<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        let range = match self.version {
            Version::V4 => self.ip + 12..self.ip + 20,
            Version::V6 => self.ip + 8..self.ip + 40,
        };
        frame.get(range).unwrap_or_default()
    }

    /// The source and destination ports.
    pub fn ports<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        frame.get(self.transport..self.transport + 4).unwrap_or_default()
    }

    /// The sum of the pseudo-header (RFC 9293 3.1, RFC 8200 8.1) for a transport header and payload of `length`
    /// octets.
    pub fn pseudo_sum(&self, frame: &[u8], length: usize) -> u16 {
        let rest = super::checksum::add(u16::from(self.protocol), length as u16);
        super::checksum::add(super::checksum::sum(self.addresses(frame)), rest)
    }

    /// The end of the transport header; `None` if it does not end within the packet, or is of another protocol.
    pub fn payload(&self, frame: &[u8]) -> Option<usize> {
        let length = match self.protocol {
            TCP => usize::from(read16(frame, self.transport + 12)? >> 12) * 4,
            UDP => 8,
            _ => return None,
        };
        let minimum = if self.protocol == TCP { 20 } else { 8 };
        let payload = self.transport + length;
        (length >= minimum && payload <= self.end).then_some(payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_tags_options_and_extensions() {
        let mut v4 = vec![0; 12];
        v4.extend([0x81, 0, 0, 9, 8, 0]);
        v4.extend([0x46, 0, 0, 24 + 8 + 3, 0, 0, 0x20, 0, 64, UDP, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1, 1, 0]);
        v4.extend([0; 8 + 3 + 5]);
        let packet = parse(&v4).unwrap();
        assert_eq!((packet.ip, packet.transport, packet.end), (18, 42, 42 + 11));
        assert!(packet.has_options && packet.is_fragment);
        assert_eq!(packet.addresses(&v4), [1, 2, 3, 4, 5, 6, 7, 8]);

        let mut v6 = vec![0; 12];
        v6.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 16 + 20, 60, 64]);
        v6.extend([7; 32]);
        v6.extend([TCP, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        v6.extend([0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0, 0, 0, 0, 0, 0, 0]);
        let packet = parse(&v6).unwrap();
        assert_eq!((packet.ip, packet.transport, packet.end), (14, 70, 90));
        assert_eq!((packet.protocol, packet.has_options, packet.is_fragment), (TCP, true, false));
        assert_eq!(packet.payload(&v6), Some(90));
        for frame in [v4, v6] {
            for cut in 0..frame.len() - 5 {
                assert_eq!(parse(&frame[..cut]), None);
            }
            for at in 12..frame.len() {
                for value in 0..=255 {
                    let mut changed = frame.clone();
                    changed[at] = value;
                    if let Some(packet) = parse(&changed) {
                        assert!(packet.transport <= packet.end && packet.end <= changed.len());
                        packet.payload(&changed);
                    }
                }
            }
        }
    }
}
