//! `data-plane bpf`: what the programs carry passes while the daemon stands still; what they must not carry does not.

use crate::daemon::Daemon;
use crate::sys::tcx_programs;
use crate::tests;
use crate::wait::wait_until;
use crate::world::{hold, Other, Sublayer, Variant, Wire, World, WIRES};
use crate::PLANE;

tests!(
    frames_pass_while_the_daemon_stands_still,
    what_the_programs_cannot_do_the_daemon_does,
    an_ipsec_policy_takes_the_frames_back,
    checksums_that_are_left_to_others_are_not_left_to_programs,
    another_route_is_followed,
    an_interface_that_is_down_gets_nothing,
    nothing_is_left_of_a_daemon_that_was_killed,
);

fn world(wire: Wire, variants: Vec<Variant>) -> World {
    PLANE.set(Some("bpf"));
    World::new(wire, variants, false, 1500)
}

fn second(world: &World) -> &Daemon {
    match &world.other {
        Other::Daemon(daemon) => daemon,
        Other::Naive(_) => panic!("host 2 is a daemon"),
    }
}

/// Waits until the status of host 1 has, or has not, these words.
#[track_caller]
fn status(world: &World, words: &str, there: bool) {
    let read = || world.first.ctl_ok(&["status"]);
    wait_until(|| read().contains(words) == there, || format!("{words}: {there}\n{}", read()));
}

/// Pings with neither daemon's help.
#[track_caller]
fn ping_in_kernel(world: &World) {
    hold(&world.first, || {
        hold(second(world), || {
            for variant in &world.variants {
                world.net.ping(&world.net.a, &variant.address(2, false), 1000);
                world.net.ping(&world.net.a, &variant.address(2, true), 1000);
            }
        });
    });
}

/// Every header that the programs know, and their counts.
fn frames_pass_while_the_daemon_stands_still() {
    // UDP over IPv6 needs a checksum, so the daemon sends.
    for wire in WIRES.into_iter().filter(|wire| !(wire.udp && wire.ipv6)) {
        let variants: Vec<Variant> =
            Variant::all().into_iter().filter(|variant| variant.sublayer != Sublayer::Sequenced).collect();
        let count = variants.len() as u64;
        let world = world(wire, variants);
        status(&world, "Data Plane       :bpf\n", true);
        // Neighbours are known now.
        for variant in &world.variants {
            world.net.ping(&world.net.a, &variant.address(2, true), 56);
        }
        let before = sum(&world, &["rx_frames", "tx_frames", "rx_octets", "tx_octets"]);
        ping_in_kernel(&world);
        let after = sum(&world, &["rx_frames", "tx_frames", "rx_octets", "tx_octets"]);
        let least = count * 2;
        assert!(after[0] >= before[0] + least && after[1] >= before[1] + least, "{before:?} {after:?}");
        assert!(after[2] >= before[2] + least * 1000 && after[3] >= before[3] + least * 1000);
        world.finish();
    }
}

/// The sums of counters over all sessions of host 1.
fn sum(world: &World, names: &[&str]) -> Vec<u64> {
    let text = world.first.ctl_ok(&["counters"]);
    let of = |name: &&str| {
        let lines = text.lines().filter(|line| line.split_whitespace().nth(1) == Some(name));
        lines
            .map(|line| line.split_whitespace().next().expect("number").parse::<u64>().expect("number"))
            .sum()
    };
    names.iter().map(of).collect()
}

fn what_the_programs_cannot_do_the_daemon_does() {
    let mut clamped = Variant::new(1, 4, Sublayer::None);
    clamped.settings = "    tcp-mss auto\n".to_owned();
    let variants = vec![Variant::new(0, 8, Sublayer::Sequenced), clamped, Variant::new(2, 0, Sublayer::None)];
    let world = world(WIRES[0], variants);
    for words in ["tap (not bpf: sequencing needs", "tap (not bpf: tcp-mss needs", "Data Plane       :bpf\n"]
    {
        status(&world, words, true);
    }
    for variant in &world.variants {
        world.net.ping(&world.net.a, &variant.address(2, true), 1000);
    }
    world.finish();
}

