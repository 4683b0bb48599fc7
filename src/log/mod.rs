//! What is said and where it goes. [`catalogue`] holds the routers' texts, [`remark`] those
//! of our own; [`ring`] keeps the newest lines in memory;
//! [`limit`] bounds the volume; the sink (standard error or syslog) is `sys`'s. This module has no clock of its own.

pub mod catalogue;
pub mod limit;
pub mod remark;
pub mod ring;
pub mod time;

pub use catalogue::Event;
pub use remark::Remark;
pub use time::WallTime;

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

/// One entry for the log: a message of the catalogue, or a remark of our own, and what is to be added to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The level of the entry and of its detail.
    pub level: Level,
    /// The message itself, without level or time.
    pub text: String,
    /// Further lines (separated by `\n`): values expected and received, the place in the file, advice.
    pub detail: Option<String>,
    /// What the volume limit counts this line under: the id of the catalogue's message, or the remark's name.
    pub kind: &'static str,
}

impl Line {
    /// The line for `event`.
    pub fn new(event: &Event) -> Line {
        let template = event.template();
        Line { level: template.level, text: event.to_string(), detail: None, kind: template.id }
    }

    /// The line for `event`, with a further line of our own below it.
    pub fn with_detail(event: &Event, detail: impl Into<String>) -> Line {
        Line { detail: Some(detail.into()), ..Line::new(event) }
    }

    /// A remark of our own: it begins with two blanks.
    pub fn remark(remark: &Remark) -> Line {
        let template = remark.kind().template();
        Line { level: template.level, text: format!("  {remark}"), detail: None, kind: template.id }
    }

    /// An error of the configuration that the catalogue lacks: like the others of the configuration it begins without
    /// blanks.
    pub fn error(remark: &Remark) -> Line {
        Line { text: remark.to_string(), ..Line::remark(remark) }
    }
}

/// The most octets of a peer's text that one line of the log shows.
const ESCAPE_LIMIT: usize = 64;

/// Text from the peer, made fit for a terminal and for one line: control characters and octets that are not
/// UTF-8 become `\n`, `\x1b` and the like, and no more than 64 octets of it are shown.
pub fn escape(octets: &[u8]) -> String {
    let shown = &octets[..octets.len().min(ESCAPE_LIMIT)];
    let mut text = String::with_capacity(shown.len());
    for chunk in shown.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                c if is_deceptive(c) => text.extend(c.escape_default()),
                c => text.push(c),
            }
        }
        for octet in chunk.invalid() {
            text.push_str(&format!("\\x{octet:02x}"));
        }
    }
    if shown.len() < octets.len() {
        text.push_str("...");
    }
    text
}

/// Characters that must not reach a terminal: control characters, and those that turn the direction of writing or
/// join invisibly. They can make a line read as another one.
pub fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}
