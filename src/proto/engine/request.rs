//! Messages whose header names no connection: SCCRQ, and a StopCCN from a peer that does not know our id yet.
//! Whose are they, do they cross an SCCRQ of ours, has the peer started over (RFC 3931 5.4.3, 7.2)?
//!
//! Nothing here costs memory before the sender has named a configured tunnel, shown a valid digest (where there is a
//! password), passed the rate limit and shown the right identity. What is refused is answered without keeping state.

use std::net::IpAddr;
use std::time::Duration;

use super::receive;
use super::sccrq::{answer_once, Request};
use super::tunnels::Tunnels;
use crate::config::model::{ReservedBits, Role};
use crate::log::catalogue::Tie;
use crate::log::Event;
use crate::proto::action::{Path, Received};
use crate::proto::connection::auth::{Auth, Judgement, Mode};
use crate::proto::connection::identity::check_identity;
use crate::proto::connection::outgoing::SingleMessage;
use crate::proto::connection::table::State;
use crate::proto::connection::Connection;
use crate::proto::context::Context;
use crate::proto::dropped::{self, DropCause};
use crate::proto::guard::{Guard, HALF_OPEN_PER_TUNNEL, HALF_OPEN_TOTAL};
use crate::proto::notes;
use crate::proto::result::{break_tie, result, TieBreak};
use crate::proto::snapshot::{count, Cause, Failure};
use crate::proto::tunnel::Tunnel;
use crate::wire::avp::MessageTypeAvp;
use crate::wire::code::{error, stopccn};
use crate::wire::header::HeaderError;
use crate::wire::message::{decode, DecodeOptions, Refusal, ResultCode, StopCcn};
use crate::wire::{Ccid, Message, MessageType};

/// Connections of one tunnel that may linger; the oldest goes first.
const MAX_CONNECTIONS: usize = 32;

/// How long after the peer's SCCCN (or after what else tells that it repeats its SCCRQ no longer) such a repetition may
/// still arrive: two ways through the network differ by less, be one of them over a satellite. Erring costs little: a
/// repetition taken for a restart makes a half-open connection that goes at the peer's next word, a restart taken for
/// a repetition is served when the SCCRQ is repeated.
const STRAGGLERS: Duration = Duration::from_millis(300);
/// The same where the SCCRQ has a nonce or tie breaker: only a peer whose random values are not random sends it twice.
const UNLIKELY_STRAGGLERS: Duration = Duration::from_secs(10);

/// A message with a CCID of 0 (or of version 2): only SCCRQ and StopCCN make sense.
pub fn receive(cx: &mut Context, tunnels: &mut Tunnels, guard: &mut Option<Guard>, received: Received<'_>) {
    let Received { path, header, message } = received;
    let (first, count) = tunnels.candidates(path);
    let discard = first.is_none_or(|tunnel| tunnel.config.reserved_bits == ReservedBits::Discard);
    let Some(message_type) = notes::check_structure(cx, Ccid(0), message, discard) else {
        return cx.drop_message(&path, DropCause::Malformed);
    };
    match message_type {
        MessageTypeAvp::Type { vendor: 0, value: MessageType::SCCRQ, .. } => {
            if cx.shutting_down {
                return;
            }
            if first.is_none_or(|tunnel| !tunnel.addresses.contains(path.remote.ip())) {
                doubt_names(cx, tunnels, path, message);
            }
            if count == 0 {
                let why = || dropped::sender(message) + &tunnels.unclaimed(&path);
                return cx.drop_request(&path, DropCause::Request, why);
            }
            let Some(tunnel) = tunnels.claimed(path, message) else { return cx.missing() };
            tunnel.sign_of_life(cx);
            let guard = opened(cx, guard);
            let path = tunnel.marked(path);
            judge(cx, tunnel, Received { path, ..received }, (guard, count));
        }
        // C-015: of version 2 only an SCCRQ is looked at.
        _ if header.version != 3 => {
            cx.log(Event::OnlyL2tpv3 { func: "recv_packet" });
            cx.drop_message(&path, DropCause::Header(HeaderError::Version(header.version)));
        }
        MessageTypeAvp::Type { vendor: 0, value: MessageType::STOPCCN, .. } => {
            if !stopped(cx, tunnels, received, &message_type) {
                tunnels.hint(cx, path.remote);
            }
        }
        MessageTypeAvp::Type { .. } | MessageTypeAvp::Zlb => {
            cx.drop_message(&path, DropCause::Connection(header.ccid));
            tunnels.hint(cx, path.remote);
        }
    }
}

