//! The log of pushes, by time, with devices numbered from zero.

use super::departures::Departures;
use super::logs::Push;
use crate::statistics::as_float;

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
        let mut covered = vec![0_i64; self.devices()];
        let mut last: Vec<Option<i64>> = vec![None; self.devices()];
        for run in &departures.runs {
            let pushes = self.pushes.get(run.start..run.end).unwrap_or_default();
            let Some((at, _)) = pushes.first() else { continue };
            for (_, device) in pushes {
                let (Some(covered), Some(last)) = (covered.get_mut(*device), last.get_mut(*device))
                else {
                    continue;
                };
                let gap = last.replace(*at).map_or(max_delay, |before| at - before);
                *covered += gap.min(max_delay);
            }
        }
        let bounds = self.pushes.first().zip(self.pushes.last());
        let span = bounds.map_or(0, |(first, last)| last.0 - first.0) + max_delay;
        covered.into_iter().map(|covered| (float(covered) / float(span)).ln()).collect()
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
}
