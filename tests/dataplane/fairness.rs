//! One session is flooded with all that its host can send. The other sessions, and the HELLOs of all tunnels, go on
//! as if nothing were.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use crate::build::SOURCE;
use crate::daemon::Daemon;
use crate::net::{have, Net};
use crate::packet::{PacketSocket, Vnet};
use crate::runner::note;
use crate::shape::{pattern, Shape, PLAIN};
use crate::sys::{in_netns, FrameSocket};
use crate::tests;
use crate::wait::{wait_until, PATIENCE};
use crate::world::{hold, Sublayer, Variant, World, WIRES};
use crate::PLANE;

tests!(
    large_frames_over_udp,
    small_frames_over_udp,
    large_frames_over_ip,
    small_frames_over_ip,
    a_frame_passes_super_frames_of_others,
    frames_of_an_ended_session_harm_no_others,
);

fn large_frames_over_udp() {
    flooded("udp", 1372);
}

fn small_frames_over_udp() {
    flooded("udp", 18);
}

fn large_frames_over_ip() {
    flooded("ip", 1372);
}

fn small_frames_over_ip() {
    flooded("ip", 18);
}

/// Three tunnels: s0 and s1 are in the first one, s2 in the second one. Nothing passes through s3 in the third one:
/// only such a tunnel sends HELLOs.
fn config(host: usize, encapsulation: &str) -> String {
    let mut text = format!("hostname h{host}\nrouter-id 10.0.0.{host}\nrestart-interval 1\n");
    let tunnels = [(1, "192.0.2", &["s0", "s1"][..]), (2, "198.51.100", &["s2"]), (3, "203.0.113", &["s3"])];
    for (tunnel, subnet, sessions) in tunnels {
        text += &format!("tunnel t{tunnel}\n  encapsulation {encapsulation}\n  hello-interval 1\n");
        text += &format!("  local-address {subnet}.{host}\n  remote-address {subnet}.{}\n", 3 - host);
        text += &format!("  remote-hostname h{}\n  remote-router-id 10.0.0.{}\n", 3 - host, 3 - host);
        text += &format!("  retry 4\n  retry-interval 0.5\n  password x{tunnel}\n");
        for session in sessions {
            text +=
                &format!("  session {session}\n    remote-end-id {session}\n    cookie 8\n    mtu 1400\n");
        }
    }
    text
}

fn flooded(encapsulation: &str, size: usize) {
    let net = Net::new();
    for (name, host) in [(&net.a, 1), (&net.b, 2)] {
        net.batch(
            name,
            &format!("addr add 198.51.100.{host}/24 dev wire\naddr add 203.0.113.{host}/24 dev wire\n"),
        );
    }
    let mut b = Daemon::start(&net, &net.b, &config(2, encapsulation));
    let mut a = Daemon::start(&net, &net.a, &config(1, encapsulation));
    for daemon in [&a, &b] {
        let up = || daemon.count("info * ICCN, state --> ESTABLISHED") >= 4;
        wait_until(up, || format!("not all sessions come up:\n{}", daemon.tail(40)));
    }
    for (name, host) in [(&net.a, 1), (&net.b, 2)] {
        let address = |n: u32| format!("addr add 10.8.{n}.{host}/24 dev s{n}\n");
        net.batch(name, &(0..3).map(address).collect::<String>());
    }
    (0..3).for_each(|n| net.ping(&net.a, &format!("10.8.{n}.2"), 56));
    let quiet = pings(&net, 50);
    let flood = Flood::start(&net, size);
    let flows = || flood.sent.load(Ordering::Relaxed) > 1000;
    wait_until(flows, || format!("{encapsulation}: that is no flood"));
    let hellos = Hellos::start(&net, encapsulation);
    let loaded = pings(&net, 300);
    let (answered, unanswered) = hellos.finish();
    let rate = flood.finish();
    let name = format!("flood of {size} octets over {encapsulation}, {rate} a second");
    note(format!(
        "{name}: ping of the same tunnel {} (before: {}), of another {}",
        loaded[0], quiet[0], loaded[1]
    ));
    if !answered.is_empty() {
        let (count, median) = (answered.len(), answered[answered.len() / 2]);
        let worst = answered.last().expect("one");
        note(format!(
            "{name}: {count} HELLOs answered, median {:.2} ms, at most {:.2} ms; {unanswered} not",
            median * 1000.0,
            worst * 1000.0
        ));
        // HELLOs that are lost in the crowd are sent again; most are not lost.
        assert!(median < 0.1, "HELLOs take {median} s");
        assert!(count >= 4 * unanswered, "{unanswered} HELLOs without an answer");
    }
    for daemon in [&a, &b] {
        let lost = daemon.count("*failed to send control message*") + daemon.count("*delete tunnel*");
        assert_eq!(lost, 0, "a tunnel went down:\n{}", daemon.tail(40));
    }
    for result in &loaded {
        // A few milliseconds where the machine does nothing else; a session that starves would show seconds.
        assert!(result.median < 80.0, "{name}: ping {result}");
        assert!(result.received * 10 >= result.sent * 8, "{name}: ping {result}");
    }
    assert!(rate > 1000, "{name}: that is no flood");
    a.stop();
    b.stop();
}

