//! Messages that are refused for one AVP, in every state of connection and session: who is told what, what is
//! logged, and when it is tried again.

use l2tpd::proto::Command;
use std::time::Duration;

use l2tpd::wire::header;
use l2tpd::wire::message::{encode, Dialect, EncodeOptions, Iccn, SessionAvps};
use l2tpd::wire::{CircuitStatus, Cookie, Encapsulation, Message, MessageType, SessionId};

use crate::peer::{cdn, iccn, icrp, icrq, ids, stop, Peer, CCID, SESSION};
use crate::sessions::{established, local, request_of_the_daemon, session_of_the_peer};
use crate::support::packets::{hex, with_avps, without_avp};

/// An AVP that nobody knows, with the M bit set.
const UNKNOWN: &str = "8008000000c80102";

/// A message with further AVPs after those that it has; for connections without digests.
fn with(peer: &mut Peer, message: &Message, avps: &str) -> Vec<u8> {
    let octets = peer.octets(message);
    peer.ns = peer.ns.wrapping_add(1);
    with_avps(octets, avps)
}

// M-028: a cookie of five octets has its line whether its M bit is set (CDN 2/2) or not (then it counts for nothing).
#[test]
fn c_145_cookie_of_a_bad_length() {
    let (mut peer, mut world) = established(&["l2tp1"]);
    let octets = with(&mut peer, &Message::Icrq(icrq("1")), "000b000000410102030405");
    peer.raw(&mut world, octets);
    assert_eq!(peer.answers(&mut world), "ICRP");
    assert_eq!(world.logged(0, "avp_handler: invalid cookie length (5)"), 1, "{}", world.transcript(0));
    assert_eq!(world.nodes[0].ports[&local(&world)].attachment.cookie_to_send, Cookie::NONE);
}

// C-133 C-168: an ICRP with an unknown AVP: the CDN names the session of the peer, which the ICRP told. The daemon
// asks again after the restart interval.
#[test]
fn c_133_bad_reply_is_refused_by_the_peers_id() {
    let (mut peer, mut world) = established(&["l2tp1"]);
    let theirs = request_of_the_daemon(&mut peer, &mut world);
    let octets = with(&mut peer, &icrp(theirs), UNKNOWN);
    peer.raw(&mut world, octets);
    let received = peer.receive(&mut world);
    let [Message::Cdn(refusal)] = &received.iter().map(|r| r.message.clone()).collect::<Vec<_>>()[..] else {
        panic!("{}", world.transcript(0))
    };
    assert_eq!((refusal.ids.local, refusal.ids.remote), (theirs, SESSION));
    assert!(world.session(0, "l2tp1").last_failure.is_some_and(|(f, _)| f.check.contains("unknown AVP 200")));
    peer.acknowledge(&mut world);
    world.run_seconds(7);
    assert_eq!(peer.kinds(&mut world), "", "not at once");
    world.run_seconds(6);
    assert!(peer.kinds(&mut world).contains("ICRQ"));
}

/// A message without its AVPs of this type.
fn without(peer: &mut Peer, message: &Message, attribute: u16) -> Vec<u8> {
    without_avp(&with(peer, message, ""), attribute)
}

// C-207 C-304: one of the two ids tells already which session a message means.
#[test]
fn c_207_messages_with_one_id_missing() {
    for missing in [63, 64] {
        let (mut peer, mut world) = established(&["l2tp1"]);
        peer.send(&mut world, &Message::Icrq(icrq("1")));
        peer.receive(&mut world);
        let octets = without(&mut peer, &iccn(local(&world)), missing);
        peer.raw(&mut world, octets);
        assert_eq!(peer.answers(&mut world), "CDN 2/6", "{missing}\n{}", world.transcript(0));
        assert_eq!((world.nodes[0].ports.len(), world.tunnel(0).state.status_name()), (0, "established"));

        let (mut peer, mut world) = established(&["l2tp1"]);
        let theirs = session_of_the_peer(&mut peer, &mut world);
        let octets = without(&mut peer, &cdn(theirs, 3), missing);
        peer.raw(&mut world, octets);
        assert_eq!(peer.answers(&mut world), "ACK", "C-153: a CDN is not answered with a CDN");
        assert_eq!((world.nodes[0].ports.len(), world.tunnel(0).state.status_name()), (0, "established"));
        world.run_seconds(13);
        assert!(peer.kinds(&mut world).contains("ICRQ"), "and asked for again");
        // Of no session: nothing to answer.
        let octets = without(&mut peer, &cdn(SessionId(1), 3), missing);
        peer.raw(&mut world, octets);
        assert!(!peer.answers(&mut world).contains("CDN"));
    }
}

