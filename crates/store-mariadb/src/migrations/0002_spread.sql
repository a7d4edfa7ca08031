-- The windows over which what is scheduled is spread, by their ends: eight bytes each, little-endian.
ALTER TABLE scheduled ADD COLUMN IF NOT EXISTS spread VARBINARY(512) NOT NULL DEFAULT '';

-- How many notifications are scheduled, and whom they name: the sums are what counts.
ALTER TABLE lanes ADD COLUMN IF NOT EXISTS scheduled BIGINT NOT NULL DEFAULT 0, ADD COLUMN IF NOT EXISTS named BIGINT NOT NULL DEFAULT 0;
UPDATE lanes SET scheduled = (SELECT COUNT(*) FROM scheduled), named = (SELECT COALESCE(SUM(named), 0) FROM scheduled) WHERE id = 0;

-- How many devices of a credential set were last registered on a day, since 1970: the sums over all lanes are what counts.
CREATE TABLE IF NOT EXISTS device_counts (
    set_id INT NOT NULL,
    day    INT NOT NULL,
    lane   SMALLINT NOT NULL,
    count  BIGINT NOT NULL,
    PRIMARY KEY (set_id, day, lane)
) ENGINE = InnoDB;
REPLACE INTO device_counts SELECT set_id, refresh_day, 0, COUNT(*) FROM subscriptions GROUP BY set_id, refresh_day;
