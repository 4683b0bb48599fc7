//! The control message header (RFC 3931 3.2.1).

use super::read::Reader;
use super::Ccid;
use crate::saved::saved;

/// Octets of a control message header.
pub const LENGTH: usize = 12;

/// The first two octets of every control message that we send: T, L and S set, version 3.
pub const FLAGS: u16 = T | L | S | 3;

const T: u16 = 0x8000;
const L: u16 = 0x4000;
const S: u16 = 0x0800;

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
saved!(
    enum HeaderError {
        Short(value),
        NoT,
        Version(value),
        NoL,
        NoS,
        Length(value),
    }
);

/// Reads the header and cuts the message to its Length. With `allow_version_2` (over UDP) a version of 2 passes
/// (RFC 3931 4.7.3); its CCID field then holds Tunnel ID and Session ID.
pub fn parse(message: &[u8], allow_version_2: bool) -> Result<(Header, &[u8]), HeaderError> {
    let short = HeaderError::Short(message.len());
    let mut reader = Reader::new(message);
    let flags = reader.u16().ok_or(short)?;
    let length = usize::from(reader.u16().ok_or(short)?);
    let ccid = Ccid(reader.u32().ok_or(short)?);
    let ns = reader.u16().ok_or(short)?;
    let nr = reader.u16().ok_or(short)?;
    let version = flags.to_be_bytes()[1] & 0x0f;

    // RFC 3931 3.2.1: reserved bits are ignored.
    if flags & T == 0 {
        return Err(HeaderError::NoT);
    }
    if !(version == 3 || version == 2 && allow_version_2) {
        return Err(HeaderError::Version(version));
    }
    if flags & L == 0 {
        return Err(HeaderError::NoL);
    }
    if flags & S == 0 {
        return Err(HeaderError::NoS);
    }
    // What stands beyond Length is not ours (Ethernet padding, for one).
    match message.get(..length) {
        Some(cut) if length >= LENGTH => Ok((Header { ccid, ns, nr, version }, cut)),
        _ => Err(HeaderError::Length(length)),
    }
}

/// Writes CCID, Ns and Nr into a message. Does nothing if it is shorter than a header.
pub fn stamp(message: &mut [u8], ccid: Ccid, ns: u16, nr: u16) {
    if let Some([_, _, _, _, c0, c1, c2, c3, s0, s1, r0, r1]) = message.first_chunk_mut::<LENGTH>() {
        [*c0, *c1, *c2, *c3] = ccid.0.to_be_bytes();
        [*s0, *s1] = ns.to_be_bytes();
        [*r0, *r1] = nr.to_be_bytes();
    }
}
