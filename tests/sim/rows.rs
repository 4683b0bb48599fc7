//! The rows of RFC 3931 7.2 that two of our own ends never reach, by a scripted peer: what does not fit, who is not
//! meant, AVPs that are missing or unknown.

use std::time::Duration;

use l2tpd::proto::{Command, Random, TunnelEvent};
use l2tpd::wire::message::{encode, Dialect, EncodeOptions, SetUp};
use l2tpd::wire::{avp, Encapsulation, Message, MessageType};

use crate::net::{tunnel, Dice};
use crate::peer::{icrq, stop, Peer, CCID};
use crate::support::packets::{hex, with_avps, without_avp};
use crate::world::World;

/// A node that has sent its SCCRQ, which the peer has seen.
fn requested(tags: &str) -> (Peer, World, SetUp) {
    let (mut peer, mut world) = Peer::new().and_world(&format!("role both;{tags}"), &["l2tp1"]);
    world.run(Duration::from_millis(5));
    let request = peer.take_request(&mut world);
    (peer, world, request)
}

// C-018 C-020 C-021 C-080 C-115 C-319 C-322: the answer, and the numbers of what follows.
#[test]
fn c_018_c_115_acceptable_reply() {
    let (mut peer, mut world, request) = requested("");
    assert_eq!(request.host_name, b"a");
    assert_eq!(request.pw_capabilities, [5, 4], "C-319");
    let reply = Message::Sccrp(peer.set_up());
    peer.send(&mut world, &reply);
    let received = peer.receive(&mut world);
    let headers: Vec<_> = received.iter().map(|r| (r.header.ccid, r.header.ns, r.header.nr)).collect();
    assert_eq!(headers, [(CCID, 1, 1), (CCID, 2, 1)]);
    assert_eq!(
        (&received[0].message, received[1].message.message_type()),
        (&Message::Scccn, MessageType::ICRQ)
    );
    let Message::Icrq(call) = &received[1].message else { unreachable!() };
    assert_eq!(call.pw_type, 5, "C-322");
}

// C-116: an SCCRP of somebody else: StopCCN 4, and another try after the interval.
#[test]
fn c_116_reply_is_not_acceptable() {
    for (name, id, text) in [("x", 2, "hostname mismatch in SCCRP"), ("b", 9, "router-id mismatch in SCCRP")]
    {
        let (mut peer, mut world, _) = requested("");
        (peer.host_name, peer.router_id[3]) = (name.into(), id);
        let reply = Message::Sccrp(peer.set_up());
        peer.send(&mut world, &reply);
        assert_eq!(peer.answers(&mut world), "StopCCN 4");
        assert_eq!(world.logged(0, text), 1);
        assert_eq!(world.happened(0, TunnelEvent::TunnelFailed), 1);
        let failure = world.tunnel(0).last_failure.unwrap().0;
        assert!(!failure.expected.is_empty() && !failure.received.is_empty(), "{failure}");
        peer.acknowledge(&mut world);
        world.run_seconds(13);
        assert!(peer.kinds(&mut world).contains("SCCRQ"));
    }
}

// C-089 C-094 C-117 C-098 C-101: the peer's SCCRQ wins: answered on another connection.
#[test]
fn c_117_tie_lost() {
    let (mut peer, mut world, request) = requested("");
    (peer.tie, peer.nr, peer.theirs.0) = (Some([0; 8]), 0, 0);
    peer.request(&mut world);
    peer.take_reply(&mut world);
    assert_ne!(peer.theirs, request.assigned_ccid);
    // C-100: whatever comes for the connection that was given up does not touch the new one.
    let mut old = Peer { theirs: request.assigned_ccid, own: l2tpd::wire::Ccid(0x77), ..Peer::new() };
    old.nr = 1;
    old.send(&mut world, &stop(old.own, 3));
    assert_eq!(old.answers(&mut world), "ACK");
    peer.send(&mut world, &Message::Scccn);
    assert_eq!(world.tunnel(0).state.status_name(), "established", "{}", world.transcript(0));
}

