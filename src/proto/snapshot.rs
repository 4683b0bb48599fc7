//! What the engine shows of itself: owned values, in the order of the configuration.

use std::net::IpAddr;
use std::time::Duration;

use super::action::Path;
use super::connection::table::State as ControlState;
use super::history::Change;
use crate::saved::saved;
use crate::wire::{Ccid, Cookie, SessionId};

/// An address from which came what was dropped before it was known to belong to a tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DroppedFrom {
    /// The source address.
    pub address: IpAddr,
    /// The last of it and why it was dropped, in words; escaped already.
    pub what: String,
    /// How many messages or frames.
    pub count: u64,
    /// How long ago the last came.
    pub ago: Duration,
}

/// A tunnel block and its control connection, if there is one.
#[derive(Debug, Clone)]
pub struct TunnelSnapshot {
    /// Name in the configuration.
    pub name: String,
    /// `disable`, or stopped by the administrator.
    pub disabled: bool,
    /// Nothing is negotiated: all sessions are manual.
    pub manual: bool,
    /// `role passive`: the peer is to begin.
    pub passive: bool,
    /// What is missing in the configuration.
    pub problem: Option<String>,
    /// The peer's address, or `None` where any may connect and none has.
    pub peer: Option<IpAddr>,
    /// Both ends, encapsulation; `None` while there is no connection.
    pub path: Option<Path>,
    /// Where its connection stands; `Idle` without one.
    pub state: ControlState,
    /// How long it has been in this state.
    pub since: Duration,
    /// How often it came up or went down.
    pub changes: u64,
    /// Host Name of the peer, once it has advertised it.
    pub remote_hostname: Option<Vec<u8>>,
    /// Router ID of the peer, once it has advertised it.
    pub remote_router_id: Option<[u8; 4]>,
    /// Vendor Name of the peer, once it has advertised it.
    pub remote_vendor: Option<Vec<u8>>,
    /// Our id; 0 while there is no connection.
    pub local_ccid: Ccid,
    /// The peer's id; 0 while it is not known.
    pub remote_ccid: Ccid,
    /// Ns: the next number to send.
    pub ns: u16,
    /// Nr: the next number expected.
    pub nr: u16,
    /// Messages sent and not acknowledged, or waiting for the window.
    pub queued: usize,
    /// The peer's Receive Window Size, in messages.
    pub peer_window: u16,
    /// Messages carry a digest under a password.
    pub authenticated: bool,
    /// The peer writes Cisco's vendor-9 AVPs.
    pub cisco: bool,
    /// Time until the next attempt, or until an SCCRQ that finds no answer is sent again.
    pub next_try: Option<Duration>,
    /// The last thing that went wrong, and how long ago.
    pub last_failure: Option<(Failure, Duration)>,
    /// How long the peer takes to acknowledge, smoothed; once that was measured.
    pub round_trip: Option<Duration>,
    /// What probes have shown of the path, where it is probed.
    pub path_search: Option<PathFound>,
    /// The last changes, the newest first.
    pub history: Vec<Change>,
    /// Counters of control messages.
    pub counters: ControlCounters,
    /// Where the configuration names several peers: those, in the order of preference.
    pub peers: Vec<PeerSnapshot>,
    /// Why the one in use is in use, in words; empty where none has been yet.
    pub peer_why: String,
    /// How often another one took its place.
    pub peer_changes: u64,
    /// One entry for each session block.
    pub sessions: Vec<SessionSnapshot>,
}

/// What probes have shown of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathFound {
    /// The longest packet that it carries, IP header included, in octets; as far as that is known.
    pub mtu: Option<usize>,
    /// Where the search stands: `base`, `searching`, `search-complete` or `error` (RFC 8899 5.2).
    pub state: &'static str,
}

/// One of several peers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerSnapshot {
    /// Address or name, as in the configuration.
    pub remote: String,
    /// The addresses that this means.
    pub addresses: Vec<IpAddr>,
    /// Where it stands.
    pub state: PeerState,
}

/// Where one of several peers stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerState {
    /// It serves the tunnel, or is to do so.
    InUse,
    /// Its sessions are up, to take over at once.
    Standby,
    /// It is better than the one in use, and has answered for so long.
    WithinReach(Duration),
    /// It is not needed, or has not answered when it was asked last.
    Idle,
}

impl PeerState {
    /// The word for it in the status.
    pub fn name(self) -> &'static str {
        match self {
            PeerState::InUse => "in-use",
            PeerState::Standby => "standby",
            PeerState::WithinReach(_) => "within-reach",
            PeerState::Idle => "idle",
        }
    }
}

