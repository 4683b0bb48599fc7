//! Several peers: an order of preference. Node 0 calls the hubs, nodes 1 and 2 (and 3), which only answer.

use std::net::IpAddr;
use std::time::Duration;

use l2tpd::proto::snapshot::PeerState;
use l2tpd::proto::{Command, CommandError, TunnelEvent};

use crate::net::{address, DELAY};
use crate::world::World;

/// The configuration of node 0, with these peers.
pub fn spoke(peers: &[&str], tags: &str) -> String {
    let peers: String = peers.iter().map(|peer| format!(" remote-address {peer}\n")).collect();
    let tags = tags.replace(';', "\n ");
    format!(
        "hostname a\nrouter-id 10.0.0.1\ntunnel t\n{peers} remote-hostname any\n remote-router-id any\n {tags}\n \
         session l2tp1\n  remote-end-id 1\n"
    )
}

/// That of a hub.
pub fn hub(n: usize, tags: &str) -> String {
    format!(
        "hostname hub{n}\nrouter-id 10.0.0.{}\ntunnel t\n remote-address {}\n remote-hostname a\n remote-router-id \
         10.0.0.1\n {}\n session l2tp1\n  remote-end-id 1\n  bridge br0\n",
        n + 1,
        address(0),
        tags.replace(';', "\n ")
    )
}

pub const TWO: &[&str] = &["192.0.2.2", "192.0.2.3"];
pub const THREE: &[&str] = &["192.0.2.2", "192.0.2.3", "192.0.2.4"];

/// A spoke with these tags and so many hubs, all of them started; node 0 is up with the first.
fn star(peers: &[&str], tags: &str) -> World {
    let mut world = World::new(7);
    world.add(&spoke(peers, tags));
    for n in 1..=peers.len() {
        world.add(&hub(n, "role passive"));
    }
    world.start_all();
    assert!(until_served(&mut world, 1, 1) < 0.1);
    world
}

/// The address that serves node 0, with a session that is established.
pub fn served_by(world: &World) -> Option<IpAddr> {
    let port = world.nodes[0].ports.values().find(|port| port.send && port.receive)?;
    Some(port.path.remote.ip())
}

/// Lets time pass until this node serves node 0; how long that took.
#[track_caller]
pub fn until_served(world: &mut World, n: usize, limit: u64) -> f64 {
    let before = world.time;
    let served = |world: &World| served_by(world) == Some(address(n));
    let served = world.run_while_not(Duration::from_secs(limit), served);
    assert!(served, "{}", world.transcript(0));
    (world.time - before).as_secs_f64()
}

/// From now on nothing reaches these nodes, nor comes from them.
pub fn cut(world: &mut World, nodes: &[usize]) {
    let dead: Vec<IpAddr> = nodes.iter().map(|n| address(*n)).collect();
    world.fault = Box::new(move |_, datagram| {
        let passes = !dead.contains(&datagram.to.ip()) && !dead.contains(&datagram.from.ip());
        passes.then_some(DELAY).into_iter().collect()
    });
}

pub fn states(world: &World) -> Vec<&'static str> {
    world.tunnel(0).peers.iter().map(|peer| peer.state.name()).collect()
}

/// The reasons of the changes of the peer.
fn reasons(world: &World) -> Vec<String> {
    let changes = world.nodes[0].events.iter().filter(|(_, event)| event.what == TunnelEvent::PeerChanged);
    changes.map(|(_, event)| format!("{}: {}", event.peer.expect("known"), event.reason)).collect()
}

// The one in use is cut off: the next serves at once when that is found out, and the first again after a minute of
// being there, without a moment in which frames had nowhere to go but the set-up of the session.
#[test]
fn the_next_one_serves_at_once_and_the_better_one_again() {
    let mut world = star(TWO, "hello-interval 0.1");
    assert_eq!(states(&world), ["in-use", "idle"]);
    world.run_seconds(100);
    assert_eq!(world.nodes[2].sent, 0, "the backup of a peer that serves hears nothing");
    cut(&mut world, &[1]);
    let took = until_served(&mut world, 2, 5);
    println!("cut off: the next one serves after {took:.3} s with hello-interval 0.1");
    assert!(took < 0.5, "{took}");
    assert_eq!(states(&world), ["idle", "in-use"]);
    world.run_seconds(300);
    assert_eq!(served_by(&world), Some(address(2)));
    world.fault = crate::net::perfect();
    let took = until_served(&mut world, 1, 200);
    assert!((60.0..=121.0).contains(&took), "{took}");
    assert_eq!(
        reasons(&world),
        [
            "192.0.2.2: it is the first choice",
            "192.0.2.3: 192.0.2.2: the peer does not answer",
            "192.0.2.2: better, and within reach for 60 s",
        ]
    );
    assert_eq!(world.logged(0, "peer 192.0.2.3 is in use: 192.0.2.2: the peer does not answer"), 1);
    assert_eq!((world.tunnel(0).peer_changes, states(&world)), (2, vec!["in-use", "idle"]));
    // Each time the switches behind the new one were told where our stations are.
    world.run_seconds(2);
    let told = [[address(2); 4], [address(1); 4]].concat();
    assert_eq!(world.nodes[0].announced, told);
    // The one that was left was told.
    world.run_seconds(1);
    assert!(world.nodes[2].ports.is_empty());
}

