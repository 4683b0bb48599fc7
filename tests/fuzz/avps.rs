//! Damage to control messages: to the header, to whole AVPs and to what is in them. Afterwards the lengths are made
//! to fit again, mostly, and the digest always where the secret is known.

use l2tpd::wire::digest::{self, Secret};

use crate::dice::Dice;

const HEADER: usize = 12;
const DIGEST: u16 = 59;

/// One AVP: flags, vendor, type, value.
#[derive(Clone)]
struct Avp {
    flags: u8,
    vendor: u16,
    kind: u16,
    value: Vec<u8>,
}

/// The AVPs of a message that is well formed; what cannot be taken apart is left out.
fn take_apart(message: &[u8]) -> Vec<Avp> {
    let mut avps = Vec::new();
    let mut at = HEADER;
    while let Some(&[first, second, v1, v2, k1, k2]) = message.get(at..at + 6) {
        let length = usize::from(first & 3) << 8 | usize::from(second);
        let Some(value) = message.get(at + 6..at + length.max(6)) else { break };
        let numbers = (u16::from_be_bytes([v1, v2]), u16::from_be_bytes([k1, k2]));
        avps.push(Avp { flags: first & 0xfc, vendor: numbers.0, kind: numbers.1, value: value.to_vec() });
        at += length.max(6);
    }
    avps
}

fn put_together(header: &[u8], avps: &[Avp], dice: &mut Dice) -> Vec<u8> {
    let mut out = header.get(..HEADER).unwrap_or_default().to_vec();
    out.resize(HEADER, 0);
    for avp in avps {
        let mut length = avp.value.len() + 6;
        if dice.one_in(60) {
            length = dice.below(1024);
        }
        out.extend([avp.flags | (length >> 8 & 3) as u8, length as u8]);
        out.extend(avp.vendor.to_be_bytes());
        out.extend(avp.kind.to_be_bytes());
        out.extend(&avp.value);
    }
    out
}

/// Changes one thing. `others`: messages to take AVPs from.
fn change(dice: &mut Dice, header: &mut [u8], avps: &mut Vec<Avp>, others: &[Vec<u8>]) {
    let count = avps.len().max(1);
    let at = dice.below(count);
    let kind = dice.below(13);
    if let (0..=5, Some(avp)) = (kind, avps.get_mut(at)) {
        match kind {
            0 => dice.damage(&mut avp.value),
            1 => avp.kind = dice.number(),
            2 => avp.vendor = *dice.pick(&[0, 9, 0xffff, 1]),
            3 => avp.flags ^= *dice.pick(&[0x80, 0x40, 0x20, 0x04]),
            4 => {
                let length = *dice.pick(&[0, 1, 2, 3, 4, 5, 8, 9, 200, 1017]);
                avp.value.resize(length, 0x41);
            }
            _ => avp.value.fill_with(|| dice.next() as u8),
        }
        return;
    }
    match kind {
        6 if at < avps.len() => drop(avps.remove(at)),
        7 if at < avps.len() => avps.push(avps[at].clone()),
        8 if at < avps.len() => {
            let other = dice.below(avps.len());
            avps.swap(at, other);
        }
        9 if !others.is_empty() => {
            let all = take_apart(dice.pick::<Vec<u8>>(others));
            if !all.is_empty() {
                let new = dice.pick(&all).clone();
                avps.insert(at.min(avps.len()), new);
            }
        }
        // Ns and Nr, a little off.
        10 => {
            let field = *dice.pick(&[8, 10]);
            let value = u16::from_be_bytes([header[field], header[field + 1]]);
            let by = dice.number();
            let value = if dice.one_in(2) { value.wrapping_add(by % 8) } else { value.wrapping_sub(by % 8) };
            header[field..field + 2].copy_from_slice(&value.to_be_bytes());
        }
        11 if dice.one_in(4) => header[4 + dice.below(4)] ^= dice.next() as u8,
        12 if dice.one_in(4) => header[dice.below(2)] ^= 1 << dice.below(8),
        _ => {}
    }
}

/// A damaged copy.
pub fn damaged(dice: &mut Dice, message: &[u8], others: &[Vec<u8>]) -> Vec<u8> {
    let mut header = message.get(..HEADER).unwrap_or_default().to_vec();
    header.resize(HEADER, 0);
    let mut avps = take_apart(message);
    for _ in 0..=dice.below(3) {
        change(dice, &mut header, &mut avps, others);
    }
    let mut out = put_together(&header, &avps, dice);
    if dice.one_in(30) {
        dice.damage(&mut out);
    }
    if !dice.one_in(30) && out.len() >= HEADER {
        let length = (out.len() as u16).to_be_bytes();
        out[2..4].copy_from_slice(&length);
    }
    out
}

/// Repairs the digest, if there is one to repair.
pub fn repaired(mut message: Vec<u8>, secret: &Secret, sender: &[u8], receiver: &[u8]) -> Vec<u8> {
    if take_apart(&message).iter().any(|avp| avp.kind == DIGEST) {
        digest::sign(&mut message, secret, sender, receiver);
    }
    message
}

/// The value of an AVP.
pub fn value(message: &[u8], kind: u16) -> Option<Vec<u8>> {
    take_apart(message).into_iter().find(|avp| avp.vendor == 0 && avp.kind == kind).map(|avp| avp.value)
}
