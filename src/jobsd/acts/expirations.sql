-- due: list the next expired jobs after the last one seen, and lock their rows. A session that
-- extends the time of one of these jobs waits for us; a row that another session is changing is
-- skipped. The queue is NULL if the job has ended, has failed or no longer exists.
SELECT
    expiration.job_id, expiration.expires_at,
    CASE WHEN job.outcome IS NULL AND failed.job_id IS NULL THEN job.queue_name END
FROM (
    SELECT job_id, expires_at
    FROM jobsd.expirations
    WHERE expires_at <= now()
        AND (expires_at, job_id) > (%(after_time)s::timestamptz, %(after_id)s::bigint)
    ORDER BY expires_at, job_id
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
) AS expiration
LEFT JOIN jobsd.jobs AS job ON job.id = expiration.job_id
LEFT JOIN jobsd.failed_executions AS failed ON failed.job_id = expiration.job_id
ORDER BY expiration.expires_at, expiration.job_id;

-- settle: delete the expirations of these jobs.
DELETE FROM jobsd.expirations
WHERE job_id = ANY (%(ids)s::bigint[])
RETURNING job_id;

-- ended: return whether all of these jobs have ended or no longer exist.
SELECT NOT EXISTS (
    SELECT
    FROM jobsd.jobs
    WHERE id = ANY (%(ids)s::bigint[])
        AND outcome IS NULL
);

-- forget: check the next jobs, and delete the expirations of jobs that have ended in time or no
-- longer exist. Returns the last job that was checked.
WITH seen AS MATERIALIZED (
    SELECT job_id
    FROM jobsd.expirations
    WHERE job_id > %(after)s
    ORDER BY job_id
    LIMIT %(limit)s
), over AS MATERIALIZED (
    SELECT seen.job_id
    FROM seen
    LEFT JOIN jobsd.jobs AS job ON job.id = seen.job_id
    WHERE job.id IS NULL OR job.outcome IS NOT NULL
), gone AS (
    DELETE FROM jobsd.expirations
    WHERE ctid = ANY (ARRAY(
        SELECT held.ctid
        FROM over
        JOIN jobsd.expirations AS held ON held.job_id = over.job_id
        FOR UPDATE OF held SKIP LOCKED
    ))
)
SELECT max(job_id) FROM seen;
