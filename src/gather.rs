//! Maps, sets and lists in order out of many items. `collect` sorts them first, and a sort is four kilobytes of program for
//! each kind of item; one by one it takes a little longer and is there already.
//! A map is as much; those with the same keys whose values are boxed, or numbers, are one and the same program.

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
