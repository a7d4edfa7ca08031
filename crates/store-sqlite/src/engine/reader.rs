//! Reader threads, each with a connection of its own. WAL lets them read beside the writer.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use reveille_store::StoreError;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::{mpsc, oneshot};

use super::file;
use crate::codec::store_error;
use crate::store::OpenError;

/// How many reads run at once.
const READERS: usize = 2;
/// How many reads may wait for a thread.
const QUEUE_MAX: usize = 1_024;
/// How many reads a thread takes at once. They see the same state of the database, which is that of after they were asked.
const TURN_MAX: usize = 64;

type Job = Box<dyn FnOnce(&Connection) + Send>;

#[derive(Debug, Clone)]
pub(crate) struct Readers {
    jobs: mpsc::Sender<Job>,
}

impl Readers {
    pub(crate) fn start(path: &Path) -> Result<Self, OpenError> {
        let (jobs, queue) = mpsc::channel::<Job>(QUEUE_MAX);
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..READERS {
            let connection = Connection::open_with_flags(
                path,
                OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
            )?;
            connection.busy_timeout(file::BUSY_TIME_MAX)?;
            let queue = Arc::clone(&queue);
            let name = "store-reader".to_owned();
            std::thread::Builder::new().name(name).spawn(move || run(&connection, &queue))?;
        }
        Ok(Self { jobs })
    }

    /// Runs a read on one of the threads.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            // Nobody waits for the answer any more: nothing to do.
            drop(reply.send(read(connection)));
        });
        self.jobs.send(job).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

fn run(connection: &Connection, queue: &Mutex<mpsc::Receiver<Job>>) {
    let mut turn = Vec::with_capacity(TURN_MAX);
    loop {
        {
            let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(first) = queue.blocking_recv() else { return };
            turn.push(first);
            // What waits is shared out: nobody waits behind another's reads while a thread has nothing to do.
            let share = queue.len().div_ceil(READERS).min(TURN_MAX);
            while turn.len() < share
                && let Ok(next) = queue.try_recv()
            {
                turn.push(next);
            }
        }
        // One look at the log for all of them. Where that fails, so do they, each with its own error.
        let transaction = (turn.len() > 1).then(|| connection.unchecked_transaction());
        for job in turn.drain(..) {
            job(connection);
        }
        drop(transaction);
    }
}

fn stopped() -> StoreError {
    store_error(&rusqlite::Error::InvalidQuery)
}
