//! Each counter of a session, by its reason: a scripted peer and the system do what it stands for, and exactly that
//! is counted. A counter for which nothing is done here makes the test fail.

use std::collections::{BTreeMap, BTreeSet};
use std::net::UdpSocket;

use crate::daemon::{write_config, Daemon};
use crate::net::Net;
use crate::packet::{PacketSocket, Vnet};
use crate::peer::{avp, config, Call, Peer, ICCN, ICRP};
use crate::shape::{pattern, Shape, PLAIN};
use crate::sys::in_netns;
use crate::tests;
use crate::wait::{wait_until, PATIENCE};
use crate::world::hold;

tests!(every_counter_by_its_reason, data_of_no_session);

const SLI: u16 = 16;

/// `link-state up`, so that the system sends whatever the session's state is; `mtu` and `dont-fragment`, so that
/// frames can be too long.
const SESSION: &str = "  session l0\n    remote-end-id end1\n    cookie 8\n    l2-sublayer default\n    \
                       sequencing both\n    link-state up\n    mtu 1500\n    oversize icmp\n    tcp-mss 1200\n";

type Numbers = BTreeMap<String, u64>;

/// The counters of one part of what `l2tpctl counters` shows; what is 0 is left out.
fn part(daemon: &Daemon, heading: &str) -> Numbers {
    let text = daemon.ctl_ok(&["counters"]);
    let mut lines = text.lines().skip_while(|line| *line != heading);
    assert!(lines.next().is_some(), "no `{heading}` in\n{text}");
    let numbers = lines.take_while(|line| line.starts_with(' ')).map(|line| {
        let mut words = line.split_whitespace();
        let value = words.next().and_then(|word| word.parse().ok()).expect("number");
        (words.next().expect("name").to_owned(), value)
    });
    numbers.filter(|(_, value)| *value > 0).collect()
}

/// A daemon, its peer, and a packet socket on the session's interface.
struct Bench {
    net: Net,
    daemon: Daemon,
    peer: Peer,
    tap: PacketSocket,
    /// The names of all that was counted.
    seen: BTreeSet<String>,
}

impl Bench {
    fn new() -> Bench {
        Bench::with(SESSION)
    }

    /// The same with this session block.
    fn with(session: &str) -> Bench {
        let net = Net::new();
        // Nothing is sent that the test did not send.
        net.exec(&net.a, &["sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6"]);
        let tunnel = "  role passive\n  encapsulation udp\n  dont-fragment on\n";
        let mut daemon = Daemon::start(&net, &net.a, &config(tunnel, session));
        daemon.expect("debug l2tpd start");
        let peer = Peer::udp(&net);
        let tap = in_netns(&net.a, || PacketSocket::open("l0"));
        Bench { net, daemon, peer, tap, seen: BTreeSet::new() }
    }

    /// Does something, after which `expected` is what was counted, and nothing else.
    #[track_caller]
    fn counts(&mut self, expected: &[(&str, usize)], what: impl FnOnce(&mut Bench)) {
        let before = part(&self.daemon, "interface l0:");
        what(self);
        let expected: Numbers = expected.iter().map(|(name, n)| ((*name).to_owned(), *n as u64)).collect();
        let counted = || {
            let mut now = part(&self.daemon, "interface l0:");
            now.iter_mut().for_each(|(name, value)| *value -= before.get(name).unwrap_or(&0));
            now.retain(|_, value| *value > 0);
            now
        };
        wait_until(
            || counted() == expected,
            || format!("{:?} was counted instead of {expected:?}", counted()),
        );
        self.seen.extend(expected.into_keys());
    }

    /// The system sends a frame out of the interface.
    fn send(&self, frame: &[u8]) {
        self.tap.send(Vnet::default(), frame);
    }

    /// The peer tells its circuit's status.
    fn status(&mut self, call: &Call, status: u16) {
        let sli = self.peer.session_message(SLI, call).with(avp(71, &status.to_be_bytes()));
        self.peer.send(&sli);
        self.peer.expect_ack();
    }
}