/// Three sessions of a tunnel have frames, and one of them has just ended: what it still has is dropped, and must not come
/// to lie where frames of the others wait to leave.
fn frames_of_an_ended_session_harm_no_others() {
    // The session ends between two turns; in the second one a few frames are left of the others.
    const TURN: usize = 64;
    const COUNT: usize = TURN + 3;
    let net = Net::new();
    let config = |host: usize| {
        let head = format!("hostname h{host}\nrouter-id 10.0.0.{host}\ndata-plane tap\ntunnel t\n");
        let to = 3 - host;
        let peer = format!(
            "  remote-address 192.0.2.{to}\n  remote-hostname h{to}\n  remote-router-id 10.0.0.{to}\n"
        );
        let session = |n| format!("  session s{n}\n    remote-end-id s{n}\n    mtu 1400\n");
        head + &peer + &(0..3).map(session).collect::<String>()
    };
    let mut b = Daemon::start(&net, &net.b, &config(2));
    let mut a = Daemon::start(&net, &net.a, &config(1));
    let up = || a.count("info * ICCN, state --> ESTABLISHED") >= 3;
    wait_until(up, || format!("not all sessions come up:\n{}", a.tail(40)));
    let near = ["s0", "s1", "s2"].map(|name| in_netns(&net.a, || PacketSocket::open(name)));
    let far = ["s0", "s2"].map(|name| in_netns(&net.b, || FrameSocket::open(name)));
    let cable = in_netns(&net.a, || FrameSocket::open("wire"));
    let frame = |mark: u16| PLAIN.frame(mark, mark.into(), &pattern(1000));
    let deadline = Instant::now() + PATIENCE;
    hold(&a, || {
        b.ctl_ok(&["clear", "session", "s1"]);
        // The message type CDN.
        let cdn = [0x80, 8, 0, 0, 0, 0, 0, 14];
        while !cable.receive(deadline).expect("a CDN").windows(8).any(|octets| octets == cdn) {}
        for (socket, mark, count) in [(&near[0], 1, COUNT), (&near[1], 2, 3 * TURN), (&near[2], 3, COUNT)] {
            (0..count).for_each(|_| socket.send(Vnet::default(), &frame(mark)));
        }
    });
    for (socket, mark) in far.iter().zip([1, 3]) {
        let mut got = Vec::new();
        while got.len() < COUNT {
            let octets = socket.receive(deadline).expect("a frame");
            if octets[6..10] == SOURCE {
                got.push(octets);
            }
        }
        assert!(got.iter().all(|octets| *octets == frame(mark)), "{mark}");
    }
    a.stop();
    b.stop();
}

/// What came of a series of pings.
struct Ping {
    sent: usize,
    received: usize,
    /// Milliseconds.
    median: f64,
    worst: f64,
}

impl std::fmt::Display for Ping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Ping { sent, received, median, worst } = self;
        write!(f, "median {median:.2} ms, at most {worst:.1} ms, {received} of {sent}")
    }
}

/// Through s1 and s2 at once.
fn pings(net: &Net, count: usize) -> [Ping; 2] {
    std::thread::scope(|scope| {
        let through = |to| scope.spawn(move || ping(net, to, count));
        ["10.8.1.2", "10.8.2.2"].map(through).map(|thread| thread.join().expect("ping"))
    })
}

fn ping(net: &Net, to: &str, count: usize) -> Ping {
    let words = ["ping", "-n", "-i", "0.02", "-W", "2", "-c", &count.to_string(), to];
    let output = net.try_exec(&net.a, &words);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let time = |line: &str| line.split("time=").nth(1)?.split(' ').next()?.parse().ok();
    let mut times: Vec<f64> = text.lines().filter_map(time).collect();
    times.sort_by(f64::total_cmp);
    assert!(!times.is_empty(), "no ping is answered: {text}");
    Ping {
        sent: count,
        received: times.len(),
        median: times[times.len() / 2],
        worst: *times.last().expect("one"),
    }
}

/// A thread that sends as fast as it can into s0.
struct Flood {
    stop: std::sync::Arc<AtomicBool>,
    sent: std::sync::Arc<AtomicU64>,
    start: Instant,
    thread: std::thread::JoinHandle<()>,
    _receiver: UdpSocket,
}

