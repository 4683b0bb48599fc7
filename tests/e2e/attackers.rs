//! What the simulation promises of replays, forged sources and amplification (`tests/sim/attacks.rs`), with daemons that
//! run. What was measured stands in the summary; the limits are wide, for machines that do other things meanwhile.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::dice::Dice;
use crate::net::Net;
use crate::network::{Network, FOR_A, FOR_B};
use crate::pair::{established, host, wait_for, wait_until};
use crate::peer::{config, Peer, SCCRQ, SESSION};
use crate::runner::note;
use crate::sys::{header_socket, in_netns, ControlSocket};
use crate::tests;
use crate::wait::PATIENCE;

tests!(
    replayed_requests_keep_nothing_down,
    replayed_requests_beside_a_round_trip_of_40_ms,
    replayed_requests_beside_a_round_trip_of_200_ms,
    forged_sources_keep_nobody_out,
    forged_sources_with_a_recorded_request,
    nobody_gains_by_forged_sources,
);

/// Recorded SCCRQs that are sent to each end a second.
const REPLAYS: f64 = 1000.0;
/// Forged ones.
const FORGED: f64 = 5000.0;

/// Calls `act` so often a second, until `stop`; returns how often that was.
fn at_rate(rate: f64, stop: &AtomicBool, count: &AtomicU64, mut act: impl FnMut()) {
    let begun = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        while (count.load(Ordering::Relaxed) as f64) < begun.elapsed().as_secs_f64() * rate {
            act();
            count.fetch_add(1, Ordering::Relaxed);
        }
        std::thread::yield_now();
    }
}

/// Of `b` after a `kill -9`: from its start until both ends have the session.
fn comes_back(net: &Net, a: &Daemon, b: &mut Daemon, text: &str) -> Duration {
    b.kill();
    let before = established(a);
    let begun = Instant::now();
    *b = Daemon::start(net, &net.b, text);
    let both = || established(b) > 0 && established(a) > before;
    wait_until(both, || format!("not up:\n{}\n--\n{}", a.tail(30), b.tail(30)));
    begun.elapsed()
}

fn replayed_requests_keep_nothing_down() {
    replayed_requests(0);
}

fn replayed_requests_beside_a_round_trip_of_40_ms() {
    replayed_requests(40);
}

fn replayed_requests_beside_a_round_trip_of_200_ms() {
    replayed_requests(200);
}

/// With a password: the newest SCCRQ of each end is played back to the other one, a thousand times a second, while one
/// end is killed and starts again.
fn replayed_requests(round_trip: u64) {
    let mut net = Net::new();
    // Of what was played back nobody can say which connection it belongs to.
    net.unrecorded();
    let network = Network::start(&net, 1);
    network.round_trip(Duration::from_millis(round_trip));
    let text = |number: u8, peer: &str| {
        let tunnel = format!(
            "  encapsulation udp\n  remote-address {peer}\n  password sesame\n  retry 5\n  retry-interval 1\n"
        );
        host(number, "", &tunnel, "")
    };
    let (one, two) = (text(1, FOR_A), text(2, FOR_B));
    let mut b = Daemon::start(&net, &net.b, &two);
    let mut a = Daemon::start(&net, &net.a, &one);
    wait_until(|| established(&a) > 0 && established(&b) > 0, || format!("not up:\n{}", a.tail(30)));
    // Both call once at least: who clears an established connection calls at once.
    let up = |count: usize| {
        let both = || established(&a) >= count && established(&b) >= count;
        wait_until(both, || format!("not up:\n{}", a.tail(30)));
    };
    a.ctl_ok(&["clear", "all"]);
    up(2);
    b.ctl_ok(&["clear", "all"]);
    let requests = wait_for("SCCRQs of both ends", || network.requests());
    up(3);
    let honest = comes_back(&net, &a, &mut b, &two);
    let (stop, played) = (AtomicBool::new(false), AtomicU64::new(0));
    let attacked = std::thread::scope(|scope| {
        scope.spawn(|| at_rate(REPLAYS, &stop, &played, || network.inject(&requests)));
        wait_until(|| played.load(Ordering::Relaxed) > 500, || "no attack".to_owned());
        let took =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| comes_back(&net, &a, &mut b, &two)));
        stop.store(true, Ordering::Relaxed);
        took.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    note(format!(
        "replayed SCCRQs, {REPLAYS} a second to each end, round trip {round_trip} ms: up {attacked:.1?} after a \
         kill; {honest:.1?} without"
    ));
    assert!(attacked < honest + Duration::from_secs(30), "{attacked:?}, {honest:?} without");
    a.stop();
    b.stop();
}

/// An IPv4 packet of protocol 115 with a control message.
fn packet(from: Ipv4Addr, message: &[u8]) -> Vec<u8> {
    // The kernel fills in length and checksum.
    let mut packet = vec![0x45, 0xc0, 0, 0, 0, 0, 0, 0, 64, 115, 0, 0];
    packet.extend(from.octets());
    packet.extend([192, 0, 2, 1]);
    packet.extend([0; 4]);
    packet.extend(message);
    packet
}

const TO: &str = "192.0.2.1:0";

/// A hub for any peer, and a way back to all the addresses that are forged.
fn hub(net: &Net, tunnel: &str) -> Daemon {
    net.batch(&net.a, "route add default via 192.0.2.2\n");
    let text = config(&format!("  role passive\n  setup-timeout 3\n  retry 3\n{tunnel}"), SESSION);
    let text = text.replace("remote-address 192.0.2.2", "remote-address any");
    let mut hub = Daemon::start(net, &net.a, &text);
    hub.expect("debug l2tpd start");
    hub
}

