//! The start: arguments, configuration, background, pid file, random source, sockets, and what is left of the
//! privileges. The first step that fails is logged, then `l2tpd initialization failed`, and the exit status is 1.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{absolute, Path};
use std::time::Instant;

use mio::Poll;

use super::admin_server::AdminServer;
use super::args::{self, Invocation, Options};
use super::commands::Commands;
use super::confine;
use super::core::Daemon;
use super::datapath::{DataPlane, SocketKey};
use super::event_loop::EventLoop;
use super::hand_over::HandOver;
use super::logger::{on_stderr, Logger};
use super::reading::{self, Readers, Refused};
use super::restarter::Restarter;
use super::service::Service;
use super::state_file::StateFiles;
use crate::config::model::{self, Config, Place, TunnelConfig};
use crate::config::Setting;
use crate::log::{Event, Level, LogLine, Remark};
use crate::proto::Engine;
use crate::sys::daemonize::{self, Detached, Side};
use crate::sys::pidfile::PidFile;
use crate::sys::random::Urandom;
use crate::sys::signal::Signals;
use crate::sys::syslog::{self, Syslog};
use crate::sys::{self, clock, error_text, privilege, process, stderr, trust};
use crate::wire::Encapsulation;

/// The word for no pid file and no admin socket.
const NONE: &str = "none";
/// Log messages kept before the configuration tells how many.
const EARLY_LINES: usize = 1000;

/// The daemon's main function, for the arguments after the program's name. Returns the exit status.
pub fn main(arguments: impl IntoIterator<Item = String>) -> i32 {
    match args::parse(arguments) {
        Ok(Invocation::Help) => {
            print!("{}", args::USAGE);
            0
        }
        Ok(Invocation::Version) => {
            println!("l2tpd {}", env!("CARGO_PKG_VERSION"));
            0
        }
        Ok(Invocation::Run(options)) if options.check => super::check::run(&options.config),
        Ok(Invocation::Run(options)) => run(options),
        Err(error) => {
            eprint!("l2tpd: {error}\n{}", args::USAGE);
            2
        }
    }
}

/// A step of the start that failed: what to log before `l2tpd initialization failed`.
type Failed = Vec<LogLine>;

fn failed(event: &Event, detail: impl Into<String>) -> Failed {
    vec![LogLine::with_detail(event, detail)]
}

/// A failure that no message of the catalogue tells.
fn failed_remark(remark: &Remark) -> Failed {
    vec![LogLine::remark(remark)]
}

/// Runs the daemon. Returns the exit status.
pub fn run(mut options: Options) -> i32 {
    let inherited = process::take_inherited();
    trust::remember();
    tell_panics(options.foreground);
    process::raise_descriptor_limit();
    process::prefer_batches();
    // It takes more than a failure of this to keep tunnels down.
    let _ = privilege::no_dumps();
    let level = options.log_level.unwrap_or(Level::Info);
    let Ok(mut logger) = Logger::new(options.foreground, level, EARLY_LINES) else { return 1 };
    // The working directory becomes `/`, the names stay what they mean now.
    let names = [Some(&mut options.config), options.pid_file.as_mut(), options.socket.as_mut()];
    for name in names.into_iter().flatten().filter(|name| *name != NONE) {
        if let Ok(full) = absolute(&name) {
            *name = full.to_string_lossy().into_owned();
        }
    }
    let read = match configuration(clock::now(), &options, &mut logger) {
        Ok(read) => read,
        Err(lines) => return give_up(&mut logger, &lines),
    };
    drop(inherited);
    match background(&options) {
        Ok(detached) => serve(options, read, logger, detached),
        Err(Stop::Parent(status)) => status,
        Err(Stop::Failed(lines)) => give_up(&mut logger, &lines),
    }
}

/// A fault of the program ends it at once; where it happened must not get lost with standard error.
pub(super) fn tell_panics(foreground: bool) {
    std::panic::set_hook(Box::new(move |info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let LogLine { level, text, .. } = LogLine::remark(&Remark::ProgramFault { place });
        if foreground {
            let _ = stderr::write(&on_stderr(clock::wall(), level, &text, stderr::is_journal()));
        } else {
            Syslog::new(Path::new(syslog::SOCKET)).write(clock::now(), level, &text);
        }
    }));
}

fn give_up(logger: &mut Logger, lines: &[LogLine]) -> i32 {
    let now = clock::now();
    lines.iter().for_each(|line| logger.log(now, line));
    logger.log(now, &LogLine::new(&Event::InitializationFailed {}));
    logger.finish();
    1
}

/// Why the start goes no further in this process.
enum Stop {
    /// It is the parent of the daemon, which has started or failed.
    Parent(i32),
    Failed(Failed),
}

