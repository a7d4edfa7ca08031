-- Devices with verdicts against them. next_try is null while a device is only watched.
CREATE TABLE suspects (
    key          BLOB PRIMARY KEY,
    set_id       INTEGER NOT NULL,
    topic        TEXT,
    token        TEXT NOT NULL,
    subscription BLOB,
    reason       TEXT NOT NULL,
    since        INTEGER NOT NULL,
    verdicts     INTEGER NOT NULL,
    next_try     INTEGER
) WITHOUT ROWID;
INSERT INTO suspects
SELECT token_key, set_id, topic, token, id, 'other', suspect_since, 1, suspect_since
FROM subscriptions WHERE suspect_since IS NOT NULL;

-- Deaths that others are to be told of. An id is never used twice: it names the event outside.
CREATE TABLE deaths (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    destination  TEXT NOT NULL,
    key          BLOB NOT NULL,
    set_id       INTEGER NOT NULL,
    topic        TEXT,
    token        TEXT NOT NULL,
    subscription BLOB,
    user_name    TEXT,
    reason       TEXT NOT NULL,
    at           INTEGER NOT NULL,
    attempts     INTEGER NOT NULL,
    due_at       INTEGER NOT NULL
);
CREATE INDEX deaths_due ON deaths (destination, due_at);
CREATE INDEX deaths_key ON deaths (key, destination);

-- The quarantined device a wake-up waits with.
ALTER TABLE wakeups ADD COLUMN held BLOB;
CREATE INDEX wakeups_held ON wakeups (held) WHERE held IS NOT NULL;
