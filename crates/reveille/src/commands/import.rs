//! `reveille import echo`: takes over what a wiki's extension Echo has registered, through the private API of a running server.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{IsTerminal as _, Write as _};

use anyhow::Context as _;
use http::{Method, StatusCode};
use reveille_echo::{EchoRow, Source};
use reveille_model::limits::TOKEN_BYTES_MAX;
use reveille_model::{Duration, Realm, Timestamp};
use reveille_service::clock::{Clock as _, SystemClock};
use reveille_service::text_time;
use serde_json::{Value, json};

use super::client::{ask, refusal, text};
use super::echo::{password, realm};
use crate::cli::{ImportEchoArguments, ServerArguments};
use crate::failure::Failure;
use crate::say;

/// How often some rows are sent to a server that is busy, and how long it is left alone in between.
const TRIES_MAX: u32 = 10;
const BUSY: Duration = Duration::from_s(3);
/// Bytes of JSON that are sent in one go, but for a single device: half of what the server takes.
const BODY_BYTES: usize = 512 * 1024;
/// Rows that were left out which are shown.
const SHOWN_MAX: usize = 20;

/// What is wrong with a row before any server has seen it.
fn wrong(row: &EchoRow) -> Option<&'static str> {
    match row.provider.as_deref() {
        Some("apns" | "fcm") => {}
        Some(_) => return Some("its provider is neither apns nor fcm"),
        None => return Some("its provider has no name in echo_push_provider"),
    }
    if row.user == 0 {
        return Some("its user is nobody");
    }
    if row.provider.as_deref() == Some("apns") && row.topic.is_none() {
        return Some("it is of apns and has no topic");
    }
    if row.token.len() > TOKEN_BYTES_MAX {
        return Some("its token is longer than 4096 bytes");
    }
    std::str::from_utf8(&row.token).is_err().then_some("its token is no text")
}

/// A row as the server reads it.
fn device(realm: &Realm, row: &EchoRow) -> Value {
    let at = row.updated_s.map(|s| text_time::format(Timestamp::from_ms(s.saturating_mul(1_000))));
    let provider = row.provider.as_deref().unwrap_or_default();
    let mut device = json!({
        "user": realm.user(row.user),
        "provider": provider,
        "token": String::from_utf8_lossy(&row.token),
        "registered_at": at,
    });
    // Of FCM a wiki keeps none.
    if provider == "apns"
        && let (Some(members), Some(topic)) = (device.as_object_mut(), &row.topic)
    {
        members.insert("topic".to_owned(), json!(topic));
    }
    device
}

/// What has become of the rows so far.
struct Report {
    counts: BTreeMap<String, u64>,
    evicted: u64,
    /// The first rows that were left out, and why.
    shown: Vec<String>,
    file: Option<File>,
    /// The last row that is taken care of, with all before it.
    last: u64,
}

impl Report {
    fn count(&mut self, result: &str) {
        *self.counts.entry(result.to_owned()).or_default() += 1;
    }

    fn leave_out(&mut self, result: &str, id: u64, why: &str) -> Result<(), Failure> {
        self.count(result);
        if self.shown.len() < SHOWN_MAX {
            self.shown.push(format!("eps_id {id}: {why}"));
        }
        if let Some(file) = &mut self.file {
            writeln!(file, "{id},\"{}\"", why.replace('"', "\"\""))
                .context("cannot write what was left out")?;
        }
        Ok(())
    }

    fn of(&self, result: &str) -> u64 {
        self.counts.get(result).copied().unwrap_or_default()
    }

    fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    fn say(&self, server: &ServerArguments) {
        if server.json {
            let counts = json!({"rows": self.total(), "results": self.counts, "evicted": self.evicted, "last": self.last});
            return say::line(&counts.to_string());
        }
        say::line(&format!(
            "{} rows: {} registered, {} known here already, {} left out",
            self.total(),
            self.of("created"),
            self.of("known"),
            self.total() - self.of("created") - self.of("known"),
        ));
        for (result, what) in [
            ("refused", "cannot be taken"),
            ("elsewhere", "are another user's here by now"),
            ("dead", "are dead: their providers have said so"),
            ("no_room", "are older than as many as a user may have"),
        ] {
            if self.of(result) > 0 {
                say::line(&format!("  {} {what}", self.of(result)));
            }
        }
        if self.evicted > 0 {
            say::line(&format!("{} older devices made room for newer ones", self.evicted));
        }
        for row in &self.shown {
            say::note(&format!("  {row}"));
        }
        if self.total() - self.of("created") - self.of("known") > SHOWN_MAX as u64 {
            say::note("  … and more: --left-out FILE writes all of them");
        }
    }
}

