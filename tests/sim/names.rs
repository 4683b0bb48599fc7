//! Peers that have a name: its addresses are tried in turn, and the name may come to mean others.

use std::net::IpAddr;
use std::time::Duration;

use l2tpd::proto::{Command, TunnelEvent};

use crate::net::{address, tunnel};
use crate::world::World;

/// An address without a host.
fn dead(last: u16) -> IpAddr {
    IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last])
}

/// The tunnel of node 0 to node 1, whose address it knows by a name only.
fn by_name(tags: &str) -> String {
    let text = tunnel(0, 1, tags, &["l2tp1"]);
    text.replace("remote-address 192.0.2.2", "remote-address peer.example")
}

/// Node 0 calls node 1, which never calls itself, by its name.
fn pair(tags: &str) -> World {
    let mut world = World::new(3);
    world.add(&by_name(tags));
    world.add(&tunnel(1, 0, "role passive", &["l2tp1"]).replace("192.0.2.1", "any"));
    world
}

/// Lets time pass until both are up, and tells how long that took.
#[track_caller]
fn until_up(world: &mut World, limit: u64) -> f64 {
    let before = world.time;
    let up = world.run_while_not(Duration::from_secs(limit), World::both_up);
    assert!(up, "{}{}", world.transcript(0), world.transcript(1));
    (world.time - before).as_secs_f64()
}

/// The addresses of the attempts of node 0 and when they began.
fn attempts(world: &World) -> Vec<(f64, String)> {
    let log = world.nodes[0].log.iter();
    let begun =
        log.filter_map(|(at, line)| Some((at, line.text.split_once("begin new tunnel [t] peer:")?.1)));
    begun.map(|(at, peer)| (at.as_secs_f64(), peer.to_owned())).collect()
}

// An address that does not answer costs seven seconds, whatever its family; the next one has its turn.
#[test]
fn the_addresses_of_a_name_are_tried_in_turn() {
    for (dead_ones, limit) in [(vec![dead(9)], 8), (vec![address(8)], 8), (vec![dead(9), address(8)], 15)] {
        let mut world = pair("");
        world.nodes[0].addresses = Ok([dead_ones.clone(), vec![address(1)]].concat());
        world.start_all();
        let took = until_up(&mut world, limit);
        println!("{} dead before the living one: {took:.1} s", dead_ones.len());
        assert_eq!(world.happened(0, TunnelEvent::TunnelFailed), 0, "the attempt was not over");
        // It dies: the others have their turn once more before it, nobody knows better.
        world.crash(1);
        let tried = attempts(&world).len();
        world.run_seconds(200);
        world.assert_both_up();
        let again: Vec<String> =
            attempts(&world).split_off(tried).into_iter().map(|(_, peer)| peer).collect();
        let all: Vec<String> = dead_ones.iter().chain(&[address(1)]).map(ToString::to_string).collect();
        assert_eq!(again, all);
        // Without others to try, and with nobody who is known to be dead, the address that answered comes first.
        world.act(0, |engine, now| engine.command(now, Command::ClearTunnel("t".into(), None))).unwrap();
        until_up(&mut world, 1);
    }
}

// None answers: each in its turn, the last as long as `retry` allows, then the pause, which grows with each round.
#[test]
fn a_round_of_dead_addresses() {
    let mut world = pair("retry 3");
    world.nodes[0].addresses = Ok(vec![dead(9), address(8)]);
    world.start(0);
    world.run_seconds(100);
    let tried = attempts(&world);
    let peers: Vec<&str> = tried.iter().map(|(_, peer)| peer.as_str()).collect();
    assert_eq!(peers[..4], ["2001:db8::9", "192.0.2.9", "2001:db8::9", "192.0.2.9"], "{tried:?}");
    let gaps: Vec<f64> = tried.windows(2).map(|w| w[1].0 - w[0].0).collect();
    assert!(
        (6.9..7.1).contains(&gaps[0]) && (22.0..28.0).contains(&gaps[1]),
        "7 s; 15 s and a pause: {gaps:?}"
    );
    assert!((35.0..39.0).contains(&gaps[3]), "twice the pause: {gaps:?}");
    assert!(world.happened(0, TunnelEvent::TunnelFailed) <= 3, "one event for each round");
}

// What cannot even be begun (a family that the system does not have) is passed over at once; of addresses of another
// family than local-address none is tried.
#[test]
fn addresses_that_cannot_be_used() {
    let mut world = pair("");
    world.nodes[0].addresses = Ok(vec![dead(9), address(1)]);
    world.nodes[0].prepare_outcomes = [Err("Address family not supported by protocol".to_owned())].into();
    world.start_all();
    until_up(&mut world, 1);
    let mut world = pair("local-address 192.0.2.1");
    world.nodes[0].addresses = Ok(vec![dead(9), address(1)]);
    world.start_all();
    until_up(&mut world, 1);
    let mut world = pair("local-address 192.0.2.1");
    world.nodes[0].addresses = Ok(vec![dead(9)]);
    world.start_all();
    world.run_seconds(1);
    let failure = world.tunnel(0).last_failure.expect("told").0;
    assert!(
        failure.check.contains("the name peer.example has no address of the family of local-address"),
        "{failure}"
    );
}

/// Node 1 goes to another address, where it knows nothing of node 0; the old address is silent.
fn move_away(world: &mut World) -> IpAddr {
    let moved = address(40);
    world.nodes[1].address = moved;
    world.nodes[0].addresses = Ok(vec![moved]);
    world.crash(1);
    moved
}

