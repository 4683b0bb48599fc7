//! A session, as far as its frames are concerned: their headers, and whether they may pass.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::gates::Gates;
use super::heard::{Heard, Stamp};
use super::interface::Interface;
use super::senders::Senders;
use super::slab::{FixedHash, Slab};
use super::sockets::Found;
use super::state::SessionState;
use crate::counters::Counters;
use crate::frame::fragments::Reassembly;
use crate::frame::{self, ETHERNET_HEADER};
use crate::gather;
use crate::proto::{Attachment, Path, SequenceLevel};
use crate::sys::clock;
use crate::token_bucket::{Rate, TokenBucket, ONE};
use crate::wiped::wipe;
use crate::wire::data::{Format, Part, ReceiveSequence, Sublayer, MAX_HEADER};
use crate::wire::SessionId;

/// Data from elsewhere than the peer is told of once in such a time.
const TELL_PAUSE: Duration = Duration::from_secs(1);

/// No fragments are made that are shorter than this: the smallest that IP carries is a good deal longer.
const SHORTEST: usize = 256;
/// Requests of the peer that are answered (see `frame::oam`).
const ANSWERS: Rate = Rate { burst: 20, per_second: 20 };

/// Why a received frame is not delivered: the counter for it.
pub(super) type Drop = fn(&mut Counters) -> &mut u64;

/// What a data message carries that may be delivered, and where in it that begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// A frame.
    Frame(usize),
    /// A part of one, with its number.
    Fragment(usize, (Part, u32)),
}

/// A session, as far as its frames are concerned.
pub(super) struct Session {
    pub(super) id: SessionId,
    /// The place of its port.
    pub(super) port: usize,
    pub(super) path: Path,
    pub(super) socket: Found,
    pub(super) attachment: Attachment,
    header: [u8; MAX_HEADER],
    pub(super) header_length: usize,
    pub(super) next_sequence: u32,
    receive_sequence: ReceiveSequence,
    /// Fragments of a frame that is not complete.
    pub(super) reassembly: Reassembly,
    /// It is looked after, lest they stay forever.
    pub(super) looked_after: bool,
    /// Fragments that were sent and are not counted as frames: one of each frame is.
    pub(super) uncounted: u64,
    /// It was gated: only an established session is.
    pub(super) established: bool,
    /// What may pass at present: nothing while it is held down.
    pub(super) gates: Gates,
    /// What may pass otherwise.
    pub(super) wanted: Gates,
    /// Since when it is attached.
    pub(super) since: Instant,
    /// Whose probes came here.
    pub(super) senders: Senders,
    /// When valid data of it, or of another session of its connection, came last.
    pub(super) heard: Stamp,
    /// UDP GSO goes through on this path: the system has not refused it.
    pub(super) gso: bool,
    /// The error that the last batch ended with; told once, not with each frame.
    pub(super) send_error: Option<i32>,
    /// When it was told last that its data came from elsewhere.
    elsewhere: Option<Instant>,
    /// How many requests of the peer may be answered.
    answers: Option<TokenBucket>,
}

impl std::ops::Drop for Session {
    /// The header holds the cookie.
    fn drop(&mut self) {
        wipe(&mut self.header);
    }
}

impl Session {
    pub(super) fn new(attachment: &Attachment, port: usize) -> Session {
        let format = Format {
            encapsulation: attachment.path.encapsulation,
            session: attachment.remote,
            cookie: attachment.cookie_to_send.clone(),
            sublayer: attachment.sublayer_to_send,
        };
        let (header, header_length) = format.header();
        Session {
            id: attachment.local,
            port,
            path: attachment.path,
            socket: Found::default(),
            attachment: attachment.clone(),
            header,
            header_length,
            next_sequence: 0,
            receive_sequence: ReceiveSequence::default(),
            reassembly: Reassembly::default(),
            looked_after: false,
            uncounted: 0,
            established: false,
            gates: Gates::default(),
            wanted: Gates::default(),
            since: clock::now(),
            senders: Senders::default(),
            heard: Stamp::default(),
            gso: true,
            send_error: None,
            elsewhere: None,
            answers: None,
        }
    }

    /// What another program that goes on with it has to know; probes have shown this of its path.
    pub(super) fn state(&self, path_carries: Option<usize>) -> SessionState {
        let Session {
            id: _,
            port: _,
            path,
            socket: _,
            attachment,
            header: _,
            header_length: _,
            next_sequence,
            receive_sequence,
            reassembly,
            looked_after: _,
            uncounted: _,
            established,
            // Nobody is held down by another program.
            gates: _,
            wanted,
            since: _,
            senders: _,
            heard,
            gso,
            send_error,
            elsewhere,
            answers: _,
        } = self;
        SessionState {
            attachment: attachment.clone(),
            path: *path,
            next_sequence: *next_sequence,
            receive_sequence: *receive_sequence,
            reassembly: reassembly.clone(),
            established: *established,
            gates: *wanted,
            heard: heard.get(),
            gso: *gso,
            send_error: *send_error,
            elsewhere: *elsewhere,
            path_carries,
        }
    }

