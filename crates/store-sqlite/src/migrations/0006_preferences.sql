-- Wake-ups that a limit kept from leaving.
ALTER TABLE state ADD COLUMN settled_limited INTEGER NOT NULL DEFAULT 0;
ALTER TABLE trails ADD COLUMN settled_limited INTEGER NOT NULL DEFAULT 0;

-- What users have said about event types.
CREATE TABLE preferences (
    user_name  TEXT NOT NULL,
    event_type TEXT NOT NULL,
    wakes      INTEGER NOT NULL,
    PRIMARY KEY (user_name, event_type)
) WITHOUT ROWID;

-- How many notifications of an event type a user got in the period that ends at ends_at. The key is a keyed hash of user and type.
CREATE TABLE limit_counters (
    event_type TEXT NOT NULL,
    key        BLOB NOT NULL,
    ends_at    INTEGER NOT NULL,
    count      INTEGER NOT NULL,
    PRIMARY KEY (event_type, key)
) WITHOUT ROWID;
CREATE INDEX limit_counters_end ON limit_counters (ends_at);

-- What is asked when a scheduled notification falls due. Without an event type: accepted by a version that did not ask.
ALTER TABLE scheduled ADD COLUMN event_type TEXT;
ALTER TABLE scheduled ADD COLUMN wakes INTEGER NOT NULL DEFAULT 1;
ALTER TABLE scheduled ADD COLUMN limit_count INTEGER;
ALTER TABLE scheduled ADD COLUMN limit_per_ms INTEGER;