// The name means another address, the old one is silent, the peer only answers: nine seconds after the first HELLO.
#[test]
fn a_silent_peer_is_looked_up_again() {
    let mut world = pair("");
    world.start_all();
    until_up(&mut world, 1);
    world.run_seconds(20);
    let moved = move_away(&mut world);
    assert!(world.run_while_not(Duration::from_secs(61), |w| w.logged(0, "send HELLO") > 0));
    let took = until_up(&mut world, 15);
    println!("moved, silent, never calls: back {took:.1} s after the first HELLO");
    assert!(took < 10.0, "{took}");
    assert_eq!(world.tunnel(0).peer, Some(moved));
    assert_eq!(world.happened(0, TunnelEvent::TunnelDown), 1);
}

// The same, with a peer that calls: its SCCRQ makes us look its name up, and is answered then.
#[test]
fn a_call_from_elsewhere_makes_us_look_up_the_name() {
    for tags in ["", "password secret", "role passive"] {
        let mut world = World::new(3);
        world.add(&by_name(tags));
        let password = if tags.contains("password") { tags } else { "" };
        world.add(&tunnel(1, 0, password, &["l2tp1"]));
        world.start_all();
        until_up(&mut world, 20);
        world.run_seconds(60);
        let moved = move_away(&mut world);
        let took = until_up(&mut world, 5);
        println!("{tags}: moved and calls: back after {took:.1} s");
        assert!(took < 0.1, "{took}");
        assert_eq!(world.tunnel(0).peer, Some(moved));
    }
}

// Where the name was looked up just now, it is a few seconds later once more: the peer moved right after we called it.
#[test]
fn a_move_right_after_a_lookup() {
    let mut world = World::new(3);
    world.add(&by_name(""));
    world.add(&tunnel(1, 0, "role passive", &["l2tp1"]));
    world.start_all();
    until_up(&mut world, 1);
    world.reload(1, &tunnel(1, 0, "", &["l2tp1"]));
    world.run_seconds(1);
    let moved = move_away(&mut world);
    let took = until_up(&mut world, 6);
    println!("moved right after a lookup: back after {took:.1} s");
    assert_eq!(world.tunnel(0).peer, Some(moved));
}

// Strangers cannot make us look names up at will, and one without the password not at all.
#[test]
fn strangers_do_not_keep_the_resolver_busy() {
    for (tags, password, most) in [("", "", 25), ("password secret", "password another", 1)] {
        let mut world = World::new(3);
        world.add(&by_name(tags));
        world.add(&tunnel(1, 0, &format!("{password};retry-interval 0.1;restart-interval 1"), &["l2tp1"]));
        world.nodes[0].addresses = Ok(vec![address(8)]);
        world.reload(0, &by_name(&format!("{tags};role passive")));
        world.start(1);
        world.run_seconds(100);
        let lookups = world.nodes[0].lookups;
        assert!((1..=most).contains(&lookups), "{lookups} lookups in 100 s");
    }
}

// While all is well the name is looked up every five minutes, or as told. That it means another address does not end a
// tunnel whose peer answers.
#[test]
fn a_name_is_looked_up_now_and_then() {
    for (tags, least, most) in
        [("", 10, 16), ("resolve-interval 60", 55, 80), ("resolve-interval none", 0, 0)]
    {
        let mut world = pair(tags);
        world.start_all();
        until_up(&mut world, 1);
        let before = world.nodes[0].lookups;
        world.nodes[0].addresses = Ok(vec![address(40)]);
        world.run_seconds(3600);
        let lookups = world.nodes[0].lookups - before;
        assert!((least..=most).contains(&lookups), "{tags}: {lookups}");
        world.assert_both_up();
        assert_eq!(world.happened(0, TunnelEvent::TunnelDown), 0, "{tags}");
        // A resolver that fails is no reason either.
        world.nodes[0].addresses = Err("Temporary failure in name resolution".to_owned());
        world.run_seconds(3600);
        world.assert_both_up();
        assert_eq!(world.happened(0, TunnelEvent::TunnelFailed), 0, "{tags}");
    }
}

// The peer has moved while frames still flowed (from a machine that does not know it yet): the next look shows it.
#[test]
fn a_move_is_seen_without_silence() {
    let mut world = pair("hello-interval none;resolve-interval 60");
    world.start_all();
    until_up(&mut world, 1);
    move_away(&mut world);
    let took = until_up(&mut world, 90);
    println!("moved, nobody says a word: back after {took:.1} s with resolve-interval 60");
    // The pause before an attempt is cut short, too.
    let mut world = pair("retry 1;retry-interval 0.1;resolve-interval 10");
    world.nodes[0].addresses = Ok(vec![address(8)]);
    world.start_all();
    let long = |w: &World| w.tunnel(0).next_try.is_some_and(|next| next > Duration::from_secs(30));
    assert!(world.run_while_not(Duration::from_secs(100), long), "{}", world.transcript(0));
    world.nodes[0].addresses = Ok(vec![address(1)]);
    until_up(&mut world, 13);
}

// Manual sessions follow the name; nobody is asked, for there is nobody to ask.
#[test]
fn manual_sessions_follow_the_name() {
    let text = by_name("resolve-interval 60").replace("remote-end-id 1", "manual 1 2");
    let mut world = World::new(3);
    world.add(&text);
    world.start(0);
    world.run_seconds(1);
    let remote = |w: &World| w.nodes[0].ports.values().next().expect("attached").path.remote.ip();
    assert_eq!(remote(&world), address(1));
    // More addresses, among them the one in use: it stays.
    world.nodes[0].addresses = Ok(vec![address(40), address(1)]);
    world.run_seconds(80);
    assert_eq!(remote(&world), address(1));
    world.nodes[0].addresses = Ok(vec![address(41)]);
    world.run_seconds(80);
    assert_eq!(remote(&world), address(41));
}
