//! Every text that the daemon logs: the 88 messages of the SEIL routers' L2TPv3 function, byte for byte
//! (their spelling included), each with its level. What we want to add goes into the detail of a
//! [`LogLine`](super::LogLine), printed as a further line that begins with two blanks, or is a
//! [`Remark`](super::remark::Remark). No other text is logged.
//!
//! A placeholder `<name>` of a text is filled in order with the fields of the event.

use std::fmt;
use std::net::IpAddr;

use super::escape;
use super::Level;
use crate::wire::{Ccid, MessageType, SessionId};

/// The name of the place in the product's source that a text mentions as `<func>`; fixed, one per place.
pub type Func = &'static str;
/// A fixed name: a state, or the RFC's name of an AVP.
pub type Name = &'static str;

/// A tie breaker as it is logged: 16 hex digits, or `none` where the AVP was absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tie(pub Option<[u8; 8]>);

impl fmt::Display for Tie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(value) => write!(f, "{:016x}", u64::from_be_bytes(value)),
            None => f.write_str("none"),
        }
    }
}

/// A Remote End ID as it is logged: text escaped, four octets that are not text as a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndId(pub Vec<u8>);

impl fmt::Display for EndId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let printable = self.0.iter().all(|o| o.is_ascii_graphic());
        match <[u8; 4]>::try_from(self.0.as_slice()) {
            Ok(binary) if !printable => write!(f, "{}", u32::from_be_bytes(binary)),
            _ => f.write_str(&escape(&self.0)),
        }
    }
}

/// A number as it is logged in hex, with `0x` before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hex(pub u32);

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// Who can have a message logged: what packets provoke must not flood the log (see [`limit`](super::limit)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProvokedBy {
    /// No packet: it is about the daemon itself, its start, its files and its administrator. It is never held back.
    Nobody,
    /// The tunnels and their peers, as far as those are established.
    Peers,
    /// Any packet, also one that only pretends to come from an established peer; what ICMP reports anybody can forge. So can
    /// anybody have connections made that never come up.
    Anybody,
}

/// The word of a row; without one it is the peers'.
macro_rules! by {
    () => {
        $crate::log::catalogue::ProvokedBy::Peers
    };
    ($by:ident) => {
        $crate::log::catalogue::ProvokedBy::$by
    };
}
pub(super) use by;

/// One message of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Template {
    /// `M-001` to `M-088`.
    pub id: &'static str,
    /// The level of every line of this message.
    pub level: Level,
    /// Who can provoke it.
    pub by: ProvokedBy,
    /// The text, with `<placeholders>`.
    pub text: &'static str,
}

macro_rules! catalogue {
    ($($id:literal $level:ident $($by:ident)? $text:literal => $variant:ident { $($field:ident : $ty:ty),* };)*) => {
        /// The catalogue, in the order of its ids.
        pub static CATALOGUE: &[Template] = &[
            $(Template { id: $id, level: Level::$level, by: by!($($by)?), text: $text },)*
        ];

        /// Something to log, named after what happened.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[allow(missing_docs)] // the text of each variant is its documentation
        pub enum Event {
            $(#[doc = concat!("`", $text, "`")] $variant { $($field: $ty),* },)*
        }

        impl Event {
            /// The message of the catalogue that this event is an instance of.
            pub fn template(&self) -> &'static Template {
                match self {
                    $(Event::$variant { .. } => const {
                        &Template { id: $id, level: Level::$level, by: by!($($by)?), text: $text }
                    },)*
                }
            }
        }

        impl fmt::Display for Event {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Event::$variant { $($field),* } => fill(f, $text, &[$($field as &dyn fmt::Display),*]),)*
                }
            }
        }
    };
}

/// Writes `text` with its placeholders replaced, in order, by `values`.
pub(super) fn fill(f: &mut fmt::Formatter<'_>, text: &str, values: &[&dyn fmt::Display]) -> fmt::Result {
    let mut values = values.iter();
    for piece in pieces(text) {
        match piece {
            Piece::Text(text) => f.write_str(text)?,
            Piece::Placeholder(name) => match values.next() {
                Some(value) => write!(f, "{value}")?,
                None => write!(f, "<{name}>")?,
            },
        }
    }
    Ok(())
}

/// A part of a template's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Text that stands in every line of the message.
    Text(&'a str),
    /// The name of a part that is filled in.
    Placeholder(&'a str),
}

/// Cuts a template's text into its fixed and its variable parts. A `<` that no name and `>` follow is text
/// (the message about unknown vendors begins with one).
pub fn pieces(text: &str) -> Pieces<'_> {
    Pieces { rest: text }
}

/// The iterator of [`pieces`].
#[derive(Debug, Clone)]
pub struct Pieces<'a> {
    rest: &'a str,
}

