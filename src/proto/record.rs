//! What is kept of a connection in a file, so that a program that begins after a crash can go on with it
//! (`resume`), and how that file looks.
//!
//! The file is a list of entries, each written once, the newest last. An entry is about one tunnel and takes the place of
//! all that were written before about it. It has a number, which is greater than that of the entry before, and an HMAC
//! under the tunnel's password, which covers this machine's id besides: what is torn or damaged, or comes from another
//! machine, or from somebody who does not know the password, is passed over. Passwords are not in it. What is in it can
//! be heard on the wire: ids, nonces, cookies.
//!
//! Numbers of messages and frames are not written one by one. An entry is good for some of them; the one who reads it
//! allows for that.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;

use md5::{Digest as _, Md5};

use super::action::Path;
pub use super::connection::auth::secrets;
use super::connection::auth::{Auth, Mode};
use super::connection::identity::Peer;
use super::connection::table::State;
use super::connection::transport::Transport;
use super::connection::Connection;
use super::context::{Context, TunnelKey};
use super::session::Session;
use crate::config::model::TunnelConfig;
use crate::saved::{saved, Broken, Reader, Saved, Writer};
use crate::wire::digest::{hmac, hmac_matches, Secret, MD5_LENGTH};
use crate::wire::message::{Dialect, SessionIds};
use crate::wire::Ccid;

/// An entry is written anew after this many messages of either end.
const MESSAGES: u16 = 1024;
/// And after this many frames with a number, of 2^24 that there are.
const FRAMES: u32 = 1 << 20;
/// What the HMAC begins with. The number is raised when something comes to mean another thing without a change of names.
const LABEL: &[u8] = b"l2tpd state-file 1\n";
/// Octets before the body of an entry: its length.
const LENGTH: usize = 4;
/// No entry is longer; there may be thousands of sessions in it.
const LONGEST: usize = 16 * 1024 * 1024;
/// Octets of most entries.
const USUAL: usize = 1024;

saved! {
    /// An established connection.
    #[derive(Debug, Clone)]
    pub struct Record {
        /// Of the tunnel's block, see `print_of_tunnel`.
        pub print: [u8; 16],
        /// Where its messages go.
        pub path: Path,
        /// Our Control Connection ID.
        pub ccid: Ccid,
        /// The peer's.
        pub remote_ccid: Ccid,
        /// We sent the SCCRQ.
        pub initiator: bool,
        /// How its messages are protected.
        pub mode: Mode,
        /// Our nonce.
        pub local_nonce: Vec<u8>,
        /// The peer's nonce.
        pub remote_nonce: Vec<u8>,
        /// Ns of our oldest message that was not acknowledged, or of the next one.
        pub ns: u16,
        /// Ns of the message that was expected next.
        pub nr: u16,
        /// The peer's receive window.
        pub peer_window: u16,
        /// Whether IETF's AVPs were written, Cisco's or both.
        pub dialect: Dialect,
        /// What the peer advertised of itself.
        pub peer: Peer,
        /// The tie breaker of the SCCRQ.
        pub tie_breaker: Option<[u8; 8]>,
        /// The nonce of the peer's SCCRQ.
        pub request_nonce: Option<Vec<u8>>,
        /// Its established sessions.
        pub sessions: Vec<SessionRecord>,
        /// Its sessions in set-up, as far as both ids are known.
        pub unfinished: Vec<SessionIds>,
    }

    /// What becomes of a connection of before a crash if the peer still has it.
    #[derive(Debug)]
    pub struct Resumes {
        /// Our id of it.
        pub ccid: Ccid,
        /// It ends, for this reason; else it goes on.
        pub ends: Option<String>,
        /// Of its sessions, these end.
        pub gone: Vec<SessionIds>,
    }

    /// One of its sessions.
    #[derive(Debug, Clone)]
    pub struct SessionRecord {
        /// Which block it is of.
        pub interface: String,
        /// Of the session's block, see `print_of_session`.
        pub print: [u8; 16],
        /// The number of the next frame.
        pub sequence: u32,
        /// What was agreed.
        pub session: Session,
    }
}

impl Record {
    /// What there is to be known of a connection; `None` unless it is established. `print`: that of its tunnel's block.
    pub fn new(connection: &Connection, print: [u8; 16]) -> Option<Record> {
        let Transport { ccid, remote_ccid, path, channel, auth, dialect, .. } = &connection.transport;
        (connection.state == State::Established).then(|| Record {
            print,
            path: *path,
            ccid: *ccid,
            remote_ccid: *remote_ccid,
            initiator: connection.initiator,
            mode: auth.mode,
            local_nonce: auth.local_nonce.clone(),
            remote_nonce: auth.remote_nonce.clone(),
            ns: channel.unacknowledged(),
            nr: channel.nr(),
            peer_window: channel.peer_window(),
            dialect: *dialect,
            peer: connection.peer.clone(),
            tie_breaker: connection.tie_breaker,
            request_nonce: connection.request_nonce.clone(),
            sessions: Vec::new(),
            unfinished: Vec::new(),
        })
    }

