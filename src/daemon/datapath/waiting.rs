//! What is done as soon as the names of interfaces are free: the kernel removes an interface some time after whoever had
//! it let it go. Nothing waits for that. It is tried again when the kernel has removed an interface, and now and then;
//! where a child of ours removes it, when that has ended.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::gates::Gates;
use crate::proto::Attachment;
use crate::wire::SessionId;

/// How often it is tried.
const TRIES: u32 = 20;
/// From one try to the next, if no interface is deleted meanwhile.
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
    /// When to try again, if nothing happens before.
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
        self.due = now.checked_add(PAUSE);
        self.tries < TRIES
    }
}

/// All that wait.
#[derive(Default)]
pub(super) struct WaitingList {
    sessions: BTreeMap<SessionId, Box<Waiting>>,
    /// The places of ports whose TAP is to be made.
    ports: BTreeSet<usize>,
}

impl WaitingList {
    pub(super) fn insert(&mut self, waiting: Waiting) {
        self.sessions.insert(waiting.attachment.local, Box::new(waiting));
    }

    pub(super) fn get_mut(&mut self, session: SessionId) -> Option<&mut Waiting> {
        self.sessions.get_mut(&session).map(Box::as_mut)
    }

    pub(super) fn remove(&mut self, session: SessionId) -> Option<Waiting> {
        self.sessions.remove(&session).map(|waiting| *waiting)
    }

    /// Whether none waits.
    pub(super) fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.ports.is_empty()
    }

    /// The TAP of this port is to be made.
    pub(super) fn insert_port(&mut self, port: usize) {
        self.ports.insert(port);
    }

    /// Takes those whose time has come.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Waiting> {
        let is_due = |waiting: &Waiting| waiting.due.is_some_and(|due| due <= now);
        let due = self.sessions.iter().filter(|(_, waiting)| is_due(waiting));
        let ids: Vec<SessionId> = due.map(|(id, _)| *id).collect();
        ids.into_iter().filter_map(|id| self.remove(id)).collect()
    }

    /// The kernel has removed an interface: it may have been the one.
    pub(super) fn interface_deleted(&mut self, now: Instant) {
        let sessions = self.sessions.values_mut().filter(|waiting| waiting.tunnel.is_some());
        sessions.for_each(|waiting| waiting.due = Some(now));
    }

    /// A child of ours has removed its interfaces. The ports whose TAP can be made now.
    pub(super) fn child_ended(&mut self, now: Instant) -> BTreeSet<usize> {
        self.sessions.values_mut().for_each(|waiting| waiting.due = Some(now));
        std::mem::take(&mut self.ports)
    }

    /// When the next one is to be tried.
    pub(super) fn next(&self) -> Option<Instant> {
        self.sessions.values().filter_map(|waiting| waiting.due).min()
    }
}
