//! Whoever does not know the secret, and whoever forges addresses, neither keeps a peer out nor gains by our answers: at
//! every rate and round-trip time that is promised.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use l2tpd::proto::Random;
use l2tpd::wire::{Ccid, Encapsulation, Message};

use crate::net::{address, tunnel, Datagram, Dice};
use crate::peer::{Peer, Received};
use crate::world::World;

/// Round-trip times, in milliseconds.
const TIMES: [u64; 5] = [2, 20, 40, 100, 200];

/// A network without loss whose packets take half of `rtt` milliseconds each way.
fn far(world: &mut World, rtt: u64) {
    world.fault = Box::new(move |_, _| vec![Duration::from_millis(rtt) / 2]);
}

/// SCCRQs of `count` lives of node `me`, which nobody answered.
fn recordings(me: usize, count: usize, tags: &str) -> Vec<Datagram> {
    let mut world = World::new(me as u64 + 99);
    world.add(&tunnel(0, 1, tags, &[]));
    world.add(&tunnel(1, 0, tags, &[]));
    world.capture = true;
    world.fault = Box::new(|_, _| Vec::new());
    world.start(me);
    for _ in 1..count {
        world.run(Duration::from_millis(10));
        world.crash(me);
    }
    world.run(Duration::from_millis(10));
    let recorded = std::mem::take(&mut world.wire);
    assert_eq!(recorded.iter().filter(|d| d.kind() == 1).count(), count);
    recorded
}

/// When both ends are up that start at the same moment, in milliseconds, while `attack` does what it does each
/// millisecond; and how many seconds are waited for that.
fn time_to_up(world: &mut World, limit: u64, mut attack: impl FnMut(&mut World, u64)) -> Option<u64> {
    let begun = world.time;
    for at in 0..limit * 1000 {
        attack(world, at);
        world.run(Duration::from_millis(1));
        world.inbox.clear();
        for node in &mut world.nodes {
            node.log.clear();
        }
        if at % 5 == 0 && world.both_up() {
            return Some((world.time - begun).as_millis() as u64);
        }
    }
    None
}

// C-362: recordings of both ends' SCCRQs are played to both, a thousand a second, while they begin, or begin again
// after one end was killed: they are up within 3 s of the time that they need without.
#[test]
fn c_362_replayed_requests_do_not_keep_a_tunnel_with_a_password_down() {
    const SESSIONS: &[&str] = &["l2tp1"];
    for count in [1, 3, 40] {
        let recorded = [0, 1].map(|me| recordings(me, count, "password secret"));
        for rtt in TIMES {
            for killed in [false, true] {
                let honest = replayed(rtt, killed, SESSIONS, |_, _| {});
                let attacked = replayed(rtt, killed, SESSIONS, |world, at| {
                    for recorded in &recorded {
                        let old = &recorded[at as usize % count];
                        world.send(old.encapsulation, old.from, old.to, old.octets.clone());
                    }
                });
                let (honest, attacked) = (honest.expect("up without attack"), attacked.unwrap_or(u64::MAX));
                assert!(
                    attacked <= honest + 3000,
                    "{count} recordings, {rtt} ms, killed: {killed}: {honest} ms, attacked {attacked} ms"
                );
            }
        }
    }
}

/// How long it takes both ends to be up.
fn replayed(rtt: u64, killed: bool, sessions: &[&str], attack: impl FnMut(&mut World, u64)) -> Option<u64> {
    let mut world = World::pair(rtt, "password secret", sessions);
    far(&mut world, rtt);
    world.start_all();
    if killed {
        world.run_seconds(20);
        world.assert_both_up();
        world.crash(1);
    }
    time_to_up(&mut world, 20, attack)
}

/// An SCCRQ as the peer could have sent it, from anywhere.
fn forged(rng: &mut Dice, octets: Option<&[u8]>) -> (SocketAddr, Vec<u8>) {
    let source =
        SocketAddr::new(IpAddr::from((0x0a00_0000 | rng.next() as u32 & 0xff_ffff).to_be_bytes()), 0);
    let octets = octets.map_or_else(
        || {
            let mut peer = Peer::new();
            peer.own = Ccid(rng.next() as u32 | 1);
            peer.tie = Some(rng.next().to_be_bytes());
            peer.octets(&Message::Sccrq(peer.set_up()))
        },
        <[u8]>::to_vec,
    );
    (source, octets)
}

