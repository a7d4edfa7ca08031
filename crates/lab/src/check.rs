//! The reference point: figures that were known before, from an independent simulation, and the goals.

use crate::cost::Wakeups;
use crate::delay::Delays;
use crate::design::Design;
use crate::setting::Setting;
use crate::statistics::as_float;
use crate::table::{Plan, Point, Row};

/// After how many events the check looks.
pub const CHECK_EVENTS: [usize; 5] = [1, 2, 3, 5, 20];
/// Trials behind each figure of the study, up to three events, and beyond.
const THEIR_TRIALS: (usize, usize) = (800, 200);
/// So many standard errors are within chance.
const ERRORS: f64 = 3.0;
/// Who there is and who comes together is drawn once for a table: over 24 seeds that moves figures after one event, and quantiles of wake-ups,
/// by a hundredth or so of themselves (0.4 to 1.4 %, standard deviation). More events move little of it.
const DRAWN_ONCE: f64 = 0.012;
/// Cohorts come to their floor; from three events on chance has no part in it. In points of a hundred.
const COHORT_POINTS: f64 = 0.3;
/// From so many events on.
const COHORT_EVENTS: usize = 3;
/// Largest correlation of departure with arrival (goal G6).
const RHO_MAX: f64 = 0.02;

/// Of 48 wake-ups a day 36 come back evenly, one in 40 minutes; then the window has to end.
const CAPPED_S: f64 = 2_400.0 + 120.0;

/// A figure of the study: events, chance of the best guess in percent, half of its last digit.
type Known = (usize, f64, f64);

/// What the study has found: the observer's success, in percent.
const KNOWN: [(Design, &[Known]); 8] = [
    (Design::None, &[(1, 68.0, 0.05), (2, 100.0, 0.5)]),
    (Design::Wikimedia, &[(1, 36.1, 0.05), (2, 100.0, 0.5), (3, 100.0, 0.5)]),
    (Design::Grid, &[(1, 5.2, 0.05), (2, 96.5, 0.05), (3, 100.0, 0.05), (20, 100.0, 0.05)]),
    (Design::Exponential, &[(1, 6.9, 0.05), (2, 91.8, 0.05), (3, 100.0, 0.05)]),
    (Design::Decoys(8), &[(1, 0.21, 0.005), (2, 22.3, 0.05), (3, 98.2, 0.05), (20, 100.0, 0.05)]),
    (
        Design::Cohort(8),
        &[(1, 0.26, 0.005), (2, 9.6, 0.05), (3, 12.4, 0.05), (5, 12.5, 0.05), (20, 12.5, 0.05)],
    ),
    (
        Design::Cohort(16),
        &[(1, 0.12, 0.005), (2, 3.8, 0.05), (3, 6.2, 0.05), (5, 6.2, 0.05), (20, 6.25, 0.005)],
    ),
    (Design::Sealed, &[(1, 0.001, 0.0005), (20, 0.001, 0.0005)]),
];

/// The same after one event, if the observer also counts.
const KNOWN_COUNTED: [(Design, f64, f64); 2] =
    [(Design::Grid, 88.0, 0.5), (Design::Decoys(8), 2.0, 0.05)];

/// What a figure must be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    /// As it was known, give or take.
    Near {
        /// What was known.
        reference: f64,
        /// How far from it is near enough.
        tolerance: f64,
    },
    /// No more than that.
    AtMost(f64),
    /// No less than that.
    AtLeast(f64),
}

/// One figure that was checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// Of which design.
    pub design: Design,
    /// What it is.
    pub what: String,
    /// What was measured.
    pub measured: f64,
    /// What it must be.
    pub bound: Bound,
}

impl Figure {
    /// Whether it is what it must be.
    pub fn is_ok(&self) -> bool {
        match self.bound {
            Bound::Near { reference, tolerance } => (self.measured - reference).abs() <= tolerance,
            Bound::AtMost(most) => self.measured <= most,
            Bound::AtLeast(least) => self.measured >= least,
        }
    }
}

/// The designs there are figures for.
pub fn check_designs() -> Vec<Design> {
    KNOWN.iter().map(|(design, _)| *design).collect()
}

/// The table that is checked.
pub fn reference_point(trials: usize, seed: u64, threads: usize) -> Plan {
    Plan {
        setting: Setting::REFERENCE,
        designs: check_designs(),
        events: CHECK_EVENTS.to_vec(),
        trials,
        seed,
        threads,
        per_day: 48,
        counted: vec![Design::Grid, Design::Decoys(8), Design::Cohort(8)],
    }
}

