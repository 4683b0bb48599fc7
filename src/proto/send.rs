//! Sending: encoding, signing at each transmission, retransmission, acknowledgements.

use std::time::Instant;

use super::action::{Action, Path};
use super::auth::Auth;
use super::channel::Channel;
use super::connection::Sealed;
use super::{Engine, Timer};
use crate::log::Event;
use crate::wire::message::{encode, encode_zlb, Dialect, EncodeOptions, Hide};
use crate::wire::{header, Ccid, Message, MessageType};

impl Engine {
    /// Encodes a message for a connection with these settings. When it cannot be built (a value is too long, or
    /// there is no randomness to hide with) that is logged.
    fn build(&mut self, message: &Message, auth: &Auth, dialect: Dialect, hidden: bool) -> Option<Vec<u8>> {
        let random_vector = match hidden && auth.hiding_secret().is_some() && has_hideable(message) {
            false => None,
            true => match self.random::<16>() {
                Some(vector) => Some(vector),
                None => {
                    self.log_detail(Event::NewPacketFailed {}, "no random octets to hide AVPs with");
                    return None;
                }
            },
        };
        let hide = match (&random_vector, auth.hiding_secret()) {
            (Some(random_vector), Some(secret)) => Some(Hide { secret, random_vector }),
            (None, _) | (_, None) => None,
        };
        match encode(message, &EncodeOptions { digest: auth.signs(), hide, dialect }) {
            Ok(octets) => Some(octets),
            Err(error) => {
                let detail = format!(
                    "{}: {} octets do not fit into one {}",
                    error.name,
                    error.length,
                    message.message_type()
                );
                self.log_detail(Event::NewPacketFailed {}, detail);
                None
            }
        }
    }

    /// Queues a message on a connection and sends what the windows let pass. `false`: it could not be built, or
    /// the queue is full; the caller gives up what it belongs to.
    pub(super) fn enqueue(&mut self, now: Instant, ccid: Ccid, message: &Message) -> bool {
        let Some(connection) = self.connections.get(&ccid) else { return false };
        let (auth, dialect, hidden) = (connection.auth.clone(), connection.dialect, connection.hidden);
        let Some(octets) = self.build(message, &auth, dialect, hidden) else { return false };
        let Some(connection) = self.connections.get_mut(&ccid) else { return false };
        if !connection.channel.push(message.message_type(), octets) {
            return false;
        }
        if matches!(message, Message::StopCcn(_)) {
            connection.channel.open_for_one();
        }
        connection.reply_pending = false;
        self.flush(now, ccid);
        true
    }

    /// Transmits what the windows let pass, and keeps the retransmission timer running while anything is in flight.
    pub(super) fn flush(&mut self, now: Instant, ccid: Ccid) {
        while let Some(connection) = self.connections.get_mut(&ccid) {
            let Some(next) = connection.seal(Channel::next_transmission) else { break };
            self.transmit(ccid, next);
        }
        self.watch_acknowledgement(now, ccid);
    }

    fn transmit(&mut self, ccid: Ccid, sealed: Sealed) {
        let Sealed { path, message, message_type, count } = sealed;
        self.log(Event::SendControlPacket { tunnel: ccid, count, message: message_type });
        self.actions.push_back(Action::Transmit { path, message });
        self.count(ccid, |c| {
            c.tx_messages = c.tx_messages.saturating_add(1);
            c.tx_retransmissions = c.tx_retransmissions.saturating_add(u64::from(count > 1));
        });
    }

    /// Counts something for the tunnel of a connection.
    pub(super) fn count(&mut self, ccid: Ccid, add: impl FnOnce(&mut super::snapshot::ControlCounters)) {
        let Some(key) = self.connections.get(&ccid).map(|c| c.tunnel) else { return };
        if let Some(tunnel) = self.tunnels.get_mut(&key) {
            add(&mut tunnel.counters);
        }
    }

