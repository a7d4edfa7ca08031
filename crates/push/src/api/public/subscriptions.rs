//! `/v1/subscriptions`: the devices of whoever is calling. Tokens are never shown.

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, State};
use http::{HeaderMap, StatusCode};
use reveille_model::User;

use super::super::devices::{
    ChangeRequest, DeletedResponse, SubscriptionRequest, SubscriptionResponse, VerifyRequest,
    WhoseWord,
};
use super::super::error::ApiError;
use super::super::extract::Path;
use super::router::PublicState;

/// Registers this device, or refreshes its registration; to be called at each launch. A token that another user had is theirs no longer.
///
/// Where `push.subscriptions.verify` is on, a new device has `verified: false`, and counts once it has shown the `nonce` of the push of type
/// `verifyV1` that it gets (`POST /v1/subscriptions/{id}/verify`).
#[utoipa::path(
    post, path = "/v1/subscriptions", tag = "subscriptions",
    request_body = SubscriptionRequest,
    responses(
        (status = 200, description = "Known; refreshed", body = SubscriptionResponse),
        (status = 201, description = "New, or another user's before", body = SubscriptionResponse),
        (status = 400, description = "The body does not fit", content_type = "application/problem+json"),
        (status = 401, description = "Who is calling is not known", content_type = "application/problem+json"),
        (status = 403, description = "A page of another site", content_type = "application/problem+json"),
        (status = 404, description = "No such provider", content_type = "application/problem+json"),
        (status = 408, description = "The body took too long", content_type = "application/problem+json"),
        (status = 413, description = "Too large", content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", content_type = "application/problem+json"),
        (status = 429, description = "Too many requests; see Retry-After", content_type = "application/problem+json"),
        (status = 503, description = "Overloaded; see Retry-After", content_type = "application/problem+json"),
    ),
)]
pub(super) async fn post_subscription(
    State(state): State<PublicState>,
    Extension(user): Extension<User>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<SubscriptionResponse>), ApiError> {
    state.devices.register(user, WhoseWord::Users, &headers, body).await
}

/// Lists my devices.
#[utoipa::path(
    get, path = "/v1/subscriptions", tag = "subscriptions",
    responses(
        (status = 200, description = "Oldest first", body = Vec<SubscriptionResponse>),
        (status = 401, description = "Who is calling is not known", content_type = "application/problem+json"),
        (status = 429, description = "Too many requests; see Retry-After", content_type = "application/problem+json"),
        (status = 503, description = "The store cannot be used", content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list_subscriptions(
    State(state): State<PublicState>,
    Extension(user): Extension<User>,
) -> Result<Json<Vec<SubscriptionResponse>>, ApiError> {
    state.devices.list(&user).await
}

/// Deletes all my devices. What waits for them is cancelled.
#[utoipa::path(
    delete, path = "/v1/subscriptions", tag = "subscriptions",
    responses(
        (status = 200, description = "How many there were", body = DeletedResponse),
        (status = 401, description = "Who is calling is not known", content_type = "application/problem+json"),
        (status = 403, description = "A page of another site", content_type = "application/problem+json"),
        (status = 429, description = "Too many requests; see Retry-After", content_type = "application/problem+json"),
        (status = 503, description = "The store cannot be used", content_type = "application/problem+json"),
    ),
)]
pub(super) async fn delete_subscriptions(
    State(state): State<PublicState>,
    Extension(user): Extension<User>,
) -> Result<Json<DeletedResponse>, ApiError> {
    state.devices.delete_all(&user).await
}

/// Shows one of my devices.
#[utoipa::path(
    get, path = "/v1/subscriptions/{id}", tag = "subscriptions",
    params(("id" = String, Path, description = "What registering it gave")),
    responses(
        (status = 200, description = "The device", body = SubscriptionResponse),
        (status = 400, description = "The path is no text", content_type = "application/problem+json"),
        (status = 401, description = "Who is calling is not known", content_type = "application/problem+json"),
        (status = 404, description = "I have no such device", content_type = "application/problem+json"),
        (status = 429, description = "Too many requests; see Retry-After", content_type = "application/problem+json"),
        (status = 503, description = "The store cannot be used", content_type = "application/problem+json"),
    ),
)]
pub(super) async fn get_subscription(
    State(state): State<PublicState>,
    Extension(user): Extension<User>,
    Path(id): Path<String>,
) -> Result<Json<SubscriptionResponse>, ApiError> {
    state.devices.get(&user, &id).await
}

