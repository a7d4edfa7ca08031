//! Cohorts as the production mixer deals and wakes them.

use reveille_mixer::{Budget, MusterSettings, Window, fill, form, leaves, wants_padding};
use reveille_model::{Cohort, CohortId, CohortSizes, Duration, Marked, Rng};

use crate::population::Population;
use crate::statistics::{as_float, floor};

/// What the configuration's `batch_devices_min` is by default.
const DEVICES_MIN: usize = 32;
/// What the configuration's `nursery_deadline_s` is by default. Nobody waits for a cohort here.
const NURSERY_DEADLINE: Duration = Duration::from_s(600);
/// Cohorts of so many kinds are told apart by how often they are woken.
const BINS: usize = 200;
/// All are of one kind.
const STRATUM: i64 = 1;

/// A partition of the devices.
#[derive(Debug)]
pub(crate) struct Cohorts {
    /// Devices of each cohort.
    pub(crate) members: Vec<Vec<usize>>,
    /// The cohort of each device.
    pub(crate) of: Vec<usize>,
    /// What the mixer knows of each.
    known: Vec<Cohort>,
    settings: MusterSettings,
}

impl Cohorts {
    /// Everybody comes at once, and the mixer deals. Nobody leaves.
    pub(crate) fn form(devices: usize, size: usize, rng: &mut Rng) -> Self {
        let sizes = CohortSizes { form: size, floor: size };
        Self::of_members(devices, form(&vec![1; devices], sizes, rng))
    }

    fn of_members(devices: usize, members: Vec<Vec<usize>>) -> Self {
        let mut of = vec![0; devices];
        for (cohort, devices) in members.iter().enumerate() {
            for device in devices {
                if let Some(place) = of.get_mut(*device) {
                    *place = cohort;
                }
            }
        }
        let ids = (0..).map(CohortId);
        let known = ids.zip(&members).map(|(id, members)| Cohort {
            id,
            stratum: STRATUM,
            users: members.len(),
            paid_at: None,
        });
        let known = known.collect();
        Self { members, of, known, settings: settings(u32::MAX) }
    }

    /// Who leaves at the end of a window in which something happened to these devices: marked cohorts and padding, as devices, in the order
    /// in which the first event of each cohort came.
    pub(crate) fn muster(&self, arrived: &[usize], window: Window, rng: &mut Rng) -> Vec<usize> {
        let mut marked = std::collections::BTreeSet::new();
        let mut leaving = Vec::with_capacity(arrived.len());
        for device in arrived {
            let Some(cohort) = self.of.get(*device).and_then(|cohort| self.known.get(*cohort))
            else {
                continue;
            };
            let mark = Marked {
                cohort: *cohort,
                is_provisional: false,
                is_leaving: false,
                since: window.end,
            };
            if marked.insert(cohort.id) && leaves(&mark, window, &self.settings).is_ok() {
                leaving.push(*cohort);
            }
        }
        let mut ids: Vec<CohortId> = leaving.iter().map(|cohort| cohort.id).collect();
        if wants_padding(&leaving, &self.settings) {
            ids.extend(fill(&leaving, &self.known, window.end, &self.settings, rng));
        }
        let members = ids.iter().filter_map(|id| self.members.get(usize::try_from(id.0).ok()?));
        members.flatten().copied().collect()
    }

    /// Events a second of each cohort.
    pub(crate) fn rates(&self, population: &Population) -> Vec<f64> {
        let rate = |device: &usize| population.rates.get(*device).copied().unwrap_or_default();
        self.members.iter().map(|members| members.iter().map(rate).sum()).collect()
    }

    /// For each device something that is known of its cohort.
    pub(crate) fn spread(&self, of_cohorts: &[f64]) -> Vec<f64> {
        self.of.iter().map(|cohort| of_cohorts.get(*cohort).copied().unwrap_or_default()).collect()
    }

