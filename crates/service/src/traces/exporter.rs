//! Spans on their way to a collector: OTLP over HTTP, in batches. A collector that is slow or down loses spans and costs nobody any time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration as StdDuration;

use http::{HeaderValue, StatusCode, header};
use metrics::{Counter, counter};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Context, KeyValue};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::{
    Sampler, SdkTracerProvider, Span, SpanData, SpanLimits, SpanProcessor,
};
use prost::Message as _;
use reveille_model::{Duration, Timestamp};
use rustls::ClientConfig;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::spans::Traces;
use crate::clock::Clock;
use crate::config::TracingConfig;
use crate::entropy;

/// Spans by what became of them.
pub const EXPORTED: &str = "reveille_trace_spans_total";

/// Most spans that wait to be sent. Beyond it new ones are lost.
const QUEUE_SPANS_MAX: usize = 2_048;
/// Most spans sent at once.
const BATCH_SPANS_MAX: usize = 512;
/// How long a span may wait for others.
const BATCH_DELAY: Duration = Duration::from_s(1);
/// Longest time a collector may take for a batch.
const EXPORT_TIME_MAX: Duration = Duration::from_s(5);
/// Longest time a stop waits for spans that have not been sent.
const FLUSH_TIME_MAX: Duration = Duration::from_s(3);
/// Largest answer of a collector that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// How often it is said that spans are lost.
const COMPLAINT_INTERVAL: Duration = Duration::from_s(60);
/// Most attributes of a span. None has as many.
const ATTRIBUTES_MAX: u32 = 32;

/// What sends spans, until it is told that there are no more.
#[derive(Debug, Default)]
pub struct Exporting {
    closing: CancellationToken,
    tasks: TaskTracker,
}

impl Exporting {
    /// Sends what waits, for a bounded time. To be called when nothing makes spans any more.
    pub async fn finish(self) {
        self.closing.cancel();
        self.tasks.close();
        if tokio::time::timeout(FLUSH_TIME_MAX.to_std(), self.tasks.wait()).await.is_err() {
            tracing::warn!("the collector of tracing.endpoint is slow: the last spans are lost");
        }
    }
}

/// Begins to take spans and to send them where a configuration says so, in the name of a service. Without one there are none.
pub fn start(
    config: Option<TracingConfig>,
    service: &'static str,
    clock: Arc<dyn Clock>,
) -> Result<(Traces, Exporting), String> {
    let exporting = Exporting::default();
    let Some(config) = config else { return Ok((Traces::default(), exporting)) };
    let exporter = Exporter::new(&config, &resource(service), clock)?;
    let lost = exporter.lost.clone();
    let (sender, queue) = mpsc::channel(QUEUE_SPANS_MAX);
    exporting.tasks.spawn(exporter.run(queue, exporting.closing.clone()));
    let sampler = Sampler::TraceIdRatioBased(config.sample_ratio);
    // All of it is said here: what is not would be read from the environment.
    let provider = SdkTracerProvider::builder()
        .with_sampler(Sampler::ParentBased(Box::new(sampler)))
        .with_span_limits(SpanLimits {
            max_attributes_per_span: ATTRIBUTES_MAX,
            max_events_per_span: 0,
            max_links_per_span: 0,
            max_attributes_per_event: 0,
            max_attributes_per_link: 0,
        })
        .with_resource(Resource::builder_empty().build())
        .with_span_processor(Queue { sender, lost })
        .build();
    Ok((Traces::new(provider.tracer("reveille")), exporting))
}

/// Who we are, in OpenTelemetry's words.
fn resource(service: &'static str) -> Resource {
    Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_service_name(service)
        .with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", instance()),
        ])
        .build()
}

/// A random UUID, for this run of this process.
fn instance() -> String {
    let [high, low] = [(); 2].map(|()| entropy::rng().next_u64());
    let (high, low) = ((high & !0xf000) | 0x4000, (low & !(0b11 << 62)) | (0b10 << 62));
    let (first, second, third) = (high >> 32, (high >> 16) & 0xffff, high & 0xffff);
    let (fourth, fifth) = (low >> 48, low & 0xffff_ffff_ffff);
    format!("{first:08x}-{second:04x}-{third:04x}-{fourth:04x}-{fifth:012x}")
}

/// Spans that did not reach the collector.
#[derive(Debug, Clone)]
struct Lost {
    counter: Counter,
    untold: Arc<AtomicU64>,
}

impl Lost {
    fn new() -> Self {
        let counter = counter!(EXPORTED, "result" => "lost");
        counter.increment(0);
        Self { counter, untold: Arc::default() }
    }

    fn add(&self, count: u64) {
        self.counter.increment(count);
        self.untold.fetch_add(count, Ordering::Relaxed);
    }
}

