//! The program at the ingress of the interface that leads to the peers: takes the headers off a data message and hands
//! its frame to the session's interface. Whatever is not exactly as expected goes on to the system, and so to the
//! daemon, which also counts what is wrong.

use super::abi::{context, helper, net16, Code, Maps};
use super::abi::{AFTER_MAC, AS_INGRESS, FIXED_GSO, IPV4, IPV6, L2TP, MAC, TCP, TCX_NEXT, UDP};
use super::asm::{
    Assembler, If, Label, Operand, Operation, Register, Size, FRAME, R0, R1, R2, R3, R4, R5, R6, R7, R8, R9,
};
use super::pairs;
use super::values::{Counts, Ingress};

// The stack.
/// The path of the packet: [`values::PathOctets`](super::values::PathOctets).
const PATH: i16 = -40;
const REMOTE: i16 = PATH;
const LOCAL: i16 = PATH + 16;
const PORTS: i16 = PATH + 32;
const IS_UDP: i16 = PATH + 36;
/// The header that is looked at.
const HEADER: i16 = -80;
/// Session ID, and the twelve octets after it.
const SESSION: i16 = -100;
const COOKIE: i16 = -96;
const COOKIE_LAST: i16 = -88;
/// The Ethernet header of the frame, and ten octets after it.
const FRAME_MAC: i16 = -124;

/// The Ethertype of the daemon's own frames: see [`crate::frame::oam`].
const OAM: i32 = net16(0x88b5);
/// `bpf_skb_adjust_room`: an IPv4 header may remain, so frames of 20 octets after their Ethernet header may.
const DECAP_L3_IPV4: u64 = 1 << 7;
/// `bpf_skb_store_bytes`: the packet is of another flow now.
const INVALIDATE_HASH: i32 = 2;

/// The program.
pub fn program(maps: &Maps) -> Code {
    let mut a = Assembler::default();
    let next = a.label();
    // R6: the packet. R7: later the session's value. R8: where the next header begins. R9: octets of the packet.
    a.set(R6, R1);
    a.load(Size::Word, R2, (R6, context::PACKET_TYPE));
    a.jump_if(If::Different, R2, 0, next); // not for this host
    a.load(Size::Word, R2, (R6, context::VLAN_PRESENT));
    a.jump_if(If::Different, R2, 0, next);
    a.load(Size::Word, R2, (R6, context::GSO_SIZE));
    a.jump_if(If::Different, R2, 0, next); // several datagrams in one
    a.load(Size::Word, R9, (R6, context::LENGTH));
    for at in (PATH..0).step_by(8) {
        a.store(Size::Double, (FRAME, at), 0);
    }
    outer_ip(&mut a, next);
    session(&mut a, maps, next);
    deliver(&mut a, maps, next);
    a.here(next);
    a.set(R0, TCX_NEXT);
    a.exit();
    a.finish()
}

/// Copies octets of the packet to the stack; without so many, on to `next`.
pub(super) fn load_bytes(a: &mut Assembler, from: impl Into<Operand>, to: i16, length: Operand, next: Label) {
    a.set(R2, from);
    a.set(R4, length);
    a.set(R1, R6);
    a.stack(R3, to);
    a.call(helper::LOAD_BYTES);
    a.jump_if(If::Different, R0, 0, next);
}

/// Looks a value up, whose key is on the stack: R0, zero if there is none.
pub(super) fn look_up(a: &mut Assembler, map: i32, key: i16) {
    a.set_map(R1, map);
    a.stack(R2, key);
    a.call(helper::MAP_LOOKUP);
}

