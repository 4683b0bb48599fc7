//! [`Message`] -> AVPs (RFC 3931 6): order, M bits, dialect, hiding.
//!
//! Order: Message Type, Message Digest, then the AVPs in the order of the RFC's lists, required ones first; a
//! Random Vector right before the first hidden AVP; Cisco's copies at the end, as Cisco's equipment has them.
//!
//! Cisco's copies have the M bit clear when the AVPs of the RFC are there too: a peer that does not know vendor 9
//! must be able to pass over them. Alone, they have the M bit of the AVP they stand for: a receiver that does not
//! know them cannot use the message. What RFC 3931 added and Cisco has no number for is not mandatory then. The digest and its
//! nonce are written as RFC 3931 has them in every dialect, since how the draft computed its digest is not published.

use super::attribute::{self, number, Attribute, AvpId};
use super::digest;
use super::message::{
    Cdn, EncodeError, EncodeOptions, Iccn, Icrp, Icrq, Message, ResultCode, SessionAvps, SessionIds, SetUp,
    Sli, StopCcn,
};
use super::{avp, header, hidden, CircuitStatus, MessageType};

/// The draft that Cisco's AVPs follow, as its equipment says it.
const CISCO_DRAFT: u16 = 1;
/// The AVP that says so.
const DRAFT_VERSION: AvpId = AvpId { vendor: attribute::CISCO, attribute: number::CISCO_DRAFT_VERSION };

/// Writes a control message, from the T bit on. The header's CCID, Ns and Nr are 0 and the digest is zero:
/// [`super::header::stamp`] and [`super::digest::sign`] fill them in at each transmission.
///
/// A StopCCN or CDN without a result, an empty Host Name and the like cannot be encoded.
pub fn encode(message: &Message, options: &EncodeOptions<'_>) -> Result<Vec<u8>, EncodeError> {
    let mut writer = Writer::new(message.message_type(), options);
    writer.put(number::MESSAGE_TYPE, &message.message_type().0.to_be_bytes())?;
    if options.digest {
        writer.put(number::MESSAGE_DIGEST, &[digest::HMAC_MD5; 1 + digest::MD5_LENGTH])?;
    }
    match message {
        Message::Sccrq(set_up) | Message::Sccrp(set_up) => writer.set_up(set_up)?,
        Message::Scccn | Message::Hello | Message::Ack => {}
        Message::StopCcn(stop) => writer.stop_ccn(stop)?,
        Message::Icrq(icrq) => writer.icrq(icrq)?,
        Message::Icrp(icrp) => writer.icrp(icrp)?,
        Message::Iccn(iccn) => writer.iccn(iccn)?,
        Message::Ocrq(ids) | Message::Ocrp(ids) | Message::Occn(ids) | Message::Wen(ids) => {
            writer.ids(ids)?
        }
        Message::Cdn(cdn) => writer.cdn(cdn)?,
        Message::Sli(sli) => writer.sli(sli)?,
    }
    writer.finish()
}

/// Makes a message, whose digest is not computed yet, so many octets long by AVPs that say nothing where nothing is
/// hidden after them: Random Vectors, which may stand in any message, several of them too (RFC 3931 5.3). They are made
/// of `random` over and over. It stays as it is where fewer octets are missing than an AVP has, or it cannot be so long.
pub fn pad(message: &mut Vec<u8>, length: usize, random: &[u8; 16]) {
    const LEAST: usize = avp::HEADER + 1;
    let Ok(whole) = u16::try_from(length) else { return };
    let mut missing = length.saturating_sub(message.len());
    if missing < LEAST {
        return;
    }
    while missing > 0 {
        let longest = avp::HEADER.saturating_add(avp::MAX_VALUE);
        // Never so many that what is left is too short for an AVP.
        let octets = match missing.saturating_sub(longest) {
            0 => missing,
            1..LEAST => longest.saturating_sub(LEAST),
            _ => longest,
        };
        let value = random.iter().copied().cycle().take(octets.saturating_sub(avp::HEADER));
        let flags = 0x8000 | u16::try_from(octets).unwrap_or_default(); // M bit; at most 1023
        for field in [flags, attribute::IETF, number::RANDOM_VECTOR] {
            message.extend(field.to_be_bytes());
        }
        message.extend(value);
        missing = missing.saturating_sub(octets);
    }
    let [l0, l1] = whole.to_be_bytes();
    if let Some(field) = message.get_mut(2..4) {
        field.copy_from_slice(&[l0, l1]);
    }
}

/// A ZLB: a header without AVPs, the bare acknowledgement where there is no authentication (RFC 3931 6.15).
pub fn encode_zlb() -> Vec<u8> {
    let mut out = vec![0; header::LENGTH];
    set_start(&mut out, header::LENGTH.to_be_bytes());
    out
}

