//! From the interfaces to the peers.

use std::io;
use std::ops::Range;

use super::port::Port;
use super::session::Session;
use super::sockets::OpenSocket;
use crate::config::model::Tos;
use crate::frame::gso::{finish_checksum, SuperFrame, MAX_GSO_HEADER};
use crate::frame::vnet::{VnetHeader, VNET_HEADER};
use crate::frame::{self, mss, ETHERNET_HEADER};
use crate::log::Remark;
use crate::sys::batch::{Destination, Sender, Sent, SLOTS};
use crate::sys::error_text;
use crate::wire::data::MAX_HEADER;

/// Octets of the arena that sent datagrams are built in.
pub(super) const ARENA: usize = 768 * 1024;
/// Frames that are read from an interface in one turn.
const BUDGET: usize = 64;
/// Errors of an interface in one turn after which it is left alone until it is reported ready again.
const MAX_ERRORS: u32 = 8;
/// Octets before a frame: room for the L2TP header, which overwrites the virtio header.
const HEADROOM: usize = 32;
/// Octets that one header of a segment takes at most.
const SEGMENT_ROOM: usize = MAX_HEADER + MAX_GSO_HEADER + 8;
/// The longest frame that is read: a super-frame and its tags.
const MAX_FRAME: usize = 65_535 + 32;

/// Reads one batch of a port's frames and sends it to the peer.
pub(super) fn transmit(
    port: &mut Port,
    session: Option<&mut Session>,
    socket: Option<&mut OpenSocket>,
    sender: &mut Sender,
) -> Transmitted {
    let mut turn = Turn { port, session, socket, sender, used: 0, look_at_errors: false, remark: None };
    let end = turn.run();
    Transmitted { end, look_at_errors: turn.look_at_errors, remark: turn.remark }
}

/// What came of a batch.
pub(super) struct Transmitted {
    pub(super) end: End,
    /// The error queue of the socket should be read.
    pub(super) look_at_errors: bool,
    pub(super) remark: Option<Remark>,
}

/// Why a batch ended.
pub(super) enum End {
    /// There may be more.
    Budget,
    /// Nothing is left.
    Empty,
    /// The interface does not exist any more.
    Gone,
}

/// One interface's batch.
struct Turn<'a> {
    port: &'a mut Port,
    session: Option<&'a mut Session>,
    socket: Option<&'a mut OpenSocket>,
    sender: &'a mut Sender,
    /// Octets of the arena that hold frames not sent yet.
    used: usize,
    look_at_errors: bool,
    remark: Option<Remark>,
}

