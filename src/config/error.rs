//! What is wrong with a file, and where.

use std::fmt;

use crate::log::{Event, LogLine, Remark};

/// A place in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// Octet of the line, from 1.
    pub column: usize,
}

/// A tag of a block, with the place of its (first) parameter.
pub struct Given {
    /// Its name in the table.
    pub tag: &'static str,
    /// Where its first parameter stands; the tag itself where it has none.
    pub place: Place,
}

/// The kinds of errors of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Not an address, not a router id, or the two ends are of different families.
    InvalidAddress,
    /// The parameter is missing.
    NoParam,
    /// More parameters than the tag takes, or the tag once more.
    OnlyOne,
    /// No such tag here.
    UnknownTag,
    /// Out of range, or not one of the words.
    InvalidValue,
}

/// One error of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Line of the file, from 1.
    pub line: usize,
    /// Octet of the line, from 1.
    pub column: usize,
    /// The tag as it was written, escaped.
    pub tag: String,
    /// What kind of error.
    pub fault: Fault,
    /// What is allowed, where the first one stands, what was meant perhaps; lines separated by `\n`.
    pub detail: Option<String>,
}

impl ConfigError {
    /// The error as a line of the log, the place and the detail below it.
    pub fn to_line(&self, file: &str) -> LogLine {
        let mut detail = format!("{file}:{}:{}", self.line, self.column);
        if let Some(more) = &self.detail {
            detail.push('\n');
            detail.push_str(more);
        }
        let line = match self.event() {
            Ok(event) => LogLine::new(&event),
            Err(remark) => LogLine::error(&remark),
        };
        LogLine { detail: Some(detail), ..line }
    }

    /// The error as `l2tpd -n` shows it: `FILE:LINE:COLUMN: message`, each line of the detail below it after two
    /// blanks; without a line end.
    pub fn report(&self, file: &str) -> String {
        let mut text = format!("{file}:{}:{}: {self}", self.line, self.column);
        for more in self.detail.iter().flat_map(|d| d.lines()) {
            text.push_str("\n  ");
            text.push_str(more);
        }
        text
    }
}

impl ConfigError {
    /// The message of the catalogue, or ours where the catalogue lacks one.
    fn event(&self) -> Result<Event, Remark> {
        let tag = self.tag.clone();
        match self.fault {
            Fault::InvalidAddress => Ok(Event::InvalidAddress { tag }),
            Fault::NoParam => Ok(Event::NoParam { tag }),
            Fault::OnlyOne => Ok(Event::OnlyOneParam { tag }),
            Fault::UnknownTag => Err(Remark::UnknownTag { tag }),
            Fault::InvalidValue => Err(Remark::InvalidValue { tag }),
        }
    }
}

impl fmt::Display for ConfigError {
    /// The message, without place and detail.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.event() {
            Ok(event) => event.fmt(f),
            Err(remark) => remark.fmt(f),
        }
    }
}
