-- Roles that may enqueue and nothing else.
--
-- Such a role has no right to any table. It calls `submit`, which runs as the owner of the tables,
-- trusts nothing that it is given, and tells nothing but the ids of jobs.

-- Enqueue jobs for a role that may do nothing else: a list of what each is, by name. Says of each,
-- in this order, what `store_unique` says.
--
-- Invariant: no parameter and no name decides what is looked up: the search_path is fixed, and all
-- that is called is written with its schema.
CREATE FUNCTION jobsd.submit(jobs jsonb)
RETURNS TABLE (job_id bigint, state text, replaced boolean)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
AS $$
#variable_conflict use_variable
DECLARE
    given record;
    wrong text;
    due timestamptz;
    holder text;
BEGIN
    FOR given IN
        SELECT *
        FROM jsonb_to_recordset(jobs) AS given (
            queue_name text, class_name text, arguments text, priority integer,
            max_attempts integer, retries_crash boolean, context text, wait_s float8,
            wait_until timestamptz, always boolean, key text, "to" integer, duration interval,
            on_conflict text, unique_key text, unique_until text, unique_within_s float8,
            unique_conflict text, unique_max_wait_s float8, expires_in_s float8
        )
    LOOP
        wrong := CASE
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
        END;
        IF wrong IS NOT NULL THEN
            RAISE EXCEPTION 'enqueue: %', wrong USING ERRCODE = 'invalid_parameter_value';
        END IF;
        due := coalesce(
            given.wait_until, clock_timestamp() + make_interval(secs => given.wait_s)
        );
        replaced := false;
        IF given.unique_key IS NULL THEN
            SELECT stored.job_id, stored.state
            INTO job_id, state
            FROM jobsd.store(
                given.queue_name, given.class_name, given.arguments::jsonb, given.priority,
                given.max_attempts, coalesce(given.retries_crash, false), due, given.key,
                given."to", given.duration, given.on_conflict, coalesce(given.always, true),
                given.context::jsonb, expires_in => make_interval(secs => given.expires_in_s)
            ) AS stored;
            RETURN NEXT;
            CONTINUE;
        END IF;
        holder := CASE
            WHEN given.unique_conflict = 'replace' THEN jobsd.hold_unique(given.unique_key)
        END;
        SELECT stored.job_id, stored.state, stored.replaced
        INTO job_id, state, replaced
        FROM jobsd.store_unique(
            given.queue_name, given.class_name, given.arguments::jsonb, given.priority,
            given.max_attempts, coalesce(given.retries_crash, false), due, given.key,
            given."to", given.duration, given.on_conflict, coalesce(given.always, true),
            given.context::jsonb, given.unique_key, given.unique_until,
            make_interval(secs => given.unique_within_s), given.unique_conflict,
            make_interval(secs => given.unique_max_wait_s),
            make_interval(secs => given.expires_in_s)
        ) AS stored;
        IF replaced AND holder IS DISTINCT FROM given.class_name THEN
            RAISE EXCEPTION 'enqueue: job % is of another class: it can''t be replaced', job_id
                USING ERRCODE = 'insufficient_privilege';
        END IF;
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

REVOKE ALL ON FUNCTION jobsd.submit(jsonb) FROM PUBLIC;
