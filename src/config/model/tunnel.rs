//! A tunnel block.

use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use super::encapsulation::{Encapsulations, Ports};
use super::session::{CookieLength, SessionConfig};
use super::via::{Device, Via};
use crate::config::field::{words, Field, Repeated};
use crate::config::tag::{self, rows, Block, Effect::*, Row, Tag, Unset::*};
use crate::config::value::{
    Kind::{self, *},
    Value,
};
use crate::log::Event;
use crate::saved::saved;
use crate::wire::digest::Secret;
use crate::wire::Encapsulation;

/// A tunnel block: a control connection to one peer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TunnelConfig {
    /// The name after `tunnel`.
    pub name: String,
    /// Line of the file where the block begins.
    pub line: usize,
    /// The address that we send from; `None`: the one that the kernel chooses for the route.
    pub local_address: Option<IpAddr>,
    /// The peer's address; several: those of peers, in an order of preference. Required.
    pub remotes: Vec<Remote>,
    /// How long a better peer has to be within reach before it is used again; `Never`: not before the one in use is lost.
    pub revert_after: RevertAfter,
    /// What is kept ready for the next peer.
    pub standby: Standby,
    /// Our Host Name towards this peer. The block's, or the global `hostname`, or the system's name.
    pub local_hostname: Vec<u8>,
    /// Our Router ID towards this peer. The block's, or the global one, or derived from a local address.
    pub local_router_id: Option<[u8; 4]>,
    /// The Host Name that the peer must give; required.
    pub remote_hostname: Option<Check<Vec<u8>>>,
    /// The Router ID that the peer must give; required.
    pub remote_router_id: Option<Check<[u8; 4]>>,
    /// Shared secret: every control message is authenticated.
    pub password: Option<Secret>,
    /// Another secret accepted on receipt, while passwords are changed.
    pub password_old: Option<Secret>,
    /// Message Digest: with a password; md5 also without one.
    pub digest: Digest,
    /// Cookies of the data messages of sessions that do not say it themselves, in both directions.
    pub cookie: CookieLength,
    /// Retransmissions of a control message before the peer counts as lost.
    pub retry: u32,
    /// Time before the first retransmission, where it is given; each interval is twice the one before.
    pub retry_interval: Option<RetryInterval>,
    /// The longest interval between retransmissions.
    pub retry_interval_max: Duration,
    /// Silence before HELLO is sent.
    pub hello_interval: Option<Duration>,
    /// Control messages that the peer may have under way.
    pub receive_window: u16,
    /// Time that one set-up may take.
    pub setup_timeout: Duration,
    /// Time between two attempts to set up, 25 % more or less. The block's, or the global one.
    pub restart_interval: Duration,
    /// Towards a peer that is mute that time doubles up to this; not less than that.
    pub restart_interval_max: Duration,
    /// Time after which the name of a peer is looked up again, even while all is well.
    pub resolve_interval: Option<Duration>,
    /// Time that a closed tunnel still acknowledges.
    pub linger: Duration,
    /// IP protocol 115, or UDP.
    pub encapsulations: Encapsulations,
    /// Local port and remote port.
    pub udp_port: Ports,
    /// The interface, or the VRF, that the packets leave and come by.
    pub bind_device: Device,
    /// The mark that the packets leave with, for rules of routing; 0 is none.
    pub fwmark: u32,
    /// What keeps a translator between us and the peer from forgetting the connection.
    pub nat_keepalive: NatKeepalive,
    /// Which AVPs are spoken.
    pub compatibility: Compatibility,
    /// What becomes of a message with reserved bits set.
    pub reserved_bits: ReservedBits,
    /// Who may begin.
    pub role: Role,
    /// Hide the AVPs that may be hidden.
    pub hidden: bool,
    /// Whose paths are probed for the longest packets that they carry.
    pub mtu_probing: MtuProbing,
    /// Set the DF bit of outer IPv4 packets.
    pub dont_fragment: bool,
    /// TTL or hop limit of outer packets.
    pub ttl: u8,
    /// TOS or traffic class of outer data packets.
    pub tos: Tos,
    /// Command run when the tunnel or one of its sessions changes, split into words.
    pub on_event: Option<Vec<String>>,
    /// The tunnel is not set up.
    pub disabled: bool,
    /// The session blocks, in the order of the file; interface names are unique in the whole file.
    pub sessions: Vec<Rc<SessionConfig>>,
}

/// The tag that opens a tunnel block.
pub static TUNNEL_HEADER: Tag = tag::header("tunnel", Block::Global, TunnelName);

