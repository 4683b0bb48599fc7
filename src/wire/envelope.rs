//! Is it control or data? Over IP the Session ID decides (RFC 3931 4.1.1), over UDP the T bit (4.1.2).

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
    let _ = payload;
    todo!()
}

/// Looks at the payload of a UDP datagram.
pub fn from_udp(payload: &[u8]) -> Packet<'_> {
    let _ = payload;
    todo!()
}
