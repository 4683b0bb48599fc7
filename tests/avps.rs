//! The rules for AVPs, one by one: which message carries which, lengths, ranges, M bits, unknown and repeated AVPs,
//! and what the encoder refuses. The matrix below is written out again by hand, not taken from the program's table.

mod support;

use l2tpd::wire::attribute::{Attribute, AvpId, TABLE};
use l2tpd::wire::avp;
use l2tpd::wire::code;
use l2tpd::wire::digest::Secret;
use l2tpd::wire::hidden::hide;
use l2tpd::wire::message::{
    decode, encode, Cdn, DecodeOptions, Dialect, EncodeError, EncodeOptions, Iccn, Icrp, Icrq, Message, Note,
    ResultCode, SessionAvps, SessionIds, SetUp, Sli, StopCcn, Why,
};
use l2tpd::wire::{Ccid, CircuitStatus, Cookie, MessageType, SessionId};
use support::packets::{hex, load, message, one};

const STRICT: DecodeOptions<'static> = DecodeOptions { secrets: &[], cisco: false, version_2: false };
const PLAIN: EncodeOptions<'static> = EncodeOptions { digest: false, hide: None, dialect: Dialect::IETF };

/// Message type, required attributes in the order of reporting, optional attributes.
/// C-283 C-284 C-285 C-286 C-287 C-288 C-289 C-290 C-291 C-292 C-293 C-294 C-295 C-296 C-297; C-346 C-349 C-351 C-353
/// for 91, 94 to 96 and 76.
const MATRIX: [(u16, &[u16], &[u16]); 15] = [
    (1, &[7, 60, 61, 62], &[36, 59, 73, 5, 8, 10, 72, 58, 76]),
    (2, &[7, 60, 61, 62], &[36, 59, 73, 8, 10, 72, 58, 76]),
    (3, &[], &[36, 59, 58]),
    (4, &[1], &[36, 59, 61, 58]),
    (6, &[], &[36, 59, 58]),
    (7, &[63, 64, 15, 68, 66, 71], &[36, 59, 65, 5, 69, 70, 74, 75, 58, 89, 90, 91, 94, 95, 96]),
    (8, &[63, 64, 71], &[36, 59, 65, 69, 70, 74, 75, 25, 58, 91, 94, 95, 96]),
    (9, &[63, 64], &[36, 59, 69, 70, 74, 75, 71, 58, 91, 94, 95, 96]),
    (10, &[63, 64, 15, 68, 66, 71], &[36, 59, 65, 5, 69, 70, 74, 75, 25, 58, 89, 90, 91, 94, 95, 96]),
    (11, &[63, 64, 71], &[36, 59, 65, 69, 70, 74, 75, 25, 58, 91, 94, 95, 96]),
    (12, &[63, 64], &[36, 59, 69, 70, 74, 75, 71, 58, 91, 94, 95, 96]),
    (14, &[1, 63, 64], &[36, 59, 58]),
    (15, &[63, 64, 34], &[36, 59, 58]),
    (16, &[63, 64], &[36, 59, 71, 58, 94, 95]),
    (20, &[], &[59, 58]),
];

/// Every attribute that is known, with the lengths its value may have, and some that it may not have.
/// C-204 C-254 C-255 C-256 C-257 C-258 C-259 C-260 C-261 C-262 C-263 C-264 C-265 C-266 C-267 C-268 C-269 C-270 C-271
/// C-272 C-273 C-274 C-275 C-276 C-277 C-278 C-279 C-280 C-281.
const LENGTHS: [(u16, &[usize], &[usize]); 33] = [
    (1, &[2, 4, 5, 60], &[0, 1, 3]),
    (5, &[8], &[0, 7, 9]),
    (7, &[1, 255, 1017], &[0]),
    (8, &[0, 1, 255], &[]),
    (10, &[2], &[0, 1, 3, 4]),
    (15, &[4], &[0, 3, 5]),
    (25, &[4], &[0, 3, 5]),
    (34, &[18, 26], &[0, 17, 24, 32]),
    (36, &[1, 16, 64], &[0]),
    (58, &[6, 7, 100], &[0, 5]),
    (59, &[1, 17, 21], &[0]),
    (60, &[4], &[0, 3, 5]),
    (61, &[4], &[0, 2, 3, 5]),
    (62, &[2, 4, 20], &[0, 1, 3]),
    (63, &[4], &[0, 2, 3, 5]),
    (64, &[4], &[0, 2, 3, 5]),
    (65, &[0, 4, 8], &[1, 5, 7, 9]),
    (66, &[0, 1, 4, 255], &[]),
    (68, &[2], &[0, 1, 3, 4]),
    (69, &[2], &[0, 1, 3, 4]),
    (70, &[2], &[0, 1, 3, 4]),
    (71, &[2], &[0, 1, 3, 4]),
    (72, &[0, 2, 5], &[]),
    (73, &[1, 16, 64, 1017], &[0]),
    (74, &[8], &[0, 4, 7, 9]),
    (75, &[8], &[0, 4, 7, 9]),
    (76, &[0, 10], &[]),
    (89, &[0, 10], &[]),
    (90, &[0, 10], &[]),
    (91, &[2], &[0, 1, 3, 4]),
    (94, &[2], &[0, 1, 3]),
    (95, &[2], &[0, 1, 3]),
    (96, &[2], &[0, 1, 3]),
];

