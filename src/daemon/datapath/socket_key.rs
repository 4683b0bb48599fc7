//! What names a socket.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::config::model::{Device, TunnelConfig, Via};
use crate::saved::saved;
use crate::wire::Encapsulation;

/// What names a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketKey {
    /// How messages are carried.
    pub encapsulation: Encapsulation,
    /// The local port; 0 with [`Encapsulation::Ip`].
    pub port: u16,
    /// The address that it is bound to; may be unspecified. In order those come first.
    pub local: IpAddr,
    /// The interface or VRF that it is bound to.
    pub device: Device,
}
saved!(SocketKey { encapsulation, local, port, device });

impl SocketKey {
    /// The socket for `local`, or for any address of the family of `family_of`.
    pub fn new(
        encapsulation: Encapsulation,
        local: Option<IpAddr>,
        family_of: IpAddr,
        port: u16,
        device: Device,
    ) -> SocketKey {
        let port = if encapsulation == Encapsulation::Ip { 0 } else { port };
        SocketKey { encapsulation, local: local.unwrap_or(unspecified(family_of)), port, device }
    }

    /// The sockets of a tunnel, one for each encapsulation, whose peer has an address of the family of `peer`.
    pub fn of(tunnel: &TunnelConfig, peer: IpAddr) -> impl Iterator<Item = SocketKey> + '_ {
        let TunnelConfig { local_address, udp_port, bind_device, .. } = tunnel;
        tunnel.each_encapsulation().map(move |encapsulation| {
            SocketKey::new(encapsulation, *local_address, peer, udp_port.local, *bind_device)
        })
    }

    /// All sockets that a tunnel may use; the family of a peer that is not known yet is open.
    pub fn all_of(tunnel: &TunnelConfig) -> Vec<SocketKey> {
        let families: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
        let ends: Vec<IpAddr> = match (tunnel.local_address, tunnel.names().next()) {
            (Some(local), _) => vec![local],
            (None, None) => tunnel.addresses().collect(),
            (None, Some(_)) => Vec::new(),
        };
        let used =
            |family: &IpAddr| ends.is_empty() || ends.iter().any(|end| end.is_ipv4() == family.is_ipv4());
        families.into_iter().filter(used).flat_map(|family| SocketKey::of(tunnel, family)).collect()
    }

    /// Of the same encapsulation and port, whatever the address and the device.
    pub(super) fn is_sibling(&self, other: &SocketKey) -> bool {
        (self.encapsulation, self.port) == (other.encapsulation, other.port)
    }
}

impl fmt::Display for SocketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let via = Via { device: self.device, mark: 0 };
        match self.encapsulation {
            Encapsulation::Ip => write!(f, "IP protocol 115 on {}{via}", self.local),
            Encapsulation::Udp => write!(f, "UDP port {} on {}{via}", self.port, self.local),
        }
    }
}

/// The unspecified address of the family of `of`.
pub fn unspecified(of: IpAddr) -> IpAddr {
    match of {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}
