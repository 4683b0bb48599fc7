//! Which tunnel is an SCCRQ for? Found by what it carries: addresses, encapsulation and port first, then the Host Name
//! and the Router ID. Neither the number of tunnels nor who sends it matters for what that costs.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;

use crate::config::model::Device;
use crate::gather::Table;
use crate::proto::action::Path;
use crate::proto::context::TunnelKey;
use crate::proto::tunnel::Tunnel;
use crate::wire::attribute::{number, AvpId};
use crate::wire::{avp, Encapsulation};

/// Tunnels whose peer has a name, and that an SCCRQ from an unknown address may be for: more are not looked at because
/// of one SCCRQ. Where the peers' Host Names are configured there is only one.
const NAMED: usize = 16;
/// No tunnel has a later place and key.
const LAST: (usize, TunnelKey) = (usize::MAX, TunnelKey(u32::MAX));

/// What a tunnel says of the peer's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    /// It is this one: by the configuration, or because the peer's name means it.
    At(IpAddr),
    /// `any`.
    Any,
    /// That of a name, whatever it is at present.
    Named,
}

/// What a tunnel must have in common with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entrance {
    who: Who,
    encapsulation: Encapsulation,
    /// `local-address`.
    local: Option<IpAddr>,
    /// Our port; 0 over IP.
    port: u16,
    /// `bind-device`.
    device: Device,
}

/// What an SCCRQ is looked up by; the place and the key of the tunnel.
type Entry = (Entrance, Option<u64>, usize, TunnelKey);

/// The index of the tunnels that can be called: those that are enabled, complete, and negotiate. Tunnels come in the order of
/// the file.
#[derive(Debug, Default)]
pub struct Callers {
    /// Each tunnel stands here twice: by itself, and with a hash of the Host Name and Router ID that the peer must have.
    /// Who is found by that is looked at again.
    entrances: Table<BTreeSet<Entry>>,
    counts: Table<BTreeMap<Entrance, usize>>,
    /// All tunnels, also those that cannot be called, by the peer's address; `None` is any.
    addresses: Table<BTreeSet<(Option<IpAddr>, usize, TunnelKey)>>,
}

impl Callers {
    /// Files a tunnel. What it is filed under must not change before it is taken out.
    pub fn add(&mut self, tunnel: &Tunnel) {
        let (place, key) = (tunnel.place, tunnel.key);
        for address in addresses(tunnel) {
            self.addresses.insert((address, place, key));
        }
        for entrance in entrances(tunnel) {
            if self.entrances.insert((entrance, None, place, key)) {
                let count = self.counts.entry(entrance).or_default();
                *count = count.saturating_add(1);
            }
            self.entrances.insert((entrance, Some(expected(tunnel)), place, key));
        }
    }

    /// Takes a tunnel out.
    pub fn remove(&mut self, tunnel: &Tunnel) {
        let (place, key) = (tunnel.place, tunnel.key);
        for address in addresses(tunnel) {
            self.addresses.remove(&(address, place, key));
        }
        for entrance in entrances(tunnel) {
            self.entrances.remove(&(entrance, Some(expected(tunnel)), place, key));
            if !self.entrances.remove(&(entrance, None, place, key)) {
                continue;
            }
            match self.counts.get_mut(&entrance) {
                Some(count) if *count > 1 => *count = count.saturating_sub(1),
                Some(_) | None => drop(self.counts.remove(&entrance)),
            }
        }
    }

    /// How many tunnels an SCCRQ on this path may be for.
    pub fn count(&self, path: Path) -> usize {
        let known = [Who::At(path.remote.ip()), Who::Any].into_iter().flat_map(|who| entries(who, path));
        known
            .filter_map(|entrance| self.counts.get(&entrance))
            .fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The first of them; one that names the source comes before those with `any`.
    pub fn first(&self, path: Path) -> Option<TunnelKey> {
        let first = |who| {
            let firsts = entries(who, path).into_iter().filter_map(|entrance| {
                let [from, to] = [(0, TunnelKey(0)), LAST].map(|(place, key)| (entrance, None, place, key));
                self.entrances.range(from..=to).next()
            });
            firsts.map(|(_, _, place, key)| (*place, *key)).min().map(|(_, key)| key)
        };
        first(Who::At(path.remote.ip())).or_else(|| first(Who::Any))
    }

    /// Those among them whose peer may be the one that an SCCRQ claims to be of. Hashes can be alike: the caller looks.
    pub fn claimed(&self, path: Path, message: &[u8]) -> impl Iterator<Item = TunnelKey> + '_ {
        let (at, any) = (self.matching(Who::At(path.remote.ip()), path, message), Who::Any);
        at.into_iter().chain(self.matching(any, path, message)).map(|(_, key)| key)
    }

    /// The tunnels whose peer has a name and may be the one that an SCCRQ claims to be of; some, where there are many.
    pub fn named(&self, path: Path, message: &[u8]) -> Vec<TunnelKey> {
        self.matching(Who::Named, path, message).into_iter().map(|(_, key)| key).collect()
    }

    /// At most [`NAMED`], in the order of the file. Two tunnels are told apart by something (see `config::check`), so there is
    /// rarely more than one.
    fn matching(&self, who: Who, path: Path, message: &[u8]) -> Vec<(usize, TunnelKey)> {
        let identities = claims(message);
        let wanted = entries(who, path).into_iter().flat_map(|e| identities.map(|identity| (e, identity)));
        let mut found: Vec<(usize, TunnelKey)> = wanted
            .flat_map(|(entrance, identity)| {
                let [from, to] =
                    [(0, TunnelKey(0)), LAST].map(|(place, key)| (entrance, Some(identity), place, key));
                self.entrances.range(from..=to).take(NAMED).map(|(_, _, place, key)| (*place, *key))
            })
            .collect();
        found.sort_unstable();
        found.truncate(NAMED);
        found
    }

