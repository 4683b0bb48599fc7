//! Frames and super-frames of all kinds, compared octet by octet at the other end: what is cut on the way must be
//! what a network card would have made of it, and what is joined must be the same frames when it is cut again. Each
//! flow keeps its order.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::build::{other, Flow, SOURCE};
use crate::dice::Dice;
use crate::expand::expand;
use crate::packet::{PacketSocket, Vnet};
use crate::sys::in_netns;
use crate::tests;
use crate::wait::PATIENCE;
use crate::world::{Sublayer, Variant, Wire, World, WIRES};

tests!(
    frames_from_the_reference,
    frames_to_the_reference,
    frames_between_daemons,
    super_frames_to_the_reference,
    super_frames_between_daemons,
    long_frames_over_a_short_path,
    frames_of_every_length,
);

/// Frames of each flow (by its number), in order.
type Flows = BTreeMap<u16, Vec<Vec<u8>>>;

/// The flow that a frame belongs to, if it is one of ours.
fn flow_of(frame: &[u8]) -> Option<u16> {
    (frame.get(6..10)? == SOURCE).then(|| u16::from_be_bytes([frame[10], frame[11]]))
}

fn count(flows: &Flows) -> usize {
    flows.values().map(Vec::len).sum()
}

/// Which way the frames go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Forth,
    Back,
}

/// Sends bursts and compares what comes out. A burst: the frames or super-frames to send.
fn bursts(world: &World, way: Way, mut burst: impl FnMut(usize) -> Vec<(Vnet, Vec<u8>)>, rounds: usize) {
    let interface = &world.variants[0].interface;
    let (from, to) = match way {
        Way::Forth => (&world.net.a, &world.net.b),
        Way::Back => (&world.net.b, &world.net.a),
    };
    let sender = in_netns(from, || PacketSocket::open(interface));
    let receiver = in_netns(to, || PacketSocket::open(interface));
    for round in 0..rounds {
        let frames = burst(round);
        let mut sent = Flows::new();
        for (vnet, frame) in &frames {
            let flow = flow_of(frame).expect("one of ours");
            sent.entry(flow).or_default().extend(expand(*vnet, frame));
        }
        frames.iter().for_each(|(vnet, frame)| sender.send(*vnet, frame));
        let mut received = Flows::new();
        let deadline = Instant::now() + PATIENCE;
        while count(&received) < count(&sent) {
            let Some((vnet, frame)) = receiver.receive(deadline) else { break };
            if let Some(flow) = flow_of(&frame) {
                received.entry(flow).or_default().extend(expand(vnet, &frame));
            }
        }
        compare(round, &sent, &received);
    }
}

#[track_caller]
fn compare(round: usize, sent: &Flows, received: &Flows) {
    for (flow, sent) in sent {
        let received = received.get(flow).map(Vec::as_slice).unwrap_or_default();
        let same = sent.iter().zip(received).take_while(|(sent, received)| sent == received).count();
        if same == sent.len().max(received.len()) {
            continue;
        }
        let show = |frame: Option<&Vec<u8>>| match frame {
            Some(frame) => format!("{} octets: {:02x?}", frame.len(), &frame[..frame.len().min(90)]),
            None => "nothing".to_owned(),
        };
        panic!(
            "round {round}, flow {flow}: {} frames sent, {} received; frame {same} was\n{}\nand came as\n{}",
            sent.len(),
            received.len(),
            show(sent.get(same)),
            show(received.get(same)),
        );
    }
}

/// Bursts of frames from a few flows, most of them in a row, and of other kinds between them.
fn frame_bursts(seed: u64, mtu: usize) -> impl FnMut(usize) -> Vec<(Vnet, Vec<u8>)> {
    let mut random = Dice(seed);
    move |_| {
        let random = &mut random;
        let mut flows: Vec<Flow> = (0..6).map(|number| Flow::new(random, number, mtu)).collect();
        let mut frames = Vec::new();
        while frames.len() < 200 {
            if random.one_in(8) {
                frames.push(other(random, 100, mtu));
                continue;
            }
            let at = random.below(flows.len());
            for _ in 0..1 + random.below(20) {
                frames.push(flows[at].next(random));
            }
        }
        frames.into_iter().map(|frame| (Vnet::default(), frame)).collect()
    }
}

