//! A daemon that is killed and has a state file: it goes on with its connections where their peers still have them, ends
//! those that cannot go on, and does no worse than without the file whatever that holds.

use std::net::SocketAddr;
use std::time::Duration;

use l2tpd::log::Level;
use l2tpd::proto::{Command, Engine, TunnelEvent};
use l2tpd::wire::message::{decode, encode_zlb, DecodeOptions, Icrp, SessionAvps, SessionIds};
use l2tpd::wire::{header, CircuitStatus, Message};

use crate::net::{faulty, perfect, seeds, tunnel, Dice, DELAY};
use crate::peer::{Peer, SESSION};
use crate::world::World;

const SESSIONS: &[&str] = &["l2tp1", "l2tp2"];
const TAGS: [&str; 4] = ["", "password secret", "encapsulation udp;password secret", "digest md5;cookie 8"];

/// Two nodes that are up, the first one with a state file.
fn up(seed: u64, tags: &str) -> World {
    let mut world = World::pair(seed, tags, SESSIONS);
    world.start_all();
    world.keep_file(0);
    world.run_seconds(60);
    world.assert_both_up();
    world
}

/// What both ends know of the connection: ids and cookies.
fn values(world: &World) -> String {
    let tunnel = world.tunnel(0);
    let sessions = tunnel.sessions.iter().map(|s| (s.local, s.remote, s.local_cookie.clone()));
    format!("{:?} {:?} {:?}", tunnel.local_ccid, tunnel.remote_ccid, sessions.collect::<Vec<_>>())
}

/// After a crash node 0 goes on with everything within a second, and node 1 notices nothing.
#[track_caller]
fn goes_on(world: &mut World) {
    let before = values(world);
    world.forget();
    let crashed = world.time;
    world.crash_with_file(0);
    assert!(!world.is_up(0), "nothing is believed before the peer has answered");
    let up = world.run_while_not(Duration::from_secs(1), World::both_up);
    assert!(up, "{}{}", world.transcript(0), world.transcript(1));
    println!("frames flow {:?} after the start", world.time - crashed);
    world.run_seconds(200);
    world.assert_both_up();
    assert_eq!(values(world), before, "{}", world.transcript(0));
    assert!(world.nodes[1].events.is_empty(), "{:?}", world.nodes[1].events);
    assert_eq!(world.logged(0, "SCCRQ") + world.logged(1, "SCCRQ"), 0, "{}", world.transcript(0));
    assert_eq!(world.happened(0, TunnelEvent::TunnelUp), 1);
    assert_eq!(world.happened(0, TunnelEvent::SessionUp), SESSIONS.len());
}

#[test]
fn the_peer_notices_nothing_of_a_crash() {
    for tags in TAGS {
        let mut world = up(1, tags);
        for _ in 0..3 {
            goes_on(&mut world);
        }
    }
}

// A service manager starts it again after 5 seconds. The peer has been told by ICMP that nobody listens, and the last HELLO
// that it sent because of that is some seconds old.
#[test]
fn a_start_after_some_seconds() {
    for tags in TAGS {
        let mut world = up(1, tags);
        let port = if tags.contains("udp") { 1701 } else { 0 };
        let remote = SocketAddr::new(world.snapshot(1).tunnels[0].peer.expect("the peer"), port);
        let fault = std::mem::replace(&mut world.fault, Box::new(|_, _| Vec::new()));
        world.forget();
        world.act(1, |engine, now| engine.unreachable(now, remote, "Connection refused", true));
        assert_eq!(world.logged(1, "send HELLO"), 1, "{}", world.transcript(1));
        world.run(Duration::from_millis(5500));
        world.fault = fault;
        goes_on(&mut world);
    }
}

