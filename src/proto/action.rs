//! What goes in and out of the engine besides messages and time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::route::RouteKey;
use crate::config::model::Via;
use crate::log::LogLine;
use crate::saved::saved;
use crate::wire::header::Header;
use crate::wire::{Ccid, Cookie, Encapsulation, SessionId};

/// The two ends of a control connection. Over IP the ports are 0. The local address is unspecified until the
/// system has chosen one; it is then that of the received datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    /// IP protocol 115, or UDP (RFC 3931 4.1).
    pub encapsulation: Encapsulation,
    /// Our address and port.
    pub local: SocketAddr,
    /// The peer's address and port.
    pub remote: SocketAddr,
    /// What packets leave by. Of what was received the data plane knows the device alone; whose it is knows the mark.
    pub via: Via,
}
saved!(Path { encapsulation, local, remote, via });

impl Path {
    /// Whether both lead to the same address and port; the scope of a link-local one does not matter.
    pub fn same_end(self, other: Path) -> bool {
        self.remote.ip() == other.remote.ip() && self.remote.port() == other.remote.port()
    }

    /// The same, with the source address that the system chooses.
    pub fn from_anywhere(mut self) -> Path {
        self.local.set_ip(match self.local.is_ipv4() {
            true => Ipv4Addr::UNSPECIFIED.into(),
            false => Ipv6Addr::UNSPECIFIED.into(),
        });
        self
    }
}

/// A control message that came in.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    /// Between which addresses.
    pub path: Path,
    /// Its header, checked (RFC 3931 3.2.1).
    pub header: Header,
    /// All of it, from the T bit on.
    pub message: &'a [u8],
}

/// What the daemon must do. The order of actions matters.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Send a control message (from the T bit on).
    Transmit {
        /// From where to where.
        path: Path,
        /// TTL (Hop Limit) of the packet.
        ttl: u8,
        /// The message. What becomes of it when it cannot be sent is the retransmission's business.
        message: Vec<u8>,
    },
    /// Send a control message in one packet: it is not to be fragmented, whatever is known of the path.
    Probe {
        /// From where to where.
        path: Path,
        /// TTL (Hop Limit) of the packet.
        ttl: u8,
        /// From the T bit on, as long as the packet that is tried.
        message: Vec<u8>,
    },
    /// Look how long a packet the system lets leave on a path; answer with `Engine::path_measured`.
    MeasurePath {
        /// Our id of the connection that wants to know.
        connection: Ccid,
        /// Between whose addresses.
        path: Path,
    },
    /// A path carries no more than this, as probes have shown; the system may know of less.
    PathMtu {
        /// The path; ports do not matter.
        path: Path,
        /// The longest packet, IP header included; `None`: nothing is known.
        mtu: Option<usize>,
    },
    /// Write to the log.
    Log(LogLine),
    /// Look up the name of a tunnel's peer; answer with `Engine::resolved`, at once or later.
    Resolve {
        /// Name of the tunnel in the configuration.
        tunnel: String,
        /// The peer's name.
        name: String,
    },
    /// Make ready to talk to a tunnel's peer: open and bind the socket. Answer with `Engine::prepared`.
    Prepare {
        /// Name of the tunnel in the configuration.
        tunnel: String,
        /// The peer's address; `None` where any may connect.
        peer: Option<IpAddr>,
        /// It decides which answer is wanted.
        purpose: Purpose,
    },
    /// Attach a session to its interface, closed still; answer with `Engine::attached`.
    Attach(Box<Attachment>),
    /// Let frames pass in the directions given; the session is attached, and established.
    Gate {
        /// Our id of the session.
        session: SessionId,
        /// Frames from the peer are delivered.
        receive: bool,
        /// Frames from the interface are sent (the session is established and the peer's circuit is up).
        send: bool,
        /// The interface's carrier is up: the session is established and the peer's circuit up.
        carrier: bool,
    },
    /// Number the frames that a session sends from here on; it is attached.
    Number {
        /// Our id of the session.
        session: SessionId,
        /// The next number.
        next: u32,
    },
    /// Tell the switches behind the peer of a session that our stations are behind that peer now: it was another one.
    Announce {
        /// Our id of the session.
        session: SessionId,
    },
    /// The peer's address or port of a session's tunnel is another one from now on.
    Move {
        /// Our id of the session.
        session: SessionId,
        /// The tunnel's path.
        path: Path,
    },
    /// Detach a session from its interface.
    Detach {
        /// Our id of the session.
        session: SessionId,
    },
    /// Look up a route, now and whenever it changes; answer with `Engine::route` each time.
    Watch {
        /// Between which addresses.
        key: RouteKey,
    },
    /// The route is of no interest any more.
    Unwatch {
        /// Between which addresses.
        key: RouteKey,
    },
    /// Answers `Command::Ping`: the HELLO was acknowledged, or its connection is gone.
    Pong(Pong),
    /// Something that watchers and hooks want to know.
    Notify(Notification),
}

