//! How devices are mixed, with credential sets as the numbers they have in tables.

use std::collections::BTreeSet;

use reveille_model::{CohortSizes, DryRun, Mixed};

use super::Shape;
use crate::Mix;

/// How devices are mixed.
#[derive(Debug, Clone)]
pub struct Mixing {
    /// How large cohorts are, where users are woken in cohorts.
    pub sizes: Option<CohortSizes>,
    /// The numbers of silent credential sets.
    pub silent: BTreeSet<i64>,
    /// What all company is like.
    pub company: Shape,
    /// Whether a user who is erased leaves a ghost.
    pub ghost_after_erasure: bool,
}

/// What a device's mixing depends on.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// The number of its credential set.
    pub set_id: i64,
    /// Or is until the next beat.
    pub is_sealed: bool,
}

impl Mixing {
    /// As it was said, with the numbers of its silent credential sets.
    pub fn new(mix: &Mix, silent: BTreeSet<i64>) -> Self {
        Self {
            sizes: mix.sizes,
            silent,
            company: Shape {
                message_type: mix.message_type.clone(),
                ttl_ms: mix.ttl.as_ms().cast_signed(),
                dry_run: DryRun::No,
            },
            ghost_after_erasure: mix.ghost_after_erasure,
        }
    }

    /// How a device is woken.
    pub fn of(&self, Kind { set_id, is_sealed }: Kind) -> Mixed {
        match self.sizes {
            _ if !self.silent.contains(&set_id) => Mixed::Batch,
            _ if is_sealed => Mixed::Sealed,
            Some(_) => Mixed::Cohort,
            None => Mixed::Batch,
        }
    }
}
