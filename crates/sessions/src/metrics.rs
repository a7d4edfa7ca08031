//! What is measured: the reference's metrics under its names, and ours.

use std::sync::OnceLock;

use http::{Method, StatusCode};
use metrics::{
    Counter, Histogram, SharedString, counter, describe_counter, describe_gauge,
    describe_histogram, gauge, histogram,
};
use reveille_service::http_metrics::IN_FLIGHT;
use reveille_service::reload;
use reveille_service::traces::EXPORTED;
use reveille_store::Usage;

use crate::namespaces::Namespaces;

/// The reference's: requests by status and method.
const REQUESTS: &str = "http_requests_total";
/// The reference's: how long answers took, in seconds, by status and method.
const DURATION: &str = "http_request_duration_seconds";
/// Requests by namespace, method and status.
const NAMESPACE_REQUESTS: &str = "reveille_sessions_requests_total";
/// How long the store took, in seconds, by operation and whether it did it.
const STORE: &str = "reveille_sessions_store_seconds";
/// Sizes of values that were written, in bytes.
const VALUE_BYTES: &str = "reveille_sessions_value_bytes";
const ENTRIES: &str = "reveille_sessions_entries";
const BYTES: &str = "reveille_sessions_bytes";
/// Entries that had ended and were deleted, and deletions that were done again.
pub(crate) const UPKEEP: &str = "reveille_sessions_upkeep_total";
/// Deletions that have to be done again elsewhere.
const DELETES_WAITING: &str = "reveille_sessions_deletes_waiting";

/// The buckets of the reference, in seconds.
const SECONDS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];
const SIZES: [f64; 9] =
    [64.0, 256.0, 1_024.0, 4_096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0];

/// Upper bounds of buckets, by the metric's name.
pub const BUCKETS: [(&str, &[f64]); 3] =
    [(DURATION, &SECONDS), (STORE, &SECONDS), (VALUE_BYTES, &SIZES)];

/// Says what each metric is.
pub fn describe_metrics() {
    describe_counter!(
        REQUESTS,
        "Count of HTTP requests processed, partitioned by status code and HTTP method."
    );
    describe_histogram!(
        DURATION,
        "A histogram of latencies for requests, partitioned by status code and HTTP method."
    );
    describe_counter!(NAMESPACE_REQUESTS, "Requests, by namespace, method and status");
    describe_histogram!(STORE, "How long the store took, in seconds, by operation and outcome");
    describe_histogram!(VALUE_BYTES, "Sizes of values that were written, in bytes, by namespace");
    describe_counter!(
        EXPORTED,
        "Spans of traces, by what became of them (exported, lost); none without [tracing]."
    );
    describe_gauge!(ENTRIES, "Entries, by namespace; what has ended counts until it is swept");
    describe_gauge!(BYTES, "Bytes of keys and values, by namespace");
    describe_gauge!(IN_FLIGHT, "Requests under way");
    describe_counter!(
        UPKEEP,
        "Entries that had ended and were deleted, and deletions that were done again"
    );
    reload::describe_metrics();
    describe_gauge!(DELETES_WAITING, "Deletions that other data centres have not confirmed yet");
}

/// Methods that become labels; callers choose others, which are one.
const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "other"];
/// Statuses that become labels; any other is the last, so that each has a place in a table.
const CODES: [(u16, &str); 19] = [
    (200, "200"),
    (201, "201"),
    (204, "204"),
    (304, "304"),
    (400, "400"),
    (401, "401"),
    (403, "403"),
    (404, "404"),
    (405, "405"),
    (408, "408"),
    (412, "412"),
    (413, "413"),
    (414, "414"),
    (429, "429"),
    (500, "500"),
    (501, "501"),
    (503, "503"),
    (507, "507"),
    (0, "other"),
];

/// What the store is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Get,
    Set,
    Delete,
    Touch,
}

const OPERATIONS: [&str; 4] = ["get", "set", "delete", "touch"];
/// Whether it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    Failed,
}

const OUTCOMES: [&str; 2] = ["done", "failed"];

/// Handles by label, made at first sight: finding one by its labels would take longer than what is measured.
#[derive(Debug)]
struct Table<T> {
    cells: Vec<OnceLock<T>>,
}