/// The length of the placeholder that `text` begins with, brackets included.
fn placeholder(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('<')?;
    let end = inner.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
    (end > 0 && inner[end..].starts_with('>')).then_some(end + 2)
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        if let Some(length) = placeholder(self.rest) {
            let (head, tail) = self.rest.split_at(length);
            self.rest = tail;
            return Some(Piece::Placeholder(&head[1..length - 1]));
        }
        let end = self
            .rest
            .match_indices('<')
            .map(|(at, _)| at)
            .find(|&at| placeholder(&self.rest[at..]).is_some());
        let (head, tail) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = tail;
        Some(Piece::Text(head))
    }
}

catalogue! {
    "M-001" Error Nobody "/dev/urandom open error: <error>" =>
        RandomOpenError { error: String };
    "M-002" Error Nobody "<tag>: Invalid address" =>
        InvalidAddress { tag: String };
    "M-003" Error Nobody "<tag>: No param" =>
        NoParam { tag: String };
    "M-004" Error Nobody "<tag>: This param is only one" =>
        OnlyOneParam { tag: String };
    "M-005" Error Nobody "Can't create pid file" => CannotCreatePidFile {};
    "M-006" Error Nobody "Can't open config file" => CannotOpenConfigFile {};
    "M-007" Error Nobody "daemon error: <error>" =>
        DaemonError { error: String };
    "M-008" Error "failed to accept: <error>" =>
        AcceptFailed { error: String };
    "M-009" Error "failed to create tunnel" => CreateTunnelFailed {};
    "M-010" Error "failed to ioctl: <error>" =>
        IoctlFailed { error: String };
    "M-011" Error "failed to new_packet" => NewPacketFailed {};
    "M-012" Error "failed to new_session" => NewSessionFailed {};
    "M-013" Error "failed to recv: <error>" =>
        RecvFailed { error: String };
    "M-014" Error "failed to recvfrom: <error>" =>
        RecvfromFailed { error: String };
    "M-015" Error "failed to send control message. tunnel shutdown" => ControlSendFailed {};
    "M-016" Error "failed to send l2tpd information: <error>" =>
        SendInformationFailed { error: String };
    "M-017" Error "failed to socket: <error>" =>
        SocketFailed { error: String };
    "M-018" Error Nobody "get session configuration failed" => SessionConfigurationFailed {};
    "M-019" Error Nobody "get tunnel configuration failed" => TunnelConfigurationFailed {};
    "M-020" Error "invalid header length of admin command" => InvalidAdminHeader {};
    "M-021" Error Nobody "l2tpd initialization failed" => InitializationFailed {};
    "M-022" Error Nobody "malloc error: <error>" =>
        MallocError { error: String };
    "M-023" Error Nobody "result code not specified" => ResultCodeNotSpecified {};
    "M-024" Error Nobody "select error: <error>" =>
        SelectError { error: String };
    "M-025" Error "set_pwe_param() failed" => SetPweParamFailed {};
    "M-026" Warn Anybody "<Unknown Vendor-ID, Vendor=<vendor_code>, Type=<type>, Length=<len>" =>
        UnknownVendor { vendor: u16, attribute: u16, length: usize };
    "M-027" Warn Anybody "[<tunnel_id>] <func>: only support HMAC-MD5 digest type(<n>) in <msg_type>, Ignoreing" =>
        DigestTypeUnsupported { tunnel: Ccid, func: Func, digest_type: u8, message: MessageType };
    "M-028" Warn Anybody "[<tunnel_id>] <func>: invalid cookie length (<len>)" =>
        InvalidCookieLength { tunnel: Ccid, func: Func, length: usize };
    "M-029" Warn Anybody "[<tunnel_id>] <func>: unknown message type <msg_type>" =>
        UnhandledMessageType { tunnel: Ccid, func: Func, message: MessageType };
    "M-030" Warn Anybody "[<tunnel_id>] <func>: wrong size(<len>), discarding packet" =>
        WrongSize { tunnel: Ccid, func: Func, length: usize };
    "M-031" Warn Anybody "[<tunnel_id>] AVP: <AVP_name>: invalid in <msg_type>" =>
        AvpInvalidInMessage { tunnel: Ccid, avp: Name, message: MessageType };
    "M-032" Warn Anybody "[<tunnel_id>] AVP: type=Message Type, value=unknown(<msg_type>), can't hanle message" =>
        MessageTypeUnknown { tunnel: Ccid, message: MessageType };
    "M-033" Warn "[<tunnel_id>] Assigned Cookie AVP not found in <msg_type>" =>
        CookieNotFound { tunnel: Ccid, message: MessageType };
    "M-034" Warn Anybody "[<tunnel_id>] Authentication Nonce was not found in SCCRP" =>
        NonceNotFound { tunnel: Ccid };
    "M-035" Warn "[<tunnel_id>] Cookie setting is off, but Assigned Cookie AVP found in <msg_type>" =>
        CookieOffButFound { tunnel: Ccid, message: MessageType };
    "M-036" Warn "[<tunnel_id>] Serial Number AVP not found in <msg_type>" =>
        SerialNumberNotFound { tunnel: Ccid, message: MessageType };
    "M-037" Warn Anybody "[<tunnel_id>] failed to processing packet in AVP handler" =>
        AvpHandlerFailed { tunnel: Ccid };
    "M-038" Warn Anybody "[<tunnel_id>] first AVP is notmessage type." =>
        FirstAvpNotMessageType { tunnel: Ccid };
    "M-039" Warn "[<tunnel_id>] hostname mismatch in <msg_type>" =>
        HostnameMismatch { tunnel: Ccid, message: MessageType };
    "M-040" Warn Anybody "[<tunnel_id>] message digest invalid in <msg_type>" =>
        DigestInvalid { tunnel: Ccid, message: MessageType };
    "M-041" Warn Anybody "[<tunnel_id>] no handler" =>
        NoHandler { tunnel: Ccid };
    "M-042" Warn Anybody "[<tunnel_id>] receive <msg_type>, but ignored(tunnel state=<state>)" =>
        ReceiveIgnored { tunnel: Ccid, message: MessageType, state: Name };
    "M-043" Warn "[<tunnel_id>] remote-end-id mismatch in <msg_type>" =>
        RemoteEndIdMismatch { tunnel: Ccid, message: MessageType };
    "M-044" Warn Anybody "[<tunnel_id>] reserved bit is set. discard packet" =>
        ReservedBitSet { tunnel: Ccid };
    "M-045" Warn "[<tunnel_id>] result code out of range (<result>,<error>). Ignoring" =>
        ResultCodeOutOfRange { tunnel: Ccid, result: u16, error: u16 };
    "M-046" Warn "[<tunnel_id>] router-id mismatch in <msg_type>" =>
        RouterIdMismatch { tunnel: Ccid, message: MessageType };
    "M-047" Info Nobody "== OLDER \"l2tp\" LOG MESSAGES WERE TRIMMED ==" => OlderMessagesTrimmed {};
    "M-048" Info Nobody "Received <signo> signal" =>
        ReceivedSignal { signal: i32 };
    "M-049" Info "[<tunnel_id>] begin new session" =>
        BeginNewSession { tunnel: Ccid };
    "M-050" Info "[<tunnel_id>] begin new tunnel [<tun_name>] peer:<IPaddress>" =>
        BeginNewTunnel { tunnel: Ccid, name: String, peer: IpAddr };
    "M-051" Info "[<tunnel_id>] create new tunnel, state --> IDLE" =>
        CreateNewTunnel { tunnel: Ccid };
    "M-052" Info "[<tunnel_id>] lose tie brek check, state --> IDLE" =>
        LoseTieBreak { tunnel: Ccid };
    "M-053" Info "[<tunnel_id>] win tie break check" =>
        WinTieBreak { tunnel: Ccid };
    "M-054" Info Nobody "cleanup resources..." => CleanupResources {};
    "M-055" Info Nobody "l2tpd exit." => Exit {};
    "M-056" Info "receive <msg_type>, state --> <state>" =>
        ReceiveState { message: MessageType, state: Name };
    "M-057" Info "send <msg_type>, state --> <state>" =>
        SendState { message: MessageType, state: Name };
    "M-058" Debug Anybody "<func>: L bit is not set" =>
        LBitNotSet { func: Func };
    "M-059" Debug Anybody "<func>: S bit is not set" =>
        SBitNotSet { func: Func };
    "M-060" Debug Anybody "<func>: T bit is not set" =>
        TBitNotSet { func: Func };
    "M-061" Debug Anybody "<func>: no such address peer: <IPaddress>" =>
        NoSuchPeer { func: Func, peer: IpAddr };
    "M-062" Debug "<func>: no such if_name: <if_name>" =>
        NoSuchInterface { func: Func, interface: String };
    "M-063" Debug Anybody "<func>: support only L2TPv3" =>
        OnlyL2tpv3 { func: Func };
    "M-064" Debug Nobody "<tun_name>: <tag>: <param>" =>
        SettingAccepted { name: String, tag: String, param: String };
    "M-065" Debug "[<tunnel_id>] <func>: cleanup call: <if_name>" =>
        CleanupCall { tunnel: Ccid, func: Func, interface: String };
    "M-066" Debug Anybody "[<tunnel_id>] <func>: cleanup tunnel: <IPaddress>" =>
        CleanupTunnelPeer { tunnel: Ccid, func: Func, peer: IpAddr };
    "M-067" Debug Anybody "[<tunnel_id>] <func>: not support OCCN" =>
        OccnUnsupported { tunnel: Ccid, func: Func };
    "M-068" Debug Anybody "[<tunnel_id>] <func>: not support OCRP" =>
        OcrpUnsupported { tunnel: Ccid, func: Func };
    "M-069" Debug Anybody "[<tunnel_id>] <func>: not support OCRQ" =>
        OcrqUnsupported { tunnel: Ccid, func: Func };
    "M-070" Debug "[<tunnel_id>] can't find session config (remote-end-id=<id>)" =>
        NoSessionConfig { tunnel: Ccid, end_id: EndId };
    "M-071" Debug "[<tunnel_id>] can't find session, create new session" =>
        CreateNewSession { tunnel: Ccid };
    "M-072" Debug Anybody "[<tunnel_id>] cleanup tunnel: <name>" =>
        CleanupTunnel { tunnel: Ccid, name: String };
    "M-073" Debug "[<tunnel_id>] control connection tie break check: local=<tie>, remote=<tie>" =>
        ControlTieCheck { tunnel: Ccid, local: Tie, remote: Tie };
    "M-074" Debug Anybody "[<tunnel_id>] delete tunnel" =>
        DeleteTunnel { tunnel: Ccid };
    "M-075" Debug "[<tunnel_id>] draw tie break check, state --> IDLE" =>
        DrawTieBreak { tunnel: Ccid };
    "M-076" Debug "[<tunnel_id>] failed to send control message. tunnel shutown." =>
        ControlSendFailedTunnel { tunnel: Ccid };
    "M-077" Debug Anybody "[<tunnel_id>] no handler, but M bit is not set" =>
        NoHandlerNotMandatory { tunnel: Ccid };
    "M-078" Debug "[<tunnel_id>] receive Explicit ACK" =>
        ReceiveExplicitAck { tunnel: Ccid };
    "M-079" Debug "[<tunnel_id>] receive HELLO, send ZLB ACK" =>
        ReceiveHello { tunnel: Ccid };
    "M-080" Debug Anybody "[<tunnel_id>] send <msg_type>" =>
        Send { tunnel: Ccid, message: MessageType };
    "M-081" Debug Anybody "[<tunnel_id>] send control packet(<n>): <msg_type>" =>
        SendControlPacket { tunnel: Ccid, count: u32, message: MessageType };
    "M-082" Debug Anybody "[<tunnel_id>] sequence number mismatch: ctl_hdr->ns=<ns>, tun->nr=<nr>" =>
        SequenceMismatch { tunnel: Ccid, ns: u16, nr: u16 };
    "M-083" Debug "[<tunnel_id>] we have already tunnel, remote tunnel is invalid?" =>
        AlreadyHaveTunnel { tunnel: Ccid };
    "M-084" Debug "[<tunnel_id>][<session_id>] cleanup session: <name>" =>
        CleanupSession { tunnel: Ccid, session: SessionId, name: String };
    "M-085" Debug "[<tunnel_id>][<session_id>] delete session" =>
        DeleteSession { tunnel: Ccid, session: SessionId };
    "M-086" Debug Nobody "l2tpd start" => Start {};
    "M-087" Debug "tunnel create suceeded: my connection ID = <id>(<0xid>)" =>
        TunnelCreated { id: Ccid, hex: Hex };
    "M-088" Debug "[<tunnel_id>] session tie break check: my=<tie>, peer=<tie>" =>
        SessionTieCheck { tunnel: Ccid, local: Tie, peer: Tie };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lone_bracket_of_the_vendor_message_is_text() {
        let event = Event::UnknownVendor { vendor: 9999, attribute: 1, length: 8 };
        assert_eq!(event.to_string(), "<Unknown Vendor-ID, Vendor=9999, Type=1, Length=8");
    }

    #[test]
    fn placeholders_are_filled_in_order() {
        let event = Event::TunnelCreated { id: Ccid(0x1234_5678), hex: Hex(0x1234_5678) };
        assert_eq!(event.to_string(), "tunnel create suceeded: my connection ID = 305419896(0x12345678)");
        let event = Event::ControlTieCheck {
            tunnel: Ccid(7),
            local: Tie(Some([0, 0, 0, 0, 0, 0, 0, 9])),
            remote: Tie(None),
        };
        assert_eq!(
            event.to_string(),
            "[7] control connection tie break check: local=0000000000000009, remote=none"
        );
    }

    #[test]
    fn end_ids_are_shown_as_text_or_as_a_number() {
        assert_eq!(EndId(vec![0, 0, 0, 100]).to_string(), "100");
        assert_eq!(EndId(b"lan1".to_vec()).to_string(), "lan1");
        assert_eq!(EndId(b"a\nb".to_vec()).to_string(), "a\\nb");
    }
}
