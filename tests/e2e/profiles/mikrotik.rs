//! MikroTik RouterOS: a digest (HMAC-MD5) with an empty secret as it comes from the factory, over UDP or protocol
//! 115, no sublayer, cookies of 0, 4 or 8 octets. Its circuit id is the Remote End ID.

use super::frames_pass;
use crate::daemon::Daemon;
use crate::net::Net;
use crate::peer::*;
use crate::tests;

tests!(mikrotik_server, mikrotik_client, mikrotik_without_digest);

/// RouterOS calls in; nothing about digests is configured here, and its digests are answered in kind.
fn mikrotik_client() {
    let net = Net::new();
    let mut peer = Peer::udp(&net);
    peer.secret = Some(Vec::new());
    let text = config("  encapsulation udp\n  role passive\n", SESSION);
    let mut daemon = Daemon::start(&net, &net.a, &text);
    daemon.expect("debug l2tpd start");
    peer.connect(); // checks the digests of what comes back
    let icrq = peer.icrq("end1").with(avp(69, &[0, 0]));
    let call = peer.call_with(&icrq);
    frames_pass(&net, &mut peer, &call, &[]);
    // A damaged message is told by its digest.
    peer.send(&Out { sign: Sign::Wrongly, ns: Some(peer.ns), ..Out::new(HELLO) });
    daemon.expect("warn [*] message digest invalid in HELLO");
    peer.send(&Out::new(HELLO));
    peer.expect_ack();
}

/// We call RouterOS's server with `digest md5`, over protocol 115, with a cookie in each direction.
fn mikrotik_server() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    peer.secret = Some(Vec::new());
    let mut daemon = Daemon::start(&net, &net.a, &config("  digest md5\n  cookie 8\n", SESSION));
    peer.accept();
    let icrq = peer.expect(ICRQ);
    let call =
        Call { local: 0x0102_0304, remote: icrq.u32(63), cookie: icrq.avp(65).expect("cookie").to_vec() };
    assert_eq!(call.cookie.len(), 8);
    let icrp = peer.session_message(ICRP, &call).with(avp(71, &[0, 3])).with(avp(69, &[0, 0]));
    peer.send(&icrp.with(avp(65, &[0x55; 8])));
    peer.expect(ICCN);
    frames_pass(&net, &mut peer, &call, &[0x55; 8]);
    daemon.ctl_ok(&["clear", "all"]);
    peer.expect(STOPCCN);
    daemon.expect("info send StopCCN, state --> *");
}

/// `digest-hash=none` there, `digest md5` here: integrity checks are no condition.
fn mikrotik_without_digest() {
    let net = Net::new();
    let mut peer = Peer::udp(&net);
    let text = config("  encapsulation udp\n  digest md5\n", SESSION);
    let _daemon = Daemon::start(&net, &net.a, &text);
    peer.accept();
    let call = peer.answer();
    frames_pass(&net, &mut peer, &call, &[]);
}