// C-100: an SCCRP for the SCCRQ that was given up, since another connection is established, is answered with a StopCCN,
// so that its sender need not wait; with a password it must prove itself as any other.
#[test]
fn c_100_late_reply_is_declined() {
    for password in [None, Some("secret")] {
        let fresh = || password.map_or_else(Peer::new, Peer::with_password);
        let tags = password.map_or(String::new(), |p| format!(";password {p}"));
        let (mut peer, mut world) = fresh().and_world(&format!("role both{tags}"), &["l2tp1"]);
        world.run(Duration::from_millis(5));
        let request = peer.take_request(&mut world);
        let nonce = peer.their_nonce.clone();
        (peer.tie, peer.nr, peer.theirs.0) = (Some([0; 8]), 0, 0);
        peer.request(&mut world);
        peer.take_reply(&mut world);
        peer.send(&mut world, &Message::Scccn);
        peer.receive(&mut world);
        let own = l2tpd::wire::Ccid(0x77);
        let mut late = Peer { theirs: request.assigned_ccid, own, their_nonce: nonce, nr: 1, ..fresh() };
        let reply = Message::Sccrp(late.set_up());
        if password.is_some() {
            late.secret = Peer::with_password("guess").secret;
            late.send(&mut world, &reply);
            assert_eq!(late.answers(&mut world), "", "a stranger hears nothing");
            (late.secret, late.ns) = (fresh().secret, 0);
        }
        late.send(&mut world, &reply);
        assert_eq!(late.answers(&mut world), "StopCCN 3", "{password:?}");
        late.acknowledge(&mut world);
        assert_eq!(world.tunnel(0).state.status_name(), "established", "{}", world.transcript(0));
    }
}

// C-362: an SCCRQ that wins may be a recording: ours goes on until an SCCCN has come, and an SCCRP serves it.
#[test]
fn c_362_a_lost_tie_gives_nothing_up_before_the_peer_has_proved_itself() {
    for password in [None, Some("secret")] {
        let fresh = || password.map_or_else(Peer::new, Peer::with_password);
        let tags = password.map_or(String::new(), |p| format!(";password {p}"));
        let (mut peer, mut world) = fresh().and_world(&format!("role both{tags}"), &[]);
        world.run(Duration::from_millis(5));
        peer.take_request(&mut world);
        let mut recording = Peer { tie: Some([0; 8]), own: l2tpd::wire::Ccid(0x77), ..fresh() };
        recording.request(&mut world);
        assert_eq!(world.logged(0, "lose tie brek check"), 1);
        assert_eq!(peer.kinds(&mut world), "SCCRP", "for the recording");
        let reply = Message::Sccrp(peer.set_up());
        peer.send(&mut world, &reply);
        assert_eq!(world.tunnel(0).state.status_name(), "established", "{}", world.transcript(0));
        assert_eq!(peer.kinds(&mut world), "SCCCN");
    }
}

// C-118: the peer's SCCRQ wins but is not acceptable: StopCCN 4, and ours is gone too; it is tried again.
#[test]
fn c_118_tie_lost_to_a_stranger() {
    let (mut peer, mut world, _) = requested("");
    (peer.tie, peer.nr, peer.host_name) = (Some([0; 8]), 0, b"x".to_vec());
    peer.request(&mut world);
    assert_eq!(peer.answers(&mut world), "StopCCN 4");
    world.run_seconds(13);
    assert!(peer.kinds(&mut world).contains("SCCRQ"), "{}", world.transcript(0));
}

