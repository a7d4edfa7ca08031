-- How many of the subscriptions are of a credential set and topic ('' for none).
CREATE TABLE device_kinds (
    set_id INTEGER NOT NULL,
    topic  TEXT NOT NULL,
    count  INTEGER NOT NULL,
    PRIMARY KEY (set_id, topic)
) WITHOUT ROWID;
INSERT INTO device_kinds
SELECT set_id, COALESCE(topic, ''), COUNT(*) FROM subscriptions GROUP BY 1, 2;
CREATE TRIGGER subscription_kind_came AFTER INSERT ON subscriptions BEGIN
    INSERT INTO device_kinds VALUES (NEW.set_id, COALESCE(NEW.topic, ''), 1)
    ON CONFLICT (set_id, topic) DO UPDATE SET count = count + 1;
END;
CREATE TRIGGER subscription_kind_went AFTER DELETE ON subscriptions BEGIN
    UPDATE device_kinds SET count = count - 1 WHERE set_id = OLD.set_id AND topic = COALESCE(OLD.topic, '');
END;
CREATE TRIGGER subscription_kind_changed AFTER UPDATE OF set_id, topic ON subscriptions
WHEN NEW.set_id <> OLD.set_id OR NEW.topic IS NOT OLD.topic BEGIN
    UPDATE device_kinds SET count = count - 1 WHERE set_id = OLD.set_id AND topic = COALESCE(OLD.topic, '');
    INSERT INTO device_kinds VALUES (NEW.set_id, COALESCE(NEW.topic, ''), 1)
    ON CONFLICT (set_id, topic) DO UPDATE SET count = count + 1;
END;
