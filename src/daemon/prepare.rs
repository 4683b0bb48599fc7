//! What the engine needs before it can talk to a tunnel's peer: the peer's address, a route, a socket.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use super::core::Daemon;
use super::datapath::{unspecified, SocketKey};
use super::resolve::Answer;
use crate::config::model::TunnelConfig;
use crate::log::{Event, LogLine};
use crate::proto::{Path, RouteKey};
use crate::sys::error_text;

/// Why a host without any address tries nothing.
const NO_ADDRESS: &str = "this host has no address yet";

/// Why a tunnel cannot be tried now.
pub enum Unprepared {
    /// Something failed.
    Failed(String),
    /// There is no route to the peer (or no network to look its name up in) yet.
    NoRoute(Option<IpAddr>, String),
}

impl Daemon {
    /// Begins to look up a name of a tunnel's peer; why that is no use now.
    pub fn look_up(&mut self, tunnel: &str, name: &str) -> Option<Unprepared> {
        if !self.routes.has_address() {
            return Some(Unprepared::NoRoute(None, NO_ADDRESS.to_string()));
        }
        self.look_after_children = true;
        self.resolver.look_up(tunnel, name);
        None
    }

    /// Makes ready to talk to a tunnel's peer.
    pub fn prepare(&mut self, now: Instant, name: &str, peer: Option<IpAddr>) -> Result<Path, Unprepared> {
        let Some(tunnel) = self.tunnel(name).cloned() else {
            return Err(Unprepared::Failed("the tunnel is gone".to_string()));
        };
        match peer {
            Some(peer) => self.open(now, &tunnel, peer),
            None if tunnel.local_address.is_some() && !self.routes.has_address() => {
                Err(Unprepared::NoRoute(None, NO_ADDRESS.to_string()))
            }
            None => self.open_for_any(now, &tunnel),
        }
    }

    /// The engine hears what came of it.
    pub fn prepared(&mut self, now: Instant, tunnel: &str, path: Result<Path, Unprepared>) {
        match path {
            Ok(path) => self.engine.prepared(now, tunnel, Ok(path)),
            Err(Unprepared::Failed(why)) => self.engine.prepared(now, tunnel, Err(why)),
            Err(Unprepared::NoRoute(peer, why)) => self.engine.no_route(now, tunnel, peer, &why),
        }
    }

    /// Opens the socket for a peer.
    fn open(&mut self, now: Instant, tunnel: &TunnelConfig, peer: IpAddr) -> Result<Path, Unprepared> {
        if let Some(why) =
            self.routes.hindrance(RouteKey { remote: peer, local: tunnel.local_address, via: tunnel.via() })
        {
            return Err(Unprepared::NoRoute(Some(peer), why));
        }
        // A socket that is open already outlives its address.
        let own =
            tunnel.local_address.map_or(Ok(()), |local| self.routes.check_own(local, tunnel.bind_device));
        let mut failed = SocketKey::of(tunnel, peer).map(|key| (key, own.as_ref().err().map(error_text)));
        let failed = failed.find_map(|(key, error)| {
            let error = error.or_else(|| Some(error_text(&self.data.open_socket(key).err()?)))?;
            Some((key, error))
        });
        match failed {
            None => Ok(path(tunnel, peer)),
            Some((key, error)) => {
                let event = Event::SocketFailed { error: error.clone() };
                self.logger.log(now, &LogLine::with_detail(&event, format!("tunnel {}: {key}", tunnel.name)));
                Err(Unprepared::Failed(format!("{key}: {error}")))
            }
        }
    }

    /// Opens the sockets for a peer that is not known yet: of the local address' family, or of both.
    fn open_for_any(&mut self, now: Instant, tunnel: &TunnelConfig) -> Result<Path, Unprepared> {
        let (v4, v6) = (Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into());
        match tunnel.local_address {
            Some(IpAddr::V4(_)) => self.open(now, tunnel, v4),
            Some(IpAddr::V6(_)) => self.open(now, tunnel, v6),
            None => {
                let path = self.open(now, tunnel, v4)?;
                // A system without IPv6 has no peers there either.
                SocketKey::of(tunnel, v6).for_each(|key| drop(self.data.open_socket(key)));
                Ok(path)
            }
        }
    }

    /// A name was looked up.
    pub fn resolved(&mut self, now: Instant, answer: Answer) {
        let Some(tunnel) = self.tunnel(&answer.tunnel).cloned() else { return };
        if tunnel.names().all(|name| name != answer.name) {
            return; // the configuration has changed meanwhile; the engine asks anew
        }
        let addresses =
            answer.result.map_err(|why| format!("the name {} cannot be looked up: {why}", answer.name));
        self.engine.resolved(now, &answer.tunnel, &answer.name, addresses);
        self.drain(now);
    }
}

/// The path to a tunnel's peer. The local address stays open where the configuration leaves it open.
fn path(tunnel: &TunnelConfig, peer: IpAddr) -> Path {
    let (local_port, remote_port) = tunnel.ports_of(tunnel.encapsulation());
    Path {
        encapsulation: tunnel.encapsulation(),
        local: SocketAddr::new(tunnel.local_address.unwrap_or(unspecified(peer)), local_port),
        remote: SocketAddr::new(peer, remote_port),
        via: tunnel.via(),
    }
}
