-- Unique jobs: at most one job of a key, for the time that its definition sets.
--
-- A row of `unique_jobs` has the job that has taken a key last. Whether that job still counts is
-- decided when the next one comes, from the tables of states: so claims and finishes know nothing
-- of keys, and the key of a dead job is free as soon as its end is recorded. An enqueue takes a key
-- by the primary key of this table, and waits there for another transaction that has taken the key
-- and has not committed. Nothing else waits for a key.
--
-- A job that counts until it is started is held by each transaction that gets it as the answer to a
-- duplicate, so that it begins after their commits. It would never begin if these transactions
-- overlapped without an end. So a due job that another transaction holds takes no further
-- duplicate: the next one is stored, takes the key, and takes all duplicates until the first one
-- has begun (`before_id`). At most two jobs of a key wait then, and each waits only for the
-- transactions that held it when it became the first.
--
-- Invariant: a transaction changes a row only after it has locked it and has then judged its jobs.

CREATE TABLE jobsd.unique_jobs (
    key text PRIMARY KEY,
    job_id bigint NOT NULL,
    -- Until when that job counts: started, finished, or NULL: until `ends_at`.
    until text,
    ends_at timestamptz,
    -- The job that had the key before, until it was started, and was due and held.
    before_id bigint
)
WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.1,
    autovacuum_vacuum_threshold = 1000
);

-- Whether a job that waits for its first start is due; NULL if it does not. Each enqueue that meets
-- the job asks: 15 us; through the view `places`, 24.
CREATE FUNCTION jobsd.is_due(wanted bigint) RETURNS boolean
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
SET enable_bitmapscan = off
AS $$
BEGIN
    -- One statement, so one snapshot: a job that is being moved is in one of these tables.
    RETURN (
        SELECT CASE
            WHEN EXISTS (SELECT FROM jobsd.ready_executions WHERE job_id = wanted)
                OR EXISTS (SELECT FROM jobsd.blocked_executions WHERE job_id = wanted)
                OR EXISTS (SELECT FROM jobsd.parked_executions WHERE job_id = wanted)
                THEN true
            ELSE (
                SELECT scheduled_at <= clock_timestamp()
                FROM jobsd.scheduled_executions
                WHERE job_id = wanted
            )
        END
        FROM jobsd.jobs
        WHERE id = wanted AND unique_until = 'started'
    );
END
$$;

-- Lock a job that waits for its first start until this transaction ends: claims skip it. Otherwise
-- a caller that has changed the data of the job, and gets the existing job as the answer, might
-- commit only after the job has read the old data. Returns NULL if the job no longer waits; false
-- if it is due and another transaction holds it, perhaps to claim it, or if it is due and was
-- `passed`. With `shared`, and for a job that is not due, any number of transactions hold it, and a
-- claim under way is waited for.
CREATE FUNCTION jobsd.hold_waiting(wanted bigint, shared boolean, passed boolean) RETURNS boolean
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
SET enable_bitmapscan = off
AS $$
DECLARE
    due boolean;
    tried boolean := passed;
    held boolean;
BEGIN
    LOOP
        due := jobsd.is_due(wanted);
        IF due IS NULL THEN
            RETURN NULL;
        ELSIF shared OR NOT due THEN
            held := EXISTS (
                SELECT FROM jobsd.ready_executions WHERE job_id = wanted FOR KEY SHARE
            ) OR EXISTS (
                SELECT FROM jobsd.scheduled_executions WHERE job_id = wanted FOR KEY SHARE
            ) OR EXISTS (
                SELECT FROM jobsd.blocked_executions WHERE job_id = wanted FOR KEY SHARE
            ) OR EXISTS (
                SELECT FROM jobsd.parked_executions WHERE job_id = wanted FOR KEY SHARE
            );
        ELSIF tried THEN
            RETURN false;
        ELSE
            held := EXISTS (
                SELECT FROM jobsd.ready_executions
                WHERE job_id = wanted FOR UPDATE SKIP LOCKED
            ) OR EXISTS (
                SELECT FROM jobsd.scheduled_executions
                WHERE job_id = wanted FOR UPDATE SKIP LOCKED
            ) OR EXISTS (
                SELECT FROM jobsd.blocked_executions
                WHERE job_id = wanted FOR UPDATE SKIP LOCKED
            ) OR EXISTS (
                SELECT FROM jobsd.parked_executions
                WHERE job_id = wanted FOR UPDATE SKIP LOCKED
            );
            -- Once more: it may have gone just before.
            tried := true;
        END IF;
        IF held THEN
            -- It may have been claimed and given back just before.
            RETURN CASE WHEN jobsd.is_due(wanted) IS NOT NULL THEN true END;
        END IF;
    END LOOP;
