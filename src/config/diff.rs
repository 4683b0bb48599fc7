//! What changed between two configurations, for the reload and for `reload --check`.

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

/// Compares two configurations. Tunnels are matched by name, sessions by tunnel and interface; the sessions of a
/// tunnel that is added, removed or restarted are not listed.
pub fn diff(old: &super::Config, new: &super::Config) -> Vec<Change> {
    let _ = (old, new);
    todo!()
}