// C-267: an ICRQ whose Local Session ID is 0 names nobody to answer.
#[test]
fn c_267_request_with_session_id_0() {
    let (mut peer, mut world) = established(&["l2tp1"]);
    let mut request = icrq("1");
    request.ids.local = SessionId(0);
    let octets = with(&mut peer, &Message::Icrq(request), "");
    peer.raw(&mut world, octets);
    assert_eq!(peer.answers(&mut world), "ACK");
    assert_eq!(world.logged(0, "failed to processing packet in AVP handler"), 1);
    assert_eq!(world.tunnel(0).state.status_name(), "established");
    session_of_the_peer(&mut peer, &mut world);
}

// C-198: a session message that is refused names its session: another one is not touched.
#[test]
fn c_198_other_sessions_stay() {
    let (mut peer, mut world) = established(&["l2tp1", "l2tp2"]);
    session_of_the_peer(&mut peer, &mut world);
    let mut second = icrq("2");
    second.ids.local = SessionId(0x77);
    let octets = with(&mut peer, &Message::Icrq(second), UNKNOWN);
    peer.raw(&mut world, octets);
    assert_eq!(peer.answers(&mut world), "CDN 2/8");
    assert_eq!(world.session(0, "l2tp1").state.status_name(), "established");
    assert!(world.tunnel(0).last_failure.is_some_and(|(f, _)| f.check.contains("unknown AVP 200")));
}

// C-197: before the connection is established even a session message has only the connection to end.
#[test]
fn c_197_bad_session_message_before_the_connection_is_up() {
    let (mut peer, mut world) = Peer::new().and_world("", &["l2tp1"]);
    peer.request(&mut world);
    peer.take_reply(&mut world);
    let octets = with(&mut peer, &Message::Icrq(icrq("1")), UNKNOWN);
    peer.raw(&mut world, octets);
    assert_eq!(peer.answers(&mut world), "StopCCN 2/8");
}

// C-062 C-100: who only lingers refuses nothing any more, and an SCCRP that comes now is nothing to decline.
#[test]
fn c_062_lingering_connections_refuse_nothing() {
    let (mut peer, mut world) = established(&[]);
    peer.send(&mut world, &stop(CCID, 1));
    assert_eq!(peer.answers(&mut world), "ACK");
    let octets = with(&mut peer, &Message::Hello, UNKNOWN);
    peer.raw(&mut world, octets);
    assert_eq!((peer.answers(&mut world).as_str(), world.logged(0, "no handler")), ("ACK", 1));
    let reply = Message::Sccrp(peer.set_up());
    peer.send(&mut world, &reply);
    assert_eq!(peer.answers(&mut world), "ACK");
    assert_eq!(world.logged(0, "receive SCCRP, but ignored(tunnel state=IDLE)"), 1);
    // The linger time runs from the StopCCN on, whatever is repeated.
    world.run_seconds(31);
    assert_eq!(world.logged(0, "delete tunnel"), 1);
}

// C-061: who waits for the acknowledgement of his StopCCN refuses nothing either.
#[test]
fn c_061_stopping_connections_refuse_nothing() {
    let (mut peer, mut world) = established(&[]);
    world.act(0, |e, now| e.command(now, Command::ClearTunnel("t".into(), None))).unwrap();
    world.run(Duration::from_millis(5));
    assert_eq!(peer.answers(&mut world), "StopCCN 1");
    peer.nr -= 1;
    let octets = with(&mut peer, &Message::Hello, UNKNOWN);
    peer.raw(&mut world, octets);
    assert_eq!(peer.answers(&mut world), "ACK");
    peer.nr += 1;
    peer.acknowledge(&mut world);
    assert_eq!(world.logged(0, "delete tunnel"), 1);
}

