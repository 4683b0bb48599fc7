//! All that the data plane sends: frames of the ports, those of them that take long and wait, frames of our own, and control
//! messages.

use std::io;
use std::time::Instant;

use super::oam;
use super::pseudowires::Pseudowires;
use super::ready::Source;
use super::transmit::{End, Exit, Frames, Outbound};
use crate::frame::oam::Oam;
use crate::proto::Path;
use crate::sys::socket::Fragmentation;
use crate::wire::SessionId;

/// Frames that take long and are sent in one turn.
const BACKLOG: usize = 1;

/// What it takes; made when there is something to be sent.
#[derive(Default)]
pub(super) struct Sending(Option<Box<Outbound>>);

impl Sending {
    fn outbound(&mut self) -> &mut Outbound {
        self.0.get_or_insert_with(|| Box::new(Outbound::new()))
    }

    /// Whether frames wait because they take long.
    pub(super) fn has_backlog(&self) -> bool {
        self.0.as_ref().is_some_and(|outbound| !outbound.backlog.is_empty())
    }

    /// Sends a few of them.
    pub(super) fn backlog(&mut self, now: Instant, wires: &mut Pseudowires) {
        for _ in 0..BACKLOG {
            let waiting = self.0.as_mut().and_then(|outbound| outbound.backlog.pop());
            let Some(mut deferred) = waiting else { break };
            self.transmit(now, wires, deferred.port, Frames::Waited(&mut deferred));
            self.outbound().backlog.give_back(deferred.arena);
        }
        self.flush(wires);
    }

    /// Sends one batch of frames of a port, or leaves it for the end of the turn; `true` if there may be more.
    pub(super) fn transmit(
        &mut self,
        now: Instant,
        wires: &mut Pseudowires,
        at: usize,
        frames: Frames<'_>,
    ) -> bool {
        let Some(port) = wires.ports.get(at) else { return false };
        let exit = port.session.and_then(|at| wires.sessions.get_mut(at)).and_then(|session| {
            let socket = wires.sockets.find_again(&session.path, &mut session.socket)?;
            let dont_fragment = session.dont_fragment(&port.interface);
            Some(Exit { socket, dont_fragment, mark: session.path.via.mark })
        });
        let waits = self.0.as_ref().and_then(|outbound| outbound.exit());
        if waits.is_some() && waits != exit {
            self.flush(wires);
        }
        let Some(port) = wires.ports.get_mut(at) else { return false };
        let session = port.session.and_then(|at| wires.sessions.get_mut(at));
        let socket = exit.and_then(|exit| Some((exit.socket, wires.sockets.get_mut(exit.socket)?)));
        let end = self.outbound().gather(now, (at, port), session, socket, frames);
        self.count_sent(wires);
        if end == End::Gone {
            wires.interface_gone(at);
        }
        end == End::Budget
    }

    /// Sends the frames that wait for others to leave with.
    pub(super) fn flush(&mut self, wires: &mut Pseudowires) {
        let Some(outbound) = &mut self.0 else { return };
        let Some(exit) = outbound.exit() else { return };
        if let Some(socket) = wires.sockets.get_mut(exit.socket) {
            outbound.flush(socket);
        }
        self.count_sent(wires);
    }

    /// Counts what became of the frames that were sent.
    fn count_sent(&mut self, wires: &mut Pseudowires) {
        let Some(outbound) = &mut self.0 else { return };
        for (at, sent) in outbound.sent.drain(..) {
            let Some(port) = wires.ports.get_mut(at) else { continue };
            let Some(session) = port.session.and_then(|at| wires.sessions.get_mut(at)) else { continue };
            let socket = wires.sockets.find_again(&session.path, &mut session.socket);
            if let (Some(socket), true) = (socket, sent.look_at_errors) {
                wires.ready.add(Source::Socket(socket));
            }
            port.count_sent(session, &sent).into_iter().for_each(|remark| wires.events.remark(remark));
        }
    }

    /// Sends frames of our own, each by its session.
    pub(super) fn oam(&mut self, wires: &mut Pseudowires, frames: Vec<(SessionId, Oam)>) {
        for frame in frames {
            self.flush(wires);
            oam::send(wires, self.outbound(), frame);
        }
    }

    /// Sends a control message: see [`send_control`](super::DataPlane::send_control).
    pub(super) fn control(
        &mut self,
        wires: &mut Pseudowires,
        path: &Path,
        message: &[u8],
        way: (u8, Fragmentation),
    ) -> io::Result<()> {
        let at = wires.sockets.find(path).ok_or(io::ErrorKind::NotConnected)?;
        let socket = wires.sockets.get_mut(at).ok_or(io::ErrorKind::NotConnected)?;
        let (result, look_at_errors) = socket.send_control(&mut self.outbound().sender, path, message, way);
        if look_at_errors {
            wires.ready.add(Source::Socket(at));
        }
        result
    }
}
