//! Message Digest AVPs (RFC 3931 4.3, 5.4.1): the shared keys, signing, verifying in constant time.

use std::fmt;
use std::sync::{Arc, OnceLock};

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;

use super::attribute::{self, number};
use super::avp::{self, Walker};
use crate::saved::{Reader, Saved, Writer};
use crate::wiped::{wipe, Wiped};

/// Digest Type of HMAC-MD5 (RFC 3931 5.4.1).
pub const HMAC_MD5: u8 = 0;
/// Octets of an HMAC-MD5.
pub const MD5_LENGTH: usize = 16;

/// A password, as the two keys that RFC 3931 derives from it. The password itself is not kept. All clones share the
/// keys, which are overwritten with the last of them.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    keys: Arc<Keys>,
}

/// What a password is derived into. It stays where it is, so that no copies are left behind.
#[derive(PartialEq, Eq)]
struct Keys {
    digest: Wiped,
    hiding: Wiped,
}

impl Secret {
    /// The keys of `password`; an empty one serves as integrity check.
    pub fn new(password: &[u8]) -> Secret {
        // Each connection without password has the empty one.
        static EMPTY: OnceLock<Arc<Keys>> = OnceLock::new();
        let derived = || Arc::new(Keys { digest: derive(password, 2), hiding: derive(password, 1) });
        match password.is_empty() {
            true => Secret { keys: Arc::clone(EMPTY.get_or_init(derived)) },
            false => Secret { keys: derived() },
        }
    }

    /// HMAC-MD5(password, 02): the key of digests.
    pub fn digest_key(&self) -> &[u8] {
        &self.keys.digest
    }

    /// HMAC-MD5(password, 01): the key of hidden AVPs.
    pub fn hiding_key(&self) -> &[u8] {
        &self.keys.hiding
    }
}

impl Saved for Secret {
    fn save(&self, to: &mut Writer) {
        let Keys { digest, hiding } = &*self.keys;
        digest.save(to);
        hiding.save(to);
    }

    fn restore(from: &mut Reader<'_>) -> Self {
        let keys = Keys { digest: Wiped::restore(from), hiding: Wiped::restore(from) };
        Secret { keys: Arc::new(keys) }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(****)")
    }
}

/// What the digests of a message say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// The index of the secret that a digest fits; `None` if none does.
    pub valid: Option<usize>,
    /// There is at least one Message Digest AVP, wherever it stands.
    pub present: bool,
    /// A digest of a type other than HMAC-MD5.
    pub unsupported: Option<u8>,
    /// A digest of type HMAC-MD5 stands where it counts, right or wrong.
    pub supported: bool,
}

/// Checks the Message Digest AVPs of a message (cut to its Length) that was hashed with the sender's nonce, then
/// the receiver's. Only a digest right after the Message Type AVP (or a second one right after the first) counts.
pub fn verify(message: &[u8], secrets: &[&Secret], sender_nonce: &[u8], receiver_nonce: &[u8]) -> Verdict {
    let digests = digests(message);
    let valid = secrets.iter().position(|secret| {
        digests.iter().flatten().any(|digest| {
            digest.fits_md5()
                && hash(message, &digests, secret, sender_nonce, receiver_nonce)
                    // In constant time: how many octets were right must not show.
                    .is_some_and(|mac| mac.verify_slice(digest.octets(message)).is_ok())
        })
    });
    Verdict {
        valid,
        present: avp::iter(message).any(|avp| is_digest(&avp)),
        unsupported: digests.iter().flatten().map(|digest| digest.kind).find(|kind| *kind != HMAC_MD5),
        supported: digests.iter().flatten().any(|digest| digest.kind == HMAC_MD5),
    }
}

/// Fills in the HMAC-MD5 digest that [`super::message::encode`] left room for. Does nothing if there is none.
pub fn sign(message: &mut [u8], secret: &Secret, sender_nonce: &[u8], receiver_nonce: &[u8]) {
    let digests = digests(message);
    let Some(digest) = digests.iter().flatten().find(|digest| digest.fits_md5()) else { return };
    let Some(mac) = hash(message, &digests, secret, sender_nonce, receiver_nonce) else { return };
    if let Some(room) = message.get_mut(digest.start..digest.end) {
        room.copy_from_slice(&mac.finalize().into_bytes());
    }
}