    /// The session of another program.
    pub(super) fn resume(state: &SessionState, port: usize) -> Session {
        let mut session = Session::new(&state.attachment, port);
        session.path = state.path;
        session.next_sequence = state.next_sequence;
        session.receive_sequence = state.receive_sequence;
        session.reassembly = state.reassembly.clone();
        session.established = state.established;
        session.gates = state.gates;
        session.wanted = state.gates;
        session.heard.set(state.heard);
        session.gso = state.gso;
        session.send_error = state.send_error;
        session.elsewhere = state.elsewhere;
        session
    }

    /// It goes on after a crash: its frames are numbered from here on, and those of the peer from anywhere.
    pub(super) fn number(&mut self, next: u32) {
        self.next_sequence = next;
        self.receive_sequence = ReceiveSequence::anywhere();
    }

    /// Whether a data message that is its own comes from elsewhere than its peer, and is to be told: not too often, for
    /// anybody who has seen the cookie can cause it.
    pub(super) fn is_heard_elsewhere(&mut self, now: Instant, path: &Path, data: &[u8]) -> bool {
        if !self.is_same_socket(path) || same_peer(path.remote, self.path.remote) {
            return false;
        }
        let cookie = &self.attachment.cookie_expected;
        let fits = data.get(4..4 + cookie.len()).is_some_and(|octets| same_octets(octets, cookie.as_slice()));
        let recently = |at| now.saturating_duration_since(at) < TELL_PAUSE;
        let told = fits && self.established && !self.elsewhere.is_some_and(recently);
        if told {
            self.elsewhere = Some(now);
        }
        told
    }

    /// Whether a request of the peer is to be answered.
    pub(super) fn answers(&mut self, now: Instant) -> bool {
        self.answers.get_or_insert_with(|| TokenBucket::new(now, ANSWERS)).take(now, ANSWERS, ONE)
    }

    /// Whether what came on this path came where its data comes.
    fn is_same_socket(&self, path: &Path) -> bool {
        path.encapsulation == self.path.encapsulation && path.via.device == self.path.via.device
    }

    /// Whether what a data message (from the Session ID on) carries may be delivered.
    pub(super) fn check(&mut self, now: Instant, path: &Path, data: &[u8]) -> Result<Content, Drop> {
        if !self.is_same_socket(path) || !same_peer(path.remote, self.path.remote) {
            return Err(|c| &mut c.rx_source);
        }
        let cookie = &self.attachment.cookie_expected;
        let mut frame = 4 + cookie.len();
        match data.get(4..frame) {
            Some(received) if same_octets(received, cookie.as_slice()) => {}
            Some(_) => return Err(|c| &mut c.rx_cookie),
            None => return Err(|c| &mut c.rx_short),
        }
        let mut sublayer = None;
        if self.attachment.sublayer_expected {
            let octets = data.get(frame..).and_then(|d| d.first_chunk::<4>());
            let Some(octets) = octets else { return Err(|c| &mut c.rx_short) };
            sublayer = Some(Sublayer::from_octets(*octets));
            frame += 4;
        }
        let part = sublayer.map_or(Part::Whole, |sublayer| sublayer.part);
        let takes_part =
            self.attachment.fragments_expected.is_some() && sublayer.is_some_and(|s| s.sequenced);
        let least = if part != Part::Whole && takes_part { 1 } else { ETHERNET_HEADER };
        if data.len() < frame + least {
            return Err(|c| &mut c.rx_short);
        }
        self.heard.set(Some(now));
        if !self.gates.receive {
            return Err(if self.established { |c| &mut c.rx_standby } else { |c| &mut c.rx_closed });
        }
        if let Some(sublayer) = sublayer {
            if sublayer.foreign || (part != Part::Whole && !takes_part) {
                return Err(|c| &mut c.rx_sublayer);
            }
            // C-317: numbers that we did not ask for mean nothing.
            let checked = self.attachment.sequence_receive && sublayer.sequenced;
            if checked && !self.receive_sequence.accept(sublayer.sequence) {
                return Err(|c| &mut c.rx_sequence);
            }
        }
        Ok(match (part, sublayer) {
            (Part::Whole, _) | (_, None) => Content::Frame(frame),
            (part, Some(sublayer)) => Content::Fragment(frame, (part, sublayer.sequence)),
        })
    }

    /// Whether what is sent must not be fragmented on the way: never where fragments are made here (RFC 4623 5.1).
    pub(super) fn dont_fragment(&self, interface: &Interface) -> bool {
        interface.dont_fragment || self.attachment.fragments_to_send.is_some()
    }