pub(crate) async fn run(arguments: ImportEchoArguments) -> Result<(), Failure> {
    let ImportEchoArguments { from, echo, after, left_out, server } = arguments;
    let realm = realm(&echo)?;
    let password = password(&echo)?;
    let opened = Source::open(&from, password.as_deref(), (&echo.table_prefix, after)).await;
    let mut source = opened.context("cannot read the wiki's subscriptions (--from)")?;
    if after > 0 && !source.is_in_order() {
        return Err(Failure::Usage(
            "--after is for databases: the rows of a file may stand in any order. Import all of it again; what is known here already is left as it is".to_owned(),
        ));
    }
    let file = match &left_out {
        None => None,
        Some(path) => {
            // What goes on adds to what was left out before.
            let file = File::options()
                .create(true)
                .write(true)
                .append(after > 0)
                .truncate(after == 0)
                .open(path);
            Some(file.with_context(|| format!("cannot write {}", path.display()))?)
        }
    };
    let mut report =
        Report { counts: BTreeMap::new(), evicted: 0, shown: Vec::new(), file, last: after };
    let done = import(&mut source, (&realm, &server), &mut report).await;
    if std::io::stderr().is_terminal() {
        say::progress("");
    }
    report.say(&server);
    if done.is_err() {
        let how = if source.is_in_order() {
            format!("run it again with --after {}", report.last)
        } else {
            "run it again".to_owned()
        };
        say::note(&format!("it broke off: {how}; what is known here already is left as it is"));
    }
    done
}

async fn import(
    source: &mut Source,
    (realm, server): (&Realm, &ServerArguments),
    report: &mut Report,
) -> Result<(), Failure> {
    let total = source.count().await?;
    let of_total = total.map(|total| format!(" of {total}")).unwrap_or_default();
    loop {
        let rows = source.next().await?;
        let Some(last) = rows.last().map(|row| row.id) else { return Ok(()) };
        let (mut some, mut bytes) = (Vec::new(), 0);
        for row in &rows {
            if let Some(why) = wrong(row) {
                report.leave_out("refused", row.id, why)?;
                continue;
            }
            let device = device(realm, row);
            let length = device.to_string().len();
            if bytes + length > BODY_BYTES {
                send(server, std::mem::take(&mut some), report).await?;
                bytes = 0;
            }
            bytes += length;
            some.push((row.id, device));
        }
        send(server, some, report).await?;
        report.last = last;
        if std::io::stderr().is_terminal() {
            say::progress(&format!("{}{of_total} rows", report.total()));
        }
    }
}

/// What the server says of each.
fn hear(answer: &Value, sent: &[u64], report: &mut Report) -> Result<(), Failure> {
    let results = answer.get("results").and_then(Value::as_array);
    let results = results.filter(|results| results.len() == sent.len());
    let results = results.context("the server does not say what became of each device")?;
    for (id, each) in sent.iter().zip(results) {
        match text(each, "result") {
            known @ ("created" | "known") => report.count(known),
            "elsewhere" => {
                report.leave_out("elsewhere", *id, "another user has registered it here")?;
            }
            "dead" => report.leave_out("dead", *id, "its provider has said that it is dead")?,
            "no_room" => report.leave_out("no_room", *id, "its user has as many that are newer")?,
            _ => report.leave_out("refused", *id, text(each, "detail"))?,
        }
    }
    report.evicted += answer.get("evicted").and_then(Value::as_u64).unwrap_or_default();
    Ok(())
}

/// Sends some, and hears what became of them.
async fn send(
    server: &ServerArguments,
    some: Vec<(u64, Value)>,
    report: &mut Report,
) -> Result<(), Failure> {
    if some.is_empty() {
        return Ok(());
    }
    let (sent, devices): (Vec<u64>, Vec<Value>) = some.into_iter().unzip();
    let answer = post(server, devices.into()).await?;
    hear(&answer, &sent, report)
}

/// One request, again while the server is busy.
async fn post(server: &ServerArguments, devices: Value) -> Result<Value, Failure> {
    let clock = SystemClock;
    for tried in 0..TRIES_MAX {
        if tried > 0 {
            clock.sleep(BUSY).await;
        }
        let path = "/v1/subscriptions/import";
        let (status, answer) = ask(server, Method::POST, path, Some(devices.clone())).await?;
        match status {
            StatusCode::OK => return Ok(answer),
            StatusCode::SERVICE_UNAVAILABLE => {}
            _ => return Err(refusal(status, &answer)),
        }
    }
    Err(Failure::Refused("the server is busy and stays so; see its log".to_owned()))
}