END
$$;

-- Wake the processes that may take a job that this transaction holds, once it has committed: until
-- then workers skip the job, also when a slot is freed for it. Which of them are woken depends on
-- the table, and the view `places` does not tell limited ready jobs from others.
CREATE FUNCTION jobsd.wake_for_held(wanted bigint) RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
SET enable_bitmapscan = off
AS $$
BEGIN
    PERFORM pg_notify(
        CASE WHEN payload IN ('due', 'limits') THEN 'jobsd.due' ELSE 'jobsd.wake' END, payload
    )
    FROM (
        SELECT 'ready ' || queue_name AS payload
        FROM jobsd.ready_executions
        WHERE job_id = wanted
        UNION ALL
        SELECT 'ready ' || queue_name
        FROM jobsd.parked_executions
        WHERE job_id = wanted
        UNION ALL
        SELECT 'due'
        FROM jobsd.scheduled_executions
        WHERE job_id = wanted
        UNION ALL
        SELECT CASE WHEN position IS NULL THEN 'limits' ELSE 'limited ' || queue_name END
        FROM jobsd.blocked_executions
        WHERE job_id = wanted
    ) AS held;
END
$$;

-- Whether a job has neither ended nor failed. If an end is being recorded, this waits for it with a
-- lock that it releases at once, so that no end waits for this function. If no transaction changes
-- the row, nothing is locked: each lock would write to a page and take the id of a transaction.
CREATE FUNCTION jobsd.is_unfinished(wanted bigint) RETURNS boolean
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
SET enable_bitmapscan = off
AS $$
DECLARE
    lives boolean;
    changed_by xid;
BEGIN
    SELECT xmax INTO changed_by FROM jobsd.jobs WHERE id = wanted AND outcome IS NULL;
    lives := FOUND;
    IF lives AND changed_by <> '0' THEN
        BEGIN
            PERFORM FROM jobsd.jobs WHERE id = wanted AND outcome IS NULL FOR SHARE;
            lives := FOUND;
            RAISE SQLSTATE 'JOB00';
        EXCEPTION WHEN SQLSTATE 'JOB00' THEN
            -- The lock was released.
        END;
    END IF;
    RETURN lives AND NOT EXISTS (SELECT FROM jobsd.failed_executions WHERE job_id = wanted);
END
$$;

-- Return the job of a key that takes a duplicate, if one does (`present`), and the job that waits
-- before the next one (`before`). A job that was `passed` takes no duplicate while it is due.
CREATE FUNCTION jobsd.judge_unique(
    held jobsd.unique_jobs, passed bigint, OUT present bigint, OUT before bigint
)
LANGUAGE plpgsql
AS $$
DECLARE
    single bigint;
    takes boolean;
BEGIN
    IF jobsd.is_due(held.before_id) IS NOT NULL THEN
        before := held.before_id;
    END IF;
    IF held.until = 'finished' THEN
        takes := jobsd.is_unfinished(held.job_id);
    ELSIF held.until IS NULL THEN
        takes := held.ends_at > clock_timestamp();
    ELSIF before IS NOT NULL THEN
        takes := jobsd.hold_waiting(held.job_id, true, false);
    END IF;
    IF takes THEN
        present := held.job_id;
        RETURN;
    END IF;
    -- At most one of the two waits.
    single := coalesce(before, CASE WHEN held.until = 'started' THEN held.job_id END);
    takes := jobsd.hold_waiting(single, false, (single = passed) IS TRUE);
    present := CASE WHEN takes THEN single END;
    before := CASE WHEN NOT takes THEN single END;
END
$$;

