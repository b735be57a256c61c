-- queue: list the queues of the latest jobs, and the paused queues.
SELECT DISTINCT queue_name
FROM (
    (SELECT queue_name FROM jobsd.jobs ORDER BY id DESC LIMIT 1000)
    UNION ALL
    (
        SELECT queue_name
        FROM jobsd.pauses
        WHERE queue_name <> '*'
        ORDER BY queue_name
        LIMIT 1000
    )
) AS found
ORDER BY queue_name
LIMIT 200;

-- class: list the classes of the latest jobs.
SELECT DISTINCT class_name
FROM (SELECT class_name FROM jobsd.jobs ORDER BY id DESC LIMIT 1000) AS found
ORDER BY class_name
LIMIT 200;

-- task: list the keys of the recurring tasks.
SELECT key
FROM jobsd.recurring_tasks
ORDER BY key
LIMIT 200;

-- id: list the ids of the latest jobs.
SELECT id::text
FROM jobsd.jobs
ORDER BY id DESC
LIMIT 50;

-- failed: list the classes of the latest failed jobs.
SELECT DISTINCT class_name
FROM (SELECT job_id FROM jobsd.failed_executions ORDER BY job_id DESC LIMIT 1000) AS failed
JOIN jobsd.jobs ON jobs.id = failed.job_id
ORDER BY class_name
LIMIT 200;

-- host: list the hosts of the processes, and of the latest heartbeats.
SELECT DISTINCT hostname
FROM (
    (SELECT hostname FROM jobsd.processes ORDER BY id LIMIT 1000)
    UNION ALL
    (SELECT hostname FROM jobsd.heartbeat_logs ORDER BY executed_at DESC, id DESC LIMIT 1000)
) AS found
ORDER BY hostname
LIMIT 200;

-- tag: list the tags of the latest jobs.
SELECT DISTINCT tag
FROM (SELECT tags FROM jobsd.jobs ORDER BY id DESC LIMIT 1000) AS found,
    unnest(tags) AS tag
ORDER BY tag
LIMIT 200;