// C-089 C-090 C-094 C-119: ours wins, also against an SCCRQ without tie breaker.
#[test]
fn c_119_tie_won() {
    for tie in [Some([0xff; 8]), None] {
        let (mut peer, mut world, request) = requested("");
        (peer.tie, peer.nr) = (tie, 0);
        peer.request(&mut world);
        let received = peer.receive(&mut world);
        let [stop] = &received[..] else { panic!("{}", world.transcript(0)) };
        let Message::StopCcn(message) = &stop.message else { panic!("{:?}", stop.message) };
        assert_eq!(message.result.as_ref().map(|r| r.result), Some(3));
        assert_eq!(stop.header.ccid, CCID);
        assert_ne!(message.assigned_ccid, Some(request.assigned_ccid), "C-091");
        assert_eq!(world.tunnel(0).state.status_name(), "wait-ctl-reply");
        (peer.ns, peer.nr) = (0, 1);
        let reply = Message::Sccrp(peer.set_up());
        peer.send(&mut world, &reply);
        assert_eq!(world.tunnel(0).state.status_name(), "established");
    }
}

// C-120 C-123 C-126 C-214: messages that do not fit the state are acknowledged and ignored.
#[test]
fn c_126_messages_out_of_place() {
    let ignored = |world: &World, kind: &str, state: &str| {
        world.logged(0, &format!("receive {kind}, but ignored(tunnel state={state})"))
    };
    let (mut peer, mut world, _) = requested("");
    peer.send(&mut world, &Message::Scccn);
    assert_eq!(
        (ignored(&world, "SCCCN", "WAIT-CTL-REPLY"), world.tunnel(0).state.status_name()),
        (1, "wait-ctl-reply")
    );
    let (mut peer, mut world) = Peer::new().and_world("", &["l2tp1"]);
    peer.request(&mut world);
    peer.take_reply(&mut world);
    let reply = Message::Sccrp(peer.set_up());
    peer.send(&mut world, &reply);
    assert_eq!(peer.kinds(&mut world), "ACK");
    assert_eq!(
        (ignored(&world, "SCCRP", "WAIT-CTL-CONN"), world.tunnel(0).state.status_name()),
        (1, "wait-ctl-conn")
    );
    let (mut peer, mut world) = Peer::new().and_established("", &["l2tp1"]);
    for message in [Message::Scccn, Message::Sccrp(peer.set_up())] {
        peer.send(&mut world, &message);
        assert_eq!(peer.kinds(&mut world), "ACK");
    }
    assert_eq!(ignored(&world, "SCCCN", "ESTABLISHED") + ignored(&world, "SCCRP", "ESTABLISHED"), 2);
    assert_eq!(world.tunnel(0).state.status_name(), "established");
}

// C-122: an SCCCN with an unknown AVP and the M bit: StopCCN 2/8.
#[test]
fn c_122_connected_is_not_acceptable() {
    let (mut peer, mut world) = Peer::new().and_world("", &["l2tp1"]);
    peer.request(&mut world);
    peer.take_reply(&mut world);
    let octets = with_avps(peer.octets(&Message::Scccn), "8008000000c80102");
    peer.raw(&mut world, octets);
    assert_eq!(peer.answers(&mut world), "StopCCN 2/8");
    assert_ne!(world.tunnel(0).state.status_name(), "wait-ctl-conn");
}

// C-128: the SCCRP is acknowledged, no SCCCN ever comes: StopCCN 7 after the set-up time. The same for an SCCRQ.
#[test]
fn c_128_set_up_guard() {
    let (mut peer, mut world) = Peer::new().and_world("", &["l2tp1"]);
    peer.request(&mut world);
    peer.take_reply(&mut world);
    peer.acknowledge(&mut world);
    world.run_seconds(31);
    assert_eq!(peer.answers(&mut world), "StopCCN 7");
    let (mut peer, mut world, _) = requested("setup-timeout 5");
    peer.acknowledge(&mut world);
    world.run_seconds(5);
    assert_eq!(peer.answers(&mut world), "StopCCN 7", "{}", world.transcript(0));
    world.run_seconds(13);
    assert!(peer.kinds(&mut world).contains("SCCRQ"));
}