/// An AVP as octets.
fn raw(mandatory: bool, vendor: u16, attribute: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len() + 6).unwrap();
    let flags = if mandatory { 0x8000 | length } else { length };
    [&flags.to_be_bytes(), &vendor.to_be_bytes(), &attribute.to_be_bytes(), value].concat()
}

/// A value of this many octets that is in range for every attribute.
fn value(length: usize) -> Vec<u8> {
    let mut octets = vec![0; length];
    if let Some(last) = octets.last_mut() {
        *last = 1;
    }
    octets
}

/// A good AVP of the IETF with the first good length.
fn good(mandatory: bool, attribute: u16) -> Vec<u8> {
    let (_, lengths, _) = LENGTHS.iter().find(|(number, ..)| *number == attribute).unwrap();
    raw(mandatory, 0, attribute, &value(lengths[0]))
}

fn message_type(kind: u16) -> Vec<u8> {
    raw(true, 0, 0, &kind.to_be_bytes())
}

/// A message with good AVPs of these attributes, and further AVPs as they are.
fn build(kind: u16, attributes: &[u16], more: &[Vec<u8>]) -> Vec<u8> {
    let mut avps = vec![message_type(kind)];
    avps.extend(attributes.iter().map(|attribute| good(true, *attribute)));
    avps.extend(more.iter().cloned());
    message(&avps.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// Why a message of sound structure is refused.
fn why(octets: &[u8], options: &DecodeOptions<'_>) -> Option<Why> {
    avp::check_structure(octets, true).unwrap();
    decode(octets, options).message.err().map(|refusal| refusal.why)
}

fn name_of(attribute: u16, kind: u16) -> &'static str {
    match attribute {
        5 if kind == 1 => "Control Connection Tie Breaker",
        5 => "Session Tie Breaker",
        7 => "Host Name",
        15 => "Serial Number",
        60 => "Router ID",
        61 => "Assigned Control Connection ID",
        62 => "Pseudowire Capabilities List",
        63 => "Local Session ID",
        64 => "Remote Session ID",
        66 => "Remote End ID",
        68 => "Pseudowire Type",
        71 => "Circuit Status",
        _ => panic!("no name for {attribute}"),
    }
}

/// Whether an AVP that does not belong into a message deserves a warning there: it is about connections and the message
/// about a session, or the other way round; or it is a cookie.
fn is_strange(attribute: u16, kind: u16) -> bool {
    let of_session = matches!(kind, 7..=12 | 14..=16);
    match attribute {
        65 => true,
        1 | 5 | 36 | 58 | 59 => false, // both have these
        7 | 8 | 10 | 60..=62 | 72 | 73 | 76 => of_session,
        _ => !of_session,
    }
}

/// The row of this name and number.
fn known(name: &str, number: u16) -> &'static Attribute {
    TABLE.iter().find(|row| (row.name, row.id) == (name, AvpId::ietf(number))).expect("a row of the table")
}

// A message with exactly its required AVPs is accepted; with all optional ones too; without one required AVP it is
// refused for that one; every other AVP is ignored, and noted only if it is about something else (C-208).
#[test]
fn each_avp_in_each_message() {
    for (kind, required, optional) in MATRIX {
        let least = decode(&build(kind, required, &[]), &STRICT);
        assert_eq!(least.notes, [], "message {kind}");
        let least = least.message.unwrap();
        assert_eq!(least.message_type(), MessageType(kind));

        let all: Vec<u16> = [required, optional].concat();
        let most = decode(&build(kind, &all, &[]), &STRICT);
        assert_eq!((most.notes, most.message.is_ok()), (vec![], true), "message {kind} with everything");

        for (attribute, ..) in LENGTHS {
            if all.contains(&attribute) {
                continue;
            }
            for mandatory in [true, false] {
                let octets = build(kind, required, &[good(mandatory, attribute)]);
                let decoded = decode(&octets, &STRICT);
                assert_eq!(decoded.message, Ok(least.clone()), "{attribute} in {kind}");
                let strange = matches!(decoded.notes[..], [Note::NotInThisMessage { .. }]);
                assert_eq!(
                    strange,
                    is_strange(attribute, kind),
                    "{attribute} in {kind}: {:?}",
                    decoded.notes
                );
                assert_eq!(decoded.notes.len(), usize::from(strange), "{attribute} in {kind}");
            }
        }
    }
}

// C-207: a required AVP that is not there, the first one of several; C-304 for the Result Code.
#[test]
fn each_required_avp_missing() {
    for (kind, required, _) in MATRIX {
        // Of messages that are not supported only the ids are wanted.
        let only_ids = matches!(kind, 7..=9 | 15);
        for missing in required {
            let rest: Vec<u16> = required.iter().copied().filter(|number| number != missing).collect();
            let decoded = decode(&build(kind, &rest, &[]), &STRICT);
            match missing {
                1 => {
                    assert!(decoded.message.is_ok());
                    assert_eq!(decoded.notes, [Note::BadResultCode]);
                }
                _ if only_ids && !matches!(missing, 63 | 64) => assert!(decoded.message.is_ok()),
                _ => {
                    let name = name_of(*missing, kind);
                    let refusal = decoded.message.unwrap_err();
                    assert_eq!(refusal.why, Why::Missing(known(name, *missing)), "in {kind}");
                    assert_eq!(refusal.why.error_code(), code::error::VENDOR);
                    assert_eq!(refusal.assigned_ccid.is_some(), rest.contains(&61));
                    assert_eq!(refusal.ids.is_some(), rest.contains(&63) || rest.contains(&64), "C-198");
                }
            }
        }
    }
    let nothing = why(&build(10, &[], &[]), &STRICT);
    assert_eq!(nothing, Some(Why::Missing(known("Local Session ID", 63))));
}

