//! What happens to a push that is in order, whosoever look-alike took it: a fault or success, and a place in the log.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, Response, header};
use reveille_model::Provider;
use reveille_service::text_time;
use serde_json::Value;

use crate::fault::{Fault, FaultReply};
use crate::received::Received;
use crate::state::State;
use crate::transport::{Answer, Inbound};

/// A push that is in order.
#[derive(Debug)]
pub(crate) struct Push {
    pub(crate) provider: Provider,
    pub(crate) token: String,
    pub(crate) payload: Value,
    pub(crate) authorized_by: String,
}

/// How a provider answers.
pub(crate) trait Manner {
    /// It took the push.
    fn success(&self) -> Response<Bytes>;

    /// The answer a fault asks for.
    fn fault(&self, fault: &Fault) -> Response<Bytes>;
}

/// Answers a push and remembers it.
pub(crate) async fn deliver(
    state: &State,
    inbound: &Inbound,
    push: Push,
    manner: &(impl Manner + Sync),
) -> Answer {
    let fault = state.faults().take(push.provider, &push.token);
    if let Some(delay_ms) = fault.as_ref().and_then(|fault| fault.delay_ms) {
        state.wait(delay_ms).await;
    }
    let answer = match fault {
        Some(fault) => play(&fault, manner),
        None => Answer::Reply(manner.success()),
    };
    let received = Received {
        provider: push.provider.as_str(),
        token: push.token,
        headers: shown(&inbound.headers),
        payload: push.payload,
        encrypted: (push.provider == Provider::WebPush)
            .then(|| URL_SAFE_NO_PAD.encode(&inbound.body)),
        body_bytes: inbound.body.len(),
        authorized_by: push.authorized_by,
        received_at: text_time::format(state.now()),
        answer: answer.word(),
    };
    state.add(push.provider, received);
    answer
}

fn play(fault: &Fault, manner: &impl Manner) -> Answer {
    let with_headers = |mut reply: Response<Bytes>| {
        fault.add_headers(&mut reply);
        reply
    };
    match fault.reply {
        FaultReply::Stall => Answer::Stall,
        FaultReply::Reset => Answer::Reset,
        FaultReply::Refused => Answer::Refused,
        FaultReply::Close => Answer::Close,
        FaultReply::Goaway => Answer::Goaway(fault.reason_text()),
        FaultReply::GoawayGraceful => {
            Answer::GoawayGraceful(fault.reason_text(), with_headers(manner.success()))
        }
        FaultReply::Status if fault.status().is_informational() => Answer::Interim(fault.status()),
        FaultReply::Success => Answer::Reply(with_headers(manner.success())),
        _ => Answer::Reply(with_headers(manner.fault(fault))),
    }
}

/// The headers without the credential.
fn shown(headers: &HeaderMap) -> BTreeMap<String, String> {
    headers
        .iter()
        .filter(|(name, _)| *name != header::AUTHORIZATION)
        .map(|(name, value)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect()
}
