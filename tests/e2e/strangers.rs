//! Peers for which there is no tunnel. Each test names the messages of the catalogue (M-...) that it causes.

use crate::daemon::Daemon;
use crate::net::Net;
use crate::peer::*;
use crate::tests;

tests!(sccrq_of_a_stranger, sccrp_of_a_stranger, a_flood_hides_nothing_of_the_tunnels,);

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

/// The forged SCCRQs have the daemon ask the peer, which is busy with the flood.
const TUNNEL: &str = "  role passive\n  encapsulation udp\n  retry 10\n  retry-interval 1\n";

/// What the log in memory holds of an established tunnel outlasts floods of all kinds, from strangers and from somebody
/// who forges the peer's address. What is left out is told in one line, and once.
fn a_flood_hides_nothing_of_the_tunnels() {
    let net = Net::new();
    net.batch(&net.b, "addr add 192.0.2.77/24 dev wire\n");
    let text = format!("log-buffer 300\n{}", config(TUNNEL, SESSION));
    let mut daemon = Daemon::start(&net, &net.a, &text);
    daemon.expect("debug l2tpd start");
    let mut peer = Peer::udp(&net);
    peer.connect();
    peer.call("end1");
    daemon.expect("info receive ICCN, state --> ESTABLISHED");
    let kept = |daemon: &Daemon| -> Vec<String> {
        let log = daemon.ctl_ok(&["log"]);
        let lines = log.lines().filter(|line| !line.contains("TRIMMED"));
        lines.map(str::to_owned).collect()
    };
    let before = kept(&daemon);
    assert!(before.iter().any(|line| line.ends_with("debug l2tpd start")), "{before:#?}");
    let stranger =
        crate::sys::in_netns(&net.b, || std::net::UdpSocket::bind("192.0.2.77:1701").expect("socket"));
    // It belongs to no connection, and wants an id of its own: so the judge finds the connection of a message.
    let mut request = peer.build(&peer.set_up(SCCRQ).replace(7, b"intruder").replace(61, &[0x66; 4]));
    request[4..12].fill(0);
    let mut unknown = peer.build(&Out::new(HELLO));
    unknown[4..8].fill(0x77);
    let mut without_t = request.clone();
    without_t[0] &= 0x7f;
    let mut version = request.clone();
    version[1] = 2;
    let hello = peer.build(&Out::new(HELLO));
    let broken = [&hello[..hello.len() - 1], &[0xff]].concat();
    for round in 0..1000 {
        for message in [&request, &unknown, &without_t, &version, &broken] {
            stranger.send_to(message, "192.0.2.1:1701").expect("flood");
            peer.send_packet(message);
        }
        if round % 50 == 0 {
            daemon.ctl_ok(&["health"]); // it keeps up
        }
    }
    let after = kept(&daemon);
    // Until its SCCCN a peer is a stranger. The bare sending of a message has no more room than what strangers have
    // sent to them.
    let proved = before.iter().position(|line| line.contains("receive SCCCN")).expect("SCCCN");
    let ours = before.iter().take_while(|line| !line.contains("create new tunnel"));
    let told = ours.chain(&before[proved..]).filter(|line| !line.contains("] send "));
    let lost: Vec<&String> = told.filter(|line| !after.contains(line)).collect();
    assert!(before.len() > proved + 2, "{before:#?}");
    assert!(lost.is_empty(), "of the tunnel: {lost:#?}");
    assert!(after.len() > before.len(), "lines of the flood");
    daemon.signal(libc::SIGTERM);
    daemon.wait_exit();
    assert_eq!(daemon.count("*messages that strangers caused were left out*"), 1);
    assert_eq!(daemon.count("error *"), 0);
}
