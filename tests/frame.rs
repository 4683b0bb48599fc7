//! GSO and GRO, with random packets: what leaves has right checksums by an independent routine, and merging, then
//! segmenting again, gives back the same octets.

#[path = "support/dice.rs"]
mod dice;

use std::collections::HashMap;
use std::ops::Range;

use l2tpd::frame::gro::{Gro, GroFrame};
use l2tpd::frame::gso::{finish_checksum, SuperFrame};
use l2tpd::frame::vnet::{GsoKind, VnetHeader};
use l2tpd::frame::{ethertype, packet};

use dice::Dice;

/// RFC 1071, word by word.
fn naive_sum(octets: &[u8]) -> u16 {
    let mut total = 0u32;
    for pair in octets.chunks(2) {
        total += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        total = (total & 0xffff) + (total >> 16);
    }
    total as u16
}

fn put16(frame: &mut [u8], at: usize, value: u16) {
    frame[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

fn get16(frame: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([frame[at], frame[at + 1]])
}

/// What a test packet is made of.
#[derive(Clone, Debug)]
struct Shape {
    v6: bool,
    tcp: bool,
    tags: usize,
    /// IPv4 options or an IPv6 extension header.
    options: bool,
    tcp_options: usize,
    port: u16,
}

impl Shape {
    fn random(dice: &mut Dice) -> Shape {
        Shape {
            v6: dice.one_in(2),
            tcp: !dice.one_in(3),
            tags: dice.below(3),
            options: dice.one_in(3),
            tcp_options: 4 * dice.below(6),
            port: 1000 + dice.below(3) as u16,
        }
    }

    fn ip(&self) -> usize {
        14 + 4 * self.tags
    }

    fn transport(&self) -> usize {
        self.ip() + if self.v6 { 40 } else { 20 } + if self.options { 8 } else { 0 }
    }

    fn header(&self) -> usize {
        self.transport() + if self.tcp { 20 + self.tcp_options } else { 8 }
    }

    /// A complete frame.
    fn build(&self, id: u16, sequence: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![2; 12];
        for tag in 0..self.tags {
            frame.extend([if tag == 0 && self.tags == 2 { 0x88 } else { 0x81 }, 0, 0, 5]);
            if tag == 0 && self.tags == 2 {
                let at = frame.len() - 3;
                frame[at] = 0xa8;
            }
        }
        let protocol = if self.tcp { 6 } else { 17 };
        let next = if self.options { 60 } else { protocol };
        let length = self.header() - self.transport() + payload.len();
        let options = self.transport() - self.ip() - if self.v6 { 40 } else { 20 };
        if self.v6 {
            frame.extend([0x86, 0xdd, 0x60, 3, 2, 1, 0, 0, next, 61]);
            frame.extend([0xfd; 32]);
            if self.options {
                frame.extend([protocol, 0, 1, 4, 0, 0, 0, 0]);
            }
            put16(&mut frame, self.ip() + 4, (length + options) as u16);
        } else {
            frame.extend([8, 0, 0x45 + (options / 4) as u8, 0xb8, 0, 0, 0, 0, 0x40, 0, 63, protocol, 0, 0]);
            frame.extend([10, 0, 0, 1, 10, 0, 0, 2]);
            if self.options {
                frame.extend([1; 8]);
            }
            put16(&mut frame, self.ip() + 2, (20 + options + length) as u16);
            put16(&mut frame, self.ip() + 4, id);
            let sum = !naive_sum(&frame[self.ip()..]);
            put16(&mut frame, self.ip() + 10, sum);
        }
        frame.extend(self.port.to_be_bytes());
        frame.extend([0, 80]);
        if self.tcp {
            frame.extend(sequence.to_be_bytes());
            frame.extend([1, 2, 3, 4, ((20 + self.tcp_options) as u8 / 4) << 4, flags, 9, 9, 0, 0, 0, 0]);
            frame.extend(vec![1; self.tcp_options]);
        } else {
            frame.extend((length as u16).to_be_bytes());
            frame.extend([0, 0]);
        }
        frame.extend(payload);
        let field = self.transport() + if self.tcp { 16 } else { 6 };
        let value = match !transport_sum(&frame, self.transport(), self.v6, self.ip(), protocol) {
            0 => 0xffff,
            value => value,
        };
        put16(&mut frame, field, value);
        frame
    }
}

fn pseudo(frame: &[u8], v6: bool, ip: usize, protocol: u8, length: usize) -> Vec<u8> {
    let mut octets = if v6 { frame[ip + 8..ip + 40].to_vec() } else { frame[ip + 12..ip + 20].to_vec() };
    octets.extend([0, protocol]);
    octets.extend((length as u16).to_be_bytes());
    octets
}

fn transport_sum(frame: &[u8], transport: usize, v6: bool, ip: usize, protocol: u8) -> u16 {
    let mut octets = pseudo(frame, v6, ip, protocol, frame.len() - transport);
    octets.extend(&frame[transport..]);
    naive_sum(&octets)
}

/// All lengths and checksums of a complete frame.
fn assert_valid(frame: &[u8], shape: &Shape) {
    let (ip, transport) = (shape.ip(), shape.transport());
    if shape.v6 {
        assert_eq!(usize::from(get16(frame, ip + 4)), frame.len() - ip - 40);
    } else {
        assert_eq!(usize::from(get16(frame, ip + 2)), frame.len() - ip);
        assert_eq!(naive_sum(&frame[ip..transport]), 0xffff, "IP header");
    }
    if !shape.tcp {
        assert_eq!(usize::from(get16(frame, transport + 4)), frame.len() - transport);
        assert_ne!(get16(frame, transport + 6), 0);
    }
    let protocol = if shape.tcp { 6 } else { 17 };
    assert_eq!(transport_sum(frame, transport, shape.v6, ip, protocol), 0xffff, "transport {shape:?}");
}

fn segments(frame: &[u8], vnet: &VnetHeader) -> Option<Vec<Vec<u8>>> {
    let super_frame = SuperFrame::new(frame, vnet)?;
    let mut frames = Vec::new();
    for at in 0..super_frame.segments() {
        let mut octets = vec![0; super_frame.header_length()];
        let payload = super_frame.write_segment(frame, at, &mut octets)?;
        octets.extend(&frame[payload]);
        frames.push(octets);
    }
    Some(frames)
}

/// The super-frame as the kernel hands it over: lengths of the whole, the pseudo-header's sum as checksum.
fn super_frame(shape: &Shape, flags: u8, payload: &[u8], size: usize) -> (Vec<u8>, VnetHeader) {
    let mut frame = shape.build(0xfffe, 0xffff_fff0, flags, payload);
    let (protocol, offset) = if shape.tcp { (6, 16) } else { (17, 6) };
    let length = frame.len() - shape.transport();
    let sum = naive_sum(&pseudo(&frame, shape.v6, shape.ip(), protocol, length));
    put16(&mut frame, shape.transport() + offset, sum);
    let kind = match (shape.tcp, shape.v6) {
        (true, false) => GsoKind::Tcp4,
        (true, true) => GsoKind::Tcp6,
        (false, _) => GsoKind::Udp,
    };
    let checksum = Some((shape.transport(), offset));
    (frame, VnetHeader { checksum, gso: Some((kind, size)), headers: shape.header() })
}

#[test]
fn segments_are_what_they_should_be() {
    let mut dice = Dice(1);
    for _ in 0..600 {
        let shape = Shape::random(&mut dice);
        let size = 1 + dice.below(1500);
        let count = 1 + dice.below(60_000.min(size * 90));
        let payload = dice.octets(count);
        // CWR, PSH, ACK, FIN
        let (frame, vnet) = super_frame(&shape, 0x99, &payload, size);
        let frames = segments(&frame, &vnet).unwrap_or_else(|| panic!("{shape:?} {size}"));
        assert_eq!(frames.len(), payload.len().div_ceil(size));
        let (ip, transport, header) = (shape.ip(), shape.transport(), shape.header());
        let mut merged: Vec<u8> = Vec::new();
        for (at, segment) in frames.iter().enumerate() {
            assert_valid(segment, &shape);
            assert_eq!(segment[..ip], frame[..ip]);
            let (first, last) = (at == 0, at + 1 == frames.len());
            if !shape.v6 {
                assert_eq!(get16(segment, ip + 4), 0xfffeu16.wrapping_add(at as u16));
                assert_eq!(segment[ip + 20..transport], frame[ip + 20..transport], "options");
            } else {
                assert_eq!(segment[ip + 40..transport], frame[ip + 40..transport], "extension header");
            }
            if shape.tcp {
                let sequence = u32::from_be_bytes(segment[transport + 4..transport + 8].try_into().unwrap());
                assert_eq!(sequence, 0xffff_fff0u32.wrapping_add(merged.len() as u32));
                let flags = 0x10 | if first { 0x80 } else { 0 } | if last { 0x09 } else { 0 };
                assert_eq!(segment[transport + 13], flags, "{at} of {}", frames.len());
                assert_eq!(segment[transport + 20..header], frame[transport + 20..header]);
            }
            assert!(last || segment.len() - header == size);
            merged.extend(&segment[header..]);
        }
        assert!(merged == payload);
    }
}

#[test]
fn a_left_out_checksum_is_filled_in() {
    let mut dice = Dice(2);
    for round in 0..400 {
        let shape = Shape::random(&mut dice);
        let count = dice.below(1400);
        let mut payload = dice.octets(count);
        if round % 4 == 0 {
            payload = vec![0; count];
        }
        let (mut frame, vnet) = super_frame(&shape, 0x18, &payload, 1);
        let (start, offset) = vnet.checksum.unwrap();
        assert!(finish_checksum(&mut frame, start, offset));
        assert_valid(&frame, &shape);
        let end = frame.len();
        assert!(!finish_checksum(&mut frame, end - 1, offset));
        assert!(!finish_checksum(&mut frame, end + 5, offset));
    }
}

/// Nothing that a virtio header may say makes it panic, or give frames longer than an IP packet can be.
#[test]
fn wrong_super_frames_are_refused() {
    let mut dice = Dice(3);
    let (mut segmented, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let shape = Shape::random(&mut dice);
        let count = dice.below(300);
        let payload = dice.octets(count);
        let (mut frame, mut vnet) = super_frame(&shape, 0x10, &payload, 100);
        let at = 12 + dice.below(frame.len() - 12);
        frame[at] = dice.below(256) as u8;
        frame.truncate(dice.below(frame.len() + 1).max(1));
        vnet.gso = Some((
            [GsoKind::Tcp4, GsoKind::Tcp6, GsoKind::Udp, GsoKind::Unknown][dice.below(4)],
            dice.below(120),
        ));
        match segments(&frame, &vnet) {
            Some(frames) => {
                segmented += 1;
                assert!(frames.iter().all(|f| f.len() <= frame.len()));
            }
            None => refused += 1,
        }
    }
    assert!(segmented > 100 && refused > 1000, "{segmented} {refused}");
}

/// Frames in a buffer, each at its own place.
#[derive(Default)]
struct Buffer {
    octets: Vec<u8>,
    frames: Vec<Range<usize>>,
}

impl Buffer {
    fn add(&mut self, frame: &[u8]) {
        self.octets.extend([0xaa; 12]);
        let start = self.octets.len();
        self.octets.extend(frame);
        self.frames.push(start..self.octets.len());
    }
}

/// What the interface gets: frames with their virtio headers.
fn merge(buffer: &mut Buffer) -> Vec<(Vec<u8>, VnetHeader, usize)> {
    let mut gro = Gro::default();
    let mut out = Vec::new();
    let mut output = |merged: &GroFrame<'_>, octets: &[u8]| {
        let frame: Vec<u8> = merged.pieces.iter().flat_map(|p| octets[p.clone()].to_vec()).collect();
        out.push((frame, VnetHeader::from_octets(merged.vnet), merged.frames));
    };
    for range in buffer.frames.clone() {
        gro.push(&mut buffer.octets, 0, range, true, &mut output);
    }
    gro.flush(&mut buffer.octets, &mut output);
    out
}

/// Segments what was merged.
fn again(out: &[(Vec<u8>, VnetHeader, usize)]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for (frame, vnet, count) in out {
        match vnet.gso {
            Some(_) => {
                let again = segments(frame, vnet).unwrap();
                assert_eq!(again.len(), *count);
                frames.extend(again);
            }
            None => frames.push(frame.clone()),
        }
    }
    frames
}

#[test]
fn bulk_is_merged_and_segmented_again_the_same() {
    let mut dice = Dice(4);
    for _ in 0..200 {
        let mut shape = Shape::random(&mut dice);
        shape.options = false;
        let size = 1 + dice.below(900);
        let count = size * (2 + dice.below(60)) + dice.below(size);
        let payload = dice.octets(count);
        let (whole, vnet) = super_frame(&shape, 0x18, &payload, size);
        let frames = segments(&whole, &vnet).unwrap();
        let mut buffer = Buffer::default();
        frames.iter().for_each(|f| buffer.add(f));
        let out = merge(&mut buffer);
        assert_eq!(out.len(), 1, "{shape:?} {size} {count}");
        assert!(out[0].0 == whole, "the super-frame itself");
        assert_eq!(out[0].1, vnet);
        assert!(again(&out) == frames);
    }
}

/// One of the things that must not be lost by merging.
fn disturb(dice: &mut Dice, frame: &mut Vec<u8>, shape: &Shape) {
    let (ip, transport) = (shape.ip(), shape.transport());
    frame.resize(frame.len().max(transport + 20), 0);
    match dice.below(9) {
        0 => frame.extend([0; 6]),
        1 => frame[ip + 1] ^= 1,
        2 => frame[transport + 13] ^= 1 << dice.below(8),
        3 => frame[transport + 15] ^= 0xff,
        4 => frame[ip + 6] ^= 0x20,
        5 => frame[ip + 7] ^= 3,
        6 => frame.truncate(frame.len() - 1),
        7 => frame[3] ^= 1,
        _ => {
            let at = 12 + dice.below(frame.len() - 12);
            frame[at] ^= 1 << dice.below(8);
        }
    }
}

/// Several flows, gaps, wrong checksums, padding, fragments, flags: every octet comes out, in order in each flow.
#[test]
fn whatever_comes_goes_out_unchanged_and_in_order() {
    let mut dice = Dice(5);
    let mut merged = 0;
    for _ in 0..400 {
        let mut flows: Vec<(Shape, u32, u16)> = (0..1 + dice.below(20))
            .map(|_| (Shape::random(&mut dice), dice.below(1 << 30) as u32, 7))
            .collect();
        let mut buffer = Buffer::default();
        let mut sent = Vec::new();
        for _ in 0..64 {
            let at = dice.below(flows.len());
            let (shape, sequence, id) = &mut flows[at];
            shape.options &= dice.one_in(3);
            let length = if dice.one_in(6) { dice.below(100) } else { 100 };
            let payload = dice.octets(length);
            let flags = if dice.one_in(8) { 0x18 } else { 0x10 };
            let mut frame = shape.build(*id, *sequence, flags, &payload);
            if dice.one_in(6) {
                disturb(&mut dice, &mut frame, shape);
            }
            *sequence = sequence.wrapping_add(length as u32);
            *id = id.wrapping_add(1);
            sent.push(frame);
        }
        sent.iter().for_each(|f| buffer.add(f));
        let out = merge(&mut buffer);
        merged += out.iter().filter(|o| o.2 > 1).count();
        let received = again(&out);
        assert_eq!(received.len(), sent.len());
        assert!(by_flow(&received) == by_flow(&sent));
    }
    assert!(merged > 500, "{merged}");
}

/// The frames of each flow in their order.
fn by_flow(frames: &[Vec<u8>]) -> HashMap<Vec<u8>, Vec<Vec<u8>>> {
    let mut flows: HashMap<Vec<u8>, Vec<Vec<u8>>> = HashMap::new();
    for frame in frames {
        let key = match packet::parse(frame) {
            Some(p) if !p.is_fragment => {
                let mut key = p.addresses(frame).to_vec();
                key.push(p.protocol);
                key.extend(p.ports(frame));
                key
            }
            _ => format!("{:?}", ethertype(frame)).into_bytes(),
        };
        flows.entry(key).or_default().push(frame.clone());
    }
    flows
}

/// RFC 793 says nothing of more than 64 frames or 64 KB in one: the limits hold.
#[test]
fn limits_hold() {
    let shape = Shape { v6: false, tcp: true, tags: 1, options: false, tcp_options: 12, port: 9 };
    for (size, count, expected) in [(10, 100, vec![64, 36]), (4000, 20, vec![16, 4])] {
        let mut buffer = Buffer::default();
        for at in 0..count {
            buffer.add(&shape.build(at as u16, (at * size) as u32, 0x10, &vec![at as u8; size]));
        }
        let out = merge(&mut buffer);
        assert_eq!(out.iter().map(|o| o.2).collect::<Vec<_>>(), expected);
        assert!(out.iter().all(|o| o.0.len() <= 65_535 + 18));
    }
}
