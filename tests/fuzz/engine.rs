//! Two live engines that talk to each other while a third party, which knows the password and sees everything, puts
//! damaged copies of their messages between. Nothing panics, nothing goes on without end, the contract with the data
//! plane is kept, and when the third party is gone both ends agree on one tunnel and one session again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use l2tpd::config::identity::DerivedId;
use l2tpd::config::model::Via;
use l2tpd::config::{parse, Config, Defaults};
use l2tpd::proto::connection::table::State;
use l2tpd::proto::snapshot::{SessionState, TunnelSnapshot};
use l2tpd::proto::{Action, Command, Engine, NextHop, Path, Route};
use l2tpd::wire::digest::Secret;
use l2tpd::wire::{Encapsulation, SessionId};

use crate::avps::{damaged, repaired, value};
use crate::dice::Dice;
use crate::rounds::rounds;

/// Damaged messages in one round.
const ROUND: usize = 2000;
/// More actions than one input can call for.
const MOST_ACTIONS: usize = 5_000;
/// How long the ends may take to agree when nobody disturbs them: time-outs, pauses between attempts, all of it.
const HEALING: Duration = Duration::from_secs(900);

/// What is tried: tags of the tunnel, tags of the session, the password.
const KINDS: [(&str, &str, Option<&str>); 6] = [
    ("", "cookie 8", None),
    ("encapsulation udp", "cookie 4", None),
    ("password secret", "cookie 8", Some("secret")),
    ("encapsulation udp\n password secret\n hidden on", "l2-sublayer default", Some("secret")),
    ("digest md5", "", Some("")),
    ("compatibility cisco", "", None),
];

fn configuration(me: usize, tags: &str, session: &str) -> Config {
    let text = format!(
        "hostname h{me}\nrouter-id 10.0.0.{me}\nrestart-interval 1\ntunnel t\n local-address 192.0.2.{me}\n \
         remote-address 192.0.2.{0}\n remote-hostname h{0}\n remote-router-id 10.0.0.{0}\n hello-interval 10\n {tags}\n \
         session l0\n  remote-end-id e\n  {session}\n",
        3 - me
    );
    let defaults = Defaults { hostname: b"h".to_vec(), router_id: DerivedId::of_address([10, 0, 0, 9]) };
    parse(text.as_bytes(), &defaults).config.unwrap_or_else(|errors| panic!("{text}{errors:#?}"))
}

/// A message on its way: to which end, on which path.
type InFlight = (usize, Path, Vec<u8>);

struct Ends {
    now: Instant,
    engines: [Engine; 2],
    configs: [Config; 2],
    flight: VecDeque<InFlight>,
    attached: [BTreeSet<SessionId>; 2],
    /// Each end's nonces by its connection id, and the other end's id for it.
    nonces: BTreeMap<u32, Vec<u8>>,
    partner: BTreeMap<u32, u32>,
    /// Ns and Nr of the last message to each connection id, and the id of the last one to each end.
    numbers: BTreeMap<u32, [u16; 2]>,
    current: [u32; 2],
    secret: Option<Secret>,
}

fn address(end: usize) -> IpAddr {
    IpAddr::from([192, 0, 2, end as u8 + 1])
}

impl Ends {
    fn new(dice: &mut Dice) -> Ends {
        let (tags, session, password) = *dice.pick(&KINDS);
        let now = l2tpd::sys::clock::now();
        let configs = [1, 2].map(|me| configuration(me, tags, session));
        let engines = [0, 1].map(|_| Engine::new(now, Box::new(Dice(dice.next()))));
        let mut ends = Ends {
            now,
            engines,
            configs,
            flight: VecDeque::new(),
            attached: Default::default(),
            nonces: BTreeMap::new(),
            partner: BTreeMap::new(),
            numbers: BTreeMap::new(),
            current: [0; 2],
            secret: password.map(|password| Secret::new(password.as_bytes())),
        };
        for end in 0..2 {
            let config = ends.configs[end].clone();
            ends.act(end, |engine, now| engine.apply(now, &config));
        }
        ends
    }

