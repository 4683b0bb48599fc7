//! TAP interfaces on their way out: a child process removes them, for the loop cannot wait until each is gone.

use std::collections::BTreeSet;

use crate::sys::tap::Tap;
use crate::sys::tap_removal::{self, Removal};

/// The interfaces that are to be removed, and those that a child is removing.
#[derive(Default)]
pub(super) struct Closing {
    next: Vec<Tap>,
    next_names: BTreeSet<String>,
    running: Option<Removal>,
    running_names: BTreeSet<String>,
}

impl Closing {
    /// Has an interface removed, with the others that are to be removed at this time.
    pub(super) fn add(&mut self, name: &str, tap: Tap) {
        self.next.push(tap);
        self.next_names.insert(name.to_owned());
    }

    /// Whether an interface of this name may still be there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.next_names.contains(name) || self.running_names.contains(name)
    }

    /// Whether nothing is being removed, or to be.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_none() && self.next.is_empty()
    }

    /// Starts a child where one is needed and none is running.
    pub(super) fn start(&mut self) {
        if self.is_due() {
            self.running_names = std::mem::take(&mut self.next_names);
            self.running = tap_removal::remove_in_background(std::mem::take(&mut self.next)).ok();
            if self.running.is_none() {
                // They are closed already, one by one.
                self.running_names.clear();
            }
        }
    }

    /// Whether [`start`](Closing::start) has something to do.
    pub(super) fn is_due(&self) -> bool {
        self.running.is_none() && !self.next.is_empty()
    }

    /// A child process may have ended: whether it was this one, so that the names are free.
    pub(super) fn has_ended(&mut self) -> bool {
        let ended = self.running.take_if(|removal| removal.has_ended()).is_some();
        if ended {
            self.running_names.clear();
        }
        ended
    }

    /// Removes all that are left, at once, and waits for the child.
    pub(super) fn finish(&mut self) {
        self.running.take().into_iter().for_each(Removal::wait);
        tap_removal::remove(std::mem::take(&mut self.next));
    }
}
