//! The tags before the first tunnel, and the whole configuration.

use std::time::Duration;

use super::tunnel::Tunnel;
use crate::config::field::words;
use crate::config::tag::{self, rows, Block, Effect::*, Row, Unset::*};
use crate::config::value::Kind::{self, *};
use crate::log::Level;

/// A whole configuration. The rows below say what each field is.
#[allow(missing_docs)]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// Where it is not given: the system's.
    pub hostname: Vec<u8>,
    pub router_id: Option<[u8; 4]>,
    pub log_level: Level,
    /// Lines.
    pub log_buffer: usize,
    pub pid_file: String,
    pub admin_socket: String,
    pub admin_group: Option<String>,
    pub restart_interval: Duration,
    pub max_tunnels: usize,
    pub max_sessions: usize,
    pub user: Option<String>,
    pub data_plane: DataPlane,
    /// The tunnel blocks, in the order of the file; names are unique.
    pub tunnels: Vec<Tunnel>,
}

/// The tags before the first tunnel, in the order of the manual.
pub static GLOBAL: &[Row<Config>] = rows! { Config, Block::Global;
    "hostname" hostname, Octets, Text("the system's host name"), Inherited, "our Host Name";
    "router-id" router_id, RouterId, Text("derived from the first local IPv4 address"), Inherited,
        "our Router ID";
    "log-level" log_level, Word, As("info"), Live, "the least severe messages that are logged";
    "log-buffer" log_buffer, Number(0, usize::MAX as u64), As("1000"), Live,
        "messages kept in memory for `l2tpctl log`";
    "pid-file" pid_file, Path(4095), As("/run/l2tpd.pid"), Start, "where the process id is written";
    "admin-socket" admin_socket, Path(107), As("/run/l2tpd.sock"), Start, "the socket that l2tpctl talks to";
    "admin-group" admin_group, Account, Text("none"), Start, "group that may use the admin socket besides root";
    "restart-interval" restart_interval, Number(1, 3600), As("10"), Inherited,
        "seconds between two attempts to set up, 25 % more or less";
    "max-tunnels" max_tunnels, Number(1, 0xffff_ffff), As("65535"), Live, "control connections at once";
    "max-sessions" max_sessions, Number(1, 0xffff_ffff), As("65535"), Live, "sessions at once";
    "user" user, Account, Text("root"), Start, "whom to run as after start-up, with the capabilities needed";
    "data-plane" data_plane, Word, As("auto"), Start, "what carries the frames";
};

/// What carries the frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DataPlane {
    /// TAP: it can do everything, everywhere.
    #[default]
    Auto,
    /// A TAP interface and this daemon.
    Tap,
    /// The kernel's l2tp_eth.
    Kernel,
}

words! { DataPlane { Auto = "auto", Tap = "tap", Kernel = "kernel" } }
words! { Level { Error = "error", Warn = "warn", Info = "info", Debug = "debug" } }

impl Config {
    /// A configuration without tunnels, every tag at its default.
    pub fn new() -> Config {
        tag::defaults(GLOBAL)
    }
}
