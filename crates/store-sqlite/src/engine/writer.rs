//! The writer thread. All commands that wait are put into one transaction; they are answered after its commit, so that an answer means
//! "on disk". A command that fails takes back its own writes only.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use metrics::counter;
use reveille_store::StoreError;
use rusqlite::Connection;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::file;
use super::state::State;
use crate::codec::store_error;

/// Commands of intake that may wait. Beyond it intake is refused, so that the wait stays bounded.
const INTAKE_QUEUE_MAX: usize = 4_096;
/// Commands of our own workers that may wait. They wait for a place instead of being refused.
const WORKER_QUEUE_MAX: usize = 64;
/// How often a log that is being read is waited for. In between others have their turn.
const TRUNCATIONS_MAX: u32 = 100;
/// How long it is waited for each time, during which nothing else is written.
const TRUNCATION_WAIT: Duration = Duration::from_millis(50);
/// Most commands in one transaction.
const GROUP_MAX: usize = 2_048;

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
type Command<S> = Box<dyn FnOnce(&mut S) -> Reply + Send>;

/// Whether the file is written anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rewrite {
    /// Only what the log holds.
    Log,
    /// All of it, without what lies between its parts. Takes as long as copying the database.
    Whole,
}

/// What the thread is given.
enum Job<S> {
    /// Joins the transaction.
    Command(Command<S>),
    /// Runs between two transactions. Answered with whether it came to an end.
    TruncateLog(Rewrite, oneshot::Sender<Result<bool, StoreError>>),
}

/// Hands commands to the thread.
#[derive(Debug)]
pub(crate) struct Writer<S> {
    jobs: mpsc::Sender<Job<S>>,
    intake: Arc<Semaphore>,
    activity: Arc<Activity>,
}

impl<S> Clone for Writer<S> {
    fn clone(&self) -> Self {
        let Self { jobs, intake, activity } = self;
        Self { jobs: jobs.clone(), intake: Arc::clone(intake), activity: Arc::clone(activity) }
    }
}

