//! The routes that change something.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State as Shared;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use reveille_model::Provider;
use reveille_service::problem::Problem;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::config::STREAMS_MAX;
use crate::fault::{FAULTS_MAX, Fault};
use crate::oauth;
use crate::state::State;
use crate::webpush::{AUTH_LEN, BrowserKeys, Chosen, PRIVATE_LEN, Style, is_token};

/// Length of an uncompressed point of P-256, in bytes.
const POINT_LEN: usize = 65;

pub(super) async fn forget_received(Shared(state): Shared<Arc<State>>) -> StatusCode {
    state.clear_log();
    StatusCode::NO_CONTENT
}

/// One fault, or a list of them. All of a list, or none.
pub(super) async fn add_faults(
    Shared(state): Shared<Arc<State>>,
    body: Bytes,
) -> Result<StatusCode, Problem> {
    let refuse = |detail: String| {
        Problem::new(StatusCode::BAD_REQUEST, "bad-fault", "This fault cannot be played")
            .detail(detail)
    };
    let value: Value =
        serde_json::from_slice(&body).map_err(|error| refuse(format!("not JSON: {error}")))?;
    let posted = if value.is_array() { value } else { json!([value]) };
    let faults: Vec<Fault> =
        serde_json::from_value(posted).map_err(|error| refuse(error.to_string()))?;
    faults.iter().try_for_each(Fault::check).map_err(refuse)?;
    let mut in_force = state.faults();
    if in_force.list().len() + faults.len() > FAULTS_MAX {
        return Err(refuse(format!(
            "there may be up to {FAULTS_MAX} faults in force; DELETE /faults first"
        )));
    }
    for fault in faults {
        in_force.add(fault);
    }
    Ok(StatusCode::CREATED)
}

pub(super) async fn clear_faults(Shared(state): Shared<Arc<State>>) -> StatusCode {
    state.faults().clear();
    StatusCode::NO_CONTENT
}

/// An access token as the token endpoint hands them out, for trying the FCM port by hand.
pub(super) async fn add_token(Shared(state): Shared<Arc<State>>) -> Json<Value> {
    Json(oauth::hand_out(&state))
}

/// A browser that subscribes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewSubscription {
    token: String,
    #[serde(default)]
    style: Option<String>,
    #[serde(default)]
    application_server_key: Option<String>,
    #[serde(default)]
    private_key: Option<String>,
    #[serde(default)]
    auth: Option<String>,
}

/// What `PushSubscription.toJSON()` gives.
pub(super) async fn add_subscription(
    Shared(state): Shared<Arc<State>>,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let (style, token, chosen) = parse(&body).and_then(NewSubscription::check).map_err(|what| {
        Problem::new(StatusCode::BAD_REQUEST, "bad-subscription", "Nobody can subscribe like this")
            .detail(what)
    })?;
    if let Some(chosen) = chosen {
        state.subscriptions.choose(style, &token, chosen);
    }
    Ok((StatusCode::CREATED, Json(state.subscriptions.shown(style, &token))))
}

impl NewSubscription {
    /// Where it is, and what was chosen for it, if anything.
    fn check(self) -> Result<(Style, String, Option<Chosen>), String> {
        let style = self.style.as_deref().unwrap_or("mozilla");
        let words = Style::ALL.map(Style::word).join(", ");
        let style = Style::parse(style).ok_or_else(|| format!("`style` must be one of {words}"))?;
        if !is_token(&self.token) {
            return Err("`token` must be up to 512 letters, digits and -._~:=@+".to_owned());
        }
        let private = chosen::<PRIVATE_LEN>("private_key", self.private_key.as_deref())?;
        let auth = chosen::<AUTH_LEN>("auth", self.auth.as_deref())?;
        let sender =
            chosen::<POINT_LEN>("application_server_key", self.application_server_key.as_deref())?;
        if private.is_some_and(|key| BrowserKeys::new(&key, [0; AUTH_LEN]).is_none()) {
            return Err("`private_key` is not a key of the curve P-256".to_owned());
        }
        let is_any = private.is_some() || auth.is_some() || sender.is_some();
        let application_server_key = sender.map(|key| key.to_vec());
        let chosen = is_any.then_some(Chosen { application_server_key, private, auth });
        Ok((style, self.token, chosen))
    }
}

/// Bytes in base64url, of exactly this length.
fn chosen<const N: usize>(name: &str, text: Option<&str>) -> Result<Option<[u8; N]>, String> {
    let Some(text) = text else { return Ok(None) };
    let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok();
    match bytes.and_then(|bytes| bytes.try_into().ok()) {
        Some(bytes) => Ok(Some(bytes)),
        None => Err(format!("`{name}` must be {N} bytes in base64url")),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewSettings {
    provider: String,
    streams_max: u32,
}

/// How many streams connections may have open; those that are open hear of it.
pub(super) async fn change_settings(
    Shared(state): Shared<Arc<State>>,
    body: Bytes,
) -> Result<StatusCode, Problem> {
    let refuse = |what: String| {
        Problem::new(StatusCode::BAD_REQUEST, "bad-settings", "These settings cannot be made")
            .detail(what)
    };
    let settings: NewSettings = parse(&body).map_err(refuse)?;
    let provider = Provider::parse(&settings.provider)
        .ok_or_else(|| refuse("`provider` must be \"apns\", \"fcm\" or \"webpush\"".to_owned()))?;
    if settings.streams_max > STREAMS_MAX {
        return Err(refuse(format!("`streams_max` must be a number from 0 to {STREAMS_MAX}")));
    }
    state.port(provider).streams_max.send_replace(settings.streams_max);
    Ok(StatusCode::NO_CONTENT)
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::{NewSubscription, parse};
    use serde_json::json;

    #[test]
    fn a_subscription_nobody_could_have_is_refused() {
        for (bad, word) in [
            (json!({}), "token"),
            (json!({"token": "a b"}), "token"),
            (json!({"token": ""}), "token"),
            (json!({"token": "a", "style": "opera"}), "style"),
            (json!({"token": "a", "auth": "AAAA"}), "16 bytes"),
            (json!({"token": "a", "auth": "!"}), "auth"),
            (
                json!({"token": "a", "private_key": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}),
                "curve",
            ),
            (json!({"token": "a", "application_server_key": "BAAA"}), "65 bytes"),
            (json!({"token": "a", "surprise": 1}), "surprise"),
        ] {
            let parsed = parse::<NewSubscription>(bad.to_string().as_bytes());
            let what = parsed.and_then(NewSubscription::check).unwrap_err();
            assert!(what.contains(word), "{bad}: {what}");
        }
        let plain = json!({"token": "browser-1"}).to_string();
        let parsed = parse::<NewSubscription>(plain.as_bytes()).unwrap();
        let (style, token, chosen) = parsed.check().unwrap();
        assert_eq!(
            (style.word(), token.as_str(), chosen.is_none()),
            ("mozilla", "browser-1", true)
        );
    }
}
