//! A session block.

use crate::config::field::{words, Field};
use crate::config::tag::{self, rows, Block, Effect::*, Row, Tag, Unset::*};
use crate::config::value::{
    Kind::{self, *},
    Value,
};
use crate::wire::{Cookie, SessionId};

/// What is usually called a jumbo frame: its payload.
const JUMBO: usize = 9216;
/// Octets before it, with two VLAN tags.
const HEADER_AND_TAGS: usize = 14 + 8;

/// A session block: a pseudowire that ends at an interface.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SessionConfig {
    /// The name after `session`: the interface's.
    pub interface: String,
    /// Line of the file where the block begins.
    pub line: usize,
    /// Names the pseudowire; the same at both ends; required unless the session is manual.
    pub remote_end_id: Option<Vec<u8>>,
    /// The pseudowire type that is signalled.
    pub pseudowire: Pseudowire,
    /// Cookies of data messages, in both directions. The block's, or the tunnel's.
    pub cookie: CookieLength,
    /// The L2-specific sublayer of data messages.
    pub sublayer: Sublayer,
    /// Sequence numbers in data messages.
    pub sequencing: Sequencing,
    /// MTU of the interface.
    pub mtu: Mtu,
    /// Upper limit of the MSS of TCP connections that pass.
    pub tcp_mss: TcpMss,
    /// What becomes of frames that are too long for the path.
    pub oversize: Oversize,
    /// Bridge that the interface joins; created where it is missing.
    pub bridge: Option<String>,
    /// Frames of a session of this group go out by no other session of it.
    pub split_horizon: Option<String>,
    /// Whether probes look for loops through this session.
    pub loop_detection: bool,
    /// Frames to group addresses that pass in a second, in each direction.
    pub storm_limit: StormLimit,
    /// What the bridge does with link-local frames: those to 01:80:c2:00:00:00 to :0f.
    pub link_local_frames: LinkLocalFrames,
    /// Ethernet address of the interface.
    pub mac_address: Option<[u8; 6]>,
    /// Whether the interface has a carrier only while the session is up.
    pub link_state: LinkState,
    /// Local and remote session id, without control protocol.
    pub manual: Option<Manual>,
    /// Cookie that incoming frames must carry (manual only).
    pub local_cookie: Cookie,
    /// Cookie that outgoing frames carry (manual only).
    pub remote_cookie: Cookie,
    /// The session is not set up.
    pub disabled: bool,
}

/// The tag that opens a session block.
pub static SESSION_HEADER: Tag = tag::header("session", Block::Tunnel, InterfaceName);

/// The tags of a session, in the order of the manual.
pub static SESSION: &[Row<SessionConfig>] = rows! { SessionConfig, Block::Session;
    "remote-end-id"     remote_end_id,     Octets,             SetUp, Text("required");
    "pseudowire"        pseudowire,        Word,               SetUp, As("ethernet");
    "cookie"            cookie,            Word,               SetUp, Text("the tunnel's");
    "l2-sublayer"       sublayer,          Word,               SetUp, As("none");
    "sequencing"        sequencing,        Word,               SetUp, As("off");
    "mtu"               mtu,               Number(68, 65521),  Live,  As("auto");
    "tcp-mss"           tcp_mss,           Number(536, 65495), Live,  As("off");
    "oversize"          oversize,          Word,               Live,  As("fragment");
    "bridge"            bridge,            InterfaceName,      Live,  Text("none");
    "split-horizon"     split_horizon,     Account,            Live,  Text("none");
    "loop-detection"    loop_detection,    Word,               Live,  As("on");
    "storm-limit"       storm_limit,       Number(1, 10_000_000), Live, As("off");
    "link-local-frames" link_local_frames, Word,               Live,  As("drop");
    "mac-address"       mac_address,       Mac,                Live,  Text("derived from the names");
    "link-state"        link_state,        Word,               Live,  As("follow");
    "manual"            manual,            SessionIds,         SetUp, Text("none");
    "local-cookie"      local_cookie,      Hex,                SetUp, Text("none");
    "remote-cookie"     remote_cookie,     Hex,                SetUp, Text("none");
    "disable"           disabled,          Flag,               SetUp, Text("");
};

/// The pseudowire type that is signalled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pseudowire {
    /// Type 5.
    #[default]
    Ethernet,
    /// Type 4.
    Vlan,
}

words! { Pseudowire { Ethernet = "ethernet", Vlan = "vlan" } }

/// Octets of the cookies of both directions (RFC 3931 5.4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CookieLength {
    /// No cookie.
    #[default]
    Off,
    /// 4 octets.
    Four,
    /// 8 octets.
    Eight,
}

words! { CookieLength { Off = "off", Four = "on" | "4", Eight = "8" } }

