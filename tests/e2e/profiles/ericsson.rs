//! The L2TPv3 of Ericsson base stations (osmo-el2tpd): an integrity digest under the empty secret without nonces,
//! ACK messages, a mandatory AVP and a message type of its own vendor, sublayer and sequence numbers.

use super::{data, frame, vendor_avp, PATIENCE};
use crate::daemon::Daemon;
use crate::net::Net;
use crate::peer::*;
use crate::sys::{in_netns, FrameSocket};
use crate::tests;
use std::time::Instant;

tests!(ericsson_is_refused_in_order, ericsson_without_mandatory_avps);

const VENDOR: u16 = 193;
/// The key that was found in the vendor's equipment.
const KEY: [u8; 16] =
    [0x7b, 0x60, 0x85, 0xfb, 0xf4, 0x59, 0x33, 0x67, 0x0a, 0xbc, 0xb0, 0x7a, 0x27, 0xfc, 0xea, 0x5e];

/// Sends a message with its digest. An ACK uses up no Ns.
fn send(peer: &mut Peer, out: &Out) {
    let mut signed = out.clone();
    signed.avps.insert(0, avp(59, &[0; 17]));
    let mut message = peer.build(&signed);
    let digest = hmac_md5(&KEY, &[&message]);
    message[27..43].copy_from_slice(&digest);
    peer.send_control_raw(&message);
    if out.kind != ACK {
        peer.ns = peer.ns.wrapping_add(1);
    }
}

/// The next new message; it is acknowledged by an ACK message.
#[track_caller]
fn take(peer: &mut Peer, kind: u16) -> Msg {
    let deadline = Instant::now() + PATIENCE;
    while let Some(message) = peer.receive_control(deadline.saturating_duration_since(Instant::now())) {
        let Some(got) = message.kind().filter(|got| *got != ACK) else { continue };
        if message.ns != peer.nr {
            continue;
        }
        peer.nr = peer.nr.wrapping_add(1);
        if got == SCCRQ {
            peer.remote = message.u32(61);
        } else {
            send(peer, &Out::new(ACK));
        }
        if got == kind {
            return message;
        }
    }
    panic!("no message of type {kind}");
}

fn sccrp(peer: &Peer, mandatory: bool, capabilities: &[u8]) -> Out {
    Out::new(SCCRP)
        .with(avp(61, &peer.ccid.to_be_bytes()))
        .with(Avp { mandatory, ..vendor_avp(VENDOR, 3, &[0, 0, 0, 1]) })
        .with(avp(7, b"peer"))
        .with(avp(8, b"Ericsson").optional())
        .with(avp(60, &[10, 0, 0, 2]))
        .with(avp(62, capabilities))
}

/// As it is, it cannot be talked to: HDLC only, a mandatory AVP that nobody knows. It is told so, and its
/// acknowledgement is heard.
fn ericsson_is_refused_in_order() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let mut daemon = Daemon::start(&net, &net.a, &config("  retry-interval 0.5\n", SESSION));
    take(&mut peer, SCCRQ);
    let reply = sccrp(&peer, true, &[0, 6]);
    send(&mut peer, &reply);
    let stop = take(&mut peer, STOPCCN);
    assert_eq!(stop.result(), (2, 8), "general error, unknown mandatory AVP");
    daemon.expect("info send StopCCN, state --> *");
    daemon.expect("debug [*] receive Explicit ACK");
    daemon.expect("debug [*] delete tunnel");
    assert_eq!(daemon.count("*message digest invalid*"), 0);
}

/// With its own AVP not mandatory and Ethernet on offer it works: digests without nonces are believed, its vendor's
/// message type is acknowledged and passed over, frames carry sublayer and sequence numbers.
fn ericsson_without_mandatory_avps() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let sessions = format!("{SESSION}    l2-sublayer default\n    sequencing both\n");
    let mut daemon = Daemon::start(&net, &net.a, &config("  retry-interval 0.5\n", &sessions));
    take(&mut peer, SCCRQ);
    let reply = sccrp(&peer, false, &[0, 6, 0, 5]);
    send(&mut peer, &reply);
    take(&mut peer, SCCCN);
    // TCRQ: the Message Type AVP itself is the vendor's.
    let ns = peer.ns;
    let mut tcrq = Vec::new();
    tcrq.extend([0xc8, 0x03, 0, 20]);
    tcrq.extend(peer.remote.to_be_bytes());
    tcrq.extend(ns.to_be_bytes());
    tcrq.extend(peer.nr.to_be_bytes());
    tcrq.extend([0, 8, 0, VENDOR as u8, 0, 0, 0, 1]);
    peer.send_control_raw(&tcrq);
    peer.ns += 1;
    let icrq = take(&mut peer, ICRQ);
    let call = Call { local: 7, remote: icrq.u32(63), cookie: vec![0; 4] };
    let icrp = peer.session_message(ICRP, &call).with(avp(71, &[0, 3]));
    send(&mut peer, &icrp.with(avp(69, &[0, 1])).with(avp(70, &[0, 2])));
    take(&mut peer, ICCN);
    daemon.expect("info send ICCN, state --> ESTABLISHED");
    assert_eq!(daemon.count("*message digest invalid*"), 0);
    let socket = in_netns(&net.a, || FrameSocket::open("l0"));
    let mut numbers = Vec::new();
    for mark in 1..4 {
        socket.send(&frame(mark));
        let packet = data(&mut peer, &frame(mark));
        assert_eq!(packet[..5], [0, 0, 0, 7, 0x40], "session id and the S bit");
        numbers.push(u32::from_be_bytes([0, packet[5], packet[6], packet[7]]));
    }
    assert!(numbers[0] < numbers[1] && numbers[1] < numbers[2], "{numbers:?}");
    for number in 0..3 {
        let cookie = vec![0x40, 0, 0, number];
        peer.send_frame(&Call { cookie, ..call.clone() }, &frame(10 + number));
        let deadline = Instant::now() + PATIENCE;
        while socket.receive(deadline).expect("its frame comes out") != frame(10 + number) {}
    }
}
