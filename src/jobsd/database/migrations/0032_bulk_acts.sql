-- Of an act on many jobs: how many are meant, and how many were left alone.
ALTER TABLE jobsd.audit ADD COLUMN wanted bigint;
ALTER TABLE jobsd.audit ADD COLUMN skipped bigint NOT NULL DEFAULT 0;
