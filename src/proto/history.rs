//! What became of a tunnel or session lately: the last changes, with their times and reasons.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::action::TunnelEvent;
use crate::saved::saved;

/// Changes of one tunnel or session that are kept.
const KEPT: usize = 8;

saved! {
    /// The last changes, the newest last.
    #[derive(Debug, Default)]
    pub struct History {
        last: VecDeque<Entry>,
        /// How often it came up or went down, since it is in the configuration.
        pub changes: u64,
    }

    #[derive(Debug)]
    struct Entry {
        what: TunnelEvent,
        reason: String,
        at: Instant,
        count: u32,
    }
}

/// A change, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What happened.
    pub what: TunnelEvent,
    /// Why, in words; empty where there is nothing to say.
    pub reason: String,
    /// How long ago; the last time, if it happened several times in a row.
    pub ago: Duration,
    /// How often in a row.
    pub count: u32,
}

impl History {
    /// Something happened. That an attempt begins is no change yet; what happens again is counted, so that attempts
    /// that fail for ever do not displace what was before.
    pub fn note(&mut self, now: Instant, what: TunnelEvent, reason: &str) {
        if what == TunnelEvent::TunnelConnecting {
            return;
        }
        if matches!(
            what,
            TunnelEvent::TunnelUp
                | TunnelEvent::TunnelDown
                | TunnelEvent::SessionUp
                | TunnelEvent::SessionDown
        ) {
            self.changes = self.changes.saturating_add(1);
        }
        if let Some(last) = self.last.back_mut().filter(|last| last.what == what && last.reason == reason) {
            last.at = now;
            last.count = last.count.saturating_add(1);
            return;
        }
        if self.last.len() >= KEPT {
            self.last.pop_front();
        }
        self.last.reserve_exact(1); // there are thousands of these, most with one change or two
        self.last.push_back(Entry { what, reason: reason.to_owned(), at: now, count: 1 });
    }

    /// The changes, the newest first.
    pub fn shown(&self, now: Instant) -> Vec<Change> {
        let shown = |entry: &Entry| Change {
            what: entry.what,
            reason: entry.reason.clone(),
            ago: now.saturating_duration_since(entry.at),
            count: entry.count,
        };
        self.last.iter().rev().map(shown).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::tests::start;

    #[test]
    fn the_last_changes_are_kept_and_repeated_ones_counted() {
        let (mut history, now) = (History::default(), start());
        for n in 0..20 {
            history.note(now, TunnelEvent::TunnelDown, &format!("reason {n}"));
        }
        for _ in 0..1000 {
            history.note(now, TunnelEvent::TunnelConnecting, "");
            history.note(now, TunnelEvent::TunnelFailed, "no answer");
        }
        assert_eq!(history.changes, 20, "a failed attempt is no change of what is up");
        let shown = history.shown(now);
        assert_eq!(shown.len(), KEPT);
        let told = |change: Option<&Change>| change.map(|change| (change.reason.clone(), change.count));
        assert_eq!(told(shown.first()), Some(("no answer".to_owned(), 1000)));
        assert_eq!(told(shown.last()), Some(("reason 13".to_owned(), 1)));
    }
}
