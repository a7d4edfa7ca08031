//! Results as people read them.

use reveille_lab::{
    Attack, AttackPoint, Bound, Capped, Choice, Figure, Point, Proposal, Row, grouped,
};

use super::table::Outcome;

/// A table, what is proposed, and what was checked.
pub(super) fn table(outcome: &Outcome) -> Vec<String> {
    let plan = &outcome.plan;
    let setting = &plan.setting;
    let devices = u32::try_from(setting.devices).map_or(f64::INFINITY, f64::from);
    let mut lines = vec![
        format!(
            "{} devices, {} events a second ({:.3} a day for each device, sigma {}), mean delay {} s, windows of {} s",
            grouped(devices),
            setting.rate,
            setting.rate * 86_400.0 / devices,
            setting.sigma,
            setting.mean_delay.to_std().as_secs_f64(),
            setting.window().to_std().as_secs_f64(),
        ),
        format!("{} trials, seed {}", plan.trials, plan.seed),
    ];
    success(&outcome.rows, &mut lines);
    hidden(&outcome.rows, &mut lines);
    cost(&outcome.rows, plan.per_day, &mut lines);
    if !outcome.figures.is_empty() {
        figures(&outcome.figures, &mut lines);
    }
    proposal(&outcome.proposal, &mut lines);
    lines
}

fn heading(rows: &[Row], width: usize) -> String {
    let points = rows.first().map(|row| row.points.as_slice()).unwrap_or_default();
    cells(points, width, |point| format!("n={}", point.events))
}

/// One text for each point, to the right of its cell.
fn cells(points: &[Point], width: usize, text: impl Fn(&Point) -> String) -> String {
    points.iter().fold(String::new(), |line, point| line + &format!("{:>width$}", text(point)))
}

fn success(rows: &[Row], lines: &mut Vec<String>) {
    lines.push(String::new());
    lines.push("Chance that the best guess names the device, in %, after n events of its account (± standard error)".to_owned());
    lines.push(format!("{:<20}{}", "design", heading(rows, 17)));
    for row in rows {
        let cells = cells(&row.points, 17, |point| percent(point.top1, point.top1_error));
        lines.push(format!("{:<20}{cells}", row.design));
    }
}

fn hidden(rows: &[Row], lines: &mut Vec<String>) {
    lines.push(String::new());
    lines.push("How many devices remain (EAS, 2 to the power of the entropy), and where the right one ranks (median)".to_owned());
    let (eas, rank) = (heading(rows, 10), heading(rows, 10));
    lines.push(format!("{:<20}{eas}  |{rank}", "design"));
    for row in rows {
        let eas = cells(&row.points, 10, |point| size(point.eas));
        let rank = cells(&row.points, 10, |point| size(point.rank));
        lines.push(format!("{:<20}{eas}  |{rank}", row.design));
    }
}

fn cost(rows: &[Row], per_day: u32, lines: &mut Vec<String>) {
    lines.push(String::new());
    lines.push(format!(
        "What it costs: pushes for each event; wake-ups of a device in a day; under a budget of {per_day} a day, which events wait for it"
    ));
    lines.push(format!(
        "{:<20}{:>10}{:>12}{:>9}{:>9}{:>10}  under the budget",
        "design", "pushes", "wake-ups", "p95", "p99", "order rho"
    ));
    for row in rows {
        let rho = row.order_rho.map_or_else(String::new, |rho| format!("{rho:.3}"));
        let line = format!(
            "{:<20}{:>10.2}{:>12.2}{:>9.1}{:>9.1}{rho:>10}  {}",
            row.design,
            row.pushes_per_event,
            row.wakeups.mean,
            row.wakeups.p95,
            row.wakeups.p99,
            row.capped.as_ref().map_or_else(String::new, under_budget),
        );
        lines.push(line.trim_end().to_owned());
    }
}

fn under_budget(capped: &Capped) -> String {
    format!(
        "{:.1} % of events wait for it; mean delay {:.0} s, longest {:.0} s; {:.1} wake-ups, p95 {:.1}",
        100.0 * capped.events,
        capped.mean_delay_s,
        capped.longest_delay_s,
        capped.wakeups.mean,
        capped.wakeups.p95,
    )
}

