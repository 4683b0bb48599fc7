//! The configuration as values, defaults filled in. Knows nothing of the parser.

use std::net::IpAddr;
use std::time::Duration;

use crate::log::{Event, Level};
use crate::wire::digest::Secret;
use crate::wire::{Cookie, Encapsulation, SessionId};

/// A whole configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `log-level`.
    pub log_level: Level,
    /// `log-buffer`: lines kept in memory.
    pub log_buffer: usize,
    /// `pid-file`.
    pub pid_file: String,
    /// `admin-socket`.
    pub admin_socket: String,
    /// `admin-group`: who besides root may use the socket.
    pub admin_group: Option<String>,
    /// `max-tunnels`: control connections at once.
    pub max_tunnels: usize,
    /// `max-sessions`: sessions at once.
    pub max_sessions: usize,
    /// `user`: whom to run as after start-up.
    pub user: Option<String>,
    /// `data-plane`.
    pub data_plane: DataPlane,
    /// The tunnel blocks, in the order of the file; names are unique.
    pub tunnels: Vec<Tunnel>,
}

/// What carries the frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataPlane {
    /// TAP: it can do everything, everywhere.
    Auto,
    /// A TAP interface and this daemon.
    Tap,
    /// The kernel's l2tp_eth.
    Kernel,
}

/// `remote-address`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Remote {
    /// `any`: answer only, whoever proves to be the peer.
    Any,
    /// An address.
    Address(IpAddr),
    /// A host name, looked up before each attempt.
    Name(String),
}

/// `remote-hostname` and `remote-router-id`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Check<T> {
    /// `any`: not checked.
    Any,
    /// What the peer must say.
    Exactly(T),
}

/// `digest`, resolved against whether there is a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digest {
    /// With a password every message is authenticated; without one there is no digest.
    Auto,
    /// Without a password: a digest under the empty secret, as integrity check.
    Md5,
    /// No digest is sent, even with a password (refused by the parser) .
    None,
}

/// `compatibility`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compatibility {
    /// Answer with the AVPs that the peer uses; begin with those of RFC 3931.
    Auto,
    /// Begin with both sets of AVPs.
    Cisco,
    /// RFC 3931 alone: vendor-9 AVPs are unknown ones.
    Rfc,
}

/// `role`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Begin, and answer.
    Both,
    /// Begin; an SCCRQ of the peer is refused.
    Active,
    /// Answer only.
    Passive,
}

/// `tos`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tos {
    /// This value.
    Value(u8),
    /// That of the frame's IP packet; 0 for other frames.
    Copy,
}

/// A tunnel block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tunnel {
    /// The name behind `tunnel`.
    pub name: String,
    /// Line of the file where the block begins.
    pub line: usize,
    /// `local-address`; `None` is `auto`.
    pub local_address: Option<IpAddr>,
    /// `remote-address`; required.
    pub remote: Option<Remote>,
    /// `local-hostname`, or the global `hostname`, or the system's name.
    pub local_hostname: Vec<u8>,
    /// `local-router-id`, or the global one, or derived from a local address.
    pub local_router_id: Option<[u8; 4]>,
    /// `remote-hostname`; required.
    pub remote_hostname: Option<Check<Vec<u8>>>,
    /// `remote-router-id`; required.
    pub remote_router_id: Option<Check<[u8; 4]>>,
    /// `password`.
    pub password: Option<Secret>,
    /// `password-old`.
    pub password_old: Option<Secret>,
    /// `digest`.
    pub digest: Digest,
    /// `retry`: retransmissions before a message counts as lost.
    pub retry: u32,
    /// `retry-interval`: the first gap.
    pub retry_interval: Duration,
    /// `retry-interval-max`: the longest gap.
    pub retry_interval_max: Duration,
    /// `hello-interval`; `None` is `none`.
    pub hello_interval: Option<Duration>,
    /// `receive-window`.
    pub receive_window: u16,
    /// `setup-timeout`.
    pub setup_timeout: Duration,
    /// `restart-interval`, or the global one.
    pub restart_interval: Duration,
    /// `linger`.
    pub linger: Duration,
    /// `encapsulation`.
    pub encapsulation: Encapsulation,
    /// `udp-port`: the local port.
    pub local_port: u16,
    /// `udp-port`: the remote port.
    pub remote_port: u16,
    /// `compatibility`.
    pub compatibility: Compatibility,
    /// `reserved-bits discard`: a message with a reserved AVP bit set is dropped.
    pub discard_reserved: bool,
    /// `role`.
    pub role: Role,
    /// `hidden on`.
    pub hidden: bool,
    /// `dont-fragment on`.
    pub dont_fragment: bool,
    /// `ttl`.
    pub ttl: u8,
    /// `tos`.
    pub tos: Tos,
    /// `on-event`: the command, split into words.
    pub on_event: Option<Vec<String>>,
    /// `disable`.
    pub disabled: bool,
    /// The session blocks, in the order of the file; interface names are unique in the whole file.
    pub sessions: Vec<Session>,
}

/// `l2-sublayer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sublayer {
    /// No sublayer.
    None,
    /// The default L2-specific sublayer (four octets).
    Default,
}

/// `pseudowire`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pseudowire {
    /// Type 5.
    Ethernet,
    /// Type 4.
    Vlan,
}

/// `sequencing`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequencing {
    /// Frames that we send are numbered, whether the peer asks for it or not.
    pub send: bool,
    /// The peer is asked to number its frames, and their order is checked.
    pub receive: bool,
}

/// `mtu`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mtu {
    /// What fits the path.
    Auto,
    /// This value.
    Value(usize),
}

