//! The daemon's state, and what becomes of the engine's actions. The rule that holds it together: each call into
//! the engine is followed by [`Daemon::drain`], which does all that the engine asks for, before the next call.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

use super::admin_host::StreamEvent;
use super::args::Options;
use super::commands::Commands;
use super::datapath::{Attached, DataPlane, DataPlaneEvent, Failure, Interface, SocketKey};
use super::hook::Hooks;
use super::logger::Logger;
use super::prepare::{prepare, Unprepared, NO_ADDRESS};
use super::reading::usable;
use super::resolve::{Answer, Resolver};
use super::routes::Routes;
use super::stream::StreamEvents;
use super::unreachable::Unreachable;
use crate::admin::trace::Record;
use crate::config::model::{Config, TunnelConfig};
use crate::gather;
use crate::log::{Event, LogLine, Remark};
use crate::proto::dropped::DropCause;
use crate::proto::{Action, Engine, Notification, Path, Purpose, Random, Route, RouteKey, TunnelEvent};
use crate::sys::notify::Notifier;
use crate::sys::socket::{source_address, Fragmentation};
use crate::sys::{clock, process};
use crate::wiped::Wiped;
use crate::wire::{Ccid, SessionId};

/// The engine, and what does what it asks for.
#[allow(missing_docs)] // a field whose type says all has no more
pub struct Daemon {
    pub engine: Engine,
    /// Sockets and interfaces.
    pub data: DataPlane,
    pub logger: Logger,
    /// In force.
    pub config: Config,
    /// The same as it was read, while another program is about to take over, which reads it again; else nothing, for there
    /// are passwords in it, or it is not what is in force any more.
    pub text: Option<Wiped>,
    /// What the command line says; the paths in it are whole ones.
    pub options: Options,
    /// To the service manager.
    pub manager: Notifier,
    /// The commands of `on-event`.
    pub hooks: Hooks,
    /// What they and the resolver have run.
    pub commands: Commands,
    pub resolver: Resolver,
    /// The routes to the peers.
    pub routes: Routes,
    pub started: Instant,
    /// For the clients of the admin server that follow.
    pub stream: StreamEvents,
    /// A reload may have left sockets that nobody needs.
    pub sockets_stale: bool,
    /// Peers that the last message could not be sent to.
    pub unreachable: Unreachable,
    /// A child process may have ended, or one is to be started.
    pub look_after_children: bool,
    /// The administrator wants another program to go on in place of this one.
    pub restart: bool,
    /// The places of the tunnel blocks, by their names.
    places: BTreeMap<String, usize>,
    /// Used again: control messages of one turn.
    received: Vec<(Path, Vec<u8>)>,
}

/// What the engine is to be told once its actions are drained.
enum Reply {
    Prepared(String, Result<Path, Unprepared>),
    PreparedToAsk(String, Option<IpAddr>, Option<Path>),
    Route(RouteKey, Route),
    Attached(SessionId, Result<(), String>),
    Measured(Ccid, Option<usize>),
}

/// The random source of an engine that needs none: it is over, or only looked at.
pub struct NoRandom;

impl Random for NoRandom {
    fn fill(&mut self, _: &mut [u8]) -> Result<(), String> {
        Err("none is needed".to_owned())
    }
}

impl Daemon {
    /// A daemon whose `engine` knows nothing of the configuration yet.
    pub fn new(
        now: Instant,
        options: Options,
        config: Config,
        mut logger: Logger,
        engine: Engine,
        data: DataPlane,
    ) -> Daemon {
        let (routes, trouble) = Routes::open();
        if let Some(error) = trouble {
            logger.remark(now, &Remark::Routes { error });
        }
        let hooks = Hooks::new(options.event_limit);
        // In the background nobody waits for our word: the parent's end tells that we are ready.
        let manager = match options.foreground {
            true => Notifier::from_environment(now, std::process::id()),
            false => Notifier::default(),
        };
        Daemon {
            engine,
            data,
            logger,
            config,
            text: None,
            options,
            manager,
            hooks,
            commands: Commands::default(),
            resolver: Resolver::default(),
            routes,
            started: now,
            stream: StreamEvents::default(),
            sockets_stale: false,
            unreachable: Unreachable::default(),
            look_after_children: false,
            restart: false,
            places: BTreeMap::new(),
            received: Vec::new(),
        }
    }

