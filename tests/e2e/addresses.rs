//! What happens around the daemon to addresses, routes and interfaces: each change is noticed and mended within
//! seconds, where time-outs would take minutes (the HELLO interval is the usual one).
//!
//! `a` is a site whose addresses change; `b` is a hub with `remote-address any`.

use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::net::Net;
use crate::pair::up;
use crate::peer::*;
use crate::tests;

tests!(
    own_address_changes,
    own_ipv6_address_is_deprecated,
    address_of_an_end_that_only_answers_changes,
    fixed_local_address_goes_and_returns,
    default_route_moves_to_another_uplink,
    route_is_withdrawn_and_returns,
    interface_is_renamed,
    network_comes_after_the_daemon,
    hub_waits_for_its_address,
    name_is_looked_up_when_there_is_a_network,
    mtu_follows_what_the_kernel_knows_of_the_path,
    local_address_is_missing,
);

/// Far below what a HELLO's time-outs take, far above what a loaded machine adds.
const SOON: Duration = Duration::from_secs(30);

fn site(peer: &str, tunnel: &str) -> String {
    format!(
        "hostname h1\nrouter-id 10.0.0.1\ntunnel t\n  remote-address {peer}\n  remote-hostname h2\n  \
         remote-router-id 10.0.0.2\n{tunnel}  session l0\n    remote-end-id e\n"
    )
}

fn hub(tunnel: &str) -> String {
    format!(
        "hostname h2\nrouter-id 10.0.0.2\ntunnel t\n  remote-address any\n  remote-hostname h1\n  \
         remote-router-id 10.0.0.1\n{tunnel}  session l0\n    remote-end-id e\n"
    )
}

/// Both ends, up.
fn pair(net: &Net, peer: &str, tunnel: &str) -> (Daemon, Daemon) {
    let mut b = Daemon::start(net, &net.b, &hub(tunnel));
    b.expect("debug l2tpd start");
    let mut a = Daemon::start(net, &net.a, &site(peer, tunnel));
    up(&mut a, 1);
    up(&mut b, 1);
    for (number, name) in [(1, &net.a), (2, &net.b)] {
        net.batch(name, &format!("addr replace 10.9.9.{number}/24 dev l0\n"));
    }
    net.ping(&net.a, "10.9.9.2", 56);
    a.skip_log();
    b.skip_log();
    (a, b)
}

/// The tunnel of `a` is set up anew, soon after `start`.
#[track_caller]
fn anew(net: &Net, a: &mut Daemon, start: Instant) {
    a.expect("info send ICCN, state --> ESTABLISHED");
    let took = start.elapsed();
    println!("{}: back after {took:?}", std::thread::current().name().unwrap_or_default());
    assert!(took < SOON, "{took:?}:\n{}", a.tail(40));
    net.ping(&net.a, "10.9.9.2", 56);
}

/// As after another DHCP lease; over IPv4 and IPv6, IP and UDP.
fn own_address_changes() {
    for (peer, tunnel) in [
        ("192.0.2.2", ""),
        ("192.0.2.2", "  encapsulation udp\n  password x\n"),
        ("2001:db8::2", "  password x\n"),
        ("2001:db8::2", "  encapsulation udp\n"),
    ] {
        let net = Net::new();
        let (mut a, mut b) = pair(&net, peer, tunnel);
        let start = Instant::now();
        let change = match peer.contains(':') {
            true => "addr del 2001:db8::1/64 dev wire\naddr add 2001:db8::77/64 dev wire nodad\n",
            false => "addr del 192.0.2.1/24 dev wire\naddr add 192.0.2.77/24 dev wire\n",
        };
        net.batch(&net.a, change);
        a.expect("info   tunnel t is set up anew: * is not an address of this host any more");
        anew(&net, &mut a, start);
        b.expect("debug [*] we have already tunnel, remote tunnel is invalid?");
        let status = b.ctl_ok(&["status"]);
        assert!(status.contains("192.0.2.77") || status.contains("2001:db8::77"), "{status}");
        a.stop();
        b.stop();
    }
}

/// The address stays, but the system does not choose it any more: the peer hears of it from the old one.
fn own_ipv6_address_is_deprecated() {
    for tunnel in ["", "  encapsulation udp\n"] {
        let net = Net::new();
        let (mut a, mut b) = pair(&net, "2001:db8::2", tunnel);
        // A new address alone is no reason to give up one that works.
        net.batch(&net.a, "addr add 2001:db8::77/64 dev wire nodad\n");
        assert!(!a.sees("*is set up anew*", Duration::from_millis(500)), "{}", a.tail(20));
        let start = Instant::now();
        net.batch(&net.a, "addr change 2001:db8::1/64 dev wire preferred_lft 0 valid_lft forever\n");
        a.expect("info   tunnel t is set up anew: the route to 2001:db8::2 takes the source address *::77*");
        b.expect("info receive StopCCN, state --> IDLE");
        anew(&net, &mut a, start);
        a.stop();
        b.stop();
    }
}

