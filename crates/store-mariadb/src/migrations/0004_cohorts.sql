-- Up to here it is decided which cohorts leave, and every node hears of it. `led_until` and `led_by` are of versions before this one.
ALTER TABLE state ADD COLUMN IF NOT EXISTS mustered_until BIGINT NOT NULL DEFAULT 0;
UPDATE state SET mustered_until = expanded_until WHERE mustered_until < expanded_until;

-- Whoever decides it of the windows after that; seen_at: when they were last at it, by the database's clock, in microseconds.
CREATE TABLE IF NOT EXISTS musters (
    one     TINYINT NOT NULL PRIMARY KEY,
    node    BINARY(16) NOT NULL,
    seen_at BIGINT NOT NULL
) ENGINE = InnoDB;

-- Up to where windows were closed when a mark was made: it is for whoever has left its cohort since, too. Nothing where a version before this one made it.
ALTER TABLE marks ADD COLUMN IF NOT EXISTS since BIGINT;
