//! Result and error codes (RFC 3931 5.4.2, IANA): their numbers, ranges and words.

/// StopCCN result codes.
pub mod stopccn {
    /// General request to clear the connection.
    pub const GENERAL: u16 = 1;
    /// General error; the Error Code tells which.
    pub const ERROR: u16 = 2;
    /// The connection exists already (a lost tie).
    pub const EXISTS: u16 = 3;
    /// The requester is not authorized.
    pub const NOT_AUTHORIZED: u16 = 4;
    /// The protocol version is not supported.
    pub const VERSION: u16 = 5;
    /// The requester is being shut down.
    pub const SHUTDOWN: u16 = 6;
    /// Finite state machine error or timeout.
    pub const FSM: u16 = 7;
}

/// CDN result codes.
pub mod cdn {
    /// Loss of carrier.
    pub const CARRIER: u16 = 1;
    /// General error; the Error Code tells which.
    pub const ERROR: u16 = 2;
    /// Administrative reasons.
    pub const ADMIN: u16 = 3;
    /// No facilities, for the moment.
    pub const TEMPORARY: u16 = 4;
    /// No facilities, for good.
    pub const PERMANENT: u16 = 5;
    /// Lost tie.
    pub const TIE: u16 = 13;
    /// The pseudowire type is not supported.
    pub const PW_TYPE: u16 = 14;
    /// Sequencing without a sublayer.
    pub const SEQUENCING: u16 = 15;
    /// Finite state machine error or timeout.
    pub const FSM: u16 = 16;
    /// The forwarder (Remote End ID) does not exist (RFC 4667).
    pub const NO_FORWARDER: u16 = 24;
}

/// General error codes.
pub mod error {
    /// No connection exists for the pair yet.
    pub const NO_CONNECTION: u16 = 1;
    /// A length is wrong.
    pub const LENGTH: u16 = 2;
    /// A value is out of range.
    pub const RANGE: u16 = 3;
    /// Not enough resources.
    pub const RESOURCES: u16 = 4;
    /// The Session ID is not valid.
    pub const SESSION_ID: u16 = 5;
    /// Vendor-specific; the Error Message tells more.
    pub const VENDOR: u16 = 6;
    /// An AVP with the M bit set is not known.
    pub const UNKNOWN_AVP: u16 = 8;
}

/// Whether a StopCCN with these codes is within what RFC 3931 and IANA define: results 1-8, errors 0-12.
pub fn stopccn_in_range(result: u16, error: u16) -> bool {
    (1..=8).contains(&result) && error <= 12
}

/// Whether a CDN with these codes is within what RFC 3931 and IANA define: results 1-31, errors 0-12.
pub fn cdn_in_range(result: u16, error: u16) -> bool {
    (1..=31).contains(&result) && error <= 12
}

/// A StopCCN's result in words.
pub fn stopccn_text(result: u16) -> &'static str {
    match result {
        stopccn::GENERAL => "general request to clear the control connection",
        stopccn::ERROR => "general error",
        stopccn::EXISTS => "control connection already exists",
        stopccn::NOT_AUTHORIZED => "requester is not authorized",
        stopccn::VERSION => "protocol version not supported",
        stopccn::SHUTDOWN => "requester is being shut down",
        stopccn::FSM => "state machine error or timeout",
        8 => "mismatching CCDS value",
        _ => "unknown result",
    }
}

/// A CDN's result in words.
pub fn cdn_text(result: u16) -> &'static str {
    match result {
        cdn::CARRIER => "loss of carrier",
        cdn::ERROR => "general error",
        cdn::ADMIN => "administrative reasons",
        cdn::TEMPORARY => "no facilities available (temporary)",
        cdn::PERMANENT => "no facilities available (permanent)",
        6 => "invalid destination",
        7 => "no carrier detected",
        8 => "busy signal detected",
        9 => "no dial tone",
        10 => "not established within the time allotted",
        11 => "no appropriate framing detected",
        12 => "disconnected with reason given by the PPP layer",
        cdn::TIE => "lost tie",
        cdn::PW_TYPE => "pseudowire type not supported",
        cdn::SEQUENCING => "data sequencing without a sublayer",
        cdn::FSM => "state machine error or timeout",
        23 => "interface MTU mismatch",
        cdn::NO_FORWARDER => "forwarder does not exist",
        25 => "forwarder is not authorized",
        17..=22 | 26..=31 => "reason for another kind of pseudowire",
        _ => "unknown result",
    }
}

/// A general error code in words.
pub fn error_text(error: u16) -> &'static str {
    match error {
        0 => "no general error",
        error::NO_CONNECTION => "no control connection exists yet for this pair",
        error::LENGTH => "length is wrong",
        error::RANGE => "a field was out of range",
        error::RESOURCES => "insufficient resources",
        error::SESSION_ID => "invalid Session ID",
        error::VENDOR => "vendor-specific error",
        7 => "try another",
        error::UNKNOWN_AVP => "unknown AVP with the M bit set",
        9 => "try another directed",
        10..=12 => "error of an extension",
        _ => "unknown error",
    }
}
