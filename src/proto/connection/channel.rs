//! Reliable delivery of control messages over one control connection (RFC 3931 4.2 and appendix A): sequence
//! numbers, the send queue with slow start and congestion avoidance, the bounded queue of messages that came too
//! early. Knows no time: the connection arms its timers by what is in flight here.

use std::collections::VecDeque;
use std::time::Duration;

use crate::saved::saved;
use crate::wire::MessageType;

/// The window assumed of a peer that sent no Receive Window Size AVP (RFC 3931 5.4.3).
pub const DEFAULT_WINDOW: u16 = 4;

/// The most messages that may wait for the window, beside those of the sessions; a peer that lets more pile up does not
/// answer any more.
const MAX_QUEUE: usize = 4096;

/// Messages of each session that may wait: all may be told something at once (a CDN), and asked again.
const OF_SESSION: usize = 2;

/// The Ns of what waits must differ from those of what is old.
const MOST: usize = 0x7fff;

/// With so many messages queued, or the peer's window full, more need not be thought of yet.
const ENOUGH: usize = 64;

/// A message that waits to be sent or to be acknowledged.
#[derive(Debug, Clone)]
struct Pending {
    message: Vec<u8>,
    message_type: MessageType,
    /// Set at the first transmission and kept for all others (RFC 3931 4.2).
    ns: u16,
    transmissions: u32,
    /// Sent again out of turn; these do not count towards the limit.
    repeats: u32,
}
saved!(Pending { message, message_type, ns, transmissions, repeats });

impl Pending {
    fn transmission(&self) -> Transmission<'_> {
        let Pending { message, message_type, ns, transmissions, repeats } = self;
        let count = transmissions.saturating_add(*repeats);
        Transmission { message, message_type: *message_type, ns: *ns, count }
    }
}

/// A message that is to be transmitted now; the caller stamps Nr, signs and sends it.
#[derive(Debug)]
pub struct Transmission<'a> {
    /// As encoded: ids, numbers and digest are filled in by the caller.
    pub message: &'a [u8],
    /// Its type.
    pub message_type: MessageType,
    /// Its Ns.
    pub ns: u16,
    /// Which transmission this is, from 1.
    pub count: u32,
}

/// What an Nr means (RFC 3931 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acknowledgement {
    /// This many messages are acknowledged by it; 0 if none that was not before.
    Acknowledges(usize),
    /// It acknowledges what another program has sent, before this one began: the numbers go on from there.
    Follows,
    /// It acknowledges what was never sent: the message is invalid.
    Invalid,
}

/// Where an Ns stands (RFC 3931 4.2: the 32768 values up to the last received one are old).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The one expected: to be processed.
    Next,
    /// Received before: acknowledge, do not process.
    Old,
    /// This many ahead of the expected one.
    Ahead(u16),
}

/// The program before this one may have sent and received so many messages more than this one knows of.
const UNKNOWN: u16 = 8192;

saved! {
    /// When to send again, and how often.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct Retry {
        /// Retransmissions before the connection counts as lost.
        pub limit: u32,
        /// The first retransmission interval.
        pub interval: Duration,
        /// The longest one.
        pub interval_max: Duration,
    }

    /// One end of a control connection's message stream.
    #[derive(Debug, Default)]
    pub struct Channel {
        /// Retransmission settings; may change at any time.
        pub retry: Retry,
        next_ns: u16,
        nr: u16,
        queue: VecDeque<Pending>,
        in_flight: usize,
        /// What was sent before this Ns was sent before the oldest had to be sent again.
        recovery: Option<u16>,
        peer_window: u16,
        congestion_window: u16,
        threshold: u16,
        /// Acknowledgements counted towards the next step of congestion avoidance.
        avoidance: u16,
        early: VecDeque<(u16, Vec<u8>)>,
        receive_window: u16,
        rto: Duration,
        acknowledge: bool,
        /// How many may be queued.
        most: usize,
        /// Before this Ns the program before this one may have sent messages.
        sent_before: Option<u16>,
        /// It may have received more than `nr` tells.
        received_before: bool,
        /// Nothing but HELLOs leaves yet.
        held: bool,
    }
}

