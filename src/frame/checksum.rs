//! The Internet checksum (RFC 1071). Sums are 16-bit one's complement numbers in host order, as they stand in
//! the packet: sums of several pieces are added up with [`add`] when all but the last have an even length.

/// The one's complement sum of `octets`, folded to 16 bits and not inverted; a last odd octet counts as the upper
/// half of a word.
///
/// The sum does not depend on the order of octets in a word as long as it is the same everywhere (RFC 1071 2 (B)),
/// so eight octets are read at a time as the processor likes them, and carries gather in the upper half of `total`. It is written
/// so that the compiler finds an addition for each eight octets even where it makes the program small.
pub fn sum(octets: &[u8]) -> u16 {
    let mut total = 0_u128;
    let mut left = octets;
    while let Some((block, rest)) = left.split_first_chunk::<32>() {
        let words = [word(block, 0), word(block, 8), word(block, 16), word(block, 24)];
        total = total.wrapping_add(words[0]).wrapping_add(words[1]);
        total = total.wrapping_add(words[2]).wrapping_add(words[3]);
        left = rest;
    }
    while let Some((word, rest)) = left.split_first_chunk::<8>() {
        total = total.wrapping_add(u64::from_ne_bytes(*word).into());
        left = rest;
    }
    let mut last = [0; 8];
    last.iter_mut().zip(left).for_each(|(to, from)| *to = *from);
    total = total.wrapping_add(u64::from_ne_bytes(last).into());
    let (low, carries) = (total as u64, (total >> 64) as u64);
    u16::from_be(fold((low >> 32).wrapping_add(low & 0xffff_ffff).wrapping_add(carries)))
}

/// Eight octets of a block, from a constant place: the compiler sees that they are in it.
#[inline(always)]
#[allow(clippy::indexing_slicing)]
fn word(block: &[u8; 32], at: usize) -> u128 {
    let [a, b, c, d] = [block[at], block[at + 1], block[at + 2], block[at + 3]];
    let [e, f, g, h] = [block[at + 4], block[at + 5], block[at + 6], block[at + 7]];
    u64::from_ne_bytes([a, b, c, d, e, f, g, h]).into()
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
