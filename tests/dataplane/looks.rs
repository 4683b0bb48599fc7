//! What is looked at in tables of the data plane, counted exactly (`gather::looks`): what is about one socket or one
//! interface costs the same however many others there are.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use l2tpd::config::model::Device;
use l2tpd::daemon::datapath::{DataPlane, SocketKey};
use l2tpd::gather::looks;
use l2tpd::sys::link::NetEvent;
use l2tpd::sys::{clock, netif};
use l2tpd::wire::Encapsulation;

use crate::net::Net;
use crate::{sys, tests};

tests!(a_socket_more_costs_the_same_with_ten_times_as_many, a_foreign_interface_looks_at_no_others);

fn plane() -> (mio::Poll, DataPlane) {
    let poll = mio::Poll::new().unwrap();
    let plane = DataPlane::new(poll.registry().try_clone().unwrap());
    (poll, plane)
}

fn key(encapsulation: Encapsulation, local: [u8; 4], device: Device) -> SocketKey {
    let (local, family) = (Some(IpAddr::from(local)), Ipv4Addr::UNSPECIFIED.into());
    SocketKey::new(encapsulation, local, family, 1701, device)
}

/// What one more socket looks at, with a turn, where there is one for any address and one for each of so many addresses. An
/// event of an interface may come meanwhile, and adds to one of them: so it is the least of some.
fn of_a_socket(encapsulation: Encapsulation, count: u8) -> u64 {
    let (_poll, mut plane) = plane();
    let mut looked = Vec::new();
    for local in std::iter::once([0; 4]).chain((1..=count).map(|k| [127, 1, 0, k])) {
        let before = looks();
        plane.open_socket(key(encapsulation, local, Device::NONE)).unwrap();
        plane.turn(clock::now(), &mut |_, _| ());
        looked.push(looks() - before);
    }
    looked.into_iter().rev().take(5).min().unwrap()
}

fn a_socket_more_costs_the_same_with_ten_times_as_many() {
    let net = Net::new();
    net.exec(&net.a, &["ip", "link", "set", "lo", "up"]);
    for encapsulation in [Encapsulation::Ip, Encapsulation::Udp] {
        let [few, many] = [10, 100].map(|count| sys::in_netns(&net.a, || of_a_socket(encapsulation, count)));
        assert!(few > 0);
        assert_eq!(few, many, "{encapsulation:?}");
    }
}

/// What the events of an interface look at that comes, where sockets are bound to so many others.
fn of_an_interface(net: &Net, count: usize) -> u64 {
    let (mut poll, mut plane) = plane();
    for k in 0..count {
        let device = Device::new(&format!("d{k}")).unwrap();
        plane.open_socket(key(Encapsulation::Udp, [0; 4], device)).unwrap();
    }
    plane.turn(clock::now(), &mut |_, _| ());
    plane.take_net_events();
    let before = looks();
    net.exec(&net.a, &["ip", "link", "add", "new", "type", "veth", "peer", "name", "other"]);
    let index = netif::index("new").unwrap();
    let (deadline, mut events) = (Instant::now() + Duration::from_secs(20), mio::Events::with_capacity(64));
    loop {
        poll.poll(&mut events, Some(Duration::from_millis(100))).unwrap();
        events.iter().for_each(|event| plane.ready(event.token()));
        plane.turn(clock::now(), &mut |_, _| ());
        let told = plane.take_net_events();
        if told.iter().any(|event| matches!(event, NetEvent::Link { index: i, .. } if *i == index)) {
            return looks() - before;
        }
        assert!(Instant::now() < deadline, "no event of it");
    }
}

/// The events may come in one turn or in several; each interface is looked for in each of them.
fn a_foreign_interface_looks_at_no_others() {
    const COUNT: usize = 50;
    let net = Net::new();
    let devices: String = (0..COUNT).map(|k| format!("link add d{k} type veth peer name e{k}\n")).collect();
    net.batch(&net.a, &devices);
    let looked = sys::in_netns(&net.a, || of_an_interface(&net, COUNT));
    assert!((1..COUNT as u64).contains(&looked), "{looked}");
}
