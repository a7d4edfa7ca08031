//! `reveille export echo`: writes subscriptions back to a wiki's tables. The way out.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use reveille_echo::{EchoRow, Sink};
use reveille_model::{Provider, Realm, Subscription};
use serde_json::json;

use super::echo::{password, realm};
use super::load::push_config;
use super::store::OpenStore;
use crate::cli::ExportEchoArguments;
use crate::failure::Failure;
use crate::say;

/// Subscriptions that are read and written in one go.
const PAGE: usize = 500;

/// What has become of the subscriptions so far.
#[derive(Default)]
struct Report {
    written: u64,
    /// Of users of another realm, or without one.
    of_others: u64,
    /// Of browsers, which a wiki does not know.
    browsers: u64,
}

pub(crate) async fn run(arguments: &ExportEchoArguments) -> Result<(), Failure> {
    let realm = realm(&arguments.echo)?;
    let password = password(&arguments.echo)?;
    let config = push_config(&arguments.config)?;
    let opened = OpenStore::open(&config.store).await?;
    let store = opened.shared();
    let sink = Sink::open(&arguments.to, password.as_deref(), &arguments.echo.table_prefix).await;
    let mut sink = sink.context("cannot write the wiki's subscriptions (--to)")?;
    let shows = std::io::stderr().is_terminal();
    let mut report = Report::default();
    let mut after = None;
    loop {
        let some = store.all(after, PAGE).await?;
        let Some(last) = some.last() else { break };
        after = Some(last.id);
        let rows: Vec<EchoRow> =
            some.into_iter().filter_map(|each| row(&realm, each, &mut report)).collect();
        let written = sink.write(&rows).await;
        written.context("it broke off; what was written stays, and may be written again")?;
        report.written += rows.len() as u64;
        if shows {
            say::progress(&format!("{} written", report.written));
        }
    }
    sink.finish().await?;
    drop(store);
    opened.close().await;
    if shows {
        say::progress("");
    }
    let Report { written, of_others, browsers } = report;
    say::line(&if arguments.json {
        json!({"written": written, "other_realms": of_others, "browsers": browsers}).to_string()
    } else {
        format!(
            "{written} written; left out: {of_others} of users who are not of the realm, {browsers} of browsers"
        )
    });
    Ok(())
}

fn row(realm: &Realm, known: Subscription, report: &mut Report) -> Option<EchoRow> {
    let provider = known.set.provider();
    if provider == Provider::WebPush {
        report.browsers += 1;
        return None;
    }
    let Some(user) = realm.number(known.user.expose()) else {
        report.of_others += 1;
        return None;
    };
    Some(EchoRow {
        id: 0,
        user,
        token: known.token.identity(provider).as_bytes().to_vec(),
        provider: Some(provider.as_str().to_owned()),
        topic: known.topic.map(|topic| topic.as_str().to_owned()),
        updated_s: Some(known.refreshed_at.as_s()),
    })
}
