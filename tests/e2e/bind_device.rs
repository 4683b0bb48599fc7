//! `bind-device` and `fwmark`. Where the kernel has VRFs the devices are two VRFs, else two interfaces; `real_peers` has
//! VRFs in any case, in a virtual machine.

use crate::daemon::{write_config, Daemon};
use crate::net::Net;
use crate::pair::{need_python, passes_again, python, up, wait_for};
use crate::tests;

tests!(
    one_address_at_two_devices_over_ip,
    one_address_at_two_devices_over_udp,
    device_goes_and_returns,
    the_device_is_an_interface_of_ours,
    a_device_that_is_not_there_yet,
    routes_are_looked_up_with_the_mark,
    reload_changes_device_and_mark,
);

const ENDS: &str = "  local-address 192.0.2.1\n  remote-address 192.0.2.2\n  remote-hostname h2\n  \
                    remote-router-id 10.0.0.2\n";

/// The block of a tunnel to the host with that address, with these further tags, and of its session.
fn tunnel(name: &str, tags: &str, session: &str) -> String {
    let tags = format!("  retry 3\n  retry-interval 0.1\n  hello-interval 1\n{tags}");
    format!("tunnel {name}\n{tags}  session {session}\n    remote-end-id e\n    cookie 8\n")
}

fn site(blocks: &[String]) -> String {
    format!("hostname h1\nrouter-id 10.0.0.1\nrestart-interval 1\n{}", blocks.concat())
}

/// The other end: it binds to no device.
fn other(tags: &str) -> String {
    let ends = "  remote-hostname h1\n  remote-router-id 10.0.0.1\n";
    format!(
        "hostname h2\nrouter-id 10.0.0.2\nrestart-interval 1\n{}",
        tunnel("t", &format!("{tags}{ends}"), "l0")
    )
}

/// Puts an interface of the site into a VRF, if there are any; the device to bind to.
fn vrf(net: &Net, device: &str, table: u32) -> String {
    let name = format!("v{table}");
    let table = table.to_string();
    if net.try_exec(&net.a, &["ip", "link", "add", &name, "type", "vrf", "table", &table]).status.success() {
        net.batch(&net.a, &format!("link set {name} up\nlink set {device} master {name}\n"));
        return name;
    }
    println!("no VRFs here: bound to {device} itself");
    device.to_owned()
}

/// The addresses of a session's interface at both ends.
fn address(net: &Net, (near, interface): (&str, &str), far: &str, number: u8) {
    net.batch(near, &format!("addr replace 10.9.{number}.1/24 dev {interface}\n"));
    net.batch(far, &format!("addr replace 10.9.{number}.2/24 dev l0\n"));
}

fn one_address_at_two_devices_over_ip() {
    one_address_at_two_devices("ip");
}

fn one_address_at_two_devices_over_udp() {
    one_address_at_two_devices("udp");
}

/// Three peers: two that call themselves the same, at the same address, each behind a device of its own; and one that
/// is reached without, by a socket for any address. None of the three gets what is for the others.
fn one_address_at_two_devices(encapsulation: &str) {
    need_python();
    let mut net = Net::new();
    let (c, d) = (net.host(), net.host());
    net.cable((&net.a, "wire2", "192.0.2.1/24"), (&c, "far", "192.0.2.2/24"));
    net.cable((&net.a, "wire3", "203.0.113.1/24"), (&d, "far", "203.0.113.2/24"));
    let (red, blue) = (vrf(&net, "wire", 10), vrf(&net, "wire2", 20));
    let speaks = format!("  encapsulation {encapsulation}\n");
    let answers =
        other(&format!("{speaks}  role passive\n  local-address 192.0.2.2\n  remote-address 192.0.2.1\n"));
    let third = other(&format!(
        "{speaks}  role passive\n  local-address 203.0.113.2\n  remote-address 203.0.113.1\n"
    ));
    let mut peers = [(&net.b, &answers), (&c, &answers), (&d, &third)].map(|(netns, config)| {
        let mut peer = Daemon::start(&net, netns, config);
        peer.expect("debug l2tpd start");
        peer
    });
    let plain = "  remote-address 203.0.113.2\n  remote-hostname any\n  remote-router-id any\n";
    let mut a = Daemon::start(
        &net,
        &net.a,
        &site(&[
            tunnel("red", &format!("{speaks}{ENDS}  bind-device {red}\n"), "l1"),
            tunnel("blue", &format!("{speaks}{ENDS}  bind-device {blue}\n"), "l2"),
            tunnel("plain", &format!("{speaks}{plain}"), "l3"),
        ]),
    );
    up(&mut a, 3);
    for (number, netns) in [(1, &net.b), (2, &c), (3, &d)] {
        address(&net, (&net.a, &format!("l{number}")), netns, number);
        net.ping(&net.a, &format!("10.9.{number}.2"), 56);
    }
    for peer in &mut peers {
        up(peer, 1);
        assert_eq!(peer.count("*begin new tunnel*"), 0, "{}", peer.tail(30));
    }
    // Nothing came to the wrong socket, neither messages nor frames.
    let status = a.ctl_ok(&["--json", "status"]);
    let strays = "sum(v['drops'].values()), sum(v['strays'].values()), len(v['dropped_from'])";
    assert_eq!(python(&status, strays), "0 0 0", "{status}");
    let dropped = "[c for t in v['tunnels'] for s in t['sessions'] for c in s['counters'].items() if 'source' in c[0] and c[1]]";
    assert_eq!(python(&status, dropped), "[]", "{status}");
    a.stop();
}

