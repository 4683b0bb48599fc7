//! Sessions that the peer asks for: is its ICRQ acceptable, does it cross one of ours (RFC 3931 7.3.2, 5.4.4)?

use std::time::{Duration, Instant};

use super::ending::result;
use super::session::State;
use super::snapshot::Failure;
use super::tunnel::{SlotKey, TunnelKey};
use super::Engine;
use crate::log::catalogue::{EndId, Tie};
use crate::log::Event;
use crate::wire::code::{cdn, error};
use crate::wire::message::{Circuit, Icrq, ResultCode};
use crate::wire::{Ccid, MessageType, SessionId};

/// Why a session is not acceptable: the CDN's code, and what is noted for `explain`.
#[derive(Debug)]
pub(super) struct Objection {
    pub code: ResultCode,
    pub failure: Failure,
}

fn objection(code: u16, error: Option<u16>, failure: Failure) -> Objection {
    let text = failure.to_string();
    Objection { code: result(code, error, &text), failure }
}

/// Who wins where two requests cross (RFC 3931 5.4.3, 5.4.4): the lower value, unsigned and big-endian; the side
/// that sent one, where only one did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TieBreak {
    /// Ours stands.
    Win,
    /// The peer's stands.
    Lose,
    /// The values are equal.
    Draw,
    /// Neither side sent one.
    NoTie,
}

/// Decides a tie.
pub fn break_tie(ours: Option<[u8; 8]>, peers: Option<[u8; 8]>) -> TieBreak {
    match (ours, peers) {
        (Some(ours), Some(peers)) => match ours.cmp(&peers) {
            std::cmp::Ordering::Less => TieBreak::Win,
            std::cmp::Ordering::Greater => TieBreak::Lose,
            std::cmp::Ordering::Equal => TieBreak::Draw,
        },
        (Some(_), None) => TieBreak::Win,
        (None, Some(_)) => TieBreak::Lose,
        (None, None) => TieBreak::NoTie,
    }
}

impl Engine {
    /// An ICRQ on an established connection (C-176, C-177).
    pub(super) fn call_requested(&mut self, now: Instant, ccid: Ccid, request: &Icrq) {
        let Some(key) = self.connections.get(&ccid).map(|c| c.tunnel) else { return };
        let Some(slot) = self.slot_for(key, &request.end_id) else {
            let end_id = EndId(request.end_id.clone());
            let known = self.end_ids(key);
            self.log(Event::NoSessionConfig { tunnel: ccid, end_id: end_id.clone() });
            let failure = Failure::compared("remote-end-id", known, format!("\"{end_id}\""), "M-043");
            self.log_detail(
                Event::RemoteEndIdMismatch { tunnel: ccid, message: MessageType::ICRQ },
                failure.to_string(),
            );
            if let Some(tunnel) = self.tunnels.get_mut(&key) {
                tunnel.attempt.failure = Some((failure, now));
            }
            let code = result(cdn::NO_FORWARDER, None, "no session with this Remote End ID");
            return self.refuse_call(now, ccid, request.ids, code);
        };
        if let Err(Objection { code, failure }) = self.check_request(ccid, key, slot, request) {
            self.fail_session(now, key, slot, failure);
            return self.refuse_call(now, ccid, request.ids, code);
        }
        let existing = self.tunnels.get(&key).and_then(|t| t.slot(slot)).and_then(|s| s.session);
        if let Some(id) = existing {
            if !self.gives_way(now, ccid, id, request) {
                return;
            }
        }
        self.accept_call(now, ccid, key, slot, request);
    }

    fn slot_for(&self, key: TunnelKey, end_id: &[u8]) -> Option<SlotKey> {
        let slots = &self.tunnels.get(&key)?.slots;
        let wanted =
            |s: &&super::tunnel::Slot| s.is_dynamic() && s.is_usable() && matches_end_id(&s.config, end_id);
        slots.iter().find(wanted).map(|s| s.key)
    }

