//! Whose a key is, who may use it, and how often.

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use http::{HeaderMap, header};
use reveille_model::SessionKey;

use crate::config::NamespaceConfig;

/// All namespaces.
#[derive(Debug)]
pub(crate) struct Namespaces {
    /// Longest prefix first; the default one, which takes every key, comes last.
    all: Vec<Space>,
    clock: DefaultClock,
}

/// A namespace at work.
#[derive(Debug)]
pub(crate) struct Space {
    pub(crate) config: NamespaceConfig,
    /// Its place in tables of metrics.
    pub(crate) index: usize,
    rate: Option<DefaultDirectRateLimiter>,
}

/// Why a caller may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotLetIn {
    /// Nobody knows who it is.
    Unknown,
    /// It may use other keys.
    Elsewhere,
    /// There were too many; in so many seconds there may be one more.
    TooMany(u32),
}

impl Namespaces {
    pub(crate) fn new(mut configs: Vec<NamespaceConfig>) -> Self {
        configs.sort_by_key(|config| std::cmp::Reverse(config.prefix.len()));
        let all = configs.into_iter().enumerate().map(|(index, config)| {
            // All of a second's requests may come at once.
            let rate =
                config.requests_per_s_max.map(|rate| RateLimiter::direct(Quota::per_second(rate)));
            Space { config, index, rate }
        });
        Self { all: all.collect(), clock: DefaultClock::default() }
    }

    /// The names, in the order of their places.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(|space| space.config.name.as_str())
    }

    /// The namespace of a key: the one with the longest prefix.
    pub(crate) fn of(&self, key: &SessionKey) -> Option<&Space> {
        self.all.iter().find(|space| key.expose().starts_with(&space.config.prefix))
    }

    /// Whether a caller may use a namespace now.
    pub(crate) fn let_in(&self, space: &Space, headers: &HeaderMap) -> Result<(), NotLetIn> {
        let given = headers.get(header::AUTHORIZATION);
        if space.config.callers.caller(given).is_none() {
            let elsewhere = self.all.iter().map(|other| &other.config.callers);
            let mut elsewhere = elsewhere.filter(|callers| !callers.is_anyone());
            let is_known =
                given.is_some() && elsewhere.any(|callers| callers.caller(given).is_some());
            return Err(if is_known { NotLetIn::Elsewhere } else { NotLetIn::Unknown });
        }
        let Some(rate) = &space.rate else { return Ok(()) };
        rate.check().map_err(|until| {
            let wait = until.wait_time_from(self.clock.now()).as_secs();
            NotLetIn::TooMany(u32::try_from(wait).unwrap_or(u32::MAX).saturating_add(1))
        })
    }
}
