//! What becomes of a tunnel when an address of ours goes, a route appears, or the system would send from another address
//! than before.

use std::net::IpAddr;
use std::time::Duration;

use super::connection::table::State;
use super::context::Context;
use super::snapshot::{Cause, Failure};
use super::tunnel::Tunnel;
use super::way::{Ends, Way};
use crate::config::model::{Remote, Role};
use crate::log::Remark;
use crate::wire::Ccid;

/// The answer to `Action::Prepare` where nothing can be sent to the peer at present: the tunnel is tried when that
/// changes, and now and then. `peer` is not known while there is not even a network to look its name up in.
pub fn no_way(tunnel: &mut Tunnel, cx: &mut Context, peer: Option<IpAddr>, why: &str) {
    // Without a network a name cannot be looked up again; no attempt waits for that.
    if !std::mem::take(&mut tunnel.preparing) {
        return;
    }
    let text = match peer {
        Some(peer) => format!("no route to {peer}: {why}"),
        None => why.to_owned(),
    };
    if peer.is_some() && tunnel.addresses.unanswered() {
        tunnel.attempt.fail(cx.now, Failure::new(text, Cause::Route));
        return tunnel.schedule(cx, Duration::ZERO);
    }
    if tunnel.attempt.failure().is_none_or(|failure| failure.check != text) {
        cx.remark(&Remark::NoWay { tunnel: tunnel.config.name.clone(), why: text.clone() });
        tunnel.attempt.fail(cx.now, Failure::new(text, Cause::Route));
    }
    tunnel.watch.set_next(cx, peer, tunnel.config.local_address, true);
    tunnel.retry(cx);
}

/// Makes the next attempt at once, if one waits for its time.
pub fn try_now(tunnel: &mut Tunnel, cx: &mut Context) {
    if tunnel.members.main_ccid().is_none() && tunnel.attempt.is_scheduled() {
        tunnel.schedule(cx, Duration::ZERO);
    }
}

/// A way of the tunnel (or of this connection) has changed, or is known now.
pub fn changed(
    tunnel: &mut Tunnel,
    cx: &mut Context,
    ccid: Option<Ccid>,
    ends: Ends,
    old: Option<Way>,
    way: Way,
) {
    match (ccid, old) {
        (Some(ccid), _) => connection_way(tunnel, cx, ccid, ends, way),
        (None, Some(_)) => next_way(tunnel, cx, ends, way),
        // It was looked at before this attempt.
        (None, None) => {}
    }
}

/// The way that the next attempt would take has changed.
fn next_way(tunnel: &mut Tunnel, cx: &mut Context, ends: Ends, way: Way) {
    if way.hop.is_none() {
        return tunnel.attempt.fail(cx.now, Failure::new(lost_way(ends, way), Cause::Route));
    }
    let main = tunnel.members.main_ccid().and_then(|ccid| tunnel.members.get_mut(ccid));
    match main.map(|c| (c.state, c)) {
        None => try_now(tunnel, cx),
        // What was sent before went nowhere.
        Some((State::WaitCtlReply, connection)) => connection.transport.repeat_oldest(cx),
        Some((
            State::Idle | State::WaitCtlConn | State::Established | State::Stopping | State::Linger,
            _,
        )) => {}
    }
}

/// The way that a connection takes has changed, or is seen for the first time.
fn connection_way(tunnel: &mut Tunnel, cx: &mut Context, ccid: Ccid, ends: Ends, way: Way) {
    let free = tunnel.config.local_address.is_none();
    let Some(connection) = tunnel.members.get_mut(ccid) else { return cx.missing() };
    let had_way = std::mem::replace(&mut connection.has_way, way.hop.is_some());
    if way.source == ends.local {
        connection.hop = way.hop;
    }
    // Packets from our address take another way than when it was chosen: providers drop foreign addresses. That
    // the system has a new favourite alone is no reason.
    let strayed = connection.hop.is_some() && connection.hop != way.hop;
    // While no address at all leads to the peer nothing is better than what there is: it may come back.
    let another = way.source.is_some() && way.source != ends.local;
    let leaves = if free { another && (strayed || way.deprecated || !way.own) } else { !way.own };
    match (leaves, way.hop) {
        (true, _) => leave_source(tunnel, cx, ccid, ends, way),
        (false, None) => tunnel.attempt.fail(cx.now, Failure::new(lost_way(ends, way), Cause::Route)),
        (false, Some(_)) if !had_way => {
            tunnel.attempt.forget(Cause::Route);
            tunnel.probe(cx, ccid);
        }
        (false, Some(_)) => {}
    }
}

/// The address of ours that a connection uses is gone, or the system prefers another one now. Where we may
/// begin, the tunnel is set up anew from there; else the peer is greeted from there.
fn leave_source(tunnel: &mut Tunnel, cx: &mut Context, ccid: Ccid, ends: Ends, way: Way) {
    let answers_only = tunnel.config.role == Role::Passive || tunnel.config.remote == Some(Remote::Any);
    let fixed = tunnel.config.local_address.is_some();
    let failure = Failure::new(lost_way(ends, way), Cause::Route);
    let (name, why) = (tunnel.config.name.clone(), failure.check.clone());
    let Some(connection) = tunnel.members.get_mut(ccid) else { return cx.missing() };
    match connection.state {
        State::Idle | State::Stopping | State::Linger => {}
        State::WaitCtlConn => tunnel.delete(cx, ccid),
        State::Established if answers_only && !fixed => {
            cx.remark(&Remark::SourcePassive { tunnel: name, why });
            let path = connection.send_from_anywhere(cx);
            tunnel.attempt.fail(cx.now, failure);
            tunnel.slots.move_to(cx, ccid, path);
            tunnel.probe(cx, ccid);
        }
        State::WaitCtlReply | State::Established => {
            cx.remark(&Remark::Source { tunnel: name, why });
            // By another way, nobody would take a message from that address.
            if way.deprecated && connection.state == State::Established {
                connection.say_good_bye(cx);
            }
            tunnel.lose(cx, ccid, failure);
            tunnel.schedule(cx, Duration::ZERO);
        }
    }
}

/// What is wrong with a way.
fn lost_way(ends: Ends, way: Way) -> String {
    match (ends.local, way.source) {
        (Some(local), _) if !way.own => format!("{local} is not an address of this host any more"),
        (Some(local), Some(source)) if source != local => {
            format!("the route to {} takes the source address {source}, not {local} any more", ends.remote)
        }
        (_, _) => format!("no route to {} any more", ends.remote),
    }
}
