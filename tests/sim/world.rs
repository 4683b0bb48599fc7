//! The world of the tests: virtual time, engines with a fake data plane, and what is asked of them.
//!
//! After every call into an engine its actions are drained, and the data plane's contract is checked: a session is
//! attached once, gated only while attached, detached once. No engine may act without end at one instant. The log
//! tells of each tunnel once that it was created, once that it was cleaned up and then once that it was deleted.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use l2tpd::config::model::Via;
use l2tpd::config::Config;
use l2tpd::log::{Level, LogLine};
use l2tpd::proto::record::{self, Content, Stamp};
use l2tpd::proto::snapshot::{SessionSnapshot, TunnelSnapshot};
use l2tpd::proto::{
    Action, Attachment, Engine, NextHop, Notification, Path, Purpose, Random, Route, RouteKey, TunnelEvent,
    TunnelRecord,
};
use l2tpd::saved::{Reader, Writer};
use l2tpd::wire::digest::Secret;
use l2tpd::wire::{Encapsulation, SessionId};

use crate::net::{address, config, perfect, tunnel, Datagram, Dice, Fault};
use crate::support::snapshot::{snapshot, Snapshot};

/// More events than can fall on one instant.
const MOST_EVENTS: usize = 50_000;

/// A session as the data plane has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Port {
    pub attachment: Attachment,
    pub receive: bool,
    pub send: bool,
    pub carrier: bool,
    pub path: Path,
    /// What its frames were to be numbered from, after a crash.
    pub next: Option<u32>,
}

/// What is written down for the time after a crash.
#[derive(Default)]
pub struct StateFile {
    pub octets: Vec<u8>,
    pub machine: Vec<u8>,
    number: u64,
    written: BTreeMap<u32, (String, Option<[u8; 16]>)>,
    /// Entries.
    pub entries: usize,
    /// Nothing is written at present.
    pub held: bool,
    /// What data sessions have sent so far.
    pub sequence: u32,
}

/// An engine and what surrounds it.
pub struct Node {
    pub address: IpAddr,
    pub engine: Engine,
    pub config: Config,
    /// The one that the engine has, and the source of its random values: what another one needs that takes over.
    applied: Option<Config>,
    random: Shared,
    /// What was logged and when, in order.
    pub log: Vec<(Duration, LogLine)>,
    pub events: Vec<(Duration, Notification)>,
    /// Round trips that were asked for, and how often the HELLO was sent.
    pub pongs: Vec<(Option<Duration>, u32)>,
    pub ports: BTreeMap<SessionId, Port>,
    /// The state file, if it has one.
    pub file: Option<StateFile>,
    /// The peers whose LANs were told of our stations.
    pub announced: Vec<IpAddr>,
    /// What the next attachments come to; then all succeed.
    pub attach_outcomes: VecDeque<Result<(), String>>,
    /// Attachments wait for `answer_attachments`.
    pub hold_attachments: bool,
    held: Vec<(SessionId, Result<(), String>)>,
    /// What the name of its peer means, and how often it was looked up.
    pub addresses: Result<Vec<IpAddr>, String>,
    pub lookups: usize,
    /// What the next preparations come to; then all succeed.
    pub prepare_outcomes: VecDeque<Result<(), String>>,
    /// Preparations are asked for and not answered.
    pub hold_preparations: bool,
    /// The longest packet that the system lets leave; `None`: it does not say, and paths are not probed.
    pub leaves: Option<usize>,
    /// What the data plane was told of the path, and when.
    pub carries: Vec<(Duration, Option<usize>)>,
    /// When data of a session was heard.
    pub heard: BTreeMap<SessionId, Instant>,
    /// How often it was asked for that.
    pub asked: usize,
    /// Datagrams that it sent.
    pub sent: usize,
    /// The port that its datagrams seem to come from (a NAT between).
    pub seen_port: Option<u16>,
    /// What the system says of the routes to other nodes; without: from its address through interface 1.
    pub routes: BTreeMap<RouteKey, Route>,
    watched: BTreeSet<RouteKey>,
    /// Ids of the tunnels that the log tells of, and whether they were cleaned up.
    tunnels: BTreeMap<String, bool>,
}

/// A source of random values that an engine hands on to the next.
#[derive(Clone)]
struct Shared(Rc<RefCell<Box<dyn Random>>>);

