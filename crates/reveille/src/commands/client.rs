//! `reveille send`, `trail`, `subscriptions`: a client of the private API for people at a terminal.

use std::io::Read as _;
use std::time::Duration;

use anyhow::Context as _;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::cli::{
    SendArguments, ServerArguments, SubscriptionsArguments, SubscriptionsCommand, TrailArguments,
    UsersArguments, UsersCommand,
};
use crate::failure::Failure;
use crate::say;

/// Longest time for a request.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Longest token that is read from standard input, in bytes.
const TOKEN_BYTES_MAX: u64 = 8 * 1024;

pub(crate) async fn send(arguments: SendArguments) -> Result<(), Failure> {
    let mut body = json!({"users": arguments.users, "type": arguments.r#type});
    let mut set = |name: &str, value: Value| {
        if let Some(body) = body.as_object_mut() {
            body.insert(name.to_owned(), value);
        }
    };
    if let Some(ttl_s) = arguments.ttl_s {
        set("ttl_s", ttl_s.into());
    }
    if let Some(deliver_after) = arguments.deliver_after {
        set("deliver_after", deliver_after.into());
    }
    if arguments.dry_run {
        set("dry_run", true.into());
    }
    let answer = call(&arguments.server, Method::POST, "/v1/notifications", Some(body)).await?;
    if arguments.server.json {
        say::line(&answer.to_string());
    } else {
        let id = text(&answer, "id");
        say::line(id);
        say::note(&format!("accepted; follow it with: reveille trail {id}"));
    }
    Ok(())
}

pub(crate) async fn trail(arguments: TrailArguments) -> Result<(), Failure> {
    let path = format!("/v1/notifications/{}", in_path(&arguments.id));
    let answer = call(&arguments.server, Method::GET, &path, None).await?;
    if arguments.server.json {
        say::line(&answer.to_string());
        return Ok(());
    }
    say::line(&format!("state        {}", text(&answer, "state")));
    for (name, label) in [("window_end", "window ends"), ("deliver_after", "not before")] {
        let time = text(&answer, name);
        if !time.is_empty() {
            say::line(&format!("{label:<12} {time}"));
        }
    }
    let cohorts = answer.get("cohorts");
    let count = cohorts.and_then(|cohorts| cohorts.get("count")).and_then(Value::as_u64);
    if let (Some(cohorts), Some(count @ 1..)) = (cohorts, count) {
        let has_left = cohorts.get("left").and_then(Value::as_bool).unwrap_or_default();
        say::line(&format!("cohorts      {count}, {}", if has_left { "left" } else { "waiting" }));
    }
    for (name, count) in answer.get("wakeups").and_then(Value::as_object).into_iter().flatten() {
        if count.as_u64() != Some(0) {
            say::line(&format!("{name:<12} {count}"));
        }
    }
    Ok(())
}

pub(crate) async fn subscriptions(arguments: SubscriptionsArguments) -> Result<(), Failure> {
    match arguments.command {
        SubscriptionsCommand::List { user, server } => {
            let path = format!("/v1/users/{}/subscriptions", in_path(&user));
            let answer = call(&server, Method::GET, &path, None).await?;
            if server.json {
                say::line(&answer.to_string());
                return Ok(());
            }
            for each in answer.as_array().into_iter().flatten() {
                let app = text(each, "app");
                say::line(&format!(
                    "{}  {}{}{app}  refreshed {}",
                    text(each, "id"),
                    text(each, "provider"),
                    if app.is_empty() { "" } else { "." },
                    text(each, "refreshed_at")
                ));
            }
        }
        SubscriptionsCommand::Add { user, provider, fid, topic, app, server } => {
            let mut token = String::new();
            let read = std::io::stdin().take(TOKEN_BYTES_MAX).read_to_string(&mut token);
            read.context("cannot read a token from standard input")?;
            let path = format!("/v1/users/{}/subscriptions", in_path(&user));
            let token = token.trim_end_matches('\n');
            let body = if provider == "webpush" {
                let subscription: Value = serde_json::from_str(token).context(
                    "a browser's token is the JSON that PushSubscription.toJSON() gives",
                )?;
                json!({"provider": provider, "subscription": subscription})
            } else {
                let name = if fid { "fid" } else { "token" };
                json!({"provider": provider, name: token, "topic": topic, "app": app})
            };
            let answer = call(&server, Method::POST, &path, Some(body)).await?;
            let id = text(&answer, "id").to_owned();
            say::line(&if server.json { answer.to_string() } else { id });
        }
        SubscriptionsCommand::Remove { user, id, all: _, server } => {
            let of_user = format!("/v1/users/{}/subscriptions", in_path(&user));
            let path = match id {
                Some(id) => format!("{of_user}/{}", in_path(&id)),
                None => of_user,
            };
            let answer = call(&server, Method::DELETE, &path, None).await?;
            let deleted = answer.get("deleted").and_then(Value::as_u64).unwrap_or(1);
            say::line(&if server.json {
                json!({ "deleted": deleted }).to_string()
            } else {
                format!("{deleted} removed")
            });
        }
    }
    Ok(())
}

pub(crate) async fn users(arguments: UsersArguments) -> Result<(), Failure> {
    match arguments.command {
        UsersCommand::Fetched { user, server } => {
            let path = format!("/v1/users/{}/fetched", in_path(&user));
            let answer = call(&server, Method::POST, &path, None).await?;
            let cancelled = answer.get("cancelled").and_then(Value::as_u64).unwrap_or_default();
            say::line(&if server.json {
                answer.to_string()
            } else {
                format!("{cancelled} cancelled")
            });
        }
        UsersCommand::Erase { yes: false, .. } => {
            return Err(Failure::Refused(
                "this removes everything about the user, and there is no way back; say --yes"
                    .to_owned(),
            ));
        }
        UsersCommand::Erase { user, yes: true, server } => {
            call(&server, Method::DELETE, &format!("/v1/users/{}", in_path(&user)), None).await?;
            if !server.json {
                say::line("nothing is left of them");
            }
        }
    }
    Ok(())
}

/// One request to the private API.
pub(super) async fn call(
    server: &ServerArguments,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Result<Value, Failure> {
    let (status, answer) = ask(server, method, path, body).await?;
    if status.is_success() {
        return Ok(answer);
    }
    Err(refusal(status, &answer))
}

/// What a server has refused and why.
pub(super) fn refusal(status: StatusCode, answer: &Value) -> Failure {
    let mut what =
        vec![format!("the server refused ({}): {}", status.as_u16(), text(answer, "title"))];
    what.push(text(answer, "detail").to_owned());
    let errors = answer.get("errors").and_then(Value::as_array).into_iter().flatten();
    what.extend(errors.map(|each| text(each, "detail").to_owned()));
    what.retain(|line| !line.is_empty());
    Failure::Refused(what.join("\n  "))
}

/// One request to the private API, and what it is answered.
pub(super) async fn ask(
    server: &ServerArguments,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Result<(StatusCode, Value), Failure> {
    // A server on this machine speaks plain HTTP; the public authorities are for one that does not.
    let tls = reveille_providers::client_tls(None)?;
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(rustls::ClientConfig::clone(&tls))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(TIMEOUT)
        .build()?;
    let url = format!("{}{path}", server.url.trim_end_matches('/'));
    let mut request = client.request(method, url);
    if let Some(file) = &server.token_file {
        let token = std::fs::read_to_string(file);
        let token =
            token.with_context(|| format!("cannot read the token file {}", file.display()))?;
        request = request.header(http::header::AUTHORIZATION, format!("Bearer {}", token.trim()));
    }
    if let Some(body) = body {
        request =
            request.header(http::header::CONTENT_TYPE, "application/json").body(body.to_string());
    }
    let response = request.send().await.map_err(|error| {
        let why = anyhow::Error::new(error.without_url());
        why.context(format!(
            "cannot reach the push server at {}; is it running? (--url names another)",
            server.url
        ))
    })?;
    let status = response.status();
    let body = response.text().await.context("the answer broke off")?;
    Ok((status, serde_json::from_str(&body).unwrap_or_default()))
}

/// A member that is a text; empty where it is not.
pub(super) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A text as one segment of a path (RFC 3986).
fn in_path(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}