    /// The configured end ids of a tunnel, for the detail of a mismatch.
    fn end_ids(&self, key: TunnelKey) -> String {
        let Some(tunnel) = self.tunnels.get(&key) else { return String::new() };
        let ids = tunnel.slots.iter().filter_map(|s| s.config.remote_end_id.clone());
        let ids: Vec<String> = ids.map(|id| format!("\"{}\"", EndId(id))).collect();
        if ids.is_empty() {
            "none (no session is configured)".to_owned()
        } else {
            ids.join(" or ")
        }
    }

    fn check_request(
        &mut self,
        ccid: Ccid,
        key: TunnelKey,
        slot: SlotKey,
        request: &Icrq,
    ) -> Result<(), Objection> {
        let Some(config) = self.tunnels.get(&key).and_then(|t| t.slot(slot)).map(|s| s.config.clone()) else {
            return Ok(());
        };
        if request.pw_type != config.pw_type() {
            let (expected, received) = (config.pw_type().to_string(), request.pw_type.to_string());
            let failure = Failure::compared("pseudowire type", expected, received, "");
            return Err(objection(cdn::PW_TYPE, None, failure));
        }
        self.check_circuit(ccid, key, slot, &request.circuit, MessageType::ICRQ)
    }

    /// The checks that ICRQ and ICRP have in common: cookie, sublayer, sequencing. All three are about what frames look
    /// like, so a difference cannot be passed over: freeRtr, SoftEther and Cisco IOS by default give no cookie, and
    /// need `cookie off` here, the default. An absent sublayer or sequencing AVP means none.
    pub(super) fn check_circuit(
        &mut self,
        ccid: Ccid,
        key: TunnelKey,
        slot: SlotKey,
        circuit: &Circuit,
        message: MessageType,
    ) -> Result<(), Objection> {
        let Some(slot) = self.tunnels.get(&key).and_then(|t| t.slot(slot)) else { return Ok(()) };
        let wanted = slot.config.cookie.octets() > 0;
        let given = circuit.cookie.is_some_and(|c| !c.is_empty());
        let mismatch = Some(error::VENDOR);
        match (wanted, given) {
            (true, false) => {
                self.log(Event::CookieNotFound { tunnel: ccid, message });
                let failure = Failure::compared("cookie", "a cookie", "none", "M-033");
                return Err(objection(cdn::ERROR, mismatch, failure));
            }
            (false, true) => {
                self.log(Event::CookieOffButFound { tunnel: ccid, message });
                let failure = Failure::compared("cookie", "none", "a cookie", "M-035");
                return Err(objection(cdn::ERROR, mismatch, failure));
            }
            (true, true) | (false, false) => {}
        }
        check_sublayer(circuit, false)
    }

    /// There is a session for the same end already. Whether it gives way to the peer's request; if not, the
    /// request is answered here.
    fn gives_way(&mut self, now: Instant, ccid: Ccid, id: SessionId, request: &Icrq) -> bool {
        let Some(session) = self.sessions.get(&id) else { return true };
        let (key, slot, state) = (session.tunnel, session.slot, session.state);
        let ours = session.tie_breaker;
        match state {
            State::WaitReply if !session.attaching => {
                let (local, peer) = (Tie(Some(ours)), Tie(request.tie_breaker));
                self.log(Event::SessionTieCheck { tunnel: ccid, local, peer });
                match break_tie(Some(ours), request.tie_breaker) {
                    TieBreak::Win => {
                        if let Some(session) = self.sessions.get_mut(&id) {
                            session.won_tie = true;
                        }
                        self.refuse_call(now, ccid, request.ids, result(cdn::TIE, None, ""));
                        false
                    }
                    TieBreak::Lose => {
                        self.give_way(now, id, "our request gave way to the peer's");
                        true
                    }
                    // C-159, C-161: both start over, a little apart.
                    TieBreak::Draw | TieBreak::NoTie => {
                        self.give_way(now, id, "equal tie breakers: starting over");
                        let delay = self.redraw_delay();
                        self.schedule_slot(now, key, slot, delay);
                        false
                    }
                }
            }
            // The peer has dropped that session, or lost it in a restart, and begins again.
            State::WaitReply | State::WaitConnect | State::Established => {
                self.clear_session_with(now, id, result(cdn::FSM, None, "replaced by a new request"));
                true
            }
        }
    }

