//! The end of a window in mode `cohort`: those who wait become cohorts, and it is written down which of the marked ones leave and who goes
//! with them. All of it before anything of the batch is expanded, so that no crash lets a cohort leave without its company.

use std::sync::Arc;

use reveille_mixer::{MusterSettings, Stays, Window, fill, form, leaves, wants_padding};
use reveille_model::limits::LEAVING_MAX;
use reveille_model::{Cohort, CohortId, CohortSizes, Duration, Marked, Rng, Timestamp};
use reveille_service::lifecycle::Lifecycle;
use reveille_store::{Group, Leaving, Nursery, Store, StoreError};

/// How often those who wait are looked at in one window. Each time some two thousand of a stratum become cohorts; the rest wait for the next.
const FORM_ROUNDS_MAX: u32 = 1_000;

/// Musters the cohorts of a batch.
pub(crate) struct Muster {
    store: Arc<dyn Store>,
    sizes: CohortSizes,
    settings: MusterSettings,
    /// The end of the window that was released last. Whatever was marked before it and leaves later was kept back.
    released_until: Option<Timestamp>,
    /// The end of the window that we have mustered for last.
    mustered_until: Option<Timestamp>,
}

/// Who leaves, and who does not: what is measured of it, and nothing that lasts.
#[derive(Debug, Default)]
pub(super) struct Mustered {
    /// How many users live in each of the cohorts that leave, padding included.
    pub(super) live: Vec<usize>,
    /// Those that were told to now, and how many devices each has.
    pub(super) left: Vec<(CohortId, usize)>,
    /// Users of cohorts that leave though nothing was accepted for them.
    pub(super) padding_users: usize,
    /// Users of provisional cohorts that leave because their deadline has come.
    pub(super) exposed_users: usize,
    /// Cohorts that stay because they have spent their budget.
    pub(super) capped: usize,
    /// How long those that leave were kept back, and why.
    pub(super) held: Vec<(Stays, Duration)>,
}

impl Muster {
    /// One that has not mustered anybody yet.
    pub(crate) fn new(store: Arc<dyn Store>, sizes: CohortSizes, settings: MusterSettings) -> Self {
        Self { store, sizes, settings, released_until: None, mustered_until: None }
    }

    /// It is we who have mustered for a window.
    pub(super) const fn note(&mut self, until: Timestamp) {
        self.mustered_until = Some(until);
    }

    /// A window was released. Returns whether it is we who have mustered for it.
    pub(super) fn released(&mut self, until: Timestamp) -> bool {
        self.released_until = Some(until);
        self.mustered_until == Some(until)
    }

    /// Lets those who wait become cohorts wherever they are enough.
    pub(super) async fn form(
        &self,
        rng: &mut Rng,
        lifecycle: &Lifecycle,
    ) -> Result<(), StoreError> {
        for _ in 0..FORM_ROUNDS_MAX {
            let mut has_dealt = false;
            for Nursery { stratum, groups } in self.store.nurseries().await? {
                if lifecycle.is_stopping() {
                    return Ok(());
                }
                let sizes: Vec<usize> = groups.iter().map(|(_, size)| *size).collect();
                let dealt = form(&sizes, self.sizes, rng);
                if dealt.is_empty() {
                    continue;
                }
                let group = |place: usize| groups.get(place).map(|(group, _)| *group);
                let cohorts: Vec<Vec<Group>> = dealt
                    .into_iter()
                    .map(|places| places.into_iter().filter_map(group).collect())
                    .collect();
                // Where somebody has gone meanwhile nothing happened; the next round sees who is left.
                self.store.found(stratum, cohorts).await?;
                has_dealt = true;
            }
            if !has_dealt {
                break;
            }
        }
        Ok(())
    }

    /// Decides which marked cohorts leave with the window that ended at `until`, draws their company, and writes it down. Nothing where another
    /// node has taken that over.
    pub(super) async fn lead(
        &mut self,
        (until, window): (Timestamp, Window),
        rng: &mut Rng,
    ) -> Result<Option<Mustered>, StoreError> {
        let (mut mustered, mut going) = (Mustered::default(), Vec::new());
        for each in self.store.marked(until).await? {
            match leaves(&each, window, &self.settings) {
                Ok(()) => going.push(each),
                Err(Stays::Capped) => mustered.capped += 1,
                Err(Stays::Nursery) => {}
            }
        }
        let batch: Vec<Cohort> = going.iter().map(|each| each.cohort).collect();
        let padding = self.draw_padding(&batch, until, rng).await?;
        // Those that were told to leave before a crash go on doing so.
        let told = going.iter().filter(|each| !each.is_leaving).map(|each| each.cohort);
        let told: Vec<Cohort> = told.chain(padding.iter().copied()).collect();
        let budget = self.settings.budget;
        let leave = |cohort: &Cohort| Leaving {
            id: cohort.id,
            paid_at: budget.spend(cohort.paid_at, until),
        };
        let mut leading: Vec<Leaving> = told.iter().map(leave).collect();
        // What is written first says nothing of who is padding.
        rng.shuffle(&mut leading);
        for chunk in leading.chunks(LEAVING_MAX) {
            if !self.store.lead(until, chunk.to_vec()).await? {
                return Ok(None);
            }
        }
        mustered.left = told.iter().map(|cohort| (cohort.id, cohort.users)).collect();
        mustered.padding_users = padding.iter().map(|cohort| cohort.users).sum();
        self.measure(&going, until, &mut mustered);
        mustered.live = batch.iter().chain(&padding).map(|cohort| cohort.users).collect();
        Ok(Some(mustered))
    }

    async fn draw_padding(
        &self,
        batch: &[Cohort],
        until: Timestamp,
        rng: &mut Rng,
    ) -> Result<Vec<Cohort>, StoreError> {
        if !wants_padding(batch, &self.settings) {
            return Ok(Vec::new());
        }
        let others = self.store.cohorts().await?;
        let drawn = fill(batch, &others, until, &self.settings, rng);
        Ok(others.into_iter().filter(|other| drawn.contains(&other.id)).collect())
    }

    fn measure(&self, going: &[Marked], until: Timestamp, mustered: &mut Mustered) {
        for each in going.iter().filter(|each| !each.is_leaving) {
            if each.is_provisional {
                mustered.exposed_users += each.cohort.users;
            }
            let held = until.since(each.since);
            if let Some(why) = self.kept_back(each).filter(|_| held > Duration::ZERO) {
                mustered.held.push((why, held));
            }
        }
    }

    /// Why a cohort that leaves now did not leave with the window in which it was marked, if it could have.
    fn kept_back(&self, marked: &Marked) -> Option<Stays> {
        // Nobody looked at what came after the last release, as when the server was down.
        self.released_until.filter(|released| marked.since <= *released)?;
        let paid_at = marked.cohort.paid_at;
        if !marked.is_provisional && !self.settings.budget.allows(paid_at, marked.since) {
            return Some(Stays::Capped);
        }
        // What was accepted for those who wait comes along into their cohort, which has never left before.
        (marked.is_provisional || paid_at.is_none()).then_some(Stays::Nursery)
    }
}
