-- How jobs are stored, alone and in bulk.

-- Say when a job expires.
CREATE FUNCTION jobsd.let_expire(id bigint, moment timestamptz) RETURNS void
LANGUAGE sql
SET enable_seqscan = off
SET jit = off
AS $$
    INSERT INTO jobsd.expirations AS known (job_id, expires_at)
    VALUES (id, moment)
    ON CONFLICT (job_id) DO UPDATE SET expires_at = excluded.expires_at
$$;

-- Put a job whose row is there to where it belongs, and wake who may take it there. `always`
-- notifies also when nobody seems to sleep: nobody knows who will when a caller's transaction
-- commits.
CREATE FUNCTION jobsd.place(
    job_id bigint, turn bigint, queue_name text, priority integer, due timestamptz,
    key text, most integer, yields boolean, always boolean
) RETURNS text
LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
BEGIN
    IF due > clock_timestamp() THEN
        INSERT INTO jobsd.scheduled_executions (
            job_id, scheduled_at, priority, queue_name, concurrency_key
        )
        VALUES (job_id, due, priority, queue_name, key);
        IF always OR (
            due < clock_timestamp() + interval '6 seconds'
            AND EXISTS (SELECT FROM jobsd.sleepers WHERE kind = 'dispatcher')
        ) THEN
            PERFORM pg_notify('jobsd.due', 'due');
        END IF;
        RETURN 'scheduled';
    END IF;
    IF key IS NULL THEN
        INSERT INTO jobsd.ready_executions (job_id, position, priority, queue_name)
        VALUES (job_id, turn, priority, queue_name);
    ELSE
        INSERT INTO jobsd.blocked_executions (
            job_id, position, priority, queue_name, concurrency_key, concurrency_limit, yields
        )
        VALUES (job_id, turn, priority, queue_name, key, most, yields);
    END IF;
    IF always OR EXISTS (SELECT FROM jobsd.sleepers WHERE kind = 'worker') THEN
        PERFORM pg_notify(
            'jobsd.wake', CASE WHEN key IS NULL THEN 'ready ' ELSE 'limited ' END || queue_name
        );
    END IF;
    RETURN 'ready';
END
$$;

