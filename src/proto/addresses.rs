//! The addresses of a tunnel's peers, in the order of preference: which one is tried next. What names mean is looked up
//! before a round of attempts, and again now and then.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::action::{Action, Path};
use super::context::{Context, Due, Timer, TunnelKey};
use crate::config::model::{Remote, TunnelConfig};
use crate::saved::saved;
use crate::wheel::TimerId;

/// A name is not looked up again within this time because of what a stranger may have caused.
const LOOKUP_PAUSE: Duration = Duration::from_secs(5);

/// Octets of an SCCRQ that waits for a lookup; real ones have a few hundred.
const LONGEST_KEPT: usize = 2048;

/// What an attempt does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Tries this address.
    Address(IpAddr),
    /// Has a name looked up, and waits for that.
    LookUp(String),
    /// Waits for a lookup.
    Waits,
    /// Waits for anybody: `remote-address any`.
    Any,
    /// Nothing: no name means an address.
    Nothing,
}

impl Next {
    /// The address that is tried.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Next::Address(address) => Some(*address),
            Next::LookUp(_) | Next::Waits | Next::Any | Next::Nothing => None,
        }
    }
}

saved! {
    /// Where a name stands in a round of attempts.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Lookup {
        Due,
        Asked,
        Done,
    }

    /// A line of the configuration.
    #[derive(Debug)]
    struct Line {
        remote: Remote,
        /// What it means. Of a name, the address that answered last comes first, then the order of the resolver.
        known: Vec<IpAddr>,
        /// The address that answered last.
        answered: Option<IpAddr>,
        lookup: Lookup,
    }

    /// With which address a round begins.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
    enum Start {
        /// The first of the first line.
        #[default]
        Top,
        /// This one.
        At(address: IpAddr),
        /// The one after this one, which comes last.
        After(address: IpAddr),
    }

    /// The addresses of a tunnel's peers.
    #[derive(Debug, Default)]
    pub struct Addresses {
        /// In the order of the file.
        lines: Vec<Line>,
        /// A round of attempts runs: each address has its turn once, then there is a pause.
        round: bool,
        start: Start,
        /// The addresses that had their turn.
        tried: Vec<IpAddr>,
        /// When names were looked up last.
        asked: Option<Instant>,
        timer: Option<TimerId>,
        kept: Option<Box<(Path, Vec<u8>)>>,
    }
}

impl Line {
    fn new(remote: &Remote) -> Line {
        let (known, lookup) = match remote {
            Remote::Address(address) => (vec![*address], Lookup::Done),
            Remote::Name(_) => (Vec::new(), Lookup::Due),
            Remote::Any => (Vec::new(), Lookup::Done),
        };
        Line { remote: remote.clone(), known, answered: None, lookup }
    }

    fn is_name(&self) -> bool {
        matches!(self.remote, Remote::Name(_))
    }

    /// Puts the address that answered before the others.
    fn arrange(&mut self) {
        let at = self.known.iter().position(|known| Some(*known) == self.answered);
        if let Some(until_there) = at.and_then(|at| self.known.get_mut(..=at)) {
            until_there.rotate_right(1);
        }
    }
}

impl Addresses {
    /// Those that a block names, no name looked up yet.
    pub fn new(config: &TunnelConfig) -> Addresses {
        let mut addresses = Addresses::default();
        addresses.follow(config);
        addresses
    }

    /// Takes over the lines of a changed block; what is known of those that were there before stays.
    pub fn follow(&mut self, config: &TunnelConfig) {
        let mut before = std::mem::take(&mut self.lines);
        self.lines.reserve_exact(config.remotes.len());
        self.lines.extend(config.remotes.iter().map(|remote| {
            let at = before.iter().position(|line| line.remote == *remote);
            at.map_or_else(|| Line::new(remote), |at| before.swap_remove(at))
        }));
        self.round = false;
    }

    // ----- what is known -----

