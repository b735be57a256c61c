-- ready: store jobs that may run.
WITH job AS (
    INSERT INTO jobsd.jobs (queue_name, class_name, arguments)
    SELECT 'default', %s, jsonb_build_array(number)
    FROM generate_series(%s::bigint, %s::bigint) AS number
    RETURNING id, queue_name, priority
)
INSERT INTO jobsd.ready_executions (job_id, position, priority, queue_name)
SELECT id, id, priority, queue_name
FROM job
ORDER BY id;

-- spread: store jobs that may run, in turn with some priorities, and in some queues.
WITH job AS (
    INSERT INTO jobsd.jobs (queue_name, class_name, arguments, priority)
    SELECT
        'queue-' || number %% %(queues)s, %(class_name)s, jsonb_build_array(number),
        number %% %(priorities)s
    FROM generate_series(1, %(jobs)s) AS number
    RETURNING id, queue_name, priority
)
INSERT INTO jobsd.ready_executions (job_id, position, priority, queue_name)
SELECT id, id, priority, queue_name
FROM job
ORDER BY id;

-- knower: let a worker live elsewhere that knows a class.
WITH process AS (
    INSERT INTO jobsd.processes (kind, name, pid, hostname)
    VALUES ('worker', 'worker-elsewhere', 1, 'elsewhere')
    RETURNING id
)
INSERT INTO jobsd.worker_classes (process_id, queues, lanes)
SELECT id, ARRAY['*'], ARRAY[%s]
FROM process;

-- parked: store jobs in the lane of a class.
WITH job AS (
    INSERT INTO jobsd.jobs (queue_name, class_name, arguments)
    SELECT 'default', %s, jsonb_build_array(number)
    FROM generate_series(1, %s::bigint) AS number
    RETURNING id, queue_name, priority, class_name
), lane AS (
    INSERT INTO jobsd.lanes (queue_name, lane)
    SELECT DISTINCT queue_name, class_name FROM job
)
INSERT INTO jobsd.parked_executions (job_id, position, priority, queue_name, lane)
SELECT id, id, priority, queue_name, class_name
FROM job
ORDER BY id;

-- finished: store jobs that are about to have run, ten a second since 12 days ago.
INSERT INTO jobsd.jobs (queue_name, class_name, arguments, created_at)
SELECT
    'default', %s, jsonb_build_array(number),
    now() - interval '12 days' + number * interval '100 ms'
FROM generate_series(%s::bigint, %s::bigint) AS number;

-- last: find the last job.
SELECT coalesce(max(id), 0) FROM jobsd.jobs;

-- finish: let the jobs behind one have run: each row grows where it lies, as in life. Pages of
-- rows that were stored at their full size have room for one that is smaller, and new jobs
-- would be strewn over all of them.
UPDATE jobsd.jobs
SET attempts = 1, started_at = created_at, finished_at = created_at, outcome = 'finished'
WHERE id > %s;

-- failed: store jobs that have failed for good, of a thousand errors.
WITH job AS (
    INSERT INTO jobsd.jobs (queue_name, class_name, arguments, attempts)
    SELECT 'default', %s, jsonb_build_array(number), 1
    FROM generate_series(%s::bigint, %s::bigint) AS number
    RETURNING id, class_name, queue_name
)
INSERT INTO jobsd.failed_executions (job_id, error, job_class, job_queue)
SELECT
    id, jsonb_build_object('type', 'ValueError', 'message', 'error ' || id %% 1000, 'stack', ''),
    class_name, queue_name
FROM job;

-- scheduled: store jobs whose time has not come.
WITH job AS (
    INSERT INTO jobsd.jobs (queue_name, class_name, arguments, scheduled_at)
    SELECT 'default', %s, jsonb_build_array(number), now() + interval '1 year'
    FROM generate_series(%s::bigint, %s::bigint) AS number
    RETURNING id, queue_name, priority, scheduled_at
)
INSERT INTO jobsd.scheduled_executions (job_id, scheduled_at, priority, queue_name)
SELECT id, scheduled_at, priority, queue_name
FROM job;

-- limited: store jobs in turn for so many keys, as one bulk does: as many of each key as
-- may run at once are met by workers, the others come along.
WITH job AS (
    INSERT INTO jobsd.jobs (
        queue_name, class_name, arguments, concurrency_key, concurrency_limit, on_conflict
    )
    SELECT
        'default', %(class_name)s, jsonb_build_array(number), 'key ' || number %% %(keys)s,
        %(limit)s, 'block'
    FROM generate_series(0, %(jobs)s - 1) AS number
    RETURNING id, queue_name, priority, concurrency_key, (arguments ->> 0)::bigint AS number
)
INSERT INTO jobsd.blocked_executions (
    job_id, position, priority, queue_name, concurrency_key, concurrency_limit
)
SELECT
    id, CASE WHEN number < %(keys)s * %(limit)s THEN id END, priority, queue_name,
    concurrency_key, %(limit)s
FROM job
ORDER BY id;

-- queues: store jobs that may run, in turn in some queues.
WITH job AS (
    INSERT INTO jobsd.jobs (queue_name, class_name, arguments)
    SELECT 'queue-' || number %% %s::bigint, %s, '[]'
    FROM generate_series(1, %s::bigint) AS number
    RETURNING id, queue_name, priority
)
INSERT INTO jobsd.ready_executions (job_id, position, priority, queue_name)
SELECT id, id, priority, queue_name
FROM job
ORDER BY id;

-- tasks: store recurring tasks that have run for ten hours.
WITH task AS (
    INSERT INTO jobsd.recurring_tasks (key, schedule, class_name, last_run_at, runs_count)
    SELECT 'task-' || number, number %% 60 || ' * * * *', %s, now(), 10
    FROM generate_series(1, %s::bigint) AS number
    RETURNING key
)
INSERT INTO jobsd.recurring_executions (task_key, run_at, job_id)
SELECT key, now() - hour * interval '1 hour', 1
FROM task
CROSS JOIN generate_series(1, 10) AS hour;