    /// Calls into an engine, then does what it wants.
    fn act(&mut self, end: usize, call: impl FnOnce(&mut Engine, Instant)) {
        call(&mut self.engines[end], self.now);
        for _ in 0..MOST_ACTIONS {
            let Some(action) = self.engines[end].poll_action() else { return };
            self.perform(end, action);
        }
        panic!("end {end} acts without end");
    }

    fn perform(&mut self, end: usize, action: Action) {
        let engine = &mut self.engines[end];
        match action {
            Action::Transmit { path, message, .. } | Action::Probe { path, message, .. } => {
                let to = Path { local: path.remote, remote: path.local, ..path };
                if path.remote.ip() == address(1 - end) {
                    self.learn(1 - end, &message);
                    self.flight.push_back((1 - end, to, message));
                }
            }
            Action::Resolve { tunnel, name } => {
                engine.resolved(self.now, &tunnel, &name, Ok(vec![address(1 - end)]));
            }
            Action::Prepare { tunnel, peer, .. } => {
                let encapsulation = self.configs[end].tunnels[0].encapsulation();
                let port = if encapsulation == Encapsulation::Udp { 1701 } else { 0 };
                let remote = SocketAddr::new(peer.unwrap_or(address(1 - end)), port);
                let path =
                    Path { encapsulation, local: SocketAddr::new(address(end), port), remote, via: Via::ANY };
                engine.prepared(self.now, &tunnel, Ok(path));
            }
            Action::Attach(attachment) => {
                let session = attachment.local;
                assert!(self.attached[end].insert(session), "session {session} is attached twice");
                engine.attached(self.now, session, Ok(()));
            }
            Action::MeasurePath { connection, .. } => engine.path_measured(self.now, connection, Some(1500)),
            Action::Announce { .. } | Action::PathMtu { .. } => {}
            Action::Gate { session, .. } | Action::Move { session, .. } | Action::Number { session, .. } => {
                assert!(self.attached[end].contains(&session), "session {session} is not attached");
            }
            Action::Detach { session } => {
                assert!(self.attached[end].remove(&session), "session {session} was not attached");
            }
            Action::Watch { key } => {
                let hop = NextHop { device: 1, gateway: None };
                let (next_hop, source) = (Some(hop), Some(address(end)));
                engine.route(self.now, key, Route { next_hop, source, own: true, deprecated: false });
            }
            Action::Unwatch { .. } | Action::Pong(_) | Action::Notify(_) | Action::Log(_) => {}
        }
    }

    /// What the third party has to know for digests and numbers.
    fn learn(&mut self, to: usize, message: &[u8]) {
        if self.nonces.len() > 5000 {
            self.nonces.clear();
            self.partner.clear();
            self.numbers.clear();
        }
        let other = ccid(message);
        if other != 0 {
            self.current[to] = other;
            self.numbers.insert(other, [8, 10].map(|at| u16::from_be_bytes([message[at], message[at + 1]])));
        }
        let id = |octets: Vec<u8>| octets.try_into().ok().map(u32::from_be_bytes);
        let (Some(own), Some(nonce)) = (value(message, 61).and_then(id), value(message, 73)) else { return };
        self.nonces.insert(own, nonce);
        if other != 0 {
            self.partner.insert(own, other);
            self.partner.insert(other, own);
        }
    }

    /// As the next message of a connection that is there: its id, Ns and Nr.
    fn renewed(&self, dice: &mut Dice, to: usize, message: &mut [u8]) {
        let id = self.current[to];
        let sent = self.partner.get(&id).and_then(|own| self.numbers.get(own));
        if let (Some([ns, nr]), Some(place)) = (sent, message.get_mut(4..12)) {
            place[..4].copy_from_slice(&id.to_be_bytes());
            place[4..6].copy_from_slice(&nr.to_be_bytes());
            place[6..].copy_from_slice(&ns.wrapping_add(dice.below(2) as u16).to_be_bytes());
        }
    }

