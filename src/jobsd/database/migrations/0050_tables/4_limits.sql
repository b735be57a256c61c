-- Limits: a slot is a claim.
--
-- A limited job waits in blocked_executions from its enqueue on, in the order of its key. With a
-- position it is ready: workers meet it in the order of all jobs. Without one it is blocked: a
-- worker has met it and found its key full, or it was enqueued together with an earlier job of its
-- key. A claim takes a slot: a row of `claims` with a key and the number of a slot holds that slot
-- for as long as the row exists. So no slot is freed by itself, forgotten or freed twice, and the
-- slots of a dead process are freed with its claims.
--
-- Invariant: if jobs of a key wait, one of them is ready, or a claim of the key exists. A session
-- that blocks a job holds the row of a claim of its key locked. A session that removes a claim
-- hands over to the first job in the next statement of the same transaction, which sees all blocked
-- jobs.

-- The enqueue of a job that may not wait locks the row of its key until its transaction ends, and
-- then counts the jobs of the key. A row is deleted when no session has locked it for a day.
CREATE TABLE jobsd.discard_keys (
    key text PRIMARY KEY,
    held_at timestamptz NOT NULL DEFAULT now()
)
WITH (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0.1,
    autovacuum_vacuum_threshold = 1000
);

-- Make the first waiting jobs of some keys ready, one for each mention of a key, whose slots the
-- statement before has freed. Their positions are new, behind the ones that workers have already
-- passed. If queues are paused, the first jobs of the unpaused queues become ready as well. Jobs
-- that another session has locked are skipped: it is claiming them, or hands over itself. `always`
-- notifies also when no worker seems to sleep, for a transaction that may stay open. The jobs in
-- `met`, which this transaction has just made ready, are left out.
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

-- Lock the key of jobs that may not wait, until the transaction ends. It waits for another holder
-- two seconds at most in one transaction, so that the client has its answer in time with any number
-- of keys; `hastily` it waits 20 ms for each key. The server ends a deadlock after one second, and
-- the session that gets the error goes on without the lock. The row is changed so that under
-- REPEATABLE READ a session that can't see the commits of others fails to be serialised.
CREATE FUNCTION jobsd.hold_key(wanted text, hastily boolean DEFAULT false) RETURNS boolean
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
            -- The caller's own lock_timeout, if it is shorter; 0 is no limit.
            PERFORM set_config('lock_timeout', least(
                rest, nullif(extract(epoch FROM given::interval) * 1000, 0)::integer,
                CASE WHEN hastily THEN 20 END
            )::text, true);
            INSERT INTO jobsd.discard_keys AS held (key)
            VALUES (wanted)
            ON CONFLICT (key) DO UPDATE SET held_at = now();
            PERFORM set_config('lock_timeout', given, true);
            got := true;
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            -- The setting was rolled back.
        END;
        rest := rest - floor(extract(epoch FROM clock_timestamp() - began) * 1000);
        PERFORM set_config('jobsd_limits.patience', greatest(0, rest)::text, true);
    END IF;
    RETURN got;
END
$$;

-- Count the jobs of a key that are ready, blocked or claimed; of waiting jobs, `at_most` are
-- counted.
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
