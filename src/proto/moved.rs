//! The peer seems to be at another address than before, or is.

use super::action::Path;
use super::context::Context;
use super::ids::SlotKey;
use super::tunnel::Tunnel;
use crate::log::Remark;
use crate::wire::Ccid;

/// The peer is at another address or port, or a message shows which address of ours it reached.
pub fn follow(tunnel: &mut Tunnel, cx: &mut Context, ccid: Ccid, path: Path) {
    let Some(connection) = tunnel.members.get_mut(ccid) else { return cx.missing() };
    if connection.transport.path == path {
        return;
    }
    let before = connection.move_to(cx, path);
    tunnel.slots.move_to(cx, ccid, path);
    if before.remote != path.remote {
        cx.remark(&Remark::Moved { tunnel: ccid, end: path.remote });
    }
}

/// A message of the peer came on another path than its own.
pub fn look_for(tunnel: &mut Tunnel, cx: &mut Context, ccid: Ccid, path: Path) {
    // It may have been the connection's end.
    if let Some(connection) = tunnel.members.get_mut(ccid) {
        let outcome = connection.look_for(cx, path);
        tunnel.conclude(cx, ccid, outcome);
    }
}

/// Data of a session came on another path than its own, with the right cookie.
pub fn heard_elsewhere(tunnel: &mut Tunnel, cx: &mut Context, key: SlotKey, path: Path) {
    if let Some(ccid) = tunnel.slots.get(key).and_then(|slot| slot.connection()) {
        look_for(tunnel, cx, ccid, path);
    }
}
