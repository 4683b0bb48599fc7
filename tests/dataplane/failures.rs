//! Interfaces that go away, go down or come back while frames are under way: the daemon counts what is lost, says what
//! happened, and goes on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::build::SOURCE;
use crate::net::Net;
use crate::packet::{PacketSocket, Vnet};
use crate::shape::{pattern, Shape, PLAIN};
use crate::sys::{in_netns, FrameSocket};
use crate::tests;
use crate::wait::{wait_until, PATIENCE};
use crate::world::{Sublayer, Variant, Wire, World, WIRES};
use crate::PLANE;

tests!(
    down_while_received_frames_wait,
    down_while_frames_to_send_wait,
    deleted_while_frames_wait,
    deleted_in_traffic,
    taken_down_in_traffic,
    made_again_by_somebody_else,
);

/// Frames that wait for the daemon in these tests.
const COUNT: usize = 20;

fn world(wire: Wire, naive: bool) -> World {
    let world = World::new(wire, vec![Variant::new(0, 4, Sublayer::Default)], naive, 1500);
    // Host 2 sends nothing on its own: frames are counted here.
    world.net.exec(&world.net.b, &["sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/pw0/disable_ipv6"]);
    world
}

/// The frames of a TCP flow.
fn frames() -> Vec<Vec<u8>> {
    (0..COUNT).map(|at| PLAIN.frame(at as u16, 500 * at as u32, &pattern(500))).collect()
}

/// Waits until a counter of host 1 is `value`.
#[track_caller]
fn wait_counter(world: &World, name: &str, value: u64) {
    let all = || world.first.ctl_ok(&["counters"]);
    wait_until(|| world.counter(name) == value, || format!("{name} does not become {value}:\n{}", all()));
}

/// Waits until a counter of host 1 grows.
#[track_caller]
fn increases(world: &World, name: &str) {
    let before = world.counter(name);
    wait_until(|| world.counter(name) > before, || format!("{name} stays {before}"));
}

/// Waits until `pw0` of host 1 is there and has a carrier, gives it its address and lets it be used again.
#[track_caller]
fn recovers(world: &World) {
    let net: &Net = &world.net;
    wait_until(|| net.carrier(&net.a, "pw0"), || format!("no interface:\n{}", world.first.tail(20)));
    net.batch(&net.a, "addr replace 10.1.0.1/24 dev pw0\n");
    net.ping(&net.a, "10.1.0.2", 1000);
}

/// The system takes no frame at an interface that is down (EIO). Joined frames count each.
fn down_while_received_frames_wait() {
    PLANE.set(Some("tap")); // they wait for the daemon
    for wire in [WIRES[0], WIRES[3]] {
        let world = world(wire, true);
        let far = in_netns(&world.net.b, || PacketSocket::open("pw0"));
        let (before, delivered) = (world.counter("rx_drop_interface"), world.counter("rx_frames"));
        let send = || frames().iter().for_each(|frame| far.send(Vnet::default(), frame));
        world.hold(COUNT, send, || world.net.batch(&world.net.a, "link set pw0 down\n"));
        wait_counter(&world, "rx_drop_interface", before + COUNT as u64);
        assert_eq!(world.counter("rx_frames"), delivered);
        world.net.batch(&world.net.a, "link set pw0 up\n");
        recovers(&world);
        assert_eq!(world.counter("rx_drop_interface"), before + COUNT as u64);
        assert_eq!(world.first.count("*was deleted*") + world.first.count("*panicked*"), 0);
        world.finish();
    }
}

/// What the system handed over before the interface went down is sent.
fn down_while_frames_to_send_wait() {
    let world = world(WIRES[0], true);
    let near = in_netns(&world.net.a, || PacketSocket::open("pw0"));
    let far = in_netns(&world.net.b, || FrameSocket::open("pw0"));
    let send = || frames().iter().for_each(|frame| near.send(Vnet::default(), frame));
    world.hold(0, send, || world.net.batch(&world.net.a, "link set pw0 down\n"));
    let deadline = Instant::now() + PATIENCE;
    let mut expected = frames().into_iter().peekable();
    while let Some(next) = expected.peek() {
        let got = far.receive(deadline).expect("a frame that waited");
        if got[6..10] == SOURCE {
            assert!(got == *next);
            expected.next();
        }
    }
    world.net.batch(&world.net.a, "link set pw0 up\n");
    recovers(&world);
    world.finish();
}

