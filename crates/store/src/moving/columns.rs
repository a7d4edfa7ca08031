//! What the rows of each table hold.

use super::Kind::{self, Bytes, Content, Fetched, Key, Number, Set, Targets, Token};

/// A column: its name in the store of many nodes, and what stands in it.
pub type Column = (&'static str, Kind);

pub(super) const KEYS: &[Column] = &[("name", Bytes), ("sealed", Key)];

pub(super) const CREDENTIAL_SETS: &[Column] =
    &[("name", Bytes), ("paused_until", Number), ("silent", Number)];

pub(super) const SUBSCRIPTIONS: &[Column] = &[
    ("id", Bytes),
    ("user_name", Bytes),
    ("set_id", Set),
    ("topic", Bytes),
    ("token", Token),
    ("generation", Number),
    ("created_at", Number),
    ("refreshed_at", Number),
    ("suspect_since", Number),
    ("sealed", Number),
    ("unsealing", Number),
    ("fetched", Fetched),
];

pub(super) const UNPROVEN: &[Column] = &[
    ("id", Bytes),
    ("user_name", Bytes),
    ("set_id", Set),
    ("topic", Bytes),
    ("token", Token),
    ("nonce", Bytes),
    ("wrong", Number),
    ("asked_at", Number),
];

pub(super) const IDEMPOTENCY: &[Column] =
    &[("id", Bytes), ("body", Bytes), ("ids", Bytes), ("at", Number)];

pub(super) const SCHEDULED: &[Column] = &[
    ("trail", Number),
    ("due", Number),
    ("message_type", Bytes),
    ("ttl_ms", Number),
    ("dry_run", Number),
    ("audience_kind", Number),
    ("named", Number),
    ("audience", Bytes),
    ("event_type", Bytes),
    ("wakes", Number),
    ("limit_count", Number),
    ("limit_per_ms", Number),
    ("content", Content),
    ("cohorts", Bytes),
    ("since", Number),
    ("spread", Bytes),
];

pub(super) const GATHERED: &[Column] = &[
    ("place", Number),
    ("window_end", Number),
    ("trail", Number),
    ("message_type", Bytes),
    ("ttl_ms", Number),
    ("dry_run", Number),
    ("set_id", Set),
    ("topic", Bytes),
    ("count", Number),
    ("targets", Targets),
];

pub(super) const RELEASES: &[Column] = &[
    ("until", Number),
    ("shuffle", Bytes),
    ("done_key", Number),
    ("done_position", Number),
    ("is_expanded", Number),
];

pub(super) const SUSPECTS: &[Column] = &[
    ("set_id", Set),
    ("topic", Bytes),
    ("token", Token),
    ("subscription", Bytes),
    ("reason", Bytes),
    ("since", Number),
    ("verdicts", Number),
    ("next_try", Number),
];

pub(super) const WAKEUPS: &[Column] = &[
    ("id", Number),
    // Nothing where it is made from the token.
    ("wake_key", Bytes),
    ("set_id", Set),
    ("due_at", Number),
    ("sort_key", Number),
    ("attempts", Number),
    ("window_end", Number),
    ("expires_at", Number),
    ("dry_run", Number),
    ("message_type", Bytes),
    ("trail", Number),
    ("subscription", Bytes),
    ("topic", Bytes),
    ("token", Token),
    ("nonce", Bytes),
    // The token of the device it waits with.
    ("held", Token),
];

pub(super) const DEATHS: &[Column] = &[
    ("id", Number),
    ("destination", Bytes),
    ("set_id", Set),
    ("topic", Bytes),
    ("token", Token),
    ("subscription", Bytes),
    ("user_name", Bytes),
    ("reason", Bytes),
    ("at", Number),
    ("attempts", Number),
    ("due_at", Number),
];

pub(super) const PREFERENCES: &[Column] =
    &[("user_name", Bytes), ("event_type", Bytes), ("wakes", Number)];

pub(super) const LIMIT_COUNTERS: &[Column] =
    &[("event_type", Bytes), ("counter", Bytes), ("ends_at", Number), ("count", Number)];

pub(super) const INBOX: &[Column] = &[
    ("seq", Number),
    ("user_name", Bytes),
    ("id", Bytes),
    ("event_type", Bytes),
    ("at", Number),
    ("is_read", Number),
    ("content", Content),
];

pub(super) const SEEN: &[Column] = &[("user_name", Bytes), ("section", Number), ("at", Number)];

pub(super) const STRATA: &[Column] = &[("id", Number), ("name", Bytes), ("providers", Number)];

pub(super) const COHORTS: &[Column] = &[
    ("id", Number),
    ("stratum", Number),
    ("standing", Number),
    ("formed", Number),
    ("live", Number),
    ("paid_at", Number),
];

pub(super) const MEMBERS: &[Column] = &[
    ("id", Number),
    ("member", Bytes),
    ("cohort", Number),
    ("user_name", Bytes),
    ("lacks", Number),
];

pub(super) const SUCCESSORS: &[Column] =
    &[("cohort", Number), ("successor", Number), ("at", Number)];

pub(super) const MARKS: &[Column] =
    &[("cohort", Number), ("window_end", Number), ("leaves", Number)];

pub(super) const TRAILS: &[Column] = &[
    ("seq", Number),
    ("id", Bytes),
    ("window_end", Number),
    ("deliver_after", Number),
    ("taken_back", Number),
    ("last_window", Number),
    ("cohorts", Number),
    ("accepted", Number),
    ("waiting", Number),
    ("collapsed", Number),
    ("settled_sent", Number),
    ("settled_dead", Number),
    ("settled_expired", Number),
    ("settled_cancelled", Number),
    ("settled_payload_error", Number),
    ("settled_dry_run", Number),
    ("settled_limited", Number),
];

pub(super) const STATE: &[Column] = &[
    ("closed_until", Number),
    ("expanded_until", Number),
    ("halted", Number),
    ("cohorts", Number),
    ("enrolled", Number),
    ("beat_at", Number),
    ("beat_under_way", Number),
    ("beat_after", Bytes),
    // The last number that a gathered row had.
    ("number", Number),
    ("accepted", Number),
    ("waiting", Number),
    ("collapsed", Number),
    ("settled_sent", Number),
    ("settled_dead", Number),
    ("settled_expired", Number),
    ("settled_cancelled", Number),
    ("settled_payload_error", Number),
    ("settled_dry_run", Number),
    ("settled_limited", Number),
];
