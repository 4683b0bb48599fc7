//! How a tunnel follows its block of the configuration while it is up.

use std::rc::Rc;
use std::time::Duration;

use super::failover;
use crate::config::model::{SessionConfig, TunnelConfig};
use crate::proto::connection::keepalive;
use crate::proto::context::Context;
use crate::proto::result::result;
use crate::proto::tunnel::Tunnel;
use crate::wire::code::{cdn, stopccn};

/// Settings that are used from now on, the list of peers among them; timers that run are armed with them again.
pub fn update(tunnel: &mut Tunnel, cx: &mut Context, block: &Rc<TunnelConfig>) {
    let peers_changed = tunnel.config.remotes != block.remotes;
    let interval_changed = tunnel.config.resolve_interval != block.resolve_interval;
    // With what stands by everything begins anew.
    failover::give_up_standby(tunnel, cx, "the configuration changed");
    tunnel.config = Rc::clone(block);
    if interval_changed {
        tunnel.addresses.arm(cx, tunnel.key, &tunnel.config);
    }
    for connection in tunnel.members.iter_mut() {
        keepalive::update(connection, cx, &tunnel.config);
    }
    if peers_changed {
        follow_peers(tunnel, cx);
    }
    failover::ask_soon(tunnel, cx);
}

/// The list of peers is another one. The one in use is not disturbed while it is in the list.
fn follow_peers(tunnel: &mut Tunnel, cx: &mut Context) {
    tunnel.addresses.follow(&tunnel.config);
    let main = tunnel.members.main().map(|main| (main.ccid(), main.address()));
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

/// Takes over its block of a configuration in which nothing else of it is different.
pub fn follow(tunnel: &mut Tunnel, block: &Rc<TunnelConfig>) {
    tunnel.config = Rc::clone(block);
    tunnel.slots.arrange(block);
    tunnel.spare.iter_mut().for_each(|spare| spare.arrange(block));
    tunnel.members.iter_mut().for_each(|connection| connection.follow(block));
}

/// A session block was added.
pub fn add_session(tunnel: &mut Tunnel, cx: &mut Context, session: &Rc<SessionConfig>) {
    // A waiting tunnel begins it with the others; C-124: an established one at once.
    tunnel.slots.insert(cx, &tunnel.config, session, tunnel.members.main_ccid().is_some());
}

/// A session block was removed.
pub fn remove_session(tunnel: &mut Tunnel, cx: &mut Context, interface: &str) {
    match tunnel.slot_named(interface) {
        Some((slot, connection)) => {
            slot.clear(cx, connection, result(cdn::ADMIN, None, "the configuration changed"));
        }
        None => cx.missing(),
    }
    tunnel.slots.remove(cx, interface);
}
