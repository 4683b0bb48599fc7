//! A tunnel with several peers: which one serves it, and the way back to a better one.
//!
//! With `standby hot` the control connection and the sessions of the next peer are kept up, with the circuit status
//! "standby" (RFC 5641). They carry no frames; when the peer in use is lost they take its place at once.
//!
//! A better peer is asked by an SCCRQ whose SCCRP is answered with a StopCCN: that shows that it serves us, and disturbs
//! nothing. Once it has answered each time for `revert-after` the last SCCRP is answered with an SCCCN, and the tunnel
//! moves there.

use std::net::IpAddr;
use std::time::Duration;

use crate::config::model::{RevertAfter, Role, Standby};
use crate::log::Remark;
use crate::proto::action::{Action, Path, Purpose, TunnelEvent};
use crate::proto::connection::keepalive;
use crate::proto::connection::table::State;
use crate::proto::connection::{Connection, Member};
use crate::proto::context::{Context, Due, Timer};
use crate::proto::result::result;
use crate::proto::snapshot::count;
use crate::proto::tunnel::Tunnel;
use crate::wire::code::stopccn;

/// A peer that answers is asked so often within `revert-after`.
const CHECKS: u32 = 3;
/// One that does not is asked no less often than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// No peer is asked more often.
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);

/// A connection is established, and serves its tunnel from now on.
pub fn serve(tunnel: &mut Tunnel, cx: &mut Context, member: Member, reason: &str) {
    tunnel.members.set_main(member.ccid);
    tunnel.attempt.since = cx.now;
    tunnel.addresses.answered(member.peer());
    tunnel.fallback.works(cx.now, &tunnel.config, member.path.encapsulation);
    tunnel.notify(cx, TunnelEvent::TunnelUp, reason.to_owned());
    peer_used(tunnel, cx, member.peer(), !member.initiator);
}

/// The peer at this address is the one in use.
fn peer_used(tunnel: &mut Tunnel, cx: &mut Context, address: IpAddr, called: bool) {
    let because = tunnel.backup.because.take();
    let line = tunnel.addresses.line_of(address);
    tunnel.backup.left.retain(|left| *left != address);
    let before = tunnel.backup.in_use.replace(address);
    if before == Some(address) {
        return ask_soon(tunnel, cx);
    }
    tunnel.backup.why = match (because, called, line) {
        (Some(because), ..) => because,
        (None, true, _) => "it called".to_owned(),
        (None, false, Some(0)) => "it is the first choice".to_owned(),
        (None, false, _) => "no better one was tried".to_owned(),
    };
    if before.is_some() {
        tunnel.backup.changes = tunnel.backup.changes.saturating_add(1);
        tunnel.slots.announce();
    }
    if tunnel.addresses.has_backup() {
        let (name, why) = (tunnel.config.name.clone(), tunnel.backup.why.clone());
        cx.remark(&Remark::PeerInUse { tunnel: name, peer: address, why: why.clone() });
        tunnel.notify(cx, TunnelEvent::PeerChanged, why);
    }
    ask_soon(tunnel, cx);
}

/// A tunnel that has its peer looks for one that stands by at once; better ones have time.
pub fn ask_soon(tunnel: &mut Tunnel, cx: &mut Context) {
    arm_asking(tunnel, cx);
    if tunnel.config.standby == Standby::Hot && tunnel.backup.timer.is_some() {
        cx.arm(&mut tunnel.backup.timer, SHORTEST_PAUSE, Timer(tunnel.key, Due::Backup));
    }
}

/// The peers that are better than the one in use are asked from now on, where there are any.
pub fn arm_asking(tunnel: &mut Tunnel, cx: &mut Context) {
    let established = tunnel.members.main().filter(|main| main.state == State::Established);
    if let Some(current) = established.map(|main| main.address()) {
        arm_asking_beside(tunnel, cx, current);
    }
}

fn arm_asking_beside(tunnel: &mut Tunnel, cx: &mut Context, current: IpAddr) {
    let line = |address| tunnel.addresses.line_of(address);
    let others = |address: &IpAddr| line(*address) != line(current);
    let asked: Vec<IpAddr> = match (tunnel.config.standby, tunnel.standby_address()) {
        (Standby::Cold, _) => tunnel.addresses.better_than(current).collect(),
        // One that is better than the peer that stands by takes its place.
        (Standby::Hot, Some(standby)) => tunnel.addresses.better_than(standby).filter(others).collect(),
        (Standby::Hot, None) => tunnel.addresses.known().filter(others).collect(),
    };
    tunnel.backup.follow(asked.into_iter());
    match asking_pause(tunnel, cx) {
        Some(pause) => cx.arm(&mut tunnel.backup.timer, pause, Timer(tunnel.key, Due::Backup)),
        None => cx.cancel(&mut tunnel.backup.timer),
    }
}

