//! Message digests, their keys, and hidden AVPs, against octets that were computed without this program.

mod support;

use hmac::{Hmac, KeyInit, Mac};
use l2tpd::wire::attribute::{self, AvpId};
use l2tpd::wire::digest::{self, Secret, Verdict};
use l2tpd::wire::hidden::{hide, unhide};
use l2tpd::wire::message::{decode, encode, DecodeOptions, Dialect, EncodeOptions, Hide, Message, Why};
use l2tpd::wire::{avp, header, Ccid, MessageType};
use md5::Md5;
use support::packets::{hex, load, message, one};

const NONCE_A: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const NONCE_B: [u8; 16] =
    [0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff];
const RANDOM_VECTOR: [u8; 16] =
    [0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xcb, 0xcc, 0xcd, 0xce, 0xcf];

const STRICT: DecodeOptions<'static> = DecodeOptions { secrets: &[], cisco: false, version_2: false };
const PLAIN: EncodeOptions<'static> = EncodeOptions { digest: false, hide: None, dialect: Dialect::IETF };

fn secret() -> Secret {
    Secret::new(b"l2tpd-secret")
}

/// Sender's nonce and receiver's nonce of a message in the authenticated exchange.
fn nonces(label: &str) -> (&'static [u8], &'static [u8]) {
    match label {
        "A SCCRQ" => (&[], &[]),
        _ if label.starts_with('A') => (&NONCE_A, &NONCE_B),
        _ => (&NONCE_B, &NONCE_A),
    }
}

// C-008 C-009 C-011 C-013 C-016 C-048 C-192 C-213 C-218 C-219 C-220 C-221 C-223 C-229 C-235: every message of an
// authenticated exchange is read, and written again to the same octets, the digest included.
#[test]
fn authenticated_exchange_octet_for_octet() {
    let secret = secret();
    for packet in load("authenticated.txt") {
        let (header, message) = header::parse(&packet.octets, false).unwrap();
        assert_eq!(message.len(), packet.octets.len(), "{}", packet.label);
        avp::check_structure(message, true).unwrap();
        let (sender, receiver) = nonces(&packet.label);
        let verdict = digest::verify(message, &[&secret], sender, receiver);
        let expected = Verdict { valid: Some(0), present: true, unsupported: None, supported: true };
        assert_eq!(verdict, expected, "{}", packet.label);

        let decoded = decode(message, &STRICT);
        assert_eq!(decoded.notes, [], "{}", packet.label);
        let mut again = encode(&decoded.message.unwrap(), &EncodeOptions { digest: true, ..PLAIN }).unwrap();
        header::stamp(&mut again, header.ccid, header.ns, header.nr);
        digest::sign(&mut again, &secret, sender, receiver);
        assert_eq!(again, packet.octets, "{}", packet.label);
    }
}

// C-055 C-056: a retransmission differs in Nr, so its digest does too, and both are right.
#[test]
fn a_retransmitted_hello_is_signed_again() {
    let hellos: Vec<_> = load("authenticated.txt").into_iter().filter(|p| p.label == "A HELLO").collect();
    let [first, second] = &hellos[..] else { panic!("two HELLOs") };
    let mut again = first.octets.clone();
    header::stamp(&mut again, Ccid(0x5566_7788), 4, 3);
    assert_eq!(digest::verify(&again, &[&secret()], &NONCE_A, &NONCE_B).valid, None);
    digest::sign(&mut again, &secret(), &NONCE_A, &NONCE_B);
    assert_eq!(again, second.octets);
}

// C-216 C-217: both keys of a password, and of the empty one.
#[test]
fn keys() {
    assert_eq!(secret().digest_key()[..], hex("1b5c1b15cc74801e26ea8b914b666a50"));
    assert_eq!(secret().hiding_key()[..], hex("16892f0fcfe1e2f0bddd14805a2340df"));
    assert_eq!(Secret::new(b"").digest_key()[..], hex("7b6085fbf45933670abcb07a27fcea5e"));
    assert_eq!(Secret::new(b"").hiding_key()[..], hex("b41153dc48510aeee089ee50d9574434"));
    // Longer than a block of MD5: hashed first (RFC 2104).
    assert_ne!(Secret::new(&[b'x'; 65]).digest_key(), Secret::new(&[b'x'; 66]).digest_key());
    assert_eq!(format!("{:?}", secret()), "Secret(****)", "C-359 C-360");
}

