//! Networks of two to five engines to which everything happens that a network, a NAT, an administrator, a crash or an
//! attacker with recordings can do, at random. When it is over, each tunnel and session is up, once, with ids and
//! cookies that both ends agree on; nothing is left of what was before, and nothing runs in circles.
//!
//! `SIM_DISASTERS` says how many (`make test` wants 20,000); a run that fails names its `SIM_SEED`.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hasher};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Mutex;
use std::time::Duration;

use l2tpd::proto::snapshot::TunnelSnapshot;
use l2tpd::proto::{Command, TunnelEvent};

use crate::net::{address, seeds, Datagram, Dice};
use crate::support::snapshot::snapshot;
use crate::world::World;

/// Disasters that befall one network.
const IN_EACH: u64 = 10;
/// The longest time that a network may take to heal.
const HEALED: Duration = Duration::from_secs(60);

/// How the network treats datagrams, in 100 of them.
#[derive(Debug, Clone, Default)]
struct Weather {
    lost: u64,
    repeated: u64,
    late: u64,
    /// So many milliseconds, at most.
    delay: u64,
    /// All that is sent in so many of 100 spans of 300 ms is lost.
    bursts: u64,
    truncated: u64,
    flipped: u64,
    /// Nothing passes from the first of these nodes to the second.
    blocked: BTreeSet<(usize, usize)>,
}

/// A network of engines.
struct Network {
    world: World,
    rng: Dice,
    /// Nodes other than 0 are behind NATs and call it; else each has a tunnel to each.
    star: bool,
    tags: String,
    /// Damaged messages are found out.
    guarded: bool,
    weather: Rc<RefCell<Weather>>,
    /// Nodes that start again may have the same random values as before. There is no attacker then: what was recorded
    /// would be valid again.
    same_values: bool,
    /// What the attacker has recorded; some of it, when there is much.
    recorded: Vec<Datagram>,
    /// Random values of the nodes, as they were in the beginning.
    seeds: Vec<u64>,
    seen: Seen,
}

/// What the disasters came to.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    /// The longest time until all was well.
    healed: Duration,
    /// Tunnels that went down.
    downs: usize,
    datagrams: usize,
}

impl Network {
    fn new(seed: u64) -> Network {
        let mut rng = Dice(seed.wrapping_mul(0x1234_5678_9abc_def1));
        let count = 2 + rng.below(4) as usize;
        let star = rng.chance(40);
        let guard = ["", "password secret", "password secret;hidden on", "digest md5"][rng.below(4) as usize];
        let mut tags = String::from(
            "retry 3;retry-interval 0.5;restart-interval 2;restart-interval-max 4;hello-interval 6;linger 5;\
             setup-timeout 8",
        );
        if star || rng.chance(50) {
            tags += ";encapsulation udp";
        }
        tags = format!("{tags};{guard}");
        let world = World::new(seed);
        let weather = Rc::default();
        let guarded = !guard.is_empty();
        let same_values = rng.chance(30);
        let mut network = Network {
            same_values,
            world,
            rng,
            star,
            tags,
            guarded,
            weather,
            recorded: Vec::new(),
            seeds: Vec::new(),
            seen: Seen::default(),
        };
        for me in 0..count {
            let text = network.config(me, count, &[]);
            let seed = network.rng.next();
            network.seeds.push(seed);
            network.world.add_with(&text, Box::new(Dice(seed)));
            if star && me > 0 {
                network.world.nodes[me].seen_port = Some(10_000 + me as u16);
            }
        }
        network.world.capture = true;
        let weather = Rc::clone(&network.weather);
        network.world.mangle = Some(Box::new(move |rng, datagram| mangle(&weather.borrow(), rng, datagram)));
        let weather = Rc::clone(&network.weather);
        network.world.fault = Box::new(move |rng, datagram| delays(&weather.borrow(), rng, datagram));
        network.world.start_all();
        network
    }

    fn len(&self) -> usize {
        self.seeds.len()
    }

    fn peers(&self, me: usize, count: usize) -> Vec<usize> {
        (0..count).filter(|peer| *peer != me && (!self.star || me == 0 || *peer == 0)).collect()
    }

    /// The configuration of a node; `without`: peers with which it has one session less.
    fn config(&self, me: usize, count: usize, without: &[usize]) -> String {
        let mut text = format!("hostname n{me}\nrouter-id 10.0.0.{}\n", me + 1);
        for peer in self.peers(me, count) {
            let remote = match self.star && me == 0 {
                true => "any".to_owned(),
                false => address(peer).to_string(),
            };
            let role = if self.star && me == 0 { "passive" } else { "both" };
            text += &format!(
                "tunnel t{peer}\n remote-address {remote}\n remote-hostname n{peer}\n remote-router-id 10.0.0.{}\n \
                 role {role}\n {}\n session x{peer}\n  remote-end-id x\n  cookie 8\n",
                peer + 1,
                self.tags.replace(';', "\n ")
            );
            if !without.contains(&peer) {
                text += &format!(" session y{peer}\n  remote-end-id y\n");
            }
        }
        text
    }

