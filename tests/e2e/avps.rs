//! What the daemon says about control messages that are not as they should be: headers, AVPs, digests. Each test
//! names the messages of the catalogue (M-...) that it causes.

use std::time::Duration;

use crate::daemon::Daemon;
use crate::net::Net;
use crate::peer::*;
use crate::tests;

tests!(
    headers_that_are_dropped,
    headers_that_pass,
    first_ns_is_not_0,
    avps_that_make_a_message_unreadable,
    sccrq_with_strange_avps,
    sccrq_of_a_stranger,
    reserved_bits_ignored_on_request,
    sccrp_of_a_stranger,
    version_2_over_udp,
    bad_digests,
    sccrp_without_nonce,
    different_passwords,
    unknown_message_types,
    unknown_mandatory_message_type_stops_the_tunnel,
    cookies_that_do_not_fit,
    icrq_with_faults,
    outgoing_calls,
    result_codes_out_of_range,
    stopccn_without_result_code,
    messages_in_the_wrong_state,
    sequence_numbers,
    hello_is_acknowledged,
    authenticated_hello_is_acknowledged_with_a_digest,
);

/// A while in which an answer would have come.
const WHILE: Duration = Duration::from_millis(250);

/// A daemon that waits for the peer.
fn passive(tunnel: &str, sessions: &str) -> (Net, Daemon, Peer) {
    let net = Net::new();
    let peer = Peer::new(&net);
    let mut daemon = Daemon::start(&net, &net.a, &config(&format!("  role passive\n{tunnel}"), sessions));
    daemon.expect("debug l2tpd start");
    (net, daemon, peer)
}

/// A daemon and a peer with an established control connection.
pub fn established(tunnel: &str, sessions: &str) -> (Net, Daemon, Peer) {
    let (net, mut daemon, mut peer) = passive(tunnel, sessions);
    if let Some(secret) = tunnel.trim().strip_prefix("password ") {
        peer.secret = Some(secret.trim().as_bytes().to_vec());
    }
    peer.connect();
    daemon.expect("info receive SCCCN, state --> ESTABLISHED");
    (net, daemon, peer)
}

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

/// C-011: reserved bits of the header are ignored. C-017: octets behind the Length are.
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

/// M-030 M-037 M-038 M-044: C-191 C-193 C-194 C-196
fn avps_that_make_a_message_unreadable() {
    let (_net, mut daemon, mut peer) = passive("", SESSION);
    let good = peer.set_up(SCCRQ);
    let mut short = good.clone();
    short.avps[0].length = Some(5);
    let mut long = good.clone();
    long.avps.last_mut().expect("AVP").length = Some(30);
    let mut zero = good.clone();
    zero.avps[0].length = Some(0);
    for (message, size) in [(short, 5), (long, 30), (zero, 0)] {
        peer.send(&Out { ns: Some(0), ..message });
        daemon.expect(&format!("warn [0] *: wrong size({size}), discarding packet"));
        daemon.expect("warn [0] failed to processing packet in AVP handler");
        peer.expect_silence(WHILE);
    }
    let mut reserved = good.clone();
    reserved.avps[0].reserved = 1;
    peer.send(&Out { ns: Some(0), ..reserved });
    daemon.expect("warn [0] reserved bit is set. discard packet");
    peer.expect_silence(WHILE);
    // Host Name first, then Message Type.
    let octets = peer.build(&good);
    let mut turned = octets[..12].to_vec();
    turned.extend(&octets[20..30]);
    turned.extend(&octets[12..20]);
    turned.extend(&octets[30..]);
    peer.send_control_raw(&turned);
    daemon.expect("warn [0] first AVP is notmessage type.");
    daemon.expect("warn [0] failed to processing packet in AVP handler");
    peer.expect_silence(WHILE);
    peer.connect();
}

/// C-193: with `reserved-bits ignore` the RFC's way.
fn reserved_bits_ignored_on_request() {
    let (_net, daemon, mut peer) = passive("  reserved-bits ignore\n", SESSION);
    let mut reserved = peer.set_up(SCCRQ);
    reserved.avps[0].reserved = 1;
    peer.send(&reserved);
    peer.expect(SCCRP);
    assert_eq!(daemon.count("*reserved bit*"), 0);
}

