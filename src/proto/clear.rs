//! Sessions end: by a CDN of either side, with their connection, or because their interface failed (RFC 3931 3.4.3).

use std::net::IpAddr;
use std::time::Instant;

use super::action::{Action, Happening};
use super::connection::State as ConnectionState;
use super::ending::result;
use super::session::State;
use super::snapshot::Failure;
use super::Engine;
use crate::log::Event;
use crate::wire::code::{self, cdn};
use crate::wire::message::{Cdn, ResultCode, SessionIds};
use crate::wire::{Ccid, Message, MessageType, SessionId};

impl Engine {
    /// CDN (C-153): the session is gone, the connection stays.
    pub(super) fn peer_cleared(&mut self, now: Instant, ccid: Ccid, id: SessionId, message: &Cdn) {
        let reason = self.peer_result(ccid, message.result.as_ref(), code::cdn_in_range, code::cdn_text);
        let Some(session) = self.sessions.get(&id) else { return };
        let lost_tie = message.result.as_ref().is_some_and(|r| r.result == cdn::TIE);
        if lost_tie && session.state == State::WaitReply && session.won_tie {
            return; // C-158: the loser of the tie says so itself (RFC 4667); ours is the winner
        }
        let (key, slot, state) = (session.tunnel, session.slot, session.state);
        self.log(Event::ReceiveState { message: MessageType::CDN, state: "IDLE" });
        match lost_tie && state != State::Established {
            true => self.give_way(now, id, &reason),
            false => self.drop_session(now, id, &reason),
        }
        self.reschedule_slot(now, key, slot);
    }

    /// Ends a session with a CDN (C-152).
    pub(super) fn clear_session_with(&mut self, now: Instant, id: SessionId, code: ResultCode) {
        let ids = self.ids_of(id);
        let Some(ccid) = self.sessions.get(&id).and_then(|s| s.connection) else { return };
        let reason = format!("we closed it: {}", code::cdn_text(code.result));
        self.log(Event::SendState { message: MessageType::CDN, state: "IDLE" });
        self.enqueue(now, ccid, &Message::Cdn(Cdn { ids, result: Some(code) }));
        self.drop_session(now, id, &reason);
    }

    /// A CDN for a session that does not exist here: one that is refused, or one that lost a tie. Its Local
    /// Session ID is what the peer called us, or a fresh one, never that of another session of ours (C-162).
    pub(super) fn refuse_call(&mut self, now: Instant, ccid: Ccid, peer: SessionIds, code: ResultCode) {
        let local = match peer.remote {
            SessionId(0) => self.free_session_id(),
            known => Some(known),
        };
        let Some(local) = local else { return };
        self.count(ccid, |c| c.rx_refused = c.rx_refused.saturating_add(1));
        self.log(Event::Send { tunnel: ccid, message: MessageType::CDN });
        let ids = SessionIds { local, remote: peer.local };
        self.enqueue(now, ccid, &Message::Cdn(Cdn { ids, result: Some(code) }));
    }

    /// Takes a session out of service, without a message.
    pub(super) fn drop_session(&mut self, now: Instant, id: SessionId, reason: &str) {
        let Some(session) = self.sessions.get(&id) else { return };
        let established = session.state == State::Established;
        let (key, slot) = (session.tunnel, session.slot);
        if let Some(entry) = self.tunnels.get_mut(&key).and_then(|t| t.slot_mut(slot)) {
            entry.attempt.since = now;
            if !reason.is_empty()
                && (established || entry.attempt.failure.as_ref().is_none_or(|(_, at)| *at != now))
            {
                entry.attempt.failure = Some((Failure::new(reason, ""), now));
            }
        }
        let what = if established { Happening::SessionDown } else { Happening::SessionFailed };
        self.notify_session(id, what, reason.to_owned());
        self.forget_session(id);
    }

    /// A session of ours lost or drew a tie. That is no event; `reason` is for `explain` alone.
    pub(super) fn give_way(&mut self, now: Instant, id: SessionId, reason: &str) {
        let place = self.sessions.get(&id).map(|s| (s.tunnel, s.slot));
        if let Some(slot) = place.and_then(|(key, slot)| self.tunnels.get_mut(&key)?.slot_mut(slot)) {
            slot.attempt.since = now;
            slot.attempt.failure = Some((Failure::new(reason, ""), now));
        }
        self.forget_session(id);
    }

    /// Frees a session: log, data plane, timers.
    pub(super) fn forget_session(&mut self, id: SessionId) {
        let Some(session) = self.sessions.remove(&id) else { return };
        let tunnel = session.connection.unwrap_or(Ccid(0));
        self.log(Event::CleanupSession { tunnel, session: id, name: session.interface.clone() });
        if session.attached || session.attaching {
            self.actions.push_back(Action::Detach { session: id });
        }
        for timer in [session.guard, session.status_timer].into_iter().flatten() {
            self.wheel.cancel(timer);
        }
        if let Some(connection) = session.connection.and_then(|ccid| self.connections.get_mut(&ccid)) {
            connection.sessions.remove(&id);
        }
        if let Some(slot) = self.tunnels.get_mut(&session.tunnel).and_then(|t| t.slot_mut(session.slot)) {
            if slot.session == Some(id) {
                slot.session = None;
            }
        }
        self.log(Event::DeleteSession { tunnel, session: id });
    }

    /// Clears all sessions of a connection, silently (C-103, C-107), and stops waiting attempts of its slots.
    pub(super) fn clear_sessions(&mut self, now: Instant, ccid: Ccid, reason: &str) {
        let Some(connection) = self.connections.get(&ccid) else { return };
        let ids: Vec<SessionId> = connection.sessions.iter().copied().collect();
        for id in ids {
            self.drop_session(now, id, reason);
        }
    }

    /// The network reports (ICMP) that what we sent to `remote` did not arrive: it is shown as the reason of the
    /// tunnels that wait for an answer from there. It has no other effect, since anybody can forge it, and it does
    /// not hide a reason that was found here.
    pub fn unreachable(&mut self, now: Instant, remote: IpAddr, error: &str) {
        for tunnel in self.tunnels.values_mut() {
            let connection = tunnel.main.and_then(|ccid| self.connections.get(&ccid));
            let waits = connection
                .is_some_and(|c| c.state == ConnectionState::WaitCtlReply && c.path.remote.ip() == remote);
            let failure = tunnel.attempt.failure.as_ref();
            if waits && failure.is_none_or(|(f, _)| f.message == "M-015") {
                let check = format!("what we send does not arrive, the network reports: {error}");
                tunnel.attempt.failure = Some((Failure::new(check, "M-015"), now));
            }
        }
    }

    /// The interface of an attached session failed (it was deleted, say): the session goes down and is retried.
    pub fn data_plane_failed(&mut self, now: Instant, session: SessionId, why: &str) {
        let Some(entry) = self.sessions.get(&session) else { return };
        let (key, slot) = (entry.tunnel, entry.slot);
        match entry_connection(self, session) {
            Some(_) => {
                self.clear_session_with(now, session, result(cdn::TEMPORARY, None, "the interface failed"))
            }
            None => self.drop_session(now, session, why),
        }
        self.fail_session(now, key, slot, Failure::new(why, "M-025"));
        self.reschedule_slot(now, key, slot);
    }
}

fn entry_connection(engine: &Engine, id: SessionId) -> Option<Ccid> {
    engine.sessions.get(&id)?.connection
}
