//! Is the peer there: hints that it has forgotten us, peers that say nothing at all.

use std::net::SocketAddr;
use std::time::Duration;

use l2tpd::proto::connection::table::State;
use l2tpd::proto::TunnelEvent;
use l2tpd::wire::message::encode_zlb;
use l2tpd::wire::{header, Ccid, Encapsulation, Message};

use crate::net::{address, tunnel};
use crate::peer::{stop, Peer, CCID};
use crate::world::World;

/// A ZLB for no connection, as a peer answers what it cannot place.
fn zlb_without_id() -> Vec<u8> {
    let mut octets = encode_zlb();
    header::stamp(&mut octets, Ccid(0), 0, 1);
    octets
}

/// Puts octets on the wire as if they came from the peer.
fn from_peer(peer: &Peer, world: &mut World, octets: Vec<u8>) {
    let port = if peer.encapsulation == Encapsulation::Udp { 1701 } else { 0 };
    world.send(peer.encapsulation, peer.from, SocketAddr::new(address(0), port), octets);
}

/// Lets the time pass, and answers everything but SCCRQs with a ZLB without id, until an SCCRQ comes.
fn forget_until_request(peer: &mut Peer, world: &mut World, limit: Duration) {
    let end = world.time + limit;
    while world.time < end {
        world.run(Duration::from_millis(10));
        if world.inbox.iter().any(|d| d.kind() == 1) {
            (peer.ns, peer.nr) = (0, 0);
            return;
        }
        for _ in std::mem::take(&mut world.inbox) {
            from_peer(peer, world, zlb_without_id());
        }
    }
    panic!("no SCCRQ within {limit:?}\n{}", world.transcript(0));
}

// A peer that has forgotten us answers HELLOs by ZLBs without id: with the defaults it is back within 15 s.
#[test]
fn a_peer_that_forgot_us_is_called_again() {
    for tags in ["role both", "role both;retry-interval 0.2", "role both;encapsulation udp"] {
        let mut peer = Peer::new();
        if tags.contains("udp") {
            peer.encapsulation = Encapsulation::Udp;
            peer.from.set_port(1701);
        }
        let (mut peer, mut world) = peer.and_world(tags, &[]);
        world.run(Duration::from_millis(5));
        peer.answer(&mut world);
        peer.acknowledge(&mut world);
        peer.receive(&mut world);
        let noticed = world.run_while_not(Duration::from_secs(70), |w| w.logged(0, "send HELLO") > 0);
        assert!(noticed, "{tags}\n{}", world.transcript(0));
        let asked = world.time;
        forget_until_request(&mut peer, &mut world, Duration::from_secs(15));
        peer.answer(&mut world);
        let back = world.time - asked;
        println!("{tags}: back {:.2} s after the first HELLO", back.as_secs_f64());
        assert!(back < Duration::from_secs(15), "{tags}: {back:?}");
        assert_eq!(world.happened(0, TunnelEvent::TunnelDown), 1);
        assert_eq!(world.logged(0, "failed to send control message. tunnel shutdown"), 1);
    }
}

/// The kinds of hints; each is sent as if it came from the peer.
fn hints(peer: &Peer, world: &mut World) {
    from_peer(peer, world, zlb_without_id());
    let mut sent_back = encode_zlb();
    header::stamp(&mut sent_back, CCID, 3, 3);
    from_peer(peer, world, sent_back);
    let mut stop_of_another = peer.octets(&stop(Ccid(0x7777), 1));
    header::stamp(&mut stop_of_another, Ccid(0), 0, 0);
    from_peer(peer, world, stop_of_another);
    let mut hello = peer.octets(&Message::Hello);
    header::stamp(&mut hello, Ccid(0), 0, 0);
    from_peer(peer, world, hello);
    let remote = peer.from;
    world.act(0, |e, now| e.unreachable(now, remote, "Connection refused", true));
}

// C-106: hints alone end nothing, whoever sends them and how often: one HELLO each five seconds at most, and only
// while the connection is established.
#[test]
fn hints_alone_end_nothing() {
    for password in [None, Some("secret")] {
        let (tags, peer) = match password {
            None => ("", Peer::new()),
            Some(word) => ("password secret", Peer::with_password(word)),
        };
        let (mut peer, mut world) = peer.and_established(tags, &[]);
        world.forget();
        for _ in 0..6000 {
            hints(&peer, &mut world);
            world.run(Duration::from_millis(100));
            if peer.kinds(&mut world).contains("HELLO") {
                peer.acknowledge(&mut world);
            }
        }
        assert_eq!(world.tunnel(0).state, State::Established, "{}", world.transcript(0));
        let hellos = world.logged(0, "send HELLO");
        assert!((100..=121).contains(&hellos), "{hellos} HELLOs in 600 s");
        assert_eq!(world.tunnel(0).counters.tx_retransmissions, 0);
        // From elsewhere they mean nothing at all.
        world.forget();
        peer.from = SocketAddr::new(address(8), 0);
        for _ in 0..20 {
            hints(&peer, &mut world);
            world.run_seconds(1);
        }
        assert_eq!(world.logged(0, "send HELLO"), 0);
    }
}

