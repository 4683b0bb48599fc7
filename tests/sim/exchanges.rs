//! Every exchange of messages there is between two engines, with the k-th message lost, for each k, and with each bit of
//! each message flipped: it comes to its end all the same, and what it does not concern stays.

use std::time::Duration;

use l2tpd::proto::{Command, TunnelEvent};

use crate::net::{tunnel, Fault, DELAY};
use crate::world::World;

const SESSIONS: &[&str] = &["l2tp1"];
const SECRET: &str = "password secret";

/// One kind of exchange.
struct Exchange {
    name: &'static str,
    /// The sessions before.
    before: &'static [&'static str],
    /// Neither end has begun before.
    first: bool,
    act: fn(&mut World),
    /// The control connection outlives it.
    connection_stays: bool,
}

const EXCHANGES: [Exchange; 7] = [
    Exchange {
        name: "set-up of a session",
        before: &[],
        first: false,
        act: add_session,
        connection_stays: true,
    },
    Exchange { name: "CDN", before: SESSIONS, first: false, act: clear_session, connection_stays: true },
    Exchange { name: "StopCCN", before: SESSIONS, first: false, act: clear_tunnel, connection_stays: false },
    Exchange { name: "HELLO", before: SESSIONS, first: false, act: ping, connection_stays: true },
    Exchange { name: "SLI", before: SESSIONS, first: false, act: circuit, connection_stays: true },
    Exchange {
        name: "collision",
        before: SESSIONS,
        first: true,
        act: World::start_all,
        connection_stays: false,
    },
    Exchange { name: "restart", before: SESSIONS, first: false, act: restart, connection_stays: false },
];

fn add_session(world: &mut World) {
    world.reload(1, &tunnel(1, 0, SECRET, SESSIONS));
    world.reload(0, &tunnel(0, 1, SECRET, SESSIONS));
}

fn clear_session(world: &mut World) {
    world
        .act(0, |e, now| e.command(now, Command::ClearSession("l2tp1".to_owned(), None)))
        .expect("a session");
}

fn clear_tunnel(world: &mut World) {
    let name = world.tunnel(0).name;
    world.act(0, |e, now| e.command(now, Command::ClearTunnel(name, None))).expect("a tunnel");
}

fn ping(world: &mut World) {
    let name = world.tunnel(0).name;
    world.act(0, |e, now| e.command(now, Command::Ping(name))).expect("a tunnel");
}

/// Down, and up again before anybody could be sure that the other end knows.
fn circuit(world: &mut World) {
    world.act(0, |e, now| e.circuit(now, "l2tp1", false));
    world.run(DELAY * 5);
    world.act(0, |e, now| e.circuit(now, "l2tp1", true));
}

fn restart(world: &mut World) {
    world.crash(0);
}

impl Exchange {
    /// Two ends for which nothing is to be done.
    fn world(&self) -> World {
        let mut world = World::pair(21, SECRET, self.before);
        if !self.first {
            world.start_all();
            world.run_seconds(5);
            world.assert_both_up();
        }
        world.forget();
        world
    }

    /// The octets of each message, where nothing goes wrong.
    fn messages(&self) -> Vec<usize> {
        let mut world = self.world();
        world.capture = true;
        (self.act)(&mut world);
        world.run_seconds(5);
        world.assert_both_up();
        world.wire.iter().map(|datagram| datagram.octets.len()).collect()
    }

    /// It takes its course, and `time` later all is as it should be.
    fn ends_well(&self, world: &mut World, time: Duration, what: &dyn Fn() -> String) {
        (self.act)(world);
        world.run(time);
        let why = |world: &World| {
            format!("{}, {}\n{}{}", self.name, what(), world.transcript(0), world.transcript(1))
        };
        assert!(world.both_up(), "{}", why(world));
        for n in 0..2 {
            assert_eq!(world.happened(n, TunnelEvent::TunnelFailed), 0, "{}", why(world));
            assert_eq!(world.happened(n, TunnelEvent::SessionFailed), 0, "{}", why(world));
            assert!(!self.connection_stays || world.logged(n, "delete tunnel") == 0, "{}", why(world));
        }
    }
}

/// The k-th datagram is lost.
fn lost(k: usize) -> Fault {
    let mut count = 0;
    Box::new(move |_, _| {
        count += 1;
        if count == k + 1 {
            Vec::new()
        } else {
            vec![DELAY]
        }
    })
}

// C-036 C-052 C-055 C-057: of each exchange each message lost once costs a repetition or two.
#[test]
fn c_052_each_message_of_each_exchange_lost() {
    for exchange in &EXCHANGES {
        let count = exchange.messages().len();
        assert!(count >= 2, "{}: {count}", exchange.name);
        for k in 0..count + 2 {
            let mut world = exchange.world();
            world.fault = lost(k);
            exchange.ends_well(&mut world, Duration::from_secs(15), &|| format!("message {k} lost"));
            world.run_seconds(300);
            world.assert_both_up();
            for n in 0..2 {
                assert_eq!(world.open_connections(n), 1, "{}, message {k} lost", exchange.name);
            }
        }
    }
}

// C-045 C-224 C-225: each bit of each message of each exchange: the message counts as lost.
#[test]
fn c_224_each_bit_of_each_exchange_flipped() {
    for exchange in &EXCHANGES {
        for (k, octets) in exchange.messages().into_iter().enumerate() {
            for bit in 0..octets * 8 {
                let mut world = exchange.world();
                world.damage = Some((k, bit));
                exchange
                    .ends_well(&mut world, Duration::from_secs(12), &|| format!("message {k}, bit {bit}"));
            }
        }
    }
}
