//! `GET` and `DELETE /v1/notifications/{id}`: what became of a notification, and taking it back.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use reveille_model::{NotificationId, Settled};
use reveille_service::text_time;
use reveille_store::{TakeBack, Trail};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::error::ApiError;
use super::super::extract::Path;
use super::router::ApiState;

/// What became of a notification: counts, never a user or a token.
///
/// Of users who are woken in cohorts it ends where they left with their cohort: which devices were meant is not kept anywhere, so that nothing
/// more can be said of them.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TrailResponse {
    id: String,
    /// `scheduled`, `waiting`, `settled` or `taken_back`. Cohorts are settled once their window has left.
    state: &'static str,
    /// The end of the window it joined (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    window_end: Option<String>,
    /// When it joins a window (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    deliver_after: Option<String>,
    cohorts: TrailCohorts,
    /// Those for devices that are in no cohort.
    wakeups: TrailCounts,
}

/// The cohorts it wakes.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TrailCohorts {
    /// How many.
    count: u64,
    /// Whether their window has left. A cohort that was woken too often today, or whose users still wait to be enough, leaves in a longer one
    /// of its own: whether it has is not told, since it would tell which cohort it is.
    left: bool,
}

/// How many of its wake-ups are where.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TrailCounts {
    /// In all.
    accepted: u64,
    /// Kept from leaving by a limit.
    limited: u64,
    /// Joined another wake-up for the same device.
    collapsed: u64,
    /// Not left, or to be tried again.
    waiting: u64,
    /// Taken by the provider.
    sent: u64,
    /// The provider says the token is dead.
    dead: u64,
    /// Their time to live ran out.
    expired: u64,
    /// Their device is gone.
    cancelled: u64,
    /// They could not be sent.
    payload_error: u64,
    /// Checked by the provider.
    dry_run: u64,
}

impl From<Trail> for TrailResponse {
    fn from(trail: Trail) -> Self {
        let ledger = trail.ledger;
        let state = if trail.taken_back {
            "taken_back"
        } else if trail.window_end.is_none() {
            "scheduled"
        } else if ledger.waiting > 0 || (trail.cohorts > 0 && !trail.has_left) {
            "waiting"
        } else {
            "settled"
        };
        Self {
            id: trail.id.to_string(),
            state,
            window_end: trail.window_end.map(text_time::format),
            deliver_after: trail.deliver_after.map(text_time::format),
            cohorts: TrailCohorts {
                count: trail.cohorts,
                left: trail.cohorts > 0 && trail.has_left,
            },
            wakeups: TrailCounts {
                accepted: ledger.accepted,
                limited: ledger.settled(Settled::Limited),
                collapsed: ledger.collapsed,
                waiting: ledger.waiting,
                sent: ledger.settled(Settled::Sent),
                dead: ledger.settled(Settled::Dead),
                expired: ledger.settled(Settled::Expired),
                cancelled: ledger.settled(Settled::Cancelled),
                payload_error: ledger.settled(Settled::PayloadError),
                dry_run: ledger.settled(Settled::DryRun),
            },
        }
    }
}

/// Shows what became of a notification. In mode `cohort` a trail ends at "left with its cohort".
#[utoipa::path(
    get, path = "/v1/notifications/{id}", tag = "intake",
    params(("id" = String, Path, description = "As answered by POST /v1/notifications")),
    responses(
        (status = 200, description = "Its trail", body = TrailResponse),
        (status = 401, description = "No or a wrong bearer token", content_type = "application/problem+json"),
        (status = 404, description = "Unknown, or no longer kept", content_type = "application/problem+json"),
        (status = 503, description = "The store cannot be used", content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn get_notification(
    State(state): State<ApiState>,
    Path(id): Path<String>,
) -> Result<Json<TrailResponse>, ApiError> {
    let id = NotificationId::parse(&id).map_err(|_| ApiError::UnknownNotification)?;
    let trail = state.intake.store.find(id).await?.ok_or(ApiError::UnknownNotification)?;
    Ok(Json(trail.into()))
}

/// Takes back a notification whose `deliver_after` has not come.
#[utoipa::path(
    delete, path = "/v1/notifications/{id}", tag = "intake",
    params(("id" = String, Path, description = "As answered by POST /v1/notifications")),
    responses(
        (status = 204, description = "It will never leave"),
        (status = 401, description = "No or a wrong bearer token", content_type = "application/problem+json"),
        (status = 404, description = "Unknown, or no longer kept", content_type = "application/problem+json"),
        (status = 409, description = "It has joined a window", content_type = "application/problem+json"),
        (status = 503, description = "The store cannot be used", content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn delete_notification(
    State(state): State<ApiState>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let id = NotificationId::parse(&id).map_err(|_| ApiError::UnknownNotification)?;
    match state.intake.store.take_back(id).await? {
        TakeBack::Taken => Ok(StatusCode::NO_CONTENT),
        TakeBack::TooLate => Err(ApiError::TooLate),
        TakeBack::Unknown => Err(ApiError::UnknownNotification),
    }
}
