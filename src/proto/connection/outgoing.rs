//! Messages made ready to leave: encoded, with what is to be hidden; and those that no channel keeps.

use super::auth::Auth;
use crate::log::Event;
use crate::proto::action::{Action, Path};
use crate::proto::context::Context;
use crate::wire::message::{encode, Dialect, EncodeOptions, Hide};
use crate::wire::{header, Ccid, Message};

/// A message that no connection keeps: a StopCCN that refuses an SCCRQ (the peer repeats the SCCRQ if this is lost,
/// and gets it again), or one for an SCCRQ of ours that was never answered.
#[derive(Debug)]
pub struct SingleMessage<'a> {
    /// From where to where.
    pub path: Path,
    /// TTL of the packet.
    pub ttl: u8,
    /// The receiver's id; 0 where it is not known.
    pub to: Ccid,
    /// Ns and Nr.
    pub numbers: (u16, u16),
    /// What it is signed with.
    pub auth: &'a Auth,
    /// The message.
    pub message: &'a Message,
}

impl SingleMessage<'_> {
    /// Encodes, numbers, signs and transmits it; it is not repeated.
    pub fn send(&self, cx: &mut Context) {
        let Some(mut octets) = build(cx, self.message, self.auth, Dialect::IETF, false) else { return };
        let (ns, nr) = self.numbers;
        header::stamp(&mut octets, self.to, ns, nr);
        self.auth.sign(self.message.message_type(), &mut octets);
        cx.act(Action::Transmit { path: self.path, ttl: self.ttl, message: octets });
    }
}

/// Encodes a message. When it cannot be built (a value is too long, or there is no randomness to hide with) that is
/// logged.
pub fn build(
    cx: &mut Context,
    message: &Message,
    auth: &Auth,
    dialect: Dialect,
    hidden: bool,
) -> Option<Vec<u8>> {
    let secret = auth.hiding_secret().filter(|_| hidden && has_hideable(message));
    let random_vector: Option<[u8; 16]> = match secret {
        None => None,
        Some(_) => match cx.random() {
            None => {
                cx.log_detail(Event::NewPacketFailed {}, "no random octets to hide AVPs with");
                return None;
            }
            vector => vector,
        },
    };
    let hide =
        secret.zip(random_vector.as_ref()).map(|(secret, vector)| Hide { secret, random_vector: vector });
    match encode(message, &EncodeOptions { digest: auth.signs(), hide, dialect }) {
        Ok(octets) => Some(octets),
        Err(error) => {
            let (name, length, kind) = (error.name, error.length, message.message_type());
            let detail = format!("{name}: {length} octets do not fit into one {kind}");
            cx.log_detail(Event::NewPacketFailed {}, detail);
            None
        }
    }
}

/// Whether a message has AVPs that may be hidden at all.
fn has_hideable(message: &Message) -> bool {
    match message {
        Message::Scccn | Message::Hello | Message::Ack => false,
        Message::Sccrq(_)
        | Message::Sccrp(_)
        | Message::StopCcn(_)
        | Message::Icrq(_)
        | Message::Icrp(_)
        | Message::Iccn(_)
        | Message::Ocrq(_)
        | Message::Ocrp(_)
        | Message::Occn(_)
        | Message::Cdn(_)
        | Message::Wen(_)
        | Message::Sli(_) => true,
    }
}
