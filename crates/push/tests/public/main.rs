//! The public API: who is let in, and what they may do with their devices.
#![cfg(test)]

mod auth;
mod devices;
mod inbox;
mod pages;
mod preferences;
mod verifying;
mod wiki;

use reveille_testkit::{Answer, Client};
use serde_json::Value;

/// `[push.public.auth]` of a site whose proxy on this machine says who people are.
const BY_HEADER: &str =
    "[push.public.auth]\nmode = \"header\"\nheader = \"X-User\"\npeers = [\"127.0.0.1\"]\n";

/// A request of a user of [`BY_HEADER`].
async fn call(public: &Client, user: &str, method: &str, path: &str, body: &Value) -> Answer {
    let headers = [("x-user", user), ("content-type", "application/json")];
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    public.call(method.parse().unwrap(), path, &headers, body).await
}