impl Flood {
    fn start(net: &Net, size: usize) -> Flood {
        let receiver = in_netns(&net.b, || UdpSocket::bind("10.8.0.2:9").expect("receiver"));
        let (stop, sent) = <(std::sync::Arc<AtomicBool>, std::sync::Arc<AtomicU64>)>::default();
        let thread = {
            let socket = in_netns(&net.a, || UdpSocket::bind("10.8.0.1:0").expect("sender"));
            socket.connect("10.8.0.2:9").expect("connect");
            let (stop, sent) = (stop.clone(), sent.clone());
            std::thread::spawn(move || {
                let content = vec![7; size];
                while !stop.load(Ordering::Relaxed) {
                    if socket.send(&content).is_ok() {
                        sent.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        };
        Flood { stop, sent, start: Instant::now(), thread, _receiver: receiver }
    }

    /// Frames a second.
    fn finish(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let seconds = self.start.elapsed().as_secs_f64();
        self.thread.join().expect("flood");
        (self.sent.load(Ordering::Relaxed) as f64 / seconds) as u64
    }
}

/// tcpdump, which sees only the control messages.
struct Hellos(Option<(std::process::Child, std::path::PathBuf)>);

impl Hellos {
    fn start(net: &Net, encapsulation: &str) -> Hellos {
        if !have("tcpdump") {
            note("SKIPPED: how long HELLOs take: tcpdump is not installed".to_owned());
            return Hellos(None);
        }
        let file = net.dir.join("hellos.pcap");
        // The T bit; over IP after a Session ID of zero.
        let filter = match encapsulation {
            "udp" => "udp port 1701 and udp[8] & 0x80 != 0",
            _ => "ip proto 115 and ip[20:4] = 0",
        };
        let child = net.tcpdump(&file, filter, &["-s", "128"]);
        Hellos(Some((child, file)))
    }

    /// The seconds from each HELLO to its answer, sorted, and how many had none.
    fn finish(self) -> (Vec<f64>, usize) {
        let Some((child, file)) = self.0 else { return (Vec::new(), 0) };
        Net::end_tcpdump(child);
        answers(&std::fs::read(file).expect("capture"))
    }
}

/// Reads a pcap file of control messages (host byte order, Ethernet, IPv4 without options).
fn answers(capture: &[u8]) -> (Vec<f64>, usize) {
    let number = |at: usize| u32::from_ne_bytes(capture[at..at + 4].try_into().expect("four octets"));
    // When each HELLO was first sent: by its sender, receiver and Ns.
    let mut waiting: BTreeMap<(&[u8], &[u8], u16), f64> = BTreeMap::new();
    let mut times = Vec::new();
    let mut at = 24;
    while at + 16 <= capture.len() {
        let time = f64::from(number(at)) + f64::from(number(at + 4)) / 1e6;
        let length = number(at + 8) as usize;
        let packet = &capture[at + 16..at + 16 + length];
        at += 16 + length;
        let (from, to) = (&packet[26..30], &packet[30..34]);
        let message = &packet[if packet[23] == 17 { 42 } else { 38 }..];
        let field = |at: usize| u16::from_be_bytes([message[at], message[at + 1]]);
        let (ns, nr) = (field(8), field(10));
        waiting.retain(|(sender, receiver, hello), sent| {
            let answered = *sender == to && *receiver == from && nr == hello.wrapping_add(1);
            if answered {
                times.push(time - *sent);
            }
            !answered
        });
        // Message Type comes first.
        if message.len() >= 20 && field(16) == 0 && field(18) == 6 {
            waiting.entry((from, to, ns)).or_insert(time);
        }
    }
    times.sort_by(f64::total_cmp);
    (times, waiting.len())
}

/// Over IP each segment of a super-frame is sent on its own. A frame of another flow does not wait for all of those that
/// were there before it; one of the same flow does.
fn a_frame_passes_super_frames_of_others() {
    const SUPER_FRAMES: usize = 4;
    const SEGMENTS: usize = 15;
    PLANE.set(Some("tap"));
    let world = World::new(WIRES[1], vec![Variant::new(0, 4, Sublayer::None)], true, 1500);
    let near = in_netns(&world.net.a, || PacketSocket::open("pw0"));
    let far = in_netns(&world.net.b, || FrameSocket::open("pw0"));
    let (vnet, many) = PLAIN.super_frame(&pattern(SEGMENTS * 1000), 1000);
    let [same, other] = [PLAIN, Shape { tcp: false, ..PLAIN }].map(|shape| shape.frame(9, 9, &pattern(100)));
    hold(&world.first, || {
        (0..SUPER_FRAMES).for_each(|_| near.send(vnet, &many));
        near.send(Vnet::default(), &same);
        near.send(Vnet::default(), &other);
    });
    let deadline = Instant::now() + PATIENCE;
    let (mut before_other, mut before_same, mut came) = (None, None, 0);
    while came < SUPER_FRAMES * SEGMENTS || before_other.is_none() || before_same.is_none() {
        let got = far.receive(deadline).expect("a frame");
        match got[6..10] == SOURCE {
            true if got == other => before_other = Some(came),
            true if got == same => before_same = Some(came),
            true => came += 1,
            false => {}
        }
    }
    assert!(before_other < Some(SUPER_FRAMES * SEGMENTS / 2), "{before_other:?} segments came first");
    assert_eq!(before_same, Some(SUPER_FRAMES * SEGMENTS), "in order");
    world.finish();
}
