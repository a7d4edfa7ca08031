-- What users find when they have been woken.
CREATE TABLE inbox (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    user_name  TEXT NOT NULL,
    id         BLOB NOT NULL,
    event_type TEXT NOT NULL,
    at         INTEGER NOT NULL,
    is_read    INTEGER NOT NULL,
    content    BLOB NOT NULL
);
CREATE INDEX inbox_user ON inbox (user_name, seq);
CREATE INDEX inbox_item ON inbox (user_name, id);
ALTER TABLE scheduled ADD COLUMN content BLOB;

-- Up to which gathered row a device's user has looked: what is in it is cancelled. The greatest there ever was is in `state`: no later row gets
-- such an id.
ALTER TABLE subscriptions ADD COLUMN fetched_until INTEGER NOT NULL DEFAULT 0;
ALTER TABLE state ADD COLUMN fetched_until INTEGER NOT NULL DEFAULT 0;
