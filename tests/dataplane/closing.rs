//! Interfaces that are removed: the kernel takes long for each, and the daemon does not wait for it.

use std::time::{Duration, Instant};

use crate::daemon::{write_config, Daemon};
use crate::net::Net;
use crate::tests;
use crate::wait::PATIENCE;

tests!(removed_interfaces_hold_up_nothing, a_name_is_used_again_at_once, all_interfaces_end_together);

/// Closing so many interfaces one by one takes more than a second. Not more than the daemon has descriptors to spare, for
/// it may be a user who cannot open /dev/net/tun.
const COUNT: u32 = 60;

/// Sessions with a peer that need not be there.
fn config(sessions: std::ops::Range<u32>) -> String {
    let mut text =
        "hostname h1\nrouter-id 10.0.0.1\ntunnel t\n  encapsulation udp\n  local-address 192.0.2.1\n  \
                    remote-address 192.0.2.2\n"
            .to_owned();
    for n in sessions {
        text += &format!("  session pw{n}\n    manual {} {}\n", n + 1, n + 1);
    }
    text
}

fn interfaces(net: &Net) -> usize {
    net.exec(&net.a, &["ls", "/sys/class/net"])
        .split_whitespace()
        .filter(|name| name.starts_with("pw"))
        .count()
}

/// Waits until there are so many interfaces; the longest time that the daemon took for an answer meanwhile.
#[track_caller]
fn wait(net: &Net, daemon: &Daemon, count: usize) -> Duration {
    let deadline = Instant::now() + PATIENCE;
    let mut longest = Duration::ZERO;
    while interfaces(net) != count {
        assert!(Instant::now() < deadline, "{} interfaces:\n{}", interfaces(net), daemon.tail(20));
        let asked = Instant::now();
        daemon.ctl(&["health"]);
        longest = longest.max(asked.elapsed());
    }
    longest
}

fn reload(daemon: &Daemon, sessions: std::ops::Range<u32>) {
    write_config(&daemon.config, &config(sessions));
    daemon.ctl_ok(&["reload"]);
}

/// How long it takes now to remove as many one after the other, from what a few take.
fn one_by_one(net: &Net) -> Duration {
    const FEW: u32 = 5;
    let mut took = Duration::ZERO;
    for _ in 0..FEW {
        net.exec(&net.a, &["ip", "tuntap", "add", "dev", "one", "mode", "tap"]);
        let begun = Instant::now();
        net.exec(&net.a, &["ip", "link", "del", "one"]);
        took += begun.elapsed();
    }
    took * COUNT / FEW
}

fn removed_interfaces_hold_up_nothing() {
    let net = Net::new();
    let mut daemon = Daemon::start(&net, &net.a, &config(0..COUNT));
    wait(&net, &daemon, COUNT as usize);
    let asked = Instant::now();
    reload(&daemon, 0..1);
    let longest = asked.elapsed().max(wait(&net, &daemon, 1));
    daemon.stop();
    let one_by_one = one_by_one(&net);
    assert!(longest < one_by_one / 2, "{longest:?}, {one_by_one:?} one by one");
}

/// They come back although a child still removes their predecessors, and their sessions are attached.
fn a_name_is_used_again_at_once() {
    let net = Net::new();
    let mut daemon = Daemon::start(&net, &net.a, &config(0..COUNT));
    wait(&net, &daemon, COUNT as usize);
    let index = |name: &str| net.exec(&net.a, &["cat", &format!("/sys/class/net/{name}/ifindex")]);
    let before = index("pw1");
    reload(&daemon, 0..1);
    reload(&daemon, 0..COUNT);
    let deadline = Instant::now() + PATIENCE;
    let all_up = || {
        let up = net.exec(&net.a, &["ip", "-o", "link", "show", "up"]);
        up.lines().filter(|line| line.contains(": pw") && line.contains("LOWER_UP")).count() == COUNT as usize
    };
    while !all_up() || index("pw1") == before {
        assert!(Instant::now() < deadline, "they do not come back:\n{}", daemon.tail(20));
    }
    assert_eq!(daemon.count("*ioctl*") + daemon.count("*was deleted*"), 0, "{}", daemon.tail(20));
    daemon.stop();
}

fn all_interfaces_end_together() {
    let net = Net::new();
    let mut daemon = Daemon::start(&net, &net.a, &config(0..COUNT));
    wait(&net, &daemon, COUNT as usize);
    let begun = Instant::now();
    daemon.stop();
    let took = begun.elapsed();
    assert_eq!(interfaces(&net), 0);
    let one_by_one = one_by_one(&net);
    assert!(took < one_by_one / 2, "{took:?}, {one_by_one:?} one by one");
}
