//! `mtu auto` follows what the path carries. The way from `a` to `b` leads through a router, whose link to `b` becomes
//! narrower and wider; the way back does not. Where ICMP is filtered, the router has no route to the address that `a`
//! sends from: what it would tell gets lost.

use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::net::Net;
use crate::pair::{addresses, host, need_python, python, up, wait_until};
use crate::tests;
use crate::wait::PATIENCE;

tests!(
    a_black_hole_in_ipv4,
    a_black_hole_in_ipv6_over_udp,
    a_black_hole_under_a_password,
    a_path_that_is_narrow_from_the_beginning,
    icmp_is_heeded_at_once,
    nothing_is_probed_unless_that_is_wanted,
);

/// What the daemons bind to and call.
fn ends(ipv6: bool) -> [&'static str; 2] {
    if ipv6 {
        ["2001:db8:51::1", "2001:db8:51::2"]
    } else {
        ["198.51.100.1", "198.51.100.2"]
    }
}

/// A network as above, whose router's link to `b` has this MTU; the router's name.
fn network(net: &mut Net, mtu: usize, filtered: bool) -> String {
    let router = net.host();
    for (name, device, far, number) in [(&net.a, "near", "toa", 1), (&net.b, "back", "tob", 2)] {
        let ours = format!("203.0.113.{}/30", 4 * number + 1);
        let its = format!("203.0.113.{}/30", 4 * number + 2);
        net.cable((name, device, &ours), (&router, far, &its));
        net.batch(name, &format!("addr add 2001:db8:{number}::1/64 dev {device} nodad\n"));
        net.batch(&router, &format!("addr add 2001:db8:{number}::2/64 dev {far} nodad\n"));
    }
    for (name, number) in [(&net.a, 1), (&net.b, 2)] {
        net.batch(
            name,
            &format!(
                "addr add 198.51.100.{number}/32 dev lo\naddr add 2001:db8:51::{number}/128 dev lo nodad\n"
            ),
        );
    }
    net.batch(
        &net.a,
        "route add 198.51.100.2 via 203.0.113.6 src 198.51.100.1\n\
         route add 2001:db8:51::2 via 2001:db8:1::2 src 2001:db8:51::1\n",
    );
    net.batch(
        &router,
        "route add 198.51.100.2 via 203.0.113.9\nroute add 2001:db8:51::2 via 2001:db8:2::1\n",
    );
    net.batch(
        &net.b,
        "route add 198.51.100.1 via 192.0.2.1 src 198.51.100.2\n\
         route add 2001:db8:51::1 via 2001:db8::1 src 2001:db8:51::2\n",
    );
    if !filtered {
        net.batch(
            &router,
            "route add 198.51.100.1 via 203.0.113.5\nroute add 2001:db8:51::1 via 2001:db8:1::1\n",
        );
    }
    for name in [&net.a, &net.b, &router] {
        for option in ["ipv4.conf.all.rp_filter=0", "ipv4.conf.default.rp_filter=0"] {
            net.exec(name, &["sysctl", "-qw", &format!("net.{option}")]);
        }
        for device in net.exec(name, &["ls", "/sys/class/net"]).split_whitespace() {
            net.exec(name, &["sysctl", "-qw", &format!("net.ipv4.conf.{device}.rp_filter=0")]);
        }
    }
    for option in ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"] {
        net.exec(&router, &["sysctl", "-qw", option]);
    }
    set_mtu(net, &router, mtu);
    router
}

/// The router's link to `b` carries so much from now on. The sender's end is the last that changes: what it lets leave
/// always arrives.
fn set_mtu(net: &Net, router: &str, mtu: usize) {
    net.batch(&net.b, "link set back mtu 1500\n");
    net.batch(router, &format!("link set tob mtu {mtu}\n"));
}

/// Starts both ends; `tunnel` and `session` are further lines of the blocks.
fn start(net: &Net, ipv6: bool, tunnel: &str, session: &str) -> (Daemon, Daemon) {
    let [one, two] = ends(ipv6);
    let end = |number: u8, local: &str, remote: &str| {
        let lines = format!("{tunnel}  local-address {local}\n  remote-address {remote}\n");
        host(number, "", &lines, session)
    };
    let mut b = Daemon::start(net, &net.b, &end(2, two, one));
    b.expect("debug l2tpd start");
    let mut a = Daemon::start(net, &net.a, &end(1, one, two));
    up(&mut a, 1);
    up(&mut b, 1);
    addresses(net);
    (a, b)
}

fn mtu(net: &Net, interface: &str) -> usize {
    let file = format!("/sys/class/net/{interface}/mtu");
    net.exec(&net.a, &["cat", &file]).trim().parse().expect("MTU")
}

/// Waits until interfaces of `a` have this MTU.
#[track_caller]
fn become_mtu(net: &Net, interfaces: &[&str], expected: usize) {
    let start = Instant::now();
    while interfaces.iter().any(|interface| mtu(net, interface) != expected) {
        let now: Vec<usize> = interfaces.iter().map(|interface| mtu(net, interface)).collect();
        assert!(start.elapsed() < PATIENCE, "not {expected}: {now:?}");
        // Somebody is always talking, and it takes a moment.
        let _ = net.try_exec(&net.a, &["ping", "-n", "-q", "-c", "1", "-W", "0.2", "10.9.9.2"]);
    }
}

