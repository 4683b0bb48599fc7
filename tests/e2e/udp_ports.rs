//! UDP ports that a NAT chooses.

use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::net::Net;
use crate::outer_headers::up;
use crate::peer::*;
use crate::profiles::{data, frame, frames_pass, PATIENCE};
use crate::sys::{in_netns, FrameSocket};
use crate::tests;

tests!(
    nat_from_the_first_message,
    nat_changes_the_port,
    nat_changes_the_port_without_a_password,
    answer_from_another_port,
);

/// C-027: behind a NAT the peer's port is any; everything goes back there.
fn nat_from_the_first_message() {
    let net = Net::new();
    let mut peer = Peer::udp(&net);
    peer.move_to_port(&net, 40000);
    let (daemon, _call) = up(&net, &mut peer, "  encapsulation udp\n");
    daemon.signal(libc::SIGTERM);
    peer.expect(STOPCCN);
}

/// C-027: a message with a valid digest from another port makes the daemon ask there; the answer moves the peer.
fn nat_changes_the_port() {
    let net = Net::new();
    let mut peer = Peer::udp(&net);
    peer.secret = Some(b"x".to_vec());
    peer.move_to_port(&net, 40000);
    let (mut daemon, call) = up(&net, &mut peer, "  encapsulation udp\n  password x\n");
    let socket = in_netns(&net.a, || FrameSocket::open("l0"));
    peer.move_to_port(&net, 40001);
    peer.send(&Out { sign: Sign::Wrongly, ns: Some(peer.ns), ..Out::new(HELLO) });
    daemon.expect("warn [*] message digest invalid in HELLO");
    socket.send(&frame(10));
    assert!(peer.receive(Duration::from_millis(300)).is_none(), "the daemon followed a stranger");
    peer.send(&Out::new(HELLO));
    peer.expect(HELLO);
    daemon.expect("info   [*] the peer is at 192.0.2.2:40001 now");
    socket.send(&frame(11));
    data(&mut peer, &frame(11));
    peer.send_frame(&call, &frame(12));
    comes_out(&socket, &frame(12));
}

/// Waits for a frame of the peer.
#[track_caller]
fn comes_out(socket: &FrameSocket, wanted: &[u8]) {
    let deadline = Instant::now() + PATIENCE;
    while socket.receive(deadline).expect("the frame comes out") != wanted {}
}

/// Without a password a message from another port tells nothing, nor do data with another cookie. Data with the right
/// one make the daemon ask there, and the answer moves the peer.
fn nat_changes_the_port_without_a_password() {
    let net = Net::new();
    let mut peer = Peer::udp(&net);
    let session = "  session l0\n    remote-end-id end1\n    cookie 8\n";
    let text = config("  role passive\n  encapsulation udp\n", session);
    let mut daemon = Daemon::start(&net, &net.a, &text);
    daemon.expect("debug l2tpd start");
    peer.connect();
    let icrq = peer.icrq("end1").with(avp(65, &[7; 8]));
    let call = peer.call_with(&icrq);
    daemon.expect("info receive ICCN, state --> ESTABLISHED");
    let socket = in_netns(&net.a, || FrameSocket::open("l0"));
    peer.move_to_port(&net, 40000);
    peer.send(&Out { ns: Some(peer.ns), ..Out::new(HELLO) });
    peer.send_frame(&Call { cookie: vec![9; 8], ..call.clone() }, &frame(1));
    peer.send_frame(&Call { cookie: Vec::new(), ..call.clone() }, &frame(2));
    peer.expect_silence(Duration::from_millis(300));
    peer.acknowledge = false;
    for mark in 3..8 {
        peer.send_frame(&call, &frame(mark));
    }
    peer.expect(HELLO);
    assert_eq!(daemon.count("*the peer is at*"), 0, "before it has answered");
    peer.send_ack();
    daemon.expect("info   [*] the peer is at 192.0.2.2:40000 now");
    socket.send(&frame(11));
    data(&mut peer, &frame(11));
    peer.send_frame(&call, &frame(12));
    comes_out(&socket, &frame(12));
}

/// C-027: the peer may answer our SCCRQ from a port of its own choice.
fn answer_from_another_port() {
    let net = Net::new();
    let mut peer = Peer::udp(&net);
    let _daemon = Daemon::start(&net, &net.a, &config("  encapsulation udp\n", SESSION));
    peer.acknowledge = false;
    peer.expect(SCCRQ);
    peer.acknowledge = true;
    peer.move_to_port(&net, 50000);
    peer.send(&peer.set_up(SCCRP));
    peer.expect(SCCCN);
    let call = peer.answer();
    frames_pass(&net, &mut peer, &call, &[]);
}
