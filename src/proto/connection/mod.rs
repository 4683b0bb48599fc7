//! A control connection (RFC 3931 3.3, 4, 7.2): set-up, keepalive, end. What messages and timers do to it stands in
//! [`receive`].

pub mod allowance;
pub mod auth;
pub mod channel;
pub mod identity;
pub mod keepalive;
pub mod outcome;
pub mod outgoing;
pub mod path_probe;
pub mod path_search;
pub mod ping;
pub mod receive;
pub mod round_trip;
pub mod table;
pub mod transport;

use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::action::{Action, Path, Pong, Received};
use super::context::{ConnectionDue, Context, TunnelKey};
use super::result::result;
use super::route::{NextHop, User};
use super::snapshot::count;
use super::watch::Watch;
use crate::config::model::{Compatibility, TunnelConfig, Via};
use crate::log::catalogue::Hex;
use crate::log::Event;
use crate::saved::saved;
use crate::wheel::TimerId;
use crate::wire::avp::MessageTypeAvp;
use crate::wire::code::stopccn;
use crate::wire::message::{Dialect, ResultCode, SetUp, StopCcn};
use crate::wire::{Ccid, Message, MessageType};
use identity::Peer;
use outcome::{Outcome, Receipt};
use outgoing::SingleMessage;
use ping::Ping;
use table::State;
use transport::{asking, Transport};

saved! {
    /// A control connection.
    #[derive(Debug)]
    pub struct Connection {
        key: TunnelKey,
        /// Its ids and path, and how its messages leave and are acknowledged.
        pub transport: Transport,
        /// Its state (RFC 3931 7.2).
        pub state: State,
        /// When it entered this state.
        pub since: Instant,
        /// We sent the SCCRQ.
        pub initiator: bool,
        /// It only asks whether its peer would serve us: the SCCRP is not answered before that is wanted.
        pub asks: bool,
        /// The tie breaker of our SCCRQ, or of the peer's.
        pub tie_breaker: Option<[u8; 8]>,
        /// The nonce that the peer's SCCRQ carried, also where none is used: it tells a repetition of that SCCRQ from
        /// another one.
        pub request_nonce: Option<Vec<u8>>,
        /// An SCCRQ equal to the one that it answers was answered by another connection too (see `request`).
        pub answered_again: bool,
        /// What the peer advertised of itself.
        pub peer: Peer,
        /// When a message of the peer came last.
        pub heard: Instant,
        /// The route that it takes.
        pub watch: Watch,
        /// There is a route, as far as we know.
        pub has_route: bool,
        /// The next hop when the system would have chosen our address of this path.
        pub next_hop: Option<NextHop>,
        hello: Option<TimerId>,
        guard: Option<TimerId>,
        /// The next HELLO is sent although the interval is not over.
        early: bool,
        /// It was logged that it is out of service.
        cleaned_up: bool,
        /// The peer does not take long HELLOs.
        pub refuses_probes: bool,
    } given {
        /// The tunnel's block.
        config: Rc<TunnelConfig>,
    }
}

/// A connection, as far as its tunnel has to know it when something becomes of it.
#[derive(Debug, Clone, Copy)]
pub struct Member {
    /// Our Control Connection ID.
    pub ccid: Ccid,
    /// Where its messages go.
    pub path: Path,
    /// Where it stands.
    pub state: State,
    /// We sent the SCCRQ.
    pub initiator: bool,
    /// It only asks whether its peer would serve us.
    pub asks: bool,
    /// The peer does not take long HELLOs.
    pub refuses_probes: bool,
}

impl Member {
    /// The peer's address.
    pub fn peer(&self) -> IpAddr {
        self.path.remote.ip()
    }
}

impl Connection {
    /// A connection in state idle, with this id of ours.
    pub fn new(
        cx: &mut Context,
        key: TunnelKey,
        config: &Rc<TunnelConfig>,
        ccid: Ccid,
        path: Path,
    ) -> Connection {
        Connection {
            key,
            config: Rc::clone(config),
            transport: Transport::new(key, ccid, path, config),
            state: State::Idle,
            since: cx.now,
            initiator: false,
            asks: false,
            tie_breaker: None,
            request_nonce: None,
            answered_again: false,
            peer: Peer::default(),
            heard: cx.now,
            watch: Watch::new(User(key, Some(ccid))),
            has_route: true,
            next_hop: None,
            hello: None,
            guard: None,
            early: false,
            cleaned_up: false,
            refuses_probes: false,
        }
    }

