//! The log: filter, limit, ring and sink behind one function. Nothing here waits; a line that the sink does not
//! take is still in the ring.

use std::collections::TryReserveError;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::log::limit::{Limit, Origin};
use crate::log::ring::{lines_of, Ring};
use crate::log::{Level, LogLine, Remark, WallTime};
use crate::sys::syslog::{self, Syslog};
use crate::sys::{clock, stderr};

/// Where the lines go.
#[derive(Debug)]
enum Sink {
    /// Standard error, in the foreground; whether it is systemd's journal.
    Stderr { journal: bool },
    /// Syslog; until the start has succeeded, errors go to standard error as well: whoever started us looks there.
    Syslog { syslog: Syslog, starting: bool },
}

/// A message as standard error gets it: lines with time and level. The journal has its own time, and the level is
/// the number of syslog in front of the line (sd-daemon(3)).
pub fn on_stderr(time: WallTime, level: Level, text: &str, journal: bool) -> String {
    let front = match journal {
        true => format!("<{}>", syslog::severity(level)),
        false => format!("{time} {level} "),
    };
    text.split('\n').map(|line| format!("{front}{line}\n")).collect()
}

/// Where all that is logged goes through.
pub struct Logger {
    sink: Sink,
    ring: Ring,
    limit: Limit,
    /// Lines above this level are dropped.
    level: Level,
    /// The level to return to when `USR2` comes again.
    before_debug: Option<Level>,
    /// Lines that standard error did not take.
    lost: u64,
    /// The packet whose consequences are logged: where it came from, and whether an established peer is there.
    packet: Option<(IpAddr, bool)>,
}

impl Logger {
    /// A log to standard error (in the foreground) or to syslog, that keeps `capacity` messages.
    pub fn new(foreground: bool, level: Level, capacity: usize) -> Result<Logger, TryReserveError> {
        let sink = match foreground {
            true => Sink::Stderr { journal: stderr::is_journal() },
            false => Sink::Syslog { syslog: Syslog::new(Path::new(syslog::SOCKET)), starting: true },
        };
        let ring = Ring::new(capacity)?;
        Ok(Logger { sink, ring, limit: Limit::new(), level, before_debug: None, lost: 0, packet: None })
    }

    /// Writes a line, unless the level or the limit forbids it.
    pub fn log(&mut self, now: Instant, line: &LogLine) {
        if line.level > self.level {
            return;
        }
        let origin = Origin::of(line, self.packet);
        self.limit.debug = self.level == Level::Debug;
        if self.limit.admit(now, line, origin) {
            self.write(now, line, origin);
        }
    }

    /// Writes a remark.
    pub fn remark(&mut self, now: Instant, remark: &Remark) {
        self.log(now, &LogLine::remark(remark));
    }

    /// From now on what is logged is the consequence of a packet from this address, or of none; whether it is that of an
    /// established peer.
    pub fn caused_by(&mut self, packet: Option<(IpAddr, bool)>) {
        self.packet = packet;
    }

    fn write(&mut self, now: Instant, line: &LogLine, origin: Origin) {
        let time = clock::wall();
        match origin {
            Origin::Own => self.ring.push(time, line),
            Origin::Stranger(_) => self.ring.push_of_stranger(time, line),
        }
        let text = lines_of(line);
        let journal = match &mut self.sink {
            Sink::Stderr { journal } => Some(*journal),
            Sink::Syslog { syslog, starting } => {
                text.split('\n').for_each(|text| syslog.write(now, line.level, text));
                (*starting && line.level == Level::Error).then_some(false)
            }
        };
        if let Some(journal) = journal {
            let mut out = String::new();
            if self.lost > 0 {
                let lost = LogLine::remark(&Remark::LinesLost { count: self.lost });
                out.push_str(&on_stderr(time, lost.level, &lost.text, journal));
            }
            out.push_str(&on_stderr(time, line.level, &text, journal));
            match stderr::write(&out) {
                Ok(()) => self.lost = 0,
                Err(_) => self.lost += 1,
            }
        }
    }

