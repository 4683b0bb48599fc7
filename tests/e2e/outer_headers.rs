//! What stands around our messages and frames: TOS, TTL and DF of the outer packet, octets that Ethernet pads it with.

use std::time::Instant;

use crate::daemon::Daemon;
use crate::net::Net;
use crate::pair::{host, pair_of};
use crate::peer::*;
use crate::profiles::{frame, frames_pass, PATIENCE};
use crate::sys::{in_netns, FrameSocket};
use crate::tests;

tests!(
    outer_headers_over_ip,
    outer_headers_over_udp,
    outer_headers_over_ipv6,
    tos_of_the_frame,
    padding_is_cut,
    octets_behind_the_datagram_are_cut,
    ttl_of_control_messages_to_any_peer,
);

/// The outer packet of a frame that came in at `wire` of `b`.
#[derive(Debug)]
struct Outer {
    tos: u8,
    ttl: u8,
    /// Always false over IPv6.
    dont_fragment: bool,
    control: bool,
    octets: Vec<u8>,
}

/// Reads an Ethernet frame; `None` if there is no L2TP in it.
fn outer(frame: &[u8]) -> Option<Outer> {
    let ip = &frame[14..];
    let (tos, ttl, dont_fragment, protocol, rest) = match frame[12..14] {
        [8, 0] => (ip[1], ip[8], ip[6] & 0x40 != 0, ip[9], &ip[20..]),
        [0x86, 0xdd] => ((ip[0] << 4) | (ip[1] >> 4), ip[7], false, ip[6], &ip[40..]),
        _ => return None,
    };
    let control = match protocol {
        115 => rest[..4] == [0; 4],
        17 => rest[8] & 0x80 != 0,
        _ => return None,
    };
    Some(Outer { tos, ttl, dont_fragment, control, octets: frame.to_vec() })
}

/// The next packets with a control message and with the frame `wanted`.
#[track_caller]
fn both_kinds(wire: &FrameSocket, wanted: &[u8]) -> (Outer, Outer) {
    let (mut message, mut data) = (None, None);
    let deadline = Instant::now() + PATIENCE;
    while message.is_none() || data.is_none() {
        let frame = wire.receive(deadline).expect("a control message and a frame");
        match outer(&frame) {
            Some(outer) if outer.control => message = Some(outer),
            Some(outer) if outer.octets.ends_with(wanted) => data = Some(outer),
            Some(_) | None => {}
        }
    }
    (message.expect("message"), data.expect("frame"))
}

/// A daemon with an established session to the peer.
pub fn up(net: &Net, peer: &mut Peer, tunnel: &str) -> (Daemon, Call) {
    let text = config(&format!("  role passive\n{tunnel}"), SESSION);
    let mut daemon = Daemon::start(net, &net.a, &text);
    daemon.expect("debug l2tpd start");
    peer.connect();
    let call = peer.call("end1");
    frames_pass(net, peer, &call, &[]);
    (daemon, call)
}

#[track_caller]
fn headers(peer: impl Fn(&Net) -> Peer, encapsulation: &str, ipv4: bool) {
    for (settings, tos, ttl, dont_fragment) in
        [("", 0, 64, false), ("  tos 40\n  ttl 33\n  dont-fragment on\n", 40, 33, true)]
    {
        let net = Net::new();
        let mut peer = peer(&net);
        let wire = in_netns(&net.b, || FrameSocket::open("wire"));
        let (_daemon, _call) = up(&net, &mut peer, &format!("{settings}{encapsulation}"));
        let socket = in_netns(&net.a, || FrameSocket::open("l0"));
        socket.send(&frame(77));
        let (message, data) = both_kinds(&wire, &frame(77));
        // RFC 3931 says nothing of it; network control (CS6) is what routers send.
        assert_eq!((message.tos, message.ttl), (0xc0, ttl), "control message with {settings:?}");
        assert!(!message.dont_fragment, "a control message may be cut on its way");
        assert_eq!((data.tos, data.ttl), (tos, ttl), "frame with {settings:?}");
        assert_eq!(data.dont_fragment, dont_fragment && ipv4, "DF with {settings:?}");
    }
}

fn outer_headers_over_ip() {
    headers(Peer::new, "", true);
}

fn outer_headers_over_udp() {
    headers(Peer::udp, "  encapsulation udp\n", true);
}

fn outer_headers_over_ipv6() {
    let addresses = "  local-address 2001:db8::1\n  remote-address 2001:db8::2\n";
    headers(|net| Peer::open(net, false, true), addresses, false);
}

