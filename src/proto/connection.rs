//! A control connection: its state, and the table of what each received message does in each state (RFC 3931 7.2
//! with the product's deviations, which `man 5 l2tpd.conf` lists).

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::action::Path;
use super::auth::Auth;
use super::channel::{Channel, Retry, Transmission};
use super::tunnel::TunnelKey;
use crate::config::model::{Compatibility, ReservedBits, Tunnel};
use crate::wheel::TimerId;
use crate::wire::message::{Dialect, SetUp};
use crate::wire::{header, Ccid, MessageType, SessionId};

/// The states of RFC 3931 7.2, and two for the time after a StopCCN. `Idle` lasts only while a connection is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing was sent yet.
    Idle,
    /// SCCRQ sent.
    WaitCtlReply,
    /// SCCRP sent.
    WaitCtlConn,
    /// Sessions may be set up.
    Established,
    /// StopCCN sent, not acknowledged yet.
    Stopping,
    /// StopCCN received, or a tie lost: only acknowledges.
    Linger,
}

impl State {
    /// The state's name in the log.
    pub fn log_name(self) -> &'static str {
        match self {
            State::Idle | State::Stopping | State::Linger => "IDLE",
            State::WaitCtlReply => "WAIT-CTL-REPLY",
            State::WaitCtlConn => "WAIT-CTL-CONN",
            State::Established => "ESTABLISHED",
        }
    }

    /// The state's name in the status.
    pub fn status_name(self) -> &'static str {
        match self {
            State::Idle | State::Linger => "idle",
            State::WaitCtlReply => "wait-ctl-reply",
            State::WaitCtlConn => "wait-ctl-conn",
            State::Established => "established",
            State::Stopping => "stopping",
        }
    }
}

/// What a received message does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row {
    /// Take the SCCRP: identity check, SCCCN, established.
    AcceptReply,
    /// Take the SCCCN: established.
    AcceptConnected,
    /// The peer is there: acknowledge.
    Hello,
    /// Hand it to the session's table.
    Session,
    /// Clear everything, acknowledge, linger.
    Stop,
    /// Outgoing calls are not supported: say so.
    Unsupported,
    /// An SCCRP for an SCCRQ that was given up (a tie lost, a StopCCN received): say so with a StopCCN.
    Decline,
    /// Acknowledge and log that it does not fit the state.
    Ignore,
}

/// The table. Only messages that are new (their Ns is the expected one) and authentic come here; acknowledgements
/// never do. A message that RFC 3931 7.2 answers with StopCCN, because it does not fit the state, is acknowledged
/// and ignored instead, as the product does: a stray message must not cut a working tunnel.
pub fn row(state: State, message: MessageType) -> Row {
    use State::{Established, Idle, Linger, Stopping, WaitCtlConn, WaitCtlReply};
    match (message, state) {
        (MessageType::SCCRP, WaitCtlReply) => Row::AcceptReply,
        (MessageType::SCCRP, Linger) => Row::Decline,
        (MessageType::SCCRP, Idle | WaitCtlConn | Established | Stopping) => Row::Ignore,
        (MessageType::SCCCN, WaitCtlConn) => Row::AcceptConnected,
        (MessageType::SCCCN, Idle | WaitCtlReply | Established | Stopping | Linger) => Row::Ignore,
        (MessageType::STOPCCN, Idle | WaitCtlReply | WaitCtlConn | Established | Stopping | Linger) => {
            Row::Stop
        }
        (MessageType::HELLO, Established) => Row::Hello,
        (MessageType::HELLO, Idle | WaitCtlReply | WaitCtlConn | Stopping | Linger) => Row::Ignore,
        (
            MessageType::ICRQ
            | MessageType::ICRP
            | MessageType::ICCN
            | MessageType::CDN
            | MessageType::SLI
            | MessageType::WEN,
            Established,
        ) => Row::Session,
        (
            MessageType::ICRQ
            | MessageType::ICRP
            | MessageType::ICCN
            | MessageType::CDN
            | MessageType::SLI
            | MessageType::WEN,
            Idle | WaitCtlReply | WaitCtlConn | Stopping | Linger,
        ) => Row::Ignore,
        (MessageType::OCRQ | MessageType::OCRP | MessageType::OCCN, Established) => Row::Unsupported,
        (
            MessageType::OCRQ | MessageType::OCRP | MessageType::OCCN,
            Idle | WaitCtlReply | WaitCtlConn | Stopping | Linger,
        ) => Row::Ignore,
        // An SCCRQ has a CCID of 0 and is looked at before any connection; with ours it is out of place. Types
        // without a name never get here: decoding refuses them.
        (_, Idle | WaitCtlReply | WaitCtlConn | Established | Stopping | Linger) => Row::Ignore,
    }
}

