//! `[push.mix]`: when devices are woken, and in whose company.

use reveille_mixer::{Budget, MusterSettings, Schedule};
use reveille_model::{CohortSizes, Duration};
use reveille_service::config::Section;

/// Longest window, in seconds.
const WINDOW_S_MAX: u32 = 86_400;
/// Most users a cohort begins with.
const COHORT_FORM_MAX: u32 = 1_000;
/// Most devices a batch can be asked to have.
const BATCH_DEVICES_MAX: u32 = 1_000_000;
/// What `cohort_floor` is unless set. With fewer the best guess comes right more often than the goals of this server allow.
const COHORT_FLOOR_USUAL: usize = CohortSizes::DEFAULT.floor;

/// Whether users are woken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum MixMode {
    /// Each device by itself, in the batch of its window.
    Batch,
    /// Each user with their cohort.
    #[default]
    Cohort,
}

impl MixMode {
    /// Its word in the configuration and in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Cohort => "cohort",
        }
    }
}

/// How long windows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WindowLength {
    Fixed(Duration),
    Drawn { min: Duration, max: Duration },
}

impl WindowLength {
    /// As long as a window may be.
    pub(crate) const fn longest(self) -> Duration {
        match self {
            Self::Fixed(length) => length,
            Self::Drawn { max, .. } => max,
        }
    }

    /// The schedule; `key` makes drawn lengths unguessable.
    pub(crate) fn schedule(self, key: [u8; 32]) -> Schedule {
        match self {
            Self::Fixed(length) => Schedule::Fixed { length },
            Self::Drawn { min, max } => Schedule::Drawn { min, max, key },
        }
    }
}

/// The section, read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MixConfig {
    pub(crate) mode: MixMode,
    pub(crate) window: WindowLength,
    sizes: CohortSizes,
    /// What a batch of cohorts is to be.
    pub(crate) muster: MusterSettings,
    /// How often a device is woken in a day at the most.
    pub(crate) per_day_max: u32,
    /// How often sealed devices are woken.
    pub(crate) sealed_period: Duration,
    /// How many decoys a minute.
    pub(crate) noop_per_minute: u32,
    /// Whether a user who is erased leaves a ghost.
    pub(crate) ghost_after_erasure: bool,
}

impl MixConfig {
    pub(super) fn read(mut section: Section) -> Option<Self> {
        let modes = [MixMode::Batch, MixMode::Cohort].map(|mode| (mode.as_str(), mode));
        let mode = section.choice("mode", &modes).unwrap_or_default();
        let sizes = read_sizes(&mut section);
        let devices_min = section.number("batch_devices_min", 0..=BATCH_DEVICES_MAX);
        let per_day = section.number("wakeups_per_device_day_max", 1..=1_440).unwrap_or(48);
        let deadline_s = section.number("nursery_deadline_s", 1..=86_400).unwrap_or(600);
        let sealed_s = section.number("sealed_period_s", 60..=86_400).unwrap_or(3_600);
        let noop_per_minute = section.number("noop_per_minute", 0..=10_000).unwrap_or(0);
        if noop_per_minute > 0 && mode == MixMode::Cohort {
            section.problem(
                "noop_per_minute",
                "no-ops are for mode = \"batch\": a cohort is company of a better kind; remove this",
            );
        }
        let ghost_after_erasure = section.boolean("ghost_after_erasure").unwrap_or(true);
        let window = read_window(&mut section);
        section.finish();
        Some(Self {
            mode,
            window: window?,
            sizes,
            muster: MusterSettings {
                budget: Budget::per_day(per_day),
                devices_min: to_usize(devices_min.unwrap_or(32)),
                nursery_deadline: Duration::from_s(deadline_s),
            },
            per_day_max: per_day,
            sealed_period: Duration::from_s(sealed_s),
            noop_per_minute,
            ghost_after_erasure,
        })
    }

    /// How large cohorts are; nothing in mode `batch`.
    pub(crate) fn sizes(&self) -> Option<CohortSizes> {
        match self.mode {
            MixMode::Batch => None,
            MixMode::Cohort => Some(self.sizes),
        }
    }

    /// Cohorts with fewer users are not woken as one.
    pub(crate) const fn floor(&self) -> usize {
        self.sizes.floor
    }

    /// What works but may not be meant.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        match self.sizes() {
            None => warnings.push(
                "push.mix.mode is \"batch\": it protects single events only; whoever watches an account for two or three events can tell its device (reveille_privacy_events_to_link says after how many)"
                    .to_owned(),
            ),
            Some(CohortSizes { floor, .. }) if floor < COHORT_FLOOR_USUAL => warnings.push(format!(
                "push.mix.cohort_floor is {floor}: whoever watches a cohort guesses right one time in {floor}; {COHORT_FLOOR_USUAL} is usual"
            )),
            Some(_) => {}
        }
        warnings
    }
}

fn read_sizes(section: &mut Section) -> CohortSizes {
    let CohortSizes { form, floor } = CohortSizes::DEFAULT;
    let form = section.number("cohort_form", 2..=COHORT_FORM_MAX).map_or(form, to_usize);
    let is_given = section.has("cohort_floor");
    let floor = section.number("cohort_floor", 2..=COHORT_FORM_MAX).map_or(floor, to_usize);
    if floor > form {
        let what = if is_given {
            format!("this must not be more than cohort_form, which is {form}")
        } else {
            format!("cohort_form is {form}, and this is {floor} unless set: write 2 to {form}")
        };
        section.problem("cohort_floor", what);
    }
    CohortSizes { form, floor }
}

fn read_window(section: &mut Section) -> Option<WindowLength> {
    let mut seconds = |key: &str| section.number(key, 1..=WINDOW_S_MAX).map(Duration::from_s);
    let (fixed, min, max) = (seconds("window_s"), seconds("window_min_s"), seconds("window_max_s"));
    match (fixed, min, max) {
        (Some(length), None, None) => Some(WindowLength::Fixed(length)),
        (None, None, None) => Some(WindowLength::Fixed(Duration::from_s(120))),
        (None, Some(min), Some(max)) if min <= max => Some(WindowLength::Drawn { min, max }),
        (None, Some(_), Some(_)) => {
            section.problem("window_min_s", "this must not be more than window_max_s");
            None
        }
        _ => {
            section.problem("window_s", "set window_s, or window_min_s and window_max_s, not both");
            None
        }
    }
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