/// A data message over UDP: header, cookie, sublayer, frame.
fn data(call: &Call, cookie: &[u8], sublayer: u32, frame: &[u8]) -> Vec<u8> {
    [&[0, 3, 0, 0], &call.remote.to_be_bytes()[..], cookie, &sublayer.to_be_bytes(), frame].concat()
}

/// A frame of a protocol of nobody.
fn frame(length: usize) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 9, 0x88, 0xb5]);
    frame.extend(pattern(length - 14));
    frame
}

fn every_counter_by_its_reason() {
    let mut bench = Bench::new();
    bench.counts(&[("tx_drop_closed", 2)], |b| (0..2).for_each(|_| b.send(&frame(60))));
    bench.peer.connect();
    let icrq = bench.peer.icrq("end1").with(avp(65, &[7; 8])).with(avp(69, &[0, 1])).with(avp(70, &[0, 2]));
    bench.peer.send(&icrq);
    let icrp = bench.peer.expect(ICRP);
    let local = u32::from_be_bytes(icrq.avps[0].value[..].try_into().expect("id"));
    let cookie = icrp.avp(65).expect("cookie").to_vec();
    let call = Call { local, remote: icrp.u32(63), cookie };
    let message = |number: u32, frame: &[u8]| data(&call, &call.cookie, 0x4000_0000 | number, frame);
    // The session is known, but not established.
    bench.counts(&[("rx_drop_closed", 1)], |b| b.peer.send_packet(&message(0, &frame(60))));
    bench.counts(&[("tx_drop_closed", 1)], |b| b.send(&frame(60)));
    let iccn = bench.peer.session_message(ICCN, &call);
    bench.peer.send(&iccn);
    bench.daemon.expect("info receive ICCN, state --> ESTABLISHED");

    frames_and_checks(&mut bench, &call);
    circuits(&mut bench, &call);
    offloads(&mut bench, &call);
    what_the_path_refuses(&mut bench);
    storms(&mut bench, &call);
    bench.counts(&[("rx_drop_interface", 1)], |b| {
        b.net.batch(&b.net.a, "link set l0 down\n");
        b.peer.expect(SLI);
        b.peer.send_packet(&message(30, &frame(60)));
    });

    bench.seen.extend(fragments());
    let all: BTreeSet<String> =
        l2tpd::counters::Counters::default().entries().map(|(name, _, _)| name.to_owned()).collect();
    assert_eq!(bench.seen, all, "counters without a reason, or reasons without a counter");
}

