-- Limits at full speed: a slot is a claim.
--
-- A limited job waits in blocked_executions from its enqueue on, in the order of its key. With a
-- position it is ready: workers meet it in the order of all jobs. Without one it is blocked: a
-- worker has met it and found its key full, or it was enqueued together with one of its key that
-- comes first. Who takes a slot does so by the claim: a row of `claims` with a key and the number
-- of a slot holds that slot for as long as it is there. So nothing is freed by itself, forgotten
-- or freed twice, and the slots of a dead process go with its claims, whoever settles these.
--
-- Invariant: where jobs of a key wait, one of them is ready, or a claim of the key is there. Who
-- blocks a job holds such a claim's row locked, who removes a claim hands over to the first job
-- in the next statement of the same transaction, and that statement sees all that was blocked.
--
-- Slots of before are rows of concurrency_slots, one for each job that is ready or claimed
-- (its row in ready_executions or parked_executions knows no key). No new ones come: what made
-- them was a function each time, and those below make none. They count like others until they
-- are gone. Programs of the version before don't see jobs that wait here, but for blocked ones,
-- so they take none; what they enqueue or give back comes here.

ALTER TABLE jobsd.claims ADD COLUMN concurrency_key text;
ALTER TABLE jobsd.claims ADD COLUMN slot integer;
-- Serves the count of a key's slots, and lets nobody take one twice.
CREATE UNIQUE INDEX claims_slot ON jobsd.claims (concurrency_key, slot)
    WHERE concurrency_key IS NOT NULL;

ALTER TABLE jobsd.blocked_executions ADD COLUMN position bigint;
-- Of those that wait already none is ready; what programs of the version before put here is.
ALTER TABLE jobsd.blocked_executions
    ALTER COLUMN position SET DEFAULT nextval(pg_get_serial_sequence('jobsd.jobs', 'id'));
-- How many may run at once, as its job says; NULL: look there.
ALTER TABLE jobsd.blocked_executions ADD COLUMN concurrency_limit integer;
ALTER TABLE jobsd.blocked_executions SET (
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0
);
-- Serves claims by workers that listen to all queues.
CREATE UNIQUE INDEX blocked_executions_any
    ON jobsd.blocked_executions (priority, position)
    WHERE position IS NOT NULL;
-- Serves claims from one queue, and finds the names of queues by skipping.
CREATE UNIQUE INDEX blocked_executions_queue
    ON jobsd.blocked_executions (queue_name, priority, position)
    WHERE position IS NOT NULL;

-- Who enqueues a job that may not wait holds the row of its key until its transaction ends, and
-- counts then. A row is forgotten when nobody has held it for a day.
CREATE TABLE jobsd.discard_keys (
    key text PRIMARY KEY,
    held_at timestamptz NOT NULL DEFAULT now()
)
WITH (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0.1,
    autovacuum_vacuum_threshold = 1000
);

-- All ready jobs, wherever they wait.
CREATE OR REPLACE VIEW jobsd.all_ready_executions AS
    SELECT job_id, position, priority, queue_name, NULL::text AS lane
    FROM jobsd.ready_executions
    UNION ALL
    SELECT job_id, position, priority, queue_name, lane
    FROM jobsd.parked_executions
    UNION ALL
    SELECT job_id, position, priority, queue_name, NULL::text
    FROM jobsd.blocked_executions
    WHERE position IS NOT NULL;

-- All jobs that wait for a slot of which somebody has seen that it is not free.
CREATE VIEW jobsd.all_blocked_executions AS
    SELECT job_id, priority, queue_name, concurrency_key, created_at
    FROM jobsd.blocked_executions
    WHERE position IS NULL;

-- Let the first waiting jobs of some keys be met again, one for each time that a key is named: its
-- slots were given back by the statement before. Their places are new, behind what workers have
-- passed already. Where the first ones are of paused queues, so are the first of the others. Jobs
-- that somebody has locked are passed over: he is claiming them, or hands over himself.
CREATE FUNCTION jobsd.hand_over(keys text[]) RETURNS bigint
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
    handed bigint;
