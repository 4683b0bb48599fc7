//! The wire formats against packets that were computed without this program: envelopes, headers, AVP structure,
//! data messages, and the outcome of every malformed message.

mod support;

use l2tpd::wire::attribute::AvpId;
use l2tpd::wire::avp::{self, MessageTypeAvp, StructureError};
use l2tpd::wire::data::{Format, Part, ReceiveSequence, Sublayer, RESET_AFTER};
use l2tpd::wire::demux::{from_ip, from_udp, Packet};
use l2tpd::wire::digest::{self, Secret};
use l2tpd::wire::header::{self, HeaderError};
use l2tpd::wire::message::{
    decode, encode, encode_zlb, DecodeOptions, Dialect, EncodeOptions, Message, Refusal, Why,
};
use l2tpd::wire::{Ccid, Cookie, Encapsulation, MessageType, SessionId};
use support::packets::{hex, load, message, one};

const STRICT: DecodeOptions<'static> = DecodeOptions { secrets: &[], cisco: false, version_2: false };
const PLAIN: EncodeOptions<'static> = EncodeOptions { digest: false, hide: None, dialect: Dialect::IETF };

fn secret() -> Secret {
    Secret::new(b"l2tpd-secret")
}

// C-003 C-004 C-022: over IP the Session ID decides, not the top bit of the first octet.
// C-006 C-023 C-024 C-356: over UDP the T bit decides; reserved bits and the reserved 16 bits are ignored.
// C-007: what is too short is neither.
#[test]
fn control_or_data() {
    assert_eq!(from_ip(&hex("00000000c803")), Packet::Control(&[0xc8, 3]));
    assert_eq!(from_ip(&hex("8000000102")), Packet::Data(&hex("8000000102")));
    assert_eq!(from_ip(&hex("00000001")), Packet::Data(&[0, 0, 0, 1]));
    assert_eq!(from_ip(&[0; 4]), Packet::Control(&[]));
    assert_eq!(from_udp(&hex("c803000c")), Packet::Control(&hex("c803000c")));
    assert_eq!(from_udp(&hex("000300001a1b1c1d02")), Packet::Data(&hex("1a1b1c1d02")));
    assert_eq!(from_udp(&hex("4bf3ffff1a1b1c1d02")), Packet::Data(&hex("1a1b1c1d02")));
    assert_eq!(from_udp(&hex("00000000c803000c0000000000000000")), Packet::OtherVersion(0));
    assert_eq!(from_udp(&hex("000200001a1b1c1d")), Packet::OtherVersion(2));
    for length in 0..4 {
        assert_eq!(from_ip(&[0; 4][..length]), Packet::Short);
    }
    let data = hex("000300001a1b1c1d");
    for length in [0, 1, 2, 3, 4, 7] {
        assert_eq!(from_udp(&data[..length]), Packet::Short, "{length}");
    }
    assert_eq!(from_udp(&data), Packet::Data(&data[4..]));
}

// C-010 C-012 C-014 C-017 C-215: the order of the checks, and what is ignored.
#[test]
fn header_checks_in_order() {
    let good = one("plain.txt", "A SCCRQ");
    let with_flags = |flags: [u8; 2]| {
        let mut message = good.clone();
        message[..2].copy_from_slice(&flags);
        header::parse(&message, false).map(|(header, _)| header)
    };
    let read = header::parse(&good, false).unwrap();
    assert_eq!((read.0.ccid, read.0.ns, read.0.nr, read.0.version), (Ccid(0), 0, 0, 3));
    assert_eq!(with_flags([0xff, 0xf3]), Ok(read.0), "reserved bits");
    assert_eq!(with_flags([0x48, 0x03]), Err(HeaderError::NoT));
    assert_eq!(with_flags([0x00, 0x00]), Err(HeaderError::NoT), "T before everything else");
    assert_eq!(with_flags([0x80, 0x02]), Err(HeaderError::Version(2)), "version before L and S");
    assert_eq!(with_flags([0x80, 0x03]), Err(HeaderError::NoL), "L before S");
    assert_eq!(with_flags([0xc0, 0x03]), Err(HeaderError::NoS));
    for length in 0..header::LENGTH {
        assert_eq!(header::parse(&good[..length], false), Err(HeaderError::Short(length)));
    }
    // Octets after Length are cut off; a message shorter than its Length is none.
    let mut longer = good.clone();
    longer.extend([0xff; 4]);
    assert_eq!(header::parse(&longer, false).unwrap().1, &good[..]);
    assert_eq!(header::parse(&good[..good.len() - 1], false), Err(HeaderError::Length(good.len())));
}

