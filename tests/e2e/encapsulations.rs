//! Every combination of encapsulation, address family, password, cookie and sublayer: two daemons, two control
//! connections (one with a password), six sessions in each. Frames of all kinds pass; tshark finds no fault.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::capture::Capture;
use crate::daemon::{write_config, Daemon};
use crate::net::Net;
use crate::pair::up;
use crate::sys::{in_netns, FrameSocket};
use crate::tests;
use crate::wait::PATIENCE;

tests!(ip_over_ipv4, ip_over_ipv6, udp_over_ipv4, udp_over_ipv6, bulk_with_everything,);

const SECRET: &str = "open sesame";

/// Cookie and sublayer of the sessions 0 to 5 of each tunnel.
const SESSIONS: [(&str, &str); 6] =
    [("off", "none"), ("4", "none"), ("8", "none"), ("off", "default"), ("4", "default"), ("8", "default")];

/// Octets around an inner frame: outer IP, encapsulation, session id, cookie, sublayer.
fn overhead(ipv6: bool, udp: bool, cookie: &str, sublayer: &str) -> usize {
    let outer = if ipv6 { 40 } else { 20 };
    let cookie = match cookie {
        "off" => 0,
        octets => octets.parse().expect("number"),
    };
    outer + if udp { 12 } else { 0 } + 4 + cookie + if sublayer == "default" { 4 } else { 0 }
}

/// The addresses of the tunnel with a password (`true`) and of that without.
fn addresses(ipv6: bool, secret: bool) -> [&'static str; 2] {
    match (ipv6, secret) {
        (false, false) => ["192.0.2.1", "192.0.2.2"],
        (false, true) => ["198.51.100.1", "198.51.100.2"],
        (true, false) => ["2001:db8::1", "2001:db8::2"],
        (true, true) => ["2001:db8:1::1", "2001:db8:1::2"],
    }
}

/// The configuration of one end, with the first `sessions` sessions of each tunnel: host 0 begins, host 1 answers.
fn config(host: usize, udp: bool, ipv6: bool, sessions: usize) -> String {
    let mut text = format!("hostname host{host}\nrouter-id 10.0.0.{}\nrestart-interval 1\n", host + 1);
    for secret in [false, true] {
        let ends = addresses(ipv6, secret);
        let (name, letter) = if secret { ("signed", 's') } else { ("plain", 'p') };
        text +=
            &format!("tunnel {name}\n  local-address {}\n  remote-address {}\n", ends[host], ends[1 - host]);
        text += &format!("  remote-hostname host{}\n  remote-router-id 10.0.0.{}\n", 1 - host, 2 - host);
        text += &format!("  role {}\n  retry-interval 0.2\n", ["active", "passive"][host]);
        text += if udp { "  encapsulation udp\n" } else { "  encapsulation ip\n" };
        if secret {
            text += &format!("  password \"{SECRET}\"\n");
        }
        for (number, (cookie, sublayer)) in SESSIONS.iter().take(sessions).enumerate() {
            text +=
                &format!("  session {letter}{number}\n    remote-end-id end{number}\n    cookie {cookie}\n");
            text += &format!("    l2-sublayer {sublayer}\n");
        }
    }
    text
}

fn ip_over_ipv4() {
    all_sessions(false, false);
}

fn ip_over_ipv6() {
    all_sessions(false, true);
}

fn udp_over_ipv4() {
    all_sessions(true, false);
}

fn udp_over_ipv6() {
    all_sessions(true, true);
}

fn all_sessions(udp: bool, ipv6: bool) {
    let net = Net::new();
    for (host, name) in [&net.a, &net.b].into_iter().enumerate() {
        let extra = addresses(ipv6, true)[host];
        let prefix = if ipv6 { "64 dev wire nodad" } else { "24 dev wire" };
        net.batch(name, &format!("addr add {extra}/{prefix}\n"));
    }
    let variant = format!("{}-ipv{}", if udp { "udp" } else { "ip" }, if ipv6 { 6 } else { 4 });
    let captures = [false, true].map(|secret| {
        let name = format!("matrix-{variant}-{}", if secret { "signed" } else { "plain" });
        Capture::start(&net, &name, &format!("host {}", addresses(ipv6, secret)[0]))
    });
    let mut b = Daemon::start(&net, &net.b, &config(1, udp, ipv6, 1));
    b.expect("debug l2tpd start");
    let mut a = Daemon::start(&net, &net.a, &config(0, udp, ipv6, 1));
    up(&mut a, 2);
    up(&mut b, 2);
    // One session after the other: tshark mixes up sessions whose set-ups overlap.
    for count in 2..=SESSIONS.len() {
        write_config(&b.config, &config(1, udp, ipv6, count));
        b.ctl_ok(&["reload"]);
        b.expect("info receive CDN, state --> IDLE"); // the other end does not have it yet
        b.expect("info receive CDN, state --> IDLE");
        write_config(&a.config, &config(0, udp, ipv6, count));
        a.ctl_ok(&["reload"]);
        up(&mut a, 2 * count);
        up(&mut b, 2 * count);
    }
    for (letter, third) in [('p', 0), ('s', 100)] {
        for (number, (cookie, sublayer)) in SESSIONS.iter().enumerate() {
            let interface = format!("{letter}{number}");
            let subnet = third + number;
            for (host, name) in [&net.a, &net.b].into_iter().enumerate() {
                net.batch(name, &format!("addr add 10.1.{subnet}.{}/24 dev {interface}\n", host + 1));
            }
            let mtu = 1500 - overhead(ipv6, udp, cookie, sublayer) - 14;
            frames(&net, &interface, &format!("10.1.{subnet}.2"), mtu);
        }
    }
    let captures = captures.map(Capture::finish);
    for (capture, secret) in captures.iter().zip([None, Some(SECRET)]) {
        capture.is_proper(secret);
        let with = secret.unwrap_or_default();
        let mut sessions = capture.fields(with, "l2tp.sid && icmp", &["l2tp.sid", "l2tp.cookie"]);
        sessions.sort();
        sessions.dedup();
        // Six sessions, both directions: tshark found the inner Ethernet frame after cookie and sublayer.
        assert_eq!(sessions.len(), 12, "sessions whose frames tshark reads: {sessions:?}");
    }
    bulk(&net, "10.1.2.2", 4 << 20);
    bulk(&net, "10.1.105.2", 4 << 20);
    a.stop();
    b.stop();
}

