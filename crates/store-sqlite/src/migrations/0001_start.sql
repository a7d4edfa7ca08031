-- Everything accepted, by where it is, and the one row of settings that change.
CREATE TABLE state (
    one                   INTEGER PRIMARY KEY CHECK (one = 1),
    closed_until          INTEGER NOT NULL,
    expanded_until        INTEGER NOT NULL,
    checked_at            INTEGER NOT NULL,
    accepted              INTEGER NOT NULL,
    waiting               INTEGER NOT NULL,
    collapsed             INTEGER NOT NULL,
    settled_sent      INTEGER NOT NULL,
    settled_dead          INTEGER NOT NULL,
    settled_expired       INTEGER NOT NULL,
    settled_cancelled     INTEGER NOT NULL,
    settled_payload_error INTEGER NOT NULL,
    settled_dry_run       INTEGER NOT NULL
);
INSERT INTO state VALUES (1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);

CREATE TABLE keys (
    name TEXT PRIMARY KEY,
    key  BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE credential_sets (
    id           INTEGER PRIMARY KEY,
    name         TEXT NOT NULL UNIQUE,
    paused_until INTEGER
);

CREATE TABLE subscriptions (
    id            BLOB PRIMARY KEY,
    user_name     TEXT NOT NULL,
    set_id        INTEGER NOT NULL,
    topic         TEXT,
    token         TEXT NOT NULL,
    token_key     BLOB NOT NULL UNIQUE,
    generation    INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    refreshed_at  INTEGER NOT NULL,
    suspect_since INTEGER
);
CREATE INDEX subscriptions_user ON subscriptions (user_name);
CREATE INDEX subscriptions_suspect ON subscriptions (suspect_since) WHERE suspect_since IS NOT NULL;

CREATE TABLE trails (
    -- Never used twice: a wake-up may outlive its trail.
    seq                   INTEGER PRIMARY KEY AUTOINCREMENT,
    id                    BLOB NOT NULL UNIQUE,
    window_end            INTEGER,
    deliver_after         INTEGER,
    taken_back            INTEGER NOT NULL DEFAULT 0,
    last_window           INTEGER NOT NULL,
    accepted              INTEGER NOT NULL DEFAULT 0,
    waiting               INTEGER NOT NULL DEFAULT 0,
    collapsed             INTEGER NOT NULL DEFAULT 0,
    settled_sent      INTEGER NOT NULL DEFAULT 0,
    settled_dead          INTEGER NOT NULL DEFAULT 0,
    settled_expired       INTEGER NOT NULL DEFAULT 0,
    settled_cancelled     INTEGER NOT NULL DEFAULT 0,
    settled_payload_error INTEGER NOT NULL DEFAULT 0,
    settled_dry_run       INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX trails_last_window ON trails (last_window);

CREATE TABLE idempotency (
    key  BLOB PRIMARY KEY,
    body BLOB NOT NULL,
    ids  BLOB NOT NULL,
    at   INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX idempotency_at ON idempotency (at);

-- deliver_after has not come. audience_kind: 0 users, 1 subscriptions.
CREATE TABLE scheduled (
    trail         INTEGER PRIMARY KEY,
    due           INTEGER NOT NULL,
    message_type  TEXT NOT NULL,
    ttl_ms        INTEGER NOT NULL,
    dry_run       INTEGER NOT NULL,
    audience_kind INTEGER NOT NULL,
    named         INTEGER NOT NULL,
    audience      BLOB NOT NULL
);
CREATE INDEX scheduled_due ON scheduled (due);

-- The window is open: one row holds all targets of one request. set_id is null where the targets are subscriptions.
CREATE TABLE gathered (
    id           INTEGER PRIMARY KEY,
    window_end   INTEGER NOT NULL,
    trail        INTEGER,
    message_type TEXT NOT NULL,
    ttl_ms       INTEGER NOT NULL,
    dry_run      INTEGER NOT NULL,
    set_id       INTEGER,
    topic        TEXT,
    count        INTEGER NOT NULL,
    targets      BLOB NOT NULL
);

CREATE INDEX gathered_window ON gathered (window_end, id);

-- The window has ended: one row a wake-up. lease 0 means it waits. Either token or subscription is set.
CREATE TABLE wakeups (
    id           INTEGER PRIMARY KEY,
    key          BLOB NOT NULL,
    set_id       INTEGER NOT NULL,
    due_at       INTEGER NOT NULL,
    sort_key     INTEGER NOT NULL,
    lease        INTEGER NOT NULL,
    attempts     INTEGER NOT NULL,
    window_end   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    dry_run      INTEGER NOT NULL,
    message_type TEXT NOT NULL,
    trail        INTEGER,
    subscription BLOB,
    topic        TEXT,
    token        TEXT
);
CREATE UNIQUE INDEX wakeups_waiting ON wakeups (key) WHERE lease = 0;
CREATE INDEX wakeups_due ON wakeups (set_id, due_at, sort_key);
CREATE INDEX wakeups_leased ON wakeups (lease) WHERE lease <> 0;
