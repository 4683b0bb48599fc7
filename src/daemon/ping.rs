//! `ping`: HELLOs over the control connection of a tunnel, or frames of our own through a session; one after the other's
//! answer, and what is told of them.

use std::time::{Duration, Instant};

use super::admin_host::Host;
use super::datapath::Echo;
use crate::admin::display::no_tunnel;
use crate::admin::envelope::reply;
use crate::admin::report::Pings;
use crate::admin::{json, show};
use crate::log::escape;
use crate::proto::{Command, CommandError, Pong};

/// A frame through a session that is not answered for so long is lost.
const PATIENCE: Duration = Duration::from_secs(1);

/// A `ping` that goes on.
#[derive(Debug)]
pub(super) struct Ping {
    /// A tunnel's, or else that of a session's interface.
    name: String,
    left: u32,
    interval: Duration,
    json: bool,
    /// When the next HELLO is sent; `None` while one waits for its answer.
    next: Option<Instant>,
    /// A frame went through a session: its number, and when it counts as lost.
    waits: Option<(u32, Instant)>,
    /// It is a session.
    session: bool,
    /// When the last one was sent.
    begun: Instant,
    told: Pings,
}

/// What is to be sent to the client.
pub(super) enum PingOutput {
    /// A piece of the answer.
    Piece(String),
    /// The kind and the text of its end.
    End(u16, String),
}

impl Ping {
    /// The first HELLO is sent at once.
    pub fn new(now: Instant, name: String, (count, interval): (u32, Duration), json: bool) -> Ping {
        Ping {
            name,
            left: count,
            interval,
            json,
            next: Some(now),
            waits: None,
            session: false,
            begun: now,
            told: Pings::default(),
        }
    }

    /// When there is something to do.
    pub fn next(&self) -> Option<Instant> {
        self.next.or(self.waits.map(|(_, deadline)| deadline))
    }

    /// Sends the next HELLO, if it is time.
    pub fn turn(&mut self, now: Instant, host: &mut dyn Host) -> Option<PingOutput> {
        if let Some((number, _)) = self.waits.filter(|(_, deadline)| *deadline <= now) {
            return self.count_echo(now, number, None);
        }
        self.next.take_if(|next| *next <= now)?;
        if self.left == 0 {
            return Some(self.end());
        }
        self.left -= 1;
        self.begun = now;
        if self.session {
            return self.ask_session(now, host);
        }
        match host.command(now, Command::Ping(self.name.clone())) {
            Ok(()) => None,
            Err(CommandError::NotFound) => {
                self.session = true;
                self.ask_session(now, host)
            }
            Err(_) if self.told.hellos == 0 => Some(self.refused("it is not up")),
            Err(_) => Some(self.end()),
        }
    }

    /// Sends a frame through a session.
    fn ask_session(&mut self, now: Instant, host: &mut dyn Host) -> Option<PingOutput> {
        match host.ping_session(&self.name) {
            Ok(number) => {
                self.waits = Some((number, now + PATIENCE));
                None
            }
            Err(None) => Some(PingOutput::End(reply::REFUSED, no_tunnel(&self.name))),
            Err(Some(why)) if self.told.hellos == 0 => Some(self.refused(why)),
            Err(Some(_)) => Some(self.end()),
        }
    }

    fn refused(&self, why: &str) -> PingOutput {
        PingOutput::End(reply::REFUSED, format!("{}: {why}\n", escape(self.name.as_bytes())))
    }

    /// The other end of a session has answered.
    pub fn echoed(&mut self, now: Instant, echo: &Echo) -> Option<PingOutput> {
        let ours = echo.interface == self.name && self.waits.is_some_and(|(number, _)| number == echo.number);
        ours.then(|| self.count_echo(now, echo.number, Some(echo.round_trip)))?
    }

    /// A frame through a session was answered, or is lost.
    fn count_echo(&mut self, now: Instant, number: u32, round_trip: Option<Duration>) -> Option<PingOutput> {
        self.waits.take_if(|(waits, _)| *waits == number)?;
        self.told.count(round_trip, 1);
        self.next = Some(if self.left == 0 { now } else { now.max(self.begun + self.interval) });
        Some(PingOutput::Piece(match self.json {
            true => json::echo(self.told.hellos, &self.name, round_trip),
            false => show::echo(self.told.hellos, &self.name, round_trip),
        }))
    }

    /// The HELLO of a tunnel was answered, or its connection is gone.
    pub fn answered(&mut self, now: Instant, pong: &Pong) -> Option<PingOutput> {
        if self.session || self.next.is_some() || pong.tunnel != self.name {
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
        Some(PingOutput::Piece(match self.json {
            true => json::pong(number, pong.peer, round_trip, transmissions),
            false => show::pong(number, pong.peer, round_trip, transmissions),
        }))
    }

    fn end(&self) -> PingOutput {
        let kind = if self.told.answered == 0 { reply::DOWN } else { reply::DONE };
        PingOutput::End(
            kind,
            match (self.session, self.json) {
                (false, false) => show::pings(&self.told),
                (false, true) => json::pings(&self.told),
                (true, false) => show::echoes(&self.told),
                (true, true) => json::echoes(&self.told),
            },
        )
    }
}
