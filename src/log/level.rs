//! How serious a line is.

use crate::named::named;
use crate::saved::saved;
use std::fmt;

/// How serious a line is. The order is that of verbosity: `Error < Debug`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Level {
    /// Something failed.
    Error,
    /// The peer or the network did something wrong.
    Warn,
    /// A state changed.
    #[default]
    Info,
    /// Everything else.
    Debug,
}
saved!(
    enum Level {
        Error,
        Warn,
        Info,
        Debug,
    }
);

named! { Level { Error = "error", Warn = "warn", Info = "info", Debug = "debug" } }

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
