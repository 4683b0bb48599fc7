//! Octets <-> values. Pure: no clock, address, socket or random source; nothing is allocated in proportion to a
//! length field of a packet, and no octets make it panic.
//!
//! A received control message goes through these steps, and each is a function of its own because the protocol
//! (RFC 3931 4.2, 4.3, 7.1) wants something done between them: [`demux`] (control or data?), [`header::parse`],
//! [`avp::check_structure`], [`digest::verify`], then Ns/Nr, then [`message::decode`].

#![warn(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

pub mod attribute;
pub mod avp;
pub mod code;
pub mod data;
mod decode;
pub mod demux;
pub mod digest;
mod encode;
pub mod header;
pub mod hidden;
pub mod message;
pub mod read;

pub use message::Message;

use std::fmt;

use crate::saved::{saved, Reader, Saved, Writer};
use crate::wiped::wipe;

/// Control Connection ID (RFC 3931 3.2.1): names a connection at the LCCE that assigned it; 0 is "not known yet".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ccid(pub u32);
saved!(tuple Ccid(number));

/// Session ID (RFC 3931 4.1): names a session at the LCCE that assigned it; 0 is "not known yet".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SessionId(pub u32);
saved!(tuple SessionId(number));

impl fmt::Display for Ccid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The value of a Message Type AVP (RFC 3931 3.1). Types without a name here are shown as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageType(pub u16);
saved!(tuple MessageType(number));

macro_rules! message_types {
    ($($name:ident = $number:literal $text:literal;)*) => {
        impl MessageType {
            $(#[doc = $text] pub const $name: MessageType = MessageType($number);)*

            /// The RFC's name of this type, if it is one that this daemon handles.
            pub fn name(self) -> Option<&'static str> {
                match self.0 { $($number => Some($text),)* _ => None }
            }
        }
    };
}

message_types! {
    SCCRQ = 1 "SCCRQ"; SCCRP = 2 "SCCRP"; SCCCN = 3 "SCCCN"; STOPCCN = 4 "StopCCN"; HELLO = 6 "HELLO";
    OCRQ = 7 "OCRQ"; OCRP = 8 "OCRP"; OCCN = 9 "OCCN"; ICRQ = 10 "ICRQ"; ICRP = 11 "ICRP"; ICCN = 12 "ICCN";
    CDN = 14 "CDN"; WEN = 15 "WEN"; SLI = 16 "SLI"; ACK = 20 "ACK";
}

impl MessageType {
    /// Whether IANA has assigned a meaning to this number, handled here or not (17-19 and 21-29 are not).
    pub fn is_assigned(self) -> bool {
        self.name().is_some() || matches!(self.0, 17..=19 | 21..=29)
    }

    /// Session messages carry session ids, and a bad AVP in one costs the session, not the connection.
    pub fn is_session(self) -> bool {
        matches!(self.0, 7..=12 | 14..=16)
    }
}

impl fmt::Display for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => self.0.fmt(f),
        }
    }
}

/// How L2TP messages are carried (RFC 3931 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Encapsulation {
    /// Directly over IP, protocol 115.
    #[default]
    Ip,
    /// Over UDP, port 1701.
    Udp,
}

impl Encapsulation {
    /// The configuration's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Encapsulation::Ip => "ip",
            Encapsulation::Udp => "udp",
        }
    }

    /// What carries the messages, in words.
    pub fn name(self) -> &'static str {
        match self {
            Encapsulation::Ip => "IP protocol 115",
            Encapsulation::Udp => "UDP",
        }
    }
}

saved!(
    enum Encapsulation {
        Ip,
        Udp,
    }
);

/// An Assigned Cookie (RFC 3931 5.4.4): 0, 4 or 8 octets. They are overwritten when it is given up.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Cookie {
    octets: [u8; 8],
    length: u8,
}

impl Cookie {
    /// No cookie: data messages have no cookie field.
    pub const NONE: Cookie = Cookie { octets: [0; 8], length: 0 };

    /// The cookie with these octets; `None` unless there are 0, 4 or 8 of them.
    pub fn new(value: &[u8]) -> Option<Cookie> {
        let mut octets = [0; 8];
        match value.len() {
            0 | 4 | 8 => octets.get_mut(..value.len())?.copy_from_slice(value),
            _ => return None,
        }
        Some(Cookie { octets, length: u8::try_from(value.len()).ok()? })
    }

    /// The octets as they stand in a data message.
    pub fn as_slice(&self) -> &[u8] {
        self.octets.get(..self.len()).unwrap_or_default()
    }

    /// 0, 4 or 8.
    pub fn len(&self) -> usize {
        usize::from(self.length)
    }

    /// Whether data messages have no cookie field.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

impl Saved for Cookie {
    fn save(&self, to: &mut Writer) {
        self.length.save(to);
        to.put(self.as_slice());
    }

    fn restore(from: &mut Reader<'_>) -> Self {
        let length = u8::restore(from);
        Cookie::new(from.take(usize::from(length))).unwrap_or_else(|| {
            from.refuse("the state has a cookie of a wrong length");
            Cookie::default()
        })
    }
}

impl Drop for Cookie {
    fn drop(&mut self) {
        wipe(&mut self.octets);
    }
}

impl fmt::Debug for Cookie {
    /// Cookies are secrets against blind insertion: only their length is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cookie({} octets)", self.length)
    }
}

/// Circuit Status AVP (RFC 3931 5.4.5, RFC 5641).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CircuitStatus(pub u16);
saved!(tuple CircuitStatus(number));

impl CircuitStatus {
    /// A: the circuit is up.
    pub const ACTIVE: u16 = 0x0001;
    /// N: the circuit is new (deprecated by RFC 5641, still sent).
    pub const NEW: u16 = 0x0002;
    /// S: standby.
    pub const STANDBY: u16 = 0x0040;
    /// The fault bits E, I, T, R of RFC 5641.
    pub const FAULTS: u16 = 0x003c;

    /// Whether user traffic may be sent towards the peer. A fault wins over A (a contradiction), and standby
    /// stops traffic whatever A says (RFC 5641 2, 3).
    pub fn carries_traffic(self) -> bool {
        self.0 & Self::ACTIVE != 0 && self.0 & (Self::FAULTS | Self::STANDBY) == 0
    }
}

/// Pseudowire type 0x0004: Ethernet VLAN (RFC 4719).
pub const PW_ETHERNET_VLAN: u16 = 4;
/// Pseudowire type 0x0005: Ethernet port (RFC 4719).
pub const PW_ETHERNET: u16 = 5;
