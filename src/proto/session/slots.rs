//! The session blocks of a tunnel: which of them a message, a timer or an answer of the daemon is for.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::net::IpAddr;
use std::ops::Range;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::setup;
use super::slot::Slot;
use crate::config::model::{SessionConfig, TunnelConfig};
use crate::gather::{self, Table};
use crate::log::catalogue::EndId;
use crate::proto::action::{Path, TunnelEvent};
use crate::proto::connection::Connection;
use crate::proto::context::{Context, SlotDue, SlotKey, TunnelKey};
use crate::saved::{Broken, Reader, Saved, Writer};
use crate::wire::message::SessionIds;
use crate::wire::{Ccid, SessionId};

/// Most tunnels have one session: of one entry it takes half as much memory as a `BTreeMap`. What it is asked for by peers
/// need not be in it; the keys are those of the configuration.
type Index<K, V> = HashMap<K, V, FixedHash>;

/// The same in each run.
type FixedHash = BuildHasherDefault<DefaultHasher>;

/// While the peer of a connection that it began gets one session after the other, the others may be the next: we ask for
/// them when there was none for so long.
const PEER_ASKS: Duration = Duration::from_millis(500);

/// The session blocks of a tunnel.
#[derive(Debug, Default)]
pub struct Slots {
    tunnel_key: TunnelKey,
    /// Boxed: a map has room for some more than it holds.
    slots: Table<BTreeMap<SlotKey, Box<Slot>>>,
    /// With its place in the order of the file.
    by_interface: Table<Index<String, (SlotKey, usize)>>,
    /// Sorted by the Remote End IDs. Several may name one of these, if all but one are disabled.
    by_end_id: Box<[(Box<[u8]>, SlotKey)]>,
    /// In the order of the file.
    order: Vec<SlotKey>,
    /// By the id that the peer gave the session that it asked for, or of the last such one of the block.
    by_peers_id: Table<BTreeMap<SessionId, SlotKey>>,
    /// When the peer asked for a session last, and got it.
    called: Option<Instant>,
    /// Those whose ICRQ is to be sent as soon as few messages are queued.
    waiting: VecDeque<SlotKey>,
    /// All of them are manual.
    manual: bool,
    next_key: u32,
    /// Serial Number of the last ICRQ.
    serial: u32,
}

impl Slots {
    /// The session blocks of a tunnel block.
    pub fn new(now: Instant, tunnel_key: TunnelKey, tunnel: &Rc<TunnelConfig>) -> Slots {
        Slots::with_keys_from(now, tunnel_key, tunnel, 0)
    }

    /// The same blocks once more, for sessions with a peer that stands by.
    pub fn standby(&self, now: Instant, tunnel: &Rc<TunnelConfig>) -> Slots {
        let mut slots = Slots::with_keys_from(now, self.tunnel_key, tunnel, self.next_key);
        for slot in slots.slots.values_mut() {
            slot.standby = true;
            let other =
                self.by_interface.get(&slot.config.interface).and_then(|(key, _)| self.slots.get(key));
            slot.circuit_up = other.is_none_or(|other| other.circuit_up);
        }
        slots
    }

    fn with_keys_from(
        now: Instant,
        tunnel_key: TunnelKey,
        tunnel: &Rc<TunnelConfig>,
        next_key: u32,
    ) -> Slots {
        let mut slots = Slots { tunnel_key, next_key, ..Slots::default() };
        for session in &tunnel.sessions {
            slots.add(now, tunnel, session);
        }
        slots.arrange(tunnel);
        slots.index();
        slots
    }

    // ----- the table -----

    /// Writes all; what stands in the configuration is not part of it.
    pub fn save(&self, to: &mut Writer) {
        let Slots {
            tunnel_key,
            slots,
            by_interface: _,
            by_end_id: _,
            order: _,
            by_peers_id,
            called,
            waiting,
            manual: _,
            next_key,
            serial,
        } = self;
        tunnel_key.save(to);
        by_peers_id.save(to);
        called.save(to);
        waiting.save(to);
        next_key.save(to);
        serial.save(to);
        slots.len().save(to);
        for (key, slot) in slots.iter() {
            key.save(to);
            slot.config.interface.save(to);
            slot.save(to);
        }
    }

