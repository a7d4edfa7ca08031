//! Tables with many rows, as a large site has them.

use sqlx::{AssertSqlSafe, MySqlConnection};

/// Tables that grow with users, devices or events. Those of suspects and of deaths have a bound, and are looked through seldom; of cohorts all
/// are looked at when a window ends.
pub(crate) const FULL: [&str; 15] = [
    "subscriptions",
    "unproven",
    "trails",
    "trail_counts",
    "idempotency",
    "gathered",
    "scheduled",
    "wakeups",
    "held_wakeups",
    "preferences",
    "limit_counters",
    "inbox",
    "seen",
    "members",
    "successors",
];

/// Numbers as 16 bytes, in order.
const ID: &str = "UNHEX(LPAD(HEX(seq), 32, '0'))";
/// The times the contract speaks of begin here.
const START: &str = "1000000000";

/// Fills every table. Of what is rare there is a hundredth.
pub(crate) async fn fill(connection: &mut MySqlConnection, rows: u64) {
    let (rare, cohorts) = (rows.div_ceil(100), rows.div_ceil(16));
    let events = events(rows, rare);
    for insert in devices(rows, rare).into_iter().chain(events).chain(company(rows, rare, cohorts))
    {
        run(connection, insert).await;
    }
    for table in FULL.iter().chain(&[
        "suspects",
        "deaths",
        "cohorts",
        "marks",
        "device_counts",
        "device_kinds",
    ]) {
        run(connection, format!("ANALYZE TABLE {table}")).await;
    }
}

/// Devices, and what users have said.
fn devices(rows: u64, rare: u64) -> Vec<String> {
    vec![
        "INSERT IGNORE INTO credential_sets (id, name) VALUES (1, 'fcm.default'), (2, 'apns.app')".to_owned(),
        format!(
            "INSERT INTO subscriptions (id, user_name, set_id, token, token_key, generation, created_at, refreshed_at, suspect_since, sealed)
             SELECT {ID}, CONCAT('user-', seq DIV 2), 1 + seq % 2, RPAD(seq, 180, 'x'), {ID}, 1, {START} + seq, {START} + seq * 1000,
             IF(seq % 100, NULL, {START}), seq % 50 = 0 FROM seq_1_to_{rows}"
        ),
        format!(
            "INSERT INTO unproven (id, user_name, set_id, token, token_key, nonce, wrong, asked_at)
             SELECT {ID}, CONCAT('user-', seq), 1, RPAD(seq, 180, 'x'), {ID}, {ID}, 0, {START} + seq FROM seq_1_to_{rare}"
        ),
        format!(
            "INSERT INTO preferences SELECT CONCAT('user-', seq), 'mention', 1 FROM seq_1_to_{rows}"
        ),
        format!(
            "INSERT INTO limit_counters SELECT 'mention', {ID}, {START} + seq, 1 FROM seq_1_to_{rows}"
        ),
        format!(
            "INSERT INTO inbox (user_name, id, event_type, at, is_read, content)
             SELECT CONCAT('user-', seq DIV 5), {ID}, 'mention', {START} + seq, seq % 2, RPAD('', 100, 'x') FROM seq_1_to_{rows}"
        ),
        format!("INSERT INTO seen SELECT CONCAT('user-', seq), 0, {START} + seq FROM seq_1_to_{rows}"),
    ]
}

