//! What happens to a received control message, step by step; the first failure ends it. The order matters:
//! structure, then the digest, and only then Nr, Ns and what the message says (C-045, C-225).

use std::time::Instant;

use super::action::Path;
use super::auth::{Judgement, Mode};
use super::channel::{Acknowledgement, Order};
use super::connection::{row, Row, State};
use super::ending::result;
use super::snapshot::Failure;
use super::Engine;
use crate::log::{Event, Level};
use crate::wire::avp::{self, MessageTypeAvp, StructureError};
use crate::wire::code::{cdn, stopccn};
use crate::wire::header::{self, Header, HeaderError};
use crate::wire::message::{decode, DecodeOptions, Decoded, Note, Refusal, Why};
use crate::wire::{Ccid, Encapsulation, Message, MessageType, SessionId};

const SERIAL_NUMBER: u16 = 15;
const ASSIGNED_COOKIE: u16 = 65;

impl Engine {
    /// A control message came in, from the T bit on.
    pub fn handle_datagram(&mut self, now: Instant, path: Path, message: &[u8]) {
        let Some((header, message)) = self.check_header(path, message) else { return };
        if header.ccid == Ccid(0) || header.version != 3 {
            return self.unbound_message(now, path, header, message);
        }
        let ccid = header.ccid;
        let Some(connection) = self.connections.get(&ccid) else {
            self.drops.unknown_ccid = self.drops.unknown_ccid.saturating_add(1);
            return;
        };
        let (known, state) = (connection.path, connection.state);
        let same_port = known.remote.port() == path.remote.port();
        // RFC 3931 4.1.1.2: a peer may answer our SCCRQ from another port; later only a digest lets it move.
        let may_move = state == State::WaitCtlReply || connection.auth.mode == Mode::On;
        let same_host = known.remote.ip() == path.remote.ip() && known.encapsulation == path.encapsulation;
        if !same_host || !(same_port || may_move) {
            self.drops.wrong_source = self.drops.wrong_source.saturating_add(1);
            return;
        }
        let discard_reserved = connection.discard_reserved;
        self.count(ccid, |c| c.rx_messages = c.rx_messages.saturating_add(1));
        let Some(message_type) = self.check_structure(ccid, message, discard_reserved) else {
            return self.count(ccid, |c| c.rx_malformed = c.rx_malformed.saturating_add(1));
        };
        if !self.authenticate(ccid, message, &message_type) {
            return self.count(ccid, |c| c.rx_bad_digest = c.rx_bad_digest.saturating_add(1));
        }
        self.believed_message(now, ccid, path, &header, message, &message_type);
    }

