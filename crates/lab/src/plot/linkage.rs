//! What the observer knows after how many events: the chance of the best guess, and among how many devices the target is hidden.

use plotters::prelude::DrawingBackend;

use super::axis::{Scale, Words, frame};
use super::canvas::{Canvas, PlotError};
use super::labels::{Label, beside, colour};
use crate::statistics::as_float;
use crate::table::{Point, Row};

/// From the top to the bottom of both halves, in points.
const HEIGHTS: (f64, f64) = (70.0, 460.0);

pub(super) fn draw<B: DrawingBackend>(
    canvas: &mut Canvas<B>,
    rows: &[Row],
) -> Result<(), PlotError> {
    let success = Words {
        title: "How sure the best guess is",
        across: "events of the account that were watched",
        up: "top-1: chance of naming its device",
        unit: "%",
    };
    let hidden = Words {
        title: "How many devices remain",
        across: success.across,
        up: "EAS: effective anonymity set",
        unit: "",
    };
    half(canvas, rows, success, (100.0, 380.0), |point| 100.0 * point.top1)?;
    half(canvas, rows, hidden, (640.0, 920.0), |point| point.eas)
}

fn half<B: DrawingBackend>(
    canvas: &mut Canvas<B>,
    rows: &[Row],
    words: Words<'_>,
    places: (f64, f64),
    value: impl Fn(&Point) -> f64,
) -> Result<(), PlotError> {
    let mut events: Vec<usize> =
        rows.iter().flat_map(|row| row.points.iter().map(|point| point.events)).collect();
    events.sort_unstable();
    events.dedup();
    let across = Scale::at(events.into_iter().map(as_float).collect(), places);
    let values = rows.iter().flat_map(|row| row.points.iter().map(&value));
    let up = Scale::decades(values, (HEIGHTS.1, HEIGHTS.0));
    frame(canvas, &across, &up, words)?;
    let mut labels = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        let at = |point: &Point| (across.place(as_float(point.events)), up.place(value(point)));
        let line: Vec<(f64, f64)> = row.points.iter().map(at).collect();
        canvas.line(&line, colour(number), 2)?;
        for place in &line {
            canvas.dot(*place, colour(number), 3.5)?;
        }
        if let Some(place) = line.last() {
            labels.push(Label {
                text: row.design.to_string(),
                place: *place,
                colour: colour(number),
            });
        }
    }
    beside(canvas, labels, HEIGHTS)
}
