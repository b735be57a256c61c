-- Unique jobs: at most one of a key, for as long as its definition says.
--
-- A row of `unique_jobs` says which job has taken a key last. Whether that job still counts is asked
-- when the next one comes, of the tables in which jobs stand anyway: so no claim and no finish
-- knows of keys, and the keys of whatever dies are free as soon as its end is recorded. Who
-- enqueues takes a key by its primary key, and waits there for whoever has taken it and has not
-- committed. Nobody else waits for a key.
--
-- A job that counts until it is started is held by each transaction that is told of it, so that it
-- begins after their commits. It would never begin if such transactions overlapped without an end.
-- So a due job that another transaction holds takes no further duplicate: the next one is stored,
-- takes the key, and takes all duplicates until the first one has begun (`before_id`). At most two
-- jobs of a key wait then, and each waits for those alone that held it when it became the first.
--
-- Invariant: a row is changed only by who has it locked, and has judged its jobs behind the lock.

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

-- Whether a job that waits to be started for the first time is due; NULL when it does not wait so.
CREATE FUNCTION jobsd.is_due(wanted bigint) RETURNS boolean
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
SET enable_bitmapscan = off
AS $$
BEGIN
    -- One statement, so one snapshot: a job that moves is in one of these.
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

-- Hold a job that waits to be started for the first time until this transaction ends: a claim skips
-- it. Else a caller who has changed what the job will read, and was told that the job is there
-- already, might commit only when that has read. NULL when the job does not wait any more; false
-- when it is due and another transaction holds it, be it to claim it, or when it is due and was
-- `passed`. With `shared` any number hold it, due or not, and a claim under way is waited for; so
-- it is with a job that is not due.
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

-- Wake who may take a job that this transaction holds, once that has committed: whoever meets it
-- until then passes it over, and so does whoever frees a slot for it.
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

-- Whether a job has neither ended nor failed. An end that is being recorded is waited for: with a
-- lock that is given back at once, so that no end waits for whoever asks. Where nobody changes the
-- row, nothing is locked: that would write to a page, and take an id of a transaction, each time.
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
            -- What was locked is let go.
        END;
    END IF;
    RETURN lives AND NOT EXISTS (SELECT FROM jobsd.failed_executions WHERE job_id = wanted);
END
$$;

-- Say which job of a key takes a duplicate, if one does (`present`), and which one waits before the
-- next (`before`). What was `passed` takes none while it is due.
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
    -- One of the two waits at most.
    single := coalesce(before, CASE WHEN held.until = 'started' THEN held.job_id END);
    takes := jobsd.hold_waiting(single, false, (single = passed) IS TRUE);
    present := CASE WHEN takes THEN single END;
    before := CASE WHEN NOT takes THEN single END;
END
$$;

-- Take a key for a job; NULL when it has it, else the job that takes the duplicate, which is held
-- if it counts until it is started. `alone` says that this job will be changed: of two who hold it,
-- neither could. Whoever is just taking the key is waited for, with a lock that is given back at
-- once, unless it is to be kept anyway.
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
    -- The job that was due and held when this duplicate came: it does not take it later either.
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
                -- What was locked is let go.
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

-- Let keys go that were taken for jobs that are not stored after all. The job before has its key
-- again.
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

-- Take the keys again of failed jobs that are to be retried, in the order of their keys. Says which
-- of them can't: another job has the key, or takes it in a transaction that is open (NULL).
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
            -- Of several of one key the first is retried; its failure still stands here.
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