    /// Our Control Connection ID.
    pub fn ccid(&self) -> Ccid {
        self.transport.ccid
    }

    /// What its tunnel has to know of it.
    pub fn member(&self) -> Member {
        let Connection { state, initiator, asks, refuses_probes, .. } = *self;
        Member { ccid: self.ccid(), path: self.transport.path, state, initiator, asks, refuses_probes }
    }

    /// The peer's address.
    pub fn address(&self) -> IpAddr {
        self.transport.path.remote.ip()
    }

    /// Whether it is `ours` that the message of this Assigned Control Connection ID and source comes from.
    pub fn is_from(&self, assigned: Ccid, path: Path) -> bool {
        self.transport.remote_ccid == assigned && self.transport.path.remote == path.remote
    }

    /// Whether both answer an SCCRQ that says the same.
    pub fn answers_as(&self, other: &Connection) -> bool {
        self.transport.remote_ccid == other.transport.remote_ccid
            && self.tie_breaker == other.tie_breaker
            && self.request_nonce == other.request_nonce
    }

    /// Its id is in use from now on; says so.
    pub fn file(&mut self, cx: &mut Context) {
        let ccid = self.ccid();
        cx.ids.file(ccid, self.key);
        cx.peers.add(self.transport.path.remote, self.ids(), self.key);
        cx.peers.moved(self.transport.path.remote, false, self.state == State::Established);
        self.watch_path(cx);
        cx.moved(None, Some(self.state));
        cx.log(Event::CreateNewTunnel { tunnel: ccid });
        cx.log(Event::TunnelCreated { id: ccid, hex: Hex(ccid.0) });
    }

    /// Frees its id and all that it holds. The caller drops it.
    pub fn free(&mut self, cx: &mut Context) {
        self.clean_up(cx);
        self.give_up_ping(cx);
        self.stop_timers(cx);
        self.watch.set(cx, None, None, Via::ANY);
        cx.moved(Some(self.state), None);
        cx.ids.free(self.ccid());
        cx.peers.moved(self.transport.path.remote, self.state == State::Established, false);
        cx.peers.remove(self.transport.path.remote, self.ids());
        cx.log(Event::DeleteTunnel { tunnel: self.ccid() });
    }

    /// The same block, as it stands in another configuration.
    pub fn follow(&mut self, config: &Rc<TunnelConfig>) {
        self.config = Rc::clone(config);
    }

    fn enter(&mut self, cx: &mut Context, state: State) {
        cx.moved(Some(self.state), Some(state));
        let [was, is] = [self.state, state].map(|state| state == State::Established);
        cx.peers.moved(self.transport.path.remote, was, is);
        self.state = state;
        self.since = cx.now;
        if state != State::Established {
            self.give_up_ping(cx);
            self.end_path_probe(cx);
        }
    }

    // ----- set-up -----

    /// It is ours to begin, with this nonce where one is needed.
    pub fn begin(&mut self, nonce: &[u8]) {
        self.initiator = true;
        if self.transport.auth.signs() {
            self.transport.auth.local_nonce = nonce.to_vec();
        }
    }

    /// Idle and local open: SCCRQ (C-110), to be acknowledged `soon` where something else is to be tried then. `false`:
    /// it could not be built.
    #[must_use]
    pub fn send_request(&mut self, cx: &mut Context, soon: bool) -> bool {
        let request =
            SetUp { tie_breaker: self.tie_breaker, ..identity::ours(&self.config, &self.transport) };
        self.enter(cx, State::WaitCtlReply);
        cx.log(Event::SendState { message: MessageType::SCCRQ, state: State::WaitCtlReply.log_name() });
        let sent = self.transport.enqueue(cx, &Message::Sccrq(request));
        if sent {
            self.arm_guard(cx);
        }
        if soon {
            asking::expect_soon(&mut self.transport, cx);
        }
        sent
    }

    /// Idle and SCCRQ (C-111, C-112): SCCRP. `false`: it could not be built.
    #[must_use]
    pub fn send_reply(&mut self, cx: &mut Context) -> bool {
        self.enter_replied(cx);
        let reply = identity::ours(&self.config, &self.transport);
        let sent = self.transport.enqueue(cx, &Message::Sccrp(reply));
        if sent {
            self.arm_guard(cx);
        }
        sent
    }