/// The digest, then what the SCCRQ says, then the rate: neither forgeries nor repetitions and recordings use up what is
/// allowed to the peer itself. What cannot be accepted is answered here.
fn judge(
    cx: &mut Context,
    tunnel: &mut Tunnel,
    received: Received<'_>,
    (guard, tunnels): (&mut Guard, usize),
) {
    let Received { path, header, message } = received;
    let mut auth = Auth::new(&tunnel.config);
    let judgement = auth.judge_request(message);
    notes::log_judgement(cx, Ccid(0), MessageType::SCCRQ, judgement);
    if !judgement.believed {
        cx.drop_request(&path, DropCause::Digest, || dropped::sender(message));
        let why = "an SCCRQ of the peer had no valid digest: do the passwords agree?";
        return tunnel.attempt.fail(cx.now, Failure::new(why, Cause::Digest));
    }
    if acknowledges_too_much(tunnel, header.nr) {
        return count(&mut tunnel.members.counters.rx_bad_nr); // C-043: invalid, and no answer
    }
    if !guard.answers(cx.now) {
        return cx.drop_message(&path, DropCause::Rate);
    }
    let served = is_served_by_another(tunnel, path);
    let (request, notes) = Request::read(tunnel, received, auth.clone());
    if let Ok(Some(request)) = &request {
        if is_reflection(tunnel, request) {
            return cx.drop_message(&path, DropCause::Reflected);
        }
        if is_repeated(cx, tunnel, request) {
            return;
        }
    }
    let allowed = guard.allows(cx.now, path.remote.ip(), tunnels);
    match request {
        Ok(Some(request)) if served && allowed => {
            let code = result(stopccn::EXISTS, None, "another peer is in use: this one is its backup");
            refuse_request(cx, tunnel, &request, code);
        }
        Ok(Some(request)) if !allowed || !has_room(cx, tunnel) => answer_once(cx, tunnel, request),
        _ if !allowed => cx.drop_message(&path, DropCause::Rate),
        Ok(request) => {
            notes::log_notes(cx, Ccid(0), MessageType::SCCRQ, &notes);
            if let Some(request) = request {
                requested(cx, tunnel, request);
            }
        }
        Err(refusal) => {
            notes::log_notes(cx, Ccid(0), MessageType::SCCRQ, &notes);
            refuse_malformed(cx, tunnel, received, (auth, &refusal));
        }
    }
}

fn refuse_malformed(
    cx: &mut Context,
    tunnel: &mut Tunnel,
    received: Received<'_>,
    (auth, refusal): (Auth, &Refusal),
) {
    let Received { path, header, .. } = received;
    notes::log_refusal(cx, Ccid(0), refusal);
    // A plain version-2 SCCRQ lacks everything: say nothing (C-357).
    if header.version != 3 {
        cx.log(Event::OnlyL2tpv3 { func: "recv_packet" });
        return cx.drop_message(&path, DropCause::Header(HeaderError::Version(header.version)));
    }
    let failure = Failure::new(format!("SCCRQ cannot be accepted: {}", refusal.why), Cause::BadMessage);
    tunnel.attempt.fail(cx.now, failure);
    if let Some(assigned) = refusal.assigned_ccid.filter(|c| *c != Ccid(0)) {
        let code = result(stopccn::ERROR, Some(refusal.why.error_code()), &refusal.why.to_string());
        refuse(cx, tunnel, received, (assigned, auth), code);
    }
}

/// Whether another peer of the tunnel's list serves it than the one at the end of this path.
fn is_served_by_another(tunnel: &Tunnel, path: Path) -> bool {
    let main = tunnel.members.main().filter(|main| main.state == State::Established);
    main.is_some_and(|main| is_other_peer(tunnel, main.address(), path.remote.ip()))
}

