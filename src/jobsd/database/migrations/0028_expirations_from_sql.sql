-- Jobs that expire, from SQL.

-- Enqueue a job from SQL, as before (0024), which may expire.
DROP FUNCTION jobsd.enqueue(
    text, jsonb, text, integer, interval, timestamptz, integer, boolean, text, integer, interval,
    text, text, text, interval, text, interval
);
CREATE FUNCTION jobsd.enqueue(
    class_name text,
    arguments jsonb DEFAULT '[]',
    queue text DEFAULT 'default',
    priority integer DEFAULT 0,
    wait interval DEFAULT NULL,
    wait_until timestamptz DEFAULT NULL,
    max_attempts integer DEFAULT 1,
    retries_crash boolean DEFAULT NULL,
    concurrency_key text DEFAULT NULL,
    concurrency_limit integer DEFAULT 1,
    concurrency_duration interval DEFAULT NULL,
    on_conflict text DEFAULT 'block',
    unique_key text DEFAULT NULL,
    unique_until text DEFAULT 'finished',
    unique_within interval DEFAULT NULL,
    unique_on_conflict text DEFAULT 'skip',
    unique_max_wait interval DEFAULT NULL,
    expires_in interval DEFAULT NULL
)
RETURNS bigint
LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
DECLARE
    wrong text := CASE
        WHEN class_name IS NULL OR class_name = '' THEN 'class_name: the name of a job is wanted'
        WHEN length(class_name) > 1000 THEN 'class_name: more than 1,000 characters'
        WHEN arguments IS NULL OR jsonb_typeof(arguments) NOT IN ('array', 'object')
            THEN 'arguments: a JSON array or object is wanted'
        -- As text: from a row of a table they come compressed.
        WHEN octet_length(arguments::text) > 1048576 THEN 'arguments: more than 1 MiB'
        WHEN queue IS NULL OR queue = '' OR octet_length(queue) > 255
            OR queue <> btrim(queue) OR queue ~ '[*,]'
            -- What can't be seen, as in jobs/registry.py: nobody could type the name.
            OR queue ~ '[\u0001-\u001f\u007f-\u00a0\u00ad\u061c\u1680\u180e\u2000-\u200f'
                '\u2028-\u202f\u205f-\u206f\u3000\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]'
            THEN 'queue: 1 to 255 bytes without ''*'' and '','' and no space at the ends'
        WHEN priority IS NULL THEN 'priority: an integer is wanted'
        WHEN max_attempts IS NULL OR max_attempts < 1 THEN 'max_attempts: 1 at least'
        WHEN wait IS NOT NULL AND wait_until IS NOT NULL THEN 'wait or wait_until, not both'
        WHEN wait > interval '100 years' OR wait_until > now() + interval '100 years'
            THEN 'wait: longer than a hundred years'
        WHEN octet_length(concurrency_key) NOT BETWEEN 1 AND 1000
            THEN 'concurrency_key: 1 to 1,000 bytes'
        WHEN concurrency_limit IS NULL OR concurrency_limit < 1 THEN 'concurrency_limit: 1 at least'
        WHEN concurrency_duration < interval '0' THEN 'concurrency_duration: not negative'
        WHEN on_conflict IS NULL OR on_conflict NOT IN ('block', 'discard')
            THEN 'on_conflict: ''block'' or ''discard'''
        WHEN octet_length(unique_key) NOT BETWEEN 1 AND 1000 THEN 'unique_key: 1 to 1,000 bytes'
        WHEN unique_until NOT IN ('started', 'finished')
            THEN 'unique_until: ''started'', ''finished'', or NULL with unique_within'
        WHEN (unique_until IS NULL) <> (unique_within IS NOT NULL)
            THEN 'unique_within: goes with unique_until => NULL'
        WHEN unique_within <= interval '0' OR unique_within > interval '100 years'
            THEN 'unique_within: longer than nothing, and at most a hundred years'
        WHEN unique_on_conflict IS NULL OR unique_on_conflict NOT IN ('skip', 'raise', 'replace')
            THEN 'unique_on_conflict: ''skip'', ''raise'' or ''replace'''
        WHEN unique_on_conflict = 'replace' AND unique_until IS DISTINCT FROM 'started'
            THEN 'unique_on_conflict: ''replace'' goes with unique_until => ''started'''
        WHEN unique_max_wait IS NOT NULL AND unique_on_conflict <> 'replace'
            THEN 'unique_max_wait: goes with unique_on_conflict => ''replace'''
        WHEN unique_max_wait < interval '0' OR unique_max_wait > interval '100 years'
            THEN 'unique_max_wait: not negative, and at most a hundred years'
        WHEN expires_in <= interval '0' OR expires_in > interval '100 years'
            THEN 'expires_in: longer than nothing, and at most a hundred years'
    END;
    due timestamptz;
    stored record;
BEGIN
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'enqueue: %', wrong USING ERRCODE = 'invalid_parameter_value';
    END IF;
    due := coalesce(wait_until, clock_timestamp() + wait);
    retries_crash := coalesce(retries_crash, max_attempts > 1);
    IF unique_key IS NULL THEN
        stored := jobsd.store(
            queue, class_name, arguments, priority, max_attempts, retries_crash, due,
            concurrency_key, concurrency_limit, concurrency_duration, on_conflict, true,
            expires_in => expires_in
        );
        RETURN stored.job_id;
    END IF;
    stored := jobsd.store_unique(
        queue, class_name, arguments, priority, max_attempts, retries_crash, due,
        concurrency_key, concurrency_limit, concurrency_duration, on_conflict, true,
        NULL, unique_key, unique_until, unique_within, unique_on_conflict, unique_max_wait,
        expires_in
    );
    IF stored.state = 'duplicate' AND unique_on_conflict = 'raise' THEN
        RAISE EXCEPTION 'enqueue: job % has the unique key %', stored.job_id, unique_key
            USING ERRCODE = 'unique_violation';
    END IF;
    RETURN stored.job_id;
END
$$;

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
