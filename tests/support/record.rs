//! What passes the wire of each test: recorded, read without the daemon's code, and taken apart into control
//! connections.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Mutex;

use super::message::*;
use super::runner::note;
use super::sys::{in_netns, ControlSocket};

/// True if `a` sent it; from the IP header on.
pub type Packet = (bool, Vec<u8>);
/// AVPs as `Msg` has them.
type Avps = Vec<(bool, u16, u16, Vec<u8>)>;
/// A password, or that there is none.
pub type Secrets = BTreeSet<Option<String>>;

static RECORDINGS: Mutex<Vec<Recording>> = Mutex::new(Vec::new());
/// The passwords in the configurations of a directory.
static SECRETS: Mutex<BTreeMap<PathBuf, Secrets>> = Mutex::new(BTreeMap::new());

/// What one test recorded.
#[derive(Clone)]
pub struct Recording {
    pub test: String,
    /// Whether the daemon spoke at both ends.
    pub both: bool,
    pub secrets: Secrets,
    pub packets: Vec<Packet>,
}

/// Whether anybody asks for recordings.
static WANTED: AtomicBool = AtomicBool::new(false);

/// From now on the control messages of each test are kept.
pub fn begin() {
    WANTED.store(true, Ordering::Relaxed);
}

/// Keeps the control messages on `wire` of one namespace.
pub struct Recorder(ControlSocket);

impl Recorder {
    pub fn start(netns: &str) -> Option<Recorder> {
        let wanted = WANTED.load(Ordering::Relaxed);
        wanted.then(|| Recorder(in_netns(netns, || ControlSocket::open("wire"))))
    }

    /// Takes the messages; the configurations were in `dir`.
    pub fn finish(self, dir: &Path, both: bool) {
        let test = std::thread::current().name().unwrap_or("test").replace("::", "-");
        let packets = self.0.take();
        let secrets = SECRETS.lock().expect("passwords").remove(dir).unwrap_or_default();
        let missed = self.0.missed();
        if missed > 0 {
            note(format!("judge: {test} is not judged: {missed} of its packets were missed"));
        } else if !packets.is_empty() {
            RECORDINGS.lock().expect("recordings").push(Recording { test, both, secrets, packets });
        }
    }
}

/// Notes the passwords of a configuration.
pub fn configured(file: &Path, text: &str) {
    let mut tunnels: Vec<Option<String>> = Vec::new();
    for line in text.lines() {
        let (tag, value) = line.trim().split_once(' ').unwrap_or_default();
        match (tag, tunnels.last_mut()) {
            ("tunnel", _) => tunnels.push(None),
            ("password", Some(tunnel)) => *tunnel = Some(value.trim().trim_matches('"').to_owned()),
            ("digest", Some(tunnel)) if value.trim() == "md5" => *tunnel = Some(String::new()),
            _ => {}
        }
    }
    let dir = file.parent().expect("directory").to_owned();
    SECRETS.lock().expect("passwords").entry(dir).or_default().extend(tunnels);
}

/// A control message in its packet.
#[derive(Clone)]
pub struct Message {
    /// 0: from `a`, 1: from `b`.
    pub from: usize,
    pub packet: Vec<u8>,
    /// Where the T bit is in `packet`.
    pub at: usize,
    pub msg: Msg,
}

/// The messages of one control connection.
pub struct Connection<'r> {
    pub of: &'r Recording,
    /// Source and destination of what `a` sends.
    pub addresses: Vec<u8>,
    /// Which end sent the SCCRQ.
    pub opener: usize,
    /// The ends' Control Connection IDs.
    pub ids: [Option<u32>; 2],
    pub messages: Vec<Message>,
}

impl Connection<'_> {
    pub fn has(&self, kind: u16) -> bool {
        self.messages.iter().any(|message| message.msg.kind() == Some(kind))
    }

    /// Whether a message may belong to it, by the receiver's id and by the sender's where the message has it. A
    /// StopCCN after an SCCRQ that nobody answered has only the sender's.
    fn fits(&self, message: &Message, addresses: &[u8]) -> bool {
        let own = self.ids[message.from];
        let other = self.ids[1 - message.from];
        let named = assigned(&message.msg, 61, 1);
        let to_nobody = message.msg.ccid == 0 && other.is_none() && named.is_some();
        self.addresses == addresses
            && if to_nobody {
                own == named
            } else {
                other == Some(message.msg.ccid) && (named.is_none() || own.is_none() || own == named)
            }
    }
}

/// A four-octet AVP under its own number or Cisco's.
pub fn assigned(msg: &Msg, attribute: u16, cisco: u16) -> Option<u32> {
    let is = |vendor: u16, which: u16| (vendor, which) == (0, attribute) || (vendor, which) == (9, cisco);
    let found = msg.avps.iter().find(|(hidden, vendor, which, _)| !hidden && is(*vendor, *which));
    found.and_then(|(_, _, _, value)| Some(u32::from_be_bytes(value.as_slice().try_into().ok()?)))
}

