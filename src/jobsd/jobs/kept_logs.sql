-- write: write what some attempts have said until now. Returns the jobs of which it was written: one
-- that is gone has no log, and one that is being removed is locked.
WITH said AS (
    SELECT job_id, attempt, began, log
    FROM unnest(
        %(job_ids)s::bigint[], %(attempts)s::integer[], %(began)s::timestamptz[],
        %(logs)s::text[]
    ) AS said (job_id, attempt, began, log)
), free AS MATERIALIZED (
    SELECT id
    FROM jobsd.jobs
    WHERE id = ANY (%(job_ids)s::bigint[])
    ORDER BY id
    FOR KEY SHARE SKIP LOCKED
)
INSERT INTO jobsd.attempts AS known (job_id, attempt, process, started_at, ended_at, log)
SELECT job_id, attempt, %(process)s, began, began, log
FROM said
WHERE job_id IN (SELECT id FROM free)
ORDER BY job_id, attempt, began
ON CONFLICT (job_id, attempt, ended_at) DO UPDATE SET log = excluded.log
RETURNING job_id, attempt;

-- sweep: remove the logs of jobs that are gone. Whoever removed them has waited for the lock of
-- `write`, with a snapshot in which there was no log yet.
DELETE FROM jobsd.attempts AS attempt
WHERE job_id = ANY (%(job_ids)s::bigint[])
    AND NOT EXISTS (SELECT FROM jobsd.jobs WHERE id = attempt.job_id);
