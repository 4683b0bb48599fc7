//! A session (RFC 3931 3.4, 5.4.4): what was agreed with the peer, and what our messages say of it.

pub mod receive;
pub mod setup;
pub mod slot;
pub mod slots;
pub mod table;

use std::time::Instant;

use super::action::{Attachment, Fragments, Path, SequenceLevel};
use super::connection::Connection;
use super::context::Context;
use super::result::{result, Objection};
use super::snapshot::{count, Cause, Failure};
use crate::config::model::{Oversize, SessionConfig, Sublayer};
use crate::log::Event;
use crate::saved::saved;
use crate::wheel::TimerId;
use crate::wire::code::{cdn, error};
use crate::wire::message::{Cdn, Icrq, ResultCode, SessionAvps, SessionIds};
use crate::wire::{Ccid, CircuitStatus, Cookie, Message, MessageType, SessionId};
use table::State;

/// The longest data message that the system hands over, without IP and UDP header: what IPv6 and UDP leave of 65,535
/// octets.
const LONGEST_MESSAGE: u16 = 65_487;

saved! {
    /// A session that is being set up or established.
    #[derive(Debug, Clone)]
    pub struct Session {
        /// Its control connection; `None` for a manual session.
        pub connection: Option<Ccid>,
        /// The path of that, or of the tunnel.
        pub path: Path,
        /// Our Session ID.
        pub local: SessionId,
        /// The peer's id; 0 until it is known.
        pub remote: SessionId,
        /// Its state (RFC 3931 7.3).
        pub state: State,
        /// When it was begun or established.
        pub since: Instant,
        /// The interface is being attached (or is attached, once this is false again and `attached` true).
        pub attaching: bool,
        /// The data plane knows it.
        pub attached: bool,
        /// The ICCN is here; it asked for something that the interface is attached anew for.
        pub connected: bool,
        /// Serial Number of the ICRQ.
        pub serial: u32,
        /// The tie breaker of our ICRQ.
        pub tie_breaker: [u8; 8],
        /// The peer's ICRQ for the same end lost against ours.
        pub won_tie: bool,
        /// The cookie that we assigned.
        pub cookie_expected: Cookie,
        /// The cookie that the peer assigned.
        pub cookie_to_send: Cookie,
        /// The peer wants the default sublayer.
        pub sublayer_to_send: bool,
        /// We want the default sublayer.
        pub sublayer_expected: bool,
        /// What the peer wants numbered.
        pub sequence_send: SequenceLevel,
        /// The status of the peer's circuit, once it has advertised it.
        pub remote_circuit: Option<CircuitStatus>,
        /// The interface MTU that the peer advertised, in octets.
        pub remote_mtu: Option<u16>,
        /// What the peer takes, if it takes fragments of frames.
        pub remote_fragments: Option<Fragments>,
        /// The circuit status that we advertised last.
        pub advertised: CircuitStatus,
        /// The number of our first frame, or of one that was sent before a crash.
        pub first_sequence: u32,
        /// Runs while an answer to our ICRQ or ICRP is awaited.
        pub guard: Option<TimerId>,
        /// The next SLI waits for this.
        pub status_timer: Option<TimerId>,
    }
}

impl Session {
    /// A session in wait-reply, with our id, and random octets for the cookie that we assign.
    pub fn new(
        now: Instant,
        path: Path,
        local: SessionId,
        cookie: [u8; 8],
        config: &SessionConfig,
    ) -> Session {
        let cookie_expected = cookie.get(..config.cookie.octets()).and_then(Cookie::new);
        Session {
            connection: None,
            path,
            local,
            remote: SessionId(0),
            state: State::WaitReply,
            since: now,
            attaching: false,
            attached: false,
            connected: false,
            serial: 0,
            tie_breaker: [0; 8],
            won_tie: false,
            cookie_expected: cookie_expected.unwrap_or(Cookie::NONE),
            cookie_to_send: Cookie::NONE,
            sublayer_to_send: false,
            sublayer_expected: config.sublayer == Sublayer::Default,
            sequence_send: SequenceLevel::None,
            remote_circuit: None,
            remote_mtu: None,
            remote_fragments: None,
            advertised: CircuitStatus(CircuitStatus::ACTIVE),
            first_sequence: 0,
            guard: None,
            status_timer: None,
        }
    }