/// Frames that travel as fragments (RFC 4623), and what comes of those that are not complete; what was counted.
fn fragments() -> BTreeSet<String> {
    let mut bench = Bench::with(&SESSION.replace("oversize icmp", "oversize pseudowire"));
    bench.peer.connect();
    let icrq = bench.peer.icrq("end1").with(avp(65, &[7; 8])).with(avp(69, &[0, 1])).with(avp(70, &[0, 2]));
    let local = u32::from_be_bytes(icrq.avps[0].value[..].try_into().expect("id"));
    bench.peer.send(&icrq.with(avp(94, &600_u16.to_be_bytes())).with(avp(95, &1513_u16.to_be_bytes())));
    let icrp = bench.peer.expect(ICRP);
    assert_eq!((icrp.u32(63) > 0, icrp.avp(94).is_some()), (true, true));
    assert_eq!(icrp.avp(95), Some(&9238_u16.to_be_bytes()[..]), "a jumbo frame with two tags");
    let cookie = icrp.avp(65).expect("cookie").to_vec();
    let call = Call { local, remote: icrp.u32(63), cookie };
    let iccn = bench.peer.session_message(ICCN, &call);
    bench.peer.send(&iccn);
    bench.daemon.expect("info receive ICCN, state --> ESTABLISHED");

    // 580 octets of the frame and 20 of the header are what the peer takes.
    let wire = in_netns(&bench.net.b, || PacketSocket::open("wire"));
    let sent = frame(1513);
    bench.counts(&[("tx_fragmented", 1), ("tx_frames", 1), ("tx_octets", 1513)], |b| b.send(&sent));
    let deadline = std::time::Instant::now() + PATIENCE;
    let (mut bits, mut octets): (Vec<u8>, Vec<u8>) = (Vec::new(), Vec::new());
    while octets.len() < sent.len() {
        let (_, packet) = wire.receive(deadline).expect("a fragment");
        // Ethernet, IPv4, UDP; data of our session, which the system cuts behind this place (UDP GSO).
        let head = [&[0, 3, 0, 0], &call.local.to_be_bytes()[..]].concat();
        if packet.len() > 62 && packet[23] == 17 && packet[42..50] == head {
            assert_eq!(packet[20] & 0x40, 0x40, "DF (RFC 4623 5.1)");
            for message in packet[42..].chunks(600) {
                assert_eq!(message[..8], head);
                bits.push(message[16]);
                octets.extend(&message[20..]);
            }
        }
    }
    assert_eq!((&bits[..], octets == sent), (&[0x50, 0x70, 0x60][..], true));
    bench.counts(&[("tx_drop_size", 1)], |b| b.send(&frame(1514)));
    bench.counts(&[("tx_frames", 1), ("tx_octets", 580)], |b| b.send(&frame(580)));

    let part = |bits: u32, number: u32, octets: &[u8]| data(&call, &call.cookie, bits << 24 | number, octets);
    bench.counts(&[("rx_fragments", 3), ("rx_frames", 1), ("rx_octets", 1513)], |b| {
        b.peer.send_packet(&part(0x50, 0, &sent[..500]));
        b.peer.send_packet(&part(0x70, 1, &sent[500..501]));
        b.peer.send_packet(&part(0x60, 2, &sent[501..]));
    });
    let deadline = std::time::Instant::now() + PATIENCE;
    assert!(std::iter::from_fn(|| bench.tap.receive(deadline)).any(|(_, frame)| frame == sent), "the frame");
    // The middle is lost; the beginning is lost; nothing follows, and a second later it is given up.
    bench.counts(&[("rx_fragments", 2), ("rx_drop_incomplete", 2)], |b| {
        b.peer.send_packet(&part(0x50, 3, &sent[..500]));
        b.peer.send_packet(&part(0x60, 5, &sent[501..]));
    });
    bench.counts(&[("rx_fragments", 1), ("rx_drop_incomplete", 1)], |b| {
        b.peer.send_packet(&part(0x60, 6, &sent[501..]));
    });
    bench.counts(&[("rx_fragments", 1), ("rx_drop_incomplete", 1)], |b| {
        b.peer.send_packet(&part(0x50, 7, &sent[..500]));
    });
    bench.seen
}

/// What passes, and what the checks of the header find. C-307 C-308 C-310 C-315
fn frames_and_checks(bench: &mut Bench, call: &Call) {
    let message = |number: u32, frame: &[u8]| data(call, &call.cookie, 0x4000_0000 | number, frame);
    bench.counts(&[("rx_frames", 2), ("rx_octets", 160)], |b| {
        b.peer.send_packet(&message(1, &frame(60)));
        b.peer.send_packet(&message(2, &frame(100)));
    });
    bench.counts(&[("tx_frames", 2), ("tx_octets", 160)], |b| {
        b.send(&frame(60));
        b.send(&frame(100));
    });
    let good = message(3, &frame(60));
    // No whole cookie; no whole sublayer; no whole Ethernet header.
    bench.counts(&[("rx_drop_short", 3)], |b| {
        [15, 19, 33].iter().for_each(|length| b.peer.send_packet(&good[..*length]));
    });
    bench.counts(&[("rx_drop_cookie", 1)], |b| {
        let mut wrong = call.cookie.clone();
        wrong[7] ^= 1;
        b.peer.send_packet(&data(call, &wrong, 0x4000_0003, &frame(60)));
    });
    bench.counts(&[("rx_drop_source", 1)], |b| {
        let other = in_netns(&b.net.b, || UdpSocket::bind("192.0.2.2:1702").expect("socket"));
        other.send_to(&good, "192.0.2.1:1701").expect("send");
    });
    // VCCV (RFC 5085), and the first of several fragments (RFC 4623).
    bench.counts(&[("rx_drop_sublayer", 2)], |b| {
        b.peer.send_packet(&data(call, &call.cookie, 0xc000_0003, &frame(60)));
        b.peer.send_packet(&data(call, &call.cookie, 0x5000_0003, &frame(60)));
    });
    bench.counts(&[("rx_drop_sequence", 2)], |b| {
        b.peer.send_packet(&message(2, &frame(60)));
        b.peer.send_packet(&message(1, &frame(60)));
    });
    bench.counts(&[("rx_frames", 1), ("rx_octets", 60)], |b| b.peer.send_packet(&good));
}

