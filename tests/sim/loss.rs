//! A network that loses, repeats, delays and reorders.

use std::time::Duration;

use crate::net::{faulty, perfect, seeds, Fault, DELAY};
use crate::world::World;

const SESSIONS: &[&str] = &["l2tp1", "l2tp2"];

/// How many datagrams a set-up without faults takes, from each side.
fn datagrams() -> [usize; 2] {
    let mut world = World::pair(3, "role both", SESSIONS);
    world.start(0);
    world.run_seconds(1);
    world.start(1);
    world.run_seconds(10);
    world.assert_both_up();
    [world.nodes[0].sent, world.nodes[1].sent]
}

/// A fault that befalls only the k-th datagram of a node (counted from 0).
fn nth(node: usize, k: usize, delays: Vec<Duration>) -> Fault {
    let mut count = 0;
    let from = crate::net::address(node);
    Box::new(move |_, datagram| {
        if datagram.from.ip() != from {
            return vec![DELAY];
        }
        count += 1;
        if count == k + 1 {
            delays.clone()
        } else {
            vec![DELAY]
        }
    })
}

/// One fault at each datagram of each direction; the tunnel must come up within `limit` and stay.
fn at_each_datagram(delays: &[Duration], limit: Duration) {
    for (node, count) in datagrams().into_iter().enumerate() {
        for k in 0..count + 2 {
            for secret in ["", "password secret"] {
                let mut world = World::pair(k as u64, secret, SESSIONS);
                world.fault = nth(node, k, delays.to_vec());
                world.start(0);
                // The peer answers from its first second on; node 0 begins.
                world.reload(1, &crate::net::tunnel(1, 0, &format!("{secret};role passive"), SESSIONS));
                let up = world.run_while_not(limit, World::both_up);
                assert!(up, "datagram {k} of node {node}\n{}{}", world.transcript(0), world.transcript(1));
                world.run_seconds(300);
                world.assert_both_up();
                assert_eq!(world.logged(0, "tunnel create"), 1, "one connection\n{}", world.transcript(0));
                assert_eq!(world.logged(1, "tunnel create"), 1, "one connection\n{}", world.transcript(1));
            }
        }
    }
}

// C-036 C-052 C-055 C-061 C-129: any one message lost costs a second or two.
#[test]
fn c_052_each_message_lost_once() {
    at_each_datagram(&[], Duration::from_secs(5));
}

// C-036 C-040 C-129: a repeated message is not processed twice.
#[test]
fn c_036_each_message_repeated() {
    at_each_datagram(&[DELAY, DELAY], Duration::from_secs(3));
    at_each_datagram(&[DELAY, Duration::from_secs(3)], Duration::from_secs(3));
}

// C-040 C-041: neighbours change places.
#[test]
fn c_040_each_message_overtaken() {
    at_each_datagram(&[DELAY * 3], Duration::from_secs(3));
    at_each_datagram(&[Duration::from_millis(900)], Duration::from_secs(5));
}

// C-035 to C-046 under chance: 10 % lost, 10 % repeated, 10 % late: it comes up and stays.
#[test]
fn c_040_ten_percent() {
    seeds(60, |seed| {
        let secret = if seed % 2 == 0 { "password secret;hello-interval 10" } else { "hello-interval 10" };
        let mut world = World::pair(seed, secret, SESSIONS);
        world.fault = faulty(10);
        world.start_all();
        assert!(world.run_while_not(Duration::from_secs(120), World::both_up), "{}", world.transcript(0));
        let established = world.tunnel(0).counters.established;
        world.run_seconds(1800);
        world.assert_both_up();
        assert_eq!(world.tunnel(0).counters.established, established, "{}", world.transcript(0));
    });
}

// 30 % of everything: whatever state that leaves, the tunnel comes back when the network heals.
#[test]
fn c_057_thirty_percent_then_healed() {
    seeds(60, |seed| {
        let mut world = World::pair(seed, "password secret;hello-interval 5;retry 4", SESSIONS);
        world.fault = faulty(30);
        world.start_all();
        world.run_seconds(600);
        world.fault = perfect();
        // A full cycle with retry 4 takes 23 s, a restart up to 12.5 s.
        let up = world.run_while_not(Duration::from_secs(60), World::both_up);
        assert!(up, "{}{}", world.transcript(0), world.transcript(1));
        world.run_seconds(120);
        world.assert_both_up();
    });
}
