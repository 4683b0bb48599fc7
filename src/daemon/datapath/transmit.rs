//! From the interfaces to the peers.

use std::io;
use std::mem;
use std::ops::Range;
use std::time::Instant;

use super::backlog::{Backlog, Deferred, HEADROOM, MAX_FRAME};
use super::interface::Interface;
use super::port::Port;
use super::session::Session;
use super::sockets::OpenSocket;
use crate::config::model::Tos;
use crate::frame::gso::{finish_checksum, SuperFrame, MAX_GSO_HEADER};
use crate::frame::vnet::{VnetHeader, VNET_HEADER};
use crate::frame::{self, fragments, mss, ETHERNET_HEADER};
use crate::proto::Path;
use crate::sys::batch::{Destination, SendOptions, Sender, Sent, SLOTS};
use crate::wire::data::MAX_HEADER;

/// Octets of the arena that sent datagrams are built in.
pub(super) const ARENA: usize = 768 * 1024;
/// Frames that are read from an interface in one turn.
const BUDGET: usize = 64;
/// Frames of one turn that are worth a batch of their own.
const MANY: usize = 8;
/// Errors of an interface in one turn after which it is left alone until it is reported ready again.
const MAX_ERRORS: u32 = 8;
/// Octets that one header of a segment takes at most.
const SEGMENT_ROOM: usize = MAX_HEADER + MAX_GSO_HEADER + 8;

/// What is to be sent: frames of several ports leave together, where they leave through the same socket.
pub(super) struct Outbound {
    pub(super) sender: Sender,
    /// Octets of the arena that hold frames not sent yet.
    used: usize,
    /// How the frames that wait are to leave.
    exit: Option<Exit>,
    /// What became of frames that were sent, by the places of their ports.
    pub(super) sent: Vec<(usize, Sent)>,
    /// Super-frames that take long.
    pub(super) backlog: Backlog,
}

/// Which frames a port sends.
pub(super) enum Frames<'a> {
    /// Those of its interface.
    Read {
        /// Nothing else is ready.
        alone: bool,
    },
    /// One that has waited.
    Waited(&'a mut Deferred),
}

/// What all frames of a batch have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exit {
    /// The place of the socket.
    pub(super) socket: usize,
    pub(super) dont_fragment: bool,
    /// `fwmark`.
    pub(super) mark: u32,
}

/// Why reading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// There may be more.
    Budget,
    /// Nothing is left.
    Empty,
    /// The interface does not exist any more.
    Gone,
}

impl Outbound {
    pub(super) fn new() -> Outbound {
        Outbound {
            sender: Sender::new(ARENA),
            used: 0,
            exit: None,
            sent: Vec::new(),
            backlog: Backlog::default(),
        }
    }

    /// How the frames that wait are to leave; `None` if there are none.
    pub(super) fn exit(&self) -> Option<Exit> {
        self.exit.filter(|_| !self.sender.is_empty())
    }

    /// Sends what waits through its socket.
    pub(super) fn flush(&mut self, socket: &mut OpenSocket) {
        self.used = 0;
        let Some(exit) = self.exit() else { return };
        // A failure shows in the length of what is sent.
        let _ = socket.inner.set_dont_fragment(exit.dont_fragment);
        let _ = socket.inner.set_mark(exit.mark);
        let sent = &mut self.sent;
        self.sender.flush(&mut socket.inner, &mut |owner, result| sent.push((owner, *result)));
    }

    /// Sends a frame of our own at once; nothing else waits. It is not counted.
    pub(super) fn send_own(
        &mut self,
        interface: &Interface,
        session: &mut Session,
        socket: &mut OpenSocket,
        frame: &[u8],
    ) {
        let (header, length) = session.next_header(frame);
        let (start, end) = (HEADROOM - length, HEADROOM + frame.len());
        let Some(room) = self.sender.arena.get_mut(start..end) else { return };
        let (before, after) = room.split_at_mut(length);
        before.copy_from_slice(header.get(..length).unwrap_or_default());
        after.copy_from_slice(frame);
        let tos = match interface.tos {
            Tos::Value(tos) => tos,
            Tos::Copy => 0,
        };
        let Path { remote, local, via, .. } = session.path;
        let to = Destination { remote, local: local.ip(), ttl: interface.ttl };
        let _ = socket.inner.set_dont_fragment(session.dont_fragment(interface));
        let _ = socket.inner.set_mark(via.mark);
        self.sender.push(std::slice::from_ref(&(start..end)), &to, SendOptions { tos, gso: false, owner: 0 });
        self.sender.flush(&mut socket.inner, &mut |_, _| {});
        self.used = 0;
    }