BEGIN
    WITH freed AS (
        SELECT each.key, count(*) AS slots
        FROM unnest(keys) AS each (key)
        WHERE each.key IS NOT NULL
        GROUP BY each.key
    ), first AS MATERIALIZED (
        SELECT waiting.job_id
        FROM freed
        CROSS JOIN LATERAL (
            SELECT *
            FROM (
                SELECT job_id
                FROM jobsd.blocked_executions
                WHERE concurrency_key = freed.key
                ORDER BY priority, job_id
                LIMIT freed.slots
                FOR UPDATE SKIP LOCKED
            ) AS all_queues
            UNION ALL
            SELECT *
            FROM (
                SELECT job_id
                FROM jobsd.blocked_executions
                WHERE concurrency_key = freed.key
                    AND EXISTS (SELECT FROM jobsd.pauses)
                    AND queue_name <> ALL (ARRAY(SELECT queue_name FROM jobsd.pauses))
                ORDER BY priority, job_id
                LIMIT freed.slots
                FOR UPDATE SKIP LOCKED
            ) AS others
        ) AS waiting
    ), ready AS (
        UPDATE jobsd.blocked_executions
        SET position = nextval(pg_get_serial_sequence('jobsd.jobs', 'id'))
        -- By its id: another hand-over may have changed the row since.
        WHERE job_id = ANY (ARRAY(SELECT job_id FROM first))
        RETURNING queue_name
    ), woken AS (
        SELECT pg_notify('jobsd.wake', 'limited ' || queue_name)
        FROM (SELECT DISTINCT queue_name FROM ready) AS queues
        WHERE EXISTS (SELECT FROM jobsd.sleepers WHERE kind = 'worker')
    )
    SELECT (SELECT count(*) FROM ready) + 0 * (SELECT count(*) FROM woken)
    INTO handed;
    RETURN handed;
END
$$;

-- What a program of the version before, or somebody's hand, does to the claim that holds a slot.
-- Such a program gives its jobs back as ready ones, which whoever claims them would take to have
-- slots: they wait here instead. Programs that see to it themselves say so.
CREATE FUNCTION jobsd.settle_slot() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    WITH stray AS (
        DELETE FROM jobsd.ready_executions AS ready
        USING jobsd.jobs AS job
        WHERE ready.job_id = ANY (OLD.job_ids)
            AND job.id = ready.job_id
            AND job.concurrency_key IS NOT NULL
            AND NOT EXISTS (
                SELECT FROM jobsd.concurrency_slots AS slot WHERE slot.job_id = ready.job_id
            )
        RETURNING
            ready.job_id, ready.position, ready.priority, ready.queue_name,
            job.concurrency_key, job.concurrency_limit
    )
    INSERT INTO jobsd.blocked_executions (
        job_id, position, priority, queue_name, concurrency_key, concurrency_limit
    )
    SELECT * FROM stray
    ON CONFLICT (job_id) DO NOTHING;
    IF TG_OP = 'DELETE' THEN
        PERFORM jobsd.hand_over(ARRAY[OLD.concurrency_key]);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER claims_slot_freed
    AFTER DELETE ON jobsd.claims
    FOR EACH ROW
    WHEN (
        OLD.concurrency_key IS NOT NULL
        AND current_setting('jobsd_limits.hands_over', true) IS DISTINCT FROM 'yes'
    )
    EXECUTE FUNCTION jobsd.settle_slot();
CREATE TRIGGER claims_slot_shrunk
    AFTER UPDATE OF job_ids ON jobsd.claims
    FOR EACH ROW
    WHEN (
        OLD.concurrency_key IS NOT NULL
        AND cardinality(NEW.job_ids) < cardinality(OLD.job_ids)
        AND current_setting('jobsd_limits.hands_over', true) IS DISTINCT FROM 'yes'
    )
    EXECUTE FUNCTION jobsd.settle_slot();

CREATE FUNCTION jobsd.hand_over_old_slot() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM jobsd.hand_over(ARRAY[OLD.key]);
    RETURN NULL;
END
$$;
CREATE TRIGGER concurrency_slots_freed
    AFTER DELETE ON jobsd.concurrency_slots
    FOR EACH ROW
    EXECUTE FUNCTION jobsd.hand_over_old_slot();

-- Hold a key among those whose jobs may not wait, until the transaction ends: whoever holds it
-- is waited for, two seconds in all in one transaction, so that the client has its answer in
-- time however many keys there are. Two who wait for each other are told so after one second, and
-- the one that is told goes without. The row is changed: under REPEATABLE READ, who can't see what
-- others have done since fails to be serialised.
CREATE FUNCTION jobsd.hold_key(wanted text) RETURNS boolean
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
            INSERT INTO jobsd.discard_keys AS held (key)
            VALUES (wanted)
            ON CONFLICT (key) DO UPDATE SET held_at = now();
            PERFORM set_config('lock_timeout', told, true);
            got := true;
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            -- What was set is taken back.
        END;
        rest := rest - floor(extract(epoch FROM clock_timestamp() - began) * 1000);
        PERFORM set_config('jobsd_limits.patience', greatest(0, rest)::text, true);
    END IF;
    RETURN got;
