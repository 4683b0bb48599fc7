//! `restart`, where a program begins: it goes on in place of the daemon that had it started. Whatever goes wrong before
//! that one has let go is told it, and ends this program without touching anything that is not its own yet.
//!
//! The state comes from a daemon without rights, which somebody may have taken over: so this program has given up its own
//! rights as well before it reads any of it, and what decides about rights comes from the configuration file.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use mio::Poll;

use super::admin_server::AdminServer;
use super::args::{self, Invocation, Options};
use super::commands::Commands;
use super::confine;
use super::core::{Daemon, NoRandom};
use super::datapath::{DataPlane, Interface};
use super::event_loop::{EventLoop, Keeper};
use super::hand_over::HandOver;
use super::logger::Logger;
use super::reading::{self, Readers, Refused};
use super::restart_message as message;
use super::restarter::Restarter;
use super::service::Service;
use super::start::{place, tell_panics};
use super::state::{self, State};
use super::state_file::StateFiles;
use super::taking::Taking;
use super::unreachable::Unreachable;
use crate::config::diff::diff;
use crate::config::model::DataPlane as DataPlaneKind;
use crate::config::{self, Config};
use crate::gather;
use crate::log::{Level, Remark};
use crate::proto::Random;
use crate::sys::passing::{self, Post};
use crate::sys::pidfile::PidFile;
use crate::sys::random::Urandom;
use crate::sys::signal::Signals;
use crate::sys::{clock, daemonize, error_text, privilege, process, trust};
use crate::wiped::Wiped;

/// How long the other program may take with each of its steps.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why this program does not go on.
type Refusal = String;

/// Goes on in place of the program at the other end of a descriptor. Returns the exit status.
pub fn main(descriptor: &str, arguments: &[String]) -> i32 {
    let mut inherited = process::take_inherited();
    let at = inherited.iter().position(|fd| fd.as_raw_fd().to_string() == descriptor);
    let Some(post) = at.map(|at| Post::from_descriptor(inherited.remove(at))) else { return 2 };
    drop(inherited);
    let refuse = |why: &str| {
        // Nobody else is told: the program that goes on says it.
        let _ = post.send(&[&[message::REFUSED], why.as_bytes()].concat(), &[]);
        1
    };
    let options = match args::parse(arguments.iter().cloned()) {
        Ok(Invocation::Run(options)) if !options.check => options,
        Ok(_) => return refuse("its arguments run no daemon"),
        Err(error) => return refuse(&error.to_string()),
    };
    match take_over(&post, options) {
        Err(why) => refuse(&why),
        Ok((event_loop, mut service)) => event_loop.run(&mut service),
    }
}

/// What is there before the state comes.
struct Prepared {
    resume: Resume,
    random: Urandom,
    /// The configuration as it is now.
    new: (Config, Wiped),
    told: Vec<Remark>,
    state_files: Option<io::Result<StateFiles>>,
}

fn take_over(post: &Post, options: Options) -> Result<(EventLoop, Service), Refusal> {
    let prepared = prepare(options)?;
    let text = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::TimedOut => "the other program is gone".to_owned(),
        _ => error_text(&error),
    };
    post.send(&[message::READY], &[]).map_err(text)?;
    let (octets, mut file) = post.receive(PATIENCE).map_err(text)?;
    if octets.first() != Some(&message::LOOK) {
        return Err("the other program says something else than expected".to_owned());
    }
    let (_, before) = read(file.pop(), Box::new(NoRandom), None)?;
    post.send(&[message::UNDERSTOOD], &[]).map_err(text)?;
    let mut descriptors = VecDeque::new();
    let octets = loop {
        let (octets, some) = post.receive(PATIENCE).map_err(text)?;
        if octets.first() != Some(&message::DESCRIPTORS) {
            file = some;
            break octets;
        }
        descriptors.extend(some);
    };
    if octets.first() != Some(&message::TAKE) {
        return Err("the other program says something else than expected".to_owned());
    }
    let (state, _) = read(file.pop(), Box::new(prepared.random), Some(before))?;
    let (mut event_loop, daemon) = prepared.resume.resume(post, state, descriptors);
    let mut service = Service::new(daemon);
    let pid = std::process::id().to_be_bytes();
    must(post, post.send(&[&[message::TAKEN], &pid[..]].concat(), &[]).map_err(text));
    let (octets, _) = must(post, post.receive(PATIENCE).map_err(text));
    match octets.first() {
        Some(&message::GO) => {}
        Some(&message::GO_KEPT) => {
            let keeper = must(post, post.try_clone().map_err(|error| error_text(&error)));
            event_loop.keeper = Some(Keeper::new(keeper));
        }
        _ => must(post, Err("the other program has changed its mind".to_owned())),
    }
    begin(&mut event_loop, &mut service.daemon, prepared.told, prepared.new);
    if let Some(files) = prepared.state_files {
        service.begin_state_file(clock::now(), files, false);
    }
    for signal in octets.iter().skip(1) {
        event_loop.signal(&mut service, clock::now(), i32::from(*signal));
    }
    Ok((event_loop, service))
}