impl Shared {
    fn new(random: Box<dyn Random>) -> Shared {
        Shared(Rc::new(RefCell::new(random)))
    }
}

impl Random for Shared {
    fn fill(&mut self, octets: &mut [u8]) -> Result<(), String> {
        self.0.borrow_mut().fill(octets)
    }
}

/// Before so many of 100 calls into an engine another one takes over, in all tests: see `taken_over`.
pub const TAKEOVERS: &str = "SIM_TAKEOVERS";

fn takeovers() -> Option<u64> {
    std::env::var(TAKEOVERS).ok().map(|percent| percent.parse().expect("a number"))
}

/// Changes a datagram on the wire.
pub type Mangle = Box<dyn FnMut(&mut Dice, &mut Datagram)>;

/// Everything.
pub struct World {
    pub base: Instant,
    /// Since the beginning.
    pub time: Duration,
    pub nodes: Vec<Node>,
    pub rng: Dice,
    pub fault: Fault,
    /// Every datagram that was sent, if `capture` is set.
    pub wire: Vec<Datagram>,
    pub capture: bool,
    /// Which datagram is damaged on the way (counted from 0), and which of its bits.
    pub damage: Option<(usize, usize)>,
    /// What else the network does to datagrams.
    pub mangle: Option<Mangle>,
    /// More actions than any event can call for: an engine that exceeds it does not come to rest.
    pub most_actions: usize,
    /// Before so many of 100 calls into an engine another one takes over from it.
    pub taken_over: Option<(u64, Dice)>,
    /// How often one did.
    pub takeovers: usize,
    /// What all engines have done, if it is wanted.
    pub done: Option<DefaultHasher>,
    /// Datagrams for addresses without engine.
    pub inbox: Vec<Datagram>,
    flight: BTreeMap<(Duration, u64), Datagram>,
    serial: u64,
    events_now: (Duration, usize),
}

impl World {
    pub fn new(seed: u64) -> World {
        World {
            base: l2tpd::sys::clock::now(),
            time: Duration::ZERO,
            nodes: Vec::new(),
            rng: Dice(seed ^ 0x5eed),
            fault: perfect(),
            wire: Vec::new(),
            capture: false,
            damage: None,
            mangle: None,
            most_actions: 20_000,
            taken_over: takeovers().map(|percent| (percent, Dice(seed))),
            takeovers: 0,
            done: None,
            inbox: Vec::new(),
            flight: BTreeMap::new(),
            serial: 0,
            events_now: (Duration::ZERO, 0),
        }
    }

    /// Two nodes with one tunnel between them; both configurations have the same tags and sessions.
    pub fn pair(seed: u64, tags: &str, interfaces: &[&str]) -> World {
        let mut world = World::new(seed);
        world.add(&tunnel(0, 1, tags, interfaces));
        world.add(&tunnel(1, 0, tags, interfaces));
        world
    }

    /// One more node; its configuration is applied by `start`.
    pub fn add(&mut self, text: &str) -> usize {
        let random = Box::new(Dice(self.rng.next()));
        self.add_with(text, random)
    }

    /// The same, with the source of its random values given.
    pub fn add_with(&mut self, text: &str, random: Box<dyn Random>) -> usize {
        let n = self.nodes.len();
        let random = Shared::new(random);
        self.nodes.push(Node {
            address: address(n),
            engine: Engine::new(self.now(), Box::new(random.clone())),
            config: config(text),
            applied: None,
            random,
            log: Vec::new(),
            events: Vec::new(),
            pongs: Vec::new(),
            ports: BTreeMap::new(),
            file: None,
            announced: Vec::new(),
            attach_outcomes: VecDeque::new(),
            hold_attachments: false,
            held: Vec::new(),
            addresses: Ok(vec![address(1)]),
            lookups: 0,
            prepare_outcomes: VecDeque::new(),
            hold_preparations: false,
            leaves: None,
            carries: Vec::new(),
            heard: BTreeMap::new(),
            asked: 0,
            sent: 0,
            seen_port: None,
            routes: BTreeMap::new(),
            watched: BTreeSet::new(),
            tunnels: BTreeMap::new(),
        });
        n
    }

    pub fn now(&self) -> Instant {
        self.base + self.time
    }

    /// Applies the configuration of node `n`.
    pub fn start(&mut self, n: usize) {
        let config = self.nodes[n].config.clone();
        self.act(n, |engine, now| engine.apply(now, &config));
        self.nodes[n].applied = Some(config);
    }

