//! What the data plane tells: what it could not do, what it noticed, what it dropped.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::log::{Event, LogLine, Remark};
use crate::proto::Path;
use crate::saved::saved;
use crate::sys::error_text;
use crate::wire::SessionId;

/// Why the data plane could not do something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// An ioctl failed: the system's text, and ours of what was wrong (empty where that is not known).
    Ioctl(String, String),
    /// Something else; the text is ours.
    Other(String),
}
saved!(
    enum Failure {
        Ioctl(a, b),
        Other(value),
    }
);

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
    /// The lines for the log, where it is about this interface.
    pub fn lines(&self, interface: &str) -> Vec<LogLine> {
        let detail = format!("interface {interface}");
        match self {
            Failure::Ioctl(error, about) => {
                let event = Event::IoctlFailed { error: error.clone() };
                let detail = if about.is_empty() { detail } else { format!("{detail}: {about}") };
                vec![LogLine::with_detail(&event, detail), LogLine::new(&Event::SetPweParamFailed {})]
            }
            Failure::Other(why) => {
                vec![LogLine::with_detail(&Event::SetPweParamFailed {}, format!("{detail}: {why}"))]
            }
        }
    }

    pub(super) fn ioctl(error: &io::Error, about: impl Into<String>) -> Failure {
        Failure::Ioctl(error_text(error), about.into())
    }
}

/// What the data plane noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataPlaneEvent {
    /// A session that was to be attached later is attached, or cannot be.
    Attached {
        /// Our id of it.
        session: SessionId,
        /// The interface, and why.
        result: Result<(), (String, Failure)>,
    },
    /// An interface that was to be made later could not be made.
    NotMade {
        /// Its name in the configuration.
        interface: String,
        /// Why.
        failure: Failure,
    },
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
    /// An answer to [`ping`](super::DataPlane::ping).
    Echo(Echo),
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

/// The other end of a session has answered [`ping`](super::DataPlane::ping).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Echo {
    /// The interface's name in the configuration.
    pub interface: String,
    /// Of the request.
    pub number: u32,
    /// From the request to the answer.
    pub round_trip: Duration,
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
saved!(Unmatched { short, version, unknown_session, truncated });

/// What was noticed and not yet taken by whoever drives the data plane.
#[derive(Default)]
pub(super) struct Events(pub(super) Vec<DataPlaneEvent>);

impl Events {
    pub(super) fn push(&mut self, event: DataPlaneEvent) {
        self.0.push(event);
    }

    pub(super) fn remark(&mut self, remark: Remark) {
        self.0.push(DataPlaneEvent::Remark(remark));
    }
}
