//! A span for each request: its method, its route pattern and its status, never its path. Beside what `http_metrics` counts.

use std::sync::Arc;
use std::time::SystemTime;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use http::StatusCode;
use opentelemetry::trace::{SpanContext, SpanKind, Tracer as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::SdkTracer;

use super::spans::{Traces, inside};
use super::traceparent;
use crate::clock::wall;
use crate::http_metrics::method_label;

/// Who calls at a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// The site's own servers: their traces are gone on with, if they are let in.
    Callers,
    /// Anybody: what they say of traces is not listened to, or they could fill the trace store, or find themselves in it.
    Strangers,
}

/// What all requests of a listener share.
#[derive(Debug)]
struct Listener {
    traces: Traces,
    trust: Trust,
    /// What keys stand behind, where a listener has paths that are keys.
    keys_behind: Option<String>,
}

/// The router, with a span for each of its requests; where there are no traces, the router. A path behind `keys_behind` that is no route of its own is a key.
pub fn traced(
    router: Router,
    traces: &Traces,
    trust: Trust,
    keys_behind: Option<String>,
) -> Router {
    if !traces.is_on() {
        return router;
    }
    let listener = Listener { traces: traces.clone(), trust, keys_behind };
    router.layer(from_fn_with_state(Arc::new(listener), trace))
}

async fn trace(State(listener): State<Arc<Listener>>, request: Request, next: Next) -> Response {
    let mut asked = Asked {
        began: wall(),
        method: method_label(request.method()),
        route: listener.route(&request),
        caller: match listener.trust {
            Trust::Callers => traceparent::read(request.headers()),
            Trust::Strangers => None,
        },
        status: None,
        listener,
    };
    let response = next.run(request).await;
    asked.status = Some(response.status());
    response
}

impl Listener {
    /// The pattern of a request's route; where it has none, nothing.
    fn route(&self, request: &Request) -> Option<String> {
        if let Some(path) = request.extensions().get::<MatchedPath>() {
            return Some(path.as_str().to_owned());
        }
        let base = self.keys_behind.as_ref()?;
        request.uri().path().starts_with(base).then(|| format!("{base}{{key}}"))
    }
}

/// A request. Its span is made when it is over, since only then is it known whether its caller was let in.
struct Asked {
    listener: Arc<Listener>,
    began: SystemTime,
    method: &'static str,
    route: Option<String>,
    /// The caller's span, if it named one.
    caller: Option<SpanContext>,
    /// None, where nobody waited for the answer.
    status: Option<StatusCode>,
}

impl Asked {
    /// The caller's span, if the caller was let in.
    fn parent(&mut self) -> Option<SpanContext> {
        let is_let_in = self.status.is_some_and(|status| status != StatusCode::UNAUTHORIZED);
        self.caller.take().filter(|_| is_let_in)
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let parent = self.parent();
        // Nothing is taken of it: the caller has decided so.
        if parent.as_ref().is_some_and(|parent| !parent.is_sampled()) {
            return;
        }
        let (name, method) = match self.method {
            "other" => ("HTTP", "_OTHER"),
            method => (method, method),
        };
        let route = self.route.take();
        let name =
            route.as_ref().map_or_else(|| name.to_owned(), |route| format!("{name} {route}"));
        let context = parent.map_or_else(Context::new, inside);
        let start = |tracer: &SdkTracer| {
            let builder = tracer.span_builder(name).with_kind(SpanKind::Server);
            builder.with_start_time(self.began).start_with_context(tracer, &context)
        };
        let mut span = self.listener.traces.span(start);
        span.attribute(|| KeyValue::new("http.request.method", method));
        if let Some(route) = route {
            span.attribute(|| KeyValue::new("http.route", route));
        }
        let error = match self.status {
            Some(status) => {
                let code = status.as_u16();
                span.attribute(|| KeyValue::new("http.response.status_code", i64::from(code)));
                status.is_server_error().then(|| code.to_string())
            }
            None => Some("cancelled".to_owned()),
        };
        if let Some(error) = error {
            span.attribute(|| KeyValue::new("error.type", error));
            span.failed();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use axum::Router;
    use axum::body::Body;
    use axum::routing::get;
    use http::{Request, StatusCode};
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;
    use opentelemetry::Context;
    use opentelemetry::trace::{Status, TracerProvider as _};
    use opentelemetry_sdk::error::OTelSdkResult;
    use opentelemetry_sdk::trace::{SdkTracerProvider, Span, SpanData, SpanProcessor};

    use super::{Traces, Trust, traced};

    const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    /// Keeps what ended.
    #[derive(Debug, Clone, Default)]
    struct Kept(Arc<Mutex<Vec<SpanData>>>);

    impl SpanProcessor for Kept {
        fn on_start(&self, _: &mut Span, _: &Context) {}

        fn on_end(&self, span: SpanData) {
            self.0.lock().unwrap().push(span);
        }

        fn force_flush(&self) -> OTelSdkResult {
            Ok(())
        }

        fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
            Ok(())
        }
    }

    /// Asks for a path, waits no longer than for what is there at once, and returns the one span of it.
    async fn ask(path: &str) -> SpanData {
        let kept = Kept::default();
        let provider = SdkTracerProvider::builder().with_span_processor(kept.clone()).build();
        let router = Router::new()
            .route("/never", get(std::future::pending::<&str>))
            .route("/broken/{user}", get(async || StatusCode::BAD_GATEWAY));
        let traces = Traces::new(provider.tracer("test"));
        let router = traced(router, &traces, Trust::Callers, None);
        let request = Request::builder().uri(path).header("traceparent", CALLER);
        let asked = TowerToHyperService::new(router).call(request.body(Body::empty()).unwrap());
        tokio::select! {
            biased;
            answer = asked => drop(answer.unwrap()),
            () = std::future::ready(()) => {}
        }
        let mut spans = kept.0.lock().unwrap();
        assert_eq!(spans.len(), 1);
        spans.pop().unwrap()
    }

    fn attribute(span: &SpanData, key: &str) -> Option<String> {
        let found = span.attributes.iter().find(|each| each.key.as_str() == key);
        found.map(|each| each.value.to_string())
    }

    #[tokio::test]
    async fn an_error_of_ours_is_an_error_in_the_trace() {
        let span = ask("/broken/planted").await;
        assert_eq!(span.name, "GET /broken/{user}");
        assert_eq!(span.status, Status::error(""));
        assert_eq!(attribute(&span, "error.type").unwrap(), "502");
        assert_eq!(span.parent_span_id.to_string(), "b7ad6b7169203331");
        assert!(!format!("{span:?}").contains("planted"));
    }

    #[tokio::test]
    async fn a_request_nobody_waits_for_is_told_as_such() {
        let span = ask("/never").await;
        assert_eq!(span.status, Status::error(""));
        assert_eq!(attribute(&span, "error.type").unwrap(), "cancelled");
        assert_eq!(attribute(&span, "http.response.status_code"), None);
        // Nobody knows whether its caller would have been let in.
        assert_eq!(span.parent_span_id.to_string(), "0000000000000000");
    }
}
