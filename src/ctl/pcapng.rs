//! Control messages as a pcapng file that Wireshark and tshark read. The link type is RAW (packets begin with an
//! IP header); the headers around a message are made up from what the record tells, as they were on the wire.

use std::net::IpAddr;

use crate::admin::trace::Record;
use crate::frame::checksum;
use crate::sys::address::octets;
use crate::wire::Encapsulation;

/// LINKTYPE_RAW: IPv4 or IPv6, told apart by the version.
const LINK_TYPE: u16 = 101;
/// Protocol number of L2TP over IP.
const L2TP: u8 = 115;
/// Protocol number of UDP.
const UDP: u8 = 17;

/// Appends a block: type, length, body padded to four octets, length.
fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let padded = body.len().next_multiple_of(4);
    let length = u32::try_from(padded + 12).unwrap_or(u32::MAX).to_le_bytes();
    let mut out = Vec::with_capacity(padded + 12);
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&length);
    out.extend_from_slice(body);
    out.resize(padded + 8, 0);
    out.extend_from_slice(&length);
    out
}

/// The beginning of a file: the section header and the only interface. Times are in microseconds.
pub fn header() -> Vec<u8> {
    let mut section = Vec::new();
    section.extend_from_slice(&0x1a2b_3c4d_u32.to_le_bytes());
    section.extend_from_slice(&1_u16.to_le_bytes());
    section.extend_from_slice(&0_u16.to_le_bytes());
    section.extend_from_slice(&u64::MAX.to_le_bytes()); // length of the section: not known
    let mut interface = Vec::new();
    interface.extend_from_slice(&LINK_TYPE.to_le_bytes());
    interface.extend_from_slice(&[0; 2]);
    interface.extend_from_slice(&0_u32.to_le_bytes()); // no limit on a packet's length
    let mut out = block(0x0a0d_0d0a, &section);
    out.extend(block(1, &interface));
    out
}

/// A record as an Enhanced Packet Block.
pub fn packet(record: &Record) -> Vec<u8> {
    let packet = around(record);
    let length = u32::try_from(packet.len()).unwrap_or(u32::MAX).to_le_bytes();
    let micros = record.time.0;
    let mut body = Vec::with_capacity(packet.len() + 40);
    body.extend_from_slice(&0_u32.to_le_bytes());
    body.extend_from_slice(&((micros >> 32) as u32).to_le_bytes());
    body.extend_from_slice(&((micros & 0xffff_ffff) as u32).to_le_bytes());
    body.extend_from_slice(&length);
    body.extend_from_slice(&length);
    body.extend_from_slice(&packet);
    body.resize(body.len().next_multiple_of(4), 0);
    // epb_flags: inbound or outbound; then the end of the options.
    body.extend_from_slice(&2_u16.to_le_bytes());
    body.extend_from_slice(&4_u16.to_le_bytes());
    body.extend_from_slice(&(if record.sent { 2_u32 } else { 1 }).to_le_bytes());
    body.extend_from_slice(&[0; 4]);
    block(6, &body)
}

/// The message with IP and, where it was so carried, UDP around it.
fn around(record: &Record) -> Vec<u8> {
    let path = &record.path;
    let (from, to) = if record.sent { (path.local, path.remote) } else { (path.remote, path.local) };
    let mut payload = Vec::with_capacity(record.message.len() + 8);
    let protocol = match path.encapsulation {
        Encapsulation::Ip => {
            payload.extend_from_slice(&[0; 4]); // Session ID 0: a control message (RFC 3931 4.1.1)
            L2TP
        }
        Encapsulation::Udp => {
            let length = u16::try_from(record.message.len() + 8).unwrap_or(u16::MAX);
            payload.extend_from_slice(&from.port().to_be_bytes());
            payload.extend_from_slice(&to.port().to_be_bytes());
            payload.extend_from_slice(&length.to_be_bytes());
            payload.extend_from_slice(&[0; 2]); // the checksum comes later
            UDP
        }
    };
    payload.extend_from_slice(&record.message);
    if protocol == UDP {
        let checksum = udp_checksum(from.ip(), to.ip(), &payload);
        if let Some(place) = payload.get_mut(6..8) {
            place.copy_from_slice(&checksum.to_be_bytes());
        }
    }
    let mut packet = match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => ipv4(from.octets(), to.octets(), protocol, payload.len()),
        (from, to) => ipv6(octets16(from), octets16(to), protocol, payload.len()),
    };
    packet.extend(payload);
    packet
}

fn octets16(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

fn ipv4(from: [u8; 4], to: [u8; 4], protocol: u8, payload: usize) -> Vec<u8> {
    let length = u16::try_from(payload + 20).unwrap_or(u16::MAX).to_be_bytes();
    let mut header = vec![0x45, 0, length[0], length[1], 0, 0, 0, 0, 64, protocol, 0, 0];
    header.extend_from_slice(&from);
    header.extend_from_slice(&to);
    let checksum = (!checksum::sum(&header)).to_be_bytes();
    header[10] = checksum[0];
    header[11] = checksum[1];
    header
}

fn ipv6(from: [u8; 16], to: [u8; 16], protocol: u8, payload: usize) -> Vec<u8> {
    let length = u16::try_from(payload).unwrap_or(u16::MAX).to_be_bytes();
    let mut header = vec![0x60, 0, 0, 0, length[0], length[1], protocol, 64];
    header.extend_from_slice(&from);
    header.extend_from_slice(&to);
    header
}

/// RFC 768; a sum of 0 is written as all ones, because 0 means that there is none.
fn udp_checksum(from: IpAddr, to: IpAddr, datagram: &[u8]) -> u16 {
    let mut pseudo = Vec::new();
    pseudo.extend(octets(from));
    pseudo.extend(octets(to));
    pseudo.extend_from_slice(&[0, UDP]);
    pseudo.extend_from_slice(&u16::try_from(datagram.len()).unwrap_or(u16::MAX).to_be_bytes());
    match !checksum::add(checksum::sum(&pseudo), checksum::sum(datagram)) {
        0 => 0xffff,
        checksum => checksum,
    }
}
