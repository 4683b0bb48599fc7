//! A tunnel with several peers: which one serves it, and the way back to a better one.
//!
//! A better peer is asked by an SCCRQ whose SCCRP is answered with a StopCCN: that shows that it serves us, and disturbs
//! nothing. Once it has answered each time for `revert-after` the last SCCRP is answered with an SCCCN, and the tunnel
//! moves there.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use super::action::{Action, Happening, Path, Purpose};
use super::connection::table::State;
use super::connection::Connection;
use super::context::{Context, Due, Timer};
use super::result::result;
use super::tunnel::Tunnel;
use crate::config::model::{RevertAfter, Role, TunnelConfig};
use crate::log::Remark;
use crate::wire::code::stopccn;
use crate::wire::Ccid;

/// A peer that answers is asked so often within `revert-after`.
const CHECKS: u32 = 3;
/// One that does not is asked no less often than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// No peer is asked more often.
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);

/// A connection is established and serves its tunnel: its peer is the one in use.
pub fn peer_used(tunnel: &mut Tunnel, cx: &mut Context, address: IpAddr, called: bool) {
    let because = tunnel.backup.because.take();
    let line = tunnel.addresses.line_of(address);
    tunnel.backup.left.retain(|left| *left != address);
    let before = tunnel.backup.in_use.replace(address);
    if before == Some(address) {
        return arm_asking(tunnel, cx);
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
        peer_changed(tunnel, cx, address);
    }
    arm_asking(tunnel, cx);
}

/// The peers that are better than the one in use are asked from now on, where there are any.
pub fn arm_asking(tunnel: &mut Tunnel, cx: &mut Context) {
    let established = tunnel.members.main().filter(|main| main.state == State::Established);
    let Some(current) = established.map(|main| main.transport.path.remote.ip()) else { return };
    let better: Vec<IpAddr> = tunnel.addresses.better_than(current).collect();
    tunnel.backup.follow(better.into_iter());
    match asking_pause(tunnel, cx) {
        Some(pause) => {
            let timer = Timer(tunnel.key, Due::Backup);
            cx.arm(&mut tunnel.backup.timer, pause, timer);
        }
        None => cx.cancel(&mut tunnel.backup.timer),
    }
}

/// How long until the next one is asked; `None`: none is.
fn asking_pause(tunnel: &Tunnel, cx: &mut Context) -> Option<Duration> {
    let asks = tunnel.config.role != Role::Passive && tunnel.is_usable() && !cx.shutting_down;
    let RevertAfter::After(revert_after) = tunnel.config.revert_after else { return None };
    let peers = u32::try_from(tunnel.backup.better.len()).ok().filter(|peers| *peers > 0 && asks)?;
    let answers = tunnel.backup.better.iter().any(|better| better.since.is_some());
    let each = match answers {
        true => revert_after.checked_div(CHECKS)?,
        false => revert_after.min(LONGEST_PAUSE),
    };
    Some(each.checked_div(peers)?.max(SHORTEST_PAUSE))
}

