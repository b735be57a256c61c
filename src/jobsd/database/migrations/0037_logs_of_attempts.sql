-- What an attempt has printed and logged, where that is kept: in a row of its own, which has no error
-- and bears the moment of the attempt's start as its end, too. So it goes with the job's attempts.
ALTER TABLE jobsd.attempts ADD COLUMN log text;
ALTER TABLE jobsd.attempts ALTER COLUMN error DROP NOT NULL;