// C-030 C-226 C-227 C-230 C-231 C-233 C-239 C-241 C-242 C-246: digests of every kind.
#[test]
fn digests_of_other_kinds() {
    let (ours, empty) = (secret(), Secret::new(b""));
    let (a, b, none) = (&NONCE_A[..], &NONCE_B[..], &[][..]);
    type Case<'a> = (&'a str, &'a Secret, &'a [u8], &'a [u8], Option<usize>, Option<u8>);
    let cases: [Case; 11] = [
        ("SCCRQ, HMAC-SHA-1 (type 1)", &ours, none, none, None, Some(1)),
        (
            "SCCRQ, two digests (type 0 then type 1; both zeroed while hashing)",
            &ours,
            none,
            none,
            Some(0),
            Some(1),
        ),
        ("SCCRP, HMAC-SHA-1 (type 1)", &ours, b, a, None, Some(1)),
        (
            "HELLO, integrity check only (authentication off, empty secret, no nonces)",
            &empty,
            none,
            none,
            Some(0),
            None,
        ),
        (
            "SCCCN, empty secret but nonces exchanged (RFC 4.1.1.2 advises this over IP)",
            &empty,
            a,
            b,
            Some(0),
            None,
        ),
        ("StopCCN from A before SCCRP: local nonce A, remote nonce empty", &ours, a, none, Some(0), None),
        (
            "StopCCN from A before SCCRP: no nonces at all (what tshark expects)",
            &ours,
            none,
            none,
            Some(0),
            None,
        ),
        (
            "StopCCN from B refusing the SCCRQ: local nonce empty, remote nonce A",
            &ours,
            none,
            a,
            Some(0),
            None,
        ),
        (
            "StopCCN from B refusing the SCCRQ: no nonces at all (what tshark expects)",
            &ours,
            none,
            none,
            Some(0),
            None,
        ),
        (
            "ICRQ with hidden Remote End ID and hidden cookie (digest over the hidden form)",
            &ours,
            a,
            b,
            Some(0),
            None,
        ),
        ("SCCRQ signed with the empty secret", &empty, none, none, Some(0), None),
    ];
    let packets = load("digests.txt");
    assert_eq!(packets.len(), cases.len());
    for (packet, (label, secret, sender, receiver, valid, unsupported)) in packets.iter().zip(cases) {
        assert_eq!(packet.label, label);
        let verdict = digest::verify(&packet.octets, &[secret], sender, receiver);
        let supported = valid.is_some() || unsupported.is_none();
        assert_eq!(verdict, Verdict { valid, present: true, unsupported, supported }, "{label}");
        if valid.is_some() {
            let mut again = packet.octets.clone();
            again[27..43].fill(0x55);
            assert_eq!(digest::verify(&again, &[secret], sender, receiver).valid, None, "{label}");
            digest::sign(&mut again, secret, sender, receiver);
            assert_eq!(again, packet.octets, "{label}: signed");
            let wrong = Secret::new(b"l2tpd-secreT");
            assert_eq!(digest::verify(&packet.octets, &[&wrong], sender, receiver).valid, None, "{label}");
        }
    }
}

// C-224 C-225: any changed octet of a message makes its digest invalid, wherever it is.
#[test]
fn every_octet_is_covered_by_the_digest() {
    let message = one("authenticated.txt", "B SCCRP");
    for at in 0..message.len() {
        let mut changed = message.clone();
        changed[at] ^= 0x01;
        assert_eq!(digest::verify(&changed, &[&secret()], &NONCE_B, &NONCE_A).valid, None, "octet {at}");
    }
    assert_eq!(
        digest::verify(&message, &[&secret()], &NONCE_A, &NONCE_B).valid,
        None,
        "C-219: nonces swapped"
    );
}

// C-228: each secret is tried, and the one that fits is told.
#[test]
fn two_secrets() {
    let message = one("authenticated.txt", "A SCCRQ");
    let (old, new) = (Secret::new(b"old"), secret());
    assert_eq!(digest::verify(&message, &[&old, &new], &[], &[]).valid, Some(1));
    assert_eq!(digest::verify(&message, &[&new, &old], &[], &[]).valid, Some(0));
    assert_eq!(digest::verify(&message, &[&old], &[], &[]).valid, None);
    assert_eq!(digest::verify(&message, &[], &[], &[]).valid, None);
}

