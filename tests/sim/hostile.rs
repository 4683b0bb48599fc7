//! Strangers and mirrors: replays, reflections, floods, damaged messages.

use l2tpd::proto::Command;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use l2tpd::wire::{Ccid, Encapsulation, Message};

use crate::net::{address, Datagram, DELAY};
use crate::peer::Peer;
use crate::world::World;

const SESSIONS: &[&str] = &["l2tp1", "l2tp2"];

/// What must not change: state, ids, numbers, the data plane. Of the numbers so many HELLOs of either end are taken
/// off, with which the ends asked each other whether all is well.
fn state(world: &World, n: usize, hellos: [u16; 2]) -> String {
    let mut tunnel = world.tunnel(n);
    tunnel.ns -= hellos[n];
    tunnel.nr -= hellos[1 - n];
    tunnel.since = Duration::ZERO;
    tunnel.counters = Default::default();
    tunnel.last_failure = None;
    tunnel.round_trip = None;
    tunnel.history.clear();
    for session in &mut tunnel.sessions {
        session.since = Duration::ZERO;
        session.last_failure = None;
        session.history.clear();
    }
    format!("{tunnel:#?} {:#?}", world.nodes[n].ports)
}

/// Two nodes, and everything they sent while they lived, were stopped and started, up to now.
fn captured_lives(tags: &str) -> (World, Vec<Datagram>) {
    let mut world = World::pair(11, &format!("hello-interval none;{tags}"), SESSIONS);
    world.capture = true;
    world.start_all();
    world.run_seconds(20);
    world.act(0, |engine, now| engine.circuit(now, "l2tp1", false));
    world.run_seconds(2);
    world.act(0, |engine, now| engine.circuit(now, "l2tp1", true));
    world.run_seconds(2);
    for n in 0..2 {
        world.act(n, |engine, now| engine.command(now, Command::ClearSession("l2tp2".into(), None))).unwrap();
        world.run_seconds(40);
        world.act(n, |engine, now| engine.command(now, Command::ClearTunnel("t".into(), None))).unwrap();
        world.run_seconds(120);
    }
    world.assert_both_up();
    let kinds: std::collections::BTreeSet<u16> = world.wire.iter().map(Datagram::kind).collect();
    for kind in [1, 2, 3, 4, 10, 11, 12, 14, 16] {
        assert!(kinds.contains(&kind), "no message of type {kind} was captured: {kinds:?}");
    }
    let wire = std::mem::take(&mut world.wire);
    (world, wire)
}

fn count_hellos(world: &World, hellos: &mut [u16; 2]) {
    for (n, hellos) in hellos.iter_mut().enumerate() {
        *hellos += world.logged(n, "send HELLO") as u16;
    }
}

/// Plays everything to its receiver again; afterwards both ends are as before.
fn replay(tags: &str) {
    let (mut world, wire) = captured_lives(tags);
    let mut hellos = [0; 2];
    let before = [state(&world, 0, hellos), state(&world, 1, hellos)];
    for (k, old) in wire.iter().enumerate() {
        world.forget();
        world.send(old.encapsulation, old.from, old.to, old.octets.clone());
        world.run(DELAY * 50);
        count_hellos(&world, &mut hellos);
        for (n, before) in before.iter().enumerate() {
            assert_eq!(state(&world, n, hellos), *before, "message {k} of type {}", old.kind());
        }
        assert_eq!(world.nodes[0].events.len() + world.nodes[1].events.len(), 0, "message {k}");
    }
    // Each costs one HELLO each five seconds at most.
    let most = (DELAY * 50 * wire.len() as u32).as_secs() as u16 / 5 + 1;
    assert!(hellos.iter().all(|count| *count <= most), "{hellos:?} HELLOs for {} messages", wire.len());
    // Half-open connections made by old SCCRQs go without a trace.
    world.forget();
    world.run_seconds(200);
    count_hellos(&world, &mut hellos);
    for (n, before) in before.iter().enumerate() {
        assert_eq!(state(&world, n, hellos), *before);
        assert!(world.nodes[n].events.is_empty(), "{:#?}", world.nodes[n].events);
    }
}

