//! The writer thread. All commands that wait are put into one transaction; they are answered after its commit, so that an answer means
//! "on disk". A command that fails takes back its own writes only.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::counter;
use reveille_model::{CredentialSet, Ledger};
use reveille_store::StoreError;
use rusqlite::Connection;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::codec::{read_ledger, store_error};

/// Commands of intake that may wait. Beyond it intake is refused, so that the wait stays bounded.
const INTAKE_QUEUE_MAX: usize = 4_096;
/// Commands of our own workers that may wait. They wait for a place instead of being refused.
const WORKER_QUEUE_MAX: usize = 64;
/// Most commands in one transaction.
const GROUP_MAX: usize = 2_048;
/// Statements kept prepared.
const STATEMENTS_MAX: usize = 64;

/// What the writer did since it started.
#[derive(Debug, Default)]
pub struct Activity {
    commits: AtomicU64,
    commands: AtomicU64,
}

impl Activity {
    /// Transactions committed. With `synchronous=FULL` each is at least one `fsync`.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Commands carried out. Divided by the commits: how well they group.
    pub fn commands(&self) -> u64 {
        self.commands.load(Ordering::Relaxed)
    }
}

/// Answers a command once it is known whether its transaction was committed.
type Reply = Box<dyn FnOnce(Result<(), StoreError>)>;
type Job = Box<dyn FnOnce(&mut Tables) -> Reply + Send>;

/// What a command sees: the connection inside a transaction, and what is kept beside it.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) connection: Connection,
    /// Written back once per transaction.
    pub(crate) ledger: Ledger,
    /// Users and subscriptions that scheduled notifications name.
    pub(crate) scheduled: u64,
    /// Rows of `suspects`: with none there is nothing to look up.
    pub(crate) suspects: u64,
    /// Rows of `deaths`.
    pub(crate) deaths: u64,
    pub(crate) closed_until: i64,
    /// Up to here everything closed was wholly expanded.
    pub(crate) expanded_until: i64,
    pub(crate) sets: BTreeMap<CredentialSet, i64>,
    /// Where the last sweep stopped looking for expired wake-ups.
    pub(crate) swept_until: i64,
    /// When suspects were last looked through.
    pub(crate) suspects_swept_at: i64,
}

impl Tables {
    pub(crate) fn load(connection: Connection) -> Result<Self, StoreError> {
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        let mut tables = Self {
            connection,
            ledger: Ledger::default(),
            scheduled: 0,
            suspects: 0,
            deaths: 0,
            closed_until: 0,
            expanded_until: 0,
            sets: BTreeMap::new(),
            swept_until: 0,
            suspects_swept_at: 0,
        };
        tables.reload()?;
        Ok(tables)
    }

    /// Reads anew what is kept beside the connection.
    fn reload(&mut self) -> Result<(), StoreError> {
        (self.ledger, self.closed_until, self.expanded_until) = self
            .connection
            .prepare_cached(concat!(
                "SELECT accepted, waiting, collapsed, settled_sent, settled_dead, settled_expired,",
                " settled_cancelled, settled_payload_error, settled_dry_run, closed_until, expanded_until FROM state"
            ))
            .and_then(|mut read| read.query_row([], |row| Ok((read_ledger(row, 0)?, row.get(9)?, row.get(10)?))))
            .map_err(|error| store_error(&error))?;
        (self.scheduled, self.suspects, self.deaths) = self
            .connection
            .prepare_cached(concat!(
                "SELECT (SELECT COALESCE(SUM(named), 0) FROM scheduled),",
                " (SELECT COUNT(*) FROM suspects), (SELECT COUNT(*) FROM deaths)"
            ))
            .and_then(|mut read| {
                read.query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            })
            .map_err(|error| store_error(&error))?;
        self.sets.clear();
        Ok(())
    }

    pub(crate) fn write_ledger(&self) -> rusqlite::Result<()> {
        let Ledger { accepted, waiting, collapsed, settled } = self.ledger;
        let [done, dead, expired, cancelled, payload_error, dry_run] = settled;
        self.connection
            .prepare_cached(concat!(
                "UPDATE state SET accepted = ?1, waiting = ?2, collapsed = ?3, settled_sent = ?4,",
                " settled_dead = ?5, settled_expired = ?6, settled_cancelled = ?7,",
                " settled_payload_error = ?8, settled_dry_run = ?9"
            ))?
            .execute(
                [
                    accepted,
                    waiting,
                    collapsed,
                    done,
                    dead,
                    expired,
                    cancelled,
                    payload_error,
                    dry_run,
                ]
                .map(u64::cast_signed),
            )?;
        Ok(())
    }

    /// What a command that fails must not leave changed.
    fn kept(&self) -> Kept {
        Kept {
            ledger: self.ledger,
            scheduled: self.scheduled,
            suspects: self.suspects,
            deaths: self.deaths,
            closed_until: self.closed_until,
            expanded_until: self.expanded_until,
        }
    }

    fn put_back(&mut self, kept: Kept) {
        let Kept { ledger, scheduled, suspects, deaths, closed_until, expanded_until } = kept;
        (self.ledger, self.scheduled, self.suspects) = (ledger, scheduled, suspects);
        (self.deaths, self.closed_until, self.expanded_until) =
            (deaths, closed_until, expanded_until);
    }

    fn batch(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }
}

