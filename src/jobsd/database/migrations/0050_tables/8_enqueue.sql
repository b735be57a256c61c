-- Enqueueing from SQL.

-- Roles that may enqueue and nothing else.
--
-- This kind of role has no right to any table. It calls `submit`, which runs as the owner of the
-- tables, trusts none of its parameters, and returns only the ids of jobs and the times at which
-- they were created.

-- Return whether these may be the tags of a job.
CREATE FUNCTION jobsd.are_tags(given text[]) RETURNS boolean
LANGUAGE sql IMMUTABLE
AS $$
    SELECT cardinality(given) <= 20 AND coalesce(
        bool_and((octet_length(tag) BETWEEN 1 AND 100 AND jobsd.is_seen(tag)) IS TRUE), true
    )
    FROM unnest(given) AS tag
$$;

-- Return the fault of a submitted job, or NULL.
CREATE FUNCTION jobsd.fault_of(given jobsd.submitted) RETURNS text
LANGUAGE sql
AS $$
    SELECT CASE
        WHEN given.class_name IS NULL OR length(given.class_name) NOT BETWEEN 1 AND 1000
            THEN 'class_name: 1 to 1,000 characters'
        WHEN given.class_name = 'RecurringCommandJob'
            THEN 'class_name: commands are enqueued by their tasks alone'
        WHEN given.queue_name IS NULL OR octet_length(given.queue_name) NOT BETWEEN 1 AND 255
            OR given.queue_name <> btrim(given.queue_name) OR given.queue_name ~ '[*,]'
            THEN 'queue: 1 to 255 bytes without ''*'' and '','' and no space at the ends'
        WHEN given.arguments IS NULL OR octet_length(given.arguments) > 1200000
            OR octet_length(given.context) > 1200000
            THEN 'arguments: JSON of at most 1 MiB'
        WHEN jsonb_typeof(given.arguments::jsonb) NOT IN ('array', 'object')
            THEN 'arguments: a JSON array or object is wanted'
        WHEN given.id IS NOT NULL THEN 'id: given by the server'
        WHEN given.priority IS NULL THEN 'priority: an integer is wanted'
        WHEN given.max_attempts IS NULL OR given.max_attempts < 1 THEN 'max_attempts: 1 at least'
        WHEN given.wait_s > 3155760000
            OR given.wait_until > clock_timestamp() + interval '100 years 1 day'
            THEN 'wait: longer than a hundred years'
        WHEN octet_length(given.key) NOT BETWEEN 1 AND 1000 THEN 'key: 1 to 1,000 bytes'
        WHEN given.key IS NOT NULL AND (given."to" IS NULL OR given."to" < 1)
            THEN 'limit: 1 at least'
        WHEN given.key IS NOT NULL AND (
            given.on_conflict IS NULL OR given.on_conflict NOT IN ('block', 'discard')
        ) THEN 'on_conflict: ''block'' or ''discard'''
        WHEN given.expires_in_s <= 0 OR given.expires_in_s > 3155760000
            THEN 'expires_in: longer than nothing, and at most a hundred years'
        WHEN NOT jobsd.are_tags(given.tags)
            THEN 'tags: at most 20, each of 1 to 100 bytes of printable text'
        WHEN given.duration < interval '0' THEN 'duration: not negative'
        WHEN octet_length(given.unique_key) NOT BETWEEN 1 AND 1000
            THEN 'unique_key: 1 to 1,000 bytes'
        WHEN given.unique_until NOT IN ('started', 'finished')
            OR given.unique_key IS NOT NULL
            AND (given.unique_until IS NULL) = (given.unique_within_s IS NULL)
            THEN 'unique_until: ''started'', ''finished'', or NULL with a time'
        WHEN given.unique_key IS NOT NULL AND (
            given.unique_conflict IS NULL
            OR given.unique_conflict NOT IN ('skip', 'raise', 'replace')
            OR given.unique_conflict = 'replace'
            AND given.unique_until IS DISTINCT FROM 'started'
        ) THEN 'on_conflict: ''skip'', ''raise'', or ''replace'' until ''started'''
    END
$$;