/// All that needs rights or has to be there before the state, and the end of those rights.
fn prepare(options: Options) -> Result<Prepared, Refusal> {
    let text = |error: io::Error| error_text(&error);
    trust::remember();
    tell_panics(options.foreground);
    process::raise_descriptor_limit();
    process::prefer_batches();
    let _ = privilege::no_dumps();
    let file = &options.config;
    let system = reading::system_defaults();
    let (parsed, text_of_file) = reading::read(file, Duration::ZERO, &system, Readers::OfFile)
        .map_err(|error| Refused::Unreadable(error).text(file))?;
    let config = parsed.config.map_err(|errors| Refused::Errors(errors).text(file))?;
    let restarter = Restarter::fork(&options).map_err(text)?;
    let commands = Commands::fork(&options.config, &config).map_err(text)?;
    let mut random = Urandom::new()?;
    let signals = Signals::install().map_err(text)?;
    let poll = Poll::new().map_err(text)?;
    let mut data = DataPlane::new(poll.registry().try_clone().map_err(text)?);
    // Programs in the kernel are loaded while it may be done. Where they cannot, it says so and carries the frames itself.
    if config.data_plane != DataPlaneKind::Kernel {
        data.choose(config.data_plane).map_err(|remark| remark.to_string())?;
    }
    data.identify(&mut random)?;
    let state_files = config.state_file.path().map(|path| StateFiles::open(clock::now(), path));
    confine::drop_privileges(&config).map_err(|remark| remark.to_string())?;
    let socket = place(options.socket.as_deref(), &config.admin_socket);
    let pid_file = place(options.pid_file.as_deref(), &config.pid_file);
    let told = confine::confine(&options, &config, pid_file, socket);
    let hand_over = HandOver::new(restarter);
    let resume = Resume { options, hand_over, poll, signals, data, commands };
    Ok(Prepared { resume, random, new: (config, text_of_file), told, state_files })
}

fn read(
    file: Option<OwnedFd>,
    random: Box<dyn Random>,
    before: Option<state::Read>,
) -> Result<(State, state::Read), Refusal> {
    let octets =
        passing::read_sealed(file.ok_or("there is no state")?).map_err(|error| error_text(&error))?;
    state::read(&octets, random, before)
}

/// What the state is put into.
struct Resume {
    options: Options,
    hand_over: HandOver,
    poll: Poll,
    signals: Signals,
    data: DataPlane,
    commands: Commands,
}

/// What was taken over so far is the other program's as long as this one has not its word. Without it this one ends on the
/// spot: what it has would be removed if it was dropped.
fn must<T>(post: &Post, result: Result<T, Refusal>) -> T {
    match result {
        Ok(value) => value,
        Err(why) => {
            let _ = post.send(&[&[message::REFUSED], why.as_bytes()].concat(), &[]);
            daemonize::end_fork(1)
        }
    }
}

impl Resume {
    fn resume(self, post: &Post, state: State, mut descriptors: VecDeque<OwnedFd>) -> (EventLoop, Daemon) {
        let text = |error: io::Error| error_text(&error);
        let Resume { options, hand_over, poll, signals, mut data, commands } = self;
        let State { config, engine, plane, rest } = state;
        let now = clock::now();
        let sessions = config.tunnels.iter().flat_map(|t| t.sessions.iter().map(move |s| (t, s)));
        let interfaces = gather::map(sessions.map(|(t, s)| (s.interface.as_str(), (t, s))));
        let interface =
            |name: &str| interfaces.get(name).map(|(tunnel, session)| Interface::new(tunnel, session));
        must(post, data.resume(now, plane, interface, &mut descriptors).map_err(text));
        let admin = AdminServer::resume(rest.admin, &mut descriptors, poll.registry());
        let admin = must(post, admin.map_err(text));
        let mut next =
            || must(post, descriptors.pop_front().ok_or_else(|| "a descriptor is missing".to_owned()));
        let pid_file = rest.pid_file.map(|path| PidFile::resume(path.into(), next()));
        let keeper = rest.keeper.then(|| Keeper::new(Post::from_descriptor(next())));
        let level = options.log_level.unwrap_or(Level::Info);
        let logger = must(post, Logger::new(options.foreground, level, 0).map_err(|error| error.to_string()));
        let mut daemon = Daemon::new(now, options, config, logger, engine, data);
        daemon.commands = commands;
        daemon.started = rest.started;
        daemon.unreachable = Unreachable(rest.unreachable);
        daemon.logger.resume(rest.level, rest.before_debug, rest.ring);
        daemon.routes.resume(now, rest.routes, rest.deprecated);
        rest.lookups.iter().for_each(|(tunnel, name)| daemon.resolver.look_up(tunnel, name));
        daemon.look_after_children = true;
        // Those of tunnels that were removed may still be needed.
        daemon.sockets_stale = true;
        daemon.index();
        let mut event_loop = EventLoop::new(poll, signals, admin, Some(hand_over), pid_file);
        event_loop.keeper = keeper;
        (event_loop, daemon)
    }
}

/// The other program has let go.
fn begin(event_loop: &mut EventLoop, daemon: &mut Daemon, told: Vec<Remark>, new: (Config, Wiped)) {
    let now = clock::now();
    let version = env!("CARGO_PKG_VERSION");
    daemon.logger.remark(now, &Remark::TakenOver { version });
    told.iter().for_each(|remark| daemon.logger.remark(now, remark));
    if let Some(Err(error)) = event_loop.pid_file.as_mut().map(PidFile::rewrite) {
        let error = error_text(&error);
        daemon.logger.remark(now, &Remark::PidFile { error });
    }
    // What the file says now, with what this host was when the tunnels began. Rights are as it says already.
    let (read, text) = new;
    let Ok(mut new) = config::parse(&text, &daemon.config.system).config else { return };
    (new.user, new.seccomp) = (read.user, read.seccomp);
    (daemon.config.user, daemon.config.seccomp) = (new.user.clone(), new.seccomp);
    let changes = diff(&daemon.config, &new);
    if !changes.is_empty() {
        let mut taking = Taking::begin(daemon, now, new, changes);
        while taking.go_on(daemon, now) {}
    }
}
