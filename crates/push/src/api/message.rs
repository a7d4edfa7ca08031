//! `POST /v1/message/{provider}` and its older spelling `/v1/events/{provider}`: the contract of the service this one replaces.
//!
//! Lenient where that service's callers need it (unknown members, a topic that is a number), strict where it lost messages.

use std::borrow::Cow;

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use bytes::Bytes;
use http::HeaderMap;
use metrics::counter;
use reveille_model::limits::TOKENS_PER_REQUEST_MAX;
use reveille_model::{DryRun, MessageType, Provider, Token, Topic};
use reveille_service::auth::Caller;
use reveille_store::{Accepted, Item, TokenMessage};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::body::{Field, Media, idempotency, is_flag, is_text, is_texts, media, parse};
use super::error::ApiError;
use super::router::ApiState;
use crate::metrics::INTAKE_WAKEUPS;

/// A message for devices named by their tokens.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MessageRequest<'a> {
    /// 1 to 5,000 tokens. One that can never be sent to (empty, over 4,096 bytes) is counted as a payload error and left out.
    #[serde(borrow)]
    #[schema(value_type = Vec<String>, example = json!(["a-token"]))]
    device_tokens: Vec<Cow<'a, str>>,
    /// What the apps are told; one of `push.message_types`.
    #[serde(borrow)]
    #[schema(value_type = String, example = "checkEchoV1")]
    message_type: Cow<'a, str>,
    /// The topic (APNs only).
    #[serde(default, borrow)]
    #[schema(value_type = Option<String>)]
    topic: Option<TopicText<'a>>,
    /// Whether the provider only checks the message.
    #[serde(default)]
    dry_run: Option<bool>,
    /// Which credentials are meant: the name of a section `[fcm.NAME]`.
    #[serde(default, borrow)]
    #[schema(value_type = Option<String>)]
    app: Option<Cow<'a, str>>,
}

/// A topic made of digits arrives as a number.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum TopicText<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Number(u64),
}

impl TopicText<'_> {
    fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Number(number) => Cow::Owned(number.to_string()),
        }
    }
}

const FIELDS: [Field; 5] = [
    Field { name: "deviceTokens", expected: "a list of texts", is_required: true, fits: is_texts },
    Field { name: "messageType", expected: "a text", is_required: true, fits: Value::is_string },
    Field {
        name: "topic",
        expected: "a text",
        is_required: false,
        fits: |value| is_text(value) || value.is_u64(),
    },
    Field { name: "dryRun", expected: "true or false", is_required: false, fits: is_flag },
    Field { name: "app", expected: "a text", is_required: false, fits: is_text },
];

/// Wakes devices named by their tokens.
///
/// Answers once the message is on disk; it leaves with the window it joined. Equal tokens collapse. The older spelling
/// `/v1/events/{provider}` is the same.
#[utoipa::path(
    post, path = "/v1/message/{provider}", tag = "intake",
    params(
        ("provider" = String, Path, description = "`fcm`"),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a repeat within an hour harmless"),
    ),
    request_body = MessageRequest,
    responses(
        (status = 200, description = "Accepted and on disk: `{}`"),
        (status = 400, description = "The body does not fit", content_type = "application/problem+json"),
        (status = 401, description = "No or a wrong bearer token", content_type = "application/problem+json"),
        (status = 404, description = "No such provider", content_type = "application/problem+json"),
        (status = 408, description = "The body took too long", content_type = "application/problem+json"),
        (status = 409, description = "The Idempotency-Key was used for another request", content_type = "application/problem+json"),
        (status = 413, description = "Too large, or too many tokens", content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", content_type = "application/problem+json"),
        (status = 503, description = "Overloaded; see Retry-After", content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn post_message(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Path(provider): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    let provider = match Provider::parse(&provider) {
        Some(Provider::Fcm) => Provider::Fcm,
        _ => return Err(ApiError::UnknownProvider),
    };
    if media(&headers)? != Media::Json {
        return Err(ApiError::ContentType);
    }
    let accept = async |body: Bytes| accept(&state, (provider, caller), &headers, &body).await;
    state.bodies.read(&headers, body, accept).await??;
    Ok(Json(Value::Object(serde_json::Map::new())))
}

async fn accept(
    state: &ApiState,
    (provider, caller): (Provider, Caller),
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(), ApiError> {
    let idempotency = idempotency(&state.hmac, headers, (caller, provider.as_str()), body)?;
    let request: MessageRequest<'_> = parse(body, &FIELDS)?;
    let message = validate(state, provider, &request)?;
    let accepted = state.intake.accept(vec![Item::Tokens(message)], idempotency).await?;
    if let Accepted::New { wakeups, .. } = accepted {
        counter!(INTAKE_WAKEUPS, "route" => "message", "provider" => provider.as_str())
            .increment(wakeups);
    }
    Ok(())
}

fn validate(
    state: &ApiState,
    provider: Provider,
    request: &MessageRequest<'_>,
) -> Result<TokenMessage, ApiError> {
    let settings = &state.intake.settings;
    if request.device_tokens.len() > TOKENS_PER_REQUEST_MAX {
        return Err(ApiError::TooMany { what: "tokens", max: TOKENS_PER_REQUEST_MAX });
    }
    let known = |each: &&MessageType| each.as_str() == request.message_type;
    let message_type = settings.message_types.iter().find(known).ok_or_else(|| {
        let known: Vec<&str> = settings.message_types.iter().map(MessageType::as_str).collect();
        ApiError::UnknownMessageType { known: known.join(", ") }
    })?;
    let app = request.app.as_deref();
    let set = state
        .intake
        .set_for(provider, app)
        .ok_or(ApiError::UnknownApp { provider: provider.as_str() })?;
    let topic = match (&request.topic, provider) {
        (Some(topic), Provider::Apns) => Some(Topic::parse(&topic.text()).map_err(|_| {
            ApiError::InvalidBody("`topic` must be 1 to 255 visible ASCII characters".to_owned())
        })?),
        // The other providers have none; one that is named means nothing.
        _ => None,
    };
    let tokens: Vec<Token> =
        request.device_tokens.iter().filter_map(|text| Token::parse(provider, text).ok()).collect();
    if tokens.is_empty() {
        return Err(ApiError::NoUsableToken);
    }
    let unusable = u32::try_from(request.device_tokens.len() - tokens.len()).unwrap_or(u32::MAX);
    Ok(TokenMessage {
        set,
        topic,
        message_type: message_type.clone(),
        ttl: settings.ttl,
        dry_run: if request.dry_run == Some(true) { DryRun::Yes } else { DryRun::No },
        tokens,
        unusable,
    })
}
