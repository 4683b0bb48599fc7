//! How far apart a tunnel's attempts are: towards a peer that says nothing at all they space out.

use std::time::Duration;

use super::context::Context;
use crate::config::model::TunnelConfig;
use crate::saved::saved;

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
