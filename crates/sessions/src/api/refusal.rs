//! Why a request is refused: in the reference's words where it has some, else in ours.

use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, StatusCode, header};
use reveille_service::body::overloaded;
use reveille_service::problem::Problem;
use reveille_store::{Refused, StoreError};

use super::reference::{Kind, answer};

/// Why a request is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// In the words of the reference.
    Reference(Kind),
    /// In ours.
    Ours(Problem),
}

impl From<Kind> for Refusal {
    fn from(kind: Kind) -> Self {
        Self::Reference(kind)
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Ours(problem)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => Self::Ours(overloaded("the store is busy")),
            // Said to the log by whoever asked the store.
            StoreError::Unavailable(_) | StoreError::Corrupt(_) => Kind::ServerError.into(),
        }
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Condition => Self::Ours(
                Problem::new(
                    StatusCode::PRECONDITION_FAILED,
                    "precondition-failed",
                    "The entry is not as the condition says",
                )
                .detail("nothing was changed; read it again to see what it is now"),
            ),
            Refused::Full => Self::Ours(
                Problem::new(
                    StatusCode::INSUFFICIENT_STORAGE,
                    "quota-exceeded",
                    "The namespace is full",
                )
                .detail("nothing was changed; entries that end or are deleted make room"),
            ),
            Refused::Store(error) => error.into(),
        }
    }
}

impl Refusal {
    /// As an answer to a request for a path.
    pub(super) fn answer(self, path: &str) -> Response {
        match self {
            Self::Reference(kind) => {
                let mut response = answer(kind, &super::path::shown(path));
                let headers = response.headers_mut();
                match kind {
                    Kind::NotAuthorized => {
                        let challenge = HeaderValue::from_static("Bearer realm=\"reveille\"");
                        headers.insert(header::WWW_AUTHENTICATE, challenge);
                    }
                    Kind::BadRequest | Kind::NotFound | Kind::ServerError => {}
                }
                response
            }
            Self::Ours(problem) => problem.into_response(),
        }
    }
}

/// A key of more bytes than are taken.
pub(super) fn key_too_long(bytes_max: usize) -> Refusal {
    Problem::new(StatusCode::URI_TOO_LONG, "key-too-long", "The key is too long")
        .detail(format!("it may have up to {bytes_max} bytes, after its escapes are decoded"))
        .into()
}

/// A token that is known, and not here.
pub(super) fn forbidden() -> Refusal {
    Problem::new(StatusCode::FORBIDDEN, "forbidden", "This token is for other keys")
        .detail("it is in the tokens_file of another namespace")
        .into()
}

/// More requests than a namespace may have.
pub(super) fn too_many(retry_after_s: u32) -> Refusal {
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", "Too many requests")
        .detail("the namespace has as many a second as it may; nothing was changed, try again")
        .retry_after(retry_after_s)
        .into()
}

/// A condition that cannot be.
pub(super) fn condition_malformed(detail: &'static str) -> Refusal {
    Problem::new(StatusCode::BAD_REQUEST, "condition-malformed", "The condition cannot be read")
        .detail(detail)
        .into()
}

/// A condition where writers are who know none.
pub(super) fn condition_refused() -> Refusal {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "condition-refused",
        "Writes here have no conditions",
    )
    .detail("PUT, PATCH, If-Match and If-None-Match need conditional_writes = true, which is for keys that nobody writes without them, an old Kask among them")
    .into()
}