    /// 0.2 to 2 s: two ends that drew must not begin in step again (C-093).
    pub(super) fn redraw_delay(&mut self) -> Duration {
        let mut octets = [0; 2];
        let _ = self.random.fill(&mut octets);
        Duration::from_millis(200_u64.saturating_add(u64::from(u16::from_be_bytes(octets)) % 1800))
    }

    /// Idle and acceptable ICRQ (C-176): the interface is attached, then the ICRP is sent.
    fn accept_call(&mut self, now: Instant, ccid: Ccid, key: TunnelKey, slot: SlotKey, request: &Icrq) {
        self.log(Event::CreateNewSession { tunnel: ccid });
        self.log(Event::BeginNewSession { tunnel: ccid });
        let Some(mut session) = self.new_session(now, key, slot, ccid) else {
            let code = result(cdn::TEMPORARY, None, "no facilities at the moment");
            self.refuse_call(now, ccid, request.ids, code);
            return self.reschedule_slot(now, key, slot);
        };
        session.state = State::WaitConnect;
        session.remote = request.ids.local;
        session.serial = request.serial;
        session.remote_circuit = Some(request.circuit_status);
        let id = session.local;
        self.file_session(session);
        self.take_circuit(id, &request.circuit);
        self.log(Event::ReceiveState { message: MessageType::ICRQ, state: "IDLE" });
        self.attach(ccid, id);
    }
}

/// Whether we can send what the peer asks for; an ICCN may add to what its ICRQ asked for already.
pub(super) fn check_sublayer(circuit: &Circuit, had_sublayer: bool) -> Result<(), Objection> {
    // C-147: a sublayer that we cannot produce.
    if let Some(sublayer @ 2..) = circuit.sublayer {
        let failure = Failure::compared("l2-sublayer", "0 or 1", sublayer.to_string(), "");
        return Err(objection(cdn::ERROR, Some(error::RANGE), failure));
    }
    // C-148: numbers have their place in the sublayer.
    let has_sublayer = circuit.sublayer.map_or(had_sublayer, |sublayer| sublayer == 1);
    if circuit.sequencing.is_some_and(|s| s != 0) && !has_sublayer {
        let failure = Failure::new("the peer asks for sequence numbers without the default sublayer", "");
        return Err(objection(cdn::SEQUENCING, None, failure));
    }
    Ok(())
}

/// Remote End IDs are compared as octets; a peer that sends a number as four octets means the configured digits.
fn matches_end_id(config: &crate::config::model::Session, received: &[u8]) -> bool {
    let Some(configured) = config.remote_end_id.as_deref() else { return false };
    if configured == received {
        return true;
    }
    // RFC 4719 2.2: a four-octet identifier must be supported.
    let digits = std::str::from_utf8(configured).ok().and_then(|d| d.parse::<u32>().ok());
    digits.is_some_and(|d| d.to_be_bytes() == received && d.to_string().as_bytes() == configured)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c_089_c_094_c_157_c_160_ties() {
        let value = |v: u64| Some(v.to_be_bytes());
        for (ours, peers, expected) in [
            (value(0x0123_4567_89ab_cdef), value(0x0123_4567_89ab_cdf0), TieBreak::Win),
            (value(0x0123_4567_89ab_cdef), value(0), TieBreak::Lose),
            (value(0x0123_4567_89ab_cdef), value(0x0123_4567_89ab_cdef), TieBreak::Draw),
            (value(0x7fff_ffff_ffff_ffff), value(0x8000_0000_0000_0000), TieBreak::Win),
            (value(0xff), value(0x0100_0000_0000_0000), TieBreak::Win),
            (value(1), None, TieBreak::Win),
            (None, value(1), TieBreak::Lose),
            (None, None, TieBreak::NoTie),
        ] {
            assert_eq!(break_tie(ours, peers), expected, "{ours:?} {peers:?}");
        }
    }
}
