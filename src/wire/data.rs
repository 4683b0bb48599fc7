//! Data messages (RFC 3931 4.1, 4.6): session header, cookie, default L2-specific sublayer, sequence numbers.

use super::{Cookie, Encapsulation, SessionId};
use crate::saved::saved;

/// The longest header before an Ethernet frame: UDP's four octets, Session ID, cookie, sublayer.
pub const MAX_HEADER: usize = 20;

/// Octets of the default L2-specific sublayer.
pub const SUBLAYER_LENGTH: usize = 4;

/// What a data message over UDP begins with: T bit clear, version 3, 16 reserved bits (RFC 3931 4.1.2.1).
pub const UDP_FLAGS: [u8; 4] = [0, 3, 0, 0];

/// How many old numbers in a row, each one more than the one before, make the receiver start over with them
/// (RFC 3931 appendix C leaves the count open). Below it, the loss after a restart of the sender stays short; above
/// 1, a few late or repeated frames do not throw the receiver back.
pub const RESET_AFTER: u32 = 5;

/// Sequence numbers have 24 bits.
pub const SEQUENCE_MASK: u32 = 0x00ff_ffff;
/// Half of all sequence numbers: those this far ahead or more are old.
const HALF: u32 = 0x0080_0000;
/// S bit of the sublayer's first octet.
const S: u8 = 0x40;
/// Bit 0 of the sublayer's first octet: VCCV (RFC 5085).
const VCCV: u8 = 0x80;
/// Bits 2 and 3 of it: B, not the first fragment, and E, not the last one (RFC 4623 5.5).
const B: u8 = 0x20;
const E: u8 = 0x10;

/// How the data messages of one direction of a session are built.
#[derive(Debug, Clone, PartialEq, Eq)]
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
        self.header().1
    }

    /// The header, without a sequence number: ready to be copied before a frame. The sublayer, if any, is its
    /// last four octets and zero.
    pub fn header(&self) -> ([u8; MAX_HEADER], usize) {
        let flags: &[u8] = match self.encapsulation {
            Encapsulation::Ip => &[],
            Encapsulation::Udp => &UDP_FLAGS,
        };
        let sublayer: &[u8] = if self.sublayer { &[0; SUBLAYER_LENGTH] } else { &[] };
        let mut octets = [0; MAX_HEADER];
        let mut length = 0_usize;
        let parts = [flags, &self.session.0.to_be_bytes(), self.cookie.as_slice(), sublayer];
        for (to, from) in octets.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
            length = length.saturating_add(1);
        }
        (octets, length)
    }
}

/// The default L2-specific sublayer (RFC 3931 4.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sublayer {
    /// S bit: `sequence` counts.
    pub sequenced: bool,
    /// 24 bits.
    pub sequence: u32,
    /// Which part of a frame it is.
    pub part: Part,
    /// Bit 0 (VCCV, RFC 5085) is set: not for us.
    pub foreign: bool,
}

/// Which part of a frame a data message carries (RFC 4623 2, 5.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// Its beginning.
    First,
    /// Neither beginning nor end.
    Middle,
    /// Its end.
    Last,
}

impl Sublayer {
    /// Reads the four octets.
    pub fn from_octets(octets: [u8; 4]) -> Sublayer {
        let [flags, s0, s1, s2] = octets;
        Sublayer {
            sequenced: flags & S != 0,
            sequence: u32::from_be_bytes([0, s0, s1, s2]),
            part: match (flags & B != 0, flags & E != 0) {
                (false, false) => Part::Whole,
                (false, true) => Part::First,
                (true, true) => Part::Middle,
                (true, false) => Part::Last,
            },
            foreign: flags & VCCV != 0,
        }
    }

    /// The four octets of a sequenced frame.
    pub fn sequenced(sequence: u32) -> [u8; 4] {
        Sublayer::fragment(sequence, Part::Whole)
    }

    /// The four octets of a part of a frame.
    pub fn fragment(sequence: u32, part: Part) -> [u8; 4] {
        let [_, s0, s1, s2] = sequence.to_be_bytes();
        let bits = match part {
            Part::Whole => 0,
            Part::First => E,
            Part::Middle => B | E,
            Part::Last => B,
        };
        [S | bits, s0, s1, s2]
    }
}

/// The receiver's side of data sequencing (RFC 3931 4.6, appendix C).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReceiveSequence {
    expected: u32,
    last_old: Option<u32>,
    old_run: u32,
    /// The sender is somewhere: the first number tells where.
    anywhere: bool,
}
saved!(ReceiveSequence { expected, last_old, old_run, anywhere });

impl ReceiveSequence {
    /// That of a sender which numbers frames since before we began.
    pub fn anywhere() -> ReceiveSequence {
        ReceiveSequence { anywhere: true, ..ReceiveSequence::default() }
    }

    /// Whether a frame with this number may be delivered; moves the expected number on. A run of old numbers that
    /// are in sequence among themselves resets it: the sender has started over.
    pub fn accept(&mut self, sequence: u32) -> bool {
        let sequence = sequence & SEQUENCE_MASK;
        let ahead = sequence.wrapping_sub(self.expected) & SEQUENCE_MASK;
        if ahead >= HALF && !self.anywhere {
            let in_run = self.last_old.is_some_and(|last| next_sequence(last) == sequence);
            self.old_run = if in_run { self.old_run.saturating_add(1) } else { 1 };
            self.last_old = Some(sequence);
            if self.old_run < RESET_AFTER {
                return false;
            }
        }
        *self = ReceiveSequence { expected: next_sequence(sequence), ..ReceiveSequence::default() };
        true
    }
}

/// The sequence number after this one; zero is not skipped.
pub fn next_sequence(sequence: u32) -> u32 {
    sequence.wrapping_add(1) & SEQUENCE_MASK
}
