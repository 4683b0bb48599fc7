//! `tcp-mss` on one end only: what both hosts see of each other's MSS, of real connections and of SYNs with tags.
#![allow(unsafe_code)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Instant;

use crate::expand::{is_right, layout};
use crate::net::families;
use crate::packet::{PacketSocket, Vnet};
use crate::shape::{pattern, Shape, ONE_TAG, PLAIN, TWO_TAGS};
use crate::sys::in_netns;
use crate::tests;
use crate::wait::PATIENCE;
use crate::world::{Sublayer, Variant, Wire, World, WIRES};

tests!(real_connections_over_udp, real_connections_over_ip, automatic, syns_with_and_without_tags);

/// Host 2, the reference, lowers nothing.
fn world(wire: Wire, value: &str) -> World {
    let mut variant = Variant::new(0, 4, Sublayer::Default);
    variant.settings = format!("    tcp-mss {value}\n");
    World::new(wire, vec![variant], true, 1500)
}

/// What is known of a TCP connection's MSS after some data went either way.
#[derive(Debug, PartialEq, Eq)]
struct Mss {
    /// In the SYN, as the other host got it, and in the answer.
    syn: [u16; 2],
    /// What the ends send at most in a segment, its TCP options included.
    used: [usize; 2],
}

/// A connection from one host to the other.
fn connection(world: &World, from: usize, ipv6: bool) -> Mss {
    let names = [&world.net.a, &world.net.b];
    let (from, to) = (from - 1, 2 - from);
    let address = world.variants[0].address(to as u32 + 1, ipv6).parse().expect("address");
    let address = SocketAddr::new(address, 5001);
    let taps = [from, to].map(|host| in_netns(names[host], || PacketSocket::open("pw0")));
    let listener = in_netns(names[to], || TcpListener::bind(address).expect("listener"));
    let client = in_netns(names[from], || TcpStream::connect_timeout(&address, PATIENCE).expect("TCP"));
    let (server, _) = listener.accept().expect("TCP");
    let content = pattern(30_000);
    for (mut one, mut other) in [(&client, &server), (&server, &client)] {
        let mut got = vec![0; content.len()];
        one.write_all(&content).expect("send");
        one.set_read_timeout(Some(PATIENCE)).expect("timeout");
        other.set_read_timeout(Some(PATIENCE)).expect("timeout");
        other.read_exact(&mut got).expect("receive");
        assert!(got == content);
    }
    Mss { syn: [syn(&taps[1]), syn(&taps[0])], used: [segment(&client), segment(&server)] }
}

/// The MSS of the next SYN that comes in; the frame must be right.
fn syn(socket: &PacketSocket) -> u16 {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (vnet, frame) = socket.receive(deadline).expect("a SYN");
        if !matches!(frame[12..14], [8, 0] | [0x86, 0xdd]) {
            continue;
        }
        let ip = &frame[14..];
        let protocol = if frame[12] == 8 { ip[9] } else { ip[6] };
        if protocol == 6 && frame[layout(&frame).transport + 13] & 2 != 0 {
            assert_eq!((vnet, is_right(&frame)), (Vnet::default(), Ok(())));
            return mss(&frame);
        }
    }
}

/// The value of the MSS option of a SYN.
fn mss(frame: &[u8]) -> u16 {
    let at = layout(frame);
    let mut options = &frame[at.transport + 20..at.payload];
    loop {
        match options {
            [2, 4, high, low, ..] => return u16::from_be_bytes([*high, *low]),
            [1, rest @ ..] => options = rest,
            [_, length, ..] => options = &options[usize::from(*length)..],
            _ => panic!("no MSS in {frame:02x?}"),
        }
    }
}

/// Octets of the longest segment that the kernel sends, and of the time stamps in it.
fn segment(stream: &TcpStream) -> usize {
    // SAFETY: all-zero is a valid tcp_info.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = std::mem::size_of_val(&info) as u32;
    // SAFETY: the pointer and the length describe `info`.
    let result = unsafe {
        let name = (&raw mut info).cast();
        libc::getsockopt(stream.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, name, &raw mut length)
    };
    assert_eq!(result, 0, "TCP_INFO: {}", std::io::Error::last_os_error());
    let stamps = if info.tcpi_options & 1 != 0 { 12 } else { 0 };
    info.tcpi_snd_mss as usize + stamps
}

fn real_connections_over_udp() {
    real_connections(WIRES[0]);
}

fn real_connections_over_ip() {
    real_connections(WIRES[3]);
}