// C-116 C-197: an SCCRP with an unknown AVP: StopCCN to its sender, and another try after the restart interval.
#[test]
fn c_116_bad_reply_is_stopped_by_the_peers_id() {
    let (mut peer, mut world) = Peer::new().and_world("role both", &[]);
    world.run(Duration::from_millis(5));
    peer.take_request(&mut world);
    let reply = Message::Sccrp(peer.set_up());
    let octets = with(&mut peer, &reply, UNKNOWN);
    peer.raw(&mut world, octets);
    let received = peer.receive(&mut world);
    assert_eq!(received.len(), 1);
    assert_eq!((received[0].header.ccid, received[0].message.message_type()), (CCID, MessageType::STOPCCN));
    assert_eq!(world.happened(0, l2tpd::proto::TunnelEvent::TunnelFailed), 1);
    assert!(world.tunnel(0).last_failure.is_some_and(|(f, _)| f.check.contains("unknown AVP 200")));
    peer.acknowledge(&mut world);
    world.run_seconds(7);
    assert_eq!(peer.kinds(&mut world), "");
    world.run_seconds(6);
    assert!(peer.kinds(&mut world).contains("SCCRQ"), "{}", world.transcript(0));
}

// C-364 M-030: more AVPs than anybody has use for: not received at all, and said so.
#[test]
fn c_364_too_many_avps() {
    let (mut peer, mut world) = established(&[]);
    let octets = with(&mut peer, &Message::Hello, &"000600000007".repeat(256));
    let length = octets.len();
    peer.raw(&mut world, octets);
    peer.ns -= 1;
    assert_eq!(peer.answers(&mut world), "");
    assert_eq!(world.logged(0, &format!("avp_handler: wrong size({length}), discarding packet")), 1);
    peer.send(&mut world, &Message::Hello);
    assert_eq!(peer.answers(&mut world), "ACK");
}

// C-354: the acknowledgement of Cisco's draft (vendor 9, type 0) takes no Ns and is not acknowledged; type 0 of any
// other vendor, or another type of vendor 9, is an unknown message.
#[test]
fn c_354_acknowledgement_of_the_draft() {
    let (mut peer, mut world) = established(&["l2tp1"]);
    request_of_the_daemon(&mut peer, &mut world);
    for (first, answer) in
        [("800800090000 0000", ""), ("000800090000 0005", "ACK"), ("000800080000 0000", "ACK")]
    {
        let mut octets = encode(&Message::Hello, &PLAIN).unwrap();
        octets[12..20].copy_from_slice(&hex(&first.replace(' ', "")));
        header::stamp(&mut octets, peer.theirs, peer.ns, peer.nr);
        peer.ns += u16::from(answer == "ACK");
        peer.raw(&mut world, octets);
        assert_eq!(peer.answers(&mut world), answer, "{first}\n{}", world.transcript(0));
    }
    world.run_seconds(10);
    assert_eq!(peer.kinds(&mut world), "", "the ICRQ was acknowledged");
    peer.send(&mut world, &Message::Hello);
    assert_eq!(peer.answers(&mut world), "ACK");
}

const PLAIN: EncodeOptions<'static> = EncodeOptions { digest: false, hide: None, dialect: Dialect::IETF };

// C-014 C-356: over UDP a message of version 2 is not one of the connection whose id its first field happens to be.
#[test]
fn c_356_version_2_on_a_connection() {
    let mut peer = Peer { encapsulation: Encapsulation::Udp, ..Peer::new() };
    peer.from.set_port(1701);
    let (mut peer, mut world) = peer.and_established("encapsulation udp", &[]);
    let mut octets = peer.octets(&stop(CCID, 1));
    octets[1] = 2;
    peer.raw(&mut world, octets);
    assert_eq!((peer.answers(&mut world).as_str(), world.tunnel(0).state.status_name()), ("", "established"));
    assert_eq!(world.logged(0, "recv_packet: support only L2TPv3"), 1);
}

