//! The program at the egress of the interfaces of sessions: puts the headers before a frame of IPv4 or IPv6 and sends it
//! to the peer. Other frames (ARP, tags) go on to the interface, and so to the daemon.

use super::abi::{context, helper, net16, Code, Maps};
use super::abi::{AFTER_MAC, IPV4, IPV6, MAC, TCP, TCX_DROP, TCX_NEXT, UDP};
use super::asm::{
    Assembler, If, Label, Operand, Operation, Size, FRAME, R0, R1, R2, R3, R4, R5, R6, R7, R8, R9,
};
use super::ingress::{add_words, checksum, count, fold, load_bytes, look_up, whole_length};
use super::pairs;
use super::values::{Counts, Egress};

// The stack.
/// The headers that are put before the frame.
const HEADERS: i16 = -72;
/// Before them an Ethernet header of zeros, with room for it: only to frames of one host a next hop is looked up.
const OUTER_MAC: i16 = HEADERS - MAC as i16;
const ROOM: i16 = HEADERS - 16;
/// The frame's IP header; then its Ethernet header.
const INNER: i16 = -128;
/// Octets of all headers of the frame, and what they are counted as.
const TCP_OFFSET: i16 = -132;
const KEY: i16 = -136;
const FRAMES: i16 = -144;
const OCTETS: i16 = -152;
/// The sum of the frame's octets, for the UDP checksum; the checksum that its TCP or UDP has; octets that are added.
const SUM: i16 = -160;
const OWN: i16 = -168;
const PIECE: i16 = OWN - PIECE_LENGTH as i16;
const PIECE_LENGTH: i32 = 256;
/// So many pieces are added.
const PIECES: i32 = 7;
/// Octets of the longest frame that is sent over UDP and IPv6.
pub const LONGEST_SUM: usize = (PIECE_LENGTH * PIECES) as usize;

/// Protocols that have super-frames, and where is marked that they are segmented first, or left to the daemon: once a super-frame
/// was, no frame of its flow must overtake it.
const LEFT: [(i32, i16); 2] = [(TCP, Egress::LEFT_TCP), (UDP, Egress::LEFT_UDP)];
const ICMPV6: i32 = 58;
/// What is nothing in a checksum: a multiple of 0xffff that a sum can be taken away from.
const NOTHING: i32 = 0xffff * 2;

/// Where the program stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// At the egress of the sessions' interfaces.
    Interface,
    /// Where the pair that segments gives frames back.
    Gso,
}

/// The program.
pub fn program(maps: &Maps, place: Place) -> Code {
    let mut a = Assembler::default();
    let (next, super_frame, measured) = (a.label(), a.label(), a.label());
    // R6: the packet. R7: the session's value. R8: where the frame's transport header begins. R9: its protocol.
    a.set(R6, R1);
    if place == Place::Gso {
        pairs::untag(&mut a, next);
    } else {
        a.load(Size::Word, R2, (R6, context::VLAN_PRESENT));
        a.jump_if(If::Different, R2, 0, next);
        a.load(Size::Word, R7, (R6, context::IFINDEX));
    }
    a.store(Size::Word, (FRAME, KEY), R7);
    look_up(&mut a, maps.egress, KEY);
    a.jump_if(If::Equal, R0, 0, next);
    a.set(R7, R0);
    for at in [SUM, INNER + 16, INNER + 24, INNER + 32] {
        a.store(Size::Double, (FRAME, at), 0);
    }
    inner_ip(&mut a, next);
    a.load(Size::Word, R2, (R6, context::GSO_SIZE));
    a.jump_if(If::Different, R2, 0, if place == Place::Gso { next } else { super_frame });
    a.load(Size::Word, R2, (R6, context::LENGTH));
    a.load(Size::Word, R3, (R7, Egress::LONGEST));
    a.jump_if(If::Greater, R2, R3, next);
    a.store(Size::Double, (FRAME, FRAMES), 1);
    a.store(Size::Double, (FRAME, OCTETS), R2);
    if place == Place::Interface {
        a.jump(measured);
        a.here(super_frame);
        segments(&mut a, next);
        a.here(measured);
        leave(&mut a, next);
    }
    sum_of_frame(&mut a, next);
    send(&mut a, maps, next);
    a.here(next);
    a.set(R0, if place == Place::Gso { TCX_DROP } else { TCX_NEXT });
    a.exit();
    a.finish()
}

