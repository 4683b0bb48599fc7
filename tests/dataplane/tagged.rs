//! Every combination of VLAN tags, IPv4 options or IPv6 extension headers, TCP and UDP: super-frames that the daemon
//! has to cut, frames that it joins, each looked at field by field. And odd frames, which pass as they are.

use std::time::Instant;

use crate::build::SOURCE;
use crate::expand::{layout, leave_checksum};
use crate::packet::{PacketSocket, Vnet, TCP4, TCP6, UDP};
use crate::runner::note;
use crate::shape::{pattern, see, Extra, Seen, Shape, ID, ONE_TAG, PLAIN, SEQUENCE, TWO_TAGS};
use crate::sys::in_netns;
use crate::tests;
use crate::wait::PATIENCE;
use crate::world::{Sublayer, Variant, Wire, World, WIRES};

tests!(
    super_frames_over_udp,
    super_frames_over_ip,
    joined_frames_over_udp,
    joined_frames_over_ip,
    congestion_window_reduced,
    odd_frames,
    full_sized_frames_with_a_tag_fit,
);

fn world(wire: Wire) -> World {
    World::new(wire, vec![Variant::new(0, 4, Sublayer::Sequenced)], true, 1500)
}

fn sockets(world: &World) -> (PacketSocket, PacketSocket) {
    let open = |name: &str| in_netns(name, || PacketSocket::open("pw0"));
    (open(&world.net.a), open(&world.net.b))
}

/// The next `count` of our frames.
fn take(socket: &PacketSocket, count: usize) -> Vec<(Vnet, Vec<u8>)> {
    let deadline = Instant::now() + PATIENCE;
    let mut frames = Vec::new();
    while frames.len() < count {
        let Some((vnet, frame)) = socket.receive(deadline) else { break };
        if frame[6..10] == SOURCE {
            frames.push((vnet, frame));
        }
    }
    frames
}

/// The shapes that the system hands over and takes in one piece: UDP since Linux 6.2.
fn shapes() -> Vec<Shape> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("release");
    let mut numbers = release.split(['.', '-', '\n']).map(|part| part.parse().unwrap_or(0));
    let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version < (6, 2) {
        note("SKIPPED: super-frames of UDP: the kernel is older than 6.2".to_owned());
    }
    Shape::all().into_iter().filter(|shape| shape.tcp || version >= (6, 2)).collect()
}

fn super_frames_over_udp() {
    super_frames(WIRES[0]);
}

fn super_frames_over_ip() {
    super_frames(WIRES[3]);
}

/// What the interface hands over in one piece comes out as frames: payload complete and in order, tags and options
/// in each of them, identification, sequence number, flags, lengths and checksums of their own.
fn super_frames(wire: Wire) {
    let world = world(wire);
    let (near, far) = sockets(&world);
    let content = pattern(12_345);
    let (size, count) = (1111, 12);
    for tags in [&[][..], ONE_TAG, TWO_TAGS] {
        let before = world.counter("tx_segmented");
        let mut cut = 0;
        for shape in shapes().iter().filter(|shape| shape.tags == tags) {
            // FIN, PSH, ACK, CWR
            let shape = Shape { flags: 0x99, tos: 0xb8, ..*shape };
            let (vnet, frame) = shape.super_frame(&content, size);
            assert_eq!(vnet.checksum.map(|c| c.0), Some(layout(&frame).transport), "it counts the tags");
            near.send(vnet, &frame);
            let frames = take(&far, count);
            assert_eq!(frames.len(), count, "{shape:?}");
            for (at, (vnet, one)) in frames.iter().enumerate() {
                assert_eq!(*vnet, Vnet::default(), "nothing is left to do");
                assert_eq!(see(one), piece(&shape, at, &content, size), "frame {at} of {shape:?}");
                assert_eq!(one[..14 + tags.len()], frame[..14 + tags.len()], "addresses and tags");
                same_options(&frame, one);
            }
            cut += count as u64;
        }
        let by_us = world.counter("tx_segmented") - before;
        // After two tags the kernel cuts by itself, and leaves the checksums to us.
        assert!(by_us == cut || (tags == TWO_TAGS && by_us == 0), "{by_us} of {cut} cut");
    }
    world.finish();
}

/// What frame `at` must say.
fn piece(shape: &Shape, at: usize, content: &[u8], size: usize) -> Seen {
    let (first, last) = (at == 0, (at + 1) * size >= content.len());
    let flags = 0x10 | if first { 0x80 } else { 0 } | if last { 0x09 } else { 0 };
    Seen {
        id: if shape.v6 { 0 } else { ID.wrapping_add(at as u16) },
        sequence: if shape.tcp { SEQUENCE.wrapping_add((at * size) as u32) } else { 0 },
        flags: if shape.tcp { flags } else { 0 },
        tos: shape.tos,
        payload: content[at * size..content.len().min((at + 1) * size)].to_vec(),
    }
}