/// M-026 M-041 M-077: C-197 C-198 C-200 C-203
fn sccrq_with_strange_avps() {
    let (_net, mut daemon, mut peer) = passive("", SESSION);
    let strange = |attribute, vendor, mandatory| Avp { vendor, mandatory, ..avp(attribute, &[1, 2]) };
    for (avp, line) in [
        (strange(200, 0, true), "warn [*] no handler"),
        (strange(1, 9999, true), "warn <Unknown Vendor-ID, Vendor=9999, Type=1, Length=8"),
    ] {
        peer.send(&peer.set_up(SCCRQ).with(avp));
        daemon.expect(line);
        let stop = peer.expect(STOPCCN);
        assert_eq!(stop.result(), (2, 8), "unknown mandatory AVP");
        peer.restart(peer.ccid + 1);
    }
    for (avp, line) in [
        (strange(200, 0, false), "debug [*] no handler, but M bit is not set"),
        (strange(1, 9999, false), "warn <Unknown Vendor-ID, Vendor=9999, Type=1, Length=8"),
    ] {
        peer.send(&peer.set_up(SCCRQ).with(avp));
        daemon.expect(line);
        peer.expect(SCCRP);
        peer.restart(peer.ccid + 1);
    }
    // Router ID of three octets.
    peer.send(&peer.set_up(SCCRQ).replace(60, &[10, 0, 0]));
    daemon.expect("warn [*] failed to processing packet in AVP handler");
    let stop = peer.expect(STOPCCN);
    assert_eq!(stop.result(), (2, 2), "wrong length of an AVP");
    // Assigned CCID 0: nobody to answer to.
    peer.restart(peer.ccid + 1);
    peer.send(&peer.set_up(SCCRQ).replace(61, &[0; 4]));
    daemon.expect("warn [*] failed to processing packet in AVP handler");
    peer.expect_silence(WHILE);
}

/// M-039 M-046: C-081 C-085 C-112
fn sccrq_of_a_stranger() {
    let (_net, mut daemon, mut peer) = passive("", SESSION);
    peer.send(&peer.set_up(SCCRQ).replace(7, b"intruder"));
    daemon.expect("warn [*] hostname mismatch in SCCRQ");
    assert_eq!(peer.expect(STOPCCN).result().0, 4, "not authorized");
    peer.restart(peer.ccid + 1);
    peer.send(&peer.set_up(SCCRQ).replace(60, &[10, 9, 9, 9]));
    daemon.expect("warn [*] router-id mismatch in SCCRQ");
    assert_eq!(peer.expect(STOPCCN).result().0, 4, "not authorized");
    assert_eq!(daemon.count("*--> WAIT-CTL-CONN"), 0);
}

/// M-039 M-046 with the daemon as initiator: C-116
fn sccrp_of_a_stranger() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let mut daemon = Daemon::start(&net, &net.a, &config("", SESSION));
    peer.expect(SCCRQ);
    peer.send(&peer.set_up(SCCRP).replace(7, b"intruder"));
    daemon.expect("warn [*] hostname mismatch in SCCRP");
    assert_eq!(peer.expect(STOPCCN).result().0, 4);
    peer.restart(peer.ccid + 1);
    peer.expect(SCCRQ); // it goes on trying
    peer.send(&peer.set_up(SCCRP).replace(60, &[9; 4]));
    daemon.expect("warn [*] router-id mismatch in SCCRP");
    assert_eq!(peer.expect(STOPCCN).result().0, 4);
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

/// M-027 M-040: C-222 C-224 C-225 C-231
fn bad_digests() {
    let (_net, mut daemon, mut peer) = passive("  password secret\n", SESSION);
    peer.secret = Some(b"secret".to_vec());
    for (sign, line) in [
        (Sign::Wrongly, "warn [0] message digest invalid in SCCRQ"),
        (Sign::Not, "warn [0] message digest invalid in SCCRQ"),
        (Sign::Type1, "warn [0] *: only support HMAC-MD5 digest type(1) in SCCRQ, Ignoreing"),
    ] {
        peer.send(&Out { sign, ns: Some(0), ..peer.set_up(SCCRQ) });
        daemon.expect(line);
        peer.expect_silence(WHILE);
    }
    peer.connect();
    daemon.expect("info receive SCCCN, state --> ESTABLISHED");
    // On the established connection: no acknowledgement, and the tunnel stays.
    daemon.skip_log();
    for sign in [Sign::Wrongly, Sign::Not] {
        peer.send(&Out { sign, ns: Some(peer.ns), ..Out::new(HELLO) });
        daemon.expect("warn [*] message digest invalid in HELLO");
        peer.send(&Out { sign, ns: Some(peer.ns), ..Out::new(STOPCCN).with(avp(1, &[0, 1])) });
        daemon.expect("warn [*] message digest invalid in StopCCN");
    }
    peer.expect_silence(WHILE);
    peer.send(&Out::new(HELLO));
    peer.expect_ack();
}

