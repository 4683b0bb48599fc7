//! Frames from a pseudowire and from an interface: TCP and UDP over IPv4 and IPv6, with tags, options and extension
//! headers, damaged or not. GSO makes segments that hold exactly the payload; what GRO merged GSO gives back octet by
//! octet, in the flow's order; what is data of a session is read within its bounds.

use std::ops::Range;

use l2tpd::frame::fragments::{Outcome, Reassembly};
use l2tpd::frame::gro::{Gro, GroFrame};
use l2tpd::frame::gso::{finish_checksum, SuperFrame};
use l2tpd::frame::mss::{clamp, Limit};
use l2tpd::frame::vnet::{GsoKind, VnetHeader};
use l2tpd::frame::{ethertype, is_ip, packet, tos};
use l2tpd::wire::data::{next_sequence, Part, ReceiveSequence, Sublayer};
use l2tpd::wire::demux::{from_ip, from_udp, Packet};

use crate::dice::Dice;
use crate::rounds::rounds;

fn put16(frame: &mut [u8], at: usize, value: usize) {
    frame[at..at + 2].copy_from_slice(&(value as u16).to_be_bytes());
}

/// What one flow's frames have in common.
struct Flow {
    v6: bool,
    tcp: bool,
    tags: usize,
    options: usize,
    port: u16,
    payload: usize,
}

impl Flow {
    fn new(dice: &mut Dice) -> Flow {
        let payload = *dice.pick(&[1, 8, 100, 536, 1200, 1460]);
        let (v6, tcp) = (dice.one_in(2), !dice.one_in(3));
        Flow { v6, tcp, tags: dice.below(3), options: dice.below(3), port: dice.number(), payload }
    }

    /// The frame `number`, with right lengths and checksums.
    fn frame(&self, dice: &mut Dice, number: usize, payload: usize) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        (0..self.tags).for_each(|_| frame.extend([0x81, 0, 0, 7]));
        frame.extend(if self.v6 { [0x86, 0xdd] } else { [8, 0] });
        let ip = frame.len();
        let options = if self.tcp { 4 * self.options } else { 0 };
        let head = if self.tcp { 20 + options } else { 8 };
        let protocol = if self.tcp { 6 } else { 17 };
        if self.v6 {
            frame.extend([0x60, 0, 0, 0, 0, 0, protocol, 64]);
            frame.extend([0xfd; 32]);
            put16(&mut frame, ip + 4, head + payload);
        } else {
            frame.extend([0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
            put16(&mut frame, ip + 2, 20 + head + payload);
            put16(&mut frame, ip + 4, number);
        }
        let at = frame.len();
        frame.extend(self.port.to_be_bytes());
        frame.extend([0, 80]);
        if self.tcp {
            frame.extend(((number * self.payload) as u32).to_be_bytes());
            let flags = *dice.pick(&[0x10, 0x10, 0x10, 0x10, 0x18, 0x11, 0x02, 0x12]);
            frame.extend([0, 0, 0, 1, (head as u8 / 4) << 4, flags, 1, 0, 0, 0, 0, 0]);
            frame.extend([2, 4, 5, 0xb4, 1, 1, 1, 1].iter().take(options));
        } else {
            frame.extend([0, 0, 0, 0]);
            put16(&mut frame, at + 4, 8 + payload);
        }
        frame.extend((0..payload).map(|n| (n + number) as u8));
        checksums(&mut frame);
        frame
    }
}

/// Fills in the checksums, as the system's own routine would.
fn checksums(frame: &mut [u8]) {
    let Some(packet) = packet::parse(frame) else { return };
    if frame[packet.ip] >> 4 == 4 {
        put16(frame, packet.ip + 10, 0);
        finish_checksum(&mut frame[..packet.transport], packet.ip, 10);
    }
    let offset = if packet.protocol == 6 { 16 } else { 6 };
    let length = frame.len() - packet.transport;
    let pseudo = packet.pseudo_sum(frame, length);
    put16(frame, packet.transport + offset, usize::from(pseudo));
    finish_checksum(frame, packet.transport, offset);
}

/// The segments of what came out of GRO, each a whole frame.
fn segments(vnet: &VnetHeader, frame: &[u8]) -> Vec<Vec<u8>> {
    let Some(super_frame) = SuperFrame::new(frame, vnet) else { return vec![frame.to_vec()] };
    let mut out = Vec::new();
    for at in 0..super_frame.segments() {
        let mut segment = vec![0; super_frame.header_length()];
        let payload = super_frame.write_segment(frame, at, &mut segment).expect("a segment of this frame");
        segment.extend(&frame[payload]);
        out.push(segment);
    }
    out
}

/// A batch through GRO and back through GSO: the same frames; those of one flow in their order.
fn there_and_back(dice: &mut Dice) -> usize {
    let flows: Vec<Flow> = (0..1 + dice.below(3)).map(|_| Flow::new(dice)).collect();
    let mut buffer = Vec::new();
    let mut sent: Vec<(Range<usize>, Vec<u8>)> = Vec::new();
    for number in 0..1 + dice.below(20) {
        let flow = dice.pick(&flows);
        let payload = if dice.one_in(8) { dice.below(flow.payload + 1) } else { flow.payload };
        let mut frame = flow.frame(dice, number, payload);
        if dice.one_in(6) {
            dice.damage(&mut frame);
        }
        let start = buffer.len();
        buffer.extend(&frame);
        sent.push((start..buffer.len(), frame));
    }
    let mut came: Vec<Vec<u8>> = Vec::new();
    let mut gro = Gro::default();
    let mut output = |out: &GroFrame<'_>, buffer: &[u8]| {
        let frame: Vec<u8> = out.pieces.iter().flat_map(|piece| buffer[piece.clone()].to_vec()).collect();
        let vnet = VnetHeader::from_octets(out.vnet);
        let pieces = if out.frames > 1 { segments(&vnet, &frame) } else { vec![frame] };
        assert_eq!(pieces.len(), out.frames);
        assert_eq!(pieces.iter().map(Vec::len).sum::<usize>(), out.octets);
        came.extend(pieces);
    };
    let udp = dice.one_in(2);
    for (range, _) in &sent {
        gro.push(&mut buffer, 0, range.clone(), udp, &mut output);
    }
    gro.flush(&mut buffer, &mut output);
    let mut before: Vec<&Vec<u8>> = sent.iter().map(|(_, frame)| frame).collect();
    let mut after: Vec<&Vec<u8>> = came.iter().collect();
    before.sort();
    after.sort();
    assert!(before == after, "GRO and GSO do not give back what came:\n{before:02x?}\n{after:02x?}");
    sent.len()
}

