//! `l2tpctl clear`, `start` and `stop`.

use crate::net::Net;
use crate::pair::{addresses, pair, passes_again};
use crate::peer::*;
use crate::tests;
use crate::wait::wait_until;

tests!(clear_commands, clear_without_result_code, start_and_stop_by_hand,);

/// M-061 M-062 M-065 M-066
fn clear_commands() {
    let (_net, mut daemon, mut peer) = established("", SESSION);
    let call = peer.call("end1");
    daemon.expect("info receive ICCN, state --> ESTABLISHED");
    let output = daemon.ctl(&["clear", "peer", "198.51.100.77"]);
    assert_eq!(output.status.code(), Some(1));
    daemon.expect("debug *: no such address peer: 198.51.100.77");
    let output = daemon.ctl(&["clear", "session", "l2tp99"]);
    assert_eq!(output.status.code(), Some(1));
    daemon.expect("debug *: no such if_name: l2tp99");
    // A session: the tunnel stays, and the session comes back.
    daemon.ctl_ok(&["clear", "session", "l0"]);
    let cdn = peer.expect(CDN);
    assert_eq!((cdn.result().0, cdn.u32(63), cdn.u32(64)), (3, call.remote, call.local));
    daemon.expect("debug [*] *: cleanup call: l0");
    daemon.expect("debug [*][*] delete session");
    peer.answer();
    // A tunnel, by address and by name.
    let tunnel = peer.remote;
    daemon.ctl_ok(&["clear", "peer", "192.0.2.2"]);
    assert_eq!(peer.expect(STOPCCN).result().0, 1);
    daemon.expect(&format!("debug [{tunnel}] *: cleanup tunnel: 192.0.2.2"));
    daemon.expect(&format!("debug [{tunnel}] delete tunnel"));
    peer.restart(0x3333_0003);
    peer.connect();
    daemon.ctl_ok(&["clear", "tunnel", "t1", "result-code", "6"]);
    assert_eq!(peer.expect(STOPCCN).result().0, 6, "the result code that was asked for");
}

/// M-023: C-305
fn clear_without_result_code() {
    let (_net, mut daemon, mut peer) = established("", SESSION);
    let output = daemon.ctl(&["clear", "tunnel", "t1", "result-code", "0"]);
    assert_eq!(output.status.code(), Some(1));
    daemon.expect("error result code not specified");
    peer.send(&Out::new(HELLO));
    peer.expect_ack();
}

fn start_and_stop_by_hand() {
    let net = Net::new();
    let (mut a, mut b) = pair(&net, "  retry 3\n", "");
    a.ctl_ok(&["stop", "t"]);
    b.expect("info receive StopCCN, state --> IDLE");
    b.expect("error failed to send control message. tunnel shutdown"); // it called in vain
    assert!(
        !net.answers(&net.a, "10.9.9.2"),
        "a stopped tunnel must not come back by itself, nor by the peer's wish"
    );
    a.ctl_ok(&["start", "t"]);
    wait_until(|| net.has(&net.a, "l0"), || "the tunnel does not start".to_owned());
    addresses(&net);
    passes_again(&net);
    assert_eq!(a.ctl(&["stop", "nothing"]).status.code(), Some(1));
    a.stop();
    b.stop();
}
