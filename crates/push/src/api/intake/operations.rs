//! Health and metrics.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;
use metrics::gauge;
use reveille_model::{CredentialSet, Duration, Settled, Timestamp, Topic};
use reveille_service::problem::Problem;
use reveille_store::Depth;
use serde_json::json;

use super::router::ApiState;
use crate::metrics::{
    FEEDBACK_OLDEST, FEEDBACK_UNTOLD, LEDGER, OUTBOX_OLDEST, OUTBOX_SCHEDULED, QUARANTINE,
    SUBSCRIPTIONS, SUBSCRIPTIONS_BY_PROVIDER, SUBSCRIPTIONS_REFRESHED, float,
};

/// Ages by which subscriptions are counted, in days.
const AGES_DAYS: [u16; 7] = [1, 2, 7, 30, 90, 180, 365];

/// Longest time the store may take for what is measured of it. Prometheus gives up after ten seconds, and nothing else would be seen of a node either.
const MEASURE_TIME_MAX: Duration = Duration::from_s(3);

/// Whether the process is alive.
#[utoipa::path(get, path = "/healthz", tag = "operations", responses((status = 200, description = "It is")))]
pub(crate) async fn healthz() -> Json<serde_json::Value> {
    Json(json!({"status": "alive"}))
}

/// Whether it can accept notifications: the store takes writes, and no stop is under way.
#[utoipa::path(
    get, path = "/readyz", tag = "operations",
    responses(
        (status = 200, description = "It can"),
        (status = 503, description = "It cannot, and why", content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn readyz(
    State(state): State<ApiState>,
) -> Result<Json<serde_json::Value>, Problem> {
    state.readiness.answer().await
}

/// Everything measured, in the Prometheus text format.
#[utoipa::path(get, path = "/metrics", tag = "operations", responses((status = 200, description = "Prometheus text format")))]
pub(crate) async fn metrics(State(state): State<ApiState>) -> Response {
    let measured = tokio::time::timeout(MEASURE_TIME_MAX.to_std(), measure(&state)).await;
    if measured.is_err() {
        tracing::error!(
            "the store does not answer in time: what is measured of it is of the last look"
        );
    }
    let text = state.metrics.render();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// What the store is asked for.
async fn measure(state: &ApiState) {
    match state.intake.store.depth().await {
        Ok(depth) => show_depth(&depth, state.intake.clock.now()),
        Err(error) => tracing::error!(%error, "the outbox cannot be measured"),
    }
    match state.intake.store.count().await {
        Ok((all, suspect)) => {
            gauge!(SUBSCRIPTIONS, "state" => "all").set(float(all));
            gauge!(SUBSCRIPTIONS, "state" => "suspect").set(float(suspect));
        }
        Err(error) => tracing::error!(%error, "the subscriptions cannot be counted"),
    }
    match state.intake.store.kinds().await {
        Ok(kinds) => show_kinds(&kinds),
        Err(error) => tracing::error!(%error, "the subscriptions' kinds cannot be counted"),
    }
    match state.intake.store.refresh_days().await {
        Ok(days) => show_ages(state, &days),
        Err(error) => tracing::error!(%error, "the subscriptions' ages cannot be counted"),
    }
    show_feedback(state).await;
}

fn show_kinds(kinds: &[(CredentialSet, Option<Topic>, u64)]) {
    for (set, topic, count) in kinds {
        let topic = topic.as_ref().map_or_else(String::new, |topic| topic.as_str().to_owned());
        gauge!(
            SUBSCRIPTIONS_BY_PROVIDER,
            "provider" => set.provider().as_str(), "set" => set.to_string(), "topic" => topic
        )
        .set(float(*count));
    }
}

/// How long ago apps registered their devices, by day.
fn show_ages(state: &ApiState, refresh_days: &[(i64, u64)]) {
    let since = |day: i64| {
        let after = refresh_days.iter().filter(|(each, _)| *each > day);
        after.map(|(_, count)| count).sum()
    };
    let today = state.intake.clock.now().day();
    for days in AGES_DAYS {
        let count = since(today - i64::from(days));
        gauge!(SUBSCRIPTIONS_REFRESHED, "days" => days.to_string()).set(float(count));
    }
    if let Some(before) = state.intake.stale_before() {
        let all: u64 = refresh_days.iter().map(|(_, count)| count).sum();
        gauge!(SUBSCRIPTIONS, "state" => "stale").set(float(all - since(before.day() - 1)));
    }
}

async fn show_feedback(state: &ApiState) {
    let store = &state.intake.store;
    match store.quarantined_count().await {
        Ok(count) => gauge!(QUARANTINE).set(float(count)),
        Err(error) => tracing::error!(%error, "the quarantine cannot be counted"),
    }
    match store.untold_count().await {
        Ok((count, oldest)) => {
            gauge!(FEEDBACK_UNTOLD).set(float(count));
            let age = oldest.map_or(Duration::ZERO, |at| state.intake.clock.now().since(at));
            gauge!(FEEDBACK_OLDEST).set(age.to_std().as_secs_f64());
        }
        Err(error) => tracing::error!(%error, "deaths to be told cannot be counted"),
    }
}

fn show_depth(depth: &Depth, now: Timestamp) {
    let ledger = depth.ledger;
    gauge!(LEDGER, "state" => "accepted").set(float(ledger.accepted));
    gauge!(LEDGER, "state" => "waiting").set(float(ledger.waiting));
    gauge!(LEDGER, "state" => "collapsed").set(float(ledger.collapsed));
    for how in Settled::ALL {
        gauge!(LEDGER, "state" => how.as_str()).set(float(ledger.settled(how)));
    }
    gauge!(OUTBOX_SCHEDULED).set(float(depth.scheduled));
    let overdue = depth.oldest_window_end.map_or(Duration::ZERO, |end| now.since(end));
    gauge!(OUTBOX_OLDEST).set(overdue.to_std().as_secs_f64());
}