// C-206 C-281: a wrong length costs the message if M=1, and only the AVP if M=0 (then a required one is missing).
#[test]
fn each_length() {
    for (attribute, lengths, bad_lengths) in LENGTHS {
        let holder = MATRIX.iter().find(|(kind, required, optional)| {
            !matches!(kind, 4 | 7..=9 | 14)
                && (required.contains(&attribute) || optional.contains(&attribute))
        });
        // OCRQ, OCRP and OCCN are read for their ids only; the Result Code stands only in messages that are never
        // refused (below).
        let Some((kind, required, _)) = holder else { continue };
        let rest: Vec<u16> = required.iter().copied().filter(|number| *number != attribute).collect();
        let with = |mandatory, length| build(*kind, &rest, &[raw(mandatory, 0, attribute, &value(length))]);
        for length in lengths {
            for mandatory in [true, false] {
                let decoded = decode(&with(mandatory, *length), &STRICT);
                assert_eq!(decoded.notes, [], "{attribute}, {length} octets");
                assert!(decoded.message.is_ok(), "{attribute}, {length} octets, C-201");
            }
        }
        for length in bad_lengths {
            match why(&with(true, *length), &STRICT) {
                Some(Why::BadLength { avp: blamed, length: told }) => {
                    assert_eq!((blamed.id, told), (AvpId::ietf(attribute), *length));
                }
                other => panic!("{attribute}, {length} octets: {other:?}"),
            }
            let ignored = decode(&with(false, *length), &STRICT);
            let noted = matches!(ignored.notes[..], [Note::Ignored { length: told, .. }] if told == *length);
            assert!(noted, "{attribute}, {length} octets: {:?}", ignored.notes);
            let needed = required.contains(&attribute) && *kind != 15;
            assert_eq!(ignored.message.is_err(), needed, "{attribute}, {length} octets");
        }
    }
    assert_eq!(
        why(&build(10, &[63, 64, 15, 68, 66, 71], &[raw(true, 0, 65, &[0; 5])]), &STRICT)
            .unwrap()
            .error_code(),
        code::error::LENGTH
    );
}

// C-257 C-304: Result Code with 2, 4 or more octets; anything else counts as none.
#[test]
fn result_codes() {
    let read = |value: &[u8]| {
        let decoded = decode(&build(14, &[63, 64], &[raw(true, 0, 1, value)]), &STRICT);
        let Message::Cdn(cdn) = decoded.message.unwrap() else { panic!("CDN") };
        (cdn.result, decoded.notes)
    };
    let code = |result, error, message: Option<&str>| {
        let message = message.map(|text| text.as_bytes().to_vec());
        (Some(ResultCode { result, error, message }), vec![])
    };
    assert_eq!(read(&[0, 3]), code(3, None, None));
    assert_eq!(read(&[0, 2, 0, 8]), code(2, Some(8), None));
    assert_eq!(read(b"\x00\x02\x00\x06no"), code(2, Some(6), Some("no")));
    for bad in [&[][..], &[0], &[0, 3, 0]] {
        assert_eq!(read(bad), (None, vec![Note::BadResultCode]));
    }
    let hidden = [&[0xc0, 8, 0, 0, 0, 1], &[0, 3][..]].concat();
    let decoded = decode(&build(4, &[61], &[hidden]), &STRICT);
    assert_eq!(decoded.notes, [Note::BadResultCode], "C-251");
}

// C-263 C-267 C-274 C-206: values out of range.
#[test]
fn ranges() {
    let session = [63, 64, 15, 68, 66, 71];
    let bad = |name, attribute| Some(Why::BadValue(known(name, attribute)));
    let zero_id = build(11, &[64, 71], &[raw(true, 0, 63, &[0; 4])]);
    assert_eq!(why(&zero_id, &STRICT), bad("Local Session ID", 63));
    let only_remote = SessionIds { local: SessionId(0), remote: SessionId(1) };
    assert_eq!(decode(&zero_id, &STRICT).message.unwrap_err().ids, Some(only_remote));
    let no_id = build(10, &[15, 68, 66, 71], &[raw(true, 0, 63, &[0; 4]), raw(true, 0, 64, &[0; 4])]);
    assert_eq!(decode(&no_id, &STRICT).message.unwrap_err().ids, None);
    let zero_ccid = build(2, &[7, 60, 62], &[raw(true, 0, 61, &[0; 4])]);
    assert_eq!(why(&zero_ccid, &STRICT), bad("Assigned Control Connection ID", 61));
    for sequencing in [0_u16, 1, 2, 3, 0x0100] {
        let octets = build(10, &session, &[raw(true, 0, 70, &sequencing.to_be_bytes())]);
        let expected = if sequencing > 2 { bad("Data Sequencing", 70) } else { None };
        assert_eq!(why(&octets, &STRICT), expected, "{sequencing}");
    }
    let range = Why::BadValue(known("Data Sequencing", 70));
    assert_eq!(range.error_code(), code::error::RANGE);
    // C-133 C-268: a Remote Session ID of 0 is fine. C-345: so are unknown circuit status bits.
    let octets = build(16, &[63], &[raw(true, 0, 64, &[0; 4]), raw(true, 0, 71, &[0xff, 0x81])]);
    let Ok(Message::Sli(sli)) = decode(&octets, &STRICT).message else { panic!("SLI") };
    assert_eq!((sli.ids.remote, sli.circuit_status), (SessionId(0), Some(CircuitStatus(0xff81))));
    // C-325: N is not looked at. C-343 C-344: a fault or standby stops traffic whatever A says.
    let carries = |bits| CircuitStatus(bits).carries_traffic();
    assert!(carries(1) && carries(3) && carries(0xff81));
    assert!(![0, 2, 0x41, 5, 9, 0x11, 0x21].into_iter().any(carries));
}

