//! What strangers may ask for: the key to subscribe a browser with, and a user of their own.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::error::ApiError;
use super::CallerError;
use super::router::PublicState;

/// The key browsers subscribe with.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct KeyResponse {
    /// An uncompressed P-256 point in base64url: what `applicationServerKey` takes.
    key: String,
}

/// A user without an account.
#[derive(Serialize, ToSchema)]
pub(super) struct AnonymousResponse {
    /// The user, to be named to whoever sends notifications.
    user: String,
    /// What proves it, as `Authorization: Bearer …`. Shown once.
    token: String,
}

/// The VAPID public key (RFC 8292).
#[utoipa::path(
    get, path = "/v1/webpush/key", tag = "browsers", security(()),
    responses(
        (status = 200, description = "The key", body = KeyResponse),
        (status = 404, description = "There is no [webpush] section", content_type = "application/problem+json"),
        (status = 429, description = "Too many requests; see Retry-After", content_type = "application/problem+json"),
    ),
)]
pub(super) async fn webpush_key(
    State(state): State<PublicState>,
) -> Result<Json<KeyResponse>, ApiError> {
    let settings = &state.devices.intake.settings;
    let key = settings.browser_key.as_ref().ok_or(CallerError::NoBrowsers)?;
    Ok(Json(KeyResponse { key: key.get().public.clone() }))
}

/// Gives a device without an account a user of its own. Nothing is kept of it until it registers a device.
#[utoipa::path(
    post, path = "/v1/anonymous", tag = "anonymous", security(()),
    responses(
        (status = 201, description = "A new user", body = AnonymousResponse),
        (status = 403, description = "A page of another site", content_type = "application/problem+json"),
        (status = 404, description = "push.public.auth.anonymous is off", content_type = "application/problem+json"),
        (status = 429, description = "Too many requests; see Retry-After", content_type = "application/problem+json"),
    ),
)]
pub(super) async fn post_anonymous(
    State(state): State<PublicState>,
) -> Result<(StatusCode, Json<AnonymousResponse>), ApiError> {
    let anonymous = state.identity.anonymous().ok_or(CallerError::NoAnonymous)?;
    let number = state.devices.intake.random_16();
    let minted = anonymous.mint(number).ok_or(CallerError::NoAnonymous)?;
    let response = AnonymousResponse { user: minted.user.expose().to_owned(), token: minted.token };
    Ok((StatusCode::CREATED, Json(response)))
}
