//! The log of pushes, by time, with devices numbered from zero.

use super::departures::Departures;
use super::logs::Push;
use crate::statistics::as_float;

/// Fewer pushes than that do not tell how long a device would be silent by chance.
const PUSHES_TO_TELL: f64 = 10.0;
/// A silence that is less likely is none: the device is not there.
const SILENCE_UNLIKELY: f64 = 1e-3;

/// Pushes in the order of time; those of one moment in the order of the log.
#[derive(Debug)]
pub(super) struct Trace {
    /// When, and which device.
    pub(super) pushes: Vec<(i64, usize)>,
    /// The names of devices, in order.
    names: Vec<i64>,
}

impl Trace {
    pub(super) fn new(pushes: &[Push]) -> Self {
        let mut names: Vec<i64> = pushes.iter().map(|push| push.device).collect();
        names.sort_unstable();
        names.dedup();
        let place = |device: i64| names.binary_search(&device).unwrap_or_default();
        let mut pushes: Vec<(i64, usize)> =
            pushes.iter().map(|push| (push.at, place(push.device))).collect();
        pushes.sort_by_key(|push| push.0);
        Self { pushes, names }
    }

    pub(super) fn devices(&self) -> usize {
        self.names.len()
    }

    /// The number of a device; nothing for one that was never pushed.
    pub(super) fn number(&self, device: i64) -> Option<usize> {
        self.names.binary_search(&device).ok()
    }

    /// Where pushes after a moment begin.
    pub(super) fn after(&self, moment: i64) -> usize {
        self.pushes.partition_point(|push| push.0 <= moment)
    }

    /// For each device the share of moments at which a push of it comes within `max_delay`: what chance alone gives a candidate. As logarithms.
    ///
    /// What left together counts from when the first of it left, so that devices that are always pushed together have the same chance to the
    /// last digit, and ties are ties.
    pub(super) fn log_chances(&self, departures: &Departures, max_delay: i64) -> Vec<f64> {
        let mut lives: Vec<Option<Life>> = vec![None; self.devices()];
        for run in &departures.runs {
            let pushes = self.pushes.get(run.start..run.end).unwrap_or_default();
            let Some((at, _)) = pushes.first() else { continue };
            for (_, device) in pushes {
                if let Some(life) = lives.get_mut(*device) {
                    let life = life.get_or_insert(Life { first: *at, last: *at, covered: 0 });
                    let gap = if life.covered == 0 { max_delay } else { at - life.last };
                    life.covered += gap.min(max_delay);
                    life.last = *at;
                }
            }
        }
        let bounds = self.pushes.first().zip(self.pushes.last());
        let bounds = bounds.map_or((0, 0), |(first, last)| (first.0, last.0));
        let chance = |life: &Option<Life>| life.map_or(0.0, |life| life.chance(bounds, max_delay));
        lives.iter().map(|life| chance(life).ln()).collect()
    }
}

/// When a device was pushed.
#[derive(Debug, Clone, Copy)]
struct Life {
    first: i64,
    last: i64,
    /// How long pushes of it were to come within the longest delay.
    covered: i64,
}

impl Life {
    /// The share of moments, of those at which the device is taken to be there. A device that is silent at an end of the log for so long that its
    /// own rate makes it unlikely came later, or went.
    fn chance(self, (start, end): (i64, i64), max_delay: i64) -> f64 {
        let (covered, lived) = (float(self.covered), float(self.last - self.first + max_delay));
        let rate = (covered - float(max_delay)) / lived;
        let is_there = |silence: i64| {
            covered < PUSHES_TO_TELL * float(max_delay)
                || (1.0 - rate).powf(float(silence) / float(max_delay)) > SILENCE_UNLIKELY
        };
        let ends = [self.first - start, end - self.last];
        let silences = ends.into_iter().filter(|silence| is_there(*silence));
        covered / (lived + silences.map(float).sum::<f64>())
    }
}

fn float(time: i64) -> f64 {
    as_float(usize::try_from(time).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::Trace;
    use crate::attack::Push;
    use crate::attack::departures::Departures;

    #[test]
    fn a_chance_is_the_share_of_moments_a_push_follows() {
        let push = |at, device| Push { at, device };
        let trace = Trace::new(&[push(90, 7), push(0, 7), push(4, 7), push(50, 3)]);
        assert_eq!(trace.devices(), 2);
        assert_eq!(trace.number(7), Some(1));
        assert_eq!(trace.number(5), None);
        assert_eq!((trace.after(-1), trace.after(4), trace.after(90)), (0, 2, 4));
        let departures = Departures::new(&trace, 0, 10);
        // A moment of the 100 from -10 to 90: device 3 follows 10 of them; device 7 the 14 before 4 and the 10 before 90.
        let chances: Vec<f64> =
            trace.log_chances(&departures, 10).iter().map(|log| log.exp()).collect();
        assert!(
            (chances[0] - 0.1).abs() < 1e-12 && (chances[1] - 0.24).abs() < 1e-12,
            "{chances:?}"
        );
    }
    #[test]
    fn a_device_that_is_gone_has_its_share_of_the_time_it_was_there() {
        let push = |at, device| Push { at, device };
        // Device 1 is pushed in all of the log, device 2 in every other moment of its first half, device 3 twice.
        let mut pushes: Vec<Push> = (0..100).map(|number| push(number * 10, 1)).collect();
        pushes.extend((0..25).map(|number| push(number * 20, 2)));
        pushes.extend([push(0, 3), push(10, 3)]);
        let trace = Trace::new(&pushes);
        let departures = Departures::new(&trace, 0, 10);
        let chances = trace.log_chances(&departures, 10);
        let shares: Vec<f64> = chances.iter().map(|log| log.exp()).collect();
        let expected = [1.0, 250.0 / 490.0, 20.0 / 1_000.0];
        let agree = shares.iter().zip(expected).all(|(share, known)| (share - known).abs() < 1e-9);
        assert!(agree, "{shares:?}");
    }
}
