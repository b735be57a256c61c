-- begin: take an id, after which the ids of the batch will come, and read the clock by which waits
-- are measured, and the moment at which all jobs of this transaction are created.
SELECT
    nextval('jobsd.jobs_id_seq'),
    extract(epoch FROM clock_timestamp())::float8,
    (date_part('epoch', now()) * 1000000)::bigint;

-- copy: store the jobs of a batch; they get their ids in this order.
COPY jobsd.jobs (
    arguments, queue_name, class_name, priority, max_attempts, retries_crash, scheduled_at,
    concurrency_key, concurrency_limit, concurrency_duration, on_conflict, context, unique_key,
    unique_until, expires_in, created_at
)
FROM STDIN;

-- insert: store jobs of a batch where the driver knows no COPY: a list of rows by the names of
-- their columns. They get their ids in this order.
INSERT INTO jobsd.jobs (
    arguments, queue_name, class_name, priority, max_attempts, retries_crash, scheduled_at,
    concurrency_key, concurrency_limit, concurrency_duration, on_conflict, context, unique_key,
    unique_until, expires_in, created_at
)
SELECT
    arguments, queue_name, class_name, priority, max_attempts, retries_crash, scheduled_at,
    concurrency_key, concurrency_limit, concurrency_duration, on_conflict, context, unique_key,
    unique_until, expires_in, created_at
FROM json_populate_recordset(NULL::jobsd.jobs, %(jobs)s::json) WITH ORDINALITY
ORDER BY ordinality;

-- place: give each job of the batch that was just stored its place: ready (0), scheduled (1), or
-- ready with a limit (2). Workers meet only as many jobs of each key and queue as may run at once;
-- the others are blocked, and follow these. Jobs that may not wait are all met, and not counted:
-- they may yet be dropped. Where no two have one key (`keys_differ`), none has to be counted, which
-- is a tenth of the work. `jobsd.store_together` follows the same rule for roles that may only
-- enqueue: tests/security/test_lesser_roles.py compares the two. Returns, in the order of the batch,
-- the ids and the places, and the notifications for workers. Other sessions may have taken ids in
-- between; all rows that one COPY has stored bear the same xmin.
WITH last AS MATERIALIZED (
    SELECT id, xmin
    FROM jobsd.jobs
    WHERE id = (SELECT currval('jobsd.jobs_id_seq'))
), stored AS MATERIALIZED (
    SELECT
        id, priority, queue_name, scheduled_at, concurrency_key, concurrency_limit, expires_in,
        on_conflict = 'discard' AS yields,
        CASE
            WHEN scheduled_at IS NOT NULL THEN 1
            WHEN concurrency_key IS NOT NULL THEN 2
            ELSE 0
        END AS place
    FROM jobsd.jobs
    WHERE id > %(after)s::bigint
        AND id <= (SELECT id FROM last)
        AND xmin = (SELECT xmin FROM last)
    ORDER BY id
), ready AS (
    INSERT INTO jobsd.ready_executions (job_id, position, priority, queue_name)
    SELECT id, id, priority, queue_name
    FROM stored
    WHERE place = 0
), scheduled AS (
    INSERT INTO jobsd.scheduled_executions (
        job_id, scheduled_at, priority, queue_name, concurrency_key
    )
    SELECT id, scheduled_at, priority, queue_name, concurrency_key
    FROM stored
    WHERE place = 1
), expiring AS (
    INSERT INTO jobsd.expirations (job_id, expires_at)
    SELECT id, greatest(scheduled_at, clock_timestamp()) + expires_in
    FROM stored
    WHERE expires_in IS NOT NULL
), blocked AS (
    INSERT INTO jobsd.blocked_executions (
        job_id, position, priority, queue_name, concurrency_key, concurrency_limit, yields
    )
    SELECT
        id, CASE WHEN yields OR number <= concurrency_limit THEN id END, priority, queue_name,
        concurrency_key, concurrency_limit, yields
    FROM (
        SELECT *, 1 AS number
        FROM stored
        WHERE place = 2 AND %(keys_differ)s::boolean
        UNION ALL
        SELECT
            *,
            row_number() OVER (
                PARTITION BY concurrency_key, queue_name, yields ORDER BY priority, id
            ) AS number
        FROM stored
        WHERE place = 2 AND NOT %(keys_differ)s::boolean
    ) AS limited
)
SELECT
    string_agg(id::text, ','),
    string_agg(place::text, ''),
    ARRAY(
        SELECT DISTINCT CASE WHEN place = 0 THEN 'ready ' ELSE 'limited ' END || queue_name
        FROM stored
        WHERE place <> 1
    )
FROM stored;

-- admit: decide about the jobs of some keys that were just stored and may not wait: says which were
-- dropped.
SELECT jobsd.admit(%(keys)s::text[]);

-- admit_unique: decide about the unique ones of the jobs that were just stored: says which were
-- dropped, for which others, and which of those were replaced.
SELECT job_id, present, replaced, (date_part('epoch', created) * 1000000)::bigint
FROM jobsd.admit_unique(
    %(ids)s::bigint[], %(unique_key)s::text[], %(unique_until)s::text[],
    %(unique_within_s)s::float8[], %(unique_conflict)s::text[], %(unique_max_wait_s)s::float8[],
    %(always)s::boolean, %(hastily)s::boolean
);

-- forget_unique: let these keys go, of jobs that were dropped behind.
SELECT jobsd.give_back_unique(%(keys)s::text[], %(ids)s::bigint[]);

-- wake: wake those who sleep, after many jobs were stored: `always` in the transaction of a
-- caller.
SELECT pg_notify(CASE payload WHEN 'due' THEN 'jobsd.due' ELSE 'jobsd.wake' END, payload)
FROM unnest(%(payloads)s::text[]) AS payload
WHERE %(always)s::boolean OR EXISTS (SELECT FROM jobsd.sleepers);
