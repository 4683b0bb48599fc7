//! `password` and `digest`: messages whose digest is wrong, missing or made with another password. Promise 2. Each test
//! names the messages of the catalogue (M-...) that it causes.

use crate::daemon::Daemon;
use crate::net::Net;
use crate::peer::*;
use crate::tests;

tests!(
    bad_digests,
    sccrp_without_nonce,
    different_passwords,
    authenticated_hello_is_acknowledged_with_a_digest,
);

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

/// M-079: C-049
fn authenticated_hello_is_acknowledged_with_a_digest() {
    let (_net, mut daemon, mut peer) = established("  password secret\n", "");
    peer.send(&Out::new(HELLO));
    daemon.expect("debug [*] receive HELLO, send ZLB ACK");
    assert_eq!(peer.expect_ack().kind(), Some(ACK), "an ACK message, which can carry a digest");
}
