//! The path is probed by long HELLOs: what is found under loss, a black hole, when a path carries more again; whose paths
//! are not probed.

use std::time::Duration;

use l2tpd::proto::TunnelEvent;
use l2tpd::wire::attribute::number;
use l2tpd::wire::code::stopccn;
use l2tpd::wire::message::{ResultCode, SetUp, StopCcn};
use l2tpd::wire::{avp, Encapsulation, Message, MessageType};

use crate::net::{address, seeds, Datagram, Dice, Fault, DELAY};
use crate::peer::Peer;
use crate::world::World;

/// Octets of the packet of a datagram (IPv4).
fn packet(datagram: &Datagram) -> usize {
    let before = match datagram.encapsulation {
        Encapsulation::Udp => 28,
        Encapsulation::Ip => 24,
    };
    datagram.octets.len() + before
}

/// A path that carries packets up to this length; so many of 100 are lost besides.
fn carries(mtu: usize, percent: u64) -> Fault {
    Box::new(move |rng: &mut Dice, datagram| match packet(datagram) > mtu || rng.chance(percent) {
        true => Vec::new(),
        false => vec![DELAY],
    })
}

/// Two ends whose system lets packets of 1500 octets leave, on a path that carries packets up to `mtu`.
fn pair(seed: u64, tags: &str, mtu: usize) -> World {
    let mut world = World::pair(seed, tags, &["l2tp1"]);
    world.nodes.iter_mut().for_each(|node| node.leaves = Some(1500));
    world.fault = carries(mtu, 0);
    world.capture = true;
    world.start_all();
    world.run_seconds(2);
    world.assert_both_up();
    world
}

/// What node 0 knows of the path.
fn found(world: &World) -> Option<usize> {
    world.nodes[0].carries.last().and_then(|(_, mtu)| *mtu)
}

/// What both know.
fn both_found(world: &World, mtu: usize) -> bool {
    world.nodes.iter().all(|node| node.carries.last().is_some_and(|(_, last)| *last == Some(mtu)))
}

/// HELLOs of node 0 that were made long.
fn probes(world: &World) -> usize {
    let ours = world.nodes[0].address;
    let long =
        |d: &&Datagram| d.kind() == MessageType::HELLO.0 && d.from.ip() == ours && d.octets.len() > 100;
    world.wire.iter().filter(long).count()
}

/// Nothing of all this was noticed by anybody.
fn assert_unharmed(world: &World) {
    for n in 0..2 {
        assert_eq!(world.happened(n, TunnelEvent::TunnelDown), 0, "{}", world.transcript(n));
        assert!(world.both_up());
    }
}

#[test]
fn one_probe_is_enough_where_the_path_carries_what_may_leave() {
    for tags in ["", "encapsulation udp", "password secret", "password secret;hidden on;encapsulation udp"] {
        let mut world = pair(1, tags, 1500);
        world.run_seconds(1);
        assert!(both_found(&world, 1500), "{tags}");
        assert_eq!((probes(&world), world.nodes[0].carries.len()), (1, 1), "{tags}");
        let probe =
            world.wire.iter().find(|d| d.octets.len() > 100 && d.kind() == MessageType::HELLO.0).unwrap();
        assert_eq!(packet(probe), 1500, "{tags}");
        let pad = |a: &avp::RawAvp<'_>| a.id.attribute == number::RANDOM_VECTOR;
        assert_eq!(avp::iter(&probe.octets).filter(pad).count(), 2, "{tags}");
        // Then a HELLO before one is due, to see that it still does.
        world.forget();
        world.wire.clear();
        world.run_seconds(600);
        assert!((8..=13).contains(&probes(&world)), "{} probes in ten minutes", probes(&world));
        assert_unharmed(&world);
    }
}

#[test]
fn what_a_path_carries_is_found_within_seconds() {
    for (tags, mtu) in [
        ("", 1400),
        ("encapsulation udp", 1399),
        ("password secret", 1477),
        ("hello-interval 0.1", 1300),
        ("retry-interval auto", 900),
        ("", 576),
    ] {
        let mut world = pair(2, tags, mtu);
        let done = world.run_while_not(Duration::from_secs(20), |w| both_found(w, mtu));
        assert!(done, "{tags}: {:?}", world.nodes[0].carries);
        // What should come through in any case was used meanwhile, and nothing else.
        let told: Vec<_> = world.nodes[0].carries.iter().map(|(_, mtu)| mtu.unwrap()).collect();
        assert_eq!(told, [if mtu < 1200 { 576 } else { 1200 }, mtu][usize::from(mtu == 576)..], "{tags}");
        world.run_seconds(300);
        assert_eq!(found(&world), Some(mtu));
        assert_unharmed(&world);
        // A probe that is lost costs no retransmission that `retry` counts.
        assert_eq!(
            world.tunnel(0).path_search.map(|p| (p.mtu, p.state)),
            Some((Some(mtu), "search-complete"))
        );
    }
}

