//! Intake in groups: all requests that wait are accepted in one transaction, so that they share statements and the way to the disk.

use std::sync::Arc;

use metrics::counter;
use reveille_store::{AcceptError, Acceptance, Accepted, StoreError};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;

use super::accept::{Refusal, Sealed, accept, seal};
use crate::engine::{Engine, NOT_IN_TIME};
use crate::error::Done;

/// Requests that may wait. Beyond it they are refused, so that the wait stays bounded.
const QUEUE_MAX: usize = 4_096;
/// Most requests in one transaction.
const GROUP_MAX: usize = 256;
/// Most items in one transaction, beyond its first request's.
const ITEMS_MAX: usize = 1_024;
/// Groups under way at once: while one waits for the disk the next is made.
const WRITERS: usize = 2;

/// A request that waits.
pub(super) struct Wish {
    pub(super) acceptance: Acceptance,
    /// What is secret of each item.
    pub(super) sealed: Vec<Sealed>,
}

struct Waiting {
    wish: Wish,
    reply: oneshot::Sender<Result<Accepted, AcceptError>>,
    /// Held until it is answered, whether its caller still waits or not.
    place: OwnedSemaphorePermit,
}

/// The way in.
#[derive(Debug)]
pub(crate) struct Intake {
    queue: mpsc::Sender<Waiting>,
    places: Arc<Semaphore>,
}

impl Intake {
    /// Starts the tasks that accept.
    pub(crate) fn start(engine: &Arc<Engine>, tasks: &mut JoinSet<()>) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..WRITERS {
            tasks.spawn(run(Arc::clone(engine), Arc::clone(&waiting)));
        }
        Self { queue, places: Arc::new(Semaphore::new(QUEUE_MAX)) }
    }

    /// Accepts a request, or refuses it at once where too many wait.
    pub(crate) async fn accept(
        &self,
        engine: &Engine,
        acceptance: Acceptance,
    ) -> Result<Accepted, AcceptError> {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return Err(StoreError::Busy.into());
        };
        let stopped = || StoreError::Unavailable("the store is closed".to_owned());
        let sealed = seal(&engine.vault, &acceptance.items);
        let (reply, answer) = oneshot::channel();
        let waiting = Waiting { wish: Wish { acceptance, sealed }, reply, place };
        self.queue.send(waiting).await.map_err(|_| stopped())?;
        // With the group before it, which may wait as long: a database that cannot be reached is no reason to wait twice.
        match tokio::time::timeout(engine.transaction_timeout, answer).await {
            Ok(answer) => answer.map_err(|_| stopped())?,
            Err(_) => Err(StoreError::Unavailable(NOT_IN_TIME.to_owned()).into()),
        }
    }
}

async fn run(engine: Arc<Engine>, queue: Arc<Mutex<mpsc::Receiver<Waiting>>>) {
    loop {
        let mut group = Vec::new();
        {
            // Whoever has the queue takes all that waits; the next one what comes after.
            let mut queue = queue.lock().await;
            let Some(first) = queue.recv().await else { return };
            let mut items = 0;
            add(&mut group, first);
            while group.len() < GROUP_MAX && items < ITEMS_MAX {
                let Ok(next) = queue.try_recv() else { break };
                items += next.wish.acceptance.items.len();
                add(&mut group, next);
            }
        }
        if group.is_empty() {
            continue;
        }
        counter!("reveille_store_commands_total").increment(group.len() as u64);
        accept_group(&engine, group).await;
    }
}

/// Whoever has given up is not accepted for: it would come as a surprise.
fn add(group: &mut Vec<Waiting>, waiting: Waiting) {
    if !waiting.reply.is_closed() {
        group.push(waiting);
    }
}

async fn accept_group(engine: &Engine, group: Vec<Waiting>) {
    let (wishes, replies): (Vec<Wish>, Vec<_>) =
        group.into_iter().map(|each| (each.wish, (each.reply, each.place))).unzip();
    let answers = match try_accept(engine, &wishes).await {
        Ok(answers) => answers,
        Err(failed) if failed.is_refusal() && wishes.len() > 1 => {
            // One of them may be what the database does not take: each for itself.
            let mut answers = Vec::with_capacity(wishes.len());
            for wish in &wishes {
                let alone = try_accept(engine, std::slice::from_ref(wish)).await;
                answers.push(alone.map_or_else(|failed| Err(Refusal::Store(failed.into())), only));
            }
            answers
        }
        Err(failed) => {
            let error = StoreError::from(failed);
            wishes.iter().map(|_| Err(Refusal::Store(error.clone()))).collect()
        }
    };
    for ((wish, (reply, _place)), answer) in wishes.into_iter().zip(replies).zip(answers) {
        // Nobody waits for the answer any more: it stands all the same.
        drop(reply.send(answer.map_err(|refusal| refusal.of(wish.acceptance))));
    }
}

fn only(mut answers: Vec<Result<Accepted, Refusal>>) -> Result<Accepted, Refusal> {
    answers.pop().unwrap_or_else(|| {
        Err(Refusal::Store(StoreError::Unavailable("there is no answer".to_owned())))
    })
}

async fn try_accept(engine: &Engine, wishes: &[Wish]) -> Done<Vec<Result<Accepted, Refusal>>> {
    let accepted =
        engine.try_write(wishes, |tables, wishes| Box::pin(accept(tables, wishes))).await;
    if accepted.is_ok() {
        counter!("reveille_store_commits_total").increment(1);
    }
    accepted
}
