//! Another configuration, and the administrator's commands.

use std::net::SocketAddr;
use std::time::Duration;

use l2tpd::proto::{Command, CommandError, TunnelEvent};
use l2tpd::wire::Encapsulation;

use crate::net::{address, tunnel, DELAY};
use crate::world::World;

const TWO: &[&str] = &["l2tp1", "l2tp2"];

fn up(tags: &str, sessions: &[&str]) -> World {
    let mut world = World::pair(1, tags, sessions);
    world.start_all();
    world.run_seconds(30);
    world.assert_both_up();
    world.capture = true;
    world.forget();
    world
}

// What did not change is not touched: no packet, no number, no line.
#[test]
fn unchanged() {
    let mut world = up("", TWO);
    let before = world.tunnel(0);
    world.reload(0, &tunnel(0, 1, "", TWO));
    world.run(DELAY);
    let after = world.tunnel(0);
    assert_eq!((after.ns, after.nr, after.local_ccid), (before.ns, before.nr, before.local_ccid));
    assert_eq!((world.wire.len(), world.nodes[0].log.len(), world.nodes[0].events.len()), (0, 0, 0));
}

// C-166: a session more while the peer has not answered our SCCRQ yet: it is asked for only when the connection is
// established, and then once.
#[test]
fn c_166_session_added_too_early() {
    let mut world = World::pair(1, "", &["l2tp1"]);
    world.start(0);
    world.run(DELAY);
    assert_eq!(world.tunnel(0).state.status_name(), "wait-ctl-reply");
    world.reload(0, &tunnel(0, 1, "", TWO));
    world.run_seconds(2);
    assert_eq!(world.logged(0, "send ICRQ"), 0, "{}", world.transcript(0));
    world.reload(1, &tunnel(1, 0, "", TWO));
    world.start(1);
    world.run_seconds(30);
    world.assert_both_up();
    assert_eq!(world.tunnel(0).sessions.len(), 2);
}

// Timers change under way, without a packet.
#[test]
fn live_settings() {
    let mut world = up("hello-interval 60", TWO);
    world.reload(
        0,
        &tunnel(0, 1, "hello-interval 3;retry 2;retry-interval 0.5;linger 5;setup-timeout 9", TWO),
    );
    assert_eq!(world.wire.len(), 0);
    world.run(Duration::from_millis(3300));
    assert_eq!(world.logged(0, "send HELLO"), 1, "the new interval counts at once");
    world.fault = Box::new(|_, _| Vec::new());
    world.forget();
    world.run_seconds(10);
    let hellos: Vec<u128> =
        world.wire.iter().filter(|d| d.kind() == 6).map(|d| d.at.as_millis()).take(3).collect();
    assert!(
        (500..=625).contains(&(hellos[1] - hellos[0])),
        "{hellos:?}: half a second, and up to a quarter more"
    );
    assert_eq!(hellos[2] - hellos[1], 1000);
    assert_eq!(world.logged(0, "delete tunnel"), 1);
}

// C-124: a session more: asked for at once; the others are not touched.
#[test]
fn c_124_session_added_removed_changed() {
    let mut world = up("", TWO);
    let (first, second) = (world.session(0, "l2tp1").local, world.session(0, "l2tp2").local);
    for n in 0..2 {
        world.reload(n, &tunnel(n, 1 - n, "", &["l2tp1", "l2tp2", "l2tp3"]));
    }
    assert!(world.run_while_not(Duration::from_secs(1), World::both_up), "{}", world.transcript(0));
    assert_eq!((world.session(0, "l2tp1").local, world.session(0, "l2tp2").local), (first, second));
    for n in 0..2 {
        world.reload(n, &tunnel(n, 1 - n, "", &["l2tp2", "l2tp3"]));
    }
    world.run_seconds(1);
    world.assert_both_up();
    assert_eq!(world.session(0, "l2tp2").local, second);
    // Another end id at both ends.
    for n in 0..2 {
        let text =
            tunnel(n, 1 - n, "", &["l2tp2", "l2tp3"]).replace("remote-end-id 3", "remote-end-id other");
        world.reload(n, &text);
    }
    assert!(world.run_while_not(Duration::from_secs(15), World::both_up), "{}", world.transcript(0));
    assert_eq!(world.session(0, "l2tp2").local, second);
    assert_eq!(world.tunnel(0).counters.established, 1, "the connection stayed");
}