/// Changes one of my devices: the token that its provider has put in the place of the one before, or whether it is sealed.
#[utoipa::path(
    patch, path = "/v1/subscriptions/{id}", tag = "subscriptions",
    params(("id" = String, Path, description = "What registering it gave")),
    request_body = ChangeRequest,
    responses(
        (status = 200, description = "The device as it is now", body = SubscriptionResponse),
        (status = 400, description = "The body does not fit", content_type = "application/problem+json"),
        (status = 401, description = "Who is calling is not known", content_type = "application/problem+json"),
        (status = 403, description = "A page of another site", content_type = "application/problem+json"),
        (status = 404, description = "I have no such device", content_type = "application/problem+json"),
        (status = 408, description = "The body took too long", content_type = "application/problem+json"),
        (status = 413, description = "Too large", content_type = "application/problem+json"),
        (status = 409, description = "Another token has to be proven: register it", content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", content_type = "application/problem+json"),
        (status = 422, description = "A browser, or an app that shows its pushes, cannot be sealed", content_type = "application/problem+json"),
        (status = 429, description = "Too many requests; see Retry-After", content_type = "application/problem+json"),
        (status = 503, description = "Overloaded; see Retry-After", content_type = "application/problem+json"),
    ),
)]
pub(super) async fn patch_subscription(
    State(state): State<PublicState>,
    Extension(user): Extension<User>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<SubscriptionResponse>, ApiError> {
    state.devices.patch((&user, WhoseWord::Users), &id, &headers, body).await
}

/// Deletes one of my devices. What waits for it is cancelled.
#[utoipa::path(
    delete, path = "/v1/subscriptions/{id}", tag = "subscriptions",
    params(("id" = String, Path, description = "What registering it gave")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 400, description = "The path is no text", content_type = "application/problem+json"),
        (status = 401, description = "Who is calling is not known", content_type = "application/problem+json"),
        (status = 403, description = "A page of another site", content_type = "application/problem+json"),
        (status = 404, description = "I have no such device", content_type = "application/problem+json"),
        (status = 429, description = "Too many requests; see Retry-After", content_type = "application/problem+json"),
        (status = 503, description = "The store cannot be used", content_type = "application/problem+json"),
    ),
)]
pub(super) async fn delete_subscription(
    State(state): State<PublicState>,
    Extension(user): Extension<User>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    state.devices.delete(&user, &id).await
}

/// Shows that this device has its token: the nonce of the push it got. From now on it counts.
#[utoipa::path(
    post, path = "/v1/subscriptions/{id}/verify", tag = "subscriptions",
    params(("id" = String, Path, description = "What registering it gave")),
    request_body = VerifyRequest,
    responses(
        (status = 200, description = "It is registered", body = SubscriptionResponse),
        (status = 400, description = "The body does not fit", content_type = "application/problem+json"),
        (status = 401, description = "Who is calling is not known", content_type = "application/problem+json"),
        (status = 403, description = "Another nonce, or a page of another site", content_type = "application/problem+json"),
        (status = 404, description = "I have no such device waiting", content_type = "application/problem+json"),
        (status = 408, description = "The body took too long", content_type = "application/problem+json"),
        (status = 413, description = "Too large", content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", content_type = "application/problem+json"),
        (status = 429, description = "Too many requests; see Retry-After", content_type = "application/problem+json"),
        (status = 503, description = "Overloaded; see Retry-After", content_type = "application/problem+json"),
    ),
)]
pub(super) async fn verify_subscription(
    State(state): State<PublicState>,
    Extension(user): Extension<User>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<SubscriptionResponse>, ApiError> {
    state.devices.verify(&user, &id, &headers, body).await
}
