//! What the admin socket's commands see and do, and the status that `USR1` writes to the log.

use std::net::IpAddr;
use std::time::Instant;

use super::core::Daemon;
use super::host::{Host, News, Wanted};
use crate::admin::report::Interface;
use crate::admin::{show, Report};
use crate::counters::Counters;
use crate::log::limit::STATUS;
use crate::log::ring::Ring;
use crate::log::{Level, Line};
use crate::proto::CommandError;
use crate::sys::clock;

impl Daemon {
    /// Everything that is shown.
    fn build_report(&self, now: Instant) -> Report {
        let strays = self.data.strays();
        let mut snapshot = self.engine.snapshot(now);
        snapshot.drops.version = snapshot.drops.version.saturating_add(strays.version);
        let sessions = self.config.tunnels.iter().flat_map(|t| &t.sessions);
        Report {
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            uptime: now.saturating_duration_since(self.started),
            time: clock::wall(),
            log_level: self.logger.level(),
            snapshot,
            interfaces: sessions
                .filter_map(|s| {
                    Some((s.interface.clone(), self.interface(&s.interface, s.bridge.as_deref())?))
                })
                .collect(),
            strays: Counters {
                rx_short: strays.short.saturating_add(strays.truncated),
                rx_closed: strays.unknown_session,
                ..Counters::default()
            },
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
            counters: self.data.counters(name).unwrap_or_default(),
        })
    }

    /// `USR1`.
    pub fn log_status(&mut self, now: Instant) {
        let status = show::status_for_log(&self.build_report(now));
        for line in status.lines().filter(|line| !line.trim().is_empty()) {
            self.log(now, &Line::remark(Level::Info, STATUS, line));
        }
    }

    /// A command to the engine, and what comes of it.
    fn command(
        &mut self,
        now: Instant,
        command: impl FnOnce(&mut crate::proto::Engine) -> Result<(), CommandError>,
    ) -> Result<(), CommandError> {
        let result = command(&mut self.engine);
        self.drain(now);
        result
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

    fn clear_tunnel(&mut self, now: Instant, name: &str, result: Option<u16>) -> Result<(), CommandError> {
        self.command(now, |engine| engine.clear_tunnel(now, name, result))
    }

    fn clear_peer(&mut self, now: Instant, peer: IpAddr, result: Option<u16>) -> Result<(), CommandError> {
        self.command(now, |engine| engine.clear_peer(now, peer, result))
    }

    fn clear_session(&mut self, now: Instant, name: &str, result: Option<u16>) -> Result<(), CommandError> {
        self.command(now, |engine| engine.clear_session(now, name, result))
    }

    fn clear_all(&mut self, now: Instant, result: Option<u16>) -> Result<(), CommandError> {
        self.command(now, |engine| engine.clear_all(now, result))
    }

    fn start(&mut self, now: Instant, tunnel: &str) -> Result<(), CommandError> {
        // A tunnel that is disabled in the file has no interfaces yet.
        if let Some(tunnel) = self.tunnel(tunnel).filter(|t| t.disabled && t.problem().is_none()).cloned() {
            self.configure_interfaces(now, &tunnel, &[]);
        }
        self.command(now, |engine| engine.start(now, tunnel))
    }

    fn stop(&mut self, now: Instant, tunnel: &str) -> Result<(), CommandError> {
        self.command(now, |engine| engine.stop(now, tunnel))
    }

    fn reload(&mut self, now: Instant, check: bool) -> Result<String, String> {
        self.reload_config(now, check)
    }

    fn reset_counters(&mut self) {
        self.data.reset_counters();
        self.engine.reset_counters();
    }

    fn take_news(&mut self) -> Vec<News> {
        self.news.drain(..).collect()
    }

    fn want_news(&mut self, wanted: Wanted) {
        self.wanted = wanted;
    }
}
