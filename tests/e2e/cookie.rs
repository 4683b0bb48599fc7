//! `cookie`: AVPs and frames in which it does not fit.

use std::time::Instant;

use crate::avps::refused;
use crate::daemon::Daemon;
use crate::net::Net;
use crate::peer;
use crate::peer::*;
use crate::tests;
use crate::wait::PATIENCE;

tests!(cookies_that_do_not_fit, frames_with_a_wrong_cookie_are_dropped,);

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

fn frames_with_a_wrong_cookie_are_dropped() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let text = peer::config("  role passive\n", "  session l0\n    remote-end-id end1\n    cookie 8\n");
    let mut daemon = Daemon::start(&net, &net.a, &text);
    daemon.expect("debug l2tpd start");
    peer.connect();
    let icrq = peer.icrq("end1").with(peer::avp(65, &[7; 8]));
    let call = peer.call_with(&icrq);
    daemon.expect("info receive ICCN, state --> ESTABLISHED");
    let ear = crate::sys::in_netns(&net.a, || crate::sys::FrameSocket::open("l0"));
    let frame = |mark: u8| {
        let mut frame = vec![0xff; 6];
        frame.extend([2, 0, 0, 0, 0, 1, 0x88, 0xb5]);
        frame.resize(60, mark);
        frame
    };
    peer.send_frame(&peer::Call { cookie: vec![9; 8], ..call.clone() }, &frame(1));
    peer.send_frame(&peer::Call { cookie: Vec::new(), ..call.clone() }, &frame(2));
    peer.send_frame(&call, &frame(3));
    let deadline = Instant::now() + PATIENCE;
    let got = loop {
        let got = ear.receive(deadline).expect("the frame with the right cookie");
        if got.len() == 60 && got[12..14] == [0x88, 0xb5] {
            break got;
        }
    };
    assert_eq!(got, frame(3), "only the frame with the right cookie");
    let counters = daemon.ctl_ok(&["counters"]);
    assert!(counters.to_lowercase().contains("cookie"), "{counters}");
    // And what the daemon sends carries our cookie.
    let mouth = crate::sys::in_netns(&net.a, || crate::sys::FrameSocket::open("l0"));
    mouth.send(&frame(4));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if let peer::Packet::Data(packet) = peer.receive(left).expect("a frame of the daemon") {
            assert_eq!(packet[..4], call.local.to_be_bytes());
            assert_eq!(packet[4..12], [7; 8], "the cookie that the peer assigned");
            if packet[12..] == frame(4) {
                break;
            }
        }
    }
}
