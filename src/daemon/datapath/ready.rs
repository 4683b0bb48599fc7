//! Which descriptors have something to read. mio is edge-triggered: one that was reported stays in the list until it has
//! been read to its end.

use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

/// The data plane's tokens begin here.
pub const FIRST_TOKEN: usize = 0x1000;

/// What a descriptor belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The kernel's events about links, addresses and routes.
    Links,
    /// The kernel's events about IPsec policies and packet filters.
    Policies,
    /// A socket, by its place.
    Socket(usize),
    /// What receives data messages over IP, by the place of the socket.
    Data(usize),
    /// A port's TAP, by the place of the port.
    Port(usize),
}

impl Source {
    fn number(self) -> usize {
        match self {
            Source::Links => 0,
            Source::Policies => 1,
            Source::Socket(at) => 2 + 3 * at,
            Source::Data(at) => 3 + 3 * at,
            Source::Port(at) => 4 + 3 * at,
        }
    }

    fn from_number(number: usize) -> Source {
        let Some(number) = number.checked_sub(2) else {
            return if number == 0 { Source::Links } else { Source::Policies };
        };
        match (number / 3, number % 3) {
            (at, 0) => Source::Socket(at),
            (at, 1) => Source::Data(at),
            (at, _) => Source::Port(at),
        }
    }
}

/// The descriptors that are watched, and those of them that are ready.
pub(super) struct Ready {
    registry: Registry,
    queue: VecDeque<Source>,
    /// By number: it is in the queue.
    queued: Vec<bool>,
}

impl Ready {
    pub(super) fn new(registry: Registry) -> Ready {
        Ready { registry, queue: VecDeque::new(), queued: Vec::new() }
    }

    /// Watches a descriptor.
    pub(super) fn watch(&self, fd: RawFd, source: Source) -> io::Result<()> {
        let token = Token(FIRST_TOKEN + source.number());
        self.registry.register(&mut SourceFd(&fd), token, Interest::READABLE)
    }

    /// Forgets a descriptor that is about to be closed. Closing would do, too, unless another process has it as well.
    pub(super) fn forget(&self, fd: RawFd) {
        let _ = self.registry.deregister(&mut SourceFd(&fd));
    }

    /// A token was reported.
    pub(super) fn reported(&mut self, token: Token) {
        if let Some(number) = token.0.checked_sub(FIRST_TOKEN) {
            self.add(Source::from_number(number));
        }
    }

    /// Adds to the ready ones; `false` if it is one of them already.
    pub(super) fn add(&mut self, source: Source) -> bool {
        let number = source.number();
        if self.queued.len() <= number {
            self.queued.resize(number + 1, false);
        }
        let new = self.queued.get_mut(number).is_some_and(|queued| !std::mem::replace(queued, true));
        if new {
            self.queue.push_back(source);
        }
        new
    }

    /// Takes the one that waits longest.
    pub(super) fn next(&mut self) -> Option<Source> {
        let source = self.queue.pop_front()?;
        if let Some(queued) = self.queued.get_mut(source.number()) {
            *queued = false;
        }
        Some(source)
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_tell_sources_apart() {
        for source in [
            Source::Links,
            Source::Policies,
            Source::Socket(0),
            Source::Data(0),
            Source::Port(0),
            Source::Socket(7),
            Source::Data(8),
        ] {
            assert_eq!(Source::from_number(source.number()), source);
        }
    }

    #[test]
    fn a_source_is_ready_once() {
        let poll = mio::Poll::new().unwrap();
        let mut ready = Ready::new(poll.registry().try_clone().unwrap());
        assert!(ready.add(Source::Port(3)) && !ready.add(Source::Port(3)));
        ready.reported(Token(FIRST_TOKEN + Source::Socket(1).number()));
        ready.reported(Token(1));
        assert_eq!(
            (ready.len(), ready.next(), ready.next()),
            (2, Some(Source::Port(3)), Some(Source::Socket(1)))
        );
        assert!(ready.next().is_none() && ready.is_empty() && ready.add(Source::Port(3)));
    }
}
