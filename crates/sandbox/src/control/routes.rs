//! The routes.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Query, State as Shared};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{StatusCode, header};
use reveille_service::problem::{Problem, method_not_allowed, not_found};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::fault::{FAULTS_MAX, Fault};
use crate::oauth;
use crate::state::State;

/// Longest a caller may wait for pushes, in seconds.
const WAIT_S_MAX: u64 = 300;

pub(crate) fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/received", get(received).delete(forget_received))
        .route("/faults", get(list_faults).post(add_faults).delete(clear_faults))
        .route("/stats", get(stats))
        .route("/tokens", post(add_token))
        .fallback(async || not_found())
        .method_not_allowed_fallback(async || method_not_allowed())
        .with_state(state)
}

/// `?received_min=N&wait_s=S`: answer once N pushes have arrived, or after S seconds.
#[derive(Debug, Deserialize)]
struct Wait {
    #[serde(default)]
    received_min: u64,
    #[serde(default)]
    wait_s: u64,
}

impl Wait {
    async fn over(&self, state: &State) {
        let wait = Duration::from_secs(self.wait_s.min(WAIT_S_MAX));
        // In time or not, the caller reads what there is.
        drop(tokio::time::timeout(wait, state.wait_for_total(self.received_min)).await);
    }
}

/// What arrived, oldest first, one JSON object a line.
async fn received(Shared(state): Shared<Arc<State>>, Query(wait): Query<Wait>) -> Response {
    wait.over(&state).await;
    let lines = state.log().ndjson();
    ([(header::CONTENT_TYPE, "application/x-ndjson")], lines).into_response()
}

async fn forget_received(Shared(state): Shared<Arc<State>>) -> StatusCode {
    state.clear_log();
    StatusCode::NO_CONTENT
}

async fn list_faults(Shared(state): Shared<Arc<State>>) -> Json<Vec<Fault>> {
    Json(state.faults().list().to_vec())
}

/// One fault, or a list of them.
async fn add_faults(Shared(state): Shared<Arc<State>>, body: Bytes) -> Result<StatusCode, Problem> {
    let refuse = |detail: String| {
        Problem::new(StatusCode::BAD_REQUEST, "bad-fault", "This fault cannot be played")
            .detail(detail)
    };
    let value: Value =
        serde_json::from_slice(&body).map_err(|error| refuse(format!("not JSON: {error}")))?;
    let posted = if value.is_array() { value } else { json!([value]) };
    let faults: Vec<Fault> =
        serde_json::from_value(posted).map_err(|error| refuse(error.to_string()))?;
    let mut in_force = state.faults();
    for fault in faults {
        if fault.provider.as_deref().is_some_and(|provider| provider != "fcm") {
            return Err(refuse(
                "`provider` must be \"fcm\" or absent; the others are not built yet".to_owned(),
            ));
        }
        if !in_force.add(fault) {
            return Err(refuse(format!(
                "there are {FAULTS_MAX} faults in force; DELETE /faults first"
            )));
        }
    }
    Ok(StatusCode::CREATED)
}

/// An access token as the token endpoint hands them out, for trying the FCM port by hand.
async fn add_token(Shared(state): Shared<Arc<State>>) -> Json<Value> {
    Json(oauth::hand_out(&state))
}

async fn clear_faults(Shared(state): Shared<Arc<State>>) -> StatusCode {
    state.faults().clear();
    StatusCode::NO_CONTENT
}

async fn stats(Shared(state): Shared<Arc<State>>, Query(wait): Query<Wait>) -> Json<Value> {
    wait.over(&state).await;
    let connections = *state.connections.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let log = state.log();
    Json(json!({
        "received": log.total(), "answers": log.answers(), "connections": connections,
        "faults": state.faults().list().len(),
    }))
}