/// The way from whoever ends a span to the task that sends it.
#[derive(Debug)]
struct Queue {
    sender: mpsc::Sender<SpanData>,
    lost: Lost,
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.sender.try_send(span).is_err() {
            self.lost.add(1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: StdDuration) -> OTelSdkResult {
        Ok(())
    }
}

/// The task that sends spans.
struct Exporter {
    client: reqwest::Client,
    config: TracingConfig,
    resource: ResourceAttributesWithSchema,
    clock: Arc<dyn Clock>,
    exported: Counter,
    lost: Lost,
    /// When it was said last that spans are lost.
    told_at: Option<Timestamp>,
}

impl Exporter {
    fn new(
        config: &TracingConfig,
        resource: &Resource,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, String> {
        let roots = config.roots.clone();
        let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .timeout(EXPORT_TIME_MAX.to_std())
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| format!("tracing: {error}"))?;
        let exported = counter!(EXPORTED, "result" => "exported");
        exported.increment(0);
        Ok(Self {
            client,
            config: config.clone(),
            resource: resource.into(),
            clock,
            exported,
            lost: Lost::new(),
            told_at: None,
        })
    }

    /// Runs until there are no more spans.
    async fn run(mut self, mut queue: mpsc::Receiver<SpanData>, closing: CancellationToken) {
        loop {
            let batch = self.batch(&mut queue, &closing).await;
            if batch.is_empty() {
                return;
            }
            let count = batch.len() as u64;
            let sent = self.send(batch).await;
            let rejected = sent.as_ref().map_or(count, |rejected| (*rejected).min(count));
            self.exported.increment(count - rejected);
            if rejected > 0 {
                self.lost.add(rejected);
            }
            self.complain(&sent.err().unwrap_or_else(|| "too many at once".to_owned()));
        }
    }

    /// The spans that come within a time, up to a number; none, when there will be no more.
    async fn batch(
        &self,
        queue: &mut mpsc::Receiver<SpanData>,
        closing: &CancellationToken,
    ) -> Vec<SpanData> {
        let mut batch = Vec::new();
        let mut end = None;
        while batch.len() < BATCH_SPANS_MAX {
            let room = BATCH_SPANS_MAX - batch.len();
            let is_over = async {
                match end {
                    Some(end) => self.clock.sleep_until(end).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = closing.cancelled(), if !queue.is_closed() => queue.close(),
                came = queue.recv_many(&mut batch, room) => if came == 0 { break },
                () = is_over => break,
            }
            end = end.or_else(|| Some(self.clock.now().plus(BATCH_DELAY)));
        }
        batch
    }

    /// Sends a batch, and says how many of it the collector refused.
    async fn send(&self, batch: Vec<SpanData>) -> Result<u64, String> {
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        let request = self.client.post(&self.config.url).headers(self.config.headers.clone());
        let octets = HeaderValue::from_static("application/x-protobuf");
        let request = request.header(header::CONTENT_TYPE, octets).body(body);
        let mut answer = request.send().await.map_err(|error| why(&error))?;
        if answer.status() != StatusCode::OK {
            return Err(format!("it answers {}", answer.status().as_u16()));
        }
        let mut bytes = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(|error| why(&error))? {
            if bytes.len() + part.len() > ANSWER_BYTES_MAX {
                return Err(format!("its answer has more than {ANSWER_BYTES_MAX} bytes"));
            }
            bytes.extend_from_slice(&part);
        }
        // What it says in words is not repeated.
        let answer = ExportTraceServiceResponse::decode(bytes.as_slice())
            .map_err(|_| "its answer is not of OTLP".to_owned())?;
        let rejected = answer.partial_success.map_or(0, |partial| partial.rejected_spans);
        Ok(u64::try_from(rejected).unwrap_or_default())
    }

    /// Says that spans were lost, if it was not said a moment ago.
    fn complain(&mut self, why: &str) {
        let now = self.clock.now();
        let is_due = self.told_at.is_none_or(|told| now.since(told) >= COMPLAINT_INTERVAL);
        if !is_due {
            return;
        }
        let lost = self.lost.untold.swap(0, Ordering::Relaxed);
        if lost > 0 {
            self.told_at = Some(now);
            tracing::warn!(
                lost,
                why,
                "spans do not reach tracing.endpoint and are lost; nothing else is"
            );
        }
    }
}

/// Why there is no answer, without the address it was asked at.
fn why(error: &reqwest::Error) -> String {
    let what = if error.is_timeout() { "it is too slow" } else { "it cannot be reached" };
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source.and_then(std::error::Error::source) {
        source = Some(inner);
    }
    source.map_or_else(|| what.to_owned(), |inner| format!("{what}: {inner}"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use opentelemetry::trace::{Tracer as _, TracerProvider as _};
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tokio::sync::mpsc;

    use super::{Lost, Queue, instance};

    #[test]
    fn a_full_queue_loses_spans_and_counts_them() {
        let (lost, (sender, mut queue)) = (Lost::new(), mpsc::channel(2));
        let processor = Queue { sender, lost: lost.clone() };
        let provider = SdkTracerProvider::builder().with_span_processor(processor).build();
        let tracer = provider.tracer("test");
        for name in ["first", "second", "third", "fourth", "fifth"] {
            drop(tracer.start(name));
        }
        assert_eq!(lost.untold.load(Ordering::Relaxed), 3);
        assert_eq!(queue.try_recv().unwrap().name, "first");
    }

    #[test]
    fn an_instance_is_a_random_uuid() {
        let (one, other) = (instance(), instance());
        assert_ne!(one, other);
        let fields: Vec<&str> = one.split('-').collect();
        assert_eq!(fields.iter().map(|field| field.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert!(fields[2].starts_with('4') && "89ab".contains(&fields[3][..1]), "{one}");
    }
}
