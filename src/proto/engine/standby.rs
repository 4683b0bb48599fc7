//! `standby hot`: the control connection and the sessions of the next of several peers are kept up, with the circuit status
//! "standby" (RFC 5641). They carry no frames; when the peer in use is lost they take its place at once.

use std::time::Duration;

use super::failover;
use crate::config::model::Standby;
use crate::proto::action::Happening;
use crate::proto::connection::keepalive;
use crate::proto::connection::table::State;
use crate::proto::connection::Member;
use crate::proto::context::Context;
use crate::proto::snapshot::count;
use crate::proto::tunnel::Tunnel;

/// Whether the peer of this connection, which was asked and answers, is to stand by: none does, or a worse one.
pub fn is_wanted(tunnel: &Tunnel, cx: &Context, asked: Member) -> bool {
    let main = tunnel.members.main().filter(|main| main.state == State::Established && !cx.shutting_down);
    let line = |address| tunnel.addresses.line_of(address);
    let better = |standby| line(asked.peer()) < line(standby);
    tunnel.config.standby == Standby::Hot
        // A peer that has several addresses would take our second connection for our first one, come back.
        && main.is_some_and(|main| !tunnel.members.is_same_peer(asked.ccid, main))
        && tunnel.standby_address().is_none_or(better)
}

/// A connection that asked is established. Whether its peer stands by from now on.
pub fn established(tunnel: &mut Tunnel, cx: &mut Context, member: Member) -> bool {
    let serving = tunnel.members.main().is_some_and(|main| main.state == State::Established);
    if tunnel.config.standby != Standby::Hot || !serving {
        return false;
    }
    failover::give_up_standby(tunnel, cx, "a better peer stands by");
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
    tunnel.tell(cx, Happening::StandbyUp, Some(member.ccid), String::new());
    failover::arm_asking(tunnel, cx);
    true
}
