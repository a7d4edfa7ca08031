-- Up to when a user has seen the alerts (0) and the messages (1) of their inbox.
CREATE TABLE seen (
    user_name TEXT NOT NULL,
    section   INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    PRIMARY KEY (user_name, section)
) WITHOUT ROWID;
CREATE INDEX seen_at ON seen (at);

-- At which providers delivery is halted, by an operator's word: 1 apns, 2 fcm, 4 webpush.
ALTER TABLE state ADD COLUMN halted INTEGER NOT NULL DEFAULT 0;
