//! How the messages of one connection leave: encoded, numbered, signed at each transmission, repeated until they are
//! acknowledged; and how what the peer sent is acknowledged (RFC 3931 4.2, 4.3).

pub mod asking;

use super::allowance::Allowance;
use super::auth::Auth;
use super::channel::{Acknowledgement, Channel, Order, Retry, Transmission};
use super::outcome::{Receipt, Retransmission};
use super::outgoing::build;
use super::path_probe::PathProbe;
use super::ping::Pinging;
use super::round_trip::RoundTrip;
use crate::config::model::{Compatibility, RetryInterval, TunnelConfig};
use crate::log::Event;
use crate::proto::action::{Action, Path, Received};
use crate::proto::context::{ConnectionDue, Context, Due, Timer, TunnelKey};
use crate::proto::snapshot::{count, ControlCounters};
use crate::saved::saved;
use crate::wheel::TimerId;
use crate::wire::avp::MessageTypeAvp;
use crate::wire::message::{encode_zlb, pad, Dialect};
use crate::wire::{header, Ccid, Message, MessageType};

use std::time::{Duration, Instant};

/// How long an acknowledgement waits for a reply that can carry it; far below any peer's retransmission (C-047).
const ACKNOWLEDGE_DELAY: Duration = Duration::from_millis(20);

/// How long a peer that seems to have forgotten us, or an address beside others, has for an acknowledgement. By default
/// what it is asked with leaves at 0, 1 and 3 s.
const SOON: Duration = Duration::from_secs(7);

/// What waits for an acknowledgement must have it by a certain time, however many retransmissions are left.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    /// After this the peer counts as gone.
    pub by: Instant,
    /// The longest interval until then.
    pub longest: Duration,
    /// The peer is only suspected since then: whatever is heard of it clears it.
    pub suspected: Option<Instant>,
}
saved!(Deadline { by, longest, suspected });

impl Deadline {
    /// The time until the next retransmission, where it would have been this one.
    pub fn shorten(self, now: Instant, wait: Duration) -> Duration {
        wait.min(self.longest).min(self.by.saturating_duration_since(now))
    }
}

saved! {
    /// The sending side of a connection.
    #[derive(Debug)]
    pub struct Transport {
        /// The tunnel, for timers.
        key: TunnelKey,
        /// Our Control Connection ID.
        pub ccid: Ccid,
        /// The peer's id; 0 until it is known.
        pub remote_ccid: Ccid,
        /// Where messages go.
        pub path: Path,
        /// Where the peer may be instead: the next answer tells.
        pub candidate: Option<Box<Path>>,
        /// When it was taken for that.
        looked: Option<Instant>,
        /// TTL of the packets that carry them.
        pub ttl: u8,
        /// Ns, Nr, windows, what is not acknowledged yet.
        pub channel: Channel,
        /// Secrets and nonces (RFC 3931 4.3).
        pub auth: Auth,
        /// Whether we write IETF's AVPs, Cisco's or both.
        pub dialect: Dialect,
        /// Hide what may be hidden.
        pub hidden: bool,
        /// What may still be sent to a peer that has not shown yet that it is where its SCCRQ says.
        pub allowance: Allowance,
        /// A reply is being prepared and will carry the acknowledgement.
        pub reply_pending: bool,
        /// How long the peer takes to acknowledge.
        pub round_trip: RoundTrip,
        /// The first interval between transmissions follows that.
        follows_round_trip: bool,
        /// What waits for an acknowledgement must have it soon.
        deadline: Option<Deadline>,
        /// When a message was sent last.
        pub sent: Option<Instant>,
        /// A HELLO that the administrator wants to hear of.
        pub ping: Pinging,
        /// Probes of the path, where they are wanted.
        pub path_probe: Option<Box<PathProbe>>,
        /// When the oldest message in flight is sent again, as far as `retry` counts that.
        counted: Option<Instant>,
        /// What was sent and received.
        pub counters: ControlCounters,
        retransmit: Option<TimerId>,
        acknowledge: Option<TimerId>,
        release: Option<TimerId>,
    }
}

