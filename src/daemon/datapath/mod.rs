//! The data plane: sockets to the peers, TAP interfaces to the system, and the sessions that join them. Frames
//! never leave this room; control messages are handed over as they come.
//!
//! mio is edge-triggered: a descriptor that was reported stays in the list of ready ones until it has been read
//! to its end. A turn gives each of them one batch, so that none starves the others. Buffers belong to the data
//! plane and are made when the first batch comes.

mod bridge;
mod device;
mod kernel;
mod link_local;
mod paths;
mod port;
mod receive;
mod sockets;
#[cfg(test)]
mod tests;
mod transmit;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Instant;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use crate::counters::Counters;
use crate::log::Remark;
use crate::proto::{Attachment, Path};
use crate::sys::batch::Sender;
use crate::sys::link::{NetMonitor, NetNews};
use crate::sys::{clock, error_text};
use crate::wire::data::{Format, ReceiveSequence, MAX_HEADER};
use crate::wire::SessionId;

pub use bridge::BridgeState;
pub use port::{Interface, InterfaceState};
pub use sockets::SocketKey;

use kernel::Kernel;
use link_local::Forwarding;
use paths::Paths;
use port::Port;
use receive::Inbound;
use sockets::OpenSocket;

/// The library's own hash is seeded by the system's random source, and aborts the program where that is missing. The
/// keys are names of the configuration and ids that we chose at random: nobody else can choose them to be alike.
type FixedHash = BuildHasherDefault<DefaultHasher>;

/// The data plane's tokens begin here.
pub const FIRST_TOKEN: usize = 0x1000;

/// Why the data plane could not do something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// An ioctl failed: the system's text, and ours of what was wrong (empty where that is not known).
    Ioctl(String, String),
    /// Something else; the text is ours.
    Other(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Ioctl(text, about) if about.is_empty() => write!(f, "ioctl: {text}"),
            Failure::Ioctl(text, about) => write!(f, "{about}: {text}"),
            Failure::Other(text) => f.write_str(text),
        }
    }
}

impl Failure {
    fn ioctl(error: &io::Error, about: impl Into<String>) -> Failure {
        Failure::Ioctl(error_text(error), about.into())
    }
}

/// What the data plane noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataPlaneEvent {
    /// Somebody deleted the interface of an attached session.
    InterfaceGone {
        /// Its name in the configuration.
        interface: String,
        /// The session that was attached to it.
        session: Option<SessionId>,
    },
    /// The administrator brought an interface up or down.
    AdminState {
        /// Its name in the configuration.
        interface: String,
        /// Up.
        up: bool,
    },
    /// Data of a session came from elsewhere than its peer, with the right cookie.
    Elsewhere {
        /// Our id of it.
        session: SessionId,
        /// The path that it came on.
        path: Path,
    },
    /// The network reported that a datagram of ours did not arrive (ICMP).
    Unreachable {
        /// Where that datagram was sent to.
        remote: SocketAddr,
        /// In the system's words.
        error: String,
        /// The host is there, and has no such port or protocol.
        refused: bool,
    },
    /// A socket cannot receive.
    ReceiveFailed {
        /// Which, in words.
        socket: String,
        /// In the system's words.
        error: String,
    },
    /// Something for the log.
    Remark(Remark),
}

/// Datagrams that were dropped before they belonged to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unmatched {
    /// Shorter than a header.
    pub short: u64,
    /// Over UDP: not version 3.
    pub version: u64,
    /// Data for a session that does not exist.
    pub unknown_session: u64,
    /// Longer than the receive buffer.
    pub truncated: u64,
}

/// What a ready token stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Links,
    Socket(usize),
    Port(usize),
}

impl Source {
    fn token(self) -> Token {
        match self {
            Source::Links => Token(FIRST_TOKEN),
            Source::Socket(at) => Token(FIRST_TOKEN + 2 + 2 * at),
            Source::Port(at) => Token(FIRST_TOKEN + 3 + 2 * at),
        }
    }

    fn from_token(token: Token) -> Option<Source> {
        let number = token.0.checked_sub(FIRST_TOKEN)?;
        match (number, number % 2) {
            (0 | 1, _) => Some(Source::Links),
            (_, 0) => Some(Source::Socket((number - 2) / 2)),
            (_, _) => Some(Source::Port((number - 3) / 2)),
        }
    }
}

