//! What an attempt needs before it can begin: the peer's address, where it has a name, and a socket. And what becomes of
//! a tunnel when the name means another address, or the network reports that an address cannot be reached.

use std::net::IpAddr;
use std::time::Duration;

use super::receive;
use super::resume;
use crate::config::model::Role;
use crate::log::Event;
use crate::proto::action::Path;
use crate::proto::attempt::Preparing;
use crate::proto::connection::table::State;
use crate::proto::context::Context;
use crate::proto::snapshot::{Cause, Failure};
use crate::proto::tunnel::Tunnel;
use crate::wire::Ccid;

/// The answer to `Action::Resolve`. An attempt that waits for it goes on; else all may be well, or in doubt.
pub fn resolved(tunnel: &mut Tunnel, cx: &mut Context, name: &str, addresses: Result<Vec<IpAddr>, String>) {
    if tunnel.is_usable() && !cx.shutting_down {
        tunnel.addresses.arm(cx, tunnel.key, &tunnel.config);
    }
    let local = tunnel.config.local_address;
    let fits = |address: &IpAddr| local.is_none_or(|local| local.is_ipv4() == address.is_ipv4());
    let usable = addresses.and_then(|mut list| {
        list.retain(fits);
        match list.is_empty() {
            true => Err(format!("the name {name} has no address of the family of local-address")),
            false => Ok(list),
        }
    });
    match usable {
        Ok(list) => {
            let new = tunnel.addresses.update(name, Some(list));
            readdressed(tunnel, cx, new);
        }
        Err(why) => {
            // What was known is as good as before.
            tunnel.addresses.update(name, None);
            if tunnel.preparing == Some(Preparing::Names) {
                prepared(tunnel, cx, Err(why));
            }
        }
    }
}

/// The peer's name was looked up; `new`: it means an address that it did not mean before.
fn readdressed(tunnel: &mut Tunnel, cx: &mut Context, new: bool) {
    if tunnel.preparing == Some(Preparing::Names) {
        return tunnel.try_next(cx);
    }
    let current = tunnel.members.main().map(|c| c.transport.path).or(tunnel.path).map(|p| p.remote.ip());
    let moved = current.is_some_and(|address| !tunnel.addresses.contains(address));
    match tunnel.members.main_ccid() {
        // Whether the peer really has moved it has to tell itself, by its silence.
        Some(main) if moved => receive::probe(tunnel, cx, main, None),
        Some(_) => {}
        None if tunnel.slots.is_manual() && moved => tunnel.try_next(cx),
        None if new && tunnel.attempt.is_scheduled() => tunnel.schedule(cx, Duration::ZERO),
        None => {}
    }
}

/// The answer to `Action::Prepare`: the path to the peer (with an unspecified remote address where any may connect), or
/// in words why there is none yet.
pub fn prepared(tunnel: &mut Tunnel, cx: &mut Context, path: Result<Path, String>) {
    let tried = match tunnel.preparing.take() {
        Some(Preparing::Socket(peer)) => peer,
        Some(Preparing::Names) | None => None,
    };
    let named = tried.filter(|address| tunnel.config.addresses().any(|named| named == *address));
    let known = path.as_ref().ok().map(|path| path.remote.ip()).filter(|ip| !ip.is_unspecified());
    tunnel.watch.set_next(cx, named.or(known), tunnel.source(), path.is_err());
    let path = match path {
        Ok(path) => path,
        Err(why) => {
            cx.log_detail(Event::CreateTunnelFailed {}, format!("tunnel {}: {why}", tunnel.config.name));
            let failure = Failure::new(why, Cause::NoConnection);
            tunnel.backup.because(|| failure.to_string());
            if tunnel.addresses.has_others() {
                tunnel.kept = None;
                tunnel.attempt.fail(cx.now, failure);
                return tunnel.schedule(cx, Duration::ZERO);
            }
            tunnel.fail(cx, failure);
            return tunnel.retry(cx);
        }
    };
    let prepared = path;
    let path = tunnel.fallback.begin(cx.now, &tunnel.config, path);
    tunnel.path = Some(path);
    if cx.shutting_down || !tunnel.is_usable() {
        return;
    }
    let answers_only = tunnel.config.role == Role::Passive || tunnel.config.is_for_any();
    let begins = !answers_only && !tunnel.slots.is_manual() && tunnel.members.main_ccid().is_none();
    if let Some(path) = tunnel.known_path() {
        tunnel.slots.start_manual(cx, path);
        tunnel.slots.move_manual(cx, path, |address| tunnel.addresses.contains(address));
    }
    if resume::ask(tunnel, cx, prepared) {
        return;
    }
    if begins {
        tunnel.begin(cx, path);
    }
}

/// The network reports (ICMP) that what a connection sent did not arrive: shown as the reason while it waits for an
/// answer. It hides no reason that was found here.
pub fn unreachable(tunnel: &mut Tunnel, cx: &mut Context, ccid: Ccid, error: &str) {
    match tunnel.members.state(ccid) {
        Some(State::WaitCtlReply) => {}
        Some(State::Established) => return tunnel.addresses.doubt(cx, tunnel.key, &tunnel.config),
        Some(State::Idle | State::WaitCtlConn | State::Stopping | State::Linger) | None => return,
    }
    tunnel.sign_of_life(cx);
    if tunnel.attempt.failure().is_none_or(|f| f.cause == Cause::NoAnswer) {
        let check = format!("what we send does not arrive, the network reports: {error}");
        tunnel.attempt.fail(cx.now, Failure::new(check, Cause::NoAnswer));
    }
}