// C-225 C-362: with a password no message of earlier lives or of this one changes anything.
#[test]
fn c_362_replay_with_a_password() {
    replay("password secret;cookie 8");
    replay("password secret;encapsulation udp");
}

// C-362: without a password the ids, which are random, do the same against whoever only replays. (Who can read the
// traffic and forge can do anything.)
#[test]
fn c_362_replay_without_a_password() {
    replay("cookie 8");
}

/// Sends back to a lone node whatever it sends, `seconds` long.
fn mirror(world: &mut World, seconds: u64) {
    world.capture = true;
    for _ in 0..seconds * 20 {
        world.run(Duration::from_millis(50));
        for datagram in std::mem::take(&mut world.inbox) {
            world.send(datagram.encapsulation, datagram.to, datagram.from, datagram.octets);
        }
    }
}

// A network that sends everything back to its sender: no loop, no growth, no connection with oneself. The worst
// case is a peer that has our own names.
#[test]
fn reflection() {
    for tags in ["", "password secret", "digest md5", "role passive"] {
        for names in
            ["remote-hostname b;remote-router-id 10.0.0.2", "remote-hostname any;remote-router-id any"]
        {
            let mut world = World::new(1);
            let text = format!(
                "hostname a\nrouter-id 10.0.0.1\ntunnel t\nremote-address 192.0.2.2\n{}\n{}\nsession l2tp1\nremote-end-id 1\n",
                names.replace(';', "\n"),
                tags
            );
            world.add(&text);
            world.start(0);
            mirror(&mut world, 300);
            assert!(world.wire.len() < 300, "{tags}: {} datagrams in 300 s", world.wire.len());
            assert_eq!(world.happened(0, l2tpd::proto::TunnelEvent::TunnelUp), 0);
            assert_eq!(world.logged(0, "create new tunnel"), world.logged(0, "begin new tunnel"), "{tags}");
        }
    }
}

fn flood(world: &mut World, source: IpAddr, id: u32) {
    let mut stranger = Peer::new();
    stranger.own = Ccid(id);
    stranger.tie = Some([0; 8]);
    let octets = stranger.octets(&Message::Sccrq(stranger.set_up()));
    world.send(Encapsulation::Ip, SocketAddr::new(source, 0), SocketAddr::new(address(0), 0), octets);
}

/// An honest peer comes up within `limit` while somebody sends an SCCRQ each millisecond.
fn under_flood(tags: &str, source: impl Fn(u32) -> IpAddr, limit: u64) {
    let mut world = World::pair(3, tags, SESSIONS);
    world.start(0);
    let mut up = false;
    for id in 1..=limit as u32 * 1000 {
        flood(&mut world, source(id), id);
        world.run(DELAY);
        world.inbox.clear();
        if id == 5000 {
            world.start(1);
        }
        for node in &mut world.nodes {
            node.log.clear();
        }
        if world.both_up() {
            up = true;
            break;
        }
    }
    assert!(up, "{:#?}", world.tunnel(0));
    for id in 1..=20_000 {
        flood(&mut world, source(id), id);
        world.run(DELAY);
    }
    world.inbox.clear();
    world.run_seconds(100);
    world.assert_both_up();
    assert_eq!(world.tunnel(1).counters.lost, 0);
}

/// 10,000 addresses, none of them the peer's.
fn many(id: u32) -> IpAddr {
    IpAddr::from((0x0a00_0000 + id % 10_000).to_be_bytes())
}

// C-109 C-364: SCCRQs from strangers' addresses, and forged ones from the peer's address under a password, do not
// keep the peer out.
#[test]
fn c_109_c_364_flood() {
    under_flood("", many, 8);
    under_flood("password secret", many, 8);
    under_flood("password secret", |_| address(1), 8);
}