// C-201: the M bit of a known AVP is not looked at.
#[test]
fn all_m_bits_flipped() {
    for packet in load("plain.txt").into_iter().chain(load("authenticated.txt")) {
        let before = decode(&packet.octets, &STRICT);
        let mut flipped = packet.octets.clone();
        let mut at = 12;
        for avp in avp::iter(&packet.octets) {
            flipped[at] ^= 0x80;
            at += avp.value.len() + 6;
        }
        assert_eq!(decode(&flipped, &STRICT), before, "{}", packet.label);
    }
}

// C-251 C-252: with the right secret and a Random Vector, what may be hidden is read, and what must not be is refused
// (or ignored, with M=0).
#[test]
fn which_avps_may_be_hidden() {
    let secret = Secret::new(b"secret");
    let options = DecodeOptions { secrets: &[&secret], ..STRICT };
    for (kind, required, optional) in MATRIX.into_iter().filter(|(kind, ..)| matches!(kind, 1 | 10 | 11)) {
        for attribute in required.iter().chain(optional).copied().filter(|number| *number != 36) {
            let rest: Vec<u16> = required.iter().copied().filter(|number| *number != attribute).collect();
            let (_, lengths, _) = LENGTHS.iter().find(|(number, ..)| *number == attribute).unwrap();
            let hidden = hide(attribute, &value(lengths[0]), &[0; 3], &[9; 16], &secret).unwrap();
            let with = |mandatory: bool| {
                let mut avp = raw(mandatory, 0, attribute, &hidden);
                avp[0] |= 0x40;
                decode(&build(kind, &rest, &[raw(true, 0, 36, &[9; 16]), avp]), &options)
            };
            let never = matches!(attribute, 1 | 5 | 7 | 10 | 36 | 59 | 60 | 73 | 76);
            match with(true).message {
                Ok(_) => assert!(!never, "{attribute} in {kind}"),
                Err(refusal) => {
                    let hiding =
                        matches!(refusal.why, Why::BadHiding(told) if told.id == AvpId::ietf(attribute));
                    assert!(never && hiding, "{attribute} in {kind}: {}", refusal.why);
                }
            }
            let ignored = matches!(with(false).notes[..], [Note::Ignored { .. }]);
            assert_eq!(ignored, never, "{attribute} in {kind}");
        }
    }
}

// C-197 C-198 C-199 C-200: unknown AVPs. C-349: Tunnel Recovery (77, M=1) is one of them, 76 is not.
#[test]
fn unknown_avps() {
    let set_up = [7, 60, 61, 62];
    let refused = why(&build(1, &set_up, &[raw(true, 0, 77, &[0; 10])]), &STRICT);
    assert_eq!(refused, Some(Why::UnknownMandatory(AvpId::ietf(77))));
    let text = refused.unwrap().to_string();
    assert!(text.contains("77"), "C-199: {text}");
    let decoded = decode(&build(1, &set_up, &[raw(false, 0, 77, &[0; 10])]), &STRICT);
    assert!(decoded.message.is_ok());
    assert_eq!(decoded.notes, [Note::UnknownAttribute { avp: AvpId::ietf(77), mandatory: false }]);
    // The ids are told even if they stand after the unknown AVP.
    let early = message(&[&message_type(12), &raw(true, 0, 200, &[]), &good(true, 63), &good(true, 64)]);
    let refusal = decode(&early, &STRICT).message.unwrap_err();
    assert_eq!(refusal.ids, Some(SessionIds { local: SessionId(1), remote: SessionId(1) }), "C-198");
    // The first fault is the one that is told.
    let two = build(1, &[7, 60, 62], &[raw(true, 0, 61, &[1]), raw(true, 0, 200, &[])]);
    assert!(matches!(why(&two, &STRICT), Some(Why::BadLength { avp, .. }) if avp.id == AvpId::ietf(61)));
    // C-103 C-153: what closes takes effect all the same.
    let stop = build(4, &[1, 61], &[raw(true, 0, 200, &[]), raw(true, 7, 1, &[])]);
    let decoded = decode(&stop, &STRICT);
    assert!(matches!(decoded.message, Ok(Message::StopCcn(StopCcn { result: Some(_), .. }))));
    assert_eq!(decoded.notes.len(), 2);
    let stop = decode(&build(4, &[1], &[raw(true, 0, 61, &[0; 3])]), &STRICT);
    let name = "Assigned Control Connection ID";
    assert_eq!(
        stop.notes,
        [Note::Ignored { name, length: 3, why: Why::BadLength { avp: known(name, 61), length: 3 } }]
    );
    assert!(matches!(stop.message, Ok(Message::StopCcn(StopCcn { assigned_ccid: None, .. }))));
    let cdn = why(&build(14, &[1, 64], &[raw(true, 0, 63, &[0; 4])]), &STRICT);
    assert_eq!(cdn, Some(Why::Missing(known("Local Session ID", 63))), "of no session");
    // C-212: a message type of a vendor.
    let vendor = message(&[&raw(true, 193, 0, &[0, 10]), &good(true, 63)]);
    assert_eq!(why(&vendor, &STRICT), Some(Why::UnknownMessageType { vendor: 193, mandatory: true }));
}

