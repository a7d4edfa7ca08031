//! The metrics of Wikimedia's push-notifications service under their own names (`push.compat_metrics`), for dashboards that know them
//! (contract: push-notifications.md §5). What it measures in milliseconds and counts in buckets of seconds is in seconds here.

use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use reveille_model::{Duration, Outcome, Provider};
use reveille_service::clock::Stopwatch;

const REQUEST_DURATION: &str = "express_router_request_duration_seconds";
const QUEUE_TIME: &str = "push_notifications_notification_queue_time";
const QUEUE_SIZE: &str = "push_notifications_queue_size_on_flush";

/// The names of what is measured at one provider.
struct Names {
    duration: &'static str,
    success: &'static str,
    failure: &'static str,
}

const APNS: Names = Names {
    duration: "push_notifications_apns_transaction_histogram",
    success: "push_notifications_apns_send_success",
    failure: "push_notifications_apns_send_failure",
};
const FCM: Names = Names {
    duration: "push_notifications_fcm_transaction_histogram",
    success: "push_notifications_fcm_send_success",
    failure: "push_notifications_fcm_send_failure",
};

/// Upper bounds in seconds: 0.005·2ⁿ.
const TRANSACTIONS: [f64; 15] =
    [0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
const REQUESTS: [f64; 9] = [0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0];
/// Buckets of the time in the queue.
const QUEUE_BUCKETS: u32 = 20;

/// Whether they are kept. Like the recorder of metrics it is one for the process.
static IS_ON: AtomicBool = AtomicBool::new(false);

/// Keeps them from now on.
pub(crate) fn turn_on() {
    IS_ON.store(true, Ordering::Relaxed);
    describe_histogram!(REQUEST_DURATION, Unit::Seconds, "Time to answer (reference service).");
    describe_histogram!(
        QUEUE_TIME,
        Unit::Milliseconds,
        "Time between acceptance and the end of the window (reference service)."
    );
    describe_gauge!(QUEUE_SIZE, "Wake-ups of the last window (reference service).");
    for Names { duration, success, failure } in [APNS, FCM] {
        describe_histogram!(duration, Unit::Seconds, "Time of one push (reference service).");
        describe_counter!(success, "Pushes that were taken (reference service).");
        describe_counter!(failure, "Pushes that were not taken (reference service).");
    }
}

fn is_on() -> bool {
    IS_ON.load(Ordering::Relaxed)
}

/// The bounds of their buckets, where windows are at the most so long.
pub(crate) fn buckets(window: Duration) -> Vec<(&'static str, Vec<f64>)> {
    let step = window.to_std().as_secs_f64() * 1_000.0 / f64::from(QUEUE_BUCKETS);
    let linear = (1..=QUEUE_BUCKETS).map(|number| step * f64::from(number)).collect();
    vec![
        (REQUEST_DURATION, REQUESTS.to_vec()),
        (QUEUE_TIME, linear),
        (APNS.duration, TRANSACTIONS.to_vec()),
        (FCM.duration, TRANSACTIONS.to_vec()),
    ]
}

/// A push was answered.
pub(crate) fn answered(provider: Provider, outcome: Outcome, seconds: f64) {
    let names = match provider {
        Provider::Apns => APNS,
        Provider::Fcm => FCM,
        Provider::WebPush => return,
    };
    if is_on() {
        let is_accepted = outcome == Outcome::Accepted;
        counter!(if is_accepted { names.success } else { names.failure }).increment(1);
        histogram!(names.duration).record(seconds);
    }
}

/// So many requests were accepted so long before the end of their window.
pub(crate) fn queued(wait: Duration, requests: usize) {
    if is_on() {
        histogram!(QUEUE_TIME).record_many(wait.to_std().as_secs_f64() * 1_000.0, requests);
    }
}

/// A window was released.
pub(crate) fn flushed(wakeups: f64) {
    if is_on() {
        gauge!(QUEUE_SIZE).set(wakeups);
    }
}

/// Middleware that times requests.
pub(crate) async fn measure(request: Request, next: Next) -> Response {
    if !is_on() {
        return next.run(request).await;
    }
    let path = path(&request);
    let method = request.method().clone();
    let watch = Stopwatch::start();
    let response = next.run(request).await;
    if let (Some(path), "GET" | "POST") = (path, method.as_str()) {
        let status = response.status().as_u16().to_string();
        let labels = [("path", path), ("method", method.to_string()), ("status", status)];
        histogram!(REQUEST_DURATION, &labels).record(watch.seconds());
    }
    response
}

/// The path as that service has it: of messages the whole of it, of others the route. What is no route of ours is not measured.
fn path(request: &Request) -> Option<String> {
    let route = request.extensions().get::<MatchedPath>()?.as_str();
    let provider = request.uri().path().rsplit('/').next().and_then(Provider::parse);
    Some(match provider {
        Some(provider) => route.replace("{provider}", provider.as_str()),
        None => route.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::{Duration, QUEUE_TIME, buckets};

    #[test]
    fn time_in_the_queue_has_twenty_buckets_up_to_the_longest_window() {
        let all = buckets(Duration::from_s(10));
        let (_, bounds) = all.iter().find(|(name, _)| *name == QUEUE_TIME).unwrap();
        assert_eq!((bounds.len(), bounds[0], bounds[19]), (20, 500.0, 10_000.0));
    }
}