/// `tos copy`: that of the IP packet inside, IPv4 or IPv6, and 0 for all else.
fn tos_of_the_frame() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let wire = in_netns(&net.b, || FrameSocket::open("wire"));
    let (_daemon, _call) = up(&net, &mut peer, "  tos copy\n");
    let socket = in_netns(&net.a, || FrameSocket::open("l0"));
    for (head, tos) in [
        (&[0x08, 0x00, 0x45, 0xb8][..], 0xb8),
        (&[0x86, 0xdd, 0x6b, 0x80], 0xb8),
        (&[0x81, 0x00, 0x00, 0x07, 0x08, 0x00, 0x45, 0x28], 0x28),
        (&[0x88, 0xb5, 0x45, 0xb8], 0),
    ] {
        let mut inner = frame(5)[..12].to_vec();
        inner.extend(head);
        inner.resize(80, 0x5c);
        socket.send(&inner);
        let deadline = Instant::now() + PATIENCE;
        let packet = loop {
            let packet = wire.receive(deadline).expect("the frame on the wire");
            if let Some(outer) = outer(&packet).filter(|outer| outer.octets.ends_with(&inner[20..])) {
                break outer;
            }
        };
        assert_eq!(packet.tos, tos, "of a frame with {head:02x?}");
    }
}

/// An IPv4 packet in an Ethernet frame, padded to the 60 octets that Ethernet needs.
fn padded(net: &Net, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mac = |name: &str| -> Vec<u8> {
        let text = net.exec(name, &["cat", "/sys/class/net/wire/address"]);
        text.trim().split(':').map(|pair| u8::from_str_radix(pair, 16).expect("hex")).collect()
    };
    let mut frame = [mac(&net.a), mac(&net.b), vec![8, 0]].concat();
    let length = u16::try_from(20 + payload.len()).expect("short");
    let mut header = vec![0x45, 0];
    header.extend(length.to_be_bytes());
    header.extend([0, 0, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 2, 192, 0, 2, 1]);
    let sum: u32 = header.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    frame.extend(header);
    frame.extend(payload);
    frame.resize(frame.len().max(60), 0xee);
    frame
}

/// The lengths in the headers count, not that of the Ethernet frame around them.
fn padding_is_cut() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let (mut daemon, call) = up(&net, &mut peer, "");
    let wire = in_netns(&net.b, || FrameSocket::open("wire"));
    let socket = in_netns(&net.a, || FrameSocket::open("l0"));
    let short = [&frame(3)[..14], &[1, 2, 3, 4]].concat();
    let packet = padded(&net, 115, &[&call.remote.to_be_bytes(), &short[..]].concat());
    assert_eq!((packet.len(), packet.last()), (60, Some(&0xee)), "there is padding");
    wire.send(&packet);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let got = socket.receive(deadline).expect("the frame comes out");
        if got.starts_with(&short) {
            assert_eq!(got, short, "without the padding");
            break;
        }
    }
    let hello = peer.build(&Out::new(HELLO));
    peer.ns += 1;
    let packet = padded(&net, 115, &[&[0; 4], &hello[..]].concat());
    assert_eq!((packet.len(), packet.last()), (60, Some(&0xee)), "there is padding");
    wire.send(&packet);
    daemon.expect("debug [*] receive HELLO*");
    peer.expect_ack();
    assert_eq!(daemon.count("*wrong size*"), 0);
}

/// The UDP Length counts, not that of the IP packet around it.
fn octets_behind_the_datagram_are_cut() {
    let net = Net::new();
    let mut peer = Peer::udp(&net);
    let (mut daemon, _call) = up(&net, &mut peer, "  encapsulation udp\n");
    let wire = in_netns(&net.b, || FrameSocket::open("wire"));
    let hello = peer.build(&Out::new(HELLO));
    peer.ns += 1;
    let mut datagram = [1701_u16.to_be_bytes(), 1701_u16.to_be_bytes()].concat();
    datagram.extend((8 + hello.len() as u16).to_be_bytes());
    datagram.extend([0, 0]); // no checksum
    datagram.extend(&hello);
    datagram.extend([0xee; 9]);
    wire.send(&padded(&net, 17, &datagram));
    daemon.expect("debug [*] receive HELLO*");
    peer.expect_ack();
    assert_eq!(daemon.count("*wrong size*"), 0);
}

fn ttl_of_control_messages_to_any_peer() {
    let net = Net::new();
    let text = host(2, "", "  remote-address any\n  ttl 9\n", "");
    let (mut a, mut b) = pair_of(&net, &host(1, "", "", ""), &text);
    let control = "ip proto 115 and src 192.0.2.2 and ip[20:4] = 0";
    let packet = net.exec(&net.a, &["timeout", "8", "tcpdump", "-n", "-v", "-c", "1", "-i", "wire", control]);
    assert!(packet.contains("ttl 9,"), "{packet}");
    a.stop();
    b.stop();
}
