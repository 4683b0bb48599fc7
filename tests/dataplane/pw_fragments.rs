//! `oversize pseudowire`: frames that are longer than the path carries travel as fragments of the pseudowire (RFC 4623).

use crate::net::families;
use crate::oversize::{seen, transfer};
use crate::packet::{PacketSocket, Vnet};
use crate::shape::{pattern, Shape, ONE_TAG, PLAIN};
use crate::sys::in_netns;
use crate::tests;
use crate::wait::{wait_until, PATIENCE};
use crate::world::{Sublayer, Variant, Wire, World, WIRES};

tests!(tcp_over_udp, tcp_over_ip, tcp_over_udp_and_ipv6, tcp_over_ip_and_ipv6, frames_of_every_length);

fn world(wire: Wire, mtu: usize) -> World {
    let mut variant = Variant::new(0, 8, Sublayer::Sequenced);
    variant.settings = format!("    mtu {mtu}\n    oversize pseudowire\n");
    World::with(wire, "", vec![variant], false, 1500)
}

fn tcp_over_udp() {
    tcp(WIRES[0]);
}

fn tcp_over_ip() {
    tcp(WIRES[1]);
}

fn tcp_over_udp_and_ipv6() {
    tcp(WIRES[2]);
}

fn tcp_over_ip_and_ipv6() {
    tcp(WIRES[3]);
}

/// Full-sized segments, both ways, cut out of what the system hands over in one piece: every octet comes, by fragments
/// that the network does not cut again.
fn tcp(wire: Wire) {
    let world = world(wire, 1500);
    for &ipv6 in families() {
        assert!(transfer(&world, ipv6, PATIENCE), "IPv6 {ipv6}");
    }
    assert!(
        world.counter("tx_fragmented") > 100 * families().len() as u64,
        "{}",
        world.counter("tx_fragmented")
    );
    for dropped in ["tx_drop_size", "tx_drop_error", "rx_drop_incomplete", "rx_drop_sublayer"] {
        assert_eq!(world.counter(dropped), 0, "{dropped}");
    }
    let text = world.net.exec(&world.net.b, &["cat", "/proc/net/snmp"]);
    let rows: Vec<Vec<&str>> = text.lines().take(2).map(|line| line.split_whitespace().collect()).collect();
    let column = rows[0].iter().position(|name| *name == "ReasmReqds").expect("the counter");
    assert_eq!(rows[1][column], "0", "fragments of IP");
}

/// From one that fits to one of seven fragments, with a tag and without; short ones do not overtake long ones.
fn frames_of_every_length() {
    for wire in [WIRES[0], WIRES[3]] {
        let world = world(wire, 9000);
        let tap = in_netns(&world.net.a, || PacketSocket::open("pw0"));
        let far = in_netns(&world.net.b, || PacketSocket::open("pw0"));
        for (at, length) in [60, 1300, 1440, 1441, 1453, 1465, 1500, 2900, 5000, 8972].into_iter().enumerate()
        {
            for tags in [PLAIN.tags, ONE_TAG] {
                let shape = Shape { tags, tcp: false, ..PLAIN };
                let frame = shape.frame(at as u16, 9, &pattern(length));
                tap.send(Vnet::default(), &frame);
                assert!(seen(&far, |got| got == frame), "{length} octets, over UDP {}", wire.udp);
            }
        }
        assert!(world.counter("tx_fragmented") >= 12);
        let received = || world.counter("rx_drop_incomplete");
        wait_until(|| received() == 0, || format!("{} fragments are of no use", received()));
    }
}
