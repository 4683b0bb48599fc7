//! Messages whose header names no connection: SCCRQ, and a StopCCN from a peer that does not know our id yet.
//! Whose are they, do they cross an SCCRQ of ours, has the peer started over (RFC 3931 5.4.3, 7.2)?
//!
//! Nothing here costs memory before the sender has named a configured tunnel, shown a valid digest (where there is a
//! password), passed the rate limit and shown the right identity. What is refused is answered without keeping state.

use std::time::{Duration, Instant};

use super::action::Path;
use super::auth::{Auth, Mode};
use super::connection::{Connection, State};
use super::ending::result;
use super::guard::{Guard, HALF_OPEN_PER_TUNNEL, HALF_OPEN_TOTAL};
use super::incoming::{break_tie, TieBreak};
use super::snapshot::Failure;
use super::tunnel::TunnelKey;
use super::Engine;
use crate::config::model::{Check, Compatibility, Remote, ReservedBits, Role};
use crate::log::catalogue::Tie;
use crate::log::{Event, Level};
use crate::wire::attribute::number;
use crate::wire::avp::{self, MessageTypeAvp};
use crate::wire::code::{error, stopccn};
use crate::wire::header::Header;
use crate::wire::message::{decode, DecodeOptions, Decoded, ResultCode, SetUp, StopCcn};
use crate::wire::{Ccid, Message, MessageType};

/// Connections of one tunnel that may linger; the oldest goes first.
const MAX_MEMBERS: usize = 32;

/// How long after the peer's SCCCN (or after what else tells that it repeats its SCCRQ no longer) such a repetition may
/// still arrive: two ways through the network differ by less, be one of them over a satellite. Erring costs little: a
/// repetition taken for a restart makes a half-open connection that goes at the peer's next word, a restart taken for
/// a repetition is served when the SCCRQ is repeated.
const STRAGGLERS: Duration = Duration::from_millis(300);
/// The same where the SCCRQ has a nonce or tie breaker: only a peer whose random values are not random sends it twice.
const UNLIKELY_STRAGGLERS: Duration = Duration::from_secs(10);

/// An SCCRQ that may be believed, and whose it is.
struct Request<'a> {
    path: Path,
    header: &'a Header,
    key: TunnelKey,
    auth: Auth,
    set_up: SetUp,
}

impl Engine {
    /// A message with a CCID of 0 (or of version 2): only SCCRQ and StopCCN make sense.
    pub(super) fn unbound_message(&mut self, now: Instant, path: Path, header: Header, message: &[u8]) {
        let discard = self.discards_reserved(path);
        let Some(message_type) = self.check_structure(Ccid(0), message, discard) else {
            self.drops.malformed = self.drops.malformed.saturating_add(1);
            return;
        };
        match message_type {
            MessageTypeAvp::Type { vendor: 0, value: MessageType::SCCRQ, .. } => {
                self.requested(now, path, &header, message);
            }
            // C-015: of version 2 only an SCCRQ is looked at.
            _ if header.version != 3 => {
                self.drops.version = self.drops.version.saturating_add(1);
                self.log(Event::OnlyL2tpv3 { func: "recv_packet" });
            }
            MessageTypeAvp::Type { vendor: 0, value: MessageType::STOPCCN, .. } => {
                self.unbound_stop(now, path, &header, message, &message_type);
            }
            MessageTypeAvp::Type { .. } | MessageTypeAvp::Zlb => {
                self.drops.unknown_ccid = self.drops.unknown_ccid.saturating_add(1);
            }
        }
    }

    /// Whether the tunnels that a datagram may be for want reserved AVP bits taken seriously.
    fn discards_reserved(&self, path: Path) -> bool {
        let mut candidates = self.candidates(path).into_iter();
        candidates
            .next()
            .and_then(|key| self.tunnels.get(&key))
            .is_none_or(|t| t.config.reserved_bits == ReservedBits::Discard)
    }

