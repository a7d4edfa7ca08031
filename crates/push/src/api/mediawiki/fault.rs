//! What the Action API says is wrong: errors end a request, warnings do not. Codes and words are `MediaWiki`'s (contract: echo.md §1.2; core's messages).

use http::StatusCode;
use reveille_store::StoreError;
use serde_json::{Map, Value, json};

use super::super::error::STORE_RETRY_AFTER_S;
use super::super::public::CallerError;
use super::parameters::{VALUES_MAX, VALUES_MAX_WITH_HIGH_LIMITS};

/// Why a request was not carried out. Nothing of it was.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fault {
    pub(super) code: &'static str,
    pub(super) text: String,
    /// Members beside code and text.
    pub(super) data: Map<String, Value>,
    /// The module that found it; the main one where none is named.
    pub(super) module: Option<&'static str>,
    /// 200 unless whoever is calling has to come again.
    pub(super) status: StatusCode,
    /// When to come again, in seconds.
    pub(super) retry_after_s: Option<u32>,
}

impl Fault {
    pub(super) fn new(code: &'static str, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
            data: Map::new(),
            module: None,
            status: StatusCode::OK,
            retry_after_s: None,
        }
    }

    fn with(mut self, name: &str, value: Value) -> Self {
        self.data.insert(name.to_owned(), value);
        self
    }

    /// Found by this module, unless one inside it has.
    pub(super) fn at(mut self, module: &'static str) -> Self {
        self.module = self.module.or(Some(module));
        self
    }

    pub(super) fn missing(name: &str) -> Self {
        Self::new("missingparam", format!("The \"{name}\" parameter must be set."))
    }

    pub(super) fn bad_value(name: &str, value: &str) -> Self {
        let text = format!("Unrecognized value for parameter \"{name}\": {value}.");
        Self::new("badvalue", text)
    }

    pub(super) fn bad_integer(name: &str, value: &str) -> Self {
        let text = format!("Invalid value \"{value}\" for integer parameter \"{name}\".");
        Self::new("badinteger", text)
    }

    pub(super) fn too_many(name: &str, max: usize) -> Self {
        let text =
            format!("Too many values supplied for parameter \"{name}\". The limit is {max}.");
        Self::new("toomanyvalues", text)
            .with("limit", json!(max))
            .with("lowlimit", json!(VALUES_MAX))
            .with("highlimit", json!(VALUES_MAX_WITH_HIGH_LIMITS))
    }

    pub(super) fn must_be_posted(name: &str) -> Self {
        let text = format!(
            "The following parameter was found in the query string, but must be in the POST body: {name}."
        );
        Self::new("mustpostparams", text)
    }

    pub(super) fn bad_token() -> Self {
        Self::new("badtoken", "Invalid CSRF token.")
    }

    /// Where reading asks who it is.
    pub(super) fn login_required() -> Self {
        Self::new("login-required", "You must be logged in.")
    }

    /// The store takes nothing now.
    pub(super) fn read_only(retry_after_s: u32) -> Self {
        let fault = Self::new("readonly", "The wiki is currently in read-only mode.");
        let why = "nothing can be written now; nothing was done, try again";
        Self { retry_after_s: Some(retry_after_s), ..fault.with("readonlyreason", json!(why)) }
    }

    /// Too often.
    pub(super) fn rate_limited(retry_after_s: u32) -> Self {
        let text = "You've exceeded your rate limit. Please wait some time and try again.";
        Self { retry_after_s: Some(retry_after_s), ..Self::new("ratelimited", text) }
    }

    /// A store that was asked, and not to write.
    pub(super) fn unreadable(error: &StoreError) -> Self {
        log(error);
        Self::unavailable(STORE_RETRY_AFTER_S)
    }

    /// What is needed to answer cannot be asked.
    pub(super) fn unavailable(retry_after_s: u32) -> Self {
        let text = "What is needed to answer is out of reach. Nothing was done; try again.";
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            retry_after_s: Some(retry_after_s),
            ..Self::new("internal_api_error_Unavailable", text)
        }
    }
}

impl From<CallerError> for Fault {
    fn from(error: CallerError) -> Self {
        match error {
            CallerError::TooManyRequests { wait_s } => Self::rate_limited(wait_s),
            CallerError::AuthUnavailable
            | CallerError::Unknown
            | CallerError::CrossSite
            | CallerError::NoBrowsers
            | CallerError::NoAnonymous => Self::unavailable(STORE_RETRY_AFTER_S),
        }
    }
}

/// Of a store that was asked to write.
impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        log(&error);
        Self::read_only(STORE_RETRY_AFTER_S)
    }
}

/// A store that is busy is no failure: under load there would be a line for each request.
fn log(error: &StoreError) {
    if *error != StoreError::Busy {
        tracing::error!(%error, "the store failed");
    }
}

/// What was passed over.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Warning {
    pub(super) code: &'static str,
    pub(super) text: String,
    pub(super) data: Map<String, Value>,
    pub(super) module: &'static str,
}

impl Warning {
    pub(super) fn new(module: &'static str, code: &'static str, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), data: Map::new(), module }
    }

    pub(super) fn unknown_parameters(names: &[&str]) -> Self {
        let plural = if names.len() == 1 { "" } else { "s" };
        let text = format!("Unrecognized parameter{plural}: {}.", names.join(", "));
        Self::new("main", "unrecognizedparams", text)
    }

    pub(super) fn unknown_values(module: &'static str, name: &str, values: &[&str]) -> Self {
        let plural = if values.len() == 1 { "" } else { "s" };
        let text =
            format!("Unrecognized value{plural} for parameter \"{name}\": {}", values.join(", "));
        let mut warning = Self::new(module, "unrecognizedvalues", text);
        warning.data.insert("values".to_owned(), json!(values));
        warning
    }

    pub(super) fn out_of_range(module: &'static str, name: &str, value: &str, max: usize) -> Self {
        let text =
            format!("The value \"{value}\" for parameter \"{name}\" must be between 1 and {max}.");
        Self::new(module, "outofrange", text)
    }
}