// C-209: of repeated AVPs the first counts, even if a later one is bad; a bad one with M=0 does not count.
#[test]
fn repeated_avps() {
    let name = |text: &[u8]| raw(true, 0, 7, text);
    let host = |more: &[Vec<u8>]| match decode(&build(1, &[60, 61, 62], more), &STRICT).message {
        Ok(Message::Sccrq(set_up)) => set_up.host_name,
        other => panic!("{other:?}"),
    };
    assert_eq!(host(&[name(b"one"), name(b"two")]), b"one");
    assert_eq!(host(&[name(b"one"), name(b"")]), b"one");
    assert_eq!(host(&[raw(false, 0, 7, b""), name(b"two")]), b"two");
}

// C-205: what only L2TPv2 knows is unknown in version 3, and passed over in a version 2 SCCRQ (C-015) or for Cisco.
#[test]
fn leftovers_of_version_2() {
    let set_up = [7, 60, 61, 62];
    let leftovers: Vec<Vec<u8>> =
        [2, 3, 4, 6, 9, 11, 13, 19, 24, 38, 39].map(|number| raw(true, 0, number, &[1, 0])).to_vec();
    let octets = build(1, &set_up, &leftovers);
    assert_eq!(why(&octets, &STRICT), Some(Why::UnknownMandatory(AvpId::ietf(2))));
    for options in [DecodeOptions { version_2: true, ..STRICT }, DecodeOptions { cisco: true, ..STRICT }] {
        let decoded = decode(&octets, &options);
        assert_eq!((decoded.message.is_ok(), decoded.notes), (true, vec![]));
        let unknown = why(&build(1, &set_up, &[raw(true, 0, 200, &[])]), &options);
        assert_eq!(unknown, Some(Why::UnknownMandatory(AvpId::ietf(200))));
    }
    // C-357: an SCCRQ of L2TPv2 lacks what version 3 requires.
    let pure = build(1, &[7], &leftovers);
    let missing = why(&pure, &DecodeOptions { version_2: true, ..STRICT });
    assert_eq!(missing, Some(Why::Missing(known("Router ID", 60))));
}

fn set_up() -> SetUp {
    SetUp {
        host_name: b"host".to_vec(),
        router_id: [10, 0, 0, 1],
        assigned_ccid: Ccid(0x1122_3344),
        pw_capabilities: vec![5, 4],
        receive_window: Some(8),
        tie_breaker: Some([1; 8]),
        nonce: Some(vec![3; 16]),
        vendor_name: Some(b"vendor".to_vec()),
        dialect: Dialect::IETF,
    }
}

const IDS: SessionIds = SessionIds { local: SessionId(0x0a0b_0c0d), remote: SessionId(0x1a1b_1c1d) };

fn session_avps() -> SessionAvps {
    SessionAvps {
        cookie: Cookie::new(&[7; 8]),
        sublayer: Some(1),
        sequencing: Some(2),
        tx_speed: Some(1_000_000_000_000),
        rx_speed: Some(100_000_000),
        physical_channel: Some(9),
        interface_mtu: Some(1500),
        mru: Some(1480),
        mrru: Some(9234),
    }
}

fn icrq() -> Icrq {
    Icrq {
        ids: IDS,
        serial: 77,
        pw_type: 5,
        end_id: b"pw-100".to_vec(),
        circuit_status: CircuitStatus(3),
        tie_breaker: Some([2; 8]),
        avps: session_avps(),
    }
}

/// One of each message, with everything in it that it may have.
fn full_messages() -> Vec<Message> {
    let result = Some(ResultCode { result: 2, error: Some(6), message: Some(b"why".to_vec()) });
    let calling = SessionAvps { cookie: None, physical_channel: None, ..session_avps() };
    vec![
        Message::Sccrq(set_up()),
        Message::Sccrp(SetUp { tie_breaker: None, ..set_up() }),
        Message::Scccn,
        Message::StopCcn(StopCcn { result: result.clone(), assigned_ccid: Some(Ccid(5)) }),
        Message::Hello,
        Message::Icrq(icrq()),
        Message::Icrp(Icrp { ids: IDS, circuit_status: CircuitStatus(1), avps: session_avps() }),
        Message::Iccn(Iccn { ids: IDS, circuit_status: Some(CircuitStatus(1)), avps: calling }),
        Message::Ocrq(IDS),
        Message::Ocrp(IDS),
        Message::Occn(IDS),
        Message::Cdn(Cdn { ids: IDS, result }),
        Message::Wen(IDS),
        Message::Sli(Sli { ids: IDS, circuit_status: Some(CircuitStatus(0)) }),
        Message::Ack,
    ]
}

