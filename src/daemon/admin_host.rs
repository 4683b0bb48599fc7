//! What the admin server needs of the daemon: everything that a command may show or change.

use std::time::Instant;

use super::datapath::Echo;
use crate::admin::trace::Record;
use crate::admin::Source;
use crate::log::ring::Ring;
use crate::log::{Level, LogLine, WallTime};
use crate::proto::{Command, CommandError, Notification, Pong};

/// The daemon, as the admin server sees it. No method may block.
///
/// The server calls these from [`turn`](super::admin_server::AdminServer::turn), so an implementation must not reach for
/// the server itself: events for those who follow wait until [`take_events`](Host::take_events).
pub trait Host {
    /// What there is to show.
    fn source(&self, now: Instant) -> Box<dyn Source + '_>;
    /// The lines kept in memory.
    fn ring(&self) -> &Ring;
    /// Writes to the log.
    fn log(&mut self, line: LogLine);
    /// `log-level`.
    fn set_log_level(&mut self, level: Level);
    /// `clear`, `start`, `stop`, `ping`, `counters reset`.
    fn command(&mut self, now: Instant, command: Command) -> Result<(), CommandError>;
    /// `ping` of the session with this interface: asks its other end for an answer; the number of the request, or why not
    /// (`None`: there is no such session).
    fn ping_session(&mut self, interface: &str) -> Result<u32, Option<&'static str>>;
    /// `reload`, or with `check` only the answer to what it would do: what changed, or every error of the file.
    /// Lines end with `\n`. A long file is read in many turns.
    fn reload(&mut self, now: Instant, check: bool) -> Answer;
    /// `restart`: another program is to go on; what comes of it is an event.
    fn restart(&mut self);
    /// What happened since the last call, oldest first. Nothing need be gathered that nobody wants.
    fn take_events(&mut self) -> Vec<StreamEvent>;
    /// From now on somebody (or nobody) follows these events.
    fn want_events(&mut self, wanted: WantedEvents);
}

/// What came of a reload: for who asked, what changed, or every error.
pub type Outcome = Result<String, String>;

/// The answer to who asks for a reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is done.
    Now(Outcome),
    /// [`StreamEvent::Reloaded`] with this number will tell.
    Later(u64),
}

/// What a client that follows is sent.
#[derive(Debug, Clone, PartialEq)]
pub enum StreamEvent {
    /// For `restart`: what came of it, lines ended. After a success this program ends.
    Restart(Result<String, String>),
    /// For `reload`: what came of the one with this number ([`Answer::Later`]).
    Reloaded(u64, Outcome),
    /// For `watch`.
    Event(WallTime, Notification),
    /// For `trace`.
    Message {
        /// The name of the tunnel that the message belongs to.
        tunnel: String,
        #[allow(missing_docs)] // its type says all
        record: Record,
    },
    /// For `ping` of a tunnel.
    Pong(Pong),
    /// For `ping` of a session.
    Echo(Echo),
}

/// Which events somebody follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WantedEvents {
    /// [`StreamEvent::Event`].
    pub events: bool,
    /// [`StreamEvent::Message`].
    pub messages: bool,
}
