//! A peer that starts anew without a word: at every step of the exchange and later.

use std::time::Duration;

use l2tpd::log::Level;
use l2tpd::proto::{Command, Random};
use l2tpd::wire::message::SetUp;
use l2tpd::wire::{Encapsulation, Message};

use crate::net::{perfect, seeds, Dice, DELAY};
use crate::peer::{iccn, icrq, stop, Peer};
use crate::world::World;

const SESSIONS: &[&str] = &["l2tp1", "l2tp2"];

/// Runs until `count` datagrams have been sent in all.
fn run_datagrams(world: &mut World, count: usize) {
    world.run_while_not(Duration::from_secs(3), |w| w.nodes.iter().map(|n| n.sent).sum::<usize>() >= count);
}

/// Node `n` restarts; both must be up again within five seconds of its first SCCRQ, which is at once.
fn restart(world: &mut World, n: usize) {
    world.crash(n);
    let up = world.run_while_not(Duration::from_secs(5), World::both_up);
    assert!(up, "node {n}\n{}{}", world.transcript(0), world.transcript(1));
    world.run_seconds(200);
    world.assert_both_up();
}

// C-002 C-129 C-130: over IP and UDP, whoever restarts, and after whichever message, both are up again within 5 s.
#[test]
fn c_130_restart_at_every_step() {
    for tags in ["", "password secret", "encapsulation udp;password secret"] {
        for n in 0..2 {
            for count in 0..24 {
                let mut world = World::pair(count as u64, tags, SESSIONS);
                world.start(0);
                world.run(DELAY / 2);
                world.start(1);
                run_datagrams(&mut world, count);
                restart(&mut world, n);
            }
        }
    }
}

// C-130: while established, again and again; the old sessions leave the data plane.
#[test]
fn c_130_restart_while_established() {
    for tags in ["", "password secret"] {
        let mut world = World::pair(7, tags, SESSIONS);
        world.start_all();
        world.run_seconds(60);
        for n in [0, 1, 1, 0, 1] {
            restart(&mut world, n);
        }
    }
}

/// A source whose first draw (the first connection's id) is given.
struct SameId {
    first: Option<u32>,
    rest: Dice,
}

impl Random for SameId {
    fn fill(&mut self, octets: &mut [u8]) -> Result<(), String> {
        match self.first.take() {
            Some(id) => octets.copy_from_slice(&id.to_be_bytes()),
            None => self.rest.fill(octets)?,
        }
        Ok(())
    }
}

// C-129 C-130: the restarted peer has the same id as before (a state file); nonce or tie breaker tell the SCCRQ from
// a repeated one.
#[test]
fn c_130_restart_with_the_same_id() {
    for tags in ["", "password secret"] {
        let mut world = World::pair(7, tags, SESSIONS);
        world.start(1);
        world.run_seconds(60);
        world.start(0);
        world.run_seconds(60);
        world.assert_both_up();
        let before = world.tunnel(1).local_ccid;
        let random = SameId { first: Some(before.0), rest: Dice(99) };
        world.crash_with(1, Box::new(random));
        let up = world.run_while_not(Duration::from_secs(5), World::both_up);
        assert!(up, "{}{}", world.transcript(0), world.transcript(1));
        assert_eq!(world.tunnel(1).local_ccid, before);
        world.run_seconds(200);
        world.assert_both_up();
    }
}

/// A scripted peer whose SCCRQ has nothing random in it but, under a password, the nonce; established, perhaps with a
/// session, for a while.
fn established(tags: &str, session: bool, age: Duration) -> (Peer, World) {
    let mut peer = match tags.contains("password") {
        true => Peer::with_password("secret"),
        false => Peer::new(),
    };
    if tags.contains("udp") {
        (peer.encapsulation, peer.from) = (Encapsulation::Udp, (peer.from.ip(), 1701).into());
    }
    let (mut peer, mut world) = peer.and_established(tags, &["l2tp1"]);
    if session {
        open_session(&mut peer, &mut world);
    }
    peer.receive(&mut world);
    if let Some(rest) = age.checked_sub(world.time) {
        world.run(rest);
    }
    peer.receive(&mut world);
    peer.acknowledge(&mut world);
    (peer, world)
}

