//! What the data plane tells of the interfaces of a tunnel's sessions.

use super::context::{Context, SlotKey};
use super::session::setup;
use super::tunnel::Tunnel;

/// The answer to `Action::Attach`: the interface is ready, or in words why not.
pub fn attached(tunnel: &mut Tunnel, cx: &mut Context, key: SlotKey, outcome: Result<(), String>) {
    let Some((slot, connection)) = tunnel.slot_mut(key) else { return cx.missing() };
    setup::attached(slot, cx, connection, outcome);
}

/// The interface of a session failed (it was deleted, say).
pub fn interface_failed(tunnel: &mut Tunnel, cx: &mut Context, key: SlotKey, why: &str) {
    let Some((slot, connection)) = tunnel.slot_mut(key) else { return cx.missing() };
    slot.interface_failed(cx, connection, why);
}

/// An interface went up or down, as the administrator sees it.
pub fn set_circuit(tunnel: &mut Tunnel, cx: &mut Context, interface: &str, up: bool) {
    let spare = tunnel.spare.as_ref().and_then(|spare| spare.key_of(interface));
    for key in tunnel.slots.key_of(interface).into_iter().chain(spare) {
        if let Some((slot, connection)) = tunnel.slot_mut(key) {
            slot.set_circuit(cx, connection, up);
        }
    }
}
