//! Every bound that is not a setting, with its unit in its name and its reason beside it.

/// Longest token, in bytes. FCM documents none; 4,096 is what the reference's store accepts and what DESIGN settles.
pub const TOKEN_BYTES_MAX: usize = 4096;
/// Longest user, in bytes.
pub const USER_BYTES_MAX: usize = 255;
/// Longest event type or message type, in characters.
pub const WORD_CHARS_MAX: usize = 64;
/// Longest topic (an APNs bundle id), in bytes; a MediaWiki stores at most 255.
pub const TOPIC_BYTES_MAX: usize = 255;
/// Longest name of a credential set, in characters.
pub const SET_NAME_CHARS_MAX: usize = 64;

/// Largest request body of intake, in bytes. The reference takes 100 kB; bulk notifications want more.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Most tokens in one `/v1/message` request. The longest tokens of the field (about 200 bytes) fill the body before that.
pub const TOKENS_PER_REQUEST_MAX: usize = 5_000;
/// Most notifications in one bulk request.
pub const NOTIFICATIONS_PER_REQUEST_MAX: usize = 1_000;
/// Most devices that one request brings from somewhere else.
pub const IMPORT_MAX: usize = 1_000;
/// Most users (or subscriptions) named by one request, all its notifications together.
pub const USERS_PER_REQUEST_MAX: usize = 10_000;
/// Longest `Idempotency-Key`, in bytes.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
/// How long an `Idempotency-Key` is remembered, in seconds.
pub const IDEMPOTENCY_RETENTION_S: u32 = 3600;
/// Longest `X-Request-Id` that is echoed, in bytes.
pub const REQUEST_ID_BYTES_MAX: usize = 128;

/// Longest time to live of a wake-up, in seconds: four weeks, FCM's maximum.
pub const TTL_S_MAX: u32 = 2_419_200;
/// Time to live where the caller gives none, in seconds: an hour, after which FCM calls a retry misclassified.
pub const TTL_S_DEFAULT: u32 = 3600;
/// How far ahead `deliver_after` may lie, in seconds: 30 days.
pub const DELIVER_AFTER_S_MAX: u32 = 30 * 86_400;
/// Over how long wake-ups may be spread, in seconds: a day.
pub const SPREAD_S_MAX: u32 = 86_400;
/// Over how many windows at most.
pub const SPREAD_WINDOWS_MAX: usize = 64;

/// Most subscriptions of one user that one notification wakes.
pub const SUBSCRIPTIONS_PER_USER_MAX: usize = 100;
/// Longest content of a notification, in bytes of JSON: several fit into one page of an inbox.
pub const CONTENT_BYTES_MAX: usize = 4_096;
/// Most items of one user's inbox that are kept.
pub const INBOX_PER_USER_MAX: usize = 500;
/// How long a device may take to prove that it has its token, in seconds.
pub const PROOF_RETENTION_S: u32 = 86_400;
/// How often a device is asked for a proof at the most, in seconds.
pub const PROOF_INTERVAL_S: u32 = 30;
/// How many wrong proofs are taken before a device is forgotten.
pub const PROOFS_WRONG_MAX: u32 = 5;
/// Most event types one user says something about.
pub const PREFERENCES_PER_USER_MAX: usize = 200;
/// Most targets one gathered row holds.
pub const TARGETS_PER_ROW_MAX: usize = 5_000;
/// Most targets one expanding transaction looks at, so that intake waits a few milliseconds for it at most.
pub const EXPAND_MAX: usize = 1_000;
/// Most groups of waiting users of which cohorts are formed at once.
pub const GROUPS_MAX: usize = 2_048;
/// Most cohorts whose leaving is written in one transaction.
pub const LEAVING_MAX: usize = 1_024;
/// Most decoys of one window.
pub const NOOPS_MAX: usize = 100_000;
/// Most wake-ups one claim takes.
pub const CLAIM_MAX: usize = 1_024;
/// Most devices that are watched or quarantined at once. Beyond it a verdict against another one is not remembered, and so never acted on.
pub const SUSPECTS_MAX: u64 = 1_000_000;
/// Most deaths that wait to be told to others. Beyond it one is not told, and counted as lost.
pub const FEEDBACK_MAX: u64 = 1_000_000;
/// Most quarantined devices one call lists, releases or drops.
pub const QUARANTINE_PAGE_MAX: usize = 1_000;
/// Most settlements one transaction carries.
pub const SETTLE_MAX: usize = 1_024;

/// Longest key of the session store, in bytes. Escaped to the last byte it still fits into the head of a request.
pub const SESSION_KEY_BYTES_MAX: usize = 16_384;
/// Largest value of the session store, in bytes: what Cassandra takes in one write unless it is told otherwise, less what goes with it.
pub const SESSION_VALUE_BYTES_MAX: usize = 15 * 1024 * 1024;
/// Longest time to live in the session store, in seconds: Cassandra's, 20 years.
pub const SESSION_TTL_S_MAX: u32 = 630_720_000;
/// Most entries that one step of a sweep deletes, so that writers wait a few milliseconds for it at most.
pub const SESSION_SWEEP_MAX: usize = 500;

const _: () = assert!(TOKENS_PER_REQUEST_MAX <= TARGETS_PER_ROW_MAX);
const _: () = assert!(SUBSCRIPTIONS_PER_USER_MAX <= TARGETS_PER_ROW_MAX);
