-- move: give some jobs that wait another queue, another priority or both. A ready one gets a place
-- behind what workers have passed already; one of a class that no worker knew is met anew, in the
-- other queue. Says which were moved, and the key of a limited one that was ready: others may come
-- before it now. What somebody else has locked is skipped: a worker is just claiming it.
WITH scheduled AS (
    UPDATE jobsd.scheduled_executions
    SET
        queue_name = coalesce(%(queue_name)s::text, queue_name),
        priority = coalesce(%(priority)s::integer, priority)
    WHERE ctid = ANY (ARRAY(
        SELECT ctid
        FROM jobsd.scheduled_executions
        WHERE job_id = ANY (%(ids)s::bigint[])
        ORDER BY job_id
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING job_id, NULL::text AS wakes, NULL::text AS key
), ready AS (
    UPDATE jobsd.ready_executions
    SET
        queue_name = coalesce(%(queue_name)s::text, queue_name),
        priority = coalesce(%(priority)s::integer, priority),
        position = nextval('jobsd.jobs_id_seq')
    WHERE ctid = ANY (ARRAY(
        SELECT ctid
        FROM jobsd.ready_executions
        WHERE job_id = ANY (%(ids)s::bigint[])
        ORDER BY job_id
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING job_id, 'ready ' || queue_name AS wakes, NULL::text AS key
), parked AS (
    DELETE FROM jobsd.parked_executions
    WHERE ctid = ANY (ARRAY(
        SELECT ctid
        FROM jobsd.parked_executions
        WHERE job_id = ANY (%(ids)s::bigint[])
        ORDER BY job_id
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING job_id, queue_name, priority
), met_anew AS (
    INSERT INTO jobsd.ready_executions (job_id, position, priority, queue_name)
    SELECT
        job_id, nextval('jobsd.jobs_id_seq'),
        coalesce(%(priority)s::integer, priority),
        coalesce(%(queue_name)s::text, queue_name)
    FROM parked
    RETURNING job_id, 'ready ' || queue_name AS wakes, NULL::text AS key
), blocked AS (
    UPDATE jobsd.blocked_executions
    SET
        queue_name = coalesce(%(queue_name)s::text, queue_name),
        priority = coalesce(%(priority)s::integer, priority),
        position = CASE
            WHEN position IS NOT NULL THEN nextval('jobsd.jobs_id_seq')
        END
    WHERE ctid = ANY (ARRAY(
        SELECT ctid
        FROM jobsd.blocked_executions
        WHERE job_id = ANY (%(ids)s::bigint[])
        ORDER BY job_id
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING
        job_id,
        'limited ' || queue_name AS wakes,
        CASE WHEN position IS NOT NULL THEN concurrency_key END AS key
), moved AS (
    SELECT job_id, wakes, key FROM scheduled
    UNION ALL
    SELECT job_id, wakes, key FROM ready
    UNION ALL
    SELECT job_id, wakes, key FROM met_anew
    UNION ALL
    SELECT job_id, wakes, key FROM blocked
), job AS (
    UPDATE jobsd.jobs
    SET
        queue_name = coalesce(%(queue_name)s::text, queue_name),
        priority = coalesce(%(priority)s::integer, priority)
    WHERE id = ANY (ARRAY(SELECT job_id FROM moved))
    RETURNING id
), woken AS (
    SELECT pg_notify('jobsd.wake', payloads.wakes)
    FROM (SELECT DISTINCT wakes FROM moved WHERE wakes IS NOT NULL) AS payloads
    WHERE EXISTS (SELECT FROM jobsd.sleepers WHERE kind = 'worker')
)
SELECT job.id, moved.key, (SELECT count(*) FROM woken)
FROM job
JOIN moved ON moved.job_id = job.id
ORDER BY job.id;

-- run: let some scheduled jobs be due now; a dispatcher makes them ready within seconds.
UPDATE jobsd.scheduled_executions
SET scheduled_at = now()
WHERE ctid = ANY (ARRAY(
    SELECT ctid
    FROM jobsd.scheduled_executions
    WHERE job_id = ANY (%(ids)s::bigint[])
    ORDER BY job_id
    FOR UPDATE SKIP LOCKED
))
RETURNING job_id;
