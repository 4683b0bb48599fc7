//! One connection to the admin socket: its request as it comes in, its reply as it goes out. Nothing here blocks,
//! and nothing grows beyond its limit.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use mio::net::UnixStream;

use super::ping::{Ping, PingOutput};
use crate::admin::envelope::{self, reply, Envelope, EnvelopeError};
use crate::admin::{Display, Source};
use crate::log::Level;

/// From the connection to its complete request.
const REQUEST_TIME: Duration = Duration::from_secs(5);
/// From a reply to its last octet read.
const REPLY_TIME: Duration = Duration::from_secs(30);
/// What a client that follows may leave unread.
const BACKLOG: usize = 64 * 1024;
/// The most octets written to one client before the others have their turn.
const BUDGET: usize = 256 * 1024;
/// Octets of a display that are made at a time, more or less, and steps for them.
const PIECE: usize = 32 * 1024;
const STEPS: usize = 64;

/// Why a connection ends.
#[derive(Debug)]
pub(super) enum End {
    /// The reply has been read, or the client went away where it may.
    Done,
    /// What came is not a request.
    Malformed(EnvelopeError),
    /// Receiving failed.
    Receive(io::Error),
    /// Sending failed, or took too long.
    Send(io::Error),
    /// No complete request within its time.
    Late,
    /// A stream that nobody reads.
    Backlog,
    /// A stream that gives way to another client.
    Idle,
}

/// What a client follows.
#[derive(Debug)]
pub(super) enum Stream {
    /// The log, from a message number on.
    Log { next: u64, level: Level, json: bool },
    /// Events.
    Watch { json: bool },
    /// Control messages of a tunnel.
    Trace { tunnel: String },
    /// Whether another program has taken over.
    Restart,
    /// What comes of a reload.
    Reload { number: u64, json: bool },
    /// HELLOs and their answers.
    Ping(Box<Ping>),
}

#[derive(Debug)]
enum Stage {
    Request,
    /// More of the reply is made when what there is of it has been read.
    Show(Box<Display>),
    Reply,
    Follow(Stream),
}

#[derive(Debug)]
pub(super) struct AdminClient {
    pub stream: UnixStream,
    /// The user at the other end.
    pub user: u32,
    /// When something was sent to it last, or it came.
    pub active: Instant,
    input: Vec<u8>,
    output: Vec<u8>,
    sent: usize,
    stage: Stage,
    deadline: Option<Instant>,
    readable: bool,
    writable: bool,
}

impl AdminClient {
    /// A connection that was just accepted.
    pub fn new(stream: UnixStream, user: u32, now: Instant) -> AdminClient {
        AdminClient {
            stream,
            user,
            active: now,
            input: Vec::new(),
            output: Vec::new(),
            sent: 0,
            stage: Stage::Request,
            deadline: Some(now + REQUEST_TIME),
            readable: true,
            writable: true,
        }
    }

    /// The socket may be ready again; trying it tells.
    pub fn ready(&mut self) {
        self.readable = true;
        self.writable = true;
    }