    pub fn start_all(&mut self) {
        for n in 0..self.nodes.len() {
            self.start(n);
        }
    }

    /// Another configuration for node `n`.
    pub fn reload(&mut self, n: usize, text: &str) {
        self.nodes[n].config = config(text);
        self.start(n);
    }

    /// Node `n` is killed and starts again, without a word to anybody.
    pub fn crash(&mut self, n: usize) {
        let random = Box::new(Dice(self.rng.next()));
        self.crash_with(n, random);
    }

    /// The same, with the source of its random values given.
    pub fn crash_with(&mut self, n: usize, random: Box<dyn Random>) {
        let now = self.now();
        let node = &mut self.nodes[n];
        node.random = Shared::new(random);
        node.applied = None;
        node.engine = Engine::new(now, Box::new(node.random.clone()));
        node.ports.clear();
        node.held.clear();
        node.watched.clear();
        node.tunnels.clear();
        self.start(n);
    }

    /// Calls into an engine, then drains its actions.
    pub fn act<T>(&mut self, n: usize, call: impl FnOnce(&mut Engine, Instant) -> T) -> T {
        let now = self.now();
        if self.taken_over.as_mut().is_some_and(|(percent, rng)| rng.chance(*percent)) {
            self.take_over(n);
        }
        let result = call(&mut self.nodes[n].engine, now);
        self.drain(n);
        self.nodes[n].write_down(now);
        result
    }

    /// From now on node `n` has a state file.
    pub fn keep_file(&mut self, n: usize) {
        self.nodes[n].file = Some(StateFile::default());
        self.act(n, |engine, _| engine.keep_records());
    }

    /// Node `n` is killed and starts again, with what its state file says.
    pub fn crash_with_file(&mut self, n: usize) {
        self.crash(n);
        self.read_file(n);
    }

    /// Node `n`, which has just begun, reads its state file.
    pub fn read_file(&mut self, n: usize) {
        let now = self.now();
        let node = &mut self.nodes[n];
        let Some(file) = &mut node.file else { return };
        let config = &node.config;
        let block = |name: &str| config.tunnels.iter().find(|tunnel| tunnel.name == name);
        let found =
            record::read(&file.octets, now, &file.machine, |name| Some(record::secrets(block(name)?)));
        file.octets.truncate(found.end);
        file.number = file.number.max(found.highest);
        file.written.clear();
        let entries = found.entries;
        self.act(n, |engine, now| {
            for (tunnel, entry) in entries {
                match entry.1 {
                    Content::Connection(record) => engine.resume(now, &tunnel, Ok(record)),
                    Content::Refused(why) => engine.resume(now, &tunnel, Err(why)),
                    Content::None => {}
                }
            }
            engine.keep_records();
        });
    }

    /// Another engine goes on in place of that of node `n`, with nothing but what that one has written.
    pub fn take_over(&mut self, n: usize) {
        let now = self.now();
        let node = &mut self.nodes[n];
        let Some(config) = &node.applied else { return };
        let mut writer = Writer::new(now);
        node.engine.save(&mut writer);
        let octets = writer.finish();
        let mut reader = Reader::new(&octets, now).unwrap();
        let engine = Engine::restore(&mut reader, now, config, Box::new(node.random.clone())).unwrap();
        reader.end().unwrap();
        // It knows the same, and writes it in the same way.
        let mut again = Writer::new(now);
        engine.save(&mut again);
        assert!(again.finish() == octets, "what was read is what was written");
        assert_eq!(format!("{:?}", snapshot(&engine, now)), format!("{:?}", snapshot(&node.engine, now)));
        node.engine = engine;
        self.takeovers += 1;
    }

    fn drain(&mut self, n: usize) {
        for _ in 0..self.most_actions {
            let Some(action) = self.nodes[n].engine.poll_action() else { return };
            self.perform(n, action);
        }
        panic!("node {n} acts without end at {:?}", self.time);
    }