/// Reads a packet; `None` where it is no L2TPv3 control message. Of one that is broken only the header is read.
fn read(from_a: bool, packet: &[u8], secrets: &Secrets) -> Option<Message> {
    let (header, protocol) = match packet.first()? >> 4 {
        4 => (usize::from(packet[0] & 15) * 4, *packet.get(9)?),
        _ => (40, *packet.get(6)?),
    };
    let at = header + if protocol == 17 { 8 } else { 4 };
    let raw = packet.get(at..).filter(|raw| raw.len() >= 12 && be16(raw, 0) & 0x800f == 0x8003)?;
    let avps = avps(raw).unwrap_or_default();
    let msg = Msg { ccid: be32(raw, 4), ns: be16(raw, 8), nr: be16(raw, 10), raw: raw.to_vec(), avps };
    let msg = secrets.iter().flatten().find_map(|secret| unhidden(&msg, secret)).unwrap_or(msg);
    Some(Message { from: usize::from(!from_a), packet: packet.to_vec(), at, msg })
}

/// AVPs as `Msg` has them; `None` where they cannot be told apart or do not begin with Message Type.
fn avps(raw: &[u8]) -> Option<Avps> {
    let mut avps = Vec::new();
    let mut next = 12;
    while next < raw.len() {
        let head = raw.get(next..next + 6)?;
        let size = usize::from(be16(head, 0) & 0x3ff);
        let value = raw.get(next + 6..next + size)?.to_vec();
        avps.push((head[0] & 0x40 != 0, be16(head, 2), be16(head, 4), value));
        next += size;
    }
    avps.first()
        .is_none_or(|(_, vendor, kind, value)| (*vendor, *kind, value.len()) == (0, 0, 2))
        .then_some(avps)
}

/// The message with its hidden AVPs in the clear, if this is the password.
fn unhidden(msg: &Msg, secret: &str) -> Option<Msg> {
    msg.avps.iter().find(|(hidden, ..)| *hidden)?;
    let mut clear = msg.clone();
    std::panic::catch_unwind(move || {
        clear.unhide(secret.as_bytes());
        clear
    })
    .ok()
}

/// Takes a recording apart. What we sent that belongs nowhere is counted.
pub fn connections<'r>(recording: &'r Recording, lost: &mut usize) -> Vec<Connection<'r>> {
    let mut all: Vec<Connection> = Vec::new();
    for (from_a, packet) in &recording.packets {
        let stranger = !from_a && !recording.both;
        let Some(message) = read(*from_a, packet, &recording.secrets) else {
            *lost += usize::from(!stranger);
            continue;
        };
        let addresses = match packet[0] >> 4 {
            4 if *from_a => packet[12..20].to_vec(),
            4 => [&packet[16..20], &packet[12..16]].concat(),
            _ if *from_a => packet[8..40].to_vec(),
            _ => [&packet[24..40], &packet[8..24]].concat(),
        };
        let named = assigned(&message.msg, 61, 1);
        if message.msg.kind() == Some(SCCRQ) {
            let again = all.iter_mut().find(|connection| {
                connection.opener == message.from
                    && connection.addresses == addresses
                    && connection.messages.first().is_some_and(|first| first.msg.raw == message.msg.raw)
                    && !connection.has(SCCCN)
                    && !connection.has(STOPCCN)
            });
            if let Some(connection) = again {
                connection.messages.push(message);
                continue;
            }
            let mut ids = [None; 2];
            ids[message.from] = named;
            let opener = message.from;
            all.push(Connection { of: recording, addresses, opener, ids, messages: vec![message] });
            continue;
        }
        // A peer may give all its connections the same id: the best of those that fit, of equal ones the newest, is
        // one whose sender's id is known and from which what it acknowledges came.
        let mut fitting: Vec<_> = all.iter_mut().filter(|c| c.fits(&message, &addresses)).collect();
        let rank = |connection: &Connection| {
            let answered = message.msg.nr.wrapping_sub(1);
            let came = |other: &Message| other.from != message.from && other.msg.ns == answered;
            (connection.messages.iter().any(came), connection.ids[message.from].is_some())
        };
        let Some(at) = (0..fitting.len()).max_by_key(|at| rank(fitting[*at])) else {
            *lost += usize::from(!stranger);
            continue;
        };
        let connection = &mut fitting[at];
        connection.ids[message.from] = connection.ids[message.from].or(named);
        connection.messages.push(message);
    }
    all
}

/// All recordings so far.
pub fn recordings() -> Vec<Recording> {
    std::mem::take(&mut *RECORDINGS.lock().expect("recordings"))
}

/// Whether the second AVP is a Message Digest, where RFC 3931 5.4.1 wants it.
pub fn is_signed(msg: &Msg) -> bool {
    matches!(msg.avps.get(1), Some((_, 0, 59, _)))
}
