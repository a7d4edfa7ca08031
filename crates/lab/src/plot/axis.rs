//! Logarithmic scales and the frame around a picture.

use super::canvas::{Canvas, GREY, INK, PALE, PlotError, Side};
use crate::statistics::grouped;
use plotters::prelude::DrawingBackend;

/// Values that are all above zero, along a stretch of the canvas.
#[derive(Debug, Clone)]
pub(super) struct Scale {
    /// The least and the greatest value.
    values: (f64, f64),
    /// Where they are, in points.
    places: (f64, f64),
    /// What is labelled.
    pub(super) ticks: Vec<f64>,
}

impl Scale {
    /// From a power of ten below the values to one above them, with a label at each.
    pub(super) fn decades(values: impl Iterator<Item = f64>, places: (f64, f64)) -> Self {
        let (low, high) = values.fold((f64::MAX, f64::MIN_POSITIVE), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        let (low, high) = if low > high { (0.1, 1.0) } else { (low, high) };
        let (first, last) = ((low.log10() + 1e-9).floor(), (high.log10() - 1e-9).ceil());
        let last = if last > first { last } else { first + 1.0 };
        let mut ticks = vec![first];
        while let Some(tick) = ticks.last().filter(|tick| **tick < last) {
            ticks.push(tick + 1.0);
        }
        let ticks = ticks.into_iter().map(|power| 10.0_f64.powf(power)).collect();
        Self { values: (10.0_f64.powf(first), 10.0_f64.powf(last)), places, ticks }
    }

    /// With labels at the values themselves.
    pub(super) fn at(ticks: Vec<f64>, places: (f64, f64)) -> Self {
        let low = ticks.iter().copied().fold(f64::MAX, f64::min);
        let high = ticks.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let values = if low < high { (low, high) } else { (high, high * 10.0) };
        Self { values, places, ticks }
    }

    /// Where a value is.
    pub(super) fn place(&self, value: f64) -> f64 {
        let (low, high) = self.values;
        let share = (value / low).ln() / (high / low).ln();
        self.places.0 + (self.places.1 - self.places.0) * share.clamp(0.0, 1.0)
    }
}

/// What is written around a picture.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words<'a> {
    pub(super) title: &'a str,
    pub(super) across: &'a str,
    pub(super) up: &'a str,
    /// What follows the numbers of the scale that goes up.
    pub(super) unit: &'a str,
}

/// A frame with a grid, labels and words.
pub(super) fn frame<B: DrawingBackend>(
    canvas: &mut Canvas<B>,
    across: &Scale,
    up: &Scale,
    words: Words<'_>,
) -> Result<(), PlotError> {
    let ((left, right), (bottom, top)) = (across.places, up.places);
    canvas.title(words.title, (left - 44.0, top - 34.0))?;
    for tick in &up.ticks {
        let place = up.place(*tick);
        canvas.line(&[(left, place), (right, place)], PALE, 1)?;
        canvas.text(
            &format!("{}{}", number(*tick), words.unit),
            (left - 8.0, place + 2.0),
            Side::Left,
            GREY,
        )?;
    }
    for tick in &across.ticks {
        let place = across.place(*tick);
        canvas.line(&[(place, top), (place, bottom)], PALE, 1)?;
        canvas.text(&number(*tick), (place, bottom + 14.0), Side::Middle, GREY)?;
    }
    canvas.line(&[(left, top), (left, bottom), (right, bottom)], INK, 1)?;
    canvas.text(words.across, (f64::midpoint(left, right), bottom + 38.0), Side::Middle, INK)?;
    canvas.text(words.up, (left - 74.0, f64::midpoint(top, bottom)), Side::Upward, INK)
}

/// A number as it is read: with separators, without zeros that say nothing.
fn number(value: f64) -> String {
    if value < 1.0 {
        let text = format!("{value:.6}");
        return text.trim_end_matches('0').to_owned();
    }
    grouped(value)
}

#[cfg(test)]
mod tests {
    use super::{Scale, number};

    #[test]
    fn scales_span_their_values() {
        let scale = Scale::decades([0.002, 1.0].into_iter(), (100.0, 0.0));
        assert_eq!(scale.ticks.len(), 4);
        assert!((scale.place(0.001) - 100.0).abs() < 1e-9 && scale.place(1.0).abs() < 1e-9);
        assert!((scale.place(0.01) - 200.0 / 3.0).abs() < 1e-9);
        assert_eq!(Scale::decades(std::iter::empty(), (0.0, 1.0)).ticks.len(), 2);
    }

    #[test]
    fn numbers_are_read_easily() {
        assert_eq!(number(1_000_000.0), "1,000,000");
        assert_eq!(number(100.0), "100");
        assert_eq!(number(0.001), "0.001");
    }
}
