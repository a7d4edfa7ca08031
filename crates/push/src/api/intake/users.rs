//! `/v1/users/{user}`: a user who has looked, and a user who goes.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::router::ApiState;
use super::subscriptions::parse_user;
use crate::api::error::ApiError;
use crate::api::extract::Path;

/// What was cancelled.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FetchedResponse {
    /// Wake-ups that waited to be sent or tried again. Those of a window that is still open are cancelled when it ends.
    cancelled: u64,
}

/// The user has looked: what waits for their devices is cancelled.
///
/// Nothing of a cohort is: nobody knows whose it was, and cancelling one wake-up of it would tell who has looked.
#[utoipa::path(
    post, path = "/v1/users/{user}/fetched", tag = "users",
    params(("user" = String, Path, description = "1 to 255 bytes, the caller's name for the user")),
    responses(
        (status = 200, description = "What was cancelled", body = FetchedResponse),
        (status = 400, description = "The user does not fit", content_type = "application/problem+json"),
        (status = 401, description = "No or a wrong bearer token", content_type = "application/problem+json"),
        (status = 503, description = "The store cannot be used", content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn fetched(
    State(state): State<ApiState>,
    Path(user): Path<String>,
) -> Result<Json<FetchedResponse>, ApiError> {
    let cancelled = state.intake.fetched(&parse_user(&user)?).await?;
    Ok(Json(FetchedResponse { cancelled }))
}

/// Removes every trace of a user: devices, preferences, counters, inbox, what waits and what is scheduled for them.
///
/// Of a user who was in a cohort a keyed hash of the name stays until the cohort is retired, so that it is not told apart by falling silent when
/// they go (unless `push.mix.ghost_after_erasure` is off).
///
/// Answers once nothing of them is in any file of the store.
#[utoipa::path(
    delete, path = "/v1/users/{user}", tag = "users",
    params(("user" = String, Path, description = "1 to 255 bytes, the caller's name for the user")),
    responses(
        (status = 204, description = "Nothing of them is left, or there was nothing"),
        (status = 400, description = "The user does not fit", content_type = "application/problem+json"),
        (status = 401, description = "No or a wrong bearer token", content_type = "application/problem+json"),
        (status = 503, description = "The store cannot be used", content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn erase(
    State(state): State<ApiState>,
    Path(user): Path<String>,
) -> Result<StatusCode, ApiError> {
    state.intake.erase(&parse_user(&user)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
