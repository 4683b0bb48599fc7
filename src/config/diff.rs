//! What changed between two configurations, for the reload and for `reload --check`.
//!
//! A tag is live where both ends go on as before with its new value: timers, limits, what the kernel does with the
//! outer packets, the interface. What the peer was told at set-up, and what decides who the peer is, needs a new
//! set-up. Where the block begins in the file is no difference.

use std::collections::{HashMap, HashSet};

use super::model::{Session, Tunnel};
use super::Config;

/// One difference. The order of a list is that of the new file, removals first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Global tags have other values.
    Global {
        /// Those tags.
        tags: Vec<&'static str>,
    },
    /// A tunnel block is gone.
    TunnelRemoved {
        /// Its name.
        tunnel: String,
    },
    /// A tunnel block is new.
    TunnelAdded {
        /// Its name.
        tunnel: String,
    },
    /// Tags have other values that only a new set-up brings to the peer.
    TunnelRestart {
        /// The tunnel's name.
        tunnel: String,
        /// Those tags.
        tags: Vec<&'static str>,
    },
    /// Tags have other values that are used from now on, without a message to the peer.
    TunnelLive {
        /// The tunnel's name.
        tunnel: String,
        /// Those tags.
        tags: Vec<&'static str>,
    },
    /// A session block is gone.
    SessionRemoved {
        /// The tunnel's name.
        tunnel: String,
        /// The session's interface.
        interface: String,
    },
    /// A session block is new.
    SessionAdded {
        /// The tunnel's name.
        tunnel: String,
        /// The session's interface.
        interface: String,
    },
    /// Tags have other values that only a new set-up of the session brings to the peer.
    SessionRestart {
        /// The tunnel's name.
        tunnel: String,
        /// The session's interface.
        interface: String,
        /// Those tags.
        tags: Vec<&'static str>,
    },
    /// Tags have other values that are used from now on.
    SessionLive {
        /// The tunnel's name.
        tunnel: String,
        /// The session's interface.
        interface: String,
        /// Those tags.
        tags: Vec<&'static str>,
    },
}

/// Global tags that a running daemon cannot take over; they hold from its next start on.
pub static AT_START_ONLY: &[&str] = &["pid-file", "admin-socket", "admin-group", "user", "data-plane"];

/// Compares two configurations. Tunnels are matched by name, sessions by tunnel and interface; the sessions of a
/// tunnel that is added, removed or restarted are not listed. Switching `disable` on or off is a restart with the
/// tag `disable`. A tunnel whose last negotiated session goes (or first one comes) restarts with the tag `manual`,
/// because it needs its control connection no longer (or now).
pub fn diff(old: &Config, new: &Config) -> Vec<Change> {
    let mut removals = Vec::new();
    let mut changes = Vec::new();
    let tags = global_tags(old, new);
    if !tags.is_empty() {
        changes.push(Change::Global { tags });
    }
    let before: HashMap<&str, &Tunnel> = old.tunnels.iter().map(|t| (t.name.as_str(), t)).collect();
    let after: HashSet<&str> = new.tunnels.iter().map(|t| t.name.as_str()).collect();
    for gone in old.tunnels.iter().filter(|t| !after.contains(t.name.as_str())) {
        removals.push(Change::TunnelRemoved { tunnel: gone.name.clone() });
    }
    for tunnel in &new.tunnels {
        match before.get(tunnel.name.as_str()) {
            None => changes.push(Change::TunnelAdded { tunnel: tunnel.name.clone() }),
            Some(old) => tunnel_changes(old, tunnel, &mut removals, &mut changes),
        }
    }
    removals.append(&mut changes);
    removals
}

/// The tags (each with the fields that it sets) whose fields differ.
macro_rules! differing {
    ($old:expr, $new:expr, $($tag:literal: $($field:ident),+;)*) => {{
        let mut tags: Vec<&'static str> = Vec::new();
        $(if $($old.$field != $new.$field)||+ {
            tags.push($tag);
        })*
        tags
    }};
}

fn global_tags(old: &Config, new: &Config) -> Vec<&'static str> {
    differing! { old, new,
        "log-level": log_level;
        "log-buffer": log_buffer;
        "pid-file": pid_file;
        "admin-socket": admin_socket;
        "admin-group": admin_group;
        "max-tunnels": max_tunnels;
        "max-sessions": max_sessions;
        "user": user;
        "data-plane": data_plane;
    }
}