// Each kind of hint alone makes us ask at once, and a peer that does not answer then is gone after 7 s.
#[test]
fn each_hint_shortens_the_retries() {
    type Hint<'a> = &'a dyn Fn(&Peer, &mut World);
    let kinds: [Hint; 5] = [
        &|peer, world| from_peer(peer, world, zlb_without_id()),
        // The id that it found in our message, its own once, sent back.
        &|peer, world| {
            let mut octets = encode_zlb();
            header::stamp(&mut octets, CCID, 3, 3);
            from_peer(peer, world, octets);
        },
        // A connection of former times.
        &|peer, world| {
            let mut octets = peer.octets(&Message::Hello);
            header::stamp(&mut octets, Ccid(0x0bad_0bad), 3, 3);
            from_peer(peer, world, octets);
        },
        &|peer, world| {
            let mut octets = peer.octets(&stop(Ccid(0x7777), 1));
            header::stamp(&mut octets, Ccid(0), 0, 0);
            from_peer(peer, world, octets);
        },
        &|peer, world| {
            let remote = peer.from;
            world.act(0, |e, now| e.unreachable(now, remote, "Protocol not available", true));
        },
    ];
    for (at, hint) in kinds.iter().enumerate() {
        let (peer, mut world) = Peer::new().and_established("", &[]);
        world.run_seconds(10);
        world.forget();
        hint(&peer, &mut world);
        world.run(Duration::from_millis(5));
        let asked = world.time;
        assert_eq!(world.logged(0, "send HELLO"), 1, "kind {at}\n{}", world.transcript(0));
        let lost =
            world.run_while_not(Duration::from_secs(60), |w| w.happened(0, TunnelEvent::TunnelDown) > 0);
        let after = (world.time - asked).as_secs_f64();
        assert!(lost && (6.9..7.1).contains(&after), "kind {at}: {after}");
        let sent = world.inbox.iter().filter(|d| d.kind() == 6).count();
        assert_eq!(sent, 3, "kind {at}: at 0, 1 and 3 s");
    }
    // The acknowledgement of a StopCCN that refused an SCCRQ has an id of its own, which is forgotten at once.
    let (peer, mut world) = Peer::new().and_established("", &[]);
    let mut octets = encode_zlb();
    header::stamp(&mut octets, Ccid(0x0bad_0bad), 0, 1);
    from_peer(&peer, &mut world, octets);
    world.run(Duration::from_millis(5));
    assert_eq!(world.logged(0, "send HELLO"), 0);
    // A router on the way may say that the host is not reachable: routes come back, so this is no such hint.
    let (peer, mut world) = Peer::new().and_established("", &[]);
    let remote = peer.from;
    world.act(0, |e, now| e.unreachable(now, remote, "No route to host", false));
    assert_eq!(world.logged(0, "send HELLO"), 0);
}

// A hint that comes while a message is under way: that one is repeated at once and has 7 s from then on, and its
// acknowledgement ends the suspicion.
#[test]
fn what_is_under_way_is_asked_with() {
    let (mut peer, mut world) = Peer::new().and_established("hello-interval 10", &[]);
    assert!(world.run_while_not(Duration::from_secs(11), |w| w.logged(0, "send HELLO") > 0));
    world.run_seconds(20); // the next repetition is several seconds away
    world.inbox.clear();
    from_peer(&peer, &mut world, zlb_without_id());
    world.run(Duration::from_millis(5));
    assert_eq!(peer.kinds(&mut world), "HELLO");
    world.run_seconds(6);
    peer.receive(&mut world);
    peer.acknowledge(&mut world);
    assert_eq!((world.tunnel(0).state, world.tunnel(0).queued), (State::Established, 0));
    // The next one has all its retries again.
    world.run_seconds(40);
    assert_eq!(world.tunnel(0).state, State::Established, "{}", world.transcript(0));
}

/// When attempts began, in seconds.
fn begun(world: &World) -> Vec<f64> {
    let log = world.nodes[0].log.iter();
    log.filter(|(_, l)| l.text.contains("begin new tunnel")).map(|(at, _)| at.as_secs_f64()).collect()
}

fn gaps(times: &[f64]) -> Vec<f64> {
    times.windows(2).map(|w| w[1] - w[0]).collect()
}

/// Whether each gap is within its bounds.
#[track_caller]
fn assert_gaps(gaps: &[f64], bounds: &[(f64, f64)]) {
    assert_eq!(gaps.len(), bounds.len(), "{gaps:?}");
    for (gap, (least, most)) in gaps.iter().zip(bounds) {
        assert!((*least..=*most).contains(gap), "{gap} is not within {least} and {most}: {gaps:?}");
    }
}

