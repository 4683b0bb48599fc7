//! Known packets: the labelled hex of `tests/data`.

use std::path::Path;

/// One packet with its label.
#[derive(Debug, Clone)]
pub struct Packet {
    pub label: String,
    pub octets: Vec<u8>,
}

/// All packets of a file: `#` begins a comment line, `label =` a packet, and hex digits follow.
pub fn load(file: &str) -> Vec<Packet> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let mut packets: Vec<Packet> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        match line.strip_suffix(" =") {
            Some(label) => packets.push(Packet { label: label.to_string(), octets: Vec::new() }),
            None if line.is_empty() => {}
            None => packets.last_mut().unwrap().octets.extend(hex(line.trim())),
        }
    }
    assert!(!packets.is_empty(), "{file} holds packets");
    packets
}

/// The packet of a file with this label.
pub fn one(file: &str, label: &str) -> Vec<u8> {
    let found = load(file).into_iter().find(|packet| packet.label == label);
    found.unwrap_or_else(|| panic!("{file} has no {label:?}")).octets
}

/// Octets from hex digits.
pub fn hex(digits: &str) -> Vec<u8> {
    assert!(digits.len() % 2 == 0, "odd number of hex digits: {digits}");
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// A message with these AVPs after the header, its Length right.
pub fn message(avps: &[&[u8]]) -> Vec<u8> {
    let mut octets = hex("c80300000000000000000000");
    octets.extend(avps.concat());
    let length = u16::try_from(octets.len()).unwrap();
    octets[2..4].copy_from_slice(&length.to_be_bytes());
    octets
}

/// A message with further AVPs, hex digits, after those that it has.
pub fn with_avps(mut octets: Vec<u8>, avps: &str) -> Vec<u8> {
    octets.extend(hex(avps));
    let length = u16::try_from(octets.len()).unwrap();
    octets[2..4].copy_from_slice(&length.to_be_bytes());
    octets
}

/// A message without its AVPs of this type.
pub fn without_avp(octets: &[u8], attribute: u16) -> Vec<u8> {
    let (header, mut rest) = octets.split_at(12);
    let mut kept = header.to_vec();
    while let [_, length, _, _, high, low, ..] = rest {
        let (one, tail) = rest.split_at(usize::from(*length));
        if u16::from_be_bytes([*high, *low]) != attribute {
            kept.extend(one);
        }
        rest = tail;
    }
    with_avps(kept, "")
}