// C-192 C-202 C-253..C-278: what we write is what we meant, with the M bits that the RFC recommends.
#[test]
fn full_messages_there_and_back() {
    for value in full_messages() {
        let octets = encode(&value, &EncodeOptions { digest: true, ..PLAIN }).unwrap();
        assert!(avp::check_structure(&octets, true).is_ok());
        assert_eq!(decode(&octets, &STRICT).message, Ok(value.clone()));
        let mut seen = Vec::new();
        for avp in avp::iter(&octets) {
            let optional = matches!(avp.id.attribute, 8 | 15 | 25 | 74 | 75 | 91 | 94 | 95);
            assert_eq!(avp.mandatory, !optional, "M bit of {}", avp.id.attribute);
            assert_eq!((avp.id.vendor, avp.hidden, avp.reserved), (0, false, 0));
            assert!(!seen.contains(&avp.id.attribute), "{} twice", avp.id.attribute);
            seen.push(avp.id.attribute);
        }
        assert_eq!(seen[..2], [0, 59]);
        let (_, required, optional) =
            MATRIX.iter().find(|(kind, ..)| *kind == value.message_type().0).unwrap();
        assert!(seen[2..].iter().all(|number| required.contains(number) || optional.contains(number)));
    }
    // What does not belong into a message is not written.
    let wrong = Message::Iccn(Iccn { ids: IDS, circuit_status: None, avps: session_avps() });
    let octets = encode(&wrong, &PLAIN).unwrap();
    assert!(!avp::iter(&octets).any(|avp| matches!(avp.id.attribute, 65 | 25)));
    let octets = encode(&Message::Sccrp(set_up()), &PLAIN).unwrap();
    assert!(!avp::iter(&octets).any(|avp| avp.id.attribute == 5), "C-284");
    // An empty cookie is written as one, C-141.
    let empty = SessionAvps { cookie: Some(Cookie::NONE), ..SessionAvps::default() };
    let value = Message::Icrp(Icrp { ids: IDS, circuit_status: CircuitStatus(1), avps: empty });
    assert_eq!(decode(&encode(&value, &PLAIN).unwrap(), &STRICT).message, Ok(value));
}

// C-191 C-260 C-286 C-305: what cannot be written is refused, with the name and the length.
#[test]
fn what_cannot_be_encoded() {
    let error = |name, length| Err(EncodeError { name, length });
    let named = |host_name: Vec<u8>| encode(&Message::Sccrq(SetUp { host_name, ..set_up() }), &PLAIN);
    assert_eq!(named(vec![b'x'; 1018]), error("Host Name", 1018));
    assert_eq!(named(vec![]), error("Host Name", 0));
    assert_eq!(avp::iter(&named(vec![b'x'; 1017]).unwrap()).nth(1).unwrap().value.len(), 1017);
    let nothing = SetUp { pw_capabilities: vec![], ..set_up() };
    assert_eq!(encode(&Message::Sccrp(nothing), &PLAIN), error("Pseudowire Capabilities List", 0));
    let end_id = Icrq { end_id: vec![0; 2000], ..icrq() };
    assert_eq!(encode(&Message::Icrq(end_id), &PLAIN), error("Remote End ID", 2000));
    let cdn = Message::Cdn(Cdn { ids: IDS, result: None });
    assert_eq!(encode(&cdn, &PLAIN), error("Result Code", 0), "C-305");
    let stop = Message::StopCcn(StopCcn { result: None, assigned_ccid: None });
    assert_eq!(encode(&stop, &PLAIN), error("Result Code", 0));
    let text = ResultCode { result: 2, error: None, message: Some(vec![b'x'; 1014]) };
    let cdn = Message::Cdn(Cdn { ids: IDS, result: Some(text) });
    assert_eq!(encode(&cdn, &PLAIN), error("Result Code", 1018));
}

// C-298 C-299 C-300: what is in range, and that each code has words of its own.
#[test]
fn codes() {
    assert!((1..=8).all(|result| code::stopccn_in_range(result, 0)));
    assert!(!code::stopccn_in_range(0, 0) && !code::stopccn_in_range(9, 0) && !code::stopccn_in_range(1, 13));
    assert!((1..=31).all(|result| code::cdn_in_range(result, 12)));
    assert!(!code::cdn_in_range(0, 0) && !code::cdn_in_range(32, 0) && !code::cdn_in_range(3, 77));
    let distinct = |texts: Vec<&str>| {
        let mut unique = texts.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), texts.len(), "{texts:?}");
    };
    distinct((1..=9).map(code::stopccn_text).collect());
    distinct((1..=16).chain([23, 24, 25, 99]).map(code::cdn_text).collect());
    distinct((0..=10).chain([99]).map(code::error_text).collect());
}

/// Reads as Cisco's equipment is read.
const CISCO: DecodeOptions<'static> = DecodeOptions { secrets: &[], cisco: true, version_2: false };

// C-354: messages of Cisco's equipment lose nothing: no AVP is unknown, none costs the message.
#[test]
fn messages_of_cisco_equipment() {
    let packets = load("cisco.txt");
    assert!(packets.len() > 100);
    for packet in &packets {
        let octets = &packet.octets;
        avp::check_structure(octets, true).unwrap();
        let decoded = decode(octets, &CISCO);
        assert_eq!(decoded.notes, [], "{}", packet.label);
        let (kind, _) = packet.label.split_once(' ').unwrap();
        let expected = if kind == "ZLB" { "ACK" } else { kind };
        assert_eq!(decoded.message.unwrap().message_type().to_string(), expected, "{}", packet.label);
    }
    let read = |label| decode(&one("cisco.txt", label), &CISCO).message.unwrap();
    let Message::Sccrq(set_up) = read("SCCRQ 1") else { panic!("SCCRQ") };
    assert_eq!(set_up.dialect, Dialect::BOTH);
    assert_eq!((set_up.assigned_ccid, &set_up.pw_capabilities[..]), (Ccid(0xcc1f_7e41), &[12][..]));
    assert_eq!((set_up.receive_window, &set_up.host_name[..]), (Some(1024), &b"CST-Wuhan-ubr10k"[..]));
    let Message::Icrq(icrq) = read("ICRQ 1") else { panic!("ICRQ") };
    assert_eq!((icrq.serial, icrq.pw_type, icrq.end_id), (0x0e85_1459, 12, hex("b3c5")));
    assert_eq!((icrq.avps.sublayer, icrq.avps.sequencing), (Some(3), Some(2)));
    let Message::StopCcn(stop) = read("StopCCN 1") else { panic!("StopCCN") };
    let result = stop.result.unwrap();
    assert_eq!((result.result, result.message.as_deref()), (1, Some(&b"Peer reset"[..])));
    // Without knowledge of vendor 9 the SCCRQ cannot be accepted.
    let strict = decode(&one("cisco.txt", "SCCRQ 1"), &STRICT).message.unwrap_err();
    assert_eq!(strict.why, Why::UnknownMandatory(AvpId::ietf(2)));
}