// A tunnel goes, comes, changes: StopCCN 6, or 1 and a new set-up.
#[test]
fn tunnel_removed_added_changed() {
    let mut world = up("", TWO);
    world.reload(0, "hostname a\nrouter-id 10.0.0.1\n");
    assert_eq!(world.snapshot(0).tunnels.len(), 0);
    world.run_seconds(1);
    assert!(world.nodes[0].engine.is_idle());
    assert_eq!(world.logged(1, "receive StopCCN"), 1);
    assert!(world.nodes[0].ports.is_empty() && world.nodes[1].ports.is_empty());
    world.run_seconds(100);
    assert_eq!(world.nodes[0].engine.next_timeout(), None);
    world.reload(0, &tunnel(0, 1, "", TWO));
    assert!(world.run_while_not(Duration::from_secs(5), World::both_up), "{}", world.transcript(0));
    for n in 0..2 {
        world.reload(n, &tunnel(n, 1 - n, "password new", TWO));
    }
    assert!(world.run_while_not(Duration::from_secs(20), World::both_up), "{}", world.transcript(0));
    assert!(world.tunnel(0).authenticated);
}

// A reload in the middle of a set-up that removes what is being set up.
#[test]
fn removed_in_the_middle() {
    for count in 0..16 {
        let mut world = World::pair(count, "", TWO);
        world.start_all();
        world.run_while_not(Duration::from_secs(3), |w| w.nodes[0].sent as u64 >= count);
        world.reload(0, "hostname a\nrouter-id 10.0.0.1\n");
        world.run_seconds(90);
        assert!(world.nodes[0].ports.is_empty());
        assert!(world.nodes[1].ports.is_empty());
        world.reload(0, &tunnel(0, 1, "", TWO));
        assert!(
            world.run_while_not(Duration::from_secs(20), World::both_up),
            "{count} {}",
            world.transcript(0)
        );
    }
}

// A session that is removed while it waits for the connection; C-165.
#[test]
fn c_165_session_removed_while_connecting() {
    let mut world = World::pair(1, "", TWO);
    world.start(0);
    world.run_seconds(1);
    assert_eq!(world.session(0, "l2tp1").state.status_name(), "wait-control-conn");
    assert_eq!(world.logged(0, "begin new session"), 0, "C-163: no ICRQ before there is a connection");
    for n in 0..2 {
        world.reload(n, &tunnel(n, 1 - n, "", &["l2tp2"]));
    }
    assert!(world.run_while_not(Duration::from_secs(5), World::both_up), "{}", world.transcript(0));
    assert_eq!(world.logged(0, "begin new session") + world.logged(1, "create new session"), 2);
}

