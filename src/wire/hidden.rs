//! Hiding of AVP values (RFC 3931 5.3).
//!
//! The value is put after its own length, then XORed in blocks of 16 octets with a chain of MD5 digests that
//! begins with Attribute Type, key and Random Vector, and goes on with the key and the previous hidden block.

use md5::{Digest, Md5};

use super::digest::Secret;
use super::read::Reader;

const BLOCK: usize = 16;

/// The hidden form of a value: its length and itself, then `padding` (random octets that blur the length).
/// `None` if the value is longer than a 16-bit length can say.
pub fn hide(
    attribute: u16,
    value: &[u8],
    padding: &[u8],
    random_vector: &[u8],
    secret: &Secret,
) -> Option<Vec<u8>> {
    let length = u16::try_from(value.len()).ok()?;
    let mut octets = [&length.to_be_bytes(), value, padding].concat();
    let mut pad = first_pad(attribute, random_vector, secret);
    for block in octets.chunks_mut(BLOCK) {
        xor(block, &pad);
        pad = next_pad(block, secret);
    }
    Some(octets)
}

/// The value that was hidden; `None` if the length inside does not fit, as with a wrong secret.
pub fn unhide(attribute: u16, hidden: &[u8], random_vector: &[u8], secret: &Secret) -> Option<Vec<u8>> {
    let mut octets = hidden.to_vec();
    let mut pad = first_pad(attribute, random_vector, secret);
    for (block, hidden_block) in octets.chunks_mut(BLOCK).zip(hidden.chunks(BLOCK)) {
        xor(block, &pad);
        pad = next_pad(hidden_block, secret);
    }
    let mut reader = Reader::new(&octets);
    let length = usize::from(reader.u16()?);
    reader.take(length).map(<[u8]>::to_vec)
}

fn xor(block: &mut [u8], pad: &[u8; BLOCK]) {
    for (octet, mask) in block.iter_mut().zip(pad) {
        *octet ^= mask;
    }
}

fn first_pad(attribute: u16, random_vector: &[u8], secret: &Secret) -> [u8; BLOCK] {
    let mut hash = Md5::new();
    hash.update(attribute.to_be_bytes());
    hash.update(secret.hiding_key());
    hash.update(random_vector);
    hash.finalize().into()
}

fn next_pad(hidden_block: &[u8], secret: &Secret) -> [u8; BLOCK] {
    let mut hash = Md5::new();
    hash.update(secret.hiding_key());
    hash.update(hidden_block);
    hash.finalize().into()
}
