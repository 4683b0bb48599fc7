//! A server of the admin socket in a thread of its own, with a host whose state the tests set up and look at.

use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use l2tpd::admin::report::{Dropped, Interface, Overview};
use l2tpd::admin::Source;
use l2tpd::counters::Counters;
use l2tpd::daemon::admin_server::{AdminServer, Answer, Host, StreamEvent, WantedEvents};
use l2tpd::log::ring::Ring;
use l2tpd::log::{Level, LogLine, WallTime};
use l2tpd::proto::snapshot::{SessionBrief, TunnelBrief, TunnelSnapshot};
use l2tpd::proto::{Action, Command, CommandError, Engine};
use l2tpd::sys::clock;
use l2tpd::sys::random::Urandom;

use super::admin_report::Report;
use super::wait::wait_until;

/// The host's state.
pub struct State {
    pub report: Arc<Report>,
    pub ring: Ring,
    pub events: Vec<StreamEvent>,
    pub wanted: WantedEvents,
    pub level: Level,
    /// What was asked of the host.
    pub calls: Vec<String>,
    /// Longest time that one turn took.
    pub longest_turn: Duration,
    /// How many turns there were.
    pub turns: u64,
}

impl State {
    pub fn lines(&self) -> String {
        let mut out = String::new();
        self.ring.since(0).for_each(|entry| entry.write_to(&mut out));
        out
    }
}

/// The report, as it stands while a display is made.
struct View(Arc<Report>);

impl Source for View {
    fn edition(&self) -> u64 {
        self.0.edition()
    }
    fn overview(&self) -> Overview {
        self.0.overview()
    }
    fn dropped(&self) -> Dropped {
        self.0.dropped()
    }
    fn tunnels(&self) -> usize {
        self.0.tunnels()
    }
    fn tunnel_place(&self, name: &str) -> Option<usize> {
        self.0.tunnel_place(name)
    }
    fn session_place(&self, interface: &str) -> Option<(usize, usize)> {
        self.0.session_place(interface)
    }
    fn tunnel(&self, tunnel: usize) -> Option<TunnelBrief<'_>> {
        self.0.tunnel(tunnel)
    }
    fn session(&self, tunnel: usize, session: usize) -> Option<SessionBrief<'_>> {
        self.0.session(tunnel, session)
    }
    fn counters(&self, tunnel: usize, session: usize) -> Counters {
        self.0.counters(tunnel, session)
    }
    fn part(
        &self,
        tunnel: usize,
        sessions: Range<usize>,
    ) -> Option<(TunnelSnapshot, Vec<Option<Interface>>)> {
        self.0.part(tunnel, sessions)
    }
}

struct Shared(Arc<Mutex<State>>, Ring, Engine);

impl Shared {
    fn call(&self, text: String) {
        self.0.lock().unwrap().calls.push(text);
    }

    /// Lets an engine that has no tunnel answer, and logs what it says.
    fn engine(&mut self, command: Command) -> Result<(), CommandError> {
        let result = self.2.command(clock::now(), command);
        while let Some(action) = self.2.poll_action() {
            if let Action::Log(line) = action {
                self.log(line);
            }
        }
        result
    }
}

impl Host for Shared {
    fn source(&self, _: Instant) -> Box<dyn Source + '_> {
        Box::new(View(self.0.lock().unwrap().report.clone()))
    }
    fn ring(&self) -> &Ring {
        &self.1
    }
    fn log(&mut self, line: LogLine) {
        self.1.push(WallTime(1_000_000), &line);
        self.0.lock().unwrap().ring.push(WallTime(1_000_000), &line);
    }
    fn set_log_level(&mut self, level: Level) {
        self.0.lock().unwrap().level = level;
    }
    fn command(&mut self, _: Instant, command: Command) -> Result<(), CommandError> {
        let known = |host: &Shared, name: &str| host.0.lock().unwrap().known(name);
        let report = self.0.lock().unwrap().report.clone();
        let tunnels = &report.snapshot.tunnels;
        match &command {
            Command::ClearTunnel(name, result) => {
                self.call(format!("clear tunnel {name} {result:?}"));
                known(self, name)
            }
            Command::ClearPeer(peer, result) => {
                self.call(format!("clear peer {peer} {result:?}"));
                match tunnels.iter().any(|tunnel| tunnel.peer == Some(*peer)) {
                    true => Ok(()),
                    false => self.engine(command),
                }
            }
            Command::ClearSession(name, result) => {
                self.call(format!("clear session {name} {result:?}"));
                match tunnels.iter().flat_map(|t| &t.sessions).any(|session| session.interface == *name) {
                    true => Ok(()),
                    false => self.engine(command),
                }
            }
            Command::ClearAll(result) => {
                self.call(format!("clear all {result:?}"));
                self.engine(command)
            }
            Command::Start(name) => {
                self.call(format!("start {name}"));
                known(self, name)
            }
            Command::Stop(name) => {
                self.call(format!("stop {name}"));
                known(self, name)
            }
            Command::FailOver(name) => {
                self.call(format!("failover {name}"));
                known(self, name)
            }
            Command::Ping(name) => {
                self.call(format!("ping {name}"));
                known(self, name)
            }
            Command::ResetCounters => {
                self.call("reset".into());
                Ok(())
            }
        }
    }
    fn ping_session(&mut self, interface: &str) -> Result<u32, Option<&'static str>> {
        self.call(format!("ping session {interface}"));
        let sessions = self.0.lock().unwrap().report.snapshot.tunnels.clone();
        match sessions.iter().flat_map(|t| &t.sessions).any(|session| session.interface == interface) {
            true => Ok(1),
            false => Err(None),
        }
    }
    fn reload(&mut self, _: Instant, check: bool) -> Answer {
        self.call(format!("reload {check}"));
        if check {
            Answer::Now(Err("l2tpd.conf:3:1: retry: Invalid value\n".into()))
        } else {
            Answer::Now(Ok("tunnel a: added\n".into()))
        }
    }
    fn restart(&mut self) {
        panic!("there is no program to be started");
    }

    fn take_events(&mut self) -> Vec<StreamEvent> {
        std::mem::take(&mut self.0.lock().unwrap().events)
    }
    fn want_events(&mut self, wanted: WantedEvents) {
        self.0.lock().unwrap().wanted = wanted;
    }
}

