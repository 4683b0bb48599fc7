//! Sessions against a scripted peer: the rows of RFC 3931 7.3 that two of our own ends never reach, the circuit's
//! status, the data plane's part.

use std::time::Duration;

use l2tpd::proto::{Command, SequenceLevel, TunnelEvent};
use l2tpd::wire::message::{Icrp, Icrq, SessionAvps};
use l2tpd::wire::{CircuitStatus, Cookie, Message, SessionId};

use crate::peer::{cdn, iccn, icrp, icrq, ids, sli, Peer, SESSION};
use crate::world::World;

/// An established connection on which the daemon has not asked for its sessions yet.
pub fn established(interfaces: &[&str]) -> (Peer, World) {
    Peer::new().and_established("", interfaces)
}

/// The id of the daemon's only session.
pub fn local(world: &World) -> SessionId {
    world.tunnel(0).sessions[0].local
}

fn state(world: &World) -> &'static str {
    world.tunnel(0).sessions[0].state.status_name()
}

/// The peer asks for session 1 and gets it.
pub fn session_of_the_peer(peer: &mut Peer, world: &mut World) -> SessionId {
    peer.send(world, &Message::Icrq(icrq("1")));
    assert_eq!(peer.kinds(world), "ICRP", "{}", world.transcript(0));
    let theirs = local(world);
    assert_eq!(gates(world, theirs), (false, false, false), "C-186: no frames before the ICCN");
    peer.send(world, &iccn(theirs));
    assert_eq!(peer.kinds(world), "ACK");
    assert_eq!(state(world), "established");
    theirs
}

/// The daemon asks for session 1; the peer has seen the ICRQ.
pub fn request_of_the_daemon(peer: &mut Peer, world: &mut World) -> SessionId {
    world.run_seconds(2);
    assert!(peer.kinds(world).contains("ICRQ"), "{}", world.transcript(0));
    assert_eq!(state(world), "wait-reply");
    local(world)
}

/// Its carrier, receive and send gates.
pub fn gates(world: &World, id: SessionId) -> (bool, bool, bool) {
    let port = &world.nodes[0].ports[&id];
    (port.carrier, port.receive, port.send)
}

// C-131 C-133 C-153 C-154 C-173 C-183: a CDN: acknowledged, nothing sent back, the connection stays.
#[test]
fn c_153_cdn_ends_the_session_only() {
    let (mut peer, mut world) = established(&["l2tp1"]);
    let theirs = session_of_the_peer(&mut peer, &mut world);
    peer.send(&mut world, &cdn(theirs, 3));
    assert_eq!(peer.kinds(&mut world), "ACK");
    assert_eq!((state(&world), world.tunnel(0).state.status_name()), ("wait-control-conn", "established"));
    assert!(world.nodes[0].ports.is_empty());
    assert_eq!(world.happened(0, TunnelEvent::SessionDown), 1);
    // R9: the daemon asks for it again after the restart interval.
    world.run_seconds(13);
    assert!(peer.kinds(&mut world).contains("ICRQ"));
}

// C-134: a CDN with Remote Session ID 0 is matched by the peer's own id.
#[test]
fn c_134_cdn_by_the_peers_id() {
    let (mut peer, mut world) = established(&["l2tp1"]);
    session_of_the_peer(&mut peer, &mut world);
    peer.send(&mut world, &cdn(SessionId(0), 3));
    assert_eq!(peer.kinds(&mut world), "ACK");
    assert!(world.nodes[0].ports.is_empty());
}

// C-135 C-164 C-178 C-179: messages for sessions that do not exist.
#[test]
fn c_135_unknown_sessions() {
    let (mut peer, mut world) = established(&["l2tp1"]);
    let unknown = SessionId(77);
    for (message, answer) in [
        (icrp(unknown), "CDN 2/5"),
        (iccn(unknown), "ACK"),
        (cdn(unknown, 3), "ACK"),
        (sli(unknown, 1), "ACK"),
        (Message::Wen(ids(unknown)), "ACK"),
    ] {
        let kind = message.message_type();
        peer.send(&mut world, &message);
        assert_eq!(peer.answers(&mut world), answer, "{kind}");
        peer.acknowledge(&mut world);
    }
    assert_eq!(world.tunnel(0).state.status_name(), "established");
    session_of_the_peer(&mut peer, &mut world);
}

