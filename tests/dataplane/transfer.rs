//! TCP and UDP through pseudowires of every kind; the content is compared octet by octet with what was sent, and no
//! kernel may have seen a wrong checksum.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Instant;

use crate::net::{families, have, Net};
use crate::runner::{is_long, skip};
use crate::sys::{in_netns, wait_readable};
use crate::tests;
use crate::wait::PATIENCE;
use crate::world::{Sublayer, Variant, Wire, World, WIRES};

tests!(
    udp_over_ipv4_with_itself,
    ip_over_ipv4_with_itself,
    udp_over_ipv6_with_itself,
    ip_over_ipv6_with_itself,
    udp_over_ipv4_with_the_reference,
    ip_over_ipv4_with_the_reference,
    udp_over_ipv6_with_the_reference,
    ip_over_ipv6_with_the_reference,
    with_and_without_offloads,
    datagrams_in_fragments,
    frames_longer_than_the_path,
    jumbo_frames,
);

/// Octets of one transfer.
fn size() -> usize {
    if is_long() {
        1 << 30
    } else {
        16 << 20
    }
}

fn udp_over_ipv4_with_itself() {
    every_variant(WIRES[0], false);
}

fn ip_over_ipv4_with_itself() {
    every_variant(WIRES[1], false);
}

fn udp_over_ipv6_with_itself() {
    every_variant(WIRES[2], false);
}

fn ip_over_ipv6_with_itself() {
    every_variant(WIRES[3], false);
}

fn udp_over_ipv4_with_the_reference() {
    every_variant(WIRES[0], true);
}

fn ip_over_ipv4_with_the_reference() {
    every_variant(WIRES[1], true);
}

fn udp_over_ipv6_with_the_reference() {
    every_variant(WIRES[2], true);
}

fn ip_over_ipv6_with_the_reference() {
    every_variant(WIRES[3], true);
}

/// Every cookie and sublayer, IPv4 and IPv6 inside.
fn every_variant(wire: Wire, naive: bool) {
    let world = World::new(wire, Variant::all(), naive, 1500);
    for variant in &world.variants {
        both_ways(&world.net, variant, size());
    }
    world.finish();
}

/// Four transfers in two pairs: each direction with IPv4 and with IPv6, and both directions at once.
fn both_ways(net: &Net, variant: &Variant, size: usize) {
    for &ipv6_first in families() {
        let ipv6_last = !ipv6_first && families().len() > 1;
        std::thread::scope(|scope| {
            let forth = scope.spawn(|| transfer(&net.a, &net.b, &variant.address(2, ipv6_first), size));
            let back = scope.spawn(|| transfer(&net.b, &net.a, &variant.address(1, ipv6_last), size));
            for (thread, direction) in [(forth, "1 to 2"), (back, "2 to 1")] {
                let result = thread.join().unwrap_or_else(|_| Err("a socket failed".to_owned()));
                assert!(result.is_ok(), "{variant:?}, {direction}, IPv6 {ipv6_first}: {result:?}");
            }
        });
    }
}

/// A block of octets that is repeated; its length is prime, so that a piece that is missing, doubled or out of place
/// shows.
fn pattern() -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut block = Vec::with_capacity(1_048_583);
    while block.len() < 1_048_583 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        block.push((state >> 32) as u8);
    }
    block
}

/// TCP from one namespace to an address of another.
fn transfer(from: &str, to: &str, address: &str, size: usize) -> Result<(), String> {
    let address = SocketAddr::new(address.parse().expect("address"), 5001);
    let text = |error: std::io::Error| format!("TCP to {address}: {error}");
    let listener = in_netns(to, || TcpListener::bind(address)).map_err(text)?;
    let block = pattern();
    std::thread::scope(|scope| {
        let block = &block;
        let sender = scope.spawn(move || -> std::io::Result<()> {
            let connect = || TcpStream::connect_timeout(&address, PATIENCE);
            let mut stream = in_netns(from, connect)?;
            stream.set_write_timeout(Some(PATIENCE))?;
            let mut left = size;
            while left > 0 {
                let now = left.min(block.len());
                stream.write_all(&block[..now])?;
                left -= now;
            }
            Ok(())
        });
        let received = receive(&listener, block, size);
        let sent = sender.join().expect("sender").map_err(text);
        received.map_err(|error| format!("TCP to {address}: {error}")).and(sent)
    })
}

