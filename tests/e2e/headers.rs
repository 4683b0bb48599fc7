//! The header of a control message: what is dropped, what passes, which version it has. Each test names the messages
//! of the catalogue (M-...) that it causes.

use crate::daemon::Daemon;
use crate::net::Net;
use crate::peer::*;
use crate::tests;

tests!(headers_that_are_dropped, headers_that_pass, first_ns_is_not_0, version_2_over_udp,);

/// M-058 M-059 M-060 M-063 M-030: C-005 C-010 C-014 C-017
fn headers_that_are_dropped() {
    let (_net, mut daemon, mut peer) = passive("", SESSION);
    for (flags, line) in [
        (0x4803, "debug *: T bit is not set"),
        (0x8803, "debug *: L bit is not set"),
        (0xc003, "debug *: S bit is not set"),
        (0xc802, "debug *: support only L2TPv3"),
    ] {
        peer.send(&Out { flags, ns: Some(0), ..peer.set_up(SCCRQ) });
        daemon.expect(line);
        peer.expect_silence(WHILE);
    }
    let right = peer.build(&peer.set_up(SCCRQ)).len() as u16;
    for length in [right + 8, 11] {
        peer.send(&Out { length: Some(length), ns: Some(0), ..peer.set_up(SCCRQ) });
        daemon.expect(&format!("warn [0] *: wrong size({length}), discarding packet"));
        peer.expect_silence(WHILE);
    }
    // Every prefix of a good message is dropped without an answer, and without harm.
    let good = peer.build(&peer.set_up(SCCRQ));
    for length in 0..good.len() {
        peer.send_control_raw(&good[..length]);
    }
    peer.send_packet(&[0, 0]);
    peer.expect_silence(WHILE);
    peer.connect();
    daemon.stop();
}

/// C-011: reserved bits of the header are ignored. C-017: octets after the Length are.
fn headers_that_pass() {
    let (_net, _daemon, mut peer) = passive("", SESSION);
    peer.send(&Out { flags: 0xfff3, ..peer.set_up(SCCRQ) });
    peer.expect(SCCRP);
    peer.restart(0x5566_7799);
    let mut message = peer.build(&peer.set_up(SCCRQ));
    message.extend([0xff; 20]);
    peer.send_control_raw(&message);
    peer.ns = 1;
    peer.expect(SCCRP);
}

/// A peer that does not begin with Ns 0 is acknowledged nevertheless. C-020
fn first_ns_is_not_0() {
    let (_net, mut daemon, mut peer) = passive("", SESSION);
    peer.ns = 8;
    peer.connect();
    peer.call("end1");
    daemon.expect("info receive ICCN, state --> ESTABLISHED");
}

/// C-015: over UDP an SCCRQ that says version 2 but carries the AVPs of version 3 is accepted; one of an L2TPv2
/// peer is not (M-063).
fn version_2_over_udp() {
    let net = Net::new();
    let mut peer = Peer::udp(&net);
    let mut daemon = Daemon::start(&net, &net.a, &config("  role passive\n  encapsulation udp\n", SESSION));
    daemon.expect("debug l2tpd start");
    let version_2 = Out { flags: 0xc802, ns: Some(0), ..Out::new(SCCRQ) };
    // Protocol Version, Framing Capabilities, Host Name, Assigned Tunnel ID.
    let of_version_2 = version_2
        .clone()
        .with(avp(2, &[1, 0]))
        .with(avp(3, &[0, 0, 0, 3]))
        .with(avp(7, b"peer"))
        .with(avp(9, &[0, 9]));
    peer.send(&of_version_2);
    daemon.expect("debug *: support only L2TPv3");
    peer.expect_silence(WHILE);
    let fallback = Out { avps: peer.set_up(SCCRQ).avps, ns: None, ..version_2 };
    peer.send(&fallback);
    peer.expect(SCCRP);
}
