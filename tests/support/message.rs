//! Control messages as the scripted peer writes and reads them, straight from RFC 3931: no code of the daemon, so
//! that a fault of its codec cannot hide behind the same fault here.

use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};

pub const SCCRQ: u16 = 1;
pub const SCCRP: u16 = 2;
pub const SCCCN: u16 = 3;
pub const STOPCCN: u16 = 4;
pub const HELLO: u16 = 6;
pub const OCRQ: u16 = 7;
pub const OCRP: u16 = 8;
pub const OCCN: u16 = 9;
pub const ICRQ: u16 = 10;
pub const ICRP: u16 = 11;
pub const ICCN: u16 = 12;
pub const CDN: u16 = 14;
pub const ACK: u16 = 20;

pub fn hmac_md5(key: &[u8], parts: &[&[u8]]) -> [u8; 16] {
    let mut mac = Hmac::<Md5>::new_from_slice(key).expect("any length");
    for part in parts {
        Mac::update(&mut mac, part);
    }
    Mac::finalize(mac).into_bytes().into()
}

fn md5(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Md5::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

/// One AVP to send.
#[derive(Clone, Debug)]
pub struct Avp {
    pub mandatory: bool,
    pub hidden: bool,
    pub reserved: u8,
    pub vendor: u16,
    pub attribute: u16,
    pub value: Vec<u8>,
    /// A false Length field.
    pub length: Option<u16>,
}

pub fn avp(attribute: u16, value: &[u8]) -> Avp {
    Avp {
        mandatory: true,
        hidden: false,
        reserved: 0,
        vendor: 0,
        attribute,
        value: value.to_vec(),
        length: None,
    }
}

impl Avp {
    pub fn optional(mut self) -> Avp {
        self.mandatory = false;
        self
    }

    pub fn write(&self, to: &mut Vec<u8>) {
        let length = self.length.unwrap_or(6 + self.value.len() as u16);
        let flags = u16::from(self.mandatory) << 15 | u16::from(self.hidden) << 14;
        let flags = flags | u16::from(self.reserved) << 10;
        to.extend((flags | (length & 0x3ff)).to_be_bytes());
        to.extend(self.vendor.to_be_bytes());
        to.extend(self.attribute.to_be_bytes());
        to.extend(&self.value);
    }
}

/// How a message is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// As the peer is set.
    Properly,
    /// Not at all.
    Not,
    /// With a digest that is wrong.
    Wrongly,
    /// With a digest of type 1 (and 20 octets of nonsense).
    Type1,
}

/// A message to send; what is not said is filled in from the peer's state.
#[derive(Clone, Debug)]
pub struct Out {
    pub flags: u16,
    pub kind: u16,
    pub kind_mandatory: bool,
    pub ccid: Option<u32>,
    pub ns: Option<u16>,
    pub nr: Option<u16>,
    pub length: Option<u16>,
    pub avps: Vec<Avp>,
    pub sign: Sign,
}

impl Out {
    pub fn new(kind: u16) -> Out {
        Out {
            flags: 0xc803,
            kind,
            kind_mandatory: true,
            ccid: None,
            ns: None,
            nr: None,
            length: None,
            avps: Vec::new(),
            sign: Sign::Properly,
        }
    }

    pub fn with(mut self, avp: Avp) -> Out {
        self.avps.push(avp);
        self
    }

    pub fn without(mut self, attribute: u16) -> Out {
        self.avps.retain(|avp| avp.attribute != attribute);
        self
    }

    /// Puts another value into an AVP that is there.
    pub fn replace(mut self, attribute: u16, value: &[u8]) -> Out {
        let avp = self.avps.iter_mut().find(|avp| avp.attribute == attribute).expect("the AVP is there");
        avp.value = value.to_vec();
        self
    }
}