/// A super-frame as the system hands it over, with a header that may be wrong.
fn cut(dice: &mut Dice) {
    let flow = Flow::new(dice);
    let size = dice.below(9000);
    let mut frame = flow.frame(dice, 0, size);
    if dice.one_in(3) {
        dice.damage(&mut frame);
    }
    let kind = match (flow.tcp, flow.v6) {
        _ if dice.one_in(10) => GsoKind::Udp,
        (true, false) => GsoKind::Tcp4,
        (true, true) => GsoKind::Tcp6,
        (false, _) => GsoKind::Udp,
    };
    let gso_size = if dice.one_in(10) { usize::from(dice.number()) } else { flow.payload };
    let vnet = VnetHeader { gso: Some((kind, gso_size)), ..VnetHeader::default() };
    if let Some(super_frame) = SuperFrame::new(&frame, &vnet) {
        let header = super_frame.header_length();
        let pieces = segments(&vnet, &frame);
        let joined: Vec<u8> = pieces.iter().flat_map(|piece| piece[header..].to_vec()).collect();
        assert!(joined == frame[header..], "the payload is another one");
    }
    let limit = if dice.one_in(2) { Limit::Mtu(dice.below(2000)) } else { Limit::Octets(dice.number()) };
    let length = frame.len();
    clamp(&mut frame, limit, dice.one_in(2));
    assert_eq!(frame.len(), length);
    let (start, offset) = (dice.below(80), dice.below(40));
    finish_checksum(&mut frame, start, offset);
    let _ = (ethertype(&frame), is_ip(&frame), tos(&frame));
}

/// A data message, over IP and over UDP.
fn data(dice: &mut Dice, sequence: &mut ReceiveSequence) {
    let mut octets = vec![0, 3, 0, 0, 0, 0, 0, dice.below(3) as u8];
    let more = dice.below(30);
    octets.extend(dice.octets(more));
    if dice.one_in(2) {
        dice.damage(&mut octets);
    }
    for packet in [from_ip(&octets), from_udp(&octets)] {
        let (Packet::Data(rest) | Packet::Control(rest)) = packet else { continue };
        assert!(rest.len() <= octets.len());
        if let Some(sublayer) = rest.first_chunk() {
            sequence.accept(Sublayer::from_octets(*sublayer).sequence);
        }
    }
}

/// Fragments in whatever order, against what is simple: each frame is that of fragments that followed each other.
fn fragments(dice: &mut Dice) {
    let (mut reassembly, mut now) = (Reassembly::default(), l2tpd::sys::clock::now());
    let mut run: Option<(u32, Vec<u8>)> = None;
    let (mut number, mut given, mut useless) = (dice.below(1 << 24) as u32, 0, 0);
    let mut in_frames = 0;
    let mut count_of_run = 0;
    for _ in 0..200 {
        number = if dice.one_in(10) { dice.below(1 << 24) as u32 } else { next_sequence(number) };
        let part = [Part::First, Part::Middle, Part::Middle, Part::Last][dice.below(4)];
        let length = 1 + dice.below(40);
        let octets = dice.octets(length);
        now += std::time::Duration::from_millis(if dice.one_in(50) { 1000 } else { 1 });
        run = match (part, run.take().filter(|(next, _)| *next == number)) {
            (Part::First, _) => {
                count_of_run = 1;
                Some((next_sequence(number), octets.clone()))
            }
            (_, Some((_, mut all))) => {
                count_of_run += 1;
                all.extend(&octets);
                Some((next_sequence(number), all))
            }
            (_, None) => None,
        };
        let (outcome, lost) = reassembly.push(now, (part, number), &octets, 200);
        given += 1;
        useless += lost + u64::from(outcome == Outcome::Useless);
        if outcome == Outcome::Complete {
            let frame = reassembly.take();
            assert!(frame.len() <= 200);
            assert_eq!(run.take().map(|(_, all)| all), Some(frame.clone()));
            in_frames += count_of_run;
            reassembly.restore(frame);
        }
    }
    assert_eq!(useless + in_frames + reassembly.clear(), given, "each fragment is counted once");
}

#[test]
fn frames_1() {
    frames(7_000_000);
}

#[test]
fn frames_2() {
    frames(7_000_333);
}

fn frames(seed: u64) {
    rounds(1_000_000, seed, |dice| {
        let mut sequence = ReceiveSequence::default();
        let mut count = 0;
        while count < 3000 {
            count += there_and_back(dice);
            cut(dice);
            data(dice, &mut sequence);
            fragments(dice);
            count += 3;
        }
        count
    });
}
