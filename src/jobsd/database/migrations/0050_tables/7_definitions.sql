-- The definitions of job classes, and the keys of jobs that SQL enqueues.

-- The definition of a class, also for a role that may only enqueue and reads no table.
CREATE FUNCTION jobsd.definition_of(name text) RETURNS jobsd.definitions
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
    SELECT * FROM jobsd.definitions WHERE class_name = name
$$;

-- Keep the ends of discarded jobs whose rows are deleted, for sessions that wait for them, as long
-- as the classes keep results. A worker has already kept the ends of its own jobs.
CREATE FUNCTION jobsd.keep_ends(ids bigint[], classes text[], created timestamptz[])
RETURNS bigint
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
SET enable_bitmapscan = off
AS $$
DECLARE
    kept bigint;
BEGIN
    INSERT INTO jobsd.results (job_id, state, expires_at, created_at)
    SELECT each.id, 'discarded', now() + known.result_ttl, each.created_at
    FROM unnest(ids, classes, created) AS each (id, class_name, created_at)
    JOIN jobsd.definitions AS known ON known.class_name = each.class_name
    WHERE known.result_ttl IS NOT NULL
    ORDER BY each.id
    ON CONFLICT (job_id) DO UPDATE
        SET state = excluded.state, result = NULL, expires_at = excluded.expires_at,
            process = NULL, created_at = excluded.created_at
        WHERE (results.state, results.created_at)
            IS DISTINCT FROM (excluded.state, excluded.created_at);
    GET DIAGNOSTICS kept = ROW_COUNT;
    RETURN kept;
END
$$;

-- The arguments of a call by the names of its parameters, including defaults.
CREATE FUNCTION jobsd.named_arguments(parameters jsonb, arguments jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE
AS $$
    SELECT
        coalesce((
            SELECT jsonb_object_agg(each ->> 'name', each -> 'default')
            FROM jsonb_array_elements(parameters) AS parameter (each)
            WHERE each ? 'default'
        ), '{}')
        || coalesce((
            SELECT jsonb_object_agg(each ->> 'name', arguments -> (place::integer - 1))
            FROM jsonb_array_elements(parameters) WITH ORDINALITY AS parameter (each, place)
            WHERE jsonb_typeof(arguments) = 'array' AND NOT each ? 'keyword'
                AND place <= jsonb_array_length(arguments) - (keywords IS NOT NULL)::integer
        ), '{}')
        || CASE
            WHEN jsonb_typeof(arguments) = 'object' THEN arguments
            ELSE coalesce(keywords, '{}')
        END
    -- The last element of an array is no argument if it holds keyword arguments and nothing else.
    FROM (VALUES (CASE
        WHEN arguments -> -1 = jsonb_build_object('$keywords', arguments -> -1 -> '$keywords')
            THEN arguments -> -1 -> '$keywords'
    END)) AS last (keywords)
$$;

-- Whether all characters of a text are visible, as in text.py: no one could type any other name or
-- key.
CREATE FUNCTION jobsd.is_seen(given text) RETURNS boolean
LANGUAGE sql IMMUTABLE
AS $$
    SELECT given !~ ('[\u0001-\u001f\u007f-\u00a0\u00ad\u061c\u1680\u180e\u2000-\u200f'
        '\u2028-\u202f\u205f-\u206f\u3000\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]')
$$;

-- The tag of a value of a type that JSON lacks, such as `{"$uuid": …}`, or NULL.
CREATE FUNCTION jobsd.tag_of(value jsonb) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT min(name)
    FROM jsonb_object_keys(CASE WHEN jsonb_typeof(value) = 'object' THEN value END) AS name
    HAVING count(*) = 1 AND min(name) LIKE '$%'
$$;

-- One part of a key as text, as arguments/keys.py writes it; NULL for a value that can't be part of
-- a key. A tuple is written in brackets, unless it is the whole key.
CREATE FUNCTION jobsd.key_text(part jsonb, is_whole boolean DEFAULT false) RETURNS text
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
    items jsonb := CASE WHEN jobsd.tag_of(part) = '$tuple' THEN part -> '$tuple' END;
    texts text[];
BEGIN
    IF jsonb_typeof(items) = 'array' THEN
        SELECT array_agg(jobsd.key_text(item) ORDER BY place)
        INTO texts
        FROM jsonb_array_elements(items) WITH ORDINALITY AS each (item, place);
        RETURN CASE
            WHEN array_position(texts, NULL) IS NOT NULL THEN NULL
            WHEN is_whole AND cardinality(texts) > 1 THEN array_to_string(texts, '/')
            ELSE concat('~(', array_to_string(texts, '/') || '/', '~)')
        END;
    END IF;
    RETURN CASE
        WHEN jsonb_typeof(part) = 'string'
            THEN replace(replace(part #>> '{}', '~', '~0'), '/', '~1')
        WHEN jsonb_typeof(part) = 'number' AND part::text ~ '^-?[0-9]+$' THEN part::text
        WHEN jobsd.tag_of(part) = '$uuid' THEN (part ->> '$uuid')::uuid::text
        WHEN jobsd.tag_of(part) = '$date' THEN part ->> '$date'
    END;
END
$$;

-- JSON with its unordered values sorted as arguments/keys.py sorts them.
CREATE FUNCTION jobsd.in_order(value jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
    kind text := jsonb_typeof(value);
    tag text;
    found jsonb;
BEGIN
    IF kind NOT IN ('array', 'object') OR value::text !~ '"\$(set|frozenset|dict)": \[' THEN
        RETURN value;
    ELSIF kind = 'array' THEN
        RETURN (
            SELECT jsonb_agg(jobsd.in_order(item) ORDER BY place)
            FROM jsonb_array_elements(value) WITH ORDINALITY AS each (item, place)
        );
    END IF;
    SELECT jsonb_object_agg(name, jobsd.in_order(each.value))
    INTO found
    FROM jsonb_each(value) AS each (name, value);
    tag := jobsd.tag_of(found);
    IF tag IN ('$set', '$frozenset', '$dict') AND jsonb_typeof(found -> tag) = 'array' THEN
        found := jsonb_build_object(tag, (
            SELECT coalesce(jsonb_agg(item ORDER BY convert_to(item::text, 'UTF8')), '[]')
            FROM jsonb_array_elements(found -> tag) AS item
        ));
    END IF;
    RETURN found;
END
$$;

-- The key of a job with these arguments; NULL if there is none.
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
            -- No arguments are an empty list, as Python writes them.
            spec ->> 'scope', '/~#', encode(
                sha256(convert_to(
                    coalesce(jobsd.in_order(nullif(named, '{}'))::text, '[]'), 'UTF8'
                )), 'hex'
            )
        );
    END IF;
    IF (spec ->> 'single')::boolean AND named -> (spec -> 'names' ->> 0) = 'null' THEN
        RETURN NULL;
    END IF;
    SELECT
        array_agg(text ORDER BY place), min(name) FILTER (WHERE text IS NULL)
    INTO parts, unfit
    FROM jsonb_array_elements_text(spec -> 'names') WITH ORDINALITY AS wanted (name, place),
        jobsd.key_text(named -> name, (spec ->> 'single')::boolean) AS text;
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

REVOKE ALL ON FUNCTION jobsd.definition_of(text) FROM PUBLIC;
