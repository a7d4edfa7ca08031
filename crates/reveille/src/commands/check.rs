//! `reveille check`: reads the configuration, tries store and provider credentials, and says everything that is wrong at once.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use reveille_model::{Provider, Topic};
use reveille_push::{MariaDbConfig, PushConfig, StoreUrl, senders};
use reveille_sandbox::SandboxConfig;
use reveille_service::clock::{Clock, SystemClock};
use reveille_service::config::{ConfigProblem, Document, TracingConfig};
use reveille_sessions::{SessionsConfig, SessionsStoreUrl};
use reveille_store::{Census, Cohorts as _, Sessions as _};
use reveille_store_cassandra::CassandraSessions;
use reveille_store_mariadb::MariaDbStore;
use reveille_store_sqlite::{Found, KeyFile, OpenError, SqliteSessions, SqliteStore};

use super::sessions::settings;
use super::store::mariadb;
use crate::cli::ConfigArguments;
use crate::failure::Failure;
use crate::say;

pub(crate) async fn run(arguments: ConfigArguments) -> Result<(), Failure> {
    let document = Document::load(&arguments.config)?;
    let push = document.has("push").then(|| PushConfig::read(&document)).flatten();
    if document.has("sandbox") {
        SandboxConfig::read(&document);
    }
    if !["push", "sandbox", "sessions"].iter().any(|section| document.has(section)) {
        document.problems().add(
            "push",
            "there is neither [push] nor [sessions] nor [sandbox]; `reveille sandbox init DIR` writes an example",
        );
    }
    let sessions = document.has("sessions").then(|| SessionsConfig::read(&document)).flatten();
    TracingConfig::read(&document);
    let mut problems = document.problems().take();
    if let Some(push) = push {
        for warning in push.warnings(SystemClock.now()) {
            say::line(&format!("warning  {warning}"));
        }
        problems.extend(try_store(&push).await);
        for tried in push.try_wikis(SystemClock.now()).await {
            match tried.outcome {
                Ok(what) => say::line(&format!("ok       {what}")),
                Err(what) => problems.push(ConfigProblem { path: tried.path.to_owned(), what }),
            }
        }
        problems.extend(try_providers(push).await);
    }
    if let Some(sessions) = sessions {
        problems.extend(try_sessions(&sessions.store).await);
    }
    if problems.is_empty() {
        say::line("ok       the configuration can be used");
        Ok(())
    } else {
        Err(Failure::Config(problems))
    }
}

async fn try_store(push: &PushConfig) -> Option<ConfigProblem> {
    match &push.store {
        StoreUrl::Sqlite { database, key_file } => try_sqlite(push, database, key_file).await,
        StoreUrl::MariaDb(config) => try_mariadb(config).await,
    }
}

async fn try_mariadb(config: &MariaDbConfig) -> Option<ConfigProblem> {
    if let Err(error) = MariaDbStore::check(&mariadb(config), SystemClock.now()).await {
        return Some(ConfigProblem {
            path: "push.store".to_owned(),
            what: format!("the store on MariaDB cannot be used: {error}"),
        });
    }
    say::line("ok       the store on MariaDB takes writes");
    warn_of_key(&config.key_file);
    None
}

async fn try_sqlite(push: &PushConfig, database: &Path, key_file: &Path) -> Option<ConfigProblem> {
    let path = database.display();
    match found("push.store", database, SqliteStore::look(database)) {
        ControlFlow::Break(problem) => return problem,
        ControlFlow::Continue(()) => {}
    }
    match SqliteStore::open_with_key(database, key_file, SystemClock.now()) {
        Ok(store) => {
            let census = store.census(SystemClock.now()).await;
            store.close();
            let census = census.map_err(|error| ConfigProblem {
                path: "push.store".to_owned(),
                what: format!("cannot count the cohorts in {path}: {error}"),
            });
            say::line(&format!("ok       the store {path} takes writes"));
            warn_of_key(key_file);
            census.map(|census| warn_of_small_cohorts(push, &census)).err()
        }
        Err(OpenError::InUse) => {
            say::line(&format!("ok       the store {path} is in use by a running server"));
            warn_of_key(key_file);
            None
        }
        Err(error) => Some(ConfigProblem {
            path: "push.store".to_owned(),
            what: format!("cannot open {path}: {error}"),
        }),
    }
}

