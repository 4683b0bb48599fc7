//! A peer that stands by and does not know the bit that tells it so (RFC 5641): it takes its circuit for one that is in
//! use, and sends what it has.

use std::time::Duration;

use l2tpd::proto::Command;

use crate::backup::{cut, hub, open, served_by, spoke, states, until_served, until_standby, TWO};
use crate::net::{address, Datagram};
use crate::world::World;

/// A Circuit Status AVP up to its value: 8 octets, of no vendor, attribute 71.
const CIRCUIT_STATUS: [u8; 5] = [8, 0, 0, 0, 71];
const STANDBY: u8 = 0x40;

/// Takes the bit out of a message; whether it was there. So a peer understands it that passes over the bit.
fn forget_standby(datagram: &mut Datagram) -> bool {
    let at = datagram.octets.windows(5).position(|octets| octets == CIRCUIT_STATUS);
    let value = at.and_then(|at| datagram.octets.get_mut(at + 6));
    value.is_some_and(|value| std::mem::replace(value, *value & !STANDBY) & STANDBY != 0)
}

/// Two hubs that do not know the bit, of which the second one stands by.
fn ignorant_hubs(tags: &str) -> World {
    let mut world = World::new(7);
    world.add(&spoke(TWO, &format!("standby hot;{tags}")));
    world.add(&hub(1, "role passive"));
    world.add(&hub(2, "role passive"));
    world.mangle = Some(Box::new(|_, datagram| {
        if datagram.from.ip() == address(0) {
            forget_standby(datagram);
        }
    }));
    world.start_all();
    until_served(&mut world, 1, 1);
    until_standby(&mut world, 2, 5);
    world
}

/// Whether frames pass at our end of the session with this hub.
fn passes(world: &World, hub: usize) -> bool {
    world.nodes[0]
        .ports
        .values()
        .any(|port| port.path.remote.ip() == address(hub) && (port.send || port.receive))
}

// C-344: its own gates are open, ours are not: nothing is sent to it, and what it sends is dropped.
#[test]
fn c_344_frames_never_go_to_both() {
    let mut world = ignorant_hubs("hello-interval 0.1;revert-after never");
    assert_eq!(
        world.session(2, "l2tp1").remote_circuit.expect("told") & u16::from(STANDBY),
        0,
        "it was not told"
    );
    assert_eq!((open(&world, 1), open(&world, 2)), (1, 1), "both would carry frames");
    assert_eq!((passes(&world, 1), passes(&world, 2)), (true, false));
    for turn in 0..6 {
        let (from, to) = if turn % 2 == 0 { (1, 2) } else { (2, 1) };
        // By the administrator, or as the one in use is lost.
        match turn % 3 {
            0 => world.act(0, |e, now| e.command(now, Command::FailOver("t".into()))).expect("another peer"),
            _ => cut(&mut world, &[from]),
        }
        let end = world.time + Duration::from_secs(2);
        while let Some(at) = world.next_event().filter(|at| *at <= end) {
            world.run_until(at);
            assert!(open(&world, 0) <= 1, "{:?}\n{}", world.time, world.transcript(0));
        }
        assert_eq!(served_by(&world), Some(address(to)), "turn {turn}: {:?}", states(&world));
        world.fault = crate::net::perfect();
        until_standby(&mut world, from, 120);
        assert_eq!((passes(&world, to), passes(&world, from)), (true, false), "turn {turn}");
    }
}
