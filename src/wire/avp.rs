//! AVPs (RFC 3931 5.1): the walker over the AVPs of a message. What each attribute means stands in
//! [`super::attribute`].
//!
//! The walker trusts no length: an AVP is handed out only if all of it lies within the message.

use super::attribute::{self, number, AvpId};
use super::read::Reader;
use super::{header, MessageType};

/// An AVP as it stands in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawAvp<'a> {
    /// M bit.
    pub mandatory: bool,
    /// H bit.
    pub hidden: bool,
    /// The four reserved bits.
    pub reserved: u8,
    /// Vendor ID and Attribute Type.
    pub id: AvpId,
    /// Attribute Value, still hidden if `hidden`.
    pub value: &'a [u8],
}

/// Why the AVPs of a message cannot be walked: the message is treated as not received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StructureError {
    /// An AVP Length below 6 or beyond the message, or octets left over: the offending length.
    WrongSize(usize),
    /// The first AVP is not Message Type, or not of its length.
    FirstAvpNotMessageType,
    /// A reserved bit of an AVP is set, and the configuration wants such messages discarded.
    ReservedBit(AvpId),
    /// More AVPs than [`MAX_AVPS`].
    TooMany,
}

/// The first AVP of a message, or that there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageTypeAvp {
    /// No AVP at all: a ZLB.
    Zlb,
    /// Message Type.
    Type {
        /// 0 for the types of RFC 3931.
        vendor: u16,
        /// The message type.
        value: MessageType,
        /// Its M bit.
        mandatory: bool,
    },
}

impl MessageTypeAvp {
    /// A ZLB, an ACK message, or the ACK of Cisco's draft-era implementation (vendor 9, type 0).
    pub fn is_acknowledgement(&self) -> bool {
        match *self {
            MessageTypeAvp::Zlb => true,
            MessageTypeAvp::Type { vendor, value, .. } => {
                (vendor == attribute::IETF && value == MessageType::ACK)
                    || (vendor == attribute::CISCO && value == MessageType(0))
            }
        }
    }
}

/// The most AVPs that a message may hold; those of any known peer have about 15.
pub const MAX_AVPS: usize = 256;

/// Octets of an AVP before its value.
pub const HEADER: usize = 6;

/// The most octets that a value can have: the Length field has ten bits and counts the header too.
pub const MAX_VALUE: usize = 1017;

/// Walks the AVPs of a message, one [`Walker::step`] at a time.
#[derive(Debug, Clone, Copy)]
pub struct Walker<'a> {
    reader: Reader<'a>,
    total: usize,
}

impl<'a> Walker<'a> {
    /// Begins at the first AVP of a message (from the T bit on, cut to its Length).
    pub fn new(message: &'a [u8]) -> Walker<'a> {
        let avps = message.get(header::LENGTH..).unwrap_or_default();
        Walker { reader: Reader::new(avps), total: message.len() }
    }

    /// Octets of the message up to the end of the AVP that was read last.
    pub fn offset(&self) -> usize {
        self.total.saturating_sub(self.reader.remaining())
    }

    /// The next AVP; `None` at the end, or the offending length.
    pub fn step(&mut self) -> Option<Result<RawAvp<'a>, usize>> {
        let left = self.reader.remaining();
        if left == 0 {
            return None;
        }
        Some(self.read().ok_or(left).and_then(|(length, avp)| avp.ok_or(length)))
    }

    /// The Length field and the AVP, if that length is possible; `None` if not even a header is left.
    fn read(&mut self) -> Option<(usize, Option<RawAvp<'a>>)> {
        let [f0, f1, v0, v1, a0, a1] = self.reader.array::<HEADER>()?;
        let flags = u16::from_be_bytes([f0, f1]);
        let length = usize::from(flags & 0x03ff);
        let value = length.checked_sub(HEADER).and_then(|octets| self.reader.take(octets));
        let avp = value.map(|value| RawAvp {
            mandatory: flags & 0x8000 != 0,
            hidden: flags & 0x4000 != 0,
            reserved: f0 >> 2 & 0x0f,
            id: AvpId { vendor: u16::from_be_bytes([v0, v1]), attribute: u16::from_be_bytes([a0, a1]) },
            value,
        });
        Some((length, avp))
    }
}

/// Walks all AVPs of a message (from the T bit on, cut to its Length) without looking at their values.
pub fn check_structure(message: &[u8], discard_reserved: bool) -> Result<MessageTypeAvp, StructureError> {
    if message.len() < header::LENGTH {
        return Err(StructureError::WrongSize(message.len()));
    }
    let mut walker = Walker::new(message);
    let mut first = MessageTypeAvp::Zlb;
    let mut count = 0_usize;
    while let Some(step) = walker.step() {
        let avp = step.map_err(StructureError::WrongSize)?;
        if discard_reserved && avp.reserved != 0 {
            return Err(StructureError::ReservedBit(avp.id));
        }
        if count == 0 {
            first = message_type(&avp)?;
        }
        count = count.saturating_add(1);
        if count > MAX_AVPS {
            return Err(StructureError::TooMany);
        }
    }
    Ok(first)
}

/// Reads an AVP as a Message Type AVP. It must not be hidden (RFC 3931 5.4.1), so its value is in the clear.
pub fn message_type(avp: &RawAvp<'_>) -> Result<MessageTypeAvp, StructureError> {
    match avp.value.try_into().map(u16::from_be_bytes) {
        Ok(value) if avp.id.attribute == number::MESSAGE_TYPE && !avp.hidden => Ok(MessageTypeAvp::Type {
            vendor: avp.id.vendor,
            value: MessageType(value),
            mandatory: avp.mandatory,
        }),
        Ok(_) | Err(_) => Err(StructureError::FirstAvpNotMessageType),
    }
}

/// The AVPs of a message whose structure is sound; ends early where it is not.
pub fn iter(message: &[u8]) -> impl Iterator<Item = RawAvp<'_>> {
    let mut walker = Walker::new(message);
    std::iter::from_fn(move || walker.step()?.ok())
}

/// The value of the first Control Message Authentication Nonce AVP (73, or vendor 9's 13): needed before the
/// digest of an SCCRP can be checked. An empty one counts for nothing.
pub fn nonce(message: &[u8]) -> Option<&[u8]> {
    iter(message)
        .find(|avp| attribute::is(avp.id, number::NONCE) && !avp.hidden)
        .map(|avp| avp.value)
        .filter(|value| !value.is_empty())
}
