//! The administrator's commands.

use std::net::IpAddr;
use std::time::Duration;

use super::failover;
use super::tunnels::Tunnels;
use crate::config::alike;
use crate::log::Event;
use crate::proto::connection::keepalive;
use crate::proto::context::Context;
use crate::proto::result::result;
use crate::proto::tunnel::Tunnel;
use crate::wire::code::{cdn, stopccn};
use crate::wire::Ccid;

/// The place in the product's source that the messages about `clear` name.
const FUNC: &str = "admin_clear";

/// Where a name is unknown, one like it is looked for among so many, the first of the file.
const NAMES: usize = 100;

const NOT_UP: &str = "but not up at present; `l2tpctl explain tunnel";

/// What the administrator wants. Result codes are those of the StopCCN or CDN; `None` is the usual one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `clear tunnel`, by name: StopCCN.
    ClearTunnel(String, Option<u16>),
    /// `clear peer`: as `clear tunnel`, for the tunnels of an address.
    ClearPeer(IpAddr, Option<u16>),
    /// `clear session`, by interface: CDN.
    ClearSession(String, Option<u16>),
    /// `clear all`: every tunnel that is up or coming up.
    ClearAll(Option<u16>),
    /// `start`, by name: enables a tunnel until the next reload.
    Start(String),
    /// `stop`, by name: disables a tunnel until the next reload.
    Stop(String),
    /// `failover`, by name: the next peer has its turn.
    FailOver(String),
    /// `ping`, by name: a HELLO. `Action::Pong` tells what came of it; while one has no answer another is not sent, and
    /// the answer is for both.
    Ping(String),
    /// `counters reset`: what was counted of control messages begins again at 0.
    ResetCounters,
}

/// Why a command came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandError {
    /// No tunnel of that name.
    NotFound,
    /// No session or peer that could be cleared: whether it is configured, in words.
    NothingToClear(String),
    /// It exists, but there is nothing to clear.
    NotUp,
    /// The tunnel has one peer only.
    NoOtherPeer,
    /// Result code 0: no Result Code AVP can be made of it.
    NoResultCode,
}

/// Whether a command was done.
type Done = Result<(), CommandError>;

impl Command {
    /// Does it, or says why there is nothing to do.
    pub fn run(self, cx: &mut Context, tunnels: &mut Tunnels) -> Done {
        // A result code of 0 is reserved: no Result Code AVP can be made of it (C-305).
        if let Command::ClearTunnel(_, Some(0))
        | Command::ClearPeer(_, Some(0))
        | Command::ClearSession(_, Some(0))
        | Command::ClearAll(Some(0)) = self
        {
            cx.log(Event::ResultCodeNotSpecified {});
            return Err(CommandError::NoResultCode);
        }
        match self {
            Command::ClearTunnel(name, code) => up(clear_tunnel(cx, named(tunnels, &name)?, code)),
            Command::ClearPeer(peer, code) => clear_peer(cx, tunnels, peer, code),
            Command::ClearSession(interface, code) => clear_session(cx, tunnels, &interface, code),
            Command::ClearAll(code) => {
                // Those that are not up have nothing to clear.
                tunnels.for_each(|tunnel| _ = clear_tunnel(cx, tunnel, code));
                Ok(())
            }
            Command::Start(name) => {
                tunnels.change(&name, |tunnel| tunnel.start(cx)).ok_or(CommandError::NotFound)
            }
            Command::Stop(name) => {
                tunnels.change(&name, |tunnel| tunnel.stop(cx)).ok_or(CommandError::NotFound)
            }
            Command::FailOver(name) => {
                let tunnel = named(tunnels, &name)?;
                match tunnel.addresses.has_backup() {
                    true => up(failover::fail_over(tunnel, cx)),
                    false => Err(CommandError::NoOtherPeer),
                }
            }
            Command::Ping(name) => {
                let main = named(tunnels, &name)?.members.main_mut();
                up(main.is_some_and(|connection| keepalive::ping(connection, cx)))
            }
            Command::ResetCounters => {
                tunnels.all_mut().for_each(|tunnel| tunnel.members.reset_counters());
                (cx.drops, cx.dropped_from) = Default::default();
                Ok(())
            }
        }
    }
}

