//! A tunnel block.

use std::net::IpAddr;
use std::time::Duration;

use super::session::{CookieLength, Session};
use crate::config::field::{words, Field};
use crate::config::tag::{self, rows, Block, Effect::*, Row, Tag, Unset::*};
use crate::config::value::{
    Kind::{self, *},
    Value,
};
use crate::log::Event;
use crate::wire::digest::Secret;
use crate::wire::Encapsulation;

/// A tunnel block: a control connection to one peer. The rows below say what each field is.
#[allow(missing_docs)]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tunnel {
    /// The name after `tunnel`.
    pub name: String,
    /// Line of the file where the block begins.
    pub line: usize,
    pub local_address: Option<IpAddr>,
    /// `None`: missing.
    pub remote: Option<Remote>,
    /// The block's, or the global `hostname`, or the system's name.
    pub local_hostname: Vec<u8>,
    /// The block's, or the global one, or derived from a local address.
    pub local_router_id: Option<[u8; 4]>,
    /// `None`: missing.
    pub remote_hostname: Option<Check<Vec<u8>>>,
    /// `None`: missing.
    pub remote_router_id: Option<Check<[u8; 4]>>,
    pub password: Option<Secret>,
    pub password_old: Option<Secret>,
    pub digest: Digest,
    /// For sessions that do not say it themselves.
    pub cookie: CookieLength,
    pub retry: u32,
    pub retry_interval: Duration,
    pub retry_interval_max: Duration,
    pub hello_interval: Option<Duration>,
    pub receive_window: u16,
    pub setup_timeout: Duration,
    /// The block's, or the global one.
    pub restart_interval: Duration,
    pub linger: Duration,
    pub encapsulation: Encapsulation,
    pub udp_port: Ports,
    pub compatibility: Compatibility,
    pub reserved_bits: ReservedBits,
    pub role: Role,
    pub hidden: bool,
    pub dont_fragment: bool,
    pub ttl: u8,
    pub tos: Tos,
    /// The command, split into words.
    pub on_event: Option<Vec<String>>,
    pub disabled: bool,
    /// The session blocks, in the order of the file; interface names are unique in the whole file.
    pub sessions: Vec<Session>,
}

/// The tag that opens a tunnel block.
pub static TUNNEL_HEADER: Tag = tag::header(
    "tunnel",
    Block::Global,
    TunnelName,
    "opens the block of a tunnel, a control connection to one peer",
);

/// The tags of a tunnel, in the order of the manual.
pub static TUNNEL: &[Row<Tunnel>] = rows! { Tunnel, Block::Tunnel;
    "local-address" local_address, Address, As("auto"), SetUp, "our address";
    "remote-address" remote, AddressOrName, Text("required"), SetUp, "the peer's address; any: answer only";
    "local-hostname" local_hostname, Octets, Text("hostname"), SetUp, "our Host Name towards this peer";
    "local-router-id" local_router_id, RouterId, Text("router-id"), SetUp, "our Router ID towards this peer";
    "remote-hostname" remote_hostname, Octets, Text("required"), SetUp, "the Host Name that the peer must give";
    "remote-router-id" remote_router_id, RouterId, Text("required"), SetUp, "the Router ID that the peer must give";
    "password" password, Octets, Text("none"), SetUp, "shared secret: every control message is authenticated";
    "password-old" password_old, Octets, Text("none"), Live,
        "another secret accepted on receipt, while passwords are changed";
    "digest" digest, Word, As("auto"), SetUp, "Message Digest: with a password; md5 also without one";
    "cookie" cookie, Word, As("off"), Inherited,
        "octets of the cookie of data messages, in both directions; on is 4";
    "retry" retry, Number(1, 99), As("10"), Live,
        "retransmissions of a control message before the peer counts as lost";
    "retry-interval" retry_interval, Seconds, As("1"), Live,
        "seconds before the first retransmission; each gap doubles the last one";
    "retry-interval-max" retry_interval_max, Seconds, As("8"), Live,
        "the longest gap between retransmissions, in seconds";
    "hello-interval" hello_interval, Number(1, 3600), As("60"), Live, "seconds of silence before HELLO is sent";
    "receive-window" receive_window, Number(1, 65535), As("8"), SetUp,
        "control messages that the peer may have under way";
    "setup-timeout" setup_timeout, Number(1, 3600), As("31"), Live, "seconds that one set-up may take";
    "restart-interval" restart_interval, Number(1, 3600), Text("the global one"), Live,
        "seconds between two attempts to set up, 25 % more or less";
    "linger" linger, Number(1, 3600), As("31"), Live, "seconds that a closed tunnel still acknowledges";
    "encapsulation" encapsulation, Word, As("ip"), SetUp, "IP protocol 115, or UDP";
    "udp-port" udp_port, Kind::Ports, As("1701 1701"), SetUp, "local port and remote port";
    "compatibility" compatibility, Word, As("auto"), SetUp, "which AVPs are spoken";
    "reserved-bits" reserved_bits, Word, As("discard"), Live, "what becomes of a message with reserved bits set";
    "role" role, Word, As("both"), SetUp, "who may begin";
    "hidden" hidden, Word, As("off"), SetUp, "hide the AVPs that may be hidden";
    "dont-fragment" dont_fragment, Word, As("off"), Live, "set the DF bit of outer IPv4 packets";
    "ttl" ttl, Number(1, 255), As("64"), Live, "TTL or hop limit of outer packets";
    "tos" tos, Number(0, 255), As("0"), Live, "TOS or traffic class of outer data packets";
    "on-event" on_event, Command, Text("none"), Live,
        "command run when the tunnel or one of its sessions changes";
    "disable" disabled, Flag, Text(""), SetUp, "the tunnel is not set up";
};

