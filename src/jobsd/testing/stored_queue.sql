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
    RETURNING job_id, scheduled_at
)
SELECT jobsd.place_jobs(array_agg(job_id ORDER BY scheduled_at, job_id))
FROM due;

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
