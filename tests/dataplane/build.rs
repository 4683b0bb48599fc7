//! Frames for the tests: flows of TCP and UDP with every header that may be in the way, and frames that are none of
//! these. All of it follows from the seed.

use crate::dice::Dice;
use crate::expand::{finish_ip, finish_transport, layout, leave_checksum};
use crate::packet::{Vnet, TCP4, TCP6, UDP};

/// The first octets of each flow's source address; the last two are its number.
pub const SOURCE: [u8; 4] = [2, 0xf7, 0x11, 0x95];

/// A flow: the headers that all its frames share.
pub struct Flow {
    number: u16,
    tags: Vec<u8>,
    v6: bool,
    tcp: bool,
    /// IPv4 options or IPv6 extension headers.
    options: Vec<u8>,
    first_extension: u8,
    tcp_options: Vec<u8>,
    dont_fragment: bool,
    /// How the IPv4 identification goes on: 0, 1 or anything.
    id_step: usize,
    id: u16,
    sequence: u32,
    size: usize,
    ports: Vec<u8>,
    /// Octets of the longest frame.
    longest: usize,
}

impl Flow {
    /// Flow `number`, with frames of at most `mtu` octets after the Ethernet header.
    pub fn new(random: &mut Dice, number: u16, mtu: usize) -> Flow {
        let v6 = random.one_in(2);
        let tcp = !random.one_in(3);
        let protocol = if tcp { 6 } else { 17 };
        let tags: &[u8] =
            [&[][..], &[], &[], &[0x81, 0, 0x60, 9], &[0x88, 0xa8, 0, 5, 0x81, 0, 0, 7]][random.below(5)];
        let v4_options: &[u8] =
            [&[][..], &[], &[], &[1, 1, 1, 0], &[0x94, 4, 0, 0, 1, 1, 1, 0]][random.below(5)];
        // Hop-by-hop or destination options (padding), a routing header before destination options.
        let (first_extension, v6_options) = match random.below(6) {
            0 => (0, vec![protocol, 0, 1, 4, 0, 0, 0, 0]),
            1 => (60, vec![protocol, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            2 => (43, vec![60, 0, 4, 0, 0, 0, 0, 0, protocol, 0, 1, 4, 0, 0, 0, 0]),
            _ => (protocol, Vec::new()),
        };
        let tcp_options: &[u8] =
            [&[][..], &[1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8], &[1, 1, 5, 10, 0, 0, 0, 9, 0, 0, 0, 12]]
                [random.below(3)];
        let options = if v6 { v6_options } else { v4_options.to_vec() };
        let headers = tags.len() + if v6 { 40 } else { 20 } + options.len() + 20 + tcp_options.len();
        Flow {
            number,
            tags: tags.to_vec(),
            v6,
            tcp,
            options,
            first_extension,
            tcp_options: tcp_options.to_vec(),
            dont_fragment: random.one_in(2),
            id_step: [1, 1, 1, 0, 7][random.below(5)],
            id: random.next() as u16,
            sequence: random.next() as u32,
            size: [mtu - headers, mtu - headers, 1 + random.below(mtu - headers), 1 + random.below(40)]
                [random.below(4)],
            ports: random.octets(4),
            longest: mtu + 14,
        }
    }

    /// Headers up to the transport header's end, lengths and checksums still missing.
    fn headers(&self, random: &mut Dice) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 0x99];
        frame.extend(SOURCE);
        frame.extend(self.number.to_be_bytes());
        frame.extend(&self.tags);
        let last = self.number as u8;
        if self.v6 {
            frame.extend([0x86, 0xdd, 0x60, last & 3, 0, last, 0, 0, self.first_extension, 64]);
            for host in [1, 2] {
                frame.extend([0x20, 1, 0xd, 0xb8, 9, 9, 0, 0, 0, 0, 0, 0, 0, last, 0, host]);
            }
        } else {
            let length = 5 + (self.options.len() / 4) as u8;
            let protocol = if self.tcp { 6 } else { 17 };
            frame.extend([8, 0, 0x40 | length, last & 0xfc, 0, 0]);
            frame.extend(self.id.to_be_bytes());
            frame.extend([if self.dont_fragment { 0x40 } else { 0 }, 0, 63, protocol, 0, 0]);
            frame.extend([10, 200, last, 1, 10, 200, last, 2]);
        }
        frame.extend(&self.options);
        frame.extend(&self.ports);
        if self.tcp {
            let flags = match random.below(20) {
                0 => 0x18,
                1 => 0x11,
                2 => 0x90,
                3 => 0x30,
                4 => 0x50,
                5 => 0x14,
                _ => 0x10,
            };
            let mut acknowledged = 0x0102_0304_u32;
            if random.one_in(30) {
                acknowledged += 1;
            }
            frame.extend(self.sequence.to_be_bytes());
            frame.extend(acknowledged.to_be_bytes());
            frame.extend([0x50 + 4 * self.tcp_options.len() as u8, flags, 3, 4, 0, 0, 0, 0]);
            frame.extend(&self.tcp_options);
        } else {
            frame.extend([0; 4]);
        }
        frame
    }