/// A control message that came in.
#[derive(Clone, Debug)]
pub struct Msg {
    pub ccid: u32,
    pub ns: u16,
    pub nr: u16,
    /// From the T bit on.
    pub raw: Vec<u8>,
    /// H bit (until it is unhidden), vendor, attribute, value.
    pub avps: Vec<(bool, u16, u16, Vec<u8>)>,
}

pub fn be16(octets: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([octets[at], octets[at + 1]])
}

pub fn be32(octets: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]])
}

impl Msg {
    /// Reads a message; panics where it is not as RFC 3931 wants it.
    pub fn parse(raw: &[u8]) -> Msg {
        assert_eq!(be16(raw, 0), 0xc803, "flags and version of {raw:02x?}");
        let length = usize::from(be16(raw, 2));
        assert_eq!(length, raw.len(), "Length field of {raw:02x?}");
        let mut avps = Vec::new();
        let mut at = 12;
        while at < length {
            let flags = be16(raw, at);
            let size = usize::from(flags & 0x3ff);
            assert!(size >= 6 && at + size <= length, "AVP Length {size} at {at} of {raw:02x?}");
            assert_eq!(flags & 0x3c00, 0, "reserved bits at {at} of {raw:02x?}");
            let value = raw[at + 6..at + size].to_vec();
            avps.push((flags & 0x4000 != 0, be16(raw, at + 2), be16(raw, at + 4), value));
            at += size;
        }
        Msg { ccid: be32(raw, 4), ns: be16(raw, 8), nr: be16(raw, 10), raw: raw.to_vec(), avps }
    }

    /// The message type; `None` for a ZLB.
    pub fn kind(&self) -> Option<u16> {
        let (_, vendor, attribute, value) = self.avps.first()?;
        assert_eq!((*vendor, *attribute), (0, 0), "the first AVP is Message Type");
        Some(be16(value, 0))
    }

    pub fn avp(&self, attribute: u16) -> Option<&[u8]> {
        let found = self.avps.iter().find(|(_, vendor, which, _)| *vendor == 0 && *which == attribute);
        found.map(|(_, _, _, value)| value.as_slice())
    }

    /// RFC 3931 5.3: a hidden value is XORed with MD5 blocks made of the attribute, the key and the Random Vector,
    /// and begins with its length.
    pub fn unhide(&mut self, secret: &[u8]) {
        let key = hmac_md5(secret, &[&[1]]);
        let mut vector = Vec::new();
        for (hidden, vendor, attribute, value) in &mut self.avps {
            if (*vendor, *attribute) == (0, 36) {
                vector = value.clone();
            }
            if !std::mem::take(hidden) {
                continue;
            }
            assert!(!vector.is_empty(), "a hidden AVP {attribute} without a Random Vector before it");
            let mut pad = md5(&[&attribute.to_be_bytes(), &key, &vector]);
            let mut clear = Vec::new();
            for block in value.chunks(16) {
                clear.extend(block.iter().zip(pad).map(|(octet, mask)| octet ^ mask));
                pad = md5(&[&key, block]);
            }
            let length = usize::from(be16(&clear, 0));
            *value = clear[2..2 + length].to_vec();
        }
    }

    #[track_caller]
    pub fn u32(&self, attribute: u16) -> u32 {
        be32(self.avp(attribute).unwrap_or_else(|| panic!("no AVP {attribute} in {self:?}")), 0)
    }

    /// Result and error of the Result Code AVP; error 0 where there is none.
    #[track_caller]
    pub fn result(&self) -> (u16, u16) {
        let value = self.avp(1).expect("Result Code AVP");
        (be16(value, 0), if value.len() >= 4 { be16(value, 2) } else { 0 })
    }
}

pub fn sign(secret: &[u8], parts: &[&[u8]]) -> [u8; 16] {
    // RFC 3931 5.4.1: the shared key is HMAC-MD5 of the secret over one octet of 2.
    hmac_md5(&hmac_md5(secret, &[&[2]]), parts)
}