#[test]
fn loss_leads_to_nothing_that_the_path_does_not_carry() {
    seeds(30, |seed| {
        let percent = 2 + seed % 10;
        let mut world = pair(seed, "retry 20", 1400);
        world.fault = carries(1400, percent);
        for _ in 0..60 {
            world.run_seconds(60);
            assert!(found(&world).is_none_or(|mtu| mtu <= 1400), "{:?}", world.nodes[0].carries);
        }
        // What loss had made too little is corrected.
        world.fault = carries(1400, 0);
        world.run_seconds(1300);
        assert_eq!(found(&world), Some(1400), "{:?}", world.nodes[0].carries);
        assert_unharmed(&world);
    });
}

#[test]
fn a_black_hole_is_left_soon_and_more_is_used_late() {
    seeds(10, |seed| {
        let mut world = pair(seed, "", 1500);
        world.run_seconds(seed * 7 + 3);
        let told = world.nodes[0].carries.len();
        let since = world.time;
        world.fault = carries(1420, 0);
        assert!(world.run_while_not(Duration::from_secs(75), |w| w.nodes[0].carries.len() > told));
        assert_eq!(found(&world), Some(1200), "at once");
        let noticed = world.time - since;
        assert!(world.run_while_not(Duration::from_secs(20), |w| found(w) == Some(1420)));
        // Up again, but not before ten minutes have passed.
        world.fault = carries(1500, 0);
        world.run_seconds(500);
        assert_eq!(found(&world), Some(1420));
        assert!(world.run_while_not(Duration::from_secs(200), |w| found(w) == Some(1500)));
        assert_eq!(world.nodes[0].carries.len() - told, 3, "{:?}", world.nodes[0].carries);
        assert!(noticed <= Duration::from_secs(66), "{noticed:?}");
        assert_unharmed(&world);
    });
}

/// Several connections between the same addresses, each with its own search: one that still learns that the path carries less
/// does not widen it for all meanwhile.
#[test]
fn a_lost_probe_widens_no_path() {
    let text = |me: usize, names: [&str; 2]| {
        let tunnel = |k: usize| {
            format!(
                "tunnel t{k}\nremote-address {}\nremote-hostname {}{k}\nlocal-hostname {}{k}\nremote-router-id any\n\
                 hello-interval {}\nsession l2tp{k}\nremote-end-id e{k}\n",
                address(1 - me),
                names[1 - me],
                names[me],
                10 + 10 * k
            )
        };
        (0..5).map(tunnel).collect::<String>()
    };
    let mut world = World::new(3);
    (0..2).for_each(|me| _ = world.add(&text(me, ["a", "b"])));
    world.nodes.iter_mut().for_each(|node| node.leaves = Some(1500));
    world.start_all();
    world.run_seconds(30);
    assert!(both_found(&world, 1500));
    world.fault = carries(1420, 0);
    world.nodes.iter_mut().for_each(|node| node.carries.clear());
    world.run_seconds(200);
    assert!(both_found(&world, 1420));
    for node in &world.nodes {
        let told: Vec<usize> = node.carries.iter().map(|(_, mtu)| mtu.unwrap()).collect();
        // Each of the five had to begin from below.
        assert!(told.len() > 2 && told.iter().all(|mtu| [1200, 1420].contains(mtu)), "{told:?}");
    }
}

#[test]
fn what_icmp_tells_is_heeded_and_remembered() {
    let mut world = pair(4, "hello-interval 10", 1500);
    world.run_seconds(5);
    world.nodes[0].leaves = Some(1380);
    world.run_seconds(15);
    assert_eq!(found(&world), Some(1380));
    // The system forgets it; the path carries no more than before.
    world.nodes[0].leaves = Some(1500);
    world.fault = carries(1380, 0);
    world.run_seconds(3600);
    assert_eq!(world.nodes[0].carries.len(), 2, "{:?}", world.nodes[0].carries);
    assert_unharmed(&world);
}

// Even what should come through in any case does not: probes tell nothing then.
#[test]
fn nothing_is_concluded_where_probes_tell_nothing() {
    let mut world = pair(5, "", 500);
    world.run_seconds(100);
    assert_eq!((found(&world), probes(&world)), (None, 9));
    assert_eq!(world.tunnel(0).path_search.map(|p| (p.mtu, p.state)), Some((None, "error")));
    world.run_seconds(450);
    assert_eq!(probes(&world), 9);
    world.fault = carries(1500, 0);
    world.run_seconds(100);
    assert_eq!(found(&world), Some(1500));
    assert_unharmed(&world);
}

// A round trip longer than the first retransmission: no probe is answered in time.
#[test]
fn a_round_trip_that_is_too_long_does_no_harm() {
    let mut world = pair(6, "", 1500);
    world.fault = Box::new(|_, _| vec![Duration::from_millis(900)]);
    world.run_seconds(600);
    assert!(found(&world).is_none_or(|mtu| mtu == 1500), "{:?}", world.nodes[0].carries);
    assert_unharmed(&world);
}

