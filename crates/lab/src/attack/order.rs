//! Whether pushes leave in the order in which events came.
//!
//! In each batch every push is looked at whose owner is known and had an event within `max_delay` before the batch began to leave; what came
//! later waits for the next one. What is correlated is the rank of the latest such event among those of the batch, and the rank of the push in
//! the log (Spearman's rho; equal times share a rank). The batches are weighted by how many such pushes they have, less one, which is how
//! much each of them tells.

use super::accounts::Account;
use super::departures::{Departures, Kind};
use super::trace::Trace;
use crate::statistics::as_float;

/// How the order of departure follows that of arrival.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Order {
    /// Spearman's rho, over batches: 1 where departure follows arrival, 0 where neither tells of the other.
    pub rho: f64,
    /// Its standard error, if neither tells of the other.
    pub error: f64,
    /// Batches that tell something.
    pub batches: usize,
    /// Pushes of theirs with a matching event.
    pub pushes: usize,
}

/// Nothing where no batch has two pushes with matching events.
pub(super) fn order(
    trace: &Trace,
    departures: &Departures,
    accounts: &[Account],
    max_delay: i64,
) -> Option<Order> {
    let mut owners: Vec<Option<&Account>> = vec![None; trace.devices()];
    for account in accounts {
        for device in &account.devices {
            if let Some(owner) = owners.get_mut(*device) {
                *owner = Some(account);
            }
        }
    }
    let latest = |began: i64, device: usize| {
        let account = owners.get(device).copied().flatten()?;
        let before = account.events.partition_point(|event| *event < began);
        let event = *account.events.get(before.checked_sub(1)?)?;
        (event >= began - max_delay).then_some(event)
    };
    let (mut sum, mut weight, mut batches, mut count) = (0.0, 0.0, 0, 0);
    for run in departures.runs.iter().filter(|run| run.kind == Kind::Batch) {
        let pushes = trace.pushes.get(run.start..run.end).unwrap_or_default();
        let Some((began, _)) = pushes.first() else { continue };
        let arrivals: Vec<i64> = pushes.iter().filter_map(|push| latest(*began, push.1)).collect();
        if let Some(rho) = spearman(&arrivals) {
            let of_batch = as_float(arrivals.len() - 1);
            sum += of_batch * rho;
            weight += of_batch;
            batches += 1;
            count += arrivals.len();
        }
    }
    (batches > 0).then(|| Order {
        rho: sum / weight,
        error: 1.0 / weight.sqrt(),
        batches,
        pushes: count,
    })
}

/// Spearman's rho of values and their places. Nothing for fewer than two, or where all are equal.
fn spearman(values: &[i64]) -> Option<f64> {
    let mut places: Vec<usize> = (0..values.len()).collect();
    places.sort_by_key(|place| values.get(*place));
    let mut ranks = vec![0.0; values.len()];
    let mut below = 0;
    for equal in places.chunk_by(|left, right| values.get(*left) == values.get(*right)) {
        let rank = as_float(below) + (as_float(equal.len()) - 1.0) / 2.0;
        for place in equal {
            if let Some(of_place) = ranks.get_mut(*place) {
                *of_place = rank;
            }
        }
        below += equal.len();
    }
    let middle = (as_float(values.len()) - 1.0) / 2.0;
    let (mut both, mut of_values, mut of_places) = (0.0, 0.0, 0.0);
    for (place, rank) in ranks.iter().enumerate() {
        let (value, place) = (rank - middle, as_float(place) - middle);
        both += value * place;
        of_values += value * value;
        of_places += place * place;
    }
    (of_values > 0.0).then(|| both / (of_values * of_places).sqrt())
}

#[cfg(test)]
mod tests {
    use super::spearman;

    #[test]
    fn rho_knows_order_and_ties() {
        assert!((spearman(&[1, 2, 3, 9]).unwrap() - 1.0).abs() < 1e-12);
        assert!((spearman(&[9, 3, 2, 1]).unwrap() + 1.0).abs() < 1e-12);
        // Ranks 0.5, 0.5, 2, against 0, 1, 2: 1.5 / sqrt(1.5 · 2).
        assert!((spearman(&[4, 4, 7]).unwrap() - 1.5 / 3.0_f64.sqrt()).abs() < 1e-12);
        assert_eq!(spearman(&[5, 5]), None);
        assert_eq!(spearman(&[5]), None);
    }
}
