//! What the engine needs before it can talk to a tunnel's peer: a route, and a socket.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::datapath::{unspecified, DataPlane, SocketKey};
use super::routes::Routes;
use crate::config::model::TunnelConfig;
use crate::proto::{Path, RouteKey};
use crate::sys::error_text;

/// Why a host without any address tries nothing.
pub const NO_ADDRESS: &str = "this host has no address yet";

/// Why a tunnel cannot be tried now.
pub enum Unprepared {
    /// It was removed meanwhile.
    Gone,
    /// This socket cannot be had; the system's words.
    Socket(SocketKey, String),
    /// There is no route to the peer (or no network to look its name up in) yet.
    NoRoute(Option<IpAddr>, String),
}

/// Makes ready to talk to a tunnel's peer; without one, to any that may come.
pub fn prepare(
    routes: &mut Routes,
    data: &mut DataPlane,
    tunnel: &TunnelConfig,
    peer: Option<IpAddr>,
) -> Result<Path, Unprepared> {
    match (peer, tunnel.local_address) {
        (Some(peer), _) => open(routes, data, tunnel, peer),
        (None, Some(_)) if !routes.has_address() => Err(Unprepared::NoRoute(None, NO_ADDRESS.to_string())),
        (None, Some(local)) => open(routes, data, tunnel, unspecified(local)),
        (None, None) => {
            let path = open(routes, data, tunnel, Ipv4Addr::UNSPECIFIED.into())?;
            // A system without IPv6 has no peers there either.
            SocketKey::of(tunnel, Ipv6Addr::UNSPECIFIED.into()).for_each(|key| drop(data.open_socket(key)));
            Ok(path)
        }
    }
}

/// Opens the sockets for a peer. The local address of the path stays open where the configuration leaves it open.
fn open(
    routes: &Routes,
    data: &mut DataPlane,
    tunnel: &TunnelConfig,
    peer: IpAddr,
) -> Result<Path, Unprepared> {
    let (via, encapsulation) = (tunnel.via(), tunnel.encapsulation());
    if let Some(why) = routes.hindrance(RouteKey { remote: peer, local: tunnel.local_address, via }) {
        return Err(Unprepared::NoRoute(Some(peer), why));
    }
    // A socket that is open already outlives its address.
    let own = tunnel.local_address.map_or(Ok(()), |local| routes.check_own(local, tunnel.bind_device));
    let own = own.map_err(|error| error_text(&error));
    for key in SocketKey::of(tunnel, peer) {
        let opened = own.clone().and_then(|()| data.open_socket(key).map_err(|error| error_text(&error)));
        opened.map_err(|error| Unprepared::Socket(key, error))?;
    }
    let (local_port, remote_port) = tunnel.ports_of(encapsulation);
    let local = SocketAddr::new(tunnel.local_address.unwrap_or(unspecified(peer)), local_port);
    Ok(Path { encapsulation, local, remote: SocketAddr::new(peer, remote_port), via })
}
