//! Cisco IOS in its default mode, as `tests/data/cisco-ios.txt` has it: ids and numbers are put in, the rest is as a real
//! pair sent it. The tunnel and its session come up in both roles, and nothing is warned of.

use std::time::Duration;

use l2tpd::log::Level;
use l2tpd::wire::{Message, SessionId};

use crate::peer::{stop, Peer};
use crate::support::packets::{one, with_avps};
use crate::world::World;

/// Their own session ids.
const R1: [u8; 4] = [0x81, 0xc4, 0x7a, 0x35];
const R2: [u8; 4] = [0xfd, 0x42, 0x41, 0xeb];

const NAMES: &str = "remote-router-id any;retry-interval 1";

/// A node that waits for R2, or begins a connection to R1; its session has the end id of the captured ICRQ.
fn node(role: &str, router: &str) -> World {
    let mut world = World::new(5);
    world.add(&format!(
        "hostname R9\nrouter-id 10.0.0.9\ntunnel t\nremote-address 192.0.2.2\nremote-hostname {router}\n{}\n{role}\n\
         session l2tp12\nremote-end-id 12\n",
        NAMES.replace(';', "\n")
    ));
    world.start(0);
    world.run(Duration::from_millis(5));
    world
}

/// Where the value of an AVP of vendor 9 begins.
fn value_of(octets: &[u8], attribute: u8) -> usize {
    octets.windows(4).position(|w| w == [0, 9, 0, attribute]).expect("the AVP") + 4
}

/// A message of a session as the router `own` sends it to our session, with further AVPs at its end.
fn with(label: &str, own: [u8; 4], ours: SessionId, avps: &str) -> Vec<u8> {
    let mut octets = one("cisco-ios.txt", label);
    for (attribute, id) in [(3, own), (4, ours.0.to_be_bytes())] {
        let at = value_of(&octets, attribute);
        octets[at..at + 4].copy_from_slice(&id);
    }
    with_avps(octets, avps)
}

fn no_warning(world: &World) {
    assert_eq!(world.nodes[0].texts(Level::Warn), [""; 0], "{}", world.transcript(0));
}

/// Whether frames pass in both directions.
fn is_open(world: &World) -> bool {
    let port = world.nodes[0].ports.values().next().expect("a session");
    port.receive && port.send && port.carrier
}

// C-288 C-354: R2 calls. Its ICRQ has no Circuit Status, which means active.
#[test]
fn c_354_ios_begins() {
    let mut world = node("role passive", "R2");
    let mut peer = Peer::new();
    peer.raw(&mut world, one("cisco-ios.txt", "SCCRQ 1"));
    peer.ns = 1;
    peer.take_reply(&mut world);
    peer.patched(&mut world, one("cisco-ios.txt", "SCCCN 1"));
    peer.receive(&mut world);
    peer.patched(&mut world, one("cisco-ios.txt", "ICRQ 1"));
    assert_eq!(peer.kinds(&mut world), "ICRP", "{}", world.transcript(0));
    let ours = world.session(0, "l2tp12").local;
    peer.patched(&mut world, with("ICCN 1", R2, ours, ""));
    assert!(is_open(&world), "{}", world.transcript(0));
    // Its own SLI, one without a status, and one with an AVP that nobody knows: nothing changes.
    for avps in ["", "800a000900c800000001"] {
        for label in ["SLI 1", "SLI 2"] {
            peer.patched(&mut world, with(label, R2, ours, avps));
            assert!(is_open(&world), "{label} {avps}\n{}", world.transcript(0));
        }
    }
    assert_eq!(peer.answers(&mut world), ["ACK"; 5].join(", "));
    // Down is down, and an SLI that tells nothing leaves it so.
    let mut down = with("SLI 1", R2, ours, "");
    let at = value_of(&down, 8);
    down[at + 1] = 0;
    peer.patched(&mut world, down);
    assert!(!is_open(&world));
    peer.patched(&mut world, with("SLI 2", R2, ours, ""));
    assert!(!is_open(&world));
    no_warning(&world);
}

// C-288 C-354: we call R1, which tells no Circuit Status in its ICRP and repeats the Pseudowire Type there.
#[test]
fn c_354_ios_answers() {
    let mut world = node("compatibility cisco", "R1");
    let mut peer = Peer::new();
    peer.take_request(&mut world);
    peer.patched(&mut world, one("cisco-ios.txt", "SCCRP 1"));
    assert_eq!(peer.kinds(&mut world), "SCCCN ICRQ", "{}", world.transcript(0));
    let ours = world.session(0, "l2tp12").local;
    peer.patched(&mut world, with("ICRP 1", R1, ours, ""));
    assert_eq!(peer.kinds(&mut world), "ICCN", "{}", world.transcript(0));
    assert!(is_open(&world));
    peer.patched(&mut world, with("SLI 2", R1, ours, ""));
    assert!(is_open(&world), "{}", world.transcript(0));
    no_warning(&world);
    let hello = Message::Hello;
    peer.send(&mut world, &hello);
    assert_eq!(peer.answers(&mut world), "ACK, ACK");
}

// C-089 C-090 C-354: R2 begins at the same time and wins: its StopCCN names its throw-away id in vendor 9 alone.
#[test]
fn c_090_ios_wins_the_tie() {
    let mut world = node("compatibility cisco", "R2");
    let mut peer = Peer::new();
    peer.take_request(&mut world);
    let (mut lost, ours) = (one("cisco-ios.txt", "StopCCN 1"), peer.theirs);
    lost[4..8].copy_from_slice(&ours.0.to_be_bytes());
    peer.raw(&mut world, lost);
    let received = peer.receive(&mut world);
    let acknowledged: Vec<_> = received.iter().map(|r| (r.header.ccid.0, r.header.nr)).collect();
    assert_eq!(acknowledged, [(0x70d9_3b44, 1)], "to the id that it names\n{}", world.transcript(0));
    let mut peer = Peer::new();
    peer.raw(&mut world, one("cisco-ios.txt", "SCCRQ 1"));
    peer.ns = 1;
    peer.take_reply(&mut world);
    peer.patched(&mut world, one("cisco-ios.txt", "SCCCN 1"));
    assert_eq!(world.tunnel(0).state.status_name(), "established", "{}", world.transcript(0));
    assert_eq!(world.tunnel(0).remote_ccid.0, 0x4d2a_10f7);
    no_warning(&world);
    // It closes: a StopCCN of the draft, too.
    let end = stop(world.tunnel(0).remote_ccid, 1);
    peer.receive(&mut world);
    peer.send(&mut world, &end);
    assert_eq!(peer.answers(&mut world), "ACK");
}

// C-085: it has no Router ID; who asks for one is told that there was none.
#[test]
fn c_085_ios_has_no_router_id() {
    let mut world = World::new(5);
    world.add(
        "hostname R9\nrouter-id 10.0.0.9\ntunnel t\nremote-address 192.0.2.2\nremote-hostname R2\n\
         remote-router-id 10.0.0.2\nrole passive\n",
    );
    world.start(0);
    let mut peer = Peer::new();
    peer.raw(&mut world, one("cisco-ios.txt", "SCCRQ 1"));
    assert_eq!(peer.answers(&mut world), "StopCCN 4");
    let failure = world.tunnel(0).last_failure.expect("a failure").0;
    assert_eq!((failure.expected.as_str(), failure.received.as_str()), ("10.0.0.2", "none"));
}
