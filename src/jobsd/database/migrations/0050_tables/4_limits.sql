-- Limits: a slot is a claim.
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

-- Let the first waiting jobs of some keys be met again, one for each time that a key is named: its
-- slots were given back by the statement before. Their places are new, behind what workers have
-- passed already. Where the first ones are of paused queues, so are the first of the others. Jobs
-- that somebody has locked are passed over: he is claiming them, or hands over himself. `always`
-- notifies also when no worker seems to sleep, in a transaction that may stay open. Jobs that this
-- transaction has just made ready, `met` anyway, are left out.
CREATE FUNCTION jobsd.hand_over(
    keys text[], always boolean DEFAULT false, met bigint[] DEFAULT '{}'
) RETURNS bigint
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
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
                    AND job_id <> ALL (met)
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
                    AND job_id <> ALL (met)
                    AND EXISTS (SELECT FROM jobsd.pauses)
                    AND queue_name <> ALL (ARRAY(SELECT queue_name FROM jobsd.pauses))
                ORDER BY priority, job_id
                LIMIT freed.slots
                FOR UPDATE SKIP LOCKED
            ) AS others
        ) AS waiting
    ), ready AS (
        UPDATE jobsd.blocked_executions
        SET position = nextval('jobsd.jobs_id_seq')
        -- By its id: another hand-over may have changed the row since.
        WHERE job_id = ANY (ARRAY(SELECT job_id FROM first))
        RETURNING queue_name
    ), woken AS (
        SELECT pg_notify('jobsd.wake', 'limited ' || queue_name)
        FROM (SELECT DISTINCT queue_name FROM ready) AS queues
        WHERE always OR EXISTS (SELECT FROM jobsd.sleepers WHERE kind = 'worker')
    )
    SELECT (SELECT count(*) FROM ready) + 0 * (SELECT count(*) FROM woken)
    INTO handed;
    RETURN handed;
END
$$;

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
    given text := current_setting('lock_timeout');
    rest integer := coalesce(nullif(current_setting('jobsd_limits.patience', true), ''), '2000');
    got boolean := false;
BEGIN
    IF rest > 0 THEN
        BEGIN
            -- The caller's own patience, where that is shorter. Nothing is no end: 0.
            PERFORM set_config('lock_timeout', least(
                rest, nullif(extract(epoch FROM given::interval) * 1000, 0)::integer
            )::text, true);
            INSERT INTO jobsd.discard_keys AS held (key)
            VALUES (wanted)
            ON CONFLICT (key) DO UPDATE SET held_at = now();
            PERFORM set_config('lock_timeout', given, true);
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
SET jit = off
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
        SELECT coalesce(sum(cardinality(job_ids) + (completed IS NOT NULL)::integer), 0)
        FROM jobsd.claims
        WHERE concurrency_key = wanted
    );
END
$$;

-- Decide about jobs that this transaction has just stored and that may not wait, of some keys: as
-- if they had been enqueued one after the other. So what was stored behind one of them, in the
-- same bulk, does not count against it. The keys are taken by all in one order, so that who waits
-- for a key holds none that another one of them waits for. Says which were dropped.
CREATE FUNCTION jobsd.admit(keys text[]) RETURNS SETOF bigint
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
    wanted text;
    first bigint;
    size bigint;
    most bigint;
    counted bigint;
    own record;
    admitted bigint[];
    dropped bigint[];
BEGIN
    FOR wanted IN SELECT DISTINCT each.key FROM unnest(keys) AS each (key) ORDER BY 1 LOOP
        SELECT min(job_id)
        INTO first
        FROM jobsd.blocked_executions
        WHERE concurrency_key = wanted AND yields AND created_at = now();
        CONTINUE WHEN first IS NULL OR NOT jobsd.hold_key(wanted);
        SELECT count(*), max(coalesce(job.concurrency_limit, 1))
        INTO size, most
        FROM jobsd.blocked_executions AS blocked
        JOIN jobsd.jobs AS job ON job.id = blocked.job_id
        WHERE blocked.concurrency_key = wanted
            AND blocked.job_id >= first
            AND blocked.created_at = now();
        -- What others have, and what this transaction has stored before.
        counted := jobsd.jobs_of_key(wanted, most + size) - size;
        admitted := '{}';
        dropped := '{}';
        FOR own IN
            SELECT blocked.job_id, blocked.yields, coalesce(job.concurrency_limit, 1) AS most
            FROM jobsd.blocked_executions AS blocked
            JOIN jobsd.jobs AS job ON job.id = blocked.job_id
            WHERE blocked.concurrency_key = wanted
                AND blocked.job_id >= first
                AND blocked.created_at = now()
            ORDER BY blocked.job_id
        LOOP
            IF own.yields AND counted >= own.most THEN
                dropped := dropped || own.job_id;
                CONTINUE;
            END IF;
            IF own.yields THEN
                admitted := admitted || own.job_id;
            END IF;
            counted := counted + 1;
        END LOOP;
        UPDATE jobsd.blocked_executions
        SET yields = false
        WHERE job_id = ANY (admitted);
        DELETE FROM jobsd.blocked_executions WHERE job_id = ANY (dropped);
        DELETE FROM jobsd.jobs WHERE id = ANY (dropped);
        RETURN QUERY SELECT unnest(dropped);
    END LOOP;
END
$$;
