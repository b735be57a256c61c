-- begin: take an id, after which the ids of the batch follow, and read the clock by which waits are
-- measured, and the creation time of all jobs of this transaction.
SELECT
    nextval('jobsd.jobs_id_seq'),
    extract(epoch FROM clock_timestamp())::float8,
    (date_part('epoch', now()) * 1000000)::bigint;

-- copy: store the jobs of a batch about which nothing has to be decided: 8 µs of the server's time
-- a job, with `place`. They get their ids in this order.
COPY jobsd.jobs (
    arguments, queue_name, class_name, priority, max_attempts, retries_crash, scheduled_at,
    concurrency_key, concurrency_limit, concurrency_duration, on_conflict, context, expires_in,
    created_at
)
FROM STDIN;

-- place: insert each job of the batch that was just stored into the table of its state: ready (0),
-- scheduled (1), or ready with a limit (2). Workers meet only as many jobs of each key and queue as
-- may run at once; the others are blocked, and follow these: `jobsd.store` follows the same rule.
-- If no two jobs share a key (`keys_differ`), none has to be counted, which is a tenth of the work.
-- Returns, in the order of the batch, the ids and the states, and the notifications for workers.
-- Other sessions may have taken ids in between; all rows that one COPY has stored bear the same
-- xmin.
WITH last AS MATERIALIZED (
    SELECT id, xmin
    FROM jobsd.jobs
    WHERE id = (SELECT currval('jobsd.jobs_id_seq'))
), stored AS MATERIALIZED (
    SELECT
        id, priority, queue_name, scheduled_at, concurrency_key, concurrency_limit, expires_in,
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
        job_id, position, priority, queue_name, concurrency_key, concurrency_limit
    )
    SELECT
        id, CASE WHEN number <= concurrency_limit THEN id END, priority, queue_name,
        concurrency_key, concurrency_limit
    FROM (
        SELECT *, 1 AS number
        FROM stored
        WHERE place = 2 AND %(keys_differ)s::boolean
        UNION ALL
        SELECT
            *,
            row_number() OVER (
                PARTITION BY concurrency_key, queue_name ORDER BY priority, id
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

-- wake: wake idle processes, after many jobs were stored: `always` in the transaction of a caller.
SELECT pg_notify(CASE payload WHEN 'due' THEN 'jobsd.due' ELSE 'jobsd.wake' END, payload)
FROM unnest(%(payloads)s::text[]) AS payload
WHERE %(always)s::boolean OR EXISTS (SELECT FROM jobsd.sleepers);
