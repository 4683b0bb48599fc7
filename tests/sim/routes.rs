//! Our own addresses and the routes to the peer change: what the engine does about it, at either end.

use std::net::IpAddr;
use std::time::Duration;

use l2tpd::config::model::Via;
use l2tpd::proto::{NextHop, Route, RouteKey, TunnelEvent};

use crate::net::{address, tunnel};
use crate::world::World;

const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 101));

fn key(local: Option<IpAddr>) -> RouteKey {
    RouteKey { remote: address(1), local, via: Via::ANY }
}

fn through(device: i32, source: Option<IpAddr>) -> Route {
    let next_hop = Some(NextHop { device, gateway: None });
    Route { next_hop, source, own: true, deprecated: false }
}

const NOWHERE: Route = Route { next_hop: None, source: None, own: true, deprecated: false };

/// Two nodes that are up; the second one takes any peer.
fn up(tags: &str) -> World {
    let mut world = World::new(3);
    world.add(&tunnel(0, 1, tags, &["l2tp1"]));
    let password = tags.split(';').find(|tag| tag.starts_with("password")).unwrap_or_default();
    world.add(&tunnel(1, 0, password, &["l2tp1"]).replace("remote-address 192.0.2.1", "remote-address any"));
    world.start(1);
    world.start(0);
    assert!(world.run_while_not(Duration::from_secs(5), World::both_up));
    world.run_seconds(1);
    world.forget();
    world
}

/// The system tells node 0 of a way.
fn tell(world: &mut World, key: RouteKey, route: Route) {
    world.nodes[0].routes.insert(key, route);
    world.act(0, |engine, now| engine.route(now, key, route));
}

/// Node 0 has another address from now on.
fn renumber(world: &mut World, gone: Route) {
    let old = world.nodes[0].address;
    world.nodes[0].address = OTHER;
    tell(world, key(None), through(1, Some(OTHER)));
    tell(world, key(Some(old)), gone);
}

#[test]
fn a_lost_address_is_left_at_once() {
    let mut world = up("");
    renumber(&mut world, Route { own: false, next_hop: None, ..through(1, Some(OTHER)) });
    assert!(world.run_while_not(Duration::from_millis(20), World::both_up), "{}", world.transcript(0));
    let tunnel = world.tunnel(1);
    assert_eq!(tunnel.peer, Some(OTHER));
    assert_eq!(world.logged(0, "is set up anew: 192.0.2.1 is not an address of this host any more"), 1);
    assert_eq!(
        (world.happened(0, TunnelEvent::TunnelDown), world.happened(0, TunnelEvent::TunnelUp)),
        (1, 1)
    );
    assert_eq!(world.logged(0, "StopCCN"), 0, "nothing can be sent from there");
}

#[test]
fn a_deprecated_address_says_good_bye() {
    let mut world = up("password secret");
    world.nodes[0].address = address(0);
    let old = through(1, Some(OTHER));
    // A new favourite alone is no reason to leave what works.
    tell(&mut world, key(Some(address(0))), old);
    world.run_seconds(1);
    assert_eq!(world.logged(0, "set up anew"), 0);
    tell(&mut world, key(Some(address(0))), Route { deprecated: true, ..old });
    assert_eq!(world.logged(0, "send control packet(1): StopCCN"), 1);
}

#[test]
fn another_next_hop_with_another_source_is_another_uplink() {
    let mut world = up("");
    // A router's loopback address is used through many interfaces.
    tell(&mut world, key(Some(address(0))), through(2, Some(address(0))));
    world.run_seconds(1);
    assert_eq!(world.logged(0, "set up anew"), 0);
    renumber(&mut world, through(3, Some(OTHER)));
    assert!(world.run_while_not(Duration::from_millis(20), World::both_up), "{}", world.transcript(0));
    assert_eq!(world.logged(0, "StopCCN"), 0, "the new uplink would not take it");
}