impl CookieLength {
    /// 0, 4 or 8.
    pub fn octets(self) -> usize {
        match self {
            CookieLength::Off => 0,
            CookieLength::Four => 4,
            CookieLength::Eight => 8,
        }
    }
}

/// The L2-specific sublayer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sublayer {
    /// No sublayer.
    #[default]
    None,
    /// The default L2-specific sublayer (four octets).
    Default,
}

words! { Sublayer { None = "none", Default = "default" } }

/// Sequence numbers in data messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sequencing {
    /// The peer is not asked for them, and gets them only if it asks.
    #[default]
    Off,
    /// Frames that we send are numbered, whether the peer asks for it or not.
    Send,
    /// The peer is asked to number its frames, and their order is checked.
    Receive,
    /// Both of these.
    Both,
}

words! { Sequencing { Off = "off", Send = "send", Receive = "receive", Both = "both" } }

impl Sequencing {
    /// Frames that we send are numbered, whether the peer asks for it or not.
    pub fn sends(self) -> bool {
        matches!(self, Sequencing::Send | Sequencing::Both)
    }

    /// The peer is asked to number its frames, and their order is checked.
    pub fn receives(self) -> bool {
        matches!(self, Sequencing::Receive | Sequencing::Both)
    }
}

/// MTU of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mtu {
    /// What fits the path.
    #[default]
    Auto,
    /// This value.
    Value(usize),
}

words! { Mtu { Auto = "auto" } else Value(usize) }

/// Upper limit of the MSS of TCP connections that pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TcpMss {
    /// Frames pass as they are.
    #[default]
    Off,
    /// From the interface's MTU.
    Auto,
    /// This value.
    Value(u16),
}

words! { TcpMss { Off = "off", Auto = "auto" } else Value(u16) }

/// What becomes of frames that are too long for the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Oversize {
    /// They travel as fragments of IP, unless `dont-fragment` is on.
    #[default]
    Fragment,
    /// Their senders are told, where they can be.
    Icmp,
    /// They are dropped.
    Drop,
    /// They travel as fragments of the pseudowire (RFC 4623) where the peer takes them, else as with `Fragment`.
    Pseudowire,
}

words! { Oversize { Fragment = "fragment", Icmp = "icmp", Drop = "drop", Pseudowire = "pseudowire" } }

/// How many frames to group addresses pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StormLimit {
    /// All.
    #[default]
    Off,
    /// So many a second, in each direction.
    Frames(u32),
}

words! { StormLimit { Off = "off" } else Frames(u32) }

/// What the bridge does with link-local frames: those to 01:80:c2:00:00:00 to :0f.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LinkLocalFrames {
    /// What it is set to do: mostly it keeps them.
    #[default]
    Drop,
    /// It forwards all that the kernel lets it.
    Forward,
}

words! { LinkLocalFrames { Drop = "drop", Forward = "forward" } }

/// Whether the interface's carrier is that of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LinkState {
    /// It is.
    #[default]
    Follow,
    /// There is always a carrier.
    Up,
}

words! { LinkState { Follow = "follow", Up = "up" } }

/// The ids of a session without control protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manual {
    /// The id that incoming frames carry.
    pub local: SessionId,
    /// The id that outgoing frames carry.
    pub remote: SessionId,
}

impl Field for Manual {
    fn from_value(value: Value) -> Option<Manual> {
        match value {
            Value::SessionIds(local, remote) => {
                Some(Manual { local: SessionId(local), remote: SessionId(remote) })
            }
            _ => None,
        }
    }
}

impl SessionConfig {
    /// A session with every tag at its default.
    pub fn new(interface: &str) -> SessionConfig {
        SessionConfig { interface: interface.to_owned(), ..tag::defaults(SESSION) }
    }

    /// What is missing before this session can be started, in words.
    pub fn problem(&self) -> Option<&'static str> {
        (self.remote_end_id.is_none() && self.manual.is_none()).then_some("remote-end-id is missing")
    }

    /// The longest frame that is put together of fragments, where they are taken: a jumbo frame with two tags, or what the
    /// interface takes.
    pub fn longest_reassembled(&self) -> Option<u16> {
        let mtu = match self.mtu {
            Mtu::Value(mtu) => mtu.max(JUMBO),
            Mtu::Auto => JUMBO,
        };
        let longest = u16::try_from(mtu.saturating_add(HEADER_AND_TAGS)).unwrap_or(u16::MAX);
        (self.oversize == Oversize::Pseudowire).then_some(longest)
    }

    /// The pseudowire type that is signalled.
    pub fn pw_type(&self) -> u16 {
        match self.pseudowire {
            Pseudowire::Ethernet => crate::wire::PW_ETHERNET,
            Pseudowire::Vlan => crate::wire::PW_ETHERNET_VLAN,
        }
    }
}
