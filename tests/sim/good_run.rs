//! Set-up and end without faults: every line of the log, in order, of both roles.

use std::time::Duration;

use l2tpd::log::Level;
use l2tpd::proto::TunnelEvent;

use crate::world::World;

/// The log of a node with the connection's id as `T`, the session's as `S`.
fn lines(world: &World, n: usize) -> Vec<String> {
    let mut texts = world.nodes[n].texts(Level::Debug);
    let created = texts.iter().find_map(|t| t.split("ID = ").nth(1).map(str::to_owned)).unwrap_or_default();
    let (decimal, hex) = created.trim_end_matches(')').split_once('(').unwrap_or_default();
    let ids = texts.iter().find_map(|t| t.split("][").nth(1)?.split(']').next().map(str::to_owned));
    let session = ids.unwrap_or_default();
    for text in &mut texts {
        for (from, to) in [(decimal, "T"), (hex, "0xT"), (session.as_str(), "S")] {
            if !from.is_empty() {
                *text = text.replace(from, to);
            }
        }
        *text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    }
    texts
}

fn check(world: &World, n: usize, expected: &str) {
    let expected: Vec<String> =
        expected.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(lines(world, n), expected, "node {n}");
}

/// Node 0 begins; node 1 only answers.
fn initiator_and_responder() -> World {
    let mut world = World::new(1);
    world.add(&crate::net::tunnel(0, 1, "", &["l2tp1"]));
    world.add(&crate::net::tunnel(1, 0, "role passive", &["l2tp1"]));
    world.start(1);
    world.start(0);
    world
}

// C-080 C-087 C-110 C-111 C-115 C-121 C-131 C-166 C-167 C-176 C-180 C-321: one exchange of each kind, and nothing else.
#[test]
fn c_080_c_131_log_of_a_good_run() {
    let mut world = initiator_and_responder();
    world.run_seconds(5);
    world.assert_both_up();
    check(
        &world,
        0,
        "info  [T] create new tunnel, state --> IDLE
         debug tunnel create suceeded: my connection ID = T(0xT)
         info  [T] begin new tunnel [t] peer:192.0.2.2
         info  send SCCRQ, state --> WAIT-CTL-REPLY
         debug [T] send control packet(1): SCCRQ
         info  receive SCCRP, state --> ESTABLISHED
         info  send SCCCN, state --> ESTABLISHED
         debug [T] send control packet(1): SCCCN
         info  [T] begin new session
         info  send ICRQ, state --> WAIT-REPLY
         debug [T] send control packet(1): ICRQ
         debug [T] receive Explicit ACK
         info  receive ICRP, state --> ESTABLISHED
         info  send ICCN, state --> ESTABLISHED
         debug [T] send control packet(1): ICCN
         debug [T] receive Explicit ACK",
    );
    check(
        &world,
        1,
        "info  [T] create new tunnel, state --> IDLE
         debug tunnel create suceeded: my connection ID = T(0xT)
         info  receive SCCRQ, state --> IDLE
         info  send SCCRP, state --> WAIT-CTL-CONN
         debug [T] send control packet(1): SCCRP
         info  receive SCCCN, state --> ESTABLISHED
         debug [T] send ACK
         debug [T] can't find session, create new session
         info  [T] begin new session
         info  receive ICRQ, state --> IDLE
         info  send ICRP, state --> WAIT-CONNECT
         debug [T] send control packet(1): ICRP
         info  receive ICCN, state --> ESTABLISHED
         debug [T] send ACK",
    );
    for n in 0..2 {
        assert_eq!(world.happened(n, TunnelEvent::TunnelUp), 1);
        assert_eq!(world.happened(n, TunnelEvent::SessionUp), 1);
        assert_eq!(world.happened(n, TunnelEvent::TunnelFailed), 0);
    }
}

