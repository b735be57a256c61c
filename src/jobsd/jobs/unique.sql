-- forget: check the next keys, and delete the expired ones and those whose job has ended or no
-- longer exists. Returns the last key that was checked, and the number of deleted keys. A key that
-- was just taken again belongs to another job: it stays. The key of a failed job stays, too,
-- because the job may be retried; so does the key of a job that was enqueued behind a waiting one.
WITH seen AS MATERIALIZED (
    SELECT key, job_id, until, ends_at, before_id
    FROM jobsd.unique_jobs
    WHERE key > %(after)s
    ORDER BY key
    LIMIT %(limit)s
), over AS MATERIALIZED (
    SELECT seen.key, seen.job_id
    FROM seen
    LEFT JOIN jobsd.jobs AS job ON job.id = seen.job_id
    WHERE CASE
        WHEN seen.until IS NULL THEN seen.ends_at <= now()
        WHEN job.id IS NULL OR job.outcome IS NOT NULL THEN true
        ELSE seen.until = 'started' AND job.unique_until IS NULL
    END
        AND (seen.before_id IS NULL OR NOT EXISTS (
            SELECT FROM jobsd.jobs AS before
            WHERE before.id = seen.before_id
                AND before.outcome IS NULL
                AND before.unique_until = 'started'
        ))
), gone AS (
    DELETE FROM jobsd.unique_jobs
    WHERE ctid = ANY (ARRAY(
        SELECT held.ctid
        FROM over
        JOIN jobsd.unique_jobs AS held ON held.key = over.key AND held.job_id = over.job_id
        FOR UPDATE OF held SKIP LOCKED
    ))
    RETURNING key
)
SELECT (SELECT max(key) FROM seen), (SELECT count(*) FROM gone);
