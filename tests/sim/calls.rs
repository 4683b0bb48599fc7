//! One tunnel with thousands of sessions: how they come up, end together, and what each of them costs the others.

use std::time::Duration;

use l2tpd::proto::Command;
use l2tpd::wire::MessageType;

use crate::net::address;
use crate::world::World;

/// The configuration of node `me`: one tunnel to the other one, with sessions.
fn text(me: usize, sessions: usize) -> String {
    let head = format!(
        "router-id 10.0.0.{me}\nhostname {me}\nrestart-interval 100\ntunnel t\nremote-address {}\nremote-hostname {}\n\
         remote-router-id any\nhello-interval 50\nretry-interval auto\n",
        address(1 - me),
        1 - me
    );
    (0..sessions).fold(head, |text, k| text + &format!("session s{k}\nremote-end-id e{k}\n"))
}

fn world(sessions: usize) -> World {
    let mut world = World::new(5);
    world.most_actions = 1000 + 100 * sessions;
    world.capture = true;
    world.add(&text(0, sessions));
    world.add(&text(1, sessions));
    world.start_all();
    world
}

/// How many sessions of a node are established.
fn up(world: &World, n: usize) -> usize {
    let sessions = world.snapshot(n).tunnels.remove(0).sessions;
    sessions.iter().filter(|session| session.state.status_name() == "established").count()
}

fn is_up(world: &World, sessions: usize) -> bool {
    // Looking at all of them at each event would take long.
    world.nodes.iter().all(|node| node.ports.values().filter(|port| port.send).count() == sessions)
        && (0..2).all(|n| up(world, n) == sessions)
}

/// Runs in steps of a tenth of a second until `done`; how long it took.
fn run_until(world: &mut World, limit: u64, done: impl Fn(&World) -> bool) -> Duration {
    let begin = world.time;
    while !done(world) {
        assert!(
            world.time < begin + Duration::from_secs(limit),
            "after {limit} s: {} and {}",
            up(world, 0),
            up(world, 1)
        );
        world.run(Duration::from_millis(100));
    }
    world.time - begin
}

fn sent(world: &World, kind: MessageType) -> usize {
    world.wire.iter().filter(|datagram| datagram.kind() == kind.0).count()
}

// More sessions than messages fit into a queue: all come up in one go, each asked for once; and those that end together
// are all told so.
#[test]
fn thousands_of_sessions_flow() {
    let count = 6000;
    let mut world = world(count);
    let took = run_until(&mut world, 30, |world| is_up(world, count));
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert_eq!(sent(&world, MessageType::ICRQ), count);

    world.wire.clear();
    world.reload(0, &text(0, 100));
    run_until(&mut world, 30, |world| up(world, 0) == 100 && up(world, 1) == 100);
    assert_eq!(sent(&world, MessageType::CDN), count - 100);
    world.reload(0, &text(0, count));
    // The other end asks for them again after its restart-interval; this one does at once.
    let took = run_until(&mut world, 30, |world| is_up(world, count));
    assert!(took < Duration::from_secs(20), "{took:?}");
}

// A session's ICCN does not wait until all others have been asked for.
#[test]
fn the_first_sessions_are_up_while_others_wait() {
    let mut world = world(3000);
    run_until(&mut world, 30, |world| up(world, 1) > 0);
    assert!(sent(&world, MessageType::ICRQ) < 1000, "{} ICRQs", sent(&world, MessageType::ICRQ));
}

// What waits to be asked for is forgotten with the rest when the tunnel stops, and asked for with the next connection.
#[test]
fn sessions_that_wait_wait_for_the_next_connection() {
    let count = 3000;
    let mut world = world(count);
    run_until(&mut world, 30, |world| up(world, 1) > 0);
    world.act(0, |engine, now| engine.command(now, Command::Stop("t".to_owned()))).unwrap();
    world.run_seconds(5);
    assert_eq!((up(&world, 0), up(&world, 1)), (0, 0));
    world.wire.clear();
    world.act(0, |engine, now| engine.command(now, Command::Start("t".to_owned()))).unwrap();
    run_until(&mut world, 30, |world| is_up(world, count));
    assert_eq!(sent(&world, MessageType::ICRQ), count);
}

// C-074: whether data was heard is asked once for each HELLO, not for each session.
#[test]
fn a_hello_asks_once_whatever_sessions_there_are() {
    let asked = |count| {
        let mut world = world(count);
        run_until(&mut world, 30, |world| is_up(world, count));
        let before = world.nodes[0].asked;
        world.run_seconds(500);
        world.nodes[0].asked - before
    };
    let few = asked(5);
    assert!((5..=40).contains(&few), "{few}");
    assert_eq!(asked(50), few);
}
