//! The trait, handed on to the steps.

use async_trait::async_trait;
use reveille_model::{Cohort, Marked, Timestamp};
use reveille_store::{Census, Cohorts, Group, Leaving, Mix, Nursery, StoreError};

use super::{company, founding, looking, marks, mixing};
use crate::SqliteStore;
use crate::codec::store_error;

#[async_trait]
impl Cohorts for SqliteStore {
    async fn mix(&self, mix: Mix) -> Result<(), StoreError> {
        let mut enrolling = self.writer.write(move |tables| mixing::mix(tables, &mix)).await?;
        while let Some(from) = enrolling {
            enrolling = self.write(move |tables| mixing::enrol_some(tables, &from)).await?;
        }
        while self.write(mixing::look_after_some).await? {}
        Ok(())
    }

    async fn nurseries(&self) -> Result<Vec<Nursery>, StoreError> {
        self.write(|tables| founding::nurseries(tables)).await
    }

    async fn found(&self, stratum: i64, cohorts: Vec<Vec<Group>>) -> Result<bool, StoreError> {
        self.write(move |tables| founding::found(tables, stratum, &cohorts)).await
    }

    async fn marked(&self, until: Timestamp) -> Result<Vec<Marked>, StoreError> {
        self.readers
            .read(move |connection| {
                looking::marked(connection, until).map_err(|error| store_error(&error))
            })
            .await
    }

    async fn cohorts(&self) -> Result<Vec<Cohort>, StoreError> {
        self.readers
            .read(|connection| looking::cohorts(connection).map_err(|error| store_error(&error)))
            .await
    }

    async fn lead(&self, until: Timestamp, leaving: Vec<Leaving>) -> Result<bool, StoreError> {
        self.write(move |tables| marks::lead(tables, until, &leaving)).await.map(|()| true)
    }

    async fn mustered(&self, until: Timestamp) -> Result<bool, StoreError> {
        self.write(move |tables| {
            tables.mustered_until = tables.mustered_until.max(until.as_ms());
            Ok(true)
        })
        .await
    }

    async fn beat(&self, beat: Timestamp, window_end: Timestamp) -> Result<bool, StoreError> {
        self.write(move |tables| company::beat(tables, beat, window_end)).await
    }

    async fn noops(&self, window_end: Timestamp, draws: Vec<u64>) -> Result<u64, StoreError> {
        self.write(move |tables| company::noops(tables, window_end, &draws)).await
    }

    async fn census(&self, now: Timestamp) -> Result<Census, StoreError> {
        let partial = self.write(|tables| Ok(std::mem::take(&mut tables.partial))).await?;
        let census = self
            .readers
            .read(move |connection| {
                looking::census(connection, now).map_err(|error| store_error(&error))
            })
            .await?;
        Ok(Census { partial, ..census })
    }
}