    /// Cohorts that are woken about as often, from quiet to busy.
    pub(crate) fn kinds(&self, population: &Population) -> Vec<Vec<usize>> {
        let rates = self.rates(population);
        let mut by_rate: Vec<usize> = (0..rates.len()).collect();
        by_rate.sort_by(|left, right| {
            rates.get(*left).partial_cmp(&rates.get(*right)).unwrap_or(std::cmp::Ordering::Equal)
        });
        let count = as_float(by_rate.len());
        let cut = |bin: usize| floor(count * as_float(bin) / as_float(BINS));
        let kind = |bin: usize| by_rate.get(cut(bin)..cut(bin + 1)).map(<[usize]>::to_vec);
        (0..BINS).filter_map(kind).filter(|alike| !alike.is_empty()).collect()
    }

    /// What is believed before anything is seen. Members cannot be told apart, so that an observer knows how often a cohort is woken, from
    /// that how many of its members may be watched on average, and nothing of a single member.
    pub(crate) fn prior(&self, population: &Population) -> Vec<f64> {
        let mut eligible = vec![0.0; self.members.len()];
        for target in &population.targets {
            if let Some(count) = self.of.get(*target).and_then(|cohort| eligible.get_mut(*cohort)) {
                *count += 1.0;
            }
        }
        let mut chances = vec![0.0; self.members.len()];
        for alike in self.kinds(population) {
            let of_bin: f64 = alike.iter().filter_map(|cohort| eligible.get(*cohort)).sum();
            for cohort in &alike {
                let size = self.members.get(*cohort).map_or(1, Vec::len);
                if let Some(chance) = chances.get_mut(*cohort) {
                    *chance = of_bin / as_float(alike.len()) / as_float(size.max(1));
                }
            }
        }
        let chances = self.spread(&chances);
        let total: f64 = chances.iter().sum();
        chances.iter().map(|chance| chance / total).collect()
    }
}

/// The production defaults, with a budget.
pub(crate) const fn settings(wakeups_per_day: u32) -> MusterSettings {
    MusterSettings {
        budget: Budget::per_day(wakeups_per_day),
        devices_min: DEVICES_MIN,
        nursery_deadline: NURSERY_DEADLINE,
    }
}

#[cfg(test)]
mod tests {
    use super::Cohorts;
    use crate::population::Population;
    use reveille_mixer::Window;
    use reveille_model::{Duration, Rng, Timestamp};

    fn window() -> Window {
        Window { start: Timestamp::EPOCH, end: Timestamp::EPOCH.plus(Duration::from_s(120)) }
    }

    #[test]
    fn whole_cohorts_leave_and_a_lonely_one_is_padded() {
        let mut rng = Rng::from_number(1);
        let cohorts = Cohorts::form(400, 8, &mut rng);
        assert_eq!(cohorts.members.len(), 50);
        let alone = cohorts.muster(&[7, 7], window(), &mut rng);
        assert_eq!(alone.len(), 32, "a cohort, and three that keep it company");
        let whole = |cohort: &Vec<usize>| cohort.iter().all(|device| alone.contains(device));
        assert_eq!(cohorts.members.iter().filter(|cohort| whole(cohort)).count(), 4);
        let all: Vec<usize> = (0..400).collect();
        assert_eq!(cohorts.muster(&all, window(), &mut rng).len(), 400);
    }

    #[test]
    fn the_prior_is_the_same_for_all_members() {
        let mut rng = Rng::from_number(2);
        let rates = (0..2_000).map(|device| 1e-6 * f64::from(1 + device % 10)).collect();
        let population = Population::of(rates);
        let cohorts = Cohorts::form(2_000, 8, &mut rng);
        let prior = cohorts.prior(&population);
        assert!((prior.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        for members in &cohorts.members {
            assert!(
                members
                    .iter()
                    .all(|device| prior[*device].to_bits() == prior[members[0]].to_bits())
            );
        }
    }
}
