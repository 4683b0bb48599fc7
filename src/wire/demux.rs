//! Is it control or data? Over IP the Session ID decides (RFC 3931 4.1.1), over UDP the T bit (4.1.2).

use super::read::Reader;

/// What a datagram holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet<'a> {
    /// A control message, from the T bit on.
    Control(&'a [u8]),
    /// A data message, from the Session ID on.
    Data(&'a [u8]),
    /// Too short to be either.
    Short,
    /// Over UDP: a data message of another version.
    OtherVersion(u8),
}

/// The four zero octets before a control message over IP (RFC 3931 4.1.1.2).
pub const IP_CONTROL_PREFIX: [u8; 4] = [0; 4];

/// Looks at the payload of an IP packet of protocol 115.
pub fn from_ip(payload: &[u8]) -> Packet<'_> {
    let mut reader = Reader::new(payload);
    match reader.array() {
        None => Packet::Short,
        Some(IP_CONTROL_PREFIX) => Packet::Control(reader.rest()),
        Some(_) => Packet::Data(payload),
    }
}

/// Looks at the payload of a UDP datagram.
pub fn from_udp(payload: &[u8]) -> Packet<'_> {
    let mut reader = Reader::new(payload);
    let Some(flags) = reader.u16() else { return Packet::Short };
    if flags & 0x8000 != 0 {
        return Packet::Control(payload);
    }
    // RFC 3931 4.1.2.1: the version comes before any other bit; the rest of the four octets is ignored.
    let version = flags.to_be_bytes()[1] & 0x0f;
    if version != 3 {
        return Packet::OtherVersion(version);
    }
    match reader.u16() {
        Some(_) if reader.remaining() >= 4 => Packet::Data(reader.rest()),
        _ => Packet::Short,
    }
}
