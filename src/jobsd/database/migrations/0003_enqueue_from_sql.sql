-- Enqueueing from SQL: for triggers, and for programs in other languages. Limited jobs of Python
-- programs go the same way.

-- Store one job of any kind and say where it is: scheduled, ready, blocked, or discarded, in
-- which case nothing was stored. `always` notifies also when nobody seems to sleep: nobody
-- knows who will when a caller's transaction commits.
CREATE FUNCTION jobsd.store(
    queue_name text, class_name text, arguments jsonb, priority integer, max_attempts integer,
    retries_crash boolean, due timestamptz, key text, most integer, duration interval,
    on_conflict text, always boolean,
    OUT job_id bigint, OUT state text
)
LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
DECLARE
    slots record;
    contended boolean := false;
BEGIN
    IF due < now() - interval '100 years' THEN
        -- Farther back lie moments that not every reader knows, and one without end.
        due := now() - interval '100 years';
    END IF;
    IF due > clock_timestamp() THEN
        state := 'scheduled';
    ELSIF key IS NULL THEN
        state := 'ready';
    ELSE
        PERFORM jobsd.lock_limits(ARRAY[key]);
        slots := jobsd.slots_of(key);
        contended := EXISTS (
            SELECT FROM jobsd.blocked_executions AS blocked WHERE blocked.concurrency_key = key
        );
        state := CASE
            WHEN slots.held < most AND (on_conflict = 'discard' OR NOT contended) THEN 'ready'
            WHEN on_conflict = 'discard' THEN 'discarded'
            ELSE 'blocked'
        END;
    END IF;
    IF state = 'discarded' THEN
        RETURN;
    END IF;
    INSERT INTO jobsd.jobs (
        queue_name, class_name, arguments, priority, max_attempts, retries_crash, scheduled_at,
        concurrency_key, concurrency_limit, concurrency_duration, on_conflict
    )
    VALUES (
        queue_name, class_name, arguments, priority, max_attempts, retries_crash, due,
        key, CASE WHEN key IS NOT NULL THEN most END, duration,
        CASE WHEN key IS NOT NULL THEN on_conflict END
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
    IF state = 'blocked' THEN
        INSERT INTO jobsd.blocked_executions (job_id, priority, queue_name, concurrency_key)
        VALUES (job_id, priority, queue_name, key);
        IF slots.held < most THEN
            -- Others wait for the slot that is free: the first of all gets it.
            PERFORM jobsd.fill(key, true);
            IF NOT EXISTS (
                SELECT FROM jobsd.blocked_executions AS blocked WHERE blocked.job_id = store.job_id
            ) THEN
                state := 'ready';
            END IF;
        ELSIF current_setting('transaction_isolation') <> 'read committed' THEN
            -- What we see may be older than the lock: the slot may be free meanwhile.
            PERFORM pg_notify('jobsd.wake', 'limits');
        END IF;
        RETURN;
    END IF;
    IF key IS NOT NULL THEN
        INSERT INTO jobsd.concurrency_slots (job_id, number, key, duration)
        VALUES (job_id, slots.free, key, duration)
        ON CONFLICT ON CONSTRAINT concurrency_slots_number DO NOTHING;
    END IF;
    INSERT INTO jobsd.ready_executions (job_id, position, priority, queue_name)
    VALUES (job_id, job_id, priority, queue_name);
    IF always OR EXISTS (SELECT FROM jobsd.sleepers WHERE kind = 'worker') THEN
        PERFORM pg_notify('jobsd.wake', 'ready ' || queue_name);
    END IF;
END
$$;

-- Enqueue a job from SQL, in the transaction that calls: from a trigger, or from a program in
-- another language. Returns its id, or NULL when the limit was reached and `on_conflict` is
-- 'discard'. `arguments` is an array of positional, or an object of keyword arguments.
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
    on_conflict text DEFAULT 'block'
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
    END;
    stored record;
BEGIN
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'enqueue: %', wrong USING ERRCODE = 'invalid_parameter_value';
    END IF;
    stored := jobsd.store(
        queue, class_name, arguments, priority, max_attempts,
        coalesce(retries_crash, max_attempts > 1), coalesce(wait_until, clock_timestamp() + wait),
        concurrency_key, concurrency_limit, concurrency_duration, on_conflict, true
    );
    RETURN stored.job_id;
END
$$;