// C-129: one SCCRQ three times: one connection, the same reply. More repetitions than `retry` do it no harm.
#[test]
fn c_129_repeated_request() {
    let (mut peer, mut world) = Peer::new().and_world("retry 2;retry-interval 5", &["l2tp1"]);
    let octets = peer.octets(&Message::Sccrq(peer.set_up()));
    for _ in 0..6 {
        peer.raw(&mut world, octets.clone());
    }
    assert_eq!(world.logged(0, "create new tunnel"), 1);
    let replies: Vec<_> = peer.receive(&mut world).into_iter().map(|r| r.message).collect();
    assert_eq!(replies.len(), 6);
    assert!(replies.windows(2).all(|w| w[0] == w[1]));
    world.run_seconds(12);
    let Message::Sccrp(reply) = &replies[0] else { panic!() };
    (peer.theirs, peer.ns) = (reply.assigned_ccid, 1);
    peer.send(&mut world, &Message::Scccn);
    assert_eq!(world.tunnel(0).state.status_name(), "established", "{}", world.transcript(0));
    // After that it is only acknowledged.
    world.inbox.clear();
    peer.raw(&mut world, octets);
    assert_eq!(peer.kinds(&mut world), "ACK");
}

// C-102 C-103 C-127: after the peer's StopCCN the daemon itself tries again, after the restart interval.
#[test]
fn c_127_stopped_by_the_peer() {
    for established in [true, false] {
        let (mut peer, mut world, _) = requested("");
        if established {
            let reply = Message::Sccrp(peer.set_up());
            peer.send(&mut world, &reply);
            peer.receive(&mut world);
        }
        peer.send(&mut world, &stop(CCID, 1));
        assert_eq!((peer.answers(&mut world).as_str(), world.tunnel(0).state.status_name()), ("ACK", "idle"));
        world.run_seconds(7);
        assert_eq!(peer.kinds(&mut world), "", "not at once");
        world.run_seconds(6);
        assert!(peer.kinds(&mut world).contains("SCCRQ"), "{}", world.transcript(0));
    }
}

// C-104 C-105: StopCCN before the SCCRP: CCID 0, our id in it.
#[test]
fn c_105_stop_before_the_reply() {
    let (mut peer, mut world, request) = requested("");
    world.act(0, |e, now| e.command(now, Command::Stop("t".into()))).unwrap();
    world.run(Duration::from_millis(5));
    let received = peer.receive(&mut world);
    let [stop] = &received[..] else { panic!("{} messages", received.len()) };
    let Message::StopCcn(message) = &stop.message else { panic!("{:?}", stop.message) };
    assert_eq!((stop.header.ccid.0, message.assigned_ccid), (0, Some(request.assigned_ccid)));
    assert_eq!(message.result.as_ref().map(|r| r.result), Some(6));
    assert_eq!(world.nodes[0].engine.next_timeout(), None);
}

// C-197 C-198 C-199 C-200: unknown AVPs in a message of the connection, of a session.
#[test]
fn c_198_unknown_avps() {
    let (mut peer, mut world) = Peer::new().and_established("", &["l2tp1"]);
    let octets = with_avps(peer.octets(&Message::Icrq(icrq("1"))), "8008000000c80102");
    peer.ns += 1;
    peer.raw(&mut world, octets);
    let received = peer.receive(&mut world);
    let Some(Message::Cdn(cdn)) = received.first().map(|r| r.message.clone()) else { panic!() };
    let code = cdn.result.unwrap();
    assert_eq!((code.result, code.error), (2, Some(8)));
    assert!(String::from_utf8(code.message.unwrap()).unwrap().contains("200"), "C-199 C-302");
    assert_eq!(world.tunnel(0).state.status_name(), "established");
    peer.acknowledge(&mut world);
    let octets = with_avps(peer.octets(&Message::Hello), "0008000000c80102");
    peer.ns += 1;
    peer.raw(&mut world, octets);
    assert_eq!(peer.answers(&mut world), "ACK");
    assert_eq!(world.logged(0, "no handler, but M bit is not set"), 1);
    let octets = with_avps(peer.octets(&Message::Hello), "8008000000c80102");
    peer.ns += 1;
    peer.raw(&mut world, octets);
    assert_eq!(peer.answers(&mut world), "StopCCN 2/8");
}

