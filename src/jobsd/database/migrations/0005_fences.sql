-- Ids that never come again, and jobs that are in no table.
--
-- When a database goes back in time (a standby that was behind is promoted, a backup is
-- restored), its sequences give out again what they gave before. Whoever has missed it, behind
-- a pooler or stopped, then holds an id that is somebody else's by now. So what claims and
-- processes are known by is drawn at random: old programs draw so too, since it is the default.

-- Draw an id: 52 random bits, above all that a sequence has given, and exact in JSON.
CREATE FUNCTION jobsd.random_id() RETURNS bigint
LANGUAGE sql VOLATILE PARALLEL SAFE
RETURN (hashtextextended(gen_random_uuid()::text, 0) & 4503599627370495) | 4503599627370496;

ALTER TABLE jobsd.claims ALTER COLUMN id DROP IDENTITY;
ALTER TABLE jobsd.claims ALTER COLUMN id SET DEFAULT jobsd.random_id();
ALTER TABLE jobsd.processes ALTER COLUMN id DROP IDENTITY;
ALTER TABLE jobsd.processes ALTER COLUMN id SET DEFAULT jobsd.random_id();

-- Jobs that were found in no table, until somebody discards or retries them.
CREATE TABLE jobsd.lost_jobs (
    job_id bigint PRIMARY KEY,
    found_at timestamptz NOT NULL DEFAULT now()
);

-- How far the walk over all jobs has come that looks for lost ones: one row, or none before the
-- first. `after_id` is null between two walks; whoever has taken a step lately is the walker.
CREATE TABLE jobsd.lost_walk (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    walker bigint,
    stepped_at timestamptz,
    after_id bigint,
    began_at timestamptz,
    ended_at timestamptz,
    -- Somebody has seen an outage; and the start of the server that the last walk began on.
    asked_at timestamptz,
    server_started_at timestamptz
)
WITH (fillfactor = 50);

-- What was found and still is in no table.
CREATE VIEW jobsd.lost_executions AS
    SELECT lost.job_id, lost.found_at
    FROM jobsd.lost_jobs AS lost
    JOIN jobsd.jobs AS job ON job.id = lost.job_id
    WHERE job.outcome IS NULL
        AND NOT EXISTS (SELECT FROM jobsd.ready_executions AS r WHERE r.job_id = job.id)
        AND NOT EXISTS (SELECT FROM jobsd.scheduled_executions AS s WHERE s.job_id = job.id)
        AND NOT EXISTS (SELECT FROM jobsd.blocked_executions AS b WHERE b.job_id = job.id)
        AND NOT EXISTS (SELECT FROM jobsd.failed_executions AS f WHERE f.job_id = job.id)
        AND job.id NOT IN (SELECT job_id FROM jobsd.claimed_executions);
