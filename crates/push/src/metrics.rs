//! Every metric of this server and of the store below it: name, help, labels. Label values come from closed lists, route patterns and the configuration only.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use reveille_service::http_metrics;

pub(crate) const INTAKE_WAKEUPS: &str = "reveille_intake_wakeups_total";
pub(crate) const REFUSED: &str = "reveille_requests_refused_total";
pub(crate) const MUTED: &str = "reveille_users_muted_total";
pub(crate) const NOTIFICATIONS: &str = "reveille_notifications_total";
pub(crate) const OUTBOX_OLDEST: &str = "reveille_outbox_oldest_overdue_seconds";
pub(crate) const OUTBOX_SCHEDULED: &str = "reveille_outbox_scheduled_notifications";
pub(crate) const LEDGER: &str = "reveille_ledger_wakeups";
pub(crate) const WINDOWS: &str = "reveille_windows_total";
pub(crate) const BATCH: &str = "reveille_batch_wakeups";
pub(crate) const RELEASE_DURATION: &str = "reveille_window_release_duration_seconds";
pub(crate) const DELIVERIES: &str = "reveille_deliveries_total";
pub(crate) const DELIVERY_DURATION: &str = "reveille_delivery_duration_seconds";
pub(crate) const DELIVERIES_IN_FLIGHT: &str = "reveille_deliveries_in_flight";
pub(crate) const PAUSED: &str = "reveille_provider_paused";
pub(crate) const CONFIG_ERROR: &str = "reveille_provider_config_error";
pub(crate) const PACE: &str = "reveille_provider_pace_per_minute";
pub(crate) const SCOPES_PAUSED: &str = "reveille_scopes_paused";
pub(crate) const DROP_GUARD: &str = "reveille_drop_guard_tripped";
pub(crate) const QUARANTINE: &str = "reveille_quarantined_devices";
pub(crate) const FEEDBACK: &str = "reveille_feedback_total";
pub(crate) const FEEDBACK_UNTOLD: &str = "reveille_feedback_untold";
pub(crate) const FEEDBACK_OLDEST: &str = "reveille_feedback_oldest_seconds";
pub(crate) const CREDENTIAL_EXPIRY: &str = "reveille_credential_expiry_timestamp_seconds";
pub(crate) const UNKNOWN_TOPICS: &str = "reveille_intake_unknown_topic_total";
pub(crate) const LEASES_LOST: &str = "reveille_leases_lost_total";
pub(crate) const SUBSCRIPTIONS: &str = "reveille_subscriptions";
pub(crate) const SUBSCRIPTIONS_REFRESHED: &str = "reveille_subscriptions_refreshed_within_days";
pub(crate) const SUBSCRIPTIONS_PUT: &str = "reveille_subscriptions_put_total";
pub(crate) const SUBSCRIPTIONS_DELETED: &str = "reveille_subscriptions_deleted_total";
pub(crate) const SUBSCRIPTIONS_DROPPED: &str = "reveille_subscriptions_dropped_total";
pub(crate) const SUBSCRIPTIONS_KEPT: &str = "reveille_subscriptions_kept_total";

/// Tells the recorder what each metric is.
pub fn describe_metrics() {
    describe_counter!(http_metrics::REQUESTS, "Requests by route, method and status.");
    describe_histogram!(
        http_metrics::DURATION,
        Unit::Seconds,
        "Time to answer, by route and method."
    );
    describe_gauge!(http_metrics::IN_FLIGHT, "Requests under way.");
    describe_counter!(INTAKE_WAKEUPS, "Wake-ups accepted, by route (message, notifications).");
    describe_counter!(REFUSED, "Requests refused, by reason.");
    describe_counter!(
        NOTIFICATIONS,
        "Notifications accepted, by event type; `other` unless configured."
    );
    describe_counter!(
        MUTED,
        "Users a notification named who do not want its event type to wake them."
    );
    describe_gauge!(
        OUTBOX_OLDEST,
        Unit::Seconds,
        "How long ago the oldest waiting wake-up's window ended; 0 if none has."
    );
    describe_gauge!(OUTBOX_SCHEDULED, "Notifications whose deliver_after has not come.");
    describe_gauge!(
        LEDGER,
        "Wake-ups ever accepted, by where they are: accepted = waiting + collapsed + every settled state."
    );
    describe_counter!(WINDOWS, "Windows released.");
    describe_gauge!(BATCH, "Wake-ups in the last released window.");
    describe_histogram!(RELEASE_DURATION, Unit::Seconds, "Time to close and expand a window.");
    describe_delivery();
    describe_subscriptions();
}

fn describe_delivery() {
    describe_counter!(
        DELIVERIES,
        "Answers of providers (or their absence), by credential set, outcome and reason."
    );
    describe_histogram!(
        DELIVERY_DURATION,
        Unit::Seconds,
        "Time from sending to the answer, by credential set."
    );
    describe_gauge!(DELIVERIES_IN_FLIGHT, "Pushes sent and not answered, by credential set.");
    describe_gauge!(PAUSED, "1 while a credential set is paused.");
    describe_gauge!(
        CONFIG_ERROR,
        "1 while a credential set's configuration is refused, for all of it or for one topic."
    );
    describe_gauge!(SCOPES_PAUSED, "Topics or hosts of a credential set that are paused.");
    describe_gauge!(PACE, "Pushes a minute a credential set may send; lowered by each overload.");
    describe_gauge!(
        CREDENTIAL_EXPIRY,
        Unit::Seconds,
        "When a credential set's certificate ends (Unix time)."
    );
    describe_counter!(
        LEASES_LOST,
        "Wake-ups whose lease had run out when their answer came; they are sent again."
    );
}

fn describe_subscriptions() {
    describe_gauge!(
        DROP_GUARD,
        "1 while too many of a credential set's devices look dead for guarded verdicts to be believed."
    );
    describe_gauge!(QUARANTINE, "Devices in quarantine.");
    describe_counter!(
        FEEDBACK,
        "Deaths posted, by destination and result (told, refused, out_of_reach, given_up, lost)."
    );
    describe_gauge!(FEEDBACK_UNTOLD, "Deaths that wait to be told.");
    describe_gauge!(FEEDBACK_OLDEST, Unit::Seconds, "Age of the oldest of them.");
    describe_counter!(
        UNKNOWN_TOPICS,
        "APNs messages for a topic that no app has; they wait until their time to live ends."
    );
    describe_counter!(
        "reveille_store_commits_total",
        "Transactions the store has committed, each synced to disk."
    );
    describe_counter!(
        "reveille_store_commands_total",
        "Commands in them; divided by the commits, how well they group."
    );
    describe_gauge!(SUBSCRIPTIONS, "Subscriptions, by state (all, suspect, stale).");
    describe_gauge!(
        SUBSCRIPTIONS_REFRESHED,
        "Subscriptions whose app registered them within so many days."
    );
    describe_counter!(
        SUBSCRIPTIONS_PUT,
        "Registrations, by provider and result (created, refreshed, unproven, replaced, changed, evicted)."
    );
    describe_counter!(SUBSCRIPTIONS_DELETED, "Subscriptions deleted on request.");
    describe_counter!(SUBSCRIPTIONS_DROPPED, "Subscriptions deleted on proof, by credential set.");
    describe_counter!(
        SUBSCRIPTIONS_KEPT,
        "Subscriptions called dead and kept, by credential set and why (renewed, suspect)."
    );
}
