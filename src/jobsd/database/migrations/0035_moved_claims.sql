-- A job that gets a claim of its own says from which it comes. Its process learns of the new claim a
-- moment after that is committed: when it dies before, all that it has left said of the job is said
-- of the claim before.
ALTER TABLE jobsd.claims ADD COLUMN moved_from bigint;
