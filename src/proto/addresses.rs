//! The addresses that a peer's name means: they are tried in turn, and looked up again now and then.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::action::{Action, Path};
use super::context::{Context, Due, Timer, TunnelKey};
use crate::config::model::{self, Remote};
use crate::saved::saved;
use crate::wheel::TimerId;

/// A name is not looked up again within this time because of what a stranger may have caused.
const LOOKUP_PAUSE: Duration = Duration::from_secs(5);

/// Octets of an SCCRQ that waits for a lookup; real ones have a few hundred.
const LONGEST_KEPT: usize = 2048;

/// The addresses of a tunnel's peer, where it has a name.
#[derive(Debug, Default)]
pub struct Addresses {
    /// In the order of the resolver.
    known: Vec<IpAddr>,
    /// The one of the last attempt.
    tried: Option<IpAddr>,
    /// It did not answer.
    unanswered: bool,
    /// So many have not been tried since the last pause.
    left: usize,
    /// When the name was looked up last.
    asked: Option<Instant>,
    timer: Option<TimerId>,
    kept: Option<(Path, Vec<u8>)>,
}
saved!(Addresses { known, tried, unanswered, left, asked, timer, kept });

impl Addresses {
    /// Whether the name means this address.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.known.contains(&address)
    }

    /// The addresses that the name means.
    pub fn known(&self) -> &[IpAddr] {
        &self.known
    }

    /// Looks the name up.
    pub fn look_up(&mut self, cx: &mut Context, config: &model::TunnelConfig) {
        if let Some(Remote::Name(_)) = config.remote {
            self.asked = Some(cx.now);
            cx.act(Action::Resolve { tunnel: config.name.clone() });
        }
    }

    /// The peer may be at another address now: looks the name up, or a little later, where that was done just now.
    pub fn doubt(&mut self, cx: &mut Context, key: TunnelKey, config: &model::TunnelConfig) {
        let Some(Remote::Name(_)) = config.remote else { return };
        let passed = self.asked.map_or(LOOKUP_PAUSE, |at| cx.now.saturating_duration_since(at));
        let wait = LOOKUP_PAUSE.saturating_sub(passed);
        let due = cx.when(self.timer).map(|at| at.saturating_duration_since(cx.now));
        if wait.is_zero() {
            self.look_up(cx, config);
        } else if due.is_none_or(|due| due > wait) {
            cx.arm(&mut self.timer, wait, Timer(key, Due::LookUp));
        }
    }

    /// Keeps an SCCRQ that came from an address that the name does not mean yet, until it is looked up: one, the newest.
    pub fn keep(&mut self, path: Path, message: &[u8]) {
        if message.len() <= LONGEST_KEPT {
            self.kept = Some((path, message.to_vec()));
        }
    }

    /// That SCCRQ, if the name means its source now.
    pub fn take_kept(&mut self) -> Option<(Path, Vec<u8>)> {
        self.kept.take().filter(|(path, _)| self.contains(path.remote.ip()))
    }

    /// Looks the name up after `resolve-interval`.
    pub fn arm(&mut self, cx: &mut Context, key: TunnelKey, config: &model::TunnelConfig) {
        cx.cancel(&mut self.timer);
        if let (Some(interval), Some(Remote::Name(_))) = (config.resolve_interval, &config.remote) {
            let delay = cx.jitter(interval);
            cx.arm(&mut self.timer, delay, Timer(key, Due::LookUp));
        }
    }

    /// The timer fired.
    pub fn due(&mut self, cx: &mut Context, config: &model::TunnelConfig) {
        self.timer = None;
        self.look_up(cx, config);
    }

    /// Does not look it up by itself any more.
    pub fn cancel(&mut self, cx: &mut Context) {
        cx.cancel(&mut self.timer);
    }

    /// Takes the addresses that the name means now. Whether there is one that was not there before.
    pub fn update(&mut self, known: Vec<IpAddr>) -> bool {
        let new = known.iter().any(|address| !self.known.contains(address));
        self.known = known;
        new
    }

    /// The address to try now: the one after the last, if that did not answer, or else the last again.
    pub fn next(&mut self) -> Option<IpAddr> {
        let at = self.tried.and_then(|tried| self.known.iter().position(|address| *address == tried));
        let next = match at {
            Some(at) if self.unanswered => self.known.iter().cycle().nth(at.saturating_add(1)),
            Some(at) => self.known.get(at),
            None => self.known.first(),
        };
        if self.left == 0 {
            self.left = self.known.len();
        }
        self.left = self.left.saturating_sub(1);
        self.unanswered = false;
        self.tried = next.copied();
        self.tried
    }

    /// Whether there are others to be tried before the next pause.
    pub fn has_others(&self) -> bool {
        self.left > 0
    }

    /// The address of the last attempt did not answer. Whether the next one is to be tried at once.
    pub fn unanswered(&mut self) -> bool {
        self.unanswered = true;
        self.has_others()
    }

    /// An address answers: the others are not needed.
    pub fn answered(&mut self, address: IpAddr) {
        self.left = 0;
        if self.contains(address) {
            self.tried = Some(address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(known: &[u8]) -> Vec<IpAddr> {
        known.iter().map(|last| IpAddr::from([192, 0, 2, *last])).collect()
    }

    /// The last octets of the addresses that are tried, none of which answers, up to the next pause.
    fn round(list: &mut Addresses) -> Vec<u8> {
        let last = |address: IpAddr| (0..=255).find(|last| addresses(&[*last]) == [address]);
        let mut tried = Vec::new();
        loop {
            tried.extend(list.next().and_then(last));
            if !list.unanswered() {
                return tried;
            }
        }
    }

    #[test]
    fn each_has_its_turn_before_the_pause() {
        let mut list = Addresses::default();
        assert_eq!(list.next(), None);
        assert!(list.update(addresses(&[1, 2, 3])));
        assert_eq!(round(&mut list), [1, 2, 3]);
        assert_eq!(round(&mut list), [1, 2, 3]);
        // A resolver that changes the order, and an address that goes.
        assert!(!list.update(addresses(&[3, 2, 1])));
        assert_eq!(round(&mut list), [2, 1, 3]);
        assert!(!list.update(addresses(&[2, 1])));
        assert_eq!(round(&mut list), [2, 1]);
        assert!(list.update(addresses(&[7])));
        assert_eq!(round(&mut list), [7]);
    }

    #[test]
    fn the_one_that_answers_is_kept() {
        let mut list = Addresses::default();
        list.update(addresses(&[1, 2]));
        list.next();
        assert!(list.unanswered());
        assert_eq!(list.next(), Some(IpAddr::from([192, 0, 2, 2])));
        list.answered(IpAddr::from([192, 0, 2, 2]));
        assert!(!list.has_others());
        assert_eq!(list.next(), Some(IpAddr::from([192, 0, 2, 2])));
    }
}
