-- move: give waiting jobs another queue, another priority or both; returns the moved jobs.
SELECT id, unblocked
FROM jobsd.move_jobs(%(ids)s::bigint[], %(queue_name)s::text, %(priority)s::integer);

-- run: make scheduled jobs due now; a dispatcher makes them ready within seconds.
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
