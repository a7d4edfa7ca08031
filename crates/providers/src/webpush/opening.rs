//! Who opens the connection to a host. An HTTP client only learns while connecting that a host speaks HTTP/2, and that one connection would do:
//! a batch that begins would open one for each of its pushes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reveille_model::{Duration, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a push waits for the connection of another one before it opens its own.
const WAIT_MAX: Duration = Duration::from_s(5);
/// For so long after an answer a connection is taken to be there. Shorter than an idle connection is kept.
const OPEN_FOR: Duration = Duration::from_s(10);
/// Most origins that are remembered. Beyond it nobody waits.
const ORIGINS_MAX: usize = 4_096;

/// The origins we have connections to, or are connecting to.
#[derive(Debug, Default)]
pub(super) struct Openings {
    origins: Mutex<BTreeMap<String, Opening>>,
}

#[derive(Debug)]
struct Opening {
    /// One push at a time goes ahead.
    turn: Arc<Semaphore>,
    open_until: Option<Timestamp>,
}

/// Held by the push that opens the connection.
pub(super) type Turn = Option<OwnedSemaphorePermit>;

impl Openings {
    /// Waits while another push opens the connection to an origin.
    pub(super) async fn enter(&self, origin: &str, now: Timestamp) -> Turn {
        let turn = self.turn(origin, now)?;
        let waiting = tokio::time::timeout(WAIT_MAX.to_std(), turn.acquire_owned());
        let turn = waiting.await.ok()?.ok()?;
        // The one before may have opened it.
        self.turn(origin, now).map(|_| turn)
    }

    /// An answer came: there is a connection. Or none came, and there may be none any more.
    pub(super) fn heard(&self, origin: &str, answered_at: Option<Timestamp>) {
        if let Some(opening) = self.all().get_mut(origin) {
            opening.open_until = answered_at.map(|at| at.plus(OPEN_FOR));
        }
    }

    /// Whose turn it is; nothing where nobody has to wait.
    fn turn(&self, origin: &str, now: Timestamp) -> Option<Arc<Semaphore>> {
        let mut origins = self.all();
        if let Some(opening) = origins.get(origin) {
            return (!opening.is_open(now)).then(|| Arc::clone(&opening.turn));
        }
        if origins.len() >= ORIGINS_MAX {
            origins
                .retain(|_, opening| opening.is_open(now) || opening.turn.available_permits() == 0);
        }
        if origins.len() >= ORIGINS_MAX {
            return None;
        }
        let turn = Arc::new(Semaphore::new(1));
        let opening = Opening { turn: Arc::clone(&turn), open_until: None };
        origins.insert(origin.to_owned(), opening);
        Some(turn)
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Opening>> {
        self.origins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Opening {
    fn is_open(&self, now: Timestamp) -> bool {
        self.open_until.is_some_and(|until| now < until)
    }
}
