//! What a super-frame stands for: the frames that a network card with segmentation offload would make of it. Written
//! to be plainly right, not fast: everything is parsed from the Ethernet header on and every checksum is computed
//! from scratch.

use crate::packet::{self, Vnet};

/// Where the headers of a frame lie.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    pub ip: usize,
    pub v6: bool,
    pub transport: usize,
    pub protocol: u8,
    /// The end of the transport header.
    pub payload: usize,
}

fn read(frame: &[u8], at: usize) -> usize {
    usize::from(frame[at]) << 8 | usize::from(frame[at + 1])
}

fn write(frame: &mut [u8], at: usize, value: usize) {
    frame[at..at + 2].copy_from_slice(&(value as u16).to_be_bytes());
}

/// The layout of a TCP or UDP packet that is well formed.
pub fn layout(frame: &[u8]) -> Layout {
    let mut ip = 14;
    while [0x8100, 0x88a8].contains(&read(frame, ip - 2)) {
        ip += 4;
    }
    let v6 = read(frame, ip - 2) == 0x86dd;
    let (mut transport, mut protocol) = match v6 {
        false => (ip + usize::from(frame[ip] & 15) * 4, frame[ip + 9]),
        true => (ip + 40, frame[ip + 6]),
    };
    while v6 && [0, 43, 60].contains(&protocol) {
        protocol = frame[transport];
        transport += 8 + usize::from(frame[transport + 1]) * 8;
    }
    let header = if protocol == 6 { usize::from(frame[transport + 12] >> 4) * 4 } else { 8 };
    Layout { ip, v6, transport, protocol, payload: transport + header }
}

/// RFC 1071, octet pair by octet pair.
fn sum(octets: &[u8], mut sum: u32) -> u32 {
    for pair in octets.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum
}

/// The sum of the pseudo-header.
fn pseudo(frame: &[u8], at: Layout, length: usize) -> u32 {
    let addresses = if at.v6 { at.ip + 8..at.ip + 40 } else { at.ip + 12..at.ip + 20 };
    sum(&frame[addresses], u32::from(at.protocol) + length as u32)
}

/// Sets the IP header's length and checksum.
pub fn finish_ip(frame: &mut [u8], at: Layout) {
    let length = frame.len() - at.ip;
    if at.v6 {
        write(frame, at.ip + 4, length - 40);
        return;
    }
    write(frame, at.ip + 2, length);
    write(frame, at.ip + 10, 0);
    let value = !sum(&frame[at.ip..at.transport], 0) & 0xffff;
    write(frame, at.ip + 10, value as usize);
}

/// Sets UDP's length and the checksum of TCP or UDP.
pub fn finish_transport(frame: &mut [u8], at: Layout) {
    let length = frame.len() - at.transport;
    let field = at.transport + if at.protocol == 6 { 16 } else { 6 };
    if at.protocol == 17 {
        write(frame, at.transport + 4, length);
    }
    write(frame, field, 0);
    let value = !sum(&frame[at.transport..], pseudo(frame, at, length)) & 0xffff;
    write(frame, field, if value == 0 { 0xffff } else { value as usize });
}

/// Leaves the checksum to the system: the field holds the sum of the pseudo-header.
pub fn leave_checksum(frame: &mut [u8], at: Layout) -> (usize, usize) {
    let length = frame.len() - at.transport;
    if at.protocol == 17 {
        write(frame, at.transport + 4, length);
    }
    let offset = if at.protocol == 6 { 16 } else { 6 };
    let value = pseudo(frame, at, length);
    write(frame, at.transport + offset, value as usize);
    (at.transport, offset)
}

/// Whether every length and checksum of a TCP or UDP frame without padding is right.
pub fn is_right(frame: &[u8]) -> Result<(), &'static str> {
    let at = layout(frame);
    let length = frame.len() - at.transport;
    if at.v6 && read(frame, at.ip + 4) != frame.len() - at.ip - 40 {
        return Err("wrong IPv6 length");
    }
    if !at.v6 && read(frame, at.ip + 2) != frame.len() - at.ip {
        return Err("wrong IPv4 length");
    }
    if !at.v6 && sum(&frame[at.ip..at.transport], 0) != 0xffff {
        return Err("wrong IPv4 header checksum");
    }
    if at.protocol == 17 && (read(frame, at.transport + 4) != length || read(frame, at.transport + 6) == 0) {
        return Err("wrong UDP length or no checksum");
    }
    match sum(&frame[at.transport..], pseudo(frame, at, length)) {
        0xffff => Ok(()),
        _ => Err("wrong TCP or UDP checksum"),
    }
}

/// The frames that this one stands for.
pub fn expand(vnet: Vnet, frame: &[u8]) -> Vec<Vec<u8>> {
    if vnet.kind == 0 {
        let mut whole = frame.to_vec();
        if let Some((start, offset)) = vnet.checksum {
            let value = match !sum(&frame[start..], 0) & 0xffff {
                0 => 0xffff,
                value => value,
            };
            write(&mut whole, start + offset, value as usize);
        }
        return vec![whole];
    }
    let at = layout(frame);
    let tcp = [packet::TCP4, packet::TCP6].contains(&vnet.kind);
    assert!(tcp == (at.protocol == 6) && vnet.size > 0, "{vnet:?} for {at:?}");
    let (headers, payload) = frame.split_at(at.payload);
    let pieces = payload.chunks(vnet.size).enumerate();
    let last = payload.len().div_ceil(vnet.size) - 1;
    pieces
        .map(|(number, piece)| one(headers, piece, at, number, number * vnet.size, number == last))
        .collect()
}

fn one(headers: &[u8], piece: &[u8], at: Layout, number: usize, offset: usize, last: bool) -> Vec<u8> {
    let mut frame = [headers, piece].concat();
    if !at.v6 {
        let id = read(&frame, at.ip + 4).wrapping_add(number);
        write(&mut frame, at.ip + 4, id);
    }
    if at.protocol == 6 {
        let field = &mut frame[at.transport + 4..at.transport + 8];
        let sequence = u32::from_be_bytes(field.try_into().expect("four octets")).wrapping_add(offset as u32);
        field.copy_from_slice(&sequence.to_be_bytes());
        // FIN and PSH on the last one only, CWR on the first one only.
        frame[at.transport + 13] &= if last { 0xff } else { !0x09 };
        frame[at.transport + 13] &= if number == 0 { 0xff } else { !0x80 };
    }
    finish_ip(&mut frame, at);
    finish_transport(&mut frame, at);
    frame
}
