//! xcesp-l2tpv3d: begins over UDP, its ICRQ has no Serial Number, it takes an ACK message for one that has an Ns.

use super::frames_pass;
use crate::daemon::Daemon;
use crate::net::Net;
use crate::peer::*;
use crate::tests;
use crate::wait::PATIENCE;

tests!(xcesp_begins);

fn xcesp_begins() {
    let net = Net::new();
    let mut peer = Peer::udp(&net);
    let text = config("  encapsulation udp\n  role passive\n  cookie 8\n", SESSION);
    let mut daemon = Daemon::start(&net, &net.a, &text);
    daemon.expect("debug l2tpd start");
    let sccrq = Out::new(SCCRQ)
        .with(avp(60, &[10, 0, 0, 2]))
        .with(avp(61, &peer.ccid.to_be_bytes()))
        .with(avp(62, &[0, 5]))
        .with(avp(7, b"peer"))
        .with(avp(10, &[0, 4]));
    peer.send(&sccrq);
    peer.acknowledge = false;
    peer.expect(SCCRP);
    peer.acknowledge = true;
    peer.send(&Out::new(SCCCN));
    assert_eq!(peer.expect_ack().kind(), None, "a ZLB");
    // Its ICRQ repeats what RFC 3931 has in the ICCN; without a Serial Number it is refused, as such a router does.
    let icrq = Out::new(ICRQ)
        .with(avp(63, &[0, 0, 0, 9]))
        .with(avp(64, &[0; 4]))
        .with(avp(68, &[0, 5]))
        .with(avp(69, &[0, 0]))
        .with(avp(70, &[0, 0]))
        .with(avp(71, &[0, 3]))
        .with(avp(66, b"end1"))
        .with(avp(65, &[9; 8]));
    peer.send(&icrq);
    daemon.expect("warn [*] Serial Number AVP not found in ICRQ");
    let cdn = peer.expect(CDN);
    assert_eq!((cdn.result().0, cdn.u32(64)), (2, 9));
    // With one, all is well.
    peer.send(&icrq.replace(63, &[0, 0, 0, 10]).with(avp(15, &[0, 0, 0, 1])));
    let icrp = peer.expect(ICRP);
    let call = Call { local: 10, remote: icrp.u32(63), cookie: icrp.avp(65).expect("cookie").to_vec() };
    let iccn = peer.session_message(ICCN, &call);
    peer.send(&iccn.with(avp(69, &[0, 0])).with(avp(70, &[0, 0])).with(avp(71, &[0, 3])));
    assert_eq!(peer.expect_ack().kind(), None, "a ZLB");
    frames_pass(&net, &mut peer, &call, &[9; 8]);
    // Whatever it repeats (1, 2, 4 s) is acknowledged by a ZLB.
    let again = Out { ns: Some(peer.ns - 1), ..Out::new(HELLO) };
    peer.send(&again);
    let answer = peer.receive_control(PATIENCE).expect("an acknowledgement");
    assert_eq!((answer.kind(), answer.nr), (None, peer.ns));
}
