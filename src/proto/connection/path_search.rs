//! The search for the longest packet that a path carries (RFC 8899): which length is tried next, and what is concluded
//! when it came through or was lost. Lengths are those of whole packets, IP header included.

use std::time::{Duration, Instant};

use crate::saved::saved;

/// Probes of one length that have to be lost before that length counts as too long (RFC 8899 5.1.2: MAX_PROBES).
const MAX_PROBES: u32 = 3;

/// Between two attempts to find that the path carries more than it did (RFC 8899 5.1.1: PMTU_RAISE_TIMER).
const RAISE: Duration = Duration::from_secs(600);

/// What nearly every path carries (RFC 8899 5.1.2: BASE_PLPMTU), and what is tried where it does not; the second is what
/// every host takes (RFC 1122 3.3.2).
const BASES_V4: [usize; 2] = [1200, 576];
/// The same over IPv6: every link carries this (RFC 8200 5).
const BASES_V6: [usize; 1] = [1280];

saved! {
    /// What is tried.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Phase {
        /// What the system lets leave: that is mostly it.
        Longest,
        /// What should come through in any case.
        Base(size: usize),
        /// What lies between what came through and what did not.
        Between(passes: usize),
        /// What was found: does it still come through?
        Confirm,
        /// What the system lets leave, after a long time once more.
        Again,
        /// A little more than was found: then it is worth to search.
        Above,
    }
}

/// When the next probe is to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// At once.
    None,
    /// When it is time to confirm what was found.
    Usual,
    /// After this time: nothing is to be found at present.
    Long(Duration),
}

/// A search, from its beginning on.
#[derive(Debug)]
pub struct PathSearch {
    ipv4: bool,
    phase: Phase,
    /// What the path carries.
    found: Option<usize>,
    /// What the system lets leave.
    limit: usize,
    /// The shortest length that was lost.
    fails: usize,
    /// Probes of the present length that were lost.
    lost: u32,
    /// When more is tried again.
    raise: Option<Instant>,
}
saved!(PathSearch { ipv4, phase, found, limit, fails, lost, raise });

impl PathSearch {
    /// Nothing is known of the path yet.
    pub fn new(ipv4: bool) -> PathSearch {
        PathSearch { ipv4, phase: Phase::Longest, found: None, limit: 0, fails: 0, lost: 0, raise: None }
    }

    /// What the path carries, as far as that is known: nothing is, where not even short probes come through.
    pub fn found(&self) -> Option<usize> {
        self.found
    }

