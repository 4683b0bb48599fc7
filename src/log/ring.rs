//! The newest lines of the log, kept in memory for `l2tpctl log`. Bounded: the room for `log-buffer` messages is
//! reserved at once, so that a size that cannot be had is told at start-up and not in the middle of the night.

use std::collections::{TryReserveError, VecDeque};

use super::{Event, Level, LogLine, WallTime};

/// A message that was logged, its detail included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Counts the messages since the daemon started, from 0.
    pub number: u64,
    /// When it was logged.
    pub time: WallTime,
    /// Its level.
    pub level: Level,
    /// The message; details follow, separated by `\n`.
    pub text: String,
}

impl Entry {
    /// Appends the entry as it stands in the log: `TIME LEVEL MESSAGE`, each line of the detail in a line of the
    /// same level that begins with two blanks.
    pub fn write_to(&self, out: &mut String) {
        for line in self.text.split('\n') {
            out.push_str(&format!("{} {} {line}\n", self.time, self.level));
        }
    }
}

/// The message and its detail as lines: what belongs to a message begins with two blanks.
pub fn lines_of(line: &LogLine) -> String {
    let mut text = line.text.clone();
    for detail in line.detail.iter().flat_map(|d| d.split('\n')) {
        text.push_str("\n  ");
        text.push_str(detail);
    }
    text
}

/// The ring.
#[derive(Debug)]
pub struct Ring {
    entries: VecDeque<Entry>,
    capacity: usize,
    next: u64,
}

impl Ring {
    /// A ring for `capacity` messages; fails when there is no memory for that many.
    pub fn new(capacity: usize) -> Result<Ring, TryReserveError> {
        let mut entries = VecDeque::new();
        entries.try_reserve_exact(capacity)?;
        Ok(Ring { entries, capacity, next: 0 })
    }

    /// Another `log-buffer`. The newest messages are kept; when it fails, nothing changes.
    pub fn resize(&mut self, capacity: usize) -> Result<(), TryReserveError> {
        if capacity == self.capacity {
            return Ok(());
        }
        let mut entries = VecDeque::new();
        entries.try_reserve_exact(capacity)?;
        let surplus = self.entries.len().saturating_sub(capacity);
        entries.extend(self.entries.drain(..).skip(surplus));
        self.entries = entries;
        self.capacity = capacity;
        Ok(())
    }

    /// Adds a message; the oldest one makes room.
    pub fn push(&mut self, time: WallTime, line: &LogLine) {
        let number = self.next;
        self.next += 1;
        if self.entries.len() >= self.capacity {
            self.entries.pop_front();
        }
        if self.capacity > 0 {
            self.entries.push_back(Entry { number, time, level: line.level, text: lines_of(line) });
        }
    }

    /// Whether old messages were dropped.
    pub fn trimmed(&self) -> bool {
        self.next > self.entries.len() as u64
    }

    /// The number that the next message will have.
    pub fn next_number(&self) -> u64 {
        self.next
    }

    /// The messages kept, oldest first, from `number` on: a follower passes the number it waits for.
    pub fn since(&self, number: u64) -> impl Iterator<Item = &Entry> {
        let first = self.next - self.entries.len() as u64;
        let skip = usize::try_from(number.saturating_sub(first)).unwrap_or(usize::MAX);
        self.entries.iter().skip(skip)
    }

    /// All messages kept of at most `level`, as text. Where older ones were dropped, the first line says so.
    pub fn text(&self, level: Level) -> String {
        let mut out = String::new();
        if self.trimmed() {
            out.push_str(&Event::OlderMessagesTrimmed {}.to_string());
            out.push('\n');
        }
        for entry in self.entries.iter().filter(|e| e.level <= level) {
            entry.write_to(&mut out);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> LogLine {
        LogLine { level: Level::Info, text: text.into(), detail: None, kind: "test" }
    }

    fn texts(ring: &Ring, from: u64) -> Vec<&str> {
        ring.since(from).map(|e| e.text.as_str()).collect()
    }

    #[test]
    fn the_newest_are_kept_and_the_loss_is_told() {
        let mut ring = Ring::new(2).unwrap();
        ring.push(WallTime(0), &line("one"));
        ring.push(WallTime(0), &line("two"));
        assert!(!ring.text(Level::Debug).contains("TRIMMED"));
        ring.push(WallTime(1_000_000), &line("three"));
        assert_eq!(
            ring.text(Level::Debug),
            "== OLDER \"l2tp\" LOG MESSAGES WERE TRIMMED ==\n\
             1970-01-01T00:00:00.000000Z info two\n\
             1970-01-01T00:00:01.000000Z info three\n"
        );
        assert_eq!(texts(&ring, 2), ["three"]);
        assert_eq!(texts(&ring, 0), ["two", "three"]);
        assert!(texts(&ring, 3).is_empty());
    }

    #[test]
    fn details_are_lines_of_the_same_level() {
        let mut ring = Ring::new(2).unwrap();
        ring.push(WallTime(0), &LogLine::with_detail(&Event::CannotOpenConfigFile {}, "first\nsecond"));
        let expected = "1970-01-01T00:00:00.000000Z error Can't open config file\n\
                        1970-01-01T00:00:00.000000Z error   first\n\
                        1970-01-01T00:00:00.000000Z error   second\n";
        assert_eq!(ring.text(Level::Debug), expected);
    }

    #[test]
    fn the_level_filters() {
        let mut ring = Ring::new(4).unwrap();
        ring.push(WallTime(0), &line("info"));
        ring.push(WallTime(0), &LogLine::new(&Event::CannotCreatePidFile {}));
        let text = ring.text(Level::Error);
        assert!(text.contains("pid file") && !text.contains("info"));
    }

    #[test]
    fn a_smaller_ring_keeps_the_newest() {
        let mut ring = Ring::new(4).unwrap();
        for text in ["a", "b", "c"] {
            ring.push(WallTime(0), &line(text));
        }
        ring.resize(2).unwrap();
        assert_eq!(texts(&ring, 0), ["b", "c"]);
        assert!(ring.trimmed());
        ring.resize(3).unwrap();
        ring.push(WallTime(0), &line("d"));
        assert_eq!(texts(&ring, 0), ["b", "c", "d"]);
    }

    #[test]
    fn memory_that_cannot_be_had_is_an_error() {
        assert!(Ring::new(usize::MAX).is_err());
        let mut ring = Ring::new(1).unwrap();
        ring.push(WallTime(0), &line("kept"));
        assert!(ring.resize(usize::MAX).is_err());
        assert_eq!(texts(&ring, 0), ["kept"]);
    }

    #[test]
    fn a_ring_for_nothing_keeps_nothing() {
        let mut ring = Ring::new(0).unwrap();
        ring.push(WallTime(0), &line("gone"));
        assert!(ring.trimmed() && texts(&ring, 0).is_empty());
    }
}
