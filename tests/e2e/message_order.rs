//! Control messages out of place: in the wrong state, with a wrong Ns. Each test names the messages of the catalogue
//! (M-...) that it causes.

use crate::peer::*;
use crate::tests;

tests!(messages_in_the_wrong_state, sequence_numbers, hello_is_acknowledged,);

/// M-042: C-120 C-126 C-214
fn messages_in_the_wrong_state() {
    let (_net, mut daemon, mut peer) = passive("", SESSION);
    peer.send(&peer.set_up(SCCRQ));
    peer.expect(SCCRP);
    let icrq = peer.icrq("end1");
    peer.send(&icrq);
    daemon.expect("warn [*] receive ICRQ, but ignored(tunnel state=WAIT-CTL-CONN)");
    peer.expect_ack();
    peer.send(&Out::new(SCCCN));
    daemon.expect("info receive SCCCN, state --> ESTABLISHED");
    peer.expect_ack();
    peer.send(&Out::new(SCCCN));
    daemon.expect("warn [*] receive SCCCN, but ignored(tunnel state=ESTABLISHED)");
    peer.expect_ack();
    peer.send(&peer.set_up(SCCRP));
    daemon.expect("warn [*] receive SCCRP, but ignored(tunnel state=ESTABLISHED)");
    peer.expect_ack();
    peer.send(&Out::new(HELLO));
    peer.expect_ack();
}

/// M-082: C-036 C-040 C-041 C-042 C-045
fn sequence_numbers() {
    let (_net, mut daemon, mut peer) = established("", "");
    // A message of old is acknowledged again and not acted upon.
    let before = peer.ns;
    peer.send(&Out { ns: Some(before - 1), ..Out::new(SCCCN) });
    daemon
        .expect(&format!("debug [*] sequence number mismatch: ctl_hdr->ns={}, tun->nr={before}", before - 1));
    assert_eq!(peer.expect_ack().nr, before);
    // One from the future is not acknowledged; when the gap closes, everything is.
    peer.send(&Out { ns: Some(before + 1), ..Out::new(HELLO) });
    daemon
        .expect(&format!("debug [*] sequence number mismatch: ctl_hdr->ns={}, tun->nr={before}", before + 1));
    peer.send(&Out::new(HELLO));
    peer.send(&Out { ns: Some(before + 1), ..Out::new(HELLO) });
    peer.ns = before + 2;
    assert_eq!(peer.expect_ack().nr, before + 2);
    // An acknowledgement of what was never sent makes the message void.
    while peer.receive_anything(WHILE) {}
    peer.send(&Out { ns: Some(peer.ns), nr: Some(99), ..Out::new(STOPCCN).with(avp(1, &[0, 1])) });
    peer.expect_silence(WHILE);
    assert_eq!(daemon.count("*receive StopCCN*"), 0);
    // A connection that does not exist: no answer to that, but the peer may have forgotten ours, and is asked.
    peer.send(&Out { ns: Some(0), ccid: Some(0xdead_beef), ..Out::new(HELLO) });
    assert_eq!(peer.expect(HELLO).nr, peer.ns);
    peer.expect_silence(WHILE);
    daemon.stop();
}

/// M-079 M-078: a ZLB, because there is no password. C-048 C-049
fn hello_is_acknowledged() {
    let (_net, mut daemon, mut peer) = established("", "");
    peer.send(&Out::new(HELLO));
    daemon.expect("debug [*] receive HELLO, send ZLB ACK");
    assert_eq!(peer.expect_ack().kind(), None, "a ZLB");
    // An explicit ACK of the peer is understood, and not answered.
    peer.send(&Out::new(ACK));
    daemon.expect("debug [*] receive Explicit ACK");
    peer.expect_silence(WHILE);
}