    /// Arms or stops the retransmission timer according to what is in flight.
    pub(super) fn watch_acknowledgement(&mut self, now: Instant, ccid: Ccid) {
        let Some(connection) = self.connections.get_mut(&ccid) else { return };
        match (connection.channel.awaits_acknowledgement(), connection.timers.retransmit) {
            (true, None) => {
                let at = later(now, connection.channel.gap());
                connection.timers.retransmit = Some(self.wheel.arm(at, Timer::Retransmit(ccid)));
            }
            (false, Some(timer)) => {
                connection.timers.retransmit = None;
                self.wheel.cancel(timer);
            }
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// Something was acknowledged: the timer starts anew for what is the oldest now.
    pub(super) fn restart_retransmission(&mut self, now: Instant, ccid: Ccid) {
        if let Some(timer) = self.connections.get_mut(&ccid).and_then(|c| c.timers.retransmit.take()) {
            self.wheel.cancel(timer);
        }
        self.watch_acknowledgement(now, ccid);
    }

    /// The oldest message in flight was not acknowledged in time.
    pub(super) fn retransmit(&mut self, now: Instant, ccid: Ccid) {
        let Some(connection) = self.connections.get_mut(&ccid) else { return };
        connection.timers.retransmit = None;
        // C-055, C-056: the same Ns, the current Nr, and so another digest.
        let Some(again) = connection.seal(Channel::retransmission) else {
            if connection.channel.awaits_acknowledgement() {
                self.retries_used_up(now, ccid);
            }
            return;
        };
        self.transmit(ccid, again);
        self.watch_acknowledgement(now, ccid);
    }

    /// Sends the oldest message in flight once more, out of turn.
    pub(super) fn repeat_oldest(&mut self, ccid: Ccid) {
        let Some(connection) = self.connections.get_mut(&ccid) else { return };
        if let Some(again) = connection.seal(Channel::repeat_oldest) {
            self.transmit(ccid, again);
        }
    }

    /// Acknowledges on its own what no message has acknowledged. Where a reply is being prepared it waits for that
    /// a little, so that the reply can carry it (RFC 3931 4.2 allows it; C-047).
    pub(super) fn acknowledge(&mut self, now: Instant, ccid: Ccid) {
        let Some(connection) = self.connections.get_mut(&ccid) else { return };
        if !connection.channel.acknowledgement_due() {
            return;
        }
        if connection.reply_pending {
            if connection.timers.acknowledge.is_none() {
                let timer = self.wheel.arm(later(now, super::ACKNOWLEDGE_DELAY), Timer::Acknowledge(ccid));
                connection.timers.acknowledge = Some(timer);
            }
            return;
        }
        self.send_acknowledgement(ccid);
    }

    /// The reply that was to carry an acknowledgement did not come in time.
    pub(super) fn acknowledge_due(&mut self, _now: Instant, ccid: Ccid) {
        let Some(connection) = self.connections.get_mut(&ccid) else { return };
        connection.timers.acknowledge = None;
        if connection.channel.acknowledgement_due() {
            self.send_acknowledgement(ccid);
        }
    }

    /// RFC 3931 6.15: an ACK message where there are digests, else a ZLB (which peers of the draft era need: they
    /// count an ACK message as one that takes an Ns). Neither takes one, neither is acknowledged or repeated.
    fn send_acknowledgement(&mut self, ccid: Ccid) {
        let Some(connection) = self.connections.get(&ccid) else { return };
        if connection.remote_ccid == Ccid(0) {
            return;
        }
        let (auth, dialect) = (connection.auth.clone(), connection.dialect);
        let octets = match auth.signs() {
            true => self.build(&Message::Ack, &auth, dialect, false),
            false => Some(encode_zlb()),
        };
        let (Some(mut octets), Some(connection)) = (octets, self.connections.get_mut(&ccid)) else { return };
        header::stamp(&mut octets, connection.remote_ccid, connection.channel.ns(), connection.channel.nr());
        connection.auth.sign(MessageType::ACK, &mut octets);
        connection.channel.acknowledgement_sent();
        let path = connection.path;
        if let Some(timer) = connection.timers.acknowledge.take() {
            self.wheel.cancel(timer);
        }
        self.log(Event::Send { tunnel: ccid, message: MessageType::ACK });
        self.actions.push_back(Action::Transmit { path, message: octets });
        self.count(ccid, |c| c.tx_acks = c.tx_acks.saturating_add(1));
    }

    /// Sends a message that no connection keeps: a StopCCN that refuses an SCCRQ (the peer repeats the SCCRQ if
    /// this is lost, and gets it again), or one for an SCCRQ of ours that was never answered.
    pub(super) fn send_once(
        &mut self,
        path: Path,
        to: Ccid,
        (ns, nr): (u16, u16),
        auth: &Auth,
        message: &Message,
    ) {
        let Some(mut octets) = self.build(message, auth, Dialect::IETF, false) else { return };
        header::stamp(&mut octets, to, ns, nr);
        auth.sign(message.message_type(), &mut octets);
        self.actions.push_back(Action::Transmit { path, message: octets });
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

/// `now` plus `delay`, or `now` where that is beyond what a clock can show.
pub(super) fn later(now: Instant, delay: std::time::Duration) -> Instant {
    now.checked_add(delay).unwrap_or(now)
}
