//! A peer that does not answer: from the start, later, or when the daemon ends; a link that is cut. Each test names the
//! messages of the catalogue (M-...) that it causes.

use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::net::Net;
use crate::pair::{pair, passes_again};
use crate::peer::*;
use crate::tests;

tests!(
    silent_peer_as_initiator,
    silent_peer_when_established,
    peer_that_is_not_there_yet,
    unacknowledged_stopccn_at_the_end,
    link_cut_and_healed,
);

/// M-081 M-076 M-015 M-072 M-074 as initiator: C-053 C-055 C-057
fn silent_peer_as_initiator() {
    let net = Net::new();
    let peer = Peer::new(&net);
    let mut daemon = Daemon::start(&net, &net.a, &config("  retry 3\n", SESSION));
    // 0.1, 0.2, 0.4 and 0.8 s: the gap doubles, the last one has to pass as well. A busy machine makes it longer: of
    // several times one is as long as it should be.
    for turn in 1.. {
        daemon.expect("debug [*] send control packet(1): SCCRQ");
        let start = Instant::now();
        for number in 2..=4 {
            daemon.expect(&format!("debug [*] send control packet({number}): SCCRQ"));
        }
        daemon.expect("debug [*] failed to send control message. tunnel shutown.");
        let took = start.elapsed().as_secs_f32();
        assert!(turn < 9, "four transmissions took {took} s");
        if (1.3..2.2).contains(&took) {
            break;
        }
    }
    daemon.expect("error failed to send control message. tunnel shutdown");
    daemon.expect("debug [*] cleanup tunnel: t1");
    daemon.expect("debug [*] delete tunnel");
    daemon.expect("info [*] create new tunnel, state --> IDLE");
    let sent: Vec<_> = std::iter::from_fn(|| peer.receive_control(Duration::from_millis(10))).collect();
    assert!(sent.len() >= 4 && sent[..4].iter().all(|m| m.raw == sent[0].raw), "repeated octet by octet");
    assert!(
        sent.iter().all(|message| message.kind() == Some(SCCRQ)),
        "no StopCCN to one who does not answer"
    );
}

/// M-080 M-081 M-076 M-015 in the order of the manual: a HELLO that nobody answers.
fn silent_peer_when_established() {
    let (_net, mut daemon, mut peer) = established("  hello-interval 1\n  retry 3\n", SESSION);
    let call = peer.call("end1");
    let session = call.remote;
    let tunnel = peer.remote;
    daemon.expect(&format!("debug [{tunnel}] send HELLO"));
    for number in 1..=4 {
        daemon.expect(&format!("debug [{tunnel}] send control packet({number}): HELLO"));
    }
    daemon.expect(&format!("debug [{tunnel}] failed to send control message. tunnel shutown."));
    daemon.expect("error failed to send control message. tunnel shutdown");
    daemon.expect(&format!("debug [{tunnel}][{session}] cleanup session: l0"));
    daemon.expect(&format!("debug [{tunnel}][{session}] delete session"));
    daemon.expect(&format!("debug [{tunnel}] cleanup tunnel: t1"));
    daemon.expect(&format!("debug [{tunnel}] delete tunnel"));
    // It is passive: the peer may come back at any time.
    peer.restart(0x7777_0001);
    while peer.receive_control(Duration::from_millis(20)).is_some() {}
    peer.connect();
    peer.call("end1");
}

/// C-057. A peer that is not there yet, of which ICMP tells, is no error of ours and no reason for a warning: it is
/// a detail of the attempt.
fn peer_that_is_not_there_yet() {
    for udp in [false, true] {
        for ipv6 in [false, true] {
            let net = Net::new();
            let mut tunnel = "  retry 10\n".to_owned();
            tunnel += if udp { "  encapsulation udp\n" } else { "" };
            let ends = "  local-address 2001:db8::1\n  remote-address 2001:db8::2\n";
            tunnel += if ipv6 { ends } else { "" };
            let mut daemon = Daemon::start(&net, &net.a, &config(&tunnel, SESSION));
            let error = match (udp, ipv6) {
                (true, _) => "Connection refused",
                (false, false) => "Protocol not available",
                (false, true) => "Protocol error",
            };
            daemon.expect(&format!("debug   what was sent to *2 does not arrive: {error}*"));
            let explained = daemon.ctl_ok(&["explain", "tunnel", "t1"]);
            assert!(explained.contains(error), "{explained}");
            let mut peer = Peer::open(&net, udp, ipv6);
            peer.accept();
            daemon.expect("info receive SCCRP, state --> ESTABLISHED");
            assert_eq!((daemon.count("error *"), daemon.count("warn *")), (0, 0), "{}", daemon.tail(30));
        }
    }
}

/// M-054 M-055: with a peer that is gone the end comes all the same, within the time of the retransmissions.
fn unacknowledged_stopccn_at_the_end() {
    let (_net, mut daemon, peer) = established("", SESSION);
    let start = Instant::now();
    daemon.signal(libc::SIGINT);
    let status = daemon.wait_exit();
    assert_eq!(status.code(), Some(0));
    daemon.expect("info Received 2 signal");
    daemon.expect("info cleanup resources...");
    daemon.expect("debug [*] send control packet(2): StopCCN");
    daemon.expect("info l2tpd exit.");
    assert!(start.elapsed() < Duration::from_secs(6), "the end took {:?}", start.elapsed());
    drop(peer);
}

fn link_cut_and_healed() {
    let net = Net::new();
    let (mut a, mut b) = pair(&net, "  retry 3\n", "");
    net.batch(&net.b, "link set wire down\n");
    a.expect("error failed to send control message. tunnel shutdown");
    b.expect("error failed to send control message. tunnel shutdown");
    a.expect("info send SCCRQ, state --> WAIT-CTL-REPLY"); // an attempt without a link
    net.batch(&net.b, "link set wire up\naddr replace 192.0.2.2/24 dev wire\n");
    passes_again(&net);
    a.stop();
    b.stop();
}
