//! The judge can fail: it finds each fault that is put into a proper conversation, and only that.

use crate::judge::judge;
use crate::message::*;
use crate::net::have;
use crate::record::{Packet, Recording, Secrets};
use crate::runner::skip;
use crate::tests;

tests!(faults_are_found);

/// A message of `a` or `b` in a packet; digest and nonces are those of the password "s".
fn made(from_a: bool, kind: u16, ns: u16, nr: u16, avps: &[Avp], signed: bool) -> Packet {
    let nonces = [&b"nonce of a......"[..], b"nonce of b......"];
    let (mine, yours) = if from_a { (0, 1) } else { (1, 0) };
    let mut raw = vec![0xc8, 3, 0, 0, 0, 0, 0, if kind == SCCRQ { 0 } else { 0x10 + yours as u8 }];
    raw.extend([ns.to_be_bytes(), nr.to_be_bytes()].concat());
    avp(0, &kind.to_be_bytes()).write(&mut raw);
    if signed {
        avp(59, &[0; 17]).write(&mut raw);
    }
    if let SCCRQ | SCCRP = kind {
        avp(61, &[0, 0, 0, 0x10 + mine as u8]).write(&mut raw);
        avp(73, nonces[mine]).write(&mut raw);
    }
    avps.iter().for_each(|avp| avp.write(&mut raw));
    let length = (raw.len() as u16).to_be_bytes();
    raw[2..4].copy_from_slice(&length);
    if signed {
        let known = if kind == SCCRQ { [&[][..]; 2] } else { [nonces[mine], nonces[yours]] };
        let digest = sign(b"s", &[known[0], known[1], &raw]);
        raw[27..43].copy_from_slice(&digest);
    }
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 115, 0, 0];
    packet.extend(if from_a { [192, 0, 2, 1, 192, 0, 2, 2] } else { [192, 0, 2, 2, 192, 0, 2, 1] });
    packet.extend([0; 4]);
    packet.extend(raw);
    let length = (packet.len() as u16).to_be_bytes();
    packet[2..4].copy_from_slice(&length);
    (from_a, packet)
}

fn faults_are_found() {
    if !have("tshark") {
        skip("no tshark");
    }
    let id = |attribute: u16, value: u8| avp(attribute, &[0, 0, 0, value]);
    let proper = |signed: bool| {
        vec![
            made(true, SCCRQ, 0, 0, &[], signed),
            made(false, SCCRP, 0, 1, &[], signed),
            made(true, SCCCN, 1, 1, &[], signed),
            made(true, ICRQ, 2, 1, &[id(63, 1), id(64, 0)], signed),
            made(false, ICRP, 1, 3, &[id(63, 2), id(64, 1)], signed),
            made(true, ICCN, 3, 2, &[id(63, 1), id(64, 2)], signed),
            made(true, HELLO, 4, 2, &[], signed),
            made(false, ACK, 2, 5, &[], signed),
        ]
    };
    let cut_off = Avp { length: Some(30), ..avp(66, b"end") };
    let mut turned = made(true, HELLO, 4, 2, &[], true);
    turned.1[36] ^= 0x80; // an M bit
    let unknown = [id(63, 9), id(64, 2)];
    // What comes after the set-up of the session, and what is to be said about it.
    let bad: [(bool, Packet, &str); 9] = [
        (true, made(true, HELLO, 4, 2, &[], false), "no digest, in spite of"),
        (true, turned, "wrong digest"),
        (false, made(true, HELLO, 4, 2, &[cut_off], false), "Malformed"),
        (false, made(true, HELLO, 5, 2, &[], false), "the next Ns is 4"),
        (false, made(true, HELLO, 3, 2, &[], false), "an Ns is used twice"),
        (false, made(true, HELLO, 4, 1, &[], false), "Nr goes back from 2"),
        (false, made(true, HELLO, 4, 3, &[], false), "Nr acknowledges more than came"),
        (false, made(true, ICCN, 4, 2, &unknown, false), "may not come now"),
        (false, made(false, SCCRP, 2, 4, &[], false), "may not come now"),
    ];
    let recording = |number: usize, signed: bool, packets| {
        let secrets = Secrets::from([signed.then(|| "s".to_owned())]);
        Recording { test: format!("number {number}"), both: true, secrets, packets }
    };
    let mut recordings = vec![recording(97, true, proper(true)), recording(98, false, proper(false))];
    for (number, (signed, packet, _)) in bad.iter().enumerate() {
        let mut packets = proper(*signed);
        packets.truncate(6);
        packets.push(packet.clone());
        recordings.push(recording(number, *signed, packets));
    }
    let dir = crate::net::work_dir().join("judge");
    std::fs::create_dir_all(&dir).expect("directory");
    let verdict = judge(&recordings, &dir);
    assert_eq!(verdict.digest[0], 8 + 6 + 7, "digests that tshark looked at");
    assert_eq!(verdict.faults.len(), bad.len(), "{:#?}", verdict.faults);
    for (number, (fault, (_, _, wanted))) in verdict.faults.iter().zip(&bad).enumerate() {
        assert!(
            fault.starts_with(&format!("number {number}: ")) && fault.contains(wanted),
            "{wanted}: {fault}"
        );
    }
}
