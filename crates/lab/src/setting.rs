//! The numbers of an operator: how many devices, how often something happens, how long it may wait.

use reveille_mixer::Schedule;
use reveille_model::limits::NOOPS_MAX;
use reveille_model::{Duration, Rng};

/// Most devices: a few hundred megabytes.
const DEVICES_MAX: usize = 5_000_000;
/// Most events, or decoys, of one window: a trial draws each of them.
const PER_WINDOW_MAX: f64 = 50_000.0;
// The mixer draws no more decoys than that, which would not be what the observer reckons with.
const _: () = assert!(PER_WINDOW_MAX * 2.0 <= 100_000.0 && NOOPS_MAX == 100_000);
/// Shortest mean delay: windows of a second.
const MEAN_DELAY_MIN: Duration = Duration::from_ms(500);
/// Longest mean delay: a day.
const MEAN_DELAY_MAX: Duration = Duration::from_s(86_400);
/// Greatest deviation of the logarithm of rates: beyond it one device has nearly all events.
const SIGMA_MAX: f64 = 4.0;

/// What a table is made for. Devices and events are those of one provider.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Setting {
    /// Devices. One account has one.
    pub devices: usize,
    /// Events a second, of all accounts together.
    pub rate: f64,
    /// How unequal accounts are: the standard deviation of the logarithm of their rates.
    pub sigma: f64,
    /// How long a wake-up waits on average. Windows are twice as long.
    pub mean_delay: Duration,
}

impl Setting {
    /// The reference point of the design study.
    pub const REFERENCE: Self =
        Self { devices: 100_000, rate: 1.0, sigma: 1.5, mean_delay: Duration::from_s(60) };

    /// Whether the lab can work with it.
    pub fn check(&self) -> Result<(), SettingError> {
        if !(2..=DEVICES_MAX).contains(&self.devices) {
            return Err(SettingError::Devices);
        }
        if !(0.0..=SIGMA_MAX).contains(&self.sigma) {
            return Err(SettingError::Sigma);
        }
        if self.mean_delay < MEAN_DELAY_MIN || self.mean_delay > MEAN_DELAY_MAX {
            return Err(SettingError::MeanDelay);
        }
        if !self.rate.is_finite() || self.rate <= 0.0 {
            return Err(SettingError::Rate);
        }
        if self.per_window(self.rate) > PER_WINDOW_MAX {
            return Err(SettingError::Window);
        }
        Ok(())
    }

    /// Whether decoys of this rate a second can be drawn.
    pub(crate) fn has_room_for(&self, rate: f64) -> bool {
        self.per_window(rate) <= PER_WINDOW_MAX
    }

    /// How long windows are.
    pub fn window(&self) -> Duration {
        Duration::from_ms(self.mean_delay.as_ms().saturating_mul(2))
    }

    /// How long windows are, in seconds.
    pub(crate) fn window_s(&self) -> f64 {
        2.0 * self.mean_delay_s()
    }

    /// How long a wake-up waits on average, in seconds.
    pub(crate) fn mean_delay_s(&self) -> f64 {
        self.mean_delay.to_std().as_secs_f64()
    }

    pub(crate) fn schedule(&self) -> Schedule {
        Schedule::Fixed { length: self.window() }
    }

    fn per_window(&self, rate: f64) -> f64 {
        rate * self.window_s()
    }
}

/// Why the lab cannot work with a setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// Too few or too many devices.
    #[error("the number of devices must be from 2 to {DEVICES_MAX}")]
    Devices,
    /// A rate that is none.
    #[error("the rate must be a number of events a second, above 0")]
    Rate,
    /// A deviation that is none.
    #[error("sigma must be from 0 (all accounts alike) to {SIGMA_MAX}")]
    Sigma,
    /// A delay that is none.
    #[error("the mean delay must be from half a second to a day (86400 s)")]
    MeanDelay,
    /// A window too full to be drawn event by event.
    #[error(
        "a window would hold more than {PER_WINDOW_MAX} events; take a lower rate or a shorter mean delay"
    )]
    Window,
    /// Decoys that no window has room for.
    #[error("{0}: a window would hold more than {PER_WINDOW_MAX} decoys; take a smaller factor")]
    Decoys(String),
    /// Decoys that are none.
    #[error(
        "{0}: decoys are a whole number a minute, and this would be none; take a higher rate or factor"
    )]
    NoDecoys(String),
    /// Fewer devices than a cohort takes.
    #[error("{0}: there are fewer devices than one cohort takes")]
    Cohort(String),
    /// Numbers of events that cannot be watched.
    #[error("events must be numbers from 1 to 1000, at least one of them")]
    Events,
    /// Trials that cannot be made.
    #[error("the number of trials must be from 2 to 100000")]
    Trials,
}

/// Generators of one seed, one for each use and number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Streams([u8; 32]);

impl Streams {
    pub(crate) fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        for (place, byte) in bytes.iter_mut().zip(seed.to_le_bytes()) {
            *place = byte;
        }
        Self(bytes)
    }

    /// The generator of one use. What it draws depends on nothing that was drawn for another.
    pub(crate) fn of(self, purpose: u32, number: u32) -> Rng {
        Rng::from_seed_and_stream(self.0, u64::from(purpose) << 32 | u64::from(number))
    }
}

#[cfg(test)]
mod tests {
    use super::{Setting, SettingError};
    use reveille_model::Duration;

    #[test]
    fn numbers_are_checked() {
        let good = Setting::REFERENCE;
        assert_eq!(good.check(), Ok(()));
        assert_eq!(Setting { devices: 1, ..good }.check(), Err(SettingError::Devices));
        assert_eq!(Setting { rate: f64::NAN, ..good }.check(), Err(SettingError::Rate));
        assert_eq!(Setting { rate: 0.0, ..good }.check(), Err(SettingError::Rate));
        assert_eq!(Setting { rate: 1e6, ..good }.check(), Err(SettingError::Window));
        assert_eq!(Setting { sigma: -1.0, ..good }.check(), Err(SettingError::Sigma));
        let mean_delay = Duration::ZERO;
        assert_eq!(Setting { mean_delay, ..good }.check(), Err(SettingError::MeanDelay));
    }
}