// C-222: a digest that does not follow the Message Type AVP (or another digest) does not count, but is there.
// C-226 C-227: with two digests, either may be the valid one. C-232: the length must fit.
#[test]
fn where_digests_count() {
    let hello = hex("8008000000000006");
    let room = [hex("80170000003b00"), vec![0; 16]].concat();
    let other = hex("000a00000008616263ff");
    let check = |octets: &[u8]| {
        let verdict = digest::verify(octets, &[&secret()], &NONCE_A, &NONCE_B);
        (verdict.valid, verdict.present)
    };
    let signed = |avps: &[&[u8]]| {
        let mut octets = message(avps);
        digest::sign(&mut octets, &secret(), &NONCE_A, &NONCE_B);
        octets
    };
    assert_eq!(check(&signed(&[&hello, &room, &other])), (Some(0), true));
    assert_eq!(check(&message(&[&hello, &other])), (None, false));

    // A right digest in the wrong place, computed here, as `sign` does not look there.
    let mut moved = signed(&[&hello, &other, &room]);
    assert_eq!(moved, message(&[&hello, &other, &room]), "nothing to sign");
    let mut mac = Hmac::<Md5>::new_from_slice(secret().digest_key()).unwrap();
    for part in [&NONCE_A[..], &NONCE_B, &moved] {
        mac.update(part);
    }
    let start = moved.len() - 16;
    moved[start..].copy_from_slice(&mac.finalize().into_bytes());
    assert_eq!(check(&moved), (None, true));
    assert_eq!(check(&signed(&[&room, &hello])), (None, true), "as the first AVP");

    // Two digests of type 0: `sign` fills in the first. Swapped, the second is the valid one.
    let two = signed(&[&hello, &room, &room]);
    assert_eq!(check(&two), (Some(0), true));
    let (first, second) = (two[20..43].to_vec(), two[43..66].to_vec());
    let swapped = message(&[&hello, &second, &first]);
    assert_eq!(check(&swapped), (Some(0), true));
    // A third one is none.
    assert_eq!(check(&message(&[&hello, &room, &room, &first])), (None, true));

    // Type 0 with 15 octets, and with 17; another type with 16; without a type; hidden.
    for bad in [
        [hex("80160000003b00"), vec![0; 15]].concat(),
        [hex("80180000003b00"), vec![0; 17]].concat(),
        [hex("80170000003b01"), vec![0; 16]].concat(),
        hex("80060000003b"),
        [hex("c0170000003b00"), vec![0; 16]].concat(),
    ] {
        let octets = signed(&[&hello, &bad]);
        assert_eq!(octets, message(&[&hello, &bad]), "nothing to sign");
        assert_eq!(check(&octets), (None, true));
    }
}

// C-234 is in the code. C-236 C-255: the nonce is found before the digest can be checked, whatever its length.
#[test]
fn the_nonce_of_a_message() {
    assert_eq!(avp::nonce(&one("authenticated.txt", "A SCCRQ")), Some(&NONCE_A[..]));
    assert_eq!(avp::nonce(&one("malformed.txt", "N-23")), None, "C-240");
    let start = hex("8008000000000002");
    let long = [hex("804600000049"), vec![9; 64]].concat();
    assert_eq!(avp::nonce(&message(&[&start, &hex("80070000004907"), &long])), Some(&[7][..]));
    assert_eq!(avp::nonce(&message(&[&start, &long])), Some(&[9; 64][..]));
    assert_eq!(avp::nonce(&message(&[&start, &hex("80080009000d0102")])), Some(&[1, 2][..]), "C-354");
    assert_eq!(avp::nonce(&message(&[&start, &hex("c00700000049aa")])), None, "C-233: hidden");
}