impl Transport {
    /// Nothing was sent yet; `config` is the tunnel's block.
    pub fn new(key: TunnelKey, ccid: Ccid, path: Path, config: &TunnelConfig) -> Transport {
        let mut transport = Transport {
            key,
            ccid,
            remote_ccid: Ccid(0),
            path,
            candidate: None,
            looked: None,
            ttl: config.ttl,
            channel: Channel::new(Retry::default(), config.receive_window),
            auth: Auth::new(config),
            dialect: match config.compatibility {
                Compatibility::Auto | Compatibility::Rfc => Dialect::IETF,
                Compatibility::Cisco => Dialect::BOTH,
            },
            hidden: config.hidden,
            allowance: Allowance::default(),
            reply_pending: false,
            round_trip: RoundTrip::default(),
            follows_round_trip: false,
            deadline: None,
            sent: None,
            ping: Pinging::default(),
            path_probe: None,
            counted: None,
            counters: ControlCounters::default(),
            retransmit: None,
            acknowledge: None,
            release: None,
        };
        transport.set_retry(config);
        transport.channel.restart_rto();
        transport
    }

    /// Takes over how often and when something is sent again, and how much may wait.
    pub fn set_retry(&mut self, config: &TunnelConfig) {
        let interval = config.first_retry();
        self.follows_round_trip = interval == RetryInterval::Auto;
        self.channel.make_room(config.sessions.len());
        self.channel.retry.limit = config.retry;
        self.channel.retry.interval_max = config.retry_interval_max;
        match interval {
            RetryInterval::Auto => self.follow_round_trip(),
            RetryInterval::Fixed(interval) => self.channel.retry.interval = interval,
        }
    }

    /// The first interval is what the measured round trip suggests.
    fn follow_round_trip(&mut self) {
        let Retry { interval, interval_max, .. } = &mut self.channel.retry;
        *interval = self.round_trip.time_out().min(*interval_max);
    }

    /// One of the connection's timers.
    pub fn timer(&self, due: ConnectionDue) -> Timer {
        Timer(self.key, Due::Connection(self.ccid, due))
    }

    /// Queues a message and sends what the windows let pass. `false`: it could not be built, or the queue is full;
    /// the caller gives up what it belongs to.
    #[must_use]
    pub fn enqueue(&mut self, cx: &mut Context, message: &Message) -> bool {
        let Some(octets) = build(cx, message, &self.auth, self.dialect, self.hidden) else { return false };
        if !self.channel.push(message.message_type(), octets) {
            return false;
        }
        if matches!(message, Message::StopCcn(_)) {
            self.channel.open_for_one();
        }
        self.reply_pending = false;
        self.flush(cx);
        true
    }

    /// Transmits what the windows let pass, and keeps the retransmission timer running while anything is in flight.
    pub fn flush(&mut self, cx: &mut Context) {
        while self.transmit(cx, Channel::next_transmission) {}
        self.watch_acknowledgement(cx);
    }

    /// Takes a message from the channel, makes it ready to leave (ids and numbers as they are now, signed) and sends
    /// it. `false`: there is none.
    fn transmit(
        &mut self,
        cx: &mut Context,
        take: impl FnOnce(&mut Channel) -> Option<Transmission<'_>>,
    ) -> bool {
        let nr = self.channel.nr();
        let taken = take(&mut self.channel);
        let Some(Transmission { message, message_type, ns, count }) = taken else { return false };
        let mut message = message.to_vec();
        match count {
            // That a probe is lost tells nothing about the time that an answer takes.
            _ if self.path_probe.as_ref().is_some_and(|probe| probe.is_probe(ns)) => {}
            // The answer to the first message waits for more than the way: the peer's route, names, a tie.
            _ if message_type == MessageType::SCCRQ => {}
            1 => self.round_trip.sent(cx.now, ns),
            _ => self.round_trip.sent_again(),
        }
        self.ping.transmitted(cx.now, ns);
        let length = self.path_probe.as_mut().and_then(|probe| probe.transmitted(ns));
        if let Some(length) = length {
            pad(&mut message, length, &cx.random_or_zero());
        }
        header::stamp(&mut message, self.remote_ccid, ns, nr);
        self.auth.sign(message_type, &mut message);
        if !self.allowance.spend(message.len()) {
            return true; // as if it was lost: the peer's next SCCRQ calls for it
        }
        cx.log(Event::SendControlPacket { tunnel: self.ccid, count, message: message_type });
        match length {
            Some(_) => cx.act(Action::Probe { path: self.path, ttl: self.ttl, message }),
            None => self.emit(cx, message),
        }
        self.counters.tx_messages = self.counters.tx_messages.saturating_add(1);
        let again = u64::from(count > 1);
        self.counters.tx_retransmissions = self.counters.tx_retransmissions.saturating_add(again);
        true
    }

    /// Sends a message once that no channel keeps: an SCCRP whose connection is made when it is answered. `false`: it
    /// could not be built, or nothing may be sent.
    pub fn send_unkept(&mut self, cx: &mut Context, message: &Message) -> bool {
        let octets = build(cx, message, &self.auth, self.dialect, self.hidden);
        octets.is_some_and(|octets| self.send_unnumbered(cx, message.message_type(), octets))
    }

