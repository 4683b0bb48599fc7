//! Frames of our own in the sessions (see `frame::oam`): requests of the peers are answered, and sessions are pinged.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::event::{DataPlaneEvent, Echo};
use super::loops::Loops;
use super::pseudowires::Pseudowires;
use super::transmit::Outbound;
use crate::frame::oam::Oam;
use crate::sys::clock;
use crate::wire::SessionId;

/// Requests that may wait for their answers; older ones count as lost.
const WAITING: usize = 64;

/// What comes of frames of our own.
#[derive(Default)]
pub(super) struct Own {
    /// Tells our frames from those of others; random.
    pub(super) identifier: u64,
    echoes: Echoes,
    pub(super) loops: Loops,
}

impl Own {
    /// Takes frames that came by sessions; what is to be sent in answer.
    pub(super) fn take(
        &mut self,
        now: Instant,
        wires: &mut Pseudowires,
        frames: &mut Vec<(SessionId, Oam)>,
    ) -> Vec<(SessionId, Oam)> {
        let mut answers = Vec::new();
        for (session, frame) in frames.drain(..) {
            match frame {
                Oam::Request { asker, number } => answers.push((session, Oam::Reply { asker, number })),
                Oam::Reply { asker, number } if asker == self.identifier => {
                    self.echoes.reply(wires, session, number);
                }
                Oam::Reply { .. } => {}
                Oam::Probe { sender, session: left } => {
                    self.loops.returned(now, wires, sender, (SessionId(left), session));
                }
            }
        }
        answers
    }

    /// The request for the other end of the session of an interface, with its number, or why there can be none.
    pub(super) fn request(
        &mut self,
        wires: &Pseudowires,
        interface: &str,
    ) -> Result<(u32, (SessionId, Oam)), &'static str> {
        let port = wires.ports.by_name(interface).ok_or("it has no interface")?;
        if port.kernel_session().is_some() {
            return Err("the kernel carries its frames: this needs data-plane tap");
        }
        let session = port.session.and_then(|at| wires.sessions.get(at)).ok_or("it is not up")?;
        if !(session.gates.send && session.gates.receive) {
            return Err("it is not up");
        }
        let (asker, number) = (self.identifier, self.echoes.ask(session.id));
        Ok((number, (session.id, Oam::Request { asker, number })))
    }

    /// The probes that are to be sent now.
    pub(super) fn probes(&mut self, now: Instant, wires: &mut Pseudowires) -> Vec<(SessionId, Oam)> {
        let sender = self.identifier;
        let sessions = self.loops.turn(now, wires).into_iter();
        sessions.map(|id| (id, Oam::Probe { sender, session: id.0 })).collect()
    }
}

/// The requests that wait for their answers.
#[derive(Default)]
struct Echoes {
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

    /// An answer came by a session: how long that took, if somebody waits for it.
    fn answered(&mut self, session: SessionId, number: u32) -> Option<Duration> {
        let asked = |(of, n, _): &(SessionId, u32, Instant)| (*of, *n) == (session, number);
        let at = self.waiting.iter().position(asked)?;
        let (_, _, sent) = self.waiting.remove(at)?;
        Some(clock::now().saturating_duration_since(sent))
    }

    /// An answer came.
    fn reply(&mut self, wires: &mut Pseudowires, session: SessionId, number: u32) {
        let Some(round_trip) = self.answered(session, number) else { return };
        let port = wires.sessions.find(session).and_then(|session| wires.ports.get(session.port));
        if let Some(interface) = port.map(|port| port.interface.name.clone()) {
            wires.events.push(DataPlaneEvent::Echo(Echo { interface, number, round_trip }));
        }
    }
}

/// Sends a frame of our own, if the session is open; nothing else waits. What cannot be sent is lost.
pub(super) fn send(wires: &mut Pseudowires, outbound: &mut Outbound, (id, oam): (SessionId, Oam)) {
    let Some(session) = wires.sessions.find_mut(id).filter(|session| session.gates.send) else { return };
    let Some(at) = wires.sockets.find_again(&session.path, &mut session.socket) else { return };
    let Some(socket) = wires.sockets.get_mut(at) else { return };
    let Some(port) = wires.ports.get(session.port) else { return };
    let frame = oam.frame(port.interface.mac_address);
    outbound.send_own(&port.interface, session, socket, &frame);
}