// `revert-after`: as long as that, or never; and a better one that comes and goes is not trusted.
#[test]
fn the_way_back_takes_as_long_as_configured() {
    for (tags, least, most) in [("revert-after 1", 1.0, 2.5), ("revert-after 300", 300.0, 361.0)] {
        let mut world = star(TWO, tags);
        cut(&mut world, &[1]);
        until_served(&mut world, 2, 100);
        world.fault = crate::net::perfect();
        let took = until_served(&mut world, 1, 1000);
        println!("{tags}: {took:.1} s");
        assert!((least..=most).contains(&took), "{tags}: {took}");
    }
    let mut world = star(TWO, "revert-after never");
    cut(&mut world, &[1]);
    until_served(&mut world, 2, 100);
    let asked = world.logged(1, "receive SCCRQ");
    world.fault = crate::net::perfect();
    world.run_seconds(10_000);
    assert_eq!(served_by(&world), Some(address(2)));
    assert_eq!(world.logged(1, "receive SCCRQ"), asked, "it is not even asked");
    world.reload(0, &spoke(TWO, "revert-after 5"));
    until_served(&mut world, 1, 20);
}

#[test]
fn a_better_one_that_comes_and_goes_is_not_used() {
    let mut world = star(TWO, "");
    cut(&mut world, &[1]);
    until_served(&mut world, 2, 100);
    for _ in 0..50 {
        world.fault = crate::net::perfect();
        let within_reach = |w: &World| matches!(w.tunnel(0).peers[0].state, PeerState::WithinReach(_));
        assert!(world.run_while_not(Duration::from_secs(100), within_reach), "{}", world.transcript(0));
        world.run_seconds(30);
        cut(&mut world, &[1]);
        world.run_seconds(30);
        assert_eq!(states(&world), ["idle", "in-use"]);
    }
    assert_eq!(world.tunnel(0).peer_changes, 1);
    let downs = world.happened(0, TunnelEvent::SessionDown);
    assert_eq!(downs, 1, "asking disturbs nothing");
    assert!(world.open_connections(1) <= 1, "what was asked is told that this was all");
}

// A StopCCN, and a refusal, are reasons as good as silence.
#[test]
fn one_that_stops_or_refuses_gives_way_to_the_next() {
    let mut world = star(TWO, "");
    world.act(1, |engine, now| engine.shutdown(now));
    let took = until_served(&mut world, 2, 5);
    assert!(took < 0.1, "{took}");
    assert!(
        reasons(&world)[1].starts_with("192.0.2.3: 192.0.2.2: the peer closed it"),
        "{:?}",
        reasons(&world)
    );
    let mut world = World::new(7);
    world.add(&spoke(TWO, ""));
    world.add(&hub(1, "role active").replace("192.0.2.1", "192.0.2.99"));
    world.add(&hub(2, "role passive"));
    world.nodes[1].address = address(1);
    world.add(&hub(3, ""));
    world.reload(1, &hub(1, "role active"));
    world.start(0);
    world.start(2);
    let took = until_served(&mut world, 2, 30);
    assert!(took < 8.0, "{took}");
}

// All of them are dead: each has its turn, then there is a pause; and the first comes first again.
#[test]
fn when_none_answers_the_order_begins_anew() {
    let mut world = star(THREE, "");
    cut(&mut world, &[1, 2, 3]);
    world.run_seconds(500);
    let log = world.nodes[0].log.iter().filter_map(|(_, line)| line.text.split_once("[t] peer:192.0.2."));
    let tried: Vec<&str> = log.map(|(_, last)| last).collect();
    assert_eq!(tried[..8], ["2", "3", "4", "2", "2", "3", "4", "2"], "the dead one last, then the order");
    world.fault = crate::net::perfect();
    until_served(&mut world, 1, 100);
    // Of three, the one behind the dead one, whichever that is.
    cut(&mut world, &[1]);
    until_served(&mut world, 2, 100);
    cut(&mut world, &[1, 2]);
    until_served(&mut world, 3, 100);
    assert_eq!(states(&world), ["idle", "idle", "in-use"]);
    // The second comes back first, then the first.
    cut(&mut world, &[1]);
    until_served(&mut world, 2, 200);
    world.fault = crate::net::perfect();
    until_served(&mut world, 1, 200);
    world.run_seconds(10);
    assert!(world.nodes[2].ports.is_empty() && world.nodes[3].ports.is_empty(), "one session at a time");
}

