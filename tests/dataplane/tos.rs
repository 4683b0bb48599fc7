//! `tos copy` on the wire: each outer packet has the TOS or traffic class of the packet inside, whatever was sent in the
//! same batch, cut out of one super-frame, or is around it.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::build::SOURCE;
use crate::expand::expand;
use crate::packet::{PacketSocket, Vnet};
use crate::shape::{pattern, Shape, ONE_TAG, PLAIN, TWO_TAGS};
use crate::sys::in_netns;
use crate::tests;
use crate::wait::PATIENCE;
use crate::world::{Sublayer, Variant, Wire, World, WIRES};

tests!(copied, one_value_for_all);

/// What is sent: each frame and, by the number in its source address, how many outer packets with which TOS it makes.
struct Sent {
    frames: Vec<(Vnet, Vec<u8>)>,
    expected: BTreeMap<u16, (u8, usize)>,
}

/// Frames and super-frames with all kinds of TOS, mixed.
fn mixture() -> Sent {
    let mut sent = Sent { frames: Vec::new(), expected: BTreeMap::new() };
    let content = pattern(4000);
    for tos in [0x00, 0xb8, 0x2e, 0x03, 0xff] {
        for tags in [&[][..], ONE_TAG, TWO_TAGS] {
            for (v6, tcp) in [(false, true), (false, false), (true, true), (true, false)] {
                let number = sent.frames.len() as u16;
                let shape = Shape { tags, v6, tcp, tos, number, ..PLAIN };
                let (piece, count) = match number % 3 {
                    // After a longer and a shorter frame, and a few of the same length.
                    0 => ((Vnet::default(), shape.frame(1, 1, &content[..300 + usize::from(number % 4)])), 1),
                    1 => (shape.unfinished(&content[..900]), 1),
                    _ => (shape.super_frame(&content, 900), 5),
                };
                sent.frames.push(piece);
                sent.expected.insert(number, (tos, count));
            }
        }
    }
    // What is not IP has none, though it looks like it.
    for (rest, number) in [(&[0x88, 0xb5, 0x45, 0xb8][..], 900), (&[0x81, 0, 0, 9, 8, 6, 0x6b, 0x80], 901)] {
        let frame = [&[2, 0, 0, 0, 0, 0x99], &SOURCE[..], &u16::to_be_bytes(number), rest, &content[..90]];
        sent.frames.push((Vnet::default(), frame.concat()));
        sent.expected.insert(number, (0, 1));
    }
    sent
}

/// The TOS values of the outer packets that carry our frames, by the frame's number.
fn outer(world: &World, wire: Wire, packets: usize, send: impl FnOnce()) -> BTreeMap<u16, Vec<u8>> {
    let cable = in_netns(&world.net.b, || PacketSocket::open("wire"));
    send();
    let headers = if wire.ipv6 { 40 } else { 20 } + if wire.udp { 8 } else { 0 };
    // After the Session ID, the cookie and the sublayer.
    let inside = 14 + headers + world.variants[0].head(wire, 2).len() + 4;
    let mut seen = BTreeMap::<u16, Vec<u8>>::new();
    let deadline = Instant::now() + PATIENCE;
    while seen.values().map(Vec::len).sum::<usize>() < packets {
        let Some((vnet, packet)) = cable.receive(deadline) else { break };
        // A run of datagrams crosses the cable in one piece; its checksum does not matter here.
        let datagrams = if vnet.kind == 0 { vec![packet] } else { expand(vnet, &packet) };
        for packet in datagrams {
            let Some(frame) = packet.get(inside..).filter(|f| f.get(6..10) == Some(&SOURCE)) else {
                continue;
            };
            let tos = if wire.ipv6 { packet[14] << 4 | packet[15] >> 4 } else { packet[15] };
            seen.entry(u16::from_be_bytes([frame[10], frame[11]])).or_default().push(tos);
        }
    }
    seen
}

/// Sends the mixture with a setting and compares.
fn check(setting: &str, expected: impl Fn(u8) -> u8) {
    for wire in WIRES {
        let variant = Variant::new(0, 8, Sublayer::Default);
        let world = World::with(wire, &format!("  tos {setting}\n"), vec![variant], true, 1500);
        let near = in_netns(&world.net.a, || PacketSocket::open("pw0"));
        let sent = mixture();
        let packets = sent.expected.values().map(|(_, count)| count).sum();
        // Waiting for the daemon, they leave in one batch.
        let send = || world.hold(0, || sent.frames.iter().for_each(|(v, f)| near.send(*v, f)), || ());
        let seen = outer(&world, wire, packets, send);
        let expected: BTreeMap<u16, Vec<u8>> =
            sent.expected.iter().map(|(n, (tos, count))| (*n, vec![expected(*tos); *count])).collect();
        assert_eq!(seen, expected, "{wire:?}");
        world.finish();
    }
}

fn copied() {
    check("copy", |inner| inner);
}

fn one_value_for_all() {
    check("46", |_| 46);
}
