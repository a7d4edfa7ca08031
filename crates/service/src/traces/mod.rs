//! Traces: what requests and batches take, for whoever runs a collector of OpenTelemetry. Off unless `[tracing]` says where they go.
//!
//! A trace store keeps times, to the microsecond and for weeks, and is read by more people than our database. So what is in a trace is decided here, by
//! types: a span has a name that stands in the code, counts, a credential set, and of a request its method, its route pattern and its status. There is no way
//! to give it anything else. In particular:
//!
//! - No user, token, device, subscription, cohort, notification or session is named: in mode `cohort` nothing may tell which member was meant
//!   (ARCHITECTURE.md, invariants 6, 11, 14 and 16).
//! - A request's span and a batch's are never linked, neither as parent and child nor otherwise: the link would be the one between an event and a push.
//!   What is accepted, closed, claimed and settled begins a trace of its own each time.
//! - A push has no span. Its time is a device's time. Claims and settlements say how many there were, and what is sent together is one span, with how often
//!   each answer came (`push/src/worker/sending.rs`).
//! - No error text, no log line, and no header but `traceparent` comes into a trace, `tracestate` and `baggage` neither: they are in words that others choose.
//! - Nothing is sent on: no provider, wiki or webhook hears a trace's id.
//!
//! What is lost on the way to the collector is lost (`exporter.rs`); nothing waits for it.

mod exporter;
mod requests;
mod spans;
mod traceparent;

pub use exporter::{EXPORTED, Exporting, start};
pub use requests::{Trust, traced};
pub use spans::{Span, Traces};