/// How long until the next one is asked; `None`: none is.
fn asking_pause(tunnel: &Tunnel, cx: &mut Context) -> Option<Duration> {
    let asks = tunnel.config.role != Role::Passive && tunnel.is_usable() && !cx.shutting_down;
    let (revert_after, hot) = match (tunnel.config.revert_after, tunnel.config.standby) {
        (RevertAfter::After(time), standby) => (time, standby == Standby::Hot),
        (RevertAfter::Never, Standby::Hot) => (LONGEST_PAUSE, true),
        (RevertAfter::Never, Standby::Cold) => return None,
    };
    let peers = u32::try_from(tunnel.backup.better.len()).ok().filter(|_| asks)?;
    let answers = !hot && tunnel.backup.better.iter().any(|better| better.since.is_some());
    let each = match answers {
        true => revert_after.checked_div(CHECKS)?,
        false => revert_after.min(LONGEST_PAUSE),
    };
    let next = each.checked_div(peers).map(|pause| pause.max(SHORTEST_PAUSE));
    next.into_iter().chain(moves_in(tunnel, cx)).min()
}

/// How long until the tunnel moves to the peer that stands by, because that is better than the one in use.
fn moves_in(tunnel: &Tunnel, cx: &Context) -> Option<Duration> {
    let RevertAfter::After(wanted) = tunnel.config.revert_after else { return None };
    let (standby, since) = (tunnel.standby_address()?, tunnel.backup.standby_since?);
    let current = tunnel.members.main()?.transport.path.remote.ip();
    let better = tunnel.addresses.line_of(standby) < tunnel.addresses.line_of(current);
    let left = tunnel.backup.left.contains(&standby);
    let lasts = cx.now.saturating_duration_since(since);
    (better && !left).then_some(wanted.saturating_sub(lasts))
}

/// It is time to ask.
pub fn ask_next(tunnel: &mut Tunnel, cx: &mut Context) {
    tunnel.backup.timer = None;
    let late =
        tunnel.members.iter().find(|c| c.state == State::WaitCtlReply && c.asks).map(Connection::member);
    if let Some(late) = late {
        tunnel.backup.failed(late.peer());
        tunnel.delete(cx, late.ccid);
    }
    if moves_in(tunnel, cx).is_some_and(|time| time.is_zero()) {
        let since = tunnel.backup.standby_since.unwrap_or(cx.now);
        let why = better_again(cx.now.saturating_duration_since(since));
        move_to_standby(tunnel, cx, why, "a better peer is used again");
        return;
    }
    arm_asking(tunnel, cx);
    if tunnel.backup.timer.is_none() {
        return;
    }
    let at = tunnel.backup.next.checked_rem(tunnel.backup.better.len()).unwrap_or(0);
    tunnel.backup.next = at.saturating_add(1);
    if let Some(better) = tunnel.backup.better.get(at) {
        let (tunnel, peer) = (tunnel.config.name.clone(), Some(better.address));
        cx.act(Action::Prepare { tunnel, peer, purpose: Purpose::Ask });
    }
}

/// The answer to `Action::Prepare` for a peer that is to be asked.
pub fn prepared_to_ask(tunnel: &mut Tunnel, cx: &mut Context, peer: Option<IpAddr>, path: Option<Path>) {
    let established = tunnel.members.main().is_some_and(|main| main.state == State::Established);
    let may = established && tunnel.is_usable() && !cx.shutting_down && cx.alive < cx.max_tunnels;
    match (peer.filter(|peer| tunnel.backup.find(*peer).is_some()), path) {
        (Some(_), Some(path)) if may => ask(tunnel, cx, path),
        (Some(peer), None) => tunnel.backup.failed(peer),
        (Some(_), Some(_)) | (None, _) => {}
    }
}

fn ask(tunnel: &mut Tunnel, cx: &mut Context, path: Path) {
    let path = tunnel.fallback.begin(cx.now, &tunnel.config, path);
    if let Some((mut connection, nonce)) = tunnel.draw_connection(cx, path) {
        let ccid = connection.ccid();
        connection.asks = true;
        connection.begin(&nonce);
        let added = tunnel.members.add(cx, connection);
        if !added.is_some_and(|connection| connection.send_request(cx, true)) {
            tunnel.delete(cx, ccid);
        }
    }
}

/// The peer of this connection answers: whether the tunnel moves there.
pub fn asked_answers(tunnel: &mut Tunnel, cx: &mut Context, member: Member) -> bool {
    let RevertAfter::After(wanted) = tunnel.config.revert_after else { return false };
    if tunnel.config.standby == Standby::Hot {
        return false; // it stands by first
    }
    let peer = Some(member.peer()).filter(|peer| !tunnel.backup.left.contains(peer));
    let Some(better) = peer.and_then(|peer| tunnel.backup.find(peer)) else { return false };
    let since = *better.since.get_or_insert(cx.now);
    let lasts = cx.now.saturating_duration_since(since);
    let moves = lasts >= wanted;
    if moves {
        tunnel.backup.because = Some(better_again(lasts));
    } else {
        arm_asking(tunnel, cx);
    }
    moves
}

