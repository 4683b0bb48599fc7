//! An entry for the log.

use super::catalogue::{ProvokedBy, Template};
use super::{Event, Level, Remark};

/// One entry for the log: a message of the catalogue, or a remark of our own, and what is to be added to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The level of the entry and of its detail.
    pub level: Level,
    /// The message itself, without level or time.
    pub text: String,
    /// Further lines (separated by `\n`): values expected and received, the place in the file, advice.
    pub detail: Option<String>,
    /// What the volume limit counts this line under: the id of the catalogue's message, or the remark's name.
    pub kind: &'static str,
    /// Who can provoke it.
    pub by: ProvokedBy,
}

impl LogLine {
    fn of(template: &Template, text: String) -> LogLine {
        let Template { id: kind, level, by, .. } = *template;
        LogLine { level, text, detail: None, kind, by }
    }

    /// The line for `event`.
    pub fn new(event: &Event) -> LogLine {
        LogLine::of(event.template(), event.to_string())
    }

    /// The line for `event`, with a further line of our own below it.
    pub fn with_detail(event: &Event, detail: impl Into<String>) -> LogLine {
        LogLine { detail: Some(detail.into()), ..LogLine::new(event) }
    }

    /// A remark of our own: it begins with two blanks.
    pub fn remark(remark: &Remark) -> LogLine {
        LogLine::of(remark.kind().template(), format!("  {remark}"))
    }

    /// An error of the configuration that the catalogue lacks: like the others of the configuration it begins without
    /// blanks.
    pub fn error(remark: &Remark) -> LogLine {
        LogLine { text: remark.to_string(), ..LogLine::remark(remark) }
    }
}