/// The peer's address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Remote {
    /// Answer only, whoever proves to be the peer.
    Any,
    /// An address.
    Address(IpAddr),
    /// A host name, looked up before each attempt.
    Name(String),
}

impl Field for Remote {
    const WORDS: &'static [&'static str] = &["any"];

    fn from_value(value: Value) -> Option<Remote> {
        match value {
            Value::Word("any") => Some(Remote::Any),
            Value::Address(address) => Some(Remote::Address(address)),
            Value::HostName(name) => Some(Remote::Name(name)),
            _ => None,
        }
    }
}

/// Whether, and against what, something that the peer says is checked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Check<T> {
    /// Not checked.
    Any,
    /// What the peer must say.
    Exactly(T),
}

words! { Check<Vec<u8>> { Any = "any" } else Exactly(Vec<u8>) }
words! { Check<[u8; 4]> { Any = "any" } else Exactly([u8; 4]) }

/// Message Digest, resolved against whether there is a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Digest {
    /// With a password every message is authenticated; without one there is no digest.
    #[default]
    Auto,
    /// Without a password: a digest under the empty secret, as integrity check.
    Md5,
    /// No digest is sent, even with a password (refused by the parser).
    None,
}

words! { Digest { Auto = "auto", Md5 = "md5", None = "none" } }
words! { Encapsulation { Ip = "ip", Udp = "udp" } }

/// UDP ports, for `encapsulation udp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ports {
    /// Ours.
    pub local: u16,
    /// The peer's.
    pub remote: u16,
}

impl Field for Ports {
    fn from_value(value: Value) -> Option<Ports> {
        match value {
            Value::Ports(local, remote) => Some(Ports { local, remote }),
            _ => None,
        }
    }
}

/// Which AVPs are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compatibility {
    /// Answer with the AVPs that the peer uses; begin with those of RFC 3931.
    #[default]
    Auto,
    /// Begin with both sets of AVPs.
    Cisco,
    /// RFC 3931 alone: vendor-9 AVPs are unknown ones.
    Rfc,
}

words! { Compatibility { Auto = "auto", Cisco = "cisco", Rfc = "rfc" } }

/// What becomes of a message with a reserved AVP bit set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReservedBits {
    /// It is dropped.
    #[default]
    Discard,
    /// It is read as if the bit were clear.
    Ignore,
}

words! { ReservedBits { Discard = "discard", Ignore = "ignore" } }

/// Who may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// Begin, and answer.
    #[default]
    Both,
    /// Begin; an SCCRQ of the peer is refused.
    Active,
    /// Answer only.
    Passive,
}

words! { Role { Both = "both", Active = "active", Passive = "passive" } }

/// TOS or traffic class of outer data packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tos {
    /// That of the frame's IP packet; 0 for other frames.
    #[default]
    Copy,
    /// This value.
    Value(u8),
}

words! { Tos { Copy = "copy" } else Value(u8) }

impl Tunnel {
    /// A tunnel with every tag at its default. Without `local_router_id` it has a problem yet.
    pub fn new(name: &str) -> Tunnel {
        Tunnel { name: name.to_owned(), ..tag::defaults(TUNNEL) }
    }

    /// What keeps this tunnel or sessions of it from being started, in the order of the file; what is disabled is
    /// not looked at. It does not keep the others from being started.
    pub fn problems(&self) -> Vec<Problem> {
        if self.disabled {
            return Vec::new();
        }
        let tunnel = self.problem().map(|text| Problem {
            line: self.line,
            event: Event::TunnelConfigurationFailed {},
            interface: None,
            text,
        });
        let enabled = self.sessions.iter().filter(|s| !s.disabled);
        let sessions = enabled.filter_map(|session| {
            Some(Problem {
                line: session.line,
                event: Event::SessionConfigurationFailed {},
                interface: Some(session.interface.clone()),
                text: session.problem()?,
            })
        });
        tunnel.into_iter().chain(sessions).collect()
    }

    /// Nothing is negotiated: it has sessions, and all of them are manual.
    pub fn is_manual(&self) -> bool {
        !self.sessions.is_empty() && self.sessions.iter().all(|s| s.manual.is_some())
    }

    /// What is missing before this tunnel can be started, in words.
    pub fn problem(&self) -> Option<&'static str> {
        if self.remote.is_none() {
            return Some("remote-address is missing");
        }
        if self.is_manual() {
            return None; // nothing is negotiated: nobody checks names
        }
        if self.remote_hostname.is_none() {
            return Some("remote-hostname is missing (`any` turns the check off)");
        }
        if self.remote_router_id.is_none() {
            return Some("remote-router-id is missing (`any` turns the check off)");
        }
        if self.local_router_id.is_none() {
            return Some("router-id is missing and there is no local IPv4 address to derive it from");
        }
        None
    }

    /// The secret that messages are signed with: the password, or the empty one where only integrity is wanted.
    pub fn signing_secret(&self) -> Option<Secret> {
        match (&self.password, self.digest) {
            (Some(secret), _) => Some(secret.clone()),
            (None, Digest::Md5) => Some(Secret::new(b"")),
            (None, Digest::Auto | Digest::None) => None,
        }
    }
}

/// Why a tunnel or session cannot be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line of the file where its block begins.
    pub line: usize,
    /// What the log says when it would have been started.
    pub event: Event,
    /// The session's; `None` for a problem of the tunnel itself.
    pub interface: Option<String>,
    /// What is missing.
    pub text: &'static str,
}