    /// What an engine that begins anew has to know to go on with it.
    pub fn to_record(&self, moment: Instant) -> Session {
        let (since, guard, status_timer) = (moment, None, None);
        Session { since, guard, status_timer, attaching: false, attached: false, ..self.clone() }
    }

    /// Its ids as our messages carry them.
    pub fn ids(&self) -> SessionIds {
        SessionIds { local: self.local, remote: self.remote }
    }

    /// Whether frames may be sent to the peer, as far as its circuit is concerned.
    pub fn peer_circuit_up(&self) -> bool {
        self.remote_circuit.is_none_or(CircuitStatus::carries_traffic)
    }

    /// Whether the peer's circuit is up, be it on standby.
    pub fn peer_circuit_active(&self) -> bool {
        self.remote_circuit.is_none_or(|c| CircuitStatus(c.0 & !CircuitStatus::STANDBY).carries_traffic())
    }

    /// Whether the peer's circuit is on standby: its frames are not delivered (RFC 5641 2).
    pub fn peer_on_standby(&self) -> bool {
        self.remote_circuit.is_some_and(|c| c.0 & CircuitStatus::STANDBY != 0)
    }

    /// What our ICRQ and ICRP ask of the peer: our cookie, our sublayer, numbers on its frames.
    pub fn avps(&self, config: &SessionConfig) -> SessionAvps {
        SessionAvps {
            cookie: (!self.cookie_expected.is_empty()).then(|| self.cookie_expected.clone()),
            sublayer: self.sublayer_expected.then_some(1),
            sequencing: config.sequencing.receives().then_some(2),
            // RFC 4623 5.4: an MRRU does not stand without an MRU.
            mru: config.longest_reassembled().map(|_| LONGEST_MESSAGE),
            mrru: config.longest_reassembled(),
            ..SessionAvps::default()
        }
    }

    /// Takes over what the peer asks of us.
    pub fn take(&mut self, avps: &SessionAvps, config: &SessionConfig) {
        if let Some(cookie) = &avps.cookie {
            self.cookie_to_send = cookie.clone();
        }
        if let Some(sublayer) = avps.sublayer {
            self.sublayer_to_send = sublayer == 1;
        }
        self.sequence_send = match avps.sequencing {
            _ if config.sequencing.sends() && self.sublayer_to_send => SequenceLevel::All,
            Some(2) => SequenceLevel::All,
            Some(1) => SequenceLevel::NonIp,
            Some(_) => SequenceLevel::None,
            None => self.sequence_send,
        };
        self.remote_mtu = avps.interface_mtu.or(self.remote_mtu);
        if let (Some(message), Some(frame)) = (avps.mru, avps.mrru) {
            self.remote_fragments = Some(Fragments { message: message.into(), frame: frame.into() });
        }
    }

    /// What the peer takes, if fragments may be sent to it: it says so, and all that is sent is numbered.
    pub fn fragments_to_send(&self, config: &SessionConfig) -> Option<Fragments> {
        let numbered = self.sublayer_to_send && self.sequence_send == SequenceLevel::All;
        self.remote_fragments.filter(|_| numbered && config.oversize == Oversize::Pseudowire)
    }

    /// What the data plane needs to know.
    pub fn attachment(&self, tunnel: &str, config: &SessionConfig) -> Attachment {
        Attachment {
            interface: config.interface.clone(),
            tunnel: tunnel.to_owned(),
            connection: self.connection,
            local: self.local,
            remote: self.remote,
            cookie_expected: self.cookie_expected.clone(),
            cookie_to_send: self.cookie_to_send.clone(),
            sublayer_expected: self.sublayer_expected,
            sublayer_to_send: self.sublayer_to_send,
            sequence_send: self.sequence_send,
            sequence_receive: config.sequencing.receives() && self.sublayer_expected,
            fragments_to_send: self.fragments_to_send(config),
            fragments_expected: config.longest_reassembled().map(usize::from),
            path: self.path,
        }
    }
}