// After whichever message of the set-up, whoever called, and before and after whichever message of going on: both are up
// again soon. A connection that was established goes on, if it was the only one.
#[test]
fn a_crash_at_every_step() {
    for tags in TAGS {
        for first in 0..2 {
            for count in 0..40 {
                let mut world = World::pair(count as u64, tags, SESSIONS);
                world.start(first);
                world.keep_file(0);
                world.run(DELAY / 2);
                world.start(1 - first);
                let sent = |world: &World| world.nodes.iter().map(|n| n.sent).sum::<usize>();
                world.run_while_not(Duration::from_secs(3), |w| sent(w) >= count);
                world.crash_with_file(0);
                let more = sent(&world) + count % 5;
                world.run_while_not(Duration::from_secs(1), |w| sent(w) >= more);
                world.crash_with_file(0);
                let up = world.run_while_not(Duration::from_secs(12), World::both_up);
                assert!(up, "{tags} {first} {count}\n{}{}", world.transcript(0), world.transcript(1));
                world.run_seconds(200);
                world.assert_both_up();
            }
        }
    }
}

// The administrator stops the tunnel while the peer is asked: its answer does not bring the tunnel up again.
#[test]
fn stopped_while_the_peer_is_asked() {
    for tags in TAGS {
        let mut world = up(1, tags);
        world.forget();
        world.crash_with_file(0);
        assert!(world.run_while_not(Duration::from_secs(1), |world| world.logged(0, "HELLO") > 0));
        world.act(0, |engine, now| engine.command(now, Command::Stop("t".to_owned()))).unwrap();
        world.run_seconds(60);
        assert_eq!(world.happened(0, TunnelEvent::TunnelUp), 0, "{tags}: {}", world.transcript(0));
        assert!(world.tunnel(1).sessions.iter().all(|s| s.local.0 == 0), "{}", world.transcript(1));
    }
}

// The file is as old as it likes: numbers have gone on since, over their end as well.
#[test]
fn numbers_that_have_gone_on_since() {
    for (tags, hours) in [("", 1), ("password secret", 1), ("hello-interval 1;password secret", 2)] {
        let mut world = up(2, tags);
        world.nodes[0].file.as_mut().unwrap().held = true;
        world.run_seconds(hours * 3600);
        let numbers = (world.tunnel(0).ns, world.tunnel(0).nr);
        goes_on(&mut world);
        println!("{tags}: {numbers:?} messages");
    }
}

#[test]
fn a_network_that_loses_repeats_and_reorders() {
    seeds(60, |seed| {
        let mut world = up(seed, TAGS[seed as usize % TAGS.len()]);
        world.fault = faulty(20);
        for _ in 0..3 {
            world.run_seconds(40 + seed);
            world.crash_with_file(0);
            let up = world.run_while_not(Duration::from_secs(60), World::both_up);
            assert!(up, "{}{}", world.transcript(0), world.transcript(1));
        }
        world.fault = perfect();
        world.run_seconds(200);
        world.assert_both_up();
    });
}

// Not a write for each message: only when something else than numbers has changed, or after a thousand of them.
#[test]
fn little_is_written() {
    let mut world = up(3, "hello-interval 1");
    let before = world.nodes[0].file.as_ref().unwrap().entries;
    world.run_seconds(3000);
    let written = world.nodes[0].file.as_ref().unwrap().entries - before;
    let messages = world.tunnel(0).ns;
    assert!(messages > 1500 && (1..10).contains(&written), "{written} entries for {messages} messages");
}

// The peer has crashed as well, and has forgotten everything.
#[test]
fn a_peer_that_has_forgotten() {
    for tags in TAGS {
        let mut world = up(4, tags);
        let old = world.tunnel(0).remote_ccid;
        world.forget();
        world.capture = true;
        world.crash(1);
        world.nodes[1].engine = Engine::new(world.now(), Box::new(Dice(7)));
        world.crash_with_file(0);
        world.run_seconds(3);
        world.start(1);
        let crashed = world.time;
        let up = world.run_while_not(Duration::from_secs(6), World::both_up);
        assert!(up, "{}{}", world.transcript(0), world.transcript(1));
        println!("{tags}: up {:?} after the peer", world.time - crashed);
        let stops = world.wire.iter().filter(|d| d.kind() == 4 && d.octets[4..8] == old.0.to_be_bytes());
        assert_eq!(stops.count(), 1, "the old one is ended, should the peer have it all the same");
        assert_eq!(world.logged(0, "does not go on where it was before a crash"), 1);
        assert_eq!(world.happened(0, TunnelEvent::TunnelDown), 0, "it was not up");
        world.run_seconds(200);
        world.assert_both_up();
    }
}

