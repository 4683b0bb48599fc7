//! What is meant for IPsec or a packet filter never goes past it.

use std::time::{Duration, Instant};

use super::{ping_in_kernel, second, status, world};
use crate::sys::{filter_of_nftables, in_netns};
use crate::tests;
use crate::wait::wait_until;
use crate::world::{Sublayer, Variant, World, WIRES};

tests!(an_ipsec_policy_takes_the_frames_back, a_packet_filter_takes_the_frames_back);

/// Nothing gets through while there is what is set, and said why; afterwards the programs carry the frames again.
fn nothing_passes(world: &World, set: &str, why: &str, (begin, end): (&dyn Fn(), &dyn Fn())) {
    status(world, "Data Plane       :bpf\n", true);
    begin();
    status(world, why, true);
    let arrived = || {
        let counters = second(world).ctl_ok(&["counters"]);
        counters
            .lines()
            .filter(|line| line.split_whitespace().nth(1) == Some("rx_frames"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let before = arrived();
    assert_eq!(before.len(), 1);
    let (net, address) = (&world.net, world.variants[0].address(2, false));
    assert!(!net.answers(&net.a, &address), "{set}: it left in clear");
    assert_eq!(arrived(), before, "{set}: frames that got there");
    end();
    status(world, "Data Plane       :bpf\n", true);
    // Meanwhile no ARP got through either.
    wait_until(|| net.answers(&net.a, &address), || world.first.tail(20));
    net.ping(&net.a, &world.variants[0].address(2, true), 56);
    ping_in_kernel(world);
}

fn an_ipsec_policy_takes_the_frames_back() {
    let world = world(WIRES[1], vec![Variant::new(0, 8, Sublayer::None)]);
    let policy = |word: &str, more: &str| {
        let policy = "dir out src 192.0.2.1/32 dst 192.0.2.2/32 proto 115";
        world.net.batch(&world.net.a, &format!("xfrm policy {word} {policy} {more}\n"));
    };
    let esp = "tmpl src 192.0.2.1 dst 192.0.2.2 proto esp mode transport";
    let why = "an IPsec policy is about packets to the peer";
    nothing_passes(&world, "IPsec", why, (&|| policy("add", esp), &|| policy("delete", "")));
    // What the kernel tells of at once is not found only when it is looked for, every ten seconds.
    let start = Instant::now();
    for _ in 0..3 {
        policy("add", esp);
        status(&world, why, true);
        policy("delete", "");
        status(&world, "Data Plane       :bpf\n", true);
    }
    assert!(start.elapsed() < Duration::from_secs(25), "{:?}", start.elapsed());
    world.end();
}

/// At the output, of IPv4 and of IPv6, and of both.
fn a_packet_filter_takes_the_frames_back() {
    for wire in [WIRES[0], WIRES[3]] {
        let mut world = world(wire, vec![Variant::new(0, 8, Sublayer::None)]);
        let own = if wire.ipv6 { libc::AF_INET6 } else { libc::AF_INET };
        for family in [own, libc::NFPROTO_INET] {
            let table = |is_there| in_netns(&world.net.a, || filter_of_nftables(family as u8, is_there));
            if table(true).is_err() {
                return println!("SKIPPED: nftables: the kernel has none");
            }
            table(false).expect("removed");
            let change = |is_there| table(is_there).expect("changed");
            let why = "nftables or iptables have rules that they would pass by";
            nothing_passes(&world, "nftables", why, (&|| change(true), &|| change(false)));
        }
        // What the filter dropped is counted.
        world.first.stop();
    }
}
