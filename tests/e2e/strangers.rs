//! Peers for which there is no tunnel. Each test names the messages of the catalogue (M-...) that it causes.

use crate::daemon::Daemon;
use crate::net::Net;
use crate::peer::*;
use crate::tests;

tests!(sccrq_of_a_stranger, sccrp_of_a_stranger,);

/// M-039 M-046: C-081 C-085 C-112
fn sccrq_of_a_stranger() {
    let (_net, mut daemon, mut peer) = passive("", SESSION);
    peer.send(&peer.set_up(SCCRQ).replace(7, b"intruder"));
    daemon.expect("warn [*] hostname mismatch in SCCRQ");
    assert_eq!(peer.expect(STOPCCN).result().0, 4, "not authorized");
    peer.restart(peer.ccid + 1);
    peer.send(&peer.set_up(SCCRQ).replace(60, &[10, 9, 9, 9]));
    daemon.expect("warn [*] router-id mismatch in SCCRQ");
    assert_eq!(peer.expect(STOPCCN).result().0, 4, "not authorized");
    assert_eq!(daemon.count("*--> WAIT-CTL-CONN"), 0);
}

/// M-039 M-046 with the daemon as initiator: C-116
fn sccrp_of_a_stranger() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let mut daemon = Daemon::start(&net, &net.a, &config("", SESSION));
    peer.expect(SCCRQ);
    peer.send(&peer.set_up(SCCRP).replace(7, b"intruder"));
    daemon.expect("warn [*] hostname mismatch in SCCRP");
    assert_eq!(peer.expect(STOPCCN).result().0, 4);
    peer.restart(peer.ccid + 1);
    peer.expect(SCCRQ); // it goes on trying
    peer.send(&peer.set_up(SCCRP).replace(60, &[9; 4]));
    daemon.expect("warn [*] router-id mismatch in SCCRP");
    assert_eq!(peer.expect(STOPCCN).result().0, 4);
}