// C-354: each dialect is understood by those who speak it, and BOTH also by those who know the RFC alone.
#[test]
fn dialects() {
    for dialect in [Dialect::IETF, Dialect::CISCO, Dialect::BOTH] {
        for value in full_messages() {
            let octets = encode(&value, &EncodeOptions { digest: true, hide: None, dialect }).unwrap();
            let mut expected = value.clone();
            if let Message::Sccrq(set_up) | Message::Sccrp(set_up) = &mut expected {
                set_up.dialect = dialect;
            }
            assert_eq!(decode(&octets, &CISCO).message, Ok(expected), "{dialect:?}");
            let copies: Vec<_> = avp::iter(&octets).filter(|avp| avp.id.vendor == 9).collect();
            let has_copies = !matches!(value.message_type().0, 3 | 6 | 20);
            assert_eq!(!copies.is_empty(), dialect.cisco && has_copies, "{value:?}");
            if dialect.ietf {
                assert!(copies.iter().all(|avp| !avp.mandatory));
                let ignoring = decode(&octets, &STRICT).message;
                assert_eq!(ignoring.unwrap(), value, "{dialect:?}: to a peer without vendor 9");
            } else {
                let doubled = |number| {
                    matches!(number, 61..=66 | 68 | 71 | 91)
                        || number == 5 && value.message_type().is_session()
                };
                let alone = avp::iter(&octets).all(|avp| avp.id.vendor == 9 || !doubled(avp.id.attribute));
                assert!(alone, "{value:?}");
            }
        }
    }
}

// C-354: the AVP of the RFC goes before Cisco's, whichever comes first; a draft speaker has no Router ID.
#[test]
fn two_forms_of_one_avp() {
    let (ours, theirs) = (raw(true, 0, 61, &[0, 0, 0, 1]), raw(true, 9, 1, &[0, 0, 0, 2]));
    for avps in [[ours.clone(), theirs.clone()], [theirs.clone(), ours]] {
        let Ok(Message::Sccrp(set_up)) = decode(&build(2, &[7, 60, 62], &avps), &CISCO).message else {
            panic!("SCCRP")
        };
        assert_eq!((set_up.assigned_ccid, set_up.dialect), (Ccid(1), Dialect::BOTH));
    }
    let draft = build(1, &[7], &[theirs, raw(true, 9, 2, &[0, 5]), raw(true, 9, 10, &[0, 1])]);
    let Ok(Message::Sccrq(set_up)) = decode(&draft, &CISCO).message else { panic!("SCCRQ") };
    assert_eq!((set_up.router_id, set_up.dialect), ([0; 4], Dialect::CISCO));
    assert_eq!(set_up.receive_window, None, "vendor 9's attribute 10 is not the IETF's");
    let strict = why(&draft, &STRICT);
    assert_eq!(strict, Some(Why::UnknownMandatory(AvpId { vendor: 9, attribute: 1 })), "C-203");
    // The RFC's own form still needs its Router ID.
    let rfc = why(&build(1, &[7, 61, 62], &[]), &CISCO);
    assert_eq!(rfc, Some(Why::Missing(known("Router ID", 60))));
    // Cisco's explicit acknowledgement is vendor 9's message type 0.
    let ack = message(&[&raw(true, 9, 0, &[0, 0])]);
    assert_eq!(decode(&ack, &CISCO).message, Ok(Message::Ack));
    assert_eq!(why(&ack, &STRICT), Some(Why::UnknownMessageType { vendor: 9, mandatory: true }));
}

// C-354: an attribute of vendor 9 that nobody knows costs nothing, since Cisco sets the M bit on nearly all of its own;
// who is told to keep to the RFC refuses it (C-203).
#[test]
fn unknown_attribute_of_cisco() {
    for (kind, required) in [(1, &[7, 60, 61, 62][..]), (12, &[63, 64]), (16, &[63, 64])] {
        let octets = build(kind, required, &[raw(true, 9, 77, &[])]);
        let decoded = decode(&octets, &CISCO);
        assert_eq!(decoded.notes, [Note::UnknownOfCisco { attribute: 77 }]);
        assert_eq!(decoded.message, decode(&build(kind, required, &[]), &CISCO).message, "{kind}");
        let strict = why(&octets, &STRICT);
        assert_eq!(strict, Some(Why::UnknownMandatory(AvpId { vendor: 9, attribute: 77 })), "{kind}");
        // Of the IETF, or of another vendor, one is enough.
        for vendor in [0, 10] {
            let octets = build(kind, required, &[raw(true, vendor, 200, &[])]);
            assert_eq!(
                why(&octets, &CISCO),
                Some(Why::UnknownMandatory(AvpId { vendor, attribute: 200 })),
                "{kind}"
            );
        }
    }
}

