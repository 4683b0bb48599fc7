//! A site behind a NAT, with a hub that takes any peer. The NAT is a small program of the test: it has an address that
//! the site calls, and sends what comes there to the hub from its public address, which changes.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::net::Net;
use crate::pair::up;
use crate::sys::{in_netns, FrameSocket};
use crate::tests;

tests!(public_address_changes, public_address_changes_while_the_lan_is_quiet, a_translator_that_forgets,);

/// The NAT's address for the site.
const INSIDE: &str = "192.0.2.3";

/// What both directions know.
struct State {
    /// The public address and port.
    outside: UdpSocket,
    /// Where the site sends from.
    site: Option<SocketAddr>,
    /// When the site sent last.
    sent: Instant,
    /// How long it is remembered after that.
    memory: Duration,
}

impl State {
    fn is_forgotten(&self) -> bool {
        self.sent.elapsed() > self.memory
    }
}

struct Nat {
    state: Arc<Mutex<State>>,
    ends: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Nat {
    /// In `b`, beside the hub.
    fn start(net: &Net) -> Nat {
        net.batch(
            &net.b,
            &format!(
                "addr add {INSIDE}/24 dev wire\naddr add 198.51.100.1/32 dev lo\naddr add 198.51.100.2/32 dev lo\n"
            ),
        );
        let (inside, outside) =
            in_netns(&net.b, || (bind(&format!("{INSIDE}:1701")), bind("198.51.100.1:0")));
        let (sent, memory) = (Instant::now(), Duration::MAX);
        let state = Arc::new(Mutex::new(State { outside, site: None, sent, memory }));
        let ends = Arc::new(AtomicBool::new(false));
        let to_hub = {
            let (state, ends, inside) = (Arc::clone(&state), Arc::clone(&ends), clone(&inside));
            let netns = net.b.clone();
            std::thread::spawn(move || {
                while let Some((datagram, site)) = receive(&ends, || clone(&inside)) {
                    let mut state = state.lock().expect("state");
                    state.site = Some(site);
                    if state.is_forgotten() {
                        state.outside = in_netns(&netns, || bind("198.51.100.1:0"));
                    }
                    state.sent = Instant::now();
                    // What cannot be sent is lost, as on any network.
                    let _ = state.outside.send_to(&datagram, "192.0.2.2:1701");
                }
            })
        };
        let to_site = {
            let (state, ends) = (Arc::clone(&state), Arc::clone(&ends));
            std::thread::spawn(move || {
                let outside = || clone(&state.lock().expect("state").outside);
                while let Some((datagram, _)) = receive(&ends, outside) {
                    let state = state.lock().expect("state");
                    let site = state.site.filter(|_| !state.is_forgotten());
                    let _ = site.map(|site| inside.send_to(&datagram, site));
                }
            })
        };
        Nat { state, ends, threads: vec![to_hub, to_site] }
    }

    /// From now on the site is seen at another address and port, and cannot be reached at the old ones.
    fn change(&self, net: &Net) {
        let outside = in_netns(&net.b, || bind("198.51.100.2:0"));
        self.state.lock().expect("state").outside = outside;
    }
}

impl Nat {
    /// From now on the site is forgotten when it has sent nothing for so long: what the hub sends is dropped then.
    fn forget_after(&self, memory: Duration) {
        self.state.lock().expect("state").memory = memory;
    }
}

impl Drop for Nat {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn bind(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).expect("UDP socket");
    socket.set_read_timeout(Some(Duration::from_millis(20))).expect("time-out");
    socket
}

fn clone(socket: &UdpSocket) -> UdpSocket {
    socket.try_clone().expect("descriptor")
}

/// The next datagram of the socket that is in use; `None`: it is over.
fn receive(ends: &AtomicBool, socket: impl Fn() -> UdpSocket) -> Option<(Vec<u8>, SocketAddr)> {
    let mut buffer = vec![0; 70_000];
    while !ends.load(Ordering::Relaxed) {
        if let Ok((length, from)) = socket().recv_from(&mut buffer) {
            buffer.truncate(length);
            return Some((buffer, from));
        }
    }
    None
}

/// The hub, the NAT and the site, up.
fn behind_nat(net: &Net, tunnel: &str) -> (Nat, Daemon, Daemon) {
    net.stranger.store(true, Ordering::Relaxed);
    let nat = Nat::start(net);
    let text = |number: u8, peer: &str| {
        format!(
            "hostname h{number}\nrouter-id 10.0.0.{number}\ntunnel t\n  encapsulation udp\n  remote-address {peer}\n  \
             remote-hostname any\n  remote-router-id any\n{tunnel}  session l0\n    remote-end-id e\n    cookie 8\n"
        )
    };
    let hub = text(2, "any").replace("  remote-hostname", "  local-address 192.0.2.2\n  remote-hostname");
    let mut b = Daemon::start(net, &net.b, &hub);
    b.expect("debug l2tpd start");
    let mut a = Daemon::start(net, &net.a, &text(1, INSIDE));
    up(&mut a, 1);
    up(&mut b, 1);
    for (number, name) in [(1, &net.a), (2, &net.b)] {
        net.batch(name, &format!("addr replace 10.9.9.{number}/24 dev l0\n"));
    }
    net.ping(&net.a, "10.9.9.2", 56);
    b.skip_log();
    (nat, a, b)
}

/// The first frame from the new address makes the hub ask there, and the answer moves the tunnel: with a password and
/// without. Nothing is set up anew.
fn public_address_changes() {
    for tunnel in ["  password x\n", ""] {
        let net = Net::new();
        let (nat, mut a, mut b) = behind_nat(&net, tunnel);
        let start = Instant::now();
        nat.change(&net);
        // The answers to the first pings go to where nobody is.
        net.ping(&net.a, "10.9.9.2", 56);
        b.expect("info   [*] the peer is at 198.51.100.2:* now");
        let took = start.elapsed();
        println!("public address changed: back after {took:?} at most (three pings)");
        assert!(took < Duration::from_secs(30), "{took:?}:\n{}", b.tail(30));
        assert_eq!(a.count("*begin new tunnel*"), 1);
        a.stop();
        b.stop();
    }
}

/// Without any frame, the site's own HELLO does it where there is a password.
fn public_address_changes_while_the_lan_is_quiet() {
    let net = Net::new();
    let (nat, mut a, mut b) = behind_nat(&net, "  password x\n  hello-interval 3\n");
    net.batch(&net.a, "link set l0 down\n");
    net.batch(&net.b, "link set l0 down\n");
    b.skip_log();
    nat.change(&net);
    b.expect("info   [*] the peer is at 198.51.100.2:* now");
    assert_eq!(a.count("*begin new tunnel*"), 1);
    a.stop();
    b.stop();
}

/// The hub's LAN sends, and nobody answers: to the NAT that is no reason to remember the site. Only what the site sends of
/// itself keeps the frames coming.
fn a_translator_that_forgets() {
    const MEMORY: Duration = Duration::from_secs(2);
    for (tags, goes_on) in [("  nat-keepalive none\n", false), ("  nat-keepalive 1\n", true)] {
        let net = Net::new();
        // No interface is to send anything of itself.
        for netns in [&net.a, &net.b] {
            net.exec(netns, &["sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6"]);
        }
        let (nat, mut a, mut b) = behind_nat(&net, tags);
        nat.forget_after(MEMORY);
        let [from, to] = [&net.b, &net.a].map(|netns| in_netns(netns, || FrameSocket::open("l0")));
        let mut frame = [0xff; 60];
        frame[6..14].copy_from_slice(&[2, 0, 0, 0, 0, 7, 0x88, 0xb6]);
        let (start, mut last) = (Instant::now(), Duration::ZERO);
        let end = start + 5 * MEMORY;
        while Instant::now() < end {
            from.send(&frame);
            let next = Instant::now() + Duration::from_millis(50);
            while let Some(got) = to.receive(next) {
                if got[..14] == frame[..14] {
                    last = start.elapsed();
                }
            }
        }
        println!("nat-keepalive {}: frames arrived for {last:?} of {:?}", tags.trim(), 5 * MEMORY);
        // The pings of before, and an acknowledgement or two, have kept it awake for a while.
        assert_eq!(last > 4 * MEMORY, goes_on, "{last:?}:\n{}", a.tail(20));
        if !goes_on {
            assert!(last < 3 * MEMORY, "{last:?}");
        }
        assert_eq!(b.count("*begin new tunnel*") + a.count("*begin new tunnel*"), 1);
        a.stop();
        b.stop();
    }
}
