-- discard: end some jobs that are scheduled, ready, blocked or, if so wanted, failed. Says
-- which they were, and the keys of limited ones that were ready: others may wait behind them, and
-- are handed over to by the statement behind. What somebody else has locked is skipped: a worker
-- is just claiming it.
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
    RETURNING job_id, CASE WHEN position IS NOT NULL THEN concurrency_key END AS key
), failed AS (
    DELETE FROM jobsd.failed_executions
    WHERE ctid = ANY (ARRAY(
        SELECT ctid
        FROM jobsd.failed_executions
        WHERE job_id = ANY (%(ids)s::bigint[]) AND %(failed)s
        ORDER BY job_id
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING job_id
), gone AS (
    SELECT job_id, 'scheduled' AS state, NULL::text AS key FROM scheduled
    UNION ALL
    SELECT job_id, 'ready', NULL FROM ready
    UNION ALL
    SELECT job_id, 'ready', NULL FROM parked
    UNION ALL
    SELECT job_id, CASE WHEN key IS NULL THEN 'blocked' ELSE 'ready' END, key FROM blocked
    UNION ALL
    SELECT job_id, 'failed', NULL FROM failed
), kept AS (
    UPDATE jobsd.jobs
    SET finished_at = now(), outcome = 'discarded', reason = %(reason)s::text
    WHERE id = ANY (ARRAY(SELECT job_id FROM gone)) AND %(keep)s
), erased AS (
    DELETE FROM jobsd.jobs
    WHERE id = ANY (ARRAY(SELECT job_id FROM gone)) AND NOT %(keep)s
    RETURNING id, class_name, created_at
), attempt AS (
    DELETE FROM jobsd.attempts
    WHERE job_id = ANY (ARRAY(SELECT job_id FROM gone)) AND NOT %(keep)s
)
SELECT
    job_id, state, key,
    (
        SELECT CASE WHEN count(*) > 0 THEN jobsd.keep_ends(
            array_agg(id), array_agg(class_name), array_agg(created_at)
        ) END
        FROM erased
    )
FROM gone
ORDER BY job_id;