/// The SCCRQ of a peer.
fn request_of(peer: &Peer) -> Vec<u8> {
    peer.octets(&Message::Sccrq(SetUp { tie_breaker: peer.tie, ..peer.set_up() }))
}

fn open_session(peer: &mut Peer, world: &mut World) {
    peer.send(world, &Message::Icrq(icrq("1")));
    assert!(peer.kinds(world).contains("ICRP"), "{}", world.transcript(0));
    let theirs = world.tunnel(0).sessions[0].local;
    peer.send(world, &iccn(theirs));
    assert_eq!(world.session(0, "l2tp1").state.status_name(), "established", "{}", world.transcript(0));
}

// C-130: a peer that starts over with the same id and the same SCCRQ is answered at once, and its SCCCN alone makes the
// old connection go. Under a password its nonce is another.
#[test]
fn c_130_equal_request_of_a_restarted_peer() {
    for tags in ["", "encapsulation udp", "password secret", "encapsulation udp;password secret"] {
        for session in [false, true] {
            for age in [500, 5_000, 50_000].map(Duration::from_millis) {
                let (mut peer, mut world) = established(tags, session, age);
                let old = world.tunnel(0).local_ccid;
                peer.nonce = b"a nonce of its own";
                let start = world.time;
                peer.start_over(&mut world);
                peer.take_reply(&mut world);
                assert_ne!(peer.theirs, old);
                // Nothing is proven yet.
                assert_eq!(
                    (world.tunnel(0).local_ccid, world.nodes[0].ports.len()),
                    (old, usize::from(session))
                );
                peer.send(&mut world, &Message::Scccn);
                assert_eq!(
                    (world.tunnel(0).local_ccid, world.tunnel(0).state.status_name()),
                    (peer.theirs, "established")
                );
                assert!(world.nodes[0].ports.is_empty(), "the sessions of the old connection are gone");
                open_session(&mut peer, &mut world);
                assert!(world.time - start < Duration::from_millis(30), "it waited for nothing");
                world.run_seconds(5);
                assert_eq!(world.logged(0, "delete tunnel"), 1, "{tags}\n{}", world.transcript(0));
            }
        }
    }
}

// C-130: again and again, also in the middle of the exchange and after its SCCRP was acknowledged.
#[test]
fn c_130_equal_request_again_and_again() {
    let (mut peer, mut world) = established("", true, Duration::from_secs(5));
    for acknowledged in [false, true, false, true] {
        peer.start_over(&mut world);
        peer.take_reply(&mut world);
        if acknowledged {
            peer.acknowledge(&mut world);
        }
        world.run(Duration::from_millis(400));
        let before = peer.theirs;
        peer.start_over(&mut world);
        peer.take_reply(&mut world);
        // What waits for the acknowledgement of its SCCRP sends it again.
        assert_eq!(peer.theirs != before, acknowledged);
        peer.send(&mut world, &Message::Scccn);
        assert_eq!(
            (world.tunnel(0).local_ccid, world.tunnel(0).state.status_name()),
            (peer.theirs, "established")
        );
        open_session(&mut peer, &mut world);
        world.run_seconds(1);
    }
}

// C-063 C-130: the same after an orderly end.
#[test]
fn c_063_equal_request_after_stop() {
    let (mut peer, mut world) = established("", true, Duration::from_secs(5));
    let end = stop(peer.own, 6);
    peer.send(&mut world, &end);
    world.run(Duration::from_millis(500));
    peer.start_over(&mut world);
    peer.take_reply(&mut world);
    peer.send(&mut world, &Message::Scccn);
    assert_eq!(
        (world.tunnel(0).local_ccid, world.tunnel(0).state.status_name()),
        (peer.theirs, "established")
    );
}