fn named<'a>(tunnels: &'a mut Tunnels, name: &str) -> Result<&'a mut Tunnel, CommandError> {
    tunnels.named(name).ok_or(CommandError::NotFound)
}

/// `done`: there was a connection for it.
fn up(done: bool) -> Done {
    if done {
        Ok(())
    } else {
        Err(CommandError::NotUp)
    }
}

/// StopCCN with `code` (default 1); the tunnel is set up again at once. `false`: there is no connection.
fn clear_tunnel(cx: &mut Context, tunnel: &mut Tunnel, code: Option<u16>) -> bool {
    let alive = tunnel.members.alive();
    if let Some(main) = tunnel.members.main() {
        tunnel.addresses.stay(main.address());
    }
    for member in &alive {
        cx.log(Event::CleanupTunnelPeer { tunnel: member.ccid, func: FUNC, peer: member.peer() });
        let code = result(code.unwrap_or(stopccn::GENERAL), None, "cleared by the administrator");
        tunnel.close_connection(cx, member.ccid, code);
    }
    if !alive.is_empty() {
        // The administrator waits for it; nothing is known against the peer.
        tunnel.schedule(cx, Duration::ZERO);
    }
    !alive.is_empty()
}

/// StopCCN to this address, as for its tunnels.
fn clear_peer(cx: &mut Context, tunnels: &mut Tunnels, peer: IpAddr, code: Option<u16>) -> Done {
    let is_up = |tunnel: &Tunnel| tunnel.members.iter().any(|c| c.state.is_alive() && c.address() == peer);
    let mut found = false;
    for key in cx.peers.tunnels_of(peer) {
        if let Some(tunnel) = tunnels.get_mut(key).filter(|tunnel| is_up(tunnel)) {
            found |= clear_tunnel(cx, tunnel, code);
        }
    }
    if !found {
        let why = why_no_peer(tunnels, peer);
        cx.log_detail(Event::NoSuchPeer { func: FUNC, peer }, &why);
        return Err(CommandError::NothingToClear(why));
    }
    Ok(())
}

/// CDN with `code` (default 3); the session is set up again at once.
fn clear_session(cx: &mut Context, tunnels: &mut Tunnels, interface: &str, code: Option<u16>) -> Done {
    let found = tunnels.with_interface_mut(interface).and_then(|tunnel| tunnel.slot_named(interface));
    if let Some((slot, connection)) = found.filter(|(slot, _)| slot.session.is_some()) {
        let tunnel = slot.connection().unwrap_or(Ccid(0));
        cx.log(Event::CleanupCall { tunnel, func: FUNC, interface: interface.to_owned() });
        slot.clear(cx, connection, result(code.unwrap_or(cdn::ADMIN), None, "cleared by the administrator"));
        slot.schedule(cx, Duration::ZERO);
        return Ok(());
    }
    let why = why_no_session(tunnels, interface);
    let interface = crate::log::escape(interface.as_bytes());
    cx.log_detail(Event::NoSuchInterface { func: FUNC, interface }, &why);
    Err(CommandError::NothingToClear(why))
}

/// Why there is nothing to clear with this peer.
fn why_no_peer(tunnels: &Tunnels, peer: IpAddr) -> String {
    match tunnels.towards(peer) {
        Some(tunnel) => {
            format!("tunnel {0} is configured for it, {NOT_UP} {0}` tells why", tunnel.config.name)
        }
        None => "no tunnel is configured for this address".to_owned(),
    }
}

/// Why there is no session of this name to clear.
fn why_no_session(tunnels: &Tunnels, interface: &str) -> String {
    if let Some(tunnel) = tunnels.with_interface(interface) {
        return format!("it is configured, {NOT_UP} {}` tells why", tunnel.config.name);
    }
    let unknown = "no session of this name is configured";
    let names = tunnels.iter().flat_map(|t| t.slots.iter().map(|slot| slot.config.interface.as_str()));
    match alike::nearest(interface.as_bytes(), names.take(NAMES)) {
        Some(name) => format!("{unknown}; did you mean {name}?"),
        None => unknown.to_owned(),
    }
}