impl<T> Table<T> {
    fn new(size: usize) -> Self {
        Self { cells: (0..size).map(|_| OnceLock::new()).collect() }
    }

    fn with(&self, index: usize, make: impl FnOnce() -> T, use_it: impl FnOnce(&T)) {
        if let Some(cell) = self.cells.get(index) {
            use_it(cell.get_or_init(make));
        }
    }
}

/// Everything a request is measured by.
#[derive(Debug)]
pub(crate) struct Measures {
    requests: Table<(Counter, Histogram)>,
    of_namespace: Table<Counter>,
    stores: Table<Histogram>,
    values: Table<Histogram>,
    namespaces: Vec<SharedString>,
}

impl Measures {
    pub(crate) fn new(namespaces: &Namespaces) -> Self {
        let names: Vec<SharedString> =
            namespaces.names().map(|name| SharedString::from(name.to_owned())).collect();
        let cells = METHODS.len() * CODES.len();
        Self {
            requests: Table::new(cells),
            of_namespace: Table::new(cells * names.len()),
            stores: Table::new(OPERATIONS.len() * OUTCOMES.len()),
            values: Table::new(names.len()),
            namespaces: names,
        }
    }

    /// A request was answered. `namespace` is nothing where none was found.
    pub(crate) fn answered(
        &self,
        (method, status): (&Method, StatusCode),
        namespace: Option<usize>,
        seconds: f64,
    ) {
        let (method, method_label) = place(METHODS, method.as_str());
        let other = CODES.len() - 1;
        let code = CODES.iter().position(|(code, _)| *code == status.as_u16()).unwrap_or(other);
        let code_label = CODES.get(code).map_or("other", |(_, label)| *label);
        let cell = method * CODES.len() + code;
        let make = || {
            (
                counter!(REQUESTS, "code" => code_label, "method" => method_label),
                histogram!(DURATION, "code" => code_label, "method" => method_label),
            )
        };
        self.requests.with(cell, make, |(count, duration)| {
            count.increment(1);
            duration.record(seconds);
        });
        if let Some((index, name)) =
            namespace.and_then(|index| Some((index, self.namespaces.get(index)?)))
        {
            let make = || counter!(NAMESPACE_REQUESTS, "namespace" => name.clone(), "method" => method_label, "code" => code_label);
            let cell = index * METHODS.len() * CODES.len() + cell;
            self.of_namespace.with(cell, make, |count| count.increment(1));
        }
    }

    /// The store has answered.
    pub(crate) fn stored(&self, operation: Operation, outcome: Outcome, seconds: f64) {
        let (row, outcome) = (operation as usize, outcome as usize);
        let make = || {
            let label =
                |labels: &[&'static str], at: usize| labels.get(at).copied().unwrap_or("other");
            histogram!(STORE, "operation" => label(&OPERATIONS, row), "outcome" => label(&OUTCOMES, outcome))
        };
        self.stores.with(row * OUTCOMES.len() + outcome, make, |duration| duration.record(seconds));
    }

    /// A value was written.
    pub(crate) fn wrote(&self, namespace: usize, bytes: usize) {
        let Some(name) = self.namespaces.get(namespace) else { return };
        let make = || histogram!(VALUE_BYTES, "namespace" => name.clone());
        #[expect(clippy::cast_precision_loss, reason = "a size")]
        self.values.with(namespace, make, |sizes| sizes.record(bytes as f64));
    }
}

/// Shows how much a namespace holds.
#[expect(clippy::cast_precision_loss, reason = "gauges")]
pub(crate) fn show_usage(namespace: &str, usage: Usage) {
    gauge!(ENTRIES, "namespace" => namespace.to_owned()).set(usage.entries as f64);
    gauge!(BYTES, "namespace" => namespace.to_owned()).set(usage.bytes as f64);
}

fn place(labels: [&'static str; 9], label: &str) -> (usize, &'static str) {
    let at = labels.iter().position(|each| *each == label).unwrap_or(labels.len() - 1);
    (at, labels.get(at).copied().unwrap_or("other"))
}