    /// The connection again. `None`: the configuration does not let it go on.
    pub fn connection(
        &self,
        cx: &mut Context,
        key: TunnelKey,
        config: &Rc<TunnelConfig>,
        path: Path,
    ) -> Option<Connection> {
        let nonces = (&*self.local_nonce, &*self.remote_nonce);
        let auth = Auth::of_record(config, self.mode, nonces)?;
        let mut connection = Connection::new(cx, key, config, self.ccid, path);
        let transport = &mut connection.transport;
        transport.auth = auth;
        transport.remote_ccid = self.remote_ccid;
        transport.dialect = self.dialect;
        transport.channel.set_peer_window(self.peer_window);
        transport.channel.go_on(self.ns, self.nr);
        connection.state = State::Established;
        connection.initiator = self.initiator;
        connection.tie_breaker = self.tie_breaker;
        connection.request_nonce.clone_from(&self.request_nonce);
        connection.peer = self.peer.clone();
        Some(connection)
    }

    /// Another one than before when there is something to be written: numbers alone make a difference only after many.
    pub fn edition(&mut self, moment: Instant) -> [u8; 16] {
        let (ns, nr) = (self.ns, self.nr);
        let sequences: Vec<u32> = self.sessions.iter().map(|session| session.sequence).collect();
        (self.ns, self.nr) = (ns / MESSAGES, nr / MESSAGES);
        self.sessions.iter_mut().for_each(|session| session.sequence /= FRAMES);
        let mut to = Writer::with_capacity(moment, USUAL);
        self.save(&mut to);
        (self.ns, self.nr) = (ns, nr);
        self.sessions.iter_mut().zip(sequences).for_each(|(session, sequence)| session.sequence = sequence);
        Md5::digest(&*to.plain()).into()
    }
}

/// When and where an entry was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// Its number.
    pub number: u64,
    /// The wall clock, in microseconds.
    pub time: u64,
    /// The machine's start, by a name that no other one has.
    pub boot: Vec<u8>,
}
saved!(Stamp { number, time, boot });

/// What the last entry about a tunnel says.
#[derive(Debug)]
pub enum Content {
    /// It had this connection.
    Connection(Box<Record>),
    /// It had none.
    None,
    /// That cannot be used; why.
    Refused(&'static str),
}

/// What was found in a file.
#[derive(Debug, Default)]
pub struct Found {
    /// By tunnels, with the numbers of the entries.
    pub entries: BTreeMap<String, Box<(u64, Content)>>,
    /// The last entry that was whole.
    pub last: Option<Stamp>,
    /// The greatest number that an entry claims to have.
    pub highest: u64,
    /// Where the entries end.
    pub end: usize,
}

/// The octets of an entry. `secret`: the tunnel's; it matters where there is a connection.
pub fn entry(
    moment: Instant,
    machine: &[u8],
    stamp: &Stamp,
    (tunnel, record): (&str, Option<&Record>),
    secret: &Secret,
) -> Vec<u8> {
    let mut to = Writer::with_capacity(moment, USUAL);
    stamp.save(&mut to);
    tunnel.to_owned().save(&mut to);
    record.is_some().save(&mut to);
    record.iter().for_each(|record| record.save(&mut to));
    let body = to.plain();
    let digest = match record {
        Some(_) => hmac(secret, LABEL, &[machine, &body]),
        None => hmac(&Secret::new(b""), LABEL, &[machine, &body]),
    };
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), &*body, &digest].concat()
}

/// Reads a file up to where it is torn. `secrets` are those of a tunnel; without tunnel there are none.
pub fn read(
    octets: &[u8],
    moment: Instant,
    machine: &[u8],
    secrets: impl Fn(&str) -> Option<Vec<Secret>>,
) -> Found {
    let mut found = Found::default();
    while let Some((body, digest, next)) = octets.get(found.end..).and_then(cut) {
        let mut from = Reader::unchecked(body, moment);
        let (stamp, tunnel, there) = <(Stamp, String, bool)>::restore(&mut from);
        if from.sound().is_err() {
            break;
        }
        found.end = found.end.saturating_add(next);
        found.highest = found.highest.max(stamp.number);
        let Some(known) = secrets(&tunnel) else { continue };
        let secrets = if there { known } else { vec![Secret::new(b"")] };
        if !secrets.iter().any(|secret| hmac_matches(secret, LABEL, &[machine, body], digest)) {
            let content = Content::Refused("its digest does not fit: another password, or another machine");
            // What was written before is of no use either.
            found.entries.insert(tunnel, Box::new((stamp.number, content)));
            continue;
        }
        if found.last.as_ref().is_some_and(|last| last.number >= stamp.number) {
            continue; // it was put in again
        }
        let content = match there {
            true => match restore(&mut from) {
                Ok(record) => Content::Connection(Box::new(record)),
                Err(_) => Content::Refused("it was written by another version of l2tpd"),
            },
            false => Content::None,
        };
        found.entries.insert(tunnel, Box::new((stamp.number, content)));
        found.last = Some(stamp);
    }
    found
}

fn restore(from: &mut Reader<'_>) -> Result<Record, Broken> {
    let record = Record::restore(from);
    from.end().map(|()| record)
}

/// The body and the digest of the entry that begins here, and where the next one does.
fn cut(octets: &[u8]) -> Option<(&[u8], &[u8], usize)> {
    let (length, rest) = octets.split_first_chunk::<LENGTH>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok().filter(|length| *length <= LONGEST)?;
    let (body, rest) = rest.split_at_checked(length)?;
    let digest = rest.get(..MD5_LENGTH)?;
    Some((body, digest, LENGTH.checked_add(length)?.checked_add(MD5_LENGTH)?))
}
