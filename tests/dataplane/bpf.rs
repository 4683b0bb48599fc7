//! `data-plane bpf`: what the programs carry passes while the daemon stands still; what they must not carry does not.

use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::net::Net;
use crate::packet::PacketSocket;
use crate::sys::{in_netns, tcx_programs};
use crate::tests;
use crate::wait::wait_until;
use crate::world::{hold, Other, Sublayer, Variant, Wire, World, WIRES};
use crate::PLANE;

tests!(
    frames_pass_while_the_daemon_stands_still,
    what_the_programs_cannot_do_the_daemon_does,
    auto_takes_what_is_faster,
    udp_over_ipv6_has_checksums,
    data_in_the_kernel_saves_hellos,
    an_ipsec_policy_takes_the_frames_back,
    checksums_that_are_left_to_others_are_not_left_to_programs,
    another_route_is_followed,
    an_interface_that_is_down_gets_nothing,
    another_program_goes_on_with_what_is_in_the_kernel,
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
    for wire in WIRES {
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

/// `data-plane auto` says what it chose. Of a session it tells when the programs carry it, and when they do not any more.
fn auto_takes_what_is_faster() {
    PLANE.set(Some("auto"));
    let mut world = World::new(WIRES[0], vec![Variant::new(0, 8, Sublayer::None)], false, 1500);
    world.first.expect("info   data-plane auto: bpf: *");
    status(&world, "tap (not bpf: wire leaves checksums to its other end", true);
    assert_eq!(world.first.count("info   pw0: *"), 0, "{}", world.first.tail(20));
    for name in [&world.net.a, &world.net.b] {
        world.net.exec(name, &["ethtool", "-K", "wire", "tx", "off"]);
    }
    world.first.expect("info   pw0: bpf carries the frames");
    let other = second(&world);
    wait_until(|| other.ctl_ok(&["status"]).contains("Data Plane       :bpf\n"), || other.tail(20));
    ping_in_kernel(&world);
    world.net.batch(&world.net.a, "link add br9 type bridge\nlink set pw0 master br9\n");
    world
        .first
        .expect("info   pw0: the daemon carries the frames, bpf does not: in a bridge the daemon is faster*");
    status(&world, "tap (not bpf: in a bridge the daemon is faster", true);
    world.net.batch(&world.net.a, "link set pw0 nomaster\n");
    world.first.expect("info   pw0: bpf carries the frames");
    ping_in_kernel(&world);
    world.finish();
    let world = World::new(WIRES[1], vec![Variant::new(0, 8, Sublayer::None)], false, 1500);
    world.net.exec(&world.net.a, &["ethtool", "-K", "wire", "tx", "off"]);
    status(&world, "tap (not bpf: over IP or IPv6 the daemon is faster with TCP)", true);
    world.finish();
}

/// The kernel of host 2 looks at them: of frames of every length, and of some whose own checksum the interface is to finish.
fn udp_over_ipv6_has_checksums() {
    PLANE.set(Some("bpf"));
    let world = World::new(WIRES[2], vec![Variant::new(0, 4, Sublayer::None)], true, 1500);
    status(&world, "Data Plane       :bpf\n", true);
    let variant = &world.variants[0];
    let [a, b] = [1, 2].map(|host| (variant.address(host, false), variant.address(host, true)));
    world.net.ping(&world.net.a, &b.1, 56);
    let sent = world.counter("tx_frames");
    let sockets = [(&a.0, &b.0), (&a.1, &b.1)].map(|(a, b)| {
        let bind = |name, address: &str| {
            let address: std::net::IpAddr = address.parse().expect("address");
            let socket = in_netns(name, || UdpSocket::bind((address, 5000)).expect("socket"));
            socket.set_read_timeout(Some(Duration::from_secs(10))).expect("time-out");
            socket
        };
        (bind(&world.net.a, a), bind(&world.net.b, b))
    });
    let sizes = (0..8).chain([200, 255, 256, 257, 512, 1023, 1025, 1300]);
    let mut frames = 0;
    hold(&world.first, || {
        for size in sizes {
            world.net.ping(&world.net.a, &b.0, size);
            world.net.ping(&world.net.a, &b.1, size);
            for (from, to) in &sockets {
                let data: Vec<u8> = (0..size).map(|at| (at * 7 + size) as u8).collect();
                from.send_to(&data, to.local_addr().expect("address")).expect("sent");
                let mut buffer = [0; 2000];
                let got = to.recv(&mut buffer).expect("it came");
                assert_eq!(&buffer[..got], data, "{size} octets");
            }
            frames += 4;
        }
    });
    assert!(world.counter("tx_frames") >= sent + frames, "it was the programs that sent them");
    world.finish();
}

/// While data comes no HELLO is needed (RFC 3931 4.4), also if it is the programs that receive it; then one comes.
fn data_in_the_kernel_saves_hellos() {
    let net = Net::new();
    let config = |host: u32| {
        format!(
            "hostname h{host}\nrouter-id 10.0.0.{host}\nrestart-interval 1\ndata-plane bpf\ntunnel t\n  \
             local-address 192.0.2.{host}\n  remote-address 192.0.2.{}\n  remote-hostname h{}\n  remote-router-id \
             10.0.0.{}\n  hello-interval 2\n  role {}\n  session pw0\n    remote-end-id e\n",
            3 - host,
            3 - host,
            3 - host,
            if host == 1 { "active" } else { "passive" },
        )
    };
    for name in [&net.a, &net.b] {
        net.exec(name, &["ethtool", "-K", "wire", "tx", "off"]);
    }
    let mut second = Daemon::start(&net, &net.b, &config(2));
    let mut first = Daemon::start(&net, &net.a, &config(1));
    for daemon in [&mut first, &mut second] {
        daemon.expect("info   pw0: bpf carries the frames");
    }
    net.batch(&net.a, "addr add 10.9.9.1/24 dev pw0\n");
    net.batch(&net.b, "addr add 10.9.9.2/24 dev pw0\n");
    net.ping(&net.a, "10.9.9.2", 56);
    let cable = in_netns(&net.a, || PacketSocket::open("wire"));
    // HELLO is message type 6: the AVP is mandatory, of 8 octets, vendor 0, attribute 0.
    let hello = [0x80, 8, 0, 0, 0, 0, 0, 6];
    let hellos = |patience: Duration, most: usize| {
        let (deadline, mut count) = (Instant::now() + patience, 0);
        while let Some((_, packet)) = cable.receive(deadline) {
            count += usize::from(packet.windows(8).any(|octets| octets == hello));
            if count > most {
                break;
            }
        }
        count
    };
    let mut pings = Command::new("ip");
    pings.args(["netns", "exec", &net.a, "ping", "-n", "-q", "-i", "0.2", "10.9.9.2"]);
    let mut pings = pings.stdout(Stdio::null()).spawn().expect("ping");
    hellos(Duration::from_secs(3), usize::MAX); // of before
    let meanwhile = hellos(Duration::from_secs(6), 0);
    pings.kill().and_then(|()| pings.wait()).expect("ping ends");
    assert_eq!(meanwhile, 0, "HELLOs beside data");
    assert!(hellos(Duration::from_secs(20), 0) > 0, "no HELLO once no data comes");
    first.stop();
    second.stop();
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
    status(&world, "wire leaves checksums to its other end, which cannot see", true);
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

/// `restart`: frames pass in the kernel all the time, also while neither program runs, and are counted.
fn another_program_goes_on_with_what_is_in_the_kernel() {
    let mut world =
        world(WIRES[0], vec![Variant::new(0, 8, Sublayer::None), Variant::new(1, 4, Sublayer::Default)]);
    status(&world, "Data Plane       :bpf\n", true);
    for variant in &world.variants {
        world.net.ping(&world.net.a, &variant.address(2, false), 56);
    }
    let names = ["rx_frames", "tx_frames"];
    let process = |world: &World| {
        let text = world.first.ctl_ok(&["status"]);
        let number =
            text.split(": process ").nth(1).expect("a process").split(|c: char| !c.is_ascii_digit()).next();
        number.and_then(|number| number.parse::<u32>().ok()).expect("its number")
    };
    let mut pids = vec![process(&world)];
    for turn in 0..5 {
        let before = sum(&world, &names);
        let mut ping = std::process::Command::new("ip");
        ping.args(["netns", "exec", &world.net.a, "ping", "-n", "-q", "-i", "0.002", "-c", "500", "-W", "3"]);
        let address = world.variants[turn % 2].address(2, false);
        let ping = ping.arg(&address).stdout(std::process::Stdio::piped()).spawn().expect("ping");
        world.first.ctl_ok(&["restart"]);
        // Before it has looked at anything.
        let now = process(&world);
        crate::sys::kill(now, libc::SIGSTOP);
        world.net.ping(&world.net.a, &address, 1000);
        crate::sys::kill(now, libc::SIGCONT);
        let output = ping.wait_with_output().expect("ping");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(" 0% packet loss"), "turn {turn}: {text}");
        let after = sum(&world, &names);
        for (before, after) in before.iter().zip(&after) {
            assert!((501..=600).contains(&(after - before)), "turn {turn}: {before} and then {after}");
        }
        assert!(!world.first.ctl_ok(&["status"]).contains("not bpf"), "turn {turn}");
        assert_eq!(tcx_programs(&world.net.a, "wire", true), 1, "turn {turn}");
        assert_eq!(tcx_programs(&world.net.a, "pw0", false), 1, "turn {turn}");
        pids.push(now);
    }
    pids.dedup();
    assert_eq!(pids.len(), 6);
    assert_eq!(world.first.count("*pw0: bpf carries the frames"), 1, "{}", world.first.tail(30));
    // It can do with them what it likes.
    world.net.batch(&world.net.a, "link set pw0 down\n");
    status(&world, "the interface is down", true);
    wait_until(|| tcx_programs(&world.net.a, "pw0", false) == 0, || "a program is left".to_owned());
    world.net.batch(&world.net.a, "link set pw0 up\n");
    wait_until(|| tcx_programs(&world.net.a, "pw0", false) == 1, || world.first.tail(20));
    world.first.kill();
    wait_until(|| tcx_programs(&world.net.a, "wire", true) == 0, || "a program is left".to_owned());
}

fn nothing_is_left_of_a_daemon_that_was_killed() {
    let mut world = world(WIRES[0], vec![Variant::new(0, 8, Sublayer::None)]);
    assert_eq!(tcx_programs(&world.net.a, "wire", true), 1);
    assert_eq!(tcx_programs(&world.net.a, "pw0", false), 1);
    world.first.kill();
    wait_until(|| tcx_programs(&world.net.a, "wire", true) == 0, || "a program is left".to_owned());
}