/// M-034: C-238 C-240
fn sccrp_without_nonce() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let mut daemon = Daemon::start(&net, &net.a, &config("  password secret\n", SESSION));
    peer.secret = Some(b"secret".to_vec());
    peer.acknowledge = false;
    let sccrq = peer.expect(SCCRQ);
    assert!(sccrq.avp(73).is_some_and(|nonce| nonce.len() >= 16), "a nonce of 16 octets or more");
    peer.send(&Out { ns: Some(0), ..peer.set_up(SCCRP).without(73) });
    daemon.expect("warn [*] Authentication Nonce was not found in SCCRP");
    assert_eq!(daemon.count("*SCCCN*"), 0, "no answer to a message that proves nothing");
    peer.send(&peer.set_up(SCCRP));
    peer.expect(SCCCN);
}

/// M-040 from both ends: they never connect, and neither tells the other why.
fn different_passwords() {
    let net = Net::new();
    let text = |host: u8, password: &str| {
        format!(
            "hostname h{host}\nrouter-id 10.0.0.{host}\nrestart-interval 1\ntunnel t\n  remote-address 192.0.2.{}\n  \
             remote-hostname any\n  remote-router-id any\n  password {password}\n  retry 2\n  retry-interval 0.1\n\
             {SESSION}",
            3 - host
        )
    };
    let mut a = Daemon::start(&net, &net.a, &text(1, "one"));
    let mut b = Daemon::start(&net, &net.b, &text(2, "two"));
    a.expect("warn [*] message digest invalid in SCCRQ");
    b.expect("warn [*] message digest invalid in SCCRQ");
    assert_eq!(a.count("*StopCCN*") + b.count("*StopCCN*") + a.count("*ESTABLISHED*"), 0);
    for daemon in [&a, &b] {
        assert_eq!(daemon.count("*one*") + daemon.count("*two*"), 0, "a password in the log");
    }
}

/// M-029 M-032 with M=0: acknowledged, ignored. C-210 C-211
fn unknown_message_types() {
    let (_net, mut daemon, mut peer) = established("", SESSION);
    peer.send(&Out { kind_mandatory: false, ..Out::new(99) });
    daemon.expect("warn [*] AVP: type=Message Type, value=unknown(99), can't hanle message");
    peer.expect_ack();
    peer.send(&Out { kind_mandatory: false, ..Out::new(21) });
    daemon.expect("warn [*] *: unknown message type *");
    peer.expect_ack();
    peer.send(&Out::new(HELLO));
    peer.expect_ack();
    assert_eq!(daemon.count("*StopCCN*"), 0);
}

/// M-032 with M=1: C-210
fn unknown_mandatory_message_type_stops_the_tunnel() {
    let (_net, mut daemon, mut peer) = established("", SESSION);
    peer.send(&Out::new(99));
    daemon.expect("warn [*] AVP: type=Message Type, value=unknown(99), can't hanle message");
    let stop = peer.expect(STOPCCN);
    assert_eq!(stop.result(), (2, 8));
    daemon.expect("debug [*] delete tunnel");
}

/// M-028 M-033 M-035: C-141 C-145
fn cookies_that_do_not_fit() {
    let sessions =
        "  session l0\n    remote-end-id with\n    cookie 8\n  session l1\n    remote-end-id without\n";
    let (_net, mut daemon, mut peer) = established("", sessions);
    let icrq = peer.icrq("with").with(avp(65, &[1, 2, 3, 4, 5]));
    refused(&mut daemon, &mut peer, &icrq, "warn [*] *: invalid cookie length (5)", (2, 2));
    let icrq = peer.icrq("with");
    refused(&mut daemon, &mut peer, &icrq, "warn [*] Assigned Cookie AVP not found in ICRQ", (2, 6));
    let icrq = peer.icrq("without").with(avp(65, &[1; 8]));
    let line = "warn [*] Cookie setting is off, but Assigned Cookie AVP found in ICRQ";
    refused(&mut daemon, &mut peer, &icrq, line, (2, 6));
    let icrq = peer.icrq("with").with(avp(65, &[1; 8]));
    let call = peer.call_with(&icrq);
    assert_eq!(call.cookie.len(), 8, "the daemon's own cookie");
    // The same from the initiator's side: an ICRP without the cookie.
    let icrq = peer.expect(ICRQ);
    assert_eq!(icrq.avp(66), Some(&b"without"[..]));
    let call = Call { local: peer.new_session_id(), remote: icrq.u32(63), cookie: Vec::new() };
    daemon.skip_log();
    peer.send(&peer.session_message(ICRP, &call).with(avp(71, &[0, 3])).with(avp(65, &[1; 4])));
    daemon.expect("warn [*] Cookie setting is off, but Assigned Cookie AVP found in ICRP");
    assert_eq!(peer.expect(CDN).result(), (2, 6));
}