/// Whether two addresses are those of two peers, and not of one that has several.
fn is_other_peer(tunnel: &Tunnel, one: IpAddr, other: IpAddr) -> bool {
    let line = |address| tunnel.addresses.line_of(address);
    tunnel.addresses.has_backup() && line(one).is_some() && line(other).is_some() && line(one) != line(other)
}

/// Whether the Nr of an SCCRQ is beyond what we can have sent: nothing, or the one SCCRQ or SCCRP that the peer has not
/// answered yet and may have counted.
fn acknowledges_too_much(tunnel: &Tunnel, nr: u16) -> bool {
    let waits = |c: &Connection| matches!(c.state, State::WaitCtlReply | State::WaitCtlConn);
    let sent = u16::from(tunnel.members.iter().any(waits));
    // As with any Nr, what is before ours is old and does no harm.
    matches!(nr.wrapping_sub(sent), 1..=0x7fff)
}

/// The guard, with full buckets when it is first needed.
fn opened<'a>(cx: &mut Context, guard: &'a mut Option<Guard>) -> &'a mut Guard {
    // Without randomness the buckets still work, only predictably.
    let key = u64::from_be_bytes(if guard.is_none() { cx.random_or_zero() } else { [0; 8] });
    guard.get_or_insert_with(|| Guard::new(cx.now, key))
}

/// An SCCRQ from an address that no tunnel names: perhaps a peer whose name means another address now. The name is
/// looked up, and then the SCCRQ is looked at again.
fn doubt_names(cx: &mut Context, tunnels: &mut Tunnels, path: Path, message: &[u8]) {
    tunnels.with_names(path, message, |tunnel| {
        if Auth::new(&tunnel.config).judge_request(message).believed {
            tunnel.addresses.keep(path, message);
            tunnel.addresses.doubt(cx, tunnel.key, &tunnel.config);
        }
    });
}

/// Whether the SCCRQ has been answered before; it is answered again then.
fn is_repeated(cx: &mut Context, tunnel: &mut Tunnel, request: &Request<'_>) -> bool {
    // The newest, if there are several.
    if let Some(answer) = tunnel.members.iter_mut().rev().find(|c| is_answer_to(c, request)) {
        if !has_started_over(cx, answer) {
            answer.repeat_reply(cx, request.received.header.ns, request.received.message.len());
            return true;
        }
    }
    false
}

/// An SCCRQ that is new and may make a connection: a tie, a restart, or simply the first.
fn requested(cx: &mut Context, tunnel: &mut Tunnel, request: Request<'_>) {
    if tunnel.config.role == Role::Active {
        let why = "role active: this end does not answer, it only begins";
        let code = result(stopccn::NOT_AUTHORIZED, None, why);
        return refuse_request(cx, tunnel, &request, code);
    }
    let from = request.received.path.remote.ip();
    // The requests of two peers do not cross each other.
    let main = tunnel.members.main().filter(|c| !is_other_peer(tunnel, c.address(), from));
    match main.map(|c| (c.ccid(), c.state, c.tie_breaker)) {
        Some((ours, State::WaitCtlReply, tie)) => {
            if !gives_way(cx, tunnel, (ours, tie), &request) {
                return;
            }
        }
        Some((ours, State::Established, _)) => {
            // The peer came back from a restart, or this is a replay: the SCCCN will tell (C-130, C-362).
            cx.log(Event::AlreadyHaveTunnel { tunnel: ours });
        }
        Some((_, State::Idle | State::WaitCtlConn | State::Stopping | State::Linger, _)) | None => {}
    }
    accept(cx, tunnel, request);
}

/// Our own SCCRQ, sent back to us: its digest is valid, its tie breaker equal, and answering it would make us start
/// over for ever.
fn is_reflection(tunnel: &Tunnel, request: &Request<'_>) -> bool {
    let Request { set_up, .. } = request;
    tunnel.members.iter().filter(|c| c.initiator).any(|c| {
        let ours = &c.transport.auth.local_nonce;
        let same_nonce = set_up.nonce.as_ref().is_some_and(|n| !n.is_empty() && n == ours);
        same_nonce || set_up.assigned_ccid == c.ccid() && set_up.tie_breaker == c.tie_breaker
    })
}

