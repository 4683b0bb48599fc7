//! What is looked at in tables, counted exactly (`gather::looks`): what one message, one timer, one event or one command
//! is about costs the same whether there are a hundred others or a thousand, and what is about all of them costs ten times
//! as much.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use l2tpd::config::model::Via;
use l2tpd::gather::looks;
use l2tpd::proto::{Command, CommandError, NextHop, Path, Route, RouteKey};
use l2tpd::wire::{Ccid, Encapsulation, Message, SessionId};

use crate::net::{address, config};
use crate::peer::{cdn, iccn, icrq, stop, Peer};
use crate::world::World;

/// What each thing looks at.
type Counts = BTreeMap<&'static str, u64>;

/// Where the peers of many tunnels are.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Layout {
    /// Each at an address of its own.
    Hub,
    /// Anywhere.
    Any,
    /// All at one address.
    Pair,
}

/// The address of peer `k`; beyond all of them those of strangers.
fn place(k: usize) -> IpAddr {
    IpAddr::from((0x0a00_0000 + k as u32).to_be_bytes())
}

impl Layout {
    fn peer(self, k: usize) -> IpAddr {
        if self == Layout::Pair {
            place(0)
        } else {
            place(k)
        }
    }

    /// So many tunnels, each with a session; one has a HELLO interval.
    fn text(self, count: usize, with_hello: Option<usize>) -> String {
        let tunnel = |k| {
            let remote = if self == Layout::Any { "any".to_owned() } else { self.peer(k).to_string() };
            let hello = if with_hello == Some(k) { "60" } else { "none" };
            format!(
                "tunnel t{k}\nremote-address {remote}\nrole passive\nremote-hostname spoke-{k}\nremote-router-id any\n\
                 hello-interval {hello}\nsession s{k}\nremote-end-id x\n"
            )
        };
        (0..count).map(tunnel).collect()
    }
}

/// A daemon with many tunnels or sessions, and its peers, which are up.
struct Scene {
    world: World,
    peers: Vec<Peer>,
    counts: Counts,
}

impl Scene {
    fn new(text: &str) -> Scene {
        let mut world = World::new(5);
        world.taken_over = None;
        world.most_actions = 200_000;
        world.add(text);
        world.start(0);
        Scene { world, peers: Vec::new(), counts: Counts::new() }
    }

    /// All tunnels of a layout with their sessions.
    fn tunnels(layout: Layout, count: usize) -> Scene {
        let mut scene = Scene::new(&layout.text(count, None));
        for k in 0..count {
            let peer = Peer {
                from: SocketAddr::new(layout.peer(k), 0),
                own: Ccid(0x1000 + k as u32),
                host_name: format!("spoke-{k}").into_bytes(),
                ..Peer::new()
            };
            scene.connect(peer);
            scene.call(k, "x");
        }
        scene.calm();
        scene
    }

    /// One tunnel with so many sessions.
    fn sessions(count: usize) -> Scene {
        let head = format!(
            "tunnel t\nremote-address {}\nrole passive\nremote-hostname b\nremote-router-id any\nhello-interval none\n",
            address(1)
        );
        let mut scene = Scene::new(
            &(0..count).fold(head, |text, k| text + &format!("session s{k}\nremote-end-id e{k}\n")),
        );
        scene.connect(Peer::new());
        for k in 0..count {
            scene.call(0, &format!("e{k}"));
        }
        scene.calm();
        scene
    }

    fn connect(&mut self, mut peer: Peer) {
        peer.request(&mut self.world);
        peer.take_reply(&mut self.world);
        peer.send(&mut self.world, &Message::Scccn);
        self.world.inbox.clear();
        self.peers.push(peer);
    }

    /// A peer sets up a session; its id at the daemon.
    fn call(&mut self, k: usize, end_id: &str) -> SessionId {
        let peer = &mut self.peers[k];
        peer.send(&mut self.world, &Message::Icrq(icrq(end_id)));
        let received = peer.receive(&mut self.world);
        let reply = received.iter().find_map(|r| match &r.message {
            Message::Icrp(reply) => Some(reply.ids.local),
            _ => None,
        });
        let id = reply.unwrap_or_else(|| panic!("no ICRP\n{}", self.world.transcript(0)));
        peer.send(&mut self.world, &iccn(id));
        self.world.inbox.clear();
        id
    }

    /// What was begun comes to its end.
    fn calm(&mut self) {
        self.world.run_seconds(60);
        self.world.forget();
    }