/// An ICRQ that is answered with a line in the log and a CDN; the tunnel stays.
#[track_caller]
fn refused(daemon: &mut Daemon, peer: &mut Peer, icrq: &Out, line: &str, result: (u16, u16)) {
    daemon.skip_log();
    peer.send(icrq);
    let cdn = peer.expect(CDN);
    daemon.expect(line);
    assert_eq!(cdn.result(), result, "after {line}");
    let local = icrq.avps.iter().find(|avp| avp.attribute == 63).expect("AVP");
    assert_eq!(cdn.avp(64), Some(&local.value[..]), "the CDN names the session");
    peer.send(&Out::new(HELLO));
    peer.expect_ack();
}

/// M-031 M-036 M-043 M-070 M-041: C-136 C-139 C-140 C-148 C-198 C-208
fn icrq_with_faults() {
    let (_net, mut daemon, mut peer) = established("", SESSION);
    let icrq = peer.icrq("end1").without(15);
    refused(&mut daemon, &mut peer, &icrq, "warn [*] Serial Number AVP not found in ICRQ", (2, 6));
    let icrq = peer.icrq("nowhere");
    refused(&mut daemon, &mut peer, &icrq, "warn [*] remote-end-id mismatch in ICRQ", (24, 0));
    assert_eq!(daemon.count("debug [*] can't find session config (remote-end-id=nowhere)"), 1);
    let icrq = peer.icrq("end1").replace(68, &[0, 7]);
    refused(&mut daemon, &mut peer, &icrq, "*", (14, 0));
    let icrq = peer.icrq("end1").with(avp(70, &[0, 2]));
    refused(&mut daemon, &mut peer, &icrq, "*", (15, 0));
    let icrq = peer.icrq("end1").with(avp(200, &[1]));
    refused(&mut daemon, &mut peer, &icrq, "warn [*] no handler", (2, 8));
    let icrq = peer.icrq("end\x1b[31m\n1");
    refused(
        &mut daemon,
        &mut peer,
        &icrq,
        "debug [*] can't find session config (remote-end-id=end\\u{1b}[31m\\n1)",
        (24, 0),
    );
    // An AVP that does not belong there is ignored, and so is one with a wrong length and M=0.
    let icrq = peer.icrq("end1").with(avp(7, b"name")).with(avp(75, &[1, 2, 3, 4]).optional());
    daemon.skip_log();
    peer.call_with(&icrq);
    daemon.expect("warn [*] AVP: Host Name: invalid in ICRQ");
    daemon.expect("info receive ICCN, state --> ESTABLISHED");
}

/// M-067 M-068 M-069: C-189 C-190
fn outgoing_calls() {
    let (_net, mut daemon, mut peer) = established("", "");
    let call = Call { local: 0x0a0b_0c0d, remote: 0, cookie: Vec::new() };
    let ocrq = peer.session_message(OCRQ, &call).with(avp(15, &[0, 0, 0, 1])).with(avp(68, &[0, 5]));
    peer.send(&ocrq.with(avp(66, b"end1")).with(avp(71, &[0, 3])));
    daemon.expect("debug [*] *: not support OCRQ");
    let cdn = peer.expect(CDN);
    assert_eq!((cdn.result().0, cdn.u32(64)), (5, call.local));
    peer.send(&peer.session_message(OCRP, &Call { remote: 77, ..call.clone() }).with(avp(71, &[0, 3])));
    daemon.expect("debug [*] *: not support OCRP");
    peer.expect_ack();
    peer.send(&peer.session_message(OCCN, &Call { remote: 77, ..call }));
    daemon.expect("debug [*] *: not support OCCN");
    peer.expect_ack();
    assert_eq!(daemon.count("*StopCCN*"), 0);
}

/// M-045: the code is ignored, not the message. C-298 C-299 C-303
fn result_codes_out_of_range() {
    let (_net, mut daemon, mut peer) = established("", SESSION);
    let call = peer.call("end1");
    daemon.expect("info receive ICCN, state --> ESTABLISHED");
    peer.send(&peer.session_message(CDN, &call).with(avp(1, &[0, 200])));
    daemon.expect("warn [*] result code out of range (200,0). Ignoring");
    peer.expect_ack();
    daemon.expect("debug [*][*] delete session");
    let own = peer.ccid.to_be_bytes();
    peer.send(&Out::new(STOPCCN).with(avp(1, &[0, 99, 0, 77])).with(avp(61, &own)));
    daemon.expect("warn [*] result code out of range (99,77). Ignoring");
    daemon.expect("info receive StopCCN, state --> IDLE");
    peer.expect_ack();
    daemon.expect("debug [*] delete tunnel");
}

