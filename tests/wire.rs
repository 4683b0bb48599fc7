//! The wire formats against packets that were computed without this program.

mod packets;

use l2tpd::wire::digest::{self, Secret};
use l2tpd::wire::message::{decode, encode, DecodeOptions, Dialect, EncodeOptions};
use l2tpd::wire::{avp, header};
use packets::load;

const NONCE_A: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const NONCE_B: [u8; 16] =
    [0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff];

fn secret() -> Secret {
    Secret::new(b"l2tpd-secret")
}

const STRICT: DecodeOptions<'static> = DecodeOptions { secrets: &[], cisco: false, version_2: false };

/// Sender's nonce and receiver's nonce of a message in the authenticated exchange.
fn nonces(label: &str) -> (&'static [u8], &'static [u8]) {
    match label {
        "A SCCRQ" => (&[], &[]),
        _ if label.starts_with('A') => (&NONCE_A, &NONCE_B),
        _ => (&NONCE_B, &NONCE_A),
    }
}

// C-008 C-009 C-016 C-192 C-213 C-218 C-219 C-220 C-223 C-229 C-283..C-297: every message of an authenticated
// exchange is read, and written again to the same octets, the digest included.
#[test]
fn authenticated_exchange_octet_for_octet() {
    let secret = secret();
    for packet in load("authenticated.txt") {
        let (header, message) = header::parse(&packet.octets, false).unwrap();
        assert_eq!(message.len(), packet.octets.len(), "{}", packet.label);
        avp::check_structure(message, true).unwrap();
        let (sender, receiver) = nonces(&packet.label);
        let verdict = digest::verify(message, &[&secret], sender, receiver);
        assert_eq!((verdict.valid, verdict.present), (Some(0), true), "{}", packet.label);

        let decoded = decode(message, &STRICT);
        assert_eq!(decoded.notes, [], "{}", packet.label);
        let value = decoded.message.unwrap();
        let options = EncodeOptions { digest: true, hide: None, dialect: Dialect::IETF };
        let mut again = encode(&value, &options).unwrap();
        header::stamp(&mut again, header.ccid, header.ns, header.nr);
        digest::sign(&mut again, &secret, sender, receiver);
        assert_eq!(again, packet.octets, "{}", packet.label);
    }
}
