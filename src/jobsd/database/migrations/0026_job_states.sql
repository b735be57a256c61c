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
AS $$
DECLARE
    found_in text := (SELECT state FROM jobsd.job_states WHERE id = wanted LIMIT 1);
BEGIN
    IF NOT EXISTS (SELECT FROM jobsd.jobs WHERE id = wanted) THEN
        RAISE EXCEPTION '%: there is no job %', act, wanted USING ERRCODE = 'no_data_found';
    END IF;
    RAISE EXCEPTION '%: job % is %', act, wanted, coalesce(found_in, 'just being changed')
        USING ERRCODE = 'object_not_in_prerequisite_state';
END
$$;

-- Retry a failed job, as `bin/jobs retry` does: with all its attempts before it, and behind others.
-- Returns its new state. What another transaction has locked is not waited for.
CREATE FUNCTION jobsd.retry(job_id bigint) RETURNS text
LANGUAGE plpgsql
SET enable_seqscan = off
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
    RETURN jobsd.place(
        job_id, nextval(pg_get_serial_sequence('jobsd.jobs', 'id')), job.queue_name, job.priority,
        NULL, job.concurrency_key, job.concurrency_limit, false, true
    );
END
$$;

-- Discard a job that waits or has failed, as `bin/jobs discard` does; returns the state that it had.
-- Without `keep` its row goes. What a worker is just claiming is left to it.
CREATE FUNCTION jobsd.discard(job_id bigint, keep boolean DEFAULT true) RETURNS text
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_variable
DECLARE
    had text;
    key text;
BEGIN
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
    IF had IS NULL THEN
        PERFORM jobsd.refuse('discard', job_id);
    END IF;
    DELETE FROM jobsd.ready_executions AS place WHERE place.job_id = discard.job_id;
    DELETE FROM jobsd.parked_executions AS place WHERE place.job_id = discard.job_id;
    DELETE FROM jobsd.scheduled_executions AS place WHERE place.job_id = discard.job_id;
    DELETE FROM jobsd.failed_executions AS place WHERE place.job_id = discard.job_id;
    DELETE FROM jobsd.blocked_executions AS place WHERE place.job_id = discard.job_id;
    DELETE FROM jobsd.concurrency_slots AS slot WHERE slot.job_id = discard.job_id;
    IF keep THEN
        UPDATE jobsd.jobs SET finished_at = now(), outcome = 'discarded' WHERE id = job_id;
    ELSE
        DELETE FROM jobsd.attempts AS attempt WHERE attempt.job_id = discard.job_id;
        DELETE FROM jobsd.jobs WHERE id = job_id;
    END IF;
    IF key IS NOT NULL THEN
        PERFORM jobsd.hand_over(ARRAY[key]);
    END IF;
    RETURN had;
END
$$;
