//! Octets that do not stay in memory: passwords and cookies, and whatever holds them on the way from the file. Memory
//! that was given back is handed out again, and may be read by whoever finds a way to; so it is overwritten before.

use std::fmt;
use std::ops::Deref;

/// Octets that are overwritten when they are given up, also when they move because there is no room for more.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Wiped {
    octets: Vec<u8>,
}

impl Wiped {
    /// None yet, with room for `capacity` of them.
    pub fn with_capacity(capacity: usize) -> Wiped {
        Wiped { octets: Vec::with_capacity(capacity) }
    }

    /// Adds octets.
    pub fn extend(&mut self, more: &[u8]) {
        let wanted = self.octets.len().saturating_add(more.len());
        if wanted > self.octets.capacity() {
            // A vector that grows by itself leaves its octets behind where they were.
            let mut larger = Wiped::with_capacity(wanted.max(self.octets.capacity().saturating_mul(2)));
            larger.octets.extend_from_slice(&self.octets);
            *self = larger;
        }
        self.octets.extend_from_slice(more);
    }
}

impl From<&[u8]> for Wiped {
    fn from(octets: &[u8]) -> Wiped {
        Wiped { octets: octets.to_vec() }
    }
}

impl Deref for Wiped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.octets
    }
}

impl fmt::Debug for Wiped {
    /// The length alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wiped({} octets)", self.octets.len())
    }
}

impl Drop for Wiped {
    fn drop(&mut self) {
        wipe(&mut self.octets);
    }
}

/// Overwrites octets that are not needed any more.
pub fn wipe(octets: &mut [u8]) {
    octets.fill(0);
    // The compiler must take it that somebody looks at the zeros, or it would leave them out.
    std::hint::black_box(octets);
}

/// Overwrites what functions that have returned left on the stack: to be called after one that has dealt with
/// secrets, by its caller.
#[inline(never)]
pub fn wipe_stack() {
    // More than the parser and the digests need.
    let mut left = [0xff_u8; 32 * 1024];
    std::hint::black_box(&mut left);
    wipe(&mut left);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_are_kept_while_they_grow_and_not_shown() {
        let mut octets = Wiped::with_capacity(2);
        for part in [&b"ab"[..], b"", b"cdefg", b"h"] {
            octets.extend(part);
        }
        assert_eq!(&*octets, b"abcdefgh");
        assert_eq!(format!("{octets:?} {:?}", Wiped::from(&b"abc"[..])), "Wiped(8 octets) Wiped(3 octets)");
    }

    #[test]
    fn wiping_leaves_zeros() {
        let mut octets = *b"secret";
        wipe(&mut octets);
        assert_eq!(octets, [0; 6]);
    }
}