/// The outer headers: addresses and ports go to the path, R8 after them.
fn outer_ip(a: &mut Assembler, next: Label) {
    let (ipv6, transport, done) = (a.label(), a.label(), a.label());
    a.set(R8, MAC);
    a.load(Size::Word, R2, (R6, context::PROTOCOL));
    a.jump_if(If::Equal, R2, IPV6, ipv6);
    a.jump_if(If::Different, R2, IPV4, next);
    // IPv4: version and length (1), TOS (1), total length (2), id (2), flags and offset (2), TTL (1), protocol (1),
    // checksum (2), source (4), destination (4).
    load_bytes(a, R8, HEADER, 20.into(), next);
    a.load(Size::Byte, R2, (FRAME, HEADER));
    a.jump_if(If::Different, R2, 0x45, next); // options
    a.load(Size::Half, R2, (FRAME, HEADER + 6));
    a.jump_if(If::AnyBit, R2, net16(0x3fff), next); // a fragment
    whole_length(a, HEADER + 2, MAC, R9, next);
    checksum(a, HEADER);
    a.jump_if(If::Different, R0, 0xffff, next);
    a.load(Size::Word, R2, (FRAME, HEADER + 12));
    a.store(Size::Word, (FRAME, REMOTE), R2);
    a.load(Size::Word, R2, (FRAME, HEADER + 16));
    a.store(Size::Word, (FRAME, LOCAL), R2);
    a.load(Size::Byte, R7, (FRAME, HEADER + 9));
    a.alu(Operation::Add, R8, 20);
    a.jump(transport);
    // IPv6: version, class, label (4), payload length (2), next header (1), hop limit (1), source (16), destination (16).
    a.here(ipv6);
    load_bytes(a, R8, HEADER, 40.into(), next);
    whole_length(a, HEADER + 4, MAC + 40, R9, next);
    for (from, to) in [(8, REMOTE), (16, REMOTE + 8), (24, LOCAL), (32, LOCAL + 8)] {
        a.load(Size::Double, R2, (FRAME, HEADER + from));
        a.store(Size::Double, (FRAME, to), R2);
    }
    a.load(Size::Byte, R7, (FRAME, HEADER + 6));
    a.alu(Operation::Add, R8, 40);
    a.here(transport);
    a.jump_if(If::Equal, R7, L2TP, done);
    a.jump_if(If::Different, R7, UDP, next); // extension headers, too
                                             // UDP: ports (2 + 2), length (2), checksum (2); flags (1), version (1), reserved (2).
    load_bytes(a, R8, HEADER, 12.into(), next);
    a.load(Size::Half, R2, (FRAME, HEADER + 4));
    a.swap_if_little(R2);
    a.alu(Operation::Add, R2, R8);
    a.jump_if(If::Different, R2, R9, next);
    a.load(Size::Half, R2, (FRAME, HEADER + 8));
    a.alu(Operation::And, R2, net16(0x800f));
    a.jump_if(If::Different, R2, net16(0x0003), next); // control, or another version
    a.load(Size::Word, R2, (FRAME, HEADER));
    a.store(Size::Word, (FRAME, PORTS), R2);
    a.store(Size::Word, (FRAME, IS_UDP), 1);
    a.alu(Operation::Add, R8, 12);
    a.here(done);
}

/// A length of 16 bits on the stack, and `before`, must be all there is: no padding.
pub(super) fn whole_length(a: &mut Assembler, at: i16, before: i32, all: Register, next: Label) {
    a.load(Size::Half, R2, (FRAME, at));
    a.swap_if_little(R2);
    a.alu(Operation::Add, R2, before);
    a.jump_if(If::Different, R2, all, next);
}

/// R0: the sum of the 20 octets of the IPv4 header on the stack, folded to 16 bits; it spoils R1 and R2.
pub(super) fn checksum(a: &mut Assembler, header: i16) {
    a.set(R0, 0);
    add_words(a, header, 5);
    fold(a, 3);
}

/// Adds words of the stack to R0; it spoils R2.
pub(super) fn add_words(a: &mut Assembler, at: i16, words: i16) {
    for word in 0..words {
        a.load(Size::Word, R2, (FRAME, at + 4 * word));
        a.alu(Operation::Add, R0, R2);
    }
}

/// Adds the upper bits of R0 to its lowest 16, so many times; it spoils R1.
pub(super) fn fold(a: &mut Assembler, times: usize) {
    for _ in 0..times {
        a.set(R1, R0);
        a.alu(Operation::Right, R1, 16);
        a.alu(Operation::And, R0, 0xffff);
        a.alu(Operation::Add, R0, R1);
    }
}

