-- at_once: store one job that may run now. Workers are woken if one of them is idle; in a
-- caller's transaction always, because no one knows which worker will be idle when it commits.
WITH job AS (
    INSERT INTO jobsd.jobs (
        queue_name, class_name, arguments, priority, max_attempts, retries_crash, context
    )
    VALUES (
        %(queue_name)s, %(class_name)s, %(arguments)s::jsonb, %(priority)s::integer,
        %(max_attempts)s::integer, %(retries_crash)s::boolean, %(context)s::jsonb
    )
    RETURNING id, queue_name, priority
)
INSERT INTO jobsd.ready_executions (job_id, position, priority, queue_name)
SELECT id, id, priority, queue_name
FROM job
RETURNING
    job_id,
    false,
    CASE
        WHEN %(always)s::boolean OR EXISTS (SELECT FROM jobsd.sleepers WHERE kind = 'worker')
            THEN pg_notify('jobsd.wake', 'ready ' || queue_name)
    END,
    (date_part('epoch', now()) * 1000000)::bigint;

-- later: store one job for a later time. If that time is over, the job is ready, and was due at
-- most a hundred years ago, because not every program can read earlier times. A dispatcher
-- polls every five seconds and then knows which job is due next: it is woken only for a job
-- that is due earlier.
WITH job AS (
    INSERT INTO jobsd.jobs (
        queue_name, class_name, arguments, priority, max_attempts, retries_crash, context,
        scheduled_at
    )
    VALUES (
        %(queue_name)s, %(class_name)s, %(arguments)s::jsonb, %(priority)s::integer,
        %(max_attempts)s::integer, %(retries_crash)s::boolean, %(context)s::jsonb,
        greatest(
            coalesce(
                %(wait_until)s::timestamptz,
                clock_timestamp() + make_interval(secs => %(wait_s)s::float8)
            ),
            now() - interval '100 years'
        )
    )
    RETURNING id, queue_name, priority, scheduled_at, scheduled_at > clock_timestamp() AS waits
), ready AS (
    INSERT INTO jobsd.ready_executions (job_id, position, priority, queue_name)
    SELECT id, id, priority, queue_name
    FROM job
    WHERE NOT waits
), scheduled AS (
    INSERT INTO jobsd.scheduled_executions (job_id, scheduled_at, priority, queue_name)
    SELECT id, scheduled_at, priority, queue_name
    FROM job
    WHERE waits
)
SELECT
    id,
    waits,
    CASE
        WHEN waits AND (%(always)s::boolean OR (
            scheduled_at < clock_timestamp() + interval '6 seconds'
            AND EXISTS (SELECT FROM jobsd.sleepers WHERE kind = 'dispatcher')
        ))
            THEN pg_notify('jobsd.due', 'due')
        WHEN NOT waits AND (%(always)s::boolean OR EXISTS (
            SELECT FROM jobsd.sleepers WHERE kind = 'worker'
        ))
            THEN pg_notify('jobsd.wake', 'ready ' || queue_name)
    END,
    (date_part('epoch', now()) * 1000000)::bigint
FROM job;

-- limited: store one job with a limit that may run now or wait. It is ready, in the order of
-- its key. This takes no lock of the key.
WITH job AS (
    INSERT INTO jobsd.jobs (
        queue_name, class_name, arguments, priority, max_attempts, retries_crash,
        context, concurrency_key, concurrency_limit, concurrency_duration, on_conflict
    )
    VALUES (
        %(queue_name)s, %(class_name)s, %(arguments)s::jsonb, %(priority)s::integer,
        %(max_attempts)s::integer, %(retries_crash)s::boolean, %(context)s::jsonb, %(key)s, %(to)s::integer, %(duration)s::interval, 'block'
    )
    RETURNING id, queue_name, priority
)
INSERT INTO jobsd.blocked_executions (
    job_id, position, priority, queue_name, concurrency_key, concurrency_limit
)
SELECT id, id, priority, queue_name, %(key)s, %(to)s::integer
FROM job
RETURNING
    job_id,
    'ready',
    CASE
        WHEN %(always)s::boolean OR EXISTS (SELECT FROM jobsd.sleepers WHERE kind = 'worker')
            THEN pg_notify('jobsd.wake', 'limited ' || queue_name)
    END,
    (date_part('epoch', now()) * 1000000)::bigint;

