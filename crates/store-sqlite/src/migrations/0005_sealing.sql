-- The key everything secret in this database is sealed with. No row: it was made by a version that did not seal.
CREATE TABLE sealing (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    key_id BLOB NOT NULL,
    -- Whether what was there before is gone from the files.
    wiped  INTEGER NOT NULL
);
