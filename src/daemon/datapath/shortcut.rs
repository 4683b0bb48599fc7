//! `data-plane bpf`: programs in the kernel carry plain frames of sessions between their TAPs and the interface that
//! leads to the peer. Everything else about a session is as with TAPs; what the programs leave, and whole sessions that
//! they cannot carry, the daemon carries. [`values`] tells what the programs know of a session; `obstacles` which
//! sessions they are told of.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use super::gates::Gates;
use super::heard::Woke;
use super::interface::longest_within;
use super::known::{egress_value, ingress_value, Ways};
use super::newest::Newest;
use super::obstacles::{Case, Underlay};
use super::port::Port;
use super::ports::Ports;
use super::session::Session;
use super::slab::FixedHash;
use super::state::{CarriedState, ReceivedFds, SentFds, ShortcutState};
use crate::bpf::values::{self, Counts};
use crate::bpf::{self, Maps};
use crate::counters::Counters;
use crate::log::Remark;
use crate::sys::bpf::{Map, Program};
use crate::sys::policy::{Policies, PolicySource};
use crate::sys::route::{KernelRoute, RouteSocket};
use crate::sys::tap::Tap;
use crate::sys::veth::{self, Pairs};
use crate::sys::{clock, error_text, netif};
use crate::wire::SessionId;

/// Sessions and interfaces that the maps have room for.
const SESSIONS: u32 = 65_536;
/// What the interfaces for GRO and GSO are called, before a number.
const PAIRS: &str = "interfaces l2tpd-gro and l2tpd-gso";
/// How often is looked for policies of which no event tells.
const PAUSE: Duration = Duration::from_secs(10);

/// The programs, and what they know.
pub(super) struct Shortcut {
    /// `data-plane auto`.
    automatic: bool,
    ingress: Map,
    egress: Map,
    counts: Map,
    at_ingress: Program,
    at_egress: Program,
    /// The programs of the pairs: at the other ends, and at our ends.
    of_pairs: [Program; 3],
    /// The interfaces for GRO and GSO, and why that cannot be used.
    pairs: Option<Pairs>,
    no_pairs: Option<String>,
    routes: RouteSocket,
    /// The route to the newest peer from the address that is bound: the sessions of a peer come one after the other.
    route: Newest<(IpAddr, Option<IpAddr>), Result<KernelRoute, String>>,
    policies: Result<Policies, String>,
    pub(super) source: PolicySource,
    /// When to look at the policies again.
    due: Instant,
    /// By the places of their ports.
    /// Boxed: a table has room for more than it holds.
    carried: HashMap<usize, Box<Carried>, FixedHash>,
    /// By the indexes of interfaces that lead to peers: the program there, and how many sessions use it.
    underlays: HashMap<i32, (OwnedFd, usize), FixedHash>,
    /// The indexes of all interfaces that lead to peers, with the places of the ports.
    devices: BTreeSet<(i32, usize)>,
    /// What is known of those, by their indexes.
    known: HashMap<i32, Underlay, FixedHash>,
    woke: Woke,
}

/// What the programs know of a port's session.
struct Carried {
    session: SessionId,
    /// The index of the interface that leads to the peer, whether it can be used or not.
    device: Option<i32>,
    /// It is in the maps at present.
    ways: Option<Ways>,
    /// The programs may have counted for it: else the map is not asked.
    counts: bool,
    /// What was counted when the counters were set to zero.
    zero: Counts,
    /// What was told of it last.
    told: Option<Remark>,
}

impl Carried {
    fn new(session: SessionId) -> Box<Carried> {
        let zero = Counts::default();
        Box::new(Carried { session, device: None, ways: None, counts: false, zero, told: None })
    }
}

