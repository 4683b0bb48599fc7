//! Damaged messages to the sockets, and damaged frames to the interfaces of a daemon: each keeps the structure of a good
//! one, mostly. None of it does anything but to be dropped and counted, or to come out as it is, and what is good passes
//! before and afterwards.

use std::net::SocketAddr;

use crate::build::{other, Flow};
use crate::daemon::Daemon;
use crate::dice::Dice;
use crate::packet::{PacketSocket, Vnet};
use crate::runner::note;
use crate::sys::{header_socket, in_netns};
use crate::tests;
use crate::world::{Other, Sublayer, Variant, Wire, World, WIRES};

tests!(messages_and_frames_over_ip, messages_and_frames_over_udp);

/// Of each: messages to the socket, frames to the interfaces.
const COUNT: usize = 20_000;

fn messages_and_frames_over_ip() {
    damaged(WIRES[1], 1);
}

fn messages_and_frames_over_udp() {
    damaged(WIRES[0], 2);
}

/// Resident memory in kB.
fn memory(daemon: &Daemon) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).expect("status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).and_then(|size| size.parse().ok()).expect("kB")
}

/// A frame of any kind, damaged or not.
fn frame(dice: &mut Dice, flow: &mut Flow) -> Vec<u8> {
    let mut frame = if dice.one_in(4) { other(dice, 7, 1400) } else { flow.next(dice) };
    if dice.one_in(2) {
        dice.damage(&mut frame);
    }
    frame
}

/// A packet of host 2 with a data message to host 1, of which each part may be damaged.
fn packet(dice: &mut Dice, wire: Wire, variant: &Variant, flow: &mut Flow) -> Vec<u8> {
    let mut message = variant.head(wire, 1);
    if variant.sublayer != Sublayer::None {
        message.extend((dice.next() as u32).to_be_bytes());
    }
    if dice.one_in(4) {
        dice.damage(&mut message);
    }
    message.extend(frame(dice, flow));
    if dice.one_in(16) {
        dice.damage(&mut message);
    }
    message.truncate(1450);
    // The kernel fills in length and checksum of IP; UDP goes without.
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, if wire.udp { 17 } else { 115 }, 0, 0];
    packet.extend([192, 0, 2, 2, 192, 0, 2, 1]);
    if wire.udp {
        let port = wire.port().to_be_bytes();
        packet.extend(port.iter().chain(&port));
        packet.extend((message.len() as u16 + 8).to_be_bytes());
        packet.extend([0, 0]);
    }
    packet.extend(message);
    packet
}

/// Frames that all sessions together have delivered.
fn delivered(daemon: &Daemon) -> usize {
    let text = daemon.ctl_ok(&["counters"]);
    let rows = text.lines().map(|line| line.split_whitespace().collect::<Vec<&str>>());
    rows.filter(|row| row.get(1) == Some(&"rx_frames"))
        .map(|row| row[0].parse::<usize>().expect("number"))
        .sum()
}

fn damaged(wire: Wire, seed: u64) {
    let world = World::new(wire, Variant::all(), false, 1500);
    let before = memory(&world.first);
    let received = delivered(&world.first);
    let socket = in_netns(&world.net.b, header_socket);
    let to = SocketAddr::new(wire.ends()[0], 0);
    let mut dice = Dice(seed);
    let mut flows: Vec<Flow> = (0..8).map(|number| Flow::new(&mut dice, number, 1400)).collect();
    let interfaces: Vec<PacketSocket> = in_netns(&world.net.a, || {
        world.variants.iter().map(|variant| PacketSocket::open(&variant.interface)).collect()
    });
    for round in 0..COUNT {
        let at = dice.below(flows.len());
        let variant = &world.variants[dice.below(world.variants.len())];
        let _ = socket.send_to(&packet(&mut dice, wire, variant, &mut flows[at]), to);
        let mut frame = frame(&mut dice, &mut flows[at]);
        // What has no Ethernet header, or is longer than the interface takes, the kernel refuses.
        frame.resize(frame.len().clamp(14, 1400), 0);
        let interface = &interfaces[dice.below(interfaces.len())];
        interface.send(Vnet::default(), &frame);
        if round % 500 == 0 {
            world.first.ctl_ok(&["status"]); // it keeps up
        }
    }
    // Numbers far ahead may have been taken for the newest: after a while the true ones are.
    for variant in &world.variants {
        for _ in 0..20 {
            if world.net.answers(&world.net.a, &variant.address(2, false)) {
                break;
            }
        }
        world.net.ping(&world.net.a, &variant.address(2, false), 1000);
        world.net.ping(&world.net.b, &variant.address(1, false), 1000);
    }
    let received = delivered(&world.first) - received;
    assert!(received > COUNT / 4, "{received} of {COUNT} messages came to an interface");
    let after = memory(&world.first);
    assert!(after < before + 20_000, "memory went from {before} to {after} kB");
    let name = if wire.udp { "UDP" } else { "IP" };
    note(format!(
        "{COUNT} damaged messages and frames each way over {name}: {received} came to an interface"
    ));
    let World { mut first, other, .. } = world;
    if let Other::Daemon(mut other) = other {
        other.stop();
    }
    first.stop();
}
