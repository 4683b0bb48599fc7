//! Sessions that are attached as soon as the names of their interfaces are free: the kernel removes an interface some
//! time after whoever had it let it go. Nothing waits for that; it is tried again when an interface was deleted, and now
//! and then.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::session::Gates;
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
    /// The kernel's id of its tunnel.
    pub(super) tunnel: u32,
    /// It was attached before, with another path: nobody waits to hear that it is attached.
    pub(super) moved: bool,
    /// What may pass once it is attached.
    pub(super) gates: Option<Gates>,
    tries: u32,
    due: Option<Instant>,
}

impl Waiting {
    pub(super) fn new(attachment: &Attachment, port: usize, tunnel: u32) -> Waiting {
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
    sessions: BTreeMap<SessionId, Waiting>,
}

impl WaitingList {
    pub(super) fn insert(&mut self, waiting: Waiting) {
        self.sessions.insert(waiting.attachment.local, waiting);
    }

    pub(super) fn get_mut(&mut self, session: SessionId) -> Option<&mut Waiting> {
        self.sessions.get_mut(&session)
    }

    pub(super) fn remove(&mut self, session: SessionId) -> Option<Waiting> {
        self.sessions.remove(&session)
    }

    /// Takes those whose time has come.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Waiting> {
        let due =
            |(id, waiting): (&SessionId, &Waiting)| waiting.due.is_none_or(|due| due <= now).then_some(*id);
        let ids: Vec<SessionId> = self.sessions.iter().filter_map(due).collect();
        ids.into_iter().filter_map(|id| self.sessions.remove(&id)).collect()
    }

    /// An interface was deleted: it may have been the one.
    pub(super) fn hurry(&mut self) {
        self.sessions.values_mut().for_each(|waiting| waiting.due = None);
    }

    /// When the next one is to be tried; `now` if it may be at once.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        self.sessions.values().map(|waiting| waiting.due.unwrap_or(now)).min()
    }
}
