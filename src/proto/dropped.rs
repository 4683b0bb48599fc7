//! Who sends what is dropped before it is known to belong to a tunnel. The sender is not told why (it may be anybody),
//! so the log and `explain` tell it at this end.
//!
//! Bounded in memory and in lines, whoever sends whatever: there are `PLACES` places, each for one address; a place
//! makes a line a minute at most, and is given to another address only after a minute of silence.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use super::snapshot::{DroppedFrom, Drops};
use crate::gather;
use crate::log::escape;
use crate::saved::saved;
use crate::wire::attribute::{number, AvpId};
use crate::wire::avp;
use crate::wire::header::HeaderError;
use crate::wire::{Ccid, SessionId};

/// Addresses that are told apart; what further ones send is only counted.
const PLACES: usize = 32;
/// Time between two lines about an address; a place is free after as long without a message of its address.
const PAUSE: Duration = Duration::from_secs(60);
/// How long what is left of a connection or session that has just ended may go on without a line.
const PATIENCE: Duration = Duration::from_secs(5);
/// What is longer ago is not shown any more.
const SHOWN: Duration = Duration::from_secs(3600);

saved! {
    /// Why something is dropped.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum DropCause {
        /// It does not begin as a control message of L2TPv3 does.
        Header(error: HeaderError),
        /// Its AVPs cannot be walked.
        Malformed,
        /// An SCCRQ that no tunnel is for.
        Request,
        /// An SCCRQ without a digest of the tunnel's password.
        Digest,
        /// An SCCRQ that was refused since no tunnel for this address has the names that it says.
        Identity,
        /// More SCCRQs than are looked at.
        Rate,
        /// More connections than may wait for their peer.
        Limit,
        /// Our own SCCRQ, sent back to us.
        Reflected,
        /// A control message for one of our connections, from another address.
        WrongSource(ccid: Ccid),
        /// A control message for a connection that there is not.
        Connection(ccid: Ccid),
        /// A StopCCN that names no connection of ours.
        Stop,
        /// Data for a session that there is not.
        Session(id: SessionId),
    }
}

impl DropCause {
    /// Whether it also comes from a peer that does not know yet what has just ended.
    fn may_be_left_over(self) -> bool {
        use DropCause::{Connection, Session, Stop, WrongSource};
        matches!(self, Connection(_) | Stop | Session(_) | WrongSource(_))
    }

    /// Which counter counts it; a refusal is no drop, and data is counted by the data plane.
    pub fn counter(self, drops: &mut Drops) -> Option<&mut u64> {
        Some(match self {
            DropCause::Header(HeaderError::Short(_)) => &mut drops.short,
            DropCause::Header(HeaderError::NoT | HeaderError::NoL | HeaderError::NoS) => &mut drops.flags,
            DropCause::Header(HeaderError::Version(_)) => &mut drops.version,
            DropCause::Header(HeaderError::Length(_)) => &mut drops.length,
            DropCause::Malformed => &mut drops.malformed,
            DropCause::Request | DropCause::Stop => &mut drops.unknown_peer,
            DropCause::Digest => &mut drops.bad_digest,
            DropCause::Rate => &mut drops.rate,
            DropCause::Limit => &mut drops.limit,
            DropCause::Reflected => &mut drops.reflected,
            DropCause::WrongSource(_) => &mut drops.wrong_source,
            DropCause::Connection(_) => &mut drops.unknown_ccid,
            DropCause::Identity | DropCause::Session(_) => return None,
        })
    }

    /// In words; those of an SCCRQ follow what it says of its sender.
    pub fn words(self) -> String {
        match self {
            DropCause::Header(error) => format!("no control message of L2TPv3: {}", header_words(error)),
            DropCause::Malformed => "a control message whose AVPs cannot be read".to_owned(),
            DropCause::Request => String::new(), // `unclaimed` tells why
            DropCause::Digest => "its digest is not that of the password here".to_owned(),
            DropCause::Identity => "no tunnel for this address has such a name and router-id".to_owned(),
            DropCause::Rate => "more SCCRQs than are looked at".to_owned(),
            DropCause::Limit => "an SCCRQ, as too many connections wait for their peers".to_owned(),
            DropCause::Reflected => "our own SCCRQ, sent back to us".to_owned(),
            DropCause::WrongSource(ccid) => {
                format!("a message for connection {ccid}, whose peer has another address or port")
            }
            DropCause::Connection(ccid) => format!("a message for connection {ccid}, which is not there"),
            DropCause::Stop => "a StopCCN for no connection of ours".to_owned(),
            DropCause::Session(id) => format!("data for session {id}, which is not there"),
        }
    }
}