    /// With a digest that fits the connection that its header names.
    fn signed(&self, message: Vec<u8>) -> Vec<u8> {
        let Some(secret) = &self.secret else { return message };
        let nonce = |id: &u32| self.nonces.get(id).map_or(&[][..], Vec::as_slice);
        let receiver = ccid(&message);
        let own = value(&message, 73);
        let sender = match (&own, self.partner.get(&receiver)) {
            (Some(nonce), _) => nonce.as_slice(),
            (None, Some(partner)) => nonce(partner),
            (None, None) => &[],
        };
        repaired(message, secret, sender, nonce(&receiver))
    }

    fn deliver(&mut self, (end, path, message): InFlight) {
        self.act(end, |engine, now| engine.handle_datagram(now, path, &message));
    }

    /// Time passes up to the next timer.
    fn next_timer(&mut self) -> bool {
        let next = (0..2).filter_map(|end| Some((self.engines[end].next_timeout()?, end))).min();
        let Some((at, end)) = next else { return false };
        self.now = self.now.max(at);
        self.act(end, |engine, now| engine.handle_timeout(now, &|_| None));
        true
    }

    /// The ends that were told that the other has no pseudowires of our type.
    fn misled(&self) -> Vec<usize> {
        let types = "pseudowire type in the peer's list";
        let has_failed = |tunnel: &TunnelSnapshot| {
            tunnel
                .sessions
                .iter()
                .any(|s| s.last_failure.as_ref().is_some_and(|(failure, _)| failure.check == types))
        };
        (0..2).filter(|end| has_failed(&self.tunnels()[*end])).collect()
    }

    /// The one tunnel of each end.
    fn tunnels(&self) -> [TunnelSnapshot; 2] {
        [0, 1].map(|end| self.engines[end].tunnel_snapshot(self.now, 0, 0..usize::MAX).unwrap())
    }

    fn agree(&self) -> Result<(), String> {
        let [a, b] = &self.tunnels();
        let up = |t: &TunnelSnapshot| {
            t.state == State::Established && t.sessions.iter().all(|s| s.state == SessionState::Established)
        };
        let ids = (a.local_ccid, a.remote_ccid) == (b.remote_ccid, b.local_ccid);
        let (s, r) = (&a.sessions[0], &b.sessions[0]);
        let sessions = (s.local, s.remote) == (r.remote, r.local);
        let attached = self.attached.iter().all(|all| all.len() == 1);
        match up(a) && up(b) && ids && sessions && attached {
            true => Ok(()),
            false => Err(format!("{a:#?}\n{b:#?}\n{:?}", self.attached)),
        }
    }
}

fn ccid(message: &[u8]) -> u32 {
    message.get(4..8).and_then(|octets| octets.try_into().ok()).map_or(0, u32::from_be_bytes)
}

/// What the administrator may do meanwhile.
fn command(dice: &mut Dice) -> Command {
    match dice.below(4) {
        0 => Command::ClearTunnel("t".into(), None),
        1 => Command::ClearSession("l0".into(), None),
        2 => Command::ClearAll(Some(dice.number())),
        _ => Command::Start("t".into()),
    }
}