END
$$;

-- Count the jobs of a key that are ready, blocked or in hand, `at_most` of those that wait.
CREATE FUNCTION jobsd.jobs_of_key(wanted text, at_most bigint) RETURNS bigint
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
BEGIN
    RETURN (
        SELECT count(*)
        FROM (
            SELECT
            FROM jobsd.blocked_executions
            WHERE concurrency_key = wanted
            LIMIT at_most
        ) AS waiting
    ) + (
        SELECT coalesce(sum(cardinality(job_ids)), 0)
        FROM jobsd.claims
        WHERE concurrency_key = wanted
    ) + (
        SELECT count(*) FROM jobsd.concurrency_slots WHERE key = wanted
    );
END
$$;

-- Store one job of any kind and say where it is: scheduled, ready, or discarded, in which case
-- nothing was stored. One that may not wait, and whose key can't be held in time, is decided about
-- by the worker that meets it. `always` notifies also when nobody seems to sleep: nobody knows who
-- will when a caller's transaction commits.
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

-- Decide about jobs that this transaction has just stored and that may not wait, of some keys: by
-- all in one order, so that who waits for a key holds none that another one of them waits for.
-- `everything` means nothing any more. Says which were dropped.
DROP FUNCTION jobsd.admit(text[], boolean);
CREATE FUNCTION jobsd.admit(keys text[], everything boolean DEFAULT false)
RETURNS SETOF bigint
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
    wanted text;
    fresh bigint[];
    most bigint;
    room bigint;
BEGIN
    FOR wanted IN SELECT DISTINCT each.key FROM unnest(keys) AS each (key) ORDER BY 1 LOOP
        CONTINUE WHEN NOT EXISTS (
            SELECT
            FROM jobsd.blocked_executions
            WHERE concurrency_key = wanted AND yields AND created_at = now()
        ) OR NOT jobsd.hold_key(wanted);
        SELECT array_agg(blocked.job_id ORDER BY blocked.priority, blocked.job_id),
            min(coalesce(job.concurrency_limit, 1))
        INTO fresh, most
        FROM jobsd.blocked_executions AS blocked
        JOIN jobsd.jobs AS job ON job.id = blocked.job_id
        WHERE blocked.concurrency_key = wanted AND blocked.yields
            AND blocked.created_at = now();
        room := greatest(0, most + cardinality(fresh)
            - jobsd.jobs_of_key(wanted, most + cardinality(fresh)));
        UPDATE jobsd.blocked_executions
        SET yields = false
        WHERE job_id = ANY (fresh[:room]);
        DELETE FROM jobsd.blocked_executions WHERE job_id = ANY (fresh[room + 1:]);
        DELETE FROM jobsd.jobs WHERE id = ANY (fresh[room + 1:]);
        RETURN QUERY SELECT unnest(fresh[room + 1:]);
    END LOOP;
END
$$;

-- What programs of the version before say behind the statement that has given slots back, and
-- when they see jobs that wait beside free slots.
CREATE OR REPLACE FUNCTION jobsd.promote(keys text[], keep boolean DEFAULT true)
RETURNS TABLE (key text, got boolean, promoted bigint, discarded bigint)
LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
BEGIN
    PERFORM jobsd.hand_over(ARRAY(SELECT DISTINCT each.key FROM unnest(keys) AS each (key)));
    RETURN QUERY
        SELECT DISTINCT each.key, true, 0::bigint, 0::bigint
        FROM unnest(keys) AS each (key)
        WHERE each.key IS NOT NULL;
END
$$;

DROP FUNCTION jobsd.fill(text, boolean, integer);
DROP FUNCTION jobsd.slots_of(text);
DROP FUNCTION jobsd.ask_for_limit(text);
DROP FUNCTION jobsd.take_limit(text, boolean);
DROP FUNCTION jobsd.wait_for_limit(bigint);
DROP FUNCTION jobsd.limits_are_full();
DROP FUNCTION jobsd.limits_lock(text);
