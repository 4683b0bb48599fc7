//! The tags before the first tunnel, and the whole configuration.

use std::rc::Rc;
use std::time::Duration;

use super::tunnel::TunnelConfig;
use crate::config::field::words;
use crate::config::identity::Defaults;
use crate::config::tag::{self, rows, Block, Effect::*, Row, Unset::*};
use crate::config::value::Kind::{self, *};
use crate::log::Level;

/// All that a file says, with the defaults where it is silent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// Our Host Name, or the system's name.
    pub hostname: Vec<u8>,
    /// It is not the system's name.
    pub hostname_given: bool,
    /// Our Router ID (RFC 3931 5.4.3); `None`: derived, see `system`.
    pub router_id: Option<[u8; 4]>,
    /// The least severe messages that are logged.
    pub log_level: Level,
    /// Messages kept in memory for `l2tpctl log`.
    pub log_buffer: u64,
    /// Where the process id is written.
    pub pid_file: Place,
    /// The socket that l2tpctl talks to.
    pub admin_socket: Place,
    /// Where is written what a daemon has to know to go on after a crash.
    pub state_file: Place,
    /// Group that may use the admin socket besides root.
    pub admin_group: Option<String>,
    /// Time between two attempts to set up, 25 % more or less.
    pub restart_interval: Duration,
    /// Control connections at once.
    pub max_tunnels: usize,
    /// Sessions at once.
    pub max_sessions: usize,
    /// Whom to run as after start-up, with the capabilities needed.
    pub user: Option<String>,
    /// What becomes of system calls that the daemon does not need.
    pub seccomp: Seccomp,
    /// What carries the frames.
    pub data_plane: DataPlane,
    /// What the system contributed where the file is silent. It does not change before the next start.
    pub system: Defaults,
    /// The tunnel blocks, in the order of the file; names are unique.
    pub tunnels: Vec<Rc<TunnelConfig>>,
}

/// The tags before the first tunnel, in the order of the manual.
pub static GLOBAL: &[Row<Config>] = rows! { Config, Block::Global;
    "hostname"         hostname,         Octets,                       Inherited, Text("the system's host name");
    "router-id"        router_id,        RouterId,                     Inherited, Text("derived from the first local IPv4 address, or from the machine");
    "log-level"        log_level,        Word,                         Live,      As("info");
    "log-buffer"       log_buffer,       Number(0, u64::MAX), Live,      As("1000");
    "pid-file"         pid_file,         Path(4095),                   Start,     As(run_directory!("/l2tpd.pid"));
    "admin-socket"     admin_socket,     Path(107),                    Start,     As(run_directory!("/l2tpd.sock"));
    "state-file"       state_file,       Path(4090),                   Start,     As("none");
    "admin-group"      admin_group,      Account,                      Start,     Text("none");
    "restart-interval" restart_interval, Number(1, 3600),              Inherited, As("10");
    "max-tunnels"      max_tunnels,      Number(1, 0xffff_ffff),       Live,      As("65535");
    "max-sessions"     max_sessions,     Number(1, 0xffff_ffff),       Live,      As("65535");
    "user"             user,             Account,                      Start,     Text("l2tpd where there is such a user, else root");
    "seccomp"          seccomp,          Word,                         Start,     As("on");
    "data-plane"       data_plane,       Word,                         Start,     As("auto");
};

/// Where something stands in the file system.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Place {
    /// Nowhere: there is none.
    #[default]
    None,
    /// At this path.
    At(String),
}

impl Place {
    /// The path, if there is one.
    pub fn path(&self) -> Option<&str> {
        match self {
            Place::None => None,
            Place::At(path) => Some(path),
        }
    }
}

/// What carries the frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DataPlane {
    /// TAP: it can do everything, everywhere.
    #[default]
    Auto,
    /// A TAP interface and this daemon.
    Tap,
    /// A TAP interface, and programs in the kernel for what they can carry.
    Bpf,
    /// The kernel's l2tp_eth.
    Kernel,
}

/// What becomes of system calls that the daemon does not need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Seccomp {
    /// They are made.
    Off,
    /// They are made, and told in the kernel's log.
    Log,
    /// They fail.
    #[default]
    On,
}

words! { Seccomp { Off = "off", Log = "log", On = "on" } }
words! { Place { None = "none" } else At(String) }
words! { DataPlane { Auto = "auto", Tap = "tap", Bpf = "bpf", Kernel = "kernel" } }
words! { Level { Error = "error", Warn = "warn", Info = "info", Debug = "debug" } }

impl Config {
    /// A configuration without tunnels, every tag at its default.
    pub fn new() -> Config {
        tag::defaults(GLOBAL)
    }

    /// Whether it holds anything that others must not read.
    pub fn holds_secrets(&self) -> bool {
        self.tunnels.iter().any(|tunnel| {
            let cookies = tunnel.sessions.iter().flat_map(|s| [&s.local_cookie, &s.remote_cookie]);
            tunnel.password.is_some()
                || tunnel.password_old.is_some()
                || cookies.into_iter().any(|cookie| !cookie.is_empty())
        })
    }
}
