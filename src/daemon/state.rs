//! All that another program has to know of the daemon to go on in its place. See [`saved`](crate::saved) for its form.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use super::admin_server::{AdminServer, AdminState};
use super::core::Daemon;
use super::datapath::PlaneState;
use super::routes::Known;
use crate::config::{self, Config, Defaults};
use crate::gather;
use crate::log::ring::Ring;
use crate::log::Level;
use crate::proto::{Engine, Random};
use crate::saved::{saved, Broken, Reader, Saved, Writer};
use crate::sys::clock;
use crate::sys::passing::Post;
use crate::sys::pidfile::PidFile;
use crate::wiped::Wiped;

/// What a daemon consists of that is not in the [`Daemon`].
pub struct Parts<'a> {
    /// Its listening socket is handed over; its clients are not.
    pub admin: &'a AdminServer,
    /// Open and locked, where there is one.
    pub pid_file: Option<&'a PidFile>,
    /// Who keeps the pid.
    pub keeper: Option<&'a Post>,
}

saved! {
    /// What is not the engine's or the data plane's.
    pub struct LoopState {
        pub started: Instant,
        pub level: Level,
        pub before_debug: Option<Level>,
        pub ring: Ring,
        pub unreachable: BTreeSet<IpAddr>,
        /// Tunnels, and names that are to be looked up.
        pub lookups: Vec<(String, String)>,
        pub routes: Known,
        pub deprecated: BTreeSet<IpAddr>,
        pub admin: Option<AdminState>,
        pub pid_file: Option<String>,
        /// There is a process that keeps the pid for whoever started the daemon.
        pub keeper: bool,
    }
}

/// Everything, as it is read.
pub struct State {
    /// The configuration in force.
    pub config: Config,
    pub engine: Engine,
    pub plane: PlaneState,
    pub rest: LoopState,
}

/// Writes it. The clock's value comes first, for points in time to be reckoned from.
pub fn save(now: Instant, daemon: &Daemon, parts: &Parts<'_>) -> Result<(Wiped, Vec<RawFd>), String> {
    let mut descriptors = Vec::new();
    let mut to = Writer::new(now);
    let text = daemon.text.as_ref().ok_or("the configuration was read again meanwhile: try again")?;
    text.save(&mut to);
    daemon.config.system.save(&mut to);
    daemon.engine.save(&mut to);
    daemon.data.state(&mut descriptors).save(&mut to);
    let (level, before_debug, ring) = daemon.logger.state();
    let (routes, deprecated) = daemon.routes.state();
    let rest = LoopState {
        started: daemon.started,
        level,
        before_debug,
        ring: ring.clone(),
        unreachable: daemon.unreachable.0.clone(),
        lookups: daemon.resolver.state(),
        routes: routes.clone(),
        deprecated: deprecated.clone(),
        admin: parts.admin.state(&mut descriptors),
        pid_file: parts.pid_file.and_then(|file| file.state(&mut descriptors).to_str().map(str::to_owned)),
        keeper: parts.keeper.is_some(),
    };
    rest.save(&mut to);
    descriptors.extend(parts.keeper.iter().map(|keeper| std::os::fd::AsRawFd::as_raw_fd(*keeper)));
    let mut whole = Wiped::default();
    let moment = clock::since_boot().saturating_sub(clock::now().saturating_duration_since(now));
    whole.extend(&u64::try_from(moment.as_nanos()).unwrap_or(u64::MAX).to_be_bytes());
    whole.extend(&to.finish());
    Ok((whole, descriptors))
}

/// A configuration, and what it was read from.
pub struct Read {
    text: Wiped,
    system: Defaults,
    config: Config,
}

/// Reads it. The configuration need not be read again where it is the same as the one `before`: frames may wait.
pub fn read(octets: &[u8], random: Box<dyn Random>, before: Option<Read>) -> Result<(State, Read), String> {
    let (moment, octets) = octets.split_first_chunk::<8>().ok_or("there is no state")?;
    let (now, boot) = (clock::now(), clock::since_boot());
    let passed = boot.saturating_sub(Duration::from_nanos(u64::from_be_bytes(*moment)));
    let moment = now.checked_sub(passed).unwrap_or(now);
    let broken = |Broken(why): Broken| why.to_owned();
    let mut from = Reader::new(octets, moment).map_err(broken)?;
    let (text, system) = <(Wiped, Defaults)>::restore(&mut from);
    from.sound().map_err(broken)?;
    let config = match before.filter(|before| *before.text == *text && before.system == system) {
        Some(before) => before.config,
        None => {
            let parsed = config::parse(&text, &system).config;
            parsed.map_err(|_| "the configuration in force has errors in this version".to_owned())?
        }
    };
    let engine = Engine::restore(&mut from, now, &config, random).map_err(broken)?;
    let plane = PlaneState::restore(&mut from);
    let rest = LoopState::restore(&mut from);
    from.end().map_err(broken)?;
    let sessions = config.tunnels.iter().flat_map(|tunnel| &tunnel.sessions);
    let configured = gather::set(sessions.map(|session| session.interface.as_str()));
    let known = plane.interfaces().all(|name| configured.contains(name));
    match known {
        true => {
            let read = Read { text, system, config: config.clone() };
            Ok((State { config, engine, plane, rest }, read))
        }
        false => Err("an interface is not in the configuration".to_owned()),
    }
}
