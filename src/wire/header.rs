//! The control message header (RFC 3931 3.2.1).

use super::Ccid;

/// Octets of a control message header.
pub const LENGTH: usize = 12;

/// The fields of a control message header that matter to the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Control Connection ID: the receiver's.
    pub ccid: Ccid,
    /// Sequence number of this message.
    pub ns: u16,
    /// Sequence number expected next.
    pub nr: u16,
    /// The version field: 3, or 2 where the caller allows it.
    pub version: u8,
}

/// Why a header cannot be used. The order of the checks is that of the variants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderError {
    /// Fewer than 12 octets.
    Short(usize),
    /// The T bit is not set.
    NoT,
    /// The version is not 3.
    Version(u8),
    /// The L bit is not set.
    NoL,
    /// The S bit is not set.
    NoS,
    /// The Length field is below 12 or beyond the datagram.
    Length(usize),
}

/// Reads the header and cuts the message to its Length. With `allow_version_2` (over UDP) a version of 2 passes
/// (RFC 3931 4.7.3); its CCID field then holds Tunnel ID and Session ID.
pub fn parse(message: &[u8], allow_version_2: bool) -> Result<(Header, &[u8]), HeaderError> {
    let _ = (message, allow_version_2);
    todo!()
}

/// Writes CCID, Ns and Nr into a message. Does nothing if it is shorter than a header.
pub fn stamp(message: &mut [u8], ccid: Ccid, ns: u16, nr: u16) {
    let _ = (message, ccid, ns, nr);
    todo!()
}
