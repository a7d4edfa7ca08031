//! How the counts of the ledger and of a trail change.

use reveille_model::{DryRun, Ledger, MessageType, Settled};

/// What all wake-ups of one gathered row have in common.
#[derive(Debug, Clone)]
pub struct Shape {
    /// What the app is told.
    pub message_type: MessageType,
    /// Counted from the end of the window, in milliseconds.
    pub ttl_ms: i64,
    /// Whether the provider only checks.
    pub dry_run: DryRun,
}

/// A change of counts. What waits may shrink, everything else only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Change {
    /// More that were accepted.
    pub accepted: i64,
    /// More, or fewer, that wait.
    pub waiting: i64,
    /// More that joined others.
    pub collapsed: i64,
    /// More that ended, in the order of [`Settled::ALL`].
    pub settled: [i64; Settled::ALL.len()],
}

impl Change {
    /// Newly accepted.
    pub fn accepted(count: i64) -> Self {
        Self { accepted: count, waiting: count, ..Self::default() }
    }

    /// No longer waiting because they joined others.
    pub fn collapsed(count: i64) -> Self {
        Self { waiting: -count, collapsed: count, ..Self::default() }
    }

    /// No longer waiting because they ended.
    pub fn settled(how: Settled, count: i64) -> Self {
        let mut change = Self { waiting: -count, ..Self::default() };
        for (each, total) in Settled::ALL.into_iter().zip(&mut change.settled) {
            if each == how {
                *total = count;
            }
        }
        change
    }

    /// Both changes.
    #[must_use]
    pub fn and(mut self, more: Self) -> Self {
        self.accepted += more.accepted;
        self.waiting += more.waiting;
        self.collapsed += more.collapsed;
        for (total, count) in self.settled.iter_mut().zip(more.settled) {
            *total += count;
        }
        self
    }

    /// The ten counts, as tables have them: accepted, waiting, collapsed, and how they ended in the order of [`Settled::ALL`].
    pub fn counts(&self) -> [i64; 3 + Settled::ALL.len()] {
        let mut counts = [0; 3 + Settled::ALL.len()];
        let [accepted, waiting, collapsed, settled @ ..] = &mut counts;
        (*accepted, *waiting, *collapsed) = (self.accepted, self.waiting, self.collapsed);
        *settled = self.settled;
        counts
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Carries it out.
    pub fn apply(self, ledger: &mut Ledger) {
        ledger.accepted = ledger.accepted.saturating_add_signed(self.accepted);
        ledger.waiting = ledger.waiting.saturating_add_signed(self.waiting);
        ledger.collapsed = ledger.collapsed.saturating_add_signed(self.collapsed);
        for (total, count) in ledger.settled.iter_mut().zip(self.settled) {
            *total = total.saturating_add_signed(count);
        }
    }
}
