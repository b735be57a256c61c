-- Concurrency limits for whose locks nobody waits, but for a moment who may be discarded.
--
-- The lock of a key is held until its transaction ends, which may take as long as a caller likes.
-- So it is only tried for. Who does not get it stores its job as a blocked one all the same, and
-- says so by a notification that is sent at the commit: a dispatcher then gives it its slot, or
-- discards it. Nothing is lost by that: who gets a slot is decided under the lock, always.

-- Whether this transaction holds as many keys as it may: the table of locks has an end, which
-- others need too. Those that it holds are noted down in a setting of the transaction, which a
-- rollback to a savepoint takes back together with the locks, each as 16 digits and a space.
CREATE FUNCTION jobsd.limits_are_full() RETURNS boolean
LANGUAGE sql STABLE
RETURN coalesce(length(current_setting('jobsd_limits.held', true)), 0) >= 17 * 64;

-- Wait for the lock of a key: two seconds in all in one transaction, so that the client has its
-- answer in time however many keys there are. Two who wait for each other are told so after one
-- second, and the one that is told goes without.
CREATE FUNCTION jobsd.wait_for_limit(lock bigint) RETURNS boolean
LANGUAGE plpgsql
AS $$
DECLARE
    began timestamptz := clock_timestamp();
    told text := current_setting('lock_timeout');
    rest integer := coalesce(nullif(current_setting('jobsd_limits.patience', true), ''), '2000');
    got boolean := false;
BEGIN
    IF rest > 0 THEN
        BEGIN
            -- The caller's own patience, where that is shorter. Nothing is no end: 0.
            PERFORM set_config('lock_timeout', least(
                rest, nullif(extract(epoch FROM told::interval) * 1000, 0)::integer
            )::text, true);
            PERFORM pg_advisory_xact_lock(lock);
            PERFORM set_config('lock_timeout', told, true);
            got := true;
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            -- What was set is taken back.
        END;
        rest := rest - ceil(extract(epoch FROM clock_timestamp() - began) * 1000);
        PERFORM set_config('jobsd_limits.patience', greatest(0, rest)::text, true);
    END IF;
    RETURN got;
END
$$;

-- Take the lock of a key until the transaction ends, if it can be had: at once, or `patient`ly.
CREATE FUNCTION jobsd.take_limit(key text, patient boolean) RETURNS boolean
LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
DECLARE
    lock bigint := jobsd.limits_lock(key);
    mark text := lpad(to_hex(lock), 16, '0') || ' ';
    held text := coalesce(current_setting('jobsd_limits.held', true), '');
BEGIN
    IF strpos(held, mark) > 0 THEN
        RETURN true;
    END IF;
    IF jobsd.limits_are_full() THEN
        RETURN false;
    END IF;
    IF NOT pg_try_advisory_xact_lock(lock) AND NOT (patient AND jobsd.wait_for_limit(lock)) THEN
        RETURN false;
    END IF;
    PERFORM set_config('jobsd_limits.held', held || mark, true);
    RETURN true;
END
$$;

-- Let a dispatcher look after a key once this transaction has committed; after all keys, when
-- there are many.
CREATE FUNCTION jobsd.ask_for_limit(key text) RETURNS void
LANGUAGE sql
AS $$
    SELECT pg_notify(
        'jobsd.wake', CASE WHEN jobsd.limits_are_full() THEN 'limits' ELSE 'limits ' || $1 END
    )
$$;