// C-364: the same from the peer's own address without a password: it takes longer, but the peer gets in.
#[test]
fn c_364_flood_in_the_name_of_the_peer() {
    under_flood("retry-interval 0.5;restart-interval 2", |_| address(1), 120);
}

// C-364: forged SCCRQs that are taken back again and again do not put off our own attempts, where there is no password.
#[test]
fn c_364_requests_that_are_taken_back_do_not_keep_us_silent() {
    let (mut peer, mut world) = Peer { tie: Some([0; 8]), ..Peer::new() }.and_world("role both", &[]);
    world.run_seconds(40); // our first SCCRQ, which nobody answers
    peer.receive(&mut world);
    let mut ours = 0;
    for id in 1..=150 {
        (peer.own, peer.ns, peer.nr) = (Ccid(id), 0, 0);
        peer.request(&mut world);
        peer.send(&mut world, &crate::peer::stop(Ccid(id), 1));
        world.run_seconds(2);
        let received = peer.receive(&mut world);
        ours += received.iter().filter(|r| matches!(r.message, Message::Sccrq(_))).count();
    }
    assert!(ours >= 5, "{ours} SCCRQs in 300 s\n{}", world.transcript(0));
}

// C-364: a tunnel for any address: what a flood leaves behind is bounded and gone after the set-up time.
#[test]
fn c_364_half_open_connections_are_bounded() {
    let mut world = World::new(3);
    let text = crate::net::tunnel(0, 1, "setup-timeout 5;retry 3", SESSIONS).replace("192.0.2.2", "any");
    world.add(&text);
    world.start(0);
    for id in 1..=10_000 {
        flood(&mut world, many(id), id);
        if id % 10 == 0 {
            world.run(DELAY);
        }
    }
    world.run(DELAY);
    let created = world.logged(0, "create new tunnel");
    let deleted = world.logged(0, "delete tunnel");
    assert_eq!((created, deleted), (16, 0), "the others get their answer, and no connection");
    world.run_seconds(120);
    assert_eq!(world.logged(0, "create new tunnel"), world.logged(0, "delete tunnel"));
    assert_eq!(world.nodes[0].engine.next_timeout(), None, "nothing is left");
}

// C-045 C-224 C-225: each single bit of each message of an authenticated exchange, flipped: the message counts as
// lost, nothing else happens, and its repetition is taken.
#[test]
fn c_224_each_bit_flipped() {
    let wire = {
        let mut world = World::pair(21, "password secret", &["l2tp1"]);
        world.capture = true;
        world.start(0);
        world.run(DELAY / 2);
        world.reload(1, &crate::net::tunnel(1, 0, "password secret;role passive", &["l2tp1"]));
        world.run_seconds(3);
        world.assert_both_up();
        world.wire
    };
    assert!(wire.len() >= 8, "{}", wire.len());
    for (k, datagram) in wire.iter().enumerate() {
        for bit in 0..datagram.octets.len() * 8 {
            flipped(k, bit);
        }
    }
}

/// The same exchange with one bit of the k-th datagram flipped on the way.
fn flipped(k: usize, bit: usize) {
    let mut world = World::pair(21, "password secret", &["l2tp1"]);
    world.damage = Some((k, bit));
    world.start(0);
    world.run(DELAY / 2);
    world.reload(1, &crate::net::tunnel(1, 0, "password secret;role passive", &["l2tp1"]));
    let up = world.run_while_not(Duration::from_secs(4), World::both_up);
    let why = || format!("datagram {k}, bit {bit}\n{}{}", world.transcript(0), world.transcript(1));
    assert!(up, "{}", why());
    for n in 0..2 {
        assert_eq!(world.happened(n, l2tpd::proto::TunnelEvent::TunnelFailed), 0, "{}", why());
        assert_eq!(world.happened(n, l2tpd::proto::TunnelEvent::SessionFailed), 0, "{}", why());
        assert_eq!(world.logged(n, "create new tunnel"), 1, "{}", why());
        assert_eq!(world.logged(n, "send StopCCN") + world.logged(n, "send CDN"), 0, "{}", why());
    }
}
