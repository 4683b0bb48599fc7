//! Many tunnels in one daemon.

use std::time::Duration;

use crate::net::address;
use crate::world::World;

/// A hub with `count` tunnels and its mirror image, in two engines; every tunnel has peers of its own names.
fn texts(count: usize) -> [String; 2] {
    [0, 1].map(|me: usize| {
        let mut text = format!("router-id 10.0.0.{me}\n");
        for k in 0..count {
            text.push_str(&format!(
                "tunnel t{k}\nremote-address {}\nlocal-hostname {me}-{k}\nremote-hostname {}-{k}\nremote-router-id any\n\
                 hello-interval none\nsession s{k}\nremote-end-id x\n",
                address(1 - me),
                1 - me
            ));
        }
        text
    })
}

// 600 tunnels whose ends start at once: all up within the time that one needs, and each with its own peer.
#[test]
fn many_tunnels_at_once() {
    let count = std::env::var("SIM_TUNNELS").ok().and_then(|n| n.parse().ok()).unwrap_or(600);
    let mut world = World::new(1);
    world.most_actions = 100 * count;
    for text in texts(count) {
        world.add(&text);
    }
    world.start_all();
    world.run(Duration::from_secs(20));
    let snapshots = [0, 1].map(|n: usize| world.snapshot(n).tunnels);
    for (here, there) in snapshots[0].iter().zip(&snapshots[1]) {
        assert_eq!(
            (here.state.status_name(), there.state.status_name()),
            ("established", "established"),
            "{}",
            here.name
        );
        assert_eq!((here.local_ccid, here.remote_ccid), (there.remote_ccid, there.local_ccid));
        assert_eq!(
            (here.sessions[0].state.status_name(), there.sessions[0].state.status_name()),
            ("established", "established")
        );
    }
    // Quiet, once all of them are up.
    let before: usize = world.nodes.iter().map(|n| n.sent).sum();
    world.run(Duration::from_secs(100));
    assert_eq!(world.nodes.iter().map(|n| n.sent).sum::<usize>(), before);
}

/// How many HELLOs leave in each tenth of an interval of so many seconds.
fn hellos(world: &mut World, interval: u64) -> Vec<usize> {
    let mut tenth = || {
        world.wire.clear();
        world.run(Duration::from_secs(interval) / 10);
        world.wire.iter().filter(|datagram| datagram.kind() == 6).count()
    };
    (0..10).map(|_| tenth()).collect()
}

// C-076: HELLOs of many tunnels that came up together are spread over the interval from the first one on.
#[test]
fn hellos_of_many_tunnels_are_spread() {
    let (count, interval) = (200, 60);
    let mut world = World::new(2);
    world.most_actions = 100 * count;
    world.capture = true;
    for text in texts(count) {
        world.add(&text.replace("hello-interval none", &format!("hello-interval {interval}")));
    }
    world.start_all();
    world.run(Duration::from_secs(5));
    for _ in 0..5 {
        let tenths = hellos(&mut world, interval);
        let all: usize = tenths.iter().sum();
        assert!((count * 3 / 4..=count * 5 / 2).contains(&all), "{tenths:?}");
        assert!(tenths.iter().all(|tenth| *tenth < all / 4), "{tenths:?}");
    }
}

// So are the probes of their paths, which come instead of HELLOs; they follow the `hello-interval` when that changes.
#[test]
fn probes_of_many_paths_are_spread() {
    let (count, interval) = (200, 60);
    let mut world = World::new(3);
    world.most_actions = 100 * count;
    world.capture = true;
    let texts_of = |hello| texts(count).map(|text| text.replace("hello-interval none", hello));
    for text in texts_of("hello-interval 5") {
        world.add(&text);
    }
    world.nodes.iter_mut().for_each(|node| node.leaves = Some(1500));
    world.start_all();
    world.run(Duration::from_secs(5));
    for (n, text) in texts_of("hello-interval 60").iter().enumerate() {
        world.reload(n, text);
    }
    // The last ones of before, and the first HELLOs.
    world.run(Duration::from_secs(interval + 10));
    for _ in 0..5 {
        let tenths = hellos(&mut world, interval);
        let all: usize = tenths.iter().sum();
        assert!((count * 2..=count * 5 / 2).contains(&all), "{tenths:?}");
        assert!(tenths.iter().all(|tenth| *tenth < all / 5), "{tenths:?}");
    }
}
