//! The one table of attributes (RFC 3931 5.4 and 6): name, M bit, hiding, length, and the messages of each.
//!
//! Decoder and encoder both go by this table, and [`Attribute::length_fits`] is the only place where the length of
//! a value is checked. Cisco's implementation of the draft has the same AVPs under vendor 9 with other numbers;
//! they are aliases of the rows here ([`CISCO`]).
//!
//! What real equipment sends is not always what the RFC wants. Beside each rule that a peer is known to break stands
//! which peer that is and what is done about it; a rule without such a remark is kept by every peer that was seen,
//! and holds as the RFC has it.

use std::fmt;

use super::MessageType;

/// Vendor ID of the IETF.
pub const IETF: u16 = 0;
/// Vendor ID of Cisco: its AVPs of the time before RFC 3931.
pub const CISCO: u16 = 9;
/// Vendor ID of CableLabs, whose AVPs stand in the session messages of Cisco's cable equipment.
const CABLELABS: u16 = 4491;

/// Which AVP it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AvpId {
    /// Vendor ID; 0 is the IETF.
    pub vendor: u16,
    /// Attribute Type, one of the vendor's.
    pub attribute: u16,
}

impl AvpId {
    /// An AVP of the IETF.
    pub const fn ietf(attribute: u16) -> AvpId {
        AvpId { vendor: IETF, attribute }
    }
}

impl fmt::Display for AvpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "vendor {}, attribute {}", self.vendor, self.attribute)
    }
}

/// Attribute Types of the IETF.
pub mod number {
    #![allow(missing_docs)]
    pub const MESSAGE_TYPE: u16 = 0;
    pub const RESULT_CODE: u16 = 1;
    pub const TIE_BREAKER: u16 = 5;
    pub const HOST_NAME: u16 = 7;
    pub const VENDOR_NAME: u16 = 8;
    pub const RECEIVE_WINDOW_SIZE: u16 = 10;
    pub const SERIAL_NUMBER: u16 = 15;
    pub const PHYSICAL_CHANNEL_ID: u16 = 25;
    pub const CIRCUIT_ERRORS: u16 = 34;
    pub const RANDOM_VECTOR: u16 = 36;
    pub const EXTENDED_VENDOR_ID: u16 = 58;
    pub const MESSAGE_DIGEST: u16 = 59;
    pub const ROUTER_ID: u16 = 60;
    pub const ASSIGNED_CCID: u16 = 61;
    pub const PW_CAPABILITIES: u16 = 62;
    pub const LOCAL_SESSION_ID: u16 = 63;
    pub const REMOTE_SESSION_ID: u16 = 64;
    pub const ASSIGNED_COOKIE: u16 = 65;
    pub const REMOTE_END_ID: u16 = 66;
    pub const PSEUDOWIRE_TYPE: u16 = 68;
    pub const SUBLAYER: u16 = 69;
    pub const DATA_SEQUENCING: u16 = 70;
    pub const CIRCUIT_STATUS: u16 = 71;
    pub const PREFERRED_LANGUAGE: u16 = 72;
    pub const NONCE: u16 = 73;
    pub const TX_SPEED: u16 = 74;
    pub const RX_SPEED: u16 = 75;
    pub const FAILOVER_CAPABILITY: u16 = 76;
    pub const AGI: u16 = 89;
    pub const LOCAL_END_ID: u16 = 90;
    pub const INTERFACE_MTU: u16 = 91;
    pub const MRU: u16 = 94;
    pub const MRRU: u16 = 95;
    pub const VCCV_CAPABILITY: u16 = 96;
    /// The highest one that L2TPv2 had (RFC 2661).
    pub const LAST_OF_VERSION_2: u16 = 39;
    /// Vendor 9 only.
    pub const CISCO_DRAFT_VERSION: u16 = 10;
}

/// The lengths that a value may have, after unhiding, in octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// This many.
    Exact(usize),
    /// This many or more.
    AtLeast(usize),
    /// One of these.
    OneOf(&'static [usize]),
    /// One or more elements of this size.
    ListOf(usize),
    /// A Result Code: alone, with an Error Code, and then with an Error Message.
    ResultCode,
}

