//! `/v1/users/{user}/subscriptions`: for sites that register devices themselves, and for support. Tokens are never shown.

use std::borrow::Cow;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use metrics::counter;
use reveille_model::{
    CredentialSet, NewSubscription, Provider, Subscription, SubscriptionId, Token, Topic, User,
};
use reveille_providers::webpush::Target;
use reveille_service::text_time;
use reveille_store::Put;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::body::{Field, Media, is_text, media, parse};
use super::error::ApiError;
use super::router::ApiState;
use crate::intake::NO_APP;
use crate::metrics::{SUBSCRIPTIONS_DELETED, SUBSCRIPTIONS_PUT};

/// A device to be registered.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubscriptionRequest<'a> {
    /// `apns`, `fcm` or `webpush`.
    #[serde(borrow)]
    #[schema(value_type = String, example = "fcm")]
    provider: Cow<'a, str>,
    /// What the provider gave the device (APNs, FCM).
    #[serde(default, borrow)]
    #[schema(value_type = Option<String>)]
    token: Option<Cow<'a, str>>,
    /// Instead of a token: the Firebase Installation ID (FCM).
    #[serde(default, borrow)]
    #[schema(value_type = Option<String>)]
    fid: Option<Cow<'a, str>>,
    /// What `PushSubscription.toJSON()` gives (Web Push).
    #[serde(default)]
    subscription: Option<Value>,
    /// The app's bundle id (APNs); one of the topics of an `[apns.*]` section.
    #[serde(default, borrow)]
    #[schema(value_type = Option<String>)]
    topic: Option<Cow<'a, str>>,
    /// Which credentials reach it: the name of a section `[apns.NAME]` or `[fcm.NAME]`.
    #[serde(default, borrow)]
    #[schema(value_type = Option<String>)]
    app: Option<Cow<'a, str>>,
}

const FIELDS: [Field; 6] = [
    Field { name: "provider", expected: "a text", is_required: true, fits: Value::is_string },
    Field { name: "token", expected: "a text", is_required: false, fits: is_text },
    Field { name: "fid", expected: "a text", is_required: false, fits: is_text },
    Field {
        name: "subscription",
        expected: "an object",
        is_required: false,
        fits: |value| value.is_object() || value.is_null(),
    },
    Field { name: "topic", expected: "a text", is_required: false, fits: is_text },
    Field { name: "app", expected: "a text", is_required: false, fits: is_text },
];

/// What is to change.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubscriptionChange<'a> {
    /// The token that its provider has put in the place of the one before (APNs, FCM).
    #[serde(default, borrow)]
    #[schema(value_type = Option<String>)]
    token: Option<Cow<'a, str>>,
    /// Instead of a token: the Firebase Installation ID (FCM).
    #[serde(default, borrow)]
    #[schema(value_type = Option<String>)]
    fid: Option<Cow<'a, str>>,
    /// What `PushSubscription.toJSON()` gives now (Web Push).
    #[serde(default)]
    subscription: Option<Value>,
}

const CHANGES: [Field; 3] = [
    Field { name: "token", expected: "a text", is_required: false, fits: is_text },
    Field { name: "fid", expected: "a text", is_required: false, fits: is_text },
    Field {
        name: "subscription",
        expected: "an object",
        is_required: false,
        fits: |value| value.is_object() || value.is_null(),
    },
];

/// How many devices went.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeletedResponse {
    deleted: u64,
}