// C-015: only where version 2 is allowed does it pass.
#[test]
fn version_2_where_it_is_allowed() {
    let message = one("malformed.txt", "N-04");
    assert_eq!(header::parse(&message, false), Err(HeaderError::Version(2)));
    assert_eq!(header::parse(&message, true).unwrap().0.version, 2);
    let mut version_1 = message;
    version_1[1] = 1;
    assert_eq!(header::parse(&version_1, true), Err(HeaderError::Version(1)));
}

// C-018 C-020 C-021: the header's numbers, big-endian, and nothing else, are stamped.
#[test]
fn stamp_writes_three_fields() {
    let mut message = encode(&Message::Hello, &PLAIN).unwrap();
    let before = message.clone();
    header::stamp(&mut message, Ccid(0x1122_3344), 0x5566, 0x7788);
    assert_eq!(message[4..12], hex("1122334455667788"));
    assert_eq!((&message[..4], &message[12..]), (&before[..4], &before[12..]));
    let mut short = [7; 11];
    header::stamp(&mut short, Ccid(1), 2, 3);
    assert_eq!(short, [7; 11]);
}

// C-049: a ZLB is a header and nothing more, and reads as an acknowledgement.
#[test]
fn zlb() {
    let zlb = encode_zlb();
    assert_eq!(zlb, hex("c803000c0000000000000000"));
    let (_, message) = header::parse(&zlb, false).unwrap();
    assert_eq!(avp::check_structure(message, true), Ok(MessageTypeAvp::Zlb));
    assert_eq!(decode(message, &STRICT).message, Ok(Message::Ack));
}

// C-283..C-290: without digests, too, each message comes out as it came in.
#[test]
fn plain_exchange_octet_for_octet() {
    for packet in load("plain.txt") {
        let (header, message) = header::parse(&packet.octets, false).unwrap();
        let decoded = decode(message, &STRICT);
        assert_eq!(decoded.notes, [], "{}", packet.label);
        let value = decoded.message.unwrap();
        let mut again = if packet.label == "B ZLB" { encode_zlb() } else { encode(&value, &PLAIN).unwrap() };
        header::stamp(&mut again, header.ccid, header.ns, header.nr);
        assert_eq!(again, packet.octets, "{}", packet.label);
    }
}

/// What becomes of a message: the fault of its header or structure, why it is refused, or what it is; and notes.
fn outcome(octets: &[u8]) -> String {
    let (_, message) = match header::parse(octets, false) {
        Ok(parsed) => parsed,
        Err(error) => return format!("header {error:?}"),
    };
    if let Err(error) = avp::check_structure(message, true) {
        return format!("structure {error:?}");
    }
    let decoded = decode(message, &STRICT);
    let notes: String = decoded.notes.iter().map(|note| format!(", {note:?}")).collect();
    match decoded.message {
        Ok(message) => format!("{}{notes}", message.message_type()),
        Err(refusal) => {
            let (ccid, ids) = (refusal.assigned_ccid.is_some(), refusal.ids.is_some());
            let code = refusal.why.error_code();
            format!(
                "{} refused, error {code}, ccid {ccid}, ids {ids}: {}{notes}",
                refusal.message, refusal.why
            )
        }
    }
}

