//! `/v1/preferences`: which event types wake me.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, State};
use bytes::Bytes;
use http::HeaderMap;
use reveille_model::limits::PREFERENCES_PER_USER_MAX;
use reveille_model::{EventType, User};
use reveille_store::Wakes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::super::body::{Field, Media, media, parse};
use super::super::error::ApiError;
use super::router::PublicState;
use crate::intake::Intake;

/// What I say now, in the place of what I said before.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PreferencesRequest {
    /// Event types, and whether each wakes me. Those I say nothing about do as the server's configuration says.
    #[schema(example = json!({"mention": true, "thanks": false}))]
    types: BTreeMap<String, bool>,
}

const FIELDS: [Field; 1] = [Field {
    name: "types",
    expected: "an object of event types, each with true or false",
    is_required: true,
    fits: |value| value.as_object().is_some_and(|types| types.values().all(Value::is_boolean)),
}];

/// What holds for me.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PreferencesResponse {
    /// The event types the server knows and those I said something about, and whether each wakes me.
    types: BTreeMap<String, bool>,
}

impl PreferencesResponse {
    fn new(intake: &Intake, said: &Wakes) -> Json<Self> {
        let known = intake.settings.events.iter();
        let known = known.map(|(event_type, event)| (event_type, event.wakes));
        let said = said.iter().map(|(event_type, wakes)| (event_type, *wakes));
        let types = known.chain(said).map(|(name, wakes)| (name.as_str().to_owned(), wakes));
        Json(Self { types: types.collect() })
    }
}

/// Shows which event types wake me.
#[utoipa::path(
    get, path = "/v1/preferences", tag = "preferences",
    responses(
        (status = 200, description = "What holds", body = PreferencesResponse),
        (status = 401, description = "Who is calling is not known", content_type = "application/problem+json"),
        (status = 429, description = "Too many requests; see Retry-After", content_type = "application/problem+json"),
        (status = 503, description = "The store cannot be used", content_type = "application/problem+json"),
    ),
)]
pub(super) async fn get_preferences(
    State(state): State<PublicState>,
    Extension(user): Extension<User>,
) -> Result<Json<PreferencesResponse>, ApiError> {
    let intake = &state.devices.intake;
    let said = intake.store.preferences(&user).await?;
    Ok(PreferencesResponse::new(intake, &said))
}

/// Says which event types wake me.
#[utoipa::path(
    put, path = "/v1/preferences", tag = "preferences",
    request_body = PreferencesRequest,
    responses(
        (status = 200, description = "What holds now", body = PreferencesResponse),
        (status = 400, description = "The body does not fit", content_type = "application/problem+json"),
        (status = 401, description = "Who is calling is not known", content_type = "application/problem+json"),
        (status = 403, description = "A page of another site", content_type = "application/problem+json"),
        (status = 408, description = "The body took too long", content_type = "application/problem+json"),
        (status = 413, description = "Too large, or too many", content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", content_type = "application/problem+json"),
        (status = 429, description = "Too many requests; see Retry-After", content_type = "application/problem+json"),
        (status = 503, description = "Overloaded; see Retry-After", content_type = "application/problem+json"),
    ),
)]
pub(super) async fn put_preferences(
    State(state): State<PublicState>,
    Extension(user): Extension<User>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<PreferencesResponse>, ApiError> {
    if media(&headers)? != Media::Json {
        return Err(ApiError::ContentType);
    }
    let put = async |body: Bytes| put(&state, &user, &body).await;
    state.devices.bodies.read(&headers, body, put).await?
}

async fn put(
    state: &PublicState,
    user: &User,
    body: &[u8],
) -> Result<Json<PreferencesResponse>, ApiError> {
    let PreferencesRequest { types } = parse(body, &FIELDS)?;
    if types.len() > PREFERENCES_PER_USER_MAX {
        return Err(ApiError::TooMany { what: "event types", max: PREFERENCES_PER_USER_MAX });
    }
    let said = types.into_iter().map(|(name, wakes)| Ok((EventType::parse(&name)?, wakes)));
    let said: Result<Wakes, reveille_model::WordError> = said.collect();
    let said = said.map_err(|_| {
        ApiError::InvalidBody("an event type is 1 to 64 letters, digits, _ . or -".to_owned())
    })?;
    let intake = &state.devices.intake;
    intake.store.prefer(user, said.clone()).await?;
    Ok(PreferencesResponse::new(intake, &said))
}
