//! Time and numbers: retransmission, windows, keepalive, wrapping sequence numbers, clocks that jump.

use std::time::Duration;

use l2tpd::wire::{Encapsulation, Message};

use crate::net::{seeds, tunnel, DELAY};
use crate::peer::Peer;
use crate::world::World;

const SIX: &[&str] = &["l2tp1", "l2tp2", "l2tp3", "l2tp4", "l2tp5", "l2tp6"];

/// When datagrams of a type were sent, in milliseconds since the first.
fn times(world: &World, kind: u16) -> Vec<u64> {
    let mut times = world.wire.iter().filter(|d| d.kind() == kind).map(|d| d.at.as_millis() as u64);
    let first = times.next().unwrap_or_default();
    std::iter::once(0).chain(times.map(|t| t - first)).collect()
}

// C-052 C-053 C-054 C-057 C-058 C-059 C-096 C-110 C-358: nobody answers: transmissions at 0, 1, 3, 7 s, given up at 15 s, then
// nothing until the next attempt, which has another id and another tie breaker.
#[test]
fn c_053_silent_peer() {
    for (tags, expected, end) in [
        ("retry 3", &[0, 1, 3, 7][..], 15),
        ("retry 5", &[0, 1, 3, 7, 15, 23], 31),
        ("", &[0, 1, 3, 7, 15, 23, 31, 39, 47, 55, 63], 71),
        ("retry 4;retry-interval 0.5;retry-interval-max 1", &[0, 0, 1, 2, 3], 4),
    ] {
        let mut world = World::new(1);
        world.add(&tunnel(0, 1, tags, &["l2tp1"]));
        world.capture = true;
        world.start(0);
        world.run_while_not(Duration::from_secs(100), |w| w.logged(0, "delete tunnel") > 0);
        let seconds: Vec<u64> = times(&world, 1).iter().map(|t| t / 1000).collect();
        assert_eq!(seconds, expected, "{tags}");
        assert_eq!(world.time.as_secs(), end, "{tags}");
        assert_eq!(world.logged(0, "failed to send control message. tunnel shut"), 2);
        let octets: Vec<_> = world.wire.iter().map(|d| d.octets.clone()).collect();
        assert!(octets.windows(2).all(|w| w[0] == w[1]), "C-096: a repetition repeats everything");
        let before = world.wire.len();
        world.run_seconds(7);
        assert_eq!(world.wire.len(), before, "C-059: silence before the next attempt");
        world.run_seconds(6);
        let next = world.wire.get(before).expect("another attempt");
        assert_ne!(next.octets, octets[0]);
        assert!(
            world.wire.iter().all(|d| d.encapsulation == Encapsulation::Ip),
            "C-358: no other way is tried"
        );
    }
}

// Who looks at a tunnel whose peer is silent sees when the next message is sent to it, at any time.
#[test]
fn the_next_try_at_a_silent_peer_is_told() {
    let mut world = World::new(1);
    world.add(&tunnel(0, 1, "retry 2;retry-interval 2;restart-interval 8", &["l2tp1"]));
    world.capture = true;
    world.start(0);
    assert!(world.run_while_not(Duration::from_secs(1), |w| !w.wire.is_empty()), "an SCCRQ");
    // Two repetitions, the end of the attempt, the next one.
    for _ in 0..4 {
        let next = world.tunnel(0).next_try.expect("told");
        let (sent, state) = (world.wire.len(), world.tunnel(0).state.status_name());
        assert!(next > Duration::from_millis(5) && next < Duration::from_secs(11), "{next:?}");
        world.run(next - Duration::from_millis(5));
        assert_eq!((world.wire.len(), world.tunnel(0).state.status_name()), (sent, state));
        world.run(Duration::from_millis(10));
        assert_ne!((world.wire.len(), world.tunnel(0).state.status_name()), (sent, state));
    }
}