// C-245 C-246 C-247 C-248: hiding and unhiding, with and without padding, over one and several blocks.
#[test]
fn hiding_octet_for_octet() {
    let packets = load("hidden.txt");
    for four in packets.chunks(4) {
        let [value, padding, hidden, whole] = four else { panic!("four lines each") };
        let attribute: u16 = value.label.split_once(' ').unwrap().0.parse().unwrap();
        let label = &value.label;
        let ours = hide(attribute, &value.octets, &padding.octets, &RANDOM_VECTOR, &secret()).unwrap();
        assert_eq!(ours, hidden.octets, "{label}");
        assert_eq!(whole.octets[6..], ours[..], "{label}");
        let back = unhide(attribute, &hidden.octets, &RANDOM_VECTOR, &secret());
        assert_eq!(back.as_deref(), Some(&value.octets[..]), "{label}");
        let wrong = unhide(attribute + 1, &hidden.octets, &RANDOM_VECTOR, &secret());
        assert_ne!(wrong.as_deref(), Some(&value.octets[..]), "{label}: the type is part of the hash");
    }
    // C-249: what is shorter than the length inside, or than a length at all.
    assert_eq!(unhide(66, &hex("a9f3843f38"), &RANDOM_VECTOR, &secret()), None);
    assert_eq!(unhide(66, &[0xa9], &RANDOM_VECTOR, &secret()), None);
    assert_eq!(unhide(66, &[], &RANDOM_VECTOR, &secret()), None);
}

// C-244 C-252: a message with hidden AVPs says the same as one without; the closest Random Vector before counts.
#[test]
fn hidden_avps_of_a_message() {
    let label = "ICRQ with hidden Remote End ID and hidden cookie (digest over the hidden form)";
    let octets = one("digests.txt", label);
    let secret = secret();
    let secrets = [&Secret::new(b"another"), &secret];
    let open = DecodeOptions { secrets: &secrets, ..STRICT };
    let clear = decode(&one("authenticated.txt", "A ICRQ"), &STRICT).message.unwrap();
    assert_eq!(decode(&octets, &open).message, Ok(clear.clone()));

    // Without the secret, and without a Random Vector.
    let hidden = |number| {
        let avp = attribute::find(AvpId::ietf(number), MessageType::ICRQ).unwrap();
        assert_eq!(avp.name, if number == 66 { "Remote End ID" } else { "Assigned Cookie" });
        Why::BadHiding(avp)
    };
    assert_eq!(decode(&octets, &STRICT).message.unwrap_err().why, hidden(66));
    let (before, rest) = (&octets[12..43], &octets[65..]);
    assert_eq!(decode(&message(&[before, rest]), &open).message.unwrap_err().why, hidden(66));
    // Another Random Vector further ahead does not matter; one in between does.
    let other = hex("801600000024000102030405060708090a0b0c0d0e0f");
    assert_eq!(decode(&message(&[before, &other, &octets[43..]]), &open).message, Ok(clear.clone()));
    let between = decode(&message(&[&octets[12..65], &other, rest]), &open).message;
    assert_ne!(between.ok(), Some(clear.clone()));

    // What we hide ourselves: everything that may be, and nothing else; C-243: only when told to.
    let vector = Hide { secret: &secret, random_vector: &RANDOM_VECTOR };
    let ours = encode(&clear, &EncodeOptions { hide: Some(vector), ..PLAIN }).unwrap();
    assert_eq!(decode(&ours, &open).message, Ok(clear.clone()));
    for avp in avp::iter(&ours) {
        assert_eq!(avp.hidden, !matches!(avp.id.attribute, 0 | 36 | 5), "attribute {}", avp.id.attribute);
    }
    let mut attributes: Vec<_> = avp::iter(&ours).map(|avp| avp.id.attribute).collect();
    attributes.sort_unstable();
    attributes.dedup();
    assert_eq!(attributes.len(), avp::iter(&ours).count(), "C-250: one value of each under one vector");
    let first_hidden = avp::iter(&ours).position(|avp| avp.hidden);
    assert!(avp::iter(&ours).position(|avp| avp.id.attribute == 36) < first_hidden);
    assert!(!avp::iter(&encode(&clear, &PLAIN).unwrap()).any(|avp| avp.hidden || avp.id.attribute == 36));
    let hello = encode(&Message::Hello, &EncodeOptions { hide: Some(vector), ..PLAIN }).unwrap();
    assert_eq!(hello.len(), 20, "nothing to hide, no Random Vector");
}
