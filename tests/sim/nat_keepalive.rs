//! What keeps a translator (NAT) on the way from forgetting a connection.

use std::time::Duration;

use crate::net::tunnel;
use crate::world::World;

/// HELLOs that node `n` sends in five minutes in which it hears data all the time, or nothing.
fn hellos(tags: &str, port: Option<u16>, n: usize, data: bool) -> usize {
    let mut world = World::pair(1, &format!("encapsulation udp;{tags}"), &["l2tp1"]);
    world.nodes[0].seen_port = port;
    world.start(1);
    world.start(0);
    world.run_seconds(20);
    world.assert_both_up();
    world.forget();
    let ids = [0, 1].map(|n| world.session(n, "l2tp1").local);
    for _ in 0..300 {
        for (n, id) in ids.into_iter().enumerate().filter(|_| data) {
            let now = world.now();
            world.nodes[n].heard.insert(id, now);
        }
        world.run_seconds(1);
    }
    world.assert_both_up();
    world.logged(n, "send HELLO")
}

// Who sees the peer at another port sends every 20 s although frames come all the time; without a translator nobody does.
#[test]
fn a_translator_that_shows_is_kept_awake() {
    assert!((14..=17).contains(&hellos("role both", Some(40_000), 1, true)));
    assert_eq!(hellos("", None, 1, true), 0);
    assert_eq!(hellos("nat-keepalive none", Some(40_000), 1, true), 0);
}

// A time that is given holds with every path; also where HELLOs are switched off otherwise.
#[test]
fn a_keepalive_that_is_configured() {
    for tags in ["nat-keepalive 5", "nat-keepalive 5;hello-interval none"] {
        // The acknowledgement of the other end's HELLO keeps it awake as well.
        let sent: usize = [0, 1].map(|n| hellos(tags, None, n, true)).iter().sum();
        assert!((50..=75).contains(&sent), "{tags}: {sent}");
    }
}

// HELLOs that are sent anyway are enough.
#[test]
fn the_two_intervals_do_not_add_up() {
    let plain: usize =
        [0, 1].map(|n| hellos("hello-interval 10;nat-keepalive none", None, n, false)).iter().sum();
    let both: usize =
        [0, 1].map(|n| hellos("hello-interval 10;nat-keepalive 20", None, n, false)).iter().sum();
    assert!(both <= plain + 2, "{both} instead of {plain}");
}

// It changes while the tunnel is up.
#[test]
fn the_keepalive_changes_live() {
    let mut world = World::pair(2, "hello-interval none", &["l2tp1"]);
    world.start_all();
    world.run_seconds(20);
    world.forget();
    world.reload(0, &tunnel(0, 1, "hello-interval none;nat-keepalive 2", &["l2tp1"]));
    world.run(Duration::from_secs(21));
    assert!(world.logged(0, "send HELLO") >= 9);
    world.assert_both_up();
}
