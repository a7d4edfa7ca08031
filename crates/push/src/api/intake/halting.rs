//! `/v1/pause` and `/v1/resume`: an operator stops delivery, while everything is accepted as before, and lets it go on.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use bytes::Bytes;
use http::HeaderMap;
use reveille_model::{Provider, Providers};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use reveille_store::Halt;

use super::super::body::{Field, Media, is_text, media, parse};
use super::super::error::ApiError;
use super::router::ApiState;

/// Which provider is meant; all of them where none is named.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HaltRequest {
    /// `apns`, `fcm` or `webpush`.
    #[serde(default)]
    provider: Option<String>,
}

const FIELDS: [Field; 1] =
    [Field { name: "provider", expected: "a text", is_required: false, fits: is_text }];

/// Where delivery is stopped now.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct HaltedResponse {
    /// Providers.
    paused: Vec<&'static str>,
}

fn shown(halted: Providers) -> Json<HaltedResponse> {
    let each = Provider::ALL.into_iter().filter(|each| halted.contains(*each));
    Json(HaltedResponse { paused: each.map(Provider::as_str).collect() })
}

/// Shows where delivery is stopped.
#[utoipa::path(
    get, path = "/v1/pause", tag = "operations",
    responses(
        (status = 200, description = "Providers that nothing is sent to", body = HaltedResponse),
        (status = 401, description = "No or a wrong bearer token", content_type = "application/problem+json"),
    ),
)]
pub(super) async fn get_pause(State(state): State<ApiState>) -> Json<HaltedResponse> {
    shown(state.halting.halted())
}

/// Stops delivery until it is resumed, over restarts too. What is accepted waits, as long as its time to live; what is in flight ends.
#[utoipa::path(
    post, path = "/v1/pause", tag = "operations", request_body = HaltRequest,
    responses(
        (status = 200, description = "Providers that nothing is sent to from now on", body = HaltedResponse),
        (status = 400, description = "The body does not fit", content_type = "application/problem+json"),
        (status = 401, description = "No or a wrong bearer token", content_type = "application/problem+json"),
        (status = 404, description = "No such provider", content_type = "application/problem+json"),
        (status = 408, description = "The body took too long", content_type = "application/problem+json"),
        (status = 413, description = "Too large", content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", content_type = "application/problem+json"),
        (status = 503, description = "The store cannot be used", content_type = "application/problem+json"),
    ),
)]
pub(super) async fn post_pause(
    State(state): State<ApiState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<HaltedResponse>, ApiError> {
    change(&state, (&headers, body), Halt::Pause).await
}

/// Goes on with delivery. What waits leaves at once, as fast as its provider takes it.
#[utoipa::path(
    post, path = "/v1/resume", tag = "operations", request_body = HaltRequest,
    responses(
        (status = 200, description = "Providers that nothing is sent to even so", body = HaltedResponse),
        (status = 400, description = "The body does not fit", content_type = "application/problem+json"),
        (status = 401, description = "No or a wrong bearer token", content_type = "application/problem+json"),
        (status = 404, description = "No such provider", content_type = "application/problem+json"),
        (status = 408, description = "The body took too long", content_type = "application/problem+json"),
        (status = 413, description = "Too large", content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", content_type = "application/problem+json"),
        (status = 503, description = "The store cannot be used", content_type = "application/problem+json"),
    ),
)]
pub(super) async fn post_resume(
    State(state): State<ApiState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<HaltedResponse>, ApiError> {
    change(&state, (&headers, body), Halt::Resume).await
}

async fn change(
    state: &ApiState,
    (headers, body): (&HeaderMap, Body),
    said: fn(Providers) -> Halt,
) -> Result<Json<HaltedResponse>, ApiError> {
    if media(headers)? != Media::Json {
        return Err(ApiError::ContentType);
    }
    let named = async |body: Bytes| named(&body);
    let named = state.bodies.read(headers, body, named).await??;
    Ok(shown(state.halting.change(said(named)).await?))
}

fn named(body: &[u8]) -> Result<Providers, ApiError> {
    let request: HaltRequest =
        if body.is_empty() { HaltRequest::default() } else { parse(body, &FIELDS)? };
    match request.provider {
        None => Ok(Provider::ALL.into_iter().collect()),
        Some(word) => {
            let provider = Provider::parse(&word).ok_or(ApiError::UnknownProvider)?;
            Ok(std::iter::once(provider).collect())
        }
    }
}
