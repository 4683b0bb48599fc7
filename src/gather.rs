//! Maps, sets and sorting, small in the program: std's `BTreeMap` and sorts take five kilobytes of it for each kind of item,
//! and here are many kinds.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::ops::{Bound, RangeBounds};

/// So many items a run has at most.
const RUN: usize = 64;

/// A place in a map: which run, and where in it. Behind the last item of a run comes the first place of the next one.
type Place = (usize, usize);

/// An ordered map: short sorted runs, one behind the other, none of them empty. What is done with one item costs the search for
/// it and moving at most a run; with many items, seldom, moving as many words as there are runs.
#[derive(Clone, PartialEq, Eq)]
pub struct Map<K, V> {
    runs: Vec<Vec<(K, V)>>,
    length: usize,
}

impl<K, V> Default for Map<K, V> {
    fn default() -> Map<K, V> {
        Map::new()
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Map<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

impl<K, V> Map<K, V> {
    /// An empty one.
    pub const fn new() -> Map<K, V> {
        Map { runs: Vec::new(), length: 0 }
    }

    /// How many items it has.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Takes all items out.
    pub fn clear(&mut self) {
        *self = Map::new();
    }

    /// All items in order.
    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter { runs: &self.runs, at: (0, 0), end: (self.runs.len(), 0) }
    }

    /// The same, the values to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.runs.iter_mut().flatten().map(|(key, value)| (&*key, value))
    }

    /// All keys in order.
    pub fn keys(&self) -> impl Iterator<Item = &K> + Clone {
        self.iter().map(|(key, _)| key)
    }

    /// All values in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &V> + Clone {
        self.iter().map(|(_, value)| value)
    }

    /// The same, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.iter_mut().map(|(_, value)| value)
    }

    /// Keeps those for which the answer is yes.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        self.runs.iter_mut().for_each(|run| run.retain_mut(|(key, value)| keep(key, value)));
        self.runs.retain(|run| !run.is_empty());
        self.length = self.runs.iter().map(Vec::len).sum();
    }

    fn next(&self, (run, at): Place) -> Place {
        match self.runs.get(run) {
            Some(items) if at + 1 < items.len() => (run, at + 1),
            _ => (run + 1, 0),
        }
    }

    fn take(&mut self, (run, at): Place) -> (K, V) {
        let item = self.runs[run].remove(at);
        self.length -= 1;
        if self.runs[run].is_empty() {
            self.runs.remove(run);
        } else {
            self.join(run);
            run.checked_sub(1).into_iter().for_each(|before| self.join(before));
        }
        item
    }

    /// Makes one run of two that have become short.
    fn join(&mut self, run: usize) {
        let length = |run: usize| self.runs.get(run).map_or(RUN, Vec::len);
        if length(run) + length(run + 1) <= RUN / 2 {
            let mut next = self.runs.remove(run + 1);
            self.runs[run].append(&mut next);
        }
    }

    /// Takes the first item out.
    pub fn pop_first(&mut self) -> Option<(K, V)> {
        (!self.is_empty()).then(|| self.take((0, 0)))
    }
}

impl<K: Ord, V> Map<K, V> {
    /// Where the key is, or where it would be.
    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Result<Place, Place>
    where
        K: Borrow<Q>,
    {
        let before = |at: &(K, V)| at.0.borrow() < key;
        let run = first(self.runs.len(), &mut |run| !self.runs[run].last().is_some_and(before));
        let Some(items) = self.runs.get(run) else { return Err((run, 0)) };
        let at = first(items.len(), &mut |at| !before(&items[at]));
        match items.get(at).is_some_and(|(found, _)| found.borrow() == key) {
            true => Ok((run, at)),
            false => Err((run, at)),
        }
    }