/// A session block and its session, if there is one.
#[derive(Debug, Clone)]
pub struct SessionSnapshot {
    /// Interface name.
    pub interface: String,
    /// `disable`, or its tunnel is.
    pub disabled: bool,
    /// `manual`.
    pub manual: bool,
    /// What is missing in the configuration.
    pub problem: Option<&'static str>,
    /// `remote-end-id`.
    pub remote_end_id: Vec<u8>,
    /// `bridge`.
    pub bridge: Option<String>,
    /// Where it stands.
    pub state: SessionState,
    /// How long it has been in this state.
    pub since: Duration,
    /// How often it came up or went down.
    pub changes: u64,
    /// Our id; 0 while there is no session.
    pub local: SessionId,
    /// The peer's id; 0 while it is not known.
    pub remote: SessionId,
    /// Serial Number of its ICRQ.
    pub serial: u32,
    /// The cookie that we assigned: received frames carry it.
    pub local_cookie: Cookie,
    /// The cookie that the peer assigned: sent frames carry it.
    pub remote_cookie: Cookie,
    /// Sublayer of received and of sent frames.
    pub sublayer: (bool, bool),
    /// Fragments of frames (RFC 4623) are taken, and may be sent.
    pub fragments: (bool, bool),
    /// Sequence numbers in received and in sent frames.
    pub sequencing: (bool, bool),
    /// The pseudowire type: 4 or 5 (RFC 4719).
    pub pw_type: u16,
    /// The peer's circuit status, once it has advertised it.
    pub remote_circuit: Option<u16>,
    /// The interface MTU that the peer advertised, in octets.
    pub remote_mtu: Option<u16>,
    /// Time until the next attempt.
    pub next_try: Option<Duration>,
    /// The last thing that went wrong, and how long ago.
    pub last_failure: Option<(Failure, Duration)>,
    /// The last changes, the newest first.
    pub history: Vec<Change>,
}

/// The little of a tunnel that is had without copying anything.
#[derive(Debug, Clone, Copy)]
pub struct TunnelBrief<'a> {
    /// Name in the configuration.
    pub name: &'a str,
    /// As in [`TunnelSnapshot`].
    pub disabled: bool,
    /// As in [`TunnelSnapshot`].
    pub manual: bool,
    /// As in [`TunnelSnapshot`].
    pub state: ControlState,
    /// As in [`TunnelSnapshot`].
    pub round_trip: Option<Duration>,
    /// As in [`TunnelSnapshot`].
    pub path_search: Option<PathFound>,
    /// The configuration names several peers.
    pub has_backup: bool,
    /// As in [`TunnelSnapshot`].
    pub peer_changes: u64,
    /// Counters of control messages.
    pub counters: ControlCounters,
    /// How many session blocks it has.
    pub sessions: usize,
}

/// The little of a session that is had without copying anything.
#[derive(Debug, Clone, Copy)]
pub struct SessionBrief<'a> {
    /// Interface name.
    pub interface: &'a str,
    /// As in [`SessionSnapshot`].
    pub disabled: bool,
    /// As in [`SessionSnapshot`].
    pub state: SessionState,
}

/// The states of RFC 3931 7.3 and 7.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionState {
    /// There is no session, nor a connection for it.
    Idle,
    /// The connection is there or in set-up; the session waits for its turn.
    WaitControlConn,
    /// ICRQ sent.
    WaitReply,
    /// ICRP sent.
    WaitConnect,
    /// Frames may pass.
    Established,
}

impl SessionState {
    /// The state's name in the status.
    pub fn status_name(self) -> &'static str {
        match self {
            SessionState::Idle => "idle",
            SessionState::WaitControlConn => "wait-control-conn",
            SessionState::WaitReply => "wait-reply",
            SessionState::WaitConnect => "wait-connect",
            SessionState::Established => "established",
        }
    }
}

saved! {
    /// What kind of thing went wrong: the message of the catalogue that tells more.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Cause {
        /// The check says all.
        Other,
        /// There is no route to the peer, or our own address is gone.
        Route,
        /// No random octets for ids and nonce.
        NoRandom,
        /// Neither socket nor address, or no room for one more connection.
        NoConnection,
        /// A message could not be built.
        NotBuilt,
        /// No room, or no values, for one more session.
        NoSession,
        /// The peer does not answer, or the network says that it cannot be reached.
        NoAnswer,
        /// The interface cannot be set up.
        Interface,
        /// The peer gives no cookie where one is configured.
        NoCookie,
        /// The peer gives a cookie where none is configured.
        Cookie,
        /// A message of the peer cannot be accepted.
        BadMessage,
        /// Host Name.
        HostName,
        /// Message Digest.
        Digest,
        /// Remote End ID.
        EndId,
        /// Router ID.
        RouterId,
    }
}