fn round(dice: &mut Dice) -> usize {
    let mut ends = Ends::new(dice);
    let mut seen: Vec<Vec<u8>> = Vec::new();
    for _ in 0..ROUND {
        match dice.below(40) {
            0 => drop(ends.next_timer()),
            1 if dice.one_in(20) => {
                let wanted = command(dice);
                ends.act(dice.below(2), |engine, now| drop(engine.command(now, wanted)));
            }
            2 if dice.one_in(50) => {
                // One is killed and starts again.
                let end = dice.below(2);
                ends.engines[end] = Engine::new(ends.now, Box::new(Dice(dice.next())));
                ends.attached[end].clear();
                let config = ends.configs[end].clone();
                ends.act(end, |engine, now| engine.apply(now, &config));
            }
            3..=7 => {
                if let Some(next) = ends.flight.pop_front() {
                    if seen.len() < 60 {
                        seen.push(next.2.clone());
                    } else {
                        let at = dice.below(60);
                        seen[at].clone_from(&next.2);
                    }
                    ends.deliver(next);
                }
            }
            _ => {}
        }
        // A message that is under way, or one of before.
        let (end, path, mut message) = match ends.flight.get(dice.below(ends.flight.len().max(1))) {
            Some((end, path, message)) => (*end, *path, message.clone()),
            None => {
                ends.next_timer();
                let Some(old) = seen.get(dice.below(seen.len().max(1))) else { continue };
                let port =
                    if ends.configs[0].tunnels[0].encapsulation() == Encapsulation::Udp { 1701 } else { 0 };
                let end = dice.below(2);
                let [local, remote] = [end, 1 - end].map(|end| SocketAddr::new(address(end), port));
                (
                    end,
                    Path {
                        encapsulation: ends.configs[0].tunnels[0].encapsulation(),
                        local,
                        remote,
                        via: Via::ANY,
                    },
                    old.clone(),
                )
            }
        };
        if value(&message, 61).is_none() && dice.one_in(2) {
            ends.renewed(dice, end, &mut message);
        }
        let bad = damaged(dice, &message, &seen);
        let bad = if dice.one_in(8) { bad } else { ends.signed(bad) };
        ends.deliver((end, path, bad));
        // What nobody answers does not pile up.
        while ends.flight.len() > 40 {
            ends.flight.pop_front();
        }
    }
    let reached: u64 = ends.tunnels().iter().map(|tunnel| tunnel.counters.rx_messages).sum();
    REACHED.fetch_add(reached, Ordering::Relaxed);
    INPUTS.fetch_add(ROUND as u64, Ordering::Relaxed);
    heal(&mut ends);
    ROUND
}

/// Nobody disturbs them any more.
fn heal(ends: &mut Ends) {
    for end in 0..2 {
        ends.act(end, |engine, now| drop(engine.command(now, Command::Start("t".into()))));
    }
    let limit = ends.now + HEALING;
    let mut told = false;
    loop {
        while let Some(next) = ends.flight.pop_front() {
            ends.now += Duration::from_micros(500);
            ends.deliver(next);
        }
        let agreed = ends.agree();
        if agreed.is_ok() {
            return;
        }
        // Who was made to believe that the other carries no Ethernet believes it as long as the connection lasts.
        if ends.now + HEALING / 2 > limit && !told {
            told = true;
            for end in ends.misled() {
                ends.act(end, |engine, now| {
                    drop(engine.command(now, Command::ClearTunnel("t".into(), None)))
                });
            }
        }
        assert!(ends.next_timer(), "nothing will happen any more");
        assert!(ends.now < limit, "they do not agree: {}", agreed.unwrap_err());
    }
}

/// Messages that got as far as a connection, of how many.
static REACHED: AtomicU64 = AtomicU64::new(0);
static INPUTS: AtomicU64 = AtomicU64::new(0);

/// Four of these use all processors.
fn engines(first: u64) {
    rounds(1_250_000, first, round);
    let [reached, inputs] = [&REACHED, &INPUTS].map(|count| count.load(Ordering::Relaxed));
    assert!(reached * 4 > inputs, "only {reached} of {inputs} messages got past the header");
}

#[test]
fn engines_1() {
    engines(1_000_000);
}

#[test]
fn engines_2() {
    engines(2_000_000);
}

#[test]
fn engines_3() {
    engines(3_000_000);
}

#[test]
fn engines_4() {
    engines(4_000_000);
}
