//! The loop: one thread, one poll. Each turn does a bounded piece of everything that is ready and comes back at once
//! while something is left.

use std::io;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::os::fd::AsRawFd;

use super::admin_server::{self, AdminServer};
use super::commands;
use super::core::Daemon;
use super::datapath::FIRST_TOKEN;
use super::pace::Pace;
use crate::log::{Event, LogLine, Remark};
use crate::sys::signal::{self, Signals};
use crate::sys::{clock, error_text};

const SIGNALS: Token = Token(1);
/// Events taken from one poll.
const EVENTS: usize = 256;
/// How long the end may take: until then every peer should have acknowledged its StopCCN.
const PATIENCE: Duration = Duration::from_secs(5);

/// The loop's own things.
pub struct EventLoop {
    poll: Poll,
    signals: Signals,
    admin: AdminServer,
    /// When to end at the latest, once the end has begun.
    deadline: Option<Instant>,
    /// End now.
    at_once: bool,
}

impl EventLoop {
    /// A loop over what was opened at the start.
    pub fn new(poll: Poll, signals: Signals, admin: AdminServer) -> EventLoop {
        EventLoop { poll, signals, admin, deadline: None, at_once: false }
    }

    /// Runs until a signal ends it. Returns the exit status.
    pub fn run(mut self, daemon: &mut Daemon) -> i32 {
        let fd = self.signals.as_raw_fd();
        let registered = self.poll.registry().register(&mut SourceFd(&fd), SIGNALS, Interest::READABLE);
        let registered = registered.and_then(|()| daemon.commands.register(self.poll.registry()));
        let result = registered.and_then(|()| self.turns(daemon));
        let now = clock::now();
        if let Err(error) = &result {
            daemon.log(now, &LogLine::new(&Event::SelectError { error: error_text(error) }));
            self.begin_end(daemon, now);
        }
        daemon.hooks.kill_all(&mut daemon.commands);
        daemon.logger.report(now, true);
        daemon.log(now, &LogLine::new(&Event::Exit {}));
        // Answers to commands that came last, as far as they can be written at once.
        self.admin.turn(now, daemon);
        daemon.logger.finish();
        i32::from(result.is_err())
    }

    fn turns(&mut self, daemon: &mut Daemon) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        let mut more = true;
        // When there is something else to do than to carry frames.
        let mut next = Some(clock::now());
        let mut pace = Pace::new(clock::now());
        loop {
            let before = clock::now();
            let timeout = match more {
                true => Some(Duration::ZERO),
                false => next.map(|next| next.saturating_duration_since(before)),
            };
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                Ok(()) | Err(_) => {}
            }
            let mut signalled = false;
            let mut asked = false;
            for event in &events {
                match event.token() {
                    SIGNALS => signalled = true, // the pipe is read to its end below
                    commands::TOKEN => {
                        asked = true;
                        daemon.look_after_children = true;
                    }
                    token if admin_server::TOKENS.contains(&token.0) => {
                        asked = true;
                        self.admin.event(token);
                    }
                    token if token.0 >= FIRST_TOKEN => daemon.data.ready(token),
                    _ => {}
                }
            }
            let now = clock::now();
            pace.waited(before, now);
            while let Some(signal) = signalled.then(|| self.signals.take()).flatten() {
                self.signal(daemon, now, signal);
            }
            let turn = daemon.turn(now);
            more = turn.more;
            // Frames alone change nothing of the rest.
            if signalled || asked || turn.other_work || next.is_some_and(|next| next <= now) {
                daemon.look_at_routes(now);
                daemon.timers(now);
                daemon.children(now);
                daemon.logger.report(now, false);
                self.admin.turn(now, daemon);
                if self.is_over(daemon, now) {
                    return Ok(());
                }
                next = self.next(daemon, now);
                // What was sent may have failed, and so on.
                more |= daemon.data.has_events();
            }
            if !more && pace.rests(daemon.data.received_in_turn()) {
                clock::rest();
            }
        }
    }

    /// When there is something to do, unless something happens before.
    fn next(&self, daemon: &Daemon, now: Instant) -> Option<Instant> {
        [daemon.next_timeout(now), self.admin.next_deadline(), self.deadline].into_iter().flatten().min()
    }

    fn signal(&mut self, daemon: &mut Daemon, now: Instant, signal: i32) {
        if signal == signal::SIGCHLD {
            daemon.look_after_children = true;
            return;
        }
        daemon.log(now, &LogLine::new(&Event::ReceivedSignal { signal }));
        match signal {
            signal::SIGTERM | signal::SIGINT if self.deadline.is_some() => self.at_once = true,
            signal::SIGTERM | signal::SIGINT => self.begin_end(daemon, now),
            signal::SIGHUP if self.deadline.is_none() => {
                let _ = daemon.reload_config(now, false); // it has logged everything
            }
            signal::SIGUSR1 => daemon.log_status(now),
            signal::SIGUSR2 => {
                let level = daemon.logger.toggle_debug();
                daemon.log(now, &LogLine::remark(&Remark::LogLevel { level }));
            }
            _ => {}
        }
    }

    /// StopCCN to every peer.
    fn begin_end(&mut self, daemon: &mut Daemon, now: Instant) {
        daemon.manager.stopping(now);
        daemon.log(now, &LogLine::new(&Event::CleanupResources {}));
        daemon.engine.shutdown(now);
        daemon.drain(now);
        self.deadline = now.checked_add(PATIENCE);
    }

    /// Whether every peer has acknowledged our StopCCN and every event command has run, or the time is up.
    fn is_over(&self, daemon: &Daemon, now: Instant) -> bool {
        let Some(deadline) = self.deadline else { return false };
        self.at_once || now >= deadline || (daemon.engine.is_idle() && daemon.hooks.is_idle())
    }
}
