//! Frames that travel in several data messages, numbered one after the other (RFC 4623): put together again.
//!
//! What is kept is one frame that is not complete yet, of bounded length. Fragments come in their order: what is late has
//! been dropped by its number before, as with whole frames. Whatever is missing costs its frame.

use std::ops::Range;
use std::time::{Duration, Instant};

use crate::saved::saved;
use crate::wire::data::{next_sequence, Part};

/// How long a frame waits for its next fragment (RFC 4623 1: a timer is needed).
pub const PATIENCE: Duration = Duration::from_secs(1);

/// What became of a fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It waits for the next one.
    Waits,
    /// The frame is complete: [`Reassembly::take`] gives it.
    Complete,
    /// It is of no use: what comes before it is missing, or it makes its frame too long.
    Useless,
}

/// The frame that is not complete yet.
#[derive(Debug, Clone)]
struct Unfinished {
    /// The number of the next fragment.
    next: u32,
    /// How many there are.
    fragments: u64,
    /// When the newest came.
    since: Instant,
}
saved!(Unfinished { next, fragments, since });

/// Puts fragments of one session together.
#[derive(Debug, Clone, Default)]
pub struct Reassembly {
    octets: Vec<u8>,
    unfinished: Option<Unfinished>,
}
saved!(Reassembly { octets, unfinished });

impl Reassembly {
    /// A fragment came, with its number. A frame has at most `longest` octets. Also how many fragments that had waited are
    /// of no use any more.
    pub fn push(
        &mut self,
        now: Instant,
        (part, sequence): (Part, u32),
        fragment: &[u8],
        longest: usize,
    ) -> (Outcome, u64) {
        let continues = self.unfinished.as_ref().is_some_and(|unfinished| {
            unfinished.next == sequence && now.saturating_duration_since(unfinished.since) < PATIENCE
        });
        let lost = match (part, continues) {
            (Part::Whole | Part::First, _) | (_, false) => self.drop_unfinished(),
            (Part::Middle | Part::Last, true) => 0,
        };
        if part == Part::Whole || (part != Part::First && !continues) {
            return (Outcome::Useless, lost);
        }
        if self.octets.len() + fragment.len() > longest {
            return (Outcome::Useless, lost + self.drop_unfinished());
        }
        self.octets.extend_from_slice(fragment);
        let fragments = self.unfinished.as_ref().map_or(0, |unfinished| unfinished.fragments) + 1;
        self.unfinished = Some(Unfinished { next: next_sequence(sequence), fragments, since: now });
        match part {
            Part::Last => {
                self.unfinished = None;
                (Outcome::Complete, lost)
            }
            Part::First | Part::Middle | Part::Whole => (Outcome::Waits, lost),
        }
    }

    /// The frame that is complete. Its octets are to be given back by [`restore`](Reassembly::restore).
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.octets)
    }

    /// The octets of the frame are not needed any more: the next one is written over them.
    pub fn restore(&mut self, mut octets: Vec<u8>) {
        octets.clear();
        self.octets = octets;
    }

    /// Gives up a frame that is not complete, and the memory; how many of its fragments had come.
    pub fn clear(&mut self) -> u64 {
        let lost = self.drop_unfinished();
        self.octets = Vec::new();
        lost
    }

    /// Since when a fragment waits for the next one.
    pub fn waits_since(&self) -> Option<Instant> {
        self.unfinished.as_ref().map(|unfinished| unfinished.since)
    }

    fn drop_unfinished(&mut self) -> u64 {
        self.octets.clear();
        self.unfinished.take().map_or(0, |unfinished| unfinished.fragments)
    }
}

/// Which part of a frame the `at`-th of `count` fragments is.
pub fn part(at: usize, count: usize) -> Part {
    match (at, count) {
        (_, 0 | 1) => Part::Whole,
        (0, _) => Part::First,
        _ if at + 1 == count => Part::Last,
        _ => Part::Middle,
    }
}

