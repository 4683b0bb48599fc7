//! Bounds the volume of the log: a stranger's packets can provoke lines, and a flood of packets must not become a
//! flood of lines. Each kind of message has a token bucket of its own, so that a flood of one kind hides no other.
//! What was held back is counted and told. Messages that no packet can provoke are never held back.
//!
//! What strangers cause is bounded on its own, for each address and for all of them together, so that it hides nothing
//! of the tunnels; what was held back of it makes one line a minute.
//!
//! Pure: time comes from the caller.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::catalogue::ProvokedBy;
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

/// The rate for what one address causes that is no established peer's: enough for a peer that comes and is refused.
const OF_SOURCE: Rate = Rate { burst: 300, per_second: 2 };
/// The rate for all strangers together.
const OF_STRANGERS: Rate = Rate { burst: 500, per_second: 10 };
/// Addresses that are told apart; further ones share one bucket.
const SOURCES: usize = 64;
/// How long after its last line the place of an address is free for another one.
const SOURCE_PAUSE: Duration = Duration::from_secs(60);
/// How long after the first line that was held back of strangers the number of them is told.
const STRANGERS_AFTER: Duration = Duration::from_secs(60);

/// How long after the first line that was held back the number of them is told.
const REPORT_AFTER: Duration = Duration::from_secs(10);

/// Who caused a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Ourselves, the administrator or an established peer.
    Own,
    /// Whoever sent a packet; from where, if that is known.
    Stranger(Option<IpAddr>),
}

impl Origin {
    /// Who caused a message, by the line and by the packet that was received, if it was one: where that came from, and
    /// whether an established peer is there.
    pub fn of(line: &LogLine, packet: Option<(IpAddr, bool)>) -> Origin {
        let provoked = line.by == ProvokedBy::Anybody;
        match packet {
            Some((address, established)) if !established || provoked => Origin::Stranger(Some(address)),
            None if provoked => Origin::Stranger(None),
            Some(_) | None => Origin::Own,
        }
    }
}

/// What is known of one kind of message.
struct Kind {
    bucket: TokenBucket,
    /// Lines held back and not told yet.
    suppressed: u64,
    /// One of them, and when to tell.
    report: Option<(Instant, LogLine)>,
}

/// What was let through and what was held back, of each kind of message and of strangers.
#[derive(Default)]
pub struct Limit {
    /// Debug messages are logged: the administrator wants to see everything, of strangers too, as far as the kinds go.
    pub debug: bool,
    kinds: BTreeMap<&'static str, Box<Kind>>,
    strangers: Strangers,
}

/// What is known of strangers' messages.
#[derive(Default)]
struct Strangers {
    all: Option<TokenBucket>,
    kinds: BTreeMap<&'static str, Box<TokenBucket>>,
    /// By address, with the time of the last line; those for which there is no place under `None`.
    sources: BTreeMap<Option<IpAddr>, (TokenBucket, Instant)>,
    suppressed: u64,
    /// One line that was held back, and when to tell.
    report: Option<(Instant, LogLine)>,
}

impl Strangers {
    fn admit(&mut self, now: Instant, line: &LogLine, address: Option<IpAddr>, debug: bool) -> bool {
        let of_kind = rate(line.level);
        let source = self.place(now, address);
        let (bucket, last) =
            self.sources.entry(source).or_insert_with(|| (TokenBucket::new(now, OF_SOURCE), now));
        *last = now;
        let of_source = debug || bucket.take(now, OF_SOURCE, ONE);
        let kind = self.kinds.entry(line.kind).or_insert_with(|| Box::new(TokenBucket::new(now, of_kind)));
        let all = self.all.get_or_insert_with(|| TokenBucket::new(now, OF_STRANGERS));
        let admitted =
            of_source && kind.take(now, of_kind, ONE) && (debug || all.take(now, OF_STRANGERS, ONE));
        if !admitted {
            self.suppressed = self.suppressed.saturating_add(1);
            if self.report.is_none() {
                self.report = now.checked_add(STRANGERS_AFTER).map(|at| (at, line.clone()));
            }
        }
        admitted
    }

    /// The place that an address has, or gets.
    fn place(&mut self, now: Instant, address: Option<IpAddr>) -> Option<IpAddr> {
        if self.sources.contains_key(&address) || self.sources.len() < SOURCES {
            return address;
        }
        self.sources.retain(|_, (_, last)| now.saturating_duration_since(*last) < SOURCE_PAUSE);
        address.filter(|_| self.sources.len() < SOURCES)
    }

    fn report(&mut self, now: Instant, all: bool) -> Option<LogLine> {
        let (_, line) = self.report.take_if(|(at, _)| all || *at <= now)?;
        let (count, text) = (std::mem::take(&mut self.suppressed), line.text.trim_start().to_owned());
        Some(LogLine::remark(&Remark::Strangers { count, text }))
    }
}

impl Limit {
    /// A limit that has seen nothing.
    pub fn new() -> Limit {
        Limit::default()
    }

    /// Whether `line` may be written now. If not, it is counted.
    pub fn admit(&mut self, now: Instant, line: &LogLine, origin: Origin) -> bool {
        if line.by == ProvokedBy::Nobody {
            return true;
        }
        if let Origin::Stranger(address) = origin {
            return self.strangers.admit(now, line, address, self.debug);
        }
        let rate = rate(line.level);
        let new = || Box::new(Kind { bucket: TokenBucket::new(now, rate), suppressed: 0, report: None });
        let kind = self.kinds.entry(line.kind).or_insert_with(new);
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
        let reports = self.kinds.values().map(|kind| &kind.report).chain([&self.strangers.report]);
        reports.filter_map(|report| report.as_ref().map(|(at, _)| *at)).min()
    }

