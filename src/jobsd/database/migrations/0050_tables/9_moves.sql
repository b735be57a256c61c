-- Give waiting jobs another queue, another priority or both; returns the moved jobs. A ready job
-- goes behind all that workers have passed already; one of a class that no worker knows is ready
-- again, in the other queue. If a limited job was ready, others of its key may come before it now.
-- Rows that another session has locked are skipped: a worker is claiming them.
CREATE FUNCTION jobsd.move_jobs(wanted bigint[], to_queue text, to_priority integer)
RETURNS TABLE (id bigint, unblocked bigint)
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
    ids bigint[];
    keys text[];
    unparked bigint[];
BEGIN
    WITH scheduled AS (
        UPDATE jobsd.scheduled_executions
        SET
            queue_name = coalesce(to_queue, queue_name),
            priority = coalesce(to_priority, priority)
        WHERE ctid = ANY (ARRAY(
            SELECT ctid
            FROM jobsd.scheduled_executions
            WHERE job_id = ANY (wanted)
            ORDER BY job_id
            FOR UPDATE SKIP LOCKED
        ))
        RETURNING job_id, NULL::text AS wakes, NULL::text AS key
    ), ready AS (
        UPDATE jobsd.ready_executions
        SET
            queue_name = coalesce(to_queue, queue_name),
            priority = coalesce(to_priority, priority),
            position = nextval('jobsd.jobs_id_seq')
        WHERE ctid = ANY (ARRAY(
            SELECT ctid
            FROM jobsd.ready_executions
            WHERE job_id = ANY (wanted)
            ORDER BY job_id
            FOR UPDATE SKIP LOCKED
        ))
        RETURNING job_id, 'ready ' || queue_name AS wakes, NULL::text AS key
    ), parked AS (
        DELETE FROM jobsd.parked_executions
        WHERE ctid = ANY (ARRAY(
            SELECT ctid
            FROM jobsd.parked_executions
            WHERE job_id = ANY (wanted)
            ORDER BY job_id
            FOR UPDATE SKIP LOCKED
        ))
        RETURNING job_id, NULL::text AS wakes, NULL::text AS key
    ), blocked AS (
        UPDATE jobsd.blocked_executions
        SET
            queue_name = coalesce(to_queue, queue_name),
            priority = coalesce(to_priority, priority),
            position = CASE
                WHEN position IS NOT NULL THEN nextval('jobsd.jobs_id_seq')
            END
        WHERE ctid = ANY (ARRAY(
            SELECT ctid
            FROM jobsd.blocked_executions
            WHERE job_id = ANY (wanted)
            ORDER BY job_id
            FOR UPDATE SKIP LOCKED
        ))
        RETURNING
            job_id,
            'limited ' || queue_name AS wakes,
            CASE WHEN position IS NOT NULL THEN concurrency_key END AS key
    ), moved AS (
        SELECT job_id, wakes, key, false AS was_parked FROM scheduled
        UNION ALL
        SELECT job_id, wakes, key, false FROM ready
        UNION ALL
        SELECT job_id, wakes, key, true FROM parked
        UNION ALL
        SELECT job_id, wakes, key, false FROM blocked
    ), job AS (
        UPDATE jobsd.jobs
        SET
            queue_name = coalesce(to_queue, queue_name),
            priority = coalesce(to_priority, priority)
        WHERE id = ANY (ARRAY(SELECT job_id FROM moved))
        RETURNING id
    ), woken AS (
        SELECT pg_notify('jobsd.wake', payloads.wakes)
        FROM (SELECT DISTINCT wakes FROM moved WHERE wakes IS NOT NULL) AS payloads
    )
    SELECT
        array_agg(job.id ORDER BY job.id), array_agg(moved.key),
        array_agg(job.id ORDER BY job.id) FILTER (WHERE moved.was_parked)
    INTO ids, keys, unparked
    FROM job
    JOIN moved ON moved.job_id = job.id
    WHERE (SELECT count(*) FROM woken) IS NOT NULL;
    PERFORM jobsd.place_jobs(unparked, always => true);
    unblocked := jobsd.hand_over(keys, true);
    RETURN QUERY SELECT each.id, unblocked FROM unnest(ids) AS each (id);
END
$$;
