//! The Internet checksum (RFC 1071). Sums are 16-bit one's complement numbers in host order, as they stand in
//! the packet: sums of several pieces are added up with [`add`] when all but the last have an even length.

/// The one's complement sum of `octets`, folded to 16 bits and not inverted; a last odd octet counts as the upper
/// half of a word.
///
/// The sum does not depend on the order of octets in a word as long as it is the same everywhere (RFC 1071 2 (B)),
/// nor on the width of the words (2 (C)): eight octets are read at a time as the processor likes them, and 2^64 such
/// words fit. Of the program's loops this one takes most of the time, so four words are written out: it is as fast
/// where the compiler unrolls none.
pub fn sum(octets: &[u8]) -> u16 {
    let mut total = 0u128;
    let mut blocks = octets.chunks_exact(32);
    for block in &mut blocks {
        total = total.wrapping_add(word(block, 0)).wrapping_add(word(block, 8));
        total = total.wrapping_add(word(block, 16)).wrapping_add(word(block, 24));
    }
    let mut words = blocks.remainder().chunks_exact(8);
    for octets in &mut words {
        total = total.wrapping_add(word(octets, 0));
    }
    let mut last = [0; 8];
    for (to, from) in last.iter_mut().zip(words.remainder()) {
        *to = *from;
    }
    total = total.wrapping_add(word(&last, 0));
    let (upper, lower) = ((total >> 64) as u64, total as u64);
    u16::from_be(fold((lower & 0xffff_ffff) + (lower >> 32) + upper))
}

/// Eight octets from `start`.
fn word(octets: &[u8], start: usize) -> u128 {
    let octets = octets.get(start..).and_then(|octets| octets.first_chunk());
    octets.map_or(0, |octets| u128::from(u64::from_ne_bytes(*octets)))
}

/// Adds the carries to the sum until none is left.
fn fold(mut total: u64) -> u16 {
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    total as u16
}

/// The one's complement sum of two sums.
pub fn add(a: u16, b: u16) -> u16 {
    fold(u64::from(a) + u64::from(b))
}

/// What a checksum becomes when a 16-bit word that it covers changes (RFC 1624, eqn. 3).
pub fn update(checksum: u16, old: u16, new: u16) -> u16 {
    !add(add(!checksum, !old), new)
}

#[cfg(test)]
pub(super) mod naive {
    /// Word by word, as the RFC writes it.
    pub fn sum(octets: &[u8]) -> u16 {
        let mut total = 0u32;
        for pair in octets.chunks(2) {
            total += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            total = (total & 0xffff) + (total >> 16);
        }
        total as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_definition_at_every_length_and_offset() {
        let mut octets = Vec::new();
        let mut state = 1u32;
        for _ in 0..400 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            octets.push((state >> 24) as u8);
        }
        for start in 0..8 {
            for end in start..octets.len() {
                assert_eq!(sum(&octets[start..end]), naive::sum(&octets[start..end]), "{start}..{end}");
            }
        }
        // RFC 1071 3
        assert_eq!(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), 0xddf2);
        assert_eq!(sum(&[0xff; 70_000]), 0xffff);
        assert_eq!(sum(&[]), 0);
    }

    #[test]
    fn an_update_is_the_same_as_a_new_sum() {
        let mut octets = [0x45, 0, 0, 84, 0x12, 0x34, 0x40, 0, 64, 1, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        let before = !sum(&octets);
        octets[2..4].copy_from_slice(&1500u16.to_be_bytes());
        assert_eq!(update(before, 84, 1500), !sum(&octets));
        assert_eq!(add(sum(&octets[..6]), sum(&octets[6..])), sum(&octets));
    }
}
