//! `data-plane bpf`: what the programs carry passes while the daemon stands still; what they must not carry does not.

pub mod many;
pub mod policies;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::daemon::{write_config, Daemon, PATIENCE};
use crate::net::Net;
use crate::packet::PacketSocket;
use crate::sys::{in_netns, tcx_program, tcx_programs};
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
    a_cable_that_leaves_checksums_gets_finished_ones,
    tcp_is_joined_and_cut,
    without_interfaces_of_its_own,
    another_route_is_followed,
    several_underlays,
    beside_programs_of_others,
    an_interface_that_is_down_gets_nothing,
    another_program_goes_on_with_what_is_in_the_kernel,
    what_another_program_does_not_go_on_with_ends,
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

/// What is a neighbour stays one: ARP is for the daemon, and nobody answers it while that stands still.
fn keep_neighbours(world: &World) {
    for name in [&world.net.a, &world.net.b] {
        for variant in &world.variants {
            let interface = &variant.interface;
            let found = world.net.exec(name, &["ip", "-4", "neigh", "show", "dev", interface]);
            // ADDRESS lladdr ADDRESS STATE
            let known = found.lines().filter_map(|line| line.split_once(" lladdr "));
            let keep = |(address, rest): (&str, &str)| {
                let there = rest.split(' ').next().unwrap_or_default();
                format!("neigh replace {address} lladdr {there} dev {interface} nud permanent\n")
            };
            let commands: String = known.map(keep).collect();
            assert!(!commands.is_empty(), "no neighbour at {interface}: {found}");
            world.net.batch(name, &commands);
        }
    }
}

/// Pings with neither daemon's help.
#[track_caller]
fn ping_in_kernel(world: &World) {
    keep_neighbours(world);
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
    for wire in WIRES {
        let mut world = World::new(wire, vec![Variant::new(0, 8, Sublayer::None)], false, 1500);
        world.first.expect("info   data-plane auto: bpf: *");
        status(&world, "tap (not bpf: wire leaves checksums to its other end: the daemon", true);
        assert_eq!(world.first.count("info   pw0: *"), 0, "{}", world.first.tail(20));
        let finished = |word| {
            for name in [&world.net.a, &world.net.b] {
                world.net.exec(name, &["ethtool", "-K", "wire", "tx", word]);
            }
        };
        finished("off");
        if wire.udp && wire.ipv6 {
            status(&world, "tap (not bpf: over UDP and IPv6 the daemon is faster with TCP)", true);
            world.finish();
            continue;
        }
        world.first.expect("info   pw0: bpf carries the frames");
        world.net.batch(&world.net.a, "link add br9 type bridge\nlink set pw0 master br9\n");
        let other = second(&world);
        wait_until(|| other.ctl_ok(&["status"]).contains("Data Plane       :bpf\n"), || other.tail(20));
        status(&world, "Data Plane       :bpf\n", true);
        world.net.batch(&world.net.a, "link set pw0 nomaster\n");
        ping_in_kernel(&world);
        status(&world, "Data Plane       :bpf\n", true);
        finished("on");
        world.first.expect("info   pw0: the daemon carries the frames, bpf does not: wire leaves checksums*");
        world.finish();
    }
}

/// May not make a network namespace, as in many containers: then each way of TCP is its own.
const CONFINED: &[&str] = &["setpriv", "--bounding-set", "-sys_admin"];

