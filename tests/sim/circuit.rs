//! The circuits' status and the data plane's part in a session.

use std::net::SocketAddr;
use std::time::Duration;

use l2tpd::proto::TunnelEvent;
use l2tpd::wire::{CircuitStatus, Message, SessionId};

use crate::peer::{cdn, iccn, icrq, sli};
use crate::sessions::{established, gates, local, request_of_the_daemon, session_of_the_peer};
use crate::world::World;

// C-150 C-339 C-342 C-343 C-344 C-345: the peer's circuit status opens and closes the directions.
#[test]
fn c_150_c_344_circuit_status_gates_traffic() {
    let (mut peer, mut world) = established(&["l2tp1"]);
    let theirs = session_of_the_peer(&mut peer, &mut world);
    assert_eq!(gates(&world, theirs), (true, true, true));
    for (status, carrier, receive, send) in [
        (0x0000, false, true, false),
        (0x0001, true, true, true),
        (0x0005, false, true, false),  // a fault wins over A
        (0xff81, true, true, true),    // undefined bits
        (0x0041, false, false, false), // standby
        (0x0003, true, true, true),
    ] {
        peer.send(&mut world, &sli(theirs, status));
        assert_eq!(peer.kinds(&mut world), "ACK");
        assert_eq!(gates(&world, theirs), (carrier, receive, send), "{status:#06x}");
    }
    assert_eq!(world.happened(0, TunnelEvent::CircuitChanged), 6);
}

// C-134 C-327: an SLI before the ICRP, with Remote Session ID 0: remembered, and it holds from the start.
#[test]
fn c_327_early_sli() {
    let (mut peer, mut world) = established(&["l2tp1"]);
    world.nodes[0].hold_attachments = true;
    peer.send(&mut world, &Message::Icrq(icrq("1")));
    peer.send(&mut world, &sli(SessionId(0), 0));
    world.answer_attachments(0);
    world.run(Duration::from_millis(5));
    assert!(peer.kinds(&mut world).contains("ICRP"));
    let theirs = local(&world);
    peer.send(&mut world, &iccn(theirs));
    assert_eq!(gates(&world, theirs), (false, true, false));
}

// C-326: our circuit changes while our ICRQ is unanswered: SLI with Remote Session ID 0.
#[test]
fn c_326_sli_before_the_reply() {
    let (mut peer, mut world) = established(&["l2tp1"]);
    let theirs = request_of_the_daemon(&mut peer, &mut world);
    peer.acknowledge(&mut world);
    world.act(0, |e, now| e.circuit(now, "l2tp1", false));
    world.run(Duration::from_millis(5));
    let received = peer.receive(&mut world);
    let [only] = &received[..] else { panic!("{} messages", received.len()) };
    let Message::Sli(sli) = &only.message else { panic!("{:?}", only.message) };
    assert_eq!((sli.ids.local, sli.ids.remote), (theirs, SessionId(0)));
    assert_eq!(sli.circuit_status, Some(CircuitStatus(0)));
}

// C-149 C-324 C-325 C-340 C-341: ICRQ and ICRP tell the circuit's real state; no fault bit is ever set.
#[test]
fn c_324_requests_tell_the_circuit() {
    for up in [true, false] {
        let (mut peer, mut world) = established(&["l2tp1", "l2tp2"]);
        for interface in ["l2tp1", "l2tp2"] {
            world.act(0, |e, now| e.circuit(now, interface, up));
        }
        peer.send(&mut world, &Message::Icrq(icrq("1")));
        world.run_seconds(2);
        let expected = CircuitStatus(if up { 3 } else { 2 });
        let told: Vec<CircuitStatus> = peer
            .receive(&mut world)
            .iter()
            .filter_map(|r| match &r.message {
                Message::Icrq(m) => Some(m.circuit_status),
                Message::Icrp(m) => Some(m.circuit_status),
                _ => None,
            })
            .collect();
        assert_eq!(told, [expected, expected]);
    }
}

// C-151 C-326: a circuit that flaps 1000 times in five seconds: at most one SLI a second, the last state wins.
#[test]
fn c_326_flapping_circuit() {
    let mut world = World::pair(1, "", &["l2tp1"]);
    world.start_all();
    world.run_seconds(20);
    world.assert_both_up();
    world.forget();
    world.capture = true;
    for k in 1..=1001 {
        world.act(0, |e, now| e.circuit(now, "l2tp1", k % 2 == 0));
        world.run(Duration::from_millis(5));
    }
    world.run_seconds(3);
    let times: Vec<Duration> = world.wire.iter().filter(|d| d.kind() == 16).map(|d| d.at).collect();
    assert!((3..=7).contains(&times.len()), "{times:?}");
    assert!(times.windows(2).all(|w| w[1] - w[0] >= Duration::from_secs(1)), "{times:?}");
    assert!(!world.nodes[1].ports.values().next().unwrap().send, "the last state is down");
    world.act(0, |e, now| e.circuit(now, "l2tp1", true));
    world.run_seconds(2);
    assert!(world.nodes[1].ports.values().next().unwrap().send);
}

