//! Why a tunnel is not the one that a datagram is for.

use crate::config::model::Device;
use crate::proto::action::Path;
use crate::proto::tunnel::Tunnel;

/// What keeps a tunnel from being the one that a datagram on `path` is for, apart from the peer's address.
pub fn obstacle(tunnel: &Tunnel, path: &Path) -> Option<Obstacle> {
    let config = &tunnel.config;
    if tunnel.is_disabled() {
        Some(Obstacle::Disabled)
    } else if config.problem().is_some() {
        Some(Obstacle::Problem)
    } else if tunnel.slots.is_manual() {
        Some(Obstacle::Manual)
    } else if config.each_encapsulation().all(|ours| ours != path.encapsulation) {
        Some(Obstacle::Encapsulation)
    } else if config.local_address.is_some_and(|address| address != path.local.ip()) {
        Some(Obstacle::LocalAddress)
    } else if path.local.port() != 0 && config.udp_port.local != path.local.port() {
        Some(Obstacle::Port)
    } else if config.bind_device != path.via.device {
        Some(Obstacle::Device)
    } else {
        None
    }
}

/// See [`obstacle`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// The configuration or the administrator disables it.
    Disabled,
    /// Something is missing in its block.
    Problem,
    /// Nothing is negotiated.
    Manual,
    /// `encapsulation` differs.
    Encapsulation,
    /// `local-address` differs.
    LocalAddress,
    /// `udp-port` differs.
    Port,
    /// `bind-device` differs.
    Device,
}

impl Obstacle {
    /// What the tunnel is or has, and what came.
    pub fn words(self, tunnel: &Tunnel, path: &Path) -> String {
        match self {
            Obstacle::Disabled => "is disabled".to_owned(),
            Obstacle::Problem => {
                format!("cannot be used: {}", tunnel.config.problem().unwrap_or_default())
            }
            Obstacle::Manual => "has manual sessions only".to_owned(),
            Obstacle::Encapsulation => {
                let (ours, theirs) = (tunnel.config.encapsulation().word(), path.encapsulation.word());
                format!("has encapsulation {ours}, and it came over {theirs}")
            }
            Obstacle::LocalAddress => {
                let ours = tunnel.config.local_address.map(|a| a.to_string()).unwrap_or_default();
                format!("has local-address {ours}, and it came to {}", path.local.ip())
            }
            Obstacle::Device => {
                let by = |device: &Device| device.name().map_or("none".to_owned(), str::to_owned);
                let (ours, theirs) = (by(&tunnel.config.bind_device), by(&path.via.device));
                format!("has bind-device {ours}, and it came by a socket with {theirs}")
            }
            Obstacle::Port => {
                format!("has udp-port {}, and it came to {}", tunnel.config.udp_port.local, path.local.port())
            }
        }
    }
}