fn figures(figures: &[Figure], lines: &mut Vec<String>) {
    lines.push(String::new());
    lines.push(format!("{:<12}{:<22}{:>12}   must be", "design", "figure", "measured"));
    for figure in figures {
        let bound = match figure.bound {
            Bound::Near { reference, tolerance } => format!("{reference} ± {tolerance:.4}"),
            Bound::AtMost(most) => format!("at most {most:.2}"),
            Bound::AtLeast(least) => format!("at least {least:.2}"),
        };
        let verdict = if figure.is_ok() { "ok" } else { "FAILED" };
        lines.push(format!(
            "{:<12}{:<22}{:>12.4}   {bound:<20}  {verdict}",
            figure.design, figure.what, figure.measured
        ));
    }
}

fn proposal(proposal: &Proposal, lines: &mut Vec<String>) {
    lines.push(String::new());
    lines.push(format!(
        "Of {} wake-ups a day {:.1} come back evenly; the others may be spent at once.",
        proposal.per_day, proposal.usable
    ));
    match &proposal.calm {
        Some(calm) => {
            let k = calm.size;
            lines.push(format!(
                "Proposed: k = {k} (cohort_form = {k}, cohort_floor = {}), the largest cohorts of which 95 % of devices are woken no more often \
                 than that.",
                k.div_ceil(2)
            ));
            choice(calm, lines);
        }
        None => {
            lines.push("No k is proposed: not even of pairs are 95 % woken so seldom.".to_owned());
        }
    }
    match &proposal.most {
        Some(most) => {
            lines.push(format!(
                "The most there is: k = {}, the largest cohorts whose devices are woken no more often than that on average.",
                most.size
            ));
            choice(most, lines);
        }
        None => lines.push(
            "Even pairs are woken more often than that on average: take longer windows, a larger budget, or sealed devices, whom a beat wakes \
             as often as you choose."
                .to_owned(),
        ),
    }
}

fn choice(choice: &Choice, lines: &mut Vec<String>) {
    let size = u32::try_from(choice.size).map_or(f64::INFINITY, f64::from);
    lines.push(format!(
        "  Whoever watches for ever names a device with {:.2} % at best. Devices are woken {:.1} times a day, p95 {:.1}, p99 {:.1}.",
        100.0 / size,
        choice.wakeups.mean,
        choice.wakeups.p95,
        choice.wakeups.p99
    ));
    lines.push(format!("  Under the budget {}.", under_budget(&choice.capped)));
}

/// An attack on logs.
pub(super) fn attack(attack: &Attack) -> Vec<String> {
    let mut lines = vec![
        format!(
            "{} devices, {} pushes, {} accounts attacked; {} of them have no device that was pushed",
            attack.devices, attack.pushes, attack.accounts, attack.unpushed
        ),
        String::new(),
        format!(
            "{:<8}{:>10}{:>20}{:>20}{:>12}{:>13}",
            "events", "accounts", "best guess, %", "it was right, %", "EAS", "median rank"
        ),
    ];
    let line = |point: &AttackPoint| {
        format!(
            "{:<8}{:>10}{:>20}{:>20}{:>12}{:>13}",
            point.events,
            point.accounts,
            percent(point.top1, point.top1_error),
            percent(point.hit, point.hit_error),
            size(point.eas),
            size(point.rank)
        )
    };
    lines.extend(attack.points.iter().map(line));
    let history = &attack.history;
    lines.push(String::new());
    lines.push(format!(
        "Push histories: {} different ones. The smallest set of devices that share one has {}, the largest {}; {} devices are alone with theirs.",
        history.sets, history.smallest, history.largest, history.alone
    ));
    lines.push(match &attack.order {
        Some(order) => format!(
            "Order: rho = {:.3} ± {:.3} between arrival and departure, from {} pushes in {} batches.",
            order.rho, order.error, order.pushes, order.batches
        ),
        None => "Order: no batch in the log has two pushes with known events.".to_owned(),
    });
    lines
}

/// A share as percent, with as many digits as the value takes, and its error.
fn percent(share: f64, error: f64) -> String {
    let (percent, error) = (100.0 * share, 100.0 * error);
    let of_value = match percent {
        10.0.. => 1,
        1.0.. => 2,
        0.1.. => 3,
        _ => 4,
    };
    let of_error = match error {
        0.05.. => 1,
        0.005.. => 2,
        0.000_5.. => 3,
        0.000_05.. => 4,
        // No digit shows it.
        _ => 1,
    };
    let digits = of_value.max(of_error);
    format!("{percent:.digits$} ± {error:.digits$}")
}

/// A number of devices.
fn size(size: f64) -> String {
    if size < 99.5 { format!("{size:.1}") } else { grouped(size) }
}
