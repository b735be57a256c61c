-- claim_any: take the most urgent jobs of all queues that are not paused. Continues the
-- expressions of claims.sql; rows that another worker has locked are skipped. They leave
-- by the place where the lock found them: by their ids a plan made on an empty table read
-- 27 times as many pages.
picked AS (
    SELECT ctid AS place, job_id, 0::bigint AS turn, priority, position
    FROM jobsd.ready_executions
    WHERE queue_name <> ALL (ARRAY(SELECT queue_name FROM jobsd.pauses))
    ORDER BY priority, position
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
), taken AS (
    DELETE FROM jobsd.ready_executions
    WHERE ctid = ANY (ARRAY(SELECT place FROM picked))
), claim AS (
    INSERT INTO jobsd.claims (process_id, job_ids)
    SELECT %(process_id)s, array_agg(job_id ORDER BY turn, priority, position)
    FROM picked
    HAVING count(*) > 0
    RETURNING id
)
SELECT
    ARRAY(SELECT id FROM fenced),
    (SELECT id FROM claim),
    job.id, job.class_name, job.arguments::text, job.queue_name, job.attempts, job.max_attempts,
    extract(epoch FROM now() - coalesce(job.scheduled_at, job.created_at))::float8
FROM (VALUES (true)) AS one
LEFT JOIN (picked JOIN jobsd.jobs AS job ON job.id = picked.job_id) ON true
ORDER BY picked.turn, picked.priority, picked.position;

-- claim_named: the same from a list of queues: the first one's jobs before the second's.
queue AS (
    SELECT name, turn
    FROM unnest(%(names)s::text[]) WITH ORDINALITY AS listed (name, turn)
    WHERE name <> ALL (ARRAY(SELECT queue_name FROM jobsd.pauses))
    ORDER BY turn
), picked AS (
    SELECT waiting.place, waiting.job_id, queue.turn, waiting.priority, waiting.position
    FROM queue
    CROSS JOIN LATERAL (
        SELECT ctid AS place, job_id, priority, position
        FROM jobsd.ready_executions
        WHERE queue_name = queue.name
        ORDER BY priority, position
        LIMIT %(limit)s
        FOR UPDATE SKIP LOCKED
    ) AS waiting
    LIMIT %(limit)s
), taken AS (
    DELETE FROM jobsd.ready_executions
    WHERE ctid = ANY (ARRAY(SELECT place FROM picked))
), claim AS (
    INSERT INTO jobsd.claims (process_id, job_ids)
    SELECT %(process_id)s, array_agg(job_id ORDER BY turn, priority, position)
    FROM picked
    HAVING count(*) > 0
    RETURNING id
)
SELECT
    ARRAY(SELECT id FROM fenced),
    (SELECT id FROM claim),
    job.id, job.class_name, job.arguments::text, job.queue_name, job.attempts, job.max_attempts,
    extract(epoch FROM now() - coalesce(job.scheduled_at, job.created_at))::float8
FROM (VALUES (true)) AS one
LEFT JOIN (picked JOIN jobsd.jobs AS job ON job.id = picked.job_id) ON true
ORDER BY picked.turn, picked.priority, picked.position;

-- names: list the queues that have ready jobs, by skipping from one to the next.
WITH RECURSIVE known AS (
    (SELECT queue_name FROM jobsd.ready_executions ORDER BY queue_name LIMIT 1)
    UNION ALL
    SELECT (
        SELECT waiting.queue_name
        FROM jobsd.ready_executions AS waiting
        WHERE waiting.queue_name > known.queue_name
        ORDER BY waiting.queue_name
        LIMIT 1
    )
    FROM known
    WHERE known.queue_name IS NOT NULL
)
SELECT queue_name
FROM known
WHERE queue_name IS NOT NULL
LIMIT 10000;
