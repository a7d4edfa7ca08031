-- What each namespace holds, counted with every write.
CREATE TABLE namespaces (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    entries INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0
) STRICT;

-- One row an entry. Small ones are read with one look-up; what is left of a large value lies in pages of its own.
CREATE TABLE entries (
    key BLOB PRIMARY KEY,
    value BLOB NOT NULL,
    -- Milliseconds since the Unix epoch; the largest number there is for an entry without an end.
    expires_at INTEGER NOT NULL,
    namespace INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- In which order they are swept.
CREATE INDEX entries_by_end ON entries (expires_at);

-- Written by whoever asks whether the database takes writes.
CREATE TABLE probes (count INTEGER NOT NULL) STRICT;
INSERT INTO probes VALUES (0);