impl Shortcut {
    /// Loads the programs. `automatic`: they are one choice of several.
    pub(super) fn open(automatic: bool) -> io::Result<Shortcut> {
        let [ingress, egress] =
            [values::Ingress::SIZE, values::Egress::SIZE].map(|size| Map::new(SESSIONS, size, false));
        let (ingress, egress) = (ingress?, egress?);
        let counts = Map::new(SESSIONS, Counts::SIZE, true)?;
        let [at_ingress, at_egress, of_counts] = [&ingress, &egress, &counts].map(Map::descriptor);
        let maps = Maps { ingress: at_ingress, egress: at_egress, counts: of_counts };
        let [at_ingress, at_egress, back, gro, gso] =
            bpf::all(&maps).map(|(name, code)| Program::load(name, &code.unwrap_or_default()));
        let (at_ingress, at_egress) = (at_ingress?, at_egress?);
        let of_pairs = [back?, gro?, gso?];
        let source = PolicySource::open();
        Ok(Shortcut {
            automatic,
            ingress,
            egress,
            counts,
            at_ingress,
            at_egress,
            of_pairs,
            pairs: None,
            no_pairs: Some(format!(
                "{PAIRS} are made when the daemon starts, not when another program goes on"
            )),
            routes: RouteSocket::open()?,
            route: Newest::default(),
            policies: read(&source),
            source,
            due: clock::now() + PAUSE,
            carried: HashMap::default(),
            underlays: HashMap::default(),
            devices: BTreeSet::new(),
            known: HashMap::default(),
            woke: Woke::new(clock::since_boot(), clock::monotonic()),
        })
    }

    /// Makes these, which takes rights and some time: a program that goes on with that of another one has no
    /// use for both.
    pub(super) fn make_pairs(&mut self) {
        let [back, gro, gso] = &self.of_pairs;
        let pairs = veth::pairs(back, [gro, gso]);
        self.no_pairs =
            pairs.as_ref().err().map(|error| format!("there are no {PAIRS}: {}", error_text(error)));
        self.pairs = pairs.ok();
    }

