//! Maps, sets and lists in order out of many items. `collect` sorts them first, and a sort is four kilobytes of program for
//! each kind of item; one by one it takes a little longer and is there already.
//! A map is as much; those with the same keys whose values are boxed, or numbers, are one and the same program.
//!
//! [`Table`] counts what is looked at in maps that grow with the configuration.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Deref, DerefMut, RangeBounds};

use crate::saved::{Reader, Saved, Writer};

thread_local! {
    static LOOKS: Cell<u64> = const { Cell::new(0) };
}

/// How much this thread has looked at in tables so far: tests compare what something costs with few items and with many.
pub fn looks() -> u64 {
    LOOKS.get()
}

fn look() {
    LOOKS.set(LOOKS.get().wrapping_add(1));
}

/// A map or a set whose size follows that of the configuration. It counts what is looked at in it: each access is one,
/// however many items it has, and so is each item that somebody goes through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table<C>(C);

impl<C> Deref for Table<C> {
    type Target = C;

    fn deref(&self) -> &C {
        look();
        &self.0
    }
}

impl<C> DerefMut for Table<C> {
    fn deref_mut(&mut self) -> &mut C {
        look();
        &mut self.0
    }
}

impl<C> From<C> for Table<C> {
    fn from(all: C) -> Table<C> {
        Table(all)
    }
}

impl<C: Saved> Saved for Table<C> {
    fn save(&self, to: &mut Writer) {
        self.0.save(to);
    }

    fn restore(from: &mut Reader<'_>) -> Self {
        Table(C::restore(from))
    }
}

/// What goes through a map, and counts.
impl<K: Ord, V> Table<BTreeMap<K, V>> {
    /// All, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        (**self).iter().inspect(|_| look())
    }

    /// The keys, in order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> {
        (**self).keys().inspect(|_| look())
    }

    /// The values, in the order of their keys.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> {
        (**self).values().inspect(|_| look())
    }

    /// The values, to be changed.
    pub fn values_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut V> {
        (**self).values_mut().inspect(|_| look())
    }

    /// Some, in order.
    pub fn range(&self, range: impl RangeBounds<K>) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        (**self).range(range).inspect(|_| look())
    }
}

/// What goes through a set, and counts.
impl<T: Ord> Table<BTreeSet<T>> {
    /// All, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        (**self).iter().inspect(|_| look())
    }

    /// Some, in order.
    pub fn range(&self, range: impl RangeBounds<T>) -> impl DoubleEndedIterator<Item = &T> {
        (**self).range(range).inspect(|_| look())
    }
}

/// A map of these keys and values; of equal keys the last one counts.
pub fn map<K: Ord, V>(items: impl IntoIterator<Item = (K, V)>) -> BTreeMap<K, V> {
    let mut map = BTreeMap::new();
    map.extend(items);
    map
}

/// A set of these.
pub fn set<T: Ord>(items: impl IntoIterator<Item = T>) -> BTreeSet<T> {
    let mut set = BTreeSet::new();
    set.extend(items);
    set
}

/// The items in the order of their keys, those of equal keys in the order they had. It sorts pairs of key and place, of
/// whatever kind the items are.
pub fn sorted<T>(items: Vec<T>, key: impl Fn(&T) -> u64) -> Vec<T> {
    let mut places: Vec<(u64, usize)> = items.iter().enumerate().map(|(at, item)| (key(item), at)).collect();
    places.sort_unstable();
    let mut items: Vec<Option<T>> = items.into_iter().map(Some).collect();
    places.into_iter().filter_map(|(_, at)| items.get_mut(at)?.take()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_hold_what_collecting_gives() {
        let items = [(3_u64, 'c'), (1, 'a'), (3, 'd'), (2, 'b')];
        assert_eq!(map(items), items.into_iter().collect());
        assert_eq!(set(items), items.into_iter().collect());
        let by_number = sorted(items.to_vec(), |(number, _)| *number);
        assert_eq!(by_number, [(1, 'a'), (2, 'b'), (3, 'c'), (3, 'd')]);
    }
}