    /// The value of a key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let (run, at) = self.find(key).ok()?;
        Some(&self.runs[run][at].1)
    }

    /// The same, to be changed.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let (run, at) = self.find(key).ok()?;
        Some(&mut self.runs[run][at].1)
    }

    /// Whether it has the key.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.find(key).is_ok()
    }

    /// Puts an item in; the value that its key had before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.find(&key) {
            Ok((run, at)) => Some(std::mem::replace(&mut self.runs[run][at].1, value)),
            Err(place) => {
                self.put(place, (key, value));
                None
            }
        }
    }

    /// Puts an item where its key is missing; its place.
    fn put(&mut self, (run, at): Place, item: (K, V)) -> Place {
        self.length += 1;
        let behind = run == self.runs.len();
        let full = |run: &Vec<(K, V)>| run.len() >= RUN;
        if behind && self.runs.last().is_none_or(full) {
            self.runs.push(vec![item]);
            return (run, 0);
        }
        let (mut run, mut at) = if behind { (run - 1, self.runs[run - 1].len()) } else { (run, at) };
        if full(&self.runs[run]) {
            let half = self.runs[run].split_off(RUN / 2);
            self.runs.insert(run + 1, half);
            if at > RUN / 2 {
                (run, at) = (run + 1, at - RUN / 2);
            }
        }
        self.runs[run].insert(at, item);
        (run, at)
    }

    /// Takes an item out; its value.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let place = self.find(key).ok()?;
        Some(self.take(place).1)
    }

    /// The value of a key, there already or made.
    pub fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        let (run, at) = match self.find(&key) {
            Ok(place) => place,
            Err(place) => self.put(place, (key, make())),
        };
        &mut self.runs[run][at].1
    }

    /// The items between two keys, in order.
    pub fn range(&self, keys: impl RangeBounds<K>) -> Iter<'_, K, V> {
        let before = |key: &K| self.find(key).unwrap_or_else(|place| place);
        let behind = |key: &K| self.find(key).map_or_else(|place| place, |place| self.next(place));
        let at = match keys.start_bound() {
            Bound::Included(key) => before(key),
            Bound::Excluded(key) => behind(key),
            Bound::Unbounded => (0, 0),
        };
        let end = match keys.end_bound() {
            Bound::Included(key) => behind(key),
            Bound::Excluded(key) => before(key),
            Bound::Unbounded => (self.runs.len(), 0),
        };
        Iter { runs: &self.runs, at, end: at.max(end) }
    }
}

/// Items of a map in order.
pub struct Iter<'a, K, V> {
    runs: &'a [Vec<(K, V)>],
    at: Place,
    end: Place,
}

impl<K, V> Clone for Iter<'_, K, V> {
    fn clone(&self) -> Self {
        Iter { ..*self }
    }
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        if self.at == self.end {
            return None;
        }
        let run = &self.runs[self.at.0];
        let (key, value) = &run[self.at.1];
        self.at.1 += 1;
        if self.at.1 == run.len() {
            self.at = (self.at.0 + 1, 0);
        }
        Some((key, value))
    }
}

impl<'a, K, V> IntoIterator for &'a Map<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Iter<'a, K, V> {
        self.iter()
    }
}

impl<K, V> IntoIterator for Map<K, V> {
    type Item = (K, V);
    type IntoIter = std::iter::Flatten<std::vec::IntoIter<Vec<(K, V)>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.runs.into_iter().flatten()
    }
}

impl<K: Ord, V> Extend<(K, V)> for Map<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, items: I) {
        items.into_iter().for_each(|(key, value)| _ = self.insert(key, value));
    }
}

/// Of equal keys the last one counts.
impl<K: Ord, V> FromIterator<(K, V)> for Map<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(items: I) -> Map<K, V> {
        let mut map = Map::new();
        map.extend(items);
        map
    }
}

/// An ordered set.
#[derive(Clone, PartialEq, Eq)]
pub struct Set<T>(Map<T, ()>);

impl<T> Default for Set<T> {
    fn default() -> Set<T> {
        Set::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for Set<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl<T> Set<T> {
    /// An empty one.
    pub const fn new() -> Set<T> {
        Set(Map::new())
    }

    /// How many items it has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes all items out.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// All items in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> + Clone {
        self.0.keys()
    }

    /// The first item.
    pub fn first(&self) -> Option<&T> {
        self.0.iter().next().map(|(item, ())| item)
    }

    /// Takes the first item out.
    pub fn pop_first(&mut self) -> Option<T> {
        self.0.pop_first().map(|(item, ())| item)
    }

    /// Keeps those for which the answer is yes.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.0.retain(|item, ()| keep(item));
    }
}

impl<T: Ord> Set<T> {
    /// Whether it has the item.
    pub fn contains<Q: Ord + ?Sized>(&self, item: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        self.0.contains_key(item)
    }

    /// Puts an item in; whether it was missing.
    pub fn insert(&mut self, item: T) -> bool {
        self.0.insert(item, ()).is_none()
    }

    /// Takes an item out; whether it was there.
    pub fn remove<Q: Ord + ?Sized>(&mut self, item: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        self.0.remove(item).is_some()
    }

    /// The items between two, in order.
    pub fn range(&self, items: impl RangeBounds<T>) -> impl Iterator<Item = &T> + Clone {
        self.0.range(items).map(|(item, ())| item)
    }
}

impl<T> IntoIterator for Set<T> {
    type Item = T;
    type IntoIter = std::iter::Map<<Map<T, ()> as IntoIterator>::IntoIter, fn((T, ())) -> T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter().map(|(item, ())| item)
    }
}

impl<'a, T> IntoIterator for &'a Set<T> {
    type Item = &'a T;
    type IntoIter = std::iter::Map<Iter<'a, T, ()>, fn((&'a T, &'a ())) -> &'a T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter().map(|(item, ())| item)
    }
}

