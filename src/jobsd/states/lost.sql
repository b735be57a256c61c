-- some: return which of some jobs are in no table.
SELECT job_id
FROM jobsd.lost_executions
WHERE job_id = ANY (%(ids)s::bigint[])
ORDER BY job_id;

-- lock: lock some jobs that have not ended, before they are checked again and changed. Jobs that
-- another session has locked are skipped: it is changing them.
SELECT id
FROM jobsd.jobs
WHERE id = ANY (%(ids)s::bigint[])
    AND outcome IS NULL
ORDER BY id
FOR UPDATE SKIP LOCKED;

-- free: return those of some lost jobs that no worker runs, as the heartbeats say.
SELECT lost.id
FROM unnest(%(ids)s::bigint[]) AS lost (id)
WHERE NOT EXISTS (
    SELECT FROM jobsd.processes WHERE running ? lost.id::text
)
ORDER BY lost.id;

-- ready: make some lost jobs ready again, with all of their attempts left. Their `scheduled_at`
-- is now, so how long they have waited is measured from now.
WITH job AS (
    UPDATE jobsd.jobs
    SET attempts = 0, scheduled_at = now()
    WHERE id = ANY (%(ids)s::bigint[])
    RETURNING id, queue_name, priority, concurrency_key, concurrency_limit
), ordered AS (
    SELECT id, queue_name, priority
    FROM job
    WHERE concurrency_key IS NULL
    ORDER BY id
), ready AS (
    INSERT INTO jobsd.ready_executions (job_id, position, priority, queue_name)
    SELECT id, nextval('jobsd.jobs_id_seq'), priority, queue_name
    FROM ordered
), blocked AS (
    INSERT INTO jobsd.blocked_executions (
        job_id, queue_name, priority, concurrency_key, concurrency_limit
    )
    SELECT id, queue_name, priority, concurrency_key, concurrency_limit
    FROM job
    WHERE concurrency_key IS NOT NULL
    ORDER BY id
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

-- drop: discard some lost jobs.
WITH kept AS (
    UPDATE jobsd.jobs
    SET finished_at = now(), outcome = 'discarded'
    WHERE id = ANY (%(ids)s::bigint[]) AND %(keep)s
), erased AS (
    DELETE FROM jobsd.jobs
    WHERE id = ANY (%(ids)s::bigint[]) AND NOT %(keep)s
    RETURNING id, class_name, created_at
), attempt AS (
    DELETE FROM jobsd.attempts
    WHERE job_id = ANY (%(ids)s::bigint[]) AND NOT %(keep)s
)
SELECT
    lost.id,
    (
        SELECT CASE WHEN count(*) > 0 THEN jobsd.keep_ends(
            array_agg(id), array_agg(class_name), array_agg(created_at)
        ) END
        FROM erased
    )
FROM unnest(%(ids)s::bigint[]) AS lost (id)
ORDER BY lost.id;
