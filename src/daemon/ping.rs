//! `ping`: HELLOs over a control connection, one after the other's answer, and what is told of them.

use std::time::{Duration, Instant};

use super::admin_host::{Host, Pong};
use crate::admin::display::no_tunnel;
use crate::admin::envelope::reply;
use crate::admin::report::Pings;
use crate::admin::{json, show};
use crate::log::escape;
use crate::proto::{Command, CommandError};

/// A `ping` that goes on.
#[derive(Debug)]
pub(super) struct Ping {
    tunnel: String,
    left: u32,
    interval: Duration,
    json: bool,
    /// When the next HELLO is sent; `None` while one waits for its answer.
    next: Option<Instant>,
    /// When the last one was sent.
    begun: Instant,
    told: Pings,
}

/// What is to be sent to the client.
pub(super) enum Said {
    /// A piece of the answer.
    Piece(String),
    /// The kind and the text of its end.
    End(u16, String),
}

impl Ping {
    /// The first HELLO is sent at once.
    pub fn new(now: Instant, tunnel: String, (count, interval): (u32, Duration), json: bool) -> Ping {
        Ping { tunnel, left: count, interval, json, next: Some(now), begun: now, told: Pings::default() }
    }

    /// When there is something to do.
    pub fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Sends the next HELLO, if it is time.
    pub fn turn(&mut self, now: Instant, host: &mut dyn Host) -> Option<Said> {
        self.next.take_if(|next| *next <= now)?;
        if self.left == 0 {
            return Some(self.end());
        }
        self.left -= 1;
        self.begun = now;
        match host.command(now, Command::Ping(self.tunnel.clone())) {
            Ok(()) => None,
            Err(CommandError::NotFound) => Some(Said::End(reply::REFUSED, no_tunnel(&self.tunnel))),
            Err(_) if self.told.hellos == 0 => {
                let text = format!("{}: it is not up\n", escape(self.tunnel.as_bytes()));
                Some(Said::End(reply::REFUSED, text))
            }
            Err(_) => Some(self.end()),
        }
    }

    /// The HELLO of a tunnel was answered, or its connection is gone.
    pub fn answered(&mut self, now: Instant, pong: &Pong) -> Option<Said> {
        if self.next.is_some() || pong.tunnel != self.tunnel {
            return None;
        }
        self.told.count(pong.round_trip, pong.transmissions);
        self.next = match (self.left, pong.round_trip) {
            (0, _) | (_, None) => Some(now),
            (_, Some(_)) => Some(now.max(self.begun + self.interval)),
        };
        if pong.round_trip.is_none() {
            self.left = 0;
        }
        let (number, round_trip, transmissions) = (self.told.hellos, pong.round_trip, pong.transmissions);
        Some(Said::Piece(match self.json {
            true => json::pong(number, pong.peer, round_trip, transmissions),
            false => show::pong(number, pong.peer, round_trip, transmissions),
        }))
    }

    fn end(&self) -> Said {
        let kind = if self.told.answered == 0 { reply::DOWN } else { reply::DONE };
        Said::End(kind, if self.json { json::pings(&self.told) } else { show::pings(&self.told) })
    }
}