/// The peer's circuit: down it gets nothing (C-150), on standby nothing of it is delivered either (C-344).
fn circuits(bench: &mut Bench, call: &Call) {
    let message = |number: u32| data(call, &call.cookie, 0x4000_0000 | number, &frame(60));
    bench.status(call, 0);
    bench.counts(&[("tx_drop_circuit", 1)], |b| b.send(&frame(60)));
    bench.counts(&[("rx_frames", 1), ("rx_octets", 60)], |b| b.peer.send_packet(&message(4)));
    bench.status(call, 0x0041);
    bench.counts(&[("tx_drop_circuit", 1)], |b| b.send(&frame(60)));
    bench.counts(&[("rx_drop_standby", 1)], |b| b.peer.send_packet(&message(5)));
    bench.status(call, 1);
    bench.counts(&[("tx_frames", 1), ("tx_octets", 60)], |b| b.send(&frame(60)));
}

/// Cut, joined, changed.
fn offloads(bench: &mut Bench, call: &Call) {
    let message = |number: u32, frame: &[u8]| data(call, &call.cookie, 0x4000_0000 | number, frame);
    let content = pattern(700);
    let octets = 4 * 54 + content.len();
    bench.counts(&[("tx_segmented", 4), ("tx_frames", 4), ("tx_octets", octets)], |b| {
        let (vnet, frame) = PLAIN.super_frame(&content, 200);
        b.tap.send(vnet, &frame);
    });
    let octets = 3 * 54 + 600;
    bench.counts(&[("rx_coalesced", 3), ("rx_frames", 3), ("rx_octets", octets)], |b| {
        hold(&b.daemon, || {
            let before = delivered(&b.net);
            for at in 0..3 {
                let frame = PLAIN.frame(at, 200 * u32::from(at), &content[..200]);
                b.peer.send_packet(&message(6 + u32::from(at), &frame));
            }
            wait_until(|| delivered(&b.net) >= before + 3, || "they are not all in the socket".to_owned());
        });
    });
    let syn = Shape { flags: 2, tcp_options: &[2, 4, 5, 0xb4], ..PLAIN }.frame(1, 1, &[]);
    let octets = syn.len();
    bench.counts(&[("mss_clamped", 1), ("rx_frames", 1), ("rx_octets", octets)], |b| {
        b.peer.send_packet(&message(9, &syn));
    });
    bench.counts(&[("mss_clamped", 1), ("tx_frames", 1), ("tx_octets", octets)], |b| b.send(&syn));
}

/// Packets that the kernel of host 1 handed to its sockets.
fn delivered(net: &Net) -> u64 {
    let text = net.exec(&net.a, &["cat", "/proc/net/snmp"]);
    let rows: Vec<Vec<&str>> = text.lines().take(2).map(|line| line.split_whitespace().collect()).collect();
    let column = rows[0].iter().position(|name| *name == "InDelivers").expect("the counter");
    rows[1][column].parse().expect("number")
}

