-- The functions that discard waiting and failed jobs, for SQL, for all commands and for expiry.

-- Discard jobs that wait, and failed ones with `with_failed`; returns the state that each had.
-- Without `keep` their rows go. The next jobs of their keys become ready. Rows that another session
-- has locked are skipped: a worker is claiming them.
CREATE FUNCTION jobsd.discard_jobs(
    wanted bigint[], keep boolean, why text, with_failed boolean
) RETURNS TABLE (id bigint, was text, unblocked bigint)
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
    ids bigint[];
    states text[];
    keys text[];
BEGIN
    WITH scheduled AS (
        DELETE FROM jobsd.scheduled_executions
        WHERE ctid = ANY (ARRAY(
            SELECT ctid
            FROM jobsd.scheduled_executions
            WHERE job_id = ANY (wanted)
            ORDER BY job_id
            FOR UPDATE SKIP LOCKED
        ))
        RETURNING job_id
    ), ready AS (
        DELETE FROM jobsd.ready_executions
        WHERE ctid = ANY (ARRAY(
            SELECT ctid
            FROM jobsd.ready_executions
            WHERE job_id = ANY (wanted)
            ORDER BY job_id
            FOR UPDATE SKIP LOCKED
        ))
        RETURNING job_id
    ), parked AS (
        DELETE FROM jobsd.parked_executions
        WHERE ctid = ANY (ARRAY(
            SELECT ctid
            FROM jobsd.parked_executions
            WHERE job_id = ANY (wanted)
            ORDER BY job_id
            FOR UPDATE SKIP LOCKED
        ))
        RETURNING job_id
    ), blocked AS (
        DELETE FROM jobsd.blocked_executions
        WHERE ctid = ANY (ARRAY(
            SELECT ctid
            FROM jobsd.blocked_executions
            WHERE job_id = ANY (wanted)
            ORDER BY job_id
            FOR UPDATE SKIP LOCKED
        ))
        RETURNING job_id, CASE WHEN position IS NOT NULL THEN concurrency_key END AS key
    ), failed AS (
        DELETE FROM jobsd.failed_executions
        WHERE ctid = ANY (ARRAY(
            SELECT ctid
            FROM jobsd.failed_executions
            WHERE job_id = ANY (wanted) AND with_failed
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
    )
    SELECT array_agg(job_id), array_agg(state), array_agg(key) INTO ids, states, keys FROM gone;
    PERFORM jobsd.end_jobs(ids, keep, why);
    unblocked := jobsd.hand_over(keys, true);
    RETURN QUERY
        SELECT each.id, each.state, unblocked FROM unnest(ids, states) AS each (id, state);
END
$$;

-- Discard a job that waits or has failed, as `bin/jobs discard` does; returns the state that it
-- had. A job that another session has locked is tried again for two seconds.
CREATE FUNCTION jobsd.discard(job_id bigint, keep boolean DEFAULT true) RETURNS text
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
#variable_conflict use_variable
DECLARE
    had text;
    is_held boolean := true;
BEGIN
    FOR attempt IN 1 .. 100 LOOP
        SELECT each.was INTO had FROM jobsd.discard_jobs(ARRAY[job_id], keep, NULL, true) AS each;
        IF FOUND THEN
            RETURN had;
        END IF;
        -- Try once more when it is not held: the lock may have gone just before.
        EXIT WHEN NOT is_held;
        is_held := jobsd.holders_of(job_id) IS NOT NULL;
        PERFORM pg_sleep(0.02);
    END LOOP;
    PERFORM jobsd.refuse('discard', job_id);
END
$$;