// C-005 C-194 C-196 C-197 C-200 C-203 C-206 C-207 C-208 C-210 C-211 C-251 C-260 C-263 C-281 C-303 C-304 C-350: what
// each message with a single fault comes to.
#[test]
fn every_malformed_message() {
    let expected = [
        ("N-01", "header NoT"),
        ("N-02", "header NoL"),
        ("N-03", "header NoS"),
        ("N-04", "header Version(2)"),
        ("N-05", "SCCRQ"),
        ("N-06", "header Length(103)"),
        ("N-07", "header Length(11)"),
        ("N-08", "header Short(8)"),
        ("N-09", "structure FirstAvpNotMessageType"),
        ("N-10", "structure ReservedBit(AvpId { vendor: 0, attribute: 7 })"),
        ("N-11", "structure WrongSize(5)"),
        ("N-12", "structure WrongSize(27)"),
        (
            "N-13",
            "SCCRQ refused, error 8, ccid true, ids false: unknown AVP 200 with the M bit set, \
             UnknownAttribute { avp: AvpId { vendor: 0, attribute: 200 }, mandatory: true }",
        ),
        ("N-14", "SCCRQ, UnknownAttribute { avp: AvpId { vendor: 0, attribute: 200 }, mandatory: false }"),
        (
            "N-15",
            "SCCRQ refused, error 8, ccid true, ids false: unknown AVP 1 of vendor 9999 with the M bit set, \
             UnknownVendor { avp: AvpId { vendor: 9999, attribute: 1 }, length: 8, mandatory: true }",
        ),
        ("N-16", "SCCRQ, UnknownVendor { avp: AvpId { vendor: 9999, attribute: 1 }, length: 8, mandatory: false }"),
        ("N-17", "99 refused, error 8, ccid false, ids false: unknown message type"),
        ("N-18", "99 refused, error 8, ccid false, ids false: unknown message type"),
        ("N-19", "21 refused, error 8, ccid false, ids false: unknown message type"),
        ("N-20", "SCCRQ"),
        ("N-21", "SCCRQ"),
        ("N-22", "SCCRQ"),
        ("N-23", "SCCRP"),
        (
            "N-24",
            "ICRQ refused, error 2, ccid false, ids true: \
             Assigned Cookie AVP (65): its value cannot have 5 octets",
        ),
        ("N-25", "ICRQ"),
        ("N-26", "ICRQ"),
        ("N-27", "ICRQ refused, error 6, ccid false, ids true: Serial Number AVP (15) not found"),
        ("N-28", "ICRQ"),
        ("N-29", "ICRQ"),
        ("N-30", "ICRQ"),
        ("N-31", "ICRQ, NotInThisMessage { name: \"Host Name\" }"),
        ("N-32", "StopCCN"),
        ("N-33", "CDN"),
        ("N-34", "OCRQ"),
        ("N-35", "OCRP"),
        ("N-36", "OCCN"),
        ("N-37", "ICRQ"),
        ("N-38", "SCCRQ"),
        ("N-39", "SCCRQ"),
        ("N-40", "HELLO"),
        ("N-41", "HELLO"),
        ("N-42", "HELLO"),
        (
            "N-43",
            "SCCRQ refused, error 3, ccid false, ids false: \
             Assigned Control Connection ID AVP (61): value out of range",
        ),
        ("N-44", "SCCRQ"),
        ("N-45", "SCCRQ"),
        ("N-46", "SCCRQ"),
        ("N-47", "StopCCN, BadResultCode"),
        (
            "N-48",
            "SCCRQ refused, error 2, ccid true, ids false: Router ID AVP (60): its value cannot have 3 octets",
        ),
        ("N-49", "ICRQ, Ignored { name: \"Rx Connect Speed\", length: 4, why: BadLength { avp: Rx Connect Speed AVP (75), length: 4 } }"),
        (
            "N-50",
            "SCCRQ refused, error 3, ccid true, ids false: \
             Host Name AVP (7): hidden, and must not be or cannot be unhidden",
        ),
    ];
    let packets = load("malformed.txt");
    assert_eq!(packets.len(), expected.len());
    for (packet, (label, expected)) in packets.iter().zip(expected) {
        assert_eq!(packet.label, label);
        assert_eq!(outcome(&packet.octets), expected, "{label}");
    }
}

