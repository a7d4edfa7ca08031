-- That this database's content is being moved to another store, or was: no server opens it any more. No row: neither.
CREATE TABLE moved (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    id      BLOB NOT NULL,
    is_over INTEGER NOT NULL
);
