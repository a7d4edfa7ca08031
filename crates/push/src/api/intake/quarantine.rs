//! `/v1/quarantine`: devices that look dead, while a mistake of ours would look the same. For the person on call.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use bytes::Bytes;
use http::HeaderMap;
use reveille_model::CredentialSet;
use reveille_model::limits::QUARANTINE_PAGE_MAX;
use reveille_service::text_time;
use reveille_store::{QuarantineId, Quarantined, StoreError, Which};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::super::body::{Field, Media, is_flag, is_text, is_texts, media, parse};
use super::super::error::ApiError;
use super::super::extract::Query;
use super::router::ApiState;

/// Most ids one request names.
const IDS_MAX: usize = QUARANTINE_PAGE_MAX;

/// A page of the quarantine.
#[derive(Debug, Deserialize)]
pub(crate) struct Page {
    /// The last id of the page before.
    after: Option<String>,
    /// 1 to 1,000.
    limit: Option<usize>,
}

/// Devices in quarantine, in order of their ids.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QuarantineResponse {
    /// In all.
    count: u64,
    devices: Vec<QuarantinedResponse>,
}

/// A device in quarantine. Its token is never shown.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QuarantinedResponse {
    id: String,
    /// The credential set it was sent to with: `apns.wikipedia`.
    set: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<String>,
    /// Its subscription, if it is registered here.
    #[serde(skip_serializing_if = "Option::is_none")]
    subscription: Option<String>,
    /// Why it looks dead, in the provider's word.
    reason: String,
    /// When the first such verdict came.
    since: String,
    /// How many came.
    verdicts: u32,
    /// It is not sent to before this.
    next_try: String,
}

impl From<Quarantined> for QuarantinedResponse {
    fn from(device: Quarantined) -> Self {
        Self {
            id: device.id.to_string(),
            set: device.set.to_string(),
            topic: device.topic.map(|topic| topic.as_str().to_owned()),
            subscription: device.subscription.map(|id| id.to_string()),
            reason: device.reason,
            since: text_time::format(device.since),
            verdicts: device.verdicts,
            next_try: text_time::format(device.next_try),
        }
    }
}

/// Which devices are meant: exactly one of the three.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WhichRequest {
    /// These, by their ids here; up to 1,000.
    #[serde(default)]
    ids: Option<Vec<String>>,
    /// Those of a credential set: `apns.wikipedia`.
    #[serde(default)]
    set: Option<String>,
    /// All of them.
    #[serde(default)]
    all: Option<bool>,
}

const FIELDS: [Field; 3] = [
    Field {
        name: "ids",
        expected: "a list of texts",
        is_required: false,
        fits: |value| is_texts(value) || value.is_null(),
    },
    Field { name: "set", expected: "a text", is_required: false, fits: is_text },
    Field { name: "all", expected: "true or false", is_required: false, fits: is_flag },
];

impl WhichRequest {
    fn which(self) -> Result<Vec<Which>, ApiError> {
        let refuse = |what: &str| Err(ApiError::InvalidBody(what.to_owned()));
        match (self.ids, self.set, self.all) {
            (Some(ids), None, None) => {
                if ids.len() > IDS_MAX {
                    return Err(ApiError::TooMany { what: "ids", max: IDS_MAX });
                }
                ids.iter()
                    .map(|id| QuarantineId::parse(id).map(Which::One))
                    .collect::<Result<_, _>>()
                    .or_else(|_| refuse("each of `ids` must be an id of 32 hexadecimal digits"))
            }
            (None, Some(set), None) => match CredentialSet::parse(&set) {
                Ok(set) => Ok(vec![Which::Set(set)]),
                Err(_) => refuse("`set` must be the name of a credential set, \"apns.wikipedia\""),
            },
            (None, None, Some(true)) => Ok(vec![Which::All]),
            _ => refuse("name either `ids`, `set`, or `all` as true"),
        }
    }
}