// C-354 C-288: one whole set-up of Cisco IOS in its default mode: each message is read, and none of it is worth a word.
#[test]
fn messages_of_cisco_ios() {
    let packets = load("cisco-ios.txt");
    for packet in &packets {
        avp::check_structure(&packet.octets, true).unwrap();
        let decoded = decode(&packet.octets, &CISCO);
        assert_eq!(decoded.notes, [], "{}", packet.label);
        let (kind, _) = packet.label.split_once(' ').unwrap();
        assert_eq!(decoded.message.unwrap().message_type().to_string(), kind, "{}", packet.label);
    }
    let read = |label| decode(&one("cisco-ios.txt", label), &CISCO).message.unwrap();
    let Message::Sccrq(set_up) = read("SCCRQ 1") else { panic!("SCCRQ") };
    assert_eq!((set_up.dialect, set_up.router_id), (Dialect::CISCO, [0; 4]));
    assert!(set_up.pw_capabilities.contains(&5) && set_up.pw_capabilities.len() == 9);
    assert_eq!((set_up.nonce, set_up.receive_window), (None, Some(1024)));
    let Message::Icrq(icrq) = read("ICRQ 1") else { panic!("ICRQ") };
    let new_and_active = CircuitStatus(CircuitStatus::NEW | CircuitStatus::ACTIVE);
    assert_eq!(icrq.circuit_status, new_and_active, "none was told");
    assert_eq!((icrq.ids.local, icrq.serial, icrq.pw_type), (SessionId(0xfd42_41eb), 0x0f32_fdc2, 5));
    assert_eq!((&icrq.end_id[..], icrq.avps.interface_mtu), (&b"12"[..], Some(1500)));
    assert_eq!(icrq.tie_breaker, Some([0x61, 0x62, 0x8c, 0x38, 0x40, 0x39, 0x50, 0xb3]));
    let Message::Icrp(icrp) = read("ICRP 1") else { panic!("ICRP") };
    assert_eq!(icrp.circuit_status, new_and_active);
    let Message::Iccn(iccn) = read("ICCN 1") else { panic!("ICCN") };
    assert_eq!(iccn.circuit_status, None);
    let status = |label| match read(label) {
        Message::Sli(sli) => sli.circuit_status,
        other => panic!("{other:?}"),
    };
    assert_eq!((status("SLI 1"), status("SLI 2")), (Some(CircuitStatus(1)), None));
}

// C-207 C-354: what the draft may do without, nobody else may: one id of the RFC, and the status has to be there.
#[test]
fn only_the_draft_does_without_a_circuit_status() {
    for (kind, required) in [(10, &[15, 68, 66][..]), (11, &[])] {
        let draft = [raw(true, 9, 3, &value(4)), raw(true, 9, 4, &value(4))];
        assert!(decode(&build(kind, required, &draft), &CISCO).message.is_ok(), "{kind}");
        let both = [raw(true, 9, 3, &value(4)), raw(true, 9, 4, &value(4)), good(true, 63)];
        let missing = Why::Missing(known("Circuit Status", 71));
        assert_eq!(why(&build(kind, required, &both), &CISCO), Some(missing), "{kind}");
        assert_eq!(why(&build(kind, &[required, &[63, 64]].concat(), &[]), &CISCO), Some(missing), "{kind}");
    }
}

// Shapes that other free implementations send.
#[test]
fn messages_of_other_implementations() {
    // A CDN whose Result Code has eight octets; SoftEther's ICRP with vendor-9 copies, one of them out of place.
    let cdn = build(14, &[63, 64], &[raw(true, 0, 1, &[0, 0, 6, 0, 0, 0, 0, 0])]);
    let Ok(Message::Cdn(cdn)) = decode(&cdn, &CISCO).message else { panic!("CDN") };
    assert_eq!(cdn.result.unwrap().error, Some(0x0600));
    let copies = [raw(false, 9, 3, &value(4)), raw(false, 9, 7, &[0, 0]), raw(false, 9, 4, &value(4))];
    let icrp = decode(&build(11, &[63, 71, 64], &copies), &CISCO);
    assert!(matches!(icrp.message, Ok(Message::Icrp(_))));
    assert_eq!(icrp.notes, []);
    // freeRtr's ICRP repeats what the ICRQ said.
    let icrp = decode(&build(11, &[63, 71, 64], &[15, 66, 68].map(|number| good(false, number))), &CISCO);
    assert_eq!((icrp.message.is_ok(), icrp.notes), (true, vec![]));
    // A cookie in an ICCN has no effect, and its sender must hear of that.
    let iccn = decode(&build(12, &[63, 64, 65], &[]), &CISCO);
    assert_eq!(iccn.notes, [Note::NotInThisMessage { name: "Assigned Cookie" }]);
    // An ICCN with L2TPv2's speeds, and an ICRQ with all M bits clear and the AVPs in another order.
    let iccn = [raw(false, 0, 24, &[0; 4]), raw(false, 0, 38, &[0; 4])];
    assert!(decode(&build(12, &[63, 64, 71], &iccn), &CISCO).message.is_ok());
    let loose: Vec<Vec<u8>> = [5, 15, 63, 64, 66, 68, 71].map(|number| good(false, number)).to_vec();
    assert!(matches!(decode(&build(10, &[], &loose), &STRICT).message, Ok(Message::Icrq(_))));
}
