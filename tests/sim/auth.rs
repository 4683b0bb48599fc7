//! Passwords, digests, nonces: who is believed, and what both ends make of settings that differ.

use l2tpd::proto::Command;
use std::time::Duration;

use l2tpd::wire::digest::{self, Secret};
use l2tpd::wire::message::{encode, Dialect, EncodeOptions, SetUp};
use l2tpd::wire::{avp, Message, MessageType};

use crate::net::tunnel;
use crate::peer::{stop, Peer, CCID};
use crate::world::World;

const SESSIONS: &[&str] = &["l2tp1"];

/// Two nodes with different tunnel tags, `seconds` later.
fn pair(here: &str, there: &str, seconds: u64) -> World {
    let mut world = World::new(3);
    world.add(&tunnel(0, 1, here, SESSIONS));
    world.add(&tunnel(1, 0, there, SESSIONS));
    world.capture = true;
    world.start_all();
    world.run_seconds(seconds);
    world
}

/// Whether every captured message has a Message Digest AVP right after the Message Type AVP.
fn all_signed(world: &World) -> bool {
    world.wire.iter().all(|d| d.octets.get(20..26).is_some_and(|a| a[2..] == [0, 0, 0, 59]))
}

fn none_signed(world: &World) -> bool {
    world.wire.iter().all(|d| avp::iter(&d.octets).all(|a| a.id.attribute != 59 && a.id.attribute != 73))
}

// C-048 C-051 C-223 C-235 C-237 C-359: with a password everything is signed, acknowledgements too; nonces in SCCRQ and
// SCCRP alone; a new nonce for each attempt; the password is nowhere to be seen.
#[test]
fn c_223_everything_is_signed() {
    let mut world = pair("password topsecret", "password topsecret", 60);
    world.assert_both_up();
    world.crash(0);
    world.run_seconds(60);
    world.assert_both_up();
    assert!(all_signed(&world));
    let mut nonces = Vec::new();
    for datagram in &world.wire {
        let nonce = avp::nonce(&datagram.octets);
        assert_eq!(nonce.is_some(), matches!(datagram.kind(), 1 | 2), "type {}", datagram.kind());
        nonces.extend(nonce.map(<[u8]>::to_vec));
        assert!(datagram.octets.windows(9).all(|w| w != b"topsecret"));
    }
    assert!(nonces.iter().all(|n| n.len() >= 16), "C-236");
    nonces.sort();
    nonces.dedup();
    assert!(nonces.len() >= 4, "two connections, two nonces each");
    for n in 0..2 {
        assert!(!world.transcript(n).contains("topsecret"));
    }
}

// C-049: without a password nothing is signed, and the acknowledgement is a ZLB.
#[test]
fn c_049_without_a_password() {
    let world = pair("", "", 60);
    world.assert_both_up();
    assert!(none_signed(&world));
    let bare = world.wire.iter().filter(|d| d.octets.len() == 12).count();
    assert!(bare >= 2);
    assert!(world.wire.iter().all(|d| d.kind() != 20));
}

// C-030 C-239 C-242: `digest md5` without a password: nonces and digests under the empty secret. A peer without
// that setting answers in kind, since it was shown a nonce.
#[test]
fn c_030_c_239_integrity_without_a_password() {
    for (here, there) in [("digest md5", "digest md5"), ("digest md5", ""), ("", "digest md5")] {
        let mut world = pair(here, there, 0);
        if !here.is_empty() {
            // Let this end begin; it is its nonce that obliges the other.
            world = World::new(3);
            world.add(&tunnel(0, 1, here, SESSIONS));
            world.add(&tunnel(1, 0, &format!("{there};role passive"), SESSIONS));
            world.capture = true;
            world.start(1);
            world.start(0);
        }
        world.run_seconds(60);
        world.assert_both_up();
        if !here.is_empty() {
            assert!(all_signed(&world), "{here} {there}");
        }
        world.run_seconds(600);
        world.assert_both_up();
        let connections = world.tunnel(0).counters.established;
        assert_eq!(connections, 1, "{here} {there}: {}", world.transcript(0));
    }
}

