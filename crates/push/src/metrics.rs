//! Every metric of this server and of the store below it: name, help, labels. Label values come from closed lists, route patterns and the configuration only.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram, gauge};
use reveille_model::{CredentialSet, Timestamp};
use reveille_service::{http_metrics, reload, traces};

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
pub(crate) const DELIVERY_LATENESS: &str = "reveille_delivery_lateness_seconds";
pub(crate) const DELIVERIES_IN_FLIGHT: &str = "reveille_deliveries_in_flight";
pub(crate) const PAUSED: &str = "reveille_provider_paused";
pub(crate) const HALTED: &str = "reveille_provider_halted";
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
pub(crate) const SUBSCRIPTIONS_BY_PROVIDER: &str = "reveille_subscriptions_by_provider";
pub(crate) const SUBSCRIPTIONS_REFRESHED: &str = "reveille_subscriptions_refreshed_within_days";
pub(crate) const SUBSCRIPTIONS_PUT: &str = "reveille_subscriptions_put_total";
pub(crate) const SUBSCRIPTIONS_IMPORTED: &str = "reveille_subscriptions_imported_total";
pub(crate) const SUBSCRIPTIONS_DELETED: &str = "reveille_subscriptions_deleted_total";
pub(crate) const SUBSCRIPTIONS_DROPPED: &str = "reveille_subscriptions_dropped_total";
pub(crate) const SUBSCRIPTIONS_KEPT: &str = "reveille_subscriptions_kept_total";
pub(crate) const INBOX_FETCHES: &str = "reveille_inbox_fetches_total";
pub(crate) const INBOX_BYTES: &str = "reveille_inbox_response_bytes_total";
pub(crate) const MIX_MODE: &str = "reveille_privacy_mode";
pub(crate) const BATCH_DEVICES: &str = "reveille_privacy_batch_devices";
pub(crate) const BATCH_COHORTS: &str = "reveille_privacy_batch_cohorts";
pub(crate) const BATCH_EAS: &str = "reveille_privacy_batch_eas";
pub(crate) const COHORT_LIVE_SIZE: &str = "reveille_privacy_cohort_live_size";
pub(crate) const COHORT_LIVE_SIZE_MIN: &str = "reveille_privacy_cohort_live_size_min";
pub(crate) const COHORTS_BELOW_FLOOR: &str = "reveille_privacy_cohorts_below_floor";
pub(crate) const WORST_CASE_TOP1: &str = "reveille_privacy_worst_case_top1";
pub(crate) const PARTIAL_COHORT_SENDS: &str = "reveille_privacy_partial_cohort_sends_total";
pub(crate) const NURSERY_EXPOSED: &str = "reveille_privacy_nursery_exposed_total";
pub(crate) const PADDING_PUSHES: &str = "reveille_privacy_padding_pushes_total";
pub(crate) const PUSH_OVERHEAD: &str = "reveille_privacy_push_overhead_ratio";
pub(crate) const WAKEUPS_PER_DEVICE_DAY: &str = "reveille_privacy_wakeups_per_device_day";
pub(crate) const ADDED_DELAY: &str = "reveille_privacy_added_delay_seconds";
pub(crate) const HELD: &str = "reveille_privacy_held_seconds";
pub(crate) const ORDER_RHO: &str = "reveille_privacy_order_rho";
pub(crate) const CAPPED_COHORTS: &str = "reveille_privacy_capped_cohorts";
pub(crate) const GHOSTS: &str = "reveille_privacy_ghosts";
pub(crate) const DEVICES: &str = "reveille_privacy_devices";
pub(crate) const EVENTS_TO_LINK: &str = "reveille_privacy_events_to_link";

/// Counts of devices and cohorts, from one to a million.
const COUNTS: [f64; 18] = [
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1e3, 2e3, 5e3, 1e4, 3e4, 1e5, 3e5,
    1e6,
];
/// Wake-ups of one device in a day; 48 is what is allowed unless set, 1,440 the most that can be.
const PER_DAY: [f64; 13] =
    [1.0, 2.0, 4.0, 8.0, 12.0, 16.0, 24.0, 36.0, 48.0, 72.0, 144.0, 480.0, 1_440.0];
/// Parts of a window of two minutes, and longer ones.
const DELAYS: [f64; 18] = [
    1.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 100.0, 110.0, 120.0, 300.0,
    900.0, 3_600.0, 86_400.0,
];
/// Windows and longer windows.
const HELD_FOR: [f64; 9] =
    [60.0, 120.0, 240.0, 600.0, 1_200.0, 2_400.0, 3_600.0, 10_800.0, 86_400.0];

/// The upper bounds of the buckets of what is not measured in seconds, or lasts longer than an answer does.
pub const BUCKETS: [(&str, &[f64]); 6] = [
    (BATCH_DEVICES, &COUNTS),
    (BATCH_COHORTS, &COUNTS),
    (BATCH_EAS, &COUNTS),
    (WAKEUPS_PER_DEVICE_DAY, &PER_DAY),
    (ADDED_DELAY, &DELAYS),
    (HELD, &HELD_FOR),
];

/// A count as metrics take it: floating point, and exact up to 2⁵³.
#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
pub(crate) const fn float(count: u64) -> f64 {
    count as f64
}

/// Shows when a credential set's certificate ends.
#[expect(clippy::cast_precision_loss, reason = "a gauge")]
pub(crate) fn show_expiry(set: &CredentialSet, end: Timestamp) {
    gauge!(CREDENTIAL_EXPIRY, "set" => set.to_string()).set(end.as_s() as f64);
}

