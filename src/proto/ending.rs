//! Control connections end: by a StopCCN of either side, because the peer does not answer, or because another
//! connection takes their place (RFC 3931 3.3.2, 4.2).

use std::time::Instant;

use super::action::Happening;
use super::connection::State;
use super::send::later;
use super::snapshot::Failure;
use super::{Engine, Timer};
use crate::log::{escape, Event};
use crate::wire::code::{self, stopccn};
use crate::wire::message::{ResultCode, StopCcn};
use crate::wire::{Ccid, Message, MessageType};

impl Engine {
    /// A connection of the same tunnel gives way to one that has just been established. The peer does not know an
    /// old established one any more (it came back with a new id), so nothing is sent.
    pub(super) fn replace(&mut self, now: Instant, ccid: Ccid) {
        let Some(connection) = self.connections.get(&ccid) else { return };
        match connection.state {
            State::Established => {
                self.clear_sessions(now, ccid, "the peer has set up a new control connection");
                self.delete(ccid);
            }
            State::WaitCtlReply => self.linger(now, ccid),
            State::Idle | State::WaitCtlConn => self.delete(ccid),
            State::Stopping | State::Linger => {}
        }
    }

    /// The peer answers an SCCRQ that was given up meanwhile: it must not wait for the SCCCN (C-100).
    pub(super) fn decline_reply(&mut self, now: Instant, ccid: Ccid, assigned: Ccid) {
        let Some(connection) = self.connections.get_mut(&ccid) else { return };
        connection.remote_ccid = assigned;
        let message = Message::StopCcn(StopCcn {
            result: Some(result(stopccn::EXISTS, None, "given up for another control connection")),
            assigned_ccid: Some(ccid),
        });
        if let Some(timer) = connection.timers.guard.take() {
            self.wheel.cancel(timer);
        }
        self.enter(now, ccid, State::Stopping);
        self.log(Event::SendState { message: MessageType::STOPCCN, state: State::Stopping.log_name() });
        if !self.enqueue(now, ccid, &message) {
            self.delete(ccid);
        }
    }

    /// Nothing is sent any more but acknowledgements of what the peer repeats, until the linger time is over (C-062).
    pub(super) fn linger(&mut self, now: Instant, ccid: Ccid) {
        self.clean_up(ccid);
        self.enter(now, ccid, State::Linger);
        self.stop_timers(ccid);
        let Some(connection) = self.connections.get_mut(&ccid) else { return };
        connection.channel.drop_all();
        connection.timers.guard = Some(self.wheel.arm(later(now, connection.linger), Timer::Guard(ccid)));
        self.leave_service(ccid);
    }

    /// Says, once, that a connection is out of service; lingering and deletion come after that.
    fn clean_up(&mut self, ccid: Ccid) {
        let Some(connection) = self.connections.get_mut(&ccid) else { return };
        if !std::mem::replace(&mut connection.cleaned_up, true) {
            let name = connection.name.clone();
            self.log(Event::CleanupTunnel { tunnel: ccid, name });
        }
    }

    /// The connection does not serve its tunnel any more.
    pub(super) fn leave_service(&mut self, ccid: Ccid) {
        let Some(key) = self.connections.get(&ccid).map(|c| c.tunnel) else { return };
        if let Some(tunnel) = self.tunnels.get_mut(&key) {
            if tunnel.main == Some(ccid) {
                tunnel.main = None;
            }
        }
    }

    fn stop_timers(&mut self, ccid: Ccid) {
        let Some(connection) = self.connections.get_mut(&ccid) else { return };
        let timers = std::mem::take(&mut connection.timers);
        for timer in [timers.retransmit, timers.hello, timers.acknowledge, timers.guard].into_iter().flatten()
        {
            self.wheel.cancel(timer);
        }
    }

    /// Frees a connection (its id may be used again).
    pub(super) fn delete(&mut self, ccid: Ccid) {
        self.clean_up(ccid);
        self.stop_timers(ccid);
        self.leave_service(ccid);
        let Some(connection) = self.connections.remove(&ccid) else { return };
        if connection.state == State::WaitCtlConn {
            self.half_open = self.half_open.saturating_sub(1);
        }
        if let Some(tunnel) = self.tunnels.get_mut(&connection.tunnel) {
            tunnel.members.retain(|m| *m != ccid);
        }
        self.log(Event::DeleteTunnel { tunnel: ccid });
    }

    /// Ends a connection with a StopCCN (C-102): its sessions are cleared silently (C-107), it answers until the
    /// StopCCN is acknowledged or its retransmissions are used up (C-061).
    pub(super) fn close(&mut self, now: Instant, ccid: Ccid, code: ResultCode) {
        let Some(connection) = self.connections.get(&ccid) else { return };
        let (state, key) = (connection.state, connection.tunnel);
        let reason = format!("we closed it: {}", code::stopccn_text(code.result));
        match state {
            State::Stopping | State::Linger => return,
            State::Established => {
                self.clear_sessions(now, ccid, &reason);
                self.notify_tunnel(key, Happening::TunnelDown, reason);
            }
            State::Idle | State::WaitCtlReply | State::WaitCtlConn => {}
        }
        self.log(Event::SendState { message: MessageType::STOPCCN, state: State::Stopping.log_name() });
        let message = Message::StopCcn(StopCcn { result: Some(code), assigned_ccid: Some(ccid) });
        let Some(connection) = self.connections.get_mut(&ccid) else { return };
        if connection.remote_ccid == Ccid(0) {
            // C-105: no SCCRP yet. The peer finds it by our id in the message; nobody could acknowledge it.
            let (path, auth, numbers) =
                (connection.path, connection.auth.clone(), (connection.channel.ns(), 0));
            self.log(Event::SendControlPacket { tunnel: ccid, count: 1, message: MessageType::STOPCCN });
            self.send_once(path, Ccid(0), numbers, &auth, &message);
            return self.delete(ccid);
        }
        connection.channel.drop_unsent();
        for timer in [connection.timers.hello.take(), connection.timers.guard.take()].into_iter().flatten() {
            self.wheel.cancel(timer);
        }
        self.enter(now, ccid, State::Stopping);
        self.leave_service(ccid);
        if !self.enqueue(now, ccid, &message) {
            self.delete(ccid);
        }
    }