    /// Reads them, for the same tunnel block.
    pub fn restore(from: &mut Reader<'_>, tunnel: &Rc<TunnelConfig>) -> Result<Slots, Broken> {
        let mut restored = Slots {
            tunnel_key: TunnelKey::restore(from),
            by_peers_id: Saved::restore(from),
            called: Saved::restore(from),
            waiting: Saved::restore(from),
            next_key: u32::restore(from),
            serial: u32::restore(from),
            ..Slots::default()
        };
        let blocks = gather::map(tunnel.sessions.iter().map(|session| (session.interface.as_str(), session)));
        for _ in 0..usize::restore(from) {
            let (key, interface) = (SlotKey::restore(from), String::restore(from));
            let block = blocks.get(interface.as_str());
            let unknown = || from.refuse("the state has a session that its configuration does not have");
            let block = block.ok_or_else(unknown)?;
            let slot = Slot::restore_with(from, Rc::clone(tunnel), Rc::clone(block));
            restored.slots.insert(key, Box::new(slot));
            restored.by_interface.insert(interface, (key, 0));
        }
        if restored.by_interface.len() != blocks.len() || restored.slots.len() != blocks.len() {
            return Err(from.refuse("the state lacks a session of its configuration"));
        }
        restored.arrange(tunnel);
        restored.index();
        Ok(restored)
    }

    fn add(&mut self, now: Instant, tunnel: &Rc<TunnelConfig>, session: &Rc<SessionConfig>) -> SlotKey {
        let key = SlotKey(self.next_key);
        self.next_key = self.next_key.wrapping_add(1);
        let slot = Slot::new(now, (self.tunnel_key, key), Rc::clone(tunnel), Rc::clone(session));
        self.slots.insert(key, Box::new(slot));
        self.by_interface.insert(session.interface.clone(), (key, 0));
        key
    }

    /// Takes over the blocks of a configuration in which it has these sessions, with settings that are the same or are used
    /// from now on, and their order.
    pub fn arrange(&mut self, tunnel: &Rc<TunnelConfig>) {
        self.manual = tunnel.is_manual();
        self.order.clear();
        for session in &tunnel.sessions {
            let Some((key, place)) = self.by_interface.get_mut(&session.interface) else { continue };
            *place = self.order.len();
            self.order.push(*key);
            if let Some(slot) = self.slots.get_mut(key) {
                slot.tunnel = Rc::clone(tunnel);
                slot.config = Rc::clone(session);
            }
        }
    }

    /// Follows a change of sessions: their Remote End IDs.
    pub fn index(&mut self) {
        let ids = self.order.iter().filter_map(|key| {
            let id = self.slots.get(key)?.config.remote_end_id.as_ref()?;
            Some(spellings(id).map(move |spelling| (spelling, *key)))
        });
        self.by_end_id = ids.flatten().collect();
        self.by_end_id.sort_by(|(one, _), (other, _)| one.cmp(other)); // stable
    }