    fn enter_replied(&mut self, cx: &mut Context) {
        cx.log(Event::ReceiveState { message: MessageType::SCCRQ, state: "IDLE" });
        self.enter(cx, State::WaitCtlConn);
        cx.log(Event::SendState { message: MessageType::SCCRP, state: State::WaitCtlConn.log_name() });
    }

    /// An SCCRQ of a peer that may be anywhere: SCCRP, once; the connection is made when it is answered.
    pub fn send_reply_once(&mut self, cx: &mut Context) -> bool {
        let reply = identity::ours(&self.config, &self.transport);
        self.transport.send_unkept(cx, &Message::Sccrp(reply))
    }

    /// The SCCRP has left already, and the SCCCN that answers it is here.
    pub fn resume_reply(&mut self, cx: &mut Context) {
        self.enter_replied(cx);
        self.transport.channel.skip_first();
        self.arm_guard(cx);
    }

    /// Our id and the peer's.
    fn ids(&self) -> (Ccid, Ccid) {
        (self.ccid(), self.transport.remote_ccid)
    }

    /// The peer told its id.
    fn assign(&mut self, cx: &mut Context, theirs: Ccid) {
        cx.peers.assign(self.transport.path.remote, self.ids(), theirs);
        self.transport.remote_ccid = theirs;
    }

    /// Takes over what the peer told in its SCCRQ or SCCRP.
    pub fn take_peer(&mut self, cx: &mut Context, set_up: &SetUp) {
        self.assign(cx, set_up.assigned_ccid);
        let transport = &mut self.transport;
        transport.channel.set_peer_window(set_up.receive_window.unwrap_or(channel::DEFAULT_WINDOW));
        self.peer = Peer::of(set_up);
        // `compatibility auto`: the AVPs that the peer uses; the other settings never change their mind.
        match self.config.compatibility {
            Compatibility::Auto => transport.dialect = set_up.dialect,
            Compatibility::Cisco if !set_up.dialect.ietf => transport.dialect = Dialect::CISCO,
            Compatibility::Cisco | Compatibility::Rfc => {}
        }
    }

    /// The peer may take this long to answer what it has acknowledged (C-128); RFC 3931 has no timer for it.
    fn arm_guard(&mut self, cx: &mut Context) {
        let timer = self.transport.timer(ConnectionDue::Guard);
        cx.arm(&mut self.guard, self.config.setup_timeout, timer);
    }

    // ----- receiving -----

    /// Nr, then Ns, of a message that may be believed.
    pub fn take_numbers(
        &mut self,
        cx: &mut Context,
        received: Received<'_>,
        message_type: &MessageTypeAvp,
    ) -> Receipt {
        let receipt = self.transport.take_numbers(cx, received, message_type);
        if receipt != Receipt::Dropped {
            self.heard = cx.now;
        }
        if let Some((ping, time)) = self.transport.ping.take_pong(cx.now, &self.transport.channel) {
            self.report_pong(cx, ping, Some(time));
        }
        let Transport { path_probe, channel, .. } = &mut self.transport;
        path_probe.iter_mut().for_each(|probe| probe.acknowledged(cx, channel));
        receipt
    }

    /// The SCCRQ that it answers, of so many octets, came again: so does the SCCRP, if the SCCCN is not here yet.
    pub fn repeat_reply(&mut self, cx: &mut Context, ns: u16, octets: usize) {
        let tunnel = self.ccid();
        self.transport.allowance.add(octets);
        self.transport.channel.acknowledge_again();
        cx.log(Event::SequenceMismatch { tunnel, ns, nr: self.transport.channel.nr() });
        count(&mut self.transport.counters.rx_duplicates);
        if self.state == State::WaitCtlConn {
            self.transport.repeat_oldest(cx);
        }
        self.transport.acknowledge(cx);
    }

    /// A message that does not fit the state is acknowledged, and that is all.
    pub fn ignore(&mut self, cx: &mut Context, message: MessageType) {
        let (tunnel, state) = (self.ccid(), self.state.log_name());
        cx.log(Event::ReceiveIgnored { tunnel, message, state });
        count(&mut self.transport.counters.rx_ignored);
    }