    /// When this connection wants to be looked at next; now, if it has work that it did not get to.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        let shows = matches!(self.stage, Stage::Show(_));
        let busy = self.readable || (self.writable && (self.backlog() > 0 || shows));
        let ping = match &self.stage {
            Stage::Follow(Stream::Ping(ping)) => ping.next(),
            Stage::Request | Stage::Show(_) | Stage::Reply | Stage::Follow(_) => None,
        };
        if busy {
            Some(now)
        } else {
            self.deadline.into_iter().chain(ping).min()
        }
    }

    /// What the client follows, if it does.
    pub fn follows(&mut self) -> Option<&mut Stream> {
        match &mut self.stage {
            Stage::Follow(stream) => Some(stream),
            Stage::Request | Stage::Show(_) | Stage::Reply => None,
        }
    }

    /// Whether the client follows something.
    pub fn is_following(&self) -> bool {
        matches!(self.stage, Stage::Follow(_))
    }

    /// Octets waiting to be read by the client.
    fn backlog(&self) -> usize {
        self.output.len() - self.sent
    }

    /// Whether its time is over.
    pub fn check_time(&self, now: Instant) -> Result<(), End> {
        match (self.deadline, &self.stage) {
            (Some(at), Stage::Request) if at <= now => Err(End::Late),
            (Some(at), Stage::Show(_) | Stage::Reply | Stage::Follow(_)) if at <= now => {
                Err(End::Send(io::ErrorKind::TimedOut.into()))
            }
            (Some(_) | None, _) => Ok(()),
        }
    }

    /// Reads what there is; returns the request once it is complete.
    pub fn receive(&mut self) -> Result<Option<Envelope>, End> {
        let mut room = [0_u8; 4096];
        while self.readable {
            match self.stream.read(&mut room) {
                Ok(0) => {
                    self.readable = false;
                    return self.at_end();
                }
                Ok(octets) => {
                    if let Some(request) = self.take_in(room.get(..octets).unwrap_or_default())? {
                        return Ok(Some(request));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(End::Receive(error)),
            }
        }
        Ok(None)
    }

    /// The client sends no more. It may still read its reply; one that follows has gone.
    fn at_end(&self) -> Result<Option<Envelope>, End> {
        match self.stage {
            Stage::Request if self.input.is_empty() => Err(End::Done), // only looked whether we are there
            Stage::Request => Err(End::Malformed(EnvelopeError::Short(self.input.len()))),
            Stage::Show(_) | Stage::Reply => Ok(None),
            Stage::Follow(_) => Err(End::Done),
        }
    }

    fn take_in(&mut self, octets: &[u8]) -> Result<Option<Envelope>, End> {
        match self.stage {
            Stage::Request => {}
            Stage::Show(_) | Stage::Reply | Stage::Follow(_) => {
                return Err(End::Malformed(EnvelopeError::Trailing(octets.len())))
            }
        }
        self.input.extend_from_slice(octets);
        let request = envelope::take(&mut self.input, envelope::MAX_REQUEST).map_err(End::Malformed)?;
        if request.is_some() && !self.input.is_empty() {
            return Err(End::Malformed(EnvelopeError::Trailing(self.input.len())));
        }
        Ok(request)
    }

    /// Begins a display.
    pub fn show(&mut self, now: Instant, display: Display) {
        self.stage = Stage::Show(Box::new(display));
        self.deadline = Some(now + REPLY_TIME);
    }

    /// Makes the next piece of a display, once the one before has been read.
    pub fn show_further(&mut self, now: Instant, source: &dyn Source) {
        let Stage::Show(display) = &mut self.stage else { return };
        if self.output.len() > self.sent {
            return;
        }
        let mut text = String::new();
        for _ in 0..STEPS {
            if text.len() >= PIECE || display.is_over() {
                break;
            }
            if display.step(source, &mut text).is_err() {
                let why = "the configuration changed meanwhile: ask again\n";
                return self.answer(now, reply::REFUSED, why.as_bytes());
            }
        }
        match (display.is_over(), display.is_down()) {
            (false, _) => {
                if !text.is_empty() {
                    envelope::put(&mut self.output, reply::PIECE, text.as_bytes());
                }
                self.deadline = Some(now + REPLY_TIME);
            }
            (true, false) => self.answer(now, reply::DONE, text.as_bytes()),
            (true, true) => self.answer(now, reply::DOWN, text.as_bytes()),
        }
    }

    /// Gives the last answer; what is too long for one envelope is preceded by pieces.
    pub fn answer(&mut self, now: Instant, kind: u16, body: &[u8]) {
        let mut body = body;
        while let Some((piece, rest)) =
            body.split_at_checked(envelope::MAX_REPLY).filter(|(_, r)| !r.is_empty())
        {
            envelope::put(&mut self.output, reply::PIECE, piece);
            body = rest;
        }
        envelope::put(&mut self.output, kind, body);
        self.stage = Stage::Reply;
        self.deadline = Some(now + REPLY_TIME);
    }

    /// Begins a stream with what there is already.
    pub fn follow(&mut self, now: Instant, stream: Stream, first: &[u8]) {
        envelope::put(&mut self.output, reply::PIECE, first);
        self.stage = Stage::Follow(stream);
        self.deadline = Some(now + REPLY_TIME);
    }

    /// Adds a piece to the stream, unless the client has left too much unread. What a stream began with has the
    /// time of a reply.
    pub fn piece(&mut self, body: &[u8]) -> Result<(), End> {
        if self.backlog() + body.len() > BACKLOG && self.deadline.is_none() {
            return Err(End::Backlog);
        }
        envelope::put(&mut self.output, reply::PIECE, body);
        Ok(())
    }

    /// Passes on what a `ping` says.
    pub fn say(&mut self, now: Instant, said: PingOutput) -> Result<(), End> {
        match said {
            PingOutput::Piece(text) => self.piece(text.as_bytes()),
            PingOutput::End(kind, text) => {
                self.answer(now, kind, text.as_bytes());
                Ok(())
            }
        }
    }

    /// Writes what can be written; ends the connection after the last answer.
    pub fn send(&mut self, now: Instant) -> Result<(), End> {
        let mut budget = BUDGET;
        while self.writable && self.backlog() > 0 && budget > 0 {
            let rest = self.output.get(self.sent..).unwrap_or_default();
            match self.stream.write(rest.get(..budget).unwrap_or(rest)) {
                Ok(0) => self.writable = false,
                Ok(octets) => {
                    self.sent += octets;
                    self.active = now;
                    budget -= octets.min(budget);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(End::Send(error)),
            }
        }
        if self.backlog() == 0 {
            self.output.clear();
            self.sent = 0;
            match self.stage {
                Stage::Request | Stage::Show(_) => {}
                Stage::Reply => return Err(End::Done),
                Stage::Follow(_) => self.deadline = None,
            }
        } else if self.sent > BACKLOG {
            self.output.drain(..self.sent);
            self.sent = 0;
        }
        Ok(())
    }

    /// Whether the client waits for an answer that is complete: it is written before more is read, so that a
    /// client that went away is noticed as one that does not take its answer.
    pub fn is_answered(&self) -> bool {
        matches!(self.stage, Stage::Show(_) | Stage::Reply)
    }
}