    /// Does something of peer or tunnel `k`, and counts what is looked at. The peer acknowledges what it got.
    fn count<T>(&mut self, what: &'static str, k: usize, act: impl FnOnce(&mut World, &mut Peer) -> T) -> T {
        let before = looks();
        let result = act(&mut self.world, &mut self.peers[k]);
        let counted = looks() - before;
        assert!(self.counts.insert(what, counted).is_none(), "{what}");
        assert!(counted > 0, "{what}: nothing was looked at");
        // Some messages wait for others.
        for _ in 0..4 {
            let received = self.peers[k].receive(&mut self.world);
            if received.iter().any(|r| r.message != Message::Ack) {
                self.peers[k].acknowledge(&mut self.world);
            }
            self.world.run(Duration::from_millis(500));
        }
        result
    }

    /// What does not concern anybody, or one of the sessions, whose place is `s`, of the tunnel of peer `k`.
    fn one_session(&mut self, k: usize, s: usize, end_id: &str) {
        let (name, now) = (format!("s{s}"), self.world.now());
        let nobody = Path {
            encapsulation: Encapsulation::Ip,
            local: SocketAddr::new(address(0), 0),
            remote: SocketAddr::new(place(0xff_ffff), 0),
            via: Via::ANY,
        };
        let sound = Peer::new();
        self.count("an SCCRQ of a stranger", k, |world, _| {
            let stranger = Peer { host_name: b"nobody".to_vec(), from: nobody.remote, ..Peer::new() };
            world.act(0, |engine, now| {
                engine.handle_datagram(now, nobody, &stranger.octets(&Message::Sccrq(stranger.set_up())));
            });
        });
        self.count("a message for no connection", k, |world, _| {
            let lost = Peer { theirs: Ccid(99), ..sound };
            world.act(0, |engine, now| engine.handle_datagram(now, nobody, &lost.octets(&Message::Hello)));
        });
        self.count("a HELLO", k, |world, peer| peer.send(world, &Message::Hello));
        self.count("whose a peer is", k, |world, peer| {
            let engine = &world.nodes[0].engine;
            assert!(engine.is_established_with(peer.from) && engine.has_connection(peer.theirs));
            assert!(!engine.is_established_with(nobody.remote));
            assert_eq!(engine.tunnel_towards(nobody.remote), None);
            assert!(engine.tunnel_towards(peer.from).is_some());
        });
        self.count("ids for a filter", k, |world, _| world.nodes[0].engine.connection_ids().take(1).count());
        let id = self.count("status", k, |world, _| {
            let engine = &world.nodes[0].engine;
            let (tunnel, session) = engine.session_place(&name).unwrap();
            assert!(engine.tunnel_brief(tunnel).is_some() && engine.session_brief(tunnel, session).is_some());
            let shown = engine.tunnel_snapshot(now, tunnel, session..session + 1).unwrap();
            assert_eq!(engine.tunnel_place(&shown.name), Some(tunnel));
            assert_eq!(shown.sessions[0].state.status_name(), "established");
            shown.sessions[0].local
        });
        self.count("an interface goes down", k, |world, _| {
            world.act(0, |engine, now| engine.circuit(now, &name, false));
        });
        self.count("a foreign interface goes down", k, |world, _| {
            world.act(0, |engine, now| engine.circuit(now, "eth0", false));
        });
        self.count("data from elsewhere", k, |world, _| {
            world.act(0, |engine, now| engine.heard_elsewhere(now, id, nobody));
        });
        self.count("a HELLO of ours, and again", k, |world, peer| {
            let engine = &world.nodes[0].engine;
            let tunnel = engine.session_place(&name).and_then(|(tunnel, _)| engine.tunnel_brief(tunnel));
            let ping = Command::Ping(tunnel.unwrap().name.to_owned());
            assert_eq!(command(world, ping), Ok(()));
            world.run(Duration::from_millis(1400));
            assert_eq!(peer.kinds(world), "HELLO HELLO");
        });
        self.count("an interface that failed", k, |world, _| world.data_plane_fails(0, id));
        self.count("an ICRQ", k, |world, peer| peer.send(world, &Message::Icrq(icrq(end_id))));
        let id = self.world.nodes[0].engine.session_place(&name).map(|(tunnel, session)| {
            let shown = self.world.nodes[0].engine.tunnel_snapshot(now, tunnel, session..session + 1);
            shown.unwrap().sessions[0].local
        });
        self.count("an ICCN", k, |world, peer| peer.send(world, &iccn(id.unwrap())));
        self.count("a CDN", k, |world, peer| peer.send(world, &cdn(id.unwrap(), 3)));
        self.call(k, end_id);
        self.count("clear session", k, |world, _| {
            assert_eq!(command(world, Command::ClearSession(name.clone(), None)), Ok(()));
        });
        self.count("clear session of none", k, |world, _| {
            assert!(command(world, Command::ClearSession("none".to_owned(), None)).is_err());
        });
        self.calm();
    }

