//! `POST /v1/subscriptions/import`: devices that were registered somewhere else.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use bytes::Bytes;
use http::HeaderMap;
use metrics::counter;
use reveille_model::limits::IMPORT_MAX;
use reveille_model::{NewSubscription, SubscriptionId, Timestamp, User};
use reveille_service::text_time;
use reveille_store::Imported;
use serde::{Deserialize as _, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::super::body::{Media, malformed, media};
use super::super::devices::{FIELDS, SubscriptionRequest, described};
use super::super::error::ApiError;
use super::router::ApiState;
use crate::metrics::SUBSCRIPTIONS_IMPORTED;

/// A device as it is registered somewhere else: what registers one here, its user, and since when.
#[derive(ToSchema)]
#[expect(dead_code, reason = "what is read, for those who write it")]
pub(super) struct ImportRequest {
    /// Whose device it is.
    user: String,
    /// When it was registered there (RFC 3339); now, if that is not known.
    registered_at: Option<String>,
    /// `apns`, `fcm` or `webpush`; and the rest of what registers a device here.
    provider: String,
    /// What the provider gave the device.
    token: Option<String>,
    /// The app's bundle id (APNs).
    topic: Option<String>,
    /// The name of a section `[apns.NAME]` or `[fcm.NAME]`.
    app: Option<String>,
}

/// What became of each device, in order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ImportResponse {
    results: Vec<ImportResult>,
    /// How many older devices of the same users made room (`push.subscriptions.per_user_max`).
    evicted: usize,
}

/// What became of a device.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct ImportResult {
    /// `created`; `known`, and left as it is; `elsewhere`: another user has registered it here since; `dead`: others are still to be told so;
    /// `no_room`: its user has as many that are newer; or `refused`.
    result: &'static str,
    /// Why it is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl ImportResult {
    fn new(imported: Imported) -> Self {
        let result = match imported {
            Imported::Created { .. } => "created",
            Imported::Known => "known",
            Imported::Elsewhere => "elsewhere",
            Imported::Dead => "dead",
            Imported::NoRoom => "no_room",
        };
        Self { result, detail: None }
    }
}

/// Registers devices that are registered somewhere else already: a JSON array of up to 1,000.
///
/// What is known here stays as it is, so that the same may be sent again. Those that cannot be taken are named, and the others are taken all the same.
#[utoipa::path(
    post, path = "/v1/subscriptions/import", tag = "subscriptions",
    request_body = Vec<ImportRequest>,
    responses(
        (status = 200, description = "What became of each, on disk", body = ImportResponse),
        (status = 400, description = "Not a JSON array", content_type = "application/problem+json"),
        (status = 401, description = "No or a wrong bearer token", content_type = "application/problem+json"),
        (status = 408, description = "The body took too long", content_type = "application/problem+json"),
        (status = 413, description = "Too large, or too many", content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", content_type = "application/problem+json"),
        (status = 503, description = "Overloaded; see Retry-After", content_type = "application/problem+json"),
    ),
)]
pub(super) async fn post_import(
    State(state): State<ApiState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ImportResponse>, ApiError> {
    if media(&headers)? != Media::Json {
        return Err(ApiError::ContentType);
    }
    let import = async |body: Bytes| import(&state, &body).await;
    state.bodies.read(&headers, body, import).await?
}

async fn import(state: &ApiState, body: &[u8]) -> Result<Json<ImportResponse>, ApiError> {
    let values: Value = serde_json::from_slice(body).map_err(|error| malformed(&error))?;
    let Value::Array(values) = values else {
        return Err(ApiError::InvalidBody("it must be a JSON array of devices".to_owned()));
    };
    if values.len() > IMPORT_MAX {
        return Err(ApiError::TooMany { what: "devices", max: IMPORT_MAX });
    }
    let read: Vec<Result<_, String>> = values.into_iter().map(|value| read(state, value)).collect();
    let devices = read.iter().filter_map(|each| each.as_ref().ok()).cloned().collect();
    let mut imported = state.intake.import(devices).await?.into_iter();
    let mut evicted = 0;
    let results = read.into_iter().map(|each| match each {
        Err(detail) => ImportResult { result: "refused", detail: Some(detail) },
        Ok(_) => {
            let imported = imported.next().unwrap_or(Imported::Known);
            if let Imported::Created { evicted: gone } = imported {
                evicted += gone;
            }
            ImportResult::new(imported)
        }
    });
    let results: Vec<ImportResult> = results.collect();
    for each in &results {
        counter!(SUBSCRIPTIONS_IMPORTED, "result" => each.result).increment(1);
    }
    Ok(Json(ImportResponse { results, evicted }))
}

/// One device, or what is wrong with it.
fn read(
    state: &ApiState,
    mut value: Value,
) -> Result<(NewSubscription, SubscriptionId, Timestamp), String> {
    let members = value.as_object_mut().ok_or("it must be a JSON object")?;
    let user = members.remove("user");
    let user = user.as_ref().and_then(Value::as_str).and_then(|user| User::parse(user).ok());
    let user = user.ok_or("`user` must be a text of 1 to 255 bytes without control characters")?;
    let now = state.intake.clock.now();
    let registered_at = match members.remove("registered_at") {
        None | Some(Value::Null) => now,
        Some(at) => {
            let at = at.as_str().and_then(text_time::parse);
            at.ok_or("`registered_at` must be a time such as 2026-11-21T10:00:00Z")?.min(now)
        }
    };
    let request = SubscriptionRequest::deserialize(&value)
        .map_err(|_| super::super::body::describe(&value, &FIELDS))?;
    let new = described(&state.intake, user, &request).map_err(ApiError::words)?;
    Ok((new, SubscriptionId::from_bytes(state.intake.random_16()), registered_at))
}