// C-106: the StopCCN of a peer that does not know our new id yet is about the new connection.
#[test]
fn c_106_stop_after_an_equal_request() {
    let (mut peer, mut world) = established("", true, Duration::from_secs(5));
    let old = world.tunnel(0).local_ccid;
    peer.start_over(&mut world);
    let end = stop(peer.own, 1);
    peer.send(&mut world, &end);
    world.run_seconds(60);
    assert_eq!((world.tunnel(0).local_ccid, world.tunnel(0).state.status_name()), (old, "established"));
}

// C-129: an SCCRQ that was on the way for long is none: acknowledged, nothing else. What has a tie breaker or a nonce
// is taken for a repetition longer.
#[test]
fn c_129_late_repetition() {
    for (tie, tags, late) in [(None, "", 250), (Some([7; 8]), "", 9_000), (None, "password secret", 9_000)] {
        let fresh = || match tags {
            "" => Peer { tie, ..Peer::new() },
            _ => Peer::with_password("secret"),
        };
        let (mut peer, mut world) = fresh().and_established(tags, &["l2tp1"]);
        world.run(Duration::from_millis(late) - world.time);
        peer.receive(&mut world);
        let before = (world.tunnel(0).local_ccid, world.tunnel(0).state.status_name());
        peer.raw(&mut world, request_of(&fresh()));
        assert_eq!(peer.kinds(&mut world), "ACK", "{tie:?} {tags}");
        assert_eq!((world.tunnel(0).local_ccid, world.tunnel(0).state.status_name()), before);
        assert_eq!(world.logged(0, "tunnel create"), 1);
    }
}

// C-129 C-130: a repetition that came later still makes a half-open connection; the peer's next word makes it go.
#[test]
fn c_129_very_late_repetition() {
    let (mut peer, mut world) = established("", true, Duration::from_secs(5));
    let before = (world.tunnel(0).local_ccid, world.tunnel(0).state.status_name());
    peer.raw(&mut world, request_of(&Peer::new()));
    assert_eq!(peer.kinds(&mut world), "SCCRP");
    peer.acknowledge(&mut world); // the peer has had that Ns before
    world.forget();
    world.run_seconds(50);
    assert_eq!(peer.kinds(&mut world), "", "the SCCRP is not repeated");
    assert_eq!((world.tunnel(0).local_ccid, world.tunnel(0).state.status_name()), before);
    assert_eq!(world.nodes[0].texts(Level::Warn), [""; 0], "{}", world.transcript(0));
}

// C-362: under a password a recorded SCCRQ whose connection still stands is answered once in that connection's life.
#[test]
fn c_362_recorded_request_is_answered_once() {
    let (mut peer, mut world) =
        established("password secret;hello-interval none", true, Duration::from_secs(20));
    let request = request_of(&Peer::with_password("secret"));
    let before = (world.tunnel(0).local_ccid, world.tunnel(0).state.status_name());
    let mut kinds = String::new();
    for _ in 0..600 {
        peer.raw(&mut world, request.clone());
        world.run_seconds(1);
        kinds.push_str(&peer.kinds(&mut world));
        kinds.push(' ');
    }
    assert_eq!(world.logged(0, "tunnel create"), 2, "the real one, and one half open");
    assert_eq!((world.tunnel(0).local_ccid, world.tunnel(0).state.status_name()), before);
    // One for one, and the retransmissions of one SCCRP.
    let replies = kinds.matches("SCCRP").count();
    assert!((1..=90).contains(&replies), "{replies}");
    assert!(kinds.split_whitespace().count() <= 612, "{kinds}");
}

