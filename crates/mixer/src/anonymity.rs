//! What an observer with a provider's records can tell, in numbers that are known without watching anybody.

/// The chance of the best guess, however long it is watched: one in the smallest cohort.
pub fn worst_case_top1(smallest: usize) -> f64 {
    1.0 / as_float(smallest.max(1))
}

/// Among how many devices one event of a batch is hidden: 2 to the power of the entropy, where each of the batch's cohorts, by how many users
/// live in it, is as likely as any other.
pub fn effective_set(live: &[usize]) -> f64 {
    if live.is_empty() {
        return 0.0;
    }
    let bits: f64 = live.iter().map(|size| as_float((*size).max(1)).log2()).sum();
    as_float(live.len()) * (bits / as_float(live.len())).exp2()
}

/// After how many events of one account whoever watches has told its device from `devices` others, where nothing but delay protects it:
/// expected wrong candidates are N·pⁿ, where a window wakes a share p of the devices.
///
/// Infinite where every window wakes everybody.
pub fn events_to_link(devices: usize, woken_per_window: f64) -> f64 {
    let devices = as_float(devices.max(1));
    if woken_per_window >= devices {
        return f64::INFINITY;
    }
    devices.ln() / (devices / woken_per_window.max(1.0)).ln()
}

/// Spearman's rank correlation between the order in which things came, which is that of the slice, and the one in which they leave, which is
/// that of their keys: 0 where neither tells of the other. Nothing for fewer than two.
pub fn order_rho(keys: &[i64]) -> Option<f64> {
    if keys.len() < 2 {
        return None;
    }
    let mut by_key: Vec<usize> = (0..keys.len()).collect();
    by_key.sort_by_key(|place| keys.get(*place).copied());
    let apart: f64 = by_key
        .iter()
        .enumerate()
        .map(|(rank, place)| as_float(rank.abs_diff(*place)).powi(2))
        .sum();
    let count = as_float(keys.len());
    Some(1.0 - 6.0 * apart / (count * (count * count - 1.0)))
}

#[expect(clippy::cast_precision_loss, reason = "counts of devices are exact in a float")]
const fn as_float(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::{effective_set, events_to_link, order_rho, worst_case_top1};

    fn is_close(left: f64, right: f64) -> bool {
        (left - right).abs() < 1e-9
    }

    #[test]
    fn the_worst_case_is_the_smallest_cohort() {
        assert!(is_close(worst_case_top1(8), 0.125));
        assert!(is_close(worst_case_top1(0), 1.0), "without a cohort there is no protection");
    }

    #[test]
    fn equal_cohorts_hide_an_event_among_all_their_users() {
        assert!(is_close(effective_set(&[16, 16]), 32.0));
        // Two and eight: four on the geometric mean.
        assert!(is_close(effective_set(&[2, 8]), 8.0));
        assert!(is_close(effective_set(&[]), 0.0));
    }

    #[test]
    fn a_batch_gives_an_account_away_after_two_events() {
        // privacy.md's reference point: 100,000 devices, one event a second, windows of 120 s: 1.7.
        let events = events_to_link(100_000, 120.0);
        assert!((1.70..1.72).contains(&events), "{events}");
        assert!(events_to_link(100, 100.0).is_infinite());
        assert!(is_close(events_to_link(1_000, 0.0), 1.0), "a batch of one names its device");
    }

    #[test]
    fn order_shows_in_rho() {
        assert!(is_close(order_rho(&[1, 2, 3, 4]).unwrap(), 1.0));
        assert!(is_close(order_rho(&[4, 3, 2, 1]).unwrap(), -1.0));
        assert!(is_close(order_rho(&[2, 4, 1, 3]).unwrap(), 0.0));
        assert_eq!(order_rho(&[1]), None);
    }
}
