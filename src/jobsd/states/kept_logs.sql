-- write: store pieces of the logs of some attempts, one a row, and remove old ones. Returns the
-- jobs whose logs were stored: a deleted job has no log, and a job that is being deleted is locked.
-- A piece is sent a second time only if the answer was lost; the row that counts omitted lines is
-- updated.
WITH said AS (
    SELECT job_id, attempt, began, moment, text
    FROM unnest(
        %(job_ids)s::bigint[], %(attempts)s::integer[], %(began)s::timestamptz[],
        %(moments)s::timestamptz[], %(texts)s::text[]
    ) AS said (job_id, attempt, began, moment, text)
), free AS MATERIALIZED (
    SELECT id
    FROM jobsd.jobs
    WHERE id = ANY (%(job_ids)s::bigint[] || %(old_ids)s::bigint[])
    ORDER BY id
    FOR KEY SHARE SKIP LOCKED
), removed AS (
    DELETE FROM jobsd.attempts AS known
    USING unnest(
        %(old_ids)s::bigint[], %(old_attempts)s::integer[], %(old_moments)s::timestamptz[]
    ) AS old (job_id, attempt, moment)
    WHERE known.job_id = old.job_id
        AND known.attempt = old.attempt
        AND known.ended_at = old.moment
        AND known.error IS NULL
        AND old.job_id IN (SELECT id FROM free)
), stored AS (
    INSERT INTO jobsd.attempts AS known (job_id, attempt, process, started_at, ended_at, log)
    SELECT job_id, attempt, %(process)s, began, moment, text
    FROM said
    WHERE job_id IN (SELECT id FROM free)
    ORDER BY job_id, attempt, moment
    ON CONFLICT (job_id, attempt, ended_at) DO UPDATE SET log = excluded.log
)
SELECT id
FROM free;

-- sweep: remove the logs of deleted jobs. The delete has waited for the lock of `write`, with a
-- snapshot in which there was no log yet.
DELETE FROM jobsd.attempts AS attempt
WHERE job_id = ANY (%(job_ids)s::bigint[])
    AND NOT EXISTS (SELECT FROM jobsd.jobs WHERE id = attempt.job_id);