/// Bursts of super-frames, and of frames that only lack their checksum.
fn super_bursts(seed: u64, mtu: usize) -> impl FnMut(usize) -> Vec<(Vnet, Vec<u8>)> {
    let mut random = Dice(seed);
    move |_| {
        let mut flows: Vec<Flow> = (0..6).map(|number| Flow::new(&mut random, number, mtu)).collect();
        (0..12)
            .map(|_| {
                let at = random.below(flows.len());
                flows[at].next_super(&mut random)
            })
            .collect()
    }
}

fn world(wire: Wire, naive: bool) -> World {
    World::new(wire, vec![Variant::new(0, 8, Sublayer::Sequenced)], naive, 1500)
}

/// The daemon joins what comes.
fn frames_from_the_reference() {
    for (wire, seed) in WIRES.into_iter().zip(1..) {
        let world = world(wire, true);
        let mtu = world.mtu("pw0");
        bursts(&world, Way::Back, frame_bursts(seed, mtu), 40);
        assert!(world.counter("rx_coalesced") > 100, "nothing is joined");
        world.end();
    }
}

fn frames_to_the_reference() {
    for (wire, seed) in WIRES.into_iter().zip(11..) {
        let world = world(wire, true);
        let mtu = world.mtu("pw0");
        bursts(&world, Way::Forth, frame_bursts(seed, mtu), 20);
        world.end();
    }
}

fn frames_between_daemons() {
    for (wire, seed) in WIRES.into_iter().zip(21..) {
        let world = world(wire, false);
        let mtu = world.mtu("pw0");
        bursts(&world, Way::Forth, frame_bursts(seed, mtu), 40);
        world.end();
    }
}

/// The daemon cuts what the system hands over.
fn super_frames_to_the_reference() {
    for (wire, seed) in WIRES.into_iter().zip(31..) {
        let world = world(wire, true);
        let mtu = world.mtu("pw0");
        bursts(&world, Way::Forth, super_bursts(seed, mtu), 40);
        assert!(world.counter("tx_segmented") > 100, "nothing is cut");
        world.end();
    }
}

fn super_frames_between_daemons() {
    for (wire, seed) in WIRES.into_iter().zip(41..) {
        let world = world(wire, false);
        let mtu = world.mtu("pw0");
        bursts(&world, Way::Forth, super_bursts(seed, mtu), 40);
        assert!(world.counter("tx_segmented") > 100, "nothing is cut");
        world.end();
    }
}

/// Outer packets in fragments: nothing may be lost or changed, whatever the batches look like.
fn long_frames_over_a_short_path() {
    for (wire, seed) in WIRES.into_iter().zip(51_u64..) {
        for mtu in [1500, 4000] {
            let mut variant = Variant::new(0, 4, Sublayer::Default);
            variant.settings = format!("    mtu {mtu}\n");
            let world = World::new(wire, vec![variant], true, 1500);
            let seed = seed + 100 * mtu as u64;
            bursts(&world, Way::Forth, frame_bursts(seed, mtu), 6);
            bursts(&world, Way::Back, frame_bursts(seed, mtu), 6);
            bursts(&world, Way::Forth, super_bursts(seed, mtu), 10);
            world.end();
        }
    }
}

/// One frame of each length that the interface takes, from a header without anything after it on.
fn frames_of_every_length() {
    for wire in [WIRES[0], WIRES[1]] {
        let world = world(wire, true);
        let longest = world.mtu("pw0") + 14;
        for way in [Way::Forth, Way::Back] {
            let burst = |round: usize| {
                let lengths = (14 + 250 * round..=longest).take(250);
                let mut frames = Vec::new();
                for length in lengths {
                    let mut frame = vec![2, 0, 0, 0, 0, 0x99];
                    frame.extend(SOURCE);
                    frame.extend([0, 1, 0x88, 0xb5]);
                    frame.extend((14..length).map(|at| (at * 7 + length) as u8));
                    frames.push((Vnet::default(), frame));
                }
                frames
            };
            bursts(&world, way, burst, longest.div_ceil(250));
        }
        world.end();
    }
}
