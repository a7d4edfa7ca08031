//! Every error of both APIs: one table from variant to status, kind and words.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use metrics::counter;
use reveille_mixer::PARTS;
use reveille_model::Provider;
use reveille_service::body::RETRY_AFTER_S;
use reveille_service::problem::Problem;
use reveille_store::{AcceptError, StoreError};
use serde_json::Value;

use super::public::CallerError;
use super::user_error::UserError;
use crate::intake::WhichApp;
use crate::metrics::REFUSED;

/// Why a request was not carried out. Nothing of it was.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ApiError {
    /// It never got as far as its meaning: size, time, memory.
    Body(Problem),
    ContentType,
    MalformedJson {
        line: usize,
        column: usize,
    },
    InvalidBody(String),
    InvalidItems(Vec<ItemError>),
    TooMany {
        what: &'static str,
        max: usize,
    },
    UnknownProvider,
    UnknownMessageType {
        known: String,
    },
    UnknownApp {
        provider: &'static str,
    },
    NoTopic,
    UnknownTopic,
    NoUsableToken,
    InvalidIdempotencyKey,
    IdempotencyKeyReused,
    InvalidUser,
    UnknownNotification,
    InvalidQuery,
    InvalidPath,
    /// What concerns a user's devices and inbox.
    User(UserError),
    /// Of the public API: who is calling, from where, or how often.
    Caller(CallerError),
    TooLate,
    OutboxFull,
    /// Others are to have room, too.
    OverShare,
    StoreBusy,
    StoreUnavailable,
}

/// What is wrong with one item of a bulk request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ItemError {
    pub(crate) index: usize,
    pub(crate) what: String,
}

/// How long to wait for a store that is out of reach, in seconds.
pub(in crate::api) const STORE_RETRY_AFTER_S: u32 = 5;