// C-102 C-103 C-104 C-107 C-125 C-127: the orderly end.
#[test]
fn c_102_log_of_an_orderly_end() {
    let mut world = initiator_and_responder();
    world.run_seconds(5);
    let keep: Vec<_> =
        (0..2).map(|n| world.nodes[n].log.iter().take(2).cloned().collect::<Vec<_>>()).collect();
    world.forget();
    for (n, head) in keep.into_iter().enumerate() {
        world.nodes[n].log = head; // the line with the id
    }
    world.act(0, |engine, now| engine.shutdown(now));
    assert!(!world.nodes[0].engine.is_idle());
    world.run_seconds(1);
    assert!(world.nodes[0].engine.is_idle());
    check(
        &world,
        0,
        "info  [T] create new tunnel, state --> IDLE
         debug tunnel create suceeded: my connection ID = T(0xT)
         debug [T][S] cleanup session: l2tp1
         debug [T][S] delete session
         info  send StopCCN, state --> IDLE
         debug [T] send control packet(1): StopCCN
         debug [T] receive Explicit ACK
         debug [T] cleanup tunnel: t
         debug [T] delete tunnel",
    );
    check(
        &world,
        1,
        "info  [T] create new tunnel, state --> IDLE
         debug tunnel create suceeded: my connection ID = T(0xT)
         info  receive StopCCN, state --> IDLE
         debug [T][S] cleanup session: l2tp1
         debug [T][S] delete session
         debug [T] cleanup tunnel: t
         debug [T] send ACK",
    );
    assert!(world.nodes[0].ports.is_empty() && world.nodes[1].ports.is_empty());
    world.run_seconds(31);
    assert_eq!(world.logged(1, "delete tunnel"), 1, "C-062: after the linger time");
}

// C-053 C-057 C-059 C-073 C-075: the peer is gone: HELLO at 0, 1, 3, 7 s after the first, cleared at 15 s.
#[test]
fn c_057_c_075_log_of_a_lost_peer() {
    let mut world = World::pair(2, "retry 3;hello-interval 2;role both", &["l2tp1"]);
    world.start_all();
    world.run_seconds(20);
    world.assert_both_up();
    world.run_while_not(Duration::from_secs(10), |w| w.logged(0, "send HELLO") > 0);
    world.run_seconds(1);
    world.forget();
    world.fault = Box::new(|_, _| Vec::new());
    assert!(world.run_while_not(Duration::from_secs(30), |w| w.logged(0, "cleanup tunnel") > 0));
    let times = |text: &str| -> Vec<Duration> {
        let log = world.nodes[0].log.iter();
        log.filter(|(_, l)| l.text.contains(text)).map(|(at, _)| *at).collect()
    };
    let hellos = times("): HELLO");
    let since = |first: Duration, t: &Duration| (*t - first).as_millis() as u64;
    let first = since(hellos[0], &hellos[1]);
    assert!((1000..=1250).contains(&first), "{first}: a second, and up to a quarter more");
    let gaps: Vec<u64> = hellos[1..].iter().map(|t| since(hellos[1], t)).collect();
    assert_eq!(gaps, [0, 2000, 6000]);
    assert_eq!(since(hellos[1], &times("cleanup tunnel")[0]), 14000);
    let texts: Vec<String> = world.nodes[0].texts(Level::Debug);
    let tail: Vec<&str> =
        texts.iter().map(|t| t.split_once("] ").map_or(t.as_str(), |(_, rest)| rest)).collect();
    let from = tail.iter().position(|t| *t == "failed to send control message. tunnel shutown.").unwrap();
    assert_eq!(tail[from + 1], "error failed to send control message. tunnel shutdown");
    assert!(tail[from + 2].ends_with("cleanup session: l2tp1"), "{tail:?}");
    assert!(tail[from + 3].ends_with("delete session"), "{tail:?}");
    assert_eq!(tail[from + 4..from + 6], ["cleanup tunnel: t", "delete tunnel"]);
}