/// Goes to the background, unless the options say otherwise.
fn background(options: &Options) -> Result<Option<Detached>, Stop> {
    if !options.foreground && std::process::id() == 1 {
        // The end of process 1 is that of its container, and of all processes there.
        return Err(Stop::Failed(failed_remark(&Remark::ProcessOne {})));
    }
    if options.foreground {
        return Ok(None);
    }
    let null = daemonize::null_device().map_err(|error| {
        let event = Event::DaemonError { error: error_text(&error) };
        Stop::Failed(failed(&event, format!("{}, the null device", daemonize::NULL)))
    })?;
    match daemonize::detach(null) {
        Ok(Side::Parent(status)) => Err(Stop::Parent(status)),
        Ok(Side::Child(detached)) => Ok(Some(detached)),
        Err(error) => {
            let line = LogLine::new(&Event::DaemonError { error: error_text(&error) });
            Err(Stop::Failed(vec![line]))
        }
    }
}

/// A configuration that was read.
struct Read {
    config: Config,
    settings: Vec<Setting>,
}

/// The configuration, and the settings of the file.
fn configuration(now: Instant, options: &Options, logger: &mut Logger) -> Result<Read, Failed> {
    let file = &options.config;
    let system = reading::system_defaults();
    let (parsed, _) = reading::read(file, reading::PATIENCE, &system, Readers::OfFile)
        .map_err(|e| Refused::Unreadable(e).lines(file))?;
    let config = parsed.config.map_err(|e| Refused::Errors(e).lines(file))?;
    logger.set_level(options.log_level.unwrap_or(config.log_level));
    if let Err(error) = logger.resize(config.log_buffer) {
        let event = Event::MallocError { error: error.to_string() };
        return Err(failed(&event, format!("log-buffer {}", config.log_buffer)));
    }
    let derived = reading::derived_router_id(&system, &config);
    for remark in reading::warning(file, &config).into_iter().chain(derived) {
        logger.remark(now, &remark);
    }
    let problems = config.tunnels.iter().flat_map(|t| reading::problems(file, t));
    problems.for_each(|(_, line)| logger.log(now, &line));
    let wanted = config.tunnels.iter().any(|tunnel| !tunnel.disabled);
    if wanted && reading::startable(&config).next().is_none() {
        return Err(failed_remark(&Remark::NothingToStart {}));
    }
    // They take more memory than what is made of them.
    let settings = if logger.level() == Level::Debug { parsed.settings } else { Vec::new() };
    Ok(Read { config, settings })
}

/// Everything that stays until the end, then the loop. The `settings` are logged once the start has succeeded.
fn serve(options: Options, read: Read, mut logger: Logger, detached: Option<Detached>) -> i32 {
    let now = clock::now();
    let Read { config, settings } = read;
    // Without it there is no `restart`, which is told who asks for one.
    let restarter = Restarter::fork(&options).ok();
    let commands = match Commands::fork(&options.config, &config) {
        Ok(commands) => commands,
        Err(error) => {
            let event = Event::DaemonError { error: error_text(&error) };
            return give_up(&mut logger, &failed(&event, "the helper that starts commands"));
        }
    };
    let (mut event_loop, engine, data) = match acquire(&options, &config) {
        Ok(acquired) => acquired,
        Err(lines) => return give_up(&mut logger, &lines),
    };
    let state_files = config.state_file.path().map(|path| StateFiles::open(now, path));
    let mut daemon = Daemon::new(now, options, config, logger, engine, data);
    // Blocks with their keys, which nothing may hold until the end.
    for tunnel in reading::startable(&daemon.config).cloned().collect::<Vec<_>>() {
        daemon.make_interfaces(now, &tunnel);
    }
    daemon.commands = commands;
    event_loop.hand_over = restarter.map(HandOver::new);
    let user = confine::user(&daemon.config);
    if let Err(remark) = confine::drop_privileges(&daemon.config) {
        return give_up(&mut daemon.logger, &failed_remark(&remark));
    }
    if let Some(remark) = reading::unreadable(&daemon.options.config, user.as_deref()) {
        daemon.logger.remark(now, &remark);
    }
    settings.into_iter().for_each(|setting| daemon.logger.log(now, &setting.to_line()));
    warn_of_kernel(&mut daemon, now);
    daemon.apply(now);
    let mut service = Service::new(daemon);
    if let Some(files) = state_files {
        service.begin_state_file(now, files, true);
    }
    let daemon = &mut service.daemon;
    // From here on a peer's SCCRQ is answered: the engine knows the tunnels, the sockets are open.
    daemon.logger.log(now, &LogLine::new(&Event::Start {}));
    if let Some(detached) = detached {
        if let Err(error) = detached.ready() {
            let line = LogLine::new(&Event::DaemonError { error: error_text(&error) });
            return give_up(&mut daemon.logger, &[line]);
        }
    }
    daemon.logger.started();
    let socket = place(daemon.options.socket.as_deref(), &daemon.config.admin_socket);
    let file = place(daemon.options.pid_file.as_deref(), &daemon.config.pid_file);
    for remark in confine::confine(&daemon.options, &daemon.config, file, socket) {
        daemon.logger.remark(now, &remark);
    }
    daemon.manager.ready(now);
    sys::trim_memory();
    event_loop.run(&mut service)
}