impl ApiError {
    fn problem(self) -> Problem {
        let new = Problem::new;
        match self {
            Self::Body(problem) => problem,
            Self::ContentType => new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-type", "The body is not JSON")
                .detail("send `Content-Type: application/json` (or application/x-ndjson for bulk notifications)"),
            Self::MalformedJson { line, column } => new(StatusCode::BAD_REQUEST, "malformed-json", "The body is not JSON")
                .detail(format!("it stops making sense at line {line}, column {column}")),
            Self::InvalidBody(what) => {
                new(StatusCode::BAD_REQUEST, "invalid-body", "The body does not fit").detail(what)
            }
            Self::InvalidItems(items) => {
                let items: Vec<Value> = items
                    .into_iter()
                    .map(|item| serde_json::json!({"index": item.index, "detail": item.what}))
                    .collect();
                new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-notifications", "Some notifications do not fit")
                    .detail("nothing was accepted; `errors` says which and why")
                    .with("errors", items.into())
            }
            Self::TooMany { what, max } => new(StatusCode::PAYLOAD_TOO_LARGE, "too-many", "The request names too many")
                .detail(format!("up to {max} {what} are taken in one request; split it")),
            Self::UnknownProvider => new(StatusCode::NOT_FOUND, "unknown-provider", "There is no such provider")
                .detail("there are `apns`, `fcm` and `webpush`"),
            Self::UnknownMessageType { known } => {
                new(StatusCode::BAD_REQUEST, "unknown-message-type", "This message type is not known")
                    .detail(format!("push.message_types names {known}"))
            }
            Self::UnknownApp { provider } => new(StatusCode::BAD_REQUEST, "unknown-app", "Which app is meant is not known")
                .detail(format!("`app` must name an [{provider}.*] section; without it one must be called default, or be the only one")),
            Self::NoTopic => new(StatusCode::BAD_REQUEST, "no-topic", "Which app is meant is not known")
                .detail("name a `topic` (the app's bundle id); only where exactly one is configured it can be left out"),
            Self::UnknownTopic => new(StatusCode::BAD_REQUEST, "unknown-topic", "No app has this topic")
                .detail("`topic` must be one of the topics of an [apns.*] section"),
            Self::NoUsableToken => new(StatusCode::BAD_REQUEST, "no-usable-token", "No token can be used")
                .detail("`deviceTokens` must hold at least one token: 1 to 4096 bytes, for APNs hexadecimal, for Web Push what PushSubscription.toJSON() gives, at an endpoint we may send to"),
            Self::InvalidIdempotencyKey => {
                new(StatusCode::BAD_REQUEST, "invalid-idempotency-key", "The Idempotency-Key does not fit")
                    .detail("it has 1 to 255 visible ASCII characters")
            }
            Self::IdempotencyKeyReused => {
                new(StatusCode::CONFLICT, "idempotency-key-reused", "The Idempotency-Key was used for another request")
                    .detail("take a new key for each request, and the same only to repeat it")
            }
            Self::InvalidUser => new(StatusCode::BAD_REQUEST, "invalid-user", "The user does not fit")
                .detail("a user has 1 to 255 bytes without control characters"),
            Self::UnknownNotification => new(StatusCode::NOT_FOUND, "unknown-notification", "There is no such notification")
                .detail("or it left longer ago than push.trail_retention_s"),
            Self::InvalidQuery => new(StatusCode::BAD_REQUEST, "invalid-query", "The query does not fit")
                .detail("the route's description at /docs says what may be asked"),
            Self::InvalidPath => new(StatusCode::BAD_REQUEST, "invalid-path", "The path does not fit")
                .detail("its parts must be UTF-8, percent-encoded"),
            Self::Caller(error) => error.problem(),
            Self::TooLate => new(StatusCode::CONFLICT, "too-late", "It has joined a window")
                .detail("a notification can be taken back until its deliver_after has come"),
            Self::OutboxFull => new(StatusCode::SERVICE_UNAVAILABLE, "outbox-full", "The outbox is full")
                .detail("nothing was accepted; push.outbox_wakeups_max wake-ups are waiting for their providers")
                .retry_after(STORE_RETRY_AFTER_S),
            Self::OverShare => new(StatusCode::SERVICE_UNAVAILABLE, "over-share", "This caller has its share waiting")
                .detail(format!("nothing was accepted; a caller may have {PARTS} times as many wake-ups waiting as there is room left in the outbox"))
                .retry_after(STORE_RETRY_AFTER_S),
            Self::StoreBusy => new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "Too much is under way")
                .detail("nothing was accepted, try again")
                .retry_after(RETRY_AFTER_S),
            Self::StoreUnavailable => new(StatusCode::SERVICE_UNAVAILABLE, "store-unavailable", "The store cannot be used")
                .detail("nothing was accepted, try again; /readyz and the log say more")
                .retry_after(STORE_RETRY_AFTER_S),
            Self::User(error) => error.problem(),
        }
    }
}

impl ApiError {
    /// What is wrong, where it is one of several things.
    pub(in crate::api) fn words(self) -> String {
        self.problem().words()
    }

    /// No credential set can be told for a provider.
    pub(crate) fn which_app(provider: Provider) -> impl Fn(WhichApp) -> Self {
        move |which| match which {
            WhichApp::Unknown => Self::UnknownApp { provider: provider.as_str() },
            WhichApp::NoTopic => Self::NoTopic,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let challenge = self == Self::Caller(CallerError::Unknown);
        let problem = self.problem();
        counter!(REFUSED, "reason" => problem.word()).increment(1);
        let mut response = problem.into_response();
        if challenge {
            let bearer = HeaderValue::from_static("Bearer realm=\"reveille\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
        }
        response
    }
}

impl From<UserError> for ApiError {
    fn from(error: UserError) -> Self {
        Self::User(error)
    }
}

impl From<CallerError> for ApiError {
    fn from(error: CallerError) -> Self {
        Self::Caller(error)
    }
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        Self::Body(problem)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => Self::StoreBusy,
            StoreError::Unavailable(_) | StoreError::Corrupt(_) => {
                tracing::error!(%error, "the store failed");
                Self::StoreUnavailable
            }
        }
    }
}

impl From<AcceptError> for ApiError {
    fn from(error: AcceptError) -> Self {
        match error {
            AcceptError::WindowClosed { .. } => Self::StoreBusy,
            AcceptError::Full => Self::OutboxFull,
            AcceptError::KeyReused => Self::IdempotencyKeyReused,
            AcceptError::Store(error) => error.into(),
        }
    }
}
