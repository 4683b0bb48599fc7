//! Reading the configuration, at start-up and again, and what can be said of it before anything is done.

use std::fs::Metadata;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::confine;
use crate::config::identity::DerivedId;
use crate::config::model::{Config, Problem, SessionConfig, TunnelConfig};
use crate::config::parse::Parsing;
use crate::config::{ConfigError, Defaults, Parsed};
use crate::log::{Event, LogLine, Remark};
use crate::sys::{self, address, error_text, file, machine, privilege, trust};
use crate::wiped::{self, Wiped};

/// How long the start waits for a configuration that comes through a pipe. A reload does not wait.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// No configuration is as long; a device that never ends is not read for ever.
const LONGEST: usize = 64 * 1024 * 1024;

/// Who may read a configuration with secrets in it, beside root and who started us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// The group of the user that the file names: we are about to become that user.
    OfFile,
    /// Nobody: we are who we are.
    Nobody,
}

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

/// Reads and parses a file, and waits no longer than `patience` for one that is a pipe: what it says, and its text. An
/// error is about the file: see [`Reading::begin`] and [`Reading::go_on`].
pub fn read(
    file: &str,
    patience: Duration,
    system: &Defaults,
    readers: Readers,
) -> io::Result<(Parsed, Wiped)> {
    let mut reading = Reading::begin(file, patience, system, true)?;
    loop {
        if let Some(parsed) = reading.go_on(usize::MAX, readers) {
            return Ok((parsed?, reading.into_text()));
        }
    }
}

/// What the system contributes at present. The daemon asks for it once: host name and addresses may change while the
/// peers know it by what it had at its start.
pub fn system_defaults() -> Defaults {
    let hostname = sys::host_name();
    let router_id = match address::first_ipv4() {
        Some(id) => DerivedId::of_address(id),
        None => DerivedId::of_machine(&hostname, &machine::id()),
    };
    Defaults { hostname, router_id }
}

/// What there is to tell of a Router ID that was derived, and was not before.
pub fn derived_router_id(before: &Defaults, config: &Config) -> Option<Remark> {
    let derived = config.system.router_id;
    let source = derived.source.to_string();
    (derived.kept && !before.router_id.kept)
        .then(|| Remark::RouterIdDerived { id: Ipv4Addr::from(derived.id), source })
}

/// Why a configuration was not taken.
pub enum Refused {
    /// It cannot be read.
    Unreadable(io::Error),
    /// It has errors.
    Errors(Vec<ConfigError>),
}

impl Refused {
    /// The lines for the log.
    pub fn lines(&self, file: &str) -> Vec<LogLine> {
        match self {
            Refused::Unreadable(error) => {
                let detail = format!("{file}: {}", error_text(error));
                vec![LogLine::with_detail(&Event::CannotOpenConfigFile {}, detail)]
            }
            Refused::Errors(errors) => errors.iter().map(|e| e.to_line(file)).collect(),
        }
    }

    /// The text for who asked, lines ended.
    pub fn text(&self, file: &str) -> String {
        match self {
            Refused::Unreadable(error) => {
                format!("{}\n  {file}: {}\n", Event::CannotOpenConfigFile {}, error_text(error))
            }
            Refused::Errors(errors) => errors.iter().map(|e| e.report(file) + "\n").collect(),
        }
    }
}

/// What is no error of a file, but hardly meant.
pub fn warning(file: &str, config: &Config) -> Option<Remark> {
    config.tunnels.is_empty().then(|| Remark::NoTunnel { file: file.to_owned() })
}

/// A warning when the file cannot be opened any more, by who we are: else `HUP` cannot work. `user` is who we became.
pub fn unreadable(file: &str, user: Option<&str>) -> Option<Remark> {
    let error = error_text(&trust::open(Path::new(file)).err()?);
    let file = file.to_owned();
    Some(match user {
        Some(user) => Remark::Unreadable { file, error, user: user.to_owned() },
        None => Remark::Gone { file, error },
    })
}

/// What keeps a tunnel of its sessions from being started: the lines for the log, with the place in the file.
pub fn problems(file: &str, tunnel: &TunnelConfig) -> Vec<(usize, LogLine)> {
    let line = |problem: Problem| {
        let session = problem.interface.map(|interface| format!(", session {interface}")).unwrap_or_default();
        let detail = format!("{file}:{}: tunnel {}{session}: {}", problem.line, tunnel.name, problem.text);
        (problem.line, LogLine::with_detail(&problem.event, detail))
    };
    tunnel.problems().into_iter().map(line).collect()
}

/// The tunnels that can be started: enabled ones, each with one such session if it has any.
pub fn startable(config: &Config) -> impl Iterator<Item = &Rc<TunnelConfig>> {
    let complete = |t: &&Rc<TunnelConfig>| {
        t.problem().is_none() && (t.sessions.is_empty() || t.sessions.iter().any(|s| s.problem().is_none()))
    };
    config.tunnels.iter().filter(|tunnel| !tunnel.disabled).filter(complete)
}

/// The sessions of a tunnel that may come up.
pub fn usable(tunnel: &TunnelConfig) -> impl Iterator<Item = &Rc<SessionConfig>> {
    tunnel.sessions.iter().filter(|session| !session.disabled && session.problem().is_none())
}