/// What the daemon needs of the system.
fn acquire(options: &Options, config: &Config) -> Result<(EventLoop, Engine, DataPlane), Failed> {
    let pid_file = place(options.pid_file.as_deref(), &config.pid_file).map(pid_file).transpose()?;
    let no_random = |error: String| vec![LogLine::new(&Event::RandomOpenError { error })];
    let mut random = Urandom::new().map_err(no_random)?;
    let signals =
        Signals::install().map_err(|error| failed_remark(&Remark::Signals { error: error_text(&error) }))?;
    let no_epoll = |error: std::io::Error| failed_remark(&Remark::Epoll { error: error_text(&error) });
    let poll = Poll::new().map_err(no_epoll)?;
    let registry = poll.registry().try_clone().map_err(no_epoll)?;
    let mut data = DataPlane::new(registry);
    data.identify(&mut random).map_err(no_random)?;
    data.choose(config.data_plane).map_err(|remark| failed_remark(&remark))?;
    data.make_pairs();
    open_sockets(&mut data, config)?;
    let path = place(options.socket.as_deref(), &config.admin_socket);
    let admin = AdminServer::open(path, config.admin_group.as_deref(), poll.registry())
        .map_err(|error| failed_remark(&Remark::AdminSocket { error }))?;
    let engine = Engine::new(clock::now(), Box::new(random));
    Ok((EventLoop::new(poll, signals, admin, None, pid_file), engine, data))
}

/// The path that the command line names, or else the configuration; `none` is none.
pub(super) fn place<'a>(option: Option<&'a str>, configured: &'a Place) -> Option<&'a str> {
    match option {
        Some(path) => (path != NONE).then_some(path),
        None => configured.path(),
    }
}

fn pid_file(path: &str) -> Result<PidFile, Failed> {
    let path = Path::new(path);
    PidFile::create(path).map_err(|error| {
        let why = match error.kind() {
            std::io::ErrorKind::WouldBlock => match PidFile::holder(path) {
                Some(pid) => format!("l2tpd is running already, process {pid}"),
                None => "l2tpd is running already".to_owned(),
            },
            _ => error_text(&error),
        };
        failed(&Event::CannotCreatePidFile {}, format!("{}: {why}", path.display()))
    })
}

/// Opens the sockets of all tunnels whose addresses are known, so that missing rights are told at once. What
/// else cannot be had now (an address, a port, IPv6) may be there later: the tunnel's trouble, not the daemon's.
fn open_sockets(data: &mut DataPlane, config: &Config) -> Result<(), Failed> {
    for tunnel in reading::startable(config) {
        if tunnel.is_for_any() && tunnel.local_address.is_none() {
            // A system without IPv6 has no peers there either.
            SocketKey::of(tunnel, Ipv6Addr::UNSPECIFIED.into()).for_each(|key| drop(data.open_socket(key)));
        }
        for key in known_ends(tunnel).into_iter().flat_map(|end| SocketKey::of(tunnel, end)) {
            let Err(error) = data.open_socket(key) else { continue };
            // Of what else is in the way, the first attempt at the tunnel tells.
            if error.kind() == std::io::ErrorKind::PermissionDenied {
                let event = Event::SocketFailed { error: error_text(&error) };
                return Err(vec![LogLine::with_detail(&event, format!("tunnel {}: {key}", tunnel.name))]);
            }
        }
    }
    Ok(())
}

/// Addresses of the families that a tunnel's sockets will have, where those are known.
fn known_ends(tunnel: &TunnelConfig) -> Vec<IpAddr> {
    if tunnel.is_for_any() {
        return vec![tunnel.local_address.unwrap_or(Ipv4Addr::UNSPECIFIED.into())];
    }
    match tunnel.local_address {
        Some(local) => vec![local],
        None => tunnel.addresses().collect(),
    }
}

/// A kernel that does L2TP over IP itself takes part in our conversations, which is wanted only with `data-plane kernel`.
fn warn_of_kernel(daemon: &mut Daemon, now: Instant) {
    let over_ip =
        daemon.config.tunnels.iter().any(|t| t.each_encapsulation().any(|way| way == Encapsulation::Ip))
            && daemon.config.data_plane != model::DataPlane::Kernel;
    if over_ip && Path::new("/sys/module/l2tp_ip").exists() {
        daemon.logger.remark(now, &Remark::KernelReceives {});
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_comes_before_the_configuration_and_none_is_none() {
        let configured = Place::At("/run/l2tpd.pid".to_owned());
        assert_eq!(place(None, &configured), Some("/run/l2tpd.pid"));
        assert_eq!(place(Some("/tmp/pid"), &configured), Some("/tmp/pid"));
        assert_eq!(place(Some("none"), &configured), None);
        assert_eq!(
            (place(None, &Place::None), place(Some("/tmp/pid"), &Place::None)),
            (None, Some("/tmp/pid"))
        );
    }
}
