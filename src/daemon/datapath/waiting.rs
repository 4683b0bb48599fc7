//! Interfaces that are to be made, and the sessions that wait for theirs. Making one takes the kernel a good part of a
//! millisecond, so that of many only some are made in each turn of the loop. A name may not be free yet: the kernel removes
//! an interface some time after whoever had it let it go. That is tried again now and then, more and more rarely; where a
//! child of ours removes it, when that has ended.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::gates::Gates;
use crate::proto::Attachment;
use crate::wire::SessionId;

/// How often it is tried.
const TRIES: u32 = 20;
/// From the first try to the second; from each one to the next it is so much longer.
const PAUSE: Duration = Duration::from_millis(5);

/// A session that waits.
pub(super) struct Waiting {
    pub(super) attachment: Attachment,
    /// The place of its port.
    pub(super) port: usize,
    /// The kernel's id of its tunnel; `None` with a TAP.
    pub(super) tunnel: Option<u32>,
    /// It was attached before, with another path: nobody waits to hear that it is attached.
    pub(super) moved: bool,
    /// What may pass once it is attached.
    pub(super) gates: Option<Gates>,
    tries: u32,
    /// When to try again.
    due: Option<Instant>,
}

impl Waiting {
    pub(super) fn new(attachment: &Attachment, port: usize, tunnel: Option<u32>) -> Waiting {
        let attachment = attachment.clone();
        Waiting { attachment, port, tunnel, moved: false, gates: None, tries: 0, due: None }
    }

    /// It was tried in vain; whether it is to be tried again.
    pub(super) fn tried(&mut self, now: Instant) -> bool {
        self.tries += 1;
        self.due = now.checked_add(PAUSE * self.tries);
        self.tries < TRIES
    }
}

/// All that wait. Nothing here depends on how many there are.
#[derive(Default)]
pub(super) struct WaitingList {
    sessions: BTreeMap<SessionId, Box<Waiting>>,
    /// When the sessions of the kernel are to be tried again.
    due: BTreeSet<(Instant, SessionId)>,
    /// The sessions whose port is to be made first, behind the place of that.
    of_ports: BTreeSet<(usize, SessionId)>,
    /// The places of ports whose interface is to be made or set up.
    ports: BTreeSet<usize>,
    /// Those that cannot be made before a child of ours has removed interfaces.
    blocked: BTreeSet<usize>,
}

impl WaitingList {
    pub(super) fn insert(&mut self, waiting: Waiting) {
        let id = waiting.attachment.local;
        self.remove(id);
        match waiting.due {
            Some(due) => self.due.insert((due, id)),
            None => self.of_ports.insert((waiting.port, id)),
        };
        self.sessions.insert(id, Box::new(waiting));
    }

    pub(super) fn get_mut(&mut self, session: SessionId) -> Option<&mut Waiting> {
        self.sessions.get_mut(&session).map(Box::as_mut)
    }

    pub(super) fn remove(&mut self, session: SessionId) -> Option<Waiting> {
        let waiting = self.sessions.remove(&session)?;
        waiting.due.map(|due| self.due.remove(&(due, session)));
        self.of_ports.remove(&(waiting.port, session));
        Some(*waiting)
    }