// `stop` and `start`; both hold until the next reload.
#[test]
fn stop_and_start() {
    let mut world = up("", TWO);
    world.act(0, |e, now| e.command(now, Command::Stop("t".into()))).unwrap();
    world.run_seconds(300);
    assert!(world.tunnel(0).disabled);
    assert_eq!((world.tunnel(0).state.status_name(), world.nodes[0].ports.len()), ("idle", 0));
    world.act(0, |e, now| e.command(now, Command::Start("t".into()))).unwrap();
    assert!(world.run_while_not(Duration::from_secs(5), World::both_up), "{}", world.transcript(0));
    world.act(0, |e, now| e.command(now, Command::Stop("t".into()))).unwrap();
    world.run_seconds(60);
    world.reload(0, &tunnel(0, 1, "", TWO));
    assert!(world.run_while_not(Duration::from_secs(5), World::both_up), "a reload undoes stop");
    // Disabled by the configuration, started by hand, and back.
    world.reload(0, &tunnel(0, 1, "disable", TWO));
    world.run_seconds(60);
    assert_eq!(world.tunnel(0).state.status_name(), "idle");
    world.act(0, |e, now| e.command(now, Command::Start("t".into()))).unwrap();
    assert!(world.run_while_not(Duration::from_secs(5), |w| w.tunnel(0).state.status_name() == "established"));
    world.reload(0, &tunnel(0, 1, "disable", TWO));
    world.run_seconds(60);
    assert_eq!(world.tunnel(0).state.status_name(), "idle");
    assert_eq!(
        world.act(0, |e, now| e.command(now, Command::Start("nobody".into()))),
        Err(CommandError::NotFound)
    );
}

// C-125 C-305: `clear` with its codes, for a tunnel, a peer, a session, everything; code 0 is refused.
#[test]
fn c_125_c_305_clear() {
    let mut world = up("restart-interval 2", TWO);
    type Clear<'a> = &'a dyn Fn(&mut World) -> Result<(), CommandError>;
    let clear: [Clear; 4] = [
        &|w| w.act(0, |e, now| e.command(now, Command::ClearTunnel("t".into(), Some(4)))),
        &|w| w.act(0, |e, now| e.command(now, Command::ClearPeer(address(1), None))),
        &|w| w.act(0, |e, now| e.command(now, Command::ClearSession("l2tp2".into(), Some(4)))),
        &|w| w.act(0, |e, now| e.command(now, Command::ClearAll(None))),
    ];
    for (at, what) in clear.iter().enumerate() {
        world.forget();
        assert_eq!(what(&mut world), Ok(()));
        let told = |what| world.nodes[0].events.iter().any(|(_, event)| event.what == what);
        let expected = (true, at != 2); // the third clears a session alone
        assert_eq!((told(TunnelEvent::SessionDown), told(TunnelEvent::TunnelDown)), expected, "{at}");
        assert!(!world.both_up());
        // The next attempt begins at once: two exchanges, on a network that takes 1 ms.
        let up = world.run_while_not(Duration::from_millis(50), World::both_up);
        assert!(up, "{at}\n{}", world.transcript(0));
        world.run_seconds(5);
        world.assert_both_up();
    }
    world.forget();
    assert_eq!(
        world.act(0, |e, now| e.command(now, Command::ClearTunnel("t".into(), Some(0)))),
        Err(CommandError::NoResultCode)
    );
    assert_eq!(world.logged(0, "result code not specified"), 1);
    assert_eq!(
        world.act(0, |e, now| e.command(now, Command::ClearTunnel("other".into(), None))),
        Err(CommandError::NotFound)
    );
    world.assert_both_up();
}

/// What is not there to be cleared: the message of the catalogue, and below it whether it is configured at all.
#[test]
fn clear_tells_what_is_down_from_what_is_not_configured() {
    let mut world = up("", TWO);
    let absent = |why: &str| Err(CommandError::NothingToClear(why.to_owned()));
    let session = |world: &mut World, name: &str| {
        world.act(0, |e, now| e.command(now, Command::ClearSession(name.into(), None)))
    };
    let peer = |world: &mut World, at: usize| {
        world.act(0, |e, now| e.command(now, Command::ClearPeer(address(at), None)))
    };
    let unlike = "no session of this name is configured";
    assert_eq!(session(&mut world, "l2tp9"), absent(&format!("{unlike}; did you mean l2tp1?")));
    assert_eq!(session(&mut world, "eth0"), absent(unlike));
    let unknown = "no tunnel is configured for this address";
    assert_eq!(peer(&mut world, 2), absent(unknown));
    world.act(0, |e, now| e.command(now, Command::Stop("t".into()))).unwrap();
    let down = "it is configured, but not up at present; `l2tpctl explain tunnel t` tells why";
    assert_eq!(session(&mut world, "l2tp2"), absent(down));
    let tunnel = "tunnel t is configured for it, but not up at present; `l2tpctl explain tunnel t` tells why";
    assert_eq!(peer(&mut world, 1), absent(tunnel));
    for (line, why) in [
        ("no such if_name: eth0", unlike),
        ("no such if_name: l2tp2", down),
        ("no such address peer: 192.0.2.3", unknown),
        ("no such address peer: 192.0.2.2", tunnel),
    ] {
        let text = format!("admin_clear: {line}");
        let line = world.nodes[0].log.iter().map(|(_, line)| line).find(|line| line.text == text);
        assert_eq!(line.and_then(|line| line.detail.as_deref()), Some(why), "{text}");
    }
}