/// The status of a circuit that is new: N is set in the message that announces it (RFC 4719; deprecated by RFC 5641,
/// but nothing forbids it).
pub fn new_circuit(status: CircuitStatus) -> CircuitStatus {
    CircuitStatus(CircuitStatus::NEW | status.0)
}

/// A CDN for a session that does not exist here: one that is refused, or one that lost a tie. Its Local Session ID is
/// what the peer called us, or a fresh one, never that of another session of ours (C-162).
pub fn refuse_call(cx: &mut Context, connection: &mut Connection, peer: SessionIds, code: ResultCode) {
    let local = match peer.remote {
        SessionId(0) => cx.draw_session_id(),
        known => Some(known),
    };
    if let Some(local) = local {
        count(&mut connection.transport.counters.rx_refused);
        cx.log(Event::Send { tunnel: connection.ccid(), message: MessageType::CDN });
        let ids = SessionIds { local, remote: peer.local };
        // What cannot be sent is repeated by the peer, or ends at its guard.
        let _ = connection.transport.enqueue(cx, &Message::Cdn(Cdn { ids, result: Some(code) }));
    }
}

fn objection(code: u16, error: Option<u16>, failure: Failure) -> Objection {
    let text = failure.to_string();
    Objection { code: result(code, error, &text), failure }
}

/// Whether the peer's ICRQ is acceptable for this session block.
pub fn check_request(
    cx: &mut Context,
    ccid: Ccid,
    config: &SessionConfig,
    request: &Icrq,
) -> Result<(), Objection> {
    if request.pw_type != config.pw_type() {
        let (expected, received) = (config.pw_type().to_string(), request.pw_type.to_string());
        let failure = Failure::compared("pseudowire type", expected, received, Cause::Other);
        return Err(objection(cdn::PW_TYPE, None, failure));
    }
    check_avps(cx, ccid, config, &request.avps, MessageType::ICRQ)
}

/// The checks that ICRQ and ICRP have in common: cookie, sublayer, sequencing. All three are about what frames look
/// like, so a difference cannot be passed over: freeRtr, SoftEther and Cisco IOS by default give no cookie, and
/// need `cookie off` here, the default. An absent sublayer or sequencing AVP means none.
pub fn check_avps(
    cx: &mut Context,
    tunnel: Ccid,
    config: &SessionConfig,
    avps: &SessionAvps,
    message: MessageType,
) -> Result<(), Objection> {
    let given = avps.cookie.as_ref().is_some_and(|c| !c.is_empty());
    let (event, [expected, received], cause) = match (config.cookie.octets() > 0, given) {
        (true, false) => (Event::CookieNotFound { tunnel, message }, ["a cookie", "none"], Cause::NoCookie),
        (false, true) => (Event::CookieOffButFound { tunnel, message }, ["none", "a cookie"], Cause::Cookie),
        (true, true) | (false, false) => return check_sublayer(avps, false),
    };
    cx.log(event);
    let failure = Failure::compared("cookie", expected, received, cause);
    Err(objection(cdn::ERROR, Some(error::VENDOR), failure))
}

/// Whether we can send what the peer asks for; an ICCN may add to what its ICRQ asked for already.
pub fn check_sublayer(avps: &SessionAvps, had_sublayer: bool) -> Result<(), Objection> {
    // C-147: a sublayer that we cannot produce.
    if let Some(sublayer @ 2..) = avps.sublayer {
        let failure = Failure::compared("l2-sublayer", "0 or 1", sublayer.to_string(), Cause::Other);
        return Err(objection(cdn::ERROR, Some(error::RANGE), failure));
    }
    // C-148: numbers have their place in the sublayer.
    let has_sublayer = avps.sublayer.map_or(had_sublayer, |sublayer| sublayer == 1);
    if avps.sequencing.is_some_and(|s| s != 0) && !has_sublayer {
        let failure =
            Failure::new("the peer asks for sequence numbers without the default sublayer", Cause::Other);
        return Err(objection(cdn::SEQUENCING, None, failure));
    }
    Ok(())
}
