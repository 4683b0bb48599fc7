//! The order of control messages in one connection: Ns, Nr and the message types that may follow each other.

use std::collections::{BTreeMap, BTreeSet};

use crate::message::*;
use crate::record::{assigned, is_signed};

const SLI: u16 = 16;

/// What one end has said.
#[derive(Default)]
struct Said {
    /// Message types.
    kinds: BTreeSet<u16>,
    /// By Ns, the octets without what a retransmission changes.
    messages: Vec<Vec<u8>>,
    /// Every Ns, also of what the other end does not take.
    seen: BTreeSet<u16>,
    nr: u16,
    /// Local Session ID: type of the newest message, Remote Session ID.
    sessions: BTreeMap<u32, (u16, Option<u32>)>,
    /// Ns of the StopCCN.
    stopped: Option<u16>,
}

/// Follows a connection; the ends are 0 and 1.
#[derive(Default)]
pub struct Order([Said; 2]);

impl Order {
    /// Takes the next message of one end; tells why it should not have come now.
    pub fn next(&mut self, from: usize, msg: &Msg) -> Result<(), String> {
        let [a, b] = &mut self.0;
        let (me, you) = if from == 0 { (a, b) } else { (b, a) };
        let result = me.judge(you, msg);
        me.nr = msg.nr;
        if msg.raw.len() > 12 && msg.kind() != Some(ACK) {
            me.record(msg);
        }
        result
    }
}

impl Said {
    /// RFC 3931 4.2: Ns goes up by one with each message but acknowledgements, which show the next one; Nr never
    /// goes back and acknowledges only what came.
    fn judge(&self, you: &Said, msg: &Msg) -> Result<(), String> {
        if (msg.nr.wrapping_sub(self.nr) as i16) < 0 {
            return Err(format!("Nr goes back from {}", self.nr));
        }
        if msg.nr != 0 && !you.seen.contains(&msg.nr.wrapping_sub(1)) {
            return Err("Nr acknowledges more than came".to_owned());
        }
        let next = self.messages.len() as u16;
        let Some(kind) = msg.kind().filter(|kind| *kind != ACK) else {
            return if msg.ns == next {
                Ok(())
            } else {
                Err(format!("the acknowledgement's Ns is not {next}"))
            };
        };
        match self.messages.get(usize::from(msg.ns)) {
            Some(first) if *first == lasting(msg) => Ok(()),
            Some(_) => Err("a retransmission differs from the first one, or an Ns is used twice".to_owned()),
            None if msg.ns != next => Err(format!("the next Ns is {next}")),
            None if self.may_send(you, kind, msg) => Ok(()),
            None => Err("this type of message may not come now".to_owned()),
        }
    }

    /// RFC 3931 3.3, 3.4, 6: whether a message may follow on what both ends have said.
    fn may_send(&self, you: &Said, kind: u16, msg: &Msg) -> bool {
        let stop_acknowledged = you.stopped.is_some_and(|ns| (msg.nr.wrapping_sub(ns) as i16) > 0);
        if self.stopped.is_some() || stop_acknowledged {
            return false;
        }
        let up = self.kinds.contains(&SCCCN) || self.kinds.contains(&SCCRP) && you.kinds.contains(&SCCCN);
        let (local, remote) = (assigned(msg, 63, 3), assigned(msg, 64, 4));
        let mine = local.and_then(|id| self.sessions.get(&id)).map(|(kind, _)| *kind);
        let yours = remote.and_then(|id| you.sessions.get(&id));
        let is_free = matches!(mine, None | Some(CDN));
        match kind {
            SCCRQ => self.messages.is_empty() && you.kinds.is_empty(),
            SCCRP => self.messages.is_empty() && you.kinds.contains(&SCCRQ),
            SCCCN => self.messages.len() == 1 && self.kinds.contains(&SCCRQ) && you.kinds.contains(&SCCRP),
            STOPCCN => true,
            HELLO => up,
            ICRQ => up && is_free,
            ICRP => up && is_free && matches!(yours, Some((ICRQ, _))),
            ICCN => up && mine == Some(ICRQ) && yours == Some(&(ICRP, local)),
            // RFC 4719 2.3.2: a circuit's status may change any time after the ICRQ.
            SLI => up && !is_free,
            CDN => up && (!is_free || yours.is_some() || remote == Some(0) && you.kinds.contains(&ICRQ)),
            _ => false,
        }
    }

    fn record(&mut self, msg: &Msg) {
        let is_new = usize::from(msg.ns) >= self.messages.len();
        if usize::from(msg.ns) == self.messages.len() {
            self.messages.push(lasting(msg));
        }
        self.seen.insert(msg.ns);
        let Some(kind) = msg.kind() else { return };
        self.kinds.insert(kind);
        if kind == STOPCCN && is_new {
            self.stopped = Some(msg.ns);
        }
        if let (OCRQ..=ICCN | CDN, Some(local)) = (kind, assigned(msg, 63, 3)) {
            self.sessions.insert(local, (kind, assigned(msg, 64, 4)));
        }
    }
}

/// The octets without Nr and digest, which are new in a retransmission; those of a HELLO also without the Random Vectors
/// that make it long when it leaves for the first time to probe the path.
fn lasting(msg: &Msg) -> Vec<u8> {
    let mut octets = msg.raw.clone();
    octets[10..12].fill(0);
    if is_signed(msg) {
        octets[27..].iter_mut().take(16).for_each(|octet| *octet = 0);
    }
    if msg.kind() == Some(HELLO) {
        octets[2..4].fill(0);
        let mut at = 12;
        while let Some(&[f0, f1, vendor0, vendor1, type0, type1]) =
            octets.get(at..).and_then(|o| o.first_chunk())
        {
            if [vendor0, vendor1, type0, type1] == [0, 0, 0, 36] {
                octets.truncate(at);
            }
            at += usize::from(u16::from_be_bytes([f0, f1]) & 0x03ff).max(6);
        }
    }
    octets
}