    fn perform(&mut self, n: usize, action: Action) {
        if let Some(done) = &mut self.done {
            (n, self.time, format!("{action:?}")).hash(done);
        }
        let (now, time) = (self.now(), self.time);
        let node = &mut self.nodes[n];
        match action {
            Action::Transmit { path, message, .. } | Action::Probe { path, message, .. } => {
                self.transmit(n, path, message)
            }
            Action::MeasurePath { connection, .. } => {
                let limit = node.leaves;
                node.engine.path_measured(now, connection, limit);
            }
            Action::PathMtu { mtu, .. } => {
                if node.carries.last().is_none_or(|(_, last)| *last != mtu) {
                    node.carries.push((time, mtu));
                }
            }
            Action::Log(line) => {
                node.follow_tunnel(&line.text);
                node.log.push((time, line));
            }
            Action::Resolve { tunnel, name } => {
                node.lookups += 1;
                let addresses = node.addresses.clone();
                node.engine.resolved(now, &tunnel, &name, addresses);
            }
            Action::Prepare { .. } if node.hold_preparations => {}
            Action::Prepare { tunnel, peer, purpose: Purpose::Ask } => {
                let path = node.path(&tunnel, peer);
                node.engine.prepared_to_ask(now, &tunnel, peer, Some(path));
            }
            Action::Prepare { tunnel, peer, purpose: Purpose::Serve } => {
                let outcome = match node.prepare_outcomes.pop_front() {
                    Some(Err(why)) => Err(why),
                    Some(Ok(())) | None => Ok(node.path(&tunnel, peer)),
                };
                node.engine.prepared(now, &tunnel, outcome);
            }
            Action::Attach(attachment) => {
                let session = attachment.local;
                let outcome = node.attach_outcomes.pop_front().unwrap_or(Ok(()));
                let path = attachment.path;
                let attachment = *attachment;
                let port = Port { attachment, receive: false, send: false, carrier: false, path, next: None };
                assert!(node.ports.insert(session, port).is_none(), "session {session} attached twice");
                node.held.push((session, outcome));
                if !node.hold_attachments {
                    self.answer_attachments(n);
                }
            }
            Action::Gate { session, receive, send, carrier } => {
                let port =
                    node.ports.get_mut(&session).unwrap_or_else(|| panic!("gate of unattached {session}"));
                (port.receive, port.send, port.carrier) = (receive, send, carrier);
            }
            Action::Number { session, next } => {
                let port = node.ports.get_mut(&session);
                port.unwrap_or_else(|| panic!("unattached {session} is numbered")).next = Some(next);
            }
            Action::Announce { session } => {
                let port =
                    node.ports.get(&session).unwrap_or_else(|| panic!("unattached {session} announces"));
                assert!(port.send, "frames must flow first");
                node.announced.push(port.path.remote.ip());
            }
            Action::Move { session, path } => {
                let port =
                    node.ports.get_mut(&session).unwrap_or_else(|| panic!("move of unattached {session}"));
                port.path = path;
            }
            Action::Detach { session } => {
                assert!(node.ports.remove(&session).is_some(), "detach of unattached {session}");
            }
            Action::Watch { key } => {
                let route = node.route(key);
                assert!(node.watched.insert(key), "{key:?} is watched already");
                node.engine.route(now, key, route);
            }
            Action::Unwatch { key } => assert!(node.watched.remove(&key), "{key:?} was not watched"),
            Action::Pong(pong) => node.pongs.push((pong.round_trip, pong.transmissions)),
            Action::Notify(notification) => node.events.push((time, notification)),
        }
    }

    /// The interface of a session of node `n` fails.
    pub fn data_plane_fails(&mut self, n: usize, session: SessionId) {
        self.act(n, |engine, now| engine.data_plane_failed(now, session, "it failed"));
    }

    /// Connections of node `n` of which its log has not told the end.
    pub fn open_connections(&self, n: usize) -> usize {
        self.nodes[n].tunnels.len()
    }

    /// Answers the attachments that are held back.
    pub fn answer_attachments(&mut self, n: usize) {
        let now = self.now();
        let node = &mut self.nodes[n];
        for (session, outcome) in std::mem::take(&mut node.held) {
            if outcome.is_err() {
                node.ports.remove(&session);
            }
            node.engine.attached(now, session, outcome);
        }
        self.drain(n);
    }

    fn transmit(&mut self, n: usize, path: Path, octets: Vec<u8>) {
        let node = &mut self.nodes[n];
        node.sent += 1;
        let port = node.seen_port.filter(|_| path.encapsulation == Encapsulation::Udp);
        let from = SocketAddr::new(node.address, port.unwrap_or(path.local.port()));
        self.send(path.encapsulation, from, path.remote, octets);
    }

