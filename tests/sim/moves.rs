//! A peer that moves, or a NAT before it that gives it another address or port: what proves it, and what does not.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use l2tpd::config::model::Via;
use l2tpd::proto::Path;
use l2tpd::wire::{Encapsulation, Message, SessionId};

use crate::net::{address, tunnel};
use crate::peer::{iccn, icrq, Peer};
use crate::world::World;

const HERE: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)), 1701);
const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 7));

/// Node 0 is the hub, node 1 is behind a NAT.
fn behind_nat(tags: &str) -> World {
    let mut world = World::new(11);
    let tags = format!("encapsulation udp;{tags}");
    world.add(&tunnel(0, 1, &tags, &["l2tp1"]).replace("remote-address 192.0.2.2", "remote-address any"));
    world.add(&tunnel(1, 0, &tags, &["l2tp1"]));
    world.nodes[1].seen_port = Some(40_000);
    world.start_all();
    assert!(world.run_while_not(Duration::from_secs(5), World::both_up), "{}", world.transcript(1));
    world.run_seconds(1);
    world.forget();
    world.capture = true;
    world
}

/// The path that frames of node 1 come on at the hub.
fn path(remote: SocketAddr) -> Path {
    Path { encapsulation: Encapsulation::Udp, local: HERE, remote, via: Via::ANY }
}

/// The hub gets a frame of node 1 from there.
fn frame_from(world: &mut World, remote: SocketAddr) {
    let session = *world.nodes[0].ports.keys().next().expect("a session");
    world.act(0, |engine, now| engine.heard_elsewhere(now, session, path(remote)));
}

fn hellos(world: &World, to: SocketAddr) -> usize {
    world.wire.iter().filter(|d| d.to == to && d.kind() == 6).count()
}

#[track_caller]
fn assert_moved(world: &World, remote: SocketAddr) {
    assert_eq!(world.tunnel(0).path.map(|path| path.remote), Some(remote), "{}", world.transcript(0));
    assert!(world.nodes[0].ports.values().all(|port| port.path.remote == remote));
    let moved = world.logged(0, &format!("the peer is at {remote} now"));
    assert_eq!((moved, world.logged(0, "set up anew")), (1, 0));
}

/// The NAT has forgotten the old address: one frame, one HELLO, one answer.
#[test]
fn a_frame_makes_the_hub_ask_and_the_answer_moves_the_peer() {
    for tags in ["", "password secret"] {
        let mut world = behind_nat(tags);
        (world.nodes[1].address, world.nodes[1].seen_port) = (THERE, Some(50_000));
        let there = SocketAddr::new(THERE, 50_000);
        frame_from(&mut world, there);
        assert_eq!(hellos(&world, there), 1);
        assert_eq!(world.logged(0, "the peer is at"), 0, "a frame alone moves nothing");
        world.run(Duration::from_millis(5));
        assert_moved(&world, there);
        world.run_seconds(200);
        world.assert_both_up();
        assert_eq!(world.logged(0, "SCCRQ"), 0);
    }
}

/// Only the port is another one.
#[test]
fn a_frame_from_another_port_too() {
    let mut world = behind_nat("");
    world.nodes[1].seen_port = Some(50_000);
    let there = SocketAddr::new(address(1), 50_000);
    frame_from(&mut world, there);
    world.run(Duration::from_millis(5));
    assert_moved(&world, there);
}

/// Without frames, the HELLO of the end behind the NAT tells, if it is signed.
#[test]
fn a_signed_message_makes_the_hub_ask() {
    let mut world = behind_nat("password secret;hello-interval 30");
    (world.nodes[1].address, world.nodes[1].seen_port) = (THERE, Some(50_000));
    let there = SocketAddr::new(THERE, 50_000);
    // The hub's own HELLOs get lost.
    world.run_while_not(Duration::from_secs(40), |w| w.logged(0, "the peer is at") > 0);
    assert_moved(&world, there);
    world.run_seconds(100);
    world.assert_both_up();
}

/// Whoever has seen a cookie can send such frames from anywhere: it costs a HELLO in 5 s.
#[test]
fn forged_frames_move_nothing() {
    for tags in ["", "password secret"] {
        let mut world = behind_nat(tags);
        let there = SocketAddr::new(THERE, 50_000);
        for _ in 0..100 {
            frame_from(&mut world, there);
            world.run(Duration::from_millis(100));
        }
        assert_eq!(hellos(&world, there), 2);
        assert_eq!(world.logged(0, "the peer is at"), 0);
        assert!(world.wire.iter().all(|d| d.to.ip() != THERE || d.kind() == 6), "nothing else goes there");
        world.run_seconds(60);
        world.assert_both_up();
        assert_eq!(world.logged(0, "SCCRQ"), 0);
    }
}

/// An established peer at 192.0.2.2, over UDP, with a session of this id of ours.
fn scripted(peer: Peer, tags: &str) -> (Peer, World, SessionId) {
    let from = SocketAddr::new(address(1), 1701);
    let peer = Peer { encapsulation: Encapsulation::Udp, from, ..peer };
    let (mut peer, mut world) = peer.and_established(&format!("encapsulation udp;{tags}"), &["l2tp1"]);
    peer.send(&mut world, &Message::Icrq(icrq("1")));
    peer.receive(&mut world);
    let session = world.session(0, "l2tp1").local;
    peer.send(&mut world, &iccn(session));
    peer.receive(&mut world);
    assert_eq!(world.session(0, "l2tp1").state.status_name(), "established");
    (peer, world, session)
}

/// What comes from the suspected address without a digest has to answer what was sent there.
#[test]
fn c_019_an_unsigned_message_from_elsewhere_must_answer() {
    let (mut peer, mut world, session) = scripted(Peer::new(), "");
    let there = SocketAddr::new(THERE, 1701);
    let home = std::mem::replace(&mut peer.from, there);
    // Not asked yet.
    let octets = peer.octets(&Message::Hello);
    peer.raw(&mut world, octets.clone());
    world.act(0, |engine, now| engine.heard_elsewhere(now, session, path(there)));
    // Asked; but this does not answer.
    peer.raw(&mut world, octets);
    assert_eq!(world.tunnel(0).path.map(|path| path.remote), Some(home));
    let drops = world.snapshot(0).drops;
    assert_eq!(drops.wrong_source, 2);
    // This does.
    peer.nr += 1;
    peer.send(&mut world, &Message::Hello);
    assert_eq!(world.tunnel(0).path.map(|path| path.remote), Some(there), "{}", world.transcript(0));
}

/// A signed message that is sent again from elsewhere tells nothing, nor does one of another id or session.
#[test]
fn a_replayed_message_moves_nothing() {
    let (mut peer, mut world, _) = scripted(Peer::with_password("secret"), "password secret");
    let octets = peer.octets(&Message::Hello);
    peer.send(&mut world, &Message::Hello);
    world.forget();
    world.capture = true;
    peer.from = SocketAddr::new(THERE, 1701);
    peer.raw(&mut world, octets);
    world.act(0, |engine, now| engine.heard_elsewhere(now, SessionId(77), path(peer.from)));
    assert_eq!(hellos(&world, peer.from), 0, "{}", world.transcript(0));
    assert_eq!(world.logged(0, "the peer is at"), 0);
}
