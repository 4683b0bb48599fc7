//! The daemon with what goes on beside its tunnels: reloads, the state file, the status that `USR1` writes to the log, and
//! what the admin socket's commands see and do.

use std::io;
use std::ops::Range;
use std::time::Instant;

use super::admin_host::{Answer, Host, StreamEvent, WantedEvents};
use super::core::Daemon;
use super::reloading::Reloads;
use super::state_file::StateFiles;
use crate::admin::display::{Display, Form};
use crate::admin::report::{Dropped, Identity, Interface, Overview, Source};
use crate::admin::request::Selection;
use crate::config::Config;
use crate::counters::Counters;
use crate::log::ring::Ring;
use crate::log::{Level, LogLine, Remark};
use crate::proto::snapshot::{SessionBrief, SessionSnapshot, TunnelBrief, TunnelSnapshot};
use crate::proto::{Command, CommandError};
use crate::sys::{clock, error_text};

/// The daemon at a moment, as displays see it.
struct View<'a> {
    daemon: &'a Daemon,
    now: Instant,
}

impl Source for View<'_> {
    fn edition(&self) -> u64 {
        self.daemon.engine.edition()
    }

    fn overview(&self) -> Overview {
        Overview {
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            uptime: self.now.saturating_duration_since(self.daemon.started),
            time: clock::wall(),
            identity: identity(&self.daemon.config),
            log_level: self.daemon.logger.level(),
        }
    }

    fn dropped(&self) -> Dropped {
        let unmatched = self.daemon.data.unmatched();
        let mut drops = self.daemon.engine.drops();
        drops.version = drops.version.saturating_add(unmatched.version);
        let (from, others) = self.daemon.engine.dropped_from(self.now);
        let unmatched = Counters {
            rx_short: unmatched.short.saturating_add(unmatched.truncated),
            rx_closed: unmatched.unknown_session,
            ..Counters::default()
        };
        Dropped { drops, from, others, unmatched }
    }

    fn tunnels(&self) -> usize {
        self.daemon.engine.tunnel_count()
    }

    fn tunnel_place(&self, name: &str) -> Option<usize> {
        self.daemon.engine.tunnel_place(name)
    }

    fn session_place(&self, interface: &str) -> Option<(usize, usize)> {
        self.daemon.engine.session_place(interface)
    }

    fn tunnel(&self, tunnel: usize) -> Option<TunnelBrief<'_>> {
        self.daemon.engine.tunnel_brief(tunnel)
    }

    fn session(&self, tunnel: usize, session: usize) -> Option<SessionBrief<'_>> {
        self.daemon.engine.session_brief(tunnel, session)
    }

    fn counters(&self, tunnel: usize, session: usize) -> Counters {
        let session = self.daemon.engine.session_brief(tunnel, session);
        session.and_then(|session| self.daemon.data.counters(session.interface)).unwrap_or_default()
    }

    fn part(
        &self,
        tunnel: usize,
        sessions: Range<usize>,
    ) -> Option<(TunnelSnapshot, Vec<Option<Interface>>)> {
        let snapshot = self.daemon.engine.tunnel_snapshot(self.now, tunnel, sessions)?;
        let of = |s: &SessionSnapshot| self.daemon.data.interface_state(&s.interface);
        let interfaces = snapshot.sessions.iter().map(of).collect();
        Some((snapshot, interfaces))
    }
}

/// All that the loop drives.
pub struct Service {
    /// The tunnels and all that they need.
    pub daemon: Daemon,
    /// The configuration is being read again.
    pub reloads: Reloads,
    /// What outlasts a crash, if anything does.
    state_files: Option<StateFiles>,
    /// The status that is being written to the log.
    status: Option<Display>,
}

impl Service {
    /// A daemon, and nothing that goes on beside it.
    pub fn new(daemon: Daemon) -> Service {
        Service { daemon, reloads: Reloads::default(), state_files: None, status: None }
    }

    /// Runs the timers.
    pub fn timers(&mut self, now: Instant) {
        self.daemon.timers(now);
        self.reloads.turn(now, &mut self.daemon);
        self.log_status_further(now);
        self.daemon.manager.turn(now);
        self.write_state(now);
    }

    /// When there is something to do, if nothing else happens.
    pub fn next_timeout(&self, now: Instant) -> Option<Instant> {
        let at_once = (self.status.is_some() || self.reloads.is_busy()).then_some(now);
        let state = self.state_files.as_ref().and_then(|files| files.next(&self.daemon.engine));
        [at_once, state, self.daemon.next_timeout(now)].into_iter().flatten().min()
    }

    /// A tunnel that is disabled in the file has no interfaces before `start`.
    fn plan_for_start(&mut self, name: &str) {
        let tunnel = self.daemon.tunnel(name).filter(|t| t.disabled && t.problem().is_none());
        if let Some(tunnel) = tunnel.cloned() {
            self.daemon.plan_interfaces(&tunnel, |_| None);
        }
    }