impl State {
    fn known(&self, name: &str) -> Result<(), CommandError> {
        let found = self.report.snapshot.tunnels.iter().any(|tunnel| tunnel.name == name);
        found.then_some(()).ok_or(CommandError::NotFound)
    }
}

/// A running server; ends with the value.
pub struct Server {
    pub path: PathBuf,
    pub state: Arc<Mutex<State>>,
    stop: Arc<AtomicBool>,
    waker: Arc<mio::Waker>,
    thread: Option<JoinHandle<()>>,
}

/// A path for a socket that no other test uses.
pub fn fresh_path() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("l2tpd-admin-{}-{}.sock", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    std::env::temp_dir().join(name)
}

impl Server {
    pub fn start(report: Report) -> Server {
        Server::with_lines(report, &[])
    }

    /// A server whose log holds these lines already.
    pub fn with_lines(report: Report, lines: &[LogLine]) -> Server {
        Server::open(report, lines, None)
    }

    /// A server for the members of a group too.
    pub fn open(report: Report, lines: &[LogLine], group: Option<&str>) -> Server {
        let path = fresh_path();
        let mut poll = mio::Poll::new().unwrap();
        let mut admin = AdminServer::open(path.to_str(), group, poll.registry()).unwrap();
        let waker = Arc::new(mio::Waker::new(poll.registry(), mio::Token(1)).unwrap());
        let mut ring = Ring::new(1000).unwrap();
        for line in lines {
            ring.push(WallTime(0), line);
        }
        let state = Arc::new(Mutex::new(State {
            report: Arc::new(report),
            ring: Ring::new(1000).unwrap(),
            events: Vec::new(),
            wanted: WantedEvents::default(),
            level: Level::Info,
            calls: Vec::new(),
            longest_turn: Duration::ZERO,
            turns: 0,
        }));
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, ending) = (state.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let engine = Engine::new(clock::now(), Box::new(Urandom::new().unwrap()));
            let mut host = Shared(shared, ring, engine);
            let mut events = mio::Events::with_capacity(64);
            while !ending.load(Ordering::Relaxed) {
                let wait = admin.next_deadline().map(|at| at.saturating_duration_since(clock::now()));
                match poll.poll(&mut events, wait) {
                    // By a signal, as the daemon's own loop may be.
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                    result => result.unwrap(),
                }
                for event in &events {
                    if event.token() != mio::Token(1) {
                        admin.event(event.token());
                    }
                }
                let begin = clock::now();
                admin.turn(begin, &mut host);
                let mut state = host.0.lock().unwrap();
                state.longest_turn = state.longest_turn.max(clock::now() - begin);
                state.turns += 1;
            }
        });
        Server { path, state, stop, waker, thread: Some(thread) }
    }

    pub fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.path).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// Adds an event, and wakes the server.
    pub fn tell(&self, event: StreamEvent) {
        self.state.lock().unwrap().events.push(event);
        self.waker.wake().unwrap();
    }

    /// Waits until `what` holds of the host's state.
    pub fn until(&self, what: impl Fn(&State) -> bool) {
        let otherwise = || format!("did not happen; log: {}", self.state.lock().unwrap().lines());
        wait_until(|| what(&self.state.lock().unwrap()), otherwise);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.unwrap();
            }
        }
    }
}
