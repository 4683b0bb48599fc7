//! Strangers flood the one socket of an address and port. The frames of the sessions beside pass, and the tunnels stay.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use crate::runner::note;
use crate::sys::{in_netns, raw_socket};
use crate::tests;
use crate::wait::{wait_until, PATIENCE};
use crate::world::{hold, Sublayer, Variant, Wire, World, WIRES};

tests!(requests, garbage, unknown_ids, requests_over_udp, garbage_over_udp, unknown_ids_over_udp);

/// Messages a second, at most.
const RATE: f64 = 100_000.0;
/// Messages of the flood that come while the daemon is busy with something else: more than a socket has room for.
const WAITING: u64 = 30_000;
/// Frames of the session at a time.
const FRAMES: u64 = 250;
/// How often they come while the daemon has nothing else to do, and while it is busy.
const BURSTS: u64 = 40;
const HOLDS: u64 = 5;

fn requests() {
    flooded("requests", WIRES[1], write_request);
}

fn requests_over_udp() {
    flooded("requests", WIRES[0], write_request);
}

fn garbage() {
    flooded("garbage", WIRES[1], write_garbage);
}

fn garbage_over_udp() {
    flooded("garbage", WIRES[0], write_garbage);
}

fn unknown_ids() {
    flooded("unknown ids", WIRES[1], write_data);
}

fn unknown_ids_over_udp() {
    flooded("unknown ids", WIRES[0], write_data);
}

/// An SCCRQ of somebody whom no tunnel names: header, Message Type, Host Name, Router ID, Assigned Control Connection ID,
/// Pseudowire Capabilities List.
fn write_request(message: &mut Vec<u8>, wire: Wire, n: u32) {
    let avps = [
        &[0x80, 8, 0, 0, 0, 0, 0, 1][..],
        &[0x80, 9, 0, 0, 0, 7, b'e', b'v', b'l'],
        &[0x80, 10, 0, 0, 0, 60, 1, 2, 3, 4],
        &[0x80, 10, 0, 0, 0, 61, 1, (n >> 16) as u8, (n >> 8) as u8, n as u8],
        &[0x80, 8, 0, 0, 0, 62, 0, 5],
    ]
    .concat();
    message.extend(&[0; 4][..if wire.udp { 0 } else { 4 }]);
    message.extend([0xc8, 3, 0, 12 + avps.len() as u8]);
    message.extend([0; 8]);
    message.extend(avps);
}

/// A control message of nonsense.
fn write_garbage(message: &mut Vec<u8>, wire: Wire, n: u32) {
    message.extend(&[0; 4][..if wire.udp { 0 } else { 4 }]);
    message.push(0xc8);
    let mut state = n | 1;
    message.extend((0..100).map(|_| {
        state = state.wrapping_mul(0x0019_660d).wrapping_add(0x3c6e_f35f);
        (state >> 24) as u8
    }));
}

/// Data of no session.
fn write_data(message: &mut Vec<u8>, wire: Wire, n: u32) {
    message.extend(&[0, 3, 0, 0][..if wire.udp { 4 } else { 0 }]);
    message.extend((n.wrapping_mul(0x9e37_79b1) | 0x8000_0000).to_be_bytes());
    message.extend([7; 100]);
}

/// Sends messages of one kind from an address that no tunnel names, and counts them.
fn flood(wire: Wire, stop: &AtomicBool, sent: &AtomicU64, write: Write) {
    let to = SocketAddr::new(wire.ends()[0], wire.port());
    let socket = match wire.udp {
        true => UdpSocket::bind("192.0.2.9:0").expect("UDP socket"),
        false => raw_socket(false),
    };
    let start = Instant::now();
    let mut message = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        message.clear();
        let number = sent.fetch_add(1, Ordering::Relaxed);
        write(&mut message, wire, number as u32);
        let _ = socket.send_to(&message, to);
        while number as f64 > start.elapsed().as_secs_f64() * RATE {
            std::thread::yield_now();
        }
    }
}

/// Sends frames of host 2.
fn send(count: u64) {
    let socket = UdpSocket::bind("10.1.0.2:0").expect("socket");
    for _ in 0..count {
        socket.send_to(&[7; 200], "10.1.0.99:9").expect("frame");
    }
}

/// Appends message number `n` of a flood.
type Write = fn(&mut Vec<u8>, Wire, u32);

fn flooded(name: &str, wire: Wire, write: Write) {
    let world = World::new(wire, vec![Variant::new(0, 4, Sublayer::None)], false, 1500);
    // Host 2 floods from another address of its own.
    world.net.batch(
        &world.net.b,
        "addr add 192.0.2.9/24 dev wire\nroute add 192.0.2.1/32 dev wire src 192.0.2.9\n\
         neigh replace 10.1.0.99 lladdr 02:00:00:00:00:99 dev pw0\n",
    );
    let (stop, flooded) = (AtomicBool::new(false), AtomicU64::new(0));
    let before = world.counter("rx_frames");
    let began = Instant::now();
    let wait_flood = |count: u64| {
        let until = flooded.load(Ordering::Relaxed) + count;
        let deadline = Instant::now() + PATIENCE;
        while flooded.load(Ordering::Relaxed) < until {
            assert!(Instant::now() < deadline, "no flood");
            std::thread::yield_now();
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| in_netns(&world.net.b, || flood(wire, &stop, &flooded, write)));
        wait_flood(WAITING);
        for _ in 0..BURSTS {
            in_netns(&world.net.b, || send(FRAMES));
            wait_flood(FRAMES * 8);
        }
        for _ in 0..HOLDS {
            hold(&world.first, || {
                wait_flood(WAITING);
                in_netns(&world.net.b, || send(FRAMES));
                wait_flood(WAITING / 2);
            });
            wait_flood(WAITING);
        }
        stop.store(true, Ordering::Relaxed);
    });
    let rate = flooded.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
    let sent = FRAMES * (BURSTS + HOLDS);
    let deadline = Instant::now() + PATIENCE;
    let received = || world.counter("rx_frames") - before;
    // Not all of them need to come.
    wait_until(|| received() >= sent || Instant::now() > deadline, String::new);
    let lost = sent.saturating_sub(received());
    note(format!(
        "flood of {name} over {}, {rate:.0} a second: {lost} of {sent} frames lost",
        if wire.udp { "UDP" } else { "IP" }
    ));
    assert!(lost * 100 < sent, "{name}: {lost} of {sent} frames lost");
    assert_eq!(world.first.count("*delete tunnel*"), 0);
    world.end();
}
