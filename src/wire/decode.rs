//! AVPs -> [`Message`] (RFC 3931 5.2, 6, 7.1).
//!
//! Two steps: [`Collector`] looks at every AVP of the message by itself (known? in its place? unhidden? of the
//! right length and range?), then the message is put together from what passed. The first fault decides the
//! refusal, but the rest of the AVPs is read all the same: the answer needs the sender's ids.

use std::borrow::Cow;

use super::attribute::{self, number, Attribute, AvpId, Lookup};
use super::avp::{self, MessageTypeAvp, RawAvp};
use super::hidden;
use super::message::{
    Cdn, DecodeOptions, Decoded, Dialect, Iccn, Icrp, Icrq, Message, Note, Refusal, ResultCode, SessionAvps,
    SessionIds, SetUp, Sli, StopCcn, Why,
};
use super::read::Reader;
use super::{Ccid, CircuitStatus, Cookie, MessageType, SessionId};

/// Reads a control message whose header and AVP structure are sound ([`super::avp::check_structure`] said so).
/// `message` begins at the T bit and is cut to its Length. A header without AVPs (ZLB) decodes as [`Message::Ack`].
///
/// A StopCCN or CDN takes effect whatever else is wrong with it, since its sender has closed already: faults in
/// it are noted. Only a CDN that does not say which session it means is refused.
pub fn decode(message: &[u8], options: &DecodeOptions<'_>) -> Decoded {
    let mut avps = avp::iter(message);
    let Some(first) = avps.next() else { return Decoded { message: Ok(Message::Ack), notes: Vec::new() } };
    let kind = match message_type(&first, options.cisco) {
        Ok(kind) => kind,
        Err(refusal) => return Decoded { message: Err(refusal), notes: Vec::new() },
    };
    let mut collector =
        Collector { kind, options, random_vector: None, found: Vec::new(), notes: Vec::new(), why: None };
    for avp in avps {
        collector.add(&avp);
    }
    collector.finish()
}

/// The type of a message from its first AVP. Vendor 9's type 0 (or 20) is Cisco's explicit acknowledgement.
fn message_type(first: &RawAvp<'_>, cisco: bool) -> Result<MessageType, Refusal> {
    let (vendor, value, mandatory) = match avp::message_type(first) {
        Ok(MessageTypeAvp::Type { vendor, value, mandatory }) => (vendor, value, mandatory),
        Ok(MessageTypeAvp::Zlb) | Err(_) => (first.id.vendor, MessageType(0), first.mandatory),
    };
    match vendor {
        attribute::IETF if value.name().is_some() => Ok(value),
        attribute::CISCO if cisco && matches!(value.0, 0 | 20) => Ok(MessageType::ACK),
        _ => Err(Refusal {
            message: value,
            why: Why::UnknownMessageType { vendor, mandatory },
            assigned_ccid: None,
            ids: None,
        }),
    }
}

/// An AVP that passed all checks.
struct CheckedAvp<'a> {
    attribute: &'static Attribute,
    /// Under Cisco's number.
    copy: bool,
    value: Cow<'a, [u8]>,
}

/// The AVPs of one message.
struct Collector<'a, 'o> {
    kind: MessageType,
    options: &'o DecodeOptions<'o>,
    random_vector: Option<&'a [u8]>,
    found: Vec<CheckedAvp<'a>>,
    notes: Vec<Note>,
    why: Option<Why>,
}

