//! The circuits at both ends of a session: whose frames may pass, and telling the peer of ours (RFC 3931 5.4.5,
//! RFC 4719 2.3.2, RFC 5641).

use std::time::{Duration, Instant};

use super::action::{Action, Happening};
use super::send::later;
use super::session::State;
use super::{Engine, Timer};
use crate::log::Event;
use crate::wire::message::Sli;
use crate::wire::{CircuitStatus, Message, MessageType, SessionId};

/// Changes of a circuit are told at most this often; the last state wins.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

impl Engine {
    pub(super) fn circuit_is_up(&self, id: SessionId) -> bool {
        let Some(session) = self.sessions.get(&id) else { return false };
        self.tunnels.get(&session.tunnel).and_then(|t| t.slot(session.slot)).is_some_and(|s| s.circuit_up)
    }

    /// Opens and closes the directions of an established session according to the peer's circuit (C-150, C-344).
    pub(super) fn gate(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get(&id) else { return };
        let established = session.state == State::Established;
        self.actions.push_back(Action::Gate {
            session: id,
            receive: established && !session.peer_on_standby(),
            send: established && session.peer_circuit_up(),
            carrier: established && session.peer_circuit_up(),
        });
    }

    /// SLI: the peer's circuit went up or down; may come before the ICRP (C-327). One that tells no status changes
    /// nothing: Cisco IOS sends such a one behind the ICCN.
    pub(super) fn peer_status(&mut self, id: SessionId, sli: &Sli) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Some(status) = sli.circuit_status else { return };
        let before = session.peer_circuit_up();
        session.remote_circuit = Some(status);
        let up = session.peer_circuit_up();
        if session.state == State::Established {
            self.gate(id);
            if before != up {
                let reason = if up { "the peer's circuit is up" } else { "the peer's circuit is down" };
                self.notify_session(
                    id,
                    Happening::CircuitChanged,
                    format!("{reason} (status {:#06x})", status.0),
                );
            }
        }
    }

    /// The local circuit (the interface, as the administrator sees it) went up or down.
    pub fn circuit(&mut self, now: Instant, interface: &str, up: bool) {
        let mut found = None;
        for tunnel in self.tunnels.values_mut() {
            if let Some(slot) = tunnel.slots.iter_mut().find(|s| s.config.interface == interface) {
                slot.circuit_up = up;
                found = slot.session;
            }
        }
        if let Some(id) = found {
            self.tell_circuit(now, id);
        }
    }

    /// SLI if the circuit is not what the peer was told (C-151, C-326), at most one a second.
    pub(super) fn tell_circuit(&mut self, now: Instant, id: SessionId) {
        let up = self.circuit_is_up(id);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Some(ccid) = session.connection else { return };
        if session.told_circuit == up || session.status_timer.is_some() || session.attaching {
            return;
        }
        session.told_circuit = up;
        session.status_timer = Some(self.wheel.arm(later(now, STATUS_INTERVAL), Timer::CircuitStatus(id)));
        let circuit_status = Some(CircuitStatus(if up { CircuitStatus::ACTIVE } else { 0 }));
        let ids = self.ids_of(id);
        self.log(Event::Send { tunnel: ccid, message: MessageType::SLI });
        self.enqueue(now, ccid, &Message::Sli(Sli { ids, circuit_status }));
    }

    pub(super) fn circuit_status_due(&mut self, now: Instant, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.status_timer = None;
        self.tell_circuit(now, id);
    }
}
