//! `max-tunnels` and `max-sessions`.

use crate::daemon::Daemon;
use crate::net::Net;
use crate::peer::*;
use crate::tests;

tests!(too_many_sessions, too_many_tunnels,);

/// M-012: C-177 C-299
fn too_many_sessions() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let sessions = format!("{SESSION}  session l1\n    remote-end-id end2\n");
    let text = format!("max-sessions 1\n{}", config("  role passive\n", &sessions));
    let mut daemon = Daemon::start(&net, &net.a, &text);
    daemon.expect("debug l2tpd start");
    peer.connect();
    peer.call("end1");
    let icrq = peer.icrq("end2");
    peer.send(&icrq);
    daemon.expect("error failed to new_session");
    assert_eq!(peer.expect(CDN).result().0, 4);
    peer.send(&Out::new(HELLO));
    peer.expect_ack();
}

/// M-009: C-109 C-364
fn too_many_tunnels() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let second = "tunnel t2\n  remote-address 192.0.2.77\n  remote-hostname any\n  remote-router-id any\n";
    let text = format!("max-tunnels 1\n{}{second}", config("", SESSION));
    let mut daemon = Daemon::start(&net, &net.a, &text);
    daemon.expect("error failed to create tunnel");
    peer.accept();
}