// C-181: an ICCN with an unknown AVP and the M bit ends its session, not the connection.
#[test]
fn c_181_connected_session_is_not_acceptable() {
    let (mut peer, mut world) = Peer::new().and_established("", &["l2tp1"]);
    peer.send(&mut world, &Message::Icrq(icrq("1")));
    assert_eq!(peer.kinds(&mut world), "ICRP");
    let theirs = world.session(0, "l2tp1").local;
    let octets = with_avps(peer.octets(&crate::peer::iccn(theirs)), "8008000000c80102");
    peer.raw(&mut world, octets);
    assert_eq!(peer.answers(&mut world), "CDN 2/8");
    assert_eq!((world.tunnel(0).state.status_name(), world.nodes[0].ports.len()), ("established", 0));
}

// C-207 C-283: an SCCRQ without one of the AVPs that it needs.
#[test]
fn c_283_missing_avps() {
    for attribute in [7, 60, 61, 62] {
        let (mut peer, mut world) = Peer::new().and_world("compatibility rfc", &["l2tp1"]);
        let octets = without_avp(&peer.octets(&Message::Sccrq(peer.set_up())), attribute);
        peer.raw(&mut world, octets);
        let expected = if attribute == 61 { "" } else { "StopCCN 2/6" };
        assert_eq!(peer.answers(&mut world), expected, "{attribute}\n{}", world.transcript(0));
        assert_eq!(world.logged(0, "failed to processing packet in AVP handler"), 1);
        assert_eq!(world.tunnel(0).state.status_name(), "idle");
    }
}

// C-349: an SCCRQ with Failover Capability (76, M=0) is taken; one with Tunnel Recovery (77, M=1) is refused.
#[test]
fn c_349_failover() {
    for (avps, answer) in
        [("000a0000004c00010000", "SCCRP"), ("80120000004d000100000000000000000000", "StopCCN 2/8")]
    {
        let (mut peer, mut world) = Peer::new().and_world("", &[]);
        let octets = with_avps(peer.octets(&Message::Sccrq(peer.set_up())), avps);
        peer.raw(&mut world, octets);
        assert_eq!(peer.answers(&mut world), answer);
    }
}

// C-015 C-205 C-357: over UDP an SCCRQ of version 2 with the AVPs of version 3 is answered in version 3; a plain one
// of version 2 gets nothing.
#[test]
fn c_015_request_of_version_2() {
    let (mut peer, mut world) = Peer::new().and_world("encapsulation udp", &[]);
    peer.encapsulation = Encapsulation::Udp;
    peer.from.set_port(1701);
    // AVPs 2, 3, 4 of RFC 2661 with their M bits.
    let mut octets = with_avps(
        peer.octets(&Message::Sccrq(peer.set_up())),
        "800800000002010080 0a0000000300000003800a0000000400000003".replace(' ', "").as_str(),
    );
    octets[1] = 0x02;
    peer.raw(&mut world, octets);
    let received = peer.receive(&mut world);
    assert_eq!(received.len(), 1, "{}", world.transcript(0));
    assert_eq!((received[0].header.version, received[0].message.message_type()), (3, MessageType::SCCRP));
    let mut plain = peer.octets(&Message::Sccrq(peer.set_up()))[..20].to_vec();
    plain.extend(hex("800800000002010080090000000778797a80080000000900 01".replace(' ', "").as_str()));
    plain[1] = 0x02;
    plain[3] = plain.len() as u8;
    peer.raw(&mut world, plain);
    assert_eq!(peer.kinds(&mut world), "");
    assert_eq!(world.logged(0, "recv_packet: support only L2TPv3"), 1);
}

