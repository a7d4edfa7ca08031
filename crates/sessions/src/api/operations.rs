//! Health and metrics.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;
use reveille_service::problem::Problem;
use reveille_store::StoreError;

use super::router::ApiState;
use crate::metrics::show_usage;

/// Whether the process is alive, in the reference's words. The store is not asked.
#[utoipa::path(get, path = "/healthz", tag = "operations", responses((status = 200, description = "It is")))]
pub(super) async fn healthz() -> Response {
    let unknown = "unknown";
    let body = format!(
        "{{\n  \"version\": \"{}\",\n  \"build_date\": \"{unknown}\",\n  \"build_host\": \"{unknown}\",\n  \"go_version\": \"{unknown}\"\n}}",
        env!("CARGO_PKG_VERSION")
    );
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// Whether it can do its work: the store does something real, and no stop is under way.
#[utoipa::path(
    get, path = "/readyz", tag = "operations",
    responses(
        (status = 200, description = "It can"),
        (status = 503, description = "It cannot, and why", content_type = "application/problem+json"),
    ),
)]
pub(super) async fn readyz(
    State(state): State<ApiState>,
) -> Result<Json<serde_json::Value>, Problem> {
    state.readiness.answer().await
}

/// Everything measured, in the Prometheus text format.
#[utoipa::path(get, path = "/metrics", tag = "operations", responses((status = 200, description = "Prometheus text format")))]
pub(super) async fn metrics(State(state): State<ApiState>) -> Response {
    // Whatever has become of the store, this is how people find out.
    let counted = tokio::time::timeout(state.deadline.to_std(), state.store.usage()).await;
    match counted
        .unwrap_or_else(|_| Err(StoreError::Unavailable("it does not count in time".to_owned())))
    {
        Ok(usage) => {
            for (namespace, usage) in usage.unwrap_or_default() {
                show_usage(namespace.as_str(), usage);
            }
        }
        Err(error) => state.troubles.report(&error.to_string()),
    }
    let text = state.metrics.render();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