/// What is meant for IPsec never leaves in clear, neither from the programs nor from the daemon.
fn an_ipsec_policy_takes_the_frames_back() {
    let world = world(WIRES[1], vec![Variant::new(0, 8, Sublayer::None)]);
    status(&world, "Data Plane       :bpf\n", true);
    let policy = "dir out src 192.0.2.1/32 dst 192.0.2.2/32 proto 115";
    let esp = "tmpl src 192.0.2.1 dst 192.0.2.2 proto esp mode transport";
    world.net.batch(&world.net.a, &format!("xfrm policy add {policy} {esp}\n"));
    status(&world, "an IPsec policy is about packets to the peer", true);
    assert!(!world.net.answers(&world.net.a, &world.variants[0].address(2, false)), "it left in clear");
    world.net.batch(&world.net.a, &format!("xfrm policy delete {policy}\n"));
    status(&world, "Data Plane       :bpf\n", true);
    // Meanwhile no ARP got through either.
    wait_until(
        || world.net.answers(&world.net.a, &world.variants[0].address(2, false)),
        || world.first.tail(20),
    );
    world.net.ping(&world.net.a, &world.variants[0].address(2, true), 56);
    ping_in_kernel(&world);
    world.end();
}

fn checksums_that_are_left_to_others_are_not_left_to_programs() {
    let world = world(WIRES[0], vec![Variant::new(0, 8, Sublayer::None)]);
    world.net.exec(&world.net.a, &["ethtool", "-K", "wire", "tx", "on"]);
    status(&world, "wire leaves checksums to its other end", true);
    world.net.ping(&world.net.a, &world.variants[0].address(2, false), 1000);
    world.net.exec(&world.net.a, &["ethtool", "-K", "wire", "tx", "off"]);
    status(&world, "Data Plane       :bpf\n", true);
    ping_in_kernel(&world);
    world.finish();
}

/// The cable becomes a port of a bridge, which has the address from then on.
fn another_route_is_followed() {
    let world = world(WIRES[0], vec![Variant::new(0, 8, Sublayer::None)]);
    let commands = "link add br9 type bridge\nlink set br9 up\nlink set wire master br9\naddr del 192.0.2.1/24 dev wire\n\
                    addr add 192.0.2.1/24 dev br9\n";
    world.net.batch(&world.net.a, commands);
    let programs = |interface| tcx_programs(&world.net.a, interface, true);
    wait_until(|| programs("br9") == 1 && programs("wire") == 0, || world.first.tail(20));
    world.net.ping(&world.net.a, &world.variants[0].address(2, false), 1000);
    ping_in_kernel(&world);
    world.end();
}

fn an_interface_that_is_down_gets_nothing() {
    let world = world(WIRES[0], vec![Variant::new(0, 0, Sublayer::None)]);
    world.net.batch(&world.net.a, "link set pw0 down\n");
    status(&world, "the interface is down", true);
    let before = world.counter("rx_frames");
    let dropped = || world.counter("rx_drop_interface");
    world.net.answers(&world.net.b, &world.variants[0].address(1, false));
    wait_until(|| dropped() > 0, || world.first.ctl_ok(&["counters"]));
    assert_eq!(world.counter("rx_frames"), before);
    world.net.batch(&world.net.a, "link set pw0 up\n");
    status(&world, "Data Plane       :bpf\n", true);
    world.end();
}

fn nothing_is_left_of_a_daemon_that_was_killed() {
    let mut world = world(WIRES[0], vec![Variant::new(0, 8, Sublayer::None)]);
    assert_eq!(tcx_programs(&world.net.a, "wire", true), 1);
    assert_eq!(tcx_programs(&world.net.a, "pw0", false), 1);
    world.first.kill();
    wait_until(|| tcx_programs(&world.net.a, "wire", true) == 0, || "a program is left".to_owned());
}