/// What decides who the peer is, what signs messages, and what was said in SCCRQ or SCCRP.
fn tunnel_restart(old: &Tunnel, new: &Tunnel) -> Vec<&'static str> {
    let mut tags = differing! { old, new,
        "local-address": local_address;
        "remote-address": remote;
        "local-hostname": local_hostname;
        "local-router-id": local_router_id;
        "remote-hostname": remote_hostname;
        "remote-router-id": remote_router_id;
        "password": password;
        "digest": digest;
        "receive-window": receive_window;
        "encapsulation": encapsulation;
        "udp-port": local_port, remote_port;
        "compatibility": compatibility;
        "role": role;
        "hidden": hidden;
        "disable": disabled;
    };
    if old.is_manual() != new.is_manual() {
        tags.push("manual");
    }
    tags
}

fn tunnel_live(old: &Tunnel, new: &Tunnel) -> Vec<&'static str> {
    differing! { old, new,
        "password-old": password_old;
        "retry": retry;
        "retry-interval": retry_interval;
        "retry-interval-max": retry_interval_max;
        "hello-interval": hello_interval;
        "setup-timeout": setup_timeout;
        "restart-interval": restart_interval;
        "linger": linger;
        "reserved-bits": discard_reserved;
        "dont-fragment": dont_fragment;
        "ttl": ttl;
        "tos": tos;
        "on-event": on_event;
    }
}

fn tunnel_changes(old: &Tunnel, new: &Tunnel, removals: &mut Vec<Change>, changes: &mut Vec<Change>) {
    let tunnel = || new.name.clone();
    let mut tags = tunnel_restart(old, new);
    let live = tunnel_live(old, new);
    if !tags.is_empty() {
        // The new set-up uses the other values too: one entry tells it all.
        tags.extend(live);
        changes.push(Change::TunnelRestart { tunnel: tunnel(), tags });
        return;
    }
    if !live.is_empty() {
        changes.push(Change::TunnelLive { tunnel: tunnel(), tags: live });
    }
    let before: HashMap<&str, &Session> = old.sessions.iter().map(|s| (s.interface.as_str(), s)).collect();
    let after: HashSet<&str> = new.sessions.iter().map(|s| s.interface.as_str()).collect();
    for gone in old.sessions.iter().filter(|s| !after.contains(s.interface.as_str())) {
        removals.push(Change::SessionRemoved { tunnel: tunnel(), interface: gone.interface.clone() });
    }
    for session in &new.sessions {
        let interface = session.interface.clone();
        match before.get(session.interface.as_str()) {
            None => changes.push(Change::SessionAdded { tunnel: tunnel(), interface }),
            Some(old) => changes.extend(session_change(old, session, tunnel(), interface)),
        }
    }
}

fn session_change(old: &Session, new: &Session, tunnel: String, interface: String) -> Option<Change> {
    let mut tags = session_restart(old, new);
    let live = differing! { old, new,
        "mtu": mtu;
        "tcp-mss": tcp_mss;
        "bridge": bridge;
        "mac-address": mac_address;
        "link-state": follow_link_state;
    };
    match (tags.is_empty(), live.is_empty()) {
        (true, true) => None,
        (true, false) => Some(Change::SessionLive { tunnel, interface, tags: live }),
        (false, _) => {
            tags.extend(live);
            Some(Change::SessionRestart { tunnel, interface, tags })
        }
    }
}

/// What was said in ICRQ, ICRP or ICCN, and what a manual session has instead.
fn session_restart(old: &Session, new: &Session) -> Vec<&'static str> {
    let mut tags = differing! { old, new,
        "remote-end-id": remote_end_id;
        "pseudowire": pseudowire;
        "cookie": cookie_length;
        "l2-sublayer": sublayer;
        "sequencing": sequencing;
        "disable": disabled;
    };
    match (old.manual, new.manual) {
        (Some(old), Some(new)) => tags.extend(differing! { old, new,
            "manual": local, remote;
            "local-cookie": local_cookie;
            "remote-cookie": remote_cookie;
        }),
        (None, None) => {}
        (Some(_), None) | (None, Some(_)) => tags.push("manual"),
    }
    // A manual session has no use for what is negotiated only.
    if old.manual.is_some() && new.manual.is_some() {
        tags.retain(|&tag| tag != "remote-end-id" && tag != "cookie");
    }
    tags
}
