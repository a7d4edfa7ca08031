//! The trait, handed on to the steps.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use reveille_model::{Cohort, Marked, Timestamp};
use reveille_store::{Census, Cohorts, Group, Keys as _, Leaving, Mix, Nursery, StoreError};
use reveille_vault::BlindKey;

use super::mixing::{MEMBERS_KEY, Mixing};
use super::{company, founding, looking, marks, mixing};
use crate::MariaDbStore;

#[async_trait]
impl Cohorts for MariaDbStore {
    async fn mix(&self, mix: Mix) -> Result<(), StoreError> {
        let mut silent = BTreeSet::new();
        for set in &mix.silent {
            silent.insert(self.engine.sets.id(&self.engine.pool, set).await?);
        }
        let names = BlindKey::new(&self.key(MEMBERS_KEY, BlindKey::fresh()).await?);
        self.engine.mix(Mixing::new(&mix, silent.clone(), names));
        let what = (silent, mix.sizes);
        let noted = self.engine.write(&what, |tables, what| Box::pin(mixing::note(tables, what)));
        let mut enrolling = noted.await?;
        while let Some(from) = enrolling {
            let enrol =
                self.engine.write(&from, |tables, from| Box::pin(mixing::enrol_some(tables, from)));
            enrolling = enrol.await?;
        }
        while self.engine.write(&(), |tables, ()| Box::pin(mixing::look_after_some(tables))).await?
        {
        }
        Ok(())
    }

    async fn nurseries(&self) -> Result<Vec<Nursery>, StoreError> {
        self.engine.write(&(), |tables, ()| Box::pin(founding::nurseries(tables))).await
    }

    async fn found(&self, stratum: i64, cohorts: Vec<Vec<Group>>) -> Result<bool, StoreError> {
        let what = (stratum, cohorts);
        self.engine.write(&what, |tables, what| Box::pin(founding::found(tables, what))).await
    }

    async fn marked(&self, until: Timestamp) -> Result<Vec<Marked>, StoreError> {
        Ok(self.engine.ask(looking::marked(&self.engine.pool, until)).await?)
    }

    async fn cohorts(&self) -> Result<Vec<Cohort>, StoreError> {
        Ok(self.engine.look(|pool| async move { looking::cohorts(&pool).await }).await?)
    }

    async fn lead(&self, until: Timestamp, leaving: Vec<Leaving>) -> Result<bool, StoreError> {
        let what = (until, leaving);
        self.engine.write(&what, |tables, what| Box::pin(marks::lead(tables, what))).await
    }

    async fn mustered(&self, until: Timestamp) -> Result<bool, StoreError> {
        self.engine.write(&until, |tables, until| Box::pin(tables.mustered(*until))).await
    }

    async fn beat(&self, beat: Timestamp, window_end: Timestamp) -> Result<bool, StoreError> {
        let what = (beat, window_end);
        self.engine.write(&what, |tables, what| Box::pin(company::beat(tables, *what))).await
    }

    async fn noops(&self, window_end: Timestamp, draws: Vec<u64>) -> Result<u64, StoreError> {
        let what = (window_end, draws);
        self.engine.write(&what, |tables, what| Box::pin(company::noops(tables, what))).await
    }

    async fn census(&self, now: Timestamp) -> Result<Census, StoreError> {
        let partial = self.engine.partial.swap(0, Ordering::Relaxed);
        let counted = self.engine.look(|pool| async move { looking::census(&pool, now).await });
        Ok(Census { partial, ..counted.await? })
    }
}
