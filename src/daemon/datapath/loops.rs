//! Loops: bridges that pass frames in a circle, which goes through two of our sessions. Where sessions share a bridge, each
//! sends a probe (see `frame::oam`) now and then; one that comes back by another session has found a loop, and of the two
//! the newer session is held down for a time.
//!
//! Several daemons may see the same loop. The one with the lowest identifier acts first; one that sees the probes of a
//! lower one at both sessions waits, longer for each such.

use std::time::{Duration, Instant};

use super::event::{DataPlaneEvent, Events};
use super::pseudowires::Pseudowires;
use super::senders::RECENT;
use super::session::Session;
use crate::log::Remark;
use crate::wire::SessionId;

/// Between probes of a session; with more sessions than [`PROBES`] it is longer.
const PERIOD: Duration = Duration::from_secs(1);
/// Probes that are sent in such a time.
const PROBES: usize = 64;
/// Ports that are looked at for that.
const LOOKS: usize = 256;
/// How long a session is held down.
const HOLD: Duration = Duration::from_secs(60);
/// How long another daemon has to act before we do.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is known of loops.
#[derive(Default)]
pub(super) struct Loops {
    /// When the next probes are sent.
    next: Option<Instant>,
    /// Behind whom: the bridge's index, and the port's place.
    cursor: (i32, usize),
    /// Ports that are held down, by their places and names, and until when: all for the same time, so the first one's comes
    /// first.
    held: Vec<(Instant, usize, String)>,
    /// A loop that is left to other daemons: since when, and when it was seen last.
    left: Option<(Instant, Instant)>,
}

impl Loops {
    /// Whether a loop is left to other daemons still, of which so many come first.
    fn waits(&mut self, now: Instant, others: u32) -> bool {
        let known = self.left.filter(|(_, last)| now.saturating_duration_since(*last) < RECENT);
        let since = known.map_or(now, |(since, _)| since);
        self.left = Some((since, now));
        now.saturating_duration_since(since) < PATIENCE.saturating_mul(others)
    }
}

impl Loops {
    /// When [`turn`](Loops::turn) has something to do.
    pub(super) fn next(&self, now: Instant, wires: &Pseudowires) -> Option<Instant> {
        let release = self.held.first().map(|(until, ..)| *until);
        let probes = (wires.ports.bridges.ports() > 1).then(|| self.next.unwrap_or(now));
        release.into_iter().chain(probes).min()
    }

    /// Releases what was held down, if it is time; the sessions that are to send a probe now.
    pub(super) fn turn(&mut self, now: Instant, wires: &mut Pseudowires) -> Vec<SessionId> {
        if self.held.first().is_some_and(|(until, ..)| *until <= now) {
            for (until, at, name) in std::mem::take(&mut self.held) {
                match until <= now {
                    true => release(wires, at, &name),
                    false => self.held.push((until, at, name)),
                }
            }
        }
        if wires.ports.bridges.ports() < 2 || self.next.is_some_and(|next| now < next) {
            return Vec::new();
        }
        self.next = now.checked_add(PERIOD);
        self.probing(wires)
    }

    /// The sessions whose turn it is.
    fn probing(&mut self, wires: &Pseudowires) -> Vec<SessionId> {
        let mut sessions = Vec::new();
        for (bridge, at) in wires.ports.bridges.after(self.cursor, LOOKS) {
            if sessions.len() >= PROBES {
                break;
            }
            self.cursor = (bridge, at);
            if !wires.ports.bridges.has_neighbour(bridge) {
                continue;
            }
            let port = wires.ports.get(at).filter(|port| port.interface.loop_detection);
            let session = port.and_then(|port| wires.sessions.get(port.session?));
            sessions.extend(session.filter(|session| session.gates.send).map(|session| session.id));
        }
        sessions
    }

    /// A probe of ours (`identifier`) has come back by another session than it left by.
    pub(super) fn returned(
        &mut self,
        now: Instant,
        wires: &mut Pseudowires,
        identifier: u64,
        (left, came): (SessionId, SessionId),
    ) {
        let sessions = &wires.sessions;
        let (Some(one), Some(other)) = (sessions.find(left), sessions.find(came)) else { return };
        if left == came || !makes_loop(wires, one, other) {
            return;
        }
        let others = one.senders.lower_at_both(now, &other.senders, identifier);
        let newer = if (one.since, one.id.0) > (other.since, other.id.0) { one } else { other };
        let (newer, places) = (newer.port, (one.port, other.port));
        if !self.waits(now, others) {
            self.hold(now, wires, places, newer);
        }
    }

    /// Holds a session down because of a loop through these two ports.
    fn hold(&mut self, now: Instant, wires: &mut Pseudowires, (left, came): (usize, usize), at: usize) {
        let name = |at: usize| wires.ports.get(at).map(|port| port.interface.name.clone());
        let (Some(left), Some(came), Some(interface)) = (name(left), name(came), name(at)) else { return };
        let other = if interface == left { came.clone() } else { left.clone() };
        if let Some(port) = wires.ports.get_mut(at) {
            port.held = Some(other);
        }
        wires.gates_changed(at);
        let until = now.checked_add(HOLD).unwrap_or(now);
        self.held.push((until, at, interface.clone()));
        let seconds = HOLD.as_secs();
        wires.events.remark(Remark::Loop { left, came, interface: interface.clone(), seconds });
        circuit(&mut wires.events, interface, false);
    }
}

/// Whether our bridge passes frames of one session on to the other, and both may be held down.
fn makes_loop(wires: &Pseudowires, one: &Session, other: &Session) -> bool {
    let ports = &wires.ports;
    let (Some(one), Some(other)) = (ports.get(one.port), ports.get(other.port)) else { return false };
    let bridge = one.bridge_index();
    let apart =
        one.interface.split_horizon.is_some() && one.interface.split_horizon == other.interface.split_horizon;
    let asked = one.interface.loop_detection && other.interface.loop_detection;
    let held = one.held.is_some() || other.held.is_some();
    bridge.is_some() && bridge == other.bridge_index() && !apart && asked && !held
}

/// The time of a session that was held down is over.
fn release(wires: &mut Pseudowires, at: usize, name: &str) {
    let port = wires.ports.get_mut(at).filter(|port| port.interface.name == name);
    let Some(port) = port.filter(|port| port.held.is_some()) else { return };
    port.held = None;
    let up = port.up;
    wires.gates_changed(at);
    wires.events.remark(Remark::LoopReleased { interface: name.to_owned() });
    circuit(&mut wires.events, name.to_owned(), up);
}

/// The peer hears that the circuit is down, or up again.
fn circuit(events: &mut Events, interface: String, up: bool) {
    events.push(DataPlaneEvent::AdminState { interface, up });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_acts_first_and_the_others_one_after_the_other() {
        let now = crate::sys::clock::now();
        let mut loops = Loops::default();
        assert!(!loops.waits(now, 0));
        let mut at = now;
        while at < now + PATIENCE {
            assert!(loops.waits(at, 1));
            at += PERIOD;
        }
        assert!(!loops.waits(at, 1) && loops.waits(at, 2));
        // A loop that was gone meanwhile is a new one.
        assert!(loops.waits(at + RECENT, 1));
    }
}
