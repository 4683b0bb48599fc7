//! Both ends begin at once: crossing SCCRQs, crossing ICRQs, ties won, lost and drawn.

use std::time::Duration;

use l2tpd::proto::{Random, TunnelEvent};

use crate::net::{seeds, tunnel, Dice, Fault, DELAY};
use crate::world::World;

const SESSIONS: &[&str] = &["l2tp1", "l2tp2", "l2tp3"];

/// A source whose first draws of eight octets (tie breakers among them) are the same for everybody.
struct EqualTies {
    equal: u32,
    rest: Dice,
}

impl Random for EqualTies {
    fn fill(&mut self, octets: &mut [u8]) -> Result<(), String> {
        if octets.len() == 8 && self.equal > 0 {
            self.equal -= 1;
            octets.fill(0x55);
            return Ok(());
        }
        self.rest.fill(octets)
    }
}

/// Two nodes whose first `equal` draws of eight octets agree.
fn equal_ties(seed: u64, equal: u32, tags: &str) -> World {
    let mut world = World::new(seed);
    for (me, peer) in [(0, 1), (1, 0)] {
        let rest = Dice(world.rng.next());
        world.add_with(&tunnel(me, peer, tags, SESSIONS), Box::new(EqualTies { equal, rest }));
    }
    world
}

/// Anything between a perfect network and 30 % of every fault, until 20 s have passed; every datagram takes up to
/// 300 ms, so that requests cross for as long.
fn chaos(seed: u64) -> Fault {
    let percent = (seed % 4) * 10;
    Box::new(move |rng, datagram| {
        let faults = datagram.at < Duration::from_secs(20);
        let delay = |rng: &mut Dice| DELAY * (1 + rng.below(if faults { 300 } else { 20 }) as u32);
        match (faults && rng.chance(percent), faults && rng.chance(percent)) {
            (true, _) => vec![],
            (false, true) => vec![delay(rng), delay(rng)],
            (false, false) => vec![delay(rng)],
        }
    })
}

/// After the network heals: one connection, one session for each end id, the same at both ends; then silence.
fn converges(mut world: World, seed: u64) {
    world.fault = chaos(seed);
    world.start(0);
    let late = world.rng.below(3) * world.rng.below(400);
    world.run(Duration::from_millis(late));
    world.start(1);
    world.run_seconds(20);
    // Twice the restart interval (and its quarter), and a full cycle with retry 3.
    let up = world.run_while_not(Duration::from_secs(2 * 5 + 3 + 15), World::both_up);
    assert!(up, "{}{}", world.transcript(0), world.transcript(1));
    world.run_seconds(60);
    world.assert_both_up();
    // A second connection or session anywhere would have something to say.
    let before: usize = world.nodes.iter().map(|n| n.sent).sum();
    world.run_seconds(300);
    let sent = world.nodes.iter().map(|n| n.sent).sum::<usize>() - before;
    assert!(sent <= 24, "{sent} datagrams in five quiet minutes");
    world.assert_both_up();
}

const QUICK: &str = "retry 3;restart-interval 5";

// C-086 C-088 C-089 C-091 C-096 C-100 C-101: simultaneous start, also under loss and delay, in 500 worlds.
#[test]
fn c_088_c_101_crossing_requests_converge() {
    seeds(500, |seed| {
        let tags = format!("{QUICK}{}", if seed % 3 == 0 { "" } else { ";password secret;cookie 8" });
        converges(World::pair(seed, &tags, SESSIONS), seed);
    });
}

// C-092 C-093 C-159: equal tie breakers, once or several times in a row: both start over until they differ.
#[test]
fn c_092_c_159_equal_ties_converge() {
    seeds(200, |seed| {
        let tags = format!("{QUICK}{}", if seed % 2 == 0 { "" } else { ";password secret" });
        converges(equal_ties(seed, 1 + (seed % 7) as u32, &tags), seed);
    });
}

// C-092: on a perfect network the draw is seen by both, each in its own log.
#[test]
fn c_092_equal_ties_are_a_draw() {
    let mut world = equal_ties(1, 1, "");
    world.start_all();
    world.run_seconds(10);
    world.assert_both_up();
    for n in 0..2 {
        assert_eq!(world.logged(n, "draw tie break check, state --> IDLE"), 1, "{}", world.transcript(n));
        assert_eq!(
            world.logged(n, "tie break check: local=5555555555555555, remote=5555555555555555"),
            1,
            "{}",
            world.transcript(n)
        );
    }
}

