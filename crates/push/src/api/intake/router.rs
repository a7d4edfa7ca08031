//! Every route of the private API, on one screen.

use std::sync::Arc;

use aws_lc_rs::hmac;
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::{delete, get, post};
use metrics_exporter_prometheus::PrometheusHandle;
use reveille_service::auth::{self, Caller, Callers};
use reveille_service::body::BodyLimits;
use reveille_service::clock::Stopwatch;
use reveille_service::health::Readiness;
use reveille_service::problem::{method_not_allowed, not_found};
use reveille_service::{http_metrics, request_id};
use reveille_store::Destination;
use tokio::sync::watch;

use super::super::devices::Devices;
use super::super::error::ApiError;
use super::super::headers;
use super::{
    docs, halting, importing, info, message, notifications, operations, quarantine, subscriptions,
    trail, users,
};
use crate::board::Went;
use crate::compat;
use crate::halting::Halting;
use crate::intake::Intake;

/// What handlers share.
#[derive(Clone)]
pub(crate) struct ApiState {
    pub(crate) intake: Arc<Intake>,
    pub(crate) devices: Devices,
    pub(crate) bodies: BodyLimits,
    /// Hashes idempotency keys and bodies.
    pub(crate) hmac: Arc<hmac::Key>,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) metrics: PrometheusHandle,
    /// Who is told of deaths.
    pub(crate) tell: Vec<Destination>,
    /// Told when there are new ones.
    pub(crate) deaths: watch::Sender<()>,
    /// Where delivery is halted.
    pub(crate) halting: Halting,
}

impl ApiState {
    /// Refuses a caller who has so much waiting that others would have no room.
    pub(super) async fn has_room_for(&self, caller: Caller) -> Result<(), ApiError> {
        if self.intake.has_room_for(caller).await? { Ok(()) } else { Err(ApiError::OverShare) }
    }
}

/// `console`: its routes, where it is on.
pub(crate) fn router(state: ApiState, callers: Callers, console: Option<Router>) -> Router {
    let api = Router::new()
        .route("/v1/message/{provider}", post(message::post_message))
        .route("/v1/events/{provider}", post(message::post_message))
        .route("/v1/notifications", post(notifications::post_notifications))
        .route(
            "/v1/notifications/{id}",
            get(trail::get_notification).delete(trail::delete_notification),
        )
        .route(
            "/v1/users/{user}/subscriptions",
            post(subscriptions::post_subscription)
                .get(subscriptions::list_subscriptions)
                .delete(subscriptions::delete_subscriptions),
        )
        .route(
            "/v1/users/{user}/subscriptions/{id}",
            get(subscriptions::get_subscription)
                .patch(subscriptions::patch_subscription)
                .delete(subscriptions::delete_subscription),
        )
        .route("/v1/subscriptions/import", post(importing::post_import))
        .route("/v1/users/{user}", delete(users::erase))
        .route("/v1/users/{user}/fetched", post(users::fetched))
        .route("/v1/pause", get(halting::get_pause).post(halting::post_pause))
        .route("/v1/resume", post(halting::post_resume))
        .route("/v1/quarantine", get(quarantine::list))
        .route("/v1/quarantine/release", post(quarantine::release))
        .route("/v1/quarantine/drop", post(quarantine::drop_devices))
        .route_layer(from_fn_with_state(callers, auth::require))
        .route_layer(from_fn_with_state(state.clone(), note));
    let operations = Router::new()
        .route("/healthz", get(operations::healthz))
        .route("/readyz", get(operations::readyz))
        .route("/metrics", get(operations::metrics))
        .route("/openapi.json", get(docs::spec))
        .route("/docs", get(docs::page))
        .route("/_info", get(info::info))
        .route("/_info/name", get(info::name))
        .route("/_info/version", get(info::version))
        .route("/_info/home", get(info::home))
        .route("/robots.txt", get(info::robots))
        .route("/", get(info::root));
    api.merge(operations)
        .with_state(state)
        .merge(console.unwrap_or_default())
        .fallback(async || not_found())
        .method_not_allowed_fallback(async || method_not_allowed())
        .layer(from_fn(compat::measure))
        .layer(from_fn(http_metrics::measure))
        .layer(from_fn(request_id::echo))
        .layer(from_fn(headers::secure))
}

/// Takes note of how long callers wait, and of what is our fault.
async fn note(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let watch = Stopwatch::start();
    let response = next.run(request).await;
    let went = if response.status().is_server_error() { Went::Badly } else { Went::Well };
    state.intake.board.answered(state.intake.clock.now(), watch.seconds(), went);
    response
}
