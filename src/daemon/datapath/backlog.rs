//! Super-frames whose segments have to be sent one by one: over IP, and where UDP GSO is missing. That takes long, so they
//! wait here and leave a few at a time, and frames of other flows pass them. A flow stays in order.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

use crate::frame::{packet, rarp};
use crate::wire::SessionId;

/// Octets before a frame: room for the L2TP header, which overwrites the virtio header.
pub(super) const HEADROOM: usize = 32;
/// The longest frame that is read: a super-frame and its tags.
pub(super) const MAX_FRAME: usize = 65_535 + 32;
/// Frames that wait, at most: some megabytes, as many as a flow of TCP has under way.
const MOST: usize = 64;
/// Octets of the memory of each: the longest frame, and headers of a good part of its segments.
const ARENA: usize = HEADROOM + MAX_FRAME + 8 * 1024;

/// A frame that waits.
pub(super) struct Deferred {
    /// The place of its port.
    pub(super) port: usize,
    pub(super) session: SessionId,
    flow: u64,
    /// The frame lies in it behind [`HEADROOM`], with its virtio header before it; what its segments need is built after
    /// it.
    pub(super) arena: Vec<u8>,
    /// Octets of the frame.
    pub(super) length: usize,
}

impl Deferred {
    /// The frame that tells others where a station behind a port is now.
    pub(super) fn announcement(port: usize, session: SessionId, station: [u8; 6]) -> Deferred {
        let frame = rarp::announce(station);
        Deferred { port, session, flow: 0, arena: [&[0; HEADROOM][..], &frame].concat(), length: frame.len() }
    }
}

/// All frames that wait.
#[derive(Default)]
pub(super) struct Backlog {
    queue: VecDeque<Deferred>,
    /// Memory that is used again.
    spare: Vec<Vec<u8>>,
}

/// What frames of one flow have in common.
fn flow_of(frame: &[u8]) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    if let Some(packet) = packet::parse(frame) {
        (packet.protocol, packet.addresses(frame)).hash(&mut hasher);
        let ports = if packet.is_fragment { &[][..] } else { packet.ports(frame) };
        ports.hash(&mut hasher);
    }
    hasher.finish()
}

impl Backlog {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether one more frame of a port can wait, if it has to.
    pub(super) fn has_room(&self) -> bool {
        self.queue.len() < MOST
    }

    /// Whether frames of this port wait.
    pub(super) fn has_port(&self, port: usize) -> bool {
        self.queue.iter().any(|deferred| deferred.port == port)
    }

    /// Whether frames of the flow of this frame wait.
    pub(super) fn has_flow(&self, port: usize, frame: &[u8]) -> bool {
        self.has_port(port) && {
            let flow = flow_of(frame);
            self.queue.iter().any(|deferred| (deferred.port, deferred.flow) == (port, flow))
        }
    }

    /// Memory for a frame that may have to wait.
    pub(super) fn arena(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_else(|| vec![0; ARENA])
    }

    /// Keeps a frame that was read into such memory.
    pub(super) fn push(&mut self, port: usize, session: SessionId, arena: Vec<u8>, length: usize) {
        let flow = flow_of(arena.get(HEADROOM..HEADROOM + length).unwrap_or_default());
        self.queue.push_back(Deferred { port, session, flow, arena, length });
    }

    /// Takes the frame that waits longest.
    pub(super) fn pop(&mut self) -> Option<Deferred> {
        self.queue.pop_front()
    }

    /// The memory is free again.
    pub(super) fn give_back(&mut self, arena: Vec<u8>) {
        self.spare.push(arena);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of UDP from a port.
    fn frame(from: u8) -> Vec<u8> {
        let mut frame = vec![2; 12];
        frame.extend([8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend([0, from, 0, 9, 0, 8, 0, 0]);
        frame
    }

    #[test]
    fn a_flow_stays_in_order_and_others_pass() {
        let mut backlog = Backlog::default();
        assert!(!backlog.has_flow(1, &frame(1)));
        let push = |backlog: &mut Backlog, port, from| {
            let (mut arena, frame) = (backlog.arena(), frame(from));
            arena[HEADROOM..][..frame.len()].copy_from_slice(&frame);
            backlog.push(port, SessionId(7), arena, frame.len());
        };
        push(&mut backlog, 1, 1);
        push(&mut backlog, 1, 2);
        let has = |backlog: &Backlog, port, from| backlog.has_flow(port, &frame(from));
        assert!(has(&backlog, 1, 1) && has(&backlog, 1, 2) && !has(&backlog, 1, 3) && !has(&backlog, 2, 1));
        let first = backlog.pop().unwrap();
        assert_eq!((first.port, &first.arena[HEADROOM..][..first.length]), (1, &frame(1)[..]));
        backlog.give_back(first.arena);
        assert!(!has(&backlog, 1, 1) && has(&backlog, 1, 2));
        while backlog.has_room() {
            push(&mut backlog, 2, 1);
        }
        assert_eq!(backlog.queue.len(), MOST);
    }
}