impl Channel {
    /// A channel that has sent and received nothing. `receive_window` bounds what is kept of early messages.
    pub fn new(retry: Retry, receive_window: u16) -> Channel {
        Channel {
            retry,
            peer_window: DEFAULT_WINDOW,
            congestion_window: 1,
            threshold: DEFAULT_WINDOW,
            receive_window,
            rto: retry.interval,
            most: MAX_QUEUE,
            ..Channel::default()
        }
    }

    /// A channel that goes on where another program stopped: at these numbers, or somewhat after them. What we send before
    /// the peer has told where it stands is a repetition to it, which it acknowledges (RFC 3931 4.2): that tells Ns. Which
    /// of its messages it has not seen acknowledged it shows by sending that again: the first one tells Nr. Until then it
    /// sees an old Nr, which means nothing.
    pub fn go_on(&mut self, ns: u16, nr: u16) {
        (self.next_ns, self.nr) = (ns, nr);
        self.sent_before = Some(ns.wrapping_add(UNKNOWN));
        self.received_before = true;
    }

    /// Ns of the oldest message that is not acknowledged, or of the next one.
    pub fn unacknowledged(&self) -> u16 {
        self.oldest().unwrap_or(self.next_ns)
    }

    /// Ns of the oldest message in flight.
    fn oldest(&self) -> Option<u16> {
        self.queue.front().filter(|_| self.in_flight > 0).map(|pending| pending.ns)
    }

    /// Ns of the next message that will be sent for the first time; acknowledgements carry it without using it up.
    pub fn ns(&self) -> u16 {
        self.next_ns
    }

    /// Nr: the Ns expected next.
    pub fn nr(&self) -> u16 {
        self.nr
    }

    /// The peer's Receive Window Size, in messages.
    pub fn peer_window(&self) -> u16 {
        self.peer_window
    }

    /// Takes the peer's Receive Window Size; the congestion window never exceeds it (appendix A).
    pub fn set_peer_window(&mut self, window: u16) {
        self.peer_window = window.max(1);
        self.threshold = self.peer_window;
        self.congestion_window = self.congestion_window.min(self.peer_window);
    }

    /// The connection has so many sessions; those that it had may still have to be told that they end.
    pub fn make_room(&mut self, sessions: usize) {
        let most = MAX_QUEUE.saturating_add(sessions.saturating_mul(OF_SESSION)).min(MOST);
        self.most = self.most.max(most);
    }

    /// Whether so few messages are queued that one more keeps none waiting for long.
    pub fn has_room(&self) -> bool {
        self.queue.len() < usize::from(self.peer_window).max(ENOUGH)
    }

    /// Messages that are sent and not acknowledged, or wait for the window.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Whether the peer has acknowledged everything.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether a message of this type is not acknowledged yet.
    pub fn has(&self, message_type: MessageType) -> bool {
        self.queue.iter().any(|pending| pending.message_type == message_type)
    }

    /// Whether a message is in flight, so that the retransmission timer must run.
    pub fn awaits_acknowledgement(&self) -> bool {
        self.in_flight > 0
    }

    /// How long to wait for the acknowledgement of the oldest message in flight.
    pub fn rto(&self) -> Duration {
        self.rto
    }

    /// The intervals between retransmissions begin anew with the first.
    pub fn restart_rto(&mut self) {
        self.rto = self.retry.interval;
    }

    /// The Ns that the message queued next will have.
    pub fn next_pushed(&self) -> u16 {
        let unsent = self.queue.len().saturating_sub(self.in_flight);
        self.next_ns.wrapping_add(u16::try_from(unsent).unwrap_or(u16::MAX)) // there are at most MOST
    }

    /// Whether the message of this Ns, which was queued, is not acknowledged yet.
    pub fn holds(&self, ns: u16) -> bool {
        let end = self.next_pushed();
        (1..=self.queue.len()).contains(&usize::from(end.wrapping_sub(ns)))
    }

    /// Queues an encoded message. `false`: the queue is full.
    pub fn push(&mut self, message_type: MessageType, message: Vec<u8>) -> bool {
        if self.queue.len() >= self.most {
            return false;
        }
        self.queue.push_back(Pending { message, message_type, ns: 0, transmissions: 0, repeats: 0 });
        true
    }

    /// Lets nothing but HELLOs leave, or everything again.
    pub fn hold(&mut self, held: bool) {
        self.held = held;
    }

    /// Forgets the messages that were never sent: a StopCCN makes them pointless.
    pub fn drop_unsent(&mut self) {
        self.queue.truncate(self.in_flight);
    }

