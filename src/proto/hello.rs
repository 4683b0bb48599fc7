//! Keepalive (RFC 3931 4.4): a HELLO when nothing has come from the peer for the configured time.

use std::time::Instant;

use super::connection::State;
use super::send::later;
use super::snapshot::Failure;
use super::{Engine, Timer};
use crate::log::Event;
use crate::wire::{Ccid, Message, MessageType, SessionId};

impl Engine {
    /// Arms the HELLO timer, a little earlier than configured: connections must not act in step (C-076).
    pub(super) fn arm_hello(&mut self, now: Instant, ccid: Ccid) {
        let Some(key) = self.connections.get(&ccid).map(|c| c.tunnel) else { return };
        let Some(interval) = self.tunnels.get(&key).and_then(|t| t.config.hello_interval) else { return };
        let early = self.jitter(interval.mul_f32(0.05));
        let at = later(now, interval.saturating_sub(early));
        let Some(connection) = self.connections.get_mut(&ccid) else { return };
        if let Some(old) = connection.timers.hello.replace(self.wheel.arm(at, Timer::Hello(ccid))) {
            self.wheel.cancel(old);
        }
    }

    /// The HELLO timer fired. What was heard meanwhile (control or data, C-074) only left a stamp, which is looked
    /// at now; one HELLO at a time.
    pub(super) fn hello_due(
        &mut self,
        now: Instant,
        ccid: Ccid,
        heard: &dyn Fn(SessionId) -> Option<Instant>,
    ) {
        let Some(connection) = self.connections.get_mut(&ccid) else { return };
        connection.timers.hello = None;
        if connection.state != State::Established {
            return;
        }
        let data = connection.sessions.iter().filter_map(|id| heard(*id)).max();
        let last = data.map_or(connection.heard, |d| d.max(connection.heard));
        let Some(interval) = self.tunnels.get(&connection.tunnel).and_then(|t| t.config.hello_interval)
        else {
            return;
        };
        let quiet = now.saturating_duration_since(last);
        // The timer ran a little short on purpose; so does this.
        let due = interval.mul_f32(11.0 / 12.0);
        if quiet < due {
            return self.arm_hello(last.min(now), ccid);
        }
        if connection.channel.is_empty() {
            self.log(Event::Send { tunnel: ccid, message: MessageType::HELLO });
            if !self.enqueue(now, ccid, &Message::Hello) {
                return self.lose(now, ccid, Failure::new("the HELLO could not be built", "M-011"));
            }
        }
        self.arm_hello(now, ccid);
    }
}