/// A set of message types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Messages(u32);

impl Messages {
    const NONE: Messages = Messages(0);
    const ALL: Messages = Messages(u32::MAX);
    /// SCCRQ and SCCRP.
    const SET_UP: Messages = Messages::of(&[MessageType::SCCRQ, MessageType::SCCRP]);
    /// ICRQ and OCRQ.
    const REQUEST: Messages = Messages::of(&[MessageType::ICRQ, MessageType::OCRQ]);
    /// ICRP and OCRP.
    const REPLY: Messages = Messages::of(&[MessageType::ICRP, MessageType::OCRP]);
    /// ICCN and OCCN.
    const CONNECTED: Messages = Messages::of(&[MessageType::ICCN, MessageType::OCCN]);
    /// All six of a session's set-up.
    const CALL: Messages = Messages::REQUEST.and(Messages::REPLY).and(Messages::CONNECTED);
    /// All that carry session ids.
    const SESSION: Messages =
        Messages::CALL.and(Messages::of(&[MessageType::CDN, MessageType::WEN, MessageType::SLI]));

    /// All that are about a control connection.
    const CONNECTION: Messages = Messages::SET_UP.and(Messages::of(&[
        MessageType::SCCCN,
        MessageType::STOPCCN,
        MessageType::HELLO,
        MessageType::ACK,
    ]));

    const fn of(types: &[MessageType]) -> Messages {
        let mut bits = 0;
        let mut rest = types;
        while let [first, more @ ..] = rest {
            bits |= bit(*first);
            rest = more;
        }
        Messages(bits)
    }

    const fn and(self, other: Messages) -> Messages {
        Messages(self.0 | other.0)
    }

    const fn without(self, other: Messages) -> Messages {
        Messages(self.0 & !other.0)
    }

    const fn meets(self, other: Messages) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether the set holds this type.
    pub const fn contains(self, message: MessageType) -> bool {
        self.0 & bit(message) != 0
    }
}

/// The bit of a message type in a [`Messages`]; none for the numbers from 32 on, which nobody has named.
const fn bit(message: MessageType) -> u32 {
    match 1_u32.checked_shl(message.0 as u32) {
        Some(bit) => bit,
        None => 0,
    }
}

/// What there is to know about one attribute.
#[derive(PartialEq, Eq)]
pub struct Attribute {
    /// Vendor ID and Attribute Type.
    pub id: AvpId,
    /// The RFC's name, without "AVP".
    pub name: &'static str,
    /// The M bit that we send; what is received does not matter for a known AVP (RFC 3931 5.2).
    pub mandatory: bool,
    /// Whether the AVP may be hidden (RFC 3931 5.3).
    pub may_hide: bool,
    /// What lengths its value may have.
    pub length: Length,
    /// The messages that must carry it.
    pub required: Messages,
    /// Further messages that may carry it.
    pub optional: Messages,
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} AVP ({})", self.name, self.id.attribute)
    }
}

impl fmt::Debug for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Attribute {
    /// Whether a value (unhidden) may have `length` octets.
    pub fn length_fits(&self, length: usize) -> bool {
        match self.length {
            Length::Exact(octets) => length == octets,
            Length::AtLeast(octets) => length >= octets,
            Length::OneOf(lengths) => lengths.contains(&length),
            Length::ListOf(size) => length >= size && length.checked_rem(size) == Some(0),
            Length::ResultCode => length == 2 || length >= 4,
        }
    }

    /// Whether the AVP belongs into a message of this type.
    pub fn belongs(&self, message: MessageType) -> bool {
        self.required.contains(message) || self.optional.contains(message)
    }

    /// Whether an AVP that does not belong into a message is worth a warning: one of control connections in a message
    /// of a session or the other way round, and a cookie, since a peer that sends it there will look for it in our frames.
    /// The rest is ignored without a word; peers repeat what the request said. Cisco IOS, its cable equipment and
    /// SoftEther send the Pseudowire Type in the ICRP, freeRtr besides it Serial Number and Remote End ID.
    pub fn is_strange_in(&self, message: MessageType) -> bool {
        !self.has_kin(message) || self.id == AvpId::ietf(number::ASSIGNED_COOKIE)
    }

