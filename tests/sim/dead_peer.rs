//! How soon a dead peer is noticed, what keeps it from being taken for dead, and what that costs.

use std::net::SocketAddr;
use std::time::Duration;

use l2tpd::proto::{Command, CommandError, TunnelEvent};

use crate::net::{address, perfect, seeds, tunnel};
use crate::world::World;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Two ends that are up, each way through the network taking so long.
fn up(seed: u64, tags: &str, way: Duration) -> World {
    let mut world = World::pair(seed, tags, &["l2tp1"]);
    world.fault = Box::new(move |_, _| vec![way]);
    world.start_all();
    world.run_seconds(20);
    world.assert_both_up();
    world.forget();
    world
}

/// Cuts the network at some moment; the time until both ends say that the tunnel is down.
fn time_to_down(mut world: World) -> Duration {
    let wait = world.rng.below(1000);
    world.run(ms(wait));
    world.fault = Box::new(|_, _| Vec::new());
    let cut = world.time;
    let down = |w: &World| (0..2).all(|n| w.happened(n, TunnelEvent::TunnelDown) == 1);
    assert!(world.run_while_not(Duration::from_secs(400), down), "{}", world.transcript(0));
    let last = (0..2).flat_map(|n| &world.nodes[n].events).map(|(at, _)| *at).max();
    last.unwrap_or_default() - cut
}

// The kernel of a host whose daemon was killed says so at once. That hint puts nothing off that silence tells.
#[test]
fn a_hint_makes_nothing_slower() {
    for wait in 0..100 {
        let mut world = up(1, "hello-interval 0.1", ms(1));
        world.run(ms(wait));
        world.fault = Box::new(|_, _| Vec::new());
        let cut = world.time;
        let remote = SocketAddr::new(address(1), 0);
        world.act(0, |e, now| e.unreachable(now, remote, "Protocol not available", true));
        assert!(world.run_while_not(ms(410), |w| w.happened(0, TunnelEvent::TunnelDown) == 1), "{wait}");
        assert!(world.time - cut <= ms(410));
    }
}

// C-073: HELLOs ten times a second: down within four of their intervals, and up at once when the peer is back.
#[test]
fn short_hello_intervals_find_a_dead_peer_soon() {
    for (tags, way, most) in [
        ("hello-interval 0.1", ms(1), 410),
        ("hello-interval 0.1;retry-interval auto", ms(20), 450),
        // The round trip is longer than what is asked for.
        ("hello-interval 0.1", ms(120), 1500),
        ("hello-interval 0.5", ms(1), 2010),
        ("hello-interval 3;retry-interval auto", ms(1), 12_010),
        ("hello-interval 0.1;retry 1", ms(1), 260),
    ] {
        let mut longest = Duration::ZERO;
        seeds(20, |seed| {
            let down = time_to_down(up(seed, tags, way));
            assert!(down <= ms(most), "{tags}, {way:?}: {down:?}");
        });
        for seed in 0..5 {
            longest = longest.max(time_to_down(up(seed, tags, way)));
        }
        eprintln!("{tags}, {way:?} each way: down after {longest:?} at most");
    }
}

// Where nothing is said, and with a fixed interval, the time is that of `retry`; the first gap has up to a quarter more.
#[test]
fn otherwise_retry_says_how_long() {
    for (tags, least, most) in [
        ("hello-interval 1;retry 3", 15_000, 16_250),
        ("hello-interval 0.1;retry-interval 1;retry 3", 15_000, 15_350),
        ("retry 3;hello-interval 10", 15_000, 25_250),
    ] {
        let down = time_to_down(up(1, tags, ms(1)));
        assert!((ms(least)..ms(most)).contains(&down), "{tags}: {down:?}");
    }
}

// The answer to an SCCRQ may wait for the peer's route or a tie: that is not the way, and where frames come all the time
// no HELLO corrects what was taken for it.
#[test]
fn a_slow_answer_to_the_first_message_is_not_the_way() {
    let mut world = World::pair(9, "hello-interval 0.1", &["l2tp1"]);
    world.fault = Box::new(move |_, d| vec![ms(if d.kind() == 1 { 150 } else { 1 })]);
    world.start_all();
    assert!(world.run_while_not(Duration::from_secs(20), World::both_up));
    world.fault = Box::new(|_, _| Vec::new());
    let cut = world.time;
    let down = |w: &World| (0..2).all(|n| w.happened(n, TunnelEvent::TunnelDown) == 1);
    assert!(world.run_while_not(ms(2000), down), "{}", world.transcript(0));
    assert!(world.time - cut < ms(500), "{:?}", world.time - cut);
}

