//! Chance, and runs that can be repeated.

use std::panic::AssertUnwindSafe;

use l2tpd::proto::Random;

/// splitmix64: the same seed, the same numbers.
#[derive(Clone)]
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `limit`, which is not 0.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    pub fn octets(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }

    /// A 16-bit number, often one at an edge.
    pub fn number(&mut self) -> u16 {
        match self.below(4) {
            0 => self.next() as u16,
            1 => *self.pick(&[0, 1, 0x7fff, 0x8000, 0xffff]),
            _ => self.below(90) as u16,
        }
    }

    /// Damages octets that have no structure: bits, octets, cuts, repetitions.
    pub fn damage(&mut self, octets: &mut Vec<u8>) {
        for _ in 0..=self.below(3) {
            let at = self.below(octets.len().max(1));
            match self.below(6) {
                0 if at < octets.len() => octets[at] ^= 1 << self.below(8),
                1 if at < octets.len() => octets[at] = *self.pick(&[0, 1, 0x7f, 0x80, 0xff]),
                2 => octets.truncate(at),
                3 => {
                    let count = self.below(9);
                    let new = self.octets(count);
                    octets.splice(at.min(octets.len())..at.min(octets.len()), new);
                }
                4 if at < octets.len() => drop(octets.remove(at)),
                _ => {
                    let end = at + self.below(octets.len() - at.min(octets.len()) + 1).min(40);
                    let piece = octets.get(at..end).unwrap_or_default().to_vec();
                    octets.extend(piece);
                }
            }
        }
    }
}

impl Random for Dice {
    fn fill(&mut self, octets: &mut [u8]) -> Result<(), String> {
        octets.fill_with(|| self.next() as u8);
        Ok(())
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

/// Runs `round` with one seed after the other, until they have had `inputs` inputs; each returns how many it had.
pub fn rounds(inputs: usize, first: u64, round: impl Fn(&mut Dice) -> usize) {
    let inputs = setting("FUZZ_INPUTS").map_or(inputs, |number| number as usize);
    let mut seed = setting("FUZZ_SEED").unwrap_or(first.wrapping_add(setting("FUZZ_BASE").unwrap_or(0)));
    let mut done = 0;
    while done < inputs {
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| round(&mut Dice(seed))));
        match outcome {
            Ok(count) => done += count.max(1),
            Err(panic) => {
                eprintln!("failed with FUZZ_SEED={seed}");
                std::panic::resume_unwind(panic);
            }
        }
        seed += 1;
    }
    println!("{done} inputs");
}