    /// The tunnels that a datagram on this path may be for; those that name its source address come first.
    fn candidates(&self, path: Path) -> Vec<TunnelKey> {
        let fits = |tunnel: &super::tunnel::Tunnel, any: bool| {
            let config = &tunnel.config;
            let named = match &config.remote {
                Some(Remote::Address(address)) => *address == path.remote.ip(),
                Some(Remote::Name(_)) => tunnel.path.is_some_and(|p| p.remote.ip() == path.remote.ip()),
                Some(Remote::Any) | None => false,
            };
            let local = config.local_address.is_none_or(|address| address == path.local.ip());
            tunnel.is_usable()
                && !tunnel.is_manual()
                && config.encapsulation == path.encapsulation
                && local
                && (path.local.port() == 0 || config.udp_port.local == path.local.port())
                && if any { config.remote == Some(Remote::Any) } else { named }
        };
        let named = self.addressed.get(&path.remote.ip());
        let of = |any: bool| {
            let keys = named.into_iter().flatten().chain(&self.unaddressed).copied();
            keys.filter(move |key| self.tunnels.get(key).is_some_and(|t| fits(t, any)))
        };
        of(false).chain(of(true)).collect()
    }

    /// `ttl` of the tunnel whose control messages travel on this path; `None` where no tunnel has such a peer.
    pub fn ttl(&self, path: &Path) -> Option<u8> {
        let fits = |tunnel: &&super::tunnel::Tunnel| {
            let named = match &tunnel.config.remote {
                Some(Remote::Address(_) | Remote::Any) => true,
                Some(Remote::Name(_)) => tunnel.path.is_some_and(|p| p.remote.ip() == path.remote.ip()),
                None => false,
            };
            named && tunnel.config.encapsulation == path.encapsulation
        };
        let named = self.addressed.get(&path.remote.ip()).into_iter().flatten();
        let tunnels = named.chain(&self.unaddressed).filter_map(|key| self.tunnels.get(key)).filter(fits);
        tunnels.min_by_key(|t| t.config.remote == Some(Remote::Any)).map(|t| t.config.ttl)
    }

    /// An SCCRQ: the checks that need no state, then what it means for the tunnel.
    fn requested(&mut self, now: Instant, path: Path, header: &Header, message: &[u8]) {
        if self.shutting_down {
            return;
        }
        let candidates = self.candidates(path);
        let Some(key) = self.choose(&candidates, message) else {
            self.drops.unknown_peer = self.drops.unknown_peer.saturating_add(1);
            let text =
                format!("SCCRQ from {} dropped: no tunnel is configured for this peer", path.remote.ip());
            return self.remark(Level::Debug, "unknown-peer", text);
        };
        let Some(tunnel) = self.tunnels.get(&key) else { return };
        let cisco = tunnel.config.compatibility != Compatibility::Rfc;
        let mut auth = Auth::new(&tunnel.config);
        let judgement = auth.judge_request(message);
        self.log_judgement(Ccid(0), MessageType::SCCRQ, judgement);
        if !judgement.believed {
            self.drops.bad_digest = self.drops.bad_digest.saturating_add(1);
            let failure =
                Failure::new("an SCCRQ of the peer had no valid digest: do the passwords agree?", "M-040");
            return self.note_failure(now, key, failure);
        }
        if self.acknowledges_too_much(key, header.nr) {
            // C-043: invalid, and no answer.
            if let Some(tunnel) = self.tunnels.get_mut(&key) {
                tunnel.counters.rx_bad_nr = tunnel.counters.rx_bad_nr.saturating_add(1);
            }
            return;
        }
        // Behind the digest: forgeries must not use up what is allowed to the peer itself.
        if !self.guard_allows(now, path, candidates.len()) {
            self.drops.rate = self.drops.rate.saturating_add(1);
            return;
        }
        let secrets = auth.hiding_secrets();
        let options = DecodeOptions { secrets: &secrets, cisco, version_2: header.version == 2 };
        let Decoded { message: decoded, notes } = decode(message, &options);
        self.log_notes(Ccid(0), MessageType::SCCRQ, &notes);
        let set_up = match decoded {
            Ok(Message::Sccrq(set_up)) => set_up,
            Ok(_) => return,
            Err(refusal) => {
                self.log_refusal(Ccid(0), &refusal);
                // A plain version-2 SCCRQ lacks everything: say nothing (C-357).
                if header.version != 3 {
                    return self.log(Event::OnlyL2tpv3 { func: "recv_packet" });
                }
                let failure = Failure::new(format!("SCCRQ cannot be accepted: {}", refusal.why), "M-037");
                self.note_failure(now, key, failure);
                let Some(assigned) = refusal.assigned_ccid.filter(|c| *c != Ccid(0)) else { return };
                let code = result(stopccn::ERROR, Some(refusal.why.error_code()), &refusal.why.to_string());
                return self.refuse_request(path, header, assigned, auth, code);
            }
        };
        self.set_up_requested(now, Request { path, header, key, auth, set_up });
    }

