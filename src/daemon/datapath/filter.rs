//! What the kernel drops for us while strangers flood us (see `flood`).

use std::time::Instant;

use super::flood::Floods;
use super::pseudowires::Pseudowires;
use super::receive::Arrivals;
use crate::sys::socket_filter::Needed;

/// What is needed of what comes.
#[derive(Default)]
pub(super) struct Filter {
    floods: Floods,
    /// The ids of the control connections, in order; not all where there are too many for a filter.
    connections: Vec<u32>,
    /// Whether they are asked for.
    asks: bool,
}

impl Filter {
    /// Looks whether strangers flood us, or do not any more.
    pub(super) fn judge(&mut self, now: Instant, arrivals: &mut Arrivals, wires: &mut Pseudowires) {
        let counts = [&mut arrivals.strangers, &mut arrivals.other_connections, &mut arrivals.other_sessions];
        let is_due = self.floods.next().is_some_and(|end| end <= now);
        let changed = self.floods.judge(now, counts.map(std::mem::take));
        self.asks |= (changed || is_due) && self.floods.connections.is_on();
        let ids_changed = std::mem::take(&mut wires.ids_changed) && self.floods.sessions.is_on();
        if changed || ids_changed {
            self.set(wires);
        }
    }

    /// When there is something to be judged although nothing comes.
    pub(super) fn next(&self) -> Option<Instant> {
        self.floods.next()
    }

    /// Whether the ids of the control connections are needed.
    pub(super) fn asks_for_connections(&self) -> bool {
        self.asks
    }

    /// These are they, in order.
    pub(super) fn know_connections(&mut self, ids: impl Iterator<Item = u32>, wires: &mut Pseudowires) {
        self.asks = false;
        let ids: Vec<u32> = ids.take(Needed::MOST_IDS + 1).collect();
        if self.connections != ids {
            self.connections = ids;
            self.set(wires);
        }
    }

    /// Has the kernel drop what nobody needs while there is a flood.
    pub(super) fn set(&self, wires: &mut Pseudowires) {
        wires.sockets.filter(self.needed(&self.session_ids(wires)));
    }

    /// The same at the sockets that were opened since.
    pub(super) fn set_opened(&self, wires: &mut Pseudowires) {
        wires.sockets.filter_opened(self.needed(&self.session_ids(wires)));
    }

    fn session_ids(&self, wires: &Pseudowires) -> Vec<u32> {
        if self.floods.sessions.is_on() {
            wires.sessions.ids(Needed::MOST_IDS + 1)
        } else {
            Vec::new()
        }
    }

    fn needed<'a>(&'a self, session_ids: &'a [u32]) -> Needed<'a> {
        let Floods { strangers, connections, sessions } = &self.floods;
        Needed {
            strangers: strangers.sample(),
            connections: &self.connections,
            other_connections: connections.sample(),
            sessions: session_ids,
            other_sessions: sessions.sample(),
        }
    }
}