/// An ICCN that asks for something.
fn asking(theirs: SessionId, sublayer: Option<u16>, sequencing: Option<u16>) -> Message {
    let avps = SessionAvps { sublayer, sequencing, ..SessionAvps::default() };
    Message::Iccn(Iccn { ids: ids(theirs), circuit_status: None, avps })
}

// C-146 C-273 C-274 C-290: sublayer and sequencing may be asked for as late as in the ICCN.
#[test]
fn c_146_sublayer_in_the_iccn() {
    use l2tpd::proto::SequenceLevel::{All, NonIp, None as No};
    for (first, then, expected) in [
        ((None, None), (Some(1), None), (true, No)),
        ((None, None), (Some(1), Some(1)), (true, NonIp)),
        ((Some(1), None), (None, Some(2)), (true, All)),
        ((Some(1), Some(2)), (Some(1), Some(2)), (true, All)),
        ((Some(1), Some(2)), (None, None), (true, All)),
        ((Some(1), Some(2)), (Some(1), Some(0)), (true, No)),
        ((Some(1), None), (Some(0), None), (false, No)),
    ] {
        let (mut peer, mut world) = established(&["l2tp1"]);
        let mut request = icrq("1");
        (request.avps.sublayer, request.avps.sequencing) = first;
        peer.send(&mut world, &Message::Icrq(request));
        assert_eq!(peer.kinds(&mut world), "ICRP");
        let theirs = local(&world);
        peer.send(&mut world, &asking(theirs, then.0, then.1));
        assert_eq!(peer.kinds(&mut world), "ACK");
        let port = &world.nodes[0].ports[&theirs];
        let found = (port.attachment.sublayer_to_send, port.attachment.sequence_send);
        assert_eq!(found, expected, "{first:?} {then:?}");
        assert!(port.receive && port.send && port.carrier);
        assert_eq!(world.session(0, "l2tp1").state.status_name(), "established");
        assert_eq!(world.logged(0, "receive ICCN, state --> ESTABLISHED"), 1);
    }
}

// C-147 C-148 C-181: what cannot be had is refused there too.
#[test]
fn c_148_iccn_that_cannot_be_met() {
    for (sublayer, sequencing, code) in
        [(Some(2), None, "2/3"), (None, Some(1), "15"), (Some(0), Some(2), "15")]
    {
        let (mut peer, mut world) = established(&["l2tp1"]);
        peer.send(&mut world, &Message::Icrq(icrq("1")));
        assert_eq!(peer.kinds(&mut world), "ICRP");
        let message = asking(local(&world), sublayer, sequencing);
        peer.send(&mut world, &message);
        assert_eq!(peer.answers(&mut world), format!("CDN {code}"));
        assert!(world.nodes[0].ports.is_empty());
    }
}

// C-278: the circuit's state in an ICCN counts. C-186: the second attachment may take its time, or fail.
#[test]
fn c_278_iccn_while_the_data_plane_takes_its_time() {
    for outcome in [Ok(()), Err("gone".to_owned())] {
        let (mut peer, mut world) = established(&["l2tp1"]);
        peer.send(&mut world, &Message::Icrq(icrq("1")));
        peer.receive(&mut world);
        let theirs = local(&world);
        world.nodes[0].hold_attachments = true;
        world.nodes[0].attach_outcomes.push_back(outcome.clone());
        let Message::Iccn(mut connected) = asking(theirs, Some(1), None) else { panic!() };
        connected.circuit_status = Some(CircuitStatus(0));
        peer.send(&mut world, &Message::Iccn(connected));
        world.run(Duration::from_millis(50));
        assert_eq!(peer.kinds(&mut world), "ACK");
        assert_eq!(world.session(0, "l2tp1").state.status_name(), "wait-connect");
        world.answer_attachments(0);
        world.run(Duration::from_millis(5));
        match outcome {
            Ok(()) => {
                let port = &world.nodes[0].ports[&theirs];
                assert_eq!((port.receive, port.send, port.carrier), (true, false, false));
                assert_eq!(
                    (peer.kinds(&mut world).as_str(), world.session(0, "l2tp1").state.status_name()),
                    ("", "established")
                );
            }
            Err(_) => assert_eq!(peer.answers(&mut world), "CDN 4"),
        }
    }
}