// C-081 C-108: two tunnels to one address, told apart by the names in the SCCRQ, with hidden AVPs too.
#[test]
fn c_081_two_tunnels_to_one_address() {
    for (tags, encapsulation) in [("", "ip"), ("hidden on", "ip"), ("", "udp")] {
        let mut world = World::new(9);
        for me in 0..2 {
            let names = [["a1", "a2"], ["b1", "b2"]];
            let mut text = "router-id 10.0.0.9\n".to_owned();
            for (k, (own, peers)) in names[me].iter().zip(names[1 - me]).enumerate() {
                text.push_str(&format!(
                    "tunnel t{k}\nremote-address {}\nlocal-hostname {}\nremote-hostname {}\nremote-router-id any\npassword p{k}\nencapsulation {encapsulation}\n{tags}\nsession l2tp{k}\nremote-end-id lan\n",
                    address(1 - me), own, peers
                ));
            }
            world.add(&text);
        }
        world.start_all();
        world.run_seconds(60);
        let tunnels = world.snapshot(0).tunnels;
        let there = world.snapshot(1).tunnels;
        for (here, there) in tunnels.iter().zip(&there) {
            assert_eq!(
                (here.state.status_name(), there.state.status_name()),
                ("established", "established"),
                "{}",
                world.transcript(0)
            );
            assert_eq!((here.local_ccid, here.remote_ccid), (there.remote_ccid, there.local_ccid));
            assert_eq!(here.sessions[0].state.status_name(), "established");
            assert_eq!(here.sessions[0].local, there.sessions[0].remote);
        }
        // One restarts: both of its tunnels come back.
        world.crash(1);
        let both = |w: &World| w.nodes[0].ports.len() == 2 && w.nodes[1].ports.len() == 2;
        assert!(world.run_while_not(Duration::from_secs(8), both), "{}", world.transcript(0));
    }
}

// C-082 C-083: `remote-address any`: whoever proves to be the peer, from wherever; the Router ID is no address.
#[test]
fn c_082_any_address() {
    let mut world = World::new(9);
    let text = tunnel(0, 1, "password secret", TWO).replace("remote-address 192.0.2.2", "remote-address any");
    world.add(&text.replace("10.0.0.2", "255.255.255.255"));
    world.add(
        &tunnel(1, 0, "password secret", TWO).replace("router-id 10.0.0.2", "router-id 255.255.255.255"),
    );
    world.add(&tunnel(2, 0, "password secret", TWO));
    world.start_all();
    world.run_seconds(30);
    world.assert_both_up();
    assert_eq!(world.tunnel(0).peer, Some(address(1)));
    assert_ne!(world.tunnel(2).state.status_name(), "established", "its Router ID is another one");
    // The peer turns up at another address.
    let moved = address(7);
    world.nodes[1].address = moved;
    world.crash(1);
    assert!(world.run_while_not(Duration::from_secs(5), World::both_up), "{}", world.transcript(0));
    assert_eq!(world.tunnel(0).peer, Some(moved));
    let port = world.nodes[0].ports.values().next().unwrap();
    assert_eq!(port.path.remote, SocketAddr::new(moved, 0));
}

