-- The last step of 0004: who enqueues one job asks for its key's lock as a bulk does, and what
-- waited for locks goes.

-- Store one job of any kind and say where it is: scheduled, ready, blocked, or discarded, in
-- which case nothing was stored. One that may be discarded is blocked where its key's lock can't
-- be had: what becomes of it is decided later. `always` notifies also when nobody seems to
-- sleep: nobody knows who will when a caller's transaction commits.
CREATE OR REPLACE FUNCTION jobsd.store(
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
    got boolean;
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
        state := 'blocked';
        got := jobsd.take_limit(key, on_conflict = 'discard');
        IF got THEN
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
    IF state = 'ready' AND key IS NOT NULL THEN
        INSERT INTO jobsd.concurrency_slots (job_id, number, key, duration)
        VALUES (job_id, slots.free, key, duration)
        ON CONFLICT ON CONSTRAINT concurrency_slots_number DO NOTHING;
        IF NOT FOUND THEN
            -- Somebody has it who did not hold the lock.
            got := false;
            state := 'blocked';
        END IF;
    END IF;
    IF state = 'blocked' THEN
        INSERT INTO jobsd.blocked_executions (
            job_id, priority, queue_name, concurrency_key, yields
        )
        VALUES (job_id, priority, queue_name, key, on_conflict = 'discard');
        IF NOT got THEN
            PERFORM jobsd.ask_for_limit(key);
        ELSIF slots.held < most THEN
            -- Others wait for the slot that is free: the first of all gets it.
            IF (jobsd.fill(key, true, 100)).more THEN
                PERFORM jobsd.ask_for_limit(key);
            END IF;
            IF NOT EXISTS (
                SELECT FROM jobsd.blocked_executions AS blocked WHERE blocked.job_id = store.job_id
            ) THEN
                state := 'ready';
            END IF;
        ELSIF current_setting('transaction_isolation') <> 'read committed' THEN
            -- What we see may be older than the lock: the slot may be free meanwhile.
            PERFORM jobsd.ask_for_limit(key);
        END IF;
        RETURN;
    END IF;
    INSERT INTO jobsd.ready_executions (job_id, position, priority, queue_name)
    VALUES (job_id, job_id, priority, queue_name);
    IF always OR EXISTS (SELECT FROM jobsd.sleepers WHERE kind = 'worker') THEN
        PERFORM pg_notify('jobsd.wake', 'ready ' || queue_name);
    END IF;
END
$$;

DROP FUNCTION jobsd.lock_limits(text[], boolean);
DROP FUNCTION jobsd.lock_all_limits();
DROP FUNCTION jobsd.fill(text, boolean);
