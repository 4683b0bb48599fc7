//! Something that is tried again and again until it succeeds: a tunnel, a session.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::context::{Context, Timer};
use super::snapshot::{Cause, Failure};
use crate::saved::saved;
use crate::wheel::TimerId;

saved! {
    /// When it is tried next, and what went wrong last.
    #[derive(Debug)]
    pub struct Attempt {
        timer: Option<TimerId>,
        at: Option<Instant>,
        failure: Option<Box<(Failure, Instant)>>,
        /// When the state changed last.
        pub since: Instant,
    }

    /// What an attempt waits for before it can begin.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Preparing {
        /// Names that are looked up.
        Names,
        /// A socket towards this peer.
        Socket(peer: Option<IpAddr>),
    }
}

impl Attempt {
    /// Nothing tried yet.
    pub fn new(now: Instant) -> Attempt {
        Attempt { timer: None, at: None, failure: None, since: now }
    }

    /// Tries again in `delay`.
    pub fn schedule(&mut self, cx: &mut Context, delay: Duration, timer: Timer) {
        cx.arm(&mut self.timer, delay, timer);
        self.at = cx.now.checked_add(delay);
    }

    /// Does not try again by itself.
    pub fn cancel(&mut self, cx: &mut Context) {
        cx.cancel(&mut self.timer);
        self.at = None;
    }

    /// The timer fired.
    pub fn begin(&mut self) {
        self.timer = None;
        self.at = None;
    }

    /// Whether the next try has its time.
    pub fn is_scheduled(&self) -> bool {
        self.timer.is_some()
    }

    /// Notes what went wrong.
    pub fn fail(&mut self, now: Instant, failure: Failure) {
        self.failure = Some(Box::new((failure, now)));
    }

    /// What went wrong for this cause is over.
    pub fn forget(&mut self, cause: Cause) {
        self.failure.take_if(|failure| failure.0.cause == cause);
    }

    /// What went wrong last.
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref().map(|failure| &failure.0)
    }

    /// Whether something went wrong at this very moment: what follows from it is not the cause.
    pub fn failed_just_now(&self, now: Instant) -> bool {
        self.failure.as_ref().is_some_and(|failure| failure.1 == now)
    }

    /// What went wrong last, and how long ago.
    pub fn last_failure(&self, now: Instant) -> Option<(Failure, Duration)> {
        let (failure, at) = self.failure.as_deref()?;
        Some((failure.clone(), now.saturating_duration_since(*at)))
    }

    /// Time until the next try.
    pub fn next_try(&self, now: Instant) -> Option<Duration> {
        self.at.map(|at| at.saturating_duration_since(now))
    }
}
