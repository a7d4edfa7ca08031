-- A step that was cut short is carried out again from its beginning: each statement may be repeated.
-- Times are milliseconds since 1970. Texts are kept as bytes: they are compared as they are.

-- What changes seldom, and for everybody at once.
CREATE TABLE IF NOT EXISTS state (
    one            TINYINT NOT NULL PRIMARY KEY,
    closed_until   BIGINT NOT NULL,
    expanded_until BIGINT NOT NULL,
    halted         TINYINT NOT NULL,
    -- Whether users are woken in cohorts; whether all of them are where they belong.
    cohorts        TINYINT NOT NULL,
    enrolled       TINYINT NOT NULL,
    -- The last beat, the one under way, and up to which device that came.
    beat_at        BIGINT NOT NULL,
    beat_under_way BIGINT NOT NULL,
    beat_after     VARBINARY(16) NOT NULL,
    -- Into how many parts wake-ups are dealt, and how many there still are.
    parts          SMALLINT NOT NULL,
    -- Who has drawn padding for the windows up to which: once is enough, however many nodes there are.
    led_until      BIGINT NOT NULL DEFAULT 0,
    led_by         BINARY(16)
) ENGINE = InnoDB;
INSERT IGNORE INTO state (one, closed_until, expanded_until, halted, cohorts, enrolled, beat_at, beat_under_way, beat_after, parts)
VALUES (1, 0, 0, 0, 0, 0, 0, 0, '', 1);

-- A transaction that writes has a lane to itself: counts that all of them change, in as many rows. The sums are what counts. number: of the last
-- gathered row that was written by it. The rows themselves are written by what runs this.
CREATE TABLE IF NOT EXISTS lanes (
    id                    SMALLINT NOT NULL PRIMARY KEY,
    closed_until          BIGINT NOT NULL DEFAULT 0,
    number                BIGINT NOT NULL DEFAULT 0,
    checked_at            BIGINT NOT NULL DEFAULT 0,
    accepted              BIGINT NOT NULL DEFAULT 0,
    waiting               BIGINT NOT NULL DEFAULT 0,
    collapsed             BIGINT NOT NULL DEFAULT 0,
    settled_sent          BIGINT NOT NULL DEFAULT 0,
    settled_dead          BIGINT NOT NULL DEFAULT 0,
    settled_expired       BIGINT NOT NULL DEFAULT 0,
    settled_cancelled     BIGINT NOT NULL DEFAULT 0,
    settled_payload_error BIGINT NOT NULL DEFAULT 0,
    settled_dry_run       BIGINT NOT NULL DEFAULT 0,
    settled_limited       BIGINT NOT NULL DEFAULT 0
) ENGINE = InnoDB;

-- Things that only one transaction at a time may do.
CREATE TABLE IF NOT EXISTS turns (
    name VARBINARY(16) NOT NULL PRIMARY KEY,
    turn BIGINT NOT NULL
) ENGINE = InnoDB;
INSERT IGNORE INTO turns VALUES ('release', 0), ('members', 0);

-- Processes, and when they were last seen, by the database's clock, in microseconds.
CREATE TABLE IF NOT EXISTS nodes (
    slot    SMALLINT NOT NULL PRIMARY KEY,
    node    BINARY(16) NOT NULL,
    seen_at BIGINT NOT NULL
) ENGINE = InnoDB;

-- The key everything secret in this database is sealed with.
CREATE TABLE IF NOT EXISTS sealing (
    one    TINYINT NOT NULL PRIMARY KEY,
    key_id BINARY(4) NOT NULL
) ENGINE = InnoDB;

