//! Message Digest AVPs (RFC 3931 4.3, 5.4.1): the shared keys, signing, verifying in constant time.

use std::fmt;

/// A password, as the two keys that RFC 3931 derives from it. The password itself is not kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    digest_key: [u8; 16],
    hiding_key: [u8; 16],
}

impl Secret {
    /// The keys of `password`; an empty one serves as integrity check.
    pub fn new(password: &[u8]) -> Secret {
        let _ = password;
        todo!()
    }

    /// HMAC-MD5(password, 02): the key of digests.
    pub fn digest_key(&self) -> &[u8; 16] {
        &self.digest_key
    }

    /// HMAC-MD5(password, 01): the key of hidden AVPs.
    pub fn hiding_key(&self) -> &[u8; 16] {
        &self.hiding_key
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
}

/// Checks the Message Digest AVPs of a message (cut to its Length) that was hashed with the sender's nonce, then
/// the receiver's. Only a digest right after the Message Type AVP (or a second one right after the first) counts.
pub fn verify(message: &[u8], secrets: &[&Secret], sender_nonce: &[u8], receiver_nonce: &[u8]) -> Verdict {
    let _ = (message, secrets, sender_nonce, receiver_nonce);
    todo!()
}

/// Fills in the HMAC-MD5 digest that [`super::message::encode`] left room for. Does nothing if there is none.
pub fn sign(message: &mut [u8], secret: &Secret, sender_nonce: &[u8], receiver_nonce: &[u8]) {
    let _ = (message, secret, sender_nonce, receiver_nonce);
    todo!()
}