/// An interface of the same name is another one when it comes back: sockets are bound to it again.
fn device_goes_and_returns() {
    for encapsulation in ["ip", "udp"] {
        let mut net = Net::new();
        let c = net.host();
        let cable =
            |net: &Net| net.cable((&net.a, "wire2", "198.51.100.1/24"), (&c, "far", "198.51.100.2/24"));
        cable(&net);
        let ends = "  local-address 198.51.100.2\n  remote-address 198.51.100.1\n";
        let mut peer = Daemon::start(&net, &c, &other(&format!("  encapsulation {encapsulation}\n{ends}")));
        peer.expect("debug l2tpd start");
        let ends = "  local-address 198.51.100.1\n  remote-address 198.51.100.2\n  bind-device wire2\n  \
                    remote-hostname any\n  remote-router-id any\n";
        let block = tunnel("t", &format!("  encapsulation {encapsulation}\n{ends}"), "l0");
        let mut a = Daemon::start(&net, &net.a, &site(&[block]));
        up(&mut a, 1);
        net.batch(&net.a, "link del wire2\n");
        wait_for("the tunnel goes down", || (!is_up(&a)).then_some(()));
        a.skip_log();
        cable(&net);
        a.expect("info * ICCN, state --> ESTABLISHED");
        address(&net, (&net.a, "l0"), &c, 9);
        passes_again(&net);
        a.stop();
    }
}

/// A tunnel in a tunnel: the interface that it is bound to is a session's, which makes it anew when it is deleted.
fn the_device_is_an_interface_of_ours() {
    let net = Net::new();
    let blocks = |host: u8, tags: &str| {
        let ends = |subnet: &str| {
            let (here, there) = (format!("{subnet}.{host}"), format!("{subnet}.{}", 3 - host));
            format!("  local-address {here}\n  remote-address {there}\n  remote-hostname any\n  remote-router-id any\n")
        };
        let outer = tunnel("outer", &ends("192.0.2"), "l0");
        let text = site(&[outer, tunnel("t", &(ends("10.9.9") + tags), "l1")]);
        text.replace("hostname h1\nrouter-id 10.0.0.1", &format!("hostname h{host}\nrouter-id 10.0.0.{host}"))
    };
    let mut b = Daemon::start(&net, &net.b, &blocks(2, "  role passive\n"));
    let mut a = Daemon::start(&net, &net.a, &blocks(1, "  bind-device l0\n"));
    a.expect("info * ICCN, state --> ESTABLISHED");
    address(&net, (&net.a, "l0"), &net.b, 9);
    wait_for("the inner tunnel", || is_up(&a).then_some(()));
    net.batch(&net.a, "link del l0\n");
    wait_for("it goes down", || (!is_up(&a)).then_some(()));
    let again =
        || net.try_exec(&net.a, &["ip", "addr", "replace", "10.9.9.1/24", "dev", "l0"]).status.success();
    wait_for("the interface is made anew", || again().then_some(()));
    wait_for("the inner tunnel is back", || is_up(&a).then_some(()));
    a.stop();
    b.stop();
}

/// Whether the tunnel `t` is established.
fn is_up(daemon: &Daemon) -> bool {
    daemon.ctl_ok(&["status", "tunnel", "t"]).contains("State            :established\n")
}

