-- How jobs are stored, alone and in bulk.

-- Set the time at which a job expires.
CREATE FUNCTION jobsd.let_expire(id bigint, moment timestamptz) RETURNS void
LANGUAGE sql
SET enable_seqscan = off
SET jit = off
AS $$
    INSERT INTO jobsd.expirations AS known (job_id, expires_at)
    VALUES (id, moment)
    ON CONFLICT (job_id) DO UPDATE SET expires_at = excluded.expires_at
$$;

-- Insert a stored job into the table of its state, and wake the processes that may take it.
-- `always` notifies also when no process seems to sleep, because one may be idle when a caller's
-- transaction commits.
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

-- Give a waiting, unclaimed job the values of another one: arguments, queue, priority, time, limit.
-- It is due at most `max_wait` after its enqueue. A job that was ready keeps its position. `freed`
-- is a key whose other jobs may have waited behind it: the caller hands over to them once it waits
-- for nothing more, because a hand-over locks jobs for which other sessions may wait.
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
    -- If its row is as before, workers meet the jobs behind it together with it.
    IF place IS NOT NULL AND (
        state, key, queue_name, priority
    ) IS DISTINCT FROM ('ready', gone_key, old.queue_name, old.priority) THEN
        freed := gone_key;
    END IF;
END
$$;

-- Store a set of jobs, as if they came one after the other, and return for each, in this order: its
-- id, its state (ready, scheduled, discarded or duplicate), whether it has replaced the job with
-- this id, and the creation time of that job. Every enqueue except the statements `at_once` and
-- `copy` calls this.
--
-- After `decide`, one statement stores the jobs and inserts each into the table of its state. Of
-- each key and queue, workers meet only as many jobs as its limit; the others are blocked, and
-- follow these. `hastily` waits for no unique key: a job whose key is just being taken is a
-- duplicate of an unknown job. With `own_classes` no job of another class is replaced.
CREATE FUNCTION jobsd.store(
    jobs jsonb, hastily boolean DEFAULT false, own_classes boolean DEFAULT false
) RETURNS TABLE (job_id bigint, state text, replaced boolean, created timestamptz)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    began timestamptz := clock_timestamp();
    picky boolean := jsonb_path_exists(
        jobs, 'strict $[*] ? (@.unique_key != null || @.on_conflict == "discard")'
    );
    -- The columns of each job, by its turn; a state is NULL until the job is stored.
    ids bigint[];
    states text[];
    replaces boolean[];
    moments timestamptz[];
    unheld text[] := '{}';
    freed text[] := '{}';
    changed bigint[] := '{}';
    always boolean;
    stored record;