/// Without any route the connection stays: the same way may come back.
#[test]
fn no_route_is_told_and_waited_out() {
    let mut world = up("hello-interval 60");
    for of in [key(None), key(Some(address(0)))] {
        tell(&mut world, of, NOWHERE);
    }
    let failure = world.tunnel(0).last_failure.expect("told").0;
    assert_eq!(failure.check, "no route to 192.0.2.2 any more");
    world.run_seconds(5);
    for of in [key(None), key(Some(address(0)))] {
        tell(&mut world, of, through(1, Some(address(0))));
    }
    assert!(world.tunnel(0).last_failure.is_none());
    assert_eq!(world.logged(0, "send HELLO"), 1, "{}", world.transcript(0));
    assert_eq!(world.logged(0, "set up anew"), 0);
    world.assert_both_up();
}

/// `local-address`: only that one will do, whatever the system would choose.
#[test]
fn a_fixed_address_has_no_substitute() {
    let mut world = up("local-address 192.0.2.1");
    let fixed = key(Some(address(0)));
    tell(&mut world, fixed, Route { deprecated: true, ..through(4, Some(OTHER)) });
    world.run_seconds(1);
    assert_eq!(world.logged(0, "set up anew"), 0);
    world.nodes[0].prepare_outcomes.extend([Err("no such address".to_owned()), Ok(())]);
    tell(&mut world, fixed, Route { own: false, next_hop: None, ..through(4, Some(OTHER)) });
    assert_eq!(world.logged(0, "set up anew"), 1);
    world.run(Duration::from_millis(10));
    assert_eq!(world.logged(0, "failed to create tunnel"), 1);
    // It returns: no waiting for the restart interval.
    tell(&mut world, fixed, through(4, Some(OTHER)));
    assert!(world.run_while_not(Duration::from_millis(20), World::both_up), "{}", world.transcript(0));
}

/// An attempt is under way when the route appears: it is repeated at once.
#[test]
fn an_attempt_does_not_wait_for_its_next_repetition() {
    let mut world = World::new(3);
    world.add(&tunnel(0, 1, "", &["l2tp1"]));
    world.start(0);
    world.run_seconds(4);
    world.forget();
    tell(&mut world, key(None), NOWHERE);
    tell(&mut world, key(None), through(1, Some(address(0))));
    assert_eq!(world.logged(0, "SCCRQ"), 1);
}

/// An end that does not begin keeps the connection, and the peer hears from the new address.
#[test]
fn an_end_that_only_answers_sends_a_hello_from_the_new_address() {
    let mut world = World::new(5);
    world.add(&tunnel(0, 1, "role passive;password secret", &["l2tp1"]));
    world.add(&tunnel(1, 0, "password secret", &["l2tp1"]));
    world.start_all();
    assert!(world.run_while_not(Duration::from_secs(5), World::both_up));
    world.forget();
    world.capture = true;
    renumber(&mut world, Route { own: false, next_hop: None, ..through(1, Some(OTHER)) });
    assert_eq!(world.tunnel(0).state.status_name(), "established");
    assert!(world.wire.iter().any(|d| d.from.ip() == OTHER && d.kind() == 6), "a HELLO");
    assert!(world.nodes[0].ports.values().all(|port| port.path.local.ip().is_unspecified()));
}

/// No network at the start: nothing is logged above info, and the first attempt comes with it.
#[test]
fn without_a_network_tunnels_wait_in_silence() {
    let mut world = World::new(3);
    world.add(&tunnel(0, 1, "restart-interval 60", &["l2tp1"]));
    world.nodes[0].hold_preparations = true;
    world.start(0);
    world.run(Duration::from_millis(1));
    for peer in [Some(address(1)), None] {
        world.act(0, |engine, now| engine.no_route(now, "t", peer, "Network is unreachable"));
        assert!(world.nodes[0].texts(l2tpd::log::Level::Warn).is_empty());
        world.forget();
        match peer {
            Some(_) => tell(&mut world, key(None), NOWHERE),
            None => assert!(world.nodes[0].engine.is_offline()),
        }
        world.nodes[0].hold_preparations = peer.is_some();
        match peer {
            Some(_) => tell(&mut world, key(None), through(1, Some(address(0)))),
            None => world.act(0, |engine, now| engine.online(now)),
        }
        world.run(Duration::from_millis(5));
        assert_eq!(world.logged(0, "begin new tunnel"), usize::from(peer.is_none()));
    }
}