impl<S: State> Writer<S> {
    /// Starts the thread. What is returned beside it ends with the thread, however that ends.
    pub(crate) fn start(
        state: S,
    ) -> std::io::Result<(Self, std::thread::JoinHandle<()>, oneshot::Receiver<()>)> {
        let (jobs, queue) = mpsc::channel(INTAKE_QUEUE_MAX + WORKER_QUEUE_MAX);
        let activity = Arc::new(Activity::default());
        let of_thread = Arc::clone(&activity);
        let (alive, ended) = oneshot::channel();
        let thread =
            std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || {
                let _alive: oneshot::Sender<()> = alive;
                run(state, queue, &of_thread);
            })?;
        let intake = Arc::new(Semaphore::new(INTAKE_QUEUE_MAX));
        Ok((Self { jobs, intake, activity }, thread, ended))
    }

    pub(crate) fn activity(&self) -> Arc<Activity> {
        Arc::clone(&self.activity)
    }

    /// Runs a command of intake, or refuses it at once where too many wait.
    pub(crate) async fn write_or_refuse<T, E>(
        &self,
        command: impl FnOnce(&mut S) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let place = Arc::clone(&self.intake).try_acquire_owned();
        let Ok(place) = place else { return Err(StoreError::Busy.into()) };
        // Held until the command has run, whether its caller still waits or not.
        let holding = move |state: &mut S| {
            let result = command(state);
            drop(place);
            result
        };
        self.write(holding).await
    }

    /// Writes the whole log back into the file and cuts it to nothing, so that no file holds what was overwritten or deleted.
    pub(crate) async fn truncate_log(&self, rewrite: Rewrite) -> Result<(), StoreError> {
        let mut rewrite = rewrite;
        for _ in 0..TRUNCATIONS_MAX {
            let (reply, answer) = oneshot::channel();
            let truncation = Job::TruncateLog(rewrite, reply);
            rewrite = Rewrite::Log;
            self.jobs.send(truncation).await.map_err(|_| stopped())?;
            // A reader was still reading what the log holds.
            if answer.await.map_err(|_| stopped())?? {
                return Ok(());
            }
        }
        Err(StoreError::Unavailable("the log is in use all the time".to_owned()))
    }

    /// Runs a command and returns what it returned, once that is on disk.
    pub(crate) async fn write<T, E>(
        &self,
        command: impl FnOnce(&mut S) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let command: Command<S> = Box::new(move |state| {
            let result = in_savepoint(state, command);
            Box::new(move |committed| {
                let answer = match committed {
                    Ok(()) => result,
                    // What the command decided rests on writes that are no more.
                    Err(error) => Err(error.into()),
                };
                // Nobody waits for the answer any more: the write stands all the same.
                drop(reply.send(answer));
            })
        });
        self.jobs.send(Job::Command(command)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the writer did not carry it out".to_owned())
}

/// Whether the log is empty now. Waits for readers, but not long: one of another process, a copy for instance, may read for minutes.
fn truncate(connection: &Connection, rewrite: Rewrite) -> Result<bool, StoreError> {
    if rewrite == Rewrite::Whole {
        file::rewrite(connection).map_err(|error| store_error(&error))?;
    }
    let truncated = connection.busy_timeout(TRUNCATION_WAIT).and_then(|()| {
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
    });
    let busy: i64 = connection
        .busy_timeout(file::BUSY_TIME_MAX)
        .and(truncated)
        .map_err(|error| store_error(&error))?;
    Ok(busy == 0)
}

/// Runs one command so that its failure undoes only its own writes.
fn in_savepoint<S: State, T, E: From<StoreError>>(
    state: &mut S,
    command: impl FnOnce(&mut S) -> Result<T, E>,
) -> Result<T, E> {
    let sql = |state: &S, sql| batch(state, sql).map_err(|error| store_error(&error));
    sql(state, "SAVEPOINT command")?;
    let before = state.kept();
    let result = command(state).and_then(|done| match state.command_done() {
        Ok(()) => Ok(done),
        Err(error) => Err(store_error(&error).into()),
    });
    if result.is_err() {
        state.put_back(before);
        sql(state, "ROLLBACK TO command")?;
    }
    sql(state, "RELEASE command")?;
    result
}

fn batch<S: State>(state: &S, sql: &str) -> rusqlite::Result<()> {
    state.connection().prepare_cached(sql)?.execute([]).map(drop)
}

fn run<S: State>(mut state: S, mut queue: mpsc::Receiver<Job<S>>, activity: &Activity) {
    let mut replies: Vec<Reply> = Vec::new();
    let mut is_stale = false;
    let mut next = None;
    while let Some(first) = next.take().or_else(|| queue.blocking_recv()) {
        let first = match first {
            Job::Command(command) => command,
            Job::TruncateLog(rewrite, reply) => {
                // Nobody waits for the answer any more: nothing to do.
                drop(reply.send(truncate(state.connection(), rewrite)));
                continue;
            }
        };
        // What is kept beside the connection must be known again before anything is decided by it.
        if is_stale && state.reload().is_err() {
            continue;
        }
        let committed = transaction(&mut state, first, (&mut queue, &mut next), &mut replies);
        activity.commands.fetch_add(replies.len() as u64, Ordering::Relaxed);
        counter!("reveille_store_commands_total").increment(replies.len() as u64);
        let outcome = match committed {
            Ok(()) => {
                activity.commits.fetch_add(1, Ordering::Relaxed);
                counter!("reveille_store_commits_total").increment(1);
                is_stale = false;
                state.committed();
                Ok(())
            }
            Err(error) => {
                tracing::error!(%error, "the store cannot write");
                if !state.connection().is_autocommit()
                    && let Err(error) = batch(&state, "ROLLBACK")
                {
                    tracing::error!(%error, "the store cannot roll back");
                }
                state.undo();
                is_stale = state.reload().is_err();
                Err(store_error(&error))
            }
        };
        for reply in replies.drain(..) {
            reply(outcome.clone());
        }
    }
}

fn transaction<S: State>(
    state: &mut S,
    first: Command<S>,
    (queue, after): (&mut mpsc::Receiver<Job<S>>, &mut Option<Job<S>>),
    replies: &mut Vec<Reply>,
) -> rusqlite::Result<()> {
    // Without a transaction no command may run; dropping it tells its caller that the store is unavailable.
    batch(state, "BEGIN IMMEDIATE")?;
    let mut next = Some(first);
    while let Some(command) = next.take() {
        replies.push(command(state));
        // On a full disk SQLite may take the whole transaction back by itself. Nothing more may be written outside of one, and nobody may
        // be told that it was.
        if state.connection().is_autocommit() {
            let rolled_back = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT_ROLLBACK);
            return Err(rusqlite::Error::SqliteFailure(rolled_back, None));
        }
        if replies.len() < GROUP_MAX {
            match queue.try_recv() {
                Ok(Job::Command(command)) => next = Some(command),
                Ok(other) => *after = Some(other),
                Err(_) => {}
            }
        }
    }
    state.before_commit()?;
    batch(state, "COMMIT")
}