    /// Puts a datagram on the wire.
    pub fn send(&mut self, encapsulation: Encapsulation, from: SocketAddr, to: SocketAddr, octets: Vec<u8>) {
        let mut datagram = Datagram { at: self.time, encapsulation, from, to, octets };
        if let Some((0, bit)) = self.damage {
            datagram.octets[bit / 8] ^= 0x80 >> (bit % 8);
        }
        self.damage = self.damage.and_then(|(left, bit)| Some((left.checked_sub(1)?, bit)));
        if self.capture {
            self.wire.push(datagram.clone());
        }
        if let Some(mangle) = &mut self.mangle {
            mangle(&mut self.rng, &mut datagram);
        }
        for delay in (self.fault)(&mut self.rng, &datagram) {
            self.serial += 1;
            self.flight.insert((self.time + delay, self.serial), datagram.clone());
        }
    }

    fn deliver(&mut self, datagram: Datagram) {
        let Some(n) = self.nodes.iter().position(|node| node.address == datagram.to.ip()) else {
            return self.inbox.push(datagram);
        };
        let mut local = datagram.to;
        match self.nodes[n].seen_port {
            Some(seen) if seen == local.port() => local.set_port(1701),
            // The NAT has forgotten this port.
            Some(_) if datagram.encapsulation == Encapsulation::Udp => return,
            Some(_) | None => {}
        }
        let path =
            Path { encapsulation: datagram.encapsulation, local, remote: datagram.from, via: Via::ANY };
        self.act(n, |engine, now| engine.handle_datagram(now, path, &datagram.octets));
    }

    /// When something happens next.
    pub fn next_event(&self) -> Option<Duration> {
        let timers = self.nodes.iter().filter_map(|node| node.engine.next_timeout());
        let timers = timers.map(|at| at.saturating_duration_since(self.base));
        let flight = self.flight.first_key_value().map(|((at, _), _)| *at);
        timers.chain(flight).min()
    }

    /// Lets time pass up to `until`.
    pub fn run_until(&mut self, until: Duration) {
        while let Some(at) = self.next_event().filter(|at| *at <= until) {
            self.time = self.time.max(at);
            self.step();
        }
        self.time = self.time.max(until);
    }

    /// Everything that is due now.
    fn step(&mut self) {
        if self.events_now.0 != self.time {
            self.events_now = (self.time, 0);
        }
        while let Some(entry) = self.flight.first_entry().filter(|e| e.key().0 <= self.time) {
            self.events_now.1 += 1;
            assert!(self.events_now.1 < MOST_EVENTS, "no end of events at {:?}", self.time);
            let datagram = entry.remove();
            self.deliver(datagram);
        }
        for n in 0..self.nodes.len() {
            self.events_now.1 += 1;
            assert!(self.events_now.1 < MOST_EVENTS, "no end of events at {:?}", self.time);
            let node = &self.nodes[n];
            let stamps = node.heard.iter();
            let connection = |id| node.ports.get(id).and_then(|port| port.attachment.connection);
            let heard: Vec<_> = stamps.map(|(id, at)| (connection(id), *at)).collect();
            let asked = Cell::new(0);
            let of = |ccid| {
                asked.set(asked.get() + 1);
                heard.iter().filter(|(of, _)| *of == Some(ccid)).map(|(_, at)| *at).max()
            };
            self.act(n, |engine, now| engine.handle_timeout(now, &of));
            self.nodes[n].asked += asked.get();
        }
    }

    pub fn run(&mut self, span: Duration) {
        self.run_until(self.time + span);
    }

    pub fn run_seconds(&mut self, seconds: u64) {
        self.run(Duration::from_secs(seconds));
    }

    /// Runs until `done`, at most `limit`; says whether it came to that.
    pub fn run_while_not(&mut self, limit: Duration, done: impl Fn(&World) -> bool) -> bool {
        let end = self.time + limit;
        while !done(self) {
            match self.next_event().filter(|at| *at <= end) {
                Some(at) => self.run_until(at),
                None => {
                    self.time = end;
                    return done(self);
                }
            }
        }
        true
    }

    // ----- what is looked at -----

    pub fn snapshot(&self, n: usize) -> Snapshot {
        snapshot(&self.nodes[n].engine, self.now())
    }

