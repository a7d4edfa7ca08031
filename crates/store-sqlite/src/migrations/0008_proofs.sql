-- Devices that have not shown yet that they have their token.
CREATE TABLE unproven (
    id        BLOB PRIMARY KEY,
    user_name TEXT NOT NULL,
    set_id    INTEGER NOT NULL,
    topic     TEXT,
    token     BLOB NOT NULL,
    token_key BLOB NOT NULL,
    nonce     BLOB NOT NULL,
    wrong     INTEGER NOT NULL,
    asked_at  INTEGER NOT NULL
);
CREATE UNIQUE INDEX unproven_user ON unproven (user_name, token_key);
CREATE INDEX unproven_asked ON unproven (asked_at);

-- What the push to such a device carries.
ALTER TABLE wakeups ADD COLUMN nonce BLOB;