/// A message of `malformed.txt` that decodes.
fn accepted(label: &str) -> Message {
    decode(&one("malformed.txt", label), &STRICT).message.unwrap()
}

fn refused(label: &str) -> Refusal {
    decode(&one("malformed.txt", label), &STRICT).message.unwrap_err()
}

// The values of the outcomes that the protocol goes on to judge.
#[test]
fn values_of_messages_with_a_fault() {
    let Message::Icrq(cookie) = accepted("N-26") else { panic!("ICRQ") };
    assert_eq!(cookie.avps.cookie, Cookie::new(&hex("a1a2a3a4a5a6a7a8")), "C-141");
    let Message::Icrq(icrq) = accepted("N-30") else { panic!("ICRQ") };
    assert_eq!((icrq.avps.sequencing, icrq.avps.sublayer), (Some(2), None), "C-148");
    let Message::Icrq(icrq) = accepted("N-29") else { panic!("ICRQ") };
    assert_eq!(icrq.pw_type, 7, "C-137");
    let Message::Icrq(icrq) = accepted("N-49") else { panic!("ICRQ") };
    assert_eq!(icrq.avps.rx_speed, None, "C-206");
    let Message::StopCcn(stop) = accepted("N-32") else { panic!("StopCCN") };
    let result = stop.result.unwrap();
    assert_eq!((result.result, result.error, result.message), (99, Some(77), None), "C-303");
    let Message::StopCcn(stop) = accepted("N-47") else { panic!("StopCCN") };
    assert_eq!((stop.result, stop.assigned_ccid), (None, Some(Ccid(0x1122_3344))), "C-304");
    let Message::Sccrq(set_up) = accepted("N-44") else { panic!("SCCRQ") };
    assert_eq!(set_up.receive_window, None, "C-066: a window of 0 counts as absent");

    let why = refused("N-18").why;
    assert_eq!(why, Why::UnknownMessageType { vendor: 0, mandatory: false }, "C-211");
    assert!(refused("N-19").message.is_assigned() && !refused("N-17").message.is_assigned());
    let refusal = refused("N-24");
    let ids = refusal.ids.unwrap();
    assert_eq!((ids.local, ids.remote), (SessionId(0x0a0b_0c0d), SessionId(0)), "C-134");
    assert_eq!(refused("N-13").assigned_ccid, Some(Ccid(0x1122_3344)));
    assert_eq!(refused("N-17").message, MessageType(99));

    let digest = |label: &str| {
        let verdict = digest::verify(&one("malformed.txt", label), &[&secret()], &[], &[]);
        (verdict.valid, verdict.present, verdict.unsupported)
    };
    assert_eq!(digest("N-20"), (None, true, Some(1)), "C-231");
    assert_eq!(digest("N-21"), (None, true, None), "C-224");
    assert_eq!(digest("N-22"), (None, false, None), "C-224");
}

