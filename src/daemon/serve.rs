//! What the admin socket's commands see and do, and the status that `USR1` writes to the log.

use std::ops::Range;
use std::time::Instant;

use super::admin_host::{Answer, Host, StreamEvent, Wanted};
use super::core::Daemon;
use crate::admin::display::{Display, Form};
use crate::admin::report::{Dropped, Identity, Interface, Overview, Source};
use crate::admin::request::Selection;
use crate::counters::Counters;
use crate::log::ring::Ring;
use crate::log::{Level, LogLine, Remark};
use crate::proto::snapshot::{SessionBrief, SessionSnapshot, TunnelBrief, TunnelSnapshot};
use crate::proto::{Command, CommandError};
use crate::sys::clock;

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
            identity: self.daemon.identity(),
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
        let of = |s: &SessionSnapshot| self.daemon.interface(&s.interface, s.bridge.as_deref());
        let interfaces = snapshot.sessions.iter().map(of).collect();
        Some((snapshot, interfaces))
    }
}

impl Daemon {
    fn identity(&self) -> Identity {
        let config = &self.config;
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

    fn interface(&self, name: &str, bridge: Option<&str>) -> Option<Interface> {
        let state = self.data.interface_state(name)?;
        Some(Interface {
            present: state.present,
            link_up: state.carrier,
            admin_up: state.up,
            mtu: state.mtu,
            data_plane: state.data_plane,
            why_not_bpf: state.why_not_bpf,
            bridge: state.bridge.and_then(|state| Some((bridge?.to_owned(), state.name()))),
            problem: state.problem,
            counters: self.data.counters(name).unwrap_or_default(),
        })
    }

    /// A tunnel that is disabled in the file has no interfaces before `start`.
    fn plan_for_start(&mut self, name: &str) {
        if let Some(tunnel) = self.tunnel(name).filter(|t| t.disabled && t.problem().is_none()).cloned() {
            self.plan_interfaces(&tunnel, |_| None);
        }
    }

    /// `USR1`: the status goes to the log, piece by piece.
    pub fn log_status(&mut self, now: Instant) {
        let source = View { daemon: self, now };
        self.status = Display::new(Form::Status, &Selection::All, &source).ok().map(Display::masked);
    }

    /// Writes the next piece of the status to the log.
    pub fn log_status_further(&mut self, now: Instant) {
        let Some(mut display) = self.status.take() else { return };
        let mut text = String::new();
        let step = display.step(&View { daemon: self, now }, &mut text);
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            self.log(now, &LogLine::remark(&Remark::Status { line: line.to_owned() }));
        }
        // When the configuration has changed there is nothing to go on with.
        if step.is_ok() && !display.is_over() {
            self.status = Some(display);
        }
    }
}

impl Host for Daemon {
    fn source(&self, now: Instant) -> Box<dyn Source + '_> {
        Box::new(View { daemon: self, now })
    }

    fn ring(&self) -> &Ring {
        self.logger.ring()
    }

    fn log(&mut self, line: LogLine) {
        self.logger.log(clock::now(), &line);
    }

    fn set_log_level(&mut self, level: Level) {
        self.logger.set_level(level);
    }

    fn command(&mut self, now: Instant, command: Command) -> Result<(), CommandError> {
        match &command {
            Command::Start(name) => self.plan_for_start(name),
            Command::ResetCounters => self.data.reset_counters(),
            Command::ClearTunnel(..)
            | Command::ClearPeer(..)
            | Command::ClearSession(..)
            | Command::ClearAll(_)
            | Command::Ping(_)
            | Command::FailOver(_)
            | Command::Stop(_) => {}
        }
        let result = self.engine.command(now, command);
        self.drain(now);
        result
    }

    fn ping_session(&mut self, interface: &str) -> Result<u32, Option<&'static str>> {
        self.engine.session_place(interface).ok_or(None)?;
        self.data.ping(interface).map_err(Some)
    }

    fn reload(&mut self, now: Instant, check: bool) -> Answer {
        self.begin_reload(now, check)
    }

    fn restart(&mut self) {
        self.restart = true;
    }

    fn take_events(&mut self) -> Vec<StreamEvent> {
        self.stream_events.drain(..).collect()
    }

    fn want_events(&mut self, wanted: Wanted) {
        self.wanted = wanted;
    }
}