-- Enqueue jobs for a role that may only enqueue: check them, and call `store`. If one job has a
-- fault, none is stored.
--
-- Invariant: neither parameters nor names can change which objects are used: the search_path is
-- fixed, and every call is written with its schema.
CREATE FUNCTION jobsd.submit(jobs jsonb)
RETURNS TABLE (job_id bigint, state text, replaced boolean, created timestamptz)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    wrong text;
BEGIN
    SELECT checked.fault
    INTO wrong
    FROM (
        SELECT jobsd.fault_of(given) AS fault
        FROM jsonb_populate_recordset(NULL::jobsd.submitted, jobs) AS given
    ) AS checked
    WHERE checked.fault IS NOT NULL
    LIMIT 1;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'enqueue: %', wrong USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN QUERY SELECT stored.* FROM jobsd.store(jobs, own_classes => true) AS stored;
END
$$;

REVOKE ALL ON FUNCTION jobsd.submit(jsonb) FROM PUBLIC;

-- Enqueue a job from SQL, in the transaction that calls: from a trigger, or from a program in
-- another language. Returns its id, or NULL when the limit was reached and `on_conflict` is
-- 'discard'. `arguments` is an array of positional, or an object of keyword arguments. If another
-- job has the `unique_key`, returns the id of that job. Options that are not given come from the
-- class's definition, or, if no worker has published it, from the defaults of a job. For a role
-- that may not write to the tables, this calls `submit`.
CREATE FUNCTION jobsd.enqueue(
    class_name text,
    arguments jsonb DEFAULT '[]',
    queue text DEFAULT NULL,
    priority integer DEFAULT NULL,
    wait interval DEFAULT NULL,
    wait_until timestamptz DEFAULT NULL,
    max_attempts integer DEFAULT NULL,
    retries_crash boolean DEFAULT NULL,
    concurrency_key text DEFAULT NULL,
    concurrency_limit integer DEFAULT NULL,
    concurrency_duration interval DEFAULT NULL,
    on_conflict text DEFAULT NULL,
    unique_key text DEFAULT NULL,
    unique_until text DEFAULT NULL,
    unique_within interval DEFAULT NULL,
    unique_on_conflict text DEFAULT NULL,
    unique_max_wait interval DEFAULT NULL,
    expires_in interval DEFAULT NULL,
    tags text[] DEFAULT NULL
)
RETURNS bigint
LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
DECLARE
    known jobsd.definitions;
    wrong text;
    asked jsonb;
    stored record;
