//! How a command of `l2tpctl` ends, and what it writes.

use std::io::{self, Write};

/// How a command went: the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CtlOutcome {
    /// Done.
    Done = 0,
    /// Refused, or not found; also when the output cannot be written.
    Refused = 1,
    /// Bad usage.
    Usage = 2,
    /// The daemon cannot be reached, is busy, or went away.
    Unreachable = 3,
    /// Done; something that is enabled is not up.
    Down = 4,
}

/// Why it ends: the exit status, and what is said after the name of the program.
#[derive(Debug)]
pub(super) struct Failure {
    pub outcome: CtlOutcome,
    pub why: String,
}

/// Of what is written. An output that is closed is no failure: its reader (`head`, for instance) has seen enough.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        let closed = error.kind() == io::ErrorKind::BrokenPipe;
        let outcome = if closed { CtlOutcome::Done } else { CtlOutcome::Refused };
        Failure { outcome, why: error.to_string() }
    }
}

impl Failure {
    /// Of the connection to `socket`.
    pub fn unreachable(socket: &str, why: &str) -> Failure {
        Failure { outcome: CtlOutcome::Unreachable, why: format!("{socket}: {why}") }
    }
}

/// To standard output, at once.
pub(super) fn write_out(octets: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(octets)?;
    Ok(out.flush()?)
}

/// The whole of what there is to say.
pub(super) fn print(text: &str) -> Result<CtlOutcome, Failure> {
    write_out(text.as_bytes()).map(|()| CtlOutcome::Done)
}