-- `keys` is a word of the language.
CREATE TABLE IF NOT EXISTS secret_keys (
    name   VARBINARY(64) NOT NULL PRIMARY KEY,
    sealed VARBINARY(255) NOT NULL
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS credential_sets (
    id           INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    name         VARBINARY(128) NOT NULL UNIQUE,
    paused_until BIGINT,
    -- Whether its devices show nobody that they were woken.
    silent       TINYINT NOT NULL DEFAULT 0
) ENGINE = InnoDB;

-- place: a number to draw devices by. fetched: up to which gathered rows of each lane its user has looked.
CREATE TABLE IF NOT EXISTS subscriptions (
    id            BINARY(16) NOT NULL PRIMARY KEY,
    place         BIGINT NOT NULL AUTO_INCREMENT UNIQUE,
    user_name     VARBINARY(255) NOT NULL,
    set_id        INT NOT NULL,
    topic         VARBINARY(255),
    token         VARBINARY(4200) NOT NULL,
    token_key     BINARY(16) NOT NULL UNIQUE,
    generation    INT NOT NULL,
    created_at    BIGINT NOT NULL,
    refreshed_at  BIGINT NOT NULL,
    suspect_since BIGINT,
    -- Woken on the beat; or no longer, and once more at the next one.
    sealed        TINYINT NOT NULL DEFAULT 0,
    unsealing     TINYINT NOT NULL DEFAULT 0,
    on_beat       TINYINT AS (sealed + unsealing > 0) PERSISTENT,
    refresh_day   INT AS (refreshed_at DIV 86400000) PERSISTENT,
    fetched       VARBINARY(8192) NOT NULL DEFAULT '',
    KEY subscriptions_user (user_name, created_at),
    KEY subscriptions_suspect (suspect_since),
    KEY subscriptions_on_beat (on_beat, id),
    KEY subscriptions_set (set_id, id),
    KEY subscriptions_day (refresh_day)
) ENGINE = InnoDB;

-- Devices that have not shown yet that they have their token.
CREATE TABLE IF NOT EXISTS unproven (
    id        BINARY(16) NOT NULL PRIMARY KEY,
    user_name VARBINARY(255) NOT NULL,
    set_id    INT NOT NULL,
    topic     VARBINARY(255),
    token     VARBINARY(4200) NOT NULL,
    token_key BINARY(16) NOT NULL,
    nonce     BINARY(16) NOT NULL,
    wrong     INT NOT NULL,
    asked_at  BIGINT NOT NULL,
    UNIQUE KEY unproven_user (user_name, token_key),
    KEY unproven_asked (asked_at)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS trails (
    seq           BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    id            BINARY(16) NOT NULL UNIQUE,
    window_end    BIGINT,
    deliver_after BIGINT,
    taken_back    TINYINT NOT NULL DEFAULT 0,
    last_window   BIGINT NOT NULL,
    -- How many cohorts it marked.
    cohorts       INT NOT NULL DEFAULT 0,
    KEY trails_last_window (last_window)
) ENGINE = InnoDB;

-- Counts of a trail, one row for each lane that changed them.
CREATE TABLE IF NOT EXISTS trail_counts (
    trail                 BIGINT NOT NULL,
    lane                  SMALLINT NOT NULL,
    accepted              BIGINT NOT NULL,
    waiting               BIGINT NOT NULL,
    collapsed             BIGINT NOT NULL,
    settled_sent          BIGINT NOT NULL,
    settled_dead          BIGINT NOT NULL,
    settled_expired       BIGINT NOT NULL,
    settled_cancelled     BIGINT NOT NULL,
    settled_payload_error BIGINT NOT NULL,
    settled_dry_run       BIGINT NOT NULL,
    settled_limited       BIGINT NOT NULL,
    PRIMARY KEY (trail, lane)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS idempotency (
    id   BINARY(32) NOT NULL PRIMARY KEY,
    body BINARY(32) NOT NULL,
    ids  BLOB NOT NULL,
    at   BIGINT NOT NULL,
    KEY idempotency_at (at)
) ENGINE = InnoDB;

-- deliver_after has not come. audience_kind: 0 users, 1 subscriptions, 2 cohorts and subscriptions. since: the last window that was closed when it was accepted.
CREATE TABLE IF NOT EXISTS scheduled (
    trail         BIGINT NOT NULL PRIMARY KEY,
    due           BIGINT NOT NULL,
    message_type  VARBINARY(64) NOT NULL,
    ttl_ms        BIGINT NOT NULL,
    dry_run       TINYINT NOT NULL,
    audience_kind TINYINT NOT NULL,
    named         INT NOT NULL,
    audience      MEDIUMBLOB NOT NULL,
    event_type    VARBINARY(64) NOT NULL,
    wakes         TINYINT NOT NULL,
    limit_count   INT,
    limit_per_ms  BIGINT,
    content       BLOB,
    cohorts       MEDIUMBLOB NOT NULL,
    since         BIGINT NOT NULL,
    KEY scheduled_due (due)
) ENGINE = InnoDB;

-- The window is open: one row holds all targets of one request. place: the lane and its number there. set_id is null where the targets are subscriptions.
CREATE TABLE IF NOT EXISTS gathered (
    place        BIGINT NOT NULL PRIMARY KEY,
    window_end   BIGINT NOT NULL,
    trail        BIGINT,
    message_type VARBINARY(64) NOT NULL,
    ttl_ms       BIGINT NOT NULL,
    dry_run      TINYINT NOT NULL,
    set_id       INT,
    topic        VARBINARY(255),
    count        INT NOT NULL,
    targets      MEDIUMBLOB NOT NULL,
    KEY gathered_window (window_end, place, count),
    KEY gathered_topic (set_id, topic)
) ENGINE = InnoDB;

-- The release under way, as in the embedded store; node: who expands it, and when it was last at it, by the database's clock, in microseconds.
CREATE TABLE IF NOT EXISTS releases (
    one           TINYINT NOT NULL PRIMARY KEY,
    until         BIGINT NOT NULL,
    shuffle       BINARY(32) NOT NULL,
    done_key      BIGINT,
    done_position BIGINT,
    is_expanded   TINYINT NOT NULL,
    node          BINARY(16) NOT NULL,
    seen_at       BIGINT NOT NULL
) ENGINE = InnoDB;

-- The window has ended: one row a wake-up. In flight it has a lease, is due when that ends, and gives its waiting_key to another one of its key that comes meanwhile.
-- Either token or subscription is set. part: which of the nodes claims it first. Indexes are paid for by every wake-up, so there are two.
CREATE TABLE IF NOT EXISTS wakeups (
    id           BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    wake_key     BINARY(16) NOT NULL,
    waiting_key  BINARY(16) UNIQUE,
    set_id       INT NOT NULL,
    part         SMALLINT NOT NULL,
    due_at       BIGINT NOT NULL,
    sort_key     BIGINT NOT NULL,
    lease        BIGINT NOT NULL DEFAULT 0,
    -- The slot of the node that holds it.
    holder       SMALLINT,
    attempts     INT NOT NULL DEFAULT 0,
    window_end   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    dry_run      TINYINT NOT NULL,
    message_type VARBINARY(64) NOT NULL,
    trail        BIGINT,
    subscription BINARY(16),
    topic        VARBINARY(255),
    token        VARBINARY(4200),
    nonce        BINARY(16),
    -- The quarantined device it waits with; the one it is a try of while it is in flight.
    held         BINARY(16),
    tries        BINARY(16),
    KEY wakeups_due (set_id, part, due_at, sort_key)
) ENGINE = InnoDB;

-- Which wake-ups wait with a quarantined device: those of which the row says so, too.
CREATE TABLE IF NOT EXISTS held_wakeups (
    token_key BINARY(16) NOT NULL,
    wakeup    BIGINT NOT NULL,
    PRIMARY KEY (token_key, wakeup)
) ENGINE = InnoDB;

-- Devices with verdicts against them. next_try is null while a device is only watched.
CREATE TABLE IF NOT EXISTS suspects (
    token_key    BINARY(16) NOT NULL PRIMARY KEY,
    set_id       INT NOT NULL,
    topic        VARBINARY(255),
    token        VARBINARY(4200) NOT NULL,
    subscription BINARY(16),
    reason       VARBINARY(64) NOT NULL,
    since        BIGINT NOT NULL,
    verdicts     INT NOT NULL,
    next_try     BIGINT
) ENGINE = InnoDB;

-- Deaths that others are to be told of.
CREATE TABLE IF NOT EXISTS deaths (
    id           BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    destination  VARBINARY(16) NOT NULL,
    token_key    BINARY(16) NOT NULL,
    set_id       INT NOT NULL,
    topic        VARBINARY(255),
    token        VARBINARY(4200) NOT NULL,
    subscription BINARY(16),
    user_name    VARBINARY(255),
    reason       VARBINARY(64) NOT NULL,
    at           BIGINT NOT NULL,
    attempts     INT NOT NULL,
    due_at       BIGINT NOT NULL,
    KEY deaths_due (destination, due_at),
    KEY deaths_token (token_key, destination),
    KEY deaths_user (user_name),
    KEY deaths_at (at)
) ENGINE = InnoDB;

-- What users have said about event types.
CREATE TABLE IF NOT EXISTS preferences (
    user_name  VARBINARY(255) NOT NULL,
    event_type VARBINARY(64) NOT NULL,
    wakes      TINYINT NOT NULL,
    PRIMARY KEY (user_name, event_type)
) ENGINE = InnoDB;

-- How many notifications of an event type a user got in the period that ends at ends_at. counter is a keyed hash of user and type.
CREATE TABLE IF NOT EXISTS limit_counters (
    event_type VARBINARY(64) NOT NULL,
    counter    BINARY(16) NOT NULL,
    ends_at    BIGINT NOT NULL,
    count      INT NOT NULL,
    PRIMARY KEY (event_type, counter),
    KEY limit_counters_end (ends_at)
) ENGINE = InnoDB;

-- What users find when they have been woken.
CREATE TABLE IF NOT EXISTS inbox (
    seq        BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    user_name  VARBINARY(255) NOT NULL,
    id         BINARY(16) NOT NULL,
    event_type VARBINARY(64) NOT NULL,
    at         BIGINT NOT NULL,
    is_read    TINYINT NOT NULL,
    content    BLOB NOT NULL,
    KEY inbox_user (user_name, seq),
    KEY inbox_item (user_name, id),
    KEY inbox_at (at)
) ENGINE = InnoDB;

-- Up to when a user has seen the alerts (0) and the messages (1) of their inbox.
CREATE TABLE IF NOT EXISTS seen (
    user_name VARBINARY(255) NOT NULL,
    section   TINYINT NOT NULL,
    at        BIGINT NOT NULL,
    PRIMARY KEY (user_name, section),
    KEY seen_at (at)
) ENGINE = InnoDB;

-- Users whose devices nobody can tell apart who sees them. name_hash: names may be longer than a key. providers: 1 apns, 2 fcm, 4 webpush.
CREATE TABLE IF NOT EXISTS strata (
    id        BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    name_hash BINARY(32) NOT NULL UNIQUE,
    name      MEDIUMBLOB NOT NULL,
    providers TINYINT NOT NULL
) ENGINE = InnoDB;

-- Users who are woken together. standing: 0 provisional, 1 active, 2 survivors.
CREATE TABLE IF NOT EXISTS cohorts (
    id       BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    stratum  BIGINT NOT NULL,
    standing TINYINT NOT NULL,
    formed   INT NOT NULL,
    live     INT NOT NULL,
    paid_at  BIGINT,
    KEY cohorts_standing (standing, stratum, live),
    KEY cohorts_paid (paid_at)
) ENGINE = InnoDB;

-- Who is in them. member is a keyed hash of the name; a ghost has no name. lacks: providers at which a member has no device any more.
CREATE TABLE IF NOT EXISTS members (
    id        BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    member    BINARY(16) NOT NULL,
    cohort    BIGINT NOT NULL,
    user_name VARBINARY(255),
    lacks     TINYINT NOT NULL DEFAULT 0,
    is_ghost  TINYINT AS (user_name IS NULL) PERSISTENT,
    UNIQUE KEY members_member (member, cohort),
    KEY members_cohort (cohort, member),
    KEY members_ghosts (is_ghost)
) ENGINE = InnoDB;

-- Where users of a cohort are that was in place of another.
CREATE TABLE IF NOT EXISTS successors (
    cohort    BIGINT NOT NULL,
    successor BIGINT NOT NULL,
    at        BIGINT NOT NULL,
    PRIMARY KEY (cohort, successor),
    KEY successors_at (at)
) ENGINE = InnoDB;

-- Something was accepted for a cohort, or it is padding. leaves: it was decided that it leaves.
CREATE TABLE IF NOT EXISTS marks (
    cohort     BIGINT NOT NULL,
    window_end BIGINT NOT NULL,
    leaves     TINYINT NOT NULL,
    PRIMARY KEY (cohort, window_end),
    KEY marks_leaving (leaves, window_end, cohort),
    KEY marks_window (window_end)
) ENGINE = InnoDB;

-- The move of an embedded store into this database. state: 0 claimed, 1 under way, 2 over. Before it is over no server opens the database.
CREATE TABLE IF NOT EXISTS moves (
    one   TINYINT NOT NULL PRIMARY KEY,
    id    BINARY(16) NOT NULL,
    state TINYINT NOT NULL
) ENGINE = InnoDB;

-- How far that is with each table: the place of the last row that is here, as the other store packs it.
CREATE TABLE IF NOT EXISTS moved_tables (
    name     VARBINARY(32) NOT NULL PRIMARY KEY,
    reached  VARBINARY(1024),
    count    BIGINT NOT NULL,
    is_whole TINYINT NOT NULL
) ENGINE = InnoDB;
