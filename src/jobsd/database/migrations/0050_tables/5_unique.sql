-- Unique jobs: at most one of a key, for as long as its definition says.
--
-- A row of `unique_jobs` says which job has taken a key last. Whether that job still counts is asked
-- when the next one comes, of the tables in which jobs stand anyway: so no claim and no finish
-- knows of keys, and the keys of whatever dies are free as soon as its end is recorded. Who
-- enqueues takes a key by its primary key, and waits there for whoever has taken it and has not
-- committed. Nobody else waits for a key.
--
-- Invariant: a row is changed only by who has it locked, and has judged its job behind the lock.

CREATE TABLE jobsd.unique_jobs (
    key text PRIMARY KEY,
    job_id bigint NOT NULL,
    -- Until when that job counts: started, finished, or NULL: until `ends_at`.
    until text,
    ends_at timestamptz
)
WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.1,
    autovacuum_vacuum_threshold = 1000
);

-- Whether a job waits, and was never claimed. It goes on waiting until this transaction ends: a
-- claim skips it. Else a caller who has changed what the job will read, and was told that the job
-- is there already, might commit only when that has read. A claim under way is waited for.
CREATE FUNCTION jobsd.hold_waiting(wanted bigint) RETURNS boolean
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
SET enable_bitmapscan = off
AS $$
DECLARE
    place text;
BEGIN
    LOOP
        -- One statement, so one snapshot: a job that moves is in one of these.
        place := CASE
            WHEN EXISTS (SELECT FROM jobsd.ready_executions WHERE job_id = wanted) THEN 'ready'
            WHEN EXISTS (SELECT FROM jobsd.scheduled_executions WHERE job_id = wanted)
                THEN 'scheduled'
            WHEN EXISTS (SELECT FROM jobsd.blocked_executions WHERE job_id = wanted)
                THEN 'blocked'
            WHEN EXISTS (SELECT FROM jobsd.parked_executions WHERE job_id = wanted)
                THEN 'parked'
        END;
        IF place IS NULL THEN
            RETURN false;
        ELSIF place = 'ready' THEN
            PERFORM FROM jobsd.ready_executions WHERE job_id = wanted FOR KEY SHARE;
        ELSIF place = 'scheduled' THEN
            PERFORM FROM jobsd.scheduled_executions WHERE job_id = wanted FOR KEY SHARE;
        ELSIF place = 'blocked' THEN
            PERFORM FROM jobsd.blocked_executions WHERE job_id = wanted FOR KEY SHARE;
        ELSE
            PERFORM FROM jobsd.parked_executions WHERE job_id = wanted FOR KEY SHARE;
        END IF;
        IF FOUND THEN
            RETURN EXISTS (
                SELECT FROM jobsd.jobs WHERE id = wanted AND unique_until = 'started'
            );
        END IF;
    END LOOP;
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

-- Whether the job that has a key keeps others from it.
CREATE FUNCTION jobsd.counts(held jobsd.unique_jobs) RETURNS boolean
LANGUAGE plpgsql
AS $$
BEGIN
    RETURN CASE held.until
        WHEN 'started' THEN jobsd.hold_waiting(held.job_id)
        WHEN 'finished' THEN jobsd.is_unfinished(held.job_id)
        ELSE held.ends_at > clock_timestamp()
    END;
END
$$;

-- Take a key for a job; NULL when it has it, else the job that has it.
CREATE FUNCTION jobsd.take_unique(
    wanted text, taker bigint, how_long text, within interval
) RETURNS bigint
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
SET enable_bitmapscan = off
AS $$
DECLARE
    held jobsd.unique_jobs;
BEGIN
    LOOP
        INSERT INTO jobsd.unique_jobs (key, job_id, until, ends_at)
        VALUES (wanted, taker, how_long, clock_timestamp() + within)
        ON CONFLICT (key) DO NOTHING;
        IF FOUND THEN
            RETURN NULL;
        END IF;
        SELECT * INTO held FROM jobsd.unique_jobs WHERE key = wanted;
        IF FOUND AND jobsd.counts(held) THEN
            RETURN held.job_id;
        END IF;
        SELECT * INTO held FROM jobsd.unique_jobs WHERE key = wanted FOR UPDATE;
        -- Else it was forgotten meanwhile.
        IF FOUND THEN
            IF jobsd.counts(held) THEN
                RETURN held.job_id;
            END IF;
            UPDATE jobsd.unique_jobs
            SET job_id = taker, until = how_long, ends_at = clock_timestamp() + within
            WHERE key = wanted;
            RETURN NULL;
        END IF;
    END LOOP;
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

-- Hold a unique key until this transaction ends, and return the class of the job that has it, if
-- one has: no other transaction can give the key another one then.
CREATE FUNCTION jobsd.hold_unique(wanted text) RETURNS text
LANGUAGE plpgsql
AS $$
BEGIN
    LOOP
        -- A row that counts for nothing, so that there is one to be locked. Whoever has just made
        -- one is waited for.
        INSERT INTO jobsd.unique_jobs (key, job_id, until, ends_at)
        VALUES (wanted, 0, NULL, '-infinity')
        ON CONFLICT (key) DO NOTHING;
        PERFORM FROM jobsd.unique_jobs AS held WHERE held.key = wanted FOR UPDATE;
        IF FOUND THEN
            RETURN (
                SELECT job.class_name
                FROM jobsd.unique_jobs AS held
                JOIN jobsd.jobs AS job ON job.id = held.job_id
                WHERE held.key = wanted
            );
        END IF;
    END LOOP;
END
$$;
