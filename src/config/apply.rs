//! A value of a tag -> the field of the configuration that it sets. One row for each tag of the table; a function
//! returns `false` for a tag that it does not know, and a test walks the table to prove that there is none.

use std::time::Duration;

use super::model::*;
use super::value::Value;
use crate::log::Level;
use crate::wire::digest::Secret;
use crate::wire::{Cookie, Encapsulation, SessionId};

/// Global tags that tunnels inherit.
#[derive(Debug, Clone)]
pub struct Inherited {
    /// `hostname`.
    pub hostname: Vec<u8>,
    /// `router-id`.
    pub router_id: Option<[u8; 4]>,
    /// `restart-interval`.
    pub restart_interval: Duration,
}

/// Sets a global tag.
pub fn global(config: &mut Config, inherited: &mut Inherited, name: &str, value: Value) -> bool {
    match (name, value) {
        ("hostname", Value::Octets(octets)) => inherited.hostname = octets,
        ("router-id", Value::RouterId(id)) => inherited.router_id = Some(id),
        ("restart-interval", Value::Number(n)) => inherited.restart_interval = Duration::from_secs(n),
        ("log-level", Value::Word(word)) => config.log_level = Level::from_name(word).unwrap_or(Level::Info),
        ("log-buffer", Value::Number(n)) => config.log_buffer = usize::try_from(n).unwrap_or(usize::MAX),
        ("pid-file", Value::Text(path)) => config.pid_file = path,
        ("admin-socket", Value::Text(path)) => config.admin_socket = path,
        ("admin-group", Value::Text(group)) => config.admin_group = Some(group),
        ("max-tunnels", Value::Number(n)) => config.max_tunnels = usize::try_from(n).unwrap_or(usize::MAX),
        ("max-sessions", Value::Number(n)) => config.max_sessions = usize::try_from(n).unwrap_or(usize::MAX),
        ("user", Value::Text(user)) => config.user = Some(user),
        ("data-plane", Value::Word(word)) => {
            config.data_plane = match word {
                "tap" => DataPlane::Tap,
                "kernel" => DataPlane::Kernel,
                _ => DataPlane::Auto,
            }
        }
        _ => return false,
    }
    true
}

/// Sets a tag of a tunnel.
pub fn tunnel(tunnel: &mut Tunnel, cookie_length: &mut usize, name: &str, value: Value) -> bool {
    match (name, value) {
        ("cookie", Value::Word(word)) => *cookie_length = length_of_cookie(word),
        (name, value) => {
            return identity(tunnel, name, &value)
                || timing(tunnel, name, &value)
                || manner(tunnel, name, &value)
        }
    }
    true
}

/// Who talks to whom, and how each proves it.
fn identity(tunnel: &mut Tunnel, name: &str, value: &Value) -> bool {
    match (name, value) {
        ("local-address", Value::Address(address)) => tunnel.local_address = Some(*address),
        ("local-address", Value::Word(_)) => tunnel.local_address = None,
        ("remote-address", Value::Address(address)) => tunnel.remote = Some(Remote::Address(*address)),
        ("remote-address", Value::HostName(name)) => tunnel.remote = Some(Remote::Name(name.clone())),
        ("remote-address", Value::Word(_)) => tunnel.remote = Some(Remote::Any),
        ("local-hostname", Value::Octets(octets)) => tunnel.local_hostname.clone_from(octets),
        ("local-router-id", Value::RouterId(id)) => tunnel.local_router_id = Some(*id),
        ("remote-hostname", Value::Octets(octets)) => {
            tunnel.remote_hostname = Some(Check::Exactly(octets.clone()))
        }
        ("remote-hostname", Value::Word(_)) => tunnel.remote_hostname = Some(Check::Any),
        ("remote-router-id", Value::RouterId(id)) => tunnel.remote_router_id = Some(Check::Exactly(*id)),
        ("remote-router-id", Value::Word(_)) => tunnel.remote_router_id = Some(Check::Any),
        ("password", Value::Octets(octets)) => tunnel.password = Some(Secret::new(octets)),
        ("password-old", Value::Octets(octets)) => tunnel.password_old = Some(Secret::new(octets)),
        ("digest", Value::Word(word)) => {
            tunnel.digest = match *word {
                "md5" => Digest::Md5,
                "none" => Digest::None,
                _ => Digest::Auto,
            }
        }
        ("disable", Value::Flag) => tunnel.disabled = true,
        _ => return false,
    }
    true
}

/// Timers and limits of the control connection.
fn timing(tunnel: &mut Tunnel, name: &str, value: &Value) -> bool {
    match (name, value) {
        ("retry", Value::Number(n)) => tunnel.retry = u32::try_from(*n).unwrap_or(u32::MAX),
        ("retry-interval", Value::Time(time)) => tunnel.retry_interval = *time,
        ("retry-interval-max", Value::Time(time)) => tunnel.retry_interval_max = *time,
        ("hello-interval", Value::Number(n)) => tunnel.hello_interval = Some(Duration::from_secs(*n)),
        ("hello-interval", Value::Word(_)) => tunnel.hello_interval = None,
        ("receive-window", Value::Number(n)) => tunnel.receive_window = u16::try_from(*n).unwrap_or(u16::MAX),
        ("setup-timeout", Value::Number(n)) => tunnel.setup_timeout = Duration::from_secs(*n),
        ("restart-interval", Value::Number(n)) => tunnel.restart_interval = Duration::from_secs(*n),
        ("linger", Value::Number(n)) => tunnel.linger = Duration::from_secs(*n),
        _ => return false,
    }
    true
}

