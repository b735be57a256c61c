-- What people ask and do in SQL: in which state each job is, and to retry or discard one.

-- Each job with its state. Each state is a part of its own, so that `WHERE state = 'failed'` reads
-- failed_executions and nothing else but the rows of these jobs. The columns are documented in
-- docs/guide/sql.md and stay.
CREATE VIEW jobsd.job_states AS
    SELECT
        job.id, 'ready'::text AS state, job.class_name, job.queue_name, job.priority,
        job.arguments, job.attempts, job.max_attempts, job.created_at, job.scheduled_at,
        job.started_at, job.finished_at
    FROM jobsd.all_ready_executions AS place
    JOIN jobsd.jobs AS job ON job.id = place.job_id
    UNION ALL
    SELECT
        job.id, 'scheduled', job.class_name, job.queue_name, job.priority,
        job.arguments, job.attempts, job.max_attempts, job.created_at, place.scheduled_at,
        job.started_at, job.finished_at
    FROM jobsd.scheduled_executions AS place
    JOIN jobsd.jobs AS job ON job.id = place.job_id
    UNION ALL
    SELECT
        job.id, 'blocked', job.class_name, job.queue_name, job.priority,
        job.arguments, job.attempts, job.max_attempts, job.created_at, job.scheduled_at,
        job.started_at, job.finished_at
    FROM jobsd.all_blocked_executions AS place
    JOIN jobsd.jobs AS job ON job.id = place.job_id
    UNION ALL
    SELECT
        job.id, 'claimed', job.class_name, job.queue_name, job.priority,
        job.arguments, job.attempts, job.max_attempts, job.created_at, job.scheduled_at,
        job.started_at, job.finished_at
    FROM jobsd.claimed_executions AS place
    JOIN jobsd.jobs AS job ON job.id = place.job_id
    UNION ALL
    SELECT
        job.id, 'failed', job.class_name, job.queue_name, job.priority,
        job.arguments, job.attempts, job.max_attempts, job.created_at, job.scheduled_at,
        job.started_at, job.finished_at
    FROM jobsd.failed_executions AS place
    JOIN jobsd.jobs AS job ON job.id = place.job_id
    UNION ALL
    SELECT
        job.id, 'lost', job.class_name, job.queue_name, job.priority,
        job.arguments, job.attempts, job.max_attempts, job.created_at, job.scheduled_at,
        job.started_at, job.finished_at
    FROM jobsd.lost_executions AS place
    JOIN jobsd.jobs AS job ON job.id = place.job_id
    UNION ALL
    SELECT
        id, 'finished', class_name, queue_name, priority, arguments, attempts, max_attempts,
        created_at, scheduled_at, started_at, finished_at
    FROM jobsd.jobs
    WHERE outcome = 'finished'
    UNION ALL
    SELECT
        id, 'discarded', class_name, queue_name, priority, arguments, attempts, max_attempts,
        created_at, scheduled_at, started_at, finished_at
    FROM jobsd.jobs
    WHERE outcome = 'discarded';

-- Say why nothing was done to a job.
CREATE FUNCTION jobsd.refuse(act text, wanted bigint) RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    found_in text := (SELECT state FROM jobsd.job_states WHERE id = wanted LIMIT 1);
    holders text := jobsd.holders_of(wanted);
BEGIN
    IF NOT EXISTS (SELECT FROM jobsd.jobs WHERE id = wanted) THEN
        RAISE EXCEPTION '%: there is no job %', act, wanted USING ERRCODE = 'no_data_found';
    END IF;
    RAISE EXCEPTION '%: job % is %', act, wanted,
        coalesce(found_in || ', and held by ' || holders, found_in, 'just being changed')
        USING ERRCODE = 'object_not_in_prerequisite_state';
END
$$;

-- Discard a job that waits or has failed, as `bin/jobs discard` does; returns the state that it had.
-- Without `keep` its row goes. Whoever holds the job locked is waited for, two seconds.
CREATE FUNCTION jobsd.discard(job_id bigint, keep boolean DEFAULT true) RETURNS text
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_variable
DECLARE
    had text;
    key text;
    class text;
    created timestamptz;
    is_held boolean := true;
BEGIN
    FOR turn IN 1 .. 100 LOOP
        had := CASE
            WHEN EXISTS (
                SELECT FROM jobsd.ready_executions AS place
                WHERE place.job_id = discard.job_id FOR UPDATE SKIP LOCKED
            ) OR EXISTS (
                SELECT FROM jobsd.parked_executions AS place
                WHERE place.job_id = discard.job_id FOR UPDATE SKIP LOCKED
            ) THEN 'ready'
            WHEN EXISTS (
                SELECT FROM jobsd.scheduled_executions AS place
                WHERE place.job_id = discard.job_id FOR UPDATE SKIP LOCKED
            ) THEN 'scheduled'
            WHEN EXISTS (
                SELECT FROM jobsd.failed_executions AS place
                WHERE place.job_id = discard.job_id FOR UPDATE SKIP LOCKED
            ) THEN 'failed'
        END;
        IF had IS NULL THEN
            SELECT
                CASE WHEN place.position IS NULL THEN 'blocked' ELSE 'ready' END,
                CASE WHEN place.position IS NOT NULL THEN place.concurrency_key END
            INTO had, key
            FROM jobsd.blocked_executions AS place
            WHERE place.job_id = discard.job_id
            FOR UPDATE SKIP LOCKED;
        END IF;
        EXIT WHEN had IS NOT NULL OR NOT is_held;
        -- Once more where it is not: it may have been let go just before.
        is_held := jobsd.holders_of(job_id) IS NOT NULL;
        PERFORM pg_sleep(0.02);
    END LOOP;
    IF had IS NULL THEN
        PERFORM jobsd.refuse('discard', job_id);
    END IF;
    DELETE FROM jobsd.ready_executions AS place WHERE place.job_id = discard.job_id;
    DELETE FROM jobsd.parked_executions AS place WHERE place.job_id = discard.job_id;
    DELETE FROM jobsd.scheduled_executions AS place WHERE place.job_id = discard.job_id;
    DELETE FROM jobsd.failed_executions AS place WHERE place.job_id = discard.job_id;
    DELETE FROM jobsd.blocked_executions AS place WHERE place.job_id = discard.job_id;
    IF keep THEN
        UPDATE jobsd.jobs SET finished_at = now(), outcome = 'discarded' WHERE id = job_id;
    ELSE
        DELETE FROM jobsd.attempts AS attempt WHERE attempt.job_id = discard.job_id;
        DELETE FROM jobsd.jobs
        WHERE id = job_id
        RETURNING class_name, created_at INTO class, created;
        PERFORM jobsd.keep_ends(ARRAY[job_id], ARRAY[class], ARRAY[created]);
    END IF;
    IF key IS NOT NULL THEN
        PERFORM jobsd.hand_over(ARRAY[key], true);
    END IF;
    RETURN had;
