-- retake: take the unique keys of failed jobs again; returns which of them can't be retried,
-- and which jobs have their keys.
SELECT job_id, present
FROM jobsd.retake_unique(%(ids)s::bigint[]);

-- taken: return the job that has the unique key of a failed one, if it prevents a retry.
SELECT held.job_id
FROM jobsd.jobs AS job
JOIN jobsd.unique_jobs AS held ON held.key = job.unique_key
WHERE job.id = %(id)s AND job.unique_until = 'finished' AND held.job_id <> job.id;

-- retry: let some failed jobs run again with all their attempts; their errors are kept. Their
-- waiting time starts now, and so does the time after which they expire. Rows that another
-- session has locked are skipped.
WITH picked AS (
    SELECT ctid AS place
    FROM jobsd.failed_executions
    WHERE job_id = ANY (%(ids)s::bigint[])
    ORDER BY job_id
    FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM jobsd.failed_executions
    WHERE ctid = ANY (ARRAY(SELECT place FROM picked))
    RETURNING job_id
), job AS (
    UPDATE jobsd.jobs
    SET attempts = 0, scheduled_at = now()
    WHERE id = ANY (ARRAY(SELECT job_id FROM gone))
    RETURNING id, queue_name, priority, concurrency_key, concurrency_limit, expires_in
), expiring AS (
    INSERT INTO jobsd.expirations AS known (job_id, expires_at)
    SELECT id, clock_timestamp() + expires_in
    FROM job
    WHERE expires_in IS NOT NULL
    ON CONFLICT (job_id) DO UPDATE SET expires_at = excluded.expires_at
), ordered AS (
    SELECT id, queue_name, priority
    FROM job
    WHERE concurrency_key IS NULL
    ORDER BY id
), ready AS (
    INSERT INTO jobsd.ready_executions (job_id, position, priority, queue_name)
    SELECT id, nextval('jobsd.jobs_id_seq'), priority, queue_name
    FROM ordered
    ON CONFLICT (job_id) DO NOTHING -- put there by somebody's hand
), blocked AS (
    INSERT INTO jobsd.blocked_executions (
        job_id, priority, queue_name, concurrency_key, concurrency_limit
    )
    SELECT id, priority, queue_name, concurrency_key, concurrency_limit
    FROM job
    WHERE concurrency_key IS NOT NULL
    ORDER BY id
    ON CONFLICT (job_id) DO NOTHING -- put there by somebody's hand
), woken AS (
    SELECT pg_notify('jobsd.wake', payload)
    FROM (
        SELECT 'ready ' || queue_name AS payload FROM job WHERE concurrency_key IS NULL
        UNION
        SELECT 'limited ' || queue_name FROM job WHERE concurrency_key IS NOT NULL
    ) AS payloads
    WHERE EXISTS (SELECT FROM jobsd.sleepers WHERE kind = 'worker')
)
SELECT id, (SELECT count(*) FROM woken)
FROM job
ORDER BY id;