    /// Whether the Nr of an SCCRQ is beyond what we can have sent: nothing, or the one SCCRQ or SCCRP that the peer has
    /// not answered yet and may have counted.
    fn acknowledges_too_much(&self, key: TunnelKey, nr: u16) -> bool {
        let waits = |ccid: &Ccid| {
            self.connections
                .get(ccid)
                .is_some_and(|c| matches!(c.state, State::WaitCtlReply | State::WaitCtlConn))
        };
        let sent = u16::from(self.tunnels.get(&key).is_some_and(|t| t.members.iter().any(waits)));
        // As with any Nr, what is behind is old and does no harm.
        matches!(nr.wrapping_sub(sent), 1..=0x7fff)
    }

    fn guard_allows(&mut self, now: Instant, path: Path, tunnels: usize) -> bool {
        if self.guard.is_none() {
            // Without randomness the buckets still work, only predictably.
            let mut octets = [0; 8];
            let _ = self.random.fill(&mut octets);
            self.guard = Some(Guard::new(now, u64::from_be_bytes(octets)));
        }
        self.guard.as_mut().is_some_and(|g| g.allows(now, path.remote.ip(), tunnels))
    }

    /// Among several tunnels the identity that the message claims decides (C-081); if none fits, the first one
    /// judges (and refuses) it.
    fn choose(&self, candidates: &[TunnelKey], message: &[u8]) -> Option<TunnelKey> {
        let first = candidates.first().copied()?;
        if candidates.len() == 1 {
            return Some(first);
        }
        // Neither may be hidden (C-251), so this needs no secret.
        let value = |number: u16| {
            avp::iter(message).find(|a| a.vendor == 0 && a.attribute == number).map(|a| a.value)
        };
        let (host_name, router_id) = (value(number::HOST_NAME), value(number::ROUTER_ID));
        let fits = |key: &TunnelKey| {
            let Some(config) = self.tunnels.get(key).map(|t| &t.config) else { return false };
            let name = match &config.remote_hostname {
                Some(Check::Exactly(name)) => Some(name.as_slice()) == host_name,
                Some(Check::Any) | None => true,
            };
            let id = match &config.remote_router_id {
                Some(Check::Exactly(id)) => Some(id.as_slice()) == router_id,
                Some(Check::Any) | None => true,
            };
            name && id
        };
        candidates.iter().copied().find(fits).or(Some(first))
    }

    /// Notes a failure without announcing it: anybody can cause it.
    pub(super) fn note_failure(&mut self, now: Instant, key: TunnelKey, failure: Failure) {
        if let Some(tunnel) = self.tunnels.get_mut(&key) {
            tunnel.attempt.failure = Some((failure, now));
        }
    }

    /// An SCCRQ that may be believed: a repetition, a reflection, a tie, a restart, or simply the first.
    fn set_up_requested(&mut self, now: Instant, request: Request<'_>) {
        if self.is_reflection(&request) {
            self.drops.reflected = self.drops.reflected.saturating_add(1);
            return;
        }
        if let Some(ccid) = self.repeated(&request) {
            if !self.has_started_over(now, ccid) {
                return self.repeat_reply(now, ccid, request.header);
            }
        }
        let Some(tunnel) = self.tunnels.get(&request.key) else { return };
        if tunnel.config.role == Role::Active {
            let code = result(
                stopccn::NOT_AUTHORIZED,
                None,
                "role active: this end does not answer, it only begins",
            );
            return self.refuse_request(
                request.path,
                request.header,
                request.set_up.assigned_ccid,
                request.auth,
                code,
            );
        }
        let main = tunnel.main.and_then(|ccid| self.connections.get(&ccid));
        match main.map(|c| (c.ccid, c.state, c.tie_breaker)) {
            Some((ours, State::WaitCtlReply, tie)) => {
                if !self.yields(now, ours, tie, &request) {
                    return;
                }
            }
            Some((ours, State::Established, _)) => {
                // The peer came back from a restart, or this is a replay: the SCCCN will tell (C-130, C-362).
                self.log(Event::AlreadyHaveTunnel { tunnel: ours });
            }
            Some((_, State::Idle | State::WaitCtlConn | State::Stopping | State::Linger, _)) | None => {}
        }
        self.accept_request(now, request);
    }

