//! The schema of the session store and its changes. A change is only ever added.

/// The statements that lead from version `n` to `n + 1`, in order.
pub(super) const STEPS: [&str; 1] = [include_str!("0001_start.sql")];
