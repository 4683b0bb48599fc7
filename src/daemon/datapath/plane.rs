//! The owner of all that the data plane consists of, the only one that looks up places and ids.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use mio::{Registry, Token};

use super::backlog::Deferred;
use super::event::{DataPlaneEvent, Failure, Unmatched};
use super::filter::Filter;
use super::gates::Gates;
use super::hand_over;
use super::interface::Interface;
use super::links::Links;
use super::making;
use super::oam::Own;
use super::port::Port;
use super::pseudowires::{Attached, Pseudowires};
use super::ready::Source;
use super::receive::{Arrivals, Inbound};
use super::sending::Sending;
use super::session::Sessions;
use super::shortcut::Shortcut;
use super::socket_key::SocketKey;
use super::state::{PlaneState, ReceivedFds, SentFds};
use super::tasks::{Task, Tasks};
use super::transmit::Frames;
use crate::admin::report;
use crate::config::model;
use crate::counters::Counters;
use crate::log::Remark;
use crate::proto::{Attachment, Path, Random};
use crate::sys::link::NetEvent;
use crate::sys::socket::Fragmentation;
use crate::sys::{clock, error_text, netif};
use crate::wire::{Ccid, SessionId};

/// How long a turn goes on with making interfaces: so long frames and messages wait. One at least is made in each.
const MAKING: Duration = Duration::from_millis(5);

/// What carries frames between the peers and the interfaces.
pub struct DataPlane {
    wires: Pseudowires,
    links: Links,
    inbound: Option<Box<Inbound>>,
    sending: Sending,
    arrivals: Arrivals,
    own: Own,
    tasks: Tasks,
    filter: Filter,
    /// Sockets were opened since the last turn: their filters are missing.
    opened: bool,
}

impl DataPlane {
    /// A data plane without sockets and interfaces, whose descriptors are registered at `registry` with tokens
    /// from [`FIRST_TOKEN`](super::FIRST_TOKEN) on.
    pub fn new(registry: Registry) -> DataPlane {
        let mut plane = DataPlane {
            wires: Pseudowires::new(registry),
            links: Links::default(),
            inbound: None,
            sending: Sending::default(),
            arrivals: Arrivals::default(),
            own: Own::default(),
            tasks: Tasks::default(),
            filter: Filter::default(),
            opened: false,
        };
        if let Err(error) = plane.links.open(&plane.wires.ready) {
            plane.wires.events.remark(Remark::Links { error: error_text(&error) });
        }
        plane
    }

    /// Decides what carries the frames: see `Pseudowires::choose`.
    pub fn choose(&mut self, plane: model::DataPlane) -> Result<(), Remark> {
        self.wires.choose(plane)
    }

    /// Makes the interfaces of the daemon's own. To be called after [`choose`](DataPlane::choose), unless this goes on with
    /// the data plane of another program.
    pub fn make_pairs(&mut self) {
        self.wires.shortcut.iter_mut().for_each(Shortcut::make_pairs);
    }