fn without_interfaces_of_its_own() {
    let net = Net::new();
    let config = |host: u32, plane| {
        let manual = |id, encapsulation| {
            let other = 3 - host;
            format!(
                "tunnel t{id}\n  encapsulation {encapsulation}\n  local-address 192.0.2.{host}\n  remote-address \
                 192.0.2.{other}\n  session pw{id}\n    manual {id}{host} {id}{other}\n"
            )
        };
        let head = format!("hostname h{host}\nrouter-id 10.0.0.{host}\ndata-plane {plane}\n");
        head + &manual(1, "udp") + &manual(2, "ip")
    };
    let mut second = Daemon::start(&net, &net.b, &config(2, "bpf"));
    for plane in ["auto", "bpf"] {
        let mut first = Daemon::start_under(&net, &net.a, &config(1, plane), CONFINED, &[]);
        let interfaces = || net.exec(&net.a, &["ip", "-br", "link"]);
        wait_until(|| interfaces().contains("pw1") && interfaces().contains("pw2"), || first.tail(20));
        assert!(!interfaces().contains("l2tpd-"), "{}", interfaces());
        let shows = |words: &str| wait_until(|| first.ctl_ok(&["status"]).contains(words), || first.tail(20));
        shows("wire leaves checksums to its other end");
        if plane == "bpf" {
            shows("and there are no interfaces l2tpd-gro and l2tpd-gso: ");
        }
        net.exec(&net.a, &["ethtool", "-K", "wire", "tx", "off"]);
        shows("Data Plane       :bpf\n");
        if plane == "auto" {
            shows("tap (not bpf: over IP the daemon is faster with TCP: there are no interfaces l2tpd-gro");
            net.batch(&net.a, "link add br9 type bridge\nlink set pw1 master br9\n");
            shows("tap (not bpf: in a bridge the daemon is faster with TCP, whose frames it joins: there are no");
            net.batch(&net.a, "link del br9\n");
        }
        net.exec(&net.a, &["ethtool", "-K", "wire", "tx", "on"]);
        first.stop();
    }
    assert!(net.exec(&net.b, &["ip", "-br", "link"]).contains("l2tpd-gso0"));
    second.stop();
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
    keep_neighbours(&world);
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

/// The other end is a program that sees the checksums of frames as they come.
fn a_cable_that_leaves_checksums_gets_finished_ones() {
    PLANE.set(Some("bpf"));
    for wire in [WIRES[0], WIRES[1], WIRES[2]] {
        let world = World::new(wire, vec![Variant::new(0, 8, Sublayer::None)], true, 1500);
        for name in [&world.net.a, &world.net.b] {
            world.net.exec(name, &["ethtool", "-K", "wire", "tx", "on"]);
        }
        status(&world, "Data Plane       :bpf\n", true);
        tcp(&world, false);
        tcp(&world, true);
        world.finish();
    }
}

/// Octets through a connection from host 1 to host 2, with the first daemon standing still.
fn tcp(world: &World, ipv6: bool) {
    const OCTETS: usize = 2_000_000;
    let address = |host| world.variants[0].address(host, ipv6).parse::<std::net::IpAddr>().expect("address");
    world.net.ping(&world.net.a, &address(2).to_string(), 56);
    let listener = in_netns(&world.net.b, || TcpListener::bind((address(2), 5001)).expect("socket"));
    hold(&world.first, || {
        let end = listener.local_addr().expect("address");
        let mut to =
            in_netns(&world.net.a, || TcpStream::connect_timeout(&end, PATIENCE).expect("connected"));
        let (mut from, _) = listener.accept().expect("accepted");
        for stream in [&to, &from] {
            stream.set_read_timeout(Some(PATIENCE)).expect("time-out");
            stream.set_write_timeout(Some(PATIENCE)).expect("time-out");
        }
        let data: Vec<u8> = (0..OCTETS).map(|at| (at * 7 + at / 251) as u8).collect();
        let sent = data.clone();
        let sender = std::thread::spawn(move || to.write_all(&sent).map(|()| to));
        let mut got = vec![0; OCTETS];
        from.read_exact(&mut got).expect("all of it");
        sender.join().expect("a thread").expect("sent");
        assert!(got == data, "other octets came");
    });
}

/// What the system counts at an interface.
fn packets(net: &str, interface: &str, what: &str) -> u64 {
    let file = format!("/sys/class/net/{interface}/statistics/{what}");
    let text = Command::new("ip").args(["netns", "exec", net, "cat", &file]).output().expect("ip").stdout;
    String::from_utf8_lossy(&text).trim().parse().expect("a number")
}

/// Segments are one super-frame for the system that receives them; over IP what it sends is cut before. Without the
/// interfaces the daemon has to do it, until they are back.
fn tcp_is_joined_and_cut() {
    for wire in WIRES {
        let world = world(wire, vec![Variant::new(0, 8, Sublayer::None)]);
        status(&world, "Data Plane       :bpf\n", true);
        let [joined, cut] = ["l2tpd-gro0", "l2tpd-gso0"];
        let counts =
            |net: &str, interface| ["tx_packets", "rx_packets"].map(|what| packets(net, interface, what));
        let before = [counts(&world.net.b, joined), counts(&world.net.a, cut)];
        hold(second(&world), || tcp(&world, false));
        hold(second(&world), || tcp(&world, true));
        let after = [counts(&world.net.b, joined), counts(&world.net.a, cut)];
        let [sent, back] = [0, 1].map(|at| after[0][at] - before[0][at]);
        assert!(sent > 2000 && back * 2 < sent, "{wire:?}: {sent} segments became {back}");
        let direct = wire.udp && !wire.ipv6;
        assert_eq!(after[1][1] - before[1][1] > 2000, !direct, "{wire:?}: {before:?} {after:?}");
        if direct {
            world.net.exec(&world.net.a, &["ethtool", "-K", "wire", "tx", "on"]);
        }
        world.net.batch(&world.net.a, "link set l2tpd-gso0 down\n");
        status(&world, "see those of the frames (ethtool -K wire tx off), and l2tpd-gso0 is down", true);
        world.net.batch(&world.net.a, "link set l2tpd-gso0 up\n");
        status(&world, "Data Plane       :bpf\n", true);
        hold(second(&world), || tcp(&world, false));
        world.net.batch(&world.net.a, "link del l2tpd-gro0\n");
        status(&world, "and somebody has deleted interfaces l2tpd-gro and l2tpd-gso", true);
        world.finish();
    }
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

/// Two sessions with peers that are reached by different interfaces; then both by one.
fn several_underlays() {
    let net = Net::new();
    net.batch(&net.a, &format!("link add wire2 type veth peer name wire2 netns {}\n", net.b));
    for (name, host) in [(&net.a, 1), (&net.b, 2)] {
        net.batch(name, &format!("addr add 198.51.100.{host}/24 dev wire2\nlink set wire2 up\n"));
        for wire in ["wire", "wire2"] {
            net.exec(name, &["ethtool", "-K", wire, "tx", "off"]);
        }
    }
    let config = |host: u32| {
        let tunnel = |id: u32, network| {
            format!(
                "tunnel t{id}\n  encapsulation udp\n  local-address {network}.{host}\n  remote-address \
                 {network}.{}\n  session pw{id}\n    manual {id}{host} {id}{}\n",
                3 - host,
                3 - host
            )
        };
        let head = format!("hostname h{host}\nrouter-id 10.0.0.{host}\ndata-plane bpf\n");
        head + &tunnel(0, "192.0.2") + &tunnel(1, "198.51.100")
    };
    let mut second = Daemon::start(&net, &net.b, &config(2));
    let mut first = Daemon::start(&net, &net.a, &config(1));
    let carried = |count| first.ctl_ok(&["status"]).matches("Data Plane       :bpf\n").count() == count;
    for (name, host) in [(&net.a, 1), (&net.b, 2)] {
        let daemon = if host == 1 { &first } else { &second };
        let interfaces = || net.exec(name, &["ip", "-br", "link"]);
        wait_until(|| ["pw0", "pw1"].iter().all(|pw| interfaces().contains(pw)), || daemon.tail(20));
        let address = |id| format!("addr add 10.9.{id}.{host}/24 dev pw{id}\nlink set pw{id} up\n");
        net.batch(name, &(address(0) + &address(1)));
    }
    let programs = |interface| tcx_programs(&net.a, interface, true);
    let both = || [0, 1].into_iter().for_each(|id| net.ping(&net.a, &format!("10.9.{id}.2"), 1000));
    wait_until(|| carried(2) && (programs("wire"), programs("wire2")) == (1, 1), || first.tail(20));
    both();
    hold(&first, both);
    // The other network is reached by the first interface now.
    for (name, host) in [(&net.a, 1), (&net.b, 2)] {
        net.batch(
            name,
            &format!("addr del 198.51.100.{host}/24 dev wire2\naddr add 198.51.100.{host}/24 dev wire\n"),
        );
    }
    wait_until(|| carried(2) && (programs("wire"), programs("wire2")) == (1, 0), || first.tail(20));
    both();
    hold(&first, both);
    first.stop();
    second.stop();
}

/// What others say of a packet counts where they are asked first; what is not for us goes on to them.
fn beside_programs_of_others() {
    let [next, pass, dropped] = [-1, 0, 2];
    let world = world(WIRES[0], vec![Variant::new(0, 8, Sublayer::None)]);
    let (net, address) = (&world.net, world.variants[0].address(2, false));
    net.ping(&net.a, &world.variants[0].address(2, true), 56);
    ping_in_kernel(&world);
    let at_egress = |verdict| tcx_program(&net.a, "pw0", false, verdict);
    let program = at_egress(next);
    ping_in_kernel(&world);
    drop(program);
    let program = at_egress(dropped);
    assert!(!net.answers(&net.a, &address), "another program had dropped it");
    drop(program);
    let program = at_egress(pass);
    let sent = packets(&net.a, "pw0", "tx_packets");
    net.ping(&net.a, &address, 1000);
    assert!(packets(&net.a, "pw0", "tx_packets") > sent, "the daemon sends it");
    drop(program);
    let program = tcx_program(&net.a, "wire", true, dropped);
    ping_in_kernel(&world);
    assert!(!net.answers(&net.b, "192.0.2.1"), "it is not for us, and the next one drops it");
    drop(program);
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

/// The number of the process that host 1 runs.
fn process(world: &World) -> u32 {
    let text = world.first.ctl_ok(&["status"]);
    let number =
        text.split(": process ").nth(1).expect("a process").split(|c: char| !c.is_ascii_digit()).next();
    number.and_then(|number| number.parse::<u32>().ok()).expect("its number")
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
    let mut pids = vec![process(&world)];
    keep_neighbours(&world);
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
        assert_eq!(filters(&world, "pw0"), 1, "turn {turn}");
        pids.push(now);
    }
    pids.dedup();
    assert_eq!(pids.len(), 6);
    assert_eq!(world.first.count("*pw0: bpf carries the frames"), 1, "{}", world.first.tail(30));
    // The interfaces that join and cut are the same ones, and those of the new programs are gone.
    let own = || {
        let links = world.net.exec(&world.net.a, &["ip", "-br", "link"]);
        links.lines().filter_map(|line| line.split('@').next()).filter(|n| n.starts_with("l2tpd-")).count()
    };
    wait_until(|| own() == 2, || world.net.exec(&world.net.a, &["ip", "link"]));
    assert!(world.net.exec(&world.net.a, &["ip", "-br", "link"]).contains("l2tpd-gro0@"));
    // It can do with them what it likes.
    world.net.batch(&world.net.a, "link set pw0 down\n");
    status(&world, "the interface is down", true);
    world.net.batch(&world.net.a, "link set pw0 up\n");
    status(&world, "not bpf", false);
    assert_eq!(filters(&world, "pw0"), 1);
    world.first.kill();
    wait_until(|| tcx_programs(&world.net.a, "wire", true) == 0, || "a program is left".to_owned());
}

/// The programs at the egress of an interface of host 1.
fn filters(world: &World, interface: &str) -> usize {
    let filters = world.net.exec(&world.net.a, &["tc", "filter", "show", "dev", interface, "egress"]);
    filters.matches(" l2tpd_egress direct-action ").count()
}

/// A program that goes on without what the other one had in the kernel leaves nothing of it at work.
fn what_another_program_does_not_go_on_with_ends() {
    let world = world(WIRES[0], vec![Variant::new(0, 8, Sublayer::None)]);
    status(&world, "Data Plane       :bpf\n", true);
    let address = world.variants[0].address(2, false);
    world.net.ping(&world.net.a, &address, 56);
    let config = std::fs::read_to_string(&world.first.config).expect("configuration");
    write_config(&world.first.config, &config.replace("data-plane bpf", "data-plane tap"));
    let before = process(&world);
    world.first.ctl_ok(&["restart"]);
    wait_until(|| process(&world) != before, || world.first.tail(20));
    status(&world, "Data Plane       :tap\n", true);
    keep_neighbours(&world);
    world.net.ping(&world.net.a, &address, 1000);
    let sent = || packets(&world.net.a, "pw0", "tx_packets");
    let before = sent();
    world.net.ping(&world.net.a, &address, 1000);
    assert!(sent() > before, "the frames did not get to the interface");
    assert_eq!(tcx_programs(&world.net.a, "wire", true), 0);
    world.end();
}

fn nothing_is_left_of_a_daemon_that_was_killed() {
    let mut world = world(WIRES[0], vec![Variant::new(0, 8, Sublayer::None)]);
    assert_eq!(tcx_programs(&world.net.a, "wire", true), 1);
    assert_eq!(filters(&world, "pw0"), 1);
    let links = || world.net.exec(&world.net.a, &["ip", "-br", "link"]);
    assert!(links().contains("l2tpd-gro0@") && links().contains("l2tpd-gso0@"), "{}", links());
    world.first.kill();
    wait_until(|| tcx_programs(&world.net.a, "wire", true) == 0, || "a program is left".to_owned());
    wait_until(|| !links().contains("l2tpd-"), links);
}
