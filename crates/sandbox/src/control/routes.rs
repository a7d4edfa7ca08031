//! The routes, and those of them that only show something.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State as Shared};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{StatusCode, header};
use reveille_model::Provider;
use reveille_service::problem::{Problem, method_not_allowed, not_found};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::change::{
    add_faults, add_subscription, add_token, change_settings, clear_faults, forget_received,
};
use crate::fault::Fault;
use crate::state::State;

/// Longest a caller may wait for pushes, in seconds.
const WAIT_S_MAX: u64 = 300;

pub(crate) fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/received", get(received).delete(forget_received))
        .route("/faults", get(list_faults).post(add_faults).delete(clear_faults))
        .route("/stats", get(stats))
        .route("/tokens", post(add_token))
        .route("/subscriptions", post(add_subscription))
        .route("/settings", post(change_settings))
        .fallback(async || not_found())
        .method_not_allowed_fallback(async || method_not_allowed())
        .with_state(state)
}

/// `?provider=P&received_min=N&wait_s=S`: of one provider, and once N pushes have arrived there, or after S seconds.
#[derive(Debug, Deserialize)]
struct Asked {
    provider: Option<String>,
    #[serde(default)]
    received_min: u64,
    #[serde(default)]
    wait_s: u64,
}

/// The provider asked for, after the wait.
async fn over(
    asked: Result<Query<Asked>, QueryRejection>,
    state: &State,
) -> Result<Option<Provider>, Problem> {
    let refuse = |detail: String| {
        Problem::new(StatusCode::BAD_REQUEST, "bad-query", "This cannot be shown").detail(detail)
    };
    let Query(asked) = asked.map_err(|error| refuse(error.body_text()))?;
    let provider = match asked.provider.as_deref() {
        None => None,
        Some(word) => Some(Provider::parse(word).ok_or_else(|| {
            refuse("`provider` must be \"apns\", \"fcm\" or \"webpush\"".to_owned())
        })?),
    };
    let time = Duration::from_secs(asked.wait_s.min(WAIT_S_MAX));
    // In time or not, the caller reads what there is.
    drop(tokio::time::timeout(time, state.wait_for_total(provider, asked.received_min)).await);
    Ok(provider)
}

/// What arrived, oldest first, one JSON object a line.
async fn received(
    Shared(state): Shared<Arc<State>>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Problem> {
    let provider = over(asked, &state).await?;
    let lines = state.log().ndjson(provider);
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], lines).into_response())
}

async fn list_faults(Shared(state): Shared<Arc<State>>) -> Json<Vec<Fault>> {
    Json(state.faults().list().to_vec())
}

async fn stats(
    Shared(state): Shared<Arc<State>>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    over(asked, &state).await?;
    let faults = state.faults().list().len();
    let log = state.log();
    let sum = |count: fn(&crate::state::Port) -> u64| -> u64 {
        Provider::ALL.into_iter().map(|provider| count(state.port(provider))).sum()
    };
    let mut providers = Map::new();
    for provider in Provider::ALL {
        let port = state.port(provider);
        let shown = json!({
            "received": log.totals().of(Some(provider)),
            "answers": log.answers(Some(provider)),
            "refused": log.refused(provider),
            "connections": port.connections(),
            "violations": port.violations(),
            "streams_max": *port.streams_max.borrow(),
        });
        providers.insert(provider.as_str().to_owned(), shown);
    }
    Ok(Json(json!({
        "received": log.totals().of(None),
        "answers": log.answers(None),
        "connections": sum(crate::state::Port::connections),
        "violations": sum(crate::state::Port::violations),
        "faults": faults,
        "providers": providers,
    })))
}
