-- queue: list the queues of the latest jobs, and the paused queues.
SELECT DISTINCT queue_name
FROM (
    (SELECT queue_name FROM jobsd.jobs ORDER BY id DESC LIMIT 1000)
    UNION ALL
    (SELECT queue_name FROM jobsd.pauses ORDER BY queue_name LIMIT 1000)
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