/// It cannot set up anew: it sends from its new address, the other end asks there and follows. Nothing is set up anew.
fn address_of_an_end_that_only_answers_changes() {
    for (peer, tunnel) in [
        ("192.0.2.2", "  password x\n"),
        ("2001:db8::2", "  encapsulation udp\n  password x\n"),
        // A HELLO alone proves nothing here, but its frames make the other end ask.
        ("192.0.2.2", ""),
        ("192.0.2.2", "  encapsulation udp\n"),
    ] {
        let net = Net::new();
        // The recorder knows ends by their addresses.
        net.stranger.store(true, std::sync::atomic::Ordering::Relaxed);
        let own = if peer.contains(':') { "2001:db8::1" } else { "192.0.2.1" };
        let named = hub(&format!("{tunnel}  role active\n"))
            .replace("remote-address any", &format!("remote-address {own}"));
        let mut a = Daemon::start(&net, &net.a, &site(peer, &format!("{tunnel}  role passive\n")));
        a.expect("debug l2tpd start");
        let mut b = Daemon::start(&net, &net.b, &named);
        up(&mut a, 1);
        up(&mut b, 1);
        for (number, name) in [(1, &net.a), (2, &net.b)] {
            net.batch(name, &format!("addr replace 10.9.9.{number}/24 dev l0\n"));
        }
        net.ping(&net.a, "10.9.9.2", 56);
        let change = match peer.contains(':') {
            true => "addr del 2001:db8::1/64 dev wire\naddr add 2001:db8::77/64 dev wire nodad\n",
            false => "addr del 192.0.2.1/24 dev wire\naddr add 192.0.2.77/24 dev wire\n",
        };
        let start = Instant::now();
        net.batch(&net.a, change);
        a.expect("info   tunnel t sends from another address: * is not an address of this host any more");
        net.ping(&net.a, "10.9.9.2", 56);
        b.expect("info   [*] the peer is at *77* now");
        println!("passive end changed its address: back after {:?} at most", start.elapsed());
        assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
        assert_eq!(b.count("*begin new tunnel*"), 1);
        a.stop();
        b.stop();
    }
}

/// `local-address`: no other one will do; when it returns, so does the tunnel.
fn fixed_local_address_goes_and_returns() {
    let net = Net::new();
    net.batch(&net.a, "addr add 192.0.2.50/24 dev wire\n");
    let (mut a, mut b) = pair(&net, "192.0.2.2", "");
    a.stop();
    b.expect("debug [*] cleanup tunnel: t");
    let mut a = Daemon::start(&net, &net.a, &site("192.0.2.2", "  local-address 192.0.2.50\n"));
    up(&mut a, 1);
    net.batch(&net.a, "addr replace 10.9.9.1/24 dev l0\naddr del 192.0.2.50/24 dev wire\n");
    a.expect("info   tunnel t is set up anew: 192.0.2.50 is not an address of this host any more");
    a.expect("error failed to create tunnel");
    let explain = a.ctl_ok(&["explain", "tunnel", "t"]);
    assert!(explain.contains("192.0.2.50: Cannot assign requested address"), "{explain}");
    a.skip_log();
    let start = Instant::now();
    net.batch(&net.a, "addr add 192.0.2.50/24 dev wire\n");
    anew(&net, &mut a, start);
    a.stop();
    b.stop();
}

/// A second cable between the hosts, and an address of the hub behind both. The hub's side takes packets only from
/// the network of the cable that they come by, as providers do.
fn two_uplinks(net: &Net) {
    let (a, b) = (&net.a, &net.b);
    net.batch(a, &format!("link add wire2 type veth peer name wire2 netns {b}\n"));
    net.exec(b, &["sysctl", "-qw", "net.ipv4.conf.all.rp_filter=1"]);
    net.batch(b, "link set wire2 up\naddr add 198.51.100.2/24 dev wire2\naddr add 203.0.113.9/32 dev lo\n");
    net.batch(
        a,
        "link set wire2 up\naddr add 198.51.100.1/24 dev wire2\nroute add default via 192.0.2.2 metric 10\n\
         route add default via 198.51.100.2 metric 20\n",
    );
}

/// The first of two uplinks dies: its default route is withdrawn, its address stays. And back again.
fn default_route_moves_to_another_uplink() {
    let net = Net::new();
    two_uplinks(&net);
    let (mut a, mut b) = pair(&net, "203.0.113.9", "");
    for (change, source) in [
        ("route del default via 192.0.2.2 metric 10\n", "198.51.100.1"),
        ("route add default via 192.0.2.2 metric 10\n", "192.0.2.1"),
    ] {
        let start = Instant::now();
        net.batch(&net.a, change);
        a.expect(&format!("info   tunnel t is set up anew: the route * takes the source address {source}*"));
        anew(&net, &mut a, start);
        let status = a.ctl_ok(&["status"]);
        assert!(status.contains(&format!("Tunnel address: {source} --> 203.0.113.9")), "{status}");
    }
    a.stop();
    b.stop();
}

