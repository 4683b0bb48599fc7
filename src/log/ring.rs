//! The newest lines of the log, kept in memory for `l2tpctl log`. Bounded: the room for `log-buffer` messages is
//! reserved at once, so that a size that cannot be had is told at start-up and not in the middle of the night. What
//! strangers cause takes a quarter of it at most once it is full: no flood of theirs pushes out what happened to the
//! tunnels.

use std::collections::{TryReserveError, VecDeque};

use super::{Level, LogLine, WallTime};
use crate::saved::saved;

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
saved!(Entry { number, time, level, text });

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

/// The newest messages, oldest first: at most `log-buffer` of them.
#[derive(Debug, Clone)]
pub struct Ring {
    own: VecDeque<Entry>,
    strangers: VecDeque<Entry>,
    capacity: usize,
    next: u64,
}
saved!(Ring { own, strangers, capacity, next });

impl Ring {
    /// A ring for `capacity` messages; fails when there is no memory for that many.
    pub fn new(capacity: usize) -> Result<Ring, TryReserveError> {
        let (mut own, strangers) = (VecDeque::new(), VecDeque::new());
        own.try_reserve_exact(capacity)?;
        Ok(Ring { own, strangers, capacity, next: 0 })
    }

    /// Another `log-buffer`. The newest messages are kept; when it fails, nothing changes.
    pub fn resize(&mut self, capacity: usize) -> Result<(), TryReserveError> {
        if capacity == self.capacity {
            return Ok(());
        }
        let mut own = VecDeque::new();
        own.try_reserve_exact(capacity)?;
        self.capacity = capacity;
        while self.len() > capacity {
            self.drop_one(false);
        }
        own.extend(self.own.drain(..));
        self.own = own;
        Ok(())
    }

    /// Adds a message; an old one makes room.
    pub fn push(&mut self, time: WallTime, line: &LogLine) {
        self.add(time, line, false);
    }

    /// Adds a message that somebody caused who need not be a peer. When there is no room, one of the same kind makes it
    /// where these take their share.
    pub fn push_of_stranger(&mut self, time: WallTime, line: &LogLine) {
        self.add(time, line, true);
    }

    fn add(&mut self, time: WallTime, line: &LogLine, of_stranger: bool) {
        let number = self.next;
        self.next += 1;
        if self.capacity == 0 {
            return;
        }
        if self.len() >= self.capacity {
            self.drop_one(of_stranger);
        }
        let entries = if of_stranger { &mut self.strangers } else { &mut self.own };
        entries.push_back(Entry { number, time, level: line.level, text: lines_of(line) });
    }

    /// Makes room, for a message of a stranger or another one: the oldest of the strangers' goes where these have more
    /// than their share, else the oldest of all.
    fn drop_one(&mut self, for_stranger: bool) {
        let share = (self.capacity / 4).max(1);
        let surplus = self.strangers.len() + usize::from(for_stranger) > share;
        let oldest = |entries: &VecDeque<Entry>| entries.front().map_or(u64::MAX, |entry| entry.number);
        match surplus && !self.strangers.is_empty() || oldest(&self.strangers) < oldest(&self.own) {
            true => self.strangers.pop_front(),
            false => self.own.pop_front(),
        };
    }

    fn len(&self) -> usize {
        self.own.len() + self.strangers.len()
    }

    /// Whether old messages were dropped.
    pub fn trimmed(&self) -> bool {
        self.next > self.len() as u64
    }

    /// The number that the next message will have.
    pub fn next_number(&self) -> u64 {
        self.next
    }

    /// The messages kept, oldest first, from `number` on: a follower passes the number it waits for.
    pub fn since(&self, number: u64) -> impl Iterator<Item = &Entry> {
        let from = |entries: &VecDeque<Entry>| entries.partition_point(|entry| entry.number < number);
        let mut own = self.own.iter().skip(from(&self.own)).peekable();
        let mut strangers = self.strangers.iter().skip(from(&self.strangers)).peekable();
        std::iter::from_fn(move || {
            let number = |entry: Option<&&Entry>| entry.map_or(u64::MAX, |entry| entry.number);
            match number(strangers.peek()) < number(own.peek()) {
                true => strangers.next(),
                false => own.next(),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::catalogue::ProvokedBy;
    use crate::log::Event;

    fn line(text: &str) -> LogLine {
        LogLine { level: Level::Info, text: text.into(), detail: None, kind: "test", by: ProvokedBy::Peers }
    }

    fn all(ring: &Ring) -> String {
        let mut out = String::new();
        ring.since(0).for_each(|entry| entry.write_to(&mut out));
        out
    }

    fn texts(ring: &Ring, from: u64) -> Vec<&str> {
        ring.since(from).map(|e| e.text.as_str()).collect()
    }

    #[test]
    fn the_newest_are_kept_and_the_loss_is_told() {
        let mut ring = Ring::new(2).unwrap();
        ring.push(WallTime(0), &line("one"));
        ring.push(WallTime(0), &line("two"));
        assert!(!ring.trimmed());
        ring.push(WallTime(1_000_000), &line("three"));
        assert!(ring.trimmed());
        assert_eq!(
            all(&ring),
            "1970-01-01T00:00:00.000000Z info two\n1970-01-01T00:00:01.000000Z info three\n"
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
        assert_eq!(all(&ring), expected);
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
    fn strangers_push_out_one_another() {
        let mut ring = Ring::new(8).unwrap();
        for number in 0..6 {
            ring.push(WallTime(0), &line(&format!("own {number}")));
        }
        for number in 0..100 {
            ring.push_of_stranger(WallTime(0), &line(&format!("stranger {number}")));
        }
        let own = ["own 0", "own 1", "own 2", "own 3", "own 4", "own 5"];
        assert_eq!(texts(&ring, 0), [&own[..], &["stranger 98", "stranger 99"]].concat());
        assert!(ring.trimmed());
        assert_eq!(texts(&ring, 105), ["stranger 99"]);
        // In the order in which they came; the oldest of all goes while strangers have no more than their share.
        for number in 6..8 {
            ring.push(WallTime(0), &line(&format!("own {number}")));
        }
        let all = ["own 2", "own 3", "own 4", "own 5", "stranger 98", "stranger 99", "own 6", "own 7"];
        assert_eq!(texts(&ring, 0), all);
        ring.resize(4).unwrap();
        assert_eq!(texts(&ring, 0), ["own 5", "stranger 99", "own 6", "own 7"]);
    }

    #[test]
    fn what_was_empty_is_anybody_s_until_it_is_full() {
        let mut ring = Ring::new(8).unwrap();
        for number in 0..8 {
            ring.push_of_stranger(WallTime(0), &line(&format!("stranger {number}")));
        }
        for number in 0..7 {
            ring.push(WallTime(0), &line(&format!("own {number}")));
        }
        assert_eq!(texts(&ring, 0).len(), 8);
        assert_eq!(texts(&ring, 0)[0], "stranger 7");
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
