//! The interface of a session: its name, MTU and carrier, and what happens when somebody deletes it.

use crate::daemon::Daemon;
use crate::net::Net;
use crate::pair::{address, host, pair, passes_again};
use crate::peer::*;
use crate::reload::reload;
use crate::tests;
use crate::wait::{wait_for, wait_until};

tests!(
    interface_name_is_taken,
    mtu_is_refused,
    circuit_that_is_down_stays_down,
    circuit_is_up_when_it_is_made_again,
    interface_deleted,
    carrier_follows_the_session,
);

/// M-010 M-025: C-177. Another interface has the session's name; the peer gets a CDN, the tunnel stays, and when
/// the name is free the session comes up.
fn interface_name_is_taken() {
    let net = Net::new();
    net.batch(&net.a, "link add l0 type bridge\n");
    let mut peer = Peer::new(&net);
    let mut daemon = Daemon::start(&net, &net.a, &config("  role passive\n", SESSION));
    daemon.expect("debug l2tpd start");
    peer.connect();
    let icrq = peer.icrq("end1");
    peer.send(&icrq);
    daemon.expect("error failed to ioctl: *");
    daemon.expect("error set_pwe_param() failed");
    assert_eq!(peer.expect(CDN).result().0, 4, "for the moment");
    net.batch(&net.a, "link del l0\n");
    peer.call("end1");
    daemon.expect("info receive ICCN, state --> ESTABLISHED");
    assert_eq!(daemon.count("*StopCCN*"), 0);
}

/// M-010 M-025: the kernel takes the MTU that the configuration allows, but not from a bridge-less TAP above
/// its own limit.
fn mtu_is_refused() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let session = format!("{SESSION}    mtu 65521\n");
    let mut daemon = Daemon::start(&net, &net.a, &config("  role passive\n", &session));
    daemon.expect("debug l2tpd start");
    peer.connect();
    peer.call("end1");
    daemon.expect("info receive ICCN, state --> ESTABLISHED");
    let mtu = net.exec(&net.a, &["cat", "/sys/class/net/l0/mtu"]);
    assert_eq!(mtu.trim(), "65521", "the largest MTU that the configuration allows");
}

/// A session and a tunnel that are set up anew tell the peer that our interface is down.
fn circuit_that_is_down_stays_down() {
    let net = Net::new();
    let (mut a, mut b) = pair(&net, "", "");
    let carrier = || net.try_exec(&net.b, &["cat", "/sys/class/net/l0/carrier"]).stdout;
    net.batch(&net.a, "link set l0 down\n");
    wait_for("no carrier at the peer", || (carrier() == b"0\n").then_some(()));
    for (tunnel, session) in [("", "    l2-sublayer default\n"), ("  receive-window 16\n", "")] {
        b.skip_log();
        reload(&a, &host(1, "", tunnel, session));
        b.expect("info receive IC*N, state --> ESTABLISHED");
        // What was told late would have come before this.
        b.expect("debug [*] *HELLO*");
        assert_eq!(carrier(), b"0\n", "{tunnel}{session}");
    }
    net.batch(&net.a, "link set l0 up\n");
    wait_for("the carrier", || (carrier() == b"1\n").then_some(()));
    a.stop();
    b.stop();
}

/// An interface that is deleted while it is down is made again, and is up: the peer hears so.
fn circuit_is_up_when_it_is_made_again() {
    let net = Net::new();
    let (mut a, mut b) = pair(&net, "", "");
    let carrier = || net.try_exec(&net.b, &["cat", "/sys/class/net/l0/carrier"]).stdout;
    net.batch(&net.a, "link set l0 down\n");
    wait_for("no carrier at the peer", || (carrier() == b"0\n").then_some(()));
    net.batch(&net.a, "link del l0\n");
    b.expect("info receive CDN, state --> IDLE");
    b.expect("info receive IC*, state --> ESTABLISHED"); // either end may call
    wait_for("the carrier", || (carrier() == b"1\n").then_some(()));
    a.stop();
    b.stop();
}

/// The session's interface is deleted from outside: it is made again.
fn interface_deleted() {
    let net = Net::new();
    let (mut a, mut b) = pair(&net, "", "");
    net.batch(&net.a, "link del l0\n");
    a.expect("debug [*][*] delete session");
    a.skip_log();
    wait_until(|| net.has(&net.a, "l0"), || format!("no new interface:\n{}", a.tail(20)));
    address(&net, &net.a, 1);
    passes_again(&net);
    a.stop();
    b.stop();
}

/// `link-state follow`: no carrier while the session is down.
fn carrier_follows_the_session() {
    let net = Net::new();
    let (mut a, mut b) = pair(&net, "", "");
    let carrier = || net.try_exec(&net.a, &["cat", "/sys/class/net/l0/carrier"]);
    assert_eq!(carrier().stdout, b"1\n");
    b.stop();
    a.expect("debug [*] delete tunnel");
    let output = carrier();
    assert!(output.stdout != b"1\n", "carrier without a session");
    a.stop();
}
