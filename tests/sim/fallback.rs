//! `encapsulation ip udp`: what is tried when only one of the two passes, what is remembered.

use std::time::Duration;

use l2tpd::wire::Encapsulation::{self, Ip, Udp};

use crate::net::{address, perfect, tunnel, DELAY};
use crate::world::World;

/// Only this passes from now on.
fn pass_only(world: &mut World, encapsulation: Option<Encapsulation>) {
    world.fault = Box::new(move |_, datagram| match Some(datagram.encapsulation) == encapsulation {
        true => vec![DELAY],
        false => Vec::new(),
    });
}

fn in_use(world: &World) -> Encapsulation {
    world.tunnel(0).path.expect("a path").encapsulation
}

/// Whether anything was sent this way since the last `forget`.
fn sent(world: &World, encapsulation: Encapsulation) -> bool {
    world.wire.iter().any(|datagram| datagram.encapsulation == encapsulation)
}

fn pair(seed: u64, tags: &str) -> World {
    let mut world = World::pair(seed, &format!("encapsulation ip udp;hello-interval 10;{tags}"), &["l2tp1"]);
    world.capture = true;
    world
}

fn goes_down(world: &mut World) {
    pass_only(world, None);
    assert!(world.run_while_not(Duration::from_secs(120), |world| !world.is_up(0) && !world.is_up(1)));
}

#[test]
fn the_second_is_not_needed_where_the_first_passes() {
    let mut world = pair(1, "");
    world.start_all();
    world.run_seconds(60);
    world.assert_both_up();
    assert!(in_use(&world) == Ip && !sent(&world, Udp));
    assert_eq!(world.logged(0, "no answer"), 0);
}

// Both ends call at once, or one end alone; the other may have one encapsulation only.
#[test]
fn the_second_is_used_within_seconds_and_remembered_for_an_hour() {
    for (seed, tags) in [(2, ""), (3, "password x"), (4, "cookie 8")] {
        let mut world = pair(seed, tags);
        pass_only(&mut world, Some(Udp));
        world.start_all();
        assert!(world.run_while_not(Duration::from_secs(12), World::both_up), "{}", world.transcript(0));
        world.assert_both_up();
        assert_eq!(in_use(&world), Udp);
        assert_eq!(world.logged(0, "tunnel t: no answer, now over UDP"), 1);
        // The next attempts begin with what worked.
        goes_down(&mut world);
        world.forget();
        pass_only(&mut world, Some(Udp));
        assert!(world.run_while_not(Duration::from_secs(120), World::both_up));
        world.assert_both_up();
        assert!(in_use(&world) == Udp && !sent(&world, Ip), "{}", world.transcript(0));
        // After an hour the better one is tried again; what is up is not disturbed for that.
        world.forget();
        world.run_seconds(3700);
        assert!(world.both_up() && !sent(&world, Ip));
        goes_down(&mut world);
        world.fault = perfect();
        assert!(world.run_while_not(Duration::from_secs(120), World::both_up));
        assert_eq!(in_use(&world), Ip);
    }
}

// A peer that has the second only answers when it is called so; and a caller with the second only is answered.
#[test]
fn one_end_has_both() {
    for caller in [0, 1] {
        let mut world = World::new(5);
        let role = |n: usize| if n == caller { "role active" } else { "role passive" };
        world.add(&tunnel(0, 1, &format!("encapsulation ip udp;{}", role(0)), &["l2tp1"]));
        world.add(&tunnel(1, 0, &format!("encapsulation udp;{}", role(1)), &["l2tp1"]));
        world.start_all();
        assert!(world.run_while_not(Duration::from_secs(12), World::both_up), "{}", world.transcript(caller));
        assert_eq!(in_use(&world), Udp);
    }
}

// What was remembered is of no use any more: the other one is tried in the same attempt.
#[test]
fn the_first_is_the_fallback_of_the_second() {
    let mut world = pair(6, "");
    pass_only(&mut world, Some(Udp));
    world.start_all();
    assert!(world.run_while_not(Duration::from_secs(12), World::both_up));
    goes_down(&mut world);
    pass_only(&mut world, Some(Ip));
    assert!(world.run_while_not(Duration::from_secs(120), World::both_up), "{}", world.transcript(0));
    assert_eq!(in_use(&world), Ip);
    assert!(
        world.logged(0, "no answer, now over IP protocol 115")
            + world.logged(1, "no answer, now over IP protocol 115")
            > 0
    );
}

// Nothing passes: each attempt tries both, and pauses follow each other as ever.
#[test]
fn an_attempt_that_fails_has_tried_both_once() {
    let mut world = World::new(7);
    world.add(&tunnel(
        0,
        1,
        "encapsulation ip udp;retry 3;restart-interval 20;restart-interval-max 20",
        &["l2tp1"],
    ));
    world.capture = true;
    pass_only(&mut world, None);
    world.start_all();
    world.run_seconds(300);
    let (ip, udp) = (world.wire.iter().filter(|d| d.encapsulation == Ip).count(), world.wire.len());
    let udp = udp - ip;
    assert!(ip > 15 && ip.abs_diff(udp) <= 8, "{ip} and {udp}");
    assert!(world.wire.iter().all(|d| d.to.ip() == address(1)));
    let attempts = world.logged(0, "begin new tunnel");
    assert!((12..=30).contains(&attempts), "{attempts}");
    assert_eq!(attempts.div_euclid(2), world.logged(0, "no answer, now over UDP"), "{}", world.transcript(0));
}