BEGIN
    IF has_function_privilege('jobsd.definition_of(text)', 'EXECUTE') THEN
        known := jobsd.definition_of(class_name);
    END IF;
    queue := coalesce(queue, known.queue_name, 'default');
    priority := coalesce(priority, known.priority, 0);
    retries_crash := coalesce(
        retries_crash, max_attempts > 1, known.retries_crash, false
    );
    max_attempts := coalesce(max_attempts, known.max_attempts, 1);
    expires_in := coalesce(expires_in, known.expires_in);
    tags := coalesce(tags, known.tags);
    IF arguments IS NOT NULL AND jsonb_typeof(arguments) IN ('array', 'object') THEN
        concurrency_key := coalesce(
            concurrency_key, jobsd.key_of(known.concurrency, arguments, 'concurrency_key')
        );
        unique_key := coalesce(
            unique_key, jobsd.key_of(known.uniqueness, arguments, 'unique_key')
        );
    END IF;
    concurrency_limit := coalesce(
        concurrency_limit, (known.concurrency ->> 'to')::integer, 1
    );
    IF concurrency_key IS NOT NULL THEN
        concurrency_duration := coalesce(
            concurrency_duration, (known.concurrency ->> 'duration')::interval
        );
    END IF;
    on_conflict := coalesce(on_conflict, known.concurrency ->> 'on_conflict', 'block');
    IF unique_until IS NULL AND unique_within IS NULL THEN
        unique_within := (known.uniqueness ->> 'within')::interval;
        unique_until := CASE
            WHEN unique_within IS NULL THEN coalesce(known.uniqueness ->> 'until', 'finished')
        END;
    END IF;
    unique_on_conflict := coalesce(
        unique_on_conflict, known.uniqueness ->> 'on_conflict', 'skip'
    );
    unique_max_wait := coalesce(
        unique_max_wait, CASE
            WHEN unique_on_conflict = 'replace' THEN (known.uniqueness ->> 'max_wait')::interval
        END
    );
    wrong := CASE
        WHEN class_name IS NULL OR class_name = '' THEN 'class_name: the name of a job is wanted'
        WHEN length(class_name) > 1000 THEN 'class_name: more than 1,000 characters'
        WHEN arguments IS NULL OR jsonb_typeof(arguments) NOT IN ('array', 'object')
            THEN 'arguments: a JSON array or object is wanted'
        -- As text: from a row of a table they come compressed.
        WHEN octet_length(arguments::text) > 1048576 THEN 'arguments: more than 1 MiB'
        WHEN queue = '' OR octet_length(queue) > 255
            OR queue <> btrim(queue) OR queue ~ '[*,]'
            OR NOT jobsd.is_seen(queue)
            THEN 'queue: 1 to 255 bytes without ''*'' and '','' and no space at the ends'
        WHEN max_attempts < 1 THEN 'max_attempts: 1 at least'
        WHEN wait IS NOT NULL AND wait_until IS NOT NULL THEN 'wait or wait_until, not both'
        WHEN wait > interval '100 years' OR wait_until > now() + interval '100 years'
            THEN 'wait: longer than a hundred years'
        WHEN octet_length(concurrency_key) NOT BETWEEN 1 AND 1000
            OR NOT jobsd.is_seen(concurrency_key)
            THEN 'concurrency_key: 1 to 1,000 bytes of printable text'
        WHEN concurrency_limit < 1 THEN 'concurrency_limit: 1 at least'
        WHEN concurrency_duration < interval '0' THEN 'concurrency_duration: not negative'
        WHEN on_conflict NOT IN ('block', 'discard')
            THEN 'on_conflict: ''block'' or ''discard'''
        WHEN octet_length(unique_key) NOT BETWEEN 1 AND 1000 OR NOT jobsd.is_seen(unique_key)
            THEN 'unique_key: 1 to 1,000 bytes of printable text'
        WHEN unique_until NOT IN ('started', 'finished')
            THEN 'unique_until: ''started'', ''finished'', or NULL with unique_within'
        WHEN (unique_until IS NULL) <> (unique_within IS NOT NULL)
            THEN 'unique_within: goes with unique_until => NULL'
        WHEN unique_within <= interval '0' OR unique_within > interval '100 years'
            THEN 'unique_within: longer than nothing, and at most a hundred years'
        WHEN unique_on_conflict NOT IN ('skip', 'raise', 'replace')
            THEN 'unique_on_conflict: ''skip'', ''raise'' or ''replace'''
        WHEN unique_on_conflict = 'replace' AND unique_until IS DISTINCT FROM 'started'
            THEN 'unique_on_conflict: ''replace'' goes with unique_until => ''started'''
        WHEN unique_max_wait IS NOT NULL AND unique_on_conflict <> 'replace'
            THEN 'unique_max_wait: goes with unique_on_conflict => ''replace'''
        WHEN unique_max_wait < interval '0' OR unique_max_wait > interval '100 years'
            THEN 'unique_max_wait: not negative, and at most a hundred years'
        WHEN expires_in <= interval '0' OR expires_in > interval '100 years'
            THEN 'expires_in: longer than nothing, and at most a hundred years'
        WHEN NOT jobsd.are_tags(tags)
            THEN 'tags: at most 20, each of 1 to 100 bytes of printable text'
    END;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'enqueue: %', wrong USING ERRCODE = 'invalid_parameter_value';
    END IF;
    asked := jsonb_build_array(jsonb_build_object(
        'queue_name', queue, 'class_name', class_name, 'arguments', arguments::text,
        'priority', priority, 'max_attempts', max_attempts, 'retries_crash', retries_crash,
        'wait_until', coalesce(wait_until, clock_timestamp() + wait),
        'key', concurrency_key, 'to', concurrency_limit,
        'duration', concurrency_duration::text, 'on_conflict', on_conflict,
        'unique_key', unique_key, 'unique_until', unique_until,
        'unique_within_s', extract(epoch FROM unique_within),
        'unique_conflict', unique_on_conflict,
        'unique_max_wait_s', extract(epoch FROM unique_max_wait),
        'expires_in_s', extract(epoch FROM expires_in), 'tags', tags
    ));
    IF has_table_privilege('jobsd.jobs', 'INSERT') THEN
        SELECT * INTO stored FROM jobsd.store(asked);
    ELSE
        SELECT * INTO stored FROM jobsd.submit(asked);
    END IF;
    IF stored.state = 'duplicate' AND unique_on_conflict = 'raise' THEN
        RAISE EXCEPTION 'enqueue: job % has the unique key %', stored.job_id, unique_key
            USING ERRCODE = 'unique_violation';
    END IF;
    RETURN stored.job_id;
END
$$;