    /// Whether the AVP belongs into some message that is about the same as this one: a session, or a connection.
    fn has_kin(&self, message: MessageType) -> bool {
        let homes = self.required.and(self.optional);
        match message.is_session() {
            true => homes.meets(Messages::SESSION),
            false => homes.meets(Messages::CONNECTION),
        }
    }

    const fn required(mut self, messages: Messages) -> Attribute {
        self.required = messages;
        self
    }

    const fn optional(mut self, messages: Messages) -> Attribute {
        self.optional = messages;
        self
    }
}

/// M bit set when sent.
const M: bool = true;
/// M bit clear when sent.
const O: bool = false;
/// May be hidden.
const HIDE: bool = true;
/// Must not be hidden.
const PLAIN: bool = false;

const fn row(number: u16, name: &'static str, mandatory: bool, may_hide: bool, length: Length) -> Attribute {
    Attribute {
        id: AvpId::ietf(number),
        name,
        mandatory,
        may_hide,
        length,
        required: Messages::NONE,
        optional: Messages::NONE,
    }
}

/// Every attribute that is understood, or known and ignored. In the order in which a missing one is reported.
pub static TABLE: [Attribute; 36] = {
    use number::*;
    use Length::*;
    use MessageType as Type;
    use Messages as In;
    [
        row(MESSAGE_TYPE, "Message Type", M, PLAIN, Exact(2)).required(In::ALL),
        // RFC 3931 5.4.1. Digests are checked before the message is read: one without nonces (Ericsson) or of another
        // type passes where there is no password.
        row(MESSAGE_DIGEST, "Message Digest", M, PLAIN, AtLeast(1)).optional(In::ALL),
        row(NONCE, "Control Message Authentication Nonce", M, PLAIN, AtLeast(1)).optional(In::SET_UP),
        row(RANDOM_VECTOR, "Random Vector", M, PLAIN, AtLeast(1))
            .optional(In::ALL.without(In::of(&[Type::ACK]))),
        // RFC 3931 5.4.2. A StopCCN or CDN is honoured without it too; SoftEther's has 4 or 8 octets, freeRtr's 2.
        row(RESULT_CODE, "Result Code", M, PLAIN, ResultCode).required(In::of(&[Type::STOPCCN, Type::CDN])),
        // RFC 3931 5.4.3. Cisco IOS in its default mode has no Router ID: the draft that it follows knew none, and the
        // decoder does without it where the sender's id stands in vendor 9 alone.
        row(HOST_NAME, "Host Name", M, PLAIN, AtLeast(1)).required(In::SET_UP),
        row(ROUTER_ID, "Router ID", M, PLAIN, Exact(4)).required(In::SET_UP),
        row(ASSIGNED_CCID, "Assigned Control Connection ID", M, HIDE, Exact(4))
            .required(In::SET_UP)
            .optional(In::of(&[Type::STOPCCN])),
        row(PW_CAPABILITIES, "Pseudowire Capabilities List", M, HIDE, ListOf(2)).required(In::SET_UP),
        // SoftEther sends none. One of 0 counts as none.
        row(RECEIVE_WINDOW_SIZE, "Receive Window Size", M, PLAIN, Exact(2)).optional(In::SET_UP),
        row(TIE_BREAKER, "Control Connection Tie Breaker", M, PLAIN, Exact(8))
            .optional(In::of(&[Type::SCCRQ])),
        row(VENDOR_NAME, "Vendor Name", O, HIDE, AtLeast(0)).optional(In::SET_UP),
        row(PREFERRED_LANGUAGE, "Preferred Language", O, HIDE, AtLeast(0)).optional(In::SET_UP),
        // RFC 3931 5.4.4.
        row(LOCAL_SESSION_ID, "Local Session ID", M, HIDE, Exact(4)).required(In::SESSION),
        row(REMOTE_SESSION_ID, "Remote Session ID", M, HIDE, Exact(4)).required(In::SESSION),
        // xcesp sends no Serial Number; its ICRQ is refused with a line of its own (M-036), as the model does. So is
        // an ICRQ without one of the next two, which every peer sends.
        row(SERIAL_NUMBER, "Serial Number", O, HIDE, Exact(4)).required(In::REQUEST),
        row(PSEUDOWIRE_TYPE, "Pseudowire Type", M, HIDE, Exact(2)).required(In::REQUEST),
        row(REMOTE_END_ID, "Remote End ID", M, HIDE, AtLeast(0)).required(In::REQUEST),
        // Cisco IOS in its default mode tells no status in ICRQ and ICRP, and in the SLI at one end only. Where the
        // ids stand in vendor 9 alone, none means active and new (the decoder sees to that); everybody else sends it.
        row(CIRCUIT_STATUS, "Circuit Status", M, HIDE, Exact(2))
            .required(In::REQUEST.and(In::REPLY))
            .optional(In::CONNECTED.and(In::of(&[Type::SLI]))),
        row(TIE_BREAKER, "Session Tie Breaker", M, PLAIN, Exact(8)).optional(In::REQUEST),
        row(ASSIGNED_COOKIE, "Assigned Cookie", M, HIDE, OneOf(&[0, 4, 8]))
            .optional(In::REQUEST.and(In::REPLY)),
        row(SUBLAYER, "L2-Specific Sublayer", M, HIDE, Exact(2)).optional(In::CALL),
        row(DATA_SEQUENCING, "Data Sequencing", M, HIDE, Exact(2)).optional(In::CALL),
        row(TX_SPEED, "Tx Connect Speed", O, HIDE, Exact(8)).optional(In::CALL),
        row(RX_SPEED, "Rx Connect Speed", O, HIDE, Exact(8)).optional(In::CALL),
        row(PHYSICAL_CHANNEL_ID, "Physical Channel ID", O, HIDE, Exact(4)).optional(In::of(&[
            Type::ICRQ,
            Type::ICRP,
            Type::OCRP,
        ])),
        // RFC 3931 5.4.5: the figure has 24 octets, the text says 32 (with the header, and L2TPv2's counters).
        row(CIRCUIT_ERRORS, "Circuit Errors", O, HIDE, OneOf(&[18, 26])).required(In::of(&[Type::WEN])),
        // RFC 3931 5.1: an AVP of a vendor with a 32-bit number. No such vendor is known here.
        row(EXTENDED_VENDOR_ID, "Extended Vendor ID", O, HIDE, AtLeast(6)).optional(In::ALL),
        // RFC 4667, RFC 4623, RFC 5085, RFC 4951: known, and without effect except for the MTU, MRU and MRRU.
        row(INTERFACE_MTU, "Interface Maximum Transmission Unit", O, HIDE, Exact(2)).optional(In::CALL),
        row(AGI, "Attachment Group Identifier", O, HIDE, AtLeast(0)).optional(In::REQUEST),
        row(LOCAL_END_ID, "Local End ID", O, HIDE, AtLeast(0)).optional(In::REQUEST),
        row(MRU, "Maximum Receive Unit", O, HIDE, Exact(2)).optional(In::CALL.and(In::of(&[Type::SLI]))),
        row(MRRU, "Maximum Reassembled Receive Unit", O, HIDE, Exact(2))
            .optional(In::CALL.and(In::of(&[Type::SLI]))),
        row(VCCV_CAPABILITY, "VCCV Capability", O, HIDE, Exact(2)).optional(In::CALL),
        row(FAILOVER_CAPABILITY, "Failover Capability", O, PLAIN, AtLeast(0)).optional(In::SET_UP),
        // Vendor 9: which draft the AVPs follow; and vendor data whose meaning nobody has published.
        Attribute {
            id: AvpId { vendor: CISCO, attribute: CISCO_DRAFT_VERSION },
            ..row(CISCO_DRAFT_VERSION, "Draft AVP Version", M, PLAIN, Exact(2)).optional(In::SET_UP)
        },
    ]
};