impl Cause {
    /// The id of the message, or empty.
    pub fn message(self) -> &'static str {
        match self {
            Cause::Other | Cause::Route => "",
            Cause::NoRandom => "M-001",
            Cause::NoConnection => "M-009",
            Cause::NotBuilt => "M-011",
            Cause::NoSession => "M-012",
            Cause::NoAnswer => "M-015",
            Cause::Interface => "M-025",
            Cause::NoCookie => "M-033",
            Cause::Cookie => "M-035",
            Cause::BadMessage => "M-037",
            Cause::HostName => "M-039",
            Cause::Digest => "M-040",
            Cause::EndId => "M-043",
            Cause::RouterId => "M-046",
        }
    }
}

/// A check that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which check, or what happened, in words.
    pub check: String,
    /// What was expected; empty where that makes no sense. Never a secret.
    pub expected: String,
    /// What was received; escaped already, empty where that makes no sense.
    pub received: String,
    /// What kind of thing it is.
    pub cause: Cause,
}
saved!(Failure { check, expected, received, cause });

/// Counts one more; it stays at the greatest value.
pub fn count(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}

macro_rules! numbers {
    ($(#[$meta:meta])* $type:ident { $($field:ident $help:literal;)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct $type {
            $(#[doc = $help] pub $field: u64,)*
        }

        saved!($type { $($field),* });

        impl $type {
            /// What was counted elsewhere is counted here too.
            pub fn add(&mut self, other: &$type) {
                $(self.$field = self.$field.saturating_add(other.$field);)*
            }

            /// Name, description and value of each counter, in a fixed order.
            pub fn entries(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
                [$((stringify!($field), $help, self.$field),)*].into_iter()
            }
        }
    };
}

numbers! {
    /// Control messages of one tunnel, since the daemon started.
    ControlCounters {
        tx_messages "control messages sent, retransmissions included";
        tx_retransmissions "control messages sent again";
        tx_acks "acknowledgements sent";
        rx_messages "control messages received";
        rx_acks "acknowledgements received";
        rx_duplicates "control messages received again";
        rx_out_of_order "control messages received ahead of their turn";
        rx_bad_digest "control messages without a valid digest";
        rx_malformed "control messages that could not be read";
        rx_bad_nr "control messages that acknowledge what was not sent";
        rx_ignored "control messages that do not fit the state";
        rx_refused "messages that were answered with StopCCN or CDN";
        setups "set-ups begun, by either end";
        established "control connections that were established";
        lost "control connections lost because the peer did not answer";
    }
}

numbers! {
    /// Messages that were dropped before they were known to belong to a tunnel.
    Drops {
        short "shorter than a header";
        flags "T, L or S bit not set";
        version "not version 3";
        length "the Length field does not fit";
        unknown_ccid "a Control Connection ID that is not ours";
        wrong_source "a Control Connection ID of ours from another address";
        unknown_peer "an SCCRQ or StopCCN from an address that no tunnel names";
        malformed "AVPs that could not be walked";
        bad_digest "no valid digest";
        rate "more SCCRQs than are looked at";
        limit "more half-open connections than are kept";
        reflected "our own SCCRQ, sent back to us";
        missing "an id that the engine should know and does not: please report it";
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.check)?;
        if !self.expected.is_empty() {
            write!(f, ": expected {}", self.expected)?;
        }
        if !self.received.is_empty() {
            let lead = if self.expected.is_empty() { ":" } else { "," };
            write!(f, "{lead} received {}", self.received)?;
        }
        Ok(())
    }
}

impl Failure {
    /// A failure that has no values to compare.
    pub fn new(check: impl Into<String>, cause: Cause) -> Failure {
        Failure { check: check.into(), expected: String::new(), received: String::new(), cause }
    }

    /// A check that compared two values.
    pub fn compared(
        check: impl Into<String>,
        expected: impl Into<String>,
        received: impl Into<String>,
        cause: Cause,
    ) -> Failure {
        Failure { check: check.into(), expected: expected.into(), received: received.into(), cause }
    }
}
