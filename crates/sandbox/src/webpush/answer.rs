//! A request to an answer.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{StatusCode, header};
use reveille_model::Provider;
use serde_json::Value;

use super::checks::{check, check_ttl};
use super::crypto::decrypt;
use super::manner::WebPush;
use super::refusal::Refusal;
use super::{Style, is_token};
use crate::delivery::{Push, deliver};
use crate::identifiers::{fresh, uuid};
use crate::state::State;
use crate::transport::{Answer, Inbound, response};

/// Answers one request to the Web Push port.
pub(crate) async fn answer(state: &State, inbound: Inbound) -> Answer {
    let Some((style, token)) = endpoint(&inbound.path) else {
        state.log().refuse(Provider::WebPush, &Refusal::NotFound.word());
        return Answer::Reply(response(StatusCode::NOT_FOUND, "text/plain", "no such endpoint"));
    };
    let manner = WebPush {
        style,
        origin: format!("https://{}", inbound.authority),
        ttl_s: check_ttl(style, &inbound.headers).unwrap_or_default(),
        id: if style == Style::Apple { uuid() } else { fresh() },
    };
    match accept(state, &manner, token, &inbound) {
        Ok(push) => deliver(state, &inbound, push, &manner).await,
        Err(refusal) => {
            state.log().refuse(Provider::WebPush, &refusal.word());
            Answer::Reply(manner.refuse(refusal))
        }
    }
}

/// The service and the subscription a path names: the first and the last of its parts.
fn endpoint(path: &str) -> Option<(Style, &str)> {
    let (style, rest) = path.strip_prefix('/')?.split_once('/')?;
    let token = rest.rsplit('/').next().filter(|token| is_token(token))?;
    Some((Style::parse(style)?, token))
}

/// Whether a request is in order, and what it says to the browser.
fn accept(
    state: &State,
    manner: &WebPush,
    token: &str,
    inbound: &Inbound,
) -> Result<Push, Refusal> {
    if inbound.method != http::Method::POST {
        return Err(Refusal::MethodNotAllowed);
    }
    let authorization = inbound.header(header::AUTHORIZATION.as_str());
    let sender = state.senders.admit(authorization, &manner.origin, state.now())?;
    let (keys, only_sender) = state.subscriptions.find(manner.style, token);
    if only_sender.is_some_and(|key| key != sender.public_key) {
        return Err(Refusal::KeyMismatch);
    }
    check_ttl(manner.style, &inbound.headers)?;
    check(manner.style, &inbound.headers, &inbound.body)?;
    let plain = keys.and_then(|keys| decrypt(&keys, &inbound.body)).ok_or(Refusal::BadCrypto)?;
    let payload = serde_json::from_slice(&plain)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&plain).into_owned()));
    Ok(Push {
        provider: Provider::WebPush,
        token: token.to_owned(),
        payload,
        authorized_by: URL_SAFE_NO_PAD.encode(&sender.public_key),
    })
}

#[cfg(test)]
mod tests {
    use super::{Style, endpoint};

    #[test]
    fn an_endpoint_is_a_service_and_a_token() {
        for (path, expected) in [
            ("/mozilla/browser-1", Some((Style::Mozilla, "browser-1"))),
            ("/google/fcm/send/a:b_c", Some((Style::Google, "a:b_c"))),
            ("/up/x", Some((Style::UnifiedPush, "x"))),
            ("/wp/x", Some((Style::Wp, "x"))),
            ("/opera/x", None),
            ("/mozilla/", None),
            ("/mozilla", None),
            ("/", None),
            ("/mozilla/a%20b", None),
        ] {
            assert_eq!(endpoint(path), expected, "{path}");
        }
    }
}
