//! Users who are always woken together.

use crate::{CohortId, Timestamp};

/// How large cohorts are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CohortSizes {
    /// A cohort begins with at least so many users.
    pub form: usize,
    /// With so few live ones left it is retired. At least two, at most `form`.
    pub floor: usize,
}

impl CohortSizes {
    /// Formed at 16, retired at 8.
    pub const DEFAULT: Self = Self { form: 16, floor: 8 };

    /// Whether a cohort goes that began with `formed` users, of whom `live` still have devices: it has lost somebody, and has come to its
    /// floor.
    pub fn is_spent(self, formed: usize, live: usize) -> bool {
        live < self.floor || (live < formed && live == self.floor)
    }
}

/// How a device is woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mixed {
    /// For its user alone, in its window's batch.
    Batch,
    /// With its user's cohort, whoever of it is meant.
    Cohort,
    /// On the beat, whatever happens.
    Sealed,
}

impl Mixed {
    /// Its word in the API and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Cohort => "cohort",
            Self::Sealed => "sealed",
        }
    }
}

/// A cohort as one sees it who decides which of them leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cohort {
    /// Its id.
    pub id: CohortId,
    /// What kind of cohorts it is among: whoever sees it sees others of that kind.
    pub stratum: i64,
    /// How many users live in it. Whoever sees it sees so many devices at least: each of them has one of each kind.
    pub users: usize,
    /// When it will have paid for the wake-ups it had, if it has not.
    pub paid_at: Option<Timestamp>,
}

/// A cohort for which something was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marked {
    /// The cohort.
    pub cohort: Cohort,
    /// Whether it is the provisional one of users who wait.
    pub is_provisional: bool,
    /// Whether it was decided before that it leaves.
    pub is_leaving: bool,
    /// The end of the first window in which something was accepted for it since it left last.
    pub since: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::CohortSizes;

    const SIZES: CohortSizes = CohortSizes::DEFAULT;

    #[test]
    fn a_cohort_is_spent_at_its_floor_and_not_before() {
        assert!(!SIZES.is_spent(16, 16));
        assert!(!SIZES.is_spent(16, 9));
        assert!(SIZES.is_spent(16, 8));
        assert!(SIZES.is_spent(16, 7));
        let tight = CohortSizes { form: 8, floor: 8 };
        assert!(!tight.is_spent(8, 8));
        assert!(tight.is_spent(8, 7));
        // What was formed before the settings grew: nobody has left, and it is too small all the same.
        assert!(CohortSizes { form: 64, floor: 32 }.is_spent(16, 16));
    }
}