// C-224 C-238 C-240: passwords that differ, or only one end has one: silence, and one line in the log.
#[test]
fn c_238_passwords_differ() {
    for (here, there) in
        [("password one", "password two"), ("password one", ""), ("password one", "digest md5")]
    {
        let world = pair(here, there, 300);
        for n in 0..2 {
            assert_ne!(world.tunnel(n).state.status_name(), "established", "{here} {there}");
            assert_eq!(world.happened(n, l2tpd::proto::TunnelEvent::TunnelUp), 0);
        }
        assert!(world.logged(0, "message digest invalid in SCCRQ") > 0, "{}", world.transcript(0));
        // The one with the password says nothing to what it cannot believe.
        let from_0 = world.wire.iter().filter(|d| d.from.ip() == crate::net::address(0));
        assert!(from_0.clone().all(|d| d.kind() == 1), "only its own SCCRQs");
    }
}

// C-238 C-239: without a password too, an SCCRP whose digest is wrong is not believed, whether or not we sent a nonce.
#[test]
fn c_238_reply_with_a_wrong_digest() {
    for tags in ["role both", "role both;digest md5"] {
        let (mut peer, mut world) = Peer::with_password("another").and_world(tags, SESSIONS);
        world.run(Duration::from_millis(5));
        peer.take_request(&mut world);
        let reply = Message::Sccrp(peer.set_up());
        peer.send(&mut world, &reply);
        assert_eq!(world.logged(0, "message digest invalid in SCCRP"), 1, "{tags}\n{}", world.transcript(0));
        assert_eq!(
            (world.tunnel(0).state.status_name(), peer.kinds(&mut world).as_str()),
            ("wait-ctl-reply", ""),
            "{tags}"
        );
    }
}

// C-034 C-240: an SCCRP without nonce: dropped, named in the log, the SCCRQ is repeated.
#[test]
fn c_240_reply_without_nonce() {
    let (mut peer, mut world) =
        Peer::with_password("secret").and_world("password secret;role both", SESSIONS);
    world.run(Duration::from_millis(5));
    peer.take_request(&mut world);
    peer.with_nonce = false;
    let reply = Message::Sccrp(peer.set_up());
    peer.send(&mut world, &reply);
    assert_eq!(world.logged(0, "Authentication Nonce was not found in SCCRP"), 1);
    assert_eq!(
        (world.tunnel(0).state.status_name(), peer.kinds(&mut world).as_str()),
        ("wait-ctl-reply", "")
    );
    world.run(Duration::from_millis(1250)); // the first repetition comes after 1 to 1.25 s
    peer.ns = 0;
    peer.with_nonce = true;
    peer.answer(&mut world);
}

// C-235: with a password an SCCRQ without nonce is not believed, though its digest fits.
#[test]
fn c_235_request_without_nonce() {
    let (mut peer, mut world) = Peer::with_password("secret").and_world("password secret", SESSIONS);
    peer.with_nonce = false;
    peer.request(&mut world);
    assert_eq!(peer.kinds(&mut world), "");
    assert_eq!(world.logged(0, "message digest invalid in SCCRQ"), 1);
}

// C-099: an SCCRQ that wins the tie but not the digest does not make us yield.
#[test]
fn c_099_digest_before_tie_breaker() {
    let (mut peer, mut world) = Peer::with_password("wrong").and_world("password secret;role both", SESSIONS);
    world.run(Duration::from_millis(5));
    peer.take_request(&mut world);
    peer.nr = 0;
    peer.tie = Some([0; 8]);
    peer.request(&mut world);
    assert_eq!(world.logged(0, "tie break check"), 0);
    assert_eq!(
        (world.tunnel(0).state.status_name(), peer.kinds(&mut world).as_str()),
        ("wait-ctl-reply", "")
    );
    // Then the real peer answers.
    peer.secret = Some(Secret::new(b"secret"));
    peer.ns = 0;
    peer.nr = 1;
    let reply = Message::Sccrp(peer.set_up());
    peer.send(&mut world, &reply);
    assert_eq!(world.tunnel(0).state.status_name(), "established", "{}", world.transcript(0));
}