/// Whether there is a database to be opened. Whoever only looks makes none and changes no schema: it might be the wrong user, and a version that is tried.
fn found(
    setting: &str,
    database: &Path,
    found: Result<Found, OpenError>,
) -> ControlFlow<Option<ConfigProblem>> {
    let path = database.display();
    let folder = database.parent().filter(|folder| !folder.as_os_str().is_empty());
    let problem = |what: String| Some(ConfigProblem { path: setting.to_owned(), what });
    match found {
        Ok(Found::Something) => return ControlFlow::Continue(()),
        Ok(Found::Nothing) if folder.is_some_and(|folder| !folder.is_dir()) => {
            return ControlFlow::Break(problem(format!(
                "cannot make {path}: there is no such folder"
            )));
        }
        Ok(Found::Nothing) => {
            say::line(&format!(
                "ok       the store {path} is not there yet; the first start makes it"
            ));
        }
        Ok(Found::Older { found, known }) => say::line(&format!(
            "warning  the store {path} has schema {found}: this version brings it to {known} at its first start, and earlier ones refuse it then"
        )),
        Err(error) => return ControlFlow::Break(problem(format!("cannot read {path}: {error}"))),
    }
    ControlFlow::Break(None)
}

async fn try_sessions(store: &SessionsStoreUrl) -> Option<ConfigProblem> {
    let problem = |what: String| ConfigProblem { path: "sessions.store".to_owned(), what };
    match store {
        SessionsStoreUrl::Sqlite(database) => {
            let path = database.display();
            match found("sessions.store", database, SqliteSessions::look(database)) {
                ControlFlow::Break(problem) => return problem,
                ControlFlow::Continue(()) => {}
            }
            match SqliteSessions::open(database) {
                Ok(store) => {
                    let ready = store.ready().await;
                    store.close();
                    match ready {
                        Ok(()) => {
                            say::line(&format!("ok       the session store {path} takes writes"));
                        }
                        Err(error) => return Some(problem(format!("{path}: {error}"))),
                    }
                }
                Err(OpenError::InUse) => {
                    say::line(&format!(
                        "ok       the session store {path} is in use by a running server"
                    ));
                }
                Err(error) => return Some(problem(format!("cannot open {path}: {error}"))),
            }
        }
        SessionsStoreUrl::Cassandra(config) => {
            let ready = match CassandraSessions::open(settings(config)).await {
                Ok(store) => store.ready().await.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            match ready {
                Ok(()) => say::line(&format!(
                    "ok       Cassandra answers for {}.{}",
                    config.keyspace, config.table
                )),
                Err(what) => return Some(problem(what)),
            }
        }
    }
    None
}

/// Whoever watches a small cohort guesses right more often than the settings promise.
fn warn_of_small_cohorts(push: &PushConfig, census: &Census) {
    let Some(sizes) = push.mix().sizes else { return };
    let smallest = |of: &[(u64, u64)]| of.iter().map(|(size, _)| *size).find(|size| *size > 0);
    let what = |users: u64, why: &str| {
        let who = if users == 1 { "1 user".to_owned() } else { format!("{users} users") };
        say::line(&format!(
            "warning  the smallest cohort {why} has {who}: whoever watches guesses right one time in {users}"
        ));
    };
    if let Some(users) = smallest(&census.sizes).filter(|users| *users < sizes.form as u64) {
        what(users, "has lost some of its users, and");
    }
    if let Some(users) = smallest(&census.provisional) {
        what(users, &format!("waits to be {} of one kind, and", sizes.form));
    }
}

/// Whoever can read the key and the database has every device's token.
fn warn_of_key(key_file: &Path) {
    let is_open = KeyFile::read(key_file)
        .is_ok_and(|file| file.is_some_and(|file| file.is_readable_by_others()));
    if is_open {
        let path = key_file.display();
        say::line(&format!("warning  everybody on this machine can read {path}: chmod o= {path}"));
    }
}

async fn try_providers(push: PushConfig) -> Vec<ConfigProblem> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let senders = match senders(push.providers, &clock) {
        Ok((senders, ..)) => senders,
        Err(error) => {
            return vec![ConfigProblem { path: "providers".to_owned(), what: error.to_string() }];
        }
    };
    let (mut problems, mut browsers) = (Vec::new(), None);
    for (settings, sender) in senders {
        if settings.set.provider() == Provider::WebPush {
            // Without a browser there is nobody to ask; all of them share one sender.
            browsers = Some(sender);
            continue;
        }
        let topics: Vec<Option<&Topic>> = match settings.topics.as_slice() {
            [] => vec![None],
            topics => topics.iter().map(Some).collect(),
        };
        for topic in topics {
            let name = topic.map_or_else(String::new, |topic| format!(" for {}", topic.as_str()));
            match sender.check(topic).await {
                Ok(()) => {
                    say::line(&format!("ok       {} takes our credentials{name}", settings.set));
                }
                Err(what) => {
                    let what = format!("{what}{name}");
                    problems.push(ConfigProblem { path: settings.set.to_string(), what });
                }
            }
        }
    }
    if let Some(sender) = browsers {
        match sender.check(None).await {
            Ok(()) => say::line("ok       webpush can sign for browsers"),
            Err(what) => problems.push(ConfigProblem { path: "webpush".to_owned(), what }),
        }
    }
    problems
}
