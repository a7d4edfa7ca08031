//! The end of the writer thread.

use std::fs::File;
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

/// The writer thread and the lock on the database, which is given up only when the thread has ended.
#[derive(Debug)]
pub(crate) struct WriterThread {
    handle: Mutex<Option<JoinHandle<()>>>,
    ended: Mutex<Option<oneshot::Receiver<()>>>,
    _lock: File,
}

impl WriterThread {
    pub(crate) fn new(handle: JoinHandle<()>, ended: oneshot::Receiver<()>, lock: File) -> Self {
        Self { handle: Mutex::new(Some(handle)), ended: Mutex::new(Some(ended)), _lock: lock }
    }

    /// Returns when the thread has ended. For one caller; to any other it never returns.
    pub(crate) fn ended(&self) -> impl Future<Output = ()> + Send + 'static {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        async move {
            match ended {
                // An error is what an ended thread leaves.
                Some(ended) => drop(ended.await),
                None => std::future::pending().await,
            }
        }
    }

    /// Waits for the end, which comes once nobody can hand it commands any more.
    pub(crate) fn join(self) {
        let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner).take();
        if handle.is_some_and(|handle| handle.join().is_err()) {
            tracing::error!("the writer thread panicked");
        }
    }
}
