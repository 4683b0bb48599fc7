//! Reading the configuration, at start-up and again: a bad file changes nothing, and what is the same in both files
//! is not touched.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::{Duration, Instant};

use super::core::{usable, Daemon};
use super::datapath::{Interface, SocketKey};
use super::reloading::Reading;
use crate::config::diff::{diff, share, Change, What};
use crate::config::identity::DerivedId;
use crate::config::model::{Config, Problem, TunnelConfig};
use crate::config::tag::{Block, Effect};
use crate::config::{tags, ConfigError, Defaults, Parsed};
use crate::gather;
use crate::log::remark::Tags;
use crate::log::{Event, LogLine, Remark};
use crate::sys::{self, address, error_text, machine, trust};
use crate::wiped::Wiped;

/// How long the start waits for a configuration that comes through a pipe. A reload does not wait.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// Changes that are taken over in one turn, and interfaces that are let go.
pub(super) const PART: usize = 200;
/// No configuration is as long; a device that never ends is not read for ever.
pub(super) const LONGEST: usize = 64 * 1024 * 1024;

/// Who may read a configuration with secrets in it, beside root and who started us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// The group of the user that the file names: we are about to become that user.
    OfFile,
    /// Nobody: we are who we are.
    Nobody,
}

/// Reads and parses a file, and waits no longer than `patience` for one that is a pipe. Refuses one that others than
/// root and who started us may have written: its commands are run. And one with secrets in it that others may read.
/// An error is about the file.
pub fn read(file: &str, patience: Duration, system: &Defaults, readers: Readers) -> io::Result<Parsed> {
    read_text(file, patience, system, readers).map(|(parsed, _)| parsed)
}