/// Shows at zero what alerts look at: the first that is counted is an increase for Prometheus only where it has seen nothing before.
pub(crate) fn begin() {
    for name in [WINDOWS, UNKNOWN_TOPICS] {
        metrics::counter!(name).increment(0);
    }
}

/// Tells the recorder what each metric is.
pub fn describe_metrics() {
    describe_counter!(http_metrics::REQUESTS, "Requests by route, method and status.");
    describe_histogram!(
        http_metrics::DURATION,
        Unit::Seconds,
        "Time to answer, by route and method."
    );
    describe_gauge!(http_metrics::IN_FLIGHT, "Requests under way.");
    describe_counter!(
        traces::EXPORTED,
        "Spans of traces, by what became of them (exported, lost); none without [tracing]."
    );
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
    reload::describe_metrics();
    describe_delivery();
    describe_subscriptions();
    describe_batches();
    describe_cohorts();
}

/// What whoever watches can tell of a batch, and what hiding costs.
fn describe_batches() {
    describe_gauge!(MIX_MODE, "1 for the mode of push.mix.");
    describe_histogram!(BATCH_DEVICES, "Wake-ups of a batch, company included.");
    describe_histogram!(BATCH_COHORTS, "Cohorts of a batch, padding included.");
    describe_histogram!(
        BATCH_EAS,
        "Among how many users one event of a batch is hidden (two to the power of the entropy)."
    );
    describe_counter!(
        PADDING_PUSHES,
        "Devices of cohorts that left though nothing was accepted for them, as the provider sees them that sees the fewest."
    );
    describe_gauge!(
        PUSH_OVERHEAD,
        "Wake-ups made for each wake-up or mark that was accepted, since the start."
    );
    describe_histogram!(
        WAKEUPS_PER_DEVICE_DAY,
        "How often a device was woken with its cohort in a UTC day; recorded when the day is over, of devices that were."
    );
    describe_histogram!(
        ADDED_DELAY,
        Unit::Seconds,
        "Time from accepting a request to the end of its window."
    );
    describe_histogram!(
        HELD,
        Unit::Seconds,
        "How long after its window a cohort left that was kept back, by why (capped, nursery)."
    );
    describe_gauge!(
        ORDER_RHO,
        "Rank correlation between arrival and departure in the last batch; near 0 where neither tells of the other."
    );
    describe_gauge!(
        EVENTS_TO_LINK,
        "In mode batch: after how many events of an account whoever watches has told its device, on average."
    );
    describe_counter!(INBOX_FETCHES, "Pages of inboxes asked for, unchanged ones included.");
    describe_counter!(INBOX_BYTES, Unit::Bytes, "Bytes of inbox pages that were sent.");
}

/// What whoever watches can tell of cohorts.
fn describe_cohorts() {
    describe_gauge!(
        COHORT_LIVE_SIZE,
        "Cohorts by how many users live in them (size), and whether these still wait to be enough (kind: cohort, provisional)."
    );
    describe_gauge!(
        COHORT_LIVE_SIZE_MIN,
        "Users of the smallest of all of them; 0 while there is nobody."
    );
    describe_gauge!(
        COHORTS_BELOW_FLOOR,
        "Those with users, but fewer than push.mix.cohort_floor, by kind."
    );
    describe_gauge!(
        WORST_CASE_TOP1,
        "The chance of the best guess whose device it is, of whoever watches the smallest of them for ever; 0 while there is nobody, 1 in mode batch."
    );
    describe_counter!(
        PARTIAL_COHORT_SENDS,
        "Users found without a device of each kind when their cohort was woken, and wake-ups of cohorts that expired untried; must stay 0."
    );
    describe_counter!(
        NURSERY_EXPOSED,
        "Users who were woken with fewer than a cohort because their deadline had come."
    );
    describe_gauge!(
        CAPPED_COHORTS,
        "Cohorts that stayed behind in the last window because they have spent their budget."
    );
    describe_gauge!(GHOSTS, "Users who are gone and whose events go on waking their cohort.");
    describe_gauge!(
        DEVICES,
        "Devices by how they are mixed: batch, which protects single events only, cohort or sealed."
    );
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
    describe_histogram!(
        DELIVERY_LATENESS,
        Unit::Seconds,
        "Time from the end of its window until a push was sent for the first time, by credential set."
    );
    describe_gauge!(DELIVERIES_IN_FLIGHT, "Pushes sent and not answered, by credential set.");
    describe_gauge!(PAUSED, "1 while a credential set is paused.");
    describe_gauge!(HALTED, "1 while an operator has paused delivery at a provider.");
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
        "Deaths told, by destination and result (told, given_up, lost); of a webhook each that it refused or that found it out of reach, of a wiki each call (refused, out_of_reach)."
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
        SUBSCRIPTIONS_BY_PROVIDER,
        "Subscriptions, by provider, credential set and topic (empty but for APNs)."
    );
    describe_gauge!(
        SUBSCRIPTIONS_REFRESHED,
        "Subscriptions whose app registered them within so many days."
    );
    describe_counter!(
        SUBSCRIPTIONS_PUT,
        "Registrations, by provider and result (created, refreshed, unproven, replaced, changed, evicted)."
    );
    describe_counter!(
        SUBSCRIPTIONS_IMPORTED,
        "Devices that were registered elsewhere, by result (created, known, elsewhere, dead, no_room, refused)."
    );
    describe_counter!(SUBSCRIPTIONS_DELETED, "Subscriptions deleted on request, by provider.");
    describe_counter!(SUBSCRIPTIONS_DROPPED, "Subscriptions deleted on proof, by credential set.");
    describe_counter!(
        SUBSCRIPTIONS_KEPT,
        "Subscriptions called dead and kept, by credential set and why (renewed, suspect)."
    );
}