// C-299 C-328: the interface cannot be attached: CDN 4, and another try after the interval.
#[test]
fn c_299_data_plane_refuses() {
    for outcomes in [1, 2] {
        let mut world = World::pair(1, "", &["l2tp1"]);
        world.capture = true;
        world.nodes[0].attach_outcomes = (0..outcomes).map(|_| Err("no such device".to_owned())).collect();
        world.start_all();
        world.run_seconds(2);
        let refusal = world.wire.iter().find(|d| d.kind() == 14).expect("a CDN");
        let code = [0x80, 0, 0, 0, 0, 1, 0, 4]; // Result Code 4; M and length of the first two octets vary
        assert!(refusal.octets.windows(6).any(|w| w == &code[2..]), "{:x?}", refusal.octets);
        assert_eq!(world.session(0, "l2tp1").last_failure.unwrap().0.cause.message(), "M-025");
        assert!(world.run_while_not(Duration::from_secs(30), World::both_up), "{}", world.transcript(0));
        world.run_seconds(60);
        world.assert_both_up();
    }
}

// C-328: the interface of an established session fails.
#[test]
fn c_328_data_plane_fails_later() {
    let mut world = World::pair(1, "cookie 4", &["l2tp1", "l2tp2"]);
    world.start_all();
    world.run_seconds(20);
    let id = world.session(0, "l2tp1").local;
    let other = world.session(0, "l2tp2").local;
    world.act(0, |e, now| e.data_plane_failed(now, id, "the interface is gone"));
    world.run_seconds(1);
    assert_eq!(world.nodes[1].ports.len(), 1, "the other end's session goes with it");
    let why = world.session(0, "l2tp1").last_failure.map(|(failure, _)| failure.check);
    assert_eq!(why.as_deref(), Some("the interface is gone"), "and not what we told the peer");
    assert!(world.run_while_not(Duration::from_secs(14), World::both_up), "{}", world.transcript(0));
    assert_eq!(world.session(0, "l2tp2").local, other);
    assert_ne!(world.session(0, "l2tp1").local, id);
}

// What the network reports of our messages is shown while we wait for an answer. It ends nothing, being easily forged.
#[test]
fn the_network_reports_that_nothing_arrives() {
    let mut world = World::pair(1, "", &["l2tp1"]);
    world.start(0);
    world.run(Duration::from_millis(5));
    let peer = SocketAddr::new(world.tunnel(0).peer.expect("configured"), 0);
    world.act(0, |e, now| e.unreachable(now, "198.51.100.1:0".parse().unwrap(), "Connection refused", true));
    assert_eq!(world.tunnel(0).last_failure, None, "another peer's");
    world.act(0, |e, now| e.unreachable(now, peer, "Connection refused", true));
    let tunnel = world.tunnel(0);
    let (failure, _) = tunnel.last_failure.expect("shown");
    assert!(
        failure.check.ends_with("Connection refused") && failure.cause.message() == "M-015",
        "{failure:?}"
    );
    assert_eq!(tunnel.state.status_name(), "wait-ctl-reply");
    world.start(1);
    assert!(world.run_while_not(Duration::from_secs(60), World::both_up), "{}", world.transcript(0));
    world.act(0, |e, now| e.unreachable(now, peer, "No route to host", false));
    assert!(world.both_up(), "{}", world.transcript(0));
}

// C-047: an acknowledgement waits for the reply a moment, not for a data plane that takes its time.
#[test]
fn c_047_slow_data_plane() {
    let (mut peer, mut world) = established(&["l2tp1"]);
    world.nodes[0].hold_attachments = true;
    peer.send(&mut world, &Message::Icrq(icrq("1")));
    assert_eq!(peer.kinds(&mut world), "");
    world.run(Duration::from_millis(50));
    assert_eq!(peer.kinds(&mut world), "ACK");
    world.answer_attachments(0);
    world.run(Duration::from_millis(5));
    assert_eq!(peer.kinds(&mut world), "ICRP");
}

// A session that is cleared while its interface is being attached: the late answer hits nothing.
#[test]
fn attached_too_late() {
    let (mut peer, mut world) = established(&["l2tp1"]);
    world.nodes[0].hold_attachments = true;
    peer.send(&mut world, &Message::Icrq(icrq("1")));
    peer.send(&mut world, &cdn(SessionId(0), 3));
    assert!(world.nodes[0].ports.is_empty());
    world.answer_attachments(0);
    world.nodes[0].hold_attachments = false;
    session_of_the_peer(&mut peer, &mut world);
}