    fn step(&mut self, random: &mut Dice, payload: usize, frames: usize) {
        self.sequence = self.sequence.wrapping_add(payload as u32);
        if random.one_in(25) {
            self.sequence = self.sequence.wrapping_sub(self.size as u32); // a retransmission comes
        }
        let step = if self.id_step == 7 { random.below(5) } else { self.id_step * frames };
        self.id = self.id.wrapping_add(step as u16);
    }

    /// The next frame as it would be on a wire; now and then one that is damaged or unusual.
    pub fn next(&mut self, random: &mut Dice) -> Vec<u8> {
        let payload = match random.below(12) {
            0 => random.below(self.size + 1),
            1 => 0,
            _ => self.size,
        };
        let mut frame = self.headers(random);
        frame.extend(random.octets(payload));
        let at = layout(&frame);
        finish_ip(&mut frame, at);
        finish_transport(&mut frame, at);
        self.step(random, payload, 1);
        match random.below(40) {
            0 => *frame.last_mut().expect("octet") ^= 1, // a wrong checksum
            1 if !self.v6 => frame[at.ip + 11] ^= 1,     // a wrong header checksum
            2 => {
                // Something after the packet.
                let most = (self.longest - frame.len()).min(9);
                let count = random.below(most + 1);
                frame.extend(random.octets(count));
            }
            3 => frame.truncate(frame.len() - 1 - random.below(5)), // shorter than it says
            4 if !self.tcp => frame[at.transport + 6..at.transport + 8].fill(0), // no checksum
            5 if !self.v6 => {
                frame[at.ip + 6] = 0x20; // a fragment
                finish_header_sum(&mut frame, at.ip, at.transport);
            }
            6 if !self.v6 => {
                frame[at.ip + 8] = 1 + random.below(200) as u8; // another TTL
                finish_header_sum(&mut frame, at.ip, at.transport);
            }
            7 => {
                // Nonsense in the IP header or tag, which makes it one of another flow.
                frame[14] ^= random.next() as u8;
                frame[10] = 1;
            }
            _ => {}
        }
        // Ethernet has no frames below 60 octets.
        if frame.len() < 60 && random.one_in(2) {
            frame.resize(60, 0);
        }
        frame
    }

    /// The next super-frame as the system hands it over.
    pub fn next_super(&mut self, random: &mut Dice) -> (Vnet, Vec<u8>) {
        let mut frame = self.headers(random);
        let size = if self.tcp { self.size } else { self.size.max(30) };
        // The kernel takes at most 128 datagrams in one, and 64 KB with all headers.
        let most = (65_000 - frame.len()).min(size * 60);
        let payload = 1 + random.below(most);
        frame.extend(random.octets(payload));
        let at = layout(&frame);
        finish_ip(&mut frame, at);
        let checksum = Some(leave_checksum(&mut frame, at));
        self.step(random, payload, payload.div_ceil(size));
        let kind = match (payload <= size, self.tcp, self.v6) {
            (true, _, _) => return (Vnet { checksum, ..Vnet::default() }, frame),
            (false, false, _) => UDP,
            (false, true, true) => TCP6,
            (false, true, false) => TCP4,
        };
        (Vnet { checksum, kind, size, headers: at.payload }, frame)
    }
}

fn finish_header_sum(frame: &mut [u8], ip: usize, end: usize) {
    frame[ip + 10..ip + 12].fill(0);
    let mut sum = 0_u32;
    for pair in frame[ip..end].chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(pair[1]);
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    frame[ip + 10..ip + 12].copy_from_slice(&(!sum as u16).to_be_bytes());
}

/// A frame that is neither TCP nor UDP: broadcasts, ARP, LLC, spanning tree, MPLS, EtherTypes of nobody, runts.
pub fn other(random: &mut Dice, number: u16, mtu: usize) -> Vec<u8> {
    let mut frame = match random.below(3) {
        0 => vec![0xff; 6],
        1 => vec![1, 0x80, 0xc2, 0, 0, 0],
        _ => vec![0x33, 0x33, 0, 0, 0, 9],
    };
    frame.extend(SOURCE);
    frame.extend(number.to_be_bytes());
    let kinds: [&[u8]; 8] = [
        &[8, 6, 0, 1, 8, 0, 6, 4, 0, 9],
        &[0x88, 0x47, 0, 0x10, 1, 64],
        &[0x88, 0xb5],
        &[0x81, 0, 0x20, 7, 0x88, 0xb5],
        &[0x88, 0xa8, 0, 5, 0x81, 0, 0, 7, 0x88, 0xcc],
        &[8, 0, 0x45],
        &[0x86, 0xdd, 0x6f],
        &[],
    ];
    let kind = kinds[random.below(8)];
    let longest = mtu + 14;
    let length = match random.below(4) {
        // The kernel takes no tag without two octets after it.
        0 => 20 + random.below(60),
        1 => longest,
        _ => 14 + random.below(longest - 14),
    };
    if kind.is_empty() {
        // LLC: a length instead of an EtherType, at most 1500.
        let length = length.clamp(20, 1514);
        frame.extend(((length - 14) as u16).to_be_bytes());
        frame.extend([0x42, 0x42, 3]);
        frame.extend(random.octets(length - 17));
        return frame;
    }
    frame.extend(kind);
    let rest = length.saturating_sub(frame.len());
    frame.extend(random.octets(rest));
    frame
}
