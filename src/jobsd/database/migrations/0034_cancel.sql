-- Jobs can be cancelled: those that wait are discarded at once, those that are claimed are noted in
-- their claim. So the statements that end a claimed job find the note in the row that they change
-- anyway, also when it came a moment before, and jobs that nobody cancels have nothing to do with it.

-- Which of its jobs are to stop, and which of these at any price.
ALTER TABLE jobsd.claims ADD COLUMN cancelled bigint[], ADD COLUMN forced bigint[];

-- Cancel some jobs, and say of each which state it had. Those that are not named in the answer have
-- ended or are just being changed: what another transaction has locked is not waited for.
CREATE FUNCTION jobsd.cancel_jobs(wanted bigint[], force boolean, keep boolean)
RETURNS TABLE (id bigint, was text)
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
    ids bigint[];
    states text[];
    keys text[];
    running bigint[];
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
    ), gone AS (
        SELECT job_id, 'scheduled' AS state, NULL::text AS key FROM scheduled
        UNION ALL
        SELECT job_id, 'ready', NULL FROM ready
        UNION ALL
        SELECT job_id, 'ready', NULL FROM parked
        UNION ALL
        SELECT job_id, CASE WHEN key IS NULL THEN 'blocked' ELSE 'ready' END, key FROM blocked
    ), freed AS (
        -- Slots of before.
        DELETE FROM jobsd.concurrency_slots
        WHERE job_id = ANY (ARRAY(SELECT job_id FROM gone))
    ), kept AS (
        UPDATE jobsd.jobs
        SET finished_at = now(), outcome = 'discarded', reason = 'cancelled'
        WHERE id = ANY (ARRAY(SELECT job_id FROM gone)) AND keep
    ), erased AS (
        DELETE FROM jobsd.jobs
        WHERE id = ANY (ARRAY(SELECT job_id FROM gone)) AND NOT keep
    ), attempt AS (
        DELETE FROM jobsd.attempts
        WHERE job_id = ANY (ARRAY(SELECT job_id FROM gone)) AND NOT keep
    )
    SELECT array_agg(job_id), array_agg(state), array_agg(key)
    INTO ids, states, keys
    FROM gone;

    WITH held AS (
        SELECT id
        FROM jobsd.claims
        WHERE job_ids && wanted
        ORDER BY id
        FOR NO KEY UPDATE SKIP LOCKED
    ), noted AS (
        UPDATE jobsd.claims AS claim
        SET cancelled = ARRAY(
                SELECT unnest(claim.cancelled)
                UNION
                (SELECT unnest(claim.job_ids) INTERSECT SELECT unnest(wanted))
            ),
            forced = CASE
                WHEN force THEN ARRAY(
                    SELECT unnest(claim.forced)
                    UNION
                    (SELECT unnest(claim.job_ids) INTERSECT SELECT unnest(wanted))
                )
                ELSE claim.forced
            END
        FROM held
        WHERE claim.id = held.id
        RETURNING
            claim.process_id,
            ARRAY(SELECT unnest(claim.job_ids) INTERSECT SELECT unnest(wanted)) AS job_ids
    ), told AS (
        SELECT pg_notify('jobsd.wake', 'cancel ' || process_id)
        FROM (SELECT DISTINCT process_id FROM noted) AS processes
    )
    SELECT array_agg(job_id)
    INTO running
    FROM noted
    CROSS JOIN LATERAL unnest(noted.job_ids) AS job_id
    WHERE (SELECT count(*) FROM told) IS NOT NULL;

    PERFORM jobsd.hand_over(keys);
    RETURN QUERY
        SELECT each.id, each.state FROM unnest(ids, states) AS each (id, state)
        UNION ALL
        SELECT each.id, 'claimed'::text FROM unnest(running) AS each (id);
END
$$;

-- Cancel a job: one that waits is discarded, one that runs is told to stop, and discarded unless it
-- succeeds all the same; with `force` its process is ended if it does not stop in time. Returns the
-- state that it had. One that is just being moved is met again.
CREATE FUNCTION jobsd.cancel(job_id bigint, force boolean DEFAULT false) RETURNS text
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_variable
DECLARE
    had text;
BEGIN
    FOR attempt IN 1 .. 50 LOOP
        SELECT each.was INTO had FROM jobsd.cancel_jobs(ARRAY[job_id], force, true) AS each;
        IF FOUND THEN
            RETURN had;
        END IF;
        EXIT WHEN NOT EXISTS (
            SELECT FROM jobsd.jobs AS job
            WHERE job.id = job_id
                AND job.outcome IS NULL
                AND NOT EXISTS (
                    SELECT FROM jobsd.failed_executions AS failed WHERE failed.job_id = job.id
                )
        );
        PERFORM pg_sleep(0.02);
    END LOOP;
    PERFORM jobsd.refuse('cancel', job_id);
END
$$;
