//! Ready requests for the benchmarks' peer, `h2load`, made with Reveille's own code, so that both send the sandbox the same.
//!
//! `ready FOLDER apns` prints the headers of a push to APNs, one a line, and writes its body to `FOLDER/ready.body`; `ready FOLDER webpush
//! SUBSCRIPTION` does so for a browser (what `POST /subscriptions` of the control port gives). FOLDER is what `reveille sandbox init` made.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use http::HeaderValue;
use reveille_model::{DryRun, Duration, MessageType, Provider, Token, Topic};
use reveille_providers::Push;
use reveille_providers::apns::{Kind, ProviderKey, ProviderTokens, request};
use reveille_providers::jwt::SigningKey;
use reveille_providers::webpush::{Guard, Target, VapidKey, encrypt, record};
use reveille_service::clock::{Clock as _, SystemClock};
use serde_json::json;

const USAGE: &str = "usage: ready FOLDER apns | ready FOLDER webpush SUBSCRIPTION";
/// How long the push is worth sending.
const TTL: Duration = Duration::from_s(3_600);

/// Headers and a body.
type Ready = (Vec<String>, Vec<u8>);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let made = match words.as_slice() {
        [folder, "apns"] => apns(Path::new(folder)).map(|ready| (*folder, ready)),
        [folder, "webpush", subscription] => {
            webpush(Path::new(folder), subscription).map(|ready| (*folder, ready))
        }
        _ => Err(USAGE.to_owned()),
    };
    let written = made.and_then(|(folder, (headers, body))| {
        std::fs::write(Path::new(folder).join("ready.body"), body)
            .and_then(|()| writeln!(std::io::stdout(), "{}", headers.join("\n")))
            .map_err(|error| error.to_string())
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            drop(writeln!(std::io::stderr(), "{what}"));
            ExitCode::FAILURE
        }
    }
}

fn key(path: &Path) -> Result<SigningKey, String> {
    SigningKey::from_file(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn checked<T, E: std::fmt::Debug>(made: Result<T, E>) -> Result<T, String> {
    made.map_err(|error| format!("{error:?}"))
}

fn apns(folder: &Path) -> Result<Ready, String> {
    let (key_id, team_id) = ("SANDBOXKEY".to_owned(), "SANDBOXTEM".to_owned());
    let key = ProviderKey { key: key(&folder.join("AuthKey.p8"))?, key_id, team_id };
    let now = SystemClock.now();
    let push = Push {
        token: checked(Token::parse(Provider::Apns, &"ab".repeat(32)))?,
        topic: Some(checked(Topic::parse("org.wikimedia.wikipedia"))?),
        message_type: checked(MessageType::parse("checkEchoV1"))?,
        nonce: None,
        dry_run: DryRun::No,
        expires_at: now.plus(TTL),
        id: [7; 16],
    };
    let bearer = ProviderTokens::new(key).bearer(now);
    let request =
        request("https://sandbox", &push, Kind::Alert, Some(bearer)).ok_or("no request")?;
    let shown = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let headers = request.headers().iter();
    let headers = headers.map(|(name, value)| format!("{name}: {}", shown(value))).collect();
    Ok((headers, reveille_providers::apns::body(&push, Kind::Alert).to_vec()))
}

fn webpush(folder: &Path, subscription: &str) -> Result<Ready, String> {
    let json = checked(serde_json::from_str::<serde_json::Value>(subscription))?;
    let endpoint = json.get("endpoint").and_then(|endpoint| endpoint.as_str());
    let origin: String =
        endpoint.unwrap_or_default().splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
    let guard = Guard { origins: vec![origin.clone()], ..Guard::default() };
    let target = checked(Target::from_json(&json, &guard))?;
    let message_type = checked(MessageType::parse("checkEchoV1"))?;
    let body = checked(encrypt(&target, &record(&message_type, None)))?;
    let key = key(&folder.join("vapid.pem"))?;
    let expires_at = SystemClock.now().plus(TTL).as_s();
    let claims = json!({"aud": origin, "exp": expires_at, "sub": "mailto:ops@example.org"});
    let token = key.sign(&json!({"typ": "JWT", "alg": "ES256"}), &claims);
    let public = VapidKey::new(key).public().to_owned();
    let headers = vec![
        format!("authorization: vapid t={token}, k={public}"),
        "content-encoding: aes128gcm".to_owned(),
        "content-type: application/octet-stream".to_owned(),
        format!("ttl: {}", TTL.as_s()),
        "urgency: normal".to_owned(),
        "topic: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".to_owned(),
    ];
    Ok((headers, body.to_vec()))
}
