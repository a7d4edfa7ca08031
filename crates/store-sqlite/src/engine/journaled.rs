//! A map in memory that goes back with the transaction it belongs to.

use std::collections::BTreeMap;

/// Remembers what each change since the last commit replaced.
#[derive(Debug)]
pub(crate) struct Journaled<K, V> {
    map: BTreeMap<K, V>,
    replaced: Vec<(K, Option<V>)>,
}

impl<K: Ord + Copy, V: Copy> Journaled<K, V> {
    /// A map with nothing to take back.
    pub(crate) fn new(map: BTreeMap<K, V>) -> Self {
        Self { map, replaced: Vec::new() }
    }

    pub(crate) fn get(&self, key: K) -> Option<V> {
        self.map.get(&key).copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, V)> {
        self.map.iter().map(|(key, value)| (*key, *value))
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        let before = self.map.insert(key, value);
        self.replaced.push((key, before));
    }

    pub(crate) fn remove(&mut self, key: K) {
        if let Some(before) = self.map.remove(&key) {
            self.replaced.push((key, Some(before)));
        }
    }

    /// Where a command begins.
    pub(super) fn mark(&self) -> usize {
        self.replaced.len()
    }

    /// Takes back everything since a mark.
    pub(super) fn undo_to(&mut self, mark: usize) {
        while self.replaced.len() > mark {
            match self.replaced.pop() {
                Some((key, Some(before))) => drop(self.map.insert(key, before)),
                Some((key, None)) => drop(self.map.remove(&key)),
                None => {}
            }
        }
    }

    /// The transaction is on disk.
    pub(super) fn commit(&mut self) {
        self.replaced.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::Journaled;

    #[test]
    fn changes_go_back_to_their_mark_and_no_further_than_a_commit() {
        let mut map = Journaled::new(BTreeMap::from([(1, 'a')]));
        map.insert(2, 'b');
        map.commit();
        map.insert(1, 'c');
        let mark = map.mark();
        map.remove(1);
        map.remove(2);
        map.remove(9);
        map.insert(1, 'd');
        map.insert(3, 'e');
        map.undo_to(mark);
        assert_eq!(map.iter().collect::<Vec<_>>(), [(1, 'c'), (2, 'b')]);
        map.undo_to(0);
        assert_eq!(map.iter().collect::<Vec<_>>(), [(1, 'a'), (2, 'b')]);
        assert_eq!(map.get(3), None);
    }
}