    /// Something happens to the network or to a node.
    fn strike(&mut self) {
        let n = self.rng.below(self.len() as u64) as usize;
        let peers = self.peers(n, self.len());
        let peer = peers[self.rng.below(peers.len() as u64) as usize];
        let percent = 5 + self.rng.below(60);
        let world = &mut self.world;
        match self.rng.below(20) {
            0 => self.weather.borrow_mut().lost = percent,
            1 => self.weather.borrow_mut().lost = 100,
            2 => self.weather.borrow_mut().repeated = percent,
            3 => (self.weather.borrow_mut().late, self.weather.borrow_mut().delay) = (percent, 3000),
            4 => (self.weather.borrow_mut().late, self.weather.borrow_mut().delay) = (100, 400),
            5 => self.weather.borrow_mut().truncated = percent,
            6 if self.guarded => self.weather.borrow_mut().flipped = percent,
            6 | 7 => drop(self.weather.borrow_mut().blocked.insert((n, peer))),
            8 if self.same_values => {
                let random = Box::new(Dice(self.seeds[n]));
                world.crash_with(n, random);
            }
            8 | 9 => world.crash(n),
            10 => {
                world.act(n, |engine, now| engine.shutdown(now));
                world.run(Duration::from_millis(self.rng.below(1000)));
                world.crash(n);
            }
            11 if self.star => self.move_behind_nat(),
            11 | 18 => self.weather.borrow_mut().bursts = percent,
            12 => self.command(n, Command::ClearTunnel(format!("t{peer}"), None)),
            13 => self.command(n, Command::ClearSession(format!("x{peer}"), None)),
            14 => self.command(n, Command::Stop(format!("t{peer}"))),
            15 => {
                let text = self.config(n, self.len(), &[peer]);
                self.world.reload(n, &text);
            }
            16 => {
                let up = self.rng.chance(50);
                world.act(n, |engine, now| engine.circuit(now, &format!("y{peer}"), up));
            }
            17 => {
                let session = world.nodes[n].ports.keys().next().copied();
                if let Some(session) = session {
                    world.data_plane_fails(n, session);
                }
            }
            _ if self.same_values => world.crash(n),
            _ => self.replay(),
        }
    }

    fn command(&mut self, n: usize, command: Command) {
        // What is not up cannot be cleared.
        let _ = self.world.act(n, |engine, now| engine.command(now, command));
    }

    /// The NAT before a node gives it another port.
    fn move_behind_nat(&mut self) {
        let n = 1 + self.rng.below(self.len() as u64 - 1) as usize;
        self.world.nodes[n].seen_port = Some(20_000 + self.rng.below(20_000) as u16);
    }

    /// The attacker plays some of what it has recorded, in order or not.
    fn replay(&mut self) {
        for _ in 0..self.rng.below(200) {
            if self.recorded.is_empty() {
                return;
            }
            let old = self.recorded[self.rng.below(self.recorded.len() as u64) as usize].clone();
            self.world.send(old.encapsulation, old.from, old.to, old.octets);
            self.world.run(Duration::from_millis(self.rng.below(10)));
        }
    }

    /// The attacker keeps what was sent.
    fn record(&mut self) {
        for datagram in std::mem::take(&mut self.world.wire) {
            match self.recorded.len() < 500 {
                true => self.recorded.push(datagram),
                false => {
                    let at = self.rng.below(500) as usize;
                    self.recorded[at] = datagram;
                }
            }
        }
    }

    /// A disaster: some things at once or one after the other; then everything is well again.
    fn disaster(&mut self) {
        for _ in 0..=self.rng.below(3) {
            self.strike();
            let span = [0, 50, 1500, 12_000][self.rng.below(4) as usize];
            self.world.run(Duration::from_millis(self.rng.below(span + 1)));
        }
        self.record();
        *self.weather.borrow_mut() = Weather::default();
        for n in 0..self.len() {
            let text = self.config(n, self.len(), &[]);
            self.world.reload(n, &text);
            for peer in self.peers(n, self.len()) {
                self.world.act(n, |engine, now| engine.circuit(now, &format!("y{peer}"), true));
            }
        }
        let (begun, end) = (self.world.time, self.world.time + HEALED);
        while let Err(why) = self.check() {
            assert!(self.world.time < end, "after {HEALED:?}: {why}\n{}", self.transcripts());
            self.world.run(Duration::from_millis(500));
        }
        self.seen.healed = self.seen.healed.max(self.world.time - begun);
        // Whatever was half done has ended by now, and nothing but HELLOs is sent.
        self.world.run(Duration::from_secs(30));
        self.check().unwrap_or_else(|why| panic!("30 s after it healed: {why}\n{}", self.transcripts()));
        for n in 0..self.len() {
            let (tunnels, open) = (self.peers(n, self.len()).len(), self.world.open_connections(n));
            assert_eq!(open, tunnels, "connections of node {n}\n{}", self.transcripts());
            assert_eq!(self.world.nodes[n].ports.len(), 2 * tunnels, "ports of node {n}");
        }
        let before = self.world.wire.len();
        self.world.run(Duration::from_secs(7));
        let (sent, most) = (self.world.wire.len() - before, 10 * self.len() * self.len());
        assert!(sent <= most, "{sent} datagrams in 7 s of rest\n{}", self.transcripts());
        let downs = (0..self.len()).map(|n| self.world.happened(n, TunnelEvent::TunnelDown)).sum::<usize>();
        self.seen.downs += downs;
        self.seen.datagrams += self.world.wire.len();
        self.world.forget();
    }