-- Give the free slots of a key to the jobs that wait for one, `at_most` of them, and discard
-- those that may not wait: with `keep` their rows stay, with NULL only of those that were
-- accepted before, by another transaction. The caller holds the key's lock. `more` says that the
-- key has to be looked after once more: it is not done, or others have locked who is next.
CREATE FUNCTION jobsd.fill(
    wanted text, keep boolean, at_most integer,
    OUT promoted bigint, OUT discarded bigint, OUT more boolean
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
    is_full boolean;
    yielded bigint[];
BEGIN
    promoted := 0;
    discarded := 0;
    more := false;
    SELECT coalesce(job.concurrency_limit, 1) AS most
    INTO waiting
    FROM jobsd.blocked_executions AS blocked
    LEFT JOIN jobsd.jobs AS job ON job.id = blocked.job_id
    WHERE blocked.concurrency_key = wanted
    ORDER BY blocked.priority, blocked.job_id
    LIMIT 1;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    -- Counted once: the lock is ours, so that nobody else adds to what is taken.
    slots := jobsd.slots_of(wanted);
    held := slots.held;
    free := slots.free;
    is_full := held >= waiting.most;
    IF NOT is_full THEN
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
            is_full := held >= waiting.most;
            more := promoted >= at_most;
            EXIT WHEN is_full OR more;
            WHILE EXISTS (
                SELECT FROM jobsd.concurrency_slots WHERE key = wanted AND number = free
            ) LOOP
                free := free + 1;
            END LOOP;
            INSERT INTO jobsd.concurrency_slots (job_id, number, key, duration)
            VALUES (waiting.job_id, free, wanted, waiting.concurrency_duration)
            ON CONFLICT DO NOTHING;
            IF NOT FOUND AND NOT EXISTS (
                SELECT FROM jobsd.concurrency_slots WHERE job_id = waiting.job_id
            ) THEN
                -- Somebody whom we did not see has taken the slot. A row of this very job, by
                -- whatever hand, must not stop all others.
                more := true;
                EXIT;
            END IF;
            DELETE FROM jobsd.blocked_executions WHERE job_id = waiting.job_id;
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
        IF NOT is_full THEN
            more := more OR EXISTS (
                SELECT FROM jobsd.blocked_executions WHERE concurrency_key = wanted
            );
            RETURN;
        END IF;
    END IF;
    WITH going AS (
        SELECT job_id
        FROM jobsd.blocked_executions
        WHERE concurrency_key = wanted AND yields
        LIMIT at_most
        FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM jobsd.blocked_executions
        WHERE job_id = ANY (ARRAY(SELECT job_id FROM going))
        RETURNING job_id
    )
    SELECT coalesce(array_agg(job_id), '{}') INTO yielded FROM gone;
    discarded := cardinality(yielded);
    IF discarded > 0 THEN
        more := discarded >= at_most;
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
-- open transaction holds, or that is not done, and the caller asks again. With `keep` the jobs
-- that may not wait for a slot stay as discarded ones.
CREATE OR REPLACE FUNCTION jobsd.promote(keys text[], keep boolean DEFAULT true)
RETURNS TABLE (key text, got boolean, promoted bigint, discarded bigint)
LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
DECLARE
    -- One statement does so much at most: whoever sends it waits for its end.
    rest bigint := 5000;
    filled record;
BEGIN
    FOR key IN
        SELECT DISTINCT wanted.key
        FROM unnest(keys) AS wanted (key)
        WHERE wanted.key IS NOT NULL
    LOOP
        got := rest > 0 AND pg_try_advisory_xact_lock(jobsd.limits_lock(key));
        promoted := 0;
        discarded := 0;
        IF got THEN
            filled := jobsd.fill(key, keep, rest::integer);
            promoted := filled.promoted;
            discarded := filled.discarded;
            got := NOT filled.more;
            rest := rest - promoted - discarded;
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;

-- The same for jobs that were just stored as blocked ones, as far as the keys can be had: by all
-- in one order, so that who waits for one holds none that another one of them has to wait for.
-- `everything` meant the lock of all keys once, and means nothing any more.
CREATE OR REPLACE FUNCTION jobsd.admit(keys text[], everything boolean DEFAULT false)
RETURNS void
LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
DECLARE
    wanted text;
    got boolean;
BEGIN
    FOR wanted IN
        SELECT DISTINCT ON (jobsd.limits_lock(key), key) key
        FROM unnest(keys) AS key
        ORDER BY jobsd.limits_lock(key), key
    LOOP
        got := jobsd.take_limit(wanted, false);
        IF NOT got AND NOT jobsd.limits_are_full() THEN
            got := jobsd.take_limit(wanted, EXISTS (
                SELECT FROM jobsd.blocked_executions WHERE concurrency_key = wanted AND yields
            ));
        END IF;
        IF got THEN
            got := NOT (jobsd.fill(wanted, NULL, 5000)).more;
        END IF;
        IF NOT got THEN
            PERFORM jobsd.ask_for_limit(wanted);
        END IF;
    END LOOP;
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        -- What we see may be older than the locks: slots may be free meanwhile.
        PERFORM pg_notify('jobsd.wake', 'limits');
    END IF;
END
$$;
