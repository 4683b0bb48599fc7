//! What is dropped before it is known to belong to a tunnel is told at this end: in the log, bounded, and in `explain`.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use l2tpd::proto::dropped::DropCause;
use l2tpd::proto::snapshot::DroppedFrom;
use l2tpd::wire::{Encapsulation, Message, SessionId};

use crate::net::{address, tunnel};
use crate::peer::Peer;
use crate::world::World;

fn from(last: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::from([192, 0, 2, last]), 0)
}

/// The lines about what was dropped.
fn lines(world: &World) -> Vec<String> {
    let lines = world.nodes[0].log.iter().filter(|(_, line)| line.kind == "dropped");
    lines.map(|(_, line)| line.text.trim_start().to_owned()).collect()
}

fn shown(world: &World) -> Vec<DroppedFrom> {
    world.snapshot(0).dropped_from
}

/// A node with this configuration.
fn node(text: &str) -> World {
    let mut world = World::new(5);
    world.add(text);
    world.start(0);
    world
}

#[test]
fn an_sccrq_of_a_stranger_is_told_once_a_minute() {
    let mut world = node(&tunnel(0, 1, "role passive", &["l2tp1"]));
    let mut peer = Peer { from: from(9), ..Peer::new() };
    let line =
        "from 192.0.2.9 dropped: an SCCRQ of \"b\", router-id 10.0.0.2: no tunnel has this remote-address";
    for _ in 0..5 {
        peer.ns = 0;
        peer.request(&mut world);
        world.run_seconds(8);
    }
    assert_eq!(lines(&world), [line]);
    world.run_seconds(21);
    peer.ns = 0;
    peer.request(&mut world);
    assert_eq!(lines(&world), [line.to_owned(), format!("{line} (6 so far)")]);
    let all = shown(&world);
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].address, all[0].count), (from(9).ip(), 6));
    assert!(line.ends_with(&all[0].what), "{all:?}");
    world.run_seconds(3700);
    assert_eq!(shown(&world), [], "long ago");
    assert_eq!(peer.kinds(&mut world), "", "the stranger is told nothing");
}

#[test]
fn why_no_tunnel_is_for_an_sccrq_is_told() {
    let udp =
        Peer { encapsulation: Encapsulation::Udp, from: SocketAddr::new(address(1), 1701), ..Peer::new() };
    let ip = Peer::new;
    let session = &["l2tp1"][..];
    for (mut peer, text, why) in [
        (ip(), tunnel(0, 1, "disable", session), "tunnel t is disabled"),
        (ip(), tunnel(0, 1, "encapsulation udp", session), "tunnel t has encapsulation udp, and it came over ip"),
        (udp, tunnel(0, 1, "", session), "tunnel t has encapsulation ip, and it came over udp"),
        (
            ip(),
            tunnel(0, 1, "local-address 192.0.2.77", session),
            "tunnel t has local-address 192.0.2.77, and it came to 192.0.2.1",
        ),
        (ip(), tunnel(0, 1, "", &[]) + " session m\n  manual 1 2\n", "tunnel t has manual sessions only"),
        (
            ip(),
            "tunnel u\n remote-address any\n remote-hostname any\n remote-router-id any\n encapsulation udp\n".into(),
            "tunnel u has encapsulation udp, and it came over ip",
        ),
        (ip(), "tunnel u\n remote-address 192.0.2.2\n".into(), "tunnel u cannot be used: "),
    ] {
        let mut world = node(&text);
        world.forget();
        peer.request(&mut world);
        let all = lines(&world);
        let begin = format!("from 192.0.2.2 dropped: an SCCRQ of \"b\", router-id 10.0.0.2: {why}");
        assert!(all.len() == 1 && all[0].starts_with(&begin), "{all:?}\n{text}");
    }
}