/// The same, with the text of the file.
pub fn read_text(
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

/// The line for a file that cannot be read.
pub fn cannot_open(file: &str, error: &io::Error) -> LogLine {
    LogLine::with_detail(&Event::CannotOpenConfigFile {}, format!("{file}: {}", error_text(error)))
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
            Refused::Unreadable(error) => vec![cannot_open(file, error)],
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
pub fn warnings(file: &str, config: &Config) -> Vec<Remark> {
    let mut found = Vec::new();
    if config.tunnels.is_empty() {
        found.push(Remark::NoTunnel { file: file.to_owned() });
    }
    found
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

/// Whether a tunnel can be started: itself, and one of its sessions if it has any.
pub fn is_usable(tunnel: &TunnelConfig) -> bool {
    let sessions = &tunnel.sessions;
    tunnel.problem().is_none() && (sessions.is_empty() || sessions.iter().any(|s| s.problem().is_none()))
}

/// Whether a running daemon cannot take over a global tag.
fn waits_for_start(tag: &str) -> bool {
    tags::find(Block::Global, tag.as_bytes()).is_some_and(|tag| tag.effect == Effect::Start)
}

/// A change as the log and whoever asked for it are told.
fn describe(change: &Change) -> Remark {
    match change.clone() {
        Change::Global(tags) => Remark::GlobalChanged { tags: Tags(tags) },
        Change::Tunnel(tunnel, what) => match what {
            What::Removed => Remark::TunnelRemoved { tunnel },
            What::Added => Remark::TunnelAdded { tunnel },
            What::SetUp(tags) => Remark::TunnelRestarted { tunnel, tags: Tags(tags) },
            What::Live(tags) => Remark::TunnelChanged { tunnel, tags: Tags(tags) },
        },
        Change::Session(tunnel, interface, what) => match what {
            What::Removed => Remark::SessionRemoved { tunnel, interface },
            What::Added => Remark::SessionAdded { tunnel, interface },
            What::SetUp(tags) => Remark::SessionRestarted { tunnel, interface, tags: Tags(tags) },
            What::Live(tags) => Remark::SessionChanged { tunnel, interface, tags: Tags(tags) },
        },
    }
}

/// A configuration that is being taken over.
pub struct Taking {
    /// What is to be told yet.
    changes: VecDeque<Change>,
    /// The tunnels that they are about.
    changed: BTreeSet<String>,
    /// Interfaces that are to be removed.
    gone: VecDeque<String>,
}

impl Daemon {
    /// What a configuration that is free of errors would change, and how who asked is told that; with `check` the log
    /// is told nothing.
    pub(super) fn compare(&mut self, now: Instant, new: &mut Config, check: bool) -> (Vec<Change>, String) {
        let file = self.options.config.clone();
        let problems: Vec<LogLine> =
            new.tunnels.iter().flat_map(|t| problems(&file, t)).map(|(_, line)| line).collect();
        share(&self.config, new);
        let changes = diff(&self.config, new);
        let mut text = String::new();
        for change in &changes {
            let _ = writeln!(text, "{}", describe(change));
        }
        for line in problems {
            let detail = line.detail.clone().unwrap_or_default();
            let _ = writeln!(text, "{}\n  {detail}", line.text);
            if !check {
                self.log(now, &line);
            }
        }
        for remark in warnings(&file, new) {
            let _ = writeln!(text, "warning: {remark}");
        }
        if changes.is_empty() {
            text.push_str("nothing changed\n");
        }
        (changes, text)
    }

    /// Another program is to go on: the configuration in force becomes that of the file, whose text is kept for it.
    pub fn keep_text(&mut self, now: Instant) -> Result<(), String> {
        self.reload_at_once(now)?;
        let file = &self.options.config;
        let read = read_text(file, Duration::ZERO, &self.config.system, Readers::Nobody);
        let (parsed, text) = read.map_err(|error| Refused::Unreadable(error).text(file))?;
        match parsed.config.is_ok_and(|config| diff(&self.config, &config).is_empty()) {
            true => self.text = Some(text),
            false => return Err(format!("{file} is being changed: try again")),
        }
        Ok(())
    }

    /// Begins to take over a configuration that is free of errors and differs so from the one in force.
    pub(super) fn begin_to_take(&mut self, now: Instant, new: Config, changes: Vec<Change>) -> Taking {
        let derived = derived_router_id(&self.config.system, &new);
        let told = warnings(&self.options.config, &new).into_iter().chain(derived);
        if changes.is_empty() {
            self.log(now, &LogLine::remark(&Remark::NothingChanged {}));
        }
        told.for_each(|remark| self.log(now, &LogLine::remark(&remark)));
        if new.log_level != self.config.log_level && self.options.log_level.is_none() {
            self.logger.set_level(new.log_level);
        }
        if let Err(error) = self.logger.resize(new.log_buffer) {
            self.log(now, &LogLine::new(&Event::MallocError { error: error.to_string() }));
        }
        self.commands.reloaded();
        let old = std::mem::replace(&mut self.config, new);
        self.text = None;
        let sessions = old.tunnels.iter().flat_map(|t| t.sessions.iter().map(move |s| (t, s)));
        let before = gather::map(sessions.map(|(t, s)| (s.interface.as_str(), (&**t, &**s))));
        let before = |name: &str| before.get(name).map(|(tunnel, session)| Interface::new(tunnel, session));
        let changed = gather::set(changes.iter().filter_map(Change::tunnel).map(str::to_owned));
        for tunnel in self.config.tunnels.clone().iter().filter(|t| !t.disabled && is_usable(t)) {
            if changed.contains(&tunnel.name) || !self.has_interfaces(tunnel) {
                self.plan_interfaces(tunnel, before);
            }
        }
        self.index();
        self.engine.begin(&self.config, changes.clone());
        let gone = self.gone_interfaces(&old);
        Taking { changes: changes.into(), changed, gone }
    }

    /// Takes over some more of it; `true` if there is more.
    pub(super) fn go_on_taking(&mut self, now: Instant, taking: &mut Taking) -> bool {
        let part = taking.changes.len().min(PART);
        for change in taking.changes.drain(..part) {
            self.tell_change(now, &change);
        }
        if self.engine.go_on(now, PART) {
            self.drain(now);
            return true;
        }
        let changed = std::mem::take(&mut taking.changed);
        self.tell_circuits(now, |tunnel| changed.contains(tunnel));
        self.drain(now);
        let part = taking.gone.len().min(PART);
        taking.gone.drain(..part).for_each(|interface| self.data.remove_interface(&interface));
        self.sockets_stale = true;
        !taking.gone.is_empty()
    }

    fn tell_change(&mut self, now: Instant, change: &Change) {
        self.log(now, &LogLine::remark(&describe(change)));
        if let Change::Global(tags) = change {
            let late: Vec<&str> = tags.iter().copied().filter(|tag| waits_for_start(tag)).collect();
            if !late.is_empty() {
                self.log(now, &LogLine::remark(&Remark::AtStart { tags: Tags(late) }));
            }
        }
    }

    /// Whether all interfaces of a tunnel are there.
    fn has_interfaces(&self, tunnel: &TunnelConfig) -> bool {
        usable(tunnel).all(|session| self.data.has_interface(&session.interface))
    }

    /// The interfaces of the old configuration that the new one does not have or use.
    fn gone_interfaces(&self, old: &Config) -> VecDeque<String> {
        let wanted = gather::set(interfaces(&self.config));
        // Also those that were disabled: the administrator may have started them.
        let all = old.tunnels.iter().flat_map(|t| &t.sessions).map(|s| s.interface.as_str());
        all.filter(|name| !wanted.contains(name)).map(str::to_owned).collect()
    }

    /// After a reload, once every connection that it ended has said good-bye: closes the sockets that no tunnel
    /// needs any more.
    pub fn close_stale_sockets(&mut self) {
        if self.sockets_stale && !self.engine.is_stopping() {
            self.sockets_stale = false;
            let keep = gather::set(self.config.tunnels.iter().flat_map(|t| sockets(t)));
            self.data.close_unused(&keep);
        }
    }
}

/// The sockets that a tunnel may use; the family of a peer that is not known yet is open.
fn sockets(tunnel: &TunnelConfig) -> Vec<SocketKey> {
    let families: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    let ends: Vec<IpAddr> = match (tunnel.local_address, tunnel.names().next()) {
        (Some(local), _) => vec![local],
        (None, None) => tunnel.addresses().collect(),
        (None, Some(_)) => Vec::new(),
    };
    let families = families
        .iter()
        .filter(|family| ends.is_empty() || ends.iter().any(|end| end.is_ipv4() == family.is_ipv4()));
    families.flat_map(|family| SocketKey::of(tunnel, *family)).collect()
}

/// The interfaces that a configuration uses.
fn interfaces(config: &Config) -> impl Iterator<Item = &str> {
    let tunnels = config.tunnels.iter().filter(|t| !t.disabled && is_usable(t));
    tunnels.flat_map(|tunnel| usable(tunnel)).map(|session| session.interface.as_str())
}
