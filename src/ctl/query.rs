//! A request whose answer is awaited without blocking, so that keys and signals are heard meanwhile.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use mio::net::UnixStream;
use mio::{Events, Interest, Poll, Token};

use super::admin_connection::{self, PATIENCE};
use super::CtlOutcome;
use crate::admin::envelope::{self, reply};
use crate::sys::{self, clock};

/// Why there is no answer: the exit status, and words.
#[derive(Debug)]
pub(super) struct Failure {
    pub outcome: CtlOutcome,
    pub why: String,
}

impl Failure {
    fn unreachable(why: impl Into<String>) -> Failure {
        Failure { outcome: CtlOutcome::Unreachable, why: why.into() }
    }
}

/// See [the module](self).
#[derive(Debug)]
pub(super) struct Query {
    stream: UnixStream,
    unsent: Vec<u8>,
    input: Vec<u8>,
    answer: Vec<u8>,
    /// When it is given up.
    pub deadline: Instant,
}

impl Query {
    /// Connects; `poll` is woken under `token` when there is something to be done.
    pub fn new(
        socket: &str,
        (command, body): (u16, &[u8]),
        (poll, token): (&Poll, Token),
    ) -> Result<Query, Failure> {
        let text = |error: io::Error| Failure::unreachable(admin_connection::in_words(&error));
        let mut stream = UnixStream::connect(socket).map_err(text)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut stream, token, both).map_err(text)?;
        let unsent = envelope::encode(command, body);
        let deadline = clock::now() + PATIENCE;
        Ok(Query { stream, unsent, input: Vec::new(), answer: Vec::new(), deadline })
    }

    /// Goes on as far as it can; the answer, once it is complete.
    pub fn turn(&mut self) -> Option<Result<String, Failure>> {
        if self.deadline <= clock::now() {
            return Some(Err(Failure::unreachable("the daemon does not answer")));
        }
        match self.exchange() {
            Ok(true) => Some(Ok(String::from_utf8_lossy(&self.answer).into_owned())),
            Ok(false) => None,
            Err(failure) => Some(Err(failure)),
        }
    }

    fn exchange(&mut self) -> Result<bool, Failure> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(octets) => drop(self.unsent.drain(..octets)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // A daemon that refuses us has closed already, and its reason waits to be read.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.unsent.clear(),
                Err(error) => return Err(Failure::unreachable(sys::error_text(&error))),
            }
        }
        let mut room = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut room) {
                Ok(0) => return Err(Failure::unreachable("the daemon closed the connection")),
                Ok(octets) => self.input.extend_from_slice(room.get(..octets).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Failure::unreachable(sys::error_text(&error))),
            }
            if self.take_envelopes()? {
                return Ok(true);
            }
        }
    }

    /// Whether the last one has come.
    fn take_envelopes(&mut self) -> Result<bool, Failure> {
        loop {
            let taken = envelope::take(&mut self.input, envelope::MAX_REPLY);
            let Some(mut envelope) = taken.map_err(|error| Failure::unreachable(error.to_string()))? else {
                return Ok(false);
            };
            let outcome = match envelope.command {
                reply::PIECE | reply::DONE => {
                    self.answer.append(&mut envelope.body);
                    match envelope.command {
                        reply::DONE => return Ok(true),
                        _ => continue,
                    }
                }
                reply::REFUSED => CtlOutcome::Refused,
                reply::USAGE => CtlOutcome::Usage,
                _ => CtlOutcome::Unreachable,
            };
            return Err(Failure {
                outcome,
                why: String::from_utf8_lossy(&envelope.body).trim_end().to_owned(),
            });
        }
    }
}

/// Asks, and waits for the answer.
pub(super) fn ask(socket: &str, request: (u16, &[u8])) -> Result<String, Failure> {
    let text = |error: io::Error| Failure::unreachable(sys::error_text(&error));
    let mut poll = Poll::new().map_err(text)?;
    let mut query = Query::new(socket, request, (&poll, Token(0)))?;
    let mut events = Events::with_capacity(4);
    loop {
        if let Some(answer) = query.turn() {
            return answer;
        }
        wait(&mut poll, &mut events, Some(query.deadline)).map_err(text)?;
    }
}

/// Lets some time pass.
pub(super) fn pause(time: Duration) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let until = clock::now() + time;
    let mut events = Events::with_capacity(1);
    while clock::now() < until {
        wait(&mut poll, &mut events, Some(until))?;
    }
    Ok(())
}

/// Waits until something happens, or until then.
pub(super) fn wait(poll: &mut Poll, events: &mut Events, until: Option<Instant>) -> io::Result<()> {
    // A little later, so that it is over then: epoll counts in milliseconds.
    let left = until.map(|until| until.saturating_duration_since(clock::now()) + Duration::from_millis(1));
    match poll.poll(events, left) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
