//! `reveille pause` and `reveille resume`: stops delivery while all is accepted, and goes on with it.

use http::Method;
use serde_json::{Value, json};

use super::client::call;
use crate::cli::PauseArguments;
use crate::failure::Failure;
use crate::say;

pub(crate) async fn pause(arguments: PauseArguments) -> Result<(), Failure> {
    change(arguments, "/v1/pause").await
}

pub(crate) async fn resume(arguments: PauseArguments) -> Result<(), Failure> {
    change(arguments, "/v1/resume").await
}

async fn change(arguments: PauseArguments, path: &str) -> Result<(), Failure> {
    let PauseArguments { provider, server } = arguments;
    let answer = call(&server, Method::POST, path, Some(json!({"provider": provider}))).await?;
    if server.json {
        say::line(&answer.to_string());
        return Ok(());
    }
    let paused = answer.get("paused").and_then(Value::as_array).into_iter().flatten();
    let paused: Vec<&str> = paused.filter_map(Value::as_str).collect();
    say::line(&if paused.is_empty() {
        "delivery goes on everywhere".to_owned()
    } else {
        format!(
            "nothing is sent to {}; what is accepted waits, each as long as its time to live",
            paused.join(", ")
        )
    });
    Ok(())
}
