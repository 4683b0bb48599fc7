//! A peer that crashed and comes back, also one that lost everything and has the connection id and the very SCCRQ that it
//! had before, as one does that has no random values and no memory. Promise 3: one exchange, no time-out.

use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::net::Net;
use crate::pair::{address, caller_and_answerer, host, pair, passes_again, up};
use crate::peer::*;
use crate::profiles::frames_pass;
use crate::tests;
use crate::wait::PATIENCE;

tests!(
    equal_sccrq_over_ip,
    equal_sccrq_over_udp,
    equal_sccrq_with_a_password,
    equal_sccrq_of_a_straggler,
    sccrq_with_an_nr_that_cannot_be,
    second_sccrq_replaces_the_tunnel_only_with_proof,
    crash_and_return_of_a_peer,
    killed_peer_that_only_answers,
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
    while peer.receive_control(PATIENCE).expect("an SCCRP").kind() != Some(SCCRP) {}
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

/// M-083: C-130 C-362. A forged or replayed SCCRQ must not hurt the tunnel that is there; the peer that really
/// began anew replaces it.
fn second_sccrq_replaces_the_tunnel_only_with_proof() {
    let (_net, mut daemon, mut peer) = established("", SESSION);
    let call = peer.call("end1");
    daemon.expect("info receive ICCN, state --> ESTABLISHED");
    let (old_remote, old_ns, old_nr, old_ccid) = (peer.remote, peer.ns, peer.nr, peer.ccid);
    peer.restart(0x2233_4455);
    peer.acknowledge = false;
    peer.send(&peer.set_up(SCCRQ));
    daemon.expect("debug [*] we have already tunnel, remote tunnel is invalid?");
    peer.expect(SCCRP);
    let (new_remote, new_ns, new_nr) = (peer.remote, peer.ns, peer.nr);
    // No SCCCN yet: the old one lives.
    (peer.remote, peer.ns, peer.nr) = (old_remote, old_ns, old_nr);
    assert_eq!(peer.ccid, 0x2233_4455);
    peer.ccid = old_ccid;
    peer.send(&Out::new(HELLO));
    let deadline = Instant::now() + PATIENCE;
    while peer.receive_control(deadline - Instant::now()).expect("an acknowledgement on the old").nr
        != old_ns + 1
    {}
    assert_eq!(daemon.count("*cleanup session*"), 0);
    // With the SCCCN the new one replaces it.
    (peer.remote, peer.ns, peer.nr, peer.ccid) = (new_remote, new_ns, new_nr, 0x2233_4455);
    peer.acknowledge = true;
    peer.send(&Out::new(SCCCN));
    daemon.expect_all(&[
        &format!("debug [{old_remote}][{}] cleanup session: l0", call.remote),
        "info receive SCCCN, state --> ESTABLISHED",
        &format!("debug [{old_remote}] cleanup tunnel: t1"),
    ]);
    peer.call("end1");
}

/// SIGKILL: the peer comes back with an SCCRQ while the old tunnel is still thought to be up. No time-out has to
/// pass first, and nothing of the dead daemon hinders the new one.
fn crash_and_return_of_a_peer() {
    let net = Net::new();
    // The tunnel is not given up before the peer is there again.
    let tunnel = "  password x\n  hello-interval 60\n  retry 10\n  retry-interval 1\n";
    let (mut a, mut b) = pair(&net, tunnel, "    cookie 8\n");
    b.kill();
    a.skip_log();
    let start = Instant::now();
    let text = host(2, "", tunnel, "    cookie 8\n");
    let mut b = Daemon::start(&net, &net.b, &text);
    a.expect("debug [*] we have already tunnel, remote tunnel is invalid?");
    up(&mut b, 1);
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    address(&net, &net.b, 2);
    passes_again(&net);
    assert_eq!(a.count("*failed to send control message*"), 0, "it did not need a time-out");
    a.stop();
    b.stop();
}

/// SIGKILL, and the peer comes back without calling: the frames that we send it meanwhile are answered by ICMP, upon
/// which it is asked at once, and called again when it does not know us any more.
fn killed_peer_that_only_answers() {
    for encapsulation in ["ip", "udp"] {
        let timing = "  retry 10\n  retry-interval 1\n  hello-interval 60\n  restart-interval 10\n";
        let tunnel = format!("{timing}  encapsulation {encapsulation}\n");
        let net = Net::new();
        let (mut a, mut b) = caller_and_answerer(&net, &tunnel, "");
        a.skip_log();
        b.kill();
        let start = Instant::now();
        assert!(!net.answers(&net.a, "10.9.9.2"));
        // The refusals of several frames may be told before or after it.
        a.expect_all(&["debug   what was sent to 192.0.2.2 does not arrive: *", "debug [*] send HELLO"]);
        let mut b = Daemon::start(&net, &net.b, &host(2, "", &format!("{tunnel}  role passive\n"), ""));
        up(&mut b, 1);
        assert!(start.elapsed() < Duration::from_secs(50), "{encapsulation}: {:?}", start.elapsed());
        address(&net, &net.b, 2);
        passes_again(&net);
        a.stop();
        b.stop();
    }
}