// C-045 C-049 C-224: forged acknowledgements, ends and bare ZLBs on a protected connection touch nothing; nor do they
// where only the integrity is checked.
#[test]
fn c_045_c_224_forgeries() {
    for (password, tags) in [("secret", "password secret"), ("", "digest md5")] {
        let (mut peer, mut world) = Peer::with_password(password).and_established(tags, SESSIONS);
        world.run_seconds(2);
        assert!(peer.kinds(&mut world).contains("ICRQ"), "in flight, not acknowledged");
        let before = world.tunnel(0);
        let mut forger =
            Peer { theirs: peer.theirs, ns: peer.ns, nr: peer.nr, ..Peer::with_password("guess") };
        forger.their_nonce = peer.their_nonce.clone();
        for message in [Message::Ack, Message::Hello, stop(CCID, 1)] {
            forger.send(&mut world, &message);
            let kind = message.message_type();
            assert_eq!(world.logged(0, &format!("message digest invalid in {kind}")), 1, "{tags} {kind}");
        }
        forger.secret = None;
        forger.send(&mut world, &stop(CCID, 1));
        let mut zlb = l2tpd::wire::message::encode_zlb();
        l2tpd::wire::header::stamp(&mut zlb, peer.theirs, peer.ns, peer.nr);
        forger.raw(&mut world, zlb);
        let after = world.tunnel(0);
        assert_eq!(
            (after.ns, after.nr, after.queued, after.state),
            (before.ns, before.nr, before.queued, before.state),
            "{tags}"
        );
        assert_eq!(after.counters.rx_bad_digest, 5, "{tags}");
        world.run_seconds(1);
        assert!(peer.kinds(&mut world).contains("ICRQ"), "{tags}: C-045: it is still repeated");
    }
}

// C-027 and RFC 3931 4.1.1.2: over UDP the peer answers from another port; later it may move only if it proves
// itself, and the sessions' data follow.
#[test]
fn c_027_peer_moves_behind_a_nat() {
    for (tags, follows) in [("password secret;encapsulation udp", true), ("encapsulation udp", false)] {
        let mut world = World::pair(8, &format!("{tags};hello-interval 5;retry 3"), SESSIONS);
        world.nodes[1].seen_port = Some(40000);
        // The NAT lets node 1 begin.
        world.start(0);
        world.act(0, |e, now| e.command(now, Command::Stop("t".into()))).unwrap();
        world.reload(0, &tunnel(0, 1, &format!("{tags};hello-interval 5;retry 3;role passive"), SESSIONS));
        world.start(1);
        world.run_seconds(30);
        world.assert_both_up();
        assert_eq!(world.tunnel(0).path.unwrap().remote.port(), 40000, "C-026");
        let connection = world.tunnel(0).local_ccid;
        world.nodes[1].seen_port = Some(40001);
        world.run_seconds(60);
        world.assert_both_up();
        assert_eq!(world.tunnel(0).local_ccid == connection, follows, "{}", world.transcript(0));
        let port = world.nodes[0].ports.values().next().unwrap();
        assert_eq!((port.path.remote.port(), port.attachment.interface.as_str()), (40001, "l2tp1"));
    }
}

// C-027: the answer to our SCCRQ comes from another port; from then on everything goes there.
#[test]
fn c_027_reply_from_another_port() {
    let mut peer = Peer::new();
    peer.encapsulation = l2tpd::wire::Encapsulation::Udp;
    peer.from.set_port(5000);
    let (mut peer, mut world) = peer.and_world("encapsulation udp;role both", SESSIONS);
    world.capture = true;
    world.run(Duration::from_millis(5));
    assert_eq!(world.inbox[0].to.port(), 1701, "C-025");
    peer.take_request(&mut world);
    let reply = Message::Sccrp(peer.set_up());
    peer.send(&mut world, &reply);
    let to: Vec<u16> =
        world.wire.iter().filter(|d| d.kind() == 3 || d.kind() == 10).map(|d| d.to.port()).collect();
    assert_eq!(to, [5000, 5000]);
}