    /// Our own SCCRQ, sent back to us: its digest is valid, its tie breaker equal, and answering it would make us
    /// start over for ever.
    fn is_reflection(&self, request: &Request<'_>) -> bool {
        let Some(tunnel) = self.tunnels.get(&request.key) else { return false };
        tunnel.members.iter().filter_map(|ccid| self.connections.get(ccid)).any(|c| {
            let same_nonce =
                request.set_up.nonce.as_ref().is_some_and(|n| !n.is_empty() && *n == c.auth.local_nonce);
            let same_ids =
                request.set_up.assigned_ccid == c.ccid && request.set_up.tie_breaker == c.tie_breaker;
            c.initiator && (same_nonce || same_ids)
        })
    }

    /// The connection that answered this very SCCRQ before (C-129): same id, and same nonce and tie breaker - a
    /// peer that restarted may choose the same id again. The newest, if there are several.
    fn repeated(&self, request: &Request<'_>) -> Option<Ccid> {
        let tunnel = self.tunnels.get(&request.key)?;
        let same = |c: &&Connection| {
            !c.initiator
                && c.remote_ccid == request.set_up.assigned_ccid
                && c.path.remote == request.path.remote
                && c.tie_breaker == request.set_up.tie_breaker
                && c.request_nonce == request.set_up.nonce
        };
        tunnel.members.iter().rev().filter_map(|ccid| self.connections.get(ccid)).find(same).map(|c| c.ccid)
    }

    /// Whether an SCCRQ equal to the one that this connection answered means that the peer has started over, with the
    /// id that it had before and no random values in its SCCRQ: it is answered like one with another id, and the
    /// old connection stays until the SCCCN proves it (C-130).
    ///
    /// A peer repeats its SCCRQ until our SCCRP reaches it. That it did, the acknowledgement of the SCCRP shows, and
    /// the SCCCN; what was sent before arrives within [`STRAGGLERS`]. Up to then it is a repetition.
    ///
    /// Under a password an equal SCCRQ, nonce and all, is most likely a recording: it gets one answer in the life of a
    /// connection. Where there is none, whoever can send it can also forge others; the guard keeps all in check. While
    /// one is half open its SCCRP is repeated, and no further connection is made.
    fn has_started_over(&mut self, now: Instant, ccid: Ccid) -> bool {
        let Some(connection) = self.connections.get_mut(&ccid) else { return false };
        let repeats_until = match connection.state {
            State::WaitCtlConn if connection.channel.awaits_acknowledgement() => return false,
            State::WaitCtlConn => connection.heard,
            State::Established | State::Stopping | State::Linger => connection.since,
            State::Idle | State::WaitCtlReply => return false,
        };
        let random = connection.request_nonce.is_some() || connection.tie_breaker.is_some();
        let on_the_way = if random { UNLIKELY_STRAGGLERS } else { STRAGGLERS };
        if now.saturating_duration_since(repeats_until) < on_the_way
            || connection.doubted && connection.auth.mode == Mode::On
        {
            return false;
        }
        connection.doubted = true;
        true
    }

    /// A message came on a connection whose peer seemed to have started over: it still knows our id, so the SCCRQ was
    /// a repetition, and the half-open connection that answers it goes.
    pub(super) fn dispel_doubt(&mut self, ccid: Ccid) {
        let doubted = |c: &&Connection| c.doubted && c.state == State::Established;
        let Some(connection) = self.connections.get(&ccid).filter(doubted) else { return };
        let Some(tunnel) = self.tunnels.get(&connection.tunnel) else { return };
        let answers_the_same = |c: &&Connection| {
            c.state == State::WaitCtlConn
                && c.channel.awaits_acknowledgement()
                && c.remote_ccid == connection.remote_ccid
                && c.tie_breaker == connection.tie_breaker
                && c.request_nonce == connection.request_nonce
        };
        let mut members = tunnel.members.iter().filter_map(|member| self.connections.get(member));
        if let Some(half_open) = members.find(answers_the_same).map(|c| c.ccid) {
            self.delete(half_open);
        }
    }

