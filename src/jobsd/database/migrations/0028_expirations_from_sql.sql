-- Jobs that expire, from SQL.

-- Retry a failed job, as before (0026): the time in which it has to be begun counts anew.
CREATE OR REPLACE FUNCTION jobsd.retry(job_id bigint) RETURNS text
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
    IF job.expires_in IS NOT NULL THEN
        PERFORM jobsd.let_expire(job_id, clock_timestamp() + job.expires_in);
    END IF;
    RETURN jobsd.place(
        job_id, nextval(pg_get_serial_sequence('jobsd.jobs', 'id')), job.queue_name, job.priority,
        NULL, job.concurrency_key, job.concurrency_limit, false, true
    );
END
$$;
