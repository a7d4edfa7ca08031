//! `/console`: pages for operators, made by the server from what the store and the [board](crate::board) know. Live without a reload; of use without a script.
//!
//! A page is a list of *parts*. What its stream sends is the same parts again, made by the same code, where they have changed. What an operator can press or type into stands
//! beside the parts and is never replaced.

mod assets;
mod chart;
mod configuration;
mod feedback;
mod live;
mod look_up;
mod overview;
mod page;
mod privacy;
mod providers;
mod router;
mod session;
mod subscriptions;
mod words;

use std::sync::Arc;

use reveille_model::{Duration, Timestamp};
use reveille_service::body::BodyLimits;
use reveille_service::lifecycle::Lifecycle;
use tokio::sync::Semaphore;

pub(crate) use self::router::router;
use self::session::Sessions;
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
    api: ApiState,
    facts: Arc<Facts>,
    sessions: Arc<Sessions>,
    bodies: BodyLimits,
    /// Streams that may be open.
    streams: Arc<Semaphore>,
    lifecycle: Lifecycle,
}

impl Console {
    fn now(&self) -> Timestamp {
        self.api.intake.clock.now()
    }
}