BEGIN
    LOOP
        IF picky THEN
            SELECT decided.*
            INTO ids, states, replaces, moments, freed, changed, unheld
            FROM jobsd.decide(
                jobs, began, hastily, own_classes, current_setting('lock_timeout'),
                ids, states, replaces, moments, freed, changed
            ) AS decided;
        END IF;
        WITH fresh AS MATERIALIZED (
            SELECT
                each.*, coalesce(ids[each.ordinality], each.id, nextval('jobsd.jobs_id_seq'))
                    AS job_id,
                jobsd.due_of(each.wait_until, each.wait_s, began) AS due,
                (jobsd.due_of(each.wait_until, each.wait_s, began) > began) IS TRUE AS waits,
                (each.on_conflict = 'discard') IS TRUE AS yields
            FROM jsonb_populate_recordset(NULL::jobsd.submitted, jobs) WITH ORDINALITY AS each
            WHERE states[each.ordinality] IS NULL
        ), job AS (
            INSERT INTO jobsd.jobs (
                id, queue_name, class_name, arguments, priority, max_attempts, retries_crash,
                scheduled_at, concurrency_key, concurrency_limit, concurrency_duration,
                on_conflict, context, unique_key, unique_until, expires_in
            )
            SELECT
                job_id, queue_name, class_name, arguments::jsonb, priority, max_attempts,
                coalesce(retries_crash, false), due, key, CASE WHEN key IS NOT NULL THEN "to" END,
                duration, CASE WHEN key IS NOT NULL THEN on_conflict END, context::jsonb,
                unique_key, CASE WHEN unique_key IS NOT NULL THEN unique_until END,
                make_interval(secs => expires_in_s)
            FROM fresh
        ), ready AS (
            INSERT INTO jobsd.ready_executions (job_id, position, priority, queue_name)
            SELECT job_id, job_id, priority, queue_name
            FROM fresh
            WHERE NOT waits AND key IS NULL
        ), scheduled AS (
            INSERT INTO jobsd.scheduled_executions (
                job_id, scheduled_at, priority, queue_name, concurrency_key
            )
            SELECT job_id, due, priority, queue_name, key
            FROM fresh
            WHERE waits
        ), blocked AS (
            INSERT INTO jobsd.blocked_executions (
                job_id, position, priority, queue_name, concurrency_key, concurrency_limit, yields
            )
            SELECT
                job_id, CASE WHEN yields OR number <= "to" THEN job_id END, priority, queue_name,
                key, "to", yields AND key = ANY (unheld)
            FROM (
                SELECT
                    *, row_number() OVER (
                        PARTITION BY key, queue_name, yields ORDER BY priority, job_id
                    ) AS number
                FROM fresh
                WHERE NOT waits AND key IS NOT NULL
            ) AS limited
        ), expiring AS (
            INSERT INTO jobsd.expirations (job_id, expires_at)
            SELECT
                job_id,
                greatest(due, clock_timestamp()) + make_interval(secs => expires_in_s)
            FROM fresh
            WHERE expires_in_s IS NOT NULL
        )
        SELECT
            array_agg(ordinality) AS turns, array_agg(job_id) AS ids,
            array_agg(CASE WHEN waits THEN 'scheduled' ELSE 'ready' END) AS states,
            bool_or(always) IS NOT FALSE AS always,
            array_agg(DISTINCT CASE
                -- A dispatcher polls every five seconds, and then knows which job is due next.
                WHEN waits AND (always OR due < began + interval '6 seconds') THEN 'due'
                WHEN waits THEN NULL
                WHEN key IS NULL THEN 'ready ' || queue_name
                ELSE 'limited ' || queue_name
            END) AS payloads
        INTO stored
        FROM fresh;
        always := stored.always;
        PERFORM pg_notify(CASE payload WHEN 'due' THEN 'jobsd.due' ELSE 'jobsd.wake' END, payload)
        FROM unnest(stored.payloads) AS payload
        WHERE payload IS NOT NULL AND (always OR EXISTS (
            SELECT
            FROM jobsd.sleepers
            WHERE kind = CASE payload WHEN 'due' THEN 'dispatcher' ELSE 'worker' END
        ));
        FOR place IN 1 .. coalesce(cardinality(stored.turns), 0) LOOP
            ids[stored.turns[place]] := stored.ids[place];
            states[stored.turns[place]] := stored.states[place];
        END LOOP;
        EXIT WHEN NOT picky OR array_position(states, 'next') IS NULL;
        states := array_replace(states, 'next', NULL);
    END LOOP;
    -- It comes last, because it locks jobs of any unique key, for which other sessions may wait.
    IF freed <> '{}' THEN
        PERFORM jobsd.hand_over(freed, always, changed);
    END IF;
    FOR turn IN 1 .. coalesce(cardinality(states), 0) LOOP
        state := states[turn];
        job_id := CASE WHEN state <> 'discarded' THEN ids[turn] END;
        replaced := coalesce(replaces[turn], false);
        created := CASE WHEN state = 'duplicate' OR replaced THEN moments[turn] ELSE now() END;
        RETURN NEXT;
    END LOOP;
END
$$;