/// No route at all: this is told at once, and nothing is given up that may be good again.
fn route_is_withdrawn_and_returns() {
    let net = Net::new();
    net.batch(&net.b, "addr add 203.0.113.9/32 dev lo\n");
    net.batch(&net.a, "route add 203.0.113.9/32 via 192.0.2.2\n");
    let (mut a, mut b) = pair(&net, "203.0.113.9", "");
    net.batch(&net.a, "route del 203.0.113.9/32\n");
    let deadline = Instant::now() + SOON;
    while !a.ctl_ok(&["explain", "tunnel", "t"]).contains("no route to 203.0.113.9 any more") {
        assert!(Instant::now() < deadline, "{}", a.ctl_ok(&["explain", "tunnel", "t"]));
    }
    net.batch(&net.a, "route add 203.0.113.9/32 via 192.0.2.2\n");
    a.expect("debug [*] send HELLO*");
    net.ping(&net.a, "10.9.9.2", 56);
    let explain = a.ctl_ok(&["explain", "tunnel", "t"]);
    assert!(!explain.contains("no route"), "{explain}");
    assert_eq!(a.count("*is set up anew*"), 0);
    a.stop();
    b.stop();
}

/// Down, renamed, up: the IPv4 address stays, the IPv6 one has to be added anew.
fn interface_is_renamed() {
    for peer in ["192.0.2.2", "2001:db8::2"] {
        let net = Net::new();
        let (mut a, mut b) = pair(&net, peer, "");
        net.batch(&net.a, "link set wire down\n");
        net.batch(
            &net.a,
            "link set wire name uplink\nlink set uplink up\naddr replace 2001:db8::1/64 dev uplink nodad\n",
        );
        let start = Instant::now();
        net.ping(&net.a, "10.9.9.2", 56);
        assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
        // Before other tools look for it.
        net.batch(&net.a, "link set uplink down\nlink set uplink name wire\n");
        a.kill();
        b.kill();
    }
}

/// The machine boots, and the daemon is there before the network: nothing is wrong with that, and the first attempt
/// comes with the route.
fn network_comes_after_the_daemon() {
    for (peer, tunnel) in [("203.0.113.9", ""), ("2001:db8:9::9", "  encapsulation udp\n")] {
        let net = Net::new();
        let mut b = Daemon::start(&net, &net.b, &hub(tunnel));
        b.expect("debug l2tpd start");
        net.batch(&net.b, "addr add 203.0.113.9/32 dev lo\naddr add 2001:db8:9::9/128 dev lo nodad\n");
        net.batch(&net.a, "addr flush dev wire\nlink set wire down\n");
        let mut a = Daemon::start(&net, &net.a, &site(peer, tunnel));
        a.expect(&format!("info   tunnel t waits: no route to {peer}: Network is unreachable"));
        let explain = a.ctl_ok(&["explain", "tunnel", "t"]);
        assert!(explain.contains(&format!("no route to {peer}")), "{explain}");
        net.batch(
            &net.a,
            "link set wire up\naddr add 192.0.2.1/24 dev wire\naddr add 2001:db8::1/64 dev wire nodad\n",
        );
        let start = Instant::now();
        net.batch(&net.a, "route add default via 192.0.2.2\n");
        net.batch(&net.a, "route add ::/0 via 2001:db8::2\n");
        a.expect(&format!("info [*] begin new tunnel [t] peer:{peer}"));
        assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
        up(&mut a, 1);
        assert_eq!(a.count("error *") + a.count("warn *"), 0, "{}", a.tail(60));
        a.stop();
        b.stop();
    }
}

/// A hub with a `local-address` is there before the network, too.
fn hub_waits_for_its_address() {
    let net = Net::new();
    net.batch(&net.b, "addr flush dev wire\n");
    let mut b = Daemon::start(&net, &net.b, &hub("  local-address 192.0.2.2\n"));
    b.expect("info   tunnel t waits: this host has no address yet");
    net.batch(&net.b, "addr add 192.0.2.2/24 dev wire\n");
    let mut a = Daemon::start(&net, &net.a, &site("192.0.2.2", ""));
    up(&mut a, 1);
    assert_eq!(b.count("error *") + b.count("warn *"), 0, "{}", b.tail(40));
    a.stop();
    b.stop();
}