    /// Hands the configuration in force to the engine, which has none yet.
    pub fn apply(&mut self, now: Instant) {
        self.index();
        self.engine.apply(now, &self.config);
        self.tell_circuits(now, |_| true);
        self.drain(now);
    }

    /// Sessions that are set up anew begin with an interface that is up, as far as the engine knows: it is told how it is.
    /// `changed` finds their tunnels, by their names.
    pub fn tell_circuits(&mut self, now: Instant, changed: impl Fn(&str) -> bool) {
        let tunnels = self.config.tunnels.iter().filter(|tunnel| changed(&tunnel.name));
        for session in tunnels.flat_map(|t| &t.sessions) {
            if let Some(up) = self.data.circuit(&session.interface) {
                self.engine.circuit(now, &session.interface, up);
            }
        }
    }

    /// Finds the places of the tunnel blocks.
    pub fn index(&mut self) {
        let names = self.config.tunnels.iter().enumerate();
        self.places = gather::map(names.map(|(place, tunnel)| (tunnel.name.clone(), place)));
    }

    /// Does what the engine asks for, its reactions to the results included.
    pub fn drain(&mut self, now: Instant) {
        let mut replies = VecDeque::new();
        loop {
            while let Some(action) = self.engine.poll_action() {
                self.perform(now, action, &mut replies);
            }
            match replies.pop_front() {
                Some(Reply::Prepared(tunnel, path)) => self.prepared(now, &tunnel, path),
                Some(Reply::PreparedToAsk(tunnel, peer, path)) => {
                    self.engine.prepared_to_ask(now, &tunnel, peer, path);
                }
                Some(Reply::Route(key, route)) => self.engine.route(now, key, route),
                Some(Reply::Attached(session, result)) => self.engine.attached(now, session, result),
                Some(Reply::Measured(ccid, limit)) => self.engine.path_measured(now, ccid, limit),
                None => return,
            }
        }
    }

    fn perform(&mut self, now: Instant, action: Action, replies: &mut VecDeque<Reply>) {
        match action {
            Action::Transmit { path, ttl, message } => {
                let sent = self.data.send_control(&path, &message, (ttl, Fragmentation::Allowed));
                self.transmitted(now, &path, message, sent);
            }
            Action::Probe { path, ttl, message } => {
                // One that is too long for the interface is lost like one that is too long for the path.
                let _ = self.data.send_control(&path, &message, (ttl, Fragmentation::Probe));
                self.transmitted(now, &path, message, Ok(()));
            }
            Action::MeasurePath { connection, path } => {
                replies.push_back(Reply::Measured(connection, self.data.path_mtu(&path)));
            }
            Action::PathMtu { path, mtu } => self.data.path_carries(now, &path, mtu),
            Action::Log(line) => self.logger.log(now, &line),
            Action::Resolve { tunnel, name } => {
                if let Some(why) = self.look_up(&tunnel, &name) {
                    replies.push_back(Reply::Prepared(tunnel, Err(why)));
                }
            }
            Action::Prepare { tunnel, peer, purpose } => {
                let result = self.prepare(now, &tunnel, peer);
                replies.push_back(match purpose {
                    Purpose::Serve => Reply::Prepared(tunnel, result),
                    Purpose::Ask => Reply::PreparedToAsk(tunnel, peer, result.ok()),
                });
            }
            Action::Attach(attachment) => {
                let result = match self.data.attach(&attachment) {
                    Ok(Attached::Now) => Ok(()),
                    Ok(Attached::Later) => return, // an event of the data plane will tell
                    Err(failure) => Err(self.interface_failed(now, &attachment.interface, &failure)),
                };
                replies.push_back(Reply::Attached(attachment.local, result));
            }
            Action::Gate { session, receive, send, carrier } => {
                self.data.gate(session, receive, send, carrier)
            }
            Action::Number { session, next } => self.data.number(session, next),
            Action::Announce { session } => self.data.announce(now, session),
            Action::Move { session, path } => self.data.move_session(session, &path),
            Action::Detach { session } => self.data.detach(session),
            Action::Watch { key } => replies.push_back(Reply::Route(key, self.routes.watch(key))),
            Action::Unwatch { key } => self.routes.forget(key),
            Action::Notify(notification) => self.notify(now, notification),
            Action::Pong(pong) => self.stream.push(StreamEvent::Pong(pong)),
        }
    }

