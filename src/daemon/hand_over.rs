//! `restart`, where a program ends: the program file is started again, and goes on with everything. It is given the state
//! twice. First while all goes on here, to see whether it understands it: if not, nothing has happened. Then for good,
//! while frames wait in the kernel's queues; only when it says that it is ready does this one end. Whatever fails or
//! takes too long before that leaves this one as it was.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use super::admin_host::StreamEvent;
use super::core::Daemon;
use super::reloading::Reloads;
use super::restart_message as message;
use super::restarter::{Answer, Restarter};
use super::service::Service;
use super::state::{self, Parts};
use crate::log::Remark;
use crate::sys::passing::{self, Post, AT_ONCE};
use crate::sys::{clock, error_text};

/// The mio token of the connection to the other program.
pub const TOKEN: Token = Token(4);
/// How long that program may take to start, and to look at the state.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take for good, and as much more for each descriptor, of which each interface has one: so long frames wait
/// where it hangs then. Some tens of microseconds for each were seen.
const STILL: Duration = Duration::from_millis(500);
const STILL_EACH: Duration = Duration::from_micros(200);

/// Where a restart stands.
#[derive(Debug, Default)]
enum Stage {
    #[default]
    None,
    /// The program was asked for, and says something by then.
    Starting(Instant),
    /// It has started, and reads the configuration.
    Beginning(Post, Instant),
    /// It looks at the state.
    Looking(Post, Instant),
    /// It understands it; here something has to come to rest by then.
    Understood(Post, Instant),
}

/// The restarts of a daemon.
#[derive(Debug)]
pub struct HandOver {
    restarter: Restarter,
    stage: Stage,
}

impl HandOver {
    /// Nothing was asked for yet.
    pub fn new(restarter: Restarter) -> HandOver {
        HandOver { restarter, stage: Stage::None }
    }

    /// Tells the loop of answers.
    pub fn register(&self, registry: &Registry) -> io::Result<()> {
        self.restarter.register(registry)
    }

    /// When something has taken too long.
    pub fn next(&self) -> Option<Instant> {
        match &self.stage {
            Stage::None => None,
            Stage::Starting(at) | Stage::Beginning(_, at) | Stage::Looking(_, at) => Some(*at),
            // What it waits for tells nobody; it comes within milliseconds.
            Stage::Understood(_, at) => {
                let soon = clock::now() + Duration::from_millis(5);
                Some(soon.min(*at))
            }
        }
    }

    /// Goes on with a restart. The other program, if everything is its own from now on.
    pub fn turn(
        &mut self,
        now: Instant,
        service: &mut Service,
        parts: &Parts<'_>,
        registry: &Registry,
    ) -> Option<(Post, u32)> {
        let Service { daemon, reloads, .. } = service;
        if std::mem::take(&mut daemon.restart) && matches!(self.stage, Stage::None) {
            daemon.logger.remark(now, &Remark::RestartAsked {});
            // What was still to be said of one before.
            while self.restarter.answer().is_some() {}
            self.stage = Stage::Starting(now + PATIENCE);
            let started = reloads.keep_text(now, daemon);
            if let Err(why) = started.and_then(|()| self.restarter.start().map_err(|e| error_text(&e))) {
                self.fail(now, daemon, &why);
            }
        }
        if matches!(self.stage, Stage::None) {
            return None; // no call of the kernel in a turn without a restart
        }
        while let Some(answer) = self.restarter.answer() {
            match (answer, std::mem::take(&mut self.stage)) {
                (Answer::Started(post), Stage::Starting(at)) => {
                    let registered =
                        registry.register(&mut SourceFd(&post.as_raw_fd()), TOKEN, Interest::READABLE);
                    self.stage = Stage::Beginning(post, at);
                    if let Err(error) = registered {
                        self.fail(now, daemon, &error_text(&error));
                    }
                }
                // Its own words come first.
                (Answer::Failed(why), Stage::Beginning(post, _) | Stage::Looking(post, _)) => {
                    let said = post.take().ok().flatten().and_then(|(octets, _)| message::refusal(&octets));
                    self.fail(now, daemon, &said.unwrap_or(why));
                }
                (Answer::Failed(why), Stage::Starting(_) | Stage::Understood(..)) => {
                    self.fail(now, daemon, &why);
                }
                // The end of one that has failed already.
                (Answer::Started(_) | Answer::Failed(_), stage) => self.stage = stage,
            }
        }
        let result = match std::mem::take(&mut self.stage) {
            Stage::None => return None, // it has failed
            Stage::Starting(at) => self.starting(now, at).map(|()| None),
            Stage::Beginning(post, at) => self.beginning(now, daemon, parts, post, at).map(|()| None),
            Stage::Looking(post, at) => self.looking(now, post, at).map(|()| None),
            Stage::Understood(post, at) => self.understood(now, (daemon, reloads), parts, post, at),
        };
        match result {
            Ok(over) => over,
            Err(why) => {
                self.fail(now, daemon, &why);
                None
            }
        }
    }

    fn starting(&mut self, now: Instant, at: Instant) -> Result<(), String> {
        self.stage = Stage::Starting(at);
        in_time(now, at)
    }