-- Take a key for a job. Returns NULL if the job has the key, otherwise the job that takes the
-- duplicate, which is held if it counts until it is started. `alone` is for a caller that will
-- change that job: if two transactions held it, neither could. This waits for a transaction that is
-- just taking the key, with a lock that is released at once, unless it is to be kept anyway.
CREATE FUNCTION jobsd.take_unique(
    wanted text, taker bigint, how_long text, within interval, alone boolean DEFAULT false
) RETURNS bigint
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
SET enable_bitmapscan = off
AS $$
DECLARE
    held jobsd.unique_jobs;
    met record;
    -- The job that was due and held when this duplicate came: it does not take the duplicate later.
    passed bigint;
BEGIN
    LOOP
        INSERT INTO jobsd.unique_jobs (key, job_id, until, ends_at)
        VALUES (wanted, taker, how_long, clock_timestamp() + within)
        ON CONFLICT (key) DO NOTHING;
        IF FOUND THEN
            RETURN NULL;
        END IF;
        SELECT * INTO held FROM jobsd.unique_jobs WHERE key = wanted;
        CONTINUE WHEN NOT FOUND; -- It was forgotten meanwhile.
        IF alone THEN
            passed := held.job_id;
        ELSE
            SELECT * INTO met FROM jobsd.judge_unique(held, passed);
            IF met.present IS NOT NULL THEN
                RETURN met.present;
            END IF;
            passed := met.before;
        END IF;
        SELECT * INTO held FROM jobsd.unique_jobs WHERE key = wanted FOR UPDATE SKIP LOCKED;
        IF FOUND THEN
            passed := CASE WHEN NOT alone THEN passed END;
        ELSIF alone THEN
            SELECT * INTO held FROM jobsd.unique_jobs WHERE key = wanted FOR UPDATE;
            CONTINUE WHEN NOT FOUND;
        ELSE
            BEGIN
                PERFORM FROM jobsd.unique_jobs WHERE key = wanted FOR SHARE;
                RAISE SQLSTATE 'JOB00';
            EXCEPTION WHEN SQLSTATE 'JOB00' THEN
                -- The lock was released.
            END;
            CONTINUE;
        END IF;
        SELECT * INTO met FROM jobsd.judge_unique(held, passed);
        IF met.present IS NOT NULL THEN
            RETURN met.present;
        END IF;
        UPDATE jobsd.unique_jobs
        SET job_id = taker, until = how_long, ends_at = clock_timestamp() + within,
            before_id = met.before
        WHERE key = wanted;
        RETURN NULL;
    END LOOP;
END
$$;

-- Give back keys that were taken for jobs that were not stored in the end. The former job has its
-- key again.
CREATE FUNCTION jobsd.give_back_unique(keys text[], takers bigint[]) RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
SET enable_bitmapscan = off
AS $$
BEGIN
    DELETE FROM jobsd.unique_jobs AS held
    WHERE held.key = ANY (keys) AND held.job_id = ANY (takers) AND held.before_id IS NULL;
    UPDATE jobsd.unique_jobs AS held
    SET job_id = held.before_id, until = 'started', ends_at = NULL, before_id = NULL
    WHERE held.key = ANY (keys) AND held.job_id = ANY (takers);
END
$$;

-- Take the keys again of failed jobs that are to be retried, in the order of their keys. Returns
-- the refused jobs: another job has the key, or takes it in an open transaction (NULL).
CREATE FUNCTION jobsd.retake_unique(ids bigint[])
RETURNS TABLE (job_id bigint, present bigint)
LANGUAGE plpgsql
SET lock_timeout = '2s'
SET enable_seqscan = off
SET jit = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
    given record;
    taken text;
    taken_by bigint;
BEGIN
    FOR given IN
        SELECT job.id, job.unique_key
        FROM jobsd.jobs AS job
        JOIN jobsd.failed_executions AS failed ON failed.job_id = job.id
        WHERE job.id = ANY (ids) AND job.unique_until = 'finished'
        ORDER BY job.unique_key, job.id
    LOOP
        job_id := given.id;
        BEGIN
            -- Of several jobs of one key the first is retried; its failure is still stored here.
            present := CASE WHEN taken = given.unique_key THEN taken_by ELSE
                jobsd.take_unique(given.unique_key, given.id, 'finished', NULL)
            END;
            IF present IS NULL THEN
                taken := given.unique_key;
                taken_by := given.id;
                CONTINUE;
            END IF;
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            present := NULL;
        END;
        RETURN NEXT;
    END LOOP;
END
$$;