impl Turn<'_> {
    fn run(&mut self) -> End {
        let mut end = End::Budget;
        let mut errors = 0;
        let mut frames = 0;
        for _ in 0..BUDGET {
            if self.used + HEADROOM + MAX_FRAME + SEGMENT_ROOM > ARENA || self.sender.len() >= SLOTS {
                self.flush();
            }
            match self.read() {
                Ok(frame) => {
                    self.frame(frame);
                    frames += 1;
                    // A frame that probably comes alone does not wait until it is known that no other one follows.
                    if frames == 1 && self.port.quiet {
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
        self.flush();
        if frames > 0 {
            self.port.quiet = frames == 1;
        }
        end
    }

    /// Reads the next frame into the arena; where it lies.
    fn read(&mut self) -> io::Result<Range<usize>> {
        let tap = self.port.tap().ok_or(io::ErrorKind::WouldBlock)?;
        let start = self.used + HEADROOM;
        let room = self.sender.arena.get_mut(start - VNET_HEADER..start + MAX_FRAME);
        let got = tap.read(room.unwrap_or_default())?;
        Ok(start..start + got.saturating_sub(VNET_HEADER))
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
        let vnet = self.sender.arena.get(range.start - VNET_HEADER..range.start);
        let vnet = vnet.and_then(|v| v.first_chunk()).map(|v| VnetHeader::from_octets(*v));
        let frame = self.sender.arena.get_mut(range.clone()).unwrap_or_default();
        let (Some(vnet), Some(socket), true) = (vnet, &self.socket, frame.len() >= ETHERNET_HEADER) else {
            counters.tx_error += 1;
            return;
        };
        let tos = match self.port.interface.tos {
            Tos::Value(tos) => tos,
            Tos::Copy => frame::tos(frame),
        };
        let gso = session.gso && socket.gso;
        self.used = range.end.next_multiple_of(8);
        if vnet.gso.is_some() {
            match SuperFrame::new(frame, &vnet) {
                Some(super_frame) => self.segment(range, &super_frame, tos, gso),
                None => counters.tx_error += 1,
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
        let (header, length) = session.next_header(frame);
        let start = range.start - length;
        if let (Some(to), Some(from)) = (self.sender.arena.get_mut(start..range.start), header.get(..length))
        {
            to.copy_from_slice(from);
        }
        self.sender.push(std::slice::from_ref(&(start..range.end)), tos, gso);
    }

    /// Segments the super-frame at `range`: new headers are built after it, the payload stays where it is.
    fn segment(&mut self, range: Range<usize>, super_frame: &SuperFrame, tos: u8, gso: bool) {
        let headers_start = self.used;
        for at in 0..super_frame.segments() {
            if self.used + SEGMENT_ROOM > ARENA || self.sender.len() >= SLOTS {
                self.flush();
                self.used = headers_start;
            }
            let Some((before, after)) = self.sender.arena.split_at_mut_checked(self.used) else { return };
            let Some(frame) = before.get(range.clone()) else { return };
            let Some(session) = self.session.as_deref_mut() else { return };
            let length = session.header_length;
            let Some((to, headers)) = after.split_at_mut_checked(length) else { return };
            let Some(payload) = super_frame.write_segment(frame, at, headers) else { return };
            let (header, _) =
                session.next_header(headers.get(..super_frame.header_length()).unwrap_or_default());
            to.copy_from_slice(header.get(..length).unwrap_or_default());
            let end = self.used + length + super_frame.header_length();
            let payload = range.start + payload.start..range.start + payload.end;
            self.sender.push(&[self.used..end, payload], tos, gso);
            self.used = end.next_multiple_of(8);
            self.port.counters.tx_segmented += 1;
        }
    }

    /// Sends what waits.
    fn flush(&mut self) {
        self.used = 0;
        let (Some(session), Some(socket)) = (self.session.as_deref_mut(), self.socket.as_deref_mut()) else {
            return;
        };
        if self.sender.is_empty() {
            return;
        }
        // A failure shows in the length of what is sent.
        let _ = socket.inner.set_dont_fragment(self.port.interface.dont_fragment);
        let to = Destination {
            remote: session.path.remote,
            local: session.path.local.ip(),
            ttl: self.port.interface.ttl,
        };
        let sent = self.sender.flush(&mut socket.inner, &to);
        self.count(&sent);
    }

    fn count(&mut self, sent: &Sent) {
        let Some(session) = self.session.as_deref_mut() else { return };
        let counters = &mut self.port.counters;
        counters.tx_frames += sent.datagrams;
        counters.tx_octets += sent.octets.saturating_sub(sent.datagrams * session.header_length as u64);
        counters.tx_size += sent.too_long;
        counters.tx_queue += sent.no_space;
        counters.tx_error += sent.failed;
        session.gso &= !sent.gso_refused;
        self.look_at_errors |= sent.look_at_errors;
        let errno = sent.error.as_ref().map(|e| e.raw_os_error().unwrap_or(0));
        if errno.is_some() && errno != session.send_error {
            let error = sent.error.as_ref().map(error_text).unwrap_or_default();
            let interface = self.port.interface.name.clone();
            self.remark = Some(Remark::FramesNotSent { interface, error });
        }
        if errno.is_some() || sent.datagrams > 0 {
            session.send_error = errno;
        }
    }
}