impl<T: Ord> Extend<T> for Set<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        items.into_iter().for_each(|item| _ = self.insert(item));
    }
}

impl<T: Ord> FromIterator<T> for Set<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Set<T> {
        let mut set = Set::new();
        set.extend(items);
        set
    }
}

/// Sorts; what is equal keeps its order.
pub fn sort_by<T>(items: &mut [T], mut order: impl FnMut(&T, &T) -> Ordering) {
    let places = in_order(items.len(), &mut |one, other| order(&items[one], &items[other]));
    // Where each item goes.
    let mut to = vec![0; places.len()];
    places.iter().enumerate().for_each(|(new, old)| to[*old] = new);
    for at in 0..items.len() {
        while to[at] != at {
            let place = to[at];
            items.swap(at, place);
            to.swap(at, place);
        }
    }
}

/// The first of the numbers below `count` for which the answer is yes, as it is for all that follow; else `count`.
fn first(count: usize, is: &mut dyn FnMut(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = (low + high) / 2;
        match is(middle) {
            true => high = middle,
            false => low = middle + 1,
        }
    }
    low
}

/// The one sort in the program: the numbers below `count` in the order of the items that they stand for.
fn in_order(count: usize, order: &mut dyn FnMut(usize, usize) -> Ordering) -> Vec<usize> {
    let mut places: Vec<usize> = (0..count).collect();
    places.sort_by(|one, other| order(*one, *other));
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    /// Whatever is done with both, it holds what std's map holds.
    #[test]
    fn it_is_a_map() {
        let mut seed = 1_u64;
        let mut below = |limit: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % limit
        };
        for keys in [10, 300, 5000] {
            let (mut ours, mut theirs) = (Map::new(), BTreeMap::new());
            for step in 0..30_000 {
                let (key, grows) = (below(keys), step % 10_000 < 6000);
                match below(20) {
                    0 => assert_eq!(ours.get(&key), theirs.get(&key)),
                    1 => assert_eq!(ours.pop_first(), theirs.pop_first()),
                    2 => {
                        *ours.get_or_insert_with(key, || 5) += {
                            *theirs.entry(key).or_insert(5) += 1;
                            1
                        }
                    }
                    n if (n < 14) == grows => assert_eq!(ours.insert(key, step), theirs.insert(key, step)),
                    _ => assert_eq!(ours.remove(&key), theirs.remove(&key)),
                }
                assert_eq!(ours.len(), theirs.len());
                if step % 500 == 0 {
                    assert!(ours.iter().eq(&theirs));
                    assert!(ours.runs.iter().all(|run| !run.is_empty() && run.len() <= RUN));
                    let (from, to) = (below(keys), below(keys));
                    assert!(ours.range(from..).eq(theirs.range(from..)));
                    assert!(ours.range(..from).eq(theirs.range(..from)));
                    assert!(ours.range(..=from).eq(theirs.range(..=from)));
                    let behind = (Bound::Excluded(from), Bound::Unbounded);
                    assert!(ours.range(behind).eq(theirs.range(behind)));
                    let (from, to) = (from.min(to), from.max(to));
                    assert!(ours.range(from..=to).eq(theirs.range(from..=to)));
                    ours.retain(|key, _| key % 7 != 0);
                    theirs.retain(|key, _| key % 7 != 0);
                }
            }
            assert!(ours.into_iter().eq(theirs));
        }
    }

    /// Runs that have become short are joined, and those in order are full.
    #[test]
    fn runs_are_few() {
        let mut map: Map<u32, ()> = (0..64_000).map(|key| (key, ())).collect();
        assert_eq!(map.runs.len(), 1000);
        (0..64_000).filter(|key| key % 64 != 0).for_each(|key| _ = map.remove(&key));
        assert_eq!(map.len(), 1000);
        assert!(map.runs.len() < 100, "{}", map.runs.len());
    }

    #[test]
    fn it_is_a_set() {
        let items = [3, 1, 2, 3];
        let mut set: Set<u8> = items.into_iter().collect();
        assert!(set.iter().eq(&BTreeSet::from(items)) && set.contains(&2) && set.first() == Some(&1));
        assert!(!set.insert(3) && set.remove(&1) && !set.remove(&1) && set.pop_first() == Some(2));
        assert_eq!(format!("{set:?}"), "{3}");
    }

    #[test]
    fn equal_items_keep_their_order() {
        for count in 0..50_u32 {
            let mut items: Vec<(u32, u32)> = (0..count).map(|n| (n * 7919 % 11, n)).collect();
            let mut sorted = items.clone();
            sorted.sort_by_key(|(key, _)| *key);
            sort_by(&mut items, |one, other| one.0.cmp(&other.0));
            assert_eq!(items, sorted);
        }
    }
}
