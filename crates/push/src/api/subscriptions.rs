//! `/v1/users/{user}/subscriptions`: for sites that register devices themselves, and for support. Tokens are never shown.

use std::borrow::Cow;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use metrics::counter;
use reveille_model::{NewSubscription, Provider, Subscription, Token, User};
use reveille_service::text_time;
use reveille_store::Put;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::body::{Field, Media, is_text, media, parse};
use super::error::ApiError;
use super::router::ApiState;
use crate::metrics::SUBSCRIPTIONS_PUT;

/// A device to be registered.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubscriptionRequest<'a> {
    /// `fcm`.
    #[serde(borrow)]
    #[schema(value_type = String, example = "fcm")]
    provider: Cow<'a, str>,
    /// What the provider gave the device.
    #[serde(borrow)]
    #[schema(value_type = String)]
    token: Cow<'a, str>,
    /// Which credentials reach it: the name of a section `[fcm.NAME]`.
    #[serde(default, borrow)]
    #[schema(value_type = Option<String>)]
    app: Option<Cow<'a, str>>,
}

const FIELDS: [Field; 3] = [
    Field { name: "provider", expected: "a text", is_required: true, fits: Value::is_string },
    Field { name: "token", expected: "a text", is_required: true, fits: Value::is_string },
    Field { name: "app", expected: "a text", is_required: false, fits: is_text },
];

/// A registered device. Its token is never shown, not even in part.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SubscriptionResponse {
    id: String,
    provider: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<String>,
    app: String,
    /// Whether it is woken on a constant beat.
    sealed: bool,
    /// How its wake-ups are mixed: `batch`.
    mode: &'static str,
    /// Whether its token looks dead for a reason that may be a mistake of ours.
    suspect: bool,
    created_at: String,
    refreshed_at: String,
}

impl From<Subscription> for SubscriptionResponse {
    fn from(subscription: Subscription) -> Self {
        Self {
            id: subscription.id.to_string(),
            provider: subscription.set.provider().as_str(),
            topic: subscription.topic.map(|topic| topic.as_str().to_owned()),
            app: subscription.set.name().to_owned(),
            sealed: false,
            mode: "batch",
            suspect: subscription.suspect_since.is_some(),
            created_at: text_time::format(subscription.created_at),
            refreshed_at: text_time::format(subscription.refreshed_at),
        }
    }
}

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
    let user = User::parse(&user).map_err(|_| ApiError::InvalidUser)?;
    if media(&headers)? != Media::Json {
        return Err(ApiError::ContentType);
    }
    state.bodies.read(&headers, body, async |body: Bytes| put(&state, user, &body).await).await?
}

async fn put(
    state: &ApiState,
    user: User,
    body: &[u8],
) -> Result<(StatusCode, Json<SubscriptionResponse>), ApiError> {
    let request: SubscriptionRequest<'_> = parse(body, &FIELDS)?;
    let provider = match Provider::parse(&request.provider) {
        Some(Provider::Fcm) => Provider::Fcm,
        _ => return Err(ApiError::UnknownProvider),
    };
    let token = Token::parse(provider, &request.token)
        .map_err(|error| ApiError::InvalidBody(format!("`token` does not fit: {error}")))?;
    let set = state
        .intake
        .set_for(provider, request.app.as_deref())
        .ok_or(ApiError::UnknownApp { provider: provider.as_str() })?;
    let count = |result: &'static str, count: u64| {
        counter!(SUBSCRIPTIONS_PUT, "provider" => provider.as_str(), "result" => result)
            .increment(count);
    };
    match state.intake.put(NewSubscription { user, set, topic: None, token }).await? {
        Put::Created { subscription, evicted } => {
            count("created", 1);
            count("evicted", evicted as u64);
            Ok((StatusCode::CREATED, Json(subscription.into())))
        }
        Put::Refreshed(subscription) => {
            count("refreshed", 1);
            Ok((StatusCode::OK, Json(subscription.into())))
        }
    }
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
    let user = User::parse(&user).map_err(|_| ApiError::InvalidUser)?;
    let subscriptions = state.intake.list(&user).await?;
    Ok(Json(subscriptions.into_iter().map(SubscriptionResponse::from).collect()))
}