    /// It says that it has started, and gets the state to look at.
    fn beginning(
        &mut self,
        now: Instant,
        daemon: &Daemon,
        parts: &Parts<'_>,
        post: Post,
        at: Instant,
    ) -> Result<(), String> {
        match said(&post)? {
            None => {
                self.stage = Stage::Beginning(post, at);
                in_time(now, at)
            }
            Some(message::READY) => {
                let (file, _) = sealed(now, daemon, parts)?;
                post.send(&[message::LOOK], &[file.as_raw_fd()]).map_err(|error| error_text(&error))?;
                self.stage = Stage::Looking(post, now + PATIENCE);
                Ok(())
            }
            Some(_) => Err("it says something else than expected".to_owned()),
        }
    }

    fn looking(&mut self, now: Instant, post: Post, at: Instant) -> Result<(), String> {
        match said(&post)? {
            None => {
                self.stage = Stage::Looking(post, at);
                in_time(now, at)
            }
            Some(message::UNDERSTOOD) => {
                self.stage = Stage::Understood(post, now + PATIENCE);
                Ok(())
            }
            Some(_) => Err("it says something else than expected".to_owned()),
        }
    }

    /// Hands everything over, if nothing is half done at this moment.
    fn understood(
        &mut self,
        now: Instant,
        (daemon, reloads): (&mut Daemon, &Reloads),
        parts: &Parts<'_>,
        post: Post,
        at: Instant,
    ) -> Result<Option<(Post, u32)>, String> {
        let hooks = (!daemon.hooks.is_idle()).then_some("event commands are running");
        let reload = reloads.is_busy().then_some("the configuration is being read");
        let busy = daemon.data.is_busy().or(hooks).or(reload);
        if let Some(why) = busy {
            self.stage = Stage::Understood(post, at);
            return in_time(now, at).map(|()| None).map_err(|_| why.to_owned());
        }
        let begin = clock::now();
        daemon.data.settle(begin);
        let (file, descriptors) = sealed(begin, daemon, parts)?;
        let text = |error: io::Error| match error.kind() {
            io::ErrorKind::TimedOut => "it takes too long to take over".to_owned(),
            io::ErrorKind::UnexpectedEof => "it ended when it was to take over".to_owned(),
            _ => error_text(&error),
        };
        for some in descriptors.chunks(AT_ONCE) {
            post.send(&[message::DESCRIPTORS], some).map_err(text)?;
        }
        post.send(&[message::TAKE], &[file.as_raw_fd()]).map_err(text)?;
        let each = STILL_EACH * u32::try_from(descriptors.len()).unwrap_or(u32::MAX);
        let (octets, _) = post.receive(STILL + each).map_err(text)?;
        let Some(pid) = message::taken(&octets) else {
            return Err(message::refusal(&octets).unwrap_or_else(|| "it does not take over".to_owned()));
        };
        let still = clock::now().saturating_duration_since(begin);
        let milliseconds = still.as_micros().div_ceil(100);
        let (whole, tenths) = (milliseconds / 10, milliseconds % 10);
        let time = format!("{whole}.{tenths} ms");
        let text = format!("process {pid} goes on; frames waited for {time}\n");
        daemon.logger.remark(now, &Remark::HandedOver { pid, delay: time });
        daemon.stream.push(StreamEvent::Restart(Ok(text)));
        Ok(Some((post, pid)))
    }

    /// Everything goes on as it was.
    fn fail(&mut self, now: Instant, daemon: &mut Daemon, why: &str) {
        // Its connection closes, and it ends by itself; one that hangs does not.
        self.stage = Stage::None;
        self.restarter.kill();
        daemon.text = None;
        refuse(now, daemon, why);
    }
}

/// Tells everybody why there is no restart.
pub fn refuse(now: Instant, daemon: &mut Daemon, why: &str) {
    let why = why.trim_end().to_owned();
    daemon.logger.remark(now, &Remark::NotHandedOver { why: why.clone() });
    let text = format!("nobody took over: {why}\n");
    daemon.stream.push(StreamEvent::Restart(Err(text)));
}

fn in_time(now: Instant, at: Instant) -> Result<(), String> {
    match now < at {
        true => Ok(()),
        false => Err(format!("it has said nothing for {} s", PATIENCE.as_secs())),
    }
}

/// What the other program says, if it does; an error is its refusal.
fn said(post: &Post) -> Result<Option<u8>, String> {
    match post.take() {
        Ok(None) => Ok(None),
        Ok(Some((octets, _))) => match message::refusal(&octets) {
            Some(why) => Err(why),
            None => Ok(octets.first().copied()),
        },
        // How it ended is told by who started it.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error_text(&error)),
    }
}

/// The state as it is now, in memory that nobody can change, and the descriptors.
fn sealed(now: Instant, daemon: &Daemon, parts: &Parts<'_>) -> Result<(std::fs::File, Vec<RawFd>), String> {
    let (octets, descriptors) = state::save(now, daemon, parts)?;
    let file = passing::sealed(&octets).map_err(|error| error_text(&error))?;
    Ok((file, descriptors))
}
