//! A map that forgets its oldest entries, so that it never grows beyond a bound.

use std::collections::{BTreeMap, VecDeque};

/// Values by name; the oldest go first.
#[derive(Debug)]
pub(crate) struct Bounded<V> {
    values: BTreeMap<String, V>,
    order: VecDeque<String>,
    max: usize,
}

impl<V> Bounded<V> {
    pub(crate) fn new(max: usize) -> Self {
        Self { values: BTreeMap::new(), order: VecDeque::new(), max }
    }

    /// Adds a value, or replaces the one of this name, which grows no younger by that.
    pub(crate) fn insert(&mut self, name: &str, value: V) {
        if self.values.insert(name.to_owned(), value).is_none() {
            self.order.push_back(name.to_owned());
        }
        while self.order.len() > self.max {
            if let Some(oldest) = self.order.pop_front() {
                self.values.remove(&oldest);
            }
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&V> {
        self.values.get(name)
    }
}

#[cfg(test)]
mod tests {
    use super::Bounded;

    #[test]
    fn the_oldest_are_forgotten() {
        let mut bounded = Bounded::new(2);
        for (name, value) in [("a", 1), ("b", 2), ("b", 3), ("c", 4)] {
            bounded.insert(name, value);
        }
        let found = ["a", "b", "c"].map(|name| bounded.get(name).copied());
        assert_eq!(found, [None, Some(3), Some(4)]);
    }
}