// The daemon cannot prepare the socket at first: `failed to create tunnel`, and another try.
#[test]
fn preparation_fails() {
    let mut world = World::pair(1, "", TWO);
    world.nodes[0].prepare_outcomes = (0..3).map(|_| Err("no such host".to_owned())).collect();
    world.start(0);
    world.run_seconds(1);
    assert_eq!(world.logged(0, "failed to create tunnel"), 1);
    assert_eq!(world.tunnel(0).last_failure.unwrap().0.cause.message(), "M-009");
    assert_eq!(world.happened(0, TunnelEvent::TunnelFailed), 1);
    world.run_seconds(60);
    world.start(1);
    assert!(world.run_while_not(Duration::from_secs(5), World::both_up), "{}", world.transcript(0));
}

// `role active` and `role passive`, and the pairs that cannot work.
#[test]
fn roles() {
    for (here, there, works) in [
        ("role active", "role passive", true),
        ("role active", "role both", true),
        ("role both", "role passive", true),
        ("role passive", "role passive", false),
        ("role active", "role active", false),
    ] {
        let mut world = World::new(4);
        world.add(&tunnel(0, 1, here, TWO));
        world.add(&tunnel(1, 0, there, TWO));
        world.start(1);
        world.run_seconds(1);
        world.start(0);
        world.run_seconds(90);
        assert_eq!(world.both_up(), works, "{here}, {there}\n{}", world.transcript(0));
    }
}

// Manual sessions are attached without a word on the wire; their tunnel has no connection.
#[test]
fn manual_sessions() {
    let text = "router-id 10.0.0.1\ntunnel t\nremote-address 192.0.2.2\nsession l2tp1\nmanual 5 6\nlocal-cookie 01020304\nremote-cookie 0506070809101112\n";
    let mut world = World::new(1);
    world.add(text);
    world.capture = true;
    world.start(0);
    world.run_seconds(300);
    assert_eq!(world.wire.len(), 0);
    let port = world.nodes[0].ports.values().next().expect("attached");
    assert_eq!((port.attachment.local.0, port.attachment.remote.0), (5, 6));
    assert_eq!(port.attachment.cookie_expected.as_slice(), [1, 2, 3, 4]);
    assert_eq!(port.attachment.cookie_to_send.len(), 8);
    assert!(port.send && port.receive && port.carrier);
    assert_eq!(port.path.encapsulation, Encapsulation::Ip);
    world.reload(0, &text.replace("manual 5 6", "manual 7 8"));
    world.run_seconds(1);
    assert_eq!(world.nodes[0].ports.keys().map(|id| id.0).collect::<Vec<_>>(), [7]);
    world.act(0, |e, now| e.command(now, Command::Stop("t".into()))).unwrap();
    assert!(world.nodes[0].ports.is_empty());
    world.act(0, |e, now| e.command(now, Command::Start("t".into()))).unwrap();
    world.run_seconds(1);
    assert_eq!(world.nodes[0].ports.len(), 1);
}

// C-132: a session id is unique in the whole daemon: a manual one that is in use elsewhere waits.
#[test]
fn limits() {
    let mut world = World::pair(1, "", TWO);
    world.reload(0, &format!("max-sessions 1\n{}", tunnel(0, 1, "", TWO)));
    world.start(1);
    world.run_seconds(60);
    assert_eq!(world.nodes[0].ports.len(), 1, "{}", world.transcript(0));
    assert!(world.logged(0, "failed to new_session") > 0);
    world.reload(0, &format!("max-sessions 9\n{}", tunnel(0, 1, "", TWO)));
    assert!(world.run_while_not(Duration::from_secs(15), World::both_up), "{}", world.transcript(0));
}