/// The numbers of [`Tables`] as they were.
#[derive(Debug, Clone, Copy)]
struct Kept {
    ledger: Ledger,
    scheduled: u64,
    suspects: u64,
    deaths: u64,
    closed_until: i64,
    expanded_until: i64,
}

#[derive(Debug, Clone)]
pub(crate) struct Writer {
    jobs: mpsc::Sender<Job>,
    intake: Arc<Semaphore>,
    activity: Arc<Activity>,
}

impl Writer {
    /// Starts the thread. What is returned beside it ends with the thread, however that ends.
    pub(crate) fn start(
        tables: Tables,
    ) -> (Self, std::thread::JoinHandle<()>, oneshot::Receiver<()>) {
        let (jobs, queue) = mpsc::channel(INTAKE_QUEUE_MAX + WORKER_QUEUE_MAX);
        let activity = Arc::new(Activity::default());
        let of_thread = Arc::clone(&activity);
        let (alive, ended) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let _alive: oneshot::Sender<()> = alive;
            run(tables, queue, &of_thread);
        });
        let intake = Arc::new(Semaphore::new(INTAKE_QUEUE_MAX));
        (Self { jobs, intake, activity }, thread, ended)
    }

    pub(crate) fn activity(&self) -> Arc<Activity> {
        Arc::clone(&self.activity)
    }

    /// Runs a command of intake, or refuses it at once where too many wait.
    pub(crate) async fn write_or_refuse<T, E>(
        &self,
        command: impl FnOnce(&mut Tables) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let place = Arc::clone(&self.intake).try_acquire_owned();
        let Ok(place) = place else { return Err(StoreError::Busy.into()) };
        // Held until the command has run, whether its caller still waits or not.
        let holding = move |tables: &mut Tables| {
            let result = command(tables);
            drop(place);
            result
        };
        self.write(holding).await
    }

    /// Runs a command and returns what it returned, once that is on disk.
    pub(crate) async fn write<T, E>(
        &self,
        command: impl FnOnce(&mut Tables) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |tables| {
            let result = in_savepoint(tables, command);
            Box::new(move |committed| {
                let answer = match committed {
                    Ok(()) => result,
                    Err(error) => result.and(Err(error.into())),
                };
                // Nobody waits for the answer any more: the write stands all the same.
                drop(reply.send(answer));
            })
        });
        let stopped = || StoreError::Unavailable("the writer did not carry it out".to_owned());
        self.jobs.send(job).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

/// Runs one command so that its failure undoes only its own writes.
fn in_savepoint<T, E: From<StoreError>>(
    tables: &mut Tables,
    command: impl FnOnce(&mut Tables) -> Result<T, E>,
) -> Result<T, E> {
    tables.batch("SAVEPOINT command").map_err(|error| store_error(&error))?;
    let before = tables.kept();
    let result = command(tables);
    if result.is_err() {
        tables.put_back(before);
        tables.sets.clear();
        tables.batch("ROLLBACK TO command").map_err(|error| store_error(&error))?;
    }
    tables.batch("RELEASE command").map_err(|error| store_error(&error))?;
    result
}

fn run(mut tables: Tables, mut queue: mpsc::Receiver<Job>, activity: &Activity) {
    let mut replies: Vec<Reply> = Vec::new();
    let mut is_stale = false;
    while let Some(first) = queue.blocking_recv() {
        // What is kept beside the tables must be known again before anything is decided by it.
        if is_stale && tables.reload().is_err() {
            continue;
        }
        let committed = transaction(&mut tables, first, &mut queue, &mut replies);
        activity.commands.fetch_add(replies.len() as u64, Ordering::Relaxed);
        counter!("reveille_store_commands_total").increment(replies.len() as u64);
        let outcome = match committed {
            Ok(()) => {
                activity.commits.fetch_add(1, Ordering::Relaxed);
                counter!("reveille_store_commits_total").increment(1);
                is_stale = false;
                Ok(())
            }
            Err(error) => {
                tracing::error!(%error, "the store cannot write");
                if !tables.connection.is_autocommit()
                    && let Err(error) = tables.batch("ROLLBACK")
                {
                    tracing::error!(%error, "the store cannot roll back");
                }
                is_stale = tables.reload().is_err();
                Err(store_error(&error))
            }
        };
        for reply in replies.drain(..) {
            reply(outcome.clone());
        }
    }
}

fn transaction(
    tables: &mut Tables,
    first: Job,
    queue: &mut mpsc::Receiver<Job>,
    replies: &mut Vec<Reply>,
) -> rusqlite::Result<()> {
    // Without a transaction no command may run; dropping it tells its caller that the store is unavailable.
    tables.batch("BEGIN IMMEDIATE")?;
    let before = tables.ledger;
    let mut next = Some(first);
    while let Some(job) = next.take() {
        replies.push(job(tables));
        // On a full disk SQLite may take the whole transaction back by itself. Nothing more may be written outside of one, and nobody may
        // be told that it was.
        if tables.connection.is_autocommit() {
            let rolled_back = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT_ROLLBACK);
            return Err(rusqlite::Error::SqliteFailure(rolled_back, None));
        }
        if replies.len() < GROUP_MAX {
            next = queue.try_recv().ok();
        }
    }
    if tables.ledger != before {
        tables.write_ledger()?;
    }
    tables.batch("COMMIT")
}
