//! Peers without a control protocol: the Linux kernel's static sessions, as octets that a 6.1 kernel has put on the
//! wire (the kernel itself takes part where its virtual machine can run), and NetBSD's l2tp(4), which has cookies
//! and nothing else between session id and frame.

use super::{data, frame, frames_pass, PATIENCE};
use crate::daemon::Daemon;
use crate::net::Net;
use crate::peer::*;
use crate::sys::{in_netns, FrameSocket};
use crate::tests;
use crate::wait::wait_until;
use std::time::{Duration, Instant};

tests!(linux_ip, linux_ip_sublayer, linux_udp_sequence, linux_ipv6, netbsd);

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex")).collect()
}

const COOKIES: &str = "    local-cookie a1a2a3a4a5a6a7a8\n    remote-cookie b1b2b3b4b5b6b7b8\n";

fn linux(net: &Net, ipv6: bool, tunnel: &str, session: &str) -> Daemon {
    let addresses = match ipv6 {
        true => "  local-address 2001:db8::1\n  remote-address 2001:db8::2\n",
        false => "  local-address 192.0.2.1\n  remote-address 192.0.2.2\n",
    };
    let text = format!(
        "hostname a\nrouter-id 10.0.0.1\ntunnel t\n{addresses}{tunnel}  session l0\n    manual 8738 4369\n{session}"
    );
    let mut daemon = Daemon::start(net, &net.a, &text);
    daemon.expect("debug l2tpd start");
    wait_until(|| net.carrier(&net.a, "l0"), || format!("no interface:\n{}", daemon.tail(20)));
    daemon
}

/// The kernel's packet `one` makes its frame come out of `l0`; the frame of its packet `two`, put into `l0`, makes
/// the very octets of `two`.
fn replay(net: &Net, mut peer: Peer, (one, two): (&str, &str), head: usize) {
    let socket = in_netns(&net.a, || FrameSocket::open("l0"));
    let (one, two) = (hex(one), hex(two));
    // What stands before the session id over UDP is the peer's to read and ours to send.
    let skip = if one.starts_with(&[0, 3, 0, 0]) { 4 } else { 0 };
    peer.send_packet(&one);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let got = socket.receive(deadline).expect("the kernel's frame comes out");
        if got == one[skip + head..] {
            break;
        }
    }
    socket.send(&two[skip + head..]);
    let packet = data(&mut peer, &two[skip + head..]);
    assert_eq!(packet, two[skip..], "octet by octet as the kernel sends it");
}

const ARP_1: &str =
    "ffffffffffff f67928c090f9 0806 0001080006040001 f67928c090f90a090001 0000000000000a090002";
const ARP_2: &str =
    "f67928c090f9 8e3cd327f0c0 0806 0001080006040002 8e3cd327f0c00a090002 f67928c090f90a090001";

fn linux_ip() {
    let net = Net::new();
    let peer = Peer::new(&net);
    let _daemon = linux(&net, false, "", COOKIES);
    let packets =
        (format!("00002222 a1a2a3a4a5a6a7a8 {ARP_1}"), format!("00001111 b1b2b3b4b5b6b7b8 {ARP_2}"));
    replay(&net, peer, (&packets.0, &packets.1), 12);
}

fn linux_ipv6() {
    let net = Net::new();
    let peer = Peer::open(&net, false, true);
    let _daemon = linux(&net, true, "", COOKIES);
    let packets =
        (format!("00002222 a1a2a3a4a5a6a7a8 {ARP_1}"), format!("00001111 b1b2b3b4b5b6b7b8 {ARP_2}"));
    replay(&net, peer, (&packets.0, &packets.1), 12);
}

/// The default sublayer, which iproute2 sets up unless it is told otherwise: S=0 and a zero.
fn linux_ip_sublayer() {
    let net = Net::new();
    let peer = Peer::new(&net);
    let _daemon = linux(&net, false, "", "    l2-sublayer default\n");
    let packets = (format!("00002222 00000000 {ARP_1}"), format!("00001111 00000000 {ARP_2}"));
    replay(&net, peer, (&packets.0, &packets.1), 8);
}

/// `seq both`: the S bit, numbers from 0 on.
fn linux_udp_sequence() {
    let net = Net::new();
    let peer = Peer::udp(&net);
    let session = format!("{COOKIES}    l2-sublayer default\n    sequencing both\n");
    let _daemon = linux(&net, false, "  encapsulation udp\n", &session);
    // The host's own IPv6 would use up numbers.
    net.exec(&net.a, &["ip", "link", "set", "l0", "down"]);
    net.exec(&net.a, &["sysctl", "-qw", "net.ipv6.conf.l0.disable_ipv6=1"]);
    net.exec(&net.a, &["ip", "link", "set", "l0", "up"]);
    let socket = in_netns(&net.a, || FrameSocket::open("l0"));
    let mut peer = peer;
    for number in 0..3_u8 {
        let mut packet = hex("00030000 00002222 a1a2a3a4a5a6a7a8 400000");
        packet.push(number);
        packet.extend(frame(number));
        peer.send_packet(&packet);
        let deadline = Instant::now() + PATIENCE;
        while socket.receive(deadline).expect("the frame comes out") != frame(number) {}
    }
    // One that is late is dropped (RFC 3931 4.6.1).
    let mut late = hex("00030000 00002222 a1a2a3a4a5a6a7a8 40000001");
    late.extend(frame(9));
    peer.send_packet(&late);
    while let Some(got) = socket.receive(Instant::now() + Duration::from_millis(200)) {
        assert_ne!(got, frame(9), "a late frame comes out");
    }
    let mut numbers = Vec::new();
    for mark in 20..23 {
        socket.send(&frame(mark));
        let packet = data(&mut peer, &frame(mark));
        assert_eq!(packet[..13], hex("00001111 b1b2b3b4b5b6b7b8 40"));
        numbers.push(u32::from_be_bytes([0, packet[13], packet[14], packet[15]]));
    }
    assert_eq!(numbers[1..], [numbers[0] + 1, numbers[0] + 2]);
}

/// l2tp(4): 32-bit session ids, a cookie of four or eight octets at both ends, no sublayer; keeps its MTU of 1280.
fn netbsd() {
    for (cookies, expected, to_peer) in [
        ("", &[][..], &[][..]),
        ("    local-cookie 00003039\n    remote-cookie 0000d431\n", &[0, 0, 0x30, 0x39], &[0, 0, 0xd4, 0x31]),
        (
            "    local-cookie 0102030405060708\n    remote-cookie 1112131415161718\n",
            &[1, 2, 3, 4, 5, 6, 7, 8],
            &[0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18],
        ),
    ] {
        let net = Net::new();
        let mut peer = Peer::new(&net);
        let _daemon = linux(&net, false, "", &format!("    mtu 1280\n{cookies}"));
        let call = Call { local: 4369, remote: 8738, cookie: expected.to_vec() };
        frames_pass(&net, &mut peer, &call, to_peer);
        assert_eq!(net.exec(&net.a, &["cat", "/sys/class/net/l0/mtu"]), "1280\n");
    }
}
