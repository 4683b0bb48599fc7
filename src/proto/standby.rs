//! `standby hot`: the control connection and the sessions of the next of several peers are kept up, with the circuit status
//! "standby" (RFC 5641). They carry no frames; when the peer in use is lost they take its place at once.

use std::time::Duration;

use super::action::Happening;
use super::connection::keepalive;
use super::connection::table::State;
use super::context::Context;
use super::failover;
use super::snapshot::count;
use super::tunnel::Tunnel;
use crate::config::model::Standby;
use crate::wire::Ccid;

/// Whether the peer of this connection, which was asked and answers, is to stand by: none does, or a worse one.
pub fn is_wanted(tunnel: &Tunnel, cx: &Context, ccid: Ccid) -> bool {
    let (Some(asked), Some(main)) = (tunnel.members.get(ccid), tunnel.members.main()) else { return false };
    if tunnel.config.standby != Standby::Hot || main.state != State::Established || cx.shutting_down {
        return false;
    }
    // A peer that has several addresses would take our second connection for our first one, come back.
    let is_same =
        (&asked.peer.host_name, asked.peer.router_id) == (&main.peer.host_name, main.peer.router_id);
    let line = |address| tunnel.addresses.line_of(address);
    let better = |standby| line(asked.transport.path.remote.ip()) < line(standby);
    !is_same && tunnel.standby_address().is_none_or(better)
}

/// A connection that asked is established. Whether its peer stands by from now on.
pub fn established(tunnel: &mut Tunnel, cx: &mut Context, ccid: Ccid) -> bool {
    let serving = tunnel.members.main().is_some_and(|main| main.state == State::Established);
    if tunnel.config.standby != Standby::Hot || !serving {
        return false;
    }
    failover::give_up_standby(tunnel, cx, "a better peer stands by");
    count(&mut tunnel.members.counters.established);
    (tunnel.backup.standby, tunnel.backup.standby_since) = (Some(ccid), Some(cx.now));
    let spare = tunnel.slots.standby(cx.now, &tunnel.config);
    let spare = tunnel.spare.insert(Box::new(spare));
    if let Some(connection) = tunnel.members.get_mut(ccid) {
        keepalive::serve(connection, cx);
        spare.begin(cx, connection, Duration::ZERO);
    }
    tunnel.tell(cx, Happening::StandbyUp, Some(ccid), String::new());
    failover::arm_asking(tunnel, cx);
    true
}
