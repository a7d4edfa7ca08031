//! Reading request bodies: bounded in size, time, and together in memory.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;
use reveille_model::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::Problem;

/// Bounds of request bodies.
#[derive(Debug, Clone)]
pub struct BodyLimits {
    /// Largest body, in bytes.
    pub bytes_max: usize,
    /// Longest time a body may take to arrive.
    pub time_max: Duration,
    /// What is left of the memory all bodies under way may take together, in KiB.
    memory: Arc<Semaphore>,
}

impl BodyLimits {
    /// Bounds for each body and, with `together_max` bytes, for all of them.
    pub fn new(bytes_max: usize, time_max: Duration, together_max: usize) -> Self {
        let memory = Arc::new(Semaphore::new(kib(together_max.max(bytes_max))));
        Self { bytes_max, time_max, memory }
    }

    /// Reads a body whole and hands it to `use_body`, holding its share of memory until that is done.
    pub async fn read<T>(
        &self,
        headers: &HeaderMap,
        body: Body,
        use_body: impl AsyncFnOnce(Bytes) -> T,
    ) -> Result<T, Problem> {
        let bytes = self.read_held(headers, body).await?;
        let held = bytes.clone();
        let used = use_body(bytes).await;
        drop(held);
        Ok(used)
    }

    /// Reads a body whole. It takes its share of memory as it comes (who announces a body and sends none takes nothing from others), and gives it back when the last of what is returned is dropped, wherever
    /// that has gone meanwhile.
    pub async fn read_held(&self, headers: &HeaderMap, mut body: Body) -> Result<Bytes, Problem> {
        let announced =
            headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        if announced.is_some_and(|announced: usize| announced > self.bytes_max) {
            refuse(headers, body).await;
            return Err(self.too_large());
        }
        let reading = tokio::time::timeout(self.time_max.to_std(), self.collect(&mut body)).await;
        match reading.unwrap_or_else(|_| Err(Unread::Slow)) {
            Ok(held) => Ok(Bytes::from_owner(held)),
            Err(unread) => {
                if matches!(unread, Unread::TooLarge | Unread::NoRoom) {
                    discard(body).await;
                }
                Err(self.problem(unread))
            }
        }
    }

    async fn collect(&self, body: &mut Body) -> Result<Held, Unread> {
        let mut held = Held { bytes: Vec::new(), share: None };
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| Unread::Broken)?.into_data() else { continue };
            let length = held.bytes.len() + data.len();
            if length > self.bytes_max {
                return Err(Unread::TooLarge);
            }
            let has = held.share.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
            let more = u32::try_from(kib(length).saturating_sub(has)).unwrap_or(u32::MAX);
            if more > 0 {
                let memory = Arc::clone(&self.memory);
                let share = memory.try_acquire_many_owned(more).map_err(|_| Unread::NoRoom)?;
                match &mut held.share {
                    Some(all) => all.merge(share),
                    none => *none = Some(share),
                }
            }
            held.bytes.extend_from_slice(&data);
        }
        Ok(held)
    }

    fn problem(&self, unread: Unread) -> Problem {
        match unread {
            Unread::TooLarge => self.too_large(),
            Unread::NoRoom => overloaded("too many request bodies are under way"),
            Unread::Broken => Problem::new(
                StatusCode::BAD_REQUEST,
                "body-broken",
                "The body ended too early",
            )
            .detail("the connection broke or the chunked encoding is wrong; nothing was accepted"),
            Unread::Slow => {
                Problem::new(StatusCode::REQUEST_TIMEOUT, "body-timeout", "The body took too long")
                    .detail(format!(
                        "it must arrive within {} s; nothing was accepted",
                        self.time_max.as_s()
                    ))
            }
        }
    }

    fn too_large(&self) -> Problem {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "The body is too large")
            .detail(format!("it may have up to {} bytes", self.bytes_max))
    }
}

/// A body, and its share of memory.
struct Held {
    bytes: Vec<u8>,
    share: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Why a body was not read.
#[derive(Clone, Copy)]
enum Unread {
    TooLarge,
    NoRoom,
    Broken,
    Slow,
}

/// Gets rid of the body of a request that is refused without it. Whoever asks first has sent nothing yet, and is not to be told to.
pub async fn refuse(headers: &HeaderMap, body: Body) {
    if !headers.contains_key(header::EXPECT) {
        discard(body).await;
    }
}

/// Reads on without keeping anything, so that a caller who is still sending gets to read the answer instead of a broken connection.
async fn discard(mut body: Body) {
    let discarding = async {
        let mut discarded = 0;
        while let Some(Ok(frame)) = body.frame().await {
            discarded += frame.data_ref().map_or(0, Bytes::len);
            if discarded > DISCARD_BYTES_MAX {
                return;
            }
        }
    };
    // In time or not, the answer goes out now.
    drop(tokio::time::timeout(DISCARD_TIME_MAX.to_std(), discarding).await);
}

/// How much of a refused body is read, in bytes.
const DISCARD_BYTES_MAX: usize = 32 * 1024 * 1024;
/// How long a refused body is read.
const DISCARD_TIME_MAX: Duration = Duration::from_s(5);

fn kib(bytes: usize) -> usize {
    bytes.div_ceil(1024).max(1)
}

/// Nothing was accepted because too much is under way.
pub fn overloaded(what: &str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "Too much is under way")
        .detail(format!("{what}; nothing was accepted, try again"))
        .retry_after(RETRY_AFTER_S)
}