/// What was accepted, and what becomes of it.
fn events(rows: u64, rare: u64) -> Vec<String> {
    vec![
        format!(
            "INSERT INTO trails (seq, id, window_end, last_window) SELECT seq, {ID}, {START} + seq, {START} + seq FROM seq_1_to_{rows}"
        ),
        format!(
            "INSERT INTO trail_counts SELECT seq, seq % 64, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0 FROM seq_1_to_{rows}"
        ),
        format!(
            "INSERT INTO idempotency SELECT UNHEX(LPAD(HEX(seq), 64, '0')), UNHEX(LPAD(HEX(seq), 64, '0')), '', {START} + seq FROM seq_1_to_{rows}"
        ),
        format!(
            "INSERT INTO gathered (place, window_end, trail, message_type, ttl_ms, dry_run, set_id, topic, count, targets)
             SELECT seq, {START} + seq DIV 1000 * 1000, seq, 'checkEchoV1', 3600000, 0, IF(seq % 2, 1, NULL), NULL, 1, RPAD('', 190, 'x')
             FROM seq_1_to_{rows}"
        ),
        format!(
            "INSERT INTO scheduled (trail, due, message_type, ttl_ms, dry_run, audience_kind, named, audience, event_type, wakes, cohorts, since)
             SELECT seq, {START} + seq, 'checkEchoV1', 3600000, 0, 0, 1, '', 'mention', 1, '', 0 FROM seq_1_to_{rare}"
        ),
        format!(
            "INSERT INTO wakeups (wake_key, waiting_key, set_id, part, due_at, sort_key, window_end, expires_at, dry_run, message_type, trail, subscription)
             SELECT {ID}, {ID}, 1 + seq % 2, 0, {START} + seq DIV 1000, seq, {START}, {START} + 3600000, 0, 'checkEchoV1', seq, {ID}
             FROM seq_1_to_{rows}"
        ),
        format!("INSERT INTO held_wakeups SELECT {ID}, seq FROM seq_1_to_{rare}"),
        format!(
            "INSERT INTO suspects (token_key, set_id, token, reason, since, verdicts, next_try)
             SELECT {ID}, 1, RPAD(seq, 180, 'x'), 'stub', {START} + seq, 1, IF(seq % 2, NULL, {START} + seq) FROM seq_1_to_{rare}"
        ),
        format!(
            "INSERT INTO deaths (destination, token_key, set_id, token, user_name, reason, at, attempts, due_at)
             SELECT 'webhook', {ID}, 1, RPAD(seq, 180, 'x'), CONCAT('user-', seq), 'stub', {START} + seq, 0, {START} + seq FROM seq_1_to_{rare}"
        ),
    ]
}

/// Who is woken together.
fn company(rows: u64, rare: u64, cohorts: u64) -> Vec<String> {
    vec![
        "INSERT INTO strata SELECT seq, UNHEX(SHA2(seq, 256)), CONCAT('fcm.default ', seq), 2 FROM seq_1_to_20".to_owned(),
        format!(
            "INSERT INTO cohorts SELECT seq, 1 + seq % 20, 1, 16, 16, IF(seq % 3, NULL, {START} + seq) FROM seq_1_to_{cohorts}"
        ),
        format!(
            "INSERT INTO members (member, cohort, user_name) SELECT {ID}, 1 + seq DIV 16, IF(seq % 40, CONCAT('user-', seq), NULL) FROM seq_1_to_{rows}"
        ),
        format!("INSERT INTO successors SELECT seq, seq + 1, {START} + seq FROM seq_1_to_{rare}"),
        "REPLACE INTO device_counts SELECT set_id, refresh_day, seq, 1 FROM (SELECT DISTINCT set_id, refresh_day FROM subscriptions) s, seq_1_to_64".to_owned(),
        "REPLACE INTO device_kinds SELECT set_id, COALESCE(topic, ''), seq, 1 FROM (SELECT DISTINCT set_id, topic FROM subscriptions) s, seq_1_to_64".to_owned(),
        format!("INSERT INTO marks (cohort, window_end, leaves) SELECT seq, {START} + seq % 3, seq % 2 FROM seq_1_to_{cohorts}"),
    ]
}

async fn run(connection: &mut MySqlConnection, sql: String) {
    let done = sqlx::raw_sql(AssertSqlSafe(sql.clone())).fetch_all(connection).await;
    done.unwrap_or_else(|error| panic!("{sql}: {error}"));
}