/// Whether this connection answered this very SCCRQ before (C-129): same id, and same nonce and tie breaker - a peer
/// that restarted may choose the same id again.
fn is_answer_to(connection: &Connection, request: &Request<'_>) -> bool {
    let Request { set_up, received, .. } = request;
    !connection.initiator
        && connection.is_from(set_up.assigned_ccid, received.path)
        && connection.tie_breaker == set_up.tie_breaker
        && connection.request_nonce == set_up.nonce
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
fn has_started_over(cx: &Context, answer: &mut Connection) -> bool {
    let repeats_until = match answer.state {
        State::WaitCtlConn if answer.transport.channel.awaits_acknowledgement() => return false,
        State::WaitCtlConn => answer.heard,
        State::Established | State::Stopping | State::Linger => answer.since,
        State::Idle | State::WaitCtlReply => return false,
    };
    let random = answer.request_nonce.is_some() || answer.tie_breaker.is_some();
    let on_the_way = if random { UNLIKELY_STRAGGLERS } else { STRAGGLERS };
    let recorded = answer.answered_again && answer.transport.auth.mode == Mode::On;
    if cx.now.saturating_duration_since(repeats_until) < on_the_way || recorded {
        return false;
    }
    answer.answered_again = true;
    true
}

/// Our SCCRQ and the peer's cross (C-088). Whether ours gives way; if not, the request is answered here.
fn gives_way(
    cx: &mut Context,
    tunnel: &mut Tunnel,
    (ours, tie): (Ccid, Option<[u8; 8]>),
    request: &Request<'_>,
) -> bool {
    let peers = request.set_up.tie_breaker;
    cx.log(Event::ControlTieCheck { tunnel: ours, local: Tie(tie), remote: Tie(peers) });
    match break_tie(tie, peers) {
        TieBreak::Win => {
            cx.log(Event::WinTieBreak { tunnel: ours });
            refuse_request(cx, tunnel, request, result(stopccn::EXISTS, None, "tie breaker lost"));
            // The peer has just come to life and waits for our SCCRQ now; the next repetition may be far off.
            if let Some(c) = tunnel.members.main_mut().filter(|c| c.transport.channel.is_backing_off()) {
                c.transport.repeat_oldest(cx);
            }
            false
        }
        TieBreak::Lose => {
            // Ours lives until the peer has proved by its SCCCN that its SCCRQ is no recording.
            cx.log(Event::LoseTieBreak { tunnel: ours });
            true
        }
        TieBreak::Draw => {
            cx.log(Event::DrawTieBreak { tunnel: ours });
            tunnel.delete(cx, ours);
            let delay = cx.redraw_delay();
            tunnel.schedule(cx, delay);
            false
        }
        // C-095 would let both open; one connection a pair is what our users want, and ours always has one.
        TieBreak::NoTie => true,
    }
}

/// Idle and SCCRQ (C-111, C-112): SCCRP on a new connection, beside whatever serves the tunnel now.
fn accept(cx: &mut Context, tunnel: &mut Tunnel, request: Request<'_>) {
    let set_up = &request.set_up;
    if let Err(failure) = check_identity(cx, &tunnel.config, Ccid(0), set_up, MessageType::SCCRQ) {
        let code = result(stopccn::NOT_AUTHORIZED, None, &format!("{} does not match", failure.check));
        tunnel.attempt.fail(cx.now, failure);
        let who = || dropped::named(&set_up.host_name, set_up.router_id);
        cx.drop_request(&request.received.path, DropCause::Identity, who);
        refuse_request(cx, tunnel, &request, code);
        return tunnel.retry_unless_served(cx);
    }
    let Some((mut connection, nonce)) = tunnel.new_connection(cx, request.received.path) else {
        let code = result(stopccn::ERROR, Some(error::RESOURCES), "no resources for one more connection");
        refuse_request(cx, tunnel, &request, code);
        return tunnel.retry_unless_served(cx);
    };
    request.take(cx, &mut connection, nonce);
    reply(cx, tunnel, connection);
}

/// Answers an SCCRQ on a new connection, beside whatever serves the tunnel now.
fn reply(cx: &mut Context, tunnel: &mut Tunnel, connection: Connection) {
    let ccid = connection.ccid();
    count(&mut tunnel.members.counters.setups);
    count(&mut tunnel.members.counters.rx_messages);
    if !tunnel.file(cx, connection).is_some_and(|connection| connection.send_reply(cx)) {
        tunnel.delete(cx, ccid);
        tunnel.retry_unless_served(cx);
    }
}

/// Whether one more connection may be half open (C-364). Of those that linger the oldest gives way.
fn has_room(cx: &mut Context, tunnel: &mut Tunnel) -> bool {
    if tunnel.members.len() >= MAX_CONNECTIONS {
        let oldest = tunnel.members.in_state(State::Linger).next();
        oldest.into_iter().for_each(|oldest| tunnel.delete(cx, oldest));
    }
    let half_open = tunnel.members.in_state(State::WaitCtlConn).count();
    // Those who have not proved that they are there must not use up `max-tunnels` either.
    let within = cx.alive < cx.max_tunnels || cx.half_open == 0;
    within && half_open < HALF_OPEN_PER_TUNNEL && cx.half_open < HALF_OPEN_TOTAL
}

fn refuse_request(cx: &mut Context, tunnel: &Tunnel, request: &Request<'_>, code: ResultCode) {
    let to = (request.set_up.assigned_ccid, request.auth.clone());
    refuse(cx, tunnel, request.received, to, code);
}

/// A StopCCN for an SCCRQ that is refused, from an id of its own that is forgotten at once (C-090, C-091).
fn refuse(
    cx: &mut Context,
    tunnel: &Tunnel,
    Received { path, header, .. }: Received<'_>,
    (to, mut auth): (Ccid, Auth),
    code: ResultCode,
) {
    if let Some(own) = cx.draw_ccid() {
        auth.local_nonce.clear(); // it was never advertised
        let message = &Message::StopCcn(StopCcn { result: Some(code), assigned_ccid: Some(own) });
        cx.log(Event::Send { tunnel: Ccid(0), message: MessageType::STOPCCN });
        let numbers = (0, header.ns.wrapping_add(1));
        SingleMessage { path, ttl: tunnel.config.ttl, to, numbers, auth: &auth, message }.send(cx);
    }
}

/// A StopCCN from a peer that does not know our id: matched by its own (C-106). Whether it ended
/// a connection of ours.
fn stopped(
    cx: &mut Context,
    tunnels: &mut Tunnels,
    received: Received<'_>,
    message_type: &MessageTypeAvp,
) -> bool {
    let Received { path, header, message } = received;
    let options = DecodeOptions { secrets: &[], cisco: true, version_2: false };
    // The id may be hidden from us here; then the peer's retransmissions end by themselves.
    let Ok(Message::StopCcn(StopCcn { assigned_ccid: Some(assigned), .. })) =
        decode(message, &options).message
    else {
        cx.drop_message(&path, DropCause::Connection(header.ccid));
        return false;
    };
    let key = cx.peers.known_as(path.remote, assigned).next().map(|(_, key)| key);
    let Some(tunnel) = key.and_then(|key| tunnels.get_mut(key)) else {
        cx.drop_message(&path, DropCause::Stop);
        return false;
    };
    // The newest: a peer that started over with the id that it had means the one that it has not heard of yet.
    let newest = tunnel.members.iter_mut().rev().find(|c| c.is_from(assigned, path));
    let Some(connection) = newest else {
        cx.missing();
        return false;
    };
    let ccid = connection.ccid();
    let auth = &connection.transport.auth;
    let judgement = auth.judge(message);
    // The peer signs it with what it knows: its own nonce, and ours only if our SCCRP reached it. Without our nonce
    // it may be a replay: an established connection does not fall for that.
    let judgement = match judgement.believed || connection.state == State::Established {
        true => judgement,
        false => {
            let mut knows_nothing = auth.clone();
            knows_nothing.local_nonce.clear();
            knows_nothing.judge(message)
        }
    };
    if !judgement.believed {
        let judgement = Judgement { believed: false, ..judgement };
        notes::log_judgement(cx, ccid, MessageType::STOPCCN, judgement);
        count(&mut connection.transport.counters.rx_bad_digest);
        return false;
    }
    let receipt = connection.take_numbers(cx, received, message_type);
    receive::take(tunnel, cx, ccid, receipt, message);
    !tunnel.members.state(ccid).is_some_and(State::is_alive)
}