// C-167 C-141 C-306: the daemon's own ICRQ; each direction has the cookie that its receiver assigned.
#[test]
fn c_141_c_167_reply_to_our_request() {
    let (mut peer, mut world) = Peer::new().and_established("cookie 8", &["l2tp1"]);
    let theirs = request_of_the_daemon(&mut peer, &mut world);
    let avps = SessionAvps { cookie: Cookie::new(&[1, 2, 3, 4]), ..SessionAvps::default() };
    let status = CircuitStatus(CircuitStatus::ACTIVE);
    peer.send(&mut world, &Message::Icrp(Icrp { ids: ids(theirs), circuit_status: status, avps }));
    assert_eq!(peer.kinds(&mut world), "ICCN");
    let port = &world.nodes[0].ports[&theirs];
    assert_eq!(port.attachment.remote, SESSION);
    assert_eq!(port.attachment.cookie_to_send.as_slice(), [1, 2, 3, 4]);
    assert_eq!(port.attachment.cookie_expected.len(), 8);
    assert_eq!(gates(&world, theirs), (true, true, true));
}

// C-168: an ICRP without the cookie that our configuration wants.
#[test]
fn c_168_reply_is_not_acceptable() {
    let (mut peer, mut world) = Peer::new().and_established("cookie 8", &["l2tp1"]);
    let theirs = request_of_the_daemon(&mut peer, &mut world);
    peer.send(&mut world, &icrp(theirs));
    assert_eq!(peer.answers(&mut world), "CDN 2/6");
    assert_eq!(world.logged(0, "Assigned Cookie AVP not found in ICRP"), 1);
    assert_eq!(world.happened(0, TunnelEvent::SessionFailed), 1);
    let failure = world.tunnel(0).sessions[0].last_failure.clone().unwrap().0;
    assert_eq!(failure.cause.message(), "M-033", "{failure}");
    // It is tried again and again at the restart interval, not faster.
    world.run_seconds(60);
    let requests = world.logged(0, "begin new session");
    assert!((2..=9).contains(&requests), "{requests}");
}

// C-171: CDN or ICCN in place of the ICRP.
#[test]
fn c_171_no_reply_but_an_end() {
    for message in [cdn as fn(SessionId, u16) -> Message, |id, _| iccn(id)] {
        let (mut peer, mut world) = established(&["l2tp1"]);
        let theirs = request_of_the_daemon(&mut peer, &mut world);
        peer.send(&mut world, &message(theirs, 4));
        assert_eq!(peer.kinds(&mut world), "ACK");
        assert_eq!(state(&world), "wait-control-conn");
        world.run_seconds(13);
        assert!(peer.kinds(&mut world).contains("ICRQ"), "{}", world.transcript(0));
    }
}

// C-169: our ICRQ loses against the peer's: we are the recipient. C-157: the lower value wins.
#[test]
fn c_169_session_tie_lost() {
    let (mut peer, mut world) = established(&["l2tp1"]);
    request_of_the_daemon(&mut peer, &mut world);
    let mut request = icrq("1");
    request.tie_breaker = Some([0; 8]);
    peer.send(&mut world, &Message::Icrq(request));
    assert_eq!(peer.kinds(&mut world), "ICRP");
    assert_eq!(state(&world), "wait-connect");
    // The winner's CDN for our lost ICRQ comes later and hits nothing (C-158).
    peer.send(&mut world, &cdn(SessionId(1), 13));
    let theirs = local(&world);
    peer.send(&mut world, &iccn(theirs));
    assert_eq!(state(&world), "established");
    // Nothing is left of our own request.
    assert_eq!(world.logged(0, "delete session"), 1);
    peer.receive(&mut world);
    peer.acknowledge(&mut world);
    world.run_seconds(50);
    assert_eq!((state(&world), peer.answers(&mut world).contains("CDN")), ("established", false));
}