// The peer is back before anything else is tried: one exchange more.
#[test]
fn after_a_short_cut_the_tunnel_is_back_at_once() {
    let mut world = up(3, "hello-interval 0.1", ms(1));
    world.fault = Box::new(|_, _| Vec::new());
    assert!(world.run_while_not(ms(500), |w| w.happened(0, TunnelEvent::TunnelDown) == 1));
    world.fault = perfect();
    let since = world.time;
    assert!(world.run_while_not(Duration::from_secs(10), World::both_up));
    assert!(world.time - since < ms(3100), "{:?}", world.time - since);
}

// C-074: frames that arrive keep a tunnel up whose HELLOs are lost, for as long as `retry` allows.
#[test]
fn frames_are_a_sign_of_life_while_a_hello_is_lost() {
    let mut world = up(4, "hello-interval 0.1", ms(1));
    let id = world.session(0, "l2tp1").local;
    world.fault = Box::new(|_, _| Vec::new());
    let mut steps = 0;
    while world.happened(0, TunnelEvent::TunnelDown) == 0 {
        // Gaps between the frames that are longer than the interval.
        let now = world.now();
        world.nodes[0].heard.insert(id, now);
        world.run(ms(150));
        steps += 1;
        assert!(steps < 1000, "for ever");
    }
    assert!(steps * 150 > 20_000, "down after {} ms", steps * 150);
}

// A network that loses and delays costs repetitions, not the tunnel; the round trip is measured all the same.
#[test]
fn loss_does_not_look_like_death() {
    seeds(10, |seed| {
        let mut world = up(seed, "hello-interval 0.1", ms(10));
        world.fault = Box::new(|rng, _| match rng.chance(3) {
            true => Vec::new(),
            false => vec![ms(10 + rng.below(5))],
        });
        world.run_seconds(120);
        assert_eq!(world.happened(0, TunnelEvent::TunnelDown), 0, "{}", world.transcript(0));
        assert!(world.tunnel(0).counters.tx_retransmissions > 0);
    });
}

// The way becomes ten times as long: that is learnt, and the repetitions end.
#[test]
fn a_longer_way_is_learnt() {
    let mut world = up(6, "hello-interval 0.4", ms(10));
    world.fault = Box::new(|_, _| vec![ms(100)]);
    world.run_seconds(20);
    let before = world.tunnel(0).counters.tx_retransmissions;
    world.run_seconds(60);
    assert_eq!(world.tunnel(0).counters.tx_retransmissions, before);
    assert_eq!(world.happened(0, TunnelEvent::TunnelDown), 0);
}

// What a thousand idle tunnels cost at ten HELLOs a second: each HELLO serves both ends.
#[test]
fn the_cost_of_idle_tunnels() {
    const TUNNELS: u32 = 1000;
    let mut world = World::new(8);
    for me in 0..2 {
        let peer = 1 - me;
        let names = ["a", "b"];
        let mut text = format!("hostname {}\nrouter-id 10.0.0.{}\n", names[me], me + 1);
        for k in 0..TUNNELS {
            text.push_str(&format!(
                "tunnel t{k}\nremote-address {}\nremote-hostname {}{k}\nlocal-hostname {}{k}\nremote-router-id any\n\
                 hello-interval 0.1\n",
                address(peer),
                names[peer],
                names[me]
            ));
            if me == 1 {
                text.push_str("role passive\n");
            }
        }
        world.add(&text);
    }
    world.most_actions = 100_000;
    world.start(1);
    world.start(0);
    world.run_seconds(30);
    let up = world.snapshot(0);
    assert!(up.tunnels.iter().all(|t| t.state.status_name() == "established"));
    world.capture = true;
    world.forget();
    world.run_seconds(10);
    let (hellos, all) = (world.wire.iter().filter(|d| d.kind() == 6).count(), world.wire.len());
    let octets: usize = world.wire.iter().map(|d| d.octets.len()).sum();
    eprintln!(
        "{TUNNELS} idle tunnels, hello-interval 0.1: {} HELLOs and {} messages a second, {} kbit/s both ways",
        hellos / 10,
        all / 10,
        octets * 8 / 10_000
    );
    assert!(all.abs_diff(2 * hellos) < 100, "a HELLO, an acknowledgement: {hellos} of {all}");
    assert!(hellos < 10 * 22 * TUNNELS as usize, "{hellos}");
}

// A reload changes both intervals of a tunnel that is up.
#[test]
fn the_intervals_change_live() {
    let mut world = up(9, "", ms(1));
    for n in 0..2 {
        world.reload(n, &tunnel(n, 1 - n, "hello-interval 0.1", &["l2tp1"]));
    }
    world.run_seconds(5);
    assert_eq!(world.happened(0, TunnelEvent::TunnelDown), 0);
    world.forget();
    let down = time_to_down(world);
    assert!(down <= ms(410), "{down:?}");
}

