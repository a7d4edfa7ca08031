//! Spans: what one is made of, and nothing else than that.

use std::time::{Duration, SystemTime};

use opentelemetry::trace::{Span as _, SpanContext, Status, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SdkTracer, Span as SdkSpan};
use reveille_model::{CredentialSet, Timestamp};

/// Begins traces; where there is no `[tracing]`, does nothing. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Traces(Option<SdkTracer>);

impl Traces {
    pub(super) fn new(tracer: SdkTracer) -> Self {
        Self(Some(tracer))
    }

    /// Whether there are any.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Begins a trace with a span, or does not: as many are taken as `tracing.sample_ratio` says.
    pub fn begin(&self, name: &'static str) -> Span {
        self.span(|tracer| tracer.span_builder(name).start_with_context(tracer, &Context::new()))
    }

    /// The same, of something that has begun earlier.
    pub fn begin_at(&self, name: &'static str, began: Timestamp) -> Span {
        let since = Duration::from_millis(u64::try_from(began.as_ms()).unwrap_or_default());
        let builder = |tracer: &SdkTracer| {
            tracer.span_builder(name).with_start_time(SystemTime::UNIX_EPOCH + since)
        };
        self.span(|tracer| builder(tracer).start_with_context(tracer, &Context::new()))
    }

    pub(super) fn span(&self, start: impl FnOnce(&SdkTracer) -> SdkSpan) -> Span {
        let Some(tracer) = &self.0 else { return Span(None) };
        let span = start(tracer);
        let is_taken = span.span_context().is_sampled();
        Span(is_taken.then(|| Box::new(Taken { tracer: tracer.clone(), span })))
    }
}

/// Something that takes time. It ends when this is dropped.
#[derive(Debug, Default)]
pub struct Span(Option<Box<Taken>>);

#[derive(Debug)]
struct Taken {
    tracer: SdkTracer,
    span: SdkSpan,
}

impl Span {
    /// A part of it.
    #[must_use]
    pub fn child(&self, name: &'static str) -> Self {
        let Some(Taken { tracer, span }) = self.0.as_deref() else { return Self(None) };
        let context = inside(span.span_context().clone());
        let span = tracer.span_builder(name).start_with_context(tracer, &context);
        Self(Some(Box::new(Taken { tracer: tracer.clone(), span })))
    }

    /// How many there were of something.
    pub fn count(&mut self, what: &'static str, count: u64) {
        self.attribute(|| KeyValue::new(what, i64::try_from(count).unwrap_or(i64::MAX)));
    }

    /// Whose pushes it is about.
    pub fn of_set(&mut self, set: &CredentialSet) {
        self.attribute(|| KeyValue::new("reveille.set", set.to_string()));
    }

    /// It came to nothing. Why is said in the log.
    pub fn failed(&mut self) {
        if let Some(taken) = &mut self.0 {
            taken.span.set_status(Status::error(""));
        }
    }

    /// It is all of this work.
    pub async fn around<T, E>(mut self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let done = work.await;
        if done.is_err() {
            self.failed();
        }
        done
    }

    pub(super) fn attribute(&mut self, attribute: impl FnOnce() -> KeyValue) {
        if let Some(taken) = &mut self.0 {
            taken.span.set_attribute(attribute());
        }
    }
}

/// What a span inside another one is begun with.
pub(super) fn inside(span: SpanContext) -> Context {
    Context::new().with_remote_span_context(span)
}
