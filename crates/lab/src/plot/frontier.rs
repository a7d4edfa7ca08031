//! What a design costs, and what it leaves to the observer after the most events that were watched.

use plotters::prelude::DrawingBackend;

use super::axis::{Scale, Words, frame};
use super::canvas::{Canvas, GREY, PlotError, Side};
use super::labels::{LINE, Label, colour, heaped};
use crate::table::Row;

pub(super) fn draw<B: DrawingBackend>(
    canvas: &mut Canvas<B>,
    rows: &[Row],
) -> Result<(), PlotError> {
    let ends: Vec<(f64, f64)> = rows
        .iter()
        .filter_map(|row| Some((row.pushes_per_event, 100.0 * row.points.last()?.top1)))
        .collect();
    let events = rows.iter().find_map(|row| row.points.last()).map_or(0, |point| point.events);
    let across = Scale::decades(ends.iter().map(|end| end.0).chain([1.0]), (110.0, 960.0));
    let up = Scale::decades(ends.iter().map(|end| end.1), (450.0, 70.0));
    let title = format!("What a push for each event buys, after {events} events");
    let words = Words {
        title: &title,
        across: "pushes per event",
        up: "top-1: chance of naming the device",
        unit: "%",
    };
    frame(canvas, &across, &up, words)?;
    floor(canvas, &across, &up)?;
    let mut labels = Vec::new();
    for (number, (cost, success)) in ends.iter().enumerate() {
        let place = (across.place(*cost), up.place(*success));
        canvas.dot(place, colour(number), 5.0)?;
        let text = rows.get(number).map(|row| row.design.to_string()).unwrap_or_default();
        labels.push(Label { text, place, colour: colour(number) });
    }
    for heap in heaped(&labels) {
        name(canvas, &heap)?;
    }
    Ok(())
}

/// One name stands above its dot, those of a heap below one another to its left.
fn name<B: DrawingBackend>(canvas: &mut Canvas<B>, heap: &[Label]) -> Result<(), PlotError> {
    if let [label] = heap {
        let place = (label.place.0 + 10.0, label.place.1 - 13.0);
        return canvas.text(&label.text, place, Side::Right, label.colour);
    }
    let mut below = 14.0;
    for label in heap {
        let place = (label.place.0 - 12.0, label.place.1 + below);
        canvas.text(&label.text, place, Side::Left, label.colour)?;
        below += LINE;
    }
    Ok(())
}

/// What a cohort of k comes to for k pushes: one in k.
fn floor<B: DrawingBackend>(
    canvas: &mut Canvas<B>,
    across: &Scale,
    up: &Scale,
) -> Result<(), PlotError> {
    let (Some(low), Some(high)) = (up.ticks.first(), across.ticks.last()) else { return Ok(()) };
    // As far as the picture goes.
    let last = high.min(100.0 / low);
    let ends = [(across.place(1.0), up.place(100.0)), (across.place(last), up.place(100.0 / last))];
    canvas.line(&ends, GREY, 1)?;
    let middle = last.powf(0.75);
    let place = (across.place(middle) - 8.0, up.place(100.0 / middle) + 13.0);
    canvas.text("one in k, for k pushes", place, Side::Left, GREY)
}