// C-089 C-090 C-091 C-101: one wins, one loses; the loser serves the winner's request with another id.
#[test]
fn c_089_one_wins_one_loses() {
    seeds(20, |seed| {
        let mut world = World::pair(seed, "password secret", SESSIONS);
        world.capture = true;
        world.start_all();
        world.run_seconds(1);
        let count = |text: &str| [world.logged(0, text), world.logged(1, text)];
        let (wins, losses) = (count("win tie break check"), count("lose tie brek check, state --> IDLE"));
        assert_eq!((wins[0] + wins[1], losses[0] + losses[1]), (1, 1));
        let winner = wins.iter().position(|w| *w == 1).unwrap();
        assert_eq!(losses[winner], 0);
        let values: Vec<String> = (0..2)
            .map(|n| {
                let lines = world.nodes[n].log.iter();
                let line = lines.map(|(_, l)| l.text.clone()).find(|t| t.contains("local=")).unwrap();
                line.split("local=").nth(1).unwrap()[..16].to_owned()
            })
            .collect();
        assert!(values[winner] < values[1 - winner], "the lower value wins: {values:?}");
        // The loser's first connection and the one that it serves the winner with have different ids.
        let requests: Vec<_> = world.wire.iter().filter(|d| d.kind() == 1).collect();
        let reply = world.wire.iter().find(|d| d.kind() == 2).expect("an SCCRP");
        let id_of = |o: &[u8]| {
            let at = o.windows(4).position(|w| w == [0, 0, 0, 61]).unwrap() + 4;
            o[at..at + 4].to_vec()
        };
        assert_eq!(requests.len(), 2);
        assert!(requests.iter().all(|r| id_of(&r.octets) != id_of(&reply.octets)), "C-101");
        // C-091: the winner's StopCCN names neither.
        let stop = world.wire.iter().find(|d| d.kind() == 4).expect("a StopCCN");
        assert!(requests.iter().all(|r| id_of(&r.octets) != id_of(&stop.octets)), "C-091");
        world.run_seconds(10);
        world.assert_both_up();
        no_failure_is_told(&world);
    });
}

/// A tie is no failure: `watch` and `on-event` hear of what came of it alone.
fn no_failure_is_told(world: &World) {
    for n in 0..2 {
        let told =
            [TunnelEvent::TunnelFailed, TunnelEvent::SessionFailed].map(|what| world.happened(n, what));
        assert_eq!(told, [0, 0], "{}", world.transcript(n));
    }
}

// The winner's StopCCN arrives before its SCCRQ, which was lost: still nothing failed.
#[test]
fn a_lost_tie_is_no_failure() {
    let refused = std::cell::Cell::new(0);
    seeds(20, |seed| {
        let mut world = World::pair(seed, "restart-interval 2", SESSIONS);
        world.fault = Box::new(|_, d| match d.kind() == 1 && d.from.ip() == crate::net::address(0) {
            true if d.at < Duration::from_millis(500) => vec![],
            true | false => vec![DELAY],
        });
        world.start_all();
        world.run(Duration::from_millis(500));
        refused.set(refused.get() + world.logged(1, "receive StopCCN"));
        world.run_seconds(40);
        world.assert_both_up();
        no_failure_is_told(&world);
    });
    assert!(refused.get() >= 5 || std::env::var_os("SIM_SEED").is_some(), "{}", refused.get());
}

// C-156 C-157 C-162: both ends ask for the same sessions at once, after a connection that is up already.
#[test]
fn c_156_crossing_sessions() {
    seeds(100, |seed| {
        let mut world = World::pair(seed, "cookie 8", &[]);
        world.start_all();
        world.run_seconds(10);
        world.assert_both_up();
        for (me, peer) in [(0, 1), (1, 0)] {
            world.reload(me, &tunnel(me, peer, "cookie 8", SESSIONS));
        }
        assert!(world.run_while_not(Duration::from_secs(1), World::both_up), "{}", world.transcript(0));
        let ties = world.logged(0, "session tie break check") + world.logged(1, "session tie break check");
        assert_eq!(ties, 2 * SESSIONS.len());
        no_failure_is_told(&world);
        world.run_seconds(60);
        world.assert_both_up();
        for n in 0..2 {
            assert_eq!(world.happened(n, l2tpd::proto::TunnelEvent::SessionUp), SESSIONS.len());
        }
    });
}

// C-159: the session tie breakers are equal: both drop theirs and ask again.
#[test]
fn c_159_equal_session_ties() {
    seeds(20, |seed| {
        let mut world = World::new(seed);
        for (me, peer) in [(0, 1), (1, 0)] {
            let rest = Dice(world.rng.next());
            world.add_with(&tunnel(me, peer, "", &[]), Box::new(EqualTies { equal: 40, rest }));
        }
        // Only one begins, so that the connection itself sees no tie.
        world.start(0);
        world.run_seconds(1);
        world.start(1);
        world.run_seconds(10);
        for (me, peer) in [(0, 1), (1, 0)] {
            world.reload(me, &tunnel(me, peer, "", &["l2tp1"]));
        }
        let up = world.run_while_not(Duration::from_secs(120), World::both_up);
        assert!(up, "{}{}", world.transcript(0), world.transcript(1));
        assert!(world.logged(0, "my=5555555555555555, peer=5555555555555555") > 0);
        world.run_seconds(60);
        world.assert_both_up();
    });
}