/// Accepts one connection and compares what it brings.
fn receive(listener: &TcpListener, block: &[u8], size: usize) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    if !wait_readable(listener.as_raw_fd(), Instant::now() + PATIENCE) {
        return Err("no connection".to_owned());
    }
    let (mut stream, _) = listener.accept().map_err(text)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(text)?;
    let mut buffer = vec![0; 256 << 10];
    let mut total = 0;
    loop {
        let length = stream.read(&mut buffer).map_err(|error| format!("after {total} octets: {error}"))?;
        if length == 0 {
            break;
        }
        let mut rest = &buffer[..length];
        while !rest.is_empty() {
            let expected = &block[total % block.len()..];
            let now = rest.len().min(expected.len());
            if rest[..now] != expected[..now] {
                return Err(format!("content differs within {now} octets after {total}"));
            }
            total += now;
            rest = &rest[now..];
        }
    }
    (total == size).then_some(()).ok_or(format!("{total} octets of {size}"))
}

/// The system may be told to cut, join and check by itself, at either end.
fn with_and_without_offloads() {
    if !have("ethtool") {
        skip("ethtool is not installed");
    }
    for (wire, naive) in [(WIRES[0], false), (WIRES[1], true)] {
        let world = World::new(wire, vec![Variant::new(0, 8, Sublayer::Sequenced)], naive, 1500);
        for settings in [
            ["tso off gso off gro off", "tso off gso off gro off"],
            ["tx off", ""],
            ["tso on gso off gro off", "gro off"],
            ["", "tx off gro off"],
            ["tso off gro on", "gso off"],
            ["tx off tso off gso off gro off", "tx off tso off gso off gro off"],
        ] {
            for (name, setting) in [(&world.net.a, settings[0]), (&world.net.b, settings[1])] {
                // Each run begins from what the interface had: everything on.
                let all = "tx on tso on gso on gro on";
                for words in [all, setting].map(|text| text.split_whitespace().collect::<Vec<_>>()) {
                    for pair in words.chunks(2) {
                        world.net.try_exec(name, &["ethtool", "-K", "pw0", pair[0], pair[1]]);
                    }
                }
            }
            both_ways(&world.net, &world.variants[0], size() / 2);
        }
        world.finish();
    }
}

/// UDP datagrams of all lengths, most of them in fragments, there and back.
fn datagrams_in_fragments() {
    for (wire, naive) in [(WIRES[0], true), (WIRES[1], true), (WIRES[2], false), (WIRES[3], true)] {
        let world = World::new(wire, vec![Variant::new(3, 4, Sublayer::Default)], naive, 1500);
        let variant = &world.variants[0];
        for &ipv6 in families() {
            echo(&world.net, &variant.address(2, ipv6));
        }
        world.finish();
    }
}

/// Sends datagrams to an echo server, one after the other.
fn echo(net: &Net, to: &str) {
    let address = SocketAddr::new(to.parse().expect("address"), 5002);
    let server = in_netns(&net.b, || UdpSocket::bind(address).expect("server"));
    let any = if address.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
    let client = in_netns(&net.a, || UdpSocket::bind(any).expect("client"));
    for socket in [&server, &client] {
        socket.set_read_timeout(Some(PATIENCE)).expect("timeout");
    }
    let block = pattern();
    let mut buffer = vec![0; 66_000];
    for number in 0..200_usize {
        let length = [1 + number, 1400 + number, 9 * number + 1472, 65_507 - 17 * number][number % 4];
        let content = &block[number..number + length];
        client.send_to(content, address).expect("send");
        let (got, from) = server.recv_from(&mut buffer).unwrap_or_else(|e| panic!("{length} octets: {e}"));
        assert!(buffer[..got] == *content, "a datagram of {length} octets came as {got} others");
        server.send_to(&buffer[..got], from).expect("answer");
        let got = client.recv(&mut buffer).unwrap_or_else(|e| panic!("{length} octets back: {e}"));
        assert!(buffer[..got] == *content, "the answer of {length} octets came as {got} others");
    }
}

/// The session's MTU is larger than what the path takes in one piece: fragments of the outer packets.
fn frames_longer_than_the_path() {
    for wire in WIRES {
        for (mtu, naive) in [(1500, true), (3001, false), (9000, true)] {
            let mut variant = Variant::new(1, 8, Sublayer::Sequenced);
            variant.settings = format!("    mtu {mtu}\n");
            let world = World::new(wire, vec![variant], naive, 1500);
            assert_eq!(world.mtu("pw1"), mtu);
            both_ways(&world.net, &world.variants[0], size() / 4);
            echo(&world.net, &world.variants[0].address(2, false));
            world.finish();
        }
    }
}

/// A cable with jumbo frames: the session's MTU follows.
fn jumbo_frames() {
    for (wire, naive) in [(WIRES[0], true), (WIRES[1], false), (WIRES[2], false), (WIRES[3], true)] {
        let world = World::new(wire, vec![Variant::new(2, 4, Sublayer::Sequenced)], naive, 9000);
        assert!((8900..8970).contains(&world.mtu("pw2")), "MTU {}", world.mtu("pw2"));
        both_ways(&world.net, &world.variants[0], size());
        world.finish();
    }
}
