//! A reload that takes its time: a long file is read some lines in each turn of the loop, and many changes are taken over
//! some in each; frames and messages do not wait for it. The configuration in force stays until the new one is whole and
//! checked.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::admin_host::{Answer, Outcome, StreamEvent};
use super::core::Daemon;
use super::reading::{read, Readers, Reading, Refused};
use super::taking::{compare, Taking, PART};
use crate::config::diff::{diff, share, Change};
use crate::config::Config;
use crate::log::{Level, Remark};
use crate::sys;

/// Lines that are read in the turn in which a reload begins: those of most files, so that whoever asked has the answer at
/// once.
const FIRST_LINES: usize = 2000;
/// Lines that are read in each further turn.
const LINES: usize = 1000;

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
    /// What it says as the one in force does is in memory once.
    Shared(Config),
    /// These are its changes; the text for who asked.
    Compared(Config, Vec<Change>, String),
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

impl Reloads {
    /// Whether there is something to do.
    pub fn is_busy(&self) -> bool {
        self.running.is_some() || !self.waiting.is_empty() || self.trims
    }

    /// Reads the configuration again. With `check` nothing is done.
    pub fn begin(&mut self, now: Instant, daemon: &mut Daemon, check: bool) -> Answer {
        let number = self.last.wrapping_add(1);
        self.last = number;
        let asked = Asked { number, check };
        // The file may have changed since the reload that is under way has read it.
        if self.running.is_some() || !self.waiting.is_empty() {
            self.waiting.push_back(asked);
            return Answer::Later(number);
        }
        match self.start(now, daemon, asked) {
            Some(outcome) => Answer::Now(outcome),
            None => Answer::Later(number),
        }
    }

    /// `HUP`. One that waits already will do.
    pub fn begin_by_signal(&mut self, now: Instant, daemon: &mut Daemon) {
        if self.waiting.iter().all(|asked| asked.check) {
            let _ = self.begin(now, daemon, false); // it logs everything
        }
    }

    /// The same, at once; reloads that are under way are finished before.
    fn run(&mut self, now: Instant, daemon: &mut Daemon) -> Outcome {
        let number = match self.begin(now, daemon, false) {
            Answer::Now(outcome) => return outcome,
            Answer::Later(number) => number,
        };
        while self.is_busy() {
            let Some((done, outcome)) = self.go_on(now, daemon) else { continue };
            daemon.stream.push(StreamEvent::Reloaded(done, outcome.clone()));
            if done == number {
                return outcome;
            }
        }
        Err("the reload came to no end\n".to_owned())
    }

    /// Another program is to go on: the configuration in force becomes that of the file, whose text is kept for it.
    pub fn keep_text(&mut self, now: Instant, daemon: &mut Daemon) -> Result<(), String> {
        self.run(now, daemon)?;
        let file = &daemon.options.config;
        let (parsed, text) = read(file, Duration::ZERO, &daemon.config.system, Readers::Nobody)
            .map_err(|error| Refused::Unreadable(error).text(file))?;
        if !parsed.config.is_ok_and(|config| diff(&daemon.config, &config).is_empty()) {
            return Err(format!("{file} is being changed: try again"));
        }
        daemon.text = Some(text);
        Ok(())
    }

    /// Goes on with what is under way.
    pub fn turn(&mut self, now: Instant, daemon: &mut Daemon) {
        if let Some((number, outcome)) = self.go_on(now, daemon) {
            daemon.stream.push(StreamEvent::Reloaded(number, outcome));
        }
    }

