//! Why the public API refuses a request whatever it asks for.

use http::StatusCode;
use reveille_service::problem::Problem;

use super::super::error::STORE_RETRY_AFTER_S;
use crate::identity::Denied;

/// Who is calling, from where, or how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) enum CallerError {
    /// Nobody we know. Which of the reasons it is helps nobody but strangers.
    Unknown,
    /// Whoever knows people cannot be asked.
    AuthUnavailable,
    /// A page of another site.
    CrossSite,
    /// More than their share.
    TooManyRequests {
        /// When to come again, in seconds.
        wait_s: u32,
    },
    /// Browsers are not served.
    NoBrowsers,
    /// Nor are people without an account.
    NoAnonymous,
}

impl From<Denied> for CallerError {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Unknown => Self::Unknown,
            Denied::Unavailable => Self::AuthUnavailable,
        }
    }
}

impl CallerError {
    pub(in crate::api) fn problem(self) -> Problem {
        let new = Problem::new;
        match self {
            Self::Unknown => {
                new(StatusCode::UNAUTHORIZED, "unauthorized", "Who is calling is not known")
                    .detail("log in, and send what proves it")
            }
            Self::AuthUnavailable => new(
                StatusCode::SERVICE_UNAVAILABLE,
                "auth-unavailable",
                "Who is calling cannot be found out now",
            )
            .detail("nothing was done, try again")
            .retry_after(STORE_RETRY_AFTER_S),
            Self::CrossSite => {
                new(StatusCode::FORBIDDEN, "cross-site", "Pages of this site may not do that")
                    .detail("push.public.origins names the sites whose pages may")
            }
            Self::TooManyRequests { wait_s } => {
                new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", "Too many requests")
                    .detail("nothing was done; Retry-After says when to go on")
                    .retry_after(wait_s)
            }
            Self::NoBrowsers => {
                new(StatusCode::NOT_FOUND, "no-browsers", "Browsers are not served here")
                    .detail("there is no [webpush] section")
            }
            Self::NoAnonymous => new(
                StatusCode::NOT_FOUND,
                "no-anonymous",
                "Users without an account are not served here",
            )
            .detail("push.public.auth.anonymous is off"),
        }
    }
}
