-- What `around_enqueue` gives a job on its way: the ids of a trace, the name of a tenant. It stays
-- with the job over all its attempts; NULL for most.
ALTER TABLE jobsd.jobs ADD COLUMN context jsonb;

-- Store one job of any kind and say where it is: scheduled, ready, or discarded, in which case
-- nothing was stored. One that may not wait, and whose key can't be held in time, is decided about
-- by the worker that meets it. `always` notifies also when nobody seems to sleep: nobody knows who
-- will when a caller's transaction commits. Programs of the version before give no `context`.
DROP FUNCTION jobsd.store(
    text, text, jsonb, integer, integer, boolean, timestamptz, text, integer, interval, text, boolean
);
CREATE FUNCTION jobsd.store(
    queue_name text, class_name text, arguments jsonb, priority integer, max_attempts integer,
    retries_crash boolean, due timestamptz, key text, most integer, duration interval,
    on_conflict text, always boolean, context jsonb DEFAULT NULL,
    OUT job_id bigint, OUT state text
)
LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
DECLARE
    yields boolean := false;
BEGIN
    IF due < now() - interval '100 years' THEN
        -- Farther back lie moments that not every reader knows, and one without end.
        due := now() - interval '100 years';
    END IF;
    state := CASE WHEN due > clock_timestamp() THEN 'scheduled' ELSE 'ready' END;
    IF state = 'ready' AND key IS NOT NULL AND on_conflict = 'discard' THEN
        yields := NOT jobsd.hold_key(key);
        IF NOT yields AND jobsd.jobs_of_key(key, most) >= most THEN
            state := 'discarded';
            RETURN;
        END IF;
    END IF;
    INSERT INTO jobsd.jobs (
        queue_name, class_name, arguments, priority, max_attempts, retries_crash, scheduled_at,
        concurrency_key, concurrency_limit, concurrency_duration, on_conflict, context
    )
    VALUES (
        queue_name, class_name, arguments, priority, max_attempts, retries_crash, due,
        key, CASE WHEN key IS NOT NULL THEN most END, duration,
        CASE WHEN key IS NOT NULL THEN on_conflict END, context
    )
    RETURNING id INTO job_id;
    IF state = 'scheduled' THEN
        INSERT INTO jobsd.scheduled_executions (
            job_id, scheduled_at, priority, queue_name, concurrency_key
        )
        VALUES (job_id, due, priority, queue_name, key);
        IF always OR (
            due < clock_timestamp() + interval '6 seconds'
            AND EXISTS (SELECT FROM jobsd.sleepers WHERE kind = 'dispatcher')
        ) THEN
            PERFORM pg_notify('jobsd.wake', 'due');
        END IF;
        RETURN;
    END IF;
    IF key IS NULL THEN
        INSERT INTO jobsd.ready_executions (job_id, position, priority, queue_name)
        VALUES (job_id, job_id, priority, queue_name);
    ELSE
        INSERT INTO jobsd.blocked_executions (
            job_id, position, priority, queue_name, concurrency_key, concurrency_limit, yields
        )
        VALUES (job_id, job_id, priority, queue_name, key, most, yields);
    END IF;
    IF always OR EXISTS (SELECT FROM jobsd.sleepers WHERE kind = 'worker') THEN
        PERFORM pg_notify(
            'jobsd.wake', CASE WHEN key IS NULL THEN 'ready ' ELSE 'limited ' END || queue_name
        );
    END IF;
END
$$;