/// The frame's IP header: R8 is where the next one begins, R9 its protocol.
fn inner_ip(a: &mut Assembler, next: Label) {
    let (ipv6, done) = (a.label(), a.label());
    a.load(Size::Word, R2, (R6, context::PROTOCOL));
    a.jump_if(If::Equal, R2, IPV6, ipv6);
    a.jump_if(If::Different, R2, IPV4, next);
    load_bytes(a, MAC, INNER, 20.into(), next);
    a.load(Size::Byte, R8, (FRAME, INNER));
    a.alu(Operation::And, R8, 15);
    a.alu(Operation::Left, R8, 2);
    a.alu(Operation::Add, R8, MAC);
    a.load(Size::Byte, R9, (FRAME, INNER + 9));
    a.jump(done);
    a.here(ipv6);
    load_bytes(a, MAC, INNER, 40.into(), next);
    a.set(R8, MAC + 40);
    a.load(Size::Byte, R9, (FRAME, INNER + 6));
    for protocol in [TCP, UDP, ICMPV6] {
        a.jump_if(If::Equal, R9, protocol, done);
    }
    a.jump(next); // extension headers
    a.here(done);
}

/// A super-frame: how many frames and octets it will be, and whether they fit the path.
fn segments(a: &mut Assembler, next: Label) {
    let (udp, known) = (a.label(), a.label());
    a.jump_if(If::Equal, R9, UDP, udp);
    a.jump_if(If::Different, R9, TCP, next);
    // TCP: the upper four bits of the octet 12 are the length of its header, in words.
    a.set(R2, R8);
    a.alu(Operation::Add, R2, 12);
    load_bytes(a, R2, TCP_OFFSET, 1.into(), next);
    a.load(Size::Byte, R2, (FRAME, TCP_OFFSET));
    a.alu(Operation::Right, R2, 4);
    a.alu(Operation::Left, R2, 2);
    a.alu(Operation::Add, R8, R2);
    a.jump(known);
    a.here(udp);
    a.alu(Operation::Add, R8, 8);
    a.here(known);
    // R8: octets of all headers. R1: of a segment's payload.
    a.load(Size::Word, R1, (R6, context::GSO_SIZE));
    a.set(R2, R8);
    a.alu(Operation::Add, R2, R1);
    a.load(Size::Word, R3, (R7, Egress::LONGEST));
    a.jump_if(If::Greater, R2, R3, next);
    a.load(Size::Word, R4, (R6, context::LENGTH));
    a.jump_if(If::Greater, R8, R4, next);
    // frames = (length - headers + payload - 1) / payload; octets = length + (frames - 1) * headers
    a.set(R2, R4);
    a.alu(Operation::Subtract, R2, R8);
    a.alu(Operation::Add, R2, R1);
    a.alu(Operation::Subtract, R2, 1);
    a.alu(Operation::Divide, R2, R1);
    a.store(Size::Double, (FRAME, FRAMES), R2);
    a.alu(Operation::Subtract, R2, 1);
    a.alu(Operation::Multiply, R2, R8);
    a.alu(Operation::Add, R2, R4);
    a.store(Size::Double, (FRAME, OCTETS), R2);
}

/// What must be segmented before it is sent, and all of its protocol from then on. Over IP the kernel cannot do that later, and
/// over UDP and IPv6 not with the checksum that each segment would need.
fn leave(a: &mut Assembler, next: Label) {
    let (segment, stays) = (a.label(), a.label());
    for (protocol, left) in LEFT {
        let other = a.label();
        a.jump_if(If::Different, R9, protocol, other);
        a.load(Size::Byte, R2, (R7, left));
        a.jump_if(If::Different, R2, 0, segment);
        a.load(Size::Word, R2, (R6, context::GSO_SIZE));
        a.jump_if(If::Equal, R2, 0, stays);
        a.load(Size::Word, R2, (R7, Egress::KIND));
        a.jump_if(If::Equal, R2, Egress::IS_UDP, stays);
        a.store(Size::Byte, (R7, left), 1);
        a.jump(segment);
        a.here(other);
    }
    a.jump(stays);
    a.here(segment);
    a.load(Size::Word, R2, (R7, Egress::GSO));
    a.jump_if(If::Equal, R2, 0, next);
    a.load(Size::Word, R3, (FRAME, KEY));
    pairs::send(a, (R7, Egress::GSO));
    a.here(stays);
}