/// The tags of a tunnel, in the order of the manual.
pub static TUNNEL: &[Row<TunnelConfig>] = rows! { TunnelConfig, Block::Tunnel;
    "local-address"        local_address,        Address,          SetUp,     As("auto");
    "remote-address"       remotes,              AddressOrName,    SetUp,     Text("required");
    "revert-after"         revert_after,         Number(1, 86400), Live,      As("60");
    "standby"              standby,              Word,             Live,      As("cold");
    "local-hostname"       local_hostname,       Octets,           SetUp,     Text("hostname");
    "local-router-id"      local_router_id,      RouterId,         SetUp,     Text("router-id");
    "remote-hostname"      remote_hostname,      Octets,           SetUp,     Text("required");
    "remote-router-id"     remote_router_id,     RouterId,         SetUp,     Text("required");
    "password"             password,             Octets,           SetUp,     Text("none");
    "password-old"         password_old,         Octets,           Live,      Text("none");
    "digest"               digest,               Word,             SetUp,     As("auto");
    "cookie"               cookie,               Word,             Inherited, As("off");
    "retry"                retry,                Number(1, 99),    Live,      As("10");
    "retry-interval"       retry_interval,       RETRY,            Live,      Text("1 or auto, by the hello-interval");
    "retry-interval-max"   retry_interval_max,   RETRY,            Live,      As("8");
    "hello-interval"       hello_interval,       HELLO,            Live,      As("60");
    "receive-window"       receive_window,       Number(1, 65535), SetUp,     As("8");
    "setup-timeout"        setup_timeout,        Number(1, 3600),  Live,      As("31");
    "restart-interval"     restart_interval,     Number(1, 3600),  Live,      Text("the global one");
    "restart-interval-max" restart_interval_max, Number(1, 3600),  Live,      As("80");
    "resolve-interval"     resolve_interval,     Number(1, 86400), Live,      As("300");
    "linger"               linger,               Number(1, 3600),  Live,      As("31");
    "encapsulation"        encapsulations,       OneOrTwoWords,    SetUp,     As("ip");
    "udp-port"             udp_port,             Kind::Ports,      SetUp,     As("1701 1701");
    "bind-device"          bind_device,          InterfaceName,    SetUp,     Text("none");
    "fwmark"               fwmark,               Mark,             SetUp,     Text("none");
    "nat-keepalive"        nat_keepalive,        Number(1, 3600),  Live,      As("auto");
    "compatibility"        compatibility,        Word,             SetUp,     As("auto");
    "reserved-bits"        reserved_bits,        Word,             Live,      As("discard");
    "role"                 role,                 Word,             SetUp,     As("both");
    "hidden"               hidden,               Word,             SetUp,     As("off");
    "dont-fragment"        dont_fragment,        Word,             Live,      As("off");
    "mtu-probing"          mtu_probing,          Word,             Live,      As("auto");
    "ttl"                  ttl,                  Number(1, 255),   Live,      As("64");
    "tos"                  tos,                  Number(0, 255),   Live,      As("0");
    "on-event"             on_event,             Command,          Live,      Text("none");
    "disable"              disabled,             Flag,             SetUp,     Text("");
};

const RETRY: Kind = Seconds(50, 60_000);
const HELLO: Kind = Seconds(100, 3_600_000);

/// Time before the first retransmission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryInterval {
    /// As the measured round trip suggests.
    Auto,
    /// This long.
    Fixed(Duration),
}

words! { RetryInterval { Auto = "auto" } else Fixed(Duration) }

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

impl Repeated for Remote {}

saved!(
    enum Remote {
        Any,
        Address(a),
        Name(a),
    }
);

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Remote::Any => f.write_str("any"),
            Remote::Address(address) => address.fmt(f),
            Remote::Name(name) => f.write_str(name),
        }
    }
}

/// How long a better peer has to be within reach before it is used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RevertAfter {
    /// It is not used before the one in use is lost.
    #[default]
    Never,
    /// So long.
    After(Duration),
}

words! { RevertAfter { Never = "never" } else After(Duration) }

/// What is kept ready for the next peer while another one is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Standby {
    /// Nothing.
    #[default]
    Cold,
    /// Its control connection and sessions are up, and carry no frames.
    Hot,
}

words! { Standby { Cold = "cold", Hot = "hot" } }

/// Whether, and against what, something that the peer says is checked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

/// When something is sent only for the sake of a translator (NAT).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NatKeepalive {
    /// Where the addresses tell that there is one.
    #[default]
    Auto,
    /// Never.
    None,
    /// When nothing was sent for so long.
    Every(Duration),
}