    /// Sends frames of the port at `at`. Those of one that has few stay for [`flush`](Outbound::flush), unless it is
    /// alone.
    pub(super) fn gather(
        &mut self,
        now: Instant,
        (at, port): (usize, &mut Port),
        session: Option<&mut Session>,
        socket: Option<(usize, &mut OpenSocket)>,
        frames: Frames<'_>,
    ) -> End {
        let dont_fragment = session.as_ref().is_some_and(|session| session.dont_fragment(&port.interface));
        let (exit, socket) = match socket {
            Some((socket, open)) => {
                let mark = session.as_ref().map_or(0, |session| session.path.via.mark);
                (Some(Exit { socket, dont_fragment, mark }), Some(open))
            }
            None => (None, None),
        };
        self.exit = exit.or(self.exit);
        let mut turn = Turn { now, at, port, session, socket, out: self };
        match frames {
            Frames::Read { alone } => turn.run(alone),
            Frames::Waited(deferred) => turn.send_deferred(deferred),
        }
    }
}

/// One interface's turn.
struct Turn<'a> {
    now: Instant,
    at: usize,
    port: &'a mut Port,
    session: Option<&'a mut Session>,
    socket: Option<&'a mut OpenSocket>,
    out: &'a mut Outbound,
}

impl Turn<'_> {
    fn run(&mut self, alone: bool) -> End {
        let mut end = End::Budget;
        let mut errors = 0;
        let mut frames = 0;
        for _ in 0..BUDGET {
            if self.is_full(HEADROOM + MAX_FRAME + SEGMENT_ROOM) {
                self.flush();
            }
            if !self.out.backlog.has_room() && self.out.backlog.has_port(self.at) {
                break;
            }
            let read = if self.may_wait() { self.read_to_wait() } else { self.read().map(Some) };
            match read {
                Ok(frame) => {
                    frame.into_iter().for_each(|frame| self.frame(frame));
                    frames += 1;
                    // A frame that probably comes alone does not wait until it is known that no other one follows.
                    if alone && frames == 1 && self.port.quiet {
                        self.flush();
                    }
                }
                Err(error) => {
                    end = match error.kind() {
                        io::ErrorKind::WouldBlock => End::Empty,
                        io::ErrorKind::Interrupted => End::Budget,
                        _ if self.port.tap().is_some_and(|tap| tap.name().is_err()) => End::Gone,
                        _ => {
                            // The system dropped a frame that it could not hand over. This does not last.
                            self.port.counters.tx_error += 1;
                            errors += 1;
                            if errors < MAX_ERRORS {
                                continue;
                            }
                            End::Empty
                        }
                    };
                    break;
                }
            }
        }
        if alone || frames >= MANY {
            self.flush();
        }
        if frames > 0 {
            self.port.quiet = frames == 1;
        }
        end
    }

    /// Reads the next frame into the arena; where it lies.
    fn read(&mut self) -> io::Result<Range<usize>> {
        let tap = self.port.tap().ok_or(io::ErrorKind::WouldBlock)?;
        let start = self.out.used + HEADROOM;
        let room = self.out.sender.arena.get_mut(start - VNET_HEADER..start + MAX_FRAME);
        let got = tap.read(room.unwrap_or_default())?;
        Ok(start..start + got.saturating_sub(VNET_HEADER))
    }

    /// Whether there can be frames that have to wait: those whose segments are sent one by one, and what belongs after them.
    fn may_wait(&self) -> bool {
        let (backlog, opened) = (&self.out.backlog, self.session.as_ref().is_some_and(|s| s.gates.send));
        opened
            && self.socket.is_some()
            && backlog.has_room()
            && (self.one_by_one() || backlog.has_port(self.at))
    }

    /// Whether the segments of a super-frame are sent one by one.
    fn one_by_one(&self) -> bool {
        let session = self.session.as_ref().is_some_and(|session| session.gso);
        !(session && self.socket.as_ref().is_some_and(|socket| socket.gso))
    }

    /// Reads the next frame, keeps it for later if it has to wait, or copies it into the arena; where it lies there.
    fn read_to_wait(&mut self) -> io::Result<Option<Range<usize>>> {
        let one_by_one = self.one_by_one();
        let tap = self.port.tap().ok_or(io::ErrorKind::WouldBlock)?;
        let backlog = &mut self.out.backlog;
        let mut arena = backlog.arena();
        let room = arena.get_mut(HEADROOM - VNET_HEADER..HEADROOM + MAX_FRAME).unwrap_or_default();
        let got = match tap.read(room) {
            Ok(got) => got,
            Err(error) => {
                backlog.give_back(arena);
                return Err(error);
            }
        };
        let read = room.get(..got).unwrap_or_default();
        let (vnet, frame) = read.split_at_checked(VNET_HEADER).unwrap_or_default();
        let vnet = vnet.first_chunk().map(|vnet| VnetHeader::from_octets(*vnet));
        let takes_long = one_by_one && vnet.is_some_and(|vnet| vnet.gso.is_some());
        if let (Some(session), true) = (&self.session, takes_long || backlog.has_flow(self.at, frame)) {
            let length = frame.len();
            backlog.push(self.at, session.id, arena, length);
            return Ok(None);
        }
        let start = self.out.used + HEADROOM;
        let (from, end) = (start - VNET_HEADER, start + frame.len());
        if let Some(room) = self.out.sender.arena.get_mut(from..from + read.len()) {
            room.copy_from_slice(read);
        }
        backlog.give_back(arena);
        Ok(Some(start..end))
    }

    /// Whether so many octets more do not fit, or no message more.
    fn is_full(&self, octets: usize) -> bool {
        self.out.used + octets > self.out.sender.arena.len() || self.out.sender.len() >= SLOTS
    }

    /// Sends a frame that has waited, unless its session is gone.
    fn send_deferred(&mut self, deferred: &mut Deferred) -> End {
        if self.session.as_ref().is_none_or(|session| session.id != deferred.session) {
            self.port.counters.tx_closed += 1;
            return End::Empty;
        }
        // What was built in the usual arena leaves before.
        self.flush();
        mem::swap(&mut self.out.sender.arena, &mut deferred.arena);
        self.frame(HEADROOM..HEADROOM + deferred.length);
        self.flush();
        mem::swap(&mut self.out.sender.arena, &mut deferred.arena);
        End::Empty
    }

    fn destination(&self) -> Destination {
        let path = self.session.as_ref().map(|session| session.path);
        let unspecified = std::net::Ipv4Addr::UNSPECIFIED.into();
        let (remote, local) =
            path.map_or(((unspecified, 0).into(), unspecified), |p| (p.remote, p.local.ip()));
        Destination { remote, local, ttl: self.port.interface.ttl }
    }

    /// Adds a frame to the batch, segmented where it is a super-frame, or drops it.
    fn frame(&mut self, range: Range<usize>) {
        let counters = &mut self.port.counters;
        let Some(session) = self.session.as_deref_mut() else {
            counters.tx_closed += 1;
            return;
        };
        if !session.gates.send {
            *(if session.established { &mut counters.tx_circuit } else { &mut counters.tx_closed }) += 1;
            return;
        }
        let vnet = self.out.sender.arena.get(range.start - VNET_HEADER..range.start);
        let vnet = vnet.and_then(|v| v.first_chunk()).map(|v| VnetHeader::from_octets(*v));
        let frame = self.out.sender.arena.get_mut(range.clone()).unwrap_or_default();
        let (Some(vnet), Some(socket), true) = (vnet, &self.socket, frame.len() >= ETHERNET_HEADER) else {
            counters.tx_error += 1;
            return;
        };
        let tos = match self.port.interface.tos {
            Tos::Value(tos) => tos,
            Tos::Copy => frame::tos(frame),
        };
        let gso = session.gso && socket.gso;
        let super_frame = SuperFrame::new(frame, &vnet);
        if let Some(storm) = &mut self.port.storm {
            let frames = super_frame.as_ref().map_or(1, SuperFrame::segments);
            if !storm.lets_out(self.now, frame, frames) {
                self.port.counters.tx_storm += 1;
                return;
            }
        }
        self.out.used = range.end.next_multiple_of(8);
        let length = super_frame.as_ref().map_or(frame.len(), SuperFrame::longest);
        if self.port.keeps_back(self.now, session, frame, length) {
            return;
        }
        let limit = session.fragment_limit(self.port.longest, length);
        if vnet.gso.is_some() {
            match super_frame {
                Some(super_frame) => self.segment(range, &super_frame, tos, gso, limit),
                None => self.port.counters.tx_error += 1,
            }
            return;
        }
        let unfinished = vnet.checksum.is_some();
        if let Some(limit) = self.port.mss_limit() {
            let counters = &mut self.port.counters;
            counters.mss_clamped += u64::from(mss::clamp(frame, limit, unfinished));
        }
        if vnet.checksum.is_some_and(|(start, offset)| !finish_checksum(frame, start, offset)) {
            self.port.counters.tx_error += 1;
            return;
        }
        let options = SendOptions { tos, gso, owner: self.at };
        match limit {
            Some(limit) => self.fragment(&[range], limit, options),
            None => self.whole(range, options),
        }
    }

    /// Sends a frame in one packet: its header is built before it.
    fn whole(&mut self, range: Range<usize>, options: SendOptions) {
        let Some(session) = self.session.as_deref_mut() else { return };
        let frame = self.out.sender.arena.get(range.clone()).unwrap_or_default();
        let (header, length) = session.next_header(frame);
        let start = range.start - length;
        if let (Some(to), Some(from)) =
            (self.out.sender.arena.get_mut(start..range.start), header.get(..length))
        {
            to.copy_from_slice(from);
        }
        let to = self.destination();
        self.out.sender.push(std::slice::from_ref(&(start..range.end)), &to, options);
    }

    /// Sends a frame, which consists of these pieces of the arena, as fragments of at most `limit` octets (RFC 4623): their
    /// headers are built behind it.
    fn fragment(&mut self, frame: &[Range<usize>], limit: usize, options: SendOptions) {
        let octets: usize = frame.iter().map(Range::len).sum();
        let (count, behind, peer) = (octets.div_ceil(limit), self.out.used, self.destination());
        for at in 0..count {
            if self.is_full(SEGMENT_ROOM) {
                self.flush();
                self.out.used = behind;
            }
            let Some(session) = self.session.as_deref_mut() else { return };
            let (header, length) = session.next_fragment_header(fragments::part(at, count));
            let end = self.out.used + length;
            let Some(room) = self.out.sender.arena.get_mut(self.out.used..end) else { return };
            room.copy_from_slice(header.get(..length).unwrap_or_default());
            let mut pieces = Vec::with_capacity(1 + frame.len());
            pieces.push(self.out.used..end);
            pieces.extend(fragments::slice(frame, at * limit..(at + 1) * limit));
            self.out.sender.push(&pieces, &peer, options);
            self.out.used = end.next_multiple_of(8);
        }
        if let Some(session) = self.session.as_deref_mut() {
            session.uncounted += count.saturating_sub(1) as u64;
        }
        self.port.counters.tx_fragmented += 1;
    }

    /// Segments the super-frame at `range`: new headers are built after it, the payload stays where it is. Segments that
    /// are longer than `limit` travel as fragments.
    fn segment(
        &mut self,
        range: Range<usize>,
        super_frame: &SuperFrame,
        tos: u8,
        gso: bool,
        limit: Option<usize>,
    ) {
        let headers_start = self.out.used;
        let (peer, options) = (self.destination(), SendOptions { tos, gso, owner: self.at });
        for at in 0..super_frame.segments() {
            if self.is_full(SEGMENT_ROOM) {
                self.flush();
                self.out.used = headers_start;
            }
            let Some((before, after)) = self.out.sender.arena.split_at_mut_checked(self.out.used) else {
                return;
            };
            let Some(frame) = before.get(range.clone()) else { return };
            let Some(session) = self.session.as_deref_mut() else { return };
            let length = session.header_length;
            let Some((to, headers)) = after.split_at_mut_checked(length) else { return };
            let Some(payload) = super_frame.write_segment(frame, at, headers) else { return };
            let start = self.out.used + length;
            let end = start + super_frame.header_length();
            let payload = range.start + payload.start..range.start + payload.end;
            self.port.counters.tx_segmented += 1;
            if let Some(limit) = limit.filter(|limit| end - start + payload.len() > *limit) {
                self.out.used = end.next_multiple_of(8);
                self.fragment(&[start..end, payload], limit, options);
                continue;
            }
            let (header, _) =
                session.next_header(headers.get(..super_frame.header_length()).unwrap_or_default());
            to.copy_from_slice(header.get(..length).unwrap_or_default());
            self.out.sender.push(&[self.out.used..end, payload], &peer, options);
            self.out.used = end.next_multiple_of(8);
        }
    }

    /// Sends what waits, that of other ports included: it leaves through the same socket.
    fn flush(&mut self) {
        match self.socket.as_deref_mut() {
            Some(socket) => self.out.flush(socket),
            // Nothing waits: frames that leave in another way have left before.
            None => self.out.used = 0,
        }
    }
}
