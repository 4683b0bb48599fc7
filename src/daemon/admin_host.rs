//! What the admin server needs of the daemon: everything that a command may show or change.

use std::time::Instant;

use crate::admin::trace::Record;
use crate::admin::Report;
use crate::log::ring::Ring;
use crate::log::{Level, Line, WallTime};
use crate::proto::{Command, CommandError, Notification};

/// The daemon, as the admin server sees it. No method may block.
///
/// The server calls these from [`turn`](super::admin_server::Control::turn), so an implementation must not reach for
/// the server itself: what is to be told to followers waits until [`take_news`](Host::take_news).
pub trait Host {
    /// What there is to show.
    fn report(&mut self, now: Instant) -> Report;
    /// The lines kept in memory.
    fn ring(&self) -> &Ring;
    /// Writes to the log.
    fn log(&mut self, line: Line);
    /// `log-level`.
    fn set_log_level(&mut self, level: Level);
    /// `clear`, `start`, `stop`, `counters reset`.
    fn command(&mut self, now: Instant, command: Command) -> Result<(), CommandError>;
    /// `reload`, or with `check` only the answer to what it would do: what changed, or every error of the file.
    /// Lines end with `\n`.
    fn reload(&mut self, now: Instant, check: bool) -> Result<String, String>;
    /// What happened since the last call, oldest first. Nothing need be gathered that nobody wants.
    fn take_news(&mut self) -> Vec<News>;
    /// From now on somebody (or nobody) wants this news.
    fn want_news(&mut self, wanted: Wanted);
}

/// Something for clients that follow.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// For `watch`.
    Event(WallTime, Notification),
    /// For `trace`.
    Message {
        /// The name of the tunnel that the message belongs to.
        tunnel: String,
        /// The message.
        record: Record,
    },
}

/// Which news is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wanted {
    /// [`News::Event`].
    pub events: bool,
    /// [`News::Message`].
    pub messages: bool,
}