// C-109 C-364: `remote-address any`: 5,000 SCCRQs a second from forged sources, with a password a recorded one: a peer
// gets in within 5 s.
#[test]
fn c_364_forged_sources_do_not_keep_a_peer_out() {
    for tags in ["", "password secret", "digest md5"] {
        let recorded = tags.starts_with("password").then(|| recordings(1, 1, tags).swap_remove(0).octets);
        for rtt in TIMES {
            for role in ["role both", "role passive"] {
                let mut world = World::new(rtt);
                let any = tunnel(0, 1, &format!("{tags};{role}"), &["l2tp1"]);
                world.add(&any.replace("remote-address 192.0.2.2", "remote-address any"));
                world.add(&tunnel(1, 0, tags, &["l2tp1"]));
                far(&mut world, rtt);
                world.start(0);
                let mut rng = Dice(rtt);
                let took = time_to_up(&mut world, 7, |world, at| {
                    if at == 2000 {
                        world.start(1);
                    }
                    for _ in 0..5 {
                        let (source, octets) = forged(&mut rng, recorded.as_deref());
                        world.send(Encapsulation::Ip, source, SocketAddr::new(address(0), 0), octets);
                    }
                });
                assert!(took.is_some(), "{tags} {role}, {rtt} ms: {:#?}", world.tunnel(0));
            }
        }
    }
}

// C-364: what goes to a source that has proved nothing: two SCCRPs at most for one SCCRQ, another one for each
// repetition, and never more than three times the octets that came from there.
#[test]
fn c_364_nobody_gains_by_forged_sources() {
    let long = format!("local-hostname {}", "h".repeat(200));
    for tags in ["", "digest md5", "password secret", &long] {
        for (floods, repetitions) in [(1, 0), (1, 5), (40, 3), (400, 0)] {
            let mut world = World::new(1);
            let any = tunnel(0, 1, &format!("{tags};role passive"), &[]);
            world.add(&any.replace("remote-address 192.0.2.2", "remote-address any"));
            world.start(0);
            let mut rng = Dice(7);
            let recorded = tags.starts_with("password").then(|| recordings(1, 1, tags).swap_remove(0).octets);
            let mut sent = Vec::new();
            for _ in 0..floods {
                sent.push(forged(&mut rng, recorded.as_deref()));
            }
            for _ in 0..=repetitions {
                for (source, octets) in &sent {
                    let to = SocketAddr::new(address(0), 0);
                    world.send(Encapsulation::Ip, *source, to, octets.clone());
                }
                world.run_seconds(4);
            }
            world.run_seconds(200);
            for (source, octets) in &sent {
                let to_source = world.inbox.iter().filter(|d| d.to == *source);
                let got: Vec<usize> = to_source.map(|d| d.octets.len()).collect();
                let (count, came) = (got.len(), octets.len() * (repetitions + 1));
                assert!(count <= 2 + repetitions, "{tags} {floods}x{repetitions}: {count} datagrams");
                assert!(
                    got.iter().sum::<usize>() <= 3 * came,
                    "{tags} {floods}x{repetitions}: {got:?} for {came}"
                );
                assert!(
                    count >= 1 || tags.starts_with("local-hostname"),
                    "{tags} {floods}x{repetitions}: none"
                );
            }
        }
    }
}

/// A source that gives each number of four octets twice in a row, as chance does once in some thousand million times.
struct Twice {
    last: Option<[u8; 4]>,
    rest: Dice,
}

impl Random for Twice {
    fn fill(&mut self, octets: &mut [u8]) -> Result<(), String> {
        if octets.len() != 4 {
            return self.rest.fill(octets);
        }
        match self.last.take() {
            Some(last) => octets.copy_from_slice(&last),
            None => {
                self.rest.fill(octets)?;
                self.last = <[u8; 4]>::try_from(&*octets).ok();
            }
        }
        Ok(())
    }
}

// An id that an SCCRP has named is in use, be it that the SCCRP was sent without a connection: two peers that
// call at once never have one id.
#[test]
fn an_id_in_an_sccrp_is_not_given_again() {
    let mut world = World::new(3);
    let any = tunnel(0, 1, "role passive", &[]).replace("remote-address 192.0.2.2", "remote-address any");
    world.add_with(&any, Box::new(Twice { last: None, rest: Dice(3) }));
    world.start(0);
    let mut rng = Dice(7);
    for _ in 0..60 {
        let (source, octets) = forged(&mut rng, None);
        world.send(Encapsulation::Ip, source, SocketAddr::new(address(0), 0), octets);
    }
    world.run(Duration::from_millis(10));
    let assigned = |received: Received| match received.message {
        Message::Sccrp(reply) => Some(reply.assigned_ccid),
        _ => None,
    };
    let mut ids: Vec<Ccid> = Peer::new().receive(&mut world).into_iter().filter_map(assigned).collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert!(count > 40, "{count} SCCRPs");
    assert_eq!(ids.len(), count, "one id in two SCCRPs");
}

/// A hub and a thousand peers that call it at one moment.
fn a_thousand_peers() -> World {
    let mut hub = String::from("hostname hub\nrouter-id 10.0.0.1\n");
    let mut peers = Vec::new();
    for k in 0..1000_u32 {
        let address = IpAddr::from((0x0a01_0000 + k).to_be_bytes());
        hub += &format!(
            "tunnel t{k}\nremote-address {address}\nrole passive\nremote-hostname any\nremote-router-id any\n\
             session l{k}\nremote-end-id x\n"
        );
        let peer = format!(
            "hostname p{k}\nrouter-id 10.0.0.2\ntunnel t\nremote-address 192.0.2.1\nremote-hostname hub\n\
             remote-router-id 10.0.0.1\nsession l\nremote-end-id x\n"
        );
        peers.push((address, peer));
    }
    let mut world = World::new(4);
    world.most_actions = 100_000;
    world.add(&hub);
    for (address, peer) in peers {
        let n = world.add(&peer);
        world.nodes[n].address = address;
    }
    world
}