#[test]
fn a_wrong_name_or_digest_is_told_with_the_address() {
    let mut peer = Peer { from: from(9), host_name: b"x\x1b".to_vec(), ..Peer::new() };
    for (tags, why) in [
        ("", "\"x\\u{1b}\", router-id 10.0.0.2: no tunnel for this address has such a name and router-id"),
        ("password x", "\"x\\u{1b}\", router-id 10.0.0.2: its digest is not that of the password here"),
    ] {
        let text = tunnel(0, 1, &format!("{tags};role passive"), &["l2tp1"]);
        let mut world = node(&text.replace("remote-address 192.0.2.2", "remote-address any"));
        peer.request(&mut world);
        assert_eq!(lines(&world), [format!("from 192.0.2.9 dropped: an SCCRQ of {why}")]);
    }
}

// What is left of something that has just ended is no news; what goes on is.
#[test]
fn messages_for_what_is_not_there_are_told_when_they_go_on() {
    let (mut peer, mut world) = Peer::new().and_established("", &["l2tp1"]);
    let theirs = peer.theirs;
    for (seconds, told) in [(0, 0), (4, 0), (2, 1), (30, 1)] {
        world.run_seconds(seconds);
        peer.theirs = l2tpd::wire::Ccid(4711);
        peer.send(&mut world, &Message::Hello);
        assert_eq!(lines(&world).len(), told, "{:?}", lines(&world));
    }
    assert_eq!(
        lines(&world),
        ["from 192.0.2.2 dropped: a message for connection 4711, which is not there (3 so far)"]
    );
    // Data is counted by the data plane and told here.
    world.run_seconds(60);
    for count in [1, 2] {
        world.act(0, |engine, now| engine.dropped(now, from(7).ip(), DropCause::Session(SessionId(9)), 10));
        assert_eq!(lines(&world).len(), count);
        world.run_seconds(6);
    }
    assert_eq!(
        lines(&world)[1],
        "from 192.0.2.7 dropped: data for session 9, which is not there (20 so far)"
    );
    assert_eq!(shown(&world).len(), 2);
    peer.theirs = theirs;
}

// Once the peer is there, what went wrong before is over.
#[test]
fn an_established_peer_is_not_shown() {
    let (mut peer, mut world) = Peer::new().and_world("", &["l2tp1"]);
    world.send(Encapsulation::Ip, peer.from, SocketAddr::new(address(0), 0), vec![0x88; 20]);
    world.run_seconds(1);
    assert_eq!(shown(&world).len(), 1, "{}", world.transcript(0));
    peer.establish(&mut world);
    assert_eq!(shown(&world), []);
}

// Whoever sends whatever from however many addresses: neither memory nor log grow.
#[test]
fn a_flood_makes_a_bounded_number_of_lines() {
    let mut world = node(&tunnel(0, 1, "role passive", &["l2tp1"]));
    world.forget();
    let mut times = Vec::new();
    for k in 0..60_000u32 {
        let source = IpAddr::from((0x0a00_0000 + k % 5000).to_be_bytes());
        let before = lines(&world).len();
        let path = l2tpd::proto::Path {
            encapsulation: Encapsulation::Ip,
            local: SocketAddr::new(address(0), 0),
            remote: SocketAddr::new(source, 0),
            via: l2tpd::config::model::Via::ANY,
        };
        world.act(0, |engine, now| {
            engine.handle_datagram(now, path, &[0xc8, 3, 0, 12, 0, 0, 0, k as u8, 0, 0, 0, 0])
        });
        times.extend((before..lines(&world).len()).map(|_| world.time));
        world.run(Duration::from_millis(10));
    }
    assert!(times.len() > 32, "after ten minutes: {}", times.len());
    for (at, first) in times.iter().enumerate() {
        let within = times[at..].iter().filter(|t| **t < *first + Duration::from_secs(60)).count();
        assert!(within <= 32, "{within} lines within a minute");
    }
    let snapshot = world.snapshot(0);
    assert!(snapshot.dropped_from.len() <= 32);
    let told: u64 = snapshot.dropped_from.iter().map(|s| s.count).sum();
    assert!(snapshot.dropped_others > 50_000 && told + snapshot.dropped_others <= 60_000, "{told}");
    assert_eq!(snapshot.drops.unknown_ccid, 60_000);
}