/// A session, as far as its frames are concerned.
struct Session {
    id: SessionId,
    port: usize,
    path: Path,
    socket: Option<usize>,
    attachment: Attachment,
    header: [u8; MAX_HEADER],
    header_length: usize,
    next_sequence: u32,
    receive_sequence: ReceiveSequence,
    /// It was gated: only an established session is.
    established: bool,
    receive: bool,
    send: bool,
    carrier: bool,
    heard: Option<Instant>,
    /// UDP GSO goes through on this path: the system has not refused it.
    gso: bool,
    /// The error that the last batch ended with; told once, not with each frame.
    send_error: Option<i32>,
    /// When it was told last that its data came from elsewhere.
    elsewhere: Option<Instant>,
}

impl Session {
    fn new(attachment: &Attachment, port: usize, socket: usize) -> Session {
        let format = Format {
            encapsulation: attachment.path.encapsulation,
            session: attachment.remote,
            cookie: attachment.cookie_to_send,
            sublayer: attachment.sublayer_to_send,
        };
        let (header, header_length) = format.header();
        Session {
            id: attachment.local,
            port,
            path: attachment.path,
            socket: Some(socket),
            attachment: attachment.clone(),
            header,
            header_length,
            next_sequence: 0,
            receive_sequence: ReceiveSequence::default(),
            established: false,
            receive: false,
            send: false,
            carrier: false,
            heard: None,
            gso: true,
            send_error: None,
            elsewhere: None,
        }
    }
}

/// The data plane.
pub struct DataPlane {
    registry: Registry,
    links: Option<NetMonitor>,
    links_ready: bool,
    links_changed: bool,
    sockets: Vec<Option<OpenSocket>>,
    ports: Vec<Option<Port>>,
    port_names: HashMap<String, usize, FixedHash>,
    port_indexes: HashMap<i32, usize, FixedHash>,
    sessions: Vec<Option<Session>>,
    session_ids: HashMap<SessionId, usize, FixedHash>,
    paths: Paths,
    ready: VecDeque<Source>,
    inbound: Option<Box<Inbound>>,
    sender: Option<Box<Sender>>,
    unmatched: Unmatched,
    /// Data of no session since the last call of `take_unmatched`: from whom the newest came, its id, how much from there.
    newest_unmatched: Option<(IpAddr, SessionId, u64)>,
    events: Vec<DataPlaneEvent>,
    net_news: Vec<NetNews>,
    /// Datagrams received in the last turn.
    received: usize,
    /// The interface that the newest received frame is for.
    delivered: Option<usize>,
    /// Where the kernel carries the frames.
    kernel: Option<Kernel>,
    /// Bridges that forward link-local frames because of us.
    link_local: Forwarding,
}

impl DataPlane {
    /// A data plane without sockets and interfaces, whose descriptors are registered at `registry` with tokens
    /// from [`FIRST_TOKEN`] on.
    pub fn new(registry: Registry) -> DataPlane {
        let mut plane = DataPlane {
            registry,
            links: None,
            links_ready: false,
            links_changed: false,
            sockets: Vec::new(),
            ports: Vec::new(),
            port_names: HashMap::default(),
            port_indexes: HashMap::default(),
            sessions: Vec::new(),
            session_ids: HashMap::default(),
            paths: Paths::new(clock::now()),
            ready: VecDeque::new(),
            inbound: None,
            sender: None,
            unmatched: Unmatched::default(),
            newest_unmatched: None,
            events: Vec::new(),
            net_news: Vec::new(),
            received: 0,
            delivered: None,
            kernel: None,
            link_local: Forwarding::default(),
        };
        let links = NetMonitor::open();
        match links.and_then(|l| plane.register(l.as_raw_fd(), Source::Links).map(|()| l)) {
            Ok(links) => plane.links = Some(links),
            Err(error) => plane.remark(Remark::Links { error: error_text(&error) }),
        }
        plane
    }

    fn register(&self, fd: RawFd, source: Source) -> io::Result<()> {
        self.registry.register(&mut SourceFd(&fd), source.token(), Interest::READABLE)
    }

    fn remark(&mut self, remark: Remark) {
        self.events.push(DataPlaneEvent::Remark(remark));
    }

    /// A token of the data plane was reported ready.
    pub fn ready(&mut self, token: Token) {
        if let Some(source) = Source::from_token(token) {
            self.enqueue(source);
        }
    }

