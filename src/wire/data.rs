//! Data messages (RFC 3931 4.1, 4.6): session header, cookie, default L2-specific sublayer, sequence numbers.

use super::{Cookie, Encapsulation, SessionId};

/// The longest header before an Ethernet frame: UDP's four octets, Session ID, cookie, sublayer.
pub const MAX_HEADER: usize = 20;

/// How the data messages of one direction of a session are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// Over UDP four octets (flags, version, reserved) come first.
    pub encapsulation: Encapsulation,
    /// The id that the receiver assigned.
    pub session: SessionId,
    /// The cookie that the receiver assigned.
    pub cookie: Cookie,
    /// The default L2-specific sublayer is there.
    pub sublayer: bool,
}

impl Format {
    /// Octets before the frame.
    pub fn header_length(&self) -> usize {
        todo!()
    }

    /// The header, without a sequence number: ready to be copied before a frame. The sublayer, if any, is its
    /// last four octets and zero.
    pub fn header(&self) -> ([u8; MAX_HEADER], usize) {
        todo!()
    }
}

/// The default L2-specific sublayer (RFC 3931 4.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sublayer {
    /// S bit: `sequence` counts.
    pub sequenced: bool,
    /// 24 bits.
    pub sequence: u32,
    /// Bit 0 (VCCV, RFC 5085) or bits 2, 3 (fragments, RFC 4623) are set: not for us.
    pub foreign: bool,
}

impl Sublayer {
    /// Reads the four octets.
    pub fn from_octets(octets: [u8; 4]) -> Sublayer {
        let _ = octets;
        todo!()
    }

    /// The four octets of a sequenced frame.
    pub fn sequenced(sequence: u32) -> [u8; 4] {
        let _ = sequence;
        todo!()
    }
}

/// The receiver's side of data sequencing (RFC 3931 4.6, appendix C).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReceiveSequence {
    expected: u32,
    last_old: Option<u32>,
    old_run: u32,
}

impl ReceiveSequence {
    /// Whether a frame with this number may be delivered; moves the expected number on. A run of old numbers that
    /// are in sequence among themselves resets it: the sender has started over.
    pub fn accept(&mut self, sequence: u32) -> bool {
        let _ = (sequence, self.expected, self.last_old, self.old_run);
        todo!()
    }
}
