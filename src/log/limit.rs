//! Bounds the volume of the log: a stranger's packets can provoke lines, and a flood of packets must not become a
//! flood of lines. Each kind of message has a token bucket of its own, so that a flood of one kind hides no other.
//! What was held back is counted and told. Messages that no packet can provoke are never held back.
//!
//! Pure: time comes from the caller.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{Level, LogLine, Remark};
use crate::token_bucket::{Rate, TokenBucket, ONE};

/// The rate for a level, in lines of one kind. Errors and state changes come in crowds when many tunnels start
/// together. Debug lines are wanted in quantity by the administrator who switched them on.
fn rate(level: Level) -> Rate {
    match level {
        Level::Error => Rate { burst: 200, per_second: 10 },
        Level::Warn => Rate { burst: 100, per_second: 5 },
        Level::Info => Rate { burst: 1000, per_second: 50 },
        Level::Debug => Rate { burst: 400, per_second: 20 },
    }
}

/// How long after the first line that was held back the number of them is told.
const REPORT_AFTER: Duration = Duration::from_secs(10);

/// Messages about the daemon itself, its start, its files and its administrator: no packet provokes them.
const UNLIMITED: &[&str] = &[
    "M-001",
    "M-002",
    "M-003",
    "M-004",
    "M-005",
    "M-006",
    "M-007",
    "M-018",
    "M-019",
    "M-021",
    "M-022",
    "M-023",
    "M-024",
    "M-047",
    "M-048",
    "M-054",
    "M-055",
    "M-064",
    "M-086",
    // What is said of the configuration, and the status that `USR1` asks for.
    "unknown-tag",
    "invalid-value",
    "unreadable",
    "reload-refused",
    "nothing-changed",
    "at-start",
    "global-changed",
    "tunnel-added",
    "tunnel-removed",
    "tunnel-restarted",
    "tunnel-changed",
    "session-added",
    "session-removed",
    "session-restarted",
    "session-changed",
    "kernel-receives",
    "status",
];

/// What is known of one kind of message.
struct Kind {
    bucket: TokenBucket,
    /// Lines held back and not told yet.
    suppressed: u64,
    /// One of them, and when to tell.
    report: Option<(Instant, LogLine)>,
}

/// The limit.
#[derive(Default)]
pub struct Limit {
    kinds: BTreeMap<&'static str, Kind>,
}

impl Limit {
    /// A limit that has seen nothing.
    pub fn new() -> Limit {
        Limit::default()
    }

    /// Whether `line` may be written now. If not, it is counted.
    pub fn admit(&mut self, now: Instant, line: &LogLine) -> bool {
        if UNLIMITED.contains(&line.kind) {
            return true;
        }
        let rate = rate(line.level);
        let kind = self.kinds.entry(line.kind).or_insert_with(|| Kind {
            bucket: TokenBucket::new(now, rate),
            suppressed: 0,
            report: None,
        });
        if kind.bucket.take(now, rate, ONE) {
            return true;
        }
        kind.suppressed += 1;
        if kind.report.is_none() {
            kind.report = now.checked_add(REPORT_AFTER).map(|at| (at, line.clone()));
        }
        false
    }

    /// When [`report`](Limit::report) has something to tell.
    pub fn next(&self) -> Option<Instant> {
        self.kinds.values().filter_map(|kind| kind.report.as_ref().map(|(at, _)| *at)).min()
    }

    /// Remarks on what was held back; with `all`, also on what is not due yet (before the daemon ends).
    pub fn report(&mut self, now: Instant, all: bool) -> Vec<LogLine> {
        let mut lines = Vec::new();
        for (name, kind) in &mut self.kinds {
            let Some((_, line)) = kind.report.take_if(|(at, _)| all || *at <= now) else { continue };
            let text = line.text.trim_start();
            let count = std::mem::take(&mut kind.suppressed);
            let remark = Remark::Suppressed { count, kind: name, text: text.to_owned() };
            lines.push(LogLine { level: line.level, ..LogLine::remark(&remark) });
        }
        lines
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // tests need some first instant
mod tests {
    use super::*;
    use crate::log::catalogue::CATALOGUE;
    use crate::log::remark::RemarkKind;
    use crate::log::Event;
    use crate::wire::Ccid;

    fn warn() -> LogLine {
        LogLine::new(&Event::ReservedBitSet { tunnel: Ccid(7) })
    }

    #[test]
    fn a_flood_is_cut_and_told() {
        let start = Instant::now();
        let mut limit = Limit::new();
        let passed = (0..10_000).filter(|_| limit.admit(start, &warn())).count();
        assert_eq!(passed, 100);
        assert_eq!(limit.next(), Some(start + REPORT_AFTER));
        assert!(limit.report(start, false).is_empty());
        let told = limit.report(start + REPORT_AFTER, false);
        assert_eq!(told.len(), 1);
        assert_eq!(
            told[0].text,
            "  suppressed 9900 similar messages: M-044 ([7] reserved bit is set. discard packet)"
        );
        assert_eq!(limit.next(), None);
    }

    // A name that no message has would limit what must not be limited.
    #[test]
    fn what_is_not_limited_exists() {
        let remarks = RemarkKind::ALL.iter().map(|kind| kind.template());
        let names: Vec<&str> = CATALOGUE.iter().chain(remarks).map(|template| template.id).collect();
        let unknown: Vec<&&str> = UNLIMITED.iter().filter(|name| !names.contains(name)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }

    #[test]
    fn a_flood_of_one_kind_hides_no_other() {
        let start = Instant::now();
        let mut limit = Limit::new();
        while limit.admit(start, &warn()) {}
        assert!(limit.admit(start, &LogLine::new(&Event::NoHandler { tunnel: Ccid(7) })));
    }

    #[test]
    fn tokens_come_back_in_small_steps_too() {
        let start = Instant::now();
        let mut limit = Limit::new();
        while limit.admit(start, &warn()) {}
        // Ten seconds in steps of 150 microseconds: five lines a second.
        let steps = 1..=66_666u64;
        let passed = steps.filter(|s| limit.admit(start + Duration::from_micros(s * 150), &warn())).count();
        assert_eq!(passed, 49);
    }

    #[test]
    fn what_no_packet_provokes_is_never_held_back() {
        let start = Instant::now();
        let mut limit = Limit::new();
        let line = LogLine::new(&Event::NoParam { tag: "retry".into() });
        assert!((0..10_000).all(|_| limit.admit(start, &line)));
    }

    #[test]
    fn what_was_held_back_is_told_at_the_end() {
        let start = Instant::now();
        let mut limit = Limit::new();
        while limit.admit(start, &warn()) {}
        assert_eq!(limit.report(start, true).len(), 1);
        assert!(limit.report(start, true).is_empty());
    }
}
