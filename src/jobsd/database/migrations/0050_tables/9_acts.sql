-- The states of jobs, and the functions that retry and cancel jobs, for SQL and for all commands.

-- Each job with its state. Each state is a part of its own, so that `WHERE state = 'failed'` reads
-- only failed_executions and the rows of these jobs. The columns are documented in
-- docs/guide/sql.md and stay.
CREATE VIEW jobsd.job_states AS
    SELECT
        job.id, place.state, job.class_name, job.queue_name, job.priority,
        job.arguments, job.attempts, job.max_attempts, job.created_at,
        coalesce(place.scheduled_at, job.scheduled_at) AS scheduled_at,
        job.started_at, job.finished_at
    FROM jobsd.places AS place
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

-- Raise an error with the reason why an act did nothing to a job.
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

-- Let jobs that are in no place run again, with all their attempts before them; returns them. They
-- wait and expire as if they were enqueued now.
CREATE FUNCTION jobsd.run_again(ids bigint[]) RETURNS SETOF bigint
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
    changed bigint[];
BEGIN
    WITH job AS (
        UPDATE jobsd.jobs
        SET attempts = 0, scheduled_at = now()
        WHERE id = ANY (ids)
        RETURNING id, expires_in
    ), expiring AS (
        INSERT INTO jobsd.expirations AS known (job_id, expires_at)
        SELECT id, clock_timestamp() + expires_in
        FROM job
        WHERE expires_in IS NOT NULL
        ON CONFLICT (job_id) DO UPDATE SET expires_at = excluded.expires_at
    )
    SELECT array_agg(id ORDER BY id) INTO changed FROM job;
    PERFORM jobsd.place_jobs(changed, always => true);
    RETURN QUERY SELECT unnest(changed);
END
$$;

-- Let failed jobs run again, with their errors kept (see `run_again`). A job is `refused` if
-- another job has its unique key: `holder`, or NULL for a job that is being enqueued. Rows that
-- another session has locked are skipped.
CREATE FUNCTION jobsd.retry_jobs(wanted bigint[])
RETURNS TABLE (id bigint, refused boolean, holder bigint)
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
    ids bigint[] := ARRAY(
        SELECT job_id
        FROM jobsd.failed_executions
        WHERE job_id = ANY (wanted)
        ORDER BY job_id
        FOR UPDATE SKIP LOCKED
    );
BEGIN
    refused := true;
    FOR id, holder IN SELECT taken.job_id, taken.present FROM jobsd.retake_unique(ids) AS taken LOOP
        ids := array_remove(ids, id);
        RETURN NEXT;
    END LOOP;
    DELETE FROM jobsd.failed_executions WHERE job_id = ANY (ids);
    RETURN QUERY
        SELECT again.id, false, NULL::bigint
        FROM jobsd.run_again(ids) AS again (id);
END
$$;

-- Retry a failed job, as `bin/jobs retry` does; returns 'ready'.
CREATE FUNCTION jobsd.retry(job_id bigint) RETURNS text
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
#variable_conflict use_variable
DECLARE
    answer record;
BEGIN
    SELECT * INTO answer FROM jobsd.retry_jobs(ARRAY[job_id]);
    IF NOT FOUND THEN
        PERFORM jobsd.refuse('retry', job_id);
    END IF;
    IF answer.refused THEN
        RAISE EXCEPTION 'retry: job % has the unique key of job %',
            coalesce(answer.holder::text, 'another, which is just enqueued,'), job_id
            USING ERRCODE = 'unique_violation';
    END IF;
    RETURN 'ready';
END
$$;

-- Jobs can be cancelled: waiting jobs are discarded at once, claimed ones are noted in their claim.
-- So the statements that end a claimed job find the note in the row that they change anyway, even
-- one that came a moment before, and jobs that are not cancelled bear no cost.

-- Cancel jobs; returns the state that each had. Jobs that have ended, and jobs that another session
-- has locked, are left out.
CREATE FUNCTION jobsd.cancel_jobs(wanted bigint[], force boolean, keep boolean)
RETURNS TABLE (id bigint, was text)
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
        SELECT each.id, each.was
        FROM jobsd.discard_jobs(wanted, keep, 'cancelled', false) AS each;
    RETURN QUERY
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
                -- For monitors, because a process that stands still receives nothing.
                CASE WHEN force THEN pg_notify('jobsd.kill', process_id::text) END
            FROM (SELECT DISTINCT process_id FROM noted) AS processes
        )
        SELECT job_id, 'claimed'
        FROM noted
        CROSS JOIN LATERAL unnest(noted.job_ids) AS job_id
        WHERE (SELECT count(*) FROM woken) IS NOT NULL;
END
$$;

-- Cancel a job: a waiting job is discarded, a running one is asked to stop, and discarded unless it
-- succeeds all the same; with `force` its process is ended if it does not stop in time. Returns the
-- state that it had. If the job is being moved, or is locked, this retries for two seconds.
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
                    SELECT FROM jobsd.places AS place
                    WHERE place.job_id = job.id AND place.state = 'failed'
                )
        );
        PERFORM pg_sleep(0.02);
    END LOOP;
    PERFORM jobsd.refuse('cancel', job_id);
END
$$;