    fn go_on(&mut self, now: Instant, daemon: &mut Daemon) -> Option<(u64, Outcome)> {
        if let Some((asked, stage)) = self.running.take() {
            let outcome = match stage {
                Stage::Reading(reading) => self.read(now, daemon, asked, *reading, LINES)?,
                Stage::Read(mut new) => {
                    share(&daemon.config, &mut new);
                    self.running = Some((asked, Stage::Shared(new)));
                    return None;
                }
                Stage::Shared(new) => self.compare(now, daemon, asked, new)?,
                Stage::Compared(new, changes, text) => {
                    let taking = Taking::begin(daemon, now, new, changes);
                    self.running = Some((asked, Stage::Taking(taking, text)));
                    return None;
                }
                Stage::Taking(taking, text) => self.take(now, daemon, asked, taking, text)?,
                Stage::Making(text) => {
                    daemon.data.make_interfaces();
                    self.end(now, daemon, asked, text)?
                }
            };
            return Some((asked.number, outcome));
        } else if std::mem::take(&mut self.trims) {
            sys::trim_memory();
        } else if let Some(asked) = self.waiting.pop_front() {
            return Some((asked.number, self.start(now, daemon, asked)?));
        }
        None
    }

    /// Reads the first lines; what came of it, if that were all.
    fn start(&mut self, now: Instant, daemon: &mut Daemon, asked: Asked) -> Option<Outcome> {
        if !asked.check {
            daemon.manager.reloading(now);
        }
        let with_settings = !asked.check && daemon.logger.level() == Level::Debug;
        let system = &daemon.config.system;
        match Reading::begin(&daemon.options.config, Duration::ZERO, system, with_settings) {
            Ok(reading) => self.read(now, daemon, asked, reading, FIRST_LINES),
            Err(error) => Some(refuse(now, daemon, asked, &Refused::Unreadable(error))),
        }
    }

    fn read(
        &mut self,
        now: Instant,
        daemon: &mut Daemon,
        asked: Asked,
        mut reading: Reading,
        lines: usize,
    ) -> Option<Outcome> {
        let Some(read) = reading.go_on(lines, Readers::Nobody) else {
            self.running = Some((asked, Stage::Reading(Box::new(reading))));
            return None;
        };
        self.trims = true;
        let parsed = match read {
            Ok(parsed) => parsed,
            Err(error) => return Some(refuse(now, daemon, asked, &Refused::Unreadable(error))),
        };
        let mut new = match parsed.config {
            Ok(config) => config,
            Err(errors) => return Some(refuse(now, daemon, asked, &Refused::Errors(errors))),
        };
        parsed.settings.iter().for_each(|setting| daemon.logger.log(now, &setting.to_line()));
        if lines != FIRST_LINES {
            self.running = Some((asked, Stage::Read(new)));
            return None;
        }
        share(&daemon.config, &mut new);
        self.compare(now, daemon, asked, new)
    }

    fn compare(&mut self, now: Instant, daemon: &mut Daemon, asked: Asked, new: Config) -> Option<Outcome> {
        let (changes, text) = compare(daemon, now, &new, asked.check);
        if asked.check {
            return Some(Ok(text));
        }
        if changes.len() > PART {
            self.running = Some((asked, Stage::Compared(new, changes, text)));
            return None;
        }
        let taking = Taking::begin(daemon, now, new, changes);
        self.take(now, daemon, asked, taking, text)
    }

    fn take(
        &mut self,
        now: Instant,
        daemon: &mut Daemon,
        asked: Asked,
        mut taking: Taking,
        text: String,
    ) -> Option<Outcome> {
        if taking.go_on(daemon, now) {
            self.running = Some((asked, Stage::Taking(taking, text)));
            return None;
        }
        daemon.data.make_interfaces();
        self.end(now, daemon, asked, text)
    }

    /// Who asked is told once the interfaces are there: what comes next may need them.
    fn end(&mut self, now: Instant, daemon: &mut Daemon, asked: Asked, text: String) -> Option<Outcome> {
        if daemon.data.makes_interfaces() {
            self.running = Some((asked, Stage::Making(text)));
            return None;
        }
        daemon.manager.ready(now);
        Some(Ok(text))
    }
}

fn refuse(now: Instant, daemon: &mut Daemon, asked: Asked, refused: &Refused) -> Outcome {
    let text = refused.text(&daemon.options.config);
    if !asked.check {
        refused.lines(&daemon.options.config).iter().for_each(|line| daemon.logger.log(now, line));
        daemon.logger.remark(now, &Remark::ReloadRefused {});
        daemon.manager.ready(now);
    }
    Err(text)
}
