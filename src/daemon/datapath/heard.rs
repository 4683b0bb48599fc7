//! When the peer of a control connection was heard by data: one stamp for all of its sessions, however many it has.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::wire::{Ccid, SessionId};

/// When valid data came last.
pub(super) type Stamp = Rc<Cell<Option<Instant>>>;

/// When the machine woke last. The clock of the kernel's programs stands still while it sleeps.
pub(super) struct Woke(Cell<(Duration, Duration)>);

impl Woke {
    /// It has slept so long before.
    pub(super) fn new(boot: Duration, awake: Duration) -> Woke {
        Woke(Cell::new((boot.saturating_sub(awake), Duration::ZERO)))
    }

    /// When that was, or when it was noticed, by the time awake. The machine was started so long ago, and was so long of
    /// that awake.
    pub(super) fn last(&self, boot: Duration, awake: Duration) -> Duration {
        let (before, woke) = self.0.get();
        let slept = boot.saturating_sub(awake);
        // The two clocks are not read at the same moment.
        if slept <= before + Duration::from_secs(1) {
            return woke;
        }
        self.0.set((slept, awake));
        awake
    }
}

/// The control connections of the attached sessions.
#[derive(Default)]
pub(super) struct Heard {
    stamps: BTreeMap<Ccid, Stamp>,
    sessions: BTreeSet<(Ccid, SessionId)>,
}

impl Heard {
    /// A session of this connection is attached: its stamp from now on. `before`: when its data came last, if it did.
    pub(super) fn add(&mut self, ccid: Ccid, session: SessionId, before: Option<Instant>) -> Stamp {
        self.sessions.insert((ccid, session));
        let stamp = self.stamps.entry(ccid).or_default();
        stamp.set(stamp.get().max(before));
        Rc::clone(stamp)
    }

    /// A session is not attached any more.
    pub(super) fn remove(&mut self, ccid: Ccid, session: SessionId) {
        self.sessions.remove(&(ccid, session));
        if self.of(ccid).next().is_none() {
            self.stamps.remove(&ccid);
        }
    }

    /// When valid data of any session of this connection came last.
    pub(super) fn last(&self, ccid: Ccid) -> Option<Instant> {
        self.stamps.get(&ccid)?.get()
    }

    /// The same, where others than the daemon receive data, too: `ask` tells when the data of a session came last. As soon
    /// as some came after `recent`, no more sessions are asked for.
    pub(super) fn last_of_all(
        &self,
        ccid: Ccid,
        recent: Option<Instant>,
        ask: impl Fn(SessionId) -> Option<Instant>,
    ) -> Option<Instant> {
        let mut last = self.last(ccid);
        for session in self.of(ccid) {
            if last >= recent {
                break;
            }
            last = last.max(ask(session));
        }
        last
    }

    /// The sessions of a connection.
    fn of(&self, ccid: Ccid) -> impl Iterator<Item = SessionId> + '_ {
        let range = (ccid, SessionId(0))..=(ccid, SessionId(u32::MAX));
        self.sessions.range(range).map(|(_, session)| *session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_slept_has_woken() {
        let second = Duration::from_secs;
        let woke = Woke::new(second(500), second(100));
        assert_eq!(woke.last(second(501), second(101)), second(0), "it slept before that only");
        assert_eq!(woke.last(second(4107), second(107)), second(107));
        assert_eq!(woke.last(second(4117), second(116)), second(107), "it was busy between the clocks");
        assert_eq!(woke.last(second(4120), second(118)), second(118));
    }

    #[test]
    fn sessions_are_asked_for_until_one_was_heard_of_late() {
        let now = crate::sys::clock::now();
        let (recent, before) = (now - Duration::from_millis(100), now - Duration::from_secs(1));
        let mut heard = Heard::default();
        let stamps: Vec<Stamp> = (1..=1000).map(|id| heard.add(Ccid(1), SessionId(id), None)).collect();
        let asks = |talks: u32, at| {
            let asked = Cell::new(0);
            let last = heard.last_of_all(Ccid(1), Some(recent), |session| {
                asked.set(asked.get() + 1);
                Some(at).filter(|_| session.0 == talks)
            });
            (last, asked.get())
        };
        assert_eq!(asks(1, now), (Some(now), 1));
        assert_eq!(asks(7, before), (Some(before), 1000), "nothing came of late");
        stamps[0].set(Some(now));
        assert_eq!(asks(1, now), (Some(now), 0), "the daemon knows it itself");
    }

    #[test]
    fn all_sessions_of_a_connection_have_one_stamp() {
        let now = crate::sys::clock::now();
        let later = now + Duration::from_secs(1);
        let mut heard = Heard::default();
        let mut stamps: Vec<Stamp> = (1..=3).map(|id| heard.add(Ccid(id / 3), SessionId(id), None)).collect();
        stamps[1].set(Some(now));
        assert_eq!((heard.last(Ccid(0)), heard.last(Ccid(1))), (Some(now), None));
        assert_eq!(heard.of(Ccid(0)).collect::<Vec<_>>(), [SessionId(1), SessionId(2)]);
        // One that another program had before.
        stamps.push(heard.add(Ccid(0), SessionId(4), Some(later)));
        stamps.push(heard.add(Ccid(0), SessionId(5), Some(now)));
        assert_eq!(stamps[0].get(), Some(later));
        [1, 2, 4].into_iter().for_each(|id| heard.remove(Ccid(0), SessionId(id)));
        assert_eq!(heard.last(Ccid(0)), Some(later));
        heard.remove(Ccid(0), SessionId(5));
        assert_eq!((heard.last(Ccid(0)), heard.stamps.len(), heard.sessions.len()), (None, 1, 1));
    }
}