// What was measured is shown: two ways through the network, whatever the intervals are.
#[test]
fn the_round_trip_is_measured() {
    for tags in ["hello-interval 2", "hello-interval 0.2"] {
        let mut world = up(10, tags, ms(17));
        world.run_seconds(60);
        let measured = world.tunnel(0).round_trip.expect("measured");
        assert!((ms(33)..ms(36)).contains(&measured), "{tags}: {measured:?}");
    }
    let mut world = World::pair(1, "", &[]);
    world.start(0);
    assert_eq!(world.tunnel(0).round_trip, None, "no connection");
}

// The last changes with their reasons: up, lost, tried in vain, up again; of the tunnel and of its session.
#[test]
fn the_last_changes_are_remembered() {
    let mut world = up(
        11,
        "hello-interval 1;retry 2;retry-interval-max 1;restart-interval 1;restart-interval-max 1",
        ms(1),
    );
    world.fault = Box::new(|_, _| Vec::new());
    world.run_seconds(60);
    world.fault = perfect();
    assert!(world.run_while_not(Duration::from_secs(20), World::both_up));
    world.run_seconds(5);
    let told = |history: &[l2tpd::proto::history::Change]| -> Vec<(TunnelEvent, String)> {
        history.iter().map(|change| (change.what, change.reason.clone())).collect()
    };
    let (no, none) = ("the peer does not answer".to_owned(), String::new());
    let tunnel = world.tunnel(0);
    assert_eq!(
        told(&tunnel.history),
        [
            (TunnelEvent::TunnelUp, none.clone()),
            (TunnelEvent::TunnelFailed, no.clone()),
            (TunnelEvent::TunnelDown, no.clone()),
            (TunnelEvent::TunnelUp, none.clone()),
        ]
    );
    let (failed, lost) = (&tunnel.history[1], &tunnel.history[2]);
    assert!(failed.count > 5 && lost.count == 1, "{:?}", tunnel.history);
    assert!(lost.ago - failed.ago > Duration::from_secs(40), "the last time counts");
    let session = told(&tunnel.sessions[0].history);
    assert_eq!(
        session,
        [
            (TunnelEvent::SessionUp, none.clone()),
            (TunnelEvent::SessionDown, no),
            (TunnelEvent::SessionUp, none)
        ]
    );
}

// A HELLO on demand: its answer is told; so is that it had to be repeated, and that none came.
#[test]
fn a_hello_on_demand_is_told_of() {
    let mut world = up(12, "hello-interval 60;retry 2", ms(7));
    let ping = |world: &mut World, n: usize| world.act(n, |e, now| e.command(now, Command::Ping("t".into())));
    assert_eq!(ping(&mut world, 0), Ok(()));
    assert_eq!(ping(&mut world, 0), Ok(()), "the one that waits is for both");
    world.run(ms(100));
    assert_eq!(world.nodes[0].pongs, [(Some(ms(14)), 1)]);
    assert_eq!(world.logged(0, "send HELLO"), 1);
    // The first one is lost.
    world.nodes[0].pongs.clear();
    world.fault = Box::new(|_, _| Vec::new());
    assert_eq!(ping(&mut world, 0), Ok(()));
    world.run(ms(500));
    world.fault = Box::new(|_, _| vec![ms(7)]);
    world.run(ms(1000));
    let [(Some(time), 2)] = world.nodes[0].pongs[..] else { panic!("{:?}", world.nodes[0].pongs) };
    assert!((ms(1014)..ms(1300)).contains(&time), "from the first transmission on: {time:?}");
    // All are.
    world.nodes[0].pongs.clear();
    world.fault = Box::new(|_, _| Vec::new());
    assert_eq!(ping(&mut world, 0), Ok(()));
    world.run_seconds(30);
    assert_eq!(world.nodes[0].pongs, [(None, 3)]);
    assert_eq!(ping(&mut world, 0), Err(CommandError::NotUp));
    let other = world.act(0, |e, now| e.command(now, Command::Ping("x".into())));
    assert_eq!(other, Err(CommandError::NotFound));
}

// After messages that wait for the window; and a connection that ends answers at once.
#[test]
fn a_hello_on_demand_waits_for_its_turn() {
    let mut world = up(13, "hello-interval none;receive-window 1", ms(7));
    for up in [false, true] {
        world.act(0, |e, now| e.circuit(now, "l2tp1", up));
    }
    assert_eq!(world.act(0, |e, now| e.command(now, Command::Ping("t".into()))), Ok(()));
    world.run(ms(200));
    assert_eq!(world.nodes[0].pongs, [(Some(ms(14)), 1)], "from its own transmission on");
    world.nodes[0].pongs.clear();
    assert_eq!(world.act(0, |e, now| e.command(now, Command::Ping("t".into()))), Ok(()));
    world.act(0, |e, now| e.command(now, Command::Stop("t".into()))).unwrap();
    assert_eq!(world.nodes[0].pongs, [(None, 1)]);
}