    /// Whether it is the address of a peer.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.line_of(address).is_some()
    }

    /// All addresses, in the order of preference. One that stands in two lines comes twice.
    pub fn known(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.lines.iter().flat_map(|line| line.known.iter().copied())
    }

    /// The first line that means this address, counted from 0.
    pub fn line_of(&self, address: IpAddr) -> Option<usize> {
        self.lines.iter().position(|line| line.known.contains(&address))
    }

    /// The lines, with the addresses that each of them means.
    pub fn lines(&self) -> impl Iterator<Item = (&Remote, &[IpAddr])> {
        self.lines.iter().map(|line| (&line.remote, line.known.as_slice()))
    }

    /// Whether there are several peers: lines of the file, not addresses of one name.
    pub fn has_backup(&self) -> bool {
        self.lines.len() > 1
    }

    /// The addresses that are better than this one: those of the lines before its own.
    pub fn better_than(&self, address: IpAddr) -> impl Iterator<Item = IpAddr> + '_ {
        let lines = self.line_of(address).unwrap_or(0);
        self.lines.iter().take(lines).flat_map(|line| line.known.iter().copied())
    }

    // ----- names -----

    fn names(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().filter_map(|line| match &line.remote {
            Remote::Name(name) => Some(name.as_str()),
            Remote::Address(_) | Remote::Any => None,
        })
    }

    /// Looks all names up, now.
    pub fn look_up(&mut self, cx: &mut Context, config: &TunnelConfig) {
        for name in self.names() {
            cx.act(Action::Resolve { tunnel: config.name.clone(), name: name.to_owned() });
        }
        self.asked = Some(cx.now);
    }

    /// The peer may be at another address now: looks the names up, or a little later, where that was done just now.
    pub fn doubt(&mut self, cx: &mut Context, key: TunnelKey, config: &TunnelConfig) {
        if self.names().next().is_none() {
            return;
        }
        let passed = self.asked.map_or(LOOKUP_PAUSE, |at| cx.now.saturating_duration_since(at));
        let wait = LOOKUP_PAUSE.saturating_sub(passed);
        let due = cx.when(self.timer).map(|at| at.saturating_duration_since(cx.now));
        if wait.is_zero() {
            self.look_up(cx, config);
        } else if due.is_none_or(|due| due > wait) {
            cx.arm(&mut self.timer, wait, Timer(key, Due::LookUp));
        }
    }

    /// Keeps an SCCRQ that came from an address that no name means yet, until they are looked up: one, the newest.
    pub fn keep(&mut self, path: Path, message: &[u8]) {
        if message.len() <= LONGEST_KEPT {
            self.kept = Some(Box::new((path, message.to_vec())));
        }
    }

    /// That SCCRQ, if a name means its source now.
    pub fn take_kept(&mut self) -> Option<(Path, Vec<u8>)> {
        self.kept.take().map(|kept| *kept).filter(|(path, _)| self.contains(path.remote.ip()))
    }

    /// Looks the names up after `resolve-interval`.
    pub fn arm(&mut self, cx: &mut Context, key: TunnelKey, config: &TunnelConfig) {
        cx.cancel(&mut self.timer);
        let has_names = self.names().next().is_some();
        if let (Some(interval), true) = (config.resolve_interval, has_names) {
            let delay = cx.jitter(interval);
            cx.arm(&mut self.timer, delay, Timer(key, Due::LookUp));
        }
    }

    /// `resolve-interval` is over, or the pause after a doubt.
    pub fn due(&mut self, cx: &mut Context, config: &TunnelConfig) {
        self.timer = None;
        self.look_up(cx, config);
    }

    /// Does not look them up by itself any more.
    pub fn cancel(&mut self, cx: &mut Context) {
        cx.cancel(&mut self.timer);
    }

    /// A name was looked up; `None`: without success. Whether it means an address that it did not mean before.
    pub fn update(&mut self, name: &str, found: Option<Vec<IpAddr>>) -> bool {
        let mut new = false;
        let of_name = |line: &&mut Line| matches!(&line.remote, Remote::Name(known) if known == name);
        if let Some(line) = self.lines.iter_mut().find(of_name) {
            line.lookup = Lookup::Done;
            if let Some(known) = found {
                new = known.iter().any(|address| !line.known.contains(address));
                line.known = known;
                line.arrange();
            }
        }
        new
    }

    /// There is no network to look names up in.
    pub fn give_up_lookups(&mut self) {
        let asked = self.lines.iter_mut().filter(|line| line.lookup == Lookup::Asked);
        asked.for_each(|line| line.lookup = Lookup::Done);
    }

    // ----- attempts -----

    /// What to try now.
    pub fn next(&mut self, now: Instant) -> Next {
        if self.lines.iter().any(|line| line.remote == Remote::Any) {
            return Next::Any;
        }
        if !self.has_others() {
            self.begin_round(Start::Top);
            self.lines.iter_mut().filter(|line| line.is_name()).for_each(|line| line.lookup = Lookup::Due);
        }
        let next = self.order().into_iter().find(|address| !self.tried.contains(address));
        // A name has its turn when no address of a line before it is left.
        let lines = match (next.and_then(|address| self.line_of(address)), self.start) {
            (Some(line), Start::Top) => line.saturating_add(1),
            (Some(_), Start::At(_) | Start::After(_)) => 0,
            (None, _) => self.lines.len(),
        };
        let pending = self.lines.iter_mut().take(lines).find(|line| line.lookup != Lookup::Done);
        match (pending, next) {
            (Some(Line { remote: Remote::Name(name), lookup: lookup @ Lookup::Due, .. }), _) => {
                *lookup = Lookup::Asked;
                self.asked = Some(now);
                Next::LookUp(name.clone())
            }
            (Some(_), _) => Next::Waits,
            (None, Some(address)) => {
                self.tried.push(address);
                Next::Address(address)
            }
            (None, None) => Next::Nothing,
        }
    }

    fn begin_round(&mut self, start: Start) {
        self.round = true;
        self.start = start;
        self.tried.clear();
    }

    /// All addresses, each once, in the order in which they have their turn.
    fn order(&self) -> Vec<IpAddr> {
        let mut order = Vec::new();
        self.known().for_each(|address| {
            if !order.contains(&address) {
                order.push(address)
            }
        });
        let place = |address: IpAddr| order.iter().position(|known| *known == address);
        let first = match self.start {
            Start::Top => None,
            Start::At(address) => place(address),
            Start::After(address) => place(address).map(|at| at.saturating_add(1)),
        };
        order.rotate_left(first.unwrap_or(0));
        order
    }

    /// Whether there are others to be tried before the next pause.
    pub fn has_others(&self) -> bool {
        let untried = |line: &Line| {
            line.lookup != Lookup::Done || line.known.iter().any(|address| !self.tried.contains(address))
        };
        self.round && self.lines.iter().any(untried)
    }

    /// An address serves no longer: the one after it has its turn, and itself after all others. `false`: there are no
    /// others.
    pub fn leave(&mut self, address: IpAddr) -> bool {
        self.begin_known_round(Start::After(address));
        self.round = self.order().iter().any(|other| *other != address)
            || self.lines.iter().any(|line| line.lookup != Lookup::Done);
        self.round
    }

    /// The same address is to be tried again, before the others.
    pub fn stay(&mut self, address: IpAddr) {
        self.begin_known_round(Start::At(address));
    }

    /// What names meant before is good enough: nobody waits for the resolver.
    fn begin_known_round(&mut self, start: Start) {
        self.begin_round(start);
        for line in self.lines.iter_mut().filter(|line| line.is_name()) {
            line.lookup = if line.known.is_empty() { Lookup::Due } else { Lookup::Done };
        }
    }

    /// An address answers: the others are not needed.
    pub fn answered(&mut self, address: IpAddr) {
        self.round = false;
        for line in self.lines.iter_mut().filter(|line| line.known.contains(&address)) {
            line.answered = Some(address);
            line.arrange();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // a test may fail

    use super::*;
    use crate::config;
    use crate::proto::tests::start;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn addresses(lasts: &[u8]) -> Vec<IpAddr> {
        lasts.iter().copied().map(address).collect()
    }

    /// Those of a tunnel with these peers: names, or the last octets of addresses.
    fn of(peers: &[&str]) -> Addresses {
        let line = |peer: &&str| match peer.parse::<u8>() {
            Ok(last) => format!("remote-address {}\n", address(last)),
            Err(_) => format!("remote-address {peer}.example\n"),
        };
        let text = format!("tunnel t\n{}", peers.iter().map(line).collect::<String>());
        let config = config::parse(text.as_bytes(), &config::Defaults::default()).config;
        Addresses::new(&config.expect("a configuration").tunnels[0])
    }

    /// What is tried, none of which answers, up to the next pause; `means` tells what names mean.
    fn round(list: &mut Addresses, means: &[(&str, &[u8])]) -> Vec<u8> {
        let mut tried = Vec::new();
        loop {
            match list.next(start()) {
                Next::Address(tried_now) => {
                    tried.extend((0..=255).find(|last| address(*last) == tried_now));
                    if !list.has_others() {
                        return tried;
                    }
                }
                Next::LookUp(name) => {
                    let found = means.iter().find(|(known, _)| name == format!("{known}.example"));
                    list.update(&name, found.map(|(_, lasts)| addresses(lasts)));
                    if !list.has_others() {
                        return tried;
                    }
                }
                Next::Nothing => return tried,
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn each_has_its_turn_before_the_pause() {
        let mut list = of(&["a"]);
        assert_eq!(round(&mut list, &[]), [], "a name that means nothing");
        let means: &[(&str, &[u8])] = &[("a", &[1, 2, 3])];
        assert_eq!(round(&mut list, means), [1, 2, 3]);
        assert_eq!(round(&mut list, means), [1, 2, 3]);
        // A resolver that changes the order, addresses that go and come.
        assert_eq!(round(&mut list, &[("a", &[3, 2, 1])]), [3, 2, 1]);
        assert_eq!(round(&mut list, &[("a", &[2, 1])]), [2, 1]);
        assert_eq!(round(&mut list, &[("a", &[7])]), [7]);
    }

    #[test]
    fn several_lines_are_an_order_of_preference() {
        let mut list = of(&["9", "a", "8", "b"]);
        let means: &[(&str, &[u8])] = &[("a", &[1, 2]), ("b", &[8, 3])];
        assert_eq!(round(&mut list, means), [9, 1, 2, 8, 3], "an address in two lines has one turn");
        assert_eq!(
            round(&mut list, &[("b", &[8, 3])]),
            [9, 1, 2, 8, 3],
            "a name of which nothing new is known"
        );
        assert_eq!(list.better_than(address(8)).collect::<Vec<_>>(), addresses(&[9, 1, 2]));
        assert_eq!(list.better_than(address(2)).collect::<Vec<_>>(), addresses(&[9]), "equals of one name");
    }

    #[test]
    fn the_one_after_the_dead_one_has_its_turn() {
        let mut list = of(&["9", "a", "8"]);
        let means: &[(&str, &[u8])] = &[("a", &[1, 2])];
        round(&mut list, means);
        list.answered(address(2));
        assert!(list.leave(address(2)));
        // Nobody waits for the resolver then.
        assert_eq!(round(&mut list, &[]), [1, 8, 9, 2]);
        // The next round is in the order of the file again; of the name, the address that answered comes first.
        assert_eq!(round(&mut list, means), [9, 2, 1, 8]);
        list.stay(address(8));
        assert_eq!(round(&mut list, &[]), [8, 9, 2, 1]);
        let mut list = of(&["9"]);
        round(&mut list, &[]);
        list.answered(address(9));
        assert!(!list.leave(address(9)), "nobody else");
        assert_eq!(round(&mut list, &[]), [9]);
    }

    #[test]
    fn what_is_known_outlives_a_change_of_the_list() {
        let mut list = of(&["a", "9"]);
        round(&mut list, &[("a", &[1, 2])]);
        let config = config::parse(
            b"tunnel t\nremote-address 192.0.2.7\nremote-address a.example\n",
            &config::Defaults::default(),
        );
        list.follow(&config.config.expect("a configuration").tunnels[0]);
        assert_eq!(list.known().collect::<Vec<_>>(), addresses(&[7, 1, 2]));
        assert!(!list.contains(address(9)));
    }
}