    fn repeat_reply(&mut self, now: Instant, ccid: Ccid, header: &Header) {
        let Some(connection) = self.connections.get_mut(&ccid) else { return };
        let (state, nr) = (connection.state, connection.channel.nr());
        connection.channel.acknowledge_again();
        self.log(Event::SequenceMismatch { tunnel: ccid, ns: header.ns, nr });
        self.count(ccid, |c| c.rx_duplicates = c.rx_duplicates.saturating_add(1));
        if state == State::WaitCtlConn {
            self.repeat_oldest(ccid);
        }
        self.acknowledge(now, ccid);
    }

    /// Our SCCRQ and the peer's cross (C-088). Whether ours gives way; if not, the request is answered here.
    fn yields(&mut self, now: Instant, ours: Ccid, tie: Option<[u8; 8]>, request: &Request<'_>) -> bool {
        let peers = request.set_up.tie_breaker;
        self.log(Event::ControlTieCheck { tunnel: ours, local: Tie(tie), remote: Tie(peers) });
        match break_tie(tie, peers) {
            TieBreak::Win => {
                self.log(Event::WinTieBreak { tunnel: ours });
                let code = result(stopccn::EXISTS, None, "tie breaker lost");
                let auth = request.auth.clone();
                self.refuse_request(request.path, request.header, request.set_up.assigned_ccid, auth, code);
                // The peer has just come to life and waits for our SCCRQ now; the next repetition may be far off.
                if self.connections.get(&ours).is_some_and(|c| c.channel.is_backing_off()) {
                    self.repeat_oldest(ours);
                }
                false
            }
            TieBreak::Lose => {
                self.log(Event::LoseTieBreak { tunnel: ours });
                self.linger(now, ours);
                true
            }
            TieBreak::Draw => {
                self.log(Event::DrawTieBreak { tunnel: ours });
                self.delete(ours);
                let delay = self.redraw_delay();
                self.schedule_tunnel(now, request.key, delay);
                false
            }
            // C-095 would let both open; one connection a pair is what our users want, and ours always has one.
            TieBreak::NoTie => true,
        }
    }

    /// Idle and SCCRQ (C-111, C-112): SCCRP on a new connection, beside whatever serves the tunnel now.
    fn accept_request(&mut self, now: Instant, request: Request<'_>) {
        let Request { path, header, key, auth, set_up } = request;
        let assigned = set_up.assigned_ccid;
        let failure = self.identity_failure(key, Ccid(0), &set_up, MessageType::SCCRQ);
        if let Some(failure) = failure {
            let code = result(stopccn::NOT_AUTHORIZED, None, &format!("{} does not match", failure.check));
            self.note_failure(now, key, failure);
            self.refuse_request(path, header, assigned, auth, code);
            return self.schedule_unless_served(now, key);
        }
        if !self.make_room(key) {
            self.drops.limit = self.drops.limit.saturating_add(1);
            return self.schedule_unless_served(now, key);
        }
        let Some((ccid, _, nonce)) = self.connection_values(now, key) else {
            let code = result(stopccn::ERROR, Some(error::RESOURCES), "no resources for one more connection");
            self.refuse_request(path, header, assigned, auth, code);
            return self.schedule_unless_served(now, key);
        };
        let Some(tunnel) = self.tunnels.get_mut(&key) else { return };
        tunnel.counters.setups = tunnel.counters.setups.saturating_add(1);
        tunnel.counters.rx_messages = tunnel.counters.rx_messages.saturating_add(1);
        let compatibility = tunnel.config.compatibility;
        let mut connection = Connection::new(now, key, &tunnel.config, ccid, path);
        connection.auth = auth;
        if connection.auth.signs() && set_up.nonce.is_some() {
            connection.auth.local_nonce = nonce.to_vec();
        }
        connection.take_peer(&set_up, compatibility);
        connection.tie_breaker = set_up.tie_breaker;
        connection.request_nonce = set_up.nonce;
        connection.channel.begin(header.ns);
        self.add_connection(connection);
        self.log(Event::ReceiveState { message: MessageType::SCCRQ, state: "IDLE" });
        let Some(reply) = self.set_up(ccid) else { return };
        self.enter(now, ccid, State::WaitCtlConn);
        self.log(Event::SendState { message: MessageType::SCCRP, state: State::WaitCtlConn.log_name() });
        if !self.enqueue(now, ccid, &Message::Sccrp(reply)) {
            self.delete(ccid);
            return self.schedule_unless_served(now, key);
        }
        self.arm_guard(now, ccid);
    }

