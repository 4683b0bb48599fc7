//! A table whose entries keep their places.

use std::hash::{BuildHasherDefault, DefaultHasher};

/// The library's own hash is seeded by the system's random source, and aborts the program where that is missing. The
/// keys are names of the configuration and ids that we chose at random: nobody else can choose them to be alike.
pub(super) type FixedHash = BuildHasherDefault<DefaultHasher>;

/// Entries, each at a place: a number that is its own until it is removed.
pub(super) struct Slab<T> {
    places: Vec<Option<T>>,
    /// The places without an entry.
    free: Vec<usize>,
}

impl<T> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab { places: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Adds an entry; its place.
    pub(super) fn insert(&mut self, entry: T) -> usize {
        let at = self.free.pop().unwrap_or(self.places.len());
        match self.places.get_mut(at) {
            Some(place) => *place = Some(entry),
            None => self.places.push(Some(entry)),
        }
        at
    }

    /// Takes an entry out.
    pub(super) fn remove(&mut self, at: usize) -> Option<T> {
        let entry = self.places.get_mut(at)?.take()?;
        self.free.push(at);
        Some(entry)
    }

    pub(super) fn get(&self, at: usize) -> Option<&T> {
        self.places.get(at)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        self.places.get_mut(at)?.as_mut()
    }

    /// All entries with their places.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.places.iter().enumerate().filter_map(|(at, entry)| Some((at, entry.as_ref()?)))
    }

    /// All entries.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.places.iter_mut().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_used_again_and_no_other_entry_moves() {
        let mut slab = Slab::default();
        let places = ["a", "b", "c"].map(|entry| slab.insert(entry));
        assert_eq!(places, [0, 1, 2]);
        assert_eq!((slab.remove(1), slab.remove(1), slab.remove(9)), (Some("b"), None, None));
        assert_eq!((slab.get(0), slab.get(1), slab.get(2)), (Some(&"a"), None, Some(&"c")));
        assert_eq!(slab.insert("d"), 1);
        slab.values_mut().for_each(|entry| *entry = "e");
        assert_eq!(slab.iter().collect::<Vec<_>>(), [(0, &"e"), (1, &"e"), (2, &"e")]);
        assert_eq!(slab.get_mut(3), None);
    }
}