// C-019: a message with our id from another address, or for an id that is not ours.
#[test]
fn c_019_wrong_source() {
    let (mut peer, mut world) = Peer::new().and_established("", SESSIONS);
    let octets = peer.octets(&Message::Hello);
    peer.from.set_ip(crate::net::address(2));
    peer.raw(&mut world, octets);
    assert_eq!(peer.kinds(&mut world), "");
    peer.from.set_ip(crate::net::address(1));
    peer.theirs.0 ^= 1;
    let octets = peer.octets(&Message::Hello);
    peer.raw(&mut world, octets);
    // It is dropped; but perhaps the peer means a connection of former times, and so it is asked about this one.
    assert_eq!(peer.kinds(&mut world), "HELLO");
    peer.theirs.0 ^= 1;
    let drops = world.snapshot(0).drops;
    assert_eq!((drops.wrong_source, drops.unknown_ccid), (1, 1));
    peer.send(&mut world, &Message::Hello);
    assert_eq!(peer.kinds(&mut world), "ACK");
}

// C-228: passwords are changed at one end after the other; each change costs one set-up, never an outage.
#[test]
fn c_228_change_of_passwords() {
    let mut world = pair("password old", "password old", 60);
    let steps: [(usize, &str); 4] = [
        (0, "password old;password-old new"),
        (1, "password new;password-old old"),
        (0, "password new;password-old old"),
        (1, "password new"),
    ];
    for (n, tags) in steps {
        world.reload(n, &tunnel(n, 1 - n, tags, SESSIONS));
        let up = world.run_while_not(Duration::from_secs(5), World::both_up);
        assert!(up, "{n} {tags}\n{}{}", world.transcript(0), world.transcript(1));
        world.run_seconds(90);
        world.assert_both_up();
    }
    world.reload(0, &tunnel(0, 1, "password new", SESSIONS));
    world.run_seconds(200);
    world.assert_both_up();
}

// C-242: without a password a digest under the empty secret and without nonces is a checksum: right or dropped.
#[test]
fn c_242_digest_as_checksum() {
    let (mut peer, mut world) = Peer::new().and_established("", SESSIONS);
    peer.secret = Some(Secret::new(b""));
    peer.send(&mut world, &Message::Hello);
    assert_eq!(peer.kinds(&mut world), "ACK");
    peer.secret = Some(Secret::new(b"something"));
    peer.send(&mut world, &Message::Hello);
    assert_eq!(peer.kinds(&mut world), "");
    assert_eq!(world.logged(0, "message digest invalid in HELLO"), 1);
}

// `digest md5` here, and a peer that signs without nonces: both go on without nonces.
#[test]
fn c_242_peer_signs_without_nonces() {
    let mut peer = Peer::with_password("");
    peer.with_nonce = false;
    let (mut peer, mut world) = peer.and_established("digest md5", SESSIONS);
    peer.their_nonce.clear();
    peer.send(&mut world, &Message::Hello);
    assert!(peer.kinds(&mut world).contains("ACK"));
    let mut peer = Peer::with_password("");
    peer.with_nonce = false;
    let (mut peer, mut world) = peer.and_world("digest md5;role both", SESSIONS);
    world.run(Duration::from_millis(5));
    peer.take_request(&mut world);
    peer.their_nonce.clear();
    let reply = Message::Sccrp(peer.set_up());
    peer.send(&mut world, &reply);
    assert_eq!(world.tunnel(0).state.status_name(), "established", "{}", world.transcript(0));
    let received = peer.receive(&mut world);
    let secret = Secret::new(b"");
    for message in &received {
        assert!(digest::verify(&message.octets, &[&secret], b"", b"").valid.is_some());
    }
}

