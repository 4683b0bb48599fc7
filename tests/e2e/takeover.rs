//! Two concentrators share an address that moves from one to the other, as keepalived moves it (VRRP): an `ip addr add`
//! and gratuitous ARP. How long frames stop is told at the end of the run. The example of l2tpd(8), SCALE.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::net::Net;
use crate::pair::up;
use crate::runner::note;
use crate::sys::{in_netns, FrameSocket};
use crate::tests;
use crate::wait::wait_until;

tests!(address_of_a_dead_concentrator_is_taken_over, address_is_handed_over);

/// The address that moves.
const SHARED: &str = "192.0.2.100";
/// Far above what is expected: the machine may be busy with something else.
const SOON: Duration = Duration::from_secs(40);

/// Both concentrators have this configuration. The one without the address waits for it; once it has it, it calls the
/// peer by itself.
fn concentrator() -> String {
    format!(
        "hostname hub\nrouter-id 10.0.0.1\nrestart-interval 1\ntunnel t\n  remote-address 192.0.2.2\n  \
         local-address {SHARED}\n  remote-hostname site\n  remote-router-id 10.0.0.2\n  session l0\n    remote-end-id e\n"
    )
}

/// A peer of the concentrator, which it knows by the shared address only.
fn site() -> String {
    format!(
        "hostname site\nrouter-id 10.0.0.2\nrestart-interval 1\ntunnel t\n  remote-address {SHARED}\n  \
         remote-hostname hub\n  remote-router-id 10.0.0.1\n  hello-interval 0.5\n  retry-interval auto\n  \
         session l0\n    remote-end-id e\n"
    )
}

/// The peer's host is the switch that both concentrators are at, too.
fn wired() -> (Net, String) {
    let mut net = Net::new();
    net.unrecorded();
    let other = net.host();
    net.cable((&other, "wire", "192.0.2.3/24"), (&net.b, "wire2", "192.0.2.9/32"));
    net.batch(
        &net.b,
        "addr flush dev wire\naddr flush dev wire2\nlink add switch type bridge\nlink set switch up\n\
         link set wire master switch\nlink set wire2 master switch\naddr add 192.0.2.2/24 dev switch\n",
    );
    (net, other)
}

/// The host takes the address, and says so by ARP: twice, as keepalived repeats it.
fn take_address(net: &Net, netns: &str) {
    net.batch(netns, &format!("addr add {SHARED}/24 dev wire\n"));
    let mac = net.exec(netns, &["cat", "/sys/class/net/wire/address"]);
    let mac: Vec<u8> =
        mac.trim().split(':').map(|octet| u8::from_str_radix(octet, 16).expect("a MAC")).collect();
    let address = [192, 0, 2, 100];
    let request = [0, 1, 8, 0, 6, 4, 0, 1];
    let frame =
        [&[0xff; 6][..], &mac, &[8, 6], &request, &mac, &address, &[0; 6], &address, &[0; 18]].concat();
    let socket = in_netns(netns, || FrameSocket::open("wire"));
    (0..2).for_each(|_| socket.send(&frame));
}

/// Pings through the pseudowire, one every 20 ms.
struct Pings {
    child: Child,
    file: std::path::PathBuf,
}

impl Pings {
    fn start(net: &Net) -> Pings {
        let file = net.dir.join("pings");
        let output = fs::File::create(&file).expect("a file");
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &net.b, "ping", "-n", "-D", "-i", "0.02", "10.9.9.1"]);
        let child = command.stdin(Stdio::null()).stdout(output).spawn().expect("ping");
        Pings { child, file }
    }

    /// When the answers came, in seconds.
    fn answers(&self) -> Vec<f64> {
        let text = fs::read_to_string(&self.file).expect("answers");
        let at = |line: &str| line.strip_prefix('[')?.split_once("] 64 bytes")?.0.parse().ok();
        text.lines().filter_map(at).collect()
    }

    /// Waits for some more answers than there are.
    fn more(&self) {
        let before = self.answers().len();
        wait_until(|| self.answers().len() > before + 10, || format!("no answers after {before}"));
    }

    /// The longest time without an answer.
    fn longest_gap(mut self) -> Duration {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let gaps = self.answers().windows(2).map(|two| two[1] - two[0]).fold(0.0, f64::max);
        Duration::from_secs_f64(gaps)
    }
}

/// The concentrator in use, the one in waiting, the peer; frames pass.
fn running(net: &Net, other: &str) -> (Daemon, Daemon, Daemon, Pings) {
    take_address(net, &net.a);
    let mut first = Daemon::start(net, &net.a, &concentrator());
    let mut second = Daemon::start(net, other, &concentrator());
    second.expect("error failed to create tunnel");
    let mut peer = Daemon::start(net, &net.b, &site());
    up(&mut first, 1);
    up(&mut peer, 1);
    for (netns, address) in [(net.a.as_str(), "10.9.9.1/24"), (other, "10.9.9.1/24"), (&net.b, "10.9.9.2/24")]
    {
        net.batch(netns, &format!("addr replace {address} dev l0\n"));
    }
    let pings = Pings::start(net);
    pings.more();
    peer.skip_log();
    (first, second, peer, pings)
}

/// The machine dies: no daemon, no link.
fn address_of_a_dead_concentrator_is_taken_over() {
    let (net, other) = wired();
    let (mut first, mut second, mut peer, pings) = running(&net, &other);
    net.batch(&net.a, "link set wire down\n");
    first.kill();
    let start = Instant::now();
    take_address(&net, &other);
    up(&mut second, 1);
    let called = start.elapsed();
    pings.more();
    let gap = pings.longest_gap();
    note(format!(
        "address taken over from a dead machine: frames stopped for {gap:?}, up again after {called:?}"
    ));
    assert!(gap < SOON, "{gap:?}: {}", peer.tail(30));
    peer.stop();
    second.stop();
}

/// Both machines are well, and the address goes to the one with the higher priority.
fn address_is_handed_over() {
    let (net, other) = wired();
    let (mut first, mut second, mut peer, pings) = running(&net, &other);
    net.batch(&net.a, &format!("addr del {SHARED}/24 dev wire\n"));
    take_address(&net, &other);
    up(&mut second, 1);
    pings.more();
    let gap = pings.longest_gap();
    note(format!("address handed over: frames stopped for {gap:?}"));
    assert!(gap < SOON, "{gap:?}: {}", peer.tail(30));
    peer.stop();
    second.stop();
    first.stop();
}