/// Frames wait in both directions for a daemon that then finds its interface deleted. All that came for it are
/// counted: as not taken by the interface, or as for no session once it is known that the session has no interface.
fn deleted_while_frames_wait() {
    PLANE.set(Some("tap")); // they wait for the daemon
    let mut world = world(WIRES[1], true);
    let [near, far] = [&world.net.a, &world.net.b].map(|name| in_netns(name, || PacketSocket::open("pw0")));
    let lost = |world: &World| world.counter("rx_drop_interface") + world.counter("rx_drop_closed");
    let before = lost(&world);
    let send = || {
        frames().iter().for_each(|frame| near.send(Vnet::default(), frame));
        frames().iter().for_each(|frame| far.send(Vnet::default(), frame));
    };
    world.hold(COUNT, send, || world.net.batch(&world.net.a, "link del pw0\n"));
    world.first.expect("warn *interface pw0 was deleted*");
    recovers(&world);
    let after = lost(&world) - before;
    // Until it was back the system of host 2 may have sent a few of its own.
    assert!((COUNT..COUNT + 8).contains(&(after as usize)), "{}", world.first.ctl_ok(&["counters"]));
    assert_eq!(world.first.count("*interface pw0 was deleted*"), 1, "told once");
    assert_eq!(world.counter("tx_drop_error"), 0);
    world.finish();
}

/// Both hosts send as fast as they can while `during` goes on.
fn traffic(world: &World, during: impl FnOnce()) {
    let stop = AtomicBool::new(false);
    let frame = Shape { tcp: false, ..PLAIN }.frame(0, 0, &pattern(700));
    // The interface of one host is looked up again and again: it is another one afterwards.
    let flood = |name: &str| {
        in_netns(name, || {
            let address: std::net::SocketAddr = "10.1.0.99:9".parse().expect("address");
            let socket = std::net::UdpSocket::bind("0.0.0.0:0").expect("socket");
            while !stop.load(Ordering::Relaxed) {
                // Errors are expected: no interface, no route, no room.
                if socket.send_to(&frame, address).is_err() {
                    std::thread::sleep(Duration::from_millis(1)); // not to take the processor from the daemons
                }
            }
        });
    };
    for name in [&world.net.a, &world.net.b] {
        world.net.batch(name, "neigh replace 10.1.0.99 lladdr 02:00:00:00:00:99 dev pw0\n");
    }
    std::thread::scope(|scope| {
        scope.spawn(|| flood(&world.net.a));
        scope.spawn(|| flood(&world.net.b));
        increases(world, "rx_frames");
        during();
        stop.store(true, Ordering::Relaxed);
    });
}

/// Between two daemons.
fn deleted_in_traffic() {
    let mut world = world(WIRES[0], false);
    traffic(&world, || {
        world.net.batch(&world.net.a, "link del pw0\n");
        let deleted = || world.first.count("warn *interface pw0 was deleted*") > 0;
        wait_until(deleted, || "nobody saw that it was deleted".to_owned());
    });
    world.first.expect("warn *interface pw0 was deleted*");
    recovers(&world);
    assert_eq!(world.first.count("*interface pw0 was deleted*"), 1);
    // Deleting is no failure to read, and no frame of host 2 was wrong.
    let counters = world.first.ctl_ok(&["counters"]);
    let other = ["tx_drop_error", "rx_drop_short", "rx_drop_cookie", "rx_drop_source", "rx_drop_sequence"];
    other.iter().for_each(|name| assert!(!counters.contains(name), "{counters}"));
    let lost = world.counter("rx_drop_interface") + world.counter("rx_drop_closed");
    assert!(lost > 0, "nothing was under way:\n{counters}");
    world.finish();
}

/// Down and up again, a few times; the peer learns of it or not, frames pass afterwards.
fn taken_down_in_traffic() {
    let world = world(WIRES[1], false);
    traffic(&world, || {
        for _ in 0..5 {
            world.net.batch(&world.net.a, "link set pw0 down\n");
            increases(&world, "rx_drop_interface");
            world.net.batch(&world.net.a, "link set pw0 up\n");
            increases(&world, "rx_frames");
        }
    });
    assert!(world.counter("rx_drop_interface") > 0);
    assert_eq!(world.first.count("*was deleted*"), 0);
    recovers(&world);
    world.finish();
}

/// Deleted and made again by the administrator before the daemon looks: it takes over what it finds.
fn made_again_by_somebody_else() {
    let mut world = world(WIRES[1], true);
    let make = || {
        world.net.batch(&world.net.a, "link del pw0\n");
        world.net.exec(&world.net.a, &["ip", "tuntap", "add", "pw0", "mode", "tap", "vnet_hdr"]);
    };
    world.hold(0, || (), make);
    world.first.expect("warn *interface pw0 was deleted*");
    recovers(&world);
    let [near, far] = [&world.net.a, &world.net.b].map(|name| in_netns(name, || PacketSocket::open("pw0")));
    let (vnet, frame) = PLAIN.super_frame(&pattern(3000), 1000);
    near.send(vnet, &frame);
    let deadline = Instant::now() + PATIENCE;
    let mut came = 0;
    while came < 3 {
        let (_, frame) = far.receive(deadline).expect("a frame");
        came += usize::from(frame[6..10] == SOURCE);
    }
    world.finish();
    // It stays when the daemon ends; the namespace takes it away.
}