// C-236: a nonce of one octet, of 64.
#[test]
fn c_236_nonces_of_any_length() {
    for length in [1, 64] {
        let (mut peer, mut world) = Peer::with_password("secret").and_world("password secret", SESSIONS);
        let nonce = vec![7; length];
        let request = Message::Sccrq(SetUp { nonce: Some(nonce.clone()), ..peer.set_up() });
        peer.send(&mut world, &request);
        peer.take_reply(&mut world);
        let options = EncodeOptions { digest: true, hide: None, dialect: Dialect::IETF };
        let mut octets = encode(&Message::Scccn, &options).unwrap();
        peer.finish(&mut octets, MessageType::SCCCN);
        digest::sign(&mut octets, &Secret::new(b"secret"), &nonce, &peer.their_nonce);
        peer.raw(&mut world, octets);
        assert_eq!(world.tunnel(0).state.status_name(), "established", "{}", world.transcript(0));
    }
}

// C-106: a StopCCN with CCID 0 ends the connection that answered the peer's SCCRQ; without our nonce in its digest it
// may be an old one, and an established connection does not fall for it.
#[test]
fn c_106_stop_without_our_id() {
    for secret in [None, Some(Secret::new(b"secret"))] {
        let tags = if secret.is_some() { "password secret" } else { "" };
        let (mut peer, mut world) =
            Peer { with_nonce: secret.is_some(), secret, ..Peer::new() }.and_world(tags, SESSIONS);
        peer.request(&mut world);
        assert_eq!(world.tunnel(0).state.status_name(), "wait-ctl-conn");
        world.inbox.clear();
        peer.send(&mut world, &stop(CCID, 1));
        assert_eq!(world.tunnel(0).state.status_name(), "idle", "{}", world.transcript(0));
        assert_eq!(world.logged(0, "receive StopCCN, state --> IDLE"), 1);
    }
    let (mut peer, mut world) = Peer::with_password("secret").and_established("password secret", SESSIONS);
    let mut early = Peer { ns: 1, ..Peer::with_password("secret") };
    early.send(&mut world, &stop(CCID, 1));
    assert_eq!(world.tunnel(0).state.status_name(), "established", "{}", world.transcript(0));
    peer.send(&mut world, &stop(CCID, 1));
    assert_eq!(world.tunnel(0).state.status_name(), "idle");
}

/// A message of a peer without secret, with these digests after its Message Type.
fn with_digests(peer: &Peer, message: &Message, digests: &[&str]) -> Vec<u8> {
    let mut octets = peer.octets(message);
    let at = 20;
    octets.splice(at..at, digests.iter().flat_map(|d| crate::support::packets::hex(d)));
    let length = octets.len() as u16;
    octets[2..4].copy_from_slice(&length.to_be_bytes());
    octets
}

fn sha1() -> String {
    format!("801b0000003b01{}", "5a".repeat(20))
}

fn wrong() -> String {
    format!("80170000003b00{}", "5a".repeat(16))
}

// C-231 C-242: without a password a digest of another type is passed over, but one of ours beside it must fit; in
// SCCRQ, SCCRP and later.
#[test]
fn c_231_unsupported_digest_without_a_password() {
    for (digests, believed) in [(vec![sha1()], true), (vec![sha1(), wrong()], false), (vec![wrong()], false)]
    {
        for tags in ["", "digest md5"] {
            let digests: Vec<&str> = digests.iter().map(String::as_str).collect();
            let (mut peer, mut world) = Peer::new().and_world(tags, &[]);
            let octets = with_digests(&peer, &Message::Sccrq(peer.set_up()), &digests);
            peer.raw(&mut world, octets);
            assert_eq!(peer.kinds(&mut world), if believed { "SCCRP" } else { "" }, "SCCRQ {digests:?}");

            let (mut peer, mut world) = Peer::new().and_world(&format!("role both;{tags}"), &[]);
            world.run(Duration::from_millis(5));
            peer.take_request(&mut world);
            let octets = with_digests(&peer, &Message::Sccrp(peer.set_up()), &digests);
            peer.raw(&mut world, octets);
            assert_eq!(peer.kinds(&mut world).contains("SCCCN"), believed, "SCCRP {digests:?} {tags}");

            let (mut peer, mut world) = Peer::new().and_established(tags, &[]);
            let octets = with_digests(&peer, &Message::Hello, &digests);
            peer.raw(&mut world, octets);
            assert_eq!(peer.kinds(&mut world), if believed { "ACK" } else { "" }, "HELLO {digests:?}");
        }
    }
}