    /// In the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.some(0..usize::MAX)
    }

    /// Those at some places, counted from 0 in the order of the file.
    pub fn some(&self, places: Range<usize>) -> impl Iterator<Item = &Slot> {
        let end = places.end.min(self.order.len());
        let keys = self.order.get(places.start..end).unwrap_or_default();
        keys.iter().filter_map(|key| self.slots.get(key).map(|slot| &**slot))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.order.len()
    }

    /// The one at this place, counted from 0 in the order of the file.
    pub fn at(&self, place: usize) -> Option<&Slot> {
        self.slots.get(self.order.get(place)?).map(|slot| &**slot)
    }

    /// The place of the block of an interface.
    pub fn place_of(&self, interface: &str) -> Option<usize> {
        self.by_interface.get(interface).map(|(_, place)| *place)
    }

    /// Whether nothing is negotiated: there are sessions, and all of them are manual.
    pub fn is_manual(&self) -> bool {
        self.manual
    }

    /// The block of an interface.
    pub fn named(&mut self, interface: &str) -> Option<&mut Slot> {
        let (key, _) = self.by_interface.get(interface)?;
        self.slots.get_mut(key).map(|slot| &mut **slot)
    }

    /// The block with this key.
    pub fn get(&self, key: SlotKey) -> Option<&Slot> {
        self.slots.get(&key).map(|slot| &**slot)
    }

    /// The block with this key.
    pub fn get_mut(&mut self, key: SlotKey) -> Option<&mut Slot> {
        self.slots.get_mut(&key).map(|slot| &mut **slot)
    }

    /// The block that a peer calls by this Remote End ID.
    pub fn called(&mut self, end_id: &[u8]) -> Option<(SlotKey, &mut Slot)> {
        let usable = |key: &SlotKey| self.slots.get(key).is_some_and(|s| s.is_dynamic() && s.is_usable());
        let begin = self.by_end_id.partition_point(|(id, _)| **id < *end_id);
        let same = self.by_end_id.iter().skip(begin).take_while(|(id, _)| **id == *end_id);
        let key = same.map(|(_, key)| *key).find(usable)?;
        Some((key, self.slots.get_mut(&key)?))
    }

    /// The peer got the session of a block that it asked for, and gave it this id; the last such one had another.
    pub fn note_call(&mut self, now: Instant, key: SlotKey, (before, id): (SessionId, SessionId)) {
        self.forget_peers_id(key, before);
        self.by_peers_id.insert(id, key);
        self.called = Some(now);
    }

    /// The session that a message of this connection is for: by our id, or where the peer does not know that yet by
    /// its own (C-134).
    pub fn find(&mut self, cx: &Context, ccid: Ccid, ids: SessionIds) -> Option<&mut Slot> {
        if ids.remote == SessionId(0) {
            let slot = self.slots.get_mut(self.by_peers_id.get(&ids.local)?).map(|slot| &mut **slot)?;
            let named = slot.session.as_ref().is_some_and(|session| session.remote == ids.local);
            return Some(slot).filter(|slot| named && slot.is_of(ccid));
        }
        let (tunnel, key) = cx.ids.slot_of(ids.remote)?;
        let slot = self.slots.get_mut(&key).map(|slot| &mut **slot);
        slot.filter(|slot| tunnel == self.tunnel_key && slot.is_of(ccid))
    }

    /// The configured end ids, for the detail of a mismatch.
    pub fn end_ids(&self) -> String {
        let ids = self.iter().filter_map(|slot| slot.config.remote_end_id.clone());
        let ids: Vec<String> = ids.map(|id| format!("\"{}\"", EndId(id))).collect();
        match ids.is_empty() {
            true => "none (no session is configured)".to_owned(),
            false => ids.join(" or "),
        }
    }

    // ----- the configuration changes -----

    /// A block was added. `begins`: at once (C-124), not with the others once the tunnel is up.
    pub fn insert(
        &mut self,
        cx: &mut Context,
        tunnel: &Rc<TunnelConfig>,
        session: &Rc<SessionConfig>,
        begins: bool,
    ) {
        let key = self.add(cx.now, tunnel, session);
        if let Some(slot) = self.slots.get_mut(&key).filter(|slot| begins || !slot.is_dynamic()) {
            slot.schedule(cx, Duration::ZERO);
        }
    }

    /// A block is gone; its session was ended.
    pub fn remove(&mut self, cx: &mut Context, interface: &str) {
        let key = self.by_interface.remove(interface).map(|(key, _)| key);
        match key.and_then(|key| Some((key, self.slots.remove(&key)?))) {
            Some((key, mut slot)) => {
                slot.attempt.cancel(cx);
                self.forget_peers_id(key, slot.peers_id);
            }
            None => cx.missing(),
        }
    }

    /// No session of this block has that id of the peer's any more.
    fn forget_peers_id(&mut self, key: SlotKey, id: SessionId) {
        if self.by_peers_id.get(&id) == Some(&key) {
            self.by_peers_id.remove(&id);
        }
    }

    // ----- set-up -----

    /// Begins the sessions of a connection that is established, after `delay`.
    pub fn begin(&mut self, cx: &mut Context, connection: &mut Connection, delay: Duration) {
        for key in &self.order {
            let Some(slot) = self.slots.get_mut(key).filter(|slot| slot.is_dynamic()) else { continue };
            match delay.is_zero() {
                true => put(&mut self.waiting, slot, *key),
                false => slot.schedule(cx, delay),
            }
        }
        self.go_on(cx, connection);
    }

    /// Sends the ICRQs that wait, as long as few messages are queued: what a session needs after its ICRP must not wait
    /// until all others have asked.
    pub fn go_on(&mut self, cx: &mut Context, connection: &mut Connection) {
        while connection.transport.channel.has_room() {
            let Some(key) = self.waiting.pop_front() else { break };
            let Some(slot) = self.slots.get_mut(&key) else { continue }; // it was removed
            slot.waits = false;
            setup::begin(slot, cx, connection, &mut self.serial);
        }
    }

    /// The sessions of before a crash get their interfaces again.
    pub fn resume(&mut self, cx: &mut Context) {
        self.slots.values_mut().filter(|slot| slot.is_of_before()).for_each(|slot| slot.attach(cx, None));
    }

    /// The sessions of a connection that were never up are forgotten, without a message or an event.
    pub fn forget_sessions(&mut self, cx: &mut Context, ccid: Ccid, reason: &str) {
        for slot in self.slots.values_mut().filter(|slot| slot.is_of(ccid)) {
            slot.forget(cx, reason);
        }
    }

    /// Attaches the manual sessions of a tunnel whose path is known.
    pub fn start_manual(&mut self, cx: &mut Context, path: Path) {
        for key in &self.order {
            if let Some(slot) = self.slots.get_mut(key).filter(|slot| !slot.is_dynamic()) {
                setup::start_manual(slot, cx, path);
            }
        }
    }

    /// A timer of a block fired; `connection` is that of its session, or the one that serves the tunnel.
    pub fn due(
        &mut self,
        cx: &mut Context,
        (key, due): (SlotKey, SlotDue),
        connection: Option<&mut Connection>,
        path: Option<Path>,
    ) {
        match (self.slots.get_mut(&key), path) {
            (Some(slot), _) if due == SlotDue::Attempt && slot.is_dynamic() => {
                slot.attempt.begin();
                let recently = |at| cx.now.saturating_duration_since(at) < PEER_ASKS;
                match connection {
                    Some(c) if !c.initiator && self.called.is_some_and(recently) => {
                        slot.schedule(cx, PEER_ASKS);
                    }
                    Some(connection) => {
                        put(&mut self.waiting, slot, key);
                        self.go_on(cx, connection);
                    }
                    None => {}
                }
            }
            (Some(slot), _) if slot.is_dynamic() => setup::due(slot, cx, due, connection),
            (Some(slot), Some(path)) => setup::start_manual(slot, cx, path),
            (Some(slot), None) => slot.attempt.begin(),
            (None, _) => cx.missing(),
        }
    }

    // ----- changes for all -----

    /// The sessions that are established end, as far as watchers are concerned: others take their place.
    pub fn report_end(&mut self, cx: &mut Context, reason: &str) {
        for slot in self.slots.values_mut().filter(|slot| slot.is_established()) {
            slot.notify(cx, TunnelEvent::SessionDown, reason.to_owned());
        }
    }

    /// They take the place of these others, which stand by from now on: what happened to an interface is of interest,
    /// whichever session it has.
    pub fn take_place_of(&mut self, cx: &mut Context, connection: &mut Connection, others: &mut Slots) {
        for (interface, (key, _)) in self.by_interface.iter() {
            let other = others.by_interface.get(interface).and_then(|(key, _)| others.slots.get_mut(key));
            let (Some(slot), Some(other)) = (self.slots.get_mut(key), other) else { continue };
            std::mem::swap(&mut slot.history, &mut other.history);
            other.standby = true;
            slot.serve(cx, connection);
        }
    }

    /// The tunnel has another peer than before.
    pub fn announce(&mut self) {
        self.slots.values_mut().for_each(|slot| slot.announce());
    }

    /// The path of a connection's sessions is another one from now on.
    pub fn move_to(&mut self, cx: &mut Context, ccid: Ccid, path: Path) {
        for slot in self.slots.values_mut().filter(|slot| slot.is_of(ccid)) {
            slot.move_to(cx, path);
        }
    }

    /// The manual sessions have this path from now on, unless the address that they have is `known` still.
    pub fn move_manual(&mut self, cx: &mut Context, path: Path, known: impl Fn(IpAddr) -> bool) {
        for slot in self.slots.values_mut().filter(|slot| !slot.is_dynamic()) {
            let current = slot.session.as_ref().map(|session| session.path.remote);
            if current.is_some_and(|remote| remote != path.remote && !known(remote.ip())) {
                slot.move_to(cx, path);
            }
        }
    }

    /// Ends the sessions of a connection, without a message (C-103, C-107).
    pub fn drop_sessions(&mut self, cx: &mut Context, ccid: Option<Ccid>, reason: &str) {
        for slot in self.slots.values_mut().filter(|slot| slot.connection() == ccid) {
            slot.drop_session(cx, reason);
        }
    }

    /// Does not try again by itself.
    pub fn cancel(&mut self, cx: &mut Context) {
        self.waiting.clear();
        for slot in self.slots.values_mut() {
            slot.waits = false;
            slot.attempt.cancel(cx);
        }
    }
}

/// A block waits from now on, behind those that do; once.
fn put(waiting: &mut VecDeque<SlotKey>, slot: &mut Slot, key: SlotKey) {
    if !std::mem::replace(&mut slot.waits, true) {
        waiting.push_back(key);
    }
}

/// The octets by which a peer may name a configured Remote End ID: itself, and the four octets of the number that it
/// spells (RFC 4719 2.2: a four-octet identifier must be supported).
fn spellings(configured: &[u8]) -> impl Iterator<Item = Box<[u8]>> {
    let digits = std::str::from_utf8(configured).ok().and_then(|d| d.parse::<u32>().ok());
    let number = digits.filter(|d| d.to_string().as_bytes() == configured).map(|d| d.to_be_bytes().into());
    std::iter::once(configured.into()).chain(number)
}
