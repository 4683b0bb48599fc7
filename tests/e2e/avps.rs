//! AVPs and message types that are not as they should be. Each test names the messages of the catalogue (M-...) that it
//! causes.

use crate::daemon::Daemon;
use crate::peer::*;
use crate::tests;

tests!(
    avps_that_make_a_message_unreadable,
    sccrq_with_strange_avps,
    reserved_bits_ignored_on_request,
    unknown_message_types,
    unknown_mandatory_message_type_stops_the_tunnel,
    icrq_with_faults,
    outgoing_calls,
);

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

/// An ICRQ that is answered with a line in the log and a CDN; the tunnel stays.
#[track_caller]
pub fn refused(daemon: &mut Daemon, peer: &mut Peer, icrq: &Out, line: &str, result: (u16, u16)) {
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
