//! Drawings: bars of what was and a clock of what is to come. Each says in words what it shows.

use maud::{Markup, html};
use reveille_model::Timestamp;

use super::words::{count, many, moment};
use crate::board::BatchSeen;
use crate::metrics::float;

/// Width and height of a drawing, in its own units.
const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 90.0;
/// Room for the bar of what is gathering, and for each batch that left.
const PLACES: usize = 25;

/// A bar is as high as its part of the highest; whatever is not nothing can be seen.
fn height(number: u64, most: u64) -> f64 {
    if number == 0 { 0.0 } else { (float(number) / float(most.max(1)) * HEIGHT).max(3.0) }
}

/// Steps of a line of bars: where each stands and how high it is.
fn bars(numbers: &[u64], places: usize) -> Vec<(f64, f64)> {
    let most = numbers.iter().copied().max().unwrap_or_default();
    let step = WIDTH / float(places.max(1) as u64);
    let first = places.saturating_sub(numbers.len());
    let place = |place: usize| float((first + place) as u64) * step;
    numbers.iter().enumerate().map(|(at, number)| (place(at), height(*number, most))).collect()
}

/// Counts of ten minutes as a small line of bars, with what they come to.
pub(super) fn sparkline(what: &str, counts: &[u64]) -> Markup {
    let (most, sum) = (counts.iter().copied().max().unwrap_or_default(), counts.iter().sum());
    let said =
        format!("{} in the last ten minutes, at most {} in ten seconds.", count(sum), count(most));
    let step = WIDTH / float(counts.len().max(1) as u64);
    html! {
        figure {
            svg.spark viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) preserveAspectRatio="none" role="img" aria-label=(what) {
                @for (x, high) in bars(counts, counts.len()) {
                    @if high > 0.0 { rect x=(x) y=(HEIGHT - high) width=(step - 1.0) height=(high) {} }
                }
            }
            figcaption { (said) }
        }
    }
}

/// What left in the last windows, what is gathering, and how much of the window is over.
pub(super) fn windows(
    batches: &[BatchSeen],
    gathering: u64,
    (start, end): (Timestamp, Timestamp),
    now: Timestamp,
) -> Markup {
    let mut numbers: Vec<u64> = batches.iter().map(|batch| batch.wakeups).collect();
    numbers.push(gathering);
    let step = WIDTH / float(PLACES as u64);
    let drawn = bars(&numbers, PLACES);
    let whole = end.since(start).as_ms().max(1);
    let part = float(now.since(start).as_ms()) / float(whole);
    let left = batches.iter().filter(|batch| batch.wakeups > 0).count();
    let largest = batches.iter().map(|batch| batch.wakeups).max().unwrap_or_default();
    let said = format!(
        "{}. In the last {} windows {} left.",
        many(gathering, "wake-up gathers", "wake-ups gather"),
        batches.len(),
        many(left as u64, "batch", "batches"),
    );
    html! {
        figure {
            svg.windows viewBox=(format!("0 0 {WIDTH} {}", HEIGHT + 12.0)) role="img" aria-label=(said) {
                line.ground x1="0" y1=(HEIGHT) x2=(WIDTH) y2=(HEIGHT) {}
                @for (place, (x, high)) in drawn.iter().enumerate() {
                    @if *high > 0.0 {
                        rect.gathering[place + 1 == drawn.len()] x=(x + 1.0) y=(HEIGHT - high) width=(step - 2.0) height=(high) {
                            @if let Some(batch) = batches.get(place) { title { (many(batch.wakeups, "wake-up", "wake-ups")) " at " (moment(batch.at)) } }
                        }
                    }
                }
                rect.rest x=(WIDTH - step) y=(HEIGHT + 5.0) width=(step) height="5" {}
                rect.over x=(WIDTH - step) y=(HEIGHT + 5.0) width=(step * part.clamp(0.0, 1.0)) height="5" {}
            }
            figcaption {
                "Batches of the last windows, the largest of " (many(largest, "wake-up", "wake-ups")) "; at the right what is gathering, and how much of its window is over."
            }
        }
    }
}
