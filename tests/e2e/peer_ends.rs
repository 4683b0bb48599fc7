//! A peer that ends a session (CDN) or the tunnel (StopCCN), and comes back.

use crate::daemon::Daemon;
use crate::net::Net;
use crate::pair::{address, host, pair, passes_again, up};
use crate::peer::*;
use crate::tests;

tests!(
    orderly_end_and_return_of_a_peer,
    result_codes_out_of_range,
    stopccn_without_result_code,
    cdn_of_the_peer,
    stopccn_of_the_peer,
);

fn orderly_end_and_return_of_a_peer() {
    let net = Net::new();
    let (mut a, mut b) = pair(&net, "", "");
    b.stop();
    a.expect("info receive StopCCN, state --> IDLE");
    a.expect("debug [*] delete tunnel");
    assert!(!net.answers(&net.a, "10.9.9.2"));
    a.skip_log();
    let mut b = Daemon::start(&net, &net.b, &host(2, "", "", ""));
    up(&mut b, 1);
    address(&net, &net.b, 2);
    passes_again(&net);
    a.stop();
    b.stop();
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

/// M-084 M-085: C-153 C-173. The session is taken up again after the restart interval.
fn cdn_of_the_peer() {
    let (_net, mut daemon, mut peer) = established("", SESSION);
    let call = peer.call("end1");
    daemon.expect("info receive ICCN, state --> ESTABLISHED");
    peer.send(&peer.session_message(CDN, &call).with(avp(1, &[0, 3])));
    daemon.expect_all(&[
        "info receive CDN, state --> IDLE",
        &format!("debug [*][{}] cleanup session: l0", call.remote),
        &format!("debug [*][{}] delete session", call.remote),
    ]);
    peer.expect_ack();
    peer.answer();
    daemon.expect("info send ICCN, state --> ESTABLISHED");
    assert_eq!(daemon.count("*StopCCN*"), 0);
}

/// M-056 M-072 M-074: C-127
fn stopccn_of_the_peer() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let mut daemon = Daemon::start(&net, &net.a, &config("", SESSION));
    peer.accept();
    peer.answer();
    daemon.expect("info send ICCN, state --> ESTABLISHED");
    let own = peer.ccid.to_be_bytes();
    peer.send(&Out::new(STOPCCN).with(avp(1, &[0, 6])).with(avp(61, &own)));
    daemon.expect("info receive StopCCN, state --> IDLE");
    peer.expect_ack();
    daemon.expect_all(&["debug [*][*] cleanup session: l0", "debug [*][*] delete session"]);
    daemon.expect_all(&["debug [*] cleanup tunnel: t1", "debug [*] delete tunnel"]);
    peer.restart(0x7777_0002);
    peer.accept(); // after the restart interval it tries again
    peer.answer();
}
