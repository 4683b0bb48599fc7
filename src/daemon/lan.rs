//! What can be known of the LANs at the bridges before anything is started.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::datapath::Interface;
use crate::config::model::{Config, Mtu, SessionConfig, Sublayer, TunnelConfig};
use crate::gather;
use crate::proto::Path;
use crate::sys::netif;
use crate::wire::data::Format;
use crate::wire::{Cookie, SessionId};

/// Sessions whose interface is narrower than another port of its bridge: the line of the block, and the text.
pub fn warnings(config: &Config) -> Vec<(usize, String)> {
    let enabled = config.tunnels.iter().filter(|tunnel| !tunnel.disabled);
    let sessions = enabled.flat_map(|tunnel| tunnel.sessions.iter().map(move |session| (tunnel, session)));
    let sessions = sessions.filter(|(_, session)| !session.disabled);
    let ours = gather::set(config.tunnels.iter().flat_map(|t| &t.sessions).map(|s| s.interface.as_str()));
    sessions.filter_map(|(tunnel, session)| Some((session.line, narrow(&ours, tunnel, session)?))).collect()
}

/// Frames of the LAN that are longer than the interface takes are dropped by the bridge, and nobody is told.
fn narrow(ours: &BTreeSet<&str>, tunnel: &TunnelConfig, session: &SessionConfig) -> Option<String> {
    let bridge = session.bridge.as_ref()?;
    let mtu = match session.mtu {
        Mtu::Value(mtu) => mtu,
        Mtu::Auto => expected_mtu(tunnel, session)?,
    };
    let ports = netif::bridge_ports(bridge).into_iter().filter(|port| !ours.contains(port.as_str()));
    let (widest, port) = ports.filter_map(|port| Some((netif::mtu(&port).ok()?, port))).max()?;
    (widest > mtu).then(|| {
        let how = if session.mtu == Mtu::Auto { "auto, " } else { "" };
        format!(
            "tunnel {}, session {}: mtu {how}{mtu}, but {port} in bridge {bridge} has {widest}\n  frames of the LAN that \
             are longer are dropped silently; `mtu {widest}` lets them pass, see l2tpd.conf(5)",
            tunnel.name, session.interface
        )
    })
}

/// What `mtu auto` will be, if the peer's address is known and the peer wants cookies as we do.
fn expected_mtu(tunnel: &TunnelConfig, session: &SessionConfig) -> Option<usize> {
    let remote = tunnel.addresses().next()?;
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let path = Path {
        encapsulation: tunnel.encapsulation(),
        local: SocketAddr::new(tunnel.local_address.unwrap_or(any), 0),
        remote: SocketAddr::new(remote, 0),
        via: tunnel.via(),
    };
    let cookie = match session.manual {
        Some(_) => session.remote_cookie.clone(),
        None => Cookie::new(&[0; 8][..session.cookie.octets()])?,
    };
    let sublayer = session.sublayer == Sublayer::Default;
    let format = Format { encapsulation: tunnel.encapsulation(), session: SessionId(0), cookie, sublayer };
    Interface::new(tunnel, session).fitting_mtu(&path, format.header_length())
}
