-- Give the free slots of a key to the jobs that wait for one, `at_most` of them, and discard
-- those that may not wait: with `keep` their rows stay, with NULL only of those that were
-- accepted before, by another transaction. The caller holds the key's lock. `more` says that the
-- key has to be looked after once more: it is not done, or others have locked who is next, or the
-- row of a job that is to be discarded: nobody waits for that.
CREATE OR REPLACE FUNCTION jobsd.fill(
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
    cleared bigint := 0;
    yielded bigint[];
    met bigint;
BEGIN
    promoted := 0;
    discarded := 0;
    more := false;
    SELECT job.id IS NULL AS lost, coalesce(job.concurrency_limit, 1) AS most
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
    -- Of a job that somebody has deleted no limit is known: those behind it have one.
    is_full := NOT waiting.lost AND held >= waiting.most;
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
            more := promoted + cleared >= at_most;
            EXIT WHEN more;
            IF waiting.lost THEN
                -- Somebody has deleted its job: nobody would give its slot back.
                DELETE FROM jobsd.blocked_executions WHERE job_id = waiting.job_id;
                cleared := cleared + 1;
                CONTINUE;
            END IF;
            is_full := held >= waiting.most;
            EXIT WHEN is_full;
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
    WITH yielding AS (
        -- What this transaction has stored, nobody else sees.
        SELECT job_id, created_at = now() AS own
        FROM jobsd.blocked_executions
        WHERE concurrency_key = wanted AND yields
        LIMIT at_most
        FOR UPDATE SKIP LOCKED
    ), had AS (
        SELECT id
        FROM jobsd.jobs
        WHERE id = ANY (ARRAY(SELECT job_id FROM yielding WHERE NOT own))
        ORDER BY id
        FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM jobsd.blocked_executions
        WHERE job_id = ANY (ARRAY(
            SELECT job_id
            FROM yielding
            WHERE own
                OR job_id IN (SELECT id FROM had)
                OR NOT EXISTS (SELECT FROM jobsd.jobs AS job WHERE job.id = yielding.job_id)
        ))
        RETURNING job_id
    )
    SELECT
        coalesce(array_agg(job_id), '{}'),
        (SELECT count(*) FROM yielding)
    INTO yielded, met
    FROM gone;
    discarded := cardinality(yielded);
    more := met > discarded OR met >= at_most;
    IF discarded > 0 THEN
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