    /// Why another program cannot go on with it at this moment, if so: something is half done.
    pub fn is_busy(&self) -> Option<&'static str> {
        match () {
            () if !self.wires.closing.is_idle() => Some("interfaces are being removed"),
            () if !self.wires.waiting.is_empty() => Some("sessions wait for their interfaces"),
            () if !self.tasks.is_empty() || !self.wires.events.0.is_empty() => Some("there are events"),
            () => None,
        }
    }

    /// Sends what waits here, so that all other frames wait in the kernel.
    pub fn settle(&mut self, now: Instant) {
        while self.sending.has_backlog() {
            self.sending.backlog(now, &mut self.wires);
        }
        self.sending.flush(&mut self.wires);
    }

    /// What another program that goes on with it has to know, and the descriptors. Nothing of it may be used any more
    /// once that program goes on.
    pub fn state(&self, descriptors: &mut SentFds) -> PlaneState {
        hand_over::state(&self.wires, self.unmatched(), descriptors)
    }

    /// Another program goes on: forgets the sessions, with their cookies, and nothing else happens.
    pub fn forget(&mut self) {
        self.wires.sessions = Sessions::default();
    }

    /// Goes on with the data plane of another program. `interface` finds what the configuration says of an interface. An
    /// error leaves it half done: the program must end without removing anything.
    pub fn resume(
        &mut self,
        now: Instant,
        state: PlaneState,
        interface: impl Fn(&str) -> Option<Interface>,
        descriptors: &mut ReceivedFds,
    ) -> io::Result<()> {
        self.arrivals.unmatched = state.unmatched;
        let ports = hand_over::resume(&mut self.wires, now, state, interface, descriptors)?;
        self.tasks.add(ports.into_iter().map(Task::Settle));
        self.filter.set(&mut self.wires);
        Ok(())
    }

    /// A token of the data plane was reported ready.
    pub fn ready(&mut self, token: Token) {
        self.wires.ready.reported(token);
    }

    /// Gives each ready descriptor one batch; control messages go to `on_control`. `true`: there is more to do,
    /// poll without waiting and come back.
    pub fn turn(&mut self, now: Instant, on_control: &mut dyn FnMut(Path, &[u8])) -> bool {
        if std::mem::take(&mut self.opened) {
            self.filter.set_opened(&mut self.wires);
        }
        self.wires.shortcut.iter_mut().for_each(Shortcut::begin_turn);
        self.arrivals.datagrams = 0;
        let mut left = self.wires.ready.len();
        while left > 0 {
            let Some(source) = self.wires.ready.next() else { break };
            let more = match source {
                Source::Links => self.read_links(),
                Source::Policies => self.look_at_policies(),
                Source::Socket(at) | Source::Data(at) => {
                    self.sending.flush(&mut self.wires);
                    let data = matches!(source, Source::Data(_));
                    let more = self.receive(now, at, data, on_control);
                    // Much is answered at once, with an acknowledgement or an echo.
                    if let Some(port) = self.arrivals.delivered.take() {
                        left += usize::from(self.wires.ready.add(Source::Port(port)));
                    }
                    more
                }
                Source::Port(at) => {
                    self.sending.transmit(now, &mut self.wires, at, Frames::Read { alone: left == 1 })
                }
            };
            if more {
                self.wires.ready.add(source);
            }
            left -= 1;
        }
        self.sending.flush(&mut self.wires);
        let answers = self.own.take(now, &mut self.wires, &mut self.arrivals.oam);
        self.sending.oam(&mut self.wires, answers);
        self.sending.backlog(now, &mut self.wires);
        self.do_tasks();
        self.make_interfaces();
        self.filter.judge(now, &mut self.arrivals, &mut self.wires);
        self.sending.has_backlog() || self.has_work()
    }

    /// Makes some of the planned interfaces.
    pub fn make_interfaces(&mut self) {
        let begin = clock::now();
        while let Some(at) = self.wires.waiting.take_port() {
            making::make_port(&mut self.wires, at);
            if begin.elapsed() >= MAKING {
                break;
            }
        }
    }

    /// Receives one batch; `true` if there may be more.
    fn receive(
        &mut self,
        now: Instant,
        at: usize,
        data: bool,
        on_control: &mut dyn FnMut(Path, &[u8]),
    ) -> bool {
        let Some(socket) = self.wires.sockets.get(at) else { return false };
        let from = (&self.wires.sockets, socket, data);
        let inbound = self.inbound.get_or_insert_default();
        let tables = (&mut self.wires.sessions, &mut self.wires.ports);
        let results = (&mut self.arrivals, &mut self.wires.events);
        let received = inbound.receive(now, from, tables, results, on_control);
        let Some(socket) = self.wires.sockets.get_mut(at) else { return false };
        match received {
            Ok(more) => {
                socket.received();
                self.wires.unfinished.add(now, &mut self.arrivals.unfinished);
                more
            }
            Err(error) => {
                let again = socket.receive_failed(&error, &mut self.wires.events);
                for peer in socket.read_errors(&mut self.wires.events) {
                    self.path_changed(now, peer);
                }
                again
            }
        }
    }

    /// What tells frames of our own from those of other daemons is a number that is hard to guess.
    pub fn identify(&mut self, random: &mut dyn Random) -> Result<(), String> {
        let mut octets = [0; 8];
        random.fill(&mut octets)?;
        self.own.identifier = u64::from_be_bytes(octets);
        self.arrivals.identifier = self.own.identifier;
        Ok(())
    }

    /// Asks the other end of a session: the number of the request ([`DataPlaneEvent::Echo`]), or why that cannot be.
    pub fn ping(&mut self, interface: &str) -> Result<u32, &'static str> {
        let (number, request) = self.own.request(&self.wires, interface)?;
        self.sending.oam(&mut self.wires, vec![request]);
        Ok(number)
    }

    /// How many datagrams the last turn received.
    pub fn received_in_turn(&self) -> usize {
        self.arrivals.datagrams
    }

    /// What was noticed since the last call.
    pub fn take_events(&mut self) -> std::vec::Drain<'_, DataPlaneEvent> {
        self.wires.events.0.drain(..)
    }

    /// Who has sent data of no session since the last call: of several the last one, the session's id, how much.
    pub fn take_unmatched(&mut self) -> Option<(IpAddr, SessionId, u64)> {
        self.arrivals.newest_unmatched.take()
    }

    /// Events of the kernel about addresses, routes and interfaces since the last call.
    pub fn take_net_events(&mut self) -> Vec<NetEvent> {
        std::mem::take(&mut self.links.events)
    }

    /// Whether something was noticed outside of a turn: while a session was attached, or a message was sent.
    pub fn has_events(&self) -> bool {
        !self.wires.events.0.is_empty() || self.has_work()
    }

    fn has_work(&self) -> bool {
        !self.wires.ready.is_empty() || !self.tasks.is_empty() || self.makes_interfaces()
    }

    /// There is an event of the way to a peer: its MTU may be another one.
    pub fn path_changed(&mut self, now: Instant, remote: IpAddr) {
        let ports = self.wires.paths.look_at(now, remote);
        self.tasks.add(ports.into_iter().map(Task::FitMtu));
        if self.wires.shortcut.is_some() {
            self.tasks.add(self.wires.paths.ports_to(remote).into_iter().map(Task::Settle));
        }
    }

    /// The MTU of a path as the kernel has it; `None` where there is no route to the peer.
    pub fn path_mtu(&self, path: &Path) -> Option<usize> {
        self.wires.paths.kernel_mtu(path)
    }

    /// A path carries no more than this, as probes have shown, or they tell nothing.
    pub fn path_carries(&mut self, now: Instant, path: &Path, mtu: Option<usize>) {
        self.tasks.add(self.wires.paths.set_carries(now, path, mtu).into_iter().map(Task::FitMtu));
    }

    /// What decides about packets beside routes may have changed.
    fn look_at_policies(&mut self) -> bool {
        self.tasks.add(self.wires.look_at_policies().into_iter().map(Task::Settle));
        false
    }

    /// Looks at the paths whose time has come, and tries again what waits.
    pub fn timers(&mut self, now: Instant) {
        let ports = self.wires.paths.due(now);
        self.tasks.add(ports.into_iter().map(Task::FitMtu));
        self.filter.judge(now, &mut self.arrivals, &mut self.wires);
        let Pseudowires { unfinished, sessions, ports, .. } = &mut self.wires;
        unfinished.give_up(now, sessions, ports);
        for waiting in self.wires.waiting.take_due(now) {
            making::attach_waiting(&mut self.wires, waiting, Ok(()));
        }
        self.wires.closing.start();
        let probes = self.own.probes(now, &mut self.wires);
        self.sending.oam(&mut self.wires, probes);
        if self.wires.shortcut.as_ref().is_some_and(|shortcut| shortcut.due() <= now) {
            self.look_at_policies();
        }
    }

    /// When [`timers`](DataPlane::timers) has something to do.
    pub fn next_timeout(&self, now: Instant) -> Option<Instant> {
        let closing = self.wires.closing.is_due().then_some(now);
        let policies = self.wires.shortcut.as_ref().map(Shortcut::due);
        let own = [self.filter.next(), self.own.loops.next(now, &self.wires), closing, policies];
        [self.wires.paths.next(), self.wires.waiting.next(), self.wires.unfinished.next()]
            .into_iter()
            .chain(own)
            .flatten()
            .min()
    }

    /// A control message came with an id of no connection.
    pub fn other_connection(&mut self) {
        self.arrivals.other_connections += 1;
    }

    /// Whether the ids of the control connections are needed: see [`know_connections`](DataPlane::know_connections).
    pub fn asks_for_connections(&self) -> bool {
        self.filter.asks_for_connections()
    }

    /// These are the ids of the control connections, in order.
    pub fn know_connections(&mut self, ids: impl Iterator<Item = u32>) {
        self.filter.know_connections(ids, &mut self.wires);
    }

    /// Does some of what concerns many ports.
    fn do_tasks(&mut self) {
        for task in self.tasks.take() {
            match task {
                Task::FitMtu(at) => self.wires.fit_mtu(at),
                Task::Settle(at) => self.wires.settle(at),
                Task::Look(at) => self.wires.look_at_link(at),
                Task::Carrier(at) => self.wires.show_carrier(at),
            }
        }
    }

    /// Reads events of links; `true` if there may be more.
    fn read_links(&mut self) -> bool {
        let read = self.links.read(&mut self.wires, &mut self.tasks);
        let names = read.others.iter().filter_map(|index| netif::name(*index).ok()).map(Some);
        for name in names.chain(read.lost.then_some(None)) {
            let Pseudowires { sockets, ports, events, .. } = &mut self.wires;
            let rebound = sockets.rebind(name.as_deref());
            ports.join_bridges_again(name.as_deref(), events);
            if rebound {
                self.filter.set(&mut self.wires);
            }
        }
        read.more
    }

    /// What a configured interface is like at present.
    pub fn interface_state(&self, interface: &str) -> Option<report::Interface> {
        let at = self.wires.ports.find(interface)?;
        Some(self.wires.ports.get(at)?.state(self.wires.counters(at)?))
    }

    /// Whether a configured interface exists.
    pub fn has_interface(&self, interface: &str) -> bool {
        self.wires.ports.by_name(interface).is_some_and(|port| port.device.is_some())
    }

    /// Whether the circuit of an interface that exists is up, as its peer is to be told.
    pub fn circuit(&self, interface: &str) -> Option<bool> {
        let port = self.wires.ports.by_name(interface).filter(|port| port.device.is_some())?;
        Some(port.up && port.held.is_none())
    }

    /// Opens and closes the directions of an attached session that is established, and its interface's carrier.
    pub fn gate(&mut self, session: SessionId, receive: bool, send: bool, carrier: bool) {
        self.wires.set_gates(session, Gates { receive, send, carrier });
    }

    /// Tells the LAN behind a session's peer where our stations are now; nobody, where the kernel carries the frames.
    pub fn announce(&mut self, now: Instant, session: SessionId) {
        let Some(at) = self.wires.sessions.find(session).map(|session| session.port) else { return };
        let stations = self.wires.ports.get(at).filter(|port| port.tap().is_some()).map(Port::stations);
        for station in stations.unwrap_or_default() {
            let mut frame = Deferred::announcement(at, session, station);
            self.sending.transmit(now, &mut self.wires, at, Frames::Waited(&mut frame));
        }
        self.sending.flush(&mut self.wires);
    }

    /// Numbers the frames of a session from here on; those that the kernel's L2TP sends it numbers itself.
    pub fn number(&mut self, session: SessionId, next: u32) {
        self.wires.sessions.find_mut(session).into_iter().for_each(|session| session.number(next));
    }

    /// The number of the next frame that this session sends.
    pub fn sequence(&self, session: SessionId) -> Option<u32> {
        self.wires.sessions.find(session).map(|session| session.next_sequence)
    }

    /// When a valid data message of a session of this connection was received last. Of those that the kernel's L2TP
    /// receives it is not known.
    pub fn heard(&self, connection: Ccid) -> Option<Instant> {
        self.wires.heard(connection)
    }

    /// Opens a socket unless it is open already. An address that the system does not have is an error of the kind
    /// `AddrNotAvailable`.
    pub fn open_socket(&mut self, key: SocketKey) -> io::Result<()> {
        if !self.wires.sockets.is_open(&key) {
            self.wires.sockets.open(key, self.wires.kernel.is_some(), &self.wires.ready)?;
            self.opened = true;
        }
        Ok(())
    }

    /// Closes all sockets but those in `keep`, and those of the kernel's tunnels.
    pub fn close_unused(&mut self, keep: &BTreeSet<SocketKey>) {
        self.wires.sockets.close_unused(keep, &self.wires.ready);
        self.filter.set(&mut self.wires);
    }

    /// Sends a control message (from the T bit on), without waiting. What cannot be sent is lost; an error tells
    /// why.
    pub fn send_control(&mut self, path: &Path, message: &[u8], way: (u8, Fragmentation)) -> io::Result<()> {
        self.sending.control(&mut self.wires, path, message, way)
    }

    /// The counters of an interface; they outlive its sessions.
    pub fn counters(&self, interface: &str) -> Option<Counters> {
        self.wires.counters(self.wires.ports.find(interface)?)
    }

    /// What was dropped before it belonged to a session.
    pub fn unmatched(&self) -> Unmatched {
        let truncated = self.inbound.as_ref().map_or(0, |inbound| inbound.truncated());
        let unmatched = self.arrivals.unmatched;
        Unmatched { truncated: unmatched.truncated.wrapping_add(truncated), ..unmatched }
    }

    /// Sets all counters to zero.
    pub fn reset_counters(&mut self) {
        self.wires.reset_counters();
        let truncated = self.inbound.as_ref().map_or(0, |inbound| inbound.truncated());
        self.arrivals.unmatched =
            Unmatched { truncated: 0u64.wrapping_sub(truncated), ..Unmatched::default() };
    }

    /// Makes the interface, or changes what is different. Where the kernel carries the frames there is none before a
    /// session is attached.
    pub fn configure_interface(&mut self, interface: &Interface) -> Result<(), Failure> {
        making::configure_interface(&mut self.wires, interface)
    }

    /// The same, in one of the next turns: there may be thousands. An event tells if that fails.
    pub fn plan_interface(&mut self, interface: &Interface) {
        making::plan_interface(&mut self.wires, interface);
    }

    /// Whether some of them are yet to be made.
    pub fn makes_interfaces(&self) -> bool {
        self.wires.waiting.has_ports()
    }

    /// Removes the interface; a session that is attached to it is detached.
    pub fn remove_interface(&mut self, name: &str) {
        self.wires.remove_interface(name);
    }

    /// Attaches a session to its interface, closed in both directions. The interface is made where it is missing.
    pub fn attach(&mut self, attachment: &Attachment) -> Result<Attached, Failure> {
        self.wires.attach(attachment)
    }

    /// Detaches a session. Its interface stays, unless the kernel carries its frames.
    pub fn detach(&mut self, session: SessionId) {
        self.tasks.add(self.wires.detach(session).map(Task::Carrier));
    }

    /// The ends of a session's tunnel are others from now on.
    pub fn move_session(&mut self, session: SessionId, path: &Path) {
        self.wires.move_session(session, path);
    }

    /// A child process may have ended.
    pub fn child_ended(&mut self) {
        self.wires.child_ended();
    }
}
