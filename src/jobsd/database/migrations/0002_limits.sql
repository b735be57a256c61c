-- Concurrency limits.
--
-- A limit counts the rows that stand for its living holders: nothing is counted up or down,
-- so nothing can be counted twice. A job has a slot from when it becomes ready until it has
-- ended. Who takes a slot, or decides that none is free, holds the lock of the key *before
-- the statement that counts*: counted in the statement that takes the lock, a limit of one
-- was broken in 57 of 60 rounds. Each statement of a function has a snapshot of its own.

ALTER TABLE jobsd.jobs ADD COLUMN concurrency_duration interval;
ALTER TABLE jobsd.scheduled_executions ADD COLUMN concurrency_key text;
-- What may not wait for a slot, and is discarded when there is none.
ALTER TABLE jobsd.blocked_executions ADD COLUMN yields boolean NOT NULL DEFAULT false;
CREATE INDEX blocked_executions_yields
    ON jobsd.blocked_executions (concurrency_key) WHERE yields;

DROP TABLE jobsd.concurrency_slots;
CREATE TABLE jobsd.concurrency_slots (
    job_id bigint PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    number integer NOT NULL,
    key text NOT NULL,
    duration interval
)
WITH (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0
);
-- Serves the count of a key's holders. Unique: two who can't see each other, as under
-- REPEATABLE READ, can't take the same slot; the second one's transaction fails to be
-- serialised (that is what ON CONFLICT says of a row that it can't see).
ALTER TABLE jobsd.concurrency_slots
    ADD CONSTRAINT concurrency_slots_number UNIQUE (key, number);

CREATE FUNCTION jobsd.limits_lock(key text) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN hashtextextended('jobsd.limit ' || key, 0);

-- Wait for the lock of all keys, until somebody's transaction ends that may be open for long. Who
-- waits for it keeps everybody from taking a key: so the wait is given up now and then, but not
-- before a deadlock would have been found.
CREATE FUNCTION jobsd.lock_all_limits() RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    began timestamptz := clock_timestamp();
    told text := current_setting('lock_timeout');
    most interval := nullif(told::interval, '0');
    turn interval := least(
        current_setting('deadlock_timeout')::interval + interval '200 ms', most
    );
BEGIN
    LOOP
        BEGIN
            PERFORM set_config(
                'lock_timeout', (extract(epoch FROM turn) * 1000)::integer::text, true
            );
            PERFORM pg_advisory_xact_lock(jobsd.limits_lock(''));
            PERFORM set_config('lock_timeout', told, true);
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            IF clock_timestamp() - began >= most THEN
                RAISE;
            END IF;
            -- At random: two who wait for each other must meet.
            PERFORM pg_sleep_for(turn * (0.5 + random() / 2));
        END;
    END LOOP;
END
$$;

-- Wait for the locks of some keys, always in the same order. Of very many, all keys at once
-- (the table of locks has an end): everybody else holds that lock in its shared form.
CREATE FUNCTION jobsd.lock_limits(keys text[], everything boolean DEFAULT false)
RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    lock bigint;
BEGIN
    IF everything THEN
        PERFORM jobsd.lock_all_limits();
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock_shared(jobsd.limits_lock(''));
    FOR lock IN
        SELECT DISTINCT jobsd.limits_lock(key)
        FROM unnest(keys) AS key
        ORDER BY 1
    LOOP
        PERFORM pg_advisory_xact_lock(lock);
    END LOOP;
END
$$;

-- Say how many slots of a key are taken, and which is the first that is free.
CREATE FUNCTION jobsd.slots_of(wanted text, OUT held bigint, OUT free bigint)
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
BEGIN
    SELECT count(*), coalesce(min(turn) FILTER (WHERE number <> turn), count(*) + 1)
    INTO held, free
    FROM (
        SELECT number, row_number() OVER (ORDER BY number) AS turn
        FROM jobsd.concurrency_slots
        WHERE key = wanted
    ) AS slot;
END
$$;

-- Give the free slots of a key to the jobs that wait for one, and discard those that may not
-- wait: with `keep` their rows stay, with NULL only of those that were accepted before, by
-- another transaction. The caller holds the key's lock.
CREATE FUNCTION jobsd.fill(
    wanted text, keep boolean, OUT promoted bigint, OUT discarded bigint
)
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
    waiting record;
    slots record;
    held bigint;
    free integer;
    yielded bigint[];
BEGIN
    promoted := 0;
    discarded := 0;
    -- Counted once: the lock is ours, so that nobody else adds to what is taken.
    slots := jobsd.slots_of(wanted);
    held := slots.held;
    free := slots.free;
    FOR waiting IN
        SELECT
            blocked.job_id, blocked.priority, blocked.queue_name,
            job.id IS NULL AS lost, coalesce(job.concurrency_limit, 1) AS most,
            job.concurrency_duration
        FROM jobsd.blocked_executions AS blocked
        LEFT JOIN jobsd.jobs AS job ON job.id = blocked.job_id
        WHERE blocked.concurrency_key = wanted
        ORDER BY blocked.priority, blocked.job_id
        FOR UPDATE OF blocked SKIP LOCKED
    LOOP
        IF waiting.lost THEN
            -- Somebody has deleted its job: nobody would give its slot back.
            DELETE FROM jobsd.blocked_executions WHERE job_id = waiting.job_id;
            CONTINUE;
        END IF;
        EXIT WHEN held >= waiting.most;
        WHILE EXISTS (
            SELECT FROM jobsd.concurrency_slots WHERE key = wanted AND number = free
        ) LOOP
            free := free + 1;
        END LOOP;
        DELETE FROM jobsd.blocked_executions WHERE job_id = waiting.job_id;
        -- Rows that are there already, by whatever hand, must not stop all others.
        INSERT INTO jobsd.concurrency_slots (job_id, number, key, duration)
        VALUES (waiting.job_id, free, wanted, waiting.concurrency_duration)
        ON CONFLICT DO NOTHING;
        INSERT INTO jobsd.ready_executions (job_id, position, priority, queue_name)
        VALUES (
            waiting.job_id, nextval(pg_get_serial_sequence('jobsd.jobs', 'id')),
            waiting.priority, waiting.queue_name
        )
        ON CONFLICT (job_id) DO NOTHING;
        held := held + 1;
        free := free + 1;
        IF EXISTS (SELECT FROM jobsd.sleepers) THEN
            PERFORM pg_notify('jobsd.wake', 'ready ' || waiting.queue_name);
        END IF;
        promoted := promoted + 1;
    END LOOP;
    WITH gone AS (
        DELETE FROM jobsd.blocked_executions
        WHERE concurrency_key = wanted AND yields
        RETURNING job_id
    )
    SELECT coalesce(array_agg(job_id), '{}') INTO yielded FROM gone;
    IF cardinality(yielded) > 0 THEN
        discarded := cardinality(yielded);
        -- What is only being stored leaves no trace; what was accepted once is kept when
        -- nobody says otherwise.
        DELETE FROM jobsd.jobs
        WHERE id = ANY (yielded) AND coalesce(NOT keep, created_at = now());
        UPDATE jobsd.jobs
        SET finished_at = now(), outcome = 'discarded'
        WHERE id = ANY (yielded);
    END IF;
END
$$;

-- Let the next jobs of some keys become ready, as many as slots are free: said by who has
-- freed some, in the statement behind. Never waits: `got` is false for a key whose lock an
-- open transaction holds, and the caller asks again. With `keep` the jobs that may not wait
-- for a slot stay as discarded ones.
CREATE FUNCTION jobsd.promote(keys text[], keep boolean DEFAULT true)
RETURNS TABLE (key text, got boolean, promoted bigint, discarded bigint)
LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
DECLARE
    open boolean := pg_try_advisory_xact_lock_shared(jobsd.limits_lock(''));
    filled record;
BEGIN
    FOR key IN
        SELECT DISTINCT wanted.key
        FROM unnest(keys) AS wanted (key)
        WHERE wanted.key IS NOT NULL
    LOOP
        got := open AND pg_try_advisory_xact_lock(jobsd.limits_lock(key));
        promoted := 0;
        discarded := 0;
        IF got THEN
            filled := jobsd.fill(key, keep);
            promoted := filled.promoted;
            discarded := filled.discarded;
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;

-- The same for jobs that were just stored as blocked ones: waits for the locks, `everything`
-- for those of all keys.
CREATE FUNCTION jobsd.admit(keys text[], everything boolean) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    wanted text;
BEGIN
    PERFORM jobsd.lock_limits(keys, everything);
    FOR wanted IN SELECT DISTINCT key FROM unnest(keys) AS key LOOP
        PERFORM jobsd.fill(wanted, NULL);
    END LOOP;
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        -- What we see may be older than the locks: slots may be free meanwhile.
        PERFORM pg_notify('jobsd.wake', 'limits');
    END IF;
END
$$;