/// Session ID, cookie and sublayer as they should be, from the peer: R7 is the value, R8 the frame.
fn session(a: &mut Assembler, maps: &Maps, next: Label) {
    // Session ID (4), cookie (0, 4, 8), sublayer (0, 4), frame (at least 14).
    load_bytes(a, R8, SESSION, 16.into(), next);
    look_up(a, maps.ingress, SESSION);
    a.jump_if(If::Equal, R0, 0, next); // control, or unknown here
    a.set(R7, R0);
    for at in (0..40).step_by(8) {
        a.load(Size::Double, R2, (FRAME, PATH + at));
        a.load(Size::Double, R3, (R7, at));
        a.jump_if(If::Different, R2, R3, next);
    }
    for (size, on_stack, mask, expected) in [
        (Size::Double, COOKIE, Ingress::MASK, Ingress::EXPECTED),
        (Size::Word, COOKIE_LAST, Ingress::MASK_LAST, Ingress::EXPECTED_LAST),
    ] {
        a.load(size, R2, (FRAME, on_stack));
        a.load(size, R3, (R7, mask));
        a.alu(Operation::And, R2, R3);
        a.load(size, R3, (R7, expected));
        a.jump_if(If::Different, R2, R3, next);
    }
    a.load(Size::Word, R2, (R7, Ingress::HEADER));
    a.alu(Operation::Add, R8, R2);
    load_bytes(a, R8, FRAME_MAC, (MAC + 10).into(), next);
    a.load(Size::Half, R2, (FRAME, FRAME_MAC + 12));
    a.jump_if(If::Equal, R2, OAM, next); // for the daemon itself
}

/// Ethernet | IP ... L2TP | Ethernet | frame: what is in the middle goes, the inner Ethernet header takes the outer's
/// place.
fn deliver(a: &mut Assembler, maps: &Maps, next: Label) {
    let uncounted = a.label();
    a.set(R1, R6);
    a.set(R2, 0);
    a.alu(Operation::Subtract, R2, R8);
    a.set(R3, AFTER_MAC);
    a.set_wide(R4, FIXED_GSO | DECAP_L3_IPV4);
    a.call(helper::ADJUST_ROOM);
    a.jump_if(If::Different, R0, 0, next);
    a.alu(Operation::Subtract, R9, R8);
    look_up(a, maps.counts, SESSION);
    a.jump_if(If::Equal, R0, 0, uncounted);
    a.set(R8, R0);
    count(a, Counts::RX, 1.into(), R9.into());
    a.call(helper::COARSE_TIME);
    a.store(Size::Double, (R8, Counts::HEARD), R0);
    a.here(uncounted);
    a.set(R1, R6);
    a.set(R2, 0);
    a.stack(R3, FRAME_MAC);
    a.set(R4, MAC);
    a.set(R5, INVALIDATE_HASH);
    a.call(helper::STORE_BYTES);
    // TCP passes GRO before: the protocol is octet 9 of IPv4, octet 6 of IPv6.
    let (plain, ipv4, tcp) = (a.label(), a.label(), a.label());
    a.load(Size::Word, R2, (R7, Ingress::GRO));
    a.jump_if(If::Equal, R2, 0, plain);
    a.load(Size::Half, R2, (FRAME, FRAME_MAC + 12));
    a.load(Size::Byte, R3, (FRAME, FRAME_MAC + MAC as i16 + 9));
    a.jump_if(If::Equal, R2, IPV4, ipv4);
    a.load(Size::Byte, R3, (FRAME, FRAME_MAC + MAC as i16 + 6));
    a.jump_if(If::Different, R2, IPV6, plain);
    a.here(ipv4);
    a.jump_if(If::Equal, R3, TCP, tcp);
    a.here(plain);
    a.load(Size::Word, R1, (R7, Ingress::INTERFACE));
    a.set(R2, AS_INGRESS);
    a.call(helper::REDIRECT);
    a.exit();
    a.here(tcp);
    a.load(Size::Word, R3, (R7, Ingress::INTERFACE));
    pairs::send(a, (R7, Ingress::GRO));
}

/// Adds to two counts of the value at R8.
pub(super) fn count(a: &mut Assembler, at: i16, frames: Operand, octets: Operand) {
    for (at, number) in [(at, frames), (at + 8, octets)] {
        a.load(Size::Double, R1, (R8, at));
        a.alu(Operation::Add, R1, number);
        a.store(Size::Double, (R8, at), R1);
    }
}