    /// Sends a message that takes no number, if so much may be sent.
    fn send_unnumbered(&mut self, cx: &mut Context, kind: MessageType, mut octets: Vec<u8>) -> bool {
        header::stamp(&mut octets, self.remote_ccid, self.channel.ns(), self.channel.nr());
        self.auth.sign(kind, &mut octets);
        let may = self.allowance.spend(octets.len());
        if may {
            if kind == MessageType::ACK {
                cx.log(Event::Send { tunnel: self.ccid, message: kind });
            }
            self.emit(cx, octets);
        }
        may
    }

    /// Sends a message that is ready to where the peer is known to be, and to where it may be.
    fn emit(&mut self, cx: &mut Context, message: Vec<u8>) {
        if let Some(path) = self.candidate.as_deref().copied() {
            cx.act(Action::Transmit { path, ttl: self.ttl, message: message.clone() });
        }
        self.sent = Some(cx.now);
        cx.act(Action::Transmit { path: self.path, ttl: self.ttl, message });
    }

    /// Arms or stops the retransmission timer according to what is in flight.
    fn watch_acknowledgement(&mut self, cx: &mut Context) {
        match (self.channel.awaits_acknowledgement(), self.retransmit.is_some()) {
            (true, false) => {
                let timer = self.timer(ConnectionDue::Retransmit);
                // What many sent at once must not come again at once: the first intervals differ, and so all later ones.
                let first = !self.channel.is_backing_off() && !self.follows_round_trip;
                let rto = if first { cx.spread(self.channel.rto()) } else { self.channel.rto() };
                let counted = cx.now.checked_add(rto).unwrap_or(cx.now);
                let mut wait = self.counted.get_or_insert(counted).saturating_duration_since(cx.now);
                if let Some(deadline) = self.deadline {
                    wait = deadline.shorten(cx.now, wait);
                }
                cx.arm(&mut self.retransmit, wait, timer);
            }
            (false, true) => {
                cx.cancel(&mut self.retransmit);
                self.counted = None;
            }
            (true, true) | (false, false) => {}
        }
    }

    /// Nr, then Ns (RFC 3931 4.2), of a message that may be believed.
    pub fn take_numbers(
        &mut self,
        cx: &mut Context,
        Received { header, message, .. }: Received<'_>,
        message_type: &MessageTypeAvp,
    ) -> Receipt {
        if self.channel.would_release(header.nr) {
            self.round_trip.acknowledged(cx.now, header.nr);
            if self.follows_round_trip {
                self.follow_round_trip();
            }
        }
        let acknowledgement = self.channel.acknowledged(header.nr);
        if acknowledgement == Acknowledgement::Invalid {
            count(&mut self.counters.rx_bad_nr); // C-043
            return Receipt::Dropped;
        }
        let bare = message_type.is_acknowledgement();
        if bare {
            cx.log(Event::ReceiveExplicitAck { tunnel: self.ccid });
            count(&mut self.counters.rx_acks);
        }
        if acknowledgement != Acknowledgement::Acknowledges(0) {
            self.allowance.lift();
            self.acknowledged(cx);
        }
        match bare {
            true => Receipt::Acknowledgement, // C-039: it is never acknowledged itself
            false => self.take_ns(cx, header.ns, message),
        }
    }

    fn take_ns(&mut self, cx: &mut Context, ns: u16, message: &[u8]) -> Receipt {
        // It is there, perhaps again: it gets once more what it has not acknowledged after a hint that it is not.
        if self.deadline.is_some_and(|deadline| deadline.suspected.is_none()) {
            self.repeat_oldest(cx);
        }
        let Transport { channel, counters, .. } = self;
        channel.find_order(ns);
        let nr = channel.nr();
        match channel.order(ns) {
            Order::Next => return Receipt::InTurn,
            Order::Old => count(&mut counters.rx_duplicates),
            Order::Ahead(_) => {
                channel.keep_early(ns, message); // C-041
                count(&mut counters.rx_out_of_order);
            }
        }
        channel.acknowledge_again(); // C-036
        cx.log(Event::SequenceMismatch { tunnel: self.ccid, ns, nr });
        Receipt::OutOfTurn
    }

