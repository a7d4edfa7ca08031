//! Means, their standard errors, medians, quantiles.

/// A mean and how sure it is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Mean {
    /// The mean; zero of nothing.
    pub(crate) value: f64,
    /// Its standard error; zero of fewer than two.
    pub(crate) error: f64,
    /// The standard deviation of a single one.
    pub(crate) deviation: f64,
}

/// The mean of some values. Summed in their order, so that equal values give equal bits.
pub(crate) fn mean(values: impl Iterator<Item = f64> + Clone) -> Mean {
    let count = values.clone().count();
    if count == 0 {
        return Mean::default();
    }
    let value = values.clone().sum::<f64>() / as_float(count);
    if count == 1 {
        return Mean { value, ..Mean::default() };
    }
    let squares: f64 = values.map(|each| (each - value).powi(2)).sum();
    let deviation = (squares / as_float(count - 1)).sqrt();
    Mean { value, error: deviation / as_float(count).sqrt(), deviation }
}

/// The value below which a share of them lies, between neighbours where it falls there. Zero of nothing.
pub(crate) fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let Some(last) = values.len().checked_sub(1) else { return 0.0 };
    let place = share * as_float(last);
    let at = |index: usize| values.get(index.min(last)).copied().unwrap_or_default();
    let below = floor(place);
    at(below) + (at(below + 1) - at(below)) * (place - as_float(below))
}

/// A count as a float.
#[expect(clippy::cast_precision_loss, reason = "counts here are below 2^53")]
pub(crate) const fn as_float(count: usize) -> f64 {
    count as f64
}

/// The whole part of a float that is not negative.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and negative values are never passed"
)]
pub(crate) const fn floor(value: f64) -> usize {
    value as usize
}

/// A whole number as it is read: with separators.
pub fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{mean, quantile};

    #[test]
    fn a_mean_knows_how_sure_it_is() {
        let known = mean([1.0, 2.0, 3.0, 4.0].into_iter());
        assert!((known.value - 2.5).abs() < 1e-12);
        assert!((known.deviation - (5.0_f64 / 3.0).sqrt()).abs() < 1e-12);
        assert!((known.error - known.deviation / 2.0).abs() < 1e-12);
        assert!(mean([7.0].into_iter()).error.abs() < 1e-12);
        assert!(mean(std::iter::empty()).value.abs() < 1e-12);
    }

    #[test]
    fn quantiles_lie_between_neighbours() {
        assert!((quantile(vec![4.0, 1.0, 3.0, 2.0], 0.5) - 2.5).abs() < 1e-12);
        assert!((quantile(vec![1.0], 0.95) - 1.0).abs() < 1e-12);
        assert!(quantile(Vec::new(), 0.5).abs() < 1e-12);
    }
}