/// What a socket is made ready for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The peer is to serve the tunnel.
    Serve,
    /// It is asked whether it could, while another one does.
    Ask,
}

saved! {
    /// What the data plane needs to know of a session.
    #[derive(Debug, Clone, PartialEq)]
    pub struct Attachment {
        /// A name of at most 15 octets, as in the configuration.
        pub interface: String,
        /// Name of the tunnel in the configuration.
        pub tunnel: String,
        /// Its control connection; `None` for a manual session.
        pub connection: Option<Ccid>,
        /// Our id: received frames carry it.
        pub local: SessionId,
        /// The peer's id: sent frames carry it.
        pub remote: SessionId,
        /// What received frames must carry.
        pub cookie_expected: Cookie,
        /// What sent frames carry.
        pub cookie_to_send: Cookie,
        /// Received frames have the default sublayer (we asked for it).
        pub sublayer_expected: bool,
        /// Sent frames have the default sublayer (the peer asked for it).
        pub sublayer_to_send: bool,
        /// Which sent frames are numbered.
        pub sequence_send: SequenceLevel,
        /// Received numbers are checked.
        pub sequence_receive: bool,
        /// The peer takes fragments of frames (RFC 4623).
        pub fragments_to_send: Option<Fragments>,
        /// Fragments of frames up to so many octets are put together.
        pub fragments_expected: Option<usize>,
        /// The tunnel's path.
        pub path: Path,
    }

    /// What a peer takes that takes fragments.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Fragments {
        /// The longest data message, without IP and UDP header, in octets (MRU).
        pub message: usize,
        /// The longest frame, in octets (MRRU).
        pub frame: usize,
    }

    /// Data Sequencing AVP (RFC 3931 5.4.4).
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum SequenceLevel {
        /// None (level 0).
        None,
        /// Frames that do not carry IP (level 1).
        NonIp,
        /// All (level 2).
        All,
    }
}

/// A HELLO that the administrator sent was answered, or never will be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pong {
    /// The name of the tunnel.
    pub tunnel: String,
    /// Whom it was sent to.
    pub peer: IpAddr,
    /// From its first transmission to the acknowledgement; `None`: the connection is gone.
    pub round_trip: Option<Duration>,
    /// How often it was sent.
    pub transmissions: u32,
}

/// One change of a tunnel or session, for `l2tpctl watch` and `on-event`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// What happened.
    pub what: TunnelEvent,
    /// Name of the tunnel.
    pub tunnel: String,
    /// Name of the session's interface, for session events.
    pub interface: Option<String>,
    /// The peer's address, where it is known.
    pub peer: Option<IpAddr>,
    /// Our id (of the connection or session); 0 where there is none.
    pub local_id: u32,
    /// The peer's id; 0 where it is not known.
    pub remote_id: u32,
    /// Why, in words; empty where there is nothing to say.
    pub reason: String,
}

saved! {
    /// What a [`Notification`] is about.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum TunnelEvent {
        /// A control connection is being set up.
        TunnelConnecting,
        /// A control connection is established.
        TunnelUp,
        /// An established control connection ended.
        TunnelDown,
        /// A set-up failed, or a check of it.
        TunnelFailed,
        /// Of several peers another one is in use now.
        PeerChanged,
        /// A peer stands by: it can take over at once.
        StandbyUp,
        /// It does not any more.
        StandbyDown,
        /// Frames may flow.
        SessionUp,
        /// An established session ended.
        SessionDown,
        /// A session's set-up failed.
        SessionFailed,
        /// The peer's circuit went up or down (`reason` tells which).
        CircuitChanged,
    }
}

impl TunnelEvent {
    /// The word for it in `watch` and in the environment of `on-event`.
    pub fn name(self) -> &'static str {
        match self {
            TunnelEvent::TunnelConnecting => "tunnel-connecting",
            TunnelEvent::TunnelUp => "tunnel-up",
            TunnelEvent::TunnelDown => "tunnel-down",
            TunnelEvent::TunnelFailed => "tunnel-failed",
            TunnelEvent::PeerChanged => "peer-changed",
            TunnelEvent::StandbyUp => "standby-up",
            TunnelEvent::StandbyDown => "standby-down",
            TunnelEvent::SessionUp => "session-up",
            TunnelEvent::SessionDown => "session-down",
            TunnelEvent::SessionFailed => "session-failed",
            TunnelEvent::CircuitChanged => "circuit-changed",
        }
    }
}