    /// Forgets everything: the connection only acknowledges from here on.
    pub fn drop_all(&mut self) {
        self.queue.clear();
        self.in_flight = 0;
    }

    /// Lets the next message pass whatever the congestion window says (not the peer's window): a StopCCN.
    pub fn open_for_one(&mut self) {
        let wanted = u16::try_from(self.in_flight.saturating_add(1)).unwrap_or(u16::MAX);
        self.congestion_window = self.congestion_window.max(wanted).min(self.peer_window);
    }

    /// The next message that the windows let pass, for its first transmission.
    pub fn next_transmission(&mut self) -> Option<Transmission<'_>> {
        let window = usize::from(self.congestion_window.min(self.peer_window));
        if self.in_flight >= window {
            return None;
        }
        let pending = self.queue.get_mut(self.in_flight)?;
        if self.held && pending.message_type != MessageType::HELLO {
            return None;
        }
        pending.ns = self.next_ns;
        pending.transmissions = 1;
        self.next_ns = self.next_ns.wrapping_add(1);
        self.in_flight = self.in_flight.saturating_add(1);
        self.acknowledge = false;
        Some(pending.transmission())
    }

    /// The oldest message in flight, to be sent again because its interval is over; `None` when its retransmissions
    /// are used up (or nothing is in flight). Only the oldest is repeated: the window is 1 from here on.
    pub fn retransmission(&mut self) -> Option<Transmission<'_>> {
        if self.in_flight == 0 {
            return None;
        }
        let limit = self.retry.limit;
        // RFC 3931 appendix A: half the window becomes the threshold, and slow start begins again.
        self.threshold = (self.congestion_window / 2).max(1);
        self.congestion_window = 1;
        self.avoidance = 0;
        self.recovery = Some(self.next_ns);
        self.rto = self.rto.saturating_mul(2).min(self.retry.interval_max.max(self.retry.interval));
        let pending = self.queue.front_mut()?;
        if pending.transmissions > limit {
            return None;
        }
        pending.transmissions = pending.transmissions.saturating_add(1);
        self.acknowledge = false;
        Some(pending.transmission())
    }

    /// The oldest message in flight once more, because the peer shows that it has not got it (a repeated SCCRQ);
    /// neither timer, windows nor the retransmissions that are left change.
    pub fn repeat_oldest(&mut self) -> Option<Transmission<'_>> {
        let pending = self.queue.front_mut().filter(|_| self.in_flight > 0)?;
        pending.repeats = pending.repeats.saturating_add(1);
        self.acknowledge = false;
        Some(pending.transmission())
    }

    /// Whether the oldest message in flight had to be sent again: the next time may be far off.
    pub fn is_backing_off(&self) -> bool {
        self.in_flight > 0 && self.queue.front().is_some_and(|pending| pending.transmissions > 1)
    }

    /// Whether the oldest message in flight is lost, too: it left before one that had to be sent again, and that is
    /// acknowledged now (RFC 6582 3.2: a partial acknowledgement).
    pub fn has_lost_more(&mut self) -> bool {
        let oldest = self.oldest();
        self.recovery = self.recovery.filter(|end| oldest.is_some_and(|ns| ns.wrapping_sub(*end) >= 0x8000));
        self.recovery.is_some()
    }

    /// Whether a received Nr acknowledges what nothing has acknowledged yet. Changes nothing.
    pub fn would_release(&self, nr: u16) -> bool {
        self.oldest()
            .is_some_and(|oldest| (1..=self.in_flight).contains(&usize::from(nr.wrapping_sub(oldest))))
    }

    /// Whether a received Nr acknowledges what the program before this one has sent, and this one does not know of.
    fn is_ahead(&self, nr: u16) -> bool {
        let left = self.sent_before.map(|end| end.wrapping_sub(self.next_ns)).filter(|left| *left <= UNKNOWN);
        left.is_some_and(|left| (1..=left).contains(&nr.wrapping_sub(self.next_ns)))
    }

    /// Goes on from a number that the program before this one had come to. What is in flight was a repetition to the
    /// peer, and leaves again under a new number; a HELLO has asked enough.
    fn follow(&mut self, nr: u16) {
        self.queue.retain(|pending| pending.message_type != MessageType::HELLO);
        (self.in_flight, self.next_ns, self.recovery) = (0, nr, None);
        self.restart_rto();
    }

    /// Takes a received Nr: releases what it acknowledges and opens the congestion window.
    pub fn acknowledged(&mut self, nr: u16) -> Acknowledgement {
        if self.is_ahead(nr) {
            self.follow(nr);
            return Acknowledgement::Follows;
        }
        let Some(oldest) = self.oldest() else {
            // Nothing in flight: anything up to our next Ns is an old acknowledgement, the rest was never sent.
            return match self.next_ns.wrapping_sub(nr) {
                0..=0x7fff => Acknowledgement::Acknowledges(0),
                _ => Acknowledgement::Invalid,
            };
        };
        let count = usize::from(nr.wrapping_sub(oldest));
        if count > self.in_flight {
            return if count >= 0x8000 { Acknowledgement::Acknowledges(0) } else { Acknowledgement::Invalid };
        }
        self.queue.drain(..count);
        if self.queue.is_empty() {
            self.queue = VecDeque::new(); // most of the time there is nothing in it
        }
        self.in_flight = self.in_flight.saturating_sub(count);
        if count > 0 {
            self.restart_rto();
        }
        for _ in 0..count {
            self.open_window();
        }
        Acknowledgement::Acknowledges(count)
    }

    /// RFC 3931 appendix A: slow start up to the threshold, then one more for each full window.
    fn open_window(&mut self) {
        if self.congestion_window >= self.peer_window {
            return;
        }
        if self.congestion_window < self.threshold {
            self.congestion_window = self.congestion_window.saturating_add(1);
            return;
        }
        self.avoidance = self.avoidance.saturating_add(1);
        if self.avoidance >= self.congestion_window {
            self.avoidance = 0;
            self.congestion_window = self.congestion_window.saturating_add(1);
        }
    }

    /// Where `ns` stands. Changes nothing.
    pub fn order(&self, ns: u16) -> Order {
        match ns.wrapping_sub(self.nr) {
            0 => Order::Next,
            ahead @ 1..=0x7fff => Order::Ahead(ahead),
            _ => Order::Old,
        }
    }

    /// The first message since this program goes on in place of another one decides which is expected.
    pub fn find_order(&mut self, ns: u16) {
        if self.received_before && ns.wrapping_sub(self.nr) <= UNKNOWN {
            (self.nr, self.received_before) = (ns, false);
        }
    }

    /// The expected message was received: the next one is expected, and an acknowledgement is due.
    pub fn advance(&mut self) {
        self.nr = self.nr.wrapping_add(1);
        self.acknowledge = true;
    }

    /// The peer's first message was received. Its Ns should be 0 (RFC 3931 4.2); a peer that begins elsewhere is
    /// followed, or it would never see its message acknowledged.
    pub fn begin(&mut self, ns: u16) {
        self.nr = ns;
        self.advance();
    }

    /// Our first message has left already, unnumbered by this channel, and was acknowledged.
    pub fn skip_first(&mut self) {
        self.next_ns = 1;
        self.acknowledge = false;
    }

    /// An acknowledgement is due although nothing new was received (a duplicate, an early message).
    pub fn acknowledge_again(&mut self) {
        self.acknowledge = true;
    }

    /// Whether an acknowledgement is due that no message has carried yet.
    pub fn acknowledgement_due(&self) -> bool {
        self.acknowledge
    }

    /// The acknowledgement was sent on its own.
    pub fn acknowledgement_sent(&mut self) {
        self.acknowledge = false;
    }

    /// Keeps a message that came too early, if it is within our window; one of each Ns.
    pub fn keep_early(&mut self, ns: u16, message: &[u8]) {
        let ahead = ns.wrapping_sub(self.nr);
        let full = self.early.len() >= usize::from(self.receive_window);
        if ahead == 0 || ahead >= self.receive_window || full || self.early.iter().any(|(n, _)| *n == ns) {
            return;
        }
        self.early.push_back((ns, message.to_vec()));
    }

    /// The message that is expected now, if it came earlier. Entries that are old by now are dropped.
    pub fn take_early(&mut self) -> Option<Vec<u8>> {
        let expected = self.nr;
        self.early.retain(|(ns, _)| ns.wrapping_sub(expected) < 0x8000);
        let at = self.early.iter().position(|(ns, _)| *ns == expected)?;
        self.early.remove(at).map(|(_, message)| message)
    }
}

#[cfg(test)]
mod tests;