// The attempts go on for ever, at the restart interval plus or minus a quarter, never in step.
#[test]
fn attempts_for_ever() {
    let mut world = World::new(1);
    world.add(&tunnel(
        0,
        1,
        "retry 1;retry-interval 0.1;restart-interval 8;restart-interval-max 8",
        &["l2tp1"],
    ));
    world.start(0);
    world.run_seconds(86_400);
    let begun: Vec<Duration> = world.nodes[0]
        .log
        .iter()
        .filter(|(_, l)| l.text.contains("begin new tunnel"))
        .map(|(at, _)| *at)
        .collect();
    let gaps: Vec<f64> = begun.windows(2).map(|w| (w[1] - w[0]).as_secs_f64()).collect();
    assert!(gaps.len() > 9000, "{}", gaps.len());
    assert!(gaps.iter().all(|g| (6.0..=10.5).contains(g)));
    let (least, most) = gaps.iter().fold((f64::MAX, 0.0_f64), |(l, m), g| (l.min(*g), m.max(*g)));
    assert!(most - least > 3.0, "{least} to {most}");
}

// C-065 C-067: the peer's window is 1: never two messages in flight, Ns without gaps, and all sessions come up.
#[test]
fn c_065_peer_window_of_one() {
    let mut world = World::new(2);
    world.add(&tunnel(0, 1, "receive-window 1", SIX));
    world.add(&tunnel(1, 0, "receive-window 1;role passive", SIX));
    world.capture = true;
    world.start(1);
    world.start(0);
    world.run_seconds(10);
    world.assert_both_up();
    for n in 0..2 {
        assert!(most_in_flight(&world, n) <= 1, "node {n}");
        assert_eq!(world.tunnel(n).counters.tx_retransmissions, 0);
    }
}

/// The most messages of a node that its peer had not acknowledged at any moment, as seen on the wire.
fn most_in_flight(world: &World, n: usize) -> u16 {
    let (own, mut next, mut acknowledged, mut most) = (crate::net::address(n), 0_u16, 0_u16, 0);
    for datagram in &world.wire {
        let o = &datagram.octets;
        let (ns, nr) = (u16::from_be_bytes([o[8], o[9]]), u16::from_be_bytes([o[10], o[11]]));
        if datagram.from.ip() == own && !matches!(datagram.kind(), 0 | 20) {
            assert!(ns <= next, "C-067: {ns} after {next}");
            next = next.max(ns + 1);
            most = most.max(next - acknowledged);
        } else if datagram.from.ip() != own {
            acknowledged = acknowledged.max(nr);
        }
    }
    most
}