/// As `up`, and the octets of the file when there was nothing yet, and now.
fn crashed(tags: &str) -> (World, Vec<u8>) {
    let world = up(5, tags);
    let octets = world.nodes[0].file.as_ref().unwrap().octets.clone();
    (world, octets)
}

/// Node 0 starts after a crash with this in its file; both are up again, soon.
#[track_caller]
fn survives(tags: &str, octets: &[u8], machine: &[u8], what: &str) -> World {
    let (mut world, _) = crashed(tags);
    let file = world.nodes[0].file.as_mut().unwrap();
    (file.octets, file.machine) = (octets.to_vec(), machine.to_vec());
    world.forget();
    world.crash_with_file(0);
    let up = world.run_while_not(Duration::from_secs(12), World::both_up);
    assert!(up, "{what}\n{}{}", world.transcript(0), world.transcript(1));
    world.run_seconds(100);
    world.assert_both_up();
    world
}

#[test]
fn a_file_that_is_torn_at_any_octet() {
    let tags = "password secret";
    let (_, octets) = crashed(tags);
    for end in 0..octets.len() {
        survives(tags, &octets[..end], b"", &format!("torn at {end}"));
    }
}

#[test]
fn a_file_in_which_any_octet_is_damaged() {
    for tags in ["", "password secret"] {
        let (_, octets) = crashed(tags);
        for at in (0..octets.len()).step_by(3) {
            let mut damaged = octets.clone();
            damaged[at] ^= 1 << (at % 8);
            survives(tags, &damaged, b"", &format!("damaged at {at}"));
        }
    }
}

#[test]
fn a_file_of_another_machine_or_another_password() {
    let tags = "password secret";
    let (_, octets) = crashed(tags);
    let world = survives(tags, &octets, b"another machine", "another machine");
    assert_eq!(world.logged(0, "its digest does not fit"), 1);
    let (_, octets) = crashed("password another");
    let world = survives(tags, &octets, b"", "another password");
    assert_eq!(world.logged(0, "its digest does not fit"), 1);
    // A password that is being changed is still good.
    let (_, octets) = crashed("password older");
    let world = survives("password secret;password-old older", &octets, b"", "the old password");
    assert_eq!(world.logged(0, "its digest does not fit"), 0);
}

/// Two connections after each other, and what the file was at the end of each.
fn renewed(tags: &str) -> (World, Vec<u8>, Vec<u8>) {
    let (mut world, old) = crashed(tags);
    world
        .act(1, |engine, now| engine.command(now, Command::ClearTunnel("t".into(), None)).expect("a tunnel"));
    world.run_seconds(60);
    world.assert_both_up();
    let new = world.nodes[0].file.as_ref().unwrap().octets.clone();
    assert!(new.starts_with(&old));
    (world, old, new)
}

// The file of an earlier connection is put in place again: the peer does not know that connection any more. Or entries of
// then are put in behind those of now: these are passed over.
#[test]
fn a_file_of_earlier() {
    for tags in TAGS {
        let (mut world, old, new) = renewed(tags);
        world.nodes[0].file.as_mut().unwrap().octets.clone_from(&old);
        world.crash_with_file(0);
        let up = world.run_while_not(Duration::from_secs(6), World::both_up);
        assert!(up, "{tags}\n{}{}", world.transcript(0), world.transcript(1));
        world.run_seconds(100);
        world.assert_both_up();

        let (mut world, ..) = renewed(tags);
        world.nodes[0].file.as_mut().unwrap().octets = [&*new, &*old].concat();
        goes_on(&mut world);
    }
}

