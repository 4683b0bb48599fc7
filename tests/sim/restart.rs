//! A peer that starts anew without a word: at every step of the exchange and later.

use std::time::Duration;

use l2tpd::proto::Random;

use crate::net::{perfect, seeds, Rng, DELAY};
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
    rest: Rng,
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
        let random = SameId { first: Some(before.0), rest: Rng(99) };
        world.crash_with(1, Box::new(random));
        let up = world.run_while_not(Duration::from_secs(5), World::both_up);
        assert!(up, "{}{}", world.transcript(0), world.transcript(1));
        assert_eq!(world.tunnel(1).local_ccid, before);
        world.run_seconds(200);
        world.assert_both_up();
    }
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
        world.act(0, |engine, now| engine.stop(now, "t")).unwrap();
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
    world.run(Duration::from_millis(200));
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
