//! The loop: one thread, one poll. Each turn does a bounded piece of everything that is ready and comes back at once
//! while something is left.

use std::io;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::os::fd::AsRawFd;

use super::admin_server::{self, AdminServer};
use super::commands;
use super::datapath::FIRST_TOKEN;
use super::hand_over::{self, HandOver};
use super::pace::Pace;
use super::reloading::Reloads;
use super::restart_message as message;
use super::service::Service;
use super::state::Parts;
use super::{restarter, stand_in};
use crate::log::{Event, LogLine, Remark};
use crate::sys::passing::Post;
use crate::sys::pidfile::PidFile;
use crate::sys::signal::{self, Signals};
use crate::sys::{clock, daemonize, error_text};

const SIGNALS: Token = Token(1);
const KEEPER: Token = Token(5);
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
    /// The peers were told.
    orderly: bool,
    /// What `restart` needs.
    pub hand_over: Option<HandOver>,
    pub pid_file: Option<PidFile>,
    /// The process that keeps the pid for whoever started the daemon, where that is another one.
    pub keeper: Option<Keeper>,
}

/// The other side of [`stand_in`].
pub struct Keeper {
    post: Post,
}

impl Keeper {
    /// The process at the other end.
    pub fn new(post: Post) -> Keeper {
        Keeper { post }
    }
}

/// Why the loop has ended.
enum Ended {
    /// The daemon is to end.
    Over,
    /// The program at the other end goes on, which has this pid.
    HandedOver(Post, u32),
}

impl EventLoop {
    /// A loop over what was opened at the start.
    pub fn new(
        poll: Poll,
        signals: Signals,
        admin: AdminServer,
        hand_over: Option<HandOver>,
        pid_file: Option<PidFile>,
    ) -> EventLoop {
        let (deadline, at_once, orderly, keeper) = (None, false, false, None);
        EventLoop { poll, signals, admin, deadline, at_once, orderly, hand_over, pid_file, keeper }
    }

    fn register(&self, service: &mut Service) -> io::Result<()> {
        let registry = self.poll.registry();
        registry.register(&mut SourceFd(&self.signals.as_raw_fd()), SIGNALS, Interest::READABLE)?;
        service.daemon.commands.register(registry)?;
        self.hand_over.as_ref().map_or(Ok(()), |hand_over| hand_over.register(registry))?;
        let keeper = self.keeper.as_ref().map(|keeper| keeper.post.as_raw_fd());
        keeper.map_or(Ok(()), |fd| registry.register(&mut SourceFd(&fd), KEEPER, Interest::READABLE))
    }

    /// Runs until a signal ends it. Returns the exit status.
    pub fn run(mut self, service: &mut Service) -> i32 {
        let result = self.register(service).and_then(|()| self.turns(service));
        let result = match result {
            Ok(Ended::HandedOver(post, pid)) => self.leave(service, &post, pid),
            Ok(Ended::Over) => Ok(()),
            Err(error) => Err(error),
        };
        let now = clock::now();
        if let Err(error) = &result {
            service.daemon.logger.log(now, &LogLine::new(&Event::SelectError { error: error_text(error) }));
            self.begin_end(service, now);
        }
        if self.orderly {
            service.end_state_file(now);
        }
        service.daemon.hooks.kill_all(&mut service.daemon.commands);
        service.daemon.logger.report(now, true);
        service.daemon.logger.log(now, &LogLine::new(&Event::Exit {}));
        // Answers to commands that came last, as far as they can be written at once.
        self.admin.turn(now, service);
        service.daemon.logger.finish();
        let status = i32::from(result.is_err());
        if let Some(keeper) = &self.keeper {
            // If it is gone nobody wants to know.
            let _ = keeper.post.send(&[stand_in::END, u8::from(result.is_err())], &[]);
        }
        status
    }

    /// Another program goes on with everything: nothing is removed, and nobody is told that anything ends.
    fn leave(&mut self, service: &mut Service, post: &Post, pid: u32) -> ! {
        let now = clock::now();
        // Whoever waits for the end of this process, or sends it signals, finds it where nobody else is told.
        let stays =
            service.daemon.options.foreground && !service.daemon.manager.is_there() && self.keeper.is_none();
        let go = if stays { message::GO_KEPT } else { message::GO };
        // Those that came while the other one was asked; what stays passes them on itself.
        let signals = std::iter::from_fn(|| self.signals.take()).filter(|_| !stays);
        let signals = signals.filter(|signal| *signal != signal::SIGCHLD);
        let go: Vec<u8> = [go].into_iter().chain(signals.filter_map(|s| u8::try_from(s).ok())).collect();
        let gone = post.send(&go, &[]).is_err();
        self.admin.let_go();
        self.admin.turn(now, service);
        service.daemon.manager.main_process(now, pid);
        service.daemon.logger.finish();
        service.reloads = Reloads::default();
        service.daemon.forget();
        if stays && !gone {
            daemonize::end_fork(stand_in::stand_in(post, &mut self.signals));
        }
        daemonize::end_fork(i32::from(gone))
    }