/// M-037 M-072 M-074: C-062 C-127
fn stopccn_without_result_code() {
    let (_net, mut daemon, mut peer) = established("", SESSION);
    let own = peer.ccid.to_be_bytes();
    let message = peer.send(&Out::new(STOPCCN).with(avp(61, &own)));
    daemon.expect("warn [*] failed to processing packet in AVP handler");
    daemon.expect("debug [*] cleanup tunnel: t1");
    peer.expect_ack();
    // While it lingers, a repetition is acknowledged again.
    peer.send_control_raw(&message);
    peer.expect_ack();
    daemon.expect("debug [*] delete tunnel");
}

/// M-042: C-120 C-126 C-214
fn messages_in_the_wrong_state() {
    let (_net, mut daemon, mut peer) = passive("", SESSION);
    peer.send(&peer.set_up(SCCRQ));
    peer.expect(SCCRP);
    let icrq = peer.icrq("end1");
    peer.send(&icrq);
    daemon.expect("warn [*] receive ICRQ, but ignored(tunnel state=WAIT-CTL-CONN)");
    peer.expect_ack();
    peer.send(&Out::new(SCCCN));
    daemon.expect("info receive SCCCN, state --> ESTABLISHED");
    peer.expect_ack();
    peer.send(&Out::new(SCCCN));
    daemon.expect("warn [*] receive SCCCN, but ignored(tunnel state=ESTABLISHED)");
    peer.expect_ack();
    peer.send(&peer.set_up(SCCRP));
    daemon.expect("warn [*] receive SCCRP, but ignored(tunnel state=ESTABLISHED)");
    peer.expect_ack();
    peer.send(&Out::new(HELLO));
    peer.expect_ack();
}

/// M-082: C-036 C-040 C-041 C-042 C-045
fn sequence_numbers() {
    let (_net, mut daemon, mut peer) = established("", "");
    // A message of old is acknowledged again and not acted upon.
    let before = peer.ns;
    peer.send(&Out { ns: Some(before - 1), ..Out::new(SCCCN) });
    daemon
        .expect(&format!("debug [*] sequence number mismatch: ctl_hdr->ns={}, tun->nr={before}", before - 1));
    assert_eq!(peer.expect_ack().nr, before);
    // One from the future is not acknowledged; when the gap closes, everything is.
    peer.send(&Out { ns: Some(before + 1), ..Out::new(HELLO) });
    daemon
        .expect(&format!("debug [*] sequence number mismatch: ctl_hdr->ns={}, tun->nr={before}", before + 1));
    peer.send(&Out::new(HELLO));
    peer.send(&Out { ns: Some(before + 1), ..Out::new(HELLO) });
    peer.ns = before + 2;
    assert_eq!(peer.expect_ack().nr, before + 2);
    // An acknowledgement of what was never sent makes the message void.
    while peer.receive_anything(WHILE) {}
    peer.send(&Out { ns: Some(peer.ns), nr: Some(99), ..Out::new(STOPCCN).with(avp(1, &[0, 1])) });
    peer.expect_silence(WHILE);
    assert_eq!(daemon.count("*receive StopCCN*"), 0);
    // A connection that does not exist: no answer to that, but the peer may have forgotten ours, and is asked.
    peer.send(&Out { ns: Some(0), ccid: Some(0xdead_beef), ..Out::new(HELLO) });
    assert_eq!(peer.expect(HELLO).nr, peer.ns);
    peer.expect_silence(WHILE);
    daemon.stop();
}

/// M-079 M-078: a ZLB, because there is no password. C-048 C-049
fn hello_is_acknowledged() {
    let (_net, mut daemon, mut peer) = established("", "");
    peer.send(&Out::new(HELLO));
    daemon.expect("debug [*] receive HELLO, send ZLB ACK");
    assert_eq!(peer.expect_ack().kind(), None, "a ZLB");
    // An explicit ACK of the peer is understood, and not answered.
    peer.send(&Out::new(ACK));
    daemon.expect("debug [*] receive Explicit ACK");
    peer.expect_silence(WHILE);
}

/// M-079: C-049
fn authenticated_hello_is_acknowledged_with_a_digest() {
    let (_net, mut daemon, mut peer) = established("  password secret\n", "");
    peer.send(&Out::new(HELLO));
    daemon.expect("debug [*] receive HELLO, send ZLB ACK");
    assert_eq!(peer.expect_ack().kind(), Some(ACK), "an ACK message, which can carry a digest");
}
