-- Which wake-ups are in flight only the process knows: what it held is due again. Waiting ones are found by their key in memory, for which
-- the one index carries it.
UPDATE wakeups SET due_at = window_end WHERE lease <> 0;
DROP INDEX wakeups_waiting;
DROP INDEX wakeups_leased;
DROP INDEX wakeups_due;
ALTER TABLE wakeups DROP COLUMN lease;
CREATE INDEX wakeups_due ON wakeups (set_id, due_at, sort_key, key);

-- How many targets there are is known without reading them.
DROP INDEX gathered_window;
CREATE INDEX gathered_window ON gathered (window_end, id, count);

-- The release under way: of everything that was gathered for windows up to `until`, in the order of the sort keys that `shuffle` gives it.
-- It is expanded up to the target of this sort key and position. Then what was gathered is garbage, until it is gone.
CREATE TABLE release (
    one           INTEGER PRIMARY KEY CHECK (one = 1),
    until         INTEGER NOT NULL,
    shuffle       BLOB NOT NULL,
    done_key      INTEGER,
    done_position INTEGER,
    is_expanded   INTEGER NOT NULL
);
