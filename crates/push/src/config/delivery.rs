//! What every provider's section holds about delivery: bounds, pace, delays.

use std::ops::RangeInclusive;

use reveille_mixer::{Backoff, GovernorSettings, PauseSettings, RetrySettings, Throttling};
use reveille_model::Duration;
use reveille_service::config::Section;

/// Any number of seconds a delay may have.
const DELAY_S: RangeInclusive<u32> = 1..=3_600;

/// What a provider's section says where it says nothing.
pub(super) struct Defaults {
    /// Requests under way at once.
    pub(super) in_flight_max: u32,
    /// Requests a minute.
    pub(super) per_minute_max: u32,
    pub(super) retry: RetrySettings,
    pub(super) pause: PauseSettings,
    pub(super) throttling: Throttling,
}

/// Reads the settings that every provider has.
pub(super) fn read(
    section: &mut Section,
    defaults: &Defaults,
) -> (GovernorSettings, RetrySettings) {
    let in_flight_max =
        section.number("in_flight_max", 1..=100_000).unwrap_or(defaults.in_flight_max);
    let per_minute_max =
        section.number("per_minute_max", 1..=60_000_000).unwrap_or(defaults.per_minute_max);
    let retry_first = section.number("retry_first_s", DELAY_S).map(Duration::from_s);
    let throttle_first = section.number("throttle_first_s", DELAY_S).map(Duration::from_s);
    let config_error = section.number("config_error_retry_s", DELAY_S).map(Duration::from_s);
    let backoff = |first: Option<Duration>, default: Backoff| match first {
        Some(first) => Backoff { first, cap: default.cap.max(first) },
        None => default,
    };
    let (retry, pause) = (defaults.retry, defaults.pause);
    let governor = GovernorSettings {
        in_flight_max: to_usize(in_flight_max),
        per_minute_max,
        pause: PauseSettings {
            // What is shorter than usual for a message is so for a pause as well.
            trouble: backoff(
                retry_first.filter(|first| *first < pause.trouble.first),
                pause.trouble,
            ),
            throttled: backoff(throttle_first, pause.throttled),
            config_error: config_error.unwrap_or(pause.config_error),
        },
        throttling: defaults.throttling,
    };
    let retry = RetrySettings {
        server_error: backoff(retry_first, retry.server_error),
        throttled: backoff(throttle_first, retry.throttled),
        unreachable: backoff(
            retry_first.filter(|first| *first < retry.unreachable.first),
            retry.unreachable,
        ),
        config_error: config_error.unwrap_or(retry.config_error),
        ..retry
    };
    (governor, retry)
}

pub(super) fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
