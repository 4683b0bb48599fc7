//! A HELLO that the administrator wants to hear of.

use super::channel::Channel;

use crate::saved::saved;
use std::time::{Duration, Instant};

/// That HELLO.
#[derive(Debug, Clone, Copy)]
pub struct Ping {
    ns: u16,
    /// When it was sent first.
    sent: Option<Instant>,
    /// How often it was sent.
    pub transmissions: u32,
}
saved!(Ping { ns, sent, transmissions });

/// It, while it is not answered; one at a time.
#[derive(Debug, Default)]
pub struct Pinging(Option<Ping>);
saved!(tuple Pinging(number));

impl Pinging {
    /// Whether one is not answered yet.
    pub fn waits(&self) -> bool {
        self.0.is_some()
    }

    /// The next message in the queue is one.
    pub fn begin(&mut self, ns: u16) {
        self.0 = Some(Ping { ns, sent: None, transmissions: 0 });
    }

    /// The message with this Ns leaves, for the first time or again.
    pub fn transmitted(&mut self, now: Instant, ns: u16) {
        if let Some(ping) = self.0.as_mut().filter(|ping| ping.ns == ns) {
            ping.sent.get_or_insert(now);
            ping.transmissions = ping.transmissions.saturating_add(1);
        }
    }

    /// The HELLO, once nothing in flight or in the queue is it any more, and how long its answer took.
    pub fn take_pong(&mut self, now: Instant, channel: &Channel) -> Option<(Ping, Duration)> {
        let ping = self.0.take_if(|ping| !channel.holds(ping.ns))?;
        Some((ping, now.saturating_duration_since(ping.sent?)))
    }

    /// The connection is at its end: there will be no answer.
    pub fn give_up(&mut self) -> Option<Ping> {
        self.0.take()
    }
}
