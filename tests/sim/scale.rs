//! What something costs with a hundred or a thousand times as many tunnels or sessions. Processor time, the
//! shortest of several tries; the bounds leave room for caches and lie far below what they forbid.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use l2tpd::config::diff::diff;
use l2tpd::config::model::Via;
use l2tpd::config::Config;
use l2tpd::proto::{Action, Engine, Path};
use l2tpd::sys::clock;
use l2tpd::wire::{Encapsulation, Message};

use crate::net::{address, config, Dice};
use crate::peer::Peer;
use crate::support::sys::thread_time;

/// `from` sends to us.
fn path(from: u32) -> Path {
    Path {
        encapsulation: Encapsulation::Ip,
        local: SocketAddr::new(address(0), 0),
        remote: SocketAddr::new(IpAddr::from(from.to_be_bytes()), 0),
        via: Via::ANY,
    }
}

fn drain(engine: &mut Engine) -> usize {
    std::iter::from_fn(|| engine.poll_action()).count()
}

fn engine(config: &Config) -> Engine {
    let now = clock::now();
    let mut engine = Engine::new(now, Box::new(Dice(7)));
    engine.apply(now, config);
    drain(&mut engine);
    engine
}

/// The shortest of some tries; each begins with a fresh value of `begin`.
fn cost<T>(mut begin: impl FnMut() -> T, mut work: impl FnMut(&mut T)) -> Duration {
    let once = |_| {
        let mut value = begin();
        let start = thread_time();
        work(&mut value);
        thread_time() - start
    };
    (0..7).map(once).min().unwrap()
}

/// Whether many cost at most so many times as much as few.
#[track_caller]
fn grows_at_most(times: u32, few: Duration, many: Duration) {
    assert!(many < few * times, "{few:?}, and {many:?} with many");
}

/// A hub whose tunnels wait for peers from anywhere, each with a name.
fn any(count: usize) -> Config {
    let tunnel = |k| {
        format!(
            "tunnel t{k}\nremote-address any\nremote-hostname spoke-{k}\nremote-router-id any\nsession s{k}\nremote-end-id x\n"
        )
    };
    config(&(0..count).map(tunnel).collect::<String>())
}

/// The same for peers at one address.
fn pair(count: usize) -> Config {
    let text: String = (0..count)
        .map(|k| {
            let to = address(1);
            format!("tunnel t{k}\nremote-address {to}\nrole passive\nremote-hostname spoke-{k}\nremote-router-id any\n")
        })
        .collect();
    config(&text)
}

/// One tunnel with sessions.
fn sessions(count: usize) -> Config {
    let head = format!("tunnel t\nremote-address {}\nremote-hostname b\nremote-router-id any\n", address(1));
    config(&(0..count).fold(head, |text, k| text + &format!("session s{k}\nremote-end-id e{k}\n")))
}

/// SCCRQs of one name, each from another address than the one before where `from` says so.
fn requests(engine: &mut Engine, name: &str, from: impl Fn(u32) -> u32) {
    let peer = Peer { host_name: name.as_bytes().to_vec(), ..Peer::new() };
    let request = peer.octets(&Message::Sccrq(peer.set_up()));
    for n in 0..200 {
        engine.handle_datagram(clock::now(), path(from(n)), &request);
        drain(engine);
    }
}

// A stranger, who is nobody's peer; and one who calls himself as the last of them.
#[test]
fn an_sccrq_costs_the_same_with_ten_and_ten_thousand_tunnels() {
    for hub in [any, pair] {
        let (few, many) = (hub(10), hub(10_000));
        let peer = u32::from_be_bytes([192, 0, 2, 2]);
        let froms: [fn(u32) -> u32; 2] = [|n| 0x0a00_0000 + n, |_| u32::from_be_bytes([192, 0, 2, 2])];
        assert_eq!(froms[1](0), peer, "the one whom `pair` names");
        for from in froms {
            for (name, last) in [("nobody", "nobody"), ("spoke-9", "spoke-9999")] {
                let at_few = cost(|| engine(&few), |engine| requests(engine, name, from));
                let at_many = cost(|| engine(&many), |engine| requests(engine, last, from));
                grows_at_most(40, at_few, at_many); // one by one: 1000 times
            }
        }
    }
}

// A record of a trace names the tunnel; what a stranger sends where nobody may call is dropped, with the reason.
#[test]
fn whose_tunnel_a_stranger_means_is_told_without_looking_at_all() {
    let ask = |engine: &mut Engine| {
        for n in 0..10_000 {
            assert_eq!(engine.tunnel_towards(path(0x0a00_0000 + n).remote), None);
        }
        requests(engine, "nobody", |n| 0x0a00_0000 + n);
    };
    // Over UDP only: no tunnel can be called on this path.
    let hub = |count: usize| {
        let tunnel = |k| {
            format!("tunnel t{k}\nencapsulation udp\nremote-address any\nremote-hostname s{k}\nremote-router-id any\n")
        };
        config(&(0..count).map(tunnel).collect::<String>())
    };
    let (few, many) = (hub(10), hub(10_000));
    grows_at_most(40, cost(|| engine(&few), ask), cost(|| engine(&many), ask));
}

#[test]
fn a_message_that_fits_no_connection_costs_the_same() {
    let send = |engine: &mut Engine| {
        let peer = Peer { theirs: l2tpd::wire::Ccid(99), ..Peer::new() };
        let hello = peer.octets(&Message::Hello);
        for n in 0..200 {
            engine.handle_datagram(clock::now(), path(0x0a00_0000 + n), &hello);
            drain(engine);
        }
    };
    let (few, many) = (any(10), any(10_000));
    grows_at_most(40, cost(|| engine(&few), send), cost(|| engine(&many), send));
}