    /// What another program that goes on with them has to know. `port` finds the port at a place.
    pub(super) fn state<'a>(
        &self,
        port: impl Fn(usize) -> Option<&'a Port>,
        descriptors: &mut SentFds,
    ) -> ShortcutState {
        let Shortcut { ingress, egress, counts, at_ingress, at_egress, .. } = self;
        descriptors.extend([ingress, egress, counts].map(Map::descriptor));
        descriptors.extend([at_ingress, at_egress].map(Program::descriptor));
        let pairs = self.pairs.as_ref().map(|pairs| {
            descriptors.extend(pairs.descriptors.iter().map(AsRawFd::as_raw_fd));
            pairs.indexes.clone()
        });
        let underlays = self.underlays.iter().map(|(index, (link, sessions))| {
            descriptors.push(link.as_raw_fd());
            (*index, *sessions)
        });
        let underlays = underlays.collect();
        let carried = self.carried.iter().filter_map(|(at, carried)| {
            let port = port(*at)?;
            Some(CarriedState {
                name: port.interface.name.clone(),
                session: carried.session,
                ways: carried.ways.as_ref().map(|ways| (ways.underlay, ways.interface)),
                why_not: port.why_not_bpf.clone(),
                zero: carried.zero,
                counted: self.since(carried.session, &carried.zero),
            })
        });
        ShortcutState { code: code(), pairs, underlays, carried: carried.collect() }
    }

    /// Goes on with what another program had in the kernel, where this one would have the same there; frames pass
    /// meanwhile. What has changed since is settled afterwards.
    pub(super) fn resume(
        &mut self,
        state: ShortcutState,
        ports: &mut Ports,
        descriptors: &mut ReceivedFds,
    ) -> io::Result<()> {
        let mut next = || descriptors.pop_front().ok_or(io::ErrorKind::NotFound);
        for map in [&mut self.ingress, &mut self.egress, &mut self.counts] {
            map.adopt(next()?);
        }
        for program in [&mut self.at_ingress, &mut self.at_egress] {
            program.adopt(next()?);
        }
        if let Some(indexes) = state.pairs {
            let descriptors = (0..Pairs::DESCRIPTORS).map(|_| next()).collect::<Result<_, _>>()?;
            self.pairs = Some(Pairs { indexes, descriptors });
            self.no_pairs = self.why_no_pairs();
        }
        for (index, sessions) in state.underlays {
            self.underlays.insert(index, (next()?, sessions));
        }
        for CarriedState { name, session, ways, why_not, zero, counted: _ } in state.carried {
            let mut carried = Carried::new(session);
            // What the maps have is written once more.
            carried.ways = ways.map(|(underlay, interface)| Ways::new(underlay, interface));
            (carried.counts, carried.zero) = (true, zero);
            let at = ports.find(&name).ok_or(io::ErrorKind::NotFound)?;
            if let Some(port) = ports.get_mut(at) {
                (port.by_bpf, port.why_not_bpf) = (ways.is_some(), why_not);
                let told = port.by_bpf || !self.automatic;
                carried.told = told.then(|| how_carried(port));
            }
            self.carried.insert(at, carried);
        }
        Ok(())
    }

    /// What may concern a port has changed: the programs get to know what they shall know of its session, which has this
    /// MTU on its path. What there is to tell.
    pub(super) fn settle(
        &mut self,
        at: usize,
        port: &mut Port,
        session: Option<&Session>,
        mtu: Option<usize>,
    ) -> Option<Remark> {
        if self.carried.get(&at).is_some_and(|c| Some(c.session) != session.map(|s| s.id)) {
            self.forget(at, port);
        }
        let session = session.filter(|session| session.established)?;
        let mut carried = self.carried.remove(&at).unwrap_or_else(|| Carried::new(session.id));
        let bound = Some(session.path.local.ip()).filter(|local| !local.is_unspecified());
        let remote = session.path.remote.ip();
        let look_up = || self.routes.look_up(remote, bound, None, 0).map_err(|error| error_text(&error));
        let route = self.route.get((remote, bound), look_up);
        carried.device.take().map(|device| self.devices.remove(&(device, at)));
        carried.device = route.as_ref().ok().map(|route| route.device);
        carried.device.map(|device| self.devices.insert((device, at)));
        let wanted = route.and_then(|route| self.ways(port, session, &route, mtu));
        let result = wanted
            .and_then(|ways| self.carry(&mut carried, ways, port.tap()).map_err(|error| error_text(&error)));
        if result.is_err() {
            self.leave(&mut carried);
        }
        port.by_bpf = result.is_ok();
        port.why_not_bpf = result.err();
        let remark = how_carried(port);
        // Nobody asked for the programs: that they do not carry a session is news if they did before.
        let news = !self.automatic || port.by_bpf || carried.told.is_some();
        let new = news && carried.told.as_ref() != Some(&remark);
        carried.told = if new { Some(remark.clone()) } else { carried.told };
        self.carried.insert(at, carried);
        new.then_some(remark)
    }

    /// The programs carry the frames of a session so from now on. After an error they may still carry some.
    fn carry(&mut self, carried: &mut Carried, ways: Ways, tap: Option<&Tap>) -> io::Result<()> {
        let same = |before: &Ways| (before.underlay, before.interface) == (ways.underlay, ways.interface);
        if !carried.ways.as_ref().is_some_and(same) {
            self.leave(carried);
            self.at_egress.filter(tap.ok_or(io::ErrorKind::NotFound)?)?;
            match self.underlays.get_mut(&ways.underlay) {
                Some((_, sessions)) => *sessions += 1,
                None => {
                    let link = self.at_ingress.link(ways.underlay)?;
                    self.underlays.insert(ways.underlay, (link, 1));
                }
            }
        }
        let before = carried.ways.replace(ways);
        let Some(ways) = carried.ways.as_ref().filter(|ways| Some(*ways) != before.as_ref()) else {
            return Ok(());
        };
        let (key, interface) = (carried.session.0.to_be_bytes(), ways.interface.to_ne_bytes());
        if !carried.counts && self.counts.get(key).is_err() {
            self.counts.clear(key)?;
        }
        carried.counts = true;
        match &ways.ingress {
            Some(value) => self.ingress.set(key, &value.octets())?,
            None => absent(self.ingress.remove(key))?,
        }
        match &ways.egress {
            Some(value) => self.egress.set(interface, &value.octets()),
            None => absent(self.egress.remove(interface)),
        }
    }

    /// The programs carry nothing of a session any more.
    fn leave(&mut self, carried: &mut Carried) {
        let Some(ways) = carried.ways.take() else { return };
        // What is not there need not be removed.
        let _ = self.egress.remove(ways.interface.to_ne_bytes());
        let _ = self.ingress.remove(carried.session.0.to_be_bytes());
        if let Some((_, sessions)) = self.underlays.get_mut(&ways.underlay) {
            *sessions -= 1;
            if *sessions == 0 {
                self.underlays.remove(&ways.underlay);
            }
        }
    }

    /// What is known of an interface, until there is an event of any.
    fn underlay(&mut self, index: i32) -> Result<Underlay, String> {
        if let Some(known) = self.known.get(&index) {
            return Ok(known.clone());
        }
        let name = netif::name(index).map_err(|error| error_text(&error))?;
        let is_ethernet = netif::is_ethernet(&name);
        let finishes_checksums = netif::finishes_checksums(&name);
        let underlay = Underlay { name, is_ethernet, finishes_checksums };
        self.known.insert(index, underlay.clone());
        Ok(underlay)
    }

    /// How the frames of a session go, or why not so.
    fn ways(
        &mut self,
        port: &Port,
        session: &Session,
        route: &KernelRoute,
        mtu: Option<usize>,
    ) -> Result<Ways, String> {
        let underlay = &self.underlay(route.device)?;
        let policies = self.policies.as_ref().map_err(|error| {
            format!("whether IPsec or a packet filter is to see its packets is not known: {error}")
        })?;
        let interface = port.index().ok_or("there is no interface")?;
        let pairs =
            self.pairs.as_ref().filter(|_| self.no_pairs.is_none() && interface <= bpf::pairs::LARGEST);
        let (automatic, no_pairs) = (self.automatic, pairs.is_none());
        let others = self.underlays.len() - usize::from(self.underlays.contains_key(&route.device));
        let case = Case { port, session, route, underlay, mtu, policies, automatic, no_pairs, others };
        if let Some(why) = case.obstacle() {
            let no_pairs = self.no_pairs.as_deref().unwrap_or("the interface's number is too great");
            return Err(why.replace("{}", &underlay.name).replace("{why}", no_pairs));
        }
        let [gro, gso] = pairs.and_then(|p| p.indexes.first_chunk()).copied().unwrap_or_default();
        let local = Some(session.path.local.ip()).filter(|local| !local.is_unspecified());
        let local = local.or(route.source).ok_or("the route has no source address")?;
        let longest = longest_within(mtu.unwrap_or_default(), &session.path, session.header_length);
        let Gates { receive, send, .. } = session.gates;
        let device = (route.device, underlay.finishes_checksums);
        Ok(Ways {
            underlay: route.device,
            interface,
            ingress: receive.then(|| ingress_value(session, local, interface, gro)),
            egress: send.then(|| egress_value(port, session, local, device, longest, gso)),
        })
    }

    /// The programs forget the session of a port, which keeps what they have counted.
    pub(super) fn forget(&mut self, at: usize, port: &mut Port) {
        let Some(mut carried) = self.carried.remove(&at) else { return };
        self.leave(&mut carried);
        carried.device.map(|device| self.devices.remove(&(device, at)));
        if carried.counts {
            port.counters.add(&self.since(carried.session, &carried.zero));
            let _ = self.counts.remove(carried.session.0.to_be_bytes());
        }
        (port.by_bpf, port.why_not_bpf) = (false, None);
    }

    fn since(&self, session: SessionId, zero: &Counts) -> Counters {
        let now = self.counted(session);
        Counters {
            rx_frames: now.rx_frames.saturating_sub(zero.rx_frames),
            rx_octets: now.rx_octets.saturating_sub(zero.rx_octets),
            tx_frames: now.tx_frames.saturating_sub(zero.tx_frames),
            tx_octets: now.tx_octets.saturating_sub(zero.tx_octets),
            ..Counters::default()
        }
    }

    fn counted(&self, session: SessionId) -> Counts {
        self.counts
            .get(session.0.to_be_bytes())
            .map_or_else(|_| Counts::default(), |octets| Counts::sum(&octets))
    }

    /// What the programs have counted for the session of a port since the counters were set to zero.
    pub(super) fn counters(&self, at: usize) -> Counters {
        let carried = self.carried.get(&at).filter(|carried| carried.counts);
        carried.map_or_else(Counters::default, |c| self.since(c.session, &c.zero))
    }

    /// Sets all counters to zero.
    pub(super) fn reset_counters(&mut self) {
        for at in self.carried.keys().copied().collect::<Vec<usize>>() {
            let zero = self.carried.get(&at).map(|carried| self.counted(carried.session));
            if let (Some(carried), Some(zero)) = (self.carried.get_mut(&at), zero) {
                carried.zero = zero;
            }
        }
    }

    /// When the programs received a frame of a session last; one from before the machine slept counts for nothing.
    pub(super) fn heard(&self, session: SessionId) -> Option<Instant> {
        let heard = Duration::from_nanos(self.counted(session).heard);
        let (boot, awake) = (clock::since_boot(), clock::monotonic());
        let woke = self.woke.last(boot, awake);
        clock::now().checked_sub(awake.saturating_sub(heard)).filter(|_| heard > woke)
    }

    /// Routes may be others than in the last turn.
    pub(super) fn begin_turn(&mut self) {
        self.route.forget();
    }

    /// Whether they carry any session.
    pub(super) fn carries(&self) -> bool {
        !self.underlays.is_empty()
    }

    /// Why the interfaces for GRO and GSO cannot be used, if somebody has changed them.
    fn why_no_pairs(&self) -> Option<String> {
        let pairs = self.pairs.as_ref()?;
        pairs.indexes.iter().find_map(|index| match netif::name(*index) {
            Ok(name) if netif::is_up(&name).is_ok_and(|up| up) => None,
            Ok(name) => Some(format!("{name} is down")),
            Err(_) => Some(format!("somebody has deleted {PAIRS}")),
        })
    }

    /// Something of an interface has changed: the places of ports whose sessions' peers it leads to, or of all that the
    /// programs know.
    pub(super) fn ports_behind(&mut self, index: i32) -> Vec<usize> {
        self.known.clear();
        self.begin_turn();
        if self.pairs.as_ref().is_some_and(|pairs| pairs.indexes.contains(&index)) {
            self.no_pairs = self.why_no_pairs();
            return self.carried.keys().copied().collect();
        }
        self.devices.range((index, 0)..=(index, usize::MAX)).map(|(_, at)| *at).collect()
    }

    /// An interface is gone, and with it the program that was there.
    pub(super) fn interface_deleted(&mut self, index: i32) {
        self.underlays.remove(&index);
    }

    /// Looks at the policies again. Where they are others now the programs carry nothing until each session was looked at
    /// again: the places of their ports.
    pub(super) fn look_at_policies(&mut self) -> Vec<usize> {
        self.due = clock::now() + PAUSE;
        let policies = read(&self.source);
        if policies == self.policies {
            return Vec::new();
        }
        self.policies = policies;
        for carried in self.carried.values_mut() {
            if let Some(ways) = &mut carried.ways {
                let _ = self.egress.remove(ways.interface.to_ne_bytes());
                let _ = self.ingress.remove(carried.session.0.to_be_bytes());
                *ways = Ways::new(ways.underlay, ways.interface);
            }
        }
        self.carried.keys().copied().collect()
    }

    /// When to look at the policies again, if no event comes.
    pub(super) fn due(&self) -> Instant {
        self.due
    }
}

/// Whether the programs carry the frames of a port.
fn how_carried(port: &Port) -> Remark {
    let interface = port.interface.name.clone();
    match port.why_not_bpf.clone() {
        None => Remark::ByBpf { interface },
        Some(why) => Remark::NotByBpf { interface, why },
    }
}

/// What the programs are made of, whatever the numbers of their maps.
pub(super) fn code() -> Vec<u8> {
    let maps = Maps { ingress: 0, egress: 0, counts: 0 };
    let programs = bpf::all(&maps).map(|(_, code)| code);
    let sizes = [values::Ingress::SIZE, values::Egress::SIZE, Counts::SIZE].map(|size| [size as u8; 8]);
    programs.into_iter().flatten().flatten().chain(sizes).flatten().collect()
}

fn read(source: &PolicySource) -> Result<Policies, String> {
    source.read().map_err(|error| error_text(&error))
}

/// It is well if it was not there.
fn absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
