//! SEIL routers: protocol 115 only, ids of 16 bits, MD5 password, cookies of four octets at both ends or at none,
//! Serial Number required, no hidden AVPs, no outgoing calls. `compatibility auto` must send nothing that such a
//! router refuses.

use super::{attributes, frames_pass};
use crate::daemon::Daemon;
use crate::net::Net;
use crate::peer::*;
use crate::tests;

tests!(seil_begins, seil_answers);

const CONFIG: &str = "hostname center\nrouter-id 10.0.0.120\nrestart-interval 1\ntunnel osaka\n  \
    local-address 192.0.2.1\n  remote-address 192.0.2.2\n  remote-hostname osaka\n  remote-router-id 10.0.0.122\n  \
    password secret\n  cookie on\n  retry 10\n  hello-interval 60\n  compatibility auto\n  linger 1\n";
const SESSION: &str = "  session l0\n    remote-end-id vpn1\n";
const COOKIE: [u8; 4] = [0x64, 0x2a, 0x01, 0xde];

/// Attributes of RFC 3931 that such a router knows, with the M bit that they may have.
const KNOWN: [u16; 24] =
    [0, 1, 5, 7, 8, 10, 15, 25, 59, 60, 61, 62, 63, 64, 65, 66, 68, 69, 70, 71, 72, 73, 74, 75];

fn seil(net: &Net) -> Peer {
    let mut peer = Peer::new(net);
    peer.ccid = 8655;
    peer.host = b"osaka".to_vec();
    peer.router_id = [10, 0, 0, 122];
    peer.secret = Some(b"secret".to_vec());
    peer
}

/// What every message must be like. (That its digest is right, the peer has checked.)
#[track_caller]
fn accepts(message: &Msg) {
    let kind = message.kind().expect("no ZLB where there is a password");
    assert!(!matches!(kind, OCRQ | OCRP | OCCN), "{message:?}");
    assert!(message.avps.iter().all(|(_, vendor, _, _)| *vendor == 0), "foreign AVPs: {message:?}");
    assert!(message.avps.iter().all(|(hidden, _, _, _)| !hidden), "hidden AVPs: {message:?}");
    let unknown: Vec<_> = attributes(message, 0).into_iter().filter(|(a, _)| !KNOWN.contains(a)).collect();
    assert_eq!(unknown, [], "unknown AVPs: {message:?}");
    if matches!(kind, SCCRQ | SCCRP) {
        assert_eq!(message.avp(7), Some(&b"center"[..]));
        assert_eq!(message.avp(60), Some(&[10, 0, 0, 120][..]));
        assert!(message.avp(62).expect("capabilities").chunks(2).any(|pair| pair == [0, 5]));
        assert!(message.avp(73).is_some(), "no nonce: {message:?}");
    }
    if matches!(kind, ICRQ | ICRP) {
        assert_eq!(message.avp(65).map(<[u8]>::len), Some(4), "the cookie of {message:?}");
        // There is neither sublayer nor sequence number in such a router's frames.
        assert!(message.avp(69).is_none_or(|sublayer| sublayer == [0, 0]), "{message:?}");
        assert!(message.avp(70).is_none_or(|level| level == [0, 0]), "{message:?}");
    }
    if kind == ICRQ {
        assert_eq!(message.u32(15), 1, "Serial Number");
        assert_eq!((message.avp(68), message.avp(66)), (Some(&[0, 5][..]), Some(&b"vpn1"[..])));
    }
}

fn seil_begins() {
    let net = Net::new();
    let mut peer = seil(&net);
    let mut daemon = Daemon::start(&net, &net.a, &format!("{CONFIG}  role passive\n{SESSION}"));
    daemon.expect("debug l2tpd start");
    peer.send(&peer.set_up(SCCRQ));
    peer.acknowledge = false;
    accepts(&peer.expect(SCCRP));
    peer.acknowledge = true;
    peer.send(&Out::new(SCCCN));
    accepts(&peer.expect_ack());
    let icrq = Out::new(ICRQ)
        .with(avp(63, &15358_u32.to_be_bytes()))
        .with(avp(64, &[0; 4]))
        .with(avp(15, &[0, 0, 0, 1]))
        .with(avp(68, &[0, 5]))
        .with(avp(66, b"vpn1"))
        .with(avp(71, &[0, 3]))
        .with(avp(5, &[0x10; 8]))
        .with(avp(65, &COOKIE));
    peer.send(&icrq);
    let icrp = peer.expect(ICRP);
    accepts(&icrp);
    let call = Call { local: 15358, remote: icrp.u32(63), cookie: icrp.avp(65).expect("cookie").to_vec() };
    peer.send(&peer.session_message(ICCN, &call));
    accepts(&peer.expect_ack());
    frames_pass(&net, &mut peer, &call, &COOKIE);
    let status = daemon.ctl_ok(&["status"]);
    for line in ["Remote Host Name :osaka", "Remote Tunnel ID :8655", "Remote Session ID:15358"] {
        assert!(status.contains(line), "`{line}` in\n{status}");
    }
    peer.send(&Out::new(HELLO));
    accepts(&peer.expect_ack());
    daemon.signal(libc::SIGTERM);
    accepts(&peer.expect(STOPCCN));
    assert_eq!(daemon.wait_exit().code(), Some(0));
}

fn seil_answers() {
    let net = Net::new();
    let mut peer = seil(&net);
    let mut daemon = Daemon::start(&net, &net.a, &format!("{CONFIG}{SESSION}"));
    peer.acknowledge = false;
    let sccrq = peer.expect(SCCRQ);
    accepts(&sccrq);
    assert!(sccrq.avp(5).is_some(), "no tie breaker");
    peer.acknowledge = true;
    peer.send(&peer.set_up(SCCRP));
    accepts(&peer.expect(SCCCN));
    let icrq = peer.expect(ICRQ);
    accepts(&icrq);
    let call = Call { local: 56664, remote: icrq.u32(63), cookie: icrq.avp(65).expect("cookie").to_vec() };
    peer.send(&peer.session_message(ICRP, &call).with(avp(71, &[0, 3])).with(avp(65, &COOKIE)));
    accepts(&peer.expect(ICCN));
    daemon.expect("info send ICCN, state --> ESTABLISHED");
    frames_pass(&net, &mut peer, &call, &COOKIE);
    // Its administrator clears the session; ours comes back with the next Serial Number.
    peer.send(&peer.session_message(CDN, &call).with(avp(1, &[0, 3])));
    daemon.expect("info receive CDN, state --> IDLE");
    assert_eq!(peer.expect(ICRQ).u32(15), 2);
    daemon.ctl_ok(&["clear", "tunnel", "osaka"]);
    accepts(&peer.expect(STOPCCN));
    daemon.expect("info send StopCCN, state --> *");
}