    /// Any state and StopCCN (C-103, C-127): acknowledge, clear the sessions silently, linger.
    pub(super) fn peer_stopped(&mut self, now: Instant, ccid: Ccid, stop: &StopCcn) {
        let Some(connection) = self.connections.get_mut(&ccid) else { return };
        let (state, key) = (connection.state, connection.tunnel);
        if let (Ccid(0), Some(assigned)) = (connection.remote_ccid, stop.assigned_ccid) {
            connection.remote_ccid = assigned; // to acknowledge it there
        }
        let reason = self.peer_result(ccid, stop.result.as_ref(), code::stopccn_in_range, code::stopccn_text);
        let lost_tie =
            state != State::Established && stop.result.as_ref().is_some_and(|r| r.result == stopccn::EXISTS);
        self.log(Event::ReceiveState { message: MessageType::STOPCCN, state: State::Linger.log_name() });
        match state {
            State::Linger => return,
            State::Stopping => {}
            State::Established => {
                self.clear_sessions(now, ccid, &reason);
                self.notify_tunnel(key, Happening::TunnelDown, reason.clone());
            }
            // A tie was lost: the peer's own attempt goes on.
            State::Idle | State::WaitCtlReply | State::WaitCtlConn if lost_tie => {}
            State::Idle | State::WaitCtlReply | State::WaitCtlConn => {
                self.fail_connection(now, ccid, Failure::new(reason.clone(), ""));
            }
        }
        if state == State::Established || lost_tie {
            self.note_failure(now, key, Failure::new(reason, ""));
        }
        self.linger(now, ccid);
        self.schedule_unless_served(now, key);
    }

    /// A result code of the peer in words; one out of range is logged and otherwise ignored (C-303).
    pub(super) fn peer_result(
        &mut self,
        ccid: Ccid,
        code: Option<&ResultCode>,
        in_range: fn(u16, u16) -> bool,
        text: fn(u16) -> &'static str,
    ) -> String {
        let Some(code) = code else { return "the peer closed it without a result code".to_owned() };
        let error = code.error.unwrap_or(0);
        if !in_range(code.result, error) {
            self.log(Event::ResultCodeOutOfRange { tunnel: ccid, result: code.result, error });
        }
        let mut reason = format!("the peer closed it: result {} ({})", code.result, text(code.result));
        if error != 0 {
            reason.push_str(&format!(", error {error} ({})", code::error_text(error)));
        }
        if let Some(message) = code.message.as_deref().filter(|m| !m.is_empty()) {
            reason.push_str(&format!(", \"{}\"", escape(message)));
        }
        reason
    }

    /// A message was not acknowledged although it was sent as often as `retry` allows (C-057).
    pub(super) fn retries_used_up(&mut self, now: Instant, ccid: Ccid) {
        let Some(connection) = self.connections.get(&ccid) else { return };
        if connection.state == State::Stopping {
            return self.delete(ccid);
        }
        self.log(Event::ControlSendFailedTunnel { tunnel: ccid });
        self.log(Event::ControlSendFailed {});
        self.count(ccid, |c| c.lost = c.lost.saturating_add(1));
        self.lose(now, ccid, Failure::new("the peer does not answer", "M-015"));
    }

    /// Clears a connection without a word to the peer, which cannot be reached (C-059), and tries again later.
    pub(super) fn lose(&mut self, now: Instant, ccid: Ccid, failure: Failure) {
        let Some(connection) = self.connections.get(&ccid) else { return };
        let (key, state) = (connection.tunnel, connection.state);
        let reason = failure.to_string();
        if state == State::Established {
            self.clear_sessions(now, ccid, &reason);
            self.notify_tunnel(key, Happening::TunnelDown, reason);
            if let Some(tunnel) = self.tunnels.get_mut(&key) {
                tunnel.attempt.failure = Some((failure, now));
            }
        } else {
            self.fail_connection(now, ccid, failure);
        }
        self.delete(ccid);
        self.schedule_unless_served(now, key);
    }
}

/// A Result Code of ours, with a text for the administrator at the other end.
pub(super) fn result(result: u16, error: Option<u16>, text: &str) -> ResultCode {
    // An Error Message needs an Error Code before it; 0 is "no general error".
    let message = (!text.is_empty()).then(|| text.as_bytes().to_vec());
    let error = error.or(message.as_ref().map(|_| 0));
    ResultCode { result, error, message }
}
