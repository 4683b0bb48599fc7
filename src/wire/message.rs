//! Control messages as values (RFC 3931 6): what each carries, how it is read from AVPs and written to them.

use super::attribute::{Attribute, AvpId};
use super::code::error;
use super::{Ccid, CircuitStatus, Cookie, MessageType, SessionId};
use crate::saved::saved;

/// A complete, well-formed control message; a state machine never sees anything less.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Start-Control-Connection-Request.
    Sccrq(SetUp),
    /// Start-Control-Connection-Reply.
    Sccrp(SetUp),
    /// Start-Control-Connection-Connected.
    Scccn,
    /// Stop-Control-Connection-Notification.
    StopCcn(StopCcn),
    /// Hello.
    Hello,
    /// Incoming-Call-Request.
    Icrq(Icrq),
    /// Incoming-Call-Reply.
    Icrp(Icrp),
    /// Incoming-Call-Connected.
    Iccn(Iccn),
    /// Outgoing-Call-Request (not supported, but answered).
    Ocrq(SessionIds),
    /// Outgoing-Call-Reply (not supported).
    Ocrp(SessionIds),
    /// Outgoing-Call-Connected (not supported).
    Occn(SessionIds),
    /// Call-Disconnect-Notify.
    Cdn(Cdn),
    /// WAN-Error-Notify; its counters are not kept.
    Wen(SessionIds),
    /// Set-Link-Info.
    Sli(Sli),
    /// Explicit acknowledgement.
    Ack,
}

/// SCCRQ and SCCRP (RFC 3931 6.1, 6.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetUp {
    /// Host Name AVP: at least one octet.
    pub host_name: Vec<u8>,
    /// Router ID AVP; not an address, though written like one. 0.0.0.0 if the peer speaks Cisco's draft, which has
    /// no such AVP.
    pub router_id: [u8; 4],
    /// Assigned Control Connection ID AVP: the sender's id, never 0.
    pub assigned_ccid: Ccid,
    /// Pseudowire Capabilities List AVP.
    pub pw_capabilities: Vec<u16>,
    /// Receive Window Size AVP; absent means 4. A value of 0 decodes as absent.
    pub receive_window: Option<u16>,
    /// Control Connection Tie Breaker AVP (SCCRQ only).
    pub tie_breaker: Option<[u8; 8]>,
    /// Control Message Authentication Nonce AVP.
    pub nonce: Option<Vec<u8>>,
    /// Vendor Name AVP.
    pub vendor_name: Option<Vec<u8>>,
    /// Which AVPs the message was written with.
    pub dialect: Dialect,
}

/// Whether a message uses the AVPs of RFC 3931, the vendor-9 AVPs of Cisco's draft-era implementation, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// The AVPs of RFC 3931 are there.
    pub ietf: bool,
    /// The vendor-9 AVPs are there.
    pub cisco: bool,
}
saved!(Dialect { ietf, cisco });

impl Dialect {
    /// RFC 3931 alone.
    pub const IETF: Dialect = Dialect { ietf: true, cisco: false };
    /// The draft's vendor-9 AVPs alone.
    pub const CISCO: Dialect = Dialect { ietf: false, cisco: true };
    /// Both sets.
    pub const BOTH: Dialect = Dialect { ietf: true, cisco: true };
}

/// Result Code AVP (RFC 3931 5.4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultCode {
    /// Why the connection or session ends; see [`super::code`].
    pub result: u16,
    /// The general error, with result 2.
    pub error: Option<u16>,
    /// Error Message: text of the peer, not trusted.
    pub message: Option<Vec<u8>>,
}

/// StopCCN (RFC 3931 6.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopCcn {
    /// Absent only in a malformed StopCCN, which is honoured all the same.
    pub result: Option<ResultCode>,
    /// The sender's own id; there once it sent an SCCRQ or SCCRP.
    pub assigned_ccid: Option<Ccid>,
}

/// The ids of every session message, from the sender's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionIds {
    /// Local Session ID AVP: the sender's id, not 0.
    pub local: SessionId,
    /// Remote Session ID AVP: the receiver's id, 0 while the sender does not know it.
    pub remote: SessionId,
}
saved!(SessionIds { local, remote });

/// ICRQ (RFC 3931 6.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Icrq {
    /// Local and Remote Session ID.
    pub ids: SessionIds,
    /// Serial Number AVP.
    pub serial: u32,
    /// Pseudowire Type AVP.
    pub pw_type: u16,
    /// Remote End ID AVP.
    pub end_id: Vec<u8>,
    /// Circuit Status AVP; active and new if the peer speaks Cisco's draft and sent none.
    pub circuit_status: CircuitStatus,
    /// Session Tie Breaker AVP.
    pub tie_breaker: Option<[u8; 8]>,
    /// What may stand in ICRQ, ICRP and ICCN alike.
    pub avps: SessionAvps,
}

