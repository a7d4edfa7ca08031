-- Whether the devices of a credential set show nobody that they were woken.
ALTER TABLE credential_sets ADD COLUMN silent INTEGER NOT NULL DEFAULT 0;

-- How many devices each has.
ALTER TABLE credential_sets ADD COLUMN devices INTEGER NOT NULL DEFAULT 0;
UPDATE credential_sets SET devices = (SELECT COUNT(*) FROM subscriptions WHERE set_id = credential_sets.id);
CREATE TRIGGER device_came AFTER INSERT ON subscriptions BEGIN
    UPDATE credential_sets SET devices = devices + 1 WHERE id = NEW.set_id;
END;
CREATE TRIGGER device_went AFTER DELETE ON subscriptions BEGIN
    UPDATE credential_sets SET devices = devices - 1 WHERE id = OLD.set_id;
END;
CREATE TRIGGER device_changed AFTER UPDATE OF set_id ON subscriptions WHEN NEW.set_id <> OLD.set_id BEGIN
    UPDATE credential_sets SET devices = devices - 1 WHERE id = OLD.set_id;
    UPDATE credential_sets SET devices = devices + 1 WHERE id = NEW.set_id;
END;

-- Users whose devices nobody can tell apart who sees them.
CREATE TABLE strata (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);

-- Users who are woken together. standing: 0 provisional, 1 active, 2 survivors. No id is ever used twice.
CREATE TABLE cohorts (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    stratum  INTEGER NOT NULL,
    standing INTEGER NOT NULL,
    formed   INTEGER NOT NULL,
    live     INTEGER NOT NULL,
    paid_at  INTEGER
);
CREATE INDEX cohorts_standing ON cohorts (standing, stratum, live);

-- Who is in them. key is a keyed hash of the name; a ghost has no name.
CREATE TABLE members (
    id        INTEGER PRIMARY KEY,
    key       BLOB NOT NULL,
    cohort    INTEGER NOT NULL,
    user_name TEXT
);
CREATE UNIQUE INDEX members_key ON members (key, cohort);
CREATE INDEX members_cohort ON members (cohort);
CREATE INDEX members_ghosts ON members (id) WHERE user_name IS NULL;

-- Where users of a cohort are that was in place of another.
CREATE TABLE successors (
    cohort    INTEGER NOT NULL,
    successor INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    PRIMARY KEY (cohort, successor)
) WITHOUT ROWID;
CREATE INDEX successors_at ON successors (at);

-- Something was accepted for a cohort, or it is padding. leaves: it was decided that it leaves.
CREATE TABLE marks (
    cohort     INTEGER NOT NULL,
    window_end INTEGER NOT NULL,
    leaves     INTEGER NOT NULL,
    PRIMARY KEY (cohort, window_end)
) WITHOUT ROWID;
CREATE INDEX marks_leaving ON marks (leaves, window_end, cohort);

-- Users whose devices have changed in the transaction under way. Empty outside of one.
CREATE TABLE changed (
    user_name TEXT PRIMARY KEY
) WITHOUT ROWID;

-- Whether users are woken in cohorts; whether all of them are where they belong; the last beat, the one under
-- way, and up to which device that came.
ALTER TABLE state ADD COLUMN cohorts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE state ADD COLUMN enrolled INTEGER NOT NULL DEFAULT 0;
ALTER TABLE state ADD COLUMN beat_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE state ADD COLUMN beat_under_way INTEGER NOT NULL DEFAULT 0;
ALTER TABLE state ADD COLUMN beat_after BLOB NOT NULL DEFAULT x'';

-- Sealed no longer, and woken once more at the next beat.
ALTER TABLE subscriptions ADD COLUMN unsealing INTEGER NOT NULL DEFAULT 0;
CREATE INDEX subscriptions_sealed ON subscriptions (id) WHERE sealed + unsealing > 0;

CREATE TRIGGER member_came AFTER INSERT ON subscriptions WHEN (SELECT cohorts FROM state) BEGIN
    INSERT INTO changed VALUES (NEW.user_name) ON CONFLICT DO NOTHING;
END;
CREATE TRIGGER member_went AFTER DELETE ON subscriptions WHEN (SELECT cohorts FROM state) BEGIN
    INSERT INTO changed VALUES (OLD.user_name) ON CONFLICT DO NOTHING;
END;
CREATE TRIGGER member_changed AFTER UPDATE OF set_id, topic, sealed, unsealing ON subscriptions
WHEN (NEW.set_id <> OLD.set_id OR NEW.topic IS NOT OLD.topic OR NEW.sealed <> OLD.sealed OR NEW.unsealing <> OLD.unsealing)
    AND (SELECT cohorts FROM state) BEGIN
    INSERT INTO changed VALUES (NEW.user_name) ON CONFLICT DO NOTHING;
END;

-- How many cohorts a notification marked, and which one that is scheduled is for: eight bytes each, little-endian. audience_kind 2: cohorts, and
-- subscriptions as audience.
ALTER TABLE trails ADD COLUMN cohorts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE scheduled ADD COLUMN cohorts BLOB NOT NULL DEFAULT x'';