// Hubs that call themselves: the one that is not in use is refused, and does not disturb.
#[test]
fn a_backup_that_calls_is_refused_while_another_serves() {
    let mut world = World::new(7);
    world.add(&spoke(TWO, ""));
    world.add(&hub(1, ""));
    world.add(&hub(2, ""));
    world.start(0);
    world.start(1);
    until_served(&mut world, 1, 20);
    world.start(2);
    world.run_seconds(1000);
    assert_eq!(served_by(&world), Some(address(1)));
    assert_eq!(world.happened(0, TunnelEvent::TunnelDown), 0);
    assert!(world.nodes[2].ports.is_empty());
    // When the first is gone either may begin.
    cut(&mut world, &[1]);
    until_served(&mut world, 2, 100);
    world.fault = crate::net::perfect();
    until_served(&mut world, 1, 300);
    world.run_seconds(300);
    assert_eq!(served_by(&world), Some(address(1)));
}

// `failover` moves to the next one, and not back while the one that was left has not been away.
#[test]
fn the_administrator_moves_a_tunnel() {
    let fail_over =
        |world: &mut World| world.act(0, |engine, now| engine.command(now, Command::FailOver("t".into())));
    let mut world = star(THREE, "revert-after 10");
    assert_eq!(fail_over(&mut world), Ok(()));
    assert!(until_served(&mut world, 2, 5) < 0.1);
    assert_eq!(reasons(&world)[1], "192.0.2.3: the administrator moved the tunnel from 192.0.2.2");
    world.run_seconds(1000);
    assert_eq!(served_by(&world), Some(address(2)), "it was moved on purpose");
    // Maintenance: it goes away and comes back.
    cut(&mut world, &[1]);
    world.run_seconds(100);
    world.fault = crate::net::perfect();
    until_served(&mut world, 1, 100);
    // Round and round.
    for n in [2, 3, 1, 2] {
        assert_eq!(fail_over(&mut world), Ok(()));
        until_served(&mut world, n, 5);
    }
    let mut world = star(&["192.0.2.2"], "");
    assert_eq!(fail_over(&mut world), Err(CommandError::NoOtherPeer));
    assert_eq!(
        world.act(0, |e, now| e.command(now, Command::FailOver("u".into()))),
        Err(CommandError::NotFound)
    );
}

// A reload that changes the list does not touch the peer in use while that stays in it.
#[test]
fn the_list_changes_and_the_peer_in_use_stays() {
    let mut world = star(&["192.0.2.2"], "");
    for peers in [TWO, THREE, &["192.0.2.4", "192.0.2.2"], &["192.0.2.2"]] {
        world.reload(0, &spoke(peers, "revert-after never"));
        world.run_seconds(100);
        assert_eq!(served_by(&world), Some(address(1)), "{peers:?}");
    }
    assert_eq!(world.happened(0, TunnelEvent::TunnelDown), 0);
    // It goes out of the list.
    world.add(&hub(2, "role passive"));
    world.start(2);
    world.reload(0, &spoke(TWO, ""));
    world.reload(0, &spoke(&["192.0.2.3", "192.0.2.9"], ""));
    assert!(until_served(&mut world, 2, 5) < 0.1);
    assert_eq!(world.happened(0, TunnelEvent::TunnelDown), 1);
    world.run_seconds(1);
    assert!(world.nodes[1].ports.is_empty(), "it was told");
    // A better one is added: it is used after `revert-after`.
    world.reload(0, &spoke(&["192.0.2.2", "192.0.2.3"], "revert-after 5"));
    until_served(&mut world, 1, 20);
}