// C-170 C-160 C-162: ours wins, also against an ICRQ without tie breaker; the CDN has a Local Session ID of its own.
#[test]
fn c_170_session_tie_won() {
    for tie in [Some([0xff; 8]), None] {
        let (mut peer, mut world) = established(&["l2tp1"]);
        let theirs = request_of_the_daemon(&mut peer, &mut world);
        let mut request = icrq("1");
        request.ids.local = SessionId(0x99);
        request.tie_breaker = tie;
        peer.send(&mut world, &Message::Icrq(request));
        let received = peer.receive(&mut world);
        let refusal = received.iter().find_map(|r| match &r.message {
            Message::Cdn(cdn) => Some(cdn.clone()),
            _ => None,
        });
        let refusal = refusal.expect("a CDN");
        assert_eq!(refusal.result.map(|r| r.result), Some(13));
        assert_eq!(refusal.ids.remote, SessionId(0x99));
        assert!(refusal.ids.local != theirs && refusal.ids.local != SessionId(0), "C-162");
        // C-158: a loser that says so itself (RFC 4667 5.3) does not end the winner's session.
        peer.send(&mut world, &cdn(theirs, 13));
        assert_eq!(state(&world), "wait-reply");
        peer.send(&mut world, &icrp(theirs));
        assert_eq!(state(&world), "established", "{}", world.transcript(0));
    }
}

// C-159 C-161: equal session tie breakers: our request is gone, without a word, and we begin again.
#[test]
fn c_159_session_tie_drawn() {
    let (mut peer, mut world) = established(&["l2tp1"]);
    let asked = |peer: &mut Peer, world: &mut World| {
        world.run(Duration::from_millis(2100));
        let received = peer.receive(world);
        peer.acknowledge(world);
        received.iter().find_map(|r| match &r.message {
            Message::Icrq(request) => Some(request.clone()),
            _ => None,
        })
    };
    let ours = asked(&mut peer, &mut world).expect("an ICRQ");
    let mut request = icrq("1");
    request.tie_breaker = ours.tie_breaker;
    world.forget();
    peer.send(&mut world, &Message::Icrq(request));
    assert_eq!(world.logged(0, "delete session"), 1, "{}", world.transcript(0));
    assert_eq!(peer.answers(&mut world), "ACK");
    let again = asked(&mut peer, &mut world).expect("another ICRQ");
    assert_ne!(again.ids.local, ours.ids.local);
}

// C-174 C-182 C-185: ICRP and ICCN out of place are ignored (a deviation, as the product has it); another ICRQ for
// the same end replaces the session.
#[test]
fn c_174_c_185_messages_out_of_place() {
    let (mut peer, mut world) = established(&["l2tp1"]);
    let theirs = session_of_the_peer(&mut peer, &mut world);
    for message in [icrp(theirs), iccn(theirs)] {
        peer.send(&mut world, &message);
        assert_eq!(peer.kinds(&mut world), "ACK");
        assert_eq!((state(&world), local(&world)), ("established", theirs));
    }
    assert_eq!(world.logged(0, "but ignored(tunnel state=ESTABLISHED)"), 2);
    let mut again = icrq("1");
    again.ids.local = SessionId(0x77);
    peer.send(&mut world, &Message::Icrq(again));
    assert_eq!(peer.answers(&mut world), "CDN 16, ICRP");
    assert_eq!((world.nodes[0].ports.len(), state(&world)), (1, "wait-connect"));
}

// C-172 C-175 C-184 C-152: the administrator ends a session, in each state.
#[test]
fn c_152_local_close_in_each_state() {
    let clear = |world: &mut World| {
        world.act(0, |e, now| e.command(now, Command::ClearSession("l2tp1".into(), None))).unwrap()
    };
    let ids_of = |peer: &mut Peer, world: &mut World| -> (SessionId, SessionId, Option<u16>) {
        world.run(Duration::from_millis(5));
        peer.receive(world)
            .iter()
            .find_map(|r| match &r.message {
                Message::Cdn(cdn) => {
                    Some((cdn.ids.local, cdn.ids.remote, cdn.result.as_ref().map(|r| r.result)))
                }
                _ => None,
            })
            .expect("a CDN")
    };
    let (mut peer, mut world) = established(&["l2tp1"]);
    let theirs = request_of_the_daemon(&mut peer, &mut world);
    peer.acknowledge(&mut world);
    clear(&mut world);
    assert_eq!(ids_of(&mut peer, &mut world), (theirs, SessionId(0), Some(3)), "C-172: wait-reply");
    let (mut peer, mut world) = established(&["l2tp1"]);
    peer.send(&mut world, &Message::Icrq(icrq("1")));
    peer.receive(&mut world);
    peer.acknowledge(&mut world);
    let theirs = local(&world);
    clear(&mut world);
    assert_eq!(ids_of(&mut peer, &mut world), (theirs, SESSION, Some(3)), "C-184: wait-connect");
    let (mut peer, mut world) = established(&["l2tp1"]);
    let theirs = session_of_the_peer(&mut peer, &mut world);
    clear(&mut world);
    assert_eq!(ids_of(&mut peer, &mut world), (theirs, SESSION, Some(3)), "C-175: established");
    assert_eq!(world.logged(0, "admin_clear: cleanup call: l2tp1"), 1);
}