/// `tcp-mss`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TcpMss {
    /// Frames pass as they are.
    Off,
    /// From the interface's MTU.
    Auto,
    /// This value.
    Value(u16),
}

/// `manual`: a session without control protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manual {
    /// The id that incoming frames carry.
    pub local: SessionId,
    /// The id that outgoing frames carry.
    pub remote: SessionId,
    /// `local-cookie`: what incoming frames must carry.
    pub local_cookie: Cookie,
    /// `remote-cookie`: what outgoing frames carry.
    pub remote_cookie: Cookie,
}

/// A session block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The name behind `session`: the interface's.
    pub interface: String,
    /// Line of the file where the block begins.
    pub line: usize,
    /// `remote-end-id`; required unless `manual`.
    pub remote_end_id: Option<Vec<u8>>,
    /// `pseudowire`.
    pub pseudowire: Pseudowire,
    /// `cookie`, or the tunnel's: octets of the cookies of both directions (0, 4 or 8).
    pub cookie_length: usize,
    /// `l2-sublayer`.
    pub sublayer: Sublayer,
    /// `sequencing`.
    pub sequencing: Sequencing,
    /// `mtu`.
    pub mtu: Mtu,
    /// `tcp-mss`.
    pub tcp_mss: TcpMss,
    /// `bridge`.
    pub bridge: Option<String>,
    /// `mac-address`; `None` is derived from the names.
    pub mac_address: Option<[u8; 6]>,
    /// `link-state follow`: the interface's carrier is that of the session.
    pub follow_link_state: bool,
    /// `manual`, with its cookies.
    pub manual: Option<Manual>,
    /// `disable`.
    pub disabled: bool,
}

impl Config {
    /// A configuration without tunnels, every tag at its default.
    pub fn new() -> Config {
        Config {
            log_level: Level::Info,
            log_buffer: 1000,
            pid_file: "/run/l2tpd.pid".into(),
            admin_socket: "/run/l2tpd.sock".into(),
            admin_group: None,
            max_tunnels: 65535,
            max_sessions: 65535,
            user: None,
            data_plane: DataPlane::Auto,
            tunnels: Vec::new(),
        }
    }

    /// The tunnels and sessions that cannot be started, in the order of the file; disabled ones are not looked at.
    /// They do not keep the others from being started.
    pub fn problems(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        for tunnel in self.tunnels.iter().filter(|t| !t.disabled) {
            if let Some(text) = tunnel.problem() {
                let event = Event::TunnelConfigurationFailed {};
                found.push(Problem { line: tunnel.line, event, place: tunnel.name.clone(), text });
            }
            for session in tunnel.sessions.iter().filter(|s| !s.disabled) {
                if let Some(text) = session.problem() {
                    let place = format!("{} {}", tunnel.name, session.interface);
                    found.push(Problem {
                        line: session.line,
                        event: Event::SessionConfigurationFailed {},
                        place,
                        text,
                    });
                }
            }
        }
        found
    }
}

impl Default for Config {
    fn default() -> Config {
        Config::new()
    }
}

/// A tunnel or session that cannot be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line of the file where its block begins.
    pub line: usize,
    /// What the log says when it would have been started.
    pub event: Event,
    /// The tunnel's name; for a session a blank and the interface's behind it.
    pub place: String,
    /// What is missing.
    pub text: &'static str,
}

impl Tunnel {
    /// A tunnel with every tag at its default. Without `local_router_id` it has a problem yet.
    pub fn new(name: &str) -> Tunnel {
        Tunnel {
            name: name.to_owned(),
            line: 0,
            local_address: None,
            remote: None,
            local_hostname: Vec::new(),
            local_router_id: None,
            remote_hostname: None,
            remote_router_id: None,
            password: None,
            password_old: None,
            digest: Digest::Auto,
            retry: 10,
            retry_interval: Duration::from_secs(1),
            retry_interval_max: Duration::from_secs(8),
            hello_interval: Some(Duration::from_secs(60)),
            receive_window: 8,
            setup_timeout: Duration::from_secs(31),
            restart_interval: Duration::from_secs(10),
            linger: Duration::from_secs(31),
            encapsulation: Encapsulation::Ip,
            local_port: 1701,
            remote_port: 1701,
            compatibility: Compatibility::Auto,
            discard_reserved: true,
            role: Role::Both,
            hidden: false,
            dont_fragment: false,
            ttl: 64,
            tos: Tos::Value(0),
            on_event: None,
            disabled: false,
            sessions: Vec::new(),
        }
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

impl Session {
    /// A session with every tag at its default.
    pub fn new(interface: &str) -> Session {
        Session {
            interface: interface.to_owned(),
            line: 0,
            remote_end_id: None,
            pseudowire: Pseudowire::Ethernet,
            cookie_length: 0,
            sublayer: Sublayer::None,
            sequencing: Sequencing { send: false, receive: false },
            mtu: Mtu::Auto,
            tcp_mss: TcpMss::Off,
            bridge: None,
            mac_address: None,
            follow_link_state: true,
            manual: None,
            disabled: false,
        }
    }

    /// What is missing before this session can be started, in words.
    pub fn problem(&self) -> Option<&'static str> {
        (self.remote_end_id.is_none() && self.manual.is_none()).then_some("remote-end-id is missing")
    }

    /// The pseudowire type that is signalled.
    pub fn pw_type(&self) -> u16 {
        match self.pseudowire {
            Pseudowire::Ethernet => crate::wire::PW_ETHERNET,
            Pseudowire::Vlan => crate::wire::PW_ETHERNET_VLAN,
        }
    }
}
