//! How serious a line is.

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

impl Level {
    /// The word for this level in the log and in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
        }
    }

    /// The level called `name`.
    pub fn from_name(name: &str) -> Option<Level> {
        [Level::Error, Level::Warn, Level::Info, Level::Debug].into_iter().find(|l| l.name() == name)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