    fn transmitted(&mut self, now: Instant, path: &Path, message: Vec<u8>, sent: io::Result<()>) {
        // What could not be sent is as if it was lost on the way: the retransmission decides.
        if let Some(remark) = self.unreachable.note(path.remote.ip(), sent) {
            self.logger.remark(now, &remark);
        }
        self.stream.message(|| {
            let mut path = *path;
            if path.local.ip().is_unspecified() {
                // `local-address auto`: the kernel chose it when the message was sent.
                if let Ok(source) = source_address(path.remote, path.via.device.name(), path.via.mark) {
                    path.local.set_ip(source);
                }
            }
            Record { time: clock::wall(), sent: true, path, message }
        });
    }

    fn notify(&mut self, now: Instant, notification: Notification) {
        // That an attempt begins is no event for others yet.
        let matters = notification.what != TunnelEvent::TunnelConnecting;
        let block = self.tunnel(&notification.tunnel).filter(|_| matters);
        let command = block.and_then(|t| t.on_event.clone());
        if let Some(words) = command {
            self.look_after_children = true;
            if let Some(line) = self.hooks.call(&words, &notification) {
                self.logger.log(now, &line);
            }
        }
        if self.stream.wanted.events {
            self.stream.push(StreamEvent::Event(clock::wall(), notification));
        }
    }

    /// Another program goes on: what this one knows is overwritten as far as it is secret, and nothing is removed.
    pub fn forget(&mut self) {
        self.config = Config::default();
        self.text = None;
        self.engine = Engine::new(self.started, Box::new(NoRandom));
        self.data.forget();
    }

    /// The tunnel block of a name.
    pub fn tunnel(&self, name: &str) -> Option<&Rc<TunnelConfig>> {
        self.config.tunnels.get(*self.places.get(name)?)
    }

    /// Begins to look up a name of a tunnel's peer; why that is no use now.
    fn look_up(&mut self, tunnel: &str, name: &str) -> Option<Unprepared> {
        if !self.routes.has_address() {
            return Some(Unprepared::NoRoute(None, NO_ADDRESS.to_string()));
        }
        self.look_after_children = true;
        self.resolver.look_up(tunnel, name);
        None
    }

    /// A name was looked up.
    fn resolved(&mut self, now: Instant, answer: Answer) {
        let Answer { tunnel, name, result } = answer;
        // Else the configuration has changed meanwhile; the engine asks anew.
        if self.tunnel(&tunnel).is_some_and(|block| block.names().any(|wanted| wanted == name)) {
            let addresses = result.map_err(|why| format!("the name {name} cannot be looked up: {why}"));
            self.engine.resolved(now, &tunnel, &name, addresses);
            self.drain(now);
        }
    }