/// The tunnel waits for its interface, and says so; it is tried when the interface comes.
fn a_device_that_is_not_there_yet() {
    let mut net = Net::new();
    let c = net.host();
    let ends = "  local-address 198.51.100.1\n  remote-address 198.51.100.2\n  bind-device wire2\n  \
                remote-hostname any\n  remote-router-id any\n  restart-interval 3600\n  restart-interval-max 3600\n";
    let mut a = Daemon::start(&net, &net.a, &site(&[tunnel("t", ends, "l0")]));
    a.expect("info   tunnel t waits: no route to 198.51.100.2: there is no interface wire2");
    let ends = "  local-address 198.51.100.2\n  remote-address 198.51.100.1\n  role passive\n";
    let mut peer = Daemon::start(&net, &c, &other(ends));
    peer.expect("debug l2tpd start");
    net.cable((&net.a, "wire2", "198.51.100.1/24"), (&c, "far", "198.51.100.2/24"));
    up(&mut a, 1);
    a.stop();
}

/// What only a rule for the mark leads to: for messages and frames, and the MTU is that of the route that they take.
/// Beside it there is a tunnel without mark, from the same address.
fn routes_are_looked_up_with_the_mark() {
    for encapsulation in ["ip", "udp"] {
        let net = Net::new();
        net.batch(&net.b, "addr add 198.51.100.2/32 dev lo\n");
        net.batch(
            &net.a,
            "route add 198.51.100.2/32 via 192.0.2.2 table 100 mtu 1400\nrule add fwmark 0x10 lookup 100\n",
        );
        let speaks =
            format!("  encapsulation {encapsulation}\n  remote-hostname any\n  remote-router-id any\n");
        let peer = |address: &str| {
            format!("{speaks}  role passive\n  local-address {address}\n  remote-address 192.0.2.1\n")
        };
        let blocks =
            [tunnel("marked", &peer("198.51.100.2"), "l0"), tunnel("plain", &peer("192.0.2.2"), "l1")];
        let mut b = Daemon::start(&net, &net.b, &site(&blocks).replace("h1", "h2"));
        b.expect("debug l2tpd start");
        let caller = |address: &str, tags: &str| {
            format!("{speaks}  local-address 192.0.2.1\n  remote-address {address}\n{tags}")
        };
        let config = |mark: &str| {
            let marked = tunnel("marked", &caller("198.51.100.2", mark), "l0");
            site(&[marked, tunnel("plain", &caller("192.0.2.2", ""), "l1")])
        };
        let mut a = Daemon::start(&net, &net.a, &config("  fwmark 0x10\n"));
        up(&mut a, 2);
        address(&net, (&net.a, "l0"), &net.b, 9);
        net.batch(&net.a, "addr add 10.8.8.1/24 dev l1\n");
        net.batch(&net.b, "addr add 10.8.8.2/24 dev l1\n");
        net.ping(&net.a, "10.9.9.2", 56);
        net.ping(&net.a, "10.8.8.2", 56);
        net.ping(&net.a, "10.9.9.2", 56);
        let mtu = |interface| {
            let file = format!("/sys/class/net/{interface}/mtu");
            String::from_utf8_lossy(&net.try_exec(&net.a, &["cat", &file]).stdout)
                .trim()
                .parse::<u32>()
                .expect("MTU")
        };
        assert_eq!(mtu("l1") - mtu("l0"), 100);
        // Without the mark nothing leads there.
        write_config(&a.config, &config(""));
        a.ctl_ok(&["reload"]);
        a.expect("info   tunnel marked waits: no route to 198.51.100.2: Network is unreachable");
        a.stop();
    }
}

/// The tunnel is set up anew with another device.
fn reload_changes_device_and_mark() {
    let net = Net::new();
    let ends = "  local-address 192.0.2.2\n  remote-address 192.0.2.1\n  role passive\n";
    let mut b = Daemon::start(&net, &net.b, &other(ends));
    b.expect("debug l2tpd start");
    let mut a =
        Daemon::start(&net, &net.a, &site(&[tunnel("t", &format!("{ENDS}  bind-device wire\n"), "l0")]));
    up(&mut a, 1);
    for (tags, told) in [("", "bind-device"), ("  fwmark 7\n  bind-device wire\n", "bind-device, fwmark")] {
        a.skip_log();
        write_config(&a.config, &site(&[tunnel("t", &format!("{ENDS}{tags}"), "l0")]));
        let text = a.ctl_ok(&["reload"]);
        assert!(text.contains(told), "{text}");
        a.expect("info * ICCN, state --> ESTABLISHED");
        address(&net, (&net.a, "l0"), &net.b, 9);
        net.ping(&net.a, "10.9.9.2", 56);
    }
    // With a device that leads elsewhere there is no way.
    write_config(&a.config, &site(&[tunnel("t", &format!("{ENDS}  bind-device lo\n"), "l0")]));
    a.ctl_ok(&["reload"]);
    wait_for("the tunnel stays down", || (!is_up(&a)).then_some(()));
    a.stop();
}