    fn turns(&mut self, service: &mut Service) -> io::Result<Ended> {
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
            let (signalled, asked) = self.dispatch(service, &events);
            let now = clock::now();
            pace.waited(before, now);
            while let Some(signal) = signalled.then(|| self.signals.take()).flatten() {
                self.signal(service, now, signal);
            }
            let turn = service.daemon.turn(now);
            more = turn.more;
            // Frames alone change nothing of the rest.
            if signalled || asked || turn.other_work || next.is_some_and(|next| next <= now) {
                service.daemon.look_at_routes(now);
                service.timers(now);
                service.daemon.children(now);
                service.daemon.logger.report(now, false);
                self.admin.turn(now, service);
                if self.is_over(service, now) {
                    return Ok(Ended::Over);
                }
                if let Some((post, pid)) = self.hand_over(service, now) {
                    return Ok(Ended::HandedOver(post, pid));
                }
                next = self.next(service, now);
                // What was sent may have failed, and so on.
                more |= service.daemon.data.has_events();
            }
            if !more && pace.rests(service.daemon.data.received_in_turn()) {
                clock::rest();
            }
        }
    }

    /// Tells those that the events are for. Whether a signal came, whose pipe is to be read to its end, and whether there
    /// is something else to do than to carry frames.
    fn dispatch(&mut self, service: &mut Service, events: &Events) -> (bool, bool) {
        let (mut signalled, mut asked) = (false, false);
        for event in events {
            match event.token() {
                SIGNALS => signalled = true,
                token if token.0 >= FIRST_TOKEN => service.daemon.data.ready(token),
                token => {
                    asked = true;
                    match token {
                        commands::TOKEN => service.daemon.look_after_children = true,
                        KEEPER => self.ask_keeper(service),
                        token if admin_server::TOKENS.contains(&token.0) => self.admin.event(token),
                        _ => {} // the restarter and its program are asked in their turn
                    }
                }
            }
        }
        (signalled, asked)
    }

    /// When there is something to do, unless something happens before.
    fn next(&self, service: &Service, now: Instant) -> Option<Instant> {
        let hand_over = self.hand_over.as_ref().and_then(HandOver::next);
        [service.next_timeout(now), self.admin.next_deadline(), self.deadline, hand_over]
            .into_iter()
            .flatten()
            .min()
    }

    /// Goes on with a `restart`, if there is one: the program that goes on in place of this one.
    fn hand_over(&mut self, service: &mut Service, now: Instant) -> Option<(Post, u32)> {
        let parts = Parts {
            admin: &self.admin,
            pid_file: self.pid_file.as_ref(),
            keeper: self.keeper.as_ref().map(|keeper| &keeper.post),
        };
        match &mut self.hand_over {
            Some(hand_over) if self.deadline.is_none() => {
                hand_over.turn(now, service, &parts, self.poll.registry())
            }
            Some(_) => None,
            None => {
                if std::mem::take(&mut service.daemon.restart) {
                    hand_over::refuse(now, &mut service.daemon, restarter::GONE);
                }
                None
            }
        }
    }

    /// The process that keeps the pid has got a signal, or has ended.
    fn ask_keeper(&mut self, service: &mut Service) {
        let now = clock::now();
        while let Some(keeper) = &self.keeper {
            match keeper.post.take() {
                Ok(None) => return,
                Ok(Some((octets, _))) => {
                    if let [stand_in::SIGNAL, signal] = octets.as_slice() {
                        self.signal(service, now, i32::from(*signal));
                    }
                }
                // It was killed, and so is what it stands for.
                Err(_) => {
                    (self.keeper, self.at_once) = (None, true);
                    self.deadline = Some(now);
                }
            }
        }
    }

    /// Does what a signal asks for: see SIGNALS in l2tpd(8).
    pub fn signal(&mut self, service: &mut Service, now: Instant, signal: i32) {
        if signal == signal::SIGCHLD {
            service.daemon.look_after_children = true;
            return;
        }
        service.daemon.logger.log(now, &LogLine::new(&Event::ReceivedSignal { signal }));
        match signal {
            signal::SIGTERM | signal::SIGINT if self.deadline.is_some() => self.at_once = true,
            signal::SIGTERM | signal::SIGINT => self.begin_end(service, now),
            signal::SIGHUP if self.deadline.is_none() => {
                service.reloads.begin_by_signal(now, &mut service.daemon);
            }
            signal::SIGUSR1 => service.log_status(now),
            signal::SIGUSR2 => {
                let level = service.daemon.logger.toggle_debug();
                service.daemon.logger.remark(now, &Remark::LogLevel { level });
            }
            _ => {}
        }
    }

    /// StopCCN to every peer.
    fn begin_end(&mut self, service: &mut Service, now: Instant) {
        service.daemon.manager.stopping(now);
        service.reloads = Reloads::default();
        service.daemon.logger.log(now, &LogLine::new(&Event::CleanupResources {}));
        service.daemon.engine.shutdown(now);
        service.daemon.drain(now);
        self.orderly = true;
        self.deadline = now.checked_add(PATIENCE);
    }

    /// Whether every peer has acknowledged our StopCCN and every event command has run, or the time is up.
    fn is_over(&self, service: &Service, now: Instant) -> bool {
        let Some(deadline) = self.deadline else { return false };
        self.at_once || now >= deadline || (service.daemon.engine.is_idle() && service.daemon.hooks.is_idle())
    }
}