    /// All tunnels that have their peer at this address (`None`: those with `any`), whether they can be called or not.
    pub fn at(&self, address: Option<IpAddr>) -> impl Iterator<Item = TunnelKey> + '_ {
        let [from, to] = [(0, TunnelKey(0)), LAST].map(|(place, key)| (address, place, key));
        self.addresses.range(from..=to).map(|(_, _, key)| *key)
    }
}

/// Under what a tunnel is filed whether it can be called or not.
fn addresses(tunnel: &Tunnel) -> Vec<Option<IpAddr>> {
    match tunnel.config.is_for_any() {
        true => vec![None],
        false => tunnel.addresses.known().map(Some).collect(),
    }
}

/// Under what a tunnel is filed, if it can be called.
fn entrances(tunnel: &Tunnel) -> Vec<Entrance> {
    let config = &tunnel.config;
    if tunnel.is_disabled() || config.problem().is_some() || tunnel.slots.is_manual() {
        return Vec::new();
    }
    let known = tunnel.addresses.known().map(Who::At);
    let any = config.is_for_any().then_some(Who::Any);
    let named = config.names().next().map(|_| Who::Named);
    let who: Vec<Who> = known.chain(any).chain(named).collect();
    let (local, device) = (config.local_address, config.bind_device);
    let entrances = config.each_encapsulation().flat_map(|encapsulation| {
        let (port, _) = config.ports_of(encapsulation);
        who.iter().map(move |who| Entrance { who: *who, encapsulation, local, port, device })
    });
    entrances.collect()
}

/// Under what tunnels are filed that a datagram on this path may be for.
fn entries(who: Who, path: Path) -> [Entrance; 2] {
    let (encapsulation, port, device) = (path.encapsulation, path.local.port(), path.via.device);
    [None, Some(path.local.ip())].map(|local| Entrance { who, encapsulation, local, port, device })
}

fn identity(host_name: Option<&[u8]>, router_id: Option<&[u8]>) -> u64 {
    let mut hasher = DefaultHasher::new();
    (host_name, router_id).hash(&mut hasher);
    hasher.finish()
}

/// The identity that a tunnel's peer must have.
fn expected(tunnel: &Tunnel) -> u64 {
    let (host_name, router_id) = tunnel.config.peer_identity();
    identity(host_name, router_id)
}

/// The identities that would let the sender of an SCCRQ in. Neither AVP may be hidden (C-251), so this needs no secret.
fn claims(message: &[u8]) -> [u64; 4] {
    let value = |number: u16| avp::iter(message).find(|a| a.id == AvpId::ietf(number)).map(|a| a.value);
    let (name, id) = (value(number::HOST_NAME), value(number::ROUTER_ID));
    [identity(name, id), identity(name, None), identity(None, id), identity(None, None)]
}

/// What keeps a tunnel from being the one that a datagram on `path` is for, apart from the peer's address.
pub fn obstacle(tunnel: &Tunnel, path: &Path) -> Option<Obstacle> {
    let config = &tunnel.config;
    if tunnel.is_disabled() {
        Some(Obstacle::Disabled)
    } else if config.problem().is_some() {
        Some(Obstacle::Problem)
    } else if tunnel.slots.is_manual() {
        Some(Obstacle::Manual)
    } else if config.each_encapsulation().all(|ours| ours != path.encapsulation) {
        Some(Obstacle::Encapsulation)
    } else if config.local_address.is_some_and(|address| address != path.local.ip()) {
        Some(Obstacle::LocalAddress)
    } else if path.local.port() != 0 && config.udp_port.local != path.local.port() {
        Some(Obstacle::Port)
    } else if config.bind_device != path.via.device {
        Some(Obstacle::Device)
    } else {
        None
    }
}

/// See [`obstacle`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// The configuration or the administrator disables it.
    Disabled,
    /// Something is missing in its block.
    Problem,
    /// Nothing is negotiated.
    Manual,
    /// `encapsulation` differs.
    Encapsulation,
    /// `local-address` differs.
    LocalAddress,
    /// `udp-port` differs.
    Port,
    /// `bind-device` differs.
    Device,
}

impl Obstacle {
    /// What the tunnel is or has, and what came.
    pub fn words(self, tunnel: &Tunnel, path: &Path) -> String {
        match self {
            Obstacle::Disabled => "is disabled".to_owned(),
            Obstacle::Problem => {
                format!("cannot be used: {}", tunnel.config.problem().unwrap_or_default())
            }
            Obstacle::Manual => "has manual sessions only".to_owned(),
            Obstacle::Encapsulation => {
                let (ours, theirs) = (tunnel.config.encapsulation().word(), path.encapsulation.word());
                format!("has encapsulation {ours}, and it came over {theirs}")
            }
            Obstacle::LocalAddress => {
                let ours = tunnel.config.local_address.map(|a| a.to_string()).unwrap_or_default();
                format!("has local-address {ours}, and it came to {}", path.local.ip())
            }
            Obstacle::Device => {
                let by = |device: &Device| device.name().map_or("none".to_owned(), str::to_owned);
                let (ours, theirs) = (by(&tunnel.config.bind_device), by(&path.via.device));
                format!("has bind-device {ours}, and it came by a socket with {theirs}")
            }
            Obstacle::Port => {
                format!("has udp-port {}, and it came to {}", tunnel.config.udp_port.local, path.local.port())
            }
        }
    }
}