/// The IP header but its length, identification and checksum, and all between it and TCP or UDP.
#[track_caller]
fn same_options(frame: &[u8], one: &[u8]) {
    let at = layout(frame);
    let fields = match at.v6 {
        true => [at.ip..at.ip + 4, at.ip + 6..at.transport],
        false => [at.ip + 6..at.ip + 10, at.ip + 12..at.transport],
    };
    fields.into_iter().for_each(|range| assert_eq!(frame[range.clone()], one[range]));
}

fn joined_frames_over_udp() {
    joined_frames(WIRES[2]);
}

fn joined_frames_over_ip() {
    joined_frames(WIRES[1]);
}

/// Frames that wait for the daemon reach the interface as one super-frame, whose header tells where the transport
/// header begins after the tags; frames with options reach it one by one.
fn joined_frames(wire: Wire) {
    let world = world(wire);
    let (near, far) = sockets(&world);
    // No more frames than the daemon always takes at once.
    let (content, size) = (pattern(3500), 900);
    for shape in shapes() {
        let frames: Vec<Vec<u8>> = content
            .chunks(size)
            .enumerate()
            .map(|(at, piece)| {
                shape.frame(ID.wrapping_add(at as u16), SEQUENCE.wrapping_add((at * size) as u32), piece)
            })
            .collect();
        let before = world.counter("rx_coalesced");
        world.hold(frames.len(), || frames.iter().for_each(|f| far.send(Vnet::default(), f)), || ());
        if shape.extra != Extra::None {
            let got: Vec<Vec<u8>> = take(&near, frames.len()).into_iter().map(|(_, frame)| frame).collect();
            assert_eq!(got, frames, "{shape:?}");
            assert_eq!(world.counter("rx_coalesced"), before, "{shape:?}");
            continue;
        }
        let got = take(&near, 1);
        let [(vnet, one)] = &got[..] else { panic!("nothing of {shape:?}") };
        let at = layout(one);
        let kind = [UDP, TCP4, TCP6][usize::from(shape.tcp) * (1 + usize::from(shape.v6))];
        let field = if shape.tcp { 16 } else { 6 };
        assert_eq!(
            *vnet,
            Vnet { checksum: Some((at.transport, field)), kind, size, headers: vnet.headers },
            "{shape:?}"
        );
        assert!(one[at.payload..] == content, "{} octets of {shape:?}", one.len() - at.payload);
        // The same as if the interface had to cut it: the header of the first, lengths of the whole, and the sum of
        // the pseudo-header in place of the checksum.
        let (_, expected) = shape.super_frame(&content, size);
        assert_eq!(*one, expected, "{shape:?}");
        let mut again = one.clone();
        leave_checksum(&mut again, at);
        assert_eq!(*one, again);
        assert_eq!(world.counter("rx_coalesced") - before, frames.len() as u64, "{shape:?}");
    }
    world.finish();
}

/// The kernel marks super-frames with CWR on their own (the ECN bit of the type); the flag is on the first frame only.
fn congestion_window_reduced() {
    let world = world(WIRES[0]);
    let (near, far) = sockets(&world);
    let content = pattern(3000);
    for v6 in [false, true] {
        for tags in [&[][..], ONE_TAG] {
            let shape = Shape { v6, tags, flags: 0x90, tos: 1, ..PLAIN };
            let (mut vnet, frame) = shape.super_frame(&content, 1000);
            vnet.kind |= 0x80;
            near.send(vnet, &frame);
            let flags: Vec<u8> = take(&far, 3).iter().map(|(_, frame)| see(frame).flags).collect();
            assert_eq!(flags, [0x90, 0x10, 0x10], "{shape:?}");
        }
    }
    world.finish();
}

/// A frame from our source with this after the addresses, at least 60 octets long.
fn odd(rest: &[u8]) -> Vec<u8> {
    let mut frame = vec![1, 0x80, 0xc2, 0, 0, 0x0e];
    frame.extend(SOURCE);
    frame.extend([0, 1]);
    frame.extend(rest);
    let length = frame.len();
    if length < 60 {
        frame.extend(&pattern(60)[length..]);
    }
    frame
}