    /// Adds to the ready ones; `false` if it is one of them already.
    fn enqueue(&mut self, source: Source) -> bool {
        let queued = match source {
            Source::Links => Some(&mut self.links_ready),
            Source::Socket(at) => self.sockets.get_mut(at).and_then(|p| p.as_mut()).map(|p| &mut p.ready),
            Source::Port(at) => self.ports.get_mut(at).and_then(|c| c.as_mut()).map(|c| &mut c.ready),
        };
        let new = queued.is_some_and(|queued| !std::mem::replace(queued, true));
        if new {
            self.ready.push_back(source);
        }
        new
    }

    /// Gives each ready descriptor one batch; control messages go to `on_control`. `true`: there is more to do,
    /// poll without waiting and come back.
    pub fn turn(&mut self, now: Instant, on_control: &mut dyn FnMut(Path, &[u8])) -> bool {
        self.received = 0;
        let mut left = self.ready.len();
        while let Some(source) = self.ready.pop_front() {
            let more = match source {
                Source::Links => {
                    self.links_ready = false;
                    self.read_links();
                    false
                }
                Source::Socket(at) => {
                    if let Some(socket) = self.sockets.get_mut(at).and_then(|p| p.as_mut()) {
                        socket.ready = false;
                    }
                    let more = self.receive(now, at, on_control);
                    // Much is answered at once, with an acknowledgement or an echo.
                    if let Some(port) = self.delivered.take() {
                        left += usize::from(self.enqueue(Source::Port(port)));
                    }
                    more
                }
                Source::Port(at) => {
                    if let Some(port) = self.ports.get_mut(at).and_then(|c| c.as_mut()) {
                        port.ready = false;
                    }
                    self.transmit(at)
                }
            };
            if more {
                self.enqueue(source);
            }
            left -= 1;
            if left == 0 {
                break;
            }
        }
        !self.ready.is_empty()
    }

    /// How many datagrams the last turn received.
    pub fn received_in_turn(&self) -> usize {
        self.received
    }