fn header_words(error: HeaderError) -> String {
    match error {
        HeaderError::Short(length) => format!("it has {length} octets"),
        HeaderError::NoT => "its T bit is not set".to_owned(),
        HeaderError::NoL => "its L bit is not set".to_owned(),
        HeaderError::NoS => "its S bit is not set".to_owned(),
        HeaderError::Version(version) => format!("its version is {version}"),
        HeaderError::Length(length) => format!("its Length field says {length}"),
    }
}

saved! {
    /// An address and what came from it.
    #[derive(Debug)]
    struct Source {
        address: IpAddr,
        /// The last cause.
        cause: DropCause,
        /// The same in words.
        text: String,
        /// How much was dropped; 0 when it is over, as the peer at this address is established.
        count: u64,
        first: Instant,
        last: Instant,
        logged: Option<Instant>,
    }

    /// The list.
    #[derive(Debug, Default)]
    pub struct Sources {
        places: Vec<Source>,
        /// Messages of addresses for which there was no place.
        others: u64,
    }
}

impl Sources {
    /// Counts messages that were dropped; what to log, if a line is due. `words` makes the cause's text.
    pub fn note(
        &mut self,
        now: Instant,
        address: IpAddr,
        (cause, count): (DropCause, u64),
        words: impl FnOnce() -> String,
    ) -> Option<String> {
        let Some(source) = self.place(now, address, cause) else {
            self.others = self.others.saturating_add(count);
            return None;
        };
        if source.count == 0 || now.saturating_duration_since(source.last) >= PAUSE {
            source.first = now;
        }
        let waits = cause.may_be_left_over() && now.saturating_duration_since(source.first) < PATIENCE;
        let paused = source.logged.is_some_and(|at| now.saturating_duration_since(at) < PAUSE);
        let due = !waits && !paused;
        if due || source.text.is_empty() || source.cause != cause {
            source.text = words();
        }
        (source.last, source.cause, source.count) = (now, cause, source.count.saturating_add(count));
        if !due {
            return None;
        }
        source.logged = Some(now);
        Some(match source.count {
            1 => source.text.clone(),
            count => format!("{} ({count} so far)", source.text),
        })
    }

    /// The place of an address: the one that it has, a new one, or one that is free again.
    fn place(&mut self, now: Instant, address: IpAddr, cause: DropCause) -> Option<&mut Source> {
        let silent = |s: &Source| now.saturating_duration_since(s.last) >= PAUSE;
        let known = self.places.iter().position(|s| s.address == address);
        let text = String::new();
        let new = Source { address, cause, text, count: 0, first: now, last: now, logged: None };
        let at = match known {
            Some(at) => at,
            None if self.places.len() < PLACES => {
                self.places.push(new);
                self.places.len().saturating_sub(1)
            }
            None => {
                let at = self.places.iter().position(silent)?;
                *self.places.get_mut(at)? = new;
                at
            }
        };
        self.places.get_mut(at)
    }

    /// What came from this address is of no interest any more: its peer is established.
    pub fn forget(&mut self, address: IpAddr) {
        if let Some(source) = self.places.iter_mut().find(|s| s.address == address) {
            source.count = 0; // the time of the last line stays
        }
    }

    /// What to show, the newest first, and how much came from addresses that are not told apart.
    pub fn shown(&self, now: Instant) -> (Vec<DroppedFrom>, u64) {
        let shown: Vec<DroppedFrom> = self
            .places
            .iter()
            .map(|s| DroppedFrom {
                address: s.address,
                what: s.text.clone(),
                count: s.count,
                ago: now.saturating_duration_since(s.last),
            })
            .filter(|s| s.count > 0 && s.ago < SHOWN)
            .collect();
        (gather::sorted(shown, |s| s.ago.as_micros() as u64), self.others)
    }
}

/// "an SCCRQ of ...: ", from one that was not decoded; neither AVP may be hidden (C-251).
pub fn sender(message: &[u8]) -> String {
    let value = |wanted: u16| avp::iter(message).find(|a| a.id == AvpId::ietf(wanted));
    let id = value(number::ROUTER_ID).and_then(|a| <[u8; 4]>::try_from(a.value).ok());
    match value(number::HOST_NAME) {
        Some(name) => named(name.value, id.unwrap_or_default()),
        None => "an SCCRQ: ".to_owned(),
    }
}

/// "an SCCRQ of ...: ", of a peer with this name and router id.
pub fn named(name: &[u8], router_id: [u8; 4]) -> String {
    format!("an SCCRQ of \"{}\", router-id {}: ", escape(name), Ipv4Addr::from(router_id))
}