/// Compares the rows of [`reference_point`] with what is known of them.
pub fn judge(rows: &[Row]) -> Vec<Figure> {
    let mut figures = Vec::new();
    for row in rows {
        let known = KNOWN.iter().filter(|(design, _)| *design == row.design);
        for (events, reference, rounding) in known.flat_map(|(_, known)| known.iter()) {
            figures.push(success(row, *events, *reference, *rounding));
        }
        counts(row, &mut figures);
        goals(row, &mut figures);
        if row.design == Design::Cohort(16) {
            figures.extend(delay_figures(row.design, row.delays.as_ref()));
        }
    }
    figures
}

/// Goal G3, and what it is compared with.
fn counts(row: &Row, figures: &mut Vec<Figure>) {
    // What was not measured is like nothing that is known.
    let measured = row.counted.map_or(f64::NAN, |point| 100.0 * point.top1);
    let design = row.design;
    let known = KNOWN_COUNTED.iter().filter(|(known, ..)| *known == design);
    for (_, reference, rounding) in known {
        let tolerance = row.counted.map_or(0.0, |point| ERRORS * error_of_both(&point) + rounding);
        let bound = Bound::Near { reference: *reference, tolerance };
        figures.push(Figure { design, what: "counts, top-1, n=1, %".to_owned(), measured, bound });
    }
    if design == Design::Cohort(8) {
        let what = "G3, counts, n=1, %".to_owned();
        figures.push(Figure { design, what, measured, bound: Bound::AtMost(1.0) });
    }
}

/// Goal G4. Those who wait for their budget are none of its business; they wait for one wake-up to come back, and for its window.
pub(crate) fn delay_figures(design: Design, delays: Option<&Delays>) -> Vec<Figure> {
    let figure = |what: &str, measured: Option<f64>, bound| Figure {
        design,
        what: what.to_owned(),
        measured: measured.unwrap_or(f64::NAN),
        bound,
    };
    let (within, capped) = (delays.map(|known| known.within), delays.map(|known| known.capped));
    let near = Bound::Near { reference: 60.0, tolerance: 3.0 };
    vec![
        figure("G4, mean delay, s", within.map(|waits| waits.mean_s), near),
        figure("G4, longest delay, s", within.map(|waits| waits.longest_s), Bound::AtMost(120.0)),
        figure("G4, longest, capped", capped.map(|waits| waits.longest_s), Bound::AtMost(CAPPED_S)),
    ]
}

fn success(row: &Row, events: usize, reference: f64, rounding: f64) -> Figure {
    let point = row.points.iter().find(|point| point.events == events);
    let tolerance = match row.design {
        Design::Cohort(_) if events >= COHORT_EVENTS => COHORT_POINTS,
        _ => point.map_or(0.0, |point| ERRORS * error_of_both(point) + rounding),
    };
    Figure {
        design: row.design,
        what: format!("top-1, n={events}, %"),
        // What was not measured is like nothing that is known.
        measured: point.map_or(f64::NAN, |point| 100.0 * point.top1),
        bound: Bound::Near { reference, tolerance },
    }
}

/// The standard error of the difference between our figure and theirs, in percent. Theirs is taken from the deviation of our trials.
fn error_of_both(point: &Point) -> f64 {
    let (few, many) = THEIR_TRIALS;
    let theirs = if point.events <= 3 { few } else { many };
    let of_trials = point.top1_error.hypot(point.top1_deviation / as_float(theirs).sqrt());
    // They have drawn theirs, and we ours.
    let drawn = if point.events == 1 { point.top1 * DRAWN_ONCE * 2.0_f64.sqrt() } else { 0.0 };
    100.0 * of_trials.hypot(drawn)
}

/// Goals G1, G2, G5 and G6 of the study, as far as a table shows them.
fn goals(row: &Row, figures: &mut Vec<Figure>) {
    let mut add = |what: &str, measured: f64, bound: Bound| {
        figures.push(Figure { design: row.design, what: what.to_owned(), measured, bound });
    };
    if let Some(rho) = row.order_rho {
        add("order, |rho|", rho.abs(), Bound::AtMost(RHO_MAX));
    }
    if let Design::Cohort(size) = row.design {
        let worst = row.points.iter().map(|point| 100.0 * point.top1).fold(0.0, f64::max);
        // A hundred-thousandth of a point for rounding.
        add("G1, top-1 ever, %", worst, Bound::AtMost(100.0 / f64::from(size) + 1e-5));
        add("G1, pushes per event", row.pushes_per_event, Bound::AtMost(f64::from(size)));
    }
    if row.design == Design::Cohort(16) {
        if let Some(first) = row.points.iter().find(|point| point.events == 1) {
            add("G2, top-1, n=1, %", 100.0 * first.top1, Bound::AtMost(0.2));
            add("G2, EAS, n=1", first.eas, Bound::AtLeast(1_500.0));
        }
        let Wakeups { mean, p95, .. } = row.wakeups;
        add("G5, wake-ups a day", mean, Bound::AtMost(14.0));
        add("G5, p95 of them", p95, Bound::AtMost(30.0 * (1.0 + ERRORS * DRAWN_ONCE)));
    }
}
