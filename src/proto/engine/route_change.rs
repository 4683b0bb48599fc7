//! What becomes of a tunnel when an address of ours goes, a route appears, or the system would send from another address
//! than before.

use std::net::IpAddr;
use std::time::Duration;

use super::loss;
use super::receive;
use crate::config::model::Role;
use crate::log::Remark;
use crate::proto::connection::keepalive;
use crate::proto::connection::table::State;
use crate::proto::context::Context;
use crate::proto::route::{Route, RouteKey};
use crate::proto::snapshot::{Cause, Failure};
use crate::proto::tunnel::Tunnel;
use crate::wire::Ccid;

/// The answer to `Action::Prepare` where nothing can be sent to the peer at present: the tunnel is tried when that
/// changes, and now and then. `peer` is not known while there is not even a network to look its name up in.
pub fn no_route(tunnel: &mut Tunnel, cx: &mut Context, peer: Option<IpAddr>, why: &str) {
    // Without a network a name cannot be looked up again; no attempt waits for that.
    if tunnel.preparing.take().is_none() {
        return;
    }
    tunnel.addresses.give_up_lookups();
    let text = match peer {
        Some(peer) => format!("no route to {peer}: {why}"),
        None => why.to_owned(),
    };
    tunnel.backup.because(|| text.clone());
    if (peer.is_some() || tunnel.addresses.has_backup()) && tunnel.addresses.has_others() {
        tunnel.attempt.fail(cx.now, Failure::new(text, Cause::Route));
        return tunnel.schedule(cx, Duration::ZERO);
    }
    if tunnel.attempt.failure().is_none_or(|failure| failure.check != text) {
        cx.remark(&Remark::NoRoute { tunnel: tunnel.config.name.clone(), why: text.clone() });
        tunnel.attempt.fail(cx.now, Failure::new(text, Cause::Route));
    }
    tunnel.watch.set_next(cx, peer, tunnel.source(), true);
    tunnel.retry(cx);
}

/// Makes the next attempt at once, if one waits for its time.
pub fn try_now(tunnel: &mut Tunnel, cx: &mut Context) {
    if tunnel.members.main_ccid().is_none() && tunnel.attempt.is_scheduled() {
        tunnel.schedule(cx, Duration::ZERO);
    }
}

/// A route of the tunnel (or of this connection) has changed, or is known now.
pub fn changed(
    tunnel: &mut Tunnel,
    cx: &mut Context,
    ccid: Option<Ccid>,
    key: RouteKey,
    old: Option<Route>,
    route: Route,
) {
    match (ccid, old) {
        (Some(ccid), _) => connection_route(tunnel, cx, ccid, key, route),
        (None, Some(_)) => next_route(tunnel, cx, key, route),
        // It was looked at before this attempt.
        (None, None) => {}
    }
}

/// The route that the next attempt would take has changed.
fn next_route(tunnel: &mut Tunnel, cx: &mut Context, key: RouteKey, route: Route) {
    if route.next_hop.is_none() {
        return tunnel.attempt.fail(cx.now, Failure::new(lost_route(key, route), Cause::Route));
    }
    match tunnel.members.main_mut().map(|c| (c.state, c)) {
        None => try_now(tunnel, cx),
        // What was sent before went nowhere.
        Some((State::WaitCtlReply, connection)) => connection.transport.repeat_oldest(cx),
        Some((
            State::Idle | State::WaitCtlConn | State::Established | State::Stopping | State::Linger,
            _,
        )) => {}
    }
}

/// The route that a connection takes has changed, or is seen for the first time.
fn connection_route(tunnel: &mut Tunnel, cx: &mut Context, ccid: Ccid, key: RouteKey, route: Route) {
    let free = tunnel.config.local_address.is_none();
    let Some(connection) = tunnel.members.get_mut(ccid) else { return cx.missing() };
    let had_route = std::mem::replace(&mut connection.has_route, route.next_hop.is_some());
    if route.source == key.local {
        connection.next_hop = route.next_hop;
    }
    // Packets from our address take another route than when it was chosen: providers drop foreign addresses. That
    // the system has a new favourite alone is no reason.
    let rerouted = connection.next_hop.is_some() && connection.next_hop != route.next_hop;
    // While no address at all leads to the peer nothing is better than what there is: it may come back.
    let another = route.source.is_some() && route.source != key.local;
    let leaves = if free { another && (rerouted || route.deprecated || !route.own) } else { !route.own };
    match (leaves, route.next_hop) {
        (true, _) => leave_source(tunnel, cx, ccid, key, route),
        (false, None) => tunnel.attempt.fail(cx.now, Failure::new(lost_route(key, route), Cause::Route)),
        (false, Some(_)) if !had_route => {
            tunnel.attempt.forget(Cause::Route);
            receive::probe(tunnel, cx, ccid, None);
        }
        (false, Some(_)) => {}
    }
}

/// The address of ours that a connection uses is gone, or the system prefers another one now. Where we may
/// begin, the tunnel is set up anew from there; else the peer is greeted from there.
fn leave_source(tunnel: &mut Tunnel, cx: &mut Context, ccid: Ccid, key: RouteKey, route: Route) {
    let answers_only = tunnel.config.role == Role::Passive || tunnel.config.is_for_any();
    let fixed = tunnel.config.local_address.is_some();
    let failure = Failure::new(lost_route(key, route), Cause::Route);
    let (name, why) = (tunnel.config.name.clone(), failure.check.clone());
    let Some((slots, connection)) = tunnel.parts(ccid) else { return cx.missing() };
    match connection.state {
        State::Idle | State::Stopping | State::Linger => {}
        State::WaitCtlConn => tunnel.delete(cx, ccid),
        State::Established if answers_only && !fixed => {
            cx.remark(&Remark::SourcePassive { tunnel: name, why });
            let path = keepalive::send_from_anywhere(connection, cx);
            slots.move_to(cx, ccid, path);
            tunnel.attempt.fail(cx.now, failure);
            receive::probe(tunnel, cx, ccid, None);
        }
        State::WaitCtlReply | State::Established => {
            cx.remark(&Remark::Source { tunnel: name, why });
            // By another route, nobody would take a message from that address.
            if route.deprecated && connection.state == State::Established {
                connection.send_stopccn_once(cx, "set up anew from another address");
            }
            let member = connection.member();
            loss::lose(tunnel, cx, member, failure);
            // It is our address that is at fault, not the peer.
            tunnel.addresses.stay(member.peer());
            tunnel.schedule(cx, Duration::ZERO);
        }
    }
}

/// What is wrong with a route.
fn lost_route(key: RouteKey, route: Route) -> String {
    match (key.local, route.source) {
        (Some(local), _) if !route.own => format!("{local} is not an address of this host any more"),
        (Some(local), Some(source)) if source != local => {
            format!("the route to {} takes the source address {source}, not {local} any more", key.remote)
        }
        (_, _) => format!("no route to {}{} any more", key.remote, key.via),
    }
}