// C-187: the ICRQ is acknowledged, no ICRP ever comes: CDN 16 after the set-up time, then another try. The same for
// an ICRP without ICCN.
#[test]
fn c_187_session_guard() {
    let (mut peer, mut world) = established(&["l2tp1"]);
    request_of_the_daemon(&mut peer, &mut world);
    peer.acknowledge(&mut world);
    world.run_seconds(31);
    assert_eq!(peer.answers(&mut world), "CDN 16");
    peer.acknowledge(&mut world);
    world.run_seconds(13);
    assert!(peer.kinds(&mut world).contains("ICRQ"), "{}", world.transcript(0));
    let (mut peer, mut world) = established(&["l2tp1"]);
    peer.send(&mut world, &Message::Icrq(icrq("1")));
    assert_eq!(peer.kinds(&mut world), "ICRP");
    peer.acknowledge(&mut world);
    world.run_seconds(31);
    assert_eq!(peer.answers(&mut world), "CDN 16");
    assert!(world.nodes[0].ports.is_empty());
}

// C-136: a type that the peer did not list is never asked for.
#[test]
fn c_136_no_request_for_an_unlisted_type() {
    let (mut peer, mut world) = Peer { pw_types: vec![4], ..Peer::new() }.and_established("", &["l2tp1"]);
    world.run_seconds(60);
    assert!(!peer.kinds(&mut world).contains("ICRQ"));
    let failure = world.tunnel(0).sessions[0].last_failure.clone().unwrap().0.to_string();
    assert!(failure.contains('5') && failure.contains('4'), "{failure}");
}

// C-146 C-273 C-274 C-312 C-335: sublayer and sequencing are the receiver's wish, for each direction.
#[test]
fn c_146_sublayer_and_sequencing_by_direction() {
    for (sublayer, sequencing, level) in [
        (Some(1), Some(2), SequenceLevel::All),
        (Some(1), Some(1), SequenceLevel::NonIp),
        (Some(1), None, SequenceLevel::None),
        (None, None, SequenceLevel::None),
        (Some(0), Some(0), SequenceLevel::None),
    ] {
        let (mut peer, mut world) = established(&["l2tp1"]);
        let mut request = icrq("1");
        request.avps.sublayer = sublayer;
        request.avps.sequencing = sequencing;
        peer.send(&mut world, &Message::Icrq(request));
        let attachment = &world.nodes[0].ports[&local(&world)].attachment;
        assert_eq!(attachment.sublayer_to_send, sublayer == Some(1));
        assert!(!attachment.sublayer_expected);
        assert_eq!(attachment.sequence_send, level);
    }
}

// C-147: a sublayer that cannot be produced. C-320: the other Ethernet type. C-137: no Ethernet at all.
#[test]
fn c_147_c_320_requests_that_cannot_be_met() {
    let (mut peer, mut world) = established(&["l2tp1"]);
    type Change = Box<dyn Fn(&mut Icrq)>;
    let changes: [(Change, &str); 5] = [
        (Box::new(|r: &mut Icrq| r.avps.sublayer = Some(2)), "2/3"),
        (Box::new(|r| r.pw_type = 4), "14"),
        (Box::new(|r| r.pw_type = 7), "14"),
        (Box::new(|r| r.avps.sequencing = Some(1)), "15"),
        (Box::new(|r| r.end_id = b"9".to_vec()), "24"),
    ];
    for (change, code) in changes {
        let mut request = icrq("1");
        change(&mut request);
        peer.send(&mut world, &Message::Icrq(request));
        assert_eq!(peer.answers(&mut world), format!("CDN {code}"));
        peer.acknowledge(&mut world);
    }
    assert!(world.nodes[0].ports.is_empty());
    session_of_the_peer(&mut peer, &mut world);
}

