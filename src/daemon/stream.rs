//! Events for the clients of the admin server that follow them, until it takes them.

use std::collections::VecDeque;

use super::admin_host::{StreamEvent, WantedEvents};
use crate::admin::trace::Record;

/// Beyond so many the oldest are dropped.
const MOST: usize = 1024;

/// What waits to be taken.
enum Entry {
    Event(StreamEvent),
    /// A control message. Which tunnel it belongs to may be known only after it was processed.
    Message(Record),
}

/// The events, oldest first.
#[derive(Default)]
pub struct StreamEvents {
    entries: VecDeque<Entry>,
    /// Which ones somebody follows.
    pub wanted: WantedEvents,
}

impl StreamEvents {
    /// Adds one.
    pub fn push(&mut self, event: StreamEvent) {
        self.add(Entry::Event(event));
    }

    /// Adds a control message, if somebody follows them.
    pub fn message(&mut self, record: impl FnOnce() -> Record) {
        if self.wanted.messages {
            self.add(Entry::Message(record()));
        }
    }

    fn add(&mut self, entry: Entry) {
        if self.entries.len() >= MOST {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes them all; `tunnel` finds the tunnel of a message. Those of none are left out.
    pub fn take(&mut self, tunnel: impl Fn(&Record) -> Option<String>) -> Vec<StreamEvent> {
        let named = self.entries.drain(..).filter_map(|entry| match entry {
            Entry::Event(event) => Some(event),
            Entry::Message(record) => Some(StreamEvent::Message { tunnel: tunnel(&record)?, record }),
        });
        named.collect()
    }
}
