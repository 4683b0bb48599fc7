//! What the admin socket's commands see and do, and the status that `USR1` writes to the log.

use std::time::Instant;

use super::admin_host::{Host, StreamEvent, Wanted};
use super::core::Daemon;
use crate::admin::report::{Identity, Interface};
use crate::admin::{show, Report};
use crate::counters::Counters;
use crate::log::ring::Ring;
use crate::log::{Level, Line, Remark};
use crate::proto::{Command, CommandError};
use crate::sys::clock;

impl Daemon {
    /// Everything that is shown.
    fn build_report(&self, now: Instant) -> Report {
        let unmatched = self.data.unmatched();
        let mut snapshot = self.engine.snapshot(now);
        snapshot.drops.version = snapshot.drops.version.saturating_add(unmatched.version);
        let sessions = self.config.tunnels.iter().flat_map(|t| &t.sessions);
        Report {
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            uptime: now.saturating_duration_since(self.started),
            time: clock::wall(),
            identity: self.identity(),
            log_level: self.logger.level(),
            snapshot,
            interfaces: sessions
                .filter_map(|s| {
                    Some((s.interface.clone(), self.interface(&s.interface, s.bridge.as_deref())?))
                })
                .collect(),
            unmatched: Counters {
                rx_short: unmatched.short.saturating_add(unmatched.truncated),
                rx_closed: unmatched.unknown_session,
                ..Counters::default()
            },
        }
    }

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
            bridge: state.bridge.and_then(|state| Some((bridge?.to_owned(), state.name()))),
            problem: state.problem,
            counters: self.data.counters(name).unwrap_or_default(),
        })
    }

    /// A tunnel that is disabled in the file has no interfaces before `start`.
    fn make_interfaces(&mut self, now: Instant, name: &str) {
        if let Some(tunnel) = self.tunnel(name).filter(|t| t.disabled && t.problem().is_none()).cloned() {
            self.configure_interfaces(now, &tunnel, &[]);
        }
    }

    /// `USR1`.
    pub fn log_status(&mut self, now: Instant) {
        let status = show::status_for_log(&self.build_report(now));
        for line in status.lines().filter(|line| !line.trim().is_empty()) {
            self.log(now, &Line::remark(&Remark::Status { line: line.to_owned() }));
        }
    }
}

impl Host for Daemon {
    fn report(&mut self, now: Instant) -> Report {
        self.build_report(now)
    }

    fn ring(&self) -> &Ring {
        self.logger.ring()
    }

    fn log(&mut self, line: Line) {
        self.logger.log(clock::now(), &line);
    }

    fn set_log_level(&mut self, level: Level) {
        self.logger.set_level(level);
    }

    fn command(&mut self, now: Instant, command: Command) -> Result<(), CommandError> {
        match &command {
            Command::Start(name) => self.make_interfaces(now, name),
            Command::ResetCounters => self.data.reset_counters(),
            Command::ClearTunnel(..)
            | Command::ClearPeer(..)
            | Command::ClearSession(..)
            | Command::ClearAll(_)
            | Command::Stop(_) => {}
        }
        let result = self.engine.command(now, command);
        self.drain(now);
        result
    }

    fn reload(&mut self, now: Instant, check: bool) -> Result<String, String> {
        self.reload_config(now, check)
    }

    fn take_events(&mut self) -> Vec<StreamEvent> {
        self.stream_events.drain(..).collect()
    }

    fn want_events(&mut self, wanted: Wanted) {
        self.wanted = wanted;
    }
}