// C-064 C-068 C-069 C-072: no Receive Window Size: at most four in flight, and slow start before.
#[test]
fn c_064_default_window() {
    let (mut peer, mut world) = Peer { window: None, ..Peer::new() }.and_established("", SIX);
    world.run_seconds(2);
    let flight = |peer: &mut Peer, world: &mut World| {
        world.run(Duration::from_millis(5));
        let count = peer.receive(world).iter().filter(|r| matches!(r.message, Message::Icrq(_))).count();
        peer.acknowledge(world);
        count
    };
    // The SCCRP and its acknowledgement opened the window to 2.
    assert_eq!(flight(&mut peer, &mut world), 2);
    assert_eq!(flight(&mut peer, &mut world), 4);
    assert_eq!(flight(&mut peer, &mut world), 0);
    let (mut peer, mut world) = Peer { window: None, ..Peer::new() }.and_established("", &[]);
    let many: Vec<String> = (1..=20).map(|k| format!("l2tp{k}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    world.reload(0, &tunnel(0, 1, "role passive", &many));
    assert_eq!([(); 4].map(|()| flight(&mut peer, &mut world)), [2, 4, 4, 4], "C-072");
}

// C-060 C-071: of two messages in flight only the older is repeated.
#[test]
fn c_060_only_the_oldest_is_repeated() {
    let (mut peer, mut world) = Peer::new().and_established("", SIX);
    world.run_seconds(2);
    let first: Vec<u16> = peer.receive(&mut world).iter().map(|r| r.header.ns).collect();
    assert_eq!(first, [1, 2]);
    world.run_seconds(3);
    let again: Vec<u16> = peer.receive(&mut world).iter().map(|r| r.header.ns).collect();
    assert_eq!(again, [1, 1]);
}

// An acknowledgement of the oldest message gives the next one its whole gap.
#[test]
fn the_gap_begins_anew_with_each_acknowledgement() {
    let (mut peer, mut world) = Peer::new().and_established("", &["l2tp1", "l2tp2"]);
    world.forget();
    world.capture = true;
    world.run_while_not(Duration::from_secs(3), |w| w.wire.iter().filter(|d| d.kind() == 10).count() == 2);
    let sent = world.time;
    world.run(Duration::from_millis(900));
    peer.receive(&mut world);
    peer.nr = peer.nr.wrapping_sub(1);
    peer.acknowledge(&mut world);
    let requests = |world: &World| world.wire.iter().filter(|d| d.kind() == 10).count();
    world.run_while_not(Duration::from_secs(3), |w| requests(w) == 3);
    let again = (world.time - sent).as_millis();
    assert!((1900..2000).contains(&again), "{again} ms");
}

// C-055 C-056: a repetition has the same Ns, the current Nr, and so another digest.
#[test]
fn c_055_c_056_repetitions() {
    let (mut peer, mut world) = Peer::with_password("secret").and_established("password secret", &["l2tp1"]);
    world.run_seconds(2);
    let first = peer.receive(&mut world).remove(0);
    peer.nr -= 1; // not acknowledged
    peer.send(&mut world, &Message::Hello);
    world.run_seconds(1);
    let again =
        peer.receive(&mut world).into_iter().find(|r| r.message == first.message).expect("a repetition");
    assert_eq!(again.header.ns, first.header.ns);
    assert_eq!(again.header.nr, first.header.nr + 1);
    assert_ne!(again.octets[20..43], first.octets[20..43], "C-056");
    let secret = peer.secret.clone().unwrap();
    let nonce = peer.their_nonce.clone();
    let verdict = l2tpd::wire::digest::verify(&again.octets, &[&secret], &nonce, b"the peer's nonce");
    assert!(verdict.valid.is_some());
}

// C-036 C-037 C-038 C-039 C-042 C-044 C-046 C-050 C-077: acknowledgements, old ones and repeated messages.
#[test]
fn c_036_c_050_acknowledgements() {
    let (mut peer, mut world) = Peer::new().and_established("", &["l2tp1"]);
    let hello = peer.octets(&Message::Hello);
    peer.send(&mut world, &Message::Hello);
    let ack = peer.receive(&mut world).remove(0);
    assert_eq!((ack.header.ns, ack.header.nr), (1, peer.ns), "C-021 C-037");
    peer.raw(&mut world, hello);
    let again = peer.receive(&mut world).remove(0);
    assert_eq!(again.header, ack.header, "C-036: the same acknowledgement once more");
    assert_eq!(world.logged(0, "receive HELLO"), 1, "C-036: processed once");
    for _ in 0..10 {
        peer.acknowledge(&mut world);
    }
    assert_eq!(peer.kinds(&mut world), "", "C-039");
    world.run_seconds(2);
    let request = peer.receive(&mut world).remove(0);
    assert_eq!((request.header.ns, request.header.nr), (1, peer.ns), "C-037 C-038");
    // C-042: a message ahead of its turn acknowledges all the same.
    peer.ns += 3;
    peer.send(&mut world, &Message::Hello);
    world.inbox.clear();
    assert_eq!(world.tunnel(0).queued, 0);
    // C-044: an older Nr is harmless.
    peer.ns -= 4;
    peer.nr = 0;
    peer.send(&mut world, &Message::Hello);
    assert_eq!(world.logged(0, "receive HELLO"), 2);
    // C-043: one beyond what was sent is not.
    peer.nr = 9;
    peer.send(&mut world, &Message::Hello);
    assert_eq!((world.logged(0, "receive HELLO"), world.tunnel(0).counters.rx_bad_nr), (2, 1));
}

// C-040 C-041: HELLO before the ICRQ that precedes it: kept, and processed in its turn.
#[test]
fn c_041_early_messages_are_kept() {
    let (mut peer, mut world) = Peer::new().and_established("", &["l2tp1"]);
    peer.ns += 1;
    peer.send(&mut world, &Message::Hello);
    assert_eq!(peer.kinds(&mut world), "ACK");
    assert_eq!(world.logged(0, "receive HELLO"), 0);
    peer.ns -= 2;
    peer.send(&mut world, &Message::Icrq(crate::peer::icrq("1")));
    let text = world.transcript(0);
    let (request, hello) = (text.find("receive ICRQ").unwrap(), text.find("receive HELLO").unwrap());
    assert!(request < hello, "{text}");
    assert_eq!(world.tunnel(0).nr, 4);
}

// C-073 C-076 C-318: an idle pair exchanges HELLOs and acknowledgements, and nothing else, all day.
#[test]
fn c_073_quiet_network() {
    let mut world = World::pair(4, "password secret", SIX);
    world.capture = true;
    world.start_all();
    world.run_seconds(120);
    world.assert_both_up();
    let minutes: Vec<usize> = (0..24 * 60)
        .map(|_| {
            world.wire.clear();
            world.run_seconds(60);
            assert!(world.wire.iter().all(|d| matches!(d.kind(), 6 | 20)), "only HELLO and ACK");
            world.wire.len()
        })
        .collect();
    assert!(minutes.iter().all(|count| (2..=8).contains(count)), "{minutes:?}");
    world.assert_both_up();
    assert_eq!(world.tunnel(0).counters.tx_retransmissions, 0);
}

// C-074 C-318: data that arrives is a sign of life: no HELLO while it does.
#[test]
fn c_074_data_keeps_alive() {
    let (mut peer, mut world) = Peer::new().and_established("hello-interval 4", &["l2tp1"]);
    peer.send(&mut world, &Message::Icrq(crate::peer::icrq("1")));
    peer.receive(&mut world);
    let id = world.session(0, "l2tp1").local;
    peer.send(&mut world, &crate::peer::iccn(id));
    for _ in 0..40 {
        let now = world.now();
        world.nodes[0].heard.insert(id, now);
        world.run_seconds(1);
    }
    assert!(!peer.kinds(&mut world).contains("HELLO"));
    let quiet = world.time;
    assert!(world.run_while_not(Duration::from_secs(6), |w| w.logged(0, "send HELLO") > 0));
    let after = (world.time - quiet).as_secs_f64() + 1.0;
    assert!((3.6..=5.1).contains(&after), "{after}");
}

// C-074: so do control messages of the peer, its own HELLOs among them.
#[test]
fn c_074_control_messages_keep_alive() {
    let (mut peer, mut world) = Peer::new().and_established("hello-interval 60", &[]);
    for _ in 0..10 {
        world.run_seconds(40);
        peer.send(&mut world, &Message::Hello);
        peer.receive(&mut world);
    }
    assert_eq!(world.logged(0, "send HELLO"), 0, "{}", world.transcript(0));
    world.run_seconds(61);
    assert_eq!(world.logged(0, "send HELLO"), 1, "{}", world.transcript(0));
}

// C-079: `hello-interval none`: silence, but the peer's HELLO is answered.
#[test]
fn c_079_no_keepalive() {
    let (mut peer, mut world) = Peer::new().and_established("hello-interval none", &[]);
    world.run_seconds(86_400);
    assert_eq!(peer.kinds(&mut world), "");
    peer.send(&mut world, &Message::Hello);
    assert_eq!(peer.kinds(&mut world), "ACK");
    assert_eq!(world.nodes[0].engine.next_timeout(), None);
}

// C-076: the HELLOs of many tunnels spread.
#[test]
fn c_076_hellos_are_not_in_step() {
    let mut world = World::new(5);
    let mut texts = [String::new(), String::new()];
    for (me, text) in texts.iter_mut().enumerate() {
        let peer = 1 - me;
        *text = format!("hostname {}\nrouter-id 10.0.0.{}\n", ["a", "b"][me], me + 1);
        for k in 0..20 {
            text.push_str(&format!(
                "tunnel t{k}\nremote-address {}\nremote-hostname {}{k}\nlocal-hostname {}{k}\nremote-router-id any\n",
                crate::net::address(peer),
                ["a", "b"][peer],
                ["a", "b"][me]
            ));
            if me == 1 {
                text.push_str("role passive\nhello-interval none\n");
            }
        }
    }
    world.add(&texts[0]);
    world.add(&texts[1]);
    world.capture = true;
    world.start(1);
    world.start(0);
    world.run_seconds(50);
    world.wire.clear();
    world.run_seconds(600);
    let mut per_second = std::collections::BTreeMap::new();
    for datagram in world.wire.iter().filter(|d| d.kind() == 6) {
        *per_second.entry(datagram.at.as_secs()).or_insert(0) += 1;
    }
    let hellos: usize = per_second.values().sum();
    assert!(hellos >= 180, "{hellos}");
    let late = per_second.iter().filter(|(second, _)| **second > 400).map(|(_, count)| *count).max();
    assert!(late.unwrap() <= 12, "{per_second:?}");
}

// C-020 C-035: 70,000 messages each way: the numbers pass 65535 and nothing happens.
#[test]
fn c_035_numbers_wrap() {
    let mut world = World::pair(6, "hello-interval none;password secret", &["l2tp1"]);
    world.start_all();
    world.run_seconds(20);
    world.assert_both_up();
    let connection = world.tunnel(0).local_ccid;
    for k in 0..66_000_u32 {
        for n in 0..2 {
            world.act(n, |e, now| e.circuit(now, "l2tp1", k % 2 == 1));
        }
        world.run(Duration::from_millis(1001));
        if k % 1000 == 0 {
            world.forget();
        }
    }
    world.run_seconds(5);
    world.assert_both_up();
    let tunnel = world.tunnel(0);
    assert_eq!(tunnel.local_ccid, connection);
    assert_eq!((tunnel.counters.tx_retransmissions, tunnel.queued), (0, 0));
    assert!(tunnel.ns < 2000 && tunnel.nr < 2000, "they wrapped: {} {}", tunnel.ns, tunnel.nr);
    assert!(tunnel.counters.tx_messages > 65_536);
}

// The clock jumps a day, a year, a hundred years: the tunnel survives or comes back, and nothing runs wild.
#[test]
fn clock_jumps() {
    const DAY: u64 = 86_400;
    for jump in [DAY, 365 * DAY, 36_500 * DAY] {
        let mut world = World::pair(7, "password secret", SIX);
        world.start_all();
        world.run_seconds(60);
        world.assert_both_up();
        world.forget();
        // As after a sleep: nothing ran meanwhile, and then everything is due at once.
        world.time += Duration::from_secs(jump);
        world.run_seconds(30);
        let lines = world.nodes[0].log.len();
        assert!(lines < 100, "{lines} lines\n{}", world.transcript(0));
        world.run_seconds(300);
        world.assert_both_up();
    }
}

// A message and a timer fall on one instant: either order does.
#[test]
fn two_events_at_one_instant() {
    seeds(50, |seed| {
        let mut world = World::pair(seed, "hello-interval 2;retry 3", &["l2tp1"]);
        // Answers take exactly as long as the first retransmission.
        world.fault = Box::new(|_, _| vec![Duration::from_millis(500)]);
        world.start_all();
        world.run_seconds(60);
        world.fault = Box::new(|_, _| vec![DELAY * 1000]);
        world.run_seconds(60);
        world.fault = crate::net::perfect();
        assert!(world.run_while_not(Duration::from_secs(60), World::both_up), "{}", world.transcript(0));
    });
}
