//! State that an engine takes over from another one: damaged in every octet, with a digest that fits, it is taken or
//! not, and that is all. And other tests once more, in which another engine takes over between any two events.

use std::process::Command;
use std::time::Duration;

use l2tpd::proto::Engine;
use l2tpd::saved::{Reader, Writer};
use md5::{Digest, Md5};

use crate::net::{config, tunnel, Dice};
use crate::support::snapshot::snapshot;
use crate::world::{World, TAKEOVERS};

/// Octets before those that the digest is of: what all state begins with, the length, the digest.
const HEADER: usize = 14 + 8 + 16;

#[test]
fn damaged_state_does_no_harm() {
    let tags = "password secret;hidden on;hello-interval 6";
    let mut world = World::pair(3, tags, &["l2tp0", "l2tp1"]);
    world.start_all();
    world.run(Duration::from_secs(20));
    // Something is under way as well.
    world.fault = Box::new(|_, _| Vec::new());
    world.run(Duration::from_secs(7));
    let now = world.now();
    let config = config(&tunnel(0, 1, tags, &["l2tp0", "l2tp1"]));
    let mut writer = Writer::new(now);
    world.nodes[0].engine.save(&mut writer);
    let whole = writer.finish().to_vec();
    let mut taken = 0;
    for at in HEADER..whole.len() {
        for value in [0, 0xff] {
            let mut damaged = whole.clone();
            damaged[at] = value;
            let digest = Md5::digest(&damaged[HEADER..]);
            damaged[HEADER - 16..HEADER].copy_from_slice(&digest);
            let mut reader = Reader::new(&damaged, now).unwrap();
            let Ok(mut engine) = Engine::restore(&mut reader, now, &config, Box::new(Dice(1))) else {
                continue;
            };
            taken += 1;
            let _ = snapshot(&engine, now);
            engine.shutdown(now);
            for _ in 0..1000 {
                if engine.poll_action().is_none() {
                    break;
                }
            }
        }
    }
    assert!(taken > 100, "{taken}: most numbers can have any value");
}

/// Tests that hold as well if each call finds an engine that knows nothing but what the one before has written: every exchange
/// with each of its messages lost, several peers, one that stands by, names, two encapsulations, translators, circuits,
/// routes.
const TESTS: [&str; 9] = [
    "backup::",
    "circuit::",
    "exchanges::c_052_",
    "fallback::",
    "moves::",
    "names::",
    "nat_keepalive::",
    "routes::",
    "standby::",
];
/// Those that take longer than all others.
const LONG: [&str; 6] =
    ["--skip", "never_two_at_once", "--skip", "the_way_back_takes", "--skip", "comes_and_goes_is_not"];

#[test]
fn another_program_goes_on_between_any_two_events() {
    if std::env::var_os(TAKEOVERS).is_some() {
        return; // this is the other process already
    }
    let mut command = Command::new(std::env::current_exe().expect("the program of the tests"));
    command.args(TESTS).args(LONG).env(TAKEOVERS, "100");
    let output = command.output().expect("the program of the tests");
    let text = String::from_utf8_lossy(&output.stdout);
    let passed = text.split("test result: ok. ").nth(1).and_then(|rest| rest.split(' ').next());
    let passed = passed.and_then(|count| count.parse::<usize>().ok());
    assert!(output.status.success() && passed.is_some_and(|count| count > 40), "{text}");
}