// C-129: a nonce that is not used, since there is no digest with it, tells repetition and restart apart all the same.
#[test]
fn c_129_nonce_without_digest() {
    let (mut peer, mut world) = Peer { with_nonce: true, ..Peer::new() }.and_world("", &["l2tp1"]);
    for _ in 0..3 {
        (peer.ns, peer.nr) = (0, 0);
        peer.request(&mut world);
        peer.take_reply(&mut world);
        world.run(Duration::from_millis(200));
    }
    assert_eq!(world.logged(0, "tunnel create"), 1, "one connection\n{}", world.transcript(0));
    peer.send(&mut world, &Message::Scccn);
    assert_eq!(world.tunnel(0).state.status_name(), "established");
    peer.nonce = b"another";
    peer.start_over(&mut world);
    peer.take_reply(&mut world);
    peer.send(&mut world, &Message::Scccn);
    assert_eq!(world.tunnel(0).local_ccid, peer.theirs, "no time had to pass");
}

// C-102 C-063: an orderly restart: StopCCN, then at once a new SCCRQ.
#[test]
fn c_063_lingering_does_not_block() {
    for tags in ["", "password secret"] {
        let mut world = World::pair(9, tags, SESSIONS);
        world.start_all();
        world.run_seconds(60);
        world.assert_both_up();
        world.act(1, |engine, now| engine.shutdown(now));
        world.run_seconds(2);
        assert!(world.nodes[1].engine.is_idle());
        restart(&mut world, 1);
    }
}

// C-061 C-062: the StopCCN or its acknowledgement is lost; the one repeats, the other still answers.
#[test]
fn c_061_c_062_stop_is_repeated_and_acknowledged() {
    for lost in 1..5 {
        let mut world = World::pair(9, "password secret", SESSIONS);
        world.start_all();
        world.run_seconds(60);
        world.forget();
        world.capture = true;
        let mut count = 0;
        world.fault = Box::new(move |_, d| {
            let affected = d.from.ip() == crate::net::address(1);
            count += usize::from(affected);
            if affected && count <= lost {
                vec![]
            } else {
                vec![DELAY]
            }
        });
        world.act(0, |engine, now| engine.command(now, Command::Stop("t".into()))).unwrap();
        world.run_seconds(30);
        let stops: Vec<u64> = world.wire.iter().filter(|d| d.kind() == 4).map(|d| d.at.as_secs()).collect();
        assert_eq!(stops, [60, 61, 63, 67, 75][..=lost], "lost {lost}");
        let others = world.wire.iter().filter(|d| d.from.ip() == crate::net::address(1));
        // Its own new attempts aside, the other end sends one acknowledgement for each StopCCN.
        assert_eq!(others.filter(|d| d.kind() == 20).count(), lost + 1);
        assert!(world.nodes[0].engine.is_idle());
    }
}

// C-061: the StopCCN is never acknowledged: it ends after the full cycle.
#[test]
fn c_061_stop_into_the_void() {
    let mut world = World::pair(9, "retry 3", SESSIONS);
    world.start_all();
    world.run_seconds(60);
    world.fault = Box::new(|_, _| Vec::new());
    world.act(0, |engine, now| engine.shutdown(now));
    world.run(Duration::from_millis(14_900));
    assert!(!world.nodes[0].engine.is_idle());
    world.run(Duration::from_millis(400)); // the first gap has up to a quarter more than its second
    assert!(world.nodes[0].engine.is_idle());
    assert_eq!(world.nodes[0].engine.next_timeout(), None, "nothing is left to do");
}

// Restarts of both at any moment, under loss: up again once the network heals.
#[test]
fn restarts_under_loss() {
    seeds(60, |seed| {
        let mut world = World::pair(seed, "password secret;hello-interval 5;retry 4", SESSIONS);
        world.fault = crate::net::faulty(20);
        world.start_all();
        for _ in 0..8 {
            let span = world.rng.below(20_000);
            world.run(Duration::from_millis(span));
            let n = world.rng.below(2) as usize;
            world.crash(n);
        }
        world.fault = perfect();
        let up = world.run_while_not(Duration::from_secs(60), World::both_up);
        assert!(up, "{}{}", world.transcript(0), world.transcript(1));
        world.run_seconds(120);
        world.assert_both_up();
    });
}