    /// Where it stands, in RFC 8899's words.
    pub fn state(&self) -> &'static str {
        match self.phase {
            Phase::Longest if self.raise.is_some() => "error",
            Phase::Longest | Phase::Base(_) => "base",
            Phase::Between(_) | Phase::Again | Phase::Above => "searching",
            Phase::Confirm => "search-complete",
        }
    }

    /// The length to try now; longer packets than `limit` do not leave.
    pub fn size(&mut self, now: Instant, limit: usize) -> usize {
        self.limit = limit;
        // ICMP has shown that it carries less: what the system knows holds without probes.
        self.found = self.found.map(|found| found.min(limit));
        let found = self.found.unwrap_or(limit);
        match self.phase {
            Phase::Confirm if found < limit && self.raise.is_some_and(|at| at <= now) => {
                self.phase = Phase::Again;
            }
            Phase::Again | Phase::Above if found >= limit => self.rest(now, found),
            Phase::Between(passes) if passes >= limit => self.rest(now, limit),
            Phase::Longest
            | Phase::Base(_)
            | Phase::Between(_)
            | Phase::Confirm
            | Phase::Again
            | Phase::Above => {}
        }
        match self.phase {
            Phase::Longest | Phase::Again => limit,
            Phase::Base(size) => size.min(limit),
            Phase::Between(passes) => passes.midpoint(self.fails.min(limit.saturating_add(1))),
            Phase::Confirm => found,
            Phase::Above => found.saturating_add(1),
        }
    }

    /// A probe of this length came through.
    pub fn passed(&mut self, now: Instant, size: usize) {
        self.lost = 0;
        match self.phase {
            Phase::Longest | Phase::Again => self.rest(now, size),
            Phase::Base(_) => {
                self.found = Some(size);
                self.narrow(now, size);
            }
            Phase::Between(_) | Phase::Above => self.narrow(now, size),
            Phase::Confirm => {}
        }
    }

    /// A probe of this length was lost, and shorter messages come through.
    pub fn lost(&mut self, now: Instant, size: usize) {
        self.lost = self.lost.saturating_add(1);
        if self.lost < MAX_PROBES {
            return;
        }
        self.lost = 0;
        match self.phase {
            // A black hole: what came through does not any more.
            Phase::Longest | Phase::Base(_) | Phase::Confirm => self.try_base(now, size),
            Phase::Between(passes) => {
                self.fails = size;
                self.narrow(now, passes);
            }
            Phase::Again => {
                self.fails = size;
                self.phase = Phase::Above;
            }
            Phase::Above => self.rest(now, self.found.unwrap_or(size)),
        }
    }

    /// When the next probe is to leave.
    pub fn pause(&self, now: Instant) -> Pause {
        match (self.phase, self.raise) {
            (Phase::Longest, Some(at)) if at > now => Pause::Long(at.saturating_duration_since(now)),
            (Phase::Confirm, _) if self.lost == 0 => Pause::Usual,
            _ => Pause::None,
        }
    }

    /// This much does not come through: does what should in any case?
    fn try_base(&mut self, now: Instant, fails: usize) {
        let bases = if self.ipv4 { &BASES_V4[..] } else { &BASES_V6[..] };
        let base = bases.iter().find(|base| **base < fails);
        match base {
            Some(base) => {
                // The bound of the search to come is the first length that failed.
                if !matches!(self.phase, Phase::Base(_)) {
                    self.fails = fails;
                }
                self.phase = Phase::Base(*base);
            }
            // Probes tell nothing here.
            None => {
                self.found = None;
                self.phase = Phase::Longest;
                self.raise = now.checked_add(RAISE);
            }
        }
    }

    /// This much comes through: what is tried next, if anything lies between.
    fn narrow(&mut self, now: Instant, passes: usize) {
        match self.fails.saturating_sub(passes) {
            0 | 1 => self.rest(now, passes),
            _ => self.phase = Phase::Between(passes),
        }
    }

    fn rest(&mut self, now: Instant, found: usize) {
        self.found = Some(found);
        self.phase = Phase::Confirm;
        self.raise = now.checked_add(RAISE);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)] // small numbers

    use super::*;
    use crate::proto::tests::start;

    /// A path, and the search on it.
    struct Trial {
        search: PathSearch,
        now: Instant,
        limit: usize,
        carries: usize,
        probes: usize,
    }

    impl Trial {
        fn new(ipv4: bool, limit: usize, carries: usize) -> Trial {
            Trial { search: PathSearch::new(ipv4), now: start(), limit, carries, probes: 0 }
        }

        fn probe(&mut self) {
            let size = self.search.size(self.now, self.limit);
            assert!(size <= self.limit, "{size} of {}", self.limit);
            self.probes += 1;
            match size <= self.carries {
                true => self.search.passed(self.now, size),
                false => self.search.lost(self.now, size),
            }
        }

        /// Goes on until there is nothing to do at once; what was found.
        fn settle(&mut self) -> Option<usize> {
            self.probe();
            while self.search.pause(self.now) == Pause::None {
                assert!(self.probes < 10_000, "{:?}", self.search);
                self.probe();
            }
            self.search.found()
        }
    }

    #[test]
    fn one_probe_tells_that_the_path_carries_what_may_leave() {
        let mut trial = Trial::new(true, 1500, 1500);
        assert_eq!((trial.settle(), trial.probes), (Some(1500), 1));
        assert_eq!(trial.search.state(), "search-complete");
    }

    #[test]
    fn every_length_is_found_exactly() {
        for (ipv4, limit, least) in [(true, 1500, 576), (false, 1500, 1280), (true, 9000, 576)] {
            for carries in least..=limit {
                let mut trial = Trial::new(ipv4, limit, carries);
                assert_eq!(trial.settle(), Some(carries), "of {limit}");
                assert!(trial.probes <= 50, "{} probes for {carries}", trial.probes);
            }
        }
    }

    #[test]
    fn where_nothing_comes_through_nothing_is_concluded_for_long() {
        for (ipv4, limit, carries) in [(true, 1500, 575), (false, 1500, 1279), (false, 1280, 1000)] {
            let mut trial = Trial::new(ipv4, limit, carries);
            assert_eq!((trial.settle(), trial.search.state()), (None, "error"));
            assert_eq!(trial.search.pause(trial.now), Pause::Long(RAISE));
            trial.now += RAISE;
            trial.carries = limit;
            assert_eq!(trial.settle(), Some(limit));
        }
    }

    #[test]
    fn a_single_probe_or_two_that_are_lost_change_nothing() {
        let mut trial = Trial::new(true, 1500, 1500);
        trial.settle();
        for lost in [1, 2] {
            trial.carries = 0;
            (0..lost).for_each(|_| trial.probe());
            assert_eq!(trial.search.pause(trial.now), Pause::None, "it is tried again at once");
            trial.carries = 1500;
            assert_eq!(trial.settle(), Some(1500));
        }
    }

    #[test]
    fn a_black_hole_is_left_at_once_and_what_is_carried_then_is_found() {
        let mut trial = Trial::new(true, 1500, 1500);
        trial.settle();
        trial.carries = 1400;
        (0..3).for_each(|_| trial.probe());
        assert_eq!(trial.search.found(), Some(1500), "shorter ones have to come through first");
        trial.probe();
        assert_eq!(trial.search.found(), Some(1200));
        assert_eq!(trial.settle(), Some(1400));
        trial.carries = 600;
        assert_eq!(trial.settle(), Some(600));
    }

    #[test]
    fn more_is_tried_rarely_and_costs_little_where_nothing_has_changed() {
        let mut trial = Trial::new(true, 1500, 1400);
        trial.settle();
        trial.carries = 1500;
        trial.now += RAISE - Duration::from_secs(1);
        assert_eq!(trial.settle(), Some(1400));
        trial.now += Duration::from_secs(1);
        trial.carries = 1400;
        trial.probes = 0;
        assert_eq!((trial.settle(), trial.probes), (Some(1400), 6), "twice three were lost");
        trial.now += RAISE;
        trial.carries = 1450;
        assert_eq!(trial.settle(), Some(1450));
        trial.now += RAISE;
        trial.carries = 1500;
        trial.probes = 0;
        assert_eq!((trial.settle(), trial.probes), (Some(1500), 1));
    }

    #[test]
    fn what_the_system_knows_bounds_everything() {
        let mut trial = Trial::new(true, 1500, 1500);
        trial.settle();
        trial.limit = 1300;
        assert_eq!(trial.settle(), Some(1300));
        // The system forgets; the probes do not.
        trial.limit = 1500;
        assert_eq!(trial.settle(), Some(1300));
        trial.now += RAISE;
        assert_eq!(trial.settle(), Some(1500));
        // In the midst of a search, whatever the phase.
        for steps in 0..40 {
            let mut trial = Trial::new(true, 1500, 1400);
            (0..steps).for_each(|_| trial.probe());
            trial.limit = 1100;
            trial.carries = 1100;
            assert_eq!(trial.settle(), Some(1100), "after {steps} probes");
        }
    }
}