// Names among the peers, of which one has two addresses: those are equals, and lines are not.
#[test]
fn names_and_addresses_are_one_order() {
    let mut world = World::new(7);
    world.add(&spoke(&["hub.example", "192.0.2.4"], "revert-after 5"));
    for n in 1..=3 {
        world.add(&hub(n, "role passive"));
    }
    world.nodes[0].addresses = Ok(vec![address(2), address(1)]);
    world.start_all();
    until_served(&mut world, 2, 1);
    cut(&mut world, &[2]);
    until_served(&mut world, 1, 100);
    // What the resolver says first is no better than the other.
    world.fault = crate::net::perfect();
    world.run_seconds(1000);
    assert_eq!(served_by(&world), Some(address(1)));
    cut(&mut world, &[1, 2]);
    until_served(&mut world, 3, 100);
    cut(&mut world, &[1]);
    until_served(&mut world, 2, 100);
    let peers = world.tunnel(0).peers;
    assert_eq!(peers[0].addresses, [address(2), address(1)], "the one that answered comes first");
    // A resolver that fails is in nobody's way.
    world.nodes[0].addresses = Err("Temporary failure in name resolution".to_owned());
    cut(&mut world, &[1, 2]);
    until_served(&mut world, 3, 100);
    cut(&mut world, &[2]);
    until_served(&mut world, 1, 200);
}

// A peer that cannot be prepared for (no such family, no route) is passed over.
#[test]
fn one_that_cannot_be_called_is_passed_over() {
    let mut world = World::new(7);
    world.add(&spoke(TWO, ""));
    world.add(&hub(1, "role passive"));
    world.add(&hub(2, "role passive"));
    world.nodes[0].prepare_outcomes = [Err("Address family not supported by protocol".to_owned())].into();
    world.start_all();
    assert!(until_served(&mut world, 2, 1) < 0.1);
    assert!(reasons(&world)[0].contains("Address family not supported"), "{:?}", reasons(&world));
    until_served(&mut world, 1, 150);
}

/// How many sessions of a node let frames pass.
pub fn open(world: &World, n: usize) -> usize {
    world.nodes[n].ports.values().filter(|port| port.send || port.receive).count()
}

/// A star with `standby hot`, whose second hub stands by.
pub fn hot_star(peers: &[&str], tags: &str) -> World {
    let mut world = star(peers, &format!("standby hot;{tags}"));
    until_standby(&mut world, 2, 5);
    world
}

/// Lets time pass until this node stands by for node 0, with its session.
#[track_caller]
pub fn until_standby(world: &mut World, n: usize, limit: u64) {
    let stands_by = |world: &World| {
        let port = world.nodes[0].ports.values().find(|port| port.path.remote.ip() == address(n));
        let other = world.nodes[n].ports.values().next();
        states(world).get(n - 1) == Some(&"standby") && port.is_some() && other.is_some()
    };
    let stands_by = world.run_while_not(Duration::from_secs(limit), stands_by);
    assert!(stands_by, "{:?}\n{}", states(world), world.transcript(0));
    world.run(DELAY * 4);
}

// C-344: the session with the peer that stands by is up, holds frames back at both ends, and takes over without a set-up.
#[test]
fn a_hot_standby_takes_over_at_once() {
    let mut world = hot_star(TWO, "hello-interval 0.1");
    assert_eq!(states(&world), ["in-use", "standby"]);
    assert_eq!((open(&world, 0), open(&world, 1), open(&world, 2)), (1, 1, 0));
    let told = world.session(2, "l2tp1").remote_circuit.expect("told");
    assert_eq!(told & 0x41, 0x41, "active, and on standby: {told:#x}");
    let carrier = |world: &World| world.nodes[2].ports.values().any(|port| port.carrier);
    assert!(carrier(&world), "a bridge keeps its port");
    assert_eq!(world.happened(0, TunnelEvent::StandbyUp), 1);
    assert_eq!(world.happened(0, TunnelEvent::SessionUp), 1, "of the one in use alone");
    world.run_seconds(100);
    world.forget();
    cut(&mut world, &[1]);
    let took = until_served(&mut world, 2, 5);
    let at = |what| world.nodes[0].events.iter().find(|(_, event)| event.what == what).expect("told").0;
    assert_eq!(at(TunnelEvent::TunnelDown), at(TunnelEvent::SessionUp), "no time between");
    assert!(took < 0.5, "{took}");
    assert_eq!(world.logged(0, "send ICRQ") + world.logged(0, "send SCCRQ"), 0, "nothing had to be set up");
    world.run(DELAY * 2);
    assert_eq!((open(&world, 0), open(&world, 2)), (1, 1));
    assert_eq!(world.nodes[0].announced.last(), Some(&address(2)));
    // The first one comes back: it stands by, and serves again after a minute.
    world.fault = crate::net::perfect();
    until_standby(&mut world, 1, 120);
    let since = world.time;
    until_served(&mut world, 1, 100);
    let took = (world.time - since).as_secs_f64();
    assert!((59.0..61.0).contains(&took), "{took}");
    until_standby(&mut world, 2, 10);
    assert_eq!((open(&world, 0), open(&world, 1), open(&world, 2)), (1, 1, 0));
}