/// An HMAC-MD5 under the secret of something that is no message: `label` tells what it is, and no message begins like it.
pub fn hmac(secret: &Secret, label: &[u8], parts: &[&[u8]]) -> [u8; MD5_LENGTH] {
    keyed_hmac(secret, label, parts).finalize().into_bytes().into()
}

/// Whether [`hmac()`] made `digest` of this, looked at in constant time.
pub fn hmac_matches(secret: &Secret, label: &[u8], parts: &[&[u8]], digest: &[u8]) -> bool {
    keyed_hmac(secret, label, parts).verify_slice(digest).is_ok()
}

fn keyed_hmac(secret: &Secret, label: &[u8], parts: &[&[u8]]) -> Hmac<Md5> {
    let mut mac = keyed(secret.digest_key());
    mac.update(label);
    parts.iter().for_each(|part| mac.update(part));
    mac
}

/// Where the digest of a Message Digest AVP stands in a message.
#[derive(Debug, Clone, Copy)]
struct Digest {
    kind: u8,
    start: usize,
    end: usize,
}

impl Digest {
    /// RFC 3931 5.4.1: the length must fit the type.
    fn fits_md5(&self) -> bool {
        self.kind == HMAC_MD5 && self.end.saturating_sub(self.start) == MD5_LENGTH
    }

    fn octets<'a>(&self, message: &'a [u8]) -> &'a [u8] {
        message.get(self.start..self.end).unwrap_or_default()
    }
}

fn is_digest(avp: &avp::RawAvp<'_>) -> bool {
    attribute::is(avp.id, number::MESSAGE_DIGEST)
}

/// The digests that count: right after the Message Type AVP, and one more right after that. A hidden one does not
/// (RFC 3931 5.4.1: it must not be).
fn digests(message: &[u8]) -> [Option<Digest>; 2] {
    let mut found = [None; 2];
    let mut walker = Walker::new(message);
    if !matches!(walker.step(), Some(Ok(_))) {
        return found;
    }
    for place in &mut found {
        let Some(Ok(avp)) = walker.step() else { break };
        if !is_digest(&avp) || avp.hidden {
            break;
        }
        let Some((kind, digest)) = avp.value.split_first() else { break };
        let end = walker.offset();
        *place = Some(Digest { kind: *kind, start: end.saturating_sub(digest.len()), end });
    }
    found
}

/// The HMAC of nonces and message, the octets of all digests taken as zero (RFC 3931 5.4.1).
fn hash(
    message: &[u8],
    digests: &[Option<Digest>; 2],
    secret: &Secret,
    sender_nonce: &[u8],
    receiver_nonce: &[u8],
) -> Option<Hmac<Md5>> {
    let mut mac = keyed(secret.digest_key());
    mac.update(sender_nonce);
    mac.update(receiver_nonce);
    let mut done = 0;
    for digest in digests.iter().flatten() {
        mac.update(message.get(done..digest.start)?);
        mac.update([0; avp::MAX_VALUE].get(..digest.end.checked_sub(digest.start)?)?);
        done = digest.end;
    }
    mac.update(message.get(done..)?);
    Some(mac)
}

/// One of the two keys that RFC 3931 makes of a password (4.3): HMAC-MD5 of a single octet.
fn derive(password: &[u8], which: u8) -> Wiped {
    let mut mac = keyed(password);
    mac.update(&[which]);
    let mut key: [u8; MD5_LENGTH] = mac.finalize().into_bytes().into();
    let kept = Wiped::from(&key[..]);
    wipe(&mut key);
    kept
}

/// An HMAC with this key.
#[allow(clippy::expect_used)]
fn keyed(key: &[u8]) -> Hmac<Md5> {
    // HMAC hashes a key that is longer than its block, so no length is refused.
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}