// C-365: text of the peer reaches the log on one line, without control characters.
#[test]
fn c_365_text_of_the_peer() {
    let (mut peer, mut world) = Peer::new().and_world("", &[]);
    peer.host_name = b"evil\n\x1b[2J\xff name".to_vec();
    peer.request(&mut world);
    assert_eq!(peer.answers(&mut world), "StopCCN 4");
    for (_, line) in &world.nodes[0].log {
        let text = format!("{} {:?}", line.text, line.detail);
        assert!(!line.text.chars().any(char::is_control), "{text}");
        assert!(!line.detail.iter().any(|d| d.chars().any(char::is_control)), "{text}");
    }
    assert!(world.nodes[0]
        .log
        .iter()
        .any(|(_, l)| l.detail.as_deref().is_some_and(|d| d.contains("evil\\n"))));
}

/// A random source that fails.
struct Broken {
    until: u32,
    rest: Dice,
}

impl Random for Broken {
    fn fill(&mut self, octets: &mut [u8]) -> Result<(), String> {
        self.until = self.until.saturating_sub(1);
        match self.until {
            0 => self.rest.fill(octets),
            _ => Err("No such file or directory".to_owned()),
        }
    }
}

// C-361: without randomness nothing weak is used instead: no tunnel, said in the log, and another try.
#[test]
fn c_361_no_randomness() {
    let mut world = World::new(1);
    world.add_with(&tunnel(0, 1, "", &[]), Box::new(Broken { until: 6, rest: Dice(1) }));
    world.capture = true;
    world.start(0);
    world.run_seconds(1);
    assert_eq!(world.logged(0, "/dev/urandom open error: No such file or directory"), 1);
    assert_eq!(world.logged(0, "failed to create tunnel"), 1);
    assert!(world.wire.is_empty());
    world.run_seconds(60);
    assert_eq!(world.wire.first().map(|d| d.kind()), Some(1));
}

// C-009 C-011 C-013 C-016 C-192 C-213 C-243 C-253: every message that two ends exchange is written by the book.
#[test]
fn c_009_c_253_every_message_by_the_book() {
    for tags in ["", "password secret;cookie 8", "password secret;hidden on"] {
        let mut world = World::pair(3, tags, &["l2tp1"]);
        world.capture = true;
        world.start_all();
        world.run_seconds(30);
        for up in [false, true] {
            world.act(0, |e, now| e.circuit(now, "l2tp1", up));
            world.run_seconds(2);
        }
        world.run_seconds(100);
        world.act(1, |e, now| e.command(now, Command::ClearSession("l2tp1".into(), None))).unwrap();
        world.run_seconds(30);
        world.act(1, |e, now| e.shutdown(now));
        world.run_seconds(5);
        let kinds: std::collections::BTreeSet<u16> = world.wire.iter().map(|d| d.kind()).collect();
        assert!([1, 2, 3, 4, 6, 10, 11, 12, 14, 16].iter().all(|k| kinds.contains(k)), "{kinds:?}");
        for datagram in &world.wire {
            let o = &datagram.octets;
            assert_eq!(o[..2], [0xc8, 0x03]);
            assert_eq!(usize::from(u16::from_be_bytes([o[2], o[3]])), o.len(), "C-016");
            let avps: Vec<_> = avp::iter(o).collect();
            if o.len() > 12 {
                assert!(avps[0].mandatory && avps[0].id.attribute == 0 && o[12..18] == [0x80, 8, 0, 0, 0, 0]);
            }
            assert!(avps.iter().all(|a| a.reserved == 0), "C-192");
            assert!(avps.iter().all(|a| !a.hidden) || tags.contains("hidden"), "C-243");
            // C-097: every SCCRQ asks for one connection a pair; C-284: an SCCRP has no tie breaker.
            if matches!(datagram.kind(), 1 | 2) {
                assert_eq!(avps.iter().any(|a| a.id.attribute == 5), datagram.kind() == 1);
            }
            // C-073 C-078: session AVPs only in session messages.
            let session = avps.iter().any(|a| matches!(a.id.attribute, 63 | 64));
            assert_eq!(
                session || tags.contains("hidden"),
                session && datagram.kind() >= 10 || tags.contains("hidden")
            );
        }
    }
}

