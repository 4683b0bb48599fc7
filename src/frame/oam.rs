//! Frames of our own in a session, of the Ethertype for local experiments (IEEE 802): what asks the other end for an
//! answer, and what finds loops. Version 1:
//!
//! ```text
//!  0             6          12     14      18        19     20           28       32        60
//!  | destination | source   | 88b5 | L2TP  | version | kind | identifier | number | zeros   |
//! ```
//!
//! A request and its answer go to the address that no bridge forwards, so that they reach no LAN, whatever the peer is. A
//! probe goes to a group address of our own, for bridges have to pass it on.

use super::ETHERNET_HEADER;

/// Octets of such a frame.
pub const LENGTH: usize = 60;

const ETHERTYPE: [u8; 2] = [0x88, 0xb5];
const MAGIC: [u8; 4] = *b"L2TP";
const VERSION: u8 = 1;
/// IEEE 802.1Q: the nearest bridge.
const NEAREST_BRIDGE: [u8; 6] = [0x01, 0x80, 0xc2, 0x00, 0x00, 0x0e];
/// Locally administered, a group.
const BRIDGED: [u8; 6] = [0x03, b'L', b'2', b'T', b'P', b'3'];

/// What such a frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oam {
    /// Asks for a [`Oam::Reply`] with the same values.
    Request {
        /// Who asks.
        asker: u64,
        /// Counts the requests.
        number: u32,
    },
    /// Answers a [`Oam::Request`].
    Reply {
        /// Who asked.
        asker: u64,
        /// The request's.
        number: u32,
    },
    /// Comes back to who sent it where the bridges have a loop.
    Probe {
        /// Who sent it.
        sender: u64,
        /// The sender's id of the session that it left by.
        session: u32,
    },
}

impl Oam {
    /// What a frame says; `None` for all frames that are not of this kind.
    pub fn parse(frame: &[u8]) -> Option<Oam> {
        if frame.get(12..ETHERNET_HEADER)? != ETHERTYPE || frame.get(14..18)? != MAGIC {
            return None;
        }
        let identifier = u64::from_be_bytes(*frame.get(20..)?.first_chunk()?);
        let number = u32::from_be_bytes(*frame.get(28..)?.first_chunk()?);
        match (frame.get(..6)?, *frame.get(18..)?.first_chunk()?) {
            (to, [VERSION, 1]) if to == NEAREST_BRIDGE => Some(Oam::Request { asker: identifier, number }),
            (to, [VERSION, 2]) if to == NEAREST_BRIDGE => Some(Oam::Reply { asker: identifier, number }),
            (to, [VERSION, 3]) if to == BRIDGED => Some(Oam::Probe { sender: identifier, session: number }),
            _ => None,
        }
    }

    /// The frame, from this Ethernet address.
    pub fn frame(self, source: [u8; 6]) -> [u8; LENGTH] {
        let (to, kind, identifier, number) = match self {
            Oam::Request { asker, number } => (NEAREST_BRIDGE, 1, asker, number),
            Oam::Reply { asker, number } => (NEAREST_BRIDGE, 2, asker, number),
            Oam::Probe { sender, session } => (BRIDGED, 3, sender, session),
        };
        let mut frame = [0; LENGTH];
        frame[..6].copy_from_slice(&to);
        frame[6..12].copy_from_slice(&source);
        frame[12..14].copy_from_slice(&ETHERTYPE);
        frame[14..18].copy_from_slice(&MAGIC);
        frame[18..20].copy_from_slice(&[VERSION, kind]);
        frame[20..28].copy_from_slice(&identifier.to_be_bytes());
        frame[28..32].copy_from_slice(&number.to_be_bytes());
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_read_as_it_was_written() {
        let identifier = 0x0102_0304_0506_0708;
        for oam in [
            Oam::Request { asker: identifier, number: 7 },
            Oam::Reply { asker: identifier, number: u32::MAX },
            Oam::Probe { sender: identifier, session: 9 },
        ] {
            let frame = oam.frame([2, 0, 0, 0, 0, 1]);
            assert_eq!(Oam::parse(&frame), Some(oam));
            for cut in 0..32 {
                assert_eq!(Oam::parse(&frame[..cut]), None, "{cut}");
            }
            // Another address, Ethertype, magic, version or kind: a frame like any other.
            for at in (0..6).chain(12..20) {
                let mut other = frame;
                other[at] ^= 0x40;
                assert_eq!(Oam::parse(&other), None, "{at}");
            }
        }
    }
}