    /// What was noticed since the last call.
    pub fn take_events(&mut self) -> std::vec::Drain<'_, DataPlaneEvent> {
        self.events.drain(..)
    }

    /// Who has sent data of no session since the last call: of several the last one, the session's id, how much.
    pub fn take_unmatched(&mut self) -> Option<(IpAddr, SessionId, u64)> {
        self.newest_unmatched.take()
    }

    /// News of the kernel about addresses, routes and interfaces since the last call.
    pub fn take_net_news(&mut self) -> Vec<NetNews> {
        std::mem::take(&mut self.net_news)
    }

    /// There is news of the way to a peer: its MTU may be another one.
    pub fn path_changed(&mut self, now: Instant, remote: IpAddr) {
        for at in self.paths.look_at(now, remote) {
            self.fit_mtu(at);
        }
    }

    /// Looks at the paths whose time has come.
    pub fn timers(&mut self, now: Instant) {
        for at in self.paths.due(now) {
            self.fit_mtu(at);
        }
    }

    /// When [`timers`](DataPlane::timers) has something to do.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.paths.next()
    }

    /// Whether something was noticed outside of a turn: while a session was attached, or a message was sent.
    pub fn has_news(&self) -> bool {
        !self.events.is_empty() || !self.ready.is_empty()
    }

    fn read_links(&mut self) {
        let Some(links) = self.links.take() else { return };
        links.drain(&mut |news| {
            match news {
                NetNews::Link { index, up } => self.link_state(index, up),
                NetNews::LinkDeleted { index } => self.link_deleted(index),
                NetNews::Lost => self.look_at_links(),
                NetNews::Address { .. } | NetNews::Route { .. } | NetNews::Rule => {}
            }
            self.net_news.push(news);
        });
        self.links = Some(links);
        if std::mem::take(&mut self.links_changed) {
            self.join_bridges_again();
        }
    }

    /// Attaches a session to its interface, closed in both directions. The interface is made where it is missing.
    pub fn attach(&mut self, attachment: &Attachment) -> Result<(), Failure> {
        let Some(port) = self.port_names.get(&attachment.interface).copied() else {
            return Err(Failure::Other(format!("interface {} is not configured", attachment.interface)));
        };
        let result = self.attach_to(port, attachment);
        self.remember_failure(port, result)
    }

    fn attach_to(&mut self, port: usize, attachment: &Attachment) -> Result<(), Failure> {
        self.open_port(port)?;
        let Some(socket) = self.socket_for(&attachment.path) else {
            return Err(Failure::Other(format!("no socket for {}", attachment.path.local)));
        };
        self.detach(attachment.local);
        if self.kernel.is_some() {
            self.open_kernel_session(port, attachment)?;
            if let Err(failure) = self.set_up_device(port) {
                self.close_device(port);
                return Err(failure);
            }
        }
        let session = Session::new(attachment, port, socket);
        let at = place(&mut self.sessions, session);
        self.session_ids.insert(attachment.local, at);
        if let Some(port) = self.ports.get_mut(port).and_then(|c| c.as_mut()) {
            port.session = Some(at);
        }
        self.paths.add(clock::now(), &attachment.path, port);
        self.fit_mtu(port);
        Ok(())
    }

    fn session_at(&self, session: SessionId) -> Option<usize> {
        self.session_ids.get(&session).copied()
    }

    /// Opens and closes the directions of an attached session that is established, and its interface's carrier.
    pub fn gate(&mut self, session: SessionId, receive: bool, send: bool, carrier: bool) {
        let Some(at) = self.session_at(session) else { return };
        let Some(session) = self.sessions.get_mut(at).and_then(|s| s.as_mut()) else { return };
        session.established = true;
        (session.receive, session.send, session.carrier) = (receive, send, carrier);
        let port = session.port;
        self.show_carrier(port);
    }

    /// The ends of a session's tunnel are others from now on.
    pub fn move_session(&mut self, session: SessionId, path: &Path) {
        if self.kernel.is_some() {
            self.move_kernel_session(session, path);
            return;
        }
        let socket = self.socket_for(path);
        let Some(at) = self.session_at(session) else { return };
        let Some(session) = self.sessions.get_mut(at).and_then(|s| s.as_mut()) else { return };
        let port = session.port;
        self.paths.remove(&session.path, port);
        self.paths.add(clock::now(), path, port);
        (session.path, session.socket, session.gso) = (*path, socket, true);
        self.fit_mtu(port);
    }

    /// Detaches a session. Its interface stays, unless the kernel carries its frames.
    pub fn detach(&mut self, session: SessionId) {
        let Some(at) = self.session_ids.remove(&session) else { return };
        let Some(session) = self.sessions.get_mut(at).and_then(Option::take) else { return };
        self.paths.remove(&session.path, session.port);
        if let Some(port) = self.ports.get_mut(session.port).and_then(|c| c.as_mut()) {
            if port.session == Some(at) {
                port.session = None;
                if port.kernel_session().is_some() {
                    self.close_device(session.port);
                }
            }
        }
        self.show_carrier(session.port);
    }

    /// When a valid data message of this session was received last. Of those that the kernel receives it is not known.
    pub fn heard(&self, session: SessionId) -> Option<Instant> {
        self.sessions.get(self.session_at(session)?)?.as_ref()?.heard
    }

    /// The counters of an interface; they outlive its sessions.
    pub fn counters(&self, interface: &str) -> Option<Counters> {
        let port = self.port(interface)?;
        let mut counters = port.counters;
        if let Some(session) = port.kernel_session() {
            counters.add(&self.kernel_counters(session));
        }
        Some(counters)
    }

    /// The MTU of an interface, as it was set last.
    pub fn mtu(&self, interface: &str) -> Option<usize> {
        self.port(interface)?.mtu
    }

    /// What was dropped before it belonged to a session.
    pub fn unmatched(&self) -> Unmatched {
        let truncated = self.inbound.as_ref().map_or(0, |i| i.receiver.truncated());
        Unmatched { truncated: self.unmatched.truncated.wrapping_add(truncated), ..self.unmatched }
    }

    /// Sets all counters to zero.
    pub fn reset_counters(&mut self) {
        for port in self.ports.iter_mut().flatten() {
            port.counters = Counters::default();
        }
        self.reset_kernel_counters();
        let truncated = self.inbound.as_ref().map_or(0, |i| i.receiver.truncated());
        self.unmatched = Unmatched { truncated: 0u64.wrapping_sub(truncated), ..Unmatched::default() };
    }
}

/// Puts `value` into the first free place.
fn place<T>(slots: &mut Vec<Option<T>>, value: T) -> usize {
    match slots.iter().position(Option::is_none) {
        Some(at) => {
            if let Some(slot) = slots.get_mut(at) {
                *slot = Some(value);
            }
            at
        }
        None => {
            slots.push(Some(value));
            slots.len() - 1
        }
    }
}

/// Whether two addresses are the same peer; the scope of a link-local one does not matter.
fn same_peer(a: SocketAddr, b: SocketAddr) -> bool {
    a.ip() == b.ip() && a.port() == b.port()
}

/// The unspecified address of the family of `of`.
fn unspecified(of: IpAddr) -> IpAddr {
    match of {
        IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    }
}