-- decided: store one job whose state has to be decided first: it may have to be dropped, or it
-- is for later and has a limit, or it may expire.
SELECT job_id, state, (date_part('epoch', now()) * 1000000)::bigint
FROM jobsd.store(
    %(queue_name)s, %(class_name)s, %(arguments)s::jsonb, %(priority)s::integer,
    %(max_attempts)s::integer, %(retries_crash)s::boolean,
    coalesce(
        %(wait_until)s::timestamptz, clock_timestamp() + make_interval(secs => %(wait_s)s::float8)
    ),
    %(key)s::text, %(to)s::integer, %(duration)s::interval, %(on_conflict)s::text, %(always)s::boolean,
    %(context)s::jsonb, expires_in => make_interval(secs => %(expires_in_s)s::float8)
);

-- unique_at_once: store one unique job that may run now, if no job has its key; otherwise
-- return no row. If an open transaction has just taken the key, this waits for it for two
-- seconds.
WITH bounded AS MATERIALIZED (
    SELECT
        set_config('lock_timeout', '2s', true),
        nextval('jobsd.jobs_id_seq') AS id
), taken AS (
    INSERT INTO jobsd.unique_jobs (key, job_id, until, ends_at)
    SELECT
        %(unique_key)s::text, id, %(unique_until)s::text,
        clock_timestamp() + make_interval(secs => %(unique_within_s)s::float8)
    FROM bounded
    ON CONFLICT (key) DO NOTHING
    RETURNING job_id
), job AS (
    INSERT INTO jobsd.jobs (
        id, queue_name, class_name, arguments, priority, max_attempts, retries_crash, context,
        unique_key, unique_until
    )
    SELECT
        job_id, %(queue_name)s::text, %(class_name)s::text, %(arguments)s::jsonb,
        %(priority)s::integer, %(max_attempts)s::integer, %(retries_crash)s::boolean,
        %(context)s::jsonb, %(unique_key)s::text, %(unique_until)s::text
    FROM taken
    RETURNING id, queue_name, priority
)
INSERT INTO jobsd.ready_executions (job_id, position, priority, queue_name)
SELECT id, id, priority, queue_name
FROM job
RETURNING
    job_id,
    CASE
        WHEN EXISTS (SELECT FROM jobsd.sleepers WHERE kind = 'worker')
            THEN pg_notify('jobsd.wake', 'ready ' || queue_name)
    END,
    (date_part('epoch', now()) * 1000000)::bigint;

-- unique: store one unique job, or return the existing job with its key.
SELECT job_id, state, replaced, (date_part('epoch', created) * 1000000)::bigint
FROM jobsd.store_unique(
    %(queue_name)s, %(class_name)s, %(arguments)s::jsonb, %(priority)s::integer,
    %(max_attempts)s::integer, %(retries_crash)s::boolean,
    coalesce(
        %(wait_until)s::timestamptz, clock_timestamp() + make_interval(secs => %(wait_s)s::float8)
    ),
    %(key)s::text, %(to)s::integer, %(duration)s::interval, %(on_conflict)s::text,
    %(always)s::boolean, %(context)s::jsonb,
    %(unique_key)s::text, %(unique_until)s::text,
    make_interval(secs => %(unique_within_s)s::float8), %(unique_conflict)s::text,
    make_interval(secs => %(unique_max_wait_s)s::float8),
    make_interval(secs => %(expires_in_s)s::float8)
);
