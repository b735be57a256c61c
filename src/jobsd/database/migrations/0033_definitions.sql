-- What the workers know of jobs, for whoever enqueues in SQL. Each worker publishes what it has
-- imported; the newest wins. A key is said by what it is made of: a fixed text, the names of
-- arguments, or all of them; one that is a function can't be computed here.
CREATE TABLE jobsd.definitions (
    class_name text PRIMARY KEY,
    queue_name text NOT NULL,
    priority integer NOT NULL,
    max_attempts integer NOT NULL,
    retries_crash boolean NOT NULL,
    expires_in interval,
    timeout interval,
    concurrency jsonb,
    uniqueness jsonb,
    published_at timestamptz NOT NULL DEFAULT now()
);

-- What is known of a class, also for a role that may only enqueue, and reads no table.
CREATE FUNCTION jobsd.definition_of(name text) RETURNS jobsd.definitions
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
    SELECT * FROM jobsd.definitions WHERE class_name = name
$$;

-- The arguments of a call by the names of the parameters, defaults among them.
CREATE FUNCTION jobsd.named_arguments(parameters jsonb, arguments jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE
AS $$
    SELECT
        coalesce(jsonb_object_agg(each ->> 'name', each -> 'default') FILTER (
            WHERE each ? 'default'
        ), '{}')
        || coalesce(jsonb_object_agg(each ->> 'name', arguments -> (place::integer - 1)) FILTER (
            WHERE jsonb_typeof(arguments) = 'array'
                AND place <= jsonb_array_length(arguments)
                - coalesce((arguments -> -1 ? '$keywords')::integer, 0)
        ), '{}')
        || CASE
            WHEN jsonb_typeof(arguments) = 'object' THEN arguments
            ELSE coalesce(arguments -> -1 -> '$keywords', '{}')
        END
    FROM jsonb_array_elements(parameters) WITH ORDINALITY AS parameter (each, place)
$$;

-- One part of a key as text, as jobs/keys.py writes it; NULL for what is no key.
CREATE FUNCTION jobsd.key_text(part jsonb) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT CASE
        WHEN jsonb_typeof(part) = 'string'
            THEN replace(replace(part #>> '{}', '~', '~0'), '/', '~1')
        WHEN jsonb_typeof(part) = 'number' AND part::text ~ '^-?[0-9]+$' THEN part::text
        WHEN jsonb_typeof(part) = 'object' THEN coalesce(part ->> '$uuid', part ->> '$date')
    END
$$;

-- The key of a job with these arguments; NULL where there is none.
CREATE FUNCTION jobsd.key_of(spec jsonb, arguments jsonb, option text) RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
    named jsonb;
    parts text[];
    unfit text;
    key text;
BEGIN
    IF spec IS NULL OR spec ? 'fixed' THEN
        RETURN spec ->> 'fixed';
    ELSIF spec ? 'function' THEN
        RAISE EXCEPTION 'enqueue: %: its definition computes the key by a function: give % => …',
            option, option USING ERRCODE = 'invalid_parameter_value';
    END IF;
    named := jobsd.named_arguments(spec -> 'parameters', arguments);
    IF NOT spec ? 'names' THEN
        RETURN concat(
            spec ->> 'scope', '/~#', encode(sha256(convert_to(named::text, 'UTF8')), 'hex')
        );
    END IF;
    IF (spec ->> 'single')::boolean AND named -> (spec -> 'names' ->> 0) = 'null' THEN
        RETURN NULL;
    END IF;
    SELECT
        array_agg(jobsd.key_text(named -> name) ORDER BY place),
        min(name) FILTER (WHERE jobsd.key_text(named -> name) IS NULL)
    INTO parts, unfit
    FROM jsonb_array_elements_text(spec -> 'names') WITH ORDINALITY AS wanted (name, place);
    IF unfit IS NOT NULL THEN
        RAISE EXCEPTION 'enqueue: %: the argument % is not given, or no key: give % => …',
            option, unfit, option USING ERRCODE = 'invalid_parameter_value';
    END IF;
    key := array_to_string(parts, '/');
    IF NOT (spec ->> 'single')::boolean AND cardinality(parts) = 1 THEN
        key := concat('~(', key, '/~)');
    END IF;
    RETURN CASE WHEN key = '' THEN spec ->> 'scope' ELSE concat(spec ->> 'scope', '/', key) END;
END
$$;

-- Enqueue a job from SQL, as before (0024). It may expire. A role that may not write to the tables
-- is given to `submit`. What is not given is as the class's definition says, or, where nobody has
-- published that, as it was before.
DROP FUNCTION IF EXISTS jobsd.enqueue(
    text, jsonb, text, integer, interval, timestamptz, integer, boolean, text, integer, interval,
    text, text, text, interval, text, interval
);
CREATE OR REPLACE FUNCTION jobsd.enqueue(
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
    expires_in interval DEFAULT NULL
)
RETURNS bigint
LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
DECLARE
    known jobsd.definitions;
    wrong text;
    due timestamptz;
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
            -- What can't be seen, as in jobs/registry.py: nobody could type the name.
            OR queue ~ '[\u0001-\u001f\u007f-\u00a0\u00ad\u061c\u1680\u180e\u2000-\u200f'
                '\u2028-\u202f\u205f-\u206f\u3000\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]'
            THEN 'queue: 1 to 255 bytes without ''*'' and '','' and no space at the ends'
        WHEN max_attempts < 1 THEN 'max_attempts: 1 at least'
        WHEN wait IS NOT NULL AND wait_until IS NOT NULL THEN 'wait or wait_until, not both'
        WHEN wait > interval '100 years' OR wait_until > now() + interval '100 years'
            THEN 'wait: longer than a hundred years'
        WHEN octet_length(concurrency_key) NOT BETWEEN 1 AND 1000
            THEN 'concurrency_key: 1 to 1,000 bytes'
        WHEN concurrency_limit < 1 THEN 'concurrency_limit: 1 at least'
        WHEN concurrency_duration < interval '0' THEN 'concurrency_duration: not negative'
        WHEN on_conflict NOT IN ('block', 'discard')
            THEN 'on_conflict: ''block'' or ''discard'''
        WHEN octet_length(unique_key) NOT BETWEEN 1 AND 1000 THEN 'unique_key: 1 to 1,000 bytes'
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
    END;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'enqueue: %', wrong USING ERRCODE = 'invalid_parameter_value';
    END IF;
    due := coalesce(wait_until, clock_timestamp() + wait);
    IF NOT has_table_privilege('jobsd.jobs', 'INSERT') THEN
        SELECT * INTO stored FROM jobsd.submit(jsonb_build_array(jsonb_build_object(
            'queue_name', queue, 'class_name', class_name, 'arguments', arguments::text,
            'priority', priority, 'max_attempts', max_attempts, 'retries_crash', retries_crash,
            'wait_until', due, 'key', concurrency_key, 'to', concurrency_limit,
            'duration', concurrency_duration::text, 'on_conflict', on_conflict,
            'unique_key', unique_key, 'unique_until', unique_until,
            'unique_within_s', extract(epoch FROM unique_within),
            'unique_conflict', unique_on_conflict,
            'unique_max_wait_s', extract(epoch FROM unique_max_wait),
            'expires_in_s', extract(epoch FROM expires_in)
        )));
        IF stored.state = 'duplicate' AND unique_on_conflict = 'raise' THEN
            RAISE EXCEPTION 'enqueue: job % has the unique key %', stored.job_id, unique_key
                USING ERRCODE = 'unique_violation';
        END IF;
        RETURN stored.job_id;
    END IF;
    IF unique_key IS NULL THEN
        stored := jobsd.store(
            queue, class_name, arguments, priority, max_attempts, retries_crash, due,
            concurrency_key, concurrency_limit, concurrency_duration, on_conflict, true,
            expires_in => expires_in
        );
        RETURN stored.job_id;
    END IF;
    stored := jobsd.store_unique(
        queue, class_name, arguments, priority, max_attempts, retries_crash, due,
        concurrency_key, concurrency_limit, concurrency_duration, on_conflict, true,
        NULL, unique_key, unique_until, unique_within, unique_on_conflict, unique_max_wait,
        expires_in
    );
    IF stored.state = 'duplicate' AND unique_on_conflict = 'raise' THEN
        RAISE EXCEPTION 'enqueue: job % has the unique key %', stored.job_id, unique_key
            USING ERRCODE = 'unique_violation';
    END IF;
    RETURN stored.job_id;
END
$$;

REVOKE ALL ON FUNCTION jobsd.definition_of(text) FROM PUBLIC;