/// Flags, version and Length.
fn set_start(message: &mut [u8], length: [u8; size_of::<usize>()]) {
    let [.., l0, l1] = length;
    let [f0, f1] = header::FLAGS.to_be_bytes();
    if let Some(start) = message.first_chunk_mut() {
        *start = [f0, f1, l0, l1];
    }
}

/// A Cisco copy that waits for the end of the message.
struct Copy {
    id: AvpId,
    attribute: &'static Attribute,
    value: Vec<u8>,
}

/// A message in the making.
struct Writer<'o> {
    kind: MessageType,
    options: &'o EncodeOptions<'o>,
    out: Vec<u8>,
    copies: Vec<Copy>,
    random_vector_written: bool,
}

impl<'o> Writer<'o> {
    fn new(kind: MessageType, options: &'o EncodeOptions<'o>) -> Writer<'o> {
        Writer { kind, options, out: encode_zlb(), copies: Vec::new(), random_vector_written: false }
    }

    fn set_up(&mut self, set_up: &SetUp) -> Result<(), EncodeError> {
        let capabilities: Vec<u8> = set_up.pw_capabilities.iter().flat_map(|pw| pw.to_be_bytes()).collect();
        self.put(number::HOST_NAME, &set_up.host_name)?;
        self.put(number::ROUTER_ID, &set_up.router_id)?;
        self.put(number::ASSIGNED_CCID, &set_up.assigned_ccid.0.to_be_bytes())?;
        self.put(number::PW_CAPABILITIES, &capabilities)?;
        self.put_some(number::RECEIVE_WINDOW_SIZE, set_up.receive_window.map(u16::to_be_bytes))?;
        self.put_some(number::NONCE, set_up.nonce.as_deref())?;
        if self.kind == MessageType::SCCRQ {
            self.put_some(number::TIE_BREAKER, set_up.tie_breaker)?;
        }
        self.put_some(number::VENDOR_NAME, set_up.vendor_name.as_deref())?;
        if self.options.dialect.cisco {
            if let Some(attribute) = attribute::find(DRAFT_VERSION, self.kind) {
                let value = CISCO_DRAFT.to_be_bytes().to_vec();
                self.copies.push(Copy { id: attribute.id, attribute, value });
            }
        }
        Ok(())
    }

    fn stop_ccn(&mut self, stop: &StopCcn) -> Result<(), EncodeError> {
        self.result_code(stop.result.as_ref())?;
        self.put_some(number::ASSIGNED_CCID, stop.assigned_ccid.map(|ccid| ccid.0.to_be_bytes()))
    }

    fn icrq(&mut self, icrq: &Icrq) -> Result<(), EncodeError> {
        self.ids(&icrq.ids)?;
        self.put(number::SERIAL_NUMBER, &icrq.serial.to_be_bytes())?;
        self.put(number::PSEUDOWIRE_TYPE, &icrq.pw_type.to_be_bytes())?;
        self.put(number::REMOTE_END_ID, &icrq.end_id)?;
        self.circuit_status(Some(icrq.circuit_status))?;
        self.put_some(number::TIE_BREAKER, icrq.tie_breaker)?;
        self.session_avps(&icrq.avps)
    }

    fn icrp(&mut self, icrp: &Icrp) -> Result<(), EncodeError> {
        self.ids(&icrp.ids)?;
        self.circuit_status(Some(icrp.circuit_status))?;
        self.session_avps(&icrp.avps)
    }

    fn iccn(&mut self, iccn: &Iccn) -> Result<(), EncodeError> {
        self.ids(&iccn.ids)?;
        self.circuit_status(iccn.circuit_status)?;
        self.session_avps(&iccn.avps)
    }

    fn cdn(&mut self, cdn: &Cdn) -> Result<(), EncodeError> {
        self.result_code(cdn.result.as_ref())?;
        self.ids(&cdn.ids)
    }

    fn sli(&mut self, sli: &Sli) -> Result<(), EncodeError> {
        self.ids(&sli.ids)?;
        self.circuit_status(sli.circuit_status)
    }

    fn ids(&mut self, ids: &SessionIds) -> Result<(), EncodeError> {
        self.put(number::LOCAL_SESSION_ID, &ids.local.0.to_be_bytes())?;
        self.put(number::REMOTE_SESSION_ID, &ids.remote.0.to_be_bytes())
    }

    fn circuit_status(&mut self, status: Option<CircuitStatus>) -> Result<(), EncodeError> {
        self.put_some(number::CIRCUIT_STATUS, status.map(|status| status.0.to_be_bytes()))
    }

    /// What does not belong into this message is left out: the cookie of an ICCN, for one.
    fn session_avps(&mut self, avps: &SessionAvps) -> Result<(), EncodeError> {
        if self.kind != MessageType::ICCN {
            self.put_some(number::ASSIGNED_COOKIE, avps.cookie.as_ref().map(|cookie| cookie.as_slice()))?;
        }
        self.put_some(number::SUBLAYER, avps.sublayer.map(u16::to_be_bytes))?;
        self.put_some(number::DATA_SEQUENCING, avps.sequencing.map(u16::to_be_bytes))?;
        self.put_some(number::TX_SPEED, avps.tx_speed.map(u64::to_be_bytes))?;
        self.put_some(number::RX_SPEED, avps.rx_speed.map(u64::to_be_bytes))?;
        if self.kind != MessageType::ICCN {
            self.put_some(number::PHYSICAL_CHANNEL_ID, avps.physical_channel.map(u32::to_be_bytes))?;
        }
        self.put_some(number::INTERFACE_MTU, avps.interface_mtu.map(u16::to_be_bytes))?;
        self.put_some(number::MRU, avps.mru.map(u16::to_be_bytes))?;
        self.put_some(number::MRRU, avps.mrru.map(u16::to_be_bytes))
    }

    /// RFC 3931 6.4, 6.12: neither message may do without a Result Code.
    fn result_code(&mut self, result: Option<&ResultCode>) -> Result<(), EncodeError> {
        let Some(result) = result else { return Err(EncodeError { name: "Result Code", length: 0 }) };
        let mut value = result.result.to_be_bytes().to_vec();
        if result.error.is_some() || result.message.is_some() {
            value.extend(result.error.unwrap_or_default().to_be_bytes());
        }
        value.extend(result.message.iter().flatten());
        self.put(number::RESULT_CODE, &value)
    }

    fn put_some(&mut self, number: u16, value: Option<impl AsRef<[u8]>>) -> Result<(), EncodeError> {
        value.map_or(Ok(()), |value| self.put(number, value.as_ref()))
    }

    /// Writes an AVP of RFC 3931, its copy for Cisco, or both, as the dialect wants.
    fn put(&mut self, number: u16, value: &[u8]) -> Result<(), EncodeError> {
        let Some(attribute) = attribute::find(AvpId::ietf(number), self.kind) else { return Ok(()) };
        if !attribute.length_fits(value.len()) {
            return Err(EncodeError { name: attribute.name, length: value.len() });
        }
        let dialect = self.options.dialect;
        let copy = self.cisco_number(number).filter(|_| dialect.cisco);
        if dialect.ietf || copy.is_none() {
            // A peer that speaks the draft alone must be able to pass over newer AVPs, like the Router ID.
            let newer = number > number::LAST_OF_VERSION_2
                && !matches!(number, number::MESSAGE_DIGEST | number::NONCE);
            let mandatory = attribute.mandatory && (dialect.ietf || !newer);
            self.write(attribute, attribute.id, mandatory, value)?;
        }
        if let Some(number) = copy {
            let id = AvpId { vendor: attribute::CISCO, attribute: number };
            self.copies.push(Copy { id, attribute, value: value.to_vec() });
        }
        Ok(())
    }

    /// Cisco's number of an AVP that has one of its own: digests have not, nor has the tie breaker of a connection.
    fn cisco_number(&self, number: u16) -> Option<u16> {
        match number {
            number::MESSAGE_DIGEST | number::NONCE => None,
            number::TIE_BREAKER if !self.kind.is_session() => None,
            _ => attribute::cisco_number(number),
        }
    }

    fn write(
        &mut self,
        attribute: &Attribute,
        id: AvpId,
        mandatory: bool,
        value: &[u8],
    ) -> Result<(), EncodeError> {
        let too_long = |length| EncodeError { name: attribute.name, length };
        let Some(hide) = self.options.hide.filter(|_| attribute.may_hide) else {
            return self.append(id, mandatory, false, value).ok_or(too_long(value.len()));
        };
        if !self.random_vector_written {
            self.random_vector_written = true;
            self.put(number::RANDOM_VECTOR, hide.random_vector)?;
        }
        let octets = hidden::hide(id.attribute, value, &[], hide.random_vector, hide.secret);
        octets.and_then(|octets| self.append(id, mandatory, true, &octets)).ok_or(too_long(value.len()))
    }

    /// The octets of an AVP; `None` if the value is too long for one.
    fn append(&mut self, id: AvpId, mandatory: bool, hide: bool, value: &[u8]) -> Option<()> {
        if value.len() > avp::MAX_VALUE {
            return None;
        }
        let length = u16::try_from(value.len().checked_add(avp::HEADER)?).ok()?;
        let flags = u16::from(mandatory) << 15 | u16::from(hide) << 14 | length;
        for field in [flags, id.vendor, id.attribute] {
            self.out.extend(field.to_be_bytes());
        }
        self.out.extend(value);
        Some(())
    }

    fn finish(mut self) -> Result<Vec<u8>, EncodeError> {
        for copy in std::mem::take(&mut self.copies) {
            let mandatory = copy.attribute.mandatory && !self.options.dialect.ietf;
            self.write(copy.attribute, copy.id, mandatory, &copy.value)?;
        }
        let length = self.out.len();
        if length > usize::from(u16::MAX) {
            return Err(EncodeError { name: "message", length });
        }
        set_start(&mut self.out, length.to_be_bytes());
        Ok(self.out)
    }
}
