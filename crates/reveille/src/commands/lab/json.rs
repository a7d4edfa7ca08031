//! Results as programs read them. Chances are shares of one, times seconds.

use reveille_lab::{
    Attack, AttackPoint, Bound, Capped, Choice, Figure, Point, Proposal, Row, Wakeups,
};
use serde_json::{Value, json};

use super::table::Outcome;

/// A table, what is proposed, and what was checked.
pub(super) fn table(outcome: &Outcome) -> Value {
    let plan = &outcome.plan;
    let setting = &plan.setting;
    json!({
        "devices": setting.devices,
        "rate": setting.rate,
        "sigma": setting.sigma,
        "mean_delay_s": setting.mean_delay.to_std().as_secs_f64(),
        "trials": plan.trials,
        "seed": plan.seed,
        "wakeups_per_day": plan.per_day,
        "rows": outcome.rows.iter().map(row).collect::<Vec<_>>(),
        "proposal": proposal(&outcome.proposal),
        "check": outcome.figures.iter().map(figure).collect::<Vec<_>>(),
    })
}

fn row(row: &Row) -> Value {
    json!({
        "design": row.design.to_string(),
        "pushes_per_event": row.pushes_per_event,
        "wakeups_per_device_day": wakeups(&row.wakeups),
        "under_budget": row.capped.as_ref().map(capped),
        "order_rho": row.order_rho,
        "points": row.points.iter().map(point).collect::<Vec<_>>(),
    })
}

fn point(point: &Point) -> Value {
    json!({
        "events": point.events,
        "trials": point.trials,
        "top1": point.top1,
        "top1_se": point.top1_error,
        "hit": point.hit,
        "hit_se": point.hit_error,
        "eas": point.eas,
        "rank": point.rank,
    })
}

fn wakeups(wakeups: &Wakeups) -> Value {
    json!({ "mean": wakeups.mean, "p95": wakeups.p95, "p99": wakeups.p99 })
}

fn capped(capped: &Capped) -> Value {
    json!({
        "per_day": capped.per_day,
        "events_that_wait": capped.events,
        "mean_delay_s": capped.mean_delay_s,
        "longest_delay_s": capped.longest_delay_s,
        "wakeups_per_device_day": wakeups(&capped.wakeups),
    })
}

fn proposal(proposal: &Proposal) -> Value {
    json!({
        "per_day": proposal.per_day,
        "usable_per_day": proposal.usable,
        "proposed": proposal.calm.as_ref().map(choice),
        "most": proposal.most.as_ref().map(choice),
    })
}

fn choice(choice: &Choice) -> Value {
    json!({
        "k": choice.size,
        "wakeups_per_device_day": wakeups(&choice.wakeups),
        "under_budget": capped(&choice.capped),
    })
}

fn figure(figure: &Figure) -> Value {
    let (kind, reference, tolerance) = match figure.bound {
        Bound::Near { reference, tolerance } => ("near", reference, Some(tolerance)),
        Bound::AtMost(most) => ("at_most", most, None),
        Bound::AtLeast(least) => ("at_least", least, None),
    };
    json!({
        "design": figure.design.to_string(),
        "figure": figure.what,
        "measured": figure.measured,
        "bound": kind,
        "reference": reference,
        "tolerance": tolerance,
        "ok": figure.is_ok(),
    })
}

/// An attack on logs.
pub(super) fn attack(attack: &Attack) -> Value {
    let order = attack.order.as_ref().map(|order| {
        json!({
            "rho": order.rho,
            "se": order.error,
            "batches": order.batches,
            "pushes": order.pushes,
        })
    });
    json!({
        "devices": attack.devices,
        "pushes": attack.pushes,
        "accounts": attack.accounts,
        "accounts_never_pushed": attack.unpushed,
        "points": attack.points.iter().map(attack_point).collect::<Vec<_>>(),
        "histories": {
            "sets": attack.history.sets,
            "smallest": attack.history.smallest,
            "largest": attack.history.largest,
            "alone": attack.history.alone,
        },
        "order": order,
    })
}

fn attack_point(point: &AttackPoint) -> Value {
    json!({
        "events": point.events,
        "accounts": point.accounts,
        "top1": point.top1,
        "top1_se": point.top1_error,
        "hit": point.hit,
        "hit_se": point.hit_error,
        "eas": point.eas,
        "rank": point.rank,
    })
}