/// UDP over IPv6 needs a checksum. SUM: that of the frame. Where the interface is to finish the frame's own checksum, what
/// that covers will add up to what makes the pseudo-header nothing.
fn sum_of_frame(a: &mut Assembler, next: Label) {
    let (all, add, done, none) = (a.label(), a.label(), a.label(), a.label());
    a.load(Size::Word, R2, (R7, Egress::KIND));
    a.jump_if(If::Different, R2, Egress::IS_UDP | Egress::IS_IPV6, none);
    unfinished(a, all);
    a.set(R9, NOTHING);
    a.alu(Operation::Subtract, R9, R0);
    a.jump(add);
    a.here(all);
    a.load(Size::Word, R8, (R6, context::LENGTH));
    a.set(R9, 0);
    // R8: where the octets end that are added. R9: their sum.
    a.here(add);
    a.jump_if(If::Greater, R8, PIECE_LENGTH * PIECES, next);
    for at in 0..PIECES {
        let (more, whole, load) = (a.label(), a.label(), a.label());
        a.jump_if(If::Greater, R8, at * PIECE_LENGTH, more);
        a.jump(done);
        a.here(more);
        a.set(R4, R8);
        a.alu(Operation::Subtract, R4, at * PIECE_LENGTH);
        a.jump_if(If::Greater, R4, PIECE_LENGTH - 1, whole);
        for zero in (0..PIECE_LENGTH as i16).step_by(8) {
            a.store(Size::Double, (FRAME, PIECE + zero), 0);
        }
        a.jump(load);
        a.here(whole);
        a.set(R4, PIECE_LENGTH);
        a.here(load);
        load_bytes(a, at * PIECE_LENGTH, PIECE, R4.into(), next);
        a.set(R1, 0);
        a.set(R2, 0);
        a.stack(R3, PIECE);
        a.set(R4, PIECE_LENGTH);
        a.set(R5, 0);
        a.call(helper::CHECKSUM);
        a.alu(Operation::Add, R9, R0);
    }
    a.here(done);
    a.store(Size::Double, (FRAME, SUM), R9);
    a.here(none);
}

/// Whether the frame's own checksum is not finished: it is that of the pseudo-header, which is R0 then. (One in 65536 that
/// are finished looks so too, and what it covers adds up to the same.)
fn unfinished(a: &mut Assembler, no: Label) {
    let (tcp, own, ipv6, compare) = (a.label(), a.label(), a.label(), a.label());
    a.set(R2, R8);
    a.jump_if(If::Equal, R9, TCP, tcp);
    a.jump_if(If::Different, R9, UDP, no);
    a.alu(Operation::Add, R2, 6);
    a.jump(own);
    a.here(tcp);
    a.alu(Operation::Add, R2, 16);
    a.here(own);
    load_bytes(a, R2, OWN, 2.into(), no);
    // R0: the sum of protocol, length and addresses. R3: octets of the frame, which has no padding then.
    a.set(R0, R9);
    a.swap_if_little(R0);
    a.load(Size::Word, R3, (R6, context::LENGTH));
    a.set(R2, R3);
    a.alu(Operation::Subtract, R2, R8);
    a.swap_if_little(R2);
    a.alu(Operation::Add, R0, R2);
    a.load(Size::Word, R2, (R6, context::PROTOCOL));
    a.jump_if(If::Equal, R2, IPV6, ipv6);
    a.load(Size::Half, R2, (FRAME, INNER + 6));
    a.jump_if(If::AnyBit, R2, net16(0x3fff), no); // a fragment
    whole_length(a, INNER + 2, MAC, R3, no);
    add_words(a, INNER + 12, 2);
    a.jump(compare);
    a.here(ipv6);
    whole_length(a, INNER + 4, MAC + 40, R3, no);
    add_words(a, INNER + 8, 8);
    a.here(compare);
    fold(a, 3);
    a.load(Size::Half, R2, (FRAME, OWN));
    a.jump_if(If::Different, R0, R2, no);
}

