-- dispatch: move due jobs to their next table, in the order of their due times. Returns the seconds
-- until the next job is due, whether any jobs are blocked, and the seconds until the next job
-- expires. Ready jobs get new positions, behind those that workers have already passed. Whether a
-- limited job may wait is decided by the worker that meets it; a job that was begun or set aside
-- before is no longer discarded by its limit. Rows that another dispatcher has locked are skipped.
-- A row that another session has just changed has a new ctid that this snapshot does not show; it
-- stays until the next poll.
WITH due AS (
    SELECT ctid AS place, scheduled_at, priority, job_id
    FROM jobsd.scheduled_executions
    WHERE scheduled_at <= now()
        AND (scheduled_at, priority, job_id)
            > (%(after_at)s::timestamptz, %(after_priority)s::integer, %(after_job_id)s::bigint)
    ORDER BY scheduled_at, priority, job_id
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
), last AS (
    SELECT scheduled_at, priority, job_id
    FROM due
    ORDER BY scheduled_at DESC, priority DESC, job_id DESC
    LIMIT 1
), gone AS (
    DELETE FROM jobsd.scheduled_executions
    WHERE ctid = ANY (ARRAY(SELECT place FROM due))
    RETURNING job_id, scheduled_at, priority, queue_name, concurrency_key
), ordered AS (
    SELECT job_id, priority, queue_name
    FROM gone
    WHERE concurrency_key IS NULL
    ORDER BY scheduled_at, priority, job_id
), ready AS (
    INSERT INTO jobsd.ready_executions (job_id, position, priority, queue_name)
    SELECT job_id, nextval('jobsd.jobs_id_seq'), priority, queue_name
    FROM ordered
    ON CONFLICT (job_id) DO NOTHING -- put there by hand
), blocked AS (
    INSERT INTO jobsd.blocked_executions (
        job_id, priority, queue_name, concurrency_key, concurrency_limit, yields
    )
    SELECT
        gone.job_id, gone.priority, gone.queue_name, gone.concurrency_key,
        job.concurrency_limit,
        job.on_conflict = 'discard' AND job.attempts = 0 AND job.started_at IS NULL
            AND job.set_aside_at IS NULL
    FROM gone
    JOIN jobsd.jobs AS job ON job.id = gone.job_id
    WHERE gone.concurrency_key IS NOT NULL
    ORDER BY gone.scheduled_at, gone.priority, gone.job_id
    ON CONFLICT (job_id) DO NOTHING -- put there by hand
), woken AS (
    SELECT pg_notify('jobsd.wake', payload)
    FROM (
        SELECT 'ready ' || queue_name AS payload FROM gone WHERE concurrency_key IS NULL
        UNION
        SELECT 'limited ' || queue_name FROM gone WHERE concurrency_key IS NOT NULL
    ) AS payloads
    WHERE EXISTS (SELECT FROM jobsd.sleepers WHERE kind = 'worker')
)
SELECT
    (SELECT count(*) FROM due),
    (SELECT count(*) FROM woken),
    (
        SELECT extract(epoch FROM min(scheduled_at) - clock_timestamp())::float8
        FROM jobsd.scheduled_executions
        -- Older servers can't subtract from an infinite time.
        WHERE scheduled_at > now() AND scheduled_at < 'infinity'
    ),
    EXISTS (SELECT FROM jobsd.blocked_executions),
    (
        SELECT extract(epoch FROM min(expires_at) - clock_timestamp())::float8
        FROM jobsd.expirations
    ),
    (SELECT scheduled_at::text FROM last),
    (SELECT priority FROM last),
    (SELECT job_id FROM last),
    -- Whether a row before the last one stays, because another session has locked it.
    EXISTS (
        SELECT
        FROM jobsd.scheduled_executions
        WHERE (scheduled_at, priority, job_id)
                > (%(after_at)s::timestamptz, %(after_priority)s::integer, %(after_job_id)s::bigint)
            AND (scheduled_at, priority, job_id)
                < (SELECT scheduled_at, priority, job_id FROM last)
            AND (ctid IN (SELECT place FROM due)) IS NOT TRUE
    );