    pub fn tunnel(&self, n: usize) -> TunnelSnapshot {
        let mut snapshot = self.snapshot(n);
        snapshot.tunnels.swap_remove(0)
    }

    pub fn session(&self, n: usize, interface: &str) -> SessionSnapshot {
        let sessions = self.tunnel(n).sessions;
        sessions.into_iter().find(|s| s.interface == interface).unwrap_or_else(|| panic!("no {interface}"))
    }

    /// Whether tunnel and sessions of node `n` are established.
    pub fn is_up(&self, n: usize) -> bool {
        let tunnel = self.tunnel(n);
        tunnel.state.status_name() == "established"
            && tunnel.sessions.iter().all(|s| s.disabled || s.state.status_name() == "established")
    }

    pub fn both_up(&self) -> bool {
        self.is_up(0) && self.is_up(1) && self.agreement().is_ok()
    }

    /// Whether nodes 0 and 1 mean the same connection and the same sessions: ids and cookies are crosswise equal.
    pub fn agreement(&self) -> Result<(), String> {
        self.same_values((0, &self.tunnel(0)), (1, &self.tunnel(1)))
    }

    /// The same of a tunnel that has these two ends, and both are up.
    pub fn agree(&self, a: (usize, &TunnelSnapshot), b: (usize, &TunnelSnapshot)) -> Result<(), String> {
        for (n, tunnel) in [a, b] {
            let down = |what: &str, state: &str| Err(format!("{what} of node {n} is {state}"));
            match tunnel.state.status_name() {
                "established" => {}
                state => return down(&tunnel.name, state),
            }
            for session in &tunnel.sessions {
                match session.state.status_name() {
                    "established" => {}
                    state => return down(&session.interface, state),
                }
            }
        }
        self.same_values(a, b)
    }

    fn same_values(
        &self,
        (m, a): (usize, &TunnelSnapshot),
        (n, b): (usize, &TunnelSnapshot),
    ) -> Result<(), String> {
        let same = |what: &str, x: u64, y: u64| {
            if x == y && x != 0 {
                Ok(())
            } else {
                Err(format!("{what}: {x} here, {y} there"))
            }
        };
        same("connection of a", u64::from(a.local_ccid.0), u64::from(b.remote_ccid.0))?;
        same("connection of b", u64::from(b.local_ccid.0), u64::from(a.remote_ccid.0))?;
        for s in &a.sessions {
            let t =
                b.sessions.iter().find(|t| t.remote_end_id == s.remote_end_id).ok_or("no such session")?;
            same("session of a", u64::from(s.local.0), u64::from(t.remote.0))?;
            same("session of b", u64::from(t.local.0), u64::from(s.remote.0))?;
            if s.local_cookie != t.remote_cookie || s.remote_cookie != t.local_cookie {
                return Err("cookies differ".into());
            }
            for (node, session) in [(m, s), (n, t)] {
                self.nodes[node].check_port(session)?;
            }
        }
        Ok(())
    }

    /// Both ends are up with the same ids; the data plane has exactly the sessions of the configuration.
    pub fn assert_both_up(&self) {
        for n in 0..2 {
            let tunnel = self.tunnel(n);
            assert!(self.is_up(n), "node {n} at {:?}: {tunnel:#?}\n{}", self.time, self.transcript(n));
            assert_eq!(self.nodes[n].ports.len(), tunnel.sessions.iter().filter(|s| !s.disabled).count());
        }
        self.agreement()
            .unwrap_or_else(|why| panic!("{why}\n{}\n{}", self.transcript(0), self.transcript(1)));
    }

    /// The log of a node, with times.
    pub fn transcript(&self, n: usize) -> String {
        let lines = self.nodes[n].log.iter().map(|(at, line)| {
            let detail = line.detail.as_deref().map(|d| format!("  | {d}")).unwrap_or_default();
            format!("{n} {:>9.3} {:5} {}{detail}\n", at.as_secs_f64(), line.level, line.text)
        });
        lines.collect()
    }

    /// How often a happening was notified by node `n`.
    pub fn happened(&self, n: usize, what: TunnelEvent) -> usize {
        self.nodes[n].events.iter().filter(|(_, e)| e.what == what).count()
    }

    /// How many lines of node `n`'s log contain `text`.
    pub fn logged(&self, n: usize, text: &str) -> usize {
        self.nodes[n].log.iter().filter(|(_, line)| line.text.contains(text)).count()
    }