/// What the tunnel says of its path.
fn shown(a: &Daemon) -> String {
    python(&a.ctl_ok(&["--json", "status"]), "[(t['path_mtu'], t['path_mtu_state']) for t in v['tunnels']]")
}

fn black_hole(ipv6: bool, tunnel: &str, header: usize) {
    need_python();
    let mut net = Net::new();
    let router = network(&mut net, 1500, true);
    let (mut a, b) = start(&net, ipv6, tunnel, "    bridge br7\n");
    // The bridge has the address: it takes the smallest MTU of its ports.
    net.batch(&net.a, "addr del 10.9.9.1/24 dev l0\naddr add 10.9.9.1/24 dev br7\nlink set br7 up\n");
    net.batch(&net.b, "addr del 10.9.9.2/24 dev l0\naddr add 10.9.9.2/24 dev br7\nlink set br7 up\n");
    let fitting = |path: usize| path - header - 14;
    become_mtu(&net, &["l0", "br7"], fitting(1500));
    let known = "[(1500, 'search-complete')]";
    wait_until(|| shown(&a) == known, || format!("the path is not probed: {}", shown(&a)));
    net.ping(&net.a, "10.9.9.2", fitting(1500) - 28);
    a.skip_log();
    set_mtu(&net, &router, 1400);
    let start = Instant::now();
    become_mtu(&net, &["l0", "br7"], fitting(1400));
    println!("IPv6 {ipv6}: what the path carries was found {:?} after it had become less", start.elapsed());
    let base = if ipv6 { 1280 } else { 1200 };
    a.expect(&format!(
        "info   l0: mtu {}, it was {}: the path carries packets of {base} octets",
        fitting(base),
        fitting(1500)
    ));
    a.expect(&format!(
        "info   l0: mtu {}, it was {}: the path carries packets of 1400 octets",
        fitting(1400),
        fitting(base)
    ));
    net.ping(&net.a, "10.9.9.2", fitting(1400) - 28);
    assert_eq!(shown(&a), "[(1400, 'search-complete')]");
    // Nobody took the tunnel for dead.
    for mut daemon in [a, b] {
        assert_eq!(daemon.count("*CleanupTunnel*") + daemon.count("* receive STOPCCN*"), 0);
        assert_eq!(crate::pair::established(&daemon), 1, "{}", daemon.tail(40));
        daemon.stop();
    }
}

fn a_black_hole_in_ipv4() {
    black_hole(false, "", 20 + 4);
}

fn a_black_hole_in_ipv6_over_udp() {
    black_hole(true, "  encapsulation udp\n", 40 + 12 + 4);
}

fn a_black_hole_under_a_password() {
    black_hole(false, "  password secret\n  hidden on\n  dont-fragment on\n", 20 + 4 + 4);
}

/// It comes up, and the interface fits soon.
fn a_path_that_is_narrow_from_the_beginning() {
    for (ipv6, outer) in [(false, 20), (true, 40)] {
        let mut net = Net::new();
        network(&mut net, 1337, true);
        let (mut a, mut b) = start(&net, ipv6, "", "");
        become_mtu(&net, &["l0"], 1337 - outer - 4 - 14);
        net.ping(&net.a, "10.9.9.2", 1337 - outer - 4 - 14 - 28);
        a.stop();
        b.stop();
    }
}

/// Where the router can tell, one probe is enough: nothing is searched, and nothing goes below what the path carries.
fn icmp_is_heeded_at_once() {
    for (ipv6, outer) in [(false, 20), (true, 40)] {
        let mut net = Net::new();
        let router = network(&mut net, 1500, false);
        let (mut a, mut b) = start(&net, ipv6, "", "");
        let fitting = |path: usize| path - outer - 4 - 14;
        become_mtu(&net, &["l0"], fitting(1500));
        a.skip_log();
        set_mtu(&net, &router, 1400);
        become_mtu(&net, &["l0"], fitting(1400));
        a.expect(&format!("info   l0: mtu {}, it was {}: *", fitting(1400), fitting(1500)));
        net.ping(&net.a, "10.9.9.2", fitting(1400) - 28);
        assert_eq!(a.count("*it was*"), 1, "{}", a.tail(40));
        a.stop();
        b.stop();
    }
}

/// The interface keeps the MTU of the link.
fn nothing_is_probed_unless_that_is_wanted() {
    need_python();
    let mut net = Net::new();
    network(&mut net, 1400, true);
    let (mut a, mut b) = start(&net, false, "  mtu-probing off\n  hello-interval 0.5\n", "");
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(3) {
        net.ping(&net.a, "10.9.9.2", 1000);
        assert_eq!(mtu(&net, "l0"), 1500 - 20 - 4 - 14);
    }
    assert_eq!(shown(&a), "[(None, None)]");
    a.stop();
    b.stop();
}
