//! Names that do not lie over one another.

use plotters::prelude::{DrawingBackend, RGBColor};

use super::canvas::{Canvas, PALE, Place, PlotError, Side};

/// From one line of letters to the next, in points.
pub(super) const LINE: f64 = 17.0;
/// How far names stand from what they name.
const AWAY: f64 = 26.0;

/// One colour for each design of a table, told apart by eyes that see few colours too (Okabe and Ito; the ninth and tenth are ours).
const COLOURS: [RGBColor; 10] = [
    RGBColor(213, 94, 0),
    RGBColor(230, 159, 0),
    RGBColor(204, 121, 167),
    RGBColor(140, 86, 75),
    RGBColor(120, 120, 120),
    RGBColor(86, 180, 233),
    RGBColor(0, 114, 178),
    RGBColor(0, 158, 115),
    RGBColor(90, 60, 150),
    RGBColor(160, 160, 40),
];

/// The colour of a row, by its place in the table.
pub(super) fn colour(row: usize) -> RGBColor {
    COLOURS.get(row % COLOURS.len()).copied().unwrap_or(PALE)
}

/// A name and what it names.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Label {
    pub(super) text: String,
    pub(super) place: Place,
    pub(super) colour: RGBColor,
}

/// Writes names to the right of places that lie below one another, each joined to its place by a line.
pub(super) fn beside<B: DrawingBackend>(
    canvas: &mut Canvas<B>,
    mut labels: Vec<Label>,
    within: (f64, f64),
) -> Result<(), PlotError> {
    labels.sort_by(|left, right| left.place.1.total_cmp(&right.place.1));
    let heights: Vec<f64> = labels.iter().map(|label| label.place.1).collect();
    for (label, height) in labels.iter().zip(spread(&heights, within)) {
        let (x, y) = label.place;
        canvas.line(&[(x + 5.0, y), (x + AWAY - 4.0, height)], label.colour, 1)?;
        canvas.text(&label.text, (x + AWAY, height), Side::Right, label.colour)?;
    }
    Ok(())
}

/// Heights at least a line apart, as near to the wanted ones as that allows. The wanted ones are in order.
fn spread(wanted: &[f64], within: (f64, f64)) -> Vec<f64> {
    let mut heights: Vec<f64> = Vec::with_capacity(wanted.len());
    for height in wanted {
        let least = heights.last().map_or(within.0, |last| last + LINE);
        heights.push(height.max(least));
    }
    // What went beyond the end moves back, and pushes what is before it.
    let mut most = within.1;
    for height in heights.iter_mut().rev() {
        *height = height.min(most);
        most = *height - LINE;
    }
    heights
}

/// Names of places that lie on one another come together.
pub(super) fn heaped(labels: &[Label]) -> Vec<Vec<Label>> {
    let mut heaps: Vec<Vec<Label>> = Vec::new();
    for label in labels {
        let is_near = |other: &Label| {
            (other.place.0 - label.place.0).abs() < LINE
                && (other.place.1 - label.place.1).abs() < LINE
        };
        match heaps.iter_mut().find(|heap| heap.iter().any(is_near)) {
            Some(heap) => heap.push(label.clone()),
            None => heaps.push(vec![label.clone()]),
        }
    }
    heaps
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn names_keep_a_line_between_them() {
        let heights = spread(&[10.0, 10.0, 12.0, 90.0, 99.0], (10.0, 100.0));
        assert!(heights.windows(2).all(|pair| pair[1] - pair[0] >= 17.0 - 1e-9), "{heights:?}");
        assert!(heights[4] <= 100.0 && heights[0] >= 10.0, "{heights:?}");
    }
}