// C-191 C-193 C-195: lengths 0 to 5, leftover octets; reserved bits only if the configuration wants it.
#[test]
fn structure() {
    let hello = hex("8008000000000006");
    let check = |avp: &[u8]| avp::check_structure(&message(&[&hello, avp]), true);
    for length in 0..6_u8 {
        let avp = [0x80, length, 0, 0, 0, 8];
        assert_eq!(check(&avp), Err(StructureError::WrongSize(usize::from(length))));
    }
    for left in 1..6 {
        assert_eq!(check(&[0xff; 5][..left]), Err(StructureError::WrongSize(left)), "C-195");
    }
    let hello_type = MessageTypeAvp::Type { vendor: 0, value: MessageType::HELLO, mandatory: true };
    assert_eq!(check(&[0, 6, 0, 0, 0, 8]), Ok(hello_type));
    for bit in [0x04_u8, 0x08, 0x10, 0x20] {
        let avp = [bit, 6, 0, 9, 0, 8];
        let reserved = Err(StructureError::ReservedBit(AvpId { vendor: 9, attribute: 8 }));
        assert_eq!(check(&avp), reserved, "bit {bit:#x}");
        assert_eq!(avp::check_structure(&message(&[&hello, &avp]), false), Ok(hello_type));
    }
    let longest = [vec![0x03, 0xff, 0, 0, 0, 8], vec![b'x'; avp::MAX_VALUE]].concat();
    assert_eq!(check(&longest), Ok(hello_type), "C-191: 1023 octets");
    assert_eq!(check(&longest[..longest.len() - 1]), Err(StructureError::WrongSize(1023)));

    // C-364: not more AVPs than MAX_AVPS, the Message Type AVP included.
    let many = [0, 6, 0, 0, 0, 8].repeat(avp::MAX_AVPS - 1);
    assert_eq!(check(&many), Ok(hello_type));
    let more = [0, 6, 0, 0, 0, 8].repeat(avp::MAX_AVPS);
    assert_eq!(check(&more), Err(StructureError::TooMany));

    // C-196 C-253: the Message Type AVP is not hidden and has two octets.
    let first = |avp: &[u8]| avp::check_structure(&message(&[avp]), true);
    assert_eq!(first(&hex("c008000000000006")), Err(StructureError::FirstAvpNotMessageType));
    for avp in ["80070000000006", "800600000000", "800900000000000600", "8008000000070006"] {
        assert_eq!(first(&hex(avp)), Err(StructureError::FirstAvpNotMessageType), "M-038");
    }
    let vendor = MessageTypeAvp::Type { vendor: 193, value: MessageType(7), mandatory: true };
    assert_eq!(first(&hex("800800c100000007")), Ok(vendor), "C-212");
    assert_eq!(avp::check_structure(&[0; 11], true), Err(StructureError::WrongSize(11)));
}

// C-022 C-023 C-306 C-307 C-312 C-313: headers of data messages before the frame.
#[test]
fn data_headers_octet_for_octet() {
    let (eight, four) = (hex("b1b2b3b4b5b6b7b8"), hex("b1b2b3b4"));
    // Encapsulation, cookie, sublayer with or without a sequence number.
    type Case<'a> = (Encapsulation, &'a [u8], Option<Option<u32>>);
    let cases: [Case; 9] = [
        (Encapsulation::Ip, &[], None),
        (Encapsulation::Ip, &eight, None),
        (Encapsulation::Ip, &four, None),
        (Encapsulation::Ip, &eight, Some(Some(0))),
        (Encapsulation::Ip, &eight, Some(Some(0xff_ffff))),
        (Encapsulation::Ip, &eight, Some(None)),
        (Encapsulation::Ip, &eight, None),
        (Encapsulation::Udp, &eight, None),
        (Encapsulation::Udp, &[], Some(Some(7))),
    ];
    let packets = load("data.txt");
    assert_eq!(packets.len(), cases.len());
    for (packet, (encapsulation, cookie, sublayer)) in packets.iter().zip(cases) {
        let format = Format {
            encapsulation,
            session: SessionId(0x1a1b_1c1d),
            cookie: Cookie::new(cookie).unwrap(),
            sublayer: sublayer.is_some(),
        };
        let (octets, length) = format.header();
        let mut header = octets[..length].to_vec();
        assert_eq!(format.header_length(), length);
        if let Some(sequence) = sublayer {
            let start = length - 4;
            assert_eq!(header[start..], [0; 4]);
            if let Some(sequence) = sequence {
                header[start..].copy_from_slice(&Sublayer::sequenced(sequence));
            }
            let read = Sublayer::from_octets(header[start..].try_into().unwrap());
            let sequenced = sequence.is_some();
            let sequence = sequence.unwrap_or(0);
            assert_eq!(
                read,
                Sublayer { sequenced, sequence, part: Part::Whole, foreign: false },
                "{}",
                packet.label
            );
        }
        // The frame begins with its destination address.
        assert_eq!(packet.octets[..length], header, "{}", packet.label);
        assert_eq!(packet.octets[length..length + 6], hex("020000000002"), "{}", packet.label);
    }
}