/// Lists devices in quarantine.
#[utoipa::path(
    get, path = "/v1/quarantine", tag = "quarantine", operation_id = "list_quarantine",
    params(
        ("after" = Option<String>, Query, description = "The last id of the page before"),
        ("limit" = Option<usize>, Query, description = "1 to 1,000"),
    ),
    responses(
        (status = 200, description = "In order of their ids", body = QuarantineResponse),
        (status = 400, description = "The page does not fit", content_type = "application/problem+json"),
        (status = 401, description = "No or a wrong bearer token", content_type = "application/problem+json"),
        (status = 503, description = "The store cannot be used", content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn list(
    State(state): State<ApiState>,
    Query(page): Query<Page>,
) -> Result<Json<QuarantineResponse>, ApiError> {
    let after = page.after.as_deref().map(QuarantineId::parse).transpose().map_err(|_| {
        ApiError::InvalidBody("`after` must be an id of 32 hexadecimal digits".to_owned())
    })?;
    let limit = page.limit.unwrap_or(QUARANTINE_PAGE_MAX).clamp(1, QUARANTINE_PAGE_MAX);
    let store = &state.intake.store;
    let devices = store.quarantined(after, limit).await?;
    Ok(Json(QuarantineResponse {
        count: store.quarantined_count().await?,
        devices: devices.into_iter().map(QuarantinedResponse::from).collect(),
    }))
}

/// Takes devices out of quarantine: they live. What waits for them is due now.
#[utoipa::path(
    post, path = "/v1/quarantine/release", tag = "quarantine", operation_id = "release_devices",
    request_body = WhichRequest,
    responses(
        (status = 200, description = "How many: `{\"count\"}`"),
        (status = 400, description = "The body does not fit", content_type = "application/problem+json"),
        (status = 401, description = "No or a wrong bearer token", content_type = "application/problem+json"),
        (status = 503, description = "The store cannot be used", content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn release(
    State(state): State<ApiState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    let which = read(&state, &headers, body).await?;
    let count = state.settle_quarantine(which, Deed::Release).await?;
    Ok(Json(json!({ "count": count })))
}

/// Drops quarantined devices: their subscriptions are deleted, and it is told. There is no way back.
#[utoipa::path(
    post, path = "/v1/quarantine/drop", tag = "quarantine", operation_id = "drop_devices",
    request_body = WhichRequest,
    responses(
        (status = 200, description = "How many: `{\"count\"}`"),
        (status = 400, description = "The body does not fit", content_type = "application/problem+json"),
        (status = 401, description = "No or a wrong bearer token", content_type = "application/problem+json"),
        (status = 503, description = "The store cannot be used", content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn drop_devices(
    State(state): State<ApiState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    let which = read(&state, &headers, body).await?;
    let count = state.settle_quarantine(which, Deed::Drop).await?;
    Ok(Json(json!({ "count": count })))
}

async fn read(state: &ApiState, headers: &HeaderMap, body: Body) -> Result<Vec<Which>, ApiError> {
    if media(headers)? != Media::Json {
        return Err(ApiError::ContentType);
    }
    let which =
        async |body: Bytes| parse::<WhichRequest>(&body, &FIELDS).and_then(WhichRequest::which);
    state.bodies.read(headers, body, which).await?
}

/// What is done to those that are meant.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Deed {
    Release,
    Drop,
}

impl ApiState {
    /// Does it by an operator's word, and tells whoever has to know. Returns how many there were.
    pub(crate) async fn settle_quarantine(
        &self,
        which: Vec<Which>,
        deed: Deed,
    ) -> Result<u64, StoreError> {
        let count = all_of(self, which, deed).await?;
        match deed {
            Deed::Release => {
                self.devices.released.send_modify(|_| {});
                tracing::warn!(count, "devices were released from quarantine");
            }
            Deed::Drop => {
                tracing::warn!(count, "quarantined devices were dropped");
                self.deaths.send_replace(());
            }
        }
        Ok(count)
    }
}

/// Does it, in the store's bounded steps.
async fn all_of(state: &ApiState, which: Vec<Which>, deed: Deed) -> Result<u64, StoreError> {
    let (store, mut count) = (&state.intake.store, 0);
    for each in which {
        loop {
            let (which, now) = (each.clone(), state.intake.clock.now());
            let more = match deed {
                Deed::Release => store.release(which, now).await?,
                Deed::Drop => store.drop_quarantined(which, state.tell.clone(), now).await?,
            };
            count += more;
            if more < QUARANTINE_PAGE_MAX as u64 {
                break;
            }
        }
    }
    Ok(count)
}