/// Sessions that node 0 has established.
fn established(world: &World) -> usize {
    let tunnels = world.snapshot(0).tunnels;
    let sessions = tunnels.iter().flat_map(|tunnel| &tunnel.sessions);
    sessions.filter(|session| session.state.status_name() == "established").count()
}

// More peers than may be half open call at one moment: none is refused, and all are up at once.
#[test]
fn a_thousand_peers_at_once() {
    let mut world = a_thousand_peers();
    far(&mut world, 40);
    world.start_all();
    world.run(Duration::from_millis(200));
    assert_eq!(established(&world), 1000);
}

/// 20 datagrams a millisecond get through to the hub, and 200 may wait; before `deaf` none does.
fn narrow(world: &mut World, deaf: Duration) {
    let (mut now, mut queued) = (Duration::ZERO, 0);
    world.fault = Box::new(move |_, datagram| {
        let passed = (datagram.at - now).as_millis() as usize;
        if datagram.to.ip() == address(0) {
            (now, queued) = (datagram.at, queued - queued.min(20 * passed) + 1);
        }
        let lost = datagram.at < deaf || queued > 200;
        queued = queued.min(200);
        if lost {
            Vec::new()
        } else {
            vec![Duration::from_millis(5)]
        }
    });
}

// The first SCCRQ of each is lost. The repetitions do not come in step.
#[test]
fn a_thousand_repetitions_do_not_come_in_step() {
    let mut world = a_thousand_peers();
    narrow(&mut world, Duration::from_millis(500));
    world.start_all();
    world.run(Duration::from_millis(2000));
    assert_eq!(established(&world), 1000);
}

// Of each burst most is lost, of whatever messages it consists. Who lost two in a row learns of the second by the
// acknowledgement of the first, not by another time-out.
#[test]
fn bursts_of_a_thousand_peers_are_lost() {
    let mut world = a_thousand_peers();
    narrow(&mut world, Duration::ZERO);
    world.start_all();
    world.run(Duration::from_millis(1500));
    assert_eq!(established(&world), 1000);
}

// What is ours, sent to us by somebody else: our address as its source, our id as its own, our nonce as its nonce. None of
// it makes a connection of ours with ourselves, disturbs one that is there or keeps the peer out.
#[test]
fn our_own_values_come_back() {
    for tags in ["", "password secret", "digest md5"] {
        for established in [false, true] {
            let mut world = World::pair(5, &format!("{tags};hello-interval none"), &["l2tp1"]);
            world.capture = true;
            world.start(0);
            world.run(Duration::from_millis(5));
            if established {
                world.start(1);
                assert!(world.run_while_not(Duration::from_secs(3), World::both_up));
                world.run_seconds(60); // what gave way lingers
            }
            let before = world.snapshot(0).tunnels.swap_remove(0).local_ccid;
            let ours: Vec<Datagram> =
                world.wire.iter().filter(|d| d.from.ip() == address(0)).cloned().collect();
            world.forget();
            for from in [address(0), address(1)] {
                for old in &ours {
                    world.send(old.encapsulation, SocketAddr::new(from, 0), old.from, old.octets.clone());
                    world.run(Duration::from_millis(20));
                }
            }
            assert_eq!(world.happened(0, l2tpd::proto::TunnelEvent::TunnelUp), 0, "{tags}");
            assert_eq!(world.tunnel(0).local_ccid, before, "{tags}: {}", world.transcript(0));
            assert_eq!(world.open_connections(0), 1, "{tags}: {}", world.transcript(0));
            if !established {
                world.start(1);
            }
            assert!(world.run_while_not(Duration::from_secs(5), World::both_up), "{tags}");
        }
    }
}

// C-235: an SCCRP whose nonce is that of our SCCRQ would be our own digest sent back.
#[test]
fn c_235_an_equal_nonce_is_not_believed() {
    let (mut peer, mut world) = Peer::with_password("secret").and_world("password secret;role both", &[]);
    world.run(Duration::from_millis(5));
    peer.take_request(&mut world);
    peer.nonce = peer.their_nonce.clone().leak();
    let reply = Message::Sccrp(peer.set_up());
    peer.send(&mut world, &reply);
    assert_eq!(world.tunnel(0).state.status_name(), "wait-ctl-reply", "{}", world.transcript(0));
    let request = Message::Sccrq(peer.set_up());
    (peer.ns, peer.nr, peer.theirs) = (0, 0, Ccid(0));
    peer.send(&mut world, &request);
    assert_eq!(world.open_connections(0), 1, "{}", world.transcript(0));
}