/// Non-IP protocols, lengths in place of the EtherType, padding, tags of all kinds, damaged packets: octet by octet.
fn odd_frames() {
    let mut frames: Vec<Vec<u8>> = [
        &[8, 6, 0, 1, 8, 0, 6, 4, 0, 9][..],            // ARP, padded
        &[0x81, 0, 0, 9, 8, 6, 0, 1, 8, 0, 6, 4, 0, 9], // the same, tagged
        &[0x81, 0, 0xf0, 0, 0x88, 0xcc, 2, 7],          // VLAN 0: priority and drop eligible
        &[0x81, 0, 0x0f, 0xff, 0x88, 0xcc, 2, 7],       // VLAN 4095
        &[0x88, 0xa8, 0, 5, 0x81, 0, 0, 6, 0x81, 0, 0, 7, 0x88, 0xb5], // three tags
        &[0x91, 0, 0, 5, 0x88, 0xb5],                   // an old kind of tag
        &[0, 38, 0x42, 0x42, 3, 0, 0, 0, 0],            // spanning tree: 802.3 and LLC
        &[0, 3, 0xaa, 0xaa, 3],                         // a length of 3, padding
        &[0, 0, 9],                                     // a length of 0
        &[0x05, 0xff, 1, 1],                            // neither a length nor an EtherType
        &[0x88, 0x47, 0, 1, 1, 64, 0x45],               // MPLS
        &[0x88, 0x64, 0x11, 0, 0, 1, 0, 4, 0, 0x21],    // PPPoE
        &[0x88, 0x08, 0, 1, 0xff, 0xff],                // pause
        &[8, 0, 0x45],                                  // an IPv4 header, and nonsense
        &[8, 0, 0x4f, 0, 0, 20],                        // longer than its packet
        &[0x86, 0xdd, 0x60, 0, 0, 0, 0xff, 0xff, 6],    // longer than the frame
        &[0x86, 0xdd, 0x60, 0, 0, 0, 0, 8, 44, 64],     // a fragment
    ]
    .map(odd)
    .to_vec();
    frames.push(odd(&[0x88, 0xb5])[..14].to_vec());
    let mut long = odd(&[0x05, 0xdc, 0x42, 0x42, 3]);
    long.extend(pattern(1380));
    frames.push(long);
    for tags in [&[][..], ONE_TAG, TWO_TAGS] {
        for v6 in [false, true] {
            let shape = Shape { tags, v6, ..PLAIN };
            // A bare ACK, padded with something that is not zero.
            let mut padded = shape.frame(1, 2, &[]);
            padded.extend(&pattern(100)[padded.len().min(94)..]);
            frames.push(padded);
            let mut damaged = shape.frame(1, 2, &pattern(300));
            *damaged.last_mut().expect("octet") ^= 1;
            frames.push(damaged);
            let mut silent = Shape { tcp: false, ..shape }.frame(1, 2, &pattern(300));
            let at = layout(&silent);
            silent[at.transport + 6..at.transport + 8].fill(0); // UDP without a checksum
            frames.push(silent);
        }
    }
    for wire in [WIRES[0], WIRES[3]] {
        let world = world(wire);
        let (near, far) = sockets(&world);
        for (from, to) in [(&near, &far), (&far, &near)] {
            for frame in &frames {
                from.send(Vnet::default(), frame);
                let got = take(to, 1);
                assert_eq!(got, [(Vnet::default(), frame.clone())]);
            }
        }
        world.end();
    }
}

/// An interface carries frames with a tag that are four octets longer than its MTU says: with `mtu auto`, and without
/// fragments, there is room for them. So there is with the pseudowire for frames with tags, whatever is said about
/// fragments; without them nothing is kept free.
fn full_sized_frames_with_a_tag_fit() {
    let settings = ["", "    pseudowire vlan\n"];
    for wire in WIRES {
        let mut mtus = Vec::new();
        for tunnel in ["", "  dont-fragment on\n"] {
            let variants = settings.iter().zip(0..).map(|(text, number)| {
                let mut variant = Variant::new(number, 4 * number as usize, Sublayer::Sequenced);
                variant.settings = (*text).to_owned();
                variant
            });
            let variants = variants.collect();
            let world = World::with(wire, tunnel, variants, false, 1500);
            for variant in &world.variants {
                let open = |name: &str| in_netns(name, || PacketSocket::open(&variant.interface));
                let (near, far) = (open(&world.net.a), open(&world.net.b));
                let mtu = world.mtu(&variant.interface);
                mtus.push(mtu + variant.cookie);
                for tag in [&[][..], &[0x81, 0, 0, 9]] {
                    let mut frame = odd(&[tag, &[0x88, 0xb5]].concat())[..14 + tag.len()].to_vec();
                    frame.extend(pattern(mtu));
                    for (from, to) in [(&near, &far), (&far, &near)] {
                        from.send(Vnet::default(), &frame);
                        let same = take(to, 1) == [(Vnet::default(), frame.clone())];
                        assert!(same, "{} octets, {wire:?} {tunnel:?} {variant:?}", frame.len());
                    }
                }
            }
            world.finish();
        }
        let [plain, vlan, plain_whole, vlan_whole] = mtus[..] else { panic!("{mtus:?}") };
        assert_eq!([vlan, plain_whole, vlan_whole], [plain - 4; 3], "{wire:?}");
    }
}
