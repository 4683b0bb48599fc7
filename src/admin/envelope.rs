//! The envelope of requests and replies: a header of 12 octets, then as many octets as it says. All numbers are
//! in network byte order.
//!
//! ```text
//!  0       4         6         8        12
//!  | magic | version | command | length | length octets ...
//! ```
//!
//! A connection carries one request and then its reply; a long reply and that of a stream are sequences of envelopes. A length
//! beyond the limit is never believed: nothing is allocated for it, and the connection is closed.

use std::fmt;

/// The first four octets of every envelope.
pub const MAGIC: [u8; 4] = *b"L2AD";
/// The version of this protocol.
pub const VERSION: u16 = 1;
/// Octets of a header.
pub const HEADER: usize = 12;
/// The most octets after the header of a request.
pub const MAX_REQUEST: usize = 64 * 1024;
/// The most octets after the header of a reply; a longer one is sent in pieces.
pub const MAX_REPLY: usize = 4 * 1024 * 1024;

/// What a reply is: its `command` field.
pub mod reply {
    /// Done; the body is to be shown. `l2tpctl` exits with 0.
    pub const DONE: u16 = 0x8000;
    /// Refused, or not found; the body says why. `l2tpctl` exits with 1.
    pub const REFUSED: u16 = 0x8001;
    /// The request was not understood; the body says what is possible. `l2tpctl` exits with 2.
    pub const USAGE: u16 = 0x8002;
    /// The daemon serves as many clients as it can. `l2tpctl` exits with 3.
    pub const BUSY: u16 = 0x8003;
    /// A piece of a stream, or of a long reply; more envelopes follow.
    pub const PIECE: u16 = 0x8004;
    /// As [`DONE`], and something that is shown and enabled is not up. `l2tpctl` exits with 4.
    pub const DOWN: u16 = 0x8005;
}

/// Why octets are not a header of this protocol. Each is answered by closing the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnvelopeError {
    /// The first octets are not [`MAGIC`].
    Magic,
    /// Another version of the protocol.
    Version(u16),
    /// More octets announced than the limit allows.
    TooLong {
        /// What the header says.
        length: usize,
        /// Octets that are allowed: [`MAX_REQUEST`] or [`MAX_REPLY`].
        limit: usize,
    },
    /// The connection ended too early: the octets that came.
    Short(usize),
    /// Octets after the only request of a connection.
    Trailing(usize),
}

impl fmt::Display for EnvelopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EnvelopeError::Magic => f.write_str("the header does not begin with L2AD"),
            EnvelopeError::Version(version) => write!(f, "version {version} received, {VERSION} expected"),
            EnvelopeError::TooLong { length, limit } => {
                write!(f, "length {length} received, at most {limit} allowed")
            }
            EnvelopeError::Short(octets) => {
                write!(f, "the connection ended after {octets} octets of a request")
            }
            EnvelopeError::Trailing(octets) => write!(f, "{octets} octets after the request"),
        }
    }
}

/// An envelope that was taken from the front of a buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The number of a command, or what a reply is.
    pub command: u16,
    /// What follows the header.
    pub body: Vec<u8>,
}

/// Appends an envelope to `out`. A body longer than the field can say is cut (no caller makes one: see [`MAX_REPLY`]).
pub fn put(out: &mut Vec<u8>, command: u16, body: &[u8]) {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_be_bytes());
    out.extend_from_slice(&command.to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(body.get(..length as usize).unwrap_or(body));
}

/// The envelope as octets.
pub fn encode(command: u16, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER + body.len());
    put(&mut out, command, body);
    out
}

/// Command and length of the header that `buffer` begins with, or `None` while it is not complete. The header is
/// judged octet by octet as it arrives: what cannot become a header any more is refused at once.
pub fn header(buffer: &[u8], limit: usize) -> Result<Option<(u16, usize)>, EnvelopeError> {
    if buffer.iter().zip(MAGIC).any(|(have, want)| *have != want) {
        return Err(EnvelopeError::Magic);
    }
    let Some((head, _)) = buffer.split_first_chunk::<HEADER>() else {
        return Ok(None);
    };
    let [_, _, _, _, v1, v0, c1, c0, length @ ..] = *head;
    let version = u16::from_be_bytes([v1, v0]);
    if version != VERSION {
        return Err(EnvelopeError::Version(version));
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > limit {
        return Err(EnvelopeError::TooLong { length, limit });
    }
    Ok(Some((u16::from_be_bytes([c1, c0]), length)))
}

/// Takes one envelope from the front of `buffer`; `None` while it is not complete.
pub fn take(buffer: &mut Vec<u8>, limit: usize) -> Result<Option<Envelope>, EnvelopeError> {
    let Some((command, length)) = header(buffer, limit)? else {
        return Ok(None);
    };
    let Some(body) = buffer.get(HEADER..HEADER + length) else {
        return Ok(None);
    };
    let envelope = Envelope { command, body: body.to_vec() };
    buffer.drain(..HEADER + length);
    Ok(Some(envelope))
}

/// The body of a request: each word, then a zero octet.
pub fn words_to_body(words: &[String]) -> Vec<u8> {
    let mut body = Vec::new();
    for word in words {
        body.extend(word.bytes().filter(|octet| *octet != 0));
        body.push(0);
    }
    body
}

/// The words of a request's body; `None` if it does not end with a zero octet or is not UTF-8.
pub fn body_to_words(body: &[u8]) -> Option<Vec<String>> {
    let Some((last, words)) = body.split_last() else {
        return Some(Vec::new());
    };
    if *last != 0 {
        return None;
    }
    words.split(|octet| *octet == 0).map(|word| String::from_utf8(word.to_vec()).ok()).collect()
}