/// It is time to ask.
pub fn ask_next(tunnel: &mut Tunnel, cx: &mut Context) {
    tunnel.backup.timer = None;
    let late = tunnel.members.in_state(State::WaitCtlReply).find(|ccid| only_asks(tunnel, *ccid));
    if let Some(late) = late {
        asked_in_vain(tunnel, late);
        tunnel.close_connection(cx, late, result(stopccn::GENERAL, None, "no answer in time"));
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
    let Some(peer) = peer.filter(|peer| tunnel.backup.find(*peer).is_some()) else { return };
    let Some(path) = path else { return tunnel.backup.failed(peer) };
    if !established || !tunnel.is_usable() || cx.shutting_down || cx.alive >= cx.max_tunnels {
        return;
    }
    let values = cx.draw_ccid().and_then(|ccid| Some((ccid, cx.random()?, cx.random::<16>()?)));
    let Some((ccid, tie_breaker, nonce)) = values else { return };
    let path = tunnel.fallback.begin(cx.now, &tunnel.config, path);
    let mut connection = Connection::new(cx, tunnel.key, &tunnel.config, ccid, path);
    connection.tie_breaker = Some(tie_breaker);
    connection.asks = true;
    connection.begin(&nonce);
    tunnel.members.add(cx, connection);
    let sent = tunnel.members.get_mut(ccid).is_some_and(|connection| connection.send_request(cx, true));
    if !sent {
        tunnel.delete(cx, ccid);
    }
}

/// Whether this connection only asks whether its peer can be reached.
pub fn only_asks(tunnel: &Tunnel, ccid: Ccid) -> bool {
    tunnel.members.get(ccid).is_some_and(|connection| connection.asks)
}

/// The peer of this connection, which only asks, does not answer or refuses.
pub fn asked_in_vain(tunnel: &mut Tunnel, ccid: Ccid) {
    if let Some(connection) = tunnel.members.get(ccid) {
        tunnel.backup.failed(connection.transport.path.remote.ip());
    }
}

/// The peer of this connection answers: whether the tunnel moves there.
pub fn asked_answers(tunnel: &mut Tunnel, cx: &mut Context, ccid: Ccid) -> bool {
    let RevertAfter::After(wanted) = tunnel.config.revert_after else { return false };
    let peer = tunnel.members.get(ccid).map(|connection| connection.transport.path.remote.ip());
    let peer = peer.filter(|peer| !tunnel.backup.left.contains(peer));
    let Some(better) = peer.and_then(|peer| tunnel.backup.find(peer)) else { return false };
    let since = *better.since.get_or_insert(cx.now);
    let lasts = cx.now.saturating_duration_since(since);
    let moves = lasts >= wanted;
    if moves {
        tunnel.backup.because = Some(format!("better, and within reach for {} s", lasts.as_secs()));
    } else {
        arm_asking(tunnel, cx);
    }
    moves
}

/// `failover`: the next peer has its turn. `false`: there is none.
pub fn fail_over(tunnel: &mut Tunnel, cx: &mut Context) -> bool {
    let main = tunnel.members.main().map(|main| (main.ccid(), main.transport.path.remote.ip()));
    let Some((ccid, current)) = main else { return false };
    if !tunnel.addresses.has_backup() || !tunnel.addresses.leave(current) {
        return false;
    }
    tunnel.backup.because = Some(format!("the administrator moved the tunnel from {current}"));
    tunnel.backup.left.push(current);
    let code = result(stopccn::GENERAL, None, "the administrator moved the tunnel to another peer");
    tunnel.close_connection(cx, ccid, code);
    tunnel.schedule(cx, Duration::ZERO);
    true
}

/// Of several peers another one is in use now: announces it, and writes it to the log.
fn peer_changed(tunnel: &mut Tunnel, cx: &mut Context, peer: IpAddr) {
    let (name, why) = (tunnel.config.name.clone(), tunnel.backup.why.clone());
    cx.remark(&Remark::PeerInUse { tunnel: name, peer, why: why.clone() });
    tunnel.notify(cx, Happening::PeerChanged, why);
}

/// Settings that are used from now on, the list of peers among them.
pub fn update(tunnel: &mut Tunnel, cx: &mut Context, block: &Rc<TunnelConfig>) {
    let peers_changed = tunnel.config.remotes != block.remotes;
    tunnel.update(cx, block);
    if peers_changed {
        follow_peers(tunnel, cx);
    }
    arm_asking(tunnel, cx);
}

/// The list of peers is another one. The one in use is not disturbed while it is in the list.
fn follow_peers(tunnel: &mut Tunnel, cx: &mut Context) {
    tunnel.addresses.follow(&tunnel.config);
    let main = tunnel.members.main().map(|main| (main.ccid(), main.transport.path.remote.ip()));
    match main {
        Some((_, peer)) if tunnel.addresses.contains(peer) => return,
        Some((ccid, _)) => {
            tunnel.backup.because(|| "the peer in use was taken out of the list".to_owned());
            tunnel.close_connection(cx, ccid, result(stopccn::GENERAL, None, "the configuration changed"));
        }
        None => {}
    }
    tunnel.schedule(cx, Duration::ZERO);
}
