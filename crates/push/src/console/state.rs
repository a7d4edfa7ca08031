//! What all pages know.

use std::sync::Arc;

use reveille_model::{Duration, Timestamp};
use reveille_service::body::BodyLimits;
use reveille_service::lifecycle::Lifecycle;
use tokio::sync::Semaphore;

use super::growth::Looks;
use super::session::Sessions;
use crate::api::ApiState;
use crate::config::MixMode;
use crate::expiries::Expiries;

/// What is known from the start.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) mode: MixMode,
    /// Users a cohort begins with, and with fewer than which it is retired.
    pub(crate) sizes: (usize, usize),
    /// How often a device is woken in a day at the most.
    pub(crate) per_day_max: u32,
    /// How often sealed devices are woken.
    pub(crate) sealed_period: Duration,
    /// What works and may not be meant.
    pub(crate) warnings: Vec<String>,
    /// All settings, without secrets.
    pub(crate) settings: Vec<(String, String)>,
    /// When credentials end, where they do.
    pub(crate) expiries: Expiries,
    pub(crate) started_at: Timestamp,
}

/// What all pages share.
#[derive(Clone)]
pub(crate) struct Console {
    pub(super) api: ApiState,
    pub(super) facts: Arc<Facts>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) bodies: BodyLimits,
    /// Streams that may be open.
    pub(super) streams: Arc<Semaphore>,
    pub(super) lifecycle: Lifecycle,
    /// How many devices there were.
    pub(super) looks: Arc<Looks>,
}

impl Console {
    pub(super) fn now(&self) -> Timestamp {
        self.api.intake.clock.now()
    }
}
