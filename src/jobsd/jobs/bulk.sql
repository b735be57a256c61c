-- begin: take the next ids of jobs, in their order, and read the clock by which waits are
-- measured.
SELECT
    extract(epoch FROM clock_timestamp())::float8,
    ARRAY(
        SELECT nextval(pg_get_serial_sequence('jobsd.jobs', 'id'))
        FROM generate_series(1, %(count)s)
    )::text;

-- copy_jobs: store many jobs.
COPY jobsd.jobs (
    id, arguments, queue_name, class_name, priority, max_attempts, retries_crash, scheduled_at,
    concurrency_key, concurrency_limit, concurrency_duration, on_conflict
)
FROM STDIN;

-- copy_ready: make many stored jobs ready.
COPY jobsd.ready_executions (job_id, position, priority, queue_name)
FROM STDIN;

-- copy_scheduled: let many stored jobs wait for their time.
COPY jobsd.scheduled_executions (job_id, scheduled_at, priority, queue_name, concurrency_key)
FROM STDIN;

-- copy_blocked: let many stored jobs wait for a slot, until those are admitted for which
-- there is one.
COPY jobsd.blocked_executions (job_id, priority, queue_name, concurrency_key, yields)
FROM STDIN;

-- left_out: say which of these jobs are blocked, and which were discarded.
SELECT
    limited.turn,
    EXISTS (SELECT FROM jobsd.blocked_executions AS blocked WHERE blocked.job_id = limited.id)
FROM unnest(%(ids)s::bigint[]) WITH ORDINALITY AS limited (id, turn)
WHERE NOT EXISTS (
    SELECT FROM jobsd.ready_executions AS ready WHERE ready.job_id = limited.id
)
ORDER BY limited.turn;

-- wake: wake those who sleep, after many jobs were stored: `always` in the transaction of a
-- caller.
SELECT pg_notify('jobsd.wake', payload)
FROM unnest(%(payloads)s::text[]) AS payload
WHERE %(always)s OR EXISTS (SELECT FROM jobsd.sleepers);