// C-138 C-271 C-323: the Remote End ID as text, or as a number in four octets.
#[test]
fn c_323_remote_end_id_in_four_octets() {
    let (mut peer, mut world) = established(&["l2tp100"]);
    let mut request = icrq("");
    request.end_id = vec![0, 0, 0, 100];
    peer.send(&mut world, &Message::Icrq(request));
    assert_eq!(peer.kinds(&mut world), "ICRP");
}

// C-189 C-190: outgoing calls do not exist; the connection stays.
#[test]
fn c_189_outgoing_calls() {
    let (mut peer, mut world) = established(&["l2tp1"]);
    for (message, answer, text) in [
        (Message::Ocrq(ids(SessionId(0))), "CDN 5", "recv_ocrq: not support OCRQ"),
        (Message::Ocrp(ids(SessionId(9))), "ACK", "recv_ocrp: not support OCRP"),
        (Message::Occn(ids(SessionId(9))), "ACK", "recv_occn: not support OCCN"),
    ] {
        peer.send(&mut world, &message);
        assert_eq!(peer.answers(&mut world), answer, "{}", world.transcript(0));
        assert_eq!(world.logged(0, text), 1);
        peer.acknowledge(&mut world);
    }
    assert_eq!(world.tunnel(0).state.status_name(), "established");
}

// C-303 C-304: a CDN with a code that means nothing, or with none, ends the session all the same.
#[test]
fn c_303_codes_out_of_range() {
    for (result, text) in [(Some(200), "result code out of range (200,0)"), (None, "AVP handler")] {
        let (mut peer, mut world) = established(&["l2tp1"]);
        let theirs = session_of_the_peer(&mut peer, &mut world);
        match result {
            Some(_) => peer.send(&mut world, &cdn(theirs, 200)),
            None => {
                // The encoder refuses such a message: a SLI, cut before its last AVP, under the other type.
                let mut octets = peer.octets(&sli(theirs, 1));
                octets[19] = 14;
                octets.truncate(40);
                octets[3] = 40;
                peer.patched(&mut world, octets);
            }
        }
        assert_eq!(peer.kinds(&mut world), "ACK");
        assert!(world.nodes[0].ports.is_empty());
        assert_eq!(world.logged(0, text), 1, "{}", world.transcript(0));
    }
}

// C-140 C-132 C-143 C-282: serial numbers rise; ids and cookies are never the same again.
#[test]
fn c_140_c_282_values_of_new_sessions() {
    let (mut peer, mut world) = Peer::new().and_established("cookie 8", &["l2tp1", "l2tp2", "l2tp3"]);
    let mut requests = Vec::new();
    for _ in 0..40 {
        world.run_seconds(2);
        for received in peer.receive(&mut world) {
            let repeated = requests.iter().any(|(ns, _)| *ns == received.header.ns);
            if let (Message::Icrq(request), false) = (received.message, repeated) {
                peer.send(&mut world, &cdn(request.ids.local, 4));
                requests.push((received.header.ns, request));
            }
        }
        peer.acknowledge(&mut world);
    }
    assert!(requests.len() >= 12, "{}", requests.len());
    let requests: Vec<Icrq> = requests.into_iter().map(|(_, request)| request).collect();
    let serials: Vec<u32> = requests.iter().map(|r| r.serial).collect();
    assert_eq!(serials, (1..=serials.len() as u32).collect::<Vec<_>>());
    let distinct = |mut values: Vec<Vec<u8>>| {
        values.sort();
        values.dedup();
        values.len()
    };
    let cookies = requests.iter().map(|r| r.avps.cookie.as_ref().unwrap().as_slice().to_vec()).collect();
    let ids = requests.iter().map(|r| r.ids.local.0.to_be_bytes().to_vec()).collect();
    assert_eq!((distinct(cookies), distinct(ids)), (requests.len(), requests.len()));
    // `role passive`: a value that loses against any random one.
    let yields = |request: &Icrq| request.tie_breaker == Some(0xffff_ffff_ffff_fffe_u64.to_be_bytes());
    assert!(requests.iter().all(yields));
}