    /// Whether none waits.
    pub(super) fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.ports.is_empty() && self.blocked.is_empty()
    }

    /// The interface of this port is to be made or set up.
    pub(super) fn insert_port(&mut self, port: usize) {
        self.ports.insert(port);
    }

    /// The name of this port's interface is not free yet.
    pub(super) fn block_port(&mut self, port: usize) {
        self.blocked.insert(port);
    }

    /// Whether the interface of this port is to be made or set up.
    pub(super) fn has_port(&self, port: usize) -> bool {
        self.ports.contains(&port) || self.blocked.contains(&port)
    }

    /// Whether there is a port that can be made now.
    pub(super) fn has_ports(&self) -> bool {
        !self.ports.is_empty()
    }

    /// Takes a port that can be made now.
    pub(super) fn take_port(&mut self) -> Option<usize> {
        self.ports.pop_first()
    }

    /// Takes the sessions that wait for a port.
    pub(super) fn take_of_port(&mut self, port: usize) -> Vec<Waiting> {
        let ids = self.of_ports.range((port, SessionId(0))..=(port, SessionId(u32::MAX)));
        let ids: Vec<SessionId> = ids.map(|(_, id)| *id).collect();
        ids.into_iter().filter_map(|id| self.remove(id)).collect()
    }

    /// There is no such port any more.
    pub(super) fn forget_port(&mut self, port: usize) {
        self.ports.remove(&port);
        self.blocked.remove(&port);
        self.take_of_port(port);
    }

    /// Takes those whose time has come.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Waiting> {
        let ids = self.due.iter().take_while(|(due, _)| *due <= now);
        let ids: Vec<SessionId> = ids.map(|(_, id)| *id).collect();
        ids.into_iter().filter_map(|id| self.remove(id)).collect()
    }

    /// A child of ours has removed its interfaces.
    pub(super) fn child_ended(&mut self) {
        self.ports.append(&mut self.blocked);
    }

    /// When the next one is to be tried.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::attachment;
    use super::*;
    use crate::proto::SequenceLevel;

    fn waiting(id: u32, port: usize, tunnel: Option<u32>) -> Waiting {
        let attachment = Attachment { local: SessionId(id), ..attachment(SequenceLevel::None, false) };
        Waiting::new(&attachment, port, tunnel)
    }

    fn ids(some: Vec<Waiting>) -> Vec<u32> {
        some.into_iter().map(|waiting| waiting.attachment.local.0).collect()
    }

    #[test]
    fn sessions_wait_for_their_port() {
        let mut list = WaitingList::default();
        for (id, port) in [(9, 1), (5, 1), (u32::MAX, 1), (6, 0), (7, 2), (8, 2)] {
            list.insert_port(port);
            list.insert(waiting(id, port, None));
        }
        list.remove(SessionId(5));
        assert_eq!((list.take_port(), list.has_port(0), list.has_port(1)), (Some(0), false, true));
        // Its name is not free yet.
        list.block_port(0);
        assert!(list.has_port(0));
        assert_eq!((list.take_port(), ids(list.take_of_port(1))), (Some(1), vec![9, u32::MAX]));
        list.forget_port(2);
        assert_eq!((list.take_port(), list.has_ports(), list.is_empty()), (None, false, false));
        list.child_ended();
        assert_eq!((list.take_port(), ids(list.take_of_port(0))), (Some(0), vec![6]));
        assert!(list.is_empty());
    }

    fn tries_last_for_a_second(now: Instant, mut waiting: Waiting) {
        let (mut last, mut before) = (waiting.due, PAUSE);
        while waiting.tried(now) {
            last = waiting.due;
            let pause = last.unwrap() - now;
            assert_eq!(pause, before + PAUSE);
            before = pause;
        }
        assert_eq!(last, now.checked_add(PAUSE * (TRIES - 1)));
    }

    #[test]
    fn only_sessions_of_the_kernel_have_a_time() {
        let now = crate::sys::clock::now();
        let mut list = WaitingList::default();
        list.insert(waiting(1, 1, None));
        assert_eq!((list.next(), list.take_due(now).len()), (None, 0));
        for id in [2, 3] {
            let mut later = waiting(id, 7, Some(4));
            assert!(later.tried(now));
            list.insert(later);
        }
        assert_eq!((list.next(), list.take_due(now).len()), (now.checked_add(PAUSE), 0));
        let mut due = list.take_due(now + PAUSE);
        let last = due.pop().unwrap();
        assert_eq!((ids(due), last.attachment.local, list.next()), (vec![2], SessionId(3), None));
        tries_last_for_a_second(now, last);
        assert_eq!(ids(list.take_of_port(1)), [1]);
        assert!(list.is_empty());
    }
}