    /// What another program that goes on with it has to know.
    pub fn state(&self) -> (Level, Option<Level>, &Ring) {
        (self.level, self.before_debug, &self.ring)
    }

    /// Goes on with the log of another program.
    pub fn resume(&mut self, level: Level, before_debug: Option<Level>, ring: Ring) {
        (self.level, self.before_debug, self.ring) = (level, before_debug, ring);
        self.started();
    }

    /// The start succeeded: from now on nobody reads our standard error, unless we are in the foreground.
    pub fn started(&mut self) {
        if let Sink::Syslog { starting, .. } = &mut self.sink {
            *starting = false;
        }
    }

    /// Tells what the limit has held back (with `all`, also what is not due yet), and sends what syslog did not
    /// take at once.
    pub fn report(&mut self, now: Instant, all: bool) {
        if let Sink::Syslog { syslog, .. } = &mut self.sink {
            syslog.flush(now);
        }
        for line in self.limit.report(now, all) {
            self.write(now, &line, Origin::of(&line, None));
        }
    }

    /// When [`report`](Logger::report) has something to do.
    pub fn next(&self, now: Instant) -> Option<Instant> {
        let waiting = match &self.sink {
            Sink::Syslog { syslog, .. } => syslog.next(now),
            Sink::Stderr { .. } => None,
        };
        self.limit.next().into_iter().chain(waiting).min()
    }

    /// The last words: waits a moment for a syslog that is slow.
    pub fn finish(&mut self) {
        const PAUSE: Duration = Duration::from_millis(10);
        for _ in 0..20 {
            let now = clock::now();
            self.report(now, true);
            if self.next(now).is_none() {
                return;
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// The messages kept in memory.
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Another `log-buffer`. A number that no address space holds cannot be reserved either.
    pub fn resize(&mut self, capacity: u64) -> Result<(), TryReserveError> {
        self.ring.resize(usize::try_from(capacity).unwrap_or(usize::MAX))
    }

    /// The level in force.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Another level; `USR2` begins anew.
    pub fn set_level(&mut self, level: Level) {
        self.level = level;
        self.before_debug = None;
    }

    /// `USR2`: debug on, or back to the level before. Returns the level in force.
    pub fn toggle_debug(&mut self) -> Level {
        match self.before_debug.take() {
            Some(level) => self.level = level,
            // Debug by configuration is switched off as well: to the default.
            None if self.level == Level::Debug => self.level = Level::Info,
            None => self.before_debug = Some(std::mem::replace(&mut self.level, Level::Debug)),
        }
        self.level
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Event;

    #[test]
    fn the_level_filters_and_usr2_toggles() {
        let now = clock::now();
        let mut logger = Logger::new(true, Level::Warn, 10).unwrap();
        logger.log(now, &LogLine::new(&Event::Start {}));
        assert_eq!(logger.ring().next_number(), 0);
        assert_eq!(logger.toggle_debug(), Level::Debug);
        logger.log(now, &LogLine::new(&Event::Start {}));
        assert_eq!(logger.ring().next_number(), 1);
        assert_eq!(logger.toggle_debug(), Level::Warn);
        logger.set_level(Level::Debug);
        assert_eq!(logger.toggle_debug(), Level::Info);
        assert_eq!(logger.toggle_debug(), Level::Debug);
    }

    #[test]
    fn the_journal_gets_the_level_as_a_number_and_no_time() {
        let text = "Can't open config file\n  /etc/l2tpd.conf: No such file or directory";
        assert_eq!(
            on_stderr(WallTime(0), Level::Error, text, true),
            "<3>Can't open config file\n<3>  /etc/l2tpd.conf: No such file or directory\n"
        );
        let plain = on_stderr(WallTime(0), Level::Warn, "one\n  two", false);
        let lines: Vec<&str> = plain.lines().collect();
        assert!(lines[0].starts_with("1970-") && lines[0].ends_with(" warn one"), "{plain}");
        assert!(lines[1].starts_with("1970-") && lines[1].ends_with(" warn   two"), "{plain}");
    }
}
