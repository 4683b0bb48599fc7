//! AVPs (RFC 3931 5.1): the walker, and the one table of attributes.

/// An AVP as it stands in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawAvp<'a> {
    /// M bit.
    pub mandatory: bool,
    /// H bit.
    pub hidden: bool,
    /// The four reserved bits.
    pub reserved: u8,
    /// Vendor ID.
    pub vendor: u16,
    /// Attribute Type.
    pub attribute: u16,
    /// Attribute Value, still hidden if `hidden`.
    pub value: &'a [u8],
}

/// Why the AVPs of a message cannot be walked: the message is treated as not received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StructureError {
    /// An AVP Length below 6 or beyond the message, or octets left over: the offending length.
    WrongSize(usize),
    /// The first AVP is not Message Type.
    FirstAvpNotMessageType,
    /// A reserved bit of an AVP is set, and the configuration wants such messages discarded.
    ReservedBit {
        /// Its Vendor ID.
        vendor: u16,
        /// Its Attribute Type.
        attribute: u16,
    },
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
        value: super::MessageType,
        /// Its M bit.
        mandatory: bool,
    },
}

/// The most AVPs that a message may hold; those of any known peer have about 15.
pub const MAX_AVPS: usize = 256;

/// Walks all AVPs of a message (from the T bit on, cut to its Length) without looking at their values.
pub fn check_structure(message: &[u8], discard_reserved: bool) -> Result<MessageTypeAvp, StructureError> {
    let _ = (message, discard_reserved);
    todo!()
}

/// The AVPs of a message whose structure is sound; ends early where it is not.
pub fn iter(message: &[u8]) -> impl Iterator<Item = RawAvp<'_>> {
    let _ = message;
    std::iter::empty()
}

/// The value of the first Control Message Authentication Nonce AVP (73, or vendor 9's 13): needed before the
/// digest of an SCCRP can be checked.
pub fn nonce(message: &[u8]) -> Option<&[u8]> {
    let _ = message;
    todo!()
}
