-- Whether a device is to be woken on a constant beat.
ALTER TABLE subscriptions ADD COLUMN sealed INTEGER NOT NULL DEFAULT 0;

-- On which days (since 1970, UTC) how many of the subscriptions were last registered.
CREATE TABLE refresh_days (
    day   INTEGER PRIMARY KEY,
    count INTEGER NOT NULL
);
INSERT INTO refresh_days SELECT refreshed_at / 86400000, COUNT(*) FROM subscriptions GROUP BY 1;
CREATE TRIGGER subscription_came AFTER INSERT ON subscriptions BEGIN
    INSERT INTO refresh_days VALUES (NEW.refreshed_at / 86400000, 1)
    ON CONFLICT (day) DO UPDATE SET count = count + 1;
END;
CREATE TRIGGER subscription_went AFTER DELETE ON subscriptions BEGIN
    UPDATE refresh_days SET count = count - 1 WHERE day = OLD.refreshed_at / 86400000;
    DELETE FROM refresh_days WHERE day = OLD.refreshed_at / 86400000 AND count = 0;
END;
CREATE TRIGGER subscription_refreshed AFTER UPDATE OF refreshed_at ON subscriptions
WHEN NEW.refreshed_at / 86400000 <> OLD.refreshed_at / 86400000 BEGIN
    UPDATE refresh_days SET count = count - 1 WHERE day = OLD.refreshed_at / 86400000;
    DELETE FROM refresh_days WHERE day = OLD.refreshed_at / 86400000 AND count = 0;
    INSERT INTO refresh_days VALUES (NEW.refreshed_at / 86400000, 1)
    ON CONFLICT (day) DO UPDATE SET count = count + 1;
END;
