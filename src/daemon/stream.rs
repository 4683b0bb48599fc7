//! Events for the clients of the admin server that follow them, until it takes them.

use std::collections::VecDeque;

use super::admin_host::{StreamEvent, WantedEvents};

/// Beyond so many the oldest are dropped.
const MOST: usize = 1024;

/// What waits to be taken.
#[derive(Default)]
pub struct StreamEvents {
    events: VecDeque<StreamEvent>,
    /// Which ones somebody follows.
    pub wanted: WantedEvents,
}

impl StreamEvents {
    /// Adds one.
    pub fn push(&mut self, event: StreamEvent) {
        self.insert(self.events.len(), event);
    }

    /// Adds one at a place among them.
    pub fn insert(&mut self, place: usize, event: StreamEvent) {
        if self.events.len() >= MOST {
            self.events.pop_front();
        }
        self.events.insert(place.min(self.events.len()), event);
    }

    /// The place of the next one.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Takes them all, oldest first.
    pub fn take(&mut self) -> Vec<StreamEvent> {
        self.events.drain(..).collect()
    }
}
