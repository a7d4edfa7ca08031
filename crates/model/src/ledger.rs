//! The count of everything ever accepted.

use crate::Settled;

/// How many wake-ups were accepted and where they are now. In every committed state of a store [`Ledger::fits`] holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ledger {
    /// Answered with 2xx.
    pub accepted: u64,
    /// Not settled yet: gathered, waiting, or in flight.
    pub waiting: u64,
    /// Joined another wake-up for the same device, message type and topic.
    pub collapsed: u64,
    /// Ended, by how they ended, in the order of [`Settled::ALL`].
    pub settled: [u64; Settled::ALL.len()],
}

impl Ledger {
    /// How many ended so.
    pub fn settled(&self, how: Settled) -> u64 {
        Settled::ALL
            .into_iter()
            .zip(self.settled)
            .find(|(each, _)| *each == how)
            .map_or(0, |pair| pair.1)
    }

    /// Counts `count` more that ended so.
    pub fn settle(&mut self, how: Settled, count: u64) {
        for (each, total) in Settled::ALL.into_iter().zip(&mut self.settled) {
            if each == how {
                *total += count;
            }
        }
    }

    /// How many ended in any way.
    pub fn settled_sum(&self) -> u64 {
        self.settled.iter().sum()
    }

    /// Whether every accepted wake-up is exactly one of waiting, collapsed or settled.
    pub fn fits(&self) -> bool {
        self.accepted == self.waiting + self.collapsed + self.settled_sum()
    }
}