    /// Whether everything is up and agreed on.
    fn check(&self) -> Result<(), String> {
        let now = self.world.now();
        let snapshots: Vec<Vec<TunnelSnapshot>> =
            self.world.nodes.iter().map(|node| snapshot(&node.engine, now).tunnels).collect();
        let find = |n: usize, peer: usize| {
            let name = format!("t{peer}");
            snapshots[n].iter().find(|tunnel| tunnel.name == name).ok_or("no such tunnel")
        };
        for a in 0..self.len() {
            for b in self.peers(a, self.len()).into_iter().filter(|b| a < *b) {
                let agreed = self.world.agree((a, find(a, b)?), (b, find(b, a)?));
                agreed.map_err(|why| format!("{a} and {b}: {why}"))?;
            }
        }
        Ok(())
    }

    fn transcripts(&self) -> String {
        (0..self.len()).map(|n| self.world.transcript(n)).collect()
    }
}

/// When the copies of a datagram arrive.
fn delays(weather: &Weather, rng: &mut Dice, datagram: &Datagram) -> Vec<Duration> {
    let node = |address| (0..5).find(|n| self::address(*n) == address);
    let between = node(datagram.from.ip()).zip(node(datagram.to.ip()));
    let burst = Dice((datagram.at.as_millis() / 300) as u64).chance(weather.bursts);
    if burst || rng.chance(weather.lost) || between.is_some_and(|pair| weather.blocked.contains(&pair)) {
        return Vec::new();
    }
    let copies = if rng.chance(weather.repeated) { 2 + rng.below(3) } else { 1 };
    let delay = |rng: &mut Dice| match rng.chance(weather.late) {
        true => Duration::from_millis(1 + rng.below(weather.delay + 1)),
        false => Duration::from_millis(5),
    };
    (0..copies).map(|_| delay(rng)).collect()
}

/// What the network does to the octets.
fn mangle(weather: &Weather, rng: &mut Dice, datagram: &mut Datagram) {
    let octets = &mut datagram.octets;
    if rng.chance(weather.truncated) {
        octets.truncate(rng.below(octets.len() as u64) as usize);
    }
    if rng.chance(weather.flipped) && !octets.is_empty() {
        let at = rng.below(octets.len() as u64 * 8) as usize;
        octets[at / 8] ^= 0x80 >> (at % 8);
    }
}

fn befall(seed: u64) -> Seen {
    let mut network = Network::new(seed);
    for _ in 0..IN_EACH {
        network.disaster();
    }
    network.seen
}

/// The program is replaced in the middle of it all, again and again, and nobody notices: each engine does what it would
/// have done.
#[test]
fn an_engine_that_takes_over_does_what_the_one_before_would_have_done() {
    let done = |seed: u64, percent: u64| {
        let mut network = Network::new(seed);
        network.world.taken_over = Some((percent, Dice(seed)));
        network.world.done = Some(DefaultHasher::new());
        for _ in 0..3 {
            network.disaster();
        }
        let done = network.world.done.as_ref().map(Hasher::finish);
        (done, network.seen.datagrams, network.world.takeovers)
    };
    seeds(16, |seed| {
        let (alone, replaced) = (done(seed, 0), done(seed, [2, 15][seed as usize % 2]));
        assert_eq!((alone.0, alone.1), (replaced.0, replaced.1));
        assert!(replaced.2 > 0, "there were takeovers");
    });
}

#[test]
fn disasters() {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    if let Some(seed) = number("SIM_SEED") {
        eprintln!("{:?}", befall(seed));
        return;
    }
    let networks = number("SIM_DISASTERS").unwrap_or(500).div_ceil(IN_EACH);
    let (next, seen) = (AtomicU64::new(0), Mutex::new(Seen::default()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= networks {
                    return;
                }
                let outcome = std::panic::catch_unwind(|| befall(seed));
                let Ok(new) = outcome else { panic!("failed with SIM_SEED={seed} in disasters::disasters") };
                let mut seen = seen.lock().unwrap();
                seen.healed = seen.healed.max(new.healed);
                seen.downs += new.downs;
                seen.datagrams += new.datagrams;
            });
        }
    });
    let seen = seen.into_inner().unwrap();
    eprintln!("{} disasters in {networks} networks: {seen:?}", networks * IN_EACH);
    assert!(seen.downs as u64 > networks, "disasters take tunnels down");
}