fn better_again(lasts: Duration) -> String {
    format!("better, and within reach for {} s", lasts.as_secs())
}

/// `failover`: the next peer has its turn. `false`: there is none.
pub fn fail_over(tunnel: &mut Tunnel, cx: &mut Context) -> bool {
    let main = tunnel.members.main().map(Connection::member);
    let leaves = |main: &Member| tunnel.addresses.has_backup() && tunnel.addresses.leave(main.peer());
    let Some(main) = main.filter(leaves) else { return false };
    let current = main.peer();
    let why = format!("the administrator moved the tunnel from {current}");
    let reason = "the administrator moved the tunnel to another peer";
    tunnel.backup.left.push(current);
    if move_to_standby(tunnel, cx, why.clone(), reason) {
        return true;
    }
    tunnel.backup.because = Some(why);
    tunnel.close_connection(cx, main.ccid, result(stopccn::GENERAL, None, reason));
    tunnel.schedule(cx, Duration::ZERO);
    true
}

/// Moves from the peer in use, whose StopCCN has this `reason`, to the one that stands by. `false`: none does.
fn move_to_standby(tunnel: &mut Tunnel, cx: &mut Context, why: String, reason: &str) -> bool {
    let main = tunnel.members.main().map(Connection::member);
    let Some(main) = main.filter(|_| tunnel.backup.standby.is_some()) else { return false };
    tunnel.backup.because = Some(why);
    let moved = take_over(tunnel, cx, main, reason);
    if moved {
        tunnel.close_connection(cx, main.ccid, result(stopccn::GENERAL, None, reason));
    }
    moved
}

/// The connection in use is lost or left: the peer that stands by takes over, and the caller ends the connection. `false`: it
/// is another connection, or nobody stands by.
pub fn take_over(tunnel: &mut Tunnel, cx: &mut Context, old: Member, why: &str) -> bool {
    let in_use = tunnel.members.main_ccid() == Some(old.ccid) && old.state == State::Established;
    if !in_use || cx.shutting_down {
        return false;
    }
    let standby = tunnel.standby().map(Connection::member);
    let (Some(standby), Some(mut spare)) = (standby, tunnel.spare.take()) else { return false };
    tunnel.backup.because(|| format!("{}: {why}", old.peer()));
    tunnel.slots.report_end(cx, why);
    tunnel.notify(cx, TunnelEvent::TunnelDown, why.to_owned());
    std::mem::swap(&mut tunnel.slots, &mut *spare);
    tunnel.backup.standby = None;
    serve(tunnel, cx, standby, "");
    if let Some(connection) = tunnel.members.main_mut() {
        tunnel.slots.take_place_of(cx, connection, &mut spare);
    }
    spare.drop_sessions(cx, Some(old.ccid), "");
    spare.cancel(cx);
    true
}

/// The peer that stands by is not needed any more, or another one is to.
pub fn give_up_standby(tunnel: &mut Tunnel, cx: &mut Context, why: &str) {
    if let Some(ccid) = tunnel.backup.standby {
        tunnel.close_connection(cx, ccid, result(stopccn::GENERAL, None, why));
    }
}

// ----- `standby hot` -----

/// Whether the peer of this connection, which was asked and answers, is to stand by: none does, or a worse one.
pub fn is_wanted_to_stand_by(tunnel: &Tunnel, cx: &Context, asked: Member) -> bool {
    let main = tunnel.members.main().filter(|main| main.state == State::Established && !cx.shutting_down);
    let line = |address| tunnel.addresses.line_of(address);
    let better = |standby| line(asked.peer()) < line(standby);
    tunnel.config.standby == Standby::Hot
        // A peer that has several addresses would take our second connection for our first one, come back.
        && main.is_some_and(|main| !tunnel.members.is_same_peer(asked.ccid, main))
        && tunnel.standby_address().is_none_or(better)
}

/// A connection that asked is established. Whether its peer stands by from now on.
pub fn stands_by(tunnel: &mut Tunnel, cx: &mut Context, member: Member) -> bool {
    let serving = tunnel.members.main().is_some_and(|main| main.state == State::Established);
    if tunnel.config.standby != Standby::Hot || !serving {
        return false;
    }
    give_up_standby(tunnel, cx, "a better peer stands by");
    count(&mut tunnel.members.counters.established);
    (tunnel.backup.standby, tunnel.backup.standby_since) = (Some(member.ccid), Some(cx.now));
    tunnel.spare = Some(Box::new(tunnel.slots.standby(cx.now, &tunnel.config)));
    match tunnel.parts(member.ccid) {
        Some((spare, connection)) => {
            keepalive::serve(connection, cx);
            spare.begin(cx, connection, Duration::ZERO);
        }
        None => cx.missing(),
    }
    tunnel.report(cx, TunnelEvent::StandbyUp, Some(member.ccid), String::new());
    arm_asking(tunnel, cx);
    true
}
