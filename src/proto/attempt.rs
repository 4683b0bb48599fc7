//! Something that is tried again and again until it succeeds: a tunnel, a session. How far apart a tunnel's attempts are:
//! towards a peer that says nothing at all they space out.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::context::{Context, Timer};
use super::snapshot::{Cause, Failure};
use crate::config::model::TunnelConfig;
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

    /// The try that was scheduled begins, or was overtaken.
    pub fn begin(&mut self) {
        self.timer = None;
        self.at = None;
    }

    /// Whether the next try has its time.
    pub fn is_scheduled(&self) -> bool {
        self.timer.is_some()
    }

    /// Remembers what went wrong, for `explain` and the status.
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

/// What came of the attempts so far.
#[derive(Debug, Default)]
pub struct Pause {
    /// Attempts in a row that nothing answered.
    unanswered: u32,
    /// Something answered the last one, if only the network.
    answered: bool,
}
saved!(Pause { unanswered, answered });

impl Pause {
    /// An attempt begins.
    pub fn begin(&mut self) {
        self.answered = false;
    }

    /// The peer, or at least the way to it, is alive. Whether the pauses were longer than usual.
    pub fn sign_of_life(&mut self) -> bool {
        self.answered = true;
        std::mem::take(&mut self.unanswered) > 1
    }

    /// An attempt ended without an acknowledgement.
    pub fn unacknowledged(&mut self) {
        self.unanswered = if self.answered { 0 } else { self.unanswered.saturating_add(1) };
    }

    /// The time before the next attempt: `restart-interval` plus or minus a quarter; twice as long each time towards a
    /// peer that is mute, up to `restart-interval-max`. Those have a little more and never less, for some peers forget
    /// a dead connection only after a silence of a certain length.
    pub fn length(&self, cx: &mut Context, config: &TunnelConfig) -> Duration {
        let doublings = self.unanswered.saturating_sub(1).min(16);
        let pause = config.restart_interval.saturating_mul(2_u32.saturating_pow(doublings));
        let pause = pause.min(config.restart_interval_max);
        match pause <= config.restart_interval {
            true => cx.jitter(config.restart_interval),
            false => pause.saturating_add(cx.jitter(pause.mul_f32(0.125))),
        }
    }
}