    /// Forgets what was logged, notified and captured so far.
    pub fn forget(&mut self) {
        self.wire.clear();
        self.inbox.clear();
        for node in &mut self.nodes {
            node.log.clear();
            node.events.clear();
        }
    }
}

impl Node {
    /// Adds to the state file what is new.
    fn write_down(&mut self, now: Instant) {
        let Some(file) = self.file.as_mut().filter(|file| !file.held) else { return };
        let ports = &self.ports;
        let sequence = file.sequence;
        let number = |id: SessionId| ports.contains_key(&id).then_some(sequence);
        while let Some((key, tunnel)) = self.engine.take_record(now, &number) {
            let before = file.written.get(&key).cloned();
            let (name, mut record, secret) = match tunnel {
                Some(TunnelRecord { config, record }) => {
                    (config.name.clone(), record, record::secrets(config).swap_remove(0))
                }
                None => match &before {
                    Some((name, _)) => (name.clone(), None, Secret::new(b"")),
                    None => continue,
                },
            };
            let edition = record.as_mut().map(|record| record.edition(now));
            if before.as_ref().is_some_and(|(_, known)| *known == edition) {
                continue;
            }
            file.number += 1;
            let stamp = Stamp { number: file.number, time: 0, boot: Vec::new() };
            let entry = record::entry(now, &file.machine, &stamp, (&name, record.as_ref()), &secret);
            file.octets.extend(entry);
            file.entries += 1;
            file.written.insert(key, (name, edition));
        }
    }

    /// M-051 M-072 M-074: created, cleaned up, deleted; each once and in this order.
    fn follow_tunnel(&mut self, text: &str) {
        let Some((id, rest)) = text.strip_prefix('[').and_then(|t| t.split_once("] ")) else { return };
        if rest == "create new tunnel, state --> IDLE" {
            assert_eq!(self.tunnels.insert(id.to_owned(), false), None, "{text}");
        } else if rest.starts_with("cleanup tunnel: ") {
            assert_eq!(self.tunnels.insert(id.to_owned(), true), Some(false), "{text}");
        } else if rest == "delete tunnel" {
            assert_eq!(self.tunnels.remove(id), Some(true), "{text}");
        }
    }

    /// What the system says of a route.
    fn route(&self, key: RouteKey) -> Route {
        let usual = Route {
            next_hop: Some(NextHop { device: 1, gateway: None }),
            source: Some(self.address),
            own: true,
            deprecated: false,
        };
        self.routes.get(&key).copied().unwrap_or(usual)
    }

    /// What the daemon would make of a tunnel's addresses.
    fn path(&self, name: &str, peer: Option<IpAddr>) -> Path {
        let tunnel = self.config.tunnels.iter().find(|t| t.name == name).expect("prepared tunnels exist");
        let remote = peer.unwrap_or(IpAddr::from([0; 4]));
        let unspecified = if remote.is_ipv4() { IpAddr::from([0; 4]) } else { IpAddr::from([0; 16]) };
        let (local_port, remote_port) = match tunnel.encapsulation() {
            Encapsulation::Ip => (0, 0),
            Encapsulation::Udp => (tunnel.udp_port.local, tunnel.udp_port.remote),
        };
        Path {
            encapsulation: tunnel.encapsulation(),
            local: SocketAddr::new(tunnel.local_address.unwrap_or(unspecified), local_port),
            remote: SocketAddr::new(remote, remote_port),
            via: tunnel.via(),
        }
    }

    /// The data plane's idea of a session that the engine shows as established.
    fn check_port(&self, session: &SessionSnapshot) -> Result<(), String> {
        let port = self.ports.get(&session.local).ok_or("established without data plane")?;
        let a = &port.attachment;
        let same = a.interface == session.interface
            && a.remote == session.remote
            && a.cookie_expected == session.local_cookie
            && a.cookie_to_send == session.remote_cookie;
        if !same {
            return Err("the data plane has other values".into());
        }
        Ok(())
    }

    /// The texts of the log from `level` up, without times.
    pub fn texts(&self, level: Level) -> Vec<String> {
        let lines = self.log.iter().filter(|(_, line)| line.level <= level);
        lines.map(|(_, line)| format!("{:5} {}", line.level, line.text)).collect()
    }
}