/// More to all than the limit, in either direction.
fn storms(bench: &mut Bench, call: &Call) {
    let before = std::fs::read_to_string(&bench.daemon.config).expect("the configuration");
    write_config(
        &bench.daemon.config,
        &before.replace("    mtu 1500\n", "    mtu 1500\n    storm-limit 1\n"),
    );
    bench.daemon.ctl_ok(&["reload"]);
    bench.counts(&[("tx_frames", 1), ("tx_octets", 60), ("tx_drop_storm", 2)], |b| {
        (0..3).for_each(|_| b.send(&frame(60)));
    });
    bench.counts(&[("rx_frames", 1), ("rx_octets", 60), ("rx_drop_storm", 2)], |b| {
        (27..30).for_each(|n| {
            b.peer.send_packet(&data(call, &call.cookie, 0x4000_0000 | n, &frame(60)));
        });
    });
    write_config(&bench.daemon.config, &before);
    bench.daemon.ctl_ok(&["reload"]);
}

/// Too long, no room, no route; each only for a while.
fn what_the_path_refuses(bench: &mut Bench) {
    bench.counts(&[("tx_drop_size", 1)], |b| b.send(&frame(1514)));
    let why = bench.daemon.ctl_ok(&["explain"]);
    assert!(why.contains("    1 frames were dropped") && why.contains("dont-fragment off"), "{why}");
    // One whose sender can be told.
    let told = Shape { tcp: false, ..PLAIN }.frame(7, 9, &pattern(1472));
    bench.counts(&[("tx_drop_size", 1), ("icmp_too_big", 1)], |b| b.send(&told));
    let tc = |b: &Bench, words: &[&str]| {
        b.net.exec(&b.net.a, &[&["tc", "qdisc"], words].concat());
    };
    // A queue that takes nothing: the kernel says that it has no room.
    tc(bench, &["add", "dev", "wire", "root", "pfifo", "limit", "0"]);
    bench.counts(&[("tx_drop_queue", 3)], |b| (0..3).for_each(|_| b.send(&frame(60))));
    tc(bench, &["del", "dev", "wire", "root"]);
    bench.net.batch(&bench.net.a, "route add unreachable 192.0.2.2/32\n");
    bench.counts(&[("tx_drop_error", 2)], |b| (0..2).for_each(|_| b.send(&frame(60))));
    bench.daemon.expect("warn *l0: frames are not sent: No route to host*");
    bench.net.batch(&bench.net.a, "route del unreachable 192.0.2.2/32\n");
    bench.counts(&[("tx_frames", 1), ("tx_octets", 60)], |b| b.send(&frame(60)));
}

/// Data that no session can be told for is counted too, each by what is wrong with it.
fn data_of_no_session() {
    let bench = Bench::new();
    let sessions = "data of no session, dropped:";
    let messages = "control messages of no tunnel, dropped:";
    for (octets, heading, name) in [
        (&[0, 3, 0, 0, 0, 0, 0x77, 0x77, 1, 2, 3][..], sessions, "rx_drop_closed"),
        (&[0, 3, 0, 0, 0, 0, 0x77], sessions, "rx_drop_short"),
        (&[0], sessions, "rx_drop_short"),
        (&[0, 2, 0, 0, 0, 7, 0, 9], messages, "version"),
    ] {
        let value = |bench: &Bench| part(&bench.daemon, heading).get(name).copied().unwrap_or(0);
        let before = value(&bench);
        bench.peer.send_packet(octets);
        wait_until(|| value(&bench) == before + 1, || format!("{name} after {octets:02x?}"));
    }
    assert_eq!(part(&bench.daemon, "interface l0:"), Numbers::new());
    let why = bench.daemon.ctl_ok(&["explain"]);
    assert!(
        why.contains("\ndropped from 192.0.2.2: data for session 30583, which is not there (once"),
        "{why}"
    );
}
