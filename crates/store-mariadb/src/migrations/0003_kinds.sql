-- How many devices are of a credential set and topic ('' for none): the sums over all lanes are what counts.
CREATE TABLE IF NOT EXISTS device_kinds (
    set_id INT NOT NULL,
    topic  VARBINARY(255) NOT NULL,
    lane   SMALLINT NOT NULL,
    count  BIGINT NOT NULL,
    PRIMARY KEY (set_id, topic, lane)
) ENGINE = InnoDB;
REPLACE INTO device_kinds SELECT set_id, COALESCE(topic, ''), 0, COUNT(*) FROM subscriptions GROUP BY set_id, COALESCE(topic, '');
