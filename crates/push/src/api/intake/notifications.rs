//! `POST /v1/notifications`: wake the devices of users. One, a JSON array, or NDJSON.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use metrics::counter;
use reveille_model::limits::{
    CONTENT_BYTES_MAX, DELIVER_AFTER_S_MAX, NOTIFICATIONS_PER_REQUEST_MAX, SPREAD_S_MAX, TTL_S_MAX,
    USERS_PER_REQUEST_MAX,
};
use reveille_model::{
    Audience, Content, DryRun, Duration, EventType, Notification, SubscriptionId, Timestamp, User,
};
use reveille_service::auth::Caller;
use reveille_service::text_time;
use reveille_store::{Accepted, Item};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::super::body::{
    Field, Media, describe, idempotency, is_flag, is_text, is_texts, malformed, media,
};
use super::super::error::{ApiError, ItemError};
use super::router::ApiState;
use crate::intake::Intake;
use crate::metrics::{INTAKE_WAKEUPS, MUTED, NOTIFICATIONS};

/// Something happened to users, or concerns devices.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NotificationRequest<'a> {
    /// Whose devices are woken. Either this or `subscriptions`.
    #[serde(default, borrow)]
    #[schema(value_type = Option<Vec<String>>, example = json!(["alice"]))]
    users: Option<Vec<Cow<'a, str>>>,
    /// Which devices are woken, by their subscriptions' ids.
    #[serde(default, borrow)]
    #[schema(value_type = Option<Vec<String>>)]
    subscriptions: Option<Vec<Cow<'a, str>>>,
    /// What happened: `[A-Za-z0-9_.-]{1,64}`.
    #[serde(borrow)]
    #[schema(value_type = String, example = "mention")]
    r#type: Cow<'a, str>,
    /// When it happened (RFC 3339). Checked, and not kept.
    #[serde(default, borrow)]
    #[schema(value_type = Option<String>)]
    timestamp: Option<Cow<'a, str>>,
    /// How long the wake-up is worth sending, in seconds from the end of its window. Of devices in a cohort all are told the same
    /// (`push.ttl_s`): what is said here never reaches the network.
    #[serde(default)]
    ttl_s: Option<u32>,
    /// Not before this (RFC 3339, up to 30 days ahead): it joins the window in which this falls, and can be taken back until then.
    #[serde(default, borrow)]
    #[schema(value_type = Option<String>)]
    deliver_after: Option<Cow<'a, str>>,
    /// Over how long its wake-ups are spread, in seconds from when they might leave first: 1 to 86,400. For announcements to very many users, which would hold up
    /// what else is accepted meanwhile. Where nothing is said, `spread_s` of its event type.
    #[serde(default)]
    spread_s: Option<u32>,
    /// Whether the provider only checks the message. For a cohort it stops before the network, which would show whom it is for.
    #[serde(default)]
    dry_run: Option<bool>,
    /// What its users find in their inboxes: any JSON, up to 4,096 bytes. Never part of a push. Needs `[push.inbox] enabled`.
    #[serde(default)]
    content: Option<Value>,
}

const FIELDS: [Field; 9] = [
    Field {
        name: "users",
        expected: "a list of texts",
        is_required: false,
        fits: |v| is_texts(v) || v.is_null(),
    },
    Field {
        name: "subscriptions",
        expected: "a list of texts",
        is_required: false,
        fits: |v| is_texts(v) || v.is_null(),
    },
    Field { name: "type", expected: "a text", is_required: true, fits: Value::is_string },
    Field { name: "timestamp", expected: "a text", is_required: false, fits: is_text },
    Field {
        name: "ttl_s",
        expected: "a whole number of seconds",
        is_required: false,
        fits: is_seconds,
    },
    Field {
        name: "spread_s",
        expected: "a whole number of seconds",
        is_required: false,
        fits: is_seconds,
    },
    Field { name: "deliver_after", expected: "a text", is_required: false, fits: is_text },
    Field { name: "content", expected: "JSON", is_required: false, fits: |_| true },
    Field { name: "dry_run", expected: "true or false", is_required: false, fits: is_flag },
];

fn is_seconds(value: &Value) -> bool {
    value.is_null() || value.as_u64().is_some_and(|number| u32::try_from(number).is_ok())
}