// C-310 C-311 C-347 C-352: S and the number; what belongs to VCCV or to fragments is told apart.
#[test]
fn sublayer_bits() {
    let read = |octets| Sublayer::from_octets(octets);
    let whole = |sequenced| Sublayer { sequenced, sequence: 0x01_0203, part: Part::Whole, foreign: false };
    assert_eq!(read([0x40, 1, 2, 3]), whole(true));
    assert_eq!(read([0x0f, 1, 2, 3]), whole(false));
    // RFC 4623 5.5, 2: B and E of a whole frame are 0, of the first fragment 01, of the last 10, of those between 11.
    for (octet, part) in [(0x50, Part::First), (0x70, Part::Middle), (0x60, Part::Last), (0x40, Part::Whole)]
    {
        assert_eq!(read([octet, 1, 2, 3]), Sublayer { part, ..whole(true) });
        assert_eq!(Sublayer::fragment(0x01_0203, part), [octet, 1, 2, 3]);
    }
    assert_eq!(read([0x20, 1, 2, 3]), Sublayer { part: Part::Last, ..whole(false) });
    for foreign in [0x80, 0xc0, 0xf0] {
        assert!(read([foreign, 0, 0, 0]).foreign, "{foreign:#x}");
    }
    assert_eq!(Sublayer::sequenced(0x0100_0000), [0x40, 0, 0, 0], "24 bits");
}

// C-315: new is the half of the numbers that begins with the expected one; C-313: zero follows 0xffffff.
#[test]
fn data_sequence() {
    let accepted = |numbers: &[u32]| {
        let mut sequence = ReceiveSequence::default();
        numbers.iter().map(|number| sequence.accept(*number)).collect::<Vec<_>>()
    };
    assert_eq!(accepted(&[0, 1, 3, 2, 4]), [true, true, true, false, true]);
    assert_eq!(accepted(&[0, 0]), [true, false]);
    assert_eq!(accepted(&[0x7f_ffff, 0xff_ffff, 0, 0xff_ffff]), [true, true, true, false]);
    // Expected 5 after 4.
    for (number, new) in [(4, false), (5, true), (0x80_0004, true), (0x80_0005, false), (0, false)] {
        assert_eq!(accepted(&[4, number]), [true, new], "{number:#x}");
    }
}

// C-316: a run of old numbers that are in sequence among themselves starts the receiver over.
#[test]
fn data_sequence_starts_over_with_the_sender() {
    let mut sequence = ReceiveSequence::default();
    assert!(sequence.accept(100_000));
    for number in 1..RESET_AFTER {
        assert!(!sequence.accept(number), "{number}");
    }
    assert!(sequence.accept(RESET_AFTER));
    assert!(sequence.accept(RESET_AFTER + 1));
    assert!(!sequence.accept(RESET_AFTER), "old again");

    // Old numbers that do not follow one another never do that.
    let mut sequence = ReceiveSequence::default();
    assert!(sequence.accept(100_000));
    for number in 1..100 {
        assert!(!sequence.accept(number * 2), "{number}");
    }
    assert!(sequence.accept(100_001));
    // A new number in between ends the run.
    for number in 1..RESET_AFTER {
        assert!(!sequence.accept(number));
    }
    assert!(sequence.accept(100_002));
    assert!(!sequence.accept(RESET_AFTER));
}
