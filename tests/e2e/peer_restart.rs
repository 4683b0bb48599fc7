//! A peer that lost everything and comes back with the connection id and the very SCCRQ that it had before, as one does
//! that has no random values and no memory. Promise 3 of the README: one exchange, no time-out.

use std::time::Duration;

use crate::daemon::Daemon;
use crate::net::Net;
use crate::peer::*;
use crate::profiles::frames_pass;
use crate::tests;

tests!(
    equal_sccrq_over_ip,
    equal_sccrq_over_udp,
    equal_sccrq_with_a_password,
    equal_sccrq_of_a_straggler,
    sccrq_with_an_nr_that_cannot_be,
);

/// How long after the SCCCN a repetition of the SCCRQ may still be on the way.
const STRAGGLERS: Duration = Duration::from_millis(300);

/// A daemon that waits for a peer without a tie breaker.
fn waiting(tunnel: &str, session: bool) -> (Net, Daemon, Peer) {
    let net = Net::new();
    let mut peer = if tunnel.contains("udp") { Peer::udp(&net) } else { Peer::new(&net) };
    peer.tie = None;
    if let Some(secret) = tunnel.trim().strip_prefix("password ") {
        peer.secret = Some(secret.trim().as_bytes().to_vec());
    }
    let sessions = if session { SESSION } else { "" };
    let text = config(&format!("  role passive\n  hello-interval 60\n{tunnel}"), sessions);
    let mut daemon = Daemon::start(&net, &net.a, &text);
    daemon.expect("debug l2tpd start");
    (net, daemon, peer)
}

/// Three lives of the peer; each but the first begins with one SCCRQ that must be answered, and with nothing else.
#[track_caller]
fn comes_back(tunnel: &str) {
    for session in [false, true] {
        let (net, mut daemon, mut peer) = waiting(tunnel, session);
        for life in 0..3 {
            let ccid = peer.ccid;
            if life > 0 {
                peer.expect_silence(STRAGGLERS + Duration::from_millis(100));
                peer.restart(ccid);
                peer.nonce[0] = life;
            }
            let old = peer.remote;
            peer.connect();
            assert_ne!(peer.remote, old);
            if life > 0 {
                daemon.expect("debug [*] delete tunnel");
            }
            if session {
                let call = peer.call("end1");
                frames_pass(&net, &mut peer, &call, &[]);
                daemon.expect("info receive ICCN, state --> ESTABLISHED");
            }
        }
        assert_eq!(daemon.count("debug [*] we have already tunnel, remote tunnel is invalid?"), 2);
        assert_eq!(daemon.count("*failed to send control message*"), 0, "it did not need a time-out");
    }
}

/// C-130
fn equal_sccrq_over_ip() {
    comes_back("");
}

/// C-130
fn equal_sccrq_over_udp() {
    comes_back("  encapsulation udp\n");
}

/// C-130: the nonce is another; without one the SCCRQ would not be believed.
fn equal_sccrq_with_a_password() {
    comes_back("  password x\n");
}

/// C-129: a repetition that was long on its way is answered like a restart; what the peer says on its connection, which
/// still stands, takes that back.
fn equal_sccrq_of_a_straggler() {
    let (net, mut daemon, mut peer) = waiting("", true);
    let sccrq = peer.build(&peer.set_up(SCCRQ));
    peer.connect();
    let call = peer.call("end1");
    peer.expect_silence(STRAGGLERS + Duration::from_millis(100));
    peer.send_control_raw(&sccrq);
    // To the peer it is a message that it has had; it acknowledges it on its connection.
    let (remote, nr) = (peer.remote, peer.nr);
    while peer.receive_control(Duration::from_secs(5)).expect("an SCCRP").kind() != Some(SCCRP) {}
    assert_eq!((peer.remote, peer.nr), (remote, nr));
    peer.send_ack();
    daemon.expect("debug [*] delete tunnel");
    frames_pass(&net, &mut peer, &call, &[]);
    assert_eq!(daemon.count("debug tunnel create suceeded*"), 2);
    assert_eq!(daemon.count("warn *") + daemon.count("error *"), 0, "{}", daemon.tail(40));
}

/// C-043: dropped without a word, and counted.
fn sccrq_with_an_nr_that_cannot_be() {
    let (_net, mut daemon, mut peer) = waiting("", true);
    daemon.skip_log();
    peer.send(&Out { nr: Some(5), ns: Some(0), ..peer.set_up(SCCRQ) });
    peer.expect_silence(Duration::from_millis(250));
    assert_eq!(daemon.count("*SCCRQ*"), 0, "{}", daemon.tail(10));
    let counters = daemon.ctl_ok(&["counters"]);
    let line = counters.lines().find(|l| l.contains("rx_bad_nr")).unwrap_or_else(|| panic!("{counters}"));
    assert!(line.contains('1'), "{line}");
    peer.connect();
}