/// Cisco's numbers (vendor 9) of AVPs that RFC 3931 has under another one.
static CISCO_ALIASES: [(u16, u16); 12] = [
    (1, number::ASSIGNED_CCID),
    (2, number::PW_CAPABILITIES),
    (3, number::LOCAL_SESSION_ID),
    (4, number::REMOTE_SESSION_ID),
    (5, number::ASSIGNED_COOKIE),
    (6, number::REMOTE_END_ID),
    (7, number::PSEUDOWIRE_TYPE),
    (8, number::CIRCUIT_STATUS),
    (9, number::TIE_BREAKER),
    (12, number::MESSAGE_DIGEST),
    (13, number::NONCE),
    (14, number::INTERFACE_MTU),
];

/// AVPs of vendor 9 that say nothing to an Ethernet pseudowire (11, 108 and 109 are about ATM) or whose contents
/// are not published; Cisco's equipment does without an answer to them. IOS has 114 in each SLI with the M bit set,
/// cable equipment 115 in SCCRQ and SCCRP.
const CISCO_PRIVATE: [u16; 5] = [11, 108, 109, 114, 115];

/// Attributes of the IETF that only L2TPv2 has (RFC 2661); v3 peers go on sending some, with the M bit set: Cisco IOS
/// 2, 3, 19 and 24, its cable equipment 2, 3 and 39, freeRtr 2 and 3.
const VERSION_2_ONLY: [u16; 29] = [
    2, 3, 4, 6, 9, 11, 12, 13, 14, 16, 17, 18, 19, 21, 22, 23, 24, 26, 27, 28, 29, 30, 31, 32, 33, 35, 37,
    38, 39,
];

