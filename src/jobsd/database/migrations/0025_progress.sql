-- How far a job has come, as it says itself; NULL for most. No index: the row is changed in place.
ALTER TABLE jobsd.jobs ADD COLUMN progress jsonb;
