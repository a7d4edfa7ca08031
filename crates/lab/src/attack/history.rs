//! Which devices cannot be told apart, because each was pushed whenever the others were.

use std::collections::BTreeMap;

use super::departures::Departures;
use super::trace::Trace;

/// Sets of devices with one push history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct History {
    /// How many different histories there are.
    pub sets: usize,
    /// Devices of the smallest set: the least anybody hides among, whatever is known of events. One is no company.
    pub smallest: usize,
    /// Devices of the largest.
    pub largest: usize,
    /// Devices whose history is theirs alone.
    pub alone: usize,
}

/// Histories are equal where devices were in the same departures, equally often.
pub(super) fn history(trace: &Trace, departures: &Departures) -> History {
    let mut of_device: Vec<Vec<usize>> = vec![Vec::new(); trace.devices()];
    for (number, run) in departures.runs.iter().enumerate() {
        for (_, device) in trace.pushes.get(run.start..run.end).into_iter().flatten() {
            if let Some(history) = of_device.get_mut(*device) {
                history.push(number);
            }
        }
    }
    let mut sets: BTreeMap<&[usize], usize> = BTreeMap::new();
    for history in &of_device {
        *sets.entry(history).or_default() += 1;
    }
    History {
        sets: sets.len(),
        smallest: sets.values().copied().min().unwrap_or_default(),
        largest: sets.values().copied().max().unwrap_or_default(),
        alone: sets.values().filter(|count| **count == 1).count(),
    }
}