/// What is known of a Vendor ID and Attribute Type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// A row of [`TABLE`].
    Known(&'static Attribute),
    /// The same, under Cisco's number.
    CiscoCopy(&'static Attribute),
    /// To be ignored without a word, whatever its M bit.
    PassedOver,
    /// No AVP of this vendor is known.
    UnknownVendor,
    /// The vendor is known, the attribute is not.
    UnknownAttribute,
}

/// Looks up an AVP of a message of type `message`. With `cisco` the AVPs of vendor 9 are known and what Cisco's
/// equipment sends besides is passed over, even if that goes against the M bit; `version_2` passes over what only
/// L2TPv2 knows (RFC 3931 4.7.3).
pub fn look_up(id: AvpId, message: MessageType, cisco: bool, version_2: bool) -> Lookup {
    let number = id.attribute;
    match id.vendor {
        IETF => match find(id, message) {
            Some(attribute) => Lookup::Known(attribute),
            None if (cisco || version_2) && is_version_2_only(number) => Lookup::PassedOver,
            None => Lookup::UnknownAttribute,
        },
        CISCO if cisco => match ietf_number(number).and_then(|alias| find(AvpId::ietf(alias), message)) {
            Some(attribute) => Lookup::CiscoCopy(attribute),
            None if CISCO_PRIVATE.contains(&number) => Lookup::PassedOver,
            None => match find(id, message) {
                Some(attribute) => Lookup::CiscoCopy(attribute),
                None => Lookup::UnknownAttribute,
            },
        },
        CABLELABS if cisco => Lookup::PassedOver,
        _ => Lookup::UnknownVendor,
    }
}

/// The row of an attribute: the one for such a message where a number has two meanings.
pub fn find(id: AvpId, message: MessageType) -> Option<&'static Attribute> {
    let mut rows = TABLE.iter().filter(|row| row.id == id);
    let first = rows.clone().next()?;
    Some(rows.find(|row| row.has_kin(message)).unwrap_or(first))
}

/// Whether an AVP is the IETF attribute `number`, or Cisco's alias of it.
pub fn is(id: AvpId, number: u16) -> bool {
    match id.vendor {
        IETF => id.attribute == number,
        CISCO => ietf_number(id.attribute) == Some(number),
        _ => false,
    }
}

/// Cisco's number of an IETF attribute.
pub fn cisco_number(number: u16) -> Option<u16> {
    CISCO_ALIASES.iter().find(|(_, ietf)| *ietf == number).map(|(cisco, _)| *cisco)
}

fn ietf_number(cisco: u16) -> Option<u16> {
    CISCO_ALIASES.iter().find(|(number, _)| *number == cisco).map(|(_, ietf)| *ietf)
}

/// Whether only L2TPv2 has this attribute of the IETF.
pub fn is_version_2_only(number: u16) -> bool {
    VERSION_2_ONLY.contains(&number)
}