/// Frames of all kinds through one session, from `a` to `b`.
fn frames(net: &Net, interface: &str, to: &str, mtu: usize) {
    let shown: usize =
        net.exec(&net.a, &["cat", &format!("/sys/class/net/{interface}/mtu")]).trim().parse().expect("MTU");
    assert_eq!(shown, mtu, "MTU of {interface}");
    net.ping(&net.a, to, 56); // with the broadcast of ARP before it
    net.ping(&net.a, to, mtu - 28); // as large as fits
    let receiver = in_netns(&net.b, || FrameSocket::open(interface));
    let sender = in_netns(&net.a, || FrameSocket::open(interface));
    for (kind, head) in [
        ("broadcast", &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x88, 0xb5][..]),
        ("multicast", &[0x33, 0x33, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1, 0x88, 0xb5]),
        ("VLAN-tagged", &[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x81, 0, 0x60, 7, 0x88, 0xb5]),
        ("double-tagged", &[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xa8, 0, 5, 0x81, 0, 0, 7, 0x88, 0xb5]),
        ("802.3", &[1, 0x80, 0xc2, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0, 46]),
    ] {
        // The last octets, which no offload touches, tell that it is ours, whole.
        for size in [60, 1400.min(mtu + 14), mtu + 14] {
            let mut frame = head.to_vec();
            frame.extend((frame.len()..size).map(|at| (at * 7 + size) as u8));
            sender.send(&frame);
            assert!(arrives(&receiver, &frame), "a {kind} frame of {size} octets through {interface}");
        }
    }
}

/// Whether a frame comes out. The receiving kernel may have taken a VLAN tag out of it.
fn arrives(receiver: &FrameSocket, sent: &[u8]) -> bool {
    let deadline = Instant::now() + PATIENCE;
    let untagged = [&sent[..12], &sent[16..]].concat();
    while let Some(frame) = receiver.receive(deadline) {
        if frame == sent || frame == untagged {
            return true;
        }
    }
    false
}

/// TCP through the pseudowire; what comes out is compared octet by octet. Returns the time it took.
pub fn bulk(net: &Net, to: &str, size: usize) -> Duration {
    let address: SocketAddr = format!("{to}:5001").parse().expect("address");
    let listener = in_netns(&net.b, || TcpListener::bind(address).expect("listener"));
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut content = Vec::with_capacity(size);
    while content.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        content.extend(state.to_be_bytes());
    }
    let start = Instant::now();
    let mut received = Vec::with_capacity(size);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let connect = || TcpStream::connect_timeout(&address, PATIENCE);
            let mut stream = in_netns(&net.a, connect).expect("TCP through the pseudowire");
            stream.set_write_timeout(Some(PATIENCE)).expect("timeout");
            stream.write_all(&content).expect("TCP goes on");
        });
        let (mut stream, _) = listener.accept().expect("accept");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        stream.read_to_end(&mut received).expect("TCP goes on");
    });
    assert!(received == content, "TCP content was changed on the way");
    start.elapsed()
}

/// Bridges at both ends, sequence numbers, cookie, password: 32 MB pass, whatever the TAP's offloads do.
fn bulk_with_everything() {
    let net = Net::new();
    let config = |host: usize| {
        format!(
            "hostname h{host}\nrouter-id 10.0.0.{}\ntunnel t\n  local-address 192.0.2.{}\n  remote-address 192.0.2.{}\n  \
             remote-hostname h{}\n  remote-router-id 10.0.0.{}\n  password x\n  cookie 8\n  retry-interval 0.2\n  \
             session l0\n    remote-end-id e\n    l2-sublayer default\n    sequencing both\n    bridge br0\n",
            host + 1,
            host + 1,
            2 - host,
            1 - host,
            2 - host
        )
    };
    let mut b = Daemon::start(&net, &net.b, &config(1));
    let mut a = Daemon::start(&net, &net.a, &config(0));
    up(&mut a, 1);
    up(&mut b, 1);
    for (host, name) in [(1, &net.a), (2, &net.b)] {
        net.batch(name, &format!("link set br0 up\naddr add 10.9.9.{host}/24 dev br0\n"));
    }
    net.ping(&net.a, "10.9.9.2", 56);
    bulk(&net, "10.9.9.2", 32 << 20);
    a.stop();
    b.stop();
}
