//! What whoever watches could tell, as numbers for operators: aggregates only, and no history. What is counted by cohort is counted in memory,
//! for one day, without a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{counter, gauge, histogram};
use reveille_mixer::{Stays, effective_set, events_to_link, order_rho, worst_case_top1};
use reveille_model::{CohortId, Mixed, Timestamp};
use reveille_store::Census;

use super::muster::Mustered;
use super::windows::Batch;
use crate::board::Board;
use crate::config::MixMode;
use crate::metrics::{
    BATCH_COHORTS, BATCH_DEVICES, BATCH_EAS, CAPPED_COHORTS, COHORT_LIVE_SIZE,
    COHORT_LIVE_SIZE_MIN, COHORTS_BELOW_FLOOR, DEVICES, EVENTS_TO_LINK, GHOSTS, HELD, MIX_MODE,
    NURSERY_EXPOSED, ORDER_RHO, PADDING_PUSHES, PARTIAL_COHORT_SENDS, PUSH_OVERHEAD,
    WAKEUPS_PER_DEVICE_DAY, WORST_CASE_TOP1, float,
};

/// Sizes by which cohorts are counted: the label, and the smallest it stands for.
const SIZES: [(&str, u64); 7] =
    [("1", 1), ("2-3", 2), ("4-7", 4), ("8-15", 8), ("16-31", 16), ("32-63", 32), ("64-", 64)];
/// How much the window that ended last counts in the mean of wake-ups a window.
const WEIGHT: f64 = 1.0 / 64.0;

/// What is measured of one server's windows.
pub(crate) struct Privacy {
    mode: MixMode,
    floor: usize,
    /// Wake-ups and marks accepted since the start.
    accepted: Arc<AtomicU64>,
    /// Wake-ups made since then.
    made: u64,
    /// The UTC day of the last window.
    day: Option<i64>,
    /// How often each cohort left in it, and how many devices it has. No more than there are cohorts.
    left: BTreeMap<CohortId, (u32, usize)>,
    /// The mean of wake-ups a window, once there was one.
    woken: Option<f64>,
    board: Arc<Board>,
}

impl Privacy {
    /// Nothing measured yet. `accepted` counts what intake has accepted.
    pub(crate) fn new(
        mode: MixMode,
        floor: usize,
        (accepted, board): (Arc<AtomicU64>, Arc<Board>),
    ) -> Self {
        gauge!(MIX_MODE, "mode" => mode.as_str()).set(1.0);
        // Those of which none is good news have to be seen at zero.
        for name in [PARTIAL_COHORT_SENDS, NURSERY_EXPOSED, PADDING_PUSHES] {
            counter!(name).increment(0);
        }
        let (day, left) = (None, BTreeMap::new());
        Self { mode, floor, accepted, made: 0, day, left, woken: None, board }
    }

    /// It is decided which cohorts leave.
    pub(super) fn mustered(&mut self, until: Timestamp, mustered: &Mustered) {
        counter!(PADDING_PUSHES).increment(mustered.padding_users as u64);
        counter!(NURSERY_EXPOSED).increment(mustered.exposed_users as u64);
        gauge!(CAPPED_COHORTS).set(float(mustered.capped as u64));
        for (why, held) in &mustered.held {
            let why = match why {
                Stays::Capped => "capped",
                Stays::Nursery => "nursery",
            };
            histogram!(HELD, "why" => why).record(held.to_std().as_secs_f64());
        }
        if self.day.replace(until.day()) != Some(until.day()) {
            self.end_day();
        }
        for (id, devices) in &mustered.left {
            let (count, known) = self.left.entry(*id).or_default();
            *count += 1;
            *known = *devices;
        }
        let mut seen = self.board.privacy();
        seen.padding += mustered.padding_users as u64;
        seen.exposed += mustered.exposed_users as u64;
        seen.capped = mustered.capped;
        seen.per_day = self.per_day();
    }

    /// Another node has decided it, and says so.
    pub(super) fn others_mustered(&self) {
        gauge!(CAPPED_COHORTS).set(0.0);
        self.board.privacy().capped = 0;
    }

    /// How often devices were woken with their cohort today: on average of those that were, and the most.
    fn per_day(&self) -> Option<(f64, u32)> {
        let most = self.left.values().map(|(count, _)| *count).max()?;
        let devices: usize = self.left.values().map(|(_, devices)| *devices).sum();
        let woken: u64 = self.left.values().map(|(count, of)| u64::from(*count) * *of as u64).sum();
        Some((float(woken) / float(devices.max(1) as u64), most))
    }