impl<'a> Collector<'a, '_> {
    fn add(&mut self, avp: &RawAvp<'a>) {
        let RawAvp { id, mandatory, .. } = *avp;
        let options = self.options;
        match attribute::look_up(id, self.kind, options.cisco, options.version_2) {
            Lookup::Known(known) => self.add_known(avp, known, false),
            Lookup::CiscoCopy(known) => self.add_known(avp, known, true),
            Lookup::PassedOver => {}
            Lookup::UnknownVendor => {
                let length = avp.value.len().saturating_add(avp::HEADER);
                self.notes.push(Note::UnknownVendor { avp: id, length, mandatory });
                self.unknown(avp);
            }
            // The M bit of vendor 9 says nothing: IOS sets it on what it can do without itself, like the tie breaker
            // and the unpublished AVP of its SLI.
            Lookup::UnknownAttribute if mandatory && id.vendor == attribute::CISCO => {
                self.notes.push(Note::UnknownOfCisco { attribute: id.attribute });
            }
            Lookup::UnknownAttribute => {
                self.notes.push(Note::UnknownAttribute { avp: id, mandatory });
                self.unknown(avp);
            }
        }
    }

    /// RFC 3931 5.2: the M bit decides.
    fn unknown(&mut self, avp: &RawAvp<'_>) {
        if avp.mandatory {
            self.why.get_or_insert(Why::UnknownMandatory(avp.id));
        }
    }

    fn add_known(&mut self, avp: &RawAvp<'a>, attribute: &'static Attribute, copy: bool) {
        if !attribute.belongs(self.kind) {
            if attribute.is_strange_in(self.kind) {
                self.notes.push(Note::NotInThisMessage { name: attribute.name });
            }
            return;
        }
        // RFC 3931 says nothing of repeated AVPs, and Cisco's cable equipment sends Pseudowire Type and Data Sequencing
        // twice: the first one counts.
        if self.found.iter().any(|found| found.attribute == attribute && found.copy == copy) {
            return;
        }
        match self.read(avp, attribute) {
            // The closest Random Vector before a hidden AVP is the one that was used (RFC 3931 5.3).
            Ok(_) if attribute.id.attribute == number::RANDOM_VECTOR => self.random_vector = Some(avp.value),
            Ok(value) => self.found.push(CheckedAvp { attribute, copy, value }),
            Err(why) => self.malformed(avp, attribute, why),
        }
    }

    /// The value of an AVP in the clear, if its length and range are right.
    fn read(&self, avp: &RawAvp<'a>, attribute: &'static Attribute) -> Result<Cow<'a, [u8]>, Why> {
        let value = if avp.hidden {
            Cow::Owned(self.unhide(avp, attribute).ok_or(Why::BadHiding(attribute))?)
        } else {
            Cow::Borrowed(avp.value)
        };
        if !attribute.length_fits(value.len()) {
            return Err(Why::BadLength { avp: attribute, length: value.len() });
        }
        if !in_range(attribute.id.attribute, &value) {
            return Err(Why::BadValue(attribute));
        }
        Ok(value)
    }

    /// While a password is being changed there are two secrets: the one under which the length makes sense is it.
    fn unhide(&self, avp: &RawAvp<'_>, attribute: &Attribute) -> Option<Vec<u8>> {
        let random_vector = self.random_vector.filter(|_| attribute.may_hide)?;
        let mut values = self
            .options
            .secrets
            .iter()
            .filter_map(|secret| hidden::unhide(avp.id.attribute, avp.value, random_vector, secret));
        let first = values.next()?;
        if attribute.length_fits(first.len()) {
            return Some(first);
        }
        Some(values.find(|value| attribute.length_fits(value.len())).unwrap_or(first))
    }

    /// RFC 3931 7.1: a malformed AVP is treated like an unknown one.
    fn malformed(&mut self, avp: &RawAvp<'_>, attribute: &Attribute, why: Why) {
        if attribute.id.attribute == number::RESULT_CODE {
            // Reported as missing at the end.
        } else if avp.mandatory && !self.closes() {
            self.why.get_or_insert(why);
        } else {
            self.notes.push(Note::Ignored { name: attribute.name, length: avp.value.len(), why });
        }
    }

    /// Whether the message takes effect whatever is wrong with it.
    fn closes(&self) -> bool {
        matches!(self.kind, MessageType::STOPCCN | MessageType::CDN)
    }

    fn finish(mut self) -> Decoded {
        if self.closes() {
            self.why = None;
            if self.get(number::RESULT_CODE).is_none() {
                self.notes.push(Note::BadResultCode);
            }
        }
        let why = self.why.take().or_else(|| self.missing());
        let message = match why {
            None => self.build(),
            Some(why) => Err(why),
        };
        let message = message.map_err(|why| Refusal {
            message: self.kind,
            why,
            assigned_ccid: self.u32(number::ASSIGNED_CCID).map(Ccid),
            ids: self.any_ids(),
        });
        Decoded { message, notes: self.notes }
    }

    /// The first required AVP that is not there. Of messages that are acknowledged and no more, only the ids are
    /// demanded; a missing Result Code has been noted.
    fn missing(&self) -> Option<Why> {
        let ids_only =
            matches!(self.kind, MessageType::OCRQ | MessageType::OCRP | MessageType::OCCN | MessageType::WEN);
        attribute::TABLE
            .iter()
            .filter(|row| row.required.contains(self.kind))
            .filter(|row| !matches!(row.id.attribute, number::MESSAGE_TYPE | number::RESULT_CODE))
            .filter(|row| {
                !ids_only || matches!(row.id.attribute, number::LOCAL_SESSION_ID | number::REMOTE_SESSION_ID)
            })
            .filter(|row| {
                !self.draft_only() || !matches!(row.id.attribute, number::ROUTER_ID | number::CIRCUIT_STATUS)
            })
            .find(|row| self.get(row.id.attribute).is_none())
            .map(Why::Missing)
    }

    /// Whether the sender knows no AVPs but Cisco's: its id, which is in every such message, is there in that form
    /// alone. Cisco IOS in its default mode sends no Router ID and, in ICRQ and ICRP, no Circuit Status.
    fn draft_only(&self) -> bool {
        let own_id =
            |row: &Attribute| matches!(row.id.attribute, number::ASSIGNED_CCID | number::LOCAL_SESSION_ID);
        let mut ids = self.found.iter().filter(|found| own_id(found.attribute));
        ids.clone().next().is_some() && ids.all(|found| found.copy)
    }

    /// The message, once nothing required is missing.
    fn build(&self) -> Result<Message, Why> {
        Ok(match self.kind {
            MessageType::SCCRQ => Message::Sccrq(self.set_up()?),
            MessageType::SCCRP => Message::Sccrp(self.set_up()?),
            MessageType::SCCCN => Message::Scccn,
            MessageType::STOPCCN => Message::StopCcn(StopCcn {
                result: self.result_code(),
                assigned_ccid: self.u32(number::ASSIGNED_CCID).map(Ccid),
            }),
            MessageType::HELLO => Message::Hello,
            MessageType::OCRQ => Message::Ocrq(self.ids()?),
            MessageType::OCRP => Message::Ocrp(self.ids()?),
            MessageType::OCCN => Message::Occn(self.ids()?),
            MessageType::ICRQ => Message::Icrq(Icrq {
                ids: self.ids()?,
                serial: self.require(number::SERIAL_NUMBER, Self::u32)?,
                pw_type: self.require(number::PSEUDOWIRE_TYPE, Self::u16)?,
                end_id: self.require(number::REMOTE_END_ID, Self::octets)?,
                circuit_status: self.require(number::CIRCUIT_STATUS, Self::announced_status)?,
                tie_breaker: self.array(number::TIE_BREAKER),
                avps: self.session_avps(),
            }),
            MessageType::ICRP => Message::Icrp(Icrp {
                ids: self.ids()?,
                circuit_status: self.require(number::CIRCUIT_STATUS, Self::announced_status)?,
                avps: self.session_avps(),
            }),
            MessageType::ICCN => Message::Iccn(Iccn {
                ids: self.ids()?,
                circuit_status: self.circuit_status(number::CIRCUIT_STATUS),
                avps: self.session_avps(),
            }),
            MessageType::CDN => Message::Cdn(Cdn { ids: self.ids()?, result: self.result_code() }),
            MessageType::WEN => Message::Wen(self.ids()?),
            MessageType::SLI => Message::Sli(Sli {
                ids: self.ids()?,
                circuit_status: self.circuit_status(number::CIRCUIT_STATUS),
            }),
            MessageType::ACK => Message::Ack,
            _ => return Err(Why::UnknownMessageType { vendor: attribute::IETF, mandatory: true }),
        })
    }

    fn set_up(&self) -> Result<SetUp, Why> {
        let capabilities = self.require(number::PW_CAPABILITIES, Self::octets)?;
        let ietf =
            |number| self.found.iter().any(|found| !found.copy && found.attribute.id.attribute == number);
        Ok(SetUp {
            host_name: self.require(number::HOST_NAME, Self::octets)?,
            router_id: match self.array(number::ROUTER_ID) {
                None if self.draft_only() => [0; 4],
                found => found.ok_or_else(|| self.absent(number::ROUTER_ID))?,
            },
            assigned_ccid: Ccid(self.require(number::ASSIGNED_CCID, Self::u32)?),
            pw_capabilities: capabilities
                .chunks_exact(2)
                .filter_map(|pair| pair.try_into().ok().map(u16::from_be_bytes))
                .collect(),
            // RFC 3931 5.4.3 wants it not to be zero and does not say what to do then: the default holds.
            receive_window: self.u16(number::RECEIVE_WINDOW_SIZE).filter(|window| *window != 0),
            tie_breaker: self.array(number::TIE_BREAKER),
            nonce: self.octets(number::NONCE),
            vendor_name: self.octets(number::VENDOR_NAME),
            dialect: Dialect {
                ietf: ietf(number::ASSIGNED_CCID),
                cisco: self.found.iter().any(|found| found.copy),
            },
        })
    }

    /// The ids of a message that is refused: one of them tells already which session it means.
    fn any_ids(&self) -> Option<SessionIds> {
        let [local, remote] = [number::LOCAL_SESSION_ID, number::REMOTE_SESSION_ID]
            .map(|number| SessionId(self.u32(number).unwrap_or_default()));
        (local.0 != 0 || remote.0 != 0).then_some(SessionIds { local, remote })
    }

    fn ids(&self) -> Result<SessionIds, Why> {
        Ok(SessionIds {
            local: SessionId(self.require(number::LOCAL_SESSION_ID, Self::u32)?),
            remote: SessionId(self.require(number::REMOTE_SESSION_ID, Self::u32)?),
        })
    }

    fn session_avps(&self) -> SessionAvps {
        SessionAvps {
            cookie: self.get(number::ASSIGNED_COOKIE).and_then(Cookie::new),
            sublayer: self.u16(number::SUBLAYER),
            sequencing: self.u16(number::DATA_SEQUENCING),
            tx_speed: self.array(number::TX_SPEED).map(u64::from_be_bytes),
            rx_speed: self.array(number::RX_SPEED).map(u64::from_be_bytes),
            physical_channel: self.u32(number::PHYSICAL_CHANNEL_ID),
            interface_mtu: self.u16(number::INTERFACE_MTU),
            mru: self.u16(number::MRU),
            mrru: self.u16(number::MRRU),
        }
    }

    fn result_code(&self) -> Option<ResultCode> {
        let mut reader = Reader::new(self.get(number::RESULT_CODE)?);
        let result = reader.u16()?;
        let error = reader.u16();
        let message = Some(reader.rest()).filter(|text| !text.is_empty()).map(<[u8]>::to_vec);
        Some(ResultCode { result, error, message })
    }

    /// The value of an AVP of RFC 3931, under its own number or Cisco's; its own goes first.
    fn get(&self, number: u16) -> Option<&[u8]> {
        // Vendor 9 has attributes of its own, whose numbers mean something else here.
        let is_it = |row: &Attribute| row.id == AvpId::ietf(number);
        let mut values = self.found.iter().filter(|found| is_it(found.attribute));
        let first = values.next()?;
        let best = if first.copy { values.next().unwrap_or(first) } else { first };
        Some(&best.value)
    }

    fn require<T>(&self, number: u16, read: impl Fn(&Self, u16) -> Option<T>) -> Result<T, Why> {
        read(self, number).ok_or_else(|| self.absent(number))
    }

    fn absent(&self, number: u16) -> Why {
        let id = AvpId::ietf(number);
        attribute::find(id, self.kind).map_or(Why::UnknownMandatory(id), Why::Missing)
    }

    fn octets(&self, number: u16) -> Option<Vec<u8>> {
        self.get(number).map(<[u8]>::to_vec)
    }

    fn array<const N: usize>(&self, number: u16) -> Option<[u8; N]> {
        self.get(number)?.try_into().ok()
    }

    fn u16(&self, number: u16) -> Option<u16> {
        self.array(number).map(u16::from_be_bytes)
    }

    fn u32(&self, number: u16) -> Option<u32> {
        self.array(number).map(u32::from_be_bytes)
    }

    fn circuit_status(&self, number: u16) -> Option<CircuitStatus> {
        self.u16(number).map(CircuitStatus)
    }

    /// The status in ICRQ and ICRP; a peer that speaks the draft and sends none means a circuit that is new and up.
    fn announced_status(&self, number: u16) -> Option<CircuitStatus> {
        let silent = CircuitStatus(CircuitStatus::ACTIVE | CircuitStatus::NEW);
        self.circuit_status(number).or_else(|| self.draft_only().then_some(silent))
    }
}

/// Whether a value of the right length is one that the RFC allows.
fn in_range(number: u16, value: &[u8]) -> bool {
    match number {
        // RFC 3931 5.4.3, 5.4.4: both are "non-zero".
        number::ASSIGNED_CCID | number::LOCAL_SESSION_ID => value.iter().any(|octet| *octet != 0),
        // RFC 3931 5.4.4: 0 to 2.
        number::DATA_SEQUENCING => matches!(value, [0, 0..=2]),
        _ => true,
    }
}