/// Ethernet | frame becomes Ethernet | headers | Ethernet | frame. Whoever knows the next hop writes the outer one.
fn send(a: &mut Assembler, maps: &Maps, next: Label) {
    let (drop, uncounted) = (a.label(), a.label());
    load_bytes(a, 0, INNER, MAC.into(), next);
    headers(a);
    // R8: octets of the headers and an Ethernet header.
    a.load(Size::Word, R8, (R7, Egress::LENGTH));
    a.jump_if(If::Greater, R8, Egress::HEADERS as i32, next);
    a.alu(Operation::Add, R8, MAC);
    a.set(R1, R6);
    a.set(R2, R8);
    a.set(R3, AFTER_MAC);
    a.load(Size::Double, R4, (R7, Egress::FLAGS));
    a.call(helper::ADJUST_ROOM);
    a.jump_if(If::Different, R0, 0, next);
    let (start, mac) = (Operand::Number(0), Operand::Number(MAC));
    for (to, from, length) in [(start, OUTER_MAC, R8.into()), (R8.into(), INNER, mac)] {
        a.set(R1, R6);
        a.set(R2, to);
        a.stack(R3, from);
        a.set(R4, length);
        a.set(R5, 0);
        a.call(helper::STORE_BYTES);
        a.jump_if(If::Different, R0, 0, drop);
    }
    a.load(Size::Word, R2, (R7, Egress::SESSION));
    a.store(Size::Word, (FRAME, KEY), R2);
    look_up(a, maps.counts, KEY);
    a.jump_if(If::Equal, R0, 0, uncounted);
    a.set(R8, R0);
    a.load(Size::Double, R2, (FRAME, FRAMES));
    a.load(Size::Double, R3, (FRAME, OCTETS));
    count(a, Counts::TX, R2.into(), R3.into());
    a.here(uncounted);
    a.load(Size::Word, R1, (R7, Egress::DEVICE));
    a.set(R2, 0);
    a.set(R3, 0);
    a.set(R4, 0);
    a.call(helper::REDIRECT_NEIGHBOUR);
    a.exit();
    a.here(drop);
    a.set(R0, TCX_DROP);
    a.exit();
}

/// The headers on the stack, with what differs from frame to frame.
fn headers(a: &mut Assembler) {
    let (ipv6, done) = (a.label(), a.label());
    a.store(Size::Double, (FRAME, ROOM), 0);
    a.store(Size::Double, (FRAME, ROOM + 8), 0);
    for at in (0..Egress::HEADERS as i16).step_by(8) {
        a.load(Size::Double, R2, (R7, at));
        a.store(Size::Double, (FRAME, HEADERS + at), R2);
    }
    // R9: octets from the outer IP header to the end.
    a.load(Size::Word, R9, (R6, context::LENGTH));
    a.load(Size::Word, R2, (R7, Egress::LENGTH));
    a.alu(Operation::Add, R9, R2);
    a.load(Size::Word, R8, (R7, Egress::KIND));
    a.jump_if(If::AnyBit, R8, Egress::IS_IPV6, ipv6);
    // IPv4: total length at 2, identification at 4, checksum at 10. UDP: length at 4.
    length(a, 0, HEADERS + 2);
    a.call(helper::RANDOM);
    a.store(Size::Half, (FRAME, HEADERS + 4), R0);
    checksum(a, HEADERS);
    a.alu(Operation::Xor, R0, 0xffff);
    a.store(Size::Half, (FRAME, HEADERS + 10), R0);
    a.alu(Operation::And, R8, Egress::IS_UDP);
    a.jump_if(If::Equal, R8, 0, done);
    length(a, 20, HEADERS + 24);
    a.jump(done);
    // IPv6: payload length at 4, addresses at 8. UDP: length at 4, checksum at 6, of the addresses and the length as well.
    a.here(ipv6);
    length(a, 40, HEADERS + 4);
    a.alu(Operation::And, R8, Egress::IS_UDP);
    a.jump_if(If::Equal, R8, 0, done);
    length(a, 40, HEADERS + 44);
    a.load(Size::Double, R0, (FRAME, SUM));
    a.alu(Operation::Add, R0, R2);
    a.alu(Operation::Add, R0, net16(UDP as u16));
    add_words(a, HEADERS + 8, (Egress::HEADERS as i16 - 8) / 4);
    fold(a, 4);
    let some = a.label();
    a.jump_if(If::Equal, R0, 0xffff, some); // zero is none
    a.alu(Operation::Xor, R0, 0xffff);
    a.here(some);
    a.store(Size::Half, (FRAME, HEADERS + 46), R0);
    a.here(done);
}

/// Writes the length of all that comes after the first octets of the headers.
fn length(a: &mut Assembler, without: i32, to: i16) {
    a.set(R2, R9);
    a.alu(Operation::Subtract, R2, without);
    a.swap_if_little(R2);
    a.store(Size::Half, (FRAME, to), R2);
}