    /// A tunnel, its peer and the way there.
    fn one_tunnel(&mut self, layout: Layout, count: usize) {
        let k = count - 2;
        self.count("an SCCRQ of a peer that started over", k, |world, peer| {
            peer.start_over(world);
            peer.take_reply(world);
        });
        self.count("its SCCCN", k, |world, peer| peer.send(world, &Message::Scccn));
        self.count("an SCCRQ with a wrong Router ID", k, |world, peer| {
            let other = Peer { host_name: b"other".to_vec(), from: peer.from, own: Ccid(7), ..Peer::new() };
            world.act(0, |engine, now| {
                let remote = SocketAddr::new(layout.peer(k), 0);
                let local = SocketAddr::new(address(0), 0);
                let path = Path { encapsulation: Encapsulation::Ip, local, remote, via: Via::ANY };
                engine.handle_datagram(now, path, &other.octets(&Message::Sccrq(other.set_up())));
            });
        });
        self.count("ping", k, |world, _| assert_eq!(command(world, Command::Ping(format!("t{k}"))), Ok(())));
        if layout != Layout::Pair {
            self.count("another route", k, |world, _| {
                let next_hop = Some(NextHop { device: 2, gateway: None });
                let local = Some(address(0));
                let key = RouteKey { remote: layout.peer(k), local, via: Via::ANY };
                let route = Route { next_hop, source: local, own: true, deprecated: false };
                world.act(0, |engine, now| engine.route(now, key, route));
            });
            self.count("ICMP", k, |world, peer| {
                world.act(0, |engine, now| engine.unreachable(now, peer.from, "refused", true));
            });
            let peer = Command::ClearPeer(layout.peer(k), None);
            self.count("clear peer", k, |world, _| assert_eq!(command(world, peer), Ok(())));
        }
        let k = count - 3;
        let clear = Command::ClearTunnel(format!("t{k}"), None);
        self.count("clear tunnel", k, |world, _| assert_eq!(command(world, clear), Ok(())));
        self.count("stop", k, |world, _| assert_eq!(command(world, Command::Stop(format!("t{k}"))), Ok(())));
        self.count("start", k, |world, _| {
            assert_eq!(command(world, Command::Start(format!("t{k}"))), Ok(()))
        });
        for (what, nothing) in [
            ("clear tunnel of none", Command::ClearTunnel("none".to_owned(), None)),
            ("clear peer of none", Command::ClearPeer(place(0xff_ffff), None)),
        ] {
            self.count(what, k, |world, _| assert!(command(world, nothing).is_err()));
        }
        let k = count - 4;
        self.count("a StopCCN", k, |world, peer| peer.send(world, &stop(peer.own, 1)));
        self.calm();
    }

    /// What is about all.
    fn all(&mut self, layout: Layout, count: usize) -> Counts {
        let one = std::mem::take(&mut self.counts);
        let k = count - 5;
        for (what, with_hello) in [("reload, the same", None), ("reload, one changed", Some(k))] {
            let config = config(&layout.text(count, with_hello));
            self.count(what, k, |world, _| world.act(0, |engine, now| engine.apply(now, &config)));
        }
        self.count("the end", k, |world, _| world.act(0, |engine, now| engine.shutdown(now)));
        std::mem::replace(&mut self.counts, one)
    }
}

fn command(world: &mut World, command: Command) -> Result<(), CommandError> {
    world.act(0, |engine, now| engine.command(now, command))
}

#[test]
fn what_is_about_one_tunnel_costs_the_same_with_ten_times_as_many() {
    for layout in [Layout::Hub, Layout::Any, Layout::Pair] {
        let [few, many] = [100, 1000].map(|count| {
            let mut scene = Scene::tunnels(layout, count);
            scene.one_session(count - 1, count - 1, "x");
            scene.one_tunnel(layout, count);
            let all = scene.all(layout, count);
            (scene.counts, all)
        });
        assert_eq!(few.0, many.0, "{layout:?}");
        for (what, count) in &few.1 {
            // A few tunnels are down.
            assert!(many.1[what] < 11 * count, "{layout:?}, {what}: {count} and {}", many.1[what]);
        }
    }
}

#[test]
fn what_is_about_one_session_costs_the_same_with_ten_times_as_many() {
    let [few, many] = [100, 1000].map(|count| {
        let mut scene = Scene::sessions(count);
        scene.one_session(0, count - 1, &format!("e{}", count - 1));
        scene.counts
    });
    assert_eq!(few, many);
}
