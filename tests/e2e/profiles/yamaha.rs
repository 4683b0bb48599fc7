//! Yamaha routers: UDP port 1701 only, Ethernet pseudowires, names and router ids at both ends, keep-alives.

use std::time::Duration;

use super::{frames_pass, vendor_avp};
use crate::daemon::Daemon;
use crate::net::Net;
use crate::peer::*;
use crate::tests;
use crate::wait::PATIENCE;

tests!(yamaha_begins, yamaha_answers, yamaha_does_not_hear_protocol_115);

const SETTINGS: &str = "  encapsulation udp\n  remote-hostname rtx\n";

fn yamaha(net: &Net) -> Peer {
    let mut peer = Peer::udp(net);
    peer.host = b"rtx".to_vec();
    peer
}

fn set_up(peer: &Peer, kind: u16) -> Out {
    peer.set_up(kind).with(avp(8, b"YAMAHA Corporation").optional()).with(avp(10, &[0, 4]))
}

fn yamaha_begins() {
    let net = Net::new();
    let mut peer = yamaha(&net);
    let text = config(&format!("{SETTINGS}  role passive\n"), SESSION);
    let mut daemon = Daemon::start(&net, &net.a, &text);
    daemon.expect("debug l2tpd start");
    peer.send(&set_up(&peer, SCCRQ));
    peer.acknowledge = false;
    peer.expect(SCCRP);
    peer.acknowledge = true;
    peer.send(&Out::new(SCCCN));
    peer.expect_ack();
    let call = peer.call("end1");
    frames_pass(&net, &mut peer, &call, &[]);
    for _ in 0..3 {
        peer.send(&Out::new(HELLO));
        let answer = peer.receive_control(PATIENCE).expect("an answer to the keep-alive");
        assert_eq!((answer.kind(), answer.nr), (None, peer.ns), "a ZLB that acknowledges it");
    }
    daemon.signal(libc::SIGTERM);
    peer.expect(STOPCCN);
    assert_eq!(daemon.wait_exit().code(), Some(0));
}

fn yamaha_answers() {
    let net = Net::new();
    let mut peer = yamaha(&net);
    let mut daemon =
        Daemon::start(&net, &net.a, &config(&format!("{SETTINGS}  hello-interval 1\n"), SESSION));
    peer.acknowledge = false;
    let sccrq = peer.expect(SCCRQ);
    assert!(sccrq.avps.iter().all(|(_, vendor, _, _)| *vendor == 0), "{sccrq:?}");
    peer.acknowledge = true;
    // Its own AVPs, as all vendors', are not mandatory.
    peer.send(&set_up(&peer, SCCRP).with(vendor_avp(1182, 1, &[1, 2]).optional()));
    peer.expect(SCCCN);
    let call = peer.answer();
    frames_pass(&net, &mut peer, &call, &[]);
    daemon.expect("info send ICCN, state --> ESTABLISHED");
    for _ in 0..2 {
        peer.expect(HELLO);
    }
    assert_eq!(daemon.count("*failed to send control message*"), 0);
}

/// A tunnel over UDP listens on its port only: nothing over protocol 115 gets an answer.
fn yamaha_does_not_hear_protocol_115() {
    let net = Net::new();
    let mut other = Peer::new(&net);
    other.host = b"rtx".to_vec();
    let mut daemon = Daemon::start(&net, &net.a, &config(&format!("{SETTINGS}  role passive\n"), SESSION));
    daemon.expect("debug l2tpd start");
    other.send(&other.set_up(SCCRQ));
    other.expect_silence(Duration::from_millis(400));
}
