-- The last window that was closed when what is scheduled was accepted: only where users went since concerns it.
ALTER TABLE scheduled ADD COLUMN since INTEGER NOT NULL DEFAULT 0;

-- At which providers the users of a stratum are woken: 1 apns, 2 fcm, 4 webpush.
ALTER TABLE strata ADD COLUMN providers INTEGER NOT NULL DEFAULT 0;
UPDATE strata SET providers =
    (('|' || name) LIKE '%|apns.%') + 2 * (('|' || name) LIKE '%|fcm.%') + 4 * (('|' || name) LIKE '%|webpush.%');

-- Those of them at which a member has no device any more. Whoever lacks one is not among the live of their cohort.
ALTER TABLE members ADD COLUMN lacks INTEGER NOT NULL DEFAULT 0;

-- Everybody is to be looked at anew.
UPDATE state SET enrolled = 0;

-- Those who wait are given out in the order of their keys.
DROP INDEX members_cohort;
CREATE INDEX members_cohort ON members (cohort, key);
