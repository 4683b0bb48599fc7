//! Maps and sets out of many items. `collect` sorts them first, and a sort is five kilobytes of program for each kind of
//! item; one by one it takes a little longer and is there already.

use std::collections::{BTreeMap, BTreeSet};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_hold_what_collecting_gives() {
        let items = [(3, 'c'), (1, 'a'), (3, 'd'), (2, 'b')];
        assert_eq!(map(items), items.into_iter().collect());
        assert_eq!(set(items), items.into_iter().collect());
    }
}