/// What an overloaded server asks callers to wait, in seconds.
pub const RETRY_AFTER_S: u32 = 1;

#[cfg(test)]
mod tests {
    use super::BodyLimits;
    use axum::body::Body;
    use bytes::Bytes;
    use http::HeaderMap;
    use reveille_model::Duration;

    fn limits() -> BodyLimits {
        BodyLimits::new(1_000, Duration::from_s(20), 2_000)
    }

    async fn read(
        limits: &BodyLimits,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<usize, &'static str> {
        let length = async |bytes: Bytes| bytes.len();
        limits.read(headers, body, length).await.map_err(|problem| problem.word())
    }

    fn announcing(length: usize) -> HeaderMap {
        HeaderMap::from_iter([(http::header::CONTENT_LENGTH, length.into())])
    }

    #[tokio::test]
    async fn a_body_has_a_largest_size_announced_or_not() {
        assert_eq!(
            read(&limits(), &announcing(1_000), Body::from(vec![0; 1_000])).await,
            Ok(1_000)
        );
        assert_eq!(read(&limits(), &announcing(1_001), Body::empty()).await, Err("body-too-large"));
        let chunked = read(&limits(), &HeaderMap::new(), Body::from(vec![0; 1_001])).await;
        assert_eq!(chunked, Err("body-too-large"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let (_never, body) = http_body_util::channel::Channel::<Bytes, std::io::Error>::new(1);
        assert_eq!(read(&limits(), &announcing(10), Body::new(body)).await, Err("body-timeout"));
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_no_body() {
        let (sender, body) = http_body_util::channel::Channel::<Bytes, std::io::Error>::new(1);
        sender.abort(std::io::Error::other("gone"));
        assert_eq!(read(&limits(), &announcing(10), Body::new(body)).await, Err("body-broken"));
    }

    /// Two KiB there are. What was read keeps its share wherever it goes, and only what has come takes any.
    #[tokio::test]
    async fn what_was_read_holds_its_share_until_it_is_dropped() {
        let limits = limits();
        let read = async |length| {
            let body = Body::from(vec![7; length]);
            limits.read_held(&announcing(length), body).await.map_err(|problem| problem.word())
        };
        let (_never, body) = http_body_util::channel::Channel::<Bytes, std::io::Error>::new(1);
        let announced = announcing(1_000);
        let waiting = limits.read_held(&announced, Body::new(body));
        let mut waiting = Box::pin(waiting);
        assert!(futures_now(waiting.as_mut()).is_none());
        let first = read(1_000).await.unwrap();
        let second = read(900).await.unwrap().slice(..10);
        assert_eq!(read(1).await, Err("overloaded"));
        drop(first);
        assert_eq!(read(1).await.unwrap(), [7; 1][..]);
        assert_eq!(second, [7; 10][..]);
        assert_eq!(read(1_001).await, Err("body-too-large"));
    }

    /// What is there without waiting.
    fn futures_now<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Option<T> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match future.poll(&mut context) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        }
    }

    /// Who announces bodies and sends none keeps nobody else out.
    #[tokio::test]
    async fn what_is_only_announced_takes_no_memory() {
        let limits = limits();
        let headers = announcing(1_000);
        let (senders, bodies): (Vec<_>, Vec<_>) = (0..10)
            .map(|_| http_body_util::channel::Channel::<Bytes, std::io::Error>::new(1))
            .unzip();
        let mut waiting: Vec<_> = bodies
            .into_iter()
            .map(|body| Box::pin(read(&limits, &headers, Body::new(body))))
            .collect();
        for each in &mut waiting {
            assert!(futures_now(each.as_mut()).is_none());
        }
        assert_eq!(read(&limits, &headers, Body::from(vec![0; 1_000])).await, Ok(1_000));
        drop(senders);
    }

    #[tokio::test]
    async fn all_bodies_together_have_a_bound_that_is_given_back() {
        let limits = limits();
        let headers = announcing(1_000);
        let whole = || Body::from(vec![0; 1_000]);
        let outer = limits.read(&headers, whole(), async |_| {
            // One KiB of two is held; a second fits, a third does not.
            let third = async |_| read(&limits, &headers, whole()).await;
            limits.read(&headers, whole(), third).await.unwrap()
        });
        assert_eq!(outer.await.unwrap(), Err("overloaded"));
        assert_eq!(read(&limits, &announcing(1_000), Body::from(vec![0; 1_000])).await, Ok(1_000));
    }
}