/// The peer that the hub is for: a daemon.
fn honest(net: &Net, tunnel: &str) -> Daemon {
    let text = format!(
        "hostname peer\nrouter-id 10.0.0.2\nrestart-interval 1\ntunnel t\n  local-address 192.0.2.2\n  \
         remote-address 192.0.2.1\n  remote-hostname dut\n  remote-router-id 10.0.0.1\n{tunnel}  session l0\n    \
         remote-end-id end1\n"
    );
    Daemon::start(net, &net.b, &text)
}

/// An SCCRQ that the honest peer could have sent.
fn request(peer: &mut Peer, dice: &mut Dice) -> Vec<u8> {
    peer.ccid = dice.next() as u32 | 1;
    peer.tie = Some(dice.next().to_be_bytes());
    peer.build(&peer.set_up(SCCRQ))
}

/// An address in 10.0.0.0/8.
fn address(dice: &mut Dice) -> Ipv4Addr {
    Ipv4Addr::from(0x0a00_0000 | dice.next() as u32 & 0xff_ffff)
}

/// The SCCRQ of the honest peer, as it was seen on the cable.
fn recorded(net: &Net, tunnel: &str) -> Vec<u8> {
    let seen = in_netns(&net.b, || ControlSocket::open("wire"));
    let mut peer = honest(net, tunnel);
    let find = || {
        let packets = seen.take().into_iter().filter(|(sent, _)| *sent);
        packets
            .map(|(_, packet)| packet[24..].to_vec())
            .find(|message| message.get(16..20) == Some(&[0, 0, 0, 1]))
    };
    let found = wait_for("an SCCRQ", find);
    peer.kill();
    found
}

/// A peer gets in beside so many SCCRQs from forged sources.
fn gets_in(net: &Net, tunnel: &str, mut message: impl FnMut(&mut Dice) -> Vec<u8> + Send) {
    let hub = hub(net, tunnel);
    let socket = in_netns(&net.b, header_socket);
    let to: SocketAddr = TO.parse().expect("address");
    let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut dice = Dice(5);
    let (took, rate) = std::thread::scope(|scope| {
        scope.spawn(|| {
            at_rate(FORGED, &stop, &sent, || {
                let forged = packet(address(&mut dice), &message(&mut dice));
                let _ = socket.send_to(&forged, to);
            });
        });
        let begun = Instant::now();
        wait_until(|| sent.load(Ordering::Relaxed) > FORGED as u64, || "no flood".to_owned());
        let started = Instant::now();
        let peer = honest(net, tunnel);
        while established(&peer) == 0 && started.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(5)); // the log has nothing to wait on
        }
        let took = (established(&peer) > 0).then(|| started.elapsed());
        stop.store(true, Ordering::Relaxed);
        (took, sent.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64())
    });
    let kind = tunnel.trim().split(' ').next().unwrap_or_default();
    let kind = if kind.is_empty() { "nothing" } else { kind };
    let took = took.unwrap_or_else(|| panic!("it does not get in:\n{}", hub.tail(30)));
    note(format!("forged SCCRQs, {rate:.0} a second, with {kind}: the peer is up after {took:.1?}"));
}

fn forged_sources_keep_nobody_out() {
    for tunnel in ["", "  digest md5\n"] {
        let mut net = Net::new();
        net.unrecorded();
        let mut peer = Peer::new(&net);
        peer.secret = (!tunnel.is_empty()).then(Vec::new);
        gets_in(&net, tunnel, |dice| request(&mut peer, dice));
    }
}

fn forged_sources_with_a_recorded_request() {
    let mut net = Net::new();
    net.unrecorded();
    let tunnel = "  password sesame\n";
    let recorded = recorded(&net, tunnel);
    gets_in(&net, tunnel, |_| recorded.clone());
}

/// Octets on the cable, IP header and all: a source that answers nothing is sent three times at most what came from it.
fn nobody_gains_by_forged_sources() {
    let long = format!("  local-hostname {}\n", "h".repeat(200));
    for (name, tunnel) in
        [("", ""), ("digest", "  digest md5\n"), ("password", "  password sesame\n"), ("long name", &long)]
    {
        let mut net = Net::new();
        net.unrecorded();
        let mut peer = Peer::new(&net);
        peer.secret = (name == "digest").then(Vec::new);
        let recorded = (name == "password").then(|| recorded(&net, tunnel));
        let hub = hub(&net, tunnel);
        let (seen, socket) = in_netns(&net.b, || (ControlSocket::open("wire"), header_socket()));
        let mut dice = Dice(9);
        let mut sources = Vec::new();
        // So few that the log tells of each.
        for _ in 0..12 {
            let source = address(&mut dice);
            let message = recorded.clone().unwrap_or_else(|| request(&mut peer, &mut dice));
            let _ = socket.send_to(&packet(source, &message), TO);
            sources.push(source);
        }
        let deleted = || hub.count("debug [*] delete tunnel") >= sources.len();
        wait_until(deleted, || format!("half-open connections stay:\n{}", hub.tail(30)));
        let mut octets: BTreeMap<Ipv4Addr, [usize; 2]> = BTreeMap::new();
        for (sent, packet) in seen.take() {
            let at = if sent { 12 } else { 16 };
            let end: [u8; 4] = packet[at..at + 4].try_into().expect("address");
            octets.entry(end.into()).or_default()[usize::from(!sent)] += packet.len();
        }
        let mut most = 0.0_f64;
        for source in &sources {
            let [came, went] = octets[source];
            assert!(went <= 3 * came, "{name}: {went} octets for {came}");
            most = most.max(went as f64 / came as f64);
        }
        assert!(most > 0.0 || name == "long name", "{name}: there was no answer");
        let name = if name.is_empty() { "nothing" } else { name };
        note(format!("amplification with {name}: {most:.2} times the octets at most"));
    }
}