// The block of the tunnel is another one now: the peer's connection is ended before the new one is set up. Or that of a
// session: it alone begins anew.
#[test]
fn another_configuration() {
    for (tags, interfaces, stops) in
        [("compatibility cisco", SESSIONS, 1), ("", &["l2tp1", "l2tp3"][..], 0), ("retry 5", SESSIONS, 0)]
    {
        let mut world = up(6, "");
        let old = world.tunnel(0).local_ccid;
        world.reload(1, &tunnel(1, 0, "", &["l2tp1", "l2tp2", "l2tp3"]));
        world.run_seconds(10);
        world.forget();
        world.capture = true;
        world.nodes[0].config = crate::net::config(&tunnel(0, 1, tags, interfaces));
        world.crash_with_file(0);
        let up = world.run_while_not(Duration::from_secs(8), |world| world.is_up(0));
        assert!(up, "{}{}", world.transcript(0), world.transcript(1));
        world.run_seconds(3);
        let count = |kind| world.wire.iter().filter(|d| d.kind() == kind).count();
        assert_eq!(count(4).min(1), stops, "StopCCN\n{}{}", world.transcript(0), world.transcript(1));
        assert_eq!(old == world.tunnel(0).local_ccid, stops == 0);
        if tags.is_empty() {
            assert_eq!((count(14), world.session(1, "l2tp2").state.status_name()), (1, "wait-control-conn"));
            assert_eq!(world.happened(1, TunnelEvent::SessionDown), 1);
        }
        println!("{tags:?} {interfaces:?}: {:?}", world.time);
    }
}

// What is lost or not yet acknowledged at the time of the crash, at either end, is not lost: it comes again, or the one
// that goes on does without it.
#[test]
fn messages_under_way() {
    for lost in [0, 1] {
        let mut world = up(7, "password secret");
        world.fault = Box::new(|_, _| Vec::new());
        // The circuits go down, and nobody hears of it.
        for (n, interface) in [(1 - lost, "l2tp1"), (lost, "l2tp2")] {
            world.act(n, |engine, now| engine.circuit(now, interface, false));
        }
        world.run_seconds(3);
        world.fault = perfect();
        world.crash_with_file(0);
        // As the daemon tells after each start.
        let down = if lost == 0 { "l2tp2" } else { "l2tp1" };
        world.act(0, |engine, now| engine.circuit(now, down, false));
        let told = world.run_while_not(Duration::from_secs(20), |w| {
            let status = |n: usize, interface| w.session(n, interface).remote_circuit.map(|s| s & 1);
            let (ours, theirs) = if lost == 0 { ("l2tp2", "l2tp1") } else { ("l2tp1", "l2tp2") };
            w.both_up() && status(1, ours) == Some(0) && status(0, theirs) == Some(0)
        });
        assert!(told, "{}{}", world.transcript(0), world.transcript(1));
        assert_eq!(world.happened(1, TunnelEvent::TunnelDown), 0);
    }
}

// Frames with numbers go on far enough behind the last ones.
#[test]
fn numbered_frames() {
    let mut world = World::new(8);
    for (n, peer) in [(0, 1), (1, 0)] {
        let text = tunnel(n, peer, "", &["l2tp1"]) + "  l2-sublayer default\n  sequencing both\n";
        world.add(&text);
    }
    world.start_all();
    world.keep_file(0);
    world.run_seconds(10);
    let id = world.session(0, "l2tp1").local;
    assert_eq!(world.nodes[0].ports[&id].next, None);
    world.nodes[0].file.as_mut().unwrap().sequence = 0x00ff_ff00;
    world.run_seconds(100);
    world.crash_with_file(0);
    world.run_seconds(1);
    world.assert_both_up();
    assert_eq!(world.nodes[0].ports[&id].next, Some((0x00ff_ff00 + (3 << 20)) & 0x00ff_ffff));
}