-- Store one job of any kind and say where it is: scheduled, ready, or discarded, in which case
-- nothing was stored. One that may not wait, and whose key can't be held in time, is decided about
-- by the worker that meets it. `given_id` is the id that it gets; without one, the next.
CREATE FUNCTION jobsd.store(
    queue_name text, class_name text, arguments jsonb, priority integer, max_attempts integer,
    retries_crash boolean, due timestamptz, key text, most integer, duration interval,
    on_conflict text, always boolean, context jsonb DEFAULT NULL,
    given_id bigint DEFAULT NULL, unique_key text DEFAULT NULL, unique_until text DEFAULT NULL,
    expires_in interval DEFAULT NULL, OUT job_id bigint, OUT state text
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
    IF key IS NOT NULL AND on_conflict = 'discard' AND (due > clock_timestamp()) IS NOT TRUE THEN
        yields := NOT jobsd.hold_key(key);
        IF NOT yields AND jobsd.jobs_of_key(key, most) >= most THEN
            state := 'discarded';
            RETURN;
        END IF;
    END IF;
    job_id := coalesce(given_id, nextval('jobsd.jobs_id_seq'));
    INSERT INTO jobsd.jobs (
        id, queue_name, class_name, arguments, priority, max_attempts, retries_crash,
        scheduled_at, concurrency_key, concurrency_limit, concurrency_duration, on_conflict,
        context, unique_key, unique_until, expires_in
    )
    VALUES (
        job_id, queue_name, class_name, arguments, priority, max_attempts, retries_crash, due,
        key, CASE WHEN key IS NOT NULL THEN most END, duration,
        CASE WHEN key IS NOT NULL THEN on_conflict END, context, unique_key, unique_until,
        expires_in
    );
    IF expires_in IS NOT NULL THEN
        PERFORM jobsd.let_expire(job_id, greatest(due, clock_timestamp()) + expires_in);
    END IF;
    state := jobsd.place(
        job_id, job_id, queue_name, priority, due, key, most, yields, always
    );
END
$$;

-- Give a job that waits, and was not claimed yet, all that another one says: arguments, queue,
-- priority, time, limit. It is due at most `max_wait` after it was enqueued. One that was ready
-- keeps its place in the line. `freed` is a key of which others may have waited behind it: whoever
-- calls this hands over to them when he waits for nothing more, since that locks jobs for which
-- others may wait.
CREATE FUNCTION jobsd.replace_waiting(
    wanted bigint,
    queue_name text, class_name text, arguments jsonb, priority integer, max_attempts integer,
    retries_crash boolean, due timestamptz, key text, most integer, duration interval,
    on_conflict text, context jsonb, max_wait interval, always boolean,
    expires_in interval DEFAULT NULL,
    OUT state text, OUT freed text
)
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_variable
DECLARE
    place bigint;
    old jobsd.jobs;
    latest timestamptz;
    gone_key text;
BEGIN
    SELECT * INTO old FROM jobsd.jobs WHERE id = wanted;
    latest := old.created_at + max_wait;
    IF due > latest THEN
        due := latest;
    END IF;
    DELETE FROM jobsd.scheduled_executions WHERE job_id = wanted;
    IF NOT FOUND THEN
        WITH common AS (
            DELETE FROM jobsd.ready_executions WHERE job_id = wanted RETURNING position
        ), parked AS (
            DELETE FROM jobsd.parked_executions WHERE job_id = wanted RETURNING position
        ), limited AS (
            DELETE FROM jobsd.blocked_executions
            WHERE job_id = wanted
            RETURNING position, concurrency_key
        )
        SELECT max(gone.position), max(gone.concurrency_key)
        INTO place, gone_key
        FROM (
            SELECT position, NULL::text AS concurrency_key FROM common
            UNION ALL SELECT position, NULL FROM parked
            UNION ALL SELECT position, concurrency_key FROM limited
        ) AS gone;
    END IF;
    UPDATE jobsd.jobs AS job
    SET queue_name = replace_waiting.queue_name, class_name = replace_waiting.class_name,
        arguments = replace_waiting.arguments, priority = replace_waiting.priority,
        max_attempts = replace_waiting.max_attempts,
        retries_crash = replace_waiting.retries_crash, scheduled_at = due,
        concurrency_key = key, concurrency_limit = CASE WHEN key IS NOT NULL THEN most END,
        concurrency_duration = duration, context = replace_waiting.context,
        expires_in = replace_waiting.expires_in,
        on_conflict = CASE WHEN key IS NOT NULL THEN replace_waiting.on_conflict END
    WHERE job.id = wanted;
    IF expires_in IS NULL THEN
        DELETE FROM jobsd.expirations AS expiration WHERE expiration.job_id = wanted;
    ELSE
        PERFORM jobsd.let_expire(wanted, greatest(due, clock_timestamp()) + expires_in);
    END IF;
    state := jobsd.place(
        wanted, coalesce(place, nextval('jobsd.jobs_id_seq')),
        queue_name, priority, due, key, most,
        key IS NOT NULL AND on_conflict = 'discard', always
    );
    -- Those behind it are met with it where it stands as before.
    IF place IS NOT NULL AND (
        state, key, queue_name, priority
    ) IS DISTINCT FROM ('ready', gone_key, old.queue_name, old.priority) THEN
        freed := gone_key;
    END IF;
END
$$;

-- Store a unique job, or say which one is there already: 'duplicate', or where it is now that it
-- was replaced (`replaced_class` is the class that it was of); and when that one was created. Whoever
-- holds the key in a transaction that is open is waited for, two seconds.
CREATE FUNCTION jobsd.store_unique(
    queue_name text, class_name text, arguments jsonb, priority integer, max_attempts integer,
    retries_crash boolean, due timestamptz, key text, most integer, duration interval,
    on_conflict text, always boolean, context jsonb,
    unique_key text, unique_until text, unique_within interval, unique_conflict text,
    unique_max_wait interval,
    expires_in interval DEFAULT NULL,
    OUT job_id bigint, OUT state text, OUT replaced boolean, OUT created timestamptz,
    OUT replaced_class text
)
LANGUAGE plpgsql
SET lock_timeout = '2s'
AS $$
#variable_conflict use_variable
DECLARE
    fresh bigint := nextval('jobsd.jobs_id_seq');
    freed text;
BEGIN
    replaced := false;
    job_id := jobsd.take_unique(
        unique_key, fresh, unique_until, unique_within, unique_conflict = 'replace'
    );
    IF job_id IS NULL THEN
        SELECT stored.job_id, stored.state
        INTO job_id, state
        FROM jobsd.store(
            queue_name, class_name, arguments, priority, max_attempts, retries_crash, due, key,
            most, duration, on_conflict, always, context, fresh, unique_key, unique_until,
            expires_in
        ) AS stored;
        created := now();
        IF job_id IS NULL THEN
            PERFORM jobsd.give_back_unique(ARRAY[unique_key], ARRAY[fresh]);
        END IF;
        RETURN;
    END IF;
    created := (SELECT job.created_at FROM jobsd.jobs AS job WHERE job.id = store_unique.job_id);
    state := 'duplicate';
    IF jobsd.is_due(job_id) IS NULL THEN
        RETURN; -- It counts longer than until it is started, and is not held.
    END IF;
    IF unique_conflict = 'replace' THEN
        replaced := true;
        replaced_class := (SELECT job.class_name FROM jobsd.jobs AS job WHERE job.id = job_id);
        SELECT given.state, given.freed
        INTO state, freed
        FROM jobsd.replace_waiting(
            job_id, queue_name, class_name, arguments, priority, max_attempts, retries_crash, due,
            key, most, duration, on_conflict, context, unique_max_wait, always,
            expires_in
        ) AS given;
        PERFORM jobsd.hand_over(ARRAY[freed], always, ARRAY[job_id]);
    ELSE
        PERFORM jobsd.wake_for_held(job_id);
    END IF;
END
$$;

-- Decide about unique jobs that this transaction has just stored, in the order of their keys, so
-- that of two who decide about the same ones neither holds what the other one waits for. Says
-- which were dropped, and for which jobs. With `hastily` nobody is waited for: a job whose key is
-- just being taken is dropped, and nobody knows for which.
CREATE FUNCTION jobsd.admit_unique(
    ids bigint[], keys text[], untils text[], withins_s float8[], conflicts text[],
    max_waits_s float8[], always boolean, hastily boolean DEFAULT false
) RETURNS TABLE (job_id bigint, present bigint, replaced boolean, created timestamptz)
LANGUAGE plpgsql
SET lock_timeout = '2s'
SET enable_seqscan = off
SET jit = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
    given record;
    job jobsd.jobs;
    dropped bigint[] := '{}';
    elsewhere boolean;
    handing text[] := '{}';
    given_anew bigint[] := '{}';
    freed text;
BEGIN
    IF hastily THEN
        PERFORM set_config('lock_timeout', '20ms', true);
    END IF;
    FOR given IN
        SELECT each.*
        FROM unnest(ids, keys, untils, withins_s, conflicts, max_waits_s) WITH ORDINALITY
            AS each (id, key, until, within_s, conflict, max_wait_s, turn)
        ORDER BY each.key, each.turn
    LOOP
        replaced := false;
        present := NULL;
        IF NOT hastily THEN
            present := jobsd.take_unique(
                given.key, given.id, given.until, make_interval(secs => given.within_s),
                given.conflict = 'replace'
            );
            CONTINUE WHEN present IS NULL;
        ELSE
            BEGIN
                present := jobsd.take_unique(
                    given.key, given.id, given.until, make_interval(secs => given.within_s),
                    given.conflict = 'replace'
                );
                CONTINUE WHEN present IS NULL;
            EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
                -- It is dropped.
            END;
        END IF;
        job_id := given.id;
        created := (SELECT stored.created_at FROM jobsd.jobs AS stored WHERE stored.id = present);
        dropped := dropped || job_id;
        IF jobsd.is_due(present) IS NULL THEN
            -- It counts longer than until it is started, and is not held.
        ELSIF given.conflict = 'replace' THEN
            replaced := true;
            SELECT * INTO job FROM jobsd.jobs AS stored WHERE stored.id = given.id;
            freed := (
                SELECT anew.freed
                FROM jobsd.replace_waiting(
                    present, job.queue_name, job.class_name, job.arguments, job.priority,
                    job.max_attempts, job.retries_crash, job.scheduled_at, job.concurrency_key,
                    job.concurrency_limit, job.concurrency_duration, job.on_conflict, job.context,
                    make_interval(secs => given.max_wait_s), always, job.expires_in
                ) AS anew
            );
            handing := handing || freed;
            given_anew := given_anew || present;
        ELSE
            PERFORM jobsd.wake_for_held(present);
        END IF;
        RETURN NEXT;
    END LOOP;
    IF dropped = '{}' THEN
        RETURN;
    END IF;
    SELECT
        bool_or(
            stored.scheduled_at IS NOT NULL OR stored.concurrency_key IS NOT NULL
            OR stored.expires_in IS NOT NULL
        ),
        handing || array_agg(stored.concurrency_key)
            FILTER (WHERE stored.concurrency_key IS NOT NULL)
    INTO elsewhere, handing
    FROM jobsd.jobs AS stored
    WHERE stored.id = ANY (dropped);
    -- Together: each by itself took longer than to store it.
    DELETE FROM jobsd.ready_executions AS place WHERE place.job_id = ANY (dropped);
    IF elsewhere THEN
        -- In order, which only the index by ids has: a plan that was made while a table was empty
        -- reads all of another index, however many jobs there are by now.
        DELETE FROM jobsd.scheduled_executions
        WHERE ctid = ANY (ARRAY(
            SELECT place.ctid FROM jobsd.scheduled_executions AS place
            WHERE place.job_id = ANY (dropped) ORDER BY place.job_id
        ));
        DELETE FROM jobsd.blocked_executions
        WHERE ctid = ANY (ARRAY(
            SELECT place.ctid FROM jobsd.blocked_executions AS place
            WHERE place.job_id = ANY (dropped) ORDER BY place.job_id
        ));
        DELETE FROM jobsd.expirations
        WHERE ctid = ANY (ARRAY(
            SELECT place.ctid FROM jobsd.expirations AS place
            WHERE place.job_id = ANY (dropped) ORDER BY place.job_id
        ));
    END IF;
    DELETE FROM jobsd.jobs AS stored WHERE stored.id = ANY (dropped);
    -- Others of these limits may have come behind what was dropped or replaced. Last of all: this
    -- locks jobs of any unique key, for which others may wait.
    PERFORM jobsd.hand_over(handing, always, given_anew);
END
$$;
