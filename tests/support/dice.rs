//! Chance that can be repeated.

#![allow(dead_code)] // each test program takes what it needs
use l2tpd::proto::Random;

/// splitmix64: the same seed, the same numbers, on every machine.
#[derive(Debug, Clone)]
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `limit`, which is above 0.
    pub fn below<N: TryInto<u64> + TryFrom<u64>>(&mut self, limit: N) -> N {
        let Ok(limit) = limit.try_into() else { panic!("a limit below 0") };
        let Ok(number) = N::try_from(self.next() % limit) else { unreachable!("it is below the limit") };
        number
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// True in `percent` of 100 cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    pub fn octets(&mut self, count: usize) -> Vec<u8> {
        let mut octets = vec![0; count];
        self.fill(&mut octets).expect("it never fails");
        octets
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
        for chunk in octets.chunks_mut(8) {
            let value = self.next().to_be_bytes();
            chunk.copy_from_slice(&value[..chunk.len()]);
        }
        Ok(())
    }
}
