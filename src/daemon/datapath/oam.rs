//! Frames of our own in the sessions (see `frame::oam`): requests of the peers are answered, and sessions are pinged.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::event::DataPlaneEvent;
use super::plane::DataPlane;
use super::transmit::Outbound;
use crate::frame::oam::Oam;
use crate::sys::clock;
use crate::token_bucket::Rate;
use crate::wire::SessionId;

/// Requests of one session that are answered.
pub(super) const ANSWERS: Rate = Rate { burst: 20, per_second: 20 };
/// Frames of our own that are kept until the end of a turn.
pub(super) const KEPT: usize = 64;
/// Requests that may wait for their answers; older ones count as lost.
const WAITING: usize = 64;

/// The requests that wait for their answers.
#[derive(Default)]
pub(super) struct Echoes {
    /// Tells our frames from those of others; random.
    pub(super) identifier: u64,
    number: u32,
    waiting: VecDeque<(SessionId, u32, Instant)>,
}

impl Echoes {
    /// A new request; its number.
    fn ask(&mut self, session: SessionId) -> u32 {
        self.number = self.number.wrapping_add(1);
        if self.waiting.len() >= WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back((session, self.number, clock::now()));
        self.number
    }

    /// An answer came by a session: how long that took, if it is one to us.
    fn answered(&mut self, session: SessionId, asker: u64, number: u32) -> Option<Duration> {
        let asked = |(of, n, _): &(SessionId, u32, Instant)| (*of, *n) == (session, number);
        let at = self.waiting.iter().position(asked).filter(|_| asker == self.identifier)?;
        let (_, _, sent) = self.waiting.remove(at)?;
        Some(clock::now().saturating_duration_since(sent))
    }
}

impl DataPlane {
    /// What tells frames of our own from those of other daemons: any number that is hard to guess.
    pub fn identify(&mut self, identifier: u64) {
        self.echoes.identifier = identifier;
    }

    /// Asks the other end of the session of an interface for an answer: the number of the request that
    /// [`DataPlaneEvent::Echo`] tells of, or why that cannot be.
    pub fn ping(&mut self, interface: &str) -> Result<u32, &'static str> {
        let port = self.wires.ports.by_name(interface).ok_or("it has no interface")?;
        if port.kernel_session().is_some() {
            return Err("the kernel carries its frames: this needs data-plane tap");
        }
        let session = port.session.and_then(|at| self.wires.sessions.get(at)).ok_or("it is not up")?;
        if !(session.gates.send && session.gates.receive) {
            return Err("it is not up");
        }
        let id = session.id;
        let (asker, number) = (self.echoes.identifier, self.echoes.ask(id));
        // What cannot be sent is lost.
        self.send_oam(id, Oam::Request { asker, number });
        Ok(number)
    }

    /// Sends a frame of our own, if the session is open.
    pub(super) fn send_oam(&mut self, id: SessionId, oam: Oam) {
        self.flush();
        let Some(session) = self.wires.sessions.find_mut(id).filter(|session| session.gates.send) else {
            return;
        };
        let Some(socket) = session.socket.and_then(|at| self.wires.sockets.get_mut(at)) else { return };
        let Some(port) = self.wires.ports.get(session.port) else { return };
        let frame = oam.frame(port.interface.mac_address);
        let outbound = self.outbound.get_or_insert_with(|| Box::new(Outbound::new()));
        outbound.send_own(&port.interface, session, socket, &frame);
    }

    /// Does what frames of our own ask for that came in this turn.
    pub(super) fn answer_oam(&mut self) {
        if self.arrivals.oam.is_empty() {
            return;
        }
        for (session, oam) in std::mem::take(&mut self.arrivals.oam) {
            match oam {
                Oam::Request { asker, number } => self.send_oam(session, Oam::Reply { asker, number }),
                Oam::Reply { asker, number } => self.echo(session, asker, number),
                Oam::Probe { .. } => {}
            }
        }
    }

    fn echo(&mut self, session: SessionId, asker: u64, number: u32) {
        let Some(round_trip) = self.echoes.answered(session, asker, number) else { return };
        let port = self.wires.sessions.find(session).and_then(|session| self.wires.ports.get(session.port));
        if let Some(port) = port {
            let interface = port.interface.name.clone();
            self.wires.events.push(DataPlaneEvent::Echo { interface, number, round_trip });
        }
    }
}
