//! A connection is lost, or its peer closes it: what is left of the tunnel, and who has its turn now.

use std::time::Duration;

use super::action::{Happening, Path};
use super::connection::table::State;
use super::context::Context;
use super::failover;
use super::snapshot::{Cause, Failure};
use super::tunnel::Tunnel;
use crate::log::Remark;
use crate::wire::Ccid;

/// Any state and StopCCN (C-103, C-127): the sessions are dropped, the connection lingers.
pub fn peer_stopped(tunnel: &mut Tunnel, cx: &mut Context, ccid: Ccid, reason: String, lost_tie: bool) {
    note_spoiled(tunnel, cx, ccid);
    if failover::only_asks(tunnel, ccid) {
        failover::asked_in_vain(tunnel, ccid);
        return tunnel.linger(cx, ccid);
    }
    if stood_by(tunnel, ccid) || failover::take_over(tunnel, cx, ccid, &reason) {
        return tunnel.linger(cx, ccid);
    }
    let mut next = false;
    match tunnel.members.state(ccid) {
        Some(State::Established) => {
            tunnel.slots.drop_sessions(cx, Some(ccid), &reason);
            tunnel.notify(cx, Happening::TunnelDown, reason.clone());
            next = leave_peer(tunnel, ccid, &reason);
            tunnel.attempt.fail(cx.now, Failure::new(reason, Cause::Other));
        }
        // A tie was lost: the peer's own attempt goes on.
        Some(State::Idle | State::WaitCtlReply | State::WaitCtlConn) if lost_tie => {
            tunnel.attempt.fail(cx.now, Failure::new(reason, Cause::Other));
        }
        Some(State::Idle | State::WaitCtlReply | State::WaitCtlConn) => {
            next = pass_over(tunnel, ccid, &reason);
            tunnel.fail_connection(cx, ccid, Failure::new(reason, Cause::Other));
        }
        Some(State::Stopping | State::Linger) | None => {}
    }
    tunnel.linger(cx, ccid);
    try_others(tunnel, cx, next);
}

/// A peer that ends the connection upon a long HELLO gets none any more.
fn note_spoiled(tunnel: &mut Tunnel, cx: &mut Context, ccid: Ccid) {
    let Some(connection) = tunnel.members.get(ccid).filter(|connection| connection.spoiled) else { return };
    let peer = connection.transport.path.remote.ip();
    if tunnel.spoiled.replace(peer) != Some(peer) {
        cx.remark(&Remark::Spoiled { tunnel: tunnel.config.name.clone(), peer });
    }
}

/// Whether the peer of a connection that is over stood by.
fn stood_by(tunnel: &mut Tunnel, ccid: Ccid) -> bool {
    let stood_by = tunnel.backup.standby == Some(ccid);
    if stood_by {
        failover::asked_in_vain(tunnel, ccid);
    }
    stood_by
}

/// The peer that served the tunnel does not any more. Whether another one has its turn now.
fn leave_peer(tunnel: &mut Tunnel, ccid: Ccid, why: &str) -> bool {
    let Some(connection) = tunnel.members.get(ccid).filter(|_| tunnel.members.main_ccid() == Some(ccid))
    else {
        return false;
    };
    let peer = connection.transport.path.remote.ip();
    tunnel.backup.because(|| format!("{peer}: {why}"));
    tunnel.addresses.leave(peer)
}

/// A peer does not want to serve the tunnel. Whether another one has its turn now.
pub fn pass_over(tunnel: &mut Tunnel, ccid: Ccid, why: &str) -> bool {
    let Some(connection) = tunnel.members.get(ccid).filter(|_| tunnel.members.main_ccid() == Some(ccid))
    else {
        return false;
    };
    let peer = connection.transport.path.remote.ip();
    tunnel.backup.because(|| format!("{peer}: {why}"));
    tunnel.addresses.has_backup() && tunnel.addresses.has_others()
}

/// Tries again if no connection serves the tunnel: at once, where it is another peer's turn.
pub fn try_others(tunnel: &mut Tunnel, cx: &mut Context, next: bool) {
    match next && tunnel.members.main_ccid().is_none() {
        true => tunnel.schedule(cx, Duration::ZERO),
        false => tunnel.retry_unless_served(cx),
    }
}

/// The path with the other encapsulation, where an attempt found no answer with the one and there are two.
fn other_encapsulation(tunnel: &mut Tunnel, ccid: Ccid) -> Option<Path> {
    let only = tunnel.members.main_ccid() == Some(ccid);
    let connection = tunnel.members.get(ccid).filter(|c| only && c.state == State::WaitCtlReply)?;
    tunnel.fallback.switch(&tunnel.config, connection.transport.path)
}

/// Deletes a connection whose peer cannot be reached (C-059), and tries again later; the next address of the peer's
/// name has its turn before the pause.
pub fn lose(tunnel: &mut Tunnel, cx: &mut Context, ccid: Ccid, failure: Failure) {
    if failover::only_asks(tunnel, ccid) {
        failover::asked_in_vain(tunnel, ccid);
        return tunnel.delete(cx, ccid);
    }
    if stood_by(tunnel, ccid) || failover::take_over(tunnel, cx, ccid, &failure.to_string()) {
        return tunnel.delete(cx, ccid);
    }
    if let Some(path) = other_encapsulation(tunnel, ccid) {
        let remark =
            Remark::Fallback { tunnel: tunnel.config.name.clone(), encapsulation: path.encapsulation.name() };
        cx.remark(&remark);
        tunnel.attempt.fail(cx.now, failure);
        tunnel.delete(cx, ccid);
        tunnel.path = Some(path);
        return tunnel.begin(cx, path);
    }
    let mut next = false;
    match tunnel.members.state(ccid) {
        Some(State::Established) => {
            let reason = failure.to_string();
            tunnel.slots.drop_sessions(cx, Some(ccid), &reason);
            next = leave_peer(tunnel, ccid, &reason);
            tunnel.notify(cx, Happening::TunnelDown, reason);
            tunnel.attempt.fail(cx.now, failure);
        }
        Some(State::WaitCtlReply) if tunnel.addresses.has_others() => {
            pass_over(tunnel, ccid, &failure.to_string());
            tunnel.attempt.fail(cx.now, failure);
            next = true;
        }
        Some(State::WaitCtlReply) => {
            tunnel.pause.unacknowledged();
            tunnel.fail_connection(cx, ccid, failure);
        }
        Some(State::Idle | State::WaitCtlConn | State::Stopping | State::Linger) | None => {
            tunnel.fail_connection(cx, ccid, failure);
        }
    }
    tunnel.delete(cx, ccid);
    try_others(tunnel, cx, next);
}