// Attempts that get no answer at all space out, up to restart-interval-max; any answer, if only an ICMP error, brings
// the first interval back.
#[test]
fn attempts_at_a_mute_peer_space_out() {
    let mut world = World::new(3);
    world.add(&tunnel(0, 1, "retry 1;retry-interval 0.1", &["l2tp1"]));
    world.start(0);
    world.run_seconds(330);
    let quarter = (7.5, 13.0);
    let around = |pause: f64| (pause, pause * 1.2 + 0.5);
    let doubled = [quarter, around(20.0), around(40.0), around(80.0), around(80.0)];
    assert_gaps(&gaps(&begun(&world)), &doubled);
    // In the middle of a long pause nothing is waiting for an answer; in the next attempt ICMP tells something.
    let attempts = begun(&world).len();
    assert!(world.run_while_not(Duration::from_secs(100), |w| begun(w).len() > attempts));
    let remote = SocketAddr::new(address(1), 0);
    world.act(0, |e, now| e.unreachable(now, remote, "No route to host", false));
    world.run_seconds(80);
    assert_gaps(&gaps(&begun(&world)[attempts..]), &[quarter, quarter, around(20.0), around(40.0)][..3]);
    // A tag of its own, and an interval that is longer from the beginning.
    for (tags, bounds) in [
        ("restart-interval 4;restart-interval-max 9", [(3.0, 5.5), around(8.0), around(9.0), around(9.0)]),
        ("restart-interval 100", [(75.0, 126.0); 4]),
    ] {
        let mut world = World::new(3);
        world.add(&tunnel(0, 1, &format!("retry 1;retry-interval 0.1;{tags}"), &[]));
        world.start(0);
        world.run_while_not(Duration::from_secs(600), |w| begun(w).len() > 4);
        assert_gaps(&gaps(&begun(&world)), &bounds);
    }
}

// An SCCRQ of the peer that comes to nothing shortens the pause that runs, and so does `clear`, which begins at once.
#[test]
fn a_sign_of_life_shortens_the_pause() {
    let tags = "role both;retry 1;retry-interval 0.1;password secret";
    let (mut peer, mut world) = Peer::with_password("another").and_world(tags, &[]);
    world.run_while_not(Duration::from_secs(200), |w| begun(w).len() > 3);
    world.run_seconds(5);
    let waits = world.tunnel(0).next_try.expect("a pause");
    assert!(waits > Duration::from_secs(60), "{waits:?}");
    peer.request(&mut world);
    let waits = world.tunnel(0).next_try.expect("a pause");
    assert!(waits < Duration::from_secs(13), "{waits:?}");
}

/// freeRtr as a server (seen live, and in its source): one connection for each address of a peer. Whatever comes from
/// there, heeded or not, is a sign of life to it. After 25 s of silence it sends a HELLO, and once more every 5 s;
/// after 8 of them it forgets the connection. Before that it drops every SCCRQ without a word.
struct FreeRtr {
    peer: Peer,
    connected: bool,
    heard: Duration,
    hellos: u32,
}

impl FreeRtr {
    fn new(peer: Peer) -> FreeRtr {
        FreeRtr { peer, connected: false, heard: Duration::ZERO, hellos: 0 }
    }

    /// Lets five seconds pass: it looks at the time no more often.
    fn turn(&mut self, world: &mut World) {
        for _ in 0..50 {
            world.run(Duration::from_millis(100));
            self.receive(world);
        }
        let silence = world.time - self.heard;
        if self.connected && silence >= Duration::from_secs(25) {
            if self.hellos == 8 {
                self.connected = false;
                return;
            }
            self.hellos += 1;
            let hello = self.peer.octets(&Message::Hello);
            from_peer(&self.peer, world, hello);
        }
    }

    fn receive(&mut self, world: &mut World) {
        if world.inbox.is_empty() {
            return;
        }
        (self.heard, self.hellos) = (world.time, 0);
        if self.connected {
            return world.inbox.clear(); // Ns 0 is an old number there
        }
        match world.inbox.iter().any(|d| d.kind() == 1) {
            true => {
                (self.peer.ns, self.peer.nr) = (0, 0);
                self.peer.answer(world);
                self.connected = true;
            }
            false => {
                world.inbox.clear();
                from_peer(&self.peer, world, zlb_without_id());
            }
        }
    }
}

// We crash; the server at the other end holds on to the old connection as long as it hears our SCCRQs. One of the
// pauses is long enough for it to forget, and its HELLOs for the old connection do not cut the pause short.
#[test]
fn a_server_that_holds_on_to_the_old_connection() {
    for (tags, limit) in [
        ("role both", 500),
        ("role both;hello-interval 10;retry 3", 280),
        ("role both;hello-interval 10;retry 3;restart-interval 80", 130),
    ] {
        let (peer, mut world) = Peer::new().and_world(tags, &["l2tp1"]);
        let mut router = FreeRtr::new(peer);
        router.turn(&mut world);
        assert_eq!(world.tunnel(0).state, State::Established);
        world.crash(0);
        world.forget();
        let crashed = world.time;
        while world.tunnel(0).state != State::Established {
            let waited = world.time - crashed;
            assert!(waited < Duration::from_secs(limit), "{tags}: {waited:?}\n{}", world.transcript(0));
            router.turn(&mut world);
        }
        println!("{tags}: back {:.0} s after our crash", (world.time - crashed).as_secs_f64());
    }
}