/// freeRtr as a server (see `life`): one connection for each address of a peer, and while it has that it takes no SCCRQ
/// from there. It acknowledges what it has had before only if that is a HELLO.
struct FreeRtr {
    peer: Peer,
    connected: bool,
    frees: Option<Duration>,
}

impl FreeRtr {
    fn acknowledge(&mut self, world: &mut World) {
        let mut zlb = encode_zlb();
        header::stamp(&mut zlb, self.peer.theirs, self.peer.ns, self.peer.nr);
        self.peer.raw(world, zlb);
    }

    fn receive(&mut self, world: &mut World) {
        for datagram in std::mem::take(&mut world.inbox) {
            let (header, octets) = header::parse(&datagram.octets, false).expect("a header");
            let (kind, in_turn) = (datagram.kind(), header.ns == self.peer.nr);
            if !self.connected {
                if kind == 1 {
                    world.inbox = vec![datagram];
                    (self.peer.ns, self.peer.nr) = (0, 0);
                    self.peer.take_request(world);
                    let reply = Message::Sccrp(self.peer.set_up());
                    self.peer.send(world, &reply);
                    self.connected = true;
                }
                continue;
            }
            match (kind, in_turn) {
                (0, _) => continue,
                (_, true) => self.peer.nr = self.peer.nr.wrapping_add(1),
                (6, false) => {}
                (_, false) => continue,
            }
            let options = DecodeOptions { secrets: &[], cisco: true, version_2: false };
            if let Ok(Message::Icrq(request)) = decode(octets, &options).message {
                let ids = SessionIds { local: SESSION, remote: request.ids.local };
                let circuit_status = CircuitStatus(CircuitStatus::ACTIVE | CircuitStatus::NEW);
                let reply = Message::Icrp(Icrp { ids, circuit_status, avps: SessionAvps::default() });
                self.peer.send(world, &reply);
            }
            if kind == 4 {
                // At its next look at the time.
                self.frees = Some(world.time + Duration::from_secs(5));
            }
            self.acknowledge(world);
        }
        if self.frees.is_some_and(|at| at <= world.time) {
            (self.connected, self.frees) = (false, None);
        }
    }

    fn run(&mut self, world: &mut World, span: Duration, until: impl Fn(&World) -> bool) -> Duration {
        let begin = world.time;
        while world.time - begin < span && !until(world) {
            world.run(Duration::from_millis(10));
            self.receive(world);
        }
        world.time - begin
    }
}

// A server that holds on to the old connection, and with which it took minutes: we go on. Where the configuration has
// changed, the old one is ended, and the new one set up as soon as the server has noticed.
#[test]
fn a_server_that_holds_on() {
    for (tags, limit) in [("role both", 1), ("role both;compatibility cisco", 20)] {
        let (peer, mut world) = Peer::new().and_world("role both", &["l2tp1"]);
        let mut router = FreeRtr { peer, connected: false, frees: None };
        world.keep_file(0);
        router.run(&mut world, Duration::from_secs(100), |_| false);
        assert!(world.is_up(0), "{}", world.transcript(0));
        world.forget();
        world.nodes[0].config = crate::net::config(&tunnel(0, 1, tags, &["l2tp1"]));
        world.crash_with_file(0);
        let waited = router.run(&mut world, Duration::from_secs(100), |world| world.is_up(0));
        println!("{tags}: back after {waited:?}");
        assert!(waited < Duration::from_secs(limit), "{waited:?}\n{}", world.transcript(0));
        router.run(&mut world, Duration::from_secs(200), |_| false);
        assert!(world.is_up(0), "{}", world.transcript(0));
        assert_eq!(world.nodes[0].texts(Level::Warn).len(), 0, "{:?}", world.nodes[0].texts(Level::Warn));
    }
}