    /// `USR1`: the status goes to the log, piece by piece.
    pub fn log_status(&mut self, now: Instant) {
        let source = View { daemon: &self.daemon, now };
        self.status = Display::new(Form::Status, &Selection::All, &source).ok().map(Display::masked);
    }

    /// Writes the next piece of the status to the log.
    pub fn log_status_further(&mut self, now: Instant) {
        let Some(mut display) = self.status.take() else { return };
        let mut text = String::new();
        let step = display.step(&View { daemon: &self.daemon, now }, &mut text);
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            self.daemon.logger.remark(now, &Remark::Status { line: line.to_owned() });
        }
        // When the configuration has changed there is nothing to go on with.
        if step.is_ok() && !display.is_over() {
            self.status = Some(display);
        }
    }

    /// The state files, opened while there are rights. To be called once the configuration is in force, and before the
    /// first timers run. `crashed`: they tell what was before; else it is known.
    pub fn begin_state_file(&mut self, now: Instant, opened: io::Result<StateFiles>, crashed: bool) {
        let Daemon { engine, config, .. } = &mut self.daemon;
        let result = opened.and_then(|mut files| {
            let said = files.read(now, config)?;
            for (tunnel, found) in said.into_iter().filter(|_| crashed) {
                engine.resume(now, &tunnel, found);
            }
            files.begin(now, engine)?;
            self.state_files = Some(files);
            Ok(())
        });
        if let Err(error) = result {
            self.give_up_state_file(now, &error);
        }
        self.daemon.drain(now);
    }

    /// Writes what has changed.
    fn write_state(&mut self, now: Instant) {
        let Daemon { engine, data, .. } = &mut self.daemon;
        let files = self.state_files.as_mut();
        if let Some(Err(error)) = files.map(|files| files.turn(now, engine, &|id| data.sequence(id))) {
            self.give_up_state_file(now, &error);
        }
    }

    /// What is in the files gets old: better nothing than that.
    fn give_up_state_file(&mut self, now: Instant, error: &io::Error) {
        self.daemon.engine.keep_no_records();
        if let Some(mut files) = self.state_files.take() {
            let _ = files.clear();
        }
        self.daemon.logger.remark(now, &Remark::StateFile { error: error_text(error) });
    }

    /// An orderly end.
    pub fn end_state_file(&mut self, now: Instant) {
        let cleared = self.state_files.take().map(|mut files| files.clear());
        if let Some(Err(error)) = cleared {
            self.daemon.logger.remark(now, &Remark::StateFile { error: error_text(&error) });
        }
    }
}

/// Who we are towards peers, as far as the tunnels say nothing else.
fn identity(config: &Config) -> Identity {
    let hostname_source = match config.hostname_given {
        true => "the configuration",
        false => "the system's host name at the start",
    };
    let derived = config.system.router_id;
    let (router_id, router_id_source) = match config.router_id {
        Some(id) => (Some(id), "the configuration".to_owned()),
        None if derived.kept => (Some(derived.id), derived.source.to_string()),
        None => (None, "each tunnel".to_owned()),
    };
    Identity {
        hostname: config.hostname.clone(),
        hostname_source: hostname_source.to_owned(),
        router_id,
        router_id_source,
    }
}

impl Host for Service {
    fn source(&self, now: Instant) -> Box<dyn Source + '_> {
        Box::new(View { daemon: &self.daemon, now })
    }

    fn ring(&self) -> &Ring {
        self.daemon.logger.ring()
    }

    fn log(&mut self, line: LogLine) {
        self.daemon.logger.log(clock::now(), &line);
    }

    fn set_log_level(&mut self, level: Level) {
        self.daemon.logger.set_level(level);
    }

    fn command(&mut self, now: Instant, command: Command) -> Result<(), CommandError> {
        match &command {
            Command::Start(name) => self.plan_for_start(name),
            Command::ResetCounters => self.daemon.data.reset_counters(),
            Command::ClearTunnel(..)
            | Command::ClearPeer(..)
            | Command::ClearSession(..)
            | Command::ClearAll(_)
            | Command::Ping(_)
            | Command::FailOver(_)
            | Command::Stop(_) => {}
        }
        let result = self.daemon.engine.command(now, command);
        self.daemon.drain(now);
        result
    }

    fn ping_session(&mut self, interface: &str) -> Result<u32, Option<&'static str>> {
        self.daemon.engine.session_place(interface).ok_or(None)?;
        self.daemon.data.ping(interface).map_err(Some)
    }

    fn reload(&mut self, now: Instant, check: bool) -> Answer {
        self.reloads.begin(now, &mut self.daemon, check)
    }

    fn restart(&mut self) {
        self.daemon.restart = true;
    }

    fn take_events(&mut self) -> Vec<StreamEvent> {
        let Daemon { stream, engine, .. } = &mut self.daemon;
        stream.take(|record| engine.tunnel_towards(record.path.remote).map(str::to_owned))
    }

    fn want_events(&mut self, wanted: WantedEvents) {
        self.daemon.stream.wanted = wanted;
    }
}
