//! `action=echopushsubscriptions`: an app says where it can be woken, and that it cannot any more (contract: echo.md §1).

use reveille_model::{NewSubscription, Provider, Token, Topic, User};
use serde_json::json;

use super::super::devices::{Registered, WhoseWord, is_shaped};
use super::entry::{Call, Members};
use super::fault::Fault;
use crate::intake::NO_APP;

const MODULE: &str = "echopushsubscriptions";
const CREATE: &str = "echopushsubscriptions+create";
const DELETE: &str = "echopushsubscriptions+delete";

#[derive(Clone, Copy)]
enum Command {
    Create,
    Delete,
}

pub(super) async fn run(call: &mut Call<'_>) -> Result<Members, Fault> {
    let commands = [("create", Command::Create), ("delete", Command::Delete)];
    let command = call.parameters.choice("command", &commands).map_err(|fault| fault.at(MODULE))?;
    let command = command.ok_or_else(|| Fault::missing("command").at(MODULE))?;
    call.check_csrf(MODULE).await?;
    match command {
        Command::Create => create(call).await.map_err(|fault| fault.at(CREATE)),
        Command::Delete => delete(call).await.map_err(|fault| fault.at(DELETE)),
    }
}

/// Who is calling, if they may change what is theirs.
fn user(call: &Call<'_>) -> Result<User, Fault> {
    let caller = call.caller.as_ref().ok_or_else(|| {
        Fault::new("notloggedin", "You must be logged in to edit your private information.")
    })?;
    if caller.account.as_ref().is_some_and(|account| !account.edits_private_info) {
        let text = "You don't have permission to edit your private information.";
        return Err(Fault::new("permissiondenied", text));
    }
    Ok(caller.user.clone())
}

fn success(command: &str) -> Members {
    Members::from_iter([(command.to_owned(), json!({"result": "Success"}))])
}

async fn create(call: &mut Call<'_>) -> Result<Members, Fault> {
    let user = user(call)?;
    let providers = [("fcm", Provider::Fcm), ("apns", Provider::Apns)];
    call.parameters.required("provider")?;
    let provider = call.parameters.choice("provider", &providers)?;
    let provider = provider.ok_or_else(|| Fault::missing("provider"))?;
    let text = call.parameters.required("providertoken")?;
    // As PHP has it, a topic of zero is none.
    let topic = call.parameters.text("topic").filter(|topic| !["", "0"].contains(&topic.as_str()));
    let new = device(call, provider, user, &text, topic)?;
    let devices = &call.state.devices;
    match devices.put_device(new, WhoseWord::Users).await? {
        Registered::New(_) | Registered::Unproven(_) => Ok(success("create")),
        Registered::Refreshed(_) | Registered::Moved(_) => Err(Fault::new(
            "echo-push-token-exists",
            "The provided token already exists in the database.",
        )),
    }
}

fn device(
    call: &Call<'_>,
    provider: Provider,
    user: User,
    text: &str,
    topic: Option<String>,
) -> Result<NewSubscription, Fault> {
    let intake = &call.state.devices.intake;
    if provider == Provider::Fcm {
        let set = intake.set_for(provider, None);
        let set = set.map_err(|_| Fault::bad_value("provider", provider.as_str()))?;
        return Ok(NewSubscription { user, set, topic: None, token: token(provider, text)? });
    }
    let Some(text_of_topic) = topic else {
        let text = "The topic field is required for this provider.";
        return Err(Fault::new("echo-push-topic-required", text));
    };
    let token = token(provider, text)?;
    let unknown = || Fault::bad_value("topic", &text_of_topic);
    let topic = Topic::parse(&text_of_topic).map_err(|_| unknown())?;
    let (set, topic) = intake.apns_set_for(None, Some(topic)).map_err(|_| unknown())?;
    if set.name() == NO_APP {
        return Err(unknown());
    }
    Ok(NewSubscription { user, set, topic: Some(topic), token })
}

/// A token that its provider may have given. What it says is not repeated.
fn token(provider: Provider, text: &str) -> Result<Token, Fault> {
    let token = Token::parse(provider, text).ok();
    token.filter(|_| is_shaped(provider, text)).ok_or_else(|| {
        Fault::new("badvalue", "Unrecognized value for parameter \"providertoken\".")
    })
}

async fn delete(call: &mut Call<'_>) -> Result<Members, Fault> {
    let user = user(call)?;
    let max = call.values_max();
    let texts = call.parameters.values("providertoken", max)?;
    let texts = texts.ok_or_else(|| Fault::missing("providertoken"))?;
    if texts.is_empty() {
        let text = "The parameter \"providertoken\" may not be empty.";
        return Err(Fault::new("paramempty_providertoken", text));
    }
    // Whose provider it is nobody says: each token is looked for with both.
    let providers = [Provider::Fcm, Provider::Apns];
    let tokens = texts.iter().flat_map(|text| {
        providers.into_iter().filter_map(|each| Some((each, Token::parse(each, text).ok()?)))
    });
    let whose = if call.is_manager() { None } else { Some(&user) };
    let deleted = call.state.devices.intake.store.delete_tokens(whose, tokens.collect()).await?;
    call.state.devices.count_deleted(&deleted);
    if deleted.is_empty() {
        let text = "The provided token was not found in the database.";
        return Err(Fault::new("echo-push-token-not-found", text));
    }
    Ok(success("delete"))
}