    fn report_pong(&self, cx: &mut Context, ping: Ping, round_trip: Option<Duration>) {
        let (tunnel, peer) = (self.config.name.clone(), self.address());
        cx.act(Action::Pong(Pong { tunnel, peer, round_trip, transmissions: ping.transmissions }));
    }

    fn give_up_ping(&mut self, cx: &mut Context) {
        if let Some(ping) = self.transport.ping.give_up() {
            self.report_pong(cx, ping, None);
        }
    }

    /// Watches the route that it takes, once it is known from which address of ours.
    fn watch_path(&mut self, cx: &mut Context) {
        let path = self.transport.path;
        let local = Some(path.local.ip()).filter(|local| !local.is_unspecified());
        self.watch.set(cx, local.and(Some(path.remote.ip())), local, path.via);
    }

    // ----- end -----

    /// Ends it with a StopCCN (C-102); it answers until that is acknowledged or its retransmissions are used up
    /// (C-061). `Done`: there is nothing to wait for.
    pub fn close(&mut self, cx: &mut Context, code: ResultCode) -> Outcome {
        if self.transport.remote_ccid == Ccid(0) {
            // C-105: no SCCRP yet. The peer finds it by our id in the message; nobody could acknowledge it.
            cx.log(Event::SendState { message: MessageType::STOPCCN, state: State::Stopping.log_name() });
            self.send_once(cx, 0, code);
            return Outcome::Done;
        }
        self.transport.channel.drop_unsent();
        cx.cancel(&mut self.hello);
        self.stop(cx, code)
    }

    /// A StopCCN for a connection that is given up, once: nobody waits for its acknowledgement.
    pub fn send_stopccn_once(&self, cx: &mut Context, why: &str) {
        self.send_once(cx, self.transport.channel.nr(), result(stopccn::GENERAL, None, why));
    }

    fn send_once(&self, cx: &mut Context, nr: u16, code: ResultCode) {
        let Transport { path, ttl, auth, remote_ccid: to, channel, .. } = &self.transport;
        cx.log(Event::SendControlPacket { tunnel: self.ccid(), count: 1, message: MessageType::STOPCCN });
        let (numbers, message) = ((channel.ns(), nr), &self.stopccn(code));
        SingleMessage { path: *path, ttl: *ttl, to: *to, numbers, auth, message }.send(cx);
    }

    fn stopccn(&self, code: ResultCode) -> Message {
        Message::StopCcn(StopCcn { result: Some(code), assigned_ccid: Some(self.ccid()) })
    }

    /// Sends a StopCCN, and answers until it is acknowledged. `Done`: it cannot be sent.
    fn stop(&mut self, cx: &mut Context, code: ResultCode) -> Outcome {
        cx.log(Event::SendState { message: MessageType::STOPCCN, state: State::Stopping.log_name() });
        cx.cancel(&mut self.guard);
        self.enter(cx, State::Stopping);
        match self.transport.enqueue(cx, &self.stopccn(code)) {
            true => Outcome::Keep,
            false => Outcome::Done,
        }
    }

    /// Nothing is sent any more but acknowledgements of what the peer repeats, until the linger time is over (C-062).
    pub fn linger(&mut self, cx: &mut Context) {
        self.clean_up(cx);
        self.enter(cx, State::Linger);
        self.stop_timers(cx);
        self.transport.channel.drop_all();
        let timer = self.transport.timer(ConnectionDue::Guard);
        cx.arm(&mut self.guard, self.config.linger, timer);
    }

    /// Whether its StopCCN is acknowledged.
    pub fn is_stopped(&self) -> bool {
        self.state == State::Stopping && self.transport.channel.is_empty()
    }

    /// Says, once, that a connection is out of service; lingering and deletion come after that.
    fn clean_up(&mut self, cx: &mut Context) {
        if !std::mem::replace(&mut self.cleaned_up, true) {
            cx.log(Event::CleanupTunnel { tunnel: self.ccid(), name: self.config.name.clone() });
        }
    }

    /// The path is not probed any more.
    fn end_path_probe(&mut self, cx: &mut Context) {
        if let Some(mut probe) = self.transport.path_probe.take() {
            probe.end(cx);
        }
    }

    fn stop_timers(&mut self, cx: &mut Context) {
        self.transport.stop_timers(cx);
        cx.cancel(&mut self.hello);
        cx.cancel(&mut self.guard);
        self.end_path_probe(cx);
    }
}
