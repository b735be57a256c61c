-- all: list all jobs that this transaction sees, in the order in which they were enqueued.
SELECT
    seen.id, seen.state, seen.class_name, seen.queue_name, seen.priority, seen.arguments::text,
    seen.attempts, seen.max_attempts, seen.created_at, seen.scheduled_at, seen.finished_at,
    job.context::text, place.position,
    extract(epoch FROM clock_timestamp() - job.created_at)::float8
FROM jobsd.job_states AS seen
JOIN jobsd.jobs AS job ON job.id = seen.id
LEFT JOIN jobsd.ready_executions AS place ON place.job_id = seen.id
ORDER BY seen.id;

-- dispatch: make the jobs ready that are due at a moment.
WITH due AS (
    DELETE FROM jobsd.scheduled_executions
    WHERE scheduled_at <= %(at)s::timestamptz
    RETURNING job_id, scheduled_at, priority, queue_name
), ready AS (
    INSERT INTO jobsd.ready_executions (job_id, position, priority, queue_name)
    SELECT
        due.job_id, nextval('jobsd.jobs_id_seq'), due.priority,
        due.queue_name
    FROM due
    JOIN jobsd.jobs AS job ON job.id = due.job_id
    WHERE job.concurrency_key IS NULL
    ORDER BY due.scheduled_at, due.job_id
), limited AS (
    INSERT INTO jobsd.blocked_executions (
        job_id, position, priority, queue_name, concurrency_key, concurrency_limit
    )
    SELECT
        due.job_id, due.job_id, due.priority, due.queue_name, job.concurrency_key,
        job.concurrency_limit
    FROM due
    JOIN jobsd.jobs AS job ON job.id = due.job_id
    WHERE job.concurrency_key IS NOT NULL
)
SELECT count(*) FROM due;

-- claim: claim a waiting job for no process; a limited job thereby holds its slot.
WITH ready AS (
    DELETE FROM jobsd.ready_executions WHERE job_id = %(id)s::bigint
), blocked AS (
    DELETE FROM jobsd.blocked_executions WHERE job_id = %(id)s::bigint
)
INSERT INTO jobsd.claims (process_id, job_ids, concurrency_key, slot)
SELECT
    0, ARRAY[id], concurrency_key,
    CASE WHEN concurrency_key IS NOT NULL THEN (
        SELECT coalesce(max(other.slot), 0) + 1
        FROM jobsd.claims AS other
        WHERE other.concurrency_key = job.concurrency_key
    ) END
FROM jobsd.jobs AS job
WHERE id = %(id)s::bigint
RETURNING id;