    /// Something was acknowledged: the timer starts anew for what is the oldest now, and more may be sent.
    fn acknowledged(&mut self, cx: &mut Context) {
        self.deadline = None;
        self.counted = None;
        cx.cancel(&mut self.retransmit);
        if self.channel.has_lost_more() {
            self.repeat_oldest(cx);
        }
        self.watch_acknowledgement(cx);
        self.flush(cx);
    }

    /// When the oldest message in flight is sent again.
    pub fn next_retransmission(&self, cx: &Context) -> Option<Instant> {
        cx.when(self.retransmit)
    }

    /// The oldest message in flight was not acknowledged in time.
    pub fn retransmit_due(&mut self, cx: &mut Context) -> Retransmission {
        self.retransmit = None;
        if self.deadline.is_some_and(|deadline| deadline.by <= cx.now) {
            return Retransmission::UsedUp;
        }
        if self.counted.is_some_and(|at| cx.now < at) {
            self.repeat_oldest(cx);
            self.watch_acknowledgement(cx);
            return Retransmission::Goes;
        }
        self.counted = None;

        // Once more is enough: the peer repeats its SCCRQ, too.
        if self.channel.is_backing_off() {
            self.allowance.use_up();
        }
        // C-055, C-056: the same Ns, the current Nr, and so another digest.
        if self.transmit(cx, Channel::retransmission) {
            self.watch_acknowledgement(cx);
            return Retransmission::Goes;
        }
        match self.channel.awaits_acknowledgement() {
            true => Retransmission::UsedUp,
            false => Retransmission::Goes,
        }
    }

    /// What was held back after a crash leaves.
    pub fn release(&mut self, cx: &mut Context) {
        self.release = None;
        self.channel.hold(false);
        self.flush(cx);
    }

    /// Whether what is in flight has to be acknowledged soon.
    pub fn has_deadline(&self) -> bool {
        self.deadline.is_some()
    }

    /// Sends the oldest message in flight once more, out of turn.
    pub fn repeat_oldest(&mut self, cx: &mut Context) {
        self.transmit(cx, Channel::repeat_oldest);
    }

    /// Sends a HELLO after what waits, to tell when it is acknowledged; one at a time. `false`: it could not be built.
    #[must_use]
    pub fn ping(&mut self, cx: &mut Context) -> bool {
        if !self.ping.waits() {
            self.ping.begin(self.channel.next_pushed());
            if !self.hello(cx) {
                self.ping.give_up();
            }
        }
        self.ping.waits()
    }

    /// Queues a HELLO. `false`: it could not be built.
    #[must_use]
    pub fn hello(&mut self, cx: &mut Context) -> bool {
        cx.log(Event::Send { tunnel: self.ccid, message: MessageType::HELLO });
        self.enqueue(cx, &Message::Hello)
    }

    /// Acknowledges on its own what no message has acknowledged. Where a reply is being prepared it waits for that
    /// a little, so that the reply can carry it (RFC 3931 4.2 allows it; C-047).
    pub fn acknowledge(&mut self, cx: &mut Context) {
        if !self.channel.acknowledgement_due() {
            return;
        }
        if !self.reply_pending {
            return self.send_acknowledgement(cx);
        }
        if self.acknowledge.is_none() {
            let timer = self.timer(ConnectionDue::Acknowledge);
            cx.arm(&mut self.acknowledge, ACKNOWLEDGE_DELAY, timer);
        }
    }

    /// The reply that was to carry an acknowledgement did not come in time.
    pub fn acknowledge_due(&mut self, cx: &mut Context) {
        self.acknowledge = None;
        if self.channel.acknowledgement_due() {
            self.send_acknowledgement(cx);
        }
    }

    /// RFC 3931 6.15: an ACK message where there are digests, else a ZLB (which peers of the draft era need: they
    /// count an ACK message as one that takes an Ns). Neither takes one, neither is acknowledged or repeated.
    fn send_acknowledgement(&mut self, cx: &mut Context) {
        if self.remote_ccid == Ccid(0) {
            return;
        }
        let octets = match self.auth.signs() {
            true => build(cx, &Message::Ack, &self.auth, self.dialect, false),
            false => Some(encode_zlb()),
        };
        if octets.is_some_and(|octets| self.send_unnumbered(cx, MessageType::ACK, octets)) {
            self.channel.acknowledgement_sent();
            cx.cancel(&mut self.acknowledge);
            count(&mut self.counters.tx_acks);
        }
    }

    /// Nothing is repeated or acknowledged by itself any more.
    pub fn stop_timers(&mut self, cx: &mut Context) {
        cx.cancel(&mut self.retransmit);
        cx.cancel(&mut self.acknowledge);
        cx.cancel(&mut self.release);
        self.counted = None;
    }
}