/// What the peer told about itself.
#[derive(Debug, Clone, Default)]
pub struct Peer {
    /// Host Name.
    pub host_name: Vec<u8>,
    /// Router ID.
    pub router_id: [u8; 4],
    /// Vendor Name.
    pub vendor_name: Option<Vec<u8>>,
    /// Pseudowire Capabilities List.
    pub pw_capabilities: Vec<u16>,
}

/// The timers of a connection.
#[derive(Debug, Default)]
pub struct Timers {
    /// Acknowledgement of the oldest message in flight.
    pub retransmit: Option<TimerId>,
    /// Nothing heard from the peer.
    pub hello: Option<TimerId>,
    /// An acknowledgement that waits for a message to carry it.
    pub acknowledge: Option<TimerId>,
    /// The set-up takes too long, or the linger time is over.
    pub guard: Option<TimerId>,
}

/// A message that is ready to leave.
#[derive(Debug)]
pub struct Sealed {
    /// Where to.
    pub path: Path,
    /// The octets, signed.
    pub message: Vec<u8>,
    /// Their type.
    pub message_type: MessageType,
    /// Which transmission this is, from 1.
    pub count: u32,
}

/// A control connection.
#[derive(Debug)]
pub struct Connection {
    /// The tunnel that it belongs to; the tunnel may be gone while a StopCCN still waits for its acknowledgement.
    pub tunnel: TunnelKey,
    /// The tunnel's name.
    pub name: String,
    /// Our id.
    pub ccid: Ccid,
    /// The peer's id; 0 until it is known.
    pub remote_ccid: Ccid,
    /// Where messages go.
    pub path: Path,
    /// Where it stands.
    pub state: State,
    /// Since when.
    pub since: Instant,
    /// We sent the SCCRQ.
    pub initiator: bool,
    /// Reliable delivery.
    pub channel: Channel,
    /// Authentication.
    pub auth: Auth,
    /// The tie breaker of our SCCRQ, or of the peer's.
    pub tie_breaker: Option<[u8; 8]>,
    /// The nonce that the peer's SCCRQ carried, also where none is used: it tells a repetition of that SCCRQ from
    /// another one.
    pub request_nonce: Option<Vec<u8>>,
    /// An SCCRQ equal to the one that this connection answered was answered anew (see `request`).
    pub doubted: bool,
    /// What the peer told about itself.
    pub peer: Peer,
    /// Which AVPs we write.
    pub dialect: Dialect,
    /// Understand Cisco's AVPs.
    pub cisco: bool,
    /// A reserved AVP bit makes the message void.
    pub discard_reserved: bool,
    /// Hide what may be hidden.
    pub hidden: bool,
    /// `linger`.
    pub linger: Duration,
    /// When a message of the peer came last.
    pub heard: Instant,
    /// Its timers.
    pub timers: Timers,
    /// Our ids of its sessions.
    pub sessions: BTreeSet<SessionId>,
    /// A reply is being prepared and will carry the acknowledgement.
    pub reply_pending: bool,
    /// It was said that it is out of service.
    pub cleaned_up: bool,
}

impl Connection {
    /// A connection in state idle, with the settings of `tunnel`.
    pub fn new(now: Instant, key: TunnelKey, tunnel: &Tunnel, ccid: Ccid, path: Path) -> Connection {
        Connection {
            tunnel: key,
            name: tunnel.name.clone(),
            ccid,
            remote_ccid: Ccid(0),
            path,
            state: State::Idle,
            since: now,
            initiator: false,
            channel: Channel::new(retry(tunnel), tunnel.receive_window),
            auth: Auth::new(tunnel),
            tie_breaker: None,
            request_nonce: None,
            doubted: false,
            peer: Peer::default(),
            dialect: match tunnel.compatibility {
                Compatibility::Auto | Compatibility::Rfc => Dialect::IETF,
                Compatibility::Cisco => Dialect::BOTH,
            },
            cisco: tunnel.compatibility != Compatibility::Rfc,
            discard_reserved: tunnel.reserved_bits == ReservedBits::Discard,
            hidden: tunnel.hidden,
            linger: tunnel.linger,
            heard: now,
            timers: Timers::default(),
            sessions: BTreeSet::new(),
            reply_pending: false,
            cleaned_up: false,
        }
    }

