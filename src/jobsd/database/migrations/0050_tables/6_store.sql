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

-- Insert a stored job into the table of its state, and wake the processes that may take it; it
-- `waits` if it is not due. The server delivers equal notifications of a transaction once. `always`
-- notifies also when no process seems to sleep, because one may be idle when a caller's transaction
-- commits.
CREATE FUNCTION jobsd.place(
    job_id bigint, turn bigint, queue_name text, priority integer, due timestamptz,
    waits boolean, key text, most integer, yields boolean, always boolean
) RETURNS text
LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
BEGIN
    IF waits THEN
        INSERT INTO jobsd.scheduled_executions (
            job_id, scheduled_at, priority, queue_name, concurrency_key
        )
        VALUES (job_id, due, priority, queue_name, key);
        -- A dispatcher polls every five seconds, and then knows which job is due next.
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
-- It is due at most `unique_max_wait_s` after its enqueue. A job that was ready keeps its position.
-- `freed` is a key whose other jobs may have waited behind it: the caller hands over to them once
-- it waits for nothing more, because a hand-over locks jobs for which other sessions may wait.
CREATE FUNCTION jobsd.replace_waiting(
    wanted bigint, given jobsd.submitted, due timestamptz, OUT state text, OUT freed text
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
    latest := old.created_at + make_interval(secs => given.unique_max_wait_s);
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
    SET queue_name = given.queue_name, class_name = given.class_name,
        arguments = given.arguments::jsonb, priority = given.priority,
        max_attempts = given.max_attempts,
        retries_crash = coalesce(given.retries_crash, false), scheduled_at = due,
        concurrency_key = given.key,
        concurrency_limit = CASE WHEN given.key IS NOT NULL THEN given."to" END,
        concurrency_duration = given.duration, context = given.context::jsonb,
        expires_in = make_interval(secs => given.expires_in_s), tags = nullif(given.tags, '{}'),
        on_conflict = CASE WHEN given.key IS NOT NULL THEN given.on_conflict END
    WHERE job.id = wanted;
    IF given.expires_in_s IS NULL THEN
        DELETE FROM jobsd.expirations AS expiration WHERE expiration.job_id = wanted;
    ELSE
        PERFORM jobsd.let_expire(
            wanted,
            greatest(due, clock_timestamp()) + make_interval(secs => given.expires_in_s)
        );
    END IF;
    state := jobsd.place(
        wanted, coalesce(place, nextval('jobsd.jobs_id_seq')),
        given.queue_name, given.priority, due, coalesce(due > clock_timestamp(), false),
        given.key, given."to", given.key IS NOT NULL AND given.on_conflict = 'discard',
        coalesce(given.always, true)
    );
    -- If its row is as before, workers meet the jobs behind it together with it.
    IF place IS NOT NULL AND (
        state, given.key, given.queue_name, given.priority
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
-- `take_keys` and `keep_limits` decide about the jobs; one loop stores those that are left, and
-- inserts each into the table of its state. It reads no set of all columns: the server prepares
-- each column of each node of such a plan, so that to store a single job took a quarter longer. Of
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
    -- The columns of each job, by its turn; a state is NULL until the job is stored.
    given jobsd.submitted[];
    ids bigint[];
    dues timestamptz[];
    states text[];
    replaces boolean[];
    moments timestamptz[];
    total integer;
    any_unique boolean;
    any_limited boolean;
    any_yields boolean;
    always boolean;
    unheld text[] := '{}';
    freed text[] := '{}';
    changed bigint[] := '{}';
    job jobsd.submitted;
    numbers bigint[];
    due timestamptz;
    yields boolean;
BEGIN
    SELECT
        array_agg(each), array_agg(coalesce(each.id, nextval('jobsd.jobs_id_seq'))),
        array_agg(jobsd.due_of(each.wait_until, each.wait_s, began)), array_agg(NULL::text),
        array_agg(false), array_agg(now()), count(*), bool_or(each.unique_key IS NOT NULL),
        bool_or(each.key IS NOT NULL), bool_or(each.on_conflict = 'discard'),
        bool_or(each.always) IS NOT FALSE
    INTO
        given, ids, dues, states, replaces, moments, total, any_unique, any_limited, any_yields,
        always
    FROM jsonb_populate_recordset(NULL::jobsd.submitted, jobs) AS each;
    LOOP
        IF any_unique THEN
            SELECT taken.*
            INTO ids, states, replaces, moments, freed, changed
            FROM jobsd.take_keys(
                given, dues, hastily, own_classes, ids, states, replaces, moments, freed, changed
            ) AS taken;
        END IF;
        IF any_yields THEN
            SELECT kept.*
            INTO states, unheld
            FROM jobsd.keep_limits(given, ids, dues, began, hastily, states) AS kept;
        END IF;
        IF total > 1 AND any_limited THEN
            numbers := ARRAY(
                SELECT row_number() OVER (
                    PARTITION BY
                        key, queue_name, on_conflict, states[ordinality], dues[ordinality] > began
                    ORDER BY priority, ids[ordinality]
                )
                FROM unnest(given) WITH ORDINALITY AS each
                ORDER BY ordinality
            );
        END IF;
        FOR turn IN 1 .. total LOOP
            CONTINUE WHEN states[turn] IS NOT NULL;
            job := given[turn];
            due := dues[turn];
            yields := (job.key IS NOT NULL AND job.on_conflict = 'discard') IS TRUE;
            INSERT INTO jobsd.jobs (
                id, queue_name, class_name, arguments, priority, max_attempts, retries_crash,
                scheduled_at, concurrency_key, concurrency_limit, concurrency_duration,
                on_conflict, context, unique_key, unique_until, expires_in, tags
            )
            VALUES (
                ids[turn], job.queue_name, job.class_name, job.arguments::jsonb, job.priority,
                job.max_attempts, coalesce(job.retries_crash, false), due, job.key,
                CASE WHEN job.key IS NOT NULL THEN job."to" END, job.duration,
                CASE WHEN job.key IS NOT NULL THEN job.on_conflict END, job.context::jsonb,
                job.unique_key, CASE WHEN job.unique_key IS NOT NULL THEN job.unique_until END,
                make_interval(secs => job.expires_in_s), nullif(job.tags, '{}')
            );
            IF job.expires_in_s IS NOT NULL THEN
                PERFORM jobsd.let_expire(
                    ids[turn],
                    greatest(due, clock_timestamp()) + make_interval(secs => job.expires_in_s)
                );
            END IF;
            states[turn] := jobsd.place(
                ids[turn],
                CASE WHEN yields OR (numbers[turn] > job."to") IS NOT TRUE THEN ids[turn] END,
                job.queue_name, job.priority, due, coalesce(due > began, false), job.key, job."to",
                yields AND job.key = ANY (unheld), always
            );
        END LOOP;
        EXIT WHEN NOT any_unique OR array_position(states, 'next') IS NULL;
        states := array_replace(states, 'next', NULL);
    END LOOP;
    -- It comes last, because it locks jobs of any unique key, for which other sessions may wait.
    IF freed <> '{}' THEN
        PERFORM jobsd.hand_over(freed, always, changed);
    END IF;
    FOR turn IN 1 .. total LOOP
        state := states[turn];
        job_id := CASE WHEN state <> 'discarded' THEN ids[turn] END;
        replaced := replaces[turn];
        created := moments[turn];
        RETURN NEXT;
    END LOOP;
END
$$;