/// Wakes the devices of users.
///
/// Answers once everything is on disk. A JSON array, or NDJSON, is accepted whole or not at all. Whoever is in a cohort is woken with all of it,
/// and `subscriptions` of a cohort stand for their user.
#[utoipa::path(
    post, path = "/v1/notifications", tag = "intake",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a repeat within an hour harmless")),
    request_body = NotificationRequest,
    responses(
        (status = 202, description = "Accepted and on disk: `{\"id\"}`, or `{\"ids\"}` in order"),
        (status = 400, description = "Not JSON", content_type = "application/problem+json"),
        (status = 401, description = "No or a wrong bearer token", content_type = "application/problem+json"),
        (status = 408, description = "The body took too long", content_type = "application/problem+json"),
        (status = 409, description = "The Idempotency-Key was used for another request", content_type = "application/problem+json"),
        (status = 413, description = "Too large, or too many", content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", content_type = "application/problem+json"),
        (status = 422, description = "Some notifications do not fit; `errors` has their indexes", content_type = "application/problem+json"),
        (status = 503, description = "Overloaded; see Retry-After", content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn post_notifications(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let media = media(&headers)?;
    let accept = async |body: Bytes| accept(&state, caller, (&headers, media), &body).await;
    state.bodies.read(&headers, body, accept).await?
}

async fn accept(
    state: &ApiState,
    caller: Caller,
    (headers, media): (&HeaderMap, Media),
    body: &[u8],
) -> Result<Response, ApiError> {
    state.has_room_for(caller).await?;
    let idempotency = idempotency(&state.hmac, headers, (caller, "notifications"), body)?;
    let (values, is_bulk) = split(body, media)?;
    let notifications = validate_all(state, &values)?;
    let labels = event_labels(state, &notifications);
    let items = notifications.into_iter().map(Item::Notification).collect();
    let (ids, is_repeat) = match state.intake.accept(caller, items, idempotency).await? {
        Accepted::New { ids, wakeups, muted } => {
            counter!(MUTED).increment(muted);
            counter!(INTAKE_WAKEUPS, "route" => "notifications").increment(wakeups);
            for (label, count) in labels {
                counter!(NOTIFICATIONS, "type" => label).increment(count);
            }
            (ids, false)
        }
        Accepted::Repeated { ids } => (ids, true),
    };
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let answer = match ids.as_slice() {
        [id] if !is_bulk => json!({ "id": id }),
        _ => json!({ "ids": ids }),
    };
    let mut response = (StatusCode::ACCEPTED, Json(answer)).into_response();
    if is_repeat {
        response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// The items of a body, and whether it is a bulk request.
fn split(body: &[u8], media: Media) -> Result<(Vec<Value>, bool), ApiError> {
    let too_many = ApiError::TooMany { what: "notifications", max: NOTIFICATIONS_PER_REQUEST_MAX };
    if media == Media::NdJson {
        let mut values = Vec::new();
        for value in serde_json::Deserializer::from_slice(body).into_iter::<Value>() {
            if values.len() == NOTIFICATIONS_PER_REQUEST_MAX {
                return Err(too_many);
            }
            values.push(value.map_err(|error| malformed(&error))?);
        }
        return Ok((values, true));
    }
    match serde_json::from_slice(body).map_err(|error| malformed(&error))? {
        Value::Array(values) if values.len() > NOTIFICATIONS_PER_REQUEST_MAX => Err(too_many),
        Value::Array(values) => Ok((values, true)),
        value => Ok((vec![value], false)),
    }
}

fn validate_all(state: &ApiState, values: &[Value]) -> Result<Vec<Notification>, ApiError> {
    if values.is_empty() {
        return Err(ApiError::InvalidBody("it holds no notification".to_owned()));
    }
    let now = state.intake.clock.now();
    let (mut notifications, mut errors, mut named) =
        (Vec::with_capacity(values.len()), Vec::new(), 0);
    for (index, value) in values.iter().enumerate() {
        match validate(state, value, now) {
            Ok(notification) => {
                named += notification.audience.len();
                notifications.push(notification);
            }
            Err(what) => errors.push(ItemError { index, what }),
        }
    }
    if !errors.is_empty() {
        return Err(ApiError::InvalidItems(errors));
    }
    if named > USERS_PER_REQUEST_MAX {
        return Err(ApiError::TooMany {
            what: "users or subscriptions",
            max: USERS_PER_REQUEST_MAX,
        });
    }
    Ok(notifications)
}

fn validate(state: &ApiState, value: &Value, now: Timestamp) -> Result<Notification, String> {
    let request = NotificationRequest::deserialize(value).map_err(|_| describe(value, &FIELDS))?;
    let event_type = EventType::parse(&request.r#type)
        .map_err(|_| "`type` must be 1 to 64 letters, digits, _ . or -".to_owned())?;
    let message_type = state
        .intake
        .message_type_for(&event_type)
        .ok_or_else(|| "no message type is configured".to_owned())?;
    if let Some(timestamp) = &request.timestamp
        && text_time::parse(timestamp).is_none()
    {
        return Err("`timestamp` must be a time such as 2026-11-21T10:00:00Z".to_owned());
    }
    let ttl = match request.ttl_s {
        None => state.intake.settings.ttl,
        Some(seconds @ 1..=TTL_S_MAX) => Duration::from_s(seconds),
        Some(_) => return Err(format!("`ttl_s` must be 1 to {TTL_S_MAX}")),
    };
    let spread = match request.spread_s {
        None => None,
        Some(seconds @ 1..=SPREAD_S_MAX) => Some(Duration::from_s(seconds)),
        Some(_) => return Err(format!("`spread_s` must be 1 to {SPREAD_S_MAX}")),
    };
    let content = content(&state.intake, request.content.as_ref())?;
    let deliver_after =
        request.deliver_after.as_deref().map(|text| deliver_after(text, now)).transpose()?;
    let from = deliver_after.map_or(now, |due| due.max(now));
    Ok(Notification {
        content,
        spread: state.intake.spread(&event_type, spread, from),
        id: state.intake.fresh_id(),
        policy: state.intake.policy_for(&event_type),
        event_type,
        message_type,
        audience: audience(&request)?,
        ttl,
        dry_run: if request.dry_run == Some(true) { DryRun::Yes } else { DryRun::No },
        deliver_after,
    })
}

fn content(intake: &Intake, value: Option<&Value>) -> Result<Option<Content>, String> {
    let Some(value) = value else { return Ok(None) };
    if !intake.settings.has_inbox {
        return Err("`content` needs push.inbox.enabled, which is off".to_owned());
    }
    let json = value.to_string();
    if json.len() > CONTENT_BYTES_MAX {
        return Err(format!("`content` may have up to {CONTENT_BYTES_MAX} bytes of JSON"));
    }
    Ok(Some(Content::from_json(json)))
}

fn audience(request: &NotificationRequest<'_>) -> Result<Audience, String> {
    let audience = match (&request.users, &request.subscriptions) {
        (Some(users), None) => Audience::Users(
            users.iter().map(|user| User::parse(user)).collect::<Result<_, _>>().map_err(|_| {
                "each of `users` must be 1 to 255 bytes without control characters".to_owned()
            })?,
        ),
        (None, Some(ids)) => Audience::Subscriptions(
            ids.iter().map(|id| SubscriptionId::parse(id)).collect::<Result<_, _>>().map_err(
                |_| "each of `subscriptions` must be an id of 32 hexadecimal digits".to_owned(),
            )?,
        ),
        _ => return Err("name either `users` or `subscriptions`".to_owned()),
    };
    if audience.is_empty() { Err("nobody is named".to_owned()) } else { Ok(audience) }
}

fn deliver_after(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let moment = text_time::parse(text)
        .ok_or_else(|| "`deliver_after` must be a time such as 2026-11-21T10:00:00Z".to_owned())?;
    if moment > now.plus(Duration::from_s(DELIVER_AFTER_S_MAX)) {
        return Err("`deliver_after` may be up to 30 days ahead".to_owned());
    }
    Ok(moment)
}

/// Event types are the caller's words; only configured ones become labels.
fn event_labels(state: &ApiState, notifications: &[Notification]) -> BTreeMap<String, u64> {
    let mut labels = BTreeMap::new();
    for notification in notifications {
        let known = state.intake.settings.events.contains_key(&notification.event_type);
        let label = if known { notification.event_type.as_str() } else { "other" };
        *labels.entry(label.to_owned()).or_default() += 1;
    }
    labels
}