words! { NatKeepalive { Auto = "auto", None = "none" } else Every(Duration) }

/// Whose paths are probed for the longest packets that they carry, by long HELLOs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MtuProbing {
    /// Those of peers that are this program.
    #[default]
    Auto,
    /// Every peer's.
    On,
    /// Nobody's.
    Off,
}

words! { MtuProbing { Auto = "auto", On = "on", Off = "off" } }

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

impl Tos {
    /// Of packets whose frame has none, or is not looked at.
    pub fn fixed(self) -> u8 {
        match self {
            Tos::Value(tos) => tos,
            Tos::Copy => 0,
        }
    }
}

impl TunnelConfig {
    /// A tunnel with every tag at its default. Without `local_router_id` it has a problem yet.
    pub fn new(name: &str) -> TunnelConfig {
        TunnelConfig { name: name.to_owned(), ..tag::defaults(TUNNEL) }
    }

    /// The Host Name and the Router ID that the peer must tell; `None` where any will do.
    pub fn peer_identity(&self) -> (Option<&[u8]>, Option<&[u8]>) {
        fn exactly<T: AsRef<[u8]>>(check: &Option<Check<T>>) -> Option<&[u8]> {
            match check {
                Some(Check::Exactly(value)) => Some(value.as_ref()),
                Some(Check::Any) | None => None,
            }
        }
        (exactly(&self.remote_hostname), exactly(&self.remote_router_id))
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
                text: session.problem()?.to_owned(),
            })
        });
        tunnel.into_iter().chain(sessions).collect()
    }

    /// `retry-interval`. Where it is not given it is the second that RFC 3931 4.2 recommends, except where HELLOs follow
    /// each other faster than that: then somebody wants to know soon.
    pub fn first_retry(&self) -> RetryInterval {
        const SECOND: Duration = Duration::from_secs(1);
        match (self.retry_interval, self.hello_interval) {
            (Some(given), _) => given,
            (None, Some(hello)) if hello < SECOND => RetryInterval::Auto,
            (None, _) => RetryInterval::Fixed(SECOND),
        }
    }

    /// How packets are carried, at first.
    pub fn encapsulation(&self) -> Encapsulation {
        self.encapsulations.first
    }

    /// One way to carry packets, or two.
    pub fn each_encapsulation(&self) -> impl Iterator<Item = Encapsulation> {
        [Some(self.encapsulations.first), self.encapsulations.second].into_iter().flatten()
    }

    /// Our port and the peer's; 0 over IP.
    pub fn ports_of(&self, encapsulation: Encapsulation) -> (u16, u16) {
        match encapsulation {
            Encapsulation::Ip => (0, 0),
            Encapsulation::Udp => (self.udp_port.local, self.udp_port.remote),
        }
    }

    /// `bind-device` and `fwmark`.
    pub fn via(&self) -> Via {
        Via { device: self.bind_device, mark: self.fwmark }
    }

    /// Whoever proves to be the peer may be anywhere.
    pub fn is_for_any(&self) -> bool {
        self.remotes.contains(&Remote::Any)
    }

    /// The names among the peers.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.remotes.iter().filter_map(|remote| match remote {
            Remote::Name(name) => Some(name.as_str()),
            Remote::Any | Remote::Address(_) => None,
        })
    }

    /// The addresses among the peers.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.remotes.iter().filter_map(|remote| match remote {
            Remote::Address(address) => Some(*address),
            Remote::Any | Remote::Name(_) => None,
        })
    }

    /// Nothing is negotiated: it has sessions, and all of them are manual.
    pub fn is_manual(&self) -> bool {
        !self.sessions.is_empty() && self.sessions.iter().all(|s| s.manual.is_some())
    }

    /// All that is missing before this tunnel can be started, in words.
    pub fn problem(&self) -> Option<String> {
        // Where nothing is negotiated, nobody checks names.
        let checks = !self.is_manual();
        let missing = [
            (self.remotes.is_empty(), "remote-address is missing"),
            (
                checks && self.remote_hostname.is_none(),
                "remote-hostname is missing (`any` turns the check off)",
            ),
            (
                checks && self.remote_router_id.is_none(),
                "remote-router-id is missing (`any` turns the check off)",
            ),
        ];
        let texts: Vec<&str> = missing.into_iter().filter_map(|(is, text)| is.then_some(text)).collect();
        (!texts.is_empty()).then(|| texts.join("; "))
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
    /// All that is missing.
    pub text: String,
}