// Frames never go to both: at no moment more than one session of the interface is open, whatever becomes of the hubs.
#[test]
fn never_two_at_once() {
    crate::net::seeds(20, |seed| {
        let mut world = hot_star(THREE, "hello-interval 0.5;revert-after 5");
        world.rng.0 ^= seed;
        let end = world.time + Duration::from_secs(600);
        while world.time < end {
            let dead: Vec<usize> = (1..=3).filter(|_| world.rng.chance(40)).collect();
            cut(&mut world, &dead);
            let until = world.time + Duration::from_millis(world.rng.below(20_000));
            if world.rng.chance(20) {
                let _ = world.act(0, |e, now| e.command(now, Command::FailOver("t".into())));
            }
            if world.rng.chance(10) {
                world.crash(1 + world.rng.clone().below(3) as usize);
            }
            while let Some(at) = world.next_event().filter(|at| *at <= until) {
                world.run_until(at);
                assert!(open(&world, 0) <= 1, "{:?}\n{}", world.time, world.transcript(0));
            }
            world.run_until(until);
        }
        world.fault = crate::net::perfect();
        until_served(&mut world, 1, 400);
        until_standby(&mut world, 2, 100);
    });
}

// The administrator: to the one that stands by; the other one stands by then, and does not serve before it was gone.
#[test]
fn the_administrator_moves_a_tunnel_to_the_standby() {
    let mut world = hot_star(TWO, "revert-after 5");
    assert_eq!(world.act(0, |e, now| e.command(now, Command::FailOver("t".into()))), Ok(()));
    assert_eq!(served_by(&world), Some(address(2)), "at once");
    until_standby(&mut world, 1, 10);
    world.run_seconds(500);
    assert_eq!(served_by(&world), Some(address(2)));
    world.act(1, |engine, now| engine.shutdown(now));
    world.run_seconds(5);
    world.crash(1);
    until_served(&mut world, 1, 100);
}

// What stands by may go and come; what is in use does not notice. So it is with a reload.
#[test]
fn the_standby_comes_and_goes() {
    let mut world = hot_star(TWO, "");
    let downs = |world: &World| world.happened(0, TunnelEvent::SessionDown);
    world.crash(2);
    world.run_seconds(100);
    until_standby(&mut world, 2, 100);
    assert!(world.happened(0, TunnelEvent::StandbyDown) >= 1);
    world.reload(0, &spoke(TWO, "standby hot;retry 5"));
    until_standby(&mut world, 2, 10);
    world.reload(0, &spoke(TWO, "standby cold"));
    world.run_seconds(1);
    assert_eq!((states(&world), world.nodes[2].ports.len()), (vec!["in-use", "idle"], 0));
    world.reload(0, &spoke(TWO, "standby hot"));
    until_standby(&mut world, 2, 100);
    assert_eq!((served_by(&world), downs(&world)), (Some(address(1)), 0));
    // An interface that goes down is told to both.
    world.act(0, |engine, now| engine.circuit(now, "l2tp1", false));
    world.run_seconds(2);
    let told = |world: &World, n| world.session(n, "l2tp1").remote_circuit.expect("told");
    assert_eq!((told(&world, 1), told(&world, 2)), (0, 0x40));
}

// An interface that is in no bridge has no carrier while its peer is on standby: routes must not lead there.
#[test]
fn a_hub_without_bridge_has_no_carrier_on_standby() {
    let mut world = hot_star(TWO, "");
    let carrier = |world: &World| world.nodes[2].ports.values().any(|port| port.carrier);
    world.reload(2, &hub(2, "role passive").replace("  bridge br0\n", ""));
    world.crash(2);
    world.run_seconds(200);
    until_standby(&mut world, 2, 100);
    assert!(!carrier(&world));
    cut(&mut world, &[1]);
    until_served(&mut world, 2, 200);
    world.run(DELAY * 2);
    assert!(carrier(&world));
}

// A router with two addresses would take our second connection for the first one, come back.
#[test]
fn a_peer_is_not_its_own_standby() {
    let mut world = World::new(7);
    world.add(&spoke(TWO, "standby hot"));
    world.add(&hub(1, "role passive"));
    world.add(&hub(1, "role passive"));
    world.start_all();
    until_served(&mut world, 1, 1);
    world.run_seconds(300);
    assert_eq!(states(&world), ["in-use", "idle"]);
    assert_eq!((world.happened(0, TunnelEvent::SessionDown), open(&world, 0)), (0, 1));
    cut(&mut world, &[1]);
    until_served(&mut world, 2, 200);
}