/// ICRP (RFC 3931 6.7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Icrp {
    /// Local and Remote Session ID.
    pub ids: SessionIds,
    /// Circuit Status AVP; active and new if the peer speaks Cisco's draft and sent none.
    pub circuit_status: CircuitStatus,
    /// What may stand in ICRQ, ICRP and ICCN alike.
    pub avps: SessionAvps,
}

/// ICCN (RFC 3931 6.8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Iccn {
    /// Local and Remote Session ID.
    pub ids: SessionIds,
    /// Circuit Status AVP.
    pub circuit_status: Option<CircuitStatus>,
    /// What may stand in ICRQ, ICRP and ICCN alike (no cookie in an ICCN).
    pub avps: SessionAvps,
}

/// The optional AVPs of ICRQ, ICRP and ICCN (RFC 3931 6.6 to 6.8).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SessionAvps {
    /// Assigned Cookie AVP; absent and empty both mean "no cookie", but are not the same on the wire.
    pub cookie: Option<Cookie>,
    /// L2-Specific Sublayer AVP: 0 none, 1 default.
    pub sublayer: Option<u16>,
    /// Data Sequencing AVP: 0 none, 1 non-IP, 2 all.
    pub sequencing: Option<u16>,
    /// Tx Connect Speed AVP, bit/s.
    pub tx_speed: Option<u64>,
    /// Rx Connect Speed AVP, bit/s.
    pub rx_speed: Option<u64>,
    /// Physical Channel ID AVP; for the log only.
    pub physical_channel: Option<u32>,
    /// Interface MTU (attribute 91 of RFC 4667, or vendor 9 attribute 14).
    pub interface_mtu: Option<u16>,
    /// Maximum Receive Unit AVP (RFC 4623 5.3): the longest data message that the sender takes, without IP and UDP header.
    pub mru: Option<u16>,
    /// Maximum Reassembled Receive Unit AVP (RFC 4623 5.4): the sender takes fragments, of frames up to this long.
    pub mrru: Option<u16>,
}

/// CDN (RFC 3931 6.12).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cdn {
    /// Local and Remote Session ID.
    pub ids: SessionIds,
    /// Absent only in a malformed CDN, which is honoured all the same.
    pub result: Option<ResultCode>,
}

/// SLI (RFC 3931 6.14).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sli {
    /// Local and Remote Session ID.
    pub ids: SessionIds,
    /// Circuit Status AVP.
    pub circuit_status: Option<CircuitStatus>,
}

impl Message {
    /// The value of this message's Message Type AVP.
    pub fn message_type(&self) -> MessageType {
        match self {
            Message::Sccrq(_) => MessageType::SCCRQ,
            Message::Sccrp(_) => MessageType::SCCRP,
            Message::Scccn => MessageType::SCCCN,
            Message::StopCcn(_) => MessageType::STOPCCN,
            Message::Hello => MessageType::HELLO,
            Message::Icrq(_) => MessageType::ICRQ,
            Message::Icrp(_) => MessageType::ICRP,
            Message::Iccn(_) => MessageType::ICCN,
            Message::Ocrq(_) => MessageType::OCRQ,
            Message::Ocrp(_) => MessageType::OCRP,
            Message::Occn(_) => MessageType::OCCN,
            Message::Cdn(_) => MessageType::CDN,
            Message::Wen(_) => MessageType::WEN,
            Message::Sli(_) => MessageType::SLI,
            Message::Ack => MessageType::ACK,
        }
    }
}

/// How a message is to be read.
#[derive(Debug, Clone, Copy)]
pub struct DecodeOptions<'a> {
    /// The secrets that AVPs may be hidden with; empty without a password.
    pub secrets: &'a [&'a super::digest::Secret],
    /// Understand Cisco's vendor-9 AVPs, and pass over L2TPv2's leftovers even where their M bit is set.
    pub cisco: bool,
    /// The header said version 2: AVPs that only version 2 knows are ignored (RFC 3931 4.7.3).
    pub version_2: bool,
}

/// What [`decode`] makes of a message whose structure is sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// The message, or why it cannot be accepted.
    pub message: Result<Message, Refusal>,
    /// What was noticed on the way, in the order of the AVPs.
    pub notes: Vec<Note>,
}

