-- keys: list the concurrency keys in use, with the numbers of running and of waiting jobs (counted
-- up to a bound), and the first job of each kind. The keys of waiting jobs are found by index
-- skips, those of running jobs in the claims, which are few.
WITH RECURSIVE waiting AS (
    (
        SELECT concurrency_key AS key, 1 AS turn
        FROM jobsd.blocked_executions
        ORDER BY concurrency_key, priority, job_id
        LIMIT 1
    )
    UNION ALL
    SELECT following.concurrency_key, waiting.turn + 1
    FROM waiting
    CROSS JOIN LATERAL (
        SELECT concurrency_key
        FROM jobsd.blocked_executions
        WHERE concurrency_key > waiting.key
        ORDER BY concurrency_key, priority, job_id
        LIMIT 1
    ) AS following
    WHERE waiting.turn < %(keys)s
), held AS MATERIALIZED (
    SELECT concurrency_key AS key, coalesce(completed, job_ids[1]) AS job_id, created_at AS since
    FROM (
        SELECT concurrency_key, slot, job_ids, completed, created_at
        FROM jobsd.claims
        WHERE concurrency_key IS NOT NULL
        ORDER BY concurrency_key, slot
        LIMIT 10 * %(keys)s
    ) AS series
), used AS (
    SELECT key FROM waiting
    UNION
    SELECT key FROM held
), counted AS MATERIALIZED (
    SELECT
        used.key,
        holders.ids,
        holders.since,
        (
            SELECT count(*)
            FROM (
                SELECT
                FROM jobsd.blocked_executions
                WHERE concurrency_key = used.key
                LIMIT %(most)s
            ) AS jobs
        ) AS waiting,
        first.job_id AS first_id
    FROM used
    LEFT JOIN LATERAL (
        SELECT array_agg(job_id ORDER BY job_id) AS ids, min(since) AS since
        FROM held
        WHERE held.key = used.key
    ) AS holders ON true
    LEFT JOIN LATERAL (
        SELECT job_id
        FROM jobsd.blocked_executions
        WHERE concurrency_key = used.key
        ORDER BY priority, job_id
        LIMIT 1
    ) AS first ON true
    LIMIT %(keys)s
)
SELECT
    counted.key,
    coalesce(job.concurrency_limit, 1),
    coalesce(counted.ids, '{}'),
    counted.waiting,
    job.class_name,
    counted.since,
    counted.first_id,
    CASE WHEN counted.first_id IS NOT NULL THEN job.created_at END
FROM counted
LEFT JOIN jobsd.jobs AS job ON job.id = coalesce(counted.first_id, counted.ids[1])
ORDER BY counted.waiting DESC, cardinality(counted.ids) DESC, counted.key;