/// How messages are carried and read.
fn manner(tunnel: &mut Tunnel, name: &str, value: &Value) -> bool {
    match (name, value) {
        ("encapsulation", Value::Word(word)) => {
            tunnel.encapsulation = if *word == "udp" { Encapsulation::Udp } else { Encapsulation::Ip }
        }
        ("udp-port", Value::Ports(local, remote)) => {
            tunnel.local_port = *local;
            tunnel.remote_port = *remote;
        }
        ("compatibility", Value::Word(word)) => {
            tunnel.compatibility = match *word {
                "cisco" => Compatibility::Cisco,
                "rfc" => Compatibility::Rfc,
                _ => Compatibility::Auto,
            }
        }
        ("reserved-bits", Value::Word(word)) => tunnel.discard_reserved = *word == "discard",
        ("role", Value::Word(word)) => {
            tunnel.role = match *word {
                "active" => Role::Active,
                "passive" => Role::Passive,
                _ => Role::Both,
            }
        }
        ("hidden", Value::Word(word)) => tunnel.hidden = *word == "on",
        ("dont-fragment", Value::Word(word)) => tunnel.dont_fragment = *word == "on",
        ("ttl", Value::Number(n)) => tunnel.ttl = u8::try_from(*n).unwrap_or(u8::MAX),
        ("tos", Value::Number(n)) => tunnel.tos = Tos::Value(u8::try_from(*n).unwrap_or(u8::MAX)),
        ("tos", Value::Word(_)) => tunnel.tos = Tos::Copy,
        ("on-event", Value::Command(words)) => tunnel.on_event = Some(words.clone()),
        _ => return false,
    }
    true
}

/// Parts of `manual` that stand on lines of their own.
#[derive(Debug, Clone, Default)]
pub struct ManualParts {
    /// `manual`.
    pub ids: Option<(u32, u32)>,
    /// `local-cookie`.
    pub local_cookie: Cookie,
    /// `remote-cookie`.
    pub remote_cookie: Cookie,
}

impl ManualParts {
    /// The session without control protocol, if `manual` was given.
    pub fn join(&self) -> Option<Manual> {
        let (local, remote) = self.ids?;
        Some(Manual {
            local: SessionId(local),
            remote: SessionId(remote),
            local_cookie: self.local_cookie,
            remote_cookie: self.remote_cookie,
        })
    }
}

/// Sets a tag of a session.
pub fn session(session: &mut Session, manual: &mut ManualParts, name: &str, value: Value) -> bool {
    match (name, value) {
        ("remote-end-id", Value::Octets(octets)) => session.remote_end_id = Some(octets),
        ("pseudowire", Value::Word(word)) => {
            session.pseudowire = if word == "vlan" { Pseudowire::Vlan } else { Pseudowire::Ethernet }
        }
        ("cookie", Value::Word(word)) => session.cookie_length = length_of_cookie(word),
        ("l2-sublayer", Value::Word(word)) => {
            session.sublayer = if word == "default" { Sublayer::Default } else { Sublayer::None }
        }
        ("sequencing", Value::Word(word)) => {
            session.sequencing = Sequencing {
                send: matches!(word, "send" | "both"),
                receive: matches!(word, "receive" | "both"),
            }
        }
        ("mtu", Value::Number(n)) => session.mtu = Mtu::Value(usize::try_from(n).unwrap_or(usize::MAX)),
        ("mtu", Value::Word(_)) => session.mtu = Mtu::Auto,
        ("tcp-mss", Value::Number(n)) => {
            session.tcp_mss = TcpMss::Value(u16::try_from(n).unwrap_or(u16::MAX))
        }
        ("tcp-mss", Value::Word(word)) => {
            session.tcp_mss = if word == "auto" { TcpMss::Auto } else { TcpMss::Off }
        }
        ("bridge", Value::Text(bridge)) => session.bridge = Some(bridge),
        ("mac-address", Value::Mac(mac)) => session.mac_address = Some(mac),
        ("link-state", Value::Word(word)) => session.follow_link_state = word == "follow",
        ("manual", Value::SessionIds(local, remote)) => manual.ids = Some((local, remote)),
        ("local-cookie", Value::Cookie(cookie)) => manual.local_cookie = cookie,
        ("remote-cookie", Value::Cookie(cookie)) => manual.remote_cookie = cookie,
        ("disable", Value::Flag) => session.disabled = true,
        _ => return false,
    }
    true
}

/// RFC 3931 5.4.4: a cookie has 4 or 8 octets.
fn length_of_cookie(word: &str) -> usize {
    match word {
        "on" | "4" => 4,
        "8" => 8,
        _ => 0,
    }
}
