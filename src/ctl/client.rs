//! The client's end of the admin socket. Nothing in it blocks, so that keys and signals are heard meanwhile; there is a
//! time limit where no stream is wanted.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use mio::net::UnixStream;
use mio::{Events, Interest, Poll, Token};

use super::outcome::{CtlOutcome, Failure};
use crate::admin::envelope::{self, reply, Envelope};
use crate::sys::{clock, error_text, stream};

/// How long the daemon may keep us waiting: a little more than it takes to give a client up.
const PATIENCE: Duration = Duration::from_secs(35);

/// What the daemon says, if it does not refuse.
pub(super) enum Reply {
    /// There is more to come.
    Piece(Vec<u8>),
    /// The end; and how it went.
    Last(CtlOutcome, Vec<u8>),
}

/// A connection with its request.
#[derive(Debug)]
pub(super) struct Client {
    socket: String,
    stream: UnixStream,
    unsent: Vec<u8>,
    input: Vec<u8>,
    answer: Vec<u8>,
    /// When it is given up, unless more comes.
    pub deadline: Option<Instant>,
}

impl Client {
    /// Connects; `poll` is woken under `token` when there is something to be done.
    pub fn new(
        socket: &str,
        (command, body): (u16, &[u8]),
        (poll, token): (&Poll, Token),
        follows: bool,
    ) -> Result<Client, Failure> {
        let lost = |error: io::Error| {
            let absent = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused);
            let hint = if absent { " (is l2tpd running?)" } else { "" };
            Failure::unreachable(socket, &(error_text(&error) + hint))
        };
        let mut stream = UnixStream::connect(socket).map_err(lost)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut stream, token, both).map_err(lost)?;
        Ok(Client {
            socket: socket.to_owned(),
            stream,
            unsent: envelope::encode(command, body),
            input: Vec::new(),
            answer: Vec::new(),
            deadline: (!follows).then(|| clock::now() + PATIENCE),
        })
    }

    /// What the daemon says next, once it is there.
    pub fn next(&mut self) -> Result<Option<Reply>, Failure> {
        let lost = |why: &str| Failure::unreachable(&self.socket, why);
        if self.deadline.is_some_and(|at| at <= clock::now()) {
            return Err(lost("the daemon does not answer"));
        }
        match stream::send(&mut self.stream, &mut self.unsent) {
            // A daemon that refuses us has closed already, and its reason waits to be read.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.unsent.clear(),
            sent => sent.map_err(|error| lost(&error_text(&error)))?,
        }
        let mut room = [0; 16 * 1024];
        loop {
            let taken = envelope::take(&mut self.input, envelope::MAX_REPLY);
            if let Some(envelope) = taken.map_err(|error| lost(&error.to_string()))? {
                return understood(envelope, lost).map(Some);
            }
            match self.stream.read(&mut room) {
                Ok(0) => return Err(lost("the daemon closed the connection")),
                Ok(octets) => {
                    self.input.extend_from_slice(room.get(..octets).unwrap_or_default());
                    self.deadline = self.deadline.map(|_| clock::now() + PATIENCE);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // It was killed before it had read the request.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Err(lost("the daemon closed the connection"));
                }
                Err(error) => return Err(lost(&error_text(&error))),
            }
        }
    }

    /// The whole answer and how it went, once it is there.
    pub fn answer(&mut self) -> Result<Option<(CtlOutcome, Vec<u8>)>, Failure> {
        while let Some(reply) = self.next()? {
            match reply {
                Reply::Piece(mut body) => self.answer.append(&mut body),
                Reply::Last(outcome, mut body) => {
                    self.answer.append(&mut body);
                    return Ok(Some((outcome, std::mem::take(&mut self.answer))));
                }
            }
        }
        Ok(None)
    }
}

fn understood(envelope: Envelope, lost: impl Fn(&str) -> Failure) -> Result<Reply, Failure> {
    let outcome = match envelope.command {
        reply::PIECE => return Ok(Reply::Piece(envelope.body)),
        reply::DONE => return Ok(Reply::Last(CtlOutcome::Done, envelope.body)),
        reply::DOWN => return Ok(Reply::Last(CtlOutcome::Down, envelope.body)),
        reply::REFUSED => CtlOutcome::Refused,
        reply::USAGE => CtlOutcome::Usage,
        reply::BUSY => CtlOutcome::Unreachable,
        other => return Err(lost(&format!("unknown reply {other:#06x}"))),
    };
    Err(Failure { outcome, why: String::from_utf8_lossy(&envelope.body).trim_end().to_owned() })
}

/// A client that has nothing else to do than to wait for the daemon.
pub(super) struct Waiting {
    poll: Poll,
    events: Events,
    client: Client,
}

impl Waiting {
    pub fn new(socket: &str, request: (u16, &[u8]), follows: bool) -> Result<Waiting, Failure> {
        let poll = Poll::new()?;
        let client = Client::new(socket, request, (&poll, Token(0)), follows)?;
        Ok(Waiting { poll, events: Events::with_capacity(4), client })
    }

    /// Waits for what `take` is to take of the client.
    pub fn for_what<T>(
        &mut self,
        take: impl Fn(&mut Client) -> Result<Option<T>, Failure>,
    ) -> Result<T, Failure> {
        loop {
            if let Some(taken) = take(&mut self.client)? {
                return Ok(taken);
            }
            wait(&mut self.poll, &mut self.events, self.client.deadline)?;
        }
    }
}

/// Nothing happens for so long.
pub(super) fn pause(time: Duration) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let until = clock::now() + time;
    let mut events = Events::with_capacity(1);
    while clock::now() < until {
        wait(&mut poll, &mut events, Some(until))?;
    }
    Ok(())
}

/// Waits for events, not longer than `until`; an interruption ends it early.
pub(super) fn wait(poll: &mut Poll, events: &mut Events, until: Option<Instant>) -> io::Result<()> {
    let left = until.map(|until| until.saturating_duration_since(clock::now()) + Duration::from_millis(1));
    match poll.poll(events, left) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