// C-244 C-252: hidden AVPs are understood, in both directions: the pair above came up; here a pair of which one hides.
#[test]
fn c_252_one_hides() {
    let mut world = World::new(2);
    world.add(&tunnel(0, 1, "password secret;hidden on;cookie 8", &["l2tp1"]));
    world.add(&tunnel(1, 0, "password secret;cookie 8", &["l2tp1"]));
    world.capture = true;
    world.start_all();
    world.run_seconds(20);
    world.assert_both_up();
    let hidden = |n| {
        let own = world.wire.iter().filter(move |d| d.from.ip() == crate::net::address(n));
        own.flat_map(|d| avp::iter(&d.octets)).filter(|a| a.hidden).count()
    };
    assert!(hidden(0) > 0 && hidden(1) == 0);
}

// `compatibility`: two of ours in every combination, and a peer of Cisco's draft.
#[test]
fn c_354_compatibility() {
    for here in ["auto", "cisco", "rfc"] {
        for there in ["auto", "cisco", "rfc"] {
            let mut world = World::new(2);
            world.add(&tunnel(0, 1, &format!("compatibility {here}"), &["l2tp1"]));
            world.add(&tunnel(1, 0, &format!("compatibility {there}"), &["l2tp1"]));
            world.start_all();
            world.run_seconds(30);
            world.assert_both_up();
        }
    }
    let (mut peer, mut world) = Peer::new().and_world("", &["l2tp1"]);
    let text =
        tunnel(0, 1, "role passive", &["l2tp1"]).replace("remote-router-id 10.0.0.2", "remote-router-id any");
    world.reload(0, &text);
    let options = EncodeOptions { digest: false, hide: None, dialect: Dialect::CISCO };
    let request = Message::Sccrq(SetUp { dialect: Dialect::CISCO, ..peer.set_up() });
    let octets = encode(&request, &options).unwrap();
    peer.raw(&mut world, octets);
    assert_eq!(peer.kinds(&mut world), "SCCRP", "{}", world.transcript(0));
}

// C-043: an SCCRQ that acknowledges what was never sent is invalid: no answer, no line, counted. One that counts our own
// unanswered SCCRQ or SCCRP is not.
#[test]
fn c_043_request_acknowledges_too_much() {
    for password in [false, true] {
        let (tags, fresh): (_, fn() -> Peer) = match password {
            false => ("", Peer::new),
            true => ("password secret", || Peer::with_password("secret")),
        };
        let (mut peer, mut world) = fresh().and_world(tags, &["l2tp1"]);
        world.forget();
        for nr in [1, 5, 0x7fff] {
            (peer.ns, peer.nr) = (0, nr);
            peer.request(&mut world);
        }
        assert_eq!((peer.kinds(&mut world).as_str(), world.transcript(0).as_str()), ("", ""));
        assert_eq!((world.tunnel(0).counters.rx_bad_nr, world.tunnel(0).state.status_name()), (3, "idle"));
        (peer.ns, peer.nr) = (0, 0);
        peer.request(&mut world);
        peer.take_reply(&mut world);
        // Repeated while the SCCRP was on its way, with the Nr of now; and with one that cannot be.
        for (nr, answer) in [(1, "SCCRP"), (2, "")] {
            (peer.ns, peer.nr) = (0, nr);
            peer.request(&mut world);
            assert_eq!(peer.kinds(&mut world), answer, "Nr {nr}\n{}", world.transcript(0));
        }
        assert_eq!((world.tunnel(0).counters.rx_bad_nr, world.logged(0, "tunnel create")), (4, 1));
    }
    // Our SCCRQ and the peer's cross.
    let (mut peer, mut world, _) = requested("");
    (peer.tie, peer.nr, peer.theirs.0) = (Some([0; 8]), 1, 0);
    peer.request(&mut world);
    assert_eq!(peer.kinds(&mut world), "SCCRP");
}
