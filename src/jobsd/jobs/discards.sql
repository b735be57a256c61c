-- discard: end some jobs that are scheduled, ready, blocked or failed, wherever they are, and
-- free their slots. Says which they were, and the keys whose slots are free: promoting is
-- for the statement behind. What somebody else has locked is skipped: a worker is just
-- claiming it.
WITH scheduled AS (
    DELETE FROM jobsd.scheduled_executions
    WHERE ctid = ANY (ARRAY(
        SELECT ctid
        FROM jobsd.scheduled_executions
        WHERE job_id = ANY (%(ids)s::bigint[])
        ORDER BY job_id
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING job_id
), ready AS (
    DELETE FROM jobsd.ready_executions
    WHERE ctid = ANY (ARRAY(
        SELECT ctid
        FROM jobsd.ready_executions
        WHERE job_id = ANY (%(ids)s::bigint[])
        ORDER BY job_id
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING job_id
), parked AS (
    DELETE FROM jobsd.parked_executions
    WHERE ctid = ANY (ARRAY(
        SELECT ctid
        FROM jobsd.parked_executions
        WHERE job_id = ANY (%(ids)s::bigint[])
        ORDER BY job_id
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING job_id
), blocked AS (
    DELETE FROM jobsd.blocked_executions
    WHERE ctid = ANY (ARRAY(
        SELECT ctid
        FROM jobsd.blocked_executions
        WHERE job_id = ANY (%(ids)s::bigint[])
        ORDER BY job_id
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING job_id
), failed AS (
    DELETE FROM jobsd.failed_executions
    WHERE ctid = ANY (ARRAY(
        SELECT ctid
        FROM jobsd.failed_executions
        WHERE job_id = ANY (%(ids)s::bigint[])
        ORDER BY job_id
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING job_id
), gone AS (
    SELECT job_id, 'scheduled' AS state FROM scheduled
    UNION ALL
    SELECT job_id, 'ready' FROM ready
    UNION ALL
    SELECT job_id, 'ready' FROM parked
    UNION ALL
    SELECT job_id, 'blocked' FROM blocked
    UNION ALL
    SELECT job_id, 'failed' FROM failed
), freed AS (
    DELETE FROM jobsd.concurrency_slots
    WHERE job_id = ANY (ARRAY(SELECT job_id FROM gone))
    RETURNING job_id, key
), kept AS (
    UPDATE jobsd.jobs
    SET finished_at = now(), outcome = 'discarded'
    WHERE id = ANY (ARRAY(SELECT job_id FROM gone)) AND %(keep)s
), erased AS (
    DELETE FROM jobsd.jobs
    WHERE id = ANY (ARRAY(SELECT job_id FROM gone)) AND NOT %(keep)s
), attempt AS (
    DELETE FROM jobsd.attempts
    WHERE job_id = ANY (ARRAY(SELECT job_id FROM gone)) AND NOT %(keep)s
)
SELECT gone.job_id, gone.state, freed.key
FROM gone
LEFT JOIN freed ON freed.job_id = gone.job_id
ORDER BY gone.job_id;
