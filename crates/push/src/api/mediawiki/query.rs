//! `action=query`: what is known about whoever is calling.

use serde_json::{Value, json};

use super::entry::{Call, Members};
use super::fault::{Fault, Warning};
use super::parameters::VALUES_MAX;
use super::{csrf, notifications};

#[derive(Clone, Copy)]
enum Meta {
    Tokens,
    UserInfo,
    Notifications,
    UnreadPages,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum UserProperty {
    Groups,
    Rights,
}

pub(super) async fn run(call: &mut Call<'_>) -> Result<Members, Fault> {
    let mut members = Members::from_iter([("batchcomplete".to_owned(), json!(true))]);
    let words = [
        ("tokens", Meta::Tokens),
        ("userinfo", Meta::UserInfo),
        ("notifications", Meta::Notifications),
        ("unreadnotificationpages", Meta::UnreadPages),
    ];
    // What has nothing to work on is not there.
    let known = if call.has_inbox() { &words[..] } else { &words[..2] };
    let place = ("query", &mut call.warnings);
    let chosen = call.parameters.choices("meta", (known, &[]), place);
    let chosen = chosen.map_err(|fault| fault.at("query"))?;
    for name in ["list", "prop"] {
        nothing_known(call, name).map_err(|fault| fault.at("query"))?;
    }
    let mut found = Members::new();
    for meta in chosen {
        let (name, value) = match meta {
            Meta::Tokens => ("tokens", tokens(call).map_err(|fault| fault.at("query+tokens"))?),
            Meta::UserInfo => {
                ("userinfo", user_info(call).map_err(|fault| fault.at("query+userinfo"))?)
            }
            Meta::Notifications => {
                let list = notifications::list(call).await;
                ("notifications", list.map_err(|fault| fault.at("query+notifications"))?)
            }
            Meta::UnreadPages => {
                let pages = notifications::pages(call).await;
                let place = "query+unreadnotificationpages";
                ("unreadnotificationpages", pages.map_err(|fault| fault.at(place))?)
            }
        };
        found.insert(name.to_owned(), value);
    }
    if !found.is_empty() {
        members.insert("query".to_owned(), found.into());
    }
    Ok(members)
}

/// There are pages at a wiki, not here.
fn nothing_known(call: &mut Call<'_>, name: &str) -> Result<(), Fault> {
    let values = call.parameters.values(name, VALUES_MAX)?.unwrap_or_default();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    if !values.is_empty() {
        call.warnings.push(Warning::unknown_values("query", name, &values));
    }
    Ok(())
}

/// `meta=tokens`: what proves that a form is one's own.
fn tokens(call: &mut Call<'_>) -> Result<Value, Fault> {
    let place = ("query+tokens", &mut call.warnings);
    // `*` is all there are.
    let words = [("csrf", ()), ("*", ())];
    let types = call.parameters.choices("type", (&words, &[()]), place)?;
    let token = match &call.caller {
        None => csrf::ANONYMOUS.to_owned(),
        Some(caller) => csrf::mint(&call.state.action.csrf, &caller.user, call.now),
    };
    Ok(if types.is_empty() { json!({}) } else { json!({"csrftoken": token}) })
}

/// `meta=userinfo`: who is calling.
fn user_info(call: &mut Call<'_>) -> Result<Value, Fault> {
    let words = [("groups", UserProperty::Groups), ("rights", UserProperty::Rights)];
    let place = ("query+userinfo", &mut call.warnings);
    let properties = call.parameters.choices("uiprop", (&words, &[]), place)?;
    let mut info = Members::from_iter([
        ("id".to_owned(), json!(id(call))),
        ("name".to_owned(), json!(call.name())),
    ]);
    if call.caller.is_none() {
        info.insert("anon".to_owned(), json!(true));
    }
    if properties.contains(&UserProperty::Groups) {
        let mut groups = vec!["*"];
        groups.extend(call.caller.as_ref().map(|_| "user"));
        groups.extend(call.is_manager().then_some("push-subscription-manager"));
        info.insert("groups".to_owned(), json!(groups));
    }
    if properties.contains(&UserProperty::Rights) {
        info.insert("rights".to_owned(), json!(rights(call)));
    }
    Ok(info.into())
}

/// The account's number where a wiki has said who is calling, or where the user ends with one; else a number of their own, the same each time.
fn id(call: &Call<'_>) -> u64 {
    let Some(caller) = &call.caller else { return 0 };
    if let Some(account) = &caller.account {
        return account.id;
    }
    let user = caller.user.expose();
    let number = user.rsplit(':').next().and_then(|end| end.parse().ok());
    number.filter(|number| *number != 0).unwrap_or_else(|| {
        let tag = aws_lc_rs::hmac::sign(&call.state.action.csrf, user.as_bytes());
        let bytes = tag.as_ref().first_chunk().copied().unwrap_or_default();
        // Apps read it into 32 bits.
        u64::from(u32::from_be_bytes(bytes) >> 1).max(1)
    })
}

/// Rights that matter here.
fn rights(call: &Call<'_>) -> Vec<&'static str> {
    let Some(caller) = &call.caller else { return Vec::new() };
    let account = caller.account.as_ref();
    let mut rights = Vec::new();
    if account.is_none_or(|account| account.edits_private_info) {
        rights.push("editmyprivateinfo");
    }
    if account.is_some_and(|account| account.has_high_limits) {
        rights.push("apihighlimits");
    }
    if call.is_manager() {
        rights.push("manage-all-push-subscriptions");
    }
    rights
}
