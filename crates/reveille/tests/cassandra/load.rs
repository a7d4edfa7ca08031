//! Reading and writing all the time, while something happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use http::Method;
use reveille_testkit::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;

const TASKS: usize = 8;

/// Tasks that write and read.
pub(crate) struct Load {
    tasks: JoinSet<Vec<String>>,
    is_over: Arc<AtomicBool>,
    answered: watch::Receiver<u32>,
}

impl Load {
    pub(crate) fn start(client: &Client, name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let is_over = Arc::new(AtomicBool::new(false));
        let (count, answered) = watch::channel(0);
        let count = Arc::new(count);
        let mut tasks = JoinSet::new();
        for task in 0..TASKS {
            let (client, is_over, count) =
                (client.clone(), Arc::clone(&is_over), Arc::clone(&count));
            let key = format!("{name}:{task}:{}", NEXT.fetch_add(1, Ordering::Relaxed));
            tasks.spawn(async move {
                let mut failed = Vec::new();
                for number in 0_u32.. {
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    let path = format!("/sessions/v1/{key}:{}", number % 50);
                    let value = format!("{key} {number}");
                    let posted = client.call(Method::POST, &path, &[], value.clone().into()).await;
                    let read = client.get(&path).await;
                    if posted.status != 201 || read.status != 200 || read.text != value {
                        failed.push(format!("{} {} {}", posted.status, read.status, read.text));
                    }
                    count.send_modify(|count| *count += 1);
                }
                failed
            });
        }
        Self { tasks, is_over, answered }
    }

    /// Waits until so many more were written and read.
    pub(crate) async fn more(&mut self, count: u32) {
        let until = *self.answered.borrow() + count;
        self.answered.wait_for(|answered| *answered >= until).await.unwrap();
    }

    /// Ends it. Returns how many were written and read, and what failed.
    pub(crate) async fn end(self) -> (u32, Vec<String>) {
        self.is_over.store(true, Ordering::Relaxed);
        let failed = self.tasks.join_all().await.concat();
        (*self.answered.borrow(), failed)
    }
}