/// Something about one AVP that is worth a line in the log. `name` is the RFC's name of the AVP, `mandatory` its M bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // a field whose name says all has no more
pub enum Note {
    /// An AVP of a vendor that is not known here.
    UnknownVendor {
        avp: AvpId,
        /// The Length field, in octets.
        length: usize,
        mandatory: bool,
    },
    /// An AVP of the IETF (or of vendor 9) that is not known here.
    UnknownAttribute { avp: AvpId, mandatory: bool },
    /// An AVP of vendor 9 that is not known here, with its M bit set: ignored all the same.
    UnknownOfCisco { attribute: u16 },
    /// A known AVP in a message that is about something else: ignored.
    NotInThisMessage { name: &'static str },
    /// A known AVP with a bad length or value and M=0: ignored (RFC 3931 7.1).
    Ignored {
        name: &'static str,
        /// Of its value, in octets.
        length: usize,
        why: Why,
    },
    /// A Result Code AVP is missing or malformed: the StopCCN or CDN is honoured all the same.
    BadResultCode,
}

/// Why a message cannot be accepted, and what is needed to answer it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The message's type.
    pub message: MessageType,
    /// What is wrong.
    pub why: Why,
    /// Assigned Control Connection ID, where it could be read (SCCRQ, SCCRP, StopCCN).
    pub assigned_ccid: Option<Ccid>,
    /// Session ids, where one of them could be read; the other one may be 0.
    pub ids: Option<SessionIds>,
}

/// What is wrong with a message. `length` is that of the value, in octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Why {
    /// Unknown Message Type; `mandatory` is the M bit of the Message Type AVP.
    UnknownMessageType { vendor: u16, mandatory: bool },
    /// An AVP that is not known here has its M bit set (RFC 3931 5.2).
    UnknownMandatory(AvpId),
    /// The length of a known AVP does not fit (M=1).
    BadLength { avp: &'static Attribute, length: usize },
    /// The value of a known AVP is out of range (M=1).
    BadValue(&'static Attribute),
    /// An AVP is hidden that must not be, or cannot be unhidden: no Random Vector before it, no secret.
    BadHiding(&'static Attribute),
    /// A required AVP is not there.
    Missing(&'static Attribute),
}

/// How a message is to be written.
#[derive(Debug, Clone, Copy)]
pub struct EncodeOptions<'a> {
    /// Leave room for a Message Digest AVP (HMAC-MD5) right after the Message Type AVP.
    pub digest: bool,
    /// Hide the AVPs that may be hidden, with this secret and Random Vector.
    pub hide: Option<Hide<'a>>,
    /// Which AVPs to write.
    pub dialect: Dialect,
}

/// What hiding needs (RFC 3931 5.3).
#[derive(Debug, Clone, Copy)]
pub struct Hide<'a> {
    /// The `password`.
    pub secret: &'a super::digest::Secret,
    /// The value of the Random Vector AVP: fresh random octets, 16 or more.
    pub random_vector: &'a [u8],
}

/// A value that no AVP or message can hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodeError {
    /// The RFC's name of the AVP.
    pub name: &'static str,
    /// The length of its value.
    pub length: usize,
}

pub use super::decode::decode;
pub use super::encode::{encode, encode_zlb, pad};

impl Why {
    /// The Error Code that goes with Result Code 2 (RFC 3931 5.4.2).
    pub fn error_code(&self) -> u16 {
        match self {
            Why::UnknownMessageType { .. } | Why::UnknownMandatory(_) => error::UNKNOWN_AVP,
            Why::BadLength { .. } => error::LENGTH,
            Why::BadValue(_) | Why::BadHiding(_) => error::RANGE,
            // No code of the RFC fits; the Error Message tells which AVP it is.
            Why::Missing(_) => error::VENDOR,
        }
    }
}

impl std::fmt::Display for Why {
    /// In words, for the detail of a log line and for the Error Message of our StopCCN or CDN.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Why::UnknownMessageType { vendor: 0, .. } => write!(f, "unknown message type"),
            Why::UnknownMessageType { vendor, .. } => write!(f, "unknown message type of vendor {vendor}"),
            Why::UnknownMandatory(AvpId { vendor: 0, attribute }) => {
                write!(f, "unknown AVP {attribute} with the M bit set")
            }
            Why::UnknownMandatory(AvpId { vendor, attribute }) => {
                write!(f, "unknown AVP {attribute} of vendor {vendor} with the M bit set")
            }
            Why::BadLength { avp, length } => write!(f, "{avp}: its value cannot have {length} octets"),
            Why::BadValue(avp) => write!(f, "{avp}: value out of range"),
            Why::BadHiding(avp) => write!(f, "{avp}: hidden, and must not be or cannot be unhidden"),
            Why::Missing(avp) => write!(f, "{avp} not found"),
        }
    }
}