    fn prepare(&mut self, now: Instant, name: &str, peer: Option<IpAddr>) -> Result<Path, Unprepared> {
        let tunnel = self.tunnel(name).cloned().ok_or(Unprepared::Gone)?;
        let result = prepare(&mut self.routes, &mut self.data, &tunnel, peer);
        if let Err(Unprepared::Socket(key, error)) = &result {
            let event = Event::SocketFailed { error: error.clone() };
            self.logger.log(now, &LogLine::with_detail(&event, format!("tunnel {name}: {key}")));
        }
        result
    }

    /// The engine hears what came of it.
    fn prepared(&mut self, now: Instant, tunnel: &str, path: Result<Path, Unprepared>) {
        let path = match path {
            Ok(path) => Ok(path),
            Err(Unprepared::Gone) => Err("the tunnel is gone".to_owned()),
            Err(Unprepared::Socket(key, error)) => Err(format!("{key}: {error}")),
            Err(Unprepared::NoRoute(peer, why)) => return self.engine.no_route(now, tunnel, peer, &why),
        };
        self.engine.prepared(now, tunnel, path);
    }

    /// Makes the interface of each session of a tunnel that may come up.
    pub fn make_interfaces(&mut self, now: Instant, tunnel: &TunnelConfig) {
        for session in usable(tunnel) {
            if let Err(failure) = self.data.configure_interface(&Interface::new(tunnel, session)) {
                self.interface_failed(now, &session.interface, &failure);
            }
        }
    }

    /// The same in the next turns. What is the same as in `old`, which tells the interface as it was configured before, is
    /// not touched: the administrator may have changed it.
    pub fn plan_interfaces(&mut self, tunnel: &TunnelConfig, old: impl Fn(&str) -> Option<Interface>) {
        for session in usable(tunnel) {
            let interface = Interface::new(tunnel, session);
            let present = self.data.has_interface(&interface.name);
            if !present || old(&interface.name).as_ref() != Some(&interface) {
                self.data.plan_interface(&interface);
            }
        }
    }

    /// Logs why an interface could not be made or a session attached to it; the text.
    fn interface_failed(&mut self, now: Instant, interface: &str, failure: &Failure) -> String {
        failure.lines(interface).iter().for_each(|line| self.logger.log(now, line));
        failure.to_string()
    }

    /// Gives the data plane its turn, and the engine what came of it.
    pub fn turn(&mut self, now: Instant) -> Turn {
        let mut received = std::mem::take(&mut self.received);
        let more = self.data.turn(now, &mut |path, message| received.push((path, message.to_vec())));
        let mut other_work = !received.is_empty();
        for (path, message) in received.drain(..) {
            let copy = || Record { time: clock::wall(), sent: false, path, message: message.clone() };
            self.stream.message(copy);
            // One without an id of ours begins anew, and is nobody's yet.
            let id = message.get(4..8).and_then(|id| id.try_into().ok()).map_or(0, u32::from_be_bytes);
            let is_new = id == 0;
            if !is_new && !self.engine.has_connection(Ccid(id)) {
                self.data.other_connection();
            }
            let established = !is_new && self.engine.is_established_with(path.remote);
            self.engine.handle_datagram(now, path, &message);
            let established = established || !is_new && self.engine.is_established_with(path.remote);
            self.logger.caused_by(Some((path.remote.ip(), established)));
            self.drain(now);
            self.logger.caused_by(None);
        }
        self.received = received;
        if self.data.asks_for_connections() {
            self.data.know_connections(self.engine.connection_ids());
        }
        if let Some((address, id, count)) = self.data.take_unmatched() {
            self.engine.dropped(now, address, DropCause::Session(id), count);
            self.drain(now);
        }
        for of in self.data.take_net_events() {
            other_work = true;
            self.routes.net_event(now, &of);
        }
        let events: Vec<DataPlaneEvent> = self.data.take_events().collect();
        other_work |= !events.is_empty();
        for event in events {
            self.data_plane_event(now, event);
        }
        Turn { more, other_work }
    }