    /// The header checks, in the order of the catalogue's advice; the first that fails is logged.
    fn check_header<'a>(&mut self, path: Path, message: &'a [u8]) -> Option<(Header, &'a [u8])> {
        const FUNC: &str = "recv_packet";
        let error = match header::parse(message, path.encapsulation == Encapsulation::Udp) {
            Ok(parsed) => return Some(parsed),
            Err(error) => error,
        };
        let counter = match error {
            HeaderError::Short(_) => &mut self.drops.short,
            HeaderError::NoT | HeaderError::NoL | HeaderError::NoS => &mut self.drops.flags,
            HeaderError::Version(_) => &mut self.drops.version,
            HeaderError::Length(_) => &mut self.drops.length,
        };
        *counter = counter.saturating_add(1);
        match error {
            HeaderError::Short(_) => {}
            HeaderError::NoT => self.log(Event::TBitNotSet { func: FUNC }),
            HeaderError::Version(_) => self.log(Event::OnlyL2tpv3 { func: FUNC }),
            HeaderError::NoL => self.log(Event::LBitNotSet { func: FUNC }),
            HeaderError::NoS => self.log(Event::SBitNotSet { func: FUNC }),
            HeaderError::Length(length) => self.log(Event::WrongSize { tunnel: Ccid(0), func: FUNC, length }),
        }
        None
    }

    /// Walks the AVPs; a message that cannot be walked counts as not received (its Ns is not used up).
    pub(super) fn check_structure(
        &mut self,
        ccid: Ccid,
        message: &[u8],
        discard: bool,
    ) -> Option<MessageTypeAvp> {
        let error = match avp::check_structure(message, discard) {
            Ok(message_type) => return Some(message_type),
            Err(error) => error,
        };
        match error {
            StructureError::WrongSize(length) => {
                self.log(Event::WrongSize { tunnel: ccid, func: "avp_handler", length });
            }
            StructureError::TooMany => {
                let length = message.len();
                let detail = format!("more than {} AVPs", avp::MAX_AVPS);
                self.log_detail(Event::WrongSize { tunnel: ccid, func: "avp_handler", length }, detail);
            }
            StructureError::FirstAvpNotMessageType => {
                self.log(Event::FirstAvpNotMessageType { tunnel: ccid })
            }
            StructureError::ReservedBit { vendor, attribute } => {
                let detail = format!("vendor {vendor}, attribute {attribute}");
                self.log_detail(Event::ReservedBitSet { tunnel: ccid }, detail);
            }
        }
        self.log(Event::AvpHandlerFailed { tunnel: ccid });
        None
    }

    /// Whether a message on a connection may be believed; if not, nothing of it is used (C-224).
    fn authenticate(&mut self, ccid: Ccid, message: &[u8], message_type: &MessageTypeAvp) -> bool {
        let Some(connection) = self.connections.get_mut(&ccid) else { return false };
        // An SCCRP for an SCCRQ that was given up is signed like any other (C-100).
        let given_up = connection.state == State::Linger && connection.remote_ccid == Ccid(0);
        let waits_for_reply = connection.state == State::WaitCtlReply || given_up;
        let (judgement, kind) = match *message_type {
            // C-049: a ZLB has no digest; it serves only where there are none.
            MessageTypeAvp::Zlb => {
                let believed = connection.auth.mode != Mode::On && connection.auth.remote_nonce.is_empty();
                (Judgement { believed, unsupported: None, nonce_missing: false }, MessageType::ACK)
            }
            MessageTypeAvp::Type { vendor: 0, value: MessageType::SCCRP, .. } if waits_for_reply => {
                (connection.auth.judge_reply(message), MessageType::SCCRP)
            }
            MessageTypeAvp::Type { value, .. } => (connection.auth.judge(message), value),
        };
        self.log_judgement(ccid, kind, judgement);
        judgement.believed
    }

    pub(super) fn log_judgement(&mut self, ccid: Ccid, message: MessageType, judgement: Judgement) {
        if let Some(digest_type) = judgement.unsupported {
            self.log(Event::DigestTypeUnsupported {
                tunnel: ccid,
                func: "check_digest",
                digest_type,
                message,
            });
        }
        if judgement.nonce_missing {
            self.log(Event::NonceNotFound { tunnel: ccid });
        } else if !judgement.believed {
            self.log(Event::DigestInvalid { tunnel: ccid, message });
        }
    }

    /// A message that may be believed: Nr, then Ns (RFC 3931 4.2).
    pub(super) fn believed_message(
        &mut self,
        now: Instant,
        ccid: Ccid,
        path: Path,
        header: &Header,
        message: &[u8],
        message_type: &MessageTypeAvp,
    ) {
        let Some(connection) = self.connections.get_mut(&ccid) else { return };
        let acknowledgement = connection.channel.acknowledged(header.nr);
        if acknowledgement == Acknowledgement::Invalid {
            return self.count(ccid, |c| c.rx_bad_nr = c.rx_bad_nr.saturating_add(1));
            // C-043
        }
        connection.heard = now;
        self.dispel_doubt(ccid);
        let bare = is_acknowledgement(message_type);
        if bare {
            self.log(Event::ReceiveExplicitAck { tunnel: ccid });
            self.count(ccid, |c| c.rx_acks = c.rx_acks.saturating_add(1));
        }
        if acknowledgement != Acknowledgement::Acknowledges(0) {
            self.restart_retransmission(now, ccid);
            self.flush(now, ccid);
        }
        // C-039: an acknowledgement is never acknowledged.
        if !bare {
            self.sequenced_message(now, ccid, path, header, message);
        }
        self.check_stopped(ccid);
    }

    /// A message that takes an Ns: process it in its turn, and acknowledge it in any case.
    fn sequenced_message(&mut self, now: Instant, ccid: Ccid, path: Path, header: &Header, message: &[u8]) {
        let Some(connection) = self.connections.get_mut(&ccid) else { return };
        let (order, nr) = (connection.channel.order(header.ns), connection.channel.nr());
        match order {
            Order::Next => {
                self.follow_peer(ccid, path);
                self.process(now, ccid, message);
                while let Some(early) = self.connections.get_mut(&ccid).and_then(|c| c.channel.take_early()) {
                    self.process(now, ccid, &early);
                }
            }
            Order::Old => {
                connection.channel.acknowledge_again(); // C-036
                self.log(Event::SequenceMismatch { tunnel: ccid, ns: header.ns, nr });
                self.count(ccid, |c| c.rx_duplicates = c.rx_duplicates.saturating_add(1));
            }
            Order::Ahead(_) => {
                connection.channel.keep_early(header.ns, message); // C-041
                connection.channel.acknowledge_again();
                self.log(Event::SequenceMismatch { tunnel: ccid, ns: header.ns, nr });
                self.count(ccid, |c| c.rx_out_of_order = c.rx_out_of_order.saturating_add(1));
            }
        }
        self.acknowledge(now, ccid);
    }

    /// A stopping connection is done once everything is acknowledged.
    fn check_stopped(&mut self, ccid: Ccid) {
        let Some(connection) = self.connections.get(&ccid) else { return };
        if connection.state == State::Stopping && connection.channel.is_empty() {
            self.delete(ccid);
        }
    }

    /// A new message came from another port of the peer (NAT), or shows which local address it reached.
    fn follow_peer(&mut self, ccid: Ccid, path: Path) {
        let Some(connection) = self.connections.get_mut(&ccid) else { return };
        let moved = connection.path.remote != path.remote;
        if !moved && connection.path.local == path.local {
            return;
        }
        connection.path = path;
        for session in connection.sessions.iter().filter_map(|id| self.sessions.get(id)) {
            // What is not attached yet is attached with the path of then.
            if session.attached || session.attaching {
                self.actions.push_back(super::Action::Move { session: session.local, path });
            }
        }
        if moved {
            self.remark(Level::Info, "moved", format!("[{ccid}] the peer is at {} now", path.remote));
        }
    }

    /// The expected message: it uses up its Ns whatever it says.
    fn process(&mut self, now: Instant, ccid: Ccid, message: &[u8]) {
        let Some(connection) = self.connections.get_mut(&ccid) else { return };
        connection.channel.advance();
        let secrets = connection.auth.hiding_secrets();
        let options = DecodeOptions { secrets: &secrets, cisco: connection.cisco, version_2: false };
        let Decoded { message: decoded, notes } = decode(message, &options);
        let kind = match &decoded {
            Ok(message) => message.message_type(),
            Err(refusal) => refusal.message,
        };
        self.log_notes(ccid, kind, &notes);
        match decoded {
            Ok(message) => self.dispatch(now, ccid, &message),
            Err(refusal) => self.refuse_message(now, ccid, &refusal),
        }
    }

    pub(super) fn log_notes(&mut self, ccid: Ccid, message: MessageType, notes: &[Note]) {
        for note in notes {
            match *note {
                Note::UnknownVendor { vendor, attribute, length, mandatory: _ } => {
                    self.log(Event::UnknownVendor { vendor, attribute, length });
                }
                Note::UnknownAttribute { vendor, attribute, mandatory } => {
                    let detail = format!("vendor {vendor}, attribute {attribute} in {message}");
                    let event = match mandatory {
                        true => Event::NoHandler { tunnel: ccid },
                        false => Event::NoHandlerNotMandatory { tunnel: ccid },
                    };
                    self.log_detail(event, detail);
                }
                Note::UnknownOfCisco { attribute } => {
                    let text = format!(
                        "[{ccid}] AVP {attribute} of vendor 9 in {message} is not known: ignored, though its M bit is set"
                    );
                    self.remark(Level::Debug, "avp-ignored", text);
                }
                Note::NotInThisMessage { name } => {
                    self.log(Event::AvpInvalidInMessage { tunnel: ccid, avp: name, message });
                }
                Note::Ignored { name, length, why } => {
                    self.log_cookie_length(ccid, &why);
                    let text = format!(
                        "[{ccid}] {name} of {length} octets in {message} is malformed and not mandatory: ignored"
                    );
                    self.remark(Level::Debug, "avp-ignored", text);
                }
                Note::BadResultCode => {
                    let detail =
                        format!("{message} without a well-formed Result Code; honoured all the same");
                    self.log_detail(Event::AvpHandlerFailed { tunnel: ccid }, detail);
                }
            }
        }
    }

    /// A cookie of a length that cannot be has a line of its own, whatever becomes of the message.
    fn log_cookie_length(&mut self, ccid: Ccid, why: &Why) {
        if let Why::BadLength { attribute: ASSIGNED_COOKIE, length, .. } = *why {
            self.log(Event::InvalidCookieLength { tunnel: ccid, func: "avp_handler", length });
        }
    }

    /// The log lines for why a message is refused.
    pub(super) fn log_refusal(&mut self, ccid: Ccid, refusal: &Refusal) {
        let message = refusal.message;
        match refusal.why {
            Why::UnknownMessageType { vendor, .. } => {
                // A type that IANA has assigned is one without a handler here; the others mean nothing at all.
                let event = match vendor == 0 && message.is_assigned() {
                    true => Event::UnhandledMessageType { tunnel: ccid, func: "dispatch", message },
                    false => Event::MessageTypeUnknown { tunnel: ccid, message },
                };
                return self.log(event);
            }
            // Its line was logged with the notes.
            Why::UnknownMandatory { .. } => return,
            Why::Missing { attribute: SERIAL_NUMBER, .. } => {
                self.log(Event::SerialNumberNotFound { tunnel: ccid, message });
            }
            Why::BadLength { .. } => self.log_cookie_length(ccid, &refusal.why),
            Why::BadValue { .. } | Why::BadHiding { .. } | Why::Missing { .. } => {}
        }
        self.log_detail(Event::AvpHandlerFailed { tunnel: ccid }, format!("{message}: {}", refusal.why));
    }

    /// A message on a connection that cannot be accepted: session messages cost their session, the others the
    /// connection (RFC 3931 5.2, 7.1; C-197, C-198, C-206, C-207, C-210, C-211).
    fn refuse_message(&mut self, now: Instant, ccid: Ccid, refusal: &Refusal) {
        self.log_refusal(ccid, refusal);
        if matches!(refusal.why, Why::UnknownMessageType { mandatory: false, .. }) {
            return;
        }
        let Some(connection) = self.connections.get_mut(&ccid) else { return };
        let (key, state) = (connection.tunnel, connection.state);
        if matches!(state, State::Stopping | State::Linger) {
            return;
        }
        if let (Ccid(0), Some(assigned)) = (connection.remote_ccid, refusal.assigned_ccid) {
            connection.remote_ccid = assigned; // a bad SCCRP: the StopCCN goes to its sender
        }
        let failure =
            Failure::new(format!("{} cannot be accepted: {}", refusal.message, refusal.why), "M-037");
        if refusal.message.is_session() && state == State::Established {
            return self.refuse_session_message(now, ccid, refusal, failure);
        }
        let code = result(stopccn::ERROR, Some(refusal.why.error_code()), &refusal.why.to_string());
        self.count(ccid, |c| c.rx_refused = c.rx_refused.saturating_add(1));
        self.fail_connection(now, ccid, failure);
        self.close(now, ccid, code);
        self.schedule_unless_served(now, key);
    }

    /// A session message that cannot be accepted ends its session with a CDN; the connection is not at fault.
    fn refuse_session_message(&mut self, now: Instant, ccid: Ccid, refusal: &Refusal, failure: Failure) {
        // Without any id: nobody to send a CDN to.
        let Some(ids) = refusal.ids else { return };
        let code = result(cdn::ERROR, Some(refusal.why.error_code()), &refusal.why.to_string());
        let id = self.find_session(ccid, ids);
        let Some(session) = id.and_then(|id| self.sessions.get_mut(&id)) else {
            if let Some(key) = self.connections.get(&ccid).map(|c| c.tunnel) {
                self.note_failure(now, key, failure);
            }
            if ids.local != SessionId(0) && refusal.message != MessageType::CDN {
                self.refuse_call(now, ccid, ids, code);
            }
            return;
        };
        if session.remote == SessionId(0) {
            session.remote = ids.local; // a bad ICRP: the CDN names its sender's session
        }
        let (id, key, slot) = (session.local, session.tunnel, session.slot);
        match refusal.message {
            MessageType::CDN => self.drop_session(now, id, "the peer closed it"), // C-153: no CDN back
            _ => self.clear_session_with(now, id, code),
        }
        self.fail_session(now, key, slot, failure);
        self.reschedule_slot(now, key, slot);
    }

    /// A complete message, for the state machines.
    fn dispatch(&mut self, now: Instant, ccid: Ccid, message: &Message) {
        let Some(connection) = self.connections.get(&ccid) else { return };
        let state = connection.state;
        let message_type = message.message_type();
        match (row(state, message_type), message) {
            (Row::AcceptReply, Message::Sccrp(reply)) => self.accept_reply(now, ccid, reply),
            (Row::AcceptConnected, _) => self.accept_connected(now, ccid),
            (Row::Hello, _) => self.log(Event::ReceiveHello { tunnel: ccid }),
            (Row::Session, Message::Icrq(request)) => self.call_requested(now, ccid, request),
            (Row::Session, _) => self.session_message(now, ccid, message),
            (Row::Stop, Message::StopCcn(stop)) => self.peer_stopped(now, ccid, stop),
            (Row::Unsupported, _) => self.outgoing_call(now, ccid, message),
            (Row::Decline, Message::Sccrp(reply)) if connection.remote_ccid == Ccid(0) => {
                self.decline_reply(now, ccid, reply.assigned_ccid);
            }
            (Row::Ignore | Row::AcceptReply | Row::Stop | Row::Decline, _) => {
                let state = state.log_name();
                self.log(Event::ReceiveIgnored { tunnel: ccid, message: message_type, state });
                self.count(ccid, |c| c.rx_ignored = c.rx_ignored.saturating_add(1));
            }
        }
    }

    /// Ethernet pseudowires have no outgoing calls (RFC 4719 2.2): an OCRQ is refused, the rest is acknowledged
    /// (C-189, C-190).
    fn outgoing_call(&mut self, now: Instant, ccid: Ccid, message: &Message) {
        match message {
            Message::Ocrq(ids) => {
                self.log(Event::OcrqUnsupported { tunnel: ccid, func: "recv_ocrq" });
                let code = result(cdn::PERMANENT, None, "outgoing calls are not supported");
                self.refuse_call(now, ccid, *ids, code);
            }
            Message::Ocrp(_) => self.log(Event::OcrpUnsupported { tunnel: ccid, func: "recv_ocrp" }),
            Message::Occn(_) => self.log(Event::OccnUnsupported { tunnel: ccid, func: "recv_occn" }),
            Message::Sccrq(_)
            | Message::Sccrp(_)
            | Message::Scccn
            | Message::StopCcn(_)
            | Message::Hello
            | Message::Icrq(_)
            | Message::Icrp(_)
            | Message::Iccn(_)
            | Message::Cdn(_)
            | Message::Wen(_)
            | Message::Sli(_)
            | Message::Ack => {}
        }
    }
}

/// A ZLB, an ACK message, or the ACK of Cisco's draft-era implementation (vendor 9, type 0).
fn is_acknowledgement(message_type: &MessageTypeAvp) -> bool {
    match *message_type {
        MessageTypeAvp::Zlb => true,
        MessageTypeAvp::Type { vendor, value, .. } => {
            (vendor == 0 && value == MessageType::ACK) || (vendor == 9 && value == MessageType(0))
        }
    }
}
