//! Known packets, damaged: every prefix, every single bit, and seeded random splices of AVPs and octets. Nothing
//! panics, and what is accepted means the same after it is written and read again.
//!
//! `L2TPD_SEED=number` repeats a run; a failing run prints its seed.

mod support;

use l2tpd::wire::data::{ReceiveSequence, Sublayer};
use l2tpd::wire::demux::{from_ip, from_udp, Packet};
use l2tpd::wire::digest::{self, Secret};
use l2tpd::wire::message::{
    decode, encode, DecodeOptions, Dialect, EncodeOptions, Hide, Message, ResultCode,
};
use l2tpd::wire::{avp, header};
use support::dice::Dice;
use support::packets::{load, message};

const NONCE: [u8; 4] = [1, 2, 3, 4];
const RANDOM_VECTOR: [u8; 16] = [0xa5; 16];

fn random() -> Dice {
    let seed = std::env::var("L2TPD_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x1701_0115);
    println!("L2TPD_SEED={seed}");
    Dice(seed)
}

/// What came of the packets of a test: how far the damage let them get.
#[derive(Debug, Default)]
struct Tally {
    unsound: u32,
    refused: u32,
    accepted: u32,
}

/// All control messages; of the many that Cisco's equipment sent, some of each kind.
fn corpus() -> Vec<Vec<u8>> {
    let mut octets = Vec::new();
    for file in ["authenticated.txt", "cisco-ios.txt", "plain.txt", "digests.txt", "malformed.txt"] {
        octets.extend(load(file).into_iter().map(|packet| packet.octets));
    }
    let cisco = load("cisco.txt").into_iter();
    octets.extend(cisco.filter(|packet| packet.label.ends_with(" 1")).map(|packet| packet.octets));
    octets
}

/// Takes octets through every function that reads what the network sends.
fn exercise(octets: &[u8], secret: &Secret, tally: &mut Tally) {
    for packet in [from_ip(octets), from_udp(octets)] {
        if let Packet::Data(data) = packet {
            let at = data.len().min(8);
            if let Some(sublayer) = data[at..].first_chunk() {
                ReceiveSequence::default().accept(Sublayer::from_octets(*sublayer).sequence);
            }
        }
    }
    let message = match header::parse(octets, true) {
        Ok((_, message)) => message,
        Err(_) => octets,
    };
    let sound = avp::check_structure(message, false).is_ok();
    let strictly = avp::check_structure(message, true).is_ok();
    assert!(sound || !strictly, "discarding reserved bits makes nothing sound");
    avp::nonce(message);
    sign_and_verify(message, secret);

    let secrets = [secret];
    for (cisco, version_2) in [(false, false), (true, false), (false, true)] {
        let options = DecodeOptions { secrets: &secrets, cisco, version_2 };
        // Whatever the structure: decoding ends without a panic. What it says counts only for a sound one.
        let decoded = decode(message, &options);
        match decoded.message {
            _ if !sound => tally.unsound += 1,
            Err(_) => tally.refused += 1,
            Ok(value) => {
                tally.accepted += 1;
                there_and_back(&value, &options, secret);
            }
        }
    }
}

/// A message that was signed verifies, with this secret only.
fn sign_and_verify(message: &[u8], secret: &Secret) {
    let mut signed = message.to_vec();
    digest::sign(&mut signed, secret, &NONCE, &[]);
    let verdict = digest::verify(&signed, &[secret], &NONCE, &[]);
    if signed != message {
        assert_eq!(verdict.valid, Some(0));
        assert!(verdict.present);
        assert_eq!(digest::verify(&signed, &[&Secret::new(b"wrong")], &NONCE, &[]).valid, None);
    }
}

/// Encoding a message and decoding it again gives the same message, in the clear and hidden.
fn there_and_back(value: &Message, options: &DecodeOptions<'_>, secret: &Secret) {
    let dialect = match value {
        Message::Sccrq(set_up) | Message::Sccrp(set_up) => set_up.dialect,
        _ => Dialect::IETF,
    };
    let vector = Hide { secret, random_vector: &RANDOM_VECTOR };
    for hide in [None, Some(vector)] {
        match encode(value, &EncodeOptions { digest: true, hide, dialect }) {
            Ok(octets) => {
                assert!(avp::check_structure(&octets, true).is_ok());
                let again = decode(&octets, options);
                assert_eq!((again.message.as_ref(), &again.notes[..]), (Ok(value), &[][..]));
            }
            Err(error) => {
                // The two things that can be read and not be written.
                let no_result = no_result(value) && (error.name, error.length) == ("Result Code", 0);
                let too_long = hide.is_some() && error.length > avp::MAX_VALUE - 2;
                assert!(no_result || too_long, "{error:?}: {value:?}");
            }
        }
    }
}

fn no_result(value: &Message) -> bool {
    let result: Option<&ResultCode> = match value {
        Message::StopCcn(stop) => stop.result.as_ref(),
        Message::Cdn(cdn) => cdn.result.as_ref(),
        _ => return false,
    };
    result.is_none()
}

/// Sets the Length field to the length there is, so that damage after it is looked at.
fn fix_length(octets: &mut [u8]) {
    let length = u16::try_from(octets.len()).unwrap_or(u16::MAX).to_be_bytes();
    if let Some(field) = octets.get_mut(2..4) {
        field.copy_from_slice(&length);
    }
}

// C-007 C-194: every prefix of every packet, as it is and with its Length made right.
#[test]
fn every_prefix() {
    let (secret, mut tally) = (Secret::new(b"l2tpd-secret"), Tally::default());
    for octets in corpus() {
        for length in 0..=octets.len() {
            let mut prefix = octets[..length].to_vec();
            exercise(&prefix, &secret, &mut tally);
            fix_length(&mut prefix);
            exercise(&prefix, &secret, &mut tally);
        }
    }
    assert!(tally.unsound > 1000 && tally.refused > 1000 && tally.accepted > 1000, "{tally:?}");
}

// C-007 C-206: every single bit of every packet.
#[test]
fn every_bit() {
    let (secret, mut tally) = (Secret::new(b"l2tpd-secret"), Tally::default());
    for mut octets in corpus() {
        for bit in 0..octets.len() * 8 {
            octets[bit / 8] ^= 0x80 >> (bit % 8);
            exercise(&octets, &secret, &mut tally);
            octets[bit / 8] ^= 0x80 >> (bit % 8);
        }
    }
    assert!(tally.unsound > 1000 && tally.refused > 1000 && tally.accepted > 1000, "{tally:?}");
}

/// The AVPs of a message as octets.
fn avps(octets: &[u8]) -> Vec<Vec<u8>> {
    let mut walker = avp::Walker::new(octets);
    let mut start = walker.offset();
    let mut found = Vec::new();
    while let Some(Ok(_)) = walker.step() {
        found.push(octets[start..walker.offset()].to_vec());
        start = walker.offset();
    }
    found
}

// AVPs of all packets in random company: the structure is sound, so everything after that check is reached.
#[test]
fn random_avps() {
    let (secret, mut tally, mut random) = (Secret::new(b"l2tpd-secret"), Tally::default(), random());
    let messages: Vec<Vec<Vec<u8>>> = corpus().iter().map(|octets| avps(octets)).collect();
    let all: Vec<Vec<u8>> = messages.iter().flatten().cloned().collect();
    for _ in 0..8_000 {
        let mut mixed = random.pick(&messages).clone();
        for _ in 0..=random.below(3) {
            let at = random.below(mixed.len() + 1).max(1).min(mixed.len());
            match random.below(5) {
                0 => mixed.insert(at, random.pick(&all).clone()),
                1 if at < mixed.len() => drop(mixed.remove(at)),
                2 if at < mixed.len() => mixed[at][0] ^= [0x80, 0x40, 0xc0][random.below(3)],
                3 if at < mixed.len() => {
                    let octet = random.below(mixed[at].len() - 4) + 4;
                    if octet < mixed[at].len() {
                        mixed[at][octet] = random.next() as u8;
                    }
                }
                _ if at < mixed.len() => {
                    let other = random.below(mixed.len() - 1) + 1;
                    mixed.swap(at, other);
                }
                _ => {}
            }
        }
        exercise(&message(&mixed.iter().map(Vec::as_slice).collect::<Vec<_>>()), &secret, &mut tally);
    }
    assert!(tally.refused > 4000 && tally.accepted > 4000, "{tally:?}");
}

// The beginning of one packet and the end of another, and octets overwritten; Length made right in half of them.
#[test]
fn random_splices() {
    let (secret, mut tally, mut random) = (Secret::new(b"l2tpd-secret"), Tally::default(), random());
    let corpus = corpus();
    for _ in 0..15_000 {
        let (first, second) = (random.pick(&corpus), random.pick(&corpus));
        let (head, tail) = (random.below(first.len() + 1), random.below(second.len() + 1));
        let mut octets = [&first[..head], &second[tail..]].concat();
        for _ in 0..random.below(4) {
            if !octets.is_empty() {
                let at = random.below(octets.len());
                octets[at] = random.next() as u8;
            }
        }
        if random.below(2) == 0 {
            fix_length(&mut octets);
        }
        exercise(&octets, &secret, &mut tally);
    }
    assert!(tally.unsound > 1000 && tally.refused > 1000 && tally.accepted > 1000, "{tally:?}");
}