    /// Remarks on what was held back; with `all`, also on what is not due yet (before the daemon ends).
    pub fn report(&mut self, now: Instant, all: bool) -> Vec<LogLine> {
        let mut lines: Vec<LogLine> = self.strangers.report(now, all).into_iter().collect();
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
    use crate::log::Event;
    use crate::wire::{Ccid, MessageType};

    fn warn() -> LogLine {
        LogLine::new(&Event::ReservedBitSet { tunnel: Ccid(7) })
    }

    #[test]
    fn a_flood_is_cut_and_told() {
        let start = Instant::now();
        let mut limit = Limit::new();
        let passed = (0..10_000).filter(|_| limit.admit(start, &warn(), Origin::Own)).count();
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

    #[test]
    fn a_flood_of_one_kind_hides_no_other() {
        let start = Instant::now();
        let mut limit = Limit::new();
        while limit.admit(start, &warn(), Origin::Own) {}
        assert!(limit.admit(start, &LogLine::new(&Event::NoHandler { tunnel: Ccid(7) }), Origin::Own));
    }

    #[test]
    fn tokens_come_back_in_small_steps_too() {
        let start = Instant::now();
        let mut limit = Limit::new();
        while limit.admit(start, &warn(), Origin::Own) {}
        // Ten seconds in steps of 150 microseconds: five lines a second.
        let steps = 1..=66_666u64;
        let passed = steps
            .filter(|s| limit.admit(start + Duration::from_micros(s * 150), &warn(), Origin::Own))
            .count();
        assert_eq!(passed, 49);
    }

    #[test]
    fn what_no_packet_provokes_is_never_held_back() {
        let start = Instant::now();
        let mut limit = Limit::new();
        let line = LogLine::new(&Event::NoParam { tag: "retry".into() });
        assert!((0..10_000).all(|_| limit.admit(start, &line, Origin::Own)));
    }

    #[test]
    fn what_was_held_back_is_told_at_the_end() {
        let start = Instant::now();
        let mut limit = Limit::new();
        while limit.admit(start, &warn(), Origin::Own) {}
        assert_eq!(limit.report(start, true).len(), 1);
        assert!(limit.report(start, true).is_empty());
    }

    #[test]
    fn strangers_hide_nothing_of_the_tunnels_and_make_one_line() {
        let start = Instant::now();
        let mut limit = Limit::new();
        let kinds = [
            warn(),
            LogLine::new(&Event::NoHandler { tunnel: Ccid(7) }),
            LogLine::new(&Event::AvpHandlerFailed { tunnel: Ccid(7) }),
            LogLine::new(&Event::Send { tunnel: Ccid(7), message: crate::wire::MessageType(2) }),
            LogLine::new(&Event::BeginNewSession { tunnel: Ccid(7) }),
        ];
        // A minute of 10,000 lines a second, from as many addresses.
        let mut passed = 0;
        for at in 0..600_000_u32 {
            let now = start + Duration::from_micros(u64::from(at) * 100);
            let origin = Origin::Stranger(Some(std::net::Ipv4Addr::from(at).into()));
            passed += usize::from(limit.admit(now, &kinds[at as usize % kinds.len()], origin));
        }
        assert!((64..=500 + 10 * 60).contains(&passed), "{passed}");
        let end = start + Duration::from_secs(60);
        for line in &kinds {
            assert!(limit.admit(end, line, Origin::Own), "the tunnels' own lines have room");
        }
        let told = limit.report(start + Duration::from_secs(90), false);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].text.contains("messages that strangers caused were left out"), "{told:?}");
    }

    #[test]
    fn one_address_has_its_share() {
        let start = Instant::now();
        let mut limit = Limit::new();
        let (one, other) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let line = LogLine::new(&Event::BeginNewSession { tunnel: Ccid(7) });
        let passed = (0..1000).filter(|_| limit.admit(start, &line, Origin::Stranger(Some(one)))).count();
        assert_eq!(passed, 300);
        assert!(limit.admit(start, &line, Origin::Stranger(Some(other))));
    }

    #[test]
    fn who_caused_a_message() {
        let peer = [192, 0, 2, 1].into();
        let state = LogLine::new(&Event::ReceiveState { message: MessageType::SCCRQ, state: "idle" });
        assert_eq!(Origin::of(&state, Some((peer, true))), Origin::Own);
        assert_eq!(Origin::of(&state, Some((peer, false))), Origin::Stranger(Some(peer)));
        let digest = LogLine::new(&Event::DigestInvalid { tunnel: Ccid(7), message: MessageType::HELLO });
        let forged = Origin::of(&digest, Some((peer, true)));
        assert_eq!(forged, Origin::Stranger(Some(peer)), "its address is forged");
        let unreachable = LogLine::remark(&Remark::Unreachable { peer, error: String::new() });
        assert_eq!(Origin::of(&unreachable, None), Origin::Stranger(None));
        let state = LogLine::new(&Event::SendState { message: MessageType::SCCRQ, state: "idle" });
        assert_eq!(Origin::of(&state, None), Origin::Own);
    }
}