#[test]
fn a_reload_that_changes_nothing_is_linear() {
    let reload = |of: &Config| {
        let again = of.clone();
        cost(|| engine(of), |engine| engine.apply(clock::now(), &again))
    };
    // 100 times as many; each with each would be 10,000 times.
    grows_at_most(2500, reload(&sessions(100)), reload(&sessions(10_000)));
    grows_at_most(2500, reload(&any(100)), reload(&any(10_000)));
}

#[test]
fn sessions_that_a_reload_adds_or_removes_are_linear() {
    let add = |count: usize| {
        let (before, after) = (sessions(1), sessions(count));
        cost(
            || engine(&before),
            |engine| {
                engine.apply(clock::now(), &after);
                drain(engine);
            },
        )
    };
    grows_at_most(2500, add(40), add(4000));
    let remove = |count: usize| {
        let (before, after) = (sessions(count), sessions(1));
        cost(
            || engine(&before),
            |engine| {
                engine.apply(clock::now(), &after);
                drain(engine);
            },
        )
    };
    grows_at_most(2500, remove(40), remove(4000));
}

/// Parts of a reload are as large whatever its size, and a tunnel is there until its part has come.
#[test]
fn a_reload_is_taken_over_in_parts() {
    for count in [1000, 10_000] {
        let (before, after) = (any(count), any(count / 2));
        let (mut engine, now) = (engine(&before), clock::now());
        engine.begin(&after, diff(&before, &after));
        let gone =
            |engine: &Engine| (0..count).filter(|k| engine.tunnel_place(&format!("t{k}")).is_none()).count();
        let mut parts = 0;
        assert_eq!(gone(&engine), 0);
        loop {
            let more = engine.go_on(now, 100);
            parts += 1;
            // The last part is what has to look at all tunnels.
            assert_eq!((gone(&engine), more), ((100 * parts).min(count / 2), 200 * parts <= count));
            drain(&mut engine);
            if !more {
                break;
            }
        }
        assert_eq!(engine.tunnel_count(), count / 2);
        engine.begin(&before, diff(&after, &before));
        assert!(engine.go_on(now, 100));
        // One that is new already takes its peer's call, though others are not there yet.
        let peer = Peer { host_name: format!("spoke-{}", count / 2).into_bytes(), ..Peer::new() };
        drain(&mut engine);
        engine.handle_datagram(now, path(0x0a00_0001), &peer.octets(&Message::Sccrq(peer.set_up())));
        let answers = std::iter::from_fn(|| engine.poll_action()).filter_map(|action| match action {
            Action::Transmit { message, .. } => message.get(18..20).map(<[u8]>::to_vec),
            _ => None,
        });
        assert_eq!(answers.collect::<Vec<_>>(), [[0, 2]], "SCCRP");
        while engine.go_on(now, 100) {}
        assert_eq!(engine.tunnel_count(), count);
    }
}

// What is asked for by name is not searched for.
#[test]
fn one_tunnel_or_session_is_shown_without_looking_at_the_others() {
    let show = |engine: &mut Engine, last: usize| {
        for _ in 0..1000 {
            let now = clock::now();
            let place = engine.tunnel_place(&format!("t{last}")).unwrap();
            assert_eq!(engine.session_place(&format!("s{last}")), Some((place, 0)));
            assert_eq!(engine.tunnel_snapshot(now, place, 0..16).unwrap().sessions.len(), 1);
            engine.circuit(now, &format!("s{last}"), true);
        }
    };
    let (few, many) = (any(10), any(10_000));
    let few = cost(|| engine(&few), |engine| show(engine, 9));
    grows_at_most(40, few, cost(|| engine(&many), |engine| show(engine, 9999)));
    let whether = |count: usize| {
        let config = any(count);
        cost(
            || engine(&config),
            |engine| {
                for _ in 0..10_000 {
                    assert!(engine.is_idle() && !engine.is_stopping());
                }
            },
        )
    };
    grows_at_most(40, whether(10), whether(10_000));
}

// The daemon asks with each message; of those who call all at once, or were cleared, none is established yet.
#[test]
fn whether_a_peer_has_an_established_connection_costs_the_same() {
    let calling = |count: usize| {
        let text: String = (0..count)
            .map(|k| {
                let to = address(1);
                format!("tunnel t{k}\nremote-address {to}\nremote-hostname spoke-{k}\nremote-router-id any\n")
            })
            .collect();
        let to = path(u32::from_be_bytes([192, 0, 2, 2]));
        let mut engine = engine(&config(&text));
        let now = clock::now() + Duration::from_secs(1);
        let mut sent = 0;
        while sent < count {
            engine.handle_timeout(now, &|_| None);
            while let Some(action) = engine.poll_action() {
                match action {
                    Action::Prepare { tunnel, .. } => engine.prepared(now, &tunnel, Ok(to)),
                    Action::Transmit { .. } => sent += 1,
                    _ => {}
                }
            }
        }
        (engine, to.remote)
    };
    let ask = |(engine, remote): &mut (Engine, SocketAddr)| {
        (0..1000).for_each(|_| assert!(!engine.is_established_with(*remote)));
    };
    grows_at_most(40, cost(|| calling(10), ask), cost(|| calling(10_000), ask));
}