/// What of these pieces of a frame lies within a part of it.
pub fn slice(frame: &[Range<usize>], part: Range<usize>) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut before = 0;
    frame.iter().filter_map(move |piece| {
        let (from, to) = (part.start.saturating_sub(before), part.end.saturating_sub(before));
        before += piece.len();
        let within = piece.start + from.min(piece.len())..piece.start + to.min(piece.len());
        (!within.is_empty()).then_some(within)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use Part::{First, Last, Middle, Whole};

    const LONGEST: usize = 100;

    /// Fragments of ten octets each, by number; the frames that came of them, and how many fragments were of no use.
    fn run(fragments: &[(Part, u32)]) -> (Vec<Vec<u8>>, u64) {
        let (mut reassembly, now) = (Reassembly::default(), crate::sys::clock::now());
        let (mut frames, mut useless) = (Vec::new(), 0);
        for (part, sequence) in fragments {
            let (outcome, lost) = reassembly.push(now, (*part, *sequence), &[*sequence as u8; 10], LONGEST);
            useless += lost;
            match outcome {
                Outcome::Waits => {}
                Outcome::Complete => {
                    let frame = reassembly.take();
                    frames.push(frame.clone());
                    reassembly.restore(frame);
                }
                Outcome::Useless => useless += 1,
            }
        }
        (frames, useless + reassembly.clear())
    }

    fn frame(numbers: &[u8]) -> Vec<u8> {
        numbers.iter().flat_map(|number| [*number; 10]).collect()
    }

    #[test]
    fn fragments_in_their_order_are_a_frame() {
        assert_eq!(run(&[(First, 7), (Last, 8)]), (vec![frame(&[7, 8])], 0));
        assert_eq!(
            run(&[(First, 1), (Middle, 2), (Middle, 3), (Last, 4), (First, 5), (Last, 6)]),
            (vec![frame(&[1, 2, 3, 4]), frame(&[5, 6])], 0)
        );
        assert_eq!(run(&[(First, 0x00ff_ffff), (Last, 0)]), (vec![frame(&[255, 0])], 0), "numbers wrap");
    }

    #[test]
    fn what_is_missing_costs_its_frame_alone() {
        let next = [(First, 9), (Last, 10)];
        for (fragments, useless) in [
            (&[(Middle, 6), (Last, 7)][..], 2),          // the first is lost
            (&[(First, 5), (Last, 7)], 2),               // the middle
            (&[(First, 5), (Middle, 6)], 2),             // the last
            (&[(First, 5), (First, 6), (Last, 8)], 3),   // the last, and the middle of the next
            (&[(First, 5), (First, 5), (Middle, 7)], 3), // repeated
            (&[(First, 5), (Last, 5), (Last, 6)], 3),    // a number twice
            (&[(Middle, 6), (First, 5), (Last, 7)], 3),  // in another order
            (&[(Last, 7), (Middle, 6), (First, 5)], 3),
            (&[(First, 5), (Whole, 6), (Last, 7)], 3),
            (&[(Last, 1), (Last, 2), (Last, 3)], 3), // B without E
            (&[(First, 1), (First, 2), (First, 3)], 3),
        ] {
            let all: Vec<(Part, u32)> = fragments.iter().chain(&next).copied().collect();
            assert_eq!(run(&all), (vec![frame(&[9, 10])], useless), "{fragments:?}");
        }
    }

    #[test]
    fn a_frame_is_not_longer_than_it_may_be() {
        let long: Vec<(Part, u32)> =
            [(First, 0)].into_iter().chain((1..2000).map(|n| (Middle, n))).chain([(Last, 2000)]).collect();
        assert_eq!(run(&long), (vec![], 2001));
        let most: Vec<(Part, u32)> =
            [(First, 0)].into_iter().chain((1..9).map(|n| (Middle, n))).chain([(Last, 9)]).collect();
        assert_eq!(run(&most).0[0].len(), LONGEST);
    }

    #[test]
    fn a_frame_waits_for_so_long_only() {
        let (mut reassembly, now) = (Reassembly::default(), crate::sys::clock::now());
        assert_eq!(reassembly.push(now, (First, 1), &[1], LONGEST), (Outcome::Waits, 0));
        assert_eq!(reassembly.push(now + PATIENCE, (Last, 2), &[2], LONGEST), (Outcome::Useless, 1));
        assert_eq!(reassembly.waits_since(), None);
        assert_eq!(reassembly.push(now, (First, 3), &[1], LONGEST), (Outcome::Waits, 0));
        assert_eq!(reassembly.waits_since(), Some(now));
        assert_eq!((reassembly.clear(), reassembly.waits_since()), (1, None));
    }

    #[test]
    fn each_fragment_knows_which_part_it_is() {
        let parts = |count| (0..count).map(|at| part(at, count)).collect::<Vec<_>>();
        assert_eq!(parts(1), [Whole]);
        assert_eq!(parts(2), [First, Last]);
        assert_eq!(parts(4), [First, Middle, Middle, Last]);
    }

    #[test]
    fn the_parts_of_a_frame_in_pieces_are_all_of_it() {
        let frame = [100..154, 7..1467];
        for limit in [1, 10, 54, 55, 700, 1513, 1514, 2000] {
            let all: Vec<usize> = (0..1514_usize.div_ceil(limit))
                .flat_map(|at| slice(&frame, at * limit..(at + 1) * limit).flatten().collect::<Vec<_>>())
                .collect();
            assert!(all.iter().copied().eq(frame.iter().cloned().flatten()), "{limit}");
        }
        assert_eq!(slice(&frame, 50..60).collect::<Vec<_>>(), [150..154, 7..13]);
        assert_eq!(slice(&frame, 60..70).next(), Some(13..23));
    }
}
