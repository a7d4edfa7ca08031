//! `POST /v1/message/{provider}` and its older spelling `/v1/events/{provider}`: the contract of the service this one replaces.
//!
//! Lenient where that service's callers need it (unknown members, a topic that is a number), strict where it lost messages.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, State};
use bytes::Bytes;
use http::HeaderMap;
use metrics::counter;
use reveille_model::limits::TOKENS_PER_REQUEST_MAX;
use reveille_model::{CredentialSet, DryRun, MessageType, Provider, Token, Topic};
use reveille_providers::webpush::{Guard, Service, Target};
use reveille_service::auth::Caller;
use reveille_store::{Accepted, Item, TokenMessage};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::super::body::{Field, Media, idempotency, is_flag, is_text, is_texts, media, parse};
use super::super::error::ApiError;
use super::super::extract::Path;
use super::router::ApiState;
use crate::intake::NO_APP;
use crate::metrics::{INTAKE_WAKEUPS, UNKNOWN_TOPICS};

/// A message for devices named by their tokens.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MessageRequest<'a> {
    /// 1 to 5,000 tokens; for Web Push what `PushSubscription.toJSON()` gives, as an object or as text. One that can never be sent to
    /// (empty, over 4,096 bytes, for APNs not hexadecimal) is counted as a payload error and left out.
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
    /// Which credentials are meant: the name of a section `[apns.NAME]` or `[fcm.NAME]`.
    #[serde(default, borrow)]
    #[schema(value_type = Option<String>)]
    app: Option<Cow<'a, str>>,
}

/// The same for browsers, whose tokens are objects.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WebPushRequest<'a> {
    device_tokens: Vec<Value>,
    #[serde(borrow)]
    message_type: Cow<'a, str>,
    #[serde(default)]
    dry_run: Option<bool>,
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

const WEB_PUSH_FIELDS: [Field; 3] = [
    Field {
        name: "deviceTokens",
        expected: "a list of subscriptions, as objects or texts",
        is_required: true,
        fits: |value| {
            let fits = |each: &Value| each.is_object() || each.is_string();
            value.as_array().is_some_and(|values| values.iter().all(fits))
        },
    },
    Field { name: "messageType", expected: "a text", is_required: true, fits: Value::is_string },
    Field { name: "dryRun", expected: "true or false", is_required: false, fits: is_flag },
];

/// Wakes devices named by their tokens.
///
/// Answers once the message is on disk; it leaves with the window it joined. Equal tokens collapse. The older spelling
/// `/v1/events/{provider}` is the same. In mode `cohort` the tokens of one request are one user's where nobody has said whose they are, and
/// each user they belong to is woken with their cohort; `dryRun` then stops before the network.
#[utoipa::path(
    post, path = "/v1/message/{provider}", tag = "intake",
    params(
        ("provider" = String, Path, description = "`apns`, `fcm` or `webpush`"),
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
    let provider = Provider::parse(&provider).ok_or(ApiError::UnknownProvider)?;
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
    state.has_room_for(caller).await?;
    let idempotency = idempotency(&state.hmac, headers, (caller, provider.as_str()), body)?;
    let messages = match provider {
        Provider::WebPush => to_browsers(state, &parse(body, &WEB_PUSH_FIELDS)?)?,
        Provider::Apns | Provider::Fcm => {
            vec![to_apps(state, provider, &parse(body, &FIELDS)?)?]
        }
    };
    let items = messages.into_iter().map(Item::Tokens).collect();
    let accepted = state.intake.accept(caller, items, idempotency).await?;
    if let Accepted::New { wakeups, .. } = accepted {
        counter!(INTAKE_WAKEUPS, "route" => "message", "provider" => provider.as_str())
            .increment(wakeups);
    }
    Ok(())
}

fn to_apps(
    state: &ApiState,
    provider: Provider,
    request: &MessageRequest<'_>,
) -> Result<TokenMessage, ApiError> {
    at_most(request.device_tokens.len())?;
    let message_type = known_type(state, &request.message_type)?;
    let (set, topic) = recipients(state, provider, request)?;
    let tokens: Vec<Token> =
        request.device_tokens.iter().filter_map(|text| Token::parse(provider, text).ok()).collect();
    if tokens.is_empty() {
        return Err(ApiError::NoUsableToken);
    }
    let unusable = request.device_tokens.len() - tokens.len();
    let shape = (message_type, request.dry_run);
    Ok(message(state, (set, topic), shape, (tokens, unusable)))
}