    /// Keeps the number of connections that strangers can cause within bounds (C-364): for one tunnel the oldest
    /// gives way, so that an honest peer always gets in.
    fn make_room(&mut self, key: TunnelKey) -> bool {
        let Some(members) = self.tunnels.get(&key).map(|t| t.members.clone()) else { return false };
        let crowded = members.len() >= MAX_MEMBERS;
        let state_of = |ccid: &Ccid| self.connections.get(ccid).map(|c| c.state);
        let half_open: Vec<Ccid> =
            members.iter().copied().filter(|m| state_of(m) == Some(State::WaitCtlConn)).collect();
        let lingering: Vec<Ccid> =
            members.iter().copied().filter(|m| state_of(m) == Some(State::Linger)).collect();
        if let (true, Some(oldest)) = (half_open.len() >= HALF_OPEN_PER_TUNNEL, half_open.first()) {
            self.delete(*oldest);
        }
        if let (true, Some(oldest)) = (crowded, lingering.first()) {
            self.delete(*oldest);
        }
        self.half_open < HALF_OPEN_TOTAL
    }

    /// A StopCCN for an SCCRQ that is refused, from an id of its own that is forgotten at once (C-090, C-091).
    fn refuse_request(&mut self, path: Path, header: &Header, to: Ccid, auth: Auth, code: ResultCode) {
        let Some(own) = self.free_ccid() else { return };
        let nonce = auth.remote_nonce.clone();
        let auth = auth.for_refusal(Some(&nonce));
        let message = Message::StopCcn(StopCcn { result: Some(code), assigned_ccid: Some(own) });
        self.log(Event::Send { tunnel: Ccid(0), message: MessageType::STOPCCN });
        self.send_once(path, to, (0, header.ns.wrapping_add(1)), &auth, &message);
    }

    /// A StopCCN from a peer that does not know our id: matched by its own (C-106).
    fn unbound_stop(
        &mut self,
        now: Instant,
        path: Path,
        header: &Header,
        message: &[u8],
        kind: &MessageTypeAvp,
    ) {
        let options = DecodeOptions { secrets: &[], cisco: true, version_2: false };
        // The id may be hidden from us here; then the peer's retransmissions end by themselves.
        let Ok(Message::StopCcn(StopCcn { assigned_ccid: Some(assigned), .. })) =
            decode(message, &options).message
        else {
            self.drops.unknown_ccid = self.drops.unknown_ccid.saturating_add(1);
            return;
        };
        let same = |c: &&Connection| c.remote_ccid == assigned && c.path.remote == path.remote;
        // The newest: a peer that started over with the id that it had means the one that it has not heard of yet.
        let tunnels = self.candidates(path).into_iter().filter_map(|key| self.tunnels.get(&key));
        let mut members = tunnels.flat_map(|tunnel| tunnel.members.iter().rev());
        let found = members.find_map(|ccid| self.connections.get(ccid).filter(same));
        let Some(ccid) = found.map(|c| c.ccid) else {
            self.drops.unknown_peer = self.drops.unknown_peer.saturating_add(1);
            return;
        };
        let Some(connection) = self.connections.get(&ccid) else { return };
        // The peer signs it with what it knows: its own nonce, and ours only if our SCCRP reached it.
        let mut knows_nothing = connection.auth.clone();
        knows_nothing.local_nonce.clear();
        let judgement = connection.auth.judge(message);
        let judgement = if judgement.believed { judgement } else { knows_nothing.judge(message) };
        // Without our nonce in it, it may be a replay: an established connection does not fall for that.
        if !judgement.believed
            || connection.state == State::Established && !connection.auth.judge(message).believed
        {
            self.log_judgement(
                ccid,
                MessageType::STOPCCN,
                super::auth::Judgement { believed: false, ..judgement },
            );
            return self.count(ccid, |c| c.rx_bad_digest = c.rx_bad_digest.saturating_add(1));
        }
        self.believed_message(now, ccid, path, header, message, kind);
    }
}
