//! A reload that takes its time: a long file is read some lines in each turn of the loop, and many changes are taken over
//! some in each; frames and messages do not wait for it. The configuration in force stays until the new one is whole and
//! checked.

use std::collections::VecDeque;
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::admin_host::StreamEvent;
use super::confine;
use super::core::Daemon;
use super::reload::{Readers, Refused, Taking, LONGEST};
use crate::config::diff::Change;
use crate::config::parse::Parsing;
use crate::config::{Config, Defaults, Parsed};
use crate::log::{Level, LogLine, Remark};
use crate::sys::{self, file, privilege, trust};
use crate::wiped::{self, Wiped};

/// Lines that are read in the turn in which a reload begins: those of most files, so that whoever asked has the answer at
/// once.
const FIRST_LINES: usize = 2000;
/// Lines that are read in each further turn.
const LINES: usize = 1000;

/// A configuration file that is being read.
pub struct Reading {
    path: PathBuf,
    found: Metadata,
    parsing: Parsing,
}

impl Reading {
    /// Opens a file and takes its text, and waits no longer than `patience` for one that is a pipe. Refuses one that others
    /// than root and who started us may have written: its commands are run.
    pub fn begin(
        file: &str,
        patience: Duration,
        system: &Defaults,
        with_settings: bool,
    ) -> io::Result<Reading> {
        let path = Path::new(file);
        let opened = trust::open(path)?;
        let found = trust::file_of(path, &opened)?;
        let text = file::read_opened(&opened, LONGEST, patience)?;
        let parsing = Parsing::new(text, system, with_settings);
        Ok(Reading { path: path.to_owned(), found, parsing })
    }

    /// Reads at most so many lines. What the file says, once that was all; refuses one with secrets in it that others may
    /// read.
    pub fn go_on(&mut self, lines: usize, readers: Readers) -> Option<io::Result<Parsed>> {
        let parsed = self.parsing.go_on(lines);
        wiped::wipe_stack();
        parsed.map(|parsed| self.check(readers, &parsed).map(|()| parsed))
    }

    fn check(&self, readers: Readers, parsed: &Parsed) -> io::Result<()> {
        let Ok(config) = &parsed.config else { return Ok(()) };
        if config.holds_secrets() {
            // A daemon that runs looks nobody up.
            let user = if readers == Readers::OfFile { confine::user(config) } else { None };
            let group = user.and_then(|name| privilege::user(&name).ok()).map(|user| user.gid);
            trust::secret(&self.path, &self.found, group)?;
        }
        Ok(())
    }

    /// The text of the file.
    pub fn into_text(self) -> Wiped {
        self.parsing.into_text()
    }
}

/// A reload that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Asked {
    number: u64,
    /// Only what it would do is wanted.
    check: bool,
}

/// How far a reload has come.
enum Stage {
    /// The file is being read.
    Reading(Box<Reading>),
    /// It has no errors.
    Read(Config),
    /// It is being taken over; the text for who asked.
    Taking(Taking, String),
    /// Its interfaces are being made.
    Making(String),
}

/// The reload that is under way, and those that were asked for meanwhile.
#[derive(Default)]
pub struct Reloads {
    running: Option<(Asked, Stage)>,
    waiting: VecDeque<Asked>,
    last: u64,
    /// Memory was given back.
    trims: bool,
}

/// What came of a reload: for who asked, what changed, or every error.
pub type Outcome = Result<String, String>;

/// The answer to who asks for a reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is done.
    Now(Outcome),
    /// [`StreamEvent::Reloaded`] with this number will tell.
    Later(u64),
}

impl Reloads {
    /// Whether there is something to do.
    pub fn is_busy(&self) -> bool {
        self.running.is_some() || !self.waiting.is_empty() || self.trims
    }
}

impl Daemon {
    /// Reads the configuration again. With `check` nothing is done.
    pub fn begin_reload(&mut self, now: Instant, check: bool) -> Answer {
        let number = self.reloads.last.wrapping_add(1);
        self.reloads.last = number;
        let asked = Asked { number, check };
        // The file may have changed since the reload that is under way has read it.
        if self.reloads.running.is_some() || !self.reloads.waiting.is_empty() {
            self.reloads.waiting.push_back(asked);
            return Answer::Later(number);
        }
        match self.start_reload(now, asked) {
            Some(outcome) => Answer::Now(outcome),
            None => Answer::Later(number),
        }
    }

    /// `HUP`. One that waits already will do.
    pub fn reload_by_signal(&mut self, now: Instant) {
        if self.reloads.waiting.iter().all(|asked| asked.check) {
            let _ = self.begin_reload(now, false); // it logs everything
        }
    }

