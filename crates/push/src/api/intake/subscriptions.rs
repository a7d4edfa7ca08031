//! `/v1/users/{user}/subscriptions`: for sites that register devices themselves, and for support. Tokens are never shown.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use reveille_model::User;

use super::super::devices::{
    ChangeRequest, DeletedResponse, SubscriptionRequest, SubscriptionResponse, WhoseWord,
};
use super::super::error::ApiError;
use super::super::extract::Path;
use super::router::ApiState;

/// Registers a device of a user, or refreshes its registration.
#[utoipa::path(
    post, path = "/v1/users/{user}/subscriptions", tag = "subscriptions",
    params(("user" = String, Path, description = "1 to 255 bytes, the caller's name for the user")),
    request_body = SubscriptionRequest,
    responses(
        (status = 200, description = "Known; refreshed", body = SubscriptionResponse),
        (status = 201, description = "New, or another user's before", body = SubscriptionResponse),
        (status = 400, description = "The body does not fit", content_type = "application/problem+json"),
        (status = 401, description = "No or a wrong bearer token", content_type = "application/problem+json"),
        (status = 404, description = "No such provider", content_type = "application/problem+json"),
        (status = 408, description = "The body took too long", content_type = "application/problem+json"),
        (status = 413, description = "Too large", content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", content_type = "application/problem+json"),
        (status = 503, description = "Overloaded; see Retry-After", content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn post_subscription(
    State(state): State<ApiState>,
    Path(user): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<SubscriptionResponse>), ApiError> {
    let user = parse_user(&user)?;
    state.devices.register(user, WhoseWord::Sites, &headers, body).await
}

/// Lists the devices of a user.
#[utoipa::path(
    get, path = "/v1/users/{user}/subscriptions", tag = "subscriptions",
    params(("user" = String, Path, description = "1 to 255 bytes, the caller's name for the user")),
    responses(
        (status = 200, description = "Oldest first", body = Vec<SubscriptionResponse>),
        (status = 400, description = "The user does not fit", content_type = "application/problem+json"),
        (status = 401, description = "No or a wrong bearer token", content_type = "application/problem+json"),
        (status = 503, description = "The store cannot be used", content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn list_subscriptions(
    State(state): State<ApiState>,
    Path(user): Path<String>,
) -> Result<Json<Vec<SubscriptionResponse>>, ApiError> {
    state.devices.list(&parse_user(&user)?).await
}

/// Shows a device of a user.
#[utoipa::path(
    get, path = "/v1/users/{user}/subscriptions/{id}", tag = "subscriptions",
    params(
        ("user" = String, Path, description = "1 to 255 bytes, the caller's name for the user"),
        ("id" = String, Path, description = "What registering it gave"),
    ),
    responses(
        (status = 200, description = "The device", body = SubscriptionResponse),
        (status = 400, description = "The user does not fit", content_type = "application/problem+json"),
        (status = 401, description = "No or a wrong bearer token", content_type = "application/problem+json"),
        (status = 404, description = "The user has no such device", content_type = "application/problem+json"),
        (status = 503, description = "The store cannot be used", content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn get_subscription(
    State(state): State<ApiState>,
    Path((user, id)): Path<(String, String)>,
) -> Result<Json<SubscriptionResponse>, ApiError> {
    state.devices.get(&parse_user(&user)?, &id).await
}

/// Gives a device of a user the token that its provider has put in the place of the one before. What waits for it goes there.
#[utoipa::path(
    patch, path = "/v1/users/{user}/subscriptions/{id}", tag = "subscriptions",
    params(
        ("user" = String, Path, description = "1 to 255 bytes, the caller's name for the user"),
        ("id" = String, Path, description = "What registering it gave"),
    ),
    request_body = ChangeRequest,
    responses(
        (status = 200, description = "The device as it is now", body = SubscriptionResponse),
        (status = 400, description = "The user or the body does not fit", content_type = "application/problem+json"),
        (status = 401, description = "No or a wrong bearer token", content_type = "application/problem+json"),
        (status = 404, description = "The user has no such device", content_type = "application/problem+json"),
        (status = 408, description = "The body took too long", content_type = "application/problem+json"),
        (status = 413, description = "Too large", content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", content_type = "application/problem+json"),
        (status = 422, description = "A browser, or an app that shows its pushes, cannot be sealed", content_type = "application/problem+json"),
        (status = 503, description = "Overloaded; see Retry-After", content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn patch_subscription(
    State(state): State<ApiState>,
    Path((user, id)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<SubscriptionResponse>, ApiError> {
    state.devices.patch((&parse_user(&user)?, WhoseWord::Sites), &id, &headers, body).await
}

/// Deletes a device of a user. What waits for it is cancelled.
#[utoipa::path(
    delete, path = "/v1/users/{user}/subscriptions/{id}", tag = "subscriptions",
    params(
        ("user" = String, Path, description = "1 to 255 bytes, the caller's name for the user"),
        ("id" = String, Path, description = "What registering it gave"),
    ),
    responses(
        (status = 204, description = "It is gone"),
        (status = 400, description = "The user does not fit", content_type = "application/problem+json"),
        (status = 401, description = "No or a wrong bearer token", content_type = "application/problem+json"),
        (status = 404, description = "The user has no such device", content_type = "application/problem+json"),
        (status = 503, description = "The store cannot be used", content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn delete_subscription(
    State(state): State<ApiState>,
    Path((user, id)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    state.devices.delete(&parse_user(&user)?, &id).await
}

/// Deletes all devices of a user. What waits for them is cancelled.
#[utoipa::path(
    delete, path = "/v1/users/{user}/subscriptions", tag = "subscriptions",
    params(("user" = String, Path, description = "1 to 255 bytes, the caller's name for the user")),
    responses(
        (status = 200, description = "How many there were", body = DeletedResponse),
        (status = 400, description = "The user does not fit", content_type = "application/problem+json"),
        (status = 401, description = "No or a wrong bearer token", content_type = "application/problem+json"),
        (status = 503, description = "The store cannot be used", content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn delete_subscriptions(
    State(state): State<ApiState>,
    Path(user): Path<String>,
) -> Result<Json<DeletedResponse>, ApiError> {
    state.devices.delete_all(&parse_user(&user)?).await
}

/// A user as a path names them.
pub(super) fn parse_user(user: &str) -> Result<User, ApiError> {
    User::parse(user).map_err(|_| ApiError::InvalidUser)
}