/// A name is not looked up while there is no address to do it from.
fn name_is_looked_up_when_there_is_a_network() {
    let net = Net::new();
    net.batch(&net.a, "addr flush dev wire\n");
    let mut a = Daemon::start(&net, &net.a, &site("nowhere.invalid", ""));
    a.expect("info   tunnel t waits: this host has no address yet");
    assert_eq!(a.count("error *"), 0, "{}", a.tail(20));
    net.batch(&net.a, "addr add 192.0.2.1/24 dev wire\n");
    // That name does not exist: it was looked up.
    a.expect("error failed to create tunnel");
    a.stop();
}

/// One more host behind `b`, which forwards to it through a link of MTU 1400. It goes away with the value.
struct Behind(String);

impl Behind {
    fn new(net: &Net) -> Behind {
        let c = format!("{}c", net.b.trim_end_matches('b'));
        crate::net::run(&["ip", "netns", "add", &c]);
        let behind = Behind(c);
        let c = &behind.0;
        net.batch(&net.b, &format!("link add far type veth peer name far netns {c}\n"));
        net.batch(
            &net.b,
            "link set far mtu 1400 up\naddr add 203.0.113.1/24 dev far\naddr add 2001:db8:9::1/64 dev far nodad\n",
        );
        net.batch(
            c,
            "link set lo up\nlink set far mtu 1400 up\naddr add 203.0.113.9/24 dev far\n\
             addr add 2001:db8:9::9/64 dev far nodad\nroute add default via 203.0.113.1\n\
             route add ::/0 via 2001:db8:9::1\n",
        );
        for forwarding in ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"] {
            net.exec(&net.b, &["sysctl", "-qw", forwarding]);
        }
        net.batch(
            &net.a,
            "route add 203.0.113.0/24 via 192.0.2.2\nroute add 2001:db8:9::/64 via 2001:db8::2\n",
        );
        behind
    }

    fn set_mtu(&self, net: &Net, mtu: usize) {
        net.batch(&self.0, &format!("link set far mtu {mtu}\n"));
        net.batch(&net.b, &format!("link set far mtu {mtu}\n"));
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        let _ = std::process::Command::new("ip").args(["netns", "del", &self.0]).output();
    }
}

/// Waits until `l0` of `a` has this MTU; how long it took.
#[track_caller]
fn has_mtu(net: &Net, mtu: usize, patience: Duration) -> Duration {
    let start = Instant::now();
    loop {
        let link = net.exec(&net.a, &["ip", "link", "show", "l0"]);
        if link.contains(&format!(" mtu {mtu} ")) {
            return start.elapsed();
        }
        assert!(start.elapsed() < patience, "not {mtu}: {link}");
        // Frames that do not fit, so that a router tells it.
        let _ = net.try_exec(&net.a, &["ping", "-n", "-q", "-c", "1", "-W", "0.2", "-s", "1400", "10.9.9.2"]);
    }
}

/// What ICMP told of the path makes the interface narrower, and when the kernel has forgotten it, wide again.
fn mtu_follows_what_the_kernel_knows_of_the_path() {
    for (peer, outer, expires) in [
        ("203.0.113.9", 20, "net.ipv4.route.mtu_expires=3"),
        ("2001:db8:9::9", 40, "net.ipv6.route.mtu_expires=3"),
    ] {
        let net = Net::new();
        let behind = Behind::new(&net);
        net.exec(&net.a, &["sysctl", "-qw", expires]);
        // Probes would remember what the kernel forgets.
        let tunnel = "  dont-fragment on\n  mtu-probing off\n";
        let mut b = Daemon::start(&net, &behind.0, &hub(tunnel));
        b.expect("debug l2tpd start");
        let mut a = Daemon::start(&net, &net.a, &site(peer, tunnel));
        up(&mut a, 1);
        net.batch(&net.a, "addr replace 10.9.9.1/24 dev l0\n");
        net.batch(&behind.0, "addr replace 10.9.9.2/24 dev l0\n");
        let fitting = |mtu: usize| mtu - outer - 4 - 14 - 4;
        has_mtu(&net, fitting(1400), SOON);
        behind.set_mtu(&net, 1500);
        let took = has_mtu(&net, fitting(1500), Duration::from_secs(40));
        println!("{peer}: the MTU grew back after {took:?}");
        net.ping(&net.a, "10.9.9.2", 1400);
        a.stop();
        b.stop();
    }
}

/// M-009: C-084. When the address appears, the tunnel comes up by itself.
fn local_address_is_missing() {
    let net = Net::new();
    let text = config("", SESSION).replace("local-address 192.0.2.1", "local-address 192.0.2.99");
    let mut daemon = Daemon::start(&net, &net.a, &text);
    daemon.expect("error failed to create tunnel");
    daemon.expect("error failed to create tunnel");
    net.batch(&net.a, "addr add 192.0.2.99/24 dev wire\n");
    daemon.expect("info send SCCRQ, state --> WAIT-CTL-REPLY");
}