END
$$;

-- Retry a failed job, with all its attempts before it. The time in which it has to be begun counts
-- anew.
CREATE FUNCTION jobsd.retry(job_id bigint) RETURNS text
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_variable
DECLARE
    job jobsd.jobs;
    holder record;
BEGIN
    PERFORM FROM jobsd.failed_executions AS failed
    WHERE failed.job_id = retry.job_id
    FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        PERFORM jobsd.refuse('retry', job_id);
    END IF;
    SELECT * INTO holder FROM jobsd.retake_unique(ARRAY[job_id]) AS taken;
    IF FOUND THEN
        RAISE EXCEPTION 'retry: job % has the unique key of job %',
            coalesce(holder.present::text, 'another, which is just enqueued,'), job_id
            USING ERRCODE = 'unique_violation';
    END IF;
    DELETE FROM jobsd.failed_executions AS failed WHERE failed.job_id = retry.job_id;
    UPDATE jobsd.jobs AS stored
    SET attempts = 0, scheduled_at = now()
    WHERE stored.id = job_id
    RETURNING * INTO job;
    IF job.expires_in IS NOT NULL THEN
        PERFORM jobsd.let_expire(job_id, clock_timestamp() + job.expires_in);
    END IF;
    RETURN jobsd.place(
        job_id, nextval('jobsd.jobs_id_seq'), job.queue_name, job.priority,
        NULL, job.concurrency_key, job.concurrency_limit, false, true
    );
END
$$;

-- Jobs can be cancelled: those that wait are discarded at once, those that are claimed are noted in
-- their claim. So the statements that end a claimed job find the note in the row that they change
-- anyway, also when it came a moment before, and jobs that nobody cancels have nothing to do with it.

-- Cancel some jobs, and say of each which state it had. Those that are not named in the answer have
-- ended or are just being changed: what another transaction has locked is not waited for.
CREATE FUNCTION jobsd.cancel_jobs(wanted bigint[], force boolean, keep boolean)
RETURNS TABLE (id bigint, was text)
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
    erased_ids bigint[];
    classes text[];
    created timestamptz[];
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
    ), kept AS (
        UPDATE jobsd.jobs
        SET finished_at = now(), outcome = 'discarded', reason = 'cancelled'
        WHERE id = ANY (ARRAY(SELECT job_id FROM gone)) AND keep
    ), erased AS (
        DELETE FROM jobsd.jobs
        WHERE id = ANY (ARRAY(SELECT job_id FROM gone)) AND NOT keep
        RETURNING id, class_name, created_at
    ), attempt AS (
        DELETE FROM jobsd.attempts
        WHERE job_id = ANY (ARRAY(SELECT job_id FROM gone)) AND NOT keep
    )
    SELECT
        array_agg(job_id), array_agg(state), array_agg(key),
        (SELECT array_agg(id ORDER BY id) FROM erased),
        (SELECT array_agg(class_name ORDER BY id) FROM erased),
        (SELECT array_agg(created_at ORDER BY id) FROM erased)
    INTO ids, states, keys, erased_ids, classes, created
    FROM gone;
    IF erased_ids IS NOT NULL THEN
        PERFORM jobsd.keep_ends(erased_ids, classes, created);
    END IF;

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
    ), woken AS (
        SELECT
            pg_notify('jobsd.wake', 'cancel ' || process_id),
            -- Monitors: a process that stands still can't hear it.
            CASE WHEN force THEN pg_notify('jobsd.kill', process_id::text) END
        FROM (SELECT DISTINCT process_id FROM noted) AS processes
    )
    SELECT array_agg(job_id)
    INTO running
    FROM noted
    CROSS JOIN LATERAL unnest(noted.job_ids) AS job_id
    WHERE (SELECT count(*) FROM woken) IS NOT NULL;

    PERFORM jobsd.hand_over(keys, true);
    RETURN QUERY
        SELECT each.id, each.state FROM unnest(ids, states) AS each (id, state)
        UNION ALL
        SELECT each.id, 'claimed'::text FROM unnest(running) AS each (id);
END
$$;

-- Cancel a job: one that waits is discarded, one that runs is told to stop, and discarded unless it
-- succeeds all the same; with `force` its process is ended if it does not stop in time. Returns the
-- state that it had. One that is just being moved, or is held, is met again for two seconds.
CREATE FUNCTION jobsd.cancel(job_id bigint, force boolean DEFAULT false) RETURNS text
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_variable
DECLARE
    had text;
BEGIN
    FOR attempt IN 1 .. 100 LOOP
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
