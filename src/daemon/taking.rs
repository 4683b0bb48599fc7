//! Taking over another configuration, part by part: what is the same in both is not touched.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::time::Instant;

use super::core::Daemon;
use super::datapath::Interface;
use super::reading::{derived_router_id, problems, startable, usable, warning};
use crate::config::diff::{diff, Change, What};
use crate::config::model::Config;
use crate::config::tag::{Block, Effect};
use crate::config::tags;
use crate::gather;
use crate::log::remark::Tags;
use crate::log::{Event, LogLine, Remark};

/// Changes that are taken over in one turn, and interfaces that are let go.
pub const PART: usize = 200;

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

/// What a configuration that is free of errors would change, and how who asked is told that; with `check` the log is
/// told nothing.
pub fn compare(daemon: &mut Daemon, now: Instant, new: &Config, check: bool) -> (Vec<Change>, String) {
    let changes = diff(&daemon.config, new);
    let mut text = String::new();
    for change in &changes {
        let _ = writeln!(text, "{}", describe(change));
    }
    for (_, line) in new.tunnels.iter().flat_map(|t| problems(&daemon.options.config, t)) {
        let _ = writeln!(text, "{}\n  {}", line.text, line.detail.as_deref().unwrap_or_default());
        if !check {
            daemon.logger.log(now, &line);
        }
    }
    if let Some(remark) = warning(&daemon.options.config, new) {
        let _ = writeln!(text, "warning: {remark}");
    }
    if changes.is_empty() {
        text.push_str("nothing changed\n");
    }
    (changes, text)
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

impl Taking {
    /// Begins to take over a configuration that is free of errors and differs so from the one in force.
    pub fn begin(daemon: &mut Daemon, now: Instant, new: Config, changes: Vec<Change>) -> Taking {
        let derived = derived_router_id(&daemon.config.system, &new);
        let told = warning(&daemon.options.config, &new).into_iter().chain(derived);
        if changes.is_empty() {
            daemon.logger.remark(now, &Remark::NothingChanged {});
        }
        told.for_each(|remark| daemon.logger.remark(now, &remark));
        if new.log_level != daemon.config.log_level && daemon.options.log_level.is_none() {
            daemon.logger.set_level(new.log_level);
        }
        if let Err(error) = daemon.logger.resize(new.log_buffer) {
            daemon.logger.log(now, &LogLine::new(&Event::MallocError { error: error.to_string() }));
        }
        daemon.commands.reloaded();
        let old = std::mem::replace(&mut daemon.config, new);
        daemon.text = None;
        let changed = gather::set(changes.iter().filter_map(Change::tunnel).map(str::to_owned));
        let sessions = old.tunnels.iter().filter(|t| changed.contains(&t.name));
        let sessions = sessions.flat_map(|t| t.sessions.iter().map(move |s| (t, s)));
        let before = gather::map(sessions.map(|(t, s)| (s.interface.as_str(), (&**t, &**s))));
        let before = |name: &str| before.get(name).map(|(tunnel, session)| Interface::new(tunnel, session));
        for tunnel in &startable(&daemon.config).cloned().collect::<Vec<_>>() {
            let complete = usable(tunnel).all(|session| daemon.data.has_interface(&session.interface));
            if changed.contains(&tunnel.name) || !complete {
                daemon.plan_interfaces(tunnel, before);
            }
        }
        if !old.tunnels.iter().map(|t| &t.name).eq(daemon.config.tunnels.iter().map(|t| &t.name)) {
            daemon.index();
        }
        daemon.engine.begin(&daemon.config, changes.clone());
        let gone = gone_interfaces(&old, &daemon.config, &changed);
        Taking { changes: changes.into(), changed, gone }
    }

    /// Takes over some more of it; `true` if there is more.
    pub fn go_on(&mut self, daemon: &mut Daemon, now: Instant) -> bool {
        let part = self.changes.len().min(PART);
        self.changes.drain(..part).for_each(|change| tell(daemon, now, &change));
        if daemon.engine.go_on(now, PART) {
            daemon.drain(now);
            return true;
        }
        let changed = std::mem::take(&mut self.changed);
        daemon.tell_circuits(now, |tunnel| changed.contains(tunnel));
        daemon.drain(now);
        let part = self.gone.len().min(PART);
        self.gone.drain(..part).for_each(|interface| daemon.data.remove_interface(&interface));
        daemon.sockets_stale = true;
        !self.gone.is_empty()
    }
}

fn tell(daemon: &mut Daemon, now: Instant, change: &Change) {
    daemon.logger.remark(now, &describe(change));
    if let Change::Global(tags) = change {
        let late: Vec<&str> = tags.iter().copied().filter(|tag| waits_for_start(tag)).collect();
        if !late.is_empty() {
            daemon.logger.remark(now, &Remark::AtStart { tags: Tags(late) });
        }
    }
}

/// The interfaces of the old configuration that the new one does not have or use.
fn gone_interfaces(old: &Config, new: &Config, changed: &BTreeSet<String>) -> VecDeque<String> {
    // Also those that were disabled: the administrator may have started them.
    let of_old = old.tunnels.iter().filter(|t| t.disabled || changed.contains(&t.name));
    let all: Vec<&str> = of_old.flat_map(|t| &t.sessions).map(|s| s.interface.as_str()).collect();
    let of_new = startable(new).filter(|_| !all.is_empty());
    let wanted = gather::set(of_new.flat_map(|t| usable(t)).map(|s| s.interface.as_str()));
    all.into_iter().filter(|name| !wanted.contains(name)).map(str::to_owned).collect()
}