#[test]
fn no_path_is_probed_where_nobody_wants_to_know() {
    for tags in ["mtu-probing off", "mtu-probing off;encapsulation udp", "hello-interval none"] {
        let mut world = pair(7, tags, 1400);
        world.run_seconds(300);
        assert_eq!((probes(&world), world.nodes[0].carries.len()), (0, 0), "{tags}");
        assert_eq!(world.tunnel(0).path_search, None);
    }
    // All its sessions have an MTU of their own.
    let mut world = World::new(7);
    for (n, other) in [(0, 1), (1, 0)] {
        let text = crate::net::tunnel(n, other, "", &["l2tp1"]) + "  mtu 1300\n";
        world.add(&text);
        world.nodes[n].leaves = Some(1500);
    }
    world.capture = true;
    world.start_all();
    world.run_seconds(100);
    world.assert_both_up();
    assert_eq!(probes(&world), 0);
}

#[test]
fn a_reload_begins_and_ends_it() {
    let text = |tags: &str| crate::net::tunnel(0, 1, tags, &["l2tp1"]);
    let mut world = pair(8, "", 1400);
    world.run_seconds(30);
    assert_eq!(found(&world), Some(1400));
    world.reload(0, &text("mtu-probing off"));
    assert_eq!(
        world.nodes[0].carries.last().map(|(_, mtu)| *mtu),
        Some(None),
        "what was known is taken back"
    );
    world.wire.clear();
    world.run_seconds(100);
    assert_eq!(probes(&world), 0);
    world.reload(0, &text("mtu-probing on"));
    world.run_seconds(30);
    assert_eq!(found(&world), Some(1400));
    assert_unharmed(&world);
}

/// A peer with this Vendor Name on a path that is to be probed, established.
fn played(tags: &str, vendor: &[u8]) -> (Peer, World) {
    let (mut peer, mut world) = Peer::new().and_world(tags, &["l2tp1"]);
    world.nodes[0].leaves = Some(1500);
    world.capture = true;
    let set_up = SetUp { vendor_name: Some(vendor.to_vec()), ..peer.set_up() };
    peer.send(&mut world, &Message::Sccrq(set_up));
    peer.take_reply(&mut world);
    peer.send(&mut world, &Message::Scccn);
    peer.receive(&mut world);
    assert_eq!(world.tunnel(0).state.status_name(), "established", "{}", world.transcript(0));
    (peer, world)
}

#[test]
fn a_peer_that_is_not_ours_gets_no_long_hello() {
    for vendor in [&b"Cisco Systems, Inc."[..], b"l2tpd2", b""] {
        let (_, mut world) = played("", vendor);
        world.run_seconds(20);
        assert_eq!(probes(&world), 0);
    }
    let (_, mut world) = played("mtu-probing on", b"freeRouter");
    world.run_seconds(3);
    assert_eq!(probes(&world), 1);
}

#[test]
fn a_peer_that_ends_the_connection_upon_one_gets_none_any_more() {
    for (result, error, again) in [(stopccn::ERROR, Some(8), 0), (stopccn::SHUTDOWN, None, 1)] {
        let (mut peer, mut world) = played("", b"l2tpd");
        world.run_seconds(2);
        assert_eq!(probes(&world), 1);
        peer.receive(&mut world);
        let result = Some(ResultCode { result, error, message: None });
        peer.send(&mut world, &Message::StopCcn(StopCcn { result, assigned_ccid: Some(peer.own) }));
        world.run_seconds(40);
        let spoiled = "192.0.2.2 ended the connection when it had got a long HELLO";
        assert_eq!(world.logged(0, spoiled), usize::from(again == 0), "{}", world.transcript(0));
        world.wire.clear();
        let mut peer = Peer { own: l2tpd::wire::Ccid(0x99), ..Peer::new() };
        let set_up = SetUp { vendor_name: Some(b"l2tpd".to_vec()), ..peer.set_up() };
        peer.send(&mut world, &Message::Sccrq(set_up));
        peer.take_reply(&mut world);
        peer.send(&mut world, &Message::Scccn);
        peer.receive(&mut world);
        world.run_seconds(3);
        assert_eq!(probes(&world), again);
    }
}

// The whole of it, with another program that goes on at any moment.
#[test]
fn another_program_goes_on_with_the_search() {
    let mut world = World::pair(9, "password secret", &["l2tp1"]);
    world.nodes.iter_mut().for_each(|node| node.leaves = Some(1500));
    world.taken_over = Some((30, Dice(9)));
    world.fault = carries(1444, 0);
    world.start_all();
    world.run_seconds(60);
    assert!(both_found(&world, 1444), "{:?}", world.nodes[0].carries);
    assert!(world.takeovers > 20);
    assert_unharmed(&world);
}