    /// Takes over the settings that may change while the connection is up.
    pub fn update(&mut self, tunnel: &Tunnel) {
        self.channel.retry = retry(tunnel);
        self.discard_reserved = tunnel.reserved_bits == ReservedBits::Discard;
        self.linger = tunnel.linger;
    }

    /// Takes over what the peer told in its SCCRQ or SCCRP.
    pub fn take_peer(&mut self, set_up: &SetUp, compatibility: Compatibility) {
        self.remote_ccid = set_up.assigned_ccid;
        self.channel.set_peer_window(set_up.receive_window.unwrap_or(super::channel::DEFAULT_WINDOW));
        self.peer = Peer {
            host_name: set_up.host_name.clone(),
            router_id: set_up.router_id,
            vendor_name: set_up.vendor_name.clone(),
            pw_capabilities: set_up.pw_capabilities.clone(),
        };
        // `compatibility auto`: the AVPs that the peer uses; the other settings never change their mind.
        match compatibility {
            Compatibility::Auto => self.dialect = set_up.dialect,
            Compatibility::Cisco if !set_up.dialect.ietf => self.dialect = Dialect::CISCO,
            Compatibility::Cisco | Compatibility::Rfc => {}
        }
    }

    /// Takes a message from the channel and makes it ready to leave: ids and numbers as they are now, signed.
    pub fn seal(&mut self, take: impl FnOnce(&mut Channel) -> Option<Transmission<'_>>) -> Option<Sealed> {
        let nr = self.channel.nr();
        let Transmission { message, message_type, ns, count } = take(&mut self.channel)?;
        let mut message = message.to_vec();
        header::stamp(&mut message, self.remote_ccid, ns, nr);
        self.auth.sign(message_type, &mut message);
        Some(Sealed { path: self.path, message, message_type, count })
    }

    /// Whether it still serves or may come to serve its tunnel.
    pub fn is_alive(&self) -> bool {
        match self.state {
            State::Idle | State::WaitCtlReply | State::WaitCtlConn | State::Established => true,
            State::Stopping | State::Linger => false,
        }
    }
}

fn retry(tunnel: &Tunnel) -> Retry {
    Retry { limit: tunnel.retry, interval: tunnel.retry_interval, interval_max: tunnel.retry_interval_max }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [State; 6] = [
        State::Idle,
        State::WaitCtlReply,
        State::WaitCtlConn,
        State::Established,
        State::Stopping,
        State::Linger,
    ];

    /// The whole table, as data: one letter a state, in the order of [`STATES`].
    /// C-113, C-114, C-120, C-123, C-126, C-214: what RFC 3931 answers with StopCCN is ignored (`i`).
    #[test]
    fn c_110_to_c_127_control_connection_table() {
        for (message, expected) in [
            (MessageType::SCCRQ, "iiiiii"),
            (MessageType::SCCRP, "iriiid"), // C-100
            (MessageType::SCCCN, "iiciii"),
            (MessageType::STOPCCN, "ssssss"),
            (MessageType::HELLO, "iiihii"),
            (MessageType::ICRQ, "iii+ii"),
            (MessageType::ICRP, "iii+ii"),
            (MessageType::ICCN, "iii+ii"),
            (MessageType::CDN, "iii+ii"),
            (MessageType::SLI, "iii+ii"),
            (MessageType::WEN, "iii+ii"),
            (MessageType::OCRQ, "iiiuii"),
            (MessageType::OCRP, "iiiuii"),
            (MessageType::OCCN, "iiiuii"),
        ] {
            let actual: String = STATES
                .iter()
                .map(|state| match row(*state, message) {
                    Row::AcceptReply => 'r',
                    Row::AcceptConnected => 'c',
                    Row::Hello => 'h',
                    Row::Session => '+',
                    Row::Stop => 's',
                    Row::Unsupported => 'u',
                    Row::Decline => 'd',
                    Row::Ignore => 'i',
                })
                .collect();
            assert_eq!(actual, expected, "{message}");
        }
    }
}
