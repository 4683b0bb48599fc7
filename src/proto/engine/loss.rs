//! A connection is lost, or its peer closes it: what is left of the tunnel, and who has its turn now.

use std::time::Duration;

use super::failover;
use crate::log::Remark;
use crate::proto::action::TunnelEvent;
use crate::proto::connection::table::State;
use crate::proto::connection::Member;
use crate::proto::context::Context;
use crate::proto::snapshot::{Cause, Failure};
use crate::proto::tunnel::Tunnel;

/// Any state and StopCCN (C-103, C-127): the sessions are dropped, the connection lingers.
pub fn peer_stopped(tunnel: &mut Tunnel, cx: &mut Context, member: Member, reason: String, lost_tie: bool) {
    let ccid = member.ccid;
    // A peer that ends the connection upon a long HELLO gets none any more.
    let peer = member.peer();
    if member.refuses_probes && tunnel.no_probes_to.replace(peer) != Some(peer) {
        cx.remark(&Remark::ProbesEnd { tunnel: tunnel.config.name.clone(), peer });
    }
    if is_replaced(tunnel, cx, member, &reason) {
        return tunnel.linger(cx, ccid);
    }
    let mut next = false;
    match member.state {
        State::Established => {
            next = down(tunnel, cx, member, Failure::new(reason, Cause::Other));
        }
        // A tie was lost: the peer's own attempt goes on.
        State::Idle | State::WaitCtlReply | State::WaitCtlConn if lost_tie => {
            tunnel.attempt.fail(cx.now, Failure::new(reason, Cause::Other));
        }
        State::Idle | State::WaitCtlReply | State::WaitCtlConn => {
            next = pass_over(tunnel, member, &reason);
            tunnel.fail_connection(cx, ccid, Failure::new(reason, Cause::Other));
        }
        State::Stopping | State::Linger => {}
    }
    tunnel.linger(cx, ccid);
    try_others(tunnel, cx, next);
}

/// Whether the tunnel goes on without a connection that is over: it only asked, or stood by, or the one that stands by
/// takes over.
fn is_replaced(tunnel: &mut Tunnel, cx: &mut Context, member: Member, why: &str) -> bool {
    if member.asks || tunnel.backup.standby == Some(member.ccid) {
        tunnel.backup.failed(member.peer());
        return true;
    }
    failover::take_over(tunnel, cx, member, why)
}

/// Whether it is the one that serves the tunnel whose peer does not any more, or does not want to.
fn leaves(tunnel: &mut Tunnel, member: Member, why: &str) -> bool {
    let serves = tunnel.members.main_ccid() == Some(member.ccid);
    if serves {
        tunnel.backup.because(|| format!("{}: {why}", member.peer()));
    }
    serves
}

/// An established connection is over. Whether another peer has its turn now.
fn down(tunnel: &mut Tunnel, cx: &mut Context, member: Member, failure: Failure) -> bool {
    let reason = failure.to_string();
    tunnel.slots.drop_sessions(cx, Some(member.ccid), &reason);
    let next = leaves(tunnel, member, &reason) && tunnel.addresses.leave(member.peer());
    tunnel.notify(cx, TunnelEvent::TunnelDown, reason);
    tunnel.attempt.fail(cx.now, failure);
    next
}

/// A peer does not want to serve the tunnel. Whether another one has its turn now.
pub fn pass_over(tunnel: &mut Tunnel, member: Member, why: &str) -> bool {
    leaves(tunnel, member, why) && tunnel.addresses.has_backup() && tunnel.addresses.has_others()
}

/// Tries again if no connection serves the tunnel: at once, where it is another peer's turn.
pub fn try_others(tunnel: &mut Tunnel, cx: &mut Context, next: bool) {
    match next && tunnel.members.main_ccid().is_none() {
        true => tunnel.schedule(cx, Duration::ZERO),
        false => tunnel.retry_unless_served(cx),
    }
}

/// Deletes a connection whose peer cannot be reached (C-059), and tries again later; the next address of the peer's
/// name has its turn before the pause.
pub fn lose(tunnel: &mut Tunnel, cx: &mut Context, member: Member, failure: Failure) {
    let ccid = member.ccid;
    if is_replaced(tunnel, cx, member, &failure.to_string()) {
        return tunnel.delete(cx, ccid);
    }
    // No answer with one encapsulation where there are two.
    let only = tunnel.members.main_ccid() == Some(ccid) && member.state == State::WaitCtlReply;
    let other = only.then(|| tunnel.fallback.switch(&tunnel.config, member.path)).flatten();
    if let Some(path) = other {
        let remark =
            Remark::Fallback { tunnel: tunnel.config.name.clone(), encapsulation: path.encapsulation.name() };
        cx.remark(&remark);
        tunnel.attempt.fail(cx.now, failure);
        tunnel.delete(cx, ccid);
        tunnel.path = Some(path);
        return tunnel.begin(cx, path);
    }
    let mut next = false;
    match member.state {
        State::Established => next = down(tunnel, cx, member, failure),
        State::WaitCtlReply if tunnel.addresses.has_others() => {
            pass_over(tunnel, member, &failure.to_string());
            tunnel.attempt.fail(cx.now, failure);
            next = true;
        }
        State::WaitCtlReply => {
            tunnel.pause.unacknowledged();
            tunnel.fail_connection(cx, ccid, failure);
        }
        State::Idle | State::WaitCtlConn | State::Stopping | State::Linger => {
            tunnel.fail_connection(cx, ccid, failure);
        }
    }
    tunnel.delete(cx, ccid);
    try_others(tunnel, cx, next);
}