    /// The same, at once; reloads that are under way are finished before.
    pub fn reload_at_once(&mut self, now: Instant) -> Outcome {
        let number = match self.begin_reload(now, false) {
            Answer::Now(outcome) => return outcome,
            Answer::Later(number) => number,
        };
        while self.reloads.is_busy() {
            let Some((done, outcome)) = self.go_on_with_reload(now) else { continue };
            self.stream_event(StreamEvent::Reloaded(done, outcome.clone()));
            if done == number {
                return outcome;
            }
        }
        Err("the reload came to no end\n".to_owned())
    }

    /// Goes on with what is under way.
    pub fn reload_further(&mut self, now: Instant) {
        if let Some((number, outcome)) = self.go_on_with_reload(now) {
            self.stream_event(StreamEvent::Reloaded(number, outcome));
        }
    }

    fn go_on_with_reload(&mut self, now: Instant) -> Option<(u64, Outcome)> {
        if let Some((asked, stage)) = self.reloads.running.take() {
            let outcome = match stage {
                Stage::Reading(reading) => self.read_further(now, asked, *reading, LINES)?,
                Stage::Read(new) => self.begin_change(now, asked, new)?,
                Stage::Taking(taking, text) => self.change_further(now, asked, taking, text)?,
                Stage::Making(text) => {
                    self.data.make_interfaces();
                    self.end_change(now, asked, text)?
                }
            };
            return Some((asked.number, outcome));
        } else if std::mem::take(&mut self.reloads.trims) {
            sys::trim_memory();
        } else if let Some(asked) = self.reloads.waiting.pop_front() {
            return Some((asked.number, self.start_reload(now, asked)?));
        }
        None
    }

    /// Reads the first lines; what came of it, if that were all.
    fn start_reload(&mut self, now: Instant, asked: Asked) -> Option<Outcome> {
        if !asked.check {
            self.manager.reloading(now);
        }
        let with_settings = !asked.check && self.logger.level() == Level::Debug;
        let system = &self.config.system;
        match Reading::begin(&self.options.config, Duration::ZERO, system, with_settings) {
            Ok(reading) => self.read_further(now, asked, reading, FIRST_LINES),
            Err(error) => Some(self.refuse(now, asked, Refused::Unreadable(error))),
        }
    }

    fn read_further(
        &mut self,
        now: Instant,
        asked: Asked,
        mut reading: Reading,
        lines: usize,
    ) -> Option<Outcome> {
        let Some(read) = reading.go_on(lines, Readers::Nobody) else {
            self.reloads.running = Some((asked, Stage::Reading(Box::new(reading))));
            return None;
        };
        self.reloads.trims = true;
        let parsed = match read {
            Ok(parsed) => parsed,
            Err(error) => return Some(self.refuse(now, asked, Refused::Unreadable(error))),
        };
        let new = match parsed.config {
            Ok(config) => config,
            Err(errors) => return Some(self.refuse(now, asked, Refused::Errors(errors))),
        };
        parsed.settings.iter().for_each(|setting| self.logger.log(now, &setting.to_line()));
        if lines != FIRST_LINES {
            self.reloads.running = Some((asked, Stage::Read(new)));
            return None;
        }
        self.begin_change(now, asked, new)
    }

    fn refuse(&mut self, now: Instant, asked: Asked, refused: Refused) -> Outcome {
        let file = &self.options.config;
        if !asked.check {
            refused.lines(file).iter().for_each(|line| self.logger.log(now, line));
            self.logger.log(now, &LogLine::remark(&Remark::ReloadRefused {}));
            self.manager.ready(now);
        }
        Err(refused.text(&self.options.config))
    }

    fn begin_change(&mut self, now: Instant, asked: Asked, mut new: Config) -> Option<Outcome> {
        let (changes, text) = self.compare(now, &mut new, asked.check);
        if asked.check {
            return Some(Ok(text));
        }
        let taking = self.begin_to_take(now, new, changes);
        self.change_further(now, asked, taking, text)
    }

    fn change_further(
        &mut self,
        now: Instant,
        asked: Asked,
        mut taking: Taking,
        text: String,
    ) -> Option<Outcome> {
        if self.go_on_taking(now, &mut taking) {
            self.reloads.running = Some((asked, Stage::Taking(taking, text)));
            return None;
        }
        self.data.make_interfaces();
        self.end_change(now, asked, text)
    }

    /// Who asked is told once the interfaces are there: what comes next may need them.
    fn end_change(&mut self, now: Instant, asked: Asked, text: String) -> Option<Outcome> {
        if self.data.makes_interfaces() {
            self.reloads.running = Some((asked, Stage::Making(text)));
            return None;
        }
        self.manager.ready(now);
        Some(Ok(text))
    }

    /// Takes over another configuration, of which nobody waits to hear.
    pub fn change_to(&mut self, now: Instant, new: Config, changes: Vec<Change>) {
        let mut taking = self.begin_to_take(now, new, changes);
        while self.go_on_taking(now, &mut taking) {}
    }
}
