//! `oversize`: frames that are longer than the path carries, with `dont-fragment on`, so that none passes in pieces.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::net::families;
use crate::packet::{PacketSocket, Vnet};
use crate::shape::{pattern, Shape, ONE_TAG, PLAIN};
use crate::sys::in_netns;
use crate::tests;
use crate::wait::{wait_until, PATIENCE};
use crate::world::{Sublayer, Variant, Wire, World, WIRES};

tests!(senders_are_told_over_udp, senders_are_told_over_ip, with_tags_and_not_too_often, dropped_and_counted);

/// The interfaces take more than the path does.
fn world(wire: Wire, word: &str) -> World {
    let mut variant = Variant::new(0, 8, Sublayer::Default);
    variant.settings = format!("    mtu 1500\n    oversize {word}\n");
    World::with(wire, "  dont-fragment on\n", vec![variant], false, 1500)
}

/// What is left for the frame, and in it for the packet.
fn inner_mtu(wire: Wire) -> usize {
    let outer = if wire.ipv6 { 40 } else { 20 };
    let udp = if wire.udp { 12 } else { 0 };
    1500 - outer - udp - 4 - 8 - 4 - 14
}

/// 200,000 octets from host 1 to host 2, that fill their segments.
pub fn transfer(world: &World, ipv6: bool, patience: Duration) -> bool {
    let address = world.variants[0].address(2, ipv6).parse().expect("address");
    let address = SocketAddr::new(address, 5001);
    let listener = in_netns(&world.net.b, || TcpListener::bind(address).expect("listener"));
    let mut client =
        in_netns(&world.net.a, || TcpStream::connect_timeout(&address, PATIENCE).expect("a connection"));
    let (mut server, _) = listener.accept().expect("a connection");
    server.set_read_timeout(Some(patience)).expect("timeout");
    client.set_write_timeout(Some(patience)).expect("timeout");
    let content = pattern(200_000);
    let mut got = vec![0; content.len()];
    std::thread::scope(|scope| {
        // What does not pass stays in the client.
        scope.spawn(|| client.write_all(&content).is_ok());
        server.read_exact(&mut got).is_ok() && got == content
    })
}

fn senders_are_told_over_udp() {
    senders_are_told(WIRES[0]);
}

fn senders_are_told_over_ip() {
    senders_are_told(WIRES[3]);
}

/// TCP learns what passes, by IPv4 and by IPv6, from both sides, and the system remembers it.
fn senders_are_told(wire: Wire) {
    let world = world(wire, "icmp");
    for &ipv6 in families() {
        assert!(transfer(&world, ipv6, PATIENCE), "IPv6 {ipv6}");
        let to = world.variants[0].address(2, ipv6);
        let route = world.net.exec(&world.net.a, &["ip", "route", "get", &to]);
        assert!(route.contains(&format!("mtu {} ", inner_mtu(wire))), "{route}");
    }
    let told = world.counter("icmp_too_big");
    assert!((families().len() as u64..40).contains(&told), "{told}");
    assert!(world.counter("tx_drop_size") >= told);
}

/// Each frame that is too long is dropped; only some senders a second are told.
fn with_tags_and_not_too_often() {
    let wire = WIRES[1];
    let world = world(wire, "icmp");
    let tap = in_netns(&world.net.a, || PacketSocket::open("pw0"));
    let far = in_netns(&world.net.b, || PacketSocket::open("pw0"));
    let before = world.counter("icmp_too_big");
    let longest = inner_mtu(wire) + 14;
    for (v6, headers) in [(false, 14 + 4 + 28), (true, 14 + 4 + 48)] {
        let shape = Shape { tags: ONE_TAG, v6, tcp: false, ..PLAIN };
        // One that just fits passes; with one octet more there is an answer with the same tag, to the sender.
        let fits = shape.frame(7, 9, &pattern(longest - headers));
        tap.send(Vnet::default(), &fits);
        assert!(seen(&far, |frame| frame == fits), "the frame that fits");
        let sent = shape.frame(7, 9, &pattern(longest - headers + 1));
        tap.send(Vnet::default(), &sent);
        let answer = |frame: &[u8]| {
            frame[..6] == sent[6..12] && frame[6..12] == sent[..6] && frame[12..18] == sent[12..18]
        };
        assert!(seen(&tap, answer), "nobody is told, IPv6 {v6}");
    }
    assert_eq!(world.counter("icmp_too_big"), before + 2);
    let shape = Shape { tcp: false, ..PLAIN };
    let sent = shape.frame(7, 9, &pattern(1472));
    let (lost, start) = (world.counter("tx_drop_size"), Instant::now());
    (0..500).for_each(|_| tap.send(Vnet::default(), &sent));
    wait_until(|| world.counter("tx_drop_size") == lost + 500, || "500 frames are not all dropped".into());
    let most = 20 + 10 * (start.elapsed().as_secs() + 1);
    let told = world.counter("icmp_too_big") - before - 2;
    assert!((10..=most).contains(&told), "{told} of at most {most}");
}

fn dropped_and_counted() {
    let world = world(WIRES[1], "drop");
    let tap = in_netns(&world.net.a, || PacketSocket::open("pw0"));
    let shape = Shape { tcp: false, ..PLAIN };
    (0..30).for_each(|_| tap.send(Vnet::default(), &shape.frame(7, 9, &pattern(1472))));
    wait_until(|| world.counter("tx_drop_size") == 30, || "30 frames are not all dropped".into());
    assert_eq!(world.counter("icmp_too_big"), 0);
    assert!(!transfer(&world, false, Duration::from_secs(1)), "what is too long passes");
}

/// Whether such a frame comes in or goes out there.
pub fn seen(socket: &PacketSocket, is_it: impl Fn(&[u8]) -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    std::iter::from_fn(|| socket.receive(deadline)).any(|(_, frame)| is_it(&frame))
}
