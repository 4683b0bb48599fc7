//! Both ends begin at once: tie breaks of tunnels and sessions. Each test names the messages of the catalogue (M-...)
//! that it causes.

use std::time::Instant;

use crate::daemon::Daemon;
use crate::net::Net;
use crate::pair::{addresses, host, passes_again, up};
use crate::peer::*;
use crate::tests;
use crate::wait::{wait_until, PATIENCE};

tests!(tie_break_lost, tie_break_won, tie_break_drawn, session_tie_break, both_begin_at_once,);

/// M-052 M-073: C-089 C-094 C-117
fn tie_break_lost() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let mut daemon = Daemon::start(&net, &net.a, &config("", SESSION));
    peer.acknowledge = false;
    let theirs = peer.expect(SCCRQ);
    let tie = theirs.avp(5).expect("a tie breaker in every SCCRQ");
    let tie = u64::from_be_bytes(tie.try_into().expect("8 octets"));
    let old = peer.remote;
    peer.restart(0x1111_2222);
    peer.tie = Some([0; 8]);
    peer.send(&peer.set_up(SCCRQ));
    daemon.expect(&format!(
        "debug [*] control connection tie break check: local={tie:016x}, remote=0000000000000000"
    ));
    daemon.expect("info [*] lose tie brek check, state --> IDLE");
    daemon.expect("info receive SCCRQ, state --> *");
    peer.expect(SCCRP);
    assert_ne!(peer.remote, old, "the answer comes from a new connection");
    peer.send(&Out::new(SCCCN));
    daemon.expect("info receive SCCCN, state --> ESTABLISHED");
}

/// M-053 M-073: C-090 C-091 C-119
fn tie_break_won() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let mut daemon = Daemon::start(&net, &net.a, &config("", SESSION));
    peer.acknowledge = false;
    peer.expect(SCCRQ);
    let winner = peer.remote;
    let mut loser = peer.set_up(SCCRQ).replace(61, &[0x11, 0x22, 0x33, 0x44]);
    loser.ccid = Some(0);
    loser.ns = Some(0);
    peer.send(&loser);
    daemon.expect("debug [*] control connection tie break check: local=*, remote=ffffffffffffffff");
    daemon.expect("info [*] win tie break check");
    let deadline = Instant::now() + PATIENCE;
    let stop = loop {
        let message = peer.receive_control(deadline - Instant::now()).expect("a StopCCN for the loser");
        if message.kind() == Some(STOPCCN) {
            break message;
        }
    };
    assert_eq!((stop.ccid, stop.result().0), (0x1122_3344, 3), "for the connection that lost");
    peer.remote = winner;
    peer.nr = 1;
    peer.send(&peer.set_up(SCCRP));
    daemon.expect("info receive SCCRP, state --> ESTABLISHED");
}

/// M-073 M-075: C-092 C-093
fn tie_break_drawn() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let mut daemon = Daemon::start(&net, &net.a, &config("", SESSION));
    peer.acknowledge = false;
    let first = peer.expect(SCCRQ);
    let tie: [u8; 8] = first.avp(5).expect("tie").try_into().expect("8 octets");
    peer.restart(0x1111_2222);
    peer.tie = Some(tie);
    peer.send(&peer.set_up(SCCRQ));
    daemon.expect("debug [*] draw tie break check, state --> IDLE");
    assert_eq!(daemon.count("*send SCCRP*"), 0, "nobody wins");
    // It begins again, with another value.
    peer.restart(0x3333_4444);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let again = peer.receive_control(deadline - Instant::now()).expect("another SCCRQ");
        if again.kind() == Some(SCCRQ) && again.u32(61) != first.u32(61) {
            assert_ne!(again.avp(5), first.avp(5), "a new tie breaker");
            break;
        }
    }
}

/// M-088: C-156 C-157 C-159 C-160
fn session_tie_break() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let sessions = "  session l0\n    remote-end-id one\n  session l1\n    remote-end-id two\n";
    let mut daemon = Daemon::start(&net, &net.a, &config("", sessions));
    peer.accept();
    // The peer's value is lower for the one: the daemon becomes the recipient.
    let mut theirs = std::collections::BTreeMap::new();
    for _ in 0..2 {
        let icrq = peer.expect(ICRQ);
        theirs.insert(icrq.avp(66).expect("end id").to_vec(), icrq.u32(63));
    }
    let icrq = peer.icrq("one").replace(5, &[0; 8]);
    let local = icrq.avps[0].value.clone();
    peer.send(&icrq);
    daemon.expect("debug [*] session tie break check: my=*, peer=0000000000000000");
    let icrp = peer.expect(ICRP);
    assert_eq!(icrp.avp(64), Some(&local[..]));
    assert_ne!(Some(&icrp.u32(63)), theirs.get(&b"one"[..]), "a new id for the recipient");
    let call = Call { local: icrp.u32(64), remote: icrp.u32(63), cookie: Vec::new() };
    peer.send(&peer.session_message(ICCN, &call));
    daemon.expect("info receive ICCN, state --> ESTABLISHED");
    // It is higher for the other: the peer's session loses.
    let icrq = peer.icrq("two").replace(5, &[0xff; 8]);
    peer.send(&icrq);
    daemon.expect("debug [*] session tie break check: my=*, peer=ffffffffffffffff");
    assert_eq!(peer.expect(CDN).result().0, 13, "lost the tie");
    let remote = theirs[&b"two"[..]];
    let call = Call { local: peer.new_session_id(), remote, cookie: Vec::new() };
    peer.send(&peer.session_message(ICRP, &call).with(avp(71, &[0, 3])));
    peer.expect(ICCN);
}

/// Both send an SCCRQ: one connection and one session remain.
fn both_begin_at_once() {
    for _ in 0..3 {
        let net = Net::new();
        let mut a = Daemon::start(&net, &net.a, &host(1, "", "", ""));
        let mut b = Daemon::start(&net, &net.b, &host(2, "", "", ""));
        up(&mut a, 1);
        up(&mut b, 1);
        addresses(&net);
        passes_again(&net);
        // What is left over goes away.
        for daemon in [&a, &b] {
            let status = || daemon.ctl_ok(&["status"]).to_lowercase();
            wait_until(|| status().matches("established").count() == 2, status);
        }
        net.ping(&net.a, "10.9.9.2", 56);
        a.stop();
        b.stop();
    }
}
