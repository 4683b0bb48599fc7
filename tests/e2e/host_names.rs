//! A peer that is known by its name, with the system's resolver: each network namespace of a test has its own
//! /etc/hosts, which `ip netns exec` puts in place.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::net::Net;
use crate::pair::up;
use crate::tests;

tests!(dead_address_before_a_living_one, name_of_a_silent_peer, name_of_a_peer_that_calls);

/// The hosts file of namespace `a`.
struct Hosts {
    directory: PathBuf,
}

impl Hosts {
    fn new(net: &Net, addresses: &[&str]) -> Hosts {
        let hosts = Hosts { directory: PathBuf::from("/etc/netns").join(&net.a) };
        std::fs::create_dir_all(&hosts.directory).expect("a directory for the namespace");
        hosts.put(addresses);
        hosts
    }

    /// Changes what the name means, in place: the file is mounted.
    fn put(&self, addresses: &[&str]) {
        let lines: String = addresses.iter().map(|address| format!("{address} peer.example\n")).collect();
        crate::net::need_what_it_wants(&lines);
        std::fs::write(self.directory.join("hosts"), lines).expect("the hosts file");
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn site(tunnel: &str) -> String {
    format!(
        "hostname h1\nrouter-id 10.0.0.1\ntunnel t\n  remote-address peer.example\n  remote-hostname h2\n  \
         remote-router-id 10.0.0.2\n{tunnel}  session l0\n    remote-end-id e\n"
    )
}

fn peer(remote: &str, tunnel: &str) -> String {
    format!(
        "hostname h2\nrouter-id 10.0.0.2\ntunnel t\n  remote-address {remote}\n  remote-hostname h1\n  \
         remote-router-id 10.0.0.1\n{tunnel}  session l0\n    remote-end-id e\n"
    )
}

/// The first address of the name has no host; the second one, of the other family, has its turn.
fn dead_address_before_a_living_one() {
    let net = Net::new();
    let _hosts = Hosts::new(&net, &["2001:db8::99", "192.0.2.2"]);
    let mut b = Daemon::start(&net, &net.b, &peer("any", ""));
    b.expect("debug l2tpd start");
    let mut a = Daemon::start(&net, &net.a, &site(""));
    let start = Instant::now();
    a.expect("info [*] begin new tunnel [t] peer:2001:db8::99");
    a.expect("info [*] begin new tunnel [t] peer:192.0.2.2");
    up(&mut a, 1);
    let took = start.elapsed();
    assert!(
        took < Duration::from_secs(60),
        "without the other address this takes for ever; it took {took:?}"
    );
    assert_eq!(a.count("*begin new tunnel*"), 2);
    a.stop();
    b.stop();
}

/// Kills the peer, which comes back at another address.
fn move_away(net: &Net, hosts: &Hosts, b: &mut Daemon, text: &str) -> Daemon {
    b.kill();
    net.batch(&net.b, "addr del 192.0.2.2/24 dev wire\naddr add 192.0.2.3/24 dev wire\n");
    hosts.put(&["192.0.2.3"]);
    Daemon::start(net, &net.b, text)
}

/// The session is there again within so many seconds.
#[track_caller]
fn back(b: &mut Daemon, message: &str, limit: u64) {
    let line = format!("info {message}, state --> ESTABLISHED");
    assert!(b.sees(&line, Duration::from_secs(limit)), "not within {limit} s:\n{}", b.tail(30));
}

/// The peer only answers. Its silence makes us look the name up, and what the name means now makes us give up soon.
fn name_of_a_silent_peer() {
    let net = Net::new();
    let hosts = Hosts::new(&net, &["192.0.2.2"]);
    let mut b = Daemon::start(&net, &net.b, &peer("any", ""));
    b.expect("debug l2tpd start");
    let mut a = Daemon::start(&net, &net.a, &site("  hello-interval 2\n"));
    up(&mut a, 1);
    let mut b = move_away(&net, &hosts, &mut b, &peer("any", ""));
    back(&mut b, "receive ICCN", 60); // retransmissions alone take 71 s
    a.expect("info [*] begin new tunnel [t] peer:192.0.2.3");
    a.stop();
    b.stop();
}

/// The peer calls. Its SCCRQ, from an address that we do not know, makes us look its name up, and is answered then, long
/// before the HELLO is due. (A name that was looked up just now is looked up again some seconds later.)
fn name_of_a_peer_that_calls() {
    let net = Net::new();
    let hosts = Hosts::new(&net, &["192.0.2.2"]);
    let text = peer("192.0.2.1", "  password x\n");
    let mut b = Daemon::start(&net, &net.b, &text);
    b.expect("debug l2tpd start");
    let mut a = Daemon::start(&net, &net.a, &site("  password x\n"));
    up(&mut a, 1);
    up(&mut b, 1);
    let mut b = move_away(&net, &hosts, &mut b, &text);
    back(&mut b, "send ICCN", 50); // a HELLO is due after 60 s
    assert_eq!(a.count("*failed to send control message*"), 0, "it did not need a time-out");
    a.stop();
    b.stop();
}