/// A registered device. Its token is never shown, not even in part.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SubscriptionResponse {
    id: String,
    provider: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app: Option<String>,
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
            app: (subscription.set.provider() != Provider::WebPush)
                .then(|| subscription.set.name().to_owned()),
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
    let provider = Provider::parse(&request.provider).ok_or(ApiError::UnknownProvider)?;
    let new = device(state, provider, user, &request)?;
    let count = |result: &'static str, count: u64| {
        counter!(SUBSCRIPTIONS_PUT, "provider" => provider.as_str(), "result" => result)
            .increment(count);
    };
    let put = state.intake.put(new).await?;
    // What waited with a device in quarantine is due now.
    state.released.send_modify(|_| {});
    match put {
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

/// The device a request describes.
fn device(
    state: &ApiState,
    provider: Provider,
    user: User,
    request: &SubscriptionRequest<'_>,
) -> Result<NewSubscription, ApiError> {
    let invalid = |what: String| ApiError::InvalidBody(what);
    if provider == Provider::WebPush {
        let (set, token) = browser(state, request.subscription.as_ref())?;
        return Ok(NewSubscription { user, set, topic: None, token });
    }
    let token = token(provider, request.token.as_deref(), request.fid.as_deref())?;
    let app = request.app.as_deref();
    if provider == Provider::Fcm {
        let set = state.intake.set_for(provider, app).map_err(ApiError::which_app(provider))?;
        return Ok(NewSubscription { user, set, topic: None, token });
    }
    let topic = request
        .topic
        .as_deref()
        .map(Topic::parse)
        .transpose()
        .map_err(|_| invalid("`topic` must be 1 to 255 visible ASCII characters".to_owned()))?;
    let (set, topic) =
        state.intake.apns_set_for(app, topic).map_err(ApiError::which_app(provider))?;
    if set.name() == NO_APP {
        return Err(ApiError::UnknownTopic);
    }
    Ok(NewSubscription { user, set, topic: Some(topic), token })
}

/// The token of a phone.
fn token(provider: Provider, text: Option<&str>, fid: Option<&str>) -> Result<Token, ApiError> {
    let invalid = |what: String| ApiError::InvalidBody(what);
    if let Some(fid) = fid {
        if provider != Provider::Fcm || text.is_some() {
            return Err(invalid("`fid` is FCM's, and stands in the place of `token`".to_owned()));
        }
        return Token::fid(fid).map_err(|error| invalid(format!("`fid` does not fit: {error}")));
    }
    let text = text.ok_or_else(|| invalid("`token` is missing; it is a text".to_owned()))?;
    Token::parse(provider, text).map_err(|error| invalid(format!("`token` does not fit: {error}")))
}

/// The token of a browser, and which push service it names.
fn browser(state: &ApiState, json: Option<&Value>) -> Result<(CredentialSet, Token), ApiError> {
    let invalid = |what: String| ApiError::InvalidBody(what);
    let json = json.ok_or_else(|| {
        invalid("`subscription` is missing; it is what PushSubscription.toJSON() gives".to_owned())
    })?;
    let settings = &state.intake.settings;
    let mut target = Target::from_json(json, &settings.guard)
        .map_err(|error| invalid(format!("`subscription` does not fit: {error}")))?;
    // A browser subscribes with the key it is told of; when keys change, it is still this one.
    target.key_id = target.key_id.or_else(|| settings.vapid_key_id.clone());
    let token = target
        .to_token()
        .ok_or_else(|| invalid("`subscription` does not fit: it is too long".to_owned()))?;
    Ok((target.service().set(), token))
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

/// What stands in a path.
fn parse_path(user: &str, id: &str) -> Result<(User, SubscriptionId), ApiError> {
    let user = User::parse(user).map_err(|_| ApiError::InvalidUser)?;
    // What is no id names no device.
    let id = SubscriptionId::parse(id).map_err(|_| ApiError::UnknownSubscription)?;
    Ok((user, id))
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
    let (user, id) = parse_path(&user, &id)?;
    let found = state.intake.get(&user, id).await?;
    Ok(Json(found.ok_or(ApiError::UnknownSubscription)?.into()))
}

/// Gives a device of a user the token that its provider has put in the place of the one before. What waits for it goes there.
#[utoipa::path(
    patch, path = "/v1/users/{user}/subscriptions/{id}", tag = "subscriptions",
    params(
        ("user" = String, Path, description = "1 to 255 bytes, the caller's name for the user"),
        ("id" = String, Path, description = "What registering it gave"),
    ),
    request_body = SubscriptionChange,
    responses(
        (status = 200, description = "The device as it is now", body = SubscriptionResponse),
        (status = 400, description = "The user or the body does not fit", content_type = "application/problem+json"),
        (status = 401, description = "No or a wrong bearer token", content_type = "application/problem+json"),
        (status = 404, description = "The user has no such device", content_type = "application/problem+json"),
        (status = 408, description = "The body took too long", content_type = "application/problem+json"),
        (status = 413, description = "Too large", content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", content_type = "application/problem+json"),
        (status = 503, description = "Overloaded; see Retry-After", content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn patch_subscription(
    State(state): State<ApiState>,
    Path((user, id)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<SubscriptionResponse>, ApiError> {
    let (user, id) = parse_path(&user, &id)?;
    if media(&headers)? != Media::Json {
        return Err(ApiError::ContentType);
    }
    let change = async |body: Bytes| change(&state, (user, id), &body).await;
    state.bodies.read(&headers, body, change).await?
}

async fn change(
    state: &ApiState,
    (user, id): (User, SubscriptionId),
    body: &[u8],
) -> Result<Json<SubscriptionResponse>, ApiError> {
    let change: SubscriptionChange<'_> = parse(body, &CHANGES)?;
    let known = state.intake.get(&user, id).await?.ok_or(ApiError::UnknownSubscription)?;
    let Subscription { set, topic, .. } = known;
    let provider = set.provider();
    let (set, token) = match provider {
        Provider::WebPush => browser(state, change.subscription.as_ref())?,
        Provider::Apns | Provider::Fcm => {
            (set, token(provider, change.token.as_deref(), change.fid.as_deref())?)
        }
    };
    let new = NewSubscription { user, set, topic, token };
    let replaced = state.intake.replace(id, new).await?.ok_or(ApiError::UnknownSubscription)?;
    counter!(SUBSCRIPTIONS_PUT, "provider" => provider.as_str(), "result" => "replaced")
        .increment(1);
    // What waited with the token before is due now.
    state.released.send_modify(|_| {});
    Ok(Json(replaced.into()))
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
    let (user, id) = parse_path(&user, &id)?;
    if delete(&state, &user, Some(id)).await? == 0 {
        return Err(ApiError::UnknownSubscription);
    }
    Ok(StatusCode::NO_CONTENT)
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
    let user = User::parse(&user).map_err(|_| ApiError::InvalidUser)?;
    Ok(Json(DeletedResponse { deleted: delete(&state, &user, None).await? }))
}

async fn delete(
    state: &ApiState,
    user: &User,
    id: Option<SubscriptionId>,
) -> Result<u64, ApiError> {
    let deleted = state.intake.delete(user, id).await?;
    counter!(SUBSCRIPTIONS_DELETED).increment(deleted);
    Ok(deleted)
}