/// Lowered in both directions, whoever begins, and counted; where it is lower already it stays.
fn real_connections(wire: Wire) {
    let world = world(wire, "1200");
    let mut counted = 0;
    for (from, &ipv6) in families().iter().flat_map(|ipv6| [(1, ipv6), (2, ipv6)]) {
        let seen = connection(&world, from, ipv6);
        assert_eq!(seen, Mss { syn: [1200; 2], used: [1200; 2] }, "from host {from}, IPv6 {ipv6}");
        counted += 2;
        assert_eq!(world.counter("mss_clamped"), counted);
    }
    for name in [&world.net.a, &world.net.b] {
        for &ipv6 in families() {
            let route = if ipv6 { "add fd01:0::/64 dev pw0 metric 10" } else { "change 10.1.0.0/24 dev pw0" };
            world.net.batch(name, &format!("route {route} advmss 1000\n"));
        }
    }
    for &ipv6 in families() {
        let seen = connection(&world, 1, ipv6);
        assert_eq!(seen, Mss { syn: [1000; 2], used: [1000; 2] }, "IPv6 {ipv6}: not raised");
    }
    assert_eq!(world.counter("mss_clamped"), counted);
    world.finish();
}

/// `auto`: what fits the interface, though the other host's interface takes more.
fn automatic() {
    let world = world(WIRES[1], "auto");
    let mtu = world.mtu("pw0");
    assert!(mtu < 1500);
    world.net.batch(&world.net.b, "link set pw0 mtu 1500\n");
    for &ipv6 in families() {
        let fitting = mtu - if ipv6 { 60 } else { 40 };
        let before = world.counter("mss_clamped");
        let seen = connection(&world, 2, ipv6);
        assert_eq!(seen, Mss { syn: [fitting as u16; 2], used: [fitting; 2] }, "IPv6 {ipv6}");
        assert_eq!(world.counter("mss_clamped"), before + 1, "that of host 2 only; ours fits already");
    }
    world.finish();
}

/// In both directions, with a checksum and with one that is left to the interface; `auto` leaves room for the tags.
fn syns_with_and_without_tags() {
    for (value, wire) in [("1200", WIRES[0]), ("auto", WIRES[3])] {
        let world = world(wire, value);
        let mtu = world.mtu("pw0");
        let [near, far] =
            [&world.net.a, &world.net.b].map(|name| in_netns(name, || PacketSocket::open("pw0")));
        let mut counted = 0;
        for tags in [&[][..], ONE_TAG, TWO_TAGS] {
            for v6 in [false, true] {
                // The option at an even and at an odd place.
                for tcp_options in [&[2, 4, 0x05, 0xb4][..], &[1, 2, 4, 0x05, 0xb4, 1, 1, 0]] {
                    let shape = Shape { tags, v6, flags: 2, tcp_options, ..PLAIN };
                    let whole = shape.frame(7, 9, &[]);
                    let headers = tags.len() + if v6 { 60 } else { 40 };
                    let limit = if value == "auto" { mtu - headers } else { 1200 };
                    let sends = [
                        (&near, &far, (Vnet::default(), whole.clone())),
                        (&near, &far, shape.unfinished(&[])),
                        (&far, &near, (Vnet::default(), whole)),
                    ];
                    for (from, to, (vnet, frame)) in sends {
                        from.send(vnet, &frame);
                        let got = ours(to);
                        assert_eq!(is_right(&got), Ok(()), "{shape:?}");
                        assert_eq!(usize::from(mss(&got)), limit, "{shape:?}");
                        same_but_mss(&frame, &got);
                        counted += 1;
                        assert_eq!(world.counter("mss_clamped"), counted);
                    }
                }
            }
        }
        world.finish();
    }
}

/// The next frame from our source.
fn ours(socket: &PacketSocket) -> Vec<u8> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (vnet, frame) = socket.receive(deadline).expect("the SYN");
        if frame[6..10] == crate::build::SOURCE {
            assert_eq!(vnet, Vnet::default());
            return frame;
        }
    }
}

/// All octets but those of the MSS and of the TCP checksum.
#[track_caller]
fn same_but_mss(sent: &[u8], got: &[u8]) {
    let blank = |frame: &[u8]| {
        let mut frame = frame.to_vec();
        let tcp = layout(&frame).transport;
        frame[tcp + 16..tcp + 18].fill(0);
        let option = frame.windows(2).rposition(|octets| octets == [2, 4]).expect("the option");
        frame[option + 2..option + 4].fill(0);
        frame
    };
    assert_eq!(blank(sent), blank(got));
}
