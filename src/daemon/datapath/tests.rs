//! Sequence numbers and checks of one session, without sockets.

use super::gates::Gates;
use super::session::{Content, Drop, Session};
use crate::config::model::Via;
use crate::counters::Counters;
use crate::proto::{Attachment, Path, SequenceLevel};
use crate::sys::clock;
use crate::wire::data::Part;
use crate::wire::{Cookie, Encapsulation, SessionId};

pub(super) fn attachment(send: SequenceLevel, receive: bool) -> Attachment {
    let local = "10.0.0.1:0".parse().unwrap();
    let remote = "10.0.0.2:0".parse().unwrap();
    Attachment {
        interface: "pw0".into(),
        tunnel: "t".into(),
        connection: None,
        local: SessionId(7),
        remote: SessionId(9),
        cookie_expected: Cookie::new(&[1, 2, 3, 4]).unwrap(),
        cookie_to_send: Cookie::NONE,
        sublayer_expected: true,
        sublayer_to_send: true,
        sequence_send: send,
        sequence_receive: receive,
        fragments_to_send: None,
        fragments_expected: None,
        path: Path { encapsulation: Encapsulation::Ip, local, remote, via: Via::ANY },
    }
}

fn frame(ethertype: u16) -> Vec<u8> {
    let mut frame = vec![2; 12];
    frame.extend(ethertype.to_be_bytes());
    frame.extend([0; 40]);
    frame
}

/// C-312 C-313 C-314: the sublayer is always there; level 1 numbers what is not IP, level 2 everything; 24 bits, zero
/// is not skipped.
#[test]
fn frames_are_numbered_as_the_peer_asked() {
    let sublayer = |session: &mut Session, ethertype| {
        let (header, length) = session.next_header(&frame(ethertype));
        assert_eq!(header[..4], [0, 0, 0, 9]);
        u32::from_be_bytes(header[length - 4..length].try_into().unwrap())
    };
    let mut none = Session::new(&attachment(SequenceLevel::None, false), 0);
    assert_eq!(sublayer(&mut none, 0x0806), 0);
    let mut non_ip = Session::new(&attachment(SequenceLevel::NonIp, false), 0);
    let seen = [0x0806, 0x0800, 0x86dd, 0x88cc].map(|e| sublayer(&mut non_ip, e));
    assert_eq!(seen, [0x4000_0000, 0, 0, 0x4000_0001]);
    let mut all = Session::new(&attachment(SequenceLevel::All, false), 0);
    all.next_sequence = 0xff_fffe;
    let seen = [0x0800, 0x0806, 0x86dd, 0x0800].map(|e| sublayer(&mut all, e));
    assert_eq!(seen, [0x40ff_fffe, 0x40ff_ffff, 0x4000_0000, 0x4000_0001]);
}

fn data(sublayer: u32) -> Vec<u8> {
    let mut data = vec![0, 0, 0, 7, 1, 2, 3, 4];
    data.extend(sublayer.to_be_bytes());
    data.extend(frame(0x0800));
    data
}

fn reason(result: Result<Content, Drop>) -> Option<&'static str> {
    let mut counters = Counters::default();
    *result.err()?(&mut counters) += 1;
    counters.entries().find(|c| c.2 == 1).map(|c| c.0)
}

/// C-317: numbers that nobody asked for are not looked at. C-344: nothing is delivered on standby, and yet the peer
/// was heard.
#[test]
fn received_frames_pass_the_checks_in_their_order() {
    let now = clock::now();
    let mut session = Session::new(&attachment(SequenceLevel::None, false), 0);
    let path = session.path;
    assert_eq!(reason(session.check(now, &path, &data(0))), Some("rx_drop_closed"));
    session.established = true;
    assert_eq!(reason(session.check(now, &path, &data(0))), Some("rx_drop_standby"));
    assert_eq!(session.heard.get(), Some(now));
    session.gates = Gates { receive: true, ..Gates::default() };
    for number in [5, 3, 3, 0xff_ffff] {
        assert_eq!(session.check(now, &path, &data(0x4000_0000 | number)).ok(), Some(Content::Frame(12)));
    }
    let udp = Path { encapsulation: Encapsulation::Udp, ..path };
    assert_eq!(reason(session.check(now, &udp, &data(0))), Some("rx_drop_source"));

    let mut checked = Session::new(&attachment(SequenceLevel::None, true), 0);
    checked.gates = Gates { receive: true, ..Gates::default() };
    let seen: Vec<bool> =
        [0, 1, 3, 2, 4].iter().map(|n| checked.check(now, &path, &data(0x4000_0000 | n)).is_ok()).collect();
    assert_eq!(seen, [true, true, true, false, true]);
    assert!(checked.check(now, &path, &data(1)).is_ok(), "without the S bit there is no number");
}

/// Fragments are taken where that was announced, if they have a number, and be they short.
#[test]
fn fragments_pass_where_they_are_expected() {
    let now = clock::now();
    let mut session = Session::new(&attachment(SequenceLevel::All, true), 0);
    let path = session.path;
    session.gates = Gates { receive: true, ..Gates::default() };
    assert_eq!(reason(session.check(now, &path, &data(0x5000_0000))), Some("rx_drop_sublayer"));
    session.attachment.fragments_expected = Some(2000);
    for (octets, part) in [(0x5000_0000, Part::First), (0x7000_0001, Part::Middle), (0x6000_0002, Part::Last)]
    {
        let short = &data(octets)[..13];
        let content = session.check(now, &path, short).ok();
        assert_eq!(content, Some(Content::Fragment(12, (part, octets & 0xff))));
    }
    assert_eq!(reason(session.check(now, &path, &data(0x5000_0003)[..12])), Some("rx_drop_short"));
    assert_eq!(reason(session.check(now, &path, &data(0x1000_0003))), Some("rx_drop_sublayer"), "no number");
    assert_eq!(reason(session.check(now, &path, &data(0x5000_0001))), Some("rx_drop_sequence"));
}