/// The credentials and the topic a caller means. The other providers have no topics; one that is named means nothing.
fn recipients(
    state: &ApiState,
    provider: Provider,
    request: &MessageRequest<'_>,
) -> Result<(CredentialSet, Option<Topic>), ApiError> {
    let app = request.app.as_deref();
    if provider != Provider::Apns {
        let set = state.intake.set_for(provider, app).map_err(ApiError::which_app(provider))?;
        return Ok((set, None));
    }
    let topic = request.topic.as_ref().map(|topic| Topic::parse(&topic.text())).transpose();
    let topic = topic.map_err(|_| {
        ApiError::InvalidBody("`topic` must be 1 to 255 visible ASCII characters".to_owned())
    })?;
    let (set, topic) =
        state.intake.apns_set_for(app, topic).map_err(ApiError::which_app(provider))?;
    if set.name() == NO_APP {
        counter!(UNKNOWN_TOPICS).increment(1);
        tracing::error!(
            topic = topic.as_str(),
            "no [apns.*] section has this topic; what was accepted for it waits until its time to live ends"
        );
    }
    Ok((set, Some(topic)))
}

/// Browsers of several push services come in one request; each service is a credential set of its own.
fn to_browsers(
    state: &ApiState,
    request: &WebPushRequest<'_>,
) -> Result<Vec<TokenMessage>, ApiError> {
    at_most(request.device_tokens.len())?;
    let message_type = known_type(state, &request.message_type)?;
    let mut by_service: BTreeMap<Service, Vec<Token>> = BTreeMap::new();
    let mut unusable = request.device_tokens.len();
    for value in &request.device_tokens {
        if let Some((service, token)) = browser(value, &state.intake.settings.guard) {
            by_service.entry(service).or_default().push(token);
            unusable -= 1;
        }
    }
    if by_service.is_empty() {
        return Err(ApiError::NoUsableToken);
    }
    let messages = by_service.into_iter().map(|(service, tokens)| {
        let shape = (message_type.clone(), request.dry_run);
        // Those that cannot be sent to are counted once.
        let unusable = std::mem::take(&mut unusable);
        message(state, (service.set(), None), shape, (tokens, unusable))
    });
    Ok(messages.collect())
}

fn browser(value: &Value, guard: &Guard) -> Option<(Service, Token)> {
    let target = match value {
        Value::String(text) => Target::from_json(&serde_json::from_str(text).ok()?, guard),
        object => Target::from_json(object, guard),
    };
    let target = target.ok()?;
    Some((target.service(), target.to_token()?))
}

fn at_most(tokens: usize) -> Result<(), ApiError> {
    if tokens > TOKENS_PER_REQUEST_MAX {
        return Err(ApiError::TooMany { what: "tokens", max: TOKENS_PER_REQUEST_MAX });
    }
    Ok(())
}

fn known_type(state: &ApiState, word: &str) -> Result<MessageType, ApiError> {
    let known = &state.intake.settings.message_types;
    known.iter().find(|each| each.as_str() == word).cloned().ok_or_else(|| {
        let known: Vec<&str> = known.iter().map(MessageType::as_str).collect();
        ApiError::UnknownMessageType { known: known.join(", ") }
    })
}

fn message(
    state: &ApiState,
    (set, topic): (CredentialSet, Option<Topic>),
    (message_type, dry_run): (MessageType, Option<bool>),
    (tokens, unusable): (Vec<Token>, usize),
) -> TokenMessage {
    TokenMessage {
        set,
        topic,
        message_type,
        ttl: state.intake.settings.ttl,
        dry_run: if dry_run == Some(true) { DryRun::Yes } else { DryRun::No },
        tokens,
        unusable: u32::try_from(unusable).unwrap_or(u32::MAX),
    }
}