    fn data_plane_event(&mut self, now: Instant, event: DataPlaneEvent) {
        match event {
            DataPlaneEvent::Attached { session, result } => {
                let result = result.map_err(|(interface, no)| self.interface_failed(now, &interface, &no));
                self.engine.attached(now, session, result);
            }
            DataPlaneEvent::NotMade { interface, failure } => {
                self.interface_failed(now, &interface, &failure);
            }
            DataPlaneEvent::InterfaceGone { interface, session } => {
                let remark = Remark::InterfaceDeleted { interface };
                self.logger.remark(now, &remark);
                if let Some(session) = session {
                    self.engine.data_plane_failed(now, session, &remark.to_string());
                }
            }
            DataPlaneEvent::Echo(echo) => self.stream.push(StreamEvent::Echo(echo)),
            DataPlaneEvent::Elsewhere { session, path } => self.engine.heard_elsewhere(now, session, path),
            DataPlaneEvent::AdminState { interface, up } => self.engine.circuit(now, &interface, up),
            DataPlaneEvent::Unreachable { remote, error, refused } => {
                self.engine.unreachable(now, remote, &error, refused);
                self.logger.remark(now, &Remark::Unreachable { peer: remote.ip(), error });
            }
            DataPlaneEvent::ReceiveFailed { socket, error } => {
                self.logger.log(now, &LogLine::with_detail(&Event::RecvfromFailed { error }, socket));
            }
            DataPlaneEvent::Remark(remark) => self.logger.remark(now, &remark),
        }
        self.drain(now);
    }

    /// Runs the timers.
    pub fn timers(&mut self, now: Instant) {
        let data = &self.data;
        self.engine.handle_timeout(now, &|connection| data.heard(connection));
        self.drain(now);
        self.data.timers(now);
        // After a reload, once every connection that it ended has said good-bye.
        if self.sockets_stale && !self.engine.is_stopping() {
            self.sockets_stale = false;
            let keep = gather::set(self.config.tunnels.iter().flat_map(|t| SocketKey::all_of(t)));
            self.data.close_unused(&keep);
        }
    }

    /// Looks at the routes that events may concern, some at a time.
    pub fn look_at_routes(&mut self, now: Instant) {
        let looked = self.routes.turn(now);
        for (key, route) in looked.routes {
            self.data.path_changed(now, key.remote);
            self.engine.route(now, key, route);
            self.drain(now);
        }
        if looked.addresses && self.engine.is_offline() && self.routes.has_address() {
            self.engine.online(now);
            self.drain(now);
        }
    }

    /// Looks after child processes, when there is something to see.
    pub fn children(&mut self, now: Instant) {
        let deadline = self.hooks.next().into_iter().chain(self.resolver.next()).min();
        if !self.look_after_children && deadline.is_none_or(|at| now < at) {
            return;
        }
        self.look_after_children = false;
        self.commands.turn();
        for line in self.hooks.turn(now, &mut self.commands) {
            self.logger.log(now, &line);
        }
        for answer in self.resolver.turn(now, &mut self.commands) {
            self.resolved(now, answer);
        }
        // One that could not be started has ended at once.
        self.look_after_children |= self.commands.has_ended();
        self.data.child_ended();
        process::reap_adopted();
    }

    /// When there is something to do, if nothing else happens.
    pub fn next_timeout(&self, now: Instant) -> Option<Instant> {
        // The admin's commands, and answers of the resolver, come after the children had their turn.
        let at_once = (self.look_after_children || !self.stream.is_empty()).then_some(now);
        let own = [
            at_once,
            self.hooks.next(),
            self.resolver.next(),
            self.logger.next(now),
            self.manager.next(),
            self.routes.next(),
            self.data.next_timeout(now),
        ];
        own.into_iter().flatten().chain(self.engine.next_timeout()).min()
    }
}

/// What came of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// There is more to do at once.
    pub more: bool,
    /// Something other than frames came.
    pub other_work: bool,
}