    /// Records of each device how often it was woken in the day that is over, and forgets it.
    fn end_day(&mut self) {
        for (count, devices) in std::mem::take(&mut self.left).into_values() {
            histogram!(WAKEUPS_PER_DEVICE_DAY).record_many(f64::from(count), devices);
        }
    }

    /// A batch leaves.
    pub(super) fn released(&mut self, batch: &Batch) {
        self.made += batch.wakeups;
        let accepted = self.accepted.load(Ordering::Relaxed);
        let mut seen = self.board.privacy();
        if accepted > 0 {
            let overhead = float(self.made) / float(accepted);
            gauge!(PUSH_OVERHEAD).set(overhead);
            seen.overhead = Some(overhead);
        }
        if let Some(rho) = order_rho(&batch.keys) {
            gauge!(ORDER_RHO).set(rho);
            seen.order_rho = Some(rho);
        }
        let woken = float(batch.wakeups);
        let mean = self.woken.map_or(woken, |mean| mean + (woken - mean) * WEIGHT);
        self.woken = Some(mean);
        let has_left = match self.mode {
            MixMode::Batch => batch.wakeups > 0,
            MixMode::Cohort => !batch.live.is_empty(),
        };
        if has_left {
            histogram!(BATCH_DEVICES).record(woken);
        }
        if !batch.live.is_empty() {
            histogram!(BATCH_COHORTS).record(float(batch.live.len() as u64));
            let effective = effective_set(&batch.live);
            histogram!(BATCH_EAS).record(effective);
            seen.effective_set = Some(effective);
        }
    }

    /// How many there are of what.
    pub(super) fn counted(&self, census: &Census) {
        self.board.privacy().census = Some(census.clone());
        let silent = census.silent.saturating_sub(census.sealed);
        let visible = census.devices.saturating_sub(census.silent);
        let (batch, cohort) = match self.mode {
            MixMode::Batch => (visible + silent, 0),
            MixMode::Cohort => (visible, silent),
        };
        let counts =
            [(Mixed::Batch, batch), (Mixed::Cohort, cohort), (Mixed::Sealed, census.sealed)];
        for (mixed, count) in counts {
            gauge!(DEVICES, "mode" => mixed.as_str()).set(float(count));
        }
        match self.mode {
            MixMode::Batch => {
                self.board.privacy().worst_top1 = Some(1.0);
                gauge!(WORST_CASE_TOP1).set(1.0);
                let devices = usize::try_from(census.devices).unwrap_or(usize::MAX);
                // Whoever is alone is known before anything has happened; the formula has no answer for it.
                let events = match devices {
                    0 | 1 => 1.0,
                    _ => events_to_link(devices, self.woken.unwrap_or_default()),
                };
                gauge!(EVENTS_TO_LINK).set(events);
                self.board.privacy().events_to_link = Some(events);
            }
            MixMode::Cohort => self.counted_cohorts(census),
        }
    }

    fn counted_cohorts(&self, census: &Census) {
        gauge!(GHOSTS).set(float(census.ghosts));
        counter!(PARTIAL_COHORT_SENDS).increment(census.partial);
        let floor = self.floor as u64;
        let kinds = [("cohort", &census.sizes), ("provisional", &census.provisional)];
        for (kind, sizes) in kinds {
            for (place, (label, low)) in SIZES.into_iter().enumerate() {
                let above = SIZES.get(place + 1).map_or(u64::MAX, |(_, low)| *low);
                let count = count_between(sizes, low, above);
                gauge!(COHORT_LIVE_SIZE, "kind" => kind, "size" => label).set(float(count));
            }
            let below = count_between(sizes, 1, floor);
            gauge!(COHORTS_BELOW_FLOOR, "kind" => kind).set(float(below));
        }
        let all = census.sizes.iter().chain(&census.provisional);
        let smallest = all.map(|(size, _)| *size).filter(|size| *size > 0).min();
        gauge!(COHORT_LIVE_SIZE_MIN).set(float(smallest.unwrap_or_default()));
        // Where nobody is, nobody can be guessed.
        let worst =
            smallest.and_then(|size| usize::try_from(size).ok()).map_or(0.0, worst_case_top1);
        gauge!(WORST_CASE_TOP1).set(worst);
        self.board.privacy().worst_top1 = smallest.map(|_| worst);
    }
}

/// How many have a size from `low` up to, not including, `above`.
fn count_between(sizes: &[(u64, u64)], low: u64, above: u64) -> u64 {
    let fits = sizes.iter().filter(|(size, _)| (low..above).contains(size));
    fits.map(|(_, count)| count).sum()
}