    /// The longest part of a frame, whose longest segment has `length` octets, that leaves in one packet where that holds no
    /// more than `longest`, if the frame is to travel as fragments of the pseudowire.
    pub(super) fn fragment_limit(&self, longest: Option<usize>, length: usize) -> Option<usize> {
        let message = self.attachment.fragments_to_send?.message.saturating_sub(self.header_length);
        let limit = longest.map_or(message, |longest| longest.min(message));
        (length > limit && limit >= SHORTEST).then_some(limit)
    }

    /// What stands before each frame that has no number.
    pub(super) fn plain_header(&self) -> &[u8] {
        self.header.get(..self.header_length).unwrap_or_default()
    }

    /// Messages have sequence numbers in either direction.
    pub(super) fn is_numbered(&self) -> bool {
        self.attachment.sequence_send != SequenceLevel::None || self.attachment.sequence_receive
    }

    /// The header for `frame`, with the next sequence number if it is to have one.
    pub(super) fn next_header(&mut self, frame: &[u8]) -> ([u8; MAX_HEADER], usize) {
        let mut header = self.header;
        let numbered = self.attachment.sublayer_to_send
            && match self.attachment.sequence_send {
                SequenceLevel::None => false,
                // C-314: what is IP has no number at this level, though it has the sublayer.
                SequenceLevel::NonIp => !frame::is_ip(frame),
                SequenceLevel::All => true,
            };
        if numbered {
            self.put_number(&mut header, Part::Whole);
        }
        (header, self.header_length)
    }

    /// The header for a part of a frame, with the next sequence number.
    pub(super) fn next_fragment_header(&mut self, part: Part) -> ([u8; MAX_HEADER], usize) {
        let mut header = self.header;
        self.put_number(&mut header, part);
        (header, self.header_length)
    }

    fn put_number(&mut self, header: &mut [u8; MAX_HEADER], part: Part) {
        let place = self.header_length.checked_sub(4).and_then(|at| header.get_mut(at..self.header_length));
        if let Some(place) = place {
            place.copy_from_slice(&Sublayer::fragment(self.next_sequence, part));
        }
        // RFC 3931 4.6: modulo 2^24, zero is not skipped.
        self.next_sequence = (self.next_sequence + 1) & 0x00ff_ffff;
    }
}

/// Compares in a time that does not depend on where the difference is. RFC 3931 8.2
fn same_octets(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |different, (a, b)| different | (a ^ b)) == 0
}

/// Whether two addresses are the same peer; the scope of a link-local one does not matter.
fn same_peer(a: SocketAddr, b: SocketAddr) -> bool {
    a.ip() == b.ip() && a.port() == b.port()
}

/// All attached sessions, found by place or by our id.
#[derive(Default)]
pub(super) struct Sessions {
    all: Slab<Session>,
    ids: HashMap<SessionId, usize, FixedHash>,
    heard: Heard,
}

impl Sessions {
    /// Adds a session; its place.
    pub(super) fn insert(&mut self, mut session: Session) -> usize {
        let id = session.id;
        if let Some(ccid) = session.attachment.connection {
            session.heard = self.heard.add(ccid, id, session.heard.get());
        }
        let at = self.all.insert(session);
        self.ids.insert(id, at);
        at
    }

    /// Takes a session out, and tells its place.
    pub(super) fn remove(&mut self, id: SessionId) -> Option<(usize, Session)> {
        let at = self.ids.remove(&id)?;
        let session = self.all.remove(at)?;
        if let Some(ccid) = session.attachment.connection {
            self.heard.remove(ccid, id);
        }
        Some((at, session))
    }

    /// When the peers of the connections were heard by data.
    pub(super) fn heard(&self) -> &Heard {
        &self.heard
    }

    pub(super) fn get(&self, at: usize) -> Option<&Session> {
        self.all.get(at)
    }

    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut Session> {
        self.all.get_mut(at)
    }

    /// The session that has this id of ours.
    pub(super) fn find(&self, id: SessionId) -> Option<&Session> {
        self.all.get(*self.ids.get(&id)?)
    }

    /// The place of the session that has this id of ours.
    pub(super) fn place(&self, id: SessionId) -> Option<usize> {
        self.ids.get(&id).copied()
    }

    /// The session that has this id of ours.
    pub(super) fn find_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.all.get_mut(*self.ids.get(&id)?)
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Session> {
        self.all.iter().map(|(_, session)| session)
    }

    /// The ids of so many at most, in order.
    pub(super) fn ids(&self, most: usize) -> Vec<u32> {
        let ids = self.ids.keys().take(most).map(|id| id.0).collect();
        gather::sorted(ids, |id| u64::from(*id))
    }
}
